#include "store/packet_block.h"

#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/chunk.h"
#include "store/envelope.h"
#include "store/packet_block2.h"

#define WHAT "packet block"
#define MAGIC PACKET_BLOCK_MAGIC
#define VERSION 1
#define HEADER_BYTES 112	/* envelope included; flow ids, columns, frames follow */
#define FRAMES_BYTES_MAX (PACKET_BLOCK_BYTES_MAX + PACKET_BYTES_MAX)
#define COLUMNS_BYTES_MAX (PACKET_BLOCK_RECS_MAX * 80u)

/* Columns in the order they are stored in; the sums of FORMAT.md depend on it. */
enum column { COL_TIME, COL_NUMBER, COL_FLOW, COL_CAP_LEN, COL_CUT, COL_IFACE, COL_LINK, COL_SEGMENTS, COL_DIR, COLS };

/* ---- filling ---- */

int packet_block_init(struct packet_block *block, uint64_t source)
{
	*block = (struct packet_block){ .source = source };
	wr_init(&block->bytes, 0);
	return 0;
}

void packet_block_release(struct packet_block *block)
{
	mem_free(block->recs);
	wr_release(&block->bytes);
	*block = (struct packet_block){ .source = block->source };
}

void packet_block_reset(struct packet_block *block)
{
	block->count = 0;
	block->hour = block->time_min = block->time_max = block->number_min = block->number_max = 0;
	wr_reset(&block->bytes);
}

static bool is_full(const struct packet_block *block)
{
	return block->bytes.len >= PACKET_BLOCK_BYTES_MAX || block->count >= PACKET_BLOCK_RECS_MAX;
}

static void span_widen(struct packet_block *block, uint64_t time_ns, uint64_t number)
{
	if (block->count == 0) {
		block->time_min = block->time_max = time_ns;
		block->number_min = block->number_max = number;
		return;
	}
	block->time_min = time_ns < block->time_min ? time_ns : block->time_min;
	block->time_max = time_ns > block->time_max ? time_ns : block->time_max;
	block->number_min = number < block->number_min ? number : block->number_min;
	block->number_max = number > block->number_max ? number : block->number_max;
}

int packet_block_add(struct packet_block *block, const struct packet_rec *rec)
{
	uint64_t hour = rec->time_ns / NS_PER_HOUR;
	struct packet_rec *slot;

	if (rec->frame.len > PACKET_BYTES_MAX || is_full(block))
		return E_LIMIT;
	if (block->count && hour != block->hour)
		return E_RANGE;
	if (mem_grow((void **)&block->recs, &block->recs_cap, block->count, sizeof(*block->recs)) < 0)
		return E_NO_MEMORY;
	slot = &block->recs[block->count];
	*slot = *rec;
	slot->frame.at = (const uint8_t *)(uintptr_t)block->bytes.len;
	wr_bytes(&block->bytes, rec->frame);
	if (block->bytes.bad) {
		block->bytes.bad = false;	/* nothing was appended: the next one may be smaller */
		return E_NO_MEMORY;
	}
	span_widen(block, rec->time_ns, rec->number);
	block->hour = hour;
	block->count++;
	return is_full(block);
}

struct packet_rec packet_block_rec(const struct packet_block *block, uint32_t index)
{
	struct packet_rec rec;

	assert(index < block->count);
	rec = block->recs[index];
	rec.frame.at = block->bytes.at + (uintptr_t)rec.frame.at;
	return rec;
}

bool packet_want_flow(const struct packet_want *want, uint64_t flow_id)
{
	size_t low = 0, high = want->flow_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (want->flows[mid] < flow_id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < want->flow_count && want->flows[low] == flow_id;
}

/* ---- the distinct flows of a block ---- */

struct flow_place {
	uint64_t id;
	uint64_t place;		/* first seen, then sorted */
};
struct flow_set {
	struct flow_place *flows;	/* distinct */
	uint32_t *slots;	/* index into flows + 1 */
	size_t mask;
	uint64_t *codes;	/* by record, in the order of writing */
	uint32_t count;
};

static void flow_set_release(struct flow_set *set)
{
	mem_free(set->flows);
	mem_free(set->slots);
	mem_free(set->codes);
}

static uint32_t flow_place(struct flow_set *set, uint64_t id)
{
	size_t slot = hash_u64(id) & set->mask;

	while (set->slots[slot] && set->flows[set->slots[slot] - 1].id != id)
		slot = (slot + 1) & set->mask;
	if (!set->slots[slot]) {
		set->flows[set->count] = (struct flow_place){ id, set->count };
		set->slots[slot] = ++set->count;
	}
	return set->slots[slot] - 1;
}

static int cmp_flow(const void *a, const void *b)
{
	const struct flow_place *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static const struct packet_rec *rec_at(const struct packet_block *block, const uint32_t *order, uint32_t i)
{
	assert(!order || order[i] < block->count);
	return &block->recs[order ? order[i] : i];
}

/* The sorted ids, and each record's place among them. */
static int flow_set_take(const struct packet_block *block, const uint32_t *order, struct flow_set *set)
{
	uint64_t *sorted_place;
	uint32_t place = 0;

	for (set->mask = 63; set->mask < 2 * (size_t)block->count; set->mask = set->mask * 2 + 1)
		;
	set->flows = mem_array(block->count, sizeof(*set->flows));
	set->slots = mem_array(set->mask + 1, sizeof(*set->slots));
	set->codes = mem_array(block->count, 2 * sizeof(*set->codes));
	if (!set->flows || !set->slots || !set->codes)
		return E_NO_MEMORY;
	for (uint32_t i = 0; i < block->count; i++) {
		uint64_t id = rec_at(block, order, i)->flow_id;

		if (i == 0 || set->flows[place].id != id)	/* trains of one flow are the rule */
			place = flow_place(set, id);
		set->codes[i] = place;
	}
	qsort(set->flows, set->count, sizeof(*set->flows), cmp_flow);
	sorted_place = set->codes + block->count;
	for (uint32_t i = 0; i < set->count; i++)
		sorted_place[set->flows[i].place] = i;
	for (uint32_t i = 0; i < block->count; i++)
		set->codes[i] = sorted_place[set->codes[i]];
	return 0;
}

static void flow_set_write(const struct flow_set *set, struct wr *out)
{
	uint64_t last = 0;

	for (uint32_t i = 0; i < set->count; i++) {
		wr_varint(out, set->flows[i].id - last);
		last = set->flows[i].id;
	}
}

/* ---- writing ---- */

/* Records are wide: all their columns are taken in one walk. */
static void columns_take(const struct packet_block *block, const uint32_t *order, uint64_t *values)
{
	size_t count = block->count;

	for (uint32_t i = 0; i < count; i++) {
		const struct packet_rec *rec = rec_at(block, order, i);
		uint64_t *at = values + i;

		at[COL_TIME * count] = rec->time_ns;
		at[COL_NUMBER * count] = rec->number;
		at[COL_CAP_LEN * count] = rec->frame.len;
		/* bytes not captured; a file that claims less than it holds wraps around */
		at[COL_CUT * count] = (uint32_t)(rec->orig_len - (uint32_t)rec->frame.len);
		at[COL_IFACE * count] = rec->iface;
		at[COL_LINK * count] = rec->link;
		at[COL_SEGMENTS * count] = rec->segments;
		at[COL_DIR * count] = rec->dir;
	}
}

/* What is packed for good is worth a search for the smallest form; other blocks live an hour. */
static int columns_write(const struct packet_block *block, const uint32_t *order, const struct flow_set *set,
			 bool quick, struct wr *out)
{
	uint64_t *values = mem_array(block->count, COLS * sizeof(*values));
	struct chunk_scratch scratch = { .quick = quick };
	int rc = values ? 0 : E_NO_MEMORY;

	if (values)
		columns_take(block, order, values);
	for (unsigned column = 0; column < COLS && rc >= 0; column++)
		rc = chunk_ints_write(column == COL_FLOW ? set->codes : values + column * (size_t)block->count,
				      block->count, &scratch, out);
	chunk_scratch_release(&scratch);
	mem_free(values);
	return rc < 0 ? rc : 0;
}

/* Append plain, packed where that gains a tenth. */
static int section_write(struct view plain, enum codec codec, int level, struct wr *out, enum codec *ret_codec,
			 struct err *err)
{
	size_t at = out->len;
	int rc;

	if (codec != CODEC_NONE && plain.len) {
		rc = codec_pack(codec, level, plain, out, err);
		if (rc < 0)
			return rc;
		if (out->len - at <= plain.len - plain.len / 10) {
			*ret_codec = codec;
			return 0;
		}
		out->len = at;
	}
	wr_bytes(out, plain);
	*ret_codec = CODEC_NONE;
	return out->bad ? err_set(err, E_NO_MEMORY, WHAT ": no memory for %zu bytes", plain.len) : 0;
}

/* The frames in the order of writing; in gathered, unless they lie so already. */
static int frames_gather(const struct packet_block *block, const uint32_t *order, struct wr *gathered,
			 struct view *ret_frames)
{
	if (!order) {
		*ret_frames = wr_view(&block->bytes);
		return 0;
	}
	if (!wr_reserve(gathered, block->bytes.len))
		return E_NO_MEMORY;
	for (uint32_t i = 0; i < block->count; i++)
		wr_bytes(gathered, packet_block_rec(block, order[i]).frame);
	assert(gathered->len == block->bytes.len);
	*ret_frames = wr_view(gathered);
	return 0;
}

struct layout {
	uint32_t flow_count;
	size_t flow_bytes;
	size_t columns_stored, columns_plain;
	size_t frames_stored, frames_plain;
	enum codec columns_codec, frames_codec;
	uint64_t frames_checksum;
};

static void header_write(const struct packet_block *block, const struct layout *layout, struct wr *out)
{
	wr_u64le(out, block->source);
	wr_u64le(out, block->hour);
	wr_u64le(out, block->time_min);
	wr_u64le(out, block->time_max);
	wr_u64le(out, block->number_min);
	wr_u64le(out, block->number_max);
	wr_u32le(out, block->count);
	wr_u32le(out, layout->flow_count);
	wr_u32le(out, (uint32_t)layout->flow_bytes);
	wr_u32le(out, (uint32_t)layout->columns_stored);
	wr_u32le(out, (uint32_t)layout->columns_plain);
	wr_u8(out, (uint8_t)layout->columns_codec);
	wr_u8(out, (uint8_t)layout->frames_codec);
	wr_u16le(out, 0);
	wr_u32le(out, (uint32_t)layout->frames_stored);
	wr_u32le(out, (uint32_t)layout->frames_plain);
	wr_u64le(out, layout->frames_checksum);
}

/* What is written of a block in front of its frames: columns in the order of writing, and the distinct flows. */
static int head_begin(const struct packet_block *block, const uint32_t *order, enum codec codec, int level,
		      struct wr *out, struct layout *layout, struct err *err)
{
	struct flow_set set = { 0 };
	size_t start = out->len, at;
	struct wr columns;
	int rc;

	wr_init(&columns, 0);
	rc = flow_set_take(block, order, &set);
	if (rc == 0)
		rc = columns_write(block, order, &set, codec != CODEC_ZSTD, &columns);
	if (rc < 0) {
		(void)err_set(err, rc, WHAT ": out of memory with %u records", block->count);
		goto out;
	}
	(void)envelope_begin(out, MAGIC, VERSION, 0, 0);
	(void)wr_space(out, HEADER_BYTES - ENVELOPE_BYTES);
	flow_set_write(&set, out);
	layout->flow_count = set.count;
	layout->flow_bytes = out->len - start - HEADER_BYTES;
	layout->columns_plain = columns.len;
	at = out->len;
	rc = section_write(wr_view(&columns), codec, level, out, &layout->columns_codec, err);
	layout->columns_stored = out->len - at;
out:
	flow_set_release(&set);
	wr_release(&columns);
	return rc;
}

/* All is written; behind_bytes of the frames are to be stored behind out. */
static int head_end(const struct packet_block *block, const struct layout *layout, size_t start, size_t checked,
		    size_t behind_bytes, struct wr *out, struct err *err)
{
	struct wr head;
	int rc;

	wr_init(&head, 0);
	header_write(block, layout, &head);
	if (head.bad || out->bad) {
		rc = err_set(err, E_NO_MEMORY, WHAT ": out of memory");
		goto out;
	}
	assert(head.len == HEADER_BYTES - ENVELOPE_BYTES);
	memcpy(out->at + start + ENVELOPE_BYTES, head.at, head.len);
	rc = envelope_end_before(out, start, checked, behind_bytes, err);
out:
	wr_release(&head);
	return rc;
}

int packet_block_write(const struct packet_block *block, const uint32_t *order, enum codec codec, int level,
		       struct wr *out, struct err *err)
{
	struct layout layout = { 0 };
	size_t start = out->len, checked;
	struct wr gathered;
	struct view frames;
	int rc;

	assert(block->count >= 1);
	wr_init(&gathered, 0);
	rc = head_begin(block, order, codec, level, out, &layout, err);
	if (rc < 0)
		goto out;
	rc = frames_gather(block, order, &gathered, &frames);
	if (rc < 0) {
		(void)err_set(err, rc, WHAT ": out of memory with %u records", block->count);
		goto out;
	}
	checked = out->len - start;
	layout.frames_plain = frames.len;
	layout.frames_checksum = codec_checksum(frames);
	rc = section_write(frames, codec, level, out, &layout.frames_codec, err);
	if (rc < 0)
		goto out;
	layout.frames_stored = out->len - start - checked;
	rc = head_end(block, &layout, start, checked, 0, out, err);
out:
	if (rc < 0)
		out->len = start;
	wr_release(&gathered);
	return rc;
}

int packet_block_write_head(const struct packet_block *block, struct wr *out, struct packet_block_info *ret_info,
			    struct err *err)
{
	struct view frames = wr_view(&block->bytes);
	struct layout layout = { .frames_codec = CODEC_NONE, .frames_plain = frames.len, .frames_stored = frames.len };
	size_t start = out->len;
	int rc;

	assert(block->count >= 1);
	rc = head_begin(block, NULL, CODEC_NONE, 0, out, &layout, err);
	if (rc == 0) {
		layout.frames_checksum = codec_checksum(frames);
		rc = head_end(block, &layout, start, out->len - start, frames.len, out, err);
	}
	if (rc < 0) {
		out->len = start;
		return rc;
	}
	*ret_info = (struct packet_block_info){
		.source = block->source, .hour = block->hour, .time_min = block->time_min, .time_max = block->time_max,
		.number_min = block->number_min, .number_max = block->number_max, .count = block->count,
		.flow_count = layout.flow_count, .plain_bytes = (uint32_t)frames.len, .stored_bytes = (uint32_t)frames.len,
		.codec = CODEC_NONE, .flows = view_make(out->at + start + HEADER_BYTES, layout.flow_bytes),
	};
	return 0;
}

/* ---- reading ---- */

struct opened {
	struct packet_block_info info;
	struct view columns, frames;	/* as stored */
	size_t columns_plain;
	enum codec columns_codec;
	uint64_t frames_checksum;
};

static int opened_check(const struct opened *opened, struct err *err)
{
	const struct packet_block_info *info = &opened->info;

	if (info->count < 1 || info->count > PACKET_BLOCK_RECS_MAX || info->flow_count < 1 ||
	    info->flow_count > info->count)
		return err_set(err, E_CORRUPT, WHAT ": %u records of %u flows", info->count, info->flow_count);
	if (info->plain_bytes > FRAMES_BYTES_MAX || opened->columns_plain > COLUMNS_BYTES_MAX)
		return err_set(err, E_CORRUPT, WHAT ": claims %u bytes of frames and %zu of columns",
			       info->plain_bytes, opened->columns_plain);
	if (info->time_min > info->time_max || info->number_min > info->number_max ||
	    info->time_min / NS_PER_HOUR != info->hour || info->time_max / NS_PER_HOUR != info->hour)
		return err_set(err, E_CORRUPT, WHAT ": times %llu..%llu in hour %llu",
			       (unsigned long long)info->time_min, (unsigned long long)info->time_max,
			       (unsigned long long)info->hour);
	return 0;
}

static int block_open(struct view stored, struct opened *ret_opened, struct err *err)
{
	struct envelope envelope;
	struct opened opened;
	struct packet_block_info *info = &opened.info;
	uint32_t flow_bytes, columns_stored;
	size_t checked;
	struct rd rd;
	int rc = envelope_open(stored, WHAT, MAGIC, VERSION, 0, &envelope, err);

	if (rc < 0)
		return rc;
	rd = rd_make(stored);
	rd_skip(&rd, ENVELOPE_BYTES);
	info->source = rd_u64le(&rd);
	info->hour = rd_u64le(&rd);
	info->time_min = rd_u64le(&rd);
	info->time_max = rd_u64le(&rd);
	info->number_min = rd_u64le(&rd);
	info->number_max = rd_u64le(&rd);
	info->count = rd_u32le(&rd);
	info->flow_count = rd_u32le(&rd);
	flow_bytes = rd_u32le(&rd);
	columns_stored = rd_u32le(&rd);
	opened.columns_plain = rd_u32le(&rd);
	opened.columns_codec = (enum codec)rd_u8(&rd);
	info->codec = (enum codec)rd_u8(&rd);
	rd_skip(&rd, sizeof(uint16_t));
	info->stored_bytes = rd_u32le(&rd);
	info->plain_bytes = rd_u32le(&rd);
	opened.frames_checksum = rd_u64le(&rd);
	info->flows = rd_bytes(&rd, flow_bytes);
	opened.columns = rd_bytes(&rd, columns_stored);
	checked = rd_pos(&rd);
	opened.frames = rd_bytes(&rd, info->stored_bytes);
	if (rd.bad || rd_left(&rd))
		return err_set(err, E_CORRUPT, WHAT ": %zu bytes for %u of flows, %u of columns, %u of frames",
			       stored.len, flow_bytes, columns_stored, info->stored_bytes);
	rc = envelope_check(stored, WHAT, checked, err);
	if (rc == 0)
		rc = opened_check(&opened, err);
	if (rc == 0)
		*ret_opened = opened;
	return rc;
}

/* What it says it is; the version's own reader checks. */
static bool is_version_2(struct view stored)
{
	struct rd rd = rd_make(stored);

	rd_skip(&rd, sizeof(uint32_t));
	return rd_u16le(&rd) == PACKET_BLOCK2_VERSION;
}

int packet_block_peek(struct view stored, struct packet_block_info *ret_info, struct err *err)
{
	struct opened opened;
	int rc;

	if (is_version_2(stored))
		return packet_block2_peek(stored, ret_info, err);
	rc = block_open(stored, &opened, err);

	if (rc == 0)
		*ret_info = opened.info;
	return rc;
}

int packet_block_length(struct view rest, size_t *ret_bytes)
{
	return envelope_length(rest, MAGIC, ret_bytes);
}

struct packet_block_flows packet_block_flows(const struct packet_block_info *info)
{
	return (struct packet_block_flows){ .rd = rd_make(info->flows), .left = info->flow_count };
}

int packet_block_flow_next(struct packet_block_flows *iter, uint64_t *ret_flow_id)
{
	bool first = rd_pos(&iter->rd) == 0;
	uint64_t step, id;

	if (iter->left == 0)
		return rd_left(&iter->rd) ? E_CORRUPT : 0;
	step = rd_varint(&iter->rd);
	if (iter->rd.bad || (step == 0 && !first) || __builtin_add_overflow(iter->last, step, &id))
		return E_CORRUPT;
	iter->last = id;
	iter->left--;
	*ret_flow_id = id;
	return 1;
}

bool packet_block_has_flow(const struct packet_block_info *info, uint64_t flow_id)
{
	struct packet_block_flows iter = packet_block_flows(info);
	uint64_t id;

	while (packet_block_flow_next(&iter, &id) > 0)
		if (id >= flow_id)
			return id == flow_id;
	return false;
}

/* One decoded column into the records. Limits are those of the members. */
static int column_put(const struct opened *opened, enum column column, const uint64_t *values,
		      const uint64_t *flows, struct packet_rec *recs, struct err *err)
{
	const struct packet_block_info *info = &opened->info;
	uint64_t min = 0, max = 0, at = 0;
	uint32_t count = info->count;

	switch (column) {
	case COL_TIME:
		min = info->time_min;
		max = info->time_max;
		for (uint32_t i = 0; i < count; i++)
			recs[i].time_ns = values[i];
		break;
	case COL_NUMBER:
		min = info->number_min;
		max = info->number_max;
		for (uint32_t i = 0; i < count; i++)
			recs[i].number = values[i];
		break;
	case COL_FLOW:
		max = info->flow_count - 1;
		for (uint32_t i = 0; i < count; i++)
			recs[i].flow_id = values[i] <= max ? flows[values[i]] : 0;
		break;
	case COL_CAP_LEN:
		max = info->plain_bytes;
		for (uint32_t i = 0; i < count; i++) {
			recs[i].frame = view_make((const uint8_t *)(uintptr_t)at, (size_t)values[i]);
			at += values[i] <= max ? values[i] : max;	/* no overflow: count and max are small */
		}
		if (at != max)
			return err_set(err, E_CORRUPT, "frames of %llu bytes in %llu", (unsigned long long)at,
				       (unsigned long long)max);
		break;
	case COL_CUT:
		max = UINT32_MAX;
		for (uint32_t i = 0; i < count; i++)
			recs[i].orig_len = (uint32_t)(values[i] + recs[i].frame.len);
		break;
	case COL_IFACE:
		max = UINT32_MAX;
		for (uint32_t i = 0; i < count; i++)
			recs[i].iface = (uint32_t)values[i];
		break;
	case COL_LINK:
		max = UINT16_MAX;
		for (uint32_t i = 0; i < count; i++)
			recs[i].link = (uint16_t)values[i];
		break;
	case COL_SEGMENTS:
		max = UINT16_MAX;
		for (uint32_t i = 0; i < count; i++)
			recs[i].segments = (uint16_t)values[i];
		break;
	case COL_DIR:
		max = UINT8_MAX;
		for (uint32_t i = 0; i < count; i++)
			recs[i].dir = (uint8_t)values[i];
		break;
	case COLS:
		break;
	}
	for (uint32_t i = 0; i < count; i++)
		if (values[i] < min || values[i] > max)
			return err_set(err, E_CORRUPT, "record %u: %llu outside %llu..%llu", i,
				       (unsigned long long)values[i], (unsigned long long)min,
				       (unsigned long long)max);
	return 0;
}

static int flows_read(const struct opened *opened, struct arena *arena, uint64_t **ret_flows, struct err *err)
{
	struct packet_block_flows iter = packet_block_flows(&opened->info);
	uint64_t *flows = arena_array(arena, opened->info.flow_count, sizeof(*flows));
	uint32_t count = 0;
	uint64_t id;
	int rc;

	if (!flows)
		return err_set(err, E_NO_MEMORY, "no memory for %u flow ids", opened->info.flow_count);
	while ((rc = packet_block_flow_next(&iter, &id)) > 0)
		flows[count++] = id;
	if (rc < 0 || count != opened->info.flow_count)
		return err_set(err, E_CORRUPT, "flow id %u of %u is damaged", count, opened->info.flow_count);
	*ret_flows = flows;
	return 0;
}

static int columns_read(const struct opened *opened, struct packet_rec *recs, struct arena *arena, struct err *err)
{
	static const char *const names[COLS] = { "time", "number", "flow", "cap_len", "cut",
						 "iface", "link", "segments", "dir" };
	uint8_t *plain = arena_alloc(arena, opened->columns_plain);
	uint64_t *values = arena_array(arena, opened->info.count, sizeof(*values));
	uint64_t *flows = NULL;
	struct rd rd;
	int rc;

	if (!plain || !values)
		return err_set(err, E_NO_MEMORY, "no memory for %u records", opened->info.count);
	rc = codec_unpack(opened->columns_codec, opened->columns, plain, opened->columns_plain, err);
	if (rc == 0)
		rc = flows_read(opened, arena, &flows, err);
	if (rc < 0)
		return rc;
	rd = rd_make(view_make(plain, opened->columns_plain));
	for (unsigned column = 0; column < COLS; column++) {
		rc = chunk_ints_read(&rd, opened->info.count, arena, values, err);
		if (rc == 0)
			rc = column_put(opened, (enum column)column, values, flows, recs, err);
		if (rc < 0) {
			(void)err_prefix(err, "column %s", names[column]);
			return rc;
		}
	}
	if (rd_left(&rd))
		return err_set(err, E_CORRUPT, "%zu bytes behind the last column", rd_left(&rd));
	return 0;
}

static int frames_read(const struct opened *opened, struct wr *bytes, struct err *err)
{
	size_t len = opened->info.plain_bytes;
	uint8_t *plain = wr_space(bytes, len);
	uint64_t found;
	int rc;

	if (bytes->bad)
		return err_set(err, E_NO_MEMORY, "no memory for %zu bytes of frames", len);
	rc = codec_unpack(opened->info.codec, opened->frames, plain, len, err);
	if (rc < 0)
		return rc;
	found = codec_checksum(view_make(plain, len));
	if (found != opened->frames_checksum)
		return err_set(err, E_CORRUPT, "frames: checksum %016llx of %zu bytes instead of %016llx",
			       (unsigned long long)found, len, (unsigned long long)opened->frames_checksum);
	return 0;
}

static int recs_reserve(struct packet_block *block, uint32_t count)
{
	struct packet_rec *recs;

	if (block->recs_cap >= count)
		return 0;
	recs = mem_resize(block->recs, count, sizeof(*recs));
	if (!recs)
		return E_NO_MEMORY;
	block->recs = recs;
	block->recs_cap = count;
	return 0;
}

int packet_block_read_some(struct view stored, struct packet_units *units, const struct packet_want *want,
			   struct packet_block *ret_block, struct err *err)
{
	if (is_version_2(stored) && units)
		return packet_block2_read(stored, units, want, ret_block, err);
	return packet_block_read(stored, ret_block, err);
}

int packet_block_read(struct view stored, struct packet_block *ret_block, struct err *err)
{
	struct opened opened;
	struct arena arena;
	int rc;

	arena_init(&arena, 0);
	packet_block_reset(ret_block);
	rc = block_open(stored, &opened, err);
	if (rc < 0)
		goto out;
	if (recs_reserve(ret_block, opened.info.count) < 0)
		rc = err_set(err, E_NO_MEMORY, "no memory for %u records", opened.info.count);
	if (rc == 0)
		rc = columns_read(&opened, ret_block->recs, &arena, err);
	if (rc == 0)
		rc = frames_read(&opened, &ret_block->bytes, err);
	if (rc < 0) {
		(void)err_prefix(err, WHAT " of hour %llu, frames %llu..%llu",
				 (unsigned long long)opened.info.hour,
				 (unsigned long long)opened.info.number_min,
				 (unsigned long long)opened.info.number_max);
		packet_block_reset(ret_block);
		goto out;
	}
	ret_block->source = opened.info.source;
	ret_block->hour = opened.info.hour;
	ret_block->time_min = opened.info.time_min;
	ret_block->time_max = opened.info.time_max;
	ret_block->number_min = opened.info.number_min;
	ret_block->number_max = opened.info.number_max;
	ret_block->count = opened.info.count;
out:
	arena_release(&arena);
	return rc;
}
