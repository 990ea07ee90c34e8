#include "base/queue.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/lock.h"
#include "tests/check.h"

static char items[8];

TEST(queue, keeps_order_and_limit)
{
	struct queue *queue = queue_new(3);

	CHECK_NULL(queue_get(queue, 0));
	for (int round = 0; round < 5; round++) {
		CHECK(queue_try_put(queue, &items[0]));
		CHECK(queue_put(queue, &items[1]));
		CHECK(queue_try_put(queue, &items[2]));
		CHECK_NOT(queue_try_put(queue, &items[3]));
		CHECK_U64(queue_len(queue), 3);
		CHECK(queue_get(queue, 0) == &items[0]);
		CHECK(queue_get(queue, 0) == &items[1]);
		CHECK(queue_get(queue, UINT64_MAX) == &items[2]);
	}
	queue_free(queue);
	queue_free(NULL);
}

TEST(queue, gives_what_was_put_in_front_first)
{
	struct queue *queue = queue_new(3);

	for (int round = 0; round < 5; round++) {
		CHECK(queue_put(queue, &items[0]));
		CHECK(queue_put_front(queue, &items[1]));
		CHECK(queue_put_front(queue, &items[2]));
		CHECK_NOT(queue_put_front(queue, &items[3]));
		CHECK(queue_get(queue, 0) == &items[2]);
		CHECK(queue_get(queue, 0) == &items[1]);
		CHECK(queue_get(queue, 0) == &items[0]);
	}
	CHECK(queue_put(queue, &items[0]));
	queue_close(queue);
	CHECK_NOT(queue_put_front(queue, &items[1]));
	CHECK(queue_get(queue, 0) == &items[0]);
	queue_free(queue);
}

TEST(queue, timeout_passes)
{
	struct queue *queue = queue_new(1);
	uint64_t before = clock_mono_ns();

	CHECK_NULL(queue_get(queue, 2 * NS_PER_MS));
	CHECK(clock_mono_ns() - before >= 2 * NS_PER_MS);
	queue_free(queue);
}

TEST(queue, closed_gives_what_is_inside_then_nothing)
{
	struct queue *queue = queue_new(2);

	CHECK(queue_put(queue, &items[0]));
	CHECK_NOT(queue_closed(queue));
	queue_close(queue);
	CHECK(queue_closed(queue));
	CHECK_NOT(queue_put(queue, &items[1]));
	CHECK_NOT(queue_try_put(queue, &items[1]));
	CHECK(queue_get(queue, UINT64_MAX) == &items[0]);
	CHECK_NULL(queue_get(queue, UINT64_MAX));
	queue_free(queue);
}

TEST(queue, new_survives_failing_memory)
{
	for (uint64_t n = 1; n <= 2; n++) {
		mem_fail_nth(n);
		CHECK_NULL(queue_new(10));
	}
}

#define PER_THREAD	20000
#define THREADS		3

struct crowd {
	struct queue *queue;
	struct lock lock;
	uint64_t sum;		/* guarded by lock */
	uint64_t count;		/* guarded by lock */
};

static void *produce(void *arg)
{
	struct crowd *crowd = arg;

	for (uintptr_t i = 1; i <= PER_THREAD; i++) {
		/* Both ways in, so that both are raced. */
		if (i % 2 || !queue_try_put(crowd->queue, (void *)i))
			CHECK(queue_put(crowd->queue, (void *)i));
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t sum = 0, count = 0;
	void *item;

	while ((item = queue_get(crowd->queue, UINT64_MAX))) {
		sum += (uintptr_t)item;
		count++;
	}
	lock_take(&crowd->lock);
	crowd->sum += sum;
	crowd->count += count;
	lock_drop(&crowd->lock);
	return NULL;
}

TEST(queue, nothing_is_lost_between_threads)
{
	pthread_t producers[THREADS], consumers[THREADS];
	struct crowd crowd = { .queue = queue_new(16) };

	lock_init(&crowd.lock);
	for (int i = 0; i < THREADS; i++) {
		CHECK_EQ(pthread_create(&consumers[i], NULL, consume, &crowd), 0);
		CHECK_EQ(pthread_create(&producers[i], NULL, produce, &crowd), 0);
	}
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(producers[i], NULL);
	queue_close(crowd.queue);
	for (int i = 0; i < THREADS; i++)
		(void)pthread_join(consumers[i], NULL);
	CHECK_U64(crowd.count, THREADS * PER_THREAD);
	CHECK_U64(crowd.sum, (uint64_t)THREADS * PER_THREAD * (PER_THREAD + 1) / 2);
	lock_release(&crowd.lock);
	queue_free(crowd.queue);
}

static void *put_until_closed(void *arg)
{
	struct queue *queue = arg;
	uintptr_t put = 0;

	while (queue_put(queue, &items[0]))
		put++;
	return (void *)put;
}

TEST(queue, close_wakes_who_waits_to_put)
{
	struct queue *queue = queue_new(1);
	pthread_t thread;
	void *put;

	CHECK_EQ(pthread_create(&thread, NULL, put_until_closed, queue), 0);
	CHECK(queue_get(queue, UINT64_MAX) == &items[0]);
	queue_close(queue);
	CHECK_EQ(pthread_join(thread, &put), 0);
	CHECK((uintptr_t)put >= 1 && (uintptr_t)put <= 2);
	queue_free(queue);
}

TEST(lock, cond_times_out_with_the_lock_held)
{
	struct lock lock;
	struct cond cond;

	lock_init(&lock);
	cond_init(&cond);
	lock_take(&lock);
	lock_assert_held(&lock);
	CHECK_NOT(cond_wait(&cond, &lock, NS_PER_MS));
	lock_assert_held(&lock);
	lock_drop(&lock);
	cond_release(&cond);
	lock_release(&lock);
}
