/*
 * Columns of a few rows: the directory, null bitmaps and formulas as in rowgroup.c, but of the values only those
 * that are asked for.
 */
#include <assert.h>

#include "store/chunk_points.h"
#include "store/rg_format.h"
#include "store/rg_predict.h"

#define WHAT "row group"

/* Rows of the group that are asked for. */
struct asked {
	const uint32_t *rows;	/* ascending */
	uint32_t count;
};

/* Those of them that have a value in some column. */
struct points {
	uint32_t *places;	/* in its chunk */
	uint32_t *of;		/* index into asked */
	uint32_t count;
	uint64_t *valid;	/* a bit a row asked for; NULL: all have one */
};

static int no_memory(uint32_t rows, struct err *err)
{
	return err_set(err, E_NO_MEMORY, "no memory for %u rows", rows);
}

static int points_find(const uint64_t *valid, struct asked asked, struct arena *arena, struct points *ret_points,
		       struct err *err)
{
	struct points points = { .count = 0 };
	uint32_t before = 0, word = 0;	/* values in words below that one */

	points.places = arena_alloc(arena, ((size_t)asked.count + 1) * sizeof(*points.places));
	points.of = arena_alloc(arena, ((size_t)asked.count + 1) * sizeof(*points.of));
	if (valid)
		points.valid = arena_array(arena, (size_t)asked.count / 64 + 1, sizeof(*points.valid));
	if (!points.places || !points.of || (valid && !points.valid))
		return no_memory(asked.count, err);
	for (uint32_t i = 0; i < asked.count; i++) {
		uint32_t row = asked.rows[i];

		if (!rg_valid(valid, row))
			continue;
		for (; valid && word < row / 64; word++)
			before += (uint32_t)__builtin_popcountll(valid[word]);
		points.places[points.count] =
			valid ? before + (uint32_t)__builtin_popcountll(valid[word] & ((1ull << row % 64) - 1)) : row;
		points.of[points.count++] = i;
		if (valid)
			points.valid[i / 64] |= 1ull << i % 64;
	}
	*ret_points = points;
	return 0;
}

/* ---- numbers ---- */

static int entry_ints(const struct rg *rg, const struct col *col, const struct rg_entry *entry,
		      const struct points *points, struct asked asked, unsigned depth, struct arena *arena,
		      uint64_t *values, struct err *err);

/* A column that others are foretold by: one value a row asked for, 0 where it is null. */
static int term_at(const struct rg *rg, uint16_t col_id, struct asked asked, unsigned depth, struct arena *arena,
		   const uint64_t **ret_values, struct err *err)
{
	const struct col *col = table_col_id(rg->table, col_id);
	const uint64_t *valid = NULL;
	struct points points;
	struct rg_entry entry;
	uint64_t *values;
	int rc;

	if (!col || types[col->type].phys != PHYS_INT || !rg_entry_find(rg, col, &entry))
		return err_set(err, E_CORRUPT, "foretold by column %u, which holds no numbers here", col_id);
	if (depth > PREDICT_DEPTH_MAX)
		return err_set(err, E_CORRUPT, "column %s is foretold by others more than %u deep", col->key,
			       PREDICT_DEPTH_MAX);
	values = arena_array(arena, (size_t)asked.count + 1, sizeof(*values));
	if (!values)
		return no_memory(asked.count, err);
	rc = rg_entry_valid(rg, col, &entry, arena, &valid, err);
	if (rc == 0)
		rc = points_find(valid, asked, arena, &points, err);
	if (rc == 0)
		rc = entry_ints(rg, col, &entry, &points, asked, depth, arena, values, err);
	if (rc < 0)
		return err_prefix(err, "foretold by column %s", col->key);
	*ret_values = values;
	return 0;
}

/* Each row before tells the next one: all of them are read. */
static int chain_at(const struct rg *rg, const struct col *col, struct asked asked, struct arena *arena,
		    uint64_t *values, struct err *err)
{
	struct rg_ints ints;
	int rc = rg_read_ints(rg, col, arena, &ints, err);

	for (uint32_t i = 0; rc == 0 && i < asked.count; i++)
		values[i] = ints.values[asked.rows[i]];
	return rc;
}

static int foretold_at(const struct rg *rg, const struct predict *predict, struct asked asked, unsigned depth,
		       struct arena *arena, uint64_t *values, struct err *err)
{
	const uint64_t *columns[PREDICT_TERMS_MAX];
	int rc = 0;

	for (unsigned i = 0; i < predict->count && rc == 0; i++)
		rc = term_at(rg, predict->terms[i].col_id, asked, depth + 1, arena, &columns[i], err);
	return rc < 0 ? rc : predict_add(predict, columns, NULL, asked.count, values);
}

/* The values of the points, or their differences to what predict says. */
static int entry_points(const struct rg *rg, const struct rg_entry *entry, const struct points *points,
			struct arena *arena, uint64_t *values, struct predict *predict, struct err *err)
{
	struct rd rd = { 0 };
	int rc = rg_ints_open(rg, entry, arena, &rd, predict, err);

	if (rc == 0)
		for (uint32_t i = 0; i < points->count; i++)
			values[i] = entry->checksum;
	if (rc > 0 && predict->formula != PREDICT_CHAIN)
		rc = chunk_ints_at(&rd, entry->count, points->places, points->count, arena, values, err);
	return rc < 0 ? rc : 0;
}

static int check_range(const struct col *col, const uint64_t *values, uint32_t count, struct err *err)
{
	unsigned bits = types[col->type].row_bytes * 8;

	for (uint32_t i = 0; bits < 64 && i < count; i++)
		if (values[i] >> bits)
			return err_set(err, E_CORRUPT, "a value does not fit its %u bits", bits);
	return 0;
}

/* values: one a row asked for; of null rows 0. */
static int entry_ints(const struct rg *rg, const struct col *col, const struct rg_entry *entry,
		      const struct points *points, struct asked asked, unsigned depth, struct arena *arena,
		      uint64_t *values, struct err *err)
{
	struct predict predict = { .formula = PREDICT_NONE };
	int rc;

	if (points->count == 0)		/* and all values are 0 */
		return 0;
	rc = entry_points(rg, entry, points, arena, values, &predict, err);
	if (rc < 0)
		return rc;
	if (predict.formula == PREDICT_CHAIN)
		return chain_at(rg, col, asked, arena, values, err);
	for (uint32_t i = points->count; i-- > 0;)	/* each to its row, from behind: of[i] >= i */
		values[points->of[i]] = values[i];
	if (predict.formula != PREDICT_NONE)
		rc = foretold_at(rg, &predict, asked, depth, arena, values, err);
	for (uint32_t i = 0; points->valid && i < asked.count; i++)
		values[i] &= rg_valid(points->valid, i) ? UINT64_MAX : 0;
	return rc < 0 ? rc : check_range(col, values, asked.count, err);
}

int rg_read_ints_at(const struct rg *rg, const struct col *col, const uint32_t *rows, uint32_t count,
		    struct arena *arena, struct rg_ints *ret_ints, struct err *err)
{
	struct asked asked = { rows, count };
	uint64_t *values = arena_array(arena, (size_t)count + 1, sizeof(*values));
	struct points points = { .count = 0 };
	const uint64_t *valid = NULL;
	struct rg_entry entry;
	int rc = values ? 0 : no_memory(count, err);

	assert(types[col->type].phys == PHYS_INT && (count == 0 || rows[count - 1] < rg->zone.rows));
	if (rc == 0 && !rg_entry_find(rg, col, &entry)) {
		points.valid = arena_array(arena, (size_t)count / 64 + 1, sizeof(*points.valid));
		rc = points.valid ? 0 : no_memory(count, err);
	} else if (rc == 0) {
		rc = rg_entry_valid(rg, col, &entry, arena, &valid, err);
		if (rc == 0)
			rc = points_find(valid, asked, arena, &points, err);
		if (rc == 0)
			rc = entry_ints(rg, col, &entry, &points, asked, 0, arena, values, err);
	}
	if (rc < 0) {
		(void)err_prefix(err, WHAT ": column %s", col->key);
		return rc;
	}
	*ret_ints = (struct rg_ints){ values, points.valid };
	return 0;
}

/* ---- strings ---- */

/* Codes or strings of the points to those of the rows asked for. */
static int texts_place(const struct chunk_bytes *dense, const struct points *points, struct asked asked,
		       struct arena *arena, struct rg_bytes *bytes, struct err *err)
{
	uint32_t *codes = NULL;
	struct view *dict = NULL;

	*bytes = (struct rg_bytes){ dense->dict, dense->dict_count, dense->codes, points->valid };
	if (!points->valid)
		return 0;
	if (dense->codes)
		bytes->codes = codes = arena_array(arena, (size_t)asked.count + 1, sizeof(*codes));
	else
		bytes->dict = dict = arena_array(arena, (size_t)asked.count + 1, sizeof(*dict));
	if (!codes && !dict)
		return no_memory(asked.count, err);
	for (uint32_t i = 0; i < points->count; i++)
		if (codes)
			codes[points->of[i]] = dense->codes[i];
		else
			dict[points->of[i]] = dense->dict[i];
	if (dict)
		bytes->dict_count = asked.count;
	return 0;
}

/* All of the column is read: of histograms, and where others follow from it and no row asked for has a value. */
static int whole_at(const struct rg *rg, const struct col *col, struct asked asked, struct arena *arena,
		    struct rg_bytes *ret_bytes, struct err *err)
{
	struct view *dict = arena_array(arena, (size_t)asked.count + 1, sizeof(*dict));
	uint32_t *codes = arena_array(arena, (size_t)asked.count + 1, sizeof(*codes));
	uint64_t *valid = arena_array(arena, (size_t)asked.count / 64 + 1, sizeof(*valid));
	struct rg_bytes bytes;
	int rc = rg_read_bytes(rg, col, arena, &bytes, err);

	if (rc < 0)
		return rc;
	if (!dict || !codes || !valid)
		return no_memory(asked.count, err);
	for (uint32_t i = 0; i < asked.count; i++) {
		uint32_t row = asked.rows[i];

		valid[i / 64] |= (uint64_t)rg_valid(bytes.valid, row) << i % 64;
		if (bytes.codes)
			codes[i] = bytes.codes[row];
		else
			dict[i] = bytes.dict[row];
	}
	*ret_bytes = bytes.codes ? (struct rg_bytes){ bytes.dict, bytes.dict_count, codes, valid } :
				   (struct rg_bytes){ dict, asked.count, NULL, valid };
	return 0;
}

/* No row asked for has a value. */
static int none_at(struct asked asked, struct arena *arena, struct rg_bytes *ret_bytes, struct err *err)
{
	struct view *dict = arena_array(arena, (size_t)asked.count + 1, sizeof(*dict));
	uint64_t *valid = arena_array(arena, (size_t)asked.count / 64 + 1, sizeof(*valid));

	if (!dict || !valid)
		return no_memory(asked.count, err);
	*ret_bytes = (struct rg_bytes){ dict, asked.count, NULL, valid };
	return 0;
}

static int texts_of(const struct rg *rg, const struct col *col, struct asked asked, bool codes_too, struct arena *arena,
		    struct rg_bytes *ret_bytes, struct err *err);

/* The codes of the column that others follow from, one a row asked for. It follows from none itself. */
static int source_at(const struct rg *rg, uint16_t col_id, struct asked asked, struct arena *arena,
		     struct rg_bytes *ret_source, struct err *err)
{
	const struct col *col = table_col_id(rg->table, col_id);
	struct rg_entry entry;
	int rc;

	if (!col || types[col->type].phys != PHYS_BYTES || !rg_entry_find(rg, col, &entry) || entry.enc == CHUNK_MAP)
		return err_set(err, E_CORRUPT, "follows from column %u, which holds no dictionary here", col_id);
	rc = texts_of(rg, col, asked, true, arena, ret_source, err);
	if (rc == 0 && !ret_source->codes)
		rc = err_set(err, E_CORRUPT, "follows from column %s, which holds no dictionary here", col->key);
	return rc;
}

/* The first row asked for that is not before this one. */
static uint32_t asked_find(struct asked asked, uint64_t row)
{
	uint32_t low = 0, high = asked.count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (asked.rows[mid] < row)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Rows that have another string than the one that follows. */
static int exceptions_at(struct rd *rd, uint32_t rows, uint32_t dict_count, struct asked asked, struct arena *arena,
			 uint32_t *codes, struct err *err)
{
	uint64_t found = rd_varint(rd);
	uint32_t *others = NULL;
	uint64_t *places;
	int rc;

	if (rd->bad || found > rows)
		return err_set(err, E_CORRUPT, "%llu exceptions of %u rows", (unsigned long long)found, rows);
	if (!found)
		return 0;
	places = arena_alloc(arena, (size_t)found * sizeof(*places));
	if (!places)
		return err_set(err, E_NO_MEMORY, "no memory for %llu exceptions", (unsigned long long)found);
	rc = chunk_ints_read(rd, (size_t)found, arena, places, err);
	if (rc == 0)
		rc = chunk_codes_read(rd, (size_t)found, dict_count, arena, &others, err);
	if (rc < 0)
		return rc;
	for (uint64_t e = 0; e < found; e++) {
		if (places[e] >= rows)
			return err_set(err, E_CORRUPT, "exception %llu in row %llu of %u", (unsigned long long)e,
				       (unsigned long long)places[e], rows);
		for (uint32_t i = asked_find(asked, places[e]); i < asked.count && asked.rows[i] == places[e]; i++)
			codes[i] = others[e];
	}
	return 0;
}

/* CHUNK_MAP: the codes of another column, translated. */
static int map_at(const struct rg *rg, struct view plain, struct asked asked, struct arena *arena,
		  struct rg_bytes *bytes, struct err *err)
{
	uint32_t rows = rg->zone.rows, dict_count = 0, *map = NULL, *codes;
	struct rg_bytes source = { 0 };
	struct rd rd = rd_make(plain);
	struct view *dict = NULL;
	uint64_t from_count;
	uint16_t from;
	int rc;

	rd_skip(&rd, 1);
	from = rd_u16le(&rd);
	rc = chunk_dict_read(&rd, rows, arena, &dict, &dict_count, err);
	if (rc == 0)
		rc = source_at(rg, from, asked, arena, &source, err);
	if (rc < 0)
		return rc;
	from_count = rd_varint(&rd);
	if (rd.bad || from_count != source.dict_count)
		return err_set(err, E_CORRUPT, "follows from %llu strings of column %u, which has %u",
			       (unsigned long long)from_count, from, source.dict_count);
	codes = arena_alloc(arena, ((size_t)asked.count + 1) * sizeof(*codes));
	if (!codes)
		return no_memory(asked.count, err);
	rc = chunk_codes_read(&rd, (size_t)from_count, dict_count, arena, &map, err);
	for (uint32_t i = 0; rc == 0 && i < asked.count; i++)
		codes[i] = map[source.codes[i]];
	if (rc == 0)
		rc = exceptions_at(&rd, rows, dict_count, asked, arena, codes, err);
	bytes->dict = dict;
	bytes->dict_count = dict_count;
	bytes->codes = codes;
	return rc;
}

static int entry_texts(const struct rg *rg, const struct rg_entry *entry, const struct points *points,
		       struct asked asked, struct arena *arena, struct rg_bytes *bytes, struct err *err)
{
	struct chunk_bytes dense = { 0 };
	struct view plain;
	struct rd rd;
	int rc = rg_chunk_load(rg, entry, RG_CHUNK_BYTES_MAX, arena, &plain, err);

	if (rc < 0)
		return rc;
	if (plain.len < 1 || plain.at[0] != entry->enc)
		return err_set(err, E_CORRUPT, "encoding %s, directory says %s",
			       plain.len ? chunk_enc_name(plain.at[0]) : "none", chunk_enc_name(entry->enc));
	bytes->valid = points->valid;
	if (entry->enc == CHUNK_MAP)
		return map_at(rg, plain, asked, arena, bytes, err);
	rd = rd_make(plain);
	rc = chunk_bytes_at(&rd, entry->count, points->places, points->count, arena, &dense, err);
	return rc < 0 ? rc : texts_place(&dense, points, asked, arena, bytes, err);
}

/* Addresses are of one length. */
static int dict_check(const struct col *col, const struct rg_bytes *bytes, uint32_t count, struct err *err)
{
	for (uint32_t i = 0; col->type == TYPE_IP && i < (bytes->codes ? bytes->dict_count : count); i++)
		if ((bytes->codes || rg_valid(bytes->valid, i)) && bytes->dict[i].len != sizeof(struct ip))
			return err_set(err, E_CORRUPT, "an address of %zu bytes", bytes->dict[i].len);
	return 0;
}

/* codes_too: others follow from it, and want its dictionary even where no row asked for has a value. */
static int texts_of(const struct rg *rg, const struct col *col, struct asked asked, bool codes_too, struct arena *arena,
		    struct rg_bytes *ret_bytes, struct err *err)
{
	const uint64_t *valid = NULL;
	struct rg_bytes bytes = { 0 };
	struct points points = { .count = 0 };
	struct rg_entry entry;
	int rc;

	if (!rg_entry_find(rg, col, &entry))
		return none_at(asked, arena, ret_bytes, err);
	rc = rg_entry_valid(rg, col, &entry, arena, &valid, err);
	if (rc == 0)
		rc = points_find(valid, asked, arena, &points, err);
	if (rc < 0)
		return rc;
	if (points.count == 0 && !codes_too)
		return none_at(asked, arena, ret_bytes, err);
	if (points.count == 0 || entry.enc == CHUNK_HIST)
		return whole_at(rg, col, asked, arena, ret_bytes, err);
	rc = entry_texts(rg, &entry, &points, asked, arena, &bytes, err);
	if (rc == 0)
		rc = dict_check(col, &bytes, asked.count, err);
	if (rc == 0)
		*ret_bytes = bytes;
	return rc;
}

int rg_read_bytes_at(const struct rg *rg, const struct col *col, const uint32_t *rows, uint32_t count,
		     struct arena *arena, struct rg_bytes *ret_bytes, struct err *err)
{
	int rc;

	assert(types[col->type].phys == PHYS_BYTES && (count == 0 || rows[count - 1] < rg->zone.rows));
	rc = texts_of(rg, col, (struct asked){ rows, count }, false, arena, ret_bytes, err);
	if (rc < 0)
		(void)err_prefix(err, WHAT ": column %s", col->key);
	return rc;
}
