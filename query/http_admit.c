/* May this request be answered, and by whom: origin, host name, token, route, parameters. */
#include <stdio.h>

#include "base/ip.h"
#include "query/http_impl.h"

#define TEXT(v) (int)((v).len > 80 ? 80 : (v).len), (const char *)(v).at

__attribute__((format(printf, 3, 4))) static void add_header(struct http_exchange *x,
							     const char *name, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	http_reply_header(&x->reply, name, fmt, args);
	va_end(args);
}

/* Is origin one of the comma-separated list? "*" is every one. */
static bool origin_allowed(const char *list, struct view origin, bool *ret_any)
{
	struct view rest = view_str(list);

	*ret_any = false;
	while (rest.len) {
		const uint8_t *comma = memchr(rest.at, ',', rest.len);
		struct view item = comma ? view_sub(rest, 0, (size_t)(comma - rest.at)) : rest;
		struct view name = view_trim(item);

		rest = view_sub(rest, item.len + 1, rest.len);
		if (name.len > 1 && name.at[name.len - 1] == '/')
			name.len--;
		if (view_is(name, "*")) {
			*ret_any = true;
			return true;
		}
		if (name.len && view_eq(name, origin))
			return true;
	}
	return false;
}

/* A page of another origin may read the answer only when these headers say so. */
static bool add_cors(struct http_server *server, struct http_exchange *x)
{
	bool any;

	if (!server->opts.cors || !*server->opts.cors || x->head.origin.len == 0 ||
	    x->head.origin.len > 400)
		return false;
	if (!origin_allowed(server->opts.cors, x->head.origin, &any))
		return false;
	add_header(x, "Vary", "Origin");
	add_header(x, "Access-Control-Expose-Headers", "X-Request-Id");
	if (any) {
		add_header(x, "Access-Control-Allow-Origin", "*");
		return true;
	}
	add_header(x, "Access-Control-Allow-Origin", "%.*s", (int)x->head.origin.len,
		   (const char *)x->head.origin.at);
	add_header(x, "Access-Control-Allow-Credentials", "true");
	return true;
}

/*
 * Without a token, only the loopback address keeps strangers out - but not a
 * web page whose name is made to resolve to 127.0.0.1 (DNS rebinding): its
 * requests carry its own name. So a name must be localhost, or of an allowed origin.
 */
static bool host_allowed(const struct http_server *server, struct view host)
{
	struct view name = host;
	struct ip ip;
	bool any;

	if (!server->local || server->opts.token.len || host.len == 0)
		return true;
	if (name.at[0] == '[') {
		const uint8_t *end = memchr(name.at, ']', name.len);

		return end && ip_parse(view_make(name.at + 1, (size_t)(end - name.at) - 1), &ip,
				       NULL) >= 0;
	}
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] == ':')
			name.len = i;
	if (view_ieq(name, "localhost") || ip_parse(name, &ip, NULL) >= 0)
		return true;
	if (name.len > 10 && view_ieq(view_sub(name, name.len - 10, 10), ".localhost"))
		return true;
	if (server->opts.cors && host.len < 256) {
		char origin[300];

		for (unsigned tls = 0; tls < 2; tls++) {
			(void)snprintf(origin, sizeof(origin), "http%s://%.*s", tls ? "s" : "",
				       (int)host.len, (const char *)host.at);
			if (origin_allowed(server->opts.cors, view_str(origin), &any))
				return true;
		}
	}
	return false;
}

/* Takes the same time for every wrong token of one length. */
static bool same_secret(struct view given, struct view token)
{
	unsigned differ = given.len != token.len;

	for (size_t i = 0; i < given.len; i++)
		differ |= (unsigned)(given.at[i] ^ token.at[i % token.len]);
	return differ == 0;
}

/* "Bearer TOKEN", or the token as the password of basic auth, which is all that some clients can send. */
static bool token_allowed(const struct http_server *server, struct http_exchange *x)
{
	struct view given = x->head.authorization, plain;

	if (server->opts.token.len == 0)
		return true;
	if (view_istarts(given, "bearer "))
		return same_secret(view_trim(view_sub(given, 7, given.len)), server->opts.token);
	if (view_istarts(given, "basic ") &&
	    http_base64(view_trim(view_sub(given, 6, given.len)), &x->req.arena, &plain) >= 0) {
		const uint8_t *colon = plain.len ? memchr(plain.at, ':', plain.len) : NULL;

		if (colon)
			return same_secret(
				view_sub(plain, (size_t)(colon - plain.at) + 1, plain.len),
				server->opts.token);
	}
	return false;
}

static int answer_options(struct http_server *server, struct http_exchange *x, bool cors,
			  struct err *err)
{
	unsigned methods = 0;
	char text[64];
	size_t route;

	/* No route takes OPTIONS: the failure names what the path does take. */
	if (http_route_find(server->opts.routes, server->opts.routes_count, HTTP_OPTIONS,
			    x->req.path, &route, x->req.args, &methods, err) == E_NOT_FOUND)
		return 404;
	err_clear(err);
	http_methods_text(methods, text);
	add_header(x, "Allow", "%s", text);
	if (cors) {
		add_header(x, "Access-Control-Allow-Methods", "%s", text);
		add_header(x, "Access-Control-Allow-Headers",
			   "accept, content-type, authorization");
		add_header(x, "Access-Control-Max-Age", "600");
	}
	x->reply.status = 204;
	return 1;
}

int http_admit(struct http_server *server, struct http_exchange *x, struct err *err)
{
	struct http_request *req = &x->req;
	struct http_param *params;
	unsigned methods = 0;
	bool cors;
	int rc, status;

	add_header(x, "X-Request-Id", "%llu", (unsigned long long)req->id);
	cors = add_cors(server, x);
	status = http_target_parse(x->head.target, &req->arena, &req->path, &params,
				   &req->params_count, err);
	if (status)
		return status;
	req->params = params;
	req->method = x->head.method;
	req->accept = x->head.accept;
	if (!host_allowed(server, x->head.host)) {
		(void)err_set(
			err, E_PERMISSION,
			"the name %.*s is not mine: ask for localhost or the address, or start "
			"serve with --cors http://%.*s or --token-file",
			TEXT(x->head.host), TEXT(x->head.host));
		return 421;
	}
	if (req->method == HTTP_OPTIONS)
		return answer_options(server, x, cors, err);
	rc = http_route_find(server->opts.routes, server->opts.routes_count, req->method, req->path,
			     &x->route, req->args, &methods, err);
	if (rc == 0)
		req->route = &server->opts.routes[x->route];
	/* Without the token nobody learns what there is. */
	if (!(req->route && req->route->open) && !token_allowed(server, x)) {
		err_clear(err);
		(void)err_set(err, E_AUTH, "a token is needed: Authorization: Bearer TOKEN");
		add_header(x, "WWW-Authenticate", "Bearer realm=\"tapedeck\"");
		return 401;
	}
	if (rc == E_METHOD) {
		char text[64];

		http_methods_text(methods, text);
		add_header(x, "Allow", "%s", text);
	}
	if (rc >= 0)
		rc = http_route_params(req->route, req->params, req->params_count, err);
	return rc < 0 ? err_http(rc) : 0;
}
