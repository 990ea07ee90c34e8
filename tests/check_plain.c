/* See check_plain.h. Takes --tap=FILE as Criterion does, and --filter=PART of "module::name". */
#include "tests/check_plain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SKIP	77
#define TIMEOUT_S	120.0

extern const struct check_test *const __start_check_tests[], *const __stop_check_tests[];

static const struct check_test *current;
static int reason_pipe[2];

static void finish(int code) __attribute__((noreturn));
static void finish(int code)
{
	if (current->options.fini)
		current->options.fini();
	exit(code);	/* not _exit: the sanitizer reports from its exit handlers */
}

void check_failed(const char *file, int line, const char *what, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: %s::%s: not so: %s:", file, line, current->module, current->name, what);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	finish(1);
}

void check_skipped(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vdprintf(reason_pipe[1], fmt, args);
	va_end(args);
	finish(EXIT_SKIP);
}

static void run_child(const struct check_test *test) __attribute__((noreturn));
static void run_child(const struct check_test *test)
{
	current = test;
	(void)alarm((unsigned)(test->options.timeout > 0 ? test->options.timeout + 0.999 : TIMEOUT_S));
	if (test->options.init)
		test->options.init();
	test->body();
	finish(0);
}

/* One line of TAP; false when the test failed. */
static bool run(const struct check_test *test, FILE *tap)
{
	char reason[256] = "";
	int status = 0, rc = pipe(reason_pipe);
	ssize_t len;
	pid_t child;
	bool good;

	if (rc < 0 || (child = fork()) < 0) {
		perror("check");
		exit(1);
	}
	if (child == 0)
		run_child(test);
	(void)close(reason_pipe[1]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	len = read(reason_pipe[0], reason, sizeof(reason) - 1);
	(void)close(reason_pipe[0]);
	if (len > 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
		fprintf(tap, "ok - %s::%s  # SKIP%s\n", test->module, test->name, reason);
		return true;
	}
	if (test->options.signal)
		good = WIFSIGNALED(status) && WTERMSIG(status) == test->options.signal;
	else
		good = WIFEXITED(status) && WEXITSTATUS(status) == test->options.exit_code;
	fprintf(tap, "%s - %s::%s%s\n", good ? "ok" : "not ok", test->module, test->name,
		!good && WIFSIGNALED(status) ? (WTERMSIG(status) == SIGALRM ? " timed out" : " crashed") : "");
	return good;
}

int main(int argc, char **argv)
{
	const char *filter = "";
	FILE *tap = stderr;
	bool good = true;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--tap=", 6) == 0)
			tap = fopen(argv[i] + 6, "w");
		else if (strncmp(argv[i], "--filter=", 9) == 0)
			filter = argv[i] + 9;
	}
	if (!tap) {
		perror("check: --tap");
		return 1;
	}
	setvbuf(tap, NULL, _IOLBF, 0);
	for (const struct check_test *const *at = __start_check_tests; at < __stop_check_tests; at++) {
		char name[256];

		(void)snprintf(name, sizeof(name), "%s::%s", (*at)->module, (*at)->name);
		if (!(*at)->options.disabled && strstr(name, filter))
			good = run(*at, tap) && good;
	}
	return good ? 0 : 1;
}
