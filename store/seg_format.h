/* What writer and reader of a sealed file agree on. FORMAT.md, "Sealed file". */
#ifndef STORE_SEG_FORMAT_H
#define STORE_SEG_FORMAT_H

#include "store/envelope.h"
#include "store/seg.h"

#define SEG_MAGIC ENVELOPE_MAGIC('T', 'D', 'S', 'F')
#define SEG_FOOTER_MAGIC ENVELOPE_MAGIC('T', 'D', 'S', 'X')
#define SEG_PACKED_MAGIC ENVELOPE_MAGIC('T', 'D', 'S', 'P')
#define SEG_VERSION 1
#define SEG_HEAD_BYTES ENVELOPE_BYTES
#define SEG_TRAILER_BYTES 16u
#define SEG_KEY_MAX 511u
#define SEG_BLOCK_BYTES 8192u	/* more only where one entry is larger */
#define SEG_BLOCK_BYTES_MAX (64u << 10)
#define SEG_FOOTER_BYTES_MAX (1u << 30)
#define SEG_PACK_BYTES_MAX (128u << 10)	/* plain; held in memory while open */
/* must_know of a packed file: row groups have no sums in it, or it is larger than it could be once (64 KiB). */
#define SEG_PACKED_NO_SUMS 1u

enum { SEG_DB_OWN_SUMS = 1 };
/* must_know of the footer: bit 0: flow tables may be packed. */
#define SEG_MUST_KNOWN 1u

/*
 * Each value of any database that is a row group, at the same place in plain, which is the file or a copy of it. Block
 * sums are not looked at. E_CORRUPT when an entry is none, or what each returns below 0.
 */
int seg_groups_each(const struct seg *seg, uint8_t *plain, int (*each)(uint8_t *group, size_t len), struct err *err);

#endif
