#include "ingest/walltime.h"

#define READ_EVERY_NS NS_PER_SEC
#define SET_BACK_NS (10 * NS_PER_SEC)	/* more than this back: somebody set the clock, follow at once */
#define BOOT_MOVE_NS ((int64_t)NS_PER_SEC)

/* Wall clock minus a clock that does not jump; of three readings the one least disturbed. */
static uint64_t offset_from(uint64_t (*read)(void))
{
	uint64_t best_offset_ns = 0, best_span_ns = UINT64_MAX;

	for (int i = 0; i < 3; i++) {
		uint64_t before_ns = read(), wall_ns = clock_now_ns(), span_ns = read() - before_ns;

		if (span_ns < best_span_ns) {
			best_span_ns = span_ns;
			best_offset_ns = wall_ns - (before_ns + span_ns / 2);
		}
	}
	return best_offset_ns;
}

static void read_clocks(struct walltime *wall, uint64_t mono_ns)
{
	uint64_t boot_offset_ns = offset_from(clock_boot_ns);
	int64_t moved_ns = (int64_t)(boot_offset_ns - wall->boot_offset_ns);

	if (moved_ns > BOOT_MOVE_NS || moved_ns < -BOOT_MOVE_NS)
		wall->boot_offset_ns = boot_offset_ns;
	wall->target_ns = offset_from(clock_mono_ns);
	wall->read_again_ns = mono_ns + READ_EVERY_NS;
}

/* Forward at once; back at a tenth of the speed of time. */
uint64_t walltime_slew(uint64_t offset_ns, uint64_t target_ns, uint64_t elapsed_ns)
{
	int64_t ahead_ns = (int64_t)(offset_ns - target_ns);

	if (ahead_ns > (int64_t)(elapsed_ns / 10) && ahead_ns < (int64_t)SET_BACK_NS)
		return offset_ns - elapsed_ns / 10;
	return target_ns;
}

void walltime_init(struct walltime *wall, uint64_t mono_ns)
{
	*wall = (struct walltime){ .moved_ns = mono_ns };
	read_clocks(wall, mono_ns);
	wall->offset_ns = wall->target_ns;
}

void walltime_update(struct walltime *wall, uint64_t mono_ns)
{
	if (mono_ns >= wall->read_again_ns)
		read_clocks(wall, mono_ns);
	wall->offset_ns = walltime_slew(wall->offset_ns, wall->target_ns, mono_ns - wall->moved_ns);
	wall->moved_ns = mono_ns;
}

uint64_t walltime_next(struct walltime *wall, uint64_t mono_ns)
{
	if (mono_ns < wall->last_ns) {
		wall->late++;
		mono_ns = wall->last_ns;
	}
	wall->last_ns = mono_ns;
	return mono_ns + wall->offset_ns;
}
