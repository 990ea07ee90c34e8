/* Random input that a printed seed brings back. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/hash.h"
#include "schema/schema.h"

struct random {
	uint64_t state;
};

/* SEED=n in the environment repeats a run. */
static inline struct random random_new(const char *what)
{
	const char *text = getenv("SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;

	fprintf(stderr, "%s: SEED=%llu\n", what, (unsigned long long)seed);
	return (struct random){ seed };
}

static inline uint64_t random_u64(struct random *random)
{
	random->state += 0x9e3779b97f4a7c15ull;
	return hash_u64(random->state);
}

static inline uint64_t random_below(struct random *random, uint64_t limit)
{
	return random_u64(random) % limit;
}

/* A permutation of 0..count-1. */
static inline void random_order(struct random *random, uint32_t *order, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = (uint32_t)random_below(random, i), swap = order[i - 1];

		order[i - 1] = order[j];
		order[j] = swap;
	}
}

/*
 * Any value of any column. Each column has a character of its own, so that all
 * encodings come up: constant, few, runs, rising, small, wide, whole microseconds.
 */
static inline uint64_t random_int(struct random *random, unsigned character, uint64_t row)
{
	switch (character % 8) {
	case 0:
		return 42;
	case 1:
		return random_below(random, 5) * 0x123456789abull;
	case 2:
		return row / 50;
	case 3:
		return 1700000000000000000ull + row * 1000000 + random_below(random, 1000);
	case 4:
		return random_below(random, 200);
	case 5:
		return random_u64(random);
	case 6:
		return 1000 * (1700000000000000ull + random_below(random, 1000000));
	default:
		return random_below(random, 100) ? random_below(random, 30) : random_u64(random);
	}
}

static inline struct view random_bytes(struct random *random, unsigned character, uint64_t row, size_t len_max,
				       struct arena *arena)
{
	size_t len = random_below(random, len_max + 1);
	uint8_t *at;

	switch (character % 4) {
	case 0:
		return VIEW_LIT("always the same");
	case 1:
		return view_str(arena_printf(arena, "pod-%u", (unsigned)random_below(random, 7)));
	case 2:
		return view_str(arena_printf(arena, "/api/v1/items/%llu", (unsigned long long)row));
	}
	at = arena_alloc(arena, len);
	for (size_t i = 0; at && i < len; i++)
		at[i] = (uint8_t)random_u64(random);
	return view_make(at, at ? len : 0);
}

/* One row of any table. An OPT column is null always, never, or half of the time, as salt has it. */
static inline void random_row(struct random *random, const struct table *table, unsigned salt, uint64_t number,
			      void *row, struct arena *arena)
{
	memset(row, 0, table->row_bytes);
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		unsigned character = (unsigned)hash_u64(salt * 1000u + col->id);
		struct ip ip = { { 0 } };
		uint64_t value;

		if (col->index == INDEX_DERIVED)	/* never stored */
			continue;
		if (col->presence == PRESENCE_OPT &&
		    (character / 8 % 3 == 0 || (character / 8 % 3 == 1 && random_below(random, 2))))
			continue;
		if (col->type == TYPE_IP) {
			ip = ip_from_v4((uint32_t)random_below(random, 300) * 0x01010101u);
			(void)row_put(col, row, 0, view_make(&ip, sizeof(ip)));
		} else if (types[col->type].phys == PHYS_BYTES) {
			(void)row_put(col, row, 0, random_bytes(random, character, number, 40, arena));
		} else {
			value = random_int(random, character, number);
			if (types[col->type].row_bytes < 8)
				value &= (1ull << types[col->type].row_bytes * 8) - 1;
			(void)row_put(col, row, value, view_make(NULL, 0));
		}
	}
}

#endif
