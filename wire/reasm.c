/*
 * Segments into order, both directions of one TCP connection (RFC 9293 3.4).
 *
 * A segment waits for two things: the bytes before it, and the bytes of the
 * other direction it acknowledges. The second keeps requests and responses in
 * their true order when packets were lost by the capture: a response whose
 * request is stuck behind a hole must not be taken for somebody else's.
 *
 * A hole is given up when the receiver has acknowledged it (so nobody will send
 * those bytes again) and enough has come since that it cannot be mere disorder
 * of the capture; or when a budget is full.
 */
#include <assert.h>

#include "wire/stream_impl.h"

#define BEHIND_MAX	((uint32_t)64 << 20)	/* older than that is not a retransmission */
#define AHEAD_MAX	((uint32_t)1 << 30)	/* the largest window */
#define MIDWAY_MAX	((uint32_t)1 << 20)	/* bytes missed before the first segment of a direction */
#define WILD_MAX	16
#define SEGS_MAX	1024			/* of one direction */
#define LOST_SEGS	64
#define LOST_BYTES	((uint32_t)256 << 10)
#define LOST_NS		200000000ull
#define GUESSES_KNOWN	2	/* tries when the stream's first bytes are at hand */
#define GUESSES_MIDWAY	24	/* a message may start in any later segment */

/* Stream offset of seq, the one nearest to next_off; negative: before the start. */
static int64_t seq_to_off(const struct stream_dir *dir, uint32_t seq)
{
	uint32_t ahead = seq - (dir->seq0 + (uint32_t)dir->next_off);

	if (ahead > UINT32_MAX - BEHIND_MAX)
		return (int64_t)dir->next_off - (int64_t)(uint32_t)-ahead;
	return (int64_t)(dir->next_off + ahead);
}

static bool seen_by_sender(const struct stream *stream, unsigned d, uint64_t ack_off)
{
	const struct stream_dir *other = &stream->dir[!d];

	return ack_off == NO_ACK || !other->started || ack_off <= other->next_off;
}

static void check_fin(struct stream *stream, unsigned d, uint64_t now_ns)
{
	struct stream_dir *dir = &stream->dir[d];

	if (dir->fin && !dir->ended && dir->next_off >= dir->fin_off && stream->state != STREAM_DEAD) {
		dir->ended = true;
		stream_fin(stream, d, now_ns);
	}
}

static void lose(struct stream *stream, unsigned d, uint64_t len)
{
	if (stream->state == STREAM_DEAD)
		return;
	stream_gap(stream, d, len);
	check_fin(stream, d, stream->sink->now_ns);
}

/* len bytes at next_off, of which bytes were captured. */
static void deliver(struct stream *stream, unsigned d, struct view bytes, uint64_t len, uint64_t time_ns, uint64_t ack_off)
{
	struct stream_dir *dir = &stream->dir[d];

	if (ack_off != NO_ACK && ack_off >= dir->heard_off)
		dir->heard_off = ack_off + 1;
	if (bytes.len)
		stream_deliver(stream, d, bytes, time_ns);
	if (len > bytes.len && stream->state != STREAM_DEAD)
		stream_gap(stream, d, len - bytes.len);
	if (__builtin_expect(dir->fin, 0))
		check_fin(stream, d, time_ns);
}

static void deliver_head(struct stream *stream, unsigned d)
{
	struct stream_dir *dir = &stream->dir[d];
	struct seg *seg = dir->head;
	uint64_t skip = dir->skip_end > dir->next_off ? dir->skip_end - dir->next_off : 0;
	uint64_t pass = seg->drop < skip ? seg->drop : skip;

	assert(seg->off == dir->next_off);
	dir->head = seg->next;
	if (!dir->head)
		dir->tail = NULL;
	dir->seg_count--;
	dir->seg_bytes -= (uint32_t)seg->have;
	if (pass)
		stream_pass(stream, d, pass, seg->time_ns);
	if (seg->drop > pass && stream->state != STREAM_DEAD)
		stream_gap(stream, d, seg->drop - pass);	/* not stored, and now wanted: a revised guess */
	if (stream->state != STREAM_DEAD)
		deliver(stream, d, view_make(seg->bytes, seg->have), seg->len - seg->drop, seg->time_ns, seg->ack_off);
	stream_buf_give(stream->pool, seg);
}

static bool head_ready(const struct stream *stream, unsigned d)
{
	const struct stream_dir *dir = &stream->dir[d];

	return dir->head && dir->head->off == dir->next_off;
}

/* Deliver what is in order; the earlier one where both sides may go on, or wait for each other (late retransmissions). */
static void drain(struct stream *stream)
{
	for (;;) {
		bool there[2], seen[2];

		for (unsigned d = 0; d < 2; d++) {
			there[d] = head_ready(stream, d);
			seen[d] = there[d] && seen_by_sender(stream, d, stream->dir[d].head->ack_off);
		}
		if (seen[0] == seen[1] && there[0] && there[1])
			deliver_head(stream, stream->dir[1].head->time_ns < stream->dir[0].head->time_ns);
		else if (seen[0] || seen[1])
			deliver_head(stream, seen[1]);
		else
			return;
	}
}

/*
 * How far a hole of direction d may be given up at once: where the other side waits for bytes in it, up to there, also
 * when it has a hole of its own before that. So what it says next comes between the two losses, where it belongs.
 */
static uint64_t lose_up_to(const struct stream *stream, unsigned d, uint64_t to)
{
	const struct seg *other = stream->dir[!d].head;

	return other && other->ack_off > stream->dir[d].next_off && other->ack_off < to ? other->ack_off : to;
}

/* Give up one hole that the receiver has acknowledged and that will not fill any more. */
static bool give_up(struct stream *stream, uint64_t now_ns)
{
	unsigned segs = stream->dir[0].seg_count + stream->dir[1].seg_count;
	uint32_t bytes = stream->dir[0].seg_bytes + stream->dir[1].seg_bytes;

	for (unsigned d = 0; d < 2; d++) {
		struct stream_dir *dir = &stream->dir[d];
		uint64_t to = dir->acked_off;

		if (!dir->started || to <= dir->next_off || head_ready(stream, d))
			continue;
		if (dir->head && dir->head->off < to)
			to = dir->head->off;
		else if (!dir->head && to == dir->next_off + 1 && !head_ready(stream, !d))
			continue;	/* it may be a FIN, not captured, and nobody waits for it */
		if (segs >= LOST_SEGS || bytes >= LOST_BYTES ||
		    (dir->hole_ns && now_ns > dir->hole_ns + LOST_NS)) {
			dir->hole_ns = now_ns;
			lose(stream, d, lose_up_to(stream, d, to) - dir->next_off);
			return true;
		}
	}
	return false;
}

static void settle(struct stream *stream, uint64_t now_ns)
{
	do {
		drain(stream);
	} while (stream->state != STREAM_DEAD && give_up(stream, now_ns));
	for (unsigned d = 0; d < 2; d++) {
		struct stream_dir *dir = &stream->dir[d];

		if (!dir->started || dir->acked_off <= dir->next_off)
			dir->hole_ns = 0;
		else if (!dir->hole_ns)
			dir->hole_ns = now_ns;
	}
}

/* A budget of direction d is full: go on without what is missing. */
static void force(struct stream *stream, unsigned d)
{
	struct stream_dir *dir = &stream->dir[d];

	if (dir->head->off > dir->next_off)
		lose(stream, d, lose_up_to(stream, d, dir->head->off) - dir->next_off);
	else
		deliver_head(stream, d);
	if (stream->state != STREAM_DEAD)
		drain(stream);
}

/* bytes at off against those kept of [from, from + kept.len). */
static void count_conflict(struct stream *stream, uint64_t from, struct view kept, uint64_t off, struct view bytes)
{
	uint64_t to = from + kept.len;

	if (off < from) {
		uint64_t cut = from - off;

		bytes = view_sub(bytes, cut, bytes.len);
		off = from;
	}
	if (off >= to || !bytes.len)
		return;
	if (bytes.len > to - off)
		bytes.len = to - off;
	if (memcmp(kept.at + (off - from), bytes.at, bytes.len) != 0) {
		stream->pool->stats.conflicts++;
		stream->counts.conflicts++;
	}
}

/* bytes: what is captured of the len bytes at off. */
static struct seg *seg_new(struct stream *stream, unsigned d, uint64_t off, struct view bytes, uint64_t len)
{
	struct stream_dir *dir = &stream->dir[d];
	uint64_t drop = dir->skip_end > off ? dir->skip_end - off : 0;
	struct seg *seg;

	if (drop > bytes.len)
		drop = bytes.len;
	seg = stream_buf_take(stream, sizeof(*seg) + bytes.len - drop);
	if (!seg)
		return NULL;
	seg->off = off;
	seg->len = len;
	seg->drop = drop;
	seg->have = bytes.len - drop;
	if (seg->have)
		memcpy(seg->bytes, bytes.at + drop, seg->have);
	dir->seg_count++;
	dir->seg_bytes += (uint32_t)seg->have;
	return seg;
}

/* A run of bytes nobody wants to see needs one segment, however long it is. */
static bool grow_run(const struct stream_dir *dir, struct seg *prev, uint64_t off, struct view bytes,
		     uint64_t len)
{
	if (!prev || prev->have || prev->drop != prev->len || prev->off + prev->len != off ||
	    bytes.len != len || off + len > dir->skip_end)
		return false;
	prev->len += len;
	prev->drop += len;
	return true;
}

static void insert(struct stream *stream, unsigned d, uint64_t off, struct view bytes, uint64_t len,
		   uint64_t time_ns, uint64_t ack_off)
{
	struct stream_dir *dir = &stream->dir[d];
	struct seg *prev = NULL;

	if (dir->tail && dir->tail->off <= off)
		prev = dir->tail->off + dir->tail->len <= off ? dir->tail : NULL;
	while (len) {
		struct seg *seg = prev ? prev->next : dir->head;
		uint64_t n = len;

		if (seg && seg->off + seg->len <= off) {
			prev = seg;
			continue;
		}
		if (seg && seg->off <= off) {
			uint64_t left = seg->off + seg->len - off;

			n = n < left ? n : left;
			count_conflict(stream, seg->off + seg->drop, view_make(seg->bytes, seg->have), off,
				       view_sub(bytes, 0, n));	/* first copy wins */
		} else {
			struct seg *piece;

			if (seg && n > seg->off - off)
				n = seg->off - off;
			if (grow_run(dir, prev, off, view_sub(bytes, 0, n), n)) {
				piece = prev;
			} else {
				piece = seg_new(stream, d, off, view_sub(bytes, 0, n), n);
				if (!piece)
					return;		/* as if it had not been captured */
				piece->next = seg;
				*(prev ? &prev->next : &dir->head) = piece;
				if (!seg)
					dir->tail = piece;
			}
			piece->time_ns = time_ns;
			piece->ack_off = ack_off;
			prev = piece;
		}
		bytes = view_sub(bytes, n, bytes.len);
		off += n;
		len -= n;
	}
}

static bool over_budget(const struct stream *stream, const struct stream_dir *dir, size_t more)
{
	return dir->seg_count >= SEGS_MAX || dir->seg_bytes + more > stream->pool->flow_bytes_max;
}

static void place(struct stream *stream, unsigned d, uint64_t off, struct view bytes, uint64_t len,
		  uint64_t time_ns, uint64_t ack_off)
{
	struct stream_dir *dir = &stream->dir[d];

	for (;;) {
		if (off < dir->next_off) {
			uint64_t old = dir->next_off - off;

			if (dir->hold)
				count_conflict(stream, dir->next_off - dir->hold->len, hold_view(dir), off, view_sub(bytes, 0, old));
			if (old >= len)
				return;
			bytes = view_sub(bytes, old, bytes.len);
			len -= old;
			off = dir->next_off;
		}
		if (!dir->head && off == dir->next_off && seen_by_sender(stream, d, ack_off)) {
			deliver(stream, d, bytes, len, time_ns, ack_off);
			return;
		}
		if (!over_budget(stream, dir, bytes.len))
			break;
		stream_budget_hit(stream);
		if (dir->head) {
			force(stream, d);
		} else {
			if (off > dir->next_off)
				lose(stream, d, off - dir->next_off);
			ack_off = NO_ACK;
		}
		if (stream->state == STREAM_DEAD)
			return;
	}
	insert(stream, d, off, bytes, len, time_ns, ack_off);
}

static void start(struct stream_dir *dir, uint32_t seq0, bool syn)
{
	dir->seq0 = seq0;
	dir->started = true;
	dir->syn = syn;
	dir->guesses = syn ? GUESSES_KNOWN : GUESSES_MIDWAY;
}

/* Of direction d, by a packet of the other one. Returns the offset acknowledged, or NO_ACK. */
static uint64_t note_ack(struct stream_dir *dir, uint32_t ack, uint64_t now_ns)
{
	int64_t off;

	if (!dir->acked)
		dir->first_acked_seq = ack;
	dir->acked = true;
	dir->acked_seq = ack;
	if (!dir->started)
		return NO_ACK;
	off = seq_to_off(dir, ack);
	if (off < 0 || (uint64_t)off > dir->next_off + AHEAD_MAX)
		return NO_ACK;
	if (dir->fin && (uint64_t)off > dir->fin_off)
		off = (int64_t)dir->fin_off;	/* the FIN itself */
	if ((uint64_t)off > dir->acked_off)
		dir->acked_off = (uint64_t)off;
	if (__builtin_expect((uint64_t)off > dir->next_off, 0) && !dir->hole_ns)
		dir->hole_ns = now_ns;
	return (uint64_t)off;
}

/*
 * Seen from the middle, with seq. What the other side acknowledged in its first segment it had before the capture
 * began, and the bytes from there on have not been seen: an answer among them must not be taken for the next one.
 */
static void start_midway(struct stream *stream, unsigned d, uint32_t seq, uint64_t now_ns)
{
	struct stream_dir *dir = &stream->dir[d];
	uint32_t from = dir->acked ? dir->first_acked_seq : seq;

	if (seq - from > MIDWAY_MAX && from - seq > MIDWAY_MAX)
		from = seq;
	start(dir, from, false);
	if (dir->acked)
		(void)note_ack(dir, dir->acked_seq, now_ns);
}

/* Far outside the window: somebody's nonsense, unless it goes on like that (the capture lost more than a GiB). */
static bool wild(struct stream_dir *dir, int64_t off)
{
	if (off <= (int64_t)(dir->next_off + AHEAD_MAX)) {
		dir->wild = 0;
		return false;
	}
	if (dir->wild < WILD_MAX)
		dir->wild++;
	return dir->wild < WILD_MAX;
}

static bool waiting(const struct stream *stream)
{
	return stream->dir[0].head || stream->dir[1].head || stream->dir[0].hole_ns || stream->dir[1].hole_ns;
}

static void data(struct stream *stream, unsigned d, const struct packet *packet, uint32_t seq, uint64_t ack_off)
{
	struct stream_dir *dir = &stream->dir[d];
	struct view bytes = packet->payload;
	uint64_t len = packet->payload_len > bytes.len ? packet->payload_len : bytes.len;
	int64_t off;

	if (!dir->started) {
		if (dir->acked && len == 1 && seq + 1 == dir->acked_seq)
			return;		/* keep-alive: a byte of before */
		start_midway(stream, d, seq, packet->time_ns);
	}
	off = seq_to_off(dir, seq);
	if (wild(dir, off))
		return;
	if (packet->flags & TCP_FIN && !dir->fin && off + (int64_t)len >= (int64_t)dir->next_off) {
		dir->fin = true;
		dir->fin_off = (uint64_t)(off + (int64_t)len);
	}
	if (off < 0) {
		if ((int64_t)len <= -off)
			return;
		bytes = view_sub(bytes, (size_t)-off, bytes.len);
		len -= (uint64_t)-off;
		off = 0;
	}
	if (dir->fin && (uint64_t)off + len > dir->fin_off)
		len = dir->fin_off > (uint64_t)off ? dir->fin_off - (uint64_t)off : 0;
	if (len)
		place(stream, d, (uint64_t)off, view_sub(bytes, 0, len), len, packet->time_ns, ack_off);
	if (__builtin_expect(dir->fin, 0))
		check_fin(stream, d, packet->time_ns);
}

void reasm_packet(struct stream *stream, unsigned d, const struct packet *packet)
{
	struct stream_dir *dir = &stream->dir[d];
	uint64_t ack_off = NO_ACK;
	uint32_t seq = packet->seq;

	if (packet->flags & TCP_SYN) {
		seq++;
		if (!dir->started || (dir->seq0 != seq && !dir->next_off && !dir->head))
			start(dir, seq, true);
	}
	if (packet->flags & TCP_ACK)
		ack_off = note_ack(&stream->dir[!d], packet->ack, packet->time_ns);
	if (!(packet->flags & TCP_RST) && (packet->payload_len || packet->payload.len || packet->flags & TCP_FIN))
		data(stream, d, packet, seq, ack_off);
	if (stream->state != STREAM_DEAD && __builtin_expect(waiting(stream), 0))
		settle(stream, packet->time_ns);
}

void reasm_tick(struct stream *stream, uint64_t now_ns)
{
	if (stream->state != STREAM_DEAD && waiting(stream))
		settle(stream, now_ns);
}

void reasm_flush(struct stream *stream)
{
	while (stream->state != STREAM_DEAD && (stream->dir[0].head || stream->dir[1].head)) {
		unsigned d = !stream->dir[0].head;

		if (stream->dir[0].head && stream->dir[1].head)
			d = stream->dir[1].head->time_ns < stream->dir[0].head->time_ns;
		force(stream, d);
	}
	for (unsigned d = 0; d < 2; d++) {
		struct stream_dir *dir = &stream->dir[d];

		if (stream->state != STREAM_DEAD && dir->started && dir->acked_off > dir->next_off + 1)
			lose(stream, d, dir->acked_off - dir->next_off);
	}
}

void reasm_drop(struct stream *stream)
{
	for (unsigned d = 0; d < 2; d++) {
		struct stream_dir *dir = &stream->dir[d];

		while (dir->head) {
			struct seg *seg = dir->head;

			dir->head = seg->next;
			stream_buf_give(stream->pool, seg);
		}
		dir->tail = NULL;
		dir->seg_count = 0;
		dir->seg_bytes = 0;
	}
}
