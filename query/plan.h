/*
 * What every operator needs to run: the range, the filters, the budgets and the
 * answer's completeness. One query, one thread; scan_share() gives each of several a
 * copy with stats and scratch of its own.
 */
#ifndef QUERY_PLAN_H
#define QUERY_PLAN_H

#include "query/filter.h"
#include "query/query.h"

#define PLAN_FILTERS_MAX 4
#define PLAN_SCRATCH_KEPT ((size_t)32 << 20)	/* a few decoded columns: fresh pages cost more than decoding into them */

/* What several workers of one query have spent together. */
struct plan_spent {
	_Atomic uint64_t rows, bytes;
};

struct plan {
	struct store *store;
	const struct query_opts *opts;
	const struct table *table;
	struct filter *filters[PLAN_FILTERS_MAX];	/* owned; all must hold */
	size_t filters_count;
	uint64_t from_ns, to_ns;		/* as asked */
	bool starts_within;			/* rows that start in the range; else rows that overlap it */
	uint64_t start_from_ns, start_to_ns;	/* bounds of start_ns that follow from all that */
	struct query_budget budget;		/* defaults filled in */
	uint64_t began_ns, checked_rows;
	struct query_stats *stats;
	struct plan_spent *spent;		/* of all workers; NULL: the stats tell */
	struct arena scratch;			/* reset with every row group */
	uint64_t wanted[SCHEMA_HAS_WORDS];	/* columns that the operator decodes of every row group with a match */
};

/* Compiles opts->filter. E_RANGE when the range ends before it begins. Release in any case. */
int plan_init(struct plan *plan, struct store *store, const struct query_opts *opts, enum table_id table,
	      bool starts_within, struct query_stats *stats, struct err *err);
void plan_release(struct plan *plan);
/* One more condition, in the filter language. */
int plan_add_filter(struct plan *plan, struct view text, struct err *err);
/*
 * Does the filter fit the columns of this table? 1, or 0 with the reason in why (the first one is kept), or E_NO_MEMORY.
 * For questions to several tables at once.
 */
int plan_fits(const struct query_opts *opts, enum table_id table, struct err *why);
/* Narrow start_ns further. */
void plan_narrow(struct plan *plan, uint64_t from_ns, uint64_t to_ns);
/* Budget, time and cancellation; often enough that an answer to `stop` takes no longer than a row group. */
int plan_check(const struct plan *plan, struct err *err);
/* Only what was scanned and decoded, whoever did it: the same verdict at the end of a scan however it was shared. */
int plan_check_spent(const struct plan *plan, struct err *err);
/* The arena's memory was out: was it the query's budget? */
int plan_no_memory(const struct plan *plan, struct err *err);
/* Horizon, gaps in the range and time taken; arena outlives the stats. */
int plan_finish(struct plan *plan, struct arena *arena, struct err *err);

#endif
