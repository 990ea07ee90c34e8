/*
 * The columns of one row group, decoded when first asked for and then shared
 * by filter and operator. Memory from an arena that the caller resets between
 * row groups. One thread.
 */
#ifndef QUERY_COLUMNS_H
#define QUERY_COLUMNS_H

#include "base/arena.h"
#include "store/rowgroup.h"

#define COLUMNS_MAX (64 * SCHEMA_HAS_WORDS)

struct columns {
	const struct rg *rg;
	struct arena *arena;
	uint32_t rows;
	uint64_t bytes_read;		/* decoded so far */
	uint64_t bytes_stored;		/* what that was in the file, without bitmaps of nulls */
	uint64_t loaded[SCHEMA_HAS_WORDS];
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

static inline size_t columns_words(const struct columns *columns)
{
	return ((size_t)columns->rows + 63) / 64;
}

static inline struct view columns_text(const struct rg_bytes *bytes, uint32_t row)
{
	return bytes->dict[bytes->codes ? bytes->codes[row] : row];
}

#endif
