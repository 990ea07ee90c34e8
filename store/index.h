/*
 * Indexes of a sealed partition: for each INDEX_BITMAP column a posting list of
 * row groups per value, for each INDEX_BLOOM column a filter per row group.
 * FORMAT.md, "Index".
 */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include "store/bitmap.h"
#include "store/part.h"

/* Distinct values of a column and partition; a column with more is not indexed there, and scanned. */
#define INDEX_VALUES_MAX (1u << 20)

struct index_builder;		/* of one table, while it is sealed */

struct index_builder *index_builder_new(const struct table *table);	/* NULL: out of memory */
void index_builder_free(struct index_builder *builder);
/* Read the values of row group number group back out of its stored form; its filters go into batch at once. */
int index_add_group(struct index_builder *builder, const struct rg *rg, uint32_t group, struct kv_batch *batch,
		    struct err *err);
/* Write the posting lists. Tables in ascending order. */
int index_write(struct index_builder *builder, struct kv_batch *batch, struct err *err);

/* As store_index_lookup and friends (store.h), on a transaction of the partition. */
int index_lookup(struct kv_txn *txn, enum table_id table, const struct col *col, struct view value,
		 struct bitmap **ret_bitmap, struct err *err);
int index_values(struct kv_txn *txn, enum table_id table, const struct col *col,
		 bool (*fn)(struct view value, void *arg), void *arg, struct err *err);
int index_may_have(struct kv_txn *txn, enum table_id table, uint32_t group, const struct col *col,
		   struct view value, struct err *err);
void index_want(struct kv_txn *txn, enum table_id table, uint32_t group, const struct col *col, struct view value,
		bool bits);

#endif
