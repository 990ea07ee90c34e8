#include "ingest/writer.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"

#define TICK_NS NS_PER_SEC
#define RETRY_NS NS_PER_SEC
#define PENDING_BYTES_MAX (64u << 20)	/* rows that wait for a full disk; beyond it they are dropped too */

struct writer {
	struct writer_opts opts;
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

	struct lock lock;
	int failed;			/* guarded by lock */
	struct err failed_err;		/* guarded by lock */
	bool degraded;			/* guarded by lock */
	uint64_t dropped_packets, dropped_bytes;	/* guarded by lock */
	char last_error[256];		/* guarded by lock */
};

/* ---- failures ---- */

static void fail(struct writer *writer, const struct err *err)
{
	lock_take(&writer->lock);
	if (!writer->failed) {
		writer->failed = err->code;
		writer->failed_err = *err;
	}
	lock_drop(&writer->lock);
	/* Nobody waits for a batch that never comes back. */
	queue_close(writer->empty);
}

/* The disk did not take it. True when we go on without. */
static bool survive(struct writer *writer, const struct err *err)
{
	if (!writer->opts.survive) {
		fail(writer, err);
		return false;
	}
	writer->degraded_now = true;
	writer->retry_at_ns = clock_mono_ns() + RETRY_NS;
	lock_take(&writer->lock);
	writer->degraded = true;
	(void)snprintf(writer->last_error, sizeof(writer->last_error), "%s", err->text);
	lock_drop(&writer->lock);
	log_limited(&writer->complain, LOG_WARN, "cannot write, payload is dropped error=\"%s\"", err->text);
	return true;
}

static void widen_gap(struct writer *writer, uint64_t from_ns, uint64_t to_ns, uint64_t packets, uint64_t bytes)
{
	struct store_gap *gap = &writer->gap;

	if (!gap->to_ns) {
		*gap = (struct store_gap){ .from_ns = from_ns, .to_ns = to_ns };
		(void)snprintf(gap->reason, sizeof(gap->reason), "disk_full");
	}
	gap->from_ns = from_ns < gap->from_ns ? from_ns : gap->from_ns;
	gap->to_ns = to_ns > gap->to_ns ? to_ns : gap->to_ns;
	gap->packets += packets;
	gap->bytes += bytes;
	lock_take(&writer->lock);
	writer->dropped_packets += packets;
	writer->dropped_bytes += bytes;
	lock_drop(&writer->lock);
}

/* ---- one batch ---- */

static int write_block(struct writer *writer, const struct packet_block *block, struct err *err)
{
	int rc = E_NO_SPACE;

	if (!writer->degraded_now)
		rc = store_write_packets(writer->store, block, err);
	if (rc < 0 && writer->opts.survive)
		widen_gap(writer, block->time_min, block->time_max + 1, block->count, block->bytes.len);
	return writer->degraded_now ? 0 : rc;
}

static int write_rows(struct writer *writer, const struct batch *batch, struct err *err)
{
	int rc = 0;

	if (writer->degraded_now && store_pending_bytes(writer->store) > PENDING_BYTES_MAX) {
		widen_gap(writer, batch->newest_ns, batch->newest_ns + 1, 0, 0);
		return 0;
	}
	for (int table = 1; table <= TABLE_MAX && rc >= 0; table++)
		if (batch->rows[table].count)
			rc = store_write_rows(writer->store, (enum table_id)table, batch->rows[table].at,
					      batch->rows[table].count, err);
	for (size_t i = 0; i < batch->gaps_count && rc >= 0; i++)
		rc = store_write_gap(writer->store, &batch->gaps[i], err);
	if (batch->status.len && rc >= 0)
		rc = store_write_status(writer->store, "recorder", wr_view(&batch->status), err);
	return rc;
}

static void write_batch(struct writer *writer, struct batch *batch)
{
	struct err err = { 0 };
	int rc = 0;

	for (size_t i = 0; i < batch->blocks_used && rc >= 0; i++) {
		rc = write_block(writer, batch->blocks[i], &err);
		if (rc < 0 && survive(writer, &err)) {
			err_clear(&err);
			rc = 0;
		}
	}
	if (rc >= 0) {
		rc = write_rows(writer, batch, &err);
		if (rc < 0)
			(void)survive(writer, &err);
	}
	writer->dirty = true;
	if (batch->commit)
		writer->commit_at_ns = 0;
	if (batch->newest_ns) {
		uint64_t now_ns = clock_now_ns();

		counter_set(writer->opts.counters, COUNTER_ingest_lag_ns,
			    now_ns > batch->newest_ns ? now_ns - batch->newest_ns : 0);
	}
}

static void commit(struct writer *writer)
{
	uint64_t begin_ns = clock_mono_ns();
	struct err err = { 0 };
	int rc;

	/* What was dropped is told with the first commit that may work again. */
	if (writer->gap.to_ns && begin_ns >= writer->retry_at_ns)
		(void)store_write_gap(writer->store, &writer->gap, NULL);
	rc = store_commit(writer->store, &err);
	writer->commit_at_ns = begin_ns + writer->opts.commit_ns;
	if (rc < 0) {
		counter_add(writer->opts.counters, COUNTER_commit_failures_total, 1);
		(void)survive(writer, &err);
		return;
	}
	counter_add(writer->opts.counters, COUNTER_commits_total, 1);
	counter_add(writer->opts.counters, COUNTER_commit_ns_total, clock_mono_ns() - begin_ns);
	writer->dirty = false;
	memset(&writer->gap, 0, sizeof(writer->gap));
	if (!writer->degraded_now)
		return;
	writer->degraded_now = false;
	log_info("writing again");
	lock_take(&writer->lock);
	writer->degraded = false;
	lock_drop(&writer->lock);
}

static void upkeep(struct writer *writer)
{
	uint64_t now_ns = clock_mono_ns();
	struct err err = { 0 };

	if (writer->degraded_now ? now_ns >= writer->retry_at_ns :
	    writer->dirty && (now_ns >= writer->commit_at_ns ||
			      store_pending_bytes(writer->store) >= writer->opts.commit_bytes))
		commit(writer);
	if (now_ns >= writer->tick_at_ns) {
		writer->tick_at_ns = now_ns + TICK_NS;
		if (store_tick(writer->store, clock_now_ns(), &err) < 0)
			(void)survive(writer, &err);
	}
}

static void *run(void *arg)
{
	struct writer *writer = arg;

	for (;;) {
		struct batch *batch = queue_get(writer->full, 200 * NS_PER_MS);
		bool failed;

		lock_take(&writer->lock);
		failed = writer->failed != 0;
		lock_drop(&writer->lock);
		if (batch) {
			if (!failed)
				write_batch(writer, batch);
			batch_reset(batch);
			(void)queue_put(writer->empty, batch);
		} else if (queue_closed(writer->full)) {
			return NULL;
		}
		if (!failed)
			upkeep(writer);
	}
}

/* ---- the door ---- */

static void release(struct writer *writer)
{
	for (size_t i = 0; i < writer->batches_count; i++)
		batch_free(writer->batches[i]);
	mem_free(writer->batches);
	queue_free(writer->empty);
	queue_free(writer->full);
	lock_release(&writer->lock);
	mem_free(writer);
}

static int make_batches(struct writer *writer)
{
	size_t count = writer->opts.batches;

	writer->empty = queue_new(count);
	writer->full = queue_new(count);
	writer->batches = mem_array(count, sizeof(*writer->batches));
	if (!writer->empty || !writer->full || !writer->batches)
		return E_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		writer->batches[i] = batch_new();
		if (!writer->batches[i])
			return E_NO_MEMORY;
		writer->batches_count++;
		(void)queue_try_put(writer->empty, writer->batches[i]);
	}
	return 0;
}

int writer_open(const char *dir, const struct writer_opts *opts, struct writer **ret_writer, struct err *err)
{
	struct writer *writer = mem_zalloc(sizeof(*writer));
	int rc;

	if (!writer)
		return err_set(err, E_NO_MEMORY, "no memory for the writer");
	lock_init(&writer->lock);
	writer->opts = *opts;
	if (!writer->opts.batches)
		writer->opts.batches = 6;
	if (!writer->opts.commit_bytes)
		writer->opts.commit_bytes = 4u << 20;
	if (!writer->opts.commit_ns)
		writer->opts.commit_ns = NS_PER_SEC;
	writer->opts.store.name = opts->name;
	rc = make_batches(writer);
	if (rc < 0) {
		(void)err_set(err, rc, "no memory for the writer");
		goto out;
	}
	rc = store_writer_open(dir, &writer->opts.store, &writer->store, err);
	if (rc < 0)
		goto out;
	if (pthread_create(&writer->thread, NULL, run, writer) != 0) {
		rc = err_set(err, E_NO_MEMORY, "cannot start the writer thread");
		(void)store_writer_close(writer->store, false, NULL);
		goto out;
	}
	writer->running = true;
	*ret_writer = writer;
	writer = NULL;
out:
	if (writer)
		release(writer);
	return rc;
}

struct batch *writer_take(struct writer *writer, bool wait)
{
	struct batch *batch;
	bool failed;

	lock_take(&writer->lock);
	failed = writer->failed != 0;
	lock_drop(&writer->lock);
	if (failed)
		return NULL;
	batch = queue_get(writer->empty, wait ? UINT64_MAX : 0);
	return batch;
}

void writer_put(struct writer *writer, struct batch *batch)
{
	/* As many places as batches: there is always room. */
	(void)queue_put(writer->full, batch);
}

int writer_failed(struct writer *writer, struct err *err)
{
	int rc;

	lock_take(&writer->lock);
	rc = writer->failed;
	if (rc < 0)
		(void)err_set(err, rc, "%s", writer->failed_err.text);
	lock_drop(&writer->lock);
	return rc;
}

bool writer_degraded(struct writer *writer)
{
	bool degraded;

	lock_take(&writer->lock);
	degraded = writer->degraded;
	lock_drop(&writer->lock);
	return degraded;
}

void writer_status(struct writer *writer, struct json *json)
{
	lock_take(&writer->lock);
	json_kbool(json, "degraded", writer->degraded);
	json_ku64(json, "dropped_packets", writer->dropped_packets);
	json_ku64(json, "dropped_bytes", writer->dropped_bytes);
	json_kcstr(json, "last_error", writer->last_error[0] ? writer->last_error : NULL);
	lock_drop(&writer->lock);
	json_ku64(json, "queued_batches", queue_len(writer->full));
}

int writer_close(struct writer *writer, bool seal, struct err *err)
{
	int rc, closed;

	if (!writer)
		return 0;
	queue_close(writer->full);
	(void)pthread_join(writer->thread, NULL);
	if (writer->gap.to_ns)
		(void)store_write_gap(writer->store, &writer->gap, NULL);
	rc = writer_failed(writer, err);
	closed = store_writer_close(writer->store, seal && rc >= 0, rc < 0 ? NULL : err);
	release(writer);
	return rc < 0 ? rc : closed;
}
