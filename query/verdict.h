/* Derived columns: what the numbers of a flow's report mean. Never stored; query/verdict.def lists them. */
#ifndef QUERY_VERDICT_H
#define QUERY_VERDICT_H

#include "query/columns.h"

/* The derived column of the rows of the group that are looked at (columns->only), from the arena of columns. E_CORRUPT, E_NO_MEMORY. */
int verdict_ints(struct columns *columns, const struct col *col, struct rg_ints *ret_ints, struct err *err);
/* All of them of one row, whatever they were before: of several reports added up. */
void verdict_row(struct flow_row *row);

#endif
