/*
 * LDAP version 2 and 3 (RFC 4511) over TCP, and without connections over UDP
 * (MS-ADTS 3.1.1.3: CLDAP).
 *
 * A response names the message id of its request, and a search has many. What a
 * SASL layer signs without sealing is read; what it seals is passed over. After
 * StartTLS the flow is TLS.
 */
#include "wire/dissect.h"
#include "wire/ldap_msg.h"

#include "base/rd.h"

#define PORT_LDAP	389
#define PORT_CATALOG	3268
#define SHOW_MAX	((uint64_t)8 << 10)
#define WRAPPED_SHOW	((uint64_t)64 << 10)	/* a signed buffer is read whole up to here */
#define WRAPPED_MAX	((uint64_t)16 << 20)
#define PENDING_MAX	1024
#define DATAGRAM_TIMEOUT_NS 5000000000ull
#define DN_MAX		1024
#define FILTER_MAX	512
#define TEMPLATE_MAX	512
#define USER_MAX	200
#define OID_MAX		128

struct ldap_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting;	/* tag: message id */
	bool roles, sure;
	bool binding;			/* user is whom a SASL bind of several steps is for */
	bool sasl;			/* a SASL bind succeeded: a security layer may be in force */
	bool starttls;			/* asked for, under starttls_id */
	bool tls;			/* granted: it begins where the answer ends */
	uint8_t client;
	uint8_t user_len;
	uint32_t starttls_id;
	uint64_t lost_ns;		/* responses were lost until then */
	struct call *current[2];	/* of the message in progress */
	bool last[2];			/* ... which ends it */
	char user[USER_MAX];
};

/* ---- calls ---- */

static void end_call(struct ldap_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	for (unsigned d = 0; d < 2; d++)
		if (conn->current[d] == call)
			conn->current[d] = NULL;
	call->rsp_whole = call->has_rsp && (reason == CALL_END_complete || reason == CALL_END_no_request ||
					    reason == CALL_END_oneway);
	call_end(sink, call, reason);
}

/* What ends with no answer: whose answer may have been in a hole is no fault of the server. */
static void end_open(struct ldap_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	if (call->has_req && call->row.req_last_ns <= conn->lost_ns && reason == CALL_END_closed)
		reason = CALL_END_gap;
	if (reason == CALL_END_closed && !call->has_rsp)
		reason = CALL_END_unanswered;
	end_call(conn, call, reason, sink);
}

static uint8_t class_of(uint32_t code)
{
	switch (code) {
	case 0:			/* success */
	case 5:			/* compareFalse */
	case 6:			/* compareTrue */
	case 10:		/* referral */
	case 14:		/* saslBindInProgress */
		return CLASS_ok;
	case 1:			/* operationsError */
	case 3:			/* timeLimitExceeded */
	case 11:		/* adminLimitExceeded */
	case 51:		/* busy */
	case 52:		/* unavailable */
	case 53:		/* unwillingToPerform */
	case 54:		/* loopDetect */
	case 71:		/* affectsMultipleDSAs */
	case 80:		/* other */
		return CLASS_server_error;
	default:
		return CLASS_client_error;
	}
}

/* ---- requests ---- */

static void set_search(struct call_sink *sink, struct call *call, struct view body)
{
	char text[TEMPLATE_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct ldap_search search;

	if (!ldap_search(body, &search))
		return;
	ldap_filter_text(search.filter, false, &txt);
	CALL_TEXT(sink, call, key, txt_view(&txt), FILTER_MAX);
	txt.len = 0;
	txt.cut = false;
	txt_put(&txt, view_sub(search.base, 0, TEMPLATE_MAX / 2));
	txt_printf(&txt, "?%s?", ldap_scope_name(search.scope));
	ldap_filter_text(search.filter, true, &txt);
	CALL_TEXT(sink, call, target_template, txt_view(&txt), TEMPLATE_MAX);
}

static void set_bind(struct ldap_conn *conn, struct call_sink *sink, struct call *call, struct view body)
{
	char text[USER_MAX], version[4];
	struct txt txt = { .at = text, .cap = sizeof(text) }, number = { .at = version, .cap = sizeof(version) };
	struct ldap_bind bind;

	if (!ldap_bind(body, &bind))
		return;
	txt_printf(&number, "%u", bind.version);
	CALL_TEXT(sink, call, version, txt_view(&number), sizeof(version));
	txt_put(&txt, bind.name);
	if (bind.sasl && !txt.len)
		ldap_sasl_user(&bind, &txt);
	if (conn->binding && !txt.len)	/* a further step of the same */
		txt_put(&txt, view_make(conn->user, conn->user_len));
	CALL_TEXT(sink, call, user, txt_view(&txt), USER_MAX);
	if (bind.sasl)
		CALL_TEXT(sink, call, key, bind.mechanism, OID_MAX);
}

static void set_request(struct ldap_conn *conn, struct call_sink *sink, struct call *call,
			const struct ldap_msg *msg)
{
	char text[TEMPLATE_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct view dn = ldap_dn(msg), body = msg->body, oid;

	CALL_TEXT(sink, call, method, view_str(ldap_op_name(msg->op)), OID_MAX);
	CALL_TEXT(sink, call, target, dn, DN_MAX);
	if (msg->op == LDAP_BIND) {
		set_bind(conn, sink, call, body);
	} else {
		CALL_TEXT(sink, call, user, view_make(conn->user, conn->user_len), USER_MAX);
	}
	if (msg->op == LDAP_SEARCH) {
		set_search(sink, call, body);
	} else if (msg->op == LDAP_EXTENDED && ber_take(&body, 0x80, &oid)) {
		CALL_TEXT(sink, call, target, oid, OID_MAX);
		CALL_TEXT(sink, call, target_template, oid, OID_MAX);
		if (view_is(oid, LDAP_OID_STARTTLS)) {
			conn->starttls = true;
			conn->starttls_id = msg->id;
		}
	} else if (dn.len) {
		ldap_dn_fold(dn, &txt);
		CALL_TEXT(sink, call, target_template, txt_view(&txt), TEMPLATE_MAX);
	}
}

/* Its answer is no longer wanted: there will be none. */
static void abandon(struct frames *f, const struct ldap_msg *msg)
{
	struct ldap_conn *conn = f->conn;
	struct call *call;
	int64_t id;

	if (!ber_int(msg->body, &id))
		return;
	call = call_fifo_pick(&conn->waiting, (uint64_t)id);
	if (!call)
		return;
	call_error(f->sink, call, "abandoned");
	end_call(conn, call, call->has_rsp ? CALL_END_closed : CALL_END_unanswered, f->sink);
}

static void take_request(struct frames *f, const struct ldap_msg *msg, uint64_t off)
{
	struct ldap_conn *conn = f->conn;
	struct call *call;

	conn->current[f->d] = NULL;
	call = call_fifo_pick(&conn->waiting, msg->id);
	if (call)		/* the id is used again: its answer was not captured */
		end_call(conn, call, CALL_END_gap, f->sink);
	if (conn->waiting.count >= PENDING_MAX)
		end_call(conn, call_fifo_take(&conn->waiting), CALL_END_evicted, f->sink);
	if (msg->op == LDAP_ABANDON)
		abandon(f, msg);
	call = call_open(f->sink, L7_ldap);
	if (!call)
		return;
	call->tag = msg->id;
	call_request_begin(call, f->chunk, off);
	call_request_end(call, f->chunk, off);
	set_request(conn, f->sink, call, msg);
	conn->current[f->d] = call;
	conn->last[f->d] = msg->op == LDAP_ABANDON || msg->op == LDAP_UNBIND;
	if (!conn->last[f->d])
		call_fifo_put(&conn->waiting, call);
}

/* ---- responses ---- */

/* An answer to a bind: from here on the connection is that user's, or nobody's. */
static void bound(struct ldap_conn *conn, const struct call *call, uint32_t code)
{
	conn->user_len = 0;
	conn->binding = code == LDAP_BIND_IN_PROGRESS;
	if (code != LDAP_SUCCESS && !conn->binding)
		return;
	if (ROW_HAS(CALL, &call->row, user)) {
		conn->user_len = (uint8_t)call->row.user.len;
		memcpy(conn->user, call->row.user.at, call->row.user.len);
	}
	conn->sasl |= !conn->binding && ROW_HAS(CALL, &call->row, key);
}

static void set_result(struct frames *f, struct call *call, const struct ldap_msg *msg)
{
	struct ldap_conn *conn = f->conn;
	struct call_sink *sink = f->sink;
	struct ldap_result result;
	struct ber_elem elem;
	const char *name;

	if (!ldap_result(msg->body, &result))
		return;
	name = ldap_result_name(result.code);
	ROW_SET(CALL, &call->row, status, (uint16_t)result.code);
	ROW_SET(CALL, &call->row, status_class, class_of(result.code));
	if (name)
		CALL_TEXT(sink, call, status_text, view_str(name), OID_MAX);
	if (class_of(result.code) != CLASS_ok && result.text.len)
		call_error(sink, call, "%.*s", (int)(result.text.len < ERROR_TEXT_MAX ? result.text.len : ERROR_TEXT_MAX),
			   (const char *)result.text.at);
	while (msg->op == LDAP_EXTENDED_RSP && ber_next(&result.rest, &elem))
		if (elem.tag == 0x8b && txt_is_text(elem.body))		/* who am I: "dn:..." */
			CALL_TEXT(sink, call, answers, elem.body, DN_MAX);
	if (msg->op == LDAP_BIND_RSP)
		bound(conn, call, result.code);
	if (msg->op == LDAP_EXTENDED_RSP && conn->starttls && msg->id == conn->starttls_id) {
		conn->starttls = false;
		f->stop = result.code == LDAP_SUCCESS;
	}
}

static bool is_last(uint8_t op)
{
	return op != LDAP_ENTRY && op != LDAP_REFERENCE && op != LDAP_INTERMEDIATE;
}

static void take_response(struct frames *f, const struct ldap_msg *msg, uint64_t off)
{
	struct ldap_conn *conn = f->conn;
	struct view dn = ldap_dn(msg);
	struct call *call = conn->waiting.head;

	conn->sure = true;
	while (call && call->tag != msg->id)
		call = call->next;
	if (!call) {
		call = call_open(f->sink, L7_ldap);
		conn->current[f->d] = NULL;
		if (!call)
			return;
		call->tag = msg->id;
		CALL_TEXT(f->sink, call, method, view_str(ldap_op_name(msg->op)), OID_MAX);
		call_fifo_put(&conn->waiting, call);
	}
	if (!call->has_rsp)
		call_response_begin(call, f->chunk, off);
	call_response_end(call, f->chunk, off);
	if (msg->op == LDAP_ENTRY) {
		ROW_SET(CALL, &call->row, rows, call->row.rows + 1);
		if (call->row.rows == 1)
			CALL_TEXT(f->sink, call, answers, dn, DN_MAX);
	} else if (is_last(msg->op)) {
		if (msg->op == LDAP_DONE && !ROW_HAS(CALL, &call->row, rows))
			ROW_SET(CALL, &call->row, rows, 0);
		set_result(f, call, msg);
	}
	conn->current[f->d] = call;
	conn->last[f->d] = is_last(msg->op);
}

/* ---- messages ---- */

static void message(struct frames *f, const struct ldap_msg *msg, uint64_t off)
{
	if (msg->response)
		take_response(f, msg, off);
	else
		take_request(f, msg, off);
}

/* The message in progress has come as far as end_off. */
static void message_progress(struct frames *f, uint64_t end_off, bool whole, bool response)
{
	struct ldap_conn *conn = f->conn;
	struct call *call = conn->current[f->d];

	if (!call)
		return;
	if (response)
		call_response_end(call, f->chunk, end_off);
	else
		call_request_end(call, f->chunk, end_off);
	if (!whole)
		return;
	conn->current[f->d] = NULL;
	if (!conn->last[f->d])
		return;
	if (!response) {
		end_call(conn, call, CALL_END_oneway, f->sink);
		return;
	}
	call_fifo_remove(&conn->waiting, call);
	/* id 0: nobody asked, the server says goodbye (RFC 4511 4.4) */
	end_call(conn, call, call->has_req ? CALL_END_complete : call->tag ? CALL_END_no_request : CALL_END_oneway,
		 f->sink);
}

/* Messages that are there whole, one behind the other. False: something else. */
static bool take_all(struct frames *f, struct view bytes, uint64_t off)
{
	struct ldap_msg msg;

	while (bytes.len) {
		if (ldap_msg(bytes, &msg) <= 0 || msg.len > bytes.len)
			return false;
		message(f, &msg, off);
		off += msg.len;
		message_progress(f, off, true, msg.response);
		bytes = view_sub(bytes, (size_t)msg.len, bytes.len);
	}
	return true;
}

/* ---- frames ---- */

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct ldap_conn *conn = f->conn;
	uint64_t len;
	uint8_t tag;
	int head;

	if (bytes.at[0] != BER_SEQUENCE) {
		struct rd rd = rd_make(bytes);

		if (!conn->sasl || bytes.at[0])
			return FRAME_BAD;
		len = rd_u32be(&rd);
		if (rd.bad)
			return 0;
		if (len > WRAPPED_MAX)
			return FRAME_BAD;
		*ret_show = 4 + len < WRAPPED_SHOW ? 4 + len : 4;
		return 4 + (int64_t)len;
	}
	head = ber_head(bytes, &tag, &len);
	if (head <= 0)
		return head < 0 ? FRAME_BAD : 0;
	*ret_show = SHOW_MAX;
	return (int64_t)head + (int64_t)len;
}

static int take(struct frames *f, const struct frame *frame)
{
	struct ldap_conn *conn = f->conn;
	struct ldap_msg msg;
	struct view inner;

	conn->current[f->d] = NULL;
	if (frame->bytes.at[0] != BER_SEQUENCE) {
		if (ldap_sasl_open(view_sub(frame->bytes, 4, frame->bytes.len), &inner))
			(void)take_all(f, inner, frame->off + (uint64_t)(inner.at - frame->bytes.at));
		conn->current[f->d] = NULL;
		return FRAME_OK;
	}
	if (ldap_msg(frame->bytes, &msg) <= 0)
		return FRAME_BAD;
	if (!conn->roles) {
		conn->roles = true;
		conn->client = (uint8_t)(msg.response ? !f->d : f->d);
	}
	if (msg.response == (f->d == conn->client))
		return FRAME_BAD;
	message(f, &msg, frame->off);
	return FRAME_OK;
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct ldap_conn *conn = f->conn;

	call_missing(conn->current[f->d], missing);
	message_progress(f, end_off, whole, f->d != conn->client);
}

static bool resync(struct frames *f, struct view bytes)
{
	const struct ldap_conn *conn = f->conn;
	struct ldap_msg msg;

	return ldap_sure(bytes) && ldap_msg(bytes, &msg) > 0 && msg.response == (f->d != conn->client);
}

static void lost(struct frames *f, uint64_t len)
{
	struct ldap_conn *conn = f->conn;
	struct call *call = conn->current[f->d];

	conn->current[f->d] = NULL;
	if (f->d == conn->client) {
		call_missing(call, len);
		return;
	}
	conn->lost_ns = call_sink_now(f->sink);
	for (struct call *at = conn->waiting.head; at; at = at->next)	/* whose entries may have been there */
		if (at->has_rsp || view_is(at->row.method, "search"))
			call_missing(at, len);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

/* ---- feeding ---- */

static void expire(struct ldap_conn *conn, uint64_t now_ns, struct call_sink *sink)
{
	struct call *call;

	while ((call = conn->waiting.head) && call->row.start_ns + DATAGRAM_TIMEOUT_NS <= now_ns) {
		(void)call_fifo_take(&conn->waiting);
		if (!call->has_rsp)
			ROW_SET(CALL, &call->row, end_ns, call->row.start_ns + DATAGRAM_TIMEOUT_NS);
		end_call(conn, call, call->has_rsp ? CALL_END_gap : CALL_END_unanswered, sink);
	}
}

static int64_t feed_datagram(struct frames *f)
{
	struct ldap_conn *conn = f->conn;

	expire(conn, f->chunk->time_ns, f->sink);
	if (!take_all(f, f->chunk->bytes, f->chunk->off) && !conn->sure && !conn->waiting.head)
		return E_FORMAT;
	conn->current[f->d] = NULL;
	return (int64_t)f->chunk->bytes.len;
}

static int64_t ldap_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct ldap_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	int64_t rc;

	if (chunk->datagram)
		return feed_datagram(&f);
	f.stop = conn->tls;
	rc = frames_feed(&f, &frame_ops);
	conn->tls = f.stop;
	return f.stop && !conn->dir[d].open && rc >= 0 && rc < PROTO_SKIP_BASE ? PROTO_SWITCH(rc, L7_tls) : rc;
}

static int ldap_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct ldap_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return conn->roles ? frames_gap(&f, &frame_ops, len) : E_FORMAT;
}

static void ldap_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct ldap_conn *conn = at;
	struct call *call;

	/* an unbind cut short waits nowhere */
	for (unsigned d = 0; d < 2; d++) {
		call = conn->current[d];
		if (call && conn->last[d] && !call->has_rsp)
			end_call(conn, call, reason, sink);
	}
	while ((call = call_fifo_take(&conn->waiting)))
		end_open(conn, call, reason, sink);
}

static void ldap_tick(void *at, uint64_t now_ns, struct call_sink *sink)
{
	struct ldap_conn *conn = at;

	if (!conn->roles)	/* datagrams: a search over TCP may take as long as it likes */
		expire(conn, now_ns, sink);
}

static enum guess ldap_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_LDAP || hint->dst_port == PORT_LDAP || hint->src_port == PORT_CATALOG ||
		    hint->dst_port == PORT_CATALOG;
	struct ldap_msg msg;
	int rc;

	if ((hint->proto != PROTO_tcp && hint->proto != PROTO_udp) || !bytes.len)
		return GUESS_NO;
	rc = ldap_msg(bytes, &msg);
	if (rc <= 0)
		return rc < 0 || hint->proto == PROTO_udp ? GUESS_NO : GUESS_MORE;
	if (ldap_sure(bytes))
		return GUESS_YES;
	if (msg.len <= bytes.len && (msg.op == LDAP_UNBIND || msg.op == LDAP_ABANDON || msg.op == LDAP_DELETE ||
				     msg.op == LDAP_INTERMEDIATE))
		return port ? GUESS_YES : GUESS_MAYBE;
	if (bytes.len < msg.len && bytes.len < 300 && hint->proto == PROTO_tcp)
		return GUESS_MORE;
	return GUESS_NO;
}

const struct proto_ops proto_ldap = {
	.id = L7_ldap,
	.name = "ldap",
	.title = "LDAP",
	.conn_size = sizeof(struct ldap_conn),
	.hold_bytes = (size_t)80 << 10,
	.guess = ldap_guess,
	.feed = ldap_feed,
	.gap = ldap_gap,
	.close = ldap_close,
	.tick = ldap_tick,
	.detail = ldap_detail,
};
