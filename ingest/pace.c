#include "ingest/pace.h"

#include "base/clock.h"
#include "schema/event.h"

/* Of ring or queue. Between calm and the first step a level stays as it is. */
#define CALM_PERMILLE 200
#define HURRY_PERMILLE 50
#define FREE_PERMILLE 10
/*
 * What piled up while the reader waited for a processor is no reason to leave anything out as long as it gets less now
 * that the reader runs. This much more, or no less after so long: it does not keep up.
 */
#define GROWTH_PERMILLE 50
#define PATIENCE_NS (50 * NS_PER_MS)
#define FULL_PERMILLE 900	/* no time left to see */

static unsigned level_of(unsigned permille)
{
	return permille >= 850 ? RING_LEVEL_COUNT : permille >= 700 ? RING_LEVEL_HEADERS :
	       permille >= 500 ? RING_LEVEL_THIN : RING_LEVEL_FULL;
}

void pace_init(struct pace *pace, const struct pace_opts *opts)
{
	*pace = (struct pace){ .opts = *opts };
	if (!pace->opts.drain_ns)
		pace->opts.drain_ns = 4 * NS_PER_MS;
	if (!pace->opts.idle_ns)
		pace->opts.idle_ns = 32 * NS_PER_MS;
	if (pace->opts.idle_ns < pace->opts.drain_ns)
		pace->opts.idle_ns = pace->opts.drain_ns;
	if (!pace->opts.calm_ns)
		pace->opts.calm_ns = 2 * NS_PER_SEC;
	pace->interval_ns = pace->opts.drain_ns;
}

/* The level that so full a ring or queue asks for, once it is clear that draining does not help. */
static bool must_rise(struct pace *pace, unsigned permille, uint64_t now_ns)
{
	unsigned level = level_of(permille);

	if (level <= pace->level) {
		pace->pressed_since_ns = 0;
		return false;
	}
	if (!pace->pressed_since_ns || permille + GROWTH_PERMILLE <= pace->pressed_permille) {
		pace->pressed_since_ns = now_ns;
		pace->pressed_permille = permille;
	}
	if (permille < FULL_PERMILLE && permille < pace->pressed_permille + GROWTH_PERMILLE &&
	    now_ns - pace->pressed_since_ns < PATIENCE_NS)
		return false;
	pace->pressed_since_ns = 0;
	return true;
}

bool pace_next(struct pace *pace, const struct pace_seen *seen)
{
	unsigned ring = seen->ring_permille, queue = seen->queue_permille;
	unsigned permille = ring > queue ? ring : queue, was = pace->level;

	if (seen->frames)
		pace->interval_ns = pace->opts.drain_ns;
	else if (pace->interval_ns < pace->opts.idle_ns)
		pace->interval_ns = pace->interval_ns * 2 < pace->opts.idle_ns ? pace->interval_ns * 2 : pace->opts.idle_ns;
	pace->hurry = permille >= (pace->hurry ? FREE_PERMILLE : HURRY_PERMILLE);

	if (must_rise(pace, permille, seen->now_ns)) {
		pace->level = level_of(permille);
		pace->by_queue = queue > ring;
	}
	if (permille > CALM_PERMILLE) {
		pace->calm_since_ns = 0;
	} else if (!pace->calm_since_ns) {
		pace->calm_since_ns = seen->now_ns;
	} else if (pace->level && seen->now_ns - pace->calm_since_ns >= pace->opts.calm_ns) {
		pace->level--;
		pace->calm_since_ns = seen->now_ns;	/* the next one has to prove itself, too */
	}
	return pace->level != was;
}
