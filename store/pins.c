/*
 * Pins: a name, a range of time, and hard links to the sealed partitions of the
 * range in snap/<name>/. Retention leaves a partition alone that any pin's range
 * overlaps; the links also survive a hand that removes the originals.
 */
#include "store/pins.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/reader.h"
#include "store/writer.h"

bool pins_hold(const struct part_entry *entry, const struct store_pin *pins, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (part_entry_overlaps(entry, pins[i].from_ns, pins[i].to_ns))
			return true;
	return false;
}

/* The group of the store's directories: a pin made by the command line is readable like the rest. */
static int group_of(const char *dir)
{
	struct stat st;

	return stat(dir, &st) == 0 ? (int)st.st_gid : -1;
}

static int link_part(const char *dir, const char *pin, const struct part_entry *entry, struct err *err)
{
	char snap[STORE_PATH_MAX], to[STORE_PATH_MAX], from[STORE_PATH_MAX], parts[STORE_PATH_MAX];
	char name[PART_NAME_LEN], a[STORE_PATH_MAX], b[STORE_PATH_MAX], above[STORE_PATH_MAX];
	int rc;

	part_name(entry->hour, entry->gen, name);
	rc = files_path(parts, err, dir, "parts", NULL);
	if (rc == 0)
		rc = files_path(from, err, parts, name, NULL);
	if (rc == 0)
		rc = files_path(snap, err, dir, "snap", pin);
	if (rc == 0)
		rc = files_path(to, err, snap, name, NULL);
	if (rc == 0)
		rc = files_mkdir(snap, group_of(dir), err);
	if (rc == 0)
		rc = files_mkdir(to, group_of(dir), err);
	for (size_t i = 0; i < PART_FILES && rc == 0; i++) {
		rc = files_path(a, err, from, part_files[i], NULL);
		if (rc == 0)
			rc = files_path(b, err, to, part_files[i], NULL);
		/* A partition has the segments that it has. */
		if (rc == 0 && link(a, b) < 0 && errno != EEXIST && errno != ENOENT)
			rc = err_errno(err, errno, "%s: link to %s", a, b);
	}
	/* The catalog will say that the links are there: they must outlast a power cut before it does. */
	if (rc == 0)
		rc = files_sync_dir(to, err);
	if (rc == 0)
		rc = files_sync_dir(snap, err);
	if (rc == 0)
		rc = files_path(above, err, dir, "snap", NULL);
	return rc == 0 ? files_sync_dir(above, err) : rc;
}

int pins_link(const char *dir, struct kv_txn *txn, const struct part_entry *entry, struct err *err)
{
	struct store_pin *pins;
	struct arena arena;
	size_t count = 0;
	int rc;

	arena_init(&arena, 0);
	rc = catalog_pins(txn, &arena, &pins, &count, err);
	for (size_t i = 0; i < count && rc == 0; i++)
		if (part_entry_overlaps(entry, pins[i].from_ns, pins[i].to_ns))
			rc = link_part(dir, pins[i].name, entry, err);
	arena_release(&arena);
	return rc;
}

/* One directory name: letters, digits, . _ -, not beginning with a dot. */
static int check_name(const char *name, struct err *err)
{
	size_t len = strlen(name);

	if (len == 0 || len >= sizeof(((struct store_pin *)0)->name) || name[0] == '.' ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != len)
		return err_set(err, E_FORMAT, "pin \"%.80s\": a name is 1 to %zu letters, digits, '.', '_' or '-'", name,
			       sizeof(((struct store_pin *)0)->name) - 1);
	return 0;
}

static int pin_in(const char *dir, struct kv_txn *txn, const struct store_pin *pin, struct err *err)
{
	struct part_entry *entries;
	struct arena arena;
	size_t count = 0, held = 0;
	int rc;

	arena_init(&arena, 0);
	rc = catalog_pin_put(txn, pin, NULL);
	if (rc < 0)
		rc = err_set(err, rc, "pin \"%s\": %s", pin->name, rc == E_EXISTS ? "exists already" : err_text(rc));
	if (rc == 0)
		rc = catalog_parts(txn, &arena, &entries, &count, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (!part_entry_overlaps(&entries[i], pin->from_ns, pin->to_ns))
			continue;
		held++;
		if (entries[i].state == PART_SEALED)	/* a hot one is linked when it is sealed */
			rc = link_part(dir, pin->name, &entries[i], err);
	}
	if (rc == 0 && held == 0)
		rc = err_set(err, E_NOT_FOUND, "pin \"%s\": nothing is held in that range", pin->name);
	arena_release(&arena);
	return rc;
}

int store_pin(const char *dir, const char *name, uint64_t from_ns, uint64_t to_ns, struct err *err)
{
	struct store_pin pin = { .from_ns = from_ns, .to_ns = to_ns };
	struct kv_txn *txn = NULL;
	struct kv *catalog = NULL;
	int rc = check_name(name, err);

	if (rc < 0)
		return rc;
	if (from_ns >= to_ns)
		return err_set(err, E_RANGE, "pin \"%s\": the range ends before it begins", name);
	(void)snprintf(pin.name, sizeof(pin.name), "%s", name);
	rc = catalog_open(dir, false, -1, &catalog, err);
	if (rc < 0)
		return rc;
	/* Under the write transaction, so that no retention and no seal comes between. */
	rc = kv_txn_begin(catalog, true, &txn, err);
	if (rc == 0) {
		rc = pin_in(dir, txn, &pin, err);
		if (rc == 0)
			rc = kv_txn_commit(txn, err);
		else
			kv_txn_abort(txn);
		if (rc < 0 && rc != E_EXISTS)
			(void)trash_dir(dir, "snap", name, NULL);
	}
	kv_close(catalog);
	return rc;
}

int store_unpin(const char *dir, const char *name, struct err *err)
{
	struct kv_txn *txn = NULL;
	struct kv *catalog = NULL;
	int rc = check_name(name, err);

	if (rc == 0)
		rc = catalog_open(dir, false, -1, &catalog, err);
	if (rc < 0)
		return rc;
	rc = kv_txn_begin(catalog, true, &txn, err);
	if (rc == 0) {
		rc = catalog_pin_del(txn, name, err);
		if (rc == 0)
			rc = kv_txn_commit(txn, err);
		else
			kv_txn_abort(txn);
	}
	if (rc == 0)
		rc = trash_dir(dir, "snap", name, err);
	kv_close(catalog);
	return rc;
}

/* ------------------------------------------------------------------ listing */

struct pin_size {
	char dir[STORE_PATH_MAX];
	uint64_t bytes;
	struct err *err;
};

static int add_part_size(const char *name, void *arg)
{
	struct pin_size *size = arg;
	char part[STORE_PATH_MAX], path[STORE_PATH_MAX];
	int rc = files_path(part, size->err, size->dir, name, NULL);

	for (size_t i = 0; i < PART_FILES && rc >= 0; i++) {
		uint64_t bytes = 0;

		rc = files_path(path, size->err, part, part_files[i], NULL);
		if (rc == 0)
			rc = files_size(path, &bytes, size->err);
		size->bytes += bytes;
	}
	return rc < 0 ? rc : 0;
}

int store_pins(struct store *store, struct arena *arena, struct store_pin **ret_pins, size_t *ret_count,
	       struct err *err)
{
	struct pin_size size = { .err = err };
	struct kv_txn *txn = NULL;
	struct store_pin *pins;
	size_t count = 0;
	int rc = kv_txn_begin(store->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_pins(txn, arena, &pins, &count, err);
	kv_txn_abort(txn);
	for (size_t i = 0; i < count && rc == 0; i++) {
		size.bytes = 0;
		rc = files_path(size.dir, err, store->dir, "snap", pins[i].name);
		if (rc == 0)
			rc = files_each(size.dir, add_part_size, &size, err);
		pins[i].bytes = size.bytes;
	}
	if (rc < 0)
		return rc;
	*ret_pins = pins;
	*ret_count = count;
	return 0;
}
