/*
 * MySQL and MariaDB client/server protocol (dev.mysql.com/doc/dev/mysql-server,
 * page_protocol_basics; mariadb.com/kb/en/clientserver-protocol).
 *
 * A command is a packet with sequence number 0; its answer is read packet by packet,
 * because only its beginning and end say what it is: columns, rows, more results.
 * Whether old EOF packets stand between them follows from the login, or from the first
 * result where the login was not seen. Compression makes the rest opaque; TLS is handed over.
 */
#include "wire/dissect.h"
#include "wire/fold.h"
#include "wire/mysql_msg.h"
#include "wire/statements.h"

#define PORT_MYSQL	3306
#define SQL_MAX		4096
#define TEMPLATE_MAX	1024
#define SHOW_MAX	(SQL_MAX + 4096)	/* of a command: attributes stand before the text */
#define ANSWER_SHOW	400			/* of an answer's packet that tells something */
#define ROW_SHOW	13			/* of a row: is it the end? */
#define NAME_MAX_TEXT	64
#define STATEMENT_LAST	UINT32_MAX	/* MariaDB: the one prepared last */

enum phase { PHASE_GREETING, PHASE_LOGIN, PHASE_COMMAND };
enum eof_mode { EOF_UNKNOWN, EOF_OLD, EOF_NONE };
enum answer { ANSWER_FIRST, ANSWER_COLUMNS, ANSWER_COLUMNS_END, ANSWER_ROWS, ANSWER_PARAMS, ANSWER_INFILE };

struct mysql_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting;	/* tag: command */
	bool roles, sure, opaque, tls;
	uint8_t client;
	uint8_t phase;
	uint8_t eof;
	uint8_t answer;			/* of the call at the head of waiting */
	bool more;			/* the server's packet goes on in the next one */
	bool end_call;			/* the frame in progress ends the head's answer */
	bool rsp;			/* the frame in progress belongs to the head */
	bool attrs_known, attrs;
	bool compress;
	uint64_t columns;		/* definitions still to come */
	uint64_t params, columns_next;	/* of a prepared statement */
	uint32_t server_caps;
	uint8_t last_number;		/* of the server's last packet */
	uint8_t db_len, user_len, version_len;
	char db[NAME_MAX_TEXT], user[NAME_MAX_TEXT], version[NAME_MAX_TEXT];
	uint32_t statement_last;
	struct statements statements;
};

enum { TAG_COMMAND = 0xff, TAG_LOGIN = 0x100 };

static uint8_t copy_name(char *to, struct view name)
{
	name = view_sub(name, 0, NAME_MAX_TEXT);
	memcpy(to, name.len ? name.at : (const uint8_t *)"", name.len);
	return (uint8_t)name.len;
}

/* ---- requests ---- */

static void set_sql(struct call_sink *sink, struct call *call, struct view sql, const char *method)
{
	char text[TEMPLATE_MAX];

	if (method)
		CALL_TEXT(sink, call, method, view_str(method), NAME_MAX_TEXT);
	else
		CALL_TEXT(sink, call, method, view_make(text, fold_sql_verb(sql, text, NAME_MAX_TEXT)), NAME_MAX_TEXT);
	if (!sql.len)
		return;
	CALL_TEXT(sink, call, target, sql, SQL_MAX);
	CALL_TEXT(sink, call, target_template,
		  view_make(text, fold_sql(sql, SQL_QUOTED_STRING, text, sizeof(text))), TEMPLATE_MAX);
	CALL_TEXT(sink, call, table, fold_sql_table(sql), 128);
}

static struct call *open_call(struct frames *f, const struct frame *frame, uint64_t tag)
{
	struct mysql_conn *conn = f->conn;
	struct call *call = call_open(f->sink, L7_mysql);

	if (!call)
		return NULL;
	call->tag = tag;
	if (f->d == conn->client) {
		call_request_begin(call, f->chunk, frame->off);
		call_request_end(call, f->chunk, frame->off);
	}
	CALL_TEXT(f->sink, call, db, view_make(conn->db, conn->db_len), NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, user, view_make(conn->user, conn->user_len), NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, version, view_make(conn->version, conn->version_len), NAME_MAX_TEXT);
	if (!conn->waiting.head || f->d != conn->client)
		conn->answer = ANSWER_FIRST;
	if (f->d == conn->client)
		call_fifo_put(&conn->waiting, call);
	else
		call_fifo_put_first(&conn->waiting, call);
	return call;
}

static int take_login(struct frames *f, const struct frame *frame, struct view payload)
{
	struct mysql_conn *conn = f->conn;
	struct mysql_login login;
	struct call *call;

	if (conn->waiting.tail)
		return FRAME_OK;	/* more of the login: answers to the server's questions */
	if (!mysql_login(payload, conn->server_caps, &login))
		return FRAME_BAD;
	if (login.ssl) {
		call = open_call(f, frame, TAG_LOGIN);
		if (call) {
			CALL_TEXT(f->sink, call, method, VIEW_LIT("SSLREQUEST"), NAME_MAX_TEXT);
			call_request_end(call, f->chunk, frame->off + frame->len);
			(void)call_fifo_take(&conn->waiting);
			call_end(f->sink, call, CALL_END_oneway);
		}
		conn->tls = f->stop = true;
		return FRAME_OK;
	}
	conn->user_len = copy_name(conn->user, login.user);
	conn->db_len = copy_name(conn->db, login.db);
	if (conn->server_caps) {
		uint32_t caps = login.caps & conn->server_caps;

		conn->eof = caps & MYSQL_CAP_DEPRECATE_EOF ? EOF_NONE : EOF_OLD;
		conn->attrs_known = true;
		conn->attrs = caps & MYSQL_CAP_QUERY_ATTRS;
		conn->compress = caps & (MYSQL_CAP_COMPRESS | MYSQL_CAP_ZSTD);
	}
	call = open_call(f, frame, TAG_LOGIN);
	if (!call)
		return FRAME_OK;
	CALL_TEXT(f->sink, call, method, VIEW_LIT("CONNECT"), NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, target, login.db, NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, target_template, login.db, NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, user_agent, login.program, 256);
	return FRAME_OK;
}

static struct view sql_of(const struct mysql_conn *conn, uint32_t id)
{
	return statement_sql(&conn->statements, id == STATEMENT_LAST ? conn->statement_last : id);
}

static bool is_unanswered(uint8_t command)
{
	return command == MYSQL_COM_QUIT || command == MYSQL_COM_CLOSE || command == MYSQL_COM_LONG_DATA;
}

static int take_command(struct frames *f, const struct frame *frame, struct view payload)
{
	struct mysql_conn *conn = f->conn;
	uint8_t command = payload.len ? payload.at[0] : 0;
	const char *name = mysql_command(command);
	struct view rest = view_sub(payload, 1, payload.len);
	struct rd rd = rd_make(rest);
	struct call *call;
	uint32_t id;

	if (!name)
		return FRAME_BAD;
	call = open_call(f, frame, command | (command == MYSQL_COM_CHANGE_USER ? TAG_LOGIN : 0));
	if (!call)
		return FRAME_OK;
	switch (command) {
	case MYSQL_COM_QUERY:
		set_sql(f->sink, call, mysql_query(payload, conn->attrs_known ? conn->attrs : -1), NULL);
		if (!ROW_HAS(CALL, &call->row, method))
			CALL_TEXT(f->sink, call, method, VIEW_LIT("QUERY"), NAME_MAX_TEXT);
		break;
	case MYSQL_COM_PREPARE:
		set_sql(f->sink, call, rest, "PREPARE");
		break;
	case MYSQL_COM_EXECUTE:
	case MYSQL_COM_BULK_EXECUTE:
		rest = sql_of(conn, rd_u32le(&rd));
		set_sql(f->sink, call, rest, rest.len ? NULL : name);
		break;
	case MYSQL_COM_CLOSE:
	case MYSQL_COM_RESET:
	case MYSQL_COM_FETCH:
	case MYSQL_COM_LONG_DATA:
		id = rd_u32le(&rd);
		set_sql(f->sink, call, sql_of(conn, id), name);
		if (command == MYSQL_COM_CLOSE)
			statement_drop(&conn->statements, f->sink, id);
		break;
	case MYSQL_COM_INIT_DB:
	case MYSQL_COM_FIELD_LIST:
		CALL_TEXT(f->sink, call, method, view_str(name), NAME_MAX_TEXT);
		rest = view_sub(rest, 0, strnlen((const char *)rest.at, rest.len));
		CALL_TEXT(f->sink, call, target, rest, NAME_MAX_TEXT);
		CALL_TEXT(f->sink, call, target_template, rest, NAME_MAX_TEXT);
		break;
	case MYSQL_COM_CHANGE_USER:
		conn->user_len = copy_name(conn->user, view_sub(rest, 0, strnlen((const char *)rest.at, rest.len)));
		CALL_TEXT(f->sink, call, method, view_str(name), NAME_MAX_TEXT);
		CALL_TEXT(f->sink, call, user, view_make(conn->user, conn->user_len), NAME_MAX_TEXT);
		break;
	default:
		CALL_TEXT(f->sink, call, method, view_str(name), NAME_MAX_TEXT);
		break;
	}
	return FRAME_OK;
}

/* ---- answers ---- */

static uint8_t error_class(uint16_t code)
{
	static const uint16_t server[] = { 1021, 1030, 1037, 1038, 1040, 1041, 1053, 1077, 1105, 1129, 1135, 1158, 1159, 1160,
					   1161, 1203, 1205, 1213, 1290, 1297, 1836, 3024, 3100, 3168 };

	for (size_t i = 0; i < sizeof(server) / sizeof(server[0]); i++)
		if (server[i] == code)
			return CLASS_server_error;
	return CLASS_client_error;
}

static void set_error(struct call_sink *sink, struct call *call, struct view payload)
{
	struct mysql_error error;

	ROW_SET(CALL, &call->row, status_class, CLASS_client_error);
	if (!mysql_error(payload, &error))
		return;
	ROW_SET(CALL, &call->row, status, error.code);
	ROW_SET(CALL, &call->row, status_class, error_class(error.code));
	CALL_TEXT(sink, call, status_text, error.state, 8);
	call_error(sink, call, "%.*s", (int)error.text.len, (const char *)error.text.at);
}

/* What the session has become by a command that succeeded. */
static void note_session(struct mysql_conn *conn, const struct call *call)
{
	struct view target = call->row.target;

	if (call->row.status_class != CLASS_ok || !ROW_HAS(CALL, &call->row, target))
		return;
	if ((call->tag & TAG_COMMAND) == MYSQL_COM_INIT_DB) {
		conn->db_len = copy_name(conn->db, target);
	} else if (view_is(call->row.method, "USE") && target.len > 4) {
		target = view_trim(view_sub(target, 4, target.len));
		if (target.len && target.at[target.len - 1] == ';')
			target.len--;
		if (target.len > 2 && target.at[0] == '`')
			target = view_sub(target, 1, target.len - 2);
		conn->db_len = copy_name(conn->db, target);
	}
}

static void end_head(struct frames *f, uint8_t reason)
{
	struct mysql_conn *conn = f->conn;
	struct call *call = call_fifo_take(&conn->waiting);

	conn->end_call = conn->rsp = false;
	conn->answer = ANSWER_FIRST;
	if (!call)
		return;
	call->rsp_whole = true;
	if (reason == CALL_END_complete && call->row.status_class == CLASS_none)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	if (call->tag & TAG_LOGIN && call->row.status_class == CLASS_ok) {
		conn->phase = PHASE_COMMAND;
		if (conn->compress)
			conn->opaque = true;
	}
	note_session(conn, call);
	conn->sure = true;
	call_end(f->sink, call, call->has_req ? reason : CALL_END_no_request);
}

/* A result is over; another may follow. */
static void result_end(struct mysql_conn *conn, uint16_t status)
{
	conn->answer = ANSWER_FIRST;
	conn->end_call = !(status & MYSQL_MORE_RESULTS);
}

static void take_ok(struct mysql_conn *conn, struct call *call, struct view payload)
{
	struct mysql_ok ok = { .status = 0 };

	if (mysql_ok(payload, &ok) && (call->tag & TAG_COMMAND) && ok.affected)
		ROW_SET(CALL, &call->row, rows, call->row.rows + ok.affected);
	result_end(conn, ok.status);
}

static bool is_old_eof(struct view payload, uint64_t len)
{
	return len && len < 9 && payload.at[0] == 0xfe;
}

static void take_rows_end(struct mysql_conn *conn, struct call *call, struct view payload, uint64_t len)
{
	struct rd rd = rd_make(view_sub(payload, 1, payload.len));
	struct mysql_ok ok = { .status = 0 };

	if (len == 5 && conn->eof != EOF_NONE) {
		rd_skip(&rd, 2);
		ok.status = rd_u16le(&rd);
	} else {
		(void)mysql_ok(payload, &ok);
	}
	ROW_SET(CALL, &call->row, rows, call->row.rows);
	result_end(conn, ok.status);
}

static void begin_columns(struct mysql_conn *conn, struct view payload)
{
	struct rd rd = rd_make(payload);

	conn->columns = mysql_lenenc(&rd);
	/* MariaDB says behind the count whether the definitions follow at all */
	if (!rd.bad && rd_left(&rd) == 1 && rd_u8(&rd) == 0)
		conn->columns = 0;
	conn->answer = conn->columns ? ANSWER_COLUMNS : ANSWER_COLUMNS_END;
}

static void begin_prepared(struct mysql_conn *conn, struct call *call, struct view payload, struct call_sink *sink)
{
	struct rd rd = rd_make(view_sub(payload, 1, payload.len));
	uint32_t id = rd_u32le(&rd);

	conn->columns_next = rd_u16le(&rd);
	conn->params = rd_u16le(&rd);
	if (rd.bad) {
		conn->end_call = true;
		return;
	}
	statement_put(&conn->statements, sink, id, ROW_HAS(CALL, &call->row, target) ? call->row.target : view_make("", 0));
	conn->statement_last = id;
	conn->columns = conn->params ? conn->params : conn->columns_next;
	if (conn->params)
		conn->answer = ANSWER_PARAMS;
	else
		conn->answer = ANSWER_COLUMNS;
	conn->end_call = !conn->columns;
}

static void take_first(struct mysql_conn *conn, struct call *call, struct view payload, struct call_sink *sink)
{
	uint8_t command = call->tag & TAG_COMMAND, first = payload.len ? payload.at[0] : 0;

	if (first == 0xff) {
		set_error(sink, call, payload);
		conn->end_call = true;
		return;
	}
	if (call->tag & TAG_LOGIN) {
		if (first == 0)
			conn->end_call = true;	/* 1: more data; 0xfe: another method */
		return;
	}
	switch (command) {
	case MYSQL_COM_PREPARE:
		begin_prepared(conn, call, payload, sink);
		break;
	case MYSQL_COM_STATISTICS:
		conn->end_call = true;
		break;
	case MYSQL_COM_FIELD_LIST:
		conn->answer = ANSWER_ROWS;
		conn->end_call = first == 0xfe;
		break;
	case MYSQL_COM_FETCH:
		conn->answer = ANSWER_ROWS;
		if (first == 0xfe)
			take_rows_end(conn, call, payload, payload.len);
		else
			ROW_SET(CALL, &call->row, rows, 1);
		break;
	case MYSQL_COM_BINLOG_DUMP:
	case MYSQL_COM_BINLOG_DUMP_GTID:
		conn->opaque = conn->end_call = true;	/* events without end */
		break;
	case MYSQL_COM_QUERY:
	case MYSQL_COM_EXECUTE:
	case MYSQL_COM_BULK_EXECUTE:
	case MYSQL_COM_PROCESS_INFO:
	case 0:			/* a response whose request was not seen */
		if (first == 0)
			take_ok(conn, call, payload);
		else if (first == 0xfb)
			conn->answer = ANSWER_INFILE;
		else if (first == 0xfe && payload.len < 9)
			take_rows_end(conn, call, payload, payload.len);
		else
			begin_columns(conn, payload);
		break;
	default:
		if (first == 0)
			take_ok(conn, call, payload);
		conn->end_call = true;
		break;
	}
}

/* The definitions of parameters are over: those of columns follow, or nothing does. */
static void next_definitions(struct mysql_conn *conn)
{
	if (conn->answer == ANSWER_PARAMS && conn->columns_next) {
		conn->columns = conn->columns_next;
		conn->answer = ANSWER_COLUMNS;
	} else {
		conn->end_call = true;
	}
}

/* One definition, or the EOF behind them. */
static void take_definition(struct mysql_conn *conn, struct call *call, struct view payload, uint64_t len)
{
	if (!conn->columns) {
		if (is_old_eof(payload, len)) {
			conn->eof = EOF_OLD;
			next_definitions(conn);
			return;
		}
		conn->eof = EOF_NONE;
		next_definitions(conn);
	}
	if (conn->columns && --conn->columns)
		return;
	if ((call->tag & TAG_COMMAND) != MYSQL_COM_PREPARE)
		conn->answer = ANSWER_COLUMNS_END;
	else if (conn->eof == EOF_NONE)
		next_definitions(conn);
}

static void take_row(struct mysql_conn *conn, struct call *call, struct view payload, uint64_t len, struct call_sink *sink)
{
	uint8_t first = payload.len ? payload.at[0] : 0;

	if (first == 0xff) {
		set_error(sink, call, payload);
		conn->end_call = true;
	} else if (first == 0xfe && (len < 9 || (conn->eof == EOF_NONE && len < MYSQL_LEN_MAX))) {
		take_rows_end(conn, call, payload, len);
	} else {
		ROW_SET(CALL, &call->row, rows, call->row.rows + 1);
		ROW_SET(CALL, &call->row, rsp_body_bytes, call->row.rsp_body_bytes + len);
	}
}

static void take_answer(struct frames *f, const struct frame *frame, struct view payload)
{
	struct mysql_conn *conn = f->conn;
	uint64_t len = frame->len - MYSQL_HEAD_BYTES;
	struct call *call = conn->waiting.head;
	bool more = conn->more;

	if (call && conn->eof == EOF_UNKNOWN && frame->bytes.at[3] == 1 && call->has_rsp && !conn->columns &&
	    (conn->answer == ANSWER_COLUMNS || conn->answer == ANSWER_PARAMS)) {
		conn->eof = EOF_NONE;	/* the EOF that was waited for will not come: this answers the next command */
		end_head(f, CALL_END_complete);
		call = conn->waiting.head;
	}
	/* numbers begin anew with each answer: the one in progress was taken for something else, or its end is lost */
	if (call && call->has_rsp && conn->phase == PHASE_COMMAND && frame->bytes.at[3] == 1 && conn->last_number && !more) {
		end_head(f, CALL_END_gap);
		call = conn->waiting.head;
	}
	conn->last_number = frame->bytes.at[3];
	conn->more = len == MYSQL_LEN_MAX;
	conn->rsp = false;
	if (call && !call_was_heard(call, f->chunk))
		call = NULL;
	if (!call && frame->bytes.at[3] == 1)
		call = open_call(f, frame, 0);
	if (!call)
		return;
	if (!call->has_rsp)
		call_response_begin(call, f->chunk, frame->off);
	conn->rsp = true;
	if (more)
		return;
	if (conn->answer == ANSWER_COLUMNS_END) {
		conn->answer = ANSWER_ROWS;
		if (is_old_eof(payload, len) && conn->eof != EOF_NONE) {
			struct rd rd = rd_make(view_sub(payload, 3, payload.len));

			conn->eof = EOF_OLD;
			/* a cursor: rows are fetched later */
			if (rd_u16le(&rd) & 0x40)
				result_end(conn, 0);
			return;
		}
		if (conn->eof == EOF_UNKNOWN)
			conn->eof = EOF_NONE;
	}
	switch ((enum answer)conn->answer) {
	case ANSWER_FIRST:
	case ANSWER_INFILE:
		take_first(conn, call, payload, f->sink);
		break;
	case ANSWER_COLUMNS:
	case ANSWER_PARAMS:
		take_definition(conn, call, payload, len);
		break;
	case ANSWER_COLUMNS_END:
	case ANSWER_ROWS:
		take_row(conn, call, payload, len, f->sink);
		break;
	}
}

static int take_greeting(struct frames *f, const struct frame *frame, struct view payload)
{
	struct mysql_conn *conn = f->conn;
	struct mysql_greeting greeting;

	conn->phase = PHASE_LOGIN;
	if (!mysql_greeting(payload, &greeting)) {
		struct call *call;

		if (!payload.len || payload.at[0] != 0xff)
			return FRAME_BAD;
		call = open_call(f, frame, TAG_LOGIN);	/* refused before a word was said */
		if (call) {
			call_response_begin(call, f->chunk, frame->off);
			CALL_TEXT(f->sink, call, method, VIEW_LIT("CONNECT"), NAME_MAX_TEXT);
			set_error(f->sink, call, payload);
			conn->rsp = conn->end_call = true;
		}
		return FRAME_OK;
	}
	conn->version_len = copy_name(conn->version, greeting.version);
	conn->server_caps = greeting.caps;
	return FRAME_OK;
}

/* ---- frames ---- */

static void find_roles(struct mysql_conn *conn, struct frames *f, struct view bytes)
{
	struct mysql_greeting greeting;
	bool hello = mysql_greeting(view_sub(bytes, MYSQL_HEAD_BYTES, bytes.len), &greeting);

	conn->roles = true;
	conn->phase = hello ? PHASE_GREETING : PHASE_COMMAND;
	conn->client = (uint8_t)(bytes.at[3] == 0 && !hello ? f->d : !f->d);
}

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct mysql_conn *conn = f->conn;
	uint32_t len;

	if (bytes.len < MYSQL_HEAD_BYTES + 1)
		return 0;
	if (!conn->roles)
		find_roles(conn, f, bytes);
	len = (uint32_t)bytes.at[0] | (uint32_t)bytes.at[1] << 8 | (uint32_t)bytes.at[2] << 16;
	if (f->d == conn->client)
		*ret_show = SHOW_MAX;
	else if (conn->answer == ANSWER_ROWS && bytes.at[4] != 0xff)
		*ret_show = ROW_SHOW;
	else if (conn->answer == ANSWER_COLUMNS || conn->answer == ANSWER_PARAMS)
		*ret_show = MYSQL_HEAD_BYTES + 1;
	else
		*ret_show = ANSWER_SHOW;
	return (int64_t)len + MYSQL_HEAD_BYTES;
}

static int take(struct frames *f, const struct frame *frame)
{
	struct mysql_conn *conn = f->conn;
	struct view payload = view_sub(frame->bytes, MYSQL_HEAD_BYTES, frame->bytes.len);
	uint8_t seq = frame->bytes.at[3];

	if (f->d != conn->client) {
		if (conn->phase == PHASE_GREETING)
			return take_greeting(f, frame, payload);
		/* answers go on from the command's number, and begin anew behind 255 */
		if (seq == 0 && conn->last_number != UINT8_MAX && !conn->more && conn->phase == PHASE_COMMAND)
			return FRAME_BAD;
		take_answer(f, frame, payload);
		return FRAME_OK;
	}
	if (conn->phase == PHASE_GREETING)
		return FRAME_BAD;
	if (conn->phase == PHASE_LOGIN)
		return take_login(f, frame, payload);
	if (seq == 0)
		return take_command(f, frame, payload);
	return FRAME_OK;	/* goes on: a long command, LOCAL INFILE, a password */
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct mysql_conn *conn = f->conn;
	struct call *call;

	if (f->d != conn->client) {
		call = conn->waiting.head;
		if (!conn->rsp || !call)
			return;
		call_missing(call, missing);
		call_response_end(call, f->chunk, end_off);
		if (whole && conn->end_call)
			end_head(f, CALL_END_complete);
		return;
	}
	call = conn->waiting.tail;
	if (!call || !call->has_req)
		return;
	call_missing(call, missing);
	call_request_end(call, f->chunk, end_off);
	if (whole && is_unanswered(call->tag & TAG_COMMAND)) {
		call_fifo_remove(&conn->waiting, call);
		call_end(f->sink, call, CALL_END_oneway);
	}
}

/* Does a segment begin with a packet beyond doubt? Commands are there whole. */
static bool begins_packet(struct view bytes, bool front)
{
	struct view payload = view_sub(bytes, MYSQL_HEAD_BYTES, bytes.len);
	struct mysql_ok ok;
	struct mysql_error error;
	uint32_t len;

	if (bytes.len < MYSQL_HEAD_BYTES + 1)
		return false;
	len = (uint32_t)bytes.at[0] | (uint32_t)bytes.at[1] << 8 | (uint32_t)bytes.at[2] << 16;
	if (front) {
		struct view sql;
		char verb[24];
		size_t n;

		if (bytes.at[3] != 0 || !len || !mysql_command(payload.at[0]))
			return false;
		if (payload.at[0] != MYSQL_COM_QUERY && payload.at[0] != MYSQL_COM_PREPARE)
			return payload.len == len && (payload.at[0] == MYSQL_COM_PING ? len == 1 :
						      payload.at[0] == MYSQL_COM_EXECUTE ? len >= 10 :
						      payload.at[0] == MYSQL_COM_CLOSE ? len == 5 :
						      payload.at[0] == MYSQL_COM_RESET && len == 5);
		if (payload.len > len)
			return false;
		sql = payload.at[0] == MYSQL_COM_QUERY ? mysql_query(payload, -1) : view_sub(payload, 1, payload.len);
		n = fold_sql_verb(view_sub(sql, 0, 200), verb, sizeof(verb));
		if (n < 2 || n == sizeof(verb))
			return false;
		for (size_t i = 0; i < sql.len && i < 40; i++)
			if (sql.at[i] < ' ' && sql.at[i] != '\n' && sql.at[i] != '\r' && sql.at[i] != '\t')
				return false;
		return payload.len == len || sql.len > 40;
	}
	if (bytes.at[3] != 1 || payload.len < len || !len)
		return false;
	if (payload.at[0] == 0xff)
		return mysql_error(view_sub(payload, 0, len), &error) && error.state.len == 5;
	if (payload.at[0] == 0)
		return len >= 7 && mysql_ok(view_sub(payload, 0, len), &ok) && !(ok.status & 0x8000) && payload.len == len;
	/* a count of columns, then the first definition: catalogue "def" */
	payload = view_sub(payload, len, payload.len);
	return len <= 3 && payload.len >= 8 && payload.at[3] == 2 && memcmp(payload.at + 4, "\3def", 4) == 0;
}

static bool resync(struct frames *f, struct view bytes)
{
	struct mysql_conn *conn = f->conn;

	return begins_packet(bytes, f->d == conn->client);
}

static void lost(struct frames *f, uint64_t len)
{
	struct mysql_conn *conn = f->conn;

	conn->phase = PHASE_COMMAND;
	conn->rsp = conn->end_call = conn->more = false;
	if (f->d == conn->client)
		return;
	conn->answer = ANSWER_FIRST;
	call_missing(conn->waiting.head, len);
	call_fifo_end_all(&conn->waiting, f->sink, CALL_END_gap);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t mysql_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct mysql_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	int64_t rc;

	if (conn->opaque)
		return PROTO_SKIP_REST;
	f.stop = conn->tls && d == conn->client;
	rc = frames_feed(&f, &frame_ops);
	/* behind the login that asked for it, which may not have come whole */
	return f.stop && !conn->dir[d].open && rc >= 0 && rc < PROTO_SKIP_BASE ? PROTO_SWITCH(rc, L7_tls) : rc;
}

static int mysql_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct mysql_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	if (conn->opaque)
		return 0;
	if (!conn->roles)
		return E_FORMAT;
	return frames_gap(&f, &frame_ops, len);
}

static void mysql_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct mysql_conn *conn = at;

	call_fifo_end_open(&conn->waiting, sink, reason);
	statements_release(&conn->statements, sink);
}

/* Idle connections of a pool: what says more stands behind the pings and their answers. */
static struct view after_pings(struct view bytes)
{
	static const char ping[] = { 1, 0, 0, 0, MYSQL_COM_PING }, ok[] = { 7, 0, 0, 1, 0 };

	for (;;) {
		size_t len = bytes.len < sizeof(ping) ? 0 : memcmp(bytes.at, ping, sizeof(ping)) == 0 ? sizeof(ping) :
			     memcmp(bytes.at, ok, sizeof(ok)) == 0 ? MYSQL_HEAD_BYTES + 7 : 0;

		if (!len || bytes.len <= len)
			return bytes;
		bytes = view_sub(bytes, len, bytes.len);
	}
}

static enum guess mysql_guess(struct view whole, const struct guess_hint *hint)
{
	struct view bytes = after_pings(whole);
	bool port = hint->src_port == PORT_MYSQL || hint->dst_port == PORT_MYSQL;
	struct mysql_greeting greeting;
	struct view payload = view_sub(bytes, MYSQL_HEAD_BYTES, bytes.len);
	uint32_t len;

	if (hint->proto != PROTO_tcp)
		return GUESS_NO;
	/* a header often comes alone */
	if (bytes.len < MYSQL_HEAD_BYTES + 1)
		return (bytes.len > 2 && bytes.at[2]) || (bytes.len > 3 && bytes.at[3] > 1) ? GUESS_NO : GUESS_MORE;
	len = (uint32_t)bytes.at[0] | (uint32_t)bytes.at[1] << 8 | (uint32_t)bytes.at[2] << 16;
	if (bytes.at[3] == 0 && payload.at[0] == 10 && len >= 30 && len < 400) {
		if (payload.len < len)
			return GUESS_MORE;
		if (mysql_greeting(view_sub(payload, 0, len), &greeting))
			return GUESS_YES;
	}
	if (port && bytes.at[3] == 0 && payload.at[0] == 0xff && payload.len == len)
		return GUESS_YES;
	if (begins_packet(bytes, true))
		return payload.at[0] == MYSQL_COM_QUERY || payload.at[0] == MYSQL_COM_PREPARE || port ? GUESS_YES : GUESS_MAYBE;
	if (bytes.at[3] == 0 && payload.len < len && payload.len <= 48 &&
	    (payload.at[0] == MYSQL_COM_QUERY || payload.at[0] == MYSQL_COM_PREPARE)) {
		size_t i = 1;

		while (i < payload.len && (payload.at[i] >= ' ' || i < 3))
			i++;
		return i == payload.len ? GUESS_MORE : GUESS_NO;
	}
	if (begins_packet(bytes, false))
		return payload.at[0] || port ? GUESS_YES : GUESS_MAYBE;
	return GUESS_NO;
}

const struct proto_ops proto_mysql = {
	.id = L7_mysql,
	.name = "mysql",
	.title = "MySQL",
	.conn_size = sizeof(struct mysql_conn),
	.hold_bytes = (size_t)32 << 10,
	.guess = mysql_guess,
	.feed = mysql_feed,
	.gap = mysql_gap,
	.close = mysql_close,
	.detail = mysql_detail,
};
