#include "store/sort_places.h"

#include <stdbool.h>
#include <string.h>

#define DIGIT_BITS 8u
#define DIGITS (1u << DIGIT_BITS)

static bool in_order(const uint64_t *const by[], unsigned by_count, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (unsigned k = 0; k < by_count && by[k][i - 1] >= by[k][i]; k++)
			if (by[k][i - 1] > by[k][i])
				return false;
	return true;
}

/* By one digit; the pairs are in other then. */
static void pass(const struct sort_pair *pairs, struct sort_pair *other, size_t count, unsigned shift)
{
	size_t places[DIGITS] = { 0 }, at = 0;

	for (size_t i = 0; i < count; i++)
		places[pairs[i].key >> shift & (DIGITS - 1)]++;
	for (unsigned digit = 0; digit < DIGITS; digit++) {
		size_t n = places[digit];

		places[digit] = at;
		at += n;
	}
	for (size_t i = 0; i < count; i++)
		other[places[pairs[i].key >> shift & (DIGITS - 1)]++] = pairs[i];
}

void sort_numbers(uint64_t *numbers, uint64_t *other, size_t count)
{
	uint64_t *from = numbers, differ = 0;

	for (size_t i = 1; i < count; i++)
		differ |= numbers[i] ^ numbers[0];
	for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
		size_t places[DIGITS] = { 0 }, at = 0;
		uint64_t *swap = from;

		if (!(differ >> shift & (DIGITS - 1)))
			continue;
		for (size_t i = 0; i < count; i++)
			places[from[i] >> shift & (DIGITS - 1)]++;
		for (unsigned digit = 0; digit < DIGITS; digit++) {
			size_t n = places[digit];

			places[digit] = at;
			at += n;
		}
		for (size_t i = 0; i < count; i++)
			other[places[from[i] >> shift & (DIGITS - 1)]++] = from[i];
		from = other;
		other = swap;
	}
	if (from != numbers)
		memcpy(numbers, from, count * sizeof(*numbers));
}

void sort_places(const uint64_t *const by[], unsigned by_count, size_t count, struct sort_pair *pairs,
		 struct sort_pair *other, uint32_t *ret_order)
{
	for (size_t i = 0; i < count; i++)
		ret_order[i] = (uint32_t)i;
	if (in_order(by, by_count, count))
		return;
	for (unsigned k = by_count; k-- > 0;) {	/* each pass keeps the order of those before */
		uint64_t differ = 0;

		for (size_t i = 1; i < count; i++)
			differ |= by[k][i] ^ by[k][0];
		if (!differ)
			continue;
		for (size_t i = 0; i < count; i++)
			pairs[i] = (struct sort_pair){ by[k][ret_order[i]], ret_order[i] };
		for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
			struct sort_pair *swap = pairs;

			if (!(differ >> shift & (DIGITS - 1)))
				continue;
			pass(pairs, other, count, shift);
			pairs = other;
			other = swap;
		}
		for (size_t i = 0; i < count; i++)
			ret_order[i] = pairs[i].place;
	}
}
