#include "store/chunk_split.h"

#include "store/chunk.h"
#include "store/codec.h"
#include "tests/check.h"
#include "tests/random.h"

static int back_of(struct view bytes, size_t count, uint64_t *values, struct err *err)
{
	struct rd rd = rd_make(bytes);
	struct arena arena;
	int rc;

	arena_init(&arena, 0);
	rc = chunk_split_read(&rd, count, &arena, values, err);
	if (rc == 0 && rd_left(&rd))
		rc = E_CORRUPT;
	arena_release(&arena);
	return rc;
}

/* In parts and back, and told where it is cut. Returns the bytes it took. */
static size_t check_split(const uint64_t *values, size_t count, struct chunk_split *ret_split)
{
	uint64_t *back = mem_array(count, sizeof(*back));
	struct err err = { 0 };
	struct wr out;
	size_t len;

	wr_init(&out, 0);
	chunk_split_find(values, count, ret_split);
	CHECK_EQ(chunk_split_write(values, count, ret_split, &out), 0);
	CHECK_OK(back_of(wr_view(&out), count, back, &err), err);
	CHECK_EQ(memcmp(values, back, count * sizeof(*values)), 0);
	for (size_t cut = 0; cut < out.len; cut += 1 + cut / 20) {
		uint8_t *exact = mem_alloc(cut + 1);	/* so that a sanitizer sees a byte too far */

		memcpy(exact, out.at, cut);
		CHECK_RC(back_of(view_make(exact, cut), count, back, &err), E_CORRUPT);
		CHECK(err.text[0]);
		err_clear(&err);
		mem_free(exact);
	}
	len = out.len;
	wr_release(&out);
	mem_free(back);
	return len;
}

#define N 1500u

/* Of any size, with as many bits as chance has it. */
static uint64_t skewed(struct random *random, unsigned bits_max)
{
	return random_u64(random) >> (64 - 1 - random_below(random, bits_max));
}

TEST(chunk_split, numbers_of_any_size_come_back)
{
	struct random random = random_new("split");
	static const size_t counts[] = { 1, 2, 3, 47, N };
	struct chunk_split split;
	uint64_t values[N];

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		for (unsigned bits = 1; bits <= 63; bits += 2) {
			for (size_t i = 0; i < counts[c]; i++)
				values[i] = skewed(&random, bits) - (bits % 3 ? 0 : skewed(&random, bits));
			(void)check_split(values, counts[c], &split);
		}
		for (size_t i = 0; i < counts[c]; i++)
			values[i] = i % 7 ? random_u64(&random) : i % 2 ? UINT64_MAX : 0;
		(void)check_split(values, counts[c], &split);
	}
}

TEST(chunk_split, the_form_is_the_one_that_takes_least)
{
	struct random random = random_new("forms");
	struct chunk_split split;
	uint64_t values[N], at = 1ull << 60;
	size_t bytes;

	for (size_t i = 0; i < N; i++)		/* long tails above a least value */
		values[i] = 5000 + skewed(&random, 20) * 1000;
	bytes = check_split(values, N, &split);
	CHECK_U64(split.form, SPLIT_ABOVE);
	CHECK_U64(split.scale, 1000);
	CHECK_LT(bytes, N * 14 / 8);		/* 9 bits in the middle, and 5 at most to say how many; bit-packed it is 20 */
	CHECK_LT(bytes, split.bytes + split.bytes / 16 + 40);
	CHECK_LT(split.bytes, bytes + bytes / 16 + 40);
	for (size_t i = 0; i < N; i++)		/* on both sides of one in the middle */
		values[i] = (1u << 30) + (i % 2 ? skewed(&random, 20) : -skewed(&random, 20));
	bytes = check_split(values, N, &split);
	CHECK_U64(split.form, SPLIT_AROUND);
	CHECK_LT(bytes, N * 15 / 8);
	for (size_t i = 0; i < N; i++)		/* and in steps */
		values[i] = at += skewed(&random, 16) * 1024;
	bytes = check_split(values, N, &split);
	CHECK_U64(split.form, SPLIT_STEPS);
	CHECK_U64(split.scale, 1024);
	CHECK_LT(bytes, N * 13 / 8);
}

/* Differences modulo 2^64 are negative numbers: their common divisor must not be one of large ones. */
TEST(chunk_split, a_scale_of_negative_numbers_is_exact)
{
	struct chunk_split split;
	uint64_t values[96];

	for (uint64_t scale = 1; scale < 40; scale++) {
		for (size_t i = 0; i < 96; i++)
			values[i] = (uint64_t)((int64_t)(i * i % 31) - 15) * scale + (scale % 2 ? 1 : 0);
		(void)check_split(values, 96, &split);
	}
}

TEST(chunk_split, lies_are_told)
{
	static const struct {
		const char *what;
		struct view bytes;
	} cases[] = {
		{ "nothing", VIEW_LIT("") },
		{ "a form nobody knows", VIEW_LIT("\x03\x01\x00\x00\x01\x01\x01\x01") },
		{ "a scale of 0", VIEW_LIT("\x00\x00\x00\x00\x01\x01\x01\x01") },
		{ "a codec that heads have not", VIEW_LIT("\x00\x01\x00\x01\x01\x01\x01\x01") },
		{ "too few heads", VIEW_LIT("\x00\x01\x00\x00\x01\x01\x01") },
		{ "a head of no number", VIEW_LIT("\x00\x01\x00\x00\x01\x01\x01\xfc") },
		{ "low bits that are not there", VIEW_LIT("\x00\x01\x00\x00\x01\x01\x01\xfb\x00\x00\x00\x00\x00\x00\x00") },
		{ "bytes behind", VIEW_LIT("\x00\x01\x00\x00\x01\x01\x01\x01\x00") },
		{ "heads that do not unpack", VIEW_LIT("\x00\x01\x00\x02\x03" "abc") },
	};
	uint64_t values[4];
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_EQ(back_of(cases[i].bytes, 4, values, &err), E_CORRUPT, "%s", cases[i].what);
	CHECK_OK(back_of(VIEW_LIT("\x00\x02\x05\x00\x00\x01\x02\x04"), 4, values, &err), err);
	CHECK(values[0] == 5 && values[1] == 7 && values[2] == 9 && values[3] == 13);
	CHECK_OK(back_of(VIEW_LIT("\x02\x01\x05\x00\x00\x01\x02\x03"), 4, values, &err), err);
	CHECK(values[0] == 5 && values[1] == 4 && values[2] == 5 && values[3] == 3);
}

/* As a chunk: used where asked for, and only where it is shorter than bit-packed ones. */
TEST(chunk_split, it_is_used_where_it_is_shorter)
{
	struct chunk_scratch scratch = { .splits = true };
	struct random random = random_new("chunks");
	uint64_t values[N], back[N];
	struct err err = { 0 };
	struct arena arena;
	struct wr out;
	struct rd rd;

	arena_init(&arena, 0);
	wr_init(&out, 0);
	for (size_t i = 0; i < N; i++)
		values[i] = skewed(&random, 24);
	CHECK_EQ(chunk_ints_write(values, N, &scratch, &out), CHUNK_SPLIT);
	CHECK(scratch.split);
	rd = rd_make(wr_view(&out));
	CHECK_OK(chunk_ints_read(&rd, N, &arena, back, &err), err);
	CHECK_EQ(memcmp(values, back, sizeof(values)), 0);
	out.at[0] = CHUNK_SPLIT;
	rd = rd_make(wr_view(&out));
	CHECK_EQ(chunk_nested_read(&rd, N, &arena, back, &err), E_CORRUPT);	/* not within another stream */
	wr_reset(&out);
	for (size_t i = 0; i < N; i++)
		values[i] = 1000 + random_below(&random, 1u << 12);
	CHECK_EQ(chunk_ints_write(values, N, &scratch, &out), CHUNK_FOR);
	CHECK(!scratch.split);
	scratch.splits = false;
	wr_reset(&out);
	for (size_t i = 0; i < N; i++)
		values[i] = skewed(&random, 24);
	CHECK_NE(chunk_ints_write(values, N, &scratch, &out), CHUNK_SPLIT);
	chunk_scratch_release(&scratch);
	wr_release(&out);
	arena_release(&arena);
}
