#include "store/rowgroup.h"

#include "base/rd.h"
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
