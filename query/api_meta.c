/* The server about itself: health, index, schema, status, OpenAPI. */
#include <unistd.h>

#include "base/clock.h"
#include "query/api.h"

#define SILENT_NS (10 * NS_PER_SEC)

int api_healthz(void *ctx, struct http_request *req, struct err *err)
{
	(void)ctx;
	(void)err;
	wr_str(http_out(req), "{\"status\":\"ok\"}\n");
	return 0;
}

/* What is wrong with the recorder, or NULL. One that does not run is no fault: an archive is served. */
static const char *recorder_fault(const struct store_horizon *horizon)
{
	uint64_t now_ns = clock_now_ns();

	if (horizon->writer_alive && horizon->last_commit_ns &&
	    now_ns > horizon->last_commit_ns + SILENT_NS)
		return "the recorder runs, but has committed nothing for more than 10 s";
	return NULL;
}

int api_readyz(void *ctx, struct http_request *req, struct err *err)
{
	struct err why = { 0 };
	struct store_horizon horizon = { 0 };
	const char *reason = NULL;
	struct store *store;
	struct json json;
	int rc = serve_store(ctx, &store, &why);

	(void)err;
	if (rc >= 0)
		rc = store_horizon(store, &horizon, &why);
	if (rc < 0)
		reason = why.text[0] ? why.text : err_text(rc);
	else
		reason = recorder_fault(&horizon);
	if (reason)
		http_status(req, 503);
	json_init(&json, http_out(req), false);
	json_object(&json);
	json_kcstr(&json, "status", reason ? "not ready" : "ready");
	json_key(&json, "reasons");
	json_array(&json);
	if (reason)
		json_cstr(&json, reason);
	json_array_end(&json);
	json_kcstr(&json, "recorder",
		   rc < 0		  ? NULL
		   : horizon.writer_alive ? "running"
					  : "not running");
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}

int api_index(void *ctx, struct http_request *req, struct err *err)
{
	const struct serve *serve = ctx;
	struct json json;

	(void)err;
	json_init(&json, http_out(req), true);
	json_object(&json);
	json_kcstr(&json, "name", "tapedeck");
	json_kcstr(&json, "version", serve->version);
	json_kcstr(&json, "openapi", "/openapi.json");
	json_key(&json, "endpoints");
	json_array(&json);
	for (size_t i = 0; i < serve->routes_count; i++) {
		const struct http_route *route = &serve->routes[i];

		json_object(&json);
		json_kcstr(&json, "method", route->methods & HTTP_POST ? "POST" : "GET");
		json_kcstr(&json, "path", route->path);
		json_kcstr(&json, "summary", route->summary);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}

/* ---- schema ---- */

static const char *unit_name(enum unit unit)
{
	switch (unit) {
	case UNIT_TIME: return "ns since 1970";
	case UNIT_DURATION: return "ns";
	case UNIT_BYTES: return "bytes";
	case UNIT_COUNT: return "count";
	case UNIT_NONE: break;
	}
	return NULL;
}

static void columns_json(const struct table *table, struct json *json)
{
	json_array(json);
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];

		json_object(json);
		json_kcstr(json, "name", col->key);
		json_kcstr(json, "type", types[col->type].name);
		json_kcstr(json, "unit", unit_name(col->unit));
		json_kbool(json, "nullable", col->presence == PRESENCE_OPT);
		json_kbool(json, "indexed", col->index == INDEX_BITMAP || col->index == INDEX_BLOOM);
		json_kcstr(json, "aliases", col->aliases);
		json_kcstr(json, "text", col->text);
		if (types[col->type].syms != SYMS_NONE) {
			json_key(json, "values");
			json_array(json);
			for (size_t s = 0; s < syms_count; s++)
				if (syms[s].table == types[col->type].syms)
					json_cstr(json, syms[s].name);
			json_array_end(json);
		}
		json_object_end(json);
	}
	json_array_end(json);
}

int api_schema(void *ctx, struct http_request *req, struct err *err)
{
	struct json json;

	(void)ctx;
	(void)err;
	json_init(&json, http_out(req), false);
	json_object(&json);
	json_key(&json, "data");
	json_array(&json);
	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct table *table = table_get((enum table_id)t);

		json_object(&json);
		json_kcstr(&json, "name", table->name);
		json_key(&json, "columns");
		columns_json(table, &json);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}

int api_fields(void *ctx, struct http_request *req, struct err *err)
{
	const struct table *table;
	struct json json;
	int rc = api_table(req, 0, &table, err);

	(void)ctx;
	if (rc < 0)
		return rc;
	json_init(&json, http_out(req), false);
	json_object(&json);
	json_key(&json, "data");
	columns_json(table, &json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}

/* ---- status ---- */

static void server_json(const struct serve *serve, struct json *json)
{
	const struct http_stats *stats = http_server_stats(serve->http);

	json_key(json, "server");
	json_object(json);
	json_kcstr(json, "version", serve->version);
	json_ku64(json, "pid", (uint64_t)getpid());
	api_json_time(json, "started", serve->start_ns);
	json_ku64(json, "connections", atomic_load(&stats->connections));
	json_ku64(json, "connections_total", atomic_load(&stats->connections_total));
	json_ku64(json, "connections_refused_total",
		  atomic_load(&stats->connections_refused_total));
	json_ku64(json, "requests_running", atomic_load(&stats->running));
	json_ku64(json, "requests_total", atomic_load(&stats->requests_total));
	json_ku64(json, "requests_cancelled_total", atomic_load(&stats->cancelled_total));
	json_ku64(json, "requests_busy_total", atomic_load(&stats->busy_total));
	json_ku64(json, "sent_bytes_total", atomic_load(&stats->sent_bytes_total));
	json_object_end(json);
}

int api_status(void *ctx, struct http_request *req, struct err *err)
{
	struct store *store;
	struct json json;
	int rc = serve_store(ctx, &store, err);

	if (rc < 0)
		return rc;
	json_init(&json, http_out(req), false);
	json_object(&json);
	rc = query_status_json(store, &req->arena, &json, err);
	if (rc < 0)
		return rc;
	server_json(ctx, &json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}
