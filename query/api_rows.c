/* Lists of rows: /flows, /calls, /packets, ..., /flows/{id}/packets. */
#include <stdio.h>

#include "base/clock.h"
#include "query/api.h"
#include "query/output.h"

struct answer {
	struct http_request *req;
	struct output *output;
	struct err *err;
	int rc;
};

static bool put_row(void *arg, const struct table *table, const void *row)
{
	struct answer *answer = arg;

	output_row(answer->output, table, row);
	answer->req->rows++;
	answer->rc = http_pump(answer->req, answer->err);
	return answer->rc >= 0;
}

static int want_rows(struct http_request *req, const struct table *table,
		     struct query_rows *ret_rows, struct err *err)
{
	struct query_rows rows = { .table = table->id, .cursor = http_param(req, "cursor") };
	unsigned order, match;
	uint16_t *fields;
	int rc = http_param_u64(req, "limit", API_LIMIT, API_LIMIT_MAX, &rows.limit, err);

	if (rc >= 0 && rows.limit == 0)
		rc = err_set(err, E_RANGE, "parameter limit: 1 to %d", API_LIMIT_MAX);
	if (rc >= 0)
		rc = http_param_word(req, "order", "desc asc", &order, err);
	if (rc >= 0)
		rc = http_param_word(req, "match", "overlap start", &match, err);
	if (rc >= 0)
		rc = query_fields(table, http_param(req, "fields"), &req->arena, &fields,
				  &rows.fields_count, err);
	if (rc < 0)
		return rc;
	rows.fields = fields;
	rows.ascending = order == 1;
	rows.starts_within = match == 1;
	*ret_rows = rows;
	return 0;
}

/* Rows of one table as the request asks for them; opts says of what range and filter. */
static int answer_rows(struct serve *serve, struct http_request *req, const struct table *table,
		       const struct query_opts *opts, struct err *err)
{
	struct answer answer = { .req = req, .err = err };
	struct output_opts output = { .table = table->id };
	struct query_stats stats = { 0 };
	struct query_rows rows;
	struct view cursor = { 0 };
	struct store *store;
	int rc = api_format(req, &output.format, err);

	if (rc >= 0)
		rc = api_headers(req, &output.no_headers, err);
	if (rc >= 0)
		rc = want_rows(req, table, &rows, err);
	if (rc >= 0)
		rc = serve_store(serve, &store, err);
	if (rc < 0)
		return rc;
	output.fields = rows.fields;
	output.fields_count = rows.fields_count;
	http_type(req, output_content_type(output.format));
	answer.output = output_new(&output, http_out(req));
	if (!answer.output)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rc = query_rows(store, opts, &rows, put_row, &answer, &req->arena, &stats, &cursor, err);
	if (answer.rc < 0)
		rc = answer.rc;
	if (rc >= 0) {
		api_end_headers(req, opts, &stats, cursor);
		output_end(answer.output, opts, &stats, cursor);
	}
	output_free(answer.output);
	return rc;
}

int api_rows(void *ctx, struct http_request *req, struct err *err)
{
	/* The last segment of the route is the name of its table. */
	const struct table *table = table_by_name(view_str(strrchr(req->route->path, '/') + 1));
	struct query_opts opts;
	int rc = api_opts(ctx, req, 0, &opts, err);

	return rc < 0 ? rc : answer_rows(ctx, req, table, &opts, err);
}

int api_flow_packets(void *ctx, struct http_request *req, struct err *err)
{
	struct view more = http_param(req, "filter");
	struct query_opts opts;
	struct flow_row flow;
	struct store *store;
	uint64_t id;
	const char *filter;
	int rc = api_id(req, 0, &id, err);

	if (rc >= 0)
		rc = api_opts(ctx, req, 0, &opts, err);
	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	if (rc >= 0)
		rc = query_flow(store, id, &req->arena, &flow, err);
	if (rc < 0)
		return rc;
	filter = more.len ? arena_printf(&req->arena, "flow.id == %016llx && (%.*s)",
					 (unsigned long long)id, (int)more.len,
					 (const char *)more.at)
			  : arena_printf(&req->arena, "flow.id == %016llx", (unsigned long long)id);
	if (!filter)
		return err_set(err, E_NO_MEMORY, "out of memory");
	opts.filter = view_str(filter);
	opts.from_ns = ROW_HAS(FLOW, &flow, first_ns) && flow.first_ns < flow.start_ns
			       ? flow.first_ns
			       : flow.start_ns;
	opts.to_ns = flow.end_ns + 1;
	return answer_rows(ctx, req, table_get(TABLE_PACKETS), &opts, err);
}
