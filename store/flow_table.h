/*
 * The flow table of a window: which blocks hold a flow, so that a flow's frames
 * are found without reading those of others. Slots lie in packed groups; a
 * look-up unpacks the one its flow would be in. FORMAT.md, "Flow table".
 */
#ifndef STORE_FLOW_TABLE_H
#define STORE_FLOW_TABLE_H

#include "base/err.h"
#include "base/wr.h"

#define FLOW_GROUP_SLOTS 512u
#define FLOW_SLOT_BYTES 16u	/* of one that is not packed */

struct flow_slot {
	uint64_t flow_id;
	uint32_t block;		/* first one */
	uint32_t blocks;	/* that many in a row hold the flow */
};

/* slots: sorted by flow_id; it may be there twice, of two sources. E_NO_MEMORY. */
int flow_table_write(const struct flow_slot *slots, size_t count, struct wr *wr, struct err *err);

/* A table that is being read; one thread. Nothing to release. */
struct flow_table {
	struct view bytes;	/* borrowed */
	size_t count;		/* slots */
	size_t groups;		/* 0: slots lie there plainly */
	uint64_t last_id;
	size_t group;		/* whose slots are below, from 1; 0 none */
	struct flow_slot slots[FLOW_GROUP_SLOTS];
};
/* E_CORRUPT, E_UNSUPPORTED. */
int flow_table_open(struct view bytes, struct flow_table *table, struct err *err);
/* Index of the first slot with an id >= flow_id; count when there is none. E_CORRUPT. */
int flow_table_seek(struct flow_table *table, uint64_t flow_id, size_t *ret_index, struct err *err);
/* Slot index, which is below count. E_CORRUPT. */
int flow_table_at(struct flow_table *table, size_t index, struct flow_slot *ret_slot, struct err *err);

#endif
