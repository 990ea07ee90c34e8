/* The gathered columns: filled by rg_builder.c, encoded by rg_write.c, nobody else's business. */
#ifndef STORE_RG_BUILDER_H
#define STORE_RG_BUILDER_H

#include "base/wr.h"
#include "store/chunk.h"
#include "store/rowgroup.h"

/* Distinct strings of a column, in order of first use. */
struct rg_text {
	size_t at;		/* offset into bytes */
	uint32_t len;
	uint32_t hash;
};
struct rg_texts {
	struct wr bytes;
	struct rg_text *entries;
	size_t count, cap;
	uint32_t *slots;	/* open addressing: entry + 1, 0 = free */
	size_t slots_count;	/* a power of two, or 0 */
};

struct rg_column {
	const struct col *col;
	uint8_t kind;		/* enum gather of rg_builder.c */
	bool is_bytes;
	bool unique;		/* values hardly repeat: no look for equal ones */
	uint32_t valid_count;
	size_t cap;		/* rows there is memory for: 0 until the first value */
	uint64_t *valid;	/* a bit a row */
	uint64_t *ints;		/* by row; what null rows hold is undefined */
	uint32_t *codes;	/* the same for strings: entry of texts */
	struct rg_texts texts;
};

struct rg_builder {
	const struct table *table;
	struct rg_column *columns;	/* by ordinal */
	uint32_t rows;
	size_t text_bytes;
	uint64_t required[SCHEMA_HAS_WORDS], optional[SCHEMA_HAS_WORDS];	/* by ordinal */
	struct chunk_scratch scratch;
};

#endif
