#include "ingest/merge.h"

#include <assert.h>

#include "base/mem.h"

void merge_init(struct merge *merge)
{
	*merge = (struct merge){ 0 };
}

void merge_release(struct merge *merge)
{
	for (unsigned i = 0; i < merge->count; i++)
		mem_free(merge->queues[i].at);
	merge_init(merge);
}

int merge_add(struct merge *merge, struct ring *ring)
{
	struct merge_queue *queue = &merge->queues[merge->count];

	assert(merge->count < MERGE_RINGS_MAX);
	queue->at = mem_array(MERGE_AHEAD_MAX, sizeof(*queue->at));
	if (!queue->at)
		return E_NO_MEMORY;
	queue->ring = ring;
	merge->count++;
	return 0;
}

/* Nearly in order already: an item sinks past the few that overtook it. */
static void insert(struct merge_queue *queue, struct merge_item item)
{
	size_t i = queue->count++;

	while (i > queue->head && queue->at[i - 1].time_ns > item.time_ns) {
		queue->at[i] = queue->at[i - 1];
		i--;
	}
	queue->at[i] = item;
}

static void fill(struct merge *merge, struct merge_queue *queue)
{
	struct merge_item item;
	struct ring_head head;

	while (queue->count < MERGE_AHEAD_MAX && ring_next(queue->ring, &item.record, &item.pos) > 0) {
		if (item.record.len < sizeof(head)) {
			merge->malformed++;
			continue;
		}
		memcpy(&head, item.record.at, sizeof(head));
		item.time_ns = head.time_ns;
		insert(queue, item);
	}
	/* What follows in a ring that was not read to its end may be as old as its last one. */
	if (queue->count == MERGE_AHEAD_MAX && queue->at[queue->count - 1].time_ns < merge->until_ns)
		merge->until_ns = queue->at[queue->count - 1].time_ns;
}

void merge_begin(struct merge *merge, uint64_t until_ns)
{
	merge->until_ns = until_ns;
	for (unsigned i = 0; i < merge->count; i++)
		fill(merge, &merge->queues[i]);
}

int merge_next(struct merge *merge, struct view *ret_record)
{
	struct merge_queue *first = NULL;
	uint64_t first_ns = 0;

	for (unsigned i = merge->count; i-- > 0;) {
		struct merge_queue *queue = &merge->queues[i];
		uint64_t time_ns;

		if (queue->head == queue->count)
			continue;
		time_ns = queue->at[queue->head].time_ns;
		if (time_ns <= merge->until_ns && (!first || time_ns < first_ns)) {
			first = queue;
			first_ns = time_ns;
		}
	}
	if (!first)
		return 0;
	*ret_record = first->at[first->head++].record;
	/* Of the next one the first line has been read; what is behind comes while this one is worked on. */
	if (first->head < first->count)
		__builtin_prefetch(first->at[first->head].record.at + 64);
	return 1;
}

void merge_end(struct merge *merge)
{
	for (unsigned i = 0; i < merge->count; i++) {
		struct merge_queue *queue = &merge->queues[i];
		uint64_t pos = queue->ring->read_pos;

		queue->count -= queue->head;
		memmove(queue->at, queue->at + queue->head, queue->count * sizeof(*queue->at));
		queue->head = 0;
		/* Up to the first record that still waits, in the order of the ring. */
		for (size_t j = 0; j < queue->count; j++) {
			if (queue->at[j].pos < pos)
				pos = queue->at[j].pos;
		}
		ring_give_back(queue->ring, pos);
	}
}
