#include "store/payload_class.h"

#include <assert.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/part.h"

#define HEADERS_SCOPE "packets/" PART_HEADERS_CLASS	/* what others become, not what a flow is of */
#define FLOWS_MAX (1u << 21)	/* of other classes than the default one; what is above stays with that */

struct class_rule {
	char name[PART_CLASS_MAX];
	bool error;
	struct view namespace;		/* of name; 0: none */
	uint32_t l7;
	bool by_l7;
	uint64_t keep_ns;		/* UINT64_MAX: for good */
};

struct payload_classes {
	struct class_rule rules[PART_SEGS_MAX];		/* [0] is the default class */
	unsigned count;
	uint64_t *ids;			/* open addressing, 0 = free */
	uint8_t *class_ids;
	size_t slots, used;
	bool full;
	bool taken;			/* all flows are of one class */
	unsigned all;
};

static void rule_read(struct class_rule *rule, const struct store_rule *from)
{
	const char *name = from->scope + strlen("packets/");
	const char *value = strchr(name, '=');

	memcpy(rule->name, name, strlen(name) + 1);
	rule->keep_ns = from->age_ns ? from->age_ns : UINT64_MAX;
	if (!value)
		rule->error = true;
	else if (strncmp(name, "namespace=", 10) == 0)
		rule->namespace = view_str(rule->name + (value + 1 - name));
	else
		rule->by_l7 = sym_number(SYMS_L7, view_str(value + 1), &rule->l7) == 0;
}

int payload_classes_new(const struct store_policy *policy, struct payload_classes **ret_classes)
{
	struct payload_classes *classes = NULL;

	for (size_t i = 0; i < policy->rules_count; i++) {
		if (strncmp(policy->rules[i].scope, "packets/", strlen("packets/")) != 0 ||
		    strcmp(policy->rules[i].scope, HEADERS_SCOPE) == 0)
			continue;
		if (!classes)
			classes = mem_zalloc(sizeof(*classes));
		if (!classes)
			return E_NO_MEMORY;
		if (classes->count == 0)
			classes->count = 1;
		if (classes->count < PART_SEGS_MAX)
			rule_read(&classes->rules[classes->count++], &policy->rules[i]);
	}
	*ret_classes = classes;
	return 0;
}

int payload_classes_named(const char *const *names, unsigned count, struct payload_classes **ret_classes)
{
	struct payload_classes *classes = mem_zalloc(sizeof(*classes));

	assert(count <= PART_SEGS_MAX);
	if (!classes)
		return E_NO_MEMORY;
	classes->count = count;
	for (unsigned c = 0; c < count; c++)
		memcpy(classes->rules[c].name, names[c], strlen(names[c]) + 1);
	classes->taken = true;
	*ret_classes = classes;
	return 0;
}

void payload_classes_take(struct payload_classes *classes, unsigned class_id)
{
	classes->all = class_id;
}

void payload_classes_free(struct payload_classes *classes)
{
	if (!classes)
		return;
	mem_free(classes->ids);
	mem_free(classes->class_ids);
	mem_free(classes);
}

/* Where the id is, or would go. */
static size_t slot_of(const struct payload_classes *classes, uint64_t id)
{
	size_t at = (size_t)hash_u64(id) & (classes->slots - 1);

	while (classes->ids[at] && classes->ids[at] != id)
		at = (at + 1) & (classes->slots - 1);
	return at;
}

static int grow(struct payload_classes *classes)
{
	struct payload_classes bigger = { .slots = classes->slots ? classes->slots * 2 : 1024 };

	bigger.ids = mem_array(bigger.slots, sizeof(*bigger.ids));
	bigger.class_ids = mem_array(bigger.slots, 1);
	if (!bigger.ids || !bigger.class_ids) {
		mem_free(bigger.ids);
		mem_free(bigger.class_ids);
		return E_NO_MEMORY;
	}
	for (size_t i = 0; i < classes->slots; i++) {
		size_t at;

		if (!classes->ids[i])
			continue;
		at = slot_of(&bigger, classes->ids[i]);
		bigger.ids[at] = classes->ids[i];
		bigger.class_ids[at] = classes->class_ids[i];
	}
	mem_free(classes->ids);
	mem_free(classes->class_ids);
	classes->ids = bigger.ids;
	classes->class_ids = bigger.class_ids;
	classes->slots = bigger.slots;
	return 0;
}

static int enter(struct payload_classes *classes, uint64_t id, unsigned class_id)
{
	size_t at;

	if (id == 0)
		return 0;
	if (2 * classes->used >= classes->slots && classes->used < FLOWS_MAX && grow(classes) < 0)
		return E_NO_MEMORY;
	at = slot_of(classes, id);
	if (!classes->ids[at]) {
		if (classes->used >= FLOWS_MAX) {
			if (!classes->full)
				log_warn("too many flows of payload classes, the rest is of the default one max=%u", FLOWS_MAX);
			classes->full = true;
			return 0;
		}
		classes->ids[at] = id;
		classes->used++;
	} else if (classes->rules[class_id].keep_ns <= classes->rules[classes->class_ids[at]].keep_ns) {
		return 0;	/* what it is keeps at least as long */
	}
	classes->class_ids[at] = (uint8_t)class_id;
	return 0;
}

/* A reset after the FINs is how many programs hang up. */
static bool flow_failed(const struct flow_row *row)
{
	return ROW_HAS(FLOW, row, end_reason) && row->end_reason == FLOW_END_rst &&
	       !(ROW_HAS(FLOW, row, reset_phase) && (row->reset_phase == RESET_closing || row->reset_phase == RESET_stray));
}

static bool call_failed(const struct call_row *row)
{
	return row->status_class == CLASS_client_error || row->status_class == CLASS_server_error ||
	       row->end_reason == CALL_END_unanswered || row->end_reason == CALL_END_reset;
}

static bool namespace_is(struct view wanted, bool has, struct view is)
{
	return wanted.len && has && view_eq(wanted, is);
}

int payload_classes_note(struct payload_classes *classes, enum table_id table, const void *row)
{
	const struct flow_row *flow = row;
	const struct call_row *call = row;
	bool is_flow = table == TABLE_FLOWS;
	int rc = 0;

	if (!classes || (!is_flow && table != TABLE_CALLS))
		return 0;
	for (unsigned c = 1; c < classes->count && rc == 0; c++) {
		const struct class_rule *rule = &classes->rules[c];
		bool is = rule->error && (is_flow ? flow_failed(flow) : call_failed(call));

		if (is_flow) {
			is |= rule->by_l7 && ROW_HAS(FLOW, flow, l7) && flow->l7 == rule->l7;
			is |= namespace_is(rule->namespace, ROW_HAS(FLOW, flow, src_namespace), flow->src_namespace);
			is |= namespace_is(rule->namespace, ROW_HAS(FLOW, flow, dst_namespace), flow->dst_namespace);
		} else {
			is |= rule->by_l7 && call->l7 == rule->l7;
			is |= namespace_is(rule->namespace, ROW_HAS(CALL, call, src_namespace), call->src_namespace);
			is |= namespace_is(rule->namespace, ROW_HAS(CALL, call, dst_namespace), call->dst_namespace);
		}
		if (is)
			rc = enter(classes, is_flow ? flow->id : call->flow_id, c);
	}
	return rc;
}

unsigned payload_classes_of(const struct payload_classes *classes, uint64_t flow_id)
{
	size_t at;

	if (classes && classes->taken)
		return classes->all;
	if (!classes || !classes->slots || flow_id == 0)
		return 0;
	at = slot_of(classes, flow_id);
	return classes->ids[at] ? classes->class_ids[at] : 0;
}

const char *payload_classes_name(const struct payload_classes *classes, unsigned class_id)
{
	return classes ? classes->rules[class_id].name : "";
}
