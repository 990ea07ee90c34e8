/* Rows and groups out of a store or a server: query, top, replay. */
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crew.h"
#include "base/mem.h"
#include "query/output.h"
#include "tools/tools.h"

#define FLUSH_BYTES (64u << 10)

struct printer {
	struct output *output;
	struct wr out;
	uint64_t rows;
	bool broken;		/* nobody reads any more */
};

static int to_stdout(void *arg, struct view bytes)
{
	(void)arg;
	return tool_write(bytes) ? 0 : E_CANCELLED;
}

static void flush(struct printer *printer)
{
	if (!tool_write(wr_view(&printer->out)))
		printer->broken = true;
	wr_reset(&printer->out);
}

static bool print_row(void *arg, const struct table *table, const void *row)
{
	struct printer *printer = arg;

	output_row(printer->output, table, row);
	printer->rows++;
	if (printer->out.len >= FLUSH_BYTES)
		flush(printer);
	return !printer->broken && !printer->out.bad;
}

static const char *format_name(const struct tool *tool)
{
	return *tool->set.output ? tool->set.output : "table";
}

static int printer_open(struct tool *tool, const struct table *table, const uint16_t *fields, size_t fields_count,
			struct printer *printer)
{
	struct output_opts opts = { .table = table ? table->id : 0, .fields = fields, .fields_count = fields_count,
				    .no_headers = tool->set.no_headers, .color = tool_color(tool, stdout) };

	wr_init(&printer->out, 0);
	if (output_format_parse(view_str(format_name(tool)), &opts.format, &tool->err) < 0)
		return E_UNKNOWN_NAME;
	printer->output = output_new(&opts, &printer->out);
	return printer->output ? 0 : err_set(&tool->err, E_NO_MEMORY, "out of memory");
}

static void printer_close(struct printer *printer)
{
	output_free(printer->output);
	wr_release(&printer->out);
}

static const struct table *table_arg(struct tool *tool)
{
	const struct table *table = NULL;

	if (tool->set.args_count == 1)
		table = table_by_name(view_str(tool->set.args[0]));
	if (!table)
		(void)tool_usage(tool, "say which table: flows, calls, packets, events, entities or rollups");
	return table;
}

/* Errors in a filter point at the place. */
static int fail_query(struct tool *tool)
{
	int code;

	if (strncmp(tool->err.text, "filter, at byte", 15) == 0 && tool->err.position <= strlen(tool->set.filter))
		fprintf(stderr, "  %s\n  %*s^\n", tool->set.filter, (int)tool->err.position, "");
	code = tool_fail(tool);
	return tool->err.code == E_FORMAT ? EXIT_USAGE : code;	/* a time in the filter, a cursor */
}

static int explain(struct tool *tool, const struct query_opts *opts, const struct query_stats *stats)
{
	struct wr out;
	struct json json;

	if (!tool->set.explain || strcmp(format_name(tool), "json") == 0)
		return 0;
	wr_init(&out, 0);
	json_init(&json, &out, true);
	json_object(&json);
	query_stats_json(stats, opts, &json);
	json_object_end(&json);
	fprintf(stderr, "%.*s\n", (int)out.len, (const char *)out.at);
	wr_release(&out);
	return 0;
}

static int query_remote(struct tool *tool, const struct table *table)
{
	char path[64], from[CLOCK_TEXT_LEN] = "", to[CLOCK_TEXT_LEN] = "";
	struct client_param list[] = {
		{ "filter", tool->set.filter }, { "from", tool->set.at ? from : tool->set.text[PARAM_ID_from] },
		{ "to", tool->set.at ? to : tool->set.text[PARAM_ID_to] }, { "fields", tool->set.fields },
		{ "limit", tool->set.text[PARAM_ID_limit] }, { "cursor", tool->set.cursor },
		{ "order", tool->set.ascending ? "asc" : "" }, { "match", tool->set.within ? "start" : "" },
		{ "format", format_name(tool) }, { "explain", tool->set.explain ? "1" : "" },
		{ "headers", tool->set.no_headers ? "0" : "" },
	};

	snprintf(path, sizeof(path), "/api/v1/%s", table->name);
	if (tool->set.at) {
		clock_format(tool->set.at, from);
		clock_format(tool->set.at + 1, to);
	}
	return client_get(tool, path, list, sizeof(list) / sizeof(list[0]), to_stdout, NULL);
}

int cmd_query(struct tool *tool)
{
	const struct table *table = table_arg(tool);
	struct query_opts opts = tool_query_opts(tool);
	struct query_rows rows = { .ascending = tool->set.ascending, .limit = tool->set.limit,
				   .cursor = view_str(tool->set.cursor), .starts_within = tool->set.within };
	struct printer printer = { 0 };
	struct query_stats stats = { 0 };
	struct view cursor = { 0 };
	struct store *store = NULL;
	uint16_t *fields;
	int rc, code;

	if (!table)
		return EXIT_USAGE;
	if (tool->set.limit == 0)
		return tool_usage(tool, "--limit 0: 1 or more");
	if (tool->set.at && (tool->set.from || tool->set.to))
		return tool_usage(tool, "--at is an instant, --from and --to are a range: one of the two");
	if (tool->set.at)
		opts.from_ns = tool->set.at, opts.to_ns = tool->set.at + 1;
	if (*tool->set.server)
		return query_remote(tool, table);
	tool_catch_signals();
	rc = query_fields(table, view_str(tool->set.fields), tool->arena, &fields, &rows.fields_count, &tool->err);
	if (rc == 0)
		rc = store_open(tool->set.data, &store, &tool->err);
	rows.fields = fields;
	rows.table = table->id;
	if (rc == 0)
		rc = printer_open(tool, table, fields, rows.fields_count, &printer);
	if (rc == 0)
		rc = query_rows(store, &opts, &rows, print_row, &printer, tool->arena, &stats, &cursor, &tool->err);
	if (rc >= 0) {
		output_end(printer.output, &opts, &stats, cursor);
		flush(&printer);
		(void)explain(tool, &opts, &stats);
		code = tool_query_end(tool, &opts, &stats, printer.rows);
	} else {
		code = fail_query(tool);
	}
	printer_close(&printer);
	store_close(store);
	return code;
}

/* ----------------------------------------------------------------------- top */

static int top_remote(struct tool *tool, const struct table *table)
{
	struct client_param list[] = {
		{ "table", table->name }, { "filter", tool->set.filter }, { "from", tool->set.text[PARAM_ID_from] },
		{ "to", tool->set.text[PARAM_ID_to] }, { "by", tool->set.by }, { "agg", tool->set.agg },
		{ "step", tool->set.text[PARAM_ID_step] }, { "order", tool->set.order },
		{ "match", tool->set.within ? "start" : "" }, { "format", format_name(tool) },
		{ "explain", tool->set.explain ? "1" : "" },
		{ "headers", tool->set.no_headers ? "0" : "" },
	};

	return client_get(tool, "/api/v1/aggregate", list, sizeof(list) / sizeof(list[0]), to_stdout, NULL);
}

int cmd_top(struct tool *tool)
{
	const struct table *table = table_arg(tool);
	struct query_opts opts = tool_query_opts(tool);
	struct query_aggregate what = { .by = view_str(tool->set.by), .agg = view_str(tool->set.agg),
					.step_ns = tool->set.step, .order = view_str(tool->set.order),
					.starts_within = tool->set.within };
	struct query_groups groups = { 0 };
	struct printer printer = { 0 };
	struct query_stats stats = { 0 };
	struct store *store = NULL;
	int rc, code;

	if (!table)
		return EXIT_USAGE;
	if (*tool->set.server)
		return top_remote(tool, table);
	tool_catch_signals();
	what.table = table->id;
	opts.crew = tool_crew(tool);
	rc = store_open(tool->set.data, &store, &tool->err);
	if (rc == 0)
		rc = printer_open(tool, NULL, NULL, 0, &printer);
	if (rc == 0)
		rc = query_aggregate(store, &opts, &what, tool->arena, &groups, &stats, &tool->err);
	if (rc >= 0) {
		output_groups(printer.output, &opts, &groups, tool->set.step != 0, &stats);
		flush(&printer);
		(void)explain(tool, &opts, &stats);
		code = tool_query_end(tool, &opts, &stats, groups.count);
	} else {
		code = fail_query(tool);
	}
	printer_close(&printer);
	crew_free(opts.crew);
	store_close(store);
	return code;
}

/* -------------------------------------------------------------------- replay */

static bool replay_row(void *arg, const struct table *table, const void *row)
{
	struct printer *printer = arg;
	struct json json;

	json_init(&json, &printer->out, false);
	json_object(&json);
	json_kcstr(&json, "table", table->name);
	query_row_json(table, row, NULL, 0, false, &json);
	json_object_end(&json);
	wr_u8(&printer->out, '\n');
	printer->rows++;
	flush(printer);
	return !printer->broken;
}

static bool replay_sleep(void *arg, uint64_t ns)
{
	(void)arg;
	while (ns && !atomic_load(&tool_interrupted)) {
		uint64_t step = ns < 100000000 ? ns : 100000000;
		struct timespec time = { .tv_nsec = (long)step };

		nanosleep(&time, NULL);
		ns -= step;
	}
	return !atomic_load(&tool_interrupted);
}

int cmd_replay(struct tool *tool)
{
	struct query_opts opts = tool_query_opts(tool);
	struct printer printer = { 0 };
	struct query_stats stats = { 0 };
	struct store *store = NULL;
	int rc;

	if (*tool->set.output && strcmp(tool->set.output, "ndjson") != 0)
		return tool_usage(tool, "--output %s: a replay is ndjson", tool->set.output);
	if (*tool->set.server) {
		struct client_param list[] = {
			{ "filter", tool->set.filter }, { "from", tool->set.text[PARAM_ID_from] },
			{ "to", tool->set.text[PARAM_ID_to] }, { "speed", tool->set.text[PARAM_ID_speed] },
		};

		return client_get(tool, "/api/v1/replay", list, sizeof(list) / sizeof(list[0]), to_stdout, NULL);
	}
	tool_catch_signals();
	opts.budget.time_ns = UINT64_MAX;
	wr_init(&printer.out, 0);
	rc = store_open(tool->set.data, &store, &tool->err);
	if (rc == 0)
		rc = query_replay(store, &opts, tool->set.speed, replay_row, replay_sleep, &printer, &stats, &tool->err);
	printer_close(&printer);
	store_close(store);
	if (rc < 0)
		return fail_query(tool);
	return EXIT_DONE;
}
