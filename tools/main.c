/* The one binary: finds the command, reads its settings, runs it. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crew.h"
#include "base/log.h"
#include "tools/tools.h"

static const struct {
	const char *name;
	int (*run)(struct tool *tool);
} runs[] = {
#define COMMAND(name_, ...) { #name_, cmd_##name_ },
#include "tools/commands.def"
#undef COMMAND
};

atomic_bool tool_interrupted;

static void on_signal(int number)
{
	(void)number;
	atomic_store(&tool_interrupted, true);
}

void tool_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

int tool_fail(struct tool *tool)
{
	fprintf(stderr, "tapedeck %s: %s\n", tool->command->name,
		tool->err.code ? tool->err.text : "failed without a word");
	switch (tool->err.code) {
	case E_USAGE:
	case E_SYNTAX:
	case E_UNKNOWN_NAME:
	case E_TYPE:
	case E_RANGE:
		return EXIT_USAGE;
	case E_CANCELLED:
		return EXIT_INTERRUPTED;
	default:
		return EXIT_FAILED;
	}
}

int tool_usage(struct tool *tool, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "tapedeck %s: ", tool->command->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n`tapedeck %s --help` explains.\n", tool->command->name);
	return EXIT_USAGE;
}

bool tool_write(struct view bytes)
{
	while (bytes.len) {
		ssize_t n = write(STDOUT_FILENO, bytes.at, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes = view_sub(bytes, (size_t)n, bytes.len);
	}
	return true;
}

bool tool_color(const struct tool *tool, FILE *file)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (strcmp(tool->set.color, "always") == 0)
		return true;
	if (strcmp(tool->set.color, "never") == 0 || (no_color && *no_color))
		return false;
	return isatty(fileno(file)) && (!term || strcmp(term, "dumb") != 0);
}

int tool_wants_json(struct tool *tool, bool *ret_json)
{
	const char *output = tool->set.output;

	*ret_json = strcmp(output, "json") == 0;
	if (*output && !*ret_json && strcmp(output, "table") != 0)
		return tool_usage(tool, "--output %s: table or json", output);
	return EXIT_DONE;
}

const char *tool_bytes(uint64_t bytes, char text[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit < 5) {
		value /= 1024;
		unit++;
	}
	snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

struct query_opts tool_query_opts(const struct tool *tool)
{
	return (struct query_opts){
		.from_ns = tool->set.from,
		.to_ns = tool->set.to,
		.filter = view_str(tool->set.filter),
		.explain = tool->set.explain,
		.cancel = &tool_interrupted,
		.budget = { .rows = tool->set.query_rows, .time_ns = tool->set.query_time,
			    .memory = tool->set.query_memory },
	};
}

struct crew *tool_crew(const struct tool *tool)
{
	uint64_t threads = tool->set.query_threads ? tool->set.query_threads : crew_cores();

	return crew_new(threads > 1024 ? 1023 : (unsigned)threads - 1);
}

int tool_query_end(struct tool *tool, const struct query_opts *opts, const struct query_stats *stats, uint64_t rows)
{
	/* A limit that was reached is not a hole: the user set it, and the answer brings a cursor. */
	bool partial = stats->gaps_count || stats->damaged_row_groups || query_expired(stats, opts);
	char text[CLOCK_TEXT_LEN];

	if (isatty(STDERR_FILENO) || tool->set.strict) {
		if (opts->from_ns && stats->oldest_ns != UINT64_MAX && opts->from_ns < stats->oldest_ns) {
			clock_format(stats->oldest_ns, text);
			fprintf(stderr, "note: nothing is held before %s\n", text);
		}
		if (stats->payload_expired)
			fputs("note: retention has dropped packets of this range\n", stderr);
		if (stats->tier_expired)
			fputs("note: retention has dropped the fine rollups of a part of this range\n", stderr);
		if (stats->gaps_count)
			fprintf(stderr, "note: %zu gap%s in this range: `tapedeck query events --filter 'kind == gap'`\n",
				stats->gaps_count, stats->gaps_count == 1 ? "" : "s");
		if (stats->damaged_row_groups)
			fprintf(stderr, "warning: %llu damaged row groups were skipped: `tapedeck check`\n",
				(unsigned long long)stats->damaged_row_groups);
	}
	if (rows == 0 && tool->set.fail_empty)
		return EXIT_EMPTY;
	return partial && tool->set.strict ? EXIT_PARTIAL : EXIT_DONE;
}

/* "flow|call ID": the words of the longest alternative. Flags in brackets are no arguments. */
static size_t args_max(const char *args)
{
	size_t max = 0, words = 0;

	if (strstr(args, "..."))
		return SIZE_MAX;
	if (strncmp(args, "[--", 3) == 0)
		return 0;
	while (*args) {
		size_t len = strcspn(args, " |");

		words += len > 0;
		max = words > max ? words : max;
		args += len;
		if (*args == '|')
			words = 0;
		args += *args != '\0';
	}
	return max;
}

/* What every command wants of its settings and arguments. */
static int check_common(struct tool *tool)
{
	const char *color = tool->set.color;

	if (strcmp(color, "auto") != 0 && strcmp(color, "always") != 0 && strcmp(color, "never") != 0)
		return tool_usage(tool, "--color %s: auto, always or never", color);
	if (!*tool->set.data)
		return tool_usage(tool, "--data is empty: name a directory");
	if (tool->set.args_count > args_max(tool->command->args))
		return tool_usage(tool, "\"%s\" is one argument too many",
				  tool->set.args[args_max(tool->command->args)]);
	return EXIT_DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct arena arena;
	struct tool tool = { .command = command, .arena = &arena };
	enum log_level level;
	int code;

	arena_init(&arena, 0);
	if (settings_parse(command, argc, argv, &arena, &tool.set, &tool.err) < 0) {
		code = tool_fail(&tool);
		goto out;
	}
	if (tool.set.help) {
		help_command(stdout, command);
		code = EXIT_DONE;
		goto out;
	}
	if (!log_level_parse(tool.set.log_level, &level)) {
		code = tool_usage(&tool, "--log-level %s: error, warn, info or debug", tool.set.log_level);
		goto out;
	}
	log_set_level(level);
	if (check_common(&tool) != EXIT_DONE) {
		code = EXIT_USAGE;
		goto out;
	}
	code = EXIT_FAILED;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		if (strcmp(runs[i].name, command->name) == 0)
			code = runs[i].run(&tool);
	if (fflush(stdout) != 0 && errno != EPIPE && code == EXIT_DONE) {
		fprintf(stderr, "tapedeck %s: standard output: %s\n", command->name, strerror(errno));
		code = EXIT_FAILED;
	}
out:
	arena_release(&arena);
	return code;
}

int main(int argc, char **argv)
{
	const struct command *command;

	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		help_overview(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		help_overview(stdout);
		return EXIT_DONE;
	}
	command = command_find(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
	if (!command) {
		fprintf(stderr, "tapedeck: there is no command \"%s\"; `tapedeck --help` lists them\n", argv[1]);
		return EXIT_USAGE;
	}
	return run(command, argc - 2, argv + 2);
}
