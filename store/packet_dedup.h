/*
 * Payload that was stored a moment ago is not stored again: the newest 64 MiB of
 * units stand in memory, and what comes is looked for in them. Copies lie far
 * apart (other connections, the other end of a link), further than a
 * compressor's window reaches and than a reader could afford to go back for.
 *
 * The stream of a block becomes literal bytes, which fill new units, and
 * references, each into one unit. Not thread-safe.
 */
#ifndef STORE_PACKET_DEDUP_H
#define STORE_PACKET_DEDUP_H

#include "store/packet_unit.h"

struct packet_dedup;
int packet_dedup_new(uint64_t first_number, struct packet_dedup **ret_dedup);	/* E_NO_MEMORY */
void packet_dedup_free(struct packet_dedup *dedup);	/* takes NULL */
uint64_t packet_dedup_next(const struct packet_dedup *dedup);	/* the number of the next unit */

/* Of one block; kept from block to block. The streams are as FORMAT.md has them. */
struct packet_refs {
	struct wr literals;	/* varint each: bytes of the block's own units in front of the reference */
	struct wr units;	/* varint each: 2 * i the i-th own unit, 2 * i + 1 far[i] */
	struct wr offsets;	/* u16 each */
	struct wr lengths;	/* varint each */
	uint64_t own_first;	/* the block's own units, full but the last */
	uint32_t own_count;
	struct wr own;		/* the bytes of those */
	uint64_t *far;		/* numbers of units of other blocks */
	size_t far_count, far_cap;
};
void packet_refs_init(struct packet_refs *refs);
void packet_refs_release(struct packet_refs *refs);

/* The payload of a whole block; refs is made anew. On E_NO_MEMORY the block is as never seen. */
int packet_dedup_block(struct packet_dedup *dedup, struct view payload, struct packet_refs *refs);

#endif
