#include "base/mem.h"

#include <assert.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"

/*
 * Relaxed is enough: the counter is read where no other thread allocates, and
 * nothing is ordered by it. Its own cache line keeps it from slowing neighbours.
 */
static _Alignas(64) _Atomic int64_t live_blocks;
static _Alignas(64) _Atomic uint64_t fail_countdown;	/* 0 = off, 1 = the next one fails */

static bool must_fail(void)
{
	if (__builtin_expect(atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0, 1))
		return false;
	return atomic_fetch_sub_explicit(&fail_countdown, 1, memory_order_relaxed) == 1;
}

static void *counted(void *at)
{
	if (at)
		atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
	return at;
}

void *mem_alloc(size_t bytes)
{
	return must_fail() ? NULL : counted(malloc(bytes ? bytes : 1));
}

void *mem_zalloc(size_t bytes)
{
	return must_fail() ? NULL : counted(calloc(1, bytes ? bytes : 1));
}

#define LARGE_PAGE_BYTES ((size_t)2 << 20)

void *mem_large(size_t bytes)
{
	void *at = NULL;

	if (must_fail() || posix_memalign(&at, LARGE_PAGE_BYTES, bytes ? bytes : 1) != 0)
		return NULL;
	(void)madvise(at, bytes, MADV_HUGEPAGE);	/* refused: as any memory */
	return counted(at);
}

void *mem_array(size_t count, size_t bytes_each)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, bytes_each, &bytes))
		return NULL;
	return mem_zalloc(bytes);
}

void *mem_resize(void *old, size_t count, size_t bytes_each)
{
	size_t bytes;
	void *at;

	if (__builtin_mul_overflow(count, bytes_each, &bytes) || must_fail())
		return NULL;
	at = realloc(old, bytes ? bytes : 1);
	return old ? at : counted(at);
}

char *mem_strdup(const char *s)
{
	return mem_dup(s, strlen(s) + 1);
}

void *mem_dup(const void *at, size_t bytes)
{
	void *copy = mem_alloc(bytes);

	if (copy && bytes)
		memcpy(copy, at, bytes);
	return copy;
}

void mem_free(void *at)
{
	if (!at)
		return;
	atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
	free(at);
}

int mem_grow(void **array, size_t *cap, size_t count, size_t bytes_each)
{
	size_t new_cap;
	void *at;

	assert(count <= *cap);
	if (count < *cap)
		return 0;
	if (*cap == 0)
		new_cap = 8;
	else if (__builtin_mul_overflow(*cap, 2, &new_cap))
		return E_NO_MEMORY;
	at = mem_resize(*array, new_cap, bytes_each);
	if (!at)
		return E_NO_MEMORY;
	*array = at;
	*cap = new_cap;
	return 0;
}

int64_t mem_live(void)
{
	return atomic_load_explicit(&live_blocks, memory_order_relaxed);
}

void mem_fail_nth(uint64_t n)
{
	atomic_store_explicit(&fail_countdown, n, memory_order_relaxed);
}

void mem_trim(void)
{
	(void)malloc_trim(0);
}
