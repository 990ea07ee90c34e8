#include "store/policy.h"

#include <stdio.h>

#include "store/part.h"

const struct store_scope store_scopes[] = {
#define SCOPE(name, kind, table, tier, order, text) { name, SCOPE_##kind, table, tier, order, text },
#include "store/scopes.def"
#undef SCOPE
};
const size_t store_scopes_count = sizeof(store_scopes) / sizeof(store_scopes[0]);

/* A namespace as Kubernetes writes it, or the name of a protocol of schema/enums.def. */
static bool value_fits(const struct store_scope *scope, const char *value)
{
	uint32_t number;

	if (strstr(scope->name, "protocol"))
		return sym_number(SYMS_L7, view_str(value), &number) == 0;
	return *value && strlen(value) <= 63 && strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(value);
}

int store_scope_find(const char *scope, const struct store_scope **ret_scope, struct err *err)
{
	char all[400] = "";

	for (size_t i = 0; i < store_scopes_count; i++) {
		const struct store_scope *known = &store_scopes[i];
		size_t len = strlen(known->name), used = strlen(all);

		if (strcmp(scope, known->name) == 0 && known->name[len - 1] != '=') {
			*ret_scope = known;
			return 0;
		}
		if (known->name[len - 1] == '=' && strncmp(scope, known->name, len) == 0) {
			if (!value_fits(known, scope + len))
				return err_set(err, E_FORMAT, "scope \"%.80s\": \"%.80s\" is no %s", scope, scope + len,
					       strstr(known->name, "protocol") ? "protocol" : "name of a namespace");
			*ret_scope = known;
			return 0;
		}
		(void)snprintf(all + used, sizeof(all) - used, "%s%s%s", used ? ", " : "", known->name,
			       known->name[len - 1] == '=' ? "NAME" : "");
	}
	return err_set(err, E_FORMAT, "scope \"%.80s\" is none of %s", scope, all);
}

const struct store_rule *store_policy_rule(const struct store_policy *policy, const char *scope)
{
	for (size_t i = 0; i < policy->rules_count; i++)
		if (strcmp(policy->rules[i].scope, scope) == 0)
			return &policy->rules[i];
	return NULL;
}

int store_policy_put(struct store_policy *policy, const struct store_rule *rule, struct err *err)
{
	const struct store_scope *scope;
	unsigned classes = 0;
	size_t at = 0;
	int rc = store_scope_find(rule->scope, &scope, err);

	if (rc < 0)
		return rc;
	while (at < policy->rules_count && strcmp(policy->rules[at].scope, rule->scope) < 0)
		at++;
	if (at == policy->rules_count || strcmp(policy->rules[at].scope, rule->scope) != 0) {
		for (size_t i = 0; i < policy->rules_count; i++)
			classes += strncmp(policy->rules[i].scope, "packets/", 8) == 0;
		if (policy->rules_count == STORE_RULES_MAX)
			return err_set(err, E_LIMIT, "scope \"%s\": there are %u rules already", rule->scope, STORE_RULES_MAX);
		if (scope->kind == SCOPE_PAYLOAD && rule->scope[7] == '/' && classes >= PART_SEGS_MAX - 1)
			return err_set(err, E_LIMIT, "scope \"%s\": there are %u classes of packets already", rule->scope,
				       PART_SEGS_MAX - 1);
		memmove(policy->rules + at + 1, policy->rules + at,
			(policy->rules_count - at) * sizeof(policy->rules[0]));
		policy->rules_count++;
	}
	policy->rules[at] = *rule;
	return 0;
}

int store_policy_drop(struct store_policy *policy, const char *scope, struct err *err)
{
	const struct store_rule *rule = store_policy_rule(policy, scope);
	size_t at;

	if (!rule)
		return err_set(err, E_NOT_FOUND, "there is no rule for \"%.80s\"", scope);
	at = (size_t)(rule - policy->rules);
	policy->rules_count--;
	memmove(policy->rules + at, policy->rules + at + 1, (policy->rules_count - at) * sizeof(policy->rules[0]));
	return 0;
}

struct store_rule store_policy_class(const struct store_policy *policy, const char *class_name)
{
	struct store_rule none = { .age_ns = policy->packet_age_ns };
	const struct store_rule *rule;

	(void)snprintf(none.scope, sizeof(none.scope), "packets%s%s", *class_name ? "/" : "", class_name);
	rule = store_policy_rule(policy, none.scope);
	return rule ? *rule : none;
}

struct store_rule store_policy_scope(const struct store_policy *policy, const struct store_scope *scope)
{
	struct store_rule none = { .age_ns = policy->data_age_ns };
	const struct store_rule *rule = store_policy_rule(policy, scope->name);

	if (!rule && scope->kind == SCOPE_TIER) {	/* a limit of bytes is of all tiers together: not this one's */
		const struct store_rule *all = store_policy_rule(policy, "rollups");

		if (all) {
			none = *all;
			none.bytes = 0;
		}
	}
	if (rule)
		return *rule;
	(void)snprintf(none.scope, sizeof(none.scope), "%s", scope->name);
	return none;
}
