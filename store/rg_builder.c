#include "store/rg_builder.h"

#include <assert.h>

#include "base/hash.h"
#include "base/mem.h"

#define ROWS_CAP_MIN 256u
#define TEXT_BYTES_MAX (64u << 20)	/* of all columns: the builder calls itself full beyond */

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
		row_mark(col->presence == PRESENCE_REQ ? builder->required : builder->optional, (unsigned)i);
	}
	return builder;
}

void rg_builder_free(struct rg_builder *builder)
{
	if (!builder)
		return;
	for (size_t i = 0; i < builder->table->cols_count; i++) {
		struct rg_column *column = &builder->columns[i];

		mem_free(column->valid);
		mem_free(column->ints);
		mem_free(column->codes);
		mem_free(column->texts.entries);
		mem_free(column->texts.slots);
		wr_release(&column->texts.bytes);
	}
	chunk_scratch_release(&builder->scratch);
	mem_free(builder->columns);
	mem_free(builder);
}

void rg_builder_reset(struct rg_builder *builder)
{
	for (size_t i = 0; i < builder->table->cols_count; i++) {
		struct rg_column *column = &builder->columns[i];
		struct rg_texts *texts = &column->texts;

		if (column->cap)
			memset(column->valid, 0, column->cap / 8);
		if (texts->slots_count)
			memset(texts->slots, 0, texts->slots_count * sizeof(*texts->slots));
		texts->count = 0;
		wr_reset(&texts->bytes);
		column->valid_count = 0;
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
	size_t bytes = sizeof(*builder) + builder->scratch.cap * 4 * sizeof(uint64_t);

	for (size_t i = 0; i < builder->table->cols_count; i++) {
		const struct rg_column *column = &builder->columns[i];

		bytes += sizeof(*column) + column->cap / 8 +
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
	uint32_t *slots = mem_array(slots_count, sizeof(*slots));

	if (!slots)
		return E_NO_MEMORY;
	for (size_t i = 0; i < texts->count; i++) {
		size_t slot = texts->entries[i].hash & (slots_count - 1);

		while (slots[slot])
			slot = (slot + 1) & (slots_count - 1);
		slots[slot] = (uint32_t)i + 1;
	}
	mem_free(texts->slots);
	texts->slots = slots;
	texts->slots_count = slots_count;
	return 0;
}

static bool text_is(const struct rg_texts *texts, const struct rg_text *entry, uint32_t hash, struct view bytes)
{
	return entry->hash == hash && entry->len == bytes.len &&
	       (bytes.len == 0 || memcmp(texts->bytes.at + entry->at, bytes.at, bytes.len) == 0);
}

static int text_append(struct rg_texts *texts, uint32_t hash, struct view bytes)
{
	if (mem_grow((void **)&texts->entries, &texts->cap, texts->count, sizeof(*texts->entries)) < 0)
		return E_NO_MEMORY;
	texts->entries[texts->count] = (struct rg_text){ texts->bytes.len, (uint32_t)bytes.len, hash };
	wr_bytes(&texts->bytes, bytes);
	if (texts->bytes.bad) {
		texts->bytes.bad = false;	/* nothing was appended: the next one may be smaller */
		return E_NO_MEMORY;
	}
	texts->count++;
	return 0;
}

/* The entry of bytes, made when there is none. */
static int text_code(struct rg_builder *builder, struct rg_column *column, struct view bytes, uint32_t *ret_code)
{
	struct rg_texts *texts = &column->texts;
	uint32_t hash = column->unique ? 0 : (uint32_t)hash_bytes(bytes.at, bytes.len, 0);
	size_t slot = 0;

	if (!column->unique) {
		if (2 * texts->count >= texts->slots_count && slots_double(texts) < 0)
			return E_NO_MEMORY;
		for (slot = hash & (texts->slots_count - 1); texts->slots[slot];
		     slot = (slot + 1) & (texts->slots_count - 1)) {
			uint32_t code = texts->slots[slot] - 1;

			if (text_is(texts, &texts->entries[code], hash, bytes)) {
				*ret_code = code;
				return 0;
			}
		}
	}
	if (text_append(texts, hash, bytes) < 0)
		return E_NO_MEMORY;
	if (!column->unique)
		texts->slots[slot] = (uint32_t)texts->count;
	builder->text_bytes += bytes.len;
	*ret_code = (uint32_t)texts->count - 1;
	return 0;
}

/* ---- rows ---- */

static int column_reserve(struct rg_column *column, uint32_t row)
{
	size_t cap = column->cap ? column->cap : ROWS_CAP_MIN;
	void *values;
	uint64_t *valid;

	while (cap <= row)
		cap *= 2;
	values = column->is_bytes ? mem_resize(column->codes, cap, sizeof(*column->codes)) :
				    mem_resize(column->ints, cap, sizeof(*column->ints));
	if (!values)
		return E_NO_MEMORY;
	if (column->is_bytes)
		column->codes = values;
	else
		column->ints = values;
	valid = mem_resize(column->valid, cap / 64, sizeof(*valid));
	if (!valid)
		return E_NO_MEMORY;
	memset(valid + column->cap / 64, 0, (cap - column->cap) / 8);
	column->valid = valid;
	column->cap = cap;
	return 0;
}

static int value_gather(struct rg_builder *builder, struct rg_column *column, const uint8_t *at, uint32_t row)
{
	struct view bytes;
	uint64_t v = 0;

	switch ((enum gather)column->kind) {
	case GATHER_U8:
		column->ints[row] = *at;
		return 0;
	case GATHER_U16:
		memcpy(&v, at, 2);
		column->ints[row] = v;
		return 0;
	case GATHER_U32:
		memcpy(&v, at, 4);
		column->ints[row] = v;
		return 0;
	case GATHER_U64:
		memcpy(&v, at, 8);
		column->ints[row] = v;
		return 0;
	case GATHER_IP:
		bytes = view_make(at, sizeof(struct ip));
		break;
	case GATHER_VIEW:
		memcpy(&bytes, at, sizeof(bytes));
		break;
	}
	if (bytes.len > RG_VALUE_BYTES_MAX)
		return E_RANGE;
	return text_code(builder, column, bytes, &column->codes[row]);
}

/* Strings stay in their dictionaries; nothing names them, and rg_write leaves such entries out. */
static void row_undo(struct rg_builder *builder, uint32_t row)
{
	for (size_t i = 0; i < builder->table->cols_count; i++) {
		struct rg_column *column = &builder->columns[i];

		if (column->cap > row && rg_valid(column->valid, row)) {
			column->valid[row / 64] &= ~(1ull << (row % 64));
			column->valid_count--;
		}
	}
}

int rg_builder_add(struct rg_builder *builder, const void *row_struct)
{
	const uint64_t *has = row_struct;
	const uint8_t *members = row_struct;
	uint32_t row = builder->rows;
	int rc;

	if (row == RG_ROWS_MAX || (row && builder->text_bytes >= TEXT_BYTES_MAX))
		return E_LIMIT;
	for (unsigned word = 0; word < SCHEMA_HAS_WORDS; word++) {
		uint64_t present = builder->required[word] | (has[word] & builder->optional[word]);

		for (; present; present &= present - 1) {
			unsigned ordinal = word * 64 + (unsigned)__builtin_ctzll(present);
			struct rg_column *column = &builder->columns[ordinal];

			rc = row < column->cap ? 0 : column_reserve(column, row);
			if (rc == 0)
				rc = value_gather(builder, column, members + column->col->offset, row);
			if (rc < 0) {
				row_undo(builder, row);
				return rc;
			}
			column->valid[row / 64] |= 1ull << (row % 64);
			column->valid_count++;
		}
	}
	builder->rows++;
	return 0;
}
