/*
 * The filter language: one boolean expression over the columns of one table.
 * docs/filter.md is its reference.
 *
 * There is no third truth value. A comparison with an absent (null) value is
 * false, and `!=` is the negation of `==`: so `status != 200` keeps the rows
 * without a status, and `not (a)` is always the rest of `a`.
 */
#ifndef QUERY_FILTER_H
#define QUERY_FILTER_H

#include "query/columns.h"
#include "store/store.h"

#define FILTER_TEXT_MAX (64u << 10)
#define FILTER_DEPTH_MAX 64	/* parentheses and negations within each other */
#define FILTER_NODES_MAX 2000
#define FILTER_SET_MAX 10000	/* values of one set */

struct filter;	/* once made, any number of threads may ask it */

/*
 * Empty text matches everything. now_ns is what `now` and `-15m` mean beside a
 * column of time. E_SYNTAX, E_UNKNOWN_NAME (with the nearest names), E_TYPE, E_RANGE, E_LIMIT, E_FORMAT; each
 * with err->position, the byte of the text where it went wrong.
 */
int filter_new(const struct table *table, struct view text, uint64_t now_ns, struct filter **ret_filter,
	       struct err *err);
void filter_free(struct filter *filter);	/* takes NULL */

/* Does it look at this column at all? */
bool filter_uses(const struct filter *filter, const struct col *col);
/* True for the empty filter. */
bool filter_is_all(const struct filter *filter);
/* Only rows with start_ns in [from, to) can match; 0 and UINT64_MAX when it says nothing about it. */
void filter_start_range(const struct filter *filter, uint64_t *ret_from_ns, uint64_t *ret_to_ns);
/* Only rows whose INT column is one of at most cap values can match: true, and the values, ascending. */
bool filter_ids(const struct filter *filter, const struct col *col, uint64_t *ids, size_t cap, size_t *ret_count);

/*
 * Clear the bits of rows that do not match: bits has columns_words() words and
 * says which rows are still of interest. E_CORRUPT, E_NO_MEMORY, E_BUDGET (a regular expression).
 */
int filter_eval(const struct filter *filter, struct columns *columns, uint64_t *bits, struct err *err);
/* One row struct: 1, 0, or E_BUDGET. For rows that were never stored by column (packets). */
int filter_row(const struct filter *filter, const void *row, struct err *err);

/*
 * Row groups of a partition that can hold a match, by its indexes. *ret_bitmap
 * (the caller frees it) is NULL when the indexes cannot tell.
 */
int filter_row_groups(const struct filter *filter, struct store_view *view, size_t part, enum table_id table,
		      struct bitmap **ret_bitmap, struct err *err);
/* 0 when the bloom filters of this row group rule a match out. */
int filter_bloom(const struct filter *filter, struct store_view *view, size_t part, enum table_id table,
		 size_t rg, struct err *err);
/* filter_bloom will be asked about this row group: have what it reads read by then. First all heads, then all bits. */
void filter_bloom_want(const struct filter *filter, struct store_view *view, size_t part, enum table_id table, size_t rg,
		       bool bits);

#endif
