/*
 * Where things lie in a stored row group: shared by rg_write.c, rowgroup.c, rg_rows.c, rg_repack.c,
 * nobody else's business. FORMAT.md, "Row group".
 */
#ifndef STORE_RG_FORMAT_H
#define STORE_RG_FORMAT_H

#include "base/rd.h"
#include "base/wr.h"
#include "store/codec.h"
#include "store/envelope.h"
#include "store/rowgroup.h"

#define RG_MAGIC ENVELOPE_MAGIC('T', 'D', 'R', 'G')
#define RG_VERSION 1
#define RG_MUST_DERIVE 1	/* must_know: encodings predict, map or patch are used */
#define RG_MUST_HIST 2		/* encoding hist is used */
#define RG_MUST_SPLIT 4		/* encoding split is used */
#define RG_MUST_HEX 8		/* encoding hex is used */
#define RG_MUST_KNOW (RG_MUST_DERIVE | RG_MUST_HIST | RG_MUST_SPLIT | RG_MUST_HEX)
#define RG_HEADER_BYTES 64	/* envelope included; the directory follows */
#define RG_ENTRY_BYTES 32
#define RG_ENTRIES_MAX (2 * 64 * SCHEMA_HAS_WORDS)	/* a chunk and a bitmap a column */
#define RG_CHUNK_BYTES_MAX (128u << 20)	/* plain bytes of one chunk: what a reader allocates at most */
#define RG_COL_BITMAP 0		/* column id of entries that are validity bitmaps */

_Static_assert((int)RG_CODEC_NONE == (int)CODEC_NONE && (int)RG_CODEC_LZ4 == (int)CODEC_LZ4 &&
	       (int)RG_CODEC_ZSTD == (int)CODEC_ZSTD, "stored: the two enums are one");

enum rg_nulls { RG_NULLS_NONE = 0, RG_NULLS_BITMAP = 1 };	/* stored */

struct rg_header {
	uint16_t table, entries;
	struct rg_zone zone;
	uint64_t fingerprint;	/* of the table that wrote it */
};

struct rg_entry {
	uint16_t col_id;
	uint8_t type;		/* enum col_type */
	uint8_t enc;		/* enum chunk_enc */
	uint8_t codec;
	uint8_t nulls;		/* enum rg_nulls */
	uint16_t bitmap;	/* directory index of the bitmap */
	uint32_t offset;	/* from the start of the row group */
	uint32_t stored_len;	/* 0: no chunk; checksum is the constant itself */
	uint32_t plain_len;
	uint32_t count;		/* values: rows that are not null */
	uint64_t checksum;	/* of the stored bytes */
};

/*
 * CHUNK_REF: difference to another column of the row, (reference >> down << up).
 * Ids hold the time they began in units of 2^20 ns above a counter of 23 bits.
 */
struct rg_shift {
	uint8_t down, up;
};
static inline struct rg_shift rg_shift_of(const struct col *col)
{
	if (col->type == TYPE_ID)
		return (struct rg_shift){ SCHEMA_ID_TIME_BITS, SCHEMA_ID_COUNT_BITS };
	return (struct rg_shift){ 0, 0 };
}

/* The chunk of a column as it was before it was packed; valid: rows with a value, NULL = all. */
struct rg_chunk {
	const uint64_t *valid;
	uint32_t count;		/* values */
	uint64_t value;		/* RG_CHUNK_VALUE */
	struct view plain;	/* RG_CHUNK_PLAIN; begins with its encoding */
};
enum { RG_CHUNK_NONE, RG_CHUNK_VALUE, RG_CHUNK_PLAIN, RG_CHUNK_OTHERS };
/*
 * RG_CHUNK_NONE: the group has no such column, all rows are null. RG_CHUNK_VALUE: one number in all rows that have one.
 * RG_CHUNK_OTHERS: numbers that other columns foretell, nothing was loaded. E_CORRUPT, E_NO_MEMORY.
 */
int rg_chunk_open(const struct rg *rg, const struct col *col, struct arena *arena, struct rg_chunk *ret_chunk,
		  struct err *err);

static inline void rg_entry_put(uint8_t at[RG_ENTRY_BYTES], const struct rg_entry *entry)
{
	memcpy(at, &entry->col_id, 2);
	at[2] = entry->type;
	at[3] = entry->enc;
	at[4] = entry->codec;
	at[5] = entry->nulls;
	memcpy(at + 6, &entry->bitmap, 2);
	memcpy(at + 8, &entry->offset, 4);
	memcpy(at + 12, &entry->stored_len, 4);
	memcpy(at + 16, &entry->plain_len, 4);
	memcpy(at + 20, &entry->count, 4);
	memcpy(at + 24, &entry->checksum, 8);
}

static inline struct rg_entry rg_entry_get(const uint8_t at[RG_ENTRY_BYTES])
{
	struct rd rd = rd_make(view_make(at, RG_ENTRY_BYTES));
	struct rg_entry entry;

	entry.col_id = rd_u16le(&rd);
	entry.type = rd_u8(&rd);
	entry.enc = rd_u8(&rd);
	entry.codec = rd_u8(&rd);
	entry.nulls = rd_u8(&rd);
	entry.bitmap = rd_u16le(&rd);
	entry.offset = rd_u32le(&rd);
	entry.stored_len = rd_u32le(&rd);
	entry.plain_len = rd_u32le(&rd);
	entry.count = rd_u32le(&rd);
	entry.checksum = rd_u64le(&rd);
	return entry;
}

/* The i-th entry of the directory, and the one of a column (false: the group has none). */
struct rg_entry rg_entry_at(const struct rg *rg, uint32_t i);
bool rg_entry_find(const struct rg *rg, const struct col *col, struct rg_entry *ret_entry);

/* Which rows have a value; NULL: all. Checks count and type of a column's entry on the way. E_CORRUPT, E_NO_MEMORY. */
int rg_entry_valid(const struct rg *rg, const struct col *col, const struct rg_entry *entry, struct arena *arena,
		   const uint64_t **ret_valid, struct err *err);

/* The plain bytes of its chunk, checked: in the blob, or unpacked into arena. E_CORRUPT, E_NO_MEMORY. */
int rg_chunk_load(const struct rg *rg, const struct rg_entry *entry, size_t plain_max, struct arena *arena,
		  struct view *ret_plain, struct err *err);
/*
 * The integers of an entry without nulls. 1: ret_rd is at them (chunk_ints_read), or at their differences to what predict
 * says; 0: all of them are entry->checksum. E_CORRUPT, E_NO_MEMORY.
 */
struct predict;
int rg_ints_open(const struct rg *rg, const struct rg_entry *entry, struct arena *arena, struct rd *ret_rd,
		 struct predict *predict, struct err *err);

#endif
