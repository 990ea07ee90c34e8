/* SCTP: chunks that lie, and messages out of pieces in any order. */
#include "tests/random.h"
#include "tests/sctp_kit.h"
#include "tests/wire_kit.h"

/* ---- chunks ---- */

static struct packet packet_of(struct view bytes, uint32_t wire)
{
	return (struct packet){ .status = DECODE_OK, .proto = PROTO_sctp, .segments = 1, .has_ports = true, .payload = bytes,
				.payload_len = wire };
}

/* "0 3 -": types of the chunks, then - where one is broken. */
static void check_chunks(struct view bytes, uint32_t wire, const char *want)
{
	struct packet packet = packet_of(bytes, wire);
	struct sctp_walk walk = sctp_walk(&packet);
	struct sctp_chunk chunk;
	char got[64] = "";
	size_t len = 0;
	int rc;

	while ((rc = sctp_next(&walk, &chunk)) > 0)
		len += (size_t)snprintf(got + len, sizeof(got) - len, "%u ", chunk.type);
	(void)snprintf(got + len, sizeof(got) - len, rc < 0 ? "-" : "");
	CHECK_STR(got, want);
}

TEST(sctp, refuses_chunks_that_lie)
{
	static const struct {
		const char *bytes;
		size_t len;
		uint32_t more;		/* on the wire */
		const char *want;
	} cases[] = {
#define CASE(bytes, more, want) { bytes, sizeof(bytes) - 1, more, want }
		CASE("", 0, ""),
		CASE("\x0a\0\0\x05" "c\0\0\0" "\x0b\0\0\x04", 0, "10 11 "),
		CASE("\x0a\0\0\x05" "c", 0, "10 "),			/* filling left out at the end */
		CASE("\x0a\0\0\x05" "c\0\0", 0, "10 "),
		CASE("\x0b\0\0\x03", 0, "-"),				/* shorter than its head */
		CASE("\x0b\0\0\0", 0, "-"),
		CASE("\x0b\0\0\x08", 0, "-"),				/* longer than the packet */
		CASE("\x0b\0\0\x08", 4, "11 "),			/* the end was not captured */
		CASE("\x0b\0\0\x04\x0b\0", 0, "11 -"),		/* no room for a head */
		CASE("\x0b\0\0\x04\x0b\0", 2, "11 "),		/* a head not captured */
		CASE("\0\3\0\x10" "\0\0\0\1" "\0\0\0\0" "\0\0\0\0", 0, "-"),	/* DATA without data */
		CASE("\0\3\0\x11" "\0\0\0\1" "\0\0\0\0" "\0\0\0\0" "x\0\0\0", 0, "0 "),
		CASE("\x40\3\0\x14" "\0\0\0\1" "\0\0\0\0" "\0\0\0\0" "\0\0\0\0", 0, "-"),
		CASE("\1\0\0\x13" "\0\0\0\1" "\0\0\0\0" "\0\0\0\0" "\0\0\0", 0, "-"),	/* INIT without its TSN */
		CASE("\3\0\0\x0c" "\0\0\0\1" "\0\0\0\0", 0, "-"),
		CASE("\xc0\0\0\x04", 0, "-"),
		CASE("\xff\0\0\x04\x0e\0\0\x04", 0, "255 14 "),	/* nobody knows it */
#undef CASE
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_chunks(view_make(cases[i].bytes, cases[i].len), (uint32_t)cases[i].len + cases[i].more, cases[i].want);
}

TEST(sctp, reads_pieces_of_messages)
{
	struct sctp_walk walk;
	struct sctp_chunk chunk;
	struct sctp_data one, other;
	struct packet packet;
	struct wr wr;

	wr_init(&wr, 0);
	sctp_put_data(&wr, SCTP_FIRST, 7, 3, 9, 46, VIEW_LIT("abcde"));
	sctp_put_data(&wr, SCTP_LAST, 8, 3, 9, 46, VIEW_LIT("f"));
	packet = packet_of(wr_view(&wr), (uint32_t)wr.len);
	CHECK(sctp_has_data(&packet));
	walk = sctp_walk(&packet);
	CHECK_EQ(sctp_next(&walk, &chunk), 1);
	CHECK(sctp_data(&chunk, &one));
	CHECK(one.first && !one.last && !one.unordered && !one.interleaved);
	CHECK_U64(one.tsn, 7);
	CHECK_U64(one.stream, 3);
	CHECK_U64(one.message, 9);
	CHECK_U64(one.ppid, 46);
	CHECK_VIEW(one.bytes, "abcde");
	CHECK_EQ(sctp_next(&walk, &chunk), 1);
	CHECK(sctp_data(&chunk, &other));
	CHECK(sctp_follows(&one, &other) && !sctp_follows(&other, &one));
	other.tsn++;
	CHECK_NOT(sctp_follows(&one, &other));
	other.tsn--;
	other.stream++;
	CHECK_NOT(sctp_follows(&one, &other));
	other.stream--;
	other.message++;
	CHECK_NOT(sctp_follows(&one, &other));
	one.unordered = other.unordered = true;
	CHECK(sctp_follows(&one, &other));
	/* I-DATA: by its own number, whatever TSN is between */
	wr_reset(&wr);
	sctp_put_i_data(&wr, SCTP_FIRST, 20, 1, 70000, 46, VIEW_LIT("a"));
	sctp_put_i_data(&wr, 0, 25, 1, 70000, 1, VIEW_LIT("b"));
	packet = packet_of(wr_view(&wr), (uint32_t)wr.len);
	walk = sctp_walk(&packet);
	CHECK(sctp_next(&walk, &chunk) == 1 && sctp_data(&chunk, &one));
	CHECK(sctp_next(&walk, &chunk) == 1 && sctp_data(&chunk, &other));
	CHECK_U64(one.ppid, 46);
	CHECK_U64(other.fsn, 1);
	CHECK_U64(other.ppid, 0);
	CHECK_U64(other.message, 70000);
	CHECK(sctp_follows(&one, &other));
	/* the head cut off by the capture */
	packet.payload.len = 10;
	walk = sctp_walk(&packet);
	CHECK_EQ(sctp_next(&walk, &chunk), 1);
	CHECK_NOT(sctp_data(&chunk, &one));
	CHECK_EQ(sctp_next(&walk, &chunk), 0);
	wr_release(&wr);
}

TEST(sctp, knows_what_was_there_before)
{
	static const struct {
		uint32_t tsn;
		enum sctp_new want;
	} steps[] = {
		{ UINT32_MAX - 1, SCTP_NEW }, { 1, SCTP_NEW }, { UINT32_MAX, SCTP_LATE }, { UINT32_MAX, SCTP_AGAIN },
		{ UINT32_MAX - 1, SCTP_AGAIN }, { 0, SCTP_LATE }, { 1, SCTP_AGAIN }, { 62, SCTP_NEW }, { 2, SCTP_LATE },
		{ 0, SCTP_AGAIN }, { 62 + 63, SCTP_NEW }, { 62, SCTP_AGAIN }, { 61, SCTP_AGAIN }, { 400, SCTP_NEW },
		{ 337, SCTP_LATE }, { 336, SCTP_AGAIN }, { 337, SCTP_AGAIN },
	};
	struct sctp_seen seen = { 0 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		CHECK_EQ(sctp_seen_add(&seen, steps[i].tsn), steps[i].want, "step %zu", i);
}

/* ---- messages ---- */

static void send_wr(struct kit *kit, unsigned dir, struct wr *wr)
{
	struct packet packet = packet_of(wr_view(wr), (uint32_t)wr->len);

	packet.time_ns = kit->now_ns += 1000000;
	stream_packet(kit->stream, dir, &packet);
	wr_reset(wr);
}

/* Bytes of one message, and pieces of it. */
struct talk {
	struct kit kit;
	struct wr packet, request, answer;
};

static void talk_init(struct talk *talk, const struct stream_pool_opts *opts)
{
	kit_init(&talk->kit, opts);
	wr_init(&talk->packet, 0);
	wr_init(&talk->request, 0);
	wr_init(&talk->answer, 0);
	diameter_put(&talk->request, true, 1, 0);
	diameter_put(&talk->answer, false, 1, 100);
	kit_flow(&talk->kit, PROTO_sctp, 40000, 9999);
	stream_sctp_start(talk->kit.stream, 0, 100);
	stream_sctp_start(talk->kit.stream, 1, 200);
}

static void talk_release(struct talk *talk)
{
	wr_release(&talk->packet);
	wr_release(&talk->request);
	wr_release(&talk->answer);
	kit_release(&talk->kit);
}

static void ask(struct talk *talk, uint32_t tsn)
{
	sctp_put_data(&talk->packet, SCTP_ALONE, tsn, 0, 0, 46, wr_view(&talk->request));
	send_wr(&talk->kit, 0, &talk->packet);
}

/* Piece i of n of the answer. */
static void answer(struct talk *talk, unsigned i, unsigned n, uint32_t tsn)
{
	size_t step = talk->answer.len / n;
	struct view bytes = view_sub(wr_view(&talk->answer), i * step, i + 1 < n ? step : talk->answer.len);

	sctp_put_data(&talk->packet, (uint8_t)((i ? 0 : SCTP_FIRST) | (i + 1 < n ? 0 : SCTP_LAST)), tsn, 5, 0, 46, bytes);
}

#define WHOLE "Credit-Control - 2001 complete req=0+48 rsp=0+156\n"

TEST(sctp, puts_messages_together)
{
	static const unsigned orders[][4] = { { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 0, 3, 2 }, { 0, 2, 3, 1 } };

	for (unsigned o = 0; o < 4; o++) {
		struct talk talk;
		const struct kit_call *call;
		uint64_t asked_ns, first_ns, last_ns;

		talk_init(&talk, NULL);
		ask(&talk, 100);
		asked_ns = talk.kit.now_ns;
		for (unsigned i = 0; i < 4; i++) {
			answer(&talk, orders[o][i], 4, 200 + orders[o][i]);
			if (i % 2)	/* copies change nothing */
				answer(&talk, orders[o][i], 4, 200 + orders[o][i]);
			send_wr(&talk.kit, 1, &talk.packet);
			if (orders[o][i] == 0)
				first_ns = talk.kit.now_ns;
			if (orders[o][i] == 3)
				last_ns = talk.kit.now_ns;
		}
		ask(&talk, 100);
		CHECK_LINES(&talk.kit, WHOLE);
		call = &talk.kit.call[0];
		CHECK_U64(call->row.req_seq, 100);
		CHECK_U64(call->row.rsp_seq, 200);
		CHECK_U64(call->row.start_ns, asked_ns);
		CHECK_U64(call->row.rsp_first_ns, first_ns);
		CHECK_U64(call->row.end_ns, last_ns);
		CHECK_VIEW(call->row.key, "c.ex;1");
		CHECK_U64(stream_l7(talk.kit.stream), L7_diameter);
		talk_release(&talk);
	}
}

/* Pieces of several messages alternate (I-DATA); unordered ones pass. */
TEST(sctp, tells_interleaved_messages_apart)
{
	struct talk talk;
	struct wr second;

	talk_init(&talk, NULL);
	wr_init(&second, 0);
	diameter_put(&second, true, 2, 40);
	sctp_put_i_data(&talk.packet, SCTP_FIRST, 100, 1, 0, 46, view_sub(wr_view(&talk.request), 0, 20));
	sctp_put_i_data(&talk.packet, SCTP_FIRST | SCTP_UNORDERED, 101, 1, 0, 46, view_sub(wr_view(&second), 0, 50));
	sctp_put_i_data(&talk.packet, 0, 102, 1, 0, 1, view_sub(wr_view(&talk.request), 20, 4));
	sctp_put_i_data(&talk.packet, SCTP_LAST | SCTP_UNORDERED, 103, 1, 0, 1, view_sub(wr_view(&second), 50, second.len));
	sctp_put_i_data(&talk.packet, SCTP_LAST, 104, 1, 0, 2, view_sub(wr_view(&talk.request), 24, 100));
	send_wr(&talk.kit, 0, &talk.packet);
	answer(&talk, 0, 1, 200);
	send_wr(&talk.kit, 1, &talk.packet);
	wr_reset(&second);
	diameter_put(&second, false, 2, 0);
	sctp_put_data(&talk.packet, SCTP_ALONE, 201, 5, 1, 0, wr_view(&second));
	send_wr(&talk.kit, 1, &talk.packet);
	CHECK_LINES(&talk.kit, "Credit-Control - 2001 complete req=96+48 rsp=0+156\n"
			       "Credit-Control - 2001 complete req=0+96 rsp=156+48\n");
	CHECK_U64(talk.kit.call[0].row.req_seq, 100);
	CHECK_U64(talk.kit.call[1].row.req_seq, 101);
	wr_release(&second);
	talk_release(&talk);
}

/* A request whose answer the capture lost ends as a gap; the next one is not given its answer. */
TEST(sctp, gives_up_what_was_lost)
{
	struct stream_stats stats;
	struct talk talk;

	talk_init(&talk, NULL);
	ask(&talk, 100);
	answer(&talk, 0, 2, 200);
	send_wr(&talk.kit, 1, &talk.packet);
	/* 201 is lost to the capture: it is acknowledged, and does not come for 200 ms */
	sctp_put_tsn(&talk.packet, SCTP_SACK, 201);
	send_wr(&talk.kit, 0, &talk.packet);
	wr_reset(&talk.request);
	wr_reset(&talk.answer);
	diameter_put(&talk.request, true, 9, 0);
	diameter_put(&talk.answer, false, 9, 0);
	ask(&talk, 101);
	answer(&talk, 0, 1, 202);
	send_wr(&talk.kit, 1, &talk.packet);
	CHECK_LINES(&talk.kit, "");
	talk.kit.now_ns += 300000000;
	stream_tick(talk.kit.stream, talk.kit.now_ns);
	CHECK_LINES(&talk.kit, "Credit-Control - 2001 complete req=48+48 rsp=0+48\n");
	stream_pool_stats(talk.kit.streams, &stats);
	CHECK_U64(stats.gaps, 2);	/* the hole, and the message it broke */
	CHECK_U64(stats.gap_bytes, 78);
	kit_end(&talk.kit, CALL_END_closed);
	CHECK_LINES(&talk.kit, "Credit-Control - 2001 complete req=48+48 rsp=0+48\n"
			       "Credit-Control - - gap req=0+48\n");
	talk_release(&talk);
	/* not acknowledged: the network lost it, it comes again however late */
	talk_init(&talk, NULL);
	ask(&talk, 100);
	answer(&talk, 1, 2, 201);
	send_wr(&talk.kit, 1, &talk.packet);
	talk.kit.now_ns += 3000000000;
	stream_tick(talk.kit.stream, talk.kit.now_ns);
	answer(&talk, 0, 2, 200);
	send_wr(&talk.kit, 1, &talk.packet);
	CHECK_LINES(&talk.kit, WHOLE);
	talk_release(&talk);
	/* the sender says it will not come again; what it had begun is void */
	talk_init(&talk, NULL);
	ask(&talk, 100);
	sctp_put_data(&talk.packet, SCTP_FIRST, 200, 0, 0, 46, VIEW_LIT("xx"));
	send_wr(&talk.kit, 1, &talk.packet);
	answer(&talk, 0, 1, 205);
	send_wr(&talk.kit, 1, &talk.packet);
	sctp_put_tsn(&talk.packet, SCTP_FORWARD_TSN, 204);
	send_wr(&talk.kit, 1, &talk.packet);
	CHECK_LINES(&talk.kit, WHOLE);
	talk_release(&talk);
}

/* Ends of what a peer can do: no memory grows, no call is invented, later ones are found. */
TEST(sctp, bounds_what_it_holds)
{
	struct talk talk;
	struct stream_stats stats;
	char text[1400];

	memset(text, 'x', sizeof(text));
	/* a hole nobody acknowledges, in front of thousands of pieces */
	talk_init(&talk, &(struct stream_pool_opts){ .flow_bytes_max = 100000 });
	ask(&talk, 100);
	for (uint32_t i = 0; i < 5000; i++) {
		sctp_put_data(&talk.packet, SCTP_ALONE, 201 + i, 0, 0, 99, view_make(text, i % 2 ? 1 : sizeof(text)));
		send_wr(&talk.kit, 1, &talk.packet);
		stream_pool_stats(talk.kit.streams, &stats);
		CHECK_LT(stats.held_bytes, 400000);
	}
	CHECK(stats.budget_hits >= 1);
	answer(&talk, 0, 1, 201 + 5000);
	send_wr(&talk.kit, 1, &talk.packet);
	CHECK_LINES(&talk.kit, "Credit-Control - 2001 complete req=0+48 rsp=3502500+156\n");
	talk_release(&talk);
	/* a message without an end */
	talk_init(&talk, NULL);
	ask(&talk, 100);
	for (uint32_t i = 0; i < 1000; i++) {
		sctp_put_data(&talk.packet, i ? 0 : SCTP_FIRST, 200 + i, 0, 0, 46, view_make(text, sizeof(text)));
		send_wr(&talk.kit, 1, &talk.packet);
		stream_pool_stats(talk.kit.streams, &stats);
		CHECK_LT(stats.held_bytes, 1000000);
	}
	CHECK(stats.budget_hits >= 1);
	answer(&talk, 0, 1, 1200);
	send_wr(&talk.kit, 1, &talk.packet);
	CHECK_LINES(&talk.kit, WHOLE);
	talk_release(&talk);
	/* TSNs out of nowhere are passed over, unless they go on */
	talk_init(&talk, NULL);
	ask(&talk, 100);
	answer(&talk, 0, 2, 200);
	sctp_put_data(&talk.packet, SCTP_ALONE, 200 + 0x40000000, 0, 0, 46, VIEW_LIT("?"));
	answer(&talk, 1, 2, 201);
	send_wr(&talk.kit, 1, &talk.packet);
	CHECK_LINES(&talk.kit, WHOLE);
	for (uint32_t i = 0; i < 8; i++) {
		sctp_put_data(&talk.packet, SCTP_ALONE, 200 + 0x40000000 + i, 0, 0, 46, VIEW_LIT("?"));
		send_wr(&talk.kit, 1, &talk.packet);
	}
	wr_reset(&talk.request);
	wr_reset(&talk.answer);
	diameter_put(&talk.request, true, 2, 0);
	diameter_put(&talk.answer, false, 2, 0);
	ask(&talk, 101);
	answer(&talk, 0, 1, 208 + 0x40000000);
	send_wr(&talk.kit, 1, &talk.packet);
	CHECK_LINES(&talk.kit, WHOLE "Credit-Control - 2001 complete req=48+48 rsp=157+48\n");
	talk_release(&talk);
}

/* Cut by the capture: what is missing is told, and not read from elsewhere. */
TEST(sctp, tells_what_was_not_captured)
{
	struct packet packet;
	struct talk talk;

	talk_init(&talk, NULL);
	ask(&talk, 100);
	answer(&talk, 0, 1, 200);
	packet = packet_of(view_make(talk.packet.at, 4 + 12 + 60), (uint32_t)talk.packet.len);
	packet.time_ns = talk.kit.now_ns;
	stream_packet(talk.kit.stream, 1, &packet);
	CHECK_LINES(&talk.kit, "Credit-Control - 2001 gap req=0+48 rsp=0+156 missing=96\n");
	talk_release(&talk);
}

/* From the middle, and of other protocols: nothing is invented. */
TEST(sctp, begins_anywhere_and_leaves_what_it_does_not_know)
{
	struct talk talk;

	talk_init(&talk, NULL);
	kit_end(&talk.kit, CALL_END_closed);
	kit_flow(&talk.kit, PROTO_sctp, 40000, 9999);
	answer(&talk, 1, 2, 777);	/* the end of something */
	answer(&talk, 0, 1, 778);
	send_wr(&talk.kit, 1, &talk.packet);
	ask(&talk, UINT32_MAX);
	ask(&talk, 0);
	kit_end(&talk.kit, CALL_END_capture_end);
	CHECK_LINES(&talk.kit, "Credit-Control - 2001 no_request rsp=0+156\n"
			       "Credit-Control - - gap req=0+48\n"	/* the same identifier again */
			       "Credit-Control - - capture_end req=48+48\n");
	talk.kit.count = 0;
	kit_flow(&talk.kit, PROTO_sctp, 38412, 38412);
	for (uint32_t i = 0; i < 20; i++) {
		sctp_put_data(&talk.packet, SCTP_ALONE, i, 0, 0, 60, VIEW_LIT("\x00\x15\x00\x3e\x00\x00\x04\x00\x1b"));
		send_wr(&talk.kit, i % 2, &talk.packet);
	}
	CHECK_U64(stream_l7(talk.kit.stream), L7_none);
	CHECK_LINES(&talk.kit, "");
	talk_release(&talk);
}

/* Any order within a window, any cut into pieces, copies: always the same calls. */
TEST(sctp, does_not_depend_on_order)
{
	enum { MESSAGES = 40, PIECES = 200 };
	struct {
		uint32_t tsn;
		uint8_t flags;
		uint16_t stream;
		struct view bytes;
	} piece[PIECES], swap;
	struct random random = random_new("sctp messages");

	for (unsigned round = 0; round < 30; round++) {
		struct wr bytes[MESSAGES];
		unsigned pieces = 0;
		struct talk talk;

		talk_init(&talk, NULL);
		talk.kit.now_ns += 1000000;
		for (uint32_t m = 0; m < MESSAGES; m++) {
			unsigned n = 1 + (unsigned)random_below(&random, 4);

			wr_init(&bytes[m], 0);
			diameter_put(&bytes[m], true, m, random_below(&random, 1000));
			for (unsigned i = 0; i < n; i++) {
				size_t step = bytes[m].len / n;

				piece[pieces].tsn = UINT32_MAX - 50 + pieces;
				piece[pieces].flags = (uint8_t)((i ? 0 : SCTP_FIRST) | (i + 1 < n ? 0 : SCTP_LAST));
				piece[pieces].stream = (uint16_t)(m % 3);
				piece[pieces++].bytes = view_sub(wr_view(&bytes[m]), i * step, i + 1 < n ? step : bytes[m].len);
			}
		}
		stream_sctp_start(talk.kit.stream, 0, UINT32_MAX - 50);
		for (unsigned i = 0; i < pieces; i++) {
			unsigned j = i + (unsigned)random_below(&random, 20);

			j = j < pieces ? j : pieces - 1;
			swap = piece[i];
			piece[i] = piece[j];
			piece[j] = swap;
		}
		for (unsigned i = 0; i < pieces; i++) {
			unsigned again = random_below(&random, 4) ? i : (unsigned)random_below(&random, i + 1);

			sctp_put_data(&talk.packet, piece[i].flags, piece[i].tsn, piece[i].stream, 0, 46, piece[i].bytes);
			sctp_put_data(&talk.packet, piece[again].flags, piece[again].tsn, piece[again].stream, 0, 46,
				      piece[again].bytes);
			send_wr(&talk.kit, 0, &talk.packet);
		}
		for (uint32_t m = 0; m < MESSAGES; m++) {
			wr_reset(&talk.answer);
			diameter_put(&talk.answer, false, m, 0);
			answer(&talk, 0, 1, 200 + m);
			send_wr(&talk.kit, 1, &talk.packet);
		}
		CHECK_U64(talk.kit.count, MESSAGES);
		for (uint32_t m = 0; m < MESSAGES; m++) {
			CHECK_U64(talk.kit.call[m].row.end_reason, CALL_END_complete);
			CHECK_U64(talk.kit.call[m].row.req_bytes, bytes[m].len);
			wr_release(&bytes[m]);
		}
		talk_release(&talk);
	}
}
