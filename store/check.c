/*
 * The whole store looked at: files against their MANIFEST, every chunk and
 * block decoded, tables and indexes against what they describe. Runs beside a
 * recorder: what retention or the seal takes away meanwhile is no finding.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/flow_table.h"
#include "store/index.h"
#include "store/manifest.h"
#include "store/packet_table.h"
#include "store/packets.h"
#include "store/reader.h"

#define INDEX_SAMPLES 64u	/* values of a column and row group that are looked up */

struct check {
	struct store *store;
	struct store_view *view;
	void (*fn)(const char *finding, void *arg);
	void *arg;
	struct store_check_totals totals;
	int findings;
	struct arena arena;
	const struct view_part *vp;	/* the partition looked at */
	size_t part;
	unsigned good;			/* sealed: a bit for each of its segments that is what its MANIFEST says */
};

static void found(struct check *check, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void found(struct check *check, const char *fmt, ...)
{
	char text[1024];
	size_t len = 0;
	va_list args;

	if (check->vp)
		len = (size_t)snprintf(text, sizeof(text), "%s: ", check->vp->info.path);
	va_start(args, fmt);
	(void)vsnprintf(text + len, sizeof(text) - len, fmt, args);
	va_end(args);
	check->findings++;
	if (check->fn)
		check->fn(text, check->arg);
}

/* -------------------------------------------------------------------- files */

/* The catalog still has this partition, with that segment (-1: any): else retention came by. */
static bool still_entered(struct check *check, int seg)
{
	const struct part_entry *want = &check->vp->entry;
	struct part_entry entry;
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(check->store->catalog, false, &txn, NULL);

	if (rc == 0)
		rc = catalog_part_get(txn, want->hour, want->gen, &entry, NULL);
	kv_txn_abort(txn);
	return rc != 0 && (rc < 0 || (entry.serial == want->serial &&
				      (seg < 0 || (seg < (int)entry.segs_count && entry.segs[seg].held))));
}

/* 1 as the MANIFEST says, 0 not (and told), <0 could not look. seg: -1 its data file. */
static int check_file(struct check *check, const char *dir, int seg, uint64_t want_bytes, uint64_t want_hash,
		      struct err *err)
{
	const char *file = seg < 0 ? kv_sealed_file(dir) : part_seg_file((unsigned)seg);
	char path[STORE_PATH_MAX];
	uint64_t bytes, hash;
	int rc = files_path(path, err, dir, file, NULL);

	if (rc == 0)
		rc = files_size(path, &bytes, err);
	if (rc == 0 && still_entered(check, seg))
		found(check, "%s is missing", file);
	else if (rc > 0 && bytes != want_bytes)
		found(check, "%s has %llu bytes, and its MANIFEST says %llu", file, (unsigned long long)bytes,
		      (unsigned long long)want_bytes);
	else if (rc > 0)
		rc = manifest_hash(dir, file, &hash, err) < 0 ? E_IO : 2;
	if (rc != 2)
		return rc < 0 ? rc : 0;
	check->totals.bytes += bytes;
	if (hash == want_hash)
		return 1;
	found(check, "%s: its hash is %016llx, and its MANIFEST says %016llx", file, (unsigned long long)hash,
	      (unsigned long long)want_hash);
	return 0;
}

static bool same_tables(const struct part_entry *a, const struct part_entry *b)
{
	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct part_table *x = &a->tables[t], *y = &b->tables[t];

		if (x->rows != y->rows || x->groups != y->groups || x->start_min != y->start_min ||
		    x->start_max != y->start_max || x->end_max != y->end_max)
			return false;
	}
	return a->hour == b->hour && a->gen == b->gen && a->data_bytes == b->data_bytes &&
	       a->packet_bytes == b->packet_bytes && a->packet_plain_bytes == b->packet_plain_bytes &&
	       a->segs_count == b->segs_count;
}

/* 1: its data file is what was sealed and may be opened. check->good: so are those segments. */
static int check_sealed_files(struct check *check, const char *dir, struct err *err)
{
	const struct part_entry *entry = &check->vp->entry;
	struct manifest_hashes hashes;
	struct part_entry manifest;
	struct err why = { 0 };
	int rc = manifest_read(dir, &manifest, &hashes, &why);

	check->good = 0;
	if (rc == E_NO_MEMORY)
		return err_set(err, rc, "%s", why.text);
	if (rc < 0) {
		if (still_entered(check, -1))
			found(check, "%s", why.text);
		return 0;
	}
	/* Packed again meanwhile (recompress.c): the next look at the catalog knows. */
	if (!same_tables(&manifest, entry) && !part_entry_repacked(entry, &manifest))
		found(check, "MANIFEST and catalog disagree");
	for (unsigned s = 0; s < entry->segs_count && s < manifest.segs_count; s++) {
		if (!entry->segs[s].held || entry->segs[s].bytes == 0)
			continue;
		rc = check_file(check, dir, (int)s, manifest.segs[s].bytes, hashes.packets[s], err);
		if (rc < 0)
			return rc;
		check->good |= rc > 0 ? 1u << s : 0;
	}
	return check_file(check, dir, -1, manifest.data_bytes, hashes.data, err);
}

/* --------------------------------------------------------------- row groups */

struct sample {
	struct view values[INDEX_SAMPLES];
	unsigned count;
};

/* Some values of a column, spread over the rows. Views into the arena. */
static int sample_column(struct check *check, const struct rg *rg, const struct col *col, struct sample *sample,
			 struct err *err)
{
	uint32_t step = rg->zone.rows / INDEX_SAMPLES + 1;
	struct rg_bytes bytes;
	struct rg_ints ints;
	bool is_int = types[col->type].phys == PHYS_INT;
	int rc = is_int ? rg_read_ints(rg, col, &check->arena, &ints, err)
			: rg_read_bytes(rg, col, &check->arena, &bytes, err);

	sample->count = 0;
	for (uint32_t row = 0; row < rg->zone.rows && rc == 0; row += step) {
		if (!rg_valid(is_int ? ints.valid : bytes.valid, row))
			continue;
		sample->values[sample->count++] = is_int ? view_make(&ints.values[row], 8)
							 : bytes.dict[bytes.codes ? bytes.codes[row] : row];
	}
	return rc;
}

static void check_group_index(struct check *check, const struct rg *rg, size_t group)
{
	for (size_t c = 0; c < rg->table->cols_count; c++) {
		const struct col *col = &rg->table->cols[c];
		struct err why = { 0 };
		struct sample sample;
		int rc = 0;

		if (col->index != INDEX_BITMAP && col->index != INDEX_BLOOM)
			continue;
		arena_reset(&check->arena);
		if (sample_column(check, rg, col, &sample, &why) < 0)
			return;	/* told by rg_verify already */
		for (unsigned i = 0; i < sample.count && rc >= 0; i++) {
			struct bitmap *bitmap = NULL;
			bool has = true;

			if (col->index == INDEX_BITMAP) {
				rc = index_lookup(check->vp->txn, rg->table->id, col, sample.values[i], &bitmap, &why);
				has = rc < 0 || !bitmap || bitmap_has(bitmap, (uint32_t)group);
				bitmap_free(bitmap);
			} else {
				rc = index_may_have(check->vp->txn, rg->table->id, (uint32_t)group, col,
						    sample.values[i], &why);
				has = rc != 0;
			}
			if (!has) {
				found(check, "index of %s.%s misses a value of row group %zu", rg->table->name,
				      col->key, group);
				break;
			}
		}
		if (rc < 0)
			found(check, "index of %s.%s: %s", rg->table->name, col->key, why.text);
	}
}

static uint64_t check_group(struct check *check, const struct table *table, size_t group)
{
	struct err why = { 0 };
	struct rg_zone zone;
	struct rg rg;
	int rc = store_rg_zone(check->view, check->part, table->id, group, &zone, &why);

	if (rc == 0)
		rc = store_rg_open(check->view, check->part, table->id, group, &rg, &why);
	if (rc < 0) {
		found(check, "%s", why.text);
		return 0;
	}
	check->totals.row_groups++;
	rc = rg_verify(&rg, &why);
	if (rc < 0)
		found(check, "row group %zu of %s: %s", group, table->name, why.text);
	if (zone.rows != rg.zone.rows || zone.start_min != rg.zone.start_min || zone.start_max != rg.zone.start_max ||
	    zone.end_max != rg.zone.end_max)
		found(check, "row group %zu of %s: its zone says otherwise", group, table->name);
	if (rc == 0 && check->vp->entry.state == PART_SEALED)
		check_group_index(check, &rg, group);
	return rg.zone.rows;
}

static void check_rows(struct check *check)
{
	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct table *table = table_get((enum table_id)t);
		uint64_t rows = 0;

		if (t == TABLE_PACKETS)
			continue;
		for (size_t g = 0; g < check->vp->entry.tables[t].groups; g++)
			rows += check_group(check, table, g);
		if (rows != check->vp->entry.tables[t].rows)
			found(check, "%s: %llu rows, and %llu are entered", table->name, (unsigned long long)rows,
			      (unsigned long long)check->vp->entry.tables[t].rows);
		check->totals.rows += rows;
	}
}

/* ------------------------------------------------------------------ packets */

/* Whether the window's flow table leads to this block for this flow. */
static bool flow_leads_to(struct flow_table *table, uint64_t flow_id, uint32_t block, struct err *err)
{
	struct flow_slot slot;
	size_t at;
	int rc = flow_table_seek(table, flow_id, &at, err);

	for (; rc == 0 && at < table->count; at++) {
		rc = flow_table_at(table, at, &slot, err);
		if (rc < 0 || slot.flow_id != flow_id)
			return false;
		if (block >= slot.block && block - slot.block < slot.blocks)
			return true;
	}
	return false;
}

static void check_block_flows(struct check *check, const struct block_entry *entry, uint32_t number,
			      struct view stored)
{
	bool sealed = check->vp->entry.state == PART_SEALED;
	struct part_key key = part_key_u32(entry->window);
	struct packet_block_flows iter;
	struct packet_block_info info;
	struct err why = { 0 };
	struct flow_table table;
	struct view bytes = { 0 };
	uint64_t flow_id;

	if (packet_block_peek(stored, &info, &why) < 0)
		return;	/* told already */
	if (sealed && (kv_get(check->vp->txn, PART_FLOW, part_key_view(&key), &bytes, &why) <= 0 ||
		       flow_table_open(bytes, &table, &why) < 0)) {
		found(check, "window %u has no good flow table", entry->window);
		return;
	}
	iter = packet_block_flows(&info);
	while (packet_block_flow_next(&iter, &flow_id) > 0) {
		bool leads = sealed ? flow_leads_to(&table, flow_id, number, &why)
				    : block_entry_has_flow(entry, &flow_id, 1, &why) == 1;

		if (flow_id && !leads) {
			found(check, "packet block %u: flow %016llx does not lead to it", number,
			      (unsigned long long)flow_id);
			return;
		}
	}
}

static int check_block(struct check *check, const struct packet_files *files, const char *path, uint32_t number,
		       struct view value, struct packet_block *block, struct wr *stored, uint64_t *ret_packets,
		       struct err *err)
{
	struct block_entry entry;
	struct err why = { 0 };
	int rc = block_entry_read(value, files->bytes, files->count, &entry, &why);

	*ret_packets = 0;
	if (rc < 0) {
		found(check, "packet block %u: %s", number, why.text);
		return 0;
	}
	*ret_packets = entry.count;
	if (files->fds[entry.seg] < 0 || (check->vp->entry.state == PART_SEALED && !(check->good & 1u << entry.seg)))
		return 0;	/* expired, or told already */
	check->totals.blocks++;
	check->totals.packets += entry.count;
	wr_reset(stored);
	if (!wr_space(stored, entry.stored_bytes))
		return err_set(err, E_NO_MEMORY, "check: out of memory");
	rc = files_read_at(files->fds[entry.seg], stored->at, entry.stored_bytes, entry.offset, path, &why);
	if (rc == 0)
		rc = packet_block_read_some(wr_view(stored), files->units[entry.seg], NULL, block, &why);
	if (rc == E_NO_MEMORY)
		return err_set(err, rc, "%s", why.text);
	if (rc < 0) {
		found(check, "packet block %u: %s", number, why.text);
		return 0;
	}
	if (block->source != entry.source || block->count != entry.count || block->time_min != entry.time_min ||
	    block->time_max != entry.time_max || block->number_min != entry.number_min ||
	    block->number_max != entry.number_max || block->bytes.len != entry.plain_bytes)
		found(check, "packet block %u: its entry says otherwise", number);
	check_block_flows(check, &entry, number, wr_view(stored));
	return 0;
}

static int check_blocks(struct check *check, const struct packet_files *files, const char *path, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct packet_block block;
	struct view key, value;
	uint64_t packets = 0;
	uint32_t number = 0;
	struct wr stored;
	int rc;

	wr_init(&stored, 0);
	rc = packet_block_init(&block, 0);
	if (rc == 0)
		rc = kv_cursor_open(check->vp->txn, PART_PKB, &cursor, err);
	while (rc >= 0 && (rc = kv_cursor_next(cursor, &key, &value, err)) > 0) {
		struct part_key want = part_key_u32(number);
		uint64_t count = 0;

		if (!view_eq(key, part_key_view(&want)))
			found(check, "packet block %u is missing or misnumbered", number);
		rc = check_block(check, files, path, number, value, &block, &stored, &count, err);
		packets += count;
		number++;
	}
	kv_cursor_close(cursor);
	packet_block_release(&block);
	wr_release(&stored);
	if (rc == 0 && (packets != check->vp->entry.tables[TABLE_PACKETS].rows ||
			number != check->vp->entry.tables[TABLE_PACKETS].groups))
		found(check, "%llu packets in %u blocks, and %llu in %u are entered", (unsigned long long)packets, number,
		      (unsigned long long)check->vp->entry.tables[TABLE_PACKETS].rows,
		      check->vp->entry.tables[TABLE_PACKETS].groups);
	return rc < 0 ? rc : 0;
}

static int check_packets(struct check *check, const char *dir, struct err *err)
{
	const struct part_entry *entry = &check->vp->entry;
	struct packet_files files;
	struct err why = { 0 };
	struct stat st;
	int rc = packet_files_open(check->vp->txn, entry, dir, &files, &why);

	if (rc == E_CORRUPT) {
		found(check, "%s", why.text);
		rc = 0;
		goto out;
	}
	if (rc == E_EXPIRED) {	/* since */
		rc = 0;
		goto out;
	}
	if (rc < 0) {
		rc = err_set(err, rc, "%s", why.text);
		goto out;
	}
	if (entry->state == PART_HOT && fstat(files.fds[0], &st) == 0) {
		check->totals.bytes += (uint64_t)st.st_size;
		if ((uint64_t)st.st_size < entry->packet_bytes)
			found(check, PART_LOG_FILE " has %lld bytes, and %llu are committed", (long long)st.st_size,
			      (unsigned long long)entry->packet_bytes);
	}
	rc = check_blocks(check, &files, dir, err);
out:
	packet_files_close(&files);
	return rc;
}

/* --------------------------------------------------------------- partitions */

static int check_part(struct check *check, size_t part, struct err *err)
{
	struct view_part *vp = &check->view->parts[part];
	char dir[STORE_PATH_MAX];
	struct err why = { 0 };
	int rc;

	check->vp = vp;
	check->part = part;
	check->totals.parts++;
	rc = files_path(dir, err, check->store->dir, vp->info.path, NULL);
	if (rc == 0 && vp->entry.state == PART_SEALED) {
		rc = check_sealed_files(check, dir, err);
		if (rc <= 0)	/* told: what is not what was sealed need not be looked at in detail */
			goto out;
		rc = 0;
	}
	if (rc == 0) {
		rc = view_part_touch(check->view, part, &vp, &why);
		if (rc == E_EXPIRED) {
			rc = 1;
		} else if (rc == E_CORRUPT) {
			found(check, "%s", why.text);
			rc = 1;
		} else if (rc < 0) {
			rc = err_set(err, rc, "%s", why.text);
		}
	}
	if (rc != 0)
		goto out;
	if (vp->entry.state == PART_HOT)
		check->totals.bytes += kv_used_bytes(vp->part->kv);
	else if (kv_verify(vp->part->kv, &why) < 0)
		found(check, "%s", why.text);
	check_rows(check);
	if (vp->entry.tables[TABLE_PACKETS].rows && (vp->entry.state == PART_HOT || check->good))
		rc = check_packets(check, dir, err);
out:
	check->vp = NULL;
	return rc < 0 ? rc : 0;
}

struct strays {
	struct check *check;
	struct err *err;
};

/* A partition's directory that the catalog does not know, also not by now. */
static int check_stray(const char *name, void *arg)
{
	const struct strays *strays = arg;
	struct part_entry entry;
	struct kv_txn *txn = NULL;
	uint64_t hour;
	uint32_t gen;
	int rc;

	if (!part_name_parse(name, &hour, &gen)) {
		found(strays->check, "parts/%s: not a partition", name);
		return 0;
	}
	rc = kv_txn_begin(strays->check->store->catalog, false, &txn, strays->err);
	if (rc < 0)
		return rc;
	rc = catalog_part_get(txn, hour, gen, &entry, strays->err);
	kv_txn_abort(txn);
	/* A hot entry: the seal is between its rename and its transaction. */
	if (rc == 0)
		found(strays->check, "parts/%s: unknown to the catalog", name);
	return rc < 0 ? rc : 0;
}

static int check_pins(struct check *check, struct err *err)
{
	struct store_pin *pins;
	size_t count = 0;
	struct arena arena;
	int rc;

	arena_init(&arena, 0);
	rc = store_pins(check->store, &arena, &pins, &count, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		for (size_t p = 0; p < check->view->count && rc == 0; p++) {
			const struct part_entry *entry = &check->view->parts[p].entry;
			char snap[STORE_PATH_MAX], part[STORE_PATH_MAX], path[STORE_PATH_MAX], name[PART_NAME_LEN];
			uint64_t bytes;

			if (entry->state != PART_SEALED || !part_entry_overlaps(entry, pins[i].from_ns, pins[i].to_ns))
				continue;
			part_name(entry->hour, entry->gen, name);
			rc = files_path(snap, err, check->store->dir, "snap", pins[i].name);
			if (rc == 0)
				rc = files_path(part, err, snap, name, NULL);
			if (rc == 0)
				rc = files_path(path, err, part, kv_sealed_file(part), NULL);
			if (rc == 0 && files_size(path, &bytes, err) == 0)
				found(check, "pin %s has no link to %s", pins[i].name, name);
		}
	}
	arena_release(&arena);
	return rc;
}

int store_check(const char *dir, void (*fn)(const char *finding, void *arg), void *arg,
		struct store_check_totals *ret_totals, struct err *err)
{
	struct check check = { .fn = fn, .arg = arg };
	struct strays strays = { .check = &check, .err = err };
	char path[STORE_PATH_MAX];
	int rc;

	arena_init(&check.arena, 0);
	rc = store_open(dir, &check.store, err);
	if (rc == 0)
		rc = store_view_open(check.store, 0, UINT64_MAX, &check.view, err);
	for (size_t part = 0; rc == 0 && part < check.view->count; part++)
		rc = check_part(&check, part, err);
	if (rc == 0)
		rc = check_pins(&check, err);
	if (rc == 0)
		rc = files_path(path, err, dir, "parts", NULL);
	if (rc == 0)
		rc = files_each(path, check_stray, &strays, err);
	store_view_close(check.view);
	store_close(check.store);
	arena_release(&check.arena);
	if (rc < 0)
		return rc;
	if (ret_totals)
		*ret_totals = check.totals;
	return check.findings;
}
