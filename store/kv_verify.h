/*
 * LMDB believes what it reads: a flipped bit in a page of the tree can send it
 * outside of the map. So the tree is walked once, when an environment is opened.
 */
#ifndef STORE_KV_VERIFY_H
#define STORE_KV_VERIFY_H

#include "base/err.h"
#include "base/view.h"

/* Both meta pages of the file: magic, version, page size. E_CORRUPT, E_IO. Before mdb_env_open. */
int kv_verify_head(const char *path, struct err *err);
/*
 * 1 when the file lacks a meta page and nothing was ever committed to it: LMDB writes both when it makes a file, and
 * syncs them with the first transaction, so a power cut before that leaves one or none. 0, E_IO.
 */
int kv_verify_unmade(const char *path, struct err *err);
/*
 * Every branch and leaf page that the snapshot txn_id reaches: page numbers,
 * bounds, order of keys, sums of entries, places of large values (whose bytes have checksums of
 * their own, or are summed when they are read). The caller holds a reading transaction with that id.
 */
int kv_verify_tree(const char *path, uint64_t txn_id, struct err *err);
/*
 * A database whose name ends with KV_SUMMED keeps behind each value the sum of its entry, eight bytes little-endian:
 * salt + XXH3(key) * an odd number + XXH3(value), with the XXH3 of the database's name as salt.
 */
#define KV_SUMMED '+'
#define KV_SUM_BYTES 8u
#define KV_NAME_MAX 16
uint64_t kv_salt(struct view name);	/* never 0 */
void kv_sum_write(uint64_t salt, struct view key, struct view value, uint8_t *ret_stored);	/* value, then its sum */
/* Take the sum off *value; false when it is another one. */
bool kv_sum_check(uint64_t salt, struct view key, struct view *value);

/* The same on bytes in memory: for tests and fuzzing. txn_id UINT64_MAX: the newest. */
int kv_verify_bytes(struct view file, uint64_t txn_id, struct err *err);

#endif
