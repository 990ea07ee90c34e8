/*
 * The block table of a packet log: one entry a block, and (sealed) one flow
 * table a window, so that a flow's blocks are found without reading others.
 * FORMAT.md, "Hot partition" and "Sealed partition".
 */
#ifndef STORE_PACKET_TABLE_H
#define STORE_PACKET_TABLE_H

#include "base/rd.h"
#include "base/wr.h"
#include "store/packet_block.h"

struct block_entry {
	uint64_t offset;		/* in packets.log or packets.seg */
	uint32_t stored_bytes;
	uint32_t count;			/* packets */
	uint64_t plain_bytes;		/* of their frames */
	uint64_t source;
	uint64_t time_min, time_max;	/* both inclusive */
	uint64_t number_min, number_max;
	uint32_t window;		/* sealed; 0 in a hot one */
	uint32_t seg;			/* sealed: which segment it lies in */
	struct view flows;		/* hot: its flow ids, see block_entry_has_flow. Borrowed */
};

/* info: of the stored block, whose flow ids are written delta-coded; NULL in a sealed partition. E_CORRUPT. */
int block_entry_write(const struct block_entry *entry, const struct packet_block_info *info, struct wr *wr);
/* Checks that the block lies within its segment, of segs (count, bytes each): a hot one's log is the only one. */
int block_entry_read(struct view bytes, const uint64_t *seg_bytes, unsigned segs_count, struct block_entry *ret_entry, struct err *err);
/* 1 when the block has a packet of one of the sorted flows, 0, or E_CORRUPT. */
int block_entry_has_flow(const struct block_entry *entry, const uint64_t *flows, size_t flow_count,
			 struct err *err);
/* What the block itself tells; where it lies is the caller's. */
struct block_entry block_entry_make(const struct packet_block *block);

/* ---- flow table of a window ---- */
struct flow_slot {
	uint64_t flow_id;
	uint32_t block;		/* first one */
	uint32_t blocks;	/* that many in a row hold the flow */
};
#define FLOW_SLOT_BYTES 16u
/* slots: sorted by flow_id. */
void flow_table_write(const struct flow_slot *slots, size_t count, struct wr *wr);
/* Number of slots; E_CORRUPT. */
int flow_table_check(struct view table, size_t *ret_count, struct err *err);
struct flow_slot flow_table_at(struct view table, size_t index);
/* Index of the first slot with an id >= flow_id; count when there is none. */
size_t flow_table_seek(struct view table, size_t count, uint64_t flow_id);

#endif
