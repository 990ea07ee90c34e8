#include "store/bulk.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "store/packet_window.h"

#define PARTS_OPEN_MAX 64u	/* a sparse capture's batch of rows is of many hours, table after table; 1 MiB each */
#define KEPT_BYTES_MAX (32u << 20)	/* of rows that those of other hours keep */
#define HELD_BYTES_DEFAULT ((size_t)448 << 20)	/* enough for two partitions at work */
#define LEVEL_LESS 2		/* of zstd: level 1 packs as well as 3 does, but for 1 %, in three quarters of its time */
#define DATA_BYTES_MAX (2ull << 30)	/* a partition of more goes on as the next generation */
#define SEG_BYTES_MAX (4ull << 30)

struct bulk_part {
	struct seal seal;
	char path[STORE_PATH_MAX];
	struct seal_run *runs[TABLE_MAX + 1];
	struct packet_window *window;
	uint64_t used;		/* by the load's count of uses */
	uint64_t flushed;	/* by its count of rounds */
	bool complete;		/* closed and synced, waits to be published */
};

struct bulk {
	struct seal_opts opts;
	size_t held_bytes_max;
	struct pool *pool;
	struct bulk_part **parts;
	size_t parts_count, parts_cap;
	uint64_t uses, rounds;
	bool failed;
};

static void part_drop_buffers(struct bulk_part *part)
{
	for (int t = 1; t <= TABLE_MAX; t++) {
		seal_run_free(part->runs[t]);
		part->runs[t] = NULL;
	}
	packet_window_free(part->window);
	part->window = NULL;
}

static void part_free(struct bulk_part *part)
{
	part_drop_buffers(part);
	seal_abort(&part->seal);	/* published: its directory has moved away */
	mem_free(part);
}

static size_t part_bytes(const struct bulk_part *part)
{
	size_t bytes = part->window ? packet_window_bytes(part->window) : 0;

	for (int t = 1; t <= TABLE_MAX; t++)
		bytes += part->runs[t] ? seal_run_bytes(part->runs[t]) : 0;
	return bytes;
}

/* Sort and pack what waits in memory. */
static int part_flush(struct bulk_part *part, struct err *err)
{
	int rc = 0;

	for (int t = 1; t <= TABLE_MAX && rc == 0; t++)
		if (part->runs[t])
			rc = seal_run_flush(part->runs[t], err);
	if (rc == 0 && part->window)
		rc = packet_window_flush(part->window, err);
	/* Transactions end with the call: who comes next may be another thread. */
	return rc == 0 ? kv_batch_commit(&part->seal.batch, err) : rc;
}

static int part_complete(struct bulk_part *part, struct err *err)
{
	int rc = 0;

	/* The last frames are packed while rows are written. */
	if (part->window)
		rc = packet_window_start(part->window, err);
	for (int t = 1; t <= TABLE_MAX && rc == 0; t++)
		if (part->runs[t])
			rc = seal_run_end(part->runs[t], err);
	if (rc == 0 && part->window)
		rc = packet_window_end(part->window, err);
	if (rc == 0)
		rc = seal_end(&part->seal, err);
	part_drop_buffers(part);
	part->complete = rc == 0;
	return rc;
}

/* --------------------------------------------------------------- partitions */

struct bulk_part *bulk_find(struct bulk *bulk, uint64_t hour)
{
	for (size_t i = 0; i < bulk->parts_count; i++) {
		struct bulk_part *part = bulk->parts[i];

		if (part->complete || part->seal.entry.hour != hour)
			continue;
		part->used = ++bulk->uses;
		return part;
	}
	return NULL;
}

uint64_t bulk_hour(const struct bulk_part *part)
{
	return part->seal.entry.hour;
}

uint32_t bulk_next_gen(const struct bulk *bulk, uint64_t hour, uint32_t gen)
{
	for (size_t i = 0; i < bulk->parts_count; i++) {
		const struct part_entry *entry = &bulk->parts[i]->seal.entry;

		if (entry->hour == hour && entry->gen >= gen)
			gen = entry->gen + 1;
	}
	return gen;
}

/* The one that was used least of late; NULL: none is open. */
static struct bulk_part *least_used(const struct bulk *bulk, size_t *ret_open, size_t *ret_bytes)
{
	struct bulk_part *oldest = NULL;
	size_t open = 0, bytes = 0;

	for (size_t i = 0; i < bulk->parts_count; i++) {
		struct bulk_part *part = bulk->parts[i];

		if (part->complete)
			continue;
		open++;
		bytes += part_bytes(part);
		if (!oldest || part->used < oldest->used)
			oldest = part;
	}
	*ret_open = open;
	*ret_bytes = bytes;
	return oldest;
}

/* Captures go from hour to hour: those before give their memory back but for a little, and the least used are completed. */
static int make_room(struct bulk *bulk, struct err *err)
{
	struct bulk_part *oldest;
	size_t open, bytes;
	int rc = 0;

	for (size_t i = 0; i < bulk->parts_count && rc == 0; i++)
		if (!bulk->parts[i]->complete)
			rc = part_flush(bulk->parts[i], err);
	while (rc == 0 && (oldest = least_used(bulk, &open, &bytes)) &&
	       (open >= PARTS_OPEN_MAX || bytes > KEPT_BYTES_MAX))
		rc = part_complete(oldest, err);
	return rc;
}

int bulk_begin(struct bulk *bulk, uint64_t hour, uint32_t gen, uint64_t serial, struct bulk_part **ret_part,
	       struct err *err)
{
	struct bulk_part *part = NULL;
	char name[PART_NAME_LEN];
	int rc = make_room(bulk, err);

	if (rc == 0 && mem_grow((void **)&bulk->parts, &bulk->parts_cap, bulk->parts_count, sizeof(part)) == 0)
		part = mem_zalloc(sizeof(*part));
	if (rc == 0 && !part)
		rc = err_set(err, E_NO_MEMORY, "out of memory");
	if (rc < 0)
		goto out;
	part->seal.opts = &bulk->opts;
	part->seal.path = part->path;
	part_entry_init(&part->seal.entry, hour, gen, serial);
	part_name(hour, gen, name);
	rc = files_path(part->path, err, bulk->opts.dir, "tmp", name);
	if (rc == 0)
		rc = seal_begin(&part->seal, err);
	if (rc < 0) {
		part_free(part);
		goto out;
	}
	part->used = ++bulk->uses;
	bulk->parts[bulk->parts_count++] = part;
	*ret_part = part;
out:
	bulk->failed |= rc < 0;
	return rc;
}

/* -------------------------------------------------------------------- adding */

int bulk_add_rows(struct bulk *bulk, struct bulk_part *part, enum table_id table, const void *rows, size_t count,
		  struct err *err)
{
	struct seal_run **run = &part->runs[table];
	int rc = *run ? 0 : seal_run_new(&part->seal, table, run, err);

	if (rc == 0)
		rc = seal_run_add(*run, rows, count, err);
	bulk->failed |= rc < 0;
	return rc;
}

static int window_make(struct bulk *bulk, struct bulk_part *part, struct err *err)
{
	const struct packet_window_opts opts = { .dir = part->path, .group_gid = bulk->opts.group_gid,
						 .zstd_level = bulk->opts.zstd_level, .batch = &part->seal.batch,
						 .entry = &part->seal.entry, .pool = bulk->pool,
						 .classes = part->seal.classes };

	return part->window ? 0 : packet_window_new(&opts, &part->window, err);
}

int bulk_add_packets(struct bulk *bulk, struct bulk_part *part, const struct packet_block *block, struct err *err)
{
	int rc = window_make(bulk, part, err);

	for (uint32_t i = 0; i < block->count && rc == 0; i++) {
		struct packet_rec rec = packet_block_rec(block, i);

		rc = packet_window_add(part->window, &rec, block->source, err);
	}
	bulk->failed |= rc < 0;
	return rc;
}

int bulk_take_packets(struct bulk *bulk, struct bulk_part *part, struct packet_block *block, struct err *err)
{
	int rc = window_make(bulk, part, err);

	if (rc == 0)
		rc = packet_window_take(part->window, block, err);
	bulk->failed |= rc < 0;
	return rc;
}

static bool is_full(const struct bulk_part *part)
{
	return part->seal.entry.packet_bytes > SEG_BYTES_MAX || kv_used_bytes(part->seal.batch.kv) > DATA_BYTES_MAX;
}

size_t bulk_held_bytes(const struct bulk *bulk)
{
	size_t sum = 0;

	for (size_t i = 0; i < bulk->parts_count; i++)
		if (!bulk->parts[i]->complete)
			sum += part_bytes(bulk->parts[i]);
	return sum;
}

/* The partition used longest ago that was not flushed in this round; NULL when all together are within the bound. */
static struct bulk_part *part_to_flush(const struct bulk *bulk)
{
	struct bulk_part *oldest = NULL;

	if (bulk_held_bytes(bulk) <= bulk->held_bytes_max)
		return NULL;
	for (size_t i = 0; i < bulk->parts_count; i++) {
		struct bulk_part *part = bulk->parts[i];

		if (!part->complete && part->flushed != bulk->rounds && (!oldest || part->used < oldest->used))
			oldest = part;
	}
	return oldest;
}

int bulk_tidy(struct bulk *bulk, struct err *err)
{
	struct bulk_part *part;
	int rc = 0;

	for (size_t i = 0; i < bulk->parts_count && rc == 0; i++) {
		part = bulk->parts[i];
		if (part->complete)
			continue;
		rc = kv_batch_commit(&part->seal.batch, err);
		if (rc == 0 && is_full(part))
			rc = part_complete(part, err);
	}
	bulk->rounds++;
	while (rc == 0 && (part = part_to_flush(bulk))) {
		part->flushed = bulk->rounds;
		rc = part_flush(part, err);
	}
	bulk->failed |= rc < 0;
	return rc;
}

/* ----------------------------------------------------------- begin and end */

int bulk_new(const struct seal_opts *opts, unsigned threads, size_t held_bytes_max, struct bulk **ret_bulk,
	     struct err *err)
{
	struct bulk *bulk = mem_zalloc(sizeof(*bulk));

	if (!bulk)
		return err_set(err, E_NO_MEMORY, "out of memory");
	bulk->opts = *opts;
	bulk->opts.zstd_level = opts->zstd_level > LEVEL_LESS ? opts->zstd_level - LEVEL_LESS : 1;
	bulk->held_bytes_max = held_bytes_max ? held_bytes_max : HELD_BYTES_DEFAULT;
	bulk->pool = pool_new(threads);
	if (!bulk->pool) {
		bulk_free(bulk);
		return err_set(err, E_NO_MEMORY, "out of memory");
	}
	*ret_bulk = bulk;
	return 0;
}

void bulk_free(struct bulk *bulk)
{
	if (!bulk)
		return;
	for (size_t i = 0; i < bulk->parts_count; i++)
		part_free(bulk->parts[i]);
	mem_free(bulk->parts);
	pool_free(bulk->pool);
	mem_free(bulk);
}

static int cmp_parts(const void *a, const void *b)
{
	return part_entry_cmp(&(*(struct bulk_part *const *)a)->seal.entry,
			      &(*(struct bulk_part *const *)b)->seal.entry);
}

int bulk_end(struct bulk *bulk, uint64_t *ret_newest_ns, struct err *err)
{
	uint64_t newest_ns = 0;
	int rc = 0;

	if (bulk->failed)
		return err_set(err, E_INTERNAL, "a bulk load that failed is not published");
	if (bulk->parts_count)
		qsort(bulk->parts, bulk->parts_count, sizeof(*bulk->parts), cmp_parts);
	for (size_t i = 0; i < bulk->parts_count && rc == 0; i++)
		if (!bulk->parts[i]->complete)
			rc = part_complete(bulk->parts[i], err);
	for (size_t i = 0; i < bulk->parts_count && rc == 0; i++) {
		struct seal *seal = &bulk->parts[i]->seal;

		rc = seal_publish(seal, err);
		if (part_entry_newest(&seal->entry) > newest_ns)
			newest_ns = part_entry_newest(&seal->entry);	/* not an hour's rollup, which ends in the future */
	}
	bulk->failed = rc < 0;
	if (rc == 0)
		*ret_newest_ns = newest_ns;
	return rc;
}
