/*
 * What the parts of the server share: http.c (threads, mail), http_conn.c
 * (connections), http_admit.c (may this request be answered, and by whom),
 * http_exchange.c (the handler's side). Nobody else includes this.
 *
 * An exchange is a request with its answer. The loop holds one reference until
 * its connection is done with it or gone, the pool's thread one until its
 * handler has returned; the last one frees it and writes the log line.
 */
#ifndef QUERY_HTTP_IMPL_H
#define QUERY_HTTP_IMPL_H

#include "base/lock.h"
#include "base/queue.h"
#include "query/http_reply.h"
#include "query/http_route.h"

struct http_conn;
struct sockaddr;

struct http_exchange {
	struct http_request req;
	struct http_reply reply; /* the handler's thread, or the loop while there is none */
	struct http_req_head head;
	struct wr body;
	size_t route; /* index; routes_count = none */
	struct http_server *server;
	struct http_conn *conn; /* loop only; NULL once gone */
	uint64_t begun_ns;	/* monotonic */
	char peer[64];
	char error[200]; /* words of a failure, for the log */

	/* guarded by server->lock */
	struct http_exchange *next_mail;
	bool mailed;
	bool gone; /* nobody takes the answer any more */
	bool done; /* the handler has returned */
	bool cut;  /* the answer broke off: end the connection hard */
	unsigned refs;
	struct wr pending;   /* for the loop to send */
	size_t flight_bytes; /* pending, or in the connection's output */
	uint64_t sent_bytes;
	struct cond moved; /* flight_bytes fell, or gone */
};

struct http_pool_state {
	struct queue *queue;
	pthread_t *threads;
	unsigned threads_count;
	atomic_uint taken; /* waiting and running */
	unsigned taken_max;
};

struct event_base;
struct event;
struct evconnlistener;

struct http_server {
	struct http_opts opts;
	char address[80];
	bool local;
	atomic_bool stopping;
	int wake_fd;

	/* loop only */
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *wake, *tick, *signals[2];
	struct http_conn *conns;
	unsigned conns_count;
	bool accept_paused;
	uint64_t stop_ns; /* when to stop waiting for answers; 0 = not stopping */
	uint64_t next_id;

	struct http_pool_state pools[HTTP_POOLS];
	struct lock lock;
	struct http_exchange *mail; /* guarded by lock */

	struct http_stats stats;
	struct http_route_stats *route_stats;
};

/* http.c */
void http_wake(struct http_server *server);
/* E_BUSY when the pool has no room. Takes a reference for the pool. */
int http_dispatch(struct http_server *server, struct http_exchange *x, struct err *err);

/* http_exchange.c */
struct http_exchange *http_exchange_new(struct http_server *server); /* NULL: out of memory */
void http_exchange_drop(struct http_exchange *x);
/* Runs the route's handler to its end: a pool's thread. */
void http_exchange_run(struct http_exchange *x);
/* Put an error in the place of the answer, unless it has begun. status 0: what rc stands for. */
void http_exchange_fail(struct http_exchange *x, int rc, int status, const struct err *err);
/* The loop no longer takes anything: wakes the handler, cancels it. */
void http_exchange_gone(struct http_exchange *x);

/* http_admit.c */
/*
 * A parsed head: decide who answers. 0: x->req.route is to run once the body is there. 1: the
 * answer is in x->reply already (preflight). Otherwise the HTTP status to refuse it with, words in err.
 */
int http_admit(struct http_server *server, struct http_exchange *x, struct err *err);

/* http_conn.c */
void http_conn_accept(struct http_server *server, int fd, const struct sockaddr *peer);
/* The exchange has mail: bytes to send, or its end. */
void http_conn_mail(struct http_exchange *x);
void http_conn_tick(struct http_server *server, uint64_t now_ns);
/* Nobody waits for anything. */
bool http_conn_quiet(const struct http_server *server);
void http_conn_close_all(struct http_server *server);

#endif
