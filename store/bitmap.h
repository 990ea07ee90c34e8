/* Sets of row group numbers: the one door to CRoaring. */
#ifndef STORE_BITMAP_H
#define STORE_BITMAP_H

#include "base/err.h"
#include "base/wr.h"

struct bitmap;

struct bitmap *bitmap_new(void);
struct bitmap *bitmap_range(uint32_t from, uint32_t to);	/* [from, to) */
void bitmap_free(struct bitmap *bitmap);
int bitmap_add(struct bitmap *bitmap, uint32_t value);
bool bitmap_has(const struct bitmap *bitmap, uint32_t value);
uint64_t bitmap_count(const struct bitmap *bitmap);
void bitmap_and(struct bitmap *bitmap, const struct bitmap *other);
void bitmap_or(struct bitmap *bitmap, const struct bitmap *other);
/* Ascending; calls fn until it returns false. */
void bitmap_each(const struct bitmap *bitmap, bool (*fn)(uint32_t value, void *arg), void *arg);
/* Envelope, then the portable Roaring format: FORMAT.md, "Bitmap". E_NO_MEMORY. */
int bitmap_write(const struct bitmap *bitmap, struct wr *out, struct err *err);
/* Every container is checked before CRoaring sees it. E_CORRUPT, E_UNSUPPORTED, E_NO_MEMORY. */
int bitmap_read(struct view stored, struct bitmap **ret_bitmap, struct err *err);

#endif
