#include "store/flow_table.h"

#include <assert.h>

#include "base/rd.h"
#include "store/codec.h"

#define FORM_GROUPS 1u
#define HEAD_BYTES 13u			/* form, slots, last id */
#define ENTRY_BYTES 16u			/* of a group: first id, offset, stored bytes */
#define GROUP_HEAD_BYTES 3u		/* codec, plain length */
#define GROUP_PLAIN_BYTES_MAX (FLOW_GROUP_SLOTS * 21u)	/* varints of 41, 24, 33 and 32 bits */
#define PACK_LEVEL 3
#define COUNTER_BITS 23u		/* of an id: the rest is when it began */
#define COUNTER_MASK ((1u << COUNTER_BITS) - 1)
#define TICK_MAX (UINT64_MAX >> COUNTER_BITS)

static size_t groups_of(size_t slots)
{
	return (slots + FLOW_GROUP_SLOTS - 1) / FLOW_GROUP_SLOTS;
}

/* ------------------------------------------------------------------ writing */

/*
 * By column, each slot by its difference to the one before: ids of neighbours began in the same or the next tick and
 * were counted one after the other, and their frames are clustered by id, so that blocks ascend with them.
 */
static void write_columns(const struct flow_slot *slots, size_t count, struct wr *wr)
{
	for (size_t i = 1; i < count; i++)
		wr_varint(wr, (slots[i].flow_id >> COUNTER_BITS) - (slots[i - 1].flow_id >> COUNTER_BITS));
	for (size_t i = 1; i < count; i++)
		wr_svarint(wr, (int64_t)(slots[i].flow_id & COUNTER_MASK) - (int64_t)(slots[i - 1].flow_id & COUNTER_MASK));
	for (size_t i = 0; i < count; i++)
		wr_svarint(wr, (int64_t)slots[i].block - (i ? (int64_t)slots[i - 1].block : 0));
	for (size_t i = 0; i < count; i++)
		wr_varint(wr, slots[i].blocks);
}

static int write_group(struct view plain, struct wr *wr, struct err *err)
{
	size_t start = wr->len;
	int rc;

	wr_u8(wr, CODEC_ZSTD);
	wr_u16le(wr, (uint16_t)plain.len);
	rc = codec_pack(CODEC_ZSTD, PACK_LEVEL, plain, wr, err);
	if (rc < 0 || wr->bad || wr->len - start - GROUP_HEAD_BYTES <= plain.len - plain.len / 10)
		return rc;
	wr->len = start;
	wr_u8(wr, CODEC_NONE);
	wr_u16le(wr, (uint16_t)plain.len);
	wr_bytes(wr, plain);
	return 0;
}

static int write_groups(const struct flow_slot *slots, size_t count, struct wr *wr, struct err *err)
{
	size_t start = wr->len, entry = start + HEAD_BYTES;
	struct wr plain;
	int rc = 0;

	wr_init(&plain, 0);
	wr_u8(wr, FORM_GROUPS);
	wr_u32le(wr, (uint32_t)count);
	wr_u64le(wr, slots[count - 1].flow_id);
	(void)wr_space(wr, groups_of(count) * ENTRY_BYTES);
	for (size_t i = 0; i < count && rc == 0 && !wr->bad; i += FLOW_GROUP_SLOTS, entry += ENTRY_BYTES) {
		size_t from = wr->len;

		wr_reset(&plain);
		write_columns(slots + i, count - i < FLOW_GROUP_SLOTS ? count - i : FLOW_GROUP_SLOTS, &plain);
		if (plain.bad)
			rc = err_set(err, E_NO_MEMORY, "flow table: out of memory");
		if (rc == 0)
			rc = write_group(wr_view(&plain), wr, err);
		if (rc < 0 || wr->bad)
			break;
		wr_patch_u64le(wr, entry, slots[i].flow_id);
		wr_patch_u32le(wr, entry + 8, (uint32_t)(from - start));
		wr_patch_u32le(wr, entry + 12, (uint32_t)(wr->len - from));
	}
	if ((wr->len - start) % FLOW_SLOT_BYTES == 0)	/* would be plain slots */
		wr_u8(wr, 0);
	wr_release(&plain);
	return rc;
}

int flow_table_write(const struct flow_slot *slots, size_t count, struct wr *wr, struct err *err)
{
	size_t start = wr->len;
	int rc = count ? write_groups(slots, count, wr, err) : 0;

	if (rc == 0 && !wr->bad && wr->len - start >= count * FLOW_SLOT_BYTES) {
		wr->len = start;
		for (size_t i = 0; i < count; i++) {
			wr_u64le(wr, slots[i].flow_id);
			wr_u32le(wr, slots[i].block);
			wr_u32le(wr, slots[i].blocks);
		}
	}
	return rc == 0 && wr->bad ? err_set(err, E_NO_MEMORY, "flow table: out of memory") : rc;
}

/* ------------------------------------------------------------------ reading */

int flow_table_open(struct view bytes, struct flow_table *table, struct err *err)
{
	struct rd rd = rd_make(bytes);
	unsigned form;

	table->bytes = bytes;
	table->groups = 0;
	table->group = 0;
	if (bytes.len % FLOW_SLOT_BYTES == 0) {
		table->count = bytes.len / FLOW_SLOT_BYTES;
		return 0;
	}
	form = rd_u8(&rd);
	table->count = rd_u32le(&rd);
	table->last_id = rd_u64le(&rd);
	table->groups = groups_of(table->count);
	if (form != FORM_GROUPS)
		return err_set(err, E_UNSUPPORTED, "flow table: form %u, and this program reads %u", form, FORM_GROUPS);
	if (rd.bad || table->count == 0 || table->groups > rd_left(&rd) / ENTRY_BYTES)
		return err_set(err, E_CORRUPT, "flow table: %zu slots in %zu bytes", table->count, bytes.len);
	return 0;
}

static uint64_t first_id(const struct flow_table *table, size_t group)
{
	struct rd rd = rd_make(view_sub(table->bytes, HEAD_BYTES + group * ENTRY_BYTES, ENTRY_BYTES));

	return rd_u64le(&rd);
}

static void read_ids(struct rd *rd, struct flow_slot *slots, size_t count)
{
	uint64_t tick = slots[0].flow_id >> COUNTER_BITS;
	int64_t counter = (int64_t)(slots[0].flow_id & COUNTER_MASK);

	for (size_t i = 1; i < count; i++) {
		uint64_t step = rd_varint(rd);

		if (step > TICK_MAX - tick)
			rd->bad = true;
		tick += rd->bad ? 0 : step;
		slots[i].flow_id = tick << COUNTER_BITS;
	}
	for (size_t i = 1; i < count; i++) {
		int64_t step = rd_svarint(rd);

		if (step < -counter || step > (int64_t)COUNTER_MASK - counter)
			rd->bad = true;
		counter += rd->bad ? 0 : step;
		slots[i].flow_id |= (uint64_t)counter;
		if (slots[i].flow_id < slots[i - 1].flow_id)
			rd->bad = true;
	}
}

static void read_blocks(struct rd *rd, struct flow_slot *slots, size_t count)
{
	int64_t block = 0;

	for (size_t i = 0; i < count; i++) {
		int64_t step = rd_svarint(rd);

		if (step < -block || step > (int64_t)UINT32_MAX - block)
			rd->bad = true;
		block += rd->bad ? 0 : step;
		slots[i].block = (uint32_t)block;
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t blocks = rd_varint(rd);

		if (blocks > UINT32_MAX)
			rd->bad = true;
		slots[i].blocks = (uint32_t)blocks;
	}
}

static int unpack_group(struct flow_table *table, size_t group, struct err *err)
{
	size_t count = table->count - group * FLOW_GROUP_SLOTS;
	struct rd rd = rd_make(view_sub(table->bytes, HEAD_BYTES + group * ENTRY_BYTES, ENTRY_BYTES));
	uint8_t plain[GROUP_PLAIN_BYTES_MAX];
	uint32_t offset, stored;
	unsigned codec;
	size_t plain_len;
	int rc;

	if (table->group == group + 1)
		return 0;
	table->group = 0;
	table->slots[0].flow_id = rd_u64le(&rd);
	offset = rd_u32le(&rd);
	stored = rd_u32le(&rd);
	if (offset > table->bytes.len || stored > table->bytes.len - offset)
		return err_set(err, E_CORRUPT, "flow table: group %zu lies outside of %zu bytes", group, table->bytes.len);
	rd = rd_make(view_sub(table->bytes, offset, stored));
	codec = rd_u8(&rd);
	plain_len = rd_u16le(&rd);
	if (rd.bad || plain_len == 0 || plain_len > sizeof(plain))
		return err_set(err, E_CORRUPT, "flow table: group %zu: %zu bytes plain", group, plain_len);
	rc = codec_unpack((enum codec)codec, rd_rest(&rd), plain, plain_len, err);
	if (rc < 0)
		return rc;
	count = count < FLOW_GROUP_SLOTS ? count : FLOW_GROUP_SLOTS;
	rd = rd_make(view_make(plain, plain_len));
	read_ids(&rd, table->slots, count);
	read_blocks(&rd, table->slots, count);
	if (rd.bad || rd_left(&rd))
		return err_set(err, E_CORRUPT, "flow table: group %zu: %zu bytes are not %zu slots", group, plain_len, count);
	table->group = group + 1;
	return 0;
}

int flow_table_at(struct flow_table *table, size_t index, struct flow_slot *ret_slot, struct err *err)
{
	struct rd rd;
	int rc;

	assert(index < table->count);
	if (table->groups) {
		rc = unpack_group(table, index / FLOW_GROUP_SLOTS, err);
		if (rc == 0)
			*ret_slot = table->slots[index % FLOW_GROUP_SLOTS];
		return rc;
	}
	rd = rd_make(view_sub(table->bytes, index * FLOW_SLOT_BYTES, FLOW_SLOT_BYTES));
	ret_slot->flow_id = rd_u64le(&rd);
	ret_slot->block = rd_u32le(&rd);
	ret_slot->blocks = rd_u32le(&rd);
	return 0;
}

/* The slots among which the first of flow_id is, if it is any: those of a group. */
static void narrow(const struct flow_table *table, uint64_t flow_id, size_t *low, size_t *high)
{
	size_t groups_low = 0, groups_high = table->groups;

	while (groups_low < groups_high) {
		size_t mid = groups_low + (groups_high - groups_low) / 2;

		if (first_id(table, mid) < flow_id)
			groups_low = mid + 1;
		else
			groups_high = mid;
	}
	*low = groups_low ? (groups_low - 1) * FLOW_GROUP_SLOTS : 0;
	*high = groups_low * FLOW_GROUP_SLOTS;
	if (*high > table->count)
		*high = table->count;
}

int flow_table_seek(struct flow_table *table, uint64_t flow_id, size_t *ret_index, struct err *err)
{
	size_t low = 0, high = table->count;

	if (table->groups && flow_id > table->last_id) {
		*ret_index = table->count;
		return 0;
	}
	if (table->groups)
		narrow(table, flow_id, &low, &high);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct flow_slot slot = { 0 };
		int rc = flow_table_at(table, mid, &slot, err);

		if (rc < 0)
			return rc;
		if (slot.flow_id < flow_id)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_index = low;
	return 0;
}
