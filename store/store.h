/*
 * The store: a data directory with a catalog, hot and sealed partitions and
 * their packet logs. One writer process at a time; any number of readers, which
 * are other processes and see a row at most 2 s after it was written.
 *
 *   DIR/catalog/                LMDB: partitions, policies, pins, gaps, progress, status
 *   DIR/hot/<hour>.<gen>/       LMDB data.mdb + packets.log
 *   DIR/parts/<hour>.<gen>/     data.seg + packets.seg, packets.<k>.seg + MANIFEST, never changed
 *   DIR/snap/<pin>/             hard links that pins hold
 *   DIR/writer.lock             the writer's name: pid and command
 *
 * FORMAT.md describes every stored byte.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "schema/schema.h"
#include "store/bitmap.h"
#include "store/packet_block.h"
#include "store/policy.h"
#include "store/rowgroup.h"

/* ------------------------------------------------------------------ writing */

struct store_writer;

struct store_writer_opts {
	const char *name;	/* what the second writer is told: "record pid 42" */
	size_t hot_partitions_max;	/* open at a time; 0 = 8. More are sealed, oldest first */
	size_t map_bytes;	/* LMDB map of one environment; 0 = 64 GiB */
	int zstd_level;		/* of sealed partitions; 0 = 3 */
	int group_gid;		/* -1: as it is; else directories and lock files are given to this group, so that serve can read */
	bool seal_inline;	/* no background thread: tests */
	/*
	 * Imports: rows and packets go straight into sealed partitions, on all cores. Nothing is visible or durable
	 * before store_writer_close(seal = true) succeeds; store_commit does nothing, and a crash or failure before
	 * leaves the store as it was.
	 */
	bool bulk;
	size_t bulk_bytes_max;	/* memory of the partitions a bulk load has open; 0 = 448 MiB */
};

/*
 * Take the writer lock, create what is missing, recover what a crash left: cut
 * torn tails of packet logs, drop half-sealed partitions, and record as a gap
 * the stretch from the last commit to now when the last writer did not close.
 * E_BUSY names the other writer. Not thread-safe: the writer thread owns it.
 */
int store_writer_open(const char *dir, const struct store_writer_opts *opts,
		      struct store_writer **ret_writer, struct err *err);
/* Commits, marks a clean end. seal: seal every hot partition first (imports). Frees it in any case. */
int store_writer_close(struct store_writer *writer, bool seal, struct err *err);

/* Rows of one table (array of its row structs); sorted into partitions by start_ns. Copied. */
int store_write_rows(struct store_writer *writer, enum table_id table, const void *rows, size_t count,
		     struct err *err);
/* A filled block of packets; encoded and appended to its hour's packet log. Not kept. */
int store_write_packets(struct store_writer *writer, const struct packet_block *block, struct err *err);
/*
 * As store_write_packets for a block that is reset next. A bulk load keeps its bytes where that saves a copy: the block
 * may come back without frames, and with other memory.
 */
int store_take_packets(struct store_writer *writer, struct packet_block *block, struct err *err);
/*
 * Write the frames of hot partitions as they are from now on (or packed again): for a machine whose processors others
 * wait for. The seal packs them all the same.
 */
void store_write_plain(struct store_writer *writer, bool plain);
/*
 * Something was not recorded in [from_ns, to_ns): becomes an event of kind gap
 * and an entry of the catalog. reason: one word ("ring_full", "crash", "evicted").
 */
struct store_gap {
	uint64_t from_ns, to_ns;
	uint64_t source;	/* 0: all */
	uint64_t packets, bytes;	/* lost, 0 when unknown */
	char reason[32];
};
int store_write_gap(struct store_writer *writer, const struct store_gap *gap, struct err *err);
/* Text (JSON) that readers find under name: the recorder's status and counters. Written with the next commit. */
int store_write_status(struct store_writer *writer, const char *name, struct view text, struct err *err);
/* Bytes waiting for the next commit. */
size_t store_pending_bytes(const struct store_writer *writer);
/* fdatasync the packet logs, then the LMDB transactions. What came before is visible and durable afterwards. */
int store_commit(struct store_writer *writer, struct err *err);
/*
 * Once a second: seal partitions whose hour is over (and idle_ns passed without a late row),
 * apply retention every minute, delete sealed hot ones no reader uses. now_ns: wall clock.
 */
int store_tick(struct store_writer *writer, uint64_t now_ns, struct err *err);

/* ------------------------------------------------------------------ reading */

struct store;		/* a read-only door; any thread */

int store_open(const char *dir, struct store **ret_store, struct err *err);
void store_close(struct store *store);

/*
 * The partitions that overlap [from_ns, to_ns) as of now (to_ns UINT64_MAX: the
 * end of time included). Environments stay open in store, shared by views. A
 * view is used by one thread at a time. A sealed partition is opened when it is
 * first touched: E_EXPIRED then says that retention was faster.
 */
struct store_view;
int store_view_open(struct store *store, uint64_t from_ns, uint64_t to_ns, struct store_view **ret_view,
		    struct err *err);
void store_view_close(struct store_view *view);
/* Move on to what is committed now, with the same partitions under the same numbers; hot ones may have grown. */
int store_view_renew(struct store_view *view, struct err *err);
/* Its threads help to read packets, of those opened from now on; NULL: none do. It outlives them. */
struct crew;
void store_view_crew(struct store_view *view, struct crew *crew);

struct store_part_info {
	uint64_t hour;			/* start = hour * NS_PER_HOUR */
	uint32_t gen;
	bool sealed;
	bool has_packets;		/* false once retention dropped all payload */
	bool pinned;
	uint64_t start_min, end_max;	/* of what was observed: flows, calls, events, packets */
	uint64_t rows[TABLE_MAX + 1];
	uint64_t data_bytes, packet_bytes;	/* on disk */
	uint64_t packets;		/* held */
	uint64_t packets_expired;	/* of payload classes that retention has dropped */
	uint64_t packets_thinned;	/* whose headers are held, and whose payload retention has dropped */
	uint64_t packet_plain_bytes;	/* of all that were captured */
	char path[64];			/* below the data directory: "parts/2026-11-22T10.0" */
};
size_t store_view_parts(const struct store_view *view);		/* ascending by (hour, gen) */
const struct store_part_info *store_view_part(const struct store_view *view, size_t part);

/*
 * Row groups of one table in one partition, numbered 0..n-1. The view holds a
 * read transaction a partition: close the view within seconds, or call
 * store_view_renew between partitions. Opened groups die with either.
 */
size_t store_rg_count(struct store_view *view, size_t part, enum table_id table);
int store_rg_zone(struct store_view *view, size_t part, enum table_id table, size_t rg, struct rg_zone *ret_zone,
		  struct err *err);
/* Its stored size, of which nothing but the place is looked up. */
int store_rg_bytes(struct store_view *view, size_t part, enum table_id table, size_t rg, size_t *ret_bytes,
		   struct err *err);
int store_rg_open(struct store_view *view, size_t part, enum table_id table, size_t rg, struct rg *ret_rg,
		  struct err *err);
/* Row groups that will be opened next: ask the kernel to read where they begin, and do not wait. */
void store_rg_want(struct store_view *view, size_t part, enum table_id table, size_t rg);
/*
 * Row groups that may hold value in an INDEX_BITMAP column. *ret_bitmap (the
 * caller frees it) is NULL when the partition has no such index (hot): scan all.
 * INT values are given as 8 bytes little-endian.
 */
int store_index_lookup(struct store_view *view, size_t part, enum table_id table, const struct col *col,
		       struct view value, struct bitmap **ret_bitmap, struct err *err);
/* Calls fn with every distinct value of an INDEX_BITMAP column of the partition, until it returns false. E_UNSUPPORTED in a hot one. */
int store_index_values(struct store_view *view, size_t part, enum table_id table, const struct col *col,
		       bool (*fn)(struct view value, void *arg), void *arg, struct err *err);
/* INDEX_BLOOM columns: 1 may hold it, 0 certainly not. 1 where there is no filter. */
int store_bloom_may_have(struct store_view *view, size_t part, enum table_id table, size_t rg,
			 const struct col *col, struct view value, struct err *err);

/*
 * Filters that will be asked next: have the kernel read their heads (bits: the bits, for which heads are looked at), and
 * do not wait. For many row groups at once.
 */
void store_bloom_want(struct store_view *view, size_t part, enum table_id table, size_t rg, const struct col *col,
		      struct view value, bool bits);

/*
 * Packets of one partition with time in [from_ns, to_ns), in the order of
 * capture (by number within a source; sources merged by time). flow_ids: sorted, or
 * NULL for all. The record's frame is valid until the next call.
 */
struct store_packets;
int store_packets_open(struct store_view *view, size_t part, uint64_t from_ns, uint64_t to_ns,
		       const uint64_t *flow_ids, size_t flow_count, struct store_packets **ret_packets,
		       struct err *err);
/* 1 and a record, 0 at the end, <0. A damaged block is E_CORRUPT once; the next call goes on behind it. */
int store_packets_next(struct store_packets *packets, struct packet_rec *ret_rec, uint64_t *ret_source,
		       struct err *err);
/* Frames that would have matched are of a payload class that retention has dropped; blocks tell, so some may not. */
bool store_packets_expired(const struct store_packets *packets);
void store_packets_close(struct store_packets *packets);

/* Gaps that overlap the range, ascending; array from arena. */
int store_gaps(struct store *store, uint64_t from_ns, uint64_t to_ns, struct arena *arena,
	       struct store_gap **ret_gaps, size_t *ret_count, struct err *err);
/* What store_write_status left under name; copied into arena. E_NOT_FOUND. */
int store_status(struct store *store, const char *name, struct arena *arena, struct view *ret_text,
		 struct err *err);

struct store_horizon {
	uint64_t oldest_ns[TABLE_MAX + 1];	/* per table; UINT64_MAX when it holds nothing. PACKETS: bytes */
	uint64_t tier_from_ns[ROLLUP_TIERS_COUNT];	/* before it retention has dropped rollups of that tier; 0: none */
	uint64_t newest_ns;			/* end of what is committed */
	uint64_t last_commit_ns;		/* wall clock of the last commit: is the recorder alive? */
	bool writer_alive;			/* somebody holds the writer lock */
	uint64_t data_bytes, packet_bytes;	/* on disk in all */
	size_t parts;
};
int store_horizon(struct store *store, struct store_horizon *ret_horizon, struct err *err);

/* -------------------------------------------------------------- maintenance */

struct store_victim {
	struct store_part_info part;
	char scope[STORE_SCOPE_MAX];	/* what of it goes (scopes.def), or "all" */
	bool packets_only;	/* payload goes, the rows stay */
	bool anew;		/* the partition is made anew without it; else whole files go */
	uint64_t bytes;		/* of files that are removed; about so many where a partition is made anew with the rest */
	char why[STORE_WHY_MAX];		/* "payload older than 7d" */
};
struct store_reach {		/* of one scope, once the victims are gone */
	char scope[STORE_SCOPE_MAX];
	uint64_t oldest_ns;	/* UINT64_MAX: nothing is held */
	uint64_t bytes;		/* of rows: about */
	uint64_t min_age_ns;	/* what its rule promises */
	bool below;		/* and bytes did not allow */
};
struct store_plan {
	struct store_victim *victims;	/* in order */
	size_t victims_count;
	uint64_t bytes;			/* of them */
	struct store_reach *reaches;	/* those that are held, or have a rule */
	size_t reaches_count;
	bool below_horizon;		/* a victim is younger than its scope's minimum age */
	uint64_t over_bytes;		/* that stay above a limit: what is left is hot, pinned or too young */
};
/*
 * Cold partitions packed again: their rows with a higher zstd level, in a new directory that then changes places with the
 * old one; packets are linked. Readers notice nothing. Once a partition and level.
 */
struct store_repacked {
	uint64_t parts;			/* packed again */
	uint64_t left;			/* tried, and left as they were: too little to gain, or damaged */
	uint64_t bytes_before, bytes_after;	/* rows and indexes of the former */
};
struct store_recompress_opts {
	uint64_t now_ns, age_ns;	/* partitions whose newest row is older than that */
	int level;			/* 0: as the policy says */
	bool dry_run;			/* only hand out what would be tried: bytes_after 0 */
	/* Asked between row groups, in a thread of its own: a negative code ends it, with everything as it was. NULL: never. */
	int (*step)(void *arg);
	/* A partition was looked at; bytes as before: it is left as it was. NULL allowed. */
	void (*done)(const struct store_part_info *part, uint64_t bytes_after, void *arg);
	void *arg;
};
/* The newest first: what retention takes last gains longest. ret_total: of this call. */
int store_recompress(const char *dir, const struct store_recompress_opts *opts, struct store_repacked *ret_total,
		     struct err *err);
/* What it has done to this store so far, of all time; and what waits for it by the policy, as of now_ns. */
int store_repacked(struct store *store, uint64_t now_ns, struct store_repacked *ret_total, uint64_t *ret_cold_parts,
		   uint64_t *ret_cold_bytes, struct err *err);
struct store_pin {
	char name[64];
	uint64_t from_ns, to_ns;
	uint64_t bytes;
};
/* A second process may do these while a recorder runs: they go through the catalog's own transactions. */
int store_policy_get(struct store *store, struct store_policy *ret_policy, struct err *err);
int store_policy_set(const char *dir, const struct store_policy *policy, struct err *err);
/* What apply would do now. Arrays from arena. */
int store_retention_plan(struct store *store, uint64_t now_ns, struct arena *arena, struct store_plan *ret_plan,
			 struct err *err);
/* Do it; hands every victim to fn (NULL allowed) once it is gone. Records an event of kind retention a victim. */
int store_retention_apply(const char *dir, uint64_t now_ns, void (*fn)(const struct store_victim *victim, void *arg),
			  void *arg, struct err *err);
/* Keep [from_ns, to_ns) whatever the policy says. E_EXISTS, E_NOT_FOUND. */
int store_pin(const char *dir, const char *name, uint64_t from_ns, uint64_t to_ns, struct err *err);
int store_unpin(const char *dir, const char *name, struct err *err);
int store_pins(struct store *store, struct arena *arena, struct store_pin **ret_pins, size_t *ret_count,
	       struct err *err);

/* Everything that is wrong, one line a finding through fn; returns the number of findings, or <0 when it could not look. */
struct store_check_totals {
	uint64_t parts, row_groups, rows, blocks, packets, bytes;
};
int store_check(const char *dir, void (*fn)(const char *finding, void *arg), void *arg,
		struct store_check_totals *ret_totals, struct err *err);

/*
 * A copy of the store as it is now, in the new directory to: hard links to sealed partitions (copies on another
 * file system), copies of hot ones and of the catalog. A recorder may run. E_EXISTS when to is there.
 */
int store_snapshot(const char *dir, const char *to, struct err *err);

/*
 * Everything in dir that its checksums confirm, into a new store in to; dir is only read, and no writer may
 * use it. Each loss goes to fn, and a gap of reason "damage" covers its time. Pins, policy and status stay behind.
 */
struct store_salvage_totals {
	uint64_t rows, packets;		/* saved */
	uint64_t lost;			/* findings */
	uint64_t lost_rows;		/* as far as known */
};
int store_salvage(const char *dir, const char *to, void (*fn)(const char *finding, void *arg), void *arg,
		  struct store_salvage_totals *ret_totals, struct err *err);

#endif
