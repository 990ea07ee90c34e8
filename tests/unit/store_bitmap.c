#include "store/bitmap.h"

#include "store/envelope.h"
#include "tests/check.h"
#include "tests/random.h"

struct walk {
	uint32_t values[64];
	unsigned count, stop_at;
};

static bool walk_on(uint32_t value, void *arg)
{
	struct walk *walk = arg;

	walk->values[walk->count++] = value;
	return walk->count < walk->stop_at;
}

TEST(bitmap, is_a_set)
{
	struct bitmap *a = bitmap_new(), *b = bitmap_range(10, 20), *none = bitmap_range(5, 5);
	struct walk walk = { .stop_at = 64 };

	CHECK_EQ(bitmap_add(a, 70000), 0);
	CHECK_EQ(bitmap_add(a, 12), 0);
	CHECK_EQ(bitmap_add(a, 12), 0);
	CHECK_U64(bitmap_count(a), 2);
	CHECK_U64(bitmap_count(b), 10);
	CHECK_U64(bitmap_count(none), 0);
	CHECK(bitmap_has(b, 10) && bitmap_has(b, 19) && !bitmap_has(b, 20));
	bitmap_or(b, a);
	CHECK_U64(bitmap_count(b), 11);
	bitmap_each(b, walk_on, &walk);
	CHECK_U64(walk.count, 11);
	CHECK_U64(walk.values[0], 10);
	CHECK_U64(walk.values[10], 70000);
	walk = (struct walk){ .stop_at = 3 };
	bitmap_each(b, walk_on, &walk);
	CHECK_U64(walk.count, 3);
	bitmap_and(b, a);
	CHECK_U64(bitmap_count(b), 2);
	bitmap_free(a);
	bitmap_free(b);
	bitmap_free(none);
	bitmap_free(NULL);
}

/* Arrays, bitsets and runs in up to nine containers. */
static struct bitmap *bitmap_any(struct random *random)
{
	struct bitmap *bitmap = bitmap_new();
	unsigned containers = (unsigned)random_below(random, 9);

	for (unsigned i = 0; i < containers; i++) {
		uint32_t base = (uint32_t)random_below(random, 1u << 16) << 16;
		unsigned values = random_below(random, 2) ? 30 : 9000;

		if (random_below(random, 3) == 0) {
			struct bitmap *run = bitmap_range(base + 5, base + 5 + values);

			bitmap_or(bitmap, run);
			bitmap_free(run);
			continue;
		}
		while (values--)
			CHECK_EQ(bitmap_add(bitmap, base + (uint32_t)random_below(random, 1u << 16)), 0);
	}
	return bitmap;
}

TEST(bitmap, comes_back)
{
	struct random random = random_new("bitmap");

	for (unsigned round = 0; round < 60; round++) {
		struct bitmap *bitmap = bitmap_any(&random), *back;
		struct err err = { 0 };
		struct wr out;

		wr_init(&out, 0);
		CHECK_OK(bitmap_write(bitmap, &out, &err), err);
		CHECK_OK(bitmap_read(wr_view(&out), &back, &err), err);
		CHECK_U64(bitmap_count(back), bitmap_count(bitmap));
		bitmap_and(back, bitmap);
		CHECK_U64(bitmap_count(back), bitmap_count(bitmap));
		bitmap_free(bitmap);
		bitmap_free(back);
		wr_release(&out);
	}
}

TEST(bitmap, every_flipped_byte_is_told)
{
	struct bitmap *bitmap = bitmap_range(3, 500), *back;
	struct err err = { 0 };
	struct wr out;

	wr_init(&out, 0);
	CHECK_EQ(bitmap_add(bitmap, 1000000), 0);
	CHECK_OK(bitmap_write(bitmap, &out, &err), err);
	for (size_t at = 0; at < out.len; at++) {
		out.at[at] ^= 0x10;
		CHECK_LT(bitmap_read(wr_view(&out), &back, NULL), 0, "byte %zu", at);
		out.at[at] ^= 0x10;
	}
	bitmap_free(bitmap);
	wr_release(&out);
}

/* The checksum is right, the set is not: CRoaring must not see it. */
TEST(bitmap, a_set_that_lies_is_corrupt)
{
	static const struct {
		const char *what;
		struct view bytes;
	} cases[] = {
		{ "nothing", { NULL, 0 } },
		{ "cookie", VIEW_LIT("\x39\x30\0\0\0\0\0\0") },
		{ "number of containers", VIEW_LIT("\x3a\x30\0\0\xff\xff\xff\xff") },
		{ "bytes behind", VIEW_LIT("\x3a\x30\0\0\0\0\0\0\0") },
		{ "offset", VIEW_LIT("\x3a\x30\0\0\x01\0\0\0\0\0\0\0\x11\0\0\0\x05\0") },
		{ "array not ascending", VIEW_LIT("\x3a\x30\0\0\x01\0\0\0\0\0\x01\0\x10\0\0\0\x05\0\x05\0") },
		{ "array cut short", VIEW_LIT("\x3a\x30\0\0\x01\0\0\0\0\0\x02\0\x10\0\0\0\x05\0\x06\0") },
		{ "bitset cut short", VIEW_LIT("\x3a\x30\0\0\x01\0\0\0\0\0\xff\xff\x10\0\0\0\x05\0\x06\0") },
		{ "keys not ascending", VIEW_LIT("\x3a\x30\0\0\x02\0\0\0\x01\0\0\0\x01\0\0\0\x18\0\0\0\x1a\0\0\0\x05\0\x05\0") },
		{ "no runs", VIEW_LIT("\x3b\x30\0\0\x01\0\0\0\0\0\0\0") },
		{ "run beyond the end", VIEW_LIT("\x3b\x30\0\0\x01\0\0\x01\0\x01\0\xff\xff\x01\0") },
		{ "runs overlap", VIEW_LIT("\x3b\x30\0\0\x01\0\0\x05\0\x02\0\x01\0\x02\0\x03\0\x02\0") },
		{ "runs hold other than said", VIEW_LIT("\x3b\x30\0\0\x01\0\0\x05\0\x01\0\x01\0\x02\0") },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bitmap *bitmap;
		struct err err = { 0 };
		struct wr out;
		size_t start;

		wr_init(&out, 0);
		start = envelope_begin(&out, ENVELOPE_MAGIC('T', 'D', 'B', 'M'), 1, 0, 0);
		wr_bytes(&out, cases[i].bytes);
		CHECK_OK(envelope_end(&out, start, out.len, &err), err);
		CHECK_EQ(bitmap_read(wr_view(&out), &bitmap, &err), E_CORRUPT, "%s", cases[i].what);
		wr_release(&out);
	}
}
