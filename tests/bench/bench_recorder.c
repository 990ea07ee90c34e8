/*
 * What the recorder does behind the rings, without kernel and clock: the frames of a capture file as both ends of
 * connections within one machine see them, through tracker and batches into a hot store, by the threads of the recorder.
 *
 * usage: bench_recorder FILE DIR [PORT [plain]]     PORT is the servers' (80); the source's frames are bare IPv4
 *
 * Prints CPU seconds of each thread per million frames (second views count). Build: see README.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ingest/committer.h"
#include "ingest/source_file.h"
#include "ingest/tracker.h"

#define BATCH_BYTES (1u << 20)

struct kept {
	struct frame frame;
	size_t at;
};

struct bench {
	struct wr bytes;
	struct kept *frames;
	size_t count, cap;
	struct counters counters;
	struct committer *committer;
	struct tracker *tracker;
	struct batch *batch;
};

static void die(const char *what, const struct err *err)
{
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

static void keep(struct bench *bench, const struct frame *frame)
{
	if (mem_grow((void **)&bench->frames, &bench->cap, bench->count, sizeof(*bench->frames)) < 0)
		exit(1);
	bench->frames[bench->count++] = (struct kept){ *frame, bench->bytes.len };
	wr_bytes(&bench->bytes, frame->bytes);
}

/* All frames into memory, each twice: at the socket that sends it, then where it arrives. */
static void load(struct bench *bench, const char *path, unsigned port)
{
	struct source_file *file;
	struct err err = { 0 };
	struct frame frame;
	int rc = source_file_open(path, &file, &err);

	while (rc >= 0 && (rc = source_file_next(file, &frame, &err)) > 0) {
		const uint8_t *at = frame.bytes.at;
		size_t head = frame.bytes.len < 40 ? 0 : (at[0] & 15u) * 4u;
		bool to_server = head && ((unsigned)at[head + 2] << 8 | at[head + 3]) == port;
		size_t headers = head ? head + (size_t)(at[head + 12] >> 4) * 4 : 0;
		struct frame other;

		if (!head || at[9] != 6)
			continue;
		frame.at = to_server ? FRAME_EGRESS : FRAME_INGRESS;
		frame.cookie = 1;
		frame.netns = 1;
		other = frame;
		other.at = to_server ? FRAME_INGRESS : FRAME_EGRESS;
		other.cookie = 2;
		other.netns = 2;
		other.second = true;
		other.bytes = view_sub(other.bytes, 0, headers);
		keep(bench, to_server ? &frame : &other);
		keep(bench, to_server ? &other : &frame);
	}
	if (rc < 0)
		die(path, &err);
	source_file_close(file);
}

static void hand_over(struct bench *bench, bool commit)
{
	struct batch *next = committer_take(bench->committer, true);
	struct err err = { 0 };

	if (!next) {
		(void)committer_failed(bench->committer, &err);
		die("the writer", &err);
	}
	bench->batch->commit = commit;
	committer_put(bench->committer, bench->batch);
	bench->batch = next;
	tracker_set_batch(bench->tracker, next);
}

static double cpu_of(int who)
{
	struct rusage usage;

	(void)getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	struct bench *bench = mem_zalloc(sizeof(*bench));
	struct committer_opts copts = { .name = "bench", .survive = false, .batches = 48, .commit_bytes = 64u << 20,
					.store = { .group_gid = -1 } };
	struct tracker_opts topts = { .source = 1, .id_seed = 1 };
	uint64_t committed_ns = 0;
	struct err err = { 0 };
	double own, all;

	if (argc < 3 || !bench) {
		fprintf(stderr, "usage: %s FILE DIR [PORT [plain]]\n", argv[0]);
		return 2;
	}
	wr_init(&bench->bytes, 0);
	load(bench, argv[1], argc > 3 ? (unsigned)atoi(argv[3]) : 80);
	copts.counters = topts.counters = &bench->counters;
	copts.plain = argc > 4;
	if (committer_open(argv[2], &copts, &bench->committer, &err) < 0)
		die(argv[2], &err);
	if (tracker_new(&topts, &bench->tracker, &err) < 0)
		die("tracker", &err);
	bench->batch = committer_take(bench->committer, true);
	tracker_set_batch(bench->tracker, bench->batch);
	own = cpu_of(RUSAGE_THREAD);
	all = cpu_of(RUSAGE_SELF);
	for (size_t i = 0; i < bench->count; i++) {
		struct kept *kept = &bench->frames[i];

		kept->frame.bytes.at = bench->bytes.at + kept->at;
		if (batch_bytes(bench->batch) >= BATCH_BYTES)
			hand_over(bench, false);
		if (kept->frame.time_ns > committed_ns + NS_PER_SEC) {
			committed_ns = kept->frame.time_ns;
			hand_over(bench, true);
		}
		if (tracker_frame(bench->tracker, &kept->frame) < 0)
			die("tracker", &err);
	}
	tracker_end(bench->tracker);
	own = cpu_of(RUSAGE_THREAD) - own;
	committer_put(bench->committer, bench->batch);
	if (committer_close(bench->committer, false, &err) < 0)
		die("close", &err);
	all = cpu_of(RUSAGE_SELF) - all;
	printf("%zu frames, %zu bytes: tracker %.3f, writer %.3f CPU s per million frames; %llu calls\n", bench->count,
	       bench->bytes.len, own * 1e6 / (double)bench->count, (all - own) * 1e6 / (double)bench->count,
	       (unsigned long long)counter_get(&bench->counters, COUNTER_call_rows_total));
	tracker_free(bench->tracker);
	wr_release(&bench->bytes);
	mem_free(bench->frames);
	mem_free(bench);
	return 0;
}
