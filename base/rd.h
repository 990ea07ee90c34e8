/*
 * A reading cursor with a sticky failure: read a group of fields, then ask
 * `rd.bad` once. After the first short read every read gives 0 and moves nothing.
 */
#ifndef BASE_RD_H
#define BASE_RD_H

#include "base/view.h"

struct rd {
	const uint8_t *at;
	const uint8_t *end;
	const uint8_t *start;
	bool bad;
};

static inline struct rd rd_make(struct view v)
{
	return (struct rd){ .at = v.at, .end = v.at + v.len, .start = v.at, .bad = false };
}

static inline size_t rd_left(const struct rd *rd)
{
	return (size_t)(rd->end - rd->at);
}

static inline size_t rd_pos(const struct rd *rd)
{
	return (size_t)(rd->at - rd->start);
}

static inline bool rd_need(struct rd *rd, size_t bytes)
{
	if (__builtin_expect(rd->bad || rd_left(rd) < bytes, 0)) {
		rd->bad = true;
		return false;
	}
	return true;
}

static inline uint8_t rd_u8(struct rd *rd)
{
	return rd_need(rd, 1) ? *rd->at++ : 0;
}

#define RD_INT(name, type, order)							\
	static inline type rd_##name(struct rd *rd)					\
	{										\
		type v;									\
											\
		if (!rd_need(rd, sizeof(v)))						\
			return 0;							\
		memcpy(&v, rd->at, sizeof(v));						\
		rd->at += sizeof(v);							\
		return order(v);							\
	}
#define RD_SAME(v) (v)
RD_INT(u16le, uint16_t, RD_SAME)
RD_INT(u32le, uint32_t, RD_SAME)
RD_INT(u64le, uint64_t, RD_SAME)
RD_INT(u16be, uint16_t, __builtin_bswap16)
RD_INT(u32be, uint32_t, __builtin_bswap32)
RD_INT(u64be, uint64_t, __builtin_bswap64)
#undef RD_INT
#undef RD_SAME
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "cursors assume a little-endian machine");

static inline uint32_t rd_u24be(struct rd *rd)
{
	uint32_t v = 0;

	if (rd_need(rd, 3)) {
		v = (uint32_t)rd->at[0] << 16 | (uint32_t)rd->at[1] << 8 | rd->at[2];
		rd->at += 3;
	}
	return v;
}

/* LEB128, at most 10 bytes. A longer or overflowing one makes the cursor bad. */
uint64_t rd_varint(struct rd *rd);
/* Zigzag over a varint. */
int64_t rd_svarint(struct rd *rd);
/* Borrowed: points into the input. */
struct view rd_bytes(struct rd *rd, size_t bytes);
/* varint length, then the bytes. */
struct view rd_vbytes(struct rd *rd);
void rd_skip(struct rd *rd, size_t bytes);
/* Bytes not read yet; does not move. */
static inline struct view rd_rest(const struct rd *rd)
{
	return view_make(rd->at, rd->bad ? 0 : rd_left(rd));
}

#endif
