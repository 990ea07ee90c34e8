/*
 * The block table of a packet log: one entry a block. FORMAT.md, "Hot
 * partition" and "Sealed partition".
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

#endif
