/*
 * What a worker has gathered of an aggregation: its groups, and a cell for each
 * aggregate in each group. Everything in it is added up in whole numbers, so the
 * sum of several is the same in whatever order and by however many it was
 * gathered. One thread at a time.
 */
#ifndef QUERY_TALLY_H
#define QUERY_TALLY_H

#include "query/agg.h"
#include "query/group.h"
#include "query/scan.h"

struct tally_cell {		/* of one aggregate in one group */
	uint64_t n, sum;	/* sum: also least, greatest, failed */
};

struct tally {
	const struct plan *plan;	/* range and budget; of whoever owns the tally */
	const struct agg_spec *spec;
	uint64_t step_ns;
	bool counts_only;		/* no columns at all: count and rate of everything that matches */

	struct groups groups;		/* key: bucket, bits of null columns, then a word a column */
	struct intern intern;
	struct arena texts;
	struct seen seen;
	struct tally_cell *cells;	/* [group * aggs_count] */
	struct hist **hists;		/* [group * hists_count], in pool: buckets, but not always the sum of all values */
	struct hist_pool *pool;
	uint32_t *lasts;		/* [group], all 0 between two uses; with hists only */
	struct hist_sum *sum;		/* of one group in one row group */
	size_t room;			/* groups that these have room for */
	size_t hists_made, hists_limit;

	/* of the row group at hand, in its scratch arena */
	uint32_t *rows;			/* that match */
	uint32_t *group_of;		/* same index */
	uint32_t count;
};

/* plan and spec are borrowed. Release in any case. */
void tally_init(struct tally *tally, const struct plan *plan, const struct agg_spec *spec, uint64_t step_ns);
void tally_release(struct tally *tally);
/* The matching rows of the row group at hand. E_BUDGET, E_CORRUPT (nothing of it was added), E_NO_MEMORY. */
int tally_add(struct tally *tally, struct scan *scan, struct err *err);
/* Add what `from` has, of the same plan and spec, and leave it empty. E_BUDGET as if all had come here at once. */
int tally_merge(struct tally *tally, struct tally *from, struct err *err);
/* Memory in use, about. */
size_t tally_bytes(const struct tally *tally);

#endif
