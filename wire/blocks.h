/*
 * Memory of a few sizes, four a doubling, under one budget: blocks given back are kept
 * for the next one of their size, so a running recorder stops calling the allocator.
 * One thread. When the budget is out, kept blocks of other sizes are freed first.
 */
#ifndef WIRE_BLOCKS_H
#define WIRE_BLOCKS_H

#include <stddef.h>

struct block_pool;

struct block_pool *block_pool_new(size_t bytes_max);	/* NULL: out of memory */
void block_pool_free(struct block_pool *pool);		/* every block must be back; takes NULL */

/* Not zeroed, 16-byte aligned. NULL when the budget or memory is out. */
void *block_take(struct block_pool *pool, size_t bytes);
void block_give(struct block_pool *pool, void *block);	/* takes NULL */
/* No more is to come: what is kept, and what comes back from now on, goes to the system. */
void block_pool_wind_up(struct block_pool *pool);
/* Usable bytes: what was asked for, or more. */
size_t block_room(const void *block);
/* Bytes of all blocks that are out. */
size_t block_pool_used(const struct block_pool *pool);

#endif
