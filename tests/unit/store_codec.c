#include "store/codec.h"

#include <pthread.h>

#include "store/envelope.h"
#include "tests/check.h"
#include "tests/random.h"

static const enum codec codecs[] = { CODEC_NONE, CODEC_LZ4, CODEC_ZSTD };

TEST(codec, comes_back_at_every_length)
{
	struct random random = random_new("codec");
	uint8_t plain[5000], back[5000];
	struct err err = { 0 };
	struct wr packed;

	wr_init(&packed, 0);
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i % 7 + random_below(&random, 2));
	for (size_t len = 0; len <= sizeof(plain); len += len < 70 ? 1 : 493) {
		for (unsigned c = 0; c < 3; c++) {
			for (int level = 0; level < 10; level += 4) {
				wr_reset(&packed);
				wr_u8(&packed, 0xee);	/* appended to what is there */
				CHECK_OK(codec_pack(codecs[c], level, view_make(plain, len), &packed, &err), err);
				CHECK_U64(packed.at[0], 0xee);
				memset(back, 0, sizeof(back));
				CHECK_OK(codec_unpack(codecs[c], view_make(packed.at + 1, packed.len - 1), back, len, &err),
					 err);
				CHECK(memcmp(plain, back, len) == 0, "%s, %zu bytes", codec_name(codecs[c]), len);
			}
		}
	}
	wr_release(&packed);
}

TEST(codec, a_wrong_claim_of_length_is_corrupt)
{
	static const uint8_t plain[1000] = "so much of the same, so much of the same, so much of the same";
	uint8_t back[2000];
	struct wr packed;

	wr_init(&packed, 0);
	for (unsigned c = 0; c < 3; c++) {
		struct err err = { 0 };

		wr_reset(&packed);
		CHECK_OK(codec_pack(codecs[c], 0, view_make(plain, sizeof(plain)), &packed, &err), err);
		CHECK_RC(codec_unpack(codecs[c], wr_view(&packed), back, 999, NULL), E_CORRUPT);
		CHECK_RC(codec_unpack(codecs[c], wr_view(&packed), back, 1001, NULL), E_CORRUPT);
		CHECK_RC(codec_unpack(codecs[c], wr_view(&packed), NULL, 0, NULL), E_CORRUPT);
		CHECK_RC(codec_unpack(codecs[c], view_make(packed.at, packed.len / 2), back, 1000, &err), E_CORRUPT);
		CHECK(strstr(err.text, "1000") || strstr(err.text, "500"), "no number in '%s'", err.text);
	}
	CHECK_RC(codec_unpack((enum codec)99, wr_view(&packed), back, 10, NULL), E_CORRUPT);
	wr_release(&packed);
}

TEST(codec, the_checksum_is_xxh3)
{
	/* From the tables of xxHash's own tests: what is stored must never change. */
	CHECK_EQ(codec_checksum(view_make(NULL, 0)), 0x2d06800538d394c2ull);
	CHECK_NE(codec_checksum(VIEW_LIT("a")), codec_checksum(VIEW_LIT("b")));
}

static void *pack_in_thread(void *arg)
{
	struct err err = { 0 };
	struct wr packed;
	uint8_t back[64];
	intptr_t good;

	(void)arg;
	wr_init(&packed, 0);
	good = codec_pack(CODEC_ZSTD, 0, VIEW_LIT("thread"), &packed, &err) == 0 &&
	       codec_unpack(CODEC_ZSTD, wr_view(&packed), back, 6, &err) == 0 && memcmp(back, "thread", 6) == 0;
	wr_release(&packed);
	return (void *)good;
}

TEST(codec, threads_have_contexts_of_their_own)	/* and give them back: the leak check looks */
{
	pthread_t threads[4];
	void *good;

	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, pack_in_thread, NULL), 0);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(pthread_join(threads[i], &good), 0);
		CHECK(good);
	}
}

#define MAGIC ENVELOPE_MAGIC('T', 'E', 'S', 'T')

static void envelope_make(struct wr *out, uint16_t must_know, uint32_t may_skip)
{
	struct err err = { 0 };
	size_t start = envelope_begin(out, MAGIC, 2, must_know, may_skip);

	wr_str(out, "body");
	CHECK_OK(envelope_end(out, start, out->len - start, &err), err);
}

TEST(envelope, refuses_what_it_does_not_know)
{
	struct envelope envelope;
	struct err err = { 0 };
	struct wr out;
	size_t length;

	wr_init(&out, 0);
	envelope_make(&out, 0x4, 0xffff0000);
	CHECK_OK(envelope_open(wr_view(&out), "x", MAGIC, 2, 0x4, &envelope, &err), err);
	CHECK_OK(envelope_check(wr_view(&out), "x", out.len, &err), err);
	CHECK_U64(envelope.version, 2);
	CHECK_U64(envelope.may_skip, 0xffff0000);
	CHECK_RC(envelope_open(wr_view(&out), "x", MAGIC, 2, 0x3, &envelope, NULL), E_UNSUPPORTED);
	CHECK_RC(envelope_open(wr_view(&out), "x", MAGIC, 1, 0x4, &envelope, NULL), E_UNSUPPORTED);
	CHECK_RC(envelope_open(wr_view(&out), "x", MAGIC + 1, 2, 0x4, &envelope, NULL), E_CORRUPT);
	CHECK_OK(envelope_length(wr_view(&out), MAGIC, &length), err);
	CHECK_U64(length, ENVELOPE_BYTES + 4);
	CHECK_RC(envelope_length(view_make(out.at, 15), MAGIC, &length), E_CORRUPT);
	CHECK_RC(envelope_length(view_make(out.at + 1, out.len - 1), MAGIC, &length), E_CORRUPT);
	wr_release(&out);
}

TEST(envelope, every_bit_counts)
{
	struct envelope envelope;
	struct wr out;

	wr_init(&out, 0);
	wr_str(&out, "in front");
	envelope_make(&out, 0, 0);
	for (size_t bit = 0; bit < (out.len - 8) * 8; bit++) {
		struct view stored = view_make(out.at + 8, out.len - 8);
		bool good;

		out.at[8 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		good = envelope_open(stored, "x", MAGIC, UINT16_MAX, UINT16_MAX, &envelope, NULL) == 0 &&
		       envelope_check(stored, "x", stored.len, NULL) == 0;
		CHECK_NOT(good, "bit %zu", bit);
		out.at[8 + bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	wr_release(&out);
}
