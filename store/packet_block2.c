/* Writing. */
#include "store/packet_block2.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/chunk.h"

#define WHAT "packet block"
#define PACK_MIN 64u	/* a section of less is not worth a try */
#define AHEAD 6u	/* frames that are fetched before their turn: they lie all over the window */

void packet_block2_init(struct packet_block2 *block)
{
	*block = (struct packet_block2){ .count = 0 };
	for (unsigned i = 0; i < HEADER_STREAMS; i++)
		wr_init(&block->headers[i], 0);
	wr_init(&block->runs, 0);
	wr_init(&block->groups, 0);
	wr_init(&block->flow_ids, 0);
	wr_init(&block->payload, 0);
	packet_refs_init(&block->refs);
}

void packet_block2_release(struct packet_block2 *block)
{
	for (unsigned i = 0; i < HEADER_STREAMS; i++)
		wr_release(&block->headers[i]);
	wr_release(&block->runs);
	wr_release(&block->groups);
	wr_release(&block->flow_ids);
	wr_release(&block->payload);
	mem_free(block->sums);
	block->sums = NULL;
	block->sums_cap = 0;
	packet_refs_release(&block->refs);
}

/* ---- taking apart ---- */

static void block_begin(struct packet_block2 *block, uint64_t source, const struct packet_rec *recs, uint32_t count)
{
	block->source = source;
	block->recs = recs;
	block->count = count;
	block->time_min = block->time_max = recs[0].time_ns;
	block->number_min = block->number_max = recs[0].number;
	block->plain_bytes = 0;
	block->time_scale = 1000;
	block->groups_count = block->flow_count = 0;
	for (unsigned i = 0; i < HEADER_STREAMS; i++)
		wr_reset(&block->headers[i]);
	wr_reset(&block->runs);
	wr_reset(&block->groups);
	wr_reset(&block->flow_ids);
	wr_reset(&block->payload);
}

/* Spans and scale; E_UNSUPPORTED for what the format has no room for. */
static int block_look(struct packet_block2 *block, struct err *err)
{
	for (uint32_t i = 0; i < block->count; i++) {
		const struct packet_rec *rec = &block->recs[i];

		if (rec->dir > 1 || (i && rec->flow_id < rec[-1].flow_id))
			return err_set(err, E_UNSUPPORTED, WHAT ": direction %u, flows %s", rec->dir,
				       i && rec->flow_id < rec[-1].flow_id ? "not in order" : "in order");
		block->time_min = rec->time_ns < block->time_min ? rec->time_ns : block->time_min;
		block->time_max = rec->time_ns > block->time_max ? rec->time_ns : block->time_max;
		block->number_min = rec->number < block->number_min ? rec->number : block->number_min;
		block->number_max = rec->number > block->number_max ? rec->number : block->number_max;
		if (rec->time_ns % 1000)
			block->time_scale = 1;
		block->plain_bytes += rec->frame.len;
	}
	assert(block->time_min / NS_PER_HOUR == block->time_max / NS_PER_HOUR);
	return 0;
}

static void flows_write(struct packet_block2 *block)
{
	uint64_t last = 0;

	for (uint32_t from = 0, to; from < block->count; from = to) {
		uint64_t id = block->recs[from].flow_id;

		for (to = from + 1; to < block->count && block->recs[to].flow_id == id; to++)
			;
		wr_varint(&block->runs, to - from);
		wr_varint(&block->flow_ids, id - last);
		last = id;
		block->flow_count++;
	}
}

static void group_end(struct packet_block2 *block, uint32_t frames, uint64_t sum)
{
	wr_varint(&block->groups, frames);
	wr_u64le(&block->groups, sum);
	block->groups_count++;
}

static void frames_take(struct packet_block2 *block)
{
	struct header_coder coder;
	uint32_t frames = 0;
	size_t bytes = 0;
	uint64_t sum = 0;

	header_coder_init(&coder, block->time_min, block->number_min, block->time_scale);
	for (uint32_t i = 0; i < block->count; i++) {
		const struct packet_rec *rec = &block->recs[i];
		size_t head;

		if (i + AHEAD < block->count) {
			__builtin_prefetch(rec[AHEAD].frame.at);
			__builtin_prefetch(rec[AHEAD].frame.at + 64);
		}
		head = header_encode(&coder, rec, block->headers, &block->sums[i]);

		wr_bytes(&block->payload, view_sub(rec->frame, head, rec->frame.len));
		sum = packet_group_fold(sum, rec->frame);
		bytes += rec->frame.len;
		frames++;
		if (bytes >= PACKET_BLOCK2_GROUP_BYTES || i + 1 == block->count) {
			group_end(block, frames, sum);
			bytes = frames = 0;
			sum = 0;
		}
	}
}

static bool is_bad(const struct packet_block2 *block)
{
	for (unsigned i = 0; i < HEADER_STREAMS; i++)
		if (block->headers[i].bad)
			return true;
	return block->runs.bad || block->groups.bad || block->flow_ids.bad || block->payload.bad;
}

/* What a reader will make of the headers. */
static int headers_verify(const struct packet_block2 *block, struct err *err)
{
	struct rd streams[HEADER_STREAMS];
	struct header_coder coder;
	size_t payload = 0;

	for (unsigned i = 0; i < HEADER_STREAMS; i++)
		streams[i] = rd_make(wr_view(&block->headers[i]));
	header_coder_init(&coder, block->time_min, block->number_min, block->time_scale);
	for (uint32_t i = 0; i < block->count; i++) {
		const struct packet_rec *rec = &block->recs[i];
		uint8_t header[HEADER_BYTES_MAX];
		struct packet_rec got = { .flow_id = rec->flow_id, .link = rec->link };
		struct header_sums sums;
		size_t head = 0;
		int rc;

		got.orig_len = rec->orig_len - (uint32_t)rec->frame.len;
		rc = header_decode(&coder, streams, &got, header, &head, &sums, err);
		if (rc < 0)
			return rc;
		if (got.time_ns != rec->time_ns || got.number != rec->number || got.dir != rec->dir ||
		    got.orig_len != rec->orig_len || got.frame.len != rec->frame.len ||
		    !header_same(rec, &block->sums[i], header, head, &sums))
			return err_set(err, E_INTERNAL, "frame %llu comes back otherwise",
				       (unsigned long long)rec->number);
		payload += rec->frame.len - head;
	}
	return payload == block->payload.len ? 0 : err_set(err, E_INTERNAL, "payload of another length");
}

int packet_block2_take(struct packet_block2 *block, uint64_t source, const struct packet_rec *recs, uint32_t count,
		       struct err *err)
{
	struct err why = { 0 };
	int rc;

	assert(count >= 1 && count <= PACKET_BLOCK_RECS_MAX);
	block_begin(block, source, recs, count);
	rc = block_look(block, err);
	if (rc < 0)
		return rc;
	if (block->sums_cap < count) {
		struct header_sums *sums = mem_resize(block->sums, count, sizeof(*sums));

		if (!sums)
			return err_set(err, E_NO_MEMORY, WHAT ": out of memory with %u records", count);
		block->sums = sums;
		block->sums_cap = count;
	}
	flows_write(block);
	frames_take(block);
	if (is_bad(block))
		return err_set(err, E_NO_MEMORY, WHAT ": out of memory with %u records", count);
	rc = headers_verify(block, &why);
	return rc < 0 ? err_set(err, E_INTERNAL, WHAT ": %s", why.text) : 0;
}

int packet_block2_dedup(struct packet_block2 *block, struct packet_dedup *dedup, struct err *err)
{
	int rc = packet_dedup_block(dedup, wr_view(&block->payload), &block->refs);

	return rc < 0 ? err_set(err, rc, WHAT ": out of memory with %zu bytes of payload", block->payload.len) : 0;
}

/* ---- packing ---- */

static void section_write(struct view plain, int level, struct wr *out, int *rc, struct err *err)
{
	wr_varint(out, plain.len);
	if (plain.len == 0 || *rc < 0)
		return;
	if (plain.len >= PACK_MIN) {
		struct wr packed;

		wr_init(&packed, 0);
		*rc = codec_pack(CODEC_ZSTD, level, plain, &packed, err);
		if (*rc == 0 && packed.len < plain.len - plain.len / 32) {
			wr_u8(out, CODEC_ZSTD);
			wr_vbytes(out, wr_view(&packed));
			wr_release(&packed);
			return;
		}
		wr_release(&packed);
	}
	wr_u8(out, CODEC_NONE);
	wr_bytes(out, plain);
}

static uint64_t column_of(const struct packet_rec *rec, unsigned column)
{
	switch ((enum packet_column)column) {
	case PC_CUT:	/* bytes not captured; a file that claims less than it holds wraps around */
		return (uint32_t)(rec->orig_len - (uint32_t)rec->frame.len);
	case PC_IFACE:
		return rec->iface;
	case PC_LINK:
		return rec->link;
	case PC_SEGMENTS:
		return rec->segments;
	case PACKET_COLUMNS:
		break;
	}
	assert(!"a column");
	return 0;
}

static int records_write(const struct packet_block2 *block, struct wr *out)
{
	uint64_t *values = mem_array(block->count, sizeof(*values));
	struct chunk_scratch scratch = { 0 };
	int rc = values ? 0 : E_NO_MEMORY;

	for (unsigned column = 0; column < PACKET_COLUMNS && rc >= 0; column++) {
		for (uint32_t i = 0; i < block->count; i++)
			values[i] = column_of(&block->recs[i], column);
		rc = chunk_ints_write(values, block->count, &scratch, out);
	}
	chunk_scratch_release(&scratch);
	mem_free(values);
	return rc < 0 ? rc : 0;
}

static void header_write(const struct packet_block2 *block, struct wr *out)
{
	/* A block that fits the units there were at first, and names no others, is as it was. */
	bool long_units = block->refs.own.len > PACKET_UNIT_BYTES_1 || block->refs.far_count;

	(void)envelope_begin(out, PACKET_BLOCK_MAGIC, PACKET_BLOCK2_VERSION, long_units ? PACKET_MUST_UNITS : 0, 0);
	wr_u64le(out, block->source);
	wr_u64le(out, block->time_min / NS_PER_HOUR);
	wr_u64le(out, block->time_min);
	wr_u64le(out, block->time_max);
	wr_u64le(out, block->number_min);
	wr_u64le(out, block->number_max);
	wr_u32le(out, block->count);
	wr_u32le(out, block->flow_count);
	wr_u32le(out, (uint32_t)block->flow_ids.len);
	wr_u32le(out, (uint32_t)block->plain_bytes);
	wr_u32le(out, (uint32_t)block->payload.len);
	wr_u32le(out, block->groups_count);
	wr_u64le(out, block->refs.own_first);
	wr_u32le(out, block->refs.own_count);
	wr_u32le(out, (uint32_t)block->refs.far_count);
	wr_u32le(out, block->time_scale == 1 ? 0 : 1);
}

static int sections_write(const struct packet_block2 *block, int level, struct wr *out, struct err *err)
{
	const struct packet_refs *refs = &block->refs;
	struct wr records, far;
	uint64_t last = refs->own_first;
	int rc;

	wr_init(&records, 0);
	wr_init(&far, 0);
	rc = records_write(block, &records);
	for (size_t i = 0; i < refs->far_count; i++) {
		wr_svarint(&far, (int64_t)(refs->far[i] - last));
		last = refs->far[i];
	}
	if (rc < 0 || far.bad)
		rc = err_set(err, E_NO_MEMORY, WHAT ": out of memory");
	section_write(wr_view(&records), level, out, &rc, err);
	section_write(wr_view(&block->runs), level, out, &rc, err);
	for (unsigned i = 0; i < HEADER_STREAMS; i++)
		section_write(wr_view(&block->headers[i]), level, out, &rc, err);
	section_write(wr_view(&refs->literals), level, out, &rc, err);
	section_write(wr_view(&refs->units), level, out, &rc, err);
	section_write(wr_view(&refs->offsets), level, out, &rc, err);
	section_write(wr_view(&refs->lengths), level, out, &rc, err);
	section_write(wr_view(&far), level, out, &rc, err);
	section_write(wr_view(&block->groups), level, out, &rc, err);
	wr_release(&records);
	wr_release(&far);
	return rc;
}

static int units_write(const struct packet_refs *refs, int level, struct wr *units, struct wr *unit_bytes,
		       struct err *err)
{
	bool raw = false;

	for (uint32_t i = 0; i < refs->own_count; i++) {
		struct view plain = view_sub(wr_view(&refs->own), (size_t)i << PACKET_UNIT_BITS, PACKET_UNIT_BYTES);
		size_t at = units->len;
		int rc = packet_unit_write(refs->own_first + i, plain, level, &raw, units, err);

		if (rc < 0)
			return rc;
		wr_u32le(unit_bytes, (uint32_t)(units->len - at));
	}
	return unit_bytes->bad ? err_set(err, E_NO_MEMORY, WHAT ": out of memory") : 0;
}

int packet_block2_pack(const struct packet_block2 *block, int level, struct wr *out, struct wr *units,
		       struct wr *unit_bytes, struct err *err)
{
	size_t start = out->len;
	int rc;

	header_write(block, out);
	wr_bytes(out, wr_view(&block->flow_ids));
	rc = sections_write(block, level, out, err);
	if (rc == 0)
		rc = envelope_end(out, start, out->len - start, err);
	if (rc == 0)
		rc = units_write(&block->refs, level, units, unit_bytes, err);
	if (rc < 0)
		out->len = start;
	return rc;
}
