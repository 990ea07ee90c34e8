#include "ingest/pace.h"

#include "base/clock.h"
#include "schema/event.h"
#include "tests/check.h"

struct run {
	struct pace pace;
	uint64_t now_ns;
};

static struct run begin(void)
{
	struct run run = { .now_ns = NS_PER_SEC };

	pace_init(&run.pace, &(struct pace_opts){ .drain_ns = 4 * NS_PER_MS, .idle_ns = 20 * NS_PER_MS,
						  .calm_ns = NS_PER_SEC });
	return run;
}

static bool step(struct run *run, unsigned ring, unsigned queue)
{
	struct pace_seen seen = { .now_ns = run->now_ns, .frames = 1, .ring_permille = ring, .queue_permille = queue };

	run->now_ns += 4 * NS_PER_MS;
	return pace_next(&run->pace, &seen);
}

TEST(pace, sleeps_longer_without_traffic_only)
{
	struct run run = begin();
	struct pace_seen seen = { .now_ns = 1 };

	CHECK_U64(run.pace.interval_ns, 4 * NS_PER_MS);
	CHECK(!pace_next(&run.pace, &seen));
	CHECK_U64(run.pace.interval_ns, 8 * NS_PER_MS);
	(void)pace_next(&run.pace, &seen);
	(void)pace_next(&run.pace, &seen);
	CHECK_U64(run.pace.interval_ns, 20 * NS_PER_MS);
	(void)step(&run, 0, 0);
	CHECK_U64(run.pace.interval_ns, 4 * NS_PER_MS);
}

TEST(pace, goes_before_others_until_the_backlog_is_gone)
{
	struct run run = begin();

	(void)step(&run, 40, 0);
	CHECK(!run.pace.hurry);
	(void)step(&run, 0, 60);
	CHECK(run.pace.hurry);
	(void)step(&run, 40, 40);
	CHECK(run.pace.hurry);
	(void)step(&run, 9, 9);
	CHECK(!run.pace.hurry);
}

/* What waited for the reader gets less now that it runs; the same fill is too much where it stays. */
TEST(pace, leaves_out_nothing_while_a_backlog_gets_less)
{
	struct run run = begin();

	for (unsigned permille = 899; permille > 10; permille -= 10)
		CHECK(!step(&run, permille, 0));
	CHECK(!step(&run, 600, 0));
	CHECK(!step(&run, 649, 0));
	CHECK(step(&run, 650, 0));
	CHECK_U64(run.pace.level, RING_LEVEL_THIN);
}

TEST(pace, waits_so_long_for_a_backlog_to_get_less)
{
	struct run run = begin();
	unsigned waited = 0;

	while (waited < 100 && !step(&run, 720, 0))
		waited++;
	CHECK_U64(waited, 13);	/* of 4 ms */
	CHECK_U64(run.pace.level, RING_LEVEL_HEADERS);
	CHECK(!step(&run, 740, 0));
}

/* Up as far as need be; down a step at a time, each after a calm of its own. */
TEST(pace, leaves_out_more_at_once_and_less_slowly)
{
	struct run run = begin();
	unsigned changes = 0;

	CHECK(!step(&run, 499, 0));
	CHECK(!step(&run, 500, 0));
	CHECK(step(&run, 550, 0));
	CHECK_U64(run.pace.level, RING_LEVEL_THIN);
	CHECK(!run.pace.by_queue);
	CHECK(!step(&run, 300, 0));	/* neither pressure nor calm */
	CHECK(step(&run, 0, 900));
	CHECK_U64(run.pace.level, RING_LEVEL_COUNT);
	CHECK(run.pace.by_queue);
	for (int i = 0; i < 240; i++)
		CHECK(!step(&run, 100, 100));
	CHECK(!step(&run, 201, 0));	/* not calm for long enough: from the beginning */
	for (int i = 0; i < 1000; i++) {
		unsigned was = run.pace.level;

		if (step(&run, 100, 100)) {
			changes++;
			CHECK_U64(run.pace.level, was - 1);
			CHECK(run.now_ns >= NS_PER_SEC * (1 + changes));
		}
	}
	CHECK_U64(changes, 3);
	CHECK_U64(run.pace.level, RING_LEVEL_FULL);
}
