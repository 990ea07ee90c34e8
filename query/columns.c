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

/* Of all rows to those asked for. */
static int ints_pick(struct columns *columns, const struct rg_ints *all, const uint32_t *rows, uint32_t count,
		     struct rg_ints *ret_ints, struct err *err)
{
	uint64_t *values = arena_array(columns->arena, count + 1ul, sizeof(*values));
	uint64_t *valid = arena_array(columns->arena, count / 64 + 1ul, sizeof(*valid));

	if (!values || !valid)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < count; i++) {
		values[i] = all->values[rows[i]];
		valid[i / 64] |= (uint64_t)rg_valid(all->valid, rows[i]) << i % 64;
	}
	*ret_ints = (struct rg_ints){ values, valid };
	return 0;
}

int columns_ints_at(struct columns *columns, const struct col *col, const uint32_t *rows, uint32_t count,
		    struct rg_ints *ret_ints, struct err *err)
{
	struct rg_ints all;
	int rc;

	if (row_has(columns->loaded, col->ordinal) || col->index == INDEX_DERIVED) {
		rc = columns_ints(columns, col, &all, err);
		return rc < 0 ? rc : ints_pick(columns, &all, rows, count, ret_ints, err);
	}
	rc = rg_read_ints_at(columns->rg, col, rows, count, columns->arena, ret_ints, err);
	if (rc < 0)
		return rc;
	columns->bytes_read += (uint64_t)count * types[col->type].row_bytes;
	columns->bytes_stored += stored_bytes(columns->rg, col);
	return 0;
}

int columns_bytes_at(struct columns *columns, const struct col *col, const uint32_t *rows, uint32_t count,
		     struct rg_bytes *ret_bytes, struct err *err)
{
	int rc = rg_read_bytes_at(columns->rg, col, rows, count, columns->arena, ret_bytes, err);

	if (rc < 0)
		return rc;
	columns->bytes_stored += stored_bytes(columns->rg, col);
	columns->bytes_read += (uint64_t)count * sizeof(uint32_t);
	for (uint32_t i = 0; i < ret_bytes->dict_count; i++)
		columns->bytes_read += ret_bytes->dict[i].len;
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

int columns_match_bytes(struct columns *columns, const struct col *col, const struct rg_wanted *want,
			uint64_t *bits, struct err *err)
{
	if (!match_pays(columns, col))
		return 0;
	return match_count(columns, col, sizeof(uint32_t),
			   rg_match_bytes(columns->rg, col, want, columns->arena, bits, err));
}
