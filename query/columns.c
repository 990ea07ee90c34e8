#include "query/columns.h"

#include "query/verdict.h"

void columns_init(struct columns *columns, const struct rg *rg, struct arena *arena)
{
	columns->rg = rg;
	columns->arena = arena;
	columns->rows = rg->zone.rows;
	columns->bytes_read = 0;
	columns->bytes_stored = 0;
	columns->wanted = NULL;
	columns->only = NULL;
	memset(columns->loaded, 0, sizeof(columns->loaded));
	memset(columns->matched, 0, sizeof(columns->matched));
}

static uint64_t stored_bytes(const struct rg *rg, const struct col *col)
{
	struct rg_chunk_info info;

	for (uint32_t i = 0; rg_chunk_info(rg, i, &info); i++)
		if (info.col_id == col->id)
			return info.stored_bytes;
	return 0;
}

int columns_ints(struct columns *columns, const struct col *col, struct rg_ints *ret_ints,
		 struct err *err)
{
	if (!row_has(columns->loaded, col->ordinal)) {
		struct rg_ints *ints = &columns->cols[col->ordinal].ints;
		int rc = col->index == INDEX_DERIVED
				 ? verdict_ints(columns, col, ints, err)
				 : rg_read_ints(columns->rg, col, columns->arena, ints, err);

		if (rc < 0)
			return rc;
		row_mark(columns->loaded, col->ordinal);
		if (col->index != INDEX_DERIVED && !row_has(columns->matched, col->ordinal)) {
			columns->bytes_read +=
				(uint64_t)columns->rows * types[col->type].row_bytes;
			columns->bytes_stored += stored_bytes(columns->rg, col);
		}
	}
	*ret_ints = columns->cols[col->ordinal].ints;
	return 0;
}

static void texts_count(struct columns *columns, const struct col *col, const struct rg_bytes *bytes)
{
	columns->bytes_stored += stored_bytes(columns->rg, col);
	columns->bytes_read += bytes->codes ? (uint64_t)columns->rows * sizeof(uint32_t) : 0;
	for (uint32_t i = 0; i < bytes->dict_count; i++)
		columns->bytes_read += bytes->dict[i].len;
}

int columns_bytes(struct columns *columns, const struct col *col, struct rg_bytes *ret_bytes,
		  struct err *err)
{
	if (!row_has(columns->loaded, col->ordinal)) {
		struct rg_bytes *bytes = &columns->cols[col->ordinal].bytes;
		int rc = rg_read_bytes(columns->rg, col, columns->arena, bytes, err);

		if (rc < 0)
			return rc;
		row_mark(columns->loaded, col->ordinal);
		if (!row_has(columns->matched, col->ordinal))
			texts_count(columns, col, bytes);
	}
	*ret_bytes = columns->cols[col->ordinal].bytes;
	return 0;
}

int columns_hists(struct columns *columns, const struct col *col, const uint64_t *only,
		  struct rg_hists *ret_hists, struct err *err)
{
	struct rg_hists hists;
	int rc;

	if (row_has(columns->loaded, col->ordinal)) /* as bytes: somebody looks at them, too */
		return 0;
	rc = rg_read_hists(columns->rg, col, only, columns->arena, &hists, err);
	if (rc <= 0)
		return rc;
	columns->bytes_stored += stored_bytes(columns->rg, col);
	columns->bytes_read += hists.bytes;
	*ret_hists = hists;
	return 1;
}

/* ---- tested as they are stored ---- */

static bool match_pays(const struct columns *columns, const struct col *col)
{
	return col->index != INDEX_DERIVED && !row_has(columns->loaded, col->ordinal) &&
	       !row_has(columns->matched, col->ordinal) &&
	       !(columns->wanted && row_has(columns->wanted, col->ordinal));
}

/* The budget counts them as if they had been decoded, but for the texts of dictionaries; once, if they are later. */
static int match_count(struct columns *columns, const struct col *col, size_t row_bytes, int rc)
{
	if (rc == 1) {
		row_mark(columns->matched, col->ordinal);
		columns->bytes_read += (uint64_t)columns->rows * row_bytes;
		columns->bytes_stored += stored_bytes(columns->rg, col);
	}
	return rc;
}

int columns_match_ints(struct columns *columns, const struct col *col,
		       const struct chunk_span *spans, size_t count, uint64_t *bits,
		       struct err *err)
{
	if (!match_pays(columns, col))
		return 0;
	return match_count(columns, col, types[col->type].row_bytes,
			   rg_match_ints(columns->rg, col, spans, count, columns->arena, bits, err));
}

int columns_match_bytes(struct columns *columns, const struct col *col,
			int (*fits)(const void *arg, struct view text, struct err *err),
			const void *arg, uint64_t *bits, struct err *err)
{
	if (!match_pays(columns, col))
		return 0;
	return match_count(columns, col, sizeof(uint32_t),
			   rg_match_bytes(columns->rg, col, fits, arg, columns->arena, bits, err));
}
