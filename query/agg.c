#include "query/agg.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "query/names.h"

#define TEXT(v) (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at

static int fail(struct err *err, const char *list, size_t at, int code, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
static int fail(struct err *err, const char *list, size_t at, int code, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!err || err->code)
		return code;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)err_set(err, code, "%s, at byte %zu: %s", list, at, text);
	err->position = at;
	return code;
}

/* One column, not a pair of sides. */
static int one_col(const struct table *table, struct view name, const char *list, size_t at,
		   const struct col **ret_col, struct err *err)
{
	struct name_cols cols;
	char near[160];

	if (!name_resolve(table, name, &cols)) {
		name_nearest(table, name, false, near, sizeof(near));
		return fail(err, list, at, E_UNKNOWN_NAME, "the table %s has no field `%.*s`%s%s",
			    table->name, TEXT(name), *near ? "; nearest: " : "", near);
	}
	if (cols.count > 1)
		return fail(err, list, at, E_TYPE, "`%.*s` is %s and %s: say which", TEXT(name),
			    cols.cols[0]->key, cols.cols[1]->key);
	*ret_col = cols.cols[0];
	return 0;
}

/* Splits "a, b(c)" at commas outside parentheses. 1, 0 at the end. */
static int list_next(struct view list, size_t *pos, struct view *ret_item, size_t *ret_at)
{
	size_t at = *pos, end;
	int depth = 0;

	if (at > list.len)
		return 0;
	for (end = at; end < list.len && (depth || list.at[end] != ','); end++)
		depth += (list.at[end] == '(') - (list.at[end] == ')');
	*pos = end + 1;
	while (at < end && (list.at[at] == ' ' || list.at[at] == '\t'))
		at++;
	*ret_at = at;
	*ret_item = view_trim(view_sub(list, at, end - at));
	return 1;
}

static bool quantile_of(struct view fn, double *ret_q)
{
	char text[16];
	char *end;
	double percent;

	if (fn.len < 2 || fn.len >= sizeof(text) || fn.at[0] != 'p' || fn.at[1] < '0' ||
	    fn.at[1] > '9')
		return false;
	memcpy(text, fn.at + 1, fn.len - 1);
	text[fn.len - 1] = '\0';
	percent = strtod(text, &end);
	if (*end || !(percent >= 0 && percent <= 100))
		return false;
	*ret_q = percent / 100;
	return true;
}

static bool kind_of(struct view fn, bool has_col, enum agg_kind *ret_kind)
{
	static const struct {
		const char *name;
		enum agg_kind kind;
		bool wants_col;
	} kinds[] = {
		{ "count", AGG_COUNT, false },	    { "count", AGG_COUNT, true },
		{ "sum", AGG_SUM, true },	    { "min", AGG_MIN, true },
		{ "max", AGG_MAX, true },	    { "avg", AGG_AVG, true },
		{ "mean", AGG_AVG, true },	    { "rate", AGG_RATE, false },
		{ "rate", AGG_RATE_SUM, true },	    { "error_ratio", AGG_ERROR_RATIO, false },
		{ "distinct", AGG_DISTINCT, true },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (view_ieq(fn, kinds[i].name) && kinds[i].wants_col == has_col) {
			*ret_kind = kinds[i].kind;
			return true;
		}
	}
	return false;
}

static int check_types(const struct agg_spec *spec, const struct agg *agg, size_t at,
		       struct err *err)
{
	const struct col *col = agg->col;
	bool number = col && types[col->type].phys == PHYS_INT &&
		      types[col->type].syms == SYMS_NONE && col->type != TYPE_ID &&
		      col->type != TYPE_BOOL;
	bool hist = col && col->type == TYPE_HIST;

	switch (agg->kind) {
	case AGG_ERROR_RATIO:
		if (spec->table->id == TABLE_CALLS || spec->table->id == TABLE_ROLLUPS)
			return 0;
		return fail(err, "agg", at, E_TYPE,
			    "error_ratio is one of calls and rollups, not of %s",
			    spec->table->name);
	case AGG_QUANTILE:
		if (hist || (number && col->unit != UNIT_TIME))
			return 0;
		return fail(err, "agg", at, E_TYPE, "`%s` has no percentiles: it is no number",
			    col->key);
	case AGG_MIN:
	case AGG_MAX:
	case AGG_SUM:
	case AGG_AVG:
	case AGG_RATE_SUM:
		if (number &&
		    (col->unit != UNIT_TIME || agg->kind == AGG_MIN || agg->kind == AGG_MAX))
			return 0;
		return fail(err, "agg", at, E_TYPE, "`%s` cannot be summed or compared: it is %s",
			    col->key,
			    hist     ? "a histogram, which has percentiles"
			    : number ? "an instant"
				     : "no number");
	case AGG_DISTINCT:
		if (!hist)
			return 0;
		return fail(err, "agg", at, E_TYPE, "`%s` is a histogram: it has percentiles",
			    col->key);
	default: return 0;
	}
}

/* What rows stand for: a rollup row for its calls. */
static const struct col *counted(const struct agg_spec *spec)
{
	return spec->table->id == TABLE_ROLLUPS ? &spec->table->cols[ROLLUP_calls] : NULL;
}

static void hist_share(struct agg_spec *spec, struct agg *agg)
{
	for (agg->hist = 0; agg->hist < spec->hists_count; agg->hist++)
		if (spec->hists[agg->hist] == agg->col)
			return;
	spec->hists[spec->hists_count++] = agg->col;
}

static int agg_add(struct agg_spec *spec, struct view item, size_t at, struct arena *arena,
		   struct err *err)
{
	ptrdiff_t open = view_find(item, VIEW_LIT("("));
	struct view fn = open < 0 ? item : view_trim(view_sub(item, 0, (size_t)open));
	struct view inside = { 0 };
	struct agg agg = { 0 };
	int rc;

	if (spec->aggs_count == AGGS_MAX)
		return fail(err, "agg", at, E_LIMIT, "more than %d aggregates", AGGS_MAX);
	if (open >= 0) {
		if (item.at[item.len - 1] != ')')
			return fail(err, "agg", at + item.len, E_SYNTAX, "a ) is missing");
		inside = view_trim(view_sub(item, (size_t)open + 1, item.len - (size_t)open - 2));
	}
	if (quantile_of(fn, &agg.q) && inside.len)
		agg.kind = AGG_QUANTILE;
	else if (!kind_of(fn, inside.len > 0, &agg.kind))
		return fail(
			err, "agg", at, E_UNKNOWN_NAME,
			"`%.*s` is none of count, sum(field), min(field), max(field), "
			"avg(field), rate, rate(field), error_ratio, distinct(field), p50(field) .. p99.9(field)",
			TEXT(item));
	if (inside.len) {
		rc = one_col(spec->table, inside, "agg", at + (size_t)open + 1, &agg.col, err);
		if (rc < 0)
			return rc;
	}
	rc = check_types(spec, &agg, at, err);
	if (rc < 0)
		return rc;
	/* Rows of rollups are sums: counting them means nothing, counting their calls does. */
	if (agg.kind == AGG_COUNT && !agg.col && (agg.col = counted(spec)))
		agg.kind = AGG_SUM;
	if (agg.kind == AGG_RATE && (agg.col = counted(spec)))
		agg.kind = AGG_RATE_SUM;
	agg.unit = agg.kind == AGG_COUNT || agg.kind == AGG_DISTINCT ? UNIT_COUNT
		   : agg.col					     ? agg.col->unit
								     : UNIT_NONE;
	if (agg.kind == AGG_QUANTILE)
		hist_share(spec, &agg);
	agg.name = (const char *)arena_copy(arena, item).at;
	if (!agg.name)
		return fail(err, "agg", at, E_NO_MEMORY, "out of memory");
	spec->aggs[spec->aggs_count++] = agg;
	return 0;
}

static int by_add(struct agg_spec *spec, struct view item, size_t at, struct err *err)
{
	const struct col *col;
	int rc;

	if (spec->bys_count == BYS_MAX)
		return fail(err, "by", at, E_LIMIT, "more than %d fields to group by", BYS_MAX);
	rc = one_col(spec->table, item, "by", at, &col, err);
	if (rc < 0)
		return rc;
	if (col->type == TYPE_HIST)
		return fail(err, "by", at, E_TYPE, "`%s` is a histogram: nothing groups by it",
			    col->key);
	for (size_t i = 0; i < spec->bys_count; i++)
		if (spec->bys[i] == col)
			return fail(err, "by", at, E_SYNTAX, "`%s` stands there twice", col->key);
	spec->bys[spec->bys_count++] = col;
	return 0;
}

static int order_parse(struct agg_spec *spec, struct view order, struct err *err)
{
	struct name_cols cols;

	spec->order_agg = spec->order_by = -1;
	order = view_trim(order);
	if (order.len == 0) { /* the largest first: what a top list means */
		spec->order_agg = 0;
		spec->descending = true;
		return 0;
	}
	spec->descending = order.at[0] == '-';
	if (spec->descending)
		order = view_sub(order, 1, order.len);
	for (size_t i = 0; i < spec->aggs_count; i++)
		if (view_is(order, spec->aggs[i].name))
			spec->order_agg = (int)i;
	if (spec->order_agg >= 0)
		return 0;
	for (size_t i = 0; i < spec->bys_count; i++)
		if (name_resolve(spec->table, order, &cols) && cols.count == 1 &&
		    cols.cols[0] == spec->bys[i])
			spec->order_by = (int)i;
	if (spec->order_by >= 0)
		return 0;
	return fail(err, "order", 0, E_UNKNOWN_NAME,
		    "`%.*s` is none of the aggregates nor of the fields grouped by", TEXT(order));
}

int agg_parse(const struct table *table, const struct query_aggregate *what, struct arena *arena,
	      struct agg_spec *ret_spec, struct err *err)
{
	struct view agg = view_trim(what->agg).len ? what->agg : VIEW_LIT("count"), item;
	size_t pos = 0, at;
	int rc = 0;

	*ret_spec = (struct agg_spec){ .table = table };
	while (rc == 0 && list_next(agg, &pos, &item, &at)) {
		if (item.len == 0)
			return fail(err, "agg", at, E_SYNTAX, "an aggregate is missing");
		rc = agg_add(ret_spec, item, at, arena, err);
	}
	pos = 0;
	while (rc == 0 && view_trim(what->by).len && list_next(what->by, &pos, &item, &at)) {
		if (item.len == 0)
			return fail(err, "by", at, E_SYNTAX, "a field is missing");
		rc = by_add(ret_spec, item, at, err);
	}
	return rc == 0 ? order_parse(ret_spec, what->order, err) : rc;
}
