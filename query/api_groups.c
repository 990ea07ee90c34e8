/* /aggregate and /values. */
#include "base/clock.h"
#include "query/api.h"
#include "query/names.h"

#define TEXT(v)	    (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at
#define TOP_MAX	    100000
#define BUCKETS_MAX 100000

static int want_groups(struct http_request *req, struct query_aggregate *ret_what, struct err *err)
{
	const struct table *table;
	struct query_aggregate what = { .by = http_param(req, "by"),
					.agg = http_param(req, "agg"),
					.order = http_param(req, "order") };
	unsigned match;
	int rc = api_table(req, TABLE_ROLLUPS, &table, err);

	if (rc >= 0)
		rc = api_duration(req, "step", 0, &what.step_ns, err);
	if (rc >= 0)
		rc = http_param_u64(req, "top", 0, TOP_MAX, &what.top, err);
	if (rc >= 0)
		rc = http_param_word(req, "match", "overlap start", &match, err);
	if (rc < 0)
		return rc;
	what.table = table->id;
	what.starts_within = match == 1;
	if (what.agg.len == 0)
		what.agg = VIEW_LIT("count");
	*ret_what = what;
	return 0;
}

/* Of the range, only what is held makes buckets. */
static int check_buckets(struct store *store, const struct query_opts *opts, uint64_t step_ns,
			 struct err *err)
{
	struct store_horizon horizon;
	uint64_t from_ns = UINT64_MAX, to_ns, buckets;
	int rc = store_horizon(store, &horizon, err);

	if (rc < 0)
		return rc;
	for (int t = 1; t <= TABLE_MAX; t++)
		from_ns = horizon.oldest_ns[t] < from_ns ? horizon.oldest_ns[t] : from_ns;
	from_ns = opts->from_ns > from_ns ? opts->from_ns : from_ns;
	to_ns = opts->to_ns && opts->to_ns < horizon.newest_ns ? opts->to_ns : horizon.newest_ns;
	buckets = to_ns > from_ns ? (to_ns - from_ns) / step_ns : 0;
	if (buckets > BUCKETS_MAX)
		return err_set(
			err, E_LIMIT,
			"%llu time buckets, of at most %u: ask for a longer step or a shorter range",
			(unsigned long long)buckets, BUCKETS_MAX);
	return 0;
}

int api_aggregate(void *ctx, struct http_request *req, struct err *err)
{
	struct query_aggregate what;
	struct query_groups groups = { 0 };
	struct query_stats stats = { 0 };
	struct query_opts opts;
	struct output_opts format = { 0 };
	struct output *output;
	struct store *store;
	int rc = want_groups(req, &what, err);

	if (rc >= 0)
		rc = api_format(req, &format.format, err);
	if (rc >= 0)
		rc = api_headers(req, &format.no_headers, err);
	if (rc >= 0)
		rc = api_opts(ctx, req, 0, &opts, err);
	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	if (rc >= 0 && what.step_ns)
		rc = check_buckets(store, &opts, what.step_ns, err);
	if (rc >= 0)
		rc = query_aggregate(store, &opts, &what, &req->arena, &groups, &stats, err);
	if (rc < 0)
		return rc;
	http_type(req, output_content_type(format.format));
	output = output_new(&format, http_out(req));
	if (!output)
		return err_set(err, E_NO_MEMORY, "out of memory");
	output_groups(output, &opts, &groups, what.step_ns != 0, &stats);
	output_free(output);
	req->rows = groups.count;
	api_end_headers(req, &opts, &stats, view_make(NULL, 0));
	return 0;
}

int api_values(void *ctx, struct http_request *req, struct err *err)
{
	struct view name = http_param(req, "field"), *values;
	const struct table *table;
	const struct col *col;
	struct query_opts opts;
	struct store *store;
	struct json json;
	uint64_t limit;
	size_t count;
	int rc = api_table(req, 0, &table, err);

	if (rc < 0)
		return rc;
	col = table_col(table, name);
	if (!col) {
		char near[160];

		if (!name.len)
			return err_set(err, E_USAGE, "parameter field is missing");
		name_nearest(table, name, false, near, sizeof(near));
		return err_set(err, E_UNKNOWN_NAME, "the table %s has no field \"%.*s\"%s%s",
			       table->name, TEXT(name), *near ? "; nearest: " : "", near);
	}
	rc = api_opts(ctx, req, 0, &opts, err);
	if (rc >= 0)
		rc = http_param_u64(req, "limit", API_LIMIT, API_LIMIT_MAX, &limit, err);
	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	if (rc >= 0)
		rc = query_values(store, &opts, table->id, col, http_param(req, "prefix"),
				  (size_t)limit, &req->arena, &values, &count, err);
	if (rc < 0)
		return rc;
	json_init(&json, http_out(req), false);
	json_object(&json);
	json_key(&json, "data");
	json_array(&json);
	for (size_t i = 0; i < count; i++)
		json_str(&json, values[i]);
	json_array_end(&json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	req->rows = count;
	return 0;
}
