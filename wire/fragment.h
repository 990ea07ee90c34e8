/*
 * IP fragments into datagrams (RFC 791, RFC 8200 4.5), within a budget. One thread.
 *
 * Of IPv4 the first copy of a byte wins; of IPv6 an overlap ends the datagram, as
 * RFC 5722 demands of every receiver. Copies of a whole fragment are neither: they
 * are passed over. Out of order is as good as in order.
 *
 * Only a datagram's first fragment tells whose it is, and it may come last. So the
 * owner of the frames leaves a note with each that came before (fragments_wait) and
 * gets them back when it is known, or never will be.
 */
#ifndef WIRE_FRAGMENT_H
#define WIRE_FRAGMENT_H

#include "wire/decode.h"

struct fragments;

enum fragment_end {
	FRAGMENT_TIMEOUT,	/* a piece never came */
	FRAGMENT_EVICTED,	/* the budget was full */
	FRAGMENT_OVERLAP,	/* IPv6 */
	FRAGMENT_BAD,		/* lengths contradict each other, or too many pieces */
};

struct fragments_sink {
	/* A note left with fragments_wait; head: as in fragment_seen, NULL when it never came. */
	void (*waited)(void *arg, const struct packet *head, const void *note);
	/*
	 * A datagram that will never be whole. pieces: frames of it; prefix: its bytes up to the
	 * first hole, decoded, or NULL when there are none that a receiver could have used.
	 */
	void (*broken)(void *arg, enum fragment_end why, unsigned pieces, const struct packet *head,
		       const struct packet *prefix);
	void *arg;
};

/* Zero means the default. */
struct fragments_opts {
	size_t bytes_max;		/* pieces and notes; 4 MiB, then the oldest datagrams are given up */
	unsigned datagrams_max;		/* 1024 */
	/*
	 * 10 s from the first piece seen: receivers wait for 30 to 60, but an IPv4 identifier
	 * comes round sooner than that where there are many (RFC 4963).
	 */
	uint64_t timeout_ns;
	struct fragments_sink sink;	/* required; not called by fragments_free */
};

struct fragments_stats {
	uint64_t pieces;		/* fragments seen */
	uint64_t whole;			/* datagrams put together */
	uint64_t timeouts, evictions, bad;	/* datagrams given up */
	uint64_t duplicates;		/* fragments that were there already */
	uint64_t overlaps;		/* fragments that overlap others in part, or with other bytes */
	size_t held_bytes;
};

/* What one fragment was. Pointers are valid until the next call. */
struct fragment_seen {
	const struct packet *head;	/* decoded, of its datagram: the addresses and ports it belongs to; NULL: not seen yet */
	const struct packet *whole;	/* the datagram, decoded, when this completed it; its frame is made up of a bare IP header */
	bool duplicate, overlap;
};

struct fragments *fragments_new(const struct fragments_opts *opts);	/* NULL: out of memory */
void fragments_free(struct fragments *fragments);

/* packet->in_fragments must hold. E_NO_MEMORY: no datagram could be begun; *ret_seen is empty then. */
int fragments_add(struct fragments *fragments, const struct packet *packet, struct fragment_seen *ret_seen);
/* Right after fragments_add that gave no head. E_NO_MEMORY: the note was not kept. */
int fragments_wait(struct fragments *fragments, const void *note, size_t note_bytes);
/* Time passes. */
void fragments_tick(struct fragments *fragments, uint64_t now_ns);
/* Nothing more will come. */
void fragments_flush(struct fragments *fragments);
void fragments_stats(const struct fragments *fragments, struct fragments_stats *ret_stats);

#endif
