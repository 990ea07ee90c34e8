/*
 * A block of captured frames: headers of the records by column, frame bytes
 * apart, checksummed. Frames come back identical. FORMAT.md, "Packet block".
 */
#ifndef STORE_PACKET_BLOCK_H
#define STORE_PACKET_BLOCK_H

#include "base/arena.h"
#include "base/wr.h"
#include "store/codec.h"

#define PACKET_BLOCK_BYTES_MAX (4u << 20)	/* plain frame bytes of a block; one frame may exceed it */
#define PACKET_BYTES_MAX (16u << 20)		/* one frame; longer ones are refused by the source */

/* One frame as stored. */
struct packet_rec {
	uint64_t time_ns;
	uint64_t number;	/* within its source, from 1: the order of capture */
	uint64_t flow_id;	/* 0: none */
	uint32_t orig_len;
	uint32_t iface;		/* interface number within the source */
	uint16_t link;		/* LINKTYPE_ */
	uint16_t segments;	/* of a GSO/GRO super-packet, 1 else */
	uint8_t dir;		/* DIR_tx, DIR_rx */
	struct view frame;
};

struct packet_block {		/* being filled; one source, one hour */
	uint64_t source;
	uint64_t hour;		/* time_ns / NS_PER_HOUR of every record */
	uint64_t time_min, time_max, number_min, number_max;
	uint32_t count;
	struct packet_rec *recs;	/* frame.at is an offset into bytes until sealed; use packet_block_rec */
	size_t recs_cap;
	struct wr bytes;
};

int packet_block_init(struct packet_block *block, uint64_t source);
void packet_block_release(struct packet_block *block);
void packet_block_reset(struct packet_block *block);
/* Copies the frame. 1: added and full now, 0: added; E_NO_MEMORY; E_RANGE: another hour, add it to a fresh block. */
int packet_block_add(struct packet_block *block, const struct packet_rec *rec);
struct packet_rec packet_block_rec(const struct packet_block *block, uint32_t index);
/* order: NULL, or a permutation. */
int packet_block_write(const struct packet_block *block, const uint32_t *order, enum codec codec, int level,
		       struct wr *out, struct err *err);
/* Decode everything into *ret_block (init'ed; contents replaced). Checks all checksums. E_CORRUPT says where. */
int packet_block_read(struct view stored, struct packet_block *ret_block, struct err *err);

#endif
