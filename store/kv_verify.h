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
 * Every branch and leaf page that the snapshot txn_id reaches: page numbers,
 * bounds, order of keys, places of large values (whose bytes have checksums of
 * their own and are not read). The caller holds a reading transaction with that id.
 */
int kv_verify_tree(const char *path, uint64_t txn_id, struct err *err);
/* The same on bytes in memory: for tests and fuzzing. txn_id UINT64_MAX: the newest. */
int kv_verify_bytes(struct view file, uint64_t txn_id, struct err *err);

#endif
