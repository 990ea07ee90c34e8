#include "base/pool.h"

#include "base/lock.h"
#include "base/mem.h"

struct pool {
	pthread_t *threads;
	unsigned threads_count;
	struct lock lock;
	struct cond work;	/* a step to take, or stop */
	struct cond done;	/* the last step is done */
	void (*fn)(void *arg, size_t step);	/* all below guarded by lock */
	void *arg;
	size_t next, count;
	size_t running;		/* steps that somebody is at */
	bool stop;
};

/* Take a step and do it; false when none is left. Called and left with the lock held. */
static bool pool_step(struct pool *pool)
{
	size_t step;

	lock_assert_held(&pool->lock);
	if (pool->next == pool->count)
		return false;
	step = pool->next++;
	pool->running++;
	lock_drop(&pool->lock);
	pool->fn(pool->arg, step);
	lock_take(&pool->lock);
	pool->running--;
	if (!pool->running && pool->next == pool->count)
		cond_wake_all(&pool->done);
	return true;
}

static void *pool_run(void *arg)
{
	struct pool *pool = arg;

	(void)pthread_setname_np(pthread_self(), "tapedeck-pool");
	lock_take(&pool->lock);
	while (!pool->stop)
		if (!pool_step(pool))
			(void)cond_wait(&pool->work, &pool->lock, 0);
	lock_drop(&pool->lock);
	return NULL;
}

struct pool *pool_new(unsigned count)
{
	struct pool *pool = mem_zalloc(sizeof(*pool));

	if (!pool)
		return NULL;
	pool->threads = mem_array(count ? count : 1, sizeof(*pool->threads));
	if (!pool->threads) {
		mem_free(pool);
		return NULL;
	}
	lock_init(&pool->lock);
	cond_init(&pool->work);
	cond_init(&pool->done);
	while (pool->threads_count < count &&
	       pthread_create(&pool->threads[pool->threads_count], NULL, pool_run, pool) == 0)
		pool->threads_count++;
	return pool;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	pool_wait(pool);
	lock_take(&pool->lock);
	pool->stop = true;
	cond_wake_all(&pool->work);
	lock_drop(&pool->lock);
	for (unsigned i = 0; i < pool->threads_count; i++)
		(void)pthread_join(pool->threads[i], NULL);
	cond_release(&pool->done);
	cond_release(&pool->work);
	lock_release(&pool->lock);
	mem_free(pool->threads);
	mem_free(pool);
}

void pool_start(struct pool *pool, void (*fn)(void *arg, size_t step), void *arg, size_t count)
{
	pool_wait(pool);
	lock_take(&pool->lock);
	pool->fn = fn;
	pool->arg = arg;
	pool->next = 0;
	pool->count = count;
	cond_wake_all(&pool->work);
	lock_drop(&pool->lock);
}

void pool_wait(struct pool *pool)
{
	lock_take(&pool->lock);
	while (pool_step(pool))
		;
	while (pool->running)
		(void)cond_wait(&pool->done, &pool->lock, 0);
	lock_drop(&pool->lock);
}
