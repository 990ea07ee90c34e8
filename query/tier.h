/* Which rollup rows answer a range exactly. */
#ifndef QUERY_TIER_H
#define QUERY_TIER_H

#include "query/plan.h"

/*
 * Each tier holds the same traffic once more: adds a filter that takes every
 * instant from one tier only, the coarsest that divides step_ns (0: one bucket)
 * and whose rows are complete there. *ret_tier in seconds; 0 when the query's
 * filter names the tier itself, and nothing was added.
 */
int tier_choose(struct plan *plan, uint64_t step_ns, struct arena *arena, uint32_t *ret_tier, struct err *err);

#endif
