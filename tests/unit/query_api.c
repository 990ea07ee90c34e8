/* The tables behind the routes: complete, and documented. */
#include "query/api.h"
#include "query/grafana.h"
#include "query/http_route.h"
#include "tests/check.h"

static struct view read_doc(const char *path, struct arena *arena)
{
	FILE *file = fopen(path, "re");
	char *text = arena_alloc(arena, 1 << 20);
	size_t len;

	CHECK(file != NULL && text != NULL, "%s", path);
	len = fread(text, 1, 1 << 20, file);
	fclose(file);
	CHECK_LT(len, 1u << 20);
	return view_make(text, len);
}

static bool documents(struct view doc, const char *name, struct arena *arena)
{
	return view_find(doc, view_str(arena_printf(arena, "`%s", name))) >= 0;
}

static bool known_param(struct view name)
{
	for (size_t i = 0; i < api_params_count; i++)
		if (view_is(name, api_params[i].name))
			return true;
	return false;
}

TEST(api, every_route_is_whole_and_documented)
{
	struct arena arena;
	struct view doc;

	arena_init(&arena, 0);
	doc = read_doc("docs/rest.md", &arena);
	for (size_t i = 0; i < api_routes_count; i++) {
		const struct http_route *route = &api_routes[i];
		struct view rest = view_str(route->params);

		CHECK(route->handler && route->summary[0] && route->path[0] == '/', "%s",
		      route->path);
		CHECK(strncmp(route->path, "/grafana/", 9) == 0 ||
			      documents(doc, route->path, &arena) || strcmp(route->path, "/") == 0,
		      "docs/rest.md does not name %s", route->path);
		while (rest.len && !view_is(rest, "*")) {
			size_t len = 0;

			while (len < rest.len && rest.at[len] != ' ')
				len++;
			CHECK(known_param(view_sub(rest, 0, len)), "%s: %.*s has no PARAM",
			      route->path, (int)len, rest.at);
			rest = view_trim(view_sub(rest, len, rest.len));
		}
	}
	for (size_t i = 0; i < api_params_count; i++)
		CHECK(documents(doc, api_params[i].name, &arena), "docs/rest.md does not name %s",
		      api_params[i].name);
	arena_release(&arena);
}

TEST(api, every_metric_is_documented)
{
	struct arena arena;
	struct view doc;

	arena_init(&arena, 0);
	doc = read_doc("docs/grafana.md", &arena);
	for (size_t i = 0; i < grafana_all_count; i++)
		CHECK(documents(doc, grafana_all[i].name, &arena),
		      "docs/grafana.md does not name %s", grafana_all[i].name);
	for (size_t i = 0; i < grafana_options_count; i++)
		CHECK(documents(doc, grafana_options[i].name, &arena),
		      "docs/grafana.md does not name %s", grafana_options[i].name);
	arena_release(&arena);
}

static void check_list(const char *text, bool commas, const char *want)
{
	struct arena arena;
	struct err err = { 0 };
	struct view *list;
	struct wr wr;
	size_t count;

	arena_init(&arena, 0);
	wr_init(&wr, 0);
	CHECK_OK(grafana_list_text(view_str(text), commas, &arena, &list, &count, &err), err);
	for (size_t i = 0; i < count; i++) {
		wr_bytes(&wr, list[i]);
		wr_str(&wr, ";");
	}
	CHECK_VIEW(wr_view(&wr), want);
	wr_release(&wr);
	arena_release(&arena);
}

TEST(grafana, makes_variables_plain_again)
{
	check_list("", true, "");
	check_list("web-1", false, "web-1;");
	check_list("web\\.1", false, "web.1;");
	check_list("(a|b\\|c|d)", false, "a;b|c;d;");
	check_list("(10\\.0\\.0\\.1|\\(x\\))", false, "10.0.0.1;(x);");
	check_list("{a,b}", false, "a;b;");
	check_list("a, b", true, "a;b;");
	check_list("a, b", false, "a, b;");
	check_list("()", false, "");
	check_list("\\", false, "\\;");
	check_list("C:\\dir", false, "C:\\dir;");
}

static void check_typed(const char *text, const char *want)
{
	struct grafana_filters filters;
	struct arena arena;
	struct err err = { 0 };

	arena_init(&arena, 0);
	grafana_filters_init(&filters, &arena);
	CHECK_OK(grafana_filters_typed(&filters, view_str(text), &err), err);
	CHECK_VIEW(wr_view(&filters.text), want);
	grafana_filters_release(&filters);
	arena_release(&arena);
}

TEST(grafana, puts_variables_into_filters)
{
	check_typed("  ", "");
	check_typed("a == \"web\\.1\"", "(a == \"web.1\")");
	check_typed("a == \"say \\\"x\\\"\"", "(a == \"say \\\"x\\\"\")");
	check_typed("a ~ \"^web\\.1$\"", "(a ~ \"^web\\.1$\")");
	check_typed("a matches \"\\d\"", "(a matches \"\\d\")");
	check_typed("a in (x|y\\.z) && b", "(a in {\"x\", \"y.z\"} && b)");
	check_typed("a in (\"x\", \"y\")", "(a in (\"x\", \"y\"))");
	check_typed("a == \"b in (x|y)\"", "(a == \"b in (x|y)\")");
	check_typed("host == web\\.1", "(host == web.1)");
	check_typed("a == \"open", "(a == \"open)");
}

static int adhoc(const char *json, char *text, size_t cap)
{
	struct grafana_filters filters;
	struct json_doc *doc = NULL;
	struct arena arena;
	struct err err = { 0 };
	int rc;

	arena_init(&arena, 0);
	grafana_filters_init(&filters, &arena);
	CHECK_OK(json_parse(view_str(json), &doc, &err), err);
	rc = grafana_filters_adhoc(&filters, json_root(doc), &err);
	(void)snprintf(text, cap, "%.*s", (int)filters.text.len,
		       filters.text.at ? (char *)filters.text.at : "");
	json_doc_free(doc);
	grafana_filters_release(&filters);
	arena_release(&arena);
	return rc;
}

TEST(grafana, maps_ad_hoc_filters)
{
	char text[512];

	CHECK_RC(
		adhoc("[{\"key\":\"a\",\"operator\":\"=\",\"value\":\"x\\\"y\"},{\"key\":\"b\",\"operator\":\"!=\",\"value\":5}]",
		      text, sizeof(text)),
		0);
	CHECK_STR(text, "a == \"x\\\"y\" && b != \"5\"");
	CHECK_RC(adhoc("[{\"key\":\"a\",\"operator\":\"=~\",\"value\":\"(x|y\\\\.z)\"}]", text,
		       sizeof(text)),
		 0);
	CHECK_STR(text, "a in {\"x\", \"y.z\"}");
	CHECK_RC(adhoc("[{\"key\":\"a\",\"operator\":\"!~\",\"value\":\"x.*\"}]", text,
		       sizeof(text)),
		 0);
	CHECK_STR(text, "!(a matches \"^(?:x.*)$\")");
	CHECK_RC(adhoc("[{\"key\":\"a\",\"operator\":\"!=|\",\"values\":[\"x\",\"y\"]}]", text,
		       sizeof(text)),
		 0);
	CHECK_STR(text, "!(a in {\"x\", \"y\"})");
	CHECK_RC(adhoc("[{\"key\":\"a\",\"operator\":\"=|\",\"values\":[]}]", text, sizeof(text)),
		 E_SYNTAX);
	CHECK_RC(
		adhoc("[{\"key\":\"a b\",\"operator\":\"=\",\"value\":\"1\"}]", text, sizeof(text)),
		E_SYNTAX);
	CHECK_RC(adhoc("[{\"key\":\"a\",\"operator\":\"<>\",\"value\":\"1\"}]", text, sizeof(text)),
		 E_SYNTAX);
	CHECK_RC(adhoc("[{\"key\":\"\",\"value\":\"1\"}, 5, null]", text, sizeof(text)), 0);
	CHECK_STR(text, "");
}

static void check_frame(enum grafana_form form, const char *want)
{
	static const char *const names[] = { "pod" };
	static const struct view values[] = { { (const uint8_t *)"web", 3 } };
	struct frame frame;
	struct err err = { 0 };
	struct json json;
	struct wr wr;

	wr_init(&wr, 0);
	json_init(&json, &wr, false);
	frame_init(&frame, VIEW_LIT("A"), "web p99");
	frame.tag_names = names;
	frame.tag_values = values;
	frame.tags_count = 1;
	CHECK(frame_add(&frame, "Time", "time", NULL) && frame_add(&frame, "p99", "number", "ns"));
	for (uint64_t i = 1; i < 3; i++)
		frame_put_u64(&frame.fields[0], 1000 * i);
	frame_put_f64(&frame.fields[1], 0.5);
	frame_put_f64(&frame.fields[1], 0.0 / 0.0);
	CHECK_OK(frame_write(&frame, form, &json, &err), err);
	CHECK_VIEW(wr_view(&wr), want);
	frame_release(&frame);
	wr_release(&wr);
}

TEST(grafana, writes_frames_in_every_dialect)
{
	check_frame(
		GRAFANA_COLUMNS,
		"{\"refId\":\"A\",\"schema\":{\"refId\":\"A\",\"name\":\"web p99\",\"fields\":[{\"name\":\"Time\",\"type\":"
		"\"time\"},{\"name\":\"p99\",\"type\":\"number\",\"labels\":{\"pod\":\"web\"},\"config\":{\"unit\":\"ns\"}}]},"
		"\"data\":{\"values\":[[1000,2000],[0.5,null]]}}");
	check_frame(
		GRAFANA_DATAPOINTS,
		"{\"target\":\"web p99\",\"refId\":\"A\",\"unit\":\"ns\",\"tags\":{\"pod\":\"web\"},\"datapoints\":"
		"[[0.5,1000],[null,2000]]}");
	check_frame(
		GRAFANA_TABLE,
		"{\"type\":\"table\",\"refId\":\"A\",\"name\":\"web p99\",\"columns\":[{\"text\":\"Time\",\"type\":\"time\"},"
		"{\"text\":\"p99\",\"type\":\"number\",\"unit\":\"ns\"}],\"rows\":[[1000,0.5],[2000,null]]}");
}

TEST(grafana, survives_want_of_memory)
{
	for (uint64_t n = 1; n < 12; n++) {
		struct frame frame;
		struct err err = { 0 };
		struct json json;
		struct wr wr;
		int rc = E_NO_MEMORY;

		wr_init(&wr, 0);
		json_init(&json, &wr, false);
		frame_init(&frame, VIEW_LIT("A"), "x");
		mem_fail_nth(n);
		if (frame_add(&frame, "a", "number", NULL)) {
			for (int i = 0; i < 100; i++)
				frame_put_f64(&frame.fields[0], 1.5);
			rc = frame_write(&frame, GRAFANA_COLUMNS, &json, &err);
		}
		mem_fail_nth(0);
		CHECK(rc < 0 || wr.bad || wr.len > 400);
		frame_release(&frame);
		wr_release(&wr);
	}
}
