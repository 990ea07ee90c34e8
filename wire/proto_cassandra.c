/*
 * Cassandra CQL native protocol, versions 1 to 5 (cassandra: doc/native_protocol_v*.spec).
 *
 * A response names the stream of its request. From version 5 on envelopes travel in
 * segments once the connection is set up: a segment is read whole, the envelopes in
 * it one by one; compressed segments make the rest opaque.
 */
#include "base/hash.h"
#include "wire/cql_msg.h"
#include "wire/dissect.h"
#include "wire/fold.h"
#include "wire/statements.h"

#define PORT_CQL	9042
#define SQL_MAX		4096
#define TEMPLATE_MAX	1024
#define SHOW_MAX	((uint64_t)8 << 10)
#define NAME_MAX_TEXT	64
#define PENDING_MAX	1024
#define SEGMENT_HEAD	6		/* 17 bits of length, self-contained, CRC-24 */
#define SEGMENT_TAIL	4		/* CRC-32 */
#define SEGMENT_MAX	131071u

struct cql_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting;	/* tag: stream */
	bool roles, sure, opaque, compress;
	bool segments[2];		/* version 5, set up */
	uint8_t client;
	uint64_t rest[2];		/* of an envelope that goes on in the next segment */
	struct call *current[2];	/* of the frame in progress */
	uint8_t db_len;
	char db[NAME_MAX_TEXT];
	struct statements statements;	/* by the hash of their id */
};

static uint64_t id_hash(struct view id)
{
	return hash_bytes(id.len ? id.at : (const uint8_t *)"", id.len, 5) | 1;
}

static void end_call(struct cql_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	for (unsigned d = 0; d < 2; d++)
		if (conn->current[d] == call)
			conn->current[d] = NULL;
	call->rsp_whole = call->has_rsp && (reason == CALL_END_complete || reason == CALL_END_no_request ||
					    reason == CALL_END_oneway);
	if (call->rsp_whole && call->row.status_class == CLASS_none)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	call_end(sink, call, reason);
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
	CALL_TEXT(sink, call, target_template, view_make(text, fold_sql(sql, 0, text, sizeof(text))), TEMPLATE_MAX);
	CALL_TEXT(sink, call, table, fold_sql_table(sql), 128);
}

static void set_batch(struct cql_conn *conn, struct call_sink *sink, struct call *call, struct view body)
{
	struct rd rd = rd_make(body);
	struct view sql;
	unsigned count;

	(void)rd_u8(&rd);
	count = rd_u16be(&rd);
	sql = rd_u8(&rd) == 0 ? cql_long_string(&rd) : statement_sql(&conn->statements, id_hash(cql_short_bytes(&rd)));
	set_sql(sink, call, sql, "BATCH");
	ROW_SET(CALL, &call->row, rows, count);
}

static void take_request(struct frames *f, const struct cql_head *head, struct view body, uint64_t off)
{
	struct cql_conn *conn = f->conn;
	struct rd rd = rd_make(body);
	struct view sql;
	char version[4] = { 'v', (char)('0' + head->version) };
	struct call *call;

	conn->current[f->d] = NULL;
	for (call = conn->waiting.head; call && call->tag != (uint16_t)head->stream;)
		call = call->next;
	if (call) {		/* the stream is used again: its answer was not captured */
		call_fifo_remove(&conn->waiting, call);
		end_call(conn, call, CALL_END_gap, f->sink);
	}
	if (conn->waiting.count >= PENDING_MAX)
		end_call(conn, call_fifo_take(&conn->waiting), CALL_END_evicted, f->sink);
	if (head->opcode == CQL_STARTUP)
		conn->compress = view_find(body, VIEW_LIT("COMPRESSION")) >= 0;
	call = call_open(f->sink, L7_cassandra);
	if (!call)
		return;
	call->tag = (uint16_t)head->stream;
	call_request_begin(call, f->chunk, off);
	call_request_end(call, f->chunk, off);
	CALL_TEXT(f->sink, call, version, view_make(version, 2), sizeof(version));
	CALL_TEXT(f->sink, call, db, view_make(conn->db, conn->db_len), NAME_MAX_TEXT);
	switch (head->opcode) {
	case CQL_QUERY:
		sql = cql_long_string(&rd);
		set_sql(f->sink, call, sql, sql.len ? NULL : "QUERY");
		break;
	case CQL_PREPARE:
		set_sql(f->sink, call, cql_long_string(&rd), "PREPARE");
		break;
	case CQL_EXECUTE:
		sql = statement_sql(&conn->statements, id_hash(cql_short_bytes(&rd)));
		set_sql(f->sink, call, sql, sql.len ? NULL : "EXECUTE");
		break;
	case CQL_BATCH:
		set_batch(conn, f->sink, call, body);
		break;
	case CQL_STARTUP:
		CALL_TEXT(f->sink, call, method, VIEW_LIT("STARTUP"), NAME_MAX_TEXT);
		for (unsigned n = rd_u16be(&rd); n && !rd.bad; n--) {
			struct view name = cql_string(&rd), value = cql_string(&rd);

			if (view_is(name, "DRIVER_NAME"))
				CALL_TEXT(f->sink, call, user_agent, value, 256);
		}
		break;
	default:
		CALL_TEXT(f->sink, call, method, view_str(cql_opcode(head->opcode)), NAME_MAX_TEXT);
		break;
	}
	call_fifo_put(&conn->waiting, call);
	conn->current[f->d] = call;
}

/* ---- responses ---- */

static void set_error(struct call_sink *sink, struct call *call, struct view body)
{
	struct rd rd = rd_make(body);
	uint32_t code = rd_u32be(&rd);
	struct view text = cql_string(&rd);
	const char *name = cql_error_name(code);

	ROW_SET(CALL, &call->row, status_class, !body.len || code >= 0x2000 || code == 0x0a || code == 0x100 ?
		CLASS_client_error : CLASS_server_error);
	if (rd.bad && !body.len)
		return;		/* compressed */
	ROW_SET(CALL, &call->row, status, (uint16_t)code);
	if (name)
		CALL_TEXT(sink, call, status_text, view_str(name), NAME_MAX_TEXT);
	call_error(sink, call, "%.*s", (int)(text.len < 400 ? text.len : 400), text.len ? (const char *)text.at : "");
}

static void set_result(struct cql_conn *conn, struct call_sink *sink, struct call *call, struct view body)
{
	struct rd rd = rd_make(body);
	uint64_t rows;

	switch (rd_u32be(&rd)) {
	case CQL_ROWS:
		if (cql_rows(body, &rows))
			ROW_SET(CALL, &call->row, rows, rows);
		break;
	case CQL_KEYSPACE: {
		struct view name = view_sub(cql_string(&rd), 0, NAME_MAX_TEXT);

		memcpy(conn->db, name.len ? name.at : (const uint8_t *)"", name.len);
		conn->db_len = (uint8_t)name.len;
		CALL_TEXT(sink, call, answers, name, NAME_MAX_TEXT);
		break;
	}
	case CQL_PREPARED:
		if (ROW_HAS(CALL, &call->row, target))
			statement_put(&conn->statements, sink, id_hash(cql_short_bytes(&rd)), call->row.target);
		break;
	default:
		break;
	}
}

static void take_response(struct frames *f, const struct cql_head *head, struct view body, uint64_t off)
{
	struct cql_conn *conn = f->conn;
	struct call *call = conn->waiting.head;
	char version[4] = { 'v', (char)('0' + head->version) };

	while (call && (head->stream < 0 || call->tag != (uint16_t)head->stream))
		call = call->next;
	if (call) {
		call_fifo_remove(&conn->waiting, call);
	} else {
		call = call_open(f->sink, L7_cassandra);
		if (!call)
			return;
		CALL_TEXT(f->sink, call, version, view_make(version, 2), sizeof(version));
	}
	call_response_begin(call, f->chunk, off);
	call_response_end(call, f->chunk, off);
	if (head->opcode == CQL_EVENT) {
		struct rd rd = rd_make(body);

		call->tag = UINT64_MAX;		/* nobody asked */
		CALL_TEXT(f->sink, call, method, VIEW_LIT("EVENT"), NAME_MAX_TEXT);
		CALL_TEXT(f->sink, call, target, cql_string(&rd), NAME_MAX_TEXT);
	} else if (head->opcode == CQL_ERROR) {
		set_error(f->sink, call, body);
	} else {
		CALL_TEXT(f->sink, call, status_text, view_str(cql_opcode(head->opcode)), NAME_MAX_TEXT);
		if (head->opcode == CQL_RESULT)
			set_result(conn, f->sink, call, body);
	}
	if (head->version == 5 && (head->opcode == CQL_READY || head->opcode == CQL_AUTHENTICATE)) {
		conn->segments[0] = conn->segments[1] = true;
		conn->opaque = conn->compress;
	}
	conn->sure = true;
	conn->current[f->d] = call;
}

/* ---- envelopes ---- */

static void envelope_end(struct frames *f, uint64_t end_off)
{
	struct cql_conn *conn = f->conn;
	struct call *call = conn->current[f->d];

	conn->current[f->d] = NULL;
	if (!call)
		return;
	if (f->d == conn->client) {
		call_request_end(call, f->chunk, end_off);
		return;
	}
	call_response_end(call, f->chunk, end_off);
	end_call(conn, call, call->tag == UINT64_MAX ? CALL_END_oneway : call->has_req ? CALL_END_complete : CALL_END_no_request,
		 f->sink);
}

static bool take_envelope(struct frames *f, struct view bytes, uint64_t off)
{
	struct cql_conn *conn = f->conn;
	struct cql_head head;

	if (cql_head(bytes, &head) <= 0 || head.response == (f->d == conn->client))
		return false;
	bytes = cql_body(&head, view_sub(bytes, head.len, head.body));
	if (f->d == conn->client)
		take_request(f, &head, bytes, off);
	else
		take_response(f, &head, bytes, off);
	return true;
}

/* The payload of a segment: envelopes, or a piece of a large one. */
static int take_segment(struct frames *f, const struct frame *frame)
{
	struct cql_conn *conn = f->conn;
	uint64_t *left = &conn->rest[f->d];
	uint64_t off = frame->off + SEGMENT_HEAD;
	struct view payload = view_sub(frame->bytes, SEGMENT_HEAD, (size_t)(frame->len - SEGMENT_HEAD - SEGMENT_TAIL));

	while (payload.len) {
		struct cql_head head;
		uint64_t len;

		if (*left) {
			len = *left < payload.len ? *left : payload.len;
			*left -= len;
			off += len;
			payload = view_sub(payload, (size_t)len, payload.len);
			if (!*left)
				envelope_end(f, off);
			continue;
		}
		if (cql_head(payload, &head) <= 0)
			return FRAME_BAD;
		len = head.len + (uint64_t)head.body;
		if (!take_envelope(f, view_sub(payload, 0, SHOW_MAX), off))
			return FRAME_BAD;
		if (len > payload.len) {
			*left = len - payload.len;
			break;
		}
		off += len;
		payload = view_sub(payload, (size_t)len, payload.len);
		envelope_end(f, off);
	}
	return FRAME_OK;
}

/* ---- frames ---- */

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct cql_conn *conn = f->conn;
	struct cql_head head;
	int rc;

	if (conn->segments[f->d]) {
		uint32_t bits;

		if (bytes.len < SEGMENT_HEAD)
			return 0;
		bits = (uint32_t)bytes.at[0] | (uint32_t)bytes.at[1] << 8 | (uint32_t)bytes.at[2] << 16;
		if (bits >> 18)
			return FRAME_BAD;
		*ret_show = SEGMENT_HEAD + (uint64_t)(bits & SEGMENT_MAX) + SEGMENT_TAIL;
		return (int64_t)*ret_show;
	}
	rc = cql_head(bytes, &head);
	if (rc <= 0)
		return rc < 0 ? FRAME_BAD : 0;
	if (!conn->roles) {
		conn->roles = true;
		conn->client = (uint8_t)(head.response ? !f->d : f->d);
	}
	*ret_show = head.len + SHOW_MAX;
	return (int64_t)head.len + (int64_t)head.body;
}

static int take(struct frames *f, const struct frame *frame)
{
	struct cql_conn *conn = f->conn;

	if (conn->segments[f->d])
		return take_segment(f, frame);
	return take_envelope(f, frame->bytes, frame->off) ? FRAME_OK : FRAME_BAD;
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct cql_conn *conn = f->conn;
	struct call *call = conn->current[f->d];

	if (!call)
		return;
	call_missing(call, missing);
	if (whole && !conn->rest[f->d])
		envelope_end(f, end_off);
	else if (f->d == conn->client)
		call_request_end(call, f->chunk, end_off);
	else
		call_response_end(call, f->chunk, end_off);
}

static bool resync(struct frames *f, struct view bytes)
{
	const struct cql_conn *conn = f->conn;

	return !conn->segments[f->d] && cql_sure(bytes, f->d != conn->client);
}

static void lost(struct frames *f, uint64_t len)
{
	struct cql_conn *conn = f->conn;
	struct call *call = conn->current[f->d];

	conn->rest[f->d] = 0;
	conn->current[f->d] = NULL;
	call_missing(call, len);
	if (f->d == conn->client)
		return;
	if (!call && conn->waiting.head && !conn->waiting.head->next) {
		call = call_fifo_take(&conn->waiting);
		call_missing(call, len);
	}
	if (call)
		end_call(conn, call, CALL_END_gap, f->sink);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t cql_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct cql_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return conn->opaque && !conn->dir[d].open ? PROTO_SKIP_REST : frames_feed(&f, &frame_ops);
}

static int cql_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct cql_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return conn->roles ? frames_gap(&f, &frame_ops, len) : E_FORMAT;
}

static void cql_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct cql_conn *conn = at;

	if (conn->current[!conn->client] && conn->roles)
		end_call(conn, conn->current[!conn->client], reason, sink);
	call_fifo_end_open(&conn->waiting, sink, reason);
	statements_release(&conn->statements, sink);
}

static enum guess cql_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_CQL || hint->dst_port == PORT_CQL;
	struct cql_head head;
	int rc;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	rc = cql_head(bytes, &head);
	if (rc <= 0)
		return rc < 0 ? GUESS_NO : GUESS_MORE;
	if (cql_sure(bytes, head.response))
		return head.opcode == CQL_STARTUP || head.opcode == CQL_SUPPORTED || head.opcode == CQL_QUERY || port ?
			GUESS_YES : GUESS_MAYBE;
	if (bytes.len - head.len < head.body && bytes.len < 300 && head.body < 65536 && head.opcode < CQL_EVENT)
		return GUESS_MORE;
	return port ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_cassandra = {
	.id = L7_cassandra,
	.name = "cassandra",
	.title = "Cassandra CQL",
	.conn_size = sizeof(struct cql_conn),
	.hold_bytes = (size_t)160 << 10,
	.guess = cql_guess,
	.feed = cql_feed,
	.gap = cql_gap,
	.close = cql_close,
	.detail = cql_detail,
};
