#include "store/rowgroup.h"

#include "base/rd.h"
#include "store/chunk.h"
#include "store/rg_format.h"
#include "tests/check.h"
#include "tests/random.h"

/* The rows a group was made of, to compare with. */
struct made {
	const struct table *table;
	uint32_t rows;
	uint32_t *order;	/* NULL: as added */
	uint8_t *structs;
	struct arena arena;
	struct wr blob;
};

static void made_release(struct made *made)
{
	mem_free(made->order);
	mem_free(made->structs);
	arena_release(&made->arena);
	wr_release(&made->blob);
}

static void made_new(struct random *random, enum table_id table, unsigned salt, uint32_t rows, bool shuffled,
		     enum rg_codec codec, struct made *made)
{
	struct rg_builder *builder;
	struct err err = { 0 };

	*made = (struct made){ .table = table_get(table), .rows = rows };
	arena_init(&made->arena, 0);
	wr_init(&made->blob, 0);
	made->structs = mem_array(rows, made->table->row_bytes);
	builder = rg_builder_new(made->table);
	for (uint32_t i = 0; i < rows; i++) {
		void *row = made->structs + i * made->table->row_bytes;

		random_row(random, made->table, salt, i, row, &made->arena);
		CHECK_OK(rg_builder_add(builder, row), err);
	}
	CHECK_U64(rg_builder_rows(builder), rows);
	if (shuffled) {
		made->order = mem_array(rows, sizeof(*made->order));
		random_order(random, made->order, rows);
	}
	CHECK_OK(rg_builder_write(builder, made->order, codec, 0, &made->blob, &err), err);
	rg_builder_free(builder);
}

static const void *made_row(const struct made *made, uint32_t place)
{
	return made->structs + (made->order ? made->order[place] : place) * made->table->row_bytes;
}

/* Every column by itself equals the rows. */
static bool columns_equal(const struct rg *rg, const struct made *made)
{
	struct arena arena;
	struct err err = { 0 };
	bool equal = true;

	arena_init(&arena, 0);
	for (size_t c = 0; c < made->table->cols_count && equal; c++) {
		const struct col *col = &made->table->cols[c];
		struct rg_ints ints = { 0 };
		struct rg_bytes bytes = { 0 };
		bool is_int = types[col->type].phys == PHYS_INT;
		int rc = is_int ? rg_read_ints(rg, col, &arena, &ints, &err) :
				  rg_read_bytes(rg, col, &arena, &bytes, &err);

		equal = rc == 0;
		for (uint32_t i = 0; i < made->rows && equal; i++) {
			uint64_t want_int = 0;
			struct view want_bytes = { 0 };
			bool want = row_get(col, made_row(made, i), &want_int, &want_bytes);
			uint32_t code;

			if (rg_valid(is_int ? ints.valid : bytes.valid, i) != want) {
				equal = false;
			} else if (is_int) {
				equal = !want || ints.values[i] == want_int;
			} else {
				code = bytes.codes ? bytes.codes[i] : i;
				equal = code < bytes.dict_count && (!want || view_eq(bytes.dict[code], want_bytes));
			}
		}
		arena_reset(&arena);
	}
	arena_release(&arena);
	return equal;
}

static bool rows_equal(const struct rg *rg, const struct made *made)
{
	struct arena arena;
	struct err err = { 0 };
	void *rows = NULL;
	bool equal;

	arena_init(&arena, 0);
	equal = rg_read_rows(rg, &arena, &rows, &err) == 0;
	for (uint32_t i = 0; i < made->rows && equal; i++) {
		const uint8_t *got = (const uint8_t *)rows + i * made->table->row_bytes;

		for (size_t c = 0; c < made->table->cols_count && equal; c++) {
			const struct col *col = &made->table->cols[c];
			uint64_t got_int = 0, want_int = 0;
			struct view got_bytes = { 0 }, want_bytes = { 0 };

			equal = row_get(col, got, &got_int, &got_bytes) ==
				row_get(col, made_row(made, i), &want_int, &want_bytes) &&
				got_int == want_int && view_eq(got_bytes, want_bytes);
		}
	}
	arena_release(&arena);
	return equal;
}

TEST(rowgroup, every_table_and_codec_comes_back)
{
	static const enum table_id tables[] = { TABLE_FLOWS, TABLE_CALLS, TABLE_EVENTS, TABLE_ENTITIES, TABLE_ROLLUPS };
	static const uint32_t sizes[] = { 1, 63, 64, 65, 255, 256, 257, 1000, 4097 };
	struct random random = random_new("rowgroup");

	for (unsigned i = 0; i < 60; i++) {
		struct made made;
		struct err err = { 0 };
		struct rg rg;

		made_new(&random, tables[i % 5], i, sizes[i % 9], i % 2, (enum rg_codec)(i % 3), &made);
		CHECK_OK(rg_open(wr_view(&made.blob), &rg, &err), err);
		CHECK_U64(rg.zone.rows, made.rows);
		CHECK(columns_equal(&rg, &made), "columns of table %s, round %u", made.table->name, i);
		CHECK(rows_equal(&rg, &made), "rows of table %s, round %u", made.table->name, i);
		CHECK_OK(rg_verify(&rg, &err), err);
		made_release(&made);
	}
}

TEST(rowgroup, holds_the_most_rows_and_refuses_one_more)
{
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_EVENTS));
	struct event_row row = { .start_ns = 5, .end_ns = 6 };
	struct wr blob;
	struct err err = { 0 };
	struct rg rg;

	wr_init(&blob, 0);
	for (uint32_t i = 0; i < RG_ROWS_MAX; i++) {
		row.start_ns++;
		CHECK_EQ(rg_builder_add(builder, &row), 0);
	}
	CHECK_RC(rg_builder_add(builder, &row), E_LIMIT);
	CHECK_U64(rg_builder_rows(builder), RG_ROWS_MAX);
	CHECK_OK(rg_builder_write(builder, NULL, RG_CODEC_ZSTD, 0, &blob, &err), err);
	CHECK_OK(rg_open(wr_view(&blob), &rg, &err), err);
	CHECK_U64(rg.zone.rows, RG_ROWS_MAX);
	CHECK_U64(rg.zone.start_min, 6);
	CHECK_U64(rg.zone.start_max, 5 + RG_ROWS_MAX);
	CHECK_U64(rg.zone.end_max, 6);
	CHECK_OK(rg_verify(&rg, &err), err);
	/* Constants and null columns cost their directory entry at most. */
	CHECK_LT(blob.len, 4000);
	rg_builder_free(builder);
	wr_release(&blob);
}

TEST(rowgroup, a_group_without_rows_is_readable)
{
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_FLOWS));
	struct arena arena;
	struct wr blob;
	struct err err = { 0 };
	struct rg_ints ints;
	struct rg rg;
	void *rows;

	wr_init(&blob, 0);
	arena_init(&arena, 0);
	CHECK_OK(rg_builder_write(builder, NULL, RG_CODEC_LZ4, 0, &blob, &err), err);
	CHECK_OK(rg_open(wr_view(&blob), &rg, &err), err);
	CHECK_U64(rg.zone.rows, 0);
	CHECK_OK(rg_read_ints(&rg, &rg.table->cols[0], &arena, &ints, &err), err);
	CHECK_OK(rg_read_rows(&rg, &arena, &rows, &err), err);
	CHECK_OK(rg_verify(&rg, &err), err);
	rg_builder_free(builder);
	arena_release(&arena);
	wr_release(&blob);
}

TEST(rowgroup, builder_is_as_new_after_reset)
{
	struct random random = random_new("rowgroup reset");
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_CALLS));
	struct call_row row;
	struct arena arena;
	struct wr first, second;
	struct err err = { 0 };

	arena_init(&arena, 0);
	wr_init(&first, 0);
	wr_init(&second, 0);
	memset(&row, 0, sizeof(row));
	ROW_SET(CALL, &row, method, VIEW_LIT("GET"));
	CHECK_EQ(rg_builder_add(builder, &row), 0);
	CHECK_OK(rg_builder_write(builder, NULL, RG_CODEC_LZ4, 0, &first, &err), err);
	for (unsigned i = 0; i < 700; i++) {
		struct call_row noise;

		random_row(&random, table_get(TABLE_CALLS), 3, i, &noise, &arena);
		CHECK_EQ(rg_builder_add(builder, &noise), 0);
	}
	rg_builder_reset(builder);
	CHECK_U64(rg_builder_rows(builder), 0);
	CHECK_EQ(rg_builder_add(builder, &row), 0);
	CHECK_OK(rg_builder_write(builder, NULL, RG_CODEC_LZ4, 0, &second, &err), err);
	CHECK(view_eq(wr_view(&first), wr_view(&second)));
	rg_builder_free(builder);
	arena_release(&arena);
	wr_release(&first);
	wr_release(&second);
}

/* A damaged byte may be told, or make no difference (checked by reading everything); it never lies. */
static void flip_and_look(struct made *made, size_t at, uint8_t flip, unsigned *unnoticed)
{
	struct err err = { 0 };
	struct rg rg;

	made->blob.at[at] ^= flip;
	if (rg_open(wr_view(&made->blob), &rg, &err) == 0 && rg_verify(&rg, &err) == 0) {
		(*unnoticed)++;
		CHECK(columns_equal(&rg, made), "byte %zu ^ %#x changes the rows", at, flip);
		CHECK(rows_equal(&rg, made), "byte %zu ^ %#x changes the rows", at, flip);
	} else {
		CHECK(err.text[0] != '\0', "byte %zu ^ %#x: an error without words", at, flip);
	}
	made->blob.at[at] ^= flip;
}

TEST(rowgroup, a_flipped_byte_anywhere_is_told)
{
	struct random random = random_new("rowgroup flip");

	for (unsigned codec = 0; codec < 3; codec++) {
		struct made made;
		unsigned unnoticed = 0;

		made_new(&random, codec == 1 ? TABLE_ROLLUPS : TABLE_CALLS, codec, 70, true, (enum rg_codec)codec, &made);
		for (size_t at = 0; at < made.blob.len; at++) {
			flip_and_look(&made, at, 0x01, &unnoticed);
			flip_and_look(&made, at, 0x80, &unnoticed);
			flip_and_look(&made, at, 0xff, &unnoticed);
		}
		CHECK_U64(unnoticed, 0);
		made_release(&made);
	}
}

TEST(rowgroup, cut_short_anywhere_is_told)
{
	struct random random = random_new("rowgroup cut");
	struct made made;
	struct err err = { 0 };
	struct rg rg;

	made_new(&random, TABLE_FLOWS, 1, 40, false, RG_CODEC_ZSTD, &made);
	for (size_t len = 0; len < made.blob.len; len++) {
		err_clear(&err);
		CHECK_RC(rg_open(view_make(made.blob.at, len), &rg, &err), E_CORRUPT);
	}
	made_release(&made);
}

/* ---- what the directory may claim: one field at a time lies, and the checksums are right ---- */

static void header_repair(struct wr *blob, size_t entries)
{
	struct view stored = wr_view(blob);
	uint64_t sum = codec_checksum(view_sub(stored, 0, 16)) ^
		       codec_checksum(view_sub(stored, ENVELOPE_BYTES,
					       RG_HEADER_BYTES - ENVELOPE_BYTES + entries * RG_ENTRY_BYTES));

	memcpy(blob->at + 16, &sum, sizeof(sum));
}

static struct rg_entry *entry_of(struct made *made, uint16_t col_id, struct rg_entry *entry, uint8_t **ret_at)
{
	struct err err = { 0 };
	struct rg rg;

	CHECK_OK(rg_open(wr_view(&made->blob), &rg, &err), err);
	for (uint32_t i = 0; i < rg.cols; i++) {
		*ret_at = made->blob.at + RG_HEADER_BYTES + i * RG_ENTRY_BYTES;
		*entry = rg_entry_get(*ret_at);
		if (entry->col_id == col_id)
			return entry;
	}
	return NULL;
}

static void made_sparse(struct made *made)	/* events: ten rows, value and comm in every second one */
{
	static const char *const comms[] = { "nginx", "curl", "redis", "dnsmasq", "java" };
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_EVENTS));
	struct err err = { 0 };

	*made = (struct made){ .table = table_get(TABLE_EVENTS), .rows = 10 };
	made->structs = mem_array(10, sizeof(struct event_row));
	arena_init(&made->arena, 0);
	wr_init(&made->blob, 0);
	for (unsigned i = 0; i < 10; i++) {
		struct event_row *row = (struct event_row *)made->structs + i;

		row->start_ns = 1000000 + i * 77;
		row->end_ns = 1000000 + i * i;
		row->kind = (uint8_t)(i + 1);
		if (i % 2) {
			ROW_SET(EVENT_ROW, row, value, i * i * 1000);
			ROW_SET(EVENT_ROW, row, src_ip, ip_from_v4(i));
			ROW_SET(EVENT_ROW, row, comm, view_str(comms[i / 2]));
		}
		CHECK_EQ(rg_builder_add(builder, row), 0);
	}
	CHECK_OK(rg_builder_write(builder, NULL, RG_CODEC_NONE, 0, &made->blob, &err), err);
	rg_builder_free(builder);
}

enum lie { LIE_TYPE, LIE_TYPE_UNKNOWN, LIE_ENC, LIE_CODEC, LIE_CODEC_UNKNOWN, LIE_NULLS, LIE_NULLS_NONE, LIE_BITMAP,
	   LIE_BITMAP_BEYOND, LIE_OFFSET, LIE_OFFSET_DIRECTORY, LIE_STORED, LIE_STORED_NONE, LIE_PLAIN, LIE_PLAIN_HUGE,
	   LIE_COUNT, LIE_COUNT_NONE, LIE_COUNT_MANY, LIES };

static void entry_lie(struct rg_entry *entry, enum lie lie)
{
	switch (lie) {
	case LIE_TYPE: entry->type = entry->type == TYPE_IP || entry->type == TYPE_STR ? TYPE_U64 : TYPE_STR; break;
	case LIE_TYPE_UNKNOWN: entry->type = 255; break;
	case LIE_ENC: entry->enc = CHUNK_BITMAP; break;
	case LIE_CODEC: entry->codec = CODEC_ZSTD; break;
	case LIE_CODEC_UNKNOWN: entry->codec = 200; break;
	case LIE_NULLS: entry->nulls = 2; break;
	case LIE_NULLS_NONE: entry->nulls = RG_NULLS_NONE; break;
	case LIE_BITMAP: entry->bitmap = 0; break;		/* that one is the column id */
	case LIE_BITMAP_BEYOND: entry->bitmap = UINT16_MAX; break;
	case LIE_OFFSET: entry->offset = UINT32_MAX; break;
	case LIE_OFFSET_DIRECTORY: entry->offset = 0; break;
	case LIE_STORED: entry->stored_len = UINT32_MAX; break;
	case LIE_STORED_NONE: entry->stored_len = 0; break;
	case LIE_PLAIN: entry->plain_len++; break;
	case LIE_PLAIN_HUGE: entry->plain_len = UINT32_MAX; break;
	case LIE_COUNT: entry->count--; break;
	case LIE_COUNT_NONE: entry->count = 0; break;
	case LIE_COUNT_MANY: entry->count = UINT32_MAX; break;
	case LIES: break;
	}
}

TEST(rowgroup, every_lie_of_the_directory_is_told)
{
	static const char *const names[] = { "value", "src_ip", "comm" };

	for (unsigned n = 0; n < 3; n++) {
		for (unsigned lie = 0; lie < LIES; lie++) {
			struct rg_entry entry;
			struct err err = { 0 };
			struct made made;
			struct rg rg;
			uint8_t *at;

			made_sparse(&made);
			CHECK(entry_of(&made, table_col(made.table, view_str(names[n]))->id, &entry, &at));
			CHECK_NE(entry.stored_len, 0);
			entry_lie(&entry, (enum lie)lie);
			rg_entry_put(at, &entry);
			CHECK_RC(rg_open(wr_view(&made.blob), &rg, NULL), E_CORRUPT);	/* the checksum */
			header_repair(&made.blob, ((uint32_t)made.blob.at[26] | (uint32_t)made.blob.at[27] << 8));
			err_clear(&err);
			CHECK_OK(rg_open(wr_view(&made.blob), &rg, &err), err);
			CHECK_RC(rg_verify(&rg, &err), E_CORRUPT);
			CHECK(strstr(err.text, table_col(made.table, view_str(names[n]))->key), "lie %u: '%s'", lie,
			      err.text);
			made_release(&made);
		}
	}
}

TEST(rowgroup, a_newer_programs_column_is_skipped)
{
	struct rg_entry entry;
	struct err err = { 0 };
	struct arena arena;
	struct rg_ints ints;
	struct made made;
	struct rg rg;
	uint8_t *at;

	made_sparse(&made);
	arena_init(&arena, 0);
	CHECK(entry_of(&made, made.table->cols[EVENT_ROW_value].id, &entry, &at));
	entry.col_id = 60000;
	entry.type = 250;
	rg_entry_put(at, &entry);
	header_repair(&made.blob, ((uint32_t)made.blob.at[26] | (uint32_t)made.blob.at[27] << 8));
	CHECK_OK(rg_open(wr_view(&made.blob), &rg, &err), err);
	CHECK_OK(rg_verify(&rg, &err), err);
	CHECK_OK(rg_read_ints(&rg, &made.table->cols[EVENT_ROW_value], &arena, &ints, &err), err);
	for (uint32_t i = 0; i < 10; i++)
		CHECK_NOT(rg_valid(ints.valid, i));
	/* but its bytes are checked */
	made.blob.at[entry.offset] ^= 1;
	CHECK_RC(rg_verify(&rg, &err), E_CORRUPT);
	arena_release(&arena);
	made_release(&made);
}

TEST(rowgroup, a_value_too_wide_for_its_column_is_told)
{
	struct rg_entry entry;
	struct err err = { 0 };
	struct made made;
	struct rg rg;
	uint8_t *at;

	made_sparse(&made);
	CHECK(entry_of(&made, made.table->cols[EVENT_ROW_value].id, &entry, &at));
	entry.col_id = made.table->cols[EVENT_ROW_src_port].id;	/* 81000 in 16 bits */
	rg_entry_put(at, &entry);
	header_repair(&made.blob, ((uint32_t)made.blob.at[26] | (uint32_t)made.blob.at[27] << 8));
	CHECK_OK(rg_open(wr_view(&made.blob), &rg, &err), err);
	CHECK_RC(rg_verify(&rg, &err), E_CORRUPT);
	CHECK(strstr(err.text, "src.port") && strstr(err.text, "16 bits"), "'%s'", err.text);
	made_release(&made);
}

TEST(rowgroup, a_zone_that_differs_from_the_rows_is_told)
{
	struct err err = { 0 };
	struct made made;
	struct rg rg;

	for (size_t field = 32; field < 56; field += 8) {
		made_sparse(&made);
		made.blob.at[field]++;
		header_repair(&made.blob, ((uint32_t)made.blob.at[26] | (uint32_t)made.blob.at[27] << 8));
		err_clear(&err);
		CHECK_OK(rg_open(wr_view(&made.blob), &rg, &err), err);
		CHECK_RC(rg_verify(&rg, &err), E_CORRUPT);
		made_release(&made);
	}
}

TEST(rowgroup, times_are_stored_as_differences_where_that_is_smaller)
{
	struct random random = random_new("rowgroup ref");
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_EVENTS));
	struct made made = { .table = table_get(TABLE_EVENTS), .rows = 2000 };
	struct rg_chunk_info info;
	struct err err = { 0 };
	unsigned refs = 0;
	struct rg rg;

	made.structs = mem_array(made.rows, sizeof(struct event_row));
	made.order = mem_array(made.rows, sizeof(*made.order));
	wr_init(&made.blob, 0);
	arena_init(&made.arena, 0);
	random_order(&random, made.order, made.rows);
	for (uint32_t i = 0; i < made.rows; i++) {
		struct event_row *row = (struct event_row *)made.structs + i;

		row->start_ns = 1700000000000000000ull + random_below(&random, 1ull << 41);
		row->end_ns = row->start_ns + random_below(&random, 1000);
		row->id = schema_id(row->start_ns, i);
		if (i % 3)	/* a flow that began earlier: the difference is negative */
			ROW_SET(EVENT_ROW, row, flow_id, schema_id(row->start_ns - random_below(&random, 1 << 22), i));
		CHECK_EQ(rg_builder_add(builder, row), 0);
	}
	CHECK_OK(rg_builder_write(builder, made.order, RG_CODEC_LZ4, 0, &made.blob, &err), err);
	CHECK_OK(rg_open(wr_view(&made.blob), &rg, &err), err);
	CHECK(columns_equal(&rg, &made));
	CHECK(rows_equal(&rg, &made));
	for (uint32_t i = 0; rg_chunk_info(&rg, i, &info); i++)
		refs += strcmp(info.encoding, "ref") == 0;
	CHECK_U64(refs, 3);
	rg_builder_free(builder);
	made_release(&made);
}

TEST(rowgroup, out_of_memory_leaves_rows_and_output_alone)
{
	struct random random = random_new("rowgroup memory");
	const struct table *table = table_get(TABLE_CALLS);
	struct rg_builder *builder = NULL;
	struct call_row rows[20];
	struct arena arena;
	struct err err = { 0 };
	struct wr out;
	struct rg rg;
	int rc;

	arena_init(&arena, 0);
	for (unsigned i = 0; i < 20; i++)
		random_row(&random, table, 5, i, &rows[i], &arena);
	for (uint64_t n = 1; !builder; n++) {
		mem_fail_nth(n);
		builder = rg_builder_new(table);
		mem_fail_nth(0);
	}
	for (unsigned i = 0; i < 20; i++) {
		rc = E_NO_MEMORY;
		for (uint64_t n = 1; rc < 0; n++) {
			mem_fail_nth(n);
			rc = rg_builder_add(builder, &rows[i]);
			mem_fail_nth(0);
			CHECK(rc == 0 || (rc == E_NO_MEMORY && rg_builder_rows(builder) == i));
		}
	}
	rc = E_NO_MEMORY;
	for (uint64_t n = 1; rc < 0; n++) {
		wr_init(&out, 0);
		mem_fail_nth(n);
		rc = rg_builder_write(builder, NULL, RG_CODEC_ZSTD, 0, &out, NULL);
		mem_fail_nth(0);
		CHECK(rc == 0 || (rc == E_NO_MEMORY && out.len == 0));
		if (rc < 0)
			wr_release(&out);
	}
	CHECK_OK(rg_open(wr_view(&out), &rg, &err), err);
	rc = E_NO_MEMORY;
	for (uint64_t n = 1; rc < 0; n++) {
		struct arena small;
		void *back;

		arena_init(&small, 0);
		mem_fail_nth(n);
		rc = rg_read_rows(&rg, &small, &back, NULL);
		mem_fail_nth(0);
		CHECK(rc == 0 || rc == E_NO_MEMORY);
		for (unsigned i = 0; rc == 0 && i < 20; i++)
			for (size_t c = 0; c < table->cols_count; c++) {
				uint64_t a = 0, b = 0;
				struct view x = { 0 }, y = { 0 };

				CHECK_EQ(row_get(&table->cols[c], (struct call_row *)back + i, &a, &x),
					 row_get(&table->cols[c], &rows[i], &b, &y));
				CHECK(a == b && view_eq(x, y), "row %u, %s", i, table->cols[c].key);
			}
		arena_release(&small);
	}
	rg_builder_free(builder);
	arena_release(&arena);
	wr_release(&out);
}

TEST(rowgroup, a_budget_stops_a_reader)
{
	struct random random = random_new("rowgroup budget");
	struct made made;
	struct arena arena;
	struct err err = { 0 };
	struct rg rg;
	void *rows;

	made_new(&random, TABLE_FLOWS, 2, 5000, false, RG_CODEC_NONE, &made);
	CHECK_OK(rg_open(wr_view(&made.blob), &rg, &err), err);
	arena_init(&arena, 1 << 20);
	CHECK_RC(rg_read_rows(&rg, &arena, &rows, &err), E_NO_MEMORY);
	CHECK(strstr(err.text, "flows"), "'%s'", err.text);
	arena_release(&arena);
	made_release(&made);
}

TEST(rowgroup, long_strings_have_a_limit)
{
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_EVENTS));
	uint8_t *big = mem_zalloc(RG_VALUE_BYTES_MAX + 1);
	struct event_row row;

	memset(&row, 0, sizeof(row));
	ROW_SET(EVENT_ROW, &row, text, view_make(big, RG_VALUE_BYTES_MAX + 1));
	CHECK_RC(rg_builder_add(builder, &row), E_RANGE);
	CHECK_U64(rg_builder_rows(builder), 0);
	for (unsigned i = 0; i < 4; i++) {	/* 64 MiB of them, and it is full */
		big[0] = (uint8_t)i;
		row.text.len = RG_VALUE_BYTES_MAX;
		CHECK_EQ(rg_builder_add(builder, &row), 0);
	}
	row.text.len = 1;
	CHECK_RC(rg_builder_add(builder, &row), E_LIMIT);
	rg_builder_reset(builder);
	CHECK_EQ(rg_builder_add(builder, &row), 0);
	rg_builder_free(builder);
	mem_free(big);
}

/* Rows of another builder, in any order: as if they had been added themselves. */
TEST(rowgroup, rows_of_another_builder_are_as_added)
{
	enum { ROWS = 700 };
	const struct table *table = table_get(TABLE_ROLLUPS);
	struct rg_builder *from = rg_builder_new(table), *one = rg_builder_new(table), *many = rg_builder_new(table);
	struct rollup_row *rows = mem_array(ROWS, sizeof(*rows));
	struct random random = random_new("rowgroup copies");
	uint32_t order[ROWS];
	struct arena arena;
	struct err err = { 0 };
	struct wr a, b;

	arena_init(&arena, 0);
	wr_init(&a, 0);
	wr_init(&b, 0);
	for (uint32_t i = 0; i < ROWS; i++) {
		random_row(&random, table, 5, i, &rows[i], &arena);
		CHECK_EQ(rg_builder_add(from, &rows[i]), 0);
	}
	for (uint32_t i = 0; i < ROWS; i++) {
		order[i] = i * 31 % ROWS;
		CHECK_EQ(rg_builder_add(one, &rows[order[i]]), 0);
	}
	CHECK_EQ(rg_builder_add_from(many, from, order, 0), 0);
	CHECK_EQ(rg_builder_add_from(many, from, order, 300), 0);
	CHECK_EQ(rg_builder_add_from(many, from, order + 300, ROWS - 300), 0);
	CHECK_EQ(rg_builder_rows(many), ROWS);
	CHECK_OK(rg_builder_write(one, NULL, RG_CODEC_ZSTD, 1, &a, &err), err);
	CHECK_OK(rg_builder_write(many, NULL, RG_CODEC_ZSTD, 1, &b, &err), err);
	CHECK(view_eq(wr_view(&a), wr_view(&b)));
	CHECK_RC(rg_builder_add_from(many, from, order, RG_ROWS_MAX), E_LIMIT);
	mem_free(rows);
	wr_release(&a);
	wr_release(&b);
	arena_release(&arena);
	rg_builder_free(from);
	rg_builder_free(one);
	rg_builder_free(many);
}

/* Column by column, tile by tile: what comes out is the same, byte for byte. */
TEST(rowgroup, rows_added_together_are_as_added_one_by_one)
{
	enum { ROWS = 1000, LONG = 500 };
	const struct table *table = table_get(TABLE_CALLS);
	struct rg_builder *one = rg_builder_new(table), *many = rg_builder_new(table);
	struct call_row *rows = mem_array(ROWS, sizeof(*rows));
	struct random random = random_new("rowgroup rows");
	static char text[5000];
	struct arena arena;
	struct err err = { 0 };
	struct wr a, b;
	size_t added;

	arena_init(&arena, 0);
	wr_init(&a, 0);
	wr_init(&b, 0);
	for (uint32_t i = 0; i < ROWS; i++) {
		random_row(&random, table, 5, i, &rows[i], &arena);
		/* As a batch does it: the text of the row before, where that lies; and, as it does not, the half of it. */
		if (i % 5 && ROW_HAS(CALL, &rows[i - 1], target)) {
			struct view before = rows[i - 1].target;

			ROW_SET(CALL, &rows[i], target, view_sub(before, 0, i % 5 == 3 ? before.len / 2 : before.len));
		}
		CHECK_EQ(rg_builder_add(one, &rows[i]), 0);
	}
	CHECK_EQ(rg_builder_add_rows(many, rows, 7, &added), 0);
	CHECK_EQ(added, 7);
	CHECK_EQ(rg_builder_add_rows(many, rows + 7, ROWS - 7, &added), 0);
	CHECK_EQ(added, ROWS - 7);
	CHECK_OK(rg_builder_write(one, NULL, RG_CODEC_LZ4, 0, &a, &err), err);
	CHECK_OK(rg_builder_write(many, NULL, RG_CODEC_LZ4, 0, &b, &err), err);
	CHECK(view_eq(wr_view(&a), wr_view(&b)));

	/* A long string is no tile's business, and one beyond the limit stops the rows before it from nothing. */
	rg_builder_reset(many);
	memset(text, 'x', sizeof(text));
	ROW_SET(CALL, &rows[LONG], target, view_make(text, sizeof(text)));
	CHECK_EQ(rg_builder_add_rows(many, rows, ROWS, &added), 0);
	CHECK_EQ(rg_builder_rows(many), ROWS);
	rg_builder_reset(many);
	ROW_SET(CALL, &rows[LONG], target, view_make(text, RG_VALUE_BYTES_MAX + 1));
	CHECK_RC(rg_builder_add_rows(many, rows, ROWS, &added), E_RANGE);
	CHECK_EQ(added, LONG);
	CHECK_EQ(rg_builder_rows(many), LONG);
	mem_free(rows);
	wr_release(&a);
	wr_release(&b);
	arena_release(&arena);
	rg_builder_free(one);
	rg_builder_free(many);
}
