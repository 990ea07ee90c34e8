#include "store/reader.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/index.h"
#include "store/manifest.h"
#include "store/pins.h"

#define STORE_IDLE_PARTS_MAX 256	/* opened partitions that no view uses */
#define VIEW_TRIES_MAX 10
#define REPACKED_TRIES_MAX 3
#define RG_HEAD_BYTES 4096u	/* header and directory of a row group, about */
#define ANNOUNCE_PARTS 32u	/* to either side */

/*
 * Partitions without a catalog: somebody has copied them here. A writer takes them in by what they say of
 * themselves. err, which says that there is no store, stays as it is where there are none.
 */
static int adopt(const char *dir, struct err *err)
{
	const struct store_writer_opts opts = { .name = "adopting partitions", .group_gid = -1, .seal_inline = true };
	struct store_writer *writer = NULL;
	char path[STORE_PATH_MAX];
	struct stat st;
	int rc;

	if (files_path(path, NULL, dir, "parts", NULL) < 0 || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return E_NOT_FOUND;
	rc = store_writer_open(dir, &opts, &writer, err);
	return rc == 0 ? store_writer_close(writer, false, err) : rc;
}

int store_open(const char *dir, struct store **ret_store, struct err *err)
{
	struct store *store = mem_zalloc(sizeof(*store));
	int rc;

	if (!store)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", dir);
	rc = files_path(store->dir, err, dir, NULL, NULL);
	if (rc == 0)
		rc = catalog_open(dir, false, -1, &store->catalog, err);
	if (rc == E_NOT_FOUND && adopt(dir, err) == 0)
		rc = catalog_open(dir, false, -1, &store->catalog, err);
	if (rc < 0) {
		mem_free(store);
		return rc;
	}
	lock_init(&store->lock);
	*ret_store = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < store->slots_count; i++) {
		assert(store->slots[i].refs == 0);	/* views are closed first */
		part_close(store->slots[i].part);
	}
	mem_free(store->slots);
	kv_close(store->catalog);
	lock_release(&store->lock);
	mem_free(store);
}

/* -------------------------------------------------------- opened partitions */

static int slot_cmp(const struct part_entry *a, const struct part_entry *b)
{
	int order = part_entry_cmp(a, b);

	if (order)
		return order;
	if (a->serial != b->serial)
		return a->serial < b->serial ? -1 : 1;
	return (int)a->state - (int)b->state;
}

/* Index of the first slot that is not before entry. */
static size_t slot_find(const struct store *store, const struct part_entry *entry)
{
	size_t low = 0, high = store->slots_count;

	lock_assert_held(&store->lock);
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slot_cmp(&store->slots[mid].part->entry, entry) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void slot_drop(struct store *store, size_t at)
{
	lock_assert_held(&store->lock);
	part_close(store->slots[at].part);
	store->slots_count--;
	memmove(store->slots + at, store->slots + at + 1, (store->slots_count - at) * sizeof(*store->slots));
}

/*
 * Its rows were packed again since the catalog was read (recompress.c): the same rows in the same groups, in a file of
 * another size, which its MANIFEST knows. The directory may change places once more while we look.
 */
static int open_repacked(const char *dir, const struct part_entry *entry, struct part **ret_part)
{
	char path[STORE_PATH_MAX], name[PART_NAME_LEN];
	struct part_entry is, now = *entry;
	int rc = E_CORRUPT;

	part_name(entry->hour, entry->gen, name);
	if (entry->state != PART_SEALED || files_path(path, NULL, dir, "parts", name) < 0)
		return E_CORRUPT;
	for (int i = 0; i < REPACKED_TRIES_MAX && rc == E_CORRUPT; i++) {
		if (manifest_read(path, &is, NULL, NULL) < 0 || !part_entry_repacked(entry, &is))
			return E_CORRUPT;
		now.data_bytes = is.data_bytes;
		rc = part_open(dir, &now, ret_part, NULL);
	}
	if (rc == 0)
		(*ret_part)->entry = *entry;	/* it is known by that one */
	return rc;
}

static int open_part(const char *dir, const struct part_entry *entry, struct part **ret_part, struct err *err)
{
	struct err why = { 0 };
	int rc = part_open(dir, entry, ret_part, &why);

	if (rc == E_CORRUPT)
		rc = open_repacked(dir, entry, ret_part);
	return rc < 0 ? err_set(err, rc, "%s", why.text) : rc;
}

static int store_take(struct store *store, const struct part_entry *entry, struct part **ret_part, struct err *err)
{
	struct part *part = NULL;
	size_t at;
	int rc = 0;

	lock_take(&store->lock);
	at = slot_find(store, entry);
	if (at == store->slots_count || slot_cmp(&store->slots[at].part->entry, entry) != 0) {
		rc = open_part(store->dir, entry, &part, err);
		if (rc < 0)
			goto out;
		if (mem_grow((void **)&store->slots, &store->slots_cap, store->slots_count,
			     sizeof(*store->slots)) < 0) {
			part_close(part);
			rc = err_set(err, E_NO_MEMORY, "out of memory");
			goto out;
		}
		memmove(store->slots + at + 1, store->slots + at, (store->slots_count - at) * sizeof(*store->slots));
		store->slots[at] = (struct store_slot){ .part = part };
		store->slots_count++;
	}
	store->slots[at].refs++;
	store->slots[at].used = ++store->uses;
	*ret_part = store->slots[at].part;
out:
	lock_drop(&store->lock);
	return rc;
}

static void store_give_back(struct store *store, struct part *part)
{
	size_t at;

	lock_take(&store->lock);
	at = slot_find(store, &part->entry);
	assert(at < store->slots_count && store->slots[at].part == part && store->slots[at].refs > 0);
	store->slots[at].refs--;
	lock_drop(&store->lock);
}

/*
 * Close what nobody uses and the catalog has no more (a removed file keeps its
 * space while it is mapped), and the longest unused ones above the limit.
 */
static void store_sweep(struct store *store, const struct part_entry *entries, size_t count)
{
	size_t idle = 0;

	lock_take(&store->lock);
	for (size_t i = 0, e = 0; i < store->slots_count;) {
		const struct store_slot *slot = &store->slots[i];

		while (e < count && part_entry_cmp(&entries[e], &slot->part->entry) < 0)
			e++;
		if (slot->refs == 0 && (e == count || slot_cmp(&entries[e], &slot->part->entry) != 0)) {
			slot_drop(store, i);
			continue;
		}
		idle += slot->refs == 0;
		i++;
	}
	for (; idle > STORE_IDLE_PARTS_MAX; idle--) {
		size_t oldest = SIZE_MAX;

		for (size_t i = 0; i < store->slots_count; i++)
			if (store->slots[i].refs == 0 &&
			    (oldest == SIZE_MAX || store->slots[i].used < store->slots[oldest].used))
				oldest = i;
		slot_drop(store, oldest);
	}
	lock_drop(&store->lock);
}

/* -------------------------------------------------------------------- views */

static void view_part_release(struct store_view *view, struct view_part *vp)
{
	kv_txn_abort(vp->txn);
	if (vp->part)
		store_give_back(view->store, vp->part);
	vp->txn = NULL;
	vp->part = NULL;
}

/*
 * A scan will touch the neighbours next, from either side: their ends are read from the disk while this one is looked
 * at. Once a partition: what is open already, or was announced before, is left alone.
 */
static void announce(struct store_view *view, size_t part)
{
	size_t from = part > ANNOUNCE_PARTS ? part - ANNOUNCE_PARTS : 0;

	for (size_t i = from; i < view->count && i <= part + ANNOUNCE_PARTS; i++) {
		struct view_part *vp = &view->parts[i];
		char path[STORE_PATH_MAX];

		if (vp->announced || vp->part || vp->entry.state != PART_SEALED)
			continue;
		vp->announced = true;
		if (files_path(path, NULL, view->store->dir, vp->info.path, NULL) == 0)
			kv_announce(path);
	}
}

static int view_part_open(struct store_view *view, struct view_part *vp, struct err *err)
{
	bool was_pinned = vp->info.pinned;
	int rc = store_take(view->store, &vp->entry, &vp->part, err);

	if (rc < 0)
		return rc;
	rc = kv_txn_begin(vp->part->kv, false, &vp->txn, err);
	if (rc == 0 && vp->entry.state == PART_HOT) {	/* newer than the catalog's */
		uint64_t serial = vp->entry.serial;

		rc = part_entry_get(vp->txn, &vp->entry, err);
		vp->entry.serial = serial;
		part_entry_info(&vp->entry, was_pinned, &vp->info);
	}
	if (rc < 0)
		view_part_release(view, vp);
	return rc;
}

int view_part_touch(struct store_view *view, size_t part, struct view_part **ret_part, struct err *err)
{
	struct view_part *vp;
	struct err why = { 0 };
	int rc;

	assert(part < view->count);
	vp = &view->parts[part];
	if (!vp->txn) {
		if (vp->entry.state == PART_SEALED && !vp->announced)
			announce(view, part);
		rc = view_part_open(view, vp, &why);
		if (rc == E_NOT_FOUND)
			return err_set(err, E_EXPIRED, "%s: retention has dropped it", vp->info.path);
		if (rc < 0)
			return err_set(err, rc, "%s", why.text);
	}
	*ret_part = vp;
	return 0;
}

/* The partitions of the range out of one snapshot of the catalog; hot ones are opened at once. */
static int view_fill(struct store_view *view, uint64_t from_ns, uint64_t to_ns, struct err *err)
{
	struct part_entry *entries;
	struct kv_txn *txn = NULL;
	struct store_pin *pins;
	size_t count, pins_count;
	int rc = kv_txn_begin(view->store->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_parts(txn, &view->arena, &entries, &count, err);
	if (rc == 0)
		rc = catalog_pins(txn, &view->arena, &pins, &pins_count, err);
	kv_txn_abort(txn);
	if (rc < 0)
		return rc;
	store_sweep(view->store, entries, count);
	view->parts = arena_array(&view->arena, count ? count : 1, sizeof(*view->parts));
	if (!view->parts)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count && rc == 0; i++) {
		struct view_part *vp = &view->parts[view->count];

		if (!part_entry_overlaps(&entries[i], from_ns, to_ns))
			continue;
		*vp = (struct view_part){ .entry = entries[i] };
		part_entry_info(&vp->entry, pins_hold(&vp->entry, pins, pins_count), &vp->info);
		if (vp->entry.state == PART_HOT) {
			struct err why = { 0 };

			rc = view_part_open(view, vp, &why);
			/* A damaged one is told when it is touched, and hides no other. */
			rc = rc == E_CORRUPT ? 0 : rc < 0 ? err_set(err, rc, "%s", why.text) : rc;
		}
		view->count += rc == 0;
	}
	return rc;
}

static void view_clear(struct store_view *view)
{
	for (size_t i = 0; i < view->count; i++)
		view_part_release(view, &view->parts[i]);
	view->count = 0;
	arena_reset(&view->arena);
}

int store_view_open(struct store *store, uint64_t from_ns, uint64_t to_ns, struct store_view **ret_view,
		    struct err *err)
{
	struct store_view *view = mem_zalloc(sizeof(*view));
	struct err why = { 0 };
	int rc = E_NOT_FOUND;

	if (!view)
		return err_set(err, E_NO_MEMORY, "out of memory");
	view->store = store;
	arena_init(&view->arena, 0);
	/* A hot partition may be sealed between the look into the catalog and the open: look again. */
	for (int i = 0; i < VIEW_TRIES_MAX && rc == E_NOT_FOUND; i++) {
		err_clear(&why);
		view_clear(view);
		rc = view_fill(view, from_ns, to_ns, &why);
	}
	if (rc < 0) {
		store_view_close(view);
		return err_set(err, rc, "%s", why.text);
	}
	*ret_view = view;
	return 0;
}

void store_view_close(struct store_view *view)
{
	if (!view)
		return;
	view_clear(view);
	arena_release(&view->arena);
	mem_free(view);
}

int store_view_renew(struct store_view *view, struct err *err)
{
	for (size_t i = 0; i < view->count; i++) {
		struct view_part *vp = &view->parts[i];
		uint64_t serial = vp->entry.serial;
		int rc;

		if (!vp->txn || vp->entry.state != PART_HOT)
			continue;	/* a sealed one has only one state, and nobody waits for its pages */
		rc = kv_txn_renew(vp->txn, err);
		if (rc == 0)
			rc = part_entry_get(vp->txn, &vp->entry, err);
		vp->entry.serial = serial;
		if (rc < 0)
			return rc;
		part_entry_info(&vp->entry, vp->info.pinned, &vp->info);
	}
	return 0;
}

void store_view_crew(struct store_view *view, struct crew *crew)
{
	view->crew = crew;
}

size_t store_view_parts(const struct store_view *view)
{
	return view->count;
}

const struct store_part_info *store_view_part(const struct store_view *view, size_t part)
{
	assert(part < view->count);
	return &view->parts[part].info;
}

/* --------------------------------------------------------------- row groups */

size_t store_rg_count(struct store_view *view, size_t part, enum table_id table)
{
	assert(part < view->count && table >= 1 && table <= TABLE_MAX);
	return table == TABLE_PACKETS ? 0 : view->parts[part].entry.tables[table].groups;
}

static int rg_value(struct store_view *view, size_t part, enum part_db db, enum table_id table, size_t rg,
		    struct view *ret_value, struct err *err)
{
	struct part_key key = part_key_rg(table, (uint32_t)rg);
	struct view_part *vp = NULL;
	int rc = view_part_touch(view, part, &vp, err);

	if (rc < 0)
		return rc;
	if (rg >= vp->entry.tables[table].groups)
		return err_set(err, E_RANGE, "%s: %s has no row group %zu", vp->info.path, table_get(table)->name, rg);
	rc = kv_get(vp->txn, db, part_key_view(&key), ret_value, err);
	if (rc == 0)
		rc = err_set(err, E_CORRUPT, "%s: row group %zu of %s is missing", vp->info.path, rg,
			     table_get(table)->name);
	return rc < 0 ? rc : 0;
}

static int rg_damaged(struct store_view *view, size_t part, enum table_id table, size_t rg, int rc,
		      const struct err *why, struct err *err)
{
	return err_set(err, rc, "%s: row group %zu of %s: %s", view->parts[part].info.path, rg,
		       table_get(table)->name, why->text);
}

int store_rg_zone(struct store_view *view, size_t part, enum table_id table, size_t rg, struct rg_zone *ret_zone,
		  struct err *err)
{
	struct err why = { 0 };
	struct view value;
	int rc = rg_value(view, part, PART_ZONE, table, rg, &value, err);

	if (rc < 0)
		return rc;
	rc = rg_zone_read(value, ret_zone, &why);
	return rc < 0 ? rg_damaged(view, part, table, rg, rc, &why, err) : 0;
}

int store_rg_bytes(struct store_view *view, size_t part, enum table_id table, size_t rg, size_t *ret_bytes,
		   struct err *err)
{
	struct view value;
	int rc = rg_value(view, part, PART_RG, table, rg, &value, err);

	if (rc == 0)
		*ret_bytes = value.len;
	return rc;
}

void store_rg_want(struct store_view *view, size_t part, enum table_id table, size_t rg)
{
	struct view value;

	if (rg_value(view, part, PART_RG, table, rg, &value, NULL) == 0)
		files_want(view_sub(value, 0, RG_HEAD_BYTES));
}

int store_rg_open(struct store_view *view, size_t part, enum table_id table, size_t rg, struct rg *ret_rg,
		  struct err *err)
{
	struct err why = { 0 };
	struct view value;
	struct rg opened;
	int rc = rg_value(view, part, PART_RG, table, rg, &value, err);

	if (rc < 0)
		return rc;
	rc = rg_open(value, &opened, &why);
	if (rc == 0 && opened.table->id != table)
		rc = err_set(&why, E_CORRUPT, "it is of table %s", opened.table->name);
	if (rc < 0)
		return rg_damaged(view, part, table, rg, rc, &why, err);
	*ret_rg = opened;
	return 0;
}

/* ------------------------------------------------------------------ indexes */

int store_index_lookup(struct store_view *view, size_t part, enum table_id table, const struct col *col,
		       struct view value, struct bitmap **ret_bitmap, struct err *err)
{
	struct view_part *vp = NULL;
	int rc = view_part_touch(view, part, &vp, err);

	if (rc < 0)
		return rc;
	if (vp->entry.state == PART_HOT) {
		*ret_bitmap = NULL;
		return 0;
	}
	return index_lookup(vp->txn, table, col, value, ret_bitmap, err);
}

int store_index_values(struct store_view *view, size_t part, enum table_id table, const struct col *col,
		       bool (*fn)(struct view value, void *arg), void *arg, struct err *err)
{
	struct view_part *vp = NULL;
	int rc = view_part_touch(view, part, &vp, err);

	return rc < 0 ? rc : index_values(vp->txn, table, col, fn, arg, err);
}

int store_bloom_may_have(struct store_view *view, size_t part, enum table_id table, size_t rg,
			 const struct col *col, struct view value, struct err *err)
{
	struct view_part *vp = NULL;
	int rc = view_part_touch(view, part, &vp, err);

	return rc < 0 ? rc : index_may_have(vp->txn, table, (uint32_t)rg, col, value, err);
}

void store_bloom_want(struct store_view *view, size_t part, enum table_id table, size_t rg, const struct col *col,
		      struct view value, bool bits)
{
	struct view_part *vp = NULL;

	if (view_part_touch(view, part, &vp, NULL) == 0 && vp->entry.state == PART_SEALED)
		index_want(vp->txn, table, (uint32_t)rg, col, value, bits);
}

/* ------------------------------------------------------------------ catalog */

int store_gaps(struct store *store, uint64_t from_ns, uint64_t to_ns, struct arena *arena,
	       struct store_gap **ret_gaps, size_t *ret_count, struct err *err)
{
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(store->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_gaps(txn, from_ns, to_ns, arena, ret_gaps, ret_count, err);
	kv_txn_abort(txn);
	return rc;
}

int store_status(struct store *store, const char *name, struct arena *arena, struct view *ret_text,
		 struct err *err)
{
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(store->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_status_get(txn, name, arena, ret_text, err);
	kv_txn_abort(txn);
	return rc;
}

int store_policy_get(struct store *store, struct store_policy *ret_policy, struct err *err)
{
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(store->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_policy_get(txn, ret_policy, err);
	kv_txn_abort(txn);
	return rc;
}

/* Asks for the lock without taking it: a writer that starts right now must not fail because of us. */
static bool writer_alive(const struct store *store)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	char path[STORE_PATH_MAX];
	bool alive;
	int fd;

	if (files_path(path, NULL, store->dir, "writer.lock", NULL) < 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	alive = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	(void)close(fd);
	return alive;
}

int store_horizon(struct store *store, struct store_horizon *ret_horizon, struct err *err)
{
	struct store_horizon horizon = { 0 };
	struct catalog_progress progress;
	struct part_entry *entries;
	struct kv_txn *txn = NULL;
	struct arena arena;
	size_t count = 0;
	int rc;

	arena_init(&arena, 0);
	rc = kv_txn_begin(store->catalog, false, &txn, err);
	if (rc == 0)
		rc = catalog_progress_get(txn, &progress, err);
	if (rc == 0)
		rc = catalog_parts(txn, &arena, &entries, &count, err);
	kv_txn_abort(txn);
	if (rc < 0)
		goto out;
	for (int t = 0; t <= TABLE_MAX; t++)
		horizon.oldest_ns[t] = UINT64_MAX;
	for (size_t i = 0; i < count; i++) {
		const struct part_entry *entry = &entries[i];

		for (int t = 1; t <= TABLE_MAX; t++)
			if (t != TABLE_PACKETS && entry->tables[t].rows &&
			    !(entry->residual & 1u << t) &&
			    entry->tables[t].start_min < horizon.oldest_ns[t])
				horizon.oldest_ns[t] = entry->tables[t].start_min;
		for (int t = 0; t < ROLLUP_TIERS_COUNT; t++)
			if (entry->tiers_gone & 1u << t && (entry->hour + 1) * NS_PER_HOUR > horizon.tier_from_ns[t])
				horizon.tier_from_ns[t] = (entry->hour + 1) * NS_PER_HOUR;
		if (part_entry_packets_min(entry) < horizon.oldest_ns[TABLE_PACKETS])
			horizon.oldest_ns[TABLE_PACKETS] = part_entry_packets_min(entry);
		horizon.data_bytes += entry->data_bytes;
		horizon.packet_bytes += part_entry_packet_bytes(entry);
	}
	horizon.newest_ns = progress.newest_ns;
	horizon.last_commit_ns = progress.last_commit_ns;
	horizon.writer_alive = writer_alive(store);
	horizon.parts = count;
	*ret_horizon = horizon;
out:
	arena_release(&arena);
	return rc;
}
