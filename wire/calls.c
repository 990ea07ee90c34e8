#include "wire/calls.h"

#include <assert.h>

#include "base/mem.h"
#include "wire/blocks.h"

#define CALLS_MAX_DEFAULT	65536
#define TEXT_BYTES_DEFAULT	((size_t)64 << 20)
#define SLAB_CALLS		64
#define TEXT_BLOCK_BYTES	304	/* a block of 320 with its header: a request of the usual size */

/* A block of a call's texts: they lie one behind the other, and never move. */
struct text {
	struct text *next;
	size_t len;
	_Alignas(16) uint8_t bytes[];
};

/* What a call is in here; the dissector sees the first member. */
struct slot {
	struct call call;
	struct slot *free_next;
	struct text *texts;	/* the newest first; only that one is written to */
};

struct slab {
	struct slab *next;
	struct slot slots[SLAB_CALLS];
};

struct call_pool {
	size_t calls_max;
	size_t conn_bytes_max;	/* what connections remember leaves room for texts of calls */
	size_t open;
	uint64_t refused;
	struct protocols protocols;
	struct slab *slabs;
	struct slot *free;
	struct block_pool *blocks;
	const struct call_sink *note_of;
	size_t note_len;
	uint8_t note[CALL_NOTE_MAX];
};

struct call_pool *call_pool_new(const struct call_pool_opts *opts)
{
	struct call_pool *pool = mem_zalloc(sizeof(*pool));
	size_t text_bytes;

	if (!pool)
		return NULL;
	pool->calls_max = opts && opts->calls_max ? opts->calls_max : CALLS_MAX_DEFAULT;
	if (opts)
		pool->protocols = opts->protocols;
	text_bytes = opts && opts->text_bytes_max ? opts->text_bytes_max : TEXT_BYTES_DEFAULT;
	pool->conn_bytes_max = text_bytes - text_bytes / 4;
	pool->blocks = block_pool_new(text_bytes);
	if (!pool->blocks) {
		mem_free(pool);
		return NULL;
	}
	return pool;
}

void call_pool_free(struct call_pool *pool)
{
	if (!pool)
		return;
	assert(pool->open == 0);
	while (pool->slabs) {
		struct slab *slab = pool->slabs;

		pool->slabs = slab->next;
		mem_free(slab);
	}
	block_pool_free(pool->blocks);
	mem_free(pool);
}

void call_pool_wind_up(struct call_pool *pool)
{
	block_pool_wind_up(pool->blocks);
}

uint64_t call_pool_refused(const struct call_pool *pool)
{
	return pool->refused;
}

bool call_wanted(const struct call_sink *sink, uint8_t l7)
{
	return protocols_has(&sink->pool->protocols, l7);
}

size_t call_pool_open(const struct call_pool *pool)
{
	return pool->open;
}

static struct slot *slot_take(struct call_pool *pool)
{
	struct slot *slot;

	if (pool->open >= pool->calls_max)
		return NULL;
	if (!pool->free) {
		struct slab *slab = mem_alloc(sizeof(*slab));

		if (!slab)
			return NULL;
		slab->next = pool->slabs;
		pool->slabs = slab;
		for (size_t i = SLAB_CALLS; i-- > 0;) {
			slab->slots[i].free_next = pool->free;
			pool->free = &slab->slots[i];
		}
	}
	slot = pool->free;
	pool->free = slot->free_next;
	memset(slot, 0, sizeof(*slot));
	pool->open++;
	return slot;
}

struct call *call_open(struct call_sink *sink, uint16_t l7)
{
	struct slot *slot = slot_take(sink->pool);

	if (!slot) {
		sink->pool->refused++;
		return NULL;
	}
	ROW_SET(CALL, &slot->call.row, l7, (uint8_t)l7);
	sink->open_calls++;
	return &slot->call;
}

void call_refuse(struct call_sink *sink)
{
	sink->pool->refused++;
}

void call_note(struct call_sink *sink, struct view note)
{
	note = view_sub(note, 0, CALL_NOTE_MAX);
	memcpy(sink->pool->note, note.at, note.len);
	sink->pool->note_len = note.len;
	sink->pool->note_of = sink;
}

struct view call_take_note(struct call_sink *sink)
{
	struct call_pool *pool = sink->pool;

	if (pool->note_of != sink)
		return view_make("", 0);
	pool->note_of = NULL;
	return view_make(pool->note, pool->note_len);
}

struct view call_text(struct call_sink *sink, struct call *call, struct view bytes, size_t max)
{
	struct slot *slot = (struct slot *)call;	/* its first member */
	struct text *text = slot->texts;
	uint8_t *at;

	if (bytes.len > max)
		bytes.len = max;
	if (!bytes.len)
		return view_make("", 0);
	if (!text || block_room(text) - sizeof(*text) - text->len < bytes.len) {
		size_t want = sizeof(*text) + bytes.len;

		text = block_take(sink->pool->blocks, want > TEXT_BLOCK_BYTES ? want : TEXT_BLOCK_BYTES);
		if (!text)
			return view_make("", 0);
		text->len = 0;
		text->next = slot->texts;
		slot->texts = text;
	}
	at = text->bytes + text->len;
	memcpy(at, bytes.at, bytes.len);
	text->len += bytes.len;
	return view_make(at, bytes.len);
}

void *call_memory(struct call_sink *sink, struct call *call, size_t bytes)
{
	struct slot *slot = (struct slot *)call;
	struct text *text = block_take(sink->pool->blocks, sizeof(*text) + bytes);

	if (!text)
		return NULL;
	text->len = bytes;
	memset(text->bytes, 0, bytes);
	if (slot->texts) {	/* texts go on where they were */
		text->next = slot->texts->next;
		slot->texts->next = text;
	} else {
		text->next = NULL;
		slot->texts = text;
	}
	return text->bytes;
}

void *conn_memory_take(struct call_sink *sink, size_t bytes)
{
	struct call_pool *pool = sink->pool;

	if (bytes > pool->conn_bytes_max || block_pool_used(pool->blocks) > pool->conn_bytes_max - bytes)
		return NULL;
	return block_take(pool->blocks, bytes);
}

void conn_memory_give(struct call_sink *sink, void *at)
{
	block_give(sink->pool->blocks, at);
}

void call_sink_tls_done(struct call_sink *sink, const struct chunk *chunk, unsigned client, bool app_follows)
{
	if (sink->tls_done_ns)
		return;
	sink->tls_done_ns = chunk->time_ns;
	sink->tls_client = client;
	sink->tls_app_follows = app_follows;
}

uint64_t call_sink_now(const struct call_sink *sink)
{
	return sink->now_ns;
}

void call_request_begin(struct call *call, const struct chunk *chunk, uint64_t off)
{
	call->has_req = true;
	call->req_off = off;
	call->req_dir = chunk->dir;
	ROW_SET(CALL, &call->row, start_ns, chunk_time(chunk, off));
	if (chunk->has_seq)
		ROW_SET(CALL, &call->row, req_seq, chunk->seq + (uint32_t)off);
}

void call_response_begin(struct call *call, const struct chunk *chunk, uint64_t off)
{
	call->has_rsp = true;
	call->rsp_off = off;
	if (!call->has_req)
		call->req_dir = !chunk->dir;
	ROW_SET(CALL, &call->row, rsp_first_ns, chunk_time(chunk, off));
	if (chunk->has_seq)
		ROW_SET(CALL, &call->row, rsp_seq, chunk->seq + (uint32_t)off);
}

void call_request_end(struct call *call, const struct chunk *chunk, uint64_t end_off)
{
	assert(end_off >= call->req_off);
	ROW_SET(CALL, &call->row, req_bytes, end_off - call->req_off);
	ROW_SET(CALL, &call->row, req_last_ns, chunk_time(chunk, end_off - (end_off > call->req_off)));
}

void call_response_end(struct call *call, const struct chunk *chunk, uint64_t end_off)
{
	assert(end_off >= call->rsp_off);
	ROW_SET(CALL, &call->row, rsp_bytes, end_off - call->rsp_off);
	ROW_SET(CALL, &call->row, end_ns, chunk_time(chunk, end_off - (end_off > call->rsp_off)));
}

static uint64_t since(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;	/* captures are not always in time order */
}

/* The columns that follow from those the dissector set. */
static void derive(const struct call_sink *sink, struct call *call, uint8_t reason)
{
	struct call_row *row = &call->row;

	if (reason == CALL_END_complete && ROW_HAS(CALL, row, missing_bytes) && row->missing_bytes)
		reason = CALL_END_gap;
	if (!call->has_req)
		ROW_SET(CALL, row, start_ns, call->has_rsp ? row->rsp_first_ns : sink->now_ns);
	if (!ROW_HAS(CALL, row, end_ns))
		ROW_SET(CALL, row, end_ns, sink->now_ns);
	if (row->end_ns < row->start_ns)
		row->end_ns = row->start_ns;
	if (call->has_req && call->has_rsp && ROW_HAS(CALL, row, rsp_bytes) &&
	    (reason == CALL_END_complete || call->rsp_whole))
		ROW_SET(CALL, row, latency_ns, since(row->start_ns, row->end_ns));
	if (call->has_rsp && ROW_HAS(CALL, row, req_last_ns))
		ROW_SET(CALL, row, ttfb_ns, since(row->req_last_ns, row->rsp_first_ns));
	ROW_SET(CALL, row, end_reason, reason);
	row_mark(row->has, CALL_status_class);
}

void call_end(struct call_sink *sink, struct call *call, uint8_t reason)
{
	struct slot *slot = (struct slot *)call;
	struct call_pool *pool = sink->pool;

	derive(sink, call, reason);
	ROW_SET(CALL, &call->row, number, sink->next_number++);
	ROW_SET(CALL, &call->row, id, schema_id(call->row.start_ns, (*sink->next_id)++));
	sink->emit(sink->arg, call);
	while (slot->texts) {
		struct text *text = slot->texts;

		slot->texts = text->next;
		block_give(pool->blocks, text);
	}
	slot->free_next = pool->free;
	pool->free = slot;
	pool->open--;
	sink->open_calls--;
}

void call_fifo_put(struct call_fifo *fifo, struct call *call)
{
	call->next = NULL;
	if (fifo->tail)
		fifo->tail->next = call;
	else
		fifo->head = call;
	fifo->tail = call;
	fifo->count++;
}

void call_fifo_put_first(struct call_fifo *fifo, struct call *call)
{
	call->next = fifo->head;
	fifo->head = call;
	if (!fifo->tail)
		fifo->tail = call;
	fifo->count++;
}

struct call *call_fifo_take(struct call_fifo *fifo)
{
	struct call *call = fifo->head;

	if (!call)
		return NULL;
	fifo->head = call->next;
	if (!fifo->head)
		fifo->tail = NULL;
	fifo->count--;
	call->next = NULL;
	return call;
}

void call_fifo_end_all(struct call_fifo *fifo, struct call_sink *sink, uint8_t reason)
{
	struct call *call;

	while ((call = call_fifo_take(fifo)))
		call_end(sink, call, reason);
}
