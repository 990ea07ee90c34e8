#include "wire/http_watch.h"

#include <string.h>
#include <strings.h>

#include "wire/dissect.h"
#include "wire/graphql.h"

#define EVENT_NAME_MAX	64
#define BEGIN_BYTES	64	/* of a JSON body: what it is can be told then */
#define EVENT_ID_MAX	128

static bool contains(struct view text, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= text.len; i++)
		if (strncasecmp((const char *)text.at + i, word, len) == 0)
			return true;
	return false;
}

/* ---- GraphQL ---- */

static void set_operation(struct call_sink *sink, struct call *call, const struct graphql_op *op)
{
	struct view name = view_make(op->name, op->name_len);

	call->row.l7 = L7_graphql;
	CALL_TEXT(sink, call, method, view_str(op->type), 16);
	CALL_TEXT(sink, call, target, name, GRAPHQL_NAME_MAX);
	CALL_TEXT(sink, call, target_template, name, GRAPHQL_NAME_MAX);
}

enum http_watch http_watch_request(struct call_sink *sink, struct call *call, const struct http_head *head)
{
	enum grpc_kind rpc = grpc_wanted(sink, grpc_kind(head->content_type));
	struct graphql_op op;

	if (!call || head->content_encoding.len)
		return WATCH_NONE;
	if (rpc == GRPC_WEB || rpc == GRPC_WEB_TEXT) {
		grpc_set_request(call, rpc);
		return WATCH_NONE;
	}
	if (!call_wanted(sink, L7_graphql))
		return WATCH_NONE;
	if (view_is(head->method, "POST"))
		return contains(head->content_type, "json") ? WATCH_OPERATION : WATCH_NONE;
	if (view_is(head->method, "GET")) {
		const uint8_t *at = head->target.len ? memchr(head->target.at, '?', head->target.len) : NULL;
		struct view query = at ? view_sub(head->target, (size_t)(at - head->target.at) + 1, head->target.len) :
				    view_make("", 0);

		if (contains(query, "query=") && graphql_url(query, &op))
			set_operation(sink, call, &op);
	}
	return WATCH_NONE;
}

enum http_watch http_watch_response(struct call_sink *sink, struct call *call, const struct http_head *head)
{
	static const struct view events = VIEW_LIT("text/event-stream");
	enum grpc_kind rpc = grpc_wanted(sink, grpc_kind(head->content_type));

	if (!call)
		return WATCH_NONE;
	if (rpc == GRPC_WEB || rpc == GRPC_WEB_TEXT)
		grpc_set_request(call, rpc);
	if (call->row.l7 == L7_grpc_web)
		return WATCH_RPC;
	if (head->content_encoding.len)
		return WATCH_NONE;
	if (contains(view_sub(head->content_type, 0, events.len), (const char *)events.at) && head->status == 200 &&
	    call_wanted(sink, L7_sse)) {
		if (call->row.l7 != L7_graphql)
			call->row.l7 = L7_sse;
		return WATCH_EVENTS;
	}
	return call->row.l7 == L7_graphql ? WATCH_ERRORS : WATCH_NONE;
}

bool http_watch_wants(enum http_watch watch, struct view bytes)
{
	if (bytes.len >= WATCH_PEEK_BYTES)
		return false;
	return watch == WATCH_ERRORS || (watch == WATCH_OPERATION && (bytes.len < BEGIN_BYTES || graphql_begins(bytes)));
}

void http_watch_body(enum http_watch watch, struct call_sink *sink, struct call *call, struct view bytes)
{
	struct graphql_op op;
	struct graphql_errors errors;

	bytes = view_sub(bytes, 0, WATCH_PEEK_BYTES);
	if (watch == WATCH_OPERATION && graphql_begins(bytes) && graphql_body(bytes, &op)) {
		set_operation(sink, call, &op);
	} else if (watch == WATCH_ERRORS && graphql_errors(bytes, &errors)) {
		call_error(sink, call, "%.*s", (int)errors.text_len, errors.text);
		if (call->row.status_class == CLASS_ok)
			ROW_SET(CALL, &call->row, status_class, errors.client ? CLASS_client_error : CLASS_server_error);
	}
}

/* ---- server-sent events: HTML standard, 9.2 ---- */

static void open_event(struct http_events *events, struct call *page, const struct chunk *chunk, size_t pos,
		       struct call_sink *sink)
{
	struct call *call = call_open(sink, L7_sse);

	events->open = true;
	events->bytes = events->data_bytes = 0;
	events->event = call;
	if (!call)
		return;
	call_request_begin(call, chunk, chunk->off + pos);
	CALL_TEXT(sink, call, method, view_str("message"), EVENT_NAME_MAX);
	if (!page)
		return;
	CALL_TEXT(sink, call, target, page->row.target, page->row.target.len);
	CALL_TEXT(sink, call, target_template, page->row.target_template, page->row.target_template.len);
	CALL_TEXT(sink, call, host, page->row.host, page->row.host.len);
	CALL_TEXT(sink, call, version, page->row.version, page->row.version.len);
}

/* line may be cut; len is how long it is. */
static void read_line(struct http_events *events, struct view line, uint64_t len, struct call_sink *sink)
{
	const uint8_t *colon = line.len ? memchr(line.at, ':', line.len) : NULL;
	struct view name = view_sub(line, 0, colon ? (size_t)(colon - line.at) : line.len);
	struct view value = view_sub(line, name.len + 1, line.len);
	struct call *call = events->event;

	if (value.len && value.at[0] == ' ')
		value = view_sub(value, 1, value.len);
	if (view_is(name, "data"))
		events->data_bytes += value.len + (len - line.len);
	if (call && view_is(name, "event"))
		CALL_TEXT(sink, call, method, value, EVENT_NAME_MAX);
	if (call && view_is(name, "id"))
		CALL_TEXT(sink, call, key, value, EVENT_ID_MAX);
}

/* Its lines may lie in several frames or chunks: their size is not the distance from the first to the last. */
static void event_grow(struct http_events *events, const struct chunk *chunk, size_t pos)
{
	struct call *call = events->event;

	if (!call)
		return;
	call_request_end(call, chunk, chunk->off + pos);
	if (call->row.req_bytes != events->bytes)
		ROW_SET(CALL, &call->row, req_span_bytes, call->row.req_bytes);
	ROW_SET(CALL, &call->row, req_bytes, events->bytes);
}

static void end_event(struct http_events *events, struct call_sink *sink)
{
	struct call *call = events->event;

	events->open = false;
	events->event = NULL;
	events->count++;
	if (!call)
		return;
	ROW_SET(CALL, &call->row, req_body_bytes, events->data_bytes);
	call_end(sink, call, CALL_END_oneway);
}

/* The beginning of a line, or more of it. */
static void keep_piece(struct http_events *events, struct view piece)
{
	if (events->line_len < EVENT_LINE_BYTES) {
		struct view fits = view_sub(piece, 0, EVENT_LINE_BYTES - (size_t)events->line_len);

		memcpy(events->line + events->line_len, fits.at, fits.len);
	}
	events->line_len += piece.len;
	events->line_last = piece.at[piece.len - 1];
}

/* piece ends the line. The line, as much of it as is kept, without its CR; *ret_len: all of it. */
static struct view whole_line(struct http_events *events, struct view piece, uint64_t *ret_len)
{
	struct view line = piece;

	*ret_len = piece.len;
	if (events->line_len) {
		if (piece.len)
			keep_piece(events, piece);
		*ret_len = events->line_len;
		if (events->line_last == '\r')
			--*ret_len;
		line = view_make(events->line, *ret_len < EVENT_LINE_BYTES ? (size_t)*ret_len : EVENT_LINE_BYTES);
		events->line_len = 0;
	} else if (piece.len && piece.at[piece.len - 1] == '\r') {
		line.len--;
		--*ret_len;
	}
	return line;
}

/* Behind a hole: from the first empty line on, all is known again. */
static void pass_line(struct http_events *events, struct view line)
{
	if (!events->lost_line && !line.len)
		events->lost = false;
	events->lost_line = false;
}

void http_events_feed(struct http_events *events, struct call *page, const struct chunk *chunk, size_t pos,
		      size_t stop, struct call_sink *sink)
{
	while (pos < stop) {
		const uint8_t *at = chunk->bytes.at + pos, *nl = memchr(at, '\n', stop - pos);
		struct view piece = view_make(at, nl ? (size_t)(nl - at) : stop - pos), line;
		size_t next = pos + piece.len + (nl ? 1 : 0);
		uint64_t len;

		if (!events->open && !events->lost && !events->line_len && piece.len && piece.at[0] != ':' &&
		    piece.at[0] != '\r')
			open_event(events, page, chunk, pos, sink);
		if (events->open)
			events->bytes += next - pos;
		pos = next;
		if (!nl) {
			keep_piece(events, piece);
			event_grow(events, chunk, pos);
			continue;
		}
		line = whole_line(events, piece, &len);
		event_grow(events, chunk, pos);
		if (events->lost)
			pass_line(events, line);
		else if (line.len && events->open && line.at[0] != ':')
			read_line(events, line, len, sink);
		else if (!line.len && events->open)
			end_event(events, sink);
	}
}

static void stop_event(struct http_events *events, uint8_t reason, struct call_sink *sink)
{
	if (events->event && events->line_len) {
		uint64_t len;
		struct view line = whole_line(events, view_make("", 0), &len);

		if (len && line.at[0] != ':')
			read_line(events, line, len, sink);
	}
	if (events->event)
		call_end(sink, events->event, reason);
	events->event = NULL;
	events->open = false;
	events->line_len = 0;
}

void http_events_lose(struct http_events *events, struct call_sink *sink)
{
	stop_event(events, CALL_END_gap, sink);
	events->lost = events->lost_line = true;
}

void http_events_end(struct http_events *events, struct call *page, uint8_t reason, struct call_sink *sink)
{
	if (page && events->count)
		ROW_SET(CALL, &page->row, rows, events->count);
	stop_event(events, reason, sink);
	*events = (struct http_events){ .count = 0 };
}

/* ---- gRPC-Web ---- */

void http_rpc_begin(struct http_rpc *rpc, struct call_sink *sink, struct call *call, const struct http_head *head)
{
	struct view rest = head->fields, name, value, status = view_make("", 0), message = status;

	*rpc = (struct http_rpc){ .http_status = head->status,
				  .walk.text = grpc_kind(head->content_type) == GRPC_WEB_TEXT,
				  .other = grpc_kind(head->content_type) == GRPC_NO || head->content_encoding.len };
	while (http_field_next(&rest, &name, &value)) {	/* without messages the status may stand in the head */
		if (view_ieq(name, "grpc-status"))
			status = value;
		else if (view_ieq(name, "grpc-message"))
			message = value;
	}
	grpc_set_status(sink, call, status, message);
	rpc->has_status = status.len > 0;
}

void http_rpc_feed(struct http_rpc *rpc, struct call_sink *sink, struct call *call, struct view bytes)
{
	if (rpc->other)
		return;
	if (grpc_walk_bytes(&rpc->walk, bytes, sink, call) && call)
		rpc->has_status |= grpc_set_trailers(sink, call, grpc_walk_trailers(&rpc->walk));
}

void http_rpc_end(struct http_rpc *rpc, struct call_sink *sink, struct call *call, bool whole)
{
	if (!call)
		return;
	ROW_SET(CALL, &call->row, rows, rpc->walk.count);
	if (whole && !rpc->has_status)
		grpc_set_missing(sink, call, rpc->http_status);
}
