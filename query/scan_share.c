/*
 * The row groups of a scan shared among threads. Hours are gathered until there is
 * work for all; then each worker takes the next row group, until none is left.
 */
#include "base/crew.h"
#include "base/mem.h"
#include "query/scan.h"

/* Few enough that hot partitions are let go of in time, enough that nobody waits for long at the end. */
#define GROUPS_AT_A_TIME 128

struct share {
	struct plan *plan;
	struct scan *scan;	/* the walk; its view serves all */
	int (*fn)(void *arg, unsigned worker, struct scan *scan, struct err *err);
	void *arg;
	struct lock view_lock;
	struct plan_spent spent;
	struct scan_worker **workers;	/* made by whoever is it, when he first takes a step */
	struct lock lock;
	int rc;				/* guarded by lock, as are: */
	struct err err;
	size_t failed;			/* the first step that did; SIZE_MAX: none */
};

unsigned scan_workers(const struct plan *plan)
{
	return crew_workers(plan->opts->crew);
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
	struct scan_worker **worker = &share->workers[number];
	struct err why = { 0 };
	int rc = 0;

	if (given_up(share, step))
		return;
	if (!*worker)
		*worker = scan_worker_new(share->plan, share->scan);
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

	share.workers = mem_array(workers, sizeof(struct scan_worker *));
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
			scan_stats_take(plan->stats, &share.workers[i]->stats);
		scan_worker_free(share.workers[i]);
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
