/* Every question, with the n-th allocation failing: an error, no leak, no crash; and right again afterwards. */
#include "tests/query_store.h"

static bool any_row(void *arg, const struct table *table, const void *row)
{
	size_t *count = arg;

	(void)table;
	(void)row;
	++*count;
	return true;
}

static int any_write(void *arg, struct view bytes, struct err *err)
{
	size_t *count = arg;

	(void)err;
	*count += bytes.len;
	return 0;
}

static bool no_sleep(void *arg, uint64_t ns)
{
	(void)arg;
	(void)ns;
	return true;
}

static void fill(struct fixture *fixture)
{
	struct packet_block block;
	struct err err = { 0 };

	for (unsigned i = 0; i < 30; i++) {
		uint64_t ns = T0 + i * 10 * NS_PER_MIN;
		struct call_row call = { .id = schema_id(ns, i),
					 .start_ns = ns,
					 .end_ns = ns + 1000,
					 .flow_id = i,
					 .l7 = L7_http };
		struct flow_row flow = { .id = i,
					 .start_ns = ns,
					 .end_ns = ns + 1000,
					 .first_ns = ns,
					 .view = VIEW_first };
		struct packet_rec rec = { .time_ns = ns,
					  .number = i + 1,
					  .flow_id = i,
					  .orig_len = 60,
					  .link = 1,
					  .segments = 1,
					  .frame = VIEW_LIT(
						  "sixty bytes would be more, but these will do") };

		ROW_SET(CALL, &call, method, VIEW_LIT("GET"));
		ROW_SET(CALL, &call, latency_ns, 1000 + i);
		ROW_SET(FLOW, &flow, src_comm, VIEW_LIT("curl"));
		CHECK_OK(store_write_rows(fixture->writer, TABLE_CALLS, &call, 1, &err), err);
		CHECK_OK(store_write_rows(fixture->writer, TABLE_FLOWS, &flow, 1, &err), err);
		CHECK_EQ(packet_block_init(&block, 1), 0);
		CHECK_EQ(packet_block_add(&block, &rec), 0);
		CHECK_OK(store_write_packets(fixture->writer, &block, &err), err);
		packet_block_release(&block);
		if (i == 15)
			fixture_seal(fixture);
	}
	CHECK_OK(store_commit(fixture->writer, &err), err);
}

enum { ASK_ROWS, ASK_AGGREGATE, ASK_VALUES, ASK_EXPORT, ASK_PACKETS, ASK_AT, ASK_REPLAY, ASKS };

static int ask(struct store *store, unsigned what, struct arena *arena, size_t *count,
	       struct err *err)
{
	struct query_opts opts = { .filter = VIEW_LIT("method matches \"G\" && latency > 1us") };
	struct query_rows rows = { .table = TABLE_CALLS, .limit = 7 };
	struct query_aggregate by = { .table = TABLE_CALLS,
				      .by = VIEW_LIT("method, l7"),
				      .step_ns = NS_PER_HOUR,
				      .agg = VIEW_LIT("count, p99(latency), distinct(id)") };
	struct query_export export = { .format = EXPORT_PCAPNG,
				       .calls_filter = VIEW_LIT("http"),
				       .packet_filter = VIEW_LIT("greater 1") };
	struct query_export_totals totals;
	struct query_groups groups;
	struct query_stats stats;
	struct view cursor, *values;

	*count = 0;
	switch (what) {
	case ASK_ROWS:
		return query_rows(store, &opts, &rows, any_row, count, arena, &stats, &cursor, err);
	case ASK_AGGREGATE: return query_aggregate(store, &opts, &by, arena, &groups, &stats, err);
	case ASK_VALUES:
		opts.filter = (struct view){ 0 };
		return query_values(store, &opts, TABLE_CALLS,
				    table_col(table_get(TABLE_CALLS), VIEW_LIT("method")),
				    VIEW_LIT("G"), 5, arena, &values, count, err);
	case ASK_EXPORT:
		opts.filter = VIEW_LIT("comm == curl");
		return query_export(store, &opts, &export, any_write, count, &totals, &stats, err);
	case ASK_PACKETS:
		rows.table = TABLE_PACKETS;
		opts.filter = VIEW_LIT("len > 1");
		return query_rows(store, &opts, &rows, any_row, count, arena, &stats, &cursor, err);
	case ASK_AT:
		opts.filter = (struct view){ 0 };
		return query_at(store, &opts, T0, 0, any_row, count, arena, &stats, err);
	default: return query_replay(store, &opts, 0, any_row, no_sleep, count, &stats, err);
	}
}

TEST(query_memory, lack_of_it_is_an_error_and_no_more, .timeout = 120)
{
	struct fixture fixture;

	fixture_open(&fixture);
	fill(&fixture);
	for (unsigned what = 0; what < ASKS; what++) {
		unsigned good = 0, bad = 0;

		/* A failure may be got over (a pattern without JIT): the end is many good ones. */
		for (uint64_t n = 1; good < 50 && n < 5000; n++) {
			int64_t live = mem_live();
			struct store *store = NULL;
			struct err err = { 0 };
			struct arena arena;
			size_t count;
			int rc;

			/* Opened anew: what the store keeps open is asked for as well. */
			CHECK_OK(store_open(fixture.dir, &store, &err), err);
			arena_init(&arena, 0);
			mem_fail_nth(n);
			rc = ask(store, what, &arena, &count, &err);
			mem_fail_nth(0);
			CHECK(rc >= 0 || rc == E_NO_MEMORY || rc == E_BUDGET,
			      "question %u, allocation %" PRIu64 ": %s: %s", what, n, err_name(rc),
			      err.text);
			CHECK(rc >= 0 || err.text[0],
			      "question %u, allocation %" PRIu64 ": no words", what, n);
			arena_release(&arena);
			store_close(store);
			CHECK(mem_live() == live, "question %u, allocation %" PRIu64 " leaks", what,
			      n);
			if (rc >= 0)
				CHECK(count + (what == ASK_AGGREGATE) > 0,
				      "question %u, allocation %" PRIu64 ": nothing", what, n);
			good = rc < 0 ? 0 : good + 1;
			bad += rc < 0;
		}
		CHECK(good == 50 && bad > 10, "question %u: %u failures", what, bad);
	}
	fixture_close(&fixture);
}
