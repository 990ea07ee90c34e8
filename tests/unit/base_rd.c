#include "base/rd.h"

#include "base/wr.h"
#include "tests/check.h"

#define RD(s) rd_make(VIEW_LIT(s))

TEST(rd, reads_each_width_in_its_order)
{
	struct rd rd = RD("\x01" "\x01\x02" "\x01\x02" "\x01\x02\x03" "\x01\x02\x03\x04" "\x01\x02\x03\x04"
			  "\x01\x02\x03\x04\x05\x06\x07\x08" "\x01\x02\x03\x04\x05\x06\x07\x08");

	CHECK_U64(rd_u8(&rd), 1);
	CHECK_U64(rd_u16le(&rd), 0x0201);
	CHECK_U64(rd_u16be(&rd), 0x0102);
	CHECK_U64(rd_u24be(&rd), 0x010203);
	CHECK_U64(rd_u32le(&rd), 0x04030201);
	CHECK_U64(rd_u32be(&rd), 0x01020304);
	CHECK_U64(rd_u64le(&rd), 0x0807060504030201);
	CHECK_U64(rd_u64be(&rd), 0x0102030405060708);
	CHECK(!rd.bad && rd_left(&rd) == 0);
}

TEST(rd, first_failure_sticks_and_moves_nothing)
{
	struct rd rd = RD("\x01\x02\x03");

	CHECK_U64(rd_u32le(&rd), 0);
	CHECK(rd.bad && rd_pos(&rd) == 0);
	CHECK_U64(rd_u8(&rd), 0);	/* there is a byte, but the cursor is bad */
	CHECK_U64(rd_varint(&rd), 0);
	CHECK_U64(rd_bytes(&rd, 1).len, 0);
	CHECK_U64(rd_rest(&rd).len, 0);
	rd_skip(&rd, 1);
	CHECK(rd.bad && rd_pos(&rd) == 0);
}

TEST(rd, empty_input_has_nothing)
{
	struct rd rd = rd_make(view_make(NULL, 0));

	CHECK_U64(rd_bytes(&rd, 0).len, 0);
	rd_skip(&rd, 0);
	CHECK(!rd.bad);
	CHECK_U64(rd_varint(&rd), 0);
	CHECK(rd.bad);
}

TEST(rd, lying_lengths_are_refused)
{
	struct rd rd;

	rd = RD("abc");
	CHECK_NULL(rd_bytes(&rd, 4).at);
	CHECK(rd.bad);
	rd = RD("abc");
	(void)rd_bytes(&rd, SIZE_MAX);
	CHECK(rd.bad);
	rd = RD("abc");
	rd_skip(&rd, SIZE_MAX);
	CHECK(rd.bad && rd_pos(&rd) == 0);
	rd = RD("\x05" "abcd");
	CHECK_U64(rd_vbytes(&rd).len, 0);
	CHECK(rd.bad && rd_pos(&rd) == 0);
	/* 2^64 - 1 bytes */
	rd = RD("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" "abc");
	CHECK_U64(rd_vbytes(&rd).len, 0);
	CHECK(rd.bad && rd_pos(&rd) == 0);
	rd = RD("\x03" "abcd");
	CHECK_VIEW(rd_vbytes(&rd), "abc");
	CHECK_VIEW(rd_rest(&rd), "d");
}

TEST(rd, varint_ends_at_64_bits)
{
	struct rd rd;

	rd = RD("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
	CHECK_U64(rd_varint(&rd), UINT64_MAX);
	CHECK(!rd.bad);
	rd = RD("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");	/* bit 64 */
	CHECK_U64(rd_varint(&rd), 0);
	CHECK(rd.bad && rd_pos(&rd) == 0);
	rd = RD("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00");	/* eleven bytes */
	(void)rd_varint(&rd);
	CHECK(rd.bad);
	rd = RD("\x80\x80");	/* cut short */
	(void)rd_varint(&rd);
	CHECK(rd.bad && rd_pos(&rd) == 0);
}

TEST(rd, gives_back_what_wr_wrote)
{
	static const uint64_t values[] = { 0, 1, 127, 128, 16383, 16384, 1ull << 32, 1ull << 63, UINT64_MAX };
	static const int64_t signed_values[] = { 0, -1, 1, -64, 64, INT32_MIN, INT64_MIN, INT64_MAX };
	struct wr wr;
	struct rd rd;

	wr_init(&wr, 0);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		wr_varint(&wr, values[i]);
	for (size_t i = 0; i < sizeof(signed_values) / sizeof(signed_values[0]); i++)
		wr_svarint(&wr, signed_values[i]);
	wr_vbytes(&wr, VIEW_LIT("tape"));
	CHECK(!wr.bad);
	rd = rd_make(wr_view(&wr));
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		CHECK_U64(rd_varint(&rd), values[i]);
	for (size_t i = 0; i < sizeof(signed_values) / sizeof(signed_values[0]); i++)
		CHECK_I64(rd_svarint(&rd), signed_values[i]);
	CHECK_VIEW(rd_vbytes(&rd), "tape");
	CHECK(!rd.bad && rd_left(&rd) == 0);
	wr_release(&wr);
}
