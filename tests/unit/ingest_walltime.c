#include "tests/check.h"

#include "ingest/walltime.h"

#define DAY_NS (20000 * NS_PER_DAY)	/* some day after 2024 */

TEST(walltime, keeps_order_and_counts_what_came_late)
{
	struct walltime wall;
	uint64_t mono_ns = clock_mono_ns(), first_ns;

	walltime_init(&wall, mono_ns);
	first_ns = walltime_next(&wall, mono_ns);
	CHECK_U64(walltime_next(&wall, mono_ns + 7), first_ns + 7);
	CHECK_U64(walltime_next(&wall, mono_ns + 3), first_ns + 7);
	CHECK_U64(wall.late, 1);
	CHECK_U64(walltime_next(&wall, mono_ns + 9), first_ns + 9);
}

TEST(walltime, is_the_wall_clock)
{
	struct walltime wall;
	uint64_t mono_ns = clock_mono_ns(), before_ns = clock_now_ns(), given_ns, boot_ns;

	walltime_init(&wall, mono_ns);
	given_ns = walltime_next(&wall, clock_mono_ns());
	boot_ns = walltime_boot(&wall, clock_boot_ns());
	/* Reading is not instant: a second is no error here, an hour would be. */
	CHECK_LT(given_ns - before_ns + NS_PER_SEC, 3 * NS_PER_SEC);
	CHECK_LT(boot_ns - before_ns + NS_PER_SEC, 3 * NS_PER_SEC);
}

TEST(walltime, follows_a_clock_set_back_without_running_backwards)
{
	/* 50 ms too far ahead: each 10 ms of time take back 1 ms, so instants still grow by 9. */
	uint64_t offset_ns = DAY_NS + 50 * NS_PER_MS;
	unsigned steps = 0;

	while (offset_ns != DAY_NS) {
		uint64_t next_ns = walltime_slew(offset_ns, DAY_NS, 10 * NS_PER_MS);

		CHECK_U64(offset_ns - next_ns, NS_PER_MS);
		offset_ns = next_ns;
		CHECK_LE(++steps, 50u);
	}
	CHECK_U64(steps, 50);
}

TEST(walltime, follows_at_once_where_slowly_makes_no_sense)
{
	CHECK_U64(walltime_slew(DAY_NS, DAY_NS + 5 * NS_PER_SEC, NS_PER_MS), DAY_NS + 5 * NS_PER_SEC);
	CHECK_U64(walltime_slew(DAY_NS + NS_PER_HOUR, DAY_NS, NS_PER_MS), DAY_NS);
	CHECK_U64(walltime_slew(DAY_NS, DAY_NS, NS_PER_MS), DAY_NS);
}

TEST(walltime, dates_a_process_alike_until_the_clock_is_set)
{
	uint64_t mono_ns = clock_mono_ns(), started_ns, wall_ns = clock_now_ns();
	struct walltime wall;

	walltime_init(&wall, mono_ns);
	started_ns = walltime_boot(&wall, 5 * NS_PER_SEC);
	walltime_update(&wall, mono_ns + 2 * NS_PER_SEC);
	CHECK_U64(walltime_boot(&wall, 5 * NS_PER_SEC), started_ns);
	clock_set_ns(wall_ns + NS_PER_HOUR);
	walltime_update(&wall, mono_ns + 4 * NS_PER_SEC);
	clock_set_ns(0);
	CHECK_LT(walltime_boot(&wall, 5 * NS_PER_SEC) - started_ns - NS_PER_HOUR + NS_PER_MIN, 2 * NS_PER_MIN);
}
