/*
 * TCP health (RFC 9293; dimensions NL-08 to NL-39). The verdicts on single
 * segments follow tshark's tcp.analysis, with these differences, each because the
 * other answer would be untrue of the connection:
 * - bit 4 of completeness only by an ACK that follows a SYN-ACK: refused is 33;
 * - a RST does not move the sequence space: its numbers are often made up;
 * - bytes never seen before are no retransmission merely because an ACK for them
 *   was captured first;
 * - an empty segment one below the next number, into a window of zero, is Linux's window
 *   probe (tcp_write_wakeup), not a keep-alive: the connection is not idle but blocked.
 */
#include "wire/tcp.h"

#include "wire/tcp_pool.h"

#define SYN_OR_FIN (TCP_SYN | TCP_FIN)

/* A jump further than this is another connection's or garbage: the direction starts over there. */
#define BELIEVABLE_BYTES (1 << 30)
/* tshark's figures: reordering is shorter than a round trip, or this where none is known ... */
#define REORDER_DEFAULT_NS 3000000u
/* ... and a fast retransmission follows its duplicate ACKs this closely. */
#define FAST_RETRANSMIT_NS 20000000u

/*
 * The shortest retransmission timeout in use (Linux); RFC 6298 has a second. A sender that was silent
 * so long before it sent something again did so by its timer.
 */
#define RETRANSMIT_TIMER_NS 200000000u

/* What began the episode of retransmissions a direction is in: those that follow are of one cause with it. */
enum recovery { RECOVERY_NONE, RECOVERY_ACKS, RECOVERY_TIMER };

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

void tcp_conn_init(struct tcp_conn *conn, struct tcp_pool *pool)
{
	memset(conn, 0, sizeof(*conn));
	conn->pool = pool;
	conn->rtt_dirs = 3;
}

/* ---- holes ---- */

static void hole_remove(struct tcp_trouble *trouble, unsigned index)
{
	trouble->hole_count--;
	memmove(trouble->holes + index, trouble->holes + index + 1,
		(trouble->hole_count - index) * sizeof(trouble->holes[0]));
}

/* Insert before index. When full the oldest gives way: its bytes stay missing. */
static void hole_insert(struct tcp_trouble *trouble, unsigned index, uint32_t from, uint32_t to)
{
	if (trouble->hole_count == TCP_HOLES_MAX) {
		if (index == 0)
			return;
		hole_remove(trouble, 0);
		index--;
	}
	memmove(trouble->holes + index + 1, trouble->holes + index,
		(trouble->hole_count - index) * sizeof(trouble->holes[0]));
	trouble->holes[index] = (struct tcp_hole){ .from = from, .to = to };
	trouble->hole_count++;
}

static void take_from(uint64_t *count, uint32_t bytes)
{
	*count -= bytes < *count ? bytes : *count;
}

/* The receiver has everything before ack: a hole there is the capture's. */
static void holes_acked(struct tcp_trouble *trouble, uint32_t ack)
{
	for (unsigned i = 0; i < trouble->hole_count; i++) {
		struct tcp_hole *hole = trouble->holes + i;

		if (hole->acked || seq_diff(ack, hole->to) < 0)
			continue;
		hole->acked = true;
		trouble->uncaptured_bytes += hole->to - hole->from;
	}
}

/* Sequence numbers of [seq, end) that were in holes; they are not any more. */
static uint32_t holes_fill(struct tcp_trouble *trouble, uint32_t seq, uint32_t end)
{
	uint32_t filled = 0;
	unsigned i = 0;

	while (i < trouble->hole_count) {
		struct tcp_hole *hole = trouble->holes + i;
		uint32_t from = seq_diff(seq, hole->from) > 0 ? seq : hole->from;
		uint32_t to = seq_diff(end, hole->to) < 0 ? end : hole->to;
		bool head = from != hole->from, tail = to != hole->to;

		if (seq_diff(to, from) <= 0) {
			i++;
			continue;
		}
		filled += to - from;
		if (hole->acked)
			take_from(&trouble->uncaptured_bytes, to - from);
		if (head && tail) {
			uint32_t old_from = hole->from;
			bool acked = hole->acked;

			hole->from = to;
			hole_insert(trouble, i, old_from, from);
			for (unsigned k = 0; k < trouble->hole_count; k++)	/* where it stands depends on whether there was room */
				if (trouble->holes[k].from == old_from)
					trouble->holes[k].acked = acked;
			break;	/* nothing else can touch [seq, end) */
		}
		if (head) {
			hole->to = from;
			i++;
		} else if (tail) {
			hole->from = to;
			break;
		} else {
			hole_remove(trouble, i);
		}
	}
	take_from(&trouble->missing_bytes, filled);
	return filled;
}

/*
 * Account for sequence numbers [seq, end) that begin below next_seq. Returns how many of
 * those below it had never been seen.
 */
static uint32_t seen_late(struct tcp_conn *conn, struct tcp_dir *dir, uint32_t seq, uint32_t end)
{
	uint32_t fresh = 0;

	/* capture began in mid-stream, and this comes from before its first segment */
	if (seq_diff(seq, dir->first_seq) < 0) {
		if (seq_diff(end, dir->first_seq) < 0) {
			struct tcp_trouble *trouble = tcp_trouble_of(conn, dir);

			fresh = end - seq;
			trouble->missing_bytes += dir->first_seq - end;
			hole_insert(trouble, 0, end, dir->first_seq);
		} else {
			fresh = dir->first_seq - seq;
		}
		dir->first_seq = seq;
		return fresh;
	}
	return dir->trouble && dir->trouble->hole_count ? holes_fill(dir->trouble, seq, end) : 0;
}

/* ---- handshake and end ---- */

static void direction_begins(struct tcp_dir *dir, uint32_t seq, uint64_t now_ns)
{
	dir->seen = true;
	dir->first_seq = dir->next_seq = seq;
	dir->next_seq_ns = now_ns;
	dir->probing = dir->fin_seen = dir->fin_acked = false;
	dir->rtt_sent_ns = 0;
	if (dir->trouble) {
		dir->trouble->hole_count = 0;
		dir->trouble->recovery = RECOVERY_NONE;
	}
}

/* RFC 7323 2.2: windows are scaled when both SYNs say so. */
static unsigned scale_of(const struct tcp_conn *conn, unsigned d)
{
	return conn->dir[0].wscale && conn->dir[1].wscale ? conn->dir[d].wscale - 1 : 0;
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
	conn->scale_known |= (packet->flags & TCP_ACK) != 0;
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
	if (__builtin_expect(other->trouble != NULL, 0))
		holes_acked(other->trouble, packet->ack);
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

/* Its last byte is the last one the other side had room for. */
static inline bool fills_window(const struct tcp_conn *conn, const struct tcp_dir *other, const struct packet *packet)
{
	return packet->payload_len && conn->scale_known && other->ack_known &&
	       packet->seq + packet->payload_len == other->last_ack + other->window_bytes;
}

/* The verdicts that need no data: tshark's order of questions. */
static unsigned judge_header(const struct tcp_conn *conn, const struct tcp_dir *dir, const struct tcp_dir *other,
			     const struct packet *packet)
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
	if (__builtin_expect(fills_window(conn, other, packet), 0))
		bits |= TCP_SEG_WINDOW_FULL;
	if (ahead > 0)
		bits |= TCP_SEG_GAP_BEFORE;
	else if (ahead == -1 && len <= 1)
		bits |= len == 0 && other->seen && other->last_window == 0 ? TCP_SEG_WINDOW_PROBE : TCP_SEG_KEEPALIVE;
	if (len == 0 && ahead == 0 && dir->ack_known && packet->ack == dir->last_ack && packet->window &&
	    packet->window == dir->last_window && !(other->last_bits & TCP_SEG_KEEPALIVE))
		bits |= TCP_SEG_DUP_ACK;
	return bits;
}

/* It acknowledges what was never captured, and no earlier one did so. */
static bool acks_unseen(struct tcp_conn *conn, struct tcp_dir *dir, const struct tcp_dir *other,
			const struct packet *packet)
{
	struct tcp_trouble *trouble;

	if (!other->seen || seq_diff(packet->ack, other->next_seq) <= 0 ||
	    seq_diff(packet->ack, other->next_seq) > BELIEVABLE_BYTES)
		return false;
	trouble = tcp_trouble_of(conn, dir);
	if (trouble->unseen_ack && seq_diff(packet->ack, trouble->unseen_ack) <= 0)
		return false;
	trouble->unseen_ack = packet->ack;
	return true;
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
		return TCP_SEG_RETRANSMIT | TCP_SEG_SPURIOUS;
	if (tcp_trouble(other)->dup_ack_run >= 2 && other->last_ack == packet->seq &&
	    since(packet->time_ns, tcp_trouble(other)->last_ack_ns) < FAST_RETRANSMIT_NS)
		return TCP_SEG_RETRANSMIT | TCP_SEG_FAST;
	if (!reorder_ns)
		reorder_ns = REORDER_DEFAULT_NS;
	if (fresh && dir->next_seq != end && since(packet->time_ns, dir->next_seq_ns) < reorder_ns)
		return TCP_SEG_OUT_OF_ORDER;
	return TCP_SEG_RETRANSMIT;
}

/*
 * Why it was sent again. What follows in the same episode, up to what had been sent when it began, has
 * its cause: a sender in recovery repairs hole after hole, one after a timeout goes back to the first.
 */
static unsigned judge_cause(struct tcp_conn *conn, struct tcp_dir *dir, const struct tcp_dir *other,
			    const struct packet *packet, unsigned bits)
{
	struct tcp_trouble *trouble;

	if (bits & TCP_SEG_SPURIOUS)
		return bits;
	trouble = tcp_trouble_of(conn, dir);	/* it will be counted there */
	if (trouble->recovery && other->ack_known && seq_diff(other->last_ack, trouble->recover_seq) >= 0)
		trouble->recovery = RECOVERY_NONE;
	if (bits & TCP_SEG_FAST)
		trouble->recovery = RECOVERY_ACKS;
	else if (since(packet->time_ns, dir->sent_ns) >= RETRANSMIT_TIMER_NS)
		trouble->recovery = RECOVERY_TIMER;
	else if (trouble->recovery)
		return bits | (trouble->recovery == RECOVERY_ACKS ? TCP_SEG_BY_ACKS : TCP_SEG_BY_TIMER);
	else if (tcp_trouble(other)->dup_ack_run || other->sacked)
		trouble->recovery = RECOVERY_ACKS;	/* RACK and early retransmit wait for no third one */
	else
		return bits;
	trouble->recover_seq = dir->next_seq;
	return bits | (trouble->recovery == RECOVERY_ACKS ? TCP_SEG_BY_ACKS : TCP_SEG_BY_TIMER);
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
		struct tcp_trouble *trouble = tcp_trouble_of(conn, dir);

		trouble->missing_bytes += (uint32_t)ahead;
		hole_insert(trouble, trouble->hole_count, dir->next_seq, packet->seq);
		if (conn->dir[!d].ack_known)
			holes_acked(trouble, conn->dir[!d].last_ack);
	} else if (ahead < 0 && end != begin) {
		fresh = seen_late(conn, dir, begin, end);
		bits |= judge_late(conn, d, packet, end, fresh > 0);
		if (bits & TCP_SEG_RETRANSMIT)
			bits = judge_cause(conn, dir, &conn->dir[!d], packet, bits);
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

static void count_trouble(struct tcp_trouble *trouble, const struct packet *packet, unsigned bits)
{
	uint32_t segments = packet->segments ? packet->segments : 1;

	if (bits & TCP_SEG_RETRANSMIT) {
		trouble->retransmits += segments;
		trouble->retransmit_bytes += packet->payload_len;
		if (bits & TCP_SEG_BY_ACKS)
			trouble->retransmits_by_acks += segments;
		else if (bits & TCP_SEG_BY_TIMER)
			trouble->retransmits_by_timer += segments;
		else if (bits & TCP_SEG_SPURIOUS)
			trouble->retransmits_spurious += segments;
	}
	if (bits & TCP_SEG_OUT_OF_ORDER)
		trouble->out_of_order += segments;
	if (bits & TCP_SEG_KEEPALIVE)
		trouble->keepalives++;
	if (bits & TCP_SEG_ZERO_WINDOW)
		trouble->zero_windows++;
	if (bits & TCP_SEG_WINDOW_FULL)
		trouble->window_fulls++;
	if (bits & TCP_SEG_WINDOW_PROBE)
		trouble->window_probes++;
	if (bits & TCP_SEG_GAP_BEFORE)
		trouble->gaps++;
	if (bits & TCP_SEG_UNSEEN_ACK)
		trouble->unseen_acks++;
	if (bits & TCP_SEG_DUP_ACK) {
		trouble->dup_acks++;
		trouble->dup_ack_run++;
	}
}

static void count(struct tcp_conn *conn, unsigned d, const struct packet *packet, unsigned bits)
{
	if (__builtin_expect(bits & ~(unsigned)TCP_SEG_NEW_DATA, 0))
		count_trouble(tcp_trouble_of(conn, &conn->dir[d]), packet, bits);
	if (bits & TCP_SEG_NEW_DATA) {
		if (!conn->first_payload_ns)
			conn->first_payload_ns = packet->time_ns;
		if (d == 1 && !conn->first_response_ns)
			conn->first_response_ns = packet->time_ns;
	}
}

/* What the next segments are compared with. */
static void remember(struct tcp_conn *conn, unsigned d, const struct packet *packet, unsigned bits)
{
	struct tcp_dir *dir = &conn->dir[d];

	if (packet->flags & TCP_ACK) {
		if (__builtin_expect(dir->trouble != NULL, 0)) {
			if (!dir->ack_known || packet->ack != dir->last_ack)
				dir->trouble->dup_ack_run = 0;
			dir->trouble->last_ack_ns = packet->time_ns;
		}
		dir->ack_known = true;
		dir->last_ack = packet->ack;
		dir->sacked = packet->sack_blocks;
	}
	dir->last_window = packet->window;
	/* RFC 7323 2.2: of a SYN it is never scaled */
	dir->window_bytes = packet->window;
	if (__builtin_expect(conn->scale_known && !(packet->flags & TCP_SYN), 1)) {
		dir->window_bytes <<= scale_of(conn, d);
		dir->window_samples++;
		dir->window_sum_bytes += dir->window_bytes;
	}
	dir->last_bits = (uint16_t)bits;
}

static void see_reset(struct tcp_conn *conn, unsigned d, const struct packet *packet)
{
	struct tcp_dir *dir = &conn->dir[d];
	const struct tcp_dir *other = &conn->dir[!d];
	unsigned had = conn->completeness;

	dir->resets++;
	conn->completeness |= 32;
	conn->closed_rst = true;
	if (had & 32)
		return;
	conn->reset_dir = (uint8_t)d;
	conn->reset_phase = had & 16  ? TCP_PHASE_CLOSING :
			    had & 8   ? TCP_PHASE_DATA :
			    had & 4   ? TCP_PHASE_IDLE :
			    had & 2   ? TCP_PHASE_HANDSHAKE :
			    !(had & 1) ? TCP_PHASE_STRAY :
			    other->isn_known ? TCP_PHASE_REFUSED : TCP_PHASE_HANDSHAKE;
	/*
	 * RFC 9293 3.10.7.1: a host without such a connection answers with the number it was
	 * acknowledged, and no ACK. One that aborts a connection it knows of sets ACK.
	 */
	conn->half_open = (had & (4 | 8)) && !(packet->flags & TCP_ACK) && !dir->fin_seen && other->ack_known &&
			  packet->seq == other->last_ack;
}

/* Data on its way: what was sent and is not acknowledged. */
static inline void see_flight(struct tcp_dir *dir, const struct tcp_dir *other, const struct packet *packet)
{
	dir->sent_ns = packet->time_ns;
	if (other->ack_known) {
		int32_t bytes = seq_diff(dir->next_seq, other->last_ack);

		if (bytes > 0 && (uint32_t)bytes > dir->in_flight_max_bytes && bytes < BELIEVABLE_BYTES)
			dir->in_flight_max_bytes = (uint32_t)bytes;
	}
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
			see_reset(conn, d, packet);
			return 0;
		}
		if (packet->flags & TCP_SYN)
			see_syn(conn, d, packet);
		if (packet->flags & TCP_FIN) {
			dir->fins += dir->fins < UINT16_MAX;
			conn->completeness |= 16;
		}
	}
	ahead = seq_diff(packet->seq, dir->next_seq);
	if (__builtin_expect(!dir->seen || ahead > BELIEVABLE_BYTES || ahead < -BELIEVABLE_BYTES, 0))
		direction_begins(dir, packet->seq, packet->time_ns);
	bits = judge_header(conn, dir, other, packet);
	if (packet->flags & TCP_ACK) {
		if (__builtin_expect(seq_diff(packet->ack, other->next_seq) > 0, 0) && !other->probing &&
		    acks_unseen(conn, dir, other, packet))
			bits |= TCP_SEG_UNSEEN_ACK;
		see_ack(conn, d, packet);
		rtt_acked(conn, other, packet);
	}
	if (__builtin_expect(bits & TCP_SEG_WINDOW_PROBE, 0)) {
		dir->probing |= packet->payload_len > 0;
	} else {
		bits = see_bytes(conn, d, packet, end, bits);
		if (bits & TCP_SEG_NEW_DATA)
			dir->probing = false;
		rtt_sent(conn, d, packet, bits, end);
	}
	if (end != packet->seq && !(bits & TCP_SEG_KEEPALIVE))
		see_flight(dir, other, packet);
	if (packet->payload_len && !(bits & TCP_SEG_KEEPALIVE))
		conn->completeness |= 8;
	if (__builtin_expect(packet->flags & TCP_FIN, 0) && !dir->fin_seen) {
		dir->fin_seen = true;
		dir->fin_end = end;
	}
	count(conn, d, packet, bits);
	remember(conn, d, packet, bits);
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

bool tcp_conn_half_closed(const struct tcp_conn *conn)
{
	return !conn->closed_rst && conn->dir[0].fin_seen != conn->dir[1].fin_seen;
}

uint32_t tcp_conn_tail_bytes(const struct tcp_conn *conn, unsigned d)
{
	const struct tcp_dir *dir = &conn->dir[d], *other = &conn->dir[!d];
	int32_t bytes = seq_diff(other->last_ack, dir->next_seq);

	if (!dir->seen || !other->ack_known || bytes <= 0 || bytes > BELIEVABLE_BYTES || dir->fin_seen)
		return 0;
	/* a FIN that was not captured takes a number too: one is no evidence of data */
	return bytes == 1 ? 0 : (uint32_t)bytes;
}

static void trouble_reported(struct tcp_trouble *trouble)
{
	trouble->retransmits = trouble->out_of_order = trouble->dup_acks = trouble->zero_windows = 0;
	trouble->keepalives = 0;
	trouble->retransmits_by_acks = trouble->retransmits_by_timer = trouble->retransmits_spurious = 0;
	trouble->window_fulls = trouble->window_probes = trouble->gaps = trouble->unseen_acks = 0;
	trouble->retransmit_bytes = trouble->missing_bytes = trouble->uncaptured_bytes = 0;
}

void tcp_conn_reported(struct tcp_conn *conn)
{
	unsigned d;

	for (d = 0; d < 2; d++) {
		struct tcp_dir *dir = &conn->dir[d];

		dir->resets = dir->fins = 0;
		dir->window_samples = dir->in_flight_max_bytes = 0;
		dir->window_sum_bytes = dir->goodput_bytes = 0;
		if (dir->trouble)
			trouble_reported(dir->trouble);
	}
	conn->rtt_samples = 0;
	conn->rtt_min_ns = conn->rtt_max_ns = conn->rtt_sum_ns = 0;
	conn->rtt_sum_squares = 0;
}
