#include "base/mem.h"

#include <string.h>

#include "tests/check.h"

TEST(mem, live_counts_blocks_and_resize_does_not)
{
	int64_t before = mem_live();
	char *a = mem_alloc(10);
	char *b = mem_strdup("abc");
	char *grown;

	CHECK_I64(mem_live(), before + 2);
	CHECK_STR(b, "abc");
	grown = mem_resize(a, 1000, 2);
	CHECK(grown);
	CHECK_I64(mem_live(), before + 2);
	mem_free(grown);
	mem_free(b);
	mem_free(NULL);
	CHECK_I64(mem_live(), before);
}

TEST(mem, zero_bytes_is_a_block)
{
	void *none = mem_alloc(0), *zero = mem_zalloc(0), *dup = mem_dup(NULL, 0);

	CHECK(none && zero && dup);
	mem_free(none);
	mem_free(zero);
	mem_free(dup);
}

TEST(mem, array_is_zeroed_and_refuses_overflow)
{
	static const char zeros[800];
	void *array = mem_array(100, 8);

	CHECK(array && memcmp(array, zeros, sizeof(zeros)) == 0);
	CHECK_NULL(mem_array(SIZE_MAX / 2, 3));
	CHECK_NULL(mem_resize(array, SIZE_MAX / 2, 3));
	CHECK(memcmp(array, zeros, sizeof(zeros)) == 0);
	mem_free(array);
}

TEST(mem, fail_nth_fails_that_one_alone)
{
	void *a, *b, *c;

	mem_fail_nth(2);
	a = mem_alloc(1);
	b = mem_alloc(1);
	c = mem_alloc(1);
	CHECK(a && !b && c);
	mem_free(a);
	mem_free(c);

	mem_fail_nth(1);
	mem_fail_nth(0);
	a = mem_alloc(1);
	CHECK(a);
	mem_free(a);
}

TEST(mem, grow_doubles_and_leaves_the_array_on_failure)
{
	uint32_t *array = NULL, *same;
	size_t cap = 0;

	for (uint32_t i = 0; i < 100; i++) {
		CHECK_RC(mem_grow((void **)&array, &cap, i, sizeof(*array)), 0);
		CHECK(cap > i);
		array[i] = i;
	}
	CHECK_U64(cap, 128);
	same = array;
	mem_fail_nth(1);
	CHECK_RC(mem_grow((void **)&array, &cap, 128, sizeof(*array)), E_NO_MEMORY);
	CHECK(array == same && cap == 128 && array[99] == 99);
	CHECK_RC(mem_grow((void **)&array, &cap, 128, SIZE_MAX / 16), E_NO_MEMORY);
	CHECK(array == same && cap == 128);
	mem_free(array);
}
