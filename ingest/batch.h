/*
 * What a worker hands to the writer: rows of all tables with their texts, and
 * blocks of packets. Filled by one thread, written by another, then emptied and
 * used again.
 */
#ifndef INGEST_BATCH_H
#define INGEST_BATCH_H

#include "base/arena.h"
#include "schema/schema.h"
#include "store/packet_block.h"
#include "store/store.h"

struct batch_rows {
	uint8_t *at;
	size_t count, cap;
};

#define BATCH_BLOCKS_OPEN 4	/* hours a capture may jump between without a block a packet */
#define BATCH_GAPS_MAX 64

struct batch {
	struct batch_rows rows[TABLE_MAX + 1];
	struct arena texts;
	struct packet_block **blocks;	/* [0, blocks_used) hold packets; the rest wait to be used */
	size_t blocks_used, blocks_count, blocks_cap;
	size_t open[BATCH_BLOCKS_OPEN];	/* indexes of blocks that still take packets, latest first */
	size_t open_count;
	struct store_gap gaps[BATCH_GAPS_MAX];
	size_t gaps_count;
	struct wr status;		/* JSON, empty: none */
	uint64_t packets, packet_bytes;	/* in the blocks */
	size_t row_bytes;		/* of all rows */
	uint64_t newest_ns;		/* of the frames */
	uint64_t dropped_rows;		/* memory was out */
	bool commit;			/* commit when this one is written */
};

struct batch *batch_new(void);		/* NULL: out of memory */
void batch_free(struct batch *batch);
void batch_reset(struct batch *batch);
/* About the memory it holds. */
size_t batch_bytes(const struct batch *batch);
bool batch_empty(const struct batch *batch);

/* A zeroed row at the end of a table; NULL when memory is out (counted). Valid until the next one of that table. */
void *batch_row(struct batch *batch, enum table_id table);
/* Copies a row, its texts included. */
void batch_add(struct batch *batch, enum table_id table, const void *row);
/* The same in two steps, for a row that is not finished: the copy, NULL as above, then, when it is, its texts. */
void *batch_begin(struct batch *batch, enum table_id table, const void *row);
void batch_finish(struct batch *batch, enum table_id table);
/* A copy that lives as long as the batch; at is NULL when memory is out. */
struct view batch_text(struct batch *batch, struct view text);
/* Adds up with the last one when cause and source are the same and the times touch. */
void batch_gap(struct batch *batch, const struct store_gap *gap);
/* Copies the frame into the block of its hour. E_NO_MEMORY. */
int batch_packet(struct batch *batch, uint64_t source, const struct packet_rec *rec);

#endif
