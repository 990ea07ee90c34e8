/*
 * RADIUS over UDP: access (RFC 2865), accounting (RFC 2866), change of authorization
 * and disconnect (RFC 5176), status (RFC 5997).
 *
 * A response has the id of its request. The same id with the same authenticator is
 * the same request once more; with another one it is a new request.
 */
#include "base/hash.h"
#include "wire/exchange.h"
#include "wire/radius_msg.h"

#define TIMEOUT_NS	30000000000ull	/* clients ask again after some seconds, several times */
#define NAME_TEXT	32
#define USER_MAX	256
#define VALUE_MAX	256

struct radius_conn {
	struct exchange ex;	/* first: exchange_close() and exchange_tick() take the connection for it */
	bool any;
	/* By id: hash of the latest request's authenticator, and of the latest response's. */
	uint32_t asked[256], answered[256];
};

static bool is_port(uint16_t port)
{
	return port == 1812 || port == 1813 || port == 1645 || port == 1646 || port == 3799 || port == 1700;
}

static uint32_t authenticator_hash(const struct radius_msg *msg)
{
	return (uint32_t)hash_bytes(msg->authenticator.at, msg->authenticator.len, msg->code) | 1;
}

/* Each side numbers its own requests, each of two kinds. */
static uint64_t tag_of(const struct radius_msg *msg, unsigned asker)
{
	return (uint64_t)(msg->code >= RADIUS_DISCONNECT) << 9 | (uint64_t)asker << 8 | msg->id;
}

static struct view value_of(const struct radius_msg *msg, uint8_t type, struct txt *txt)
{
	struct radius_attr attr = { .type = type };

	txt->len = 0;
	if (radius_find(msg, type, &attr.value))
		radius_value_text(&attr, txt);
	return txt_view(txt);
}

static void set_request(struct call_sink *sink, struct call *call, const struct radius_msg *msg)
{
	char text[VALUE_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	CALL_TEXT(sink, call, method, view_str(msg->name), NAME_TEXT);
	CALL_TEXT(sink, call, user, value_of(msg, RADIUS_USER_NAME, &txt), USER_MAX);
	CALL_TEXT(sink, call, key, value_of(msg, RADIUS_SESSION_ID, &txt), VALUE_MAX);
	if (msg->code == RADIUS_ACCOUNTING) {
		CALL_TEXT(sink, call, target, value_of(msg, RADIUS_STATUS_TYPE, &txt), VALUE_MAX);
		CALL_TEXT(sink, call, target_template, value_of(msg, RADIUS_STATUS_TYPE, &txt), VALUE_MAX);
	} else {
		CALL_TEXT(sink, call, target, value_of(msg, RADIUS_CALLING, &txt), VALUE_MAX);
	}
}

static void set_response(struct call_sink *sink, struct call *call, const struct radius_msg *msg)
{
	char text[VALUE_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	bool refused = msg->code == RADIUS_REJECT || msg->code == RADIUS_DISCONNECT_NAK || msg->code == RADIUS_COA_NAK;
	struct view said = value_of(msg, refused && msg->code != RADIUS_REJECT ? RADIUS_ERROR_CAUSE : RADIUS_REPLY_MESSAGE, &txt);

	ROW_SET(CALL, &call->row, status, msg->code);
	ROW_SET(CALL, &call->row, status_class, refused ? CLASS_client_error : CLASS_ok);
	CALL_TEXT(sink, call, status_text, view_str(msg->name), NAME_TEXT);
	if (refused && said.len)
		call_error(sink, call, "%.*s", (int)said.len, (const char *)said.at);
	CALL_TEXT(sink, call, answers, value_of(msg, RADIUS_FRAMED_IP, &txt), VALUE_MAX);
	if (!ROW_HAS(CALL, &call->row, answers))
		CALL_TEXT(sink, call, answers, value_of(msg, RADIUS_FRAMED_PREFIX, &txt), VALUE_MAX);
	if (!ROW_HAS(CALL, &call->row, user))
		CALL_TEXT(sink, call, user, value_of(msg, RADIUS_USER_NAME, &txt), USER_MAX);
}

static void note_problem(struct call_sink *sink, struct call *call, const struct radius_msg *msg)
{
	if (!call->row.missing_bytes && !radius_whole(msg))
		call_error(sink, call, "malformed %s: attributes do not fill its %u bytes", msg->name, msg->len);
}

static void take_request(struct radius_conn *conn, const struct exchange_msg *m, const struct radius_msg *msg, unsigned d)
{
	uint64_t tag = tag_of(msg, d);
	uint32_t hash = authenticator_hash(msg);
	bool again = conn->asked[msg->id] == hash, waits = exchange_waits(m->ex, tag);
	struct call *call;

	if (!again && waits)
		exchange_forget(m, tag);
	conn->asked[msg->id] = hash;
	call = exchange_request(m, tag);
	if (!call)
		return;
	set_request(m->sink, call, msg);
	note_problem(m->sink, call, msg);
	if (again && !waits)
		call_error(m->sink, call, "asked before");
}

static void take_response(struct radius_conn *conn, const struct exchange_msg *m, const struct radius_msg *msg, unsigned d)
{
	uint32_t hash = authenticator_hash(msg);
	struct call *call = exchange_response(m, tag_of(msg, !d));

	if (!call)
		return;
	if (!call->has_req && conn->answered[msg->id] == hash)
		call_error(m->sink, call, "answered before");
	conn->answered[msg->id] = hash;
	set_response(m->sink, call, msg);
	note_problem(m->sink, call, msg);
	exchange_end(m, call);
}

static int64_t radius_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct radius_conn *conn = at;
	struct exchange_msg m = { .ex = &conn->ex, .chunk = chunk, .sink = sink, .l7 = L7_radius, .timeout_ns = TIMEOUT_NS };
	struct radius_msg msg;

	if (!chunk->datagram)
		return E_FORMAT;
	if (!radius_msg(chunk->bytes, &msg))
		return conn->any ? (int64_t)chunk->bytes.len : E_FORMAT;
	conn->any = true;
	if (msg.request)
		take_request(conn, &m, &msg, d);
	else
		take_response(conn, &m, &msg, d);
	return (int64_t)chunk->bytes.len;
}

static enum guess radius_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = is_port(hint->src_port) || is_port(hint->dst_port);
	struct radius_msg msg;

	if (hint->proto != PROTO_udp || !radius_msg(bytes, &msg))
		return GUESS_NO;
	if (port)
		return GUESS_YES;
	/* elsewhere every attribute has to fit, and there has to be one */
	return radius_whole(&msg) && msg.len == bytes.len && msg.attributes.len ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_radius = {
	.id = L7_radius,
	.name = "radius",
	.title = "RADIUS",
	.conn_size = sizeof(struct radius_conn),
	.guess = radius_guess,
	.feed = radius_feed,
	.gap = exchange_gap,
	.close = exchange_close,
	.tick = exchange_tick,
	.detail = radius_detail,
};
