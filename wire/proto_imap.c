/*
 * IMAP4rev1 and rev2 (RFC 3501, 9051): literals (RFC 7888), IDLE (RFC 2177), AUTHENTICATE
 * with an initial response (RFC 4959), STARTTLS, COMPRESS (RFC 4978).
 *
 * A command is a call, several may be in flight; the response with its tag ends it. What
 * the server says in between belongs to the oldest one: how many lines of data is `rows`,
 * the literals among them are the body. Unasked data, and the greeting, are calls without
 * a request. NO and BAD are the client's error unless the response code says otherwise.
 * Credentials never reach a row but for the user's name.
 */
#include "base/hash.h"
#include "wire/fold.h"
#include "wire/imap_msg.h"
#include "wire/lines.h"
#include "wire/sasl.h"

#define PORT_IMAP	143
#define LINE_MAX_BYTES	((size_t)32 << 10)
#define TARGET_MAX	512
#define MAILBOX_MAX	128
#define FLIGHT_MAX	256

/* What the client's command waits for before it goes on. */
enum asks { ASKS_NOTHING, ASKS_LITERAL, ASKS_AUTH, ASKS_IDLE, ASKS_SWITCH };

struct imap_conn {
	struct line_dir dir[2];
	struct line_calls calls;	/* tag: hash of the tag */
	bool roles, sure, opaque, greeted;
	uint8_t client;
	uint8_t asks;
	bool partial_open;		/* the client's command goes on behind a literal */
	bool rsp_open;			/* the server's data does */
	uint8_t command;		/* enum imap_command of the client's last one */
	uint8_t auth_step;
	uint8_t login_len, user_len, mechanism_len, mailbox_len;
	uint64_t literal_off, literal_bytes;	/* ASKS_LITERAL */
	uint64_t asker;			/* hash of the tag */
	struct call *partial, *rsp;
	char login[SASL_USER_MAX], user[SASL_USER_MAX], mechanism[32], mailbox[MAILBOX_MAX];
};

static uint64_t tag_hash(struct view tag)
{
	return hash_bytes(tag.len ? tag.at : (const uint8_t *)"", tag.len, 5);
}

static void end_call(struct imap_conn *conn, struct call_sink *sink, struct call *call, uint8_t reason)
{
	if (conn->partial == call)
		conn->partial = NULL;
	if (conn->rsp == call)
		conn->rsp = NULL;
	lines_end(sink, &conn->calls, call, reason);
}

static uint8_t copy_text(char *to, size_t cap, struct view text)
{
	text = view_sub(text, 0, cap);
	memcpy(to, text.len ? text.at : (const uint8_t *)"", text.len);
	return (uint8_t)text.len;
}

/* ---- commands ---- */

/* A literal behind the line, or the end of the command. */
static void end_line(struct lines *l, const struct line *line)
{
	struct imap_conn *conn = l->conn;
	uint64_t bytes;
	bool sync;

	conn->partial_open = imap_literal(line->text, &bytes, &sync);
	if (conn->partial_open) {
		if (conn->partial)
			ROW_SET(CALL, &conn->partial->row, req_body_bytes, conn->partial->row.req_body_bytes + bytes);
		conn->literal_off = line->end_off;
		conn->literal_bytes = bytes;
		if (sync) {
			conn->asks = ASKS_LITERAL;
			l->dir->mode = LINES_WAIT;
		} else {
			lines_body_bytes(l->dir, line->end_off, bytes);
		}
		return;
	}
	conn->partial = NULL;
	switch (conn->command) {
	case IMAP_AUTHENTICATE:
		conn->asks = ASKS_AUTH;
		break;
	case IMAP_IDLE:
		conn->asks = ASKS_IDLE;
		break;
	case IMAP_STARTTLS:
	case IMAP_COMPRESS:
		conn->asks = ASKS_SWITCH;
		l->dir->mode = LINES_WAIT;
		break;
	default:
		break;
	}
}

static void take_auth_line(struct imap_conn *conn, struct view line)
{
	struct view mechanism = view_make(conn->mechanism, conn->mechanism_len);

	if (!conn->login_len)
		conn->login_len = (uint8_t)sasl_user(mechanism, conn->auth_step, line, conn->login);
	conn->auth_step = conn->auth_step < UINT8_MAX ? conn->auth_step + 1 : UINT8_MAX;
}

static void set_target(struct call_sink *sink, struct call *call, struct view target, bool fold)
{
	char text[TARGET_MAX];

	CALL_TEXT(sink, call, target, target, TARGET_MAX);
	if (fold && ROW_HAS(CALL, &call->row, target))
		target = view_make(text, fold_key(call->row.target, text, sizeof(text)));
	CALL_TEXT(sink, call, target_template, target, TARGET_MAX);
}

static void set_request(struct lines *l, struct call *call, struct imap_line *command)
{
	struct imap_conn *conn = l->conn;
	struct view rest = command->rest, mechanism;

	switch (command->command) {
	case IMAP_LOGIN:
		conn->login_len = copy_text(conn->login, sizeof(conn->login), imap_astring(&rest));
		if (call)
			CALL_TEXT(l->sink, call, user, view_make(conn->login, conn->login_len), SASL_USER_MAX);
		return;
	case IMAP_AUTHENTICATE:
		conn->login_len = conn->auth_step = 0;
		mechanism = line_upper(line_word(&rest), conn->mechanism, sizeof(conn->mechanism));
		conn->mechanism_len = (uint8_t)mechanism.len;
		if (call)
			set_target(l->sink, call, mechanism, false);
		if (rest.len)
			take_auth_line(conn, rest);
		return;
	case IMAP_SELECT:
	case IMAP_EXAMINE:
	case IMAP_APPEND:
	case IMAP_STATUS:
		rest = imap_astring(&rest);
		if (call)
			set_target(l->sink, call, rest, false);
		return;
	default:
		if (call)
			set_target(l->sink, call, rest, true);
		return;
	}
}

static int take_command(struct lines *l, const struct line *line)
{
	struct imap_conn *conn = l->conn;
	struct imap_line command;
	struct call *call;

	if (!imap_command_line(line->text, &command) || (!command.name && !conn->sure)) {
		if (!conn->sure)
			return LINE_BAD;
		if (!line->text.len)
			return LINE_OK;
		command = (struct imap_line){ .command = IMAP_OTHER };
	}
	conn->greeted = true;
	conn->command = (uint8_t)command.command;
	conn->asker = tag_hash(command.tag);
	if (conn->calls.waiting.count >= FLIGHT_MAX)
		end_call(conn, l->sink, conn->calls.waiting.head, CALL_END_evicted);
	call = lines_request(l, &conn->calls, L7_imap, line);
	conn->partial = call;
	if (call) {
		call->tag = conn->asker;
		CALL_TEXT(l->sink, call, method, command.name ? view_str(command.name) : VIEW_LIT("UNKNOWN"), 32);
		CALL_TEXT(l->sink, call, collection, view_make(conn->mailbox, conn->mailbox_len), MAILBOX_MAX);
	}
	if (command.name)
		set_request(l, call, &command);
	if (call && !ROW_HAS(CALL, &call->row, user))
		CALL_TEXT(l->sink, call, user, view_make(conn->user, conn->user_len), SASL_USER_MAX);
	end_line(l, line);
	return LINE_OK;
}

static struct call *find(const struct imap_conn *conn, uint64_t tag)
{
	struct call *call = conn->calls.waiting.head;

	while (call && call->tag != tag)
		call = call->next;
	return call;
}

static int take_client(struct lines *l, const struct line *line)
{
	struct imap_conn *conn = l->conn;
	struct call *call;

	if (conn->partial_open) {
		if (conn->partial)
			call_request_end(conn->partial, l->chunk, line->end_off);
		end_line(l, line);
		return LINE_OK;
	}
	if (conn->asks == ASKS_AUTH || (conn->asks == ASKS_IDLE && view_ieq(line->text, "DONE"))) {
		call = find(conn, conn->asker);
		if (call)
			call_request_end(call, l->chunk, line->end_off);
		if (conn->asks == ASKS_AUTH)
			take_auth_line(conn, line->text);
		else
			conn->asks = ASKS_NOTHING;
		return LINE_OK;
	}
	return take_command(l, line);
}

/* ---- responses ---- */

static void set_status(struct call_sink *sink, struct call *call, const struct imap_answer *answer)
{
	static const char *const server[] = { "[UNAVAILABLE]", "[SERVERBUG]", "[INUSE]", "[CONTACTADMIN]", "[LIMIT]", "[CORRUPTION]" };
	bool ok = answer->status == IMAP_OK || answer->status == IMAP_PREAUTH;
	uint8_t class = ok ? CLASS_ok : answer->status == IMAP_BYE ? CLASS_server_error : CLASS_client_error;

	for (size_t i = 0; i < sizeof(server) / sizeof(server[0]); i++)
		if (view_istarts(answer->text, server[i]))
			class = CLASS_server_error;
	CALL_TEXT(sink, call, status_text, view_str(imap_status_name(answer->status)), 8);
	ROW_SET(CALL, &call->row, status_class, class);
	if (!ok)
		call_error(sink, call, "%.*s", (int)answer->text.len, (const char *)answer->text.at);
}

/* The server wants the rest of what it was asked. */
static void take_go(struct lines *l, const struct line *line)
{
	struct imap_conn *conn = l->conn;
	struct call *call = conn->asks == ASKS_NOTHING ? conn->calls.waiting.tail : find(conn, conn->asker);

	if (call) {
		if (!call->has_rsp)
			call_response_begin(call, l->chunk, line->off);
		call_response_end(call, l->chunk, line->end_off);
	}
	if (conn->asks == ASKS_LITERAL) {
		conn->asks = ASKS_NOTHING;
		conn->dir[conn->client].mode = LINES_LINE;
		lines_body_bytes(&conn->dir[conn->client], conn->literal_off, conn->literal_bytes);
	}
}

static void take_untagged(struct lines *l, const struct line *line, const struct imap_answer *answer)
{
	struct imap_conn *conn = l->conn;
	struct call *call = conn->calls.waiting.head;
	char method[32];
	uint64_t bytes;
	bool sync;

	conn->greeted |= !l->chunk->begun;
	if (!call) {
		call = lines_unasked(l, L7_imap, line);
		if (!call)
			return;
		if (answer->status == IMAP_DATA)
			CALL_TEXT(l->sink, call, method, line_upper(answer->kind, method, sizeof(method)), sizeof(method));
		else
			CALL_TEXT(l->sink, call, method, !conn->greeted ? VIEW_LIT("GREETING") : answer->status == IMAP_BYE ?
				VIEW_LIT("CLOSING") : VIEW_LIT("NOTICE"), 16);
		CALL_TEXT(l->sink, call, collection, view_make(conn->mailbox, conn->mailbox_len), MAILBOX_MAX);
		if (answer->status != IMAP_DATA)
			set_status(l->sink, call, answer);
	} else if (!call->has_rsp) {
		call_response_begin(call, l->chunk, line->off);
	}
	conn->rsp = call;
	call_response_end(call, l->chunk, line->end_off);
	if (answer->status == IMAP_DATA) {
		ROW_SET(CALL, &call->row, rows, call->row.rows + 1);
		conn->rsp_open = imap_literal(line->text, &bytes, &sync);
		if (conn->rsp_open) {
			ROW_SET(CALL, &call->row, rsp_body_bytes, call->row.rsp_body_bytes + bytes);
			lines_body_bytes(l->dir, line->end_off, bytes);
			return;
		}
	}
	conn->rsp = NULL;
	if (!call->has_req)
		end_call(conn, l->sink, call, CALL_END_oneway);
}

/* Data goes on behind a literal. */
static void take_rest(struct lines *l, const struct line *line)
{
	struct imap_conn *conn = l->conn;
	struct call *call = conn->rsp;
	uint64_t bytes;
	bool sync;

	if (call)
		call_response_end(call, l->chunk, line->end_off);
	conn->rsp_open = imap_literal(line->text, &bytes, &sync);
	if (conn->rsp_open) {
		if (call)
			ROW_SET(CALL, &call->row, rsp_body_bytes, call->row.rsp_body_bytes + bytes);
		lines_body_bytes(l->dir, line->end_off, bytes);
		return;
	}
	conn->rsp = NULL;
	if (call && !call->has_req)
		end_call(conn, l->sink, call, CALL_END_oneway);
}

static void note_success(struct imap_conn *conn, const struct call *call)
{
	struct view method = call->row.method;

	if (view_is(method, "LOGIN") || view_is(method, "AUTHENTICATE"))
		conn->user_len = copy_text(conn->user, sizeof(conn->user), view_make(conn->login, conn->login_len));
	else if (view_is(method, "SELECT") || view_is(method, "EXAMINE"))
		conn->mailbox_len = copy_text(conn->mailbox, sizeof(conn->mailbox),
					      ROW_HAS(CALL, &call->row, target) ? call->row.target : view_make("", 0));
	else if (view_is(method, "CLOSE") || view_is(method, "UNSELECT"))
		conn->mailbox_len = 0;
}

static int take_tagged(struct lines *l, const struct line *line, const struct imap_answer *answer)
{
	struct imap_conn *conn = l->conn;
	uint64_t tag = tag_hash(answer->tag);
	struct call *call = find(conn, tag);
	struct line_dir *client = &conn->dir[conn->client];
	uint8_t asks = conn->asker == tag ? conn->asks : ASKS_NOTHING;

	conn->greeted = true;
	if (!call && conn->calls.unopened) {
		conn->calls.unopened--;
	} else if (!call) {
		call = lines_unasked(l, L7_imap, line);
		if (call) {
			set_status(l->sink, call, answer);
			end_call(conn, l->sink, call, CALL_END_complete);
		}
	} else {
		conn->sure = true;
		if (!call->has_rsp)
			call_response_begin(call, l->chunk, line->off);
		call_response_end(call, l->chunk, line->end_off);
		set_status(l->sink, call, answer);
		if (view_is(call->row.method, "AUTHENTICATE"))
			CALL_TEXT(l->sink, call, user, view_make(conn->login, conn->login_len), SASL_USER_MAX);
		if (answer->status == IMAP_OK)
			note_success(conn, call);
		end_call(conn, l->sink, call, CALL_END_complete);
	}
	if (asks != ASKS_NOTHING)
		conn->asks = ASKS_NOTHING;
	if (asks == ASKS_LITERAL)	/* refused: the client does not send it */
		conn->partial_open = false;
	if (client->mode == LINES_WAIT && (asks == ASKS_LITERAL || asks == ASKS_SWITCH))
		client->mode = LINES_LINE;
	if (asks != ASKS_SWITCH || answer->status != IMAP_OK)
		return LINE_OK;
	if (conn->command == IMAP_STARTTLS)
		return LINE_TLS;
	conn->opaque = true;
	return LINE_OPAQUE;
}

static int take_server(struct lines *l, const struct line *line)
{
	struct imap_conn *conn = l->conn;
	struct imap_answer answer;

	if (conn->rsp_open) {
		take_rest(l, line);
		return LINE_OK;
	}
	if (!imap_answer(line->text, &answer))
		return conn->sure ? LINE_OK : LINE_BAD;
	if (view_is(answer.tag, "+"))
		take_go(l, line);
	else if (view_is(answer.tag, "*"))
		take_untagged(l, line, &answer);
	else
		return take_tagged(l, line, &answer);
	return LINE_OK;
}

/* ---- lines ---- */

static int take(struct lines *l, const struct line *line)
{
	struct imap_conn *conn = l->conn;
	struct imap_answer answer;
	struct imap_line command;

	if (!conn->roles) {
		bool server = imap_answer(line->text, &answer);

		if (!server && (!imap_command_line(line->text, &command) || !command.name))
			return LINE_BAD;
		conn->client = (uint8_t)(server ? !l->d : l->d);
		conn->roles = true;
	}
	return l->d == conn->client ? take_client(l, line) : take_server(l, line);
}

static void body(struct lines *l, uint64_t end_off, bool whole, uint64_t missing)
{
	struct imap_conn *conn = l->conn;
	struct call *call = l->d != conn->client ? conn->rsp : conn->partial_open ? conn->partial : conn->calls.waiting.tail;

	(void)whole;
	call_missing(call, missing);
	if (!call)
		return;
	if (l->d == conn->client)
		call_request_end(call, l->chunk, end_off);
	else
		call_response_end(call, l->chunk, end_off);
}

static bool resync(struct lines *l, struct view text)
{
	const struct imap_conn *conn = l->conn;
	struct imap_answer answer;
	struct imap_line command;

	if (l->d == conn->client)
		return imap_command_line(text, &command) && command.name;
	return imap_answer(text, &answer) && !view_is(answer.tag, "+") && (answer.status != IMAP_DATA || answer.kind.len > 2);
}

static void lost(struct lines *l, uint64_t len)
{
	struct imap_conn *conn = l->conn;
	struct line_dir *client = &conn->dir[conn->client];
	struct call *call;

	if (l->d == conn->client) {
		call_missing(conn->partial, len);
		conn->partial_open = false;
		conn->partial = NULL;
		return;
	}
	conn->rsp_open = false;
	if (conn->rsp && !conn->rsp->has_req)
		end_call(conn, l->sink, conn->rsp, CALL_END_gap);
	call_missing(conn->calls.waiting.head, len);
	while ((call = conn->calls.waiting.head))
		end_call(conn, l->sink, call, CALL_END_gap);
	conn->calls.unopened = 0;
	if (client->mode == LINES_WAIT) {
		client->mode = LINES_LINE;
		if (conn->asks == ASKS_LITERAL)	/* the server will have agreed */
			lines_body_bytes(client, conn->literal_off, conn->literal_bytes);
	}
	conn->asks = ASKS_NOTHING;
}

static const struct line_ops line_ops = {
	.line_max = LINE_MAX_BYTES, .take = take, .body = body, .resync = resync, .lost = lost,
};

static int64_t imap_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct imap_conn *conn = at;
	struct lines l = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return conn->opaque ? PROTO_SKIP_REST : lines_feed(&l, &line_ops);
}

static int imap_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct imap_conn *conn = at;
	struct lines l = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	if (conn->opaque)
		return 0;
	return conn->roles ? lines_gap(&l, &line_ops, off, len) : E_FORMAT;
}

static void imap_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct imap_conn *conn = at;

	if (conn->rsp && !conn->rsp->has_req)
		end_call(conn, sink, conn->rsp, reason);
	call_fifo_end_open(&conn->calls.waiting, sink, reason);
}

static enum guess imap_guess(struct view bytes, const struct guess_hint *hint)
{
	static const char *const begins[] = { "* OK ", "* PREAUTH ", "* BYE ", NULL };
	bool port = hint->src_port == PORT_IMAP || hint->dst_port == PORT_IMAP;
	struct imap_answer answer;
	struct imap_line command;
	struct view line;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	if (!line_next(&bytes, &line))
		return bytes.len < 4096 && line_may_start(bytes, begins) ? GUESS_MORE : GUESS_NO;
	if (view_starts(line, "* ") && imap_answer(line, &answer))
		return answer.status != IMAP_DATA || port ? GUESS_YES :
		       view_ieq(answer.kind, "FETCH") || view_ieq(answer.kind, "EXISTS") || view_ieq(answer.kind, "CAPABILITY") ?
		       GUESS_MAYBE : GUESS_NO;
	if (imap_command_line(line, &command) && command.name) {
		bool words = command.command < IMAP_IDLE || command.command == IMAP_SELECT || view_starts(view_str(command.name), "UID ") ||
			     view_is(view_str(command.name), "CAPABILITY");

		/* a tag of letters and digits, and words nobody else begins with */
		return port ? GUESS_YES : words && command.tag.at[command.tag.len - 1] >= '0' &&
		       command.tag.at[command.tag.len - 1] <= '9' ? GUESS_YES : GUESS_NO;
	}
	return port && imap_answer(line, &answer) ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_imap = {
	.id = L7_imap,
	.name = "imap",
	.title = "IMAP",
	.conn_size = sizeof(struct imap_conn),
	.hold_bytes = LINE_MAX_BYTES + 1024,
	.guess = imap_guess,
	.feed = imap_feed,
	.gap = imap_gap,
	.close = imap_close,
	.detail = imap_detail,
};
