/* The server over real sockets, with handlers of its own. */
#include "query/http.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"

struct world {
	struct http_server *server;
	pthread_t thread;
	unsigned port;
	atomic_int ended; /* handlers of /forever that saw their client go */
	atomic_int sent;  /* pieces of /big handed over */
	atomic_bool hold; /* /hold waits for it to fall */
};

static int echo(void *ctx, struct http_request *req, struct err *err)
{
	uint64_t n;
	int rc = http_param_u64(req, "n", 0, 100, &n, err);

	(void)ctx;
	if (rc < 0)
		return rc;
	http_type(req, "text/plain");
	wr_printf(http_out(req), "%.*s n=%llu body=%.*s", (int)req->path.len,
		  (const char *)req->path.at, (unsigned long long)n, (int)req->body.len,
		  (const char *)req->body.at);
	return 0;
}

static int big(void *ctx, struct http_request *req, struct err *err)
{
	struct world *world = ctx;

	http_type(req, "application/octet-stream");
	for (int i = 0; i < 400; i++) {
		uint8_t *at = wr_space(http_out(req), 100000);
		int rc;

		CHECK(at != NULL);
		memset(at, 'a' + i % 26, 100000);
		rc = http_flush(req, err);
		if (rc < 0)
			return rc;
		atomic_fetch_add(&world->sent, 1);
	}
	return 0;
}

static int forever(void *ctx, struct http_request *req, struct err *err)
{
	struct world *world = ctx;

	http_unbuffered(req);
	do
		wr_str(http_out(req), "tick\n");
	while (http_sleep(req, NS_PER_MS));
	atomic_fetch_add(&world->ended, 1);
	return err_set(err, E_CANCELLED, "gone");
}

static int hold(void *ctx, struct http_request *req, struct err *err)
{
	struct world *world = ctx;

	(void)err;
	while (atomic_load(&world->hold) && http_sleep(req, NS_PER_MS))
		;
	wr_str(http_out(req), "held");
	return 0;
}

static int broken(void *ctx, struct http_request *req, struct err *err)
{
	(void)ctx;
	wr_str(http_out(req), "half an ans");
	(void)http_flush(req, err);
	return err_set(err, E_CORRUPT, "the rest is damaged");
}

static int fails(void *ctx, struct http_request *req, struct err *err)
{
	(void)ctx;
	wr_str(http_out(req), "to be forgotten");
	if (err_set(err, E_SYNTAX, "no such \"thing\"") == E_SYNTAX)
		err->position = 7;
	return E_SYNTAX;
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/echo", echo, HTTP_POOL_META, false, "n", "" },
	{ HTTP_POST, "/echo", echo, HTTP_POOL_META, false, "n", "" },
	{ HTTP_GET, "/big", big, HTTP_POOL_STREAM, false, "", "" },
	{ HTTP_GET, "/forever", forever, HTTP_POOL_STREAM, false, "", "" },
	{ HTTP_GET, "/hold", hold, HTTP_POOL_QUERY, false, "", "" },
	{ HTTP_GET, "/broken", broken, HTTP_POOL_META, false, "", "" },
	{ HTTP_GET, "/fails", fails, HTTP_POOL_META, false, "", "" },
	{ HTTP_GET, "/open", echo, HTTP_POOL_META, true, "", "" },
};

static void *run(void *arg)
{
	struct world *world = arg;
	struct err err = { 0 };

	CHECK_OK(http_server_run(world->server, false, &err), err);
	return NULL;
}

static void start(struct world *world, struct http_opts opts)
{
	struct err err = { 0 };

	log_set_level(LOG_ERROR);
	memset(world, 0, sizeof(*world));
	opts.listen = "127.0.0.1:0";
	opts.routes = routes;
	opts.routes_count = sizeof(routes) / sizeof(routes[0]);
	opts.ctx = world;
	CHECK_OK(http_server_new(&opts, &world->server, &err), err);
	world->port =
		(unsigned)strtoul(strrchr(http_server_address(world->server), ':') + 1, NULL, 10);
	CHECK_EQ(pthread_create(&world->thread, NULL, run, world), 0);
}

static void stop(struct world *world)
{
	http_server_stop(world->server);
	pthread_join(world->thread, NULL);
	http_server_free(world->server);
}

static int dial(const struct world *world)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)world->port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	CHECK_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	CHECK_EQ((size_t)send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything until the server closes; -1 on reset. */
static ssize_t hear(int fd, char *text, size_t cap)
{
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, text + len, cap - 1 - len, 0)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return n < 0 ? -1 : (ssize_t)len;
}

static void ask(const struct world *world, const char *request, char *answer, size_t cap)
{
	int fd = dial(world);

	say(fd, request);
	(void)hear(fd, answer, cap);
	close(fd);
}

static void wait_for(atomic_int *value, int want)
{
	uint64_t until_ns = clock_mono_ns() + 10 * NS_PER_SEC;

	while (atomic_load(value) < want && clock_mono_ns() < until_ns)
		usleep(1000);
	CHECK_EQ(atomic_load(value), want);
}

TEST(http_server, answers_and_refuses, .timeout = 60)
{
	static const struct {
		const char *request, *want;
	} cases[] = {
		{ "GET //echo/?n=5 HTTP/1.0\r\n\r\n", "200 OK" },
		{ "GET /echo?n=5 HTTP/1.0\r\n\r\n", "/echo n=5 body=" },
		{ "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
		  "body=abc" },
		{ "POST /echo HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		  "body=abc" },
		{ "GET /echo?n=500 HTTP/1.0\r\n\r\n", "E_RANGE" },
		{ "GET /echo?m=5 HTTP/1.0\r\n\r\n", "nearest is n" },
		{ "GET /ecko HTTP/1.0\r\n\r\n", "404 Not Found" },
		{ "PUT /echo HTTP/1.0\r\n\r\n", "Allow: GET, HEAD, POST, OPTIONS" },
		{ "PUT /echo HTTP/1.0\r\n\r\n", "405 Method Not Allowed" },
		{ "OPTIONS /echo HTTP/1.0\r\n\r\n", "204 No Content" },
		{ "GET /fails HTTP/1.0\r\n\r\n",
		  "{\"error\":{\"code\":\"E_SYNTAX\",\"message\":\"no such \\\"thing\\\"\",\"position\":7},\"message\":\"no such \\\"thing\\\"\"}" },
		{ "\r\nrubbish\r\n\r\n", "400 Bad Request" },
		{ "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\nx", "421 Misdirected" },
		{ "POST /echo HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 99999999\r\n\r\n",
		  "413 Content" },
	};
	struct world world;
	char text[8192];

	start(&world, (struct http_opts){ 0 });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(&world, cases[i].request, text, sizeof(text));
		CHECK(strstr(text, cases[i].want), "case %zu: %s", i, text);
	}
	ask(&world, "HEAD /echo HTTP/1.0\r\n\r\n", text, sizeof(text));
	CHECK(strstr(text, "Content-Length: 15\r\n"), "%s", text);
	CHECK_STR(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	stop(&world);
}

TEST(http_server, keeps_the_connection_and_the_order, .timeout = 60)
{
	struct world world;
	char text[8192];
	const char *at;
	int fd;

	start(&world, (struct http_opts){ 0 });
	fd = dial(&world);
	say(fd,
	    "GET /echo?n=1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
	    "GET /echo?n=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	CHECK_GT(hear(fd, text, sizeof(text)), 0);
	at = strstr(text, "n=1");
	CHECK(at);
	at = strstr(at, "404");
	CHECK(at);
	CHECK(strstr(at, "n=2"));
	close(fd);
	/* one byte at a time */
	fd = dial(&world);
	for (const char *c = "POST /echo HTTP/1.0\r\nContent-Length: 4\r\n\r\nslow"; *c; c++)
		CHECK_EQ(send(fd, c, 1, MSG_NOSIGNAL), 1);
	CHECK_GT(hear(fd, text, sizeof(text)), 0);
	CHECK(strstr(text, "body=slow"));
	close(fd);
	stop(&world);
}

TEST(http_server, asks_for_the_token, .timeout = 60)
{
	struct world world;
	char text[8192];

	start(&world, (struct http_opts){ .token = VIEW_LIT("correct horse") });
	ask(&world, "GET /echo HTTP/1.0\r\n\r\n", text, sizeof(text));
	CHECK(strstr(text, "401 Unauthorized") && strstr(text, "WWW-Authenticate: Bearer"));
	ask(&world, "GET /nothing HTTP/1.0\r\n\r\n", text, sizeof(text));
	CHECK(strstr(text, "401 Unauthorized"));
	ask(&world, "GET /echo HTTP/1.0\r\nAuthorization: Bearer correct hors\r\n\r\n", text,
	    sizeof(text));
	CHECK(strstr(text, "401"));
	ask(&world, "GET /echo HTTP/1.0\r\nAuthorization: Bearer correct horse\r\n\r\n", text,
	    sizeof(text));
	CHECK(strstr(text, "200 OK"));
	/* base64 of "anybody:correct horse" */
	ask(&world,
	    "GET /echo HTTP/1.0\r\nAuthorization: Basic YW55Ym9keTpjb3JyZWN0IGhvcnNl\r\n\r\n", text,
	    sizeof(text));
	CHECK(strstr(text, "200 OK"));
	ask(&world, "GET /open HTTP/1.0\r\n\r\n", text, sizeof(text));
	CHECK(strstr(text, "200 OK"));
	stop(&world);
}

TEST(http_server, lets_named_origins_in, .timeout = 60)
{
	struct world world;
	char text[8192];

	start(&world,
	      (struct http_opts){ .cors = "http://grafana.example:3000, http://b.example/" });
	ask(&world,
	    "OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: http://b.example\r\n\r\n",
	    text, sizeof(text));
	CHECK(strstr(text, "Access-Control-Allow-Origin: http://b.example\r\n"), "%s", text);
	CHECK(strstr(text, "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"), "%s",
	      text);
	ask(&world, "GET /echo HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n", text,
	    sizeof(text));
	CHECK_NULL(strstr(text, "Access-Control"));
	stop(&world);
}

TEST(http_server, waits_for_slow_clients_with_little_memory, .timeout = 60)
{
	struct world world;
	static char text[1 << 20];
	size_t len = 0;
	ssize_t n;
	int fd, sent, before;

	start(&world, (struct http_opts){ 0 });
	fd = dial(&world);
	say(fd, "GET /big HTTP/1.0\r\n\r\n");
	/* The handler comes to a halt: what it makes is not taken. */
	for (before = -1, sent = 0; sent != before || sent == 0;) {
		before = sent;
		usleep(100000);
		sent = atomic_load(&world.sent);
	}
	CHECK_LT(sent, 200);
	while ((n = recv(fd, text, sizeof(text), 0)) > 0)
		len += (size_t)n;
	CHECK_EQ(n, 0);
	CHECK_GT(len, 40000000);
	CHECK_LT(len, 40001000);
	CHECK_EQ(atomic_load(&world.sent), 400);
	close(fd);
	stop(&world);
}

TEST(http_server, ends_a_handler_whose_client_goes, .timeout = 60)
{
	struct world world;
	char text[100];
	int fd;

	start(&world, (struct http_opts){ 0 });
	fd = dial(&world);
	say(fd, "GET /forever HTTP/1.1\r\nHost: localhost\r\n\r\n");
	CHECK_GT(recv(fd, text, sizeof(text), 0), 0);
	close(fd);
	wait_for(&world.ended, 1);
	/* and one that is stopped with the server */
	fd = dial(&world);
	say(fd, "GET /forever HTTP/1.1\r\nHost: localhost\r\n\r\n");
	CHECK_GT(recv(fd, text, sizeof(text), 0), 0);
	stop(&world);
	CHECK_EQ(atomic_load(&world.ended), 2);
	close(fd);
}

TEST(http_server, shows_that_an_answer_broke_off, .timeout = 60)
{
	struct world world;
	char text[8192];
	int fd;

	start(&world, (struct http_opts){ 0 });
	fd = dial(&world);
	say(fd, "GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n");
	CHECK_EQ(hear(fd, text, sizeof(text)), -1);
	CHECK_NULL(strstr(text, "\r\n0\r\n\r\n"));
	close(fd);
	stop(&world);
}

TEST(http_server, says_busy_when_all_is_taken, .timeout = 60)
{
	struct world world;
	char text[8192];
	int held[3];

	start(&world, (struct http_opts){ .threads = { 1, 1, 1 }, .queues = { 1, 0, 8 } });
	atomic_store(&world.hold, true);
	for (int i = 0; i < 2; i++) {
		held[i] = dial(&world);
		say(held[i], "GET /hold HTTP/1.0\r\n\r\n");
	}
	/* Both must have arrived before the third asks. */
	for (int i = 0; i < 1000 && atomic_load(&http_server_stats(world.server)->running) < 2; i++)
		usleep(1000);
	ask(&world, "GET /hold HTTP/1.0\r\n\r\n", text, sizeof(text));
	CHECK(strstr(text, "503 Service Unavailable") && strstr(text, "Retry-After"), "%s", text);
	/* The other pools still answer. */
	ask(&world, "GET /echo HTTP/1.0\r\n\r\n", text, sizeof(text));
	CHECK(strstr(text, "200 OK"));
	atomic_store(&world.hold, false);
	for (int i = 0; i < 2; i++) {
		CHECK_GT(hear(held[i], text, sizeof(text)), 0);
		CHECK(strstr(text, "held"));
		close(held[i]);
	}
	stop(&world);
}

TEST(http_server, does_not_wait_for_ever, .timeout = 60)
{
	struct world world;
	char text[8192];
	int fd, idle;

	start(&world, (struct http_opts){ .head_timeout_ns = 100 * NS_PER_MS,
					  .idle_timeout_ns = 300 * NS_PER_MS });
	fd = dial(&world);
	idle = dial(&world);
	say(fd, "GET /echo HT");
	CHECK_GT(hear(fd, text, sizeof(text)), 0);
	CHECK(strstr(text, "408 Request Timeout"));
	CHECK_EQ(hear(idle, text, sizeof(text)), 0);
	close(fd);
	close(idle);
	stop(&world);
}

TEST(http_server, holds_no_more_connections_than_allowed, .timeout = 60)
{
	struct world world;
	char text[8192];
	int busy[2], idle;

	start(&world, (struct http_opts){ .connections_max = 3, .threads = { 2, 1, 1 } });
	atomic_store(&world.hold, true);
	idle = dial(&world);
	for (int i = 0; i < 2; i++) {
		busy[i] = dial(&world);
		say(busy[i], "GET /hold HTTP/1.0\r\n\r\n");
	}
	for (int i = 0; i < 1000 && atomic_load(&http_server_stats(world.server)->running) < 2; i++)
		usleep(1000);
	/* The idle one makes room. */
	ask(&world, "GET /echo HTTP/1.0\r\n\r\n", text, sizeof(text));
	CHECK(strstr(text, "200 OK"), "%s", text);
	CHECK_LE(hear(idle, text, sizeof(text)), 0);
	atomic_store(&world.hold, false);
	for (int i = 0; i < 2; i++)
		close(busy[i]);
	close(idle);
	stop(&world);
}
