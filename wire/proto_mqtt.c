/*
 * MQTT 3.1, 3.1.1 and 5 (docs.oasis-open.org/mqtt).
 *
 * A packet that is answered waits for the answer of its kind and packet id; either
 * side may publish. A publication of QoS 0 wants no answer; one of QoS 2 is two
 * calls, PUBLISH with PUBREC and PUBREL with PUBCOMP. Before a CONNECT was seen the
 * version is not known: bodies are read in whichever one fits them to the last byte.
 */
#include "wire/dissect.h"
#include "wire/fold.h"

#include "base/rd.h"

#define PORT_MQTT	1883
#define SHOW_MAX	((uint64_t)4 << 10)
#define TOPIC_MAX_TEXT	256
#define PENDING_MAX	1024
#define ALIASES		16	/* brokers grant 10 */
#define TOPIC_ALIAS	35

enum { CONNECT = 1, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ,
       PINGRESP, DISCONNECT, AUTH };

static const char *const names[16] = { "", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
	"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH" };

struct mqtt_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting[2];	/* by direction of the request; tag: kind of its answer << 16 | id */
	struct call *at[2];		/* of the frame in progress */
	bool at_answer[2];		/* it is the answer */
	bool sure;
	bool doubt[2];			/* answers in this direction were lost */
	uint8_t version;		/* 3, 4, 5; 0: not known */
	uint8_t client_len, user_len;
	char client[128], user[64];
	struct alias {
		uint8_t len;
		char topic[95];
	} alias[2][ALIASES];		/* of topics, from 1 on, by the direction they are used in */
};

struct head {
	uint8_t type, flags;
	uint32_t len, size;	/* of the body; of the header */
};

/* 1; 0: cut short; -1: none. */
static int head_read(struct view bytes, struct head *h)
{
	unsigned shift = 0;

	if (!bytes.len)
		return 0;
	h->type = bytes.at[0] >> 4;
	h->flags = bytes.at[0] & 15;
	if (h->type == 0 || (h->type == PUBLISH ? (h->flags & 6) == 6 :
			     h->flags != (h->type == PUBREL || h->type == SUBSCRIBE || h->type == UNSUBSCRIBE ? 2 : 0)))
		return -1;
	h->len = 0;
	for (h->size = 1; h->size < bytes.len && h->size <= 4; shift += 7) {
		uint8_t byte = bytes.at[h->size++];

		h->len |= (uint32_t)(byte & 127) << shift;
		if (byte & 128)
			continue;
		if (h->type == PINGREQ || h->type == PINGRESP)
			return h->len ? -1 : 1;
		if (h->type == DISCONNECT || h->type == AUTH)
			return 1;
		return h->len < (h->type == CONNECT ? 10 : h->type == SUBSCRIBE || h->type == UNSUBSCRIBE ? 5 : 2) ? -1 : 1;
	}
	return h->size > 4 ? -1 : 0;
}

static struct view rd_text(struct rd *rd)
{
	uint16_t len = rd_u16be(rd);

	return rd_bytes(rd, len);
}

/* As much of a text as is there. */
static struct view rd_text_cut(struct rd *rd)
{
	uint16_t len = rd_u16be(rd);

	return rd_bytes(rd, len < rd_left(rd) ? len : rd_left(rd));
}

static bool is_text(struct view text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' || text.at[i] == 0x7f || text.at[i] >= 0xf8)
			return false;
	return true;
}

/* The protocol's name and level that a CONNECT opens with. 0: none. */
static uint8_t connect_version(struct view body)
{
	struct rd rd = rd_make(body);
	struct view name = rd_text(&rd);
	uint8_t level = rd_u8(&rd);

	if (rd.bad)
		return 0;
	if (view_is(name, "MQTT") && (level == 4 || level == 5))
		return level;
	return view_is(name, "MQIsdp") && (level == 3) ? 3 : 0;
}

/* ---- properties of 5 ---- */

/* Type of each property's value: b byte, h 16 bit, i 32 bit, v varint, s text, y bytes, p pair. */
static const char property_types[43] = {
	[1] = 'b', [2] = 'i', [3] = 's', [8] = 's', [9] = 'y', [11] = 'v', [17] = 'i', [18] = 's', [19] = 'h', [21] = 's', [22] = 'y',
	[23] = 'b', [24] = 'i', [25] = 'b', [26] = 's', [28] = 's', [31] = 's', [33] = 'h', [34] = 'h', [35] = 'h', [36] = 'b',
	[37] = 'b', [38] = 'p', [39] = 'i', [40] = 'b', [41] = 'b', [42] = 'b',
};

static bool property_next(struct rd *at, uint8_t *ret_id, uint64_t *ret_number, struct view *ret_name, struct view *ret_text)
{
	uint8_t id = rd_u8(at);

	*ret_id = id;
	*ret_number = 0;
	*ret_name = *ret_text = view_make("", 0);
	switch (id < sizeof(property_types) ? property_types[id] : 0) {
	case 'b':
		*ret_number = rd_u8(at);
		break;
	case 'h':
		*ret_number = rd_u16be(at);
		break;
	case 'i':
		*ret_number = rd_u32be(at);
		break;
	case 'v':
		*ret_number = rd_varint(at);
		break;
	case 'p':
		*ret_name = rd_text(at);
		*ret_text = rd_text(at);
		break;
	case 's':
	case 'y':
		*ret_text = rd_text(at);
		break;
	default:
		return false;
	}
	return !at->bad;
}

/* The topic alias among properties; 0: none. */
static uint16_t find_alias(struct view all)
{
	struct rd at = rd_make(all);
	struct view name, text;
	uint64_t number;
	uint8_t id;

	while (rd_left(&at) && property_next(&at, &id, &number, &name, &text))
		if (id == TOPIC_ALIAS)
			return (uint16_t)number;
	return 0;
}

/* ---- columns ---- */

static const struct reason {
	uint8_t code, class;
	const char *text;
} reasons[] = {
	{ 0x04, CLASS_ok, "Disconnect with Will Message" }, { 0x10, CLASS_ok, "No matching subscribers" },
	{ 0x11, CLASS_ok, "No subscription existed" }, { 0x18, CLASS_ok, "Continue authentication" },
	{ 0x80, CLASS_server_error, "Unspecified error" }, { 0x81, CLASS_client_error, "Malformed Packet" },
	{ 0x82, CLASS_client_error, "Protocol Error" }, { 0x83, CLASS_server_error, "Implementation specific error" },
	{ 0x84, CLASS_client_error, "Unsupported Protocol Version" },
	{ 0x85, CLASS_client_error, "Client Identifier not valid" }, { 0x86, CLASS_client_error, "Bad User Name or Password" },
	{ 0x87, CLASS_client_error, "Not authorized" }, { 0x88, CLASS_server_error, "Server unavailable" },
	{ 0x89, CLASS_server_error, "Server busy" }, { 0x8a, CLASS_client_error, "Banned" },
	{ 0x8b, CLASS_server_error, "Server shutting down" }, { 0x8c, CLASS_client_error, "Bad authentication method" },
	{ 0x8d, CLASS_client_error, "Keep Alive timeout" }, { 0x8e, CLASS_client_error, "Session taken over" },
	{ 0x8f, CLASS_client_error, "Topic Filter invalid" }, { 0x90, CLASS_client_error, "Topic Name invalid" },
	{ 0x91, CLASS_client_error, "Packet Identifier in use" }, { 0x92, CLASS_client_error, "Packet Identifier not found" },
	{ 0x93, CLASS_client_error, "Receive Maximum exceeded" }, { 0x94, CLASS_client_error, "Topic Alias invalid" },
	{ 0x95, CLASS_client_error, "Packet too large" }, { 0x96, CLASS_client_error, "Message rate too high" },
	{ 0x97, CLASS_client_error, "Quota exceeded" }, { 0x98, CLASS_server_error, "Administrative action" },
	{ 0x99, CLASS_client_error, "Payload format invalid" }, { 0x9a, CLASS_client_error, "Retain not supported" },
	{ 0x9b, CLASS_client_error, "QoS not supported" }, { 0x9c, CLASS_ok, "Use another server" },
	{ 0x9d, CLASS_ok, "Server moved" }, { 0x9e, CLASS_client_error, "Shared Subscriptions not supported" },
	{ 0x9f, CLASS_client_error, "Connection rate exceeded" }, { 0xa0, CLASS_client_error, "Maximum connect time" },
	{ 0xa1, CLASS_client_error, "Subscription Identifiers not supported" },
	{ 0xa2, CLASS_client_error, "Wildcard Subscriptions not supported" },
};
/* Return codes of a CONNACK before 5, as the reason they became. */
static const uint8_t old_reasons[] = { 0, 0x84, 0x85, 0x88, 0x86, 0x87 };

static void set_reason(struct call_sink *sink, struct call *call, uint8_t code, uint8_t meaning)
{
	const struct reason *reason = NULL;

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].code == meaning)
			reason = &reasons[i];
	ROW_SET(CALL, &call->row, status, code);
	ROW_SET(CALL, &call->row, status_class, reason ? reason->class : meaning < 0x80 ? CLASS_ok : CLASS_client_error);
	if (reason)
		CALL_TEXT(sink, call, status_text, view_str(reason->text), 64);
	if (meaning >= 0x80 && reason)
		call_error(sink, call, "%s", reason->text);
	else if (meaning >= 0x80)
		call_error(sink, call, "reason code 0x%02x", code);
}

static void set_topic(struct call_sink *sink, struct call *call, struct view topic)
{
	char folded[TOPIC_MAX_TEXT];

	topic = view_sub(topic, 0, TOPIC_MAX_TEXT);
	CALL_TEXT(sink, call, target, topic, TOPIC_MAX_TEXT);
	CALL_TEXT(sink, call, topic, topic, TOPIC_MAX_TEXT);
	CALL_TEXT(sink, call, target_template, view_make(folded, fold_key(topic, folded, sizeof(folded))), sizeof(folded));
}

static void set_connect(struct mqtt_conn *conn, struct call_sink *sink, struct call *call, struct view body)
{
	struct rd rd = rd_make(body);
	struct view client, user = { NULL, 0 };
	uint8_t flags;

	(void)rd_text(&rd);
	memset(conn->alias, 0, sizeof(conn->alias));
	conn->version = rd_u8(&rd);
	flags = rd_u8(&rd);
	(void)rd_u16be(&rd);
	if (conn->version == 5)
		(void)rd_vbytes(&rd);
	client = rd_text(&rd);
	if (flags & 4) {
		if (conn->version == 5)
			(void)rd_vbytes(&rd);
		(void)rd_text(&rd);
		(void)rd_text(&rd);
	}
	if (flags & 0x80)
		user = rd_text(&rd);
	conn->client_len = (uint8_t)(client.len < sizeof(conn->client) ? client.len : sizeof(conn->client));
	conn->user_len = (uint8_t)(user.len < sizeof(conn->user) ? user.len : sizeof(conn->user));
	memcpy(conn->client, client.len ? client.at : (const uint8_t *)"", conn->client_len);
	memcpy(conn->user, user.len ? user.at : (const uint8_t *)"", conn->user_len);
	CALL_TEXT(sink, call, target, client, TOPIC_MAX_TEXT);
}

static void set_connection(const struct mqtt_conn *conn, struct call_sink *sink, struct call *call)
{
	CALL_TEXT(sink, call, user_agent, view_make(conn->client, conn->client_len), sizeof(conn->client));
	CALL_TEXT(sink, call, user, view_make(conn->user, conn->user_len), sizeof(conn->user));
	if (conn->version)
		CALL_TEXT(sink, call, version, view_str(conn->version == 5 ? "5" : conn->version == 4 ? "3.1.1" : "3.1"), 8);
}

/* Do filters, with options behind each when wanted, fill the rest? */
static bool filters_fit(struct rd rd, bool options)
{
	do {
		if (!is_text(rd_text(&rd)))
			return false;
		if (options && rd_u8(&rd) > 0x2f)
			return false;
	} while (!rd.bad && rd_left(&rd));
	return !rd.bad;
}

/* Behind the id of a SUBSCRIBE or UNSUBSCRIBE: pass the properties, where there are any. */
static void pass_properties(uint8_t version, struct rd *rd, bool options)
{
	if (version == 5 || (!version && !filters_fit(*rd, options)))
		(void)rd_vbytes(rd);
}

/* The topic of a publication, which may be a number for one told before. */
static struct view resolve_topic(struct mqtt_conn *conn, unsigned d, struct view topic, uint16_t number)
{
	struct alias *alias;

	if (!number || number > ALIASES)
		return topic;
	alias = &conn->alias[d][number - 1];
	if (!topic.len)
		return view_make(alias->topic, alias->len);
	alias->len = topic.len <= sizeof(alias->topic) ? (uint8_t)topic.len : 0;
	memcpy(alias->topic, topic.at, alias->len);
	return topic;
}

/* ---- packets ---- */

static uint8_t answer_of(const struct head *h)
{
	switch (h->type) {
	case CONNECT:
		return CONNACK;
	case PUBLISH:
		return (h->flags >> 1 & 3) == 1 ? PUBACK : (h->flags >> 1 & 3) == 2 ? PUBREC : 0;
	case PUBREL:
		return PUBCOMP;
	case SUBSCRIBE:
		return SUBACK;
	case UNSUBSCRIBE:
		return UNSUBACK;
	case PINGREQ:
		return PINGRESP;
	default:
		return 0;
	}
}

static bool is_answer(uint8_t type)
{
	return type == CONNACK || type == PUBACK || type == PUBREC || type == PUBCOMP || type == SUBACK || type == UNSUBACK ||
	       type == PINGRESP;
}

static int take_request(struct frames *f, const struct frame *frame, const struct head *h, struct rd rd)
{
	struct mqtt_conn *conn = f->conn;
	uint8_t answer = answer_of(h);
	uint16_t id = 0;
	struct call *call;
	struct view topic;

	if (h->type == CONNECT && !connect_version(rd_rest(&rd)))
		return FRAME_BAD;
	if (conn->waiting[f->d].count >= PENDING_MAX)
		call_end(f->sink, call_fifo_take(&conn->waiting[f->d]), CALL_END_evicted);
	call = call_open(f->sink, L7_mqtt);
	if (!call)
		return FRAME_OK;
	call_request_begin(call, f->chunk, frame->off);
	call_request_end(call, f->chunk, frame->off);
	CALL_TEXT(f->sink, call, method, view_str(names[h->type]), 16);
	if (h->type == CONNECT)
		set_connect(conn, f->sink, call, rd_rest(&rd));
	set_connection(conn, f->sink, call);
	if (h->type == PUBLISH) {
		topic = rd_text_cut(&rd);
		if (answer)
			id = rd_u16be(&rd);
		if (conn->version == 5)
			topic = resolve_topic(conn, f->d, topic, find_alias(rd_vbytes(&rd)));
		set_topic(f->sink, call, topic);
		if (!rd.bad)
			ROW_SET(CALL, &call->row, req_body_bytes, h->len - rd_pos(&rd));
	} else if (h->type == SUBSCRIBE || h->type == UNSUBSCRIBE) {
		id = rd_u16be(&rd);
		pass_properties(conn->version, &rd, h->type == SUBSCRIBE);
		set_topic(f->sink, call, rd_text_cut(&rd));
	} else if (h->type == PUBREL) {
		id = rd_u16be(&rd);
	} else if ((h->type == DISCONNECT || h->type == AUTH) && h->len) {
		uint8_t code = rd_u8(&rd);

		set_reason(f->sink, call, code, code);
	}
	call->tag = (uint64_t)answer << 16 | id;
	conn->at[f->d] = call;
	conn->at_answer[f->d] = false;
	return FRAME_OK;
}

static void set_answer(struct frames *f, struct call *call, const struct head *h, struct rd rd)
{
	const struct mqtt_conn *conn = f->conn;
	uint8_t code = 0, worst = 0;

	switch (h->type) {
	case CONNACK:
		(void)rd_u8(&rd);
		code = rd_u8(&rd);
		set_reason(f->sink, call, code, conn->version != 5 && code < sizeof(old_reasons) ? old_reasons[code] : code);
		return;
	case PUBACK:
	case PUBREC:
	case PUBCOMP:
		if (h->len > 2) {
			rd_skip(&rd, 2);
			code = rd_u8(&rd);
		}
		set_reason(f->sink, call, code, code);
		return;
	case SUBACK:
	case UNSUBACK:
		rd_skip(&rd, 2);
		if (conn->version == 5)
			(void)rd_vbytes(&rd);
		while (rd_left(&rd) && !rd.bad) {
			code = rd_u8(&rd);
			worst = code > worst ? code : worst;
		}
		/* below 0x80: what was granted */
		set_reason(f->sink, call, worst, worst < 4 ? 0 : worst);
		return;
	default:
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	}
}

static int take_answer(struct frames *f, const struct frame *frame, const struct head *h, struct rd rd)
{
	struct mqtt_conn *conn = f->conn;
	struct call_fifo *fifo = &conn->waiting[!f->d];
	struct rd id = rd;
	uint64_t tag = (uint64_t)h->type << 16;
	struct call *call, *prev = NULL;

	if (h->type != CONNACK && h->type != PINGRESP)
		tag |= rd_u16be(&id);
	for (call = fifo->head; call && call->tag != tag; call = call->next)
		prev = call;
	if (call) {
		*(prev ? &prev->next : &fifo->head) = call->next;
		if (fifo->tail == call)
			fifo->tail = prev;
		fifo->count--;
		call->next = NULL;
	} else {
		call = call_open(f->sink, L7_mqtt);
		if (!call)
			return FRAME_OK;
		CALL_TEXT(f->sink, call, method, view_str(names[h->type]), 16);
		set_connection(conn, f->sink, call);
	}
	call_response_begin(call, f->chunk, frame->off);
	call_response_end(call, f->chunk, frame->off);
	set_answer(f, call, h, rd);
	conn->at[f->d] = call;
	conn->at_answer[f->d] = true;
	return FRAME_OK;
}

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct head h;
	int rc = head_read(bytes, &h);

	(void)f;
	if (rc <= 0)
		return rc;
	*ret_show = SHOW_MAX;
	return (int64_t)h.size + h.len;
}

static int take(struct frames *f, const struct frame *frame)
{
	struct mqtt_conn *conn = f->conn;
	struct head h;
	struct rd rd;

	conn->at[f->d] = NULL;
	if (head_read(frame->bytes, &h) != 1)
		return FRAME_BAD;
	rd = rd_make(view_sub(frame->bytes, h.size, frame->bytes.len));
	return is_answer(h.type) ? take_answer(f, frame, &h, rd) : take_request(f, frame, &h, rd);
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct mqtt_conn *conn = f->conn;
	struct call *call = conn->at[f->d];

	if (whole)
		conn->sure = true;
	if (!call)
		return;
	call_missing(call, missing);
	if (conn->at_answer[f->d])
		call_response_end(call, f->chunk, end_off);
	else
		call_request_end(call, f->chunk, end_off);
	if (!whole)
		return;
	conn->at[f->d] = NULL;
	if (conn->at_answer[f->d]) {
		call->rsp_whole = true;
		call_end(f->sink, call, call->has_req ? CALL_END_complete : CALL_END_no_request);
	} else if (call->tag >> 16) {
		call_fifo_put(&conn->waiting[f->d], call);
	} else {
		call_end(f->sink, call, CALL_END_oneway);
	}
}

/* Whole packets to the last byte. */
static bool all_packets(struct view bytes)
{
	while (bytes.len) {
		struct head h;
		struct rd rd;

		if (head_read(bytes, &h) != 1 || bytes.len - h.size < h.len)
			return false;
		rd = rd_make(view_sub(bytes, h.size, h.len));
		if (h.type == PUBLISH && (!is_text(rd_text(&rd)) || rd.bad))
			return false;
		if (h.type == CONNECT && !connect_version(rd_rest(&rd)))
			return false;
		if (h.type != PUBLISH && h.type != CONNECT && h.type != SUBSCRIBE && h.type != UNSUBSCRIBE && h.len > 512)
			return false;
		bytes = view_sub(bytes, (size_t)h.size + h.len, bytes.len);
	}
	return true;
}

static bool resync(struct frames *f, struct view bytes)
{
	(void)f;
	return bytes.len && all_packets(bytes);
}

static void lost(struct frames *f, uint64_t len)
{
	struct mqtt_conn *conn = f->conn;
	struct call *call = conn->at[f->d];

	conn->at[f->d] = NULL;
	conn->doubt[f->d] = true;
	memset(conn->alias[f->d], 0, sizeof(conn->alias[f->d]));
	if (!call && conn->waiting[!f->d].count == 1)
		call = call_fifo_take(&conn->waiting[!f->d]);	/* the only one whose answer can have been in it */
	if (!call)
		return;
	call_missing(call, len);
	call_end(f->sink, call, CALL_END_gap);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t mqtt_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct mqtt_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return frames_feed(&f, &frame_ops);
}

static int mqtt_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct mqtt_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return frames_gap(&f, &frame_ops, len);
}

static void mqtt_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct mqtt_conn *conn = at;

	for (unsigned d = 0; d < 2; d++) {
		call_end_open(sink, conn->at[d], reason);
		call_fifo_end_open(&conn->waiting[d], sink, conn->doubt[!d] ? CALL_END_gap : reason);
	}
}

static bool name_is_cut(struct view body)
{
	struct view name = body.at[1] == 4 ? VIEW_LIT("\0\4MQTT") : VIEW_LIT("\0\6MQIsdp");

	return body.len <= name.len && memcmp(body.at, name.at, body.len) == 0;
}

static enum guess mqtt_guess(struct view bytes, const struct guess_hint *hint)
{
	struct head h;
	int rc = head_read(bytes, &h);

	if (hint->proto != PROTO_tcp || rc < 0 || !bytes.len)
		return GUESS_NO;
	if (bytes.at[0] == CONNECT << 4) {
		struct view body = view_sub(bytes, h.size, bytes.len);

		if (rc > 0 && connect_version(body))
			return GUESS_YES;
		if (rc == 0 || body.len < 2)
			return GUESS_MORE;
		return name_is_cut(body) ? GUESS_MORE : GUESS_NO;
	}
	/* without its beginning, bytes are believed where the port says so and they are whole packets */
	if (hint->src_port != PORT_MQTT && hint->dst_port != PORT_MQTT)
		return GUESS_NO;
	return rc == 0 ? GUESS_MORE : all_packets(bytes) ? GUESS_MAYBE : GUESS_NO;
}

/* ---- in full ---- */

/* A packet of its own does not tell the version: properties that fit are taken for such. json NULL: only look. */
static bool properties(struct rd *rd, struct json *json)
{
	struct view all = rd_vbytes(rd);
	struct rd at = rd_make(all);

	if (rd->bad)
		return false;
	while (rd_left(&at)) {
		struct view name, text;
		uint64_t number;
		uint8_t id;
		char type;

		if (!property_next(&at, &id, &number, &name, &text))
			return false;
		if (!json)
			continue;
		type = property_types[id];
		json_object(json);
		json_ku64(json, "id", id);
		if (type == 'p')
			json_kstr(json, "name", name);
		if (type == 'p' || type == 's' || type == 'y')
			json_kstr(json, "value", text);
		else
			json_ku64(json, "value", number);
		json_object_end(json);
	}
	return !at.bad;
}

static void show_properties(struct rd *rd, struct json *json)
{
	struct rd look = *rd;

	if (!properties(&look, NULL))
		return;
	json_key(json, "properties");
	json_array(json);
	(void)properties(rd, json);
	json_array_end(json);
}

static void show_connect(struct rd *rd, struct json *json)
{
	uint8_t version, flags;

	json_kstr(json, "protocol", rd_text(rd));
	version = rd_u8(rd);
	flags = rd_u8(rd);
	json_ku64(json, "level", version);
	json_kbool(json, "clean", flags & 2);
	json_ku64(json, "keep_alive_s", rd_u16be(rd));
	if (version == 5)
		show_properties(rd, json);
	json_kstr(json, "client_id", rd_text(rd));
	if (flags & 4) {
		if (version == 5)
			(void)rd_vbytes(rd);
		json_kstr(json, "will_topic", rd_text(rd));
		json_kstr(json, "will", rd_text(rd));
	}
	if (flags & 0x80)
		json_kstr(json, "user", rd_text(rd));
	json_kbool(json, "password", flags & 0x40);	/* that there is one */
}

static void show_packet(struct view bytes, size_t body_max, struct json *json)
{
	struct head h;
	struct rd rd;
	struct view payload;

	if (head_read(bytes, &h) != 1)
		return;
	rd = rd_make(view_sub(bytes, h.size, h.len));
	json_kcstr(json, "type", names[h.type]);
	switch (h.type) {
	case CONNECT:
		show_connect(&rd, json);
		break;
	case CONNACK:
		json_kbool(json, "session_present", rd_u8(&rd) & 1);
		json_ku64(json, "reason", rd_u8(&rd));
		if (rd_left(&rd))
			show_properties(&rd, json);
		break;
	case PUBLISH:
		json_ku64(json, "qos", h.flags >> 1 & 3);
		json_kbool(json, "retain", h.flags & 1);
		json_kbool(json, "duplicate", h.flags & 8);
		json_kstr(json, "topic", rd_text(&rd));
		if (h.flags & 6)
			json_ku64(json, "packet_id", rd_u16be(&rd));
		show_properties(&rd, json);
		payload = rd_rest(&rd);
		json_kstr(json, "payload", view_sub(payload, 0, body_max));
		if (payload.len > body_max)
			json_kbool(json, "truncated", true);
		break;
	case SUBSCRIBE:
	case UNSUBSCRIBE:
		json_ku64(json, "packet_id", rd_u16be(&rd));
		if (!filters_fit(rd, h.type == SUBSCRIBE))
			show_properties(&rd, json);
		json_key(json, "filters");
		json_array(json);
		while (rd_left(&rd) && !rd.bad) {
			json_str(json, rd_text(&rd));
			if (h.type == SUBSCRIBE)
				(void)rd_u8(&rd);
		}
		json_array_end(json);
		break;
	case PINGREQ:
	case PINGRESP:
		break;
	default:
		if (h.type != DISCONNECT && h.type != AUTH)
			json_ku64(json, "packet_id", rd_u16be(&rd));
		json_key(json, "codes");
		json_array(json);
		while (rd_left(&rd) && !rd.bad)
			json_u64(json, rd_u8(&rd));
		json_array_end(json);
	}
}

static int mqtt_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	for (unsigned i = 0; i < 2; i++) {
		struct view bytes = i ? response : request;

		if (!bytes.len)
			continue;
		json_key(json, i ? "response" : "request");
		json_object(json);
		show_packet(bytes, body_max, json);
		json_object_end(json);
	}
	return 0;
}

const struct proto_ops proto_mqtt = {
	.id = L7_mqtt,
	.name = "mqtt",
	.title = "MQTT",
	.conn_size = sizeof(struct mqtt_conn),
	.guess = mqtt_guess,
	.feed = mqtt_feed,
	.gap = mqtt_gap,
	.close = mqtt_close,
	.detail = mqtt_detail,
};
