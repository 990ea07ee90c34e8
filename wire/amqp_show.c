/* A call of AMQP in full. */
#include "wire/amqp_msg.h"
#include "wire/amqp_type.h"
#include "wire/http_body.h"

#define BODY_PIECES_MAX	4096

/* The frames of one channel in bytes, one after the other: those of others may lie between. */
struct pieces {
	struct view rest;
	uint16_t channel;
	bool cut;
};

static bool piece_next(struct pieces *p, struct amqp_head *head, struct view *ret_payload)
{
	while (p->rest.len) {
		if (amqp_head(p->rest, head) <= 0) {
			p->cut = true;
			return false;
		}
		*ret_payload = view_sub(p->rest, AMQP_HEAD_BYTES, head->size);
		p->cut |= ret_payload->len < head->size;
		p->rest = view_sub(p->rest, AMQP_HEAD_BYTES + (size_t)head->size + 1, p->rest.len);
		if (head->channel == p->channel)
			return true;
	}
	return false;
}

/* The body may be in several frames: they are put together up to what is shown. */
static int show_body(struct pieces *p, struct view first, size_t body_max, struct json *json)
{
	struct amqp_head head;
	struct view payload;
	struct wr body;
	bool more = false;
	int rc;

	wr_init(&body, 0);
	for (payload = first;;) {
		size_t left = body_max - body.len;

		wr_bytes(&body, view_sub(payload, 0, left));
		more |= payload.len > left;
		do {
			if (!piece_next(p, &head, &payload)) {
				rc = body.bad ? E_NO_MEMORY : body_show(view_make(body.at, body.len), more || p->cut, json);
				wr_release(&body);
				return rc;
			}
		} while (head.type != AMQP_TYPE_BODY);
	}
}

static int show_message(struct view bytes, size_t body_max, struct json *json)
{
	struct pieces p = { .rest = bytes };
	const struct amqp_method *m = NULL;
	struct amqp_head head;
	struct view payload;
	bool body = false;
	int rc = 0;

	if (view_starts(bytes, "AMQP")) {
		json_key(json, "protocol_header");
		json_array(json);
		for (size_t i = 4; i < bytes.len && i < 8; i++)
			json_u64(json, bytes.at[i]);
		json_array_end(json);
		return 0;
	}
	if (bytes.at[0] == 0)
		return amqp10_show(bytes, body_max, json);
	if (amqp_head(bytes, &head) > 0)
		p.channel = head.channel;
	json_ku64(json, "channel", p.channel);
	while (!body && piece_next(&p, &head, &payload)) {
		if (head.type == AMQP_TYPE_METHOD && !m) {
			m = amqp_method(payload);
			if (m)
				amqp_show_method(m, payload, json);
		} else if (head.type == AMQP_TYPE_HEADER) {
			amqp_show_content(payload, json);
		} else if (head.type == AMQP_TYPE_BODY) {
			body = true;
			rc = show_body(&p, payload, body_max, json);
		}
	}
	if (!body && p.cut)
		json_kbool(json, "truncated", true);
	return rc;
}

int amqp_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	for (unsigned i = 0; i < 2; i++) {
		struct view bytes = i ? response : request;
		int rc;

		if (!bytes.len)
			continue;
		json_key(json, i ? "response" : "request");
		json_object(json);
		rc = show_message(bytes, body_max, json);
		json_object_end(json);
		if (rc < 0)
			return rc;
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}
