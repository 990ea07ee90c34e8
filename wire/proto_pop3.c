/*
 * POP3 (RFC 1939): CAPA and pipelining (RFC 2449), STLS (RFC 2595), SASL (RFC 5034).
 *
 * A command is a call, AUTH and its challenges are one; answers come in order, some with a
 * body that ends with a line of one dot. The greeting is a call without a request. -ERR
 * is the client's error unless [SYS/...] says otherwise. Passwords reach no row.
 */
#include "wire/http_body.h"
#include "wire/lines.h"
#include "wire/sasl.h"
#include "wire/secret.h"

#define PORT_POP3	110
#define LINE_MAX_BYTES	8192
#define TARGET_MAX	256
#define TEXT_MAX	200

static const char *const names[] = {
	"RETR", "TOP", "CAPA", "LIST", "UIDL", "AUTH", "USER", "PASS", "APOP", "STLS", "STAT", "DELE", "NOOP", "RSET", "QUIT",
	"LAST", "UTF8", "LANG", "XTND", NULL,
};
enum verb { RETR, TOP, CAPA, LIST, UIDL, AUTH, USER, PASS, APOP, STLS, STAT };

/* call->tag: the verb + 1, and */
enum { TAG_VERB = 0xff, TAG_UNKNOWN = 0xff, TAG_BODY = 0x100 };	/* BODY: its +OK is followed by one */

struct pop3_conn {
	struct line_dir dir[2];
	struct line_calls calls;
	bool roles, sure;
	uint8_t client;
	bool greeted;
	bool secret;		/* the client's next line answers a challenge */
	uint8_t auth_step;
	uint8_t login_len, user_len, mechanism_len;
	struct call *rsp;	/* the server's body in progress belongs to it */
	uint64_t body_off;
	char login[SASL_USER_MAX], user[SASL_USER_MAX], mechanism[32];
};

static enum verb call_verb(const struct call *call)
{
	return (enum verb)((call->tag & TAG_VERB) - 1);
}

static void end_call(struct pop3_conn *conn, struct call_sink *sink, struct call *call, uint8_t reason)
{
	if (conn->rsp == call)
		conn->rsp = NULL;
	lines_end(sink, &conn->calls, call, reason);
}

/* The end of the body was in the hole: who asks further has it. */
static void body_lost(struct lines *l)
{
	struct pop3_conn *conn = l->conn;

	conn->dir[!conn->client].mode = LINES_LINE;
	conn->dir[!conn->client].lost = true;
	end_call(conn, l->sink, conn->rsp, CALL_END_gap);
}

/* ---- commands ---- */

static void take_auth_line(struct pop3_conn *conn, struct view line)
{
	struct view mechanism = view_make(conn->mechanism, conn->mechanism_len);

	if (!conn->login_len)
		conn->login_len = (uint8_t)sasl_user(mechanism, conn->auth_step, line, conn->login);
	conn->auth_step = conn->auth_step < UINT8_MAX ? conn->auth_step + 1 : UINT8_MAX;
}

static void note_login(struct pop3_conn *conn, struct view user)
{
	user = view_sub(user, 0, SASL_USER_MAX);
	memcpy(conn->login, user.len ? user.at : (const uint8_t *)"", user.len);
	conn->login_len = (uint8_t)user.len;
}

static void set_request(struct lines *l, struct call *call, enum verb verb, struct view rest)
{
	struct pop3_conn *conn = l->conn;

	switch (verb) {
	case USER:
		note_login(conn, rest);
		break;
	case APOP:
		note_login(conn, line_word(&rest));
		break;
	case PASS:
		break;
	case AUTH:
		conn->auth_step = conn->login_len = conn->mechanism_len = 0;
		if (rest.len) {
			struct view mechanism = line_word(&rest);

			mechanism = line_upper(mechanism, conn->mechanism, sizeof(conn->mechanism));
			conn->mechanism_len = (uint8_t)mechanism.len;
			CALL_TEXT(l->sink, call, target, mechanism, TARGET_MAX);
			CALL_TEXT(l->sink, call, target_template, mechanism, TARGET_MAX);
			if (rest.len)
				take_auth_line(conn, rest);
		} else {
			call->tag |= TAG_BODY;	/* which mechanisms are there? */
		}
		return;
	default:
		CALL_TEXT(l->sink, call, target, rest, TARGET_MAX);
		if (rest.len)
			CALL_TEXT(l->sink, call, target_template, VIEW_LIT("{id}"), TARGET_MAX);
		if (verb <= CAPA || ((verb == LIST || verb == UIDL) && !rest.len))
			call->tag |= TAG_BODY;
		return;
	}
	if (verb == USER || verb == APOP)
		CALL_TEXT(l->sink, call, user, view_make(conn->login, conn->login_len), SASL_USER_MAX);
}

static int take_command(struct lines *l, const struct line *line)
{
	struct pop3_conn *conn = l->conn;
	struct view rest = line->text, word = line_word(&rest);
	int found = line_find(word, names);
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
	if (conn->rsp && conn->rsp->row.missing_bytes)
		body_lost(l);
	call = lines_request(l, &conn->calls, L7_pop3, line);
	conn->greeted = true;
	if (found == STLS)
		l->dir->mode = LINES_WAIT;
	if (!call)
		return LINE_OK;
	call->tag = found < 0 ? TAG_UNKNOWN : (uint64_t)found + 1;
	CALL_TEXT(l->sink, call, method, found < 0 ? VIEW_LIT("UNKNOWN") : view_str(names[found]), 16);
	if (found >= 0)
		set_request(l, call, (enum verb)found, rest);
	if (!ROW_HAS(CALL, &call->row, user))
		CALL_TEXT(l->sink, call, user, view_make(conn->user, conn->user_len), SASL_USER_MAX);
	return LINE_OK;
}

/* ---- answers ---- */

static void set_status(struct call_sink *sink, struct call *call, bool ok, struct view text)
{
	bool server = view_istarts(text, "[SYS/") || view_istarts(text, "[IN-USE]");

	CALL_TEXT(sink, call, status_text, ok ? VIEW_LIT("+OK") : VIEW_LIT("-ERR"), 8);
	ROW_SET(CALL, &call->row, status_class, ok ? CLASS_ok : server ? CLASS_server_error : CLASS_client_error);
	if (!ok)
		call_error(sink, call, "%.*s", text.len ? (int)text.len : 4, text.len ? (const char *)text.at : "-ERR");
	else if (call->has_req && (call_verb(call) == STAT || (!(call->tag & TAG_BODY) && call_verb(call) <= UIDL)))
		CALL_TEXT(sink, call, answers, text, TEXT_MAX);
}

static void note_success(struct lines *l, struct call *call)
{
	struct pop3_conn *conn = l->conn;
	enum verb verb = call_verb(call);

	if (verb == AUTH)
		CALL_TEXT(l->sink, call, user, view_make(conn->login, conn->login_len), SASL_USER_MAX);
	if (verb == PASS || verb == APOP || (verb == AUTH && !(call->tag & TAG_BODY))) {
		memcpy(conn->user, conn->login, conn->login_len);
		conn->user_len = conn->login_len;
	}
}

static int take_unasked(struct lines *l, const struct line *line, bool ok, struct view text)
{
	struct pop3_conn *conn = l->conn;
	struct call *call;

	if (conn->calls.unopened && !conn->calls.waiting.head) {
		conn->calls.unopened--;
		return LINE_OK;
	}
	conn->greeted |= !l->chunk->begun;
	call = lines_unasked(l, L7_pop3, line);
	if (call) {
		if (!conn->greeted)
			CALL_TEXT(l->sink, call, method, VIEW_LIT("GREETING"), 16);
		set_status(l->sink, call, ok, text);
		end_call(conn, l->sink, call, conn->greeted ? CALL_END_complete : CALL_END_oneway);
	}
	conn->greeted = true;
	return LINE_OK;
}

static int take_answer(struct lines *l, const struct line *line)
{
	struct pop3_conn *conn = l->conn;
	struct view text = line->text, word = line_word(&text);
	bool ok = view_is(word, "+OK"), bad = view_is(word, "-ERR");
	struct call *call;
	struct line_dir *client = &conn->dir[conn->client];
	int rc = LINE_OK;

	if (!ok && !bad && !view_is(word, "+"))
		return conn->sure ? LINE_OK : LINE_BAD;
	call = lines_head(l, &conn->calls);
	if (!ok && !bad) {	/* a challenge */
		conn->secret = true;
		if (call && !call->has_rsp)
			call_response_begin(call, l->chunk, line->off);
		if (call)
			call_response_end(call, l->chunk, line->end_off);
		else
			conn->mechanism_len = 0;
		return LINE_OK;
	}
	if (!call)
		return take_unasked(l, line, ok, text);
	conn->secret = false;
	conn->sure = conn->greeted = true;
	if (call->has_rsp)	/* AUTH: what counts is when the last one came */
		ROW_SET(CALL, &call->row, rsp_first_ns, chunk_time(l->chunk, line->off));
	else
		call_response_begin(call, l->chunk, line->off);
	call_response_end(call, l->chunk, line->end_off);
	set_status(l->sink, call, ok, text);
	if (ok)
		note_success(l, call);
	if (ok && call->tag & TAG_BODY) {
		conn->rsp = call;
		conn->body_off = line->end_off;
		lines_body_dot(l->dir);
		return LINE_OK;
	}
	end_call(conn, l->sink, call, CALL_END_complete);
	if (client->mode == LINES_WAIT && !conn->calls.waiting.head && !conn->calls.unopened) {
		client->mode = LINES_LINE;
		rc = ok ? LINE_TLS : LINE_OK;
	}
	return rc;
}

/* ---- lines ---- */

static int take(struct lines *l, const struct line *line)
{
	struct pop3_conn *conn = l->conn;

	if (!conn->roles) {
		struct view rest = line->text, word = line_word(&rest);
		bool server = view_is(word, "+OK") || view_is(word, "-ERR") || view_is(word, "+");

		if (!server && line_find(word, names) < 0)
			return LINE_BAD;
		conn->client = (uint8_t)(server ? !l->d : l->d);
		conn->roles = true;
	}
	return l->d == conn->client ? take_command(l, line) : take_answer(l, line);
}

static void body(struct lines *l, uint64_t end_off, bool whole, uint64_t missing)
{
	struct pop3_conn *conn = l->conn;
	struct call *call = l->d == conn->client ? conn->calls.waiting.tail : conn->rsp;

	call_missing(call, missing);
	if (missing && l->d != conn->client && call && conn->calls.waiting.count > 1)
		body_lost(l);
	if (!call || !l->chunk)
		return;
	if (l->d == conn->client) {
		call_request_end(call, l->chunk, end_off);
		return;
	}
	call_response_end(call, l->chunk, end_off);
	if (end_off > conn->body_off)
		ROW_SET(CALL, &call->row, rsp_body_bytes, end_off - conn->body_off - (whole ? lines_dot_bytes(l->dir) : 0));
	if (whole)
		end_call(conn, l->sink, call, CALL_END_complete);
}

static bool resync(struct lines *l, struct view text)
{
	const struct pop3_conn *conn = l->conn;
	struct view word = line_word(&text);

	return l->d == conn->client ? line_find(word, names) >= 0 : view_is(word, "+OK") || view_is(word, "-ERR");
}

static void lost(struct lines *l, uint64_t len)
{
	struct pop3_conn *conn = l->conn;

	conn->secret = false;
	if (l->d == conn->client) {
		lines_lost_commands(&conn->calls);
		return;
	}
	conn->rsp = NULL;
	lines_lost_answers(l, &conn->calls, len);
	if (conn->dir[conn->client].mode == LINES_WAIT)
		conn->dir[conn->client].mode = LINES_LINE;
}

static const struct line_ops line_ops = {
	.line_max = LINE_MAX_BYTES, .in_order = true, .take = take, .body = body, .resync = resync, .lost = lost,
};

static int64_t pop3_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct pop3_conn *conn = at;
	struct lines l = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return lines_feed(&l, &line_ops);
}

static int pop3_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct pop3_conn *conn = at;
	struct lines l = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	return conn->roles ? lines_gap(&l, &line_ops, off, len) : E_FORMAT;
}

static void pop3_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct pop3_conn *conn = at;

	call_fifo_end_open(&conn->calls.waiting, sink, reason);
}

/* ---- is it POP3 ---- */

static enum guess pop3_guess(struct view bytes, const struct guess_hint *hint)
{
	static const char *const begins[] = { "+OK", "CAPA", "APOP ", "STLS", "-ERR", NULL };
	static const char *const own[] = { "CAPA", "UIDL", "STLS", "APOP", NULL };
	bool port = hint->src_port == PORT_POP3 || hint->dst_port == PORT_POP3;
	struct view line, word;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	if (!line_next(&bytes, &line))
		return bytes.len < 1024 && line_may_start(bytes, begins) ? GUESS_MORE : GUESS_NO;
	word = line_word(&line);
	if (view_is(word, "+OK") || view_is(word, "-ERR")) {
		if (port || (line_has(line, "POP") && word.at[0] == '+'))
			return GUESS_YES;
		/* a greeting that names no protocol; Redis says +OK and no more */
		return word.at[0] == '+' && line.len && hint->dir == 1 ? GUESS_YES : GUESS_NO;
	}
	if (line_find(word, own) >= 0)
		return port || !line.len ? GUESS_YES : GUESS_NO;
	return port && line_find(word, names) >= 0 ? GUESS_YES : GUESS_NO;
}

/* ---- detail ---- */

static int pop3_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	struct view line = response, rest = request, word = { NULL, 0 };
	bool message = false;

	if (request.len) {
		if (!line_next(&rest, &line))
			line = request;
		word = line;
		word = line_word(&word);
		message = view_ieq(word, "RETR") || view_ieq(word, "TOP");
		json_key(json, "request");
		json_object(json);
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
			show_command(json, line, view_ieq(word, "PASS") || view_ieq(word, "APOP") || line_find(word, names) < 0);
		}
		json_object_end(json);
	}
	if (response.len) {
		json_key(json, "response");
		json_object(json);
		line = response;
		while (line_next(&response, &line) && view_starts(line, "+ "))
			;	/* challenges */
		word = line;
		word = line_word(&line);
		json_kstr(json, "status", word);
		json_kstr(json, "text", line);
		if (response.len >= 3 && memcmp(response.at + response.len - 3, ".\r\n", 3) == 0)
			response.len -= 3;
		if (message)
			show_message(json, response, body_max);
		else if (response.len)
			(void)body_show(view_sub(response, 0, body_max), response.len > body_max, json);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}

const struct proto_ops proto_pop3 = {
	.id = L7_pop3,
	.name = "pop3",
	.title = "POP3",
	.conn_size = sizeof(struct pop3_conn),
	.hold_bytes = (size_t)16 << 10,
	.guess = pop3_guess,
	.feed = pop3_feed,
	.gap = pop3_gap,
	.close = pop3_close,
	.detail = pop3_detail,
};
