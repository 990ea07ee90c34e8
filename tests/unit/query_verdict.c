/* Columns worked out of others: each formula, and that they are columns like any other. */
#include "query/verdict.h"

#include "tests/query_store.h"

#define SET(column, ...) ROW_SET(FLOW, row, column, __VA_ARGS__)

static struct flow_row tcp_row(void)
{
	struct flow_row flow = { 0 }, *row = &flow;

	SET(id, 1);
	SET(report, 0);
	SET(state, STATE_closed);
	SET(vantage, VANTAGE_wire);
	SET(view, VIEW_first);
	SET(source, 1);
	SET(start_ns, T0);
	SET(end_ns, T0 + NS_PER_SEC);
	SET(first_ns, T0);
	SET(proto, PROTO_tcp);
	SET(completeness, 31);
	SET(tx_packets, 600);
	SET(rx_packets, 400);
	SET(tx_bytes, 60000);
	SET(rx_bytes, 100000);
	SET(tx_goodput_bytes, 30000);
	SET(rx_goodput_bytes, 90000);
	SET(tx_retransmits, 0);
	SET(rx_retransmits, 0);
	SET(tx_zero_windows, 0);
	SET(rx_zero_windows, 0);
	SET(tx_window_probes, 0);
	SET(rx_window_probes, 0);
	SET(tx_window_full, 0);
	SET(rx_window_full, 0);
	return flow;
}

TEST(verdict, follows_the_rate_of_retransmission)
{
	static const struct {
		uint32_t tx, rx, ppm, verdict;
	} cases[] = {
		{ 0, 0, 0, VERDICT_healthy },	    { 4, 5, 9000, VERDICT_healthy },
		{ 10, 0, 10000, VERDICT_degraded }, { 24, 25, 49000, VERDICT_degraded },
		{ 0, 50, 50000, VERDICT_severe },   { 600, 400, 1000000, VERDICT_severe },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow_row flow = tcp_row(), *row = &flow;

		SET(tx_retransmits, cases[i].tx);
		SET(rx_retransmits, cases[i].rx);
		verdict_row(row);
		CHECK(ROW_HAS(FLOW, row, verdict));
		CHECK_U64(row->retransmit_ppm, cases[i].ppm);
		CHECK_U64(row->verdict, cases[i].verdict);
		CHECK_U64(row->tx_retransmit_ppm, (cases[i].tx * 1000000ull + 300) / 600);
		CHECK_U64(row->rx_retransmit_ppm, cases[i].rx * 2500u);
	}
	/* what is no TCP has none, and neither has a report without packets */
	{
		struct flow_row flow = tcp_row(), *row = &flow;

		row_unmark(row->has, FLOW_tx_retransmits);
		verdict_row(row);
		CHECK_NOT(ROW_HAS(FLOW, row, verdict));
		CHECK_NOT(ROW_HAS(FLOW, row, bottleneck));
		CHECK(ROW_HAS(FLOW, row, receiver_bound));
		flow = tcp_row();
		row->tx_packets = row->rx_packets = 0;
		verdict_row(row);
		CHECK_NOT(ROW_HAS(FLOW, row, verdict));
	}
}

/* n round trips of the given values, as the recorder adds them up. */
static void round_trips(struct flow_row *row, const uint32_t *us, size_t n)
{
	uint64_t min = UINT64_MAX, max = 0, sum = 0, squares = 0;

	for (size_t i = 0; i < n; i++) {
		min = us[i] < min ? us[i] : min;
		max = us[i] > max ? us[i] : max;
		sum += us[i];
		squares += (uint64_t)us[i] * us[i];
	}
	SET(rtt_samples, (uint32_t)n);
	SET(rtt_min_ns, min * 1000);
	SET(rtt_max_ns, max * 1000);
	SET(rtt_sum_ns, sum * 1000);
	SET(rtt_sum_squares, squares);
}

TEST(verdict, reads_the_spread_of_round_trips)
{
	static const uint32_t steady[] = { 1000, 1010, 990, 1000, 1000, 1000 }, two[] = { 2000, 4000, 4000, 4000, 5000, 5000, 7000, 9000 },
			      bloated[] = { 100, 110, 5000, 9000, 200, 100 }, few[] = { 100, 5000, 9000, 100 },
			      congested[] = { 1000, 1100, 9000, 1000, 1000, 1000, 1000, 1000, 9500 };
	struct flow_row flow = tcp_row(), *row = &flow;

	round_trips(row, steady, 6);
	verdict_row(row);
	CHECK_U64(row->rtt_avg_ns, 1000000);
	CHECK(row->jitter_ns > 5700 && row->jitter_ns < 5850, "%u", (unsigned)row->jitter_ns);
	CHECK(!row->bufferbloat && !row->congestion);
	CHECK_U64(row->bottleneck, BOTTLENECK_application);
	round_trips(row, two, 8);	/* the textbook's example: 2 exactly */
	verdict_row(row);
	CHECK_U64(row->jitter_ns, 2000000);
	round_trips(row, bloated, 6);
	verdict_row(row);
	CHECK(row->bufferbloat && row->congestion);
	CHECK_U64(row->bottleneck, BOTTLENECK_network);
	round_trips(row, congested, 9);
	verdict_row(row);
	CHECK(!row->bufferbloat && row->congestion);
	round_trips(row, few, 4);
	verdict_row(row);
	CHECK(!row->bufferbloat && !row->congestion);
}

TEST(verdict, names_what_held_a_connection_up)
{
	struct flow_row flow = tcp_row(), *row = &flow;

	SET(tx_window_full, 8);
	verdict_row(row);
	CHECK(row->window_bound && !row->receiver_bound);
	CHECK_U64(row->bottleneck, BOTTLENECK_window);
	SET(rx_zero_windows, 2);
	verdict_row(row);
	CHECK(row->window_bound && row->receiver_bound);
	CHECK_U64(row->bottleneck, BOTTLENECK_receiver);
	SET(rx_zero_windows, 3);
	verdict_row(row);
	CHECK_NOT(row->window_bound);
	SET(rx_zero_windows, 0);
	SET(tx_retransmits, 30);
	verdict_row(row);
	CHECK_U64(row->bottleneck, BOTTLENECK_network);
	/* of a connection without data nothing can be said */
	SET(completeness, 23);
	verdict_row(row);
	CHECK_NOT(ROW_HAS(FLOW, row, bottleneck));
}

TEST(verdict, subtracts_times_and_averages)
{
	struct flow_row flow = tcp_row(), *row = &flow;

	SET(syn_ns, T0);
	SET(handshake_ns, 10 * NS_PER_MS);
	SET(first_payload_ns, T0 + 11 * NS_PER_MS);
	SET(first_response_ns, T0 + 60 * NS_PER_MS);
	SET(tls_done_ns, T0 + 40 * NS_PER_MS);
	SET(rx_window_samples, 4);
	SET(rx_window_sum_bytes, 40000);
	SET(tx_window_samples, 0);
	SET(tx_window_sum_bytes, 0);
	verdict_row(row);
	CHECK_U64(row->connection_ns, 11 * NS_PER_MS);
	CHECK_U64(row->tls_ns, 29 * NS_PER_MS);
	CHECK_U64(row->ttfb_ns, 60 * NS_PER_MS);
	CHECK_NOT(row->tls_overhead);
	CHECK_U64(row->rx_window_avg_bytes, 10000);
	CHECK_NOT(ROW_HAS(FLOW, row, tx_window_avg_bytes));
	CHECK_U64(row->tx_waste_ppm, 500000);
	CHECK_U64(row->rx_waste_ppm, 100000);
	SET(tls_done_ns, T0 + 45 * NS_PER_MS);
	/* a clock that stepped back makes no negative time */
	SET(first_response_ns, T0 - 1);
	verdict_row(row);
	CHECK(row->tls_overhead);
	CHECK_NOT(ROW_HAS(FLOW, row, ttfb_ns));
}

/* ---- like other columns ---- */

struct told {
	unsigned rows, verdicts[4];
};

static bool tell(void *arg, const struct table *table, const void *at)
{
	const struct flow_row *row = at;
	struct told *told = arg;

	(void)table;
	told->rows++;
	CHECK(ROW_HAS(FLOW, row, verdict));
	told->verdicts[row->verdict]++;
	return true;
}

static struct told ask(struct fixture *fixture, const char *filter)
{
	struct query_opts opts = { .filter = view_str(filter) };
	struct query_rows rows = { .table = TABLE_FLOWS, .limit = 1000 };
	struct told told = { 0 };
	struct query_stats stats;
	struct view cursor;
	struct err err = { 0 };

	CHECK_OK(query_rows(fixture->store, &opts, &rows, tell, &told, &fixture->arena, &stats, &cursor, &err), err);
	return told;
}

/* Three hundred flows in a sealed partition and in a hot one: filters, groups, sums, one flow of two reports. */
TEST(verdict, is_a_column_like_any_other)
{
	struct query_aggregate what = { .table = TABLE_FLOWS, .by = VIEW_LIT("verdict"),
					.agg = VIEW_LIT("count,avg(retransmit_ppm),max(rx_retransmit_ppm)") };
	struct fixture fixture;
	struct flow_row flows[300];
	struct query_groups groups;
	struct query_stats stats;
	struct flow_row merged;
	struct err err = { 0 };
	unsigned found = 0;

	fixture_open(&fixture);
	for (unsigned i = 0; i < 300; i++) {
		struct flow_row *row = &flows[i];

		*row = tcp_row();
		row->id = schema_id(T0, i + 1);
		SET(tx_retransmits, i % 3 == 0 ? 0 : i % 3 == 1 ? 20 : 60);
		/* what a recorder may have left in them does not count: they are not stored */
		SET(verdict, VERDICT_healthy);
		SET(retransmit_ppm, 7);
	}
	/* the last flow goes on: a second report without loss */
	flows[298].state = STATE_open;
	flows[299] = flows[298];
	flows[299].report = 1;
	flows[299].state = STATE_closed;
	flows[299].tx_retransmits = 0;
	flows[299].start_ns += NS_PER_SEC;
	flows[299].end_ns += NS_PER_SEC;
	fixture_write(&fixture, TABLE_FLOWS, flows, 150);
	fixture_seal(&fixture);
	fixture_write(&fixture, TABLE_FLOWS, flows + 150, 150);
	CHECK_U64(ask(&fixture, "verdict == \"severe\"").rows, 99);
	CHECK_U64(ask(&fixture, "verdict == \"severe\"").verdicts[VERDICT_severe], 99);
	CHECK_U64(ask(&fixture, "retransmit_ppm >= 10000 && retransmit_ppm < 50000").verdicts[VERDICT_degraded], 100);
	CHECK_U64(ask(&fixture, "verdict in {\"healthy\", \"degraded\"} && !receiver_bound").rows, 201);
	CHECK_U64(ask(&fixture, "!has(jitter_ns)").rows, 300);
	CHECK_U64(ask(&fixture, "bottleneck == \"network\"").rows, 199);
	CHECK_OK(query_aggregate(fixture.store, &(struct query_opts){ 0 }, &what, &fixture.arena, &groups, &stats, &err), err);
	CHECK_U64(groups.count, 3);
	for (size_t i = 0; i < groups.count; i++) {
		const struct query_group *group = &groups.groups[i];

		if (!view_is(group->keys[0], "severe"))
			continue;
		found++;
		CHECK_EQ((int)group->values[0], 99);
		CHECK_EQ((int)group->values[1], 60000);
		CHECK_EQ((int)group->values[2], 0);
	}
	CHECK_U64(found, 1);
	/* of a flow with several reports, by what they add up to */
	CHECK_OK(query_flow(fixture.store, flows[298].id, &fixture.arena, &merged, &err), err);
	CHECK_U64(merged.tx_packets, 1200);
	CHECK_U64(merged.tx_retransmits, 20);
	CHECK_U64(merged.retransmit_ppm, 10000);
	CHECK_U64(merged.verdict, VERDICT_degraded);
	fixture_close(&fixture);
}
