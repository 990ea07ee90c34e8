#include "store/sort_places.h"

#include <stdlib.h>

#include "tests/check.h"
#include "tests/random.h"

#define ROWS 3000u

static uint64_t keys[3][ROWS];
static const uint64_t *const by[3] = { keys[0], keys[1], keys[2] };
static struct sort_pair pairs[ROWS], other[ROWS];
static uint32_t order[ROWS], expected[ROWS];

static int cmp_places(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	for (unsigned k = 0; k < 3; k++)
		if (keys[k][x] != keys[k][y])
			return keys[k][x] < keys[k][y] ? -1 : 1;
	return x < y ? -1 : x > y;	/* equal ones stay as they came */
}

static void check_count(size_t count)
{
	for (uint32_t i = 0; i < count; i++)
		expected[i] = i;
	qsort(expected, count, sizeof(*expected), cmp_places);
	sort_places(by, 3, count, pairs, other, order);
	for (size_t i = 0; i < count; i++)
		CHECK_U64(order[i], expected[i]);
}

TEST(sort_places, orders_as_a_sort_by_comparison_does)
{
	struct random random = random_new("sort_places");

	for (unsigned round = 0; round < 60; round++) {
		/* Few values and many, of small and of all bytes. */
		uint64_t below[3] = { 1 + random_below(&random, 4), 1 + random_below(&random, 1u << (round % 20)),
				      round % 3 ? 1 + random_below(&random, 100000) : UINT64_MAX };
		unsigned shift = (unsigned)random_below(&random, 40);
		size_t count = random_below(&random, ROWS + 1);

		for (unsigned k = 0; k < 3; k++)
			for (size_t i = 0; i < count; i++)
				keys[k][i] = random_u64(&random) % below[k] << (k == 1 ? shift : 0);
		check_count(count);
	}
}

TEST(sort_places, leaves_what_is_in_order)
{
	for (size_t i = 0; i < ROWS; i++) {
		keys[0][i] = i / 1000;
		keys[1][i] = i % 1000 / 10;
		keys[2][i] = 7;
	}
	check_count(ROWS);
	check_count(0);
	check_count(1);
	keys[0][ROWS - 1] = 0;		/* but for the last one */
	check_count(ROWS);
}

static int cmp_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

TEST(sort_places, sorts_numbers)
{
	struct random random = random_new("sort_places");

	for (unsigned round = 0; round < 60; round++) {
		uint64_t low = round % 2 ? random_u64(&random) : 0, below = round % 5 ? 1ull << round : UINT64_MAX;
		size_t count = random_below(&random, ROWS + 1);

		for (size_t i = 0; i < count; i++)
			keys[0][i] = keys[2][i] = low + random_below(&random, below);
		qsort(keys[2], count, sizeof(keys[2][0]), cmp_numbers);
		sort_numbers(keys[0], keys[1], count);
		CHECK(count == 0 || memcmp(keys[0], keys[2], count * sizeof(keys[0][0])) == 0);
	}
}
