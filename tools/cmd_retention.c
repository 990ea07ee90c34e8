/* What is kept, and for how long. Text or JSON, of the same structs. */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/tools.h"

static void put_time(struct json *json, const char *key, uint64_t ns)
{
	char text[CLOCK_TEXT_LEN];

	if (ns == UINT64_MAX) {
		json_knull(json, key);
		return;
	}
	clock_format(ns, text);
	json_kcstr(json, key, text);
}

static void print_json(struct wr *out)
{
	wr_u8(out, '\n');
	(void)tool_write(wr_view(out));
	wr_release(out);
}

/* -------------------------------------------------------------------- policy */

enum limit_kind { LIMIT_DURATION, LIMIT_SIZE, LIMIT_BOOL, LIMIT_U64 };
static const struct limit {
	const char *name;
	enum limit_kind kind;
	size_t offset;		/* of its u64 in the policy */
} limits[] = {
#define LIMIT(name, member, type, arg, text) { #name, LIMIT_##type, offsetof(struct store_policy, member) },
#include "store/policy.def"
#undef LIMIT
};
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

static uint64_t limit_of(const struct store_policy *policy, const struct limit *limit)
{
	uint64_t value;

	memcpy(&value, (const uint8_t *)policy + limit->offset, sizeof(value));
	return value;
}

static const char *limit_text(uint64_t value, enum limit_kind kind, char text[32])
{
	if (kind == LIMIT_BOOL)
		return value ? "yes" : "no";
	if (kind == LIMIT_U64) {
		snprintf(text, 32, "%" PRIu64, value);
		return value ? text : "default";
	}
	if (!value)
		return "no limit";
	if (kind == LIMIT_SIZE)
		return tool_bytes(value, text);
	clock_format_duration(value, text, 32);
	return text;
}

static void show_text(const struct store_policy *policy, const struct store_pin *pins, size_t count)
{
	char a[CLOCK_TEXT_LEN], b[CLOCK_TEXT_LEN], c[32];

	puts("policy");
	for (size_t i = 0; i < LIMITS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s", limits[i].name);
		for (char *at = name; *at; at++)
			*at = *at == '_' ? '-' : *at;
		printf("  %-14s %s\n", name, limit_text(limit_of(policy, &limits[i]), limits[i].kind, c));
	}
	if (policy->rules_count)
		printf("rules\n  %-32s %-12s %-12s %s\n", "scope", "age", "bytes", "at least");
	for (size_t i = 0; i < policy->rules_count; i++) {
		const struct store_rule *rule = &policy->rules[i];
		char age[32], bytes[32], least[32];

		printf("  %-32s %-12s %-12s %s\n", rule->scope, limit_text(rule->age_ns, LIMIT_DURATION, age),
		       limit_text(rule->bytes, LIMIT_SIZE, bytes),
		       rule->min_age_ns ? limit_text(rule->min_age_ns, LIMIT_DURATION, least) : "-");
	}
	puts("pins");
	for (size_t i = 0; i < count; i++) {
		clock_format(pins[i].from_ns, a);
		clock_format(pins[i].to_ns, b);
		printf("  %-20s %s .. %s  %s\n", pins[i].name, a, b, tool_bytes(pins[i].bytes, c));
	}
	if (count == 0)
		puts("  none");
}

static void show_json(const struct store_policy *policy, const struct store_pin *pins, size_t count)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, true);
	json_object(&json);
	json_key(&json, "policy");
	json_object(&json);
	for (size_t i = 0; i < LIMITS; i++) {
		char key[32];

		snprintf(key, sizeof(key), "%s%s", limits[i].name, limits[i].kind == LIMIT_DURATION ? "_ns" : "");
		if (limits[i].kind == LIMIT_BOOL)
			json_kbool(&json, key, limit_of(policy, &limits[i]) != 0);
		else
			json_ku64(&json, key, limit_of(policy, &limits[i]));
	}
	json_object_end(&json);
	json_key(&json, "rules");
	json_array(&json);
	for (size_t i = 0; i < policy->rules_count; i++) {
		json_object(&json);
		json_kcstr(&json, "scope", policy->rules[i].scope);
		json_ku64(&json, "age_ns", policy->rules[i].age_ns);
		json_ku64(&json, "bytes", policy->rules[i].bytes);
		json_ku64(&json, "min_age_ns", policy->rules[i].min_age_ns);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_key(&json, "pins");
	json_array(&json);
	for (size_t i = 0; i < count; i++) {
		json_object(&json);
		json_kcstr(&json, "name", pins[i].name);
		put_time(&json, "from", pins[i].from_ns);
		put_time(&json, "to", pins[i].to_ns);
		json_ku64(&json, "bytes", pins[i].bytes);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_object_end(&json);
	print_json(&out);
}

static int show(struct tool *tool, struct store *store, bool as_json)
{
	struct store_policy policy;
	struct store_pin *pins;
	size_t count;

	if (store_policy_get(store, &policy, &tool->err) < 0 ||
	    store_pins(store, tool->arena, &pins, &count, &tool->err) < 0)
		return tool_fail(tool);
	(as_json ? show_json : show_text)(&policy, pins, count);
	return EXIT_DONE;
}

/* ---------------------------------------------------------------------- plan */

static void victim_line(const struct store_victim *victim)
{
	char bytes[32];

	printf("  %-28s %-20s %10s  %s\n", victim->part.path, victim->scope, tool_bytes(victim->bytes, bytes), victim->why);
}

static void victim_json(const struct store_victim *victim, struct json *json)
{
	json_object(json);
	json_kcstr(json, "partition", victim->part.path);
	json_kcstr(json, "scope", victim->scope);
	json_ku64(json, "bytes", victim->bytes);
	json_kcstr(json, "why", victim->why);
	put_time(json, "from", victim->part.start_min);
	put_time(json, "to", victim->part.end_max);
	json_object_end(json);
}

/* What waits to be packed again, which drops nothing. */
struct cold_part {
	uint64_t parts, bytes;
};

static void plan_text(const struct store_plan *plan, const struct cold_part *cold)
{
	char text[CLOCK_TEXT_LEN], bytes[32];

	for (size_t i = 0; i < plan->victims_count; i++)
		victim_line(&plan->victims[i]);
	printf("%zu would go, %s\n", plan->victims_count, tool_bytes(plan->bytes, bytes));
	for (size_t i = 0; i < plan->reaches_count; i++) {
		const struct store_reach *reach = &plan->reaches[i];

		if (reach->oldest_ns == UINT64_MAX && !reach->min_age_ns)
			continue;
		if (reach->oldest_ns != UINT64_MAX)
			clock_format(reach->oldest_ns, text);
		printf("  %-32s then reaches back to %-30s %10s%s\n", reach->scope,
		       reach->oldest_ns == UINT64_MAX ? "nothing" : text, tool_bytes(reach->bytes, bytes),
		       reach->below ? "  LESS THAN ITS MINIMUM AGE" : "");
	}
	if (plan->below_horizon)
		puts("limits of bytes reach into a minimum age: the bytes win (--horizon-first turns that round)");
	if (plan->over_bytes)
		printf("%s stay above a limit: what is left is hot, pinned or too young\n",
		       tool_bytes(plan->over_bytes, bytes));
	if (cold->parts)
		printf("%" PRIu64 " partitions are cold and wait to be packed again, %s of rows\n", cold->parts,
		       tool_bytes(cold->bytes, bytes));
}

static void plan_json(const struct store_plan *plan, const struct cold_part *cold, struct json *json)
{
	json_key(json, "victims");
	json_array(json);
	for (size_t i = 0; i < plan->victims_count; i++)
		victim_json(&plan->victims[i], json);
	json_array_end(json);
	json_ku64(json, "bytes", plan->bytes);
	json_key(json, "reach");
	json_array(json);
	for (size_t i = 0; i < plan->reaches_count; i++) {
		const struct store_reach *reach = &plan->reaches[i];

		json_object(json);
		json_kcstr(json, "scope", reach->scope);
		put_time(json, "oldest", reach->oldest_ns);
		json_ku64(json, "bytes", reach->bytes);
		json_ku64(json, "min_age_ns", reach->min_age_ns);
		json_kbool(json, "below_minimum", reach->below);
		json_object_end(json);
	}
	json_array_end(json);
	json_kbool(json, "below_horizon", plan->below_horizon);
	json_ku64(json, "over_bytes", plan->over_bytes);
	json_ku64(json, "cold_partitions", cold->parts);
	json_ku64(json, "cold_bytes", cold->bytes);
}

static int make_plan(struct tool *tool, struct store *store, struct store_plan *ret_plan, struct cold_part *ret_cold)
{
	struct store_repacked total;
	int rc = store_retention_plan(store, tool->set.now_ns, tool->arena, ret_plan, &tool->err);

	if (rc == 0)
		rc = store_repacked(store, tool->set.now_ns, &total, &ret_cold->parts, &ret_cold->bytes, &tool->err);
	return rc;
}

static int plan(struct tool *tool, struct store *store, bool as_json)
{
	struct cold_part cold;
	struct store_plan plan;
	struct json json;
	struct wr out;

	if (make_plan(tool, store, &plan, &cold) < 0)
		return tool_fail(tool);
	if (!as_json) {
		plan_text(&plan, &cold);
		return EXIT_DONE;
	}
	wr_init(&out, 0);
	json_init(&json, &out, true);
	json_object(&json);
	plan_json(&plan, &cold, &json);
	json_object_end(&json);
	print_json(&out);
	return EXIT_DONE;
}

/* --------------------------------------------------------------------- apply */

struct gone {
	struct json *json;	/* NULL: text */
	uint64_t bytes;
};

static void gone_fn(const struct store_victim *victim, void *arg)
{
	struct gone *gone = arg;

	gone->bytes += victim->bytes;
	if (gone->json)
		victim_json(victim, gone->json);
	else
		victim_line(victim);
}

static int apply_json(struct tool *tool)
{
	struct gone gone = { .bytes = 0 };
	struct json json;
	struct wr out;
	int rc;

	wr_init(&out, 0);
	json_init(&json, &out, true);
	gone.json = &json;
	json_object(&json);
	json_key(&json, "victims");
	json_array(&json);
	rc = store_retention_apply(tool->set.data, tool->set.now_ns, gone_fn, &gone, &tool->err);
	json_array_end(&json);
	json_ku64(&json, "bytes", gone.bytes);
	json_kbool(&json, "complete", rc == 0);
	json_object_end(&json);
	print_json(&out);
	return rc < 0 ? tool_fail(tool) : EXIT_DONE;
}

static int apply(struct tool *tool, struct store *store, bool as_json)
{
	struct gone gone = { .bytes = 0 };
	struct cold_part cold;
	struct store_plan plan;
	char answer[16], text[32];

	if (make_plan(tool, store, &plan, &cold) < 0)
		return tool_fail(tool);
	if (!as_json)
		plan_text(&plan, &cold);
	if (!tool->set.yes && plan.victims_count) {
		if (!isatty(STDIN_FILENO) || as_json)
			return tool_usage(tool, "apply deletes data: say --yes, or --dry-run to look only");
		printf("Delete? [y/N] ");
		fflush(stdout);
		if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
			return EXIT_DONE;
	}
	if (as_json)
		return apply_json(tool);
	if (plan.victims_count == 0)
		return EXIT_DONE;
	puts("deleted");
	if (store_retention_apply(tool->set.data, tool->set.now_ns, gone_fn, &gone, &tool->err) < 0)
		return tool_fail(tool);
	printf("freed %s\n", tool_bytes(gone.bytes, text));
	return EXIT_DONE;
}

/* ----------------------------------------------------------------- set, unset */

static int set_rule(struct tool *tool, const char *scope, struct store_policy *policy)
{
	const struct settings *s = &tool->set;
	const struct store_rule *old = store_policy_rule(policy, scope);
	struct store_rule rule = { .age_ns = 0 };
	const struct store_scope *known;

	if (store_scope_find(scope, &known, &tool->err) < 0)
		return tool_usage(tool, "%s", tool->err.text);
	if (!s->given[PARAM_ID_age] && !s->given[PARAM_ID_bytes] && !s->given[PARAM_ID_min_age])
		return tool_usage(tool, "set %s to what? --age, --bytes, --min-age", scope);
	if (old)
		rule = *old;
	snprintf(rule.scope, sizeof(rule.scope), "%s", scope);
	if (s->given[PARAM_ID_age])
		rule.age_ns = s->age;
	if (s->given[PARAM_ID_bytes])
		rule.bytes = s->bytes;
	if (s->given[PARAM_ID_min_age])
		rule.min_age_ns = s->min_age;
	if (rule.age_ns && rule.min_age_ns > rule.age_ns)
		return tool_usage(tool, "%s: a minimum age above the age", scope);
	return store_policy_put(policy, &rule, &tool->err) < 0 ? tool_usage(tool, "%s", tool->err.text) : EXIT_DONE;
}

static int set(struct tool *tool, struct store *store, const char *scope, bool as_json)
{
	struct store_policy policy;
	const struct settings *s = &tool->set;
	bool any = false;
	int code;

	if (store_policy_get(store, &policy, &tool->err) < 0)
		return tool_fail(tool);
#define LIMIT(name, member, type, arg, text)			\
	if (s->given[PARAM_ID_##name]) {			\
		policy.member = s->name;			\
		any = true;					\
	}
#include "store/policy.def"
#undef LIMIT
	if (!scope && (s->given[PARAM_ID_age] || s->given[PARAM_ID_bytes] || s->given[PARAM_ID_min_age]))
		return tool_usage(tool, "--age, --bytes and --min-age are of a scope: set SCOPE --age ...");
	if (!scope && !any)
		return tool_usage(tool, "set what? For example --packet-age 3d --total-bytes 50GiB, or packets/error --age 14d");
	if (s->given[PARAM_ID_cold_level] && s->cold_level &&
	    (s->cold_level < STORE_COLD_LEVEL_MIN || s->cold_level > STORE_COLD_LEVEL_MAX))
		return tool_usage(tool, "--cold-level %" PRIu64 ": %d to %d, or 0", s->cold_level, STORE_COLD_LEVEL_MIN,
				  STORE_COLD_LEVEL_MAX);
	code = scope ? set_rule(tool, scope, &policy) : EXIT_DONE;
	if (code != EXIT_DONE)
		return code;
	if (store_policy_set(s->data, &policy, &tool->err) < 0)
		return tool_fail(tool);
	return show(tool, store, as_json);
}

static int unset(struct tool *tool, struct store *store, const char *scope, bool as_json)
{
	struct store_policy policy;

	if (!scope)
		return tool_usage(tool, "unset which scope?");
	if (store_policy_get(store, &policy, &tool->err) < 0 || store_policy_drop(&policy, scope, &tool->err) < 0 ||
	    store_policy_set(tool->set.data, &policy, &tool->err) < 0)
		return tool_fail(tool);
	return show(tool, store, as_json);
}

static int pin(struct tool *tool, const char *name)
{
	if (!tool->set.from || !tool->set.to || tool->set.from >= tool->set.to)
		return tool_usage(tool, "a pin needs a range: --from TIME --to TIME, the first before the second");
	if (store_pin(tool->set.data, name, tool->set.from, tool->set.to, &tool->err) < 0)
		return tool_fail(tool);
	return EXIT_DONE;
}

/* What is to be kept may be said before there is anything. */
static int make_store(struct tool *tool)
{
	const struct store_writer_opts opts = { .name = "retention set", .group_gid = tool_store_group(tool) };
	struct store_writer *writer = NULL;

	err_clear(&tool->err);
	if (store_writer_open(tool->set.data, &opts, &writer, &tool->err) < 0)
		return tool->err.code;
	return store_writer_close(writer, false, &tool->err);
}

int cmd_retention(struct tool *tool)
{
	const char *verb = tool->set.args_count ? tool->set.args[0] : "show";
	const char *name = tool->set.args_count > 1 ? tool->set.args[1] : NULL;
	struct store *store = NULL;
	bool as_json = false;
	int rc, code;

	if (strcmp(verb, "pin") == 0 || strcmp(verb, "unpin") == 0) {
		if (!name)
			return tool_usage(tool, "%s needs a name", verb);
		if (verb[0] == 'p')
			return pin(tool, name);
		return store_unpin(tool->set.data, name, &tool->err) < 0 ? tool_fail(tool) : EXIT_DONE;
	}
	code = tool_wants_json(tool, &as_json);
	if (code != EXIT_DONE)
		return code;
	rc = store_open(tool->set.data, &store, &tool->err);
	if (rc == E_NOT_FOUND && strcmp(verb, "set") == 0 && make_store(tool) == 0)
		rc = store_open(tool->set.data, &store, &tool->err);
	if (rc < 0)
		return tool_fail(tool);
	if (strcmp(verb, "show") == 0)
		code = show(tool, store, as_json);
	else if (strcmp(verb, "plan") == 0 || (strcmp(verb, "apply") == 0 && tool->set.dry_run))
		code = plan(tool, store, as_json);
	else if (strcmp(verb, "apply") == 0)
		code = apply(tool, store, as_json);
	else if (strcmp(verb, "set") == 0)
		code = set(tool, store, name, as_json);
	else if (strcmp(verb, "unset") == 0)
		code = unset(tool, store, name, as_json);
	else
		code = tool_usage(tool, "\"%s\" is none of show, plan, apply, set, unset, pin, unpin", verb);
	store_close(store);
	return code;
}
