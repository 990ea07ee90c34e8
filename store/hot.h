/*
 * A hot partition: rows gathered in memory, written as small lz4 row groups at
 * each commit; packets appended to packets.log when they come. The writer
 * thread's, until it is handed to the seal.
 */
#ifndef STORE_HOT_H
#define STORE_HOT_H

#include "store/packet_block.h"
#include "store/part.h"

struct hot_blob {		/* an encoded row group waiting for the commit */
	enum table_id table;
	struct rg_zone zone;
	size_t at, len;		/* in blob_bytes */
};

struct hot {
	struct part_entry entry;	/* as committed */
	char path[STORE_PATH_MAX];
	size_t map_bytes;
	int group_gid;
	struct kv *kv;			/* NULL while closed */
	int log_fd;			/* -1 while closed */

	/* not committed yet */
	struct rg_builder *builders[TABLE_MAX + 1];
	struct hot_blob *blobs;
	size_t blobs_count, blobs_cap;
	struct wr blob_bytes;
	struct part_table log_next;	/* blocks in the log behind the committed ones */
	uint64_t log_plain_bytes;
	uint64_t log_bytes;		/* length of packets.log with them */
	struct wr block_entries;	/* u32 length, entry; one a block */
	struct wr stored;		/* of the block at hand; kept, for the memory is as large as a block */
	bool log_dirty;
	uint64_t log_sent;	/* so far it is on its way to the disk, or there */

	bool entry_dirty;		/* committed, and the catalog does not know yet */
	uint64_t written_ns;		/* monotonic instant of the last row or packet */
};

struct hot_opts {
	const char *dir;		/* of the store */
	uint64_t hour;
	uint32_t gen;
	uint64_t serial;
	size_t map_bytes;
	int group_gid;
};
/* A new one, on disk and open. */
int hot_new(const struct hot_opts *opts, struct hot **ret_hot, struct err *err);
/*
 * One that an earlier run left: entry from the partition itself, torn tail of the packet log cut. Closed.
 * E_NOT_FOUND: died before its first commit; E_CORRUPT.
 */
int hot_load(const struct hot_opts *opts, struct hot **ret_hot, struct err *err);
void hot_free(struct hot *hot);			/* takes NULL; what is pending is lost */
/* Environment, log and builders. */
int hot_open(struct hot *hot, struct err *err);
void hot_close(struct hot *hot);		/* nothing may be pending */
static inline bool hot_is_open(const struct hot *hot)
{
	return hot->kv != NULL;
}

/* Rows of the table in a row, of this partition's hour. */
int hot_add_rows(struct hot *hot, const struct table *table, const void *rows, size_t count, struct err *err);
int hot_add_packets(struct hot *hot, const struct packet_block *block, enum codec codec, struct err *err);
bool hot_pending(const struct hot *hot);
size_t hot_pending_bytes(const struct hot *hot);
/* On disk, committed and pending together. */
size_t hot_disk_bytes(const struct hot *hot);

/* The three steps of a commit: encode, sync the log, then the transaction. */
int hot_encode(struct hot *hot, struct err *err);
int hot_sync(struct hot *hot, struct err *err);
int hot_commit(struct hot *hot, struct err *err);
/*
 * Forget what is pending after a failure: the log is cut to its committed
 * length. *ret_lost tells what is gone (range, packets, bytes).
 */
void hot_discard(struct hot *hot, struct store_gap *ret_lost);

#endif
