#include "store/retention_rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/flow_table.h"
#include "store/manifest.h"
#include "store/packet_table.h"
#include "store/pins.h"
#include "store/retention_thin.h"
#include "store/seal.h"
#include "store/writer.h"

#define ZSTD_LEVEL 3	/* of row groups that lose some of their rows; whole ones are taken over as they are */

struct rewrite {
	const struct plan *store_plan;
	const struct plan_part *plan;
	struct part_entry old;
	struct part *part;
	struct kv_txn *txn;		/* reads it */
	struct seal_opts opts;
	struct seal seal;
	struct manifest_hashes hashes;	/* of the old one; its segments are linked */
	char path[STORE_PATH_MAX];	/* below tmp/ */
	uint64_t *kept;			/* flows whose packets are kept by a rule of their own, ascending */
	size_t kept_count, kept_cap;
};

/* ---------------------------------------------------------- which rows stay */

static int cmp_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int keep_flows(struct rewrite *rw, struct view bytes, struct err *err)
{
	struct flow_table table;
	int rc = flow_table_open(bytes, &table, err);

	for (size_t i = 0; rc == 0 && i < table.count; i++) {
		struct flow_slot slot;

		rc = flow_table_at(&table, i, &slot, err);
		if (rc < 0)
			break;
		rc = mem_grow((void **)&rw->kept, &rw->kept_cap, rw->kept_count, sizeof(*rw->kept));
		if (rc == 0)
			rw->kept[rw->kept_count++] = slot.flow_id;
		else
			(void)err_set(err, rc, "out of memory");
	}
	return rc;
}

/* A window is of one segment: that of its blocks. */
static int load_kept(struct rewrite *rw, struct err *err)
{
	uint64_t bytes[PART_SEGS_MAX];
	struct kv_cursor *cursor = NULL;
	uint64_t last_window = UINT64_MAX;
	struct view key, value;
	int rc = kv_cursor_open(rw->txn, PART_PKB, &cursor, err);

	for (unsigned s = 0; s < rw->old.segs_count; s++)
		bytes[s] = rw->old.segs[s].bytes;
	while (rc >= 0 && (rc = kv_cursor_next(cursor, &key, &value, err)) > 0) {
		struct block_entry block;
		struct part_key window;
		struct view table;

		rc = block_entry_read(value, bytes, rw->old.segs_count, &block, err);
		if (rc < 0)
			break;
		if (block.window == last_window || !rw->old.segs[block.seg].held ||
		    !plan_seg_ruled(rw->store_plan, rw->plan, block.seg))
			continue;
		last_window = block.window;
		window = part_key_u32(block.window);
		rc = kv_get(rw->txn, PART_FLOW, part_key_view(&window), &table, err);
		if (rc > 0)
			rc = keep_flows(rw, table, err);
	}
	kv_cursor_close(cursor);
	if (rw->kept_count)
		qsort(rw->kept, rw->kept_count, sizeof(*rw->kept), cmp_ids);
	return rc < 0 ? rc : 0;
}

static bool is_kept(const struct rewrite *rw, uint64_t flow_id)
{
	return rw->kept_count && bsearch(&flow_id, rw->kept, rw->kept_count, sizeof(flow_id), cmp_ids) != NULL;
}

static bool row_stays(const struct rewrite *rw, enum table_id table, const void *row)
{
	static const uint32_t tiers[ROLLUP_TIERS_COUNT] = ROLLUP_TIERS;
	const struct flow_row *flow = row;
	unsigned tier = 0;

	if (table == TABLE_ROLLUPS) {
		while (tier + 1 < ROLLUP_TIERS_COUNT && ((const struct rollup_row *)row)->tier > tiers[tier])
			tier++;
		return plan_rows_of(rw->plan, table, tier) == PLAN_ALL;
	}
	if (table == TABLE_CALLS)
		return is_kept(rw, ((const struct call_row *)row)->flow_id);
	return is_kept(rw, flow->id) || (ROW_HAS(FLOW, flow, twin_id) && is_kept(rw, flow->twin_id));
}

/* ----------------------------------------------------------------- building */

/* Entries of a database whose key begins so, as they are. */
static int copy_keys(struct rewrite *rw, unsigned db, enum kv_put how, struct view prefix, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct view key, value;
	int rc = kv_cursor_open(rw->txn, db, &cursor, err);

	if (rc == 0)
		rc = prefix.len ? kv_cursor_seek(cursor, prefix, &key, &value, err)
				: kv_cursor_next(cursor, &key, &value, err);
	while (rc > 0 && key.len >= prefix.len && view_eq(view_sub(key, 0, prefix.len), prefix)) {
		rc = kv_batch_put(&rw->seal.batch, db, how, key, value, err);
		if (rc == 0)
			rc = kv_cursor_next(cursor, &key, &value, err);
	}
	kv_cursor_close(cursor);
	return rc < 0 ? rc : 0;
}

static int copy_table(struct rewrite *rw, enum table_id table, struct err *err)
{
	static const unsigned dbs[] = { PART_RG, PART_ZONE, PART_FLT, PART_INV };
	uint8_t meta[6] = { 'i', 'n', 'd', 'e', 'x', (uint8_t)table };
	int rc = copy_keys(rw, PART_META, KV_PUT, view_make(meta, sizeof(meta)), err);

	for (size_t i = 0; i < sizeof(dbs) / sizeof(dbs[0]) && rc == 0; i++)
		/* As a run writes them: in one database keys come in order, or they do not. */
		rc = copy_keys(rw, dbs[i], dbs[i] == PART_INV ? KV_PUT_APPEND : KV_PUT, view_make(meta + 5, 1), err);
	rw->seal.entry.tables[table] = rw->old.tables[table];
	if (table == TABLE_ROLLUPS)
		memcpy(rw->seal.entry.tiers, rw->old.tiers, sizeof(rw->old.tiers));
	return rc;
}

static int filter_group(struct rewrite *rw, struct seal_run *run, enum table_id table, uint32_t group,
			struct arena *arena, struct err *err)
{
	struct part_key key = part_key_rg(table, group);
	struct err why = { 0 };
	struct view blob;
	void *rows = NULL;
	struct rg rg;
	int rc = kv_get(rw->txn, PART_RG, part_key_view(&key), &blob, err);

	if (rc < 0)
		return rc;
	arena_reset(arena);
	rc = rc ? rg_open(blob, &rg, &why) : E_CORRUPT;
	if (rc == 0)
		rc = rg_read_rows(&rg, arena, &rows, &why);
	if (rc == E_CORRUPT || rc == E_UNSUPPORTED) {	/* the rest is kept, and a gap tells */
		rw->seal.damaged++;
		return 0;
	}
	if (rc < 0)
		return err_set(err, rc, "%s", why.text);
	for (uint32_t i = 0; i < rg.zone.rows && rc == 0; i++) {
		const void *row = (const uint8_t *)rows + (size_t)i * rg.table->row_bytes;

		if (row_stays(rw, table, row))
			rc = seal_run_add(run, row, 1, err);
	}
	return rc;
}

static int filter_table(struct rewrite *rw, enum table_id table, struct err *err)
{
	struct seal_run *run = NULL;
	struct arena arena;
	int rc = seal_run_new(&rw->seal, table, &run, err);

	arena_init(&arena, 0);
	for (uint32_t g = 0; g < rw->old.tables[table].groups && rc == 0; g++)
		rc = filter_group(rw, run, table, g, &arena, err);
	if (rc == 0)
		rc = seal_run_end(run, err);
	seal_run_free(run);
	arena_release(&arena);
	return rc;
}

static int put_rows(struct rewrite *rw, struct err *err)
{
	int rc = 0;

	for (int t = 1; t <= TABLE_MAX && rc == 0; t++) {
		enum plan_rows stays = plan_rows_of(rw->plan, (enum table_id)t, 0);
		bool some = stays == PLAN_FILTERED;

		if (t == TABLE_PACKETS || rw->old.tables[t].rows == 0)
			continue;
		if (t == TABLE_ROLLUPS) {
			unsigned tiers = 0;

			for (unsigned i = 0; i < ROLLUP_TIERS_COUNT; i++) {
				bool kept = plan_rows_of(rw->plan, TABLE_ROLLUPS, i) == PLAN_ALL;

				tiers += kept;
				rw->seal.entry.tiers_gone |= (uint8_t)(kept ? 0 : 1u << i);
			}
			stays = tiers == 0 ? PLAN_NONE : PLAN_ALL;
			some = tiers && tiers < ROLLUP_TIERS_COUNT;
		}
		if (some)
			rc = filter_table(rw, (enum table_id)t, err);
		else if (stays == PLAN_ALL)
			rc = copy_table(rw, (enum table_id)t, err);
		if (stays == PLAN_FILTERED)
			rw->seal.entry.residual |= (uint8_t)(1u << t);
	}
	return rc;
}

/* Links to the segments that are held, and the tables that lead into them. */
static int put_packets(struct rewrite *rw, const char *dir, struct err *err)
{
	struct part_entry *entry = &rw->seal.entry;
	char from[STORE_PATH_MAX], to[STORE_PATH_MAX];
	int rc = 0;

	entry->tables[TABLE_PACKETS] = rw->old.tables[TABLE_PACKETS];
	entry->packet_bytes = rw->old.packet_bytes;
	entry->packet_plain_bytes = rw->old.packet_plain_bytes;
	memcpy(entry->segs, rw->old.segs, sizeof(entry->segs));
	entry->segs_count = rw->old.segs_count;
	part_entry_settle(entry);
	if (!entry->has_packets || entry->tables[TABLE_PACKETS].rows == 0)
		return 0;
	for (unsigned s = 0; s < entry->segs_count && rc == 0; s++) {
		if (!entry->segs[s].held || entry->segs[s].bytes == 0)
			continue;
		rc = files_path(from, err, dir, part_seg_file(s), NULL);
		if (rc == 0)
			rc = files_path(to, err, rw->path, part_seg_file(s), NULL);
		if (rc == 0 && link(from, to) < 0)
			rc = err_errno(err, errno, "%s: link to %s", from, to);
	}
	if (rc == 0)
		rc = copy_keys(rw, PART_PKB, KV_PUT_APPEND, view_make(NULL, 0), err);
	if (rc == 0)
		rc = copy_keys(rw, PART_FLOW, KV_PUT_APPEND, view_make(NULL, 0), err);
	return rc == 0 ? copy_keys(rw, PART_META, KV_PUT, VIEW_LIT("unit"), err) : rc;
}

static int build(struct rewrite *rw, struct err *err)
{
	int rc = manifest_read(rw->part->path, &(struct part_entry){ 0 }, &rw->hashes, err);

	if (rc == 0)
		rc = kv_txn_begin(rw->part->kv, false, &rw->txn, err);
	if (rc == 0)
		rc = seal_begin(&rw->seal, err);
	rw->seal.known = &rw->hashes;
	if (rc == 0)
		rc = load_kept(rw, err);
	if (rc == 0)
		rc = put_rows(rw, err);
	if (rc == 0 && rw->plan->segs_thin) {
		rw->seal.known = NULL;	/* all of them are new files */
		rc = retention_thin(&rw->seal, &rw->old, rw->txn, rw->part->path, rw->plan->segs_thin, err);
		part_entry_settle(&rw->seal.entry);
	} else if (rc == 0) {
		rc = put_packets(rw, rw->part->path, err);
	}
	rw->seal.entry.residual |= rw->old.residual;
	rw->seal.entry.tiers_gone |= rw->old.tiers_gone;
	for (int t = 1; t <= TABLE_MAX; t++)	/* nothing is left that could be a rest */
		if (rw->seal.entry.tables[t].rows == 0)
			rw->seal.entry.residual &= (uint8_t)~(1u << t);
	return rc == 0 ? seal_end(&rw->seal, err) : rc;
}

/* --------------------------------------------------------------- publishing */

/* The old one is still what was read, nobody pinned it, and the new one's name is free. */
static int is_current(struct rewrite *rw, struct kv_txn *txn, struct err *err)
{
	static const char *const subs[] = { "hot", "parts" };
	char name[PART_NAME_LEN], path[STORE_PATH_MAX];
	struct part_entry now;
	struct store_pin *pins;
	struct arena arena;
	size_t count;
	int rc = catalog_part_get(txn, rw->old.hour, rw->old.gen, &now, err);

	if (rc <= 0)
		return rc;
	if (now.serial != rw->old.serial || now.state != PART_SEALED)
		return 0;
	for (unsigned s = 0; s < rw->old.segs_count; s++)
		if (now.segs[s].held != rw->old.segs[s].held)
			return 0;
	part_name(rw->seal.entry.hour, rw->seal.entry.gen, name);
	for (unsigned i = 0; i < 2 && rc > 0; i++) {
		struct stat st;

		rc = files_path(path, err, rw->opts.dir, subs[i], name);
		if (rc == 0)
			rc = stat(path, &st) < 0;
	}
	if (rc <= 0)
		return rc;
	arena_init(&arena, 0);
	rc = catalog_pins(txn, &arena, &pins, &count, err);
	if (rc == 0)
		rc = !pins_hold(&rw->old, pins, count);
	arena_release(&arena);
	return rc;
}

static int enter(struct rewrite *rw, struct kv_txn *txn, const struct store_victim *victims, size_t count,
		 uint64_t now_ns, struct err *err)
{
	struct store_gap gap = { .from_ns = rw->old.hour * NS_PER_HOUR, .reason = "damaged" };
	int rc = catalog_part_del(txn, rw->old.hour, rw->old.gen, err);

	if (rc >= 0)
		rc = catalog_part_put(txn, &rw->seal.entry, err);
	gap.to_ns = gap.from_ns > UINT64_MAX - NS_PER_HOUR ? UINT64_MAX : gap.from_ns + NS_PER_HOUR;
	if (rc == 0 && rw->seal.damaged)
		rc = catalog_gap_add(txn, &gap, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = retention_note(txn, now_ns, &victims[i], err);
	return rc == 0 ? catalog_gen_release(txn, rw->old.hour, err) : rc;
}

/*
 * The new one comes in, the old one goes out, the catalog says so. Between the renames both are there: the MANIFEST of
 * the new one tells recovery which one it replaces. 1 done, 0 left for another round.
 */
static int publish(struct rewrite *rw, const struct store_victim *victims, size_t count, uint64_t now_ns,
		   struct err *err)
{
	char parts[STORE_PATH_MAX], path[STORE_PATH_MAX], old[STORE_PATH_MAX], trash[STORE_PATH_MAX];
	char name[PART_NAME_LEN], old_name[PART_NAME_LEN], trash_name[PART_NAME_LEN + 16];
	struct kv_txn *txn = NULL;
	int rc = files_path(parts, err, rw->opts.dir, "parts", NULL);

	part_name(rw->seal.entry.hour, rw->seal.entry.gen, name);
	part_name(rw->old.hour, rw->old.gen, old_name);
	(void)snprintf(trash_name, sizeof(trash_name), "%s.rewritten", old_name);
	if (rc == 0)
		rc = files_path(path, err, parts, name, NULL);
	if (rc == 0)
		rc = files_path(old, err, parts, old_name, NULL);
	if (rc == 0)
		rc = files_path(trash, err, rw->opts.dir, "trash", trash_name);
	if (rc == 0)
		rc = files_remove_tree(trash, err);
	if (rc == 0)
		rc = kv_txn_begin(rw->opts.catalog, true, &txn, err);
	if (rc < 0)
		return rc;
	rc = is_current(rw, txn, err);
	if (rc <= 0) {
		kv_txn_abort(txn);
		return rc;
	}
	if (rename(rw->path, path) < 0) {
		kv_txn_abort(txn);
		return err_errno(err, errno, "%s: rename to %s", rw->path, path);
	}
	rc = files_sync_dir(parts, err);
	if (rc == 0 && rename(old, trash) < 0)
		rc = err_errno(err, errno, "%s: rename to %s", old, trash);
	if (rc == 0)
		rc = files_sync_dir(parts, err);
	if (rc == 0)
		rc = enter(rw, txn, victims, count, now_ns, err);
	if (rc == 0)
		rc = kv_txn_commit(txn, err);
	else
		kv_txn_abort(txn);
	if (rc < 0) {	/* as it was: first the old one, so that there is always one */
		if (rename(trash, old) < 0 && errno != ENOENT)
			log_warn("partition not brought back from trash part=%s", old_name);
		(void)rename(path, rw->path);
		return rc;
	}
	if (files_remove_tree(trash, NULL) < 0)
		log_warn("expired files not removed part=%s", old_name);
	return 1;
}

/* --------------------------------------------------------------------- door */

/* A number that no other partition of the hour takes meanwhile. */
static int begin(struct rewrite *rw, struct err *err)
{
	char name[PART_NAME_LEN];
	struct kv_txn *txn = NULL;
	uint32_t gen = 0;
	int rc = kv_txn_begin(rw->opts.catalog, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_part_get(txn, rw->plan->entry.hour, rw->plan->entry.gen, &rw->old, err);
	if (rc > 0)
		rc = rw->old.serial == rw->plan->entry.serial && rw->old.state == PART_SEALED;
	if (rc > 0) {
		rc = catalog_gen_reserve(txn, rw->old.hour, &gen, err);
		if (rc == 0) {
			rc = kv_txn_commit(txn, err);
			txn = NULL;
		}
		rc = rc == 0 ? 1 : rc;
	}
	kv_txn_abort(txn);
	if (rc <= 0)
		return rc;
	part_entry_init(&rw->seal.entry, rw->old.hour, gen, rw->old.serial + 1);
	rw->seal.entry.level = rw->old.level;	/* of what is taken over */
	rw->seal.entry.replaces = true;
	rw->seal.entry.replaces_gen = rw->old.gen;
	part_name(rw->old.hour, gen, name);
	rc = files_path(rw->path, err, rw->opts.dir, "tmp", name);
	if (rc == 0)
		rc = part_open(rw->opts.dir, &rw->old, &rw->part, err);
	return rc == 0 ? 1 : rc;
}

static const struct plan_part *part_of(const struct plan *plan, const struct store_victim *victim)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->parts[i].entry.hour == victim->part.hour && plan->parts[i].entry.gen == victim->part.gen)
			return &plan->parts[i];
	return NULL;
}

int retention_rewrite(const char *dir, struct kv *catalog, const struct plan *plan, const struct store_victim *victims,
		      size_t count, uint64_t now_ns, struct err *err)
{
	struct rewrite rw = { .store_plan = plan, .plan = part_of(plan, victims), .opts = { .dir = dir, .catalog = catalog,
									.zstd_level = ZSTD_LEVEL, .group_gid = -1 } };
	struct stat st;
	int rc;

	if (!rw.plan)
		return err_set(err, E_INTERNAL, "%s: not in the plan", victims->part.path);
	if (stat(dir, &st) == 0)	/* readable like the rest, also when the command line made it */
		rw.opts.group_gid = (int)st.st_gid;
	rw.seal.opts = &rw.opts;
	rw.seal.path = rw.path;
	rc = begin(&rw, err);
	if (rc > 0)
		rc = build(&rw, err);
	else if (rc == 0)
		goto out;
	if (rc == 0) {
		kv_txn_abort(rw.txn);
		rw.txn = NULL;
		rc = publish(&rw, victims, count, now_ns, err);
		if (rc == 0)
			log_info("partition changed while rows were dropped, next time part=%s", victims->part.path);
	}
	if (rc < 0)
		(void)err_prefix(err, "%s: dropping rows", victims->part.path);
	if (rc <= 0)
		seal_abort(&rw.seal);
out:
	kv_txn_abort(rw.txn);
	part_close(rw.part);
	mem_free(rw.kept);
	return rc < 0 ? rc : 0;
}
