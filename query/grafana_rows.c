/* Targets of rows: tables, and events as annotations. */
#include "base/clock.h"
#include "query/grafana.h"
#include "query/output.h"

#define ROWS_DEFAULT 100

struct table_frame {
	struct frame frame;
	const uint16_t *fields;
	size_t count;
	struct grafana_target *target;
	struct wr text;
};

static const char *type_of(const struct col *col)
{
	if (col->unit == UNIT_TIME)
		return "time";
	if (col->type == TYPE_BOOL)
		return "boolean";
	if (types[col->type].phys == PHYS_INT && types[col->type].syms == SYMS_NONE &&
	    col->type != TYPE_ID)
		return "number";
	return "string";
}

static const char *unit_of(const struct col *col)
{
	return col->unit == UNIT_DURATION ? "ns" : col->unit == UNIT_BYTES ? "bytes" : NULL;
}

static void put_value(struct frame_field *field, const struct col *col, const void *row,
		      struct wr *text)
{
	struct view bytes = { 0 };
	uint64_t value = 0;

	if (!row_get(col, row, &value, &bytes)) {
		frame_put_null(field);
	} else if (col->unit == UNIT_TIME) {
		frame_put_u64(field, value / NS_PER_MS);
	} else if (strcmp(field->type, "number") == 0) {
		frame_put_u64(field, value);
	} else if (col->type == TYPE_BOOL) {
		frame_put_bool(field, value);
	} else {
		wr_reset(text);
		query_value_text(col, row, false, text);
		frame_put_str(field, text->len ? wr_view(text) : VIEW_LIT(""));
	}
}

static bool table_row(void *arg, const struct table *table, const void *row)
{
	struct table_frame *to = arg;

	for (size_t i = 0; i < to->count; i++)
		put_value(&to->frame.fields[i], &table->cols[to->fields[i]], row, &to->text);
	to->target->req->rows++;
	return true;
}

static int pick_fields(struct grafana_target *target, const struct table *table,
		       struct table_frame *to, struct err *err)
{
	struct view text = grafana_text(json_get(target->payload, "fields"), &target->req->arena);
	uint16_t *fields;
	int rc;

	if (json_kind(json_get(target->payload, "fields")) == JSON_ARRAY) {
		const char *joined = "";
		struct view *list;
		size_t count;

		rc = grafana_list(json_get(target->payload, "fields"), true, &target->req->arena,
				  &list, &count, err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < count && joined; i++)
			joined = arena_printf(&target->req->arena, "%s%s%.*s", joined, i ? "," : "",
					      (int)(list[i].len < 200 ? list[i].len : 200),
					      (const char *)list[i].at);
		text = view_str(joined);
	}
	rc = query_fields(table, text, &target->req->arena, &fields, &to->count, err);
	if (rc < 0)
		return rc;
	to->fields = fields;
	if (!fields)
		to->fields = output_default_fields(table->id, false, &to->count);
	for (size_t i = 0; i < to->count; i++) {
		const struct col *col = &table->cols[to->fields[i]];

		if (!frame_add(&to->frame, col->key, type_of(col), unit_of(col)))
			return err_set(err, E_LIMIT, "too many columns");
	}
	return 0;
}

int grafana_run_rows(struct grafana_target *target, struct json *json, struct err *err)
{
	const struct table *table = table_get(target->metric->table);
	struct query_rows rows = { .table = table->id };
	struct table_frame to = { .target = target };
	struct query_stats stats = { 0 };
	struct view cursor;
	int rc = grafana_option_u64(target, "limit", ROWS_DEFAULT, API_LIMIT_MAX, &rows.limit, err);

	frame_init(&to.frame, target->ref_id, target->metric->label);
	wr_init(&to.text, 0);
	if (rc >= 0)
		rc = pick_fields(target, table, &to, err);
	if (rc >= 0) {
		rows.fields = to.fields;
		rows.fields_count = to.count;
		target->opts.filter = target->filter;
		rc = query_rows(target->store, &target->opts, &rows, table_row, &to,
				&target->req->arena, &stats, &cursor, err);
	}
	if (rc >= 0) {
		to.frame.visual = "table";
		to.frame.notice = grafana_notice(&stats, &target->opts, &target->req->arena);
		rc = frame_write(&to.frame, target->form_given ? GRAFANA_TABLE : GRAFANA_COLUMNS,
				 json, err);
	}
	wr_release(&to.text);
	frame_release(&to.frame);
	return rc;
}

/* ---- events ---- */

enum {
	EVENT_FIELD_TIME,
	EVENT_FIELD_END,
	EVENT_FIELD_TITLE,
	EVENT_FIELD_TEXT,
	EVENT_FIELD_TAGS,
	EVENT_FIELD_ID,
	EVENT_FIELD_KIND,
	EVENT_FIELD_REASON,
	EVENT_FIELD_VALUE,
	EVENT_FIELD_NODE,
	EVENT_FIELDS
};

static bool event_row(void *arg, const struct table *table, const void *row)
{
	const struct event_row *event = row;
	struct table_frame *to = arg;
	struct frame_field *fields = to->frame.fields;
	const char *kind = sym_name(SYMS_EVENT, event->kind);
	struct view kind_text = view_str(kind ? kind : "event");
	struct view reason = ROW_HAS(EVENT_ROW, event, reason) ? event->reason : view_make(NULL, 0);
	struct view text = ROW_HAS(EVENT_ROW, event, text) ? event->text : view_make(NULL, 0);

	(void)table;
	frame_put_u64(&fields[EVENT_FIELD_TIME], event->start_ns / NS_PER_MS);
	/* Only a stretch has an end: with one, Grafana draws a region. */
	if (event->end_ns / NS_PER_MS > event->start_ns / NS_PER_MS)
		frame_put_u64(&fields[EVENT_FIELD_END], event->end_ns / NS_PER_MS);
	else
		frame_put_null(&fields[EVENT_FIELD_END]);
	frame_put_str(&fields[EVENT_FIELD_TITLE], kind_text);
	wr_reset(&to->text);
	wr_bytes(&to->text, reason);
	if (reason.len && text.len)
		wr_str(&to->text, ": ");
	wr_bytes(&to->text, text);
	frame_put_str(&fields[EVENT_FIELD_TEXT], to->text.len ? wr_view(&to->text) : kind_text);
	/* One text, joined by commas: what every Grafana takes. */
	wr_reset(&to->text);
	wr_bytes(&to->text, kind_text);
	if (reason.len) {
		wr_u8(&to->text, ',');
		wr_bytes(&to->text, reason);
	}
	frame_put_str(&fields[EVENT_FIELD_TAGS], wr_view(&to->text));
	wr_reset(&to->text);
	wr_printf(&to->text, "%016llx", (unsigned long long)event->id);
	frame_put_str(&fields[EVENT_FIELD_ID], wr_view(&to->text));
	frame_put_str(&fields[EVENT_FIELD_KIND], kind_text);
	frame_put_str(&fields[EVENT_FIELD_REASON], reason);
	if (ROW_HAS(EVENT_ROW, event, value))
		frame_put_u64(&fields[EVENT_FIELD_VALUE], event->value);
	else
		frame_put_null(&fields[EVENT_FIELD_VALUE]);
	frame_put_str(&fields[EVENT_FIELD_NODE],
		      ROW_HAS(EVENT_ROW, event, node) ? event->node : view_make(NULL, 0));
	to->target->req->rows++;
	return true;
}

static int event_filter(struct grafana_target *target, struct view *ret_filter, struct err *err)
{
	struct grafana_filters filters;
	struct view *kinds;
	size_t count;
	int rc = grafana_list(json_get(target->payload, "kind"), true, &target->req->arena, &kinds,
			      &count, err);

	if (rc < 0)
		return rc;
	grafana_filters_init(&filters, &target->req->arena);
	wr_bytes(&filters.text, target->filter);
	rc = grafana_filters_in(&filters, "kind", kinds, count);
	if (rc >= 0) {
		*ret_filter = arena_copy(&target->req->arena, wr_view(&filters.text));
		rc = ret_filter->at ? 0 : E_NO_MEMORY;
	}
	grafana_filters_release(&filters);
	return rc < 0 ? err_set(err, rc, "the filter is too long") : 0;
}

int grafana_run_events(struct grafana_target *target, struct json *json, struct err *err)
{
	static const struct {
		const char *name, *type;
	} fields[EVENT_FIELDS] = {
		[EVENT_FIELD_TIME] = { "time", "time" },
		[EVENT_FIELD_END] = { "timeEnd", "time" },
		[EVENT_FIELD_TITLE] = { "title", "string" },
		[EVENT_FIELD_TEXT] = { "text", "string" },
		[EVENT_FIELD_TAGS] = { "tags", "string" },
		[EVENT_FIELD_ID] = { "id", "string" },
		[EVENT_FIELD_KIND] = { "kind", "string" },
		[EVENT_FIELD_REASON] = { "reason", "string" },
		[EVENT_FIELD_VALUE] = { "value", "number" },
		[EVENT_FIELD_NODE] = { "node", "string" },
	};
	struct query_rows rows = { .table = TABLE_EVENTS };
	struct table_frame to = { .target = target };
	struct query_stats stats = { 0 };
	struct view cursor;
	int rc = grafana_option_u64(target, "limit", ROWS_DEFAULT, API_LIMIT_MAX, &rows.limit, err);

	frame_init(&to.frame, target->ref_id, target->metric->label);
	wr_init(&to.text, 0);
	for (size_t i = 0; i < EVENT_FIELDS && rc >= 0; i++)
		if (!frame_add(&to.frame, fields[i].name, fields[i].type, NULL))
			rc = err_set(err, E_NO_MEMORY, "out of memory");
	if (rc >= 0)
		rc = event_filter(target, &target->opts.filter, err);
	if (rc >= 0)
		rc = query_rows(target->store, &target->opts, &rows, event_row, &to,
				&target->req->arena, &stats, &cursor, err);
	if (rc >= 0) {
		to.frame.notice = grafana_notice(&stats, &target->opts, &target->req->arena);
		rc = frame_write(&to.frame, target->form_given ? GRAFANA_TABLE : GRAFANA_COLUMNS,
				 json, err);
	}
	wr_release(&to.text);
	frame_release(&to.frame);
	return rc;
}
