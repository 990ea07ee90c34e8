#include "base/json.h"
#include "base/zstd.h"
#include "tests/random.h"
#include "tests/wire_kit.h"
#include "wire/http_head.h"
#include "wire/inflate.h"

#include <ctype.h>
#include <zlib.h>

#define STEPS_MAX 12

/* '>' from the client, '<' from the server, 'F' and 'f' their FINs. */
struct step {
	char what;
	const char *bytes;
};

struct dialogue {
	const char *name;
	struct step step[STEPS_MAX];
	const char *calls;
};

static const struct dialogue dialogues[] = {
	{ "one call", {
		{ '>', "GET /a?b=1 HTTP/1.1\r\nHost: h\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" },
	}, "GET /a?b=1 200 complete req=0+32 rsp=0+40 body=2\n" },
	{ "pipelined in one segment", {
		{ '>', "GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nx"
		       "HTTP/1.1 204 None\r\n\r\n" },
	}, "GET /1 200 complete req=0+19 rsp=0+38 body=0\n"
	   "POST /2 404 complete req=19+42 rsp=38+39 body=1\n"
	   "GET /3 204 complete req=61+19 rsp=77+21 body=0\n" },
	{ "chunked with extension and trailers", {
		{ '>', "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: 1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n" },
		{ '>', "GET /2 HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n" },
	}, "POST /c 200 complete req=0+71 rsp=0+73 body=10\n"
	   "GET /2 304 complete req=71+19 rsp=73+49 body=0\n" },
	{ "100 Continue and early hints are not answers", {
		{ '>', "PUT /u HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n" },
		{ '<', "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" },
		{ '>', "12345" },
		{ '<', "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" },
	}, "PUT /u 201 complete req=0+65 rsp=62+43 body=0\n" },
	{ "an answer before the request is whole", {
		{ '>', "POST /big HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345" },
		{ '<', "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n" },
		{ '>', "67890GET /n HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
	}, "POST /big 413 complete req=0+52 rsp=0+45 body=0\n"
	   "GET /n 200 complete req=52+19 rsp=45+38 body=0\n" },
	{ "HEAD has no body", {
		{ '>', "HEAD /h HTTP/1.1\r\n\r\nGET /g HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" },
	}, "HEAD /h 200 complete req=0+20 rsp=0+41 body=0\n"
	   "GET /g 200 complete req=20+19 rsp=41+39 body=1\n" },
	{ "a body by close", {
		{ '>', "GET /c HTTP/1.0\r\n\r\n" },
		{ '<', "HTTP/1.0 200 OK\r\n\r\nsome" },
		{ '<', " bytes" },
		{ 'f', NULL },
	}, "GET /c 200 complete req=0+19 rsp=0+29 body=10\n" },
	{ "a body cut by FIN", {
		{ '>', "GET /c HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome" },
		{ 'f', NULL },
	}, "GET /c 200 closed req=0+19 rsp=0+44 body=4 error=response cut short by the end of the connection\n" },
	{ "a head cut by FIN, and one request never answered", {
		{ '>', "GET /c HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Le" },
		{ 'f', NULL },
	}, "GET /c - closed req=0+19 rsp=0+27 error=response cut short by the end of the connection\n"
	   "GET /d - unanswered req=19+19\n" },
	{ "upgrade: the rest is no HTTP", {
		{ '>', "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" },
		{ '<', "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello" },
		{ '>', "GET /not/a/request HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\n\r\n" },
	}, "GET /ws 101 complete req=0+61 rsp=0+56 body=0\n"
	   "text /ws - oneway req=56+7\n" },
	{ "CONNECT: a tunnel when it succeeds, with whatever protocol inside", {
		{ '>', "CONNECT a.example:443 HTTP/1.1\r\nHost: proxy\r\n\r\n" },
		{ '<', "HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno" },
		{ '>', "CONNECT a.example:443 HTTP/1.1\r\nProxy-Authorization: x\r\n\r\n" },
		{ '<', "HTTP/1.1 200 Established\r\nContent-Length: 10\r\n\r\n" },
		{ '>', "GET / HTTP/1.1\r\n\r\n" },
	}, "CONNECT a.example:443 407 complete req=0+47 rsp=0+42 body=2\n"
	   "CONNECT a.example:443 200 complete req=47+58 rsp=42+48 body=0\n"
	   "GET / - unanswered req=105+18\n" },
	{ "bare line feeds, blank lines before, folded headers", {
		{ '>', "\r\n\nGET /lf HTTP/1.1\nX: a\n  b\n\nGET /2 HTTP/1.1\r\nContent-Length:\r\n 0\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\nContent-Length: 1\n\nx\r\nHTTP/1.1 200\r\nContent-Length: 0\r\n\r\n" },
	}, "GET /lf 200 complete req=3+27 rsp=0+36 body=1\n"
	   "GET /2 200 complete req=30+40 rsp=38+35 body=0\n" },
	{ "smuggling: both lengths", {
		{ '>', "POST /s HTTP/1.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
		{ '<', "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" },
	}, "POST /s 400 complete req=0+72 rsp=0+39 body=0 "
	   "error=request: Content-Length beside Transfer-Encoding: request smuggling?\n" },
	{ "smuggling: two lengths, odd coding, blank before colon", {
		{ '>', "POST /s HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx" },
		{ '<', "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" },
		{ '>', "POST /t HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n" },
		{ '<', "HTTP/1.1 400 Bad\r\nContent-Length: 0, 0\r\n\r\n" },
		{ '>', "POST /u HTTP/1.1\r\nContent-Length : 1\r\n\r\nx" },
		{ '<', "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" },
	}, "POST /s 400 complete req=0+59 rsp=0+39 body=0 error=request: Content-Length twice with different values\n"
	   "POST /t 400 complete req=59+49 rsp=39+42 body=0 "
	   "error=request: Transfer-Encoding does not end in chunked\n"
	   "POST /u 400 complete req=108+41 rsp=81+39 body=0 error=request: blank before the colon of a header\n" },
	{ "a broken chunk: the next message is found", {
		{ '>', "GET /1 HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\nrest\r\n" },
		{ '>', "GET /2 HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
	}, "GET /1 200 complete req=0+19 rsp=0+54 body=2 error=response body: bad chunk size at byte 2 of it\n"
	   "GET /2 200 complete req=19+19 rsp=64+38 body=0\n" },
	{ "responses alone", {
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" },
		{ '<', "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n" },
	}, "- - 200 no_request rsp=0+39 body=1\n- - 503 no_request rsp=39+40 body=0\n" },
	{ "absolute form, method of somebody's own", {
		{ '>', "PURGE http://cache.example/x?y HTTP/1.1\r\nHost: other\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
	}, "PURGE http://cache.example/x?y 200 complete req=0+56 rsp=0+38 body=0\n" },
	{ "without a version", {
		{ '>', "GET /old\r\nHost: h\r\n\r\n" },
		{ '<', "HTTP/1.0 400 Bad\r\nContent-Length: 0\r\n\r\n" },
	}, "GET /old 400 complete req=0+21 rsp=0+39 body=0 error=request: request line without an HTTP version\n" },
	{ "both sides end", {
		{ '>', "GET /1 HTTP/1.1\r\n\r\n" },
		{ 'F', NULL },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" },
		{ 'f', NULL },
	}, "GET /1 200 complete req=0+19 rsp=0+39 body=1\n" },
	{ "rubbish after a message", {
		{ '>', "GET /1 HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxtoo much\r\nof it" },
		{ '>', "GET /2 HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" },
		{ '>', "GET /3 HTTP/1.1\r\n\r\n" },
		{ '<', "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" },
	}, "GET /1 200 complete req=0+19 rsp=0+39 body=1\n"
	   "GET /2 200 complete req=19+19 rsp=54+39 body=1\n"
	   "GET /3 200 complete req=38+19 rsp=93+39 body=1\n" },
};

static void play(struct kit *kit, const struct dialogue *dialogue, size_t piece)
{
	kit_flow(kit, PROTO_tcp, 40000, 80);
	kit_handshake(kit);
	for (size_t i = 0; i < STEPS_MAX && dialogue->step[i].what; i++) {
		const struct step *step = &dialogue->step[i];
		unsigned dir = step->what == '<' || step->what == 'f';
		struct view bytes = view_str(step->bytes);

		if (!step->bytes) {
			kit_fin(kit, dir);
			continue;
		}
		while (bytes.len) {
			kit_sendv(kit, dir, view_sub(bytes, 0, piece));
			bytes = view_sub(bytes, piece, bytes.len);
		}
	}
	kit_end(kit, CALL_END_closed);
}

TEST(http, reads_every_dialogue_whole_and_in_pieces)
{
	static const size_t pieces[] = { SIZE_MAX, 1, 2, 3, 7, 16, 61 };

	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			struct kit kit;
			struct wr out;

			wr_init(&out, 0);
			kit_init(&kit, NULL);
			play(&kit, &dialogues[i], pieces[j]);
			CHECK(strcmp(kit_lines(&kit, &out), dialogues[i].calls) == 0,
			      "%s, in pieces of %zu:\n%snot\n%s", dialogues[i].name, pieces[j],
			      (const char *)out.at, dialogues[i].calls);
			wr_release(&out);
			kit_release(&kit);
		}
	}
}

TEST(http, fills_the_columns)
{
	struct kit kit;
	const struct call_row *row;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, "POST http://shop.example:8080/users/42/orders/550e8400-e29b-41d4-a716-446655440000?x=1 HTTP/1.1\r\n"
			  "Host: ignored\r\nUser-Agent: curl/8 \r\nContent-Length: 3\r\nX-Request-Id: rid\r\n"
			  "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\nabc");
	kit_send(&kit, 1, "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
	CHECK_U64(kit.count, 1);
	row = &kit.call[0].row;
	CHECK_VIEW(row->method, "POST");
	CHECK_VIEW(row->target_template, "/users/{id}/orders/{id}");
	CHECK_VIEW(row->host, "shop.example:8080");
	CHECK_VIEW(row->user_agent, "curl/8");
	CHECK_VIEW(row->trace_id, "0af7651916cd43dd8448eb211c80319c");
	CHECK_VIEW(row->version, "1.1");
	CHECK_VIEW(row->status_text, "Service Unavailable");
	CHECK_U64(row->status, 503);
	CHECK_U64(row->status_class, CLASS_server_error);
	CHECK_U64(row->req_body_bytes, 3);
	CHECK_U64(row->rsp_body_bytes, 4);
	CHECK_U64(row->l7, L7_http);
	CHECK_NOT(ROW_HAS(CALL, row, answers));
	CHECK_NOT(ROW_HAS(CALL, row, error));
	kit_release(&kit);
}

/* A head that began before the other side showed who is the client is judged again when it is whole. */
TEST(http, a_request_from_the_server_is_none)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 1, "GET /from/the/server HTTP/1.1\r\nHost: x\r\n");
	kit_send(&kit, 0, "GET /1 HTTP/1.1\r\n\r\n");
	kit_send(&kit, 1, "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	CHECK_LINES(&kit, "GET /1 200 complete req=0+19 rsp=42+38 body=0\n");
	kit_release(&kit);
}

/* Calls there is no room for are missing, and shift no others. */
TEST(http, pairs_around_calls_it_could_not_open)
{
	struct kit kit;

	kit_init(&kit, NULL);
	call_pool_free(kit.calls);
	kit.calls = kit.sink.pool = call_pool_new(&(struct call_pool_opts){ .calls_max = 2 });
	kit_flow(&kit, PROTO_tcp, 40000, 80);
	kit_handshake(&kit);
	kit_send(&kit, 0, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nHEAD /3 HTTP/1.1\r\n\r\nGET /4 HTTP/1.1\r\n\r\n");
	kit_send(&kit, 1, "HTTP/1.1 201 A\r\nContent-Length: 1\r\n\r\nx");
	kit_send(&kit, 0, "GET /5 HTTP/1.1\r\n\r\n");	/* there is room again, but /3 and /4 stand before it */
	kit_send(&kit, 1, "HTTP/1.1 202 B\r\nContent-Length: 1\r\n\r\nx");
	kit_send(&kit, 1, "HTTP/1.1 203 C\r\nContent-Length: 999\r\n\r\n");
	kit_send(&kit, 1, "HTTP/1.1 204 D\r\n\r\nHTTP/1.1 205 E\r\nContent-Length: 0\r\n\r\n");
	kit_send(&kit, 0, "GET /6 HTTP/1.1\r\n\r\n");
	kit_send(&kit, 1, "HTTP/1.1 206 F\r\nContent-Length: 1\r\n\r\nx");
	CHECK_LINES(&kit,
		    "GET /1 201 complete req=0+19 rsp=0+38 body=1\n"
		    "GET /2 202 complete req=19+19 rsp=38+38 body=1\n"
		    "GET /6 206 complete req=96+19 rsp=170+38 body=1\n");
	CHECK_U64(call_pool_refused(kit.calls), 3);
	kit_release(&kit);
}

/* Where the flow was turned round by a capture that began late, the calls are not. */
TEST(http, finds_the_client_in_either_direction)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 80, 40000);
	kit_send(&kit, 1, "GET /1 HTTP/1.1\r\n\r\n");
	kit_send(&kit, 0, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	CHECK_LINES(&kit, "GET /1 200 complete req=0+19 rsp=0+38 body=0\n");
	CHECK_U64(kit.call[0].req_dir, 1);
	kit_release(&kit);
}

TEST(http, folds_ids_in_templates)
{
	static const char *const cases[][2] = {
		{ "/", "/" }, { "*", "*" }, { "/a/b?c=1", "/a/b" }, { "/1/22/x3", "/{id}/{id}/x3" },
		{ "/img/1234.png", "/img/{id}.png" }, { "/v1/users", "/v1/users" },
		{ "/o/5f3a9c01d2e4", "/o/{id}" }, { "/facade/deadbeef", "/facade/deadbeef" },
		{ "http://h/7?x", "/{id}" }, { "/a//b/", "/a//b/" }, { "/x#7", "/x" }, { "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];
		size_t len = http_template(view_str(cases[i][0]), text, sizeof(text));

		CHECK(view_is(view_make(text, len), cases[i][1]), "%s gives %.*s", cases[i][0], (int)len, text);
	}
	for (size_t cap = 0; cap < 12; cap++) {
		char text[12];

		CHECK_LE(http_template(VIEW_LIT("/aa/12/bb/13"), text, cap), cap);
	}
}

/* Every name that is looked for, written in any case, and with each of its bytes changed a little. */
TEST(http, knows_names_of_fields_in_any_case_and_no_others)
{
	static const char *const names[] = {
		"host", "user-agent", "traceparent", "content-type", "x-b3-traceid", "x-request-id", "content-length",
		"content-encoding", "transfer-encoding", "b3",
	};

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		size_t len = strlen(names[n]);

		for (size_t at = 0; at <= 2 * len; at++) {	/* len: as it is; behind it: byte at - len - 1 in another case */
			char text[96] = "GET / HTTP/1.1\r\n", *name = text + strlen(text);
			struct http_head head;
			bool known;

			(void)snprintf(name, 60, "%s: 12\r\n\r\n", names[n]);
			if (at < len)
				name[at] ^= name[at] >= 'a' ? 0x01 : 0x20;
			else if (at > len)
				name[at - len - 1] = (char)toupper((unsigned char)name[at - len - 1]);
			CHECK(http_head_parse(view_str(text), &head), "%s", text);
			known = head.host.at || head.user_agent.at || head.traceparent.at || head.content_type.at ||
				head.b3_trace.at || head.request_id.at || head.has_length || head.content_encoding.at ||
				head.coded || head.b3.at;
			CHECK_U64(known, at >= len);
		}
	}
}

TEST(http, guesses)
{
	static const struct {
		const char *bytes;
		enum guess want;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n", GUESS_YES }, { "GE", GUESS_MORE }, { "GET /x", GUESS_MORE },
		{ "HTTP/1.1 200 OK\r\n", GUESS_YES }, { "HTTP/1.1 2", GUESS_MORE }, { "HTTP/1.1 2x0", GUESS_NO },
		{ "HEAD / HTTP/1.0\r\n", GUESS_YES }, { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", GUESS_NO },
		{ "INVITE sip:a SIP/2.0\r\nVia: x\r\n", GUESS_NO }, { "EHLO there\r\nMAIL FROM:<a>\r\n", GUESS_NO },
		{ "GET /x RTSP/1.0\r\nCSeq: 1\r\n", GUESS_NO }, { "get foo\r\nbar: x\r\n", GUESS_NO },
		{ "\x16\x03\x01", GUESS_NO }, { "SSH-2.0-x\r\n", GUESS_NO }, { "POST /\r\nHost: a\r\n", GUESS_YES },
		{ "HTTP/2 200\r\n", GUESS_NO },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guess_hint hint = { .proto = PROTO_tcp, .src_port = 1, .dst_port = 2 };

		CHECK(proto_by_id(L7_http)->guess(view_str(cases[i].bytes), &hint) == cases[i].want, "%s",
		      cases[i].bytes);
	}
}

/* ---- detail ---- */

static const struct json_val *detail(struct view request, struct view response, size_t body_max,
				     struct json_doc **ret_doc)
{
	struct err err = { .code = 0 };
	struct json json;
	struct wr out;
	int rc;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64(proto_by_id(L7_http)->detail(request, response, body_max, &json), 0);
	json_object_end(&json);
	CHECK_NOT(out.bad);
	rc = json_parse(wr_view(&out), ret_doc, &err);
	CHECK_OK(rc, err);
	wr_release(&out);
	return json_root(*ret_doc);
}

static struct view str(const struct json_val *val, const char *key)
{
	return json_get_str(json_get(val, key), VIEW_LIT("?"));
}

TEST(http, shows_a_call_in_full)
{
	struct json_doc *doc;
	const struct json_val *root, *request, *response, *header;

	root = detail(VIEW_LIT("POST /a HTTP/1.1\r\nHost: h\r\nX-Fold: a\r\n b\r\nhost: again\r\nContent-Length: 3\r\n\r\nabc"),
		      VIEW_LIT("HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\xff\r\n2\r\ncd\r\n0\r\nSum: 1\r\n\r\n"),
		      1000, &doc);
	request = json_get(root, "request");
	response = json_get(root, "response");
	CHECK_VIEW(str(request, "method"), "POST");
	CHECK_VIEW(str(request, "body"), "abc");
	CHECK_U64(json_count(json_get(request, "headers")), 4);
	header = json_at(json_get(request, "headers"), 1);
	CHECK_VIEW(str(header, "name"), "X-Fold");
	CHECK_VIEW(str(header, "value"), "a b");
	CHECK_VIEW(str(json_at(json_get(request, "headers"), 2), "name"), "host");
	CHECK_I64(json_get_i64(json_get(response, "status"), 0), 200);
	CHECK_VIEW(str(response, "encoding"), "base64");
	CHECK_VIEW(str(response, "body"), "YWL/Y2Q=");
	CHECK_I64(json_get_i64(json_get(response, "body_bytes"), 0), 5);
	CHECK_VIEW(str(json_at(json_get(response, "trailers"), 0), "name"), "Sum");
	json_doc_free(doc);

	root = detail(view_str(""), VIEW_LIT("HTTP/1.1 200 OK\r\n\r\n12345\xc3\xa4 and so on"), 6, &doc);
	response = json_get(root, "response");
	CHECK_VIEW(str(response, "body"), "12345");	/* not half a letter */
	CHECK(json_get_bool(json_get(response, "truncated"), false));
	json_doc_free(doc);

	root = detail(VIEW_LIT("\x01\x02 no HTTP"), view_str(""), 6, &doc);
	CHECK(json_get_bool(json_get(json_get(root, "request"), "raw"), false));
	json_doc_free(doc);
}

/* A megabyte of zeros in a kilobyte or so. */
static void bomb(struct wr *out, int window_bits)
{
	static uint8_t zeros[1 << 20], packed[1 << 16];
	z_stream z = { .next_in = zeros, .avail_in = sizeof(zeros), .next_out = packed, .avail_out = sizeof(packed) };

	memset(zeros, 'z', sizeof(zeros));
	CHECK(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
	wr_bytes(out, view_make(packed, z.total_out));
	(void)deflateEnd(&z);
}

TEST(http, undoes_codings_within_limits)
{
	/* "hello brotli" by the brotli tool */
	static const uint8_t br[] = { 0x8b, 0x05, 0x80, 'h', 'e', 'l', 'l', 'o', ' ', 'b', 'r', 'o', 't', 'l', 'i', 0x03 };
	static const int windows[] = { 31, 15, -15 };
	struct json_doc *doc;
	const struct json_val *response;
	struct wr packed, out;
	struct err err = { .code = 0 };
	bool more;

	wr_init(&packed, 0);
	wr_init(&out, 0);
	for (size_t i = 0; i < 3; i++) {
		enum coding coding = i ? CODING_DEFLATE : CODING_GZIP;

		wr_reset(&packed);
		bomb(&packed, windows[i]);
		for (size_t max = 0; max <= 1 << 20; max = max * 8 + 1000) {
			wr_reset(&out);
			CHECK_OK(inflate_view(coding, wr_view(&packed), max, &out, &more, &err), err);
			CHECK_U64(out.len, max);
			CHECK(more);
		}
		wr_reset(&out);
		CHECK_OK(inflate_view(coding, wr_view(&packed), 1 << 20, &out, &more, &err), err);
		CHECK_U64(out.len, 1 << 20);
		CHECK_NOT(more);
		wr_reset(&out);
		CHECK_RC(inflate_view(coding, view_sub(wr_view(&packed), 0, packed.len - 9), 2 << 20, &out, &more, &err),
			 E_FORMAT);
		CHECK_GT(out.len, 0);
		err_clear(&err);
	}
	CHECK_RC(inflate_view(CODING_GZIP, VIEW_LIT("no gzip at all"), 100, &out, &more, &err), E_FORMAT);
	err_clear(&err);
	CHECK_RC(inflate_view(CODING_UNKNOWN, VIEW_LIT("x"), 100, &out, &more, &err), E_UNSUPPORTED);
	err_clear(&err);
	wr_reset(&out);
	CHECK_OK(inflate_view(CODING_BR, view_make(br, sizeof(br)), 100, &out, &more, &err), err);
	CHECK_VIEW(wr_view(&out), "hello brotli");
	wr_reset(&out);
	CHECK_OK(inflate_view(CODING_BR, view_make(br, sizeof(br)), 5, &out, &more, &err), err);
	CHECK_VIEW(wr_view(&out), "hello");
	CHECK(more);

	wr_reset(&packed);
	wr_str(&packed, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n");
	bomb(&packed, 31);
	(void)detail(view_str(""), wr_view(&packed), 100, &doc);
	response = json_get(json_root(doc), "response");
	CHECK_U64(str(response, "body").len, 100);
	CHECK(json_get_bool(json_get(response, "decoded"), false));
	CHECK(json_get_bool(json_get(response, "truncated"), false));
	json_doc_free(doc);
	wr_release(&packed);
	wr_release(&out);
}

/* A mebibyte of one letter, as before, and what a frame may claim. */
TEST(http, undoes_zstd_within_limits)
{
	/* "hello zstd" by the zstd tool, then without its size; a frame that wants to look back 16 MiB */
	static const uint8_t hello[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x51, 0x00, 0x00, 'h', 'e', 'l', 'l', 'o', ' ',
					 'z', 's', 't', 'd', 0xcf, 0xdb, 0x60, 0x9c };
	static const uint8_t wide[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, (24 - 10) << 3, 0x09, 0x00, 0x00, 'x' };
	struct wr plain, packed, out;
	struct err err = { .code = 0 };
	bool more;

	wr_init(&plain, 0);
	wr_init(&packed, 0);
	wr_init(&out, 0);
	for (unsigned i = 0; i < 1 << 20; i++)
		wr_u8(&plain, 'z');
	CHECK_OK(zstd_pack(0, wr_view(&plain), &packed, &err), err);
	CHECK_LT(packed.len, 1000);
	for (size_t max = 0; max <= 1 << 20; max = max * 8 + 1000) {
		wr_reset(&out);
		CHECK_OK(inflate_view(CODING_ZSTD, wr_view(&packed), max, &out, &more, &err), err);
		CHECK_U64(out.len, max);
		CHECK(more);
	}
	wr_reset(&out);
	CHECK_OK(inflate_view(CODING_ZSTD, wr_view(&packed), 1 << 20, &out, &more, &err), err);
	CHECK(view_eq(wr_view(&out), wr_view(&plain)));
	CHECK_NOT(more);
	wr_reset(&out);
	CHECK_RC(inflate_view(CODING_ZSTD, view_sub(wr_view(&packed), 0, packed.len - 3), 2 << 20, &out, &more, &err), E_FORMAT);
	CHECK_STR(err.text, "compressed data ends early after 47 bytes");
	err_clear(&err);

	wr_reset(&packed);	/* frames may follow one another */
	wr_bytes(&packed, view_make(hello, sizeof(hello)));
	wr_bytes(&packed, view_make(hello, sizeof(hello)));
	wr_reset(&out);
	CHECK_OK(inflate_view(coding_by_name(VIEW_LIT(" ZSTD")), wr_view(&packed), 100, &out, &more, &err), err);
	CHECK_VIEW(wr_view(&out), "hello zstdhello zstd");
	packed.at[packed.len - 1]++;	/* the second one's checksum: all was there before */
	wr_reset(&out);
	CHECK_RC(inflate_view(CODING_ZSTD, wr_view(&packed), 100, &out, &more, &err), E_FORMAT);
	CHECK_STR(err.text, "compressed data is damaged after 23 of 46 bytes");
	CHECK_VIEW(wr_view(&out), "hello zstd");
	err_clear(&err);
	CHECK_RC(inflate_view(CODING_ZSTD, view_make(wide, sizeof(wide)), 100, &out, &more, &err), E_FORMAT);
	CHECK_STR(err.text, "compressed data asks for more than 8 MiB to look back on");
	err_clear(&err);
	CHECK_RC(inflate_view(CODING_ZSTD, view_str(""), 100, &out, &more, &err), E_FORMAT);
	wr_release(&plain);
	wr_release(&packed);
	wr_release(&out);
}

/* Any bytes changed, any length: an end, and never a byte more than asked for. */
TEST(http, bears_damaged_zstd)
{
	struct random random = random_new("zstd");
	struct wr packed, out;
	struct err err = { .code = 0 };
	uint8_t plain[3000];
	bool more;

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i % 11 * random_below(&random, 3));
	wr_init(&packed, 0);
	wr_init(&out, 0);
	CHECK_OK(zstd_pack(0, view_make(plain, sizeof(plain)), &packed, &err), err);
	for (unsigned i = 0; i < 3000; i++) {
		size_t at = random_below(&random, packed.len), len = 1 + random_below(&random, packed.len);
		uint8_t was = packed.at[at];

		packed.at[at] = (uint8_t)random_below(&random, 256);
		wr_reset(&out);
		(void)inflate_view(CODING_ZSTD, view_sub(wr_view(&packed), 0, len), 2000, &out, &more, NULL);
		CHECK_LE(out.len, 2000);
		packed.at[at] = was;
	}
	wr_release(&packed);
	wr_release(&out);
}

/* ---- real captures ---- */

struct truth {
	const char *file;
	unsigned requests, responses;
};

/*
 * Messages that tshark 4.0 found (truth/http/FILE.tsv), with two differences: a
 * request in methods.pcap is "OPTIONS" with nothing behind it (27 there), and of
 * entity_gap.pcap tshark counts no response, because of the hole in its body.
 */
TEST(http, finds_the_calls_of_real_captures, .timeout = 60)
{
	static const struct truth truth[] = {
		{ "1000-requests-one-dropped-response.pcap", 1000, 999 },
		{ "docker-http-upgrade.pcap", 6, 6 },
		{ "entity_gap.pcap", 1, 1 },
		{ "get-gzip.pcap", 1, 1 },
		{ "http-500-head.pcap", 1, 1 },
		{ "http-content-gzip.pcap", 1, 1 },
		{ "http1.pcap", 56, 56 },
		{ "http_asymmetric.pcapng", 3, 3 },
		{ "http_chunk.pcap", 1, 1 },
		{ "http_connect.pcap", 1, 1 },
		{ "methods.pcap", 26, 49 },
		{ "pipelined-requests.pcap", 5, 5 },
		{ "smuggle-http-request.pcap", 2, 2 },
		{ "v6-http.pcap", 1, 1 },
	};
	const char *captures = check_need_captures();

	for (size_t i = 0; i < sizeof(truth) / sizeof(truth[0]); i++) {
		unsigned requests = 0, responses = 0;
		struct kit kit;
		char path[512];

		(void)snprintf(path, sizeof(path), "%s/http/%s", captures, truth[i].file);
		kit_init(&kit, NULL);
		CHECK(kit_run_file(&kit, path), "no %s", path);
		for (unsigned j = 0; j < kit.count; j++) {
			if (kit.call[j].row.l7 != L7_http)
				continue;
			requests += kit.call[j].has_req;
			responses += kit.call[j].has_rsp;
		}
		printf("http truth: %-40s %4u of %4u requests, %4u of %4u responses\n", truth[i].file, requests,
		       truth[i].requests, responses, truth[i].responses);
		CHECK_U64(requests, truth[i].requests);
		CHECK_U64(responses, truth[i].responses);
		kit_release(&kit);
	}
}
