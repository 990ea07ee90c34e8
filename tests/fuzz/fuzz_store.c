/*
 * Any bytes as what the store keeps about its partitions: entries, zones, block
 * and flow tables, a MANIFEST, a sealed file, the pages of an LMDB file. The first byte chooses.
 */
#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "store/codec.h"
#include "store/flow_table.h"
#include "store/kv_verify.h"
#include "store/manifest.h"
#include "store/packet_table.h"
#include "store/part.h"
#include "store/seg.h"
#include "store/seg_format.h"

static void entry(struct view bytes)
{
	struct part_entry entry, again;
	struct store_part_info info;
	struct wr wr;

	if (part_entry_read(bytes, &entry, NULL) < 0)
		return;
	(void)part_entry_overlaps(&entry, 1, UINT64_MAX);
	part_entry_info(&entry, true, &info);
	wr_init(&wr, 0);
	part_entry_write(&entry, &wr);
	assert(part_entry_read(wr_view(&wr), &again, NULL) == 0 && again.hour == entry.hour && again.gen == entry.gen);
	wr_release(&wr);
}

static void block(struct view bytes)
{
	const uint64_t flows[] = { 1, 5, 1ull << 40, UINT64_MAX };
	const uint64_t segs[] = { 1u << 30, 1u << 20 };
	struct block_entry entry;
	struct rg_zone zone;

	(void)rg_zone_read(bytes, &zone, NULL);
	if (block_entry_read(bytes, segs, 2, &entry, NULL) < 0)
		return;
	assert(entry.seg < 2 && entry.offset + entry.stored_bytes <= segs[entry.seg]);
	(void)block_entry_has_flow(&entry, flows, 4, NULL);
}

static void flow_table(struct view bytes)
{
	struct flow_table table;
	struct flow_slot slot;
	uint64_t last = 0;
	size_t at;

	if (flow_table_open(bytes, &table, NULL) < 0)
		return;
	if (flow_table_seek(&table, 1000, &at, NULL) == 0)
		assert(at <= table.count);
	for (at = 0; at < table.count && at < 4 * FLOW_GROUP_SLOTS && flow_table_at(&table, at, &slot, NULL) == 0; at++) {
		assert(!table.groups || at % FLOW_GROUP_SLOTS == 0 || slot.flow_id >= last);
		last = slot.flow_id;
	}
}

/* The checksum is made right, or no text would come past it. */
static void manifest(struct view bytes)
{
	struct manifest_hashes hashes;
	struct part_entry entry;
	char *text = mem_alloc(bytes.len + 64);
	size_t len = bytes.len;

	memcpy(text, bytes.at, bytes.len);
	text[len++] = '\n';
	len += (size_t)snprintf(text + len, 63, "end %016llx\n",
				(unsigned long long)codec_checksum(view_make(text, len)));
	if (manifest_parse(text, len, &entry, &hashes) == 0)
		assert(entry.state == PART_SEALED);
	mem_free(text);
}

/* A sealed file with right checksums around what was made up: the first byte of it says which part that is. */
static void sealed(struct view bytes)
{
	struct view made = view_sub(bytes, 1, bytes.len), at, value;
	struct seg_place place = { 0 };
	struct seg *seg = NULL;
	size_t offset, start;
	struct wr wr;

	wr_init(&wr, 0);
	(void)envelope_end(&wr, envelope_begin(&wr, SEG_MAGIC, SEG_VERSION, 0, 0), SEG_HEAD_BYTES, NULL);
	offset = wr.len;
	if (bytes.at[0] & 1)
		wr_bytes(&wr, made);
	start = envelope_begin(&wr, SEG_FOOTER_MAGIC, SEG_VERSION, 0, 0);
	if (bytes.at[0] & 1) {		/* a block */
		wr_bytes(&wr, VIEW_LIT("\1\0\1\1\3key"));
		wr_varint(&wr, offset);
		wr_varint(&wr, made.len);
		wr_u64le(&wr, codec_checksum(made));
	} else {			/* the footer */
		wr_bytes(&wr, made);
	}
	(void)envelope_end(&wr, start, wr.len - start, NULL);
	wr_u64le(&wr, start);
	wr_u64le(&wr, codec_checksum(view_make(wr.at + wr.len - 8, 8)));
	if (seg_open_bytes(wr_view(&wr), &seg, NULL) == 0) {
		while (seg_next(seg, &place, &at, &value, NULL) > 0)
			;
		(void)seg_seek(seg, &place, VIEW_LIT("key1"), &at, &value, NULL);
		(void)seg_below(seg, &place, VIEW_LIT("key1"), &at, &value, NULL);
		(void)seg_verify(seg, NULL);
		seg_close(seg);
	}
	wr_release(&wr);
	if (seg_open_bytes(bytes, &seg, NULL) == 0)
		seg_close(seg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes = view_make(data + 1, size - 1);

	if (size < 2)
		return 0;
	switch (data[0] % 6) {
	case 0:
		entry(bytes);
		break;
	case 1:
		block(bytes);
		break;
	case 2:
		flow_table(bytes);
		break;
	case 3:
		manifest(bytes);
		break;
	case 4:
		sealed(bytes);
		break;
	default:
		(void)kv_verify_bytes(bytes, data[0] & 0x80 ? 3 : UINT64_MAX, NULL);
		break;
	}
	return 0;
}
