#include "store/retention_plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/pins.h"

#define RESERVE_PART 16	/* of the bytes in all; store/writer.c asks for a round more often than so many are written */
#define HEADER_BYTES_ABOUT 12u	/* of a packet, packed */
#define CLASSES_MAX 32	/* payload classes that are told apart: those of the policy, and some it had before */

static bool is_rows(const struct store_scope *scope)
{
	return scope->kind == SCOPE_TABLE || scope->kind == SCOPE_TIER;
}

/* ---------------------------------------------------------- one partition */

static bool tiers_known(const struct part_entry *entry)
{
	uint64_t rows = 0;

	for (int t = 0; t < ROLLUP_TIERS_COUNT; t++)
		rows += entry->tiers[t].rows;
	return rows > 0;
}

/* Older partitions do not tell their tiers apart: all of it counts as the coarsest. */
static bool has_rows(const struct part_entry *entry, const struct store_scope *scope)
{
	if (scope->kind == SCOPE_TABLE || entry->tables[scope->table].rows == 0)
		return entry->tables[scope->table].rows > 0;
	return tiers_known(entry) ? entry->tiers[scope->tier].rows > 0 : scope->tier == ROLLUP_TIERS_COUNT - 1;
}

static uint64_t share(uint64_t of, uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)((double)of * (double)part / (double)whole) : 0;
}

/* About what dropping a table or tier would free: indexes and LMDB's pages go with the row groups. */
static uint64_t row_bytes(const struct part_entry *entry, const struct store_scope *scope)
{
	uint64_t bytes = 0, rows = 0, table;

	for (int t = 1; t <= TABLE_MAX; t++) {
		bytes += t == TABLE_PACKETS ? 0 : entry->tables[t].bytes;
		rows += t == TABLE_PACKETS ? 0 : entry->tables[t].rows;
	}
	table = bytes ? share(entry->data_bytes, entry->tables[scope->table].bytes, bytes)
		      : share(entry->data_bytes, entry->tables[scope->table].rows, rows);
	if (scope->kind == SCOPE_TIER && tiers_known(entry))
		return share(table, entry->tiers[scope->tier].bytes, entry->tables[TABLE_ROLLUPS].bytes);
	return table;
}

static bool seg_held(const struct plan_part *part, unsigned seg)
{
	return !part->all && !(part->segs_gone & 1u << seg) && part->entry.segs[seg].held && part->entry.segs[seg].bytes;
}

static bool any_held(const struct plan_part *part)
{
	for (unsigned s = 0; s < part->entry.segs_count; s++)
		if (seg_held(part, s))
			return true;
	return false;
}

static bool row_held(const struct plan_part *part, size_t scope)
{
	return !part->all && !(part->rows_gone & 1u << scope) && has_rows(&part->entry, &store_scopes[scope]);
}

static bool is_flow_table(const struct store_scope *scope)
{
	return scope->kind == SCOPE_TABLE && (scope->table == TABLE_FLOWS || scope->table == TABLE_CALLS);
}

bool plan_seg_ruled(const struct plan *plan, const struct plan_part *part, unsigned seg)
{
	return part->segs_thin & 1u << seg ||
	       store_policy_rule(&plan->policy, store_policy_class(&plan->policy, part->entry.segs[seg].class_name).scope);
}

/* The share of a table's rows that goes when those of kept packets stay. */
static uint64_t filter_frees(const struct plan *plan, const struct plan_part *part, const struct store_scope *scope)
{
	uint64_t packets = part->entry.tables[TABLE_PACKETS].rows, kept = 0;

	for (unsigned s = 0; s < part->entry.segs_count; s++)
		kept += seg_held(part, s) && plan_seg_ruled(plan, part, s) ? part->entry.segs[s].packets : 0;
	return share(row_bytes(&part->entry, scope), packets - kept, packets);
}

static uint64_t rows_gone_bytes(const struct plan *plan, const struct plan_part *part)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < store_scopes_count; i++) {
		if (part->rows_gone & 1u << i)
			bytes += row_bytes(&part->entry, &store_scopes[i]);
		else if (part->rows_kept & 1u << i)
			bytes += filter_frees(plan, part, &store_scopes[i]);
	}
	return bytes < part->entry.data_bytes ? bytes : part->entry.data_bytes;
}

enum plan_rows plan_rows_of(const struct plan_part *part, enum table_id table, unsigned tier)
{
	for (size_t i = 0; i < store_scopes_count; i++) {
		const struct store_scope *scope = &store_scopes[i];

		if (!is_rows(scope) || scope->table != table || (scope->kind == SCOPE_TIER && scope->tier != tier))
			continue;
		if (part->rows_gone & 1u << i)
			return PLAN_NONE;
		if (part->rows_kept & 1u << i)
			return PLAN_FILTERED;
	}
	return PLAN_ALL;
}

/* ---------------------------------------------------------------- dropping */

static void why_put(char why[STORE_WHY_MAX], const char *text)
{
	(void)snprintf(why, STORE_WHY_MAX, "%s", text);
}

/* Headers of a packet take about so much. */
static uint64_t thin_frees(const struct part_seg *seg)
{
	uint64_t headers = seg->packets * HEADER_BYTES_ABOUT;

	return seg->bytes - (headers < seg->bytes / 2 ? headers : seg->bytes / 2);
}

/* What class it is of, and what it takes, once its payload is gone. */
static const char *seg_class(const struct plan_part *part, unsigned seg)
{
	return part->segs_thin & 1u << seg ? PART_HEADERS_CLASS : part->entry.segs[seg].class_name;
}

static uint64_t seg_left(const struct plan_part *part, unsigned seg)
{
	return part->entry.segs[seg].bytes - (part->segs_thin & 1u << seg ? thin_frees(&part->entry.segs[seg]) : 0);
}

static void drop_seg(struct plan *plan, struct plan_part *part, unsigned seg, const char *why)
{
	uint64_t left = seg_left(part, seg);

	part->segs_thin &= ~(1u << seg);
	plan->packet_bytes -= left;
	plan->free_bytes += left;
	part->segs_gone |= 1u << seg;
	why_put(part->seg_why[seg], why);
}

/* Its payload goes, its headers stay: all packets of the partition are written anew. */
static void thin_seg(struct plan *plan, struct plan_part *part, unsigned seg, const char *why)
{
	uint64_t passing = part->entry.data_bytes + part_entry_packet_bytes(&part->entry);

	plan->packet_bytes -= thin_frees(&part->entry.segs[seg]);
	plan->free_bytes += thin_frees(&part->entry.segs[seg]);
	plan->passing_bytes = passing > plan->passing_bytes ? passing : plan->passing_bytes;
	part->segs_thin |= 1u << seg;
	(void)snprintf(part->seg_why[seg], STORE_WHY_MAX, "%.60s, headers stay", why);
}

static void drop_all(struct plan *plan, struct plan_part *part, const char *why)
{
	uint64_t left = part->entry.data_bytes - rows_gone_bytes(plan, part);

	for (unsigned s = 0; s < part->entry.segs_count; s++)
		if (seg_held(part, s))
			drop_seg(plan, part, s, why);
	plan->data_bytes -= left;
	plan->free_bytes += left;
	part->all = true;
	why_put(part->all_why, why);
}

/* Rows of one scope, or (kept) those of them that no kept packet belongs to. The last ones take the partition along. */
static void drop_rows(struct plan *plan, struct plan_part *part, size_t scope, bool kept, const char *why)
{
	uint64_t before = rows_gone_bytes(plan, part), freed, left;

	if (kept)
		part->rows_kept |= 1u << scope;
	else
		part->rows_gone |= 1u << scope;
	freed = rows_gone_bytes(plan, part) - before;
	plan->data_bytes -= freed;
	plan->free_bytes += freed;
	why_put(part->row_why[scope], why);
	for (size_t i = 0; i < store_scopes_count; i++) {
		if (is_rows(&store_scopes[i]) && row_held(part, i)) {
			left = part->entry.data_bytes - rows_gone_bytes(plan, part);
			plan->passing_bytes = left > plan->passing_bytes ? left : plan->passing_bytes;
			return;
		}
	}
	drop_all(plan, part, why);
}

/* ------------------------------------------------------------------ by age */

/* "7d", "36h": in the largest unit that is exact, as a user writes it. */
static void age_text(uint64_t age_ns, char *text, size_t cap)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = { { NS_PER_DAY, "d" }, { NS_PER_HOUR, "h" }, { NS_PER_MIN, "m" }, { NS_PER_SEC, "s" }, { 1, "ns" } };
	size_t i = 0;

	while (age_ns % units[i].ns)
		i++;
	(void)snprintf(text, cap, "%llu%s", (unsigned long long)(age_ns / units[i].ns), units[i].name);
}

/* The newest it holds is that old. Later data of the same hour makes a new generation. */
static bool too_old(const struct plan *plan, const struct plan_part *part, uint64_t age_ns)
{
	return age_ns && age_ns <= plan->now_ns && part_entry_newest(&part->entry) < plan->now_ns - age_ns;
}

static void age_why(const struct plan *plan, const struct store_rule *rule, bool payload, char why[STORE_WHY_MAX])
{
	const char *name = rule->scope;
	char age[24];

	if (!store_policy_rule(&plan->policy, rule->scope))
		name = payload ? "payload" : "metadata";
	age_text(rule->age_ns, age, sizeof(age));
	(void)snprintf(why, STORE_WHY_MAX, "%.40s older than %.20s", name, age);
}

static void drop_old_packets(struct plan *plan, struct plan_part *part)
{
	const struct store_rule *headers = store_policy_rule(&plan->policy, "packets/" PART_HEADERS_CLASS);
	char why[STORE_WHY_MAX];

	for (unsigned s = 0; s < part->entry.segs_count; s++) {
		struct store_rule rule = store_policy_class(&plan->policy, part->entry.segs[s].class_name);

		if (!seg_held(part, s) || !too_old(plan, part, rule.age_ns))
			continue;
		age_why(plan, &rule, true, why);
		if (headers && strcmp(rule.scope, headers->scope) != 0 && !too_old(plan, part, headers->age_ns))
			thin_seg(plan, part, s, why);
		else
			drop_seg(plan, part, s, why);
	}
}

/* Packets without a rule of their own do not outlive the rows of their flows. True: others do. */
static bool release_packets(struct plan *plan, struct plan_part *part, const struct store_scope *scope,
			    const char *why)
{
	for (unsigned s = 0; s < part->entry.segs_count; s++)
		if (seg_held(part, s) && !plan_seg_ruled(plan, part, s) && scope->table == TABLE_FLOWS)
			drop_seg(plan, part, s, why);
	for (unsigned s = 0; s < part->entry.segs_count; s++)
		if (seg_held(part, s) && plan_seg_ruled(plan, part, s))
			return true;
	return false;
}

static void drop_old_rows(struct plan *plan, struct plan_part *part)
{
	char why[STORE_WHY_MAX];

	for (size_t i = 0; i < store_scopes_count && !part->all; i++) {
		const struct store_scope *scope = &store_scopes[i];
		struct store_rule rule;

		if (!is_rows(scope) || !row_held(part, i))
			continue;
		rule = store_policy_scope(&plan->policy, scope);
		if (!too_old(plan, part, rule.age_ns))
			continue;
		age_why(plan, &rule, false, why);
		if (!is_flow_table(scope) || !release_packets(plan, part, scope, why))
			drop_rows(plan, part, i, false, why);
		else if (!(part->entry.residual & 1u << scope->table))
			drop_rows(plan, part, i, true, why);
	}
}

/* ---------------------------------------------------------------- by bytes */

enum measure { DATA_BYTES, PACKET_BYTES, TOTAL_BYTES, FREE_BYTES };

static uint64_t excess(const struct plan *plan, enum measure measure)
{
	const struct store_policy *policy = &plan->policy;
	uint64_t is, most;

	switch (measure) {
	case DATA_BYTES:
		is = plan->data_bytes;
		most = policy->data_bytes;
		break;
	case PACKET_BYTES:
		is = plan->packet_bytes;
		most = policy->packet_bytes;
		break;
	case TOTAL_BYTES:
		is = plan->data_bytes + plan->packet_bytes + plan->reserve_bytes + plan->passing_bytes;
		most = policy->total_bytes;
		break;
	default:
		return policy->free_bytes > plan->free_bytes ? policy->free_bytes - plan->free_bytes : 0;
	}
	return most && is > most ? is - most : 0;
}

/* Too young to be dropped for its bytes. Where that no longer counts, it is told. */
static bool is_young(struct plan *plan, const struct plan_part *part, const struct store_rule *rule, size_t scope)
{
	if (!rule->min_age_ns ||
	    (rule->min_age_ns < plan->now_ns && part_entry_newest(&part->entry) < plan->now_ns - rule->min_age_ns))
		return false;
	if (plan->floors)
		return true;
	plan->below |= 1u << scope;
	return false;
}

static bool try_seg(struct plan *plan, struct plan_part *part, unsigned seg, const char *why)
{
	struct store_rule rule = store_policy_class(&plan->policy, part->entry.segs[seg].class_name);

	if (part->fixed || !seg_held(part, seg) || is_young(plan, part, &rule, 0))
		return false;
	drop_seg(plan, part, seg, why);
	return true;
}

/* Payload goes before metadata: rows of flows and calls only with all packets of their partition. */
static bool try_rows(struct plan *plan, struct plan_part *part, size_t i, const char *why)
{
	const struct store_scope *scope = &store_scopes[i];
	struct store_rule rule = store_policy_scope(&plan->policy, scope);

	if (part->fixed || !row_held(part, i) || is_young(plan, part, &rule, i))
		return false;
	if (is_flow_table(scope)) {
		for (unsigned s = 0; s < part->entry.segs_count; s++)
			(void)try_seg(plan, part, s, why);
		if (any_held(part))
			return false;
	}
	drop_rows(plan, part, i, false, why);
	return true;
}

struct class_order {
	char name[PART_CLASS_MAX];
	uint64_t keep_ns;
};

static int cmp_classes(const void *a, const void *b)
{
	const struct class_order *x = a, *y = b;

	if (x->keep_ns != y->keep_ns)
		return x->keep_ns < y->keep_ns ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* The classes that are held, the cheapest first: the one that is kept the shortest. */
static size_t order_classes(const struct plan *plan, struct class_order classes[CLASSES_MAX])
{
	size_t count = 0;

	for (size_t p = 0; p < plan->count; p++) {
		for (unsigned s = 0; s < plan->parts[p].entry.segs_count; s++) {
			const char *name = seg_class(&plan->parts[p], s);
			size_t c = 0;

			while (c < count && strcmp(classes[c].name, name) != 0)
				c++;
			if (c < count || count == CLASSES_MAX)
				continue;
			(void)snprintf(classes[count].name, PART_CLASS_MAX, "%s", name);
			classes[count].keep_ns = store_policy_class(&plan->policy, name).age_ns;
			classes[count].keep_ns = classes[count].keep_ns ? classes[count].keep_ns : UINT64_MAX;
			count++;
		}
	}
	if (count)
		qsort(classes, count, sizeof(*classes), cmp_classes);
	return count;
}

static void drop_packets_for(struct plan *plan, enum measure measure, const char *why)
{
	struct class_order classes[CLASSES_MAX];
	size_t count = excess(plan, measure) ? order_classes(plan, classes) : 0;

	for (size_t c = 0; c < count; c++)
		for (size_t p = 0; p < plan->count && excess(plan, measure); p++)
			for (unsigned s = 0; s < plan->parts[p].entry.segs_count; s++)
				if (strcmp(seg_class(&plan->parts[p], s), classes[c].name) == 0)
					(void)try_seg(plan, &plan->parts[p], s, why);
}

static void drop_rows_for(struct plan *plan, enum measure measure, const char *why)
{
	for (unsigned order = 1; order < PLAN_SCOPES_MAX; order++)
		for (size_t p = 0; p < plan->count && excess(plan, measure); p++)
			for (size_t i = 0; i < store_scopes_count; i++)
				if (is_rows(&store_scopes[i]) && store_scopes[i].order == order)
					(void)try_rows(plan, &plan->parts[p], i, why);
}

static uint64_t class_bytes(const struct plan *plan, const char *class_name)
{
	uint64_t bytes = 0;

	for (size_t p = 0; p < plan->count; p++)
		for (unsigned s = 0; s < plan->parts[p].entry.segs_count; s++)
			if (seg_held(&plan->parts[p], s) &&
			    strcmp(seg_class(&plan->parts[p], s), class_name) == 0)
				bytes += seg_left(&plan->parts[p], s);
	return bytes;
}

static uint64_t scope_bytes(const struct plan *plan, size_t scope)
{
	uint64_t bytes = 0;

	for (size_t p = 0; p < plan->count; p++) {
		const struct plan_part *part = &plan->parts[p];

		if (!row_held(part, scope))
			continue;
		bytes += row_bytes(&part->entry, &store_scopes[scope]);
		if (part->rows_kept & 1u << scope)
			bytes -= filter_frees(plan, part, &store_scopes[scope]);
	}
	return bytes;
}

/* The rollups of all tiers together, the finest first. */
static void keep_tiers_bytes(struct plan *plan, const struct store_rule *rule, const char *why)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < store_scopes_count; i++)
		bytes += store_scopes[i].kind == SCOPE_TIER ? scope_bytes(plan, i) : 0;
	for (size_t i = 0; i < store_scopes_count; i++) {
		for (size_t p = 0; p < plan->count && bytes > rule->bytes; p++) {
			struct plan_part *part = &plan->parts[p];
			uint64_t frees = row_bytes(&part->entry, &store_scopes[i]);

			if (store_scopes[i].kind == SCOPE_TIER && try_rows(plan, part, i, why))
				bytes -= frees < bytes ? frees : bytes;
		}
	}
}

/* The limit of bytes that one scope has for itself. */
static void keep_rule_bytes(struct plan *plan, const struct store_rule *rule)
{
	const struct store_scope *scope;
	uint64_t bytes;
	char why[STORE_WHY_MAX];

	if (!rule->bytes || store_scope_find(rule->scope, &scope, NULL) < 0)
		return;
	(void)snprintf(why, sizeof(why), "%.60s above its bytes", rule->scope);
	if (scope->kind == SCOPE_ALL_TIERS) {
		keep_tiers_bytes(plan, rule, why);
		return;
	}
	if (scope->kind != SCOPE_PAYLOAD) {
		bytes = scope_bytes(plan, (size_t)(scope - store_scopes));
		for (size_t p = 0; p < plan->count && bytes > rule->bytes; p++) {
			uint64_t frees = row_bytes(&plan->parts[p].entry, scope);

			if (try_rows(plan, &plan->parts[p], (size_t)(scope - store_scopes), why))
				bytes -= frees < bytes ? frees : bytes;
		}
		return;
	}
	bytes = class_bytes(plan, rule->scope[7] ? rule->scope + 8 : "");
	for (size_t p = 0; p < plan->count; p++)
		for (unsigned s = 0; s < plan->parts[p].entry.segs_count && bytes > rule->bytes; s++) {
			uint64_t left = seg_left(&plan->parts[p], s);

			if (strcmp(seg_class(&plan->parts[p], s), rule->scope[7] ? rule->scope + 8 : "") == 0 &&
			    try_seg(plan, &plan->parts[p], s, why))
				bytes -= left;
		}
}

static void drop_for_bytes(struct plan *plan, bool floors)
{
	plan->floors = floors;
	for (size_t i = 0; i < plan->policy.rules_count; i++)
		keep_rule_bytes(plan, &plan->policy.rules[i]);
	drop_packets_for(plan, PACKET_BYTES, "payload above its bytes");
	drop_rows_for(plan, DATA_BYTES, "metadata above its bytes");
	drop_packets_for(plan, TOTAL_BYTES, "store above its bytes");
	drop_rows_for(plan, TOTAL_BYTES, "store above its bytes");
	drop_packets_for(plan, FREE_BYTES, "file system nearly full");
	drop_rows_for(plan, FREE_BYTES, "file system nearly full");
}

/* -------------------------------------------------------------------- door */

static int load(struct kv_txn *catalog, uint64_t catalog_bytes, struct arena *arena, struct plan *plan, struct err *err)
{
	struct part_entry *entries;
	struct store_pin *pins;
	size_t pins_count;
	int rc = catalog_policy_get(catalog, &plan->policy, err);

	if (rc == 0)
		rc = catalog_parts(catalog, arena, &entries, &plan->count, err);
	if (rc == 0)
		rc = catalog_pins(catalog, arena, &pins, &pins_count, err);
	if (rc < 0)
		return rc;
	plan->parts = arena_array(arena, plan->count + 1, sizeof(*plan->parts));
	if (!plan->parts)
		return err_set(err, E_NO_MEMORY, "retention: out of memory");
	for (size_t i = 0; i < plan->count; i++) {
		struct plan_part *part = &plan->parts[i];

		part->entry = entries[i];
		part->pinned = pins_hold(&entries[i], pins, pins_count);
		part->fixed = part->pinned || entries[i].state != PART_SEALED;
		plan->data_bytes += entries[i].data_bytes;
		plan->packet_bytes += part_entry_packet_bytes(&entries[i]);
		if (entries[i].state != PART_SEALED)
			plan->reserve_bytes += entries[i].data_bytes + part_entry_packet_bytes(&entries[i]);
	}
	/* A recorder goes on writing until the next round, and a seal needs a hot partition's room a second time. */
	if (plan->reserve_bytes && plan->reserve_bytes < plan->policy.total_bytes / RESERVE_PART)
		plan->reserve_bytes = plan->policy.total_bytes / RESERVE_PART;
	plan->reserve_bytes += catalog_bytes;
	return 0;
}

int plan_make(struct kv_txn *catalog, uint64_t catalog_bytes, uint64_t free_bytes, uint64_t now_ns,
	      struct arena *arena, struct plan *ret_plan, struct err *err)
{
	struct plan plan = { .free_bytes = free_bytes, .now_ns = now_ns };
	int rc;

	_Static_assert(PLAN_SCOPES_MAX <= 32, "a bit each");
	rc = load(catalog, catalog_bytes, arena, &plan, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < plan.count; i++) {
		if (plan.parts[i].fixed)
			continue;
		drop_old_packets(&plan, &plan.parts[i]);
		drop_old_rows(&plan, &plan.parts[i]);
	}
	drop_for_bytes(&plan, true);
	if (!plan.policy.horizon_first)
		drop_for_bytes(&plan, false);
	*ret_plan = plan;
	return 0;
}

/* ------------------------------------------------------------------ report */

static void add_victim(struct store_plan *out, const struct plan_part *part, const char *scope, bool packets_only,
		       uint64_t bytes, const char *why)
{
	struct store_victim *victim = &out->victims[out->victims_count++];

	*victim = (struct store_victim){ .packets_only = packets_only, .bytes = bytes,
					 .anew = !packets_only && strcmp(scope, "all") != 0 };
	part_entry_info(&part->entry, part->pinned, &victim->part);
	(void)snprintf(victim->scope, sizeof(victim->scope), "%s", scope);
	why_put(victim->why, why);
	out->bytes += bytes;
}

/* Files that go, partitions that go, then partitions that are made anew: so room comes before it is needed. */
static void report_victims(const struct plan *plan, struct store_plan *out)
{
	for (size_t p = 0; p < plan->count; p++) {
		const struct plan_part *part = &plan->parts[p];

		for (unsigned s = 0; s < part->entry.segs_count && !part->all; s++)
			if (part->segs_gone & 1u << s)
				add_victim(out, part, store_policy_class(&plan->policy, part->entry.segs[s].class_name).scope,
					   true, part->entry.segs[s].bytes, part->seg_why[s]);
	}
	for (size_t p = 0; p < plan->count; p++)
		if (plan->parts[p].all)
			add_victim(out, &plan->parts[p], "all", false,
				   plan->parts[p].entry.data_bytes + part_entry_packet_bytes(&plan->parts[p].entry),
				   plan->parts[p].all_why);
	for (size_t p = 0; p < plan->count; p++) {
		const struct plan_part *part = &plan->parts[p];

		for (unsigned s = 0; s < part->entry.segs_count && !part->all; s++) {
			if (!(part->segs_thin & 1u << s))
				continue;
			add_victim(out, part, store_policy_class(&plan->policy, part->entry.segs[s].class_name).scope, true,
				   thin_frees(&part->entry.segs[s]), part->seg_why[s]);
			out->victims[out->victims_count - 1].anew = true;
		}
		for (size_t i = 0; i < store_scopes_count && !part->all; i++) {
			if (part->rows_gone & 1u << i)
				add_victim(out, part, store_scopes[i].name, false, row_bytes(&part->entry, &store_scopes[i]),
					   part->row_why[i]);
			else if (part->rows_kept & 1u << i)
				add_victim(out, part, store_scopes[i].name, false, filter_frees(plan, part, &store_scopes[i]),
					   part->row_why[i]);
		}
	}
}

static void report_class(const struct plan *plan, const char *class_name, struct store_plan *out)
{
	struct store_rule rule = store_policy_class(&plan->policy, class_name);
	struct store_reach *reach = &out->reaches[out->reaches_count++];

	*reach = (struct store_reach){ .oldest_ns = UINT64_MAX, .min_age_ns = rule.min_age_ns };
	memcpy(reach->scope, rule.scope, sizeof(reach->scope));
	for (size_t p = 0; p < plan->count; p++) {
		const struct plan_part *part = &plan->parts[p];
		bool hot = part->entry.state != PART_SEALED && !*class_name;	/* classes are chosen by the seal */

		for (unsigned s = 0; s < part->entry.segs_count; s++) {
			const struct part_seg *seg = &part->entry.segs[s];

			if (!seg_held(part, s) || strcmp(seg_class(part, s), class_name) != 0)
				continue;
			reach->bytes += seg_left(part, s);
			if (seg->packets && seg->time_min < reach->oldest_ns)
				reach->oldest_ns = seg->time_min;
		}
		reach->bytes += hot ? part->entry.packet_bytes : 0;
		if (hot && part_entry_packets_min(&part->entry) < reach->oldest_ns)
			reach->oldest_ns = part_entry_packets_min(&part->entry);
	}
	if (rule.min_age_ns && rule.min_age_ns < plan->now_ns && plan->below & 1u)
		reach->below = reach->oldest_ns == UINT64_MAX || reach->oldest_ns > plan->now_ns - rule.min_age_ns;
}

static void report_rows(const struct plan *plan, size_t scope, struct store_plan *out)
{
	const struct store_scope *of = &store_scopes[scope];
	struct store_rule rule = store_policy_scope(&plan->policy, of);
	struct store_reach *reach = &out->reaches[out->reaches_count++];

	*reach = (struct store_reach){ .oldest_ns = UINT64_MAX, .min_age_ns = rule.min_age_ns,
				       .bytes = scope_bytes(plan, scope), .below = plan->below & 1u << scope };
	(void)snprintf(reach->scope, sizeof(reach->scope), "%s", of->name);
	for (size_t p = 0; p < plan->count; p++) {
		const struct plan_part *part = &plan->parts[p];
		const struct part_table *table = &part->entry.tables[of->table];

		/* What is there for the sake of some packets is not how far the table reaches. */
		if (row_held(part, scope) && !(part->rows_kept & 1u << scope) &&
		    !(part->entry.residual & 1u << of->table) && table->start_min < reach->oldest_ns)
			reach->oldest_ns = table->start_min;
	}
}

static void report_reach(const struct plan *plan, struct store_plan *out)
{
	struct class_order classes[CLASSES_MAX];
	size_t count = order_classes(plan, classes);

	report_class(plan, "", out);
	for (size_t c = 0; c < count; c++)
		if (*classes[c].name && (class_bytes(plan, classes[c].name) ||
					 store_policy_rule(&plan->policy, store_policy_class(&plan->policy, classes[c].name).scope)))
			report_class(plan, classes[c].name, out);
	for (size_t i = 0; i < store_scopes_count; i++)
		if (is_rows(&store_scopes[i]))
			report_rows(plan, i, out);
}

int plan_report(const struct plan *plan, struct arena *arena, struct store_plan *ret_out, struct err *err)
{
	struct store_plan out = { .below_horizon = plan->below != 0 };
	struct plan bare = *plan;
	size_t most = 1;

	for (size_t p = 0; p < plan->count; p++)
		most += plan->parts[p].all ? 1
					   : (size_t)__builtin_popcount(plan->parts[p].segs_gone | plan->parts[p].segs_thin) +
						     (size_t)__builtin_popcount(plan->parts[p].rows_gone | plan->parts[p].rows_kept);
	out.victims = arena_array(arena, most, sizeof(*out.victims));
	out.reaches = arena_array(arena, CLASSES_MAX + store_scopes_count + 1, sizeof(*out.reaches));
	if (!out.victims || !out.reaches)
		return err_set(err, E_NO_MEMORY, "retention: out of memory");
	report_victims(plan, &out);
	report_reach(plan, &out);
	bare.reserve_bytes = bare.passing_bytes = 0;	/* room that is wanted, not used */
	for (enum measure m = DATA_BYTES; m <= FREE_BYTES; m++)
		out.over_bytes = excess(&bare, m) > out.over_bytes ? excess(&bare, m) : out.over_bytes;
	*ret_out = out;
	return 0;
}
