/* One /query request: its range, step and targets. */
#include <stdio.h>

#include "base/clock.h"
#include "query/grafana.h"
#include "query/http_route.h"

#define TEXT(v)	       (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at
#define POINTS_DEFAULT 1000

/* ---- the tables ---- */

#define SERIES(name_, label_, unit_, agg_, table_, row_agg_, text_)                                \
	{ .name = #name_,                                                                          \
	  .label = label_,                                                                         \
	  .unit = unit_,                                                                           \
	  .text = text_,                                                                           \
	  .kind = GRAFANA_SERIES,                                                                  \
	  .rollup_agg = agg_,                                                                      \
	  .table = (enum table_id)(table_),                                                        \
	  .row_agg = row_agg_ },
#define ROWS(name_, label_, table_, text_)                                                         \
	{ .name = #name_, .label = label_, .text = text_, .kind = GRAFANA_ROWS, .table = table_ },
#define OTHER(name_, label_, kind_, text_)                                                         \
	{ .name = #name_, .label = label_, .text = text_, .kind = kind_ },
#define OPTION(...)
const struct grafana_metric grafana_all[] = {
#include "query/grafana.def"
};
#undef SERIES
#undef ROWS
#undef OTHER
#undef OPTION
const size_t grafana_all_count = sizeof(grafana_all) / sizeof(grafana_all[0]);

#define SERIES(...)
#define ROWS(...)
#define OTHER(...)
#define OPTION(name_, label_, input_, kinds_, text_)                                               \
	{ .name = #name_, .label = label_, .input = input_, .text = text_, .kinds = kinds_ },
#define ANY_SERIES (1u << GRAFANA_SERIES)
#define ANY_ROWS   (1u << GRAFANA_ROWS)
#define ANY_EVENTS (1u << GRAFANA_EVENTS)
#define ANY_MAP	   (1u << GRAFANA_MAP)
const struct grafana_option grafana_options[] = {
#include "query/grafana.def"
};
#undef SERIES
#undef ROWS
#undef OTHER
#undef OPTION
const size_t grafana_options_count = sizeof(grafana_options) / sizeof(grafana_options[0]);

const struct grafana_metric *grafana_metric_find(struct view name)
{
	for (size_t i = 0; i < grafana_all_count; i++)
		if (view_is(name, grafana_all[i].name))
			return &grafana_all[i];
	return NULL;
}

/* ---- pieces of a request ---- */

int grafana_body(struct http_request *req, struct json_doc **ret_doc, struct err *err)
{
	struct view body = view_trim(req->body);
	int rc = json_parse(body.len ? body : VIEW_LIT("{}"), ret_doc, err);

	if (rc < 0)
		return err_prefix(err, "body");
	if (json_kind(json_root(*ret_doc)) == JSON_OBJECT)
		return 0;
	json_doc_free(*ret_doc);
	*ret_doc = NULL;
	return err_set(err, E_FORMAT, "body: not a JSON object");
}

static int one_time(const struct json_val *val, const char *name, uint64_t *time_ns,
		    struct err *err)
{
	struct err why = { 0 };
	struct view text = json_get_str(val, VIEW_LIT(""));
	int rc;

	if (json_kind(val) == JSON_INT && json_get_i64(val, 0) > 0) {
		*time_ns = (uint64_t)json_get_i64(val, 0) * NS_PER_MS;
		return 0;
	}
	if (text.len == 0)
		return 0;
	rc = clock_parse(text, clock_now_ns(), time_ns, &why);
	return rc < 0 ? err_set(err, rc, "range.%s: %s", name, why.text) : 0;
}

int grafana_range(const struct json_val *range, struct query_opts *opts, struct err *err)
{
	int rc;

	opts->to_ns = clock_now_ns();
	opts->from_ns = 0;
	rc = one_time(json_get(range, "to"), "to", &opts->to_ns, err);
	if (rc >= 0)
		rc = one_time(json_get(range, "from"), "from", &opts->from_ns, err);
	if (rc < 0)
		return rc;
	if (!opts->from_ns)
		opts->from_ns = opts->to_ns > API_RANGE_NS ? opts->to_ns - API_RANGE_NS : 0;
	if (opts->from_ns >= opts->to_ns)
		return err_set(err, E_RANGE, "the range is empty or reversed");
	return 0;
}

struct query_opts grafana_opts(struct serve *serve, struct http_request *req)
{
	return (struct query_opts){ .budget = serve->opts.budget, .cancel = &req->cancel, .crew = serve->crew };
}

int grafana_option_u64(const struct grafana_target *target, const char *name, uint64_t fallback,
		       uint64_t max, uint64_t *ret_value, struct err *err)
{
	struct view text = grafana_text(json_get(target->payload, name), &target->req->arena);

	if (view_trim(text).len == 0) {
		*ret_value = fallback;
		return 0;
	}
	if (view_u64(view_trim(text), max, ret_value) < 0 || *ret_value == 0)
		return err_set(err, E_FORMAT, "option %s: \"%.*s\" is no number from 1 to %llu",
			       name, TEXT(text), (unsigned long long)max);
	return 0;
}

const char *grafana_notice(const struct query_stats *stats, const struct query_opts *opts,
			   struct arena *arena)
{
	char text[CLOCK_TEXT_LEN];

	if (stats->oldest_ns == UINT64_MAX)
		return "nothing is held of this table";
	/* Not worth a word when a second or a pixel is missing. */
	if (opts->from_ns + NS_PER_SEC + (opts->to_ns - opts->from_ns) / 500 < stats->oldest_ns) {
		clock_format(stats->oldest_ns, text);
		return arena_printf(arena, "the range begins before %s, the oldest instant held",
				    text);
	}
	if (stats->damaged_row_groups)
		return arena_printf(arena, "%llu damaged row groups were left out",
				    (unsigned long long)stats->damaged_row_groups);
	if (stats->gaps_count) {
		clock_format(stats->gaps[0].from_ns, text);
		return arena_printf(arena, "%zu gaps in the recording, the first at %s: %s",
				    stats->gaps_count, text, stats->gaps[0].reason);
	}
	return stats->truncated ? "there is more than is shown" : NULL;
}

/*
 * At least intervalMs, at most maxDataPoints points, a whole number of seconds, and from a
 * minute on of minutes: then rollups of minutes can answer.
 */
static uint64_t choose_step(const struct json_val *root, const struct query_opts *opts)
{
	int64_t interval_ms = json_get_i64(json_get(root, "intervalMs"), 0);
	int64_t points = json_get_i64(json_get(root, "maxDataPoints"), POINTS_DEFAULT);
	uint64_t range_ns = opts->to_ns - opts->from_ns, step_ns, unit_ns;

	if (points < 1)
		points = POINTS_DEFAULT;
	if (points > GRAFANA_POINTS_MAX)
		points = GRAFANA_POINTS_MAX;
	if (interval_ms < 0 || (uint64_t)interval_ms > range_ns / NS_PER_MS)
		interval_ms = interval_ms < 0 ? 0 : (int64_t)(range_ns / NS_PER_MS);
	step_ns = (range_ns + (uint64_t)points - 1) / (uint64_t)points;
	if (step_ns < (uint64_t)interval_ms * NS_PER_MS)
		step_ns = (uint64_t)interval_ms * NS_PER_MS;
	for (;;) {
		uint64_t first;

		unit_ns = step_ns > NS_PER_MIN ? NS_PER_MIN : NS_PER_SEC;
		step_ns = (step_ns + unit_ns - 1) / unit_ns * unit_ns;
		if (step_ns == 0)
			step_ns = unit_ns;
		/* Both ends are moved out to whole steps: that may be one or two points more. */
		first = opts->from_ns / step_ns;
		if ((opts->to_ns + step_ns - 1) / step_ns - first <= (uint64_t)points ||
		    step_ns > range_ns)
			return step_ns;
		step_ns += unit_ns;
	}
}

/* ---- targets ---- */

/* Everything that narrows the target down, as one filter. */
static int join_filters(struct grafana_target *target, const struct json_val *root, struct err *err)
{
	static const struct {
		const char *option, *column;
	} columns[] = {
		{ "source", "src.workload" },
		{ "destination", "dst.workload" },
		{ "protocol", "l7" },
	};
	struct arena *arena = &target->req->arena;
	const struct json_val *adhoc = json_get(root, "filters");
	struct grafana_filters filters;
	int rc;

	if (json_kind(adhoc) != JSON_ARRAY)
		adhoc = json_get(root, "adhocFilters");
	grafana_filters_init(&filters, arena);
	rc = grafana_filters_typed(&filters,
				   grafana_text(json_get(target->payload, "filter"), arena), err);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]) && rc >= 0; i++) {
		struct view *list;
		size_t count;

		rc = grafana_list(json_get(target->payload, columns[i].option), true, arena, &list,
				  &count, err);
		if (rc >= 0 && grafana_filters_in(&filters, columns[i].column, list, count) < 0)
			rc = err_set(err, E_LIMIT, "the filters are longer than 64 KiB together");
	}
	if (rc >= 0)
		rc = grafana_filters_adhoc(&filters, adhoc, err);
	if (rc >= 0) {
		target->filter = arena_copy(arena, wr_view(&filters.text));
		if (!target->filter.at)
			rc = err_set(err, E_NO_MEMORY, "out of memory");
		else if (target->filter.len)
			target->req->detail = (const char *)target->filter.at;
	}
	grafana_filters_release(&filters);
	return rc;
}

static int run_metric(struct grafana_target *target, struct json *json, struct err *err)
{
	switch (target->metric->kind) {
	case GRAFANA_SERIES: return grafana_run_series(target, json, err);
	case GRAFANA_ROWS: return grafana_run_rows(target, json, err);
	case GRAFANA_EVENTS: return grafana_run_events(target, json, err);
	case GRAFANA_MAP: return grafana_run_map(target, json, err);
	}
	return 0;
}

static int unknown_metric(struct view name, struct err *err)
{
	char names[1024];
	size_t len = 0;
	struct view near;

	for (size_t i = 0; i < grafana_all_count; i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s ",
					grafana_all[i].name);
	near = http_nearest(name, names);
	return err_set(err, E_UNKNOWN_NAME,
		       "no metric \"%.*s\"%s%.*s; POST /grafana/metrics lists them", TEXT(name),
		       near.len ? "; the nearest is " : "", TEXT(near));
}

/* type: timeserie and table is what SimpleJson and early simPod say, and nobody else. */
static void choose_form(const struct json_val *one, struct grafana_target *target)
{
	struct view type = json_get_str(json_get(one, "type"), VIEW_LIT(""));

	target->form_given =
		view_is(type, "timeserie") || view_is(type, "timeseries") || view_is(type, "table");
	target->form = view_is(type, "table") ? GRAFANA_TABLE
		       : target->form_given   ? GRAFANA_DATAPOINTS
					      : GRAFANA_COLUMNS;
}

static int run_target(struct grafana_target *target, const struct json_val *root,
		      const struct json_val *one, struct json *json, struct err *err)
{
	struct query_opts opts = target->opts;
	struct view *names;
	size_t count;
	int rc;

	if (json_get_bool(json_get(one, "hide"), false))
		return 0;
	target->ref_id = json_get_str(json_get(one, "refId"), VIEW_LIT("A"));
	target->payload = json_get(one, "payload");
	if (json_kind(target->payload) != JSON_OBJECT)
		target->payload = json_get(one, "data");
	choose_form(one, target);
	/* A variable may stand for several metrics. */
	rc = grafana_list(json_get(one, "target"), false, &target->req->arena, &names, &count, err);
	if (rc >= 0)
		rc = join_filters(target, root, err);
	for (size_t i = 0; i < count && rc >= 0; i++) {
		target->metric = grafana_metric_find(names[i]);
		if (!target->metric)
			return unknown_metric(names[i], err);
		target->opts = opts;
		rc = run_metric(target, json, err);
	}
	target->opts = opts;
	return rc;
}

int grafana_run(struct serve *serve, struct http_request *req, const struct json_val *root,
		struct json *json, struct err *err)
{
	struct grafana_target target = { .serve = serve,
					 .req = req,
					 .opts = grafana_opts(serve, req) };
	const struct json_val *targets = json_get(root, "targets");
	size_t count = json_count(targets);
	int rc = grafana_range(json_get(root, "range"), &target.opts, err);

	if (rc >= 0 && count > GRAFANA_TARGETS_MAX)
		rc = err_set(err, E_LIMIT, "more than %d targets", GRAFANA_TARGETS_MAX);
	if (rc >= 0)
		rc = serve_store(serve, &target.store, err);
	if (rc < 0)
		return rc;
	target.step_ns = choose_step(root, &target.opts);
	json_array(json);
	for (size_t i = 0; i < count && rc >= 0; i++) {
		rc = run_target(&target, root, json_at(targets, i), json, err);
		if (rc < 0 && target.ref_id.len && count > 1)
			(void)err_prefix(err, "query %.*s", TEXT(target.ref_id));
	}
	json_array_end(json);
	return rc;
}

int grafana_query(void *ctx, struct http_request *req, struct err *err)
{
	struct json_doc *doc = NULL;
	struct json json;
	int rc = grafana_body(req, &doc, err);

	if (rc < 0)
		return rc;
	json_init(&json, http_out(req), false);
	rc = grafana_run(ctx, req, json_root(doc), &json, err);
	json_doc_free(doc);
	return rc;
}
