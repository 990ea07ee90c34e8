/*
 * The kernel's monotonic and boot-time instants as instants since 1970, by
 * offsets that are read again every second. Never runs backwards by itself: a
 * wall clock that is set back a little is followed slowly. One thread.
 */
#ifndef INGEST_WALLTIME_H
#define INGEST_WALLTIME_H

#include "base/clock.h"

struct walltime {
	uint64_t offset_ns;	/* in use; moves towards target_ns */
	uint64_t target_ns;	/* wall minus monotonic, as last read */
	uint64_t moved_ns;	/* monotonic instant of the last move */
	uint64_t boot_offset_ns;
	uint64_t read_again_ns;
	uint64_t last_ns;	/* monotonic instant last converted in order */
	uint64_t late;		/* conversions that would have broken the order */
};

void walltime_init(struct walltime *wall, uint64_t mono_ns);
/* Call before a batch of conversions. */
void walltime_update(struct walltime *wall, uint64_t mono_ns);
/* In order: an instant before the last one given becomes the last one, and is counted. */
uint64_t walltime_next(struct walltime *wall, uint64_t mono_ns);
/*
 * The start of a process. The same for as long as it runs, since pid and start
 * together are its name: only a clock that is set by more than a second moves it.
 */
static inline uint64_t walltime_boot(const struct walltime *wall, uint64_t boot_ns)
{
	return boot_ns + wall->boot_offset_ns;
}

/* The rule of walltime_update, alone: where offset_ns goes after elapsed_ns of time. */
uint64_t walltime_slew(uint64_t offset_ns, uint64_t target_ns, uint64_t elapsed_ns);

#endif
