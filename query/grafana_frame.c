/* Frames: columns of values, written as the dialect at hand wants them. */
#include "query/grafana.h"

#include "base/mem.h"
#include "base/rd.h"

void frame_init(struct frame *frame, struct view ref_id, const char *name)
{
	*frame = (struct frame){ .ref_id = ref_id, .name = name };
}

void frame_release(struct frame *frame)
{
	for (size_t i = 0; i < frame->fields_count; i++) {
		wr_release(&frame->fields[i].values);
		wr_release(&frame->fields[i].ends);
	}
	mem_free(frame->fields);
	frame->fields = NULL;
	frame->fields_count = frame->fields_cap = 0;
}

struct frame_field *frame_add(struct frame *frame, const char *name, const char *type,
			      const char *unit)
{
	struct frame_field *field;

	if (frame->fields_count == FRAME_FIELDS_MAX ||
	    mem_grow((void **)&frame->fields, &frame->fields_cap, frame->fields_count,
		     sizeof(*field)) < 0)
		return NULL;
	field = &frame->fields[frame->fields_count++];
	*field = (struct frame_field){ .name = name, .type = type, .unit = unit };
	wr_init(&field->values, 0);
	wr_init(&field->ends, 0);
	return field;
}

static struct json begin(struct frame_field *field)
{
	struct json json;

	json_init(&json, &field->values, false);
	return json;
}

static void end(struct frame_field *field)
{
	wr_u32le(&field->ends, (uint32_t)field->values.len);
	if (field->values.len > UINT32_MAX)
		field->ends.bad = true;
}

void frame_put_null(struct frame_field *field)
{
	wr_str(&field->values, "null");
	end(field);
}

void frame_put_str(struct frame_field *field, struct view value)
{
	struct json json = begin(field);

	if (value.at)
		json_str(&json, value);
	else
		json_null(&json);
	end(field);
}

void frame_put_u64(struct frame_field *field, uint64_t value)
{
	struct json json = begin(field);

	json_u64(&json, value);
	end(field);
}

void frame_put_f64(struct frame_field *field, double value)
{
	struct json json = begin(field);

	json_f64(&json, value);
	end(field);
}

void frame_put_bool(struct frame_field *field, bool value)
{
	wr_str(&field->values, value ? "true" : "false");
	end(field);
}

static size_t field_rows(const struct frame_field *field)
{
	return field->ends.len / 4;
}

static struct view field_value(const struct frame_field *field, size_t row)
{
	struct rd rd = rd_make(view_sub(wr_view(&field->ends), row ? 4 * (row - 1) : 0, 8));
	size_t from = row ? rd_u32le(&rd) : 0;

	return view_sub(wr_view(&field->values), from, rd_u32le(&rd) - from);
}

static size_t frame_rows(const struct frame *frame)
{
	return frame->fields_count ? field_rows(&frame->fields[0]) : 0;
}

static void labels_json(const struct frame *frame, struct json *json)
{
	json_object(json);
	for (size_t i = 0; i < frame->tags_count; i++)
		json_kstr(json, frame->tag_names[i],
			  frame->tag_values[i].at ? frame->tag_values[i] : VIEW_LIT(""));
	json_object_end(json);
}

/* ---- column-wise ---- */

static void field_json(const struct frame *frame, const struct frame_field *field,
		       struct json *json)
{
	json_object(json);
	json_kcstr(json, "name", field->name);
	json_kcstr(json, "type", field->type);
	if (frame->tags_count && strcmp(field->type, "number") == 0) {
		json_key(json, "labels");
		labels_json(frame, json);
	}
	if (field->unit || field->label) {
		json_key(json, "config");
		json_object(json);
		if (field->unit)
			json_kcstr(json, "unit", field->unit);
		if (field->label)
			json_kcstr(json, "displayNameFromDS", field->label);
		json_object_end(json);
	}
	json_object_end(json);
}

static void meta_json(const struct frame *frame, struct json *json)
{
	if (!frame->visual && !frame->notice)
		return;
	json_key(json, "meta");
	json_object(json);
	if (frame->visual)
		json_kcstr(json, "preferredVisualisationType", frame->visual);
	if (frame->notice) {
		json_key(json, "notices");
		json_array(json);
		json_object(json);
		json_kcstr(json, "severity", "warning");
		json_kcstr(json, "text", frame->notice);
		json_object_end(json);
		json_array_end(json);
	}
	json_object_end(json);
}

static void write_columns(const struct frame *frame, struct json *json)
{
	json_object(json);
	/* Also outside: older Grafana copies only what it knows of a schema. */
	json_kstr(json, "refId", frame->ref_id);
	json_key(json, "schema");
	json_object(json);
	json_kstr(json, "refId", frame->ref_id);
	json_kcstr(json, "name", frame->name);
	meta_json(frame, json);
	json_key(json, "fields");
	json_array(json);
	for (size_t i = 0; i < frame->fields_count; i++)
		field_json(frame, &frame->fields[i], json);
	json_array_end(json);
	json_object_end(json);
	json_key(json, "data");
	json_object(json);
	json_key(json, "values");
	json_array(json);
	for (size_t i = 0; i < frame->fields_count; i++) {
		json_array(json);
		for (size_t row = 0; row < field_rows(&frame->fields[i]); row++)
			json_raw(json, field_value(&frame->fields[i], row));
		json_array_end(json);
	}
	json_array_end(json);
	json_object_end(json);
	json_object_end(json);
}

/* ---- SimpleJson ---- */

/* Fields are the time, then the value: the pairs have them the other way round. */
static void write_datapoints(const struct frame *frame, struct json *json)
{
	const struct frame_field *times = &frame->fields[0], *values = &frame->fields[1];

	json_object(json);
	json_kcstr(json, "target", values->label ? values->label : frame->name);
	json_kstr(json, "refId", frame->ref_id);
	if (values->label)
		json_kcstr(json, "title", values->label);
	if (values->unit)
		json_kcstr(json, "unit", values->unit);
	if (frame->tags_count) {
		json_key(json, "tags");
		labels_json(frame, json);
	}
	json_key(json, "datapoints");
	json_array(json);
	for (size_t row = 0; row < frame_rows(frame); row++) {
		json_array(json);
		json_raw(json, field_value(values, row));
		json_raw(json, field_value(times, row));
		json_array_end(json);
	}
	json_array_end(json);
	json_object_end(json);
}

static void write_table(const struct frame *frame, struct json *json)
{
	json_object(json);
	json_kcstr(json, "type", "table");
	json_kstr(json, "refId", frame->ref_id);
	json_kcstr(json, "name", frame->name);
	json_key(json, "columns");
	json_array(json);
	for (size_t i = 0; i < frame->fields_count; i++) {
		json_object(json);
		json_kcstr(json, "text", frame->fields[i].name);
		json_kcstr(json, "type", frame->fields[i].type);
		if (frame->fields[i].unit)
			json_kcstr(json, "unit", frame->fields[i].unit);
		json_object_end(json);
	}
	json_array_end(json);
	json_key(json, "rows");
	json_array(json);
	for (size_t row = 0; row < frame_rows(frame); row++) {
		json_array(json);
		for (size_t i = 0; i < frame->fields_count; i++)
			json_raw(json, field_value(&frame->fields[i], row));
		json_array_end(json);
	}
	json_array_end(json);
	json_object_end(json);
}

int frame_write(struct frame *frame, enum grafana_form form, struct json *json, struct err *err)
{
	for (size_t i = 0; i < frame->fields_count; i++)
		if (frame->fields[i].values.bad || frame->fields[i].ends.bad)
			return err_set(err, E_NO_MEMORY, "out of memory for the answer");
	if (form == GRAFANA_DATAPOINTS && frame->fields_count == 2 &&
	    strcmp(frame->fields[0].type, "time") == 0)
		write_datapoints(frame, json);
	else if (form == GRAFANA_COLUMNS)
		write_columns(frame, json);
	else
		write_table(frame, json);
	return 0;
}
