/* What the tests of the store share: rows and packets made from a number, and looking at what came back. */
#ifndef TESTS_UNIT_STORE_KIT_H
#define TESTS_UNIT_STORE_KIT_H

#include "base/arena.h"
#include "base/clock.h"
#include "store/store.h"
#include "tests/check.h"

#define KIT_HOUR 497000ull	/* 2026-09-12 */
#define KIT_START (KIT_HOUR * NS_PER_HOUR)

static inline uint64_t kit_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Texts of the n-th row live in text. */
static inline struct flow_row kit_flow(uint64_t n, uint64_t start_ns, char text[64])
{
	struct flow_row row = { 0 };

	(void)snprintf(text, 64, "workload-%u", (unsigned)(n % 7));
	ROW_SET(FLOW, &row, id, schema_id(start_ns, n));
	ROW_SET(FLOW, &row, start_ns, start_ns);
	ROW_SET(FLOW, &row, end_ns, start_ns > UINT64_MAX - 1000 ? start_ns : start_ns + n % 1000);
	ROW_SET(FLOW, &row, first_ns, start_ns);
	ROW_SET(FLOW, &row, src_port, (uint16_t)(n * 7));
	ROW_SET(FLOW, &row, dst_port, (uint16_t)(n % 5 + 80));
	ROW_SET(FLOW, &row, src_ip, ip_from_v4((uint32_t)(0x0100000a + (n % 200 << 24))));
	ROW_SET(FLOW, &row, tx_bytes, n);
	if (n % 3)
		ROW_SET(FLOW, &row, dst_workload, view_str(text));
	return row;
}

static inline void kit_write_flows(struct store_writer *writer, uint64_t from, uint64_t count, uint64_t start_ns,
				   uint64_t step_ns)
{
	struct err err = { 0 };

	for (uint64_t n = from; n < from + count; n++) {
		char text[64];
		struct flow_row row = kit_flow(n, start_ns + n * step_ns, text);

		CHECK_OK(store_write_rows(writer, TABLE_FLOWS, &row, 1, &err), err);
	}
}

static inline struct store_writer *kit_writer(const char *dir, const struct store_writer_opts *more)
{
	struct store_writer_opts opts = more ? *more : (struct store_writer_opts){ .seal_inline = true };
	struct store_writer *writer = NULL;
	struct err err = { 0 };

	if (!more || !more->group_gid)
		opts.group_gid = -1;
	CHECK_OK(store_writer_open(dir, &opts, &writer, &err), err);
	return writer;
}

static inline struct store *kit_store(const char *dir)
{
	struct store *store = NULL;
	struct err err = { 0 };

	CHECK_OK(store_open(dir, &store, &err), err);
	return store;
}

/* Check one flow row against kit_flow(tx_bytes); returns its number. */
static inline uint64_t kit_check_flow(const struct flow_row *row, uint64_t start_ns, uint64_t step_ns)
{
	uint64_t n = row->tx_bytes;
	char text[64];
	struct flow_row want = kit_flow(n, start_ns + n * step_ns, text);

	for (unsigned c = 0; c < FLOW_COLS; c++) {
		const struct col *col = &table_get(TABLE_FLOWS)->cols[c];
		uint64_t got_int = 0, want_int = 0;
		struct view got = { 0 }, expect = { 0 };
		bool got_is = row_get(col, row, &got_int, &got), want_is = row_get(col, &want, &want_int, &expect);

		CHECK(got_is == want_is && got_int == want_int && view_eq(got, expect),
		      "row %llu: column %s differs: %llu and %llu", (unsigned long long)n, col->name,
		      (unsigned long long)got_int, (unsigned long long)want_int);
	}
	return n;
}

/* Read every flow of the store in [from_ns, to_ns); each of 0..count-1 exactly once. Returns how many. */
static inline uint64_t kit_check_flows(const char *dir, uint64_t count, uint64_t start_ns, uint64_t step_ns)
{
	struct store *store = kit_store(dir);
	uint8_t *seen = mem_zalloc(count + 1);
	struct store_view *view = NULL;
	struct err err = { 0 };
	struct arena arena;
	uint64_t total = 0;

	arena_init(&arena, 0);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		const struct store_part_info *info = store_view_part(view, part);
		uint64_t in_part = 0;

		for (size_t g = 0; g < store_rg_count(view, part, TABLE_FLOWS); g++) {
			struct rg_zone zone = { 0 };
			struct rg rg = { 0 };
			void *rows = NULL;

			CHECK_OK(store_rg_zone(view, part, TABLE_FLOWS, g, &zone, &err), err);
			CHECK_OK(store_rg_open(view, part, TABLE_FLOWS, g, &rg, &err), err);
			CHECK_U64(zone.rows, rg.zone.rows);
			CHECK_U64(zone.start_min, rg.zone.start_min);
			CHECK_U64(zone.end_max, rg.zone.end_max);
			arena_reset(&arena);
			CHECK_OK(rg_read_rows(&rg, &arena, &rows, &err), err);
			for (uint32_t i = 0; i < rg.zone.rows; i++) {
				const struct flow_row *row = (const struct flow_row *)rows + i;
				uint64_t n = kit_check_flow(row, start_ns, step_ns);

				CHECK(n < count && !seen[n], "row %llu is there twice or was never written",
				      (unsigned long long)n);
				CHECK_U64(row->start_ns / NS_PER_HOUR, info->hour);
				CHECK(row->start_ns >= info->start_min && row->end_ns <= info->end_max);
				seen[n] = 1;
				total++;
				in_part++;
			}
		}
		CHECK_U64(in_part, info->rows[TABLE_FLOWS]);
	}
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
	mem_free(seen);
	return total;
}

#endif
