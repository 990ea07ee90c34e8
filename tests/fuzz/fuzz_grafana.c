/*
 * What Grafana sends, up to the filter language: typed filters with variables in them, ad hoc
 * filters, lists. No crash, and no ad hoc filter can say more than its operator: whatever key and
 * value hold, the result is one condition that the filter language takes or names the field of.
 */
#include "query/filter.h"
#include "query/grafana.h"

#include <assert.h>

static void parse(struct view text)
{
	struct filter *filter = NULL;
	struct err err = { 0 };

	if (filter_new(table_get(TABLE_CALLS), text, 1, &filter, &err) < 0)
		assert(err.code < 0 && err.text[0]);
	filter_free(filter);
}

static void typed(struct view text, struct arena *arena)
{
	struct grafana_filters filters;

	grafana_filters_init(&filters, arena);
	if (grafana_filters_typed(&filters, text, NULL) >= 0)
		parse(wr_view(&filters.text));
	grafana_filters_release(&filters);
}

static void lists(struct view text, struct arena *arena)
{
	struct view *list = NULL;
	size_t count = 0;

	for (int commas = 0; commas < 2; commas++) {
		if (grafana_list_text(text, commas, arena, &list, &count, NULL) < 0)
			continue;
		for (size_t i = 0; i < count; i++)
			assert(list[i].len > 0 && list[i].len <= text.len);
	}
}

/* host == VALUE for any value is sound: nothing in it ends its quotes. */
static void adhoc(struct view value, struct arena *arena)
{
	static const char *const ops[] = { "=", "!=", "<", "=|", "!=|" };
	struct grafana_filters filters;
	struct json_doc *doc = NULL;
	struct filter *filter = NULL;
	struct json json;
	struct wr wr;

	wr_init(&wr, 0);
	json_init(&json, &wr, false);
	json_array(&json);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		json_object(&json);
		json_kcstr(&json, "key", "host");
		json_kcstr(&json, "operator", ops[i]);
		json_kstr(&json, "value", value);
		json_object_end(&json);
	}
	json_array_end(&json);
	grafana_filters_init(&filters, arena);
	if (!wr.bad && json_parse(wr_view(&wr), &doc, NULL) >= 0 &&
	    grafana_filters_adhoc(&filters, json_root(doc), NULL) >= 0) {
		struct err err = { 0 };
		int rc = filter_new(table_get(TABLE_CALLS), wr_view(&filters.text), 1, &filter, &err);

		assert(rc >= 0 || rc == E_LIMIT || rc == E_TYPE);
	}
	filter_free(filter);
	json_doc_free(doc);
	grafana_filters_release(&filters);
	wr_release(&wr);
}

static void adhoc_json(struct view text, struct arena *arena)
{
	struct grafana_filters filters;
	struct json_doc *doc = NULL;

	if (json_parse(text, &doc, NULL) < 0)
		return;
	grafana_filters_init(&filters, arena);
	if (grafana_filters_adhoc(&filters, json_root(doc), NULL) >= 0)
		parse(wr_view(&filters.text));
	grafana_filters_release(&filters);
	json_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct view bytes = view_make(at, len);
	struct arena arena;

	if (len == 0)
		return 0;
	arena_init(&arena, 4 << 20);
	lists(bytes, &arena);
	typed(bytes, &arena);
	adhoc(bytes, &arena);
	adhoc_json(bytes, &arena);
	arena_release(&arena);
	return 0;
}
