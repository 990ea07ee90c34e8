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
};
struct rg_slot {		/* of a hash table with open addressing */
	uint32_t hash;
	uint32_t place;		/* entry + 1, 0 = free */
};
struct rg_texts {
	struct wr bytes;
	struct rg_text *entries;
	size_t count, cap;
	struct rg_slot *slots;
	size_t slots_count;	/* a power of two, or 0 */
};

/*
 * Values by row; what null rows hold is undefined. Long arrays begin at the same
 * offset of a page each, so a row of many columns would fight for one set of the
 * nearest cache: every column is moved by some lines of its own.
 */
struct rg_column {
	const struct col *col;
	uint8_t kind;		/* enum gather of rg_builder.c */
	bool is_bytes;
	bool unique;		/* values hardly repeat: no look for equal ones */
	size_t cap;		/* rows there is memory for: 0 until the first value */
	void *memory;		/* what ints or codes lie in */
	uint64_t *ints;
	uint32_t *codes;	/* strings: entry of texts */
	uint32_t last;		/* the entry named last + 1, 0 = none */
	struct rg_texts texts;
};

struct rg_present {		/* which columns of a row have a value: a bit an ordinal */
	uint64_t word[SCHEMA_HAS_WORDS];
};

struct rg_builder {
	const struct table *table;
	struct rg_column *columns;	/* by ordinal */
	struct rg_present *present;	/* by row */
	size_t present_cap;
	uint32_t rows;
	size_t text_bytes;
	struct rg_present required, optional;
	struct chunk_scratch scratch;
};

#endif
