/* What is kept, and for how long. */
#include <unistd.h>

#include "base/clock.h"
#include "tools/tools.h"

static void limit_line(const char *name, uint64_t value, bool duration)
{
	char text[32];

	if (!value)
		snprintf(text, sizeof(text), "no limit");
	else if (duration)
		clock_format_duration(value, text, sizeof(text));
	else
		tool_bytes(value, text);
	printf("  %-14s %s\n", name, text);
}

static int show(struct tool *tool, struct store *store)
{
	struct store_policy policy;
	struct store_pin *pins;
	size_t count;
	char from[CLOCK_TEXT_LEN], to[CLOCK_TEXT_LEN], bytes[32];

	if (store_policy_get(store, &policy, &tool->err) < 0 ||
	    store_pins(store, tool->arena, &pins, &count, &tool->err) < 0)
		return tool_fail(tool);
	puts("policy");
	limit_line("data-age", policy.data_age_ns, true);
	limit_line("packet-age", policy.packet_age_ns, true);
	limit_line("data-bytes", policy.data_bytes, false);
	limit_line("packet-bytes", policy.packet_bytes, false);
	limit_line("total-bytes", policy.total_bytes, false);
	limit_line("free-bytes", policy.free_bytes, false);
	puts("pins");
	for (size_t i = 0; i < count; i++) {
		clock_format(pins[i].from_ns, from);
		clock_format(pins[i].to_ns, to);
		printf("  %-20s %s .. %s  %s\n", pins[i].name, from, to, tool_bytes(pins[i].bytes, bytes));
	}
	if (count == 0)
		puts("  none");
	return EXIT_DONE;
}

static void victim_line(const struct store_victim *victim)
{
	char bytes[32];

	printf("  %-28s %-8s %10s  %s\n", victim->part.path, victim->packets_only ? "packets" : "all",
	       tool_bytes(victim->bytes, bytes), victim->why);
}

/* How far back the tables reach once the victims are gone. */
static void print_reach(struct store *store, const struct store_victim *victims, size_t count)
{
	uint64_t rows_from = UINT64_MAX, packets_from = UINT64_MAX;
	struct store_view *view;
	char text[CLOCK_TEXT_LEN];

	if (store_view_open(store, 0, UINT64_MAX, &view, NULL) < 0)
		return;
	for (size_t i = 0; i < store_view_parts(view); i++) {
		const struct store_part_info *part = store_view_part(view, i);
		bool gone = false, packets_gone = !part->has_packets;

		for (size_t v = 0; v < count; v++) {
			if (strcmp(victims[v].part.path, part->path) != 0)
				continue;
			packets_gone = true;
			gone |= !victims[v].packets_only;
		}
		if (!gone && part->start_min < rows_from)
			rows_from = part->start_min;
		if (!gone && !packets_gone && part->packets && part->start_min < packets_from)
			packets_from = part->start_min;
	}
	store_view_close(view);
	if (rows_from != UINT64_MAX) {
		clock_format(rows_from, text);
		printf("rows then reach back to    %s\n", text);
	}
	if (packets_from != UINT64_MAX) {
		clock_format(packets_from, text);
		printf("packets then reach back to %s\n", text);
	}
}

static int plan(struct tool *tool, struct store *store, size_t *ret_count)
{
	struct store_victim *victims;
	uint64_t bytes = 0;
	char text[32];

	if (store_retention_plan(store, tool->set.now_ns, tool->arena, &victims, ret_count, &tool->err) < 0)
		return tool_fail(tool);
	for (size_t i = 0; i < *ret_count; i++) {
		victim_line(&victims[i]);
		bytes += victims[i].bytes;
	}
	printf("%zu would go, %s\n", *ret_count, tool_bytes(bytes, text));
	print_reach(store, victims, *ret_count);
	return EXIT_DONE;
}

static void gone(const struct store_victim *victim, void *arg)
{
	uint64_t *bytes = arg;

	*bytes += victim->bytes;
	victim_line(victim);
}

static int apply(struct tool *tool, struct store *store)
{
	uint64_t bytes = 0;
	size_t count = 0;
	char answer[16], text[32];
	int code = plan(tool, store, &count);

	if (code != EXIT_DONE || count == 0 || tool->set.dry_run)
		return code;
	if (!tool->set.yes) {
		if (!isatty(STDIN_FILENO))
			return tool_usage(tool, "apply deletes data: say --yes, or --dry-run to look only");
		printf("Delete? [y/N] ");
		fflush(stdout);
		if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
			return EXIT_DONE;
	}
	puts("deleted");
	if (store_retention_apply(tool->set.data, tool->set.now_ns, gone, &bytes, &tool->err) < 0)
		return tool_fail(tool);
	printf("freed %s\n", tool_bytes(bytes, text));
	return EXIT_DONE;
}

static int set(struct tool *tool, struct store *store)
{
	struct store_policy policy;
	const struct settings *s = &tool->set;
	bool any = false;

	if (store_policy_get(store, &policy, &tool->err) < 0)
		return tool_fail(tool);
#define TAKE(flag, member)					\
	do {							\
		if (s->given[PARAM_ID_##flag]) {		\
			policy.member = s->flag;		\
			any = true;				\
		}						\
	} while (0)
	TAKE(data_age, data_age_ns);
	TAKE(packet_age, packet_age_ns);
	TAKE(data_bytes, data_bytes);
	TAKE(packet_bytes, packet_bytes);
	TAKE(total_bytes, total_bytes);
	TAKE(free_bytes, free_bytes);
#undef TAKE
	if (!any)
		return tool_usage(tool, "set what? For example --packet-age 3d --total-bytes 50GiB");
	if (store_policy_set(s->data, &policy, &tool->err) < 0)
		return tool_fail(tool);
	return show(tool, store);
}

static int pin(struct tool *tool, const char *name)
{
	if (!tool->set.from || !tool->set.to || tool->set.from >= tool->set.to)
		return tool_usage(tool, "a pin needs a range: --from TIME --to TIME, the first before the second");
	if (store_pin(tool->set.data, name, tool->set.from, tool->set.to, &tool->err) < 0)
		return tool_fail(tool);
	return EXIT_DONE;
}

int cmd_retention(struct tool *tool)
{
	const char *verb = tool->set.args_count ? tool->set.args[0] : "show";
	const char *name = tool->set.args_count > 1 ? tool->set.args[1] : NULL;
	struct store *store = NULL;
	size_t count;
	int code;

	if (strcmp(verb, "pin") == 0 || strcmp(verb, "unpin") == 0) {
		if (!name)
			return tool_usage(tool, "%s needs a name", verb);
		if (verb[0] == 'p')
			return pin(tool, name);
		return store_unpin(tool->set.data, name, &tool->err) < 0 ? tool_fail(tool) : EXIT_DONE;
	}
	if (store_open(tool->set.data, &store, &tool->err) < 0)
		return tool_fail(tool);
	if (strcmp(verb, "show") == 0)
		code = show(tool, store);
	else if (strcmp(verb, "plan") == 0)
		code = plan(tool, store, &count);
	else if (strcmp(verb, "apply") == 0)
		code = apply(tool, store);
	else if (strcmp(verb, "set") == 0)
		code = set(tool, store);
	else
		code = tool_usage(tool, "\"%s\" is none of show, plan, apply, set, pin, unpin", verb);
	store_close(store);
	return code;
}
