/*
 * Distinct values of a column: what a person may choose from. With a filter, or
 * on a column without an index, the rows are counted by value. Else the indexes
 * of sealed partitions and the dictionaries of hot ones tell, at no row's cost.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "query/group.h"
#include "query/plan.h"
#include "query/scan.h"

#define VALUES_MAX 100000 /* distinct ones looked at */

static bool starts(struct view text, struct view prefix)
{
	return text.len >= prefix.len && view_eq(view_sub(text, 0, prefix.len), prefix);
}

/* ---- by counting rows: the most frequent first ---- */

static int values_counted(struct store *store, const struct query_opts *opts, enum table_id table,
			  const struct col *col, struct view prefix, size_t limit,
			  struct arena *arena, struct view *values, size_t *ret_count,
			  struct err *err)
{
	struct query_aggregate what = { .table = table,
					.by = view_str(col->key),
					.agg = VIEW_LIT("count"),
					.top = VALUES_MAX };
	struct query_groups groups;
	struct query_stats stats;
	size_t count = 0;
	int rc = query_aggregate(store, opts, &what, arena, &groups, &stats, err);

	for (size_t i = 0; rc == 0 && i < groups.count && count < limit; i++) {
		struct view value = groups.groups[i].keys[0];

		if (value.at && starts(value, prefix))
			values[count++] = value;
	}
	*ret_count = count;
	return rc;
}

/* ---- from indexes and dictionaries: alphabetical ---- */

struct walk {
	struct plan *plan;
	struct scan *scan;
	const struct col *col;
	struct intern values; /* as stored; INT: 8 bytes */
	struct arena memory;
	bool failed;
};

static bool walk_add(struct view value, void *arg)
{
	struct walk *walk = arg;

	walk->failed = !intern_add(&walk->values, value);
	return !walk->failed && walk->values.count < VALUES_MAX;
}

static int group_values(struct walk *walk, const struct scan_group *group, struct err *err)
{
	struct scan *scan = walk->scan;
	struct rg_bytes bytes;
	struct rg_ints ints;
	uint64_t before = 0;
	int rc = scan_reopen(scan, group, err);

	if (rc < 0)
		return rc;
	if (types[walk->col->type].phys == PHYS_BYTES) {
		rc = columns_bytes(&scan->columns, walk->col, &bytes, err);
		/* Only used entries count: a dictionary may have one that stands for null. */
		for (uint32_t row = 0, code_before = UINT32_MAX;
		     rc == 0 && row < scan->columns.rows; row++) {
			uint32_t code = bytes.codes ? bytes.codes[row] : row;

			if (code != code_before && rg_valid(bytes.valid, row) &&
			    !walk_add(bytes.dict[code], walk))
				break;
			code_before = rg_valid(bytes.valid, row) ? code : UINT32_MAX;
		}
		return rc;
	}
	rc = columns_ints(&scan->columns, walk->col, &ints, err);
	for (uint32_t row = 0, any = 0; rc == 0 && row < scan->columns.rows; row++) {
		if (!rg_valid(ints.valid, row) || (any && ints.values[row] == before))
			continue;
		before = ints.values[row];
		any = 1;
		if (!walk_add(view_make(&before, 8), walk))
			break;
	}
	return rc;
}

/* Sealed partitions have an index of all values; it covers the hour, of which the range may be a part. */
static int part_values(struct walk *walk, size_t part, bool *ret_indexed, struct err *err)
{
	struct err why = { 0 };
	int rc = store_index_values(walk->scan->view, part, walk->plan->table->id, walk->col,
				    walk_add, walk, &why);

	*ret_indexed = rc == 0;
	if (rc < 0 && rc != E_UNSUPPORTED && rc != E_EXPIRED && rc != E_CORRUPT)
		return err_set(err, rc, "%s", why.text);
	return 0;
}

static int hour_values(struct walk *walk, struct err *err)
{
	struct scan *scan = walk->scan;
	uint32_t part = UINT32_MAX;
	bool indexed = false;
	int rc = 0;

	for (size_t i = 0;
	     rc == 0 && i < scan->groups_count && walk->values.count < VALUES_MAX && !walk->failed;
	     i++) {
		struct err why = { 0 };

		rc = plan_check(walk->plan, err);
		if (rc == 0 && scan->groups[i].part != part) {
			part = scan->groups[i].part;
			rc = part_values(walk, part, &indexed, err);
		}
		if (rc < 0 || indexed)
			continue;
		rc = group_values(walk, &scan->groups[i], &why);
		walk->plan->stats->rows_scanned += scan->groups[i].zone.rows;
		if (rc == E_CORRUPT)
			rc = 0;
		else if (rc == E_NO_MEMORY)
			rc = plan_no_memory(walk->plan, err);
		else if (rc < 0)
			(void)err_set(err, rc, "%s", why.text);
	}
	return rc;
}

static int text_cmp(const void *a, const void *b)
{
	const struct view *x = a, *y = b;

	return view_cmp(*x, *y);
}

/* The values as text, those with the prefix, in order. */
static int values_write(const struct walk *walk, struct view prefix, size_t limit,
			struct arena *arena, struct view *values, size_t *ret_count,
			struct err *err)
{
	void *row = arena_zalloc(arena, walk->plan->table->row_bytes);
	struct view *all = arena_array(arena, walk->values.count + 1, sizeof(*all));
	size_t count = 0;
	struct wr wr;
	int rc = row && all ? 0 : E_NO_MEMORY;

	wr_init(&wr, 0);
	for (size_t i = 0; rc == 0 && i < walk->values.count; i++) {
		struct view stored = walk->values.texts[i];
		uint64_t number = 0;

		if (types[walk->col->type].phys == PHYS_INT)
			memcpy(&number, stored.at, stored.len < 8 ? stored.len : 8);
		if (row_put(walk->col, row, number, stored) < 0)
			continue;
		wr_reset(&wr);
		query_value_text(walk->col, row, false, &wr);
		if (wr.bad) {
			rc = E_NO_MEMORY;
			break;
		}
		if (!starts(wr_view(&wr), prefix))
			continue;
		all[count] = arena_copy(arena, wr_view(&wr));
		rc = all[count].at ? 0 : E_NO_MEMORY;
		count++;
	}
	wr_release(&wr);
	if (rc < 0)
		return err_set(err, rc, "out of memory");
	qsort(all, count, sizeof(*all), text_cmp);
	*ret_count = count < limit ? count : limit;
	memcpy(values, all, *ret_count * sizeof(*all));
	return 0;
}

static int values_walked(struct plan *plan, const struct col *col, struct view prefix, size_t limit,
			 struct arena *arena, struct view *values, size_t *ret_count,
			 struct err *err)
{
	struct walk walk = { .plan = plan, .scan = mem_zalloc(sizeof(struct scan)), .col = col };
	int rc;

	if (!walk.scan)
		return err_set(err, E_NO_MEMORY, "out of memory");
	arena_init(&walk.memory, plan->budget.memory);
	intern_init(&walk.values, &walk.memory);
	rc = scan_open(walk.scan, plan, true, err);
	while (rc == 0 && walk.values.count < VALUES_MAX && !walk.failed &&
	       (rc = scan_hour(walk.scan, err)) == 1)
		rc = hour_values(&walk, err);
	if (rc == 0 && walk.failed)
		rc = plan_no_memory(plan, err);
	if (rc == 0)
		rc = values_write(&walk, prefix, limit, arena, values, ret_count, err);
	scan_close(walk.scan);
	mem_free(walk.scan);
	intern_release(&walk.values);
	arena_release(&walk.memory);
	return rc;
}

int query_values(struct store *store, const struct query_opts *opts, enum table_id table,
		 const struct col *col, struct view prefix, size_t limit, struct arena *arena,
		 struct view **ret_values, size_t *ret_count, struct err *err)
{
	struct view *values = arena_array(arena, limit + 1, sizeof(*values));
	struct query_stats stats;
	struct plan plan;
	size_t count = 0;
	int rc;

	if (!values)
		return err_set(err, E_NO_MEMORY, "out of memory");
	if (!table_get(table) || table == TABLE_PACKETS || col->type == TYPE_HIST)
		return err_set(err, E_UNSUPPORTED, "`%s` has no list of values", col->key);
	rc = plan_init(&plan, store, opts, table, false, &stats, err);
	if (rc == 0 && col->index == INDEX_BITMAP && filter_is_all(plan.filters[0]))
		rc = values_walked(&plan, col, prefix, limit, arena, values, &count, err);
	else if (rc == 0)
		rc = values_counted(store, opts, table, col, prefix, limit, arena, values, &count,
				    err);
	plan_release(&plan);
	if (rc == 0) {
		*ret_values = values;
		*ret_count = count;
	}
	return rc;
}
