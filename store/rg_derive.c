/*
 * Columns written as differences to what others foretell, and strings that
 * follow from those of another column. predict.def says what is tried; the
 * shortest form is kept, plain ones where the gain is small: they are read
 * without the others.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/rg_writing.h"

#define PAIRS_MAX 255u			/* of rows, that a factor is found out of */
#define FACTOR_MAX ((int64_t)1 << 40)
#define FOLLOW_MAX 16384u		/* strings of a column that others follow from: all are looked up for one row */
#define MAP_ROWS_MIN 64u

int derive_init(struct writing *writing)
{
	size_t rows = writing->builder->rows, cols = writing->builder->table->cols_count;

	writing->derived = mem_array(cols, sizeof(*writing->derived));
	writing->terms = mem_array(rows, PREDICT_TERMS_MAX * sizeof(*writing->terms));
	return writing->derived && writing->terms ? 0 : E_NO_MEMORY;
}

void derive_release(struct writing *writing)
{
	size_t cols = writing->builder->table->cols_count;

	for (size_t i = 0; writing->derived && i < cols; i++)
		mem_free(writing->derived[i].places);
	mem_free(writing->derived);
	mem_free(writing->terms);
}

int derive_missing(const struct writing *writing, size_t ordinal)
{
	enum table_id table = writing->builder->table->id;
	const struct predict_hint *predict;
	const struct map_hint *map;

	for (size_t i = 0; (predict = predict_hint(i)); i++)
		for (unsigned t = 0; predict->table == table && predict->ordinal == ordinal && t < predict->count; t++)
			if (!writing->derived[predict->terms[t].ordinal].stored)
				return predict->terms[t].ordinal;
	for (size_t i = 0; (map = map_hint(i)); i++)
		if (map->table == table && map->ordinal == ordinal && !writing->derived[map->from].stored)
			return map->from;
	return -1;
}

/* Whether the other form is worth that more columns are read for it. */
static bool pays(const struct writing *writing)
{
	return writing->other.len + writing->plain.len / 16 < writing->plain.len;
}

/* ---- numbers ---- */

/* Of an input column where this one has values; 0 where it is null. */
static void term_collect(const struct writing *writing, size_t ordinal, const uint32_t *rows, uint32_t count,
			 uint64_t *ret_values)
{
	const uint64_t *ints = writing->builder->columns[ordinal].ints;
	const uint64_t *valid = writing->group[ordinal] == NO_GROUP ? NULL : valid_of(writing, ordinal);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t row = rows ? rows[i] : i;

		ret_values[i] = rg_valid(valid, row) ? ints[row] : 0;
	}
}

static int cmp_i64(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* What a value grows by when the term does: the median over pairs of neighbours. 0: cannot be told. */
static int64_t factor_find(const uint64_t *values, const uint64_t *term, uint32_t count)
{
	int64_t slopes[PAIRS_MAX];
	size_t found = 0;
	uint32_t step = count / PAIRS_MAX + 1;

	for (uint32_t i = 0; i + 1 < count && found < PAIRS_MAX; i += step) {
		int64_t by = (int64_t)(term[i + 1] - term[i]), rise = (int64_t)(values[i + 1] - values[i]);

		/* A part of the range, so that no sum overflows. */
		if (by == 0 || by > FACTOR_MAX || by < -FACTOR_MAX || rise > FACTOR_MAX || rise < -FACTOR_MAX)
			continue;
		slopes[found++] = (2 * rise + ((rise < 0) == (by < 0) ? by : -by)) / (2 * by);
	}
	if (!found)
		return 0;
	qsort(slopes, found, sizeof(*slopes), cmp_i64);
	return slopes[found / 2];
}

/* Differences are small and of both signs: moved up, so that none wraps around. */
static uint64_t bias_of(const uint64_t *differences, uint32_t count)
{
	int64_t min = (int64_t)differences[0];

	for (uint32_t i = 1; i < count; i++)
		min = (int64_t)differences[i] < min ? (int64_t)differences[i] : min;
	return (uint64_t)min;
}

/* The form that a hint describes; 0: it does not apply here. */
static int predict_make(struct writing *writing, const struct predict_hint *hint, const uint64_t *ints,
			const uint32_t *rows, uint32_t count, struct predict *predict, unsigned *depth)
{
	const struct table *table = writing->builder->table;
	const uint64_t *columns[PREDICT_TERMS_MAX];
	struct rg_shift shift = rg_shift_of(&table->cols[hint->ordinal]);
	int unknown = -1, rc;

	*predict = (struct predict){ .formula = hint->formula };
	*depth = 0;
	for (unsigned t = 0; t < hint->count; t++) {
		size_t from = hint->terms[t].ordinal;
		uint64_t *values = writing->terms + (size_t)predict->count * writing->builder->rows;
		struct predict_term *term = &predict->terms[predict->count];

		if (!writing->valid_count[from]) {	/* never there: 0, which a sum can do without */
			if (hint->formula == PREDICT_SUM && t > 0)
				continue;
			return 0;
		}
		if (writing->derived[from].depth > *depth)
			*depth = writing->derived[from].depth;
		*term = (struct predict_term){ .col_id = table->cols[from].id, .factor = hint->terms[t].factor,
					       .down = shift.down, .up = shift.up };
		term_collect(writing, from, rows, count, values);
		columns[predict->count] = values;
		if (!term->factor)
			unknown = predict->count;
		predict->count++;
	}
	if (++*depth > PREDICT_DEPTH_MAX)
		return 0;
	if (unknown >= 0) {	/* of what the other terms leave */
		rc = predict_subtract(predict, columns, count, ints, writing->differences);
		if (rc < 0)
			return rc;
		predict->terms[unknown].factor = factor_find(writing->differences, columns[unknown], count);
		if (!predict->terms[unknown].factor && predict->count == 1)
			return 0;
	}
	rc = predict_subtract(predict, columns, count, ints, writing->differences);
	if (rc < 0)
		return rc;
	predict->bias = predict->formula == PREDICT_CHAIN ? 0 : bias_of(writing->differences, count);
	for (uint32_t i = 0; i < count && predict->bias; i++)
		writing->differences[i] -= predict->bias;
	return 1;
}

int derive_ints(struct writing *writing, size_t ordinal, const uint64_t *ints, const uint32_t *rows, uint32_t count,
		int enc)
{
	struct derived *derived = &writing->derived[ordinal];
	const struct predict_hint *hint;

	derived->depth = enc == CHUNK_REF;
	for (size_t i = 0; (hint = predict_hint(i)); i++) {
		struct predict predict;
		unsigned depth;
		int rc;

		if (hint->table != writing->builder->table->id || hint->ordinal != ordinal)
			continue;
		rc = predict_make(writing, hint, ints, rows, count, &predict, &depth);
		if (rc > 0) {
			wr_reset(&writing->other);
			wr_u8(&writing->other, CHUNK_PREDICT);
			predict_put(&predict, &writing->other);
			rc = chunk_ints_write(writing->differences, count, writing->scratch, &writing->other);
			writing->other_split = writing->scratch->split;
			if (rc >= 0 && pays(writing)) {
				writing_swap(writing);
				derived->depth = (uint8_t)depth;
				enc = CHUNK_PREDICT;
			}
		}
		if (rc < 0)
			return rc;
	}
	return enc;
}

/* ---- strings ---- */

static bool derive_is_source(const struct writing *writing, size_t ordinal)
{
	const struct map_hint *map;

	for (size_t i = 0; (map = map_hint(i)); i++)
		if (map->table == writing->builder->table->id && map->from == ordinal)
			return true;
	return false;
}

static uint32_t places_max(const uint32_t *places, size_t count)
{
	uint32_t max = 0;

	for (size_t i = 0; i < count; i++)
		max = places[i] > max ? places[i] : max;
	return max;
}

/* The rows of a group in the order of writing, with what they have of both columns. */
struct pairs {
	const struct writing *writing;
	size_t from, to;	/* ordinals */
};

/* False: the row has no value. A row whose source is null has its place 0, as readers see it. */
static bool pair_at(const struct pairs *pairs, uint32_t place, uint32_t *ret_from, uint32_t *ret_to)
{
	const struct writing *writing = pairs->writing;
	const struct rg_column *columns = writing->builder->columns;
	uint32_t row = row_at(writing, place);

	if (!rg_valid(valid_of(writing, pairs->to), row))
		return false;
	*ret_to = writing->derived[pairs->to].places[columns[pairs->to].codes[row]] - 1;
	*ret_from = !rg_valid(valid_of(writing, pairs->from), row) ? 0 :
		    writing->derived[pairs->from].places[columns[pairs->from].codes[row]] - 1;
	return true;
}

/* The string that most rows of each source have: a vote, whose winner is right when more than half agree. */
static void map_vote(const struct pairs *pairs, uint64_t *map, uint32_t *votes, uint32_t from_count)
{
	memset(map, 0, from_count * sizeof(*map));
	memset(votes, 0, from_count * sizeof(*votes));
	for (uint32_t place = 0; place < pairs->writing->builder->rows; place++) {
		uint32_t from, to;

		if (!pair_at(pairs, place, &from, &to))
			continue;
		if (votes[from] == 0)
			map[from] = to;
		votes[from] += map[from] == to ? 1 : UINT32_MAX;
	}
}

/* Rows that do not follow: places and codes. More than limit: SIZE_MAX. */
static size_t map_exceptions(const struct pairs *pairs, const uint64_t *map, uint64_t *places, uint64_t *codes,
			     size_t limit)
{
	size_t found = 0;

	for (uint32_t place = 0; place < pairs->writing->builder->rows; place++) {
		uint32_t from, to;

		if (!pair_at(pairs, place, &from, &to) || map[from] == to)
			continue;
		if (found == limit)
			return SIZE_MAX;
		places[found] = place;
		codes[found++] = to;
	}
	return found;
}

static int map_write(struct writing *writing, uint16_t from_id, const uint32_t *order, uint32_t to_count,
		     const uint64_t *map, uint32_t from_count, size_t found)
{
	const uint64_t *places = writing->terms, *codes = writing->terms + writing->builder->rows;
	struct wr *out = &writing->other;
	int rc;

	wr_reset(out);
	wr_u8(out, CHUNK_MAP);
	wr_u16le(out, from_id);
	rc = chunk_dict_write(writing->dict, order, to_count, writing->scratch, out);
	if (rc < 0)
		return rc;
	wr_varint(out, from_count);
	rc = chunk_ints_write(map, from_count, writing->scratch, out);
	if (rc < 0)
		return rc;
	wr_varint(out, found);
	rc = found ? chunk_ints_write(places, found, writing->scratch, out) : 0;
	if (rc >= 0 && found)
		rc = chunk_ints_write(codes, found, writing->scratch, out);
	return rc < 0 ? rc : out->bad ? E_NO_MEMORY : 1;
}

/* 1: the form stands in writing->other; 0: it does not apply. */
static int map_make(struct writing *writing, size_t ordinal, size_t from)
{
	const struct rg_column *columns = writing->builder->columns;
	const struct pairs pairs = { .writing = writing, .from = from, .to = ordinal };
	const struct derived *source = &writing->derived[from], *self = &writing->derived[ordinal];
	uint32_t rows = writing->builder->rows, from_count, to_count, *votes, *order;
	uint64_t *map = writing->terms + 2 * (size_t)rows;
	size_t found;
	int rc = 0;

	if (!writing->valid_count[from] || source->enc != CHUNK_DICT || rows < MAP_ROWS_MIN)
		return 0;
	from_count = places_max(source->places, columns[from].texts.count);
	to_count = places_max(self->places, columns[ordinal].texts.count);
	if (from_count > FOLLOW_MAX || from_count > rows / 2)
		return 0;
	votes = mem_array(from_count, sizeof(*votes));
	order = mem_array(to_count, sizeof(*order));
	if (!votes || !order) {
		rc = E_NO_MEMORY;
		goto out;
	}
	map_vote(&pairs, map, votes, from_count);
	found = map_exceptions(&pairs, map, writing->terms, writing->terms + rows, rows / 8);
	if (found == SIZE_MAX)
		goto out;
	for (size_t i = 0; i < columns[ordinal].texts.count; i++)
		if (self->places[i])
			order[self->places[i] - 1] = (uint32_t)i;
	rc = map_write(writing, writing->builder->table->cols[from].id, order, to_count, map, from_count, found);
out:
	mem_free(votes);
	mem_free(order);
	return rc;
}

int derive_texts(struct writing *writing, size_t ordinal, int enc)
{
	struct derived *derived = &writing->derived[ordinal];
	const struct map_hint *hint;
	int rc = 0;

	derived->enc = (uint8_t)enc;
	for (size_t i = 0; enc == CHUNK_DICT && rc >= 0 && (hint = map_hint(i)); i++) {
		if (hint->table != writing->builder->table->id || hint->ordinal != ordinal)
			continue;
		rc = map_make(writing, ordinal, hint->from);
		if (rc > 0 && pays(writing)) {
			writing_swap(writing);
			derived->enc = CHUNK_MAP;
		}
	}
	if (!derive_is_source(writing, ordinal)) {
		mem_free(derived->places);
		derived->places = NULL;
	}
	return rc < 0 ? rc : derived->enc;
}
