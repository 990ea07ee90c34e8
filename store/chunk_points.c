#include "store/chunk_points.h"

#include <assert.h>

#include "store/bitpack.h"
#include "store/chunk_hex.h"
#include "store/chunk_split.h"

#define BLOCK BITPACK_BLOCK

/* Where values of a stream are wanted. */
struct points {
	const uint32_t *places;	/* ascending */
	size_t count;
};

static int cut_short(const struct rd *rd, size_t done, size_t count, struct err *err)
{
	return err_set(err, E_CORRUPT, "cut short at byte %zu, %zu of %zu values", rd_pos(rd), done, count);
}

/* ---- integers ---- */

static int const_at(struct rd *rd, size_t count, struct points at, uint64_t *values, struct err *err)
{
	uint64_t value = rd_varint(rd);

	if (rd->bad)
		return cut_short(rd, 0, count, err);
	for (size_t i = 0; i < at.count; i++)
		values[i] = value;
	return 0;
}

static int raw_at(struct rd *rd, size_t count, struct points at, uint64_t *values, struct err *err)
{
	unsigned bytes = rd_u8(rd);
	struct view in;

	if (rd->bad || (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8))
		return err_set(err, E_CORRUPT, "integers of %u bytes", bytes);
	in = rd_bytes(rd, count * bytes);
	if (rd->bad)
		return cut_short(rd, 0, count, err);
	for (size_t i = 0; i < at.count; i++) {
		values[i] = 0;	/* little-endian machines only: base/rd.h asserts it */
		memcpy(&values[i], in.at + (size_t)at.places[i] * bytes, bytes);
	}
	return 0;
}

/* The next block of n values, unpacked only when somebody asks for it: values is NULL then. */
static int block_next(struct rd *rd, size_t n, bool is_signed, size_t done, size_t count, uint64_t *values,
		      struct err *err)
{
	unsigned width = rd_u8(rd);
	uint64_t base = is_signed ? (uint64_t)rd_svarint(rd) : rd_varint(rd);
	struct view in;

	if (width > 64)
		return err_set(err, E_CORRUPT, "values %u bits wide at byte %zu", width, rd_pos(rd));
	in = rd_bytes(rd, bitpack_bytes(width, n));
	if (rd->bad)
		return cut_short(rd, done, count, err);
	if (values)
		bitpack_unpack(in.at, n, base, width, values);
	return 0;
}

static int scale_get(struct rd *rd, uint64_t *ret_scale, struct err *err)
{
	*ret_scale = rd_varint(rd);
	if (rd->bad || *ret_scale == 0)
		return err_set(err, E_CORRUPT, "a scale of %llu at byte %zu", (unsigned long long)*ret_scale, rd_pos(rd));
	return 0;
}

static int for_at(struct rd *rd, size_t count, struct points at, uint64_t *values, struct err *err)
{
	uint64_t scale, block[BLOCK];
	size_t i = 0;
	int rc = scale_get(rd, &scale, err);

	for (size_t from = 0; rc == 0 && i < at.count; from += BLOCK) {
		size_t n = count - from < BLOCK ? count - from : BLOCK;
		bool asked = at.places[i] < from + n;

		rc = block_next(rd, n, false, from, count, asked ? block : NULL, err);
		for (; rc == 0 && i < at.count && at.places[i] < from + n; i++)
			values[i] = block[at.places[i] - from] * scale;
	}
	return rc;
}

static int delta_at(struct rd *rd, size_t count, struct points at, uint64_t *values, struct err *err)
{
	uint64_t scale, block[BLOCK], sum;
	size_t i = 0;
	int rc = scale_get(rd, &scale, err);

	if (rc < 0)
		return rc;
	sum = rd_varint(rd);
	if (rd->bad)
		return cut_short(rd, 0, count, err);
	for (; i < at.count && at.places[i] == 0; i++)
		values[i] = sum * scale;
	for (size_t from = 1; rc == 0 && i < at.count; from += BLOCK) {
		size_t n = count - from < BLOCK ? count - from : BLOCK;

		rc = block_next(rd, n, true, from, count, block, err);
		for (size_t k = 0; rc == 0 && k < n; k++) {
			sum += block[k];
			for (; i < at.count && at.places[i] == from + k; i++)
				values[i] = sum * scale;
		}
	}
	return rc;
}

static int ints_at(struct rd *rd, size_t count, struct points at, bool nested, struct arena *arena, uint64_t *values,
		   struct err *err);

static int rle_at(struct rd *rd, size_t count, struct points at, struct arena *arena, uint64_t *values, struct err *err)
{
	uint64_t *run_values = NULL, *run_lengths, end = 0;
	size_t runs = 0, i = 0;
	int rc = chunk_counted_read(rd, count, "runs", arena, &runs, &run_values, err);

	if (rc < 0)
		return rc;
	run_lengths = arena_alloc(arena, runs * sizeof(*run_lengths));
	if (!run_lengths)
		return err_set(err, E_NO_MEMORY, "no memory for %zu runs", runs);
	rc = chunk_nested_read(rd, runs, arena, run_lengths, err);
	for (size_t run = 0; rc == 0 && run < runs && i < at.count; run++) {
		if (run_lengths[run] >= count - end)
			return err_set(err, E_CORRUPT, "run %zu of %llu + 1 values at value %llu of %zu", run,
				       (unsigned long long)run_lengths[run], (unsigned long long)end, count);
		end += run_lengths[run] + 1;
		for (; i < at.count && at.places[i] < end; i++)
			values[i] = run_values[run];
	}
	if (rc == 0 && i < at.count)
		return err_set(err, E_CORRUPT, "runs fill %llu of %zu values", (unsigned long long)end, count);
	return rc;
}

static int dict_at(struct rd *rd, size_t count, struct points at, struct arena *arena, uint64_t *values, struct err *err)
{
	size_t dict_count = 0;
	uint64_t *dict = NULL;
	int rc = chunk_counted_read(rd, count, "dictionary entries", arena, &dict_count, &dict, err);

	if (rc == 0)
		rc = ints_at(rd, count, at, true, arena, values, err);
	for (size_t i = 0; rc == 0 && i < at.count; i++) {
		if (values[i] >= dict_count)
			return err_set(err, E_CORRUPT, "code %llu in a dictionary of %zu", (unsigned long long)values[i],
				       dict_count);
		values[i] = dict[values[i]];
	}
	return rc;
}

/* The first point at or behind place. */
static size_t point_find(struct points at, uint64_t place)
{
	size_t low = 0, high = at.count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (at.places[mid] < place)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int patch_at(struct rd *rd, size_t count, struct points at, struct arena *arena, uint64_t *values, struct err *err)
{
	uint64_t scale, found, *places, *far;
	int rc = scale_get(rd, &scale, err);

	if (rc < 0)
		return rc;
	found = rd_varint(rd);
	if (rd->bad || found > count)
		return err_set(err, E_CORRUPT, "%llu exceptions of %zu values", (unsigned long long)found, count);
	places = arena_alloc(arena, ((size_t)found * 2 + 1) * sizeof(*places));
	if (!places)
		return err_set(err, E_NO_MEMORY, "no memory for %llu exceptions", (unsigned long long)found);
	far = places + found;
	if (found)
		rc = chunk_nested_read(rd, (size_t)found, arena, places, err);
	if (rc == 0 && found)
		rc = chunk_nested_read(rd, (size_t)found, arena, far, err);
	if (rc == 0)
		rc = ints_at(rd, count, at, true, arena, values, err);
	for (size_t i = 0; rc == 0 && i < found; i++)
		for (size_t p = point_find(at, places[i]); p < at.count && at.places[p] == places[i]; p++)
			values[p] = far[i];
	for (size_t i = 0; rc == 0 && i < at.count; i++)
		values[i] *= scale;
	return rc;
}

/* Where a number's low bits are, those before it tell: all of them are read, and they are few. */
static int split_at(struct rd *rd, size_t count, struct points at, struct arena *arena, uint64_t *values, struct err *err)
{
	uint64_t *all = arena_alloc(arena, count * sizeof(*all));
	int rc = all ? chunk_split_read(rd, count, arena, all, err) :
		       err_set(err, E_NO_MEMORY, "no memory for %zu values", count);

	for (size_t i = 0; rc == 0 && i < at.count; i++)
		values[i] = all[at.places[i]];
	return rc;
}

static int ints_at(struct rd *rd, size_t count, struct points at, bool nested, struct arena *arena, uint64_t *values,
		   struct err *err)
{
	unsigned enc = rd_u8(rd);

	if (rd->bad)
		return cut_short(rd, 0, count, err);
	switch (enc) {
	case CHUNK_CONST: return const_at(rd, count, at, values, err);
	case CHUNK_RAW: return raw_at(rd, count, at, values, err);
	case CHUNK_FOR: return for_at(rd, count, at, values, err);
	case CHUNK_DELTA: return delta_at(rd, count, at, values, err);
	case CHUNK_RLE:
		if (!nested)
			return rle_at(rd, count, at, arena, values, err);
		break;
	case CHUNK_DICT:
		if (!nested)
			return dict_at(rd, count, at, arena, values, err);
		break;
	case CHUNK_PATCH:
		if (!nested)
			return patch_at(rd, count, at, arena, values, err);
		break;
	case CHUNK_SPLIT:
		if (!nested)
			return split_at(rd, count, at, arena, values, err);
		break;
	}
	return err_set(err, E_CORRUPT, "encoding %u of integers at byte %zu", enc, rd_pos(rd) - 1);
}

int chunk_ints_at(struct rd *rd, size_t count, const uint32_t *places, size_t points, struct arena *arena,
		  uint64_t *values, struct err *err)
{
	struct points at = { places, points };

	assert(points && count <= CHUNK_VALUES_MAX && places[points - 1] < count);
	return ints_at(rd, count, at, false, arena, values, err);
}

/* ---- strings ---- */

int chunk_codes_at(struct rd *rd, size_t count, size_t dict_count, const uint32_t *places, size_t points,
		   struct arena *arena, uint32_t **ret_codes, struct err *err)
{
	uint64_t *wide = arena_alloc(arena, points * sizeof(*wide));
	uint32_t *codes = arena_alloc(arena, points * sizeof(*codes));
	int rc;

	if (!wide || !codes)
		return err_set(err, E_NO_MEMORY, "no memory for %zu codes", points);
	rc = chunk_ints_at(rd, count, places, points, arena, wide, err);
	for (size_t i = 0; rc == 0 && i < points; i++) {
		if (wide[i] >= dict_count)
			return err_set(err, E_CORRUPT, "code %llu in a dictionary of %zu", (unsigned long long)wide[i],
				       dict_count);
		codes[i] = (uint32_t)wide[i];
	}
	if (rc == 0)
		*ret_codes = codes;
	return rc;
}

static int texts_at(struct rd *rd, size_t count, const uint32_t *places, size_t points, struct arena *arena,
		    struct view **ret_dict, struct err *err)
{
	uint64_t *lens = arena_alloc(arena, count * sizeof(*lens)), from = 0;
	struct view *dict = arena_alloc(arena, points * sizeof(*dict)), texts;
	size_t i = 0;
	int rc;

	if (!lens || !dict)
		return err_set(err, E_NO_MEMORY, "no memory for %zu strings", count);
	rc = chunk_ints_read(rd, count, arena, lens, err);
	if (rc < 0)
		return rc;
	texts = rd_rest(rd);
	for (size_t k = 0; i < points; k++) {
		if (lens[k] > texts.len - from)
			return err_set(err, E_CORRUPT, "string %zu of %zu: %llu bytes, %llu left", k, count,
				       (unsigned long long)lens[k], (unsigned long long)(texts.len - from));
		for (; i < points && places[i] == k; i++)
			dict[i] = view_sub(texts, (size_t)from, (size_t)lens[k]);
		from += lens[k];
	}
	*ret_dict = dict;
	return 0;
}

static int hex_at(struct rd *rd, size_t count, const uint32_t *places, size_t points, struct arena *arena,
		  struct view **ret_dict, struct err *err)
{
	uint32_t *codes = NULL;
	struct chunk_hex hex;
	int rc = chunk_hex_open(rd, count, &hex, err);

	if (rc == 0 && hex.count < count)
		rc = chunk_codes_at(rd, count, hex.count, places, points, arena, &codes, err);
	return rc < 0 ? rc : chunk_hex_texts(&hex, codes ? codes : places, points, arena, ret_dict, err);
}

int chunk_bytes_at(struct rd *rd, size_t count, const uint32_t *places, size_t points, struct arena *arena,
		   struct chunk_bytes *ret_bytes, struct err *err)
{
	struct chunk_bytes bytes = { 0 };
	unsigned enc = rd_u8(rd);
	int rc;

	assert(points && count <= CHUNK_VALUES_MAX && places[points - 1] < count);
	if (rd->bad)
		return err_set(err, E_CORRUPT, "no encoding: the chunk is empty");
	switch (enc) {
	case CHUNK_CONST:
		bytes.dict = arena_alloc(arena, sizeof(*bytes.dict));
		bytes.codes = arena_array(arena, points, sizeof(*bytes.codes));
		bytes.dict_count = 1;
		if (!bytes.dict || !bytes.codes)
			return err_set(err, E_NO_MEMORY, "no memory for %zu codes", points);
		*bytes.dict = rd_rest(rd);
		rc = 0;
		break;
	case CHUNK_DICT:
		rc = chunk_dict_read(rd, count, arena, &bytes.dict, &bytes.dict_count, err);
		if (rc == 0)
			rc = chunk_codes_at(rd, count, bytes.dict_count, places, points, arena, &bytes.codes, err);
		break;
	case CHUNK_PLAIN:
		bytes.dict_count = (uint32_t)points;
		rc = texts_at(rd, count, places, points, arena, &bytes.dict, err);
		break;
	case CHUNK_HEX:
		bytes.dict_count = (uint32_t)points;
		rc = hex_at(rd, count, places, points, arena, &bytes.dict, err);
		break;
	default:
		return err_set(err, E_CORRUPT, "encoding %u of strings", enc);
	}
	if (rc == 0)
		*ret_bytes = bytes;
	return rc;
}
