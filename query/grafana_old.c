/* /annotations of SimpleJson and simPod before 0.3: [{annotation, time, title, ...}]. */
#include "base/clock.h"
#include "query/grafana.h"

#define ANNOTATIONS_MAX 1000

struct old {
	struct http_request *req;
	const struct json_val *annotation;
	struct json *json;
};

/* The annotation goes back as it came. */
static void copy(struct json *json, const struct json_val *val, unsigned depth)
{
	const char *key;

	switch (depth > 8 ? JSON_NULL : json_kind(val)) {
	case JSON_NULL: json_null(json); break;
	case JSON_BOOL: json_bool(json, json_get_bool(val, false)); break;
	case JSON_INT: json_i64(json, json_get_i64(val, 0)); break;
	case JSON_REAL: json_f64(json, json_get_f64(val, 0)); break;
	case JSON_STRING: json_str(json, json_get_str(val, VIEW_LIT(""))); break;
	case JSON_ARRAY:
		json_array(json);
		for (size_t i = 0; i < json_count(val) && i < 100; i++)
			copy(json, json_at(val, i), depth + 1);
		json_array_end(json);
		break;
	case JSON_OBJECT:
		json_object(json);
		for (size_t i = 0; i < json_count(val) && i < 100; i++) {
			const struct json_val *member = json_member(val, i, &key);

			json_key(json, key);
			copy(json, member, depth + 1);
		}
		json_object_end(json);
		break;
	}
}

static bool event_row(void *arg, const struct table *table, const void *row)
{
	const struct event_row *event = row;
	const char *kind = sym_name(SYMS_EVENT, event->kind);
	struct old *old = arg;

	(void)table;
	json_object(old->json);
	json_key(old->json, "annotation");
	copy(old->json, old->annotation, 0);
	json_ku64(old->json, "time", event->start_ns / NS_PER_MS);
	if (event->end_ns / NS_PER_MS > event->start_ns / NS_PER_MS)
		json_ku64(old->json, "timeEnd", event->end_ns / NS_PER_MS);
	json_kcstr(old->json, "title", kind ? kind : "event");
	if (ROW_HAS(EVENT_ROW, event, text))
		json_kstr(old->json, "text", event->text);
	json_key(old->json, "tags");
	json_array(old->json);
	json_cstr(old->json, kind ? kind : "event");
	if (ROW_HAS(EVENT_ROW, event, reason))
		json_str(old->json, event->reason);
	json_array_end(old->json);
	json_object_end(old->json);
	old->req->rows++;
	return true;
}

/* "gap,retention", "events" for all, or a filter. */
static int old_filter(struct http_request *req, struct view text, struct view *ret_filter,
		      struct err *err)
{
	struct grafana_filters filters;
	struct view *list;
	uint32_t number;
	size_t count, kinds = 0;
	int rc = grafana_list_text(view_trim(text), true, &req->arena, &list, &count, err);

	if (rc < 0)
		return rc;
	*ret_filter = view_make(NULL, 0);
	if (count == 0 || view_is(view_trim(text), "events"))
		return 0;
	for (size_t i = 0; i < count; i++)
		kinds += sym_number(SYMS_EVENT, list[i], &number) >= 0;
	grafana_filters_init(&filters, &req->arena);
	rc = kinds == count ? grafana_filters_in(&filters, "kind", list, count)
			    : grafana_filters_typed(&filters, text, err);
	if (rc >= 0)
		*ret_filter = arena_copy(&req->arena, wr_view(&filters.text));
	grafana_filters_release(&filters);
	return rc < 0 || ret_filter->at ? rc : err_set(err, E_NO_MEMORY, "out of memory");
}

int grafana_annotations(void *ctx, struct http_request *req, struct err *err)
{
	struct query_rows rows = { .table = TABLE_EVENTS,
				   .limit = ANNOTATIONS_MAX,
				   .ascending = true };
	struct query_opts opts = grafana_opts(ctx, req);
	struct query_stats stats = { 0 };
	struct json_doc *doc = NULL;
	struct store *store;
	struct json json;
	struct old old = { .req = req, .json = &json };
	struct view cursor;
	int rc = grafana_body(req, &doc, err);

	if (rc < 0)
		return rc;
	old.annotation = json_get(json_root(doc), "annotation");
	rc = grafana_range(json_get(json_root(doc), "range"), &opts, err);
	if (rc >= 0)
		rc = old_filter(req, json_get_str(json_get(old.annotation, "query"), VIEW_LIT("")),
				&opts.filter, err);
	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	json_init(&json, http_out(req), false);
	json_array(&json);
	if (rc >= 0)
		rc = query_rows(store, &opts, &rows, event_row, &old, &req->arena, &stats, &cursor,
				err);
	json_array_end(&json);
	json_doc_free(doc);
	return rc;
}
