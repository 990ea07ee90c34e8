#include "store/chunk_match.h"

#include <assert.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "store/bitpack.h"

#define BLOCK	    BITPACK_BLOCK
#define BLOCK_WORDS (BLOCK / 64)
#define SPANS_FEW   32	/* compared one after another; more are searched */

/* ---- one block of values ---- */

static inline __attribute__((always_inline)) void span_words(const uint64_t *values, uint64_t from, uint64_t width,
							     uint64_t *words)
{
	for (unsigned w = 0; w < BLOCK_WORDS; w++) {
		uint64_t word = 0;

		for (unsigned i = 0; i < 64; i++)
			word |= (uint64_t)(values[64 * w + i] - from <= width) << i;
		words[w] |= word;
	}
}

#ifdef __x86_64__
/* AVX2 compares signed numbers only: both sides lose their top bit's meaning. */
__attribute__((target("avx2"))) static void span_words_avx2(const uint64_t *values, uint64_t from, uint64_t width,
							    uint64_t *words)
{
	const __m256i top = _mm256_set1_epi64x(INT64_MIN);
	const __m256i low = _mm256_set1_epi64x((int64_t)(from ^ (1ull << 63)));
	const __m256i most = _mm256_xor_si256(_mm256_set1_epi64x((int64_t)width), top);

	for (unsigned w = 0; w < BLOCK_WORDS; w++) {
		uint64_t above = 0;

		for (unsigned i = 0; i < 64; i += 4) {
			__m256i v = _mm256_loadu_si256((const __m256i *)(values + 64 * w + i));
			/* v - from with the top bit turned: subtracting from ^ 2^63 does both. */
			__m256i far = _mm256_cmpgt_epi64(_mm256_sub_epi64(v, low), most);

			above |= (uint64_t)(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(far)) << i;
		}
		words[w] |= ~above;
	}
}
#endif

/* Adds to words what of the BLOCK values lies in [from, from + width]. */
static void span_add(const uint64_t *values, uint64_t from, uint64_t width, uint64_t words[BLOCK_WORDS])
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2")) {
		span_words_avx2(values, from, width, words);
		return;
	}
#endif
	span_words(values, from, width, words);
}

/* fits[values[i]], a bit each: eight bytes, each 0 or 1, become bits by one multiplication. */
static int fits_words(const uint64_t *values, const struct chunk_test *test, uint64_t words[BLOCK_WORDS],
		      struct err *err)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < BLOCK; i++)
		most = values[i] > most ? values[i] : most;
	if (most >= test->fits_count)
		return err_set(err, E_CORRUPT, "code %llu in a dictionary of %zu", (unsigned long long)most,
			       test->fits_count);
	for (unsigned w = 0; w < BLOCK_WORDS; w++) {
		words[w] = 0;
		for (unsigned i = 0; i < 64; i += 8) {
			const uint64_t *eight = values + 64 * w + i;
			uint64_t bytes = 0;

			for (unsigned k = 0; k < 8; k++)
				bytes |= (uint64_t)test->fits[eight[k]] << 8 * k;
			words[w] |= (bytes * 0x0102040810204080ull >> 56) << i;
		}
	}
	return 0;
}

/* values has room for BLOCK; those behind count are filled up with the first. */
static int block_words(uint64_t *values, size_t count, const struct chunk_test *test, uint64_t words[BLOCK_WORDS],
		       struct err *err)
{
	for (size_t i = count; i < BLOCK; i++)
		values[i] = values[0];
	if (test->fits)
		return fits_words(values, test, words, err);
	for (unsigned w = 0; w < BLOCK_WORDS; w++)
		words[w] = 0;
	if (test->spans_count <= SPANS_FEW) {
		for (size_t s = 0; s < test->spans_count; s++)
			span_add(values, test->spans[s].from, test->spans[s].to - test->spans[s].from, words);
		return 0;
	}
	for (unsigned i = 0; i < BLOCK; i++)
		words[i / 64] |= (uint64_t)chunk_spans_have(test->spans, test->spans_count, values[i]) << i % 64;
	return 0;
}

/* The first count of a block's words to bits, where block `at / BLOCK` begins; what lies behind is 0. */
static void words_put(const uint64_t words[BLOCK_WORDS], size_t at, size_t count, uint64_t *bits)
{
	for (size_t i = 0; i < count; i += 64) {
		uint64_t word = words[i / 64];

		if (count - i < 64)
			word &= (1ull << (count - i)) - 1;
		bits[(at + i) / 64] = word;
	}
}

/* ---- many values that are known to be equal, or to lie close ---- */

enum verdict { NONE, ALL, SOME };

/* What the test says of every value in [min, max]. */
static enum verdict range_verdict(const struct chunk_test *test, uint64_t min, uint64_t max)
{
	size_t low = 0, high = test->spans_count;

	if (test->fits) {
		if (max >= test->fits_count || max - min > 32)
			return SOME;
		for (uint64_t v = min + 1; v <= max; v++)
			if (test->fits[v] != test->fits[min])
				return SOME;
		return test->fits[min] ? ALL : NONE;
	}
	while (low < high) {	/* the first span that does not end before min */
		size_t mid = (low + high) / 2;

		if (test->spans[mid].to < min)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == test->spans_count || test->spans[low].from > max)
		return NONE;
	return test->spans[low].from <= min && test->spans[low].to >= max ? ALL : SOME;
}

static int value_passes(const struct chunk_test *test, uint64_t value, struct err *err)
{
	if (!test->fits)
		return chunk_spans_have(test->spans, test->spans_count, value);
	if (value >= test->fits_count)
		return err_set(err, E_CORRUPT, "code %llu in a dictionary of %zu", (unsigned long long)value,
			       test->fits_count);
	return test->fits[value];
}

/* Bits [from, to) become 1; they were 0. */
static void bits_set(uint64_t *bits, size_t from, size_t to)
{
	while (from < to) {
		size_t end = (from / 64 + 1) * 64, n = (to < end ? to : end) - from;

		bits[from / 64] |= (n == 64 ? UINT64_MAX : (1ull << n) - 1) << from % 64;
		from += n;
	}
}

static void bits_clear(uint64_t *bits, size_t count)
{
	for (size_t w = 0; w < (count + 63) / 64; w++)
		bits[w] = 0;
}

/* ---- encodings ---- */

static int cut_short(const struct rd *rd, size_t done, size_t count, struct err *err)
{
	return err_set(err, E_CORRUPT, "cut short at byte %zu, %zu of %zu values", rd_pos(rd), done, count);
}

static int match_const(struct rd *rd, size_t count, const struct chunk_test *test, uint64_t *bits, struct err *err)
{
	uint64_t value = rd_varint(rd);
	int rc;

	if (rd->bad)
		return cut_short(rd, 0, count, err);
	rc = value_passes(test, value, err);
	bits_clear(bits, count);
	if (rc == 1)
		bits_set(bits, 0, count);
	return rc < 0 ? rc : 1;
}

static int match_raw(struct rd *rd, size_t count, const struct chunk_test *test, uint64_t *bits, struct err *err)
{
	unsigned bytes = rd_u8(rd);
	uint64_t values[BLOCK], words[BLOCK_WORDS];
	struct view in;

	if (rd->bad || (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8))
		return err_set(err, E_CORRUPT, "integers of %u bytes", bytes);
	in = rd_bytes(rd, count * bytes);
	if (rd->bad)
		return cut_short(rd, 0, count, err);
	for (size_t at = 0; at < count; at += BLOCK) {
		size_t n = count - at < BLOCK ? count - at : BLOCK;
		const uint8_t *from = in.at + at * bytes;
		int rc;

		switch (bytes) {
#define WIDEN(type, width)							\
		case width:							\
			for (size_t i = 0; i < n; i++) {			\
				type v;						\
										\
				memcpy(&v, from + i * (width), (width));	\
				values[i] = v;					\
			}							\
			break
		WIDEN(uint8_t, 1);
		WIDEN(uint16_t, 2);
		WIDEN(uint32_t, 4);
		WIDEN(uint64_t, 8);
#undef WIDEN
		}
		rc = block_words(values, n, test, words, err);
		if (rc < 0)
			return rc;
		words_put(words, at, n, bits);
	}
	return 1;
}

/* The head of a packed block: how wide, from what on, and its bytes. */
struct packed {
	unsigned width;
	uint64_t base;
	struct view in;
};

static int packed_read(struct rd *rd, size_t n, bool is_signed, size_t at, size_t count, struct packed *packed,
		       struct err *err)
{
	packed->width = rd_u8(rd);
	packed->base = is_signed ? (uint64_t)rd_svarint(rd) : rd_varint(rd);
	if (packed->width > 64)
		return err_set(err, E_CORRUPT, "values %u bits wide at byte %zu", packed->width, rd_pos(rd));
	packed->in = rd_bytes(rd, bitpack_bytes(packed->width, n));
	return rd->bad ? cut_short(rd, at, count, err) : 0;
}

/* Often the range of a block alone decides. */
static enum verdict packed_verdict(const struct packed *packed, uint64_t scale, const struct chunk_test *test)
{
	uint64_t min, max, spread = packed->width == 64 ? UINT64_MAX : (1ull << packed->width) - 1;

	if (__builtin_add_overflow(packed->base, spread, &max) || __builtin_mul_overflow(max, scale, &max) ||
	    __builtin_mul_overflow(packed->base, scale, &min))
		return SOME;
	return range_verdict(test, min, max);
}

static int match_for(struct rd *rd, size_t count, const struct chunk_test *test, uint64_t *bits, struct err *err)
{
	uint64_t scale = rd_varint(rd), values[BLOCK], words[BLOCK_WORDS];

	if (rd->bad || scale == 0)
		return err_set(err, E_CORRUPT, "a scale of %llu at byte %zu", (unsigned long long)scale, rd_pos(rd));
	for (size_t at = 0; at < count; at += BLOCK) {
		size_t n = count - at < BLOCK ? count - at : BLOCK;
		struct packed packed;
		enum verdict verdict;
		int rc = packed_read(rd, n, false, at, count, &packed, err);

		if (rc < 0)
			return rc;
		verdict = packed_verdict(&packed, scale, test);
		if (verdict == SOME) {
			bitpack_unpack(packed.in.at, n, packed.base, packed.width, values);
			for (size_t i = 0; scale != 1 && i < n; i++)
				values[i] *= scale;
			rc = block_words(values, n, test, words, err);
			if (rc < 0)
				return rc;
		} else {
			for (unsigned w = 0; w < BLOCK_WORDS; w++)
				words[w] = verdict == ALL ? UINT64_MAX : 0;
		}
		words_put(words, at, n, bits);
	}
	return 1;
}

/* Each value is the sum of what came before: nothing can be left out, but nothing is kept either. */
static int match_delta(struct rd *rd, size_t count, const struct chunk_test *test, uint64_t *bits, struct err *err)
{
	uint64_t scale = rd_varint(rd), sum = rd_varint(rd), values[BLOCK], words[BLOCK_WORDS], bit;
	int rc;

	if (rd->bad || scale == 0)
		return err_set(err, E_CORRUPT, "a scale of %llu at byte %zu", (unsigned long long)scale, rd_pos(rd));
	rc = value_passes(test, sum * scale, err);
	if (rc < 0)
		return rc;
	bits_clear(bits, count);
	bits[0] = (uint64_t)rc;
	for (size_t at = 1; at < count; at += BLOCK) {
		size_t n = count - at < BLOCK ? count - at : BLOCK;
		struct packed packed;

		rc = packed_read(rd, n, true, at, count, &packed, err);
		if (rc < 0)
			return rc;
		bitpack_unpack(packed.in.at, n, packed.base, packed.width, values);
		for (size_t i = 0; i < n; i++)
			values[i] = sum += values[i];
		for (size_t i = 0; scale != 1 && i < n; i++)
			values[i] *= scale;
		rc = block_words(values, n, test, words, err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < n; i += 64) {	/* blocks begin one behind the words */
			bit = words[i / 64];
			if (n - i < 64)
				bit &= (1ull << (n - i)) - 1;
			bits[(at + i) / 64] |= bit << 1;
			if (bit >> 63)
				bits[(at + i) / 64 + 1] |= 1;
		}
	}
	return 1;
}

static int match_rle(struct rd *rd, size_t count, const struct chunk_test *test, struct arena *arena, uint64_t *bits,
		     struct err *err)
{
	uint64_t *run_values = NULL, *run_lengths;
	size_t runs = 0, at = 0;
	int rc = chunk_counted_read(rd, count, "runs", arena, &runs, &run_values, err);

	if (rc < 0)
		return rc;
	run_lengths = arena_alloc(arena, runs * sizeof(*run_lengths));
	if (!run_lengths)
		return err_set(err, E_NO_MEMORY, "no memory for %zu runs", runs);
	rc = chunk_nested_read(rd, runs, arena, run_lengths, err);
	bits_clear(bits, count);
	for (size_t run = 0; rc >= 0 && run < runs; run++) {
		uint64_t more = run_lengths[run];

		if (more >= count - at)
			return err_set(err, E_CORRUPT, "run %zu of %llu + 1 values at value %zu of %zu", run,
				       (unsigned long long)more, at, count);
		rc = value_passes(test, run_values[run], err);
		if (rc == 1)
			bits_set(bits, at, at + (size_t)more + 1);
		at += (size_t)more + 1;
	}
	if (rc >= 0 && at != count)
		return err_set(err, E_CORRUPT, "runs fill %zu of %zu values", at, count);
	return rc < 0 ? rc : 1;
}

static int ints_match(struct rd *rd, size_t count, const struct chunk_test *test, bool nested, struct arena *arena,
		      uint64_t *bits, struct err *err);

/* The dictionary is asked once an entry, its codes then as numbers of their own. */
static int match_dict(struct rd *rd, size_t count, const struct chunk_test *test, struct arena *arena, uint64_t *bits,
		      struct err *err)
{
	struct chunk_test codes = { 0 };
	uint64_t *dict = NULL;
	size_t dict_count = 0;
	uint8_t *fits;
	int rc = chunk_counted_read(rd, count, "dictionary entries", arena, &dict_count, &dict, err);

	if (rc < 0)
		return rc;
	fits = arena_alloc(arena, dict_count);
	if (!fits)
		return err_set(err, E_NO_MEMORY, "no memory for %zu dictionary entries", dict_count);
	for (size_t i = 0; i < dict_count; i++) {
		rc = value_passes(test, dict[i], err);
		if (rc < 0)
			return rc;
		fits[i] = (uint8_t)rc;
	}
	codes.fits = fits;
	codes.fits_count = dict_count;
	return ints_match(rd, count, &codes, true, arena, bits, err);
}

/* Most values as they lie, then the few that stand apart. Scaled ones are left to the decoder. */
static int match_patch(struct rd *rd, size_t count, const struct chunk_test *test, struct arena *arena, uint64_t *bits,
		       struct err *err)
{
	uint64_t scale = rd_varint(rd), found = rd_varint(rd);
	uint64_t *places, *far;
	int rc = 0;

	if (rd->bad || scale == 0 || found > count)
		return err_set(err, E_CORRUPT, "%llu exceptions of %zu values, a scale of %llu",
			       (unsigned long long)found, count, (unsigned long long)scale);
	if (scale != 1)
		return 0;
	places = arena_alloc(arena, ((size_t)found * 2 + 1) * sizeof(*places));
	if (!places)
		return err_set(err, E_NO_MEMORY, "no memory for %llu exceptions", (unsigned long long)found);
	far = places + found;
	if (found)
		rc = chunk_nested_read(rd, (size_t)found, arena, places, err);
	if (rc == 0 && found)
		rc = chunk_nested_read(rd, (size_t)found, arena, far, err);
	if (rc == 0)
		rc = ints_match(rd, count, test, true, arena, bits, err);
	for (size_t i = 0; rc == 1 && i < found; i++) {
		uint64_t bit = 1ull << places[i] % 64;
		int passes = value_passes(test, far[i], err);

		if (places[i] >= count)
			return err_set(err, E_CORRUPT, "exception %zu at value %llu of %zu", i,
				       (unsigned long long)places[i], count);
		if (passes < 0)
			return passes;
		bits[places[i] / 64] = passes ? bits[places[i] / 64] | bit : bits[places[i] / 64] & ~bit;
	}
	return rc;
}

static int ints_match(struct rd *rd, size_t count, const struct chunk_test *test, bool nested, struct arena *arena,
		      uint64_t *bits, struct err *err)
{
	unsigned enc = rd_u8(rd);

	if (rd->bad)
		return cut_short(rd, 0, count, err);
	switch (enc) {
	case CHUNK_CONST: return match_const(rd, count, test, bits, err);
	case CHUNK_RAW: return match_raw(rd, count, test, bits, err);
	case CHUNK_FOR: return match_for(rd, count, test, bits, err);
	case CHUNK_DELTA: return match_delta(rd, count, test, bits, err);
	case CHUNK_RLE: return nested ? 0 : match_rle(rd, count, test, arena, bits, err);
	case CHUNK_DICT: return nested ? 0 : match_dict(rd, count, test, arena, bits, err);
	case CHUNK_PATCH: return nested ? 0 : match_patch(rd, count, test, arena, bits, err);
	default: return 0;
	}
}

int chunk_ints_match(struct rd *rd, size_t count, const struct chunk_test *test, struct arena *arena, uint64_t *bits,
		     struct err *err)
{
	assert(count >= 1 && count <= CHUNK_VALUES_MAX);
	return ints_match(rd, count, test, false, arena, bits, err);
}

int chunk_values_match(const uint64_t *values, size_t count, const struct chunk_test *test, uint64_t *bits,
		       struct err *err)
{
	uint64_t block[BLOCK], words[BLOCK_WORDS];

	for (size_t at = 0; at < count; at += BLOCK) {
		size_t n = count - at < BLOCK ? count - at : BLOCK;
		int rc;

		memcpy(block, values + at, n * sizeof(*block));
		rc = block_words(block, n, test, words, err);
		if (rc < 0)
			return rc;
		words_put(words, at, n, bits);
	}
	return 0;
}

/* ---- bits of values to bits of rows ---- */

/* The low bits of `from`, one for each bit of mask, to where those are. */
static uint64_t deposit(uint64_t from, uint64_t mask)
{
	uint64_t to = 0;

	for (; mask; mask &= mask - 1, from >>= 1)
		if (from & 1)
			to |= mask & -mask;
	return to;
}

static inline __attribute__((always_inline)) void spread(const uint64_t *dense, const uint64_t *valid, size_t rows,
							 uint64_t *bits, uint64_t (*put)(uint64_t from, uint64_t mask))
{
	size_t at = 0;

	for (size_t w = 0; w < (rows + 63) / 64; w++) {
		unsigned n = (unsigned)__builtin_popcountll(valid[w]), shift = at % 64;
		uint64_t word = 0;

		if (n) {
			word = dense[at / 64] >> shift;
			if (shift && shift + n > 64)
				word |= dense[at / 64 + 1] << (64 - shift);
		}
		bits[w] = n == 64 ? word : put(word, valid[w]);
		at += n;
	}
}

#ifdef __x86_64__
__attribute__((target("bmi2"))) static inline uint64_t deposit_bmi2(uint64_t from, uint64_t mask)
{
	return _pdep_u64(from, mask);
}

__attribute__((target("bmi2"))) static void spread_bmi2(const uint64_t *dense, const uint64_t *valid, size_t rows,
							uint64_t *bits)
{
	spread(dense, valid, rows, bits, deposit_bmi2);
}
#endif

void chunk_bits_spread(const uint64_t *dense, const uint64_t *valid, size_t rows, uint64_t *bits)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("bmi2")) {
		spread_bmi2(dense, valid, rows, bits);
		return;
	}
#endif
	spread(dense, valid, rows, bits, deposit);
}
