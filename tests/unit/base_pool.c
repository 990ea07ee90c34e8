#include "tests/check.h"

#include <stdatomic.h>

#include "base/pool.h"

#define STEPS 1000

struct tally {
	atomic_uint seen[STEPS];
};

static void count_step(void *arg, size_t step)
{
	struct tally *tally = arg;

	atomic_fetch_add(&tally->seen[step], 1);
}

/* Every step is done once, by the time the wait returns, whatever the number of threads. */
TEST(pool, does_every_step_once)
{
	static struct tally tally;

	for (unsigned threads = 0; threads < 4; threads++) {
		struct pool *pool = pool_new(threads);

		CHECK(pool != NULL);
		pool_wait(pool);
		for (unsigned round = 1; round <= 20; round++) {
			pool_start(pool, count_step, &tally, STEPS);
			pool_wait(pool);
			for (size_t i = 0; i < STEPS; i++)
				CHECK_EQ(atomic_load(&tally.seen[i]), threads * 20 + round);
		}
		pool_free(pool);
	}
}

TEST(pool, free_waits_for_the_job)
{
	static struct tally tally;
	struct pool *pool = pool_new(2);

	pool_start(pool, count_step, &tally, STEPS);
	pool_free(pool);
	for (size_t i = 0; i < STEPS; i++)
		CHECK_EQ(atomic_load(&tally.seen[i]), 1u);
}

TEST(pool, takes_no_memory_that_is_not_there)
{
	for (uint64_t nth = 1; nth <= 2; nth++) {
		mem_fail_nth(nth);
		CHECK(pool_new(2) == NULL);
	}
}
