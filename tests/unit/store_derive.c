/* Row groups whose columns foretell each other: store/predict.def. */
#include "store/chunk.h"
#include "store/rg_format.h"
#include "store/rg_predict.h"
#include "tests/check.h"
#include "tests/random.h"

#define ROWS 3000
#define T0 1700000000000000000ull

struct made {
	const struct table *table;
	uint8_t *rows;
	uint32_t *order;
	char names[ROWS / 10][24];
	struct wr blob;
};

static void made_release(struct made *made)
{
	mem_free(made->rows);
	mem_free(made->order);
	wr_release(&made->blob);
	mem_free(made);
}

/* What TCP does, and now and then what it should not do. */
static void flow_fill(struct random *random, struct made *made, uint32_t i, struct flow_row *row)
{
	uint32_t src = (uint32_t)random_below(random, ROWS / 10), dst = src % 7;
	bool odd = random_below(random, 40) == 0;

	row->start_ns = T0 + random_below(random, 60 * 1000000) * 1000;
	row->first_ns = row->start_ns;
	row->end_ns = row->start_ns + random_below(random, 1u << 30) * 1000;
	row->id = schema_id(row->first_ns, i);
	row->tx_packets = 4 + random_below(random, 30);
	row->rx_packets = row->tx_packets + random_below(random, 3) - 1;
	row->tx_goodput_bytes = random_below(random, 4000);
	row->rx_goodput_bytes = random_below(random, 90000);
	row->tx_bytes = row->tx_goodput_bytes + 66 * row->tx_packets + 8;
	row->rx_bytes = odd ? random_u64(random) : row->rx_goodput_bytes + 66 * row->rx_packets + 8;
	ROW_SET(FLOW, row, src_ip, ip_from_v4(0x0100000a + (src << 16)));
	ROW_SET(FLOW, row, dst_ip, ip_from_v4(0x0200000a + (dst << 24)));
	if (src % 11 && !(odd && i % 3))
		ROW_SET(FLOW, row, src_workload, view_str(made->names[odd ? 0 : src]));
	ROW_SET(FLOW, row, dst_workload, view_str(made->names[dst]));
	if (i % 5 == 0)		/* a datagram: all of TCP is null */
		return;
	ROW_SET(FLOW, row, syn_rtt_ns, 1000 * random_below(random, 100000));
	ROW_SET(FLOW, row, ack_rtt_ns, 1000 * random_below(random, 100000));
	ROW_SET(FLOW, row, handshake_ns, odd ? random_u64(random) >> 1 : row->syn_rtt_ns + row->ack_rtt_ns);
	ROW_SET(FLOW, row, synack_ns, row->first_ns + row->syn_rtt_ns);
	if (!odd)
		ROW_SET(FLOW, row, ack_ns, row->synack_ns + row->ack_rtt_ns);
	ROW_SET(FLOW, row, first_payload_ns, row->synack_ns + row->ack_rtt_ns + random_below(random, 50) * 1000);
	ROW_SET(FLOW, row, first_app_ns, row->first_payload_ns);
	ROW_SET(FLOW, row, tx_window_samples, (uint32_t)row->tx_packets - 1);
	ROW_SET(FLOW, row, tx_window_sum_bytes, row->tx_window_samples * 64256ull + (odd ? 512 : 0));
	ROW_SET(FLOW, row, rtt_samples, 1 + (uint32_t)random_below(random, 3));
	ROW_SET(FLOW, row, rtt_min_ns, 1000 * (1 + random_below(random, 4000)));
	ROW_SET(FLOW, row, rtt_max_ns, row->rtt_min_ns + (row->rtt_samples > 1 ? 1000 * random_below(random, 9999) : 0));
	ROW_SET(FLOW, row, rtt_sum_ns, row->rtt_max_ns + (row->rtt_samples - 1) * row->rtt_min_ns);
	ROW_SET(FLOW, row, rtt_sum_squares,
		(row->rtt_max_ns / 1000) * (row->rtt_max_ns / 1000) +
		(row->rtt_samples - 1) * (row->rtt_min_ns / 1000) * (row->rtt_min_ns / 1000));
}

/* Calls of some connections, one behind the other. */
static void call_fill(struct random *random, uint32_t i, struct call_row *row, struct call_row *last)
{
	uint32_t flow = (uint32_t)random_below(random, 20);
	struct call_row *before = &last[flow];

	row->start_ns = T0 + i * 100000ull;
	row->id = schema_id(row->start_ns, i);
	row->flow_id = schema_id(T0, flow);
	ROW_SET(CALL, row, req_bytes, 100 + random_below(random, 1000));
	if (i % 9)
		ROW_SET(CALL, row, rsp_bytes, random_below(random, 100000));
	ROW_SET(CALL, row, latency_ns, 1 + random_below(random, 1u << 28));
	row->end_ns = row->start_ns + row->latency_ns;
	ROW_SET(CALL, row, req_seq, before->flow_id ? before->req_seq + (uint32_t)before->req_bytes :
						      (uint32_t)random_u64(random));
	if (i % 9)
		ROW_SET(CALL, row, rsp_seq, before->flow_id ? before->rsp_seq + (uint32_t)before->rsp_bytes : 7);
	*before = *row;
}

static struct made *made_new(enum table_id table, bool shuffled, enum rg_codec codec)
{
	struct made *made = mem_zalloc(sizeof(*made));
	struct random random = random_new("derive");
	struct rg_builder *builder = rg_builder_new(table_get(table));
	struct call_row last[20] = { 0 };
	struct err err = { 0 };

	made->table = table_get(table);
	made->rows = mem_array(ROWS, made->table->row_bytes);
	wr_init(&made->blob, 0);
	for (unsigned i = 0; i < ROWS / 10; i++)
		(void)snprintf(made->names[i], sizeof(made->names[i]), "workload-%u", i / 3);
	for (uint32_t i = 0; i < ROWS; i++) {
		void *row = made->rows + i * made->table->row_bytes;

		if (table == TABLE_FLOWS)
			flow_fill(&random, made, i, row);
		else
			call_fill(&random, i, row, last);
		CHECK_EQ(rg_builder_add(builder, row), 0);
	}
	if (shuffled) {
		made->order = mem_array(ROWS, sizeof(*made->order));
		random_order(&random, made->order, ROWS);
	}
	CHECK_OK(rg_builder_write(builder, made->order, codec, 0, &made->blob, &err), err);
	rg_builder_free(builder);
	return made;
}

/* Each column by itself: what foretells it is read without being asked for. */
static const char *differs(const struct rg *rg, const struct made *made)
{
	const char *found = NULL;
	struct arena arena;
	struct err err = { 0 };

	arena_init(&arena, 0);
	for (size_t c = 0; c < made->table->cols_count && !found; c++) {
		const struct col *col = &made->table->cols[c];
		bool is_int = types[col->type].phys == PHYS_INT;
		struct rg_ints ints = { 0 };
		struct rg_bytes bytes = { 0 };

		arena_reset(&arena);
		CHECK_OK(is_int ? rg_read_ints(rg, col, &arena, &ints, &err) :
				  rg_read_bytes(rg, col, &arena, &bytes, &err), err);
		for (uint32_t i = 0; i < ROWS && !found; i++) {
			const void *row = made->rows + (made->order ? made->order[i] : i) * made->table->row_bytes;
			uint64_t want_int = 0;
			struct view want_bytes = { 0 };
			bool want = row_get(col, row, &want_int, &want_bytes);

			if (rg_valid(is_int ? ints.valid : bytes.valid, i) != want ||
			    (is_int ? ints.values[i] != (want ? want_int : 0) :
			     want && !view_eq(bytes.dict[bytes.codes ? bytes.codes[i] : i], want_bytes)))
				found = col->key;
		}
	}
	arena_release(&arena);
	return found;
}

static const char *encoding_of(const struct rg *rg, uint16_t col_id)
{
	struct rg_chunk_info info;

	for (uint32_t i = 0; rg_chunk_info(rg, i, &info); i++)
		if (info.col_id == col_id)
			return info.encoding;
	return "none";
}

TEST(derive, columns_come_back_one_by_one)
{
	for (unsigned i = 0; i < 4; i++) {
		struct made *made = made_new(i / 2 ? TABLE_CALLS : TABLE_FLOWS, i % 2, RG_CODEC_ZSTD);
		struct err err = { 0 };
		struct rg rg;

		CHECK_OK(rg_open(wr_view(&made->blob), &rg, &err), err);
		CHECK(!differs(&rg, made), "%s", differs(&rg, made));
		CHECK_OK(rg_verify(&rg, &err), err);
		made_release(made);
	}
}

#define ENCODING(rg, prefix, column) \
	encoding_of(rg, table_get((rg)->table->id)->cols[prefix##_##column].id)

TEST(derive, what_follows_costs_next_to_nothing)
{
	static const uint16_t foretold[] = { FLOW_handshake_ns, FLOW_synack_ns, FLOW_ack_ns, FLOW_first_app_ns,
					     FLOW_tx_goodput_bytes, FLOW_rx_goodput_bytes, FLOW_tx_window_samples,
					     FLOW_tx_window_sum_bytes, FLOW_rtt_sum_ns, FLOW_rtt_sum_squares };
	struct made *flows = made_new(TABLE_FLOWS, false, RG_CODEC_ZSTD), *hot;
	struct made *calls = made_new(TABLE_CALLS, false, RG_CODEC_ZSTD);
	struct rg_chunk_info info;
	struct err err = { 0 };
	struct rg rg;

	CHECK_OK(rg_open(wr_view(&flows->blob), &rg, &err), err);
	for (size_t i = 0; i < sizeof(foretold) / sizeof(foretold[0]); i++) {
		const struct col *col = &rg.table->cols[foretold[i]];

		CHECK_STR(encoding_of(&rg, col->id), "predict");
		for (uint32_t c = 0; rg_chunk_info(&rg, c, &info); c++)
			if (info.col_id == col->id)
				CHECK_LT(info.plain_bytes, ROWS / 2);	/* the odd rows */
	}
	CHECK_STR(ENCODING(&rg, FLOW, src_workload), "map");
	CHECK_STR(ENCODING(&rg, FLOW, dst_workload), "map");
	CHECK_STR(ENCODING(&rg, FLOW, src_ip), "dict");
	CHECK_OK(rg_open(wr_view(&calls->blob), &rg, &err), err);
	CHECK_STR(ENCODING(&rg, CALL, req_seq), "predict");
	CHECK_STR(ENCODING(&rg, CALL, rsp_seq), "predict");
	CHECK_STR(ENCODING(&rg, CALL, end_ns), "predict");
	/* What is soon written anew is not looked at so closely. */
	hot = made_new(TABLE_FLOWS, false, RG_CODEC_LZ4);
	CHECK_OK(rg_open(wr_view(&hot->blob), &rg, &err), err);
	CHECK(!differs(&rg, hot));
	for (uint32_t c = 0; rg_chunk_info(&rg, c, &info); c++)
		CHECK(strcmp(info.encoding, "predict") && strcmp(info.encoding, "map") && strcmp(info.encoding, "patch"));
	made_release(hot);
	made_release(flows);
	made_release(calls);
}

static void header_repair(struct wr *blob)
{
	struct view stored = wr_view(blob);
	uint16_t entries;
	uint64_t sum;

	memcpy(&entries, blob->at + 26, 2);
	sum = codec_checksum(view_sub(stored, 0, 16)) ^
	      codec_checksum(view_sub(stored, ENVELOPE_BYTES, RG_HEADER_BYTES - ENVELOPE_BYTES + entries * RG_ENTRY_BYTES));
	memcpy(blob->at + 16, &sum, sizeof(sum));
}

TEST(derive, a_reader_that_does_not_know_refuses_in_words)
{
	struct made *made = made_new(TABLE_FLOWS, false, RG_CODEC_ZSTD);
	struct err err = { 0 };
	uint16_t must_know;
	struct rg rg;

	memcpy(&must_know, made->blob.at + 6, 2);
	CHECK_U64(must_know, RG_MUST_DERIVE);	/* a reader of before knows no bit and refuses the group */
	must_know = RG_MUST_KNOW + 1;
	memcpy(made->blob.at + 6, &must_know, 2);
	header_repair(&made->blob);
	CHECK_RC(rg_open(wr_view(&made->blob), &rg, &err), E_UNSUPPORTED);
	made_release(made);
}

/* The entry and the plain bytes of a column's chunk, which is stored without a codec when it is small. */
static uint8_t *chunk_of(struct made *made, uint16_t col_id, struct rg_entry *ret_entry, uint8_t **ret_entry_at)
{
	uint16_t entries;

	memcpy(&entries, made->blob.at + 26, 2);
	for (uint16_t i = 0; i < entries; i++) {
		*ret_entry_at = made->blob.at + RG_HEADER_BYTES + i * RG_ENTRY_BYTES;
		*ret_entry = rg_entry_get(*ret_entry_at);
		if (ret_entry->col_id == col_id)
			return made->blob.at + ret_entry->offset;
	}
	return NULL;
}

static void chunk_changed(struct made *made, struct rg_entry *entry, uint8_t *entry_at)
{
	entry->checksum = codec_checksum(view_make(made->blob.at + entry->offset, entry->stored_len));
	rg_entry_put(entry_at, entry);
	header_repair(&made->blob);
}

static int column_read(struct made *made, unsigned ordinal, struct err *err)
{
	const struct col *col = &made->table->cols[ordinal];
	struct rg_bytes bytes;
	struct rg_ints ints;
	struct arena arena;
	struct rg rg;
	int rc;

	arena_init(&arena, 0);
	err_clear(err);
	CHECK_OK(rg_open(wr_view(&made->blob), &rg, err), *err);
	rc = types[col->type].phys == PHYS_INT ? rg_read_ints(&rg, col, &arena, &ints, err) :
						 rg_read_bytes(&rg, col, &arena, &bytes, err);
	arena_release(&arena);
	return rc;
}

/* Columns in a ring, inputs that are not there or hold no numbers, formulas nobody knows. */
TEST(derive, lies_about_what_foretells_are_told)
{
	struct made *made = made_new(TABLE_FLOWS, false, RG_CODEC_ZSTD);
	const struct table *table = made->table;
	const uint16_t id = table->cols[FLOW_first_app_ns].id;
	const uint16_t wrong[] = { id, table->cols[FLOW_src_ip].id, table->cols[FLOW_vlan].id, 0, 9999 };
	struct rg_entry entry;
	uint8_t *entry_at = NULL, *chunk = chunk_of(made, id, &entry, &entry_at), good[16];
	struct err err = { 0 };

	CHECK_U64(entry.codec, CODEC_NONE);
	memcpy(good, chunk, sizeof(good));
	CHECK_U64(chunk[0], CHUNK_PREDICT);
	CHECK_U64(chunk[1], PREDICT_SUM);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(chunk + 3, &wrong[i], 2);
		chunk_changed(made, &entry, entry_at);
		CHECK_RC(column_read(made, FLOW_first_app_ns, &err), E_CORRUPT);
	}
	memcpy(chunk, good, sizeof(good));
	for (unsigned at = 1; at <= 6; at++) {		/* formula, count, shifts */
		static const uint8_t lies[] = { 0, 5, 64, 255 };

		if (at == 3 || at == 4)
			continue;
		for (size_t i = 0; i < sizeof(lies); i++) {
			chunk[at] = lies[i];
			chunk_changed(made, &entry, entry_at);
			if (at < 5 || lies[i] >= 64)
				CHECK_RC(column_read(made, FLOW_first_app_ns, &err), E_CORRUPT);
			else
				(void)column_read(made, FLOW_first_app_ns, &err);
		}
		chunk[at] = good[at];
	}
	chunk_changed(made, &entry, entry_at);
	CHECK_OK(column_read(made, FLOW_first_app_ns, &err), err);
	made_release(made);
}

TEST(derive, lies_about_what_follows_are_told)
{
	struct made *made = made_new(TABLE_FLOWS, false, RG_CODEC_ZSTD);
	const struct table *table = made->table;
	const uint16_t id = table->cols[FLOW_dst_workload].id;
	const uint16_t wrong[] = { id, table->cols[FLOW_src_workload].id, table->cols[FLOW_src_ip].id,
				   table->cols[FLOW_tx_bytes].id, table->cols[FLOW_src_pod].id, 0, 9999 };
	struct rg_entry entry;
	uint8_t *entry_at = NULL, *chunk = chunk_of(made, id, &entry, &entry_at);
	struct err err = { 0 };

	CHECK_U64(entry.codec, CODEC_NONE);
	CHECK_U64(chunk[0], CHUNK_MAP);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {	/* one of seven strings follows from each of seven */
		memcpy(chunk + 1, &wrong[i], 2);
		chunk_changed(made, &entry, entry_at);
		CHECK_RC(column_read(made, FLOW_dst_workload, &err), E_CORRUPT);
	}
	made_release(made);
}

TEST(derive, a_budget_stops_a_reader)
{
	struct made *made = made_new(TABLE_FLOWS, false, RG_CODEC_ZSTD);
	const struct col *col = &made->table->cols[FLOW_handshake_ns];
	struct err err = { 0 };
	struct rg_ints ints;
	struct arena arena;
	struct rg rg;

	CHECK_OK(rg_open(wr_view(&made->blob), &rg, &err), err);
	arena_init(&arena, ROWS * 8 * 2);	/* room for the column, none for what foretells it */
	CHECK_RC(rg_read_ints(&rg, col, &arena, &ints, &err), E_NO_MEMORY);
	arena_release(&arena);
	made_release(made);
}

/* ---- inputs never lead back ---- */

static unsigned depth_of(unsigned table, unsigned ordinal, unsigned limit)
{
	const struct predict_hint *hint;
	unsigned depth = 0;

	for (size_t i = 0; limit && (hint = predict_hint(i)); i++) {
		if (hint->table != table || hint->ordinal != ordinal)
			continue;
		for (unsigned t = 0; t < hint->count; t++) {
			unsigned below = 1 + depth_of(table, hint->terms[t].ordinal, limit - 1);

			depth = below > depth ? below : depth;
		}
	}
	return limit ? depth : 100;
}

TEST(derive, hints_end_and_name_columns_that_fit)
{
	const struct predict_hint *hint;
	const struct map_hint *map;

	for (size_t i = 0; (hint = predict_hint(i)); i++) {
		const struct table *table = table_get((enum table_id)hint->table);

		CHECK_LT(depth_of(hint->table, hint->ordinal, 10), 10);
		CHECK_EQ(types[table->cols[hint->ordinal].type].phys, PHYS_INT);
		CHECK(table->cols[hint->ordinal].index != INDEX_DERIVED);
		CHECK(hint->count >= 1 && hint->count <= PREDICT_TERMS_MAX);
		for (unsigned t = 0; t < hint->count; t++)
			CHECK_EQ(types[table->cols[hint->terms[t].ordinal].type].phys, PHYS_INT);
	}
	for (size_t i = 0; (map = map_hint(i)); i++) {
		const struct table *table = table_get((enum table_id)map->table);
		const struct map_hint *other;

		CHECK_EQ(types[table->cols[map->ordinal].type].phys, PHYS_BYTES);
		CHECK_EQ(types[table->cols[map->from].type].phys, PHYS_BYTES);
		for (size_t j = 0; (other = map_hint(j)); j++)
			CHECK(other->table != map->table || other->ordinal != map->from, "%s follows from another",
			      table->cols[map->from].key);
	}
}
