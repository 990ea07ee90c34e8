#include "tests/wire_kit.h"
#include "wire/blocks.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK(body, len) "HTTP/1.1 200 OK\r\nContent-Length: " #len "\r\n\r\n" body

/* ---- pools ---- */

TEST(blocks, keep_to_the_budget_and_come_back)
{
	struct block_pool *pool = block_pool_new(4096);
	void *a = block_take(pool, 1000), *b = block_take(pool, 2000), *c;

	CHECK(a && b);
	CHECK_GE(block_room(a), 1000);
	CHECK_U64(block_pool_used(pool), 1024 + 2048);
	CHECK_NULL(block_take(pool, 2000));
	CHECK_NULL(block_take(pool, SIZE_MAX));
	block_give(pool, b);
	c = block_take(pool, 1900);
	CHECK(c == b, "the kept block comes again");
	block_give(pool, c);
	block_give(pool, a);
	c = block_take(pool, 3000);	/* what is kept makes room */
	CHECK(c != NULL);
	block_give(pool, c);
	block_pool_free(pool);
}

static void emit_count(void *arg, const struct call *call)
{
	(void)call;
	++*(unsigned *)arg;
}

TEST(calls, refuses_beyond_the_budget_and_counts)
{
	struct call_pool *pool = call_pool_new(&(struct call_pool_opts){ .calls_max = 3, .text_bytes_max = 1024 });
	unsigned emitted = 0;
	uint64_t next_id = 7;
	struct call_sink sink = { .pool = pool, .next_id = &next_id, .emit = emit_count, .arg = &emitted };
	struct call_fifo fifo = { .count = 0 };
	char big[5000];

	memset(big, 'x', sizeof(big));
	for (unsigned i = 0; i < 5; i++) {
		struct call *call = call_open(&sink, L7_http);

		CHECK((call != NULL) == (i < 3));
		if (call)
			call_fifo_put(&fifo, call);
	}
	CHECK_U64(call_pool_refused(pool), 2);
	CHECK_U64(call_pool_open(pool), 3);
	CHECK_U64(sink.open_calls, 3);
	CHECK_U64(call_text(&sink, fifo.head, view_make(big, 600), 500).len, 500);
	CHECK_U64(call_text(&sink, fifo.head, view_make(big, 5000), 5000).len, 0);
	call_fifo_end_all(&fifo, &sink, CALL_END_evicted);
	CHECK_U64(emitted, 3);
	CHECK_U64(next_id, 10);
	CHECK_U64(call_pool_open(pool), 0);
	call_pool_free(pool);
}

TEST(calls, texts_stay_where_they_are)
{
	struct call_pool *pool = call_pool_new(NULL);
	unsigned emitted = 0;
	uint64_t next_id = 0;
	struct call_sink sink = { .pool = pool, .next_id = &next_id, .emit = emit_count, .arg = &emitted };
	struct call *call = call_open(&sink, L7_http);
	struct view text[100];
	char word[32];

	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(word, sizeof(word), "text number %u", i);
		text[i] = call_text(&sink, call, view_str(word), sizeof(word));
	}
	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(word, sizeof(word), "text number %u", i);
		CHECK_VIEW(text[i], word);
	}
	call_end(&sink, call, CALL_END_complete);
	call_pool_free(pool);
}

/* ---- order ---- */

TEST(stream, gives_times_of_first_and_last_bytes)
{
	struct kit kit;
	const struct call_row *row;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, "GET /a HT");	/* each a millisecond later */
	kit_send(&kit, 0, "TP/1.1\r\nHo");
	kit_send(&kit, 0, "st: a\r\n\r\n");
	kit_send(&kit, 1, "HTTP/1.1 200 OK\r\nContent-Le");
	kit_send(&kit, 1, "ngth: 9\r\n\r\nabc");
	kit_send(&kit, 1, "def");
	kit_send(&kit, 1, "ghi");
	CHECK_U64(kit.count, 1);
	row = &kit.call[0].row;
	CHECK_U64(row->start_ns, 1001000000);
	CHECK_U64(row->req_last_ns, 1003000000);
	CHECK_U64(row->rsp_first_ns, 1004000000);
	CHECK_U64(row->end_ns, 1007000000);
	CHECK_U64(row->latency_ns, 6000000);
	CHECK_U64(row->ttfb_ns, 1000000);
	CHECK_U64(row->req_seq, 1001);
	CHECK_U64(row->rsp_seq, 5001);
	CHECK_U64(row->id, schema_id(row->start_ns, 0));
	CHECK_U64(stream_l7(kit.stream), L7_http);
	CHECK_U64(stream_seq(kit.stream, 1, 10), 5011);
	kit_release(&kit);
}

TEST(stream, wraps_around_and_takes_the_first_copy)
{
	struct kit kit;
	struct stream_stats stats;
	const char *request = GET("/wrap"), *other = GET("/WRAP");
	size_t len = strlen(request);

	kit_init(&kit, NULL);
	kit.isn[0] = UINT32_MAX - 10;
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_segment(&kit, 0, 12, view_make(request + 12, len - 12), len - 12, TCP_ACK, 0);
	kit_segment(&kit, 0, 4, view_make(other + 4, 12), 12, TCP_ACK, 0);	/* [4, 12) first, [12, 16) differs not */
	kit_segment(&kit, 0, 4, view_make(request + 4, 10), 10, TCP_ACK, 0);	/* differs in [5, 9) */
	kit_segment(&kit, 0, 0, view_make(request, 6), 6, TCP_ACK, 0);
	kit.sent[0] = len;
	kit_send(&kit, 1, OK("x", 1));
	CHECK_LINES(&kit, "GET /WRAP 200 complete req=0+31 rsp=0+39 body=1\n");
	stream_pool_stats(kit.streams, &stats);
	CHECK_GE(stats.conflicts, 1);
	kit_release(&kit);
}

/* Sequence numbers come round within one body: offsets go on, and the next answer is where it should be. */
TEST(stream, a_body_of_more_than_four_gib)
{
	enum { PIECE = 64000, PIECES = 70000 };
	static uint8_t piece[PIECE];
	const uint64_t body = (uint64_t)PIECE * PIECES;
	struct kit kit;
	struct wr text;

	kit_init(&kit, NULL);
	wr_init(&text, 0);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	wr_printf(&text, "HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\n\r\n", body);
	kit_sendv(&kit, 1, wr_view(&text));
	for (unsigned i = 0; i < PIECES; i++)
		kit_sendv(&kit, 1, view_make(piece, PIECE));
	kit_send(&kit, 0, GET("/2"));
	kit_send(&kit, 1, OK("2", 1));
	CHECK_U64(kit.count, 2);
	CHECK_U64(kit.call[0].row.rsp_bytes, text.len + body);
	CHECK_U64(kit.call[0].row.end_reason, CALL_END_complete);
	CHECK_U64(kit.call[1].rsp_off, text.len + body);
	CHECK_VIEW(kit.call[1].row.target, "/2");
	CHECK_U64(kit.call[1].row.end_reason, CALL_END_complete);
	wr_release(&text);
	kit_release(&kit);
}

struct shuffle_packet {
	unsigned dir;
	uint64_t off, ack;
	struct view bytes;
};

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

/* A conversation cut into small segments: in order, then displaced and repeated. */
static unsigned shuffle_make(struct wr text[2], struct shuffle_packet *packets, unsigned max, uint64_t *seed)
{
	unsigned count = 0;
	uint64_t cut[2] = { 0, 0 };

	for (unsigned call = 0; call < 30; call++) {
		unsigned body = next_random(seed) % 300;

		wr_printf(&text[0], "GET /call/%u HTTP/1.1\r\nHost: a\r\n\r\n", call);
		if (call % 3 == 0) {
			wr_printf(&text[1], "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", body + 1);
			for (unsigned i = 0; i <= body; i++)
				wr_u8(&text[1], 'c');
			wr_str(&text[1], "\r\n0\r\n\r\n");
		} else {
			wr_printf(&text[1], "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", body);
			for (unsigned i = 0; i < body; i++)
				wr_u8(&text[1], 'b');
		}
		for (unsigned d = 0; d < 2; d++) {
			while (cut[d] < text[d].len && count < max) {
				uint64_t left = text[d].len - cut[d], n = 1 + next_random(seed) % 60;

				n = n < left ? n : left;
				packets[count++] = (struct shuffle_packet){ .dir = d, .off = cut[d], .ack = cut[!d],
									    .bytes = { NULL, n } };
				cut[d] += n;
			}
		}
	}
	for (unsigned i = 0; i < count; i++)	/* the texts have stopped moving */
		packets[i].bytes.at = text[packets[i].dir].at + packets[i].off;
	return count;
}

static void shuffle_run(const struct shuffle_packet *packets, unsigned count, struct wr *ret_lines)
{
	struct kit kit;
	struct stream_stats stats;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	for (unsigned i = 0; i < count; i++) {
		kit.now_ns += 10000;
		kit_segment(&kit, packets[i].dir, packets[i].off, packets[i].bytes, packets[i].bytes.len, TCP_ACK,
			    packets[i].ack);
	}
	stream_pool_stats(kit.streams, &stats);
	CHECK_U64(stats.gaps, 0);
	CHECK_U64(stats.conflicts, 0);
	kit_end(&kit, CALL_END_closed);
	(void)kit_lines(&kit, ret_lines);
	CHECK(kit.count == 30, "%u calls:\n%s", kit.count, (const char *)ret_lines->at);
	kit_release(&kit);
}

TEST(stream, shuffled_segments_give_the_calls_of_ordered_ones)
{
	static struct shuffle_packet packets[8192];

	for (uint64_t round = 1; round <= 60; round++) {
		uint64_t seed = round;
		struct wr text[2], want, got;
		unsigned count;

		wr_init(&text[0], 0);
		wr_init(&text[1], 0);
		wr_init(&want, 0);
		wr_init(&got, 0);
		count = shuffle_make(text, packets, 4096, &seed);
		shuffle_run(packets, count, &want);
		/* the first packet stays: without a handshake's end nobody knows where the stream begins */
		for (unsigned i = 1; i < count; i++) {		/* each within its own two dozen */
			unsigned left = 23 - i % 24;
			unsigned j = i + next_random(&seed) % ((i + left < count ? left : count - 1 - i) + 1);
			struct shuffle_packet swap = packets[i];

			packets[i] = packets[j];
			packets[j] = swap;
		}
		for (unsigned i = 1; i < count && count < 8192; i += 7)	/* and some come twice */
			packets[count++] = packets[i];
		shuffle_run(packets, count, &got);
		CHECK(got.len == want.len && memcmp(got.at, want.at, got.len) == 0, "seed %" PRIu64 ":\n%s\nnot\n%s",
		      round, (const char *)got.at, (const char *)want.at);
		wr_release(&text[0]);
		wr_release(&text[1]);
		wr_release(&want);
		wr_release(&got);
	}
}

TEST(stream, waits_for_the_request_that_a_response_has_seen)
{
	struct kit kit;
	const char *request = GET("/late"), *response = OK("x", 1);

	/* captured in the wrong order: the response first */
	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_segment(&kit, 1, 0, view_str(response), strlen(response), TCP_ACK, strlen(request));
	CHECK_U64(kit.count, 0);
	kit.now_ns += 100000;
	kit_segment(&kit, 0, 0, view_str(request), strlen(request), TCP_ACK, 0);
	CHECK_LINES(&kit, "GET /late 200 complete req=0+31 rsp=0+39 body=1\n");
	kit_release(&kit);
}

/* ---- gaps ---- */

TEST(stream, a_lost_request_does_not_shift_the_others)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	kit_send(&kit, 1, OK("1", 1));
	kit_lose(&kit, 0, GET("/2"));
	kit_send(&kit, 1, OK("22", 2));
	kit_send(&kit, 0, GET("/3"));
	kit_send(&kit, 1, OK("333", 3));
	kit_send(&kit, 0, GET("/4"));
	kit_send(&kit, 1, OK("4444", 4));
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit,
		    "GET /1 200 complete req=0+28 rsp=0+39 body=1\n"
		    "- - 200 no_request rsp=39+40 body=2\n"
		    "GET /3 200 complete req=56+28 rsp=79+41 body=3\n"
		    "GET /4 200 complete req=84+28 rsp=120+42 body=4\n");
	kit_release(&kit);
}

TEST(stream, a_lost_response_ends_its_call_as_gap)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	kit_lose(&kit, 1, OK("1", 1));
	kit_send(&kit, 0, GET("/2"));
	kit_send(&kit, 1, OK("22", 2));
	CHECK_U64(kit.count, 0);	/* it could still be disorder */
	kit.now_ns += 300000000;
	kit_send(&kit, 0, GET("/3"));
	kit_send(&kit, 1, OK("333", 3));
	CHECK_LINES(&kit,
		    "GET /1 - gap req=0+28 missing=39\n"
		    "GET /2 200 complete req=28+28 rsp=39+40 body=2\n"
		    "GET /3 200 complete req=56+28 rsp=79+41 body=3\n");
	kit_release(&kit);
}

/* Between two lost answers a request was sent: it belongs between the two losses. */
TEST(stream, a_request_between_lost_answers_ends_with_its_own)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	kit_lose(&kit, 1, OK("1", 1));
	kit_send(&kit, 0, GET("/2"));
	kit_lose(&kit, 1, OK("2", 1));
	kit_lose(&kit, 0, GET("/3"));
	kit_send(&kit, 1, OK("3", 1));
	kit.now_ns += 300000000;
	kit_send(&kit, 0, GET("/4"));
	kit_send(&kit, 1, OK("4", 1));
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit, "GET /1 - gap req=0+28 missing=39\n"
			  "GET /2 - gap req=28+28 missing=39\n"
			  "- - 200 no_request rsp=78+39 body=1\n"
			  "GET /4 200 complete req=84+28 rsp=117+39 body=1\n");
	kit_release(&kit);
}

/* An answer sent before its server had a request does not answer it. */
TEST(stream, what_neither_side_had_seen_keeps_its_order)
{
	struct kit kit;
	const char *third = GET("/3");
	uint64_t seen;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	kit_send(&kit, 1, OK("1", 1));
	seen = kit.sent[1];
	kit_lose(&kit, 0, GET("/2"));
	kit_send(&kit, 1, OK("2", 1));
	kit.now_ns += 1000000;
	kit_segment(&kit, 0, kit.sent[0], view_str(third), strlen(third), TCP_ACK, seen);
	kit.sent[0] += strlen(third);
	kit.now_ns += 300000000;
	kit_send(&kit, 1, OK("3", 1));
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit, "GET /1 200 complete req=0+28 rsp=0+39 body=1\n"
			  "- - 200 no_request rsp=39+39 body=1\n"
			  "GET /3 200 complete req=56+28 rsp=78+39 body=1\n");
	kit_release(&kit);
}

/* What both sides said while nobody knew the protocol comes in the order it was said. */
TEST(stream, held_bytes_of_both_sides_keep_their_order)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 21);	/* no handshake */
	kit_send(&kit, 1, "331 a password, please\r\n");
	kit_send(&kit, 0, "PASS x\r\n");
	kit_send(&kit, 1, "230-\r\n");
	kit_send(&kit, 1, " welcome\r\n230 in\r\n");
	kit_send(&kit, 0, "SYST\r\n");
	kit_send(&kit, 1, "215 UNIX\r\n");
	kit_end(&kit, CALL_END_closed);
	/* no greeting: what it answers was sent before */
	CHECK_LINES(&kit, "- - 331 no_request rsp=0+24\n"
			  "PASS - 230 complete req=0+8 rsp=24+24\n"
			  "SYST - 215 complete req=8+6 rsp=48+10 answers=UNIX\n");
	kit_release(&kit);
}

TEST(stream, a_tick_gives_up_a_hole)
{
	struct kit kit;
	struct view none = { NULL, 0 };

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	kit_lose(&kit, 1, OK("1", 1));
	kit_segment(&kit, 0, kit.sent[0], none, 0, TCP_ACK, kit.sent[1]);
	CHECK_U64(kit.count, 0);
	stream_tick(kit.stream, kit.now_ns + 1000000);
	CHECK_U64(kit.count, 0);
	stream_tick(kit.stream, kit.now_ns + 1000000000);
	CHECK_LINES(&kit, "GET /1 - gap req=0+28 missing=39\n");
	kit_release(&kit);
}

/* No acknowledgement, no gap: the network lost it, and it comes again. */
TEST(stream, waits_for_a_retransmission)
{
	struct kit kit;
	struct wr body;
	const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";

	kit_init(&kit, NULL);
	wr_init(&body, 0);
	wr_str(&body, head);
	while (body.len < strlen(head) + 100000)
		wr_u8(&body, (uint8_t)body.len);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/big"));
	for (size_t at = 1000; at < body.len; at += 1000) {	/* all but the first segment */
		kit.now_ns += 10000000;
		kit_segment(&kit, 1, at, view_sub(wr_view(&body), at, 1000), view_sub(wr_view(&body), at, 1000).len,
			    TCP_ACK, kit.sent[0]);
	}
	CHECK_U64(kit.count, 0);
	kit_segment(&kit, 1, 0, view_sub(wr_view(&body), 0, 1000), 1000, TCP_ACK, kit.sent[0]);
	CHECK_LINES(&kit, "GET /big 200 complete req=0+30 rsp=0+100043 body=100000\n");
	wr_release(&body);
	kit_release(&kit);
}

TEST(stream, a_hole_in_a_body_of_known_length_costs_only_its_bytes)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	kit_send(&kit, 1, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n0123456789");
	kit_lose(&kit, 1, "0123456789");
	kit_send(&kit, 1, "0123456789");
	kit_send(&kit, 0, GET("/2"));
	kit_send(&kit, 1, OK("2", 1));
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit,
		    "GET /1 200 gap req=0+28 rsp=0+69 body=30 missing=10\n"
		    "GET /2 200 complete req=28+28 rsp=69+39 body=1\n");
	CHECK_U64(kit.call[0].rsp_whole, true);
	CHECK(ROW_HAS(CALL, &kit.call[0].row, latency_ns));
	kit_release(&kit);
}

TEST(stream, cut_packets_are_gaps)
{
	struct kit kit;
	const char *response = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
	size_t head = strlen(response);

	/* a snaplen that keeps the head and some of the body */
	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	for (unsigned i = 0; i < 2; i++) {
		kit_send(&kit, 0, GET("/1"));
		kit_segment(&kit, 1, kit.sent[1], view_str(response), head + 600, TCP_ACK, kit.sent[0]);
		kit_segment(&kit, 1, kit.sent[1] + head + 600, view_str("abcd"), 400, TCP_ACK, kit.sent[0]);
		kit.sent[1] += head + 1000;
	}
	CHECK_LINES(&kit,
		    "GET /1 200 gap req=0+28 rsp=0+1041 body=1000 missing=996\n"
		    "GET /1 200 gap req=28+28 rsp=1041+1041 body=1000 missing=996\n");
	kit_release(&kit);
}

TEST(stream, a_head_beyond_its_budget_is_a_gap_and_the_next_is_found)
{
	struct kit kit;
	struct stream_stats stats;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	kit_send(&kit, 1, OK("1", 1));
	kit_send(&kit, 0, "GET /2 HTTP/1.1\r\n");
	for (unsigned i = 0; i < 3000; i++)
		kit_send(&kit, 0, "X-Endless: 01234567890123456789\r\n");
	stream_pool_stats(kit.streams, &stats);
	CHECK_GE(stats.budget_hits, 1);
	CHECK_LE(stats.held_bytes, 300000);
	kit_send(&kit, 0, "\r\n");
	kit_send(&kit, 0, GET("/3"));
	kit_send(&kit, 1, OK("3", 1));
	CHECK_VIEW(kit.call[kit.count - 1].row.target, "/3");
	CHECK_U64(kit.call[kit.count - 1].row.status, 200);
	kit_release(&kit);
}

TEST(stream, holes_beyond_the_budget_are_given_up)
{
	struct kit kit;
	struct stream_stats stats;
	char block[1000];

	memset(block, 'y', sizeof(block));
	kit_init(&kit, &(struct stream_pool_opts){ .flow_bytes_max = 20000 });
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	kit_send(&kit, 1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	kit_lose(&kit, 1, "ffff\r\n");	/* never acknowledged, never sent again */
	for (unsigned i = 0; i < 100; i++) {
		kit_sendv(&kit, 1, view_make(block, sizeof(block)));
		stream_pool_stats(kit.streams, &stats);
		CHECK_LE(stats.held_bytes, 70000);
	}
	CHECK_GE(stats.budget_hits, 1);
	kit_end(&kit, CALL_END_closed);
	CHECK_U64(kit.count, 1);
	CHECK_U64(kit.call[0].row.end_reason, CALL_END_gap);
	kit_release(&kit);
}

/* ---- beginnings and ends ---- */

TEST(stream, starts_in_the_middle)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);	/* no handshake */
	kit_send(&kit, 1, "the end of some body\r\nand more\r\n");
	kit_send(&kit, 0, GET("/1"));
	kit_send(&kit, 1, OK("1", 1));
	CHECK_LINES(&kit, "GET /1 200 complete req=0+28 rsp=32+39 body=1\n");
	kit_release(&kit);
}

/* The end of an answer, too short to be told from a beginning: the next answers must not shift by one. */
TEST(stream, midway_a_few_bytes_before_the_first_request)
{
	static const char *const ends[] = { "o", "ok", "}\n", "\r\n0\r\n\r\n", "GE", "H" };

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct kit kit;
		struct wr want;

		kit_init(&kit, NULL);
		wr_init(&want, 0);
		kit_flow(&kit, PROTO_tcp, 40000, 80);
		kit_send(&kit, 1, ends[i]);
		for (unsigned n = 0; n < 3; n++) {
			kit_send(&kit, 0, GET("/a"));
			kit_send(&kit, 1, OK("1", 1));
			wr_printf(&want, "GET /a 200 complete req=%u+28 rsp=%zu+39 body=1\n", n * 28, strlen(ends[i]) + n * 39);
		}
		wr_u8(&want, 0);
		kit_end(&kit, CALL_END_closed);
		CHECK_LINES(&kit, (const char *)want.at);
		wr_release(&want);
		kit_release(&kit);
	}
}

/* What the first request of the capture has not acknowledged may be lost too. */
TEST(stream, midway_the_first_answer_may_be_lost)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);	/* no handshake */
	kit_send(&kit, 0, GET("/1"));
	kit_lose(&kit, 1, OK("1", 1));
	kit_send(&kit, 0, GET("/2"));
	kit_send(&kit, 1, OK("2", 1));
	kit.now_ns += 300000000;
	kit_send(&kit, 0, GET("/3"));
	kit_send(&kit, 1, OK("3", 1));
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit, "GET /1 - gap req=0+28 missing=39\n"
			  "GET /2 200 complete req=28+28 rsp=39+39 body=1 "
			  "error=messages before this one were not captured: the pairing is a guess\n"
			  "GET /3 200 complete req=56+28 rsp=78+39 body=1\n");
	kit_release(&kit);
}

TEST(stream, ignores_keep_alives_and_takes_data_on_the_syn)
{
	struct kit kit;
	struct view none = { NULL, 0 };
	const char *request = GET("/tfo");

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_segment(&kit, 0, 0, view_str(request), strlen(request), TCP_SYN, 0);
	kit_segment(&kit, 1, 0, none, 0, TCP_SYN | TCP_ACK, strlen(request));
	kit.sent[0] = strlen(request);
	kit_segment(&kit, 0, kit.sent[0] - 1, view_str("?"), 1, TCP_ACK, 0);
	kit_send(&kit, 1, OK("1", 1));
	kit_segment(&kit, 1, kit.sent[1] - 1, view_str(""), 0, TCP_ACK, kit.sent[0]);
	kit_send(&kit, 0, GET("/2"));
	kit_send(&kit, 1, OK("2", 1));
	CHECK_LINES(&kit,
		    "GET /tfo 200 complete req=0+30 rsp=0+39 body=1\n"
		    "GET /2 200 complete req=30+28 rsp=39+39 body=1\n");
	kit_release(&kit);
}

TEST(stream, says_why_a_call_ended)
{
	static const struct {
		uint8_t reason;
		const char *silent, *half;
	} cases[] = {
		{ CALL_END_closed, "unanswered", "closed" },
		{ CALL_END_reset, "reset", "reset" },
		{ CALL_END_capture_end, "capture_end", "capture_end" },
		{ CALL_END_evicted, "evicted", "evicted" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kit kit;
		char want[200];

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 80);
		kit_handshake(&kit);
		kit_send(&kit, 0, GET("/1"));
		kit_send(&kit, 0, GET("/2"));
		kit_send(&kit, 1, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n01234");
		kit_end(&kit, cases[i].reason);
		(void)snprintf(want, sizeof(want), "GET /1 200 %s req=0+28 rsp=0+44 body=5\nGET /2 - %s req=28+28\n",
			       cases[i].half, cases[i].silent);
		CHECK_LINES(&kit, want);
		CHECK_NOT(ROW_HAS(CALL, &kit.call[0].row, latency_ns));
		kit_release(&kit);
	}
}

TEST(stream, unknown_bytes_are_not_held)
{
	struct kit kit;
	struct stream_stats stats;
	static const char hello[] = "\x13" "BitTorrent";

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 443);
	kit_handshake(&kit);
	for (unsigned i = 0; i < 10; i++) {
		kit_sendv(&kit, 0, view_make(hello, sizeof(hello) - 1));
		kit_sendv(&kit, 1, view_make(hello, sizeof(hello) - 1));
	}
	kit_lose(&kit, 0, "xxxx");
	kit_sendv(&kit, 0, view_make(hello, sizeof(hello) - 1));
	stream_pool_stats(kit.streams, &stats);
	CHECK_U64(stats.held_bytes, 0);
	CHECK_U64(stream_l7(kit.stream), L7_none);
	kit_release(&kit);
}

TEST(stream, dissectors_can_be_off)
{
	struct kit kit;

	kit_init(&kit, &(struct stream_pool_opts){ .dissect_off = true });
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, GET("/1"));
	kit_send(&kit, 1, OK("1", 1));
	CHECK_U64(kit.count, 0);
	CHECK_U64(stream_l7(kit.stream), L7_none);
	kit_release(&kit);
}

/* CONNECT: what is in the tunnel is asked for again; the flow is called by it. */
TEST(stream, hands_over_to_who_follows)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 3128);
	kit_handshake(&kit);
	kit_send(&kit, 0, "CONNECT cache:6379 HTTP/1.1\r\nHost: cache:6379\r\n\r\n");
	kit_send(&kit, 1, "HTTP/1.1 200 OK\r\n\r\n");
	CHECK_U64(kit.count, 1);
	CHECK_U64(kit.call[0].row.end_reason, CALL_END_complete);
	CHECK_U64(stream_l7(kit.stream), L7_http);
	kit_send(&kit, 0, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
	kit_send(&kit, 1, "$1\r\n1\r\n");
	CHECK_U64(kit.count, 2);
	CHECK_VIEW(kit.call[1].row.method, "GET");
	CHECK_U64(kit.call[1].row.l7, L7_redis);
	CHECK_U64(stream_l7(kit.stream), L7_redis);
	kit_release(&kit);
}

/* The successor's first bytes come with the last ones of the predecessor. */
TEST(stream, hands_over_in_the_middle_of_a_segment)
{
	struct kit kit;
	struct stream_stats stats;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 3128);
	kit_handshake(&kit);
	kit_send(&kit, 0, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n");
	kit_send(&kit, 1, "HTTP/1.1 200 OK\r\n\r\n" OK("x", 1));
	CHECK_U64(kit.count, 2);
	CHECK_VIEW(kit.call[0].row.method, "CONNECT");
	CHECK_U64(kit.call[1].row.end_reason, CALL_END_no_request);
	CHECK_U64(kit.call[1].row.rsp_body_bytes, 1);
	kit_end(&kit, CALL_END_closed);
	stream_pool_stats(kit.streams, &stats);
	CHECK_U64(stats.held_bytes, 0);
	CHECK_U64(stats.wrong_guesses, 0);
	kit_release(&kit);
}

TEST(stream, a_chain_of_tunnels_ends_somewhere)
{
	struct kit kit;
	struct stream_stats stats;
	unsigned seen;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 3128);
	kit_handshake(&kit);
	for (unsigned i = 0; i < 40; i++) {
		kit_send(&kit, 0, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n");
		kit_send(&kit, 1, "HTTP/1.1 200 OK\r\n\r\n");
	}
	seen = kit.count;
	CHECK_GE(seen, 8);
	CHECK_LT(seen, 12);
	stream_pool_stats(kit.streams, &stats);
	CHECK_U64(stats.held_bytes, 0);
	kit_release(&kit);
}

TEST(stream, a_wrong_guess_is_revised_once)
{
	struct kit kit;
	struct stream_stats stats;
	struct wr line;

	/* looks like a long request line, and is none */
	kit_init(&kit, NULL);
	wr_init(&line, 0);
	wr_str(&line, "GET /");
	for (unsigned i = 0; i < 700; i++)
		wr_u8(&line, 'a');
	kit_flow(&kit, PROTO_tcp, 40000, 9999);
	kit_handshake(&kit);
	kit_sendv(&kit, 0, wr_view(&line));
	CHECK_U64(stream_l7(kit.stream), L7_http);
	kit_send(&kit, 0, "\r\n\r\nnothing");
	stream_pool_stats(kit.streams, &stats);
	CHECK_U64(stats.wrong_guesses, 1);
	CHECK_U64(stream_l7(kit.stream), L7_none);
	kit_send(&kit, 1, "\xff\xfe\xfd\xfc");
	kit_send(&kit, 1, "\xff\xfe\xfd\xfc");
	kit_send(&kit, 1, "\xff\xfe\xfd\xfc");
	stream_pool_stats(kit.streams, &stats);
	CHECK_U64(stats.held_bytes, 0);
	CHECK_U64(kit.count, 0);
	wr_release(&line);
	kit_release(&kit);
}

/* Memory that runs out costs calls, never the process. */
TEST(stream, survives_each_failing_allocation)
{
	static struct shuffle_packet packets[4096];
	struct wr text[2];
	uint64_t seed = 99;
	unsigned count;

	wr_init(&text[0], 0);
	wr_init(&text[1], 0);
	count = shuffle_make(text, packets, 4096, &seed);
	for (unsigned i = 1; i + 5 < count; i += 3) {
		struct shuffle_packet swap = packets[i];

		packets[i] = packets[i + 4];
		packets[i + 4] = swap;
	}
	for (unsigned nth = 1; nth < 60; nth++) {
		struct kit kit;

		kit_init(&kit, NULL);
		mem_fail_nth(nth);
		kit.stream = stream_new(kit.streams, &kit.sink, PROTO_tcp, 40000, 80);
		if (!kit.stream)
			kit_flow(&kit, PROTO_tcp, 40000, 80);
		kit_handshake(&kit);
		for (unsigned i = 0; i < count; i++)
			kit_segment(&kit, packets[i].dir, packets[i].off, packets[i].bytes, packets[i].bytes.len,
				    TCP_ACK, packets[i].ack);
		kit_end(&kit, CALL_END_closed);
		mem_fail_nth(0);
		kit_release(&kit);
	}
	wr_release(&text[0]);
	wr_release(&text[1]);
}

/* ---- assembly ---- */

TEST(assembly, puts_bytes_where_they_belong)
{
	uint8_t at[26] = { 0 }, mask[4] = { 0 };
	struct assembly assembly = { .at = at, .seq = UINT32_MAX - 4, .len = 26, .mask = mask };
	const char *all = "abcdefghijklmnopqrstuvwxyz";

	assembly_add(&assembly, assembly.seq + 20, view_make(all + 20, 6));
	assembly_add(&assembly, assembly.seq - 3, view_str("???abcd"));	/* begins before it */
	assembly_add(&assembly, assembly.seq + 2, view_str("XXef"));	/* the first copy wins */
	assembly_add(&assembly, assembly.seq + 24, view_str("yz!!!"));	/* goes on behind it */
	assembly_add(&assembly, assembly.seq + 26, view_str("behind"));
	assembly_add(&assembly, assembly.seq - 10, view_str("before"));
	CHECK_U64(assembly.have, 12);
	CHECK_U64(at[10], 0);
	assembly_add(&assembly, assembly.seq + 5, view_make(all + 5, 16));
	CHECK_U64(assembly.have, 26);
	CHECK(memcmp(at, all, 26) == 0, "%.26s", (const char *)at);
}
