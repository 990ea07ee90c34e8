/* Rows in order of time out of row groups in any order. For the operators of query/. */
#ifndef QUERY_ROWS_H
#define QUERY_ROWS_H

#include "query/cursor.h"
#include "query/scan.h"

struct rows_want {
	const uint16_t *fields;		/* NULL = all */
	size_t fields_count;
	bool ascending;
	uint64_t limit;			/* UINT64_MAX: none */
	bool resume;			/* go on behind cursor */
	struct cursor cursor;
};

/*
 * Hand the rows of a plan to row() until limit or false. *ret_more: there are
 * more, and cursor_next is the last one handed out. E_BUDGET when nothing
 * could be handed out before a budget was used up; else that counts as more.
 */
int rows_run(struct plan *plan, const struct rows_want *want,
	     bool (*row)(void *arg, const struct table *table, const void *row), void *arg, bool *ret_more,
	     struct cursor *ret_next, struct err *err);

/* PACKETS, for query_rows: from the packet log. */
int rows_packets(struct plan *plan, const struct rows_want *want,
		 bool (*row)(void *arg, const struct table *table, const void *row), void *arg, bool *ret_more,
		 struct cursor *ret_next, struct err *err);

/* Copy the wanted columns of some rows of one row group (scan_reopen'ed by this) into row structs. */
struct rows_pick {
	uint32_t row;		/* in the row group */
	void *to;		/* a zeroed row struct */
};
int rows_fill(struct scan *scan, const struct scan_group *group, const uint16_t *fields, size_t fields_count,
	      const struct rows_pick *picks, size_t count, struct arena *texts, struct err *err);

#endif
