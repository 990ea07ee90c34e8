/*
 * SNMP versions 1 (RFC 1157), 2c (RFC 3416) and 3 (RFC 3412, 3414) over UDP.
 *
 * A response has the request id of its request, in version 3 the message id, which
 * can be seen even where the rest is encrypted. Traps are answered by nobody. The
 * community is a password: no column shows it.
 */
#include "wire/exchange.h"
#include "wire/snmp_msg.h"

#define PORT_TRAP	162
#define TIMEOUT_NS	10000000000ull
#define NAME_TEXT	40
#define TARGET_MAX	512
#define ANSWERS_MAX	512
#define USER_MAX	64
#define SHOWN_OIDS	4

struct snmp_conn {
	struct exchange ex;	/* first: exchange_close() and exchange_tick() take the connection for it */
	bool any;
};

static bool is_response(const struct snmp_msg *msg)
{
	return msg->pdu == SNMP_RESPONSE || msg->pdu == SNMP_REPORT;
}

static bool is_trap(const struct snmp_msg *msg)
{
	return msg->pdu == SNMP_TRAP1 || msg->pdu == SNMP_TRAP2;
}

/* Each side numbers its own. */
static uint64_t tag_of(const struct snmp_msg *msg, unsigned asker)
{
	return (uint64_t)asker << 33 | (uint64_t)(msg->version == 3) << 32 |
	       (msg->version == 3 ? msg->msg_id : (uint32_t)msg->request_id);
}

/* ---- columns ---- */

static void oids_text(const struct snmp_msg *msg, unsigned max, struct txt *txt, uint64_t *ret_count)
{
	struct view rest = msg->variables, oid;
	struct ber_elem value;

	for (*ret_count = 0; snmp_next(&rest, &oid, &value); ++*ret_count) {
		if (*ret_count >= max)
			continue;
		if (txt->len)
			txt_str(txt, ",");
		(void)ber_oid(oid, txt);
	}
	if (*ret_count > max)
		txt_str(txt, ",...");
}

/* The last number of an oid is the row of a table, or 0 for what is no table. */
static void set_template(struct call_sink *sink, struct call *call, struct view oids)
{
	char text[TARGET_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	size_t end = 0, dot = 0;

	for (; end < oids.len && oids.at[end] != ','; end++)
		if (oids.at[end] == '.')
			dot = end;
	if (!end)
		return;
	if (dot && !view_is(view_sub(oids, dot, end - dot), ".0")) {
		txt_put(&txt, view_sub(oids, 0, dot));
		txt_str(&txt, ".{id}");
	} else {
		txt_put(&txt, view_sub(oids, 0, end));
	}
	CALL_TEXT(sink, call, target_template, txt_view(&txt), TARGET_MAX);
}

static void set_envelope(struct call_sink *sink, struct call *call, const struct snmp_msg *msg)
{
	CALL_TEXT(sink, call, version, view_str(snmp_version_name(msg->version)), NAME_TEXT);
	if (msg->version == 3) {
		CALL_TEXT(sink, call, user, msg->user, USER_MAX);
		ROW_SET(CALL, &call->row, encrypted, msg->encrypted || call->row.encrypted);
	}
}

static void set_request(struct call_sink *sink, struct call *call, const struct snmp_msg *msg)
{
	char text[TARGET_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	uint64_t count;

	set_envelope(sink, call, msg);
	if (!msg->pdu)
		return;
	CALL_TEXT(sink, call, method, view_str(snmp_pdu_name(msg->pdu)), NAME_TEXT);
	if (msg->pdu == SNMP_TRAP1)
		(void)ber_oid(msg->enterprise, &txt);
	else
		oids_text(msg, SHOWN_OIDS, &txt, &count);
	CALL_TEXT(sink, call, target, txt_view(&txt), TARGET_MAX);
	set_template(sink, call, txt_view(&txt));
}

static void set_values(struct call_sink *sink, struct call *call, const struct snmp_msg *msg)
{
	char text[ANSWERS_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct view rest = msg->variables, oid;
	struct ber_elem value;
	uint64_t count = 0;

	for (; snmp_next(&rest, &oid, &value); count++) {
		if (count >= SHOWN_OIDS)
			continue;
		if (count)
			txt_str(&txt, ",");
		snmp_value_text(&value, &txt);
	}
	ROW_SET(CALL, &call->row, rows, count);
	CALL_TEXT(sink, call, answers, txt_view(&txt), ANSWERS_MAX);
}

static uint8_t class_of(int64_t status)
{
	switch (status) {
	case 0:
		return CLASS_ok;
	case 1:			/* tooBig */
	case 5:			/* genErr */
	case 13:		/* resourceUnavailable */
	case 14:		/* commitFailed */
	case 15:		/* undoFailed */
		return CLASS_server_error;
	default:
		return CLASS_client_error;
	}
}

/* A report says why a request of version 3 was not taken; asking for the engine's id is no fault. */
static void set_report(struct call_sink *sink, struct call *call, const struct snmp_msg *msg)
{
	struct view rest = msg->variables, oid;
	struct ber_elem value;
	const char *name = snmp_next(&rest, &oid, &value) ? snmp_report_name(oid) : NULL;
	bool usual = name && (strcmp(name, "unknownEngineIDs") == 0 || strcmp(name, "notInTimeWindows") == 0);

	ROW_SET(CALL, &call->row, status_class, usual ? CLASS_ok : CLASS_client_error);
	CALL_TEXT(sink, call, status_text, view_str(name ? name : "report"), NAME_TEXT);
	if (!usual)
		call_error(sink, call, "%s", name ? name : "report");
}

static void set_response(struct call_sink *sink, struct call *call, const struct snmp_msg *msg)
{
	const char *name = snmp_error_name(msg->error_status);

	set_envelope(sink, call, msg);
	if (msg->pdu == SNMP_REPORT) {
		set_report(sink, call, msg);
		return;
	}
	if (!msg->pdu) {
		ROW_SET(CALL, &call->row, status_class, CLASS_none);
		return;
	}
	ROW_SET(CALL, &call->row, status, (uint16_t)msg->error_status);
	ROW_SET(CALL, &call->row, status_class, class_of(msg->error_status));
	if (name)
		CALL_TEXT(sink, call, status_text, view_str(name), NAME_TEXT);
	if (msg->error_status)
		call_error(sink, call, "%s at variable %lld", name ? name : "error", (long long)msg->error_index);
	set_values(sink, call, msg);
}

/* ---- feeding ---- */

static void oneway(const struct exchange_msg *m, const struct snmp_msg *msg)
{
	struct call *call = exchange_oneway(m);

	if (!call)
		return;
	set_request(m->sink, call, msg);
	call_end(m->sink, call, CALL_END_oneway);
}

static void take(const struct exchange_msg *m, const struct snmp_msg *msg, unsigned d)
{
	bool response = is_response(msg);
	struct call *call;

	/* encrypted: who wants an answer says that he takes reports (RFC 3412 6.4) */
	if (!msg->pdu)
		response = !msg->reportable && !exchange_waits(m->ex, tag_of(msg, d));
	if (is_trap(msg) || (!msg->pdu && response && !exchange_waits(m->ex, tag_of(msg, !d)) &&
			     (d ? m->chunk->flow->src_port : m->chunk->flow->dst_port) == PORT_TRAP)) {
		oneway(m, msg);
		return;
	}
	if (response) {
		call = exchange_response(m, tag_of(msg, !d));
		if (!call)
			return;
		set_response(m->sink, call, msg);
		exchange_end(m, call);
		return;
	}
	call = exchange_request(m, tag_of(msg, d));
	if (call)
		set_request(m->sink, call, msg);
}

static int64_t snmp_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct snmp_conn *conn = at;
	struct exchange_msg m = { .ex = &conn->ex, .chunk = chunk, .sink = sink, .l7 = L7_snmp, .timeout_ns = TIMEOUT_NS };
	struct snmp_msg msg;

	if (!chunk->datagram)
		return E_FORMAT;
	if (!snmp_msg(chunk->bytes, &msg))
		return conn->any ? (int64_t)chunk->bytes.len : E_FORMAT;
	conn->any = true;
	take(&m, &msg, d);
	return (int64_t)chunk->bytes.len;
}

static enum guess snmp_guess(struct view bytes, const struct guess_hint *hint)
{
	struct snmp_msg msg;

	return hint->proto == PROTO_udp && snmp_msg(bytes, &msg) ? GUESS_YES : GUESS_NO;
}

const struct proto_ops proto_snmp = {
	.id = L7_snmp,
	.name = "snmp",
	.title = "SNMP",
	.conn_size = sizeof(struct snmp_conn),
	.guess = snmp_guess,
	.feed = snmp_feed,
	.gap = exchange_gap,
	.close = exchange_close,
	.tick = exchange_tick,
	.detail = snmp_detail,
};
