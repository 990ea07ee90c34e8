#include "wire/websocket_msg.h"

#include "base/err.h"
#include "base/rd.h"
#include "wire/http_body.h"
#include "wire/inflate.h"

#define PAYLOAD_MAX	((uint64_t)1 << 40)	/* more is no length but noise */
#define TEXT_MIN	8	/* readable bytes that no other protocol has there by chance */
#define FRAMES_MAX	64

int websocket_head(struct view bytes, struct websocket_head *ret_head)
{
	struct websocket_head *head = ret_head;
	uint8_t len;
	size_t need = 2;

	memset(head, 0, sizeof(*head));
	if (!bytes.len)
		return 0;
	head->fin = bytes.at[0] & 0x80;
	head->compressed = bytes.at[0] & 0x40;
	head->opcode = bytes.at[0] & 0x0f;
	if (bytes.at[0] & 0x30 || head->opcode > WS_PONG || (head->opcode > WS_BINARY && head->opcode < WS_CLOSE))
		return -1;
	if (head->opcode >= WS_CLOSE && (!head->fin || head->compressed))
		return -1;
	if (head->opcode == WS_CONTINUATION && head->compressed)
		return -1;
	if (bytes.len < need)
		return 0;
	head->masked = bytes.at[1] & 0x80;
	len = bytes.at[1] & 0x7f;
	if (len > WS_CONTROL_MAX && head->opcode >= WS_CLOSE)
		return -1;
	need += (size_t)(len == 126 ? 2 : len == 127 ? 8 : 0) + (head->masked ? 4 : 0);
	if (bytes.len < need)
		return 0;
	head->payload_len = len;
	if (len > 125) {
		head->payload_len = 0;
		for (unsigned i = 0; i < (len == 126 ? 2 : 8); i++)
			head->payload_len = head->payload_len << 8 | bytes.at[2 + i];
		if (head->payload_len <= (len == 126 ? 125u : 65535u) || head->payload_len > PAYLOAD_MAX)
			return -1;	/* the shortest form is the only one, RFC 6455 5.2 */
	}
	if (head->masked)
		memcpy(head->mask, bytes.at + need - 4, 4);
	head->bytes = need;
	return 1;
}

struct view websocket_unmask(const struct websocket_head *head, struct view payload, uint8_t *buf)
{
	payload = view_sub(payload, 0, WS_CONTROL_MAX);
	if (!head->masked)
		return payload;
	for (size_t i = 0; i < payload.len; i++)
		buf[i] = payload.at[i] ^ head->mask[i & 3];
	return view_make(buf, payload.len);
}

static bool readable(const struct websocket_head *head, struct view payload)
{
	uint8_t buf[WS_CONTROL_MAX];
	struct view text = websocket_unmask(head, payload, buf);

	if (head->opcode != WS_TEXT || head->compressed || !head->fin || text.len < TEXT_MIN)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < 0x20 || text.at[i] > 0x7e)
			return false;
	return true;
}

bool websocket_frames_fit(struct view bytes)
{
	struct websocket_head head, first = { .fin = false };
	bool text = false;

	for (unsigned i = 0; bytes.len; i++) {
		if (i == FRAMES_MAX || websocket_head(bytes, &head) <= 0 || bytes.len - head.bytes < head.payload_len)
			return false;
		if (i && head.masked != first.masked)
			return false;
		if (!i)
			first = head;
		text |= readable(&head, view_sub(bytes, head.bytes, (size_t)head.payload_len));
		bytes = view_sub(bytes, head.bytes + (size_t)head.payload_len, bytes.len);
	}
	return text;
}

const char *websocket_opcode(uint8_t opcode)
{
	static const char *const names[] = {
		[WS_CONTINUATION] = "continuation", [WS_TEXT] = "text", [WS_BINARY] = "binary", [WS_CLOSE] = "close",
		[WS_PING] = "ping", [WS_PONG] = "pong",
	};

	return opcode <= WS_PONG && names[opcode] ? names[opcode] : "reserved";
}

/* RFC 6455 7.4.1 and IANA's registry. */
const char *websocket_close_code(uint16_t code)
{
	static const struct {
		uint16_t code;
		const char *name;
	} names[] = {
		{ 1000, "Normal Closure" }, { 1001, "Going Away" }, { 1002, "Protocol error" },
		{ 1003, "Unsupported Data" }, { 1007, "Invalid frame payload data" }, { 1008, "Policy Violation" },
		{ 1009, "Message Too Big" }, { 1010, "Mandatory Extension" }, { 1011, "Internal Error" },
		{ 1012, "Service Restart" }, { 1013, "Try Again Later" }, { 1014, "Bad Gateway" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].code == code)
			return names[i].name;
	return "";
}

/* ---- detail ---- */

/* The data of one message, put together from its frames; what lies between them belongs to others. */
struct message {
	struct websocket_head first;
	struct wr data;
	unsigned frames;
	bool whole;
};

static void unmask_into(struct wr *out, const struct websocket_head *head, struct view payload)
{
	uint8_t *at = wr_space(out, payload.len);

	for (size_t i = 0; at && i < payload.len; i++)
		at[i] = head->masked ? payload.at[i] ^ head->mask[i & 3] : payload.at[i];
}

static void collect(struct view bytes, struct message *message)
{
	struct websocket_head head;

	while (!message->whole && websocket_head(bytes, &head) > 0) {
		struct view payload = view_sub(bytes, head.bytes, (size_t)head.payload_len);

		if (!message->frames)
			message->first = head;
		if (!message->frames || head.opcode == WS_CONTINUATION) {
			message->frames++;
			unmask_into(&message->data, &head, payload);
			message->whole = head.fin && payload.len == head.payload_len;
		}
		bytes = view_sub(bytes, head.bytes + payload.len, bytes.len);
	}
}

/*
 * RFC 7692 7.2.2: the sender took 00 00 ff ff off; an empty last block ends the
 * data. It may refer to messages before it, which are not at hand here.
 */
static int show_compressed(const struct message *message, size_t body_max, struct json *json)
{
	static const uint8_t end[] = { 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff };
	struct wr in, out;
	struct err err;
	bool more = false;
	int rc;

	wr_init(&in, 0);
	wr_init(&out, 0);
	wr_bytes(&in, wr_view(&message->data));
	wr_bytes(&in, view_make(end, sizeof(end)));
	rc = in.bad ? E_NO_MEMORY : inflate_view(CODING_RAW_DEFLATE, wr_view(&in), body_max, &out, &more, &err);
	json_kbool(json, "compressed", true);
	if (rc == E_FORMAT)
		json_kcstr(json, "note", "not whole without the messages before it");
	if (rc == 0 || rc == E_FORMAT)
		rc = body_show(wr_view(&out), more || rc, json);
	wr_release(&in);
	wr_release(&out);
	return rc;
}

static int show(const char *key, struct view bytes, size_t body_max, struct json *json)
{
	struct message message = { .frames = 0 };
	struct view data;
	int rc = 0;

	wr_init(&message.data, 0);
	collect(bytes, &message);
	if (message.data.bad) {
		wr_release(&message.data);
		return E_NO_MEMORY;
	}
	data = wr_view(&message.data);
	json_key(json, key);
	json_object(json);
	json_kcstr(json, "opcode", websocket_opcode(message.first.opcode));
	json_ku64(json, "frames", message.frames);
	json_kbool(json, "masked", message.first.masked);
	if (message.first.opcode == WS_CLOSE && data.len >= 2) {
		uint16_t code = (uint16_t)(data.at[0] << 8 | data.at[1]);

		json_ku64(json, "code", code);
		json_kcstr(json, "code_text", websocket_close_code(code));
		data = view_sub(data, 2, data.len);
	}
	if (message.first.compressed)
		rc = show_compressed(&message, body_max, json);
	else
		rc = body_show(view_sub(data, 0, body_max), data.len > body_max || !message.whole, json);
	json_object_end(json);
	wr_release(&message.data);
	return rc;
}

int websocket_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	int rc = 0;

	if (request.len)
		rc = show("request", request, body_max, json);
	if (!rc && response.len)
		rc = show("response", response, body_max, json);
	return rc;
}
