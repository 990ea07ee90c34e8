/* Commands that look at the store as a whole: horizon, stats, check. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tools/tools.h"

/* ------------------------------------------------------------------- horizon */

static void gaps_text(const struct store_gap *gaps, size_t count)
{
	char from[CLOCK_TEXT_LEN], to[CLOCK_TEXT_LEN];

	printf("gaps %zu\n", count);
	for (size_t i = count > 20 ? count - 20 : 0; i < count; i++) {
		clock_format(gaps[i].from_ns, from);
		clock_format(gaps[i].to_ns, to);
		printf("  %s .. %s  %-12s %" PRIu64 " packets\n", from, to, gaps[i].reason, gaps[i].packets);
	}
}

static void horizon_text(const struct store_horizon *horizon, const struct store_gap *gaps, size_t count)
{
	char text[CLOCK_TEXT_LEN], a[32], b[32];

	for (int t = 1; t <= TABLE_MAX; t++) {
		if (horizon->oldest_ns[t] == UINT64_MAX)
			snprintf(text, sizeof(text), "nothing held");
		else
			clock_format(horizon->oldest_ns[t], text);
		printf("%-10s since %s\n", t == TABLE_PACKETS ? "packets" : table_get((enum table_id)t)->name, text);
	}
	clock_format(horizon->newest_ns, text);
	printf("newest     %s\nrecorder   %s\n", horizon->newest_ns ? text : "-",
	       horizon->writer_alive ? "running" : "not running");
	printf("on disk    %s rows, %s packets, %zu partitions\n", tool_bytes(horizon->data_bytes, a),
	       tool_bytes(horizon->packet_bytes, b), horizon->parts);
	gaps_text(gaps, count);
}

static void kns(struct json *json, const char *key, uint64_t ns)
{
	char text[CLOCK_TEXT_LEN];

	if (ns == UINT64_MAX || ns == 0) {
		json_knull(json, key);
		return;
	}
	clock_format(ns, text);
	json_kcstr(json, key, text);
}

static void horizon_json(const struct store_horizon *horizon, const struct store_gap *gaps, size_t count,
			 struct json *json)
{
	json_object(json);
	json_key(json, "oldest");
	json_object(json);
	for (int t = 1; t <= TABLE_MAX; t++)
		kns(json, table_get((enum table_id)t)->name, horizon->oldest_ns[t]);
	json_object_end(json);
	kns(json, "newest", horizon->newest_ns);
	kns(json, "last_commit", horizon->last_commit_ns);
	json_kbool(json, "recorder_running", horizon->writer_alive);
	json_ku64(json, "data_bytes", horizon->data_bytes);
	json_ku64(json, "packet_bytes", horizon->packet_bytes);
	json_ku64(json, "partitions", horizon->parts);
	json_key(json, "gaps");
	json_array(json);
	for (size_t i = 0; i < count; i++) {
		json_object(json);
		kns(json, "from", gaps[i].from_ns);
		kns(json, "to", gaps[i].to_ns);
		json_kcstr(json, "reason", gaps[i].reason);
		json_ku64(json, "packets", gaps[i].packets);
		json_ku64(json, "bytes", gaps[i].bytes);
		json_object_end(json);
	}
	json_array_end(json);
	json_object_end(json);
}

static int print_to_stdout(void *arg, struct view bytes)
{
	(void)arg;
	return tool_write(bytes) ? 0 : E_CANCELLED;
}

int cmd_horizon(struct tool *tool)
{
	struct store *store = NULL;
	struct store_horizon horizon;
	struct store_gap *gaps;
	size_t count;
	struct wr out;
	struct json json;
	int code = EXIT_DONE;

	if (*tool->set.server)
		return client_get(tool, "/api/v1/horizon", NULL, 0, print_to_stdout, NULL);
	if (store_open(tool->set.data, &store, &tool->err) < 0)
		return tool_fail(tool);
	wr_init(&out, 0);
	if (store_horizon(store, &horizon, &tool->err) < 0 ||
	    store_gaps(store, tool->set.from, tool->set.to ? tool->set.to : UINT64_MAX, tool->arena, &gaps, &count,
		       &tool->err) < 0) {
		code = tool_fail(tool);
	} else if (strcmp(tool->set.output, "json") == 0) {
		json_init(&json, &out, true);
		horizon_json(&horizon, gaps, count, &json);
		wr_u8(&out, '\n');
		tool_write(wr_view(&out));
	} else {
		horizon_text(&horizon, gaps, count);
	}
	wr_release(&out);
	store_close(store);
	return code;
}

/* --------------------------------------------------------------------- stats */

struct column_total {
	uint64_t stored, plain, chunks;
	const char *encoding;	/* the one seen last; "mixed" when several */
};

static int add_columns(struct store_view *view, size_t part, enum table_id id, struct column_total *totals,
		       struct err *err)
{
	for (size_t i = 0; i < store_rg_count(view, part, id); i++) {
		struct rg_chunk_info info;
		struct rg rg;
		int rc = store_rg_open(view, part, id, i, &rg, err);

		if (rc < 0)
			return rc;
		for (uint32_t c = 0; (rc = rg_chunk_info(&rg, c, &info)) > 0; c++) {
			const struct col *col = table_col_id(table_get(id), info.col_id);
			struct column_total *total;

			if (!col)
				continue;
			total = &totals[col->ordinal];
			total->stored += info.stored_bytes;
			total->plain += info.plain_bytes;
			total->chunks++;
			if (!total->encoding)
				total->encoding = info.encoding;
			else if (strcmp(total->encoding, info.encoding) != 0)
				total->encoding = "mixed";
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int columns(struct tool *tool, struct store_view *view)
{
	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct table *table = table_get((enum table_id)t);
		struct column_total totals[64 * SCHEMA_HAS_WORDS] = { 0 };
		uint64_t rows = 0, stored = 0;

		for (size_t p = 0; p < store_view_parts(view); p++) {
			rows += store_view_part(view, p)->rows[t];
			if (add_columns(view, p, table->id, totals, &tool->err) < 0)
				return tool_fail(tool);
		}
		if (rows == 0)
			continue;
		printf("\n%s: %" PRIu64 " rows\n  %-24s %-8s %12s %12s %10s\n", table->name, rows, "column", "encoding",
		       "stored", "plain", "bytes/row");
		for (size_t c = 0; c < table->cols_count; c++) {
			if (!totals[c].chunks)
				continue;
			stored += totals[c].stored;
			printf("  %-24s %-8s %12" PRIu64 " %12" PRIu64 " %10.2f\n", table->cols[c].key, totals[c].encoding,
			       totals[c].stored, totals[c].plain, (double)totals[c].stored / (double)rows);
		}
		printf("  %-24s %-8s %12" PRIu64 " %12s %10.2f\n", "total", "", stored, "",
		       (double)stored / (double)rows);
	}
	return EXIT_DONE;
}

static void partitions_text(struct store_view *view)
{
	char data[32], packets[32], text[CLOCK_TEXT_LEN];
	uint64_t rows[TABLE_MAX + 1] = { 0 }, frames = 0, plain = 0, data_bytes = 0, packet_bytes = 0;

	printf("%-28s %-7s %10s %10s %10s %10s %10s  %s\n", "partition", "state", "flows", "calls", "packets", "rows",
	       "bytes", "from");
	for (size_t p = 0; p < store_view_parts(view); p++) {
		const struct store_part_info *part = store_view_part(view, p);

		clock_format(part->start_min, text);
		printf("%-28s %-7s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10s %10s  %s%s%s\n", part->path,
		       part->sealed ? "sealed" : "hot", part->rows[TABLE_FLOWS], part->rows[TABLE_CALLS], part->packets,
		       tool_bytes(part->data_bytes, data), tool_bytes(part->packet_bytes, packets), text,
		       part->pinned ? " pinned" : "", part->packets && !part->has_packets ? " payload expired" : "");
		for (int t = 1; t <= TABLE_MAX; t++)
			rows[t] += part->rows[t];
		frames += part->packets;
		plain += part->packet_plain_bytes;
		data_bytes += part->data_bytes;
		packet_bytes += part->packet_bytes;
	}
	printf("\n");
	for (int t = 1; t <= TABLE_MAX; t++)
		if (t != TABLE_PACKETS)
			printf("%-10s %" PRIu64 "\n", table_get((enum table_id)t)->name, rows[t]);
	printf("%-10s %" PRIu64 ", %s as captured\n", "packets", frames, tool_bytes(plain, data));
	printf("%-10s %s rows and indexes, %s packets\n", "on disk", tool_bytes(data_bytes, data),
	       tool_bytes(packet_bytes, packets));
}

int cmd_stats(struct tool *tool)
{
	struct store *store = NULL;
	struct store_view *view = NULL;
	struct view status;
	bool json = strcmp(tool->set.output, "json") == 0;
	int code = EXIT_DONE;

	if (*tool->set.server)
		return client_get(tool, "/api/v1/status", NULL, 0, print_to_stdout, NULL);
	if (store_open(tool->set.data, &store, &tool->err) < 0 ||
	    store_view_open(store, 0, UINT64_MAX, &view, &tool->err) < 0) {
		code = tool_fail(tool);
		goto out;
	}
	if (!json)
		partitions_text(view);
	if (tool->set.columns)
		code = columns(tool, view);
	if (code == EXIT_DONE && store_status(store, "recorder", tool->arena, &status, NULL) >= 0) {
		if (!json)
			printf("\nrecorder\n");
		tool_write(status);
		printf("\n");
	} else if (json) {
		printf("null\n");
	}
out:
	store_view_close(view);
	store_close(store);
	return code;
}

/* --------------------------------------------------------------------- check */

static void finding_text(const char *finding, void *arg)
{
	(void)arg;
	printf("%s\n", finding);
}

static void finding_json(const char *finding, void *arg)
{
	json_cstr(arg, finding);
}

int cmd_check(struct tool *tool)
{
	struct store_check_totals totals = { 0 };
	bool as_json = strcmp(tool->set.output, "json") == 0;
	struct wr out;
	struct json json;
	char text[32];
	int findings;

	wr_init(&out, 0);
	json_init(&json, &out, true);
	if (as_json) {
		json_object(&json);
		json_key(&json, "findings");
		json_array(&json);
	}
	findings = store_check(tool->set.data, as_json ? finding_json : finding_text, &json, &totals, &tool->err);
	if (findings < 0) {
		wr_release(&out);
		return tool_fail(tool);
	}
	if (as_json) {
		json_array_end(&json);
		json_ku64(&json, "partitions", totals.parts);
		json_ku64(&json, "row_groups", totals.row_groups);
		json_ku64(&json, "rows", totals.rows);
		json_ku64(&json, "blocks", totals.blocks);
		json_ku64(&json, "packets", totals.packets);
		json_ku64(&json, "bytes", totals.bytes);
		json_object_end(&json);
		wr_u8(&out, '\n');
		tool_write(wr_view(&out));
	} else {
		printf("%s: %" PRIu64 " partitions, %" PRIu64 " row groups, %" PRIu64 " rows, %" PRIu64 " packets, %s\n",
		       findings ? "DAMAGED" : "sound", totals.parts, totals.row_groups, totals.rows, totals.packets,
		       tool_bytes(totals.bytes, text));
	}
	wr_release(&out);
	return findings ? EXIT_FAILED : EXIT_DONE;
}
