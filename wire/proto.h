/*
 * Dissectors: one file per protocol, bytes in, calls out.
 *
 * wire/stream.c hands each direction's bytes, in order, to feed(). A dissector
 * does not allocate, log, block or keep a pointer to its input; it keeps state
 * in conn (conn_size bytes, zeroed at start) and texts in the calls it opens.
 */
#ifndef WIRE_PROTO_H
#define WIRE_PROTO_H

#include "base/json.h"
#include "base/view.h"
#include "schema/schema.h"

enum guess { GUESS_NO, GUESS_MAYBE, GUESS_YES, GUESS_MORE };	/* MORE: too few bytes to tell */

/* What the wire looks like to guess() and feed(). */
struct guess_hint {
	uint8_t proto;			/* IP protocol */
	uint16_t src_port, dst_port;	/* of the flow: dst is who was connected to */
	unsigned dir;			/* direction of the bytes: 0 tx, 1 rx */
	uint32_t ppid;			/* SCTP: what the sender says the message is, 0: nothing */
	uint8_t before;			/* L7_... that handed the flow over (PROTO_SWITCH), else L7_none */
	struct view note;		/* what it said of what follows: call_note() */
};

/*
 * A piece of one direction's stream, contiguous, starting at stream offset off.
 * What feed() does not consume comes again, with more behind it.
 *
 * bytes may be empty: the skip asked for is over (or cut short: off is how far
 * it came), or end is set. So a message whose body was skipped can be ended the
 * moment its last byte arrives.
 */
struct chunk {
	struct view bytes;
	uint64_t off;		/* stream offset of bytes.at[0]; 0 = first byte after the SYN */
	bool end;		/* nothing follows: FIN. Reset and end of capture come as close() */
	bool datagram;		/* UDP: bytes is exactly one datagram; SCTP: one user message */
	bool has_seq;		/* TCP: seq is that of stream offset 0; SCTP: at off it is the TSN of the message */
	bool begun;		/* TCP: what was fed of this direction began with its first byte, or where another protocol handed over */
	uint8_t dir;
	uint32_t seq;
	bool has_heard;		/* TCP: heard_off is known */
	uint64_t heard_off;	/* who sent the last of bytes had acknowledged the other direction's up to here */
	uint64_t missing;	/* bytes of the range skipped just before off (datagram: at its end) that were not captured */
	const struct guess_hint *flow;
	const struct chunk_times *times;	/* for chunk_time() */
	uint64_t time_ns;	/* arrival of the last byte */
	uint64_t before_ns;	/* arrival of the byte before off */
};

/* When the byte at stream offset off arrived: of the chunk, or before it. */
uint64_t chunk_time(const struct chunk *chunk, uint64_t off);

/*
 * A call under construction. Opened by a dissector, filled by it, ended once.
 * row's endpoint, process and flow columns are filled by the owner of the sink
 * when the call ends; a dissector sets the columns from `method` on and uses
 * the four functions below for times, lengths and positions.
 */
struct call {
	struct call_row row;
	struct call *next;	/* the dissector's own queue */
	uint64_t tag;		/* the dissector's own: stream id, message id */
	void *state;		/* the dissector's own: call_memory() */
	uint64_t req_off, rsp_off;	/* stream offsets of the first bytes */
	uint8_t req_dir;	/* direction of the request: 1 where the flow's source is the one who answers */
	bool has_req, has_rsp;
	bool rsp_whole;		/* set by the dissector: the last byte of the response was seen, whatever is missing before */
};

struct call_sink;		/* one per flow; wire/calls.h */

/* False: calls of this protocol are switched off. For what one protocol reads out of another's calls; streams ask by themselves. */
bool call_wanted(const struct call_sink *sink, uint8_t l7);
/* NULL when the budget of open calls is used up: the dissector goes on without (counted). */
struct call *call_open(struct call_sink *sink, uint16_t l7);
/* Count a call that is left out because one before it was refused and the order would be lost. */
void call_refuse(struct call_sink *sink);
/* Copy a text into the call's memory, cut to at most max bytes. The result lives until the call has ended. */
struct view call_text(struct call_sink *sink, struct call *call, struct view text, size_t max);
/* Zeroed memory for the dissector's own state of a call, until the call has ended. NULL when the budget is used up. */
void *call_memory(struct call_sink *sink, struct call *call, size_t bytes);
/*
 * Memory of a connection beyond conn_size; every piece must be back when close() returns. NULL when three quarters of
 * the budget of texts are used up, so that what connections remember leaves room for their calls.
 */
void *conn_memory_take(struct call_sink *sink, size_t bytes);
void conn_memory_give(struct call_sink *sink, void *at);	/* takes NULL */
/* First byte of the request (response) is at off; sets start_ns / rsp_first_ns and req_seq / rsp_seq. */
void call_request_begin(struct call *call, const struct chunk *chunk, uint64_t off);
void call_response_begin(struct call *call, const struct chunk *chunk, uint64_t off);
/* The byte before end_off was its last one; sets req_bytes / rsp_bytes and the times. May be called again as it grows. */
void call_request_end(struct call *call, const struct chunk *chunk, uint64_t end_off);
void call_response_end(struct call *call, const struct chunk *chunk, uint64_t end_off);
/*
 * Something the next dissector has to know: an upgrade's target, the options it
 * agreed on. For a feed() that returns PROTO_SWITCH next. Cut to CALL_NOTE_MAX.
 */
#define CALL_NOTE_MAX 512
void call_note(struct call_sink *sink, struct view note);
/* A TLS handshake is over with this chunk; app_follows: more of the client's bytes stand behind it. Told of the flow. */
void call_sink_tls_done(struct call_sink *sink, const struct chunk *chunk, unsigned client, bool app_follows);
/* The time of what is being fed now. */
uint64_t call_sink_now(const struct call_sink *sink);
/*
 * Emit the row and give the call back. reason is CALL_END_...; a complete call of
 * which bytes are missing ends as gap. end_ns stays what it is when it is set.
 */
void call_end(struct call_sink *sink, struct call *call, uint8_t reason);

/* A FIFO of calls through call->next, for protocols that answer in order. */
struct call_fifo {
	struct call *head, *tail;
	uint32_t count;
};
void call_fifo_put(struct call_fifo *fifo, struct call *call);
void call_fifo_put_first(struct call_fifo *fifo, struct call *call);
struct call *call_fifo_take(struct call_fifo *fifo);		/* NULL when empty */
void call_fifo_end_all(struct call_fifo *fifo, struct call_sink *sink, uint8_t reason);

/* What went before a call on its connection, for detail_after(). */
struct call_before {
	/* of the direction of either half, up to its first byte; what was not captured is not in it. Empty: none to be had */
	struct view request, response;
	bool request_whole, response_whole;	/* from the first byte of the connection on */
};

struct proto_ops {
	uint8_t id;			/* L7_... */
	const char *name;		/* as in enums.def */
	const char *title;		/* for people: "HTTP/1.x" */
	size_t conn_size;
	/* bytes a direction may hold back while its feed() waits for more; beyond it the stream is a gap. 0 = 64 KiB */
	size_t hold_bytes;
	/* datagrams of the request may come while it is answered: they are those from start_ns on, req_bytes of them */
	bool request_outlasts;
	/* Pure. bytes: the first of one direction, or one datagram. */
	enum guess (*guess)(struct view bytes, const struct guess_hint *hint);
	/*
	 * Take bytes of direction dir. Returns how many were consumed (the rest comes
	 * again), or PROTO_SKIP(n): n bytes from here on need not be shown (they may
	 * be more than the chunk holds), or PROTO_SWITCH(n, l7): another protocol
	 * follows, or a negative number: these bytes are not this protocol, the guess
	 * was wrong.
	 */
	int64_t (*feed)(void *conn, unsigned dir, const struct chunk *chunk, struct call_sink *sink);
	/*
	 * len bytes of direction dir at stream offset off were not captured; bytes before them
	 * that feed() left are dropped. Resynchronise, or give up (return < 0). Not called for
	 * what lies in a range being skipped: that is chunk.missing.
	 */
	int (*gap)(void *conn, unsigned dir, uint64_t off, uint64_t len, struct call_sink *sink);
	/* The flow is over: end what is open. reason: CALL_END_unanswered, _reset, _closed, _capture_end, _evicted. */
	void (*close)(void *conn, uint8_t reason, struct call_sink *sink);
	/* Time passes while nothing arrives; end calls older than their timeout. May be NULL. */
	void (*tick)(void *conn, uint64_t now_ns, struct call_sink *sink);
	/*
	 * Show one call in full from its exact bytes (either may be empty): writes
	 * members into the open JSON object: "request": {...}, "response": {...}.
	 * Bodies longer than body_max are cut, with "truncated": true.
	 */
	int (*detail)(struct view request, struct view response, size_t body_max, struct json *json);
	/*
	 * The same where a message can be read in full only after those before it
	 * (compression with a memory); asked instead of detail() when before_bytes, the
	 * most of each direction that is of use, is set.
	 */
	int (*detail_after)(const struct call_before *before, struct view request, struct view response, size_t body_max,
			    struct json *json);
	size_t before_bytes;
};

#define PROTO_SKIP_BASE ((int64_t)1 << 60)
#define PROTO_SKIP(n) (PROTO_SKIP_BASE + (int64_t)(n))
/* All that follows: an empty chunk with end set comes at the FIN. */
#define PROTO_SKIP_REST PROTO_SKIP((int64_t)1 << 59)

/*
 * n bytes were consumed; what follows them in this direction, and what the other
 * direction has not consumed yet, is l7, or L7_none to have it guessed from its
 * first bytes. close() comes at once, with CALL_END_closed. Streams only.
 */
#define PROTO_SWITCH_BASE ((int64_t)1 << 61)
#define PROTO_SWITCH(n, l7) (PROTO_SWITCH_BASE + ((int64_t)(l7) << 40) + (int64_t)(n))

/* Generated from the file names wire/proto_*.c. NULL-terminated. */
extern const struct proto_ops *const protos[];
const struct proto_ops *proto_by_id(uint8_t id);

#endif
