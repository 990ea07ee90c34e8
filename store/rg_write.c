#include <assert.h>

#include "base/mem.h"
#include "store/rg_builder.h"
#include "store/rg_format.h"

#define PACK_BYTES_MIN 64u		/* smaller chunks: the codec's own header eats the gain */
#define SAMPLE_BYTES ((size_t)16 << 10)
#define SAMPLE_FROM (4 * SAMPLE_BYTES)	/* chunks from here on are tried on a sample first */
#define NO_GROUP UINT16_MAX

/* One call of rg_builder_write. */
struct writing {
	const struct rg_builder *builder;
	const uint32_t *order;
	enum codec codec;
	int level;
	size_t start;			/* of the row group in out */
	struct wr *out;
	struct wr plain;		/* the chunk at hand before the codec */
	struct chunk_scratch *scratch;
	uint16_t *group;		/* by ordinal: the first column with the same nulls, NO_GROUP without nulls */
	uint16_t *group_entry;		/* by that column: directory index of its bitmap, NO_GROUP before */
	uint16_t list_group;		/* what list and bitmap are of, NO_GROUP for none */
	uint32_t *list;			/* rows that are not null, in the order of writing */
	uint64_t *bitmap;		/* of places, not of rows */
	uint64_t *ints;
	uint32_t *codes;
	struct view *dict;
	size_t dict_cap;
	uint16_t entries, entries_done;
};

static int no_memory(struct err *err)
{
	return err_set(err, E_NO_MEMORY, "row group: out of memory");
}

static size_t words_of(uint32_t rows)
{
	return (rows + 63) / 64;
}

static uint64_t valid_word(const struct rg_column *column, size_t word)
{
	return word < column->cap / 64 ? column->valid[word] : 0;
}

static bool nulls_same(const struct rg_column *a, const struct rg_column *b, uint32_t rows)
{
	if (a->valid_count != b->valid_count)
		return false;
	for (size_t word = 0; word < words_of(rows); word++)
		if (valid_word(a, word) != valid_word(b, word))
			return false;
	return true;
}

/* Columns are null together (all of TCP in a UDP flow): one bitmap serves them. Counts the directory. */
static void groups_find(struct writing *writing)
{
	const struct rg_builder *builder = writing->builder;

	for (size_t i = 0; i < builder->table->cols_count; i++) {
		const struct rg_column *column = &builder->columns[i];

		writing->group[i] = writing->group_entry[i] = NO_GROUP;
		if (column->valid_count == 0)
			continue;
		writing->entries++;
		if (column->valid_count == builder->rows)
			continue;
		for (size_t j = 0; j < i && writing->group[i] == NO_GROUP; j++)
			if (writing->group[j] == j && nulls_same(&builder->columns[j], column, builder->rows))
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
	writing->list_group = NO_GROUP;
	writing->group = mem_array(cols, 2 * sizeof(*writing->group));
	writing->list = mem_array(rows, sizeof(*writing->list));
	writing->bitmap = mem_array(words_of((uint32_t)rows), sizeof(*writing->bitmap));
	writing->ints = mem_array(rows, sizeof(*writing->ints));
	writing->codes = mem_array(rows, sizeof(*writing->codes));
	if (!writing->group || !writing->list || !writing->bitmap || !writing->ints || !writing->codes)
		return E_NO_MEMORY;
	writing->group_entry = writing->group + cols;
	return 0;
}

static void writing_release(struct writing *writing)
{
	wr_release(&writing->plain);
	mem_free(writing->group);
	mem_free(writing->list);
	mem_free(writing->bitmap);
	mem_free(writing->ints);
	mem_free(writing->codes);
	mem_free(writing->dict);
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
	if (writing->codec != CODEC_NONE && plain.len >= PACK_BYTES_MIN) {
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

static uint32_t row_at(const struct writing *writing, uint32_t place)
{
	return writing->order ? writing->order[place] : place;
}

/* list and bitmap of the rows in which this column has a value. */
static void list_fill(struct writing *writing, size_t ordinal)
{
	const struct rg_column *column = &writing->builder->columns[ordinal];
	uint32_t rows = writing->builder->rows, count = 0;

	memset(writing->bitmap, 0, words_of(rows) * sizeof(*writing->bitmap));
	for (uint32_t place = 0; place < rows; place++) {
		uint32_t row = row_at(writing, place);

		if (row < column->cap && rg_valid(column->valid, row)) {
			writing->list[count++] = row;
			writing->bitmap[place / 64] |= 1ull << (place % 64);
		}
	}
	assert(count == column->valid_count);
	writing->list_group = writing->group[ordinal];
}

static int bitmap_store(struct writing *writing, size_t ordinal, struct err *err)
{
	struct rg_entry entry = { .col_id = RG_COL_BITMAP, .enc = CHUNK_BITMAP };
	int rc;

	entry.count = writing->builder->columns[ordinal].valid_count;
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
static const uint64_t *ints_collect(struct writing *writing, const struct rg_column *column, bool nulls)
{
	uint32_t count = column->valid_count;

	if (nulls) {
		for (uint32_t i = 0; i < count; i++)
			writing->ints[i] = column->ints[writing->list[i]];
	} else if (writing->order) {
		for (uint32_t i = 0; i < count; i++)
			writing->ints[i] = column->ints[writing->order[i]];
	} else {
		return column->ints;
	}
	return writing->ints;
}

static const uint32_t *codes_collect(struct writing *writing, const struct rg_column *column, bool nulls)
{
	uint32_t count = column->valid_count;

	if (nulls) {
		for (uint32_t i = 0; i < count; i++)
			writing->codes[i] = column->codes[writing->list[i]];
	} else if (writing->order) {
		for (uint32_t i = 0; i < count; i++)
			writing->codes[i] = column->codes[writing->order[i]];
	} else {
		return column->codes;
	}
	return writing->codes;
}

static int texts_encode(struct writing *writing, const struct rg_column *column, const uint32_t *codes)
{
	const struct rg_texts *texts = &column->texts;

	if (texts->count > writing->dict_cap) {
		struct view *dict = mem_resize(writing->dict, texts->count, sizeof(*dict));

		if (!dict)
			return E_NO_MEMORY;
		writing->dict = dict;
		writing->dict_cap = texts->count;
	}
	for (size_t i = 0; i < texts->count; i++)
		writing->dict[i] = view_make(texts->bytes.at + texts->entries[i].at, texts->entries[i].len);
	return chunk_bytes_write(writing->dict, texts->count, codes, column->valid_count,
				 writing->codec == CODEC_ZSTD, writing->scratch, &writing->plain);
}

static int column_store(struct writing *writing, size_t ordinal, struct err *err)
{
	const struct rg_column *column = &writing->builder->columns[ordinal];
	bool nulls = writing->group[ordinal] != NO_GROUP;
	struct rg_entry entry = { .col_id = column->col->id, .type = (uint8_t)column->col->type };
	const uint64_t *ints;
	int rc;

	entry.count = column->valid_count;
	if (nulls && writing->list_group != writing->group[ordinal])
		list_fill(writing, ordinal);
	if (nulls && writing->group_entry[writing->group[ordinal]] == NO_GROUP) {
		rc = bitmap_store(writing, ordinal, err);
		if (rc < 0)
			return rc;
	}
	entry.nulls = nulls ? RG_NULLS_BITMAP : RG_NULLS_NONE;
	entry.bitmap = nulls ? writing->group_entry[writing->group[ordinal]] : 0;
	wr_reset(&writing->plain);
	if (column->is_bytes) {
		rc = texts_encode(writing, column, codes_collect(writing, column, nulls));
	} else {
		ints = ints_collect(writing, column, nulls);
		rc = chunk_ints_write(ints, entry.count, writing->scratch, &writing->plain);
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
	rc = chunk_store(writing, &entry, err);
	if (rc == 0)
		entry_store(writing, &entry);
	return rc;
}

/* ---- the whole ---- */

static struct rg_zone zone_of(const struct rg_builder *builder)
{
	const struct table *table = builder->table;
	const struct rg_column *start = &builder->columns[table->start_ord];
	const struct rg_column *end = &builder->columns[table->end_ord >= 0 ? table->end_ord : table->start_ord];
	struct rg_zone zone = { .rows = builder->rows };

	zone.start_min = builder->rows ? UINT64_MAX : 0;
	for (uint32_t row = 0; row < builder->rows; row++) {
		uint64_t ns = row < start->cap && rg_valid(start->valid, row) ? start->ints[row] : 0;

		zone.start_min = ns < zone.start_min ? ns : zone.start_min;
		zone.start_max = ns > zone.start_max ? ns : zone.start_max;
		ns = row < end->cap && rg_valid(end->valid, row) ? end->ints[row] : 0;
		zone.end_max = ns > zone.end_max ? ns : zone.end_max;
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
	};
	int rc = E_NO_MEMORY;

	if (writing_init(&writing) < 0) {
		(void)no_memory(err);
		goto out;
	}
	groups_find(&writing);
	header_store(&writing);
	if (out->bad) {
		(void)no_memory(err);
		goto out;
	}
	for (size_t i = 0; i < builder->table->cols_count; i++) {
		if (builder->columns[i].valid_count == 0)
			continue;
		rc = column_store(&writing, i, err);
		if (rc < 0)
			goto out;
	}
	assert(writing.entries_done == writing.entries);
	rc = envelope_end(out, writing.start, RG_HEADER_BYTES + (size_t)writing.entries * RG_ENTRY_BYTES, err);
out:
	if (rc < 0)
		out->len = writing.start;
	writing_release(&writing);
	return rc;
}
