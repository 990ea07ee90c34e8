/*
 * FTP's control connection (RFC 959): FEAT (RFC 2389), EPRT and EPSV (RFC 2428), AUTH TLS
 * (RFC 4217), MLST (RFC 3659).
 *
 * A command is a call; a preliminary reply (1yz) and the one behind it answer the same
 * call. The greeting, and a 421 unasked, are calls without a request. 4yz is the server's
 * error, 5yz the client's. Passwords reach no row. What the data connections carry
 * is not read here; where they go stands in target and answers.
 */
#include "wire/fold.h"
#include "wire/lines.h"

#include <stdio.h>

#define PORT_FTP	21
#define PORT_POP3	110
#define LINE_MAX_BYTES	8192
#define TARGET_MAX	1024
#define USER_MAX	128

static const char *const names[] = {
	"USER", "PASS", "ACCT", "ADAT", "AUTH", "PORT", "EPRT", "PASV", "EPSV", "TYPE", "STRU", "MODE", "RETR", "STOR", "STOU",
	"APPE", "ALLO", "REST", "RNFR", "RNTO", "ABOR", "DELE", "RMD", "MKD", "PWD", "LIST", "NLST", "SITE", "SYST", "STAT", "HELP",
	"NOOP", "FEAT", "OPTS", "PBSZ", "PROT", "CCC", "MIC", "CONF", "ENC", "LANG", "MDTM", "MLSD", "MLST", "SIZE", "MFMT", "HOST",
	"CWD", "CDUP", "SMNT", "QUIT", "REIN", "XCWD", "XMKD", "XRMD", "XPWD", "XCUP", "CLNT", "HASH", "XSHA1", "XMD5", "XCRC", NULL,
};
enum verb { USER, PASS, ACCT, ADAT, AUTH, PORT, EPRT, PASV, EPSV };

struct ftp_conn {
	struct line_dir dir[2];
	struct line_calls calls;	/* tag: the verb + 1, or TAG_UNKNOWN */
	bool roles, sure;
	uint8_t client;
	bool greeted;			/* or that was missed */
	uint16_t code;			/* of the reply in progress, which ends with it and a blank; 0: none */
	struct call *rsp;
	uint8_t login_len, user_len;
	char login[USER_MAX], user[USER_MAX];
};

#define TAG_UNKNOWN 0xff

static void end_call(struct ftp_conn *conn, struct call_sink *sink, struct call *call, uint8_t reason)
{
	if (conn->rsp == call)
		conn->rsp = NULL;
	lines_end(sink, &conn->calls, call, reason);
}

/* ---- commands ---- */

/* "h1,h2,h3,h4,p1,p2", anywhere in text, as 1.2.3.4:5 */
static bool host_port(struct view text, char *to, size_t cap)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned part[6], n = 0;
		size_t k = i;

		if (text.at[i] < '0' || text.at[i] > '9')
			continue;
		while (n < 6) {
			unsigned value = 0, digits = 0;

			while (k < text.len && text.at[k] >= '0' && text.at[k] <= '9' && digits < 4) {
				value = value * 10 + text.at[k++] - '0';
				digits++;
			}
			if (!digits || value > 255)
				break;
			part[n++] = value;
			if (n < 6 && (k >= text.len || text.at[k++] != ','))
				break;
		}
		if (n == 6) {
			(void)snprintf(to, cap, "%u.%u.%u.%u:%u", part[0], part[1], part[2], part[3], part[4] << 8 | part[5]);
			return true;
		}
		while (i < text.len && text.at[i] >= '0' && text.at[i] <= '9')
			i++;
	}
	return false;
}

/* "|1|1.2.3.4|5|" or "|||5|" with any delimiter, anywhere in text */
static bool extended_port(struct view text, char *to, size_t cap)
{
	ptrdiff_t open = view_find(text, VIEW_LIT("("));
	struct view field[3];
	uint8_t delimiter;

	text = view_sub(text, (size_t)(open + 1), text.len);
	if (!text.len)
		return false;
	delimiter = text.at[0];
	text = view_sub(text, 1, text.len);
	for (unsigned i = 0; i < 3; i++) {
		const uint8_t *end = text.len ? memchr(text.at, delimiter, text.len) : NULL;

		if (!end)
			return false;
		field[i] = view_sub(text, 0, (size_t)(end - text.at));
		text = view_sub(text, field[i].len + 1, text.len);
	}
	if (field[1].len)
		(void)snprintf(to, cap, memchr(field[1].at, ':', field[1].len) ? "[%.*s]:%.*s" : "%.*s:%.*s",
			       (int)(field[1].len < 64 ? field[1].len : 64), (const char *)field[1].at,
			       (int)(field[2].len < 5 ? field[2].len : 5), (const char *)field[2].at);
	else
		(void)snprintf(to, cap, "port %.*s", (int)(field[2].len < 5 ? field[2].len : 5), (const char *)field[2].at);
	return field[2].len > 0;
}

static void set_target(struct ftp_conn *conn, struct call_sink *sink, struct call *call, enum verb verb, struct view rest)
{
	char text[TARGET_MAX];

	switch (verb) {
	case USER:
		rest = view_sub(rest, 0, USER_MAX);
		memcpy(conn->login, rest.len ? rest.at : (const uint8_t *)"", rest.len);
		conn->login_len = (uint8_t)rest.len;
		CALL_TEXT(sink, call, user, rest, USER_MAX);
		return;
	case PASS:
	case ACCT:
	case ADAT:
		return;
	case PORT:
	case EPRT:
		if (verb == PORT ? host_port(rest, text, sizeof(text)) : extended_port(rest, text, sizeof(text)))
			rest = view_str(text);
		break;
	default:
		break;
	}
	CALL_TEXT(sink, call, target, rest, TARGET_MAX);
	if (ROW_HAS(CALL, &call->row, target)) {
		size_t len = fold_key(call->row.target, text, sizeof(text));

		CALL_TEXT(sink, call, target_template, view_make(text, len), sizeof(text));
	}
}

/* An ABOR comes behind Telnet's "interrupt" and "synch" (RFC 959 4.1.3). */
static struct view without_telnet(struct view line)
{
	while (line.len && line.at[0] >= 0xf0)
		line = view_sub(line, 1, line.len);
	return line;
}

static int take_command(struct lines *l, const struct line *line)
{
	struct ftp_conn *conn = l->conn;
	struct view rest = without_telnet(line->text), word = line_word(&rest);
	int found = line_find(word, names);
	struct call *call;

	if (found < 0 && !conn->sure)
		return LINE_BAD;
	call = lines_request(l, &conn->calls, L7_ftp, line);
	conn->greeted = true;
	if (found == AUTH)
		l->dir->mode = LINES_WAIT;
	if (!call)
		return LINE_OK;
	call->tag = found < 0 ? TAG_UNKNOWN : (uint64_t)found + 1;
	CALL_TEXT(l->sink, call, method, found < 0 ? VIEW_LIT("UNKNOWN") : view_str(names[found]), 16);
	if (found >= 0)
		set_target(conn, l->sink, call, (enum verb)found, rest);
	if (!ROW_HAS(CALL, &call->row, user))
		CALL_TEXT(l->sink, call, user, view_make(conn->user, conn->user_len), USER_MAX);
	return LINE_OK;
}

/* ---- replies ---- */

static void begin_reply(struct lines *l, const struct line *line, const struct reply *reply)
{
	struct ftp_conn *conn = l->conn;
	struct call *call = lines_head(l, &conn->calls);

	conn->code = reply->code;
	conn->rsp = call;
	conn->greeted |= !l->chunk->begun;
	if (call && !call->has_rsp)
		call_response_begin(call, l->chunk, line->off);
	if (!call && (!conn->calls.unopened || conn->calls.waiting.head)) {
		conn->rsp = call = lines_unasked(l, L7_ftp, line);
		if (!call)
			return;
		if (!conn->greeted || reply->code == 421)
			CALL_TEXT(l->sink, call, method, conn->greeted ? VIEW_LIT("CLOSING") : VIEW_LIT("GREETING"), 16);
	}
	/* of several lines the first tells */
	if (call && reply->more)
		reply_set(l->sink, call, reply);
}

static void set_answers(struct call_sink *sink, struct call *call, const struct reply *reply)
{
	char text[128];

	if (reply->code == 227 && host_port(reply->text, text, sizeof(text)))
		CALL_TEXT(sink, call, answers, view_str(text), sizeof(text));
	else if (reply->code == 229 && extended_port(reply->text, text, sizeof(text)))
		CALL_TEXT(sink, call, answers, view_str(text), sizeof(text));
	else if (reply->code == 213 || reply->code == 215 || reply->code == 257)
		CALL_TEXT(sink, call, answers, reply->text, sizeof(text));
}

static int end_reply(struct lines *l, const struct reply *reply)
{
	struct ftp_conn *conn = l->conn;
	struct call *call = conn->rsp;
	bool first = !call || !ROW_HAS(CALL, &call->row, status) || call->row.status < 200;
	struct line_dir *client = &conn->dir[conn->client];

	conn->code = 0;
	conn->rsp = NULL;
	if (call && first)
		reply_set(l->sink, call, reply);
	if (call && !call->has_req) {
		bool asked = conn->greeted && reply->code != 421;

		end_call(conn, l->sink, call, asked ? CALL_END_complete : CALL_END_oneway);
	} else if (reply->code >= 200) {
		if (!call)
			conn->calls.unopened -= conn->calls.unopened > 0;
		if (call)
			set_answers(l->sink, call, reply);
		if (reply->code == 230 || reply->code == 232) {
			memcpy(conn->user, conn->login, conn->login_len);
			conn->user_len = conn->login_len;
		}
		conn->sure |= call && call->tag != TAG_UNKNOWN;
		if (call)
			end_call(conn, l->sink, call, CALL_END_complete);
	}
	conn->greeted |= reply->code >= 200;
	if (client->mode != LINES_WAIT || conn->calls.waiting.head || conn->calls.unopened)
		return LINE_OK;
	client->mode = LINES_LINE;
	return reply->code == 234 ? LINE_TLS : LINE_OK;
}

static int take_reply(struct lines *l, const struct line *line)
{
	struct ftp_conn *conn = l->conn;
	struct reply reply;
	bool is_reply = reply_line(line->text, &reply);

	/* within "230-" and "230 " anything may stand */
	if (conn->code && (!is_reply || reply.code != conn->code || reply.more)) {
		if (conn->rsp)
			call_response_end(conn->rsp, l->chunk, line->end_off);
		return LINE_OK;
	}
	if (!is_reply)
		return conn->sure ? LINE_OK : LINE_BAD;
	if (!conn->code)
		begin_reply(l, line, &reply);
	if (conn->rsp)
		call_response_end(conn->rsp, l->chunk, line->end_off);
	return reply.more ? LINE_OK : end_reply(l, &reply);
}

/* ---- lines ---- */

static int take(struct lines *l, const struct line *line)
{
	struct ftp_conn *conn = l->conn;
	struct reply reply;

	if (!conn->roles) {
		bool server = reply_line(line->text, &reply) && reply.defined;
		struct view rest = without_telnet(line->text);

		if (!server && line_find(line_word(&rest), names) < 0)
			return LINE_BAD;
		conn->client = (uint8_t)(server ? !l->d : l->d);
		conn->roles = true;
	}
	return l->d == conn->client ? take_command(l, line) : take_reply(l, line);
}

/* The rest of an overlong line. */
static void body(struct lines *l, uint64_t end_off, bool whole, uint64_t missing)
{
	struct ftp_conn *conn = l->conn;
	struct call *call = l->d == conn->client ? conn->calls.waiting.tail : conn->rsp;

	(void)whole;
	call_missing(call, missing);
	if (!call || !l->chunk)
		return;
	if (l->d == conn->client)
		call_request_end(call, l->chunk, end_off);
	else
		call_response_end(call, l->chunk, end_off);
}

static bool resync(struct lines *l, struct view text)
{
	const struct ftp_conn *conn = l->conn;
	struct reply reply;

	if (l->d != conn->client)
		return reply_line(text, &reply) && reply.defined;
	text = without_telnet(text);
	return line_find(line_word(&text), names) >= 0;
}

static void lost(struct lines *l, uint64_t len)
{
	struct ftp_conn *conn = l->conn;

	if (l->d == conn->client) {
		lines_lost_commands(&conn->calls);
		return;
	}
	conn->code = 0;
	if (conn->rsp && !conn->rsp->has_req)
		end_call(conn, l->sink, conn->rsp, CALL_END_gap);
	conn->rsp = NULL;
	lines_lost_answers(l, &conn->calls, len);
	if (conn->dir[conn->client].mode == LINES_WAIT)
		conn->dir[conn->client].mode = LINES_LINE;
}

static const struct line_ops line_ops = {
	.line_max = LINE_MAX_BYTES, .in_order = true, .take = take, .body = body, .resync = resync, .lost = lost,
};

static int64_t ftp_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct ftp_conn *conn = at;
	struct lines l = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return lines_feed(&l, &line_ops);
}

static int ftp_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct ftp_conn *conn = at;
	struct lines l = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	return conn->roles ? lines_gap(&l, &line_ops, off, len) : E_FORMAT;
}

static void ftp_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct ftp_conn *conn = at;

	if (conn->rsp && !conn->rsp->has_req)
		end_call(conn, sink, conn->rsp, reason);
	call_fifo_end_open(&conn->calls.waiting, sink, reason);
}

/* ---- is it FTP ---- */

static enum guess guess_server(struct view line, bool port)
{
	struct reply reply;

	if (!reply_line(line, &reply) || !reply.defined || line_has(line, "SMTP") || line_has(line, "LMTP"))
		return GUESS_NO;
	if (reply.code != 220 && reply.code != 120)
		return port ? GUESS_MAYBE : GUESS_NO;
	/* a greeting that names no protocol: the client's first word will */
	return port || line_has(line, "FTP") ? GUESS_YES : GUESS_MORE;
}

static enum guess guess_client(struct view line, bool port)
{
	struct view word = line_word(&line);

	/* one name: IRC's USER has four. A POP3 server would have been known by what it said first */
	if (view_ieq(word, "USER") && line.len && !memchr(line.at, ' ', line.len))
		return GUESS_YES;
	if ((view_ieq(word, "AUTH") && (view_ieq(line, "TLS") || view_ieq(line, "SSL"))) || (view_ieq(word, "FEAT") && !line.len))
		return GUESS_YES;
	return port && line_find(word, names) >= 0 ? GUESS_MAYBE : GUESS_NO;
}

static enum guess ftp_guess(struct view bytes, const struct guess_hint *hint)
{
	static const char *const begins[] = { "220 ", "220-", "USER ", "AUTH TLS", "FEAT", NULL };
	bool port = hint->src_port == PORT_FTP || hint->dst_port == PORT_FTP;
	struct view line;

	if (hint->proto != PROTO_tcp || !bytes.len || hint->src_port == PORT_POP3 || hint->dst_port == PORT_POP3)
		return GUESS_NO;
	if (!line_next(&bytes, &line))
		return bytes.len < 1024 && line_may_start(bytes, begins) ? GUESS_MORE : GUESS_NO;
	return line.len && line.at[0] >= '1' && line.at[0] <= '6' ? guess_server(line, port) : guess_client(line, port);
}

/* ---- detail ---- */

static int ftp_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	struct view line, rest = request, word;
	char text[128];

	if (request.len) {
		if (!line_next(&rest, &line))
			line = request;
		line = without_telnet(line);
		rest = line;
		word = line_word(&rest);
		json_key(json, "request");
		json_object(json);
		show_command(json, line, line_find(word, names) < 0 || view_ieq(word, "PASS") || view_ieq(word, "ACCT") ||
			     view_ieq(word, "ADAT"));
		if ((view_ieq(word, "PORT") && host_port(rest, text, sizeof(text))) ||
		    (view_ieq(word, "EPRT") && extended_port(rest, text, sizeof(text))))
			json_kcstr(json, "data_connection", text);
		json_object_end(json);
	}
	if (response.len) {
		struct reply reply;

		json_key(json, "response");
		json_object(json);
		show_replies(json, response, body_max > 4096 ? body_max : 4096, false);
		if (reply_line(view_sub(response, 0, 512), &reply) &&
		    ((reply.code == 227 && host_port(reply.text, text, sizeof(text))) ||
		     (reply.code == 229 && extended_port(reply.text, text, sizeof(text)))))
			json_kcstr(json, "data_connection", text);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}

const struct proto_ops proto_ftp = {
	.id = L7_ftp,
	.name = "ftp",
	.title = "FTP",
	.conn_size = sizeof(struct ftp_conn),
	.hold_bytes = (size_t)16 << 10,
	.guess = ftp_guess,
	.feed = ftp_feed,
	.gap = ftp_gap,
	.close = ftp_close,
	.detail = ftp_detail,
};
