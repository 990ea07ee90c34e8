/*
 * What is read of HTTP bodies for the row of a call: the operation of a GraphQL
 * request, the errors in its response, the events of a text/event-stream, the
 * messages and trailers of gRPC-Web. All other bodies pass unseen. Pure; for every version of HTTP.
 */
#ifndef WIRE_HTTP_WATCH_H
#define WIRE_HTTP_WATCH_H

#include "wire/grpc_msg.h"
#include "wire/http_head.h"
#include "wire/proto.h"

enum http_watch { WATCH_NONE, WATCH_OPERATION, WATCH_ERRORS, WATCH_EVENTS, WATCH_RPC };

#define WATCH_PEEK_BYTES 4096	/* of a body that WATCH_OPERATION and WATCH_ERRORS want to see, if it has so many */

/* By what the head says. May make the call a GraphQL call (an operation in the URL), an RPC, or one of server-sent events. */
enum http_watch http_watch_request(struct call_sink *sink, struct call *call, const struct http_head *head);
enum http_watch http_watch_response(struct call_sink *sink, struct call *call, const struct http_head *head);

/* More of a body that begins with bytes is worth waiting for, up to WATCH_PEEK_BYTES. */
bool http_watch_wants(enum http_watch watch, struct view bytes);
/* The first bytes of the body, as many as are there or wanted. WATCH_OPERATION and WATCH_ERRORS. */
void http_watch_body(enum http_watch watch, struct call_sink *sink, struct call *call, struct view bytes);

/* ---- gRPC-Web: the response of an RPC ---- */

struct http_rpc {
	struct grpc_walk walk;
	uint16_t http_status;
	bool has_status;
	bool other;	/* the body is something else: a proxy's page */
};

void http_rpc_begin(struct http_rpc *rpc, struct call_sink *sink, struct call *call, const struct http_head *head);
void http_rpc_feed(struct http_rpc *rpc, struct call_sink *sink, struct call *call, struct view bytes);
/* whole: the response came to its end. */
void http_rpc_end(struct http_rpc *rpc, struct call_sink *sink, struct call *call, bool whole);

/* ---- text/event-stream: each event is a call of its own, sent by the server ---- */

#define EVENT_LINE_BYTES 160	/* of a line that comes in pieces: a field's name, and a value that is kept */

struct http_events {	/* zeroed at the body's start */
	struct call *event;	/* in progress */
	bool open;		/* also where there was no room for a call */
	bool lost_line, lost;	/* bytes are missing: so are what is left of the line, of the event */
	uint64_t bytes, data_bytes;	/* of the event: its lines, its data */
	uint64_t count;
	uint64_t line_len;	/* of a line of which the end is yet to come */
	uint8_t line[EVENT_LINE_BYTES], line_last;
};

/* bytes [pos, stop) of the chunk are the body's; none of them is needed again. */
void http_events_feed(struct http_events *events, struct call *page, const struct chunk *chunk, size_t pos,
		      size_t stop, struct call_sink *sink);
/* Bytes of the body were not captured: the event they were in ends. */
void http_events_lose(struct http_events *events, struct call_sink *sink);
/* The body is over, and so is an event in progress; page (may be NULL) is told how many there were. */
void http_events_end(struct http_events *events, struct call *page, uint8_t reason, struct call_sink *sink);

#endif
