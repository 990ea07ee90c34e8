/*
 * What is read of the bodies of HTTP/2: messages of an RPC's response, and what
 * http_watch.h looks for. DATA comes in pieces that are not shown again: first
 * bytes are kept until there are enough of them.
 */
#include "wire/h2_conn.h"

struct h2_peek {
	uint16_t len, cap;
	uint8_t bytes[];
};

void h2_body_begin(struct h2_feed *f, struct call *call, unsigned side, const struct h2_block *block)
{
	struct h2_stream *stream = h2_stream_of(call);
	struct http_head head = { .content_type = block->content_type, .content_encoding = block->content_encoding };

	if (side == H2_REQ) {
		head.method = call->row.method;
		head.target = call->row.target;
		stream->watch[H2_REQ] = (uint8_t)http_watch_request(f->sink, call, &head);
		return;
	}
	h2_body_end(call, H2_REQ, CALL_END_closed, f->sink);	/* what was asked decides what the answer is read for */
	head.status = block->status;
	stream->watch[H2_RSP] = (uint8_t)http_watch_response(f->sink, call, &head);
	if (stream->watch[H2_RSP] != WATCH_EVENTS)
		return;
	stream->events = call_memory(f->sink, call, sizeof(*stream->events));
	if (!stream->events)
		stream->watch[H2_RSP] = WATCH_NONE;
}

/* Of a frame that is the whole body no more than that is kept. */
static struct h2_peek *peek_make(struct h2_feed *f, struct call *call)
{
	const struct h2_dir *dir = f->dir;
	uint64_t left = dir->data_end - dir->data_pos;
	size_t cap = dir->frame.flags & H2_END_STREAM && left < WATCH_PEEK_BYTES ? (size_t)left : WATCH_PEEK_BYTES;
	struct h2_peek *peek = call_memory(f->sink, call, sizeof(*peek) + cap);

	if (peek)
		peek->cap = (uint16_t)cap;
	return peek;
}

static void peek_read(struct h2_feed *f, struct call *call, unsigned side, struct view bytes)
{
	struct h2_stream *stream = h2_stream_of(call);
	struct h2_peek *peek = stream->peek[side];

	if (!peek)
		peek = stream->peek[side] = peek_make(f, call);
	if (!peek) {
		stream->watch[side] = WATCH_NONE;
		return;
	}
	bytes = view_sub(bytes, 0, peek->cap - peek->len);
	memcpy(peek->bytes + peek->len, bytes.at, bytes.len);
	peek->len = (uint16_t)(peek->len + bytes.len);
	if (!http_watch_wants(stream->watch[side], view_make(peek->bytes, peek->len)))
		h2_body_end(call, side, CALL_END_closed, f->sink);
}

void h2_body_read(struct h2_feed *f, struct call *call, unsigned side, uint64_t from, uint64_t to)
{
	struct h2_stream *stream = h2_stream_of(call);
	const struct chunk *chunk = f->chunk;
	uint64_t seen = from > chunk->off ? from : chunk->off;
	struct view bytes;

	if (h2_body_blind(stream, side) == UINT64_MAX)
		return;
	if (seen > to)
		seen = to;
	bytes = view_sub(chunk->bytes, (size_t)(seen - chunk->off), (size_t)(to - seen));
	if (stream->kind) {	/* only of the response, and what its messages hold was passed */
		grpc_walk_pass(&stream->walk, seen - from);
		if (grpc_walk_bytes(&stream->walk, bytes, f->sink, call))
			stream->has_grpc_status |= grpc_set_trailers(f->sink, call, grpc_walk_trailers(&stream->walk));
		return;
	}
	if (seen > from)
		h2_body_lose(call, side, f->sink);
	if (!bytes.len)
		return;
	if (stream->watch[side] == WATCH_EVENTS)
		http_events_feed(stream->events, call, chunk, (size_t)(seen - chunk->off), (size_t)(to - chunk->off), f->sink);
	else if (stream->watch[side])
		peek_read(f, call, side, bytes);
}

uint64_t h2_body_blind(const struct h2_stream *stream, unsigned side)
{
	if (stream->kind)
		return side == H2_RSP ? grpc_walk_blind(&stream->walk) : UINT64_MAX;
	return stream->watch[side] ? 0 : UINT64_MAX;
}

void h2_body_lose(struct call *call, unsigned side, struct call_sink *sink)
{
	struct h2_stream *stream = h2_stream_of(call);

	if (stream->kind && side == H2_RSP)	/* most senders begin a frame with each message */
		stream->walk.left = stream->walk.have = 0;
	else if (stream->watch[side] == WATCH_EVENTS)
		http_events_lose(stream->events, sink);
	else
		h2_body_end(call, side, CALL_END_gap, sink);
}

void h2_body_end(struct call *call, unsigned side, uint8_t reason, struct call_sink *sink)
{
	struct h2_stream *stream = h2_stream_of(call);
	enum http_watch watch = stream->watch[side];
	const struct h2_peek *peek = stream->peek[side];

	stream->watch[side] = WATCH_NONE;
	if (watch == WATCH_EVENTS)
		http_events_end(stream->events, call, reason == CALL_END_complete ? CALL_END_closed : reason, sink);
	else if (watch && peek && peek->len)
		http_watch_body(watch, sink, call, view_make(peek->bytes, peek->len));
}
