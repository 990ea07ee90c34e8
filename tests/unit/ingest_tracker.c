#include "ingest/tracker.h"

#include "tests/ingest_kit.h"
#include "wire/decode.h"

static const struct kit_end client = { "10.0.0.1", 40000 }, server = { "10.0.0.2", 8080 };

#define SEGMENT(...) tkit_tcp(kit, &(struct kit_tcp){ __VA_ARGS__ })

static void handshake(struct tkit *kit, struct kit_end from, struct kit_end to)
{
	SEGMENT(.from = from, .to = to, .flags = TCP_SYN, .seq = 100);
	SEGMENT(.from = to, .to = from, .flags = TCP_SYN | TCP_ACK, .seq = 500, .ack = 101);
	SEGMENT(.from = from, .to = to, .flags = TCP_ACK, .seq = 101, .ack = 501);
}

static const char request[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
static const char response[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";

static void exchange(struct tkit *kit, struct kit_end from, struct kit_end to)
{
	uint32_t asked = 101 + sizeof(request) - 1, answered = 501 + sizeof(response) - 1;

	SEGMENT(.from = from, .to = to, .flags = TCP_ACK | TCP_PSH, .seq = 101, .ack = 501, .payload = request);
	SEGMENT(.from = to, .to = from, .flags = TCP_ACK | TCP_PSH, .seq = 501, .ack = asked, .payload = response);
	SEGMENT(.from = from, .to = to, .flags = TCP_FIN | TCP_ACK, .seq = asked, .ack = answered);
	SEGMENT(.from = to, .to = from, .flags = TCP_FIN | TCP_ACK, .seq = answered, .ack = asked + 1);
	SEGMENT(.from = from, .to = to, .flags = TCP_ACK, .seq = asked + 1, .ack = answered + 1);
}

TEST(tracker, writes_one_row_for_one_connection)
{
	struct tkit kit_, *kit = &kit_;
	const struct flow_row *row;
	const struct call_row *call;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	handshake(kit, client, server);
	exchange(kit, client, server);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 0);	/* it lingers for late segments */
	tracker_tick(kit->tracker, kit->now_ns + 2 * NS_PER_SEC);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	row = tkit_flow(kit, 0);
	CHECK_U64(row->state, STATE_closed);
	CHECK_U64(row->end_reason, FLOW_END_fin);
	CHECK_U64(row->source, 77);
	CHECK_U64(row->src_port, client.port);
	CHECK_U64(row->dst_port, server.port);
	CHECK_U64(row->tx_packets, 5);
	CHECK_U64(row->rx_packets, 3);
	CHECK_U64(row->tx_bytes, 5 * 40 + sizeof(request) - 1);
	CHECK_U64(row->rx_bytes, 3 * 40 + sizeof(response) - 1);
	CHECK_U64(row->tx_goodput_bytes, sizeof(request) - 1);
	CHECK_U64(row->rx_goodput_bytes, sizeof(response) - 1);
	CHECK_U64(row->completeness, 31);
	CHECK_U64(row->start_ns, KIT_T0);
	CHECK_U64(row->handshake_ns, 2 * NS_PER_MS);
	CHECK_U64(row->syn_rtt_ns, NS_PER_MS);
	CHECK_U64(row->l7, L7_http);
	CHECK_VIEW(row->src_workload, "10.0.0.1");
	CHECK_NOT(ROW_HAS(FLOW, row, src_pid));
	CHECK_NOT(ROW_HAS(FLOW, row, tx_lost_packets));
	CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
	call = tkit_call(kit, 0);
	CHECK_U64(call->flow_id, row->id);
	CHECK_U64(call->status, 404);
	CHECK_VIEW(call->target, "/a");
	CHECK_VIEW(call->dst_workload, "10.0.0.2");
	/* Sequence numbers count from the SYN, which the stream has not seen itself. */
	CHECK_U64(call->req_seq, 101);
	CHECK_U64(call->rsp_seq, 501);
	/* Every frame is kept, in order, with its flow. */
	CHECK_U64(kit->batch->packets, 8);
	for (uint32_t i = 0; i < 8; i++) {
		struct packet_rec rec = packet_block_rec(kit->batch->blocks[0], i);

		CHECK_U64(rec.number, i + 1);
		CHECK_U64(rec.flow_id, row->id);
	}
	tkit_release(kit);
}

/* 100,000 half-open connections, room for 64: counted evictions, no memory. */
TEST(tracker, ends_a_syn_flood_in_counted_evictions)
{
	enum { FLOOD = 100000, ROOM = 64 };
	struct tkit kit_, *kit = &kit_;
	uint64_t evicted = 0, told = 0, packets = 0;
	int64_t before;
	char ip[32];

	tkit_init(kit, (struct tracker_opts){ .flows_max = ROOM }, false);
	handshake(kit, client, server);		/* alive: the flood must not push it out */
	before = mem_live();
	for (unsigned i = 0; i < FLOOD; i++) {
		struct kit_end from = { ip, (uint16_t)(1024 + i % 60000) };

		(void)snprintf(ip, sizeof(ip), "10.%u.%u.%u", 1 + i / 65536, i / 256 % 256, i % 256);
		kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = from, .to = server, .flags = TCP_SYN, .seq = i });
		tkit_frame(kit);
		kit->now_ns += NS_PER_MS / 10;
	}
	/* Blocks of rows and packets grow, nothing per flow does. */
	CHECK_LT(mem_live() - before, 40);
	tracker_gauges(kit->tracker);
	CHECK_U64(counter_get(&kit->counters, COUNTER_flows_open), ROOM);
	CHECK_U64(counter_get(&kit->counters, COUNTER_flows_evicted_total), FLOOD + 1 - ROOM);
	exchange(kit, client, server);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), FLOOD + 1);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
	for (size_t i = 0; i < TKIT_COUNT(kit, FLOWS); i++) {
		evicted += tkit_flow(kit, i)->end_reason == FLOW_END_evicted;
		packets += tkit_flow(kit, i)->tx_packets + tkit_flow(kit, i)->rx_packets;
	}
	CHECK_U64(evicted, FLOOD + 1 - ROOM);
	CHECK_U64(packets, FLOOD + 8);
	/* 10 s of flood: about an event a second, and together they tell all. */
	for (size_t i = 0; i < TKIT_COUNT(kit, EVENTS); i++) {
		CHECK_U64(tkit_event(kit, i)->kind, EVENT_eviction);
		told += tkit_event(kit, i)->value;
	}
	CHECK_U64(told, evicted);
	CHECK_LE(TKIT_COUNT(kit, EVENTS), 12);
	tkit_release(kit);
}

struct handed {			/* batches that were handed over between rows */
	struct tkit *kit;
	struct batch *spare;
	unsigned times, refused;
	size_t rows, bytes_max;
};

static struct batch *hand_over(void *arg, struct batch *full)
{
	struct handed *handed = arg;
	struct batch *next = handed->spare;

	if (handed->times == 3 && handed->refused++ < 5)
		return NULL;	/* goes on with this one */
	handed->times++;
	handed->rows += full->rows[TABLE_FLOWS].count;
	handed->bytes_max = batch_bytes(full) > handed->bytes_max ? batch_bytes(full) : handed->bytes_max;
	batch_reset(full);
	handed->spare = full;
	handed->kit->batch = next;
	return next;
}

/* 20,000 flows end with the file: their rows pass through batches of 64 KiB. */
TEST(tracker, hands_rows_over_while_very_many_flows_end)
{
	enum { FLOWS = 20000, BYTES = 64 << 10 };
	struct tkit kit_, *kit = &kit_;
	struct handed handed = { .kit = kit, .spare = batch_new() };
	char ip[32];

	tkit_init(kit, (struct tracker_opts){ .flows_max = FLOWS, .batch_full = hand_over, .batch_full_arg = &handed,
					      .batch_bytes_max = BYTES }, false);
	for (unsigned i = 0; i < FLOWS; i++) {
		struct kit_end from = { ip, (uint16_t)(1024 + i % 60000) };

		(void)snprintf(ip, sizeof(ip), "10.%u.%u.%u", 1 + i / 65536, i / 256 % 256, i % 256);
		kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = from, .to = server, .flags = TCP_SYN, .seq = i });
		tkit_frame(kit);
	}
	CHECK_U64(handed.times, 0);	/* frames are the user's own matter */
	batch_reset(kit->batch);
	tracker_end(kit->tracker);
	CHECK_U64(handed.rows + TKIT_COUNT(kit, FLOWS), FLOWS);
	CHECK_U64(handed.refused, 6);
	CHECK_LT(FLOWS * sizeof(struct flow_row) / BYTES, 2 * handed.times);
	CHECK_LT(handed.bytes_max, BYTES + 8 * 4096);
	batch_free(handed.spare);
	tkit_release(kit);
}

/* A connection that stays open, with a request and its answer. */
static void talk(struct tkit *kit, unsigned i)
{
	uint32_t asked = 101 + sizeof(request) - 1;
	struct kit_end from = { "10.0.0.1", (uint16_t)(1024 + i) };	/* one client: one edge of the rollups */

	handshake(kit, from, server);
	SEGMENT(.from = from, .to = server, .flags = TCP_ACK | TCP_PSH, .seq = 101, .ack = 501, .payload = request);
	SEGMENT(.from = server, .to = from, .flags = TCP_ACK | TCP_PSH, .seq = 501, .ack = asked, .payload = response);
}

TEST(tracker, keeps_to_small_bounds)
{
	enum { TALKS = 4000, ROOM = 64, BYTES = 4096 };
	struct tkit kit_, *kit = &kit_;
	int64_t before = 0;

	/* room for the dissectors of some twenty of them: the others go without, and their rows say so */
	tkit_init(kit, (struct tracker_opts){ .flows_max = ROOM, .stream_bytes_max = BYTES }, false);
	for (unsigned i = 0; i < TALKS; i++) {
		if (i == 2 * ROOM)
			before = mem_live();
		talk(kit, i);
		tracker_gauges(kit->tracker);
		CHECK_LE(counter_get(&kit->counters, COUNTER_flows_open), ROOM);
		CHECK_LE(counter_get(&kit->counters, COUNTER_stream_held_bytes), BYTES);
	}
	CHECK_LT(mem_live() - before, 200);	/* the batch's; nothing for each connection */
	CHECK_GE(counter_get(&kit->counters, COUNTER_stream_budget_hits_total), 1);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), TALKS);
	CHECK_LT(TKIT_COUNT(kit, CALLS), TALKS);
	CHECK_GE(TKIT_COUNT(kit, CALLS), 1);
	tkit_release(kit);
}

/* Rows of all open flows are written at the end: what a flow had must not lie about until the last one's is. */
TEST(tracker, gives_memory_back_while_it_ends)
{
	enum { TALKS = 3000 };
	struct tkit kit_, *kit = &kit_;
	int64_t before;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	before = mem_live();
	for (unsigned i = 0; i < TALKS; i++)
		talk(kit, i);
	CHECK_GE(mem_live() - before, 2 * TALKS);	/* a stream, and its dissector's state */
	tracker_end(kit->tracker);
	CHECK_LT(mem_live() - before, 200);	/* the batch's */
	CHECK_U64(TKIT_COUNT(kit, FLOWS), TALKS);
	CHECK_U64(TKIT_COUNT(kit, CALLS), TALKS);
	/* and it goes on, should there be more */
	talk(kit, TALKS);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), TALKS + 1);
	CHECK_U64(TKIT_COUNT(kit, CALLS), TALKS + 1);
	tkit_release(kit);
}

TEST(tracker, reports_deltas_while_a_flow_lives)
{
	struct tkit kit_, *kit = &kit_;
	uint64_t packets = 0, bytes = 0, goodput = 0;
	uint32_t seq = 101;

	tkit_init(kit, (struct tracker_opts){ .active_ns = 60 * NS_PER_SEC }, false);
	handshake(kit, client, server);
	for (int i = 0; i < 200; i++) {	/* 200 s */
		SEGMENT(.from = client, .to = server, .flags = TCP_ACK, .seq = seq, .ack = 501, .payload = "0123456789");
		seq += 10;
		kit->now_ns += NS_PER_SEC - NS_PER_MS;
	}
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 4);
	for (size_t i = 0; i < 4; i++) {
		const struct flow_row *row = tkit_flow(kit, i);

		CHECK_U64(row->report, i);
		CHECK_U64(row->id, tkit_flow(kit, 0)->id);
		CHECK_U64(row->first_ns, KIT_T0);
		CHECK_U64(row->state, i == 3 ? STATE_closed : STATE_open);
		CHECK_U64(ROW_HAS(FLOW, row, end_reason), i == 3);
		CHECK(i == 0 || row->start_ns > tkit_flow(kit, i - 1)->end_ns, "reports do not overlap");
		packets += row->tx_packets + row->rx_packets;
		bytes += row->tx_bytes + row->rx_bytes;
		goodput += row->tx_goodput_bytes;
	}
	CHECK_U64(packets, 203);
	CHECK_U64(bytes, 3 * 40 + 200 * 50);
	CHECK_U64(goodput, 2000);
	CHECK_U64(tkit_flow(kit, 3)->end_reason, FLOW_END_capture_end);
	tkit_release(kit);
}

TEST(tracker, ends_flows_for_the_right_reason)
{
	struct tkit kit_, *kit = &kit_;
	struct kit_end dns = { "10.0.0.9", 9999 };

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	/* a reset */
	SEGMENT(.from = client, .to = server, .flags = TCP_SYN, .seq = 100);
	SEGMENT(.from = server, .to = client, .flags = TCP_RST | TCP_ACK, .seq = 0, .ack = 101);
	tracker_tick(kit->tracker, kit->now_ns += 2 * NS_PER_SEC);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	CHECK_U64(tkit_flow(kit, 0)->end_reason, FLOW_END_rst);
	/* the same ports again, while the first one is still open */
	handshake(kit, client, server);
	SEGMENT(.from = client, .to = server, .flags = TCP_SYN, .seq = 900000);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 2);
	CHECK_U64(tkit_flow(kit, 1)->end_reason, FLOW_END_reused);
	CHECK_U64(tkit_flow(kit, 1)->tx_packets, 2);
	/* silence: half-open after 75 s, UDP after 60 s */
	kit_udp_frame(&kit->frame, client, dns, VIEW_LIT("x"));
	tkit_frame(kit);
	tracker_tick(kit->tracker, kit->now_ns + 61 * NS_PER_SEC);
	/* both were reported by the active timeout as well: rows without an end */
	CHECK_U64(tkit_flow(kit, TKIT_COUNT(kit, FLOWS) - 2)->proto, PROTO_udp);
	CHECK_U64(tkit_flow(kit, TKIT_COUNT(kit, FLOWS) - 2)->end_reason, FLOW_END_idle);
	tracker_tick(kit->tracker, kit->now_ns + 80 * NS_PER_SEC);
	CHECK_U64(tkit_flow(kit, TKIT_COUNT(kit, FLOWS) - 1)->proto, PROTO_tcp);
	CHECK_U64(tkit_flow(kit, TKIT_COUNT(kit, FLOWS) - 1)->end_reason, FLOW_END_idle);
	CHECK_U64(counter_get(&kit->counters, COUNTER_flows_opened_total), 4);
	tracker_gauges(kit->tracker);
	CHECK_U64(counter_get(&kit->counters, COUNTER_flows_open), 0);
	tkit_release(kit);
}

TEST(tracker, finds_who_opened_without_a_syn)
{
	static const struct {
		uint16_t from, to;
		bool from_is_src;
	} cases[] = {
		{ 443, 50000, false }, { 50000, 443, true }, { 3306, 50000, false }, { 50000, 50001, true },
		{ 8080, 443, true }, { 443, 8080, false }, { 5353, 5353, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kit_end from = { "10.0.0.1", cases[i].from }, to = { "10.0.0.2", cases[i].to };
		struct tkit kit_, *kit = &kit_;

		tkit_init(kit, (struct tracker_opts){ 0 }, false);
		SEGMENT(.from = from, .to = to, .flags = TCP_ACK, .seq = 1, .ack = 1, .payload = "abc");
		tracker_end(kit->tracker);
		CHECK_U64(tkit_flow(kit, 0)->src_port, cases[i].from_is_src ? cases[i].from : cases[i].to);
		CHECK_U64(tkit_flow(kit, 0)->tx_packets, cases[i].from_is_src);
		tkit_release(kit);
	}
}

/* ---- live ---- */

static struct sock_event opened(const struct tkit *kit, uint64_t cookie, struct kit_end local, struct kit_end remote,
				bool accepted, uint32_t pid, const char *comm, uint32_t netns)
{
	struct sock_event event = { .time_ns = kit->now_ns, .kind = SOCK_OPEN, .cookie = cookie, .proto = PROTO_tcp,
				    .accepted = accepted, .has_tuple = true, .lport = local.port,
				    .rport = remote.port };

	(void)ip_parse(view_str(local.ip), &event.local, NULL);
	(void)ip_parse(view_str(remote.ip), &event.remote, NULL);
	event.owner = (struct sock_owner){ .pid = pid, .pid_start_ns = pid * NS_PER_SEC, .netns = netns };
	(void)snprintf(event.owner.comm, sizeof(event.owner.comm), "%s", comm);
	return event;
}

/* The frame as both ends see it: leaving one socket, arriving at the other. */
static void both(struct tkit *kit, uint64_t from_cookie, uint32_t from_netns, uint64_t to_cookie, uint32_t to_netns,
		 const struct kit_tcp *tcp)
{
	kit_tcp_frame(&kit->frame, tcp);
	kit->at = FRAME_EGRESS;
	kit->cookie = from_cookie;
	kit->netns = from_netns;
	tkit_frame(kit);
	kit->now_ns += NS_PER_US;
	kit->at = FRAME_INGRESS;
	kit->cookie = to_cookie;
	kit->netns = to_netns;
	tkit_frame(kit);
	kit->now_ns += NS_PER_MS;
}

enum { LISTENER = 9, CLIENT_SOCK = 11, SERVER_SOCK = 12, CLIENT_NS = 1001, SERVER_NS = 1002 };

#define TO_SERVER(server_cookie, ...)								\
	both(kit, CLIENT_SOCK, CLIENT_NS, server_cookie, SERVER_NS,				\
	     &(struct kit_tcp){ .from = client, .to = server, __VA_ARGS__ })
#define TO_CLIENT(server_cookie, ...)								\
	both(kit, server_cookie, SERVER_NS, CLIENT_SOCK, CLIENT_NS,				\
	     &(struct kit_tcp){ .from = server, .to = client, __VA_ARGS__ })

/* One conversation between two sockets of this machine: two flows, both with both owners, one set of calls. */
TEST(tracker, gives_both_ends_to_both_views)
{
	uint32_t asked = 101 + sizeof(request) - 1, answered = 501 + sizeof(response) - 1;
	struct tkit kit_, *kit = &kit_;
	struct sock_event event;
	uint64_t flows = 0, calls = 0, packets = 0;

	tkit_init(kit, (struct tracker_opts){ 0 }, true);
	event = opened(kit, CLIENT_SOCK, client, server, false, 100, "curl", CLIENT_NS);
	tracker_sock(kit->tracker, &event);
	/* during the handshake the server's frames carry the listener's cookie */
	TO_SERVER(LISTENER, .flags = TCP_SYN, .seq = 100);
	TO_CLIENT(LISTENER, .flags = TCP_SYN | TCP_ACK, .seq = 500, .ack = 101);
	TO_SERVER(LISTENER, .flags = TCP_ACK, .seq = 101, .ack = 501);
	event = opened(kit, SERVER_SOCK, server, client, true, 200, "nginx", SERVER_NS);
	tracker_sock(kit->tracker, &event);
	TO_SERVER(SERVER_SOCK, .flags = TCP_ACK | TCP_PSH, .seq = 101, .ack = 501, .payload = request);
	TO_CLIENT(SERVER_SOCK, .flags = TCP_ACK | TCP_PSH, .seq = 501, .ack = asked, .payload = response);
	TO_SERVER(SERVER_SOCK, .flags = TCP_FIN | TCP_ACK, .seq = asked, .ack = answered);
	TO_CLIENT(SERVER_SOCK, .flags = TCP_FIN | TCP_ACK, .seq = answered, .ack = asked + 1);
	TO_SERVER(SERVER_SOCK, .flags = TCP_ACK, .seq = asked + 1, .ack = answered + 1);
	tracker_tick(kit->tracker, kit->now_ns + 2 * NS_PER_SEC);
	tracker_end(kit->tracker);

	CHECK_U64(TKIT_COUNT(kit, FLOWS), 2);
	for (size_t i = 0; i < 2; i++) {
		const struct flow_row *row = tkit_flow(kit, i);

		CHECK_U64(row->vantage, row->view == VIEW_first ? VANTAGE_client : VANTAGE_server);
		CHECK_U64(row->netns, row->view == VIEW_first ? CLIENT_NS : SERVER_NS);
		CHECK_U64(row->src_port, client.port);
		CHECK_U64(row->src_pid, 100);
		CHECK_VIEW(row->src_comm, "curl");
		CHECK_VIEW(row->src_node, "node-1");
		CHECK_U64(row->dst_pid, 200);
		CHECK_VIEW(row->dst_comm, "nginx");
		CHECK_VIEW(row->dst_workload, "nginx");
		CHECK_U64(row->l7, L7_http);
		CHECK_U64(row->tx_packets, 5);
		CHECK_U64(row->tx_lost_packets, 0);
	}
	CHECK_NE(tkit_flow(kit, 0)->view, tkit_flow(kit, 1)->view);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
	CHECK_VIEW(tkit_call(kit, 0)->dst_comm, "nginx");
	CHECK_U64(tkit_call(kit, 0)->vantage, VANTAGE_client);
	for (size_t i = 0; i < TKIT_COUNT(kit, ROLLUPS); i++) {
		const struct rollup_row *row = TKIT_ROLLUP(kit, i);

		if (row->tier != 1)
			continue;
		CHECK_VIEW(row->src_workload, "curl");
		CHECK_VIEW(row->dst_workload, "nginx");
		flows += row->flows;
		calls += row->calls;
		packets += row->tx_packets + row->rx_packets;
	}
	CHECK_U64(flows, 1);
	CHECK_U64(calls, 1);
	CHECK_U64(packets, 8);
	/* connect and accept name the flow of their own end */
	CHECK_U64(TKIT_COUNT(kit, EVENTS), 2);
	CHECK_U64(tkit_event(kit, 0)->kind, EVENT_connect);
	CHECK_U64(tkit_event(kit, 1)->kind, EVENT_accept);
	for (size_t i = 0; i < 2; i++) {
		const struct flow_row *row = tkit_flow(kit, tkit_flow(kit, i)->view == VIEW_first ? i : 1 - i);

		CHECK_U64(ROW_HAS(EVENT_ROW, tkit_event(kit, i), flow_id), 1);
		(void)row;
	}
	CHECK_NE(tkit_event(kit, 0)->flow_id, tkit_event(kit, 1)->flow_id);
	tkit_release(kit);
}

/* Which view has the payload is the source's to say, also when the tracker met the other one first. */
TEST(tracker, takes_calls_from_the_view_that_has_the_payload)
{
	uint32_t asked = 101 + sizeof(request) - 1, answered = 501 + sizeof(response) - 1;

	for (int cut_client = 0; cut_client < 2; cut_client++) {
		struct tkit kit_, *kit = &kit_;

		tkit_init(kit, (struct tracker_opts){ 0 }, true);
		TO_SERVER(SERVER_SOCK, .flags = TCP_SYN, .seq = 100);
		TO_CLIENT(SERVER_SOCK, .flags = TCP_SYN | TCP_ACK, .seq = 500, .ack = 101);
		TO_SERVER(SERVER_SOCK, .flags = TCP_ACK, .seq = 101, .ack = 501);
		kit->second_cookie = cut_client ? CLIENT_SOCK : SERVER_SOCK;
		TO_SERVER(SERVER_SOCK, .flags = TCP_ACK | TCP_PSH, .seq = 101, .ack = 501, .payload = request);
		TO_CLIENT(SERVER_SOCK, .flags = TCP_ACK | TCP_PSH, .seq = 501, .ack = asked, .payload = response);
		TO_SERVER(SERVER_SOCK, .flags = TCP_FIN | TCP_ACK, .seq = asked, .ack = answered);
		TO_CLIENT(SERVER_SOCK, .flags = TCP_FIN | TCP_ACK, .seq = answered, .ack = asked + 1);
		TO_SERVER(SERVER_SOCK, .flags = TCP_ACK, .seq = asked + 1, .ack = answered + 1);
		tracker_end(kit->tracker);

		CHECK_U64(TKIT_COUNT(kit, FLOWS), 2);
		for (size_t i = 0; i < 2; i++) {
			const struct flow_row *row = tkit_flow(kit, i);

			CHECK_U64(row->view, (row->vantage == VANTAGE_client) == cut_client ? VIEW_second : VIEW_first);
			CHECK_U64(ROW_HAS(FLOW, row, twin_id), 1);
			CHECK_U64(row->twin_id, tkit_flow(kit, 1 - i)->id);
			CHECK_U64(row->l7, L7_http);
			CHECK_U64(row->tx_packets, 5);
			CHECK_U64(row->tx_goodput_bytes, sizeof(request) - 1);
			CHECK_U64(row->rx_goodput_bytes, sizeof(response) - 1);
			CHECK_U64(row->tx_missing_bytes + row->rx_missing_bytes, 0);
		}
		CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
		CHECK_U64(tkit_call(kit, 0)->vantage, cut_client ? VANTAGE_server : VANTAGE_client);
		CHECK_U64(tkit_call(kit, 0)->end_reason, CALL_END_complete);
		CHECK_U64(tkit_call(kit, 0)->status, 404);
		CHECK_U64(counter_get(&kit->counters, COUNTER_frames_second_total), 2);
		CHECK_U64(counter_get(&kit->counters, COUNTER_frames_cut_total), 0);
		tkit_release(kit);
	}
}

/* The first view closes, or is found to be the second one, while a call of it is open. */
TEST(tracker, goes_on_when_a_view_with_an_open_call_becomes_the_second)
{
	uint32_t asked = 101 + sizeof(request) - 1;
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, true);
	TO_SERVER(SERVER_SOCK, .flags = TCP_SYN, .seq = 100);
	TO_CLIENT(SERVER_SOCK, .flags = TCP_SYN | TCP_ACK, .seq = 500, .ack = 101);
	TO_SERVER(SERVER_SOCK, .flags = TCP_ACK | TCP_PSH, .seq = 101, .ack = 501, .payload = request);
	kit->second_cookie = CLIENT_SOCK;
	TO_CLIENT(SERVER_SOCK, .flags = TCP_ACK, .seq = 501, .ack = asked);
	kit->now_ns += 2 * NS_PER_SEC;
	tracker_tick(kit->tracker, kit->now_ns);
	kit->now_ns += 2 * NS_PER_SEC;
	TO_CLIENT(SERVER_SOCK, .flags = TCP_ACK | TCP_PSH, .seq = 501, .ack = asked, .payload = response);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 2);
	CHECK_U64(TKIT_COUNT(kit, CALLS) >= 1, 1);
	CHECK_U64(tkit_call(kit, 0)->end_reason, CALL_END_gap);
	CHECK_U64(tkit_call(kit, 0)->vantage, VANTAGE_client);
	tkit_release(kit);
}

TEST(tracker, keeps_127_0_0_1_of_two_namespaces_apart)
{
	struct kit_end from = { "127.0.0.1", 40000 }, to = { "127.0.0.1", 80 };
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, true);
	kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = from, .to = to, .flags = TCP_SYN, .seq = 1 });
	kit->at = FRAME_EGRESS;
	kit->netns = CLIENT_NS;
	tkit_frame(kit);
	kit->at = FRAME_INGRESS;	/* the same addresses, another machine in all but name */
	kit->netns = SERVER_NS;
	tkit_frame(kit);
	kit->netns = CLIENT_NS;		/* its real other end */
	tkit_frame(kit);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 3);
	for (size_t i = 0; i < 3; i++)
		CHECK_U64(tkit_flow(kit, i)->view, i == 2 ? VIEW_second : VIEW_first);
	tkit_release(kit);
}

/* Translation in the namespace: the socket's addresses are the flow's, the header's are nat.* */
TEST(tracker, keeps_the_translated_addresses)
{
	struct kit_end seen_from = { "192.0.2.1", 1111 }, seen_to = { "192.0.2.2", 2222 };
	struct tkit kit_, *kit = &kit_;
	const struct flow_row *row;
	struct frame frame = { .link = 101, .segments = 1, .at = FRAME_EGRESS, .cookie = CLIENT_SOCK,
			       .netns = CLIENT_NS, .has_sk_tuple = true, .sk_lport = client.port,
			       .sk_rport = server.port };

	tkit_init(kit, (struct tracker_opts){ 0 }, true);
	(void)ip_parse(view_str(client.ip), &frame.sk_local, NULL);
	(void)ip_parse(view_str(server.ip), &frame.sk_remote, NULL);
	kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = seen_from, .to = seen_to, .flags = TCP_SYN, .seq = 100 });
	frame.time_ns = kit->now_ns;
	frame.bytes = wr_view(&kit->frame);
	frame.orig_len = (uint32_t)kit->frame.len;
	CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
	/* the answer comes translated back: header and socket agree */
	kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = server, .to = client, .flags = TCP_SYN | TCP_ACK,
						      .seq = 500, .ack = 101 });
	frame.has_sk_tuple = false;
	frame.at = FRAME_INGRESS;
	frame.bytes = wr_view(&kit->frame);
	CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	row = tkit_flow(kit, 0);
	CHECK_U64(row->src_port, client.port);
	CHECK_U64(row->tx_packets, 1);
	CHECK_U64(row->rx_packets, 1);
	CHECK_U64(row->nat_src_port, 1111);
	CHECK_U64(row->nat_dst_port, 2222);
	CHECK_U64(row->nat_src_ip.b[15], 1);
	CHECK_U64(row->nat_dst_ip.b[12], 192);
	tkit_release(kit);
}

TEST(tracker, records_what_was_lost)
{
	struct tkit kit_, *kit = &kit_;
	struct frame frame = { .time_ns = KIT_T0, .link = 101, .segments = 1, .at = FRAME_EGRESS,
			       .cookie = CLIENT_SOCK, .netns = CLIENT_NS, .lost_before = 14,
			       .lost_before_bytes = 18244 };

	tkit_init(kit, (struct tracker_opts){ 0 }, true);
	kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = client, .to = server, .flags = TCP_ACK, .seq = 1 });
	frame.bytes = wr_view(&kit->frame);
	frame.orig_len = (uint32_t)kit->frame.len;
	CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
	tracker_end(kit->tracker);
	CHECK_U64(tkit_flow(kit, 0)->tx_lost_packets, 14);
	CHECK_U64(tkit_flow(kit, 0)->rx_lost_packets, 0);
	CHECK_U64(kit->batch->gaps_count, 1);
	CHECK_U64(kit->batch->gaps[0].packets, 14);
	CHECK_U64(kit->batch->gaps[0].bytes, 18244);
	CHECK_STR(kit->batch->gaps[0].reason, "ring_full");
	CHECK_U64(counter_get(&kit->counters, COUNTER_frames_lost_total), 14);
	tkit_release(kit);
}

/* Events that did not come are counted apart from frames, and are a gap of the stretch they are missing from. */
TEST(tracker, records_that_events_were_lost)
{
	struct tkit kit_, *kit = &kit_;
	struct sock_event event = { .time_ns = KIT_T0 + 5 * NS_PER_SEC, .kind = SOURCE_LOST, .value = 3,
				    .value2 = NS_PER_SEC, .reason = SOURCE_LOST_EVENTS };

	tkit_init(kit, (struct tracker_opts){ 0 }, true);
	tracker_sock(kit->tracker, &event);
	event.time_ns += NS_PER_SEC / 2;	/* the next look finds some more: one gap */
	event.value = 4;
	tracker_sock(kit->tracker, &event);
	event.reason = SOURCE_LOST_PASSED_OVER;
	event.value = 1;
	event.value2 = 0;
	tracker_sock(kit->tracker, &event);
	CHECK_U64(counter_get(&kit->counters, COUNTER_events_lost_total), 7);
	CHECK_U64(counter_get(&kit->counters, COUNTER_events_passed_over_total), 1);
	CHECK_U64(counter_get(&kit->counters, COUNTER_frames_lost_total), 0);
	CHECK_U64(kit->batch->gaps_count, 2);
	CHECK_STR(kit->batch->gaps[0].reason, "events_lost");
	CHECK_U64(kit->batch->gaps[0].from_ns, KIT_T0 + 4 * NS_PER_SEC);
	CHECK_U64(kit->batch->gaps[0].to_ns, event.time_ns + 1);
	CHECK_U64(kit->batch->gaps[0].packets + kit->batch->gaps[0].bytes, 0);
	CHECK_STR(kit->batch->gaps[1].reason, "events_passed_over");
	CHECK_U64(kit->batch->gaps[1].to_ns - kit->batch->gaps[1].from_ns, 1);
	tracker_end(kit->tracker);
	tkit_release(kit);
}

static void sent_again(struct tkit *kit, enum sock_event_kind kind, uint64_t segments, uint32_t total)
{
	struct sock_event event = opened(kit, CLIENT_SOCK, client, server, false, 0, "", CLIENT_NS);

	event.kind = kind;
	event.reason = RETRANSMIT_TIMEOUT;
	event.value = segments;
	event.total_retrans = total;
	event.has_tcp = kind == SOCK_CLOSE;
	tracker_sock(kit->tracker, &event);
}

/* The kernel may tell of fewer segments than the socket counts: the flow has them all, and the rest is told as such. */
TEST(tracker, takes_the_sockets_word_for_what_was_sent_again)
{
	static const struct { bool syn; uint32_t totals[3]; unsigned told, untold; } cases[] = {
		{ true, { 1, 2, 2 }, 2, 0 },
		{ true, { 1, 4, 4 }, 2, 2 },	/* two between the events */
		{ true, { 3, 4, 9 }, 2, 7 },	/* before the first one and after the last one */
		{ false, { 7, 8, 8 }, 2, 0 },	/* six before the recorder came: no news */
		{ false, { 7, 10, 11 }, 2, 3 },
		{ true, { 0, 0, 0 }, 2, 0 },	/* a source that does not know */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tkit kit_, *kit = &kit_;
		unsigned sum = 0, untold = 0;

		tkit_init(kit, (struct tracker_opts){ 0 }, true);
		kit->at = FRAME_EGRESS;
		kit->cookie = CLIENT_SOCK;
		kit->netns = CLIENT_NS;
		tkit_tcp(kit, &(struct kit_tcp){ .from = client, .to = server, .seq = 100,
						 .flags = cases[i].syn ? TCP_SYN : TCP_ACK });
		sent_again(kit, SOCK_RETRANSMIT, 1, cases[i].totals[0]);
		sent_again(kit, SOCK_RETRANSMIT, 1, cases[i].totals[1]);
		sent_again(kit, SOCK_CLOSE, 0, cases[i].totals[2]);
		tracker_end(kit->tracker);
		CHECK_U64(tkit_flow(kit, 0)->tx_kernel_retransmits, cases[i].told + cases[i].untold);
		for (size_t e = 0; e < TKIT_COUNT(kit, EVENTS); e++) {
			const struct event_row *row = tkit_event(kit, e);

			if (row->kind != EVENT_retransmit)
				continue;
			sum += (unsigned)row->value;
			if (view_eq(row->reason, VIEW_LIT("untold")))
				untold += (unsigned)row->value;
			CHECK_U64(row->flow_id, tkit_flow(kit, 0)->id);
		}
		CHECK_U64(sum, cases[i].told + cases[i].untold);
		CHECK_U64(untold, cases[i].untold);
		CHECK_U64(counter_get(&kit->counters, COUNTER_retransmits_untold_total), cases[i].untold);
		tkit_release(kit);
	}
}

/* One that no event told of at all; of a connection that was met midway nobody knows since when its socket counts. */
TEST(tracker, learns_at_the_end_what_was_sent_again)
{
	for (unsigned syn = 0; syn < 2; syn++) {
		struct tkit kit_, *kit = &kit_;

		tkit_init(kit, (struct tracker_opts){ 0 }, true);
		kit->at = FRAME_EGRESS;
		kit->cookie = CLIENT_SOCK;
		kit->netns = CLIENT_NS;
		tkit_tcp(kit, &(struct kit_tcp){ .from = client, .to = server, .seq = 100,
						 .flags = syn ? TCP_SYN : TCP_ACK });
		sent_again(kit, SOCK_CLOSE, 0, 5);
		tracker_end(kit->tracker);
		CHECK_U64(tkit_flow(kit, 0)->tx_kernel_retransmits, syn ? 5 : 0);
		CHECK_U64(counter_get(&kit->counters, COUNTER_retransmits_untold_total), syn ? 5 : 0);
		tkit_release(kit);
	}
}

/* A super-packet is what it was on the wire: every segment with its headers. */
TEST(tracker, counts_the_segments_of_a_super_packet)
{
	struct tkit kit_, *kit = &kit_;
	static char payload[3000];
	struct frame frame = { .time_ns = KIT_T0, .link = 101, .segments = 3, .at = FRAME_EGRESS };

	memset(payload, 'x', sizeof(payload));
	tkit_init(kit, (struct tracker_opts){ 0 }, true);
	kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = client, .to = server, .flags = TCP_ACK, .seq = 1,
						      .payload = payload, .payload_len = sizeof(payload) });
	frame.bytes = wr_view(&kit->frame);
	frame.orig_len = (uint32_t)kit->frame.len;
	CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
	tracker_end(kit->tracker);
	CHECK_U64(tkit_flow(kit, 0)->tx_packets, 3);
	CHECK_U64(tkit_flow(kit, 0)->tx_bytes, 3 * 40 + 3000);
	CHECK_U64(tkit_flow(kit, 0)->tx_goodput_bytes, 3000);
	tkit_release(kit);
}

/* ---- what cannot be decoded ---- */

TEST(tracker, keeps_and_counts_what_it_cannot_decode)
{
	struct frame frame = { .time_ns = KIT_T0, .link = 9999, .segments = 1, .bytes = VIEW_LIT("whatever"),
			       .orig_len = 8 };
	struct tkit kit_, *kit = &kit_;
	struct packet_rec rec;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
	tracker_end(kit->tracker);
	CHECK_U64(tracker_undecoded(kit->tracker)[DECODE_link_unknown], 1);
	CHECK_U64(counter_get(&kit->counters, COUNTER_frames_undecoded_total), 1);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 0);
	CHECK_U64(kit->batch->packets, 1);
	rec = packet_block_rec(kit->batch->blocks[0], 0);
	CHECK_U64(rec.flow_id, 0);
	CHECK_U64(rec.link, 9999);
	CHECK_VIEW(rec.frame, "whatever");
	tkit_release(kit);
}

TEST(tracker, puts_later_fragments_to_the_flow_of_the_first)
{
	struct kit_end to = { "10.0.0.2", 9999 };
	struct tkit kit_, *kit = &kit_;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	kit_udp_frame(&kit->frame, client, to, VIEW_LIT("0123456789abcdef"));
	kit->frame.at[5] = 7;		/* identification */
	kit->frame.at[6] = 0x20;	/* more fragments */
	tkit_frame(kit);
	kit->frame.at[6] = 0;
	kit->frame.at[7] = 3;		/* offset 24 */
	tkit_frame(kit);
	kit->frame.at[5] = 8;		/* of a datagram whose first fragment was not seen */
	tkit_frame(kit);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 2);
	for (size_t i = 0; i < 2; i++)
		CHECK_U64(tkit_flow(kit, i)->tx_packets, ROW_HAS(FLOW, tkit_flow(kit, i), src_port) ? 2 : 1);
	tkit_release(kit);
}

/* ---- rollups against rows ---- */

TEST(tracker, rolls_up_to_the_sums_of_the_rows)
{
	uint64_t flow_sum[6] = { 0 }, rollup_sum[2][6] = { { 0 } };
	struct tkit kit_, *kit = &kit_;
	char ip[32];

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	for (unsigned i = 0; i < 300; i++) {
		struct kit_end from = { ip, (uint16_t)(20000 + i) };

		(void)snprintf(ip, sizeof(ip), "10.1.%u.%u", i % 3, i % 7);
		handshake(kit, from, server);
		if (i % 5)
			exchange(kit, from, server);
		else
			SEGMENT(.from = server, .to = from, .flags = TCP_RST, .seq = 501);
		kit->now_ns += 400 * NS_PER_MS;
	}
	tracker_end(kit->tracker);
	for (size_t i = 0; i < TKIT_COUNT(kit, FLOWS); i++) {
		const struct flow_row *row = tkit_flow(kit, i);

		flow_sum[0] += row->report == 0;
		flow_sum[1] += row->tx_packets;
		flow_sum[2] += row->rx_packets;
		flow_sum[3] += row->tx_bytes;
		flow_sum[4] += row->rx_bytes;
		flow_sum[5] += row->tx_resets + row->rx_resets;
	}
	for (size_t i = 0; i < TKIT_COUNT(kit, ROLLUPS); i++) {
		const struct rollup_row *row = TKIT_ROLLUP(kit, i);
		uint64_t *sum = rollup_sum[row->tier == 60];

		if (row->tier != 1 && row->tier != 60)
			continue;
		CHECK_U64(row->end_ns - row->start_ns, row->tier * NS_PER_SEC);
		CHECK_U64(row->start_ns % (row->tier * NS_PER_SEC), 0);
		sum[0] += row->flows;
		sum[1] += row->tx_packets;
		sum[2] += row->rx_packets;
		sum[3] += row->tx_bytes;
		sum[4] += row->rx_bytes;
		sum[5] += row->resets;
	}
	CHECK_U64(flow_sum[0], 300);
	CHECK_U64(flow_sum[5], 60);
	for (int i = 0; i < 6; i++) {
		CHECK_U64(rollup_sum[0][i], flow_sum[i]);
		CHECK_U64(rollup_sum[1][i], flow_sum[i]);
	}
	tkit_release(kit);
}

/* ---- memory runs out ---- */

TEST(tracker, survives_every_failing_allocation)
{
	for (uint64_t nth = 1; nth < 60; nth++) {
		struct tkit kit_, *kit = &kit_;

		tkit_init(kit, (struct tracker_opts){ 0 }, false);
		mem_fail_nth(nth);
		kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = client, .to = server, .flags = TCP_ACK, .seq = 1,
							      .payload = request });
		if (!kit->frame.bad && kit->frame.len) {
			struct frame frame = { .time_ns = KIT_T0, .bytes = wr_view(&kit->frame), .link = 101,
					       .orig_len = (uint32_t)kit->frame.len, .segments = 1 };

			(void)tracker_frame(kit->tracker, &frame);
		}
		tracker_end(kit->tracker);
		mem_fail_nth(0);
		tkit_release(kit);
	}
}

/* What is at work after a moment shows then; what is over, or was one exchange, has its one row. */
TEST(tracker, reports_early_what_is_at_work)
{
	struct kit_end name = { "10.0.0.1", 5353 }, names = { "10.0.0.2", 53 };
	struct kit_end other = { "10.0.0.1", 40001 }, third = { "10.0.0.1", 40002 };
	struct tkit kit_, *kit = &kit_;
	uint64_t packets = 0;

	tkit_init(kit, (struct tracker_opts){ .early_ns = NS_PER_SEC }, false);
	handshake(kit, client, server);
	SEGMENT(.from = client, .to = server, .flags = TCP_ACK, .seq = 101, .ack = 501, .payload = "0123456789");
	exchange(kit, other, server);
	SEGMENT(.from = third, .to = server, .flags = TCP_SYN, .seq = 100);
	kit_udp_frame(&kit->frame, name, names, VIEW_LIT("ask"));
	tkit_frame(kit);
	tracker_tick(kit->tracker, kit->now_ns + 900 * NS_PER_MS);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 0);
	tracker_tick(kit->tracker, kit->now_ns + 1100 * NS_PER_MS);
	for (size_t i = 0; i < TKIT_COUNT(kit, FLOWS); i++)
		if (tkit_flow(kit, i)->state == STATE_open) {
			CHECK_U64(tkit_flow(kit, i)->src_port, client.port);
			CHECK_U64(tkit_flow(kit, i)->tx_goodput_bytes, 10);
			CHECK_U64(tkit_flow(kit, i)->report, 0);
			packets++;
		}
	CHECK_U64(packets, 1);
	kit->now_ns += 3 * NS_PER_SEC;
	SEGMENT(.from = client, .to = server, .flags = TCP_ACK, .seq = 111, .ack = 501, .payload = "abc");
	tracker_tick(kit->tracker, kit->now_ns + 20 * NS_PER_SEC);
	tracker_end(kit->tracker);
	/* four flows, one of them with two rows, whose sums are its own */
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 5);
	packets = 0;
	for (size_t i = 0; i < 5; i++)
		if (tkit_flow(kit, i)->src_port == client.port)
			packets += tkit_flow(kit, i)->tx_packets + tkit_flow(kit, i)->rx_packets;
	CHECK_U64(packets, 5);
	tkit_release(kit);
}

/* Packets that the source only counted are packets of their flow, and a gap in what is held. */
TEST(tracker, counts_what_was_only_counted)
{
	struct tkit kit_, *kit = &kit_;
	struct sock_event event;
	struct frame frame = { .link = 101, .segments = 1, .at = FRAME_EGRESS, .cookie = CLIENT_SOCK,
			       .netns = CLIENT_NS, .skipped_before = 40, .skipped_before_bytes = 4000 };
	uint64_t packets = 0;

	tkit_init(kit, (struct tracker_opts){ 0 }, true);
	event = opened(kit, CLIENT_SOCK, client, server, false, 100, "curl", CLIENT_NS);
	tracker_sock(kit->tracker, &event);
	kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = client, .to = server, .flags = TCP_ACK, .seq = 100,
						      .payload = "x" });
	frame.time_ns = kit->now_ns;
	frame.bytes = wr_view(&kit->frame);
	frame.orig_len = (uint32_t)kit->frame.len;
	CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
	/* An ACK, a second later: earlier ones may be among those only counted, so it measures nothing. */
	kit_tcp_frame(&kit->frame, &(struct kit_tcp){ .from = server, .to = client, .flags = TCP_ACK, .seq = 500,
						      .ack = 101 });
	frame.time_ns += NS_PER_SEC;
	frame.at = FRAME_INGRESS;
	frame.bytes = wr_view(&kit->frame);
	frame.orig_len = (uint32_t)kit->frame.len;
	frame.skipped_before = 2;
	frame.skipped_before_bytes = 200;
	CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
	event = (struct sock_event){ .time_ns = kit->now_ns + NS_PER_SEC, .kind = SOCK_CLOSE, .cookie = CLIENT_SOCK,
				     .proto = PROTO_tcp, .skipped = { 7, 5 }, .skipped_bytes = { 700, 500 } };
	tracker_sock(kit->tracker, &event);
	event = (struct sock_event){ .time_ns = kit->now_ns + NS_PER_SEC, .kind = SOURCE_LOST, .value = 3,
				     .value2 = 300, .reason = SOURCE_LOST_SKIPPED };
	tracker_sock(kit->tracker, &event);
	tracker_end(kit->tracker);

	CHECK_U64(tkit_flow(kit, 0)->tx_packets, 1 + 40 + 5);
	CHECK_U64(tkit_flow(kit, 0)->tx_bytes, 41 + 4000 + 500);
	CHECK_U64(tkit_flow(kit, 0)->rx_packets, 7 + 1 + 2);
	CHECK_U64(ROW_HAS(FLOW, tkit_flow(kit, 0), rtt_samples), 0);
	CHECK_U64(tkit_flow(kit, 0)->rx_bytes, 700 + 40 + 200);
	CHECK_U64(tkit_flow(kit, 0)->tx_lost_packets, 0);
	CHECK_U64(counter_get(&kit->counters, COUNTER_frames_skipped_total), 57);
	CHECK_U64(counter_get(&kit->counters, COUNTER_frames_lost_total), 0);
	CHECK_U64(kit->batch->gaps_count, 1);
	CHECK_STR(kit->batch->gaps[0].reason, "thinned");
	CHECK_U64(kit->batch->gaps[0].packets, 57);
	for (size_t i = 0; i < TKIT_COUNT(kit, ROLLUPS); i++)
		if (TKIT_ROLLUP(kit, i)->tier == 1)
			packets += TKIT_ROLLUP(kit, i)->tx_packets + TKIT_ROLLUP(kit, i)->rx_packets;
	CHECK_U64(packets, 56);
	tkit_release(kit);
}
