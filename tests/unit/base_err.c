#include "base/err.h"

#include <errno.h>
#include <string.h>

#include "tests/check.h"

TEST(err, first_failure_is_kept)
{
	struct err err = { 0 };

	CHECK_RC(err_set(&err, E_CORRUPT, "segment %d: %d of %d bytes", 17, 40, 64), E_CORRUPT);
	CHECK_RC(err_set(&err, E_IO, "later"), E_IO);
	CHECK_RC(err_errno(&err, ENOSPC, "later"), E_NO_SPACE);
	CHECK_RC(err.code, E_CORRUPT);
	CHECK_STR(err.text, "segment 17: 40 of 64 bytes");
	err_clear(&err);
	CHECK(err.code == 0 && err.text[0] == '\0');
	CHECK_RC(err_set(NULL, E_RANGE, "nobody listens"), E_RANGE);
}

TEST(err, errno_chooses_the_code)
{
	static const struct { int errno_value, code; } cases[] = {
		{ ENOSPC, E_NO_SPACE }, { EACCES, E_PERMISSION }, { EPERM, E_PERMISSION },
		{ ENOENT, E_NOT_FOUND }, { ENOMEM, E_NO_MEMORY }, { EIO, E_IO }, { EPIPE, E_IO },
	};
	struct err err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err_clear(&err);
		CHECK_RC(err_errno(&err, cases[i].errno_value, "open %s", "a"), cases[i].code);
		CHECK_RC(err_errno(NULL, cases[i].errno_value, "open"), cases[i].code);
	}
	err_clear(&err);
	(void)err_errno(&err, ENOENT, "open %s", "x.mdb");
	CHECK_STR(err.text, "open x.mdb: No such file or directory");
}

TEST(err, prefix_goes_before_and_never_overflows)
{
	struct err err = { 0 };

	CHECK_RC(err_prefix(NULL, "x"), E_INTERNAL);
	(void)err_set(&err, E_CORRUPT, "bad magic");
	CHECK_RC(err_prefix(&err, "segment %d", 3), E_CORRUPT);
	CHECK_STR(err.text, "segment 3: bad magic");
	for (int i = 0; i < 1000; i++)
		(void)err_prefix(&err, "level %0100d", i);
	CHECK(strlen(err.text) == sizeof(err.text) - 1);
	CHECK(strncmp(err.text, "level 0", 7) == 0);
}

TEST(err, long_text_is_cut)
{
	struct err err = { 0 };

	(void)err_errno(&err, EIO, "%02000d", 1);
	CHECK(strlen(err.text) == sizeof(err.text) - 1);
}

TEST(err, table_knows_names_and_http)
{
	CHECK_STR(err_name(E_NOT_FOUND), "E_NOT_FOUND");
	CHECK_STR(err_text(E_NO_MEMORY), "out of memory");
	CHECK_I64(err_http(E_BUDGET), 422);
	CHECK_STR(err_name(-9999), "E_UNKNOWN");
	CHECK_STR(err_text(0), "unknown error");
	CHECK_I64(err_http(-9999), 500);
}
