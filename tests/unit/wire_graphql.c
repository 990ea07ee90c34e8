/* GraphQL and server-sent events: what is read of HTTP bodies. */
#include "tests/calls_truth.h"
#include "wire/graphql.h"

#define STEPS_MAX 12

static const struct request {
	const char *body, *type, *name;	/* type NULL: no GraphQL */
} requests[] = {
	{ "{\"query\":\"query GetUser($id: ID!) { user(id: $id) { name } }\",\"variables\":{\"id\":1}}", "query", "GetUser" },
	{ "{\"query\":\"{ me { name } }\"}", "query", "me" },
	{ "{\"query\":\"{\\n  alias : person { name } }\"}", "query", "person" },
	{ "{\"query\":\"mutation { addUser(name: \\\"a{b\\\") { id } }\"}", "mutation", "addUser" },
	{ "{\"query\":\"subscription OnTick { tick }\"}", "subscription", "OnTick" },
	{ "{\"query\":\"# a comment\\nfragment F on User { id pet { x } } query Q { a { ...F } }\"}", "query", "Q" },
	{ "{\"operationName\":\"B\",\"query\":\"query A { a } mutation B { b }\"}", "mutation", "B" },
	{ "[{\"query\":\"query First { a }\"},{\"query\":\"query Second { b }\"}]", "query", "First" },
	{ "{\"operationName\":\"P\",\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"ab\"}}}", "", "P" },
	{ "{\"variables\":{\"a\":[1,{\"query\":\"x\"}],\"b\":\"}\"},\"query\":\"query Late { a }\"}", "query", "Late" },
	{ "{\"query\":\"query Cut { user(id: 1) { na", "query", "Cut" },
	{ "{\"query\":{\"match\":{\"title\":\"elastic\"}}}", NULL, NULL },
	{ "{\"query\":\"select 1\"}", NULL, NULL },
	{ "{\"operationName\":\"X\"}", NULL, NULL },
	{ "{\"id\":7}", NULL, NULL },
	{ "{\"query\":\"", NULL, NULL },
	{ "[", NULL, NULL },
	{ "{\"a\":[[[[", NULL, NULL },
	{ "", NULL, NULL },
};

TEST(graphql, names_the_operation)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const struct request *r = &requests[i];
		struct graphql_op op;
		bool is = graphql_body(view_str(r->body), &op);

		CHECK(is == (r->type != NULL), "%s", r->body);
		if (!r->type)
			continue;
		CHECK_STR(op.type, r->type);
		CHECK(view_is(view_make(op.name, op.name_len), r->name), "%s: %.*s", r->body, (int)op.name_len, op.name);
		CHECK(graphql_begins(view_str(r->body)), "%s", r->body);
	}
}

/* Any part of a body, and any byte of it changed: an answer or none, never a read outside. */
TEST(graphql, bears_any_bytes)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		size_t len = strlen(requests[i].body);

		for (size_t cut = 0; cut <= len; cut++) {
			uint8_t *copy = mem_alloc(cut ? cut : 1);	/* its own block: a read past it is seen */
			struct graphql_op op;
			struct graphql_errors errors;

			memcpy(copy, requests[i].body, cut);
			(void)graphql_body(view_make(copy, cut), &op);
			(void)graphql_errors(view_make(copy, cut), &errors);
			for (size_t k = 0; k < cut; k++) {
				uint8_t was = copy[k];

				copy[k] = (uint8_t)"\\\"{}[]:,\0\xff"[(k + cut) % 10];
				(void)graphql_body(view_make(copy, cut), &op);
				(void)graphql_errors(view_make(copy, cut), &errors);
				copy[k] = was;
			}
			mem_free(copy);
		}
	}
}

#define JSON_POST(target, len, body) \
	"POST " target " HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: " #len "\r\n\r\n" body
#define JSON_OK(len, body) \
	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " #len "\r\n\r\n" body
#define EVENTS_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "an operation that worked, one with errors in a 200, one that is the caller's fault", {
		TALK('>', JSON_POST("/graphql", 34, "{\"query\":\"query GetUser { user }\"}")),
		TALK('<', JSON_OK(26, "{\"data\":{\"user\":\"errors\"}}")),
		TALK('>', JSON_POST("/api", 33, "{\"query\":\"mutation { pay(n:1) }\"}")),
		TALK('<', JSON_OK(56, "{\"data\":null,\"errors\":[{\"message\":\"card \\\"declined\\\"\"}]}")),
		TALK('>', JSON_POST("/api", 17, "{\"query\":\"{ a }\"}")),
		TALK('<', JSON_OK(70, "{\"errors\":[{\"message\":\"no\",\"extensions\":{\"code\":\"FORBIDDEN\",\"a\":[]}}]}")),
	}, "query GetUser 200 complete req=0+121 rsp=0+97 body=26\n"
	   "mutation pay 200 complete req=121+116 rsp=97+127 body=56 error=card \"declined\"\n"
	   "query a 200 complete req=237+100 rsp=224+141 body=70 error=no\n", false },
	{ "in the URL; other JSON stays HTTP", {
		TALK('>', "GET /g?operationName=B&query=query%20A%7Ba%7D+query+B%7Bb%7D HTTP/1.1\r\n\r\n"), TALK('<', JSON_OK(2, "{}")),
		TALK('>', "GET /search?query=query HTTP/1.1\r\n\r\n"), TALK('<', JSON_OK(2, "{}")),
		TALK('>', JSON_POST("/graphql/x", 8, "{\"id\":7}")), TALK('<', JSON_OK(2, "{}")),
	}, "query B 200 complete req=0+73 rsp=0+72 body=2\n"
	   "GET /search?query=query 200 complete req=73+36 rsp=72+72 body=2\n"
	   "POST /graphql/x 200 complete req=109+96 rsp=144+72 body=2\n", false },
	{ "chunked, the first chunk is enough", {
		TALK('>', "POST /q HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
			  "1f\r\n{\"query\":\"query InChunks { a }\"\r\n1\r\n}\r\n0\r\n\r\n"),
		TALK('<', JSON_OK(2, "{}")),
	}, "query InChunks 200 complete req=0+128 rsp=0+72 body=2\n", false },
	{ "events until the close, comments between them", {
		TALK('>', "GET /feed/7 HTTP/1.1\r\nHost: a\r\n\r\n"), TALK('<', EVENTS_HEAD "\r\n: hello\n\ndata: one\n\n"),
		TALK('<', "event: tick\nid: 4\ndata: {\ndata: }\n\n:\n\n"), TALK('<', "data: cut"), TALK('f', ""),
	}, "message /feed/7 - oneway req=76+11\n"
	   "tick /feed/7 - oneway req=87+35\n"
	   "message /feed/7 - closed req=125+9\n"
	   "GET /feed/7 200 complete req=0+33 rsp=0+134 body=67\n", false },
	{ "events in chunks", {
		TALK('>', "GET /feed HTTP/1.1\r\nHost: a\r\n\r\n"),
		TALK('<', EVENTS_HEAD "Transfer-Encoding: chunked\r\n\r\nb\r\ndata: one\n\n\r\n"),
		TALK('<', "d\r\ndata: three\n\n\r\n"), TALK('<', "0\r\n\r\n"),
		TALK('>', "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"), TALK('<', JSON_OK(2, "{}")),
	}, "message /feed - oneway req=98+11\n"
	   "message /feed - oneway req=114+13\n"
	   "GET /feed 200 complete req=0+31 rsp=0+134 body=24\n"
	   "GET /next 200 complete req=31+31 rsp=134+72 body=2\n", false },
	{ "a hole among events", {
		TALK('>', "GET /feed HTTP/1.1\r\nHost: a\r\n\r\n"), TALK('<', EVENTS_HEAD "\r\ndata: one\n\nda"),
		TALK('x', "ta: two\n\nd"), TALK('<', "ata: 3\n\n"), TALK('f', ""),
	}, "message /feed - oneway req=67+11\n"
	   "message /feed - gap req=78+2\n"
	   "GET /feed 200 gap req=0+31 rsp=0+80 body=13 missing=10\n", true },
};

/* ---- HTTP/2: lengths, flags and ids are one byte each, as string literals ---- */

#define OPEN "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" SETTINGS	/* 33 */
#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define DATA(len, flags, id) "\0\0" len "\0" flags "\0\0\0" id
#define HEADERS(len, flags, id) "\0\0" len "\1" flags "\0\0\0" id
#define JSON_TYPE "\x0f\x10\x10" "application/json"	/* 19 */
#define EVENTS_TYPE "\x0f\x10\x11" "text/event-stream"	/* 20 */
#define POST_Q "\x83\x86\x04\2/q\x41\1a" JSON_TYPE	/* 28 */
#define GET_FEED "\x82\x86\x04\5/feed\x41\1a"	/* 12 */

static const struct dialogue h2_dialogues[] = {
	{ "an operation in pieces, and one that failed in a 200 with trailers, streams between each other", {
		TALK('>', OPEN HEADERS("\x1c", "\4", "\1") POST_Q DATA("\x0c", "\0", "\1") "{\"query\":\"qu"
			  HEADERS("\x1c", "\4", "\3") POST_Q DATA("\x1a", "\x09", "\3") "\2{\"query\":\"query B {b}\"}\0\0"),
		TALK('>', DATA("\x09", "\0", "\1") "ery A {a}" DATA("\2", "\1", "\1") "\"}"),
		TALK('<', SETTINGS HEADERS("\x14", "\4", "\3") "\x88" JSON_TYPE HEADERS("\x14", "\4", "\1") "\x88" JSON_TYPE
			  DATA("\x13", "\0", "\3") "{\"errors\":[{\"messag" DATA("\x0d", "\1", "\1") "{\"data\":null}"
			  DATA("\x0b", "\0", "\3") "e\":\"nay\"}]}" HEADERS("\5", "\5", "\3") "\0\1x\1y"),
	}, "query A 200 complete req=33+87 rsp=38+51 body=13\n"
	   "query B 200 complete req=91+72 rsp=9+91 body=30 error=nay\n", false },
	{ "in the URL; what is coded, and other JSON, stays HTTP", {
		TALK('>', OPEN HEADERS("\x20", "\5", "\1") "\x82\x86\x04\x1c/g?query=query%20Who%7Bme%7D"
			  HEADERS("\x20", "\4", "\3") POST_Q "\x5a\2gz" DATA("\2", "\1", "\3") "\x1f\x8b"
			  HEADERS("\x1c", "\4", "\5") POST_Q DATA("\x08", "\1", "\5") "{\"id\":7}"),
		TALK('<', SETTINGS HEADERS("\x14", "\4", "\1") "\x88" JSON_TYPE DATA("\x0d", "\1", "\1") "{\"data\":null}"
			  HEADERS("\1", "\5", "\3") "\x88" HEADERS("\1", "\5", "\5") "\x88"),
	}, "query Who 200 complete req=33+41 rsp=9+51 body=13\n"
	   "POST /q 200 complete req=74+52 rsp=60+10 body=0\n"
	   "POST /q 200 complete req=126+54 rsp=70+10 body=0\n", false },
	{ "an operation that is answered before it is whole, one that is never answered", {
		TALK('>', OPEN HEADERS("\x1c", "\4", "\1") POST_Q DATA("\x13", "\0", "\1") "{\"query\":\"query A {"
			  HEADERS("\x1c", "\4", "\3") POST_Q DATA("\x13", "\0", "\3") "{\"query\":\"query B {"),
		TALK('<', SETTINGS HEADERS("\x14", "\4", "\1") "\x88" JSON_TYPE DATA("\x1e", "\1", "\1")
			  "{\"errors\":[{\"message\":\"nay\"}]}"), TALK('f', ""),
	}, "query A 200 complete req=33+65 rsp=9+68 body=30 error=nay\n"
	   "query B - unanswered req=98+65\n", false },
	{ "events, one of them in two frames with another stream's between", {
		TALK('>', OPEN HEADERS("\x0c", "\5", "\1") GET_FEED),
		TALK('<', SETTINGS HEADERS("\x15", "\4", "\1") "\x88" EVENTS_TYPE
			  DATA("\x1d", "\0", "\1") ": hello\n\ndata: one\n\nevent: ti"),
		TALK('>', HEADERS("\x0c", "\5", "\3") GET_FEED),
		TALK('<', HEADERS("\1", "\4", "\3") "\x88" DATA("\3", "\1", "\3") "abc" DATA("\x16", "\x08", "\1") "\1ck\r\nid: 4\r\ndata: {\r\n\0"),
		TALK('<', DATA("\x0a", "\0", "\1") "data: }\r\n\r"), TALK('<', DATA("\x0a", "\1", "\1") "\ndata: cut"),
	}, "message /feed - oneway req=57+11\n"
	   "GET /feed 200 complete req=54+21 rsp=77+22 body=3\n"
	   "tick /feed - oneway req=68+40\n"
	   "message /feed - closed req=159+9\n"
	   "GET /feed 200 complete req=33+21 rsp=9+137 body=69\n", false },
	{ "a hole among events, and nobody else is hurt", {
		TALK('>', OPEN HEADERS("\x0c", "\5", "\1") GET_FEED),
		TALK('<', SETTINGS HEADERS("\x15", "\4", "\1") "\x88" EVENTS_TYPE DATA("\x27", "\0", "\1") "data: one\n\nda"),
		TALK('x', "ta: two\n\nd"), TALK('<', "ata: 3\n\ndata: 4\n"), TALK('>', HEADERS("\x0c", "\5", "\3") GET_FEED),
		TALK('<', HEADERS("\1", "\5", "\3") "\x88" DATA("\1", "\0", "\1") "\n"), TALK('f', ""),
	}, "message /feed - oneway req=48+11\n"
	   "message /feed - gap req=59+2\n"
	   "GET /feed 200 complete req=54+21 rsp=87+10 body=0\n"
	   "message /feed - oneway req=79+9\n"
	   "GET /feed 200 closed req=33+21 rsp=9+88 body=40 missing=10\n", true },
};

static void run_dialogues(const struct dialogue *at, size_t count)
{
	for (const struct dialogue *d = at; d < at + count; d++) {

		TALK_WHOLE(d, 80);
		if (!d->uncut)
			talk_cut(80, d->step, STEPS_MAX, d->calls);
	}
}

TEST(graphql, reads_dialogues)
{
	run_dialogues(dialogues, sizeof(dialogues) / sizeof(dialogues[0]));
}

TEST(graphql, reads_dialogues_of_http2, .timeout = 60)
{
	run_dialogues(h2_dialogues, sizeof(h2_dialogues) / sizeof(h2_dialogues[0]));
}

TEST(graphql, fills_the_columns)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 80, dialogues[0].step, STEPS_MAX);
	CHECK_U64(kit.count, 3);
	CHECK_U64(kit.call[0].row.l7, L7_graphql);
	CHECK_VIEW(kit.call[0].row.host, "a");
	CHECK_U64(kit.call[0].row.status_class, CLASS_ok);
	CHECK_U64(kit.call[1].row.status_class, CLASS_server_error);
	CHECK_U64(kit.call[2].row.status_class, CLASS_client_error);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 80, dialogues[3].step, STEPS_MAX);
	CHECK_U64(kit.count, 4);
	CHECK_U64(kit.call[1].row.l7, L7_sse);
	CHECK_U64(kit.call[1].req_dir, 1);
	CHECK_VIEW(kit.call[1].row.key, "4");
	CHECK_U64(kit.call[1].row.req_body_bytes, 2);
	CHECK_U64(kit.call[3].row.rows, 2);
	CHECK_U64(kit.call[3].row.l7, L7_sse);
	kit_release(&kit);
}

/* ---- shown in full ---- */

static void check_detail(uint8_t l7, struct view request, struct view response, const char *want)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)proto_by_id(l7)->detail(request, response, 1000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, want);
	wr_release(&out);
}

/* An event's bytes are all between its first and last one: heads of frames and other streams' frames too. */
TEST(graphql, shows_events)
{
	check_detail(L7_sse, VIEW_LIT("event: tick\ndata: 1\n\n"), VIEW_LIT(""),
		     "{\"request\":{\"fields\":[{\"name\":\"event\",\"value\":\"tick\"},{\"name\":\"data\",\"value\":\"1\"}]}}");
	check_detail(L7_sse, VIEW_LIT("event: ti" HEADERS("\1", "\4", "\3") "\x88" DATA("\3", "\1", "\3") "abc"
				      DATA("\x0b", "\x08", "\1") "\1ck\ndata: \0" DATA("\3", "\0", "\1") "1\n\n"), VIEW_LIT(""),
		     "{\"request\":{\"fields\":[{\"name\":\"event\",\"value\":\"tick\"},{\"name\":\"data\",\"value\":\"1\"}]}}");
	/* chunks of HTTP/1, and what only looks like one */
	check_detail(L7_sse, VIEW_LIT("event: ti\r\n4\r\nck\nd\r\na\r\nata: 1\n\n"), VIEW_LIT(""),
		     "{\"request\":{\"fields\":[{\"name\":\"event\",\"value\":\"tick\"},{\"name\":\"data\",\"value\":\"1\"}]}}");
	check_detail(L7_sse, VIEW_LIT("data: 1\r\nabg\r\ndata: 2\r\n4\r\ndata\r\n\r\n"), VIEW_LIT(""),
		     "{\"request\":{\"fields\":[{\"name\":\"data\",\"value\":\"1\"},{\"name\":\"abg\",\"value\":\"\"},"
		     "{\"name\":\"data\",\"value\":\"2\"},{\"name\":\"4\",\"value\":\"\"},{\"name\":\"data\",\"value\":\"\"}]}}");
	/* zeros that are no frames, and a frame that is cut */
	check_detail(L7_sse, VIEW_LIT("data: a\0\0\0b"), VIEW_LIT(""),
		     "{\"request\":{\"fields\":[{\"name\":\"data\",\"value\":\"a\\u0000\\u0000\\u0000b\"}]}}");
	check_detail(L7_sse, VIEW_LIT("data: a" DATA("\x0b", "\0", "\1") "b"), VIEW_LIT(""),
		     "{\"request\":{\"fields\":[{\"name\":\"data\",\"value\":\"ab\"}]}}");
}

TEST(graphql, shows_calls_of_http2)
{
	check_detail(L7_graphql, VIEW_LIT(HEADERS("\x1c", "\4", "\1") POST_Q DATA("\x17", "\1", "\1") "{\"query\":\"query A {a}\"}"),
		     VIEW_LIT(HEADERS("\1", "\4", "\1") "\x88" DATA("\2", "\1", "\1") "{}"),
		     "{\"request\":{\"version\":\"2\",\"stream\":1,\"method\":\"POST\",\"target\":\"/q\",\"authority\":\"a\","
		     "\"scheme\":\"http\",\"headers\":[{\"name\":\"content-type\",\"value\":\"application/json\"}],"
		     "\"body_bytes\":23,\"body\":\"{\\\"query\\\":\\\"query A {a}\\\"}\"},"
		     "\"response\":{\"version\":\"2\",\"stream\":1,\"status\":200,\"headers\":[],\"body_bytes\":2,\"body\":\"{}\"}}");
	check_detail(L7_sse, VIEW_LIT(HEADERS("\x0c", "\5", "\1") GET_FEED), VIEW_LIT(""),
		     "{\"request\":{\"version\":\"2\",\"stream\":1,\"method\":\"GET\",\"target\":\"/feed\",\"authority\":\"a\","
		     "\"scheme\":\"http\",\"headers\":[],\"body_bytes\":0,\"body\":\"\"}}");
}
