/*
 * DHCPv4 (RFC 2131; BOOTP RFC 951; lease queries RFC 4388) and DHCPv6 (RFC 8415).
 *
 * Relays and clients with an address speak to a server, and its answer comes back in
 * the same flow: such messages pair by transaction id. A client without one speaks to
 * everybody, and what answers comes from and goes to other addresses: another flow.
 * There each message is a call of its own, and nobody is told that it was not answered.
 */
#include "wire/dhcp_msg.h"
#include "wire/exchange.h"

#define PORT_SERVER4	67
#define PORT_CLIENT4	68
#define PORT_CLIENT6	546
#define PORT_SERVER6	547
#define TIMEOUT_NS	10000000000ull
#define NAME_TEXT	40
#define VALUE_MAX	256

struct dhcp_conn {
	struct exchange ex;	/* first: exchange_close() and exchange_tick() take the connection for it */
	bool any;
};

/* A message of either version, as far as calls need it. */
struct message {
	bool v6, request, elsewhere, expects;	/* elsewhere: its counterpart is in another flow */
	uint8_t type, answers_to;		/* answers_to: the type of request, or 0 */
	uint64_t xid;
	struct dhcp4 v4msg;
	struct dhcp6 v6msg;
};

static bool is_zero(struct view bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.at[i])
			return false;
	return true;
}

static void classify4(struct message *msg)
{
	const struct dhcp4 *m = &msg->v4msg;

	msg->type = m->type;
	msg->xid = m->xid;
	msg->request = m->op == 1;
	msg->elsewhere = is_zero(m->gateway) && (is_zero(m->client) || m->flags & 0x8000);
	switch (m->type) {
	case DHCP4_OFFER:
		msg->answers_to = DHCP4_DISCOVER;
		break;
	case DHCP4_ACK:
	case DHCP4_NAK:
		msg->answers_to = DHCP4_REQUEST;
		break;
	case DHCP4_LEASEUNASSIGNED:
	case DHCP4_LEASEUNKNOWN:
	case DHCP4_LEASEACTIVE:
		msg->answers_to = DHCP4_LEASEQUERY;
		msg->elsewhere = false;
		break;
	case DHCP4_FORCERENEW:
		msg->request = true;
		break;
	case DHCP4_LEASEQUERY:
		msg->elsewhere = false;
		msg->expects = true;
		break;
	case DHCP4_DISCOVER:
	case DHCP4_REQUEST:
	case DHCP4_INFORM:
		msg->expects = true;
		break;
	default:
		msg->expects = !m->type;
		break;
	}
}

static bool classify6(struct message *msg, const struct guess_hint *hint)
{
	const struct dhcp6 *m = &msg->v6msg;

	msg->v6 = true;
	msg->type = m->type;
	msg->xid = m->xid;
	/* clients ask the multicast group (RFC 8415 7.1) */
	msg->elsewhere = !m->relayed && (hint->src_port == PORT_CLIENT6 || hint->dst_port == PORT_CLIENT6);
	switch (m->type) {
	case DHCP6_ADVERTISE:
	case DHCP6_REPLY:
	case DHCP6_RELAY_REPLY:
	case DHCP6_LEASEQUERY_REPLY:
		msg->answers_to = DHCP6_SOLICIT;
		break;
	case DHCP6_RECONFIGURE:
		msg->request = true;
		break;
	default:
		msg->request = msg->expects = true;
		break;
	}
	return true;
}

static bool parse(struct view bytes, const struct guess_hint *hint, struct message *ret_msg)
{
	bool port6 = hint->src_port == PORT_SERVER6 || hint->dst_port == PORT_SERVER6 ||
		     hint->src_port == PORT_CLIENT6 || hint->dst_port == PORT_CLIENT6;

	memset(ret_msg, 0, sizeof(*ret_msg));
	if (port6)
		return dhcp6_msg(bytes, &ret_msg->v6msg) && classify6(ret_msg, hint);
	if (!dhcp4_msg(bytes, &ret_msg->v4msg))
		return false;
	classify4(ret_msg);
	return true;
}

/* What a request and its answer share. A request for an address and one for information have the same answer. */
static uint64_t tag_of(const struct message *msg)
{
	uint8_t of = msg->request ? msg->type : msg->answers_to;

	if (msg->v6)
		of = DHCP6_SOLICIT;
	else if (of == DHCP4_INFORM)
		of = DHCP4_REQUEST;
	return (uint64_t)of << 32 | msg->xid;
}

/* ---- columns ---- */

/* Zeros at the end of a text, as some clients send. */
static struct view trimmed(struct view text)
{
	while (text.len && !text.at[text.len - 1])
		text.len--;
	return text;
}

static void set_client4(struct call_sink *sink, struct call *call, const struct dhcp4 *msg)
{
	char text[VALUE_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct view value;

	dhcp_mac_text(msg->hardware, &txt);
	if (!ROW_HAS(CALL, &call->row, target))
		CALL_TEXT(sink, call, target, txt_view(&txt), VALUE_MAX);
	if (!ROW_HAS(CALL, &call->row, host) && dhcp4_find(msg, OPT4_HOST_NAME, &value))
		CALL_TEXT(sink, call, host, trimmed(value), VALUE_MAX);
	if (msg->op != 1)
		return;
	if (dhcp4_find(msg, OPT4_VENDOR_CLASS, &value))
		CALL_TEXT(sink, call, user_agent, trimmed(value), VALUE_MAX);
	txt.len = 0;
	if (dhcp4_find(msg, OPT4_REQUESTED, &value))
		dhcp_ip4_text(value, &txt);
	else if (!is_zero(msg->client))
		dhcp_ip4_text(msg->client, &txt);
	CALL_TEXT(sink, call, key, txt_view(&txt), VALUE_MAX);
}

static void set_client6(struct call_sink *sink, struct call *call, const struct dhcp6 *msg)
{
	char text[VALUE_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct view value;

	if (!ROW_HAS(CALL, &call->row, target) && dhcp6_find(msg->options, OPT6_CLIENT, &value)) {
		dhcp_duid_text(value, &txt);
		CALL_TEXT(sink, call, target, txt_view(&txt), VALUE_MAX);
	}
	txt.len = 0;
	if (!ROW_HAS(CALL, &call->row, host) && dhcp6_find(msg->options, OPT6_FQDN, &value)) {
		value = view_sub(value, 1, value.len);
		dhcp_name_text(&value, &txt);
		CALL_TEXT(sink, call, host, txt_view(&txt), VALUE_MAX);
	}
}

static void set_client(struct call_sink *sink, struct call *call, const struct message *msg)
{
	CALL_TEXT(sink, call, version, view_str(msg->v6 ? "6" : "4"), 1);
	if (msg->v6)
		set_client6(sink, call, &msg->v6msg);
	else
		set_client4(sink, call, &msg->v4msg);
}

static void type_text(const struct message *msg, struct txt *txt)
{
	if (msg->v6)
		dhcp6_type_text(msg->type, txt);
	else
		dhcp4_type_text(&msg->v4msg, txt);
}

static void set_method(struct call_sink *sink, struct call *call, const struct message *msg)
{
	char text[NAME_TEXT];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	type_text(msg, &txt);
	CALL_TEXT(sink, call, method, txt_view(&txt), NAME_TEXT);
}

static void set_given4(struct call_sink *sink, struct call *call, const struct dhcp4 *msg)
{
	char text[16];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct view value;
	bool refused = msg->type == DHCP4_NAK || msg->type == DHCP4_LEASEUNKNOWN;

	ROW_SET(CALL, &call->row, status_class, refused ? CLASS_client_error : CLASS_ok);
	if (!is_zero(msg->yours))
		dhcp_ip4_text(msg->yours, &txt);
	else if (msg->type == DHCP4_LEASEACTIVE)
		dhcp_ip4_text(msg->client, &txt);
	CALL_TEXT(sink, call, answers, txt_view(&txt), sizeof(text));
	if (dhcp4_find(msg, OPT4_MESSAGE, &value) && value.len)
		call_error(sink, call, "%.*s", (int)value.len, (const char *)value.at);
}

/* A status among options: an error, unless it is success. */
static void note_status(struct call_sink *sink, struct call *call, struct view options)
{
	struct view value, text;
	const char *name;
	unsigned code;

	if (!dhcp6_find(options, OPT6_STATUS, &value) || value.len < 2)
		return;
	code = (unsigned)value.at[0] << 8 | value.at[1];
	if (!code)
		return;
	text = view_sub(value, 2, value.len);
	name = dhcp6_status_name(code);
	call_error(sink, call, "%s: %.*s", name ? name : "status", (int)(text.len < VALUE_MAX ? text.len : VALUE_MAX),
		   text.len ? (const char *)text.at : "");
	ROW_SET(CALL, &call->row, status_class, CLASS_client_error);
}

static void set_given6(struct call_sink *sink, struct call *call, const struct dhcp6 *msg)
{
	char text[VALUE_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct view options = msg->options, inner;
	struct dhcp_opt opt, lease;

	ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	note_status(sink, call, options);
	while (!txt.cut && dhcp6_next(&options, &opt)) {
		if (!dhcp6_association(&opt, &inner))
			continue;
		note_status(sink, call, inner);
		while (!txt.cut && dhcp6_next(&inner, &lease)) {
			if (lease.code != OPT6_ADDRESS && lease.code != OPT6_PREFIX)
				continue;
			if (txt.len)
				txt_str(&txt, ",");
			if (lease.code == OPT6_ADDRESS)
				dhcp_ip6_text(view_sub(lease.value, 0, 16), &txt);
			else
				dhcp_ip6_text(view_sub(lease.value, 9, 16), &txt);
			if (lease.code == OPT6_PREFIX && lease.value.len > 8)
				txt_printf(&txt, "/%u", lease.value.at[8]);
		}
	}
	CALL_TEXT(sink, call, answers, txt_view(&txt), VALUE_MAX);
}

static void set_reply(struct call_sink *sink, struct call *call, const struct message *msg)
{
	char text[NAME_TEXT];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	type_text(msg, &txt);
	ROW_SET(CALL, &call->row, status, msg->type);
	CALL_TEXT(sink, call, status_text, txt_view(&txt), NAME_TEXT);
	if (msg->v6)
		set_given6(sink, call, &msg->v6msg);
	else
		set_given4(sink, call, &msg->v4msg);
}

/* ---- feeding ---- */

static void take_request(const struct exchange_msg *m, const struct message *msg)
{
	bool waits = msg->expects && !msg->elsewhere;
	struct call *call = waits ? exchange_request(m, tag_of(msg)) : exchange_oneway(m);

	if (!call)
		return;
	set_method(m->sink, call, msg);
	set_client(m->sink, call, msg);
	if (!waits)
		call_end(m->sink, call, CALL_END_oneway);
}

static void take_reply(const struct exchange_msg *m, const struct message *msg)
{
	uint64_t tag = tag_of(msg);
	struct call *call;

	/* rapid commit: the first answer is the last one (RFC 4039) */
	if (!msg->v6 && msg->type == DHCP4_ACK && !exchange_waits(m->ex, tag))
		tag = (uint64_t)DHCP4_DISCOVER << 32 | msg->xid;
	call = exchange_response(m, tag);
	if (!call)
		return;
	set_reply(m->sink, call, msg);
	if (!call->has_req)
		set_method(m->sink, call, msg);
	set_client(m->sink, call, msg);
	if (!call->has_req && msg->elsewhere) {
		call->rsp_whole = !m->chunk->missing;
		call_end(m->sink, call, CALL_END_oneway);
		return;
	}
	exchange_end(m, call);
}

static int64_t dhcp_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct dhcp_conn *conn = at;
	struct exchange_msg m = { .ex = &conn->ex, .chunk = chunk, .sink = sink, .l7 = L7_dhcp, .timeout_ns = TIMEOUT_NS };
	struct message msg;

	(void)d;
	if (!chunk->datagram)
		return E_FORMAT;
	if (!parse(chunk->bytes, chunk->flow, &msg))
		return conn->any ? (int64_t)chunk->bytes.len : E_FORMAT;
	conn->any = true;
	if (msg.request)
		take_request(&m, &msg);
	else
		take_reply(&m, &msg);
	return (int64_t)chunk->bytes.len;
}

static bool has_port(const struct guess_hint *hint, uint16_t a, uint16_t b)
{
	return hint->src_port == a || hint->src_port == b || hint->dst_port == a || hint->dst_port == b;
}

static enum guess dhcp_guess(struct view bytes, const struct guess_hint *hint)
{
	struct message msg;

	if (hint->proto != PROTO_udp || !parse(bytes, hint, &msg))
		return GUESS_NO;
	if (msg.v6)
		return dhcp6_whole(msg.v6msg.options) && msg.type < 40 ? GUESS_YES : GUESS_NO;
	if (dhcp4_has_cookie(bytes))
		return GUESS_YES;
	return has_port(hint, PORT_SERVER4, PORT_CLIENT4) && msg.v4msg.hardware.len == 6 ? GUESS_YES : GUESS_NO;
}

const struct proto_ops proto_dhcp = {
	.id = L7_dhcp,
	.name = "dhcp",
	.title = "DHCP",
	.conn_size = sizeof(struct dhcp_conn),
	.guess = dhcp_guess,
	.feed = dhcp_feed,
	.gap = exchange_gap,
	.close = exchange_close,
	.tick = exchange_tick,
	.detail = dhcp_detail,
};
