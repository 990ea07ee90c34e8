/*
 * What hot and sealed partitions have in common: their databases, keys, the
 * entry that the catalog keeps of each, and the opened partition that views share.
 * FORMAT.md, "Hot partition" and "Sealed partition".
 */
#ifndef STORE_PART_H
#define STORE_PART_H

#include "base/rd.h"
#include "base/wr.h"
#include "store/files.h"
#include "store/kv.h"
#include "store/policy.h"
#include "store/store.h"

/* Databases of data.mdb, hot and sealed alike (INV, FLT, FLOW stay empty in a hot one). */
enum part_db { PART_META, PART_RG, PART_ZONE, PART_PKB, PART_INV, PART_FLT, PART_FLOW };
extern const char *const part_dbs[];
#define PART_MUST_KNOW 1u	/* what sealed data asks of its readers: to know packed flow tables (store/seg_format.h) */

/* and u32 window: in META, the directory of the window's payload units. Of segment k from 1 on "unit<k>" */
#define PART_UNITS_KEY "units"
#define PART_UNITS_KEY_LEN 5u

enum part_state { PART_HOT = 1, PART_SEALED = 2 };	/* stored */

#define PART_LOG_FILE "packets.log"
#define PART_SEG_FILE "packets.seg"
#define PART_MANIFEST_FILE "MANIFEST"
#define PART_MAP_BYTES (64ull << 30)

/* The files that a sealed partition may have: one of two data files, a segment a payload class, MANIFEST. */
#define PART_SEGS_MAX 8u
#define PART_FILES (PART_SEGS_MAX + 3)
extern const char *const part_files[PART_FILES];
static inline const char *part_seg_file(unsigned seg)
{
	return part_files[2 + seg];
}

struct part_table {		/* of TABLE_PACKETS: packets, blocks, capture times */
	uint64_t rows;
	uint32_t groups;
	uint64_t start_min;	/* UINT64_MAX while rows is 0 */
	uint64_t start_max;
	uint64_t end_max;
	uint64_t bytes;		/* sealed: of its row groups as stored; 0: not known (older partitions) */
};

/* One payload class of a sealed partition: a file of its own, so that it can expire by itself. */
struct part_seg {
	char class_name[PART_CLASS_MAX];	/* "": what no rule names; else as in store/policy.h */
	bool held;		/* false once retention has dropped it */
	uint64_t bytes;
	uint64_t packets;
	uint64_t time_min, time_max;	/* UINT64_MAX and 0: empty */
};

#define PART_HEADERS_CLASS "headers"	/* class of packets that retention has cut (retention_thin.c) */

struct part_tier {	/* rollups of one tier */
	uint64_t rows, bytes;
};

struct part_entry {
	uint64_t hour;
	uint32_t gen;
	uint64_t serial;	/* tells partitions apart that had the same hour and gen one after another */
	uint8_t state;
	bool has_packets;	/* hot: always; sealed: a segment is held, or there never was one */
	struct part_table tables[TABLE_MAX + 1];
	uint64_t data_bytes;		/* sealed: exact size of data.mdb */
	uint64_t packet_bytes;		/* committed length of packets.log, or of all segments, held or not */
	uint64_t packet_plain_bytes;
	struct part_seg segs[PART_SEGS_MAX];	/* sealed; the first is the default class */
	unsigned segs_count;
	struct part_tier tiers[ROLLUP_TIERS_COUNT];	/* sealed; zero in older partitions */
	uint8_t residual;	/* a bit a table: of its rows only those are here whose packets are kept longer */
	uint8_t tiers_gone;	/* a bit a tier that retention has dropped here */
	uint8_t level;		/* zstd level that its rows were packed again with; 0: as they were sealed */
	bool replaces;		/* MANIFEST only: it was made of generation replaces_gen, and stands in its place */
	uint32_t replaces_gen;
};

void part_entry_init(struct part_entry *entry, uint64_t hour, uint32_t gen, uint64_t serial);
/* Count rows that begin in [start_min, start_max] and end by end_max. */
void part_entry_count(struct part_entry *entry, enum table_id table, uint64_t rows, uint64_t start_min,
		      uint64_t start_max, uint64_t end_max);
void part_entry_write(const struct part_entry *entry, struct wr *wr);
int part_entry_read(struct view bytes, struct part_entry *ret_entry, struct err *err);
uint64_t part_entry_start_min(const struct part_entry *entry);	/* over all tables; UINT64_MAX: empty */
uint64_t part_entry_end_max(const struct part_entry *entry);
/*
 * The stretch in which something was observed: rollups are left out, whose buckets reach up to a minute
 * past the last packet, and entities, which are valid as long as their file or process lasts. A partition
 * of nothing else has theirs. *ret_start_ns UINT64_MAX: empty.
 */
void part_entry_observed(const struct part_entry *entry, uint64_t *ret_start_ns, uint64_t *ret_end_ns);
uint64_t part_entry_newest(const struct part_entry *entry);	/* where that ends; 0: empty */
/* Bytes and packets that are held, and the oldest of them (UINT64_MAX: none). */
uint64_t part_entry_packet_bytes(const struct part_entry *entry);
uint64_t part_entry_packets(const struct part_entry *entry);
uint64_t part_entry_packets_min(const struct part_entry *entry);
/* Set has_packets by what the segments say. */
void part_entry_settle(struct part_entry *entry);
/* The segment of a class, made when it is new; E_LIMIT. */
int part_entry_seg(struct part_entry *entry, const char *class_name, unsigned *ret_seg);
/* is: what the MANIFEST of a sealed partition says, was: its entry. The same rows packed harder, in a data file of another size. */
bool part_entry_repacked(const struct part_entry *was, const struct part_entry *is);
bool part_entry_overlaps(const struct part_entry *entry, uint64_t from_ns, uint64_t to_ns);
void part_entry_info(const struct part_entry *entry, bool pinned, struct store_part_info *ret_info);
static inline int part_entry_cmp(const struct part_entry *a, const struct part_entry *b)
{
	if (a->hour != b->hour)
		return a->hour < b->hour ? -1 : 1;
	return a->gen == b->gen ? 0 : a->gen < b->gen ? -1 : 1;
}

/* Keys, big-endian. Views into the struct. */
struct part_key {
	uint8_t at[12];
	size_t len;
};
static inline struct view part_key_view(const struct part_key *key)
{
	return view_make(key->at, key->len);
}
struct part_key part_key_rg(enum table_id table, uint32_t group);	/* RG, ZONE */
struct part_key part_key_u32(uint32_t number);				/* PKB: block; FLOW: window */
struct part_key part_key_units(unsigned seg, uint32_t window);		/* META */

void rg_zone_write(const struct rg_zone *zone, struct wr *wr);
int rg_zone_read(struct view bytes, struct rg_zone *ret_zone, struct err *err);

/* An opened partition: what it takes to read it. Shared by views, counted by struct store. */
struct part {
	struct part_entry entry;	/* as of opening; a hot one grows behind it */
	struct kv *kv;
	char path[STORE_PATH_MAX];	/* its directory */
};
/* E_NOT_FOUND when it went away meanwhile. */
int part_open(const char *dir, const struct part_entry *entry, struct part **ret_part, struct err *err);
void part_close(struct part *part);	/* takes NULL */
/* Size of table as seen by txn; reads the entry that the last hot commit left. */
int part_entry_get(struct kv_txn *txn, struct part_entry *ret_entry, struct err *err);

#endif
