/*
 * What the handlers of all routes share: the store, the budgets, and how a
 * request says what it wants. Handlers run in the server's threads.
 */
#ifndef QUERY_API_H
#define QUERY_API_H

#include "base/lock.h"
#include "query/http.h"
#include "query/output.h"
#include "query/query.h"
#include "query/serve.h"

#define API_LIMIT     100 /* rows, when nobody asks for another number */
#define API_LIMIT_MAX 10000
#define API_RANGE_NS  NS_PER_HOUR /* of aggregates, when nobody says from */

struct serve {
	struct serve_opts opts;
	const char *version;
	uint64_t start_ns;
	struct http_server *http;
	struct crew *crew; /* helps the query threads */
	const struct http_route *routes;
	size_t routes_count;

	struct lock lock;
	struct store *store;   /* guarded by lock; once open it stays */
	uint64_t next_open_ns; /* guarded by lock */
	struct err open_err;   /* guarded by lock: why the last try failed */
};

/* The store, opened if it was not yet. Borrowed for ever. */
int serve_store(struct serve *serve, struct store **ret_store, struct err *err);

/* from, to, filter, timeout, explain of the request and the budgets of the server. range_ns: default range up to now; 0 = all. */
int api_opts(struct serve *serve, struct http_request *req, uint64_t range_ns,
	     struct query_opts *ret_opts, struct err *err);
/* A parameter that is an instant; fallback when it was not given. */
int api_time(const struct http_request *req, const char *name, uint64_t fallback, uint64_t *ret_ns,
	     struct err *err);
int api_duration(const struct http_request *req, const char *name, uint64_t fallback,
		 uint64_t *ret_ns, struct err *err);
/* The path's n-th argument as an id of 16 hexadecimal digits. */
int api_id(const struct http_request *req, unsigned arg, uint64_t *ret_id, struct err *err);
/* Parameter table=, which must be given unless fallback is not 0. E_UNKNOWN_NAME names the tables. */
int api_table(const struct http_request *req, enum table_id fallback,
	      const struct table **ret_table, struct err *err);
/* format= if given, else what the client accepts, JSON before all others. */
int api_format(const struct http_request *req, enum output_format *ret_format, struct err *err);
/* headers=0: no header line. */
int api_headers(const struct http_request *req, bool *ret_no_headers, struct err *err);
/*
 * CSV, NDJSON and tables have no place for it: the end of the answer goes into headers too, with the
 * number of rows. They come in time unless the answer was too long to wait for its end.
 */
void api_end_headers(struct http_request *req, const struct query_opts *opts, const struct query_stats *stats,
		     struct view cursor);
/* "time": RFC 3339, or null for 0 and UINT64_MAX */
void api_json_time(struct json *json, const char *key, uint64_t ns);
void api_json_id(struct json *json, const char *key, uint64_t id);
/* Every handler of routes.def. */
#define PARAM(...)
#define ROUTE(methods, path, handler, ...)                                                         \
	int handler(void *ctx, struct http_request *req, struct err *err);
#include "query/routes.def"
#undef PARAM
#undef ROUTE

extern const struct http_route api_routes[];
extern const size_t api_routes_count;

struct api_param {
	const char *name;
	const char *type; /* of OpenAPI: string, integer, boolean, number */
	const char *text;
};
extern const struct api_param api_params[];
extern const size_t api_params_count;

#endif
