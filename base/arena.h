/*
 * A bump allocator for everything that lives as long as one batch or request,
 * with a byte budget. Not thread-safe: one arena, one thread at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/view.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;
	size_t used_bytes;	/* handed out since the last reset */
	size_t budget_bytes;	/* 0 = no limit */
	size_t keep_bytes;	/* a reset keeps chunks of so much for the next round; 0 = one small one */
	struct arena_chunk *spare;	/* those kept, while nobody needs them */
};

/* All memory is zeroed by nobody: use arena_zalloc where that matters. */
void arena_init(struct arena *arena, size_t budget_bytes);
void arena_release(struct arena *arena);
/* Forget everything, keep one chunk for the next round, or more: see keep_bytes. */
void arena_reset(struct arena *arena);

/* NULL when memory or budget is out. 16-byte aligned. */
void *arena_alloc(struct arena *arena, size_t bytes);
void *arena_zalloc(struct arena *arena, size_t bytes);
void *arena_array(struct arena *arena, size_t count, size_t bytes_each);	/* zeroed */
/* Copy; a NUL is put behind the bytes, not counted. at is NULL on failure. */
struct view arena_copy(struct arena *arena, struct view bytes);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
