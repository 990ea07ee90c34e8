/*
 * gRPC: calls of HTTP/2 whose content-type says so. wire/proto_http2.c opens and
 * ends them; this shows them. No stream is gRPC's own.
 */
#include "wire/h2_show.h"

static enum guess grpc_guess(struct view bytes, const struct guess_hint *hint)
{
	(void)bytes;
	(void)hint;
	return GUESS_NO;
}

static int grpc_detail_after(const struct call_before *before, struct view request, struct view response,
			     size_t body_max, struct json *json)
{
	return h2_show(before, request, response, GRPC_H2, body_max, json);
}

static int grpc_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	return grpc_detail_after(&(struct call_before){ .request_whole = false }, request, response, body_max, json);
}

const struct proto_ops proto_grpc = {
	.id = L7_grpc,
	.name = "grpc",
	.title = "gRPC",
	.guess = grpc_guess,
	.detail = grpc_detail,
	.detail_after = grpc_detail_after,
	.before_bytes = H2_BEFORE_BYTES,
};
