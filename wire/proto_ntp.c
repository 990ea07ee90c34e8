/*
 * NTP versions 1 to 4 (RFC 5905, 1305, SNTP RFC 4330), control messages (RFC 9327)
 * and the private ones of ntpd.
 *
 * A server's answer repeats the client's transmit timestamp as its origin. Offset and
 * delay are by the clock of the capture: clients may send any timestamp they like.
 */
#include "base/hash.h"
#include "base/rd.h"
#include "wire/exchange.h"

#define PORT_NTP	123
#define TIMEOUT_NS	10000000000ull
#define CONTROL_BYTES	12
#define PRIVATE_BYTES	8
#define TEXT_MAX	160
#define UNIX_SECONDS	2208988800ull	/* 1900 to 1970 */

enum mode { ACTIVE = 1, PASSIVE = 2, CLIENT = 3, SERVER = 4, BROADCAST = 5, CONTROL = 6, PRIVATE = 7 };

struct ntp_conn {
	struct exchange ex;	/* first: exchange_close() and exchange_tick() take the connection for it */
};

struct message {
	uint8_t leap, version, mode, stratum;
	int8_t poll, precision;
	uint32_t root_delay, root_dispersion;
	struct view refid;
	uint64_t reference, origin, receive, transmit;
	/* control and private */
	bool response, error;
	uint8_t opcode, status;
	uint16_t sequence;
};

static bool parse(struct view bytes, struct message *ret_msg)
{
	struct rd rd = rd_make(bytes);
	struct message msg = { .leap = 0 };
	uint8_t first = rd_u8(&rd), second;

	msg.leap = first >> 6;
	msg.version = first >> 3 & 7;
	msg.mode = first & 7;
	if (msg.version < 1 || msg.version > 4 || !msg.mode)
		return false;
	if (msg.mode == CONTROL) {
		second = rd_u8(&rd);
		msg.response = second & 0x80;
		msg.error = second & 0x40;
		msg.opcode = second & 0x1f;
		msg.sequence = rd_u16be(&rd);
		msg.status = rd_u8(&rd);
		if (bytes.len < CONTROL_BYTES || msg.leap)
			return false;
		*ret_msg = msg;
		return true;
	}
	if (msg.mode == PRIVATE) {	/* response, more, version, mode; sequence; implementation; request; error */
		msg.response = first & 0x80;
		msg.sequence = rd_u8(&rd) & 0x7f;
		(void)rd_u8(&rd);
		msg.opcode = rd_u8(&rd);
		msg.status = rd_u8(&rd) >> 4;
		msg.error = msg.status;
		if (bytes.len < PRIVATE_BYTES)
			return false;
		*ret_msg = msg;
		return true;
	}
	msg.stratum = rd_u8(&rd);
	msg.poll = (int8_t)rd_u8(&rd);
	msg.precision = (int8_t)rd_u8(&rd);
	msg.root_delay = rd_u32be(&rd);
	msg.root_dispersion = rd_u32be(&rd);
	msg.refid = rd_bytes(&rd, 4);
	msg.reference = rd_u64be(&rd);
	msg.origin = rd_u64be(&rd);
	msg.receive = rd_u64be(&rd);
	msg.transmit = rd_u64be(&rd);
	if (rd.bad)
		return false;
	msg.response = msg.mode == SERVER || msg.mode == PASSIVE;
	*ret_msg = msg;
	return true;
}

/* ---- texts ---- */

static const char *mode_name(uint8_t mode)
{
	static const char *const names[] = { "reserved", "symmetric", "symmetric", "client", "client", "broadcast", "control",
					     "private" };

	return names[mode];
}

static void opcode_text(const struct message *msg, struct txt *txt)
{
	static const char *const control[] = {
		"unspecified", "read status", "read variables", "write variables", "read clock variables",
		"write clock variables", "set trap", "trap", "configure", "export configuration", "read MRU list",
		"read ordered list", "request nonce",
	};

	if (msg->mode == CONTROL && msg->opcode < sizeof(control) / sizeof(control[0]))
		txt_str(txt, control[msg->opcode]);
	else if (msg->mode == PRIVATE && (msg->opcode == 42 || msg->opcode == 20))
		txt_str(txt, msg->opcode == 42 ? "monlist 1" : "monlist");	/* what floods are amplified with */
	else if (msg->mode == PRIVATE && msg->opcode < 2)
		txt_str(txt, msg->opcode ? "peer list summary" : "peer list");
	else
		txt_printf(txt, "request %u", msg->opcode);
}

/* Four letters from a clock or a kiss of death, an address else. */
static void refid_text(const struct message *msg, struct txt *txt)
{
	struct view id = msg->refid;

	if (msg->stratum > 1) {
		txt_printf(txt, "%u.%u.%u.%u", id.at[0], id.at[1], id.at[2], id.at[3]);
		return;
	}
	while (id.len && (!id.at[id.len - 1] || id.at[id.len - 1] == ' '))
		id.len--;
	if (txt_is_text(id))
		txt_put(txt, id);
	else
		txt_hex(txt, id);
}

static bool unsynchronised(const struct message *msg)
{
	return msg->leap == 3 || msg->stratum >= 16;
}

/* ---- calls ---- */

/* A timestamp as nanoseconds since 1970, in the era that is nearest to now. */
static int64_t stamp_ns(uint64_t stamp)
{
	uint64_t seconds = stamp >> 32;

	if (seconds < UNIX_SECONDS / 2)
		seconds += (uint64_t)1 << 32;		/* behind 2036 */
	return (int64_t)((seconds - UNIX_SECONDS) * 1000000000ull + ((stamp & 0xffffffff) * 1000000000ull >> 32));
}

static void set_answer(struct call_sink *sink, struct call *call, const struct message *msg)
{
	char text[TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	uint64_t t1 = call->row.req_last_ns, t4 = call->row.rsp_first_ns;

	txt_printf(&txt, "stratum=%u refid=", msg->stratum);
	refid_text(msg, &txt);
	if (call->has_req && msg->receive && msg->transmit && t4 >= t1 && t4 < (uint64_t)INT64_MAX / 2) {
		int64_t there = stamp_ns(msg->receive) - (int64_t)t1, back = stamp_ns(msg->transmit) - (int64_t)t4;
		int64_t delay = (int64_t)(t4 - t1) - (stamp_ns(msg->transmit) - stamp_ns(msg->receive));

		txt_printf(&txt, " offset_us=%lld delay_us=%lld", (long long)(there / 2 + back / 2) / 1000,
			   (long long)delay / 1000);
	}
	CALL_TEXT(sink, call, answers, txt_view(&txt), TEXT_MAX);
}

static void set_response(struct call_sink *sink, struct call *call, const struct message *msg)
{
	char text[TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	if (msg->mode >= CONTROL) {
		ROW_SET(CALL, &call->row, status, msg->status);
		ROW_SET(CALL, &call->row, status_class, msg->error ? CLASS_client_error : CLASS_ok);
		return;
	}
	ROW_SET(CALL, &call->row, status, msg->stratum);
	if (msg->stratum == 0) {		/* kiss of death (RFC 5905 7.4) */
		refid_text(msg, &txt);
		CALL_TEXT(sink, call, status_text, txt_view(&txt), TEXT_MAX);
		ROW_SET(CALL, &call->row, status_class, CLASS_client_error);
		call_error(sink, call, "kiss of death: %.*s", (int)txt.len, text);
		return;
	}
	CALL_TEXT(sink, call, status_text, unsynchronised(msg) ? VIEW_LIT("unsynchronised") : VIEW_LIT("synchronised"), TEXT_MAX);
	ROW_SET(CALL, &call->row, status_class, unsynchronised(msg) ? CLASS_server_error : CLASS_ok);
	if (unsynchronised(msg))
		call_error(sink, call, "the server's clock is not synchronised");
	set_answer(sink, call, msg);
}

static void set_method(struct call_sink *sink, struct call *call, const struct message *msg)
{
	char text[TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	if (ROW_HAS(CALL, &call->row, method))
		return;
	CALL_TEXT(sink, call, method, view_str(mode_name(msg->mode)), TEXT_MAX);
	txt_printf(&txt, "%u", msg->version);
	CALL_TEXT(sink, call, version, txt_view(&txt), TEXT_MAX);
	txt.len = 0;
	if (msg->mode >= CONTROL) {
		opcode_text(msg, &txt);
		CALL_TEXT(sink, call, target, txt_view(&txt), TEXT_MAX);
		CALL_TEXT(sink, call, target_template, txt_view(&txt), TEXT_MAX);
	}
}

static uint64_t tag_of(const struct message *msg)
{
	uint64_t shared = msg->mode == PRIVATE ? msg->opcode : msg->mode == CONTROL ? msg->sequence :
			  msg->response ? msg->origin : msg->transmit;

	return hash_mix(shared, msg->mode >= CONTROL ? msg->mode : 0);
}

static int64_t ntp_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct ntp_conn *conn = at;
	struct exchange_msg m = { .ex = &conn->ex, .chunk = chunk, .sink = sink, .l7 = L7_ntp, .timeout_ns = TIMEOUT_NS };
	struct message msg;
	struct call *call;

	(void)d;
	if (!chunk->datagram)
		return E_FORMAT;
	if (!parse(chunk->bytes, &msg))
		return (int64_t)chunk->bytes.len;
	/* peers answer each other in the active mode too */
	if (msg.mode == ACTIVE && msg.origin && exchange_waits(&conn->ex, hash_mix(msg.origin, 0)))
		msg.response = true;
	if (msg.mode == BROADCAST) {
		call = exchange_oneway(&m);
		if (call) {
			set_method(sink, call, &msg);
			set_answer(sink, call, &msg);
			call_end(sink, call, CALL_END_oneway);
		}
	} else if (msg.response) {
		call = exchange_response(&m, tag_of(&msg));
		if (call) {
			set_method(sink, call, &msg);
			set_response(sink, call, &msg);
			exchange_end(&m, call);
		}
	} else {
		call = exchange_request(&m, tag_of(&msg));
		if (call)
			set_method(sink, call, &msg);
	}
	return (int64_t)chunk->bytes.len;
}

/* Nothing in it is a mark of its own: the port has to agree. */
static enum guess ntp_guess(struct view bytes, const struct guess_hint *hint)
{
	struct message msg;

	if (hint->proto != PROTO_udp || (hint->src_port != PORT_NTP && hint->dst_port != PORT_NTP))
		return GUESS_NO;
	return parse(bytes, &msg) ? GUESS_YES : GUESS_NO;
}

/* ---- a call in full ---- */

static void show_stamp(struct json *json, const char *key, uint64_t stamp)
{
	if (stamp)
		json_ki64(json, key, stamp_ns(stamp));
	else
		json_knull(json, key);
}

/* 16 bits of seconds, 16 of fraction */
static double short_seconds(uint32_t value)
{
	return value / 65536.0;
}

static void show_time(const struct message *msg, struct json *json)
{
	char text[TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	json_ku64(json, "leap", msg->leap);
	json_ku64(json, "stratum", msg->stratum);
	json_ki64(json, "poll", msg->poll);
	json_ki64(json, "precision", msg->precision);
	json_kf64(json, "root_delay_seconds", short_seconds(msg->root_delay));
	json_kf64(json, "root_dispersion_seconds", short_seconds(msg->root_dispersion));
	refid_text(msg, &txt);
	json_kstr(json, "reference_id", txt_view(&txt));
	show_stamp(json, "reference_ns", msg->reference);
	show_stamp(json, "origin_ns", msg->origin);
	show_stamp(json, "receive_ns", msg->receive);
	show_stamp(json, "transmit_ns", msg->transmit);
	if (msg->response && msg->receive && msg->transmit)
		json_ki64(json, "server_took_ns", stamp_ns(msg->transmit) - stamp_ns(msg->receive));
}

static void show_message(const char *key, struct view bytes, size_t budget, struct json *json)
{
	char text[TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct message msg;

	json_key(json, key);
	json_object(json);
	if (parse(bytes, &msg)) {
		json_ku64(json, "version", msg.version);
		json_ku64(json, "mode", msg.mode);
		if (msg.mode >= CONTROL) {
			opcode_text(&msg, &txt);
			json_kstr(json, "operation", txt_view(&txt));
			json_kbool(json, "response", msg.response);
			json_ku64(json, "sequence", msg.sequence);
			json_ku64(json, "status", msg.status);
			bytes = view_sub(bytes, msg.mode == CONTROL ? CONTROL_BYTES : PRIVATE_BYTES, bytes.len);
			if (bytes.len)
				show_kbytes(json, "data", bytes, &budget);
		} else {
			show_time(&msg, json);
		}
	}
	json_object_end(json);
}

static int ntp_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	if (request.len)
		show_message("request", request, body_max, json);
	if (response.len)
		show_message("response", response, body_max, json);
	return 0;
}

const struct proto_ops proto_ntp = {
	.id = L7_ntp,
	.name = "ntp",
	.title = "NTP",
	.conn_size = sizeof(struct ntp_conn),
	.guess = ntp_guess,
	.feed = ntp_feed,
	.gap = exchange_gap,
	.close = exchange_close,
	.tick = exchange_tick,
	.detail = ntp_detail,
};
