/*
 * A row group: up to 65,536 rows of one table, stored by column. Column
 * directory first, every chunk with its own encoding and checksum. The same
 * bytes in an LMDB value and in a file. FORMAT.md, "Row group".
 */
#ifndef STORE_ROWGROUP_H
#define STORE_ROWGROUP_H

#include "base/arena.h"
#include "base/wr.h"
#include "schema/schema.h"

#define RG_ROWS_MAX 65536u
#define RG_VALUE_BYTES_MAX (16u << 20)	/* one string */

enum rg_codec { RG_CODEC_NONE = 0, RG_CODEC_LZ4 = 1, RG_CODEC_ZSTD = 2 };

/* ---- writing ---- */

struct rg_builder;	/* gathers rows column-wise; texts are copied */

struct rg_builder *rg_builder_new(const struct table *table);	/* NULL: out of memory */
void rg_builder_free(struct rg_builder *builder);
/*
 * E_NO_MEMORY; E_LIMIT when full (rows, or 64 MiB of strings): write, reset, add again;
 * E_RANGE: a string longer than RG_VALUE_BYTES_MAX. Then nothing was added.
 */
int rg_builder_add(struct rg_builder *builder, const void *row);
/* As many times that, of rows in a row, until one is refused: *ret_added are in, in any case. */
int rg_builder_add_rows(struct rg_builder *builder, const void *rows, size_t count, size_t *ret_added);
/* Rows of another builder of the same table, as they lie there. All or nothing: E_NO_MEMORY, E_LIMIT. */
int rg_builder_add_from(struct rg_builder *builder, const struct rg_builder *from, const uint32_t *rows, size_t count);
size_t rg_builder_rows(const struct rg_builder *builder);
size_t rg_builder_bytes(const struct rg_builder *builder);	/* memory in use, about */
/*
 * Encode all rows in the given order (NULL: as added) and append the row group
 * to out. codec is tried on chunks where it gains 10 % or more. The builder keeps
 * its rows; rg_builder_reset empties it.
 */
int rg_builder_write(struct rg_builder *builder, const uint32_t *order, enum rg_codec codec, int level,
		     struct wr *out, struct err *err);
void rg_builder_reset(struct rg_builder *builder);
/*
 * Append a stored row group to out with its packed chunks packed again at level, where that is smaller: same rows, same
 * encodings, columns of a newer program included. What comes out is unpacked and compared. arena is reset. E_CORRUPT: a
 * chunk is damaged.
 */
int rg_repack(struct view blob, int level, struct arena *arena, struct wr *out, struct err *err);
/*
 * What to sort rows by: one key a row (rg_builder_rows of them) that is in the order of the column's values,
 * numbers or strings; 0 where it is null. E_NO_MEMORY.
 */
int rg_builder_keys(const struct rg_builder *builder, const struct col *col, uint64_t *ret_keys);

/* ---- reading ---- */

struct rg_zone {
	uint32_t rows;
	uint64_t start_min, start_max;	/* of start_ns */
	uint64_t end_max;		/* of end_ns; start_max where the table has none */
};

struct rg_chunk_info {		/* for stats --columns */
	uint16_t col_id;
	const char *encoding;	/* "const", "dict", "for", "delta", "raw" ... */
	const char *codec;
	size_t stored_bytes, plain_bytes;
};

/*
 * An opened row group. Borrows blob, which must outlive it. Only the header
 * and directory are checked at open; a chunk when it is read.
 */
struct rg {
	struct view blob;
	const struct table *table;
	struct rg_zone zone;
	uint32_t cols;		/* entries in the directory */
	const uint8_t *dir;
};
int rg_open(struct view blob, struct rg *ret_rg, struct err *err);

/* An INT column, decoded. valid: a bit a row, NULL when no row is null. A column the group lacks is all null. */
struct rg_ints {
	const uint64_t *values;
	const uint64_t *valid;
};
/* A BYTES column: row i is dict[codes ? codes[i] : i]. Null rows have any code. */
struct rg_bytes {
	const struct view *dict;
	uint32_t dict_count;
	const uint32_t *codes;
	const uint64_t *valid;
};
/* Memory comes from arena. E_CORRUPT (with column and numbers), E_NO_MEMORY. */
int rg_read_ints(const struct rg *rg, const struct col *col, struct arena *arena,
		 struct rg_ints *ret_ints, struct err *err);
int rg_read_bytes(const struct rg *rg, const struct col *col, struct arena *arena,
		  struct rg_bytes *ret_bytes, struct err *err);
/*
 * The same of some rows, ascending: what is returned is one a row asked for, not one a row of the group. Costs about
 * as much as they are, where the encoding allows it.
 */
int rg_read_ints_at(const struct rg *rg, const struct col *col, const uint32_t *rows, uint32_t count,
		    struct arena *arena, struct rg_ints *ret_ints, struct err *err);
int rg_read_bytes_at(const struct rg *rg, const struct col *col, const uint32_t *rows, uint32_t count,
		     struct arena *arena, struct rg_bytes *ret_bytes, struct err *err);
/*
 * Histograms ready to be added up, one a row: without their sums, of the rows in only (a bit each; of others and null
 * rows nothing but len is set, to 0). 1; 0: they are not stored taken apart, read them as bytes. Memory and errors as above.
 */
struct rg_hists {
	const struct hist_part *parts;
	const uint64_t *valid;
	size_t bytes;		/* what was decoded */
};
int rg_read_hists(const struct rg *rg, const struct col *col, const uint64_t *only, struct arena *arena,
		  struct rg_hists *ret_hists, struct err *err);
/*
 * Which rows have a value that passes, without decoding the column: numbers in one of the spans (ascending,
 * disjoint), strings that fits() says 1 of; it is asked once an entry of the dictionary. bits has a bit a row.
 * 1; 0: not as it is stored here, read it instead; E_CORRUPT, E_NO_MEMORY, what fits() returns below 0. Memory as above.
 */
struct chunk_span;
int rg_match_ints(const struct rg *rg, const struct col *col, const struct chunk_span *spans, size_t spans_count,
		  struct arena *arena, uint64_t *bits, struct err *err);
struct rg_wanted {
	int (*fits)(const void *arg, struct view text, struct err *err);
	const void *arg;
	const struct view *texts;	/* NULL; or all it says 1 of, ascending: some encodings find them quicker */
	size_t texts_count;
};
int rg_match_bytes(const struct rg *rg, const struct col *col, const struct rg_wanted *want, struct arena *arena,
		   uint64_t *bits, struct err *err);
/* Whole rows [from, from + count) as row structs (see schema.h): for sealing and small tables. */
int rg_read_rows(const struct rg *rg, struct arena *arena, void **ret_rows, struct err *err);
/* i-th directory entry; 1, 0 past the end. */
int rg_chunk_info(const struct rg *rg, uint32_t i, struct rg_chunk_info *ret_info);
/* Ask the kernel to read these columns (a bit an ordinal; NULL: all), and do not wait. They are decoded next. */
void rg_want(const struct rg *rg, const uint64_t *ordinals);
/* Check every chunk's checksum and that it decodes. */
int rg_verify(const struct rg *rg, struct err *err);

static inline bool rg_valid(const uint64_t *valid, uint32_t row)
{
	return !valid || (valid[row / 64] >> (row % 64) & 1);
}

#endif
