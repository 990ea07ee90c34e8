/* GraphQL: calls of HTTP that carry an operation (http_watch.c, graphql.c). Here is only how one is shown. */
#include "wire/http_body.h"
#include "wire/proto.h"

static enum guess graphql_guess(struct view bytes, const struct guess_hint *hint)
{
	(void)bytes;
	(void)hint;
	return GUESS_NO;	/* the connection is HTTP's */
}

const struct proto_ops proto_graphql = {
	.id = L7_graphql,
	.name = "graphql",
	.title = "GraphQL",
	.guess = graphql_guess,
	.detail = http_detail,
};
