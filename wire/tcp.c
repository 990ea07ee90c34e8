/*
 * TCP health (RFC 9293; dimensions NL-08 to NL-39). The verdicts on single
 * segments follow tshark's tcp.analysis, with these differences, each because the
 * other answer would be untrue of the connection:
 * - bit 4 of completeness only by an ACK that follows a SYN-ACK: refused is 33;
 * - a RST does not move the sequence space: its numbers are often made up;
 * - bytes never seen before are no retransmission merely because an ACK for them
 *   was captured first.
 */
#include "wire/tcp.h"

#define SYN_OR_FIN (TCP_SYN | TCP_FIN)

/* A jump further than this is another connection's or garbage: the direction starts over there. */
#define BELIEVABLE_BYTES (1 << 30)
/* tshark's figures: reordering is shorter than a round trip, or this where none is known ... */
#define REORDER_DEFAULT_NS 3000000u
/* ... and a fast retransmission follows its duplicate ACKs this closely. */
#define FAST_RETRANSMIT_NS 20000000u

/* Modulo 2^32: how far a is ahead of b. */
static inline int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

/* Clocks of capture files run backwards at times. */
static inline uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

void tcp_conn_init(struct tcp_conn *conn)
{
	memset(conn, 0, sizeof(*conn));
	conn->rtt_dirs = 3;
}

/* ---- holes ---- */

static void hole_remove(struct tcp_dir *dir, unsigned index)
{
	dir->hole_count--;
	memmove(dir->holes + index, dir->holes + index + 1,
		(dir->hole_count - index) * sizeof(dir->holes[0]));
}

/* Insert before index. When full the oldest gives way: its bytes stay missing. */
static void hole_insert(struct tcp_dir *dir, unsigned index, uint32_t from, uint32_t to)
{
	if (dir->hole_count == TCP_HOLES_MAX) {
		if (index == 0)
			return;
		hole_remove(dir, 0);
		index--;
	}
	memmove(dir->holes + index + 1, dir->holes + index,
		(dir->hole_count - index) * sizeof(dir->holes[0]));
	dir->holes[index].from = from;
	dir->holes[index].to = to;
	dir->hole_count++;
}

/* Sequence numbers of [seq, end) that were in holes; they are not any more. */
static uint32_t holes_fill(struct tcp_dir *dir, uint32_t seq, uint32_t end)
{
	uint32_t filled = 0;
	unsigned i = 0;

	while (i < dir->hole_count) {
		struct tcp_hole *hole = dir->holes + i;
		uint32_t from = seq_diff(seq, hole->from) > 0 ? seq : hole->from;
		uint32_t to = seq_diff(end, hole->to) < 0 ? end : hole->to;
		bool head = from != hole->from, tail = to != hole->to;

		if (seq_diff(to, from) <= 0) {
			i++;
			continue;
		}
		filled += to - from;
		if (head && tail) {
			uint32_t old_from = hole->from;

			hole->from = to;
			hole_insert(dir, i, old_from, from);
			break;	/* nothing else can touch [seq, end) */
		}
		if (head) {
			hole->to = from;
			i++;
		} else if (tail) {
			hole->from = to;
			break;
		} else {
			hole_remove(dir, i);
		}
	}
	dir->missing_bytes -= filled < dir->missing_bytes ? filled : dir->missing_bytes;
	return filled;
}

/*
 * Account for sequence numbers [seq, end) that begin below next_seq. Returns how many of
 * those below it had never been seen.
 */
static uint32_t seen_late(struct tcp_dir *dir, uint32_t seq, uint32_t end)
{
	uint32_t fresh = 0;

	/* capture began in mid-stream, and this comes from before its first segment */
	if (seq_diff(seq, dir->first_seq) < 0) {
		if (seq_diff(end, dir->first_seq) < 0) {
			fresh = end - seq;
			dir->missing_bytes += dir->first_seq - end;
			hole_insert(dir, 0, end, dir->first_seq);
		} else {
			fresh = dir->first_seq - seq;
		}
		dir->first_seq = seq;
		return fresh;
	}
	return dir->hole_count ? holes_fill(dir, seq, end) : 0;
}

/* ---- handshake and end ---- */

static void direction_begins(struct tcp_dir *dir, uint32_t seq, uint64_t now_ns)
{
	dir->seen = true;
	dir->first_seq = dir->next_seq = seq;
	dir->next_seq_ns = now_ns;
	dir->hole_count = 0;
	dir->probing = dir->fin_seen = dir->fin_acked = false;
	dir->rtt_sent_ns = 0;
}

static void see_syn(struct tcp_conn *conn, unsigned d, const struct packet *packet)
{
	struct tcp_dir *dir = &conn->dir[d];

	if (packet->flags & TCP_ACK) {
		if (conn->completeness & 2)
			conn->ambiguous = true;
		else
			conn->synack_ns = packet->time_ns;
		conn->completeness |= 2;
		conn->synack_dir = (uint8_t)d;
	} else {
		if (conn->completeness & 1)
			conn->ambiguous = true;
		else
			conn->syn_ns = packet->time_ns;
		conn->completeness |= 1;
		if (!(conn->completeness & 4))
			conn->last_syn_ns = packet->time_ns;
	}
	/* a second SYN with another number: whoever sent it began anew */
	if (!dir->seen || (dir->isn_known ? packet->seq != dir->isn : packet->seq + 1 != dir->first_seq))
		direction_begins(dir, packet->seq, packet->time_ns);
	dir->isn_known = true;
	dir->isn = packet->seq;
	if (packet->mss)
		dir->mss = packet->mss;
	dir->wscale = packet->wscale;
}

/* The handshake's last ACK, and what acknowledges the other side's FIN. */
static inline void see_ack(struct tcp_conn *conn, unsigned d, const struct packet *packet)
{
	struct tcp_dir *other = &conn->dir[!d];

	if (__builtin_expect((conn->completeness & 6) == 2, 0) && !(packet->flags & TCP_SYN)) {
		/* an ACK of the SYN-ACK's own sender: the one between was not captured */
		if (conn->synack_dir == d) {
			conn->completeness |= 4;
		} else if (seq_diff(packet->ack, other->isn + 1) >= 0) {
			conn->completeness |= 4;
			conn->ack_ns = packet->time_ns;
		}
	}
	if (__builtin_expect(other->fin_seen, 0) && seq_diff(packet->ack, other->fin_end) >= 0)
		other->fin_acked = true;
	/* the receiver had room for the byte of a zero-window probe after all */
	if (__builtin_expect(other->probing, 0) && packet->ack == other->next_seq + 1) {
		other->probing = false;
		other->next_seq++;
		other->goodput_bytes++;
	}
}

/* ---- round trips ---- */

static inline void rtt_acked(struct tcp_conn *conn, struct tcp_dir *sender, const struct packet *packet)
{
	uint64_t rtt_ns;

	if (!sender->rtt_sent_ns || seq_diff(packet->ack, sender->rtt_seq) < 0)
		return;
	rtt_ns = packet->time_ns - sender->rtt_sent_ns;
	if (packet->time_ns >= sender->rtt_sent_ns) {
		if (conn->rtt_samples == 0 || rtt_ns < conn->rtt_min_ns)
			conn->rtt_min_ns = rtt_ns;
		if (rtt_ns > conn->rtt_max_ns)
			conn->rtt_max_ns = rtt_ns;
		conn->rtt_samples++;
		conn->rtt_sum_ns += rtt_ns;
		conn->rtt_sum_squares += (double)rtt_ns * (double)rtt_ns;
	}
	sender->rtt_sent_ns = 0;
}

/* Karn: once anything was sent again or came late, the next ACK may mean either copy. */
static inline void rtt_sent(struct tcp_conn *conn, unsigned d, const struct packet *packet, unsigned bits,
			    uint32_t end)
{
	struct tcp_dir *dir = &conn->dir[d];

	if (bits & (TCP_SEG_RETRANSMIT | TCP_SEG_OUT_OF_ORDER | TCP_SEG_GAP_BEFORE)) {
		dir->rtt_sent_ns = 0;
	} else if (!dir->rtt_sent_ns && (bits & TCP_SEG_NEW_DATA) && (conn->rtt_dirs >> d & 1)) {
		dir->rtt_sent_ns = packet->time_ns;
		dir->rtt_seq = end;
	}
}

/* ---- one segment ---- */

/* The verdicts that need no data: tshark's order of questions. */
static unsigned judge_header(const struct tcp_dir *dir, const struct tcp_dir *other, const struct packet *packet)
{
	uint32_t len = packet->payload_len;
	unsigned bits = 0;
	int32_t ahead;

	if (packet->flags & SYN_OR_FIN)
		return seq_diff(packet->seq, dir->next_seq) > 0 ? TCP_SEG_GAP_BEFORE : 0;
	ahead = seq_diff(packet->seq, dir->next_seq);
	if (len == 1 && ahead == 0 && other->seen && other->last_window == 0)
		return TCP_SEG_WINDOW_PROBE;
	if (packet->window == 0)
		bits |= TCP_SEG_ZERO_WINDOW;
	if (ahead > 0)
		bits |= TCP_SEG_GAP_BEFORE;
	else if (ahead == -1 && len <= 1)
		bits |= TCP_SEG_KEEPALIVE;
	if (len == 0 && ahead == 0 && dir->ack_known && packet->ack == dir->last_ack && packet->window &&
	    packet->window == dir->last_window && !(other->last_bits & TCP_SEG_KEEPALIVE))
		bits |= TCP_SEG_DUP_ACK;
	return bits;
}

/*
 * A segment that takes up sequence numbers and begins below the highest one: sent
 * again, or late? tshark tells by time: within a round trip of the highest number
 * the network has swapped them. fresh: some of it was never seen.
 */
static unsigned judge_late(const struct tcp_conn *conn, unsigned d, const struct packet *packet, uint32_t end,
			   bool fresh)
{
	const struct tcp_dir *dir = &conn->dir[d], *other = &conn->dir[!d];
	uint64_t reorder_ns = conn->ack_ns && conn->last_syn_ns ? since(conn->ack_ns, conn->last_syn_ns) : 0;

	/* a byte that was a zero-window probe, now with company: new data */
	if (packet->payload_len > 1 && packet->seq == dir->next_seq - 1)
		return 0;
	if (packet->payload_len && other->ack_known &&
	    seq_diff(packet->seq + packet->payload_len, other->last_ack) <= 0)
		return TCP_SEG_RETRANSMIT;	/* spurious: the receiver had it */
	if (other->dup_ack_run >= 2 && other->last_ack == packet->seq &&
	    since(packet->time_ns, other->last_ack_ns) < FAST_RETRANSMIT_NS)
		return TCP_SEG_RETRANSMIT | TCP_SEG_FAST;
	if (!reorder_ns)
		reorder_ns = REORDER_DEFAULT_NS;
	if (fresh && dir->next_seq != end && since(packet->time_ns, dir->next_seq_ns) < reorder_ns)
		return TCP_SEG_OUT_OF_ORDER;
	return TCP_SEG_RETRANSMIT;
}

/* Sequence numbers [seq, end) of this segment: what they were, and which of them are new. */
static unsigned see_bytes(struct tcp_conn *conn, unsigned d, const struct packet *packet, uint32_t end,
			  unsigned bits)
{
	struct tcp_dir *dir = &conn->dir[d];
	int32_t ahead = seq_diff(packet->seq, dir->next_seq);
	uint32_t fresh = 0, begin = packet->seq;
	bool control_new = packet->flags & TCP_SYN ? ahead == 0 : (packet->flags & TCP_FIN) && !dir->fin_seen;

	if (bits & TCP_SEG_KEEPALIVE)
		return bits;
	if (ahead > 0) {
		dir->missing_bytes += (uint32_t)ahead;
		hole_insert(dir, dir->hole_count, dir->next_seq, packet->seq);
	} else if (ahead < 0 && end != begin) {
		fresh = seen_late(dir, begin, end);
		bits |= judge_late(conn, d, packet, end, fresh > 0);
		begin = dir->next_seq;
	}
	if (seq_diff(end, dir->next_seq) > 0) {
		fresh += end - begin;
		dir->next_seq = end;
		dir->next_seq_ns = packet->time_ns;
	}
	/* SYN and FIN take a number each, but are no payload */
	if (control_new && fresh)
		fresh--;
	if (fresh > packet->payload_len)
		fresh = packet->payload_len;
	if (fresh) {
		dir->goodput_bytes += fresh;
		bits |= TCP_SEG_NEW_DATA;
	}
	return bits;
}

static void count(struct tcp_conn *conn, unsigned d, const struct packet *packet, unsigned bits)
{
	struct tcp_dir *dir = &conn->dir[d];
	uint32_t segments = packet->segments ? packet->segments : 1;

	if (bits & TCP_SEG_RETRANSMIT) {
		dir->retransmits += segments;
		if (bits & TCP_SEG_FAST)
			dir->fast_retransmits += segments;
	}
	if (bits & TCP_SEG_OUT_OF_ORDER)
		dir->out_of_order += segments;
	if (bits & TCP_SEG_KEEPALIVE)
		dir->keepalives++;
	if (bits & TCP_SEG_ZERO_WINDOW)
		dir->zero_windows++;
	if (bits & TCP_SEG_DUP_ACK) {
		dir->dup_acks++;
		dir->dup_ack_run++;
	}
	if (bits & TCP_SEG_NEW_DATA) {
		if (!conn->first_payload_ns)
			conn->first_payload_ns = packet->time_ns;
		if (d == 1 && !conn->first_response_ns)
			conn->first_response_ns = packet->time_ns;
	}
}

/* What the next segments are compared with. */
static void remember(struct tcp_dir *dir, const struct packet *packet, unsigned bits)
{
	if (packet->flags & TCP_ACK) {
		if (!dir->ack_known || packet->ack != dir->last_ack)
			dir->dup_ack_run = 0;
		dir->ack_known = true;
		dir->last_ack = packet->ack;
		dir->last_ack_ns = packet->time_ns;
	}
	dir->last_window = packet->window;
	dir->last_bits = (uint16_t)bits;
}

unsigned tcp_conn_packet(struct tcp_conn *conn, unsigned d, const struct packet *packet)
{
	struct tcp_dir *dir = &conn->dir[d], *other = &conn->dir[!d];
	uint32_t end = packet->seq + packet->payload_len + !!(packet->flags & TCP_SYN) +
		       !!(packet->flags & TCP_FIN);
	unsigned bits;
	int32_t ahead;

	if (__builtin_expect(packet->flags & (SYN_OR_FIN | TCP_RST), 0)) {
		if (packet->flags & TCP_RST) {
			dir->resets++;
			conn->completeness |= 32;
			conn->closed_rst = true;
			return 0;
		}
		if (packet->flags & TCP_SYN)
			see_syn(conn, d, packet);
		if (packet->flags & TCP_FIN) {
			dir->fins++;
			conn->completeness |= 16;
		}
	}
	ahead = seq_diff(packet->seq, dir->next_seq);
	if (__builtin_expect(!dir->seen || ahead > BELIEVABLE_BYTES || ahead < -BELIEVABLE_BYTES, 0))
		direction_begins(dir, packet->seq, packet->time_ns);
	bits = judge_header(dir, other, packet);
	if (packet->flags & TCP_ACK) {
		see_ack(conn, d, packet);
		rtt_acked(conn, other, packet);
	}
	if (__builtin_expect(bits & TCP_SEG_WINDOW_PROBE, 0)) {
		dir->probing = true;
	} else {
		bits = see_bytes(conn, d, packet, end, bits);
		if (bits & TCP_SEG_NEW_DATA)
			dir->probing = false;
		rtt_sent(conn, d, packet, bits, end);
	}
	if (packet->payload_len && !(bits & TCP_SEG_KEEPALIVE))
		conn->completeness |= 8;
	if (__builtin_expect(packet->flags & TCP_FIN, 0) && !dir->fin_seen) {
		dir->fin_seen = true;
		dir->fin_end = end;
	}
	count(conn, d, packet, bits);
	remember(dir, packet, bits);
	return bits;
}

bool tcp_conn_reuses(const struct tcp_conn *conn, unsigned d, const struct packet *packet)
{
	const struct tcp_dir *dir = &conn->dir[d];

	if ((packet->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return false;
	if (dir->isn_known)
		return packet->seq != dir->isn;
	/* began in mid-stream: this SYN may still be the one before the first segment, captured late */
	if (dir->seen)
		return packet->seq + 1 != dir->first_seq;
	return tcp_conn_over(conn);
}

bool tcp_conn_over(const struct tcp_conn *conn)
{
	return conn->closed_rst || (conn->dir[0].fin_acked && conn->dir[1].fin_acked);
}

void tcp_conn_reported(struct tcp_conn *conn)
{
	unsigned d;

	for (d = 0; d < 2; d++) {
		struct tcp_dir *dir = &conn->dir[d];

		dir->retransmits = dir->out_of_order = dir->dup_acks = dir->zero_windows = 0;
		dir->resets = dir->fins = dir->keepalives = dir->fast_retransmits = 0;
		dir->goodput_bytes = dir->missing_bytes = 0;
	}
	conn->rtt_samples = 0;
	conn->rtt_min_ns = conn->rtt_max_ns = conn->rtt_sum_ns = 0;
	conn->rtt_sum_squares = 0;
}
