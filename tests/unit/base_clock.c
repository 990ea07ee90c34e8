#include "base/clock.h"

#include "tests/check.h"

#define SEC NS_PER_SEC
#define NOW (1795341731ull * SEC)	/* 2026-11-22T10:02:11Z */

TEST(clock, reads_what_users_write)
{
	static const struct { const char *text; uint64_t ns; } cases[] = {
		{ "2026-11-22T10:02:11Z", NOW },
		{ "2026-11-22T10:02:11z", NOW },
		{ "2026-11-22t10:02:11.000000001Z", NOW + 1 },
		{ "2026-11-22T10:02:11.5Z", NOW + SEC / 2 },
		{ "2026-11-22T10:02:11.1234567899Z", NOW + 123456789 },
		{ "2026-11-22T12:02:11+02:00", NOW },
		{ "2026-11-22T04:32:11-05:30", NOW },
		{ "2026-11-22T12:02:11+0200", NOW },
		{ "2026-11-22 10:02:11", NOW },
		{ "  2026-11-22 10:02:11\t", NOW },
		{ "2026-11-22 10:02", NOW - 11 * SEC },
		{ "2026-11-22 10", NOW - 131 * SEC },
		{ "2026-11-22", NOW / NS_PER_DAY * NS_PER_DAY },
		{ "2024-02-29", 1709164800ull * SEC },
		{ "2000-02-29", 951782400ull * SEC },
		{ "2016-12-31T23:59:60Z", 1483228800ull * SEC },
		{ "1970-01-01", 0 },
		{ "1969-12-31T23:00-01:00", 0 },
		{ "2554-07-21T23:34:33.709551615Z", UINT64_MAX },
		{ "0", 0 },
		{ "1795341731", NOW },
		{ "1795341731.25", NOW + SEC / 4 },
		{ "1795341731000", NOW },
		{ "1795341731000.5", NOW + 500000 },
		{ "1795341731000000", NOW },
		{ "1795341731000000000", NOW },
		{ "1795341731000000007", NOW + 7 },
		{ "@1795341731", NOW },
		{ "@1795341731.1", NOW + SEC / 10 },
		{ "now", NOW },
		{ "NOW", NOW },
		{ "now-15m", NOW - 15 * NS_PER_MIN },
		{ "now - 15m", NOW - 15 * NS_PER_MIN },
		{ "now+1h", NOW + NS_PER_HOUR },
		{ "-15m", NOW - 15 * NS_PER_MIN },
		{ "15m", NOW - 15 * NS_PER_MIN },
		{ "1h30m", NOW - 90 * NS_PER_MIN },
		{ "-100y", 0 },		/* before 1970 is 1970 */
		{ "today", NOW / NS_PER_DAY * NS_PER_DAY },
		{ "yesterday", (NOW / NS_PER_DAY - 1) * NS_PER_DAY },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };
		uint64_t ns = 1;
		int rc = clock_parse(view_str(cases[i].text), NOW, &ns, &err);

		CHECK(rc == 0 && ns == cases[i].ns, "'%s': rc %d, %" PRIu64 ", not %" PRIu64 ": %s",
		      cases[i].text, rc, ns, cases[i].ns, err.text);
	}
}

TEST(clock, refuses_what_is_none)
{
	static const struct { const char *text; int code; } cases[] = {
		{ "", E_FORMAT }, { "  ", E_FORMAT }, { "soon", E_FORMAT }, { "nowish", E_FORMAT },
		{ "now-", E_FORMAT }, { "now-15", E_FORMAT }, { "-", E_FORMAT }, { "-15", E_FORMAT },
		{ "--15m", E_FORMAT }, { "2026-13-01", E_FORMAT }, { "2026-00-01", E_FORMAT },
		{ "2026-02-29", E_FORMAT }, { "1900-02-29", E_FORMAT }, { "2026-04-31", E_FORMAT },
		{ "2026-01-00", E_FORMAT }, { "2026-1-1", E_FORMAT }, { "2026-01-01T", E_FORMAT },
		{ "2026-01-01T24:00:00Z", E_FORMAT }, { "2026-01-01T10:60:00Z", E_FORMAT },
		{ "2026-01-01T10:00:61Z", E_FORMAT }, { "2026-01-01T10:00:00.Z", E_FORMAT },
		{ "2026-01-01T10:00:00+2", E_FORMAT }, { "2026-01-01T10:00:00+25:00", E_FORMAT },
		{ "2026-01-01T10:00:00Zx", E_FORMAT }, { "2026-01-01T10:00:00 CET", E_FORMAT },
		{ "2026-01-01Tnoon", E_FORMAT }, { "0000-01-01", E_FORMAT }, { "1.2.3", E_FORMAT },
		{ ".5", E_FORMAT }, { "1.", E_FORMAT }, { "@", E_FORMAT }, { "@now", E_FORMAT }, { "1e9", E_FORMAT },
		{ "1969-12-31", E_RANGE }, { "1970-01-01T00:00:00+01:00", E_RANGE },
		{ "2554-07-21T23:34:33.709551616Z", E_RANGE }, { "9999-12-31", E_RANGE },
		{ "99999999999", E_RANGE }, { "99999999999999999999", E_RANGE }, { "now+584y", E_RANGE },
		{ "now-585y", E_RANGE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };
		uint64_t ns = 1;
		int rc = clock_parse(view_str(cases[i].text), NOW, &ns, &err);

		CHECK(rc == cases[i].code, "'%s': rc %d (%s) %" PRIu64, cases[i].text, rc, err.text, ns);
		CHECK(ns == 1 && err.code == rc && err.text[0], "'%s'", cases[i].text);
	}
}

TEST(clock, reads_durations)
{
	static const struct { const char *text; uint64_t ns; } cases[] = {
		{ "250ms", 250 * NS_PER_MS }, { "1h30m", 90 * NS_PER_MIN }, { "1.5s", 1500 * NS_PER_MS },
		{ "2d", 2 * NS_PER_DAY }, { "3w", 21 * NS_PER_DAY }, { "10us", 10000 }, { "10\xc2\xb5s", 10000 },
		{ "5ns", 5 }, { "0s", 0 }, { "0.5ns", 0 }, { "1y", 365 * NS_PER_DAY }, { "1m1m", 2 * NS_PER_MIN },
		{ "18446744073709551615ns", UINT64_MAX },
	};
	static const struct { const char *text; int code; } bad[] = {
		{ "", E_FORMAT }, { "15", E_FORMAT }, { "0", E_FORMAT }, { "m", E_FORMAT }, { "1.m", E_FORMAT },
		{ "-1s", E_FORMAT }, { "1 s", E_FORMAT }, { "1S", E_FORMAT }, { "1s ", E_FORMAT }, { "1h30", E_FORMAT },
		{ "18446744073709551616ns", E_RANGE }, { "585y", E_RANGE }, { "584y584y", E_RANGE },
		{ "99999999999999999999999s", E_RANGE },
	};
	uint64_t ns;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_RC(clock_parse_duration(view_str(cases[i].text), &ns, NULL), 0);
		CHECK(ns == cases[i].ns, "'%s': %" PRIu64, cases[i].text, ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc;

		ns = 1;
		rc = clock_parse_duration(view_str(bad[i].text), &ns, NULL);
		CHECK(rc == bad[i].code && ns == 1, "'%s': %d", bad[i].text, rc);
	}
}

TEST(clock, writes_instants_that_read_back)
{
	static const struct { uint64_t ns; const char *text; } cases[] = {
		{ 0, "1970-01-01T00:00:00.000000000Z" }, { NOW + 1, "2026-11-22T10:02:11.000000001Z" },
		{ 1709164800ull * SEC, "2024-02-29T00:00:00.000000000Z" },
		{ 1735689599ull * SEC, "2024-12-31T23:59:59.000000000Z" },
		{ UINT64_MAX, "2554-07-21T23:34:33.709551615Z" },
	};
	char text[CLOCK_TEXT_LEN];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		clock_format(cases[i].ns, text);
		CHECK_STR(text, cases[i].text);
	}
	/* Every day there is. */
	for (uint64_t ns = 0; ns < UINT64_MAX - NS_PER_DAY; ns += NS_PER_DAY) {
		uint64_t back = 1;

		clock_format(ns, text);
		if (clock_parse(view_str(text), 0, &back, NULL) != 0 || back != ns)
			CHECK(false, "%s comes back as %" PRIu64, text, back);
	}
}

TEST(clock, writes_durations_for_people)
{
	static const struct { uint64_t ns; const char *text; } cases[] = {
		{ 0, "0ns" }, { 999, "999ns" }, { 1500, "1.5us" }, { 1250000, "1.25ms" }, { 250 * NS_PER_MS, "250ms" },
		{ 1500 * NS_PER_MS, "1.5s" }, { 200 * SEC, "3m20s" }, { 3 * NS_PER_HOUR + 5 * NS_PER_MIN, "3h5m" },
		{ 50 * NS_PER_HOUR, "2d2h" }, { 720 * NS_PER_HOUR, "30d" }, { 3 * NS_PER_HOUR, "3h" }, { 60 * SEC, "1m" },
	};
	char text[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		clock_format_duration(cases[i].ns, text, sizeof(text));
		CHECK_STR(text, cases[i].text);
	}
}

TEST(clock, tests_set_the_wall_clock)
{
	clock_set_ns(NOW);
	CHECK_U64(clock_now_ns(), NOW);
	clock_set_ns(0);
	CHECK(clock_now_ns() > 1700000000ull * SEC);
	CHECK(clock_mono_ns() <= clock_mono_ns());
}

TEST(clock, tells_how_long_a_thread_ran)
{
	struct thread_time before, after;
	volatile unsigned spin = 0;
	uint64_t end_ns = clock_mono_ns() + 10 * NS_PER_SEC;

	if (!clock_thread_time(&before))
		return;	/* a kernel without CONFIG_SCHED_INFO */
	do {
		for (int i = 0; i < 100000; i++)
			spin++;
		CHECK(clock_thread_time(&after));
	} while (after.ran_ns < before.ran_ns + NS_PER_MS && clock_mono_ns() < end_ns);
	CHECK_GE(after.ran_ns, before.ran_ns + NS_PER_MS);
	CHECK_GE(after.waited_ns, before.waited_ns);
}
