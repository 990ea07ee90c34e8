/* Columns tested as they are stored, or read of few rows: the same as after decoding them whole. */
#include "store/chunk_match.h"
#include "store/chunk_points.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/rowgroup.h"
#include "tests/check.h"
#include "tests/random.h"

#define VALUES_MAX 3000
#define SPANS_MAX  40

static int cmp_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Spans whose ends are values that occur, or lie beside them. */
static size_t random_spans(struct random *random, const uint64_t *values, size_t count, struct chunk_span *spans)
{
	static const size_t counts[] = { 0, 1, 1, 1, 2, 4, 5, SPANS_MAX };
	size_t want = counts[random_below(random, 8)], found = 0;
	uint64_t ends[2 * SPANS_MAX];

	for (size_t i = 0; i < 2 * want; i++)
		ends[i] = random_below(random, 8) ? values[random_below(random, count)] + random_below(random, 3) - 1
						  : random_u64(random);
	qsort(ends, 2 * want, sizeof(*ends), cmp_u64);
	for (size_t i = 0; i < want; i++)
		if (!found || ends[2 * i] > spans[found - 1].to)
			spans[found++] = (struct chunk_span){ ends[2 * i], ends[2 * i + 1] };
	return found;
}

static void fill(struct random *random, unsigned shape, uint64_t *values, size_t count)
{
	uint64_t base = random_u64(random) >> random_below(random, 64), sum = base;
	unsigned width = 1 + (unsigned)random_below(random, 40);

	for (size_t i = 0; i < count; i++) {
		uint64_t v = random_u64(random) & ((1ull << width) - 1);

		switch (shape) {
		case 0: values[i] = base; break;
		case 1: values[i] = base + v; break;
		case 2: values[i] = sum += v & 7; break;
		case 3: values[i] = 1000 * (1700000000000000ull + v % 1000000); break;
		case 4: values[i] = hash_u64(v % 9); break;
		case 5: values[i] = i % 100 ? values[i - 1] : v; break;
		case 6: values[i] = v % 50 ? v % 30 : random_u64(random); break;
		case 7: values[i] = random_u64(random); break;
		default: values[i] = v & 1 ? UINT64_MAX - v : v; break;
		}
	}
}

static bool bit_of(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

/* Some of count places, ascending. */
static size_t random_places(struct random *random, size_t count, uint32_t *places)
{
	size_t found = 0, one_of = 1 + random_below(random, random_below(random, 2) ? 8 : count);

	for (size_t i = 0; i < count; i++)
		if (random_below(random, one_of) == 0 || (i + 1 == count && !found))
			places[found++] = (uint32_t)i;
	return found;
}

static void points_check(struct random *random, struct rd rd, const uint64_t *values, size_t count, struct arena *arena)
{
	uint32_t places[VALUES_MAX];
	size_t points = random_places(random, count, places);
	uint64_t some[VALUES_MAX];
	struct err err = { 0 };

	CHECK_OK(chunk_ints_at(&rd, count, places, points, arena, some, &err), err);
	for (size_t i = 0; i < points; i++)
		CHECK(some[i] == values[places[i]], "value %u of %zu", places[i], count);
}

TEST(match, streams_say_what_their_values_say, .timeout = 60)
{
	struct random random = random_new("match streams");
	struct chunk_scratch scratch = { .patches = true };
	unsigned met[16] = { 0 }, left_out = 0;
	struct arena arena;
	struct wr out;

	arena_init(&arena, 0);
	wr_init(&out, 0);
	for (unsigned round = 0; round < 1500; round++) {
		uint64_t values[VALUES_MAX], bits[VALUES_MAX / 64 + 2];
		size_t count = 1 + random_below(&random, random_below(&random, 3) ? VALUES_MAX : 300);
		struct chunk_span spans[SPANS_MAX];
		struct chunk_test test = { .spans = spans };
		struct err err = { 0 };
		struct rd rd;
		int enc, rc;

		fill(&random, round % 9, values, count);
		test.spans_count = random_spans(&random, values, count, spans);
		wr_reset(&out);
		enc = chunk_ints_write(values, count, &scratch, &out);
		CHECK_GT(enc, 0);
		rd = rd_make(wr_view(&out));
		points_check(&random, rd, values, count, &arena);
		memset(bits, 0xa5, sizeof(bits));
		rc = chunk_ints_match(&rd, count, &test, &arena, bits, &err);
		CHECK_OK(rc, err);
		left_out += rc == 0;
		if (rc == 0)
			continue;
		met[enc]++;
		CHECK_EQ(rd_left(&rd), 0);
		for (size_t i = 0; i < count; i++)
			CHECK(bit_of(bits, i) == chunk_spans_have(spans, test.spans_count, values[i]),
			      "round %u, %s: value %zu of %zu, %" PRIu64, round, chunk_enc_name((unsigned)enc), i, count,
			      values[i]);
		for (size_t i = count; i % 64; i++)
			CHECK_EQ(bit_of(bits, i), 0);
		CHECK_U64(bits[(count + 63) / 64], 0xa5a5a5a5a5a5a5a5ull);
		arena_reset(&arena);
	}
	for (unsigned enc = CHUNK_CONST; enc <= CHUNK_RLE; enc++)
		CHECK_GT(met[enc], 10, "%s", chunk_enc_name(enc));
	CHECK_GT(met[CHUNK_PATCH], 10);
	CHECK_LT(left_out, 400);
	chunk_scratch_release(&scratch);
	arena_release(&arena);
	wr_release(&out);
}

/* A stream cut short or with a byte changed gives an error or some bits, and is never read beyond. */
TEST(match, damaged_streams_do_no_harm)
{
	struct random random = random_new("match damage");
	struct chunk_scratch scratch = { .patches = true };
	uint64_t values[900], bits[900 / 64 + 2];
	struct chunk_span spans[SPANS_MAX];
	struct arena arena;
	struct wr out;

	arena_init(&arena, 1 << 20);
	wr_init(&out, 0);
	for (unsigned round = 0; round < 2000; round++) {
		struct chunk_test test = { .spans = spans };
		size_t len;
		uint8_t *exact;
		struct rd rd;

		fill(&random, round % 9, values, 900);
		test.spans_count = random_spans(&random, values, 900, spans);
		wr_reset(&out);
		CHECK_GT(chunk_ints_write(values, 900, &scratch, &out), 0);
		len = random_below(&random, 2) ? out.len : random_below(&random, out.len);
		exact = mem_dup(wr_view(&out).at, len);
		if (len)
			exact[random_below(&random, random_below(&random, 2) ? len : len < 12 ? len : 12)] ^= (uint8_t)random_u64(&random);
		rd = rd_make(view_make(exact, len));
		(void)chunk_ints_match(&rd, 900, &test, &arena, bits, NULL);
		rd = rd_make(view_make(exact, len));
		(void)chunk_ints_at(&rd, 900, (const uint32_t[]){ 0, 300, 899 }, 3, &arena, values, NULL);
		mem_free(exact);
		arena_reset(&arena);
	}
	chunk_scratch_release(&scratch);
	arena_release(&arena);
	wr_release(&out);
}

TEST(match, spreads_bits_over_rows)
{
	struct random random = random_new("match spread");

	for (unsigned round = 0; round < 300; round++) {
		uint64_t dense[12] = { 0 }, valid[12], bits[12];
		size_t rows = 1 + random_below(&random, 700), at = 0;

		for (size_t w = 0; w < 12; w++) {
			dense[w] = random_u64(&random);
			valid[w] = random_below(&random, 4) ? random_u64(&random) : random_below(&random, 2) ? UINT64_MAX : 0;
		}
		if (rows % 64)
			valid[rows / 64] &= (1ull << rows % 64) - 1;
		chunk_bits_spread(dense, valid, rows, bits);
		for (size_t row = 0; row < rows; row++)
			CHECK_EQ(bit_of(bits, row), bit_of(valid, row) && bit_of(dense, at++));
	}
}

/* ---- whole row groups ---- */

static int text_fits(const void *arg, struct view text, struct err *err)
{
	(void)err;
	return hash_bytes(text.at, text.len, *(const uint64_t *)arg) % 3 == 0;
}

/* Pods and workloads that follow from addresses, but for some. */
static void follow(struct random *random, struct call_row *row, char (*names)[12])
{
	unsigned ip = (unsigned)random_below(random, 200), pod = random_below(random, 100) ? ip : ip / 2;

	if (random_below(random, 200))
		ROW_SET(CALL, row, src_ip, ip_from_v4(0x0100000a + (ip << 16)));
	else
		row->has[CALL_src_ip / 64] &= ~(1ull << CALL_src_ip % 64);
	if (random_below(random, 20))
		ROW_SET(CALL, row, src_pod, view_str(names[pod]));
	ROW_SET(CALL, row, src_workload, view_str(names[pod / 10]));
}

/* Trace ids, each of one call or of several, of half of the calls or of all. */
static void trace(struct random *random, unsigned round, struct call_row *row, struct arena *arena)
{
	uint64_t id = round % 3 ? random_u64(random) : random_below(random, 60);

	if (round % 4 && random_below(random, 2))
		ROW_SET(CALL, row, trace_id,
			view_str(arena_printf(arena, "%016llx%016llx", (unsigned long long)hash_u64(id), (unsigned long long)id)));
	else if (round % 4 == 0)
		ROW_SET(CALL, row, trace_id, view_str(arena_printf(arena, "%016llx", (unsigned long long)id)));
}

static void ints_at_check(const struct rg *rg, const struct col *col, const struct rg_ints *all, const uint32_t *places,
			  uint32_t count, struct arena *arena)
{
	struct err err = { 0 };
	struct rg_ints some;

	CHECK_OK(rg_read_ints_at(rg, col, places, count, arena, &some, &err), err);
	for (uint32_t i = 0; i < count; i++) {
		CHECK_EQ(rg_valid(some.valid, i), rg_valid(all->valid, places[i]), "column %s, row %u", col->key, places[i]);
		CHECK(some.values[i] == all->values[places[i]], "column %s, row %u", col->key, places[i]);
	}
}

static void bytes_at_check(const struct rg *rg, const struct col *col, const struct rg_bytes *all, const uint32_t *places,
			   uint32_t count, struct arena *arena)
{
	struct err err = { 0 };
	struct rg_bytes some;

	CHECK_OK(rg_read_bytes_at(rg, col, places, count, arena, &some, &err), err);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t row = places[i];

		CHECK_EQ(rg_valid(some.valid, i), rg_valid(all->valid, row), "column %s, row %u", col->key, row);
		CHECK(!some.codes || some.codes[i] < some.dict_count);
		CHECK(!rg_valid(all->valid, row) || view_eq(some.dict[some.codes ? some.codes[i] : i],
							    all->dict[all->codes ? all->codes[row] : row]),
		      "column %s, row %u", col->key, row);
	}
}

static int cmp_views(const void *a, const void *b)
{
	const struct view *x = a, *y = b;

	return view_cmp(*x, *y);
}

static int text_is_one(const void *arg, struct view text, struct err *err)
{
	const struct rg_wanted *want = arg;

	(void)err;
	for (size_t i = 0; i < want->texts_count; i++)
		if (view_eq(want->texts[i], text))
			return 1;
	return 0;
}

/* Texts looked for by name: some of the column's, and some that are not there. */
static void named_check(struct random *random, const struct rg *rg, const struct col *col, const struct rg_bytes *all,
			uint64_t *bits, struct arena *arena)
{
	struct view texts[20] = { VIEW_LIT("0123456789abcdef"), VIEW_LIT("0123456789abcdef0123456789abcdefff") };
	struct rg_wanted want = { text_is_one, &want, texts, 2 + random_below(random, 19) };
	struct err err = { 0 };
	int rc;

	for (size_t i = 2; i < want.texts_count; i++) {
		uint32_t row = (uint32_t)random_below(random, rg->zone.rows);

		texts[i] = rg_valid(all->valid, row) ? all->dict[all->codes ? all->codes[row] : row] : VIEW_LIT("none");
	}
	qsort(texts, want.texts_count, sizeof(*texts), cmp_views);
	rc = rg_match_bytes(rg, col, &want, arena, bits, &err);
	CHECK_OK(rc, err);
	for (uint32_t row = 0; rc == 1 && row < rg->zone.rows; row++)
		CHECK_EQ(bit_of(bits, row), rg_valid(all->valid, row) &&
			 text_is_one(&want, all->dict[all->codes ? all->codes[row] : row], NULL), "column %s, row %u", col->key, row);
}

static unsigned group_check(struct random *random, const struct rg *rg, struct arena *arena)
{
	unsigned met = 0;

	for (size_t c = 0; c < rg->table->cols_count; c++) {
		const struct col *col = &rg->table->cols[c];
		bool ints = types[col->type].phys == PHYS_INT;
		uint64_t seed = random_u64(random), *bits = arena_array(arena, rg->zone.rows / 64 + 1, 8);
		uint32_t *places = arena_array(arena, rg->zone.rows, sizeof(*places));
		uint32_t points = (uint32_t)random_places(random, rg->zone.rows, places);
		struct chunk_span spans[SPANS_MAX];
		struct rg_ints values = { 0 };
		struct rg_bytes texts = { 0 };
		struct err err = { 0 };
		size_t spans_count = 0;
		int rc;

		if (col->index == INDEX_DERIVED)
			continue;
		if (ints) {
			CHECK_OK(rg_read_ints(rg, col, arena, &values, &err), err);
			ints_at_check(rg, col, &values, places, points, arena);
			spans_count = random_spans(random, values.values, rg->zone.rows, spans);
			rc = rg_match_ints(rg, col, spans, spans_count, arena, bits, &err);
		} else {
			CHECK_OK(rg_read_bytes(rg, col, arena, &texts, &err), err);
			bytes_at_check(rg, col, &texts, places, points, arena);
			named_check(random, rg, col, &texts, bits, arena);
			rc = rg_match_bytes(rg, col, &(struct rg_wanted){ text_fits, &seed, NULL, 0 }, arena, bits, &err);
		}
		CHECK_OK(rc, err);
		met += rc == 1;
		for (uint32_t row = 0; rc == 1 && row < rg->zone.rows; row++) {
			bool want = ints ? rg_valid(values.valid, row) &&
						   chunk_spans_have(spans, spans_count, values.values[row])
					 : rg_valid(texts.valid, row) &&
						   text_fits(&seed, texts.dict[texts.codes ? texts.codes[row] : row], NULL);

			CHECK(bit_of(bits, row) == want, "column %s, row %u of %u", col->key, row, rg->zone.rows);
		}
	}
	return met;
}

TEST(match, row_groups_say_what_their_columns_say, .timeout = 60)
{
	static const enum table_id tables[] = { TABLE_FLOWS, TABLE_CALLS, TABLE_EVENTS, TABLE_ROLLUPS, TABLE_ENTITIES };
	struct random random = random_new("match groups");
	unsigned met = 0, maps = 0, hexes = 0;
	static char names[200][12];

	for (unsigned i = 0; i < 200; i++)
		(void)snprintf(names[i], sizeof(names[i]), "pod-%u", i * 37 % 200);
	for (unsigned round = 0; round < 60; round++) {
		const struct table *table = table_get(tables[round % 5]);
		uint32_t rows = 1 + (uint32_t)random_below(&random, round % 3 ? 900 : 5000);
		struct rg_builder *builder = rg_builder_new(table);
		struct rg_chunk_info info;
		struct err err = { 0 };
		struct arena arena;
		struct wr blob;
		struct rg rg;

		arena_init(&arena, 0);
		wr_init(&blob, 0);
		for (uint32_t i = 0; i < rows; i++) {
			void *row = arena_zalloc(&arena, table->row_bytes);

			random_row(&random, table, round, i, row, &arena);
			if (table->id == TABLE_CALLS) {
				follow(&random, row, names);
				trace(&random, round / 5, row, &arena);
			}
			CHECK_OK(rg_builder_add(builder, row), err);
		}
		CHECK_OK(rg_builder_write(builder, NULL, round % 2 ? RG_CODEC_ZSTD : RG_CODEC_LZ4, 1, &blob, &err), err);
		rg_builder_free(builder);
		CHECK_OK(rg_open(wr_view(&blob), &rg, &err), err);
		for (uint32_t i = 0; rg_chunk_info(&rg, i, &info); i++)
			maps += strcmp(info.encoding, "map") == 0, hexes += strcmp(info.encoding, "hex") == 0;
		met += group_check(&random, &rg, &arena);
		wr_release(&blob);
		arena_release(&arena);
	}
	CHECK_GT(met, 1000);
	CHECK_GT(maps, 0);
	CHECK_GT(hexes, 3);
}
