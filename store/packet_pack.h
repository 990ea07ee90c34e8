/*
 * Blocks of a packets.seg in the making: taken apart and compressed by any
 * number of threads side by side; only the search for payload stored before
 * goes block after block.
 */
#ifndef STORE_PACKET_PACK_H
#define STORE_PACKET_PACK_H

#include "store/packet_table.h"

struct packet_packed {		/* one block, ready to be written; kept from block to block */
	struct wr block;
	struct wr units;	/* its payload units, one behind the other */
	struct wr unit_bytes;	/* stored length of each, u32 */
	struct block_entry entry;	/* offset, stored_bytes and window are the caller's */
	int rc;			/* when below 0, err says why */
	struct err err;
};
void packet_packed_init(struct packet_packed *packed);
void packet_packed_release(struct packet_packed *packed);

/* Payload remembered and where it lies (packet_dedup.c), at most; touched as it comes. */
#define PACKET_PACKER_BYTES_MAX ((64u << 20) + (5u << 20))

struct packet_packer;
int packet_packer_new(int zstd_level, struct packet_packer **ret_packer);	/* E_NO_MEMORY */
void packet_packer_free(struct packet_packer *packer);	/* takes NULL */
/* A row of blocks begins, numbered from 0. No block is being packed. */
void packet_packer_begin(struct packet_packer *packer);
/* Give back the payload remembered: what comes later does not refer to it. No block is being packed. */
void packet_packer_forget(struct packet_packer *packer);
/*
 * Pack the step-th block of the row: count (at least 1) records of one source and hour, frames of a flow
 * together. Any thread; every step is called once, and begun after those before it.
 */
void packet_packer_pack(struct packet_packer *packer, size_t step, uint64_t source, const struct packet_rec *recs,
			uint32_t count, struct packet_packed *packed);
/* Blocks whose headers would not have come back the same, and went into version 1: none, ever. Any thread. */
uint64_t packet_pack_refused(void);

#endif
