#include "base/distance.h"
#include "tests/check.h"

TEST(distance, counts_single_byte_edits)
{
	static const char longest[DISTANCE_BYTES_MAX + 1] = "";

	CHECK_U64(distance_edits(VIEW_LIT(""), VIEW_LIT("")), 0);
	CHECK_U64(distance_edits(VIEW_LIT("from"), VIEW_LIT("from")), 0);
	CHECK_U64(distance_edits(VIEW_LIT("frm"), VIEW_LIT("from")), 1);
	CHECK_U64(distance_edits(VIEW_LIT("kitten"), VIEW_LIT("sitting")), 3);
	CHECK_U64(distance_edits(VIEW_LIT(""), VIEW_LIT("abc")), 3);
	CHECK_U64(distance_edits(view_make(longest, DISTANCE_BYTES_MAX), VIEW_LIT("")), DISTANCE_BYTES_MAX);
	CHECK_U64(distance_edits(view_make(longest, DISTANCE_BYTES_MAX + 1), VIEW_LIT("")), SIZE_MAX);
	CHECK_U64(distance_edits(VIEW_LIT(""), view_make(longest, DISTANCE_BYTES_MAX + 1)), SIZE_MAX);
}
