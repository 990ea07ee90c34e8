/* Fragments through the tracker: whose they are, what is counted, what is fed. */
#include "ingest/import.h"
#include "query/query.h"
#include "tests/ingest_kit.h"

static const struct kit_end client = { "10.0.0.1", 40000 }, resolver = { "10.0.0.2", 53 };

/* A question for a.example and its answer, padded with a long text record. */
static size_t dns_message(uint8_t *at, bool answer, size_t pad)
{
	static const uint8_t head[] = { 0, 9, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e',
					0, 0, 16, 0, 1 };
	size_t len = sizeof(head);

	memcpy(at, head, len);
	if (!answer)
		return len;
	at[2] = 0x81;
	at[3] = 0x80;
	at[7] = (uint8_t)pad;
	for (size_t i = 0; i < pad; i++) {
		static const uint8_t record[] = { 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, 201, 200 };

		memcpy(at + len, record, sizeof(record));
		len += sizeof(record);
		memset(at + len, 'x', 200);
		len += 200;
	}
	return len;
}

/* Bytes [from, to) of the frame's IP payload, as a fragment of it. */
static void fragment(struct tkit *kit, const struct wr *datagram, size_t from, size_t to)
{
	size_t body = datagram->len - 20;

	wr_reset(&kit->frame);
	wr_bytes(&kit->frame, view_make(datagram->at, 20));
	to = to < body ? to : body;
	wr_bytes(&kit->frame, view_make(datagram->at + 20 + from, to - from));
	kit->frame.at[2] = (uint8_t)((to - from + 20) >> 8);
	kit->frame.at[3] = (uint8_t)(to - from + 20);
	kit->frame.at[6] = (uint8_t)((to < body ? 0x20 : 0) | from / 8 >> 8);
	kit->frame.at[7] = (uint8_t)(from / 8);
	tkit_frame(kit);
	kit->now_ns += NS_PER_MS;
}

static void ask(struct tkit *kit)
{
	uint8_t message[64];

	kit_udp_frame(&kit->frame, client, resolver, view_make(message, dns_message(message, false, 0)));
	tkit_frame(kit);
	kit->now_ns += NS_PER_MS;
}

static void answer_of(struct wr *datagram, uint8_t id)
{
	uint8_t message[4096];

	kit_udp_frame(datagram, resolver, client, view_make(message, dns_message(message, true, 10)));
	datagram->at[5] = id;
}

TEST(fragments, are_fed_once_and_counted_each)
{
	/* three pieces in every order: the last of them may come first */
	static const size_t cuts[4] = { 0, 800, 1600, 4000 };
	static const unsigned orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	for (unsigned o = 0; o < 6; o++) {
		struct tkit kit_, *kit = &kit_;
		const struct flow_row *row;
		const struct call_row *call;
		struct wr datagram;

		tkit_init(kit, (struct tracker_opts){ 0 }, false);
		wr_init(&datagram, 0);
		ask(kit);
		answer_of(&datagram, 7);
		for (unsigned i = 0; i < 3; i++)
			fragment(kit, &datagram, cuts[orders[o][i]], cuts[orders[o][i] + 1]);
		tracker_end(kit->tracker);
		CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
		row = tkit_flow(kit, 0);
		CHECK_U64(row->tx_packets, 1);
		CHECK_U64(row->rx_packets, 3);
		CHECK_U64(row->rx_bytes, datagram.len + 2 * 20);
		CHECK_U64(row->rx_goodput_bytes, datagram.len - 28);
		CHECK_U64(row->tx_fragments, 0);
		CHECK_U64(row->rx_fragments, 3);
		CHECK_U64(row->broken_datagrams, 0);
		CHECK_U64(row->first_ns, KIT_T0);
		CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
		call = tkit_call(kit, 0);
		CHECK_U64(call->end_reason, CALL_END_complete);
		CHECK_U64(call->rsp_bytes, datagram.len - 28);
		/* the answer is there when its last piece is */
		CHECK_U64(call->latency_ns, 3 * NS_PER_MS);
		/* every frame is kept under its own number, with the flow */
		CHECK_U64(kit->batch->packets, 4);
		for (uint32_t i = 0, seen = 0; i < 4; i++) {
			struct packet_rec rec = packet_block_rec(kit->batch->blocks[0], i);

			CHECK_U64(rec.flow_id, row->id);
			CHECK_U64(rec.time_ns, KIT_T0 + (rec.number - 1) * NS_PER_MS);
			seen |= 1u << rec.number;
			CHECK(i < 3 || seen == 0x1e);
		}
		CHECK_U64(counter_get(&kit->counters, COUNTER_frames_undecoded_total), 0);
		tracker_gauges(kit->tracker);
		CHECK_U64(counter_get(&kit->counters, COUNTER_fragments_total), 3);
		CHECK_U64(counter_get(&kit->counters, COUNTER_fragments_whole_total), 1);
		CHECK_U64(counter_get(&kit->counters, COUNTER_fragments_held_bytes), 0);
		wr_release(&datagram);
		tkit_release(kit);
	}
}

TEST(fragments, tell_what_never_came)
{
	struct tkit kit_, *kit = &kit_;
	const struct flow_row *row;
	struct wr datagram;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	wr_init(&datagram, 0);
	ask(kit);
	answer_of(&datagram, 7);
	fragment(kit, &datagram, 0, 800);
	fragment(kit, &datagram, 1600, 4000);
	tracker_tick(kit->tracker, kit->now_ns + 11 * NS_PER_SEC);
	tracker_end(kit->tracker);
	CHECK_U64(TKIT_COUNT(kit, FLOWS), 1);
	row = tkit_flow(kit, 0);
	CHECK_U64(row->rx_packets, 2);
	CHECK_U64(row->broken_datagrams, 1);
	CHECK_U64(TKIT_COUNT(kit, CALLS), 1);
	tracker_gauges(kit->tracker);
	CHECK_U64(counter_get(&kit->counters, COUNTER_fragments_timeouts_total), 1);
	/* the piece behind the hole was of no use */
	CHECK_U64(counter_get(&kit->counters, COUNTER_frames_undecoded_total), 1);
	wr_release(&datagram);
	tkit_release(kit);
}

TEST(fragments, report_overlaps_once_a_flow)
{
	struct tkit kit_, *kit = &kit_;
	struct wr datagram;
	unsigned events = 0;

	tkit_init(kit, (struct tracker_opts){ 0 }, false);
	wr_init(&datagram, 0);
	ask(kit);
	for (uint8_t id = 1; id < 4; id++) {
		answer_of(&datagram, id);
		fragment(kit, &datagram, 0, 800);
		datagram.at[20 + 700] ^= 1;	/* an evader's copy */
		fragment(kit, &datagram, 640, 1600);
		fragment(kit, &datagram, 1600, 4000);
	}
	tracker_end(kit->tracker);
	for (size_t i = 0; i < TKIT_COUNT(kit, EVENTS); i++) {
		const struct event_row *event = tkit_event(kit, i);

		if (event->kind != EVENT_fragments)
			continue;
		events++;
		CHECK_VIEW(event->reason, "overlap");
		CHECK_U64(event->flow_id, tkit_flow(kit, 0)->id);
	}
	CHECK_U64(events, 1);
	CHECK_U64(tkit_flow(kit, 0)->fragment_overlaps, 3);
	CHECK_U64(tkit_flow(kit, 0)->rx_packets, 9);
	wr_release(&datagram);
	tkit_release(kit);
}

/* ---- real ones ---- */

static bool add_packets(void *arg, const struct table *table, const void *at)
{
	const struct flow_row *row = at;

	(void)table;
	*(uint64_t *)arg += row->tx_packets + row->rx_packets;
	return true;
}

static bool last_call(void *arg, const struct table *table, const void *row)
{
	(void)table;
	*(struct call_row *)arg = *(const struct call_row *)row;
	return false;
}

/* An answer in three pieces of IPv6: a call with all its bytes, also for who asks the store for them. */
TEST(fragments, of_a_real_answer_are_its_bytes)
{
	const char *captures = check_need_captures(), *dir = check_tmpdir(), *paths[1];
	struct import_opts import = { .paths = paths, .paths_count = 1, .data_dir = dir, .no_seal = true };
	struct query_opts all = { 0 }, large = { .filter = VIEW_LIT("rsp_bytes > 1500") };
	struct query_rows flows = { .table = TABLE_FLOWS }, calls = { .table = TABLE_CALLS };
	struct import_totals totals;
	struct query_stats stats;
	struct query_bytes bytes;
	struct view cursor;
	uint64_t packets = 0;
	struct call_row call = { 0 };
	struct store *store = NULL;
	struct arena arena;
	struct err err = { 0 };
	char path[1024];

	(void)snprintf(path, sizeof(path), "%s/fragments/ipv6-fragmented-dns.pcap", captures);
	paths[0] = path;
	CHECK_OK(import_run(&import, &totals, &err), err);
	arena_init(&arena, 0);
	CHECK_OK(store_open(dir, &store, &err), err);
	CHECK_OK(query_rows(store, &all, &flows, add_packets, &packets, &arena, &stats, &cursor, &err), err);
	CHECK_U64(packets, 8);
	CHECK_OK(query_rows(store, &large, &calls, last_call, &call, &arena, &stats, &cursor, &err), err);
	CHECK_U64(call.rsp_bytes, 3230);
	CHECK_OK(query_call_bytes(store, &call, 1 << 20, &arena, &bytes, &err), err);
	CHECK_U64(bytes.response.len, 3230);
	CHECK_U64(bytes.response_missing, 0);
	CHECK_U64(bytes.request_missing, 0);
	CHECK_EQ(memcmp(bytes.response.at, "\x9f\x91", 2), 0);
	arena_release(&arena);
	store_close(store);
}
