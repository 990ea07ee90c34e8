/*
 * HTTP/1.0 and 1.1: RFC 9112 (messages), RFC 9110 (semantics).
 *
 * One call per request. Requests wait in a queue for their responses, which come
 * in the same order; 1xx answers are not paired, 101 and a successful CONNECT hand
 * the connection over (http_upgrade.h). Bodies of known length are skipped unseen, so a hole in
 * one costs nothing but its bytes.
 */
#include "wire/dissect.h"
#include "wire/http_body.h"
#include "wire/http_head.h"
#include "wire/http_upgrade.h"
#include "wire/http_watch.h"

#define METHOD_MAX	32
#define TARGET_MAX	4096
#define TEMPLATE_MAX	512
#define HOST_MAX	256
#define AGENT_MAX	512
#define REASON_MAX	128
#define TRACE_MAX	64
#define HEAD_MAX	((size_t)64 << 10)
#define CHUNK_LINE_MAX	4096	/* size and extension */
#define GARBAGE_MAX	((uint64_t)1 << 20)	/* without any message in it: this is not HTTP any more */
#define START_LINE_MAX	8192

/* call->tag */
enum { TAG_HEAD = 1, TAG_CONNECT = 2, TAG_REQ_DONE = 4, TAG_RSP_DONE = 8 };

enum http_state {
	AT_START, IN_BODY, IN_CHUNK_SIZE, IN_CHUNK, IN_CHUNK_END, IN_TRAILERS, UNTIL_CLOSE, OPAQUE, RESYNC,
};

struct http_dir {
	uint8_t state;
	uint8_t watch;		/* enum http_watch: what its body is read for */
	bool is_request;	/* of the message in progress */
	uint32_t scanned;	/* bytes of the head that is being waited for already searched */
	uint64_t body_off;	/* offset of the body's first byte */
	uint64_t body_end;	/* offset behind the body, or behind the chunk's data */
	uint64_t body_bytes;	/* of the message in progress */
	uint64_t garbage;	/* bytes in RESYNC */
	struct call *call;	/* the message in progress belongs to it; NULL: none, or no room for it */
};

struct http_conn {
	struct http_dir dir[2];
	struct call_fifo waiting;	/* requests, also unfinished ones, without a response */
	uint64_t unopened;		/* requests behind those in waiting for which there was no room */
	uint64_t unopened_head;		/* bit i: the i-th of them was HEAD (the first 64) */
	bool roles;			/* client is known */
	uint8_t client;			/* direction of the requests */
	bool doubt;			/* requests or responses were lost while several waited */
	/* of the response in progress, when it is watched for them */
	struct http_events *events;
	struct http_rpc *rpc;
	bool tunnel;			/* HTTP is over, next_l7 follows */
	uint8_t next_l7;
};

/* One call of feed(). */
struct feed {
	struct http_conn *conn;
	struct http_dir *dir;
	unsigned d;
	const struct chunk *chunk;
	struct call_sink *sink;
	size_t pos;		/* consumed so far */
	uint64_t skip;		/* STEP_SKIP: to this offset */
};

enum step { STEP_ON, STEP_WAIT, STEP_SKIP, STEP_REST, STEP_SWITCH, STEP_WRONG };

static uint64_t here(const struct feed *f)
{
	return f->chunk->off + f->pos;
}

static struct view ahead(const struct feed *f)
{
	return view_sub(f->chunk->bytes, f->pos, f->chunk->bytes.len);
}

static void watch_end(struct http_conn *conn, struct call_sink *sink)
{
	conn_memory_give(sink, conn->events);
	conn_memory_give(sink, conn->rpc);
	conn->events = NULL;
	conn->rpc = NULL;
}

/* No direction may keep a call that is gone. */
static void end_call(struct http_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	if (call == conn->dir[!conn->client].call && conn->events)
		http_events_end(conn->events, call, reason, sink);
	for (unsigned d = 0; d < 2; d++)
		if (conn->dir[d].call == call)
			conn->dir[d].call = NULL;
	call_end(sink, call, reason);
}

/* ---- what a head says ---- */

static void set_request(struct call_sink *sink, struct call *call, const struct http_head *head)
{
	struct view authority, path, host = head->host, trace = http_trace_id(head);
	struct call_row *row = &call->row;
	char folded[TEMPLATE_MAX];

	ROW_SET(CALL, row, method, call_text(sink, call, head->method, METHOD_MAX));
	ROW_SET(CALL, row, target, call_text(sink, call, head->target, TARGET_MAX));
	if (head->version.len)
		ROW_SET(CALL, row, version, call_text(sink, call, head->version, METHOD_MAX));
	if (call->tag & TAG_CONNECT) {
		host = head->target;
		ROW_SET(CALL, row, target_template, row->target);
	} else {
		size_t len = http_template(head->target, folded, sizeof(folded));

		ROW_SET(CALL, row, target_template, call_text(sink, call, view_make(folded, len), TEMPLATE_MAX));
		if (http_absolute(head->target, &authority, &path))
			host = authority;	/* it overrules the Host line, RFC 9112 3.2.2 */
	}
	if (host.len)
		ROW_SET(CALL, row, host, call_text(sink, call, host, HOST_MAX));
	if (head->user_agent.at)
		ROW_SET(CALL, row, user_agent, call_text(sink, call, head->user_agent, AGENT_MAX));
	if (trace.len)
		ROW_SET(CALL, row, trace_id, call_text(sink, call, trace, TRACE_MAX));
	if (head->problem)
		call_error(sink, call, "request: %s", head->problem);
}

static void set_status(struct call_sink *sink, struct call *call, const struct http_head *head)
{
	struct call_row *row = &call->row;
	uint8_t class = CLASS_none;

	if (head->status >= 100 && head->status < 400)
		class = CLASS_ok;
	else if (head->status >= 400 && head->status < 500)
		class = CLASS_client_error;
	else if (head->status >= 500 && head->status < 600)
		class = CLASS_server_error;
	ROW_SET(CALL, row, status, head->status);
	ROW_SET(CALL, row, status_class, class);
	if (head->reason.len)
		ROW_SET(CALL, row, status_text, call_text(sink, call, head->reason, REASON_MAX));
}

static void set_response(struct call_sink *sink, struct call *call, const struct http_head *head)
{
	struct call_row *row = &call->row;
	struct view trace = http_trace_id(head);

	if (!ROW_HAS(CALL, row, version))
		ROW_SET(CALL, row, version, call_text(sink, call, head->version, METHOD_MAX));
	if (trace.len && !ROW_HAS(CALL, row, trace_id))
		ROW_SET(CALL, row, trace_id, call_text(sink, call, trace, TRACE_MAX));
	if (head->problem)
		call_error(sink, call, "response: %s", head->problem);
}

/* ---- messages begin, grow and end ---- */

static void note_progress(struct feed *f, uint64_t end_off)
{
	struct http_dir *dir = f->dir;
	struct call *call = dir->call;

	if (!call)
		return;
	if (dir->state == IN_BODY || dir->state == UNTIL_CLOSE)
		dir->body_bytes = end_off - dir->body_off;
	if (dir->is_request) {
		call_request_end(call, f->chunk, end_off);
		ROW_SET(CALL, &call->row, req_body_bytes, dir->body_bytes);
	} else {
		call_response_end(call, f->chunk, end_off);
		ROW_SET(CALL, &call->row, rsp_body_bytes, dir->body_bytes);
	}
}

/* The message in progress is over; its last byte is the one before end_off. */
static void message_done(struct feed *f, uint64_t end_off)
{
	struct http_dir *dir = f->dir;
	struct call *call = dir->call;

	note_progress(f, end_off);
	if (dir->watch == WATCH_EVENTS)
		http_events_end(f->conn->events, call, CALL_END_closed, f->sink);
	else if (dir->watch == WATCH_RPC)
		http_rpc_end(f->conn->rpc, f->sink, call, true);
	dir->watch = WATCH_NONE;
	if (!dir->is_request)
		watch_end(f->conn, f->sink);
	dir->call = NULL;
	if (dir->state != OPAQUE && dir->state != RESYNC)
		dir->state = AT_START;
	if (!call)
		return;
	if (dir->is_request) {
		call->tag |= TAG_REQ_DONE;
		if (call->tag & TAG_RSP_DONE)	/* an answer to the first half of it */
			end_call(f->conn, call, CALL_END_complete, f->sink);
		return;
	}
	call->rsp_whole = true;
	if (!call->has_req)
		end_call(f->conn, call, CALL_END_no_request, f->sink);
	else if (call->tag & TAG_REQ_DONE)
		end_call(f->conn, call, CALL_END_complete, f->sink);
	else
		call->tag |= TAG_RSP_DONE;
}

/* Choose the state that reads the body the head announces. */
static void begin_body(struct feed *f, const struct http_head *head, bool none)
{
	struct http_dir *dir = f->dir;

	dir->body_off = here(f);
	if (none) {
		message_done(f, here(f));
	} else if (head->chunked) {
		dir->state = IN_CHUNK_SIZE;
	} else if (head->coded ? head->request : (head->has_length && !head->length) ||
		   (!head->has_length && head->request)) {
		message_done(f, here(f));
	} else if (!head->coded && head->has_length) {
		dir->body_end = here(f) + head->length;
		dir->state = IN_BODY;
	} else {
		dir->state = UNTIL_CLOSE;
	}
}

static void begin_request(struct feed *f, const struct http_head *head, uint64_t off)
{
	struct http_conn *conn = f->conn;
	bool is_head = view_is(head->method, "HEAD");
	struct call *call = NULL;

	if (!conn->unopened)
		call = call_open(f->sink, L7_http);
	else
		call_refuse(f->sink);
	if (call) {
		if (is_head)
			call->tag |= TAG_HEAD;
		if (view_is(head->method, "CONNECT"))
			call->tag |= TAG_CONNECT;
		call_request_begin(call, f->chunk, off);
		set_request(f->sink, call, head);
		call_fifo_put(&conn->waiting, call);
	} else {
		if (is_head && conn->unopened < 64)
			conn->unopened_head |= 1ull << conn->unopened;
		conn->unopened++;
	}
	f->dir->call = call;
	f->dir->is_request = true;
	f->dir->body_bytes = 0;
	f->dir->watch = (uint8_t)http_watch_request(f->sink, call, head);
	note_progress(f, here(f));
	begin_body(f, head, false);
}

/* The call that the response at hand answers; NULL: there was no room for it. Sets *ret_tag. */
static struct call *pair(struct feed *f, uint64_t *ret_tag)
{
	struct http_conn *conn = f->conn;
	struct call *call = call_fifo_take(&conn->waiting);

	*ret_tag = 0;
	if (call) {
		if (conn->doubt)
			call_error(f->sink, call, "messages before this one were not captured: the pairing is a guess");
		if (!conn->waiting.count)
			conn->doubt = false;
		*ret_tag = call->tag;
		return call;
	}
	if (conn->unopened) {
		*ret_tag = conn->unopened_head & 1 ? TAG_HEAD : 0;
		conn->unopened_head >>= 1;
		conn->unopened--;
		return NULL;
	}
	return call_open(f->sink, L7_http);
}

/* What the response is watched for has a state. Without memory its body passes unseen. */
static void watch_begin(struct feed *f)
{
	struct http_conn *conn = f->conn;

	if (f->dir->watch == WATCH_EVENTS) {
		conn->events = conn_memory_take(f->sink, sizeof(*conn->events));
		if (conn->events)
			memset(conn->events, 0, sizeof(*conn->events));
	} else if (f->dir->watch == WATCH_RPC) {
		conn->rpc = conn_memory_take(f->sink, sizeof(*conn->rpc));	/* http_rpc_begin sets it */
	} else {
		return;
	}
	if (!conn->events && !conn->rpc)
		f->dir->watch = WATCH_NONE;
}

static void begin_response(struct feed *f, const struct http_head *head, uint64_t off)
{
	struct http_conn *conn = f->conn;
	uint64_t tag;
	bool tunnel;

	if (head->status < 200 && head->status != 101)
		return;		/* 100 Continue and the like: the answer is yet to come */
	f->dir->call = pair(f, &tag);
	f->dir->is_request = false;
	f->dir->body_bytes = 0;
	f->dir->watch = (uint8_t)http_watch_response(f->sink, f->dir->call, head);
	watch_end(conn, f->sink);	/* of one that was cut off */
	watch_begin(f);
	if (f->dir->call) {
		call_response_begin(f->dir->call, f->chunk, off);
		set_response(f->sink, f->dir->call, head);
		if (f->dir->watch == WATCH_RPC)
			http_rpc_begin(conn->rpc, f->sink, f->dir->call, head);
		else
			set_status(f->sink, f->dir->call, head);
		note_progress(f, here(f));
	}
	tunnel = head->status == 101 || (tag & TAG_CONNECT && head->status < 300);
	if (tunnel) {
		conn->tunnel = true;
		conn->next_l7 = http_upgrade(f->sink, f->dir->call, head);
		if (f->dir->call)
			f->dir->call->tag |= TAG_REQ_DONE;	/* what follows is not HTTP */
	}
	begin_body(f, head, tunnel || tag & TAG_HEAD || head->status == 204 || head->status == 304);
}

/* ---- one step of a state ---- */

/* What should be a start line is none: go on with the next line. */
static enum step lost_track(struct feed *f)
{
	struct view rest = ahead(f), line;

	if (!f->conn->roles)
		return STEP_WRONG;
	f->pos = http_line(&rest, &line) ? f->chunk->bytes.len - rest.len : f->chunk->bytes.len;
	f->dir->state = RESYNC;
	f->dir->garbage = 0;
	f->dir->scanned = 0;
	return STEP_ON;
}

static bool role_fits(const struct http_conn *conn, unsigned d, bool request)
{
	return !conn->roles || request == (conn->client == d);
}

static enum step step_start(struct feed *f)
{
	struct http_head head;
	struct view bytes;
	enum http_start kind;
	size_t len, scanned = f->dir->scanned;

	/* an empty line before a message is ignored (RFC 9112 2.2) */
	while (f->pos < f->chunk->bytes.len &&
	       (f->chunk->bytes.at[f->pos] == '\r' || f->chunk->bytes.at[f->pos] == '\n'))
		f->pos++;
	bytes = ahead(f);
	if (!bytes.len)
		return STEP_WAIT;
	if (!scanned) {
		kind = http_start(bytes);
		if (kind == HTTP_START_NO)
			return lost_track(f);
		if (kind == HTTP_START_MORE)
			return STEP_WAIT;
		if (!role_fits(f->conn, f->d, kind == HTTP_START_REQUEST))
			return lost_track(f);
	}
	len = http_head_end(bytes, &scanned);
	f->dir->scanned = len ? 0 : (uint32_t)scanned;	/* HEAD_MAX at most */
	if (!len)
		return STEP_WAIT;
	if (!http_head_parse(view_sub(bytes, 0, len), &head) || !role_fits(f->conn, f->d, head.request))
		return lost_track(f);	/* the other side may have shown who is who since it began */
	if (!f->conn->roles) {
		f->conn->roles = true;
		f->conn->client = (uint8_t)(head.request ? f->d : !f->d);
	}
	f->pos += len;
	if (head.request)
		begin_request(f, &head, here(f) - len);
	else
		begin_response(f, &head, here(f) - len);
	return f->conn->tunnel ? STEP_SWITCH : STEP_ON;
}

/* A body that is read: up to stop, which is the end of it, or of its chunk, if whole. */
static enum step watch_body(struct feed *f, uint64_t stop, bool whole)
{
	struct http_dir *dir = f->dir;
	size_t to = stop > f->chunk->off ? (size_t)(stop - f->chunk->off) : 0;
	struct view bytes = to > f->pos ? view_sub(f->chunk->bytes, f->pos, to - f->pos) : view_make("", 0);

	if (dir->watch == WATCH_EVENTS) {
		http_events_feed(f->conn->events, dir->call, f->chunk, f->pos, to, f->sink);
		f->pos += bytes.len;
		note_progress(f, here(f));
		return whole ? STEP_ON : STEP_WAIT;
	}
	if (dir->watch == WATCH_RPC) {
		http_rpc_feed(f->conn->rpc, f->sink, dir->call, bytes);
		f->pos += bytes.len;
		note_progress(f, here(f));
		return whole ? STEP_ON : STEP_WAIT;
	}
	if (!whole && !f->chunk->end && http_watch_wants(dir->watch, bytes))
		return STEP_WAIT;
	if (bytes.len)
		http_watch_body(dir->watch, f->sink, dir->call, bytes);
	dir->watch = WATCH_NONE;
	return STEP_ON;
}

static enum step step_body(struct feed *f)
{
	struct http_dir *dir = f->dir;
	uint64_t now = here(f), end = f->chunk->off + f->chunk->bytes.len;
	uint64_t stop = dir->body_end < end ? dir->body_end : end;

	if (dir->watch) {
		enum step rc = watch_body(f, stop, stop == dir->body_end);

		if (rc != STEP_ON)
			return rc;
	}
	if (now < stop)
		f->pos = (size_t)(stop - f->chunk->off);
	if (stop < dir->body_end) {
		if (!f->chunk->bytes.len || f->chunk->end)
			note_progress(f, stop);		/* the flow ends in the middle of it */
		f->skip = dir->body_end;
		return STEP_SKIP;
	}
	if (dir->state == IN_CHUNK) {
		dir->state = IN_CHUNK_END;
		return STEP_ON;
	}
	message_done(f, dir->body_end);
	return STEP_ON;
}

/* The framing of a chunked body is broken: where it ends nobody knows. */
static enum step bad_chunk(struct feed *f, const char *what)
{
	if (f->dir->call)
		call_error(f->sink, f->dir->call, "%s body: %s at byte %llu of it",
			  f->dir->is_request ? "request" : "response", what,
			  (unsigned long long)f->dir->body_bytes);
	f->dir->state = RESYNC;
	f->dir->garbage = 0;
	message_done(f, here(f));
	return STEP_ON;
}

static enum step step_chunk_size(struct feed *f)
{
	struct view bytes = ahead(f), rest = bytes, line;
	uint64_t size;

	if (!http_line(&rest, &line)) {
		if (bytes.len > CHUNK_LINE_MAX)
			return bad_chunk(f, "no chunk size");
		return STEP_WAIT;
	}
	if (!http_chunk_size(line, &size))
		return bad_chunk(f, "bad chunk size");
	f->pos += bytes.len - rest.len;
	f->dir->body_bytes += size;
	note_progress(f, here(f));
	if (!size) {
		f->dir->state = IN_TRAILERS;
		return STEP_ON;
	}
	f->dir->body_end = here(f) + size;
	f->dir->state = IN_CHUNK;
	return STEP_ON;
}

static enum step step_chunk_end(struct feed *f)
{
	struct view bytes = ahead(f);

	if (!bytes.len || (bytes.len == 1 && bytes.at[0] == '\r'))
		return STEP_WAIT;
	if (bytes.at[0] == '\n')
		f->pos++;
	else if (bytes.at[0] == '\r' && bytes.at[1] == '\n')
		f->pos += 2;
	else
		return bad_chunk(f, "chunk longer than its size");
	f->dir->state = IN_CHUNK_SIZE;
	return STEP_ON;
}

static enum step step_trailers(struct feed *f)
{
	struct view bytes = ahead(f), rest = bytes, line;

	if (!http_line(&rest, &line))
		return STEP_WAIT;
	f->pos += bytes.len - rest.len;
	if (!line.len)
		message_done(f, here(f));
	return STEP_ON;
}

static enum step step_until_close(struct feed *f)
{
	if (f->dir->watch) {
		enum step rc = watch_body(f, f->chunk->off + f->chunk->bytes.len, false);

		if (rc != STEP_ON && !f->chunk->end)
			return rc;
	}
	f->pos = f->chunk->bytes.len;
	if (f->chunk->end) {
		message_done(f, here(f));
		return STEP_WAIT;
	}
	note_progress(f, here(f));
	return STEP_REST;
}

/* Offset of the next status line in bytes, or how many of them are surely none. */
static size_t find_response(struct view bytes, bool end, bool *ret_found)
{
	static const struct view mark = VIEW_LIT("HTTP/1.");
	size_t i = 0;

	*ret_found = false;
	for (;;) {
		ptrdiff_t at = view_find(view_sub(bytes, i, bytes.len), mark);
		enum http_start kind;

		if (at < 0)
			break;
		i += (size_t)at;
		kind = http_start(view_sub(bytes, i, bytes.len));
		if (kind == HTTP_START_RESPONSE || (kind == HTTP_START_MORE && !end)) {
			*ret_found = kind == HTTP_START_RESPONSE;
			return i;
		}
		i++;
	}
	for (i = bytes.len > mark.len ? bytes.len - mark.len : 0; i < bytes.len; i++)
		if (memcmp(bytes.at + i, mark.at, bytes.len - i) == 0)
			break;
	return i;
}

/* The same for a request (or anything, while the roles are unknown): only at the start of a line. */
static size_t find_start(const struct feed *f, struct view bytes, bool *ret_found)
{
	size_t i = 0;

	*ret_found = false;
	while (i < bytes.len) {
		struct view rest = view_sub(bytes, i, bytes.len);
		enum http_start kind = http_start(rest);
		const uint8_t *nl;

		if (kind == HTTP_START_REQUEST || kind == HTTP_START_RESPONSE) {
			if (role_fits(f->conn, f->d, kind == HTTP_START_REQUEST)) {
				*ret_found = true;
				return i;
			}
		} else if (kind == HTTP_START_MORE && rest.len < START_LINE_MAX && !f->chunk->end) {
			return i;
		}
		nl = memchr(rest.at, '\n', rest.len);
		i = nl ? i + (size_t)(nl - rest.at) + 1 : bytes.len;
	}
	return i;
}

/* Look for the start of a message; what could be the beginning of one is kept. */
static enum step step_resync(struct feed *f)
{
	bool found, response = f->conn->roles && f->d != f->conn->client;
	struct view bytes = ahead(f);
	size_t n = response ? find_response(bytes, f->chunk->end, &found) : find_start(f, bytes, &found);

	f->pos += n;
	f->dir->garbage += n;
	if (found) {
		f->dir->state = AT_START;
		return STEP_ON;
	}
	if (f->dir->garbage > GARBAGE_MAX)
		f->dir->state = OPAQUE;
	return f->dir->state == OPAQUE ? STEP_REST : STEP_WAIT;
}

static enum step step(struct feed *f)
{
	switch ((enum http_state)f->dir->state) {
	case AT_START:
		return step_start(f);
	case IN_BODY:
	case IN_CHUNK:
		return step_body(f);
	case IN_CHUNK_SIZE:
		return step_chunk_size(f);
	case IN_CHUNK_END:
		return step_chunk_end(f);
	case IN_TRAILERS:
		return step_trailers(f);
	case UNTIL_CLOSE:
		return step_until_close(f);
	case RESYNC:
		return step_resync(f);
	case OPAQUE:
		break;
	}
	return STEP_REST;
}

/* ---- the ends ---- */

/* The client's message in progress will not be finished, and may wait in the queue. */
static void drop_request(struct http_conn *conn, uint8_t reason, struct call_sink *sink)
{
	struct http_dir *dir = &conn->dir[conn->client];
	struct call *call = dir->call;

	dir->call = NULL;
	if (!call)
		return;
	call->tag |= TAG_REQ_DONE;
	if (call->tag & TAG_RSP_DONE)
		end_call(conn, call, reason, sink);
}

static void end_waiting(struct http_conn *conn, uint8_t reason, struct call_sink *sink)
{
	struct call *call;

	while ((call = call_fifo_take(&conn->waiting)))
		end_call(conn, call, reason, sink);
	conn->unopened = conn->unopened_head = 0;
}

/* The direction is closed; bytes from f->pos on are what nobody could use. */
static void direction_end(struct feed *f)
{
	struct http_conn *conn = f->conn;
	struct http_dir *dir = f->dir;
	struct call *call = dir->call;

	if (!conn->roles)
		return;
	if (call)
		call_error(f->sink, call, "%s cut short by the end of the connection",
			  dir->is_request ? "request" : "response");
	if (f->d == conn->client) {
		drop_request(conn, CALL_END_closed, f->sink);
		return;
	}
	if (call)
		end_call(conn, call, CALL_END_closed, f->sink);
	call = conn->waiting.head;
	if (call && dir->state == AT_START && f->pos < f->chunk->bytes.len) {
		call_fifo_take(&conn->waiting);
		call_response_begin(call, f->chunk, here(f));
		call_response_end(call, f->chunk, f->chunk->off + f->chunk->bytes.len);
		call_error(f->sink, call, "response cut short by the end of the connection");
		end_call(conn, call, CALL_END_closed, f->sink);
	}
	end_waiting(conn, CALL_END_unanswered, f->sink);
}

static int64_t http_feed(void *conn, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct feed f = { .conn = conn, .d = d, .chunk = chunk, .sink = sink };
	enum step step_rc;

	f.dir = &f.conn->dir[d];
	call_missing(f.dir->call, chunk->missing);
	do {
		step_rc = step(&f);
	} while (step_rc == STEP_ON);
	if (step_rc == STEP_WRONG)
		return E_FORMAT;
	if (step_rc == STEP_SWITCH)
		return PROTO_SWITCH(f.pos, f.conn->next_l7);
	if (chunk->end) {
		direction_end(&f);
		return (int64_t)chunk->bytes.len;
	}
	if (step_rc == STEP_SKIP)
		return PROTO_SKIP(f.skip - chunk->off);
	return step_rc == STEP_REST ? PROTO_SKIP_REST : (int64_t)f.pos;
}

static int http_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct http_conn *conn = at;
	struct http_dir *dir = &conn->dir[d];
	struct call *call = dir->call;

	(void)off;
	if (dir->state == OPAQUE)
		return 0;
	dir->scanned = 0;
	dir->garbage = 0;
	dir->state = RESYNC;
	if (!conn->roles)
		return 0;
	call_missing(call, len);
	if (d == conn->client) {
		drop_request(conn, CALL_END_gap, sink);
		conn->doubt = conn->waiting.count > 0;
		return 0;
	}
	if (call) {
		end_call(conn, call, CALL_END_gap, sink);
	} else if (conn->waiting.head) {
		/* at least the first of the answers awaited is in the hole */
		call = call_fifo_take(&conn->waiting);
		call_missing(call, len);
		end_call(conn, call, CALL_END_gap, sink);
		conn->doubt = conn->waiting.count > 0;
	}
	return 0;
}

static void http_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct http_conn *conn = at;

	if (conn->roles) {
		if (conn->dir[!conn->client].call)
			end_call(conn, conn->dir[!conn->client].call, reason, sink);
		drop_request(conn, reason, sink);
		end_waiting(conn, reason == CALL_END_closed ? CALL_END_unanswered : reason, sink);
	}
	watch_end(conn, sink);
}

static enum guess http_guess(struct view bytes, const struct guess_hint *hint)
{
	size_t blank = 0;

	if (hint->proto != PROTO_tcp)
		return GUESS_NO;
	while (blank < bytes.len && blank < 4 && (bytes.at[blank] == '\r' || bytes.at[blank] == '\n'))
		blank++;
	switch (http_start(view_sub(bytes, blank, bytes.len))) {
	case HTTP_START_REQUEST:
	case HTTP_START_RESPONSE:
		return GUESS_YES;
	case HTTP_START_MORE:
		return GUESS_MORE;
	case HTTP_START_NO:
		break;
	}
	return GUESS_NO;
}

const struct proto_ops proto_http = {
	.id = L7_http,
	.name = "http",
	.title = "HTTP/1.x",
	.conn_size = sizeof(struct http_conn),
	.hold_bytes = HEAD_MAX,
	.guess = http_guess,
	.feed = http_feed,
	.gap = http_gap,
	.close = http_close,
	.detail = http_detail,
};
