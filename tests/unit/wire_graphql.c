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
	   "GET /feed 200 gap req=0+31 rsp=0+78 body=11 missing=10\n", true },
};

TEST(graphql, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];
		struct kit kit;
		struct wr out;

		kit_init(&kit, NULL);
		talk_run(&kit, 80, d->step, STEPS_MAX);
		wr_init(&out, 0);
		CHECK(strcmp(kit_lines(&kit, &out), d->calls) == 0, "%s:\n%s\nnot\n%s", d->name, (const char *)out.at, d->calls);
		wr_release(&out);
		kit_release(&kit);
		if (!d->uncut)
			talk_cut(80, d->step, STEPS_MAX, d->calls);
	}
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
