/*
 * Records of several rings in one order of time. Each record begins with a
 * struct ring_head. A ring is nearly in order: processors reserve space a
 * little later than they take the time. One thread.
 */
#ifndef INGEST_MERGE_H
#define INGEST_MERGE_H

#include "ingest/ring.h"
#include "schema/event.h"

#define MERGE_RINGS_MAX (RING_COUNT_MAX + 1)
#define MERGE_AHEAD_MAX 8192	/* records of one ring that are looked at ahead of handing them over */

struct merge_item {
	uint64_t time_ns;	/* monotonic */
	uint64_t pos;
	struct view record;	/* in the ring */
};

struct merge_queue {
	struct ring *ring;		/* borrowed */
	struct merge_item *at;
	size_t head, count;		/* at[head..count) wait, by time */
};

struct merge {
	struct merge_queue queues[MERGE_RINGS_MAX];
	unsigned count;
	uint64_t until_ns;	/* of this round */
	uint64_t malformed;	/* records too short to have a time */
};

void merge_init(struct merge *merge);
void merge_release(struct merge *merge);
/* The ring must outlive the merge. On a tie a ring added later goes first. E_NO_MEMORY. */
int merge_add(struct merge *merge, struct ring *ring);

/*
 * A round: begin, next as often as wanted, end. Records younger than until_ns
 * stay for a later round. A record is valid until merge_end, which gives the
 * space of those handed out back to the kernel.
 */
void merge_begin(struct merge *merge, uint64_t until_ns);
int merge_next(struct merge *merge, struct view *ret_record);
void merge_end(struct merge *merge);

#endif
