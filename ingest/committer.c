#include "ingest/committer.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"
#include "store/packet_pack.h"

#define TICK_NS NS_PER_SEC
#define RETRY_NS NS_PER_SEC
#define LOOK_NS (500 * NS_PER_MS)	/* how often it looks whether others want the processors */
#define BUSY_PERMILLE 80		/* of the time it could run it waited for a processor */
#define FREE_PERMILLE 20
#define HURRY_NICE (-10)
#define PENDING_BYTES_MAX (64u << 20)	/* rows that wait for a full disk; beyond it they are dropped too */

struct committer {
	struct committer_opts opts;
	struct store_writer *store;
	struct queue *empty, *full;
	struct batch **batches;
	size_t batches_count;
	pthread_t thread;
	bool running;

	/* the thread's own */
	bool dirty;		/* something was written since the last commit */
	uint64_t commit_at_ns, tick_at_ns, retry_at_ns;	/* monotonic */
	struct store_gap gap;	/* what was dropped while the disk did not take it */
	bool degraded_now;
	struct log_limit complain;
	bool plain;
	uint64_t look_at_ns;
	struct thread_time looked;
	int nice;

	struct lock lock;
	int failed;			/* guarded by lock */
	struct err failed_err;		/* guarded by lock */
	bool degraded;			/* guarded by lock */
	uint64_t dropped_packets, dropped_bytes;	/* guarded by lock */
	char last_error[256];		/* guarded by lock */
	uint64_t plain_blocks;		/* guarded by lock */
};

/* ---- failures ---- */

static void fail(struct committer *committer, const struct err *err)
{
	lock_take(&committer->lock);
	if (!committer->failed) {
		committer->failed = err->code;
		committer->failed_err = *err;
	}
	lock_drop(&committer->lock);
	/* Nobody waits for a batch that never comes back. */
	queue_close(committer->empty);
}

/* The disk did not take it. True when we go on without. */
static bool survive(struct committer *committer, const struct err *err)
{
	if (!committer->opts.survive) {
		fail(committer, err);
		return false;
	}
	committer->degraded_now = true;
	committer->retry_at_ns = clock_mono_ns() + RETRY_NS;
	lock_take(&committer->lock);
	committer->degraded = true;
	(void)snprintf(committer->last_error, sizeof(committer->last_error), "%.250s", err->text);
	lock_drop(&committer->lock);
	log_limited(&committer->complain, LOG_WARN, "cannot write, payload is dropped error=\"%s\"", err->text);
	return true;
}

static void widen_gap(struct committer *committer, uint64_t from_ns, uint64_t to_ns, uint64_t packets, uint64_t bytes)
{
	struct store_gap *gap = &committer->gap;

	if (!gap->to_ns) {
		*gap = (struct store_gap){ .from_ns = from_ns, .to_ns = to_ns };
		(void)snprintf(gap->reason, sizeof(gap->reason), "disk_full");
	}
	gap->from_ns = from_ns < gap->from_ns ? from_ns : gap->from_ns;
	gap->to_ns = to_ns > gap->to_ns ? to_ns : gap->to_ns;
	gap->packets += packets;
	gap->bytes += bytes;
	lock_take(&committer->lock);
	committer->dropped_packets += packets;
	committer->dropped_bytes += bytes;
	lock_drop(&committer->lock);
}

/* ---- one batch ---- */

static int write_block(struct committer *committer, struct packet_block *block, struct err *err)
{
	uint64_t from_ns = block->time_min, to_ns = block->time_max + 1, packets = block->count, bytes = block->bytes.len;
	int rc = E_NO_SPACE;

	if (!committer->degraded_now)
		rc = store_take_packets(committer->store, block, err);
	if (rc >= 0 && committer->plain) {
		lock_take(&committer->lock);
		committer->plain_blocks++;
		lock_drop(&committer->lock);
	}
	if (rc < 0 && committer->opts.survive)
		widen_gap(committer, from_ns, to_ns, packets, bytes);
	return committer->degraded_now ? 0 : rc;
}

static int write_rows(struct committer *committer, const struct batch *batch, struct err *err)
{
	int rc = 0;

	if (committer->degraded_now && store_pending_bytes(committer->store) > PENDING_BYTES_MAX) {
		widen_gap(committer, batch->newest_ns, batch->newest_ns + 1, 0, 0);
		return 0;
	}
	for (int table = 1; table <= TABLE_MAX && rc >= 0; table++)
		if (batch->rows[table].count)
			rc = store_write_rows(committer->store, (enum table_id)table, batch->rows[table].at,
					      batch->rows[table].count, err);
	for (size_t i = 0; i < batch->gaps_count && rc >= 0; i++)
		rc = store_write_gap(committer->store, &batch->gaps[i], err);
	if (batch->status.len && rc >= 0)
		rc = store_write_status(committer->store, "recorder", wr_view(&batch->status), err);
	return rc;
}

static void write_batch(struct committer *committer, struct batch *batch)
{
	struct err err = { 0 };
	int rc = 0;

	for (size_t i = 0; i < batch->blocks_used && rc >= 0; i++) {
		rc = write_block(committer, batch->blocks[i], &err);
		if (rc < 0 && survive(committer, &err)) {
			err_clear(&err);
			rc = 0;
		}
	}
	if (rc >= 0) {
		rc = write_rows(committer, batch, &err);
		if (rc < 0)
			(void)survive(committer, &err);
	}
	committer->dirty = true;
	if (batch->commit)
		committer->commit_at_ns = 0;
	if (batch->newest_ns) {
		uint64_t now_ns = clock_now_ns();

		counter_set(committer->opts.counters, COUNTER_ingest_lag_ns,
			    now_ns > batch->newest_ns ? now_ns - batch->newest_ns : 0);
	}
}

static void commit(struct committer *committer)
{
	uint64_t begin_ns = clock_mono_ns();
	struct err err = { 0 };
	int rc;

	rc = store_commit(committer->store, &err);
	/* What was dropped is told once, when the disk takes it: told with every try it would be there as often. */
	if (rc >= 0 && committer->gap.to_ns && store_write_gap(committer->store, &committer->gap, &err) >= 0) {
		memset(&committer->gap, 0, sizeof(committer->gap));
		rc = store_commit(committer->store, &err);
	}
	committer->commit_at_ns = begin_ns + committer->opts.commit_ns;
	if (rc < 0) {
		counter_add(committer->opts.counters, COUNTER_commit_failures_total, 1);
		(void)survive(committer, &err);
		return;
	}
	counter_add(committer->opts.counters, COUNTER_commits_total, 1);
	counter_add(committer->opts.counters, COUNTER_commit_ns_total, clock_mono_ns() - begin_ns);
	counter_set(committer->opts.counters, COUNTER_packet_blocks_refused_total, packet_pack_refused());
	committer->dirty = false;
	if (!committer->degraded_now)
		return;
	committer->degraded_now = false;
	log_info("writing again");
	lock_take(&committer->lock);
	committer->degraded = false;
	lock_drop(&committer->lock);
}

/* Packing is what can wait: it is left out while we have to queue for a processor, and so keep others from one. */
static void look_around(struct committer *committer, uint64_t now_ns)
{
	struct thread_time time = { 0 };
	uint64_t ran_ns, waited_ns;

	if (!committer->opts.yield || now_ns < committer->look_at_ns)
		return;
	committer->look_at_ns = now_ns + LOOK_NS;
	if (!clock_thread_time(&time))
		return;
	ran_ns = time.ran_ns - committer->looked.ran_ns;
	waited_ns = time.waited_ns - committer->looked.waited_ns;
	committer->looked = time;
	/* Who hardly runs learns nothing by it. */
	if (ran_ns + waited_ns < LOOK_NS / 50)
		waited_ns = 0;
	committer->plain = waited_ns * 1000 > (ran_ns + waited_ns) * (committer->plain ? FREE_PERMILLE : BUSY_PERMILLE);
	store_write_plain(committer->store, committer->plain);
}

/* In line with others while it keeps up, before them when batches pile up: lost frames cost more than late ones. */
static void choose_place(struct committer *committer)
{
	size_t queued = queue_len(committer->full), limit = committer->batches_count;
	int nice = committer->nice;

	if (queued >= limit / 8)
		nice = HURRY_NICE;
	else if (queued <= 1)
		nice = 0;
	if (nice == committer->nice || !committer->opts.yield)
		return;
	committer->nice = nice;
	(void)setpriority(PRIO_PROCESS, 0, nice);	/* not being allowed to is no failure */
}

static void upkeep(struct committer *committer)
{
	uint64_t now_ns = clock_mono_ns();
	struct err err = { 0 };

	look_around(committer, now_ns);
	if (committer->degraded_now ? now_ns >= committer->retry_at_ns :
	    committer->dirty && (now_ns >= committer->commit_at_ns ||
			      store_pending_bytes(committer->store) >= committer->opts.commit_bytes))
		commit(committer);
	if (now_ns >= committer->tick_at_ns) {
		committer->tick_at_ns = now_ns + TICK_NS;
		if (store_tick(committer->store, clock_now_ns(), &err) < 0)
			(void)survive(committer, &err);
	}
}

static void *run(void *arg)
{
	struct committer *committer = arg;

	(void)pthread_setname_np(pthread_self(), "tapedeck-write");
	for (;;) {
		struct batch *batch = queue_get(committer->full, 200 * NS_PER_MS);
		bool failed;

		lock_take(&committer->lock);
		failed = committer->failed != 0;
		lock_drop(&committer->lock);
		if (batch) {
			choose_place(committer);
			if (!failed)
				write_batch(committer, batch);
			batch_reset(batch);
			(void)queue_put_front(committer->empty, batch);
		} else if (queue_closed(committer->full)) {
			return NULL;
		}
		if (!failed)
			upkeep(committer);
	}
}

/* ---- the door ---- */

static void release(struct committer *committer)
{
	for (size_t i = 0; i < committer->batches_count; i++)
		batch_free(committer->batches[i]);
	mem_free(committer->batches);
	queue_free(committer->empty);
	queue_free(committer->full);
	lock_release(&committer->lock);
	mem_free(committer);
}

static int make_batches(struct committer *committer)
{
	size_t count = committer->opts.batches;

	committer->empty = queue_new(count);
	committer->full = queue_new(count);
	committer->batches = mem_array(count, sizeof(*committer->batches));
	if (!committer->empty || !committer->full || !committer->batches)
		return E_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		committer->batches[i] = batch_new();
		if (!committer->batches[i])
			return E_NO_MEMORY;
		committer->batches_count++;
		(void)queue_try_put(committer->empty, committer->batches[i]);
	}
	return 0;
}

int committer_open(const char *dir, const struct committer_opts *opts, struct committer **ret_committer, struct err *err)
{
	struct committer *committer = mem_zalloc(sizeof(*committer));
	int rc;

	if (!committer)
		return err_set(err, E_NO_MEMORY, "no memory for the writer");
	lock_init(&committer->lock);
	committer->opts = *opts;
	if (!committer->opts.batches)
		committer->opts.batches = 6;
	if (!committer->opts.commit_bytes)
		committer->opts.commit_bytes = 4u << 20;
	if (!committer->opts.commit_ns)
		committer->opts.commit_ns = NS_PER_SEC;
	committer->opts.store.name = opts->name;
	rc = make_batches(committer);
	if (rc < 0) {
		(void)err_set(err, rc, "no memory for the writer");
		goto out;
	}
	rc = store_writer_open(dir, &committer->opts.store, &committer->store, err);
	if (rc < 0)
		goto out;
	store_write_plain(committer->store, opts->plain);
	if (pthread_create(&committer->thread, NULL, run, committer) != 0) {
		rc = err_set(err, E_NO_MEMORY, "cannot start the writer thread");
		(void)store_writer_close(committer->store, false, NULL);
		goto out;
	}
	committer->running = true;
	*ret_committer = committer;
	committer = NULL;
out:
	if (committer)
		release(committer);
	return rc;
}

struct batch *committer_take(struct committer *committer, bool wait)
{
	struct batch *batch;
	bool failed;

	lock_take(&committer->lock);
	failed = committer->failed != 0;
	lock_drop(&committer->lock);
	if (failed)
		return NULL;
	batch = queue_get(committer->empty, wait ? UINT64_MAX : 0);
	return batch;
}

void committer_put(struct committer *committer, struct batch *batch)
{
	/* As many places as batches: there is always room. */
	(void)queue_put(committer->full, batch);
}

size_t committer_queued(struct committer *committer)
{
	return committer->batches_count - queue_len(committer->empty);
}

int committer_failed(struct committer *committer, struct err *err)
{
	int rc;

	lock_take(&committer->lock);
	rc = committer->failed;
	if (rc < 0)
		(void)err_set(err, rc, "%s", committer->failed_err.text);
	lock_drop(&committer->lock);
	return rc;
}

bool committer_degraded(struct committer *committer)
{
	bool degraded;

	lock_take(&committer->lock);
	degraded = committer->degraded;
	lock_drop(&committer->lock);
	return degraded;
}

void committer_status(struct committer *committer, struct json *json)
{
	lock_take(&committer->lock);
	json_kbool(json, "degraded", committer->degraded);
	json_ku64(json, "dropped_packets", committer->dropped_packets);
	json_ku64(json, "dropped_bytes", committer->dropped_bytes);
	json_kcstr(json, "last_error", committer->last_error[0] ? committer->last_error : NULL);
	json_ku64(json, "plain_blocks", committer->plain_blocks);
	lock_drop(&committer->lock);
	json_ku64(json, "queued_batches", queue_len(committer->full));
}

int committer_close(struct committer *committer, bool seal, struct err *err)
{
	int rc, closed;

	if (!committer)
		return 0;
	queue_close(committer->full);
	(void)pthread_join(committer->thread, NULL);
	if (committer->gap.to_ns)
		(void)store_write_gap(committer->store, &committer->gap, NULL);
	rc = committer_failed(committer, err);
	closed = store_writer_close(committer->store, seal && rc >= 0, rc < 0 ? NULL : err);
	release(committer);
	return rc < 0 ? rc : closed;
}
