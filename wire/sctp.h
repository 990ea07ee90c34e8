/*
 * SCTP packets: chunks (RFC 9260), pieces of user messages (DATA, and I-DATA of
 * RFC 8260), and the health of an association. Pure; wire/sctp_reasm.c puts
 * messages together.
 */
#ifndef WIRE_SCTP_H
#define WIRE_SCTP_H

#include "wire/decode.h"

enum {
	SCTP_DATA = 0, SCTP_INIT = 1, SCTP_INIT_ACK = 2, SCTP_SACK = 3, SCTP_HEARTBEAT = 4, SCTP_HEARTBEAT_ACK = 5,
	SCTP_ABORT = 6, SCTP_SHUTDOWN = 7, SCTP_SHUTDOWN_ACK = 8, SCTP_ERROR = 9, SCTP_COOKIE_ECHO = 10,
	SCTP_COOKIE_ACK = 11, SCTP_SHUTDOWN_COMPLETE = 14, SCTP_I_DATA = 64, SCTP_FORWARD_TSN = 192,
	SCTP_I_FORWARD_TSN = 194,
};

/* ---- chunks ---- */

/* What is left of a packet behind the common header. */
struct sctp_walk {
	struct view rest;	/* captured */
	uint32_t wire;		/* on the wire: never less */
};
struct sctp_walk sctp_walk(const struct packet *packet);

struct sctp_chunk {
	uint8_t type, flags;
	struct view value;	/* behind type, flags and length, as far as it was captured */
	uint32_t len;		/* of it on the wire */
};

/* 1: a chunk; 0: the end, or what follows was not captured; -1: its length contradicts the packet's or its type. */
int sctp_next(struct sctp_walk *walk, struct sctp_chunk *ret_chunk);
/* Whether the packet holds user data: what a stream is made for. */
bool sctp_has_data(const struct packet *packet);

/* A piece of a user message. */
struct sctp_data {
	uint32_t tsn, fsn;	/* fsn: of an I-DATA, its place in the message */
	uint32_t message;	/* sequence number of the message within its stream */
	uint32_t ppid;		/* what the message is, of its first piece; 0: not told */
	uint16_t stream;
	bool first, last;
	bool unordered, interleaved;	/* interleaved: I-DATA, pieces of several messages alternate */
	struct view bytes;	/* captured */
	uint32_t len;		/* on the wire */
};

/* False when the chunk is none, or its header was not captured. */
bool sctp_data(const struct sctp_chunk *chunk, struct sctp_data *ret_data);
/* Whether next goes on where data ends. */
bool sctp_follows(const struct sctp_data *data, const struct sctp_data *next);

/* TSN a is behind b, modulo 2^32. */
static inline bool sctp_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* ---- which TSNs were there before ---- */

struct sctp_seen {
	uint64_t bits;		/* bit i: highest - i */
	uint32_t highest;
	bool any;
};
enum sctp_new { SCTP_NEW, SCTP_LATE, SCTP_AGAIN };	/* LATE: behind the highest, not seen before */

/* What is 64 or more behind the highest has been sent again: no path reorders so far. */
enum sctp_new sctp_seen_add(struct sctp_seen *seen, uint32_t tsn);

/* ---- an association ---- */

struct sctp_dir {
	struct sctp_seen seen;
	uint32_t init_tag, init_tsn;	/* of its INIT or INIT ACK, when has_init */
	bool heard, has_init;
	/* since the last report */
	uint32_t retransmits, out_of_order, aborts;
	uint64_t retransmit_bytes;
};

struct sctp_assoc {
	uint64_t init_ns, init_ack_ns, cookie_ns;	/* first INIT, INIT ACK, COOKIE ECHO; 0: not seen */
	uint64_t first_data_ns, first_response_ns;
	struct sctp_dir dir[2];
	bool ambiguous;		/* INIT or INIT ACK was sent again */
	bool established;	/* COOKIE ACK or data was seen */
	bool shutting, aborted, closed;	/* SHUTDOWN; ABORT; SHUTDOWN COMPLETE */
	uint8_t abort_dir, abort_phase;	/* of the first ABORT: RESET_... */
};

/* What one packet was to it. */
struct sctp_sum {
	uint32_t retransmits;	/* DATA chunks */
	uint32_t aborts;
	uint64_t goodput_bytes;	/* user data not seen before */
};

/* All zero is an association of which nothing was seen. */
void sctp_assoc_packet(struct sctp_assoc *assoc, unsigned dir, const struct packet *packet, struct sctp_sum *ret_sum);
void sctp_assoc_reported(struct sctp_assoc *assoc);
/* An INIT of another association between the same ends. */
bool sctp_assoc_reuses(const struct sctp_assoc *assoc, unsigned dir, const struct packet *packet);
/* 0: the packet's sender opened the association, 1: its receiver did, -1: not told. */
int sctp_opener(const struct packet *packet);

#endif
