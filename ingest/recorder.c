#include "ingest/recorder.h"

#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "ingest/committer.h"
#include "ingest/loop.h"
#include "ingest/pace.h"
#include "ingest/tracker.h"
#include "schema/event.h"

#define DRAIN_FRAMES 1024
#define DRAIN_ROUNDS 64			/* per timer: beyond it signals and timers come first */
#define HURRY_NICE (-10)
#define RING_BYTES_A_SECOND 2000000000ull	/* what a ring may have to take while its reader sleeps */
#define HAND_OVER_NS (500 * NS_PER_MS)	/* a row waits so long for others */
#define BATCH_BYTES (1u << 20)		/* what the tracker fills and the writer empties stays in the caches between them */
#define BATCHES 48
#define COMMIT_BYTES (64u << 20)	/* frames are in the log already: a commit a second is enough for rows */
#define BATCH_BYTES_MAX (32u << 20)	/* no empty batch to be had: frames are dropped from here on */

struct recorder {
	const struct recorder_opts *opts;
	struct live *live;
	struct loop *loop;
	struct committer *committer;
	struct enrich *enrich;
	struct owners *owners;
	struct tracker *tracker;
	struct batch *batch;
	struct counters counters;
	struct source_sink sink;
	uint64_t source;
	uint64_t started_ns, described_hour;
	uint64_t handed_ns;	/* monotonic: the last hand-over */
	struct pace pace;
	uint64_t interval_ns;	/* of the drain, as the loop knows it */
	bool hurrying;		/* the thread has been put before others */
	uint64_t drained_ns;	/* monotonic: the last drain's end */
	uint64_t longest_sleep_ns, longest_drain_ns;
	uint64_t dropped;	/* frames, for want of a batch */
	struct log_limit complain;
	int signo;
};

/* ---- rows about ourselves ---- */

static void describe_node(struct recorder *recorder, uint64_t now_ns)
{
	struct view node = enrich_node(recorder->enrich);
	struct entity_row row = { 0 };
	struct utsname uts;
	char kernel[256] = "";

	if (uname(&uts) == 0)
		(void)snprintf(kernel, sizeof(kernel), "%s %s %s", uts.sysname, uts.release, uts.machine);
	row.id = hash_bytes(node.at, node.len, 1) | 1;
	row.start_ns = row.end_ns = now_ns;
	row.kind = ENTITY_node;
	row.name = node;
	ROW_SET(ENTITY_ROW, &row, node, node);
	ROW_SET(ENTITY_ROW, &row, text, view_str(kernel));
	batch_add(recorder->batch, TABLE_ENTITIES, &row);
}

static void describe_source(struct recorder *recorder, uint64_t now_ns)
{
	/* Frames have no link header, and one interface stands for every socket. */
	static const char text[] = "{\"format\":\"live\",\"interfaces\":[{\"link\":101,\"name\":\"sockets\",\"tsresol\":9},"
				   "{\"link\":101,\"name\":\"sockets, second view\",\"tsresol\":9,\"second\":true}]}";
	struct view node = enrich_node(recorder->enrich);
	struct entity_row row = { 0 };
	char name[300];

	(void)snprintf(name, sizeof(name), "record %.*s", (int)node.len, (const char *)node.at);
	row.id = recorder->source;
	row.start_ns = row.end_ns = now_ns;
	row.kind = ENTITY_source;
	row.name = view_str(name);
	ROW_SET(ENTITY_ROW, &row, node, node);
	ROW_SET(ENTITY_ROW, &row, pid, (uint32_t)getpid());
	ROW_SET(ENTITY_ROW, &row, text, VIEW_LIT(text));
	batch_add(recorder->batch, TABLE_ENTITIES, &row);
}

/* Once an hour: every partition tells who recorded it. */
static void describe(struct recorder *recorder, uint64_t now_ns)
{
	if (now_ns / NS_PER_HOUR == recorder->described_hour)
		return;
	recorder->described_hour = now_ns / NS_PER_HOUR;
	describe_node(recorder, now_ns);
	describe_source(recorder, now_ns);
}

static void on_entity(void *arg, const struct entity_row *row)
{
	struct recorder *recorder = arg;

	if (recorder->batch)
		batch_add(recorder->batch, TABLE_ENTITIES, row);
}

static void status_text(struct recorder *recorder)
{
	struct wr *out = &recorder->batch->status;
	const uint64_t *undecoded = tracker_undecoded(recorder->tracker);
	struct json json;

	tracker_gauges(recorder->tracker);
	wr_reset(out);
	json_init(&json, out, false);
	json_object(&json);
	json_kcstr(&json, "mode", "record");
	json_ku64(&json, "pid", (uint64_t)getpid());
	json_kstr(&json, "node", enrich_node(recorder->enrich));
	json_ku64(&json, "started_ns", recorder->started_ns);
	json_ku64(&json, "now_ns", clock_now_ns());
	tracker_status(recorder->tracker, &json);
	json_key(&json, "counters");
	json_object(&json);
	for (int i = 0; i < COUNTER_COUNT; i++)
		json_ku64(&json, counter_infos[i].name, counter_get(&recorder->counters, (enum counter)i));
	json_object_end(&json);
	json_key(&json, "undecoded");
	json_object(&json);
	for (int i = 1; i < DECODE_STATUS_COUNT; i++)
		if (undecoded[i])
			json_ku64(&json, decode_status_name((enum decode_status)i), undecoded[i]);
	json_object_end(&json);
	json_key(&json, "writer");
	json_object(&json);
	committer_status(recorder->committer, &json);
	json_ku64(&json, "dropped_queue_full", recorder->dropped);
	json_object_end(&json);
	json_key(&json, "pace");
	json_object(&json);
	json_kbool(&json, "hurry", recorder->hurrying);
	json_ku64(&json, "longest_sleep_ns", recorder->longest_sleep_ns);
	json_ku64(&json, "longest_drain_ns", recorder->longest_drain_ns);
	json_object_end(&json);
	json_key(&json, "live");
	json_object(&json);
	live_status(recorder->live, &json);
	json_object_end(&json);
	json_object_end(&json);
}

/* ---- batches ---- */

/* Give the batch to the writer if another one is to be had; else go on with this one. */
static void hand_over(struct recorder *recorder, bool commit)
{
	struct batch *next;

	if (batch_empty(recorder->batch) && !commit)
		return;
	next = committer_take(recorder->committer, false);
	if (!next)
		return;
	if (commit)	/* it costs a look into the kernel */
		status_text(recorder);
	recorder->batch->commit = commit;
	committer_put(recorder->committer, recorder->batch);
	recorder->batch = next;
	recorder->handed_ns = clock_mono_ns();
	tracker_set_batch(recorder->tracker, next);
}

static void on_frame(void *arg, const struct frame *frame)
{
	struct recorder *recorder = arg;

	if (batch_bytes(recorder->batch) >= BATCH_BYTES) {
		hand_over(recorder, false);
		if (batch_bytes(recorder->batch) >= BATCH_BYTES_MAX) {
			recorder->dropped++;
			tracker_lost(recorder->tracker, frame->time_ns, 1 + frame->lost_before,
				     frame->orig_len + frame->lost_before_bytes, "queue_full");
			if (frame->skipped_before)
				tracker_lost(recorder->tracker, frame->time_ns, frame->skipped_before,
					     frame->skipped_before_bytes, "thinned");
			return;
		}
	}
	if (tracker_frame(recorder->tracker, frame) < 0)
		tracker_lost(recorder->tracker, frame->time_ns, 1, frame->orig_len, "no_memory");
}

static void on_sock(void *arg, const struct sock_event *event)
{
	struct recorder *recorder = arg;

	tracker_sock(recorder->tracker, event);
}

/* ---- timers and signals ---- */

/* While the writer is stuck frames wait in the ring: what finds no room there is lost by socket, exactly. */
static bool has_room(struct recorder *recorder)
{
	if (batch_bytes(recorder->batch) >= BATCH_BYTES)
		hand_over(recorder, false);
	return batch_bytes(recorder->batch) < BATCH_BYTES_MAX / 2;
}

/* How much of the memory for batches is taken. */
static unsigned queue_permille(struct recorder *recorder)
{
	size_t held = batch_bytes(recorder->batch), max = BATCHES * BATCH_BYTES + BATCH_BYTES_MAX / 2;
	size_t queued = committer_queued(recorder->committer);

	/* the one in hand is none of the queue's */
	held += queued ? (queued - 1) * BATCH_BYTES : 0;
	return held >= max ? 1000 : (unsigned)(held * 1000 / max);
}

/*
 * The machine observed is busy just when there is most to record. As long as the rings take it, recording stands in
 * line like everybody; a drain that waits its turn when they fill loses frames. Not being allowed to is no failure.
 */
static void hurry(struct recorder *recorder)
{
	if (recorder->pace.hurry == recorder->hurrying)
		return;
	recorder->hurrying = recorder->pace.hurry;
	(void)setpriority(PRIO_PROCESS, 0, recorder->hurrying ? HURRY_NICE : 0);
}

/* What is left out, and since when, is itself recorded. */
static void change_level(struct recorder *recorder, const struct pace_seen *seen)
{
	static const char *const texts[] = {
		[RING_LEVEL_FULL] = "packets are captured in full",
		[RING_LEVEL_THIN] = "of packets the first 256 bytes are captured",
		[RING_LEVEL_HEADERS] = "of packets the headers are captured",
		[RING_LEVEL_COUNT] = "packets are counted, one a second of each direction of a connection is captured",
	};
	unsigned level = recorder->pace.level;
	const char *reason = recorder->pace.calm_since_ns ? "calm" : recorder->pace.by_queue ? "queue_full" : "ring_full";
	struct err err = { 0 };

	if (live_level(recorder->live, level, &err) < 0)
		log_limited(&recorder->complain, LOG_WARN, "cannot change the capture level error=\"%s\"", err.text);
	log_info("capture level changed capture_level=%u reason=%s ring_permille=%u queue_permille=%u", level, reason,
		 seen->ring_permille, seen->queue_permille);
	tracker_event(recorder->tracker, EVENT_capture_level, clock_now_ns(), reason, level, texts[level]);
}

static void note_longest(uint64_t *longest_ns, uint64_t took_ns)
{
	if (took_ns > *longest_ns)
		*longest_ns = took_ns;
}

/* One round, and what it says of how we keep up. True: another one finds something at once. */
static bool drain(struct recorder *recorder)
{
	struct pace_seen seen = { .ring_permille = live_fill_permille(recorder->live),
				  .queue_permille = queue_permille(recorder) };
	struct err err = { 0 };
	bool room = has_room(recorder);
	int frames = 0;

	if (room)
		frames = live_drain(recorder->live, &recorder->sink, DRAIN_FRAMES, &err);
	if (frames < 0)
		log_limited(&recorder->complain, LOG_WARN, "cannot drain error=\"%s\"", err.text);
	else
		seen.frames = (uint64_t)frames;
	seen.now_ns = clock_mono_ns();
	if (pace_next(&recorder->pace, &seen))
		change_level(recorder, &seen);
	hurry(recorder);
	return room && live_more(recorder->live);
}

static void on_drain(void *arg)
{
	struct recorder *recorder = arg;
	uint64_t begin_ns = clock_mono_ns();
	bool more = true;

	note_longest(&recorder->longest_sleep_ns, recorder->drained_ns ? begin_ns - recorder->drained_ns : 0);
	for (int i = 0; i < DRAIN_ROUNDS && more; i++)
		more = drain(recorder);
	recorder->drained_ns = clock_mono_ns();
	note_longest(&recorder->longest_drain_ns, recorder->drained_ns - begin_ns);
	if (recorder->interval_ns != recorder->pace.interval_ns) {
		recorder->interval_ns = recorder->pace.interval_ns;
		loop_pace(recorder->loop, on_drain, recorder->interval_ns);
	}
	if (recorder->drained_ns - recorder->handed_ns >= HAND_OVER_NS)
		hand_over(recorder, false);
}

static void on_second(void *arg)
{
	struct recorder *recorder = arg;
	uint64_t now_ns = clock_now_ns();

	tracker_tick(recorder->tracker, now_ns);
	describe(recorder, now_ns);
	hand_over(recorder, true);
	if (recorder->opts->alive && !recorder->opts->alive(recorder->opts->arg))
		loop_stop(recorder->loop);
}

static void on_signal(void *arg, int signo)
{
	struct recorder *recorder = arg;

	if (signo == SIGHUP) {
		log_info("SIGHUP: nothing to read again");
		return;
	}
	recorder->signo = signo;
	loop_stop(recorder->loop);
}

/* ---- life ---- */

static int open_tracker(struct recorder *recorder, struct err *err)
{
	struct enrich_opts enrich_opts = { .node = recorder->opts->node, .cgroup_dir = recorder->opts->live.cgroup,
					   .entity = on_entity, .arg = recorder };
	struct tracker_opts opts = recorder->opts->tracker;
	uint64_t random[2];
	int rc;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random[0] = random[1] = hash_u64(clock_now_ns() ^ (uint64_t)getpid());
	recorder->source = random[0] | 1;
	rc = enrich_new(&enrich_opts, &recorder->enrich, err);
	if (rc < 0)
		return rc;
	recorder->owners = owners_new(recorder->enrich, 0);
	if (!recorder->owners)
		return err_set(err, E_NO_MEMORY, "no memory for socket owners");
	opts.counters = &recorder->counters;
	opts.source = recorder->source;
	opts.id_seed = random[1];
	opts.enrich = recorder->enrich;
	opts.owners = recorder->owners;
	return tracker_new(&opts, &recorder->tracker, err);
}

static int open_loop(struct recorder *recorder, struct err *err)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct pace_opts pace = { .drain_ns = recorder->opts->drain_ns };
	int rc = 0;

	if (recorder->opts->live.ring_bytes)
		pace.idle_ns = recorder->opts->live.ring_bytes * NS_PER_SEC / RING_BYTES_A_SECOND;
	pace_init(&recorder->pace, &pace);
	recorder->interval_ns = recorder->pace.interval_ns;
	recorder->loop = loop_new();
	if (!recorder->loop)
		return err_set(err, E_NO_MEMORY, "no memory for the event loop");
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]) && rc >= 0; i++)
		rc = loop_signal(recorder->loop, signals[i], on_signal, recorder);
	if (rc >= 0)
		rc = loop_every(recorder->loop, recorder->interval_ns, on_drain, recorder);
	if (rc >= 0)
		rc = loop_every(recorder->loop, NS_PER_SEC, on_second, recorder);
	return rc < 0 ? err_set(err, rc, "cannot set up the event loop") : 0;
}

/* What is in the rings is still ours; then every flow is reported. */
static void finish(struct recorder *recorder)
{
	uint64_t now_ns;

	on_drain(recorder);
	live_end(recorder->live, &recorder->sink);
	now_ns = clock_now_ns();
	tracker_tick(recorder->tracker, now_ns);
	tracker_end(recorder->tracker);
	describe_source(recorder, now_ns);
	tracker_event(recorder->tracker, EVENT_capture_end, now_ns, recorder->signo ? "signal" : "stopped",
		      counter_get(&recorder->counters, COUNTER_frames_total), NULL);
	status_text(recorder);
	recorder->batch->commit = true;
	committer_put(recorder->committer, recorder->batch);
	recorder->batch = NULL;
}

static int record(struct recorder *recorder, struct err *err)
{
	int rc;

	recorder->batch = committer_take(recorder->committer, true);
	if (!recorder->batch)
		return committer_failed(recorder->committer, err);
	tracker_set_batch(recorder->tracker, recorder->batch);
	recorder->started_ns = clock_now_ns();
	recorder->handed_ns = clock_mono_ns();
	describe(recorder, recorder->started_ns);
	tracker_event(recorder->tracker, EVENT_capture_start, recorder->started_ns, "record", (uint64_t)getpid(),
		      NULL);
	hand_over(recorder, true);
	if (recorder->opts->ready)
		recorder->opts->ready(recorder->opts->arg);
	rc = loop_run(recorder->loop);
	finish(recorder);
	return rc < 0 ? err_set(err, rc, "the event loop failed") : 0;
}

int recorder_run(const struct recorder_opts *opts, struct err *err)
{
	struct recorder *recorder = mem_zalloc(sizeof(*recorder));
	struct committer_opts committer_opts = { .survive = true, .yield = true, .batches = BATCHES,
						 .commit_bytes = COMMIT_BYTES,
						 .store = { .zstd_level = opts->zstd_level,
							    .group_gid = opts->group_gid } };
	char name[32];
	int rc, closed;

	if (!recorder)
		return err_set(err, E_NO_MEMORY, "no memory for the recorder");
	recorder->opts = opts;
	recorder->sink = (struct source_sink){ on_frame, on_sock, recorder };
	(void)snprintf(name, sizeof(name), "record pid %d", (int)getpid());
	committer_opts.name = name;
	committer_opts.counters = &recorder->counters;
	rc = open_tracker(recorder, err);
	if (rc < 0)
		goto out;
	/* The probes before the store: without permission nothing is to be left behind. */
	rc = live_open(&opts->live, &recorder->live, err);
	if (rc < 0)
		goto out;
	rc = open_loop(recorder, err);
	if (rc < 0)
		goto out;
	rc = committer_open(opts->data_dir, &committer_opts, &recorder->committer, err);
	if (rc < 0)
		goto out;
	rc = record(recorder, err);
out:
	closed = committer_close(recorder->committer, false, rc < 0 ? NULL : err);
	live_close(recorder->live);
	loop_free(recorder->loop);
	tracker_free(recorder->tracker);
	owners_free(recorder->owners);
	enrich_free(recorder->enrich);
	mem_free(recorder);
	return rc < 0 ? rc : closed;
}
