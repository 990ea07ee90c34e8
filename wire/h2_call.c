/*
 * Streams of HTTP/2 and their calls: RFC 9113 8 (semantics, push), and what gRPC
 * puts on top. A stream is its call; there is nothing to it that outlives the call.
 */
#include "wire/h2_conn.h"
#include "wire/http_head.h"

#define METHOD_MAX	32
#define TARGET_MAX	4096
#define TEMPLATE_MAX	512
#define HOST_MAX	256
#define AGENT_MAX	512
#define TRACE_MAX	64
#define TYPE_MAX	64
#define LOST_NS		60000000000ull	/* a call whose end may be among what was lost is not waited for longer */
#define HALF_NS		5000000000ull	/* answered; the request need not come to its end */

struct h2_stream *h2_stream_of(const struct call *call)
{
	return call->state;
}

static struct call **bucket(struct h2_conn *conn, uint32_t stream)
{
	return &conn->bucket[stream / 2 % H2_BUCKETS];
}

struct call *h2_find(const struct h2_conn *conn, uint32_t stream)
{
	struct call *call = conn->bucket[stream / 2 % H2_BUCKETS];

	while (call && call->tag != stream)
		call = call->next;
	return call;
}

void h2_end(struct h2_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	struct call **at = bucket(conn, (uint32_t)call->tag);

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	conn->open--;
	for (unsigned d = 0; d < 2; d++) {
		if (conn->dir[d].call == call)
			conn->dir[d].call = NULL;
		if (conn->dir[d].block.call == call)
			conn->dir[d].block.call = NULL;
	}
	h2_body_end(call, H2_REQ, reason, sink);
	h2_body_end(call, H2_RSP, reason, sink);
	call_end(sink, call, reason);
}

static void end_open(struct h2_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	const struct h2_stream *stream = h2_stream_of(call);
	const char *name = h2_error_name(conn->goaway_code);

	if (stream->done[H2_RSP]) {
		reason = stream->reason;
	} else {
		if (conn->goaway && conn->goaway_code)
			call_error(sink, call, "GOAWAY: %s (%u)", name ? name : "unknown error", conn->goaway_code);
		if (stream->doubt)
			reason = CALL_END_gap;
		else if (reason == CALL_END_closed && !call->has_rsp)
			reason = CALL_END_unanswered;
	}
	h2_end(conn, call, reason, sink);
}

void h2_end_all(struct h2_conn *conn, uint8_t reason, struct call_sink *sink)
{
	for (unsigned i = 0; i < H2_BUCKETS; i++)
		while (conn->bucket[i])
			end_open(conn, conn->bucket[i], reason, sink);
}

static struct call *open_stream(struct h2_feed *f, uint32_t id)
{
	struct h2_conn *conn = f->conn;
	struct h2_stream *stream;
	struct call *call;

	if (conn->open == H2_OPEN_MAX) {
		call_refuse(f->sink);
		return NULL;
	}
	call = call_open(f->sink, L7_http2);
	if (!call)
		return NULL;
	stream = call_memory(f->sink, call, sizeof(*stream));
	call->tag = id;
	call->state = stream;
	if (!stream) {
		call_end(f->sink, call, CALL_END_evicted);
		return NULL;
	}
	stream->reason = CALL_END_complete;
	stream->last_ns = f->chunk->time_ns;
	call->next = *bucket(conn, id);
	*bucket(conn, id) = call;
	conn->open++;
	ROW_SET(CALL, &call->row, version, VIEW_LIT("2"));
	return call;
}

/* ---- what fields say ---- */

static void set_path(struct call_sink *sink, struct call *call, struct view path)
{
	char folded[TEMPLATE_MAX];
	size_t len = http_template(path, folded, sizeof(folded));

	CALL_TEXT(sink, call, target, path, TARGET_MAX);
	CALL_TEXT(sink, call, target_template, view_make(folded, len), TEMPLATE_MAX);
}

/* head has one of its fields; the lower the rank, the better. */
static void set_trace(struct call_sink *sink, struct h2_block *block, const struct http_head *head, uint8_t rank)
{
	struct view trace = http_trace_id(head);

	if (!trace.len || block->trace_rank >= rank)
		return;
	if (!block->trace_rank && ROW_HAS(CALL, &block->call->row, trace_id))
		return;		/* the request's goes before the response's */
	block->trace_rank = rank;
	CALL_TEXT(sink, block->call, trace_id, trace, TRACE_MAX);
}

static void read_pseudo(struct call_sink *sink, struct h2_block *block, const struct hpack_field *field)
{
	struct call *call = block->call;
	uint64_t status;

	if (view_is(field->name, ":status")) {
		block->response = true;
		if (view_u64(field->value, 999, &status) == 0)
			block->status = (uint16_t)status;
		return;
	}
	block->request = true;
	if (!call)
		return;
	if (view_is(field->name, ":method")) {
		CALL_TEXT(sink, call, method, field->value, METHOD_MAX);
	} else if (view_is(field->name, ":path")) {
		set_path(sink, call, field->value);
	} else if (view_is(field->name, ":authority")) {
		block->host = true;
		CALL_TEXT(sink, call, host, field->value, HOST_MAX);
	}
}

static void set_type(struct call_sink *sink, struct h2_block *block, struct view type)
{
	block->kind = (uint8_t)grpc_wanted(sink, grpc_kind(type));
	if (!block->kind)
		block->content_type = call_text(sink, block->call, type, TYPE_MAX);
}

static void read_field(struct call_sink *sink, struct h2_block *block, const struct hpack_field *field)
{
	struct view name = field->name, value = field->value;
	struct call *call = block->call;

	if (field->unknown) {
		block->unknown++;
		return;
	}
	if (name.len && name.at[0] == ':') {
		read_pseudo(sink, block, field);
		return;
	}
	if (!call)
		return;
	switch (name.len) {	/* a length tells nearly all of them apart */
	case 2:
		if (view_is(name, "b3"))
			set_trace(sink, block, &(struct http_head){ .b3 = value }, 3);
		break;
	case 4:
		if (view_is(name, "host") && !block->host)
			CALL_TEXT(sink, call, host, value, HOST_MAX);
		break;
	case 10:
		if (view_is(name, "user-agent"))
			CALL_TEXT(sink, call, user_agent, value, AGENT_MAX);
		break;
	case 11:
		if (view_is(name, "traceparent"))
			set_trace(sink, block, &(struct http_head){ .traceparent = value }, 4);
		else if (view_is(name, "grpc-status"))
			block->grpc_status = call_text(sink, call, value, METHOD_MAX);
		break;
	case 12:
		if (view_is(name, "content-type"))
			set_type(sink, block, value);
		else if (view_is(name, "grpc-message"))
			block->grpc_message = call_text(sink, call, value, 3 * GRPC_MESSAGE_MAX);
		else if (view_is(name, "x-b3-traceid"))
			set_trace(sink, block, &(struct http_head){ .b3_trace = value }, 2);
		else if (view_is(name, "x-request-id"))
			set_trace(sink, block, &(struct http_head){ .request_id = value }, 1);
		break;
	case 16:
		if (view_is(name, "content-encoding"))
			block->content_encoding = call_text(sink, call, value, METHOD_MAX);
		break;
	default:
		break;
	}
}

/* ---- messages grow and end ---- */

/*
 * The message has come as far as end_off. Between its frames lie those of other
 * streams: its size is not the distance from its first to its last byte.
 */
static void side_grow(struct h2_feed *f, struct call *call, unsigned side, uint64_t end_off)
{
	struct h2_stream *stream = h2_stream_of(call);
	struct call_row *row = &call->row;
	uint64_t bytes = stream->frame_bytes[side];

	stream->last_ns = f->chunk->time_ns;
	if (side == H2_REQ && call->has_req) {
		call_request_end(call, f->chunk, end_off);
		if (row->req_bytes != bytes)
			ROW_SET(CALL, row, req_span_bytes, row->req_bytes);
		ROW_SET(CALL, row, req_bytes, bytes);
		ROW_SET(CALL, row, req_body_bytes, stream->body_bytes[H2_REQ]);
	} else if (side == H2_RSP && call->has_rsp) {
		call_response_end(call, f->chunk, end_off);
		if (row->rsp_bytes != bytes)
			ROW_SET(CALL, row, rsp_span_bytes, row->rsp_bytes);
		ROW_SET(CALL, row, rsp_bytes, bytes);
		ROW_SET(CALL, row, rsp_body_bytes, stream->body_bytes[H2_RSP]);
		if (stream->kind)
			ROW_SET(CALL, row, rows, stream->walk.count);
	}
}

/* The response of an RPC is over: did it say how it went? */
static void rpc_outcome(struct call_sink *sink, struct call *call)
{
	struct h2_stream *stream = h2_stream_of(call);

	if (stream->has_grpc_status || stream->unknown_trailers)
		return;
	grpc_set_missing(sink, call, stream->http_status);
	if ((!stream->http_status || stream->http_status == 200) && stream->reason == CALL_END_complete)
		stream->reason = CALL_END_closed;
}

static void side_done(struct h2_feed *f, struct call *call, unsigned side)
{
	struct h2_stream *stream = h2_stream_of(call);

	stream->done[side] = true;
	h2_body_end(call, side, CALL_END_closed, f->sink);
	if (side == H2_RSP) {
		call->rsp_whole = true;
		if (stream->kind)
			rpc_outcome(f->sink, call);
		if (!stream->head[H2_REQ]) {
			h2_end(f->conn, call, CALL_END_no_request, f->sink);
			return;
		}
	}
	if (stream->done[H2_REQ] && stream->done[H2_RSP])
		h2_end(f->conn, call, stream->reason, f->sink);
}

/* ---- header blocks ---- */

/* May a block on a stream without a call open one? */
static bool may_open(const struct h2_feed *f, const struct h2_block *block)
{
	const struct h2_conn *conn = f->conn;
	uint32_t id = block->stream;

	if (block->promise)
		return id % 2 == 0;
	if (!conn->roles)
		return true;
	if (f->d == conn->client)
		return id % 2 && id > conn->last_id;
	/* an answer whose request was seen: its call has ended, or there was no room for it */
	return !(id % 2 && conn->first_id && id >= conn->first_id && id <= conn->last_id);
}

/* The request came in HTTP/1.1, with Upgrade: h2c (RFC 7540 3.2). */
static void take_upgraded(struct h2_feed *f, struct call *call)
{
	struct h2_stream *stream = h2_stream_of(call);
	struct view method, target;

	f->conn->upgraded = false;
	stream->head[H2_REQ] = stream->done[H2_REQ] = true;
	http_note_request(f->chunk->flow->note, &method, &target);
	CALL_TEXT(f->sink, call, method, method, METHOD_MAX);
	if (target.len)
		set_path(f->sink, call, target);
	CALL_TEXT(f->sink, call, host, http_note_field(f->chunk->flow->note, "host"), HOST_MAX);
}

void h2_block_begin(struct h2_feed *f, uint32_t id, uint64_t off)
{
	struct h2_conn *conn = f->conn;
	struct h2_block *block = &f->dir->block;

	*block = (struct h2_block){
		.open = true, .stream = id, .off = off, .time_ns = chunk_time(f->chunk, off),
		.promise = f->dir->frame.type == H2_PUSH_PROMISE,
		.end_stream = f->dir->frame.type == H2_HEADERS && f->dir->frame.flags & H2_END_STREAM,
	};
	block->call = h2_find(conn, id);
	if (!block->call && may_open(f, block)) {
		block->call = open_stream(f, id);
		if (block->call && conn->upgraded && id == 1 && h2_side(f) == H2_RSP)
			take_upgraded(f, block->call);
	}
	if (block->call && conn->roles && h2_side(f) == H2_REQ && !block->promise && !block->call->has_req)
		call_request_begin(block->call, f->chunk, off);
}

static void request_head(struct h2_feed *f, struct h2_block *block)
{
	struct call *call = block->call;
	struct h2_stream *stream = h2_stream_of(call);
	struct call_row *row = &call->row;

	stream->head[H2_REQ] = true;
	if (!call->has_req)
		call_request_begin(call, f->chunk, block->off);
	ROW_SET(CALL, row, start_ns, block->time_ns);
	if (!ROW_HAS(CALL, row, target) && ROW_HAS(CALL, row, method) && ROW_HAS(CALL, row, host) &&
	    view_is(row->method, "CONNECT")) {
		ROW_SET(CALL, row, target, row->host);
		ROW_SET(CALL, row, target_template, row->host);
	}
	stream->kind = block->kind;
	if (stream->kind)
		grpc_set_request(call, stream->kind);
	else
		h2_body_begin(f, call, H2_REQ, block);
}

static void response_head(struct h2_feed *f, struct h2_block *block)
{
	struct call *call = block->call;
	struct h2_stream *stream = h2_stream_of(call);
	struct call_row *row = &call->row;

	stream->head[H2_RSP] = true;
	stream->doubt = false;	/* all of the response is still to come */
	stream->http_status = block->status;
	if (!call->has_rsp) {	/* a pushed one begins with its promise */
		call_response_begin(call, f->chunk, block->off);
		ROW_SET(CALL, row, rsp_first_ns, block->time_ns);
	}
	if (block->kind && !stream->kind) {
		stream->kind = block->kind;
		grpc_set_request(call, stream->kind);
	}
	stream->walk.text = block->kind == GRPC_WEB_TEXT;
	if (stream->kind || !block->status)
		return;
	ROW_SET(CALL, row, status, block->status);
	ROW_SET(CALL, row, status_class, block->status < 400 ? CLASS_ok :
		block->status < 500 ? CLASS_client_error : CLASS_server_error);
	h2_body_begin(f, call, H2_RSP, block);
}

/* True: it was an answer before the answer, 100 Continue and the like. */
static bool response_block(struct h2_feed *f, struct h2_block *block)
{
	struct call *call = block->call;
	struct h2_stream *stream = h2_stream_of(call);

	if (!stream->head[H2_RSP]) {
		if (block->status >= 100 && block->status < 200)
			return true;
		response_head(f, block);
	}
	if (stream->kind && (block->grpc_status.len || block->grpc_message.len)) {
		grpc_set_status(f->sink, call, block->grpc_status, block->grpc_message);
		stream->has_grpc_status |= block->grpc_status.len > 0;
	}
	if (block->end_stream && (block->unknown || block->bad))
		stream->unknown_trailers = true;
	return false;
}

static void learn_roles(struct h2_conn *conn, unsigned d, const struct h2_block *block)
{
	if (block->request == block->response)
		return;
	conn->client = (uint8_t)(block->request != block->promise ? d : !d);
	conn->roles = true;
}

static void promise_block(struct h2_feed *f, struct h2_block *block)
{
	struct call *call = block->call;
	struct h2_stream *stream = h2_stream_of(call);

	/* both halves come from the server: the promise is where the response begins */
	stream->pushed = stream->head[H2_REQ] = stream->done[H2_REQ] = true;
	call_response_begin(call, f->chunk, block->off);
	ROW_SET(CALL, &call->row, rsp_first_ns, block->time_ns);
}

/* Absent columns may be in these fields. */
static void tell_unread(struct call_sink *sink, const struct h2_block *block, struct call *call, unsigned side)
{
	const char *what = side == H2_REQ ? "request" : "response";
	const char *part = !block->promise && h2_stream_of(call)->head[side] ? "trailers" : "headers";

	if (block->unknown)
		call_error(sink, call, "%s: %u %s unknown, their table was not seen from its beginning",
			   what, block->unknown, part);
	if (block->bad)
		call_error(sink, call, "%s: not all %s could be read", what, part);
}

static void block_done(struct h2_feed *f, uint64_t end_off)
{
	struct h2_conn *conn = f->conn;
	struct h2_block *block = &f->dir->block;
	struct call *call = block->call;
	unsigned side;

	block->open = false;
	learn_roles(conn, f->d, block);
	side = block->promise ? H2_RSP : h2_side(f);
	if (side == H2_REQ && block->stream > conn->last_id) {
		conn->last_id = block->stream;
		if (!conn->first_id)
			conn->first_id = block->stream;
	}
	if (!call)
		return;
	block->call = NULL;
	tell_unread(f->sink, block, call, side);
	f->dir->block.call = call;	/* texts of the block may still be set */
	if (block->promise)
		promise_block(f, block);
	else if (side == H2_REQ && !h2_stream_of(call)->head[H2_REQ])
		request_head(f, block);
	else if (side == H2_RSP && response_block(f, block))
		goto out;
	h2_stream_of(call)->frame_bytes[side] += end_off - block->off;	/* nothing comes in between */
	side_grow(f, call, side, end_off);
	if (block->end_stream)
		side_done(f, call, side);
out:
	f->dir->block.call = NULL;
}

void h2_block_piece(struct h2_feed *f, struct view piece, bool last, uint64_t end_off)
{
	struct h2_dir *dir = f->dir;
	struct h2_block *block = &dir->block;
	struct hpack_field field;
	int rc = 0;

	while (!block->bad && (rc = hpack_next(&dir->hpack, &piece, last, &field)) == 1)
		read_field(f->sink, block, &field);
	if (rc < 0)
		block->bad = true;
	block->end_off = end_off;
	if (last)
		block_done(f, end_off);
}

void h2_block_drop(struct h2_conn *conn, struct h2_dir *dir, struct call_sink *sink)
{
	struct call *call = dir->block.call;

	dir->block.open = false;
	dir->block.call = NULL;
	if (!call)
		return;
	h2_stream_of(call)->doubt = true;
	if (!call->has_req && !call->has_rsp)
		h2_end(conn, call, CALL_END_gap, sink);	/* nothing was seen of it */
}

/* ---- DATA ---- */

void h2_data_begin(struct h2_feed *f, uint64_t off)
{
	struct call *call = h2_find(f->conn, f->dir->frame.stream);
	unsigned side = h2_side(f);
	struct h2_stream *stream;

	f->dir->call = NULL;
	if (!call)
		return;
	stream = h2_stream_of(call);
	if (stream->done[side] || (side == H2_REQ && !call->has_req))
		return;
	if (side == H2_RSP && !stream->head[H2_RSP]) {
		stream->head[H2_RSP] = true;
		stream->reason = CALL_END_gap;
		call_error(f->sink, call, "the response's headers were not captured");
		if (!call->has_rsp)
			call_response_begin(call, f->chunk, off);
	}
	stream->frame_bytes[side] += f->dir->data_pos - off;
	f->dir->call = call;
}

void h2_data_progress(struct h2_feed *f, uint64_t end_off, bool whole)
{
	struct h2_dir *dir = f->dir;
	struct call *call = dir->call;
	unsigned side = h2_side(f);
	uint64_t body_end = end_off < dir->data_end ? end_off : dir->data_end;
	struct h2_stream *stream;

	if (!call)
		return;
	stream = h2_stream_of(call);
	if (body_end > dir->data_pos) {
		h2_body_read(f, call, side, dir->data_pos, body_end);
		stream->body_bytes[side] += body_end - dir->data_pos;
		stream->frame_bytes[side] += body_end - dir->data_pos;
		dir->data_pos = body_end;
	}
	if (whole)
		stream->frame_bytes[side] += dir->frame_end - dir->data_end;
	side_grow(f, call, side, end_off);
	if (!whole)
		return;
	dir->call = NULL;
	if (dir->frame.flags & H2_END_STREAM)
		side_done(f, call, side);
}

/* ---- the ends ---- */

static const char *sender(const struct h2_feed *f)
{
	return h2_side(f) == H2_REQ ? "client" : "server";
}

void h2_reset(struct h2_feed *f, uint32_t id, uint32_t code)
{
	struct call *call = h2_find(f->conn, id);
	const char *name = h2_error_name(code);

	if (!call)
		return;
	if (h2_stream_of(call)->done[H2_RSP]) {		/* no more of the request is wanted, RFC 9113 8.1 */
		h2_end(f->conn, call, h2_stream_of(call)->reason, f->sink);
		return;
	}
	call_error(f->sink, call, "RST_STREAM by the %s: %s (%u)", sender(f), name ? name : "unknown error", code);
	h2_end(f->conn, call, CALL_END_reset, f->sink);
}

void h2_goaway(struct h2_feed *f, uint32_t last, uint32_t code, struct view debug)
{
	struct h2_conn *conn = f->conn;
	const char *name = h2_error_name(code);

	conn->goaway = true;
	conn->goaway_code = code;
	if (h2_side(f) == H2_REQ)
		return;
	for (unsigned i = 0; i < H2_BUCKETS; i++) {
		struct call *call = conn->bucket[i], *next;

		for (; call; call = next) {
			next = call->next;
			if (call->tag <= last || call->tag % 2 == 0 || call->has_rsp)
				continue;
			call_error(f->sink, call, "GOAWAY: %s (%u), streams after %u were not processed%s%.*s",
				   name ? name : "unknown error", code, last, debug.len ? ": " : "",
				   (int)debug.len, (const char *)debug.at);
			h2_end(conn, call, CALL_END_reset, f->sink);
		}
	}
}

void h2_doubt(struct h2_conn *conn, unsigned d, uint64_t len, struct call_sink *sink)
{
	unsigned side = d == conn->client ? H2_REQ : H2_RSP;

	if (side == H2_REQ)
		conn->first_id = conn->last_id = 0;
	for (unsigned i = 0; i < H2_BUCKETS; i++) {
		for (struct call *call = conn->bucket[i]; call; call = call->next) {
			struct h2_stream *stream = h2_stream_of(call);

			if (stream->done[side])
				continue;
			stream->doubt = true;
			if (side == H2_REQ ? !call->has_req : !call->has_rsp)
				continue;
			stream->reason = CALL_END_gap;
			call_missing(call, len);
			h2_body_lose(call, side, sink);
		}
	}
}

void h2_tick(struct h2_conn *conn, uint64_t now_ns, struct call_sink *sink)
{
	for (unsigned i = 0; i < H2_BUCKETS; i++) {
		struct call *call = conn->bucket[i], *next;

		for (; call; call = next) {
			const struct h2_stream *stream = h2_stream_of(call);
			uint64_t idle_ns = now_ns > stream->last_ns ? now_ns - stream->last_ns : 0;

			next = call->next;
			if (idle_ns > (stream->done[H2_RSP] ? HALF_NS : stream->doubt ? LOST_NS : UINT64_MAX - 1))
				end_open(conn, call, CALL_END_gap, sink);
		}
	}
}
