/*
 * A block of captured frames: headers of the records by column, frame bytes
 * apart, checksummed. Frames come back identical. FORMAT.md, "Packet block".
 */
#ifndef STORE_PACKET_BLOCK_H
#define STORE_PACKET_BLOCK_H

#include "base/rd.h"
#include "base/wr.h"
#include "store/codec.h"

#define PACKET_BLOCK_BYTES_MAX (4u << 20)	/* plain frame bytes of a block; one frame may exceed it */
#define PACKET_BLOCK_RECS_MAX (1u << 17)		/* frames of a block */
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
/*
 * Copies the frame. 1: added and full now, 0: added; E_NO_MEMORY; E_RANGE: another hour, add it to
 * a fresh block; E_LIMIT: was full already, or the frame is longer than PACKET_BYTES_MAX.
 */
int packet_block_add(struct packet_block *block, const struct packet_rec *rec);
struct packet_rec packet_block_rec(const struct packet_block *block, uint32_t index);
/* order: NULL, or a permutation. At least one record. On failure out is as before. */
int packet_block_write(const struct packet_block *block, const uint32_t *order, enum codec codec, int level,
		       struct wr *out, struct err *err);
/*
 * Decode everything into *ret_block (init'ed; contents replaced, empty after a failure).
 * Checks all checksums. E_CORRUPT says where. E_UNSUPPORTED: version 2, whose payload lies in units.
 */
int packet_block_read(struct view stored, struct packet_block *ret_block, struct err *err);

/* Which frames a reader is after. Others may come along, where leaving them out would gain nothing. */
struct packet_want {
	const uint64_t *flows;	/* sorted; NULL: all flows */
	size_t flow_count;
	uint64_t from_ns, to_ns;	/* [from, to); to = UINT64_MAX includes the last instant */
};
static inline bool packet_want_time(const struct packet_want *want, uint64_t time_ns)
{
	return time_ns >= want->from_ns && (time_ns < want->to_ns || want->to_ns == UINT64_MAX);
}
bool packet_want_flow(const struct packet_want *want, uint64_t flow_id);
static inline bool packet_want_has(const struct packet_want *want, const struct packet_rec *rec)
{
	return packet_want_time(want, rec->time_ns) && (!want->flows || packet_want_flow(want, rec->flow_id));
}
struct packet_units;
/*
 * As above, of both versions. units: of the file the block lies in; may be NULL for version 1. want NULL:
 * everything. Fewer frames than count says come back, maybe none, when some are not wanted; then the
 * spans of *ret_block are those of all.
 */
int packet_block_read_some(struct view stored, struct packet_units *units, const struct packet_want *want,
			   struct packet_block *ret_block, struct err *err);

/* What the header tells without unpacking anything. Borrows stored. */
struct packet_block_info {
	uint64_t source, hour;
	uint64_t time_min, time_max, number_min, number_max;	/* inclusive */
	uint32_t count;
	uint32_t flow_count;		/* distinct flow ids; 0, for frames of no flow, counts as one */
	uint32_t plain_bytes, stored_bytes;	/* of the frames */
	enum codec codec;		/* of the frames */
	struct view flows;		/* for the functions below */
};
int packet_block_peek(struct view stored, struct packet_block_info *ret_info, struct err *err);
/*
 * As packet_block_write of an unpacked block, but for its frames, which are to be stored behind: they lie in
 * block->bytes as they are needed. *ret_info borrows out.
 */
int packet_block_write_head(const struct packet_block *block, struct wr *out, struct packet_block_info *ret_info,
			    struct err *err);
/* Whether a frame of that flow is inside. */
bool packet_block_has_flow(const struct packet_block_info *info, uint64_t flow_id);
/* The distinct flow ids, ascending: 1, 0 at the end, E_CORRUPT. iter = packet_block_flows(info). */
struct packet_block_flows {
	struct rd rd;
	uint64_t last;
	uint32_t left;
};
struct packet_block_flows packet_block_flows(const struct packet_block_info *info);
int packet_block_flow_next(struct packet_block_flows *iter, uint64_t *ret_flow_id);
/* Bytes of the block that begins at rest.at, to walk a file of blocks. E_CORRUPT when none does. */
int packet_block_length(struct view rest, size_t *ret_bytes);

#endif
