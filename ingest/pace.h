/*
 * How a live recorder keeps up: how often the rings are drained, when its
 * threads go before others, and what is left out when even that is not enough.
 * Pure: decides by what it is told.
 */
#ifndef INGEST_PACE_H
#define INGEST_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Capture levels, each leaves out more: enum ring_level of schema/event.h. */
struct pace_opts {
	uint64_t drain_ns;	/* while there is traffic; 0 = 4 ms */
	uint64_t idle_ns;	/* without any, and at most; 0 = 32 ms */
	uint64_t calm_ns;	/* so long without pressure before one level less; 0 = 2 s */
};

struct pace_seen {
	uint64_t now_ns;	/* monotonic */
	uint64_t frames;	/* of the last drain */
	unsigned ring_permille;	/* how full the fullest ring was before it */
	unsigned queue_permille;	/* how full the memory for batches is */
};

struct pace {
	struct pace_opts opts;
	/* decided */
	uint64_t interval_ns;	/* until the next drain */
	bool hurry;		/* go before others */
	unsigned level;
	bool by_queue;		/* the level is the writer's fault, else the ring's */
	/* its own */
	uint64_t pressed_since_ns;	/* 0: there is no reason for a higher level */
	unsigned pressed_permille;	/* how full it was then */
	uint64_t calm_since_ns;	/* 0: there is pressure */
};

void pace_init(struct pace *pace, const struct pace_opts *opts);
/* After each round of a drain. True when the level has changed. */
bool pace_next(struct pace *pace, const struct pace_seen *seen);

#endif
