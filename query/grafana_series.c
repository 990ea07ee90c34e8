/* One target of time series: aggregates over a grid of buckets, a frame a series. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "query/filter.h"
#include "query/grafana.h"
#include "query/names.h"

#define TEXT(v)	       (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at
#define SERIES_DEFAULT 20
#define LATE_NS	       (3 * NS_PER_SEC)
#define TOP_MAX	       100000 /* groups a bucket: the most are sorted out here, over all buckets */

struct series {
	const struct view *keys;
	double weight;	 /* sum of the first value that is there */
	double *values;	 /* [point * aggs + agg] */
	uint32_t number; /* in the order of discovery */
};

struct grid {
	struct grafana_target *target;
	struct query_groups groups;
	struct query_stats stats;
	struct query_opts opts;
	uint64_t first_ns; /* of the grid */
	size_t points;
	bool counts; /* no row means 0, not unknown */
	struct series *list;
	size_t count;
	uint32_t *number_of; /* a group's series */
};

/* ---- the question ---- */

/* "p%(latency)" and 50, 99 become "p50(latency),p99(latency)". */
static int expand_percentiles(struct grafana_target *target, const char *agg, struct view *ret_agg,
			      struct err *err)
{
	static const struct view usual[] = { { (const uint8_t *)"50", 2 },
					     { (const uint8_t *)"95", 2 },
					     { (const uint8_t *)"99", 2 } };
	struct arena *arena = &target->req->arena;
	const char *mark = strchr(agg, '%'), *text = "";
	struct view *list;
	size_t count;
	int rc;

	if (!mark) {
		*ret_agg = view_str(agg);
		return 0;
	}
	rc = grafana_list(json_get(target->payload, "percentile"), true, arena, &list, &count, err);
	if (rc < 0)
		return rc;
	if (count == 0) {
		list = (struct view *)usual;
		count = 3;
	}
	for (size_t i = 0; i < count && text; i++) {
		struct view q = list[i];

		if (q.len && (q.at[0] == 'p' || q.at[0] == 'P'))
			q = view_sub(q, 1, q.len);
		text = arena_printf(arena, "%s%s%.*s%.*s%s", text, i ? "," : "", (int)(mark - agg),
				    agg, TEXT(q), mark + 1);
	}
	if (!text)
		return err_set(err, E_NO_MEMORY, "out of memory");
	*ret_agg = view_str(text);
	return 0;
}

/* Does the table know every column that filter and group_by name? */
static bool knows(const struct table *table, struct view filter, struct view by)
{
	struct filter *parsed = NULL;
	struct err err = { 0 };
	size_t from = 0;
	int rc = filter_new(table, filter, clock_now_ns(), &parsed, &err);

	filter_free(parsed);
	if (rc == E_UNKNOWN_NAME)
		return false;
	for (size_t i = 0; i <= by.len; i++) {
		struct name_cols cols;
		struct view name;

		if (i < by.len && by.at[i] != ',')
			continue;
		name = view_trim(view_sub(by, from, i - from));
		if (name.len && !name_resolve(table, name, &cols))
			return false;
		from = i + 1;
	}
	return true;
}

static int group_list(struct grafana_target *target, struct view *ret_by, struct err *err)
{
	struct arena *arena = &target->req->arena;
	const char *text = "";
	struct view *list;
	size_t count;
	int rc = grafana_list(json_get(target->payload, "group_by"), true, arena, &list, &count,
			      err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count && text; i++)
		text = arena_printf(arena, "%s%s%.*s", text, i ? "," : "", TEXT(list[i]));
	if (!text)
		return err_set(err, E_NO_MEMORY, "out of memory");
	*ret_by = view_str(text);
	return 0;
}

static int what_to_ask(struct grafana_target *target, struct query_aggregate *ret_what,
		       struct err *err)
{
	const struct grafana_metric *metric = target->metric;
	struct query_aggregate what = { .table = TABLE_ROLLUPS, .top = TOP_MAX };
	const char *agg = metric->rollup_agg;
	int rc = group_list(target, &what.by, err);

	if (rc < 0)
		return rc;
	if (metric->table && !knows(table_get(TABLE_ROLLUPS), target->filter, what.by)) {
		what.table = metric->table;
		agg = metric->row_agg;
	}
	rc = expand_percentiles(target, agg, &what.agg, err);
	*ret_what = what;
	return rc;
}

/* ---- the grid ---- */

/*
 * Where the recorder is at work, the newest seconds are not written yet: a second of
 * rollups comes two seconds late, and a commit one later. To count them as silence
 * would draw a fall at the right edge of every live graph.
 */
static uint64_t known_until(const struct grafana_target *target)
{
	uint64_t to_ns = target->opts.to_ns - target->opts.to_ns % NS_PER_SEC, known_ns;
	struct store_horizon horizon;

	if (to_ns <= target->opts.from_ns)
		return target->opts.to_ns;
	if (store_horizon(target->store, &horizon, NULL) < 0 || !horizon.writer_alive ||
	    horizon.newest_ns < LATE_NS)
		return to_ns;
	known_ns = horizon.newest_ns - LATE_NS;
	known_ns -= known_ns % NS_PER_SEC;
	return known_ns < to_ns && known_ns > target->opts.from_ns ? known_ns : to_ns;
}

/*
 * Buckets begin at multiples of the step, so that a refresh moves no point. The
 * last one ends with the range: rates are over what lies within.
 */
static void lay_grid(struct grid *grid)
{
	struct grafana_target *target = grid->target;
	uint64_t step_ns = target->step_ns;

	grid->opts = target->opts;
	grid->first_ns = target->opts.from_ns - target->opts.from_ns % step_ns;
	grid->points = (size_t)((target->opts.to_ns - grid->first_ns + step_ns - 1) / step_ns);
	grid->opts.from_ns = grid->first_ns;
	grid->opts.to_ns = known_until(target);
}

/* Nothing is known of a bucket before the first, after the last row held, or in a gap of all sources. */
static bool unknown(const struct grid *grid, size_t point)
{
	uint64_t from_ns = grid->first_ns + point * grid->target->step_ns,
		 to_ns = from_ns + grid->target->step_ns;
	const struct query_stats *stats = &grid->stats;

	if (stats->oldest_ns == UINT64_MAX || to_ns <= stats->oldest_ns ||
	    from_ns > stats->newest_ns || from_ns >= grid->opts.to_ns)
		return true;
	for (size_t i = 0; i < stats->gaps_count; i++)
		if (stats->gaps[i].source == 0 && stats->gaps[i].from_ns <= from_ns &&
		    stats->gaps[i].to_ns >= to_ns)
			return true;
	return false;
}

static bool same_keys(const struct grid *grid, const struct view *a, const struct view *b)
{
	for (size_t k = 0; k < grid->groups.keys_count; k++)
		if (!view_eq(a[k], b[k]) || !a[k].at != !b[k].at)
			return false;
	return true;
}

static uint64_t hash_keys(const struct grid *grid, const struct view *keys)
{
	uint64_t h = grid->groups.keys_count;

	for (size_t k = 0; k < grid->groups.keys_count; k++)
		h = hash_bytes(keys[k].at, keys[k].len, h + !keys[k].at);
	return h;
}

/* First pass: which series there are, and how much each weighs. slots: open addressing, index + 1. */
static int find_series(struct grid *grid, struct err *err)
{
	struct arena *arena = &grid->target->req->arena;
	size_t slots_count = 64;
	uint32_t *slots;

	while (slots_count < 2 * grid->groups.count)
		slots_count *= 2;
	slots = arena_array(arena, slots_count, sizeof(*slots));
	grid->list = arena_array(arena, grid->groups.count + 1, sizeof(*grid->list));
	grid->number_of = arena_array(arena, grid->groups.count + 1, sizeof(*grid->number_of));
	if (!slots || !grid->list || !grid->number_of)
		return err_set(err, E_NO_MEMORY, "out of memory: %zu groups", grid->groups.count);
	for (size_t i = 0; i < grid->groups.count; i++) {
		const struct query_group *group = &grid->groups.groups[i];
		size_t slot = hash_keys(grid, group->keys) & (slots_count - 1);
		struct series *series;

		while (slots[slot] &&
		       !same_keys(grid, grid->list[slots[slot] - 1].keys, group->keys))
			slot = (slot + 1) & (slots_count - 1);
		if (!slots[slot]) {
			grid->list[grid->count].keys = group->keys;
			grid->list[grid->count].number = (uint32_t)grid->count;
			slots[slot] = (uint32_t)++grid->count;
		}
		grid->number_of[i] = slots[slot] - 1;
		series = &grid->list[slots[slot] - 1];
		for (size_t v = 0; v < grid->groups.values_count; v++)
			if (!isnan(group->values[v]))
				series->weight += group->values[v];
	}
	return 0;
}

static int heavier(const void *a, const void *b)
{
	const struct series *x = a, *y = b;

	return x->weight < y->weight ? 1 : x->weight > y->weight ? -1 : 0;
}

static int fill_series(struct grid *grid, size_t keep, struct err *err)
{
	size_t aggs = grid->groups.values_count;
	struct series **by_number =
		arena_array(&grid->target->req->arena, grid->count + 1, sizeof(struct series *));

	if (!by_number)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t s = 0; s < keep; s++) {
		struct series *series = &grid->list[s];

		series->values =
			arena_array(&grid->target->req->arena, grid->points * aggs, sizeof(double));
		if (!series->values)
			return err_set(err, E_NO_MEMORY, "out of memory: %zu series of %zu points",
				       keep, grid->points);
		by_number[series->number] = series;
		for (size_t p = 0; p < grid->points; p++)
			for (size_t v = 0; v < aggs; v++)
				series->values[p * aggs + v] =
					grid->counts && !unknown(grid, p) ? 0 : NAN;
	}
	for (size_t i = 0; i < grid->groups.count; i++) {
		const struct query_group *group = &grid->groups.groups[i];
		size_t point =
			(size_t)((group->bucket_ns - grid->first_ns) / grid->target->step_ns);

		if (group->bucket_ns >= grid->first_ns && point < grid->points &&
		    by_number[grid->number_of[i]])
			memcpy(&by_number[grid->number_of[i]]->values[point * aggs], group->values,
			       aggs * sizeof(double));
	}
	return 0;
}

/* ---- frames ---- */

/* "rate(tx_bytes)" is tx_bytes to people; "p99(latency)" p99. */
static const char *agg_label(const char *name, struct arena *arena)
{
	const char *open = strchr(name, '('), *close = strrchr(name, ')');

	if (open && close && strncmp(name, "rate", 4) == 0)
		return arena_printf(arena, "%.*s", (int)(close - open - 1), open + 1);
	if (open && name[0] == 'p')
		return arena_printf(arena, "%.*s", (int)(open - name), name);
	return name;
}

static const char *series_label(const struct grid *grid, const struct series *series, size_t agg)
{
	struct arena *arena = &grid->target->req->arena;
	const char *text = "";

	for (size_t k = 0; k < grid->groups.keys_count && text; k++) {
		struct view key = series->keys[k].at ? series->keys[k] : VIEW_LIT("(none)");

		text = arena_printf(arena, "%s%s%.*s", text, k ? " / " : "",
				    (int)(key.len < 200 ? key.len : 200), (const char *)key.at);
	}
	if (!text || (grid->groups.keys_count && grid->groups.values_count == 1))
		return text;
	return arena_printf(arena, "%s%s%s", text, *text ? " " : "",
			    agg_label(grid->groups.value_names[agg], arena));
}

static int write_series(struct grid *grid, const struct series *series, size_t agg,
			const char *notice, struct json *json, struct err *err)
{
	struct grafana_target *target = grid->target;
	struct frame_field *times, *values;
	struct frame frame;
	int rc = E_NO_MEMORY;

	frame_init(&frame, target->ref_id, series_label(grid, series, agg));
	frame.notice = notice;
	frame.tag_names = grid->groups.key_names;
	frame.tag_values = series->keys;
	frame.tags_count = grid->groups.keys_count;
	times = frame_add(&frame, "Time", "time", NULL);
	for (size_t p = 0; times && p < grid->points; p++)
		frame_put_u64(times, (grid->first_ns + p * target->step_ns) / NS_PER_MS);
	values = frame_add(&frame, agg_label(grid->groups.value_names[agg], &target->req->arena),
			   "number", target->metric->unit);
	if (values && frame.name) {
		values->label = frame.name;
		for (size_t p = 0; p < grid->points; p++)
			frame_put_f64(values, series->values[p * grid->groups.values_count + agg]);
		rc = frame_write(&frame, target->form_given ? target->form : GRAFANA_COLUMNS, json,
				 err);
	} else {
		(void)err_set(err, rc, "out of memory");
	}
	frame_release(&frame);
	return rc;
}

static int write_all(struct grid *grid, struct json *json, struct err *err)
{
	struct grafana_target *target = grid->target;
	const char *notice = grafana_notice(&grid->stats, &target->opts, &target->req->arena);
	uint64_t keep;
	int rc =
		grafana_option_u64(target, "limit", SERIES_DEFAULT, GRAFANA_SERIES_MAX, &keep, err);

	if (rc >= 0)
		rc = find_series(grid, err);
	if (rc < 0)
		return rc;
	qsort(grid->list, grid->count, sizeof(*grid->list), heavier);
	if (grid->count > keep && !notice)
		notice = arena_printf(&target->req->arena,
				      "the %llu largest of %zu series; the option limit shows more",
				      (unsigned long long)keep, grid->count);
	if (keep > grid->count)
		keep = grid->count;
	rc = fill_series(grid, (size_t)keep, err);
	for (size_t s = 0; s < keep && rc >= 0; s++)
		for (size_t v = 0; v < grid->groups.values_count && rc >= 0; v++) {
			rc = write_series(grid, &grid->list[s], v, notice, json, err);
			notice = NULL; /* said once */
		}
	target->req->rows += keep;
	return rc;
}

/* One row a group over the whole range. */
static int write_totals(struct grafana_target *target, const struct query_groups *groups,
			const struct query_stats *stats, struct json *json, struct err *err)
{
	struct frame frame;
	struct frame_field *field;
	int rc = 0;

	frame_init(&frame, target->ref_id, target->metric->label);
	frame.notice = grafana_notice(stats, &target->opts, &target->req->arena);
	for (size_t k = 0; k < groups->keys_count && rc >= 0; k++) {
		field = frame_add(&frame, groups->key_names[k], "string", NULL);
		for (size_t i = 0; field && i < groups->count; i++)
			frame_put_str(field, groups->groups[i].keys[k]);
		rc = field ? 0 : err_set(err, E_NO_MEMORY, "out of memory");
	}
	for (size_t v = 0; v < groups->values_count && rc >= 0; v++) {
		field = frame_add(&frame, agg_label(groups->value_names[v], &target->req->arena),
				  "number", target->metric->unit);
		for (size_t i = 0; field && i < groups->count; i++)
			frame_put_f64(field, groups->groups[i].values[v]);
		rc = field ? 0 : err_set(err, E_NO_MEMORY, "out of memory");
	}
	if (rc >= 0)
		rc = frame_write(&frame, target->form_given ? GRAFANA_TABLE : GRAFANA_COLUMNS, json,
				 err);
	target->req->rows += groups->count;
	frame_release(&frame);
	return rc;
}

int grafana_run_series(struct grafana_target *target, struct json *json, struct err *err)
{
	struct grid grid = { .target = target };
	struct query_aggregate what;
	struct view show = grafana_text(json_get(target->payload, "show"), &target->req->arena);
	bool table =
		view_is(show, "table") || (target->form_given && target->form == GRAFANA_TABLE);
	uint64_t keep = SERIES_DEFAULT;
	int rc = what_to_ask(target, &what, err);

	if (rc < 0)
		return rc;
	target->opts.filter = target->filter;
	grid.counts = strchr(target->metric->rollup_agg, '%') == NULL &&
		      strcmp(target->metric->name, "error_ratio") != 0;
	if (table) {
		rc = grafana_option_u64(target, "limit", SERIES_DEFAULT, GRAFANA_SERIES_MAX, &keep,
					err);
		what.top = keep;
		if (rc >= 0)
			rc = query_aggregate(target->store, &target->opts, &what,
					     &target->req->arena, &grid.groups, &grid.stats, err);
		return rc < 0 ? rc : write_totals(target, &grid.groups, &grid.stats, json, err);
	}
	lay_grid(&grid);
	what.step_ns = target->step_ns;
	rc = query_aggregate(target->store, &grid.opts, &what, &target->req->arena, &grid.groups,
			     &grid.stats, err);
	return rc < 0 ? rc : write_all(&grid, json, err);
}
