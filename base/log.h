/*
 * One event, one line on stderr: "ts=... level=warn msg=\"...\" key=value".
 * Only main and the worker tops log above debug. No payload, no secret.
 * Any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
/* "error" ... "debug"; false when it is none of them. */
bool log_level_parse(const char *name, enum log_level *ret_level);
bool log_enabled(enum log_level level);

/* fmt gives msg and further key=value pairs: log_warn("ring full lost=%u", n). */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)							\
	do {								\
		if (log_enabled(LOG_DEBUG))				\
			log_line(LOG_DEBUG, __VA_ARGS__);		\
	} while (0)

/* At most one line a period from this place; the next one carries suppressed=N. Zero-initialised. */
struct log_limit {
	uint64_t next_ns;
	uint64_t suppressed;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
