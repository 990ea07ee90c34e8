/*
 * The walk over the row groups of one table, an hour of partitions at a time:
 * what indexes and zones rule out is not opened, what remains is decoded and
 * filtered into a bit a row. Hot and sealed partitions alike.
 */
#ifndef QUERY_SCAN_H
#define QUERY_SCAN_H

#include "base/lock.h"
#include "query/plan.h"

struct scan_group {
	uint32_t part, rg;	/* in the view */
	struct rg_zone zone;
};

struct scan {
	struct plan *plan;
	struct store_view *view;
	struct lock *view_lock;	/* NULL: nobody else uses the view */
	bool descending;
	size_t part_from, part_to;	/* not visited yet */
	uint64_t renewed_ns;

	/* the hour at hand: later row groups last, or first when descending */
	struct scan_group *groups;
	size_t groups_count, groups_cap;

	uint64_t seen[SCHEMA_HAS_WORDS];	/* columns decoded of the last row group: those of the next one, too */

	/* the row group at hand; all in plan->scratch */
	struct rg rg;
	struct columns columns;
	uint64_t *bits;		/* rows that match */
	uint32_t matched;
};

int scan_open(struct scan *scan, struct plan *plan, bool descending, struct err *err);
void scan_close(struct scan *scan);
/* 1: groups[] hold the next hour that may have something; 0: no more. */
int scan_hour(struct scan *scan, struct err *err);
/* The same of as many hours as it takes to have groups_min row groups, an hour's behind another's. */
int scan_hours(struct scan *scan, size_t groups_min, struct err *err);
/* 1: some rows match, columns and bits say which; 0: none, or it is damaged (counted). */
int scan_group(struct scan *scan, const struct scan_group *group, struct err *err);
/* scan_group, and fn with what matches; see scan_share. */
int scan_visit(struct scan *scan, const struct scan_group *group, unsigned worker,
	       int (*fn)(void *arg, unsigned worker, struct scan *scan, struct err *err), void *arg, struct err *err);
/* Open a group once more, unfiltered, to read columns from it. E_CORRUPT. */
int scan_reopen(struct scan *scan, const struct scan_group *group, struct err *err);

/* Add what was decoded since the last time to the stats; who decodes columns of a group at hand does it. */
void scan_count(struct scan *scan);

/* A thread at the row groups of a walk: its view, but stats and scratch memory of its own. */
struct scan_worker {
	struct plan plan;
	struct query_stats stats;
	struct scan scan;
};
struct scan_worker *scan_worker_new(const struct plan *plan, const struct scan *walk);	/* NULL: out of memory */
void scan_worker_free(struct scan_worker *worker);	/* takes NULL */
/* Add what a worker has counted to the stats of the query; it begins anew. */
void scan_stats_take(struct query_stats *stats, struct query_stats *from);

/*
 * Steps that several threads do ahead of time and one takes in order, as if it did them itself, one after the other: what
 * lies behind an end, an error or a used up budget was done for nothing and counts for nothing.
 */
struct scan_step {
	struct query_stats stats;
	struct err err;
	int rc;
};
struct scan_ahead {
	struct plan *plan;
	const struct scan *walk;
	struct scan_worker **workers;	/* [workers_count], made when first needed */
	unsigned workers_count;
	struct lock view_lock;		/* of the walk while there is more than one worker */
};
/* walk is borrowed, and open. E_NO_MEMORY. Release in any case. */
int scan_ahead_init(struct scan_ahead *ahead, struct plan *plan, struct scan *walk, struct err *err);
void scan_ahead_release(struct scan_ahead *ahead);
/* fn(arg, worker's number, its scan, i, err) for each i below count; steps[i] tells how it went. */
void scan_ahead_run(struct scan_ahead *ahead, int (*fn)(void *arg, unsigned worker, struct scan *scan, size_t i,
							struct err *err),
		    void *arg, size_t count, struct scan_step *steps);
/* The turn of a step has come: budgets, its stats, its result. */
int scan_ahead_take(struct scan_ahead *ahead, struct scan_step *step, struct err *err);

/* How many can be at scan_share: the crew of the query and its own thread. */
unsigned scan_workers(const struct plan *plan);
/*
 * Call fn for every row group with matches, from several threads at a time: worker, below workers, says which, and its
 * scan has stats and scratch memory of its own. fn as below. Of several errors the one of the first row
 * group is told. E_BUDGET is exact: rows and bytes of all together, whoever read them.
 */
int scan_share(struct plan *plan, unsigned workers,
	       int (*fn)(void *arg, unsigned worker, struct scan *scan, struct err *err), void *arg, struct err *err);
/*
 * Call fn for every row group with matches, in no order that matters.
 * fn returns <0 to end with that, E_CORRUPT to have the group counted as damaged.
 */
int scan_each(struct plan *plan, int (*fn)(void *arg, struct scan *scan, struct err *err), void *arg,
	      struct err *err);

#define SCAN_EACH_BIT(bits, words, row)								\
	for (size_t word_ = 0; word_ < (words); word_++)					\
		for (uint64_t left_ = (bits)[word_];						\
		     left_ && ((row) = (uint32_t)(64 * word_ + (size_t)__builtin_ctzll(left_)), 1);	\
		     left_ &= left_ - 1)

#endif
