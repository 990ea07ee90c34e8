/*
 * What is kept, and for how long: limits of the whole store (policy.def), and
 * rules for parts of it (scopes.def), which stand before those.
 */
#ifndef STORE_POLICY_H
#define STORE_POLICY_H

#include "base/err.h"
#include "base/view.h"
#include "schema/schema.h"

#define PART_CLASS_MAX 76		/* name of a payload class, NUL included: what follows "packets/" */
#define STORE_SCOPE_MAX (PART_CLASS_MAX + 8)
#define STORE_RULES_MAX 24
#define STORE_WHY_MAX 80
#define STORE_COLD_LEVEL_MIN 4	/* of zstd: above what partitions are sealed with, up to its last */
#define STORE_COLD_LEVEL_MAX 22

struct store_rule {			/* of one scope; 0 = no limit */
	char scope[STORE_SCOPE_MAX];	/* "packets/error", "calls", "rollups/1m" */
	uint64_t age_ns;
	uint64_t bytes;
	uint64_t min_age_ns;		/* limits of bytes do not reach into this age (but see horizon_first) */
};

#define STORE_POLICY_DURATION uint64_t
#define STORE_POLICY_SIZE uint64_t
#define STORE_POLICY_BOOL uint64_t
#define STORE_POLICY_U64 uint64_t

struct store_policy {			/* 0 = no limit; ages in ns */
#define LIMIT(name, member, type, arg, text) STORE_POLICY_##type member;
#include "store/policy.def"
#undef LIMIT
	struct store_rule rules[STORE_RULES_MAX];	/* ascending by scope */
	size_t rules_count;
};

enum store_scope_kind { SCOPE_PAYLOAD, SCOPE_TABLE, SCOPE_TIER, SCOPE_ALL_TIERS };
struct store_scope {
	const char *name;
	enum store_scope_kind kind;
	enum table_id table;
	unsigned tier;		/* place in ROLLUP_TIERS */
	unsigned order;
	const char *text;
};
extern const struct store_scope store_scopes[];
extern const size_t store_scopes_count;

/* The line of scopes.def that a scope as written is of. E_FORMAT in words: the scope, and what there is. */
int store_scope_find(const char *scope, const struct store_scope **ret_scope, struct err *err);
/* The rule of exactly this scope, or NULL. */
const struct store_rule *store_policy_rule(const struct store_policy *policy, const char *scope);
/* Add or replace a rule. E_FORMAT: no such scope; E_LIMIT: too many. */
int store_policy_put(struct store_policy *policy, const struct store_rule *rule, struct err *err);
/* E_NOT_FOUND */
int store_policy_drop(struct store_policy *policy, const char *scope, struct err *err);

/*
 * What holds for a payload class (the part behind "packets/", "" for the default one), a table, a tier: its rule,
 * else the limits of the whole store.
 */
struct store_rule store_policy_class(const struct store_policy *policy, const char *class_name);
struct store_rule store_policy_scope(const struct store_policy *policy, const struct store_scope *scope);

#endif
