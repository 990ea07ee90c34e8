/*
 * Allocation: overflow-checked, counted, and failing on demand in tests.
 * All return NULL when memory is out; any thread.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t bytes);				/* not zeroed */
void *mem_zalloc(size_t bytes);
/* For megabytes that will all be touched: in pages of 2 MiB where the system has them. Not zeroed. */
void *mem_large(size_t bytes);
void *mem_array(size_t count, size_t bytes_each);	/* zeroed; NULL on overflow */
/* Grows or shrinks an array; the old one stays valid on failure. */
void *mem_resize(void *old, size_t count, size_t bytes_each);
char *mem_strdup(const char *s);
void *mem_dup(const void *at, size_t bytes);
/* Give the system back what is free of the allocator's memory. Not cheap. */
void mem_trim(void);
void mem_free(void *at);				/* takes NULL */

/*
 * Make room for one more element of a growing array: doubles *cap when full.
 * Returns 0 or E_NO_MEMORY with the array untouched.
 */
int mem_grow(void **array, size_t *cap, size_t count, size_t bytes_each);

/* Blocks alive now; tests check that it returns to where it was. */
int64_t mem_live(void);
/* The n-th allocation from now fails (1 = the next); 0 switches this off. Tests only. */
void mem_fail_nth(uint64_t n);

#endif
