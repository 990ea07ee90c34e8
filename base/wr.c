#include "base/wr.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

#define WR_CAP_MIN 64

void wr_init(struct wr *wr, size_t max_bytes)
{
	*wr = (struct wr){ .max_bytes = max_bytes };
}

void wr_release(struct wr *wr)
{
	mem_free(wr->at);
	wr_init(wr, wr->max_bytes);
}

void wr_reset(struct wr *wr)
{
	wr->len = 0;
	wr->bad = false;
}

bool wr_reserve(struct wr *wr, size_t bytes)
{
	size_t need, cap;
	uint8_t *at;

	if (wr->bad)
		return false;
	if (__builtin_add_overflow(wr->len, bytes, &need))
		goto bad;
	if (wr->max_bytes && need > wr->max_bytes)
		goto bad;
	if (need <= wr->cap && wr->at)
		return true;
	cap = wr->cap > SIZE_MAX / 2 ? need : wr->cap * 2;
	if (cap < WR_CAP_MIN)
		cap = WR_CAP_MIN;
	if (cap < need)
		cap = need;
	if (wr->max_bytes && cap > wr->max_bytes)
		cap = wr->max_bytes;
	at = mem_resize(wr->at, cap, 1);
	if (!at)
		goto bad;
	wr->at = at;
	wr->cap = cap;
	return true;
bad:
	wr->bad = true;
	return false;
}

#define WR_INT(name, type, order)					\
	void wr_##name(struct wr *wr, type v)				\
	{								\
		uint8_t *at = wr_space(wr, sizeof(v));			\
									\
		v = order(v);						\
		if (at)							\
			memcpy(at, &v, sizeof(v));			\
	}
#define WR_SAME(v) (v)
WR_INT(u16le, uint16_t, WR_SAME)
WR_INT(u32le, uint32_t, WR_SAME)
WR_INT(u64le, uint64_t, WR_SAME)
WR_INT(u16be, uint16_t, __builtin_bswap16)
WR_INT(u32be, uint32_t, __builtin_bswap32)
WR_INT(u64be, uint64_t, __builtin_bswap64)
#undef WR_INT
#undef WR_SAME
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "writers assume a little-endian machine");

void wr_varint(struct wr *wr, uint64_t v)
{
	uint8_t bytes[10];
	size_t len = 0;

	while (v >= 0x80) {
		bytes[len++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	bytes[len++] = (uint8_t)v;
	wr_bytes(wr, view_make(bytes, len));
}

void wr_svarint(struct wr *wr, int64_t v)
{
	wr_varint(wr, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

void wr_vbytes(struct wr *wr, struct view v)
{
	wr_varint(wr, v.len);
	wr_bytes(wr, v);
}

void wr_str(struct wr *wr, const char *s)
{
	wr_bytes(wr, view_str(s));
}

void wr_printf(struct wr *wr, const char *fmt, ...)
{
	char small[256];
	va_list args;
	char *big;
	int len;

	if (wr->bad)
		return;
	va_start(args, fmt);
	len = vsnprintf(small, sizeof(small), fmt, args);
	va_end(args);
	if (len >= 0 && (size_t)len < sizeof(small)) {
		wr_bytes(wr, view_make(small, (size_t)len));
		return;
	}
	/* The NUL needs a place of its own: at max_bytes there is none behind the text. */
	big = len < 0 ? NULL : mem_alloc((size_t)len + 1);
	if (!big) {
		wr->bad = true;
		return;
	}
	va_start(args, fmt);
	(void)vsnprintf(big, (size_t)len + 1, fmt, args);
	va_end(args);
	wr_bytes(wr, view_make(big, (size_t)len));
	mem_free(big);
}

void wr_patch_u32le(struct wr *wr, size_t pos, uint32_t v)
{
	if (wr->bad)
		return;
	assert(wr->len >= sizeof(v) && pos <= wr->len - sizeof(v));
	memcpy(wr->at + pos, &v, sizeof(v));
}

void wr_patch_u64le(struct wr *wr, size_t pos, uint64_t v)
{
	if (wr->bad)
		return;
	assert(wr->len >= sizeof(v) && pos <= wr->len - sizeof(v));
	memcpy(wr->at + pos, &v, sizeof(v));
}
