/*
 * The part of Criterion that our tests use, for MODE=tsan alone: Criterion
 * 2.4.1 maps an arena at an address that ThreadSanitizer keeps for itself, and
 * cannot run under it. check_plain.c runs each test in a forked child.
 */
#ifndef TESTS_CHECK_PLAIN_H
#define TESTS_CHECK_PLAIN_H

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

struct check_options {
	void (*init)(void);
	void (*fini)(void);
	double timeout;		/* seconds, 0 = the runner's */
	bool disabled;
	int signal;		/* the test must end by this signal */
	int exit_code;
	const char *description;
};

struct check_test {
	const char *module;
	const char *name;
	void (*body)(void);
	struct check_options options;
};

#define Test(test_module, test_name, ...)							\
	static void test_module##_##test_name##_impl(void);					\
	static const struct check_test check_test_##test_module##_##test_name = {		\
		#test_module, #test_name, test_module##_##test_name##_impl, { __VA_ARGS__ }	\
	};											\
	static const struct check_test *const check_entry_##test_module##_##test_name		\
		__attribute__((used, section("check_tests"))) =					\
		&check_test_##test_module##_##test_name;					\
	static void test_module##_##test_name##_impl(void)

/* Both end the test. */
void check_failed(const char *file, int line, const char *what, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 4, 5)));
void check_skipped(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define CHECK_PLAIN(good, what, ...)								\
	do {											\
		if (!(good))									\
			check_failed(__FILE__, __LINE__, what, " " __VA_ARGS__);		\
	} while (0)

#define cr_skip_test(...)		check_skipped(" " __VA_ARGS__)
#define cr_fail(...)			CHECK_PLAIN(false, "fail", ##__VA_ARGS__)
#define cr_assert_fail(...)		CHECK_PLAIN(false, "fail", ##__VA_ARGS__)
#define cr_assert(good, ...)		CHECK_PLAIN(good, #good, ##__VA_ARGS__)
#define cr_expect(good, ...)		CHECK_PLAIN(good, #good, ##__VA_ARGS__)
#define cr_assert_not(bad, ...)		CHECK_PLAIN(!(bad), "not " #bad, ##__VA_ARGS__)
#define cr_assert_null(p, ...)		CHECK_PLAIN(!(p), #p " is NULL", ##__VA_ARGS__)
#define cr_assert_not_null(p, ...)	CHECK_PLAIN(p, #p " is not NULL", ##__VA_ARGS__)
#define cr_assert_eq(a, b, ...)		CHECK_PLAIN((a) == (b), #a " == " #b, ##__VA_ARGS__)
#define cr_assert_neq(a, b, ...)	CHECK_PLAIN((a) != (b), #a " != " #b, ##__VA_ARGS__)
#define cr_assert_lt(a, b, ...)		CHECK_PLAIN((a) < (b), #a " < " #b, ##__VA_ARGS__)
#define cr_assert_leq(a, b, ...)	CHECK_PLAIN((a) <= (b), #a " <= " #b, ##__VA_ARGS__)
#define cr_assert_gt(a, b, ...)		CHECK_PLAIN((a) > (b), #a " > " #b, ##__VA_ARGS__)
#define cr_assert_geq(a, b, ...)	CHECK_PLAIN((a) >= (b), #a " >= " #b, ##__VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)	CHECK_PLAIN(strcmp(a, b) == 0, #a " is " #b, ##__VA_ARGS__)
#define cr_assert_str_neq(a, b, ...)	CHECK_PLAIN(strcmp(a, b) != 0, #a " is not " #b, ##__VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...)	CHECK_PLAIN(memcmp(a, b, n) == 0, #a " is " #b, ##__VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...) \
	CHECK_PLAIN(fabs((double)((a) - (b))) <= (double)(e), #a " is about " #b, ##__VA_ARGS__)

#endif
