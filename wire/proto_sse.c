/* Server-sent events: http_watch.c makes the calls; here is how one is shown, the page or an event of it. */
#include "wire/http_body.h"
#include "wire/http_head.h"
#include "wire/proto.h"

static enum guess sse_guess(struct view bytes, const struct guess_hint *hint)
{
	(void)bytes;
	(void)hint;
	return GUESS_NO;	/* the connection is HTTP's */
}

/* An event, line by line. Sizes of chunks that happen to lie between its lines are no fields and are shown as such. */
static int show_event(struct view event, size_t body_max, struct json *json)
{
	struct view all = view_sub(event, 0, body_max), line, rest = all;

	json_key(json, "request");
	json_object(json);
	json_key(json, "fields");
	json_array(json);
	while (rest.len) {
		struct view name;
		const uint8_t *colon;

		if (!http_line(&rest, &line)) {
			line = rest;
			rest.len = 0;
		}
		if (!line.len)
			continue;
		colon = memchr(line.at, ':', line.len);
		name = view_sub(line, 0, colon ? (size_t)(colon - line.at) : line.len);
		line = view_sub(line, name.len + 1, line.len);
		if (line.len && line.at[0] == ' ')
			line = view_sub(line, 1, line.len);
		json_object(json);
		json_kstr(json, "name", name);
		json_kstr(json, "value", line);
		json_object_end(json);
	}
	json_array_end(json);
	if (event.len > all.len)
		json_kbool(json, "truncated", true);
	json_object_end(json);
	return 0;
}

static int sse_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	if (response.len || http_start(request) == HTTP_START_REQUEST || !request.len)
		return http_detail(request, response, body_max, json);
	return show_event(request, body_max, json);
}

const struct proto_ops proto_sse = {
	.id = L7_sse,
	.name = "sse",
	.title = "Server-sent events",
	.guess = sse_guess,
	.detail = sse_detail,
};
