/* --help, man page, shell completion and reference pages: all from the tables. */
#include <errno.h>
#include <sys/stat.h>

#include "schema/counters.h"
#include "tools/tools.h"

void help_overview(FILE *file)
{
	fputs("Tapedeck, a flight recorder for the network.\n\nUsage: tapedeck COMMAND [FLAGS]\n\n", file);
	for (size_t i = 0; i < commands_count; i++)
		fprintf(file, "  %-11s %s\n", commands[i].name, commands[i].summary);
	fputs("\n`tapedeck COMMAND --help` explains one. Settings come from flags, then TAPEDECK_* in the\n"
	      "environment, then --config FILE.\n", file);
}

/* Words of text in lines of at most 96 columns. */
static void wrap(FILE *file, const char *text, unsigned indent)
{
	unsigned column = indent;

	fprintf(file, "%*s", (int)indent, "");
	while (*text) {
		size_t word = strcspn(text, " ");

		if (column > indent && column + word + 1 > 96) {
			fprintf(file, "\n%*s", (int)indent, "");
			column = indent;
		}
		if (column > indent) {
			fputc(' ', file);
			column++;
		}
		fwrite(text, 1, word, file);
		column += (unsigned)word;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', file);
}

static void each_example(FILE *file, const struct command *command, const char *before)
{
	for (const char *at = command->examples; *at;) {
		size_t len = strcspn(at, "\n");

		fprintf(file, "%s%.*s\n", before, (int)len, at);
		at += len;
		at += *at == '\n';
	}
}

void help_command(FILE *file, const struct command *command)
{
	fprintf(file, "tapedeck %s: %s\n\nUsage: tapedeck %s%s%s [FLAGS]\n\n", command->name, command->summary,
		command->name, *command->args ? " " : "", command->args);
	wrap(file, command->text, 0);
	fputs("\nFlags:\n", file);
	for (int i = 0; i < PARAM_COUNT; i++) {
		const struct param *param = &params[i];
		char flag[64], left[100];

		if (!param_for(param, command->name))
			continue;
		param_flag(param, flag, sizeof(flag));
		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", param->letter ? "-" : " ",
			 param->letter ? param->letter : ' ', param->letter ? ", " : "  ", flag,
			 *param->arg ? " " : "", param->arg);
		fprintf(file, "  %-30s %s", left, param->text);
		if (*param->def && param->type != PARAM_BOOL)
			fprintf(file, " [%s]", param->def);
		fputc('\n', file);
	}
	fputs("\nExamples:\n", file);
	each_example(file, command, "  ");
}

/* ---------------------------------------------------------------- completion */

/* Parameters with few values, for completion. */
static const struct {
	enum param_id id;
	const char *values;
} choices[] = {
	{ PARAM_ID_output, "table wide json ndjson csv" }, { PARAM_ID_format, "pcapng pcap" },
	{ PARAM_ID_raw, "request response" },		   { PARAM_ID_color, "auto always never" },
	{ PARAM_ID_progress, "auto plain json none" },	   { PARAM_ID_log_level, "error warn info debug" },
};

static void completion_bash(FILE *file)
{
	char flag[64];

	fputs("# bash completion for tapedeck\n_tapedeck() {\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n\tcase $prev in\n", file);
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		const struct param *param = &params[choices[i].id];

		param_flag(param, flag, sizeof(flag));
		fprintf(file, "\t--%s", flag);
		if (param->letter)
			fprintf(file, " | -%c", param->letter);
		fprintf(file, ") words=\"%s\" ;;\n", choices[i].values);
	}
	fputs("\t--data | -d) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n"
	      "\t--config | --token-file | --capture | -c) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
	      "\tesac\n\tif [ -n \"$words\" ]; then :\n\telif [ \"$COMP_CWORD\" = 1 ]; then\n\t\twords=\"", file);
	for (size_t i = 0; i < commands_count; i++)
		fprintf(file, "%s%s", i ? " " : "", commands[i].name);
	fputs("\"\n\telse\n\t\tcase ${COMP_WORDS[1]} in\n", file);
	for (size_t i = 0; i < commands_count; i++) {
		fprintf(file, "\t\t%s) words=\"", commands[i].name);
		for (const char *at = commands[i].args; *at;) {	/* literal words of the arguments */
			size_t len = strcspn(at, " |");

			if (len && at[0] >= 'a' && at[0] <= 'z')
				fprintf(file, "%.*s ", (int)len, at);
			at += len;
			at += strspn(at, " |");
		}
		for (int p = 0; p < PARAM_COUNT; p++) {
			param_flag(&params[p], flag, sizeof(flag));
			if (param_for(&params[p], commands[i].name))
				fprintf(file, "--%s ", flag);
		}
		fputs("--help\" ;;\n", file);
	}
	fputs("\t\tesac\n\tfi\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "\t[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n}\n"
	      "complete -F _tapedeck tapedeck\n", file);
}

static void quoted(FILE *file, const char *text, const char *avoid)
{
	for (; *text; text++) {
		if (strchr(avoid, *text))
			fputc('\\', file);
		fputc(*text, file);
	}
}

static void completion_zsh(FILE *file)
{
	fputs("#compdef tapedeck\n_tapedeck() {\n\tlocal -a commands\n\tif (( CURRENT == 2 )); then\n\t\tcommands=(\n", file);
	for (size_t i = 0; i < commands_count; i++) {
		fprintf(file, "\t\t\t\"%s:", commands[i].name);
		quoted(file, commands[i].summary, "\"`$\\:");
		fputs("\"\n", file);
	}
	fputs("\t\t)\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $words[2] in\n", file);
	for (size_t i = 0; i < commands_count; i++) {
		fprintf(file, "\t%s) _arguments", commands[i].name);
		for (int p = 0; p < PARAM_COUNT; p++) {
			char flag[64];

			if (!param_for(&params[p], commands[i].name))
				continue;
			param_flag(&params[p], flag, sizeof(flag));
			fprintf(file, " \\\n\t\t\"--%s[", flag);
			quoted(file, params[p].text, "\"`$\\[]:");
			fprintf(file, "]%s%s%s\"", *params[p].arg ? ":" : "", params[p].arg,
				*params[p].arg ? ":_files" : "");
		}
		fputs(" \"*:file:_files\" ;;\n", file);
	}
	fputs("\tesac\n}\n_tapedeck \"$@\"\n", file);
}

static void completion_fish(FILE *file)
{
	for (size_t i = 0; i < commands_count; i++) {
		fprintf(file, "complete -c tapedeck -n __fish_use_subcommand -a %s -d \"", commands[i].name);
		quoted(file, commands[i].summary, "\"$\\");
		fputs("\"\n", file);
		for (int p = 0; p < PARAM_COUNT; p++) {
			char flag[64];

			if (!param_for(&params[p], commands[i].name))
				continue;
			param_flag(&params[p], flag, sizeof(flag));
			fprintf(file, "complete -c tapedeck -n \"__fish_seen_subcommand_from %s\" -l %s%s -d \"",
				commands[i].name, flag, *params[p].arg ? " -r" : "");
			quoted(file, params[p].text, "\"$\\");
			fputs("\"\n", file);
		}
	}
}

int help_completion(FILE *file, const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		completion_bash(file);
	else if (strcmp(shell, "zsh") == 0)
		completion_zsh(file);
	else if (strcmp(shell, "fish") == 0)
		completion_fish(file);
	else
		return E_USAGE;
	return 0;
}

/* ---------------------------------------------------------------------- docs */

static void docs_scopes(FILE *file)
{
	fputs("\n# Scopes of retention\n\nGenerated from store/scopes.def. What `tapedeck retention set SCOPE` knows. When "
	      "bytes run out, what has the smaller number goes first, the oldest before the newer; of the classes of packets "
	      "the one with the shortest age.\n\n| scope | goes | what |\n| --- | --- | --- |\n", file);
	for (size_t i = 0; i < store_scopes_count; i++) {
		const char *name = store_scopes[i].name;

		fprintf(file, "| `%s%s` | ", name, name[strlen(name) - 1] == '=' ? "NAME" : "");
		if (store_scopes[i].order)
			fprintf(file, "%u", store_scopes[i].order);
		fprintf(file, " | %s |\n", store_scopes[i].text);
	}
}

static void docs_cli(FILE *file)
{
	fputs("# Commands\n\nGenerated from tools/commands.def and tools/params.def by `make docs`.\n\n"
	      "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 nothing matched (with `--fail-empty`), "
	      "4 not complete (with `--strict`), 130 interrupted.\n", file);
	for (size_t i = 0; i < commands_count; i++) {
		fprintf(file, "\n## tapedeck %s %s\n\n%s. %s\n\n```\n", commands[i].name, commands[i].args,
			commands[i].summary, commands[i].text);
		each_example(file, &commands[i], "");
		fputs("```\n", file);
	}
	fputs("\n# Parameters\n\nFlag, configuration key, environment variable. The last of file, environment, flag wins.\n\n"
	      "| flag | key | environment | default | commands | meaning |\n| --- | --- | --- | --- | --- | --- |\n", file);
	for (int i = 0; i < PARAM_COUNT; i++) {
		char flag[64];

		param_flag(&params[i], flag, sizeof(flag));
		fprintf(file, "| `--%s%s%s` | `%s` | `TAPEDECK_", flag, *params[i].arg ? " " : "", params[i].arg,
			params[i].name);
		for (const char *c = params[i].name; *c; c++)
			fputc(*c == '_' ? '_' : *c - 'a' + 'A', file);
		fprintf(file, "` | %s | %s | %s |\n", params[i].def,
			strcmp(params[i].commands, "*") ? params[i].commands : "all", params[i].text);
	}
	docs_scopes(file);
}

static void docs_columns(FILE *file)
{
	static const char *const units[] = { "", "ns since 1970 UTC", "ns", "bytes", "count" };
	static const char *const indexes[] = { "", "bitmap", "bloom", "derived" };

	fputs("# Columns\n\nGenerated from schema/*.def by `make docs`. The key is the JSON key, the filter name and the "
	      "Grafana field; filters also take the aliases, and the name without its unit with a literal of that unit "
	      "(`latency > 250ms`). A column that is absent is null. A derived "
	      "one is not stored: it is worked out of others when asked for.\n", file);
	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct table *table = table_get((enum table_id)t);

		fprintf(file, "\n## %s\n\n| id | key | type | unit | null | index | aliases | meaning |\n"
			"| --- | --- | --- | --- | --- | --- | --- | --- |\n", table->name);
		for (size_t i = 0; i < table->cols_count; i++) {
			const struct col *col = &table->cols[i];

			fprintf(file, "| %u | `%s` | %s | %s | %s | %s | %s | %s |\n", col->id, col->key,
				types[col->type].name, units[col->unit],
				col->presence == PRESENCE_OPT ? "yes" : "", indexes[col->index], col->aliases, col->text);
		}
	}
	fputs("\n## Named values\n\n| type | number | name | meaning |\n| --- | --- | --- | --- |\n", file);
	for (int t = 0; t < TYPE_COUNT; t++)
		for (size_t i = 0; types[t].syms != SYMS_NONE && i < syms_count; i++)
			if (syms[i].table == types[t].syms)
				fprintf(file, "| %s | %u | `%s` | %s |\n", types[t].name, syms[i].number, syms[i].name,
					syms[i].text);
}

static void docs_reference(FILE *file)
{
	fputs("# Counters and errors\n\nGenerated from schema/counters.def and base/errors.def by `make docs`.\n\n"
	      "## Counters\n\nIn /metrics with the prefix `tapedeck_`.\n\n| name | kind | meaning |\n| --- | --- | --- |\n", file);
	for (int i = 0; i < COUNTER_COUNT; i++)
		fprintf(file, "| `%s` | %s | %s |\n", counter_infos[i].name,
			counter_infos[i].kind == COUNTER_TOTAL ? "counter" : "gauge", counter_infos[i].text);
	fputs("\n## Errors\n\n| code | HTTP | meaning |\n| --- | --- | --- |\n", file);
#define ERROR(name, number, http, text) fprintf(file, "| `%s` | %d | %s |\n", #name, http, text);
#include "base/errors.def"
#undef ERROR
}

static void roff(FILE *file, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", file);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", file);
		else if (*text == '-')
			fputs("\\-", file);
		else
			fputc(*text, file);
	}
}

static void docs_man(FILE *file)
{
	fputs(".TH TAPEDECK 1 2026-11-22 \"tapedeck " TAPEDECK_VERSION "\" \"User commands\"\n.SH NAME\n"
	      "tapedeck \\- flight recorder for the network\n.SH SYNOPSIS\n.B tapedeck\n.I command\n.RI [ flags ]\n"
	      ".SH DESCRIPTION\nRecords what crossed the wire, keeps it, and answers about any past moment of it.\n"
	      ".SH COMMANDS\n", file);
	for (size_t i = 0; i < commands_count; i++) {
		fprintf(file, ".SS %s%s", commands[i].name, *commands[i].args ? " " : "");
		roff(file, commands[i].args);
		fputs("\n", file);
		roff(file, commands[i].summary);
		fputs(".\n", file);
		roff(file, commands[i].text);
		fputs("\n.PP\n.nf\n", file);
		for (const char *at = commands[i].examples; *at;) {
			size_t len = strcspn(at, "\n");
			char line[300];

			snprintf(line, sizeof(line), "%.*s", (int)len, at);
			fputs("    ", file);
			roff(file, line);
			fputc('\n', file);
			at += len + (at[len] == '\n');
		}
		fputs(".fi\n", file);
	}
	fputs(".SH FLAGS\n", file);
	for (int i = 0; i < PARAM_COUNT; i++) {
		char flag[64];

		param_flag(&params[i], flag, sizeof(flag));
		fputs(".TP\n.BI \\-\\-", file);
		roff(file, flag);
		fprintf(file, " \" %s\"\n", params[i].arg);
		roff(file, params[i].text);
		if (*params[i].def && params[i].type != PARAM_BOOL) {
			fputs(". Default: ", file);
			roff(file, params[i].def);
		}
		fprintf(file, ". (%s)\n", strcmp(params[i].commands, "*") ? params[i].commands : "all commands");
	}
	fputs(".SH EXIT STATUS\n0 done, 1 failure, 2 wrong usage, 3 nothing matched (with \\-\\-fail\\-empty), 4 not complete "
	      "(with \\-\\-strict), 130 interrupted.\n", file);
}

static int one(const char *dir, const char *name, void (*fill)(FILE *file), struct err *err)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "we");
	if (!file)
		return err_errno(err, errno, "%s", path);
	fill(file);
	if (fclose(file) != 0)
		return err_errno(err, errno, "%s", path);
	return 0;
}

int help_docs(const char *dir, struct err *err)
{
	char path[4096];
	int rc;

	snprintf(path, sizeof(path), "%s/man", dir);
	if ((mkdir(dir, 0777) < 0 && errno != EEXIST) || (mkdir(path, 0777) < 0 && errno != EEXIST))
		return err_errno(err, errno, "%s", path);
	snprintf(path, sizeof(path), "%s/completion", dir);
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return err_errno(err, errno, "%s", path);
	rc = one(dir, "cli.md", docs_cli, err);
	if (rc == 0)
		rc = one(dir, "columns.md", docs_columns, err);
	if (rc == 0)
		rc = one(dir, "reference.md", docs_reference, err);
	if (rc == 0)
		rc = one(dir, "man/tapedeck.1", docs_man, err);
	if (rc == 0)
		rc = one(dir, "completion/tapedeck.bash", completion_bash, err);
	if (rc == 0)
		rc = one(dir, "completion/_tapedeck", completion_zsh, err);
	if (rc == 0)
		rc = one(dir, "completion/tapedeck.fish", completion_fish, err);
	return rc;
}
