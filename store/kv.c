#include "store/kv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/fault.h"
#include "store/kv_verify.h"
#include "store/seg.h"

#define KV_PATH_MAX 1024
#define KV_READERS_MAX 512
#define KV_FREE_BLOCKS_MIN 64
#define KV_DATA_PERMS 0640	/* the group reads */
#define KV_LOCK_PERMS 0660	/* and takes a reader's slot, which is a write to lock.mdb */

struct kv {
	MDB_env *env;		/* NULL: one of these */
	struct seg *seg;
	struct seg_build *build;
	MDB_dbi dbi[KV_DBS_MAX];
	uint64_t salt[KV_DBS_MAX];	/* of its entries' sums; 0: they have none */
	unsigned dbs;
	dev_t dev;		/* of data.mdb: what makes it the same environment */
	ino_t ino;
	pid_t pid;		/* who opened it: LMDB forbids to use what a fork brought along */
	enum kv_mode mode;
	bool read_only;		/* no file descriptor to write with */
	unsigned refs;		/* guarded by kv_mutex */
	atomic_int txns;	/* open transactions; -1 while the map changes */
	struct kv *next;	/* guarded by kv_mutex */
	char dir[];
};

struct kv_txn {
	struct kv *kv;
	MDB_txn *txn;
	bool write;
};

struct kv_cursor {
	struct kv_txn *txn;
	MDB_cursor *cursor;
	struct seg_place place;	/* in a sealed file */
};

/*
 * Process-wide, against the house rule that mutable state hangs off main: LMDB's
 * own rule is per process. Closing one of two handles on an environment drops the
 * fcntl locks and reader slots of the other.
 */
static pthread_mutex_t kv_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kv *kv_list;	/* guarded by kv_mutex */
static _Atomic uint64_t kv_faults_told;

static int kv_fail(struct err *err, const struct kv *kv, int rc, const char *what)
{
	struct statvfs fs;

	switch (rc) {
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return err_set(err, E_LIMIT, "%s: %s: %s", kv->dir, what, mdb_strerror(rc));
	case MDB_KEYEXIST:
		return err_set(err, E_EXISTS, "%s: %s: the key exists or is out of order", kv->dir, what);
	case MDB_READERS_FULL:
		return err_set(err, E_BUSY, "%s: %s: all %d reader slots are taken", kv->dir, what, KV_READERS_MAX);
	case MDB_NOTFOUND:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_TXN:	/* after one of those */
		return err_set(err, E_CORRUPT, "%s: %s: %s", kv->dir, what, mdb_strerror(rc));
	case MDB_PANIC:
		return err_set(err, E_IO, "%s: %s: an earlier write failed for good", kv->dir, what);
	default:
		break;
	}
	/* LMDB 0.9.24 takes a write that a full disk cut short for an input/output error. */
	if (rc == EIO && statvfs(kv->dir, &fs) == 0 && fs.f_bavail < KV_FREE_BLOCKS_MIN)
		rc = ENOSPC;
	if (rc > 0)
		return err_errno(err, rc, "%s: %s", kv->dir, what);
	return err_set(err, E_INTERNAL, "%s: %s: %s", kv->dir, what, mdb_strerror(rc));
}

static MDB_val kv_val(struct view v)
{
	return (MDB_val){ v.len, (void *)v.at };
}

static struct view kv_view(MDB_val v)
{
	return view_make(v.mv_data, v.mv_size);
}

/* ------------------------------------------------------------ environments */

/* The database of that name and its salt, or the one an older version made. */
static int kv_open_db(struct kv *kv, MDB_txn *txn, const char *name, bool create, unsigned db)
{
	struct view named = view_str(name);
	bool summed = named.at[named.len - 1] == KV_SUMMED;
	int rc = mdb_dbi_open(txn, name, 0, &kv->dbi[db]);

	kv->salt[db] = summed ? kv_salt(named) : 0;
	if (rc == MDB_NOTFOUND && summed) {
		char plain[KV_NAME_MAX];

		(void)snprintf(plain, sizeof(plain), "%.*s", (int)named.len - 1, name);
		rc = mdb_dbi_open(txn, plain, 0, &kv->dbi[db]);
		if (rc == 0)
			kv->salt[db] = 0;
	}
	return rc == MDB_NOTFOUND && create ? mdb_dbi_open(txn, name, MDB_CREATE, &kv->dbi[db]) : rc;
}

/* Databases whose names we do not know: a flipped bit has renamed one, and nothing may be made in its place. */
static bool kv_has_others(MDB_txn *txn, unsigned found)
{
	MDB_stat stat;
	MDB_dbi names;

	return mdb_dbi_open(txn, NULL, 0, &names) == 0 && mdb_stat(txn, names, &stat) == 0 && stat.ms_entries > found;
}

static int kv_open_dbs_in(struct kv *kv, const char *const *names, bool create)
{
	unsigned missing = 0;
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(kv->env, NULL, create ? 0 : MDB_RDONLY, &txn);

	for (int pass = 0; pass < 1 + create && rc == 0; pass++) {
		for (kv->dbs = 0; names[kv->dbs] && rc == 0; kv->dbs++) {
			assert(kv->dbs < KV_DBS_MAX);
			rc = kv_open_db(kv, txn, names[kv->dbs], pass, kv->dbs);
			missing += !pass && rc == MDB_NOTFOUND;
			if (create && !pass && rc == MDB_NOTFOUND)
				rc = 0;
		}
		if (rc == 0 && create && !pass && kv_has_others(txn, kv->dbs - missing))
			rc = MDB_INCOMPATIBLE;
	}
	if (rc == 0)
		return mdb_txn_commit(txn);	/* also a reading one: an abort would close the handles again */
	if (txn)
		mdb_txn_abort(txn);
	return rc;
}

/* A write transaction only where a database is missing: it may have to wait for other processes. */
static int kv_open_dbs(struct kv *kv, const char *const *names, struct err *err)
{
	bool create = kv->mode == KV_WRITE || kv->mode == KV_BUILD;
	int rc = kv_open_dbs_in(kv, names, false);

	if (rc == MDB_NOTFOUND && create)
		rc = kv_open_dbs_in(kv, names, true);
	return rc ? kv_fail(err, kv, rc, "open databases") : 0;
}

/* Permissions do not follow the umask of whoever happened to start the recorder. */
static int kv_give(const struct kv *kv, int group_gid, struct err *err)
{
	static const struct {
		const char *name;
		mode_t perms;
	} files[] = { { KV_DATA_FILE, KV_DATA_PERMS }, { "lock.mdb", KV_LOCK_PERMS } };
	char path[KV_PATH_MAX];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", kv->dir, files[i].name);
		if (access(path, F_OK) < 0)
			continue;	/* an environment being built has no lock file */
		if (group_gid >= 0 && chown(path, (uid_t)-1, (gid_t)group_gid) < 0)
			return err_errno(err, errno, "%s: give to group %d", path, group_gid);
		if (chmod(path, files[i].perms) < 0)
			return err_errno(err, errno, "%s: chmod", path);
	}
	return 0;
}

static int kv_check_file(const struct kv *kv, const struct kv_opts *opts, const struct stat *st, struct err *err)
{
	char path[KV_PATH_MAX];

	if (opts->mode == KV_SEALED && (size_t)st->st_size != opts->map_bytes)
		return err_set(err, E_CORRUPT, "%s/" KV_DATA_FILE ": %lld bytes, and it should have %zu", kv->dir,
			       (long long)st->st_size, opts->map_bytes);
	if (st->st_size == 0)
		return err_set(err, E_NOT_FOUND, "%s/" KV_DATA_FILE ": is empty", kv->dir);
	(void)snprintf(path, sizeof(path), "%s/%s", kv->dir, KV_DATA_FILE);
	return kv_verify_head(path, err);
}

/* Before LMDB goes where a damaged tree leads it. */
static int kv_check_tree(struct kv *kv, struct err *err)
{
	char path[KV_PATH_MAX];
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return kv_fail(err, kv, rc, "first transaction");
	(void)snprintf(path, sizeof(path), "%s/%s", kv->dir, KV_DATA_FILE);
	rc = kv_verify_tree(path, mdb_txn_id(txn), err);
	mdb_txn_abort(txn);
	return rc;
}

static int kv_env_open(struct kv *kv, const struct kv_opts *opts, struct err *err)
{
	unsigned flags = MDB_NOTLS;
	char path[KV_PATH_MAX];
	int rc;

	(void)snprintf(path, sizeof(path), "%s/%s", kv->dir, KV_DATA_FILE);
	/*
	 * A reader that may write opens for writing too (and never does), so that a
	 * writer in the same process can share the environment.
	 */
	kv->read_only = opts->mode == KV_SEALED || (opts->mode == KV_READ && access(path, W_OK) < 0);
	if (kv->read_only)
		flags |= MDB_RDONLY;
	if (opts->mode == KV_SEALED)
		flags |= MDB_NOLOCK | MDB_NORDAHEAD;
	if (opts->mode == KV_BUILD)
		flags |= MDB_NOLOCK;
	rc = mdb_env_create(&kv->env);
	if (rc)
		return kv_fail(err, kv, rc, "create environment");
	rc = mdb_env_set_maxdbs(kv->env, KV_DBS_MAX);
	if (!rc)
		rc = mdb_env_set_maxreaders(kv->env, KV_READERS_MAX);
	if (!rc && opts->mode != KV_READ)	/* a reader takes the size that the writer stored */
		rc = mdb_env_set_mapsize(kv->env, opts->map_bytes);
	if (!rc)
		rc = mdb_env_open(kv->env, kv->dir, flags, KV_LOCK_PERMS);
	if (rc == EACCES && opts->mode == KV_READ)
		/* No fallback to MDB_NOLOCK: without a slot in lock.mdb the writer reuses pages under us. */
		return err_set(err, E_PERMISSION,
			       "%s: reading needs read access to data.mdb and write access to lock.mdb"
			       " (be in the group of the data directory)", kv->dir);
	if (rc)
		return kv_fail(err, kv, rc, "open");
	return 0;
}

static struct kv *kv_find(const struct stat *st)
{
	for (struct kv *kv = kv_list; kv; kv = kv->next)
		if (kv->dev == st->st_dev && kv->ino == st->st_ino && kv->pid == getpid())
			return kv;
	return NULL;
}

static void kv_free(struct kv *kv)
{
	if (!kv)
		return;
	if (kv->env)
		mdb_env_close(kv->env);
	seg_close(kv->seg);
	seg_build_free(kv->build);
	mem_free(kv);
}

static int kv_open_seg(struct kv *kv, const char *path, const struct kv_opts *opts, struct err *err)
{
	uint32_t own_sums = 0;
	int rc;

	for (; opts->dbs[kv->dbs]; kv->dbs++)
		own_sums |= (uint32_t)(opts->dbs[kv->dbs][strlen(opts->dbs[kv->dbs]) - 1] != KV_SUMMED) << kv->dbs;
	assert(kv->dbs <= KV_DBS_MAX);
	kv->read_only = true;
	if (opts->mode == KV_SEALED)
		return seg_open(path, opts->map_bytes, &kv->seg, err);
	rc = seg_build_new(path, kv->dbs, own_sums, &kv->build, err);
	if (rc == 0) {
		seg_build_level(kv->build, opts->level);
		seg_build_must_know(kv->build, opts->must_know);
	}
	if (rc == 0 && opts->group_gid >= 0 && chown(path, (uid_t)-1, (gid_t)opts->group_gid) < 0)
		rc = err_errno(err, errno, "%s: give to group %d", path, opts->group_gid);
	if (rc == 0 && chmod(path, KV_DATA_PERMS) < 0)
		rc = err_errno(err, errno, "%s: chmod", path);
	return rc;
}

static int kv_open_env(struct kv *kv, const struct kv_opts *opts, bool exists, struct stat *st, struct err *err)
{
	int rc = exists ? kv_check_file(kv, opts, st, err) : 0;

	if (rc == 0)
		rc = kv_env_open(kv, opts, err);
	if (rc == 0 && exists)
		rc = kv_check_tree(kv, err);
	if (rc < 0)
		return rc;
	if (opts->mode == KV_WRITE || opts->mode == KV_BUILD)
		rc = kv_give(kv, opts->group_gid, err);
	return rc == 0 ? kv_open_dbs(kv, opts->dbs, err) : rc;
}

/* path: of its file. */
static int kv_open_new(const char *dir, const char *path, const struct kv_opts *opts, bool exists, struct stat *st,
		       struct kv **ret_kv, struct err *err)
{
	bool seg = strcmp(path + strlen(dir) + 1, KV_SEALED_FILE) == 0;
	size_t len = strlen(dir);
	struct kv *kv;
	int rc;

	if (len + 16 > KV_PATH_MAX)
		return err_set(err, E_LIMIT, "%.100s...: the path is longer than %d bytes", dir, KV_PATH_MAX - 16);
	kv = mem_zalloc(sizeof(*kv) + len + 1);
	if (!kv)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", dir);
	memcpy(kv->dir, dir, len + 1);
	kv->mode = opts->mode;
	kv->pid = getpid();
	rc = seg ? kv_open_seg(kv, path, opts, err) : kv_open_env(kv, opts, exists, st, err);
	if (rc < 0)
		goto out;
	if (!exists && stat(path, st) < 0) {
		rc = err_errno(err, errno, "%s", path);
		goto out;
	}
	kv->dev = st->st_dev;
	kv->ino = st->st_ino;
	*ret_kv = kv;
	kv = NULL;
out:
	kv_free(kv);
	return rc;
}

const char *kv_sealed_file(const char *dir)
{
	char path[KV_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, KV_DATA_FILE);
	return access(path, F_OK) == 0 ? KV_DATA_FILE : KV_SEALED_FILE;
}

void kv_announce(const char *dir)
{
	char path[KV_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, KV_SEALED_FILE);
	seg_announce(path);
}

int kv_open(const char *dir, const struct kv_opts *opts, struct kv **ret_kv, struct err *err)
{
	bool create = opts->mode == KV_WRITE || opts->mode == KV_BUILD || opts->mode == KV_SEAL;
	const char *file = opts->mode == KV_SEAL ? KV_SEALED_FILE : opts->mode == KV_SEALED ? kv_sealed_file(dir)
											    : KV_DATA_FILE;
	char path[KV_PATH_MAX];
	struct stat st;
	struct kv *kv;
	bool exists;
	int rc = 0;

	fault_install();
	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	(void)pthread_mutex_lock(&kv_mutex);
	exists = stat(path, &st) == 0;
	if (!exists && (errno != ENOENT || !create)) {
		rc = err_errno(err, errno, "%s", path);
		goto out;
	}
	kv = exists ? kv_find(&st) : NULL;
	if (kv && opts->mode == KV_WRITE && kv->read_only) {
		rc = err_set(err, E_PERMISSION, "%s: is open read-only in this process", dir);
		goto out;
	}
	if (!kv) {
		/*
		 * A new one is made without the lock, for its first transaction takes LMDB's write
		 * lock. Nobody else makes it at the same time: writers exclude each other.
		 */
		if (!exists)
			(void)pthread_mutex_unlock(&kv_mutex);
		rc = kv_open_new(dir, path, opts, exists, &st, &kv, err);
		if (!exists)
			(void)pthread_mutex_lock(&kv_mutex);
		if (rc < 0)
			goto out;
		kv->next = kv_list;
		kv_list = kv;
	}
	kv->refs++;
	*ret_kv = kv;
out:
	(void)pthread_mutex_unlock(&kv_mutex);
	return rc;
}

void kv_close(struct kv *kv)
{
	if (!kv)
		return;
	(void)pthread_mutex_lock(&kv_mutex);
	assert(kv->refs > 0);
	if (--kv->refs == 0) {
		assert(atomic_load(&kv->txns) == 0);
		for (struct kv **at = &kv_list; *at; at = &(*at)->next) {
			if (*at == kv) {
				*at = kv->next;
				break;
			}
		}
		kv_free(kv);	/* under the lock: the next open of this file must see its locks gone */
	}
	(void)pthread_mutex_unlock(&kv_mutex);
}

size_t kv_used_bytes(struct kv *kv)
{
	MDB_envinfo info;
	MDB_stat stat;

	if (!kv->env)
		return kv->build ? seg_build_bytes(kv->build) : seg_bytes(kv->seg);
	(void)mdb_env_info(kv->env, &info);
	(void)mdb_env_stat(kv->env, &stat);
	return (info.me_last_pgno + 1) * stat.ms_psize;
}

int kv_seal(struct kv *kv, struct err *err)
{
	assert(kv->build);
	return seg_build_end(kv->build, err);
}

int kv_verify(struct kv *kv, struct err *err)
{
	struct err why = { 0 };
	int rc;

	if (!kv->seg)
		return kv_check_tree(kv, err);
	rc = seg_verify(kv->seg, &why);
	return rc < 0 ? err_set(err, rc, "%s", why.text) : 0;
}

void kv_reap_readers(struct kv *kv)
{
	int dead;

	(void)mdb_reader_check(kv->env, &dead);
}

/*
 * No lock is held over a transaction: LMDB's own write lock would have to be
 * ordered with it. A change of the map is so rare that begin may spin for it.
 */
static void kv_txn_in(struct kv *kv)
{
	int seen = atomic_load(&kv->txns);

	for (;;) {
		if (seen < 0) {
			(void)sched_yield();
			seen = atomic_load(&kv->txns);
		} else if (atomic_compare_exchange_weak(&kv->txns, &seen, seen + 1)) {
			return;
		}
	}
}

static void kv_txn_out(struct kv *kv)
{
	int before = atomic_fetch_sub(&kv->txns, 1);

	assert(before > 0);
}

static int kv_remap(struct kv *kv, size_t bytes, struct err *err)
{
	int none = 0, rc;

	if (!atomic_compare_exchange_strong(&kv->txns, &none, -1))
		return err_set(err, E_BUSY, "%s: the map cannot change under %d transactions", kv->dir, none);
	rc = mdb_env_set_mapsize(kv->env, bytes);
	atomic_store(&kv->txns, 0);
	return rc ? err_set(err, E_LIMIT, "%s: map of %zu bytes refused: %s", kv->dir, bytes, mdb_strerror(rc)) : 0;
}

int kv_grow(struct kv *kv, struct err *err)
{
	MDB_envinfo info;

	(void)mdb_env_info(kv->env, &info);
	return kv_remap(kv, info.me_mapsize * 2, err);
}

/* ------------------------------------------------------------ transactions */

int kv_txn_begin(struct kv *kv, bool write, struct kv_txn **ret_txn, struct err *err)
{
	struct kv_txn *txn;
	int rc;

	if (write && kv->read_only)
		return err_set(err, E_PERMISSION, "%s: may only be read", kv->dir);
	txn = mem_zalloc(sizeof(*txn));
	if (!txn)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", kv->dir);
	txn->kv = kv;
	txn->write = write;
	kv_txn_in(kv);
	if (kv->seg) {
		*ret_txn = txn;
		return 0;
	}
	rc = mdb_txn_begin(kv->env, NULL, write ? 0 : MDB_RDONLY, &txn->txn);
	if (rc == MDB_MAP_RESIZED) {	/* another process made it larger */
		int failed;

		kv_txn_out(kv);
		failed = kv_remap(kv, 0, err);
		if (failed < 0) {
			mem_free(txn);
			return failed;
		}
		kv_txn_in(kv);
		rc = mdb_txn_begin(kv->env, NULL, write ? 0 : MDB_RDONLY, &txn->txn);
	}
	if (rc) {
		kv_txn_out(kv);
		mem_free(txn);
		return kv_fail(err, kv, rc, write ? "begin to write" : "begin to read");
	}
	*ret_txn = txn;
	return 0;
}

int kv_txn_commit(struct kv_txn *txn, struct err *err)
{
	struct kv *kv = txn->kv;
	int rc = mdb_txn_commit(txn->txn);

	mem_free(txn);
	kv_txn_out(kv);
	return rc ? kv_fail(err, kv, rc, "commit") : 0;
}

/* What a reader met is told when it is done: a handler cannot. */
static void tell_faults(const struct kv *kv)
{
	uint64_t pages = fault_pages(), told = atomic_exchange(&kv_faults_told, pages);

	if (pages != told)
		log_warn("the disk did not give pages of a mapped file, what lay there counts as damaged pages=%llu near=\"%s\"",
			 (unsigned long long)(pages - told), kv->dir);
}

void kv_txn_abort(struct kv_txn *txn)
{
	if (!txn)
		return;
	tell_faults(txn->kv);
	if (txn->txn)
		mdb_txn_abort(txn->txn);
	kv_txn_out(txn->kv);
	mem_free(txn);
}

int kv_txn_renew(struct kv_txn *txn, struct err *err)
{
	int rc;

	assert(!txn->write);
	if (txn->kv->seg)
		return 0;
	mdb_txn_reset(txn->txn);
	rc = mdb_txn_renew(txn->txn);
	return rc ? kv_fail(err, txn->kv, rc, "renew") : 0;
}

/* ------------------------------------------------------------------ values */

/* Take the sum off a value. */
static int kv_unsum(const struct kv *kv, unsigned db, struct view key, struct view *value, struct err *err)
{
	return !kv->salt[db] || kv_sum_check(kv->salt[db], key, value) ? 0 :
		err_set(err, E_CORRUPT, "%s: an entry of %zu bytes is not what was written", kv->dir, value->len);
}

int kv_get(struct kv_txn *txn, unsigned db, struct view key, struct view *ret_value, struct err *err)
{
	MDB_val k = kv_val(key), v;
	int rc;

	assert(db < txn->kv->dbs && key.len && key.len <= KV_KEY_MAX);
	if (txn->kv->seg)
		return seg_get(txn->kv->seg, db, key, ret_value, err);
	rc = mdb_get(txn->txn, txn->kv->dbi[db], &k, &v);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return kv_fail(err, txn->kv, rc, "get");
	*ret_value = kv_view(v);
	rc = kv_unsum(txn->kv, db, key, ret_value, err);
	return rc < 0 ? rc : 1;
}

int kv_put(struct kv_txn *txn, unsigned db, enum kv_put how, struct view key, struct view value, struct err *err)
{
	unsigned flags = how == KV_PUT_NEW ? MDB_NOOVERWRITE : how == KV_PUT_APPEND ? MDB_APPEND : 0;
	uint64_t salt = txn->kv->salt[db];
	MDB_val k = kv_val(key), v = kv_val(value);
	int rc;

	assert(db < txn->kv->dbs && key.len && key.len <= KV_KEY_MAX);
	if (salt) {
		v.mv_size += KV_SUM_BYTES;
		flags |= MDB_RESERVE;
	}
	rc = mdb_put(txn->txn, txn->kv->dbi[db], &k, &v, flags);
	if (rc == 0 && salt)
		kv_sum_write(salt, key, value, v.mv_data);
	return rc ? kv_fail(err, txn->kv, rc, "put") : 0;
}

int kv_del(struct kv_txn *txn, unsigned db, struct view key, struct err *err)
{
	MDB_val k = kv_val(key);
	int rc;

	assert(db < txn->kv->dbs && key.len && key.len <= KV_KEY_MAX);
	rc = mdb_del(txn->txn, txn->kv->dbi[db], &k, NULL);
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc ? kv_fail(err, txn->kv, rc, "delete") : 1;
}

int kv_batch_put(struct kv_batch *batch, unsigned db, enum kv_put how, struct view key, struct view value,
		 struct err *err)
{
	int rc = 0;

	if (batch->kv->build)
		return seg_build_put(batch->kv->build, db, how == KV_PUT_APPEND, key, value, err);
	if (batch->bytes + value.len > KV_TXN_BYTES_MAX)
		rc = kv_batch_commit(batch, err);
	if (rc == 0 && !batch->txn)
		rc = kv_txn_begin(batch->kv, true, &batch->txn, err);
	if (rc == 0)
		rc = kv_put(batch->txn, db, how, key, value, err);
	batch->bytes += key.len + value.len;
	return rc;
}

int kv_batch_commit(struct kv_batch *batch, struct err *err)
{
	struct kv_txn *txn = batch->txn;

	batch->txn = NULL;
	batch->bytes = 0;
	return txn ? kv_txn_commit(txn, err) : 0;
}

void kv_batch_abort(struct kv_batch *batch)
{
	kv_txn_abort(batch->txn);
	batch->txn = NULL;
}

int kv_cursor_open(struct kv_txn *txn, unsigned db, struct kv_cursor **ret_cursor, struct err *err)
{
	struct kv_cursor *cursor = mem_zalloc(sizeof(*cursor));
	int rc;

	assert(db < txn->kv->dbs);
	if (!cursor)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", txn->kv->dir);
	cursor->txn = txn;
	cursor->place.db = db;
	if (txn->kv->seg) {
		*ret_cursor = cursor;
		return 0;
	}
	rc = mdb_cursor_open(txn->txn, txn->kv->dbi[db], &cursor->cursor);
	if (rc) {
		mem_free(cursor);
		return kv_fail(err, txn->kv, rc, "open cursor");
	}
	*ret_cursor = cursor;
	return 0;
}

void kv_cursor_close(struct kv_cursor *cursor)
{
	if (!cursor)
		return;
	if (cursor->cursor)
		mdb_cursor_close(cursor->cursor);
	mem_free(cursor);
}

static int kv_cursor_op(struct kv_cursor *cursor, MDB_cursor_op op, struct view key, struct view *ret_key,
			struct view *ret_value, struct err *err)
{
	MDB_val k = kv_val(key), v = { 0 };
	int rc = mdb_cursor_get(cursor->cursor, &k, &v, op);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return kv_fail(err, cursor->txn->kv, rc, "read cursor");
	*ret_key = kv_view(k);
	*ret_value = kv_view(v);
	rc = kv_unsum(cursor->txn->kv, cursor->place.db, *ret_key, ret_value, err);
	return rc < 0 ? rc : 1;
}

int kv_cursor_seek(struct kv_cursor *cursor, struct view key, struct view *ret_key, struct view *ret_value,
		   struct err *err)
{
	assert(key.len && key.len <= KV_KEY_MAX);
	if (cursor->txn->kv->seg)
		return seg_seek(cursor->txn->kv->seg, &cursor->place, key, ret_key, ret_value, err);
	return kv_cursor_op(cursor, MDB_SET_RANGE, key, ret_key, ret_value, err);
}

int kv_cursor_next(struct kv_cursor *cursor, struct view *ret_key, struct view *ret_value, struct err *err)
{
	if (cursor->txn->kv->seg)
		return seg_next(cursor->txn->kv->seg, &cursor->place, ret_key, ret_value, err);
	return kv_cursor_op(cursor, MDB_NEXT, view_make(NULL, 0), ret_key, ret_value, err);
}

int kv_cursor_below(struct kv_cursor *cursor, struct view key, struct view *ret_key, struct view *ret_value,
		    struct err *err)
{
	struct view at_key, at_value;
	int rc;

	if (cursor->txn->kv->seg)
		return seg_below(cursor->txn->kv->seg, &cursor->place, key, ret_key, ret_value, err);
	rc = kv_cursor_seek(cursor, key, &at_key, &at_value, err);

	if (rc < 0)
		return rc;
	return kv_cursor_op(cursor, rc ? MDB_PREV : MDB_LAST, view_make(NULL, 0), ret_key, ret_value, err);
}
