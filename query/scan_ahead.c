#include "base/crew.h"
#include "base/mem.h"
#include "query/scan.h"

struct scan_worker *scan_worker_new(const struct plan *plan, const struct scan *walk)
{
	struct scan_worker *worker = mem_zalloc(sizeof(*worker));

	if (!worker)
		return NULL;
	worker->plan = *plan;
	worker->plan.stats = &worker->stats;
	arena_init(&worker->plan.scratch, worker->plan.budget.memory);
	worker->plan.scratch.keep_bytes = PLAN_SCRATCH_KEPT;
	worker->scan.plan = &worker->plan;
	worker->scan.view = walk->view;
	worker->scan.view_lock = walk->view_lock;
	return worker;
}

void scan_worker_free(struct scan_worker *worker)
{
	if (!worker)
		return;
	arena_release(&worker->plan.scratch);
	mem_free(worker);
}

void scan_stats_take(struct query_stats *stats, struct query_stats *from)
{
	stats->row_groups_skipped_bloom += from->row_groups_skipped_bloom;
	stats->bytes_skipped_bloom += from->bytes_skipped_bloom;
	stats->row_groups_read += from->row_groups_read;
	stats->rows_scanned += from->rows_scanned;
	stats->rows_matched += from->rows_matched;
	stats->bytes_read += from->bytes_read;
	stats->bytes_stored += from->bytes_stored;
	stats->damaged_row_groups += from->damaged_row_groups;
	*from = (struct query_stats){ 0 };
}

/* ---- ahead of time ---- */

struct run {
	struct scan_ahead *ahead;
	int (*fn)(void *arg, unsigned worker, struct scan *scan, size_t i, struct err *err);
	void *arg;
	struct scan_step *steps;
};

static void run_step(void *arg, unsigned number, size_t i)
{
	struct run *run = arg;
	struct scan_worker **worker = &run->ahead->workers[number];
	struct scan_step *step = &run->steps[i];

	*step = (struct scan_step){ .rc = 0 };
	if (!*worker)
		*worker = scan_worker_new(run->ahead->plan, run->ahead->walk);
	if (!*worker) {
		step->rc = err_set(&step->err, E_NO_MEMORY, "out of memory");
		return;
	}
	step->rc = run->fn(run->arg, number, &(*worker)->scan, i, &step->err);
	scan_stats_take(&step->stats, &(*worker)->stats);
}

int scan_ahead_init(struct scan_ahead *ahead, struct plan *plan, struct scan *walk, struct err *err)
{
	*ahead = (struct scan_ahead){ .plan = plan, .walk = walk, .workers_count = scan_workers(plan) };
	lock_init(&ahead->view_lock);
	ahead->workers = mem_array(ahead->workers_count, sizeof(struct scan_worker *));
	if (!ahead->workers)
		return err_set(err, E_NO_MEMORY, "out of memory");
	if (ahead->workers_count > 1)
		walk->view_lock = &ahead->view_lock;
	return 0;
}

void scan_ahead_release(struct scan_ahead *ahead)
{
	if (!ahead->plan)
		return;
	for (unsigned i = 0; ahead->workers && i < ahead->workers_count; i++)
		scan_worker_free(ahead->workers[i]);
	mem_free(ahead->workers);
	lock_release(&ahead->view_lock);
	*ahead = (struct scan_ahead){ .plan = NULL };
}

void scan_ahead_run(struct scan_ahead *ahead, int (*fn)(void *arg, unsigned worker, struct scan *scan, size_t i,
							struct err *err),
		    void *arg, size_t count, struct scan_step *steps)
{
	struct run run = { ahead, fn, arg, steps };

	crew_run(ahead->plan->opts->crew, ahead->workers_count, run_step, &run, count);
}

int scan_ahead_take(struct scan_ahead *ahead, struct scan_step *step, struct err *err)
{
	int rc = plan_check(ahead->plan, err);

	if (rc < 0)
		return rc;
	scan_stats_take(ahead->plan->stats, &step->stats);
	if (step->rc < 0 && err)
		*err = step->err;
	return step->rc;
}
