#include "store/packet_block.h"

#include "base/clock.h"
#include "tests/check.h"
#include "tests/random.h"

#define HOUR 472222u

static struct packet_rec rec_any(struct random *random, uint32_t i, uint8_t *frame, size_t len_max)
{
	struct packet_rec rec = {
		.time_ns = HOUR * NS_PER_HOUR + i * 1000 + random_below(random, 5000),
		.number = i + 1,
		.flow_id = random_below(random, 4) ? schema_id(HOUR * NS_PER_HOUR, random_below(random, 50)) : 0,
		.iface = (uint32_t)random_below(random, 3),
		.link = random_below(random, 10) ? 1 : 113,
		.segments = (uint16_t)(random_below(random, 10) ? 1 : random_below(random, 65536)),
		.dir = (uint8_t)random_below(random, 2),
	};
	size_t len = random_below(random, len_max + 1);

	for (size_t at = 0; at < len; at++)
		frame[at] = (uint8_t)(at < 54 ? at : random_u64(random));
	rec.frame = view_make(frame, len);
	/* a file may claim less than it holds */
	rec.orig_len = (uint32_t)(random_below(random, 5) ? len : random_u64(random));
	return rec;
}

static void block_fill(struct random *random, struct packet_block *block, uint32_t count, size_t len_max)
{
	uint8_t frame[2000];

	for (uint32_t i = 0; i < count; i++) {
		struct packet_rec rec = rec_any(random, i, frame, len_max);

		CHECK_EQ(packet_block_add(block, &rec), 0);
	}
}

static bool rec_same(const struct packet_rec *a, const struct packet_rec *b)
{
	return a->time_ns == b->time_ns && a->number == b->number && a->flow_id == b->flow_id &&
	       a->orig_len == b->orig_len && a->iface == b->iface && a->link == b->link &&
	       a->segments == b->segments && a->dir == b->dir && view_eq(a->frame, b->frame);
}

static bool block_same(const struct packet_block *got, const struct packet_block *want, const uint32_t *order)
{
	if (got->count != want->count || got->source != want->source || got->hour != want->hour ||
	    got->time_min != want->time_min || got->time_max != want->time_max ||
	    got->number_min != want->number_min || got->number_max != want->number_max)
		return false;
	for (uint32_t i = 0; i < want->count; i++) {
		struct packet_rec a = packet_block_rec(got, i), b = packet_block_rec(want, order ? order[i] : i);

		if (!rec_same(&a, &b))
			return false;
	}
	return true;
}

TEST(packet_block, frames_come_back_identical)
{
	static const uint32_t counts[] = { 1, 2, 100, 256, 3000 };
	struct random random = random_new("packet_block");
	struct packet_block block, back;
	uint32_t order[3000];
	struct wr out;

	CHECK_EQ(packet_block_init(&block, 77), 0);
	CHECK_EQ(packet_block_init(&back, 0), 0);
	wr_init(&out, 0);
	for (unsigned round = 0; round < 30; round++) {
		uint32_t count = counts[round % 5];
		struct err err = { 0 };
		size_t length;

		packet_block_reset(&block);
		block_fill(&random, &block, count, round % 3 ? 700 : 0);
		random_order(&random, order, count);
		wr_reset(&out);
		wr_str(&out, "before");
		CHECK_OK(packet_block_write(&block, round % 2 ? order : NULL, (enum codec)(round % 3), 0, &out, &err),
			 err);
		CHECK_OK(packet_block_length(view_make(out.at + 6, out.len - 6), &length), err);
		CHECK_U64(length, out.len - 6);
		CHECK_OK(packet_block_read(view_make(out.at + 6, length), &back, &err), err);
		CHECK(block_same(&back, &block, round % 2 ? order : NULL), "round %u", round);
	}
	packet_block_release(&block);
	packet_block_release(&back);
	wr_release(&out);
}

TEST(packet_block, a_head_and_the_frames_are_the_block)
{
	struct random random = random_new("packet_block head");
	struct packet_block_info info, peeked;
	struct packet_block block;
	struct err err = { 0 };
	struct wr whole, parts;

	CHECK_EQ(packet_block_init(&block, 77), 0);
	wr_init(&whole, 0);
	wr_init(&parts, 0);
	block_fill(&random, &block, 900, 500);
	CHECK_OK(packet_block_write(&block, NULL, CODEC_NONE, 0, &whole, &err), err);
	CHECK_OK(packet_block_write_head(&block, &parts, &info, &err), err);
	CHECK_OK(packet_block_peek(wr_view(&whole), &peeked, &err), err);
	CHECK_U64(info.flow_count, peeked.flow_count);
	CHECK(view_eq(info.flows, peeked.flows));
	CHECK_U64(info.number_max, peeked.number_max);
	CHECK_U64(info.stored_bytes, peeked.stored_bytes);
	wr_bytes(&parts, wr_view(&block.bytes));
	CHECK(view_eq(wr_view(&parts), wr_view(&whole)));
	packet_block_release(&block);
	wr_release(&whole);
	wr_release(&parts);
}

TEST(packet_block, peek_tells_span_and_flows)
{
	struct random random = random_new("packet_block peek");
	struct packet_block_info info;
	struct packet_block_flows iter;
	struct packet_block block;
	struct err err = { 0 };
	uint64_t id, last = 0;
	uint32_t flows = 0;
	struct wr out;

	CHECK_EQ(packet_block_init(&block, 5), 0);
	wr_init(&out, 0);
	block_fill(&random, &block, 500, 100);
	CHECK_OK(packet_block_write(&block, NULL, CODEC_ZSTD, 0, &out, &err), err);
	CHECK_OK(packet_block_peek(wr_view(&out), &info, &err), err);
	CHECK_U64(info.source, 5);
	CHECK_U64(info.hour, HOUR);
	CHECK_U64(info.count, 500);
	CHECK_U64(info.time_min, block.time_min);
	CHECK_U64(info.time_max, block.time_max);
	CHECK_U64(info.number_min, 1);
	CHECK_U64(info.number_max, 500);
	CHECK_U64(info.plain_bytes, block.bytes.len);
	for (uint32_t i = 0; i < block.count; i++)
		CHECK(packet_block_has_flow(&info, block.recs[i].flow_id));
	CHECK_NOT(packet_block_has_flow(&info, 1));
	CHECK_NOT(packet_block_has_flow(&info, UINT64_MAX));
	for (iter = packet_block_flows(&info); packet_block_flow_next(&iter, &id) > 0; flows++) {
		CHECK(flows == 0 || id > last);
		last = id;
	}
	CHECK_U64(flows, info.flow_count);
	packet_block_release(&block);
	wr_release(&out);
}

TEST(packet_block, limits_are_told)
{
	static uint8_t big[1 << 20];
	struct packet_rec rec = { .time_ns = NS_PER_HOUR, .number = 1, .segments = 1,
				  .frame = view_make(big, sizeof(big)) };
	struct packet_block block;

	CHECK_EQ(packet_block_init(&block, 1), 0);
	CHECK_EQ(packet_block_add(&block, &rec), 0);
	rec.time_ns = 2 * NS_PER_HOUR - 1;
	CHECK_EQ(packet_block_add(&block, &rec), 0);
	rec.time_ns = 2 * NS_PER_HOUR;
	CHECK_RC(packet_block_add(&block, &rec), E_RANGE);
	rec.time_ns = NS_PER_HOUR - 1;
	CHECK_RC(packet_block_add(&block, &rec), E_RANGE);
	rec.time_ns = NS_PER_HOUR;
	CHECK_EQ(packet_block_add(&block, &rec), 0);
	CHECK_EQ(packet_block_add(&block, &rec), 1);
	CHECK_RC(packet_block_add(&block, &rec), E_LIMIT);
	CHECK_U64(block.count, 4);
	packet_block_reset(&block);
	rec.frame.len = PACKET_BYTES_MAX + 1;
	CHECK_RC(packet_block_add(&block, &rec), E_LIMIT);
	rec.frame.len = 0;
	for (uint32_t i = 1; i < PACKET_BLOCK_RECS_MAX; i++)
		CHECK_EQ(packet_block_add(&block, &rec), 0);
	CHECK_EQ(packet_block_add(&block, &rec), 1);
	CHECK_RC(packet_block_add(&block, &rec), E_LIMIT);
	packet_block_release(&block);
}

TEST(packet_block, a_flipped_byte_anywhere_is_told)
{
	struct random random = random_new("packet_block flip");

	for (unsigned codec = 0; codec < 3; codec++) {
		struct packet_block block, back;
		struct packet_block_info info;
		struct err err = { 0 };
		struct wr out;

		CHECK_EQ(packet_block_init(&block, 1), 0);
		CHECK_EQ(packet_block_init(&back, 1), 0);
		wr_init(&out, 0);
		block_fill(&random, &block, 80, 60);
		CHECK_OK(packet_block_write(&block, NULL, (enum codec)codec, 0, &out, &err), err);
		for (size_t at = 0; at < out.len; at++) {
			for (unsigned bit = 0; bit < 8; bit++) {
				out.at[at] ^= (uint8_t)(1 << bit);
				err_clear(&err);
				if (packet_block_read(wr_view(&out), &back, &err) == 0)
					CHECK(block_same(&back, &block, NULL), "byte %zu, bit %u", at, bit);
				else
					CHECK(err.text[0] && back.count == 0, "byte %zu, bit %u", at, bit);
				(void)packet_block_peek(wr_view(&out), &info, NULL);
				out.at[at] ^= (uint8_t)(1 << bit);
			}
		}
		for (size_t len = 0; len < out.len; len++)
			CHECK_RC(packet_block_read(view_make(out.at, len), &back, NULL), E_CORRUPT);
		packet_block_release(&block);
		packet_block_release(&back);
		wr_release(&out);
	}
}

TEST(packet_block, out_of_memory_leaves_no_trace)
{
	struct random random = random_new("packet_block memory");
	struct packet_block block, back;
	struct err err = { 0 };
	struct wr out;
	int rc = E_NO_MEMORY;

	CHECK_EQ(packet_block_init(&block, 1), 0);
	CHECK_EQ(packet_block_init(&back, 1), 0);
	block_fill(&random, &block, 300, 100);
	for (uint64_t n = 1; rc < 0; n++) {
		wr_init(&out, 0);
		mem_fail_nth(n);
		rc = packet_block_write(&block, NULL, CODEC_LZ4, 0, &out, NULL);
		mem_fail_nth(0);
		CHECK(rc == 0 || (rc == E_NO_MEMORY && out.len == 0), "allocation %llu", (unsigned long long)n);
		if (rc < 0)
			wr_release(&out);
	}
	rc = E_NO_MEMORY;
	for (uint64_t n = 1; rc < 0; n++) {
		packet_block_release(&back);
		mem_fail_nth(n);
		rc = packet_block_read(wr_view(&out), &back, &err);
		mem_fail_nth(0);
		CHECK(rc == 0 || (rc == E_NO_MEMORY && back.count == 0), "allocation %llu", (unsigned long long)n);
		err_clear(&err);
	}
	CHECK(block_same(&back, &block, NULL));
	packet_block_release(&block);
	packet_block_release(&back);
	wr_release(&out);
}

/* Written by the first program that had packet blocks: they stay readable. */
TEST(packet_block, of_version_1_opens_for_ever)
{
	static const uint8_t stored[] = {
		0x54, 0x44, 0x50, 0x42, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf7, 0x00, 0x00, 0x00,
		0xcf, 0xd2, 0x7e, 0x41, 0x4a, 0xde, 0x9b, 0xce, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x9e, 0x34, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x72, 0xf2, 0x43, 0x9c, 0x97, 0x17,
		0xa0, 0xcf, 0x72, 0xf2, 0x43, 0x9c, 0x97, 0x17, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x0e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
		0x02, 0x00, 0x00, 0x00, 0x2f, 0x00, 0x00, 0x00, 0x2f, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00,
		0x56, 0x00, 0x00, 0x00, 0x40, 0x01, 0x00, 0x00, 0x70, 0xc7, 0x24, 0xab, 0xcd, 0x63, 0xb8, 0xdd,
		0x00, 0x4d, 0x04, 0xe8, 0x07, 0x80, 0xf0, 0xbc, 0xc3, 0xbe, 0xc4, 0x82, 0x03, 0x00, 0x02, 0x04,
		0x01, 0x0a, 0x00, 0x02, 0x03, 0x01, 0x01, 0x00, 0x1c, 0x01, 0x40, 0x02, 0x01, 0x00, 0x24, 0x00,
		0x24, 0x00, 0x03, 0x01, 0x01, 0x00, 0x0a, 0x01, 0x93, 0x01, 0x01, 0x01, 0x03, 0x01, 0x01, 0x00,
		0x0a, 0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x40, 0x00, 0x65, 0x02, 0x00, 0xe4, 0x03, 0x00, 0x00, 0x01,
		0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x02, 0x64,
		0x66, 0x68, 0x6a, 0x6c, 0x6e, 0x70, 0x72, 0x74, 0x76, 0x78, 0x7a, 0x7c, 0x7e, 0x03, 0x96, 0x99,
		0x9c, 0x9f, 0xa2, 0xa5, 0xa8, 0xab, 0xae, 0xb1, 0xb4, 0xb7, 0xba, 0xbd, 0x04, 0xc8, 0xcc, 0xd0,
		0xd4, 0xd8, 0xdc, 0xe0, 0xe4, 0xe8, 0xec, 0xf0, 0xf4, 0xf8, 0xfc, 0x05, 0x10, 0x00, 0x46, 0xb5,
		0x51, 0x6d, 0x54, 0x8d, 0xc4, 0x24, 0x2c,
	};
	struct packet_block block;
	struct err err = { 0 };

	CHECK_EQ(packet_block_init(&block, 0), 0);
	CHECK_OK(packet_block_read_some(view_make(stored, sizeof(stored)), NULL, NULL, &block, &err), err);
	CHECK_U64(block.source, 9);
	CHECK_U64(block.count, 5);
	for (uint32_t i = 0; i < 5; i++) {
		struct packet_rec rec = packet_block_rec(&block, i);

		CHECK(rec.time_ns == HOUR * NS_PER_HOUR + 1000 * i && rec.number == 10 + i &&
		      rec.flow_id == (i < 2 ? 0 : 77) && rec.orig_len == 64 + i % 2 * 36 && rec.iface == i % 2 &&
		      rec.link == 147 && rec.segments == 1 && rec.dir == i % 2 && rec.frame.len == 64, "frame %u", i);
		for (uint32_t at = 0; at < 64; at++)
			CHECK_U64(rec.frame.at[at], (uint8_t)(at < 50 ? i : i * at));
	}
	packet_block_release(&block);
}
