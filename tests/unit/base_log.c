#include "base/log.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/check.h"

static char line[8192];

/* What is written between take and give goes to a pipe. */
static int saved_fd, pipe_fds[2];

static void take(void)
{
	CHECK_EQ(pipe(pipe_fds), 0);
	saved_fd = dup(STDERR_FILENO);
	(void)dup2(pipe_fds[1], STDERR_FILENO);
	(void)close(pipe_fds[1]);
	clock_set_ns(1);
}

static void give(void)
{
	ssize_t len;

	(void)dup2(saved_fd, STDERR_FILENO);
	(void)close(saved_fd);
	len = read(pipe_fds[0], line, sizeof(line) - 1);
	line[len > 0 ? len : 0] = '\0';
	(void)close(pipe_fds[0]);
}

#define TS "ts=1970-01-01T00:00:00.000000001Z "

TEST(log, message_and_pairs_part_at_the_first_key)
{
	take();
	log_warn("ring full lost=%u cpu=%d", 5u, 1);
	log_error("cannot open \"x\"");
	log_info("key=1");
	log_warn("a == b, c=d");
	give();
	CHECK_STR(line, TS "level=warn msg=\"ring full\" lost=5 cpu=1\n"
			TS "level=error msg=\"cannot open \\\"x\\\"\"\n"
			TS "level=info msg=\"\" key=1\n"
			TS "level=warn msg=\"a == b,\" c=d\n");
}

TEST(log, one_event_is_one_line)
{
	take();
	log_warn("bad\nlevel=error msg=forged path=a\r\nb");
	give();
	CHECK(strchr(line, '\n') == line + strlen(line) - 1, "%s", line);
	CHECK_NULL(strchr(line, '\r'));
}

TEST(log, long_text_is_cut)
{
	take();
	log_warn("%05000d", 1);
	log_warn("%s", "after");
	give();
	CHECK(strstr(line, "msg=\"after\"\n"), "%s", line);
}

TEST(log, level_is_kept)
{
	enum log_level level = LOG_INFO;

	CHECK(log_level_parse("debug", &level) && level == LOG_DEBUG);
	CHECK_NOT(log_level_parse("loud", &level));
	CHECK_EQ(level, LOG_DEBUG);
	take();
	log_debug("not seen");
	log_set_level(LOG_ERROR);
	log_warn("not seen");
	log_set_level(LOG_DEBUG);
	log_debug("seen");
	log_set_level(LOG_INFO);
	give();
	CHECK_STR(line, TS "level=debug msg=\"seen\"\n");
}

TEST(log, repeats_are_counted)
{
	struct log_limit limit = { 0 };

	take();
	for (int i = 0; i < 10; i++)
		log_limited(&limit, LOG_WARN, "again i=%d", i);
	limit.next_ns = 0;
	log_limited(&limit, LOG_WARN, "again i=%d", 10);
	give();
	CHECK_STR(line, TS "level=warn msg=\"again\" i=0\n"
			TS "level=warn msg=\"again\" i=10 suppressed=9\n");
}
