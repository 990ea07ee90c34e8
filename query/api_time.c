/* Going back: /at, /replay, /export, /horizon. */
#include <stdlib.h>

#include "base/clock.h"
#include "query/api.h"

#define TEXT(v) (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at

/* ---- /at ---- */

struct moment {
	struct http_request *req;
	struct json json;
	const struct table *table; /* whose array is open */
	unsigned seen;		   /* bits of table ids */
	struct err *err;
	int rc;
};

static bool at_row(void *arg, const struct table *table, const void *row)
{
	struct moment *moment = arg;

	if (moment->table != table) {
		if (moment->table)
			json_array_end(&moment->json);
		json_key(&moment->json, table->name);
		json_array(&moment->json);
		moment->table = table;
		moment->seen |= 1u << table->id;
	}
	json_object(&moment->json);
	query_row_json(table, row, NULL, 0, false, &moment->json);
	json_object_end(&moment->json);
	moment->req->rows++;
	moment->rc = http_pump(moment->req, moment->err);
	return moment->rc >= 0;
}

int api_at(void *ctx, struct http_request *req, struct err *err)
{
	static const enum table_id shown[] = { TABLE_FLOWS, TABLE_CALLS, TABLE_ENTITIES };
	struct moment moment = { .req = req, .err = err };
	struct query_stats stats = { 0 };
	struct query_opts opts;
	struct store *store;
	uint64_t at_ns, limit;
	int rc = api_opts(ctx, req, 0, &opts, err);

	if (rc >= 0)
		rc = api_time(req, "time", clock_now_ns(), &at_ns, err);
	if (rc >= 0)
		rc = http_param_u64(req, "limit", API_LIMIT, API_LIMIT_MAX, &limit, err);
	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	if (rc < 0)
		return rc;
	opts.from_ns = at_ns;
	opts.to_ns = at_ns + 1;
	json_init(&moment.json, http_out(req), false);
	json_object(&moment.json);
	api_json_time(&moment.json, "time", at_ns);
	json_key(&moment.json, "data");
	json_object(&moment.json);
	rc = query_at(store, &opts, at_ns, limit, at_row, &moment, &req->arena, &stats, err);
	if (moment.rc < 0)
		rc = moment.rc;
	if (rc < 0)
		return rc;
	if (moment.table)
		json_array_end(&moment.json);
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		if (moment.seen & 1u << shown[i])
			continue;
		json_key(&moment.json, table_get(shown[i])->name);
		json_array(&moment.json);
		json_array_end(&moment.json);
	}
	json_object_end(&moment.json);
	query_stats_json(&stats, &opts, &moment.json);
	json_object_end(&moment.json);
	wr_u8(http_out(req), '\n');
	return 0;
}

/* ---- /replay ---- */

struct replay {
	struct http_request *req;
	struct err *err;
	int rc;
};

static bool replay_row(void *arg, const struct table *table, const void *row)
{
	struct replay *replay = arg;
	struct json json;

	json_init(&json, http_out(replay->req), false);
	json_object(&json);
	json_kcstr(&json, "table", table->name);
	query_row_json(table, row, NULL, 0, false, &json);
	json_object_end(&json);
	wr_u8(http_out(replay->req), '\n');
	replay->req->rows++;
	replay->rc = http_pump(replay->req, replay->err);
	return replay->rc >= 0;
}

static bool replay_sleep(void *arg, uint64_t ns)
{
	struct replay *replay = arg;

	if (http_sleep(replay->req, ns))
		return true;
	replay->rc = err_set(replay->err, E_CANCELLED, "the client is gone");
	return false;
}

static int parse_speed(const struct http_request *req, double *ret_speed, struct err *err)
{
	struct view text = http_param(req, "speed");
	char copy[32], *end;

	*ret_speed = 1;
	if (text.len == 0)
		return 0;
	if (text.len < sizeof(copy)) {
		memcpy(copy, text.at, text.len);
		copy[text.len] = '\0';
		*ret_speed = strtod(copy, &end);
		if (*end == '\0' && *ret_speed >= 0 && *ret_speed <= 1e9)
			return 0;
	}
	return err_set(err, E_FORMAT, "parameter speed: \"%.*s\" is no number from 0 to 1e9",
		       TEXT(text));
}

int api_replay(void *ctx, struct http_request *req, struct err *err)
{
	struct replay replay = { .req = req, .err = err };
	struct query_stats stats = { 0 };
	struct query_opts opts;
	struct store *store;
	double speed;
	int rc = api_opts(ctx, req, 0, &opts, err);

	if (rc >= 0)
		rc = parse_speed(req, &speed, err);
	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	if (rc < 0)
		return rc;
	/* At its own pace it takes as long as it took: only a client's own timeout ends it. */
	if (speed > 0 && http_param(req, "timeout").len == 0)
		opts.budget.time_ns = UINT64_MAX / 2;
	http_type(req, "application/x-ndjson");
	if (speed > 0)
		http_unbuffered(req);
	rc = query_replay(store, &opts, speed, replay_row, replay_sleep, &replay, &stats, err);
	return replay.rc < 0 ? replay.rc : rc;
}

/* ---- /export ---- */

struct export
{
	struct http_request *req;
	const char *name, *type;
	bool begun;
};

static int export_write(void *arg, struct view bytes, struct err *err)
{
	struct export *export = arg;

	/* Headers only now: what fails before the first byte is answered as JSON. */
	if (!export->begun) {
		http_type(export->req, export->type);
		http_header(export->req, "Content-Disposition", "attachment; filename=\"%s\"",
			    export->name);
		export->begun = true;
	}
	wr_bytes(http_out(export->req), bytes);
	return http_pump(export->req, err);
}

static const char *export_name(struct http_request *req, const struct query_opts *opts, bool pcap)
{
	char text[CLOCK_TEXT_LEN];

	if (!opts->from_ns)
		return pcap ? "tapedeck.pcap" : "tapedeck.pcapng";
	clock_format(opts->from_ns, text);
	for (char *c = text; *c; c++)
		if (*c == ':')
			*c = '-';
	return arena_printf(&req->arena, "tapedeck-%.19sZ.%s", text, pcap ? "pcap" : "pcapng");
}

int api_export(void *ctx, struct http_request *req, struct err *err)
{
	struct query_export what = { .packet_filter = http_param(req, "bpf"),
				     .calls_filter = http_param(req, "calls") };
	struct query_export_totals totals = { 0 };
	struct export export = { .req = req };
	struct query_stats stats = { 0 };
	struct query_opts opts;
	struct store *store;
	unsigned pcap;
	int rc = api_opts(ctx, req, 0, &opts, err);

	if (rc >= 0)
		rc = http_param_word(req, "format", "pcapng pcap", &pcap, err);
	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	if (rc < 0)
		return rc;
	what.format = pcap ? EXPORT_PCAP : EXPORT_PCAPNG;
	export.type = pcap ? "application/vnd.tcpdump.pcap" : "application/x-pcapng";
	export.name = export_name(req, &opts, pcap);
	if (!export.name)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rc = query_export(store, &opts, &what, export_write, &export, &totals, &stats, err);
	if (rc >= 0 && !export.begun)
		rc = export_write(&export, view_make(NULL, 0), err);
	req->rows = totals.packets;
	if (rc >= 0)
		api_end_headers(req, &opts, &stats, view_make(NULL, 0));
	return rc;
}

/* ---- /horizon ---- */

int api_horizon(void *ctx, struct http_request *req, struct err *err)
{
	struct query_opts opts;
	struct store *store;
	struct json json;
	int rc = api_opts(ctx, req, 0, &opts, err);

	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	if (rc < 0)
		return rc;
	json_init(&json, http_out(req), false);
	json_object(&json);
	rc = query_horizon_json(store, opts.from_ns, opts.to_ns, &req->arena, &json, err);
	if (rc < 0)
		return rc;
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}
