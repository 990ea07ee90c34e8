#include "ingest/import.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "ingest/source_file.h"
#include "ingest/tracker.h"
#include "ingest/committer.h"

#define BATCH_BYTES (4u << 20)		/* handed over from here on */
#define BATCHES 4
#define COMMIT_BYTES (64u << 20)
#define PROGRESS_FRAMES 4096		/* look at the clock that often */
#define PROGRESS_NS (100 * NS_PER_MS)
/* A file lies still: pauses are its own, and flows are not hurried out to make room. */
#define FILE_TCP_IDLE_NS (3600 * NS_PER_SEC)
#define FILE_UDP_IDLE_NS (300 * NS_PER_SEC)

struct import {
	const struct import_opts *opts;
	struct import_totals *totals;
	struct counters *counters;
	struct committer *committer;
	uint64_t started_ns, progress_at_ns;
	uint64_t bytes_before, bytes_total;	/* of the files already read; of all */

	/* one file */
	const char *path;
	size_t file_number;
	struct source_file *file;
	struct tracker *tracker;
	struct batch *batch;
	uint64_t source;
	uint64_t first_ns, last_ns;
};

/* ---- the frames that identify a file ---- */

/*
 * The first frames are read before the rest is begun: their hash is the seed of
 * all ids, so that the same file gives the same ids every time.
 */
struct lookahead {
	struct frame frames[IMPORT_SEED_FRAMES];
	struct wr bytes;	/* theirs */
	size_t count;
	bool end;
};

static int look_ahead(struct source_file *file, struct lookahead *ahead, struct err *err)
{
	int rc;

	wr_init(&ahead->bytes, 0);
	while (ahead->count < IMPORT_SEED_FRAMES && ahead->bytes.len < BATCH_BYTES) {
		struct frame *frame = &ahead->frames[ahead->count];

		rc = source_file_next(file, frame, err);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			ahead->end = true;
			break;
		}
		wr_bytes(&ahead->bytes, frame->bytes);
		ahead->count++;
	}
	if (ahead->bytes.bad)
		return err_set(err, E_NO_MEMORY, "no memory for the first frames");
	for (size_t i = 0, at = 0; i < ahead->count; i++) {	/* the buffer has stopped moving */
		ahead->frames[i].bytes.at = ahead->bytes.at + at;
		at += ahead->frames[i].bytes.len;
	}
	return 0;
}

static uint64_t seed_of(const struct lookahead *ahead)
{
	uint64_t h = hash_bytes(ahead->bytes.at, ahead->bytes.len, ahead->count);

	for (size_t i = 0; i < ahead->count; i++)
		h = hash_mix(h, ahead->frames[i].time_ns);
	return h;
}

/* ---- rows about the file itself ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (strcmp(path, "-") == 0)
		return "stdin";
	return slash && slash[1] ? slash + 1 : path;
}

/* [{"link":1,"name":"eth0","tsresol":9,"snaplen":65535}]: what an export needs to build the interfaces again. */
static void ifaces_json(const struct source_file *file, struct wr *out)
{
	struct json json;

	json_init(&json, out, false);
	json_object(&json);
	json_kcstr(&json, "format", source_file_kind(file));
	json_key(&json, "interfaces");
	json_array(&json);
	for (size_t i = 0; i < source_file_ifaces(file); i++) {
		const struct source_iface *iface = source_file_iface(file, i);

		json_object(&json);
		json_ku64(&json, "link", iface->link);
		json_kcstr(&json, "name", iface->name);
		json_ku64(&json, "tsresol", iface->tsresol);
		json_ku64(&json, "snaplen", iface->snaplen);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_object_end(&json);
}

static void source_row(struct import *import)
{
	struct entity_row row = { 0 };
	struct wr text;

	wr_init(&text, 0);
	ifaces_json(import->file, &text);
	row.id = import->source;
	row.start_ns = import->first_ns;
	row.end_ns = import->last_ns;
	row.kind = ENTITY_source;
	row.name = view_str(base_name(import->path));
	if (!text.bad)
		ROW_SET(ENTITY_ROW, &row, text, wr_view(&text));
	ROW_SET(ENTITY_ROW, &row, uid, view_str(import->path));
	batch_add(import->batch, TABLE_ENTITIES, &row);
	wr_release(&text);
}

static void status_text(struct import *import)
{
	struct wr *out = &import->batch->status;
	struct json json;

	tracker_gauges(import->tracker);
	wr_reset(out);
	json_init(&json, out, false);
	json_object(&json);
	json_kcstr(&json, "mode", "import");
	json_ku64(&json, "pid", (uint64_t)getpid());
	json_kcstr(&json, "file", base_name(import->path));
	json_ku64(&json, "now_ns", clock_now_ns());
	tracker_status(import->tracker, &json);
	json_key(&json, "counters");
	json_object(&json);
	for (int i = 0; i < COUNTER_COUNT; i++)
		json_ku64(&json, counter_infos[i].name, counter_get(import->counters, (enum counter)i));
	json_object_end(&json);
	json_key(&json, "undecoded");
	json_object(&json);
	for (int i = 1; i < DECODE_STATUS_COUNT; i++)
		if (tracker_undecoded(import->tracker)[i])
			json_ku64(&json, decode_status_name((enum decode_status)i),
				  tracker_undecoded(import->tracker)[i]);
	json_object_end(&json);
	json_object_end(&json);
}

/* ---- the loop ---- */

static int next_batch(struct import *import, struct err *err)
{
	if (import->batch) {
		if (import->tracker)
			status_text(import);
		committer_put(import->committer, import->batch);
	}
	import->batch = committer_take(import->committer, true);
	if (!import->batch) {
		int rc = committer_failed(import->committer, err);

		return rc < 0 ? rc : err_set(err, E_INTERNAL, "the writer has stopped");
	}
	if (import->tracker)
		tracker_set_batch(import->tracker, import->batch);
	return 0;
}

/* As next_batch, asked by the tracker. A failure is met by the next frame, or by the end. */
static struct batch *batch_full(void *arg, struct batch *full)
{
	struct import *import = arg;
	struct batch *next = committer_take(import->committer, true);

	if (next) {
		committer_put(import->committer, full);
		import->batch = next;
	}
	return next;
}

static int tell_progress(struct import *import, bool sealing, struct err *err)
{
	struct import_progress progress = {
		.path = import->path, .file = import->file_number, .files = import->opts->paths_count,
		.bytes = import->bytes_before + (import->file ? source_file_bytes(import->file) : 0),
		.bytes_total = import->bytes_total, .packets = import->totals->packets, .sealing = sealing,
	};
	uint64_t now_ns = clock_mono_ns();

	if (!import->opts->progress || (now_ns < import->progress_at_ns && !sealing))
		return 0;
	import->progress_at_ns = now_ns + PROGRESS_NS;
	progress.elapsed_ns = now_ns - import->started_ns;
	if (!import->opts->progress(import->opts->arg, &progress))
		return err_set(err, E_CANCELLED, "%s: stopped after %llu packets", import->path,
			       (unsigned long long)progress.packets);
	return 0;
}

static int take_frame(struct import *import, const struct frame *frame, struct err *err)
{
	int rc = tracker_frame(import->tracker, frame);

	if (rc < 0)
		return err_set(err, rc, "%s: no memory for packet %llu", import->path,
			       (unsigned long long)import->totals->packets + 1);
	import->totals->packets++;
	import->totals->captured_bytes += frame->bytes.len;
	import->totals->wire_bytes += frame->orig_len;
	if (frame->time_ns < import->first_ns)
		import->first_ns = frame->time_ns;
	if (frame->time_ns > import->last_ns)
		import->last_ns = frame->time_ns;
	if (batch_bytes(import->batch) >= BATCH_BYTES) {
		rc = next_batch(import, err);
		if (rc < 0)
			return rc;
	}
	if (import->totals->packets % PROGRESS_FRAMES == 0)
		return tell_progress(import, false, err);
	return 0;
}

/* A pipe has nothing for us: what we have need not wait with it. */
static int on_wait(void *arg, struct err *err)
{
	struct import *import = arg;
	int rc = batch_empty(import->batch) ? 0 : next_batch(import, err);

	return rc < 0 ? rc : tell_progress(import, false, err);
}

static int read_frames(struct import *import, const struct lookahead *ahead, struct err *err)
{
	struct frame frame;
	int rc = 0;

	for (size_t i = 0; i < ahead->count && rc >= 0; i++)
		rc = take_frame(import, &ahead->frames[i], err);
	while (rc >= 0 && !ahead->end) {
		rc = source_file_next(import->file, &frame, err);
		if (rc <= 0)
			break;
		rc = take_frame(import, &frame, err);
	}
	return rc;
}

static int begin_file(struct import *import, const struct lookahead *ahead, struct err *err)
{
	uint64_t seed = seed_of(ahead);
	struct tracker_opts opts = import->opts->tracker;
	int rc;

	opts.source = hash_bytes(base_name(import->path), strlen(base_name(import->path)), seed) | 1;
	opts.id_seed = seed;
	opts.counters = import->counters;
	opts.batch_full = batch_full;
	opts.batch_full_arg = import;
	opts.batch_bytes_max = BATCH_BYTES;
	if (!opts.tcp_idle_ns)
		opts.tcp_idle_ns = FILE_TCP_IDLE_NS;
	if (!opts.udp_idle_ns)
		opts.udp_idle_ns = FILE_UDP_IDLE_NS;
	rc = tracker_new(&opts, &import->tracker, err);
	if (rc < 0)
		return rc;
	import->source = opts.source;
	import->first_ns = ahead->count ? ahead->frames[0].time_ns : clock_now_ns();
	import->last_ns = import->first_ns;
	tracker_set_batch(import->tracker, import->batch);
	/* Told at once, and again with the whole range at the end: rows must not refer to nothing after a crash. */
	source_row(import);
	tracker_event(import->tracker, EVENT_capture_start, import->first_ns, "import", 0, base_name(import->path));
	return 0;
}

static void end_file(struct import *import)
{
	const char *warning = source_file_warning(import->file);
	uint64_t packets = 0;

	for (size_t i = 0; i < source_file_ifaces(import->file); i++)
		packets += source_file_iface(import->file, i)->frames;
	tracker_end(import->tracker);
	source_row(import);
	tracker_event(import->tracker, EVENT_capture_end, import->last_ns, warning ? "cut_short" : "end_of_file",
		      packets, warning ? warning : base_name(import->path));
	import->totals->files++;
	if (warning) {
		import->totals->files_cut++;
		if (import->opts->warning)
			import->opts->warning(import->opts->arg, import->path, warning);
	}
}

static void add_totals(struct import *import)
{
	struct import_totals *totals = import->totals;
	uint64_t bytes = source_file_bytes(import->file);

	totals->bytes += bytes;
	import->bytes_before += bytes;
	if (!import->tracker)
		return;
	for (int i = 0; i < DECODE_STATUS_COUNT; i++)
		totals->undecoded[i] += tracker_undecoded(import->tracker)[i];
	if (import->first_ns < totals->first_ns)
		totals->first_ns = import->first_ns;
	if (import->last_ns > totals->last_ns)
		totals->last_ns = import->last_ns;
}

static int import_file(struct import *import, const char *path, struct err *err)
{
	struct lookahead ahead = { 0 };
	int rc;

	import->path = path;
	rc = source_file_open(path, &import->file, err);
	if (rc < 0)
		return rc;
	source_file_on_wait(import->file, on_wait, import);
	rc = look_ahead(import->file, &ahead, err);
	if (rc >= 0)
		rc = begin_file(import, &ahead, err);
	if (rc >= 0) {
		rc = read_frames(import, &ahead, err);
		/* What was read before a failure is kept, and its flows are closed. */
		if (import->batch)
			end_file(import);
	}
	if (rc >= 0 || import->batch) {
		int put = import->batch ? next_batch(import, rc < 0 ? NULL : err) : 0;

		rc = rc < 0 ? rc : put;
	}
	add_totals(import);
	tracker_free(import->tracker);
	import->tracker = NULL;
	source_file_close(import->file);
	import->file = NULL;
	wr_release(&ahead.bytes);
	return rc;
}

static uint64_t size_of_all(const struct import_opts *opts)
{
	uint64_t total = 0;
	struct stat st;

	for (size_t i = 0; i < opts->paths_count; i++) {
		if (strcmp(opts->paths[i], "-") == 0 || stat(opts->paths[i], &st) < 0 || !S_ISREG(st.st_mode))
			return 0;
		total += (uint64_t)st.st_size;
	}
	return total;
}

int import_run(const struct import_opts *opts, struct import_totals *ret_totals, struct err *err)
{
	struct counters own = { 0 };
	struct import import = { .opts = opts, .totals = ret_totals,
				 .counters = opts->counters ? opts->counters : &own };
	struct committer_opts committer_opts = { .commit_bytes = COMMIT_BYTES, .batches = BATCHES, .counters = import.counters,
					   .store = { .zstd_level = opts->zstd_level,
						      .group_gid = opts->group_gid ? opts->group_gid : -1 } };
	uint64_t rows_before = counter_get(import.counters, COUNTER_flow_rows_total);
	uint64_t calls_before = counter_get(import.counters, COUNTER_call_rows_total);
	uint64_t sealing_ns;
	char name[32];
	int rc, closed;

	*ret_totals = (struct import_totals){ .first_ns = UINT64_MAX };
	(void)snprintf(name, sizeof(name), "import pid %d", (int)getpid());
	import.started_ns = clock_mono_ns();
	import.bytes_total = size_of_all(opts);
	committer_opts.name = name;
	/* Files lie still: all of them or nothing. What comes through a pipe is kept, and visible, as it comes. */
	committer_opts.store.bulk = !opts->no_seal && import.bytes_total;
	committer_opts.store.bulk_bytes_max = opts->load_bytes_max;
	rc = committer_open(opts->data_dir, &committer_opts, &import.committer, err);
	if (rc < 0)
		return rc;
	rc = next_batch(&import, err);
	for (size_t i = 0; i < opts->paths_count && rc >= 0; i++) {
		import.file_number = i;
		rc = import_file(&import, opts->paths[i], err);
	}
	if (import.batch)
		committer_put(import.committer, import.batch);
	if (rc >= 0)
		(void)tell_progress(&import, true, NULL);
	sealing_ns = clock_mono_ns();
	ret_totals->read_ns = sealing_ns - import.started_ns;
	closed = committer_close(import.committer, !opts->no_seal, rc < 0 ? NULL : err);
	ret_totals->seal_ns = clock_mono_ns() - sealing_ns;
	ret_totals->flow_rows = counter_get(import.counters, COUNTER_flow_rows_total) - rows_before;
	ret_totals->call_rows = counter_get(import.counters, COUNTER_call_rows_total) - calls_before;
	return rc < 0 ? rc : closed;
}
