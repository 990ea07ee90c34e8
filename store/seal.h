/*
 * Sealing: a hot partition becomes a sealed one. Rows are sorted, compressed
 * and indexed, packets clustered by flow, in a new environment below tmp/;
 * then rename, then the catalog, then the hot one goes. A crash at any instant
 * leaves the hot partition or the sealed one (store/recover.c).
 */
#ifndef STORE_SEAL_H
#define STORE_SEAL_H

#include "store/hot.h"
#include "store/payload_class.h"

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

/* ---- the steps: seal.c, seal_rows.c, seal_packets.c; bulk.c takes them without a hot partition ---- */

struct manifest_hashes;

struct seal {
	const struct seal_opts *opts;
	struct part_entry from;		/* the hot one */
	const char *from_path;
	struct kv_txn *txn;		/* reads it */
	struct part_entry entry;	/* of the new one, growing */
	const char *path;		/* below tmp/ */
	struct kv_batch batch;		/* writes it */
	struct payload_classes *classes;	/* of its flows; NULL: the policy has none. Rows go before packets */
	const struct manifest_hashes *known;	/* of segments that are linked, not written; NULL: none are */
	uint64_t damaged;		/* row groups and blocks that could not be read */
};
/* Make the directory and the environment. */
int seal_begin(struct seal *seal, struct err *err);
/* The entry, the environment closed, everything synced, the MANIFEST. */
int seal_end(struct seal *seal, struct err *err);
/* Rename and say so in the catalog: from here on readers find it. */
int seal_publish(struct seal *seal, struct err *err);
void seal_abort(struct seal *seal);	/* remove what is in tmp/; also after a failed end or publish */

int seal_rows(struct seal *seal, enum table_id table, struct err *err);
int seal_packets(struct seal *seal, struct err *err);
struct packet_rec;
struct packet_window;
struct store_packets;
/* All of packets into window, changed first (NULL: as they are). Blocks that cannot be read count as damaged, and the rest is kept. */
int seal_copy_packets(struct seal *seal, struct store_packets *packets, void (*change)(struct packet_rec *rec),
		      struct packet_window *window, struct err *err);

/* Rows of one table straight from memory, instead of seal_rows. Copied; sorted a row group at a time. */
struct seal_run;
int seal_run_new(struct seal *seal, enum table_id table, struct seal_run **ret_run, struct err *err);
void seal_run_free(struct seal_run *run);	/* takes NULL */
int seal_run_add(struct seal_run *run, const void *rows, size_t count, struct err *err);	/* one behind the other */
size_t seal_run_bytes(const struct seal_run *run);	/* memory of rows not written yet */
int seal_run_flush(struct seal_run *run, struct err *err);	/* write them now, but for a few; frees their memory */
int seal_run_end(struct seal_run *run, struct err *err);	/* tables in ascending order, behind all adds */

#endif
