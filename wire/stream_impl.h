/*
 * What wire/reasm.c (segments into order) and wire/stream.c (bytes in order to
 * the dissector) share. Nobody else includes it.
 */
#ifndef WIRE_STREAM_IMPL_H
#define WIRE_STREAM_IMPL_H

#include "wire/blocks.h"
#include "wire/stream.h"

#define NO_ACK UINT64_MAX

/* A segment that waits: for a hole before it, or for bytes of the other side it has seen. */
struct seg {
	struct seg *next;
	uint64_t off;
	uint64_t len;		/* bytes of the stream it covers */
	uint64_t drop;		/* leading bytes not stored: the dissector skips them */
	uint64_t have;		/* bytes stored behind them; what is missing up to len was cut by the snaplen */
	uint64_t time_ns;
	uint64_t ack_off;	/* what it acknowledges of the other direction, or NO_ACK */
	uint8_t bytes[];
};

#define MARKS_MAX 24

/* When held bytes arrived: mark i stands for the bytes from its off to the next one's. */
struct chunk_times {
	unsigned count;
	struct {
		uint64_t off, time_ns;
	} mark[MARKS_MAX];
};

/* Bytes in order that the dissector has not consumed. */
struct hold {
	size_t start, len;	/* bytes [start, start + len) of the block */
	struct chunk_times times;
	uint8_t bytes[];
};

struct stream_dir {
	uint64_t next_off;	/* next byte expected from the wire */
	uint64_t skip_end;	/* bytes before it are not shown */
	uint64_t skip_missing;	/* of those skipped: not captured */
	uint64_t acked_off;	/* the other side has acknowledged up to here */
	uint64_t fin_off;
	uint64_t hole_ns;	/* when the hole at next_off was first known to be no mere disorder; 0 = none */
	uint64_t last_ns;	/* arrival of the byte before next_off */
	uint64_t heard_off;	/* what was delivered acknowledges of the other direction, + 1; 0: not known */
	uint64_t blank_ns;	/* when bytes were given up that nobody knew, while the other side held some; 0 = none */
	struct seg *head, *tail;	/* by offset, disjoint */
	struct hold *hold;
	uint32_t seq0;		/* sequence number of offset 0 */
	uint32_t first_acked_seq, acked_seq;	/* first and last acknowledgement as they stood in the packets; valid while acked is set */
	uint32_t seg_bytes;
	uint16_t seg_count;
	uint8_t wild;		/* segments in a row that are far outside the window */
	uint8_t guesses;	/* tries left to recognise the protocol */
	bool acked;
	bool started;		/* seq0 is known */
	bool syn;		/* its beginning was seen */
	bool midway;		/* but the dissector was not shown it */
	bool fin;		/* fin_off is valid */
	bool ended;		/* the dissector has seen the end */
};

enum stream_state { STREAM_GUESSING, STREAM_DISSECTING, STREAM_DEAD };

struct stream {
	struct stream_pool *pool;
	struct call_sink *sink;
	const struct proto_ops *ops;
	void *conn;
	uint64_t tried;		/* bit i: protos[i] was a wrong guess */
	struct guess_hint hint;
	uint8_t state;
	uint8_t switches;	/* how often one protocol handed over to another */
	bool revised;
	struct stream_counts counts;
	uint8_t *note;		/* hint.note lies here */
	struct sctp_reasm *sctp;	/* SCTP, while it is not dead */
	struct stream_dir dir[2];
};

struct stream_pool {
	struct block_pool *blocks;	/* buffers and dissectors' states */
	struct block_pool *streams;
	size_t flow_bytes_max;
	bool dissect_off;
	struct stream_stats stats;
};

/* wire/stream.c: bytes at next_off, in order. Each may end the stream (state DEAD): look before going on. */
void stream_deliver(struct stream *stream, unsigned dir, struct view bytes, uint64_t time_ns);
void stream_pass(struct stream *stream, unsigned dir, uint64_t len, uint64_t time_ns);	/* within the skip */
void stream_gap(struct stream *stream, unsigned dir, uint64_t len);
void stream_fin(struct stream *stream, unsigned dir, uint64_t time_ns);
void stream_budget_hit(struct stream *stream);

/* A user message of SCTP. */
struct message {
	struct view bytes;
	uint64_t missing;	/* at its end: not captured */
	uint32_t tsn, ppid;	/* of its first piece */
	uint64_t first_ns, time_ns;	/* arrival of the first and the last piece */
	size_t last_off;	/* where the last one's bytes begin */
};
void stream_message(struct stream *stream, unsigned dir, const struct message *message);
void stream_message_lost(struct stream *stream, unsigned dir);	/* one or more were not captured */

/* wire/stream_pool.c. A stream, zeroed but for its pool; NULL: out of memory. */
struct stream *stream_take(struct stream_pool *pool);
void stream_give(struct stream *stream);
/* Accounted blocks; NULL counts as a budget hit. */
void *stream_buf_take(struct stream *stream, size_t bytes);
void stream_buf_give(struct stream_pool *pool, void *buf);

/* wire/hold.c */
void hold_drop(struct stream *stream, struct stream_dir *dir);
struct view hold_view(const struct stream_dir *dir);
/* The first bytes of the hold are consumed; off is the offset of those that stay. */
void hold_consume(struct stream *stream, struct stream_dir *dir, size_t bytes, uint64_t off);
/* Append bytes that lie at off. False when a budget is full. */
bool hold_put(struct stream *stream, struct stream_dir *dir, uint64_t off, struct view bytes, uint64_t time_ns);

/* wire/reasm.c */
void reasm_packet(struct stream *stream, unsigned dir, const struct packet *packet);
void reasm_tick(struct stream *stream, uint64_t now_ns);
/* Nothing more will come: holes become gaps, held segments are delivered. */
void reasm_flush(struct stream *stream);
void reasm_drop(struct stream *stream);		/* free held segments, undelivered */

/* wire/sctp_reasm.c: the same for pieces of messages */
bool sctp_reasm_begin(struct stream *stream);	/* false: out of memory */
void sctp_reasm_packet(struct stream *stream, unsigned dir, const struct packet *packet);
void sctp_reasm_tick(struct stream *stream, uint64_t now_ns);
void sctp_reasm_flush(struct stream *stream);
void sctp_reasm_drop(struct stream *stream);

#endif
