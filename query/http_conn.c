/*
 * Connections: bytes in, requests out; answers in, bytes out. The loop's
 * thread alone comes here.
 *
 * One request of a connection is in work at a time; what a client sends ahead
 * waits in its buffer, and beyond READ_BYTES_MAX in its own.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/mem.h"
#include "query/http_impl.h"

#define READ_BYTES_MAX	(64u << 10)
#define AHEAD_BYTES_MAX (256u << 10) /* unsent answers before the next request is read */
#define LINGER_NS	(2 * NS_PER_SEC)
#define EOF_GRACE_NS	(250 * NS_PER_MS)

enum conn_state {
	CONN_HEAD, /* between requests, or in the middle of a head */
	CONN_BODY,
	CONN_BUSY,    /* the handler has it */
	CONN_CLOSING, /* the last answer is on its way out */
	CONN_LINGER,  /* all is sent; what the client still sends is thrown away */
};

struct http_conn {
	struct http_server *server;
	struct http_conn *next, **at; /* in server->conns */
	struct bufferevent *bev;
	enum conn_state state;
	struct http_exchange *x; /* from CONN_BODY on */
	struct http_chunked chunked;
	size_t scanned;	      /* bytes of the head that hold no end of it */
	uint64_t deadline_ns; /* 0: none */
	uint64_t eof_ns;      /* the client has closed its side */
	bool processing;      /* conn_process is at work: do not enter again */
	bool dead;	      /* free it as soon as nobody works on it */
	char peer[64];
};

static uint64_t idle_ns(const struct http_conn *conn)
{
	return conn->server->opts.idle_timeout_ns;
}

static uint64_t head_ns(const struct http_conn *conn)
{
	return conn->server->opts.head_timeout_ns;
}

static void conn_deadline(struct http_conn *conn, uint64_t after_ns)
{
	conn->deadline_ns = after_ns ? clock_mono_ns() + after_ns : 0;
}

static void drop_exchange(struct http_conn *conn)
{
	struct http_exchange *x = conn->x;

	if (!x)
		return;
	conn->x = NULL;
	x->conn = NULL;
	http_exchange_gone(x);
	http_exchange_drop(x);
}

static void conn_free(struct http_conn *conn)
{
	if (conn->processing) {
		conn->dead = true;
		return;
	}
	drop_exchange(conn);
	*conn->at = conn->next;
	if (conn->next)
		conn->next->at = conn->at;
	conn->server->conns_count--;
	atomic_fetch_sub(&conn->server->stats.connections, 1);
	bufferevent_free(conn->bev);
	mem_free(conn);
}

/* End it so that the client sees a reset: an answer that broke off must not look whole. */
static void conn_cut(struct http_conn *conn)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(bufferevent_getfd(conn->bev), SOL_SOCKET, SO_LINGER, &linger,
			 sizeof(linger));
	conn_free(conn);
}

/* All is written: close our side, and wait a little for the client's, lest a reset overtakes the answer. */
static void conn_linger(struct http_conn *conn)
{
	if (conn->eof_ns || shutdown(bufferevent_getfd(conn->bev), SHUT_WR) < 0) {
		conn_free(conn);
		return;
	}
	conn->state = CONN_LINGER;
	conn_deadline(conn, LINGER_NS);
}

static size_t unsent_bytes(const struct http_conn *conn)
{
	return evbuffer_get_length(bufferevent_get_output(conn->bev));
}

static void free_sent(const void *bytes, size_t len, void *arg)
{
	(void)len;
	(void)arg;
	mem_free((void *)bytes);
}

/* Takes the memory of wr, which is empty afterwards. */
static void conn_send(struct http_conn *conn, struct wr *wr)
{
	struct evbuffer *output = bufferevent_get_output(conn->bev);

	if (wr->len >= 4096 &&
	    evbuffer_add_reference(output, wr->at, wr->len, free_sent, NULL) == 0)
		wr_init(wr, 0);
	else
		(void)evbuffer_add(output, wr->at, wr->len);
	wr_release(wr);
	wr_init(wr, 0);
}

/* The exchange is answered: on to the next request, or to the end. */
static void conn_answered(struct http_conn *conn)
{
	struct http_exchange *x = conn->x;
	bool keep = x->reply.keep_alive && !conn->server->stop_ns;

	conn->x = NULL;
	x->conn = NULL;
	http_exchange_drop(x);
	if (keep) {
		conn->state = CONN_HEAD;
		conn->scanned = 0;
		conn_deadline(conn, idle_ns(conn));
		return;
	}
	conn->state = CONN_CLOSING;
	conn_deadline(conn, idle_ns(conn));
	if (unsent_bytes(conn) == 0)
		conn_linger(conn);
}

/* An answer that the loop itself gives. */
static void conn_answer(struct http_conn *conn)
{
	struct http_exchange *x = conn->x;

	(void)http_reply_end(&x->reply, NULL);
	x->sent_bytes += x->reply.wire.len;
	if (x->reply.broken) {
		conn_free(conn);
		return;
	}
	conn_send(conn, &x->reply.wire);
	conn_answered(conn);
}

static void conn_refuse(struct http_conn *conn, int status, const struct err *err)
{
	struct http_exchange *x = conn->x;
	/* Where the next request would begin is only known when the head was understood and has no body. */
	bool keep = x->reply.keep_alive && x->head.method && !x->head.chunked &&
		    x->head.body_bytes == 0;

	x->reply.keep_alive = keep;
	http_exchange_fail(x, err->code ? err->code : E_INTERNAL, status, err);
	conn_answer(conn);
}

static void conn_dispatch(struct http_conn *conn)
{
	struct http_exchange *x = conn->x;
	struct err err = { 0 };

	x->req.body = wr_view(&x->body);
	conn->state = CONN_BUSY;
	conn->deadline_ns = 0;
	if (http_dispatch(conn->server, x, &err) < 0) {
		atomic_fetch_add(&conn->server->stats.busy_total, 1);
		x->head.body_bytes = 0; /* it is read: the connection can go on */
		x->head.chunked = false;
		conn_refuse(conn, 0, &err);
	}
}

static void begin_body(struct http_conn *conn)
{
	struct http_exchange *x = conn->x;
	struct err err = { 0 };

	if (x->head.body_bytes > HTTP_BODY_BYTES_MAX) {
		(void)err_set(&err, E_LIMIT, "the body is longer than 1 MiB");
		conn_refuse(conn, 413, &err);
		return;
	}
	conn->chunked = (struct http_chunked){ 0 };
	conn->state = CONN_BODY;
	if (!x->head.chunked && x->head.body_bytes == 0) {
		conn_dispatch(conn);
		return;
	}
	conn_deadline(conn, 3 * head_ns(conn));
	if (x->head.expect_continue && evbuffer_get_length(bufferevent_get_input(conn->bev)) == 0)
		(void)evbuffer_add_printf(bufferevent_get_output(conn->bev),
					  "HTTP/1.1 100 Continue\r\n\r\n");
}

/* A whole head lies at the front of input. */
static void take_head(struct http_conn *conn, struct view bytes)
{
	struct http_exchange *x = http_exchange_new(conn->server);
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	struct err err = { 0 };
	struct view copy;
	int status;

	if (!x) {
		conn_free(conn);
		return;
	}
	conn->x = x;
	x->conn = conn;
	memcpy(x->peer, conn->peer, sizeof(x->peer));
	copy = arena_copy(&x->req.arena, bytes);
	(void)evbuffer_drain(input, bytes.len);
	if (!copy.at) {
		conn_free(conn);
		return;
	}
	status = http_req_head_parse(copy, &x->head, &err);
	x->reply.keep_alive = !status && x->head.keep_alive;
	x->reply.http10 = !status && x->head.minor == 0;
	x->reply.head_only = x->head.method == HTTP_HEAD;
	x->reply.gzip_wanted = x->head.gzip;
	if (status) {
		conn_refuse(conn, status, &err);
		return;
	}
	status = http_admit(conn->server, x, &err);
	if (status == 1) {
		if (x->head.chunked || x->head.body_bytes)
			x->reply.keep_alive = false;
		conn_answer(conn);
	} else if (status) {
		conn_refuse(conn, status, &err);
	} else {
		begin_body(conn);
	}
}

static void too_long(struct http_conn *conn)
{
	struct http_exchange *x = http_exchange_new(conn->server);
	struct err err = { 0 };

	if (!x) {
		conn_free(conn);
		return;
	}
	conn->x = x;
	x->conn = conn;
	memcpy(x->peer, conn->peer, sizeof(x->peer));
	(void)err_set(&err, E_LIMIT, "the head of the request is longer than 32 KiB");
	conn_refuse(conn, 431, &err);
}

/* True when it moved on. */
static bool read_head(struct http_conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t len = evbuffer_get_length(input), head;
	struct view bytes;

	if (len == 0 || unsent_bytes(conn) > AHEAD_BYTES_MAX)
		return false;
	if (len > HTTP_HEAD_BYTES_MAX)
		len = HTTP_HEAD_BYTES_MAX;
	bytes = view_make(evbuffer_pullup(input, (ev_ssize_t)len), len);
	if (!bytes.at) {
		conn_free(conn);
		return false;
	}
	head = http_req_head_end(bytes, conn->scanned);
	if (head) {
		take_head(conn, view_sub(bytes, 0, head));
		return true;
	}
	if (len == HTTP_HEAD_BYTES_MAX) {
		too_long(conn);
		return true;
	}
	/* The clock starts with the first byte, whatever trickles in afterwards. */
	if (conn->scanned == 0)
		conn_deadline(conn, head_ns(conn));
	conn->scanned = len;
	return false;
}

static bool read_body(struct http_conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t len = evbuffer_get_length(input), used;
	struct http_exchange *x = conn->x;
	struct err err = { 0 };
	struct view bytes;
	int rc;

	if (len == 0)
		return false;
	bytes = view_make(evbuffer_pullup(input, -1), len);
	if (!bytes.at) {
		conn_free(conn);
		return false;
	}
	if (x->head.chunked) {
		rc = http_chunked_feed(&conn->chunked, bytes, HTTP_BODY_BYTES_MAX, &x->body, &used,
				       &err);
		if (rc > 1) {
			conn_refuse(conn, rc, &err);
			return true;
		}
	} else {
		used = (size_t)x->head.body_bytes - x->body.len;
		used = used < len ? used : len;
		wr_bytes(&x->body, view_sub(bytes, 0, used));
		rc = x->body.len == x->head.body_bytes;
		if (x->body.bad) {
			(void)err_set(&err, E_NO_MEMORY, "out of memory");
			conn_refuse(conn, 503, &err);
			return true;
		}
	}
	(void)evbuffer_drain(input, used);
	if (rc == 1)
		conn_dispatch(conn);
	return rc == 1;
}

static void conn_process(struct http_conn *conn)
{
	bool moved = true;

	if (conn->processing)
		return;
	conn->processing = true;
	while (moved && !conn->dead) {
		if (conn->state == CONN_HEAD)
			moved = read_head(conn);
		else if (conn->state == CONN_BODY)
			moved = read_body(conn);
		else
			moved = false;
	}
	conn->processing = false;
	/* The client said all it had to say, and it was no request. */
	if (conn->eof_ns && (conn->state == CONN_HEAD || conn->state == CONN_BODY) && !conn->dead) {
		conn->state = CONN_CLOSING;
		conn->dead = unsent_bytes(conn) == 0;
	}
	if (conn->dead)
		conn_free(conn);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct http_conn *conn = arg;
	struct evbuffer *input = bufferevent_get_input(bev);

	if (conn->state == CONN_LINGER || conn->state == CONN_CLOSING)
		(void)evbuffer_drain(input, evbuffer_get_length(input));
	else
		conn_process(conn);
}

/* All output was written. */
static void on_write(struct bufferevent *bev, void *arg)
{
	struct http_conn *conn = arg;

	(void)bev;
	if (conn->state == CONN_CLOSING)
		conn_linger(conn);
	else
		conn_process(conn);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_conn *conn = arg;

	if (!(what & BEV_EVENT_EOF) || conn->state == CONN_LINGER) {
		conn_free(conn);
		return;
	}
	/*
	 * The client closed its side. Usually it is gone; but `printf ... | nc -N`
	 * still waits for what it asked: see http_conn_tick.
	 */
	conn->eof_ns = clock_mono_ns();
	(void)bufferevent_disable(bev, EV_READ);
	if (conn->state == CONN_CLOSING) {
		if (unsent_bytes(conn) == 0)
			conn_free(conn);
		return;
	}
	conn_process(conn);
}

/* The client took some: the handler may make more. */
static void on_output(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
	struct http_conn *conn = arg;
	struct http_exchange *x = conn->x;

	(void)buffer;
	if (info->n_deleted == 0)
		return;
	if (conn->state == CONN_BUSY || conn->state == CONN_CLOSING)
		conn_deadline(conn, idle_ns(conn));
	if (!x)
		return;
	lock_take(&conn->server->lock);
	x->flight_bytes -= info->n_deleted < x->flight_bytes ? info->n_deleted : x->flight_bytes;
	if (x->flight_bytes <= HTTP_FLIGHT_BYTES / 2)
		cond_wake_all(&x->moved);
	lock_drop(&conn->server->lock);
}

void http_conn_mail(struct http_exchange *x)
{
	struct http_server *server = x->server;
	struct http_conn *conn = x->conn;
	struct wr pending;
	bool done, cut;

	lock_take(&server->lock);
	pending = x->pending;
	wr_init(&x->pending, 0);
	done = x->done;
	cut = x->cut;
	lock_drop(&server->lock);
	if (!conn) {
		wr_release(&pending);
		return;
	}
	if (pending.len) {
		conn_deadline(conn, idle_ns(conn));
		conn_send(conn, &pending);
	}
	wr_release(&pending);
	if (cut)
		conn_cut(conn);
	else if (done) {
		conn->processing = true; /* conn_answered may free */
		conn_answered(conn);
		conn->processing = false;
		if (conn->dead)
			conn_free(conn);
		else
			conn_process(conn);
	}
}

static void tick_one(struct http_conn *conn, uint64_t now_ns)
{
	/* A paced answer may have nothing to send for long: no deadline while nothing waits. */
	if (conn->state == CONN_BUSY && unsent_bytes(conn) == 0)
		conn->deadline_ns = 0;
	if (conn->x && conn->state == CONN_BUSY && conn->eof_ns &&
	    now_ns - conn->eof_ns > EOF_GRACE_NS && !atomic_load(&conn->x->req.cancel)) {
		atomic_store(&conn->x->req.cancel, true);
		atomic_fetch_add(&conn->server->stats.cancelled_total, 1);
	}
	/* A stop waits for queries, but not for what ends only with its client. */
	if (conn->server->stop_ns && conn->state == CONN_BUSY &&
	    conn->x->req.route->pool == HTTP_POOL_STREAM)
		atomic_store(&conn->x->req.cancel, true);
	if (!conn->deadline_ns || now_ns < conn->deadline_ns)
		return;
	if (conn->state == CONN_BODY || (conn->state == CONN_HEAD && conn->scanned)) {
		struct err err = { 0 };

		if (!conn->x) {
			conn->x = http_exchange_new(conn->server);
			if (!conn->x) {
				conn_free(conn);
				return;
			}
			conn->x->conn = conn;
			memcpy(conn->x->peer, conn->peer, sizeof(conn->peer));
		}
		conn->x->reply.keep_alive = false;
		(void)err_set(&err, E_TIMEOUT, "the request did not come to its end in time");
		conn_refuse(conn, 408, &err);
		return;
	}
	conn_free(conn);
}

void http_conn_tick(struct http_server *server, uint64_t now_ns)
{
	struct http_conn *conn = server->conns, *next;

	for (; conn; conn = next) {
		next = conn->next;
		tick_one(conn, now_ns);
	}
}

bool http_conn_quiet(const struct http_server *server)
{
	for (const struct http_conn *conn = server->conns; conn; conn = conn->next)
		if (conn->x || unsent_bytes(conn))
			return false;
	return true;
}

void http_conn_close_all(struct http_server *server)
{
	struct http_conn *conn = server->conns, *next;

	for (; conn; conn = next) {
		next = conn->next;
		conn_free(conn);
	}
}

/* Room for one more: the connection that has been idle longest makes it. */
static bool make_room(struct http_server *server)
{
	struct http_conn *oldest = NULL;

	for (struct http_conn *conn = server->conns; conn; conn = conn->next)
		if (conn->state == CONN_LINGER || (conn->state == CONN_HEAD && conn->scanned == 0))
			if (!oldest || conn->deadline_ns < oldest->deadline_ns)
				oldest = conn;
	if (!oldest)
		return false;
	conn_free(oldest);
	return true;
}

static void peer_text(const struct sockaddr *addr, char text[64])
{
	const struct sockaddr_in6 *in6 = (const void *)addr;
	const struct sockaddr_in *in = (const void *)addr;
	char name[IP_TEXT_LEN];
	struct ip ip;

	if (addr->sa_family == AF_INET6) {
		memcpy(ip.b, &in6->sin6_addr, 16);
	} else {
		ip = ip_from_v4(in->sin_addr.s_addr);
	}
	ip_format(&ip, name);
	(void)snprintf(text, 64, "%s", name);
}

void http_conn_accept(struct http_server *server, int fd, const struct sockaddr *peer)
{
	static const char busy[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
		"Connection: close\r\n\r\n";
	struct http_conn *conn;
	int one = 1;

	atomic_fetch_add(&server->stats.connections_total, 1);
	if (server->conns_count >= server->opts.connections_max && !make_room(server)) {
		atomic_fetch_add(&server->stats.connections_refused_total, 1);
		(void)send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)close(fd);
		return;
	}
	conn = mem_zalloc(sizeof(*conn));
	if (conn)
		conn->bev = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!conn || !conn->bev) {
		mem_free(conn);
		(void)close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn->server = server;
	conn->next = server->conns;
	conn->at = &server->conns;
	if (conn->next)
		conn->next->at = &conn->next;
	server->conns = conn;
	server->conns_count++;
	atomic_fetch_add(&server->stats.connections, 1);
	peer_text(peer, conn->peer);
	bufferevent_setcb(conn->bev, on_read, on_write, on_event, conn);
	bufferevent_setwatermark(conn->bev, EV_READ, 0, READ_BYTES_MAX);
	(void)evbuffer_add_cb(bufferevent_get_output(conn->bev), on_output, conn);
	conn_deadline(conn, idle_ns(conn));
	(void)bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
}
