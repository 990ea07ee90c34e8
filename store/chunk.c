#include "store/chunk.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"
#include "store/bitpack.h"
#include "store/chunk_patch.h"
#include "store/chunk_split.h"
#include "store/sort_places.h"

#define DEPTH_MAX 2		/* a dictionary's or a run's own streams are not split again */
#define DICT_MAX 16384u		/* beyond, the codes are as wide as the values */
#define DICT_SAMPLE 256u
#define SCALE 1000u		/* clocks of microseconds, stored as nanoseconds */
#define SCALE_WHOLE 1000000u	/* buckets of seconds and longer: what all have in common is looked for */

const char *chunk_enc_name(unsigned enc)
{
	static const char *const names[] = {
		[CHUNK_CONST] = "const", [CHUNK_RAW] = "raw", [CHUNK_FOR] = "for", [CHUNK_DELTA] = "delta",
		[CHUNK_DICT] = "dict", [CHUNK_RLE] = "rle", [CHUNK_PLAIN] = "plain", [CHUNK_BITMAP] = "bitmap",
		[CHUNK_REF] = "ref", [CHUNK_PREDICT] = "predict", [CHUNK_MAP] = "map", [CHUNK_PATCH] = "patch",
		[CHUNK_HIST] = "hist", [CHUNK_SPLIT] = "split", [CHUNK_HEX] = "hex",
	};

	return enc < sizeof(names) / sizeof(names[0]) && names[enc] ? names[enc] : "unknown";
}

void chunk_scratch_release(struct chunk_scratch *scratch)
{
	mem_free(scratch->values);
	mem_free(scratch->set);
	mem_free(scratch->set_codes);
	*scratch = (struct chunk_scratch){ 0 };
}

static int scratch_reserve(struct chunk_scratch *scratch, size_t count)
{
	uint64_t *values;

	if (scratch->cap >= count)
		return 0;
	count = count < 1024 ? 1024 : count;
	values = mem_resize(scratch->values, count, 4 * sizeof(*values));
	if (!values)
		return E_NO_MEMORY;
	scratch->values = values;
	scratch->cap = count;
	return 0;
}

/* ---- what the values look like ---- */

struct ints_stats {
	uint64_t min, max;
	size_t runs;
	size_t for_bytes, delta_bytes;	/* exact, without the few bytes in front */
};

static size_t varint_bytes(uint64_t v)
{
	return (bitpack_width(v | 1) + 6) / 7;
}

static uint64_t zigzag(uint64_t v)
{
	return v << 1 ^ ((int64_t)v < 0 ? UINT64_MAX : 0);
}

struct span {
	uint64_t min, max;
};

static inline __attribute__((always_inline)) struct span span_of(const uint64_t *values, size_t count)
{
	struct span span = { values[0], values[0] };

	for (size_t i = 1; i < count; i++) {
		span.min = values[i] < span.min ? values[i] : span.min;
		span.max = values[i] > span.max ? values[i] : span.max;
	}
	return span;
}

/* Differences are signed: the smallest may be negative, and max - min still fits 64 bits mod 2^64. */
static inline __attribute__((always_inline)) struct span delta_span_of(const uint64_t *values, size_t count)
{
	int64_t min = (int64_t)(values[0] - values[-1]), max = min;

	for (size_t i = 1; i < count; i++) {
		int64_t d = (int64_t)(values[i] - values[i - 1]);

		min = d < min ? d : min;
		max = d > max ? d : max;
	}
	return (struct span){ (uint64_t)min, (uint64_t)max };
}

static inline __attribute__((always_inline)) size_t runs_of(const uint64_t *values, size_t count)
{
	size_t runs = 1;

	for (size_t i = 1; i < count; i++)
		runs += values[i] != values[i - 1];
	return runs;
}

static inline __attribute__((always_inline)) void stats_of(const uint64_t *values, size_t count, struct ints_stats *ret_stats)
{
	struct ints_stats stats = { .min = values[0], .max = values[0], .runs = runs_of(values, count) };

	for (size_t at = 0; at < count; at += BITPACK_BLOCK) {
		size_t n = count - at < BITPACK_BLOCK ? count - at : BITPACK_BLOCK;
		struct span span = span_of(values + at, n);

		stats.min = span.min < stats.min ? span.min : stats.min;
		stats.max = span.max > stats.max ? span.max : stats.max;
		stats.for_bytes += 1 + varint_bytes(span.min) +
				   bitpack_bytes(bitpack_width(span.max - span.min), n);
	}
	for (size_t at = 1; at < count; at += BITPACK_BLOCK) {
		size_t n = count - at < BITPACK_BLOCK ? count - at : BITPACK_BLOCK;
		struct span span = delta_span_of(values + at, n);

		stats.delta_bytes += 1 + varint_bytes(zigzag(span.min)) +
				     bitpack_bytes(bitpack_width(span.max - span.min), n);
	}
	stats.delta_bytes += varint_bytes(values[0]);
	*ret_stats = stats;
}

#ifdef __x86_64__
/* SSE2 compares no integers of 64 bits. */
__attribute__((target("avx2"))) static void stats_of_avx2(const uint64_t *values, size_t count, struct ints_stats *ret_stats)
{
	stats_of(values, count, ret_stats);
}
#endif

static void stats_take(const uint64_t *values, size_t count, struct ints_stats *ret_stats)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2")) {
		stats_of_avx2(values, count, ret_stats);
		return;
	}
#endif
	stats_of(values, count, ret_stats);
}

static bool all_scaled(const uint64_t *values, size_t count, uint64_t scale)
{
	for (size_t i = 0; i < count; i++)
		if (values[i] % scale)
			return false;
	return true;
}

/* The greatest common divisor of values that are multiples of SCALE_WHOLE. */
static uint64_t scale_of(const uint64_t *values, size_t count)
{
	uint64_t scale = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t value = values[i], rest = scale;

		if (scale && value % scale == 0)
			continue;
		while (rest) {
			uint64_t next = value % rest;

			value = rest;
			rest = next;
		}
		scale = value;
	}
	return scale;
}

/* ---- distinct values ---- */

static bool set_reserve(struct chunk_scratch *scratch, size_t slots)
{
	if (scratch->set_cap >= slots)
		return true;
	mem_free(scratch->set);
	mem_free(scratch->set_codes);
	scratch->set = mem_array(slots, sizeof(*scratch->set));
	scratch->set_codes = mem_array(slots, sizeof(*scratch->set_codes));
	scratch->set_cap = scratch->set && scratch->set_codes ? slots : 0;
	return scratch->set_cap != 0;
}

/* Slot of value in a table of mask + 1 slots; set_codes[slot] is 0 when it is not there. */
static size_t set_slot(const struct chunk_scratch *scratch, size_t mask, uint64_t value)
{
	size_t slot = hash_u64(value) & mask;

	while (scratch->set_codes[slot] && scratch->set[slot] != value)
		slot = (slot + 1) & mask;
	return slot;
}

/* Number of distinct values, their list in distinct; limit + 1 when there are more than limit. */
static size_t distinct_take(const uint64_t *values, size_t count, size_t step, size_t limit,
			    struct chunk_scratch *scratch, size_t mask, uint64_t *distinct)
{
	size_t found = 0;

	memset(scratch->set_codes, 0, (mask + 1) * sizeof(*scratch->set_codes));
	for (size_t i = 0; i < count; i += step) {
		size_t slot = set_slot(scratch, mask, values[i]);

		if (scratch->set_codes[slot])
			continue;
		if (found == limit)
			return limit + 1;
		scratch->set[slot] = values[i];
		distinct[found++] = values[i];
		scratch->set_codes[slot] = (uint32_t)found;
	}
	return found;
}

/* ---- writing ---- */

static int ints_write(const uint64_t *values, size_t count, unsigned depth, struct chunk_scratch *scratch,
		      struct wr *out);

static int wr_done(const struct wr *out, enum chunk_enc enc)
{
	return out->bad ? E_NO_MEMORY : (int)enc;
}

static int write_const(uint64_t value, struct wr *out)
{
	wr_u8(out, CHUNK_CONST);
	wr_varint(out, value);
	return wr_done(out, CHUNK_CONST);
}

static unsigned raw_bytes_of(uint64_t max)
{
	return max > UINT32_MAX ? 8 : max > UINT16_MAX ? 4 : max > UINT8_MAX ? 2 : 1;
}

static int write_raw(const uint64_t *values, size_t count, uint64_t max, struct wr *out)
{
	unsigned bytes = raw_bytes_of(max);
	uint8_t *at;

	wr_u8(out, CHUNK_RAW);
	wr_u8(out, (uint8_t)bytes);
	at = wr_space(out, count * bytes);
	if (!at)
		return E_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		memcpy(at + i * bytes, &values[i], bytes);
	return CHUNK_RAW;
}

/* base is an unsigned minimum for FOR, a signed one for differences. */
static void write_block(const uint64_t *values, size_t count, struct span span, bool is_signed, struct wr *out)
{
	unsigned width = bitpack_width(span.max - span.min);
	uint8_t *at;

	wr_u8(out, (uint8_t)width);
	wr_varint(out, is_signed ? zigzag(span.min) : span.min);
	at = wr_space(out, bitpack_bytes(width, count));
	if (at)
		bitpack_pack(values, count, span.min, width, at);
}

static int write_for(const uint64_t *values, size_t count, uint64_t scale, struct wr *out)
{
	wr_u8(out, CHUNK_FOR);
	wr_varint(out, scale);
	for (size_t at = 0; at < count; at += BITPACK_BLOCK) {
		size_t n = count - at < BITPACK_BLOCK ? count - at : BITPACK_BLOCK;

		write_block(values + at, n, span_of(values + at, n), false, out);
	}
	return wr_done(out, CHUNK_FOR);
}

static int write_delta(const uint64_t *values, size_t count, uint64_t scale, struct wr *out)
{
	uint64_t deltas[BITPACK_BLOCK];

	wr_u8(out, CHUNK_DELTA);
	wr_varint(out, scale);
	wr_varint(out, values[0]);
	for (size_t at = 1; at < count; at += BITPACK_BLOCK) {
		size_t n = count - at < BITPACK_BLOCK ? count - at : BITPACK_BLOCK;

		for (size_t i = 0; i < n; i++)
			deltas[i] = values[at + i] - values[at + i - 1];
		write_block(deltas, n, delta_span_of(values + at, n), true, out);
	}
	return wr_done(out, CHUNK_DELTA);
}

static int write_rle(const uint64_t *values, size_t count, size_t runs, struct chunk_scratch *scratch,
		     struct wr *out)
{
	uint64_t *run_values = scratch->values + 2 * scratch->cap;
	uint64_t *run_lengths = scratch->values + 3 * scratch->cap;
	size_t run = 0, from = 0;
	int rc;

	for (size_t i = 1; i <= count; i++) {
		if (i < count && values[i] == values[from])
			continue;
		run_values[run] = values[from];
		run_lengths[run++] = i - from - 1;
		from = i;
	}
	assert(run == runs);
	wr_u8(out, CHUNK_RLE);
	wr_varint(out, runs);
	rc = ints_write(run_values, runs, DEPTH_MAX, scratch, out);
	if (rc < 0)
		return rc;
	rc = ints_write(run_lengths, runs, DEPTH_MAX, scratch, out);
	return rc < 0 ? rc : wr_done(out, CHUNK_RLE);
}

/* The set holds all values; distinct is sorted, so that codes keep the order of the values. */
static int write_dict(const uint64_t *values, size_t count, uint64_t *distinct, size_t dict_count, size_t mask,
		      struct chunk_scratch *scratch, struct wr *out)
{
	uint64_t *codes = scratch->values + scratch->cap;
	int rc;

	sort_numbers(distinct, codes, dict_count);
	for (size_t i = 0; i < dict_count; i++)
		scratch->set_codes[set_slot(scratch, mask, distinct[i])] = (uint32_t)i + 1;
	for (size_t i = 0; i < count; i++)
		codes[i] = scratch->set_codes[set_slot(scratch, mask, values[i])] - 1;
	wr_u8(out, CHUNK_DICT);
	wr_varint(out, dict_count);
	rc = ints_write(distinct, dict_count, DEPTH_MAX, scratch, out);
	if (rc < 0)
		return rc;
	rc = ints_write(codes, count, DEPTH_MAX, scratch, out);	/* distinct is dead by now */
	return rc < 0 ? rc : wr_done(out, CHUNK_DICT);
}

static size_t dict_bytes_of(size_t dict_count, uint64_t max, size_t count)
{
	return dict_count * ((bitpack_width(max) + 7) / 8) + count * bitpack_width(dict_count - 1) / 8 +
	       count / BITPACK_BLOCK * 2 + 16;
}

/* Whether a dictionary beats best_bytes; on yes the set and *ret_distinct are filled. */
static bool dict_pays(const uint64_t *values, size_t count, uint64_t max, size_t best_bytes,
		      struct chunk_scratch *scratch, uint64_t **ret_distinct, size_t *ret_count, size_t *ret_mask)
{
	uint64_t *distinct = scratch->values + 2 * scratch->cap;
	size_t limit = count / 4 < DICT_MAX ? count / 4 : DICT_MAX;
	size_t mask, found;

	if (scratch->quick || count < 16 || best_bytes < count / 2 || !set_reserve(scratch, 2 * DICT_MAX))
		return false;
	if (count > 8 * DICT_SAMPLE &&
	    distinct_take(values, count, count / DICT_SAMPLE, DICT_SAMPLE * 3 / 4, scratch, 4 * DICT_SAMPLE - 1,
			  distinct) > DICT_SAMPLE * 3 / 4)
		return false;
	for (mask = 255; mask + 1 < 2 * limit; mask = mask * 2 + 1)
		;
	found = distinct_take(values, count, 1, limit, scratch, mask, distinct);
	if (found > limit || dict_bytes_of(found, max, count) >= best_bytes)
		return false;
	*ret_distinct = distinct;
	*ret_count = found;
	*ret_mask = mask;
	return true;
}

/*
 * Times of a clock of microseconds lose ten bits, starts of buckets thirty. The scaled copy and its figures, when that
 * is smaller.
 */
static uint64_t scale_take(const uint64_t **values, size_t count, struct chunk_scratch *scratch,
			   struct ints_stats *stats)
{
	uint64_t *scaled = scratch->values, scale = SCALE;

	if (stats->max < SCALE * SCALE || !all_scaled(*values, count, SCALE))
		return 1;
	if (!scratch->quick && all_scaled(*values, count, SCALE_WHOLE))
		scale = scale_of(*values, count);
	for (size_t i = 0; i < count; i++)
		scaled[i] = (*values)[i] / scale;
	stats_take(scaled, count, stats);
	*values = scaled;
	return scale;
}

/* ---- values far from the others ---- */

#define PATCH_FROM 64u		/* values */
#define SPLIT_FROM 48u		/* values; fewer take less than the heads' own frame */

static int write_patch(const uint64_t *values, size_t count, const struct chunk_patch *patch, uint64_t scale,
		       struct chunk_scratch *scratch, struct wr *out)
{
	uint64_t *near = scratch->values + scratch->cap;
	uint64_t *places = scratch->values + 2 * scratch->cap;
	uint64_t *far = scratch->values + 3 * scratch->cap;
	uint64_t last = patch->low;
	size_t found = 0;
	int rc;

	for (size_t i = 0; i < count; i++) {
		if ((values[i] - patch->low) >> patch->width) {
			places[found] = i;
			far[found++] = values[i];
		} else {
			last = values[i];
		}
		near[i] = last;		/* what stands before, so that it costs nothing */
	}
	scratch->patched = true;
	wr_u8(out, CHUNK_PATCH);
	wr_varint(out, scale);
	wr_varint(out, found);
	rc = found ? ints_write(places, found, DEPTH_MAX, scratch, out) : 0;
	if (rc >= 0 && found)
		rc = ints_write(far, found, DEPTH_MAX, scratch, out);
	if (rc >= 0)
		rc = ints_write(near, count, DEPTH_MAX, scratch, out);
	return rc < 0 ? rc : wr_done(out, CHUNK_PATCH);
}

static int write_split(const uint64_t *values, size_t count, const struct chunk_split *split,
		       struct chunk_scratch *scratch, struct wr *out)
{
	int rc;

	scratch->split = true;
	wr_u8(out, CHUNK_SPLIT);
	rc = chunk_split_write(values, count, split, out);
	return rc < 0 ? rc : wr_done(out, CHUNK_SPLIT);
}

static int ints_write(const uint64_t *values, size_t count, unsigned depth, struct chunk_scratch *scratch,
		      struct wr *out)
{
	const uint64_t *unscaled = values;
	size_t raw_bytes, best_bytes, rle_bytes, patch_bytes = SIZE_MAX, dict_count, mask;
	struct chunk_split split = { .bytes = SIZE_MAX };
	struct chunk_patch patch = { 0 };
	struct ints_stats stats;
	uint64_t scale = 1, *distinct, max, spread;

	stats_take(values, count, &stats);
	if (stats.min == stats.max)
		return write_const(stats.min, out);
	max = stats.max;
	spread = stats.max - stats.min;
	raw_bytes = count * raw_bytes_of(max);
	if (depth < DEPTH_MAX)
		scale = scale_take(&values, count, scratch, &stats);
	best_bytes = stats.for_bytes < stats.delta_bytes ? stats.for_bytes : stats.delta_bytes;
	if (depth < DEPTH_MAX) {
		if (scratch->patches && count >= PATCH_FROM)
			patch_bytes = chunk_patch_find(values, count, stats.max - stats.min, best_bytes - best_bytes / 10, &patch);
		if (patch_bytes != SIZE_MAX)
			best_bytes = patch_bytes;
		rle_bytes = stats.runs * (bitpack_width(spread) + bitpack_width(count / stats.runs) + 2) / 8 + 16;
		if (stats.runs <= count / 4 && rle_bytes < best_bytes)
			return write_rle(unscaled, count, stats.runs, scratch, out);
		if (scratch->splits && count >= SPLIT_FROM)
			chunk_split_find(unscaled, count, &split);
		if (split.bytes < best_bytes - best_bytes / 32)
			best_bytes = split.bytes;
		else
			split.bytes = SIZE_MAX;
		if (dict_pays(unscaled, count, max, best_bytes < raw_bytes ? best_bytes : raw_bytes, scratch,
			      &distinct, &dict_count, &mask))
			return write_dict(unscaled, count, distinct, dict_count, mask, scratch, out);
	}
	if (split.bytes < raw_bytes)
		return write_split(unscaled, count, &split, scratch, out);
	if (patch_bytes != SIZE_MAX && patch_bytes < raw_bytes)
		return write_patch(values, count, &patch, scale, scratch, out);
	if (raw_bytes <= best_bytes)
		return write_raw(unscaled, count, max, out);
	if (stats.delta_bytes < stats.for_bytes)
		return write_delta(values, count, scale, out);
	return write_for(values, count, scale, out);
}

int chunk_ints_write(const uint64_t *values, size_t count, struct chunk_scratch *scratch, struct wr *out)
{
	assert(count >= 1 && count <= CHUNK_VALUES_MAX);
	if (scratch_reserve(scratch, count) < 0)
		return E_NO_MEMORY;
	scratch->split = false;
	return ints_write(values, count, 1, scratch, out);
}

size_t chunk_ints_packed_bytes(const uint64_t *values, size_t count)
{
	struct ints_stats stats;

	stats_take(values, count, &stats);
	return stats.for_bytes < stats.delta_bytes ? stats.for_bytes : stats.delta_bytes;
}

/* ---- reading ---- */

static int ints_read(struct rd *rd, size_t count, unsigned depth, struct arena *arena, uint64_t *values,
		     struct err *err);

static int cut_short(const struct rd *rd, size_t done, size_t count, struct err *err)
{
	return err_set(err, E_CORRUPT, "cut short at byte %zu, %zu of %zu values", rd_pos(rd), done, count);
}

static int read_raw(struct rd *rd, size_t count, uint64_t *values, struct err *err)
{
	unsigned bytes = rd_u8(rd);
	struct view in;

	if (rd->bad || (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8))
		return err_set(err, E_CORRUPT, "integers of %u bytes", bytes);
	in = rd_bytes(rd, count * bytes);
	if (rd->bad)
		return cut_short(rd, 0, count, err);
	switch (bytes) {
	case 1:
		for (size_t i = 0; i < count; i++)
			values[i] = in.at[i];
		break;
	case 2:
		for (size_t i = 0; i < count; i++) {
			uint16_t v;

			memcpy(&v, in.at + 2 * i, sizeof(v));
			values[i] = v;
		}
		break;
	case 4:
		for (size_t i = 0; i < count; i++) {
			uint32_t v;

			memcpy(&v, in.at + 4 * i, sizeof(v));
			values[i] = v;
		}
		break;
	default:
		memcpy(values, in.at, count * 8);
	}
	return 0;
}

static int read_blocks(struct rd *rd, size_t count, bool is_signed, uint64_t *values, struct err *err)
{
	for (size_t at = 0; at < count; at += BITPACK_BLOCK) {
		size_t n = count - at < BITPACK_BLOCK ? count - at : BITPACK_BLOCK;
		unsigned width = rd_u8(rd);
		uint64_t base = is_signed ? (uint64_t)rd_svarint(rd) : rd_varint(rd);
		struct view in;

		if (width > 64)
			return err_set(err, E_CORRUPT, "values %u bits wide at byte %zu", width, rd_pos(rd));
		in = rd_bytes(rd, bitpack_bytes(width, n));
		if (rd->bad)
			return cut_short(rd, at, count, err);
		bitpack_unpack(in.at, n, base, width, values + at);
	}
	return 0;
}

static int read_scaled(struct rd *rd, size_t count, bool is_delta, uint64_t *values, struct err *err)
{
	uint64_t scale = rd_varint(rd), sum = is_delta ? rd_varint(rd) : 0;
	int rc;

	if (rd->bad || scale == 0)
		return err_set(err, E_CORRUPT, "a scale of %llu at byte %zu", (unsigned long long)scale,
			       rd_pos(rd));
	if (is_delta) {
		values[0] = sum;
		rc = read_blocks(rd, count - 1, true, values + 1, err);
		if (rc < 0)
			return rc;
		for (size_t i = 1; i < count; i++)
			values[i] = sum += values[i];
	} else {
		rc = read_blocks(rd, count, false, values, err);
		if (rc < 0)
			return rc;
	}
	if (scale != 1)
		for (size_t i = 0; i < count; i++)
			values[i] *= scale;
	return 0;
}

/* A claimed number of entries of a nested stream; memory for them. */
static int read_nested_count(struct rd *rd, size_t count, size_t arrays, const char *what, struct arena *arena,
			     size_t *ret_nested, uint64_t **ret_values, struct err *err)
{
	uint64_t nested = rd_varint(rd);
	uint64_t *values;

	if (rd->bad || nested < 1 || nested > count)
		return err_set(err, E_CORRUPT, "%llu %s for %zu values", (unsigned long long)nested, what,
			       count);
	values = arena_alloc(arena, (size_t)nested * arrays * sizeof(*values));
	if (!values)
		return err_set(err, E_NO_MEMORY, "no memory for %llu %s", (unsigned long long)nested, what);
	*ret_nested = (size_t)nested;
	*ret_values = values;
	return 0;
}

static int read_rle(struct rd *rd, size_t count, struct arena *arena, uint64_t *values, struct err *err)
{
	uint64_t *run_values = NULL, *run_lengths;
	size_t runs = 0, at = 0;
	int rc = read_nested_count(rd, count, 2, "runs", arena, &runs, &run_values, err);

	if (rc < 0)
		return rc;
	run_lengths = run_values + runs;
	rc = ints_read(rd, runs, DEPTH_MAX, arena, run_values, err);
	if (rc == 0)
		rc = ints_read(rd, runs, DEPTH_MAX, arena, run_lengths, err);
	if (rc < 0)
		return rc;
	for (size_t run = 0; run < runs; run++) {
		uint64_t value = run_values[run], more = run_lengths[run];

		if (more >= count - at)
			return err_set(err, E_CORRUPT, "run %zu of %llu + 1 values at value %zu of %zu", run,
				       (unsigned long long)more, at, count);
		for (size_t end = at + (size_t)more + 1; at < end; at++)
			values[at] = value;
	}
	if (at != count)
		return err_set(err, E_CORRUPT, "runs fill %zu of %zu values", at, count);
	return 0;
}

static int check_codes(const uint64_t *codes, size_t count, size_t dict_count, struct err *err)
{
	uint64_t max = 0;

	for (size_t i = 0; i < count; i++)
		max = codes[i] > max ? codes[i] : max;
	if (max >= dict_count)
		return err_set(err, E_CORRUPT, "code %llu in a dictionary of %zu", (unsigned long long)max,
			       dict_count);
	return 0;
}

static int read_dict(struct rd *rd, size_t count, struct arena *arena, uint64_t *values, struct err *err)
{
	size_t dict_count = 0;
	uint64_t *dict = NULL;
	int rc = read_nested_count(rd, count, 1, "dictionary entries", arena, &dict_count, &dict, err);

	if (rc == 0)
		rc = ints_read(rd, dict_count, DEPTH_MAX, arena, dict, err);
	if (rc == 0)
		rc = ints_read(rd, count, DEPTH_MAX, arena, values, err);
	if (rc == 0)
		rc = check_codes(values, count, dict_count, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		values[i] = dict[values[i]];
	return 0;
}

static int read_patch(struct rd *rd, size_t count, struct arena *arena, uint64_t *values, struct err *err)
{
	uint64_t scale = rd_varint(rd), found = rd_varint(rd);
	uint64_t *places = NULL, *far;
	int rc = 0;

	if (rd->bad || scale == 0 || found > count)
		return err_set(err, E_CORRUPT, "%llu exceptions of %zu values, a scale of %llu",
			       (unsigned long long)found, count, (unsigned long long)scale);
	places = arena_alloc(arena, ((size_t)found * 2 + 1) * sizeof(*places));
	if (!places)
		return err_set(err, E_NO_MEMORY, "no memory for %llu exceptions", (unsigned long long)found);
	far = places + found;
	if (found)
		rc = ints_read(rd, (size_t)found, DEPTH_MAX, arena, places, err);
	if (rc == 0 && found)
		rc = ints_read(rd, (size_t)found, DEPTH_MAX, arena, far, err);
	if (rc == 0)
		rc = ints_read(rd, count, DEPTH_MAX, arena, values, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < found; i++) {
		if (places[i] >= count)
			return err_set(err, E_CORRUPT, "exception %zu at value %llu of %zu", i,
				       (unsigned long long)places[i], count);
		values[places[i]] = far[i];
	}
	if (scale != 1)
		for (size_t i = 0; i < count; i++)
			values[i] *= scale;
	return 0;
}

static int ints_read(struct rd *rd, size_t count, unsigned depth, struct arena *arena, uint64_t *values,
		     struct err *err)
{
	unsigned enc = rd_u8(rd);
	uint64_t value;

	if (rd->bad)
		return cut_short(rd, 0, count, err);
	switch (enc) {
	case CHUNK_CONST:
		value = rd_varint(rd);
		if (rd->bad)
			return cut_short(rd, 0, count, err);
		for (size_t i = 0; i < count; i++)
			values[i] = value;
		return 0;
	case CHUNK_RAW:
		return read_raw(rd, count, values, err);
	case CHUNK_FOR:
		return read_scaled(rd, count, false, values, err);
	case CHUNK_DELTA:
		return read_scaled(rd, count, true, values, err);
	case CHUNK_DICT:
		if (depth < DEPTH_MAX)
			return read_dict(rd, count, arena, values, err);
		break;
	case CHUNK_RLE:
		if (depth < DEPTH_MAX)
			return read_rle(rd, count, arena, values, err);
		break;
	case CHUNK_PATCH:
		if (depth < DEPTH_MAX)
			return read_patch(rd, count, arena, values, err);
		break;
	case CHUNK_SPLIT:
		if (depth < DEPTH_MAX)
			return chunk_split_read(rd, count, arena, values, err);
		break;
	}
	return err_set(err, E_CORRUPT, "encoding %u of integers at depth %u, byte %zu", enc, depth, rd_pos(rd) - 1);
}

int chunk_ints_read(struct rd *rd, size_t count, struct arena *arena, uint64_t *values, struct err *err)
{
	assert(count >= 1 && count <= CHUNK_VALUES_MAX);
	return ints_read(rd, count, 1, arena, values, err);
}

int chunk_nested_read(struct rd *rd, size_t count, struct arena *arena, uint64_t *values, struct err *err)
{
	assert(count >= 1 && count <= CHUNK_VALUES_MAX);
	return ints_read(rd, count, DEPTH_MAX, arena, values, err);
}

int chunk_counted_read(struct rd *rd, size_t count, const char *what, struct arena *arena, size_t *ret_nested,
		       uint64_t **ret_values, struct err *err)
{
	uint64_t nested = rd_varint(rd);
	uint64_t *values;
	int rc;

	if (rd->bad || nested < 1 || nested > count)
		return err_set(err, E_CORRUPT, "%llu %s for %zu values", (unsigned long long)nested, what, count);
	values = arena_alloc(arena, (size_t)nested * sizeof(*values));
	if (!values)
		return err_set(err, E_NO_MEMORY, "no memory for %llu %s", (unsigned long long)nested, what);
	rc = chunk_nested_read(rd, (size_t)nested, arena, values, err);
	if (rc < 0)
		return rc;
	*ret_nested = (size_t)nested;
	*ret_values = values;
	return 0;
}
