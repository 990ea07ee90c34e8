/* The server's frame: listening, threads, and the mail between them and the loop. */
#include "query/http.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/mem.h"
#include "query/http_impl.h"

#define TICK_MS	      100
#define STOP_GRACE_NS (2 * NS_PER_SEC)

/* ---- listening ---- */

static int parse_listen(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len,
			struct err *err)
{
	const char *colon = strrchr(text, ':');
	struct view host = view_make(text, colon ? (size_t)(colon - text) : 0);
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	uint64_t port;
	struct ip ip;

	if (view_is(host, "localhost"))
		host = VIEW_LIT("127.0.0.1");
	else if (host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
		host = view_sub(host, 1, host.len - 2);
	if (!colon || view_u64(view_str(colon + 1), 65535, &port) < 0 ||
	    ip_parse(host, &ip, NULL) < 0)
		return err_set(
			err, E_USAGE,
			"listen address \"%s\" is not ADDR:PORT, such as 127.0.0.1:9800 or [::1]:9800",
			text);
	memset(ret_addr, 0, sizeof(*ret_addr));
	if (ip_is_v4(&ip)) {
		in.sin_port = htons((uint16_t)port);
		memcpy(&in.sin_addr, ip.b + 12, 4);
		memcpy(ret_addr, &in, sizeof(in));
		*ret_len = sizeof(in);
	} else {
		in6.sin6_port = htons((uint16_t)port);
		memcpy(&in6.sin6_addr, ip.b, 16);
		memcpy(ret_addr, &in6, sizeof(in6));
		*ret_len = sizeof(in6);
	}
	return 0;
}

static int bind_socket(const char *text, int *ret_fd, struct err *err)
{
	struct sockaddr_storage addr;
	socklen_t len = 0;
	int fd, on = 1;
	int rc = parse_listen(text, &addr, &len, err);

	if (rc < 0)
		return rc;
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, errno, "socket for %s", text);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 512) < 0) {
		rc = err_errno(err, errno, "listen on %s", text);
		(void)close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

static void describe_address(struct http_server *server, int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char name[IP_TEXT_LEN];
	unsigned port;
	struct ip ip;

	(void)getsockname(fd, (struct sockaddr *)&addr, &len);
	if (addr.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (void *)&addr;

		memcpy(ip.b, &in6->sin6_addr, 16);
		port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in = (void *)&addr;

		ip = ip_from_v4(in->sin_addr.s_addr);
		port = ntohs(in->sin_port);
	}
	ip_format(&ip, name);
	server->local = ip_is_loopback(&ip);
	(void)snprintf(server->address, sizeof(server->address),
		       strchr(name, ':') ? "http://[%s]:%u" : "http://%s:%u", name, port);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
		      int len, void *arg)
{
	(void)listener;
	(void)len;
	http_conn_accept(arg, fd, peer);
}

/* Out of descriptors: without a pause the loop would spin on the same failure. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	static struct log_limit limit;
	struct http_server *server = arg;

	log_limited(&limit, LOG_WARN, "cannot accept a connection error=\"%s\"", strerror(errno));
	(void)evconnlistener_disable(listener);
	server->accept_paused = true;
}

/* ---- threads ---- */

static void *pool_thread(void *arg)
{
	struct http_pool_state *pool = arg;
	struct http_exchange *x;

	while ((x = queue_get(pool->queue, UINT64_MAX)) != NULL)
		http_exchange_run(x);
	return NULL;
}

int http_dispatch(struct http_server *server, struct http_exchange *x, struct err *err)
{
	struct http_pool_state *pool = &server->pools[x->req.route->pool];

	if (atomic_fetch_add(&pool->taken, 1) >= pool->taken_max) {
		atomic_fetch_sub(&pool->taken, 1);
		return err_set(err, E_BUSY, "%u requests are running or waiting already",
			       pool->taken_max);
	}
	lock_take(&server->lock);
	x->refs++;
	lock_drop(&server->lock);
	if (queue_try_put(pool->queue, x))
		return 0;
	lock_take(&server->lock);
	x->refs--;
	lock_drop(&server->lock);
	atomic_fetch_sub(&pool->taken, 1);
	return err_set(err, E_BUSY, "the server is stopping");
}

static int start_threads(struct http_server *server, struct err *err)
{
	sigset_t all, before;
	int rc = 0;

	/* Signals are the loop's. */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned p = 0; p < HTTP_POOLS && rc == 0; p++) {
		struct http_pool_state *pool = &server->pools[p];

		while (pool->threads_count < server->opts.threads[p]) {
			int failed = pthread_create(&pool->threads[pool->threads_count], NULL,
						    pool_thread, pool);

			if (failed) {
				rc = err_errno(err, failed, "start of a query thread");
				break;
			}
			pool->threads_count++;
		}
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static void join_threads(struct http_server *server)
{
	for (unsigned p = 0; p < HTTP_POOLS; p++)
		queue_close(server->pools[p].queue);
	for (unsigned p = 0; p < HTTP_POOLS; p++) {
		struct http_pool_state *pool = &server->pools[p];

		while (pool->threads_count)
			(void)pthread_join(pool->threads[--pool->threads_count], NULL);
	}
}

/* ---- mail and time ---- */

void http_wake(struct http_server *server)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then the loop is awake already. */
	while (write(server->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void http_server_stop(struct http_server *server)
{
	atomic_store(&server->stopping, true);
	http_wake(server);
}

static void begin_stop(struct http_server *server)
{
	server->stop_ns = clock_mono_ns() + STOP_GRACE_NS;
	if (server->listener)
		evconnlistener_free(server->listener);
	server->listener = NULL;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;
	uint64_t n;

	(void)what;
	(void)!read(fd, &n, sizeof(n));
	if (atomic_load(&server->stopping) && !server->stop_ns)
		begin_stop(server);
	/* One at a time: taking one's mail may end another exchange, which then leaves the list. */
	for (;;) {
		struct http_exchange *x;

		lock_take(&server->lock);
		x = server->mail;
		if (x) {
			server->mail = x->next_mail;
			x->mailed = false;
		}
		lock_drop(&server->lock);
		if (!x)
			break;
		http_conn_mail(x);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *server = arg;
	uint64_t now_ns = clock_mono_ns();

	(void)fd;
	(void)what;
	if (server->accept_paused && server->listener) {
		server->accept_paused = false;
		(void)evconnlistener_enable(server->listener);
	}
	http_conn_tick(server, now_ns);
	if (server->stop_ns && (now_ns > server->stop_ns || http_conn_quiet(server)))
		(void)event_base_loopbreak(server->base);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct http_server *server = arg;

	(void)what;
	log_info("stopping signal=%d", (int)number);
	atomic_store(&server->stopping, true);
	if (!server->stop_ns)
		begin_stop(server);
}

/* ---- life ---- */

static int make_pools(struct http_server *server, struct err *err)
{
	for (unsigned p = 0; p < HTTP_POOLS; p++) {
		struct http_pool_state *pool = &server->pools[p];

		if (server->opts.threads[p] == 0)
			server->opts.threads[p] = 1;
		pool->taken_max = server->opts.threads[p] + server->opts.queues[p];
		pool->queue = queue_new(pool->taken_max);
		pool->threads = mem_array(server->opts.threads[p], sizeof(*pool->threads));
		if (!pool->queue || !pool->threads)
			return err_set(err, E_NO_MEMORY, "out of memory");
	}
	return 0;
}

/* Takes fd once it succeeds. */
static int make_events(struct http_server *server, int fd, struct err *err)
{
	struct timeval period = { .tv_usec = TICK_MS * 1000 };

	server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (server->wake_fd < 0)
		return err_errno(err, errno, "eventfd");
	server->base = event_base_new();
	if (!server->base)
		return err_set(err, E_NO_MEMORY, "no event loop");
	server->wake =
		event_new(server->base, server->wake_fd, EV_READ | EV_PERSIST, on_wake, server);
	server->tick = event_new(server->base, -1, EV_PERSIST, on_tick, server);
	if (!server->wake || !server->tick || event_add(server->wake, NULL) != 0 ||
	    event_add(server->tick, &period) != 0)
		return err_set(err, E_NO_MEMORY, "no event loop");
	server->listener = evconnlistener_new(
		server->base, on_accept, server,
		LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_DISABLED, 0, fd);
	if (!server->listener)
		return err_set(err, E_NO_MEMORY, "no event loop");
	evconnlistener_set_error_cb(server->listener, on_accept_error);
	return 0;
}

int http_server_new(const struct http_opts *opts, struct http_server **ret_server, struct err *err)
{
	struct http_server *server = mem_zalloc(sizeof(*server));
	int rc = E_NO_MEMORY, fd = -1;

	if (!server)
		return err_set(err, rc, "out of memory");
	server->opts = *opts;
	server->wake_fd = -1;
	lock_init(&server->lock);
	if (!server->opts.connections_max)
		server->opts.connections_max = 1024;
	if (!server->opts.head_timeout_ns)
		server->opts.head_timeout_ns = 10 * NS_PER_SEC;
	if (!server->opts.idle_timeout_ns)
		server->opts.idle_timeout_ns = 60 * NS_PER_SEC;
	rc = make_pools(server, err);
	if (rc < 0)
		goto out;
	server->route_stats = mem_array(opts->routes_count + 1, sizeof(*server->route_stats));
	if (!server->route_stats) {
		rc = err_set(err, E_NO_MEMORY, "out of memory");
		goto out;
	}
	rc = bind_socket(opts->listen, &fd, err);
	if (rc < 0)
		goto out;
	describe_address(server, fd);
	rc = make_events(server, fd, err);
	if (rc < 0)
		goto out;
	*ret_server = server;
	return 0;
out:
	if (fd >= 0)
		(void)close(fd);
	http_server_free(server);
	return rc;
}

static int watch_signals(struct http_server *server, struct err *err)
{
	static const int numbers[] = { SIGTERM, SIGINT };

	for (unsigned i = 0; i < 2; i++) {
		server->signals[i] = evsignal_new(server->base, numbers[i], on_signal, server);
		if (!server->signals[i] || event_add(server->signals[i], NULL) != 0)
			return err_set(err, E_NO_MEMORY, "no signal handler");
	}
	return 0;
}

int http_server_run(struct http_server *server, bool signals, struct err *err)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int rc = start_threads(server, err);

	/* A client that is gone is an error of write(), not the end of us. */
	(void)sigaction(SIGPIPE, &ignore, NULL);
	if (rc >= 0 && signals)
		rc = watch_signals(server, err);
	if (rc >= 0) {
		(void)evconnlistener_enable(server->listener);
		if (event_base_dispatch(server->base) < 0)
			rc = err_set(err, E_INTERNAL, "the event loop failed");
	}
	http_conn_close_all(server);
	join_threads(server);
	return rc;
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	for (unsigned p = 0; p < HTTP_POOLS; p++) {
		queue_free(server->pools[p].queue);
		mem_free(server->pools[p].threads);
	}
	if (server->listener)
		evconnlistener_free(server->listener);
	for (unsigned i = 0; i < 2; i++)
		if (server->signals[i])
			event_free(server->signals[i]);
	if (server->wake)
		event_free(server->wake);
	if (server->tick)
		event_free(server->tick);
	if (server->base)
		event_base_free(server->base);
	if (server->wake_fd >= 0)
		(void)close(server->wake_fd);
	mem_free(server->route_stats);
	lock_release(&server->lock);
	mem_free(server);
}

const char *http_server_address(const struct http_server *server)
{
	return server->address;
}

bool http_server_is_local(const struct http_server *server)
{
	return server->local;
}

const struct http_stats *http_server_stats(const struct http_server *server)
{
	return &server->stats;
}

const struct http_route_stats *http_server_route_stats(const struct http_server *server,
						       size_t route)
{
	return &server->route_stats[route];
}
