/*
 * The row groups of a scan shared among threads. Hours are gathered until there is
 * work for all; then each worker takes the next row group, until none is left.
 */
#include "base/crew.h"
#include "base/mem.h"
#include "query/scan.h"

/* Few enough that hot partitions are let go of in time, enough that nobody waits for long at the end. */
#define GROUPS_AT_A_TIME 128

struct worker {
	struct plan plan;
	struct query_stats stats;
	struct scan scan;
};

struct share {
	struct plan *plan;
	struct scan *scan;	/* the walk; its view serves all */
	int (*fn)(void *arg, unsigned worker, struct scan *scan, struct err *err);
	void *arg;
	struct lock view_lock;
	struct plan_spent spent;
	struct worker **workers;	/* made by whoever is it, when he first takes a step */
	struct lock lock;
	int rc;				/* guarded by lock, as are: */
	struct err err;
	size_t failed;			/* the first step that did; SIZE_MAX: none */
};

unsigned scan_workers(const struct plan *plan)
{
	return crew_workers(plan->opts->crew);
}

static struct worker *worker_new(const struct share *share)
{
	struct worker *worker = mem_zalloc(sizeof(*worker));

	if (!worker)
		return NULL;
	worker->plan = *share->plan;
	worker->plan.stats = &worker->stats;
	arena_init(&worker->plan.scratch, worker->plan.budget.memory);
	worker->plan.scratch.keep_bytes = PLAN_SCRATCH_KEPT;
	worker->scan.plan = &worker->plan;
	worker->scan.view = share->scan->view;
	worker->scan.view_lock = share->scan->view_lock;
	return worker;
}

static void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	arena_release(&worker->plan.scratch);
	mem_free(worker);
}

static void stats_add(struct query_stats *stats, const struct query_stats *more)
{
	stats->row_groups_skipped_bloom += more->row_groups_skipped_bloom;
	stats->bytes_skipped_bloom += more->bytes_skipped_bloom;
	stats->row_groups_read += more->row_groups_read;
	stats->rows_scanned += more->rows_scanned;
	stats->rows_matched += more->rows_matched;
	stats->bytes_read += more->bytes_read;
	stats->bytes_stored += more->bytes_stored;
	stats->damaged_row_groups += more->damaged_row_groups;
}

/* Steps begin in order, so all before the first that failed were done. */
static bool given_up(struct share *share, size_t step)
{
	bool up;

	lock_take(&share->lock);
	up = share->failed < step;
	lock_drop(&share->lock);
	return up;
}

static void give_up(struct share *share, size_t step, int rc, const struct err *why)
{
	lock_take(&share->lock);
	if (step < share->failed) {
		share->failed = step;
		share->rc = rc;
		share->err = *why;
	}
	lock_drop(&share->lock);
}

static void share_step(void *arg, unsigned number, size_t step)
{
	struct share *share = arg;
	struct worker **worker = &share->workers[number];
	struct err why = { 0 };
	int rc = 0;

	if (given_up(share, step))
		return;
	if (!*worker)
		*worker = worker_new(share);
	if (!*worker)
		rc = err_set(&why, E_NO_MEMORY, "out of memory");
	else
		rc = scan_visit(&(*worker)->scan, &share->scan->groups[step], number, share->fn, share->arg, &why);
	if (rc < 0)
		give_up(share, step, rc, &why);
}

static int share_all(struct share *share, unsigned workers, struct err *err)
{
	struct scan *scan = share->scan;
	int rc = scan_open(scan, share->plan, false, err);

	scan->view_lock = workers > 1 ? &share->view_lock : NULL;
	while (rc >= 0 && (rc = scan_hours(scan, GROUPS_AT_A_TIME, err)) == 1) {
		crew_run(share->plan->opts->crew, workers, share_step, share, scan->groups_count);
		if (share->rc < 0) {
			rc = share->rc;
			if (err)
				*err = share->err;
		}
	}
	scan_close(scan);
	return rc < 0 ? rc : 0;
}

int scan_share(struct plan *plan, unsigned workers,
	       int (*fn)(void *arg, unsigned worker, struct scan *scan, struct err *err), void *arg, struct err *err)
{
	struct share share = { .plan = plan, .fn = fn, .arg = arg, .failed = SIZE_MAX };
	int rc = E_NO_MEMORY;

	share.workers = mem_array(workers, sizeof(struct worker *));
	share.scan = mem_alloc(sizeof(*share.scan));
	lock_init(&share.view_lock);
	lock_init(&share.lock);
	plan->spent = &share.spent;
	if (share.workers && share.scan)
		rc = share_all(&share, workers, err);
	else
		(void)err_set(err, rc, "out of memory");
	for (unsigned i = 0; share.workers && i < workers; i++) {
		if (share.workers[i])
			stats_add(plan->stats, &share.workers[i]->stats);
		worker_free(share.workers[i]);
	}
	if (rc == 0) /* the row group that went beyond may have been the last one */
		rc = plan_check_spent(plan, err);
	plan->spent = NULL;
	lock_release(&share.lock);
	lock_release(&share.view_lock);
	mem_free(share.scan);
	mem_free(share.workers);
	return rc;
}
