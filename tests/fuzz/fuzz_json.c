/* Any text: no crash, and what parses can be written and read again. */
#include "base/json.h"

#include <assert.h>

static void copy(struct json *json, const struct json_val *val)
{
	const char *key;

	switch (json_kind(val)) {
	case JSON_NULL:
		json_null(json);
		break;
	case JSON_BOOL:
		json_bool(json, json_get_bool(val, false));
		break;
	case JSON_INT:
		json_i64(json, json_get_i64(val, 0));
		break;
	case JSON_REAL:
		json_f64(json, json_get_f64(val, 0));
		break;
	case JSON_STRING:
		json_str(json, json_get_str(val, VIEW_LIT("")));
		break;
	case JSON_ARRAY:
		json_array(json);
		for (size_t i = 0; i < json_count(val); i++)
			copy(json, json_at(val, i));
		json_array_end(json);
		break;
	case JSON_OBJECT:
		json_object(json);
		for (size_t i = 0; i < json_count(val); i++) {
			const struct json_val *member = json_member(val, i, &key);

			json_key(json, key);
			copy(json, member);
		}
		json_object_end(json);
		break;
	}
}

static bool nests(const struct json_val *val, unsigned depth)
{
	const char *key;

	if (depth == JSON_DEPTH_MAX - 1)
		return true;
	for (size_t i = 0; i < json_count(val); i++) {
		if (nests(json_kind(val) == JSON_OBJECT ? json_member(val, i, &key) : json_at(val, i), depth + 1))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct json_doc *doc = NULL, *again = NULL;
	struct err err = { 0 };
	struct json json;
	struct wr wr;

	if (json_parse(view_make(at, len), &doc, &err) < 0) {
		assert(err.code < 0 && err.text[0]);
		return 0;
	}
	if (!nests(json_root(doc), 0)) {
		int rc;

		wr_init(&wr, 0);
		json_init(&json, &wr, len % 2);
		copy(&json, json_root(doc));
		rc = json_parse(wr_view(&wr), &again, NULL);
		assert(!wr.bad && rc == 0);
		assert(json_count(json_root(again)) == json_count(json_root(doc)));
		json_doc_free(again);
		wr_release(&wr);
	}
	json_doc_free(doc);
	return 0;
}
