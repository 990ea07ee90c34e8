#include "schema/schema.h"

#include "tests/check.h"
#include "tests/random.h"

TEST(schema, columns_answer_to_key_name_and_alias)
{
	const struct table *flows = table_get(TABLE_FLOWS);

	CHECK(table_col(flows, VIEW_LIT("src.ip")) == &flows->cols[FLOW_src_ip]);
	CHECK(table_col(flows, VIEW_LIT("src_ip")) == &flows->cols[FLOW_src_ip]);
	CHECK(table_col(flows, VIEW_LIT("ip.src")) == &flows->cols[FLOW_src_ip]);
	CHECK(table_col(flows, VIEW_LIT("source.address")) == &flows->cols[FLOW_src_ip]);
	CHECK(table_col_id(flows, 20) == &flows->cols[FLOW_src_ip]);
}

TEST(schema, unknown_names_are_unknown)
{
	const struct table *flows = table_get(TABLE_FLOWS);
	static const char *const names[] = { "", " ", "src", "src.i", "src.ipp", "SRC.IP", "ip.src ", "\xff" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		CHECK_NULL(table_col(flows, view_str(names[i])), "'%s'", names[i]);
	CHECK_NULL(table_col_id(flows, 0));
	CHECK_NULL(table_col_id(flows, UINT16_MAX));
	CHECK_NULL(table_get((enum table_id)0));
	CHECK_NULL(table_get((enum table_id)(TABLE_MAX + 1)));
	CHECK_NULL(table_by_name(VIEW_LIT("flow")));
	CHECK_NULL(table_by_name(VIEW_LIT("")));
	CHECK(table_by_name(VIEW_LIT("calls")) == table_get(TABLE_CALLS));
}

TEST(schema, symbols_have_names_and_numbers)
{
	uint32_t number = 99;

	CHECK_STR(sym_name(SYMS_PROTO, 6), "tcp");
	CHECK_NULL(sym_name(SYMS_PROTO, 250));
	CHECK_NULL(sym_name(SYMS_NONE, 6));
	CHECK_NULL(sym_name(SYMS_PROTO, 6 + (1ull << 32)));
	CHECK_EQ(sym_number(SYMS_L7, VIEW_LIT("HTTP"), &number), 0);
	CHECK_U64(number, L7_http);
	CHECK_RC(sym_number(SYMS_L7, VIEW_LIT("htt"), &number), E_UNKNOWN_NAME);
	CHECK_RC(sym_number(SYMS_L7, VIEW_LIT(""), &number), E_UNKNOWN_NAME);
	CHECK_U64(number, L7_http);	/* untouched on failure */
}

/* Each column by itself: the value comes back, and no other column changes. */
static void put_and_get(const struct table *table, const struct col *col, uint64_t value, struct view bytes)
{
	uint8_t *row = mem_zalloc(table->row_bytes), *before = mem_zalloc(table->row_bytes);
	uint64_t got = 0, other;
	struct view got_bytes = { 0 }, other_bytes;

	CHECK_EQ(row_get(col, row, &other, &other_bytes), col->presence == PRESENCE_REQ, "%s", col->key);
	CHECK_EQ(row_put(col, row, value, bytes), 0, "%s", col->key);
	CHECK(row_get(col, row, &got, &got_bytes), "%s", col->key);
	CHECK_EQ(got, value, "%s", col->key);
	CHECK(view_eq(got_bytes, bytes), "%s", col->key);
	for (size_t i = 0; i < table->cols_count; i++)
		if (&table->cols[i] != col)
			CHECK_EQ(row_get(&table->cols[i], row, &other, &other_bytes),
				 table->cols[i].presence == PRESENCE_REQ, "%s marks %s", col->key, table->cols[i].key);
	/* Without this member and its mark, the row is as it was. */
	row_unmark((uint64_t *)row, col->ordinal);
	memset(row + col->offset, 0, types[col->type].row_bytes);
	CHECK_EQ(memcmp(row, before, table->row_bytes), 0, "%s", col->key);
	mem_free(row);
	mem_free(before);
}

TEST(schema, every_column_of_every_table_holds_its_values)
{
	static const uint8_t address[16] = { 0xfe, 0x80, [15] = 0xff };

	for (unsigned t = 1; t <= TABLE_MAX; t++) {
		const struct table *table = table_get((enum table_id)t);

		for (size_t i = 0; i < table->cols_count; i++) {
			const struct col *col = &table->cols[i];
			unsigned bits = types[col->type].row_bytes * 8;
			uint64_t max = bits < 64 ? (1ull << bits) - 1 : UINT64_MAX;

			if (col->type == TYPE_IP) {
				put_and_get(table, col, 0, view_make(address, sizeof(address)));
			} else if (types[col->type].phys == PHYS_BYTES) {
				put_and_get(table, col, 0, VIEW_LIT("some\0text"));
				put_and_get(table, col, 0, view_make(NULL, 0));
			} else {
				put_and_get(table, col, 0, view_make(NULL, 0));
				put_and_get(table, col, 0x0123456789abcdefull & max, view_make(NULL, 0));
				put_and_get(table, col, max, view_make(NULL, 0));
			}
		}
	}
}

TEST(schema, an_address_is_16_bytes)
{
	const struct col *col = &table_get(TABLE_FLOWS)->cols[FLOW_src_ip];
	struct flow_row row;
	uint64_t i;
	struct view b;

	memset(&row, 0, sizeof(row));
	CHECK_RC(row_put(col, &row, 0, VIEW_LIT("1.2.3.4")), E_CORRUPT);
	CHECK_RC(row_put(col, &row, 0, view_make(NULL, 0)), E_CORRUPT);
	CHECK_NOT(row_get(col, &row, &i, &b));
}

TEST(schema, a_null_is_null_whatever_the_member_holds)
{
	const struct col *col = &table_get(TABLE_CALLS)->cols[CALL_status];
	struct call_row row;
	uint64_t value = 7;
	struct view b;

	memset(&row, 0, sizeof(row));
	row.status = 404;
	CHECK_NOT(row_get(col, &row, &value, &b));
	CHECK_U64(value, 7);
	ROW_SET(CALL, &row, status, 500);
	CHECK(ROW_HAS(CALL, &row, status));
	CHECK(row_get(col, &row, &value, &b));
	CHECK_U64(value, 500);
}

TEST(schema, an_id_tells_its_time)
{
	struct random random = random_new("schema_id");

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t ns = random_u64(&random) >> 3, counter = random_u64(&random);
		uint64_t id = schema_id(ns, counter), from = schema_id_time(id);

		CHECK(from <= ns && ns - from < 1ull << 20);
		CHECK_U64(id & ((1u << SCHEMA_ID_COUNT_BITS) - 1), counter & ((1u << SCHEMA_ID_COUNT_BITS) - 1));
		CHECK_LT(id, schema_id(ns + (1ull << 20), 0));
	}
}

TEST(schema, a_fingerprint_tells_tables_apart)
{
	for (unsigned a = 1; a <= TABLE_MAX; a++)
		for (unsigned b = 1; b < a; b++)
			CHECK_NE(table_fingerprint(table_get((enum table_id)a)),
				 table_fingerprint(table_get((enum table_id)b)));
}
