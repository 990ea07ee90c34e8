/*
 * SMTP (RFC 5321) and LMTP (RFC 2033): pipelining (RFC 2920), CHUNKING (RFC 3030),
 * AUTH (RFC 4954), STARTTLS (RFC 3207), enhanced status codes (RFC 3463).
 *
 * A command is a call; replies come in order. DATA and its message are one call, and
 * so are AUTH and its challenges: the last reply counts. The server's greeting, and
 * what else it says unasked, are calls without a request. Status 4yz (try again) is the
 * server's error, 5yz the client's. STARTTLS hands over to TLS. Credentials never reach a row but for the user's name.
 */
#include "wire/lines.h"
#include "wire/sasl.h"
#include "wire/secret.h"

#define LINE_MAX_BYTES	((size_t)13 << 10)	/* RFC 4954: 12,288 in AUTH */
#define TARGET_MAX	320			/* RFC 5321 4.5.3.1: 64 @ 255 */
#define HOST_MAX	128
#define CAPS_MAX	512

static const char *const names[] = {
	"EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "AUTH", "STARTTLS", "RSET", "QUIT", "NOOP", "VRFY", "EXPN",
	"HELP", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML", "BURL", "XCLIENT", "XFORWARD", NULL,
};
enum verb { EHLO, HELO, LHLO, MAIL, RCPT, DATA, BDAT, AUTH, STARTTLS, RSET, QUIT, NOOP };

/* call->tag: the verb + 1 (0: no request), and */
enum {
	TAG_VERB = 0xff,
	TAG_GO = 0x100,		/* DATA: 354 was seen. AUTH: 334 */
	TAG_LAST = 0x200,	/* BDAT: the message is whole */
};

struct smtp_conn {
	struct line_dir dir[2];
	struct line_calls calls;
	bool roles, sure;
	uint8_t client;
	bool greeted;		/* whatever the server says next answers something */
	bool lmtp;
	bool in_reply;		/* its last line is still to come */
	bool secret;		/* the client's next line answers a challenge */
	uint8_t auth_step;	/* lines of the client that answered challenges */
	uint16_t rcpts;		/* LMTP: accepted ones, each gets a reply to the message */
	uint16_t replies;	/* LMTP: replies to the message so far */
	uint64_t body_off;
	struct call *body;	/* the client's body in progress belongs to it */
	struct call *rsp;	/* the reply in progress belongs to it */
	uint16_t code;		/* of the reply in progress */
	uint16_t caps_len;
	uint8_t host_len, user_len, login_len, version_len, mechanism_len;
	char host[HOST_MAX], user[SASL_USER_MAX], login[SASL_USER_MAX], version[8], mechanism[32], caps[CAPS_MAX];
};

static struct line_dir *client_dir(struct smtp_conn *conn)
{
	return &conn->dir[conn->client];
}

static enum verb call_verb(const struct call *call)
{
	return (enum verb)((call->tag & TAG_VERB) - 1);
}

static void end_call(struct smtp_conn *conn, struct call_sink *sink, struct call *call, uint8_t reason)
{
	if (conn->body == call)
		conn->body = NULL;
	if (conn->rsp == call)
		conn->rsp = NULL;
	lines_end(sink, &conn->calls, call, reason);
}

/* ---- commands ---- */

static struct view address(struct view text)
{
	ptrdiff_t from = view_find(text, VIEW_LIT("<"));
	struct view colon = text;

	if (from >= 0) {
		size_t n = 0;

		text = view_sub(text, (size_t)from + 1, text.len);
		while (n < text.len && text.at[n] != '>')
			n++;
		return n ? view_sub(text, 0, n) : VIEW_LIT("<>");
	}
	from = view_find(colon, VIEW_LIT(":"));
	text = view_trim(view_sub(text, (size_t)(from + 1), text.len));
	return line_word(&text);
}

static void set_target(struct call_sink *sink, struct call *call, enum verb verb, struct view rest)
{
	char folded[TARGET_MAX];

	if (verb == MAIL || verb == RCPT) {
		struct view who = address(rest);

		CALL_TEXT(sink, call, target, who, TARGET_MAX);
		if (!view_is(who, "<>"))
			who = view_make(folded, fold_address(who, folded, sizeof(folded)));
		CALL_TEXT(sink, call, target_template, who, TARGET_MAX);
		return;
	}
	if (verb == AUTH)
		rest = line_word(&rest);
	else if (verb == DATA || verb == BDAT)
		return;
	CALL_TEXT(sink, call, target, rest, TARGET_MAX);
	if (verb == AUTH || verb <= LHLO)
		CALL_TEXT(sink, call, target_template, rest, TARGET_MAX);
}

static void take_auth_line(struct smtp_conn *conn, struct view line)
{
	struct view mechanism = view_make(conn->mechanism, conn->mechanism_len);

	if (!conn->login_len)
		conn->login_len = (uint8_t)sasl_user(mechanism, conn->auth_step, line, conn->login);
	conn->auth_step = conn->auth_step < UINT8_MAX ? conn->auth_step + 1 : UINT8_MAX;
}

static void begin_auth(struct smtp_conn *conn, struct view rest)
{
	struct view mechanism = line_word(&rest);

	conn->auth_step = conn->login_len = 0;
	conn->mechanism_len = (uint8_t)line_upper(mechanism, conn->mechanism, sizeof(conn->mechanism)).len;
	if (rest.len)
		take_auth_line(conn, rest);
}

static void begin_body(struct lines *l, const struct line *line, struct call *call, enum verb verb, struct view rest)
{
	struct smtp_conn *conn = l->conn;
	uint64_t bytes;

	conn->body = call;
	conn->body_off = line->end_off;
	if (verb == DATA) {
		lines_body_dot(l->dir);
		return;
	}
	if (view_u64(line_word(&rest), UINT64_MAX / 2, &bytes) < 0)
		bytes = 0;
	if (call) {
		ROW_SET(CALL, &call->row, req_body_bytes, bytes);
		if (view_ieq(line_word(&rest), "LAST"))
			call->tag |= TAG_LAST;
	}
	lines_body_bytes(l->dir, line->end_off, bytes);
}

static int take_command(struct lines *l, const struct line *line)
{
	struct smtp_conn *conn = l->conn;
	struct view rest = line->text, word = line_word(&rest);
	int found = line_find(word, names);
	enum verb verb = (enum verb)found;
	struct call *call;

	if (conn->secret) {
		call = conn->calls.waiting.head;
		conn->secret = false;
		take_auth_line(conn, line->text);
		if (call && call_verb(call) == AUTH)
			call_request_end(call, l->chunk, line->end_off);
		return LINE_OK;
	}
	if (found < 0 && !conn->sure)
		return LINE_BAD;
	call = lines_request(l, &conn->calls, L7_smtp, line);
	conn->greeted = true;
	if (verb == MAIL || verb == RSET || verb <= LHLO)
		conn->rcpts = 0;
	if (found >= 0 && verb <= LHLO) {
		conn->lmtp = verb == LHLO;
		memcpy(conn->version, verb == EHLO ? "ESMTP" : verb == HELO ? "SMTP" : "LMTP", 5);
		conn->version_len = verb == EHLO ? 5 : 4;
	}
	if (call) {
		call->tag = (uint64_t)(found + 1);
		CALL_TEXT(l->sink, call, method, found < 0 ? VIEW_LIT("UNKNOWN") : view_str(names[found]), 16);
		CALL_TEXT(l->sink, call, host, view_make(conn->host, conn->host_len), HOST_MAX);
		CALL_TEXT(l->sink, call, user, view_make(conn->user, conn->user_len), SASL_USER_MAX);
		CALL_TEXT(l->sink, call, version, view_make(conn->version, conn->version_len), 8);
		if (found >= 0)
			set_target(l->sink, call, verb, rest);
		else
			call->tag = TAG_VERB;
	}
	if (found >= 0 && verb == AUTH)
		begin_auth(conn, rest);
	else if (found >= 0 && (verb == DATA || verb == BDAT))
		begin_body(l, line, call, verb, rest);
	else if (found >= 0 && verb == STARTTLS)
		l->dir->mode = LINES_WAIT;
	return LINE_OK;
}

/* ---- replies ---- */

static void set_host(struct smtp_conn *conn, struct view text)
{
	struct view name = line_word(&text);

	if (view_find(name, VIEW_LIT(".")) <= 0)
		return;
	name = view_sub(name, 0, HOST_MAX);
	memcpy(conn->host, name.at, name.len);
	conn->host_len = (uint8_t)name.len;
}

/* The first line of a reply: whose is it? */
static void begin_reply(struct lines *l, const struct line *line, const struct reply *reply)
{
	struct smtp_conn *conn = l->conn;
	struct call *call = lines_head(l, &conn->calls);

	if (!conn->calls.waiting.head)	/* in doubt: the body's is over, too */
		conn->body = NULL;
	conn->in_reply = true;
	conn->code = reply->code;
	conn->caps_len = 0;
	conn->rsp = call;
	conn->greeted |= !l->chunk->begun;
	if (call && call->has_rsp)	/* DATA, AUTH: what counts is when the last one came */
		ROW_SET(CALL, &call->row, rsp_first_ns, chunk_time(l->chunk, line->off));
	else if (call)
		call_response_begin(call, l->chunk, line->off);
	if (call || (conn->calls.unopened && !conn->calls.waiting.head))
		return;
	conn->rsp = call = lines_unasked(l, L7_smtp, line);
	if (!conn->greeted && reply->code / 100 == 2)
		set_host(conn, reply->text);
	if (!call)
		return;
	if (!conn->greeted || reply->code == 421)
		CALL_TEXT(l->sink, call, method, conn->greeted ? VIEW_LIT("CLOSING") : VIEW_LIT("GREETING"), 16);
	CALL_TEXT(l->sink, call, host, view_make(conn->host, conn->host_len), HOST_MAX);
	CALL_TEXT(l->sink, call, version, view_make(conn->version, conn->version_len), 8);
}

/* EHLO's answer: a capability a line, behind the first. */
static void add_capability(struct smtp_conn *conn, struct view text)
{
	size_t need = text.len + (conn->caps_len ? 1 : 0);

	if (!text.len || need > CAPS_MAX - (size_t)conn->caps_len)
		return;
	if (conn->caps_len)
		conn->caps[conn->caps_len++] = ',';
	memcpy(conn->caps + conn->caps_len, text.at, text.len);
	conn->caps_len = (uint16_t)(conn->caps_len + text.len);
}

/* The text behind a refused DATA or AUTH is commands again, or is not looked at. */
static void body_over(struct smtp_conn *conn)
{
	struct line_dir *dir = client_dir(conn);

	if (dir->mode == LINES_DOT) {
		dir->mode = LINES_LINE;
		dir->lost = dir->match != 0;	/* text was sent already */
	}
	conn->body = NULL;
}

/* A message is over for LMTP when each accepted recipient has its reply. */
static bool message_replies_left(struct smtp_conn *conn, const struct call *call)
{
	bool message = call_verb(call) == DATA || (call_verb(call) == BDAT && call->tag & TAG_LAST);

	if (!conn->lmtp || !message || (call_verb(call) == DATA && !(call->tag & TAG_GO)))
		return false;
	return ++conn->replies < conn->rcpts;
}

/* The last line of a reply that answers nothing we know of. */
static void end_unasked(struct lines *l, struct call *call, const struct reply *reply)
{
	struct smtp_conn *conn = l->conn;
	bool asked = conn->greeted && reply->code != 421;

	if (!call && conn->calls.unopened && reply->code / 100 != 3)
		conn->calls.unopened--;
	if (reply->code >= 400 && !conn->calls.waiting.head)
		body_over(conn);
	if (!call)
		return;
	reply_set(l->sink, call, reply);
	if (reply->code == 354 && !conn->calls.waiting.head)	/* the DATA before it was not seen */
		lines_body_dot(client_dir(conn));
	conn->secret = reply->code == 334;
	conn->mechanism_len = 0;
	end_call(conn, l->sink, call, asked ? CALL_END_complete : CALL_END_oneway);
}

static void note_success(struct smtp_conn *conn, const struct call *call)
{
	switch (call_verb(call)) {
	case RCPT:
		conn->rcpts = (uint16_t)(conn->rcpts + (conn->rcpts < UINT16_MAX));
		break;
	case AUTH:
		memcpy(conn->user, conn->login, conn->login_len);
		conn->user_len = conn->login_len;
		break;
	default:
		break;
	}
}

static void end_asked(struct lines *l, struct call *call, const struct reply *reply)
{
	struct smtp_conn *conn = l->conn;
	uint8_t reason = CALL_END_complete;

	if ((call_verb(call) == DATA && reply->code == 354) || (call_verb(call) == AUTH && reply->code == 334)) {
		call->tag |= TAG_GO;
		conn->replies = 0;
		conn->secret = reply->code == 334;
		return;
	}
	if (call->row.status_class <= CLASS_ok)	/* of several (LMTP) the first one that is no success counts */
		reply_set(l->sink, call, reply);
	if (message_replies_left(conn, call))
		return;
	conn->replies = 0;
	if (call_verb(call) == DATA) {
		if (conn->body == call) {
			if (reply->code < 300)	/* taken whole, but not seen so */
				reason = CALL_END_gap;
			body_over(conn);
		}
		conn->rcpts = 0;
	} else if (call_verb(call) == AUTH) {
		conn->secret = false;
		CALL_TEXT(l->sink, call, user, view_make(conn->login, conn->login_len), SASL_USER_MAX);
	} else if (call_verb(call) <= LHLO) {
		CALL_TEXT(l->sink, call, answers, view_make(conn->caps, conn->caps_len), CAPS_MAX);
		conn->sure = true;
	}
	if (reply->code < 300)
		note_success(conn, call);
	end_call(conn, l->sink, call, reason);
}

/* The last line of a reply. True: TLS begins behind it. */
static bool end_reply(struct lines *l, const struct reply *reply)
{
	struct smtp_conn *conn = l->conn;
	struct call *call = conn->rsp;

	conn->in_reply = false;
	conn->rsp = NULL;
	if (call && call->has_req)
		end_asked(l, call, reply);
	else
		end_unasked(l, call, reply);
	conn->greeted = true;
	if (client_dir(conn)->mode != LINES_WAIT || conn->calls.waiting.head || conn->calls.unopened)
		return false;
	client_dir(conn)->mode = LINES_LINE;
	return reply->code < 300;
}

static int take_reply(struct lines *l, const struct line *line)
{
	struct smtp_conn *conn = l->conn;
	struct reply reply;

	if (!reply_line(line->text, &reply)) {
		if (!conn->sure)
			return LINE_BAD;
		if (conn->rsp)	/* a server that breaks its lines */
			call_response_end(conn->rsp, l->chunk, line->end_off);
		return LINE_OK;
	}
	if (!conn->in_reply)
		begin_reply(l, line, &reply);
	else
		add_capability(conn, reply.text);
	if (conn->rsp)
		call_response_end(conn->rsp, l->chunk, line->end_off);
	if (conn->greeted && conn->calls.waiting.count)
		conn->sure = true;
	if (reply.more)
		return LINE_OK;
	return end_reply(l, &reply) ? LINE_TLS : LINE_OK;
}

/* ---- lines ---- */

static int take(struct lines *l, const struct line *line)
{
	struct smtp_conn *conn = l->conn;
	struct reply reply;

	if (!conn->roles) {
		bool server = reply_line(line->text, &reply) && reply.defined;
		struct view rest = line->text;

		if (!server && line_find(line_word(&rest), names) < 0)
			return LINE_BAD;
		conn->client = (uint8_t)(server ? !l->d : l->d);
		conn->roles = true;
	}
	return l->d == conn->client ? take_command(l, line) : take_reply(l, line);
}

static void body(struct lines *l, uint64_t end_off, bool whole, uint64_t missing)
{
	struct smtp_conn *conn = l->conn;
	struct call *call = l->d == conn->client ? conn->body : conn->rsp;

	call_missing(call, missing);
	if (l->d != conn->client) {
		if (call && l->chunk)
			call_response_end(call, l->chunk, end_off);
		return;
	}
	if (call && l->chunk) {
		call_request_end(call, l->chunk, end_off);
		if (call_verb(call) == DATA && end_off > conn->body_off)
			ROW_SET(CALL, &call->row, req_body_bytes, end_off - conn->body_off - (whole ? lines_dot_bytes(l->dir) : 0));
	}
	if (whole)
		conn->body = NULL;
}

static bool resync(struct lines *l, struct view text)
{
	const struct smtp_conn *conn = l->conn;
	struct reply reply;

	if (l->d == conn->client)
		return line_find(line_word(&text), names) >= 0;
	return reply_line(text, &reply) && reply.defined && reply.code < 560;
}

static void lost(struct lines *l, uint64_t len)
{
	struct smtp_conn *conn = l->conn;

	if (l->d == conn->client) {
		call_missing(conn->body, len);
		conn->body = NULL;
		conn->secret = false;
		lines_lost_commands(&conn->calls);
		return;
	}
	conn->in_reply = false;
	if (conn->rsp && !conn->rsp->has_req)
		end_call(conn, l->sink, conn->rsp, CALL_END_gap);
	conn->body = conn->rsp = NULL;
	lines_lost_answers(l, &conn->calls, len);
}

static const struct line_ops line_ops = {
	.line_max = LINE_MAX_BYTES, .in_order = true, .take = take, .body = body, .resync = resync, .lost = lost,
};

static int64_t smtp_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct smtp_conn *conn = at;
	struct lines l = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return lines_feed(&l, &line_ops);
}

static int smtp_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct smtp_conn *conn = at;
	struct lines l = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	if (!conn->roles)
		return E_FORMAT;
	return lines_gap(&l, &line_ops, off, len);
}

static void smtp_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct smtp_conn *conn = at;

	if (conn->rsp && !conn->rsp->has_req)	/* a greeting cut short: it does not wait with the others */
		end_call(conn, sink, conn->rsp, reason);
	call_fifo_end_open(&conn->calls.waiting, sink, reason);
}

/* ---- is it SMTP ---- */

static bool is_port(uint16_t port)
{
	return port == 25 || port == 587 || port == 2525 || port == 24;
}

static enum guess guess_server(struct view line, bool port, uint16_t code)
{
	if (line_has(line, "ESMTP") || line_has(line, "SMTP ") || line_has(line, "LMTP"))
		return code == 220 || code == 421 || code == 554 ? GUESS_YES : port ? GUESS_MAYBE : GUESS_NO;
	if (port)
		return line_has(line, "FTP") ? GUESS_NO : code == 220 ? GUESS_YES : GUESS_MAYBE;
	/* a greeting that names no protocol: the client's first word will */
	return code == 220 && !line_has(line, "FTP") ? GUESS_MORE : GUESS_NO;
}

static enum guess smtp_guess(struct view bytes, const struct guess_hint *hint)
{
	static const char *const sure[] = { "EHLO ", "HELO ", "LHLO ", "MAIL FROM:", "RCPT TO:", NULL };
	static const char *const hello[] = { "EHLO ", "HELO ", "LHLO ", "MAIL FROM:", "RCPT TO:", "220 ", "220-", NULL };
	bool port = is_port(hint->src_port) || is_port(hint->dst_port);
	struct view line, rest = bytes;
	struct reply reply;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	if (!line_next(&rest, &line)) {
		if (bytes.len > LINE_MAX_BYTES)
			return GUESS_NO;
		return line_may_start(bytes, hello) ? GUESS_MORE : GUESS_NO;
	}
	for (const char *const *name = sure; *name; name++)
		if (view_istarts(line, *name))
			return GUESS_YES;
	if (reply_line(line, &reply) && reply.defined)
		return guess_server(line, port, reply.code);
	return port && line_find(line_word(&line), names) >= 0 ? GUESS_MAYBE : GUESS_NO;
}

/* ---- detail ---- */

static void show_request(struct view request, size_t body_max, struct json *json)
{
	struct view line, rest = request, word;
	uint64_t bytes;

	json_key(json, "request");
	json_object(json);
	if (!line_next(&rest, &line)) {
		line = request;
		rest = view_make("", 0);
	}
	word = line;
	word = line_word(&word);
	if (view_ieq(word, "AUTH")) {
		struct view args = view_sub(line, word.len + 1, line.len), mechanism = line_word(&args);

		json_kcstr(json, "command", "AUTH");
		json_kstr(json, "mechanism", mechanism);
		json_key(json, "responses");
		json_array(json);
		for (bool more = args.len; more || line_next(&rest, &line); more = false)
			json_cstr(json, SECRET_MASK);
		json_array_end(json);
	} else {
		/* what no server knows may be a secret in a wrong place */
		show_command(json, line, line_find(word, names) < 0);
	}
	if (view_ieq(word, "DATA") && rest.len) {
		if (rest.len >= 3 && memcmp(rest.at + rest.len - 3, ".\r\n", 3) == 0)
			rest.len -= 3;
		json_ku64(json, "bytes", rest.len);
		show_message(json, rest, body_max);
	} else if (view_ieq(word, "BDAT")) {
		(void)line_word(&line);
		if (view_u64(line_word(&line), UINT64_MAX / 2, &bytes) == 0)
			rest = view_sub(rest, 0, bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX);
		show_message(json, rest, body_max);
	}
	json_object_end(json);
}

static int smtp_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	if (request.len)
		show_request(request, body_max, json);
	if (response.len) {
		json_key(json, "response");
		json_object(json);
		show_replies(json, response, body_max > 4096 ? body_max : 4096, true);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}

const struct proto_ops proto_smtp = {
	.id = L7_smtp,
	.name = "smtp",
	.title = "SMTP",
	.conn_size = sizeof(struct smtp_conn),
	.hold_bytes = (size_t)16 << 10,
	.guess = smtp_guess,
	.feed = smtp_feed,
	.gap = smtp_gap,
	.close = smtp_close,
	.detail = smtp_detail,
};
