/*
 * The only place that reads a clock. An instant is nanoseconds since 1970 UTC
 * in a uint64_t; a range is half-open, [from_ns, to_ns).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/view.h"

#define NS_PER_US	1000ull
#define NS_PER_MS	1000000ull
#define NS_PER_SEC	1000000000ull
#define NS_PER_MIN	(60 * NS_PER_SEC)
#define NS_PER_HOUR	(3600 * NS_PER_SEC)
#define NS_PER_DAY	(24 * NS_PER_HOUR)

uint64_t clock_now_ns(void);		/* wall clock */
uint64_t clock_mono_ns(void);		/* for durations and timeouts */
uint64_t clock_boot_ns(void);		/* since boot, sleep included: the kernel dates processes by it */
/* How long the calling thread has run, and how long it could have but others had the processors. */
struct thread_time {
	uint64_t ran_ns, waited_ns;
};
bool clock_thread_time(struct thread_time *ret_time);	/* false: the kernel does not tell */
/* Tests set the wall clock; 0 gives it back to the system. */
void clock_set_ns(uint64_t now_ns);

/*
 * Read an instant as a user writes one: RFC 3339 with any offset and fraction,
 * `YYYY-MM-DD[ HH[:MM[:SS[.frac]]]]` (UTC), epoch seconds/ms/us/ns told apart by
 * magnitude, `@epoch`, `now`, `now-15m`, `-15m`, `15m` (ago), `yesterday`, `today`.
 * now_ns is what `now` means; what would lie before 1970 when relative is 1970.
 * E_FORMAT says what is wrong, E_RANGE is an instant a uint64_t cannot hold.
 */
int clock_parse(struct view text, uint64_t now_ns, uint64_t *ret_ns, struct err *err);
/* "250ms", "1h30m", "1.5s", "2d", "3w", "1y", "10us", "5ns"; a bare number is refused. Errors as above. */
int clock_parse_duration(struct view text, uint64_t *ret_ns, struct err *err);

/* RFC 3339 in UTC with nanoseconds, "2026-11-22T10:02:11.000000001Z"; 30 characters and NUL. */
#define CLOCK_TEXT_LEN 31
void clock_format(uint64_t ns, char text[CLOCK_TEXT_LEN]);
/* A duration for people: "1.25ms", "3m20s". */
void clock_format_duration(uint64_t ns, char *text, size_t cap);

#endif
