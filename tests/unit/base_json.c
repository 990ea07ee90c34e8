#include "base/json.h"

#include <math.h>
#include <signal.h>

#include "tests/check.h"

static struct wr out;
static struct json json;

static void begin(bool pretty)
{
	wr_init(&out, 0);
	json_init(&json, &out, pretty);
}

#define CHECK_OUT(want)					\
	do {						\
		CHECK_VIEW(wr_view(&out), want);	\
		wr_release(&out);			\
	} while (0)

TEST(json, nests_with_commas_in_place)
{
	begin(false);
	json_object(&json);
	json_ku64(&json, "a", UINT64_MAX);
	json_key(&json, "b");
	json_array(&json);
	json_i64(&json, INT64_MIN);
	json_object(&json);
	json_object_end(&json);
	json_array(&json);
	json_array_end(&json);
	json_bool(&json, true);
	json_null(&json);
	json_array_end(&json);
	json_kcstr(&json, "c", NULL);
	json_kbool(&json, "d", false);
	json_kstr(&json, "e", view_make(NULL, 0));
	json_ki64(&json, "f", 0);
	json_knull(&json, "g");
	json_key(&json, "h");
	json_raw(&json, VIEW_LIT("[1]"));
	json_raw_members(&json, VIEW_LIT("\"i\":1,\"j\":2"));
	json_knull(&json, "k");
	json_object_end(&json);
	CHECK_U64(json.depth, 0);
	CHECK_OUT("{\"a\":18446744073709551615,\"b\":[-9223372036854775808,{},[],true,null],"
		  "\"c\":null,\"d\":false,\"e\":\"\",\"f\":0,\"g\":null,\"h\":[1],\"i\":1,\"j\":2,\"k\":null}");
}

TEST(json, pretty_indents_by_two)
{
	begin(true);
	json_object(&json);
	json_ku64(&json, "a", 1);
	json_key(&json, "b");
	json_array(&json);
	json_u64(&json, 2);
	json_array_end(&json);
	json_key(&json, "c");
	json_array(&json);
	json_array_end(&json);
	json_object_end(&json);
	CHECK_OUT("{\n  \"a\": 1,\n  \"b\": [\n    2\n  ],\n  \"c\": []\n}");
}

TEST(json, documents_in_a_row_are_lines)
{
	begin(false);
	json_u64(&json, 1);
	json_array(&json);
	json_array_end(&json);
	CHECK_OUT("1\n[]");
}

TEST(json, strings_are_escaped_and_valid_utf8)
{
	static const struct { struct view in; const char *want; } cases[] = {
		{ VIEW_LIT("plain"), "\"plain\"" },
		{ VIEW_LIT("a\"b\\c"), "\"a\\\"b\\\\c\"" },
		{ VIEW_LIT("\b\t\n\f\r\x01\x1f\x7f"), "\"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\"" },
		{ VIEW_LIT("a\0b"), "\"a\\u0000b\"" },
		{ VIEW_LIT("</script> a/b <"), "\"<\\/script> a/b <\"" },
		{ VIEW_LIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ VIEW_LIT("a\xff" "b"), "\"a\xef\xbf\xbd" "b\"" },
		{ VIEW_LIT("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },	/* overlong / */
		{ VIEW_LIT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },	/* surrogate */
		{ VIEW_LIT("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },	/* cut short */
		{ VIEW_LIT("\xf4\x90\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(false);
		json_str(&json, cases[i].in);
		CHECK_OUT(cases[i].want);
	}
	begin(false);
	json_printf(&json, "%d\n%0600d", 1, 2);
	CHECK(out.len == 2 + 3 + 600 && !out.bad);
	wr_release(&out);
}

TEST(json, numbers_come_back)
{
	static const double values[] = { 0, -0.0, 1, 0.1, 1.0 / 3, 1e300, 5e-324, 123456789.125 };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct json_doc *doc;

		begin(false);
		json_f64(&json, values[i]);
		CHECK_RC(json_parse(wr_view(&out), &doc, NULL), 0);
		CHECK(json_get_f64(json_root(doc), NAN) == values[i]);
		json_doc_free(doc);
		wr_release(&out);
	}
	begin(false);
	json_array(&json);
	json_f64(&json, NAN);
	json_f64(&json, INFINITY);
	json_f64(&json, 0.1);
	json_array_end(&json);
	CHECK_OUT("[null,null,0.1]");
}

/* Assertions are on in every build. */
TEST(json, key_outside_an_object_asserts, .signal = SIGABRT)
{
	begin(false);
	json_array(&json);
	json_key(&json, "a");
}

TEST(json, value_without_a_key_asserts, .signal = SIGABRT)
{
	begin(false);
	json_object(&json);
	json_u64(&json, 1);
}

TEST(json, reads_every_kind)
{
	struct err err = { 0 };
	struct json_doc *doc;
	const struct json_val *root;
	const char *key = NULL;

	CHECK_OK(json_parse(VIEW_LIT("{\"z\":null,\"b\":true,\"i\":-7,\"r\":2.5,\"s\":\"a\\u0000b\",\"l\":[1,\"2\"],"
				     "\"a\":{\"k\":1}}"), &doc, &err), err);
	root = json_root(doc);
	CHECK_EQ(json_kind(root), JSON_OBJECT);
	CHECK_U64(json_count(root), 7);
	CHECK_EQ(json_kind(json_get(root, "z")), JSON_NULL);
	CHECK_EQ(json_kind(json_get(root, "nothing")), JSON_NULL);
	CHECK(json_get_bool(json_get(root, "b"), false));
	CHECK_I64(json_get_i64(json_get(root, "i"), 0), -7);
	CHECK(json_get_f64(json_get(root, "r"), 0) == 2.5);
	CHECK(view_eq(json_get_str(json_get(root, "s"), VIEW_LIT("")), VIEW_LIT("a\0b")));
	CHECK_U64(json_count(json_get(root, "l")), 2);
	CHECK_I64(json_get_i64(json_at(json_get(root, "l"), 1), 0), 2);
	CHECK_NULL(json_at(json_get(root, "l"), 2));
	CHECK_NULL(json_at(root, 0));
	CHECK_NULL(json_get(json_get(root, "l"), "k"));
	/* members in the order of the text */
	CHECK(json_member(root, 0, &key) && strcmp(key, "z") == 0);
	CHECK(json_member(root, 6, &key) && strcmp(key, "a") == 0);
	CHECK_NULL(json_member(root, 7, &key));
	CHECK_NULL(json_member(NULL, 0, &key));
	json_doc_free(doc);
	json_doc_free(NULL);
}

TEST(json, other_kinds_give_the_fallback)
{
	struct json_doc *doc;
	const struct json_val *root;

	CHECK_RC(json_parse(VIEW_LIT("[\"12x\",\" 1\",\"\",\"1e3\",\"99999999999999999999\",1e30,2.5,true,\"nan\",\"-5\"]"),
			    &doc, NULL), 0);
	root = json_root(doc);
	CHECK_I64(json_get_i64(json_at(root, 0), -1), -1);
	CHECK_I64(json_get_i64(json_at(root, 1), -1), -1);
	CHECK_I64(json_get_i64(json_at(root, 2), -1), -1);
	CHECK_I64(json_get_i64(json_at(root, 3), -1), 1000);
	CHECK_I64(json_get_i64(json_at(root, 4), -1), -1);
	CHECK_I64(json_get_i64(json_at(root, 5), -1), -1);
	CHECK_I64(json_get_i64(json_at(root, 6), -1), -1);
	CHECK_I64(json_get_i64(json_at(root, 7), -1), -1);
	CHECK(json_get_f64(json_at(root, 8), -1) == -1);
	CHECK_I64(json_get_i64(json_at(root, 9), -1), -5);
	CHECK(json_get_f64(json_at(root, 9), -1) == -5);
	CHECK_VIEW(json_get_str(json_at(root, 7), VIEW_LIT("no")), "no");
	CHECK_I64(json_get_i64(NULL, 3), 3);
	CHECK_NOT(json_get_bool(json_at(root, 0), false));
	json_doc_free(doc);
}

TEST(json, parse_errors_say_where)
{
	static const char *const bad[] = {
		"", " ", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "nul", "\"\xff\"", "\"\n\"", "1 2", "[1}", "01", "'a'",
		"\"\\ud800\"", "99999999999999999999999",
	};
	struct json_doc *doc = NULL;
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err_clear(&err);
		CHECK_RC(json_parse(view_str(bad[i]), &doc, &err), E_FORMAT);
		CHECK(!doc && strstr(err.text, "line"), "'%s': %s", bad[i], err.text);
	}
	err_clear(&err);
	(void)json_parse(VIEW_LIT("{\n  \"a\": x\n}"), &doc, &err);
	CHECK(strstr(err.text, "line 2 column 8"), "%s", err.text);
	CHECK_RC(json_parse(VIEW_LIT("x"), &doc, NULL), E_FORMAT);
}

TEST(json, nesting_and_size_are_limited)
{
	static char deep[600];
	struct json_doc *doc = NULL;
	struct err err = { 0 };

	memset(deep, '[', 257);
	memset(deep + 257, ']', 257);
	CHECK_RC(json_parse(view_make(deep, 514), &doc, &err), E_FORMAT);
	CHECK(strstr(err.text, "256"), "%s", err.text);
	CHECK_RC(json_parse(view_make(deep + 1, 512), &doc, NULL), 0);
	json_doc_free(doc);
	/* brackets in strings do not count */
	memset(deep, '[', 300);
	deep[0] = deep[299] = '"';
	deep[5] = '\\';
	deep[6] = '"';
	CHECK_RC(json_parse(view_make(deep, 300), &doc, NULL), 0);
	json_doc_free(doc);
	/* not looked at: the length alone is too much */
	CHECK_RC(json_parse(view_make("", ((size_t)64 << 20) + 1), &doc, NULL), E_LIMIT);
}

TEST(json, parsed_values_are_written_again)
{
	static const char text[] = "{\"a\":[1,-2,0.5,null,true],\"b\":{\"c\":\"x\\ny\",\"d\":{}}}";
	struct json_doc *doc = NULL;
	struct err err = { 0 };
	struct json writer;
	struct wr text_again;

	CHECK_OK(json_parse(VIEW_LIT(text), &doc, &err), err);
	wr_init(&text_again, 0);
	json_init(&writer, &text_again, false);
	json_val(&writer, json_root(doc));
	CHECK_U64(text_again.len, strlen(text));
	CHECK(memcmp(text_again.at, text, text_again.len) == 0);
	wr_release(&text_again);
	json_doc_free(doc);
}

TEST(json, parse_survives_failing_memory)
{
	struct json_doc *doc = NULL;
	int rc = E_NO_MEMORY;

	for (uint64_t n = 1; rc < 0; n++) {
		CHECK(n < 100);
		mem_fail_nth(n);
		rc = json_parse(VIEW_LIT("{\"a\":[1,2.5,\"abc\",{\"b\":null}]}"), &doc, NULL);
		mem_fail_nth(0);
	}
	json_doc_free(doc);
}
