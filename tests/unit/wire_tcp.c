/* One connection at a time, segment by segment. wire_tcp_truth.c holds the same code to real captures. */
#include "tests/check.h"
#include "wire/tcp.h"

#define MS 1000000ull

/* A conversation under way: time passes a millisecond a segment unless told otherwise. */
struct talk {
	struct tcp_conn conn;
	uint64_t now_ns;
	uint16_t window;
	uint16_t segments;
};

/* All talks of one test have it of one pool; talks_end() frees it. */
static struct tcp_pool *the_pool;

static struct tcp_pool *talk_pool(void)
{
	if (!the_pool)
		the_pool = tcp_pool_new();
	CHECK(the_pool != NULL);
	return the_pool;
}

static void talks_end(void)
{
	CHECK_U64(the_pool ? tcp_pool_refused(the_pool) : 0, 0);
	tcp_pool_free(the_pool);
	the_pool = NULL;
}

static struct talk talk_begin(void)
{
	struct talk talk = { .now_ns = 1000 * MS, .window = 1000, .segments = 1 };

	tcp_conn_init(&talk.conn, talk_pool());
	return talk;
}

static struct packet segment(const struct talk *talk, uint16_t flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	return (struct packet){ .time_ns = talk->now_ns, .has_tcp = true, .has_ports = true, .proto = 6,
				.segments = talk->segments, .flags = flags, .seq = seq, .ack = ack,
				.payload_len = len, .window = talk->window };
}

static unsigned say(struct talk *talk, unsigned dir, uint16_t flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	struct packet packet;

	talk->now_ns += MS;
	packet = segment(talk, flags, seq, ack, len);
	return tcp_conn_packet(&talk->conn, dir, &packet);
}

static unsigned data(struct talk *talk, unsigned dir, uint32_t seq, uint32_t ack, uint32_t len)
{
	return say(talk, dir, TCP_ACK | TCP_PSH, seq, ack, len);
}

static unsigned ack(struct talk *talk, unsigned dir, uint32_t seq, uint32_t number)
{
	return say(talk, dir, TCP_ACK, seq, number, 0);
}

/* Client's numbers begin behind a, the server's behind b. The handshake takes 2 ms. */
static struct talk connected(uint32_t a, uint32_t b)
{
	struct talk talk = talk_begin();

	CHECK_U64(say(&talk, 0, TCP_SYN, a, 0, 0), 0);
	CHECK_U64(say(&talk, 1, TCP_SYN | TCP_ACK, b, a + 1, 0), 0);
	CHECK_U64(ack(&talk, 0, a + 1, b + 1), 0);
	return talk;
}

TEST(tcp, follows_a_whole_connection)
{
	struct talk talk = connected(100, 500);
	const struct tcp_conn *conn = &talk.conn;

	CHECK_U64(conn->completeness, 7);
	CHECK_U64(conn->synack_ns - conn->syn_ns, MS);
	CHECK_U64(conn->ack_ns - conn->syn_ns, 2 * MS);
	CHECK(!conn->ambiguous);
	CHECK_U64(data(&talk, 0, 101, 501, 10), TCP_SEG_NEW_DATA);
	CHECK_U64(conn->first_payload_ns, talk.now_ns);
	CHECK_U64(conn->first_response_ns, 0);
	CHECK_U64(data(&talk, 1, 501, 111, 20), TCP_SEG_NEW_DATA);
	CHECK_U64(conn->first_response_ns, talk.now_ns);
	CHECK_U64(ack(&talk, 0, 111, 521), 0);
	CHECK_U64(say(&talk, 0, TCP_FIN | TCP_ACK, 111, 521, 0), 0);
	CHECK_U64(say(&talk, 1, TCP_FIN | TCP_ACK, 521, 112, 5), TCP_SEG_NEW_DATA);
	CHECK(!tcp_conn_over(conn));
	CHECK_U64(ack(&talk, 0, 112, 527), 0);
	CHECK(tcp_conn_over(conn));
	CHECK_U64(conn->completeness, 31);
	CHECK_U64(conn->dir[0].goodput_bytes, 10);
	CHECK_U64(conn->dir[1].goodput_bytes, 25);
	CHECK_U64(conn->dir[0].fins, 1);
	CHECK_U64(conn->dir[1].fins, 1);
	CHECK_U64(tcp_trouble(&conn->dir[0])->retransmits + tcp_trouble(&conn->dir[1])->retransmits + tcp_trouble(&conn->dir[0])->dup_acks, 0);
	CHECK_U64(tcp_trouble(&conn->dir[0])->missing_bytes + tcp_trouble(&conn->dir[1])->missing_bytes, 0);
	CHECK(conn->rtt_samples >= 2 && conn->rtt_min_ns == MS && conn->rtt_max_ns == MS);
	talks_end();
}

TEST(tcp, calls_a_refused_connection_33)
{
	struct talk talk = talk_begin();

	say(&talk, 0, TCP_SYN, 100, 0, 0);
	say(&talk, 1, TCP_RST | TCP_ACK, 0, 101, 0);
	CHECK_U64(talk.conn.completeness, 33);
	CHECK_U64(talk.conn.dir[1].resets, 1);
	CHECK_U64(talk.conn.ack_ns, 0);
	CHECK(tcp_conn_over(&talk.conn));
	talks_end();
}

TEST(tcp, needs_the_syn_ack_before_the_ack)
{
	struct talk talk = talk_begin();
	struct talk answered;

	say(&talk, 0, TCP_SYN, 100, 0, 0);
	ack(&talk, 0, 101, 501);
	CHECK_U64(talk.conn.completeness, 1);
	/* a scanner's reset is no ACK either; an ACK with data on it is */
	talk = talk_begin();
	say(&talk, 0, TCP_SYN, 100, 0, 0);
	say(&talk, 1, TCP_SYN | TCP_ACK, 500, 101, 0);
	answered = talk;
	say(&talk, 0, TCP_RST | TCP_ACK, 101, 501, 0);
	CHECK_U64(talk.conn.completeness, 35);
	data(&answered, 0, 101, 501, 10);
	CHECK_U64(answered.conn.completeness, 15);
	CHECK(answered.conn.ack_ns != 0);
	/* mid-stream: data alone */
	talk = talk_begin();
	data(&talk, 0, 5000, 900, 10);
	ack(&talk, 1, 900, 5010);
	CHECK_U64(talk.conn.completeness, 8);
	talks_end();
}

TEST(tcp, marks_repeated_handshakes)
{
	struct talk talk = talk_begin();

	CHECK_U64(say(&talk, 0, TCP_SYN, 100, 0, 0), 0);
	CHECK_U64(say(&talk, 0, TCP_SYN, 100, 0, 0), TCP_SEG_RETRANSMIT);
	say(&talk, 1, TCP_SYN | TCP_ACK, 500, 101, 0);
	ack(&talk, 0, 101, 501);
	CHECK(talk.conn.ambiguous);
	CHECK_U64(talk.conn.ack_ns - talk.conn.syn_ns, 3 * MS);
	CHECK_U64(talk.conn.ack_ns - talk.conn.last_syn_ns, 2 * MS);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->retransmits, 1);
	talk = talk_begin();
	say(&talk, 0, TCP_SYN, 100, 0, 0);
	say(&talk, 1, TCP_SYN | TCP_ACK, 500, 101, 0);
	CHECK_U64(say(&talk, 1, TCP_SYN | TCP_ACK, 500, 101, 0), TCP_SEG_RETRANSMIT);
	CHECK(talk.conn.ambiguous);
	talks_end();
}

TEST(tcp, takes_mss_and_scale_from_the_syns)
{
	struct talk talk = talk_begin();
	struct packet packet = segment(&talk, TCP_SYN, 100, 0, 0);

	packet.mss = 1460;
	packet.wscale = 8;
	tcp_conn_packet(&talk.conn, 0, &packet);
	packet = segment(&talk, TCP_SYN | TCP_ACK, 500, 101, 0);
	packet.mss = 8960;
	tcp_conn_packet(&talk.conn, 1, &packet);
	CHECK_U64(talk.conn.dir[0].mss, 1460);
	CHECK_U64(talk.conn.dir[0].wscale, 8);
	CHECK_U64(talk.conn.dir[1].mss, 8960);
	CHECK_U64(talk.conn.dir[1].wscale, 0);
	talks_end();
}

TEST(tcp, tells_sent_again_from_out_of_order)
{
	struct talk talk = connected(100, 500);	/* a round trip is 2 ms */
	struct tcp_dir *tx = &talk.conn.dir[0];

	data(&talk, 0, 101, 501, 100);
	CHECK_U64(data(&talk, 0, 301, 501, 100), TCP_SEG_NEW_DATA | TCP_SEG_GAP_BEFORE);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 100);
	/* fills the hole, 1 ms behind the highest number */
	CHECK_U64(data(&talk, 0, 201, 501, 100), TCP_SEG_NEW_DATA | TCP_SEG_OUT_OF_ORDER);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 0);
	CHECK_U64(tx->goodput_bytes, 300);
	/* the same bytes once more, as soon: seen before */
	CHECK_U64(data(&talk, 0, 201, 501, 100), TCP_SEG_RETRANSMIT);
	/* a hole filled later than a round trip was sent again: the first copy was lost on the way here */
	data(&talk, 0, 501, 501, 100);
	talk.now_ns += 10 * MS;
	CHECK_U64(data(&talk, 0, 401, 501, 100), TCP_SEG_NEW_DATA | TCP_SEG_RETRANSMIT);
	/* acknowledged already: spurious */
	ack(&talk, 1, 501, 601);
	CHECK_U64(data(&talk, 0, 101, 501, 100), TCP_SEG_RETRANSMIT | TCP_SEG_SPURIOUS);
	CHECK_U64(tcp_trouble(tx)->retransmits_spurious, 1);
	CHECK_U64(tcp_trouble(tx)->retransmit_bytes, 300);
	CHECK_U64(tcp_trouble(tx)->retransmits, 3);
	CHECK_U64(tcp_trouble(tx)->out_of_order, 1);
	CHECK_U64(tx->goodput_bytes, 500);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 0);
	talks_end();
}

TEST(tcp, counts_only_what_is_new_of_an_overlap)
{
	struct talk talk = connected(100, 500);

	data(&talk, 0, 101, 501, 100);
	CHECK_U64(data(&talk, 0, 151, 501, 100), TCP_SEG_NEW_DATA | TCP_SEG_RETRANSMIT);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 150);
	/* one segment over a hole's two ends and beyond the highest number */
	data(&talk, 0, 301, 501, 50);
	data(&talk, 0, 201, 501, 200);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 300);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 0);
	/* into the middle of a hole */
	data(&talk, 0, 701, 501, 10);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 300);
	data(&talk, 0, 501, 501, 100);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->hole_count, 2);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 200);
	data(&talk, 0, 381, 501, 340);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 0);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->hole_count, 0);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 620);
	/* all sent again, with a FIN that is new: its number is no byte */
	CHECK_U64(say(&talk, 0, TCP_FIN | TCP_ACK, 621, 501, 100), TCP_SEG_RETRANSMIT);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 620);
	CHECK(talk.conn.dir[0].fin_seen);
	talks_end();
}

TEST(tcp, bounds_the_holes)
{
	struct talk talk = connected(100, 500);
	struct tcp_dir *tx = &talk.conn.dir[0];
	uint32_t i;

	for (i = 1; i <= 20; i++)
		data(&talk, 0, 101 + i * 100, 501, 50);
	CHECK_U64(tcp_trouble(tx)->hole_count, TCP_HOLES_MAX);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 100 + 19 * 50);
	/* the newest are remembered, the oldest are given up */
	CHECK(data(&talk, 0, 101 + 20 * 100 - 50, 501, 50) & TCP_SEG_NEW_DATA);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 100 + 18 * 50);
	CHECK_U64(data(&talk, 0, 101, 501, 100), TCP_SEG_RETRANSMIT);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 100 + 18 * 50);
	/* a hole that is split while all places are taken */
	data(&talk, 0, 101 + 3000, 501, 50);
	CHECK(data(&talk, 0, 101 + 2500, 501, 50) & TCP_SEG_NEW_DATA);
	CHECK_U64(tcp_trouble(tx)->hole_count, TCP_HOLES_MAX);
	talks_end();
}

TEST(tcp, goes_around_the_end_of_the_numbers)
{
	struct talk talk = connected(UINT32_MAX - 150, UINT32_MAX);
	uint32_t seq = UINT32_MAX - 149;
	struct tcp_dir *tx = &talk.conn.dir[0];

	CHECK_U64(data(&talk, 0, seq, 0, 100), TCP_SEG_NEW_DATA);
	CHECK_U64(data(&talk, 0, seq + 200, 0, 100), TCP_SEG_NEW_DATA | TCP_SEG_GAP_BEFORE);
	CHECK_U64(data(&talk, 0, seq + 100, 0, 100), TCP_SEG_NEW_DATA | TCP_SEG_OUT_OF_ORDER);
	CHECK_U64(data(&talk, 0, seq, 0, 100), TCP_SEG_RETRANSMIT);
	CHECK_U64(ack(&talk, 1, 0, seq + 300), 0);
	CHECK_U64(tx->goodput_bytes, 300);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 0);
	CHECK_U64(say(&talk, 0, TCP_FIN | TCP_ACK, seq + 300, 0, 0), 0);
	ack(&talk, 1, 0, seq + 301);
	CHECK(talk.conn.dir[0].fin_acked);
	talks_end();
}

TEST(tcp, counts_duplicate_acks_and_fast_retransmission)
{
	struct talk talk = connected(100, 500);
	unsigned i;

	for (i = 0; i < 5; i++)
		data(&talk, 0, 101 + i * 100, 501, 100);
	CHECK_U64(ack(&talk, 1, 501, 201), 0);
	CHECK_U64(ack(&talk, 1, 501, 201), TCP_SEG_DUP_ACK);
	CHECK_U64(ack(&talk, 1, 501, 201), TCP_SEG_DUP_ACK);
	CHECK_U64(ack(&talk, 1, 501, 201), TCP_SEG_DUP_ACK);
	CHECK_U64(data(&talk, 0, 201, 501, 100), TCP_SEG_RETRANSMIT | TCP_SEG_FAST | TCP_SEG_BY_ACKS);
	CHECK_U64(tcp_trouble(&talk.conn.dir[1])->dup_acks, 3);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->retransmits_by_acks, 1);
	/* another window is an update, no duplicate */
	talk.window = 2000;
	CHECK_U64(ack(&talk, 1, 501, 201), 0);
	CHECK_U64(ack(&talk, 1, 501, 601), 0);
	/* a timeout's retransmission is not fast */
	data(&talk, 0, 601, 501, 100);
	talk.now_ns += 300 * MS;
	CHECK_U64(data(&talk, 0, 601, 501, 100), TCP_SEG_RETRANSMIT | TCP_SEG_BY_TIMER);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->retransmits_by_acks, 1);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->retransmits_by_timer, 1);
	ack(&talk, 1, 501, 701);
	data(&talk, 0, 701, 501, 100);
	/* nor is one long after its duplicate ACKs */
	ack(&talk, 1, 501, 701);
	ack(&talk, 1, 501, 701);
	ack(&talk, 1, 501, 701);
	talk.now_ns += 30 * MS;
	CHECK_U64(data(&talk, 0, 701, 501, 100), TCP_SEG_RETRANSMIT | TCP_SEG_BY_ACKS);
	talks_end();
}

/* What follows in one recovery has its cause, until everything sent before it is acknowledged. */
TEST(tcp, tells_recovery_from_timeout)
{
	struct talk talk = connected(100, 500);
	struct tcp_dir *tx = &talk.conn.dir[0];

	for (unsigned i = 0; i < 10; i++)
		data(&talk, 0, 101 + i * 100, 501, 100);
	for (unsigned i = 0; i < 4; i++)
		ack(&talk, 1, 501, 201);
	data(&talk, 0, 201, 501, 100);	/* asked for by duplicate ACKs */
	ack(&talk, 1, 501, 401);	/* a partial one: the next hole is repaired at once */
	CHECK_U64(data(&talk, 0, 401, 501, 100), TCP_SEG_RETRANSMIT | TCP_SEG_BY_ACKS);
	ack(&talk, 1, 501, 1101);
	/* all is acknowledged: a new round, and then silence */
	for (unsigned i = 0; i < 4; i++)
		data(&talk, 0, 1101 + i * 100, 501, 100);
	talk.now_ns += 250 * MS;
	CHECK_U64(data(&talk, 0, 1101, 501, 100), TCP_SEG_RETRANSMIT | TCP_SEG_BY_TIMER);
	ack(&talk, 1, 501, 1201);
	CHECK_U64(data(&talk, 0, 1201, 501, 100), TCP_SEG_RETRANSMIT | TCP_SEG_BY_TIMER);
	ack(&talk, 1, 501, 1501);
	/* a frame that was captured twice has no cause */
	data(&talk, 0, 1501, 501, 100);
	CHECK_U64(data(&talk, 0, 1501, 501, 100), TCP_SEG_RETRANSMIT);
	CHECK_U64(tcp_trouble(tx)->retransmits, 5);
	CHECK_U64(tcp_trouble(tx)->retransmits_by_acks, 2);
	CHECK_U64(tcp_trouble(tx)->retransmits_by_timer, 2);
	CHECK_U64(tcp_trouble(tx)->retransmits_spurious, 0);
	CHECK_U64(tcp_trouble(tx)->retransmit_bytes, 500);
	talks_end();
}

TEST(tcp, tells_what_the_capture_lost_from_what_the_network_did)
{
	struct talk talk = connected(100, 500);
	struct tcp_dir *tx = &talk.conn.dir[0];

	data(&talk, 0, 101, 501, 100);
	data(&talk, 0, 301, 501, 100);	/* 201 was not seen */
	CHECK_U64(tcp_trouble(tx)->gaps, 1);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 100);
	CHECK_U64(tcp_trouble(tx)->uncaptured_bytes, 0);
	ack(&talk, 1, 501, 201);	/* not received either, so far */
	CHECK_U64(tcp_trouble(tx)->uncaptured_bytes, 0);
	ack(&talk, 1, 501, 401);
	CHECK_U64(tcp_trouble(tx)->uncaptured_bytes, 100);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 100);
	/* the capture only had it late */
	data(&talk, 0, 201, 501, 60);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 40);
	CHECK_U64(tcp_trouble(tx)->uncaptured_bytes, 40);
	/* acknowledged before what is behind it was seen */
	CHECK_U64(ack(&talk, 1, 501, 601), TCP_SEG_UNSEEN_ACK);
	CHECK_U64(ack(&talk, 1, 501, 601), TCP_SEG_DUP_ACK);
	CHECK_U64(tcp_conn_tail_bytes(&talk.conn, 0), 200);
	data(&talk, 0, 601, 501, 10);
	CHECK_U64(tcp_trouble(tx)->uncaptured_bytes, 240);
	CHECK_U64(tcp_trouble(tx)->missing_bytes, 240);
	CHECK_U64(tcp_conn_tail_bytes(&talk.conn, 0), 0);
	CHECK_U64(tcp_trouble(&talk.conn.dir[1])->unseen_acks, 1);
	/* told in a report, it is not told again */
	tcp_conn_reported(&talk.conn);
	ack(&talk, 1, 501, 611);
	CHECK_U64(tcp_trouble(tx)->uncaptured_bytes, 0);
	talks_end();
}

TEST(tcp, measures_windows_and_flight)
{
	struct talk talk = { 0 };
	struct packet syn = { .flags = TCP_SYN, .seq = 100, .wscale = 4, .window = 1000, .has_tcp = true },
		      synack = { .flags = TCP_SYN | TCP_ACK, .seq = 500, .ack = 101, .wscale = 9, .window = 2000,
				 .has_tcp = true };
	struct tcp_dir *rx = &talk.conn.dir[1];

	tcp_conn_init(&talk.conn, talk_pool());
	talk.now_ns = 1;
	tcp_conn_packet(&talk.conn, 0, &syn);
	tcp_conn_packet(&talk.conn, 1, &synack);
	CHECK_U64(rx->window_bytes, 2000);	/* of a SYN: never scaled */
	talk.window = 100;
	ack(&talk, 0, 101, 501);
	talk.window = 4;
	ack(&talk, 1, 501, 101);
	CHECK_U64(rx->window_bytes, 4 << 8);
	CHECK_U64(rx->window_samples, 1);
	CHECK_U64(rx->window_sum_bytes, 1024);
	CHECK_U64(talk.conn.dir[0].window_sum_bytes, 800);
	talk.window = 100;
	CHECK_U64(data(&talk, 0, 101, 501, 1000), TCP_SEG_NEW_DATA);
	CHECK_U64(data(&talk, 0, 1101, 501, 24), TCP_SEG_NEW_DATA | TCP_SEG_WINDOW_FULL);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->window_fulls, 1);
	CHECK_U64(talk.conn.dir[0].in_flight_max_bytes, 1024);
	ack(&talk, 1, 501, 1125);
	data(&talk, 0, 1125, 501, 500);
	CHECK_U64(talk.conn.dir[0].in_flight_max_bytes, 1024);
	tcp_conn_reported(&talk.conn);
	data(&talk, 0, 1625, 501, 10);
	CHECK_U64(talk.conn.dir[0].in_flight_max_bytes, 510);
	/* one side that does not scale: neither does */
	tcp_conn_init(&talk.conn, talk_pool());
	synack.wscale = 0;
	tcp_conn_packet(&talk.conn, 0, &syn);
	tcp_conn_packet(&talk.conn, 1, &synack);
	ack(&talk, 0, 101, 501);
	CHECK_U64(talk.conn.dir[0].window_bytes, 100);
	/* and of a connection seen from the middle the scale is not known: no sample lies */
	tcp_conn_init(&talk.conn, talk_pool());
	ack(&talk, 0, 101, 501);
	CHECK_U64(talk.conn.dir[0].window_samples, 0);
	talks_end();
}

TEST(tcp, says_when_and_by_whom_it_was_reset)
{
	struct talk talk = { 0 };

	tcp_conn_init(&talk.conn, talk_pool());
	talk.now_ns = 1;
	say(&talk, 0, TCP_SYN, 100, 0, 0);
	say(&talk, 1, TCP_RST | TCP_ACK, 0, 101, 0);
	CHECK_U64(talk.conn.completeness, 33);
	CHECK_U64(talk.conn.reset_phase, TCP_PHASE_REFUSED);
	CHECK_U64(talk.conn.reset_dir, 1);
	CHECK_NOT(talk.conn.half_open);
	/* the client gives up a connection that is about to be */
	tcp_conn_init(&talk.conn, talk_pool());
	say(&talk, 0, TCP_SYN, 100, 0, 0);
	say(&talk, 1, TCP_SYN | TCP_ACK, 500, 101, 0);
	say(&talk, 0, TCP_RST, 101, 0, 0);
	CHECK_U64(talk.conn.reset_phase, TCP_PHASE_HANDSHAKE);
	CHECK_U64(talk.conn.reset_dir, 0);
	CHECK_NOT(talk.conn.half_open);
	talk = connected(100, 500);
	say(&talk, 1, TCP_RST | TCP_ACK, 501, 101, 0);
	CHECK_U64(talk.conn.reset_phase, TCP_PHASE_IDLE);
	/* a host that forgot the connection answers without ACK, with the number it was told */
	talk = connected(100, 500);
	data(&talk, 0, 101, 501, 100);
	say(&talk, 1, TCP_RST, 501, 0, 0);
	CHECK_U64(talk.conn.reset_phase, TCP_PHASE_DATA);
	CHECK(talk.conn.half_open);
	/* one that aborts what it knows of sets ACK */
	talk = connected(100, 500);
	data(&talk, 0, 101, 501, 100);
	say(&talk, 1, TCP_RST | TCP_ACK, 501, 201, 0);
	CHECK_NOT(talk.conn.half_open);
	/* half closed: one FIN, and then not any more */
	talk = connected(100, 500);
	CHECK_NOT(tcp_conn_half_closed(&talk.conn));
	say(&talk, 1, TCP_FIN | TCP_ACK, 501, 101, 0);
	CHECK(tcp_conn_half_closed(&talk.conn));
	say(&talk, 0, TCP_RST, 101, 0, 0);
	CHECK_U64(talk.conn.reset_phase, TCP_PHASE_CLOSING);
	CHECK_NOT(tcp_conn_half_closed(&talk.conn));
	tcp_conn_init(&talk.conn, talk_pool());
	say(&talk, 0, TCP_RST, 101, 0, 0);
	CHECK_U64(talk.conn.reset_phase, TCP_PHASE_STRAY);
	talks_end();
}

TEST(tcp, sees_zero_windows_and_probes)
{
	struct talk talk = connected(100, 500);

	data(&talk, 0, 101, 501, 100);
	talk.window = 0;
	CHECK_U64(ack(&talk, 1, 501, 201), TCP_SEG_ZERO_WINDOW);
	CHECK_U64(say(&talk, 1, TCP_RST, 501, 0, 0), 0);
	CHECK_U64(tcp_trouble(&talk.conn.dir[1])->zero_windows, 1);
	talk.window = 1000;
	/* one byte beyond, twice: neither data nor sent again */
	CHECK_U64(data(&talk, 0, 201, 501, 1), TCP_SEG_WINDOW_PROBE);
	CHECK_U64(data(&talk, 0, 201, 501, 1), TCP_SEG_WINDOW_PROBE);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 100);
	/* the receiver takes it after all */
	ack(&talk, 1, 501, 202);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 101);
	CHECK_U64(data(&talk, 0, 202, 501, 50), TCP_SEG_NEW_DATA);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 0);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->retransmits, 0);
	talks_end();
}

/* Linux's probe has no byte and the number before the next one, as its keep-alive: the window tells. */
TEST(tcp, sees_probes_without_a_byte)
{
	struct talk talk = connected(100, 500);

	data(&talk, 0, 101, 501, 100);
	talk.window = 0;
	CHECK_U64(ack(&talk, 1, 501, 201), TCP_SEG_ZERO_WINDOW);
	talk.window = 1000;
	CHECK_U64(say(&talk, 0, TCP_ACK, 200, 501, 0), TCP_SEG_WINDOW_PROBE);
	talk.window = 0;
	CHECK_U64(ack(&talk, 1, 501, 201), TCP_SEG_ZERO_WINDOW);
	talk.window = 1000;
	CHECK_U64(say(&talk, 0, TCP_ACK, 200, 501, 0), TCP_SEG_WINDOW_PROBE);
	/* the window opens: what comes then is data, and a probe of the idle connection a keep-alive */
	CHECK_U64(ack(&talk, 1, 501, 201), 0);
	CHECK_U64(data(&talk, 0, 201, 501, 50), TCP_SEG_NEW_DATA);
	CHECK_U64(ack(&talk, 1, 501, 251), 0);
	CHECK_U64(say(&talk, 0, TCP_ACK, 250, 501, 0), TCP_SEG_KEEPALIVE);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->window_probes, 2);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->keepalives, 1);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 150);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->retransmits, 0);
	talks_end();
}

TEST(tcp, sees_keepalives)
{
	struct talk talk = connected(100, 500);

	data(&talk, 0, 101, 501, 100);
	ack(&talk, 1, 501, 201);
	CHECK_U64(say(&talk, 0, TCP_ACK, 200, 501, 0), TCP_SEG_KEEPALIVE);
	CHECK_U64(ack(&talk, 1, 501, 201), 0);
	CHECK_U64(say(&talk, 0, TCP_ACK, 200, 501, 1), TCP_SEG_KEEPALIVE);
	CHECK_U64(ack(&talk, 1, 501, 201), 0);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->keepalives, 2);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->retransmits, 0);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 100);
	CHECK_U64(tcp_trouble(&talk.conn.dir[1])->dup_acks, 0);
	talks_end();
}

TEST(tcp, starts_in_mid_stream)
{
	struct talk talk = talk_begin();

	CHECK_U64(data(&talk, 0, 5000, 900, 100), TCP_SEG_NEW_DATA);
	/* from before the first segment seen: new, with a hole between */
	CHECK(data(&talk, 0, 4800, 900, 100) & TCP_SEG_NEW_DATA);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 200);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 100);
	CHECK(data(&talk, 0, 4900, 900, 100) & TCP_SEG_NEW_DATA);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 300);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 0);
	CHECK_U64(data(&talk, 0, 4800, 900, 300), TCP_SEG_RETRANSMIT);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 300);
	talks_end();
}

TEST(tcp, recognises_reused_ports)
{
	struct talk talk = connected(100, 500);
	struct packet again = segment(&talk, TCP_SYN, 100, 0, 0);
	struct packet other = segment(&talk, TCP_SYN, 7000, 0, 0);
	struct packet answer = segment(&talk, TCP_SYN | TCP_ACK, 7000, 0, 0);

	CHECK(!tcp_conn_reuses(&talk.conn, 0, &again));
	CHECK(tcp_conn_reuses(&talk.conn, 0, &other));
	CHECK(!tcp_conn_reuses(&talk.conn, 1, &answer));
	/* seen from mid-stream: any SYN but the one just before its first segment */
	talk = talk_begin();
	ack(&talk, 0, 101, 501);
	CHECK(!tcp_conn_reuses(&talk.conn, 0, &again));
	CHECK(tcp_conn_reuses(&talk.conn, 0, &other));
	/* refused, and tried again with the same number: still one attempt */
	talk = talk_begin();
	say(&talk, 0, TCP_SYN, 100, 0, 0);
	say(&talk, 1, TCP_RST | TCP_ACK, 0, 101, 0);
	CHECK(!tcp_conn_reuses(&talk.conn, 0, &again));
	CHECK(tcp_conn_reuses(&talk.conn, 0, &other));
	talks_end();
}

TEST(tcp, begins_anew_where_numbers_cannot_be_believed)
{
	struct talk talk = connected(100, 500);

	data(&talk, 0, 101, 501, 100);
	CHECK_U64(data(&talk, 0, 0x70000000, 501, 100), TCP_SEG_NEW_DATA);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 0);
	/* a SYN-ACK with another number: the server began anew */
	talk = talk_begin();
	say(&talk, 0, TCP_SYN, 100, 0, 0);
	say(&talk, 1, TCP_SYN | TCP_ACK, 500, 101, 0);
	CHECK_U64(say(&talk, 1, TCP_SYN | TCP_ACK, 90000, 101, 0), 0);
	CHECK_U64(tcp_trouble(&talk.conn.dir[1])->missing_bytes, 0);
	CHECK_U64(talk.conn.dir[1].isn, 90000);
	CHECK(talk.conn.ambiguous);
	talks_end();
}

TEST(tcp, samples_round_trips_by_karns_rule)
{
	struct talk talk = connected(100, 500);
	struct tcp_conn *conn = &talk.conn;

	data(&talk, 0, 101, 501, 100);
	talk.now_ns += 9 * MS;
	ack(&talk, 1, 501, 201);
	CHECK_U64(conn->rtt_samples, 1);
	CHECK_U64(conn->rtt_min_ns, 10 * MS);
	data(&talk, 0, 201, 501, 100);
	talk.now_ns += 19 * MS;
	ack(&talk, 1, 501, 301);
	CHECK_U64(conn->rtt_samples, 2);
	CHECK_U64(conn->rtt_max_ns, 20 * MS);
	CHECK_U64(conn->rtt_sum_ns, 30 * MS);
	CHECK(conn->rtt_sum_squares > 499e12 && conn->rtt_sum_squares < 501e12);
	/* sent twice: its ACK measures nothing */
	data(&talk, 0, 301, 501, 100);
	talk.now_ns += 100 * MS;
	data(&talk, 0, 301, 501, 100);
	ack(&talk, 1, 501, 401);
	CHECK_U64(conn->rtt_samples, 2);
	/* a clock that ran backwards measures nothing either */
	data(&talk, 0, 401, 501, 100);
	talk.now_ns -= 50 * MS;
	ack(&talk, 1, 501, 501);
	CHECK_U64(conn->rtt_samples, 2);
	/* of one direction only */
	conn->rtt_dirs = 2;
	data(&talk, 0, 501, 501, 100);
	ack(&talk, 1, 501, 601);
	CHECK_U64(conn->rtt_samples, 2);
	data(&talk, 1, 501, 601, 100);
	ack(&talk, 0, 601, 601);
	CHECK_U64(conn->rtt_samples, 3);
	talks_end();
}

TEST(tcp, counts_super_packets_as_what_the_wire_carried)
{
	struct talk talk = connected(100, 500);

	talk.segments = 10;
	data(&talk, 0, 101, 501, 14000);
	data(&talk, 0, 101, 501, 14000);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->retransmits, 10);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 14000);
	/* 0 means nobody said: one */
	talk.segments = 0;
	data(&talk, 0, 101, 501, 14000);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->retransmits, 11);
	talks_end();
}

TEST(tcp, reports_deltas)
{
	struct talk talk = connected(100, 500);

	data(&talk, 0, 101, 501, 100);
	data(&talk, 0, 301, 501, 100);
	ack(&talk, 1, 501, 201);
	ack(&talk, 1, 501, 201);
	CHECK(tcp_trouble(&talk.conn.dir[0])->missing_bytes == 100 && tcp_trouble(&talk.conn.dir[1])->dup_acks == 1);
	tcp_conn_reported(&talk.conn);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 0);
	CHECK_U64(tcp_trouble(&talk.conn.dir[1])->dup_acks, 0);
	CHECK_U64(talk.conn.rtt_samples, 0);
	CHECK_U64(talk.conn.completeness, 15);
	/* a hole of the last report, filled in this one, does not go below 0 */
	data(&talk, 0, 201, 501, 100);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 0);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 100);
	talks_end();
}

TEST(tcp, takes_data_on_the_syn)
{
	struct talk talk = talk_begin();

	CHECK_U64(say(&talk, 0, TCP_SYN, 100, 0, 50), TCP_SEG_NEW_DATA);
	say(&talk, 1, TCP_SYN | TCP_ACK, 500, 151, 0);
	CHECK_U64(data(&talk, 0, 151, 501, 10), TCP_SEG_NEW_DATA);
	CHECK_U64(talk.conn.dir[0].goodput_bytes, 60);
	CHECK_U64(tcp_trouble(&talk.conn.dir[0])->missing_bytes, 0);
	CHECK_U64(talk.conn.completeness, 15);
	talks_end();
}
