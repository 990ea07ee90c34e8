#include "store/chunk_split.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/codec.h"
#include "store/number_head.h"

#define FORMS 3u
#define PACK_LEVEL 9		/* of heads: a few hundred bytes */
#define PACK_MIN 16u		/* heads of less are not worth a try */
#define PACKED_BYTES 24u	/* a frame takes beside its contents, about, */
#define SYMBOL_BITS 5u		/* and for each head that occurs */
#define SAMPLE 127u
#define PAD 8u			/* bytes of 0 behind the low bits: they are read eight bytes at a time */
#define LOG_ONE 256u		/* of log2_of */

/* ---- writing ---- */

static int cmp_i64(const void *a, const void *b)
{
	int64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/* A value in the middle, of a sample. Differences may be negative, modulo 2^64: seen from the first one. */
static uint64_t middle_of(const uint64_t *values, size_t count)
{
	size_t n = count < SAMPLE ? count : SAMPLE;
	int64_t sample[SAMPLE];

	for (size_t i = 0; i < n; i++)
		sample[i] = (int64_t)(values[i * count / n] - values[0]);
	qsort(sample, n, sizeof(*sample), cmp_i64);
	return values[0] + (uint64_t)sample[n / 2];
}

/* The greatest common divisor of all differences; 1 when there are none. */
static uint64_t scale_of(const uint64_t *values, size_t count)
{
	uint64_t scale = 0;

	for (size_t i = 1; i < count && scale != 1; i++) {
		uint64_t by = values[i] - values[0], rest = scale;

		by = (int64_t)by < 0 ? -by : by;
		if (scale ? by % scale == 0 : by == 0)
			continue;
		while (rest) {
			uint64_t next = by % rest;

			by = rest;
			rest = next;
		}
		scale = by;
	}
	return scale ? scale : 1;
}

/* Toward zero, as all that is divided so is a multiple. */
static uint64_t divide(uint64_t by, uint64_t scale)
{
	if (scale == 1)
		return by;
	return (int64_t)by < 0 ? -(-by / scale) : by / scale;
}

static uint64_t number_of(const uint64_t *values, size_t i, const struct chunk_split *split)
{
	switch (split->form) {
	case SPLIT_ABOVE:
		return (values[i] - split->base) / split->scale;
	case SPLIT_AROUND:
		return number_zigzag(divide(values[i] - split->base, split->scale));
	case SPLIT_STEPS:
		break;
	}
	return number_zigzag(divide(values[i] - (i ? values[i - 1] : split->base), split->scale));
}

/* In units of 1 / LOG_ONE; a hundredth too little at most. */
static uint64_t log2_of(uint64_t x)
{
	unsigned bits = 63 - (unsigned)__builtin_clzll(x);
	uint64_t rest = bits >= 8 ? x >> (bits - 8) & 255 : (x << (8 - bits)) & 255;

	return (uint64_t)bits * LOG_ONE + rest + rest * (LOG_ONE - rest) * 11 / (32 * LOG_ONE);
}

/* What the heads take packed, and the low bits. */
static size_t bytes_of(const uint64_t *values, size_t count, const struct chunk_split *split)
{
	uint32_t counts[NUMBER_HEADS] = { 0 };
	uint64_t low_bits = 0, head_bits = 0;

	for (size_t i = 0; i < count; i++) {
		unsigned bits;

		counts[number_head(number_of(values, i, split), &bits)]++;
		low_bits += bits;
	}
	for (size_t i = 0; i < NUMBER_HEADS; i++)
		if (counts[i])
			head_bits += counts[i] * (log2_of(count) - log2_of(counts[i])) + SYMBOL_BITS * LOG_ONE;
	return (size_t)((low_bits + head_bits / LOG_ONE) / 8) + PACKED_BYTES;
}

void chunk_split_find(const uint64_t *values, size_t count, struct chunk_split *ret_split)
{
	struct chunk_split splits[FORMS] = { { .form = SPLIT_ABOVE }, { .form = SPLIT_AROUND }, { .form = SPLIT_STEPS } };
	uint64_t min = values[0], max = values[0], scale = scale_of(values, count);
	size_t best = FORMS;

	for (size_t i = 1; i < count; i++) {
		min = values[i] < min ? values[i] : min;
		max = values[i] > max ? values[i] : max;
	}
	splits[SPLIT_ABOVE].base = min;
	splits[SPLIT_AROUND].base = middle_of(values, count);
	splits[SPLIT_STEPS].base = values[0];
	for (size_t f = 0; f < FORMS; f++) {
		/* Beyond it what is a multiple of scale as a negative number is none as a large one. */
		splits[f].scale = max - min > INT64_MAX ? 1 : scale;
		splits[f].bytes = bytes_of(values, count, &splits[f]);
		if (best == FORMS || splits[f].bytes < splits[best].bytes)
			best = f;
	}
	*ret_split = splits[best];
}

static int heads_write(struct view heads, struct wr *out)
{
	struct wr packed;
	int rc = 0;

	wr_init(&packed, 0);
	if (heads.len >= PACK_MIN)
		rc = codec_pack(CODEC_ZSTD, PACK_LEVEL, heads, &packed, NULL);
	if (rc == 0 && packed.len && packed.len < heads.len - heads.len / 20) {
		wr_u8(out, CODEC_ZSTD);
		wr_vbytes(out, wr_view(&packed));
	} else if (rc == 0) {
		wr_u8(out, CODEC_NONE);
		wr_bytes(out, heads);
	}
	wr_release(&packed);
	return rc;
}

int chunk_split_write(const uint64_t *values, size_t count, const struct chunk_split *split, struct wr *out)
{
	uint8_t *heads = mem_alloc(count), *low;
	uint64_t at = 0, low_bits = 0;
	int rc = E_NO_MEMORY;

	if (!heads)
		return rc;
	for (size_t i = 0; i < count; i++) {
		unsigned bits;

		heads[i] = number_head(number_of(values, i, split), &bits);
		low_bits += bits;
	}
	wr_u8(out, (uint8_t)split->form);
	wr_varint(out, split->scale);
	wr_varint(out, split->base);
	rc = heads_write(view_make(heads, count), out);
	mem_free(heads);
	if (rc < 0)
		return rc;
	low = wr_space(out, (low_bits + 7) / 8);
	if (!low)
		return E_NO_MEMORY;
	memset(low, 0, (low_bits + 7) / 8);
	for (size_t i = 0; i < count; i++) {
		unsigned bits;
		uint64_t number = number_of(values, i, split);

		(void)number_head(number, &bits);
		for (unsigned done = 0, n; done < bits; done += n, at += n) {
			n = 8 - at % 8 < bits - done ? 8 - (unsigned)(at % 8) : bits - done;
			low[at / 8] |= (uint8_t)((number >> done & ((1u << n) - 1)) << at % 8);
		}
	}
	return out->bad ? E_NO_MEMORY : 0;
}

/* ---- reading ---- */

/* *ret_low_bits: of all. */
static int heads_read(struct rd *rd, size_t count, struct arena *arena, const uint8_t **ret_heads,
		      uint64_t *ret_low_bits, struct err *err)
{
	unsigned codec = rd_u8(rd);
	struct view stored = codec == CODEC_ZSTD ? rd_vbytes(rd) : rd_bytes(rd, count);
	uint64_t low_bits = 0;
	uint8_t *heads;
	int rc;

	if (rd->bad || (codec != CODEC_ZSTD && codec != CODEC_NONE))
		return err_set(err, E_CORRUPT, "heads of %zu values, codec %u, cut short at byte %zu", count, codec,
			       rd_pos(rd));
	heads = arena_alloc(arena, count);
	if (!heads)
		return err_set(err, E_NO_MEMORY, "no memory for %zu heads", count);
	rc = codec_unpack((enum codec)codec, stored, heads, count, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		unsigned bits;

		if (heads[i] >= NUMBER_HEADS)
			return err_set(err, E_CORRUPT, "head %u of value %zu", heads[i], i);
		(void)number_head_value(heads[i], &bits);
		low_bits += bits;
	}
	*ret_heads = heads;
	*ret_low_bits = low_bits;
	return 0;
}

static inline uint64_t bits_get(const uint8_t *low, uint64_t at, unsigned count)
{
	uint64_t word;

	if (count == 0)
		return 0;
	memcpy(&word, low + at / 8, sizeof(word));
	word >>= at % 8;
	if (at % 8 + count > 64)	/* 61 at most, in nine bytes */
		word |= (uint64_t)low[at / 8 + 8] << (64 - at % 8);
	return word & ((1ull << count) - 1);
}

int chunk_split_read(struct rd *rd, size_t count, struct arena *arena, uint64_t *values, struct err *err)
{
	unsigned form = rd_u8(rd);
	uint64_t scale = rd_varint(rd), base = rd_varint(rd), low_bits = 0, at = 0, last = base;
	const uint8_t *heads = NULL;
	struct view stored;
	uint8_t *low;
	int rc;

	if (rd->bad || form >= FORMS || scale == 0)
		return err_set(err, E_CORRUPT, "numbers in parts: form %u, a scale of %llu at byte %zu", form,
			       (unsigned long long)scale, rd_pos(rd));
	rc = heads_read(rd, count, arena, &heads, &low_bits, err);
	if (rc < 0)
		return rc;
	stored = rd_bytes(rd, (size_t)((low_bits + 7) / 8));
	if (rd->bad)
		return err_set(err, E_CORRUPT, "cut short at byte %zu: %llu low bits of %zu values", rd_pos(rd),
			       (unsigned long long)low_bits, count);
	low = arena_alloc(arena, stored.len + PAD);
	if (!low)
		return err_set(err, E_NO_MEMORY, "no memory for %zu bytes", stored.len);
	if (stored.len)
		memcpy(low, stored.at, stored.len);
	memset(low + stored.len, 0, PAD);
	for (size_t i = 0; i < count; i++) {
		unsigned bits;
		uint64_t number = number_head_value(heads[i], &bits);

		number |= bits_get(low, at, bits);
		at += bits;
		if (form == SPLIT_ABOVE)
			values[i] = base + number * scale;
		else
			values[i] = last + number_unzigzag(number) * scale;
		if (form == SPLIT_STEPS)
			last = values[i];
	}
	return 0;
}
