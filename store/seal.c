#include "store/seal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/catalog.h"
#include "store/manifest.h"
#include "store/pins.h"
#include "store/writer.h"

/* Every table, then the packets. */
static int fill(struct seal *seal, struct err *err)
{
	int rc = 0;

	for (int t = 1; t <= TABLE_MAX && rc == 0; t++)
		if (t != TABLE_PACKETS)
			rc = seal_rows(seal, (enum table_id)t, err);
	return rc == 0 ? seal_packets(seal, err) : rc;
}

/* The payload classes of the policy as it is now. */
static int read_classes(struct seal *seal, struct err *err)
{
	struct store_policy policy;
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(seal->opts->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_policy_get(txn, &policy, err);
	kv_txn_abort(txn);
	if (rc == 0 && payload_classes_new(&policy, &seal->classes) < 0)
		rc = err_set(err, E_NO_MEMORY, "out of memory");
	return rc;
}

int seal_begin(struct seal *seal, struct err *err)
{
	struct kv_opts opts = { .mode = KV_SEAL, .dbs = part_dbs, .must_know = PART_MUST_KNOW,
				.level = seal->opts->zstd_level, .group_gid = seal->opts->group_gid };
	int rc = files_remove_tree(seal->path, err);

	seal->entry.state = PART_SEALED;
	if (rc == 0)
		rc = files_mkdir(seal->path, seal->opts->group_gid, err);
	if (rc == 0)
		rc = read_classes(seal, err);
	return rc == 0 ? kv_open(seal->path, &opts, &seal->batch.kv, err) : rc;
}

static void close_batch(struct seal *seal)
{
	kv_batch_abort(&seal->batch);
	kv_close(seal->batch.kv);
	seal->batch.kv = NULL;
	payload_classes_free(seal->classes);
	seal->classes = NULL;
}

static int put_entry(struct seal *seal, struct err *err)
{
	struct wr wr;
	int rc;

	wr_init(&wr, 0);
	part_entry_write(&seal->entry, &wr);
	rc = wr.bad ? err_set(err, E_NO_MEMORY, "out of memory")
		    : kv_batch_put(&seal->batch, PART_META, KV_PUT, VIEW_LIT("entry"), wr_view(&wr), err);
	wr_release(&wr);
	return rc == 0 ? kv_seal(seal->batch.kv, err) : rc;
}

int seal_end(struct seal *seal, struct err *err)
{
	struct manifest_hashes hashes = { 0 };
	char path[STORE_PATH_MAX];
	int rc = put_entry(seal, err);

	close_batch(seal);
	if (rc == 0)
		rc = files_path(path, err, seal->path, KV_SEALED_FILE, NULL);
	if (rc == 0)
		rc = files_sync(path, err);
	if (rc == 0)
		rc = files_size(path, &seal->entry.data_bytes, err) < 0 ? E_IO : 0;
	if (rc == 0)
		rc = manifest_hash(seal->path, KV_SEALED_FILE, &hashes.data, err);
	for (unsigned s = 0; s < seal->entry.segs_count && rc == 0; s++)
		if (seal->known)
			hashes.packets[s] = seal->known->packets[s];
		else if (seal->entry.segs[s].bytes)
			rc = manifest_hash(seal->path, part_seg_file(s), &hashes.packets[s], err);
	if (rc == 0)
		rc = manifest_write(seal->path, &seal->entry, &hashes, seal->opts->group_gid, err);
	return rc == 0 ? files_sync_dir(seal->path, err) : rc;
}

void seal_abort(struct seal *seal)
{
	close_batch(seal);
	(void)files_remove_tree(seal->path, NULL);
}

int seal_publish(struct seal *seal, struct err *err)
{
	char parts[STORE_PATH_MAX], path[STORE_PATH_MAX], name[PART_NAME_LEN];
	struct kv_txn *txn = NULL;
	struct store_gap gap = { .from_ns = seal->entry.hour * NS_PER_HOUR, .reason = "damaged" };
	int rc;

	part_name(seal->entry.hour, seal->entry.gen, name);
	rc = files_path(parts, err, seal->opts->dir, "parts", NULL);
	if (rc == 0)
		rc = files_path(path, err, parts, name, NULL);
	if (rc == 0)
		rc = files_remove_tree(path, err);	/* of an attempt that failed behind the rename */
	if (rc == 0 && rename(seal->path, path) < 0)
		rc = err_errno(err, errno, "%s: rename to %s", seal->path, path);
	if (rc == 0)
		rc = files_sync_dir(parts, err);
	if (rc == 0)
		rc = kv_txn_begin(seal->opts->catalog, true, &txn, err);
	if (rc < 0)
		return rc;
	rc = catalog_part_put(txn, &seal->entry, err);
	gap.to_ns = gap.from_ns > UINT64_MAX - NS_PER_HOUR ? UINT64_MAX : gap.from_ns + NS_PER_HOUR;
	if (rc == 0 && seal->damaged)
		rc = catalog_gap_add(txn, &gap, err);
	if (rc == 0)
		rc = pins_link(seal->opts->dir, txn, &seal->entry, err);
	if (rc < 0) {
		kv_txn_abort(txn);
		return rc;
	}
	return kv_txn_commit(txn, err);
}

/* Nothing was ever committed to it: it just goes. */
static int drop_empty(const struct seal_opts *opts, struct hot *hot, struct err *err)
{
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(opts->catalog, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_part_del(txn, hot->entry.hour, hot->entry.gen, err);
	if (rc >= 0)
		return kv_txn_commit(txn, err);
	kv_txn_abort(txn);
	return rc;
}

static int seal_full(const struct seal_opts *opts, struct hot *hot, const char *name, struct err *err)
{
	struct seal seal = { .opts = opts, .from = hot->entry, .from_path = hot->path };
	char path[STORE_PATH_MAX];
	int rc;

	seal.path = path;
	part_entry_init(&seal.entry, hot->entry.hour, hot->entry.gen, hot->entry.serial);
	rc = files_path(path, err, opts->dir, "tmp", name);
	if (rc == 0)
		rc = hot_open(hot, err);
	if (rc == 0)
		rc = kv_txn_begin(hot->kv, false, &seal.txn, err);
	if (rc < 0)
		return rc;
	rc = seal_begin(&seal, err);
	if (rc == 0)
		rc = fill(&seal, err);
	if (rc == 0)
		rc = seal_end(&seal, err);
	kv_txn_abort(seal.txn);
	if (rc == 0)
		rc = seal_publish(&seal, err);
	if (rc < 0)
		seal_abort(&seal);
	if (seal.damaged)
		log_warn("damaged row groups or blocks were left out part=%s count=%llu", name,
			 (unsigned long long)seal.damaged);
	return rc;
}

int seal_part(const struct seal_opts *opts, struct hot *hot, struct err *err)
{
	char name[PART_NAME_LEN];
	int rc;

	part_name(hot->entry.hour, hot->entry.gen, name);
	if (part_entry_start_min(&hot->entry) == UINT64_MAX && part_entry_end_max(&hot->entry) == 0)
		rc = drop_empty(opts, hot, err);
	else
		rc = seal_full(opts, hot, name, err);
	hot_close(hot);
	if (rc < 0) {
		(void)err_prefix(err, "seal %s", name);
		return rc;
	}
	/* It is sealed. What stays behind here is removed at the next start. */
	if (trash_dir(opts->dir, "hot", name, NULL) < 0)
		log_warn("sealed partition's hot directory was not removed part=%s", name);
	return 0;
}
