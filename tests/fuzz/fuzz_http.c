/*
 * Bytes as a client sends them: head, target, body, route. Whatever they are, the
 * answer is a request or a 4xx/5xx with words, and the same in two pieces as in one.
 */
#include "query/http_parse.h"
#include "query/http_route.h"

#include <assert.h>
#include <stdlib.h>

static int nothing(void *ctx, struct http_request *req, struct err *err)
{
	(void)ctx;
	(void)req;
	(void)err;
	return 0;
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/api/v1/flows", nothing, HTTP_POOL_QUERY, false, "filter from to limit", "" },
	{ HTTP_GET, "/api/v1/flows/{id}/stream", nothing, HTTP_POOL_QUERY, false, "dir", "" },
	{ HTTP_POST, "/grafana/query", nothing, HTTP_POOL_QUERY, false, "*", "" },
};

static bool refused(int status, const struct err *err)
{
	assert(status == 0 || (status >= 400 && status < 600 && err->code < 0 && err->text[0]));
	return status != 0;
}

static void chunked(struct view bytes, size_t cut, struct wr *body, int *ret_rc)
{
	struct http_chunked c = { 0 };
	struct err err = { 0 };
	size_t used = 0, more = 0;
	int rc = http_chunked_feed(&c, view_sub(bytes, 0, cut), 4096, body, &used, &err);

	if (rc == 0)
		rc = http_chunked_feed(&c, view_sub(bytes, cut, bytes.len), 4096, body, &more,
				       &err);
	assert(body->len <= 4096);
	assert(rc <= 1 || refused(rc, &err));
	*ret_rc = rc;
}

static void body_both_ways(struct view bytes)
{
	struct wr whole, parts;
	int a, b;

	wr_init(&whole, 0);
	wr_init(&parts, 0);
	chunked(bytes, bytes.len, &whole, &a);
	chunked(bytes, bytes.len / 2, &parts, &b);
	assert(a == b);
	assert(a > 1 || view_eq(wr_view(&whole), wr_view(&parts)));
	wr_release(&whole);
	wr_release(&parts);
}

static void target(struct view text, struct arena *arena)
{
	struct view path, args[HTTP_ARGS_MAX] = { 0 };
	struct http_param *params;
	struct err err = { 0 };
	unsigned methods = 0;
	size_t count, route;

	if (refused(http_target_parse(text, arena, &path, &params, &count, &err), &err))
		return;
	assert(count <= HTTP_PARAMS_MAX && path.len <= text.len &&
	       (path.len == 0 || path.at[0] != '\0'));
	for (size_t i = 1; i < path.len; i++)
		assert(!(path.at[i] == '/' && path.at[i - 1] == '/'));
	if (http_route_find(routes, 3, HTTP_GET, path, &route, args, &methods, &err) < 0)
		assert(err.text[0]);
	else if (http_route_params(&routes[route], params, count, &err) < 0)
		assert(err.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct view bytes = view_make(at, len), plain;
	struct http_req_head head;
	struct err err = { 0 };
	struct arena arena;
	size_t end = http_req_head_end(bytes, 0);

	arena_init(&arena, 1 << 20);
	assert(end <= len);
	for (size_t cut = 0; cut < end && cut < 64; cut++)
		assert(http_req_head_end(view_sub(bytes, 0, end), cut) == end);
	if (end && !refused(http_req_head_parse(view_sub(bytes, 0, end), &head, &err), &err)) {
		assert(!(head.chunked && head.body_bytes));
		target(head.target, &arena);
		(void)http_base64(head.authorization, &arena, &plain);
	} else {
		target(bytes, &arena);
	}
	body_both_ways(view_sub(bytes, end, len));
	arena_release(&arena);
	return 0;
}
