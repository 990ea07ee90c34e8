#include "store/packet_order.h"

#include "tests/check.h"
#include "tests/random.h"

#define RECS 5000u

/* Records of some flows, each in a run of its own as a sealed block has them. */
static void runs_make(struct random *random, struct packet_rec *recs, uint32_t count, uint64_t first, uint64_t span)
{
	uint64_t flow = 1, number = first;

	for (uint32_t i = 0; i < count; i++) {
		if (random_below(random, 50) == 0) {
			flow += 1 + random_below(random, 3);
			number = first + random_below(random, span);
		}
		recs[i] = (struct packet_rec){ .number = number, .flow_id = flow, .time_ns = 1000 + random_below(random, 100) };
		number += random_below(random, 3) * (span / RECS + 1);
	}
}

static void order_check(const struct packet_order *order, const struct packet_block *block, const struct packet_want *want)
{
	uint32_t expected = 0;

	for (uint32_t i = 0; i < block->count; i++) {
		const struct packet_rec *rec = &block->recs[i];
		bool flow = !want->flows;

		for (size_t f = 0; f < want->flow_count; f++)
			flow |= want->flows[f] == rec->flow_id;
		expected += flow && rec->time_ns >= want->from_ns && rec->time_ns < want->to_ns;
	}
	CHECK_U64(order->count, expected);
	for (uint32_t i = 0; i < order->count; i++) {
		const struct packet_place *place = &order->places[i];

		CHECK(place->index < block->count);
		CHECK_U64(place->number, block->recs[place->index].number);
		if (i)
			CHECK(place[-1].number < place->number ||
			      (place[-1].number == place->number && place[-1].index < place->index),
			      "place %u: frame %llu at %u behind frame %llu at %u", i, (unsigned long long)place->number,
			      place->index, (unsigned long long)place[-1].number, place[-1].index);
	}
}

TEST(packet_order, merges_runs_by_number)
{
	static const uint64_t spans[] = { 1, 100, 3000, 1u << 22, UINT64_C(1) << 45, UINT64_MAX / 4 * 3 };
	struct random random = random_new("packet_order");
	struct packet_rec *recs = mem_array(RECS, sizeof(*recs));
	struct packet_order order = { 0 }, sorting = { 0 };
	uint64_t flows[40];

	CHECK(recs);
	for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++)
		flows[i] = 5 * i;
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		struct packet_block block = { .recs = recs, .count = 1 + (uint32_t)random_below(&random, RECS) };
		struct packet_want all = { .to_ns = UINT64_MAX };
		struct packet_want some = { .flows = flows, .flow_count = sizeof(flows) / sizeof(flows[0]),
					    .from_ns = 1010, .to_ns = 1080 };

		runs_make(&random, recs, block.count, i % 2 ? 1 : 1000000, spans[i]);
		CHECK_RC(packet_order_take(&order, &block, &all, &sorting), 0);
		CHECK_U64(order.count, block.count);
		order_check(&order, &block, &all);
		CHECK_RC(packet_order_take(&order, &block, &some, &sorting), 0);
		order_check(&order, &block, &some);
	}
	packet_order_release(&order);
	packet_order_release(&sorting);
	mem_free(recs);
}

TEST(packet_order, includes_the_last_instant_and_survives_no_memory)
{
	struct packet_rec recs[] = { { .number = 9, .time_ns = UINT64_MAX }, { .number = 8, .time_ns = 5 },
				     { .number = 7, .time_ns = 6 } };
	struct packet_block block = { .recs = recs, .count = 3 };
	struct packet_want want = { .from_ns = 6, .to_ns = UINT64_MAX };
	struct packet_order order = { 0 }, sorting = { 0 };

	for (uint64_t nth = 1; nth <= 2; nth++) {
		mem_fail_nth(nth);
		CHECK_RC(packet_order_take(&order, &block, &want, &sorting), E_NO_MEMORY);
		CHECK_U64(order.count, 0);
		mem_fail_nth(0);
		packet_order_release(&order);
	}
	CHECK_RC(packet_order_take(&order, &block, &want, &sorting), 0);
	CHECK_U64(order.count, 2);
	CHECK_U64(order.places[0].number, 7);
	CHECK_U64(order.places[1].number, 9);
	packet_order_release(&order);
	packet_order_release(&sorting);
}
