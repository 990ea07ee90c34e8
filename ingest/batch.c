#include "ingest/batch.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"

struct batch *batch_new(void)
{
	struct batch *batch = mem_zalloc(sizeof(*batch));

	if (!batch)
		return NULL;
	arena_init(&batch->texts, 0);
	wr_init(&batch->status, 0);
	return batch;
}

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	for (int i = 0; i <= TABLE_MAX; i++)
		mem_free(batch->rows[i].at);
	for (size_t i = 0; i < batch->blocks_count; i++) {
		packet_block_release(batch->blocks[i]);
		mem_free(batch->blocks[i]);
	}
	mem_free(batch->blocks);
	arena_release(&batch->texts);
	wr_release(&batch->status);
	mem_free(batch);
}

void batch_reset(struct batch *batch)
{
	for (int i = 0; i <= TABLE_MAX; i++)
		batch->rows[i].count = 0;
	for (size_t i = 0; i < batch->blocks_used; i++)
		packet_block_reset(batch->blocks[i]);
	batch->blocks_used = batch->open_count = batch->gaps_count = 0;
	arena_reset(&batch->texts);
	wr_reset(&batch->status);
	batch->row_bytes = 0;
	batch->packets = batch->packet_bytes = batch->newest_ns = batch->dropped_rows = 0;
	batch->commit = false;
}

size_t batch_bytes(const struct batch *batch)
{
	return batch->texts.used_bytes + batch->packet_bytes + batch->packets * sizeof(struct packet_rec) +
	       batch->row_bytes;
}

bool batch_empty(const struct batch *batch)
{
	for (int i = 1; i <= TABLE_MAX; i++)
		if (batch->rows[i].count)
			return false;
	return !batch->packets && !batch->gaps_count && !batch->status.len && !batch->commit;
}

static void *row_new(struct batch *batch, enum table_id table, size_t row_bytes)
{
	struct batch_rows *rows = &batch->rows[table];
	void *row;

	if (mem_grow((void **)&rows->at, &rows->cap, rows->count, row_bytes) < 0) {
		batch->dropped_rows++;
		return NULL;
	}
	row = rows->at + rows->count++ * row_bytes;
	batch->row_bytes += row_bytes;
	return row;
}

void *batch_row(struct batch *batch, enum table_id table)
{
	size_t row_bytes = table_get(table)->row_bytes;
	void *row = row_new(batch, table, row_bytes);

	if (row)
		memset(row, 0, row_bytes);
	return row;
}

/* Columns that hold texts, by ordinal. */
struct text_cols {
	bool known;
	uint64_t required[SCHEMA_HAS_WORDS], optional[SCHEMA_HAS_WORDS];
	uint16_t offset[SCHEMA_HAS_WORDS * 64];
};

/* Worked out once a thread: rows are added by the hundred thousand, and few of their columns are texts. */
static const struct text_cols *text_cols(const struct table *table)
{
	static _Thread_local struct text_cols known[TABLE_MAX + 1];
	struct text_cols *texts = &known[table->id];

	if (texts->known)
		return texts;
	texts->known = true;
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		uint64_t *words = col->presence == PRESENCE_REQ ? texts->required : texts->optional;

		if (types[col->type].phys != PHYS_BYTES || col->type == TYPE_IP)
			continue;
		words[col->ordinal / 64] |= 1ull << (col->ordinal % 64);
		texts->offset[col->ordinal] = col->offset;
	}
	return texts;
}

void *batch_begin(struct batch *batch, enum table_id id, const void *row)
{
	size_t row_bytes = table_get(id)->row_bytes;
	void *copy = row_new(batch, id, row_bytes);

	return copy ? memcpy(copy, row, row_bytes) : NULL;
}

void batch_finish(struct batch *batch, enum table_id id)
{
	const struct table *table = table_get(id);
	const struct text_cols *texts = text_cols(table);
	const struct batch_rows *rows = &batch->rows[id];
	uint8_t *row = rows->at + (rows->count - 1) * table->row_bytes;
	const uint8_t *last = rows->count > 1 ? row - table->row_bytes : NULL;
	const uint64_t *has = (const void *)row, *had = (const void *)last;

	for (unsigned word = 0; word < SCHEMA_HAS_WORDS; word++) {
		uint64_t now = texts->required[word] | (has[word] & texts->optional[word]);
		uint64_t then = last ? texts->required[word] | (had[word] & texts->optional[word]) : 0;

		for (; now; now &= now - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(now);
			size_t offset = texts->offset[word * 64 + bit];
			struct view text, before = { 0 };

			memcpy(&text, row + offset, sizeof(text));
			/* Most texts of a row are those of the row before: of one client, to one service. */
			if (then >> bit & 1)
				memcpy(&before, last + offset, sizeof(before));
			text = text.len && view_eq(text, before) ? before : batch_text(batch, text);
			memcpy(row + offset, &text, sizeof(text));
		}
	}
}

void batch_add(struct batch *batch, enum table_id table, const void *row)
{
	if (batch_begin(batch, table, row))
		batch_finish(batch, table);
}

struct view batch_text(struct batch *batch, struct view text)
{
	if (!text.len)
		return (struct view){ 0 };
	text = arena_copy(&batch->texts, text);
	return text.at ? text : (struct view){ 0 };
}

void batch_gap(struct batch *batch, const struct store_gap *gap)
{
	struct store_gap *last = batch->gaps_count ? &batch->gaps[batch->gaps_count - 1] : NULL;

	if (last && last->source == gap->source && strcmp(last->reason, gap->reason) == 0 &&
	    (batch->gaps_count == BATCH_GAPS_MAX ||
	     (gap->from_ns <= last->to_ns + NS_PER_SEC && last->from_ns <= gap->to_ns + NS_PER_SEC))) {
		if (gap->from_ns < last->from_ns)
			last->from_ns = gap->from_ns;
		if (gap->to_ns > last->to_ns)
			last->to_ns = gap->to_ns;
		last->packets += gap->packets;
		last->bytes += gap->bytes;
	} else if (batch->gaps_count < BATCH_GAPS_MAX) {
		batch->gaps[batch->gaps_count++] = *gap;
	} else {	/* of another cause, but better too wide than not told */
		last->from_ns = gap->from_ns < last->from_ns ? gap->from_ns : last->from_ns;
		last->to_ns = gap->to_ns > last->to_ns ? gap->to_ns : last->to_ns;
		last->packets += gap->packets;
		last->bytes += gap->bytes;
	}
}

/* A block that takes no packet yet, opened first in line. */
static struct packet_block *fresh_block(struct batch *batch, uint64_t source)
{
	size_t index = batch->blocks_used;
	struct packet_block *block;

	if (index == batch->blocks_count) {
		if (mem_grow((void **)&batch->blocks, &batch->blocks_cap, batch->blocks_count,
			     sizeof(*batch->blocks)) < 0)
			return NULL;
		block = mem_zalloc(sizeof(*block));
		if (!block || packet_block_init(block, source) < 0) {
			mem_free(block);
			return NULL;
		}
		batch->blocks[batch->blocks_count++] = block;
	}
	block = batch->blocks[index];
	block->source = source;
	batch->blocks_used++;
	if (batch->open_count == BATCH_BLOCKS_OPEN)
		batch->open_count--;
	memmove(batch->open + 1, batch->open, batch->open_count * sizeof(batch->open[0]));
	batch->open[0] = index;
	batch->open_count++;
	return block;
}

static void close_block(struct batch *batch, size_t slot)
{
	batch->open_count--;
	memmove(batch->open + slot, batch->open + slot + 1, (batch->open_count - slot) * sizeof(batch->open[0]));
}

int batch_packet(struct batch *batch, uint64_t source, const struct packet_rec *rec)
{
	uint64_t hour = rec->time_ns / NS_PER_HOUR;
	struct packet_block *block = NULL;
	size_t slot = 0;
	int rc;

	for (; slot < batch->open_count; slot++) {
		block = batch->blocks[batch->open[slot]];
		if (block->hour == hour && block->source == source)
			break;
	}
	if (slot == batch->open_count) {
		block = fresh_block(batch, source);
		slot = 0;
		if (!block)
			return E_NO_MEMORY;
	}
	rc = packet_block_add(block, rec);
	if (rc < 0)
		return rc;
	if (rc == 1)
		close_block(batch, slot);
	batch->packets++;
	batch->packet_bytes += rec->frame.len;
	if (rec->time_ns > batch->newest_ns)
		batch->newest_ns = rec->time_ns;
	return 0;
}
