/*
 * Reassembly of one flow and the dissector on it: segments in, calls out.
 *
 * In-order payload goes straight to the dissector without a copy. Bytes are
 * held only while a hole before them is open, or while the dissector waits for
 * the rest of a message; both under budgets. When a hole does not fill (budget,
 * FIN, or the other side has acknowledged far beyond it) it becomes a gap.
 * First copy wins on overlap; a conflict is counted.
 */
#ifndef WIRE_STREAM_H
#define WIRE_STREAM_H

#include "wire/calls.h"
#include "wire/decode.h"

struct stream_pool;	/* buffers and connection states of one thread, bounded */

struct stream_pool_opts {
	size_t bytes_max;	/* held bytes in all; 0 = 128 MiB */
	size_t flow_bytes_max;	/* held bytes of one direction of one flow; 0 = 1 MiB */
	bool dissect_off;	/* no dissectors at all: benches */
};
struct stream_pool *stream_pool_new(const struct stream_pool_opts *opts);
void stream_pool_free(struct stream_pool *pool);	/* every stream must be freed; takes NULL */
/* No more streams are to come: the memory of those that end goes to the system. */
void stream_pool_wind_up(struct stream_pool *pool);

struct stream_stats {
	uint64_t gaps, gap_bytes;	/* holes given up, where a protocol was known */
	/* overlapping copies that differ, as long as the first one is held: before a hole, or while a message grows */
	uint64_t conflicts;
	uint64_t budget_hits;		/* holes given up because a budget was full */
	uint64_t wrong_guesses;
	uint64_t switched_off;		/* flows whose protocol is known and not dissected (call_pool_opts.protocols) */
	size_t held_bytes;
};
void stream_pool_stats(const struct stream_pool *pool, struct stream_stats *ret_stats);

struct stream;		/* one flow, both directions */

/* Of one stream, since the last asking. */
struct stream_counts {
	uint32_t conflicts, budget_hits;
};
struct stream_counts stream_take_counts(struct stream *stream);

/* IP protocols that may carry calls; a stream of another is dead from the start. */
static inline bool stream_knows(uint8_t proto)
{
	return proto == PROTO_tcp || proto == PROTO_udp || proto == PROTO_sctp || proto == PROTO_icmp ||
	       proto == PROTO_icmp6;
}

/* NULL when memory or the pool is out. sink: filled by the caller, must outlive the stream. */
struct stream *stream_new(struct stream_pool *pool, struct call_sink *sink, uint8_t proto,
			  uint16_t src_port, uint16_t dst_port);
/* Ends open calls with reason (CALL_END_...), frees everything. Takes NULL. */
void stream_free(struct stream *stream, uint8_t reason);

/*
 * One TCP segment, one packet of SCTP, or one datagram: of UDP, or a message of ICMP (packet->payload). dir 0 = tx. Cheap
 * when there is no payload and no flag of interest.
 */
void stream_packet(struct stream *stream, unsigned dir, const struct packet *packet);
/* SCTP: the direction begins with this TSN, as its INIT said. Before its first data. */
void stream_sctp_start(struct stream *stream, unsigned dir, uint32_t tsn);
/* Time passes: timeouts of unanswered calls. Called about once a second for flows with open calls. */
void stream_tick(struct stream *stream, uint64_t now_ns);
/*
 * L7_... as known so far, L7_none while undecided or unknown. After a hand-over
 * the successor's, or, while that is unknown, that of who handed over.
 */
uint8_t stream_l7(const struct stream *stream);
/* TCP sequence number of stream offset off of direction dir. */
uint32_t stream_seq(const struct stream *stream, unsigned dir, uint64_t off);

/*
 * Put together one direction's bytes out of packets, for a call's exact bytes
 * or a flow's stream: bytes [seq, seq + len) modulo 2^32; what is missing is
 * zero-filled and reported. Packets may come in any order.
 */
struct assembly {
	uint8_t *at;		/* len bytes, owned by the caller */
	uint32_t seq;
	size_t len;
	size_t have;		/* bytes present so far */
	uint8_t *mask;		/* (len + 7) / 8 bytes, zeroed by the caller: a bit a byte present */
};
void assembly_add(struct assembly *assembly, uint32_t seq, struct view payload);

#endif
