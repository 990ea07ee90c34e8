#include "store/bloom.h"

#include "tests/check.h"
#include "tests/random.h"

static struct wr bloom_of(size_t keys, size_t sized_for)
{
	struct bloom *bloom = bloom_new(sized_for);
	struct err err = { 0 };
	struct wr out;

	wr_init(&out, 0);
	for (uint64_t key = 0; key < keys; key++)
		bloom_add(bloom, view_make(&key, sizeof(key)));
	CHECK_OK(bloom_write(bloom, &out, &err), err);
	bloom_free(bloom);
	return out;
}

TEST(bloom, misses_none_and_mistakes_one_in_a_hundred)
{
	static const size_t sizes[] = { 0, 1, 10, 1000, 50000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct wr out = bloom_of(sizes[i], sizes[i]);
		struct err err = { 0 };
		unsigned mistaken = 0, asked = sizes[i] < 100 ? 20000 : 50000;

		CHECK_OK(bloom_verify(wr_view(&out), &err), err);
		for (uint64_t key = 0; key < sizes[i]; key++)
			CHECK_EQ(bloom_may_have(wr_view(&out), view_make(&key, 8), &err), 1);
		for (uint64_t key = 1u << 20; key < (1u << 20) + asked; key++)
			mistaken += bloom_may_have(wr_view(&out), view_make(&key, 8), &err) == 1;
		CHECK_LE(mistaken, asked * 12 / 1000, "%zu keys: %u of %u mistaken", sizes[i], mistaken, asked);
		CHECK_LE(out.len, sizes[i] * 12 / 8 + 200, "%zu keys: %zu bytes", sizes[i], out.len);
		wr_release(&out);
	}
}

TEST(bloom, the_layout_is_stored_and_stays)
{
	struct wr out = bloom_of(3, 3);

	CHECK_U64(out.len, 24 + 8 + 8 + 32);
	CHECK(view_eq(view_sub(wr_view(&out), 40, 32), VIEW_LIT("\x00\x02\xa0\x00\x00\x00\x04\x05\x00\x00\x90\x20\x00\x80\x00\x50"
								  "\x03\x04\x00\x00\x08\x02\x01\x00\x80\x00\x60\x00\x00\x00\x28\x02")));
	wr_release(&out);
}

TEST(bloom, too_small_a_filter_still_misses_none)
{
	struct wr out = bloom_of(3000, 1);
	struct err err = { 0 };

	for (uint64_t key = 0; key < 3000; key++)
		CHECK_EQ(bloom_may_have(wr_view(&out), view_make(&key, 8), &err), 1);
	wr_release(&out);
}

TEST(bloom, every_flipped_byte_is_told)
{
	struct wr out = bloom_of(4000, 4000);	/* two pages */
	uint64_t key = 17;

	for (size_t at = 0; at < out.len; at++) {
		int rc;

		out.at[at] ^= 0x04;
		CHECK_LT(bloom_verify(wr_view(&out), NULL), 0, "byte %zu", at);
		rc = bloom_may_have(wr_view(&out), view_make(&key, 8), NULL);
		CHECK(rc < 0 || rc == 1, "byte %zu: a key is missed", at);	/* another page may be bad */
		out.at[at] ^= 0x04;
	}
	for (size_t len = 0; len < out.len; len += 13)
		CHECK_RC(bloom_may_have(view_make(out.at, len), view_make(&key, 8), NULL), E_CORRUPT);
	wr_release(&out);
}
