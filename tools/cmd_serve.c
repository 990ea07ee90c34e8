/* A store over HTTP: serve. */
#include "query/serve.h"
#include "tools/tools.h"

struct serve_opts tool_serve_opts(const struct tool *tool)
{
	const struct settings *set = &tool->set;

	return (struct serve_opts){
		.data = set->data,
		.listen = set->listen,
		.workers = set->workers > 64 ? 64 : (unsigned)set->workers,
		.threads = set->query_threads > 1024 ? 1024 : (unsigned)set->query_threads,
		.budget = { .rows = set->query_rows, .time_ns = set->query_time, .memory = set->query_memory },
		.cors = *set->cors ? set->cors : NULL,
		.token_file = *set->token_file ? set->token_file : NULL,
		.user = *set->user ? set->user : NULL,
		.version = TAPEDECK_VERSION,
	};
}

int cmd_serve(struct tool *tool)
{
	struct serve_opts opts = tool_serve_opts(tool);

	return serve_run(&opts, &tool->err) < 0 ? tool_fail(tool) : EXIT_DONE;
}
