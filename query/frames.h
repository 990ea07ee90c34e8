/*
 * Frames of a range in the order of capture, over all its partitions: by number
 * within a source, sources merged by time. One thread.
 */
#ifndef QUERY_FRAMES_H
#define QUERY_FRAMES_H

#include "store/store.h"

struct frames;

/* flow_ids: ascending, or NULL for all; must outlive it. */
int frames_open(struct store *store, uint64_t from_ns, uint64_t to_ns, const uint64_t *flow_ids, size_t flow_count,
		struct frames **ret_frames, struct err *err);
/* Its threads help; it outlives frames. Before the first frame. */
void frames_crew(struct frames *frames, struct crew *crew);
void frames_close(struct frames *frames);
/* 1 and a frame that is valid until the next call, 0 at the end. A damaged block is skipped and counted. */
int frames_next(struct frames *frames, struct packet_rec *ret_rec, uint64_t *ret_source, struct err *err);
uint64_t frames_damaged(const struct frames *frames);
/* Frames of the range that may have matched are no longer held. */
bool frames_expired(const struct frames *frames);
size_t frames_parts(const struct frames *frames);

#endif
