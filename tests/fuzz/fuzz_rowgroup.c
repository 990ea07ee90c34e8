/*
 * Any bytes as a row group, as the streams inside, or as changes to a good row
 * group. Checksums are made right again, or no input would come past them.
 */
#include <assert.h>

#include "store/bitmap.h"
#include "store/bloom.h"
#include "store/chunk_match.h"
#include "store/hist.h"
#include "store/hist_column.h"
#include "store/rg_format.h"
#include "store/rg_sums.h"
#include "tests/random.h"

#define ARENA_BYTES ((size_t)64 << 20)

static void checksums_repair(uint8_t *blob, size_t len)
{
	struct view stored = view_make(blob, len);
	uint32_t length = (uint32_t)len, magic = RG_MAGIC;
	uint64_t sum;
	uint16_t entries, version = RG_VERSION;
	size_t checked;

	if (len < RG_HEADER_BYTES)
		return;
	memcpy(blob, &magic, 4);
	memcpy(blob + 4, &version, 2);
	memset(blob + 6, 0, 2);		/* what must be known */
	memcpy(blob + 12, &length, 4);
	memcpy(&entries, blob + 26, 2);
	checked = RG_HEADER_BYTES + (size_t)entries * RG_ENTRY_BYTES;
	if (checked > len)
		return;
	for (uint32_t i = 0; i < entries; i++) {
		struct rg_entry entry = rg_entry_get(blob + RG_HEADER_BYTES + i * RG_ENTRY_BYTES);

		if (entry.stored_len && entry.offset <= len && entry.stored_len <= len - entry.offset) {
			entry.checksum = codec_checksum(view_sub(stored, entry.offset, entry.stored_len));
			rg_entry_put(blob + RG_HEADER_BYTES + i * RG_ENTRY_BYTES, &entry);
		}
	}
	sum = codec_checksum(view_sub(stored, 0, 16)) ^
	      codec_checksum(view_sub(stored, ENVELOPE_BYTES, checked - ENVELOPE_BYTES));
	memcpy(blob + 16, &sum, 8);
}

static int text_fits(const void *arg, struct view text, struct err *err)
{
	(void)arg;
	(void)err;
	return text.len % 2;
}

/* What is read of three rows alone is what all of them are. */
static void points_compare(const struct rg *rg, const struct col *col, const struct rg_ints *ints,
			   const struct rg_bytes *bytes, struct arena *arena)
{
	const uint32_t rows[3] = { 0, rg->zone.rows / 2, rg->zone.rows - 1 };
	struct rg_ints some_ints;
	struct rg_bytes some;
	int rc = ints ? rg_read_ints_at(rg, col, rows, 3, arena, &some_ints, NULL)
		      : rg_read_bytes_at(rg, col, rows, 3, arena, &some, NULL);

	assert(rc == 0 || rc == E_NO_MEMORY);
	for (uint32_t i = 0; rc == 0 && i < 3; i++) {
		uint32_t row = rows[i];

		if (ints)
			assert(rg_valid(some_ints.valid, i) == rg_valid(ints->valid, row) &&
			       some_ints.values[i] == ints->values[row]);
		else
			assert(rg_valid(some.valid, i) == rg_valid(bytes->valid, row) &&
			       (!rg_valid(some.valid, i) || view_eq(some.dict[some.codes ? some.codes[i] : i],
								    bytes->dict[bytes->codes ? bytes->codes[row] : row])));
	}
}

/* What a test of a column says without decoding it is what its values say. */
static void ints_compare(const struct rg *rg, const struct col *col, const struct rg_ints *ints, struct arena *arena)
{
	uint64_t *bits = arena_array(arena, rg->zone.rows / 64 + 1, sizeof(*bits));
	uint64_t some = ints->values[rg->zone.rows / 2];
	struct chunk_span spans[2] = { { some / 2, some }, { some + 2, UINT64_MAX } };
	size_t count = some < UINT64_MAX - 1 ? 2 : 1;
	int rc = bits ? rg_match_ints(rg, col, spans, count, arena, bits, NULL) : 0;

	assert(rc >= 0 || rc == E_NO_MEMORY);
	for (uint32_t row = 0; rc == 1 && row < rg->zone.rows; row++)
		assert((bits[row / 64] >> row % 64 & 1) ==
		       (rg_valid(ints->valid, row) && chunk_spans_have(spans, count, ints->values[row])));
}

static void bytes_compare(const struct rg *rg, const struct col *col, const struct rg_bytes *bytes, struct arena *arena)
{
	uint64_t *bits = arena_array(arena, rg->zone.rows / 64 + 1, sizeof(*bits));
	int rc = bits ? rg_match_bytes(rg, col, &(struct rg_wanted){ .fits = text_fits }, arena, bits, NULL) : 0;

	assert(rc >= 0 || rc == E_NO_MEMORY);
	for (uint32_t row = 0; rc == 1 && row < rg->zone.rows; row++)
		assert((bits[row / 64] >> row % 64 & 1) ==
		       (rg_valid(bytes->valid, row) && bytes->dict[bytes->codes ? bytes->codes[row] : row].len % 2));
}

/* Packed again it is as sound as before. */
static void group_repack(struct view blob, bool sound, struct arena *arena)
{
	struct wr again;
	struct rg rg;
	int rc;

	wr_init(&again, 0);
	rc = rg_repack(blob, 4, arena, &again, NULL);
	if (rc == 0) {
		assert(again.len <= blob.len);
		assert(rg_open(wr_view(&again), &rg, NULL) == 0);
		assert(!sound || rg_verify(&rg, NULL) == 0);
	}
	wr_release(&again);
}

/* Histograms of every other row, to be added up: nothing of the rows between, nothing of null ones. */
static void hists_read(const struct rg *rg, const struct col *col, struct arena *arena)
{
	uint64_t *only = arena_array(arena, rg->zone.rows / 64 + 1, sizeof(*only));
	struct rg_hists hists;

	if (!only)
		return;
	memset(only, 0x55, (rg->zone.rows / 64 + 1) * sizeof(*only));
	if (rg_read_hists(rg, col, only, arena, &hists, NULL) != 1)
		return;
	for (uint32_t row = 0; row < rg->zone.rows; row++) {
		assert(hists.parts[row].len == 0 || (rg_valid(hists.valid, row) && row % 2 == 0));
		for (uint32_t i = 0; i < hists.parts[row].len; i++)
			assert(hists.parts[row].buckets[i].at < HIST_BUCKETS && hists.parts[row].buckets[i].count);
	}
}

static void group_read(struct view blob)
{
	struct err err = { 0 };
	struct arena arena;
	struct rg rg;
	void *rows;
	int rc = rg_open(blob, &rg, &err);

	assert((rc < 0) == (err.text[0] != '\0'));
	if (rc < 0)
		return;
	rc = rg_verify(&rg, &err);
	assert((rc < 0) == (err.text[0] != '\0'));
	arena_init(&arena, ARENA_BYTES);
	group_repack(blob, rc == 0, &arena);
	for (size_t c = 0; c < rg.table->cols_count; c++) {
		const struct col *col = &rg.table->cols[c];
		struct rg_ints ints;
		struct rg_bytes bytes;

		arena_reset(&arena);
		if (col->type == TYPE_HIST)
			hists_read(&rg, col, &arena);
		if (types[col->type].phys == PHYS_INT) {
			struct chunk_span all = { 0, UINT64_MAX / 2 };
			uint64_t *bits = arena_array(&arena, rg.zone.rows / 64 + 1, sizeof(*bits));

			if (rg_read_ints(&rg, col, &arena, &ints, NULL) == 0) {
				ints_compare(&rg, col, &ints, &arena);
				if (rg.zone.rows)
					points_compare(&rg, col, &ints, NULL, &arena);
			} else if (bits)
				(void)rg_match_ints(&rg, col, &all, 1, &arena, bits, NULL);
		} else if (rg_read_bytes(&rg, col, &arena, &bytes, NULL) == 0) {
			for (uint32_t row = 0; row < rg.zone.rows; row++)
				assert((bytes.codes ? bytes.codes[row] : row) < bytes.dict_count);
			bytes_compare(&rg, col, &bytes, &arena);
			if (rg.zone.rows)
				points_compare(&rg, col, NULL, &bytes, &arena);
		} else {
			uint64_t *bits = arena_array(&arena, rg.zone.rows / 64 + 1, sizeof(*bits));

			if (bits)
				(void)rg_match_bytes(&rg, col, &(struct rg_wanted){ .fits = text_fits }, &arena, bits, NULL);
		}
	}
	arena_reset(&arena);
	(void)rg_read_rows(&rg, &arena, &rows, NULL);
	arena_release(&arena);
}

/* Added up as parts, the histograms of a chunk are what they are as bytes; what bytes refuse, parts do. */
static void parts_compare(const struct view *bytes, const struct hist_part *parts, uint32_t count)
{
	struct hist *by_bytes = hist_new(), *by_parts = hist_new();

	for (uint32_t i = 0; by_bytes && by_parts && i < count; i++) {
		if (hist_merge_bytes(by_bytes, bytes[i], NULL) < 0 || hist_merge_part(by_parts, &parts[i]) < 0)
			assert(0);
		assert(hist_count(by_bytes) == hist_count(by_parts));
		assert(hist_min(by_bytes) == hist_min(by_parts));
		assert(hist_quantile(by_bytes, 0.9) == hist_quantile(by_parts, 0.9));
	}
	hist_free(by_bytes);
	hist_free(by_parts);
}

static void hist_column_fuzz(struct view input, size_t count, struct arena *arena)
{
	struct hist_column_ask ask = { .rows = count, .sums = true };
	struct rd bytes_rd = rd_make(input), parts_rd = bytes_rd;
	struct hist_part *parts;
	struct view *bytes;
	int rc = hist_column_read(&bytes_rd, count, arena, &bytes, NULL);

	if (hist_column_parts(&parts_rd, &ask, arena, &parts, NULL) == 0 && rc == 0)
		parts_compare(bytes, parts, (uint32_t)count);
}

static void streams_read(struct view input)
{
	struct rd rd = rd_make(input);
	size_t count = (size_t)rd_u16le(&rd) + 1;
	struct chunk_bytes bytes;
	struct arena arena;
	uint64_t *values;

	arena_init(&arena, ARENA_BYTES);
	values = arena_array(&arena, count, sizeof(*values));
	(void)chunk_ints_read(&rd, count, &arena, values, NULL);
	hist_column_fuzz(view_sub(input, 2, SIZE_MAX), count, &arena);
	rd = rd_make(view_sub(input, 2, SIZE_MAX));
	if (chunk_bytes_read(&rd, count, &arena, &bytes, NULL) == 0)
		for (size_t i = 0; i < count; i++)
			assert((bytes.codes ? bytes.codes[i] : i) < bytes.dict_count);
	arena_release(&arena);
}

/* So that columns are written as what others foretell. */
static void flow_relate(struct flow_row *row, unsigned i)
{
	row->tx_bytes = row->tx_goodput_bytes % 100000 + 66 * (i % 9);
	row->tx_goodput_bytes = row->tx_bytes - 66 * (i % 9);
	row->tx_packets = i % 9;
	ROW_SET(FLOW, row, syn_rtt_ns, (i % 37) * 1000);
	ROW_SET(FLOW, row, ack_rtt_ns, (i % 31) * 1000);
	ROW_SET(FLOW, row, handshake_ns, row->syn_rtt_ns + row->ack_rtt_ns);
	ROW_SET(FLOW, row, rtt_max_ns, row->id >> (20 + 2 * (i % 20)));	/* of any size: in parts */
	ROW_SET(FLOW, row, src_ip, ip_from_v4(i % 20));
	ROW_SET(FLOW, row, src_workload, i % 20 < 10 ? VIEW_LIT("shop") : VIEW_LIT("payments"));
}

static void rollup_relate(struct rollup_row *row, struct random *random, struct arena *arena)
{
	struct hist *hist = hist_new();
	struct wr wr;

	wr_init(&wr, 0);
	for (uint64_t left = random_below(random, 6); hist && left; left--)
		(void)hist_add(hist, random_u64(random) >> 30, 1);
	if (hist)
		hist_write(hist, &wr);
	ROW_SET(ROLLUP, row, latency, arena_copy(arena, wr_view(&wr)));
	wr_release(&wr);
	hist_free(hist);
}

/* A good group of a few rows; the same for the same kind. */
static struct view group_good(unsigned kind)
{
	static struct wr groups[15];
	struct wr *group = &groups[kind % 15];
	const struct table *table = table_get((enum table_id)(kind % 5 < 2 ? kind % 5 + 1 : kind % 5 + 2));
	struct rg_builder *builder;
	struct random random = { kind };
	struct arena arena;
	uint8_t *row;

	if (group->at)
		return wr_view(group);
	arena_init(&arena, 0);
	row = arena_alloc(&arena, table->row_bytes);
	builder = rg_builder_new(table);
	for (unsigned i = 0; i < 40 + kind * 17 % 300; i++) {
		random_row(&random, table, kind, i, row, &arena);
		if (table->id == TABLE_FLOWS)
			flow_relate((struct flow_row *)row, i);
		if (table->id == TABLE_CALLS)
			ROW_SET(CALL, (struct call_row *)row, trace_id,
				view_str(arena_printf(&arena, "%016llx", (unsigned long long)random_u64(&random))));
		if (table->id == TABLE_ROLLUPS)
			rollup_relate((struct rollup_row *)row, &random, &arena);
		(void)rg_builder_add(builder, row);
	}
	(void)rg_builder_write(builder, NULL, (enum rg_codec)(kind / 5 % 3), 0, group, NULL);
	assert(!group->bad);
	rg_builder_free(builder);
	arena_release(&arena);
	return wr_view(group);
}

/* Sums that were made are right: they can be left out, and made again. */
static void sums_make(struct view input)
{
	struct wr group, was;

	wr_init(&group, 0);
	wr_init(&was, 0);
	wr_bytes(&group, input);
	if (rg_sums_is_group(input) && rg_sums_fill(group.at, group.len) == 0) {
		wr_bytes(&was, wr_view(&group));
		assert(rg_sums_clear(group.at, group.len) == 0);
		assert(rg_sums_fill(group.at, group.len) == 0);
		assert(view_eq(wr_view(&group), wr_view(&was)));
	}
	wr_release(&group);
	wr_release(&was);
}

/* Each four bytes of input change one byte, mostly in the directory. */
static void group_changed(unsigned kind, struct view changes)
{
	struct view good = group_good(kind);
	struct rd rd = rd_make(changes);
	struct wr blob;

	wr_init(&blob, 0);
	wr_bytes(&blob, good);
	while (rd_left(&rd) >= 4) {
		size_t at = rd_u16le(&rd);
		uint8_t mode = rd_u8(&rd), change = rd_u8(&rd);

		if (mode & 1)
			at = (at + ((size_t)mode << 15)) % good.len;
		else
			at = at % (good.len < 2000 ? good.len : 2000);
		blob.at[at] = mode & 2 ? change : blob.at[at] ^ change;
	}
	sums_make(wr_view(&blob));
	checksums_repair(blob.at, blob.len);
	group_read(wr_view(&blob));
	wr_release(&blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct view input = view_make(at, len);
	struct bitmap *bitmap;
	struct wr copy;

	if (len < 4)
		return 0;
	input = view_sub(input, 1, SIZE_MAX);
	switch (at[0] % 4) {
	case 0:
		group_read(input);
		sums_make(input);
		(void)bloom_may_have(input, VIEW_LIT("key"), NULL);
		if (bitmap_read(input, &bitmap, NULL) == 0)
			bitmap_free(bitmap);
		break;
	case 1:
		wr_init(&copy, 0);
		wr_bytes(&copy, input);
		checksums_repair(copy.at, copy.len);
		group_read(wr_view(&copy));
		wr_release(&copy);
		break;
	case 2:
		streams_read(input);
		break;
	case 3:
		group_changed(at[1], view_sub(input, 1, SIZE_MAX));
		break;
	}
	return 0;
}
