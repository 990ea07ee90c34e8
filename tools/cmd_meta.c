/* Commands about the program itself: version, help, config, completion, docs. */
#include "store/codec.h"
#include "tools/tools.h"

int cmd_version(struct tool *tool)
{
	bool as_json;
	int code = tool_wants_json(tool, &as_json);

	if (code != EXIT_DONE)
		return code;
	if (as_json)
		printf("{\"name\":\"tapedeck\",\"version\":\"%s\"}\n", TAPEDECK_VERSION);
	else
		printf("tapedeck %s\n", TAPEDECK_VERSION);
	return EXIT_DONE;
}

int cmd_help(struct tool *tool)
{
	const struct command *command;

	if (tool->set.args_count == 0) {
		help_overview(stdout);
		return EXIT_DONE;
	}
	command = command_find(tool->set.args[0]);
	if (!command)
		return tool_usage(tool, "there is no command \"%s\"", tool->set.args[0]);
	help_command(stdout, command);
	return EXIT_DONE;
}

int cmd_config(struct tool *tool)
{
	const struct settings *set = &tool->set;

	for (int i = 0; i < PARAM_COUNT; i++)
		printf("%s = %s%*s# %s\n", params[i].name, set->text[i],
		       (int)(30 - (strlen(params[i].name) + strlen(set->text[i])) % 30), "", set->from_where[i]);
	return EXIT_DONE;
}

int cmd_completion(struct tool *tool)
{
	if (tool->set.args_count != 1 || help_completion(stdout, tool->set.args[0]) < 0)
		return tool_usage(tool, "say which shell: bash, zsh or fish");
	return EXIT_DONE;
}

int cmd_docs(struct tool *tool)
{
	if (tool->set.args_count != 1)
		return tool_usage(tool, "say which directory to write to");
	return help_docs(tool->set.args[0], &tool->err) < 0 ? tool_fail(tool) : EXIT_DONE;
}
