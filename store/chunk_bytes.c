#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/bitpack.h"
#include "store/chunk.h"
#include "store/chunk_hex.h"

#define HEX_FROM 32u	/* distinct values; fewer cost little, and others may follow from them */

/* ---- writing ---- */

static int write_lens(const struct view *dict, const uint32_t *codes, size_t count, uint64_t *lens,
		      struct chunk_scratch *scratch, struct wr *out)
{
	for (size_t i = 0; i < count; i++)
		lens[i] = dict[codes ? codes[i] : i].len;
	return chunk_ints_write(lens, count, scratch, out);
}

static void write_texts(const struct view *dict, const uint32_t *codes, size_t count, struct wr *out)
{
	for (size_t i = 0; i < count; i++)
		wr_bytes(out, dict[codes ? codes[i] : i]);
}

static int cmp_entry(const void *a, const void *b, void *arg)
{
	const struct view *dict = arg;
	uint32_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return view_cmp(dict[x], dict[y]);
}

int chunk_dict_write(const struct view *dict, const uint32_t *order, size_t dict_count, struct chunk_scratch *scratch,
		     struct wr *out)
{
	uint64_t *lens = mem_array(dict_count, sizeof(*lens));
	int rc = E_NO_MEMORY;

	if (!lens)
		return rc;
	wr_varint(out, dict_count);
	rc = write_lens(dict, order, dict_count, lens, scratch, out);
	if (rc >= 0)
		write_texts(dict, order, dict_count, out);
	mem_free(lens);
	return rc < 0 ? rc : out->bad ? E_NO_MEMORY : 0;
}

/* order: which entry of dict comes i-th in the stored dictionary. */
static int write_dict(const struct view *dict, size_t dict_count, const uint32_t *order, const uint64_t *codes,
		      size_t count, uint64_t *lens, struct chunk_scratch *scratch, struct wr *out)
{
	int rc;

	wr_u8(out, CHUNK_DICT);
	wr_varint(out, dict_count);
	rc = write_lens(dict, order, dict_count, lens, scratch, out);
	if (rc < 0)
		return rc;
	write_texts(dict, order, dict_count, out);
	rc = chunk_ints_write(codes, count, scratch, out);
	return rc < 0 ? rc : CHUNK_DICT;
}

static int write_plain(const struct view *dict, const uint32_t *codes, size_t count, uint64_t *lens,
		       struct chunk_scratch *scratch, struct wr *out)
{
	int rc;

	wr_u8(out, CHUNK_PLAIN);
	rc = write_lens(dict, codes, count, lens, scratch, out);
	if (rc < 0)
		return rc;
	write_texts(dict, codes, count, out);
	return out->bad ? E_NO_MEMORY : CHUNK_PLAIN;
}

/* Values that come up again once, with codes, where that takes less. */
static int write_hex(const struct view *dict, const uint32_t *codes, size_t count, const uint32_t *order, size_t used,
		     const uint64_t *new_codes, size_t bytes, struct chunk_scratch *scratch, struct wr *out)
{
	bool all = count * bytes <= used * bytes + bitpack_bytes(bitpack_width(used - 1), count);
	int rc = 0;

	wr_u8(out, CHUNK_HEX);
	chunk_hex_put(dict, all ? codes : order, all ? count : used, bytes, out);
	if (!all)
		rc = chunk_ints_write(new_codes, count, scratch, out);
	return rc < 0 ? rc : out->bad ? E_NO_MEMORY : CHUNK_HEX;
}

static bool all_same(const uint32_t *codes, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (codes[i] != codes[0])
			return false;
	return true;
}

/* Entries in use, in order of first use or sorted; renumbered codes. Bytes of both forms. */
struct texts {
	uint32_t *order;	/* stored place -> entry */
	size_t used;
	size_t dict_bytes, plain_bytes;
};

static void texts_take(const struct view *dict, const uint32_t *codes, size_t count, uint32_t *place,
		       struct texts *texts)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t code = codes[i];

		texts->plain_bytes += dict[code].len + 1;
		if (place[code])
			continue;
		texts->dict_bytes += dict[code].len + 1;
		texts->order[texts->used] = code;
		place[code] = (uint32_t)++texts->used;
	}
	texts->dict_bytes += bitpack_bytes(bitpack_width(texts->used - 1), count);
}

static void codes_renumber(const uint32_t *codes, size_t count, const uint32_t *place, uint64_t *ret_codes)
{
	for (size_t i = 0; i < count; i++)
		ret_codes[i] = place[codes[i]] - 1;
}

static void places_of(const struct texts *texts, uint32_t *place)
{
	for (size_t i = 0; i < texts->used; i++)
		place[texts->order[i]] = (uint32_t)i + 1;
}

/*
 * A sorted dictionary packs better; but rows are sorted, too, and values that come up together have close codes in the
 * order of first use (the addresses of one workload). first_codes: those, and in the end those that were chosen.
 */
static int texts_sort(const struct view *dict, size_t count, const uint32_t *codes, struct texts *texts, uint32_t *place,
		      uint64_t *first_codes)
{
	uint32_t *first = mem_array(texts->used, sizeof(*first));
	uint64_t *sorted_codes = mem_array(count, sizeof(*sorted_codes));
	int rc = first && sorted_codes ? 0 : E_NO_MEMORY;
	size_t text_bytes;

	if (rc == 0) {
		memcpy(first, texts->order, texts->used * sizeof(*first));
		qsort_r(texts->order, texts->used, sizeof(*texts->order), cmp_entry, (void *)dict);
		places_of(texts, place);
		codes_renumber(codes, count, place, sorted_codes);
		text_bytes = texts->dict_bytes - bitpack_bytes(bitpack_width(texts->used - 1), count);
		if (chunk_ints_packed_bytes(first_codes, count) + text_bytes / 8 >=
		    chunk_ints_packed_bytes(sorted_codes, count)) {
			memcpy(first_codes, sorted_codes, count * sizeof(*first_codes));
		} else {
			memcpy(texts->order, first, texts->used * sizeof(*first));
			places_of(texts, place);
		}
	}
	mem_free(first);
	mem_free(sorted_codes);
	return rc;
}

int chunk_bytes_write(const struct view *dict, size_t dict_count, const uint32_t *codes, size_t count, bool sorted,
		      struct chunk_scratch *scratch, struct wr *out)
{
	uint32_t *places = mem_array(dict_count, sizeof(*places));
	int rc = E_NO_MEMORY;

	if (places)
		rc = chunk_bytes_write_places(dict, dict_count, codes, count, sorted, scratch, out, places);
	mem_free(places);
	return rc;
}

int chunk_bytes_write_places(const struct view *dict, size_t dict_count, const uint32_t *codes, size_t count,
			     bool sorted, struct chunk_scratch *scratch, struct wr *out, uint32_t *ret_places)
{
	struct texts texts = { .used = 0 };
	uint64_t *lens = NULL, *new_codes;
	uint32_t *place = ret_places;
	size_t hex_bytes;
	int rc = E_NO_MEMORY;

	assert(dict_count >= 1 && count >= 1 && count <= CHUNK_VALUES_MAX);
	if (all_same(codes, count)) {
		wr_u8(out, CHUNK_CONST);
		wr_bytes(out, dict[codes[0]]);
		place[codes[0]] = 1;
		return out->bad ? E_NO_MEMORY : CHUNK_CONST;
	}
	texts.order = mem_array(dict_count, sizeof(*texts.order));
	lens = mem_array(count, 2 * sizeof(*lens));
	if (!texts.order || !lens)
		goto out;
	new_codes = lens + count;
	texts_take(dict, codes, count, place, &texts);
	hex_bytes = scratch->hexes && texts.used >= HEX_FROM ? chunk_hex_bytes(dict, texts.order, texts.used) : 0;
	if (hex_bytes) {
		codes_renumber(codes, count, place, new_codes);
		rc = write_hex(dict, codes, count, texts.order, texts.used, new_codes, hex_bytes, scratch, out);
		goto out;
	}
	if (texts.plain_bytes <= texts.dict_bytes) {
		rc = write_plain(dict, codes, count, lens, scratch, out);
		goto out;
	}
	codes_renumber(codes, count, place, new_codes);
	rc = sorted ? texts_sort(dict, count, codes, &texts, place, new_codes) : 0;
	if (rc == 0)
		rc = write_dict(dict, texts.used, texts.order, new_codes, count, lens, scratch, out);
out:
	mem_free(texts.order);
	mem_free(lens);
	return rc;
}

/* ---- reading ---- */

/* count views over the bytes that follow their lengths. */
static int read_texts(struct rd *rd, size_t count, struct arena *arena, struct view **ret_dict, struct err *err)
{
	uint64_t *lens = arena_alloc(arena, count * sizeof(*lens));
	struct view *dict = arena_alloc(arena, count * sizeof(*dict));
	const uint8_t *at;
	size_t left;
	int rc;

	if (!lens || !dict)
		return err_set(err, E_NO_MEMORY, "no memory for %zu strings", count);
	rc = chunk_ints_read(rd, count, arena, lens, err);
	if (rc < 0)
		return rc;
	at = rd->at;
	left = rd_left(rd);
	for (size_t i = 0; i < count; i++) {
		if (lens[i] > left)
			return err_set(err, E_CORRUPT, "string %zu of %zu: %llu bytes, %zu left", i, count,
				       (unsigned long long)lens[i], left);
		dict[i] = view_make(at, (size_t)lens[i]);
		at += lens[i];
		left -= (size_t)lens[i];
	}
	rd_skip(rd, (size_t)(at - rd->at));
	*ret_dict = dict;
	return 0;
}

int chunk_codes_read(struct rd *rd, size_t count, size_t dict_count, struct arena *arena, uint32_t **ret_codes,
		     struct err *err)
{
	uint64_t *wide = arena_alloc(arena, count * sizeof(*wide)), max = 0;
	uint32_t *codes = arena_alloc(arena, count * sizeof(*codes));
	int rc;

	if (!wide || !codes)
		return err_set(err, E_NO_MEMORY, "no memory for %zu codes", count);
	rc = chunk_ints_read(rd, count, arena, wide, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		max = wide[i] > max ? wide[i] : max;
		codes[i] = (uint32_t)wide[i];
	}
	if (max >= dict_count)
		return err_set(err, E_CORRUPT, "code %llu in a dictionary of %zu", (unsigned long long)max,
			       dict_count);
	*ret_codes = codes;
	return 0;
}

static int read_const(struct rd *rd, size_t count, struct arena *arena, struct chunk_bytes *ret_bytes,
		      struct err *err)
{
	struct view *dict = arena_alloc(arena, sizeof(*dict));
	uint32_t *codes = arena_array(arena, count, sizeof(*codes));

	if (!dict || !codes)
		return err_set(err, E_NO_MEMORY, "no memory for %zu codes", count);
	*dict = rd_bytes(rd, rd_left(rd));
	*ret_bytes = (struct chunk_bytes){ .dict = dict, .dict_count = 1, .codes = codes };
	return 0;
}

int chunk_dict_read(struct rd *rd, size_t count_max, struct arena *arena, struct view **ret_dict,
		    uint32_t *ret_dict_count, struct err *err)
{
	uint64_t dict_count = rd_varint(rd);
	int rc;

	if (rd->bad || dict_count < 1 || dict_count > count_max)
		return err_set(err, E_CORRUPT, "a dictionary of %llu strings for %zu values",
			       (unsigned long long)dict_count, count_max);
	rc = read_texts(rd, (size_t)dict_count, arena, ret_dict, err);
	if (rc == 0)
		*ret_dict_count = (uint32_t)dict_count;
	return rc;
}

static int read_dict(struct rd *rd, size_t count, struct arena *arena, struct chunk_bytes *ret_bytes,
		     struct err *err)
{
	struct chunk_bytes bytes = { 0 };
	int rc = chunk_dict_read(rd, count, arena, &bytes.dict, &bytes.dict_count, err);

	if (rc == 0)
		rc = chunk_codes_read(rd, count, bytes.dict_count, arena, &bytes.codes, err);
	if (rc == 0)
		*ret_bytes = bytes;
	return rc;
}

static int read_hex(struct rd *rd, size_t count, struct arena *arena, struct chunk_bytes *ret_bytes, struct err *err)
{
	struct chunk_bytes bytes = { 0 };
	struct chunk_hex hex;
	int rc = chunk_hex_open(rd, count, &hex, err);

	if (rc == 0)
		rc = chunk_hex_texts(&hex, NULL, hex.count, arena, &bytes.dict, err);
	if (rc == 0 && hex.count < count)
		rc = chunk_codes_read(rd, count, hex.count, arena, &bytes.codes, err);
	if (rc < 0)
		return rc;
	bytes.dict_count = (uint32_t)hex.count;
	*ret_bytes = bytes;
	return 0;
}

int chunk_bytes_read(struct rd *rd, size_t count, struct arena *arena, struct chunk_bytes *ret_bytes,
		     struct err *err)
{
	struct chunk_bytes bytes = { .dict_count = (uint32_t)count };
	unsigned enc = rd_u8(rd);
	int rc;

	assert(count >= 1 && count <= CHUNK_VALUES_MAX);
	if (rd->bad)
		return err_set(err, E_CORRUPT, "no encoding: the chunk is empty");
	switch (enc) {
	case CHUNK_CONST:
		return read_const(rd, count, arena, ret_bytes, err);
	case CHUNK_DICT:
		return read_dict(rd, count, arena, ret_bytes, err);
	case CHUNK_PLAIN:
		rc = read_texts(rd, count, arena, &bytes.dict, err);
		if (rc == 0)
			*ret_bytes = bytes;
		return rc;
	case CHUNK_HEX:
		return read_hex(rd, count, arena, ret_bytes, err);
	}
	return err_set(err, E_CORRUPT, "encoding %u of strings", enc);
}
