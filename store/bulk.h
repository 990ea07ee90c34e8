/*
 * A bulk load: rows and packets that lie ready go straight into sealed
 * partitions below tmp/, without a hot one before them. They are published
 * together at the end; until then nothing of them can be seen, and a crash
 * leaves nothing (recovery empties tmp/). For imports, not for recording.
 *
 * One thread, but for the pool that packs blocks.
 */
#ifndef STORE_BULK_H
#define STORE_BULK_H

#include "store/seal.h"

struct bulk;
struct bulk_part;

/*
 * opts is copied. threads: that help packing, 0 is fine. held_bytes_max: rows, frames and remembered payload of all
 * open partitions; beyond it bulk_tidy() writes out the one used longest ago. 0 = 448 MiB.
 */
int bulk_new(const struct seal_opts *opts, unsigned threads, size_t held_bytes_max, struct bulk **ret_bulk,
	     struct err *err);
void bulk_free(struct bulk *bulk);	/* takes NULL; what is not published is removed */

/* The partition that takes rows of this hour; NULL: none is open. */
struct bulk_part *bulk_find(struct bulk *bulk, uint64_t hour);
uint64_t bulk_hour(const struct bulk_part *part);
/* The least generation from gen on that the load does not use. */
uint32_t bulk_next_gen(const struct bulk *bulk, uint64_t hour, uint32_t gen);
int bulk_begin(struct bulk *bulk, uint64_t hour, uint32_t gen, uint64_t serial, struct bulk_part **ret_part,
	       struct err *err);

/* A failure of these is the end of the load. */
int bulk_add_rows(struct bulk *bulk, struct bulk_part *part, enum table_id table, const void *rows, size_t count,
		  struct err *err);
int bulk_add_packets(struct bulk *bulk, struct bulk_part *part, const struct packet_block *block, struct err *err);
/* As packet_window_take does. */
int bulk_take_packets(struct bulk *bulk, struct bulk_part *part, struct packet_block *block, struct err *err);
/* Hold memory to its bound, and close full partitions: any part may not take rows any more. Now and then. */
int bulk_tidy(struct bulk *bulk, struct err *err);
/* What is held now: behind bulk_tidy() at most held_bytes_max, but for a few rows a table that a flush leaves. */
size_t bulk_held_bytes(const struct bulk *bulk);

/* Complete and publish all of it; *ret_newest_ns: the latest end, 0 when there was nothing. */
int bulk_end(struct bulk *bulk, uint64_t *ret_newest_ns, struct err *err);

#endif
