#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

#define ARENA_ALIGN	16
#define CHUNK_BYTES_MIN	((size_t)16 << 10)
#define CHUNK_BYTES_MAX	((size_t)1 << 20)

/* The head of the list is the chunk we hand out from; the others are full or of one block. */
struct arena_chunk {
	struct arena_chunk *next;
	size_t cap;
	size_t used;
	_Alignas(ARENA_ALIGN) uint8_t bytes[];
};

static void chunks_free(struct arena_chunk *chunk)
{
	while (chunk) {
		struct arena_chunk *next = chunk->next;

		mem_free(chunk);
		chunk = next;
	}
}

void arena_init(struct arena *arena, size_t budget_bytes)
{
	*arena = (struct arena){ .budget_bytes = budget_bytes };
}

void arena_release(struct arena *arena)
{
	chunks_free(arena->chunks);
	chunks_free(arena->spare);
	arena->chunks = NULL;
	arena->spare = NULL;
	arena->used_bytes = 0;
}

/* All chunks become spare ones, as far as keep_bytes goes. */
static void chunks_keep(struct arena *arena)
{
	struct arena_chunk *chunk = arena->chunks;
	size_t kept = 0;

	for (struct arena_chunk *spare = arena->spare; spare; spare = spare->next)
		kept += spare->cap;
	while (chunk) {
		struct arena_chunk *next = chunk->next;

		if (chunk->cap <= arena->keep_bytes && kept <= arena->keep_bytes - chunk->cap) {
			kept += chunk->cap;
			chunk->next = arena->spare;
			arena->spare = chunk;
		} else {
			mem_free(chunk);
		}
		chunk = next;
	}
	arena->chunks = NULL;
}

/* A spare chunk of that size or a little more; NULL: none. */
static struct arena_chunk *spare_take(struct arena *arena, size_t cap)
{
	for (struct arena_chunk **at = &arena->spare; *at; at = &(*at)->next) {
		struct arena_chunk *chunk = *at;

		if (chunk->cap < cap || chunk->cap / 2 > cap)
			continue;
		*at = chunk->next;
		return chunk;
	}
	return NULL;
}

void arena_reset(struct arena *arena)
{
	struct arena_chunk *head = arena->chunks;

	arena->used_bytes = 0;
	if (arena->keep_bytes) {
		chunks_keep(arena);
		return;
	}
	if (!head)
		return;
	chunks_free(head->next);
	head->next = NULL;
	head->used = 0;
	/* One giant request must not pin its memory for the life of a worker. */
	if (head->cap > CHUNK_BYTES_MAX) {
		mem_free(head);
		arena->chunks = NULL;
	}
}

static struct arena_chunk *chunk_new(struct arena *arena, size_t bytes)
{
	struct arena_chunk *head = arena->chunks;
	size_t cap = head ? head->cap * 2 : CHUNK_BYTES_MIN;
	struct arena_chunk *chunk;

	if (cap > CHUNK_BYTES_MAX)
		cap = CHUNK_BYTES_MAX;
	if (bytes > cap)
		cap = bytes;
	if (cap > SIZE_MAX - sizeof(*chunk))
		return NULL;
	chunk = spare_take(arena, cap);
	if (!chunk) {
		chunk = mem_alloc(sizeof(*chunk) + cap);
		if (!chunk)
			return NULL;
		chunk->cap = cap;
	}
	chunk->used = 0;
	if (head && bytes > CHUNK_BYTES_MAX / 4) {	/* a big block: the head goes on serving small ones */
		chunk->next = head->next;
		head->next = chunk;
	} else {
		chunk->next = head;
		arena->chunks = chunk;
	}
	return chunk;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	struct arena_chunk *chunk = arena->chunks;
	void *at;

	if (bytes > SIZE_MAX - ARENA_ALIGN)
		return NULL;
	bytes = bytes ? (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1) : ARENA_ALIGN;
	assert(!arena->budget_bytes || arena->used_bytes <= arena->budget_bytes);
	if (arena->budget_bytes && bytes > arena->budget_bytes - arena->used_bytes)
		return NULL;
	if (!chunk || bytes > chunk->cap - chunk->used) {
		chunk = chunk_new(arena, bytes);
		if (!chunk)
			return NULL;
	}
	at = chunk->bytes + chunk->used;
	chunk->used += bytes;
	arena->used_bytes += bytes;
	return at;
}

void *arena_zalloc(struct arena *arena, size_t bytes)
{
	void *at = arena_alloc(arena, bytes);

	return at ? memset(at, 0, bytes) : NULL;
}

void *arena_array(struct arena *arena, size_t count, size_t bytes_each)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, bytes_each, &bytes))
		return NULL;
	return arena_zalloc(arena, bytes);
}

struct view arena_copy(struct arena *arena, struct view bytes)
{
	uint8_t *at = bytes.len < SIZE_MAX ? arena_alloc(arena, bytes.len + 1) : NULL;

	if (!at)
		return view_make(NULL, 0);
	if (bytes.len)
		memcpy(at, bytes.at, bytes.len);
	at[bytes.len] = '\0';
	return view_make(at, bytes.len);
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
		return NULL;
	text = arena_alloc(arena, (size_t)len + 1);
	if (!text)
		return NULL;
	va_start(args, fmt);
	(void)vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return text;
}
