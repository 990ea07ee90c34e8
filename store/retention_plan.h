/*
 * What retention would drop now: payload classes, tables and tiers of sealed
 * partitions, or whole ones. Looks at the catalog alone; retention.c does it.
 */
#ifndef STORE_RETENTION_PLAN_H
#define STORE_RETENTION_PLAN_H

#include "store/catalog.h"

#define PLAN_SCOPES_MAX 16

struct plan_part {
	struct part_entry entry;
	bool fixed;		/* hot or pinned */
	bool pinned;
	bool all;		/* the whole of it goes */
	uint32_t segs_gone;	/* a bit a segment */
	uint32_t segs_thin;	/* those whose payload goes, and the headers stay */
	uint32_t rows_gone;	/* a bit a scope of rows, by place in store_scopes */
	uint32_t rows_kept;	/* the same: only the rows of kept packets stay */
	char seg_why[PART_SEGS_MAX][STORE_WHY_MAX];
	char row_why[PLAN_SCOPES_MAX][STORE_WHY_MAX];
	char all_why[STORE_WHY_MAX];
};

struct plan {
	struct store_policy policy;
	struct plan_part *parts;	/* the oldest first */
	size_t count;
	uint64_t data_bytes, packet_bytes;	/* what would be left */
	uint64_t reserve_bytes;			/* kept free of total_bytes while somebody records */
	uint64_t passing_bytes;			/* what making a partition anew takes meanwhile, at most */
	uint64_t free_bytes;			/* of the file system, then */
	uint64_t now_ns;
	bool floors;				/* minimum ages count */
	uint32_t below;				/* scopes dropped below theirs, a bit each; of payload the first */
};

/* catalog_bytes: its file takes. free_bytes: of the file system. Arrays of both from arena. */
int plan_make(struct kv_txn *catalog, uint64_t catalog_bytes, uint64_t free_bytes, uint64_t now_ns,
	      struct arena *arena, struct plan *ret_plan, struct err *err);
/* What it comes to, in words and numbers. */
int plan_report(const struct plan *plan, struct arena *arena, struct store_plan *ret_out, struct err *err);
/* Packets of a segment have a rule of their own: rows of flows and calls stay with them. */
bool plan_seg_ruled(const struct plan *plan, const struct plan_part *part, unsigned seg);
/* Of a partition that is not gone as a whole: whether rows go, so that it has to be made anew. */
static inline bool plan_rewrites(const struct plan_part *part)
{
	return !part->all && (part->rows_gone || part->rows_kept || part->segs_thin);
}

enum plan_rows { PLAN_NONE, PLAN_FILTERED, PLAN_ALL };
/* What stays of a table (of rollups: of a tier, by place). */
enum plan_rows plan_rows_of(const struct plan_part *part, enum table_id table, unsigned tier);

#endif
