/*
 * Cold partitions packed again. Rows are read as they are stored, row group by
 * row group, and their zstd frames made anew at a higher level (rg_repack.c);
 * indexes are copied, segments of packets linked: their payload gains a few
 * percent for ten times the work, and readers find their way into them by
 * offsets. So both directories answer alike, and the new one takes the old one's
 * name in one step (RENAME_EXCHANGE): a reader opens one or the other, and who
 * has the old one open goes on.
 *
 * Died between that and the catalog: the MANIFEST says more than the entry does
 * (recover.c, reader.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/manifest.h"
#include "store/pins.h"
#include "store/reader.h"
#include "store/seal.h"

#define LEVEL_DEFAULT 19	/* rows 17 % smaller than at 3, at 4 MB/s; at 12 it is 8 % */
#define GAIN_MIN 50u		/* a fiftieth of the data file, or it stays as it is */
#define RESERVE_PART 16u	/* of the bytes in all: retention keeps so much free for the recorder (retention_plan.c) */

struct recompress {
	const struct store_recompress_opts *opts;
	struct part_entry old;
	struct part *part;
	struct kv_txn *txn;		/* reads it */
	struct seal_opts seal_opts;
	struct seal seal;
	struct manifest_hashes hashes;	/* of the old one; its segments are linked */
	char path[STORE_PATH_MAX];	/* below tmp/ */
	struct arena arena;
	struct wr blob;
	struct err *err;		/* of the copy, which runs in a thread of its own */
};

/* ------------------------------------------------------------------- copying */

/* Rollups of different tiers lie in different row groups. */
static int add_tier(struct recompress *rp, const struct rg *rg, uint64_t bytes, struct err *err)
{
	static const uint32_t tiers[ROLLUP_TIERS_COUNT] = ROLLUP_TIERS;
	const struct col *col = table_col(rg->table, VIEW_LIT("tier"));
	struct rg_ints ints;
	unsigned t = 0;
	int rc;

	if (rg->table->id != TABLE_ROLLUPS || !col || !rg->zone.rows)
		return 0;
	arena_reset(&rp->arena);
	rc = rg_read_ints(rg, col, &rp->arena, &ints, err);
	if (rc < 0)
		return rc;
	while (t + 1 < ROLLUP_TIERS_COUNT && ints.values[0] > tiers[t])
		t++;
	rp->seal.entry.tiers[t].bytes += bytes;
	return 0;
}

static int copy_group(struct recompress *rp, struct view key, struct view value, struct err *err)
{
	struct rg rg;
	int rc = rp->opts->step ? rp->opts->step(rp->opts->arg) : 0;

	if (rc < 0)
		return err_set(err, rc, "stopped");
	wr_reset(&rp->blob);
	rc = rg_repack(value, rp->old.level, &rp->arena, &rp->blob, err);
	if (rc == 0)
		rc = rg_open(wr_view(&rp->blob), &rg, err);
	if (rc == 0 && rg.table->id == TABLE_PACKETS)
		rc = err_set(err, E_CORRUPT, "a row group of packets");
	if (rc == 0)
		rc = add_tier(rp, &rg, rp->blob.len, err);
	if (rc < 0)
		return rc;
	rp->seal.entry.tables[rg.table->id].bytes += rp->blob.len;
	return kv_batch_put(&rp->seal.batch, PART_RG, KV_PUT_APPEND, key, wr_view(&rp->blob), err);
}

static int copy_db(struct recompress *rp, unsigned db, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct view key, value;
	int rc = kv_cursor_open(rp->txn, db, &cursor, err);

	while (rc >= 0 && (rc = kv_cursor_next(cursor, &key, &value, err)) > 0) {
		if (db == PART_RG)
			rc = copy_group(rp, key, value, err);
		else if (db != PART_META)
			rc = kv_batch_put(&rp->seal.batch, db, KV_PUT_APPEND, key, value, err);
		else if (!view_eq(key, VIEW_LIT("entry")))	/* it gets one of its own */
			rc = kv_batch_put(&rp->seal.batch, db, KV_PUT, key, value, err);
	}
	kv_cursor_close(cursor);
	return rc < 0 ? rc : 0;
}

/*
 * Whatever else this machine has to do comes first. Of this thread alone, which takes no lock that the recorder
 * waits for; what fails costs politeness, nothing else.
 */
static void step_back(void)
{
	const struct sched_param param = { .sched_priority = 0 };

	(void)sched_setscheduler(0, SCHED_IDLE, &param);
	(void)setpriority(PRIO_PROCESS, 0, 19);
	(void)syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, 3 << 13 /* IOPRIO_CLASS_IDLE */);
}

static void *copy_run(void *arg)
{
	static const unsigned dbs[] = { PART_META, PART_RG, PART_ZONE, PART_PKB, PART_INV, PART_FLT, PART_FLOW };
	struct recompress *rp = arg;
	int rc = 0;

	step_back();
	for (size_t i = 0; i < sizeof(dbs) / sizeof(dbs[0]) && rc == 0; i++)
		rc = copy_db(rp, dbs[i], rp->err);
	return rc == 0 ? NULL : rp;
}

/* Segments that are held, by the names they have. */
static int link_packets(struct recompress *rp, struct err *err)
{
	char from[STORE_PATH_MAX], to[STORE_PATH_MAX];
	int rc = 0;

	for (unsigned s = 0; s < rp->old.segs_count && rc == 0; s++) {
		if (!rp->old.segs[s].held || rp->old.segs[s].bytes == 0)
			continue;
		rc = files_path(from, err, rp->part->path, part_seg_file(s), NULL);
		if (rc == 0)
			rc = files_path(to, err, rp->path, part_seg_file(s), NULL);
		if (rc == 0 && link(from, to) < 0)
			rc = err_errno(err, errno, "%s: link to %s", from, to);
	}
	return rc;
}

static int build(struct recompress *rp, struct err *err)
{
	struct part_entry *entry = &rp->seal.entry;
	pthread_t thread;
	void *failed;
	int rc = manifest_read(rp->part->path, &(struct part_entry){ 0 }, &rp->hashes, err);

	*entry = rp->old;
	entry->serial++;
	entry->replaces = false;
	for (int t = 1; t <= TABLE_MAX; t++)
		entry->tables[t].bytes = 0;
	for (int t = 0; t < ROLLUP_TIERS_COUNT; t++)
		entry->tiers[t].bytes = 0;
	if (rc == 0)
		rc = kv_txn_begin(rp->part->kv, false, &rp->txn, err);
	if (rc == 0)
		rc = seal_begin(&rp->seal, err);
	rp->seal.known = &rp->hashes;
	rp->err = err;
	if (rc == 0 && pthread_create(&thread, NULL, copy_run, rp) != 0)
		rc = err_set(err, E_NO_MEMORY, "no thread to pack in");
	if (rc == 0) {
		(void)pthread_join(thread, &failed);
		rc = !failed ? 0 : err->code < 0 ? err->code : E_IO;
	}
	if (rc == 0)
		rc = link_packets(rp, err);
	return rc == 0 ? seal_end(&rp->seal, err) : rc;
}

/* ---------------------------------------------------------------- publishing */

/* The old one is still what was read, and nobody has pinned it: a pin links its files, and would keep both. */
static int is_current(struct recompress *rp, struct kv_txn *txn, struct err *err)
{
	struct part_entry now;
	struct store_pin *pins;
	struct arena arena;
	size_t count;
	int rc = catalog_part_get(txn, rp->old.hour, rp->old.gen, &now, err);

	if (rc <= 0)
		return rc;
	if (now.serial != rp->old.serial || now.state != PART_SEALED)
		return 0;
	for (unsigned s = 0; s < rp->old.segs_count; s++)
		if (now.segs[s].held != rp->old.segs[s].held)
			return 0;
	arena_init(&arena, 0);
	rc = catalog_pins(txn, &arena, &pins, &count, err);
	if (rc == 0)
		rc = !pins_hold(&rp->old, pins, count);
	arena_release(&arena);
	return rc;
}

static int exchange(const char *a, const char *b, struct err *err)
{
	if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0)
		return err_errno(err, errno, "%s: change places with %s", a, b);
	return 0;
}

static int sync_names(struct recompress *rp, struct err *err)
{
	char path[STORE_PATH_MAX];
	int rc = files_path(path, err, rp->seal_opts.dir, "parts", NULL);

	if (rc == 0)
		rc = files_sync_dir(path, err);
	if (rc == 0)
		rc = files_path(path, err, rp->seal_opts.dir, "tmp", NULL);
	return rc == 0 ? files_sync_dir(path, err) : rc;
}

static int add_total(struct kv_txn *txn, const struct part_entry *was, const struct part_entry *is, struct err *err)
{
	struct store_repacked total;
	int rc = catalog_repacked_get(txn, &total, err);

	if (rc < 0)
		return rc;
	total.parts += is != NULL;
	total.left += is == NULL;
	total.bytes_before += is ? was->data_bytes : 0;
	total.bytes_after += is ? is->data_bytes : 0;
	return catalog_repacked_put(txn, &total, err);
}

/* 1 done, 0 it has changed meanwhile: another round looks at it again. */
static int publish(struct recompress *rp, struct err *err)
{
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(rp->seal_opts.catalog, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = is_current(rp, txn, err);
	if (rc <= 0) {
		kv_txn_abort(txn);
		return rc;
	}
	rc = exchange(rp->path, rp->part->path, err);
	if (rc < 0) {
		kv_txn_abort(txn);
		return rc;
	}
	rc = sync_names(rp, err);
	if (rc == 0)
		rc = catalog_part_put(txn, &rp->seal.entry, err);
	if (rc == 0)
		rc = add_total(txn, &rp->old, &rp->seal.entry, err);
	if (rc == 0)
		rc = kv_txn_commit(txn, err);
	else
		kv_txn_abort(txn);
	if (rc < 0) {	/* as it was */
		if (exchange(rp->path, rp->part->path, NULL) < 0)
			log_warn("partition not brought back from tmp part=%s", rp->part->path);
		return rc;
	}
	return 1;
}

/* Tried at this level, and not again. */
static int mark(struct recompress *rp, struct err *err)
{
	struct kv_txn *txn = NULL;
	struct part_entry now;
	int rc = kv_txn_begin(rp->seal_opts.catalog, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_part_get(txn, rp->old.hour, rp->old.gen, &now, err);
	if (rc > 0 && now.serial == rp->old.serial && now.state == PART_SEALED) {
		now.level = rp->old.level;
		rc = catalog_part_put(txn, &now, err);
		if (rc == 0)
			rc = add_total(txn, &now, NULL, err);
		if (rc == 0)
			return kv_txn_commit(txn, err);
	}
	kv_txn_abort(txn);
	return rc < 0 ? rc : 0;
}

/* ---------------------------------------------------------------------- door */

/* It is damaged, or cannot be told by this program: `check` says so, and it stays. */
static bool is_damage(int rc)
{
	return rc == E_CORRUPT || rc == E_UNSUPPORTED;
}

/* 1 packed, 0 left or changed. *ret_bytes: of its data file now. */
static int recompress_part(const char *dir, struct kv *catalog, const struct store_recompress_opts *opts, int level,
			   const struct part_entry *entry, uint64_t *ret_bytes, struct err *err)
{
	struct recompress rp = { .opts = opts, .old = *entry,
				  .seal_opts = { .dir = dir, .catalog = catalog, .zstd_level = level, .group_gid = -1 } };
	char name[PART_NAME_LEN], unique[PART_NAME_LEN + 32];
	struct err why = { 0 };
	struct stat st;
	int rc;

	if (stat(dir, &st) == 0)	/* readable like the rest, also when the command line made it */
		rp.seal_opts.group_gid = (int)st.st_gid;
	rp.old.level = (uint8_t)level;
	rp.seal.opts = &rp.seal_opts;
	rp.seal.path = rp.path;
	arena_init(&rp.arena, 0);
	wr_init(&rp.blob, 0);
	part_name(entry->hour, entry->gen, name);
	(void)snprintf(unique, sizeof(unique), "%s.%llx", name, (unsigned long long)clock_mono_ns());
	rc = files_path(rp.path, &why, dir, "tmp", unique);
	if (rc == 0)
		rc = part_open(dir, entry, &rp.part, &why);
	if (rc == 0)
		rc = build(&rp, &why);
	kv_txn_abort(rp.txn);
	rp.txn = NULL;
	if (rc == 0 && rp.seal.entry.data_bytes <= entry->data_bytes - entry->data_bytes / GAIN_MIN) {
		rc = publish(&rp, &why);
		if (rc > 0)
			*ret_bytes = rp.seal.entry.data_bytes;
	} else if (rc == 0 || is_damage(rc)) {
		if (rc < 0)
			log_warn("partition not packed again part=%s error=\"%s\"", name, why.text);
		err_clear(&why);
		rc = mark(&rp, &why);
	}
	seal_abort(&rp.seal);	/* what is below tmp/ now: the old one, or the new one in vain */
	part_close(rp.part);
	arena_release(&rp.arena);
	wr_release(&rp.blob);
	if (rc == E_NOT_FOUND)	/* retention was faster */
		return 0;
	return rc < 0 ? err_set(err, rc, "%s: packing again: %s", name, why.text) : rc;
}

static int level_of(const struct store_policy *policy, int level)
{
	uint64_t wanted = level > 0 ? (uint64_t)level : policy->cold_level ? policy->cold_level : LEVEL_DEFAULT;

	return wanted > STORE_COLD_LEVEL_MAX ? STORE_COLD_LEVEL_MAX : (int)wanted;
}

static bool is_cold(const struct part_entry *entry, uint64_t now_ns, uint64_t age_ns, int level)
{
	return entry->state == PART_SEALED && entry->data_bytes && entry->level < level && age_ns <= now_ns &&
	       part_entry_newest(entry) < now_ns - age_ns;
}

/* While both are there the store takes more: not beyond what the policy allows. */
static bool has_room(const char *dir, const struct store_policy *policy, uint64_t used, uint64_t more)
{
	struct statvfs fs;

	if (policy->total_bytes && used + more + policy->total_bytes / RESERVE_PART > policy->total_bytes)
		return false;
	return statvfs(dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize > policy->free_bytes + 2 * more;
}

/* The catalog as it is now. Arrays from arena. */
static int look(struct kv *catalog, struct arena *arena, struct store_policy *policy, struct part_entry **ret_entries,
		size_t *ret_count, struct store_pin **ret_pins, size_t *ret_pins_count, struct err *err)
{
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_policy_get(txn, policy, err);
	if (rc == 0)
		rc = catalog_parts(txn, arena, ret_entries, ret_count, err);
	if (rc == 0)
		rc = catalog_pins(txn, arena, ret_pins, ret_pins_count, err);
	kv_txn_abort(txn);
	return rc;
}

int store_recompress(const char *dir, const struct store_recompress_opts *opts, struct store_repacked *ret_total,
		     struct err *err)
{
	struct store_repacked total = { 0 };
	struct part_entry *entries = NULL;
	struct store_policy policy;
	struct kv *catalog = NULL;
	struct store_pin *pins;
	uint64_t used = 0;
	struct arena arena;
	size_t count = 0, pins_count;
	int level, rc = catalog_open(dir, false, -1, &catalog, err);

	if (rc < 0)
		return rc;
	arena_init(&arena, 0);
	rc = look(catalog, &arena, &policy, &entries, &count, &pins, &pins_count, err);
	level = rc == 0 ? level_of(&policy, opts->level) : 0;
	for (size_t i = 0; i < count && rc == 0; i++)
		used += entries[i].data_bytes + part_entry_packet_bytes(&entries[i]);
	for (size_t i = count; i-- > 0 && rc >= 0;) {
		uint64_t before = entries[i].data_bytes, after = before;
		struct store_part_info info;

		if (!is_cold(&entries[i], opts->now_ns, opts->age_ns, level) || pins_hold(&entries[i], pins, pins_count))
			continue;
		part_entry_info(&entries[i], false, &info);
		if (!opts->dry_run && !has_room(dir, &policy, used, before)) {
			log_debug("no room to pack a partition again part=%s", info.path);
			continue;
		}
		rc = opts->dry_run ? 0 : recompress_part(dir, catalog, opts, level, &entries[i], &after, err);
		if (rc < 0)
			break;
		total.parts += rc > 0;
		total.left += rc == 0;
		total.bytes_before += rc > 0 ? before : 0;
		total.bytes_after += rc > 0 ? after : 0;
		used -= before - after;
		if (opts->done)
			opts->done(&info, opts->dry_run ? 0 : after, opts->arg);
	}
	arena_release(&arena);
	kv_close(catalog);
	if (ret_total)
		*ret_total = total;
	return rc < 0 ? rc : 0;
}

int store_repacked(struct store *store, uint64_t now_ns, struct store_repacked *ret_total, uint64_t *ret_cold_parts,
		   uint64_t *ret_cold_bytes, struct err *err)
{
	struct store_repacked total = { 0 };
	uint64_t parts = 0, bytes = 0;
	struct part_entry *entries;
	struct store_policy policy;
	struct kv_txn *txn = NULL;
	struct store_pin *pins;
	size_t count, pins_count;
	struct arena arena;
	int rc;

	arena_init(&arena, 0);
	rc = look(store->catalog, &arena, &policy, &entries, &count, &pins, &pins_count, err);
	for (size_t i = 0; rc == 0 && policy.cold_age_ns && i < count; i++) {
		if (!is_cold(&entries[i], now_ns, policy.cold_age_ns, level_of(&policy, 0)) ||
		    pins_hold(&entries[i], pins, pins_count))
			continue;
		parts++;
		bytes += entries[i].data_bytes;
	}
	if (rc == 0)
		rc = kv_txn_begin(store->catalog, false, &txn, err);
	if (rc == 0)
		rc = catalog_repacked_get(txn, &total, err);
	kv_txn_abort(txn);
	arena_release(&arena);
	if (rc < 0)
		return rc;
	*ret_total = total;
	*ret_cold_parts = parts;
	*ret_cold_bytes = bytes;
	return 0;
}
