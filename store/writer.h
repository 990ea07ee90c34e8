/* Inside of the writer, for the files that make it up: writer.c, writer_open.c, recover.c, sealer.c. */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include "store/bulk.h"
#include "store/catalog.h"
#include "store/cold.h"
#include "store/hot.h"
#include "store/sealer.h"

struct writer_status {
	char name[CATALOG_STATUS_NAME_MAX];
	struct wr text;
};

struct store_writer {
	char dir[STORE_PATH_MAX];
	size_t hot_max;
	size_t map_bytes;
	int zstd_level;
	int group_gid;
	int lock_fd;
	struct kv *catalog;

	struct hot **hots;		/* not handed to the seal; open or closed */
	size_t hots_count, hots_cap;
	struct hot *last;		/* where the last row went */
	uint64_t serial;		/* of the next partition */
	struct sealer *sealer;
	struct cold *cold;
	struct bulk *bulk;		/* NULL: rows go into hot partitions */
	bool plain;			/* frames are written as they are */

	/* for the next commit */
	struct store_gap *gaps;
	size_t gaps_count, gaps_cap;
	struct writer_status *statuses;
	size_t statuses_count, statuses_cap;
	uint64_t notes_last_key;	/* notes up to here have become rows */
	uint64_t newest_ns;

	struct store_gap lost;		/* of failed commits; from and to 0: nothing */
	uint32_t event_count;
	uint64_t retention_ns;		/* monotonic instants of the last round */
	uint64_t budget_bytes;		/* of the policy, as of that round; 0: none */
	uint64_t cold_age_ns;		/* of the policy, likewise */
	uint64_t since_bytes;		/* written since the last look at the budget */
};

void writer_free(struct store_writer *writer);
/* The least bytes that the policy allows, and when partitions are cold; as it was when it cannot be read. */
void writer_read_policy(struct store_writer *writer);
int writer_add_hot(struct store_writer *writer, struct hot *hot, struct err *err);
/* Put right what the last run left: E_CORRUPT only when a catalog cannot be read. */
int recover_store(struct store_writer *writer, struct err *err);
/* Move dir/sub/name into dir/trash and remove it there: gone at once for those who look, however long it takes. */
int trash_dir(const char *dir, const char *sub, const char *name, struct err *err);

#endif
