#include "base/wr.h"

#include "tests/check.h"

TEST(wr, writes_each_width_in_its_order)
{
	struct wr wr;

	wr_init(&wr, 0);
	wr_u8(&wr, 0xff);
	wr_u16le(&wr, 0x0102);
	wr_u16be(&wr, 0x0102);
	wr_u32le(&wr, 0x01020304);
	wr_u32be(&wr, 0x01020304);
	wr_u64le(&wr, 1);
	wr_u64be(&wr, 1);
	CHECK(view_eq(wr_view(&wr), VIEW_LIT("\xff" "\x02\x01" "\x01\x02" "\x04\x03\x02\x01" "\x01\x02\x03\x04"
					     "\x01\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\x01")));
	wr_release(&wr);
}

TEST(wr, limit_is_exact_and_sticks_until_reset)
{
	struct wr wr;

	wr_init(&wr, 10);
	wr_str(&wr, "0123456789");
	CHECK(!wr.bad && wr.len == 10);
	wr_u8(&wr, 'x');
	CHECK(wr.bad);
	CHECK_VIEW(wr_view(&wr), "0123456789");
	CHECK_NULL(wr_space(&wr, 0));
	wr_reset(&wr);
	wr_printf(&wr, "%s", "abcdefghij");	/* the NUL does not count */
	CHECK(!wr.bad);
	CHECK_VIEW(wr_view(&wr), "abcdefghij");
	wr_reset(&wr);
	CHECK_NOT(wr_reserve(&wr, SIZE_MAX));
	CHECK(wr.bad);
	wr_release(&wr);
}

TEST(wr, failing_memory_keeps_what_was_written)
{
	static const char long_text[1000];
	struct wr wr;

	wr_init(&wr, 0);
	wr_str(&wr, "kept");
	mem_fail_nth(1);
	wr_bytes(&wr, view_make(long_text, sizeof(long_text)));
	CHECK(wr.bad);
	CHECK_VIEW(wr_view(&wr), "kept");
	wr_release(&wr);
}

TEST(wr, printf_longer_than_its_small_buffer)
{
	struct wr wr;

	wr_init(&wr, 0);
	wr_printf(&wr, "%0300d|", 7);
	wr_printf(&wr, "%d", 8);
	CHECK(!wr.bad);
	CHECK_U64(wr.len, 302);
	CHECK(wr.at[299] == '7' && wr.at[300] == '|' && wr.at[301] == '8');
	wr_release(&wr);
}

TEST(wr, patches_lengths_known_afterwards)
{
	struct wr wr;

	wr_init(&wr, 0);
	wr_u32le(&wr, 0);
	wr_u64le(&wr, 0);
	wr_patch_u32le(&wr, 0, 0x01020304);
	wr_patch_u64le(&wr, 4, 5);
	CHECK(view_eq(wr_view(&wr), VIEW_LIT("\x04\x03\x02\x01\x05\0\0\0\0\0\0\0")));
	wr_release(&wr);
}
