/* The flow table of a window: what was written is found, in either form, and no made-up byte leads astray. */
#include "store/flow_table.h"

#include "base/mem.h"
#include "tests/check.h"
#include "tests/random.h"

#define SLOTS 3000u

/* As a window has them: neighbours began together, some flows are much older, some are of two sources. */
static void slots_make(struct random *random, struct flow_slot *slots, size_t count)
{
	uint64_t tick = random_below(random, 1u << 30), counter = random_below(random, 1u << 23);
	uint32_t block = (uint32_t)random_below(random, 1000);

	for (size_t i = 0; i < count; i++) {
		bool again = i && random_below(random, 20) == 0;
		uint32_t blocks = random_below(random, 100) ? 1 : 2 + (uint32_t)random_below(random, 30);

		if (!again && random_below(random, 3) == 0) {
			tick += random_below(random, 10) ? 1 : random_below(random, 1u << 25);
			counter = random_below(random, 10) ? counter : random_below(random, 1u << 23);
		} else if (!again) {
			tick += counter + 20 >= 1u << 23;
			counter = (counter + 1 + random_below(random, 20)) & ((1u << 23) - 1);
		}
		slots[i] = (struct flow_slot){ tick << 23 | counter, again ? block + 40 : block, blocks };
		if (i && !again && slots[i].flow_id <= slots[i - 1].flow_id)
			slots[i].flow_id = ++tick << 23 | counter;
		block += blocks - 1 + (random_below(random, 50) == 0);
	}
}

static void table_open(struct view bytes, struct flow_table *table)
{
	struct err err = { 0 };

	CHECK_OK(flow_table_open(bytes, table, &err), err);
}

static void table_check(const struct flow_slot *slots, size_t count, struct view bytes)
{
	struct flow_table table;
	struct flow_slot slot;
	struct err err = { 0 };
	size_t at;

	table_open(bytes, &table);
	CHECK_U64(table.count, count);
	for (size_t i = 0; i < count; i++) {
		size_t first = i;

		while (first && slots[first - 1].flow_id == slots[i].flow_id)
			first--;
		CHECK_OK(flow_table_at(&table, i, &slot, &err), err);
		CHECK(slot.flow_id == slots[i].flow_id && slot.block == slots[i].block && slot.blocks == slots[i].blocks,
		      "slot %zu of %zu: %llx %u %u", i, count, (unsigned long long)slot.flow_id, slot.block, slot.blocks);
		CHECK_OK(flow_table_seek(&table, slots[i].flow_id, &at, &err), err);
		CHECK_U64(at, first);
		CHECK_OK(flow_table_seek(&table, slots[i].flow_id + 1, &at, &err), err);
		for (first = i; first < count && slots[first].flow_id == slots[i].flow_id; first++)
			;
		CHECK_U64(at, first);
	}
	CHECK_OK(flow_table_seek(&table, 0, &at, &err), err);
	CHECK_U64(at, 0);
	CHECK_OK(flow_table_seek(&table, UINT64_MAX, &at, &err), err);
	CHECK_U64(at, count && slots[count - 1].flow_id == UINT64_MAX ? count - 1 : count);
}

TEST(flow_table, finds_what_was_written)
{
	static const size_t counts[] = { 0, 1, 2, 3, 10, 511, 512, 513, 1024, SLOTS };
	struct random random = random_new("flow_table");
	struct flow_slot *slots = mem_array(SLOTS, sizeof(*slots));
	struct err err = { 0 };
	struct wr wr;

	CHECK(slots);
	wr_init(&wr, 0);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		slots_make(&random, slots, counts[i]);
		wr_reset(&wr);
		CHECK_OK(flow_table_write(slots, counts[i], &wr, &err), err);
		CHECK(wr.len <= counts[i] * FLOW_SLOT_BYTES);
		if (counts[i] >= 511)
			CHECK(wr.len < counts[i] * 5, "%zu bytes for %zu slots", wr.len, counts[i]);
		table_check(slots, counts[i], wr_view(&wr));
	}
	wr_release(&wr);
	mem_free(slots);
}

TEST(flow_table, holds_the_ends_of_every_range)
{
	struct flow_slot slots[FLOW_GROUP_SLOTS + 88];
	struct err err = { 0 };
	struct wr wr;

	/* Differences as far as they go, in both columns of an id and of the blocks. */
	for (size_t i = 0; i < FLOW_GROUP_SLOTS + 88; i++)
		slots[i] = (struct flow_slot){ i < 300 ? i % 2 + (i / 2 << 23) : UINT64_MAX - 600 + i, i % 2 ? UINT32_MAX : 0,
					       i % 3 ? UINT32_MAX : 0 };
	wr_init(&wr, 0);
	CHECK_OK(flow_table_write(slots, FLOW_GROUP_SLOTS + 88, &wr, &err), err);
	CHECK(wr.len % FLOW_SLOT_BYTES != 0);
	table_check(slots, FLOW_GROUP_SLOTS + 88, wr_view(&wr));
	wr_release(&wr);
}

TEST(flow_table, reads_plain_slots_of_before)
{
	struct random random = random_new("flow_table");
	struct flow_slot slots[700];
	struct wr wr;

	slots_make(&random, slots, 700);
	wr_init(&wr, 0);
	for (size_t i = 0; i < 700; i++) {
		wr_u64le(&wr, slots[i].flow_id);
		wr_u32le(&wr, slots[i].block);
		wr_u32le(&wr, slots[i].blocks);
	}
	table_check(slots, 700, wr_view(&wr));
	wr_release(&wr);
}

/* Sums find a flipped bit before a table is looked at: here it must not crash, nor give slots of none. */
static void walk(struct view bytes)
{
	struct flow_table table;
	struct flow_slot slot;
	size_t at;

	if (flow_table_open(bytes, &table, NULL) < 0)
		return;
	if (flow_table_seek(&table, (uint64_t)1 << 40, &at, NULL) == 0)
		CHECK(at <= table.count);
	for (at = 0; at < table.count && flow_table_at(&table, at, &slot, NULL) == 0; at += 100)
		;
}

TEST(flow_table, survives_any_byte)
{
	struct random random = random_new("flow_table");
	struct flow_slot slots[600];
	struct err err = { 0 };
	struct wr wr;

	slots_make(&random, slots, 600);
	wr_init(&wr, 0);
	CHECK_OK(flow_table_write(slots, 600, &wr, &err), err);
	for (size_t cut = 0; cut < wr.len; cut++)
		walk(view_make(wr.at, cut));
	for (size_t i = 0; i < wr.len; i++) {
		uint8_t was = wr.at[i];

		wr.at[i] ^= (uint8_t)(1 + random_below(&random, 255));
		walk(wr_view(&wr));
		wr.at[i] = was;
	}
	wr_release(&wr);
}

TEST(flow_table, tells_what_is_wrong)
{
	struct flow_slot slots[600], slot;
	struct flow_table table;
	struct err err = { 0 };
	struct wr wr;
	size_t at;

	for (size_t i = 0; i < 600; i++)
		slots[i] = (struct flow_slot){ (i + 5) << 23, (uint32_t)i, 1 };
	wr_init(&wr, 0);
	CHECK_OK(flow_table_write(slots, 600, &wr, &err), err);
	wr.at[0] = 2;
	CHECK_RC(flow_table_open(wr_view(&wr), &table, &err), E_UNSUPPORTED);
	wr.at[0] = 1;
	wr_patch_u32le(&wr, 1, UINT32_MAX);	/* slots: their directory would not fit */
	CHECK_RC(flow_table_open(wr_view(&wr), &table, &err), E_CORRUPT);
	wr_patch_u32le(&wr, 1, 601);		/* one more than the last group holds */
	table_open(wr_view(&wr), &table);
	CHECK_OK(flow_table_at(&table, 511, &slot, &err), err);
	CHECK_RC(flow_table_at(&table, 512, &slot, &err), E_CORRUPT);
	wr_patch_u32le(&wr, 1, 600);
	err = (struct err){ 0 };
	wr_patch_u32le(&wr, 13 + 8, (uint32_t)wr.len);	/* offset of the first group */
	table_open(wr_view(&wr), &table);
	CHECK_RC(flow_table_seek(&table, 6u << 23, &at, &err), E_CORRUPT);
	CHECK(strstr(err.text, "group 0"), "%s", err.text);
	CHECK_OK(flow_table_seek(&table, (uint64_t)580 << 23, &at, &err), err);
	CHECK_U64(at, 575);
	wr_release(&wr);
}
