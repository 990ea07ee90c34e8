/*
 * PostgreSQL frontend/backend protocol 3 (postgresql.org/docs/current/protocol.html).
 *
 * Calls: a simple query; in the extended protocol what leads to one Execute (Parse,
 * Bind, Describe before it), or to a Sync without one; a login; a request for
 * encryption; a cancel. They are answered in order. A failed one takes those behind
 * it down, up to the next Sync. Names of statements and portals are remembered, so
 * that a Bind alone still says what it runs.
 */
#include "base/hash.h"
#include "base/rd.h"
#include "wire/dissect.h"
#include "wire/fold.h"
#include "wire/pg_msg.h"
#include "wire/statements.h"

#define PORT_PG		5432
#define SQL_MAX		4096
#define TEMPLATE_MAX	1024
#define SHOW_MAX	(SQL_MAX + 256)	/* of a message that is looked at */
#define NAME_MAX_TEXT	64
#define PORTALS_MAX	8

/* call->tag */
enum {
	TAG_LOGIN = 1, TAG_ENCRYPT = 2, TAG_SIMPLE = 4, TAG_EXTENDED = 8, TAG_FUNCTION = 16,
	TAG_EXECUTE = 0x100,	/* has its Execute */
	TAG_SYNC = 0x200,	/* a ReadyForQuery follows it */
	TAG_DONE = 0x400,	/* answered; what may follow is the ReadyForQuery */
	TAG_PARSE_OK = 0x800, TAG_BIND_OK = 0x1000,
	TAG_PARSE = 0x2000, TAG_BIND = 0x4000, TAG_DESCRIBE = 0x8000, TAG_CLOSE = 0x10000,
	TAG_FAILED = 0x20000,
};

struct pg_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting;
	struct call *building;	/* last of waiting: extended, its Execute or Sync is still to come */
	struct call *copying;	/* CopyData of the client belongs to it */
	bool roles, typed;	/* client is known; the login is over */
	bool sure;
	bool encrypt_asked;	/* the server's next byte answers an SSLRequest */
	bool opaque;
	uint8_t client;
	uint8_t portal_next;
	uint8_t db_len, user_len, version_len;
	char db[NAME_MAX_TEXT], user[NAME_MAX_TEXT], version[8];
	struct statements statements;		/* by the hash of their name */
	struct {
		uint64_t name;			/* hash; 0 = free */
		uint64_t statement;
	} portals[PORTALS_MAX];
	struct call *rsp;	/* the server's frame in progress belongs to it */
};

static uint64_t name_hash(struct view name)
{
	return hash_bytes(name.len ? name.at : (const uint8_t *)"", name.len, 1) | 1;
}

/* ---- statements and portals ---- */

static void portal_put(struct pg_conn *conn, struct view name, struct view statement)
{
	uint64_t hash = name_hash(name);
	unsigned i = 0;

	while (i < PORTALS_MAX && conn->portals[i].name != hash)
		i++;
	if (i == PORTALS_MAX)
		i = conn->portal_next++ % PORTALS_MAX;
	conn->portals[i].name = hash;
	conn->portals[i].statement = name_hash(statement);
}

static struct view portal_sql(const struct pg_conn *conn, struct view name)
{
	uint64_t hash = name_hash(name);

	for (unsigned i = 0; i < PORTALS_MAX; i++)
		if (conn->portals[i].name == hash)
			return statement_sql(&conn->statements, conn->portals[i].statement);
	return view_make("", 0);
}

/* ---- requests ---- */

static void set_sql(struct call_sink *sink, struct call *call, struct view sql, const char *method)
{
	char text[TEMPLATE_MAX];

	if (method) {
		CALL_TEXT(sink, call, method, view_str(method), NAME_MAX_TEXT);
	} else if (sql.len) {
		size_t len = fold_sql_verb(sql, text, NAME_MAX_TEXT);

		CALL_TEXT(sink, call, method, view_make(text, len), NAME_MAX_TEXT);
	}
	if (!sql.len || ROW_HAS(CALL, &call->row, target))
		return;
	CALL_TEXT(sink, call, target, sql, SQL_MAX);
	CALL_TEXT(sink, call, target_template, view_make(text, fold_sql(sql, 0, text, sizeof(text))), TEMPLATE_MAX);
	CALL_TEXT(sink, call, table, fold_sql_table(sql), 128);
}

static void set_session(const struct pg_conn *conn, struct call_sink *sink, struct call *call)
{
	CALL_TEXT(sink, call, db, view_make(conn->db, conn->db_len), NAME_MAX_TEXT);
	CALL_TEXT(sink, call, user, view_make(conn->user, conn->user_len), NAME_MAX_TEXT);
	CALL_TEXT(sink, call, version, view_make(conn->version, conn->version_len), 8);
}

static struct call *open_call(struct frames *f, const struct frame *frame, uint64_t tag)
{
	struct pg_conn *conn = f->conn;
	struct call *call = call_open(f->sink, L7_postgresql);

	conn->building = NULL;
	if (!call)
		return NULL;
	call->tag = tag;
	call_request_begin(call, f->chunk, frame->off);
	call_request_end(call, f->chunk, frame->off);
	set_session(conn, f->sink, call);
	call_fifo_put(&conn->waiting, call);
	return call;
}

static uint8_t copy_name(char *to, struct view name)
{
	name = view_sub(name, 0, NAME_MAX_TEXT);
	memcpy(to, name.len ? name.at : (const uint8_t *)"", name.len);
	return (uint8_t)name.len;
}

static int take_startup(struct frames *f, const struct frame *frame)
{
	struct pg_conn *conn = f->conn;
	struct view rest = view_sub(frame->bytes, 8, frame->bytes.len), application = { NULL, 0 };
	uint32_t len;
	enum pg_startup kind = pg_startup(frame->bytes, &len);
	struct call *call;

	conn->sure = true;
	switch (kind) {
	case PG_STARTUP_SSL:
	case PG_STARTUP_GSS:
		conn->encrypt_asked = true;
		call = open_call(f, frame, TAG_ENCRYPT);
		if (call)
			set_sql(f->sink, call, view_make("", 0), kind == PG_STARTUP_SSL ? "SSLREQUEST" : "GSSENCREQUEST");
		return FRAME_OK;
	case PG_STARTUP_CANCEL:
		call = open_call(f, frame, 0);
		if (!call)
			return FRAME_OK;
		set_sql(f->sink, call, view_make("", 0), "CANCEL");
		call_request_end(call, f->chunk, frame->off + frame->len);
		(void)call_fifo_take(&conn->waiting);	/* the only one of its connection */
		call_end(f->sink, call, CALL_END_oneway);
		return FRAME_OPAQUE;
	default:
		break;
	}
	conn->typed = true;
	conn->version[0] = '3';
	conn->version[1] = '.';
	conn->version[2] = (char)('0' + frame->bytes.at[7]);
	conn->version_len = 3;
	while (rest.len && rest.at[0]) {
		struct view name = pg_cstr(&rest), value = pg_cstr(&rest);

		if (view_is(name, "user"))
			conn->user_len = copy_name(conn->user, value);
		else if (view_is(name, "database"))
			conn->db_len = copy_name(conn->db, value);
		else if (view_is(name, "application_name"))
			application = value;
	}
	if (!conn->db_len) {	/* named like the user */
		memcpy(conn->db, conn->user, sizeof(conn->db));
		conn->db_len = conn->user_len;
	}
	call = open_call(f, frame, TAG_LOGIN);
	if (call) {
		set_sql(f->sink, call, view_make("", 0), "CONNECT");
		CALL_TEXT(f->sink, call, target, view_make(conn->db, conn->db_len), NAME_MAX_TEXT);
		CALL_TEXT(f->sink, call, target_template, view_make(conn->db, conn->db_len), NAME_MAX_TEXT);
		CALL_TEXT(f->sink, call, user_agent, application, 256);
	}
	return FRAME_OK;
}

/* The extended call that a message belongs to; a new one where a new one begins. */
static struct call *extended(struct frames *f, const struct frame *frame, uint64_t tag)
{
	struct pg_conn *conn = f->conn;
	struct call *call = conn->building;

	if (call && ((tag == TAG_PARSE && call->tag & (TAG_PARSE | TAG_BIND | TAG_CLOSE)) ||
		     (tag == TAG_BIND && call->tag & (TAG_BIND | TAG_CLOSE)) ||
		     (tag == TAG_CLOSE && call->tag & ~(uint64_t)(TAG_CLOSE | TAG_EXTENDED))))
		call = NULL;
	if (!call) {
		call = open_call(f, frame, TAG_EXTENDED);
		conn->building = call;
	}
	if (call)
		call->tag |= tag;
	return call;
}

static const char *building_method(uint64_t tag)
{
	return tag & TAG_PARSE ? "PREPARE" : tag & TAG_BIND ? "BIND" : tag & TAG_DESCRIBE ? "DESCRIBE" : "CLOSE";
}

static void take_sync(struct frames *f, const struct frame *frame)
{
	struct pg_conn *conn = f->conn;
	struct call *call = conn->building, *last = conn->waiting.tail;

	if (call && !(call->tag & TAG_EXECUTE))
		set_sql(f->sink, call, view_make("", 0), building_method(call->tag));
	conn->building = NULL;
	/* a Sync of a series all of whose calls are answered, or of none: it has an answer all the same */
	if (!last || last->tag & (TAG_SYNC | TAG_SIMPLE | TAG_LOGIN | TAG_FUNCTION)) {
		last = open_call(f, frame, TAG_EXTENDED);
		if (!last)
			return;
		set_sql(f->sink, last, view_make("", 0), "SYNC");
	}
	last->tag |= TAG_SYNC;
}

static void take_parse(struct frames *f, const struct frame *frame, struct view rest)
{
	struct pg_conn *conn = f->conn;
	struct view name = pg_cstr(&rest), sql = pg_cstr(&rest);
	struct call *call = extended(f, frame, TAG_PARSE);

	statement_put(&conn->statements, f->sink, name_hash(name), sql);
	if (call)
		set_sql(f->sink, call, sql, NULL);
}

static void take_bind(struct frames *f, const struct frame *frame, struct view rest)
{
	struct pg_conn *conn = f->conn;
	struct view portal = pg_cstr(&rest), name = pg_cstr(&rest);
	struct call *call = extended(f, frame, TAG_BIND);

	portal_put(conn, portal, name);
	if (call)
		set_sql(f->sink, call, statement_sql(&conn->statements, name_hash(name)), NULL);
}

static void take_execute(struct frames *f, const struct frame *frame, struct view rest)
{
	struct pg_conn *conn = f->conn;
	struct call *call = extended(f, frame, TAG_EXECUTE);

	if (!call)
		return;
	set_sql(f->sink, call, portal_sql(conn, pg_cstr(&rest)), NULL);
	if (!ROW_HAS(CALL, &call->row, method))
		CALL_TEXT(f->sink, call, method, VIEW_LIT("EXECUTE"), NAME_MAX_TEXT);
	conn->building = NULL;
}

static void take_front(struct frames *f, const struct frame *frame)
{
	struct pg_conn *conn = f->conn;
	struct view body = view_sub(frame->bytes, PG_HEAD_BYTES, frame->bytes.len), rest = body;
	struct call *call;

	switch (frame->bytes.at[0]) {
	case 'Q':
		call = open_call(f, frame, TAG_SIMPLE);
		if (call)
			set_sql(f->sink, call, pg_cstr(&rest), NULL);
		break;
	case 'F':
		call = open_call(f, frame, TAG_FUNCTION);
		if (call)
			set_sql(f->sink, call, view_make("", 0), "FUNCTION");
		break;
	case 'P':
		take_parse(f, frame, rest);
		break;
	case 'B':
		take_bind(f, frame, rest);
		break;
	case 'E':
		take_execute(f, frame, rest);
		break;
	case 'D':
	case 'C': {
		bool close = frame->bytes.at[0] == 'C';
		uint64_t name;

		rest = view_sub(body, 1, body.len);
		call = extended(f, frame, close ? TAG_CLOSE : TAG_DESCRIBE);
		if (!body.len || body.at[0] != 'S')
			break;
		name = name_hash(pg_cstr(&rest));
		if (call)
			set_sql(f->sink, call, statement_sql(&conn->statements, name), NULL);
		if (close)
			statement_drop(&conn->statements, f->sink, name);
		break;
	}
	case 'S':
		take_sync(f, frame);
		break;
	case 'c':
	case 'f':
	case 'd':
		call = conn->copying;
		if (call && frame->bytes.at[0] == 'd')
			ROW_SET(CALL, &call->row, req_body_bytes, call->row.req_body_bytes + frame->len - PG_HEAD_BYTES);
		break;
	default:	/* Flush, Terminate, Password */
		break;
	}
}

/* ---- responses ---- */

static void end_call(struct pg_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	if (conn->building == call)
		conn->building = NULL;
	if (conn->copying == call)
		conn->copying = NULL;
	if (conn->rsp == call)
		conn->rsp = NULL;
	if (reason == CALL_END_complete && !call->has_req)
		reason = CALL_END_no_request;
	call->rsp_whole = reason == CALL_END_complete || reason == CALL_END_no_request;
	if (call->rsp_whole && call->row.status_class == CLASS_none)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	call_end(sink, call, reason);
}

static uint8_t error_class(struct view state)
{
	static const char *const server[] = { "08", "53", "54", "55", "57", "58", "F0", "XX" };

	if (view_is(state, "57014"))	/* cancelled, by the caller as a rule */
		return CLASS_client_error;
	for (size_t i = 0; i < sizeof(server) / sizeof(server[0]); i++)
		if (view_starts(state, server[i]))
			return CLASS_server_error;
	return CLASS_client_error;
}

static void set_error(struct call_sink *sink, struct call *call, struct view body)
{
	struct view state = pg_error_field(body, 'C'), message = pg_error_field(body, 'M');

	ROW_SET(CALL, &call->row, status_class, error_class(state));
	CALL_TEXT(sink, call, status_text, state, 16);
	call_error(sink, call, "%.*s", (int)message.len, (const char *)message.at);
	call->tag |= TAG_FAILED;
}

static void set_tag(struct call_sink *sink, struct call *call, struct view body)
{
	struct view tag = pg_cstr(&body);
	uint64_t rows;

	if (pg_tag_rows(tag, &rows))
		ROW_SET(CALL, &call->row, rows, call->row.rows + rows);
	if (!ROW_HAS(CALL, &call->row, answers))
		CALL_TEXT(sink, call, answers, tag, 128);
}

/* LISTEN's messages come unasked. */
static void take_notification(struct frames *f, const struct frame *frame)
{
	struct view rest = view_sub(frame->bytes, PG_HEAD_BYTES + 4, frame->bytes.len), channel = pg_cstr(&rest);
	struct call *call = call_open(f->sink, L7_postgresql);

	if (!call)
		return;
	call_response_begin(call, f->chunk, frame->off);
	call_response_end(call, f->chunk, frame->off + frame->bytes.len);
	set_session(f->conn, f->sink, call);
	CALL_TEXT(f->sink, call, method, VIEW_LIT("NOTIFICATION"), NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, target, channel, NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, target_template, channel, NAME_MAX_TEXT);
	CALL_TEXT(f->sink, call, topic, channel, NAME_MAX_TEXT);
	ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	call->rsp_whole = true;
	call_end(f->sink, call, CALL_END_oneway);
}

/* The call a message answers. Those before it are over. */
static struct call *answered(struct frames *f, uint8_t type)
{
	struct pg_conn *conn = f->conn;
	struct call *call;

	while ((call = conn->waiting.head)) {
		bool over = call->tag & TAG_DONE;

		if (!(call->tag & TAG_EXTENDED) || type == 'Z')
			break;
		if ((type == '1' && call->tag & (TAG_PARSE_OK | TAG_BIND_OK)) || (type == '2' && call->tag & TAG_BIND_OK))
			over = true;
		if (!over || !call->next)
			break;
		(void)call_fifo_take(&conn->waiting);
		end_call(conn, call, CALL_END_complete, f->sink);
	}
	return call && call_was_heard(call, f->chunk) ? call : NULL;
}

/* ReadyForQuery: everything up to the Sync that it answers is over. */
static void take_ready(struct frames *f, uint64_t end_off)
{
	struct pg_conn *conn = f->conn;
	struct call *call;
	bool failed = false, last = false;

	while (!last && (call = conn->waiting.head) && call_was_heard(call, f->chunk)) {
		last = call->tag & (TAG_SYNC | TAG_SIMPLE | TAG_LOGIN | TAG_FUNCTION);
		if (call == conn->building && !last)
			break;
		(void)call_fifo_take(&conn->waiting);
		if (failed && !call->has_rsp)
			call_error(f->sink, call, "not run: a message before it in the series failed");
		failed |= (call->tag & TAG_FAILED) != 0;
		if (last) {
			if (!call->has_rsp)
				call_response_begin(call, f->chunk, end_off - PG_HEAD_BYTES - 1);
			call_response_end(call, f->chunk, end_off);
		}
		end_call(conn, call, call->has_rsp || last ? CALL_END_complete : CALL_END_unanswered, f->sink);
	}
}

static void take_back(struct frames *f, const struct frame *frame)
{
	struct pg_conn *conn = f->conn;
	uint8_t type = frame->bytes.at[0];
	struct view body = view_sub(frame->bytes, PG_HEAD_BYTES, frame->bytes.len);
	struct call *call;

	conn->rsp = NULL;
	if (type == 'A') {
		take_notification(f, frame);
		return;
	}
	if (type == 'Z') {
		conn->sure = true;
		take_ready(f, frame->off + frame->len);
		return;
	}
	call = answered(f, type);
	if ((type == 'N' || type == 'S') && (!call || !call->has_rsp) && !(call && call->tag & TAG_LOGIN))
		return;		/* may come at any time */
	if (!call) {
		if (type == 'T' || type == 'D' || type == 'C' || type == 'E' || type == '1' || type == '2') {
			call = call_open(f->sink, L7_postgresql);
			if (!call)
				return;
			call->tag = TAG_SIMPLE;
			set_session(conn, f->sink, call);
			call_fifo_put_first(&conn->waiting, call);
		} else {
			return;
		}
	}
	if (!call->has_rsp)
		call_response_begin(call, f->chunk, frame->off);
	conn->rsp = call;
	switch (type) {
	case 'E':
		set_error(f->sink, call, body);
		call->tag |= TAG_DONE;
		break;
	case 'C':
		set_tag(f->sink, call, body);
		call->tag |= TAG_DONE;
		if (conn->copying == call)
			conn->copying = NULL;
		break;
	case 'I':
	case 's':
		call->tag |= TAG_DONE;
		break;
	case '1':
		call->tag |= TAG_PARSE_OK;
		break;
	case '2':
		call->tag |= TAG_BIND_OK;
		break;
	case 'G':
	case 'W':
		conn->copying = call;
		break;
	case 'D':
	case 'd':
		ROW_SET(CALL, &call->row, rsp_body_bytes, call->row.rsp_body_bytes + frame->len - PG_HEAD_BYTES);
		break;
	default:
		break;
	}
}

/* One byte: encryption begins, or does not. */
static int take_encrypt_answer(struct frames *f, const struct frame *frame)
{
	struct pg_conn *conn = f->conn;
	struct call *call = conn->waiting.head;
	bool yes = frame->bytes.at[0] != 'N', gss = call && view_is(call->row.method, "GSSENCREQUEST");

	conn->encrypt_asked = false;
	if (call && call->tag & TAG_ENCRYPT) {
		(void)call_fifo_take(&conn->waiting);
		call_response_begin(call, f->chunk, frame->off);
		call_response_end(call, f->chunk, frame->off + 1);
		CALL_TEXT(f->sink, call, status_text, yes ? VIEW_LIT("accepted") : VIEW_LIT("refused"), 16);
		end_call(conn, call, CALL_END_complete, f->sink);
	}
	f->stop = frame->bytes.at[0] == 'S' && !gss;
	conn->opaque = yes && !f->stop;
	return conn->opaque ? FRAME_OPAQUE : FRAME_OK;
}

/* ---- frames ---- */

/* Who is the client, by the first bytes of a connection whose login was not seen. */
static void find_roles(struct pg_conn *conn, struct frames *f, uint8_t type)
{
	uint32_t len = 0;

	if (type == 0)
		conn->client = (uint8_t)f->d;
	else if (memchr("QPBXFpf", type, 7))
		conn->client = (uint8_t)f->d;
	else if (memchr("RKZTIN123tnsGWAVv", type, 17))
		conn->client = !f->d;
	else if (pg_message_sure(true, f->chunk->bytes) != pg_message_sure(false, f->chunk->bytes))
		conn->client = (uint8_t)(pg_message_sure(true, f->chunk->bytes) ? f->d : !f->d);
	else
		conn->client = f->chunk->flow->src_port == PORT_PG;
	conn->roles = true;
	conn->typed = !(f->d == conn->client && pg_startup(f->chunk->bytes, &len) >= PG_STARTUP_LOGIN);
}

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct pg_conn *conn = f->conn;
	struct rd rd = rd_make(bytes);
	bool front;
	uint8_t type;
	uint32_t len = 0;

	if (!conn->roles)
		find_roles(conn, f, bytes.at[0]);
	front = f->d == conn->client;
	if (front && !conn->typed) {
		switch (pg_startup(bytes, &len)) {
		case PG_STARTUP_NO:
			return FRAME_BAD;
		case PG_STARTUP_MORE:
			return 0;
		default:
			*ret_show = len;
			return len;
		}
	}
	if (!front && conn->encrypt_asked && bytes.at[0] != 'E') {
		*ret_show = 1;
		return memchr("SNG", bytes.at[0], 3) ? 1 : FRAME_BAD;
	}
	type = rd_u8(&rd);
	len = rd_u32be(&rd);
	if (rd.bad)
		return 0;
	if (!pg_head_ok(front, type, len))
		return FRAME_BAD;
	if (memchr(front ? "dpcfSHX" : "DdRSKTtv", type, front ? 7 : 8))
		*ret_show = PG_HEAD_BYTES;
	else
		*ret_show = SHOW_MAX;
	return (int64_t)len + 1;
}

static int take(struct frames *f, const struct frame *frame)
{
	struct pg_conn *conn = f->conn;

	if (f->d == conn->client) {
		if (!conn->typed)
			return take_startup(f, frame);
		take_front(f, frame);
		return FRAME_OK;
	}
	if (conn->encrypt_asked && frame->len == 1)
		return take_encrypt_answer(f, frame);
	conn->encrypt_asked = false;
	take_back(f, frame);
	return FRAME_OK;
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct pg_conn *conn = f->conn;

	if (f->d != conn->client) {
		(void)whole;
		call_missing(conn->rsp, missing);
		if (conn->rsp)
			call_response_end(conn->rsp, f->chunk, end_off);
		return;
	}
	if (conn->copying) {
		call_missing(conn->copying, missing);
		call_request_end(conn->copying, f->chunk, end_off);
	} else if (conn->waiting.tail && conn->waiting.tail->has_req && !(conn->waiting.tail->tag & TAG_DONE)) {
		call_missing(conn->waiting.tail, missing);
		call_request_end(conn->waiting.tail, f->chunk, end_off);
	}
}

static bool resync(struct frames *f, struct view bytes)
{
	const struct pg_conn *conn = f->conn;

	return pg_message_sure(f->d == conn->client, bytes);
}

static void lost(struct frames *f, uint64_t len)
{
	struct pg_conn *conn = f->conn;
	struct call *call;

	conn->building = NULL;
	conn->typed = true;
	if (f->d == conn->client) {
		call = conn->waiting.tail;
		if (call && !(call->tag & TAG_SYNC) && call->tag & TAG_EXTENDED)
			call->tag |= TAG_SYNC;	/* its Sync may be in the hole */
		return;
	}
	call_missing(conn->waiting.head, len);
	while ((call = call_fifo_take(&conn->waiting)))
		end_call(conn, call, CALL_END_gap, f->sink);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t pg_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct pg_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	int64_t rc;

	if (conn->opaque)
		return PROTO_SKIP_REST;
	rc = frames_feed(&f, &frame_ops);
	return f.stop ? PROTO_SWITCH(rc, L7_tls) : rc;	/* behind the one byte that says yes */
}

static int pg_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct pg_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	if (conn->opaque)
		return 0;
	if (!conn->roles)
		return E_FORMAT;
	return frames_gap(&f, &frame_ops, len);
}

static void pg_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct pg_conn *conn = at;
	struct call *call;

	while ((call = call_fifo_take(&conn->waiting))) {
		uint8_t why = reason;

		/* a login or a command that was refused: the server closes without a ReadyForQuery */
		if (call->tag & TAG_DONE)
			why = CALL_END_complete;
		else if (reason == CALL_END_closed && !call->has_rsp)
			why = CALL_END_unanswered;
		end_call(conn, call, why, sink);
	}
	statements_release(&conn->statements, sink);
}

static enum guess pg_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_PG || hint->dst_port == PORT_PG;
	uint32_t len;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	switch (pg_startup(bytes, &len)) {
	case PG_STARTUP_MORE:
		return bytes.len < 4 || (bytes.at[0] == 0 && bytes.at[1] == 0) ? GUESS_MORE : GUESS_NO;
	case PG_STARTUP_NO:
		break;
	default:
		return GUESS_YES;
	}
	if (pg_message_sure(true, bytes) || pg_message_sure(false, bytes))
		return GUESS_YES;
	if (bytes.len < PG_HEAD_BYTES)
		return port ? GUESS_MORE : GUESS_NO;
	/* seen from the middle, and the message is longer than what there is */
	len = (uint32_t)bytes.at[1] << 24 | (uint32_t)bytes.at[2] << 16 | (uint32_t)bytes.at[3] << 8 | bytes.at[4];
	if (bytes.len > len || len > 65536 || !memchr("QPBTDEC", bytes.at[0], 7))
		return GUESS_NO;
	return (pg_head_ok(true, bytes.at[0], len) || pg_head_ok(false, bytes.at[0], len)) && port ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_postgresql = {
	.id = L7_postgresql,
	.name = "postgresql",
	.title = "PostgreSQL",
	.conn_size = sizeof(struct pg_conn),
	.hold_bytes = (size_t)32 << 10,
	.guess = pg_guess,
	.feed = pg_feed,
	.gap = pg_gap,
	.close = pg_close,
	.detail = pg_detail,
};
