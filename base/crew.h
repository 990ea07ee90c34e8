/*
 * Threads that help whoever has a job of many steps. Jobs of several owners may be at
 * hand at a time; the number of helpers bounds what they cost together. Each owner works
 * at his own job, so one whose helpers are all busy elsewhere gets on, too.
 */
#ifndef BASE_CREW_H
#define BASE_CREW_H

#include <stddef.h>

struct crew;

/* Processors this process may run on, at least 1. */
unsigned crew_cores(void);
/* Threads begin with the first job that can use one. NULL: out of memory. */
struct crew *crew_new(unsigned helpers);
void crew_free(struct crew *crew);	/* takes NULL; no job may be at hand */
/* How many can be at one job: the owner and all helpers. 1 for NULL. */
unsigned crew_workers(const struct crew *crew);
/*
 * fn(arg, worker, 0) to fn(arg, worker, count - 1), begun in that order; returns when all are done. worker is below
 * workers_max and never at two steps at once; the owner is worker 0. NULL: the owner does it all.
 */
void crew_run(struct crew *crew, unsigned workers_max, void (*fn)(void *arg, unsigned worker, size_t step), void *arg,
	      size_t count);

#endif
