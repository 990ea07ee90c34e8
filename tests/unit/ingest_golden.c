/*
 * tests/golden/CASE/input.pcap(ng) through reader and tracker, against
 * CASE/expect.ndjson: every row of flows, calls and rollups but for ids.
 * GOLDEN_UPDATE=1 writes the expectation instead; read its diff as code.
 */
#include <dirent.h>

#include "base/json.h"
#include "ingest/source_file.h"
#include "store/hist.h"
#include "tests/ingest_kit.h"

static void write_hist(struct json *json, const char *key, struct view bytes)
{
	struct hist *hist = hist_new();

	CHECK(hist && hist_merge_bytes(hist, bytes, NULL) == 0);
	json_key(json, key);
	json_object(json);
	json_ku64(json, "count", hist_count(hist));
	json_ku64(json, "min", hist_min(hist));
	json_ku64(json, "max", hist_max(hist));
	json_object_end(json);
	hist_free(hist);
}

static void write_row(struct wr *out, const struct table *table, const void *row)
{
	struct json json;

	json_init(&json, out, false);
	json_object(&json);
	json_kcstr(&json, "table", table->name);
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		enum sym_table symbols = types[col->type].syms;
		struct view text = { 0 };
		uint64_t number = 0;
		char ip[IP_TEXT_LEN];
		struct ip address;

		if (col->type == TYPE_ID || !row_get(col, row, &number, &text))
			continue;
		if (col->type == TYPE_IP) {
			memcpy(address.b, text.at, sizeof(address.b));
			(void)ip_format(&address, ip);
			json_kcstr(&json, col->key, ip);
		} else if (col->type == TYPE_HIST) {
			write_hist(&json, col->key, text);
		} else if (types[col->type].phys == PHYS_BYTES) {
			json_kstr(&json, col->key, text);
		} else if (symbols != SYMS_NONE && sym_name(symbols, number)) {
			json_kcstr(&json, col->key, sym_name(symbols, number));
		} else {
			json_ku64(&json, col->key, number);
		}
	}
	json_object_end(&json);
	wr_str(out, "\n");
}

static void run_case(const char *input, struct wr *out)
{
	static const enum table_id tables[] = { TABLE_FLOWS, TABLE_CALLS, TABLE_ROLLUPS };
	struct source_file *file = NULL;
	struct err err = { 0 };
	struct tkit kit;
	struct frame frame;
	int rc;

	tkit_init(&kit, (struct tracker_opts){ 0 }, false);
	CHECK_OK(source_file_open(input, &file, &err), err);
	while ((rc = source_file_next(file, &frame, &err)) > 0)
		CHECK_U64(tracker_frame(kit.tracker, &frame), 0);
	CHECK_OK(rc, err);
	tracker_end(kit.tracker);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		const struct batch_rows *rows = &kit.batch->rows[tables[i]];
		const struct table *table = table_get(tables[i]);

		for (size_t n = 0; n < rows->count; n++)
			write_row(out, table, rows->at + n * table->row_bytes);
	}
	source_file_close(file);
	tkit_release(&kit);
}

static void read_file(const char *path, struct wr *out)
{
	FILE *in = fopen(path, "re");
	uint8_t part[4096];
	size_t len;

	CHECK(in, "cannot read %s", path);
	while ((len = fread(part, 1, sizeof(part), in)) > 0)
		wr_bytes(out, view_make(part, len));
	(void)fclose(in);
}

/* The first line that differs says more than two long texts. */
static void compare(const char *name, struct view got, struct view want)
{
	size_t line = 1;

	while (got.len || want.len) {
		const uint8_t *end = got.len ? memchr(got.at, '\n', got.len) : NULL;
		const uint8_t *want_end = want.len ? memchr(want.at, '\n', want.len) : NULL;
		struct view a = view_sub(got, 0, end ? (size_t)(end - got.at) : got.len);
		struct view b = view_sub(want, 0, want_end ? (size_t)(want_end - want.at) : want.len);

		CHECK(view_eq(a, b), "%s: line %zu is\n%.*s\nnot\n%.*s", name, line, (int)a.len,
		      a.len ? (const char *)a.at : "", (int)b.len, b.len ? (const char *)b.at : "");
		got = view_sub(got, a.len + 1, got.len);
		want = view_sub(want, b.len + 1, want.len);
		line++;
	}
}

TEST(ingest_golden, captures_give_the_rows_expected)
{
	DIR *in = opendir("tests/golden");
	struct dirent *entry;
	unsigned cases = 0;

	CHECK(in);
	while ((entry = readdir(in))) {
		char input[512], expect[512];
		struct wr got, want;

		(void)snprintf(input, sizeof(input), "tests/golden/%s/input.pcap", entry->d_name);
		if (access(input, R_OK) != 0)
			(void)snprintf(input, sizeof(input), "tests/golden/%s/input.pcapng", entry->d_name);
		if (access(input, R_OK) != 0)
			continue;
		(void)snprintf(expect, sizeof(expect), "tests/golden/%s/expect.ndjson", entry->d_name);
		wr_init(&got, 0);
		wr_init(&want, 0);
		run_case(input, &got);
		if (getenv("GOLDEN_UPDATE")) {
			FILE *to = fopen(expect, "we");

			CHECK(to && fwrite(got.at, 1, got.len, to) == got.len);
			(void)fclose(to);
		} else {
			read_file(expect, &want);
			compare(entry->d_name, wr_view(&got), wr_view(&want));
		}
		wr_release(&got);
		wr_release(&want);
		cases++;
	}
	(void)closedir(in);
	CHECK_GE(cases, 4);
}
