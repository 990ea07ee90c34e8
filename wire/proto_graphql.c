/* GraphQL: calls of HTTP that carry an operation (http_watch.c, graphql.c). Here is only how one is shown. */
#include "wire/h2_show.h"
#include "wire/http_body.h"
#include "wire/http_head.h"

static enum guess graphql_guess(struct view bytes, const struct guess_hint *hint)
{
	(void)bytes;
	(void)hint;
	return GUESS_NO;	/* the connection is HTTP's */
}

static int graphql_detail_after(const struct call_before *before, struct view request, struct view response,
				size_t body_max, struct json *json)
{
	if (http_start(request.len ? request : response) != HTTP_START_NO)
		return http_detail(request, response, body_max, json);
	return h2_show(before, request, response, GRPC_NO, body_max, json);
}

static int graphql_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	return graphql_detail_after(&(struct call_before){ .request_whole = false }, request, response, body_max, json);
}

const struct proto_ops proto_graphql = {
	.id = L7_graphql,
	.name = "graphql",
	.title = "GraphQL",
	.guess = graphql_guess,
	.detail = graphql_detail,
	.detail_after = graphql_detail_after,
	.before_bytes = H2_BEFORE_BYTES,
};
