#include "query/plan.h"

#include "base/clock.h"

#define BUDGET_ROWS    200000000ull
#define BUDGET_BYTES   (16ull << 30)
#define BUDGET_TIME_NS (30 * NS_PER_SEC)
#define BUDGET_MEMORY  ((size_t)512 << 20)

int plan_init(struct plan *plan, struct store *store, const struct query_opts *opts,
	      enum table_id table, bool starts_within, struct query_stats *stats, struct err *err)
{
	*plan = (struct plan){
		.store = store,
		.opts = opts,
		.table = table_get(table),
		.from_ns = opts->from_ns,
		.to_ns = opts->to_ns ? opts->to_ns : UINT64_MAX,
		.starts_within = starts_within,
		.start_to_ns = UINT64_MAX,
		.budget = opts->budget,
		.began_ns = clock_mono_ns(),
		.stats = stats,
	};
	*stats = (struct query_stats){ .oldest_ns = UINT64_MAX };
	if (!plan->budget.rows)
		plan->budget.rows = BUDGET_ROWS;
	if (!plan->budget.bytes)
		plan->budget.bytes = BUDGET_BYTES;
	if (!plan->budget.time_ns)
		plan->budget.time_ns = BUDGET_TIME_NS;
	if (!plan->budget.memory)
		plan->budget.memory = BUDGET_MEMORY;
	arena_init(&plan->scratch, plan->budget.memory);
	plan->scratch.keep_bytes = PLAN_SCRATCH_KEPT;
	if (plan->from_ns > plan->to_ns)
		return err_set(err, E_RANGE, "the range ends before it begins");
	plan_narrow(plan, starts_within || plan->table->end_ord < 0 ? plan->from_ns : 0,
		    plan->to_ns);
	return plan_add_filter(plan, opts->filter, err);
}

void plan_release(struct plan *plan)
{
	for (size_t i = 0; i < plan->filters_count; i++)
		filter_free(plan->filters[i]);
	plan->filters_count = 0;
	arena_release(&plan->scratch);
}

void plan_narrow(struct plan *plan, uint64_t from_ns, uint64_t to_ns)
{
	if (from_ns > plan->start_from_ns)
		plan->start_from_ns = from_ns;
	if (to_ns < plan->start_to_ns)
		plan->start_to_ns = to_ns;
}

int plan_add_filter(struct plan *plan, struct view text, struct err *err)
{
	struct filter *filter;
	uint64_t from_ns, to_ns;
	int rc;

	if (plan->filters_count == PLAN_FILTERS_MAX)
		return err_set(err, E_INTERNAL, "more than %d filters in one query",
			       PLAN_FILTERS_MAX);
	rc = filter_new(plan->table, text, clock_now_ns(), &filter, err);
	if (rc < 0)
		return rc;
	plan->filters[plan->filters_count++] = filter;
	filter_start_range(filter, &from_ns, &to_ns);
	plan_narrow(plan, from_ns, to_ns);
	return 0;
}

int plan_fits(const struct query_opts *opts, enum table_id table, struct err *why)
{
	struct filter *filter;
	struct err one = { 0 };
	int rc = filter_new(table_get(table), opts->filter, clock_now_ns(), &filter, &one);

	if (rc == 0) {
		filter_free(filter);
		return 1;
	}
	if (rc == E_NO_MEMORY)
		return rc;
	if (!why->code)
		*why = one;
	return 0;
}

int plan_check_spent(const struct plan *plan, struct err *err)
{
	uint64_t rows = plan->spent ? atomic_load(&plan->spent->rows) : plan->stats->rows_scanned;
	uint64_t bytes = plan->spent ? atomic_load(&plan->spent->bytes) : plan->stats->bytes_read;
	const struct query_budget *budget = &plan->budget;

	if (rows > budget->rows)
		return err_set(
			err, E_BUDGET,
			"scanned %llu rows, the budget is %llu: narrow the range or the filter",
			(unsigned long long)rows, (unsigned long long)budget->rows);
	if (bytes > budget->bytes)
		return err_set(
			err, E_BUDGET,
			"decoded %llu bytes, the budget is %llu: narrow the range or the filter",
			(unsigned long long)bytes, (unsigned long long)budget->bytes);
	return 0;
}

int plan_check(const struct plan *plan, struct err *err)
{
	const struct query_budget *budget = &plan->budget;
	int rc;

	if (plan->opts->cancel && atomic_load_explicit(plan->opts->cancel, memory_order_relaxed))
		return err_set(err, E_CANCELLED, "the query was cancelled");
	rc = plan_check_spent(plan, err);
	if (rc < 0)
		return rc;
	if (clock_mono_ns() - plan->began_ns > budget->time_ns)
		return err_set(
			err, E_TIMEOUT,
			"took longer than %llu ms after %llu rows: narrow the range or the filter",
			(unsigned long long)(budget->time_ns / NS_PER_MS),
			(unsigned long long)(plan->spent ? atomic_load(&plan->spent->rows)
							 : plan->stats->rows_scanned));
	return 0;
}

int plan_no_memory(const struct plan *plan, struct err *err)
{
	return err_set(err, E_BUDGET,
		       "needs more than the %zu MiB of memory a query may have: narrow the range, "
		       "ask for fewer rows or groups",
		       plan->budget.memory >> 20);
}

int plan_finish(struct plan *plan, struct arena *arena, struct err *err)
{
	struct query_stats *stats = plan->stats;
	struct store_horizon horizon;
	int rc = store_horizon(plan->store, &horizon, err);

	if (rc < 0)
		return rc;
	stats->oldest_ns = horizon.oldest_ns[plan->table->id];
	stats->newest_ns = horizon.newest_ns;
	rc = store_gaps(plan->store, plan->from_ns, plan->to_ns, arena, &stats->gaps,
			&stats->gaps_count, err);
	stats->took_ns = clock_mono_ns() - plan->began_ns;
	return rc;
}
