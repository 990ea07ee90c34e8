/*
 * gRPC-Web (github.com/grpc/grpc, doc/PROTOCOL-WEB.md): calls of HTTP/2 or HTTP/1
 * whose content-type says so. Here is only how one is shown.
 */
#include "wire/h2_show.h"
#include "wire/http_body.h"
#include "wire/http_head.h"

static enum guess grpc_web_guess(struct view bytes, const struct guess_hint *hint)
{
	(void)bytes;
	(void)hint;
	return GUESS_NO;	/* the connection is HTTP's */
}

static int grpc_web_detail_after(const struct call_before *before, struct view request, struct view response,
				 size_t body_max, struct json *json)
{
	struct view first = request.len ? request : response;

	if (http_start(first) != HTTP_START_NO)
		return http_detail(request, response, body_max, json);
	return h2_show(before, request, response, GRPC_WEB, body_max, json);
}

static int grpc_web_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	return grpc_web_detail_after(&(struct call_before){ .request_whole = false }, request, response, body_max, json);
}

const struct proto_ops proto_grpc_web = {
	.id = L7_grpc_web,
	.name = "grpc_web",
	.title = "gRPC-Web",
	.guess = grpc_web_guess,
	.detail = grpc_web_detail,
	.detail_after = grpc_web_detail_after,
	.before_bytes = H2_BEFORE_BYTES,
};
