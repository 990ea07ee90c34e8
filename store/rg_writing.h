/* A row group while it is written: shared by rg_write.c and rg_derive.c, nobody else's business. */
#ifndef STORE_RG_WRITING_H
#define STORE_RG_WRITING_H

#include "store/rg_builder.h"
#include "store/rg_format.h"
#include "store/rg_predict.h"

#define NO_GROUP UINT16_MAX

/* Of a column, for those it foretells. */
struct derived {
	bool stored;
	uint8_t depth;			/* 0: told by no other column, as in PREDICT_DEPTH_MAX */
	uint8_t enc;
	uint32_t *places;		/* of a column others follow from: entry of its texts -> stored place + 1 */
};

/* One call of rg_builder_write. */
struct writing {
	const struct rg_builder *builder;
	const uint32_t *order;
	enum codec codec;
	int level;
	size_t start;			/* of the row group in out */
	struct wr *out;
	struct wr plain;		/* the chunk at hand before the codec */
	struct wr other;		/* the same chunk, encoded another way: the shorter one is kept in plain */
	struct wr split;		/* the chunk with CHUNK_SPLIT in it, while it is compared with one without */
	bool plain_split, other_split;	/* whether plain and other have such a stream */
	struct chunk_scratch *scratch;
	size_t words;			/* of a bitmap of all rows */
	uint64_t *valid;		/* by ordinal: bitmap of the rows that have a value */
	uint32_t *valid_count;		/* by ordinal */
	uint16_t *group;		/* by ordinal: the first column with the same nulls, NO_GROUP without nulls */
	uint16_t *group_entry;		/* by that column: directory index of its bitmap, NO_GROUP before */
	uint16_t list_group;		/* what list and bitmap are of, NO_GROUP for none */
	uint32_t *list;			/* rows that are not null, in the order of writing */
	uint64_t *bitmap;		/* of places, not of rows */
	uint64_t *ints;
	uint64_t *differences;
	uint32_t *codes;
	struct view *dict;
	size_t dict_cap;
	uint16_t entries, entries_done;
	uint16_t must_know;		/* what was used that older readers do not know */

	/* What foretells others (rg_derive.c); not asked for in groups that are soon written anew. */
	bool derive;
	struct derived *derived;	/* by ordinal */
	uint64_t *terms;		/* PREDICT_TERMS_MAX arrays of rows */
};

static inline const uint64_t *valid_of(const struct writing *writing, size_t ordinal)
{
	return writing->valid + ordinal * writing->words;
}

static inline uint32_t row_at(const struct writing *writing, uint32_t place)
{
	return writing->order ? writing->order[place] : place;
}

/* The other form was encoded: it is the chunk from now on. */
static inline void writing_swap(struct writing *writing)
{
	struct wr swap = writing->plain;

	writing->plain = writing->other;
	writing->other = swap;
	writing->plain_split = writing->other_split;
}

/* E_NO_MEMORY. */
int derive_init(struct writing *writing);
void derive_release(struct writing *writing);
/* The next column that this one may follow from and that is not stored yet; -1: none. */
int derive_missing(const struct writing *writing, size_t ordinal);
/*
 * The column's chunk stands in writing->plain in encoding enc: try what foretells it, keep the shortest.
 * rows: of its values, in their order (NULL: all). Returns the encoding, or E_NO_MEMORY.
 */
int derive_ints(struct writing *writing, size_t ordinal, const uint64_t *ints, const uint32_t *rows, uint32_t count,
		int enc);
int derive_texts(struct writing *writing, size_t ordinal, int enc);

#endif
