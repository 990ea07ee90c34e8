/*
 * Parameters of all commands, from tools/params.def: flags over environment
 * over configuration file over defaults.
 */
#ifndef TOOLS_PARAMS_H
#define TOOLS_PARAMS_H

#include "base/arena.h"
#include "base/err.h"

enum param_type { PARAM_STR, PARAM_U64, PARAM_F64, PARAM_BOOL, PARAM_SIZE, PARAM_DURATION, PARAM_TIME };

enum param_id {
#define PARAM(name, letter, type, def, arg, cmds, text) PARAM_ID_##name,
#include "tools/params.def"
#undef PARAM
	PARAM_COUNT
};

struct param {
	const char *name;	/* C name, configuration key */
	char letter;
	enum param_type type;
	const char *def, *arg, *commands, *text;
};
extern const struct param params[PARAM_COUNT];

struct command {
	const char *name, *args, *summary, *text, *examples;
};
extern const struct command commands[];
extern const size_t commands_count;
const struct command *command_find(const char *name);
bool param_for(const struct param *param, const char *command);
/* "log_level" -> "log-level" */
void param_flag(const struct param *param, char *text, size_t cap);

/* Values: all members exist for all commands, a command reads its own. */
struct settings {
#define PARAM_CTYPE_STR const char *
#define PARAM_CTYPE_U64 uint64_t
#define PARAM_CTYPE_F64 double
#define PARAM_CTYPE_BOOL bool
#define PARAM_CTYPE_SIZE uint64_t
#define PARAM_CTYPE_DURATION uint64_t	/* ns */
#define PARAM_CTYPE_TIME uint64_t	/* ns since 1970; 0 = not given */
#define PARAM(name, letter, type, def, arg, cmds, text) PARAM_CTYPE_##type name;
#include "tools/params.def"
#undef PARAM
	const char *from_where[PARAM_COUNT];	/* "default", "flag", "environment", or the file */
	bool given[PARAM_COUNT];		/* not the default */
	const char *text[PARAM_COUNT];		/* as it was written */
	const char **args;			/* what is no flag */
	size_t args_count;
	bool help;
	uint64_t now_ns;			/* what "now" meant */
};

/* argv without the command's name. Texts borrow from argv and arena. E_USAGE says which, and the nearest name. */
int settings_parse(const struct command *command, int argc, char **argv, struct arena *arena,
		   struct settings *ret_settings, struct err *err);

#endif
