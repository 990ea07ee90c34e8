#include "base/crew.h"

#include <sched.h>

#include "base/lock.h"
#include "base/mem.h"

struct job {	/* on its owner's stack; all guarded by the crew's lock */
	struct job *next;
	void (*fn)(void *arg, unsigned worker, size_t step);
	void *arg;
	size_t step, count;
	unsigned workers, workers_max;	/* numbers given out */
	unsigned helping;		/* helpers that are at it */
};

struct crew {
	struct lock lock;
	struct cond work;	/* a job came, or stop */
	struct cond done;	/* a helper left a job */
	struct job *jobs;	/* guarded by lock; oldest first */
	pthread_t *threads;
	unsigned threads_count;	/* guarded by lock */
	unsigned threads_max;
	bool stop;		/* guarded by lock */
};

/* Steps of one job until none is left. Called and left with the lock held. */
static void job_work(struct crew *crew, struct job *job, unsigned worker)
{
	lock_assert_held(&crew->lock);
	while (job->step < job->count) {
		size_t step = job->step++;

		lock_drop(&crew->lock);
		job->fn(job->arg, worker, step);
		lock_take(&crew->lock);
	}
}

static struct job *job_wanting(const struct crew *crew)
{
	struct job *job = crew->jobs;

	while (job && (job->step == job->count || job->workers == job->workers_max))
		job = job->next;
	return job;
}

static void *crew_thread(void *arg)
{
	struct crew *crew = arg;

	(void)pthread_setname_np(pthread_self(), "tapedeck-crew");
	lock_take(&crew->lock);
	while (!crew->stop) {
		struct job *job = job_wanting(crew);

		if (!job) {
			(void)cond_wait(&crew->work, &crew->lock, 0);
			continue;
		}
		job->helping++;
		job_work(crew, job, job->workers++);
		job->helping--;
		cond_wake_all(&crew->done);
	}
	lock_drop(&crew->lock);
	return NULL;
}

unsigned crew_cores(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return count > 0 ? (unsigned)count : 1;
}

struct crew *crew_new(unsigned helpers)
{
	struct crew *crew = mem_zalloc(sizeof(*crew));

	if (!crew)
		return NULL;
	crew->threads = mem_array(helpers ? helpers : 1, sizeof(*crew->threads));
	if (!crew->threads) {
		mem_free(crew);
		return NULL;
	}
	crew->threads_max = helpers;
	lock_init(&crew->lock);
	cond_init(&crew->work);
	cond_init(&crew->done);
	return crew;
}

void crew_free(struct crew *crew)
{
	if (!crew)
		return;
	lock_take(&crew->lock);
	crew->stop = true;
	cond_wake_all(&crew->work);
	lock_drop(&crew->lock);
	for (unsigned i = 0; i < crew->threads_count; i++)
		(void)pthread_join(crew->threads[i], NULL);
	cond_release(&crew->done);
	cond_release(&crew->work);
	lock_release(&crew->lock);
	mem_free(crew->threads);
	mem_free(crew);
}

unsigned crew_workers(const struct crew *crew)
{
	return crew ? crew->threads_max + 1 : 1;
}

/* A thread that cannot be started is a helper less, no more. */
static void threads_start(struct crew *crew)
{
	lock_assert_held(&crew->lock);
	while (crew->threads_count < crew->threads_max &&
	       pthread_create(&crew->threads[crew->threads_count], NULL, crew_thread, crew) == 0)
		crew->threads_count++;
}

void crew_run(struct crew *crew, unsigned workers_max, void (*fn)(void *arg, unsigned worker, size_t step), void *arg,
	      size_t count)
{
	struct job job = { .fn = fn, .arg = arg, .count = count, .workers = 1, .workers_max = workers_max };
	struct job **at;

	if (!crew || crew->threads_max == 0 || workers_max < 2 || count < 2) {
		for (size_t step = 0; step < count; step++)
			fn(arg, 0, step);
		return;
	}
	lock_take(&crew->lock);
	threads_start(crew);
	for (at = &crew->jobs; *at; at = &(*at)->next)
		;
	*at = &job;
	cond_wake_all(&crew->work);
	job_work(crew, &job, 0);
	for (at = &crew->jobs; *at != &job; at = &(*at)->next)
		;
	*at = job.next;
	while (job.helping)
		(void)cond_wait(&crew->done, &crew->lock, 0);
	lock_drop(&crew->lock);
}
