#include "store/sealer.h"

#include <assert.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"

struct sealer {
	struct seal_opts opts;
	bool inline_;
	bool running;			/* the thread was made */
	pthread_t thread;
	struct lock lock;
	struct cond cond;		/* something of the below changed */
	struct hot **queue;		/* guarded by lock; oldest first */
	size_t queue_count, queue_cap;	/* guarded by lock */
	struct hot **failed;		/* guarded by lock */
	size_t failed_count, failed_cap;	/* guarded by lock */
	struct err failure;		/* guarded by lock; of the last failed one */
	uint64_t retain_ns;		/* guarded by lock; 0: nothing asked */
	bool busy, stop;		/* guarded by lock */
};

static void seal_one(struct sealer *sealer, struct hot *hot)
{
	struct err err = { 0 };
	int rc = seal_part(&sealer->opts, hot, &err);

	if (rc == 0) {
		hot_free(hot);
		return;
	}
	log_warn("partition not sealed, it stays hot error=\"%s\"", err.text);
	lock_take(&sealer->lock);
	sealer->failure = err;
	if (mem_grow((void **)&sealer->failed, &sealer->failed_cap, sealer->failed_count, sizeof(hot)) == 0) {
		sealer->failed[sealer->failed_count++] = hot;
		hot = NULL;
	}
	lock_drop(&sealer->lock);
	hot_free(hot);	/* no memory to remember it: the next start finds it in the catalog */
}

static void retain(struct sealer *sealer, uint64_t now_ns)
{
	struct err err = { 0 };

	if (store_retention_apply(sealer->opts.dir, now_ns, NULL, NULL, &err) < 0)
		log_warn("retention failed error=\"%s\"", err.text);
}

static void *sealer_run(void *arg)
{
	struct sealer *sealer = arg;

	(void)pthread_setname_np(pthread_self(), "tapedeck-seal");
	lock_take(&sealer->lock);
	while (!sealer->stop) {
		struct hot *hot = NULL;
		uint64_t retain_ns = 0;

		if (sealer->retain_ns) {	/* first: sealing needs the space */
			retain_ns = sealer->retain_ns;
			sealer->retain_ns = 0;
		} else if (sealer->queue_count) {
			hot = sealer->queue[0];
			sealer->queue_count--;
			memmove(sealer->queue, sealer->queue + 1, sealer->queue_count * sizeof(*sealer->queue));
		} else {
			(void)cond_wait(&sealer->cond, &sealer->lock, 0);
			continue;
		}
		sealer->busy = true;
		lock_drop(&sealer->lock);
		if (hot)
			seal_one(sealer, hot);
		else
			retain(sealer, retain_ns);
		lock_take(&sealer->lock);
		sealer->busy = false;
		cond_wake_all(&sealer->cond);
	}
	lock_drop(&sealer->lock);
	return NULL;
}

int sealer_new(const struct seal_opts *opts, bool inline_, struct sealer **ret_sealer, struct err *err)
{
	struct sealer *sealer = mem_zalloc(sizeof(*sealer));
	int failed;

	if (!sealer)
		return err_set(err, E_NO_MEMORY, "out of memory");
	sealer->opts = *opts;
	sealer->inline_ = inline_;
	lock_init(&sealer->lock);
	cond_init(&sealer->cond);
	failed = inline_ ? 0 : pthread_create(&sealer->thread, NULL, sealer_run, sealer);
	sealer->running = !inline_ && !failed;
	if (failed) {
		sealer_free(sealer);
		return err_errno(err, failed, "the seal thread did not start");
	}
	*ret_sealer = sealer;
	return 0;
}

void sealer_free(struct sealer *sealer)
{
	if (!sealer)
		return;
	lock_take(&sealer->lock);
	sealer->stop = true;
	cond_wake_all(&sealer->cond);
	lock_drop(&sealer->lock);
	if (sealer->running)
		(void)pthread_join(sealer->thread, NULL);
	for (size_t i = 0; i < sealer->queue_count; i++)
		hot_free(sealer->queue[i]);
	for (size_t i = 0; i < sealer->failed_count; i++)
		hot_free(sealer->failed[i]);
	mem_free(sealer->queue);
	mem_free(sealer->failed);
	cond_release(&sealer->cond);
	lock_release(&sealer->lock);
	mem_free(sealer);
}

void sealer_put(struct sealer *sealer, struct hot *hot, size_t limit)
{
	bool queued = false;

	if (!sealer->inline_) {
		lock_take(&sealer->lock);
		while (sealer->queue_count > limit)
			(void)cond_wait(&sealer->cond, &sealer->lock, 0);
		if (mem_grow((void **)&sealer->queue, &sealer->queue_cap, sealer->queue_count, sizeof(hot)) == 0) {
			sealer->queue[sealer->queue_count++] = hot;
			queued = true;
			cond_wake_all(&sealer->cond);
		}
		lock_drop(&sealer->lock);
	}
	if (!queued)
		seal_one(sealer, hot);
}

void sealer_retain(struct sealer *sealer, uint64_t now_ns)
{
	if (sealer->inline_) {
		retain(sealer, now_ns);
		return;
	}
	lock_take(&sealer->lock);
	sealer->retain_ns = now_ns;
	cond_wake_all(&sealer->cond);
	lock_drop(&sealer->lock);
}

void sealer_wait(struct sealer *sealer)
{
	lock_take(&sealer->lock);
	while (sealer->queue_count || sealer->busy || sealer->retain_ns)
		(void)cond_wait(&sealer->cond, &sealer->lock, 0);
	lock_drop(&sealer->lock);
}

bool sealer_idle(struct sealer *sealer)
{
	bool idle;

	lock_take(&sealer->lock);
	idle = !sealer->queue_count && !sealer->busy && !sealer->retain_ns;
	lock_drop(&sealer->lock);
	return idle;
}

struct hot *sealer_take_failed(struct sealer *sealer, struct err *err)
{
	struct hot *hot = NULL;

	lock_take(&sealer->lock);
	if (sealer->failed_count) {
		hot = sealer->failed[--sealer->failed_count];
		(void)err_set(err, sealer->failure.code, "%s", sealer->failure.text);
	}
	lock_drop(&sealer->lock);
	return hot;
}
