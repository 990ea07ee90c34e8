#include "store/hist_column.h"

#include "store/codec.h"
#include "store/hist.h"
#include "store/rg_builder.h"
#include "store/rg_format.h"
#include "tests/check.h"
#include "tests/random.h"

#define COUNT 300u

/* COUNT histograms, from none to hundreds of values each; unit 1000: of a clock of microseconds. */
static void hists_make(struct random *random, uint64_t unit, struct view *dict, uint32_t *codes, struct arena *arena)
{
	struct hist *hist = hist_new();

	for (unsigned i = 0; i < COUNT; i++) {
		unsigned values = i % 50 == 49 ? 400 : i % 7;
		struct wr wr;

		hist_reset(hist);
		for (unsigned k = 0; k < values; k++)
			CHECK_EQ(hist_add(hist, (random_u64(random) >> (20 + i % 40)) / unit * unit, 1 + k % 3), 0, "add");
		wr_init(&wr, 0);
		hist_write(hist, &wr);
		dict[COUNT - 1 - i] = arena_copy(arena, wr_view(&wr));
		codes[i] = COUNT - 1 - i;
		wr_release(&wr);
	}
	hist_free(hist);
}

static void column_back(const struct view *dict, const uint32_t *codes, size_t count, struct wr *out)
{
	struct view *back = NULL;
	struct err err = { 0 };
	struct arena arena;
	struct rd rd;
	int rc;

	arena_init(&arena, 0);
	CHECK_EQ(hist_column_write(dict, codes, count, 3, out, &err), 1, "%s", err.text);
	rd = rd_make(wr_view(out));
	rc = hist_column_read(&rd, count, &arena, &back, &err);
	CHECK_EQ(rc, 0, "%s", err.text);
	CHECK_U64(rd_left(&rd), 0);
	for (size_t i = 0; rc == 0 && i < count; i++)
		CHECK(view_eq(back[i], dict[codes[i]]));
	arena_release(&arena);
}

TEST(hist_column, every_histogram_comes_back)
{
	struct random random = random_new("hist_column");
	size_t plain[2] = { 0 }, stored[2];
	struct view dict[COUNT];
	uint32_t codes[COUNT];

	for (unsigned scaled = 0; scaled < 2; scaled++) {
		struct arena arena;
		struct wr out;

		arena_init(&arena, 0);
		wr_init(&out, 0);
		hists_make(&random, scaled ? 1000 : 1, dict, codes, &arena);
		for (unsigned i = 0; i < COUNT; i++)
			plain[scaled] += dict[i].len;
		column_back(dict, codes, COUNT, &out);
		stored[scaled] = out.len;
		wr_reset(&out);
		column_back(dict, codes, 1, &out);
		wr_release(&out);
		arena_release(&arena);
	}
	CHECK(stored[0] < plain[0] * 2 / 3);
	CHECK(stored[1] < stored[0]);	/* microseconds: ten bits of each number are not there */
}

TEST(hist_column, sums_that_stopped_and_extremes_come_back)
{
	static const uint64_t values[] = { 0, 1, 3, 4, UINT64_MAX, UINT64_MAX - 1, 1ull << 63, 999, 1000 };
	const size_t count = sizeof(values) / sizeof(values[0]);
	struct view dict[2 * sizeof(values) / sizeof(values[0])];
	uint32_t codes[2 * sizeof(values) / sizeof(values[0])];
	struct hist *hist = hist_new();
	struct arena arena;
	struct wr out;

	arena_init(&arena, 0);
	wr_init(&out, 0);
	for (size_t i = 0; i < 2 * count; i++) {	/* one value, then all up to it */
		if (i <= count)
			hist_reset(hist);
		CHECK_EQ(hist_add(hist, values[i % count], i % 3 ? 1 : 5), 0, "add");
		wr_reset(&out);
		hist_write(hist, &out);
		dict[i] = arena_copy(&arena, wr_view(&out));
		codes[i] = (uint32_t)i;
	}
	wr_reset(&out);
	column_back(dict, codes, 2 * count, &out);
	wr_release(&out);
	arena_release(&arena);
	hist_free(hist);
}

static struct view bytes_of(const struct hist *hist, struct arena *arena)
{
	struct view bytes;
	struct wr wr;

	wr_init(&wr, 0);
	hist_write(hist, &wr);
	bytes = arena_copy(arena, wr_view(&wr));
	wr_release(&wr);
	return bytes;
}

/* Parts are what the bytes are: one by one, and some of them added up, in either way. */
TEST(hist_column, parts_add_up_to_the_same_bits)
{
	struct random random = random_new("hist_column_parts");
	struct hist_sum *sum = hist_sum_new();
	struct hist_pool *pool = hist_pool_new();
	struct hist *by_bytes = hist_new(), *by_parts = hist_new_in(pool), *by_sum = hist_new_in(pool);
	struct view dict[COUNT];
	uint32_t codes[COUNT];
	struct hist_part *parts = NULL;
	struct err err = { 0 };
	struct arena arena;
	struct wr out;

	arena_init(&arena, 0);
	wr_init(&out, 0);
	for (unsigned round = 0; round < 4; round++) {
		uint64_t only[(COUNT + 63) / 64];
		struct hist_column_ask ask;
		struct rd rd;
		int rc;

		hists_make(&random, round % 2 ? 1000 : 1, dict, codes, &arena);
		wr_reset(&out);
		CHECK_EQ(hist_column_write(dict, codes, COUNT, 3, &out, &err), 1, "%s", err.text);
		for (size_t w = 0; w < sizeof(only) / sizeof(only[0]); w++)
			only[w] = round < 2 ? UINT64_MAX : random_u64(&random);
		ask = (struct hist_column_ask){ .rows = COUNT, .only = round < 2 ? NULL : only, .sums = true };
		rd = rd_make(wr_view(&out));
		rc = hist_column_parts(&rd, &ask, &arena, &parts, &err);
		CHECK_EQ(rc, 0, "%s", err.text);
		CHECK_U64(rd_left(&rd), 0);
		hist_reset(by_bytes);
		for (unsigned i = 0; rc == 0 && i < COUNT; i++) {
			struct hist *one = hist_new();

			if (!(only[i / 64] >> i % 64 & 1)) {
				CHECK_U64(parts[i].len, 0);
				hist_free(one);
				continue;
			}
			CHECK_EQ(hist_merge_part(one, &parts[i]), 0, "merge");
			CHECK(view_eq(bytes_of(one, &arena), dict[codes[i]]));
			hist_free(one);
			CHECK_EQ(hist_merge_bytes(by_bytes, dict[codes[i]], &err), 0, "%s", err.text);
			CHECK_EQ(hist_merge_part(by_parts, &parts[i]), 0, "merge");
			hist_sum_add_part(sum, &parts[i]);
			if (i % 20 == 19)
				CHECK_EQ(hist_sum_flush(sum, by_sum), 0, "flush");
		}
		CHECK_EQ(hist_sum_flush(sum, by_sum), 0, "flush");
		CHECK(view_eq(bytes_of(by_parts, &arena), bytes_of(by_bytes, &arena)));
		CHECK(view_eq(bytes_of(by_sum, &arena), bytes_of(by_bytes, &arena)));
		hist_reset(by_parts);
		hist_reset(by_sum);
	}
	hist_free(by_bytes);
	hist_free(by_parts);
	hist_free(by_sum);
	hist_pool_free(pool);
	hist_sum_free(sum);
	wr_release(&out);
	arena_release(&arena);
}

/* What a middle is decides what stored sums are. */
TEST(hist_column, middles_are_as_they_were)
{
	CHECK_U64(hist_middle(0), 0);
	CHECK_U64(hist_middle(1), 1);
	CHECK_U64(hist_middle(hist_bucket(1000)), 991);
	CHECK_U64(hist_middle(hist_bucket(123456789)), 124425730);
	CHECK_U64(hist_middle(HIST_BUCKETS - 1), UINT64_MAX - (UINT64_MAX - 0xfa83b2db722a033aull) / 2);
	for (uint32_t b = 2; b + 1 < HIST_BUCKETS; b++)
		CHECK((double)hist_middle(b) <= hist_upper(b) && (double)hist_middle(b) + 1 >= hist_upper(b - 1));
}

TEST(hist_column, bytes_that_are_no_histogram_stay_as_they_are)
{
	static const char *const bad[] = { "", "\1", "\2\0", "\1\1\5\0\5\3\1", "\1\1\5\0\5\102\1\1", "\1\200\0" };
	struct view dict[2];
	uint32_t codes[2] = { 0, 1 };
	struct hist *hist = hist_new();
	struct wr good, out;

	wr_init(&good, 0);
	wr_init(&out, 0);
	CHECK_EQ(hist_add(hist, 5, 1), 0, "add");
	hist_write(hist, &good);
	dict[0] = wr_view(&good);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		static const size_t lens[] = { 0, 1, 2, 7, 8, 3 };

		dict[1] = view_make(bad[i], lens[i]);
		CHECK_EQ(hist_column_write(dict, codes, 2, 3, &out, NULL), 0, "bytes %zu", i);
		CHECK_U64(out.len, 0);
	}
	wr_release(&good);
	wr_release(&out);
	hist_free(hist);
}

/* Parts and bytes of one chunk say the same; NULL: some of the bytes are refused as well. */
static void parts_compare(const struct view *bytes, const struct hist_part *parts)
{
	struct hist *one = hist_new(), *other = hist_new();
	bool refused = false;

	for (unsigned i = 0; i < COUNT; i++) {
		struct wr wr;

		hist_reset(one);
		hist_reset(other);
		if (hist_merge_bytes(one, bytes[i], NULL) < 0) {
			refused = true;
			continue;
		}
		if (!parts)
			continue;
		CHECK_EQ(hist_merge_part(other, &parts[i]), 0, "merge");
		wr_init(&wr, 0);
		hist_write(other, &wr);
		CHECK(view_eq(wr_view(&wr), bytes[i]));
		wr_release(&wr);
	}
	CHECK(refused == !parts);
	hist_free(one);
	hist_free(other);
}

TEST(hist_column, what_is_cut_or_changed_is_refused_or_reads_as_something)
{
	struct random random = random_new("hist_column_lies");
	const uint64_t some[(COUNT + 63) / 64] = { 0x5555555555555555ull, UINT64_MAX, 0, 1, 1ull << 40 };
	const struct hist_column_ask all = { .rows = COUNT, .sums = true };
	const struct hist_column_ask few = { .rows = COUNT, .only = some };
	struct view dict[COUNT], *back;
	struct hist_part *parts;
	uint32_t codes[COUNT];
	struct arena arena, scratch;
	struct wr out;

	arena_init(&arena, 0);
	arena_init(&scratch, (size_t)256 << 20);
	wr_init(&out, 0);
	hists_make(&random, 1, dict, codes, &arena);
	CHECK_EQ(hist_column_write(dict, codes, COUNT, 3, &out, NULL), 1, "write");
	for (size_t len = 0; len < out.len; len++) {
		struct rd rd = rd_make(view_make(out.at, len));
		struct err err = { 0 };

		CHECK_EQ(hist_column_read(&rd, COUNT, &scratch, &back, &err), E_CORRUPT, "%zu of %zu bytes", len, out.len);
		CHECK(err.text[0]);
		rd = rd_make(view_make(out.at, len));
		CHECK_EQ(hist_column_parts(&rd, &all, &scratch, &parts, NULL), E_CORRUPT, "parts, %zu bytes", len);
		arena_reset(&scratch);
	}
	for (unsigned i = 0; i < 2000; i++) {
		size_t at = random_below(&random, i % 2 ? 40 : out.len);
		uint8_t was = out.at[at];
		struct rd rd = rd_make(wr_view(&out)), again = rd;
		struct err err = { 0 }, parts_err = { 0 };
		int rc, parts_rc;

		out.at[at] = (uint8_t)random_u64(&random);
		rc = hist_column_read(&rd, COUNT, &scratch, &back, &err);
		CHECK((rc < 0) == (err.text[0] != '\0'));
		parts_rc = hist_column_parts(&again, &all, &scratch, &parts, &parts_err);
		CHECK((parts_rc < 0) == (parts_err.text[0] != '\0'));
		if (rc == 0)
			parts_compare(back, parts_rc == 0 ? parts : NULL);
		again = rd_make(wr_view(&out));
		(void)hist_column_parts(&again, &few, &scratch, &parts, NULL);
		out.at[at] = was;
		arena_reset(&scratch);
	}
	wr_release(&out);
	arena_release(&scratch);
	arena_release(&arena);
}

TEST(hist_column, sealed_rollups_have_it_and_say_so)
{
	const struct table *table = table_get(TABLE_ROLLUPS);
	struct rg_builder *builder = rg_builder_new(table);
	struct random random = random_new("hist_column_rg");
	struct view dict[COUNT];
	uint32_t codes[COUNT];
	uint64_t only[(COUNT + 63) / 64];
	struct hist *hist = hist_new();
	struct rg_hists hists;
	struct rg_bytes bytes;
	struct arena arena;
	struct wr sealed, hot;
	struct rg rg;

	arena_init(&arena, 0);
	hists_make(&random, 1, dict, codes, &arena);
	for (unsigned i = 0; i < COUNT; i++) {
		struct rollup_row row = { .start_ns = i, .end_ns = i + 1 };

		if (i % 3)
			ROW_SET(ROLLUP, &row, latency, dict[codes[i]]);
		CHECK_EQ(rg_builder_add(builder, &row), 0, "add");
	}
	wr_init(&sealed, 0);
	wr_init(&hot, 0);
	CHECK_EQ(rg_builder_write(builder, NULL, RG_CODEC_ZSTD, 3, &sealed, NULL), 0, "sealed");
	CHECK_EQ(rg_builder_write(builder, NULL, RG_CODEC_LZ4, 0, &hot, NULL), 0, "hot");
	CHECK(sealed.at[6] & RG_MUST_HIST);	/* readers of before refuse it in words */
	CHECK_U64(hot.at[6], 0);
	CHECK_EQ(rg_open(wr_view(&sealed), &rg, NULL), 0, "open");
	CHECK_EQ(rg_verify(&rg, NULL), 0, "verify");
	CHECK_EQ(rg_read_bytes(&rg, table_col_id(table, 50), &arena, &bytes, NULL), 0, "read");
	memset(only, 0x5a, sizeof(only));
	CHECK_EQ(rg_read_hists(&rg, table_col_id(table, 50), only, &arena, &hists, NULL), 1, "parts");
	for (unsigned i = 0; i < COUNT; i++) {
		struct hist_part part = hists.parts[i];

		CHECK_U64(rg_valid(hists.valid, i), i % 3 != 0);
		hist_reset(hist);
		if (i % 3 && only[i / 64] >> i % 64 & 1)
			CHECK_EQ(hist_merge_bytes(hist, dict[codes[i]], NULL), 0, "merge");
		CHECK_U64(part.len ? part.count : 0, hist_count(hist));
		CHECK_U64(part.len ? part.max : 0, hist_max(hist));
	}
	CHECK_EQ(rg_open(wr_view(&hot), &rg, NULL), 0, "open");
	CHECK_EQ(rg_read_hists(&rg, table_col_id(table, 50), only, &arena, &hists, NULL), 0, "as bytes");
	for (unsigned i = 0; i < COUNT; i++) {
		CHECK_U64(rg_valid(bytes.valid, i), i % 3 != 0);
		if (i % 3)
			CHECK(view_eq(bytes.dict[bytes.codes ? bytes.codes[i] : i], dict[codes[i]]));
	}
	hist_free(hist);
	wr_release(&sealed);
	wr_release(&hot);
	rg_builder_free(builder);
	arena_release(&arena);
}
