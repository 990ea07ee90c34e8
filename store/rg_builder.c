#include "store/rg_builder.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

#define ROWS_CAP_MIN 256u
#define SKEW_BYTES 192u		/* three cache lines */
#define SKEW_PERIOD 4096u
#define TEXT_BYTES_MAX (64u << 20)	/* of all columns: the builder calls itself full beyond */
#define TILE_ROWS 32u		/* of wide rows these stay in the nearest cache while column after column is taken */
#define TILE_TEXT_BYTES_MAX 4096u	/* longer ones come by themselves: a tile cannot pass the budget by much */

enum gather { GATHER_U8, GATHER_U16, GATHER_U32, GATHER_U64, GATHER_IP, GATHER_VIEW };

static enum gather gather_of(const struct col *col)
{
	if (col->type == TYPE_IP)
		return GATHER_IP;
	if (types[col->type].phys == PHYS_BYTES)
		return GATHER_VIEW;
	switch (types[col->type].row_bytes) {
	case 1:
		return GATHER_U8;
	case 2:
		return GATHER_U16;
	case 4:
		return GATHER_U32;
	}
	assert(types[col->type].row_bytes == 8);
	return GATHER_U64;
}

struct rg_builder *rg_builder_new(const struct table *table)
{
	struct rg_builder *builder = mem_zalloc(sizeof(*builder));

	if (!builder)
		return NULL;
	builder->table = table;
	builder->columns = mem_array(table->cols_count, sizeof(*builder->columns));
	if (!builder->columns) {
		mem_free(builder);
		return NULL;
	}
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		struct rg_column *column = &builder->columns[i];

		column->col = col;
		column->kind = gather_of(col);
		column->is_bytes = types[col->type].phys == PHYS_BYTES;
		column->unique = col->type == TYPE_HIST;
		wr_init(&column->texts.bytes, 0);
		row_mark(col->presence == PRESENCE_REQ ? builder->required.word : builder->optional.word,
			 (unsigned)i);
	}
	return builder;
}

void rg_builder_free(struct rg_builder *builder)
{
	if (!builder)
		return;
	for (size_t i = 0; i < builder->table->cols_count; i++) {
		struct rg_column *column = &builder->columns[i];

		mem_free(column->memory);
		mem_free(column->texts.entries);
		mem_free(column->texts.slots);
		wr_release(&column->texts.bytes);
	}
	chunk_scratch_release(&builder->scratch);
	mem_free(builder->present);
	mem_free(builder->columns);
	mem_free(builder);
}

void rg_builder_reset(struct rg_builder *builder)
{
	for (size_t i = 0; i < builder->table->cols_count; i++) {
		struct rg_texts *texts = &builder->columns[i].texts;

		if (texts->slots_count)
			memset(texts->slots, 0, texts->slots_count * sizeof(*texts->slots));
		texts->count = 0;
		wr_reset(&texts->bytes);
		builder->columns[i].last = 0;
	}
	builder->rows = 0;
	builder->text_bytes = 0;
}

size_t rg_builder_rows(const struct rg_builder *builder)
{
	return builder->rows;
}

size_t rg_builder_bytes(const struct rg_builder *builder)
{
	size_t bytes = sizeof(*builder) + builder->scratch.cap * 4 * sizeof(uint64_t) +
		       builder->present_cap * sizeof(*builder->present);

	for (size_t i = 0; i < builder->table->cols_count; i++) {
		const struct rg_column *column = &builder->columns[i];

		bytes += sizeof(*column) +
			 column->cap * (column->is_bytes ? sizeof(*column->codes) : sizeof(*column->ints)) +
			 column->texts.cap * sizeof(*column->texts.entries) +
			 column->texts.slots_count * sizeof(*column->texts.slots) + column->texts.bytes.cap;
	}
	return bytes;
}

/* ---- distinct strings ---- */

static int slots_double(struct rg_texts *texts)
{
	size_t slots_count = texts->slots_count ? texts->slots_count * 2 : 64;
	struct rg_slot *slots = mem_array(slots_count, sizeof(*slots));

	if (!slots)
		return E_NO_MEMORY;
	for (size_t i = 0; i < texts->slots_count; i++) {
		size_t at = texts->slots[i].hash & (slots_count - 1);

		if (!texts->slots[i].place)
			continue;
		while (slots[at].place)
			at = (at + 1) & (slots_count - 1);
		slots[at] = texts->slots[i];
	}
	mem_free(texts->slots);
	texts->slots = slots;
	texts->slots_count = slots_count;
	return 0;
}

static bool is_entry(const struct rg_texts *texts, uint32_t place, struct view bytes)
{
	const struct rg_text *entry = &texts->entries[place];
	const uint8_t *at = texts->bytes.at + entry->at;

	if (entry->len != bytes.len)
		return false;
	if (bytes.len == sizeof(struct ip))	/* no call for addresses */
		return memcmp(bytes.at, at, sizeof(struct ip)) == 0;
	return bytes.len == 0 || memcmp(bytes.at, at, bytes.len) == 0;
}

/* The slot that holds bytes, or the free one where they belong. */
static struct rg_slot *slot_find(const struct rg_texts *texts, uint32_t hash, struct view bytes)
{
	for (size_t at = hash & (texts->slots_count - 1);; at = (at + 1) & (texts->slots_count - 1)) {
		struct rg_slot *slot = &texts->slots[at];

		if (!slot->place)
			return slot;
		if (slot->hash == hash && is_entry(texts, slot->place - 1, bytes))
			return slot;
	}
}

static int text_append(struct rg_texts *texts, struct view bytes)
{
	if (mem_grow((void **)&texts->entries, &texts->cap, texts->count, sizeof(*texts->entries)) < 0)
		return E_NO_MEMORY;
	texts->entries[texts->count] = (struct rg_text){ texts->bytes.len, (uint32_t)bytes.len };
	wr_bytes(&texts->bytes, bytes);
	if (texts->bytes.bad) {
		texts->bytes.bad = false;	/* nothing was appended: the next one may be smaller */
		return E_NO_MEMORY;
	}
	texts->count++;
	return 0;
}

static uint32_t text_hash(struct view bytes)
{
	return (uint32_t)hash_bytes(bytes.at, bytes.len, 0);
}

/* Rows come in trains: of one client, to one service. */
static bool is_last(const struct rg_column *column, struct view bytes)
{
	return column->last && is_entry(&column->texts, column->last - 1, bytes);
}

/* The entry of bytes, made when there is none. hash is that of the bytes; any, where they are unique. */
static int text_code(struct rg_builder *builder, struct rg_column *column, struct view bytes, uint32_t hash,
		     uint32_t *ret_code)
{
	struct rg_texts *texts = &column->texts;
	struct rg_slot *slot = NULL;

	if (!column->unique) {
		if (2 * texts->count >= texts->slots_count && slots_double(texts) < 0)
			return E_NO_MEMORY;
		slot = slot_find(texts, hash, bytes);
		if (slot->place) {
			column->last = slot->place;
			*ret_code = slot->place - 1;
			return 0;
		}
	}
	if (text_append(texts, bytes) < 0)
		return E_NO_MEMORY;
	if (slot)
		*slot = (struct rg_slot){ hash, (uint32_t)texts->count };
	column->last = (uint32_t)texts->count;
	builder->text_bytes += bytes.len;
	*ret_code = (uint32_t)texts->count - 1;
	return 0;
}

/* ---- rows ---- */

static int column_reserve(struct rg_column *column, uint32_t row)
{
	size_t skew = column->col->ordinal * SKEW_BYTES % SKEW_PERIOD;
	size_t cap = column->cap ? column->cap : ROWS_CAP_MIN;
	uint8_t *memory;

	while (cap <= row)
		cap *= 2;
	memory = mem_resize(column->memory,
			    cap * (column->is_bytes ? sizeof(*column->codes) : sizeof(*column->ints)) + skew, 1);
	if (!memory)
		return E_NO_MEMORY;
	column->memory = memory;
	if (column->is_bytes)
		column->codes = (uint32_t *)(memory + skew);
	else
		column->ints = (uint64_t *)(memory + skew);
	column->cap = cap;
	return 0;
}

/* Values of rows that lie row_bytes apart, the first one's at `at`, from row on. */
static void ints_gather(struct rg_column *column, const uint8_t *at, size_t row_bytes, uint32_t row, uint32_t count)
{
	uint64_t *ints = column->ints + row;

#define GATHER(bytes)								\
	for (uint32_t i = 0; i < count; i++) {					\
		uint64_t v = 0;							\
										\
		memcpy(&v, at + i * row_bytes, bytes);				\
		ints[i] = v;							\
	}									\
	break

	switch ((enum gather)column->kind) {
	case GATHER_U8:
		GATHER(1);
	case GATHER_U16:
		GATHER(2);
	case GATHER_U32:
		GATHER(4);
	case GATHER_U64:
		GATHER(8);
	case GATHER_IP:
	case GATHER_VIEW:
		assert(!"a column of bytes");
	}
#undef GATHER
}

/* What rows have in common, and what any of them has. */
struct tile {
	const uint8_t *at;
	size_t row_bytes, text_bytes_max;
	uint32_t count;
	struct rg_present all, any;
};

static int present_take(struct rg_builder *builder, struct tile *tile)
{
	while (builder->present_cap < builder->rows + tile->count)
		if (mem_grow((void **)&builder->present, &builder->present_cap, builder->present_cap,
			     sizeof(*builder->present)) < 0)
			return E_NO_MEMORY;
	for (unsigned word = 0; word < SCHEMA_HAS_WORDS; word++) {
		uint64_t all = UINT64_MAX, any = 0;

		for (uint32_t i = 0; i < tile->count; i++) {
			const uint64_t *has = (const void *)(tile->at + i * tile->row_bytes);
			uint64_t present = builder->required.word[word] | (has[word] & builder->optional.word[word]);

			builder->present[builder->rows + i].word[word] = present;
			all &= present;
			any |= present;
		}
		tile->all.word[word] = all;
		tile->any.word[word] = any;
	}
	return 0;
}

/* Texts of a tile that are not looked up yet. */
struct lookup {
	struct view bytes[TILE_ROWS];
	uint32_t hash[TILE_ROWS];
	uint8_t row[TILE_ROWS];		/* in the tile */
	unsigned count;
};

static int lookup_end(struct rg_builder *builder, struct rg_column *column, struct lookup *lookup, uint32_t *codes)
{
	const struct rg_texts *texts = &column->texts;

	/* What a slot names lies anywhere, too. */
	for (unsigned i = 0; i < lookup->count && texts->slots_count; i++) {
		const struct rg_slot *slot = &texts->slots[lookup->hash[i] & (texts->slots_count - 1)];

		if (slot->place && slot->hash == lookup->hash[i])
			__builtin_prefetch(&texts->entries[slot->place - 1]);
	}
	for (unsigned i = 0; i < lookup->count; i++) {
		uint32_t *code = &codes[lookup->row[i]];

		if (is_last(column, lookup->bytes[i]))
			*code = column->last - 1;
		else if (text_code(builder, column, lookup->bytes[i], lookup->hash[i], code) < 0)
			return E_NO_MEMORY;
	}
	lookup->count = 0;
	return 0;
}

/*
 * A column of many strings has a hash table beyond the nearest caches: the
 * slots of a tile's rows are fetched together, before the first is looked at.
 */
static int texts_take(struct rg_builder *builder, const struct tile *tile, struct rg_column *column)
{
	const uint8_t *at = tile->at + column->col->offset;
	unsigned ordinal = column->col->ordinal;
	uint32_t row = builder->rows, *codes = column->codes + row;
	struct rg_texts *texts = &column->texts;
	struct lookup lookup = { .count = 0 };
	struct view before = { 0 }, above = { 0 };	/* looked up last; of the row before that has one */

	for (uint32_t i = 0; i < tile->count; i++, at += tile->row_bytes) {
		struct view bytes = view_make(at, sizeof(struct ip));

		if (!row_has(tile->all.word, ordinal) && !row_has(builder->present[row + i].word, ordinal))
			continue;
		if (column->kind == GATHER_VIEW)
			memcpy(&bytes, at, sizeof(bytes));
		if (bytes.len > tile->text_bytes_max)
			return E_RANGE;
		/* A text that is the one above is often the same memory. */
		if (!lookup.count && !column->unique &&
		    ((bytes.at && bytes.at == above.at && bytes.len == above.len) || is_last(column, bytes))) {
			codes[i] = column->last - 1;
			above = bytes;
			continue;
		}
		above = bytes;
		lookup.hash[lookup.count] = 0;
		if (!column->unique && lookup.count &&
		    ((bytes.at == before.at && bytes.len == before.len) || view_eq(bytes, before)))
			lookup.hash[lookup.count] = lookup.hash[lookup.count - 1];
		else if (!column->unique)
			lookup.hash[lookup.count] = text_hash(bytes);
		if (texts->slots_count)
			__builtin_prefetch(&texts->slots[lookup.hash[lookup.count] & (texts->slots_count - 1)]);
		lookup.bytes[lookup.count] = before = bytes;
		lookup.row[lookup.count++] = (uint8_t)i;
	}
	return lookup_end(builder, column, &lookup, codes);
}

static int column_take(struct rg_builder *builder, const struct tile *tile, unsigned ordinal)
{
	struct rg_column *column = &builder->columns[ordinal];
	uint32_t row = builder->rows, last = row + tile->count - 1;
	int rc = last < column->cap ? 0 : column_reserve(column, last);

	if (rc < 0 || column->is_bytes)
		return rc < 0 ? rc : texts_take(builder, tile, column);
	/* Members that a row does not name may hold anything; so may the places of nulls. */
	ints_gather(column, tile->at + column->col->offset, tile->row_bytes, row, tile->count);
	return 0;
}

/* All of it or nothing: strings made so far stay in their dictionaries; rg_write leaves out what no row names. */
static int tile_add(struct rg_builder *builder, struct tile *tile)
{
	int rc = present_take(builder, tile);

	for (unsigned word = 0; word < SCHEMA_HAS_WORDS && rc == 0; word++)
		for (uint64_t any = tile->any.word[word]; any && rc == 0; any &= any - 1)
			rc = column_take(builder, tile, word * 64 + (unsigned)__builtin_ctzll(any));
	if (rc == 0)
		builder->rows += tile->count;
	return rc;
}

static bool is_full(const struct rg_builder *builder)
{
	return builder->rows == RG_ROWS_MAX || (builder->rows && builder->text_bytes >= TEXT_BYTES_MAX);
}

int rg_builder_add(struct rg_builder *builder, const void *row)
{
	struct tile tile = { .at = row, .count = 1, .row_bytes = builder->table->row_bytes,
			     .text_bytes_max = RG_VALUE_BYTES_MAX };

	return is_full(builder) ? E_LIMIT : tile_add(builder, &tile);
}

int rg_builder_add_rows(struct rg_builder *builder, const void *rows, size_t count, size_t *ret_added)
{
	size_t row_bytes = builder->table->row_bytes, added = 0;
	int rc = 0;

	while (added < count && rc == 0) {
		struct tile tile = { .at = (const uint8_t *)rows + added * row_bytes, .row_bytes = row_bytes,
				     .text_bytes_max = TILE_TEXT_BYTES_MAX };
		size_t left = count - added, room = RG_ROWS_MAX - builder->rows;

		if (is_full(builder)) {
			rc = E_LIMIT;
			break;
		}
		tile.count = (uint32_t)(left < TILE_ROWS ? left : TILE_ROWS);
		tile.count = tile.count < room ? tile.count : (uint32_t)room;
		rc = tile_add(builder, &tile);
		if (rc == 0)
			added += tile.count;
		else if ((rc = rg_builder_add(builder, tile.at)) == 0)	/* one by one it may do */
			added++;
	}
	*ret_added = added;
	return rc;
}

static int column_add_from(struct rg_builder *builder, const struct rg_builder *from, size_t ordinal,
			   const uint32_t *rows, size_t count)
{
	const struct rg_column *theirs = &from->columns[ordinal];
	struct rg_column *ours = &builder->columns[ordinal];
	uint32_t row = builder->rows, last = row + (uint32_t)count - 1;
	int rc = last < ours->cap ? 0 : column_reserve(ours, last);

	for (size_t i = 0; i < count && rc == 0; i++) {
		const struct rg_text *text;
		struct view bytes;

		if (!row_has(from->present[rows[i]].word, (unsigned)ordinal))
			continue;
		if (!theirs->is_bytes) {
			ours->ints[row + i] = theirs->ints[rows[i]];
			continue;
		}
		text = &theirs->texts.entries[theirs->codes[rows[i]]];
		bytes = view_make(theirs->texts.bytes.at + text->at, text->len);
		if (is_last(ours, bytes))
			ours->codes[row + i] = ours->last - 1;
		else
			rc = text_code(builder, ours, bytes, ours->unique ? 0 : text_hash(bytes), &ours->codes[row + i]);
	}
	return rc;
}

int rg_builder_add_from(struct rg_builder *builder, const struct rg_builder *from, const uint32_t *rows, size_t count)
{
	assert(builder->table == from->table && builder != from);
	if (is_full(builder) || count > RG_ROWS_MAX - builder->rows)
		return E_LIMIT;
	if (count == 0)
		return 0;
	while (builder->present_cap < builder->rows + count)
		if (mem_grow((void **)&builder->present, &builder->present_cap, builder->present_cap,
			     sizeof(*builder->present)) < 0)
			return E_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		builder->present[builder->rows + i] = from->present[rows[i]];
	for (size_t c = 0; c < builder->table->cols_count; c++)
		if (column_add_from(builder, from, c, rows, count) < 0)
			return E_NO_MEMORY;
	builder->rows += (uint32_t)count;
	return 0;
}

/* ---- keys ---- */

static int cmp_texts(const void *a, const void *b, void *arg)
{
	const struct rg_texts *texts = arg;
	const struct rg_text *x = &texts->entries[*(const uint32_t *)a], *y = &texts->entries[*(const uint32_t *)b];

	return view_cmp(view_make(texts->bytes.at + x->at, x->len), view_make(texts->bytes.at + y->at, y->len));
}

/* Of each string its place in byte order, from 1. */
static int ranks_make(const struct rg_texts *texts, uint32_t **ret_ranks)
{
	uint32_t *order = mem_array(texts->count + 1, sizeof(*order)), *ranks = mem_array(texts->count + 1, sizeof(*ranks));

	if (!order || !ranks) {
		mem_free(order);
		mem_free(ranks);
		return E_NO_MEMORY;
	}
	for (uint32_t i = 0; i < texts->count; i++)
		order[i] = i;
	if (texts->count)
		qsort_r(order, texts->count, sizeof(*order), cmp_texts, (void *)texts);
	for (uint32_t i = 0; i < texts->count; i++)
		ranks[order[i]] = i + 1;
	mem_free(order);
	*ret_ranks = ranks;
	return 0;
}

int rg_builder_keys(const struct rg_builder *builder, const struct col *col, uint64_t *ret_keys)
{
	const struct rg_column *column = &builder->columns[col->ordinal];
	uint32_t *ranks = NULL;

	if (column->is_bytes && ranks_make(&column->texts, &ranks) < 0)
		return E_NO_MEMORY;
	for (uint32_t row = 0; row < builder->rows; row++) {
		if (!row_has(builder->present[row].word, col->ordinal))
			ret_keys[row] = 0;
		else
			ret_keys[row] = column->is_bytes ? ranks[column->codes[row]] : column->ints[row];
	}
	mem_free(ranks);
	return 0;
}
