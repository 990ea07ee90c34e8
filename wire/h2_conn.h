/* What proto_http2.c (frames), h2_call.c (streams and their calls) and h2_body.c share. Nobody else includes it. */
#ifndef WIRE_H2_CONN_H
#define WIRE_H2_CONN_H

#include "wire/dissect.h"
#include "wire/grpc_msg.h"
#include "wire/h2_frame.h"
#include "wire/hpack.h"
#include "wire/http_upgrade.h"
#include "wire/http_watch.h"

#define H2_BUCKETS	64
#define H2_OPEN_MAX	4096	/* streams of a connection; further ones are refused and counted */

enum { H2_REQ, H2_RSP };

/* call_memory() of each open call; call->tag is the stream, call->next the next one of its bucket. */
struct h2_stream {
	bool head[2], done[2];	/* H2_REQ, H2_RSP */
	bool pushed;
	bool doubt;		/* frames that may have been its own were lost */
	bool unknown_trailers;	/* they hold fields that could not be read */
	uint8_t reason;		/* CALL_END_... when both halves are done */
	uint8_t kind;		/* enum grpc_kind */
	uint16_t http_status;
	bool has_grpc_status;
	uint64_t frame_bytes[2], body_bytes[2];
	uint64_t last_ns;	/* its last frame */
	struct grpc_walk walk;	/* of the response */
	uint8_t watch[2];	/* enum http_watch: what a body that is no RPC's is read for */
	struct h2_peek *peek[2];	/* its first bytes */
	struct http_events *events;	/* of the response */
};

/* What a header block says, while its pieces come. */
struct h2_block {
	bool open;		/* CONTINUATION must follow */
	bool bad;		/* the rest of it cannot be read */
	bool end_stream;
	bool promise;
	bool request, response;	/* pseudo-fields of the one or the other */
	bool host;		/* :authority was there */
	uint8_t kind;		/* enum grpc_kind of the content-type */
	uint8_t trace_rank;
	uint16_t status;
	uint32_t stream;
	uint32_t unknown;	/* fields */
	uint64_t off, end_off, time_ns;	/* first byte, the byte behind the last frame so far, arrival */
	struct view grpc_status, grpc_message;	/* texts of the call */
	struct view content_type, content_encoding;
	struct call *call;
};

enum h2_state { H2_AT_FRAME, H2_IN_SKIP, H2_IN_DATA, H2_LOST };

struct h2_dir {
	struct hpack hpack;
	struct h2_block block;
	uint8_t state;
	bool begun;		/* a frame was read */
	uint32_t garbage;	/* bytes passed over in H2_LOST */
	struct h2_frame frame;	/* in progress */
	uint64_t frame_end;	/* stream offsets */
	uint64_t data_pos, data_end;	/* H2_IN_DATA: counted up to here; end without padding */
	struct call *call;	/* of the DATA in progress; NULL: nobody's */
};

struct h2_conn {
	struct h2_dir dir[2];
	struct call *bucket[H2_BUCKETS];
	uint32_t open;
	uint32_t first_id, last_id;	/* requests seen since the last loss; 0: none */
	bool sure;		/* this is HTTP/2 beyond doubt */
	bool roles;
	uint8_t client;		/* direction of the requests; a guess while roles is not set */
	bool upgraded;		/* stream 1 is answered here, asked in HTTP/1.1 */
	bool goaway;
	uint32_t goaway_code;
};

/* One call of feed(). */
struct h2_feed {
	struct h2_conn *conn;
	struct h2_dir *dir;
	unsigned d;
	const struct chunk *chunk;
	struct call_sink *sink;
	size_t pos;		/* consumed so far */
};

/* Which half of a call the direction carries. */
static inline unsigned h2_side(const struct h2_feed *f)
{
	return f->d == f->conn->client ? H2_REQ : H2_RSP;
}

/* ---- h2_call.c ---- */

struct h2_stream *h2_stream_of(const struct call *call);
struct call *h2_find(const struct h2_conn *conn, uint32_t stream);
/* No direction keeps a call that is gone. */
void h2_end(struct h2_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink);
/* The flow, or one side of it, is over. */
void h2_end_all(struct h2_conn *conn, uint8_t reason, struct call_sink *sink);

/* HEADERS or PUSH_PROMISE begins; off: of the frame. */
void h2_block_begin(struct h2_feed *f, uint32_t stream, uint64_t off);
/* Piece of a block, in the frame that ends at end_off; last: the block is whole. */
void h2_block_piece(struct h2_feed *f, struct view piece, bool last, uint64_t end_off);
/* What is still to come of a block in progress was lost. */
void h2_block_drop(struct h2_conn *conn, struct h2_dir *dir, struct call_sink *sink);

/* DATA begins: the frame at off, of its payload body bytes. Sets dir->call. */
void h2_data_begin(struct h2_feed *f, uint64_t off);
/* DATA has come as far as end_off; whole: that is the frame's end. */
void h2_data_progress(struct h2_feed *f, uint64_t end_off, bool whole);

void h2_reset(struct h2_feed *f, uint32_t stream, uint32_t code);
void h2_goaway(struct h2_feed *f, uint32_t last, uint32_t code, struct view debug);
/* len bytes of direction d were lost. */
void h2_doubt(struct h2_conn *conn, unsigned d, uint64_t len, struct call_sink *sink);
void h2_tick(struct h2_conn *conn, uint64_t now_ns, struct call_sink *sink);

/* ---- h2_body.c: what is read of DATA ---- */

/* The head of a message that is no RPC's was read: is there more to know of its body? */
void h2_body_begin(struct h2_feed *f, struct call *call, unsigned side, const struct h2_block *block);
/* DATA of the call at stream offsets [from, to), of which those before the chunk were not seen. */
void h2_body_read(struct h2_feed *f, struct call *call, unsigned side, uint64_t from, uint64_t to);
/* So many of the bytes to come need not be shown. */
uint64_t h2_body_blind(const struct h2_stream *stream, unsigned side);
/* Bytes that may have been the message's were lost. */
void h2_body_lose(struct call *call, unsigned side, struct call_sink *sink);
/* No more will come. */
void h2_body_end(struct call *call, unsigned side, uint8_t reason, struct call_sink *sink);

#endif
