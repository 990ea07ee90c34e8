/*
 * A growing byte buffer with a sticky failure: write a group of fields, then
 * ask `wr.bad` once (memory was out, or max_bytes was passed). Owned by the caller.
 */
#ifndef BASE_WR_H
#define BASE_WR_H

#include "base/view.h"

struct wr {
	uint8_t *at;
	size_t len;
	size_t cap;
	size_t max_bytes;	/* 0 = no limit */
	bool bad;
};

void wr_init(struct wr *wr, size_t max_bytes);
void wr_release(struct wr *wr);
void wr_reset(struct wr *wr);				/* keeps the memory, clears bad */
/* Room for bytes more; false (and bad) when there is none. */
bool wr_reserve(struct wr *wr, size_t bytes);
/* Append space and return it, NULL when bad. */
static inline uint8_t *wr_space(struct wr *wr, size_t bytes)
{
	uint8_t *at;

	if (__builtin_expect(!wr->at || wr->bad || bytes > wr->cap - wr->len, 0) && !wr_reserve(wr, bytes))
		return NULL;
	at = wr->at + wr->len;
	wr->len += bytes;
	return at;
}

static inline void wr_u8(struct wr *wr, uint8_t v)
{
	uint8_t *at = wr_space(wr, 1);

	if (at)
		*at = v;
}
void wr_u16le(struct wr *wr, uint16_t v);
void wr_u32le(struct wr *wr, uint32_t v);
void wr_u64le(struct wr *wr, uint64_t v);
void wr_u16be(struct wr *wr, uint16_t v);
void wr_u32be(struct wr *wr, uint32_t v);
void wr_u64be(struct wr *wr, uint64_t v);
void wr_varint(struct wr *wr, uint64_t v);
void wr_svarint(struct wr *wr, int64_t v);
static inline void wr_bytes(struct wr *wr, struct view v)
{
	uint8_t *at = wr_space(wr, v.len);

	if (at && v.len)
		memcpy(at, v.at, v.len);
}
void wr_vbytes(struct wr *wr, struct view v);		/* varint length, then the bytes */
void wr_str(struct wr *wr, const char *s);		/* without its NUL */
void wr_printf(struct wr *wr, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Overwrite four or eight bytes written before: lengths known only afterwards. */
void wr_patch_u32le(struct wr *wr, size_t pos, uint32_t v);
void wr_patch_u64le(struct wr *wr, size_t pos, uint64_t v);

static inline struct view wr_view(const struct wr *wr)
{
	return view_make(wr->at, wr->len);
}

#endif
