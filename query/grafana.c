/* The data source's lists: metrics, options, variables, tags; and the old routes. */
#include "query/grafana.h"

#include <stdlib.h>

#include "base/clock.h"
#include "query/filter.h"
#include "query/names.h"

#define TEXT(v) (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at

int grafana_health(void *ctx, struct http_request *req, struct err *err)
{
	const struct serve *serve = ctx;
	struct store_horizon horizon;
	struct store *store;
	struct json json;

	(void)err;
	json_init(&json, http_out(req), false);
	json_object(&json);
	json_kcstr(&json, "name", "tapedeck");
	json_kcstr(&json, "version", serve->version);
	if (serve_store(ctx, &store, NULL) >= 0 && store_horizon(store, &horizon, NULL) >= 0) {
		api_json_time(&json, "oldest", horizon.oldest_ns[TABLE_ROLLUPS]);
		api_json_time(&json, "newest", horizon.newest_ns);
	}
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}

/* ---- lists of the query editor ---- */

static void choice(struct json *json, const char *label, const char *value)
{
	json_object(json);
	json_kcstr(json, "label", label);
	json_kcstr(json, "value", value);
	json_object_end(json);
}

/* False: the values have to be asked for. */
static bool static_choices(struct json *json, struct view option)
{
	static const char *const groups[] = { "src.workload",  "dst.workload",	"dst.service",
					      "src.namespace", "dst.namespace", "src.node",
					      "dst.node",      "dst.port",	"l7",
					      "proto" };
	static const char *const percentiles[] = { "50", "75", "90", "95", "99", "99.9" };

	if (view_is(option, "group_by")) {
		for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
			choice(json, groups[i], groups[i]);
	} else if (view_is(option, "percentile")) {
		for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
			choice(json, percentiles[i], percentiles[i]);
	} else if (view_is(option, "show")) {
		choice(json, "time series", "time_series");
		choice(json, "table", "table");
	} else if (view_is(option, "kind")) {
		for (size_t i = 0; i < syms_count; i++)
			if (syms[i].table == SYMS_EVENT)
				choice(json, syms[i].name, syms[i].name);
	} else if (view_is(option, "protocol")) {
		for (size_t i = 0; i < syms_count; i++)
			if (syms[i].table == SYMS_L7)
				choice(json, syms[i].name, syms[i].name);
	} else {
		return false;
	}
	return true;
}

/* Percentiles make sense only where the aggregate has some. */
static bool offers(const struct grafana_metric *metric, const struct grafana_option *option)
{
	if (!(option->kinds & 1u << metric->kind))
		return false;
	return strcmp(option->name, "percentile") != 0 || strchr(metric->rollup_agg, '%') != NULL;
}

static void option_json(const struct grafana_option *option, struct json *json)
{
	struct wr scratch;
	struct json list;

	json_object(json);
	json_kcstr(json, "name", option->name);
	json_kcstr(json, "label", option->label);
	json_kcstr(json, "type", option->input);
	json_kcstr(json, "placeholder", option->text);
	if (strcmp(option->input, "input") != 0) {
		wr_init(&scratch, 0);
		json_init(&list, &scratch, false);
		json_array(&list);
		if (static_choices(&list, view_str(option->name))) {
			json_array_end(&list);
			json_key(json, "options");
			json_raw(json, wr_view(&scratch));
		}
		wr_release(&scratch);
	}
	json_object_end(json);
}

int grafana_metrics(void *ctx, struct http_request *req, struct err *err)
{
	struct json json;

	(void)ctx;
	(void)err;
	json_init(&json, http_out(req), false);
	json_array(&json);
	for (size_t i = 0; i < grafana_all_count; i++) {
		const struct grafana_metric *metric = &grafana_all[i];

		json_object(&json);
		json_kcstr(&json, "label", metric->label);
		json_kcstr(&json, "value", metric->name);
		json_key(&json, "payloads");
		json_array(&json);
		for (size_t o = 0; o < grafana_options_count; o++)
			if (offers(metric, &grafana_options[o]))
				option_json(&grafana_options[o], &json);
		json_array_end(&json);
		json_object_end(&json);
	}
	json_array_end(&json);
	return 0;
}

/* ---- values out of the store ---- */

struct names {
	struct serve *serve;
	struct http_request *req;
	struct query_opts opts;
	struct view *list;
	size_t count;
};

static bool has_name(const struct names *names, struct view name)
{
	for (size_t i = 0; i < names->count; i++)
		if (view_eq(names->list[i], name))
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	return view_cmp(*(const struct view *)a, *(const struct view *)b);
}

/* Add the values of one column; those that are there already once. */
static int add_values(struct names *names, enum table_id table, const struct col *col,
		      struct err *err)
{
	struct view *values;
	struct store *store;
	size_t count;
	int rc = serve_store(names->serve, &store, err);

	if (!names->list)
		names->list =
			arena_array(&names->req->arena, GRAFANA_VALUES_MAX, sizeof(*names->list));
	if (!names->list)
		return err_set(err, E_NO_MEMORY, "out of memory");
	if (rc >= 0)
		rc = query_values(store, &names->opts, table, col, view_make(NULL, 0),
				  GRAFANA_VALUES_MAX, &names->req->arena, &values, &count, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count && names->count < GRAFANA_VALUES_MAX; i++)
		if (!has_name(names, values[i]))
			names->list[names->count++] = values[i];
	return 0;
}

static void sort_names(struct names *names)
{
	if (names->count)
		qsort(names->list, names->count, sizeof(*names->list), by_name);
	names->req->rows = names->count;
}

static struct names names_of(struct serve *serve, struct http_request *req)
{
	return (struct names){ .serve = serve, .req = req, .opts = grafana_opts(serve, req) };
}

/* The first table that has the column and whose rows the filter can judge. */
static int find_table(struct view key, struct view filter, const struct table **ret_table,
		      const struct col **ret_col, struct err *err)
{
	static const enum table_id tables[] = { TABLE_ROLLUPS, TABLE_CALLS, TABLE_FLOWS,
						TABLE_EVENTS };
	bool known = false;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		const struct table *table = table_get(tables[i]);
		const struct col *col = table_col(table, key);
		struct filter *parsed = NULL;
		struct err why = { 0 };

		if (!col)
			continue;
		known = true;
		if (filter_new(table, filter, clock_now_ns(), &parsed, &why) < 0) {
			if (why.code == E_UNKNOWN_NAME)
				continue;
			return err_set(err, why.code, "%s", why.text);
		}
		filter_free(parsed);
		*ret_table = table;
		*ret_col = col;
		return 0;
	}
	if (known)
		return err_set(err, E_UNKNOWN_NAME,
			       "no table has both \"%.*s\" and the columns of the filters",
			       TEXT(key));
	return err_set(err, E_UNKNOWN_NAME, "no column is called \"%.*s\"", TEXT(key));
}

/* ---- /metric-payload-options ---- */

int grafana_payload_options(void *ctx, struct http_request *req, struct err *err)
{
	struct names names = names_of(ctx, req);
	const struct table *table = table_get(TABLE_ROLLUPS);
	struct json_doc *doc = NULL;
	struct json json;
	struct view name;
	int rc = grafana_body(req, &doc, err);

	if (rc < 0)
		return rc;
	name = json_get_str(json_get(json_root(doc), "name"), VIEW_LIT(""));
	json_init(&json, http_out(req), false);
	json_array(&json);
	if (!static_choices(&json, name)) {
		if (view_is(name, "source"))
			rc = add_values(&names, TABLE_ROLLUPS, &table->cols[ROLLUP_src_workload],
					err);
		else if (view_is(name, "destination"))
			rc = add_values(&names, TABLE_ROLLUPS, &table->cols[ROLLUP_dst_workload],
					err);
		sort_names(&names);
	}
	for (size_t i = 0; i < names.count; i++) {
		json_object(&json);
		json_kstr(&json, "label", names.list[i]);
		json_kstr(&json, "value", names.list[i]);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_doc_free(doc);
	return rc;
}

/* ---- variables ---- */

/* What a variable can list: words, each with the columns it looks into. */
static const struct variable {
	const char *name;
	enum table_id table;
	const char *columns[3];
	const char
		*within; /* column that an argument narrows, per side: src./dst. is put before it */
} variables[] = {
	{ "namespaces", TABLE_FLOWS, { "src.namespace", "dst.namespace" }, NULL },
	{ "pods", TABLE_FLOWS, { "src.pod", "dst.pod" }, "namespace" },
	{ "containers", TABLE_FLOWS, { "src.container", "dst.container" }, "namespace" },
	{ "processes", TABLE_FLOWS, { "src.comm", "dst.comm" }, "node" },
	{ "workloads", TABLE_ROLLUPS, { "src.workload", "dst.workload" }, "namespace" },
	{ "sources", TABLE_ROLLUPS, { "src.workload" }, "namespace" },
	{ "destinations", TABLE_ROLLUPS, { "dst.workload" }, "namespace" },
	{ "services", TABLE_ROLLUPS, { "dst.service" }, "namespace" },
	{ "nodes", TABLE_ROLLUPS, { "src.node", "dst.node" }, NULL },
	{ "ports", TABLE_ROLLUPS, { "dst.port" }, NULL },
	{ "protocols", TABLE_ROLLUPS, { "l7" }, NULL },
	{ "hosts", TABLE_CALLS, { "host" }, NULL },
	{ "methods", TABLE_CALLS, { "method" }, NULL },
	{ "statuses", TABLE_CALLS, { "status" }, NULL },
	{ "ips", TABLE_FLOWS, { "src.ip", "dst.ip" }, NULL },
};

/* "pods(default)", "pods default": the word and its argument. */
static void split_call(struct view text, struct view *ret_word, struct view *ret_arg)
{
	size_t len = 0;

	text = view_trim(text);
	while (len < text.len && text.at[len] != '(' && text.at[len] != ' ')
		len++;
	*ret_word = view_sub(text, 0, len);
	*ret_arg = view_trim(view_sub(text, len, text.len));
	/* One pair of parentheses is the call's; a second one is a variable of several values. */
	if (ret_arg->len >= 2 && ret_arg->at[0] == '(' && ret_arg->at[ret_arg->len - 1] == ')' &&
	    (len < text.len && text.at[len] == '('))
		*ret_arg = view_trim(view_sub(*ret_arg, 1, ret_arg->len - 2));
}

/* The condition that an argument puts on one side: src.namespace in {...}. */
static int narrow(struct names *names, const struct variable *variable, const char *column,
		  const struct view *list, size_t count, struct err *err)
{
	struct grafana_filters filters;
	const char *name;
	int rc = 0;

	names->opts.filter = view_make(NULL, 0);
	if (count == 0 || !variable->within)
		return 0;
	name = arena_printf(&names->req->arena, "%.4s%s", column, variable->within);
	if (!name)
		return err_set(err, E_NO_MEMORY, "out of memory");
	grafana_filters_init(&filters, &names->req->arena);
	rc = grafana_filters_in(&filters, name, list, count);
	names->opts.filter = arena_copy(&names->req->arena, wr_view(&filters.text));
	grafana_filters_release(&filters);
	return rc < 0 || !names->opts.filter.at
		       ? err_set(err, E_LIMIT, "the list of values is too long")
		       : 0;
}

static int unknown_variable(struct view word, struct err *err)
{
	return err_set(
		err, E_UNKNOWN_NAME,
		"no list \"%.*s\": there are namespaces, pods, containers, processes, "
		"workloads, sources, destinations, services, nodes, ports, protocols, hosts, methods, statuses, "
		"ips, metrics, and values(table, column)",
		TEXT(word));
}

/* values(calls, host) */
static int values_call(struct names *names, struct view arg, struct err *err)
{
	const uint8_t *comma = arg.len ? memchr(arg.at, ',', arg.len) : NULL;
	const struct table *table;
	const struct col *col;

	if (!comma)
		return err_set(err, E_SYNTAX,
			       "values takes a table and a column: values(calls, host)");
	table = table_by_name(view_trim(view_sub(arg, 0, (size_t)(comma - arg.at))));
	if (!table)
		return err_set(err, E_UNKNOWN_NAME, "no table \"%.*s\"",
			       TEXT(view_sub(arg, 0, (size_t)(comma - arg.at))));
	arg = view_trim(view_sub(arg, (size_t)(comma - arg.at) + 1, arg.len));
	col = table_col(table, arg);
	if (!col)
		return err_set(err, E_UNKNOWN_NAME, "the table %s has no column \"%.*s\"",
			       table->name, TEXT(arg));
	return add_values(names, table->id, col, err);
}

static int list_variable(struct names *names, struct view text, const struct json_val *payload,
			 struct err *err)
{
	struct view word, arg, *list = NULL;
	size_t count = 0;
	int rc;

	split_call(text, &word, &arg);
	if (view_is(word, "values"))
		return values_call(names, arg, err);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const struct variable *variable = &variables[i];
		const struct json_val *within =
			variable->within ? json_get(payload, variable->within) : NULL;

		if (!view_is(word, variable->name))
			continue;
		rc = within ? grafana_list(within, true, &names->req->arena, &list, &count, err)
			    : grafana_list_text(arg, true, &names->req->arena, &list, &count, err);
		for (size_t c = 0; c < 3 && variable->columns[c] && rc >= 0; c++) {
			rc = narrow(names, variable, variable->columns[c], list, count, err);
			if (rc >= 0)
				rc = add_values(names, variable->table,
						table_col(table_get(variable->table),
							  view_str(variable->columns[c])),
						err);
		}
		return rc;
	}
	return unknown_variable(word, err);
}

/* The names of all metrics, for a variable that chooses between them. */
static int list_metrics(struct names *names, struct err *err)
{
	names->list = arena_array(&names->req->arena, grafana_all_count, sizeof(*names->list));
	if (!names->list)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < grafana_all_count; i++)
		names->list[names->count++] = view_str(grafana_all[i].name);
	return 0;
}

/* payload: {"target": "pods default"}, {"target": "pods", "namespace": [...]}, or the text itself. */
static int run_variable(struct names *names, const struct json_val *payload,
			const struct json_val *range, struct err *err)
{
	struct view text = json_kind(payload) == JSON_STRING
				   ? json_get_str(payload, VIEW_LIT(""))
				   : json_get_str(json_get(payload, "target"), VIEW_LIT(""));
	int rc = 0;

	if (json_kind(json_get(range, "from")) != JSON_NULL)
		rc = grafana_range(range, &names->opts, err);
	if (rc < 0)
		return rc;
	text = view_trim(text);
	if (text.len == 0 || view_is(text, "metrics"))
		return list_metrics(names, err);
	rc = list_variable(names, text, payload, err);
	if (rc >= 0)
		sort_names(names);
	return rc;
}

int grafana_variable(void *ctx, struct http_request *req, struct err *err)
{
	struct names names = names_of(ctx, req);
	struct json_doc *doc = NULL;
	struct json json;
	int rc = grafana_body(req, &doc, err);

	if (rc >= 0)
		rc = run_variable(&names, json_get(json_root(doc), "payload"),
				  json_get(json_root(doc), "range"), err);
	json_init(&json, http_out(req), false);
	json_array(&json);
	for (size_t i = 0; i < names.count && rc >= 0; i++) {
		json_object(&json);
		json_kstr(&json, "__text", names.list[i]);
		json_kstr(&json, "__value", names.list[i]);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_doc_free(doc);
	return rc;
}

static bool matching_metrics(struct names *names, struct view typed)
{
	if (list_metrics(names, NULL) < 0)
		return false;
	names->count = 0;
	for (size_t i = 0; i < grafana_all_count; i++)
		if (view_find(view_str(grafana_all[i].name), typed) >= 0)
			names->list[names->count++] = view_str(grafana_all[i].name);
	return names->count > 0;
}

/* Old plugins: metrics for an empty target, else a variable. Plain texts. */
int grafana_search(void *ctx, struct http_request *req, struct err *err)
{
	struct names names = names_of(ctx, req);
	struct json_doc *doc = NULL;
	struct json json;
	int rc = grafana_body(req, &doc, err);

	if (rc >= 0)
		rc = run_variable(&names, json_root(doc), json_get(json_root(doc), "range"), err);
	/* The select of metrics asks here, too, with what was typed so far. */
	if (rc == E_UNKNOWN_NAME &&
	    matching_metrics(&names,
			     json_get_str(json_get(json_root(doc), "target"), VIEW_LIT("")))) {
		err_clear(err);
		rc = 0;
	}
	json_init(&json, http_out(req), false);
	json_array(&json);
	for (size_t i = 0; i < names.count && rc >= 0; i++)
		json_str(&json, names.list[i]);
	json_array_end(&json);
	json_doc_free(doc);
	return rc;
}

/* ---- ad hoc filters ---- */

int grafana_tag_keys(void *ctx, struct http_request *req, struct err *err)
{
	static const enum table_id tables[] = { TABLE_ROLLUPS, TABLE_CALLS, TABLE_FLOWS };
	struct json json;

	(void)ctx;
	(void)err;
	json_init(&json, http_out(req), false);
	json_array(&json);
	for (size_t t = 0; t < 3; t++) {
		const struct table *table = table_get(tables[t]);

		for (size_t i = 0; i < table->cols_count; i++) {
			const struct col *col = &table->cols[i];
			bool seen = strcmp(col->key, "tier") == 0;

			for (size_t before = 0; before < t; before++)
				seen |= table_col(table_get(tables[before]), view_str(col->key)) !=
					NULL;
			if (seen || col->index != INDEX_BITMAP)
				continue;
			json_object(&json);
			json_kcstr(&json, "type", "string");
			json_kcstr(&json, "text", col->key);
			json_kcstr(&json, "value", col->key);
			json_object_end(&json);
		}
	}
	json_array_end(&json);
	return 0;
}

static int tag_values(struct names *names, const struct json_val *root, struct err *err)
{
	const struct json_val *range = json_get(root, "timeRange");
	struct view key = json_get_str(json_get(root, "key"), VIEW_LIT(""));
	struct grafana_filters filters;
	const struct table *table = NULL;
	const struct col *col = NULL;
	int rc = 0;

	if (key.len == 0)
		return err_set(err, E_USAGE, "the member key is missing");
	if (json_kind(json_get(range, "from")) != JSON_NULL)
		rc = grafana_range(range, &names->opts, err);
	grafana_filters_init(&filters, &names->req->arena);
	if (rc >= 0)
		rc = grafana_filters_adhoc(&filters, json_get(root, "filters"), err);
	if (rc >= 0)
		rc = find_table(key, wr_view(&filters.text), &table, &col, err);
	if (rc >= 0) {
		names->opts.filter = wr_view(&filters.text);
		rc = add_values(names, table->id, col, err);
		sort_names(names);
	}
	names->opts.filter = view_make(NULL, 0);
	grafana_filters_release(&filters);
	return rc;
}

int grafana_tag_values(void *ctx, struct http_request *req, struct err *err)
{
	struct names names = names_of(ctx, req);
	struct json_doc *doc = NULL;
	struct json json;
	int rc = grafana_body(req, &doc, err);

	if (rc >= 0)
		rc = tag_values(&names, json_root(doc), err);
	json_init(&json, http_out(req), false);
	json_array(&json);
	for (size_t i = 0; i < names.count && rc >= 0; i++) {
		json_object(&json);
		json_kstr(&json, "text", names.list[i]);
		json_kstr(&json, "value", names.list[i]);
		json_object_end(&json);
	}
	json_array_end(&json);
	json_doc_free(doc);
	return rc;
}
