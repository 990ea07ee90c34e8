/* An IMAP call in full: its lines, with the literals between them. */
#include "wire/http_body.h"
#include "wire/imap_msg.h"
#include "wire/lines.h"
#include "wire/secret.h"

#define LINES_MAX 2000

struct show {
	struct json *json;
	size_t budget;
	bool cut;
};

static void pay(struct show *s, size_t bytes)
{
	s->budget -= s->budget < bytes ? s->budget : bytes;
}

/* The literal that the line announces, if it does. */
static void show_literal(struct show *s, struct view line, struct view *rest, bool masked)
{
	struct view literal;
	uint64_t bytes;
	bool sync;

	if (!imap_literal(line, &bytes, &sync))
		return;
	literal = view_sub(*rest, 0, bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX);
	*rest = view_sub(*rest, literal.len, rest->len);
	json_ku64(s->json, "literal_bytes", bytes);
	if (masked) {
		json_kcstr(s->json, "body", SECRET_MASK);
		return;
	}
	s->cut |= literal.len > s->budget || literal.len < bytes;
	(void)body_show(view_sub(literal, 0, s->budget), literal.len > s->budget || literal.len < bytes, s->json);
	pay(s, literal.len);
}

static void show_request(struct show *s, struct view bytes)
{
	struct view line, rest = bytes;
	struct imap_line command;
	bool masked = false, lines = false;

	if (!line_next(&rest, &line)) {
		line = bytes;
		rest = view_make("", 0);
	}
	if (imap_command_line(line, &command)) {
		masked = !command.name || command.command == IMAP_LOGIN || command.command == IMAP_AUTHENTICATE;
		json_kstr(s->json, "tag", command.tag);
		if (command.name)
			json_kcstr(s->json, "command", command.name);
		if (command.command == IMAP_AUTHENTICATE)
			json_kstr(s->json, "mechanism", line_word(&command.rest));
		if (command.rest.len)
			json_kstr(s->json, "arguments", masked ? VIEW_LIT(SECRET_MASK) : command.rest);
	}
	show_literal(s, line, &rest, masked);
	for (unsigned i = 0; rest.len && i < LINES_MAX; i++) {
		if (!lines) {
			json_key(s->json, "more");
			json_array(s->json);
		}
		lines = true;
		if (!line_next(&rest, &line)) {
			line = rest;
			rest = view_make("", 0);
		}
		json_object(s->json);
		json_kstr(s->json, "line", masked ? VIEW_LIT(SECRET_MASK) : line);
		show_literal(s, line, &rest, masked);
		json_object_end(s->json);
	}
	if (lines)
		json_array_end(s->json);
}

static void show_response(struct show *s, struct view bytes)
{
	struct imap_answer answer = { .status = IMAP_DATA };
	struct view line = bytes, status = { NULL, 0 };

	json_key(s->json, "lines");
	json_array(s->json);
	for (unsigned i = 0; bytes.len && s->budget && i < LINES_MAX; i++) {
		if (!line_next(&bytes, &line)) {
			line = bytes;
			bytes = view_make("", 0);
		}
		json_object(s->json);
		json_kstr(s->json, "line", view_sub(line, 0, s->budget));
		pay(s, line.len);
		if (!imap_answer(line, &answer) || answer.status == IMAP_DATA)
			show_literal(s, line, &bytes, false);
		else if (!view_is(answer.tag, "*"))
			status = line;
		json_object_end(s->json);
	}
	json_array_end(s->json);
	s->cut |= bytes.len > 0;
	if (status.len && imap_answer(status, &answer)) {
		json_kcstr(s->json, "status", imap_status_name(answer.status));
		json_kstr(s->json, "text", answer.text);
	}
}

int imap_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	for (unsigned side = 0; side < 2; side++) {
		struct show s = { .json = json, .budget = body_max };
		struct view bytes = side ? response : request;

		if (!bytes.len)
			continue;
		json_key(json, side ? "response" : "request");
		json_object(json);
		if (side)
			show_response(&s, bytes);
		else
			show_request(&s, bytes);
		if (s.cut)
			json_kbool(json, "truncated", true);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}
