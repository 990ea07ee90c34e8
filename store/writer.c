#include "store/writer.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"

#define HOT_DATA_BYTES_MAX (2ull << 30)	/* a partition of more rolls over to the next generation */
#define HOT_LOG_BYTES_MAX (4ull << 30)
#define BUDGET_PARTS 16		/* a budget is at least so many partitions, so that dropping one is not dropping much */
#define BUDGET_ROUNDS 64	/* and retention looks as often while one is written */
#define HOT_IDLE_NS (60 * NS_PER_SEC)	/* without a row, once its hour is over: seal */
#define RETENTION_EVERY_NS NS_PER_MIN
#define NOTES_MAX 256			/* turned into rows at a time */

/* --------------------------------------------------------------- partitions */

int writer_add_hot(struct store_writer *writer, struct hot *hot, struct err *err)
{
	if (mem_grow((void **)&writer->hots, &writer->hots_cap, writer->hots_count, sizeof(hot)) < 0)
		return err_set(err, E_NO_MEMORY, "out of memory");
	writer->hots[writer->hots_count++] = hot;
	return 0;
}

/* What could not be written, kept as one stretch until it can be recorded. */
static void add_lost(struct store_writer *writer, const struct store_gap *gap)
{
	struct store_gap *lost = &writer->lost;

	if (lost->to_ns == 0 || gap->from_ns < lost->from_ns)
		lost->from_ns = gap->from_ns;
	if (gap->to_ns > lost->to_ns)
		lost->to_ns = gap->to_ns;
	lost->packets += gap->packets;
	lost->bytes += gap->bytes;
}

static void lose(struct store_writer *writer, struct hot *hot)
{
	struct store_gap gap = { 0 };

	hot_discard(hot, &gap);
	add_lost(writer, &gap);
}

/* All three steps for one partition; what fails is discarded, so that memory stays bounded on a full disk. */
static int commit_hot(struct store_writer *writer, struct hot *hot, struct err *err)
{
	int rc = hot_encode(hot, err);

	if (rc == 0)
		rc = hot_sync(hot, err);
	if (rc == 0)
		rc = hot_commit(hot, err);
	if (rc < 0)
		lose(writer, hot);
	return rc;
}

static void forget_hot(struct store_writer *writer, struct hot *hot)
{
	size_t i = 0;

	while (writer->hots[i] != hot)
		i++;
	writer->hots_count--;
	memmove(writer->hots + i, writer->hots + i + 1, (writer->hots_count - i) * sizeof(hot));
	if (writer->last == hot)
		writer->last = NULL;
}

/* Commit what it has, tell the catalog of it, and hand it to the seal. */
static int seal_hot(struct store_writer *writer, struct hot *hot, struct err *err)
{
	int rc = hot_is_open(hot) ? commit_hot(writer, hot, err) : 0;

	if (rc == 0 && hot->entry_dirty) {
		struct kv_txn *txn = NULL;

		rc = kv_txn_begin(writer->catalog, true, &txn, err);
		if (rc == 0)
			rc = catalog_part_put(txn, &hot->entry, err);
		if (rc == 0)
			rc = kv_txn_commit(txn, err);
		else
			kv_txn_abort(txn);
		hot->entry_dirty = rc != 0;
	}
	if (rc < 0)
		return rc;
	if (part_entry_newest(&hot->entry) > writer->newest_ns)
		writer->newest_ns = part_entry_newest(&hot->entry);
	forget_hot(writer, hot);
	sealer_put(writer->sealer, hot, writer->hot_max);
	return 0;
}

/* Seal the least recently written partitions until another one may open. */
static int make_room(struct store_writer *writer, struct err *err)
{
	for (;;) {
		struct hot *oldest = NULL;
		size_t open = 0;
		int rc;

		for (size_t i = 0; i < writer->hots_count; i++) {
			struct hot *hot = writer->hots[i];

			if (!hot_is_open(hot))
				continue;
			open++;
			if (!oldest || hot->written_ns < oldest->written_ns)
				oldest = hot;
		}
		if (open < writer->hot_max)
			return 0;
		rc = seal_hot(writer, oldest, err);
		if (rc < 0)
			return rc;
	}
}

/* A generation that neither the catalog, nor this writer, nor a directory has. */
static int next_gen(struct store_writer *writer, uint64_t hour, uint32_t *ret_gen, struct err *err)
{
	char path[STORE_PATH_MAX], name[PART_NAME_LEN];
	struct kv_txn *txn = NULL;
	uint64_t bytes;
	uint32_t gen;
	int rc = kv_txn_begin(writer->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_part_next_gen(txn, hour, &gen, err);
	kv_txn_abort(txn);
	for (size_t i = 0; i < writer->hots_count && rc == 0; i++)
		if (writer->hots[i]->entry.hour == hour && writer->hots[i]->entry.gen >= gen)
			gen = writer->hots[i]->entry.gen + 1;
	for (; rc == 0; gen++) {
		part_name(hour, gen, name);
		rc = files_path(path, err, writer->dir, "hot", name);
		if (rc == 0)
			rc = files_size(path, &bytes, err);
		if (rc != 1)
			break;
		rc = 0;
	}
	if (rc == 0)
		*ret_gen = gen;
	return rc;
}

static uint64_t row_start(const struct table *table, const void *row)
{
	uint64_t start_ns;

	memcpy(&start_ns, (const uint8_t *)row + table->cols[table->start_ord].offset, sizeof(start_ns));
	return start_ns;
}

/* The same for a bulk load, which has no hot partitions. */
static int bulk_for(struct store_writer *writer, uint64_t hour, struct bulk_part **ret_part, struct err *err)
{
	struct bulk_part *part = bulk_find(writer->bulk, hour);
	uint32_t gen;
	int rc = part ? 0 : next_gen(writer, hour, &gen, err);

	if (!part && rc == 0)
		rc = bulk_begin(writer->bulk, hour, bulk_next_gen(writer->bulk, hour, gen), writer->serial++, &part,
				err);
	if (rc == 0)
		*ret_part = part;
	return rc;
}

/* How many rows from this one on begin in its hour. */
static size_t of_one_hour(const struct table *table, const uint8_t *row, size_t count, uint64_t hour)
{
	size_t n = 1;

	while (n < count && row_start(table, row + n * table->row_bytes) / NS_PER_HOUR == hour)
		n++;
	return n;
}

static int bulk_rows(struct store_writer *writer, const struct table *table, const uint8_t *row, size_t count,
		     struct err *err)
{
	struct bulk_part *part = NULL;
	int rc = 0;

	for (size_t n; count && rc == 0; count -= n, row += n * table->row_bytes) {
		uint64_t hour = row_start(table, row) / NS_PER_HOUR;

		n = of_one_hour(table, row, count, hour);
		if (!part || bulk_hour(part) != hour)
			rc = bulk_for(writer, hour, &part, err);
		if (rc == 0)
			rc = bulk_add_rows(writer->bulk, part, table->id, row, n, err);
	}
	return rc == 0 ? bulk_tidy(writer->bulk, err) : rc;
}

/* take: or NULL, the same block, whose bytes are not needed any more. */
static int bulk_packets(struct store_writer *writer, const struct packet_block *block, struct packet_block *take,
			struct err *err)
{
	struct bulk_part *part;
	int rc = bulk_for(writer, block->hour, &part, err);

	if (rc == 0 && take)
		rc = bulk_take_packets(writer->bulk, part, take, err);
	else if (rc == 0)
		rc = bulk_add_packets(writer->bulk, part, block, err);
	return rc == 0 ? bulk_tidy(writer->bulk, err) : rc;
}

/* The partition that takes rows of this hour, open. */
static int hot_for(struct store_writer *writer, uint64_t hour, struct hot **ret_hot, struct err *err)
{
	struct hot_opts opts = { .dir = writer->dir, .hour = hour, .map_bytes = writer->map_bytes,
				 .group_gid = writer->group_gid };
	struct hot *hot = NULL;
	int rc;

	for (size_t i = 0; i < writer->hots_count && !hot; i++)
		if (writer->hots[i]->entry.hour == hour)
			hot = writer->hots[i];
	if (hot && hot_is_open(hot))
		goto found;
	rc = make_room(writer, err);
	if (rc < 0)
		return rc;
	if (hot) {
		rc = hot_open(hot, err);
		if (rc < 0)
			return rc;
		goto found;
	}
	rc = next_gen(writer, hour, &opts.gen, err);
	if (rc < 0)
		return rc;
	opts.serial = writer->serial++;
	rc = hot_new(&opts, &hot, err);
	if (rc == 0)
		rc = writer_add_hot(writer, hot, err);
	if (rc < 0) {
		hot_free(hot);
		return rc;
	}
found:
	hot->written_ns = clock_mono_ns();
	writer->last = hot;
	*ret_hot = hot;
	return 0;
}

/* --------------------------------------------------------------------- rows */

int store_write_rows(struct store_writer *writer, enum table_id table_id, const void *rows, size_t count,
		     struct err *err)
{
	const struct table *table = table_get(table_id);
	const uint8_t *row = rows;
	int rc = 0;

	assert(table && table_id != TABLE_PACKETS);
	if (writer->bulk)
		return bulk_rows(writer, table, rows, count, err);
	for (size_t n; count && rc == 0; count -= n, row += n * table->row_bytes) {
		uint64_t hour = row_start(table, row) / NS_PER_HOUR;
		struct hot *hot = writer->last;

		n = of_one_hour(table, row, count, hour);
		if (!hot || hot->entry.hour != hour || !hot_is_open(hot))
			rc = hot_for(writer, hour, &hot, err);
		if (rc == 0)
			rc = hot_add_rows(hot, table, row, n, err);
	}
	if (writer->last)
		writer->last->written_ns = clock_mono_ns();
	return rc;
}

void store_write_plain(struct store_writer *writer, bool plain)
{
	writer->plain = plain;
}

int store_write_packets(struct store_writer *writer, const struct packet_block *block, struct err *err)
{
	struct hot *hot;
	int rc;

	if (block->count == 0)
		return 0;
	if (writer->bulk)
		return bulk_packets(writer, block, NULL, err);
	rc = hot_for(writer, block->hour, &hot, err);
	if (rc == 0)
		rc = hot_add_packets(hot, block, writer->plain ? CODEC_NONE : CODEC_LZ4, err);
	if (rc < 0) {
		struct store_gap lost = { .from_ns = block->time_min, .packets = block->count, .bytes = block->bytes.len,
					  .to_ns = block->time_max + (block->time_max != UINT64_MAX) };

		add_lost(writer, &lost);
	}
	return rc;
}

int store_take_packets(struct store_writer *writer, struct packet_block *block, struct err *err)
{
	if (block->count && writer->bulk)
		return bulk_packets(writer, block, block, err);
	return store_write_packets(writer, block, err);
}

int store_write_gap(struct store_writer *writer, const struct store_gap *gap, struct err *err)
{
	struct event_row row = { 0 };
	char text[160];

	if (gap->to_ns <= gap->from_ns)
		return err_set(err, E_RANGE, "a gap ends after it begins");
	if (mem_grow((void **)&writer->gaps, &writer->gaps_cap, writer->gaps_count, sizeof(*gap)) < 0)
		return err_set(err, E_NO_MEMORY, "out of memory");
	writer->gaps[writer->gaps_count] = *gap;
	writer->gaps[writer->gaps_count].reason[sizeof(gap->reason) - 1] = '\0';
	ROW_SET(EVENT_ROW, &row, id, schema_id(gap->from_ns, writer->event_count++));
	ROW_SET(EVENT_ROW, &row, start_ns, gap->from_ns);
	ROW_SET(EVENT_ROW, &row, end_ns, gap->to_ns);
	ROW_SET(EVENT_ROW, &row, kind, EVENT_gap);
	ROW_SET(EVENT_ROW, &row, reason, view_str(writer->gaps[writer->gaps_count].reason));
	ROW_SET(EVENT_ROW, &row, value, gap->packets);
	ROW_SET(EVENT_ROW, &row, source, gap->source);
	if (gap->packets || gap->bytes) {
		(void)snprintf(text, sizeof(text), "%llu packets, %llu bytes not recorded",
			       (unsigned long long)gap->packets, (unsigned long long)gap->bytes);
		ROW_SET(EVENT_ROW, &row, text, view_str(text));
	}
	writer->gaps_count++;
	return store_write_rows(writer, TABLE_EVENTS, &row, 1, err);
}

int store_write_status(struct store_writer *writer, const char *name, struct view text, struct err *err)
{
	struct writer_status *status = NULL;

	if (!*name || strlen(name) >= CATALOG_STATUS_NAME_MAX || text.len > CATALOG_STATUS_BYTES_MAX)
		return err_set(err, E_LIMIT, "status %.80s: a name of 1 to %d characters and at most %u bytes", name,
			       CATALOG_STATUS_NAME_MAX - 1, CATALOG_STATUS_BYTES_MAX);
	for (size_t i = 0; i < writer->statuses_count && !status; i++)
		if (strcmp(writer->statuses[i].name, name) == 0)
			status = &writer->statuses[i];
	if (!status) {
		if (mem_grow((void **)&writer->statuses, &writer->statuses_cap, writer->statuses_count,
			     sizeof(*status)) < 0)
			return err_set(err, E_NO_MEMORY, "out of memory");
		status = &writer->statuses[writer->statuses_count++];
		(void)snprintf(status->name, sizeof(status->name), "%s", name);
		wr_init(&status->text, 0);
	}
	wr_reset(&status->text);
	wr_bytes(&status->text, text);
	return status->text.bad ? err_set(err, E_NO_MEMORY, "out of memory") : 0;
}

size_t store_pending_bytes(const struct store_writer *writer)
{
	size_t bytes = 0;

	for (size_t i = 0; i < writer->hots_count; i++)
		if (hot_is_open(writer->hots[i]))
			bytes += hot_pending_bytes(writer->hots[i]);
	return bytes;
}

/* ------------------------------------------------------------------- commit */

static int commit_hots(struct store_writer *writer, struct err *err)
{
	int first = 0;

	/* Encode and sync all before the first transaction: flushes of several logs overlap in the device. */
	for (size_t i = 0; i < writer->hots_count; i++) {
		struct hot *hot = writer->hots[i];
		int rc;

		if (!hot_is_open(hot) || !hot_pending(hot))
			continue;
		rc = hot_encode(hot, err);
		if (rc == 0)
			rc = hot_sync(hot, err);
		if (rc < 0) {
			lose(writer, hot);
			first = first ? first : rc;
		}
	}
	for (size_t i = 0; i < writer->hots_count; i++) {
		struct hot *hot = writer->hots[i];
		int rc;

		if (!hot_is_open(hot) || !hot_pending(hot))
			continue;
		rc = hot_commit(hot, err);
		if (rc < 0) {
			lose(writer, hot);
			first = first ? first : rc;
		}
	}
	return first;
}

/* whole: all partitions were committed. If not, what a crash loses still begins at the commit before. */
static int put_catalog(struct store_writer *writer, struct kv_txn *txn, bool whole, bool clean, struct err *err)
{
	struct catalog_progress progress = { 0 };
	int rc = catalog_progress_get(txn, &progress, err);

	progress.clean = clean;
	if (whole || progress.last_commit_ns == 0)
		progress.last_commit_ns = clock_now_ns();
	for (size_t i = 0; i < writer->hots_count && rc == 0; i++) {
		const struct hot *hot = writer->hots[i];

		if (part_entry_newest(&hot->entry) > writer->newest_ns)
			writer->newest_ns = part_entry_newest(&hot->entry);
		if (hot->entry_dirty)
			rc = catalog_part_put(txn, &hot->entry, err);
	}
	for (size_t i = 0; i < writer->gaps_count && rc == 0; i++)
		rc = catalog_gap_add(txn, &writer->gaps[i], err);
	for (size_t i = 0; i < writer->statuses_count && rc == 0; i++)
		rc = catalog_status_put(txn, writer->statuses[i].name, wr_view(&writer->statuses[i].text), err);
	if (rc == 0 && writer->notes_last_key)
		rc = catalog_notes_drop(txn, writer->notes_last_key, err);
	progress.newest_ns = writer->newest_ns;
	return rc == 0 ? catalog_progress_put(txn, &progress, err) : rc;
}

static int commit_catalog(struct store_writer *writer, bool whole, bool clean, struct err *err)
{
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(writer->catalog, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = put_catalog(writer, txn, whole, clean, err);
	if (rc < 0) {
		kv_txn_abort(txn);
		return rc;
	}
	rc = kv_txn_commit(txn, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < writer->hots_count; i++)
		writer->hots[i]->entry_dirty = false;
	for (size_t i = 0; i < writer->statuses_count; i++)
		wr_release(&writer->statuses[i].text);
	writer->gaps_count = 0;
	writer->statuses_count = 0;
	writer->notes_last_key = 0;
	return 0;
}

/* What failed commits lost becomes a gap as soon as one succeeds again. */
static int note_lost(struct store_writer *writer, struct err *err)
{
	struct store_gap gap = writer->lost;

	if (gap.to_ns == 0)
		return 0;
	writer->lost = (struct store_gap){ 0 };
	(void)snprintf(gap.reason, sizeof(gap.reason), "write_failed");
	return store_write_gap(writer, &gap, err);
}

static int commit(struct store_writer *writer, bool clean, struct err *err)
{
	int rc = commit_hots(writer, err);
	int rc_catalog = commit_catalog(writer, rc == 0, clean, err);

	if (rc == 0)
		rc = rc_catalog;
	return rc == 0 ? note_lost(writer, err) : rc;
}

/* A budget of bytes is kept by bytes written, not by the clock. */
static void retain_by_bytes(struct store_writer *writer, uint64_t bytes)
{
	if (!writer->budget_bytes)
		return;
	writer->since_bytes += bytes;
	if (writer->since_bytes < writer->budget_bytes / BUDGET_ROUNDS)
		return;
	writer->since_bytes = 0;
	sealer_retain(writer->sealer, clock_now_ns());
}

/* A full partition goes on as the next generation. */
static int roll_over(struct store_writer *writer, struct err *err)
{
	uint64_t most = writer->budget_bytes ? writer->budget_bytes / BUDGET_PARTS : UINT64_MAX;
	int rc = 0;

	for (size_t i = writer->hots_count; i-- > 0 && rc == 0;) {
		struct hot *hot = writer->hots[i];
		bool full = hot->entry.data_bytes > HOT_DATA_BYTES_MAX || hot->log_bytes > HOT_LOG_BYTES_MAX ||
			    hot->entry.data_bytes > writer->map_bytes / 2 ||
			    hot->entry.data_bytes + hot->log_bytes > most;

		if (full && hot_is_open(hot))
			rc = seal_hot(writer, hot, err);
	}
	return rc;
}

int store_commit(struct store_writer *writer, struct err *err)
{
	uint64_t bytes = store_pending_bytes(writer);
	int rc;

	if (writer->bulk)	/* all of it at the end */
		return 0;
	rc = commit(writer, false, err);
	retain_by_bytes(writer, bytes);
	return rc == 0 ? roll_over(writer, err) : rc;
}

static int seal_all(struct store_writer *writer, struct err *err)
{
	struct err failure = { 0 };
	struct hot *hot;
	int rc = 0;

	while (writer->hots_count && rc == 0)
		rc = seal_hot(writer, writer->hots[0], err);
	sealer_wait(writer->sealer);
	while ((hot = sealer_take_failed(writer->sealer, &failure))) {
		hot_free(hot);	/* it is in the catalog, hot, for the next writer */
		rc = rc < 0 ? rc : err_set(err, failure.code, "%s", failure.text);
	}
	return rc;
}

static int publish_bulk(struct store_writer *writer, struct err *err)
{
	uint64_t newest_ns;
	int rc = bulk_end(writer->bulk, &newest_ns, err);

	if (rc == 0 && newest_ns > writer->newest_ns)
		writer->newest_ns = newest_ns;
	return rc;
}

int store_writer_close(struct store_writer *writer, bool seal, struct err *err)
{
	int rc = store_commit(writer, err);

	if (rc == 0 && writer->bulk && seal)
		rc = publish_bulk(writer, err);
	if (rc == 0 && seal)
		rc = seal_all(writer, err);
	if (rc == 0)
		rc = commit(writer, true, err);	/* also the gap that the first one may have found */
	writer_free(writer);
	return rc;
}

/* --------------------------------------------------------------------- tick */

/* What other processes left (retention by hand) becomes rows; dropped from the catalog with the next commit. */
static int take_notes(struct store_writer *writer, struct err *err)
{
	struct catalog_note *notes;
	struct kv_txn *txn = NULL;
	uint64_t last_key = 0;
	struct arena arena;
	size_t count = 0;
	int rc;

	if (writer->notes_last_key)	/* those of the last time are not committed yet */
		return 0;
	arena_init(&arena, 0);
	rc = kv_txn_begin(writer->catalog, false, &txn, err);
	if (rc == 0)
		rc = catalog_notes(txn, NOTES_MAX, &arena, &notes, &count, &last_key, err);
	kv_txn_abort(txn);
	for (size_t i = 0; i < count && rc == 0; i++) {
		struct event_row row = { 0 };

		ROW_SET(EVENT_ROW, &row, id, schema_id(notes[i].at_ns, writer->event_count++));
		ROW_SET(EVENT_ROW, &row, start_ns, notes[i].at_ns);
		ROW_SET(EVENT_ROW, &row, end_ns, notes[i].at_ns);
		ROW_SET(EVENT_ROW, &row, kind, notes[i].kind);
		ROW_SET(EVENT_ROW, &row, reason, view_str(notes[i].reason));
		ROW_SET(EVENT_ROW, &row, value, notes[i].value);
		ROW_SET(EVENT_ROW, &row, text, view_str(notes[i].text));
		ROW_SET(EVENT_ROW, &row, source, 0);
		rc = store_write_rows(writer, TABLE_EVENTS, &row, 1, err);
	}
	if (rc == 0 && count)
		writer->notes_last_key = last_key;
	arena_release(&arena);
	return rc;
}

/* Partitions that could not be sealed are hot again, and tried again after the idle time. */
static int take_failed(struct store_writer *writer, struct err *err)
{
	struct err failure = { 0 };
	struct hot *hot;
	int rc = 0;

	while (rc == 0 && (hot = sealer_take_failed(writer->sealer, &failure))) {
		hot->written_ns = clock_mono_ns();
		rc = writer_add_hot(writer, hot, err);
		if (rc < 0)
			hot_free(hot);
	}
	return rc;
}

static bool hour_over(uint64_t hour, uint64_t now_ns)
{
	return hour < now_ns / NS_PER_HOUR;
}

int store_tick(struct store_writer *writer, uint64_t now_ns, struct err *err)
{
	uint64_t mono_ns = clock_mono_ns();
	int rc = take_failed(writer, err);

	if (rc == 0)
		rc = take_notes(writer, err);
	for (size_t i = writer->hots_count; i-- > 0 && rc == 0;) {
		struct hot *hot = writer->hots[i];

		if (hour_over(hot->entry.hour, now_ns) && mono_ns - hot->written_ns >= HOT_IDLE_NS)
			rc = seal_hot(writer, hot, err);
	}
	cold_calm(writer->cold, !writer->plain && writer->lost.to_ns == 0 && sealer_idle(writer->sealer));
	if (rc == 0 && mono_ns - writer->retention_ns >= RETENTION_EVERY_NS) {
		writer->retention_ns = mono_ns;
		writer_read_policy(writer);
		kv_reap_readers(writer->catalog);
		for (size_t i = 0; i < writer->hots_count; i++)
			if (hot_is_open(writer->hots[i]))
				kv_reap_readers(writer->hots[i]->kv);
		sealer_retain(writer->sealer, now_ns);
		cold_look(writer->cold, now_ns, writer->cold_age_ns);
	}
	return rc;
}
