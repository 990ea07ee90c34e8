/* From method and path to a route, and from a route to the parameters it knows. Pure. */
#ifndef QUERY_HTTP_ROUTE_H
#define QUERY_HTTP_ROUTE_H

#include "query/http.h"

/*
 * E_NOT_FOUND (with the nearest path), or E_METHOD; *ret_methods is then what
 * the path does take. HEAD finds GET's route.
 */
int http_route_find(const struct http_route *routes, size_t count, enum http_method method,
		    struct view path, size_t *ret_route, struct view ret_args[HTTP_ARGS_MAX],
		    unsigned *ret_methods, struct err *err);
/* E_UNKNOWN_NAME names a parameter that the route does not know, and the nearest one it does. */
int http_route_params(const struct http_route *route, const struct http_param *params, size_t count,
		      struct err *err);
/* "GET, HEAD, OPTIONS" */
void http_methods_text(unsigned methods, char text[64]);
/* The word of a blank-separated list that looks most like name; empty when none comes near. */
struct view http_nearest(struct view name, const char *words);

#endif
