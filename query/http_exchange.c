/* One request with its answer, as the thread of its handler sees it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "query/http_impl.h"

#define TEXT(v) (int)(v).len, (const char *)(v).at

static struct http_exchange *exchange_of(const struct http_request *req)
{
	return (struct http_exchange *)((char *)req - offsetof(struct http_exchange, req));
}

struct http_exchange *http_exchange_new(struct http_server *server)
{
	struct http_exchange *x = mem_zalloc(sizeof(*x));

	if (!x)
		return NULL;
	x->server = server;
	x->refs = 1;
	x->begun_ns = clock_mono_ns();
	x->route = server->opts.routes_count;
	x->req.id = ++server->next_id;
	arena_init(&x->req.arena, HTTP_ARENA_BYTES);
	wr_init(&x->body, HTTP_BODY_BYTES_MAX);
	wr_init(&x->pending, 0);
	http_reply_init(&x->reply);
	cond_init(&x->moved);
	atomic_fetch_add(&server->stats.running, 1);
	return x;
}

/* ---- log and counters, once for each exchange ---- */

const int http_statuses[HTTP_STATUS_SLOTS] = {
	200, 204, 400, 401, 403, 404, 405, 408, 410, 413,
	414, 421, 422, 431, 499, 500, 501, 503, 504, 0,
};
const double http_latency_bounds[HTTP_LATENCY_SLOTS] = {
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30, 1e300,
};

static void count(struct http_exchange *x, uint64_t took_ns)
{
	struct http_route_stats *stats = &x->server->route_stats[x->route];
	double seconds = (double)took_ns / (double)NS_PER_SEC;
	size_t slot = 0;

	while (http_statuses[slot] && http_statuses[slot] != x->reply.status)
		slot++;
	atomic_fetch_add(&stats->by_status[slot], 1);
	slot = 0;
	while (slot < HTTP_LATENCY_SLOTS - 1 && seconds > http_latency_bounds[slot])
		slot++;
	atomic_fetch_add(&stats->by_latency[slot], 1);
	atomic_fetch_add(&stats->latency_ns_sum, took_ns);
	atomic_fetch_add(&x->server->stats.requests_total, 1);
	atomic_fetch_add(&x->server->stats.sent_bytes_total, x->sent_bytes);
	atomic_fetch_sub(&x->server->stats.running, 1);
}

/* A path is what the peer likes: only what cannot be mistaken for another field goes into the line. */
static void path_text(struct view path, char *text, size_t cap)
{
	size_t len = 0;

	for (size_t i = 0; i < path.len && len + 4 < cap; i++) {
		uint8_t c = path.at[i];

		if (c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\')
			text[len++] = (char)c;
		else
			len += (size_t)snprintf(text + len, 4, "%%%02x", c);
	}
	text[len] = '\0';
}

static void log_exchange(const struct http_exchange *x, uint64_t took_ns)
{
	enum log_level level =
		x->reply.status >= 500 && x->reply.status != 503 && x->reply.status != 501
			? LOG_WARN
			: LOG_INFO;
	char path[160];

	path_text(x->req.path, path, sizeof(path));
	log_line(
		level,
		"request id=%llu peer=%s method=%.*s path=%s status=%d ms=%llu.%03llu bytes=%llu rows=%llu%s%s%s",
		(unsigned long long)x->req.id, x->peer, TEXT(view_sub(x->head.method_text, 0, 16)),
		*path ? path : "-", x->reply.status, (unsigned long long)(took_ns / NS_PER_MS),
		(unsigned long long)(took_ns % NS_PER_MS / NS_PER_US),
		(unsigned long long)x->sent_bytes, (unsigned long long)x->req.rows,
		level == LOG_WARN ? " error=\"" : "", level == LOG_WARN ? x->error : "",
		level == LOG_WARN ? "\"" : "");
	if (x->req.detail)
		log_debug("request detail id=%llu filter=\"%s\" error=\"%s\"",
			  (unsigned long long)x->req.id, x->req.detail, x->error);
}

static void exchange_free(struct http_exchange *x)
{
	uint64_t took_ns = clock_mono_ns() - x->begun_ns;

	count(x, took_ns);
	log_exchange(x, took_ns);
	http_reply_release(&x->reply);
	wr_release(&x->pending);
	wr_release(&x->body);
	cond_release(&x->moved);
	arena_release(&x->req.arena);
	mem_free(x);
}

void http_exchange_drop(struct http_exchange *x)
{
	bool last;

	lock_take(&x->server->lock);
	last = --x->refs == 0;
	lock_drop(&x->server->lock);
	if (last)
		exchange_free(x);
}

void http_exchange_gone(struct http_exchange *x)
{
	struct http_server *server = x->server;

	atomic_store(&x->req.cancel, true);
	lock_take(&server->lock);
	x->gone = true;
	if (!x->done)
		atomic_fetch_add(&server->stats.cancelled_total, 1);
	if (x->mailed) {
		struct http_exchange **at = &server->mail;

		while (*at != x)
			at = &(*at)->next_mail;
		*at = x->next_mail;
		x->mailed = false;
	}
	cond_wake_all(&x->moved);
	lock_drop(&server->lock);
}

/* ---- the answer ---- */

void http_error_json(struct wr *out, int rc, const struct err *err)
{
	struct json json;
	const char *words = err && err->code && err->text[0] ? err->text : err_text(rc);

	json_init(&json, out, false);
	json_object(&json);
	json_key(&json, "error");
	json_object(&json);
	json_kcstr(&json, "code", err_name(rc));
	json_kcstr(&json, "message", words);
	if (err && (rc == E_SYNTAX || err->position))
		json_ku64(&json, "position", err->position);
	if (rc == E_BUDGET || rc == E_TIMEOUT)
		json_kcstr(&json, "hint",
			   "ask for a shorter range, a narrower filter or fewer groups");
	else if (rc == E_BUSY)
		json_kcstr(&json, "hint", "ask again in a moment");
	else if (rc == E_EXPIRED)
		json_kcstr(&json, "hint",
			   "GET /api/v1/horizon tells how far back the store reaches");
	json_object_end(&json);
	json_kcstr(&json, "message", words);
	json_object_end(&json);
	wr_u8(out, '\n');
}

void http_exchange_fail(struct http_exchange *x, int rc, int status, const struct err *err)
{
	(void)snprintf(x->error, sizeof(x->error), "%.*s", (int)sizeof(x->error) - 1,
		       err && err->text[0] ? err->text : err_text(rc));
	if (x->reply.begun)
		return;
	wr_reset(&x->reply.out);
	x->reply.type = "application/json";
	x->reply.status = status ? status : err_http(rc);
	if (x->reply.status == 503)
		wr_str(&x->reply.headers, "Retry-After: 1\r\n");
	http_error_json(&x->reply.out, rc, err);
}

/* Hand what is ready to the loop; with wait, until the client has taken enough. */
static int post(struct http_exchange *x, bool wait, bool done)
{
	struct http_server *server = x->server;
	struct http_reply *reply = &x->reply;
	bool wake = false;
	int rc = 0;

	lock_take(&server->lock);
	if (!x->gone) {
		x->flight_bytes += reply->wire.len;
		x->sent_bytes += reply->wire.len;
		if (x->pending.len == 0) { /* the usual case: no copy */
			struct wr empty = x->pending;

			x->pending = reply->wire;
			reply->wire = empty;
		} else {
			wr_bytes(&x->pending, wr_view(&reply->wire));
		}
		x->cut = reply->broken || x->pending.bad;
		wake = !x->mailed;
		if (wake) {
			x->next_mail = server->mail;
			server->mail = x;
			x->mailed = true;
		}
	}
	x->done = done;
	lock_drop(&server->lock);
	wr_reset(&reply->wire);
	if (wake)
		http_wake(server);
	if (!wait)
		return 0;
	lock_take(&server->lock);
	while (!x->gone && x->flight_bytes > HTTP_FLIGHT_BYTES)
		(void)cond_wait(&x->moved, &server->lock, 0);
	if (x->gone)
		rc = E_CANCELLED;
	lock_drop(&server->lock);
	return rc;
}

void http_exchange_run(struct http_exchange *x)
{
	struct err err = { 0 };
	int rc = E_CANCELLED;

	if (!atomic_load(&x->req.cancel))
		rc = x->req.route->handler(x->server->opts.ctx, &x->req, &err);
	/* HEAD stops a long answer at its first piece: that is no failure. */
	if (rc == E_CANCELLED && x->reply.head_only && x->reply.begun &&
	    !atomic_load(&x->req.cancel))
		rc = 0;
	if (rc >= 0)
		rc = http_reply_end(&x->reply, &err);
	if (rc < 0) {
		http_exchange_fail(x, rc, 0, &err);
		if (x->reply.begun)
			x->reply.broken = true;
		else
			(void)http_reply_end(&x->reply, NULL);
	}
	/* Before the client can know of the end: its next request must not meet a pool that looks full. */
	atomic_fetch_sub(&x->server->pools[x->req.route->pool].taken, 1);
	(void)post(x, false, true);
	http_exchange_drop(x);
}

int http_flush(struct http_request *req, struct err *err)
{
	struct http_exchange *x = exchange_of(req);
	int rc;

	if (atomic_load(&req->cancel))
		return err_set(err, E_CANCELLED, "the client is gone");
	rc = http_reply_hand_over(&x->reply, err);
	if (rc < 0)
		return rc;
	rc = post(x, true, false);
	if (rc < 0)
		return err_set(err, rc, "the client is gone");
	return x->reply.head_only ? E_CANCELLED : 0;
}

int http_pump(struct http_request *req, struct err *err)
{
	struct http_exchange *x = exchange_of(req);

	if (x->reply.out.len < HTTP_PUMP_BYTES && !x->reply.out.bad)
		return atomic_load(&req->cancel) ? err_set(err, E_CANCELLED, "the client is gone")
						 : 0;
	return http_flush(req, err);
}

bool http_sleep(struct http_request *req, uint64_t ns)
{
	struct http_exchange *x = exchange_of(req);
	uint64_t until_ns = clock_mono_ns() + ns, now_ns;
	bool go_on;

	if (x->reply.out.len && http_flush(req, NULL) < 0)
		return false;
	lock_take(&x->server->lock);
	/* cancel is set without the lock: look again from time to time */
	while (!x->gone && !atomic_load(&req->cancel) && (now_ns = clock_mono_ns()) < until_ns) {
		uint64_t left_ns = until_ns - now_ns;

		(void)cond_wait(&x->moved, &x->server->lock,
				left_ns < 100 * NS_PER_MS ? left_ns : 100 * NS_PER_MS);
	}
	go_on = !x->gone && !atomic_load(&req->cancel);
	lock_drop(&x->server->lock);
	return go_on;
}

void http_status(struct http_request *req, int status)
{
	exchange_of(req)->reply.status = status;
}

void http_type(struct http_request *req, const char *type)
{
	exchange_of(req)->reply.type = type;
}

void http_header(struct http_request *req, const char *name, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	http_reply_header(&exchange_of(req)->reply, name, fmt, args);
	va_end(args);
}

void http_unbuffered(struct http_request *req)
{
	exchange_of(req)->reply.unbuffered = true;
}

struct wr *http_out(struct http_request *req)
{
	return &exchange_of(req)->reply.out;
}

/* ---- parameters ---- */

struct view http_param(const struct http_request *req, const char *name)
{
	for (size_t i = req->params_count; i-- > 0;)
		if (view_is(req->params[i].name, name))
			return req->params[i].value;
	return view_make(NULL, 0);
}

int http_param_u64(const struct http_request *req, const char *name, uint64_t fallback,
		   uint64_t max, uint64_t *ret_value, struct err *err)
{
	struct view text = http_param(req, name);
	int rc;

	if (text.len == 0) {
		*ret_value = fallback;
		return 0;
	}
	rc = view_u64(text, max, ret_value);
	if (rc == E_RANGE)
		return err_set(err, rc, "parameter %s: %.*s is more than %llu", name,
			       TEXT(view_sub(text, 0, 40)), (unsigned long long)max);
	if (rc < 0)
		return err_set(err, rc, "parameter %s: \"%.*s\" is no number", name,
			       TEXT(view_sub(text, 0, 40)));
	return 0;
}

int http_param_bool(const struct http_request *req, const char *name, bool fallback,
		    bool *ret_value, struct err *err)
{
	struct view text = http_param(req, name);

	if (!text.at)
		*ret_value = fallback;
	else if (text.len == 0 || view_is(text, "1") || view_ieq(text, "true") ||
		 view_ieq(text, "yes") || view_ieq(text, "on"))
		*ret_value = true;
	else if (view_is(text, "0") || view_ieq(text, "false") || view_ieq(text, "no") ||
		 view_ieq(text, "off"))
		*ret_value = false;
	else
		return err_set(err, E_FORMAT, "parameter %s: \"%.*s\" is neither 1 nor 0", name,
			       TEXT(view_sub(text, 0, 40)));
	return 0;
}

int http_param_word(const struct http_request *req, const char *name, const char *words,
		    unsigned *ret_index, struct err *err)
{
	struct view text = http_param(req, name);
	unsigned index = 0;

	if (text.len == 0) {
		*ret_index = 0;
		return 0;
	}
	for (const char *word = words; *word; index++) {
		size_t len = strcspn(word, " ");

		if (len == text.len && memcmp(word, text.at, len) == 0) {
			*ret_index = index;
			return 0;
		}
		word += len + (word[len] == ' ');
	}
	return err_set(err, E_UNKNOWN_NAME, "parameter %s: \"%.*s\" is none of: %s", name,
		       TEXT(view_sub(text, 0, 40)), words);
}
