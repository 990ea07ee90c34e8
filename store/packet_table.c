#include "store/packet_table.h"

int block_entry_write(const struct block_entry *entry, const struct packet_block_info *info, struct wr *wr)
{
	struct packet_block_flows iter;
	uint64_t id, last = 0;
	int rc = 0;

	wr_u64le(wr, entry->offset);
	wr_u32le(wr, entry->stored_bytes);
	wr_u32le(wr, entry->count);
	wr_u64le(wr, entry->plain_bytes);
	wr_u64le(wr, entry->source);
	wr_u64le(wr, entry->time_min);
	wr_u64le(wr, entry->time_max);
	wr_u64le(wr, entry->number_min);
	wr_u64le(wr, entry->number_max);
	wr_u32le(wr, entry->window);
	wr_varint(wr, info ? info->flow_count : 0);
	if (!info) {
		if (entry->seg)	/* the first one is not told: as it was before there were others */
			wr_u8(wr, (uint8_t)entry->seg);
		return 0;
	}
	iter = packet_block_flows(info);
	while ((rc = packet_block_flow_next(&iter, &id)) > 0) {
		wr_varint(wr, id - last);
		last = id;
	}
	return rc;
}

int block_entry_read(struct view bytes, const uint64_t *seg_bytes, unsigned segs_count,
		     struct block_entry *ret_entry, struct err *err)
{
	uint64_t log_bytes;
	struct rd rd = rd_make(bytes);
	struct block_entry entry = { .offset = rd_u64le(&rd) };

	entry.stored_bytes = rd_u32le(&rd);
	entry.count = rd_u32le(&rd);
	entry.plain_bytes = rd_u64le(&rd);
	entry.source = rd_u64le(&rd);
	entry.time_min = rd_u64le(&rd);
	entry.time_max = rd_u64le(&rd);
	entry.number_min = rd_u64le(&rd);
	entry.number_max = rd_u64le(&rd);
	entry.window = rd_u32le(&rd);
	entry.flows = rd_rest(&rd);
	if (rd_varint(&rd) == 0 && rd_left(&rd))
		entry.seg = rd_u8(&rd);
	if (rd.bad || entry.seg >= segs_count)
		return err_set(err, E_CORRUPT, "block table: an entry of %zu bytes, in segment %u of %u", bytes.len,
			       entry.seg, segs_count);
	log_bytes = seg_bytes[entry.seg];
	if (entry.offset > log_bytes || entry.stored_bytes > log_bytes - entry.offset)
		return err_set(err, E_CORRUPT, "block table: bytes %llu..+%u lie beyond the packet log's %llu",
			       (unsigned long long)entry.offset, entry.stored_bytes, (unsigned long long)log_bytes);
	*ret_entry = entry;
	return 0;
}

int block_entry_has_flow(const struct block_entry *entry, const uint64_t *flows, size_t flow_count,
			 struct err *err)
{
	struct rd rd = rd_make(entry->flows);
	uint64_t left = rd_varint(&rd), id = 0;
	size_t at = 0;

	while (left-- && at < flow_count) {
		id += rd_varint(&rd);
		if (rd.bad)
			return err_set(err, E_CORRUPT, "block table: flow ids cut short at %zu bytes",
				       entry->flows.len);
		while (at < flow_count && flows[at] < id)
			at++;
		if (at < flow_count && flows[at] == id)
			return 1;
	}
	return 0;
}

struct block_entry block_entry_make(const struct packet_block *block)
{
	return (struct block_entry){
		.count = block->count,
		.plain_bytes = block->bytes.len,
		.source = block->source,
		.time_min = block->time_min,
		.time_max = block->time_max,
		.number_min = block->number_min,
		.number_max = block->number_max,
	};
}
