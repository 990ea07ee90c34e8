/*
 * Places of rows in the order of their numbers: most significant number first,
 * rows that are equal in all of them as they came. Linear in the rows, and in
 * the bytes in which their numbers differ: those of one batch have most in common.
 */
#ifndef STORE_SORT_PLACES_H
#define STORE_SORT_PLACES_H

#include <stddef.h>
#include <stdint.h>

struct sort_pair {		/* of the scratch, count each */
	uint64_t key;
	uint32_t place;
};

/* In ascending order; other has room for count, too. */
void sort_numbers(uint64_t *numbers, uint64_t *other, size_t count);
/* by[0] leads; each has count numbers. pairs and other are overwritten. */
void sort_places(const uint64_t *const by[], unsigned by_count, size_t count, struct sort_pair *pairs,
		 struct sort_pair *other, uint32_t *ret_order);

#endif
