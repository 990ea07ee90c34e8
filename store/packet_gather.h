/*
 * The payload of one block of version 2: a row of pieces, each some bytes of one
 * unit, of the block's own or of another's (FORMAT.md, "Payload"). A piece can only
 * be found by stepping over those before it.
 */
#ifndef STORE_PACKET_GATHER_H
#define STORE_PACKET_GATHER_H

#include "base/arena.h"
#include "base/rd.h"
#include "store/packet_unit.h"

struct packet_gather {
	/* by who reads the block */
	struct packet_units *units;
	unsigned unit_bits;		/* full units have 1 << unit_bits bytes */
	uint64_t own_first;
	uint32_t own_count, far_count;
	struct rd literals, unit_codes, offsets, lengths;	/* sections */
	uint64_t *far;
	/* the place */
	uint64_t own_at;		/* bytes of the own units that were taken */
	uint64_t literal_left, ref_left;
	uint32_t ref_unit, ref_offset;
	bool last;			/* behind the last reference: literals up to the end */
};

/* The numbers of far units, of which there are far_count, from their section. Memory of arena. */
int packet_gather_far(struct packet_gather *gather, struct rd *far, struct arena *arena, struct err *err);
/* The next len bytes of the payload: to their place, or stepped over. */
int packet_gather_bytes(struct packet_gather *gather, uint8_t *to, size_t len, struct err *err);
int packet_gather_skip(struct packet_gather *gather, size_t len, struct err *err);
/* Step over them, and note where they are wanted. */
struct packet_takes {
	struct packet_take *list;
	uint32_t *units;		/* beside it: own ones first */
	size_t count, list_cap, units_cap;
};
void packet_takes_release(struct packet_takes *takes);
int packet_gather_note(struct packet_gather *gather, uint8_t *to, size_t len, struct packet_takes *takes, struct err *err);
/* Everything that was noted, each unit unpacked once, by several threads where there are. */
int packet_gather_noted(struct packet_gather *gather, struct packet_takes *takes, struct arena *arena, struct err *err);
/* Whether nothing is left of its sections, and none was cut short. */
bool packet_gather_ended(const struct packet_gather *gather);

#endif
