#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_BYTES_MAX	2048
#define LIMIT_PERIOD_NS	(10 * NS_PER_SEC)

static _Atomic int level_max = LOG_INFO;
static const char *const level_names[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&level_max, (int)level, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&level_max, memory_order_relaxed);
}

static bool key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* Length of the message proper: up to the first word of the form key=. */
static size_t message_len(const char *text)
{
	size_t i = 0;

	while (text[i]) {
		size_t word = i;

		while (key_char(text[i]))
			i++;
		if (text[i] == '=' && i > word)
			return word ? word - 1 : 0;
		i += strcspn(text + i, " ");
		i += text[i] == ' ';
	}
	return i;
}

__attribute__((format(printf, 2, 0)))
static void log_write(enum log_level level, const char *fmt, va_list args, uint64_t suppressed)
{
	char text[LINE_BYTES_MAX / 2], line[LINE_BYTES_MAX + 128], when[CLOCK_TEXT_LEN];
	size_t len, msg_len;
	int head;

	(void)vsnprintf(text, sizeof(text), fmt, args);
	msg_len = message_len(text);
	clock_format(clock_now_ns(), when);
	head = snprintf(line, sizeof(line), "ts=%s level=%s msg=\"", when, level_names[level]);
	len = (size_t)head;
	for (size_t i = 0; i < msg_len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			line[len++] = '\\';
		line[len++] = text[i];
	}
	line[len++] = '"';
	if (msg_len == 0 && text[0])
		line[len++] = ' ';
	for (size_t i = msg_len; text[i]; i++)
		line[len++] = text[i];
	/* One event, one line, whatever a message carries. */
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = ' ';
	}
	if (suppressed)
		len += (size_t)snprintf(line + len, 64, " suppressed=%llu",
					(unsigned long long)suppressed);
	line[len++] = '\n';
	/* One write, so that lines of different threads and processes do not mingle. */
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	log_write(level, fmt, args, 0);
	va_end(args);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
	uint64_t now_ns, next_ns;
	va_list args;

	if (!log_enabled(level))
		return;
	now_ns = clock_mono_ns();
	next_ns = __atomic_load_n(&limit->next_ns, __ATOMIC_RELAXED);
	/* Of two threads at the end of a period one wins; the other counts as suppressed. */
	if (now_ns < next_ns ||
	    !__atomic_compare_exchange_n(&limit->next_ns, &next_ns, now_ns + LIMIT_PERIOD_NS, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&limit->suppressed, 1, __ATOMIC_RELAXED);
		return;
	}
	va_start(args, fmt);
	log_write(level, fmt, args, __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED));
	va_end(args);
}
