/*
 * The writer of packets.seg: frames go in in the order of capture, are cut into
 * windows of at most 64 MiB, and clustered by flow within each. So one flow
 * lies in a few blocks, and an export of everything holds one window in memory.
 * Frames of other payload classes than the default one go into segments of their
 * own: what a load of frames has of each is a window.
 *
 * Blocks of a window are packed by the threads of a pool while the next window
 * fills; everything else happens in the caller's thread.
 */
#ifndef STORE_PACKET_WINDOW_H
#define STORE_PACKET_WINDOW_H

#include "base/pool.h"
#include "store/part.h"
#include "store/payload_class.h"

struct packet_window;

struct packet_window_opts {
	const char *dir;		/* of the new partition */
	int group_gid;
	int zstd_level;
	struct kv_batch *batch;		/* takes the block table and the flow tables */
	struct part_entry *entry;	/* counts packets, blocks and bytes */
	struct pool *pool;		/* NULL: pack in the caller's thread */
	const struct payload_classes *classes;	/* borrowed; asked when a window is full. NULL: all default */
};
int packet_window_new(const struct packet_window_opts *opts, struct packet_window **ret_window, struct err *err);
void packet_window_free(struct packet_window *window);	/* takes NULL; what is not written is lost */
/* Copies the frame. Numbers of a source ascend, or cost a sort. */
int packet_window_add(struct packet_window *window, const struct packet_rec *rec, uint64_t source, struct err *err);
/*
 * All frames of a block, whose bytes change hands where that is worth it: it may come back without any,
 * and with other memory, to be filled again.
 */
int packet_window_take(struct packet_window *window, struct packet_block *block, struct err *err);
/* Memory held by frames that wait. */
size_t packet_window_bytes(const struct packet_window *window);
/* Begin to pack what waits as a window of its own: the threads of the pool are at it while the caller does something else. */
int packet_window_start(struct packet_window *window, struct err *err);
/* Write what waits as a window of its own and give the memory back. */
int packet_window_flush(struct packet_window *window, struct err *err);
/* Flush, sync and close the file. */
int packet_window_end(struct packet_window *window, struct err *err);

#endif
