/*
 * What every unit test starts from. TEST(module, name) is Criterion's Test with
 * a leak check behind it: Criterion 2.4.1 passes a test that leaks or that fails
 * in .fini. Each test runs in a process of its own, at the top of the tree.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#ifdef __SANITIZE_THREAD__
#include "tests/check_plain.h"
#else
#include <criterion/criterion.h>
#endif
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/view.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#else
static inline int __lsan_do_recoverable_leak_check(void)
{
	return 0;
}
#endif

/*
 * TEST(part, seal_refuses_late_rows) { ... }
 * Further arguments are Criterion's: TEST(queue, closes, .timeout = 5).
 */
#define TEST(module, name, ...)									\
	static void check_body_##module##_##name(void);						\
	Test(module, name, .fini = check_fini, ##__VA_ARGS__)					\
	{											\
		int64_t check_live_before = mem_live();						\
												\
		check_body_##module##_##name();							\
		mem_fail_nth(0);								\
		cr_assert(mem_live() == check_live_before, "the test leaks %" PRId64 " blocks",	\
			  mem_live() - check_live_before);					\
		cr_assert(__lsan_do_recoverable_leak_check() == 0, "the test leaks, see above");	\
	}											\
	static void check_body_##module##_##name(void)

#define CHECK(...)		cr_assert(__VA_ARGS__)
#define CHECK_NOT(...)		cr_assert_not(__VA_ARGS__)
#define CHECK_NULL(...)		cr_assert_null(__VA_ARGS__)
#define CHECK_EQ(...)		cr_assert_eq(__VA_ARGS__)
#define CHECK_NE(...)		cr_assert_neq(__VA_ARGS__)
#define CHECK_LT(...)		cr_assert_lt(__VA_ARGS__)
#define CHECK_LE(...)		cr_assert_leq(__VA_ARGS__)
#define CHECK_GT(...)		cr_assert_gt(__VA_ARGS__)
#define CHECK_GE(...)		cr_assert_geq(__VA_ARGS__)
#define CHECK_STR(...)		cr_assert_str_eq(__VA_ARGS__)
#define CHECK_FLOAT(...)	cr_assert_float_eq(__VA_ARGS__)
#define SKIP(...)		cr_skip_test(__VA_ARGS__)

/* The two numbers are in the message. */
#define CHECK_U64(got, want)									\
	do {											\
		uint64_t check_got = (uint64_t)(got), check_want = (uint64_t)(want);		\
												\
		cr_assert(check_got == check_want, "%s is %" PRIu64 ", not %" PRIu64, #got,	\
			  check_got, check_want);						\
	} while (0)
#define CHECK_I64(got, want)									\
	do {											\
		int64_t check_got = (int64_t)(got), check_want = (int64_t)(want);		\
												\
		cr_assert(check_got == check_want, "%s is %" PRId64 ", not %" PRId64, #got,	\
			  check_got, check_want);						\
	} while (0)
/* A view against a C string. */
#define CHECK_VIEW(got, want)									\
	do {											\
		struct view check_got = (got);							\
												\
		cr_assert(view_is(check_got, want), "%s is '%.*s', not '%s'", #got,		\
			  (int)check_got.len, check_got.at ? (const char *)check_got.at : "",	\
			  want);								\
	} while (0)
/* rc is good; the words of err are in the message. err is a struct err, not a pointer. */
#define CHECK_OK(rc, err)									\
	do {											\
		int check_rc = (rc);								\
												\
		cr_assert(check_rc >= 0, "%s: %s: %s", #rc, err_name(check_rc), (err).text);	\
	} while (0)
#define CHECK_RC(rc, want)									\
	do {											\
		int check_rc = (rc);								\
												\
		cr_assert(check_rc == (want), "%s is %s (%d), not %s", #rc,			\
			  check_rc < 0 ? err_name(check_rc) : "good", check_rc, #want);		\
	} while (0)

/* ---- captures ---- */

/* The folder of real captures: $CAPTURES, or ../shared/captures; NULL when there is none. */
static inline const char *check_captures(void)
{
	const char *folder = getenv("CAPTURES");

	if (!folder || !*folder)
		folder = "../shared/captures";
	return access(folder, R_OK | X_OK) == 0 ? folder : NULL;
}

/* The same, for a test that is nothing without them: skips it, and says so. */
static inline const char *check_need_captures(void)
{
	const char *folder = check_captures();

	if (!folder)
		SKIP("no captures: set CAPTURES to their folder");
	return folder;
}

/* ---- temporary folders ---- */

#define CHECK_TMPDIRS_MAX 8
static char check_tmpdirs[CHECK_TMPDIRS_MAX][512];
static unsigned check_tmpdir_count;

static inline int check_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static inline void check_rmtree(const char *path)
{
	(void)nftw(path, check_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* A new folder under $TMPDIR, removed after the test, also after one that fails. */
static inline const char *check_tmpdir(void)
{
	const char *top = getenv("TMPDIR");
	char *dir = check_tmpdirs[check_tmpdir_count];

	cr_assert(check_tmpdir_count < CHECK_TMPDIRS_MAX, "at most %d folders", CHECK_TMPDIRS_MAX);
	(void)snprintf(dir, sizeof(check_tmpdirs[0]), "%s/tapedeck-test-XXXXXX",
		       top && *top ? top : "/tmp");
	cr_assert(mkdtemp(dir) != NULL, "cannot make %s", dir);
	check_tmpdir_count++;
	return dir;
}

/* Runs in Criterion's .fini. A test that crashes leaves its folders behind. */
static inline void check_fini(void)
{
	while (check_tmpdir_count)
		check_rmtree(check_tmpdirs[--check_tmpdir_count]);
}

#endif
