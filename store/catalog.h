/*
 * The catalog: what partitions there are and everything that is true of the
 * store as a whole. Its write transactions are what orders writers of several
 * processes (recorder, command line). FORMAT.md, "Catalog".
 *
 * Functions take a transaction of the catalog's environment; *_put, *_add and
 * *_del need a writing one.
 */
#ifndef STORE_CATALOG_H
#define STORE_CATALOG_H

#include "store/part.h"

#define CATALOG_FORMAT 1
#define CATALOG_DB_PIN 4	/* place in catalog_dbs */
extern const char *const catalog_dbs[];		/* NULL-terminated */

/* DIR/catalog. for_write makes it. E_NOT_FOUND: no store here; E_UNSUPPORTED: made by a newer program. */
int catalog_open(const char *dir, bool for_write, int group_gid, struct kv **ret_kv, struct err *err);

/* ---- partitions ---- */
int catalog_part_put(struct kv_txn *txn, const struct part_entry *entry, struct err *err);
/* 1, or 0 */
int catalog_part_get(struct kv_txn *txn, uint64_t hour, uint32_t gen, struct part_entry *ret_entry, struct err *err);
int catalog_part_del(struct kv_txn *txn, uint64_t hour, uint32_t gen, struct err *err);
/* A generation that no entry of the hour has, above all of them. */
int catalog_part_next_gen(struct kv_txn *txn, uint64_t hour, uint32_t *ret_gen, struct err *err);
/* The same, and no other partition gets it before the release: for one that is made outside of a transaction. */
int catalog_gen_reserve(struct kv_txn *txn, uint64_t hour, uint32_t *ret_gen, struct err *err);
int catalog_gen_release(struct kv_txn *txn, uint64_t hour, struct err *err);
/* All of them, ascending by (hour, gen); array from arena. */
int catalog_parts(struct kv_txn *txn, struct arena *arena, struct part_entry **ret_entries, size_t *ret_count,
		  struct err *err);

/* ---- progress of the writer ---- */
struct catalog_progress {
	bool clean;			/* the last writer closed in good order */
	uint64_t last_commit_ns;	/* wall clock; 0 before the first commit */
	uint64_t newest_ns;		/* latest end of what was written, of all time */
};
int catalog_progress_put(struct kv_txn *txn, const struct catalog_progress *progress, struct err *err);
/* All zero and clean when there is none. */
int catalog_progress_get(struct kv_txn *txn, struct catalog_progress *ret_progress, struct err *err);

/* ---- what was packed again (recompress.c), of all time ---- */
int catalog_repacked_put(struct kv_txn *txn, const struct store_repacked *total, struct err *err);
int catalog_repacked_get(struct kv_txn *txn, struct store_repacked *ret_total, struct err *err);	/* zero when nothing was */

/* ---- gaps ---- */
int catalog_gap_add(struct kv_txn *txn, const struct store_gap *gap, struct err *err);
int catalog_gaps(struct kv_txn *txn, uint64_t from_ns, uint64_t to_ns, struct arena *arena,
		 struct store_gap **ret_gaps, size_t *ret_count, struct err *err);
/* Forget gaps that end before instant_ns. */
int catalog_gaps_drop(struct kv_txn *txn, uint64_t instant_ns, struct err *err);

/* ---- status texts ---- */
#define CATALOG_STATUS_NAME_MAX 64
#define CATALOG_STATUS_BYTES_MAX (4u << 20)
int catalog_status_put(struct kv_txn *txn, const char *name, struct view text, struct err *err);
int catalog_status_get(struct kv_txn *txn, const char *name, struct arena *arena, struct view *ret_text,
		       struct err *err);

/* ---- policy and pins ---- */
int catalog_policy_put(struct kv_txn *txn, const struct store_policy *policy, struct err *err);
int catalog_policy_get(struct kv_txn *txn, struct store_policy *ret_policy, struct err *err);
int catalog_pin_put(struct kv_txn *txn, const struct store_pin *pin, struct err *err);	/* E_EXISTS */
int catalog_pin_del(struct kv_txn *txn, const char *name, struct err *err);		/* E_NOT_FOUND */
int catalog_pins(struct kv_txn *txn, struct arena *arena, struct store_pin **ret_pins, size_t *ret_count,
		 struct err *err);

/*
 * ---- notes ----
 * Events that another process left for the writer, which turns them into rows
 * of the events table at its next tick (only the writer writes rows).
 */
struct catalog_note {
	uint64_t at_ns;
	uint64_t value;		/* bytes */
	uint8_t kind;		/* EVENT_ */
	char reason[48];
	char text[160];
};
int catalog_note_add(struct kv_txn *txn, const struct catalog_note *note, struct err *err);
/* The oldest notes, at most max of them, and their keys for catalog_notes_drop. */
int catalog_notes(struct kv_txn *txn, size_t max, struct arena *arena, struct catalog_note **ret_notes,
		  size_t *ret_count, uint64_t *ret_last_key, struct err *err);
int catalog_notes_drop(struct kv_txn *txn, uint64_t last_key, struct err *err);

#endif
