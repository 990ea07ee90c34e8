#include "base/lock.h"

#include <assert.h>
#include <errno.h>

#include "base/clock.h"

void lock_init(struct lock *lock)
{
	int rc = pthread_mutex_init(&lock->mutex, NULL);

	assert(rc == 0);
	lock->held = false;
}

void lock_release(struct lock *lock)
{
	int rc = pthread_mutex_destroy(&lock->mutex);

	assert(rc == 0);
}

static void lock_mine(struct lock *lock)
{
	lock->holder = pthread_self();
	lock->held = true;
}

void lock_take(struct lock *lock)
{
	int rc = pthread_mutex_lock(&lock->mutex);

	assert(rc == 0);
	lock_mine(lock);
}

void lock_drop(struct lock *lock)
{
	int rc;

	lock_assert_held(lock);
	lock->held = false;
	rc = pthread_mutex_unlock(&lock->mutex);
	assert(rc == 0);
}

void lock_assert_held(const struct lock *lock)
{
	assert(lock->held && pthread_equal(lock->holder, pthread_self()));
}

void cond_init(struct cond *cond)
{
	pthread_condattr_t attr;
	int rc;

	/* Timeouts must not jump with the wall clock. */
	rc = pthread_condattr_init(&attr);
	assert(rc == 0);
	rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	assert(rc == 0);
	rc = pthread_cond_init(&cond->cond, &attr);
	assert(rc == 0);
	(void)pthread_condattr_destroy(&attr);
}

void cond_release(struct cond *cond)
{
	int rc = pthread_cond_destroy(&cond->cond);

	assert(rc == 0);
}

bool cond_wait(struct cond *cond, struct lock *lock, uint64_t timeout_ns)
{
	int rc;

	lock_assert_held(lock);
	lock->held = false;
	if (timeout_ns == 0) {
		rc = pthread_cond_wait(&cond->cond, &lock->mutex);
	} else {
		uint64_t until_ns = clock_mono_ns();
		struct timespec until;

		if (__builtin_add_overflow(until_ns, timeout_ns, &until_ns) || until_ns > INT64_MAX)
			until_ns = INT64_MAX;
		until.tv_sec = (time_t)(until_ns / NS_PER_SEC);
		until.tv_nsec = (long)(until_ns % NS_PER_SEC);
		rc = pthread_cond_timedwait(&cond->cond, &lock->mutex, &until);
	}
	lock_mine(lock);
	assert(rc == 0 || rc == ETIMEDOUT);
	return rc == 0;
}

void cond_wake_all(struct cond *cond)
{
	(void)pthread_cond_broadcast(&cond->cond);
}

void cond_wake_one(struct cond *cond)
{
	(void)pthread_cond_signal(&cond->cond);
}
