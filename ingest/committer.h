/*
 * The thread that alone owns the store's write side. Others fill batches and
 * hand them over; it writes, commits and keeps the store tidy. The number of
 * batches is fixed: when all are under way the filler waits (import) or drops
 * (live).
 */
#ifndef INGEST_COMMITTER_H
#define INGEST_COMMITTER_H

#include "base/json.h"
#include "ingest/batch.h"
#include "schema/counters.h"

struct committer;

struct committer_opts {
	const char *name;		/* told to a second writer: "record pid 42" */
	struct store_writer_opts store;	/* its name is set from name */
	size_t batches;			/* 0 = 6 */
	size_t commit_bytes;		/* 0 = 4 MiB */
	uint64_t commit_ns;		/* 0 = 1 s */
	/*
	 * Keep on when the disk is full or fails: payload is dropped first, then rows, and a gap says so once
	 * it works again (live). Else the first failure is the end (import).
	 */
	bool survive;
	/* While others wait for the processors frames are written as they are: the seal packs them, later. */
	bool yield;
	bool plain;			/* never pack frames: benches */
	struct counters *counters;	/* required */
};

/* Opens the store and starts the thread. Errors are those of store_writer_open. */
int committer_open(const char *dir, const struct committer_opts *opts, struct committer **ret_committer,
		   struct err *err);
/* An empty batch; NULL when all are under way (wait false), or when writing has failed for good. */
struct batch *committer_take(struct committer *committer, bool wait);
/* Hand a batch over; it belongs to the thread from now on. */
void committer_put(struct committer *committer, struct batch *batch);
/* Batches that wait for it, or are being written. */
size_t committer_queued(struct committer *committer);
/* What went wrong for good: negative, and the words; 0 while all is well. */
int committer_failed(struct committer *committer, struct err *err);
/* True while the disk does not take what we have. */
bool committer_degraded(struct committer *committer);
/* Members of an open JSON object: "degraded", "dropped_packets", "last_error" ... */
void committer_status(struct committer *committer, struct json *json);
/* Writes what is queued, commits, closes the store in good order, ends the thread. Frees it in any case. */
int committer_close(struct committer *committer, bool seal, struct err *err);

#endif
