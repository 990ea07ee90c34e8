/*
 * The HTTP server: one event loop that owns every socket, and three pools of
 * threads that run handlers. The loop never waits for a handler, and a handler
 * never sees a socket: it writes its answer into a buffer and hands it over in
 * pieces; when the client does not take them, the handler waits; when the client goes
 * away, req->cancel becomes true.
 *
 * This header is all that handlers know.
 */
#ifndef QUERY_HTTP_H
#define QUERY_HTTP_H

#include <stdatomic.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/wr.h"
#include "query/http_parse.h"

#define HTTP_BODY_BYTES_MAX (1u << 20)
#define HTTP_ARGS_MAX	    2
#define HTTP_PUMP_BYTES	    (128u << 10) /* of an answer that wait before they are handed over */
#define HTTP_FLIGHT_BYTES   (1u << 20)	 /* handed over and not taken by the client */
#define HTTP_ARENA_BYTES  (256u << 20) /* of one request, besides the memory of its query */

/*
 * Which threads run a handler. QUERY: scans, bounded in time. STREAM: as long as the
 * client reads (replay, export). META: quick, must answer while all others are busy.
 */
enum http_pool { HTTP_POOL_QUERY, HTTP_POOL_STREAM, HTTP_POOL_META, HTTP_POOLS };

struct http_request;

struct http_route {
	unsigned methods; /* enum http_method bits; HEAD goes with GET */
	const char *path; /* "/api/v1/flows/{id}": a segment in braces takes anything but / */
	int (*handler)(void *ctx, struct http_request *req, struct err *err);
	enum http_pool pool;
	bool open;	    /* asks for no token */
	const char *params; /* names, blank-separated; "*" = not checked */
	const char *summary;
};

struct http_request {
	uint64_t id; /* number of the request, in log and X-Request-Id */
	enum http_method method;
	const struct http_route *route;
	struct view path;
	struct view args[HTTP_ARGS_MAX]; /* of the path's braces */
	const struct http_param *params;
	size_t params_count;
	struct view body;
	struct view accept;
	struct arena arena; /* for the handler; ends with the request */
	atomic_bool cancel; /* the client is gone, or the server stops */
	uint64_t rows;	    /* of the answer, for the log: the handler counts */
	const char *detail; /* for the log at debug, in arena; or NULL */
};

/* ---- parameters ---- */

/* at is NULL when it was not given. Given twice: the last one. */
struct view http_param(const struct http_request *req, const char *name);
/* The fallback when it was not given or is empty. E_RANGE beyond max, E_FORMAT. */
int http_param_u64(const struct http_request *req, const char *name, uint64_t fallback,
		   uint64_t max, uint64_t *ret_value, struct err *err);
/* 1, true, yes, on, and the bare name are true; 0, false, no, off false. */
int http_param_bool(const struct http_request *req, const char *name, bool fallback,
		    bool *ret_value, struct err *err);
/* One of the blank-separated words; *ret_index counts from 0. The first one is the default. */
int http_param_word(const struct http_request *req, const char *name, const char *words,
		    unsigned *ret_index, struct err *err);

/* ---- the answer: called by the handler's thread, before the first piece is handed over ---- */

void http_status(struct http_request *req, int status);
/* Content-Type, a static string. Default: application/json. */
void http_type(struct http_request *req, const char *type);
/* A further header. Control characters become blanks. */
void http_header(struct http_request *req, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Bytes must go out as they come, and uncompressed: a paced stream. */
void http_unbuffered(struct http_request *req);

/* The answer's buffer. */
struct wr *http_out(struct http_request *req);
/*
 * Hand the buffer over when it holds much; waits while the client is slow.
 * E_CANCELLED when there is nobody to write for. After the first piece an error can only cut the
 * answer short, which the client sees.
 */
int http_pump(struct http_request *req, struct err *err);
/* The same, however little it holds. */
int http_flush(struct http_request *req, struct err *err);
/* Wait; false as soon as the client is gone. */
bool http_sleep(struct http_request *req, uint64_t ns);

/* Write {"error":{...},"message":...} for rc (negative) and err into a buffer. */
void http_error_json(struct wr *out, int rc, const struct err *err);

/* ---- the server ---- */

struct http_stats { /* any thread */
#define HTTP_STATUS_SLOTS  20
#define HTTP_LATENCY_SLOTS 14
	atomic_uint_fast64_t connections_total, connections_refused_total;
	atomic_uint_fast64_t requests_total, sent_bytes_total, cancelled_total, busy_total;
	atomic_uint_fast64_t connections, running;
};
extern const int http_statuses[HTTP_STATUS_SLOTS];	     /* the last slot, 0, is all others */
extern const double http_latency_bounds[HTTP_LATENCY_SLOTS]; /* seconds; the last is infinite */

struct http_route_stats {
	atomic_uint_fast64_t by_status[HTTP_STATUS_SLOTS];
	atomic_uint_fast64_t by_latency[HTTP_LATENCY_SLOTS];
	atomic_uint_fast64_t latency_ns_sum;
};

struct http_opts {
	const char *listen; /* ADDR:PORT */
	const struct http_route *routes;
	size_t routes_count;
	void *ctx; /* of the handlers */
	unsigned threads[HTTP_POOLS];
	unsigned queues[HTTP_POOLS]; /* requests that may wait for a thread */
	unsigned connections_max;    /* 0 = 1,024 */
	uint64_t
		head_timeout_ns; /* 0 = 10 s to send a request's head, three times that for its body */
	uint64_t idle_timeout_ns; /* 0 = 60 s between requests, and without progress of an answer */
	const char *cors;	  /* origins, or NULL */
	struct view token;	  /* empty: none asked for */
};

struct http_server;

/* Bind and listen; nothing is answered yet. opts is copied, what it points to borrowed. */
int http_server_new(const struct http_opts *opts, struct http_server **ret_server, struct err *err);
/* "http://127.0.0.1:9800" */
const char *http_server_address(const struct http_server *server);
/* Can be reached from this machine only. */
bool http_server_is_local(const struct http_server *server);
/* Start the threads and run the loop until http_server_stop or SIGTERM, SIGINT (when signals). */
int http_server_run(struct http_server *server, bool signals, struct err *err);
/* From any thread, or a signal handler. */
void http_server_stop(struct http_server *server);
void http_server_free(struct http_server *server); /* takes NULL; not while it runs */
const struct http_stats *http_server_stats(const struct http_server *server);
/* One a route; the one behind the last is for what met no route. */
const struct http_route_stats *http_server_route_stats(const struct http_server *server,
						       size_t route);

#endif
