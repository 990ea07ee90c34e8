#include "base/view.h"

#include "tests/check.h"

TEST(view, order_is_memcmp_then_length)
{
	CHECK(view_cmp(VIEW_LIT("a"), VIEW_LIT("b")) < 0);
	CHECK(view_cmp(VIEW_LIT("a"), VIEW_LIT("ab")) < 0);
	CHECK(view_cmp(VIEW_LIT("ab"), VIEW_LIT("a")) > 0);
	CHECK(view_cmp(VIEW_LIT("\xff"), VIEW_LIT("a")) > 0);
	CHECK(view_cmp(view_make(NULL, 0), VIEW_LIT("")) == 0);
	CHECK(view_cmp(view_make(NULL, 0), VIEW_LIT("a")) < 0);
}

TEST(view, case_folding_is_ascii_and_sees_nul)
{
	CHECK(view_ieq(VIEW_LIT("Content-LENGTH"), "content-length"));
	CHECK_NOT(view_ieq(VIEW_LIT("content"), "content-length"));
	CHECK_NOT(view_ieq(view_make("a\0b", 3), "a"));
	CHECK_NOT(view_ieq(VIEW_LIT("["), "{"));
	CHECK(view_istarts(VIEW_LIT("GET / HTTP"), "get "));
	CHECK_NOT(view_istarts(VIEW_LIT("GE"), "get"));
	CHECK(view_starts(VIEW_LIT("abc"), "ab"));
	CHECK(view_starts(view_make(NULL, 0), ""));
	CHECK_NOT(view_starts(VIEW_LIT("a"), "ab"));
}

TEST(view, find_and_sub_stay_inside)
{
	CHECK_I64(view_find(VIEW_LIT("a\r\n\r\nb"), VIEW_LIT("\r\n\r\n")), 1);
	CHECK_I64(view_find(VIEW_LIT("abc"), VIEW_LIT("abcd")), -1);
	CHECK_I64(view_find(view_make(NULL, 0), VIEW_LIT("a")), -1);
	CHECK_I64(view_find(VIEW_LIT("abc"), VIEW_LIT("")), 0);
	CHECK_VIEW(view_sub(VIEW_LIT("abcdef"), 2, 3), "cde");
	CHECK_VIEW(view_sub(VIEW_LIT("abcdef"), 4, SIZE_MAX), "ef");
	CHECK_VIEW(view_sub(VIEW_LIT("abc"), SIZE_MAX, 1), "");
	CHECK_VIEW(view_trim(VIEW_LIT(" \ta b\t ")), "a b");
	CHECK_VIEW(view_trim(VIEW_LIT(" \t ")), "");
}

TEST(view, u64_takes_digits_alone)
{
	uint64_t value = 5;

	CHECK_RC(view_u64(VIEW_LIT("18446744073709551615"), UINT64_MAX, &value), 0);
	CHECK_U64(value, UINT64_MAX);
	CHECK_RC(view_u64(VIEW_LIT("007"), 10, &value), 0);
	CHECK_U64(value, 7);
	CHECK_RC(view_u64(VIEW_LIT("18446744073709551616"), UINT64_MAX, &value), E_RANGE);
	CHECK_RC(view_u64(VIEW_LIT("99999999999999999999999999"), UINT64_MAX, &value), E_RANGE);
	CHECK_RC(view_u64(VIEW_LIT("65536"), 65535, &value), E_RANGE);
	CHECK_RC(view_u64(VIEW_LIT(""), 10, &value), E_FORMAT);
	CHECK_RC(view_u64(VIEW_LIT("-1"), 10, &value), E_FORMAT);
	CHECK_RC(view_u64(VIEW_LIT("+1"), 10, &value), E_FORMAT);
	CHECK_RC(view_u64(VIEW_LIT("1 "), 10, &value), E_FORMAT);
	CHECK_RC(view_u64(VIEW_LIT("0x1"), 10, &value), E_FORMAT);
	CHECK_U64(value, 7);	/* untouched by failures */
}
