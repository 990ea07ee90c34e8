#include "store/packet_order.h"

#include "base/mem.h"

#define DIGIT_BITS 11u
#define DIGITS (1u << DIGIT_BITS)

static bool reserve(struct packet_order *order, size_t count)
{
	struct packet_place *places;

	if (order->cap >= count)
		return true;
	places = mem_resize(order->places, count, sizeof(*places));
	if (!places)
		return false;
	order->places = places;
	order->cap = count;
	return true;
}

void packet_order_release(struct packet_order *order)
{
	mem_free(order->places);
	*order = (struct packet_order){ 0 };
}

/* One digit of number - least; equal ones stay in their order. */
static void pass(const struct packet_place *from, struct packet_place *to, uint32_t count, uint64_t least,
		 unsigned shift)
{
	uint32_t starts[DIGITS] = { 0 };
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		starts[(from[i].number - least) >> shift & (DIGITS - 1)]++;
	for (uint32_t digit = 0; digit < DIGITS; digit++) {
		uint32_t here = starts[digit];

		starts[digit] = sum;
		sum += here;
	}
	for (uint32_t i = 0; i < count; i++)
		to[starts[(from[i].number - least) >> shift & (DIGITS - 1)]++] = from[i];
}

static void sort(struct packet_order *order, struct packet_order *sorting, uint64_t least, uint64_t most)
{
	uint64_t span = most - least;

	for (unsigned shift = 0; shift < 64 && span >> shift; shift += DIGIT_BITS) {
		struct packet_order swap = *order;

		pass(order->places, sorting->places, order->count, least, shift);
		order->places = sorting->places;
		order->cap = sorting->cap;
		sorting->places = swap.places;
		sorting->cap = swap.cap;
	}
}

int packet_order_take(struct packet_order *order, const struct packet_block *block, const struct packet_want *want,
		      struct packet_order *sorting)
{
	uint64_t least = UINT64_MAX, most = 0;
	bool sorted = true;

	order->count = 0;
	if (!reserve(order, block->count))
		return E_NO_MEMORY;
	for (uint32_t i = 0; i < block->count; i++) {
		uint64_t number = block->recs[i].number;

		if (!packet_want_has(want, &block->recs[i]))
			continue;
		sorted = sorted && (order->count == 0 || number >= most);
		least = number < least ? number : least;
		most = number > most ? number : most;
		order->places[order->count++] = (struct packet_place){ number, i };
	}
	if (sorted)
		return 0;
	if (!reserve(sorting, order->count)) {
		order->count = 0;
		return E_NO_MEMORY;
	}
	sort(order, sorting, least, most);
	return 0;
}
