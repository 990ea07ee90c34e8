/*
 * HTTP/2: RFC 9113 (frames, streams), RFC 7541 (header compression), and gRPC and
 * gRPC-Web over it.
 *
 * A call is a stream, found by its number: many are open at a time, and their
 * frames lie between each other. Payload of DATA is skipped unseen, but for what
 * h2_body.c reads of it. What a hole swallowed may have changed the
 * header tables, so after one they are unknown (hpack.h), and frames are looked
 * for again.
 */
#include "base/rd.h"
#include "wire/h2_conn.h"
#include "wire/h2_show.h"

#define HOLD_BYTES	((size_t)64 << 10)
#define SHOW_MAX	((size_t)60 << 10)	/* of a frame with header fields */
#define DEBUG_MAX	200	/* of GOAWAY */
#define GARBAGE_MAX	((uint32_t)4 << 20)
#define ID_STEP_MAX	20000	/* streams between two that were seen, after a loss */

enum step { STEP_ON, STEP_WAIT, STEP_SKIP, STEP_REST, STEP_WRONG };

static uint64_t here(const struct h2_feed *f)
{
	return f->chunk->off + f->pos;
}

static struct view ahead(const struct h2_feed *f)
{
	return view_sub(f->chunk->bytes, f->pos, f->chunk->bytes.len);
}

/* Where the next frame begins is not known any more. */
static void lose(struct h2_conn *conn, unsigned d, uint64_t len, struct call_sink *sink)
{
	struct h2_dir *dir = &conn->dir[d];

	dir->state = H2_LOST;
	dir->garbage = 0;
	dir->call = NULL;
	hpack_lose(&dir->hpack);
	h2_block_drop(conn, dir, sink);
	h2_doubt(conn, d, len, sink);
}

static enum step not_a_frame(struct h2_feed *f)
{
	if (!f->conn->sure)
		return STEP_WRONG;
	lose(f->conn, f->d, 0, f->sink);
	return STEP_ON;
}

/* ---- frames ---- */

static enum step begin_data(struct h2_feed *f)
{
	struct h2_dir *dir = f->dir;
	struct view bytes = ahead(f);
	uint64_t off = here(f);
	uint32_t pad = 0;

	dir->data_pos = off + H2_HEAD_BYTES;
	if (dir->frame.flags & H2_PADDED) {
		if (bytes.len <= H2_HEAD_BYTES)
			return STEP_WAIT;
		pad = bytes.at[H2_HEAD_BYTES];
		dir->data_pos++;
		if (pad >= dir->frame.len)
			return not_a_frame(f);
	}
	f->pos += (size_t)(dir->data_pos - off);
	dir->frame_end = off + H2_HEAD_BYTES + dir->frame.len;
	dir->data_end = dir->frame_end - pad;
	dir->state = H2_IN_DATA;
	h2_data_begin(f, off);
	return STEP_ON;
}

/* HEADERS, PUSH_PROMISE, CONTINUATION: seen whole, up to a limit. */
static enum step take_fields(struct h2_feed *f)
{
	struct h2_dir *dir = f->dir;
	const struct h2_frame *frame = &dir->frame;
	struct h2_block *block = &dir->block;
	uint64_t off = here(f);
	size_t want = frame->len < SHOW_MAX ? frame->len : SHOW_MAX;
	struct view payload = view_sub(ahead(f), H2_HEAD_BYTES, want), fragment;
	uint32_t promised;

	if (payload.len < want)
		return STEP_WAIT;
	if (!h2_fragment(frame, payload, &fragment, &promised))
		return not_a_frame(f);
	if (frame->type == H2_CONTINUATION && (!block->open || block->stream != frame->stream)) {
		/* its beginning was lost, and with it what it does to the table */
		hpack_lose(&dir->hpack);
	} else {
		if (frame->type != H2_CONTINUATION) {
			if (block->open) {
				hpack_lose(&dir->hpack);
				h2_block_drop(f->conn, dir, f->sink);
			}
			h2_block_begin(f, frame->type == H2_PUSH_PROMISE ? promised : frame->stream, off);
		}
		if (want < frame->len) {
			hpack_lose(&dir->hpack);
			block->bad = true;
		}
		h2_block_piece(f, fragment, frame->flags & H2_END_HEADERS, off + H2_HEAD_BYTES + frame->len);
	}
	f->pos += H2_HEAD_BYTES + want;
	dir->frame_end = off + H2_HEAD_BYTES + frame->len;
	dir->state = H2_IN_SKIP;
	return STEP_ON;
}

/* Short frames of which the payload counts. */
static enum step take_short(struct h2_feed *f)
{
	struct h2_dir *dir = f->dir;
	const struct h2_frame *frame = &dir->frame;
	size_t want = frame->type == H2_RST_STREAM ? 4 : frame->len < 8 + DEBUG_MAX ? frame->len : 8 + DEBUG_MAX;
	struct view payload = view_sub(ahead(f), H2_HEAD_BYTES, want);
	struct rd rd = rd_make(payload);
	uint32_t first, code;

	if (payload.len < want)
		return STEP_WAIT;
	first = rd_u32be(&rd);
	if (frame->type == H2_RST_STREAM) {
		h2_reset(f, frame->stream, first);
	} else {
		code = rd_u32be(&rd);
		h2_goaway(f, first & 0x7fffffff, code, rd_rest(&rd));
	}
	dir->frame_end = here(f) + H2_HEAD_BYTES + frame->len;
	f->pos += H2_HEAD_BYTES + want;
	dir->state = H2_IN_SKIP;
	return STEP_ON;
}

/* The client's first bytes (RFC 9113 3.4). STEP_SKIP: there is no preface. */
static enum step take_preface(struct h2_feed *f)
{
	struct view bytes = ahead(f), preface = H2_PREFACE;
	size_t n = bytes.len < preface.len ? bytes.len : preface.len;

	if (memcmp(bytes.at, preface.at, n) != 0)
		return STEP_SKIP;
	if (n < preface.len)
		return STEP_WAIT;
	f->pos += preface.len;
	f->conn->roles = f->conn->sure = true;
	f->conn->client = (uint8_t)f->d;
	f->dir->hpack.known = true;
	f->dir->begun = true;
	return STEP_ON;
}

static enum step step_frame(struct h2_feed *f)
{
	struct h2_dir *dir = f->dir;
	struct view bytes = ahead(f);
	enum step step;

	if (!bytes.len)
		return STEP_WAIT;
	if (!dir->begun) {
		step = take_preface(f);
		if (step != STEP_SKIP)
			return step;
	}
	if (bytes.len < H2_HEAD_BYTES)
		return STEP_WAIT;
	dir->frame = h2_frame_read(bytes);
	if (!h2_frame_valid(&dir->frame, f->conn->sure))
		return not_a_frame(f);
	if (!dir->begun)	/* either side begins with SETTINGS: nothing went before it */
		dir->hpack.known = dir->frame.type == H2_SETTINGS && !(dir->frame.flags & H2_ACK);
	else
		f->conn->sure = true;	/* it ended where another begins */
	dir->begun = true;
	if (dir->block.open && dir->frame.type != H2_CONTINUATION)
		return not_a_frame(f);
	switch (dir->frame.type) {
	case H2_DATA:
		return begin_data(f);
	case H2_HEADERS:
	case H2_PUSH_PROMISE:
	case H2_CONTINUATION:
		return take_fields(f);
	case H2_RST_STREAM:
	case H2_GOAWAY:
		return take_short(f);
	default:
		dir->frame_end = here(f) + H2_HEAD_BYTES + dir->frame.len;
		f->pos += H2_HEAD_BYTES;
		dir->state = H2_IN_SKIP;
		return STEP_ON;
	}
}

/* Pass what is left of a frame. */
static enum step step_skip(struct h2_feed *f)
{
	uint64_t end = f->chunk->off + f->chunk->bytes.len;

	if (f->dir->frame_end > end) {
		f->pos = f->chunk->bytes.len;
		return STEP_SKIP;
	}
	f->pos = (size_t)(f->dir->frame_end - f->chunk->off);
	f->dir->state = H2_AT_FRAME;
	return STEP_ON;
}

static enum step step_data(struct h2_feed *f)
{
	struct h2_dir *dir = f->dir;
	uint64_t end = f->chunk->off + f->chunk->bytes.len;

	if (dir->frame_end <= end) {
		f->pos = (size_t)(dir->frame_end - f->chunk->off);
		dir->state = H2_AT_FRAME;
		h2_data_progress(f, dir->frame_end, true);
		return STEP_ON;
	}
	/* what is skipped is counted when it has passed, or when the flow ends in it */
	if (dir->call && (h2_body_blind(h2_stream_of(dir->call), h2_side(f)) != UINT64_MAX || !f->chunk->bytes.len ||
			  f->chunk->end))
		h2_data_progress(f, end, false);
	f->pos = f->chunk->bytes.len;
	return STEP_SKIP;
}

/* How far nothing needs to be shown. */
static uint64_t skip_to(const struct h2_feed *f)
{
	const struct h2_dir *dir = f->dir;
	uint64_t blind;

	if (dir->state != H2_IN_DATA || !dir->call)
		return dir->frame_end;
	blind = h2_body_blind(h2_stream_of(dir->call), h2_side(f));
	return blind >= dir->data_end - dir->data_pos ? dir->frame_end : dir->data_pos + blind;
}

/* ---- after a loss ---- */

static bool stream_likely(const struct h2_conn *conn, uint32_t id)
{
	uint32_t top = 0;

	for (unsigned i = 0; i < H2_BUCKETS; i++)
		if (conn->bucket[i] && conn->bucket[i]->tag % 2 && conn->bucket[i]->tag > top)
			top = (uint32_t)conn->bucket[i]->tag;
	if (conn->last_id > top)
		top = conn->last_id;
	return !top || id < top + ID_STEP_MAX;
}

/* -1: no frame here, 0: more bytes must tell, 1: two frames, one behind the other, or what is as good. */
static int frames_at(const struct h2_conn *conn, struct view bytes)
{
	struct h2_frame a, b;

	if (bytes.len < H2_HEAD_BYTES)
		return 0;
	a = h2_frame_read(bytes);
	if (!h2_frame_valid(&a, false) || a.len > H2_FRAME_USUAL || !stream_likely(conn, a.stream))
		return -1;
	if (bytes.len == H2_HEAD_BYTES + (size_t)a.len && h2_find(conn, a.stream))
		return 1;	/* of a stream that is open, and sent alone */
	if (bytes.len < 2 * H2_HEAD_BYTES + (size_t)a.len)
		return 0;
	b = h2_frame_read(view_sub(bytes, H2_HEAD_BYTES + a.len, H2_HEAD_BYTES));
	return h2_frame_valid(&b, false) && b.len <= H2_FRAME_USUAL && stream_likely(conn, b.stream) ? 1 : -1;
}

static enum step step_lost(struct h2_feed *f)
{
	struct view bytes = ahead(f);
	int rc = -1;
	size_t i = 0;

	/* the length's first byte is 0: no frame looked for is longer */
	while (i < bytes.len) {
		const uint8_t *zero = memchr(bytes.at + i, 0, bytes.len - i);

		i = zero ? (size_t)(zero - bytes.at) : bytes.len;
		rc = frames_at(f->conn, view_sub(bytes, i, bytes.len));
		if (rc >= 0)
			break;
		i++;
	}
	f->pos += i < bytes.len ? i : bytes.len;
	f->dir->garbage += (uint32_t)i;
	if (rc == 1) {
		f->dir->state = H2_AT_FRAME;
		return STEP_ON;
	}
	return f->dir->garbage > GARBAGE_MAX ? STEP_REST : STEP_WAIT;
}

/* ---- the whole ---- */

static enum step step(struct h2_feed *f)
{
	switch ((enum h2_state)f->dir->state) {
	case H2_AT_FRAME:
		return step_frame(f);
	case H2_IN_SKIP:
		return step_skip(f);
	case H2_IN_DATA:
		return step_data(f);
	case H2_LOST:
		break;
	}
	return step_lost(f);
}

static void start(struct h2_conn *conn, const struct guess_hint *flow)
{
	conn->upgraded = flow->before == L7_http;
	if (conn->upgraded) {
		conn->roles = conn->sure = true;
		conn->first_id = conn->last_id = 0;
	}
}

static int64_t h2_feed_bytes(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct h2_feed f = { .conn = at, .d = d, .chunk = chunk, .sink = sink };
	enum step rc;

	f.dir = &f.conn->dir[d];
	f.conn->dir[0].hpack.sink = f.conn->dir[1].hpack.sink = sink;
	if (!f.conn->dir[0].begun && !f.conn->dir[1].begun && !f.conn->upgraded)
		start(f.conn, chunk->flow);
	call_missing(f.dir->call, chunk->missing);
	do {
		rc = step(&f);
	} while (rc == STEP_ON);
	if (rc == STEP_WRONG)
		return E_FORMAT;
	if (chunk->end) {
		if (f.conn->sure && d != f.conn->client)
			h2_end_all(f.conn, CALL_END_closed, sink);
		return (int64_t)chunk->bytes.len;
	}
	if (rc == STEP_SKIP) {
		uint64_t to = skip_to(&f);

		return to > here(&f) ? PROTO_SKIP(to - chunk->off) : (int64_t)f.pos;
	}
	return rc == STEP_REST ? PROTO_SKIP_REST : (int64_t)f.pos;
}

static int h2_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct h2_conn *conn = at;
	struct h2_dir *dir = &conn->dir[d];

	if (dir->state == H2_IN_DATA && dir->call && !h2_stream_of(dir->call)->kind && off + len <= dir->frame_end) {
		call_missing(dir->call, len);	/* no frame head is in it: h2_body_read() finds out what it cost */
		return 0;
	}
	dir->hpack.sink = sink;
	dir->begun = true;
	lose(conn, d, len, sink);
	return 0;
}

static void h2_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct h2_conn *conn = at;

	h2_end_all(conn, reason, sink);
	for (unsigned d = 0; d < 2; d++)
		hpack_release(&conn->dir[d].hpack);
}

static void h2_tick_conn(void *at, uint64_t now_ns, struct call_sink *sink)
{
	h2_tick(at, now_ns, sink);
}

static enum guess h2_guess(struct view bytes, const struct guess_hint *hint)
{
	struct view preface = H2_PREFACE;
	size_t n = bytes.len < preface.len ? bytes.len : preface.len;
	bool more;

	if (hint->proto != PROTO_tcp)
		return GUESS_NO;
	if (n >= 3 && memcmp(bytes.at, preface.at, n) == 0)
		return n == preface.len ? GUESS_YES : GUESS_MORE;
	if (h2_frames_likely(bytes, &more))
		return GUESS_YES;
	return more ? GUESS_MORE : GUESS_NO;
}

static int h2_detail_after(const struct call_before *before, struct view request, struct view response,
			   size_t body_max, struct json *json)
{
	return h2_show(before, request, response, GRPC_NO, body_max, json);
}

static int h2_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	return h2_detail_after(&(struct call_before){ .request_whole = false }, request, response, body_max, json);
}

const struct proto_ops proto_http2 = {
	.id = L7_http2,
	.name = "http2",
	.title = "HTTP/2",
	.conn_size = sizeof(struct h2_conn),
	.hold_bytes = HOLD_BYTES,
	.guess = h2_guess,
	.feed = h2_feed_bytes,
	.gap = h2_gap,
	.close = h2_close,
	.tick = h2_tick_conn,
	.detail = h2_detail,
	.detail_after = h2_detail_after,
	.before_bytes = H2_BEFORE_BYTES,
};
