#include <assert.h>

#include "base/mem.h"
#include "store/hist_column.h"
#include "store/rg_writing.h"

#define PACK_BYTES_MIN 64u		/* smaller chunks: the codec's own header eats the gain */
#define SAMPLE_BYTES ((size_t)16 << 10)
#define DERIVE_ROWS_MIN 16u		/* fewer rows are not worth the look */
#define SPLIT_ROWS_MAX 2048u		/* to put numbers together takes time: in larger groups they are bit-packed */
#define SAMPLE_FROM (4 * SAMPLE_BYTES)	/* chunks from here on are tried on a sample first */
static int no_memory(struct err *err)
{
	return err_set(err, E_NO_MEMORY, "row group: out of memory");
}

/* Bit c of word r becomes bit r of word c (Hacker's Delight 7-3, for 64). */
static void transpose(uint64_t m[64])
{
	uint64_t mask = 0x00000000ffffffffull;

	for (unsigned j = 32; j; j >>= 1, mask ^= mask << j) {
		for (unsigned k = 0; k < 64; k = (k + j + 1) & ~j) {
			uint64_t t = (m[k] >> j ^ m[k + j]) & mask;

			m[k] ^= t << j;
			m[k + j] ^= t;
		}
	}
}

/* A bit a column in every row, to a bit a row in every column. */
static void valid_fill(struct writing *writing)
{
	const struct rg_builder *builder = writing->builder;
	size_t cols = builder->table->cols_count;

	for (size_t w = 0; w < writing->words; w++) {
		uint32_t from = (uint32_t)w * 64, n = builder->rows - from < 64 ? builder->rows - from : 64;

		for (size_t ordinal = 0; ordinal < cols; ordinal += 64) {
			uint64_t square[64] = { 0 };

			for (uint32_t i = 0; i < n; i++)
				square[i] = builder->present[from + i].word[ordinal / 64];
			transpose(square);
			for (size_t i = 0; i < 64 && ordinal + i < cols; i++) {
				writing->valid[(ordinal + i) * writing->words + w] = square[i];
				writing->valid_count[ordinal + i] += (uint32_t)__builtin_popcountll(square[i]);
			}
		}
	}
}

/* Columns are null together (all of TCP in a UDP flow): one bitmap serves them. Counts the directory. */
static void groups_find(struct writing *writing)
{
	const struct rg_builder *builder = writing->builder;

	for (size_t i = 0; i < builder->table->cols_count; i++) {
		uint32_t count = writing->valid_count[i];

		if (builder->table->cols[i].index == INDEX_DERIVED)
			count = writing->valid_count[i] = 0;
		writing->group[i] = writing->group_entry[i] = NO_GROUP;
		if (count == 0)
			continue;
		writing->entries++;
		if (count == builder->rows)
			continue;
		for (size_t j = 0; j < i && writing->group[i] == NO_GROUP; j++)
			if (writing->group[j] == j && writing->valid_count[j] == count &&
			    memcmp(valid_of(writing, i), valid_of(writing, j), writing->words * 8) == 0)
				writing->group[i] = (uint16_t)j;
		if (writing->group[i] == NO_GROUP) {
			writing->group[i] = (uint16_t)i;
			writing->entries++;
		}
	}
}

static int writing_init(struct writing *writing)
{
	size_t rows = writing->builder->rows, cols = writing->builder->table->cols_count;

	wr_init(&writing->plain, 0);
	wr_init(&writing->other, 0);
	wr_init(&writing->split, 0);
	writing->list_group = NO_GROUP;
	writing->words = (rows + 63) / 64;
	writing->valid = mem_array(cols, (writing->words + 1) * sizeof(*writing->valid));
	writing->valid_count = mem_array(cols, sizeof(*writing->valid_count));
	writing->group = mem_array(cols, 2 * sizeof(*writing->group));
	writing->list = mem_array(rows, sizeof(*writing->list));
	writing->bitmap = mem_array(writing->words, sizeof(*writing->bitmap));
	writing->ints = mem_array(rows, 2 * sizeof(*writing->ints));
	writing->codes = mem_array(rows, sizeof(*writing->codes));
	if (!writing->valid || !writing->valid_count || !writing->group || !writing->list || !writing->bitmap ||
	    !writing->ints || !writing->codes)
		return E_NO_MEMORY;
	writing->differences = writing->ints + rows;
	writing->group_entry = writing->group + cols;
	return writing->derive ? derive_init(writing) : 0;
}

static void writing_release(struct writing *writing)
{
	wr_release(&writing->plain);
	wr_release(&writing->other);
	wr_release(&writing->split);
	mem_free(writing->valid);
	mem_free(writing->valid_count);
	mem_free(writing->group);
	mem_free(writing->list);
	mem_free(writing->bitmap);
	mem_free(writing->ints);
	mem_free(writing->codes);
	mem_free(writing->dict);
	derive_release(writing);
}

/* ---- chunks ---- */

static bool gains(size_t packed, size_t plain)
{
	return packed <= plain - plain / 10;
}

/* Bytes that do not compress are common (bit-packed ones): a sample is cheaper than finding out in full. */
static int sample_gains(struct writing *writing, struct view plain, struct err *err)
{
	size_t at = writing->out->len, packed;
	int rc;

	if (plain.len < SAMPLE_FROM)
		return 1;
	rc = codec_pack(writing->codec, writing->level, view_sub(plain, plain.len / 2, SAMPLE_BYTES), writing->out,
			err);
	if (rc < 0)
		return rc;
	packed = writing->out->len - at;
	writing->out->len = at;
	return packed < SAMPLE_BYTES - SAMPLE_BYTES / 20;
}

/* Append the chunk in writing->plain, packed where that pays, and its directory entry. */
static int chunk_store(struct writing *writing, struct rg_entry *entry, struct err *err)
{
	struct view plain = wr_view(&writing->plain);
	struct wr *out = writing->out;
	size_t at = out->len;
	int rc;

	if (plain.len > RG_CHUNK_BYTES_MAX)
		return err_set(err, E_LIMIT, "row group: column %u: %zu bytes in one chunk", entry->col_id,
			       plain.len);
	entry->codec = CODEC_NONE;
	entry->plain_len = (uint32_t)plain.len;
	if (writing->codec != CODEC_NONE && plain.len >= PACK_BYTES_MIN && entry->enc != CHUNK_HIST &&
	    !writing->plain_split) {
		rc = sample_gains(writing, plain, err);
		if (rc > 0)
			rc = codec_pack(writing->codec, writing->level, plain, out, err);
		if (rc < 0)
			return rc;
		if (out->len > at && gains(out->len - at, plain.len))
			entry->codec = (uint8_t)writing->codec;
		else
			out->len = at;
	}
	if (entry->codec == CODEC_NONE)
		wr_bytes(out, plain);
	if (out->bad)
		return no_memory(err);
	if (out->len - writing->start > UINT32_MAX)
		return err_set(err, E_LIMIT, "row group: %zu bytes", out->len - writing->start);
	entry->offset = (uint32_t)(at - writing->start);
	entry->stored_len = (uint32_t)(out->len - at);
	entry->checksum = codec_checksum(view_make(out->at + at, out->len - at));
	return 0;
}

static void entry_store(struct writing *writing, const struct rg_entry *entry)
{
	size_t at = writing->start + RG_HEADER_BYTES + (size_t)writing->entries_done * RG_ENTRY_BYTES;

	assert(writing->entries_done < writing->entries);
	rg_entry_put(writing->out->at + at, entry);
	writing->entries_done++;
}

/* list and bitmap of the rows in which this column has a value. */
static void list_fill(struct writing *writing, size_t ordinal)
{
	const uint64_t *valid = valid_of(writing, ordinal);
	uint32_t rows = writing->builder->rows, count = 0;

	memset(writing->bitmap, 0, writing->words * sizeof(*writing->bitmap));
	for (uint32_t place = 0; place < rows; place++) {
		uint32_t row = row_at(writing, place);
		uint64_t bit = valid[row / 64] >> (row % 64) & 1;

		writing->list[count] = row;	/* kept by the step below; count < rows here */
		count += (uint32_t)bit;
		writing->bitmap[place / 64] |= bit << (place % 64);
	}
	assert(count == writing->valid_count[ordinal]);
	writing->list_group = writing->group[ordinal];
}

static int bitmap_store(struct writing *writing, size_t ordinal, struct err *err)
{
	struct rg_entry entry = { .col_id = RG_COL_BITMAP, .enc = CHUNK_BITMAP };
	int rc;

	entry.count = writing->valid_count[ordinal];
	writing->plain_split = false;
	wr_reset(&writing->plain);
	wr_bytes(&writing->plain, view_make(writing->bitmap, (writing->builder->rows + 7) / 8));
	if (writing->plain.bad)
		return no_memory(err);
	rc = chunk_store(writing, &entry, err);
	if (rc < 0)
		return rc;
	writing->group_entry[writing->group[ordinal]] = writing->entries_done;
	entry_store(writing, &entry);
	return 0;
}

/* The values of a column without its nulls, in the order of writing. */
static const uint64_t *ints_collect(struct writing *writing, const struct rg_column *column, const uint32_t *rows,
				    uint32_t count)
{
	if (!rows)
		return column->ints;
	for (uint32_t i = 0; i < count; i++)
		writing->ints[i] = column->ints[rows[i]];
	return writing->ints;
}

static const uint32_t *codes_collect(struct writing *writing, const struct rg_column *column, const uint32_t *rows,
				     uint32_t count)
{
	if (!rows)
		return column->codes;
	for (uint32_t i = 0; i < count; i++)
		writing->codes[i] = column->codes[rows[i]];
	return writing->codes;
}

/* Histograms stand in plain as strings: taken apart they take less, and packing them again would gain nothing. */
static int hists_encode(struct writing *writing, const uint32_t *codes, uint32_t count)
{
	int rc;

	wr_reset(&writing->other);
	wr_u8(&writing->other, CHUNK_HIST);
	rc = hist_column_write(writing->dict, codes, count, writing->level, &writing->other, NULL);
	if (rc < 0)
		return rc;
	if (rc == 0 || writing->other.len > writing->plain.len - writing->plain.len / 4)
		return CHUNK_PLAIN;
	writing_swap(writing);
	return CHUNK_HIST;
}

static int texts_encode(struct writing *writing, size_t ordinal, const uint32_t *codes, uint32_t count)
{
	const struct rg_texts *texts = &writing->builder->columns[ordinal].texts;
	uint32_t *places;
	int rc;

	if (texts->count > writing->dict_cap) {
		struct view *dict = mem_resize(writing->dict, texts->count, sizeof(*dict));

		if (!dict)
			return E_NO_MEMORY;
		writing->dict = dict;
		writing->dict_cap = texts->count;
	}
	for (size_t i = 0; i < texts->count; i++)
		writing->dict[i] = view_make(texts->bytes.at + texts->entries[i].at, texts->entries[i].len);
	places = mem_array(texts->count, sizeof(*places));
	if (!places)
		return E_NO_MEMORY;
	rc = chunk_bytes_write_places(writing->dict, texts->count, codes, count, writing->codec == CODEC_ZSTD,
				      writing->scratch, &writing->plain, places);
	if (writing->derive && rc >= 0 && rc != CHUNK_PLAIN && rc != CHUNK_HEX) {
		writing->derived[ordinal].places = places;	/* given up there when nobody asks for it */
		return derive_texts(writing, ordinal, rc);
	}
	mem_free(places);
	return rc == CHUNK_PLAIN && writing->codec == CODEC_ZSTD &&
	       writing->builder->columns[ordinal].col->type == TYPE_HIST ? hists_encode(writing, codes, count) : rc;
}

/* Times and ids of a row lie close to its start: columns that are tried as differences to it. */
static bool near_start(const struct writing *writing, size_t ordinal)
{
	const struct table *table = writing->builder->table;
	const struct col *col = &table->cols[ordinal];

	return ordinal != table->start_ord && types[table->cols[table->start_ord].type].row_bytes == 8 &&
	       writing->group[table->start_ord] == NO_GROUP &&
	       (col->type == TYPE_ID || (col->type == TYPE_U64 && col->unit == UNIT_TIME));
}

/* As chunk_ints_write into other, of the differences to the start of each row. */
static int differences_encode(struct writing *writing, size_t ordinal, const uint64_t *ints, const uint32_t *rows,
			      uint32_t count)
{
	const struct table *table = writing->builder->table;
	const uint64_t *starts = writing->builder->columns[table->start_ord].ints;
	struct rg_shift shift = rg_shift_of(&table->cols[ordinal]);
	int rc;

	for (uint32_t i = 0; i < count; i++)
		writing->differences[i] = ints[i] - (starts[rows ? rows[i] : i] >> shift.down << shift.up);
	wr_reset(&writing->other);
	wr_u8(&writing->other, CHUNK_REF);
	wr_u16le(&writing->other, table->cols[table->start_ord].id);
	wr_u8(&writing->other, shift.down);
	wr_u8(&writing->other, shift.up);
	rc = chunk_ints_write(writing->differences, count, writing->scratch, &writing->other);
	writing->other_split = writing->scratch->split;
	return rc < 0 ? rc : CHUNK_REF;
}

static int ints_encode(struct writing *writing, size_t ordinal, const uint64_t *ints, const uint32_t *rows,
		       uint32_t count)
{
	int enc = chunk_ints_write(ints, count, writing->scratch, &writing->plain);
	int rc;

	writing->plain_split = writing->scratch->split;
	if (enc < 0 || enc == CHUNK_CONST)
		return enc;
	if (near_start(writing, ordinal)) {
		rc = differences_encode(writing, ordinal, ints, rows, count);
		if (rc < 0)
			return rc;
		if (writing->other.len < writing->plain.len) {
			writing_swap(writing);
			enc = CHUNK_REF;
		}
	}
	return writing->derive ? derive_ints(writing, ordinal, ints, rows, count, enc) : enc;
}

/* What the chunk in writing->plain will take, about. < 0: E_NO_MEMORY. */
static int64_t packed_bytes(struct writing *writing, struct err *err)
{
	struct view plain = wr_view(&writing->plain);
	size_t at = writing->out->len, packed;
	int rc;

	if (plain.len < PACK_BYTES_MIN)
		return (int64_t)plain.len;
	rc = codec_pack(writing->codec, writing->level, plain, writing->out, err);
	if (rc < 0)
		return rc;
	packed = writing->out->len - at;
	writing->out->len = at;
	return (int64_t)(gains(packed, plain.len) ? packed : plain.len);
}

/*
 * Heads that are packed by themselves lose what repeats in the low bits: the chunk is made without them as well, and
 * the shorter one stays.
 */
static int ints_choose(struct writing *writing, size_t ordinal, const uint64_t *ints, const uint32_t *rows, uint32_t count,
		       struct err *err)
{
	struct derived was;
	int64_t bytes;
	int split, enc;

	writing->scratch->splits = writing->derive && writing->builder->rows <= SPLIT_ROWS_MAX;
	split = ints_encode(writing, ordinal, ints, rows, count);
	writing->scratch->splits = false;
	if (split < 0 || split == CHUNK_CONST || !writing->plain_split)
		return split;
	was = writing->derived[ordinal];
	wr_reset(&writing->split);
	wr_bytes(&writing->split, wr_view(&writing->plain));
	wr_reset(&writing->plain);
	enc = ints_encode(writing, ordinal, ints, rows, count);
	if (enc < 0)
		return enc;
	bytes = packed_bytes(writing, err);
	if (bytes < 0 || writing->split.bad)
		return E_NO_MEMORY;
	if (bytes <= (int64_t)writing->split.len)
		return enc;
	writing->derived[ordinal] = was;
	writing->must_know |= RG_MUST_SPLIT;
	writing->plain_split = true;
	wr_reset(&writing->plain);
	wr_bytes(&writing->plain, wr_view(&writing->split));
	return split;
}

static int column_store(struct writing *writing, size_t ordinal, struct err *err)
{
	const struct rg_column *column = &writing->builder->columns[ordinal];
	bool nulls = writing->group[ordinal] != NO_GROUP;
	struct rg_entry entry = { .col_id = column->col->id, .type = (uint8_t)column->col->type };
	const uint32_t *rows = writing->order;	/* of the values; NULL: all as they lie */
	uint32_t count = writing->valid_count[ordinal];
	const uint64_t *ints;
	int rc;

	if (nulls && writing->list_group != writing->group[ordinal])
		list_fill(writing, ordinal);
	if (nulls && writing->group_entry[writing->group[ordinal]] == NO_GROUP) {
		rc = bitmap_store(writing, ordinal, err);
		if (rc < 0)
			return rc;
	}
	if (nulls) {
		rows = writing->list;
		entry.nulls = RG_NULLS_BITMAP;
		entry.bitmap = writing->group_entry[writing->group[ordinal]];
	}
	entry.count = count;
	writing->plain_split = false;
	wr_reset(&writing->plain);
	if (column->is_bytes) {
		rc = texts_encode(writing, ordinal, codes_collect(writing, column, rows, count), count);
	} else {
		ints = ints_collect(writing, column, rows, count);
		rc = ints_choose(writing, ordinal, ints, rows, count, err);
		if (rc == CHUNK_CONST) {	/* no chunk: the directory holds it */
			entry.enc = CHUNK_CONST;
			entry.checksum = ints[0];
			entry_store(writing, &entry);
			return 0;
		}
	}
	if (rc < 0)
		return no_memory(err);
	entry.enc = (uint8_t)rc;
	if (rc == CHUNK_PREDICT || rc == CHUNK_MAP)
		writing->must_know |= RG_MUST_DERIVE;
	if (rc == CHUNK_HIST)
		writing->must_know |= RG_MUST_HIST;
	if (rc == CHUNK_HEX)
		writing->must_know |= RG_MUST_HEX;
	rc = chunk_store(writing, &entry, err);
	if (rc == 0)
		entry_store(writing, &entry);
	return rc;
}

/* What a column may follow from comes before it. */
static int column_and_sources_store(struct writing *writing, size_t ordinal, struct err *err)
{
	int from, rc = 0;

	while (rc == 0 && (from = derive_missing(writing, ordinal)) >= 0)
		rc = column_and_sources_store(writing, (size_t)from, err);
	if (rc < 0 || writing->derived[ordinal].stored)
		return rc;
	writing->derived[ordinal].stored = true;
	return writing->valid_count[ordinal] ? column_store(writing, ordinal, err) : 0;
}

/* ---- the whole ---- */

/* start_ns and end_ns are there in every row: PRESENCE_REQ, which the unit test of the schema checks. */
static struct rg_zone zone_of(const struct rg_builder *builder)
{
	const struct table *table = builder->table;
	const uint64_t *starts = builder->columns[table->start_ord].ints;
	const uint64_t *ends = builder->columns[table->end_ord >= 0 ? table->end_ord : table->start_ord].ints;
	struct rg_zone zone = { .rows = builder->rows };

	zone.start_min = builder->rows ? UINT64_MAX : 0;
	for (uint32_t row = 0; row < builder->rows; row++) {
		zone.start_min = starts[row] < zone.start_min ? starts[row] : zone.start_min;
		zone.start_max = starts[row] > zone.start_max ? starts[row] : zone.start_max;
		zone.end_max = ends[row] > zone.end_max ? ends[row] : zone.end_max;
	}
	return zone;
}

static void header_store(struct writing *writing)
{
	const struct rg_zone zone = zone_of(writing->builder);

	writing->start = envelope_begin(writing->out, RG_MAGIC, RG_VERSION, 0, 0);
	wr_u16le(writing->out, (uint16_t)writing->builder->table->id);
	wr_u16le(writing->out, writing->entries);
	wr_u32le(writing->out, zone.rows);
	wr_u64le(writing->out, zone.start_min);
	wr_u64le(writing->out, zone.start_max);
	wr_u64le(writing->out, zone.end_max);
	wr_u64le(writing->out, table_fingerprint(writing->builder->table));
	(void)wr_space(writing->out, (size_t)writing->entries * RG_ENTRY_BYTES);
}

int rg_builder_write(struct rg_builder *builder, const uint32_t *order, enum rg_codec codec, int level,
		     struct wr *out, struct err *err)
{
	struct writing writing = {
		.builder = builder, .order = order, .codec = (enum codec)codec, .level = level,
		.out = out, .start = out->len, .scratch = &builder->scratch,
		.derive = codec == RG_CODEC_ZSTD && builder->rows >= DERIVE_ROWS_MIN,
	};
	int rc = E_NO_MEMORY;

	builder->scratch.patches = writing.derive;
	builder->scratch.patched = false;
	builder->scratch.hexes = true;

	if (writing_init(&writing) < 0) {
		(void)no_memory(err);
		goto out;
	}
	builder->scratch.quick = codec == RG_CODEC_LZ4;	/* a hot row group, which lives an hour */
	valid_fill(&writing);
	groups_find(&writing);
	header_store(&writing);
	if (out->bad) {
		(void)no_memory(err);
		goto out;
	}
	for (size_t i = 0; i < builder->table->cols_count; i++) {
		if (writing.derive)
			rc = column_and_sources_store(&writing, i, err);
		else
			rc = writing.valid_count[i] ? column_store(&writing, i, err) : 0;
		if (rc < 0)
			goto out;
	}
	assert(writing.entries_done == writing.entries);
	if (builder->scratch.patched)
		writing.must_know |= RG_MUST_DERIVE;
	if (writing.must_know)
		envelope_must_know(out, writing.start, writing.must_know);
	rc = envelope_end(out, writing.start, RG_HEADER_BYTES + (size_t)writing.entries * RG_ENTRY_BYTES, err);
out:
	if (rc < 0)
		out->len = writing.start;
	writing_release(&writing);
	return rc;
}
