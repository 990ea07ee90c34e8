#include "store/chunk.h"

#include "store/bitpack.h"
#include "tests/check.h"
#include "tests/random.h"

TEST(bitpack, every_width_and_count_comes_back)
{
	static const size_t counts[] = { 1, 2, 7, 8, 63, 64, 65, 200, 255, 256 };
	struct random random = random_new("bitpack");
	uint64_t values[BITPACK_BLOCK], back[BITPACK_BLOCK];
	uint8_t packed[BITPACK_BLOCK * 8 + 1];

	for (unsigned width = 0; width <= 64; width++) {
		for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
			size_t count = counts[c], bytes = bitpack_bytes(width, count);
			uint64_t base = random_u64(&random), max = width ? UINT64_MAX >> (64 - width) : 0;
			uint8_t *exact = mem_alloc(bytes);	/* so that a sanitizer sees a byte too far */

			for (size_t i = 0; i < count; i++)
				values[i] = base + (i % 3 ? random_u64(&random) & max : max);
			packed[bytes] = 0xa5;
			bitpack_pack(values, count, base, width, packed);
			CHECK_U64(packed[bytes], 0xa5);
			memcpy(exact, packed, bytes);
			bitpack_unpack(exact, count, base, width, back);
			CHECK_EQ(memcmp(values, back, count * 8), 0, "width %u, %zu values", width, count);
			mem_free(exact);
		}
	}
}

/* What is stored must not change: FORMAT.md, "Chunk encodings". */
TEST(bitpack, lanes_are_as_described)
{
	uint64_t values[BITPACK_BLOCK];
	uint8_t packed[BITPACK_BLOCK * 8];

	for (unsigned i = 0; i < BITPACK_BLOCK; i++)
		values[i] = i % 8;
	bitpack_pack(values, BITPACK_BLOCK, 0, 3, packed);
	for (unsigned i = 0; i < BITPACK_BLOCK; i++) {
		unsigned lane = i % 4, bit = i / 4 * 3, got = 0;

		for (unsigned b = 0; b < 3; b++) {
			unsigned at = bit + b, word = at / 64;
			size_t byte = (word * 4 + lane) * 8 + at % 64 / 8;

			got |= (packed[byte] >> (at % 8) & 1u) << b;
		}
		CHECK_U64(got, values[i]);
	}
	bitpack_pack(values, 5, 0, 3, packed);	/* 0 1 2 3 4, lowest bits first */
	CHECK_U64(packed[0], (0 | 1 << 3 | 2 << 6) & 0xff);
	CHECK_U64(packed[1], (2 >> 2 | 3 << 1 | 4 << 4) & 0xff);
}

static int ints_back(struct view bytes, size_t count, uint64_t *values, struct err *err)
{
	struct rd rd = rd_make(bytes);
	struct arena arena;
	int rc;

	arena_init(&arena, 0);
	rc = chunk_ints_read(&rd, count, &arena, values, err);
	if (rc == 0 && rd_left(&rd))
		rc = E_CORRUPT;
	arena_release(&arena);
	return rc;
}

/* Written, of the encoding that fits, and back. Returns the bytes it took. */
static size_t check_ints(const uint64_t *values, size_t count, int want)
{
	uint64_t *back = mem_array(count, sizeof(*back));
	struct chunk_scratch scratch = { 0 };
	struct err err = { 0 };
	size_t len;
	struct wr out;
	int enc;

	wr_init(&out, 0);
	enc = chunk_ints_write(values, count, &scratch, &out);
	CHECK(enc == want, "%s, not %s", chunk_enc_name((unsigned)enc), chunk_enc_name((unsigned)want));
	CHECK_U64(out.at[0], (uint64_t)enc);
	CHECK_OK(ints_back(wr_view(&out), count, back, &err), err);
	CHECK_EQ(memcmp(values, back, count * sizeof(*values)), 0);
	for (size_t cut = 0; cut < out.len; cut += 1 + cut / 50)
		CHECK_LT(ints_back(view_make(out.at, cut), count, back, NULL), 0, "cut at %zu", cut);
	len = out.len;
	chunk_scratch_release(&scratch);
	wr_release(&out);
	mem_free(back);
	return len;
}

#define N 3000

TEST(chunk, each_encoding_is_found_where_it_fits)
{
	struct random random = random_new("chunk");
	uint64_t v[N], ns = 1700000000000000000ull;

	for (unsigned i = 0; i < N; i++)
		v[i] = 7;
	CHECK_LE(check_ints(v, N, CHUNK_CONST), 2);
	for (unsigned i = 0; i < N; i++)
		v[i] = random_u64(&random);
	CHECK_LE(check_ints(v, N, CHUNK_RAW), N * 8 + 2);
	for (unsigned i = 0; i < N; i++)
		v[i] = ns + random_below(&random, 1000);
	CHECK_LE(check_ints(v, N, CHUNK_FOR), N * 11 / 8 + 150);
	for (unsigned i = 0; i < N; i++)
		v[i] = ns += random_below(&random, 1000);
	CHECK_LE(check_ints(v, N, CHUNK_DELTA), N * 11 / 8 + 150);
	for (unsigned i = 0; i < N; i++)
		v[i] = ns -= random_below(&random, 1000);
	CHECK_LE(check_ints(v, N, CHUNK_DELTA), N * 11 / 8 + 150);
	for (unsigned i = 0; i < N; i++)
		v[i] = (1 + random_below(&random, 5)) * 0x1111111111111111ull;
	CHECK_LE(check_ints(v, N, CHUNK_DICT), N * 3 / 8 + 200);
	for (unsigned i = 0; i < N; i++)
		v[i] = i / 100 * 0x9e3779b97f4a7c15ull;
	CHECK_LE(check_ints(v, N, CHUNK_RLE), 400);
	for (unsigned i = 0; i < N; i++)	/* microseconds: ten bits fewer */
		v[i] = 1700000000000000000ull + 1000 * random_below(&random, 1000);
	CHECK_LE(check_ints(v, N, CHUNK_FOR), N * 11 / 8 + 150);
	for (unsigned i = 0; i < N; i++)	/* an outlier costs its block only */
		v[i] = i == 1234 ? 1ull << 60 : random_below(&random, 1 << 20);
	CHECK_LE(check_ints(v, N, CHUNK_FOR), N * 20 / 8 + 256 * 8 + 100);
}

TEST(chunk, extremes_come_back)
{
	static const uint64_t edges[] = { 0, UINT64_MAX, 1, UINT64_MAX - 1, 1ull << 63, (1ull << 63) - 1 };
	struct random random = random_new("chunk extremes");
	struct chunk_scratch scratch = { 0 };
	uint64_t values[700], back[700];
	struct err err = { 0 };
	struct wr out;

	wr_init(&out, 0);
	for (unsigned round = 0; round < 500; round++) {
		size_t count = 1 + random_below(&random, 700);
		unsigned character = (unsigned)random_below(&random, 9);

		for (size_t i = 0; i < count; i++)
			values[i] = character == 8 ? edges[random_below(&random, 6)] :
						     random_int(&random, character, i);
		wr_reset(&out);
		CHECK_GT(chunk_ints_write(values, count, &scratch, &out), 0);
		CHECK_OK(ints_back(wr_view(&out), count, back, &err), err);
		CHECK_EQ(memcmp(values, back, count * 8), 0, "character %u", character);
	}
	chunk_scratch_release(&scratch);
	wr_release(&out);
}

/* One field at a time lies, of four values. */
TEST(chunk, lies_about_integers_are_told)
{
	static const struct {
		const char *what;
		struct view bytes;
	} cases[] = {
		{ "no encoding", VIEW_LIT("") },
		{ "unknown encoding", VIEW_LIT("\x2a") },
		{ "encoding of strings", VIEW_LIT("\x07\x01\x01") },
		{ "a reference where there are no columns", VIEW_LIT("\x09\x02\x00\x00\x00\x01\x01") },
		{ "const without value", VIEW_LIT("\x01") },
		{ "const too long", VIEW_LIT("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f") },
		{ "raw of three bytes", VIEW_LIT("\x02\x03" "abcabcabcabc") },
		{ "raw cut short", VIEW_LIT("\x02\x02" "abcdefg") },
		{ "for without scale", VIEW_LIT("\x03") },
		{ "scale 0", VIEW_LIT("\x03\x00\x08\x00" "abcd") },
		{ "width 65", VIEW_LIT("\x03\x01\x41\x00" "abcdabcdabcdabcdabcdabcdabcdabcdabcd") },
		{ "block cut short", VIEW_LIT("\x03\x01\x08\x00" "abc") },
		{ "delta cut short", VIEW_LIT("\x04\x01\x05\x08\x00" "ab") },
		{ "delta with one difference too many", VIEW_LIT("\x04\x01\x05\x08\x00" "abcd") },
		{ "dictionary of nothing", VIEW_LIT("\x05\x00\x01\x00\x01\x00") },
		{ "dictionary larger than the values", VIEW_LIT("\x05\x05\x01\x00\x01\x00") },
		{ "dictionary of 2^63", VIEW_LIT("\x05\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01\x00") },
		{ "code beyond the dictionary", VIEW_LIT("\x05\x02\x02\x01" "ab" "\x02\x01\x00\x01\x02\x00") },
		{ "dictionary in a dictionary", VIEW_LIT("\x05\x01\x05\x01\x01\x00\x01\x00\x01\x00") },
		{ "no runs", VIEW_LIT("\x06\x00\x01\x00\x01\x00") },
		{ "runs shorter than the values", VIEW_LIT("\x06\x02\x02\x01" "ab" "\x01\x00") },
		{ "runs longer than the values", VIEW_LIT("\x06\x02\x02\x01" "ab" "\x01\x02") },
		{ "a run behind the last value", VIEW_LIT("\x06\x02\x02\x01" "ab" "\x02\x01\x03\x00") },
		{ "run of 2^64", VIEW_LIT("\x06\x01\x01\x07\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };
		uint64_t back[4];
		int rc = ints_back(cases[i].bytes, 4, back, &err);

		CHECK_EQ(rc, E_CORRUPT, "%s: %s", cases[i].what, err_name(rc));
	}
}

static int bytes_back(struct view bytes, size_t count, const struct view *want, struct err *err)
{
	struct rd rd = rd_make(bytes);
	struct chunk_bytes back;
	struct arena arena;
	int rc;

	arena_init(&arena, 0);
	rc = chunk_bytes_read(&rd, count, &arena, &back, err);
	if (rc == 0 && rd_left(&rd))
		rc = E_CORRUPT;
	for (size_t i = 0; rc == 0 && want && i < count; i++) {
		CHECK(!back.codes || back.codes[i] < back.dict_count);
		CHECK(view_eq(back.dict[back.codes ? back.codes[i] : i], want[i]));
	}
	arena_release(&arena);
	return rc;
}

TEST(chunk, strings_come_back)
{
	struct random random = random_new("chunk strings");

	for (unsigned round = 0; round < 200; round++) {
		size_t count = 1 + random_below(&random, 600), dict_count = 1 + random_below(&random, round % 2 ? 5 : 700);
		struct view *dict = mem_array(dict_count, sizeof(*dict)), *want = mem_array(count, sizeof(*want));
		uint32_t *codes = mem_array(count, sizeof(*codes));
		struct chunk_scratch scratch = { 0 };
		struct err err = { 0 };
		struct arena arena;
		struct wr out;
		int enc;

		arena_init(&arena, 0);
		wr_init(&out, 0);
		for (size_t i = 0; i < dict_count; i++)
			dict[i] = random_bytes(&random, 3, i, round % 3 ? 30 : 2, &arena);
		for (size_t i = 0; i < count; i++) {
			codes[i] = (uint32_t)random_below(&random, dict_count);
			want[i] = dict[codes[i]];
		}
		enc = chunk_bytes_write(dict, dict_count, codes, count, round % 5 < 2, &scratch, &out);
		CHECK_GT(enc, 0);
		CHECK_U64(out.at[0], (uint64_t)enc);
		CHECK_OK(bytes_back(wr_view(&out), count, want, &err), err);
		chunk_scratch_release(&scratch);
		arena_release(&arena);
		wr_release(&out);
		mem_free(dict);
		mem_free(want);
		mem_free(codes);
	}
}

/* Addresses come up in groups, and their bytes say nothing of it. Where they do, the dictionary is sorted. */
TEST(chunk, dictionaries_are_in_the_order_that_codes_take_less_in)
{
	enum { DICT = 512, COUNT = 8 * 1024 };
	struct random random = random_new("chunk order");
	struct view *dict = mem_array(DICT, sizeof(*dict)), *want = mem_array(COUNT, sizeof(*want));
	uint32_t *codes = mem_array(COUNT, sizeof(*codes));
	struct chunk_scratch scratch = { 0 };
	size_t len[2][2];	/* [names are in order][sorted] */
	struct arena arena;

	arena_init(&arena, 0);
	for (unsigned in_order = 0; in_order < 2; in_order++) {
		for (size_t i = 0; i < DICT; i++)
			dict[i] = view_str(arena_printf(&arena, "%08x", (unsigned)(in_order ? i : hash_u64(i) >> 32)));
		for (size_t i = 0; i < COUNT; i++) {
			codes[i] = (uint32_t)((i / 128 * 8 + random_below(&random, 8)) % DICT);
			want[i] = dict[codes[i]];
		}
		for (unsigned sorted = 0; sorted < 2; sorted++) {
			struct err err = { 0 };
			struct wr out;

			wr_init(&out, 0);
			CHECK_EQ(chunk_bytes_write(dict, DICT, codes, COUNT, sorted, &scratch, &out), CHUNK_DICT);
			CHECK_OK(bytes_back(wr_view(&out), COUNT, want, &err), err);
			len[in_order][sorted] = out.len;
			wr_release(&out);
		}
	}
	CHECK_U64(len[0][1], len[0][0]);	/* sorted, codes would take nine bits and not four */
	CHECK(len[0][1] < DICT * 8 + COUNT * 6 / 8);
	CHECK(len[1][1] <= len[1][0] + DICT * 9 / 8);	/* byte order packs better, which an eighth of the bytes is worth */
	chunk_scratch_release(&scratch);
	arena_release(&arena);
	mem_free(dict);
	mem_free(want);
	mem_free(codes);
}

TEST(chunk, digits_are_stored_as_bytes)
{
	enum { COUNT = 400 };
	struct random random = random_new("chunk hex");
	struct view dict[COUNT], want[COUNT];
	uint32_t codes[COUNT];
	struct arena arena;

	arena_init(&arena, 0);
	for (unsigned round = 0; round < 60; round++) {
		size_t len = 16 + 2 * random_below(&random, 12), used = round % 3 ? COUNT : 40, hex_bytes;
		unsigned spoilt = round % 5;	/* 1: a letter, 2: a capital, 3: a length; else none */
		struct chunk_scratch scratch = { .hexes = round % 7 != 6 };
		struct err err = { 0 };
		struct wr out;
		int enc;

		wr_init(&out, 0);
		for (size_t i = 0; i < used; i++) {
			char *text = arena_alloc(&arena, len);

			for (size_t k = 0; k < len; k++)
				text[k] = "0123456789abcdef"[random_below(&random, 16)];
			dict[i] = view_make(text, len);
			if (i == used / 2 && spoilt == 3)
				dict[i].len -= 2;
			else if (i == used / 2 && (spoilt == 1 || spoilt == 2))
				text[len / 2] = spoilt == 1 ? 'g' : 'A';
		}
		for (size_t i = 0; i < COUNT; i++) {
			codes[i] = (uint32_t)(used == COUNT ? i : random_below(&random, used));
			want[i] = dict[codes[i]];
		}
		codes[0] = (uint32_t)used / 2;
		want[0] = dict[codes[0]];
		enc = chunk_bytes_write(dict, used, codes, COUNT, true, &scratch, &out);
		hex_bytes = used * len / 2 + (used == COUNT ? 3 : 8 + COUNT * 6 / 8 + 3);
		CHECK_EQ(enc == CHUNK_HEX, scratch.hexes && (spoilt == 0 || spoilt == 4), "round %u", round);
		CHECK(enc != CHUNK_HEX || out.len <= hex_bytes + 4, "%zu of %zu bytes", out.len, hex_bytes);
		CHECK_OK(bytes_back(wr_view(&out), COUNT, want, &err), err);
		for (size_t cut = 0; cut < out.len; cut += 1 + random_below(&random, 200))
			CHECK(bytes_back(view_sub(wr_view(&out), 0, cut), COUNT, NULL, &err) < 0 || enc != CHUNK_HEX);
		chunk_scratch_release(&scratch);
		wr_release(&out);
		arena_reset(&arena);
	}
	arena_release(&arena);
}

TEST(chunk, lies_about_strings_are_told)
{
	static const struct {
		const char *what;
		struct view bytes;
	} cases[] = {
		{ "no encoding", VIEW_LIT("") },
		{ "encoding of integers", VIEW_LIT("\x03\x01\x01") },
		{ "lengths cut short", VIEW_LIT("\x07\x02\x01\x01") },
		{ "texts cut short", VIEW_LIT("\x07\x01\x02" "abcdefg") },
		{ "bytes behind", VIEW_LIT("\x07\x01\x02" "abcdefghi") },
		{ "length of 2^64 - 1", VIEW_LIT("\x07\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" "abcd") },
		{ "dictionary of nothing", VIEW_LIT("\x05\x00\x01\x00\x01\x00") },
		{ "dictionary larger than the values", VIEW_LIT("\x05\x05\x01\x00\x01\x00") },
		{ "code beyond the dictionary", VIEW_LIT("\x05\x01\x01\x01" "a" "\x01\x01") },
		{ "no codes", VIEW_LIT("\x05\x01\x01\x01" "a") },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };

		CHECK_EQ(bytes_back(cases[i].bytes, 4, NULL, &err), E_CORRUPT, "%s", cases[i].what);
		CHECK(i == 4 || err.text[0], "%s: no words", cases[i].what);	/* 4 is for the caller to tell */
	}
}

static size_t patched_back(const uint64_t *values, size_t count, int want)
{
	uint64_t *back = mem_array(count, sizeof(*back));
	struct chunk_scratch scratch = { .patches = true };
	struct err err = { 0 };
	struct wr out;
	size_t len;

	wr_init(&out, 0);
	CHECK_EQ(chunk_ints_write(values, count, &scratch, &out), want);
	CHECK_EQ(scratch.patched, want == CHUNK_PATCH);
	CHECK_OK(ints_back(wr_view(&out), count, back, &err), err);
	CHECK_EQ(memcmp(values, back, count * 8), 0);
	for (size_t cut = 0; cut < out.len; cut += 1 + cut / 16)
		CHECK(ints_back(view_make(out.at, cut), count, back, NULL) < 0);
	len = out.len;
	wr_release(&out);
	chunk_scratch_release(&scratch);
	mem_free(back);
	return len;
}

TEST(chunk, a_few_values_far_from_the_others_do_not_widen_them)
{
	struct random random = random_new("patch");
	uint64_t values[5000];

	for (unsigned scale = 1; scale <= 1000; scale *= 1000) {
		for (size_t i = 0; i < 5000; i++)
			values[i] = (1u << 20) * 1000ull + random_below(&random, 16) * scale;
		for (size_t i = 13; i < 5000; i += 97)	/* far above, and below */
			values[i] = i % 2 ? random_below(&random, 1ull << 40) * 1000 : random_below(&random, 1000) * 1000;
		CHECK_LT(patched_back(values, 5000, CHUNK_PATCH), 5000 * 4 / 8 + 5000 / 97 * 12 + 200);
	}
	for (size_t i = 0; i < 5000; i++)
		values[i] = i % 50 ? 7 : random_u64(&random);
	CHECK_LT(patched_back(values, 5000, CHUNK_PATCH), 100 * 11 + 100);
	for (size_t i = 0; i < 5000; i++)	/* nothing stands apart */
		values[i] = random_u64(&random);
	(void)patched_back(values, 5000, CHUNK_RAW);
}

TEST(chunk, lies_of_exceptions_are_told)
{
	static const uint8_t cases[][12] = {
		{ CHUNK_PATCH, 0, 1, CHUNK_CONST, 0, CHUNK_CONST, 9, CHUNK_CONST, 1 },	/* a scale of 0 */
		{ CHUNK_PATCH, 1, 5, CHUNK_CONST, 0, CHUNK_CONST, 9, CHUNK_CONST, 1 },	/* more than there are values */
		{ CHUNK_PATCH, 1, 1, CHUNK_CONST, 4, CHUNK_CONST, 9, CHUNK_CONST, 1 },	/* behind the last one */
		{ CHUNK_PATCH, 1, 1, CHUNK_CONST, 0, CHUNK_PATCH, 1, 0, CHUNK_CONST, 1 },	/* within each other */
	};
	static const uint8_t good[] = { CHUNK_PATCH, 2, 1, CHUNK_CONST, 3, CHUNK_CONST, 9, CHUNK_CONST, 1 };
	uint64_t values[4];
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err_clear(&err);
		CHECK_RC(ints_back(view_make(cases[i], sizeof(cases[i])), 4, values, &err), E_CORRUPT);
	}
	CHECK_OK(ints_back(view_make(good, sizeof(good)), 4, values, &err), err);
	CHECK(values[0] == 2 && values[2] == 2 && values[3] == 18);
}
