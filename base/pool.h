/*
 * A few threads that share the steps of one job at a time: fn(arg, 0) to
 * fn(arg, count - 1), begun in that order. The owner goes on meanwhile, and helps when
 * he waits; so a pool without threads is one, too.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

struct pool;

/* As many threads as could be started, at most count. NULL: out of memory. */
struct pool *pool_new(unsigned count);
void pool_free(struct pool *pool);	/* takes NULL; waits for the job */
/* Begin a job. The one before must have been waited for. arg belongs to the job until then. */
void pool_start(struct pool *pool, void (*fn)(void *arg, size_t step), void *arg, size_t count);
/* Do what nobody has begun, then wait for the others. Without a job it returns at once. */
void pool_wait(struct pool *pool);

#endif
