/* Requests to questions: what every handler needs first. */
#include "query/api.h"

#include "base/clock.h"

#define TEXT(v) (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at

#define PARAM(...)
#define OPEN_ROUTE(methods_, path_, handler_, pool_, params_, summary_)                            \
	{ .methods = methods_,                                                                     \
	  .path = path_,                                                                           \
	  .handler = handler_,                                                                     \
	  .pool = HTTP_POOL_##pool_,                                                               \
	  .open = true,                                                                            \
	  .params = params_,                                                                       \
	  .summary = summary_ },
#define ROUTE(methods_, path_, handler_, pool_, params_, summary_)                                 \
	{ .methods = methods_,                                                                     \
	  .path = path_,                                                                           \
	  .handler = handler_,                                                                     \
	  .pool = HTTP_POOL_##pool_,                                                               \
	  .params = params_,                                                                       \
	  .summary = summary_ },
const struct http_route api_routes[] = {
#include "query/routes.def"
};
#undef PARAM
#undef ROUTE
const size_t api_routes_count = sizeof(api_routes) / sizeof(api_routes[0]);

#define ROUTE(...)
#define PARAM(name_, type_, text_) { #name_, type_, text_ },
const struct api_param api_params[] = {
#include "query/routes.def"
};
#undef PARAM
#undef ROUTE
const size_t api_params_count = sizeof(api_params) / sizeof(api_params[0]);

int serve_store(struct serve *serve, struct store **ret_store, struct err *err)
{
	uint64_t now_ns = clock_mono_ns();
	int rc = 0;

	lock_take(&serve->lock);
	if (!serve->store && now_ns >= serve->next_open_ns) {
		serve->next_open_ns = now_ns + NS_PER_SEC;
		err_clear(&serve->open_err);
		rc = store_open(".", &serve->store, &serve->open_err);
		if (rc < 0 && !serve->open_err.code)
			(void)err_set(&serve->open_err, rc, "%s", err_text(rc));
	}
	if (serve->store)
		*ret_store = serve->store;
	else
		rc = err_set(err, E_BUSY, "the store %s cannot be opened: %s%s", serve->opts.data,
			     serve->open_err.text, serve->open_err.code == E_PERMISSION ?
			     " (serve reads as an unprivileged user, which must be allowed to: see --user)" : "");
	lock_drop(&serve->lock);
	return rc;
}

int api_time(const struct http_request *req, const char *name, uint64_t fallback, uint64_t *ret_ns,
	     struct err *err)
{
	struct view text = http_param(req, name);
	struct err why = { 0 };
	int rc;

	if (text.len == 0) {
		*ret_ns = fallback;
		return 0;
	}
	rc = clock_parse(text, clock_now_ns(), ret_ns, &why);
	return rc < 0 ? err_set(err, rc, "parameter %s: %s", name, why.text) : 0;
}

int api_duration(const struct http_request *req, const char *name, uint64_t fallback,
		 uint64_t *ret_ns, struct err *err)
{
	struct view text = http_param(req, name);
	struct err why = { 0 };
	int rc;

	if (text.len == 0) {
		*ret_ns = fallback;
		return 0;
	}
	rc = clock_parse_duration(text, ret_ns, &why);
	return rc < 0 ? err_set(err, rc, "parameter %s: %s", name, why.text) : 0;
}

static int opts_range(struct http_request *req, uint64_t range_ns, struct query_opts *opts,
		      struct err *err)
{
	uint64_t now_ns = clock_now_ns();
	int rc = api_time(req, "to", 0, &opts->to_ns, err);

	if (rc >= 0) {
		uint64_t end_ns = opts->to_ns ? opts->to_ns : now_ns;

		rc = api_time(req, "from", range_ns && end_ns > range_ns ? end_ns - range_ns : 0,
			      &opts->from_ns, err);
	}
	if (rc >= 0 && opts->to_ns && opts->from_ns >= opts->to_ns) {
		char from[CLOCK_TEXT_LEN], to[CLOCK_TEXT_LEN];

		clock_format(opts->from_ns, from);
		clock_format(opts->to_ns, to);
		rc = err_set(err, E_RANGE, "the range is empty or reversed: from %s to %s", from,
			     to);
	}
	return rc;
}

int api_opts(struct serve *serve, struct http_request *req, uint64_t range_ns,
	     struct query_opts *ret_opts, struct err *err)
{
	struct query_opts opts = { .budget = serve->opts.budget, .cancel = &req->cancel, .crew = serve->crew };
	uint64_t most_ns = opts.budget.time_ns;
	int rc = opts_range(req, range_ns, &opts, err);

	if (rc < 0)
		return rc;
	opts.filter = http_param(req, "filter");
	rc = api_duration(req, "timeout", most_ns, &opts.budget.time_ns, err);
	if (rc < 0)
		return rc;
	if (most_ns && (opts.budget.time_ns > most_ns || opts.budget.time_ns == 0))
		opts.budget.time_ns = most_ns;
	rc = http_param_bool(req, "explain", false, &opts.explain, err);
	if (rc < 0)
		return rc;
	if (opts.filter.len)
		req->detail = arena_printf(&req->arena, "%.*s",
					   (int)(opts.filter.len < 500 ? opts.filter.len : 500),
					   (const char *)opts.filter.at);
	*ret_opts = opts;
	return 0;
}

int api_id(const struct http_request *req, unsigned arg, uint64_t *ret_id, struct err *err)
{
	struct view text = req->args[arg];
	uint64_t id = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];
		int digit = c >= '0' && c <= '9'		     ? c - '0'
			    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
								     : -1;

		if (digit < 0 || text.len != 16)
			return err_set(err, E_FORMAT, "\"%.*s\" is no id of 16 hexadecimal digits",
				       TEXT(text));
		id = id << 4 | (unsigned)digit;
	}
	*ret_id = id;
	return 0;
}

int api_table(const struct http_request *req, enum table_id fallback,
	      const struct table **ret_table, struct err *err)
{
	struct view name = http_param(req, "table");
	const struct table *table = name.len   ? table_by_name(name)
				    : fallback ? table_get(fallback)
					       : NULL;

	if (!table && !name.len)
		return err_set(
			err, E_USAGE,
			"parameter table is missing: flows, calls, packets, events, entities or rollups");
	if (!table)
		return err_set(
			err, E_UNKNOWN_NAME,
			"no table \"%.*s\": there are flows, calls, packets, events, entities, rollups",
			TEXT(name));
	*ret_table = table;
	return 0;
}

int api_headers(const struct http_request *req, bool *ret_no_headers, struct err *err)
{
	bool headers;
	int rc = http_param_bool(req, "headers", true, &headers, err);

	if (rc >= 0)
		*ret_no_headers = !headers;
	return rc;
}

void api_end_headers(struct http_request *req, const struct query_opts *opts,
		     const struct query_stats *stats, struct view cursor)
{
	if (cursor.len)
		http_header(req, "X-Next-Cursor", "%.*s", (int)cursor.len, (const char *)cursor.at);
	http_header(req, "X-Rows", "%llu", (unsigned long long)req->rows);
	http_header(req, "X-Complete", "%s",
		    stats->damaged_row_groups ? "damaged"
		    : stats->gaps_count	      ? "gaps"
		    : query_expired(stats, opts) ? "expired"
		    : stats->truncated	      ? "truncated"
					      : "yes");
}

void api_json_time(struct json *json, const char *key, uint64_t ns)
{
	char text[CLOCK_TEXT_LEN];

	if (ns == 0 || ns == UINT64_MAX) {
		json_knull(json, key);
		return;
	}
	clock_format(ns, text);
	json_kcstr(json, key, text);
}

void api_json_id(struct json *json, const char *key, uint64_t id)
{
	json_key(json, key);
	json_printf(json, "%016llx", (unsigned long long)id);
}

int api_format(const struct http_request *req, enum output_format *ret_format, struct err *err)
{
	struct view name = http_param(req, "format"), accept = req->accept;

	if (name.len)
		return output_format_parse(name, ret_format, err);
	*ret_format = OUTPUT_JSON;
	if (accept.len == 0 || http_list_has(accept, "application/json") ||
	    http_list_has(accept, "*/*"))
		return 0;
	if (http_list_has(accept, "application/x-ndjson"))
		*ret_format = OUTPUT_NDJSON;
	else if (http_list_has(accept, "text/csv"))
		*ret_format = OUTPUT_CSV;
	else if (http_list_has(accept, "text/plain"))
		*ret_format = OUTPUT_TABLE;
	return 0;
}
