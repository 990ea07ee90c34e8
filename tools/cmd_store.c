/* Commands that look at the store as a whole: horizon, stats, check. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "tools/tools.h"

/*
 * horizon and stats are JSON first, made by query/objects.c whether here or behind --server, and text is
 * made of that: so all four ways say the same.
 */
struct answer {
	struct wr text;
	struct json_doc *doc;
};

static int collect(void *arg, struct view bytes)
{
	wr_bytes(arg, bytes);
	return ((struct wr *)arg)->bad ? E_NO_MEMORY : 0;
}

static int ask_here(struct tool *tool, bool horizon, struct wr *out)
{
	struct store *store = NULL;
	struct json json;
	int rc = store_open(tool->set.data, &store, &tool->err);

	json_init(&json, out, false);
	json_object(&json);
	if (rc == 0 && horizon)
		rc = query_horizon_json(store, tool->set.from, tool->set.to, tool->arena, &json, &tool->err);
	else if (rc == 0)
		rc = query_status_json(store, tool->arena, &json, &tool->err);
	store_close(store);
	if (rc < 0)
		return tool_fail(tool);
	json_object_end(&json);
	wr_u8(out, '\n');
	return EXIT_DONE;
}

/* EXIT_DONE with the answer printed as JSON or parsed for text; else an exit code with words said. */
static int ask(struct tool *tool, bool horizon, bool as_json, struct answer *answer)
{
	struct client_param list[] = {
		{ "from", horizon ? tool->set.text[PARAM_ID_from] : NULL },
		{ "to", horizon ? tool->set.text[PARAM_ID_to] : NULL },
	};
	int code;

	*answer = (struct answer){ 0 };
	wr_init(&answer->text, 0);
	code = *tool->set.server ? client_get(tool, horizon ? "/api/v1/horizon" : "/api/v1/status", list, 2, collect,
					      &answer->text)
				 : ask_here(tool, horizon, &answer->text);
	if (code == EXIT_DONE && as_json)
		code = tool_write(wr_view(&answer->text)) ? EXIT_DONE : EXIT_FAILED;
	else if (code == EXIT_DONE && json_parse(wr_view(&answer->text), &answer->doc, &tool->err) < 0)
		code = tool_fail(tool);
	return code;
}

static void forget(struct answer *answer)
{
	json_doc_free(answer->doc);
	wr_release(&answer->text);
}

static struct view text_of(const struct json_val *val, const char *key, const char *none)
{
	return json_get_str(json_get(val, key), view_str(none));
}

static uint64_t number_of(const struct json_val *val, const char *key)
{
	return (uint64_t)json_get_i64(json_get(val, key), 0);
}

#define TEXT(v) (int)(v).len, (const char *)(v).at

/* ------------------------------------------------------------------- horizon */

static void horizon_text(const struct json_val *root)
{
	const struct json_val *oldest = json_get(root, "oldest"), *gaps = json_get(root, "gaps");
	struct view text;
	size_t count = json_count(gaps);
	char a[32], b[32];

	for (int t = 1; t <= TABLE_MAX; t++) {
		const char *name = table_get((enum table_id)t)->name;

		text = text_of(oldest, name, "");
		printf("%-10s %s%.*s\n", name, text.len ? "since " : "nothing held", TEXT(text));
	}
	text = text_of(root, "newest", "-");
	printf("newest     %.*s\nrecorder   %s\n", TEXT(text),
	       json_get_bool(json_get(root, "recorder_running"), false) ? "running" : "not running");
	printf("on disk    %s rows, %s packets, %" PRIu64 " partitions\n", tool_bytes(number_of(root, "data_bytes"), a),
	       tool_bytes(number_of(root, "packet_bytes"), b), number_of(root, "partitions"));
	printf("gaps       %zu%s\n", count, count > 20 ? ", the last 20:" : "");
	for (size_t i = count > 20 ? count - 20 : 0; i < count; i++) {
		const struct json_val *gap = json_at(gaps, i);
		struct view from = text_of(gap, "from", "-"), to = text_of(gap, "to", "-");

		text = text_of(gap, "reason", "-");
		printf("  %.*s .. %.*s  %-12.*s %" PRIu64 " packets\n", TEXT(from), TEXT(to), TEXT(text),
		       number_of(gap, "packets"));
	}
}

int cmd_horizon(struct tool *tool)
{
	struct answer answer;
	bool as_json;
	int code = tool_wants_json(tool, &as_json);

	if (code != EXIT_DONE)
		return code;
	code = ask(tool, true, as_json, &answer);
	if (code == EXIT_DONE && !as_json)
		horizon_text(json_root(answer.doc));
	forget(&answer);
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

static int columns(struct tool *tool)
{
	struct store *store = NULL;
	struct store_view *view = NULL;
	int code = EXIT_DONE;

	if (store_open(tool->set.data, &store, &tool->err) < 0 ||
	    store_view_open(store, 0, UINT64_MAX, &view, &tool->err) < 0) {
		code = tool_fail(tool);
		goto out;
	}
	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct table *table = table_get((enum table_id)t);
		struct column_total totals[64 * SCHEMA_HAS_WORDS] = { 0 };
		uint64_t rows = 0, stored = 0;

		for (size_t p = 0; p < store_view_parts(view); p++) {
			rows += store_view_part(view, p)->rows[t];
			if (add_columns(view, p, table->id, totals, &tool->err) < 0) {
				code = tool_fail(tool);
				goto out;
			}
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
out:
	store_view_close(view);
	store_close(store);
	return code;
}

static void partitions_text(const struct json_val *store)
{
	const struct json_val *parts = json_get(store, "partitions"), *repacked = json_get(store, "repacked");
	uint64_t rows[TABLE_MAX + 1] = { 0 }, captured = 0;
	char a[32], b[32];

	printf("%-28s %-7s %10s %10s %10s %10s %10s  %s\n", "partition", "state", "flows", "calls", "packets", "rows",
	       "bytes", "from");
	for (size_t p = 0; p < json_count(parts); p++) {
		const struct json_val *part = json_at(parts, p);
		struct view path = text_of(part, "path", "-"), from = text_of(part, "from", "-");
		bool held = json_get_bool(json_get(part, "has_packets"), true);

		printf("%-28.*s %-7s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10s %10s  %.*s%s%s\n", TEXT(path),
		       json_get_bool(json_get(part, "sealed"), false) ? "sealed" : "hot", number_of(part, "flows"),
		       number_of(part, "calls"), number_of(part, "packets"),
		       tool_bytes(number_of(part, "data_bytes"), a), tool_bytes(number_of(part, "packet_bytes"), b),
		       TEXT(from), json_get_bool(json_get(part, "pinned"), false) ? " pinned" : "",
		       number_of(part, "packets") && !held ? " payload expired" : "");
		for (int t = 1; t <= TABLE_MAX; t++)
			rows[t] += number_of(part, table_get((enum table_id)t)->name);
		captured += number_of(part, "captured_bytes");
	}
	printf("\n");
	for (int t = 1; t <= TABLE_MAX; t++)
		if (t != TABLE_PACKETS)
			printf("%-10s %" PRIu64 "\n", table_get((enum table_id)t)->name, rows[t]);
	printf("%-10s %" PRIu64 ", %s as captured\n", "packets", rows[TABLE_PACKETS], tool_bytes(captured, a));
	printf("%-10s %s rows and indexes, %s packets\n", "on disk", tool_bytes(number_of(store, "data_bytes"), a),
	       tool_bytes(number_of(store, "packet_bytes"), b));
	if (number_of(repacked, "partitions") || number_of(repacked, "cold_partitions"))
		printf("%-10s %" PRIu64 " partitions packed again, from %s to %s; %" PRIu64 " wait\n", "cold",
		       number_of(repacked, "partitions"), tool_bytes(number_of(repacked, "bytes_before"), a),
		       tool_bytes(number_of(repacked, "bytes_after"), b), number_of(repacked, "cold_partitions"));
}

/* Everything the recorder says: one line a number, the names of nested ones joined by a dot. Zeros say nothing. */
static void members_text(const struct json_val *val, const char *before)
{
	for (size_t i = 0; i < json_count(val); i++) {
		const struct json_val *member;
		const char *key;
		char name[200];
		struct view text;

		member = json_member(val, i, &key);
		if (!member)
			return;
		(void)snprintf(name, sizeof(name), "%s%s", before, key);
		switch (json_kind(member)) {
		case JSON_OBJECT:
			(void)snprintf(name, sizeof(name), "%s%s.", before, strcmp(key, "counters") == 0 ? "" : key);
			members_text(member, strcmp(key, "counters") == 0 ? before : name);
			break;
		case JSON_STRING:
			text = json_get_str(member, VIEW_LIT(""));
			printf("  %-34s %.*s\n", name, TEXT(text));
			break;
		case JSON_BOOL:
			printf("  %-34s %s\n", name, json_get_bool(member, false) ? "yes" : "no");
			break;
		case JSON_INT:
			if (json_get_i64(member, 0))
				printf("  %-34s %" PRId64 "\n", name, json_get_i64(member, 0));
			break;
		case JSON_REAL:
			printf("  %-34s %g\n", name, json_get_f64(member, 0));
			break;
		case JSON_ARRAY:
		case JSON_NULL:
			break;
		}
	}
}

/* A probe a line, with the columns that stay empty without it. */
static void probes_text(const struct json_val *probes)
{
	for (size_t i = 0; i < json_count(probes); i++) {
		const struct json_val *probe = json_at(probes, i), *empty = json_get(probe, "columns");
		struct view name = text_of(probe, "name", "-"), state = text_of(probe, "state", "-");
		struct view why = text_of(probe, "why", "");

		printf("  probe %-28.*s %.*s%s%.*s", TEXT(name), TEXT(state), why.len ? ": " : "", TEXT(why));
		for (size_t c = 0; c < json_count(empty); c++) {
			struct view column = json_get_str(json_at(empty, c), VIEW_LIT(""));

			printf("%s%.*s", c ? " " : "; empty without it: ", TEXT(column));
		}
		printf("\n");
	}
}

static void recorder_text(const struct json_val *root)
{
	const struct json_val *recorder = json_get(root, "recorder");
	struct view commit = text_of(root, "last_commit", "-");

	printf("\nrecorder %s, last commit %.*s\n",
	       json_get_bool(json_get(root, "recorder_running"), false) ? "running" : "not running", TEXT(commit));
	probes_text(json_get(json_get(recorder, "live"), "probes"));
	members_text(recorder, "");
}

int cmd_stats(struct tool *tool)
{
	struct answer answer;
	bool as_json;
	int code = tool_wants_json(tool, &as_json);

	if (code != EXIT_DONE)
		return code;
	if (tool->set.columns && (as_json || *tool->set.server))
		return tool_usage(tool, "--columns reads a directory and prints text: without --server and --output json");
	code = ask(tool, false, as_json, &answer);
	if (code == EXIT_DONE && !as_json) {
		partitions_text(json_get(json_root(answer.doc), "store"));
		if (tool->set.columns)
			code = columns(tool);
		if (code == EXIT_DONE)
			recorder_text(json_root(answer.doc));
	}
	forget(&answer);
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

/* EXIT_DONE when nothing was lost, as check says of a sound store. */
static int repair(struct tool *tool, bool as_json)
{
	struct store_salvage_totals totals;
	struct wr out;
	struct json json;
	int rc;

	wr_init(&out, 0);
	json_init(&json, &out, true);
	json_object(&json);
	json_key(&json, "lost");
	json_array(&json);
	rc = store_salvage(tool->set.data, tool->set.repair, as_json ? finding_json : finding_text, &json, &totals, &tool->err);
	json_array_end(&json);
	json_ku64(&json, "lost_rows", totals.lost_rows);
	json_ku64(&json, "rows", totals.rows);
	json_ku64(&json, "packets", totals.packets);
	json_object_end(&json);
	wr_u8(&out, '\n');
	if (rc == 0 && as_json)
		tool_write(wr_view(&out));
	else if (rc == 0)
		printf("%s: %" PRIu64 " rows and %" PRIu64 " packets saved, %" PRIu64 " losses (%" PRIu64 " rows known of)\n",
		       tool->set.repair, totals.rows, totals.packets, totals.lost, totals.lost_rows);
	wr_release(&out);
	return rc < 0 ? tool_fail(tool) : totals.lost ? EXIT_FAILED : EXIT_DONE;
}

int cmd_snapshot(struct tool *tool)
{
	if (tool->set.args_count != 1)
		return tool_usage(tool, "snapshot takes the directory to make");
	if (store_snapshot(tool->set.data, tool->set.args[0], &tool->err) < 0)
		return tool_fail(tool);
	return EXIT_DONE;
}

int cmd_check(struct tool *tool)
{
	struct store_check_totals totals = { 0 };
	bool as_json;
	struct wr out;
	struct json json;
	char text[32];
	int findings, code = tool_wants_json(tool, &as_json);

	if (code != EXIT_DONE)
		return code;
	if (!tool->set.given[PARAM_ID_log_level])	/* what is found is told here, not logged */
		log_set_level(LOG_WARN);
	if (*tool->set.repair)
		return repair(tool, as_json);
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
