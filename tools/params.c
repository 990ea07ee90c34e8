#include "tools/params.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/distance.h"
#include "base/mem.h"

const struct param params[PARAM_COUNT] = {
#define PARAM(name_, letter_, type_, def_, arg_, cmds_, text_) \
	[PARAM_ID_##name_] = { #name_, letter_, PARAM_##type_, def_, arg_, cmds_, text_ },
#include "tools/params.def"
#undef PARAM
};

const struct command commands[] = {
#define COMMAND(name_, args_, summary_, text_, examples_) { #name_, args_, summary_, text_, examples_ },
#include "tools/commands.def"
#undef COMMAND
};
const size_t commands_count = sizeof(commands) / sizeof(commands[0]);

/* Where each value lives in struct settings. */
static const size_t offsets[PARAM_COUNT] = {
#define PARAM(name_, ...) [PARAM_ID_##name_] = offsetof(struct settings, name_),
#include "tools/params.def"
#undef PARAM
};

#define CONFIG_BYTES_MAX (1u << 20)

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < commands_count; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

bool param_for(const struct param *param, const char *command)
{
	const char *at = param->commands;
	size_t len = strlen(command);

	if (strcmp(at, "*") == 0)
		return true;
	for (; *at; at += strspn(at, " ")) {
		size_t word = strcspn(at, " ");

		if (word == len && memcmp(at, command, len) == 0)
			return true;
		at += word;
	}
	return false;
}

void param_flag(const struct param *param, char *text, size_t cap)
{
	size_t i;

	for (i = 0; param->name[i] && i + 1 < cap; i++)
		text[i] = param->name[i] == '_' ? '-' : param->name[i];
	text[i] = '\0';
}

static int parse_size(const char *text, uint64_t *ret_bytes, struct err *err)
{
	static const struct {
		const char *name;
		uint64_t factor;
	} units[] = { { "B", 1 }, { "KiB", 1ull << 10 }, { "MiB", 1ull << 20 }, { "GiB", 1ull << 30 },
		      { "TiB", 1ull << 40 }, { "KB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 },
		      { "TB", 1000000000000 } };
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (end == text || errno || value < 0)
		return err_set(err, E_USAGE, "\"%s\" is not a size such as 64MiB", text);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (value * (double)units[i].factor > 9e18)
			return err_set(err, E_USAGE, "\"%s\" is too large", text);
		*ret_bytes = (uint64_t)(value * (double)units[i].factor);
		return 0;
	}
	return err_set(err, E_USAGE, "\"%s\": say the unit, for example %sMiB", text, *end ? "64" : text);
}

static int set_value(struct settings *settings, enum param_id id, const char *text, const char *where,
		     struct err *err)
{
	void *at = (uint8_t *)settings + offsets[id];
	struct view view = view_str(text);
	char flag[64], *end;
	uint64_t u;
	double f;
	int rc = 0;

	param_flag(&params[id], flag, sizeof(flag));
	switch (params[id].type) {
	case PARAM_STR:
		*(const char **)at = text;
		break;
	case PARAM_U64:
		rc = view_u64(view, UINT64_MAX, &u);
		if (rc < 0)
			rc = err_set(err, E_USAGE, "\"%s\" is not a number", text);
		else
			*(uint64_t *)at = u;
		break;
	case PARAM_F64:
		f = strtod(text, &end);
		if (end == text || *end || !(f >= 0))
			rc = err_set(err, E_USAGE, "\"%s\" is not a number", text);
		else
			*(double *)at = f;
		break;
	case PARAM_BOOL:
		if (view_ieq(view, "true") || view_is(view, "1") || view_ieq(view, "yes"))
			*(bool *)at = true;
		else if (view_ieq(view, "false") || view_is(view, "0") || view_ieq(view, "no"))
			*(bool *)at = false;
		else
			rc = err_set(err, E_USAGE, "\"%s\" is neither true nor false", text);
		break;
	case PARAM_SIZE:
		u = 0;
		if (*text)
			rc = parse_size(text, &u, err);
		if (rc == 0)
			*(uint64_t *)at = u;
		break;
	case PARAM_DURATION:
		u = 0;
		if (*text)
			rc = clock_parse_duration(view, &u, err);
		if (rc == 0)
			*(uint64_t *)at = u;
		break;
	case PARAM_TIME:
		u = 0;
		if (*text)
			rc = clock_parse(view, settings->now_ns, &u, err);
		if (rc == 0)
			*(uint64_t *)at = u;
		break;
	}
	if (rc < 0) {
		(void)err_prefix(err, "--%s (%s)", flag, where);
		err->code = E_USAGE;	/* whatever the parser calls it: the user wrote it */
		return E_USAGE;
	}
	settings->from_where[id] = where;
	settings->text[id] = text;
	settings->given[id] = strcmp(where, "default") != 0;
	return 0;
}

static int set_defaults(struct settings *settings, struct err *err)
{
	for (int i = 0; i < PARAM_COUNT; i++) {
		int rc = set_value(settings, (enum param_id)i, params[i].def, "default", err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int unknown_flag(const struct command *command, const char *flag, struct err *err)
{
	const struct param *best = NULL;
	size_t best_distance = 4, edits;
	char text[64];

	for (int i = 0; i < PARAM_COUNT; i++) {
		if (!param_for(&params[i], command->name))
			continue;
		param_flag(&params[i], text, sizeof(text));
		edits = distance_edits(view_str(flag), view_str(text));
		if (edits < best_distance) {
			best_distance = edits;
			best = &params[i];
		}
	}
	if (best) {
		param_flag(best, text, sizeof(text));
		return err_set(err, E_USAGE, "%s has no flag --%s; did you mean --%s?", command->name, flag, text);
	}
	return err_set(err, E_USAGE, "%s has no flag --%s; `tapedeck %s --help` lists them", command->name, flag,
		       command->name);
}

static int find_long(const struct command *command, const char *flag, enum param_id *ret_id, struct err *err)
{
	char text[64];

	for (int i = 0; i < PARAM_COUNT; i++) {
		param_flag(&params[i], text, sizeof(text));
		if (strcmp(text, flag) == 0 && param_for(&params[i], command->name)) {
			*ret_id = (enum param_id)i;
			return 0;
		}
	}
	return unknown_flag(command, flag, err);
}

static int config_line(struct settings *settings, struct arena *arena, const char *path, unsigned line,
		       struct view text, struct err *err)
{
	ptrdiff_t eq;
	struct view key, value;
	char *where;

	text = view_trim(text);
	if (text.len == 0 || text.at[0] == '#')
		return 0;
	eq = view_find(text, VIEW_LIT("="));
	if (eq < 0)
		return err_set(err, E_USAGE, "%s line %u: expected `name = value`", path, line);
	key = view_trim(view_sub(text, 0, (size_t)eq));
	value = arena_copy(arena, view_trim(view_sub(text, (size_t)eq + 1, text.len)));
	where = arena_printf(arena, "%s line %u", path, line);
	if (!where || !value.at)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", path);
	for (int i = 0; i < PARAM_COUNT; i++)
		if (view_is(key, params[i].name))
			return set_value(settings, (enum param_id)i, (const char *)value.at, where, err);
	return err_set(err, E_USAGE, "%s line %u: no parameter is called \"%.*s\"", path, line, (int)key.len,
		       (const char *)key.at);
}

static int read_config(struct settings *settings, struct arena *arena, const char *path, struct err *err)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0, total = 0;
	ssize_t len;
	unsigned number = 0;
	int rc = 0;

	if (!file)
		return err_errno(err, errno, "configuration file %s", path);
	while (rc == 0 && (len = getline(&line, &cap, file)) >= 0) {
		total += (size_t)len;
		if (total > CONFIG_BYTES_MAX)
			rc = err_set(err, E_USAGE, "%s is larger than %u bytes", path, CONFIG_BYTES_MAX);
		else
			rc = config_line(settings, arena, path, ++number,
					 view_trim(view_make(line, (size_t)len - (len && line[len - 1] == '\n'))), err);
	}
	free(line);
	fclose(file);
	return rc;
}

static int read_environment(struct settings *settings, struct err *err)
{
	for (int i = 0; i < PARAM_COUNT; i++) {
		char name[80] = "TAPEDECK_";
		const char *value;
		size_t at = strlen(name);

		for (const char *c = params[i].name; *c && at + 1 < sizeof(name); c++)
			name[at++] = (char)toupper((unsigned char)*c);
		name[at] = '\0';
		value = getenv(name);
		if (value) {
			int rc = set_value(settings, (enum param_id)i, value, "environment", err);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

struct flags {		/* what the command line says, before it is applied */
	const struct command *command;
	const char *values[PARAM_COUNT];
};

/* One argument that begins with a dash; moves *at past its value. */
static int parse_flag(struct flags *flags, int argc, char **argv, int *at, struct settings *settings,
		      struct arena *arena, struct err *err)
{
	const char *arg = argv[*at], *value = NULL;
	enum param_id id = PARAM_COUNT;
	int rc;

	if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
		settings->help = true;
		return 0;
	}
	if (arg[1] == '-') {
		const char *eq = strchr(arg, '=');
		struct view name = view_make(arg + 2, eq ? (size_t)(eq - arg - 2) : strlen(arg + 2));
		struct view copy = arena_copy(arena, name);

		if (!copy.at)
			return err_set(err, E_NO_MEMORY, "out of memory");
		rc = find_long(flags->command, (const char *)copy.at, &id, err);
		if (rc < 0)
			return rc;
		value = eq ? eq + 1 : NULL;
	} else {
		for (int i = 0; i < PARAM_COUNT; i++)
			if (params[i].letter == arg[1] && param_for(&params[i], flags->command->name))
				id = (enum param_id)i;
		if (id == PARAM_COUNT)
			return err_set(err, E_USAGE, "%s has no flag -%c; `tapedeck %s --help` lists them",
				       flags->command->name, arg[1], flags->command->name);
		if (arg[2])
			value = arg + 2;
	}
	if (!value && params[id].type == PARAM_BOOL)
		value = "true";
	if (!value) {
		if (*at + 1 >= argc)
			return err_set(err, E_USAGE, "%s needs a value: %s", arg, params[id].arg);
		value = argv[++*at];
	}
	flags->values[id] = value;
	return 0;
}

int settings_parse(const struct command *command, int argc, char **argv, struct arena *arena,
		   struct settings *ret_settings, struct err *err)
{
	struct settings settings = { .now_ns = clock_now_ns() };
	struct flags flags = { .command = command };
	const char *config;
	bool only_args = false;
	int rc;

	settings.args = arena_array(arena, (size_t)argc + 1, sizeof(*settings.args));
	if (!settings.args)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (int i = 0; i < argc; i++) {
		if (!only_args && strcmp(argv[i], "--") == 0) {
			only_args = true;
		} else if (only_args || argv[i][0] != '-' || argv[i][1] == '\0') {
			settings.args[settings.args_count++] = argv[i];
		} else {
			rc = parse_flag(&flags, argc, argv, &i, &settings, arena, err);
			if (rc < 0)
				return rc;
		}
	}
	rc = set_defaults(&settings, err);
	config = flags.values[PARAM_ID_config] ? flags.values[PARAM_ID_config] : getenv("TAPEDECK_CONFIG");
	if (rc == 0 && config && *config)
		rc = read_config(&settings, arena, config, err);
	if (rc == 0)
		rc = read_environment(&settings, err);
	for (int i = 0; rc == 0 && i < PARAM_COUNT; i++)
		if (flags.values[i])
			rc = set_value(&settings, (enum param_id)i, flags.values[i], "flag", err);
	if (rc == 0)
		*ret_settings = settings;
	return rc;
}
