/* A SIP transaction in full: the request, and its provisional and final responses. */
#include "wire/http_body.h"
#include "wire/http_head.h"
#include "wire/lines.h"
#include "wire/secret.h"
#include "wire/sip_msg.h"

#define MESSAGES_MAX	50
#define SDP_LINES_MAX	500

struct sdp {
	struct json *json;
	bool attributes, media, in_media;	/* what is open */
};

static void sdp_attributes_end(struct sdp *sdp)
{
	if (sdp->attributes)
		json_array_end(sdp->json);
	sdp->attributes = false;
}

static void sdp_media_end(struct sdp *sdp)
{
	sdp_attributes_end(sdp);
	if (sdp->in_media)
		json_object_end(sdp->json);
	sdp->in_media = false;
}

/* m=audio 49170 RTP/AVP 0 8 */
static void sdp_media(struct sdp *sdp, struct view value)
{
	sdp_media_end(sdp);
	if (!sdp->media) {
		json_key(sdp->json, "media");
		json_array(sdp->json);
	}
	sdp->media = sdp->in_media = true;
	json_object(sdp->json);
	json_kstr(sdp->json, "type", line_word(&value));
	json_kstr(sdp->json, "port", line_word(&value));
	json_kstr(sdp->json, "protocol", line_word(&value));
	json_kstr(sdp->json, "formats", value);
}

static void sdp_line(struct sdp *sdp, struct view line)
{
	static const struct {
		char letter;
		const char *key;
	} keys[] = {
		{ 'v', "version" }, { 'o', "origin" }, { 's', "session" }, { 'i', "information" }, { 'u', "uri" }, { 'e', "email" },
		{ 'p', "phone" }, { 'c', "connection" }, { 'b', "bandwidth" }, { 't', "time" }, { 'k', "key" },
	};

	if (line.len < 2 || line.at[1] != '=')
		return;
	if (line.at[0] == 'm') {
		sdp_media(sdp, view_sub(line, 2, line.len));
		return;
	}
	if (line.at[0] == 'a') {
		if (!sdp->attributes) {
			json_key(sdp->json, "attributes");
			json_array(sdp->json);
		}
		sdp->attributes = true;
		json_str(sdp->json, view_sub(line, 2, line.len));
		return;
	}
	sdp_attributes_end(sdp);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].letter == (char)line.at[0])
			json_kstr(sdp->json, keys[i].key, view_sub(line, 2, line.len));
}

static void show_sdp(struct json *json, struct view body)
{
	struct sdp sdp = { .json = json };
	struct view line;

	json_key(json, "sdp");
	json_object(json);
	for (unsigned i = 0; i < SDP_LINES_MAX && body.len; i++) {
		if (!line_next(&body, &line)) {
			line = body;
			body = view_make("", 0);
		}
		sdp_line(&sdp, line);
	}
	sdp_media_end(&sdp);
	if (sdp.media)
		json_array_end(json);
	json_object_end(json);
}

/* One message as members of the open object. */
static void show_message_of(struct json *json, const struct sip_msg *msg, struct view body, bool cut)
{
	struct view rest = msg->fields, name, value;

	if (msg->request) {
		json_kstr(json, "method", msg->method);
		json_kstr(json, "uri", msg->uri);
	} else {
		json_ku64(json, "status", msg->status);
		json_kstr(json, "reason", msg->reason);
	}
	json_key(json, "headers");
	json_array(json);
	while (http_field_next(&rest, &name, &value)) {
		json_object(json);
		secret_show_header(json, sip_header_name(name), value);
		json_object_end(json);
	}
	json_array_end(json);
	if (!body.len)
		return;
	if (view_istarts(msg->content_type, "application/sdp"))
		show_sdp(json, body);
	(void)body_show(body, cut, json);
}

/* The first message of *bytes, which moves behind it. */
static bool next_message(struct view *bytes, size_t body_max, struct sip_msg *msg, struct view *ret_body, bool *ret_cut)
{
	size_t scanned = 0, head, body;

	while (bytes->len && (bytes->at[0] == '\r' || bytes->at[0] == '\n'))
		*bytes = view_sub(*bytes, 1, bytes->len);
	head = http_head_end(*bytes, &scanned);
	if (!head)
		head = bytes->len;
	if (!sip_parse(view_sub(*bytes, 0, head), msg))
		return false;
	body = msg->has_length && msg->length < bytes->len - head ? (size_t)msg->length : bytes->len - head;
	*ret_body = view_sub(view_sub(*bytes, head, body), 0, body_max);
	*ret_cut = ret_body->len < body || (msg->has_length && msg->length > body);
	*bytes = view_sub(*bytes, head + body, bytes->len);
	return true;
}

int sip_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	struct sip_msg msg;
	struct view body;
	uint64_t key = 0;
	bool cut;

	if (request.len) {
		json_key(json, "request");
		json_object(json);
		if (next_message(&request, body_max, &msg, &body, &cut)) {
			key = msg.key;
			show_message_of(json, &msg, body, cut);
		} else {
			json_kstr(json, "raw", view_sub(request, 0, body_max));
		}
		json_object_end(json);
	}
	if (response.len) {
		json_key(json, "response");
		json_object(json);
		json_key(json, "messages");
		json_array(json);
		/* between a provisional response and the final one those of other transactions may lie */
		for (unsigned i = 0; i < MESSAGES_MAX && next_message(&response, body_max, &msg, &body, &cut); i++) {
			if (msg.request || (key && msg.key != key))
				continue;
			json_object(json);
			show_message_of(json, &msg, body, cut);
			json_object_end(json);
		}
		json_array_end(json);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}
