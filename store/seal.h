/*
 * Sealing: a hot partition becomes a sealed one. Rows are sorted, compressed
 * and indexed, packets clustered by flow, in a new environment below tmp/;
 * then rename, then the catalog, then the hot one goes. A crash at any instant
 * leaves the hot partition or the sealed one (store/recover.c).
 */
#ifndef STORE_SEAL_H
#define STORE_SEAL_H

#include "store/hot.h"

struct seal_opts {
	const char *dir;	/* of the store */
	struct kv *catalog;
	int zstd_level;
	int group_gid;
};
/*
 * Seal hot, which has nothing pending; closes it. On failure it stays what it
 * was, a hot partition. Any thread that alone owns hot.
 */
int seal_part(const struct seal_opts *opts, struct hot *hot, struct err *err);

/* ---- the steps: seal_rows.c, seal_packets.c ---- */

struct seal {
	const struct seal_opts *opts;
	struct part_entry from;		/* the hot one */
	const char *from_path;
	struct kv_txn *txn;		/* reads it */
	struct part_entry entry;	/* of the new one, growing */
	const char *path;
	struct kv_batch batch;		/* writes it */
	uint64_t damaged;		/* row groups and blocks that could not be read */
};
int seal_rows(struct seal *seal, enum table_id table, struct err *err);
int seal_packets(struct seal *seal, struct err *err);

#endif
