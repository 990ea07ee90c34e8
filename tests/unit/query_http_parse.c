#include "query/http_parse.h"
#include "query/http_reply.h"
#include "query/http_route.h"
#include "tests/check.h"

#include <zlib.h>

static int head(const char *text, struct http_req_head *ret, struct err *err)
{
	struct view bytes = view_str(text);

	err_clear(err);
	CHECK_U64(http_req_head_end(bytes, 0), bytes.len);
	return http_req_head_parse(bytes, ret, err);
}

TEST(http_parse, reads_a_request)
{
	struct http_req_head h;
	struct err err = { 0 };

	CHECK_EQ(
		head("\r\nPOST /a/b?x=1 HTTP/1.1\r\nHost: localhost:9\r\nContent-Length: 12\r\nAccept-Encoding: br, "
		     "gzip;q=0.5\r\nConnection: close\r\nAuthorization: Bearer abc\r\n\r\n",
		     &h, &err),
		0, "%s", err.text);
	CHECK_EQ(h.method, HTTP_POST);
	CHECK_VIEW(h.target, "/a/b?x=1");
	CHECK_VIEW(h.host, "localhost:9");
	CHECK_VIEW(h.authorization, "Bearer abc");
	CHECK_U64(h.body_bytes, 12);
	CHECK(h.gzip);
	CHECK_NOT(h.keep_alive);
}

TEST(http_parse, versions_decide_on_keep_alive)
{
	struct http_req_head h;
	struct err err = { 0 };

	CHECK_EQ(head("GET / HTTP/1.0\r\n\r\n", &h, &err), 0);
	CHECK_NOT(h.keep_alive);
	CHECK_EQ(head("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &h, &err), 0);
	CHECK(h.keep_alive);
	CHECK_EQ(head("GET / HTTP/1.1\nHost: a\n\n", &h, &err), 0);
	CHECK(h.keep_alive);
	CHECK_EQ(head("GET http://other/path?q HTTP/1.1\r\nHost: a\r\n\r\n", &h, &err), 0);
	CHECK_VIEW(h.target, "/path?q");
}

TEST(http_parse, refuses_what_is_no_request)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "GET\r\n\r\n", 400 },
		{ "GET /\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 }, /* no Host */
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
		{ "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
		{ "PRI * HTTP/2.0\r\n\r\n", 505 },
		{ "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "G T / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400 }, /* folded */
		{ "GET / HTTP/1.1\r\nHost: a\r\nX: \x02\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		  400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		  400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501 },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417 },
	};
	struct http_req_head h;
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_EQ(head(cases[i].text, &h, &err), cases[i].status, "case %zu: %s", i,
			 err.text);
		CHECK(err.code < 0 && err.text[0]);
	}
}

TEST(http_parse, finds_the_end_of_a_head_from_anywhere)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
	size_t end = sizeof(text) - 5;

	for (size_t len = 0; len < sizeof(text); len++)
		for (size_t from = 0; from <= len && from < end; from++)
			CHECK_U64(http_req_head_end(view_make(text, len), from),
				  len < end ? 0 : end);
}

TEST(http_parse, splits_targets)
{
	struct http_param *params;
	struct arena arena;
	struct view path;
	struct err err = { 0 };
	size_t count;

	arena_init(&arena, 0);
	CHECK_EQ(http_target_parse(VIEW_LIT("//grafana///query/?a=1%202&b&&c=%41+x&=z"), &arena,
				   &path, &params, &count, &err),
		 0);
	CHECK_VIEW(path, "/grafana/query");
	CHECK_U64(count, 4);
	CHECK_VIEW(params[0].value, "1 2");
	CHECK_VIEW(params[1].name, "b");
	CHECK_VIEW(params[1].value, "");
	CHECK_VIEW(params[2].value, "A x");
	CHECK_EQ(http_target_parse(VIEW_LIT("/"), &arena, &path, &params, &count, &err), 0);
	CHECK_VIEW(path, "/");
	CHECK_EQ(http_target_parse(VIEW_LIT("/%zz"), &arena, &path, &params, &count, &err), 400);
	err_clear(&err);
	CHECK_EQ(http_target_parse(VIEW_LIT("/%00"), &arena, &path, &params, &count, &err), 400);
	err_clear(&err);
	CHECK_EQ(http_target_parse(VIEW_LIT("/?a=%"), &arena, &path, &params, &count, &err), 400);
	arena_release(&arena);
}

/* Whole, and byte by byte: the same answer. */
static int unchunk(const char *text, size_t piece, struct wr *body, size_t *ret_used)
{
	struct http_chunked chunked = { 0 };
	struct view left = view_str(text);
	struct err err = { 0 };
	size_t used, all = 0;
	int rc = 0;

	wr_reset(body);
	while (left.len && rc == 0) {
		rc = http_chunked_feed(&chunked, view_sub(left, 0, piece), 100, body, &used, &err);
		if (rc > 1)
			return rc;
		all += used;
		left = view_sub(left, used, left.len);
	}
	*ret_used = all;
	return rc;
}

TEST(http_parse, joins_chunks)
{
	static const char good[] =
		"5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\nNEXT";
	struct wr body;
	size_t used;

	wr_init(&body, 0);
	for (size_t piece = 1; piece < sizeof(good); piece++) {
		CHECK_EQ(unchunk(good, piece, &body, &used), 1);
		CHECK_VIEW(wr_view(&body), "hello world");
		CHECK_U64(used, sizeof(good) - 5);
		CHECK_EQ(unchunk("5\r\nhelloX\r\n", piece, &body, &used), 400);
		CHECK_EQ(unchunk("\r\n", piece, &body, &used), 400);
		CHECK_EQ(unchunk("65\r\n", piece, &body, &used), 413);
		CHECK_EQ(unchunk("fffffffffffffffff\r\n", piece, &body, &used) >= 400, 1);
	}
	wr_release(&body);
}

TEST(http_parse, decodes_base64)
{
	struct arena arena;
	struct view plain;

	arena_init(&arena, 0);
	CHECK_EQ(http_base64(VIEW_LIT("dXNlcjpzM2NyM3Q="), &arena, &plain), 0);
	CHECK_VIEW(plain, "user:s3cr3t");
	CHECK_RC(http_base64(VIEW_LIT("a$b"), &arena, &plain), E_FORMAT);
	arena_release(&arena);
}

static int nothing(void *ctx, struct http_request *req, struct err *err)
{
	(void)ctx;
	(void)req;
	(void)err;
	return 0;
}

TEST(http_route, finds_names_and_says_what_is_near)
{
	static const struct http_route routes[] = {
		{ .methods = HTTP_GET,
		  .path = "/flows",
		  .handler = nothing,
		  .params = "filter limit" },
		{ .methods = HTTP_GET,
		  .path = "/flows/{id}/stream",
		  .handler = nothing,
		  .params = "" },
		{ .methods = HTTP_POST, .path = "/query", .handler = nothing, .params = "*" },
	};
	struct view args[HTTP_ARGS_MAX] = { 0 };
	struct http_param param = { VIEW_LIT("limt"), VIEW_LIT("1") };
	struct err err = { 0 };
	unsigned methods;
	size_t route;

	CHECK_RC(http_route_find(routes, 3, HTTP_HEAD, VIEW_LIT("/flows"), &route, args, &methods,
				 &err),
		 0);
	CHECK_U64(route, 0);
	CHECK_RC(http_route_find(routes, 3, HTTP_GET, VIEW_LIT("/flows/ab/stream"), &route, args,
				 &methods, &err),
		 0);
	CHECK_U64(route, 1);
	CHECK_VIEW(args[0], "ab");
	CHECK_RC(http_route_find(routes, 3, HTTP_GET, VIEW_LIT("/flows//stream"), &route, args,
				 &methods, &err),
		 E_NOT_FOUND);
	err_clear(&err);
	CHECK_RC(http_route_find(routes, 3, HTTP_GET, VIEW_LIT("/query"), &route, args, &methods,
				 &err),
		 E_METHOD);
	CHECK_EQ(methods, HTTP_POST);
	err_clear(&err);
	CHECK_RC(http_route_find(routes, 3, HTTP_GET, VIEW_LIT("/flow"), &route, args, &methods,
				 &err),
		 E_NOT_FOUND);
	CHECK(strstr(err.text, "nearest is /flows"), "%s", err.text);
	err_clear(&err);
	CHECK_RC(http_route_params(&routes[0], &param, 1, &err), E_UNKNOWN_NAME);
	CHECK(strstr(err.text, "nearest is limit"), "%s", err.text);
	CHECK_RC(http_route_params(&routes[2], &param, 1, &err), 0);
}

TEST(http_reply, gives_a_short_answer_its_length)
{
	struct http_reply reply;
	struct err err = { 0 };

	http_reply_init(&reply);
	reply.keep_alive = true;
	wr_str(&reply.out, "{}");
	CHECK_OK(http_reply_end(&reply, &err), err);
	CHECK(view_find(wr_view(&reply.wire), VIEW_LIT("Content-Length: 2\r\n")) > 0);
	CHECK(view_find(wr_view(&reply.wire), VIEW_LIT("\r\n\r\n{}")) > 0);
	http_reply_release(&reply);
}

/* What a client would read of a chunked, perhaps compressed answer. */
static void read_back(struct http_reply *reply, struct wr *ret_body)
{
	struct view wire = wr_view(&reply->wire);
	struct http_chunked chunked = { 0 };
	struct err err = { 0 };
	size_t head_len = http_req_head_end(wire, 0), used;

	CHECK(head_len > 0);
	CHECK(view_find(wire, VIEW_LIT("chunked")) > 0);
	CHECK_EQ(http_chunked_feed(&chunked, view_sub(wire, head_len, wire.len), 1 << 20, ret_body,
				   &used, &err),
		 1, "%s", err.text);
	CHECK_U64(used, wire.len - head_len);
}

TEST(http_reply, streams_in_chunks_and_gzip)
{
	static uint8_t plain[100000];
	struct http_reply reply;
	struct err err = { 0 };
	struct wr body;
	z_stream z = { 0 };

	for (int gzip = 0; gzip < 2; gzip++) {
		http_reply_init(&reply);
		wr_init(&body, 0);
		reply.gzip_wanted = gzip;
		for (int i = 0; i < 9; i++) {
			for (int n = 0; n < 1000; n++)
				wr_printf(&reply.out, "%09d\n", i * 1000 + n);
			CHECK_OK(http_reply_hand_over(&reply, &err), err);
		}
		CHECK_OK(http_reply_end(&reply, &err), err);
		read_back(&reply, &body);
		CHECK_U64(reply.body_bytes, 90000);
		if (gzip) {
			CHECK_LT(body.len, 45000);
			z.next_in = body.at;
			z.avail_in = (unsigned)body.len;
			z.next_out = plain;
			z.avail_out = sizeof(plain);
			CHECK_EQ(inflateInit2(&z, 15 + 16), Z_OK);
			CHECK_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
			CHECK_U64(z.total_out, 90000);
			CHECK(memcmp(plain + 89990, "000008999\n", 10) == 0);
			inflateEnd(&z);
		} else {
			CHECK_U64(body.len, 90000);
		}
		wr_release(&body);
		http_reply_release(&reply);
	}
}

TEST(http_reply, survives_want_of_memory)
{
	struct err err = { 0 };

	for (uint64_t n = 1; n < 20; n++) {
		struct http_reply reply;

		http_reply_init(&reply);
		reply.gzip_wanted = true;
		mem_fail_nth(n);
		for (int i = 0; i < 1000; i++)
			wr_str(&reply.out, "0123456789");
		if (http_reply_hand_over(&reply, &err) >= 0)
			(void)http_reply_end(&reply, &err);
		mem_fail_nth(0);
		http_reply_release(&reply);
	}
}
