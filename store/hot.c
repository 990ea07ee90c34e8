#include "store/hot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/packet_table.h"

#define HOT_LZ4_LEVEL 0
#define SEND_BYTES (4u << 20)	/* whole pages */

static struct hot *hot_make(const struct hot_opts *opts, struct err *err)
{
	struct hot *hot = mem_zalloc(sizeof(*hot));
	char name[PART_NAME_LEN];

	if (!hot) {
		(void)err_set(err, E_NO_MEMORY, "hot partition: out of memory");
		return NULL;
	}
	hot->log_fd = -1;
	hot->map_bytes = opts->map_bytes;
	hot->group_gid = opts->group_gid;
	wr_init(&hot->blob_bytes, 0);
	wr_init(&hot->block_entries, 0);
	wr_init(&hot->stored, 0);
	hot->log_next.start_min = UINT64_MAX;
	hot->written_ns = clock_mono_ns();
	part_entry_init(&hot->entry, opts->hour, opts->gen, opts->serial);
	part_name(opts->hour, opts->gen, name);
	if (files_path(hot->path, err, opts->dir, "hot", name) < 0) {
		hot_free(hot);
		return NULL;
	}
	return hot;
}

/* The entry inside the partition is what a crash between its commit and the catalog's leaves as truth. */
static int put_entry(struct kv_txn *txn, const struct part_entry *entry, struct err *err)
{
	struct wr wr;
	int rc;

	wr_init(&wr, 0);
	part_entry_write(entry, &wr);
	rc = wr.bad ? err_set(err, E_NO_MEMORY, "hot partition: out of memory")
		    : kv_put(txn, PART_META, KV_PUT, VIEW_LIT("entry"), wr_view(&wr), err);
	wr_release(&wr);
	return rc;
}

static int first_commit(struct hot *hot, struct err *err)
{
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(hot->kv, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = put_entry(txn, &hot->entry, err);
	if (rc == 0)
		return kv_txn_commit(txn, err);
	kv_txn_abort(txn);
	return rc;
}

int hot_new(const struct hot_opts *opts, struct hot **ret_hot, struct err *err)
{
	struct hot *hot = hot_make(opts, err);
	char above[STORE_PATH_MAX];
	int rc = E_NO_MEMORY;

	if (!hot)
		return rc;
	rc = files_mkdir(hot->path, hot->group_gid, err);
	if (rc == 0)
		rc = hot_open(hot, err);
	if (rc == 0)
		rc = first_commit(hot, err);
	if (rc == 0)
		rc = files_sync_dir(hot->path, err);
	if (rc == 0)
		rc = files_path(above, err, opts->dir, "hot", NULL);
	if (rc == 0)
		rc = files_sync_dir(above, err);
	if (rc < 0) {
		(void)files_remove_tree(hot->path, NULL);
		hot_free(hot);
		return rc;
	}
	*ret_hot = hot;
	return 0;
}

int hot_load(const struct hot_opts *opts, struct hot **ret_hot, struct err *err)
{
	struct hot *hot = hot_make(opts, err);
	struct kv_txn *txn = NULL;
	struct view value;
	int rc;

	if (!hot)
		return E_NO_MEMORY;
	rc = hot_open(hot, err);
	if (rc < 0)
		goto out;
	kv_reap_readers(hot->kv);
	rc = kv_txn_begin(hot->kv, false, &txn, err);
	if (rc == 0)
		rc = kv_get(txn, PART_META, VIEW_LIT("entry"), &value, err);
	if (rc == 0)
		rc = err_set(err, E_NOT_FOUND, "nothing was ever committed to it");
	if (rc > 0)
		rc = part_entry_get(txn, &hot->entry, err);
	kv_txn_abort(txn);
	if (rc < 0)
		goto out;
	/* Blocks that no transaction speaks of: torn by a crash, or whole and never promised. */
	if (ftruncate(hot->log_fd, (off_t)hot->entry.packet_bytes) < 0) {
		rc = err_errno(err, errno, "%s/" PART_LOG_FILE ": cut to %llu bytes", hot->path,
			       (unsigned long long)hot->entry.packet_bytes);
		goto out;
	}
	hot->log_bytes = hot->log_sent = hot->entry.packet_bytes;
	hot_close(hot);
	*ret_hot = hot;
	hot = NULL;
out:
	if (rc < 0)
		(void)err_prefix(err, "hot partition %s", opts->dir);
	hot_free(hot);
	return rc;
}

int hot_open(struct hot *hot, struct err *err)
{
	struct kv_opts opts = { .mode = KV_WRITE, .dbs = part_dbs, .map_bytes = hot->map_bytes,
				.group_gid = hot->group_gid };
	char path[STORE_PATH_MAX];
	int rc;

	if (hot_is_open(hot))
		return 0;
	rc = files_path(path, err, hot->path, PART_LOG_FILE, NULL);
	if (rc < 0)
		return rc;
	hot->log_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (hot->log_fd < 0)
		return err_errno(err, errno, "%s: open", path);
	if (fchmod(hot->log_fd, 0640) < 0 ||
	    (hot->group_gid >= 0 && fchown(hot->log_fd, (uid_t)-1, (gid_t)hot->group_gid) < 0)) {
		rc = err_errno(err, errno, "%s: give to group %d", path, hot->group_gid);
		goto out;
	}
	rc = kv_open(hot->path, &opts, &hot->kv, err);
out:
	if (rc < 0) {
		(void)close(hot->log_fd);
		hot->log_fd = -1;
	}
	return rc;
}

static void drop_builders(struct hot *hot)
{
	for (int t = 0; t <= TABLE_MAX; t++) {
		rg_builder_free(hot->builders[t]);
		hot->builders[t] = NULL;
	}
}

void hot_close(struct hot *hot)
{
	assert(!hot_pending(hot));
	drop_builders(hot);
	wr_release(&hot->blob_bytes);
	wr_release(&hot->block_entries);
	wr_release(&hot->stored);
	wr_init(&hot->blob_bytes, 0);
	wr_init(&hot->block_entries, 0);
	wr_init(&hot->stored, 0);
	kv_close(hot->kv);
	hot->kv = NULL;
	if (hot->log_fd >= 0)
		(void)close(hot->log_fd);
	hot->log_fd = -1;
}

void hot_free(struct hot *hot)
{
	if (!hot)
		return;
	drop_builders(hot);
	wr_release(&hot->blob_bytes);
	wr_release(&hot->block_entries);
	wr_release(&hot->stored);
	mem_free(hot->blobs);
	kv_close(hot->kv);
	if (hot->log_fd >= 0)
		(void)close(hot->log_fd);
	mem_free(hot);
}

/* ----------------------------------------------------------------- filling */

/* Turn what one builder holds into a row group of blob_bytes. */
static int encode_table(struct hot *hot, enum table_id table, struct err *err)
{
	struct rg_builder *builder = hot->builders[table];
	struct hot_blob blob = { .table = table, .at = hot->blob_bytes.len };
	struct rg rg;
	int rc;

	if (!builder || rg_builder_rows(builder) == 0)
		return 0;
	if (mem_grow((void **)&hot->blobs, &hot->blobs_cap, hot->blobs_count, sizeof(*hot->blobs)) < 0)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", hot->path);
	rc = rg_builder_write(builder, NULL, RG_CODEC_LZ4, HOT_LZ4_LEVEL, &hot->blob_bytes, err);
	if (rc == 0 && hot->blob_bytes.bad)
		rc = err_set(err, E_NO_MEMORY, "%s: out of memory", hot->path);
	if (rc < 0)
		return rc;
	blob.len = hot->blob_bytes.len - blob.at;
	rc = rg_open(view_make(hot->blob_bytes.at + blob.at, blob.len), &rg, err);
	if (rc < 0)
		return rc;
	blob.zone = rg.zone;
	hot->blobs[hot->blobs_count++] = blob;
	rg_builder_reset(builder);
	return 0;
}

int hot_add_rows(struct hot *hot, const struct table *table, const void *rows, size_t count, struct err *err)
{
	struct rg_builder **builder = &hot->builders[table->id];
	size_t done = 0;
	int rc = 0;

	if (!*builder)
		*builder = rg_builder_new(table);
	if (!*builder)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", hot->path);
	while (done < count && rc == 0) {
		size_t added;

		rc = rg_builder_add_rows(*builder, (const uint8_t *)rows + done * table->row_bytes, count - done, &added);
		done += added;
		if (rc == E_LIMIT && rg_builder_rows(*builder))
			rc = encode_table(hot, table->id, err);
	}
	return rc < 0 ? err_set(err, rc, "%s: row of %s not added", hot->path, table->name) : 0;
}

/* The block's entry, put behind the others that wait for the commit. */
static int add_block_entry(struct hot *hot, const struct block_entry *entry, const struct packet_block_info *info,
			   struct err *err)
{
	size_t len_at = hot->block_entries.len;
	int rc;

	wr_u32le(&hot->block_entries, 0);
	rc = block_entry_write(entry, info, &hot->block_entries);
	if (rc == 0 && hot->block_entries.bad)
		rc = E_NO_MEMORY;
	if (rc < 0) {
		hot->block_entries.bad = false;
		hot->block_entries.len = len_at;
		return err_set(err, rc, "%s: packet block not added: %s", hot->path, err_text(rc));
	}
	wr_patch_u32le(&hot->block_entries, len_at, (uint32_t)(hot->block_entries.len - len_at - 4));
	return 0;
}

/*
 * On its way to the disk from now on, so that the commit does not wait for a second's worth of it. In large pieces: each
 * request to a disk has its price, and so has a page that is sent twice.
 */
static void send_ahead(struct hot *hot)
{
	uint64_t end = hot->log_bytes / SEND_BYTES * SEND_BYTES;

	if (end <= hot->log_sent)
		return;
	(void)sync_file_range(hot->log_fd, (off_t)hot->log_sent, (off_t)(end - hot->log_sent), SYNC_FILE_RANGE_WRITE);
	hot->log_sent = end;
}

int hot_add_packets(struct hot *hot, const struct packet_block *block, enum codec codec, struct err *err)
{
	struct block_entry entry = block_entry_make(block);
	struct wr *stored = &hot->stored;
	struct packet_block_info info;
	struct view frames = { 0 };	/* what lies elsewhere, and goes behind */
	int rc;

	wr_reset(stored);
	if (codec == CODEC_NONE) {
		rc = packet_block_write_head(block, stored, &info, err);
		frames = wr_view(&block->bytes);
	} else {
		rc = packet_block_write(block, NULL, codec, HOT_LZ4_LEVEL, stored, err);
		if (rc == 0)
			rc = packet_block_peek(wr_view(stored), &info, err);
	}
	if (rc < 0)
		return rc;
	entry.offset = hot->log_bytes;
	entry.stored_bytes = (uint32_t)(stored->len + frames.len);
	hot->log_dirty = true;
	rc = files_write_at(hot->log_fd, wr_view(stored), hot->log_bytes, hot->path, err);
	if (rc == 0)
		rc = files_write_at(hot->log_fd, frames, hot->log_bytes + stored->len, hot->path, err);
	if (rc == 0)
		rc = add_block_entry(hot, &entry, &info, err);
	if (rc < 0) {	/* give the space of the half block back; the next one overwrites it in any case */
		(void)!ftruncate(hot->log_fd, (off_t)hot->log_bytes);
		return rc;
	}
	hot->log_bytes += entry.stored_bytes;
	send_ahead(hot);
	hot->log_plain_bytes += entry.plain_bytes;
	hot->log_next.rows += entry.count;
	hot->log_next.groups++;
	if (entry.time_min < hot->log_next.start_min)
		hot->log_next.start_min = entry.time_min;
	if (entry.time_max > hot->log_next.end_max)
		hot->log_next.end_max = entry.time_max;
	return 0;
}

bool hot_pending(const struct hot *hot)
{
	for (int t = 1; t <= TABLE_MAX; t++)
		if (hot->builders[t] && rg_builder_rows(hot->builders[t]))
			return true;
	return hot->blobs_count || hot->log_next.groups;
}

size_t hot_pending_bytes(const struct hot *hot)
{
	size_t bytes = hot->blob_bytes.len + (size_t)(hot->log_bytes - hot->entry.packet_bytes);

	for (int t = 1; t <= TABLE_MAX; t++)
		if (hot->builders[t] && rg_builder_rows(hot->builders[t]))
			bytes += rg_builder_bytes(hot->builders[t]);
	return bytes;
}

size_t hot_disk_bytes(const struct hot *hot)
{
	return (size_t)hot->entry.data_bytes + (size_t)hot->log_bytes + hot->blob_bytes.len;
}

/* -------------------------------------------------------------- committing */

int hot_encode(struct hot *hot, struct err *err)
{
	int rc = 0;

	for (int t = 1; t <= TABLE_MAX && rc == 0; t++)
		rc = encode_table(hot, (enum table_id)t, err);
	return rc;
}

int hot_sync(struct hot *hot, struct err *err)
{
	if (!hot->log_dirty)
		return 0;
	if (fdatasync(hot->log_fd) < 0)
		return err_errno(err, errno, "%s/" PART_LOG_FILE ": sync", hot->path);
	hot->log_dirty = false;
	return 0;
}

static int put_blobs(struct hot *hot, struct kv_txn *txn, struct part_entry *next, struct err *err)
{
	struct wr zone;
	int rc = 0;

	wr_init(&zone, 0);
	for (size_t i = 0; i < hot->blobs_count && rc == 0; i++) {
		const struct hot_blob *blob = &hot->blobs[i];
		struct part_key key = part_key_rg(blob->table, next->tables[blob->table].groups++);

		wr_reset(&zone);
		rg_zone_write(&blob->zone, &zone);
		rc = zone.bad ? err_set(err, E_NO_MEMORY, "%s: out of memory", hot->path) : 0;
		if (rc == 0)
			rc = kv_put(txn, PART_ZONE, KV_PUT_NEW, part_key_view(&key), wr_view(&zone), err);
		if (rc == 0)
			rc = kv_put(txn, PART_RG, KV_PUT_NEW, part_key_view(&key),
				    view_make(hot->blob_bytes.at + blob->at, blob->len), err);
		part_entry_count(next, blob->table, blob->zone.rows, blob->zone.start_min, blob->zone.start_max,
				 blob->zone.end_max);
	}
	wr_release(&zone);
	return rc;
}

static int put_blocks(struct hot *hot, struct kv_txn *txn, struct part_entry *next, struct err *err)
{
	struct rd rd = rd_make(wr_view(&hot->block_entries));
	int rc = 0;

	while (rc == 0 && rd_left(&rd)) {
		struct view entry = rd_bytes(&rd, rd_u32le(&rd));
		struct part_key key = part_key_u32(next->tables[TABLE_PACKETS].groups++);

		assert(!rd.bad);
		rc = kv_put(txn, PART_PKB, KV_PUT_APPEND, part_key_view(&key), entry, err);
	}
	if (hot->log_next.groups)
		part_entry_count(next, TABLE_PACKETS, hot->log_next.rows, hot->log_next.start_min,
				 hot->log_next.end_max, hot->log_next.end_max);
	next->packet_bytes = hot->log_bytes;
	next->packet_plain_bytes += hot->log_plain_bytes;
	return rc;
}

static int commit_once(struct hot *hot, struct part_entry *ret_entry, struct err *err)
{
	struct part_entry next = hot->entry;
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(hot->kv, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = put_blobs(hot, txn, &next, err);
	if (rc == 0)
		rc = put_blocks(hot, txn, &next, err);
	next.data_bytes = kv_used_bytes(hot->kv) + hot->blob_bytes.len;
	if (rc == 0)
		rc = put_entry(txn, &next, err);
	if (rc < 0) {
		kv_txn_abort(txn);
		return rc;
	}
	rc = kv_txn_commit(txn, err);
	if (rc == 0)
		*ret_entry = next;
	return rc;
}

static void forget_pending(struct hot *hot)
{
	for (int t = 1; t <= TABLE_MAX; t++)
		if (hot->builders[t])
			rg_builder_reset(hot->builders[t]);
	hot->blobs_count = 0;
	wr_reset(&hot->blob_bytes);
	wr_reset(&hot->block_entries);
	hot->log_next = (struct part_table){ .start_min = UINT64_MAX };
	hot->log_plain_bytes = 0;
}

int hot_commit(struct hot *hot, struct err *err)
{
	struct err first = { 0 };
	int rc;

	if (!hot_pending(hot))
		return 0;
	assert(!hot->log_dirty);	/* a pointer is never committed before its bytes */
	rc = commit_once(hot, &hot->entry, &first);
	if (rc == E_LIMIT && kv_grow(hot->kv, &first) == 0) {
		err_clear(&first);
		rc = commit_once(hot, &hot->entry, &first);
	}
	if (rc < 0)
		return err_set(err, rc, "%s", first.text);
	hot->entry_dirty = true;
	forget_pending(hot);
	return 0;
}

void hot_discard(struct hot *hot, struct store_gap *ret_lost)
{
	uint64_t min = hot->log_next.groups ? hot->log_next.start_min : UINT64_MAX;
	uint64_t max = hot->log_next.end_max;

	for (size_t i = 0; i < hot->blobs_count; i++) {
		if (hot->blobs[i].zone.start_min < min)
			min = hot->blobs[i].zone.start_min;
		if (hot->blobs[i].zone.start_max > max)
			max = hot->blobs[i].zone.start_max;
	}
	if (min > max) {	/* rows that were not even encoded: the hour is all that is known */
		min = hot->entry.hour * NS_PER_HOUR;
		max = min + (NS_PER_HOUR - 1);
	}
	*ret_lost = (struct store_gap){
		.from_ns = min,
		.to_ns = max + (max != UINT64_MAX),	/* half-open, but for the end of time */
		.packets = hot->log_next.rows,
		.bytes = hot->log_plain_bytes,
	};
	forget_pending(hot);
	hot->log_bytes = hot->log_sent = hot->entry.packet_bytes;
	hot->log_dirty = false;
	(void)!ftruncate(hot->log_fd, (off_t)hot->log_bytes);
}
