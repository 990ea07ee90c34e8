/* SCTP associations through the tracker: times, health, ends; and the way back to the bytes of a call. */
#include "base/rd.h"
#include "ingest/import.h"
#include "query/query.h"
#include "tests/ingest_kit.h"
#include "tests/sctp_kit.h"

static const struct kit_end client = { "10.0.0.1", 40000 }, server = { "10.0.0.2", 3868 };

/* The chunks in wr, behind the common header, in a frame of their own. */
static void send_chunks(struct tkit *kit, struct kit_end from, struct kit_end to, struct wr *chunks)
{
	kit_ip_header(&kit->frame, 12 + chunks->len, 132, from.ip, to.ip);
	wr_u16be(&kit->frame, from.port);
	wr_u16be(&kit->frame, to.port);
	wr_u64be(&kit->frame, 0x1234567800000000u);
	wr_bytes(&kit->frame, wr_view(chunks));
	tkit_frame(kit);
	kit->now_ns += NS_PER_MS;
	wr_reset(chunks);
}

static void init(struct tkit *kit, struct wr *wr, uint32_t tag)
{
	sctp_put_init(wr, SCTP_INIT, tag, 100);
	send_chunks(kit, client, server, wr);
}

static void handshake(struct tkit *kit, struct wr *wr, uint32_t tag)
{
	init(kit, wr, tag);
	kit->now_ns += NS_PER_MS;
	sctp_put_init(wr, SCTP_INIT_ACK, tag + 1, 500);
	send_chunks(kit, server, client, wr);
	sctp_put(wr, SCTP_COOKIE_ECHO, 0, VIEW_LIT("cookie"));
	send_chunks(kit, client, server, wr);
	sctp_put(wr, SCTP_COOKIE_ACK, 0, VIEW_LIT(""));
	send_chunks(kit, server, client, wr);
}

static void data(struct tkit *kit, struct wr *wr, bool back, uint8_t flags, uint32_t tsn, struct view bytes)
{
	sctp_put_data(wr, flags, tsn, 0, 0, 46, bytes);
	send_chunks(kit, back ? server : client, back ? client : server, wr);
}

TEST(sctp_flow, tells_an_association)
{
	struct tkit kit_, *kit = &kit_;
	struct wr wr, request, answer;
	const struct flow_row *row;
	const struct call_row *call;
	uint64_t t0;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	wr_init(&wr, 0);
	wr_init(&request, 0);
	wr_init(&answer, 0);
	diameter_put(&request, true, 1, 0);
	diameter_put(&answer, false, 1, 400);
	t0 = kit->now_ns;
	handshake(kit, &wr, 77);
	data(kit, &wr, false, SCTP_ALONE, 100, wr_view(&request));
	data(kit, &wr, false, SCTP_ALONE, 100, wr_view(&request));	/* sent again */
	data(kit, &wr, true, SCTP_FIRST, 500, view_sub(wr_view(&answer), 0, 200));
	data(kit, &wr, true, SCTP_LAST, 501, view_sub(wr_view(&answer), 200, 1000));
	sctp_put_tsn(&wr, SCTP_SHUTDOWN, 501);
	send_chunks(kit, client, server, &wr);
	sctp_put(&wr, SCTP_SHUTDOWN_ACK, 0, VIEW_LIT(""));
	send_chunks(kit, server, client, &wr);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 0);
	sctp_put(&wr, SCTP_SHUTDOWN_COMPLETE, 0, VIEW_LIT(""));
	send_chunks(kit, client, server, &wr);
	tracker_tick(kit->tracker, kit->now_ns + 2 * NS_PER_SEC);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	row = tkit_flow(kit, 0);
	CHECK_U64(row->proto, PROTO_sctp);
	CHECK_U64(row->l7, L7_diameter);
	CHECK_U64(row->end_reason, FLOW_END_fin);
	CHECK_U64(row->src_port, client.port);
	CHECK_U64(row->tx_packets, 6);
	CHECK_U64(row->rx_packets, 5);
	CHECK_U64(row->syn_ns, t0);
	CHECK_U64(row->syn_rtt_ns, 2 * NS_PER_MS);
	CHECK_U64(row->ack_rtt_ns, NS_PER_MS);
	CHECK_U64(row->handshake_ns, 3 * NS_PER_MS);
	CHECK_U64(row->handshake_ambiguous, 0);
	CHECK_U64(row->first_payload_ns, t0 + 5 * NS_PER_MS);
	CHECK_U64(row->first_response_ns, t0 + 7 * NS_PER_MS);
	CHECK_U64(row->tx_goodput_bytes, request.len);
	CHECK_U64(row->rx_goodput_bytes, answer.len);
	CHECK_U64(row->tx_retransmits, 1);
	CHECK_U64(row->tx_retransmit_bytes, request.len);
	CHECK_U64(row->rx_retransmits, 0);
	CHECK_NOT(ROW_HAS(FLOW, row, reset_phase));
	CHECK_NOT(ROW_HAS(FLOW, row, completeness));
	CHECK_NOT(ROW_HAS(FLOW, row, tx_mss));
	CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
	call = tkit_call(kit, 0);
	CHECK_U64(call->status, 2001);
	CHECK_U64(call->proto, PROTO_sctp);
	CHECK_U64(call->end_reason, CALL_END_complete);
	CHECK_U64(call->latency_ns, 3 * NS_PER_MS);
	CHECK_U64(call->req_seq, 100);
	CHECK_U64(call->rsp_seq, 500);
	wr_release(&wr);
	wr_release(&request);
	wr_release(&answer);
	tkit_release(kit);
}

TEST(sctp_flow, tells_how_an_association_was_aborted)
{
	static const struct {
		unsigned steps;		/* 0: nothing, 1: INIT, 2: handshake, 3: and data, 4: and SHUTDOWN */
		bool back;
		uint8_t phase;
	} cases[] = {
		{ 0, true, RESET_stray }, { 1, true, RESET_refused }, { 2, false, RESET_idle }, { 3, true, RESET_data },
		{ 4, false, RESET_closing },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tkit kit_, *kit = &kit_;
		const struct flow_row *row;
		uint64_t failed = 0;
		struct wr wr;

		tkit_init(kit, (struct tracker_opts){ 0 }, false);
		wr_init(&wr, 0);
		if (cases[i].steps == 1)
			init(kit, &wr, 1);
		if (cases[i].steps > 1)
			handshake(kit, &wr, 1);
		if (cases[i].steps > 2)
			data(kit, &wr, false, SCTP_ALONE, 100, VIEW_LIT("?"));
		if (cases[i].steps > 3) {
			sctp_put_tsn(&wr, SCTP_SHUTDOWN, 499);
			send_chunks(kit, client, server, &wr);
		}
		sctp_put(&wr, SCTP_ABORT, 0, VIEW_LIT(""));
		send_chunks(kit, cases[i].back ? server : client, cases[i].back ? client : server, &wr);
		/* the same ends again: another association */
		init(kit, &wr, 9);
		init(kit, &wr, 9);
		tracker_end(kit->tracker);
		CHECK_EQ(TKIT_COUNT(kit, FLOWS), 2, "case %zu: %zu flows", i, TKIT_COUNT(kit, FLOWS));
		row = tkit_flow(kit, 0);
		CHECK_EQ(row->end_reason, FLOW_END_rst, "case %zu", i);
		CHECK_EQ(row->reset_phase, cases[i].phase, "case %zu: %u", i, row->reset_phase);
		/* the client is who opened it, the port says so where nothing else does */
		CHECK_U64(row->src_port, client.port);
		CHECK_EQ(row->reset_by, cases[i].back, "case %zu", i);
		CHECK_U64(row->tx_resets + row->rx_resets, 1);
		row = tkit_flow(kit, 1);
		CHECK_U64(row->end_reason, FLOW_END_capture_end);
		CHECK_U64(row->tx_packets, 2);
		CHECK_U64(row->handshake_ambiguous, 1);
		CHECK_NOT(ROW_HAS(FLOW, row, handshake_ns));
		for (size_t r = 0; r < TKIT_COUNT(kit, ROLLUPS); r++)
			failed += TKIT_ROLLUP(kit, r)->tier == 1 ? TKIT_ROLLUP(kit, r)->flows_failed : 0;
		CHECK_EQ(failed, 1u + (cases[i].steps == 1), "case %zu: %llu failed", i, (unsigned long long)failed);
		wr_release(&wr);
		tkit_release(kit);
	}
}

/* Heartbeats twice a minute keep an association; a flood of INITs keeps nothing. */
TEST(sctp_flow, lives_as_long_as_its_heartbeats)
{
	struct tkit kit_, *kit = &kit_;
	uint64_t packets = 0;
	struct wr wr;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	wr_init(&wr, 0);
	handshake(kit, &wr, 1);
	for (int i = 0; i < 20; i++) {
		kit->now_ns += 40 * NS_PER_SEC;
		sctp_put(&wr, i % 2 ? SCTP_HEARTBEAT_ACK : SCTP_HEARTBEAT, 0, VIEW_LIT("now"));
		send_chunks(kit, i % 2 ? server : client, i % 2 ? client : server, &wr);
	}
	tracker_end(kit->tracker);
	for (size_t i = 0; i < TKIT_COUNT(kit, FLOWS); i++) {
		CHECK_U64(tkit_flow(kit, i)->id, tkit_flow(kit, 0)->id);
		packets += tkit_flow(kit, i)->tx_packets + tkit_flow(kit, i)->rx_packets;
	}
	CHECK_U64(packets, 24);
	wr_release(&wr);
	tkit_release(kit);
}

TEST(sctp_flow, counts_chunks_that_lie)
{
	struct tkit kit_, *kit = &kit_;
	struct wr wr;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	wr_init(&wr, 0);
	sctp_put_data(&wr, SCTP_ALONE, 100, 0, 0, 0, VIEW_LIT("good"));
	wr_u32be(&wr, 0x00030003);	/* DATA, 3 bytes long */
	send_chunks(kit, client, server, &wr);
	tracker_end(kit->tracker);
	CHECK_U64(tracker_undecoded(kit->tracker)[DECODE_bad_chunk], 1);
	CHECK_U64(counter_get(&kit->counters, COUNTER_frames_undecoded_total), 1);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	CHECK_U64(tkit_flow(kit, 0)->tx_packets, 1);
	CHECK_U64(tkit_flow(kit, 0)->tx_goodput_bytes, 4);	/* what stands before it counts */
	wr_release(&wr);
	tkit_release(kit);
}

/* ---- the way back ---- */

/* As a capture file. */
static void put_frame(struct wr *file, uint64_t time_ns, bool back, struct wr *chunks)
{
	struct wr frame;

	wr_init(&frame, 0);
	kit_ip_header(&frame, 12 + chunks->len, 132, back ? server.ip : client.ip, back ? client.ip : server.ip);
	wr_u16be(&frame, back ? server.port : client.port);
	wr_u16be(&frame, back ? client.port : server.port);
	wr_u64be(&frame, 0);
	wr_bytes(&frame, wr_view(chunks));
	wr_u32le(file, (uint32_t)(time_ns / NS_PER_SEC));
	wr_u32le(file, (uint32_t)(time_ns % NS_PER_SEC / 1000));
	wr_u32le(file, (uint32_t)frame.len);
	wr_u32le(file, (uint32_t)frame.len);
	wr_bytes(file, wr_view(&frame));
	wr_reset(chunks);
	wr_release(&frame);
}

static void put_pieces(struct wr *wr, struct view bytes, unsigned n, uint32_t tsn, unsigned from, unsigned to)
{
	size_t step = bytes.len / n;

	for (unsigned i = from; i < to; i++)
		sctp_put_data(wr, (uint8_t)((i ? 0 : SCTP_FIRST) | (i + 1 < n ? 0 : SCTP_LAST)), tsn + i, 0, 0, 46,
			      view_sub(bytes, i * step, i + 1 < n ? step : bytes.len));
}

struct found {
	struct call_row rows[8];
	size_t count;
};

static bool keep_call(void *arg, const struct table *table, const void *row)
{
	struct found *found = arg;

	(void)table;
	CHECK_LT(found->count, 8);
	found->rows[found->count++] = *(const struct call_row *)row;
	return true;
}

static bool keep_flow(void *arg, const struct table *table, const void *row)
{
	(void)table;
	*(struct flow_row *)arg = *(const struct flow_row *)row;
	return false;
}

/* Messages in pieces, out of order, interleaved, sent again, around the end of the numbers: each call has its bytes. */
TEST(sctp_flow, gives_the_bytes_of_a_call_back)
{
	const char *dir = check_tmpdir(), *paths[1];
	struct import_opts import = { .paths = paths, .paths_count = 1, .data_dir = dir, .no_seal = true };
	struct query_rows calls = { .table = TABLE_CALLS, .ascending = true }, flows = { .table = TABLE_FLOWS };
	struct wr file, wr, request[3], answer[3];
	uint32_t tx = UINT32_MAX - 1, rx = 0x7ffffffe;
	struct query_opts opts = { .filter = VIEW_LIT("diameter && sctp") }, all = { 0 };
	struct found found = { .count = 0 };
	struct import_totals totals;
	struct query_stats stats;
	struct store *store = NULL;
	struct kit_file memory;
	struct flow_row flow;
	struct arena arena;
	struct view cursor, stream;
	struct err err = { 0 };
	uint64_t t = KIT_T0, missing;

	wr_init(&file, 0);
	wr_init(&wr, 0);
	wr_u32le(&file, 0xa1b2c3d4);
	wr_u32le(&file, 0x00040002);
	wr_u64le(&file, 0);
	wr_u32le(&file, 65535);
	wr_u32le(&file, 101);
	for (uint32_t i = 0; i < 3; i++) {
		wr_init(&request[i], 0);
		wr_init(&answer[i], 0);
		diameter_put(&request[i], true, i, 100 * i);
		diameter_put(&answer[i], false, i, 500 + i);
	}
	/* 0: one piece; 1: three, the second late; 2: with 1, one packet */
	put_pieces(&wr, wr_view(&request[0]), 1, tx, 0, 1);
	put_pieces(&wr, wr_view(&request[1]), 3, tx + 1, 0, 1);
	put_frame(&file, t += NS_PER_MS, false, &wr);
	put_pieces(&wr, wr_view(&request[1]), 3, tx + 1, 2, 3);
	put_pieces(&wr, wr_view(&request[2]), 1, tx + 4, 0, 1);
	put_frame(&file, t += NS_PER_MS, false, &wr);
	put_pieces(&wr, wr_view(&request[1]), 3, tx + 1, 1, 2);
	put_frame(&file, t += NS_PER_MS, false, &wr);
	/* answers: the second before the first; the first again */
	put_pieces(&wr, wr_view(&answer[0]), 2, rx, 0, 1);
	put_pieces(&wr, wr_view(&answer[1]), 1, rx + 2, 0, 1);
	put_frame(&file, t += NS_PER_MS, true, &wr);
	put_pieces(&wr, wr_view(&answer[0]), 2, rx, 0, 2);
	put_frame(&file, t += NS_PER_MS, true, &wr);
	sctp_put_i_data(&wr, SCTP_FIRST, rx + 3, 7, 0, 46, view_sub(wr_view(&answer[2]), 0, 100));
	sctp_put_i_data(&wr, SCTP_FIRST | SCTP_LAST, rx + 4, 8, 0, 46, VIEW_LIT("another's"));
	sctp_put_i_data(&wr, SCTP_LAST, rx + 5, 7, 0, 1, view_sub(wr_view(&answer[2]), 100, 10000));
	put_frame(&file, t += NS_PER_MS, true, &wr);
	kit_file_open(&memory, wr_view(&file));
	paths[0] = memory.path;
	CHECK_OK(import_run(&import, &totals, &err), err);
	arena_init(&arena, 0);
	CHECK_OK(store_open(dir, &store, &err), err);
	CHECK_OK(query_rows(store, &opts, &calls, keep_call, &found, &arena, &stats, &cursor, &err), err);
	CHECK_U64(found.count, 3);
	for (size_t i = 0; i < 3; i++) {
		struct query_bytes bytes;
		unsigned n = 0;

		CHECK_OK(query_call_bytes(store, &found.rows[i], 1 << 20, &arena, &bytes, &err), err);
		while (n < 3 && !view_eq(bytes.request, wr_view(&request[n])))
			n++;
		CHECK(n < 3, "call %zu: %zu bytes of a request are none of ours", i, bytes.request.len);
		CHECK(view_eq(bytes.response, wr_view(&answer[n])), "answer %u: %zu bytes", n, bytes.response.len);
		CHECK_U64(bytes.request_missing + bytes.response_missing, 0);
		CHECK_EQ(bytes.payload, PAYLOAD_present);
		CHECK_U64(found.rows[i].req_seq, (uint32_t)(tx + (n == 2 ? 4 : n)));
	}
	/* the stream is user data, each piece once */
	CHECK_OK(query_rows(store, &all, &flows, keep_flow, &flow, &arena, &stats, &cursor, &err), err);
	CHECK_OK(query_flow_stream(store, &flow, 0, 0, 1 << 20, &arena, &stream, &missing, &err), err);
	CHECK_U64(stream.len, request[0].len + request[1].len + request[2].len);
	CHECK_U64(missing, 0);
	CHECK_OK(query_flow_stream(store, &flow, 1, 0, 1 << 20, &arena, &stream, &missing, &err), err);
	CHECK_U64(stream.len, answer[0].len + answer[1].len + answer[2].len + 9);
	arena_release(&arena);
	store_close(store);
	kit_file_close(&memory);
	wr_release(&file);
	wr_release(&wr);
	for (unsigned i = 0; i < 3; i++) {
		wr_release(&request[i]);
		wr_release(&answer[i]);
	}
}

/* An N2 interface: 12 packets, user data as `tshark -e sctp.chunk_length` has it (16 bytes of each DATA are its head). */
TEST(sctp_flow, of_a_real_capture)
{
	const char *captures = check_need_captures(), *dir = check_tmpdir(), *paths[1];
	struct import_opts import = { .paths = paths, .paths_count = 1, .data_dir = dir, .no_seal = true };
	struct query_opts opts = { .filter = VIEW_LIT("sctp && port == 38412") };
	struct query_rows flows = { .table = TABLE_FLOWS };
	struct import_totals totals;
	struct query_stats stats;
	struct store *store = NULL;
	struct flow_row flow = { 0 };
	struct arena arena;
	struct view cursor;
	struct err err = { 0 };
	char path[1024];

	(void)snprintf(path, sizeof(path), "%s/http2/free5gc.pcapng", captures);
	paths[0] = path;
	CHECK_OK(import_run(&import, &totals, &err), err);
	arena_init(&arena, 0);
	CHECK_OK(store_open(dir, &store, &err), err);
	CHECK_OK(query_rows(store, &opts, &flows, keep_flow, &flow, &arena, &stats, &cursor, &err), err);
	CHECK_U64(flow.tx_packets, 7);
	CHECK_U64(flow.rx_packets, 5);
	CHECK_U64(flow.tx_goodput_bytes, 493);
	CHECK_U64(flow.rx_goodput_bytes, 451);
	CHECK_U64(flow.tx_retransmits + flow.rx_retransmits + flow.tx_out_of_order + flow.rx_out_of_order, 0);
	CHECK_U64(flow.dst_port, 38412);
	CHECK_NOT(ROW_HAS(FLOW, &flow, l7));
	CHECK_NOT(ROW_HAS(FLOW, &flow, syn_ns));
	arena_release(&arena);
	store_close(store);
}
