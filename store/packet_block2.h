/*
 * Version 2 of a packet block: headers told by the frames before them
 * (packet_header.c), payload in units that blocks share (packet_unit.c,
 * packet_dedup.c). For sealed partitions, where a flow's frames stand together.
 * FORMAT.md, "Packet block, version 2".
 */
#ifndef STORE_PACKET_BLOCK2_H
#define STORE_PACKET_BLOCK2_H

#include "store/chunk.h"
#include "store/envelope.h"
#include "store/packet_dedup.h"
#include "store/packet_header.h"

/* ---- the format ---- */

#define PACKET_BLOCK_MAGIC ENVELOPE_MAGIC('T', 'D', 'P', 'B')
#define PACKET_BLOCK2_VERSION 2
#define PACKET_BLOCK2_HEADER_BYTES 116u	/* envelope included; flow ids and sections follow */
#define PACKET_BLOCK2_GROUP_BYTES (64u << 10)	/* frames of a group: what is read and checked at least */

/* Sections, in the order they are stored in. */
enum packet_section {
	PS_RECORDS,		/* columns that are nearly always of one value */
	PS_RUNS,		/* frames of each flow */
	PS_HEADERS,		/* HEADER_STREAMS of them */
	PS_LITERALS = PS_HEADERS + HEADER_STREAMS,
	PS_UNITS,
	PS_OFFSETS,
	PS_LENGTHS,
	PS_FAR,
	PS_GROUPS,
	PACKET_SECTIONS
};
enum packet_column { PC_CUT, PC_IFACE, PC_LINK, PC_SEGMENTS, PACKET_COLUMNS };	/* of PS_RECORDS */

/* A group's checksum is folded over its frames. */
static inline uint64_t packet_group_fold(uint64_t sum, struct view frame)
{
	return sum * 0x9e3779b97f4a7c15ull + codec_checksum(frame);
}

/* A block being written, step by step; kept from block to block. One thread at a time. */
struct packet_block2 {
	uint64_t source;
	const struct packet_rec *recs;	/* the caller's, until it is packed */
	uint32_t count;
	uint64_t time_min, time_max, number_min, number_max;
	size_t plain_bytes;
	uint64_t time_scale;
	struct wr headers[HEADER_STREAMS];
	struct header_sums *sums;	/* by record */
	uint32_t sums_cap;
	struct wr runs;		/* PS_RUNS, PS_GROUPS */
	struct wr groups;
	uint32_t groups_count;
	struct wr flow_ids;
	uint32_t flow_count;
	struct wr payload;
	struct packet_refs refs;
	uint64_t *values;	/* of a column that is not of one value */
	uint32_t values_cap;
	struct chunk_scratch scratch;
	struct wr packed;	/* a section */
};
void packet_block2_init(struct packet_block2 *block);
void packet_block2_release(struct packet_block2 *block);
/*
 * Take count (1..PACKET_BLOCK_RECS_MAX) records of one source and hour apart, best with the frames of a flow
 * together and in order. Every header is made again from what was written, and compared.
 * E_UNSUPPORTED: version 2 cannot tell these; write version 1. E_NO_MEMORY.
 */
int packet_block2_take(struct packet_block2 *block, uint64_t source, const struct packet_rec *recs, uint32_t count,
		       struct err *err);
/* The payload found in what was stored before, or not. Blocks of a file in one order, one at a time. */
int packet_block2_dedup(struct packet_block2 *block, struct packet_dedup *dedup, struct err *err);
/* Append the block to out, its units to units; the stored length of each goes to unit_bytes (u32 each). */
int packet_block2_pack(struct packet_block2 *block, int level, struct wr *out, struct wr *units,
		       struct wr *unit_bytes, struct err *err);

/* ---- reading; packet_block.h has the door ---- */

int packet_block2_peek(struct view stored, struct packet_block_info *ret_info, struct err *err);
int packet_block2_read(struct view stored, struct packet_units *units, const struct packet_want *want,
		       struct packet_block *ret_block, struct err *err);

#endif
