/*
 * GraphQL over HTTP (spec of October 2021, and "GraphQL over HTTP"): the operation
 * a request names, the errors a response tells of. Pure; bodies may be cut.
 */
#ifndef WIRE_GRAPHQL_H
#define WIRE_GRAPHQL_H

#include "base/view.h"

#define GRAPHQL_PEEK_BYTES	4096	/* of a body, to look for all this in */
#define GRAPHQL_NAME_MAX	128
#define GRAPHQL_ERROR_MAX	256

struct graphql_op {
	const char *type;	/* query, mutation, subscription; "" where only a stored query is named */
	char name[GRAPHQL_NAME_MAX];	/* the operation's, else its first field's */
	size_t name_len;
};

/* Could a JSON body that begins so be an operation? Decides whether the rest is worth waiting for. */
bool graphql_begins(struct view body);
/* JSON body, or the first of a batch. False: none of it. */
bool graphql_body(struct view body, struct graphql_op *ret_op);
/* The part of a URL behind its '?'. */
bool graphql_url(struct view query, struct graphql_op *ret_op);

struct graphql_errors {
	char text[GRAPHQL_ERROR_MAX];	/* message of the first */
	size_t text_len;
	bool client;			/* its code blames the caller */
};
/* False: the response tells of no errors (in what is there of it). */
bool graphql_errors(struct view body, struct graphql_errors *ret_errors);

#endif
