/* A mutex that knows who holds it, so that "called with the lock held" can be asserted. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
	pthread_mutex_t mutex;
	pthread_t holder;	/* valid while held */
	bool held;
};

void lock_init(struct lock *lock);
void lock_release(struct lock *lock);	/* end of life */
void lock_take(struct lock *lock);
void lock_drop(struct lock *lock);
void lock_assert_held(const struct lock *lock);

/* Wait with the lock held; false on timeout. timeout_ns 0 waits for ever. */
struct cond {
	pthread_cond_t cond;
};
void cond_init(struct cond *cond);
void cond_release(struct cond *cond);
bool cond_wait(struct cond *cond, struct lock *lock, uint64_t timeout_ns);
void cond_wake_all(struct cond *cond);
void cond_wake_one(struct cond *cond);

#endif
