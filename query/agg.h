/* What an aggregation asks for: the parsed lists of aggregates and of columns to group by. */
#ifndef QUERY_AGG_H
#define QUERY_AGG_H

#include "query/query.h"

#define AGGS_MAX 32
#define BYS_MAX 16

enum agg_kind {
	AGG_COUNT, AGG_SUM, AGG_MIN, AGG_MAX, AGG_AVG, AGG_RATE, AGG_RATE_SUM, AGG_ERROR_RATIO, AGG_DISTINCT,
	AGG_QUANTILE,
};

struct agg {
	enum agg_kind kind;
	const struct col *col;		/* NULL: counts rows */
	double q;			/* AGG_QUANTILE */
	const char *name;		/* as written */
	enum unit unit;
	size_t hist;			/* AGG_QUANTILE: which histogram; several quantiles of one column share it */
};

struct agg_spec {
	const struct table *table;
	struct agg aggs[AGGS_MAX];
	size_t aggs_count;
	const struct col *hists[AGGS_MAX];	/* columns with a histogram a group */
	size_t hists_count;
	const struct col *bys[BYS_MAX];
	size_t bys_count;
	/* order */
	bool descending;
	int order_agg, order_by;	/* -1 = not this */
};

/* Names in arena. E_SYNTAX, E_UNKNOWN_NAME, E_TYPE, E_LIMIT, with err->position in the list at fault. */
int agg_parse(const struct table *table, const struct query_aggregate *what, struct arena *arena,
	      struct agg_spec *ret_spec, struct err *err);

#endif
