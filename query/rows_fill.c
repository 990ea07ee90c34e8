/*
 * Rows out of a row group: the wanted columns of a few rows, as row structs. What is
 * worked out of other columns is worked out of these rows alone.
 */
#include "query/rows.h"
#include "query/verdict.h"

/* The rows that are filled: by their place in the row group, or in what was read of few of them. */
struct fill {
	const struct rows_pick *picks;
	uint32_t count;
	const uint32_t *few;	/* their places, to read these alone; NULL: all rows are read */
	const uint64_t *only;	/* a bit each */
	struct arena *texts;
};

static int fill_ints(struct scan *scan, const struct col *col, const struct fill *fill, struct err *err)
{
	struct rg_ints ints;
	int rc = fill->few ? columns_ints_at(&scan->columns, col, fill->few, fill->count, &ints, err)
			   : columns_ints(&scan->columns, col, &ints, err);

	for (uint32_t i = 0; rc == 0 && i < fill->count; i++) {
		uint32_t at = fill->few ? i : fill->picks[i].row;

		if (rg_valid(ints.valid, at))
			(void)row_put(col, fill->picks[i].to, ints.values[at], view_make(NULL, 0));
	}
	return rc;
}

static int fill_bytes(struct scan *scan, const struct col *col, const struct fill *fill, struct err *err)
{
	uint32_t code_before = UINT32_MAX;
	struct view copy = { 0 };
	struct rg_bytes bytes;
	int rc = fill->few ? columns_bytes_at(&scan->columns, col, fill->few, fill->count, &bytes, err)
			   : columns_bytes(&scan->columns, col, &bytes, err);

	for (uint32_t i = 0; rc == 0 && i < fill->count; i++) {
		uint32_t at = fill->few ? i : fill->picks[i].row, code;

		if (!rg_valid(bytes.valid, at))
			continue;
		code = bytes.codes ? bytes.codes[at] : at;
		if (col->type == TYPE_IP) {
			rc = row_put(col, fill->picks[i].to, 0, bytes.dict[code]);
			if (rc < 0)
				(void)err_set(err, rc, "column %s: an address of %zu bytes",
					      col->key, bytes.dict[code].len);
			continue;
		}
		if (code != code_before) { /* neighbours often share their text */
			copy = arena_copy(fill->texts, bytes.dict[code]);
			if (!copy.at)
				return plan_no_memory(scan->plan, err);
			code_before = code;
		}
		rc = row_put(col, fill->picks[i].to, 0, copy);
	}
	return rc;
}

static bool is_derived(const struct col *col)
{
	return col->index == INDEX_DERIVED;
}

static int fill_one(struct scan *scan, const struct col *col, const struct fill *fill, struct err *err)
{
	int rc;

	scan->columns.only = fill->only;
	rc = types[col->type].phys == PHYS_INT ? fill_ints(scan, col, fill, err) : fill_bytes(scan, col, fill, err);
	scan_count(scan);
	arena_reset(&scan->plan->scratch); /* one decoded column at a time is enough */
	columns_init(&scan->columns, &scan->rg, &scan->plan->scratch);
	return rc;
}

/* Whole rows have what derived columns are worked out of. */
static int fill_all(struct scan *scan, const struct fill *fill, struct err *err)
{
	const struct table *table = scan->plan->table;
	int rc = 0;

	rg_want(&scan->rg, NULL);
	for (size_t c = 0; rc == 0 && c < table->cols_count; c++)
		if (!is_derived(&table->cols[c]))
			rc = fill_one(scan, &table->cols[c], fill, err);
	for (uint32_t i = 0; rc == 0 && table->id == TABLE_FLOWS && i < fill->count; i++)
		verdict_row(fill->picks[i].to);
	return rc;
}

int rows_fill(struct scan *scan, const struct scan_group *group, const uint16_t *fields,
	      size_t fields_count, const struct rows_pick *picks, size_t count, struct arena *texts,
	      struct err *err)
{
	const struct table *table = scan->plan->table;
	uint64_t only[RG_ROWS_MAX / 64];
	uint32_t few[COLUMNS_FEW_MAX];
	struct fill fill = { .picks = picks, .count = (uint32_t)count, .only = only, .texts = texts };
	int rc = scan_reopen(scan, group, err);

	if (rc < 0)
		return rc;
	memset(only, 0, columns_words(&scan->columns) * sizeof(*only));
	for (size_t i = 0; i < count; i++)
		row_mark(only, picks[i].row);
	if (columns_few(&scan->columns, count)) {
		for (size_t i = 0; i < count; i++)
			few[i] = picks[i].row;
		fill.few = few;
	}
	if (!fields)
		return fill_all(scan, &fill, err);
	for (size_t c = 0; rc == 0 && c < fields_count; c++)
		rc = fill_one(scan, &table->cols[fields[c]], &fill, err);
	/* What makes the row's place in the answer is always there. */
	if (rc == 0)
		rc = fill_one(scan, &table->cols[table->start_ord], &fill, err);
	if (rc == 0 && table->id_ord >= 0)
		rc = fill_one(scan, &table->cols[table->id_ord], &fill, err);
	return rc;
}
