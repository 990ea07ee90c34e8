/*
 * The recorder: the kernel's frames and socket events into the store, until a
 * signal. The calling thread drains the rings and tracks flows; another one
 * writes (ingest/committer.h).
 */
#ifndef INGEST_RECORDER_H
#define INGEST_RECORDER_H

#include "base/err.h"
#include "ingest/live.h"
#include "ingest/tracker.h"

struct recorder_opts {
	const char *data_dir;
	const char *node;		/* name of this machine; NULL = the host name */
	struct live_opts live;
	struct tracker_opts tracker;	/* flows_max, the timeouts, stream_bytes_max, protocols; the rest is ours to set */
	int zstd_level;			/* of sealed partitions; 0 = the store's default */
	int group_gid;			/* the group that may read the store; -1: as it is */
	uint64_t drain_ns;		/* how often the rings are drained while there is traffic; 0 = 4 ms */
	/* Capture has begun: rows follow. Called once, from the calling thread. NULL: none. */
	void (*ready)(void *arg);
	/* About once a second; false stops as a signal does. NULL: none. */
	bool (*alive)(void *arg);
	void *arg;
};

/*
 * Record until SIGTERM or SIGINT, which end it in good order: flows are
 * reported, everything is committed. SIGHUP is taken and changes nothing:
 * retention policy is read from the store every minute anyway. Errors: those
 * of live_open and store_writer_open before capture; later failures of the
 * disk are survived and reported in the status.
 */
int recorder_run(const struct recorder_opts *opts, struct err *err);

#endif
