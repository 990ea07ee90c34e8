#include "query/http_route.h"

#include <stdio.h>

#include "base/distance.h"

#define TEXT(v)	       (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at
#define NEAR_BYTES_MAX 40

/* Longer words are never offered as the one that was meant. */
static size_t distance(struct view a, struct view b)
{
	return a.len > NEAR_BYTES_MAX || b.len > NEAR_BYTES_MAX ? SIZE_MAX : distance_edits(a, b);
}

static struct view next_word(struct view *words)
{
	struct view word;
	size_t len = 0;

	*words = view_trim(*words);
	while (len < words->len && words->at[len] != ' ')
		len++;
	word = view_sub(*words, 0, len);
	*words = view_sub(*words, len, words->len);
	return word;
}

struct view http_nearest(struct view name, const char *words)
{
	struct view rest = view_str(words), best = { 0 }, word;
	size_t best_distance = name.len / 2 + 2;

	while ((word = next_word(&rest)).len) {
		size_t d = distance(name, word);

		if (d < best_distance) {
			best_distance = d;
			best = word;
		}
	}
	return best;
}

/* Paths are short lists of segments: comparing them all is quicker than any clever tree. */
static bool match(const char *pattern, struct view path, struct view args[HTTP_ARGS_MAX])
{
	size_t at = 0, n = 0;

	while (*pattern) {
		if (*pattern == '{') {
			size_t from = at;

			while (at < path.len && path.at[at] != '/')
				at++;
			if (at == from || n == HTTP_ARGS_MAX)
				return false;
			args[n++] = view_sub(path, from, at - from);
			while (*pattern && *pattern++ != '}')
				;
		} else if (at == path.len || path.at[at++] != (uint8_t)*pattern++) {
			return false;
		}
	}
	return at == path.len;
}

static void find_nearest(const struct http_route *routes, size_t count, struct view path,
			 struct err *err)
{
	size_t best = path.len / 3 + 2;
	const char *name = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t d = distance(path, view_str(routes[i].path));

		if (d < best) {
			best = d;
			name = routes[i].path;
		}
	}
	if (name)
		(void)err_set(err, E_NOT_FOUND, "no such path: %.*s; the nearest is %s", TEXT(path),
			      name);
	else
		(void)err_set(err, E_NOT_FOUND, "no such path: %.*s; GET / lists them", TEXT(path));
}

int http_route_find(const struct http_route *routes, size_t count, enum http_method method,
		    struct view path, size_t *ret_route, struct view ret_args[HTTP_ARGS_MAX],
		    unsigned *ret_methods, struct err *err)
{
	enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;
	struct view args[HTTP_ARGS_MAX] = { 0 };
	unsigned methods = 0;
	char text[64];

	for (size_t i = 0; i < count; i++) {
		if (!match(routes[i].path, path, args))
			continue;
		methods |= routes[i].methods;
		if (!(routes[i].methods & wanted))
			continue;
		memcpy(ret_args, args, sizeof(args));
		*ret_route = i;
		*ret_methods = methods;
		return 0;
	}
	if (!methods) {
		find_nearest(routes, count, path, err);
		return E_NOT_FOUND;
	}
	*ret_methods = methods;
	http_methods_text(methods, text);
	return err_set(err, E_METHOD, "%.*s takes %s", TEXT(path), text);
}

void http_methods_text(unsigned methods, char text[64])
{
	(void)snprintf(text, 64, "%s%sOPTIONS", methods & HTTP_GET ? "GET, HEAD, " : "",
		       methods & HTTP_POST ? "POST, " : "");
}

static bool knows(const char *words, struct view name)
{
	struct view rest = view_str(words), word;

	while ((word = next_word(&rest)).len)
		if (view_eq(word, name))
			return true;
	return false;
}

int http_route_params(const struct http_route *route, const struct http_param *params, size_t count,
		      struct err *err)
{
	if (strcmp(route->params, "*") == 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		struct view near;

		if (knows(route->params, params[i].name))
			continue;
		near = http_nearest(params[i].name, route->params);
		if (!*route->params)
			return err_set(err, E_UNKNOWN_NAME,
				       "unknown parameter \"%.*s\": %s takes none",
				       TEXT(params[i].name), route->path);
		if (near.len)
			return err_set(err, E_UNKNOWN_NAME,
				       "unknown parameter \"%.*s\"; the nearest is %.*s",
				       TEXT(params[i].name), TEXT(near));
		return err_set(err, E_UNKNOWN_NAME, "unknown parameter \"%.*s\"; there are: %s",
			       TEXT(params[i].name), route->params);
	}
	return 0;
}
