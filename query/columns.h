/*
 * The columns of one row group, decoded when first asked for and then shared
 * by filter and operator. What only one condition asks for is tested as it is stored. Memory from an arena that the caller resets between
 * row groups. One thread.
 */
#ifndef QUERY_COLUMNS_H
#define QUERY_COLUMNS_H

#include "base/arena.h"
#include "store/chunk_match.h"
#include "store/rowgroup.h"

#define COLUMNS_MAX (64 * SCHEMA_HAS_WORDS)
#define COLUMNS_FEW 16u
#define COLUMNS_FEW_MAX (RG_ROWS_MAX / COLUMNS_FEW)

struct columns {
	const struct rg *rg;
	struct arena *arena;
	uint32_t rows;
	uint64_t bytes_read;		/* decoded so far */
	uint64_t bytes_stored;		/* what that was in the file, without bitmaps of nulls */
	const uint64_t *wanted;		/* SCHEMA_HAS_WORDS: columns that will be decoded whatever matches; NULL: unknown */
	const uint64_t *only;		/* rows that will be looked at, a bit each: others may hold anything; NULL: all */
	uint64_t loaded[SCHEMA_HAS_WORDS];
	uint64_t matched[SCHEMA_HAS_WORDS];	/* tested once: who is asked again is decoded */
	union {
		struct rg_ints ints;
		struct rg_bytes bytes;
	} cols[COLUMNS_MAX];
};

/* rg and arena are borrowed. */
void columns_init(struct columns *columns, const struct rg *rg, struct arena *arena);
/* Borrowed until the arena is reset. E_CORRUPT, E_NO_MEMORY. */
int columns_ints(struct columns *columns, const struct col *col, struct rg_ints *ret_ints, struct err *err);
int columns_bytes(struct columns *columns, const struct col *col, struct rg_bytes *ret_bytes, struct err *err);
/*
 * The same of some rows, ascending, one value a row asked for: for few of many. Not kept: who asks again decodes again,
 * but for what is decoded already, or derived.
 */
int columns_ints_at(struct columns *columns, const struct col *col, const uint32_t *rows, uint32_t count,
		    struct rg_ints *ret_ints, struct err *err);
int columns_bytes_at(struct columns *columns, const struct col *col, const uint32_t *rows, uint32_t count,
		     struct rg_bytes *ret_bytes, struct err *err);
/* So few of a group's rows that this costs less. */
static inline bool columns_few(const struct columns *columns, size_t rows)
{
	return rows <= columns->rows / COLUMNS_FEW;
}

/*
 * Histograms of the rows in only, to be added up: see rg_read_hists. Not kept: who asks again decodes again.
 * 1; 0: ask for them as bytes.
 */
int columns_hists(struct columns *columns, const struct col *col, const uint64_t *only, struct rg_hists *ret_hists,
		  struct err *err);

/*
 * Rows whose value passes, a bit each, without decoding the column: see rg_match_ints. 0: decode it, because it is stored
 * otherwise, or it will be needed again.
 */
int columns_match_ints(struct columns *columns, const struct col *col, const struct chunk_span *spans, size_t count,
		       uint64_t *bits, struct err *err);
int columns_match_bytes(struct columns *columns, const struct col *col, const struct rg_wanted *want, uint64_t *bits,
			struct err *err);

static inline size_t columns_words(const struct columns *columns)
{
	return ((size_t)columns->rows + 63) / 64;
}

static inline struct view columns_text(const struct rg_bytes *bytes, uint32_t row)
{
	return bytes->dict[bytes->codes ? bytes->codes[row] : row];
}

#endif
