#include "base/clock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic uint64_t fixed_now_ns;	/* 0 = the system's */

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;
	int rc = clock_gettime(id, &ts);

	assert(rc == 0);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_now_ns(void)
{
	uint64_t fixed = atomic_load_explicit(&fixed_now_ns, memory_order_relaxed);

	return fixed ? fixed : read_clock(CLOCK_REALTIME);
}

uint64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_boot_ns(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

bool clock_thread_time(struct thread_time *ret_time)
{
	FILE *file = fopen("/proc/thread-self/schedstat", "re");
	unsigned long long ran, waited;
	bool told;

	if (!file)
		return false;
	told = fscanf(file, "%llu %llu", &ran, &waited) == 2;
	(void)fclose(file);
	if (told)
		*ret_time = (struct thread_time){ ran, waited };
	return told;
}

void clock_set_ns(uint64_t now_ns)
{
	atomic_store_explicit(&fixed_now_ns, now_ns, memory_order_relaxed);
}

/* ---- calendar: proleptic Gregorian, UTC, no leap seconds ---- */

static bool is_leap(unsigned year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days since 1970-01-01, negative before; year from 1. */
static int64_t days_of_date(unsigned year, unsigned month, unsigned day)
{
	int64_t past = (int64_t)year - 1;
	int64_t days = past * 365 + past / 4 - past / 100 + past / 400 - 719162;

	for (unsigned m = 1; m < month; m++)
		days += days_in_month(year, m);
	return days + day - 1;
}

static void date_of_days(int64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	unsigned year = 1970 + (unsigned)(days / 366), month = 1;

	while (days_of_date(year + 1, 1, 1) <= days)
		year++;
	days -= days_of_date(year, 1, 1);
	while (days >= (int64_t)days_in_month(year, month))
		days -= days_in_month(year, month++);
	*ret_year = year;
	*ret_month = month;
	*ret_day = (unsigned)days + 1;
}

/* ---- reading ---- */

struct scan {
	const uint8_t *at;
	const uint8_t *end;
};

static bool scan_char(struct scan *scan, char c)
{
	if (scan->at == scan->end || *scan->at != (uint8_t)c)
		return false;
	scan->at++;
	return true;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Exactly count digits. */
static bool scan_digits(struct scan *scan, unsigned count, unsigned *ret_value)
{
	unsigned value = 0;

	if ((size_t)(scan->end - scan->at) < count)
		return false;
	for (unsigned i = 0; i < count; i++) {
		if (!is_digit(scan->at[i]))
			return false;
		value = value * 10 + (scan->at[i] - '0');
	}
	scan->at += count;
	*ret_value = value;
	return true;
}

/* A decimal number with an optional fraction, in units of 1e-9; digits beyond that are dropped. */
struct decimal {
	uint64_t whole;
	uint64_t nano;
	bool over;	/* whole does not fit */
};

static bool scan_fraction(struct scan *scan, uint64_t *ret_nano)
{
	uint64_t nano = 0, weight = NS_PER_SEC / 10;

	if (scan->at == scan->end || !is_digit(*scan->at))
		return false;
	while (scan->at < scan->end && is_digit(*scan->at)) {
		nano += (uint64_t)(*scan->at++ - '0') * weight;
		weight /= 10;
	}
	*ret_nano = nano;
	return true;
}

static bool scan_decimal(struct scan *scan, struct decimal *ret)
{
	struct decimal d = { 0 };

	if (scan->at == scan->end || !is_digit(*scan->at))
		return false;
	while (scan->at < scan->end && is_digit(*scan->at)) {
		d.over |= __builtin_mul_overflow(d.whole, 10, &d.whole);
		d.over |= __builtin_add_overflow(d.whole, (uint64_t)(*scan->at++ - '0'), &d.whole);
	}
	if (scan_char(scan, '.') && !scan_fraction(scan, &d.nano))
		return false;
	*ret = d;
	return true;
}

/* value * unit_ns, or E_RANGE */
static int decimal_ns(const struct decimal *d, uint64_t unit_ns, uint64_t *ret_ns)
{
	uint64_t ns, part = (uint64_t)((__uint128_t)d->nano * unit_ns / NS_PER_SEC);

	if (d->over || __builtin_mul_overflow(d->whole, unit_ns, &ns) ||
	    __builtin_add_overflow(ns, part, &ns))
		return E_RANGE;
	*ret_ns = ns;
	return 0;
}

static bool scan_unit(struct scan *scan, uint64_t *ret_ns)
{
	static const struct { const char *name; uint64_t ns; } units[] = {
		{ "ns", 1 }, { "us", NS_PER_US }, { "\xc2\xb5s", NS_PER_US }, { "\xce\xbcs", NS_PER_US },
		{ "ms", NS_PER_MS }, { "s", NS_PER_SEC }, { "m", NS_PER_MIN }, { "h", NS_PER_HOUR },
		{ "d", NS_PER_DAY }, { "w", 7 * NS_PER_DAY }, { "y", 365 * NS_PER_DAY },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct view rest = view_make(scan->at, (size_t)(scan->end - scan->at));

		if (view_starts(rest, units[i].name)) {
			scan->at += strlen(units[i].name);
			*ret_ns = units[i].ns;
			return true;
		}
	}
	return false;
}

int clock_parse_duration(struct view text, uint64_t *ret_ns, struct err *err)
{
	struct scan scan = { text.at, text.at + text.len };
	uint64_t sum_ns = 0;

	if (text.len == 0)
		return err_set(err, E_FORMAT, "empty duration: write for example 250ms, 1h30m or 2d");
	while (scan.at < scan.end) {
		uint64_t unit_ns, part_ns;
		struct decimal d;

		if (!scan_decimal(&scan, &d))
			return err_set(err, E_FORMAT, "duration '%.*s': a number is missing at byte %td",
				       (int)text.len, (const char *)text.at, scan.at - text.at);
		if (!scan_unit(&scan, &unit_ns))
			return err_set(err, E_FORMAT, "duration '%.*s': a unit is missing at byte %td "
				       "(ns, us, ms, s, m, h, d, w, y)",
				       (int)text.len, (const char *)text.at, scan.at - text.at);
		if (decimal_ns(&d, unit_ns, &part_ns) < 0 ||
		    __builtin_add_overflow(sum_ns, part_ns, &sum_ns))
			return err_set(err, E_RANGE, "duration '%.*s' is longer than 584 years",
				       (int)text.len, (const char *)text.at);
	}
	*ret_ns = sum_ns;
	return 0;
}

struct civil {
	unsigned year, month, day, hour, minute, second;
	uint64_t nano;
	int64_t offset_s;	/* east of UTC */
};

static const char *civil_wrong(const struct civil *c)
{
	if (c->year < 1)
		return "there is no year 0";
	if (c->month < 1 || c->month > 12)
		return "there is no such month";
	if (c->day < 1 || c->day > days_in_month(c->year, c->month))
		return "the month has no such day";
	if (c->hour > 23)
		return "the hour is beyond 23";
	if (c->minute > 59)
		return "the minute is beyond 59";
	if (c->second > 60)	/* 60 is a leap second: the next minute begins */
		return "the second is beyond 60";
	return NULL;
}

/* Z, +hh:mm, -hhmm, or nothing, which is UTC. NULL when good. */
static const char *scan_offset(struct scan *scan, int64_t *ret_offset_s)
{
	unsigned hours, minutes;
	bool east;

	*ret_offset_s = 0;
	if (scan->at == scan->end || scan_char(scan, 'Z') || scan_char(scan, 'z'))
		return NULL;
	east = scan_char(scan, '+');
	if (!east && !scan_char(scan, '-'))
		return "after the time comes Z, an offset such as +02:00, or nothing";
	if (!scan_digits(scan, 2, &hours))
		return "the offset is written +hh:mm";
	(void)scan_char(scan, ':');
	if (!scan_digits(scan, 2, &minutes) || hours > 23 || minutes > 59)
		return "the offset is written +hh:mm";
	*ret_offset_s = (int64_t)(hours * 3600 + minutes * 60) * (east ? 1 : -1);
	return NULL;
}

/* HH[:MM[:SS[.frac]]] */
static const char *scan_time(struct scan *scan, struct civil *c)
{
	if (!scan_digits(scan, 2, &c->hour))
		return "the time is written hh:mm:ss";
	if (!scan_char(scan, ':'))
		return NULL;
	if (!scan_digits(scan, 2, &c->minute))
		return "the minutes are two digits";
	if (!scan_char(scan, ':'))
		return NULL;
	if (!scan_digits(scan, 2, &c->second))
		return "the seconds are two digits";
	if (scan_char(scan, '.') && !scan_fraction(scan, &c->nano))
		return "digits are missing after the point";
	return NULL;
}

static int parse_civil(struct view text, uint64_t *ret_ns, struct err *err)
{
	struct scan scan = { text.at, text.at + text.len };
	struct civil c = { 0 };
	const char *wrong = NULL;
	int64_t seconds;
	uint64_t ns;

	if (!scan_digits(&scan, 4, &c.year) || !scan_char(&scan, '-') ||
	    !scan_digits(&scan, 2, &c.month) || !scan_char(&scan, '-') ||
	    !scan_digits(&scan, 2, &c.day))
		wrong = "a date is written yyyy-mm-dd";
	if (!wrong && scan.at < scan.end) {
		if (scan_char(&scan, 'T') || scan_char(&scan, 't') || scan_char(&scan, ' '))
			wrong = scan_time(&scan, &c);
		if (!wrong)
			wrong = scan_offset(&scan, &c.offset_s);
		if (!wrong && scan.at < scan.end)
			wrong = "there is more behind it";
	}
	if (!wrong)
		wrong = civil_wrong(&c);
	if (wrong)
		return err_set(err, E_FORMAT, "time '%.*s': %s", (int)text.len,
			       (const char *)text.at, wrong);
	seconds = days_of_date(c.year, c.month, c.day) * 86400 + c.hour * 3600 + c.minute * 60 +
		  c.second - c.offset_s;
	if (seconds < 0 || __builtin_mul_overflow((uint64_t)seconds, NS_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, c.nano, &ns))
		return err_set(err, E_RANGE, "time '%.*s' is not between 1970 and 2554",
			       (int)text.len, (const char *)text.at);
	*ret_ns = ns;
	return 0;
}

/* Seconds, ms, us or ns: nobody means the year 5138, nor 1973 in a finer unit. */
static uint64_t epoch_unit_ns(uint64_t value)
{
	if (value < 100000000000ull)
		return NS_PER_SEC;
	if (value < 100000000000000ull)
		return NS_PER_MS;
	if (value < 100000000000000000ull)
		return NS_PER_US;
	return 1;
}

static int parse_epoch(struct view text, uint64_t *ret_ns, struct err *err)
{
	struct scan scan = { text.at, text.at + text.len };
	struct decimal d;

	if (!scan_decimal(&scan, &d) || scan.at != scan.end)
		return err_set(err, E_FORMAT, "time '%.*s': not a number of seconds, ms, us or ns since 1970",
			       (int)text.len, (const char *)text.at);
	if (decimal_ns(&d, epoch_unit_ns(d.whole), ret_ns) < 0)
		return err_set(err, E_RANGE, "time '%.*s' is beyond the year 2554", (int)text.len,
			       (const char *)text.at);
	return 0;
}

/* now, now-15m, now+1h, -15m, 15m; text is known to begin so. An instant before 1970 becomes 1970. */
static int parse_relative(struct view text, uint64_t now_ns, uint64_t *ret_ns, struct err *err)
{
	bool later = false;
	uint64_t span_ns;
	int rc;

	if (view_istarts(text, "now")) {
		text = view_trim(view_sub(text, 3, text.len));
		if (text.len == 0) {
			*ret_ns = now_ns;
			return 0;
		}
		if (text.at[0] != '-' && text.at[0] != '+')
			return err_set(err, E_FORMAT, "time: after 'now' comes - or + and a duration, not '%.*s'",
				       (int)text.len, (const char *)text.at);
	}
	if (text.at[0] == '-' || text.at[0] == '+') {
		later = text.at[0] == '+';
		text = view_trim(view_sub(text, 1, text.len));
	}
	rc = clock_parse_duration(text, &span_ns, err);
	if (rc < 0)
		return rc;
	if (!later)
		*ret_ns = span_ns > now_ns ? 0 : now_ns - span_ns;
	else if (__builtin_add_overflow(now_ns, span_ns, ret_ns))
		return err_set(err, E_RANGE, "time is beyond the year 2554");
	return 0;
}

static bool all_decimal(struct view text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (!is_digit(text.at[i]) && text.at[i] != '.')
			return false;
	}
	return true;
}

int clock_parse(struct view text, uint64_t now_ns, uint64_t *ret_ns, struct err *err)
{
	uint64_t ns, today_ns = now_ns - now_ns % NS_PER_DAY;
	int rc = 0;

	text = view_trim(text);
	if (text.len == 0)
		return err_set(err, E_FORMAT, "empty time: write for example -15m, now or 2026-01-02T03:04:05Z");
	if (view_ieq(text, "today"))
		ns = today_ns;
	else if (view_ieq(text, "yesterday"))
		ns = today_ns < NS_PER_DAY ? 0 : today_ns - NS_PER_DAY;
	else if (text.at[0] == '@')
		rc = parse_epoch(view_sub(text, 1, text.len), &ns, err);
	else if (all_decimal(text))
		rc = parse_epoch(text, &ns, err);
	else if (text.len > 4 && text.at[4] == '-' && is_digit(text.at[0]))
		rc = parse_civil(text, &ns, err);
	else if (is_digit(text.at[0]) || text.at[0] == '-' || text.at[0] == '+' || view_istarts(text, "now"))
		rc = parse_relative(text, now_ns, &ns, err);
	else
		return err_set(err, E_FORMAT, "time '%.*s': write for example -15m, now, today, "
			       "2026-01-02T03:04:05Z or seconds since 1970",
			       (int)text.len, (const char *)text.at);
	if (rc == 0)
		*ret_ns = ns;
	return rc;
}

/* ---- writing ---- */

void clock_format(uint64_t ns, char text[CLOCK_TEXT_LEN])
{
	uint64_t in_day_s = ns % NS_PER_DAY / NS_PER_SEC;
	unsigned year, month, day;

	date_of_days((int64_t)(ns / NS_PER_DAY), &year, &month, &day);
	(void)snprintf(text, CLOCK_TEXT_LEN, "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ", year % 10000, month % 100,
		       day % 100, (unsigned)(in_day_s / 3600), (unsigned)(in_day_s / 60 % 60),
		       (unsigned)(in_day_s % 60), (unsigned)(ns % NS_PER_SEC));
}

/* "3h5m", and "3h" when there is nothing of the second unit. */
static void two_units(uint64_t ns, uint64_t large_ns, char large, uint64_t small_ns, char small, char *text, size_t cap)
{
	unsigned long long first = ns / large_ns, second = ns % large_ns / small_ns;

	if (second)
		(void)snprintf(text, cap, "%llu%c%llu%c", first, large, second, small);
	else
		(void)snprintf(text, cap, "%llu%c", first, large);
}

void clock_format_duration(uint64_t ns, char *text, size_t cap)
{
	unsigned long long whole = ns;

	if (ns < NS_PER_US)
		(void)snprintf(text, cap, "%lluns", whole);
	else if (ns < NS_PER_MS)
		(void)snprintf(text, cap, "%.4gus", (double)ns / NS_PER_US);
	else if (ns < NS_PER_SEC)
		(void)snprintf(text, cap, "%.4gms", (double)(ns / 100) / 10000);
	else if (ns < NS_PER_MIN)
		(void)snprintf(text, cap, "%.4gs", (double)(ns / NS_PER_MS) / 1000);
	else if (ns < NS_PER_HOUR)
		two_units(ns, NS_PER_MIN, 'm', NS_PER_SEC, 's', text, cap);
	else if (ns < NS_PER_DAY)
		two_units(ns, NS_PER_HOUR, 'h', NS_PER_MIN, 'm', text, cap);
	else
		two_units(ns, NS_PER_DAY, 'd', NS_PER_HOUR, 'h', text, cap);
}
