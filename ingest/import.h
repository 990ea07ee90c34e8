/* Capture files into a store: the whole way of data without a kernel. */
#ifndef INGEST_IMPORT_H
#define INGEST_IMPORT_H

#include "base/err.h"
#include "schema/counters.h"
#include "ingest/tracker.h"

struct import_progress {
	const char *path;	/* of the file being read */
	size_t file, files;	/* its number, from 0; how many */
	uint64_t bytes;		/* read so far, of all files */
	uint64_t bytes_total;	/* 0 while a pipe is among them */
	uint64_t packets;
	uint64_t elapsed_ns;
	bool sealing;		/* everything is read; the store is being sealed */
};

struct import_opts {
	const char *const *paths;	/* "-": standard input */
	size_t paths_count;
	const char *data_dir;
	int zstd_level;			/* 0 = the store's default */
	int group_gid;			/* the group that may read the store; 0: as it is */
	size_t load_bytes_max;		/* memory for rows and frames of the hours that are open at a time; 0 = 448 MiB */
	struct tracker_opts tracker;	/* flows_max, the timeouts, stream_bytes_max, protocols; the rest is ours to set */
	bool no_seal;			/* leave the partitions hot: tests */
	/* About ten times a second; NULL: none. Returns false to stop: E_CANCELLED, what was read so far is kept. */
	bool (*progress)(void *arg, const struct import_progress *progress);
	/* A file ended early, with the words; NULL: none. */
	void (*warning)(void *arg, const char *path, const char *text);
	void *arg;
	struct counters *counters;	/* NULL: its own */
};

struct import_totals {
	uint64_t files, files_cut;	/* cut: ended early, with a warning */
	uint64_t bytes, packets, captured_bytes, wire_bytes;
	uint64_t flow_rows, call_rows;
	uint64_t undecoded[DECODE_STATUS_COUNT];
	uint64_t first_ns, last_ns;	/* times of frames; first > last: none */
	uint64_t read_ns, seal_ns;	/* wall time */
};

/*
 * Read every file into the store at data_dir and seal it. A file that is no
 * capture is E_FORMAT at once, before anything is written for it; files before
 * it stay imported. *ret_totals is filled as far as it went, also on failure.
 */
int import_run(const struct import_opts *opts, struct import_totals *ret_totals, struct err *err);

/* The identifier of the capture source of a file: the same for the same name and first frames. */
#define IMPORT_SEED_FRAMES 16

#endif
