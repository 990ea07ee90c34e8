/*
 * The one door to LMDB: environments with a fixed list of named databases. A sealed
 * partition, which is written once, is a file of our own (store/seg.h) behind the same door.
 *
 * Rules kept here, with the reasons in store/README.md: no WRITEMAP, no NOSYNC,
 * no DUPSORT, no nested transactions; an environment is opened once a process
 * and shared behind this door (its lock file knows processes, not handles).
 * Callers keep the other half: never delete or overwrite a value larger than
 * KV_SMALL_MAX, keep a transaction below KV_TXN_BYTES_MAX.
 */
#ifndef STORE_KV_H
#define STORE_KV_H

#include "base/err.h"
#include "base/view.h"

#define KV_KEY_MAX 511u			/* LMDB's limit on a key */
#define KV_SMALL_MAX 1500u		/* larger values may lie on pages of their own: write once */
#define KV_TXN_BYTES_MAX (48u << 20)	/* dirty pages of a write transaction live in memory */
#define KV_DBS_MAX 12
#define KV_DATA_FILE "data.mdb"
#define KV_SEALED_FILE "data.seg"

struct kv;			/* an environment: any thread */
struct kv_txn;			/* one thread at a time; a writing one stays in its thread */
struct kv_cursor;		/* dies with its transaction: close it before */

enum kv_mode {
	KV_READ,		/* must exist. Reads a live environment of this or another process */
	KV_WRITE,		/* made when missing */
	KV_BUILD,		/* new, in a private directory: no lock file */
	KV_SEAL,		/* new sealed file: only kv_batch_put, kv_batch_commit and at last kv_seal */
	KV_SEALED,		/* never written again: read-only, works on read-only media. Older stores: LMDB, no lock file */
};

struct kv_opts {
	enum kv_mode mode;
	/*
	 * NULL-terminated names; a database is called by its index. Of one whose name ends with '+' every entry gets a
	 * checksum here; values of others have their own. Older environments have its name without the '+', and no sums.
	 */
	const char *const *dbs;
	size_t map_bytes;	/* WRITE, BUILD: the most it can hold. SEALED: its file's size, E_CORRUPT if it is not */
	uint16_t must_know;	/* SEAL: what values ask of their readers: older programs refuse the file (store/seg_format.h) */
	int level;		/* SEAL: of zstd, for a file so small that it is packed whole; 0 = as usual */
	int group_gid;		/* WRITE, SEAL: group of the files; -1 leaves it */
};

/*
 * Open dir/data.mdb. Every kv_open needs its kv_close; the same environment
 * opened twice in a process is the same struct kv. E_NOT_FOUND, E_PERMISSION
 * (READ needs write access to lock.mdb, unless the file system is read-only), E_CORRUPT, E_IO.
 */
int kv_open(const char *dir, const struct kv_opts *opts, struct kv **ret_kv, struct err *err);
void kv_close(struct kv *kv);	/* takes NULL; no transaction may be open */
/* Bytes of the file that are in use. */
size_t kv_used_bytes(struct kv *kv);
/* Write what KV_SEAL still has in memory; nothing may follow but kv_close. Not synced. */
int kv_seal(struct kv *kv, struct err *err);
/* The data file that a sealed partition's directory has: KV_SEALED_FILE, or KV_DATA_FILE of an older store. */
const char *kv_sealed_file(const char *dir);
/* dir will be opened with KV_SEALED soon: begin to read what that will want. */
void kv_announce(const char *dir);
/* Check all that has checksums here: blocks and values of a sealed file, the tree of an LMDB one. */
int kv_verify(struct kv *kv, struct err *err);
/* Double the map after E_LIMIT. E_BUSY while this process has a transaction open. */
int kv_grow(struct kv *kv, struct err *err);
/* Free the slots of readers that died without closing. */
void kv_reap_readers(struct kv *kv);

/* A reading transaction is a snapshot (of a sealed file: the file); a writing one waits for other writers, also of other processes. */
int kv_txn_begin(struct kv *kv, bool write, struct kv_txn **ret_txn, struct err *err);
/* Frees txn in any case. E_NO_SPACE, E_LIMIT (map full), E_IO: then nothing happened. */
int kv_txn_commit(struct kv_txn *txn, struct err *err);
void kv_txn_abort(struct kv_txn *txn);	/* takes NULL; also ends a reading one */
/* A reading transaction moves on to the newest snapshot; everything borrowed from it dies. */
int kv_txn_renew(struct kv_txn *txn, struct err *err);

/* 1 found, 0 not. *ret_value is borrowed until the transaction ends (or writes). */
int kv_get(struct kv_txn *txn, unsigned db, struct view key, struct view *ret_value, struct err *err);

enum kv_put { KV_PUT = 0, KV_PUT_NEW = 1, KV_PUT_APPEND = 2 };	/* NEW: E_EXISTS; APPEND: keys ascend */
int kv_put(struct kv_txn *txn, unsigned db, enum kv_put how, struct view key, struct view value, struct err *err);
/* 1 deleted, 0 was not there. */
int kv_del(struct kv_txn *txn, unsigned db, struct view key, struct err *err);

/* Writing more than one transaction may hold, in an environment nobody else reads yet. Zero but for kv. */
struct kv_batch {
	struct kv *kv;
	struct kv_txn *txn;
	size_t bytes;
};
int kv_batch_put(struct kv_batch *batch, unsigned db, enum kv_put how, struct view key, struct view value,
		 struct err *err);
int kv_batch_commit(struct kv_batch *batch, struct err *err);
void kv_batch_abort(struct kv_batch *batch);	/* what was not committed; fine after a commit too */

int kv_cursor_open(struct kv_txn *txn, unsigned db, struct kv_cursor **ret_cursor, struct err *err);
void kv_cursor_close(struct kv_cursor *cursor);	/* takes NULL */
/* First entry with a key >= key; 1, or 0 when there is none. */
int kv_cursor_seek(struct kv_cursor *cursor, struct view key, struct view *ret_key, struct view *ret_value,
		   struct err *err);
/* The entry after; on a fresh cursor the first. 1, 0 at the end. */
int kv_cursor_next(struct kv_cursor *cursor, struct view *ret_key, struct view *ret_value, struct err *err);
/* Last entry with a key < key. 1, or 0. */
int kv_cursor_below(struct kv_cursor *cursor, struct view key, struct view *ret_key, struct view *ret_value,
		    struct err *err);

#endif
