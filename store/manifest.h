/*
 * MANIFEST of a sealed partition: what it holds and a hash of each file, as
 * text. FORMAT.md, "MANIFEST".
 */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include "store/part.h"

struct manifest_hashes {
	uint64_t data;		/* XXH3 of data.mdb */
	uint64_t packets[PART_SEGS_MAX];	/* of the segments; 0 where there never was one */
};

/* Write dir/MANIFEST, synced. entry: state sealed, sizes filled. */
int manifest_write(const char *dir, const struct part_entry *entry, const struct manifest_hashes *hashes,
		   int group_gid, struct err *err);
/* Read and check dir/MANIFEST. ret_hashes may be NULL. What segments are held: those whose files are there. E_CORRUPT, E_NOT_FOUND. */
int manifest_read(const char *dir, struct part_entry *ret_entry, struct manifest_hashes *ret_hashes,
		  struct err *err);
/* The text itself; all segments are held. text: ends with a NUL behind len bytes, and is changed. E_CORRUPT, E_UNSUPPORTED. */
int manifest_parse(char *text, size_t len, struct part_entry *ret_entry, struct manifest_hashes *ret_hashes);
/* Hash of a whole file, mapped. */
int manifest_hash(const char *dir, const char *file, uint64_t *ret_hash, struct err *err);

#endif
