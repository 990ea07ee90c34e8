/* Writing. */
#include "store/packet_block2.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"

#define WHAT "packet block"
#define PACK_MIN 64u	/* a section of less is not worth a try */
#define BATCH 16u	/* frames that are taken apart, then checked, while the next ones are fetched */
#define FETCH_BYTES 2048u	/* of a frame: what is longer the processor fetches by itself */

void packet_block2_init(struct packet_block2 *block)
{
	*block = (struct packet_block2){ .count = 0 };
	for (unsigned i = 0; i < HEADER_STREAMS; i++)
		wr_init(&block->headers[i], 0);
	wr_init(&block->runs, 0);
	wr_init(&block->groups, 0);
	wr_init(&block->flow_ids, 0);
	wr_init(&block->payload, 0);
	wr_init(&block->packed, 0);
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
	wr_release(&block->packed);
	mem_free(block->sums);
	mem_free(block->values);
	chunk_scratch_release(&block->scratch);
	block->sums = NULL;
	block->values = NULL;
	block->sums_cap = block->values_cap = 0;
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

/* A frame whose turn comes soon: they lie all over the window. */
static void fetch(const struct packet_rec *rec)
{
	size_t len = rec->frame.len < FETCH_BYTES ? rec->frame.len : FETCH_BYTES;

	for (size_t at = 0; at < len; at += 64)
		__builtin_prefetch(rec->frame.at + at, 0, 2);
}

/* Streams of headers, and how far they were read again. */
struct check {
	struct header_coder coder;
	size_t at[HEADER_STREAMS];
	size_t payload;
};

/* What a reader will make of the headers just written: they and their frames are still in the nearest cache. */
static int headers_verify(const struct packet_block2 *block, struct check *check, uint32_t from, uint32_t to,
			  struct err *err)
{
	struct rd streams[HEADER_STREAMS];

	for (unsigned i = 0; i < HEADER_STREAMS; i++)
		streams[i] = rd_make(view_sub(wr_view(&block->headers[i]), check->at[i], block->headers[i].len));
	for (uint32_t i = from; i < to; i++) {
		const struct packet_rec *rec = &block->recs[i];
		uint8_t header[HEADER_BYTES_MAX];
		struct packet_rec got = { .flow_id = rec->flow_id, .link = rec->link };
		struct header_sums sums;
		size_t head = 0;
		int rc;

		got.orig_len = rec->orig_len - (uint32_t)rec->frame.len;
		rc = header_decode(&check->coder, streams, &got, header, &head, &sums, err);
		if (rc < 0)
			return rc;
		if (got.time_ns != rec->time_ns || got.number != rec->number || got.dir != rec->dir ||
		    got.orig_len != rec->orig_len || got.frame.len != rec->frame.len ||
		    !header_same(rec, &block->sums[i], header, head, &sums))
			return err_set(err, E_INTERNAL, "frame %llu comes back otherwise",
				       (unsigned long long)rec->number);
		check->payload += rec->frame.len - head;
	}
	for (unsigned i = 0; i < HEADER_STREAMS; i++) {
		if (streams[i].bad || rd_left(&streams[i]))
			return err_set(err, E_INTERNAL, "stream %u is not read to its end", i);
		check->at[i] = block->headers[i].len;
	}
	return check->payload == block->payload.len ? 0 : err_set(err, E_INTERNAL, "payload of another length");
}

/* A group being filled: what is read and checked at least. */
struct group {
	uint32_t frames;
	size_t bytes;
	uint64_t sum;
};

static void frames_take(struct packet_block2 *block, struct header_coder *coder, struct group *group, uint32_t from,
			uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		const struct packet_rec *rec = &block->recs[i];
		size_t head;

		if (i + BATCH < block->count)
			fetch(&rec[BATCH]);
		head = header_encode(coder, rec, block->headers, &block->sums[i]);
		wr_bytes(&block->payload, view_sub(rec->frame, head, rec->frame.len));
		group->sum = packet_group_fold(group->sum, rec->frame);
		group->bytes += rec->frame.len;
		group->frames++;
		if (group->bytes >= PACKET_BLOCK2_GROUP_BYTES || i + 1 == block->count) {
			group_end(block, group->frames, group->sum);
			*group = (struct group){ .frames = 0 };
		}
	}
}

/* E_NO_MEMORY, or E_INTERNAL and why: a frame would come back otherwise. */
static int batches_take(struct packet_block2 *block, struct err *err)
{
	struct header_coder coder;
	struct check check = { .payload = 0 };
	struct group group = { .frames = 0 };

	header_coder_init(&coder, block->time_min, block->number_min, block->time_scale);
	header_coder_init(&check.coder, block->time_min, block->number_min, block->time_scale);
	(void)wr_reserve(&block->payload, block->plain_bytes);
	for (uint32_t i = 0; i < BATCH && i < block->count; i++)
		fetch(&block->recs[i]);
	for (uint32_t from = 0, to; from < block->count; from = to) {
		int rc;

		to = block->count - from < BATCH ? block->count : from + BATCH;
		for (unsigned i = 0; i < HEADER_STREAMS; i++)
			if (!wr_reserve(&block->headers[i], (size_t)BATCH * HEADER_STREAM_BYTES_MAX))
				return E_NO_MEMORY;
		frames_take(block, &coder, &group, from, to);
		if (block->payload.bad)
			return E_NO_MEMORY;
		rc = headers_verify(block, &check, from, to, err);
		if (rc < 0)
			return rc == E_NO_MEMORY ? rc : E_INTERNAL;
	}
	return block->runs.bad || block->groups.bad || block->flow_ids.bad ? E_NO_MEMORY : 0;
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
	rc = batches_take(block, &why);
	if (rc == E_NO_MEMORY)
		return err_set(err, rc, WHAT ": out of memory with %u records", count);
	return rc < 0 ? err_set(err, rc, WHAT ": %s", why.text) : 0;
}

int packet_block2_dedup(struct packet_block2 *block, struct packet_dedup *dedup, struct err *err)
{
	int rc = packet_dedup_block(dedup, wr_view(&block->payload), &block->refs);

	return rc < 0 ? err_set(err, rc, WHAT ": out of memory with %zu bytes of payload", block->payload.len) : 0;
}

/* ---- packing ---- */

static void section_write(struct view plain, int level, struct wr *packed, struct wr *out, int *rc, struct err *err)
{
	wr_varint(out, plain.len);
	if (plain.len == 0 || *rc < 0)
		return;
	if (plain.len >= PACK_MIN) {
		wr_reset(packed);
		*rc = codec_pack(CODEC_ZSTD, level, plain, packed, err);
		if (*rc == 0 && packed->len < plain.len - plain.len / 32) {
			wr_u8(out, CODEC_ZSTD);
			wr_vbytes(out, wr_view(packed));
			return;
		}
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

static int values_reserve(struct packet_block2 *block)
{
	uint64_t *values;

	if (block->values_cap >= block->count)
		return 0;
	values = mem_resize(block->values, block->count, sizeof(*values));
	if (!values)
		return E_NO_MEMORY;
	block->values = values;
	block->values_cap = block->count;
	return 0;
}

/* One value, which says it all, as a rule. */
static int column_write(struct packet_block2 *block, unsigned column, struct wr *out)
{
	uint64_t first = column_of(&block->recs[0], column);
	uint32_t same = 1;

	while (same < block->count && column_of(&block->recs[same], column) == first)
		same++;
	if (same == block->count)
		return chunk_ints_write(&first, 1, &block->scratch, out);
	if (values_reserve(block) < 0)
		return E_NO_MEMORY;
	for (uint32_t i = 0; i < block->count; i++)
		block->values[i] = i < same ? first : column_of(&block->recs[i], column);
	return chunk_ints_write(block->values, block->count, &block->scratch, out);
}

static int records_write(struct packet_block2 *block, struct wr *out)
{
	int rc = 0;

	for (unsigned column = 0; column < PACKET_COLUMNS && rc >= 0; column++)
		rc = column_write(block, column, out);
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

static int sections_write(struct packet_block2 *block, int level, struct wr *out, struct err *err)
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
	section_write(wr_view(&records), level, &block->packed, out, &rc, err);
	section_write(wr_view(&block->runs), level, &block->packed, out, &rc, err);
	for (unsigned i = 0; i < HEADER_STREAMS; i++)
		section_write(wr_view(&block->headers[i]), level, &block->packed, out, &rc, err);
	section_write(wr_view(&refs->literals), level, &block->packed, out, &rc, err);
	section_write(wr_view(&refs->units), level, &block->packed, out, &rc, err);
	section_write(wr_view(&refs->offsets), level, &block->packed, out, &rc, err);
	section_write(wr_view(&refs->lengths), level, &block->packed, out, &rc, err);
	section_write(wr_view(&far), level, &block->packed, out, &rc, err);
	section_write(wr_view(&block->groups), level, &block->packed, out, &rc, err);
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

int packet_block2_pack(struct packet_block2 *block, int level, struct wr *out, struct wr *units,
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
