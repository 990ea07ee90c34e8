/*
 * Copies of a store: a snapshot beside a running recorder (hard links to what never
 * changes, copies of what does), and a new store out of what is sound in a damaged one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/manifest.h"
#include "store/reader.h"

#define COPY_BYTES (1u << 20)
#define SALVAGE_HOT_MAX 4


/* -------------------------------------------------------------------- files */

/* The first bytes of a file, or all of it. Absent is fine. */
static int copy_file(const char *from, const char *to, uint64_t bytes_max, struct err *err)
{
	uint8_t *buf = mem_alloc(COPY_BYTES);
	uint64_t off = 0, size = 0;
	int in = -1, out = -1, rc = files_size(from, &size, err);

	if (rc <= 0)
		goto out;
	if (size > bytes_max)
		size = bytes_max;
	rc = buf ? 0 : err_set(err, E_NO_MEMORY, "out of memory");
	if (rc == 0 && (in = open(from, O_RDONLY | O_CLOEXEC)) < 0)
		rc = err_errno(err, errno, "%s: open", from);
	if (rc == 0 && (out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640)) < 0)
		rc = err_errno(err, errno, "%s: create", to);
	while (rc == 0 && off < size) {
		size_t len = size - off < COPY_BYTES ? (size_t)(size - off) : COPY_BYTES;

		rc = files_read_at(in, buf, len, off, from, err);
		if (rc == 0)
			rc = files_write_at(out, view_make(buf, len), off, to, err);
		off += len;
	}
	if (rc == 0 && fsync(out) < 0)
		rc = err_errno(err, errno, "%s: sync", to);
out:
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	mem_free(buf);
	return rc;
}

/* A hard link; a copy where the target is on another file system. */
static int link_or_copy(const char *from, const char *to, struct err *err)
{
	if (link(from, to) == 0 || errno == ENOENT)
		return 0;
	if (errno != EXDEV && errno != EPERM && errno != EMLINK)
		return err_errno(err, errno, "%s: link to %s", from, to);
	return copy_file(from, to, UINT64_MAX, err);
}

/* from/sub/name to to/sub/name, file by file. */
static int link_sealed(const char *from, const char *to, const char *name, struct err *err)
{
	char a[STORE_PATH_MAX], b[STORE_PATH_MAX], path[STORE_PATH_MAX], below[STORE_PATH_MAX], other[STORE_PATH_MAX];
	int rc = files_path(path, err, from, "parts", name);

	if (rc == 0)
		rc = files_path(below, err, to, "parts", NULL);
	if (rc == 0)
		rc = files_path(other, err, below, name, NULL);
	if (rc == 0)
		rc = files_mkdir(other, -1, err);
	for (size_t i = 0; i < PART_FILES && rc == 0; i++) {
		rc = files_path(a, err, path, part_files[i], NULL);
		if (rc == 0)
			rc = files_path(b, err, other, part_files[i], NULL);
		if (rc == 0)
			rc = link_or_copy(a, b, err);
	}
	return rc == 0 ? files_sync_dir(other, err) : rc;
}

/* A new directory that is to become a store. */
static int make_target(const char *to, struct err *err)
{
	static const char *const subs[] = { "parts", "hot", "catalog", "snap" };
	char path[STORE_PATH_MAX];
	int rc = 0;

	if (mkdir(to, 0750) < 0)
		return errno == EEXIST ? err_set(err, E_EXISTS, "%s: exists already", to) :
					 err_errno(err, errno, "%s: make directory", to);
	for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]) && rc == 0; i++) {
		rc = files_path(path, err, to, subs[i], NULL);
		if (rc == 0)
			rc = files_mkdir(path, -1, err);
	}
	return rc;
}

/* ------------------------------------------------------------- environments */

/* Every entry that txn sees, into a new environment in dir. skip: a database that stays empty, or -1. */
static int copy_env(struct kv_txn *txn, const char *const *dbs, int skip, const char *dir, struct err *err)
{
	struct kv_opts opts = { .mode = KV_BUILD, .dbs = dbs, .map_bytes = PART_MAP_BYTES, .group_gid = -1 };
	struct kv_batch batch = { .kv = NULL };
	int rc = kv_open(dir, &opts, &batch.kv, err);

	for (unsigned db = 0; rc == 0 && dbs[db]; db++) {
		struct kv_cursor *cursor = NULL;
		struct view key, value;

		if ((int)db == skip)
			continue;
		rc = kv_cursor_open(txn, db, &cursor, err);
		while (rc == 0 && (rc = kv_cursor_next(cursor, &key, &value, err)) == 1)
			rc = kv_batch_put(&batch, db, KV_PUT_APPEND, key, value, err);
		kv_cursor_close(cursor);
	}
	if (rc == 0)
		rc = kv_batch_commit(&batch, err);
	kv_batch_abort(&batch);
	kv_close(batch.kv);
	return rc;
}

/* ----------------------------------------------------------------- snapshot */

/* Rows first, then the log: it has all that they point to, and maybe more. */
static int copy_hot(const char *from, const char *to, const struct part_entry *entry, struct err *err)
{
	char name[PART_NAME_LEN], dir[STORE_PATH_MAX], a[STORE_PATH_MAX], b[STORE_PATH_MAX];
	struct part_entry committed;
	struct kv_txn *txn = NULL;
	struct part *part = NULL;
	int rc = part_open(from, entry, &part, err);

	if (rc == E_NOT_FOUND)	/* never committed anything */
		return 0;
	part_name(entry->hour, entry->gen, name);
	if (rc == 0)
		rc = files_path(dir, err, to, "hot", name);
	if (rc == 0)
		rc = files_mkdir(dir, -1, err);
	if (rc == 0)
		rc = kv_txn_begin(part->kv, false, &txn, err);
	if (rc == 0)
		rc = part_entry_get(txn, &committed, err);
	if (rc == 0)
		rc = copy_env(txn, part_dbs, -1, dir, err);
	if (rc == 0)
		rc = files_path(a, err, part->path, PART_LOG_FILE, NULL);
	if (rc == 0)
		rc = files_path(b, err, dir, PART_LOG_FILE, NULL);
	if (rc == 0)
		rc = copy_file(a, b, committed.packet_bytes, err);
	kv_txn_abort(txn);
	part_close(part);
	return rc == 0 ? files_sync_dir(dir, err) : rc;
}

/* The copy ends in good order, whatever the recorder goes on to do. */
static int finish_catalog(const char *to, const struct store_pin *pins, size_t pins_count, struct err *err)
{
	struct catalog_progress progress;
	struct kv_txn *txn = NULL;
	struct kv *catalog = NULL;
	int rc = catalog_open(to, true, -1, &catalog, err);

	if (rc == 0)
		rc = kv_txn_begin(catalog, true, &txn, err);
	if (rc == 0)
		rc = catalog_progress_get(txn, &progress, err);
	if (rc == 0) {
		progress.clean = true;
		rc = catalog_progress_put(txn, &progress, err);
	}
	if (rc == 0)
		rc = kv_txn_commit(txn, err);
	else
		kv_txn_abort(txn);
	kv_close(catalog);
	for (size_t i = 0; i < pins_count && rc == 0; i++) {
		rc = store_pin(to, pins[i].name, pins[i].from_ns, pins[i].to_ns, err);
		if (rc == E_NOT_FOUND)	/* a pin on what is long gone */
			rc = 0;
	}
	return rc;
}

static int snapshot_in(struct kv_txn *txn, const char *dir, const char *to, struct arena *arena,
		       struct store_pin **ret_pins, size_t *ret_pins_count, struct err *err)
{
	char catalog[STORE_PATH_MAX], name[PART_NAME_LEN];
	struct part_entry *entries;
	size_t count = 0;
	int rc = catalog_parts(txn, arena, &entries, &count, err);

	if (rc == 0)
		rc = catalog_pins(txn, arena, ret_pins, ret_pins_count, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		part_name(entries[i].hour, entries[i].gen, name);
		rc = entries[i].state == PART_SEALED ? link_sealed(dir, to, name, err) : copy_hot(dir, to, &entries[i], err);
	}
	if (rc == 0)
		rc = files_path(catalog, err, to, "catalog", NULL);
	return rc == 0 ? copy_env(txn, catalog_dbs, CATALOG_DB_PIN, catalog, err) : rc;
}

int store_snapshot(const char *dir, const char *to, struct err *err)
{
	struct store_pin *pins = NULL;
	struct kv_txn *txn = NULL;
	struct kv *catalog = NULL;
	size_t pins_count = 0;
	struct arena arena;
	bool made = false;
	int rc = catalog_open(dir, false, -1, &catalog, err);

	arena_init(&arena, 0);
	if (rc == 0)
		rc = make_target(to, err);
	made = rc == 0;
	/* Under the write transaction nothing is sealed or dropped; what hot partitions commit meanwhile may come along. */
	if (rc == 0)
		rc = kv_txn_begin(catalog, true, &txn, err);
	if (rc == 0)
		rc = snapshot_in(txn, dir, to, &arena, &pins, &pins_count, err);
	kv_txn_abort(txn);
	kv_close(catalog);
	if (rc == 0)
		rc = finish_catalog(to, pins, pins_count, err);
	if (rc == 0)
		rc = files_sync_dir(to, err);
	if (rc < 0 && made)
		(void)files_remove_tree(to, NULL);
	arena_release(&arena);
	return rc;
}

/* ------------------------------------------------------------------ salvage */

struct salvage {
	struct store_view *view;
	struct store_writer *writer;
	struct store_salvage_totals *totals;
	void (*fn)(const char *finding, void *arg);
	void *arg;
	struct arena arena;
};

static void lost(struct salvage *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void lost(struct salvage *s, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	s->totals->lost++;
	if (s->fn)
		s->fn(text, s->arg);
}

/* Errors of what is read are findings; those of the new store, and of memory, end it. */
static bool is_damage(int rc)
{
	return rc == E_CORRUPT || rc == E_FORMAT || rc == E_UNSUPPORTED || rc == E_NOT_FOUND || rc == E_EXPIRED || rc == E_IO;
}

static int salvage_gap(struct salvage *s, uint64_t from_ns, uint64_t to_ns, uint64_t packets, struct err *err)
{
	struct store_gap gap = { .from_ns = from_ns, .to_ns = to_ns > from_ns ? to_ns : from_ns + 1, .packets = packets,
				 .reason = "damage" };

	return from_ns == UINT64_MAX ? 0 : store_write_gap(s->writer, &gap, err);
}

static int salvage_group(struct salvage *s, size_t part, enum table_id table, size_t group, struct err *err)
{
	const struct store_part_info *info = store_view_part(s->view, part);
	const struct table *t = table_get(table);
	struct err why = { 0 };
	struct rg_zone zone;
	void *rows = NULL;
	struct rg rg;
	int rc;

	arena_reset(&s->arena);
	rc = store_rg_open(s->view, part, table, group, &rg, &why);
	if (rc == 0)
		rc = rg_verify(&rg, &why);
	if (rc == 0)
		rc = rg_read_rows(&rg, &s->arena, &rows, &why);
	if (rc < 0 && !is_damage(rc))
		return err_set(err, rc, "%s", why.text);
	if (rc < 0) {
		lost(s, "%s: %s: row group %zu: %s", info->path, t->name, group, why.text);
		if (store_rg_zone(s->view, part, table, group, &zone, NULL) == 0) {
			s->totals->lost_rows += zone.rows;
			return salvage_gap(s, zone.start_min, zone.end_max, 0, err);
		}
		return salvage_gap(s, info->hour * NS_PER_HOUR, (info->hour + 1) * NS_PER_HOUR, 0, err);
	}
	for (uint32_t i = 0; i < rg.zone.rows && rc == 0; i++) {
		const void *row = (const uint8_t *)rows + i * t->row_bytes;

		/* what the gaps of the catalog become events of again */
		if (table == TABLE_EVENTS && ((const struct event_row *)row)->kind == EVENT_gap)
			continue;
		rc = store_write_rows(s->writer, table, row, 1, err);
		s->totals->rows++;
	}
	return rc;
}

static int salvage_packets(struct salvage *s, size_t part, struct err *err)
{
	const struct store_part_info *info = store_view_part(s->view, part);
	struct store_packets *packets = NULL;
	struct packet_block block = { 0 };
	struct err why = { 0 };
	struct packet_rec rec;
	uint64_t source;
	bool open = false;
	int rc = store_packets_open(s->view, part, 0, UINT64_MAX, NULL, 0, &packets, &why);

	if (rc < 0 && is_damage(rc)) {
		lost(s, "%s: packets: %s", info->path, why.text);
		return salvage_gap(s, info->start_min, info->end_max, info->packets, err);
	}
	while (rc >= 0) {
		rc = store_packets_next(packets, &rec, &source, &why);
		if (rc == 0)
			break;
		if (rc < 0) {
			if (!is_damage(rc))
				break;
			lost(s, "%s: packets: %s", info->path, why.text);
			rc = salvage_gap(s, info->start_min, info->end_max, 0, err);
			continue;
		}
		for (int tries = 0; tries < 2; tries++) {
			if (open && (tries || block.source != source || block.hour != rec.time_ns / NS_PER_HOUR)) {
				rc = store_write_packets(s->writer, &block, err);
				packet_block_release(&block);
				open = false;
				if (rc < 0)
					goto out;
			}
			if (!open && packet_block_init(&block, source) < 0) {
				rc = err_set(err, E_NO_MEMORY, "out of memory");
				goto out;
			}
			open = true;
			rc = packet_block_add(&block, &rec);
			if (rc != E_LIMIT && rc != E_RANGE)
				break;
		}
		if (rc >= 0)
			s->totals->packets++;
	}
	if (rc < 0 && why.code)
		rc = err_set(err, rc, "%s", why.text);
	if (rc == 0 && open && block.count)
		rc = store_write_packets(s->writer, &block, err);
out:
	if (open)
		packet_block_release(&block);
	store_packets_close(packets);
	return rc;
}

static int salvage_parts(struct salvage *s, struct err *err)
{
	int rc = 0;

	for (size_t part = 0; part < store_view_parts(s->view) && rc == 0; part++) {
		for (int table = 1; table <= TABLE_MAX && rc == 0; table++) {
			size_t groups = table == TABLE_PACKETS ? 0 : store_rg_count(s->view, part, (enum table_id)table);

			for (size_t g = 0; g < groups && rc == 0; g++)
				rc = salvage_group(s, part, (enum table_id)table, g, err);
		}
		if (rc == 0 && store_view_part(s->view, part)->has_packets)
			rc = salvage_packets(s, part, err);
		if (rc == 0)
			rc = store_commit(s->writer, err);
		if (rc == 0)
			rc = store_view_renew(s->view, err);
	}
	return rc;
}

static int salvage_gaps(struct salvage *s, struct store *store, struct err *err)
{
	struct store_gap *gaps;
	size_t count = 0;
	int rc;

	arena_reset(&s->arena);
	rc = store_gaps(store, 0, UINT64_MAX, &s->arena, &gaps, &count, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = store_write_gap(s->writer, &gaps[i], err);
	return rc;
}

/* A store that can be opened, of the same files: its catalog made anew from what the partitions say of themselves. */
struct shadow {
	const char *dir, *to;
	struct salvage *s;
	struct err *err;
	bool hot;
};

/* A partition whose MANIFEST is damaged says the same in its data file, all but the sizes of its files. */
static int manifest_again(const char *path, const char *to, struct err *err)
{
	struct kv_opts opts = { .mode = KV_SEALED, .dbs = part_dbs, .group_gid = -1 };
	char data[STORE_PATH_MAX], other[STORE_PATH_MAX];
	struct manifest_hashes hashes = { 0 };
	struct part_entry entry;
	struct kv_txn *txn = NULL;
	struct kv *kv = NULL;
	int rc = files_path(data, err, path, kv_sealed_file(path), NULL);

	if (rc == 0 && files_size(data, &entry.data_bytes, err) != 1)
		rc = E_NOT_FOUND;
	if (rc < 0)
		return rc;
	opts.map_bytes = (size_t)entry.data_bytes;
	rc = kv_open(path, &opts, &kv, err);
	if (rc == 0)
		rc = kv_txn_begin(kv, false, &txn, err);
	if (rc == 0)
		rc = part_entry_get(txn, &entry, err);
	kv_txn_abort(txn);
	kv_close(kv);
	if (rc < 0)
		return rc;
	entry.state = PART_SEALED;
	entry.data_bytes = opts.map_bytes;
	rc = manifest_hash(path, kv_sealed_file(path), &hashes.data, err);
	entry.packet_bytes = 0;
	for (unsigned s = 0; s < entry.segs_count && rc == 0; s++) {
		/* the data file was written behind the packets: their sizes are in it */
		rc = files_path(other, err, path, part_seg_file(s), NULL);
		if (rc == 0)
			rc = files_size(other, &entry.segs[s].bytes, err);
		entry.segs[s].held = rc == 1;
		entry.packet_bytes += entry.segs[s].bytes;
		if (rc == 1)
			rc = manifest_hash(path, part_seg_file(s), &hashes.packets[s], err);
	}
	part_entry_settle(&entry);
	if (rc == 0)	/* the link leads to the damaged one */
		rc = files_path(other, err, to, PART_MANIFEST_FILE, NULL);
	if (rc == 0)
		(void)unlink(other);
	return rc == 0 ? manifest_write(to, &entry, &hashes, -1, err) : rc;
}

static int shadow_part(const char *name, void *arg)
{
	const struct shadow *shadow = arg;
	char path[STORE_PATH_MAX], to[STORE_PATH_MAX], a[STORE_PATH_MAX], b[STORE_PATH_MAX];
	static const char *const hot_files[] = { KV_DATA_FILE, PART_LOG_FILE };
	struct part_entry entry;
	struct err why = { 0 };
	uint64_t hour;
	uint32_t gen;
	int rc;

	if (!part_name_parse(name, &hour, &gen))
		return 0;
	rc = files_path(path, shadow->err, shadow->dir, shadow->hot ? "hot" : "parts", name);
	if (rc < 0)
		return rc;
	if (!shadow->hot) {
		rc = link_sealed(shadow->dir, shadow->to, name, shadow->err);
		if (rc < 0 || manifest_read(path, &entry, NULL, &why) == 0)
			return rc;
		rc = files_path(b, shadow->err, shadow->to, "parts", name);
		if (rc == 0 && manifest_again(path, b, &why) < 0)
			lost(shadow->s, "parts/%s: %s", name, why.text);	/* nobody will take it in */
		return rc;
	}
	rc = files_path(to, shadow->err, shadow->to, "hot", name);
	if (rc == 0)
		rc = files_mkdir(to, -1, shadow->err);
	for (size_t i = 0; i < 2 && rc == 0; i++) {	/* copies: opening them changes them */
		rc = files_path(a, shadow->err, path, hot_files[i], NULL);
		if (rc == 0)
			rc = files_path(b, shadow->err, to, hot_files[i], NULL);
		if (rc == 0)
			rc = copy_file(a, b, UINT64_MAX, shadow->err);
	}
	return rc;
}

static int shadow_make(struct salvage *s, const char *dir, const char *to, struct err *err)
{
	const struct store_writer_opts opts = { .name = "check --repair", .group_gid = -1, .seal_inline = true,
						.hot_partitions_max = 1024 };
	struct shadow shadow = { .dir = dir, .to = to, .s = s, .err = err };
	struct store_writer *writer = NULL;
	char path[STORE_PATH_MAX];
	int rc = make_target(to, err);

	for (int hot = 0; hot < 2 && rc == 0; hot++) {
		shadow.hot = hot;
		rc = files_path(path, err, dir, hot ? "hot" : "parts", NULL);
		if (rc == 0)
			rc = files_each(path, shadow_part, &shadow, err);
	}
	if (rc == 0)
		rc = store_writer_open(to, &opts, &writer, err);
	return rc == 0 ? store_writer_close(writer, false, err) : rc;
}

int store_salvage(const char *dir, const char *to, void (*fn)(const char *finding, void *arg), void *arg,
		  struct store_salvage_totals *ret_totals, struct err *err)
{
	const struct store_writer_opts opts = { .name = "check --repair", .group_gid = -1, .hot_partitions_max = SALVAGE_HOT_MAX };
	struct salvage s = { .totals = ret_totals, .fn = fn, .arg = arg };
	struct store *store = NULL, *old = NULL;
	char shadow[STORE_PATH_MAX];
	struct err why = { 0 };
	struct stat st;
	int rc;

	memset(ret_totals, 0, sizeof(*ret_totals));
	if (stat(dir, &st) < 0)
		return err_errno(err, errno, "%s", dir);
	if (stat(to, &st) == 0)
		return err_set(err, E_EXISTS, "%s: exists already", to);
	if (snprintf(shadow, sizeof(shadow), "%s.salvage", to) >= (int)sizeof(shadow))
		return err_set(err, E_LIMIT, "%s: the path is too long", to);
	arena_init(&s.arena, 0);
	(void)files_remove_tree(shadow, NULL);
	rc = shadow_make(&s, dir, shadow, err);
	if (rc == 0)
		rc = store_open(shadow, &store, err);
	if (rc == 0)
		rc = store_view_open(store, 0, UINT64_MAX, &s.view, err);
	if (rc == 0)
		rc = store_writer_open(to, &opts, &s.writer, err);
	if (rc == 0)
		rc = salvage_parts(&s, err);
	if (rc == 0 && store_open(dir, &old, &why) == 0)	/* what only the catalog knows, if it can be read */
		rc = salvage_gaps(&s, old, err);
	else if (rc == 0)
		lost(&s, "catalog: %s", why.text);
	if (s.writer) {
		int closed = store_writer_close(s.writer, rc == 0, rc == 0 ? err : NULL);

		rc = rc == 0 ? closed : rc;
	}
	store_view_close(s.view);
	store_close(store);
	store_close(old);
	(void)files_remove_tree(shadow, NULL);
	arena_release(&s.arena);
	return rc;
}
