/*
 * The file of a sealed partition: sorted databases of keys and values, written
 * once. Small values lie in blocks with their keys, large ones for themselves;
 * the index of the blocks is the file's end. FORMAT.md, "Sealed file".
 *
 * What LMDB does not give: a read at the end opens it, whatever its size; every
 * block is checked against its checksum when it is first touched, and nothing
 * else is; a partition of few rows takes few bytes. Only kv.c uses this.
 */
#ifndef STORE_SEG_H
#define STORE_SEG_H

#include "base/err.h"
#include "base/view.h"

#define SEG_DBS_MAX 12u
#define SEG_FAR_BYTES 512u	/* larger values lie outside of the blocks */

/* ---- writing; one thread at a time ---- */

struct seg_build;

/* own_sums: a bit a database whose values carry checksums of their own: they are neither summed nor checked here. */
int seg_build_new(const char *path, unsigned dbs, uint32_t own_sums, struct seg_build **ret_build, struct err *err);
/*
 * append: keys of this database ascend, and all of them come this way (E_EXISTS when one does not): they need no
 * memory. Else in any order, kept until the end; of equal keys the last counts.
 */
int seg_build_put(struct seg_build *build, unsigned db, bool append, struct view key, struct view value,
		  struct err *err);
/* What a small file is packed with, whole: never less than usual. */
void seg_build_level(struct seg_build *build, int level);
/* Who does not know these bits shall not read it. Before the end. */
void seg_build_must_know(struct seg_build *build, uint16_t bits);
uint64_t seg_build_bytes(const struct seg_build *build);
/* Write what is left. Nothing may be put afterwards; not synced. */
int seg_build_end(struct seg_build *build, struct err *err);
void seg_build_free(struct seg_build *build);	/* takes NULL; the file stays */

/* ---- reading; any number of threads ---- */

struct seg;

/* want_bytes: its exact size. E_CORRUPT, E_UNSUPPORTED, E_NOT_FOUND. */
int seg_open(const char *path, size_t want_bytes, struct seg **ret_seg, struct err *err);
/* The same of bytes in memory, which must outlive it: tests. */
int seg_open_bytes(struct view file, struct seg **ret_seg, struct err *err);
void seg_close(struct seg *seg);	/* takes NULL */
/* Ask the kernel to read what opening will want, and do not wait. For a file that will be opened soon. */
void seg_announce(const char *path);
size_t seg_bytes(const struct seg *seg);

/* A place in a database: before its first entry when zero but for db. */
struct seg_place {
	unsigned db;
	size_t block;		/* the entry is in block - 1; 0: before the first */
	size_t next;		/* offset behind the entry in its block */
};
/* 1 found, 0 not. Views live as long as seg. */
int seg_get(struct seg *seg, unsigned db, struct view key, struct view *ret_value, struct err *err);
/* The first entry with a key >= key, the last one with a key < key, the one behind place: 1, or 0 and place as it was. */
int seg_seek(struct seg *seg, struct seg_place *place, struct view key, struct view *ret_key, struct view *ret_value,
	     struct err *err);
int seg_below(struct seg *seg, struct seg_place *place, struct view key, struct view *ret_key, struct view *ret_value,
	      struct err *err);
int seg_next(struct seg *seg, struct seg_place *place, struct view *ret_key, struct view *ret_value, struct err *err);
/* Every block and every value that has a checksum here. */
int seg_verify(struct seg *seg, struct err *err);

#endif
