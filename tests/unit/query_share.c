#include <math.h>

#include "base/crew.h"
#include "base/mem.h"
#include "tests/query_store.h"

/*
 * Random rows, random questions: the answer is the same bit for bit however many
 * threads share the work, also when the memory of a query makes them add up early.
 */

#define ROWS	90000
#define HOURS	3
#ifdef __SANITIZE_THREAD__
#define ROUNDS	12	/* every access is looked at there: the threads are what it is about, not the questions */
#define LIMIT_BITS 8
#else
#define ROUNDS	60
#define LIMIT_BITS 14
#endif

static char workloads[300][16], pods[3000][20];

static struct call_row *make_calls(void)
{
	struct call_row *rows = mem_array(ROWS, sizeof(*rows));

	CHECK(rows);
	for (size_t i = 0; i < 300; i++)
		(void)snprintf(workloads[i], sizeof(workloads[i]), "workload-%zu", i);
	for (size_t i = 0; i < 3000; i++)
		(void)snprintf(pods[i], sizeof(pods[i]), "pod-%zu", i * 7919);
	for (size_t i = 0; i < ROWS; i++) {
		struct call_row *row = &rows[i];
		struct ip ip = { { [10] = 0xff, [11] = 0xff, 10, (uint8_t)random_below(3), 0, (uint8_t)random_below(250) } };

		row->start_ns = T0 + random_below(HOURS * NS_PER_HOUR);
		row->end_ns = row->start_ns + random_below(NS_PER_SEC);
		row->id = schema_id(row->start_ns, i);
		row->l7 = random_below(4) ? L7_http : L7_dns;
		row->status_class = random_below(9) ? CLASS_ok : CLASS_server_error;
		row->end_reason = random_below(20) ? CALL_END_complete : CALL_END_unanswered;
		ROW_SET(CALL, row, src_ip, ip);
		if (random_below(4))
			ROW_SET(CALL, row, dst_port, (uint16_t)(80 + random_below(40)));
		if (random_below(8))
			ROW_SET(CALL, row, dst_workload, view_str(workloads[random_below(300)]));
		if (random_below(8))
			ROW_SET(CALL, row, src_pod, view_str(pods[random_below(3000)]));
		if (random_below(5))
			ROW_SET(CALL, row, status, (uint16_t)(200 + random_below(4) * 100));
		if (random_below(9))
			ROW_SET(CALL, row, latency_ns, random_below(16) ? random_below(1 << 20) : random_below(1ull << 40));
	}
	return rows;
}

static const char *const conditions[] = {
	"",
	"http",
	"status >= 400 || dst.port == null",
	"dst.workload matches \"7$\" && !dns",
	"src.pod contains \"1\"",
	"src.ip in 10.1.0.0/16",
	"latency > 300us && status in {200 500}",
	"dst.port in 85..90 || dst.workload == workload-7",
	"status == 204",
	"dst.workload == nobody",
};
static const char *const columns[] = { "dst.workload", "dst.port", "src.pod", "status", "l7", "src.ip", "status_class" };
static const char *const aggregates[] = { "count", "sum(latency)", "min(latency)", "max(latency)", "avg(latency)",
					  "rate", "rate(latency)", "error_ratio", "distinct(src.ip)", "distinct(src.pod)",
					  "distinct(status)", "p50(latency)", "p99(latency)", "count(status)" };
static const uint64_t steps[] = { 0, 0, NS_PER_MIN, 17 * NS_PER_SEC, NS_PER_HOUR };

#define PICK(list) (list)[random_below(sizeof(list) / sizeof((list)[0]))]

static void pick_list(struct wr *wr, const char *const *list, size_t count, unsigned least, unsigned most)
{
	uint64_t taken = 0;
	unsigned want = least + (unsigned)random_below(most - least + 1);

	wr_reset(wr);
	for (unsigned i = 0; i < want; i++) {
		size_t at = random_below(count);

		if (taken >> at & 1)
			continue;
		taken |= 1ull << at;
		wr_printf(wr, "%s%s", wr->len ? "," : "", list[at]);
	}
}

static void same_value(double a, double b, const char *what)
{
	CHECK(memcmp(&a, &b, sizeof(a)) == 0, "%s: %.17g alone, %.17g shared", what, a, b);
}

static void same_groups(const struct query_groups *a, const struct query_groups *b, const char *what)
{
	CHECK(a->count == b->count, "%s: %zu groups alone, %zu shared", what, a->count, b->count);
	CHECK_LE(a->values_count, b->values_count);
	for (size_t i = 0; i < a->count; i++) {
		CHECK_U64(a->groups[i].bucket_ns, b->groups[i].bucket_ns);
		for (size_t k = 0; k < a->keys_count; k++) {
			CHECK_EQ(!a->groups[i].keys[k].at, !b->groups[i].keys[k].at);
			CHECK(view_eq(a->groups[i].keys[k], b->groups[i].keys[k]), "%s: key %zu of group %zu", what, k, i);
		}
		for (size_t v = 0; v < a->values_count; v++)
			same_value(a->groups[i].values[v], b->groups[i].values[v], what);
	}
}

static void same_stats(const struct query_stats *a, const struct query_stats *b)
{
	CHECK_U64(a->row_groups, b->row_groups);
	CHECK_U64(a->row_groups_read, b->row_groups_read);
	CHECK_U64(a->row_groups_skipped_bloom, b->row_groups_skipped_bloom);
	CHECK_U64(a->rows_scanned, b->rows_scanned);
	CHECK_U64(a->rows_matched, b->rows_matched);
	CHECK_U64(a->bytes_read, b->bytes_read);
	CHECK_U64(a->bytes_stored, b->bytes_stored);
	CHECK_EQ(a->truncated, b->truncated);
}

static struct call_row *store_fill(struct fixture *fixture)
{
	struct call_row *rows = make_calls();

	fixture_open(fixture);
	for (size_t i = 0; i < ROWS; i += 3000) /* thirty small row groups an hour */
		fixture_write(fixture, TABLE_CALLS, rows + i, 3000);
	return rows;
}

static void ask(struct fixture *fixture, struct crew *const crews[3], struct query_opts *opts,
		const struct query_aggregate *what, const char *text)
{
	struct query_groups groups[3];
	struct query_stats stats[3];
	struct err err[3] = { { 0 } };
	int rc[3];

	arena_reset(&fixture->arena);
	for (int i = 0; i < 3; i++) {
		opts->crew = crews[i];
		rc[i] = query_aggregate(fixture->store, opts, what, &fixture->arena, &groups[i], &stats[i], &err[i]);
		CHECK(rc[i] == rc[0], "%s: %s alone, %s shared", text, rc[0] < 0 ? err[0].text : "well",
		      rc[i] < 0 ? err[i].text : "well");
		if (rc[i] < 0 || i == 0)
			continue;
		same_groups(&groups[0], &groups[i], text);
		same_stats(&stats[0], &stats[i]);
	}
}

TEST(share, any_number_of_threads_gives_the_same_answer, .timeout = 120)
{
	struct crew *crews[3] = { NULL, crew_new(1), crew_new(4) };
	uint64_t seed = clock_mono_ns() | 1;
	struct fixture fixture;
	struct call_row *rows;
	struct wr by, agg, text;

	random_state = seed;
	wr_init(&by, 0);
	wr_init(&agg, 0);
	wr_init(&text, 0);
	rows = store_fill(&fixture);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct query_opts opts = { .filter = view_str(PICK(conditions)) };
		struct query_aggregate what = { .table = TABLE_CALLS, .starts_within = true, .step_ns = PICK(steps) };

		if (round == ROUNDS / 2)
			fixture_seal(&fixture);
		if (random_below(2)) {
			opts.from_ns = T0 + random_below(2 * NS_PER_HOUR);
			opts.to_ns = opts.from_ns + 1 + random_below(2 * NS_PER_HOUR);
		}
		/* Sometimes a budget that some answers need more than. */
		if (random_below(4) == 0)
			opts.budget.memory = (size_t)(512 << 10) << random_below(6);
		if (random_below(6) == 0)
			opts.budget.rows = 1 + random_below(ROWS);
		if (random_below(6) == 0)
			opts.budget.bytes = 1 + random_below(ROWS * 40);
		pick_list(&by, columns, sizeof(columns) / sizeof(columns[0]), 0, 3);
		pick_list(&agg, aggregates, sizeof(aggregates) / sizeof(aggregates[0]), 1, 5);
		what.by = wr_view(&by);
		what.agg = wr_view(&agg);
		wr_reset(&text);
		wr_printf(&text, "seed %" PRIu64 ": %.*s by %.*s step %" PRIu64 " where %.*s", seed, (int)agg.len,
			  (const char *)agg.at, (int)by.len, (const char *)(by.at ? (const void *)by.at : ""), what.step_ns,
			  (int)opts.filter.len, (const char *)opts.filter.at);
		wr_u8(&text, 0);
		ask(&fixture, crews, &opts, &what, (const char *)text.at);
	}
	for (int i = 0; i < 3; i++)
		crew_free(crews[i]);
	mem_free(rows);
	wr_release(&by);
	wr_release(&agg);
	wr_release(&text);
	fixture_close(&fixture);
}

/* Budgets are those of all workers together, and a query that was cancelled ends. */
TEST(share, budgets_hold_for_all_together)
{
	atomic_bool cancel = true;
	struct query_opts opts = { .crew = crew_new(3) };
	struct query_aggregate what = { .table = TABLE_CALLS, .agg = VIEW_LIT("sum(latency)"), .starts_within = true };
	struct query_groups groups;
	struct query_stats stats;
	struct fixture fixture;
	struct call_row *rows;
	struct err err = { 0 };

	random_state = 7;
	rows = store_fill(&fixture);
	opts.budget.rows = ROWS;
	CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), err);
	CHECK_U64(stats.rows_scanned, ROWS);
	opts.budget.rows = ROWS - 1; /* spent by the last row group only */
	CHECK_EQ(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), E_BUDGET);
	opts.budget.rows = ROWS;
	opts.budget.bytes = stats.bytes_read - 1;
	CHECK_EQ(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), E_BUDGET);
	opts.budget.bytes = stats.bytes_read;
	CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), err);
	opts.cancel = &cancel;
	CHECK_EQ(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), E_CANCELLED);
	crew_free(opts.crew);
	mem_free(rows);
	fixture_close(&fixture);
}

/* ---- lists of rows ---- */

struct list {
	struct call_row *rows;
	size_t count, cap;
};

static bool list_row(void *arg, const struct table *table, const void *row)
{
	struct list *list = arg;

	(void)table;
	CHECK_EQ(mem_grow((void **)&list->rows, &list->cap, list->count, sizeof(*list->rows)), 0);
	memcpy(&list->rows[list->count++], row, sizeof(*list->rows));
	return true;
}

static void same_row(const struct call_row *a, const struct call_row *b, const char *what)
{
	const struct table *table = table_get(TABLE_CALLS);

	for (size_t c = 0; c < table->cols_count; c++) {
		uint64_t x = 0, y = 0;
		struct view s = { 0 }, t = { 0 };

		CHECK(row_get(&table->cols[c], a, &x, &s) == row_get(&table->cols[c], b, &y, &t), "%s: %s", what,
		      table->cols[c].key);
		CHECK(x == y && s.len == t.len, "%s: %s", what, table->cols[c].key);
	}
}

/* Pages until there is no more, or for a while; the texts of rows die with their page, so only their lengths are kept. */
static int list_pages(struct fixture *fixture, struct query_opts opts, struct query_rows rows, struct list *list,
		      struct query_stats *stats, struct err *err)
{
	int rc = 0;

	list->count = 0;
	for (unsigned page = 0; rc == 0 && page < 5; page++) {
		struct view cursor = { 0 };

		rc = query_rows(fixture->store, &opts, &rows, list_row, list, &fixture->arena, stats, &cursor, err);
		if (rc < 0 || !cursor.len)
			break;
		rows.cursor = cursor;
	}
	return rc;
}

TEST(share, any_number_of_threads_lists_the_same_rows, .timeout = 120)
{
	static const uint16_t few[] = { CALL_status, CALL_src_pod, CALL_latency_ns };
	struct crew *crews[3] = { NULL, crew_new(1), crew_new(4) };
	uint64_t seed = clock_mono_ns() | 1, listed = 0;
	struct list lists[3] = { { 0 } };
	struct fixture fixture;
	struct call_row *all;

	random_state = seed;
	printf("seed %" PRIu64 "\n", seed);
	all = store_fill(&fixture);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct query_opts opts = { .filter = view_str(PICK(conditions)) };
		struct query_rows rows = { .table = TABLE_CALLS, .starts_within = true, .ascending = random_below(2),
					   .limit = 1 + random_below(1u << random_below(LIMIT_BITS)) };
		struct query_stats stats[3];
		struct err err[3] = { { 0 } };
		int rc[3];

		if (round == ROUNDS / 2)
			fixture_seal(&fixture);
		if (random_below(2)) {
			opts.from_ns = T0 + random_below(2 * NS_PER_HOUR);
			opts.to_ns = opts.from_ns + 1 + random_below(2 * NS_PER_HOUR);
		}
		if (random_below(3) == 0) {
			rows.fields = few;
			rows.fields_count = sizeof(few) / sizeof(few[0]);
		}
		if (random_below(5) == 0)
			opts.budget.rows = 1 + random_below(ROWS);
		if (random_below(5) == 0)
			opts.budget.bytes = 1 + random_below(ROWS * 40);
		arena_reset(&fixture.arena);
		for (int i = 0; i < 3; i++) {
			opts.crew = crews[i];
			rc[i] = list_pages(&fixture, opts, rows, &lists[i], &stats[i], &err[i]);
			CHECK(rc[i] == rc[0], "%.*s: %s alone, %s shared", (int)opts.filter.len,
			      (const char *)opts.filter.at, rc[0] < 0 ? err[0].text : "well",
			      rc[i] < 0 ? err[i].text : "well");
			CHECK_EQ(lists[i].count, lists[0].count);
			for (size_t k = 0; i && k < lists[0].count; k++)
				same_row(&lists[0].rows[k], &lists[i].rows[k], (const char *)opts.filter.at);
			if (i && rc[0] == 0)
				same_stats(&stats[0], &stats[i]);
		}
		listed += lists[0].count;
	}
	CHECK(listed > ROUNDS);
	for (int i = 0; i < 3; i++) {
		crew_free(crews[i]);
		mem_free(lists[i].rows);
	}
	mem_free(all);
	fixture_close(&fixture);
}

/*
 * Conditions look at columns as they are stored when no aggregate needs them. With aggregates that do, the same
 * columns are decoded first: the groups, and what both were asked, are the same.
 */
TEST(share, columns_as_stored_or_decoded_give_the_same_answer, .timeout = 120)
{
	static const char all[] = ",count(status),count(dst.workload),count(src.pod),count(src.ip),count(latency),"
				  "count(dst.port),count(l7)";
	struct crew *crew = crew_new(1);
	uint64_t seed = clock_mono_ns() | 1, matched = 0;
	struct fixture fixture;
	struct call_row *rows;
	struct wr by, agg;

	random_state = seed;
	printf("seed %" PRIu64 "\n", seed);
	wr_init(&by, 0);
	wr_init(&agg, 0);
	rows = store_fill(&fixture);
	fixture_seal(&fixture);
	for (unsigned round = 0; round < 40; round++) {
		struct query_opts opts = { .filter = view_str(PICK(conditions)), .crew = round % 2 ? crew : NULL };
		struct query_aggregate what = { .table = TABLE_CALLS, .starts_within = true, .step_ns = PICK(steps) };
		struct query_groups stored, decoded;
		struct query_stats stats, more;
		struct err err = { 0 };

		arena_reset(&fixture.arena);
		pick_list(&by, columns, sizeof(columns) / sizeof(columns[0]), 0, 2);
		pick_list(&agg, aggregates, sizeof(aggregates) / sizeof(aggregates[0]), 1, 3);
		what.by = wr_view(&by);
		what.agg = wr_view(&agg);
		CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &stored, &stats, &err), err);
		wr_str(&agg, all);
		what.agg = wr_view(&agg);
		CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &decoded, &more, &err), err);
		same_groups(&stored, &decoded, (const char *)opts.filter.at);
		CHECK_U64(stats.rows_matched, more.rows_matched);
		matched += stats.rows_matched;
	}
	CHECK_GT(matched, ROWS);
	crew_free(crew);
	mem_free(rows);
	wr_release(&by);
	wr_release(&agg);
	fixture_close(&fixture);
}
