#include "ingest/rollup.h"

#include "base/hash.h"
#include "store/hist.h"
#include "tests/ingest_kit.h"

static const uint32_t tiers[ROLLUP_TIERS_COUNT] = ROLLUP_TIERS;

static const struct rollup_row *row_at(const struct batch *batch, size_t index)
{
	return (const struct rollup_row *)batch->rows[TABLE_ROLLUPS].at + index;
}

static size_t tier_of(const struct rollup_row *row)
{
	size_t t = 0;

	while (t < ROLLUP_TIERS_COUNT && tiers[t] != row->tier)
		t++;
	CHECK_LT(t, ROLLUP_TIERS_COUNT);
	return t;
}

static struct rollup_edge edge_to(const char *name)
{
	return (struct rollup_edge){ .src_workload = VIEW_LIT("web"), .dst_workload = view_str(name), .dst_port = 80,
				     .has_port = true, .proto = PROTO_tcp, .l7 = L7_http };
}

TEST(rollup, adds_where_an_edge_was_found_until_its_second_is_over)
{
	struct rollup *rollup = rollup_new(1, NULL);
	struct rollup_counts one = { .calls = 1 };
	struct rollup_edge api = edge_to("api"), db = edge_to("db");
	struct rollup_place place = { 0 }, folded = { 0 };
	struct batch *batch = batch_new();

	CHECK(rollup && batch);
	CHECK_NOT(rollup_add_at(rollup, KIT_T0, &place, &one, NULL), "zeroed, it is nowhere");
	rollup_add(rollup, batch, KIT_T0, &api, &one, NULL, &place);
	CHECK(rollup_add_at(rollup, KIT_T0 + NS_PER_SEC - 1, &place, &one, NULL));
	CHECK_NOT(rollup_add_at(rollup, KIT_T0 + NS_PER_SEC, &place, &one, NULL));
	CHECK_NOT(rollup_add_at(rollup, KIT_T0 - 1, &place, &one, NULL));
	rollup_add(rollup, batch, KIT_T0, &db, &one, NULL, &folded);
	CHECK_U64(folded.opened, 0);	/* each one folded is counted */
	rollup_tick(rollup, batch, KIT_T0 + 3 * NS_PER_SEC);
	CHECK_U64(batch->rows[TABLE_ROLLUPS].count, 2);
	CHECK_U64(row_at(batch, 0)->calls, 2);
	CHECK_NOT(rollup_add_at(rollup, KIT_T0, &place, &one, NULL), "its second was written");
	rollup_add(rollup, batch, KIT_T0, &db, &one, NULL, NULL);
	CHECK_NOT(rollup_add_at(rollup, KIT_T0, &place, &one, NULL), "the same second again, but another edge is there");
	rollup_free(rollup);
	batch_free(batch);
}

TEST(rollup, waits_two_seconds_and_adds_late_rows)
{
	struct rollup *rollup = rollup_new(0, NULL);
	struct rollup_counts one = { .calls = 1, .tx_bytes = 10 };
	struct rollup_edge edge = edge_to("api");
	struct batch *batch = batch_new();

	CHECK(rollup && batch);
	rollup_add(rollup, batch, KIT_T0 + 1, &edge, &one, NULL, NULL);
	rollup_add(rollup, batch, KIT_T0 + NS_PER_SEC - 1, &edge, &one, NULL, NULL);
	rollup_tick(rollup, batch, KIT_T0 + 3 * NS_PER_SEC - 1);
	CHECK_U64(batch->rows[TABLE_ROLLUPS].count, 0);
	rollup_tick(rollup, batch, KIT_T0 + 3 * NS_PER_SEC);
	CHECK_U64(batch->rows[TABLE_ROLLUPS].count, 1);
	CHECK_U64(row_at(batch, 0)->start_ns, KIT_T0);
	CHECK_U64(row_at(batch, 0)->calls, 2);
	CHECK_U64(row_at(batch, 0)->tx_bytes, 20);
	CHECK_NOT(ROW_HAS(ROLLUP, row_at(batch, 0), latency));
	/* late: another row of the same second, and the minute has all of it */
	rollup_add(rollup, batch, KIT_T0, &edge, &one, NULL, NULL);
	rollup_flush(rollup, batch);
	CHECK_U64(batch->rows[TABLE_ROLLUPS].count, 1 + ROLLUP_TIERS_COUNT);
	CHECK_U64(row_at(batch, 1)->start_ns, KIT_T0);
	CHECK_U64(row_at(batch, 1)->calls, 1);
	for (size_t t = 1; t < ROLLUP_TIERS_COUNT; t++) {
		const struct rollup_row *row = row_at(batch, 1 + t);

		CHECK_U64(row->tier, tiers[t]);
		CHECK_U64(row->start_ns, KIT_T0 - KIT_T0 % (tiers[t] * NS_PER_SEC));
		CHECK_U64(row->end_ns, row->start_ns + tiers[t] * NS_PER_SEC);
		CHECK_U64(row->calls, 3);
		CHECK_VIEW(row->dst_workload, "api");
	}
	batch_free(batch);
	rollup_free(rollup);
}

TEST(rollup, folds_what_is_beyond_its_number_of_edges)
{
	struct counters counters = { 0 };
	struct rollup *rollup = rollup_new(3, &counters);
	struct rollup_counts one = { .calls = 1 };
	struct batch *batch = batch_new();
	uint64_t calls = 0, other = 0;
	char name[16];

	CHECK(rollup && batch);
	for (int i = 0; i < 10; i++) {
		struct rollup_edge edge;

		(void)snprintf(name, sizeof(name), "svc-%d", i);
		edge = edge_to(name);
		rollup_add(rollup, batch, KIT_T0, &edge, &one, NULL, NULL);
	}
	rollup_flush(rollup, batch);
	for (size_t i = 0; i < batch->rows[TABLE_ROLLUPS].count; i++) {
		const struct rollup_row *row = row_at(batch, i);

		if (row->tier != 1)
			continue;
		calls += row->calls;
		if (view_is(row->dst_workload, "other")) {
			other += row->calls;
			CHECK_NOT(ROW_HAS(ROLLUP, row, dst_port));
			CHECK_VIEW(row->src_workload, "other");
		}
	}
	CHECK_U64(calls, 10);
	CHECK_U64(other, 7);
	CHECK_GE(counter_get(&counters, COUNTER_rollup_folded_total), 7);
	batch_free(batch);
	rollup_free(rollup);
}

TEST(rollup, merges_histograms_exactly)
{
	struct rollup *rollup = rollup_new(0, NULL);
	struct rollup_counts one = { .calls = 1 };
	struct rollup_edge edge = edge_to("api");
	struct hist *want = hist_new(), *got[ROLLUP_TIERS_COUNT];
	struct wr bytes[2];
	struct batch *batch = batch_new();
	struct err err = { 0 };

	CHECK(rollup && batch && want);
	for (size_t t = 0; t < ROLLUP_TIERS_COUNT; t++)
		CHECK((got[t] = hist_new()) != NULL);
	for (uint64_t i = 0; i < 1000; i++) {
		struct rollup_times times = { 0 };

		rollup_time_set(&times, ROLLUP_LATENCY, i * i);
		CHECK_U64(hist_add(want, i * i, 1), 0);
		rollup_add(rollup, batch, KIT_T0 - KIT_T0 % NS_PER_MIN + i % 40 * NS_PER_SEC, &edge, &one, &times, NULL);
	}
	rollup_flush(rollup, batch);
	for (size_t i = 0; i < batch->rows[TABLE_ROLLUPS].count; i++)
		CHECK_OK(hist_merge_bytes(got[tier_of(row_at(batch, i))], row_at(batch, i)->latency, &err), err);
	CHECK_U64(hist_count(want), 1000);
	wr_init(&bytes[0], 0);
	wr_init(&bytes[1], 0);
	hist_write(want, &bytes[0]);
	for (size_t t = 0; t < ROLLUP_TIERS_COUNT; t++) {	/* bit for bit */
		wr_reset(&bytes[1]);
		hist_write(got[t], &bytes[1]);
		CHECK(view_eq(wr_view(&bytes[0]), wr_view(&bytes[1])), "tier %u", tiers[t]);
		hist_free(got[t]);
	}
	wr_release(&bytes[0]);
	wr_release(&bytes[1]);
	hist_free(want);
	batch_free(batch);
	rollup_free(rollup);
}

/* A capture whose clock jumps about opens no more than a few buckets, and loses nothing. */
TEST(rollup, bounds_its_open_buckets)
{
	struct rollup *rollup = rollup_new(0, NULL);
	struct rollup_counts one = { .tx_packets = 1 };
	struct rollup_edge edge = edge_to("api");
	struct batch *batch = batch_new();
	uint64_t sums[ROLLUP_TIERS_COUNT] = { 0 };

	CHECK(rollup && batch);
	for (uint64_t i = 0; i < 5000; i++)
		rollup_add(rollup, batch, hash_u64(i) % (365 * NS_PER_DAY), &edge, &one, NULL, NULL);
	rollup_flush(rollup, batch);
	for (size_t i = 0; i < batch->rows[TABLE_ROLLUPS].count; i++)
		sums[tier_of(row_at(batch, i))] += row_at(batch, i)->tx_packets;
	for (size_t t = 0; t < ROLLUP_TIERS_COUNT; t++)
		CHECK_U64(sums[t], 5000);
	batch_free(batch);
	rollup_free(rollup);
}
