/*
 * The Grafana JSON data source, all dialects at once. docs/grafana.md is for its
 * users. The parts: grafana.c (routes other than /query), grafana_query.c (one
 * request to frames), grafana_series.c, grafana_rows.c, grafana_map.c (one target
 * each), grafana_filter.c (what Grafana sends to the filter language),
 * grafana_frame.c (frames to JSON).
 */
#ifndef QUERY_GRAFANA_H
#define QUERY_GRAFANA_H

#include "query/api.h"

#define GRAFANA_SERIES_MAX  1000
#define GRAFANA_POINTS_MAX  11000 /* a series */
#define GRAFANA_VALUES_MAX  1000  /* of a list to choose from */
#define GRAFANA_TARGETS_MAX 100

enum grafana_kind { GRAFANA_SERIES, GRAFANA_ROWS, GRAFANA_EVENTS, GRAFANA_MAP };

struct grafana_metric {
	const char *name, *label, *unit, *text;
	enum grafana_kind kind;
	const char *rollup_agg;
	enum table_id table; /* of ROWS; of SERIES the one that knows more columns, or 0 */
	const char *row_agg;
};
extern const struct grafana_metric grafana_all[];
extern const size_t grafana_all_count;
const struct grafana_metric *grafana_metric_find(struct view name); /* NULL */

struct grafana_option {
	const char *name, *label, *input, *text;
	unsigned kinds;
};
extern const struct grafana_option grafana_options[];
extern const size_t grafana_options_count;

/* ---- values as Grafana writes them ---- */

/*
 * A variable arrives as a regular expression: web\.1, (a|b). Back to plain
 * texts: strings, numbers, arrays of them, {a,b} and with commas "a,b". All from arena.
 */
int grafana_list(const struct json_val *val, bool commas, struct arena *arena,
		 struct view **ret_list, size_t *ret_count, struct err *err);
int grafana_list_text(struct view text, bool commas, struct arena *arena, struct view **ret_list,
		      size_t *ret_count, struct err *err);
/* The text of a string or number; empty for anything else. */
struct view grafana_text(const struct json_val *val, struct arena *arena);

/* ---- filters ---- */

struct grafana_filters {
	struct wr text; /* conditions joined by && */
	struct arena *arena;
};
void grafana_filters_init(struct grafana_filters *filters, struct arena *arena);
void grafana_filters_release(struct grafana_filters *filters);
/* A filter that a user typed, variables already in it. */
int grafana_filters_typed(struct grafana_filters *filters, struct view text, struct err *err);
/* column in list; nothing when the list is empty. */
int grafana_filters_in(struct grafana_filters *filters, const char *column, const struct view *list,
		       size_t count);
/* [{key, operator, value, values}]; an unknown operator is E_SYNTAX. */
int grafana_filters_adhoc(struct grafana_filters *filters, const struct json_val *list,
			  struct err *err);

/* ---- frames ---- */

enum grafana_form {
	GRAFANA_COLUMNS,    /* schema and data, column-wise */
	GRAFANA_DATAPOINTS, /* [value, ms] pairs: SimpleJson */
	GRAFANA_TABLE,	    /* columns and rows: SimpleJson */
};

#define FRAME_FIELDS_MAX (64 * SCHEMA_HAS_WORDS)

struct frame_field {
	const char *name;
	const char *type;  /* time, number, string, boolean */
	const char *unit;  /* Grafana's, or NULL */
	const char *label; /* display name, or NULL */
	struct wr values;  /* JSON texts */
	struct wr ends;	   /* u32le: end of each in values */
};

struct frame {
	struct view ref_id;
	const char *name;
	const char *visual;	      /* preferredVisualisationType, or NULL */
	const char *notice;	      /* shown on the panel, or NULL */
	const char *const *tag_names; /* labels of the value field */
	const struct view *tag_values;
	size_t tags_count;
	struct frame_field *fields;
	size_t fields_count, fields_cap;
};

/* Texts are borrowed until the frame was written. */
void frame_init(struct frame *frame, struct view ref_id, const char *name);
void frame_release(struct frame *frame);
/* NULL: out of memory. Borrowed until the next call. */
struct frame_field *frame_add(struct frame *frame, const char *name, const char *type,
			      const char *unit);
void frame_put_str(struct frame_field *field, struct view value); /* at NULL: null */
void frame_put_u64(struct frame_field *field, uint64_t value);
void frame_put_f64(struct frame_field *field, double value); /* NaN: null */
void frame_put_null(struct frame_field *field);
void frame_put_bool(struct frame_field *field, bool value);
/* Writes one element of the array that answers. E_NO_MEMORY. */
int frame_write(struct frame *frame, enum grafana_form form, struct json *json, struct err *err);

/* ---- one target ---- */

struct grafana_target {
	struct serve *serve;
	struct http_request *req;
	struct store *store;
	const struct grafana_metric *metric;
	const struct json_val *payload; /* or NULL */
	struct view ref_id;
	enum grafana_form form;
	bool form_given;	/* by the request */
	struct query_opts opts; /* filter not yet in it */
	uint64_t step_ns;
	uint64_t points_max;
	struct view filter; /* payload, options and ad hoc filters together */
};

int grafana_run_series(struct grafana_target *target, struct json *json, struct err *err);
int grafana_run_rows(struct grafana_target *target, struct json *json, struct err *err);
int grafana_run_events(struct grafana_target *target, struct json *json, struct err *err);
int grafana_run_map(struct grafana_target *target, struct json *json, struct err *err);
/* Numbers come as strings too; empty means the fallback. */
int grafana_option_u64(const struct grafana_target *target, const char *name, uint64_t fallback,
		       uint64_t max, uint64_t *ret_value, struct err *err);
/* What the panel should tell about the answer, in arena, or NULL. */
const char *grafana_notice(const struct query_stats *stats, const struct query_opts *opts,
			   struct arena *arena);

/* ---- requests ---- */

/* The body as an object; an empty one counts as {}. */
int grafana_body(struct http_request *req, struct json_doc **ret_doc, struct err *err);
/* Member name (range, timeRange) into opts; the last hour when there is none. */
int grafana_range(const struct json_val *range, struct query_opts *opts, struct err *err);
/* Budgets and the cancel flag of a request. */
struct query_opts grafana_opts(struct serve *serve, struct http_request *req);
/* Run one query request; writes the array. */
int grafana_run(struct serve *serve, struct http_request *req, const struct json_val *root,
		struct json *json, struct err *err);

#endif
