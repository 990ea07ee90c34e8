/*
 * Microsoft TDS, version 7 ([MS-TDS]), as SQL Server and Sybase's heirs speak it, and the
 * login of versions 4.2 and 5.0.
 *
 * A message is one packet or several; a response follows its request. Of responses
 * the tokens at the beginning and at the end are read: errors, and how many rows
 * there were. TLS inside pre-login packets and as bare records is passed over, so a
 * connection that encrypts its login alone is read on behind it.
 */
#include "wire/dissect.h"
#include "wire/fold.h"
#include "wire/tds_msg.h"

#include <stdio.h>

#define PORT_TDS	1433
#define TEMPLATE_MAX	1024
#define NAME_MAX_TEXT	128
#define SHOW_REQUEST	((uint64_t)12 << 10)
#define SHOW_PACKET	((uint64_t)1 << 10)	/* of a response's packet that is not the last */
#define TLS_HEAD_BYTES	5

struct tds_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting;	/* tag: packet type */
	bool roles, sure;
	uint8_t client;
	bool open[2];			/* a message is in progress: more packets of it follow */
	bool last[2];			/* the frame in progress is its last */
	struct call *current[2];
	uint8_t db_len, user_len, version_len;
	char db[NAME_MAX_TEXT], user[NAME_MAX_TEXT], version[16];
};

static void end_call(struct tds_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	for (unsigned d = 0; d < 2; d++)
		if (conn->current[d] == call)
			conn->current[d] = NULL;
	call->rsp_whole = call->has_rsp && reason == CALL_END_complete;
	if (reason == CALL_END_complete && call->row.status_class == CLASS_none)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	call_end(sink, call, reason == CALL_END_complete && !call->has_req ? CALL_END_no_request : reason);
}

/* ---- requests ---- */

static void set_sql(struct call_sink *sink, struct call *call, struct view wide, const char *method)
{
	char sql[TDS_TEXT_MAX], text[TEMPLATE_MAX];
	struct view utf8 = view_make(sql, tds_text(wide, sql, sizeof(sql)));

	if (method)
		CALL_TEXT(sink, call, method, view_str(method), NAME_MAX_TEXT);
	else
		CALL_TEXT(sink, call, method, view_make(text, fold_sql_verb(utf8, text, 64)), NAME_MAX_TEXT);
	CALL_TEXT(sink, call, target, utf8, TDS_TEXT_MAX);
	CALL_TEXT(sink, call, target_template, view_make(text, fold_sql(utf8, 0, text, sizeof(text))), TEMPLATE_MAX);
	CALL_TEXT(sink, call, table, fold_sql_table(utf8), 128);
}

static void take_login(struct tds_conn *conn, struct call_sink *sink, struct call *call, struct view body, bool old)
{
	struct tds_login login;
	char text[NAME_MAX_TEXT];
	int n;

	CALL_TEXT(sink, call, method, VIEW_LIT("LOGIN"), NAME_MAX_TEXT);
	if (old ? !tds_login_old(body, &login) : !tds_login(body, &login))
		return;
	conn->user_len = (uint8_t)tds_text(login.user, conn->user, sizeof(conn->user));
	conn->db_len = (uint8_t)tds_text(login.db, conn->db, sizeof(conn->db));
	n = login.version ? snprintf(conn->version, sizeof(conn->version), "%u.%u", login.version >> 28, login.version >> 24 & 15) : 0;
	conn->version_len = (uint8_t)(n > 0 && n < (int)sizeof(conn->version) ? n : 0);
	CALL_TEXT(sink, call, target, view_make(conn->db, conn->db_len), NAME_MAX_TEXT);
	CALL_TEXT(sink, call, target_template, view_make(conn->db, conn->db_len), NAME_MAX_TEXT);
	CALL_TEXT(sink, call, user_agent, view_make(text, tds_text(login.app, text, sizeof(text))), sizeof(text));
	CALL_TEXT(sink, call, host, view_make(text, tds_text(login.server, text, sizeof(text))), sizeof(text));
}

static void take_rpc(struct call_sink *sink, struct call *call, struct view body)
{
	char text[NAME_MAX_TEXT];
	struct tds_rpc rpc;

	if (!tds_rpc(body, &rpc)) {
		CALL_TEXT(sink, call, method, VIEW_LIT("RPC"), NAME_MAX_TEXT);
		return;
	}
	if (rpc.sql.len) {
		set_sql(sink, call, rpc.sql, NULL);
		return;
	}
	CALL_TEXT(sink, call, method, VIEW_LIT("RPC"), NAME_MAX_TEXT);
	if (rpc.name)
		CALL_TEXT(sink, call, target, view_str(rpc.name), NAME_MAX_TEXT);
	else
		CALL_TEXT(sink, call, target, view_make(text, tds_text(rpc.text, text, sizeof(text))), NAME_MAX_TEXT);
	ROW_SET(CALL, &call->row, target_template, call->row.target);
}

static void take_request(struct frames *f, const struct frame *frame, const struct tds_head *head)
{
	struct tds_conn *conn = f->conn;
	struct view body = view_sub(frame->bytes, TDS_HEAD_BYTES, frame->bytes.len);
	struct call *call;

	if (conn->open[f->d])
		return;		/* goes on */
	conn->current[f->d] = NULL;
	if (head->type == TDS_PRELOGIN && body.len && body.at[0] >= 0x14 && body.at[0] <= 0x17)
		return;		/* TLS in disguise */
	if (head->type == TDS_SSPI && conn->waiting.tail) {
		conn->current[f->d] = conn->waiting.tail;	/* the login goes on */
		return;
	}
	call = call_open(f->sink, L7_tds);
	if (!call)
		return;
	call->tag = head->type;
	call_request_begin(call, f->chunk, frame->off);
	call_request_end(call, f->chunk, frame->off);
	switch (head->type) {
	case TDS_BATCH:
		set_sql(f->sink, call, tds_body(body), NULL);
		if (!ROW_HAS(CALL, &call->row, method))
			CALL_TEXT(f->sink, call, method, VIEW_LIT("SQLBATCH"), NAME_MAX_TEXT);
		break;
	case TDS_RPC:
		take_rpc(f->sink, call, body);
		break;
	case TDS_LOGIN7:
	case TDS_LOGIN_OLD:
		take_login(conn, f->sink, call, body, head->type == TDS_LOGIN_OLD);
		break;
	default:
		CALL_TEXT(f->sink, call, method, view_str(tds_type_name(head->type)), NAME_MAX_TEXT);
		break;
	}
	CALL_TEXT(f->sink, call, db, view_make(conn->db, conn->db_len), NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, user, view_make(conn->user, conn->user_len), NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, version, view_make(conn->version, conn->version_len), sizeof(conn->version));
	call_fifo_put(&conn->waiting, call);
	conn->current[f->d] = call;
}

/* ---- responses ---- */

static void set_error(struct call_sink *sink, struct call *call, const struct tds_error *error)
{
	char text[400];
	size_t len = tds_text(error->text, text, sizeof(text));

	if (call->row.status_class > CLASS_ok)
		return;
	if (error->number > 0 && error->number <= UINT16_MAX)
		ROW_SET(CALL, &call->row, status, (uint16_t)error->number);
	ROW_SET(CALL, &call->row, status_class, error->severity >= 17 ? CLASS_server_error : CLASS_client_error);
	call_error(sink, call, "%d: %.*s", error->number, (int)len, text);
}

static void take_response(struct frames *f, const struct frame *frame, const struct tds_head *head)
{
	struct tds_conn *conn = f->conn;
	struct view tokens = view_sub(frame->bytes, TDS_HEAD_BYTES, frame->bytes.len);
	struct call *call = conn->current[f->d];
	struct tds_error error;
	struct tds_done done;
	bool first = !conn->open[f->d];

	if (head->type == TDS_PRELOGIN && tokens.len && tokens.at[0] >= 0x14 && tokens.at[0] <= 0x17)
		return;
	conn->sure = true;
	if (first) {
		call = conn->waiting.head;
		if (!call) {
			call = call_open(f->sink, L7_tds);
			if (!call)
				return;
			call_fifo_put(&conn->waiting, call);
		}
		if (!call->has_rsp)
			call_response_begin(call, f->chunk, frame->off);
		conn->current[f->d] = call;
	}
	if (!call || call->tag == TDS_PRELOGIN)
		return;
	if (first && tokens.len && (tokens.at[0] == 0xaa || tokens.at[0] == 0xe3 || tokens.at[0] == 0xab) &&
	    tds_find_error(tokens, &error))
		set_error(f->sink, call, &error);
	if (!(head->status & TDS_LAST) || !tds_find_done(tokens, &done))
		return;
	if (done.has_rows)
		ROW_SET(CALL, &call->row, rows, done.rows);
	if (done.error && call->row.status_class == CLASS_none) {
		if (tds_find_error(tokens, &error)) {
			set_error(f->sink, call, &error);
		} else {
			ROW_SET(CALL, &call->row, status_class, CLASS_client_error);
			call_error(f->sink, call, "failed");
		}
	}
}

/* ---- frames ---- */

static bool is_tls(struct view bytes)
{
	return bytes.len >= 2 && bytes.at[0] >= 0x14 && bytes.at[0] <= 0x17 && bytes.at[1] == 3;
}

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct tds_conn *conn = f->conn;
	struct tds_head head;

	if (bytes.len < TDS_HEAD_BYTES)
		return 0;
	if (conn->roles && is_tls(bytes)) {
		*ret_show = TLS_HEAD_BYTES;
		return TLS_HEAD_BYTES + (int64_t)(bytes.at[3] << 8 | bytes.at[4]);
	}
	if (!tds_head(bytes, &head))
		return FRAME_BAD;
	if (!conn->roles) {
		conn->roles = true;
		conn->client = (uint8_t)(head.type == TDS_RESPONSE ? !f->d : f->d);
	}
	if ((f->d == conn->client && head.type == TDS_RESPONSE) ||
	    (f->d != conn->client && head.type != TDS_RESPONSE && head.type != TDS_PRELOGIN))
		return FRAME_BAD;
	if (f->d == conn->client)
		*ret_show = SHOW_REQUEST;
	else
		*ret_show = head.status & TDS_LAST ? head.len : SHOW_PACKET;
	return head.len;
}

static int take(struct frames *f, const struct frame *frame)
{
	struct tds_conn *conn = f->conn;
	struct tds_head head;

	if (is_tls(frame->bytes) || !tds_head(frame->bytes, &head)) {
		conn->current[f->d] = NULL;
		conn->last[f->d] = false;
		return FRAME_OK;
	}
	if (f->d == conn->client)
		take_request(f, frame, &head);
	else
		take_response(f, frame, &head);
	conn->last[f->d] = head.status & TDS_LAST;
	conn->open[f->d] = !conn->last[f->d];
	return FRAME_OK;
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct tds_conn *conn = f->conn;
	struct call *call = conn->current[f->d];

	if (!call)
		return;
	call_missing(call, missing);
	if (f->d != conn->client) {
		call_response_end(call, f->chunk, end_off);
		if (whole && conn->last[f->d]) {
			(void)call_fifo_take(&conn->waiting);	/* it is the head */
			end_call(conn, call, CALL_END_complete, f->sink);
		}
		return;
	}
	call_request_end(call, f->chunk, end_off);
	if (!whole || !conn->last[f->d])
		return;
	conn->current[f->d] = NULL;
	if (call->tag != TDS_ATTENTION)
		return;
	/* answered by the end of the response it cuts short: nothing of its own */
	if (conn->waiting.head == call) {
		(void)call_fifo_take(&conn->waiting);
	} else {
		struct call *prev = conn->waiting.head;

		while (prev->next != call)
			prev = prev->next;
		prev->next = NULL;
		conn->waiting.tail = prev;
		conn->waiting.count--;
	}
	end_call(conn, call, CALL_END_oneway, f->sink);
}

static bool resync(struct frames *f, struct view bytes)
{
	const struct tds_conn *conn = f->conn;
	struct tds_head head;

	return tds_sure(bytes) && tds_head(bytes, &head) && (head.type == TDS_RESPONSE) == (f->d != conn->client);
}

static void lost(struct frames *f, uint64_t len)
{
	struct tds_conn *conn = f->conn;
	struct call *call = conn->current[f->d];

	conn->open[f->d] = false;
	if (f->d == conn->client) {
		call_missing(call, len);
		conn->current[f->d] = NULL;
		return;
	}
	call_missing(conn->waiting.head, len);
	while ((call = call_fifo_take(&conn->waiting)))
		end_call(conn, call, CALL_END_gap, f->sink);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t tds_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct tds_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return frames_feed(&f, &frame_ops);
}

static int tds_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct tds_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return conn->roles ? frames_gap(&f, &frame_ops, len) : E_FORMAT;
}

static void tds_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct tds_conn *conn = at;

	call_fifo_end_open(&conn->waiting, sink, reason);
}

static enum guess tds_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_TDS || hint->dst_port == PORT_TDS;
	struct tds_head head;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	if (!tds_type_name(bytes.at[0]) || (bytes.len > 1 && bytes.at[1] > 0x1f))
		return GUESS_NO;
	if (bytes.len < TDS_HEAD_BYTES)
		return GUESS_MORE;
	if (!tds_head(bytes, &head) || bytes.at[7] != 0)
		return GUESS_NO;
	if (tds_sure(bytes))
		return head.type == TDS_PRELOGIN || head.type == TDS_BATCH || head.type == TDS_LOGIN_OLD || port ? GUESS_YES : GUESS_MAYBE;
	if (bytes.len < head.len && bytes.len < 256)
		return GUESS_MORE;
	return port && bytes.len >= head.len ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_tds = {
	.id = L7_tds,
	.name = "tds",
	.title = "Microsoft TDS",
	.conn_size = sizeof(struct tds_conn),
	.hold_bytes = (size_t)40 << 10,
	.guess = tds_guess,
	.feed = tds_feed,
	.gap = tds_gap,
	.close = tds_close,
	.detail = tds_detail,
};
