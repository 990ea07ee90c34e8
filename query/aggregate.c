/*
 * Aggregation: workers share the row groups and gather tallies (tally.c), the sum of
 * which becomes the answer.
 */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "query/tally.h"
#include "query/tier.h"

#define TOP_DEFAULT 1000

struct aggregate {
	struct plan plan;
	struct agg_spec spec;
	const struct query_aggregate *what;
	struct tally all;
	/* With more than one worker, each has a tally of its own for a while. */
	unsigned workers;
	size_t worker_bytes;   /* one that takes more is added to all at once */
	struct tally *tallies; /* [worker] */
	struct lock lock;
};

/* ---- the answer ---- */

/* Seconds of the bucket that lie in the range. */
static double bucket_seconds(const struct aggregate *agg, uint64_t bucket_ns)
{
	const struct plan *plan = &agg->plan;
	uint64_t from = bucket_ns, to = bucket_ns + agg->what->step_ns;

	if (agg->what->step_ns == 0)
		to = plan->to_ns;
	if (from < plan->from_ns)
		from = plan->from_ns;
	if (to > plan->to_ns)
		to = plan->to_ns;
	/* Without a range, what the store holds is the range. */
	if (agg->what->step_ns == 0 && from == 0 && plan->stats->oldest_ns != UINT64_MAX)
		from = plan->stats->oldest_ns;
	if (to == UINT64_MAX)
		to = plan->stats->newest_ns;
	return to > from ? (double)(to - from) / (double)NS_PER_SEC : NAN;
}

static double value_of(const struct aggregate *agg, uint32_t group, size_t at)
{
	const struct agg *one = &agg->spec.aggs[at];
	const struct tally_cell *cell = &agg->all.cells[group * agg->spec.aggs_count + at];
	uint64_t bucket_ns = agg->all.groups.keys[group * agg->all.groups.words];
	const struct hist *hist;

	switch (one->kind) {
	case AGG_COUNT:
	case AGG_DISTINCT: return (double)cell->n;
	case AGG_SUM: return (double)cell->sum;
	case AGG_MIN:
	case AGG_MAX: return cell->n ? (double)cell->sum : NAN;
	case AGG_AVG:
	case AGG_ERROR_RATIO: return cell->n ? (double)cell->sum / (double)cell->n : NAN;
	case AGG_RATE: return (double)cell->n / bucket_seconds(agg, bucket_ns);
	case AGG_RATE_SUM: return (double)cell->sum / bucket_seconds(agg, bucket_ns);
	case AGG_QUANTILE:
		hist = agg->all.hists[group * agg->spec.hists_count + one->hist];
		return hist && hist_count(hist) ? hist_quantile(hist, one->q) : NAN;
	}
	return NAN;
}

struct ranked {
	uint64_t bucket_ns; /* beside the value: most comparisons end here, and groups lie far apart */
	double value; /* that orders; NaN comes last */
	uint32_t group;
};

static int by_cmp(const struct aggregate *agg, uint32_t a, uint32_t b, size_t at)
{
	const uint64_t *x = agg->all.groups.keys + a * agg->all.groups.words,
		       *y = agg->all.groups.keys + b * agg->all.groups.words;
	bool null_x = x[1] >> at & 1, null_y = y[1] >> at & 1;

	if (null_x || null_y)
		return (int)null_x - (int)null_y;
	if (types[agg->spec.bys[at]->type].phys == PHYS_BYTES)
		return view_cmp(agg->all.intern.texts[x[2 + at] - 1], agg->all.intern.texts[y[2 + at] - 1]);
	return (x[2 + at] > y[2 + at]) - (x[2 + at] < y[2 + at]);
}

static int ranked_cmp(const void *a, const void *b, void *arg)
{
	const struct aggregate *agg = arg;
	const struct ranked *x = a, *y = b;
	int order = 0;

	if (x->bucket_ns != y->bucket_ns)
		return x->bucket_ns < y->bucket_ns ? -1 : 1;
	if (agg->spec.order_by >= 0)
		order = by_cmp(agg, x->group, y->group, (size_t)agg->spec.order_by);
	else if (isnan(x->value) != isnan(y->value))
		return isnan(x->value) - isnan(y->value);
	else
		order = (x->value > y->value) - (x->value < y->value);
	if (agg->spec.descending)
		order = -order;
	for (size_t i = 0; order == 0 && i < agg->spec.bys_count; i++)
		order = by_cmp(agg, x->group, y->group, i);
	return order;
}

/* Groups of a bucket one behind the other, buckets ascending; false: too few a bucket, or no memory for it. */
static bool buckets_apart(const struct aggregate *agg, struct ranked *ranked, size_t count)
{
	uint64_t first = UINT64_MAX, last = 0, step_ns = agg->what->step_ns, buckets;
	struct ranked *sorted;
	uint32_t *ends;

	for (size_t i = 0; i < count; i++) {
		first = ranked[i].bucket_ns < first ? ranked[i].bucket_ns : first;
		last = ranked[i].bucket_ns > last ? ranked[i].bucket_ns : last;
	}
	buckets = step_ns ? (last - first) / step_ns : UINT64_MAX;
	if (buckets >= count / 2)
		return false;
	buckets++;
	ends = mem_array(buckets + 1, sizeof(*ends));
	sorted = mem_alloc(count * sizeof(*sorted));
	if (ends && sorted) {
		for (size_t i = 0; i < count; i++)
			ends[(ranked[i].bucket_ns - first) / step_ns + 1]++;
		for (size_t b = 1; b <= buckets; b++)
			ends[b] += ends[b - 1];
		for (size_t i = 0; i < count; i++)
			sorted[ends[(ranked[i].bucket_ns - first) / step_ns]++] = ranked[i];
		memcpy(ranked, sorted, count * sizeof(*ranked));
	}
	mem_free(sorted);
	mem_free(ends);
	return ends && sorted;
}

/* By bucket, then as asked: much is compared less when each bucket is sorted alone. */
static void ranked_sort(struct aggregate *agg, struct ranked *ranked, size_t count)
{
	size_t from = 0;

	if (!buckets_apart(agg, ranked, count)) {
		qsort_r(ranked, count, sizeof(*ranked), ranked_cmp, agg);
		return;
	}
	for (size_t i = 1; i <= count; i++)
		if (i == count || ranked[i].bucket_ns != ranked[from].bucket_ns) {
			qsort_r(ranked + from, i - from, sizeof(*ranked), ranked_cmp, agg);
			from = i;
		}
}

/* The text of one key column; at is NULL for null. */
static int key_text(const struct aggregate *agg, uint32_t group, size_t at, struct arena *arena,
		    void *row, struct wr *wr, struct view *ret_text, struct err *err)
{
	const uint64_t *key = agg->all.groups.keys + group * agg->all.groups.words;
	const struct col *col = agg->spec.bys[at];
	struct view bytes = { 0 };

	*ret_text = view_make(NULL, 0);
	if (key[1] >> at & 1)
		return 0;
	if (types[col->type].phys == PHYS_BYTES)
		bytes = agg->all.intern.texts[key[2 + at] - 1];
	if (row_put(col, row, key[2 + at], bytes) < 0)
		return err_set(err, E_CORRUPT, "column %s: an address of %zu bytes", col->key,
			       bytes.len);
	wr_reset(wr);
	query_value_text(col, row, false, wr);
	*ret_text = arena_copy(arena, wr_view(wr));
	return wr->bad || !ret_text->at ? err_set(err, E_NO_MEMORY, "out of memory") : 0;
}

static int group_write(const struct aggregate *agg, const struct ranked *ranked, struct arena *arena, void *row,
		       struct wr *wr, struct query_group *ret_group, struct err *err)
{
	uint32_t group = ranked->group;
	struct view *keys = arena_array(arena, agg->spec.bys_count + 1, sizeof(*keys));
	double *values = arena_array(arena, agg->spec.aggs_count, sizeof(*values));

	if (!keys || !values)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < agg->spec.bys_count; i++) {
		int rc = key_text(agg, group, i, arena, row, wr, &keys[i], err);

		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < agg->spec.aggs_count; i++)
		values[i] = agg->spec.order_agg == (int)i ? ranked->value : value_of(agg, group, i);
	*ret_group =
		(struct query_group){ agg->all.groups.keys[group * agg->all.groups.words], keys, values };
	return 0;
}

static int names_write(const struct aggregate *agg, struct arena *arena,
		       struct query_groups *groups)
{
	groups->keys_count = agg->spec.bys_count;
	groups->values_count = agg->spec.aggs_count;
	groups->key_names = arena_array(arena, groups->keys_count + 1, sizeof(*groups->key_names));
	groups->value_names =
		arena_array(arena, groups->values_count + 1, sizeof(*groups->value_names));
	groups->value_units =
		arena_array(arena, groups->values_count + 1, sizeof(*groups->value_units));
	if (!groups->key_names || !groups->value_names || !groups->value_units)
		return E_NO_MEMORY;
	for (size_t i = 0; i < groups->keys_count; i++)
		groups->key_names[i] = agg->spec.bys[i]->key;
	for (size_t i = 0; i < groups->values_count; i++) {
		groups->value_names[i] = agg->spec.aggs[i].name;
		groups->value_units[i] = agg->spec.aggs[i].unit;
	}
	return 0;
}

static int answer_write(struct aggregate *agg, struct arena *arena, struct query_groups *groups,
			struct err *err)
{
	uint64_t top = agg->what->top ? agg->what->top : TOP_DEFAULT, in_bucket = 0;
	struct ranked *ranked = mem_array(agg->all.groups.count + 1, sizeof(*ranked));
	void *row = arena_zalloc(arena, agg->spec.table->row_bytes);
	struct wr wr;
	int rc = ranked && row ? names_write(agg, arena, groups) : E_NO_MEMORY;

	wr_init(&wr, 0);
	groups->groups = arena_array(arena, agg->all.groups.count + 1, sizeof(*groups->groups));
	if (!groups->groups)
		rc = E_NO_MEMORY;
	if (rc < 0)
		(void)err_set(err, rc, "out of memory");
	for (size_t i = 0; rc == 0 && i < agg->all.groups.count; i++)
		ranked[i] = (struct ranked){
			.bucket_ns = agg->all.groups.keys[i * agg->all.groups.words],
			.value = agg->spec.order_agg < 0 ? 0 : value_of(agg, (uint32_t)i, (size_t)agg->spec.order_agg),
			.group = (uint32_t)i,
		};
	if (rc == 0 && agg->all.groups.count > 1)
		ranked_sort(agg, ranked, agg->all.groups.count);
	for (size_t i = 0; rc == 0 && i < agg->all.groups.count; i++) {
		if (i && ranked[i].bucket_ns != ranked[i - 1].bucket_ns)
			in_bucket = 0;
		if (in_bucket++ >= top) {
			agg->plan.stats->truncated = true;
			continue;
		}
		rc = group_write(agg, &ranked[i], arena, row, &wr,
				 &groups->groups[groups->count], err);
		groups->count += rc == 0;
	}
	wr_release(&wr);
	mem_free(ranked);
	return rc;
}

/* ---- the run ---- */

/* A conversation that both ends recorded counts once, unless the question is about the ends. */
static bool names_side(const struct aggregate *agg)
{
	const struct table *table = agg->plan.table;

	for (size_t i = 0; i < agg->spec.bys_count; i++)
		if (agg->spec.bys[i]->ordinal == FLOW_view || agg->spec.bys[i]->ordinal == FLOW_vantage)
			return true;
	return filter_uses(agg->plan.filters[0], &table->cols[FLOW_view]) ||
	       filter_uses(agg->plan.filters[0], &table->cols[FLOW_vantage]);
}

static void wanted_mark(struct aggregate *agg)
{
	const struct agg_spec *spec = &agg->spec;
	uint64_t *wanted = agg->plan.wanted;

	for (size_t i = 0; i < spec->bys_count; i++)
		row_mark(wanted, spec->bys[i]->ordinal);
	for (size_t i = 0; i < spec->aggs_count; i++)
		if (spec->aggs[i].col)
			row_mark(wanted, spec->aggs[i].col->ordinal);
	if (agg->what->step_ns)
		row_mark(wanted, (size_t)spec->table->start_ord);
}

static int aggregate_begin(struct aggregate *agg, struct arena *arena, uint32_t *ret_tier,
			   struct err *err)
{
	const struct table *table = agg->plan.table;
	int rc = agg_parse(table, agg->what, arena, &agg->spec, err);

	if (rc < 0)
		return rc;
	if (table->id == TABLE_FLOWS && !names_side(agg))
		rc = plan_add_filter(&agg->plan, VIEW_LIT("view == first"), err);
	else if (table->id == TABLE_ROLLUPS)
		rc = tier_choose(&agg->plan, agg->what->step_ns, arena, ret_tier, err);
	if (rc < 0)
		return rc;
	wanted_mark(agg);
	tally_init(&agg->all, &agg->plan, &agg->spec, agg->what->step_ns);
	agg->workers = scan_workers(&agg->plan);
	if (agg->workers < 2)
		return 0;
	agg->worker_bytes = agg->plan.budget.memory / 2 / agg->workers;
	agg->tallies = mem_array(agg->workers, sizeof(*agg->tallies));
	return agg->tallies ? 0 : err_set(err, E_NO_MEMORY, "out of memory");
}

static int all_merge(struct aggregate *agg, struct tally *tally, struct err *err)
{
	int rc;

	lock_take(&agg->lock);
	rc = tally_merge(&agg->all, tally, err);
	lock_drop(&agg->lock);
	return rc;
}

static int worker_add(void *arg, unsigned worker, struct scan *scan, struct err *err)
{
	struct aggregate *agg = arg;
	struct tally *tally = agg->tallies ? &agg->tallies[worker] : &agg->all;
	int rc;

	if (!tally->plan)
		tally_init(tally, &agg->plan, &agg->spec, agg->what->step_ns);
	rc = tally_add(tally, scan, err);
	if (rc == 0 && tally != &agg->all && tally_bytes(tally) > agg->worker_bytes)
		rc = all_merge(agg, tally, err);
	return rc;
}

static int workers_merge(struct aggregate *agg, struct err *err)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && agg->tallies && i < agg->workers; i++)
		if (agg->tallies[i].plan)
			rc = all_merge(agg, &agg->tallies[i], err);
	return rc;
}

static void aggregate_free(struct aggregate *agg)
{
	for (unsigned i = 0; agg->tallies && i < agg->workers; i++)
		if (agg->tallies[i].plan)
			tally_release(&agg->tallies[i]);
	mem_free(agg->tallies);
	if (agg->all.plan)
		tally_release(&agg->all);
	lock_release(&agg->lock);
	plan_release(&agg->plan);
	mem_free(agg);
}

int query_aggregate(struct store *store, const struct query_opts *opts,
		    const struct query_aggregate *what, struct arena *arena,
		    struct query_groups *ret_groups, struct query_stats *ret_stats, struct err *err)
{
	struct aggregate *agg;
	struct query_groups groups = { 0 };
	struct query_stats stats;
	int rc;

	if (!table_get(what->table) || what->table == TABLE_PACKETS)
		return err_set(err, E_UNSUPPORTED,
			       "only flows, calls, events, entities and rollups can be aggregated");
	agg = mem_zalloc(sizeof(*agg));
	if (!agg)
		return err_set(err, E_NO_MEMORY, "out of memory");
	agg->what = what;
	lock_init(&agg->lock);
	/* A bucket of a rollup lies in the range or it does not. */
	rc = plan_init(&agg->plan, store, opts, what->table,
		       what->starts_within || what->table == TABLE_ROLLUPS, &stats, err);
	if (rc == 0)
		rc = aggregate_begin(agg, arena, &groups.tier, err);
	if (rc == 0)
		rc = scan_share(&agg->plan, agg->workers, worker_add, agg, err);
	if (rc == 0)
		rc = workers_merge(agg, err);
	if (rc == 0)
		rc = plan_finish(&agg->plan, arena, err);
	if (rc == 0)
		rc = answer_write(agg, arena, &groups, err);
	if (rc == 0) {
		*ret_groups = groups;
		*ret_stats = stats;
	}
	aggregate_free(agg);
	return rc;
}
