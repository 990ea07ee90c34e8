/*
 * Encodings of one column's values: streams of integers, and byte strings as
 * dictionary and codes. Nothing here knows tables, nulls or checksums; row
 * groups and packet blocks add those. FORMAT.md, "Chunk encodings".
 */
#ifndef STORE_CHUNK_H
#define STORE_CHUNK_H

#include "base/arena.h"
#include "base/err.h"
#include "base/rd.h"
#include "base/wr.h"

#define CHUNK_VALUES_MAX (1u << 20)	/* of one stream */

enum chunk_enc {	/* stored: never renumber */
	CHUNK_CONST = 1,	/* one value, or one string */
	CHUNK_RAW = 2,		/* integers of 1, 2, 4 or 8 bytes */
	CHUNK_FOR = 3,		/* per block: minimum, width, bit-packed differences */
	CHUNK_DELTA = 4,	/* FOR of the differences of neighbours */
	CHUNK_DICT = 5,		/* distinct values, codes */
	CHUNK_RLE = 6,		/* values of runs, lengths of runs */
	CHUNK_PLAIN = 7,	/* strings: lengths, bytes */
	CHUNK_BITMAP = 8,	/* a bit a row */
	CHUNK_REF = 9,		/* differences to another column: row groups only */
	CHUNK_PREDICT = 10,	/* differences to what other columns foretell: row groups only */
	CHUNK_MAP = 11,		/* strings that follow from those of another column: row groups only */
	CHUNK_PATCH = 12,	/* integers, and the few that lie far from the others apart */
	CHUNK_HIST = 13,	/* histograms, taken apart (hist_column.h): row groups only */
	CHUNK_SPLIT = 14,	/* integers of sizes that differ (chunk_split.h) */
	CHUNK_HEX = 15,		/* strings of hexadecimal digits, as bytes (chunk_hex.h) */
};
const char *chunk_enc_name(unsigned enc);	/* "unknown" */

/* Memory an encoder works in, reused from stream to stream. Zero-initialised; not thread-safe. */
struct chunk_scratch {
	uint64_t *values;	/* four arrays of cap */
	size_t cap;
	uint64_t *set;		/* hash set: value, code */
	uint32_t *set_codes;
	size_t set_cap;
	bool patches;		/* CHUNK_PATCH may be used: the look for it costs time */
	bool patched;		/* and was */
	bool splits;		/* CHUNK_SPLIT may be used */
	bool split;		/* and was, by the last stream: packing it again gains nothing */
	bool quick;		/* do not look for dictionaries of integers */
	bool hexes;		/* CHUNK_HEX may be used */
};
void chunk_scratch_release(struct chunk_scratch *scratch);

/*
 * Append count (1..CHUNK_VALUES_MAX) integers in the smallest encoding; a byte
 * that names it comes first. Returns that byte, or E_NO_MEMORY.
 */
int chunk_ints_write(const uint64_t *values, size_t count, struct chunk_scratch *scratch, struct wr *out);
/* What they take bit-packed, about: to compare two orders of the same. count is at least 1. */
size_t chunk_ints_packed_bytes(const uint64_t *values, size_t count);
/* Exactly count values into values; temporary memory from arena. E_CORRUPT with numbers, E_NO_MEMORY. */
int chunk_ints_read(struct rd *rd, size_t count, struct arena *arena, uint64_t *values, struct err *err);

/* The same of a stream that lies inside another one: const, raw, for or delta. */
int chunk_nested_read(struct rd *rd, size_t count, struct arena *arena, uint64_t *values, struct err *err);
/* A number of entries, 1 to count, and a nested stream of that many, of the arena; what names them. E_CORRUPT, E_NO_MEMORY. */
int chunk_counted_read(struct rd *rd, size_t count, const char *what, struct arena *arena, size_t *ret_nested,
		       uint64_t **ret_values, struct err *err);

/*
 * Strings: value i is dict[codes[i]]. sorted: put the dictionary in byte order,
 * which packs better and costs a sort, unless codes take less in the order of first use. Returns the encoding, or E_NO_MEMORY.
 * dict_count and count are at least 1; entries no code names are allowed.
 */
int chunk_bytes_write(const struct view *dict, size_t dict_count, const uint32_t *codes, size_t count, bool sorted,
		      struct chunk_scratch *scratch, struct wr *out);
/*
 * The same, and where each entry of dict was stored: place + 1, 0 when no code names it. ret_places has
 * dict_count zeroes; of CHUNK_PLAIN and CHUNK_HEX they say nothing.
 */
int chunk_bytes_write_places(const struct view *dict, size_t dict_count, const uint32_t *codes, size_t count,
			     bool sorted, struct chunk_scratch *scratch, struct wr *out, uint32_t *ret_places);
/* A dictionary alone: varint count, stream of lengths, bytes. */
int chunk_dict_write(const struct view *dict, const uint32_t *order, size_t dict_count, struct chunk_scratch *scratch,
		     struct wr *out);
int chunk_dict_read(struct rd *rd, size_t count_max, struct arena *arena, struct view **ret_dict,
		    uint32_t *ret_dict_count, struct err *err);
/* Codes, each below dict_count. */
int chunk_codes_read(struct rd *rd, size_t count, size_t dict_count, struct arena *arena, uint32_t **ret_codes,
		     struct err *err);
struct chunk_bytes {
	struct view *dict;	/* into the input */
	uint32_t dict_count;
	uint32_t *codes;	/* NULL: value i is dict[i]; each below dict_count */
};
int chunk_bytes_read(struct rd *rd, size_t count, struct arena *arena, struct chunk_bytes *ret_bytes,
		     struct err *err);

#endif
