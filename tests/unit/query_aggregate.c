#include <math.h>

#include "ingest/rollup.h"
#include "query/filter.h"
#include "tests/query_store.h"

#define ROWS	3000
#define STEP_NS (10 * NS_PER_SEC)

static struct call_row calls[ROWS];

static void make_calls(struct fixture *fixture)
{
	static const char *const services[] = { "cart", "checkout", "payments" };

	for (size_t i = 0; i < ROWS; i++) {
		struct call_row *row = &calls[i];

		memset(row, 0, sizeof(*row));
		row->start_ns = T0 + NS_PER_HOUR - 60 * NS_PER_SEC + random_below(120 * NS_PER_SEC);
		row->end_ns = row->start_ns + random_below(NS_PER_SEC);
		row->id = schema_id(row->start_ns, i);
		row->end_reason = random_below(10)  ? CALL_END_complete
				  : random_below(2) ? CALL_END_unanswered
						    : CALL_END_gap;
		row->status_class = random_below(8) ? CLASS_ok : CLASS_server_error;
		row->l7 = random_below(3) ? L7_http : L7_dns;
		if (random_below(5))
			ROW_SET(CALL, row, dst_service, view_str(services[random_below(3)]));
		if (random_below(9))
			ROW_SET(CALL, row, latency_ns, 1 + random_below(100 * NS_PER_MS));
		ROW_SET(CALL, row, dst_port, (uint16_t)(80 + random_below(4)));
	}
	for (size_t i = 0; i < ROWS; i += 500)
		fixture_write(fixture, TABLE_CALLS, calls + i, 500);
}

static bool same_key(const struct call_row *row, struct view service, uint16_t port)
{
	if (row->dst_port != port)
		return false;
	if (!service.at)
		return !ROW_HAS(CALL, row, dst_service);
	return ROW_HAS(CALL, row, dst_service) && view_eq(row->dst_service, service);
}

static int u64_cmp(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void near(double got, double want, double share, const char *what)
{
	CHECK(fabs(got - want) <= share * want + 1e-9, "%s is %g, not %g", what, got, want);
}

/* One group against a plain loop over all rows. */
static void check_group(const struct query_group *group, uint64_t from_ns, uint64_t to_ns)
{
	static uint64_t latencies[ROWS];
	uint64_t count = 0, sum = 0, failed = 0, max = 0, ids = 0;
	size_t with_latency = 0;

	for (size_t i = 0; i < ROWS; i++) {
		const struct call_row *row = &calls[i];

		if (row->start_ns < from_ns || row->start_ns >= to_ns || row->l7 != L7_http ||
		    row->start_ns / STEP_NS != group->bucket_ns / STEP_NS ||
		    !same_key(row, group->keys[0],
			      (uint16_t)strtoul((const char *)group->keys[1].at, NULL, 10)))
			continue;
		count++;
		ids++;
		failed += row->status_class == CLASS_server_error ||
			  row->end_reason == CALL_END_unanswered;
		if (!ROW_HAS(CALL, row, latency_ns))
			continue;
		latencies[with_latency++] = row->latency_ns;
		sum += row->latency_ns;
		max = row->latency_ns > max ? row->latency_ns : max;
	}
	CHECK_GT(count, 0);
	CHECK(group->values[0] == (double)count, "count %g, not %" PRIu64, group->values[0], count);
	CHECK(group->values[1] == (double)sum);
	CHECK(with_latency ? group->values[2] == (double)max : isnan(group->values[2]));
	near(group->values[3], (double)failed / (double)count, 1e-12, "error_ratio");
	CHECK(group->values[4] == (double)ids);
	if (!with_latency) {
		CHECK(isnan(group->values[5]) && isnan(group->values[6]));
		return;
	}
	near(group->values[5], (double)sum / (double)with_latency, 1e-12, "avg");
	qsort(latencies, with_latency, sizeof(*latencies), u64_cmp);
	/* a histogram's bucket is known to 1.09 %; around the rank, any neighbour will do */
	double low = (double)latencies[(size_t)(0.9 * (double)(with_latency - 1))];
	double high = (double)latencies[(size_t)ceil(0.9 * (double)(with_latency - 1))];
	CHECK(group->values[6] >= low * 0.98 && group->values[6] <= high * 1.02,
	      "p90 %g of [%g, %g]", group->values[6], low, high);
}

static void check_aggregate(struct fixture *fixture)
{
	struct query_opts opts = { .from_ns = T0 + NS_PER_HOUR - 33 * NS_PER_SEC,
				   .to_ns = T0 + NS_PER_HOUR + 41 * NS_PER_SEC,
				   .filter = VIEW_LIT("http") };
	struct query_aggregate what = {
		.table = TABLE_CALLS,
		.by = VIEW_LIT("dst.service, dst.port"),
		.step_ns = STEP_NS,
		.starts_within = true,
		.agg = VIEW_LIT(
			"count,sum(latency),max(latency_ns), error_ratio,distinct(id),avg(latency),p90(latency)"),
	};
	struct query_groups groups;
	struct query_stats stats;
	struct err err = { 0 };
	double total = 0;
	size_t want = 0;

	CHECK_OK(query_aggregate(fixture->store, &opts, &what, &fixture->arena, &groups, &stats,
				 &err),
		 err);
	CHECK_EQ(groups.keys_count, 2);
	CHECK_EQ(groups.values_count, 7);
	CHECK_STR(groups.key_names[0], "dst.service");
	CHECK_STR(groups.value_names[3], "error_ratio");
	CHECK_EQ(groups.value_units[6], UNIT_DURATION);
	for (size_t i = 0; i < groups.count; i++) {
		check_group(&groups.groups[i], opts.from_ns, opts.to_ns);
		total += groups.groups[i].values[0];
		if (i && groups.groups[i].bucket_ns == groups.groups[i - 1].bucket_ns)
			CHECK_LE(groups.groups[i].values[0], groups.groups[i - 1].values[0]);
		else if (i)
			CHECK_GT(groups.groups[i].bucket_ns, groups.groups[i - 1].bucket_ns);
	}
	for (size_t i = 0; i < ROWS; i++)
		want += calls[i].l7 == L7_http && calls[i].start_ns >= opts.from_ns &&
			calls[i].start_ns < opts.to_ns;
	CHECK(total == (double)want, "%g of %zu rows are in a group", total, want);
	CHECK_NOT(stats.truncated);
}

TEST(aggregate, equals_plain_loops)
{
	struct fixture fixture;
	uint64_t seed = clock_mono_ns() | 1;

	random_state = seed;
	printf("seed %" PRIu64 "\n", seed);
	fixture_open(&fixture);
	make_calls(&fixture);
	check_aggregate(&fixture);
	fixture_seal(&fixture);
	check_aggregate(&fixture);
	fixture_close(&fixture);
}

/* ---- what indexes, zones and bloom filters rule out ---- */

#define MANY 150000 /* more than two row groups of a sealed partition */

static struct call_row *many_calls(void)
{
	struct call_row *rows = mem_array(MANY, sizeof(*rows));
	static char texts[500][16];

	CHECK(rows);
	for (size_t i = 0; i < 500; i++)
		(void)snprintf(texts[i], sizeof(texts[i]), "w-%zu", i);
	for (size_t i = 0; i < MANY; i++) {
		struct call_row *row = &rows[i];
		struct ip ip = { { [10] = 0xff,
				   [11] = 0xff,
				   10,
				   (uint8_t)(i / 30000),
				   0,
				   (uint8_t)random_below(200) } };

		row->start_ns = T0 + i * 20 * NS_PER_MS; /* fifty minutes */
		row->end_ns = row->start_ns + random_below(NS_PER_SEC);
		row->id = schema_id(row->start_ns, i);
		row->flow_id = i / 3;
		row->l7 = i < 100000 || random_below(2) ? L7_http : L7_dns;
		row->status_class = CLASS_ok;
		row->end_reason = CALL_END_complete;
		ROW_SET(CALL, row, src_ip, ip);
		if (random_below(3))
			ROW_SET(CALL, row, dst_port,
				(uint16_t)(random_below(1000) ? 80 : 8000 + random_below(20)));
		ROW_SET(CALL, row, dst_workload, view_str(texts[i / 300 % 500]));
		if (random_below(2))
			ROW_SET(CALL, row, status, (uint16_t)(200 + random_below(3) * (i / 50000)));
	}
	return rows;
}

static const char *const prune_conditions[] = {
	"dst.port == 8003",
	"dst.port in {8001 8002}",
	"dst.port > 8000",
	"port == 8004",
	"port != 80",
	"dst.port == null",
	"src.ip == 10.1.0.7",
	"ip in 10.2.0.0/16",
	"ip != 10.0.0.0/8",
	"src.ip in {10.0.0.1 10.4.0.1}",
	"dst.workload == w-7",
	"dst.workload startsWith \"w-49\"",
	"dst.workload matches \"^w-[12]$\"",
	"dst.workload > w-48",
	"workload contains \"33\"",
	"dst.workload in {w-1 w-450 nobody}",
	"dns",
	"l7 != http",
	"status == 204",
	"status in 201..204",
	"status != 200",
	"flow.id == 10000",
	"flow.id in {5 c350 100000}",
	"dst.workload == nobody",
	"start_ns >= \"2026-01-02T03:30:00Z\"",
	"time < \"2026-01-02T03:10:00Z\"",
};

static void random_condition(struct wr *wr, unsigned depth)
{
	unsigned shape = depth ? (unsigned)random_below(5) : 0;

	if (shape == 0) {
		wr_str(wr, prune_conditions[random_below(sizeof(prune_conditions) /
							 sizeof(prune_conditions[0]))]);
		return;
	}
	wr_str(wr, shape == 1 ? "!(" : "(");
	random_condition(wr, depth - 1);
	if (shape > 1) {
		wr_str(wr, shape <= 3 ? " && " : " || ");
		random_condition(wr, depth - 1);
	}
	wr_str(wr, ")");
}

static uint64_t count_plainly(const struct call_row *rows, struct view text)
{
	struct filter *filter;
	struct err err = { 0 };
	uint64_t count = 0;

	CHECK_OK(filter_new(table_get(TABLE_CALLS), text, T0, &filter, &err), err);
	for (size_t i = 0; i < MANY; i++)
		count += filter_row(filter, &rows[i], &err) == 1;
	filter_free(filter);
	return count;
}

TEST(aggregate, rules_out_nothing_that_matches, .timeout = 120)
{
	struct query_aggregate what = { .table = TABLE_CALLS,
					.agg = VIEW_LIT("count"),
					.starts_within = true };
	uint64_t seed = clock_mono_ns() | 1, skipped = 0;
	struct call_row *rows;
	struct fixture fixture;
	struct err err = { 0 };
	struct wr text;

	random_state = seed;
	wr_init(&text, 0);
	fixture_open(&fixture);
	rows = many_calls();
	for (size_t i = 0; i < MANY; i += 15000)
		fixture_write(&fixture, TABLE_CALLS, rows + i, 15000);
	for (unsigned round = 0; round < 160; round++) {
		struct query_opts opts = { 0 };
		struct query_groups groups;
		struct query_stats stats;
		uint64_t want;

		if (round == 40)
			fixture_seal(&fixture);
		wr_reset(&text);
		random_condition(&text, (unsigned)random_below(4));
		opts.filter = wr_view(&text);
		CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups,
					 &stats, &err),
			 err);
		want = count_plainly(rows, opts.filter);
		CHECK((groups.count ? groups.groups[0].values[0] : 0) == (double)want,
		      "seed %" PRIu64 ": %.*s: not %" PRIu64, seed, (int)text.len,
		      (const char *)text.at, want);
		skipped += stats.row_groups_skipped_index + stats.row_groups_skipped_bloom +
			   stats.row_groups_skipped_zone;
		CHECK_U64(stats.row_groups_read, stats.row_groups - stats.row_groups_skipped_index -
							 stats.row_groups_skipped_bloom -
							 stats.row_groups_skipped_zone);
	}
	CHECK_GT(skipped, 50); /* and it did rule out some */
	mem_free(rows);
	wr_release(&text);
	fixture_close(&fixture);
}

TEST(aggregate, orders_and_cuts)
{
	struct query_opts opts = { .from_ns = T0, .to_ns = T0 + 2 * NS_PER_HOUR };
	struct query_aggregate what = { .table = TABLE_CALLS,
					.by = VIEW_LIT("dst.port"),
					.agg = VIEW_LIT("count, rate"),
					.order = VIEW_LIT("count"),
					.top = 2,
					.starts_within = true };
	struct query_groups groups;
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };

	random_state = 99;
	fixture_open(&fixture);
	make_calls(&fixture);
	CHECK_OK(
		query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err),
		err);
	CHECK_EQ(groups.count, 2);
	CHECK(stats.truncated);
	CHECK_LE(groups.groups[0].values[0], groups.groups[1].values[0]);
	near(groups.groups[0].values[1], groups.groups[0].values[0] / 7200, 1e-12, "rate");
	CHECK_U64(groups.groups[0].bucket_ns, opts.from_ns);
	what.order = VIEW_LIT("-dst.port");
	what.top = 0;
	CHECK_OK(
		query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err),
		err);
	CHECK_EQ(groups.count, 4);
	CHECK_VIEW(groups.groups[0].keys[0], "83");
	CHECK_VIEW(groups.groups[3].keys[0], "80");
	what.by = VIEW_LIT("");
	what.order = VIEW_LIT("");
	CHECK_OK(
		query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err),
		err);
	CHECK_EQ(groups.count, 1);
	CHECK(groups.groups[0].values[0] == ROWS);
	fixture_close(&fixture);
}

TEST(aggregate, counts_a_conversation_once)
{
	struct query_opts opts = { .from_ns = T0 };
	struct query_aggregate what = { .table = TABLE_FLOWS,
					.agg = VIEW_LIT("count, sum(tx_bytes)") };
	struct query_groups groups;
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };

	fixture_open(&fixture);
	for (unsigned i = 0; i < 10; i++) {
		struct flow_row row = { .id = i,
					.start_ns = T0 + i,
					.end_ns = T0 + i,
					.tx_bytes = 100,
					.view = i % 2 ? VIEW_first : VIEW_second,
					.vantage = VANTAGE_client };

		fixture_write(&fixture, TABLE_FLOWS, &row, 1);
	}
	CHECK_OK(
		query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err),
		err);
	CHECK(groups.groups[0].values[0] == 5 && groups.groups[0].values[1] == 500);
	opts.filter = VIEW_LIT("vantage == client");
	CHECK_OK(
		query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err),
		err);
	CHECK(groups.groups[0].values[0] == 10);
	opts.filter = VIEW_LIT("");
	what.by = VIEW_LIT("view");
	CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), err);
	CHECK_U64(groups.count, 2);	/* asked for the ends, it tells both */
	CHECK(groups.groups[0].values[0] == 5 && groups.groups[1].values[0] == 5);
	fixture_close(&fixture);
}

/* Every second, ten seconds and full minute of five minutes; the last ones are not written yet. */
static void write_rollups(struct fixture *fixture)
{
	struct hist *hist = hist_new();
	struct wr bytes;

	wr_init(&bytes, 0);
	CHECK_EQ(hist_add(hist, 1000, 1), 0);
	hist_write(hist, &bytes);
	for (unsigned second = 0; second < 300; second++) {
		struct rollup_row row = { .start_ns = T0 + second * NS_PER_SEC,
					  .end_ns = T0 + (second + 1) * NS_PER_SEC,
					  .tier = 1,
					  .calls = 2,
					  .server_errors = second % 2,
					  .tx_bytes = second };

		ROW_SET(ROLLUP, &row, latency, wr_view(&bytes));
		fixture_write(fixture, TABLE_ROLLUPS, &row, 1);
	}
	for (unsigned ten = 0; ten < 29; ten++) {
		struct rollup_row row = { .start_ns = T0 + ten * 10 * NS_PER_SEC,
					  .end_ns = T0 + (ten + 1) * 10 * NS_PER_SEC,
					  .tier = 10,
					  .calls = 20,
					  .server_errors = 5,
					  .tx_bytes = 100 * ten + 45 };

		ROW_SET(ROLLUP, &row, latency, wr_view(&bytes));
		fixture_write(fixture, TABLE_ROLLUPS, &row, 1);
	}
	for (unsigned minute = 0; minute < 4; minute++) {
		struct rollup_row row = { .start_ns = T0 + minute * NS_PER_MIN,
					  .end_ns = T0 + (minute + 1) * NS_PER_MIN,
					  .tier = 60,
					  .calls = 120,
					  .server_errors = 30,
					  .tx_bytes = 60 * 60 * minute + 59 * 30 };

		ROW_SET(ROLLUP, &row, latency, wr_view(&bytes));
		fixture_write(fixture, TABLE_ROLLUPS, &row, 1);
	}
	wr_release(&bytes);
	hist_free(hist);
}

TEST(aggregate, takes_each_instant_from_one_tier)
{
	struct query_opts opts = { .from_ns = T0 + 30 * NS_PER_SEC,
				   .to_ns = T0 + 300 * NS_PER_SEC };
	struct query_aggregate what = {
		.table = TABLE_ROLLUPS,
		.agg = VIEW_LIT("count,error_ratio,sum(tx_bytes),p50(latency),rate")
	};
	struct query_groups groups;
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };
	double bytes = 0;

	fixture_open(&fixture);
	write_rollups(&fixture);
	for (unsigned second = 30; second < 300; second++)
		bytes += second;
	for (unsigned i = 0; i < 5; i++) {
		static const struct {
			uint64_t step_ns;
			uint32_t tier;
			size_t groups;
		} cases[] = { { 0, 60, 1 },
			      { NS_PER_MIN, 60, 5 },
			      { 10 * NS_PER_SEC, 10, 27 },
			      { 15 * NS_PER_SEC, 1, 18 },
			      { NS_PER_SEC, 1, 270 } };
		double sum = 0, count = 0;

		what.step_ns = cases[i].step_ns;
		CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups,
					 &stats, &err),
			 err);
		CHECK_EQ(groups.tier, cases[i].tier);
		CHECK_U64(groups.count, cases[i].groups);
		for (size_t g = 0; g < groups.count; g++) {
			count += groups.groups[g].values[0];
			sum += groups.groups[g].values[2];
			near(groups.groups[g].values[3], 1000, 0.011, "p50");
			near(groups.groups[g].values[4], 2, 1e-9, "rate");
		}
		CHECK(count == 540, "step %" PRIu64 ": %g calls", cases[i].step_ns, count);
		CHECK(sum == bytes, "step %" PRIu64 ": %g bytes, not %g", cases[i].step_ns, sum,
		      bytes);
	}
	what.step_ns = NS_PER_SEC / 2;
	CHECK_EQ(
		query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err),
		E_RANGE);
	fixture_close(&fixture);
}

/* The newest minutes come from finer tiers: in the other hours these are not even opened. */
TEST(aggregate, opens_the_tier_it_asks)
{
	struct query_opts opts = { .from_ns = T0,
				   .to_ns = T0 + 2 * NS_PER_HOUR + NS_PER_SEC,
				   .explain = true };
	struct query_aggregate what = { .table = TABLE_ROLLUPS,
					.agg = VIEW_LIT("count"),
					.step_ns = NS_PER_MIN };
	struct rollup_row newest = { .start_ns = T0 + 2 * NS_PER_HOUR,
				     .end_ns = T0 + 2 * NS_PER_HOUR + NS_PER_SEC,
				     .tier = 1,
				     .calls = 7 };
	struct query_groups groups;
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };
	double count = 0;

	fixture_open(&fixture);
	write_rollups(&fixture);
	fixture_write(&fixture, TABLE_ROLLUPS, &newest, 1);
	fixture_seal(&fixture);
	CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), err);
	for (size_t g = 0; g < groups.count; g++)
		count += groups.groups[g].values[0];
	CHECK(count == 4 * 120 + 7, "%g calls", count);
	CHECK_U64(stats.row_groups, 4);
	CHECK_U64(stats.row_groups_skipped_index, 2);
	CHECK_U64(stats.rows_scanned, 5);
	CHECK_U64(stats.row_groups_read, 2);
	CHECK_GT(stats.bytes_skipped_index, 0);
	CHECK_U64(stats.bytes_skipped_zone + stats.bytes_skipped_bloom, 0);
	/* tier 4, start_ns 8 and calls 8: what conditions and aggregates decode, both count */
	CHECK_U64(stats.bytes_read, 5 * (4 + 8 + 8));
	fixture_close(&fixture);
}

/*
 * Killed in the second minute: of the rows of that minute only the seconds were written, and of the
 * ten seconds all but the ones it happened in and those that had just ended. Each instant counts once.
 */
TEST(aggregate, takes_seconds_around_a_crash)
{
	struct query_opts opts = { .from_ns = T0, .to_ns = T0 + 1200 * NS_PER_SEC };
	struct query_aggregate what = { .table = TABLE_ROLLUPS, .agg = VIEW_LIT("count") };
	struct store_gap gap = { .from_ns = T0 + 85 * NS_PER_SEC, .to_ns = T0 + 95 * NS_PER_SEC, .reason = "crash" };
	static const struct {
		uint32_t tier;
		unsigned lost_from, lost_to;	/* seconds of it that have no row */
	} tiers[] = { { 1, 85, 95 }, { 10, 70, 100 }, { 60, 60, 120 } };
	struct query_groups groups;
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };

	fixture_open(&fixture);
	for (size_t t = 0; t < 3; t++) {
		for (unsigned second = 0; second < 600; second += tiers[t].tier) {
			struct rollup_row row = { .start_ns = T0 + second * NS_PER_SEC,
						  .end_ns = T0 + (second + tiers[t].tier) * NS_PER_SEC,
						  .tier = tiers[t].tier, .calls = tiers[t].tier };

			if (second < tiers[t].lost_from || second >= tiers[t].lost_to)
				fixture_write(&fixture, TABLE_ROLLUPS, &row, 1);
		}
	}
	CHECK_OK(store_write_gap(fixture.writer, &gap, &err), err);
	CHECK_OK(store_commit(fixture.writer, &err), err);
	CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), err);
	CHECK_U64(groups.tier, 60);
	CHECK_U64(groups.count, 1);
	CHECK(groups.groups[0].values[0] == 590, "%g", groups.groups[0].values[0]);
	/* the crash lies behind the range, and has still taken ten seconds within it */
	opts.to_ns = T0 + 80 * NS_PER_SEC + 2 * NS_PER_SEC;
	CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), err);
	CHECK(groups.groups[0].values[0] == 82, "%g", groups.groups[0].values[0]);
	fixture_close(&fixture);
}

TEST(aggregate, refuses_with_the_place)
{
	static const struct {
		const char *by, *agg, *order;
		int code;
		size_t at;
		const char *says;
	} cases[] = {
		{ "", "cont", "", E_UNKNOWN_NAME, 0, "count" },
		{ "", "count, sum(latncy)", "", E_UNKNOWN_NAME, 11, "latency" },
		{ "", "sum(method)", "", E_TYPE, 0, "no number" },
		{ "", "p50(method)", "", E_TYPE, 0, "percentiles" },
		{ "", "p101(latency)", "", E_UNKNOWN_NAME, 0, "p50" },
		{ "", "sum(latency", "", E_SYNTAX, 11, ")" },
		{ "", "sum", "", E_UNKNOWN_NAME, 0, "sum(field)" },
		{ "", "count,,count", "", E_SYNTAX, 6, "missing" },
		{ "pod", "count", "", E_TYPE, 0, "say which" },
		{ "method, nope", "count", "", E_UNKNOWN_NAME, 8, "nope" },
		{ "method,method", "count", "", E_SYNTAX, 7, "twice" },
		{ "method", "count", "-rate", E_UNKNOWN_NAME, 0, "rate" },
	};
	struct fixture fixture;

	fixture_open(&fixture);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct query_opts opts = { .from_ns = T0 };
		struct query_aggregate what = { .table = TABLE_CALLS,
						.by = view_str(cases[i].by),
						.agg = view_str(cases[i].agg),
						.order = view_str(cases[i].order) };
		struct query_groups groups;
		struct query_stats stats;
		struct err err = { 0 };
		int rc = query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups,
					 &stats, &err);

		CHECK(rc == cases[i].code, "%s %s: %s %s", cases[i].by, cases[i].agg, err_name(rc),
		      err.text);
		CHECK(err.position == cases[i].at, "%s %s: at %zu", cases[i].by, cases[i].agg,
		      err.position);
		CHECK(strstr(err.text, cases[i].says), "%s", err.text);
	}
	fixture_close(&fixture);
}

TEST(aggregate, keeps_to_its_budget)
{
	struct query_opts opts = { .from_ns = T0, .budget = { .memory = 20000 } };
	struct query_aggregate what = { .table = TABLE_CALLS,
					.by = VIEW_LIT("id"),
					.agg = VIEW_LIT("count") };
	struct query_groups groups;
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };

	random_state = 7;
	fixture_open(&fixture);
	make_calls(&fixture);
	CHECK_EQ(
		query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err),
		E_BUDGET);
	fixture_close(&fixture);
}

/* Edges beyond their number are one edge, and say so in the answer; nothing of them is missing in the sum. */
TEST(aggregate, shows_the_edges_that_were_folded)
{
	struct query_opts opts = { .from_ns = T0, .to_ns = T0 + NS_PER_MIN };
	struct query_aggregate what = { .table = TABLE_ROLLUPS, .by = VIEW_LIT("dst.workload"), .agg = VIEW_LIT("count") };
	struct rollup *rollup = rollup_new(4, NULL);
	struct rollup_counts one = { .calls = 1 };
	struct batch *batch = batch_new();
	struct query_groups groups;
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };
	double other = 0, all = 0;

	CHECK(rollup && batch);
	for (int i = 0; i < 100; i++) {
		char name[16];
		struct rollup_edge edge = { .src_workload = VIEW_LIT("web"), .proto = 6 };

		(void)snprintf(name, sizeof(name), "svc-%02d", i % 20);
		edge.dst_workload = view_str(name);
		rollup_add(rollup, batch, T0 + (uint64_t)i, &edge, &one, NULL, NULL);
	}
	rollup_flush(rollup, batch);
	fixture_open(&fixture);
	fixture_write(&fixture, TABLE_ROLLUPS, batch->rows[TABLE_ROLLUPS].at, batch->rows[TABLE_ROLLUPS].count);
	fixture_seal(&fixture);
	CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups, &stats, &err), err);
	CHECK_U64(groups.count, 5);
	for (size_t g = 0; g < groups.count; g++) {
		all += groups.groups[g].values[0];
		if (view_is(groups.groups[g].keys[0], "other"))
			other += groups.groups[g].values[0];
	}
	CHECK(all == 100 && other == 80, "%g calls, %g of them folded", all, other);
	fixture_close(&fixture);
	batch_free(batch);
	rollup_free(rollup);
}
