/*
 * What the last run left, put right: torn logs are cut (hot_load), half-made
 * partitions removed, and catalog and directories brought to agree. Runs with
 * the writer's lock held, before anything is written.
 *
 *   catalog   hot/   parts/   meaning and answer
 *   hot       yes    no       in use: load it
 *   hot       yes    yes      died between the seal's rename and its catalog entry: seal again
 *   hot       no     yes      as before, and the hot one is lost: take the sealed one by its MANIFEST
 *   hot       no     no       gone: drop the entry
 *   sealed    yes    yes      died before the hot one was removed: remove it
 *   sealed    -      no       died inside a retention: drop the entry
 *   sealed    -      other    died between the exchange of a partition packed again and its entry: the MANIFEST is right
 *   -         yes    -        died between its commit and the catalog's: load it, the entry follows
 *   -         -      yes      catalog lost: take it by its MANIFEST
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/manifest.h"
#include "store/writer.h"

struct recover {
	struct store_writer *writer;
	struct kv_txn *txn;	/* one transaction for all changes of the catalog */
	struct err *err;
};

static int exists(const struct recover *r, const char *sub, const char *name, struct err *err)
{
	char path[STORE_PATH_MAX], below[STORE_PATH_MAX];
	uint64_t bytes;
	int rc = files_path(below, err, r->writer->dir, sub, name);

	if (rc == 0)
		rc = files_path(path, err, below, kv_sealed_file(below), NULL);
	return rc < 0 ? rc : files_size(path, &bytes, err);
}

int trash_dir(const char *dir, const char *sub, const char *name, struct err *err)
{
	char from[STORE_PATH_MAX], to[STORE_PATH_MAX], unique[PART_NAME_LEN + 32];
	int rc;

	(void)snprintf(unique, sizeof(unique), "%s.%llx", name, (unsigned long long)clock_mono_ns());
	rc = files_path(from, err, dir, sub, name);
	if (rc == 0)
		rc = files_path(to, err, dir, "trash", unique);
	if (rc < 0)
		return rc;
	if (rename(from, to) == 0)
		return files_remove_tree(to, err);
	return files_remove_tree(from, err);
}

/* A hot partition that cannot be read is kept for people to look at, out of the way of new ones. */
static int set_aside(const struct recover *r, const char *name, const struct err *why)
{
	char from[STORE_PATH_MAX], to[STORE_PATH_MAX], unique[PART_NAME_LEN + 32];
	int rc = files_path(to, r->err, r->writer->dir, "damaged", NULL);

	log_warn("hot partition cannot be read and is set aside in damaged/ part=%s error=\"%s\"", name, why->text);
	if (rc == 0)
		rc = files_mkdir(to, r->writer->group_gid, r->err);
	(void)snprintf(unique, sizeof(unique), "%s.%llx", name, (unsigned long long)clock_mono_ns());
	if (rc == 0)
		rc = files_path(to, r->err, r->writer->dir, "damaged", unique);
	if (rc == 0)
		rc = files_path(from, r->err, r->writer->dir, "hot", name);
	if (rc == 0 && rename(from, to) < 0)
		rc = err_errno(r->err, errno, "%s: rename to %s", from, to);
	return rc;
}

/* 1 loaded, 0 not: never committed and removed, or damaged and set aside. */
static int load_hot(const struct recover *r, uint64_t hour, uint32_t gen)
{
	struct hot_opts opts = { .dir = r->writer->dir, .hour = hour, .gen = gen, .serial = r->writer->serial++,
				 .map_bytes = r->writer->map_bytes, .group_gid = r->writer->group_gid };
	char name[PART_NAME_LEN];
	struct hot *hot = NULL;
	struct err why = { 0 };
	int rc = hot_load(&opts, &hot, &why);

	part_name(hour, gen, name);
	if (rc == E_NOT_FOUND)
		return trash_dir(r->writer->dir, "hot", name, r->err);
	if (rc == E_CORRUPT || rc == E_UNSUPPORTED)
		return set_aside(r, name, &why);
	if (rc < 0)
		return err_set(r->err, rc, "%s", why.text);
	rc = writer_add_hot(r->writer, hot, r->err);
	if (rc == 0) {
		hot->entry_dirty = true;
		return 1;
	}
	hot_free(hot);
	return rc;
}

/* Take a sealed partition by what its MANIFEST says. */
static int adopt_sealed(const struct recover *r, const char *name)
{
	char path[STORE_PATH_MAX];
	struct part_entry entry;
	struct err why = { 0 };
	int rc = files_path(path, &why, r->writer->dir, "parts", name);

	if (rc == 0)
		rc = manifest_read(path, &entry, NULL, &why);
	if (rc == E_NO_MEMORY)
		return err_set(r->err, rc, "%s", why.text);
	/* Died between the two renames of a partition made anew: the one it was to replace is whole. */
	if (rc == 0 && entry.replaces) {
		char other[PART_NAME_LEN];
		int there;

		part_name(entry.hour, entry.replaces_gen, other);
		there = exists(r, "parts", other, r->err);
		if (there)
			return there < 0 ? there : trash_dir(r->writer->dir, "parts", name, r->err);
	}
	if (rc < 0) {
		log_warn("partition without a readable manifest is left alone part=%s error=\"%s\"", name, why.text);
		return 0;
	}
	log_info("partition taken into the catalog part=%s", name);
	entry.serial = r->writer->serial++;
	return catalog_part_put(r->txn, &entry, r->err);
}

/* Packed again (recompress.c), and the entry still tells of the one before. */
static int adopt_repacked(const struct recover *r, const struct part_entry *entry, const char *name)
{
	char path[STORE_PATH_MAX], file[STORE_PATH_MAX];
	struct part_entry now = *entry, is;
	uint64_t bytes = entry->data_bytes;
	int rc = files_path(path, r->err, r->writer->dir, "parts", name);

	if (rc == 0)
		rc = files_path(file, r->err, path, kv_sealed_file(path), NULL);
	if (rc == 0)
		rc = files_size(file, &bytes, r->err) < 0 ? E_IO : 0;
	/* What cannot be read, or is something else, is for those who check. */
	if (rc < 0 || bytes == entry->data_bytes || manifest_read(path, &is, NULL, NULL) < 0 || !part_entry_repacked(entry, &is))
		return rc;
	log_info("partition was packed again part=%s", name);
	now.serial = r->writer->serial++;
	now.level = is.level;
	now.data_bytes = is.data_bytes;
	for (int t = 1; t <= TABLE_MAX; t++)
		now.tables[t].bytes = is.tables[t].bytes;
	memcpy(now.tiers, is.tiers, sizeof(now.tiers));
	return catalog_part_put(r->txn, &now, r->err);
}

static int recover_entry(const struct recover *r, const struct part_entry *entry)
{
	char name[PART_NAME_LEN], path[STORE_PATH_MAX], file[STORE_PATH_MAX];
	int hot, sealed, rc;

	part_name(entry->hour, entry->gen, name);
	hot = exists(r, "hot", name, r->err);
	sealed = hot < 0 ? hot : exists(r, "parts", name, r->err);
	if (sealed < 0)
		return sealed;
	if (entry->state == PART_SEALED && sealed) {
		rc = hot ? trash_dir(r->writer->dir, "hot", name, r->err) : 0;
		for (unsigned s = 0; s < entry->segs_count && rc == 0; s++) {
			if (entry->segs[s].held)
				continue;
			rc = files_path(path, r->err, r->writer->dir, "parts", name);	/* died before the unlink */
			if (rc == 0)
				rc = files_path(file, r->err, path, part_seg_file(s), NULL);
			if (rc == 0)
				(void)unlink(file);
		}
		return rc == 0 ? adopt_repacked(r, entry, name) : rc;
	}
	if (hot) {
		rc = sealed ? trash_dir(r->writer->dir, "parts", name, r->err) : 0;
		if (rc == 0)
			rc = load_hot(r, entry->hour, entry->gen);
		if (rc == 0)
			rc = catalog_part_del(r->txn, entry->hour, entry->gen, r->err);
		return rc < 0 ? rc : 0;
	}
	rc = catalog_part_del(r->txn, entry->hour, entry->gen, r->err);
	if (rc < 0)
		return rc;
	log_warn("partition is gone part=%s sealed=%d", name, entry->state == PART_SEALED);
	return sealed ? adopt_sealed(r, name) : 0;
}

static int recover_hot_dir(const char *name, void *arg)
{
	const struct recover *r = arg;
	struct part_entry entry;
	uint64_t hour;
	uint32_t gen;
	int rc;

	if (!part_name_parse(name, &hour, &gen))
		return 0;
	rc = catalog_part_get(r->txn, hour, gen, &entry, r->err);
	if (rc != 0)	/* known: done already */
		return rc < 0 ? rc : 0;
	rc = exists(r, "hot", name, r->err);
	if (rc == 0)	/* died making it */
		return trash_dir(r->writer->dir, "hot", name, r->err);
	return rc < 0 ? rc : load_hot(r, hour, gen);
}

static int recover_part_dir(const char *name, void *arg)
{
	const struct recover *r = arg;
	struct part_entry entry;
	uint64_t hour;
	uint32_t gen;
	int rc;

	if (!part_name_parse(name, &hour, &gen))
		return 0;
	rc = catalog_part_get(r->txn, hour, gen, &entry, r->err);
	return rc ? (rc < 0 ? rc : 0) : adopt_sealed(r, name);
}

static int recover_entries(const struct recover *r)
{
	struct part_entry *entries;
	struct arena arena;
	size_t count;
	int rc;

	arena_init(&arena, 0);
	rc = catalog_parts(r->txn, &arena, &entries, &count, r->err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		rc = recover_entry(r, &entries[i]);
		if (part_entry_newest(&entries[i]) > r->writer->newest_ns)
			r->writer->newest_ns = part_entry_newest(&entries[i]);
	}
	arena_release(&arena);
	return rc;
}

static int empty_dir(const struct store_writer *writer, const char *name, struct err *err)
{
	char path[STORE_PATH_MAX];
	int rc = files_path(path, err, writer->dir, name, NULL);

	if (rc == 0)
		rc = files_remove_tree(path, err);
	return rc == 0 ? files_mkdir(path, writer->group_gid, err) : rc;
}

int recover_store(struct store_writer *writer, struct err *err)
{
	struct recover r = { .writer = writer, .err = err };
	char path[STORE_PATH_MAX];
	int rc;

	/* First the transaction: the command line's retention keeps things in trash/ under its own. */
	rc = kv_txn_begin(writer->catalog, true, &r.txn, err);
	if (rc < 0)
		return rc;
	rc = empty_dir(writer, "trash", err);
	if (rc == 0)
		rc = empty_dir(writer, "tmp", err);	/* half-sealed partitions */
	if (rc == 0)
		rc = recover_entries(&r);
	if (rc == 0)
		rc = files_path(path, err, writer->dir, "hot", NULL);
	if (rc == 0)
		rc = files_each(path, recover_hot_dir, &r, err);
	if (rc == 0)
		rc = files_path(path, err, writer->dir, "parts", NULL);
	if (rc == 0)
		rc = files_each(path, recover_part_dir, &r, err);
	if (rc == 0)
		return kv_txn_commit(r.txn, err);
	kv_txn_abort(r.txn);
	return rc;
}
