/*
 * ICMP (RFC 792, 950) and ICMPv6 (RFC 4443), as far as it asks and answers: echo,
 * timestamp, information, address mask, extended echo (RFC 8335).
 *
 * The identifier makes the flow (decode_ip.c), so the sequence number tells the
 * calls of one apart. Errors quote a packet of another flow: they are not calls.
 */
#include "wire/exchange.h"

#include "base/rd.h"

#define TIMEOUT_NS	10000000000ull
#define TEXT_MAX	48

struct icmp_conn {
	struct exchange ex;	/* first: exchange_close() and exchange_tick() take the connection for it */
};

struct kind {
	uint8_t type;		/* ICMP, or ICMPv6 where v6 is set */
	bool v6, reply;
	const char *method, *title;
};

static const struct kind kinds[] = {	/* in pairs */
	{ 8, false, false, "echo", "echo request" },
	{ 0, false, true, "echo", "echo reply" },
	{ 128, true, false, "echo", "echo request" },
	{ 129, true, true, "echo", "echo reply" },
	{ 13, false, false, "timestamp", "timestamp request" },
	{ 14, false, true, "timestamp", "timestamp reply" },
	{ 15, false, false, "information", "information request" },
	{ 16, false, true, "information", "information reply" },
	{ 17, false, false, "address mask", "address mask request" },
	{ 18, false, true, "address mask", "address mask reply" },
	{ 42, false, false, "extended echo", "extended echo request" },
	{ 43, false, true, "extended echo", "extended echo reply" },
	{ 160, true, false, "extended echo", "extended echo request" },
	{ 161, true, true, "extended echo", "extended echo reply" },
};

struct message {
	const struct kind *kind;
	uint8_t type, code;
	uint16_t checksum, id, seq;
	struct view data;
};

/* The numbers of ICMP and ICMPv6 do not overlap where either asks or answers. */
static bool parse(struct view bytes, struct message *ret_msg)
{
	struct rd rd = rd_make(bytes);
	struct message msg = { .kind = NULL };

	msg.type = rd_u8(&rd);
	msg.code = rd_u8(&rd);
	msg.checksum = rd_u16be(&rd);
	msg.id = rd_u16be(&rd);
	msg.seq = rd_u16be(&rd);
	if (rd.bad)
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !msg.kind; i++)
		if (kinds[i].type == msg.type)
			msg.kind = &kinds[i];
	if (!msg.kind)
		return false;
	msg.data = rd_rest(&rd);
	if (msg.kind->type >= 160 || msg.type == 42 || msg.type == 43)
		msg.seq >>= 8;		/* eight bits of it, then what is asked for */
	*ret_msg = msg;
	return true;
}

/* ---- calls ---- */

/* Extended echo says in its code what was wrong; the others have none. */
static void set_status(struct call_sink *sink, struct call *call, const struct message *msg)
{
	static const char *const problems[] = { "no error", "malformed query", "no such interface",
						"no such table entry", "multiple interfaces satisfy query" };
	bool extended = msg->type == 43 || msg->type == 161;

	ROW_SET(CALL, &call->row, status, msg->code);
	ROW_SET(CALL, &call->row, status_class, extended && msg->code ? CLASS_client_error : CLASS_ok);
	CALL_TEXT(sink, call, status_text,
		  view_str(extended && msg->code < 5 ? problems[msg->code] : msg->kind->title), TEXT_MAX);
}

static void set_request(struct call_sink *sink, struct call *call, const struct message *msg)
{
	char text[TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	CALL_TEXT(sink, call, method, view_str(msg->kind->method), TEXT_MAX);
	txt_printf(&txt, "id=%u seq=%u", msg->id, msg->seq);
	CALL_TEXT(sink, call, target, txt_view(&txt), TEXT_MAX);
}

static int64_t icmp_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct icmp_conn *conn = at;
	struct exchange_msg m = { .ex = &conn->ex, .chunk = chunk, .sink = sink, .l7 = L7_icmp, .timeout_ns = TIMEOUT_NS };
	struct message msg;
	struct call *call;
	uint64_t tag;

	(void)d;	/* who pings himself has one direction only */
	if (!chunk->datagram)
		return E_FORMAT;
	if (!parse(chunk->bytes, &msg))
		return (int64_t)chunk->bytes.len;
	tag = (uint64_t)(msg.kind - kinds) / 2 << 32 | (uint32_t)msg.id << 16 | msg.seq;
	if (!msg.kind->reply) {
		call = exchange_request(&m, tag);
		if (call) {
			set_request(sink, call, &msg);
			ROW_SET(CALL, &call->row, req_body_bytes, msg.data.len + chunk->missing);
		}
		return (int64_t)chunk->bytes.len;
	}
	call = exchange_response(&m, tag);
	if (call) {
		if (!call->has_req)
			set_request(sink, call, &msg);
		set_status(sink, call, &msg);
		ROW_SET(CALL, &call->row, rsp_body_bytes, msg.data.len + chunk->missing);
		exchange_end(&m, call);
	}
	return (int64_t)chunk->bytes.len;
}

static enum guess icmp_guess(struct view bytes, const struct guess_hint *hint)
{
	struct message msg;

	if (hint->proto != PROTO_icmp && hint->proto != PROTO_icmp6)
		return GUESS_NO;
	return parse(bytes, &msg) && msg.kind->v6 == (hint->proto == PROTO_icmp6) ? GUESS_YES : GUESS_NO;
}

/* ---- a call in full ---- */

static void show_message(const char *key, struct view bytes, size_t budget, struct json *json)
{
	struct message msg;
	struct rd rd;

	json_key(json, key);
	json_object(json);
	if (parse(bytes, &msg)) {
		rd = rd_make(msg.data);
		json_ku64(json, "type", msg.type);
		json_kcstr(json, "name", msg.kind->title);
		json_ku64(json, "code", msg.code);
		json_key(json, "checksum");
		json_printf(json, "0x%04x", msg.checksum);
		json_ku64(json, "id", msg.id);
		json_ku64(json, "seq", msg.seq);
		if (msg.type == 13 || msg.type == 14) {
			json_ku64(json, "originate_ms", rd_u32be(&rd));
			json_ku64(json, "receive_ms", rd_u32be(&rd));
			json_ku64(json, "transmit_ms", rd_u32be(&rd));
		}
		json_ku64(json, "data_bytes", msg.data.len);
		if (msg.data.len > budget)
			json_kbool(json, "truncated", true);
		show_kbytes(json, "data", msg.data, &budget);
	}
	json_object_end(json);
}

static int icmp_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	if (request.len)
		show_message("request", request, body_max, json);
	if (response.len)
		show_message("response", response, body_max, json);
	return 0;
}

const struct proto_ops proto_icmp = {
	.id = L7_icmp,
	.name = "icmp",
	.title = "ICMP echo",
	.conn_size = sizeof(struct icmp_conn),
	.guess = icmp_guess,
	.feed = icmp_feed,
	.gap = exchange_gap,
	.close = exchange_close,
	.tick = exchange_tick,
	.detail = icmp_detail,
};
