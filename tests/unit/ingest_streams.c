/* What becomes of one connection's bytes, from frames to rows: beginnings missed, ends, ports used again, budgets. */
#include "schema/schema.h"
#include "tests/ingest_kit.h"

static const struct kit_end client = { "10.0.0.1", 40000 }, server = { "10.0.0.2", 80 };

#define UP_AS(how, ...) tkit_tcp(kit, &(struct kit_tcp){ .from = client, .to = server, .flags = (how), __VA_ARGS__ })
#define DOWN_AS(how, ...) tkit_tcp(kit, &(struct kit_tcp){ .from = server, .to = client, .flags = (how), __VA_ARGS__ })
#define UP(...) UP_AS(TCP_ACK, __VA_ARGS__)
#define DOWN(...) DOWN_AS(TCP_ACK, __VA_ARGS__)

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_LEN (sizeof(GET("/a")) - 1)
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define OK_LEN (sizeof(OK) - 1)

static void opened(struct tkit *kit, uint32_t isn, uint32_t peer_isn)
{
	UP_AS(TCP_SYN, .seq = isn);
	DOWN_AS(TCP_SYN | TCP_ACK, .seq = peer_isn, .ack = isn + 1);
	UP(.seq = isn + 1, .ack = peer_isn + 1);
}

/* The n-th request and its answer; path: two characters. */
static void exchanged(struct tkit *kit, uint32_t isn, uint32_t peer_isn, unsigned n, const char *request)
{
	uint32_t seq = isn + 1 + n * GET_LEN, peer_seq = peer_isn + 1 + n * OK_LEN;

	UP(.seq = seq, .ack = peer_seq, .payload = request);
	DOWN(.seq = peer_seq, .ack = seq + GET_LEN, .payload = OK);
}

static void check_call(const struct tkit *kit, size_t index, const char *target, uint8_t end_reason, uint64_t flow_id)
{
	const struct call_row *call = tkit_call(kit, index);

	CHECK_VIEW(call->target, target);
	CHECK_U64(call->end_reason, end_reason);
	CHECK_U64(call->flow_id, flow_id);
}

/* ---- the same four numbers again ---- */

/* A second connection on the ports of the first: two flows, each with its own call, whatever ended the first one. */
static void check_reuse(unsigned how, uint32_t isn, uint8_t end_reason)
{
	enum { FIN = 1, RST };
	struct tkit kit_, *kit = &kit_;
	uint32_t seq = 1000 + 1 + GET_LEN, peer_seq = 5000 + 1 + OK_LEN;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	opened(kit, 1000, 5000);
	exchanged(kit, 1000, 5000, 0, GET("/a"));
	if (how == FIN) {
		UP_AS(TCP_FIN | TCP_ACK, .seq = seq, .ack = peer_seq);
		DOWN_AS(TCP_FIN | TCP_ACK, .seq = peer_seq, .ack = seq + 1);
		UP(.seq = seq + 1, .ack = peer_seq + 1);
	} else if (how == RST) {
		DOWN_AS(TCP_RST | TCP_ACK, .seq = peer_seq, .ack = seq);
	}
	/* while the first one lingers */
	opened(kit, isn, isn + 77);
	exchanged(kit, isn, isn + 77, 0, GET("/b"));
	exchanged(kit, isn, isn + 77, 1, GET("/c"));
	tracker_end(kit->tracker);
	CHECK(TKIT_COUNT(kit, FLOWS) == 2, "end %u, number %u: %zu flows", how, isn, TKIT_COUNT(kit, FLOWS));
	CHECK_U64(tkit_flow(kit, 0)->end_reason, end_reason);
	CHECK_U64(tkit_flow(kit, 0)->tx_goodput_bytes, GET_LEN);
	CHECK_U64(tkit_flow(kit, 0)->tx_retransmits, 0);
	CHECK_U64(tkit_flow(kit, 1)->tx_goodput_bytes, 2 * GET_LEN);
	CHECK_U64(tkit_flow(kit, 1)->tx_retransmits, 0);
	CHECK_U64(tkit_flow(kit, 1)->completeness, 15);
	CHECK(tkit_flow(kit, 0)->id != tkit_flow(kit, 1)->id, "one id");
	CHECK_U64(TKIT_COUNT(kit, CALLS), 3);
	check_call(kit, 0, "/a", CALL_END_complete, tkit_flow(kit, 0)->id);
	check_call(kit, 1, "/b", CALL_END_complete, tkit_flow(kit, 1)->id);
	check_call(kit, 2, "/c", CALL_END_complete, tkit_flow(kit, 1)->id);
	CHECK_U64(tkit_call(kit, 1)->req_seq, isn + 1);
	tkit_release(kit);
}

TEST(streams, ports_used_again_are_another_connection)
{
	check_reuse(0, 900000, FLOW_END_reused);	/* neither FIN nor RST: a new number tells */
	check_reuse(0, 500, FLOW_END_reused);		/* below the old ones, as chance has it */
	check_reuse(0, 1000 + 1 + GET_LEN + 100, FLOW_END_reused);	/* within the old window */
	check_reuse(1, 900000, FLOW_END_fin);
	check_reuse(1, 1000 + 10, FLOW_END_fin);
	check_reuse(2, 900000, FLOW_END_rst);
	check_reuse(2, 1000 + 10, FLOW_END_rst);
}

/* The SYN again is no second connection. */
TEST(streams, a_syn_sent_again_is_the_same_connection)
{
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	UP_AS(TCP_SYN, .seq = 1000);
	UP_AS(TCP_SYN, .seq = 1000);
	opened(kit, 1000, 5000);
	exchanged(kit, 1000, 5000, 0, GET("/a"));
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
	CHECK(tkit_flow(kit, 0)->handshake_ambiguous, "two SYNs");
	tkit_release(kit);
}

/* ---- beginnings missed, sides missing ---- */

TEST(streams, a_late_start_gives_the_calls_from_there_on)
{
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	/* the last bytes of an answer whose head was missed */
	DOWN(.seq = 5001 + OK_LEN - 2, .ack = 1001 + GET_LEN, .payload = "ok");
	exchanged(kit, 1000, 5000, 1, GET("/b"));
	exchanged(kit, 1000, 5000, 2, GET("/c"));
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	CHECK_U64(tkit_flow(kit, 0)->src_port, client.port);
	CHECK_U64(tkit_flow(kit, 0)->completeness, 8);
	CHECK_NOT(ROW_HAS(FLOW, tkit_flow(kit, 0), handshake_ns));
	CHECK_U64(TKIT_COUNT(kit, CALLS), 2);
	check_call(kit, 0, "/b", CALL_END_complete, tkit_flow(kit, 0)->id);
	check_call(kit, 1, "/c", CALL_END_complete, tkit_flow(kit, 0)->id);
	tkit_release(kit);
}

/* A tap that hears one side alone. */
TEST(streams, one_direction_gives_halves_of_calls)
{
	for (unsigned side = 0; side < 2; side++) {
		struct tkit kit_, *kit = &kit_;

		tkit_init(kit, (struct tracker_opts){ 0 }, false);
		for (unsigned n = 0; n < 3; n++) {
			if (side == 0)
				UP(.seq = 1001 + n * GET_LEN, .ack = 5001 + n * OK_LEN, .payload = GET("/a"));
			else
				DOWN(.seq = 5001 + n * OK_LEN, .ack = 1001 + (n + 1) * GET_LEN, .payload = OK);
		}
		tracker_end(kit->tracker);
		CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
		CHECK_U64(tkit_flow(kit, 0)->src_port, client.port);
		CHECK_U64(side ? tkit_flow(kit, 0)->tx_packets : tkit_flow(kit, 0)->rx_packets, 0);
		CHECK_U64(TKIT_COUNT(kit, CALLS), 3);
		for (size_t i = 0; i < 3; i++) {
			const struct call_row *call = tkit_call(kit, i);

			CHECK(call->end_reason != CALL_END_complete, "call %zu is complete", i);
			CHECK_U64(ROW_HAS(CALL, call, req_last_ns), side == 0);
			CHECK_U64(ROW_HAS(CALL, call, rsp_first_ns), side == 1);
			CHECK_U64(call->src_port, client.port);
		}
		tkit_release(kit);
	}
}

/* One side is done, the other goes on: its answer belongs to the request (RFC 9293 3.6). */
TEST(streams, a_half_closed_connection_is_read_to_its_end)
{
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	opened(kit, 1000, 5000);
	UP_AS(TCP_FIN | TCP_ACK, .seq = 1001, .ack = 5001, .payload = GET("/a"));
	DOWN(.seq = 5001, .ack = 1002 + GET_LEN);
	kit->now_ns += 200 * NS_PER_SEC;
	DOWN(.seq = 5001, .ack = 1002 + GET_LEN, .payload = OK);
	tracker_tick(kit->tracker, kit->now_ns + NS_PER_SEC);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
	check_call(kit, 0, "/a", CALL_END_complete, tkit_call(kit, 0)->flow_id);
	tracker_end(kit->tracker);
	CHECK(tkit_flow(kit, TKIT_COUNT(kit, FLOWS) - 1)->half_closed, "both sides closed");
	tkit_release(kit);
}

/* Nobody answers: a SYN alone, and a SYN whose sender goes on as if. */
TEST(streams, a_half_open_connection_has_an_end)
{
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	UP_AS(TCP_SYN, .seq = 1000);
	tracker_tick(kit->tracker, kit->now_ns + 80 * NS_PER_SEC);
	CHECK_U64(tkit_flow(kit, TKIT_COUNT(kit, FLOWS) - 1)->end_reason, FLOW_END_idle);
	CHECK_U64(tkit_flow(kit, 0)->completeness, 1);
	kit->now_ns += 100 * NS_PER_SEC;
	/* fast open: data on the SYN, and a reset */
	UP_AS(TCP_SYN, .seq = 3000, .payload = GET("/a"));
	DOWN_AS(TCP_RST | TCP_ACK, .seq = 0, .ack = 3001);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
	check_call(kit, 0, "/a", CALL_END_reset, tkit_call(kit, 0)->flow_id);
	tkit_release(kit);
}

/* ---- long lives ---- */

/* Data, then keep-alives alone, each within the idle timeout: one flow for a day, whoever of the two speaks. */
TEST(streams, what_is_alive_never_times_out)
{
	enum { EVERY_S = 290, TIMES = 24 * 3600 / EVERY_S };

	for (unsigned how = 0; how < 3; how++) {
		struct tkit kit_, *kit = &kit_;
		uint64_t id, packets = 0;

		tkit_init(kit, (struct tracker_opts){ .active_ns = 3600 * NS_PER_SEC }, false);
		opened(kit, 1000, 5000);
		for (unsigned n = 0; n < TIMES; n++) {
			kit->now_ns += EVERY_S * NS_PER_SEC;
			if (how == 0)
				exchanged(kit, 1000, 5000, n, GET("/a"));
			else if (how == 1)	/* one side's bytes, nothing else captured */
				DOWN(.seq = 5001 + n, .ack = 1001, .payload = "x");
			else
				UP(.seq = 1000, .ack = 5001);
			tracker_tick(kit->tracker, kit->now_ns);
		}
		tracker_end(kit->tracker);
		CHECK_U64(counter_get(&kit->counters, COUNTER_flows_opened_total), 1);
		CHECK_GE(TKIT_COUNT(kit, FLOWS), 20);
		id = tkit_flow(kit, 0)->id;
		for (size_t i = 0; i < TKIT_COUNT(kit, FLOWS); i++) {
			const struct flow_row *row = tkit_flow(kit, i);
			bool last = i == TKIT_COUNT(kit, FLOWS) - 1;

			CHECK_U64(row->id, id);
			CHECK_U64(row->report, i);
			CHECK_U64(row->state, last ? STATE_closed : STATE_open);
			packets += row->tx_packets + row->rx_packets;
		}
		CHECK_U64(packets, 3 + (how == 0 ? 2 : 1) * TIMES);
		CHECK_U64(TKIT_COUNT(kit, CALLS), how == 0 ? TIMES : 0);
		tkit_release(kit);
	}
}

/* ---- numbers wrap around ---- */

/* Through 2^32 between, in and behind messages: nothing is lost, nothing sent again. */
TEST(streams, sequence_numbers_wrap_around)
{
	for (uint32_t before = 1; before < 3 * GET_LEN; before += 5) {
		struct tkit kit_, *kit = &kit_;
		uint32_t isn = -before, peer_isn = -before - 3;

		tkit_init(kit, (struct tracker_opts){ 0 }, false);
		opened(kit, isn, peer_isn);
		for (unsigned n = 0; n < 4; n++)
			exchanged(kit, isn, peer_isn, n, GET("/a"));
		tracker_end(kit->tracker);
		CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
		CHECK_U64(TKIT_COUNT(kit, CALLS), 4);
		for (size_t i = 0; i < 4; i++)
			check_call(kit, i, "/a", CALL_END_complete, tkit_flow(kit, 0)->id);
		CHECK_U64(tkit_flow(kit, 0)->tx_goodput_bytes, 4 * GET_LEN);
		CHECK_U64(tkit_flow(kit, 0)->rx_goodput_bytes, 4 * OK_LEN);
		CHECK_U64(tkit_flow(kit, 0)->tx_retransmits + tkit_flow(kit, 0)->rx_retransmits, 0);
		CHECK_U64(tkit_flow(kit, 0)->tx_missing_bytes + tkit_flow(kit, 0)->rx_missing_bytes, 0);
		CHECK_NOT(ROW_HAS(FLOW, tkit_flow(kit, 0), stream_conflicts));
		CHECK_NOT(ROW_HAS(FLOW, tkit_flow(kit, 0), stream_budget_hits));
		tkit_release(kit);
	}
}

/* ---- overlaps and budgets are recorded with the flow ---- */

TEST(streams, overlaps_that_differ_are_told)
{
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	opened(kit, 1000, 5000);
	/* behind a hole; the same place again with other bytes; the same again as it was first */
	UP(.seq = 1001 + 5, .ack = 5001, .payload = "a HTTP/1.1\r\nHost: a\r\n\r\n");
	UP(.seq = 1001 + 5, .ack = 5001, .payload = "b HTTP/1.1\r\nHost: a\r\n\r\n");
	UP(.seq = 1001 + 5, .ack = 5001, .payload = "a HTTP/1.1\r\nHost: a\r\n\r\n");
	UP(.seq = 1001, .ack = 5001, .payload = "GET /");
	DOWN(.seq = 5001, .ack = 1001 + GET_LEN, .payload = OK);
	/* of a head that is not whole, too: its beginning again, another one */
	UP(.seq = 1001 + GET_LEN, .ack = 5001 + OK_LEN, .payload = "GET /b HT");
	UP(.seq = 1001 + GET_LEN, .ack = 5001 + OK_LEN, .payload = "GET /c HT");
	UP(.seq = 1001 + GET_LEN + 9, .ack = 5001 + OK_LEN, .payload = "TP/1.1\r\nHost: a\r\n\r\n");
	DOWN(.seq = 5001 + OK_LEN, .ack = 1001 + 2 * GET_LEN, .payload = OK);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 2);
	check_call(kit, 0, "/a", CALL_END_complete, tkit_flow(kit, 0)->id);
	check_call(kit, 1, "/b", CALL_END_complete, tkit_flow(kit, 0)->id);
	CHECK_U64(tkit_flow(kit, 0)->stream_conflicts, 2);
	tracker_gauges(kit->tracker);
	CHECK_U64(counter_get(&kit->counters, COUNTER_stream_conflicts_total), 2);
	tkit_release(kit);
}

/* A hole nobody fills, and more behind it than there is room for: of one flow, and of all. */
static void check_budget(struct tracker_opts opts, unsigned flows, unsigned segments)
{
	static char block[1400];
	struct tkit kit_, *kit = &kit_;
	uint64_t hits = 0, rows = 0;

	memset(block, 'y', sizeof(block));
	tkit_init(kit, opts, false);
	for (unsigned i = 0; i < flows; i++) {
		struct kit_end from = { "10.0.0.1", (uint16_t)(40000 + i) };

		tkit_tcp(kit, &(struct kit_tcp){ .from = from, .to = server, .flags = TCP_SYN, .seq = 1000 });
		tkit_tcp(kit, &(struct kit_tcp){ .from = server, .to = from, .flags = TCP_SYN | TCP_ACK, .seq = 5000,
						 .ack = 1001 });
		tkit_tcp(kit, &(struct kit_tcp){ .from = from, .to = server, .flags = TCP_ACK, .seq = 1001, .ack = 5001,
						 .payload = GET("/a") });
		for (unsigned n = 1; n <= segments; n++) {
			tkit_tcp(kit, &(struct kit_tcp){ .from = server, .to = from, .flags = TCP_ACK,
							 .seq = 5001 + n * (uint32_t)sizeof(block),
							 .ack = 1001 + GET_LEN, .payload = block,
							 .payload_len = sizeof(block) });
			kit->now_ns -= NS_PER_MS - NS_PER_US;	/* no hole is old */
		}
	}
	tracker_gauges(kit->tracker);
	CHECK_LE(counter_get(&kit->counters, COUNTER_stream_held_bytes), opts.stream_bytes_max ? opts.stream_bytes_max : 3 << 20);
	CHECK_GE(counter_get(&kit->counters, COUNTER_stream_budget_hits_total), 1);
	tracker_end(kit->tracker);
	tracker_gauges(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), flows);
	for (size_t i = 0; i < flows; i++) {
		const struct flow_row *row = tkit_flow(kit, i);

		if (ROW_HAS(FLOW, row, stream_budget_hits)) {
			hits += row->stream_budget_hits;
			rows++;
		}
		CHECK_U64(row->rx_packets, segments + 1);	/* what was given up is counted, and kept as packets */
	}
	CHECK_GE(rows, 1);
	CHECK_LE(hits, counter_get(&kit->counters, COUNTER_stream_budget_hits_total));
	CHECK_U64(kit->batch->packets, flows * (segments + 3ull));
	/* no call is invented, none is forgotten */
	CHECK_LE(TKIT_COUNT(kit, CALLS), flows);
	CHECK_GE(TKIT_COUNT(kit, CALLS) + counter_get(&kit->counters, COUNTER_stream_budget_hits_total), flows);
	tkit_release(kit);
}

TEST(streams, a_full_budget_is_recorded)
{
	check_budget((struct tracker_opts){ 0 }, 2, 1100);			/* of one flow: 1 MiB, 1024 segments */
	check_budget((struct tracker_opts){ .stream_bytes_max = 256 << 10 }, 40, 20);	/* of all */
}
