/* The entry of a partition, as the catalog and the partition itself keep it. */
#include "store/part.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tests/check.h"
#include "tests/random.h"

/* Of any size, so that short and long numbers come up. */
static uint64_t number(struct random *random)
{
	return random_u64(random) >> random_below(random, 64);
}

static struct part_entry entry_make(struct random *random)
{
	struct part_entry entry;

	part_entry_init(&entry, random_below(random, UINT64_MAX / NS_PER_HOUR), (uint32_t)number(random), number(random));
	entry.state = (uint8_t)(1 + random_below(random, 2));
	entry.has_packets = random_below(random, 2);
	entry.data_bytes = number(random);
	entry.packet_bytes = number(random);
	entry.packet_plain_bytes = number(random);
	for (int t = 1; t <= TABLE_MAX; t++)
		if (random_below(random, 3))
			entry.tables[t] = (struct part_table){ .rows = number(random), .groups = (uint32_t)number(random),
							       .start_min = number(random), .start_max = number(random),
							       .end_max = number(random), .bytes = number(random) };
	entry.segs_count = (unsigned)random_below(random, PART_SEGS_MAX + 1);
	for (unsigned s = 0; s < entry.segs_count; s++) {
		entry.segs[s] = (struct part_seg){ .held = random_below(random, 2), .bytes = number(random),
						   .packets = number(random), .time_min = number(random),
						   .time_max = number(random) };
		if (s)
			(void)snprintf(entry.segs[s].class_name, sizeof(entry.segs[s].class_name), "proto/%u", s);
	}
	for (int t = 0; t < ROLLUP_TIERS_COUNT; t++)
		entry.tiers[t] = (struct part_tier){ number(random), number(random) };
	entry.residual = (uint8_t)number(random);
	entry.tiers_gone = (uint8_t)number(random);
	entry.level = (uint8_t)number(random);
	return entry;
}

static bool same(const struct part_entry *a, const struct part_entry *b)
{
	bool is = a->hour == b->hour && a->gen == b->gen && a->serial == b->serial && a->state == b->state &&
		  a->has_packets == b->has_packets && a->data_bytes == b->data_bytes &&
		  a->packet_bytes == b->packet_bytes && a->packet_plain_bytes == b->packet_plain_bytes &&
		  a->segs_count == b->segs_count && a->residual == b->residual && a->tiers_gone == b->tiers_gone &&
		  a->level == b->level && memcmp(a->tiers, b->tiers, sizeof(a->tiers)) == 0;

	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct part_table *x = &a->tables[t], *y = &b->tables[t];

		is &= x->rows == y->rows && x->groups == y->groups && x->start_min == y->start_min &&
		      x->start_max == y->start_max && x->end_max == y->end_max && x->bytes == y->bytes;
	}
	for (unsigned s = 0; is && s < a->segs_count; s++) {
		const struct part_seg *x = &a->segs[s], *y = &b->segs[s];

		is &= strcmp(x->class_name, y->class_name) == 0 && x->held == y->held && x->bytes == y->bytes &&
		      x->packets == y->packets && x->time_min == y->time_min && x->time_max == y->time_max;
	}
	return is;
}

TEST(part, entries_come_back_and_are_told_where_they_are_cut)
{
	struct random random = random_new("entries");
	struct err err = { 0 };
	struct wr wr;

	wr_init(&wr, 0);
	for (unsigned i = 0; i < 200; i++) {
		struct part_entry entry = entry_make(&random), back;

		wr_reset(&wr);
		part_entry_write(&entry, &wr);
		CHECK_LT(wr.len, 1500);		/* what a value of the catalog may have */
		CHECK_OK(part_entry_read(wr_view(&wr), &back, &err), err);
		CHECK(same(&entry, &back));
		for (size_t cut = 0; cut < wr.len; cut++) {
			CHECK_RC(part_entry_read(view_make(wr.at, cut), &back, &err), E_CORRUPT);
			err_clear(&err);
		}
	}
	wr_release(&wr);
}

TEST(part, an_entry_of_few_rows_is_short)
{
	struct part_entry entry;
	struct wr wr;

	wr_init(&wr, 0);
	part_entry_init(&entry, 497000, 0, 3);
	entry.state = PART_SEALED;
	entry.data_bytes = 5000;
	part_entry_count(&entry, TABLE_FLOWS, 40, 497000 * NS_PER_HOUR + 5, 497000 * NS_PER_HOUR + NS_PER_MIN,
			 497000 * NS_PER_HOUR + 2 * NS_PER_MIN);
	part_entry_write(&entry, &wr);
	CHECK_LT(wr.len, 50);
	wr_release(&wr);
}

TEST(part, lies_of_entries_are_told)
{
	static const struct {
		const char *what;
		struct view bytes;
		int rc;
	} cases[] = {
		/* version, state, packets, hour, generation, serial, three sizes, tables, segments, tiers, three bytes */
		{ "nothing wrong", VIEW_LIT("\3\2\1\5\0\0\0\0\0\0\0\0\0\0\0"), 0 },
		{ "a later version", VIEW_LIT("\4\2\1\5\0\0\0\0\0\0\0\0\0\0\0"), E_UNSUPPORTED },
		{ "a state nobody knows", VIEW_LIT("\3\3\1\5\0\0\0\0\0\0\0\0\0\0\0"), E_CORRUPT },
		{ "a table 0", VIEW_LIT("\3\2\1\5\0\0\0\0\0\1\0\0\0\0\0"), E_CORRUPT },
		{ "a table of a later version", VIEW_LIT("\3\2\1\5\0\0\0\0\0\x80\x80\x80\1\1\1\1\1\1\1\0\0\0\0\0"), 0 },
		{ "more segments than can be", VIEW_LIT("\3\2\1\5\0\0\0\0\0\0\x09\0\0\0\0"), E_CORRUPT },
		{ "a generation beyond 32 bits", VIEW_LIT("\3\2\1\5\x80\x80\x80\x80\x10\0\0\0\0\0\0\0\0\0\0"), E_CORRUPT },
		{ "an hour beyond time", VIEW_LIT("\3\2\1\xff\xff\xff\xff\xff\xff\x7f\0\0\0\0\0\0\0\0\0\0\0"), E_CORRUPT },
	};
	struct part_entry entry;
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err_clear(&err);
		CHECK_EQ(part_entry_read(cases[i].bytes, &entry, &err), cases[i].rc, "%s: %s", cases[i].what, err.text);
	}
}
