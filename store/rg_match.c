/*
 * Tests of a column on its stored form: numbers by chunk_match.c, strings by asking
 * each entry of the dictionary once and then looking for codes. Strings that follow
 * from another column's are looked for among the codes of that one.
 */
#include <assert.h>

#include "store/chunk_hex.h"
#include "store/chunk_match.h"
#include "store/rg_format.h"

#define WHAT "row group"
#define HEX_WANTED_MAX 8u	/* compared one after another */

static size_t words_of(uint32_t rows)
{
	return (rows + 63) / 64;
}

static int no_memory(uint32_t rows, struct err *err)
{
	return err_set(err, E_NO_MEMORY, "no memory for %u rows", rows);
}

/* Dense bits of a chunk to bits of rows; without a bitmap they are the same. */
static int bits_of_rows(const struct rg_chunk *chunk, const uint64_t *dense, uint32_t rows, uint64_t *bits)
{
	if (chunk->valid)
		chunk_bits_spread(dense, chunk->valid, rows, bits);
	else if (dense != bits)
		memcpy(bits, dense, words_of(rows) * sizeof(*bits));
	return 1;
}

/* Where dense bits of a chunk go before they are spread. */
static uint64_t *dense_bits(const struct rg_chunk *chunk, uint32_t rows, struct arena *arena, uint64_t *bits)
{
	return chunk->valid ? arena_alloc(arena, words_of(rows) * sizeof(*bits)) : bits;
}

/* All rows that have a value, or none. */
static int bits_all(const struct rg_chunk *chunk, bool pass, uint32_t rows, uint64_t *bits)
{
	for (size_t w = 0; w < words_of(rows); w++)
		bits[w] = !pass ? 0 : chunk->valid ? chunk->valid[w] : UINT64_MAX;
	if (rows % 64)
		bits[rows / 64] &= (1ull << rows % 64) - 1;
	return 1;
}

/* ---- numbers ---- */

static int stream_match(struct rd *rd, const struct rg_chunk *chunk, const struct chunk_test *test, uint32_t rows,
			struct arena *arena, uint64_t *bits, struct err *err)
{
	uint64_t *dense = dense_bits(chunk, rows, arena, bits);
	int rc;

	if (!dense)
		return no_memory(rows, err);
	rc = chunk_ints_match(rd, chunk->count, test, arena, dense, err);
	if (rc <= 0)
		return rc;
	if (rd_left(rd))
		return err_set(err, E_CORRUPT, "%zu bytes behind the last value", rd_left(rd));
	return bits_of_rows(chunk, dense, rows, bits);
}

int rg_match_ints(const struct rg *rg, const struct col *col, const struct chunk_span *spans, size_t spans_count,
		  struct arena *arena, uint64_t *bits, struct err *err)
{
	const struct chunk_test test = { .spans = spans, .spans_count = spans_count };
	uint32_t rows = rg->zone.rows;
	struct rg_chunk chunk;
	struct rd rd;
	int rc;

	assert(types[col->type].phys == PHYS_INT);
	rc = rg_chunk_open(rg, col, arena, &chunk, err);
	if (rc == RG_CHUNK_NONE) {
		memset(bits, 0, words_of(rows) * sizeof(*bits));
		return 1;
	}
	if (rc == RG_CHUNK_VALUE)
		return bits_all(&chunk, chunk_spans_have(spans, spans_count, chunk.value), rows, bits);
	if (rc != RG_CHUNK_PLAIN)
		return rc < 0 ? rc : 0;
	rd = rd_make(chunk.plain);
	rc = stream_match(&rd, &chunk, &test, rows, arena, bits, err);
	if (rc < 0)
		(void)err_prefix(err, WHAT ": column %s", col->key);
	return rc;
}

/* ---- strings ---- */

struct asked {	/* a dictionary, each entry asked */
	uint8_t *fits;
	uint32_t count;
};

static int dict_ask(const struct col *col, const struct view *dict, uint32_t count, const struct rg_wanted *want,
		    struct arena *arena, struct asked *ret_asked, struct err *err)
{
	struct asked asked = { arena_alloc(arena, count), count };

	if (!asked.fits)
		return err_set(err, E_NO_MEMORY, "no memory for %u strings", count);
	for (uint32_t i = 0; i < count; i++) {
		int rc;

		if (col->type == TYPE_IP && dict[i].len != sizeof(struct ip))
			return err_set(err, E_CORRUPT, "an address of %zu bytes", dict[i].len);
		rc = want->fits(want->arg, dict[i], err);
		if (rc < 0)
			return rc;
		asked.fits[i] = (uint8_t)rc;
	}
	*ret_asked = asked;
	return 0;
}

/* Behind the byte that names it: a chunk of CHUNK_DICT. */
static int dict_match(struct rd *rd, const struct rg_chunk *chunk, const struct asked *asked, uint32_t rows,
		      struct arena *arena, uint64_t *bits, struct err *err)
{
	struct chunk_test test = { .fits = asked->fits, .fits_count = asked->count };

	return stream_match(rd, chunk, &test, rows, arena, bits, err);
}

/*
 * The codes of the column that strings follow from: what its dictionary's place i
 * becomes is asked->fits[i]. Null counts as place 0. 0: it is not stored as expected.
 */
static int source_match(const struct rg *rg, uint16_t col_id, const struct asked *asked, struct arena *arena,
			uint64_t *bits, struct err *err)
{
	const struct col *col = table_col_id(rg->table, col_id);
	uint32_t rows = rg->zone.rows, dict_count = 1;
	struct rg_chunk chunk;
	struct view *dict;
	struct rd rd;
	int rc;

	if (!col || types[col->type].phys != PHYS_BYTES)
		return 0;
	rc = rg_chunk_open(rg, col, arena, &chunk, err);
	if (rc != RG_CHUNK_PLAIN)
		return rc < 0 ? rc : 0;
	rd = rd_make(chunk.plain);
	switch (rd_u8(&rd)) {
	case CHUNK_CONST:
		rc = bits_all(&chunk, asked->fits[0], rows, bits);
		break;
	case CHUNK_DICT:
		rc = chunk_dict_read(&rd, chunk.count, arena, &dict, &dict_count, err);
		if (rc == 0 && dict_count == asked->count)
			rc = dict_match(&rd, &chunk, asked, rows, arena, bits, err);
		break;
	default: return 0;
	}
	if (rc <= 0 || dict_count != asked->count)
		return rc < 0 ? rc : 0;
	for (size_t w = 0; chunk.valid && asked->fits[0] && w < words_of(rows); w++)
		bits[w] |= ~chunk.valid[w];
	return 1;
}

static int exceptions_match(struct rd *rd, uint32_t rows, const struct asked *asked, struct arena *arena, uint64_t *bits,
			    struct err *err)
{
	uint64_t found = rd_varint(rd);
	uint64_t *places;
	uint32_t *codes = NULL;
	int rc;

	if (rd->bad || found > rows)
		return err_set(err, E_CORRUPT, "%llu exceptions of %u rows", (unsigned long long)found, rows);
	if (!found)
		return 1;
	places = arena_alloc(arena, (size_t)found * sizeof(*places));
	if (!places)
		return no_memory(rows, err);
	rc = chunk_ints_read(rd, (size_t)found, arena, places, err);
	if (rc == 0)
		rc = chunk_codes_read(rd, (size_t)found, asked->count, arena, &codes, err);
	for (size_t i = 0; rc == 0 && i < found; i++) {
		uint64_t bit = 1ull << places[i] % 64;

		if (places[i] >= rows)
			return err_set(err, E_CORRUPT, "exception %zu in row %llu of %u", i,
				       (unsigned long long)places[i], rows);
		if (asked->fits[codes[i]])
			bits[places[i] / 64] |= bit;
		else
			bits[places[i] / 64] &= ~bit;
	}
	return rc < 0 ? rc : 1;
}

/* Behind the byte that names it: a chunk of CHUNK_MAP. */
static int map_match(const struct rg *rg, const struct col *col, struct rd *rd, const struct rg_chunk *chunk,
		     const struct rg_wanted *want, struct arena *arena, uint64_t *bits, struct err *err)
{
	uint32_t rows = rg->zone.rows, dict_count = 0, *map = NULL;
	uint16_t from = rd_u16le(rd);
	struct asked own = { 0 }, source;
	struct view *dict = NULL;
	uint64_t from_count;
	int rc = chunk_dict_read(rd, rows, arena, &dict, &dict_count, err);

	if (rc == 0)
		rc = dict_ask(col, dict, dict_count, want, arena, &own, err);
	if (rc < 0)
		return rc;
	from_count = rd_varint(rd);
	if (rd->bad || from_count < 1 || from_count > rows)
		return err_set(err, E_CORRUPT, "follows from %llu strings of column %u",
			       (unsigned long long)from_count, from);
	rc = chunk_codes_read(rd, (size_t)from_count, dict_count, arena, &map, err);
	if (rc < 0)
		return rc;
	source = (struct asked){ arena_alloc(arena, (size_t)from_count), (uint32_t)from_count };
	if (!source.fits)
		return no_memory(rows, err);
	for (size_t i = 0; i < from_count; i++)
		source.fits[i] = own.fits[map[i]];
	rc = source_match(rg, from, &source, arena, bits, err);
	if (rc == 1)
		rc = exceptions_match(rd, rows, &own, arena, bits, err);
	if (rc != 1)
		return rc;
	if (rd_left(rd))
		return err_set(err, E_CORRUPT, "%zu bytes behind the last value", rd_left(rd));
	for (size_t w = 0; chunk->valid && w < words_of(rows); w++)
		bits[w] &= chunk->valid[w];
	if (rows % 64)
		bits[rows / 64] &= (1ull << rows % 64) - 1;
	return 1;
}

/* The few values that are looked for, as bytes: those of another length are nowhere. */
static uint8_t *hex_wanted(const struct chunk_hex *hex, const struct rg_wanted *want, struct arena *arena, size_t *ret_count)
{
	uint8_t *wanted = arena_alloc(arena, want->texts_count * hex->bytes + 1);

	*ret_count = 0;
	for (size_t i = 0; wanted && i < want->texts_count; i++)
		*ret_count += chunk_hex_parse(want->texts[i], hex->bytes, wanted + *ret_count * hex->bytes);
	return wanted;
}

/* asked->fits of each string: few that are looked for are compared as bytes, else each is spelt out and asked. */
static int hex_ask(const struct chunk_hex *hex, const struct rg_wanted *want, struct arena *arena, struct asked *asked,
		   struct err *err)
{
	uint8_t text[2 * CHUNK_HEX_BYTES_MAX], *wanted;
	size_t wanted_count, bytes = hex->bytes;
	int rc = 0;

	asked->count = (uint32_t)hex->count;
	asked->fits = arena_zalloc(arena, hex->count);
	if (!asked->fits)
		return err_set(err, E_NO_MEMORY, "no memory for %zu strings", hex->count);
	if (!want->texts || want->texts_count > HEX_WANTED_MAX) {
		for (size_t i = 0; rc >= 0 && i < hex->count; i++) {
			chunk_hex_text(hex, i, text);
			rc = want->fits(want->arg, view_make(text, 2 * bytes), err);
			asked->fits[i] = rc == 1;
		}
		return rc < 0 ? rc : 0;
	}
	wanted = hex_wanted(hex, want, arena, &wanted_count);
	if (!wanted)
		return err_set(err, E_NO_MEMORY, "no memory for %zu strings", want->texts_count);
	for (size_t k = 0; k < wanted_count; k++, wanted += bytes)
		for (size_t i = 0; i < hex->count; i++)
			if (hex->at[i * bytes] == wanted[0] && memcmp(hex->at + i * bytes, wanted, bytes) == 0)
				asked->fits[i] = 1;
	return 0;
}

/* Behind the byte that names it: a chunk of CHUNK_HEX. */
static int hex_match(struct rd *rd, const struct rg_chunk *chunk, const struct rg_wanted *want, uint32_t rows,
		     struct arena *arena, uint64_t *bits, struct err *err)
{
	struct asked asked = { 0 };
	struct chunk_hex hex;
	uint64_t *dense;
	int rc = chunk_hex_open(rd, chunk->count, &hex, err);

	if (rc == 0)
		rc = hex_ask(&hex, want, arena, &asked, err);
	if (rc < 0)
		return rc;
	if (hex.count < chunk->count)
		return dict_match(rd, chunk, &asked, rows, arena, bits, err);
	if (rd_left(rd))
		return err_set(err, E_CORRUPT, "%zu bytes behind the last value", rd_left(rd));
	dense = dense_bits(chunk, rows, arena, bits);
	if (!dense)
		return no_memory(rows, err);
	memset(dense, 0, words_of(rows) * sizeof(*dense));
	for (uint32_t i = 0; i < chunk->count; i++)
		dense[i / 64] |= (uint64_t)asked.fits[i] << i % 64;
	return bits_of_rows(chunk, dense, rows, bits);
}

static int bytes_match(const struct rg *rg, const struct col *col, const struct rg_chunk *chunk,
		       const struct rg_wanted *want, struct arena *arena, uint64_t *bits, struct err *err)
{
	struct rd rd = rd_make(chunk->plain);
	struct asked asked = { 0 };
	uint32_t dict_count = 0;
	struct view *dict = NULL, one;
	int rc;

	switch (rd_u8(&rd)) {
	case CHUNK_CONST:
		one = rd_bytes(&rd, rd_left(&rd));
		rc = dict_ask(col, &one, 1, want, arena, &asked, err);
		return rc < 0 ? rc : bits_all(chunk, asked.fits[0], rg->zone.rows, bits);
	case CHUNK_DICT:
		rc = chunk_dict_read(&rd, chunk->count, arena, &dict, &dict_count, err);
		if (rc == 0)
			rc = dict_ask(col, dict, dict_count, want, arena, &asked, err);
		return rc < 0 ? rc : dict_match(&rd, chunk, &asked, rg->zone.rows, arena, bits, err);
	case CHUNK_MAP: return map_match(rg, col, &rd, chunk, want, arena, bits, err);
	case CHUNK_HEX:
		if (col->type == TYPE_IP)	/* an address is none: whoever decodes it says so */
			return 0;
		return hex_match(&rd, chunk, want, rg->zone.rows, arena, bits, err);
	default: return 0;
	}
}

int rg_match_bytes(const struct rg *rg, const struct col *col, const struct rg_wanted *want, struct arena *arena,
		   uint64_t *bits, struct err *err)
{
	struct rg_chunk chunk;
	int rc;

	assert(types[col->type].phys == PHYS_BYTES);
	rc = rg_chunk_open(rg, col, arena, &chunk, err);
	if (rc == RG_CHUNK_NONE) {
		memset(bits, 0, words_of(rg->zone.rows) * sizeof(*bits));
		return 1;
	}
	if (rc != RG_CHUNK_PLAIN)
		return rc < 0 ? rc : 0;
	rc = bytes_match(rg, col, &chunk, want, arena, bits, err);
	if (rc < 0)
		(void)err_prefix(err, WHAT ": column %s", col->key);
	return rc;
}
