/*
 * The records of a block that a reader is after, in the order of capture. A
 * sealed block has the frames of one flow behind those of another, so their
 * numbers come in as many runs as it has flows.
 */
#ifndef STORE_PACKET_ORDER_H
#define STORE_PACKET_ORDER_H

#include "store/packet_block.h"

struct packet_place {
	uint64_t number;
	uint32_t index;		/* of the record in its block */
};

struct packet_order {
	struct packet_place *places;	/* ascending by number, then by index */
	size_t cap;
	uint32_t count;
};

void packet_order_release(struct packet_order *order);
/*
 * Replaces what is in order. want->flows NULL: of all flows. sorting: memory kept between calls, of any
 * block. E_NO_MEMORY: order is empty.
 */
int packet_order_take(struct packet_order *order, const struct packet_block *block, const struct packet_want *want,
		      struct packet_order *sorting);

#endif
