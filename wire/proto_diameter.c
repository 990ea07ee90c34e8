/*
 * Diameter over TCP and SCTP (RFC 6733), credit control (RFC 8506) and other applications.
 *
 * Either side asks; an answer has the hop-by-hop identifier of its request.
 */
#include "wire/diameter_msg.h"
#include "wire/dissect.h"

#define PORT_DIAMETER	3868
#define PPID_DIAMETER	46	/* 47 is behind DTLS */
#define SHOW_MAX	((uint64_t)8 << 10)
#define PENDING_MAX	1024
#define NAME_TEXT	64
#define VALUE_MAX	256

struct diameter_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting;	/* tag: who asked, hop-by-hop identifier */
	uint64_t lost_ns[2];		/* answers to that side were lost until then */
	bool sure, begun;
	struct call *current[2];	/* of the message in progress */
	bool answer[2];			/* ... which is an answer */
};

static uint64_t tag_of(const struct diameter_msg *msg, unsigned asker)
{
	return (uint64_t)asker << 32 | msg->hop_by_hop;
}

static void end_call(struct diameter_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	for (unsigned d = 0; d < 2; d++)
		if (conn->current[d] == call)
			conn->current[d] = NULL;
	call->rsp_whole = call->has_rsp && (reason == CALL_END_complete || reason == CALL_END_no_request);
	call_end(sink, call, reason);
}

/* ---- columns ---- */

static void set_text(struct call_sink *sink, struct call *call, const struct diameter_msg *msg)
{
	const char *command = diameter_command_name(msg->command), *application = diameter_application_name(msg->application);
	char text[NAME_TEXT];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	if (command)
		txt_str(&txt, command);
	else
		txt_printf(&txt, "command %u", msg->command);
	CALL_TEXT(sink, call, method, txt_view(&txt), NAME_TEXT);
	txt.len = 0;
	if (application)
		txt_str(&txt, application);
	else
		txt_printf(&txt, "application %u", msg->application);
	CALL_TEXT(sink, call, version, txt_view(&txt), NAME_TEXT);
}

/* What is to be done, where a command has kinds: INITIAL, UPDATE ... (RFC 8506 8.3, RFC 6733 9.8.1). */
static const char *kind_of(const struct diameter_msg *msg)
{
	static const char *const credit[] = { NULL, "INITIAL", "UPDATE", "TERMINATION", "EVENT" };
	static const char *const record[] = { NULL, "EVENT", "START", "INTERIM", "STOP" };
	uint32_t kind;

	if (diameter_u32(msg->avps, AVP_CC_TYPE, &kind))
		return kind < 5 ? credit[kind] : NULL;
	if (diameter_u32(msg->avps, AVP_RECORD_TYPE, &kind))
		return kind < 5 ? record[kind] : NULL;
	return NULL;
}

static void set_request(struct call_sink *sink, struct call *call, const struct diameter_msg *msg)
{
	struct view value, inner, avps = msg->avps;
	const char *kind = kind_of(msg);

	set_text(sink, call, msg);
	if (kind) {
		CALL_TEXT(sink, call, target, view_str(kind), NAME_TEXT);
		CALL_TEXT(sink, call, target_template, view_str(kind), NAME_TEXT);
	} else if (diameter_find(avps, AVP_DESTINATION_REALM, &value)) {
		CALL_TEXT(sink, call, target, value, VALUE_MAX);
	}
	if (diameter_find(avps, AVP_SESSION_ID, &value))
		CALL_TEXT(sink, call, key, value, VALUE_MAX);
	if (diameter_find(avps, AVP_DESTINATION_HOST, &value) || diameter_find(avps, AVP_DESTINATION_REALM, &value))
		CALL_TEXT(sink, call, host, value, VALUE_MAX);
	if (diameter_find(avps, AVP_PRODUCT, &value))
		CALL_TEXT(sink, call, user_agent, value, VALUE_MAX);
	if (diameter_find(avps, AVP_USER_NAME, &value))
		CALL_TEXT(sink, call, user, value, VALUE_MAX);
	else if (diameter_find(avps, AVP_SUBSCRIPTION, &value) && diameter_find(value, AVP_SUBSCRIPTION_DATA, &inner))
		CALL_TEXT(sink, call, user, inner, VALUE_MAX);
}

/* RFC 6733 7.1: 1 and 2 inform, 3 protocol, 4 transient and 5 permanent failures. */
static uint8_t class_of(uint32_t code)
{
	if (code == 3006)	/* redirect */
		return CLASS_ok;
	switch (code / 1000) {
	case 1:
	case 2:
		return CLASS_ok;
	case 3:
		return code >= 3002 && code <= 3005 ? CLASS_server_error : CLASS_client_error;
	case 4:
		return code == 4002 ? CLASS_server_error : CLASS_client_error;
	default:
		return code == 5006 || code == 5012 ? CLASS_server_error : CLASS_client_error;
	}
}

static void set_answer(struct call_sink *sink, struct call *call, const struct diameter_msg *msg)
{
	struct view value, avps = msg->avps;
	const char *name = NULL;
	uint32_t code;
	bool known = diameter_u32(avps, AVP_RESULT, &code);

	if (known)
		name = diameter_result_name(code);
	else if (diameter_find(avps, AVP_EXPERIMENTAL, &value))
		known = diameter_u32(value, AVP_EXPERIMENTAL_CODE, &code);
	if (known) {
		ROW_SET(CALL, &call->row, status, (uint16_t)code);
		ROW_SET(CALL, &call->row, status_class, class_of(code));
	}
	if (name)
		CALL_TEXT(sink, call, status_text, view_str(name), NAME_TEXT);
	if (diameter_find(avps, AVP_ERROR_MESSAGE, &value) && value.len)
		call_error(sink, call, "%.*s", (int)(value.len < VALUE_MAX ? value.len : VALUE_MAX), (const char *)value.at);
	if (diameter_find(avps, AVP_ORIGIN_HOST, &value))
		CALL_TEXT(sink, call, answers, value, VALUE_MAX);
	if (!ROW_HAS(CALL, &call->row, key) && diameter_find(avps, AVP_SESSION_ID, &value))
		CALL_TEXT(sink, call, key, value, VALUE_MAX);
}

/* ---- messages ---- */

static void take_request(struct frames *f, const struct diameter_msg *msg, uint64_t off)
{
	struct diameter_conn *conn = f->conn;
	struct call *call = call_fifo_pick(&conn->waiting, tag_of(msg, f->d));

	if (call)		/* the id is used again: its answer was not captured */
		end_call(conn, call, CALL_END_gap, f->sink);
	if (conn->waiting.count >= PENDING_MAX)
		end_call(conn, call_fifo_take(&conn->waiting), CALL_END_evicted, f->sink);
	call = call_open(f->sink, L7_diameter);
	conn->current[f->d] = call;
	if (!call)
		return;
	call->tag = tag_of(msg, f->d);
	call_request_begin(call, f->chunk, off);
	call_request_end(call, f->chunk, off);
	set_request(f->sink, call, msg);
	if (msg->flags & DIAMETER_AGAIN)
		call_error(f->sink, call, "asked before, maybe of another server");
	call_fifo_put(&conn->waiting, call);
}

static void take_answer(struct frames *f, const struct diameter_msg *msg, uint64_t off)
{
	struct diameter_conn *conn = f->conn;
	struct call *call = call_fifo_pick(&conn->waiting, tag_of(msg, !f->d));

	if (!call) {
		call = call_open(f->sink, L7_diameter);
		conn->current[f->d] = call;
		if (!call)
			return;
		set_text(f->sink, call, msg);
	}
	call_response_begin(call, f->chunk, off);
	call_response_end(call, f->chunk, off);
	set_answer(f->sink, call, msg);
	conn->current[f->d] = call;
}

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct diameter_msg msg;
	int rc = diameter_msg(bytes, &msg);

	(void)f;
	if (rc <= 0)
		return rc < 0 ? FRAME_BAD : 0;
	*ret_show = SHOW_MAX;
	return (int64_t)msg.len;
}

static int take(struct frames *f, const struct frame *frame)
{
	struct diameter_conn *conn = f->conn;
	struct diameter_msg msg;

	if (diameter_msg(frame->bytes, &msg) <= 0)
		return FRAME_BAD;
	conn->begun = true;
	conn->sure |= diameter_sure(frame->bytes);
	conn->answer[f->d] = !(msg.flags & DIAMETER_REQUEST);
	if (conn->answer[f->d])
		take_answer(f, &msg, frame->off);
	else
		take_request(f, &msg, frame->off);
	return FRAME_OK;
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct diameter_conn *conn = f->conn;
	struct call *call = conn->current[f->d];

	if (!call)
		return;
	call_missing(call, missing);
	if (!conn->answer[f->d]) {
		call_request_end(call, f->chunk, end_off);
		if (whole)
			conn->current[f->d] = NULL;
		return;
	}
	call_response_end(call, f->chunk, end_off);
	if (whole)
		end_call(conn, call, call->has_req ? CALL_END_complete : CALL_END_no_request, f->sink);
}

static bool resync(struct frames *f, struct view bytes)
{
	(void)f;
	return diameter_sure(bytes);
}

static void lost(struct frames *f, uint64_t len)
{
	struct diameter_conn *conn = f->conn;
	struct call *call = conn->current[f->d];

	conn->current[f->d] = NULL;
	conn->lost_ns[!f->d] = call_sink_now(f->sink);
	call_missing(call, len);
	if (call && conn->answer[f->d])
		end_call(conn, call, CALL_END_gap, f->sink);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

/* ---- feeding ---- */

/* SCTP: a user message is a message (RFC 6733 2.1.1). */
static int64_t message_feed(struct frames *f)
{
	struct diameter_conn *conn = f->conn;
	const struct chunk *chunk = f->chunk;
	struct frame frame = { .bytes = view_sub(chunk->bytes, 0, SHOW_MAX), .off = chunk->off };
	uint64_t there = chunk->bytes.len;
	struct diameter_msg msg;

	/* between messages of another kind, or cut off within its head */
	if (diameter_msg(chunk->bytes, &msg) <= 0 || msg.len > there + chunk->missing)
		return conn->begun || chunk->missing ? (int64_t)there : E_FORMAT;
	frame.len = msg.len;
	if (take(f, &frame) == FRAME_OK)
		progress(f, chunk->off + msg.len, true, msg.len > there ? msg.len - there : 0);
	return (int64_t)there;
}

static int64_t diameter_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct diameter_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return chunk->datagram ? message_feed(&f) : frames_feed(&f, &frame_ops);
}

static int diameter_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct diameter_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return conn->begun ? frames_gap(&f, &frame_ops, len) : E_FORMAT;
}

static void diameter_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct diameter_conn *conn = at;
	struct call *call;

	for (unsigned d = 0; d < 2; d++)
		if (conn->current[d] && conn->answer[d])
			end_call(conn, conn->current[d], reason, sink);
	while ((call = call_fifo_take(&conn->waiting))) {
		bool gap = reason == CALL_END_closed && call->row.req_last_ns <= conn->lost_ns[call->tag >> 32];

		call_end_open(sink, call, gap ? CALL_END_gap : reason);
	}
}

static enum guess diameter_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_DIAMETER || hint->dst_port == PORT_DIAMETER;
	struct diameter_msg msg;
	int rc;

	if ((hint->proto != PROTO_tcp && hint->proto != PROTO_sctp) || !bytes.len)
		return GUESS_NO;
	rc = diameter_msg(bytes, &msg);
	if (rc < 0)
		return GUESS_NO;
	if (hint->proto == PROTO_sctp)
		return rc > 0 && (hint->ppid == PPID_DIAMETER || diameter_sure(bytes)) ? GUESS_YES :
		       rc > 0 && port && !hint->ppid ? GUESS_MAYBE : GUESS_NO;
	if (rc == 0 || bytes.len < DIAMETER_HEAD_BYTES + 8)
		return GUESS_MORE;
	if (diameter_sure(bytes))
		return GUESS_YES;
	return port ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_diameter = {
	.id = L7_diameter,
	.name = "diameter",
	.title = "Diameter",
	.conn_size = sizeof(struct diameter_conn),
	.hold_bytes = (size_t)16 << 10,
	.guess = diameter_guess,
	.feed = diameter_feed,
	.gap = diameter_gap,
	.close = diameter_close,
	.detail = diameter_detail,
};
