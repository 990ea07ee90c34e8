#include "query/query.h"

#define VALUES_MAX 100000	/* distinct ones looked at */

/* The most frequent ones: a count by the column, of which only the keys are wanted. */
int query_values(struct store *store, const struct query_opts *opts, enum table_id table, const struct col *col,
		 struct view prefix, size_t limit, struct arena *arena, struct view **ret_values,
		 size_t *ret_count, struct err *err)
{
	struct query_aggregate what = { .table = table, .by = view_str(col->key), .agg = VIEW_LIT("count"), .top = VALUES_MAX };
	struct query_groups groups;
	struct query_stats stats;
	struct view *values;
	size_t count = 0;
	int rc = query_aggregate(store, opts, &what, arena, &groups, &stats, err);

	if (rc < 0)
		return rc;
	values = arena_array(arena, limit + 1, sizeof(*values));
	if (!values)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < groups.count && count < limit; i++) {
		struct view value = groups.groups[i].keys[0];

		if (value.at && value.len >= prefix.len && view_eq(view_sub(value, 0, prefix.len), prefix))
			values[count++] = value;
	}
	*ret_values = values;
	*ret_count = count;
	return 0;
}
