/* Bytes in order to the dissector: guessing, holding, skipping, gaps. wire/reasm.c brings them into order. */
#include "wire/stream.h"

#include <assert.h>

#include "wire/stream_impl.h"

#define HOLD_BYTES_DEFAULT	((size_t)64 << 10)
#define GUESS_BYTES_MAX		4096	/* no protocol may ask for more to be recognised */
#define ONEWAY_BYTES_MAX	((uint64_t)1 << 20)	/* so much without an answer: the answer will tell nothing */
#define DATAGRAM_GUESSES	4
#define SWITCH_GUESSES		4	/* segments of a direction, after a hand-over to whoever knows it */
#define SWITCHES_MAX		8	/* a chain of hand-overs beyond it is somebody's joke */
#define PROTO_IP_TCP		6
#define PROTO_IP_SCTP		132

/* ---- the life of a dissector ---- */

static void note_drop(struct stream *stream)
{
	stream->hint.note = view_make("", 0);
	stream_buf_give(stream->pool, stream->note);
	stream->note = NULL;
}

/* No dissector from here on: the rest of the flow costs nothing. */
static void go_dead(struct stream *stream)
{
	stream->state = STREAM_DEAD;
	reasm_drop(stream);
	sctp_reasm_drop(stream);
	for (unsigned d = 0; d < 2; d++)
		hold_drop(stream, &stream->dir[d]);
	note_drop(stream);
}

static void conn_close(struct stream *stream, uint8_t reason)
{
	if (!stream->ops)
		return;
	stream->ops->close(stream->conn, reason, stream->sink);
	stream_buf_give(stream->pool, stream->conn);
	stream->conn = NULL;
}

static unsigned proto_index(const struct proto_ops *ops)
{
	unsigned i = 0;

	while (protos[i] != ops)
		i++;
	return i;
}

static bool conn_open(struct stream *stream, const struct proto_ops *ops)
{
	stream->conn = stream_buf_take(stream, ops->conn_size);
	if (!stream->conn)
		return false;
	memset(stream->conn, 0, ops->conn_size);
	for (unsigned d = 0; d < 2; d++)
		stream->dir[d].midway = stream->dir[d].next_off > hold_view(&stream->dir[d]).len;
	stream->ops = ops;
	stream->state = STREAM_DISSECTING;
	return true;
}

/* Nobody dissects it: the flow stays as it is. True: so it is. */
static bool switched_off(struct stream *stream, const struct proto_ops *ops)
{
	if (!ops || call_wanted(stream->sink, ops->id))
		return false;
	stream->pool->stats.switched_off++;
	go_dead(stream);
	return true;
}

/* Ask every candidate for the best one. *ret_more: with more bytes there may be a better one. */
static const struct proto_ops *guess(struct stream *stream, unsigned d, struct view bytes, bool *ret_more)
{
	const struct proto_ops *maybe = NULL;

	*ret_more = false;
	stream->hint.dir = d;
	for (unsigned i = 0; protos[i]; i++) {
		if (i < 64 && stream->tried >> i & 1)
			continue;
		switch (protos[i]->guess(bytes, &stream->hint)) {
		case GUESS_YES:
			*ret_more = false;
			return protos[i];
		case GUESS_MAYBE:
			if (!maybe)
				maybe = protos[i];
			break;
		case GUESS_MORE:
			*ret_more = true;
			break;
		case GUESS_NO:
			break;
		}
	}
	return maybe;
}

static void feed(struct stream *stream, unsigned d, struct view bytes, bool held, uint64_t time_ns, bool end);

static void feed_held(struct stream *stream, unsigned d, uint64_t time_ns)
{
	const struct stream_dir *dir = &stream->dir[d];

	if (stream->state == STREAM_DISSECTING && (dir->hold || dir->ended))
		feed(stream, d, hold_view(dir), dir->hold, time_ns, dir->ended);
}

/* Answers were given up while nobody knew them for such: those who wait for them must not be given the next ones. */
static void tell_blank(struct stream *stream, unsigned d)
{
	const struct proto_ops *ops = stream->ops;
	struct stream_dir *dir = &stream->dir[d];

	dir->blank_ns = 0;
	if (stream->state != STREAM_DISSECTING || ops->gap(stream->conn, d, dir->next_off, 1, stream->sink) >= 0)
		return;
	conn_close(stream, CALL_END_gap);
	if (!conn_open(stream, ops))
		go_dead(stream);
}

/* What was held, taken out of the directions to come again; done[d]: marks passed. */
struct again {
	struct hold *hold[2];
	unsigned done[2];
};

static uint64_t again_ns(const struct again *again, unsigned d)
{
	return again->hold[d] ? again->hold[d]->times.mark[again->done[d]].time_ns : UINT64_MAX;
}

/* Bytes of direction d that arrived at one time, the first of them at from_off. */
static struct view again_take(struct again *again, unsigned d, uint64_t from_off)
{
	struct hold *hold = again->hold[d];
	struct view bytes = view_make(hold->bytes + hold->start, hold->len);

	if (++again->done[d] < hold->times.count)
		bytes.len = (size_t)(hold->times.mark[again->done[d]].off - from_off);
	hold->start += bytes.len;
	hold->len -= bytes.len;
	if (!hold->len)
		again->hold[d] = NULL;
	return bytes;
}

/* All bytes of direction d that came before the other side's next ones. */
static void feed_again(struct stream *stream, unsigned d, struct again *again)
{
	struct stream_dir *dir = &stream->dir[d];
	uint64_t until_ns = again_ns(again, !d), now_ns;

	do {
		struct view bytes;

		now_ns = again_ns(again, d);
		bytes = again_take(again, d, dir->next_off);
		if (stream->state == STREAM_DISSECTING && dir->next_off >= dir->skip_end &&
		    hold_put(stream, dir, dir->next_off, bytes, now_ns))
			dir->next_off += bytes.len;
		else if (stream->state != STREAM_DEAD)
			stream_deliver(stream, d, bytes, now_ns);
	} while (again->hold[d] && again_ns(again, d) <= until_ns);
	if (stream->state == STREAM_DISSECTING && dir->hold)
		feed(stream, d, hold_view(dir), true, now_ns, false);
}

/*
 * The protocol is known: what was held while it was not comes again, in the order it came in. Fed one direction after
 * the other, answers would go to other requests than theirs.
 */
static void feed_both(struct stream *stream, uint64_t time_ns)
{
	struct again again = { .done = { 0, 0 } };
	void *blocks[2] = { stream->dir[0].hold, stream->dir[1].hold };

	for (unsigned d = 0; d < 2; d++) {
		again.hold[d] = stream->dir[d].hold;
		stream->dir[d].hold = NULL;
		if (again.hold[d])
			stream->dir[d].next_off -= again.hold[d]->len;
	}
	while (again.hold[0] || again.hold[1]) {
		unsigned d = again_ns(&again, 1) < again_ns(&again, 0);

		for (unsigned i = 0; i < 2; i++)
			if (stream->dir[i].blank_ns && stream->dir[i].blank_ns < again_ns(&again, d))
				tell_blank(stream, i);
		feed_again(stream, d, &again);
	}
	for (unsigned d = 0; d < 2; d++) {
		stream_buf_give(stream->pool, blocks[d]);
		if (stream->dir[d].blank_ns)
			tell_blank(stream, d);
		if (stream->dir[d].ended)
			feed_held(stream, d, time_ns);
	}
}

/*
 * Bytes of direction d are given up, nobody knows them. What the other side holds may be asking for just these: of a
 * flow seen from the middle it is given up too, as if the capture had begun here; of another the dissector will be told.
 */
static void forget(struct stream *stream, unsigned d, uint64_t now_ns)
{
	struct stream_dir *other = &stream->dir[!d];

	if (other->hold && other->syn)
		stream->dir[d].blank_ns = now_ns;
	else
		hold_drop(stream, other);
}

/*
 * ops is who speaks in direction d. What the other side had said before, seen from the middle, is the end of something
 * unless it looks like a message: in front of the first answer it would hide that, and each answer go to another request.
 */
static void drop_remains(struct stream *stream, unsigned d, const struct proto_ops *ops)
{
	struct stream_dir *other = &stream->dir[!d];
	const struct hold *hold = stream->dir[d].hold, *before = other->hold;
	enum guess looks;

	if (!hold || !before || other->syn || stream->switches ||
	    before->times.mark[before->times.count - 1].time_ns >= hold->times.mark[0].time_ns)
		return;
	stream->hint.dir = !d;
	looks = ops->guess(hold_view(other), &stream->hint);
	if (looks == GUESS_NO || looks == GUESS_MORE)
		hold_drop(stream, other);
}

/* What was held is nobody's. After so many tries nobody is asked any more. */
static void guess_failed(struct stream *stream, unsigned d)
{
	struct stream_dir *dir = &stream->dir[d], *other = &stream->dir[!d];

	forget(stream, d, stream->sink->now_ns);
	hold_drop(stream, dir);
	if (dir->guesses)
		dir->guesses--;
	if (!dir->guesses && (!other->guesses || dir->next_off > ONEWAY_BYTES_MAX))
		go_dead(stream);
}

/* Bytes of a flow whose protocol is not known: all of them are in the hold, the last fresh ones are new. */
static void guess_stream(struct stream *stream, unsigned d, size_t fresh, uint64_t time_ns, bool end)
{
	struct stream_dir *dir = &stream->dir[d];
	struct view bytes = hold_view(dir);
	bool more;
	const struct proto_ops *ops = guess(stream, d, bytes, &more);

	if (more && bytes.len < GUESS_BYTES_MAX && !end)
		return;
	if (!ops && !dir->syn && fresh && fresh < bytes.len) {
		/* seen from the middle: what was held first was the end of something, the message begins here */
		hold_consume(stream, dir, bytes.len - fresh, dir->next_off - fresh);
		ops = guess(stream, d, hold_view(dir), &more);
		if (ops || more)
			forget(stream, d, time_ns);
		if (more && fresh < GUESS_BYTES_MAX && !end)
			return;
	}
	if (switched_off(stream, ops))
		return;
	if (ops) {
		drop_remains(stream, d, ops);
		if (conn_open(stream, ops))
			feed_both(stream, time_ns);
		else
			go_dead(stream);
		return;
	}
	guess_failed(stream, d);
}

/*
 * The bytes fed are not what they were taken for. Once, the other candidates are
 * asked about what is left; a second time nobody is.
 */
static void wrong_guess(struct stream *stream, unsigned d, struct view bytes, uint64_t off, bool held,
			uint64_t time_ns)
{
	unsigned index = proto_index(stream->ops);
	struct stream_dir *dir = &stream->dir[d];

	stream->pool->stats.wrong_guesses++;
	conn_close(stream, CALL_END_closed);
	stream->ops = NULL;
	if (index < 64)
		stream->tried |= 1ull << index;
	stream->dir[0].skip_end = stream->dir[1].skip_end = 0;
	if (stream->revised || index >= 64) {
		go_dead(stream);
		return;
	}
	stream->revised = true;
	stream->state = STREAM_GUESSING;
	if (held) {
		if (dir->hold)
			hold_consume(stream, dir, dir->hold->len - bytes.len, off);
	} else if (bytes.len && !hold_put(stream, dir, off, bytes, time_ns)) {
		go_dead(stream);
		return;
	}
	dir->guesses = 1;
	if (dir->hold)
		guess_stream(stream, d, 0, time_ns, false);
}

/* What the dissector said of its successor's bytes. Without memory the successor goes without. */
static void note_keep(struct stream *stream)
{
	struct view note = call_take_note(stream->sink);

	note_drop(stream);
	if (!note.len)
		return;
	stream->note = stream_buf_take(stream, note.len);
	if (!stream->note)
		return;
	memcpy(stream->note, note.at, note.len);
	stream->hint.note = view_make(stream->note, note.len);
}

/*
 * Another protocol begins with bytes, which end at next_off of direction d; in
 * the other direction it begins with what is held there.
 */
static void hand_over(struct stream *stream, unsigned d, uint8_t l7, struct view bytes, bool held, uint64_t time_ns,
		      bool end)
{
	const struct proto_ops *next = l7 == L7_none ? NULL : proto_by_id(l7);
	struct stream_dir *dir = &stream->dir[d];
	uint64_t off = dir->next_off - bytes.len;
	bool kept = true;

	note_keep(stream);
	stream->hint.before = stream->ops->id;
	conn_close(stream, CALL_END_closed);
	stream->ops = NULL;
	stream->tried = 0;
	stream->revised = false;
	stream->state = STREAM_GUESSING;
	for (unsigned i = 0; i < 2; i++) {
		stream->dir[i].skip_end = stream->dir[i].skip_missing = 0;
		stream->dir[i].guesses = SWITCH_GUESSES;
		stream->dir[i].blank_ns = 0;
	}
	if (held)
		hold_consume(stream, dir, dir->hold->len - bytes.len, off);
	else if (bytes.len)
		kept = hold_put(stream, dir, off, bytes, time_ns);
	if (switched_off(stream, next))
		return;
	if (!kept || ++stream->switches > SWITCHES_MAX || (next && !conn_open(stream, next))) {
		go_dead(stream);
		return;
	}
	if (next) {
		feed_both(stream, time_ns);
		return;
	}
	if (dir->hold)
		guess_stream(stream, d, 0, time_ns, end);
	if (stream->state == STREAM_GUESSING && stream->dir[!d].hold)
		guess_stream(stream, !d, 0, time_ns, stream->dir[!d].ended);
}

static size_t hold_max(const struct stream *stream)
{
	size_t max = stream->ops->hold_bytes ? stream->ops->hold_bytes : HOLD_BYTES_DEFAULT;

	return max < stream->pool->flow_bytes_max ? max : stream->pool->flow_bytes_max;
}

/* What feed() left waits for more behind it; where there is no room for it, it is a gap. */
static void keep(struct stream *stream, unsigned d, struct view bytes, uint64_t off, bool held, uint64_t time_ns)
{
	struct stream_dir *dir = &stream->dir[d];

	if (held)
		hold_consume(stream, dir, dir->hold->len - bytes.len, off);
	if (!bytes.len)
		return;
	if (bytes.len < hold_max(stream) && (held || hold_put(stream, dir, off, bytes, time_ns)))
		return;
	hold_drop(stream, dir);
	stream_budget_hit(stream);
	stream->pool->stats.gaps++;
	stream->pool->stats.gap_bytes += bytes.len;
	if (stream->ops->gap(stream->conn, d, off, bytes.len, stream->sink) < 0) {
		conn_close(stream, CALL_END_gap);
		go_dead(stream);
	}
}

/* Show bytes, which end at next_off, to the dissector until it wants no more of them. held: they are the hold's. */
static void feed(struct stream *stream, unsigned d, struct view bytes, bool held, uint64_t time_ns, bool end)
{
	struct stream_dir *dir = &stream->dir[d];
	const struct chunk_times *times = held ? &dir->hold->times : NULL;
	struct chunk chunk = {
		.end = end, .has_seq = stream->hint.proto == PROTO_IP_TCP,
		.begun = stream->switches || (dir->syn && !dir->midway), .dir = (uint8_t)d, .seq = dir->seq0,
		.flow = &stream->hint, .times = times, .before_ns = dir->last_ns,
		.time_ns = times ? times->mark[times->count - 1].time_ns : time_ns,
		.has_heard = dir->heard_off, .heard_off = dir->heard_off ? dir->heard_off - 1 : 0,
	};

	for (;;) {
		int64_t rc;

		chunk.bytes = bytes;
		chunk.off = dir->next_off - bytes.len;
		chunk.missing = dir->skip_missing;
		dir->skip_missing = 0;
		rc = stream->ops->feed(stream->conn, d, &chunk, stream->sink);
		if (rc < 0) {
			wrong_guess(stream, d, bytes, chunk.off, held, time_ns);
			return;
		}
		if (rc <= PROTO_SKIP_BASE) {
			size_t n = rc == PROTO_SKIP_BASE ? 0 : (size_t)rc;

			assert(n <= bytes.len);
			bytes = view_sub(bytes, n, bytes.len);
			break;
		}
		if (rc >= PROTO_SWITCH_BASE) {
			size_t n = (size_t)(rc - PROTO_SWITCH_BASE) & (((size_t)1 << 40) - 1);
			uint8_t l7 = (uint8_t)((rc - PROTO_SWITCH_BASE) >> 40);

			assert(n <= bytes.len);
			dir->last_ns = chunk.time_ns;
			hand_over(stream, d, l7, view_sub(bytes, n, bytes.len), held, time_ns, end);
			return;
		}
		rc -= PROTO_SKIP_BASE;
		if ((uint64_t)rc > bytes.len) {
			dir->skip_end = chunk.off + (uint64_t)rc;
			bytes = view_sub(bytes, bytes.len, 0);
			break;
		}
		chunk.before_ns = chunk_time(&chunk, chunk.off + (uint64_t)rc - 1);
		bytes = view_sub(bytes, (size_t)rc, bytes.len);
	}
	if (held || bytes.len)
		keep(stream, d, bytes, dir->next_off - bytes.len, held, time_ns);
	dir->last_ns = chunk.time_ns;
}

/* ---- what reassembly calls ---- */

/* Bytes that somebody wants to see; next_off is behind them. */
static void show(struct stream *stream, unsigned d, struct view bytes, uint64_t time_ns)
{
	struct stream_dir *dir = &stream->dir[d];
	uint64_t off = dir->next_off - bytes.len;

	if (stream->state == STREAM_DISSECTING) {
		if (!dir->hold) {
			feed(stream, d, bytes, false, time_ns, false);
		} else if (hold_put(stream, dir, off, bytes, time_ns)) {
			feed(stream, d, hold_view(dir), true, time_ns, false);
		} else {
			dir->next_off -= bytes.len;	/* no memory: as if not captured */
			stream_gap(stream, d, bytes.len);
		}
	} else if (stream->state == STREAM_GUESSING) {
		if (!dir->guesses)
			guess_failed(stream, d);
		else if (hold_put(stream, dir, off, bytes, time_ns))
			guess_stream(stream, d, bytes.len, time_ns, false);
		else
			go_dead(stream);
	}
}

/* A skip has come to its end: the dissector may want to end a message with it. */
static void skip_done(struct stream *stream, unsigned d, uint64_t time_ns)
{
	if (stream->state == STREAM_DISSECTING)
		feed(stream, d, view_make("", 0), false, time_ns, false);
}

void stream_pass(struct stream *stream, unsigned d, uint64_t len, uint64_t time_ns)
{
	struct stream_dir *dir = &stream->dir[d];

	dir->next_off += len;
	dir->last_ns = time_ns;
	if (dir->next_off == dir->skip_end)
		skip_done(stream, d, time_ns);
}

void stream_deliver(struct stream *stream, unsigned d, struct view bytes, uint64_t time_ns)
{
	struct stream_dir *dir = &stream->dir[d];

	if (dir->next_off < dir->skip_end) {
		uint64_t skip = dir->skip_end - dir->next_off;

		if (bytes.len <= skip) {
			stream_pass(stream, d, bytes.len, time_ns);
			return;
		}
		dir->next_off += skip;
		dir->last_ns = time_ns;
		bytes = view_sub(bytes, (size_t)skip, bytes.len);
	}
	dir->next_off += bytes.len;
	show(stream, d, bytes, time_ns);
}

void stream_gap(struct stream *stream, unsigned d, uint64_t len)
{
	struct stream_dir *dir = &stream->dir[d];
	uint64_t off;

	if (stream->state == STREAM_DISSECTING) {
		stream->pool->stats.gaps++;
		stream->pool->stats.gap_bytes += len;
	}
	if (dir->next_off < dir->skip_end) {
		uint64_t skip = dir->skip_end - dir->next_off;

		if (skip > len)
			skip = len;
		dir->skip_missing += skip;
		len -= skip;
		stream_pass(stream, d, skip, dir->last_ns);
		if (!len || stream->state == STREAM_DEAD)
			return;
	}
	off = dir->next_off;
	dir->next_off += len;
	if (stream->state == STREAM_GUESSING) {
		guess_failed(stream, d);
	} else if (stream->state == STREAM_DISSECTING) {
		hold_drop(stream, dir);
		if (stream->ops->gap(stream->conn, d, off, len, stream->sink) < 0) {
			conn_close(stream, CALL_END_gap);
			go_dead(stream);
		}
	}
}

void stream_fin(struct stream *stream, unsigned d, uint64_t time_ns)
{
	struct stream_dir *dir = &stream->dir[d];

	if (dir->skip_end > dir->next_off)
		dir->skip_end = dir->next_off;
	if (stream->state == STREAM_GUESSING && dir->hold)
		guess_stream(stream, d, 0, time_ns, true);	/* feeds the end too */
	else
		feed_held(stream, d, time_ns);
}

/* ---- the outside ---- */

struct stream *stream_new(struct stream_pool *pool, struct call_sink *sink, uint8_t proto,
			  uint16_t src_port, uint16_t dst_port)
{
	struct stream *stream = stream_take(pool);

	if (!stream)
		return NULL;
	stream->sink = sink;
	(void)call_take_note(sink);	/* of a flow that was at this place before */
	stream->hint = (struct guess_hint){ .proto = proto, .src_port = src_port, .dst_port = dst_port };
	for (unsigned d = 0; d < 2; d++)
		stream->dir[d].guesses = DATAGRAM_GUESSES;	/* TCP: set when the direction starts */
	if (pool->dissect_off || !stream_knows(proto))
		stream->state = STREAM_DEAD;
	if (stream->state != STREAM_DEAD && proto == PROTO_IP_SCTP && !sctp_reasm_begin(stream))
		stream->state = STREAM_DEAD;
	return stream;
}

/* No more bytes will tell: those whom what there is suffices for are asked. */
static void guess_last(struct stream *stream)
{
	for (unsigned d = 0; d < 2; d++)
		if (stream->state == STREAM_GUESSING && stream->dir[d].hold)
			guess_stream(stream, d, 0, stream->dir[d].last_ns, true);
}

/* Where the dissector skips, it has not seen how far the direction came. */
static void tell_progress(struct stream *stream)
{
	for (unsigned d = 0; d < 2; d++) {
		struct stream_dir *dir = &stream->dir[d];

		if (stream->state == STREAM_DISSECTING && dir->skip_end > dir->next_off) {
			dir->skip_end = 0;
			feed(stream, d, view_make("", 0), false, dir->last_ns, false);
		}
	}
}

void stream_free(struct stream *stream, uint8_t reason)
{
	if (!stream)
		return;
	if (stream->state != STREAM_DEAD) {
		reasm_flush(stream);
		sctp_reasm_flush(stream);
		guess_last(stream);
		tell_progress(stream);
		if (stream->state == STREAM_DISSECTING)
			conn_close(stream, reason);
		go_dead(stream);
	}
	stream_give(stream);
}

/* A chunk that is a message of its own. */
static void feed_message(struct stream *stream, unsigned d, struct chunk *chunk)
{
	struct stream_dir *dir = &stream->dir[d];
	int64_t rc;

	chunk->off = dir->next_off;
	chunk->datagram = true;
	chunk->dir = (uint8_t)d;
	chunk->flow = &stream->hint;
	chunk->before_ns = dir->last_ns;
	dir->next_off += chunk->bytes.len;
	dir->last_ns = chunk->time_ns;
	for (;;) {
		if (stream->state == STREAM_GUESSING) {
			bool more;
			const struct proto_ops *ops = guess(stream, d, chunk->bytes, &more);

			if (switched_off(stream, ops))
				return;
			if (!ops || !conn_open(stream, ops)) {
				if (dir->guesses && !--dir->guesses)
					go_dead(stream);
				return;
			}
		}
		rc = stream->ops->feed(stream->conn, d, chunk, stream->sink);
		if (rc >= 0)
			return;
		stream->pool->stats.wrong_guesses++;
		stream->tried |= 1ull << proto_index(stream->ops) % 64;
		conn_close(stream, CALL_END_closed);
		stream->ops = NULL;
		if (stream->revised) {
			go_dead(stream);
			return;
		}
		stream->revised = true;
		stream->state = STREAM_GUESSING;
	}
}

static void datagram(struct stream *stream, unsigned d, const struct packet *packet)
{
	struct chunk chunk = { .bytes = packet->payload, .time_ns = packet->time_ns };

	if (packet->payload_len > packet->payload.len)
		chunk.missing = packet->payload_len - packet->payload.len;
	else if (packet->fragment)
		chunk.missing = 1;	/* how much more there is stands in the last fragment */
	feed_message(stream, d, &chunk);
}

/* The TSN of its first piece stands for a message as a sequence number does: the bytes are found by it. */
void stream_message(struct stream *stream, unsigned d, const struct message *message)
{
	uint64_t off = stream->dir[d].next_off;
	struct chunk_times times = { .count = message->last_off ? 2 : 1,
				     .mark = { { off, message->first_ns }, { off + message->last_off, message->time_ns } } };
	struct chunk chunk = { .bytes = message->bytes, .missing = message->missing, .time_ns = message->time_ns,
			       .times = &times, .has_seq = true, .seq = message->tsn - (uint32_t)off };

	stream->hint.ppid = message->ppid;
	feed_message(stream, d, &chunk);
}

void stream_message_lost(struct stream *stream, unsigned d)
{
	stream->pool->stats.gaps++;
	if (stream->state != STREAM_DISSECTING ||
	    stream->ops->gap(stream->conn, d, stream->dir[d].next_off, 1, stream->sink) >= 0)
		return;
	conn_close(stream, CALL_END_gap);
	go_dead(stream);
}

void stream_packet(struct stream *stream, unsigned dir, const struct packet *packet)
{
	if (packet->time_ns > stream->sink->now_ns)
		stream->sink->now_ns = packet->time_ns;
	if (stream->state == STREAM_DEAD)
		return;
	if (stream->hint.proto == PROTO_IP_TCP) {
		if (packet->has_tcp)
			reasm_packet(stream, dir, packet);
	} else if (stream->hint.proto == PROTO_IP_SCTP) {
		sctp_reasm_packet(stream, dir, packet);
	} else if (packet->payload.len && (!packet->fragment || packet->has_ports)) {
		datagram(stream, dir, packet);
	}
}

void stream_tick(struct stream *stream, uint64_t now_ns)
{
	if (now_ns > stream->sink->now_ns)
		stream->sink->now_ns = now_ns;
	if (stream->state == STREAM_DEAD)
		return;
	if (stream->hint.proto == PROTO_IP_TCP)
		reasm_tick(stream, now_ns);
	else if (stream->sctp)
		sctp_reasm_tick(stream, now_ns);
	if (stream->state == STREAM_DISSECTING && stream->ops->tick)
		stream->ops->tick(stream->conn, now_ns, stream->sink);
}

uint8_t stream_l7(const struct stream *stream)
{
	return stream->ops ? stream->ops->id : stream->hint.before;
}

struct stream_counts stream_take_counts(struct stream *stream)
{
	struct stream_counts counts = stream->counts;

	stream->counts = (struct stream_counts){ 0, 0 };
	return counts;
}

uint32_t stream_seq(const struct stream *stream, unsigned dir, uint64_t off)
{
	return stream->dir[dir].seq0 + (uint32_t)off;
}
