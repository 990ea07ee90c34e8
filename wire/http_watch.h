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
enum http_watch http_watch_response(struct call *call, const struct http_head *head);

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

struct http_events {
	struct call *event;	/* in progress */
	bool open;		/* also where there was no room for a call */
	uint64_t data_bytes;
	uint64_t count;
};

/*
 * bytes [pos, stop) of the chunk are the body's. Returns what is left for later:
 * the position of a line that is not whole. cut: nothing of it will come.
 */
size_t http_events_feed(struct http_events *events, struct call *page, const struct chunk *chunk, size_t pos,
			size_t stop, bool cut, struct call_sink *sink);
void http_events_end(struct http_events *events, uint8_t reason, struct call_sink *sink);

#endif
