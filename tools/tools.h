/* What the commands share. Each cmd_NAME returns the process's exit code. */
#ifndef TOOLS_TOOLS_H
#define TOOLS_TOOLS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include "base/err.h"
#include "base/json.h"
#include "ingest/tracker.h"
#include "query/query.h"
#include "tools/params.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_EMPTY = 3, EXIT_PARTIAL = 4, EXIT_INTERRUPTED = 130 };

#define TAPEDECK_VERSION "0.1.0"

struct tool {
	const struct command *command;
	struct settings set;
	struct arena *arena;
	struct err err;
};

#define COMMAND(name, ...) int cmd_##name(struct tool *tool);
#include "tools/commands.def"
#undef COMMAND

/* Print tool->err and turn it into an exit code: 2 for what the user wrote wrong, else 1. */
int tool_fail(struct tool *tool);
/* Usage error with words. */
int tool_usage(struct tool *tool, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Becomes true on SIGINT and SIGTERM once tool_catch_signals() was called. */
extern atomic_bool tool_interrupted;
void tool_catch_signals(void);
/* Write all of it to stdout; quiet on a closed pipe. False: stop writing. */
bool tool_write(struct view bytes);
/* Terminal, NO_COLOR, --color. */
bool tool_color(const struct tool *tool, FILE *file);
/* query_opts from the settings; cancel is tool_interrupted. */
struct query_opts tool_query_opts(const struct tool *tool);
/* Threads that help with a question, as many as are allowed. NULL: it goes on alone. Free it. */
struct crew *tool_crew(const struct tool *tool);
/* Exit code of a finished query: --fail-empty, --strict. Prints the range answered and gaps to stderr on a terminal. */
int tool_query_end(struct tool *tool, const struct query_opts *opts, const struct query_stats *stats,
		   uint64_t rows);
/* For commands that print text or JSON: EXIT_DONE, or what --output says wrong. */
int tool_wants_json(struct tool *tool, bool *ret_json);
/* "12.3 MiB" */
const char *tool_bytes(uint64_t bytes, char text[32]);

/* cmd_import.c: import with progress and totals on stderr; an exit code. */
int tool_import(struct tool *tool, const char *const *paths, size_t count);
/* cmd_record.c: the group that serve will run as (-1: none, we are not root), and what the flow table is to do; EXIT_DONE or EXIT_USAGE. */
int tool_store_group(const struct tool *tool);
int tool_tracker_opts(struct tool *tool, struct tracker_opts *ret_opts);
/* cmd_serve.c */
struct serve_opts;
struct serve_opts tool_serve_opts(const struct tool *tool);

/* help.c: texts from the tables */
void help_overview(FILE *file);
void help_command(FILE *file, const struct command *command);
int help_docs(const char *dir, struct err *err);
int help_completion(FILE *file, const char *shell);

/* client.c: GET url + path from --server, the body to stdout as it comes. */
struct client_param {
	const char *name;
	const char *value;	/* NULL or "": left out */
};
int client_get(struct tool *tool, const char *path, const struct client_param *params_, size_t count,
	       int (*write)(void *arg, struct view bytes), void *arg);

#endif
