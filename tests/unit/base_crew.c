#include "tests/check.h"

#include <stdatomic.h>

#include "base/crew.h"
#include "base/lock.h"

#define STEPS	1000
#define WORKERS 4

struct job {
	atomic_uint seen[STEPS];
	atomic_bool busy[WORKERS];
	atomic_uint clashes, strangers;
	unsigned workers_max;
};

static void job_step(void *arg, unsigned worker, size_t step)
{
	struct job *job = arg;

	if (worker >= job->workers_max)
		atomic_fetch_add(&job->strangers, 1);
	else if (atomic_exchange(&job->busy[worker], true))
		atomic_fetch_add(&job->clashes, 1);
	atomic_fetch_add(&job->seen[step], 1);
	if (worker < job->workers_max)
		atomic_store(&job->busy[worker], false);
}

static void job_check(struct job *job, unsigned times)
{
	for (size_t i = 0; i < STEPS; i++)
		CHECK_EQ(atomic_load(&job->seen[i]), times);
	CHECK_EQ(atomic_load(&job->clashes), 0u);
	CHECK_EQ(atomic_load(&job->strangers), 0u);
}

TEST(crew, does_every_step_once)
{
	static struct job job;

	job.workers_max = WORKERS;
	CHECK_EQ(crew_workers(NULL), 1u);
	CHECK_GE(crew_cores(), 1u);
	crew_run(NULL, WORKERS, job_step, &job, STEPS);
	job_check(&job, 1);
	for (unsigned helpers = 0; helpers < WORKERS; helpers++) {
		struct crew *crew = crew_new(helpers);

		CHECK(crew != NULL);
		CHECK_EQ(crew_workers(crew), helpers + 1);
		for (unsigned round = 1; round <= 20; round++) {
			crew_run(crew, WORKERS, job_step, &job, STEPS);
			job_check(&job, 1 + helpers * 20 + round);
		}
		crew_run(crew, WORKERS, job_step, &job, 0);
		crew_free(crew);
	}
}

struct owner {
	struct crew *crew;
	struct job job;
};

static void *owner_run(void *arg)
{
	struct owner *owner = arg;

	for (int round = 0; round < 20; round++)
		crew_run(owner->crew, owner->job.workers_max, job_step, &owner->job, STEPS);
	return NULL;
}

/* More jobs than helpers: each gets done, and none has more workers than it has room for. */
TEST(crew, helps_several_owners)
{
	static struct owner owners[4];
	struct crew *crew = crew_new(2);
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++) {
		owners[i].crew = crew;
		owners[i].job.workers_max = 1 + i % 3;
		CHECK_EQ(pthread_create(&threads[i], NULL, owner_run, &owners[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
		job_check(&owners[i].job, 20);
	}
	crew_free(crew);
}

static void wait_for_other(void *arg, unsigned worker, size_t step)
{
	atomic_uint *arrived = arg;

	(void)worker;
	(void)step;
	atomic_fetch_add(arrived, 1);
	while (atomic_load(arrived) < 2)
		;
}

/* Two steps that wait for each other can only end when two threads are at them. */
TEST(crew, works_at_the_same_time)
{
	struct crew *crew = crew_new(1);
	atomic_uint arrived = 0;

	crew_run(crew, 2, wait_for_other, &arrived, 2);
	CHECK_EQ(atomic_load(&arrived), 2u);
	crew_free(crew);
}

TEST(crew, takes_no_memory_that_is_not_there)
{
	for (uint64_t nth = 1; nth <= 2; nth++) {
		mem_fail_nth(nth);
		CHECK(crew_new(2) == NULL);
	}
}
