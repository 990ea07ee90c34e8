/* A Memcached call in full. */
#include "base/rd.h"
#include "wire/http_body.h"
#include "wire/memcached_msg.h"
#include "wire/secret.h"

enum { SASL_AUTH = 0x21, SASL_STEP = 0x22 };

struct show {
	struct json *json;
	size_t budget;
	bool cut;
};

static void show_data(struct show *s, struct view data)
{
	bool more = data.len > s->budget;

	if (more)
		data.len = s->budget;
	s->cut |= more;
	s->budget -= data.len;
	(void)body_show(data, more, s->json);
}

static struct view show_line(struct show *s, struct view bytes)
{
	struct memcached_line line;
	size_t end;

	if (!memcached_line(bytes, &line)) {
		s->cut = true;
		return view_make("", 0);
	}
	json_object(s->json);
	json_kstr(s->json, "line", line.all);
	end = line.line_bytes;
	if (line.has_data) {
		show_data(s, view_sub(bytes, end, line.data_bytes));
		end = line.data_bytes < bytes.len - end ? end + line.data_bytes + 2 : bytes.len;
	}
	json_object_end(s->json);
	s->budget -= s->budget < line.line_bytes ? s->budget : line.line_bytes;
	return view_sub(bytes, end, bytes.len);
}

static struct view show_packet(struct show *s, struct view bytes)
{
	struct memcached_head head;
	struct view rest = view_sub(bytes, MEMCACHED_HEAD_BYTES, bytes.len), extras;
	const char *name;

	if (!memcached_head(bytes, &head)) {
		s->cut = true;
		return view_make("", 0);
	}
	rest = view_sub(rest, 0, head.body);
	extras = view_sub(rest, 0, head.extras);
	name = memcached_opcode(head.opcode);
	json_object(s->json);
	json_kcstr(s->json, "opcode", name ? name : "unknown");
	json_ku64(s->json, "opaque", head.opaque);
	if (!head.request) {
		json_ku64(s->json, "status", head.status);
		json_kcstr(s->json, "status_text", memcached_status(head.status));
	}
	if (extras.len >= 4) {
		struct rd rd = rd_make(extras);

		json_ku64(s->json, "flags", rd_u32be(&rd));
		if (extras.len >= 8)
			json_ku64(s->json, "expiration", rd_u32be(&rd));
	}
	if (head.key)
		json_kstr(s->json, "key", view_sub(rest, head.extras, head.key));
	if (head.request && (head.opcode == SASL_AUTH || head.opcode == SASL_STEP))
		json_kcstr(s->json, "body", SECRET_MASK);
	else if (head.body > (uint32_t)head.extras + head.key)
		show_data(s, view_sub(rest, (size_t)head.extras + head.key, rest.len));
	json_object_end(s->json);
	s->budget -= s->budget < MEMCACHED_HEAD_BYTES ? s->budget : MEMCACHED_HEAD_BYTES;
	return view_sub(bytes, MEMCACHED_HEAD_BYTES + (size_t)head.body, bytes.len);
}

int memcached_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	for (unsigned side = 0; side < 2; side++) {
		struct view bytes = side ? response : request;
		struct show s = { .json = json, .budget = body_max };
		bool binary = bytes.len && bytes.at[0] >= 0x80;

		if (!bytes.len)
			continue;
		json_key(json, side ? "response" : "request");
		json_object(json);
		json_key(json, "messages");
		json_array(json);
		while (bytes.len && s.budget)
			bytes = binary ? show_packet(&s, bytes) : show_line(&s, bytes);
		json_array_end(json);
		if (s.cut || bytes.len)
			json_kbool(json, "truncated", true);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}
