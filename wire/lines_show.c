/* Commands, replies and messages of line protocols in full. */
#include "wire/http_body.h"
#include "wire/lines.h"
#include "wire/secret.h"

#define HEADERS_MAX 200

void show_command(struct json *json, struct view line, bool masked)
{
	struct view word = line_word(&line);

	json_kstr(json, "command", word);
	if (line.len)
		json_kstr(json, "argument", masked ? VIEW_LIT(SECRET_MASK) : line);
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* RFC 3463: class "." subject "." detail */
static struct view enhanced_code(struct view text)
{
	struct view word = line_word(&text);
	unsigned dots = 0;

	if (word.len < 5 || !memchr("245", word.at[0], 3))
		return view_make("", 0);
	for (size_t i = 0; i < word.len; i++) {
		dots += word.at[i] == '.';
		if (!is_digit(word.at[i]) && (word.at[i] != '.' || i + 1 == word.len || !is_digit(word.at[i + 1])))
			return view_make("", 0);
	}
	return dots == 2 ? word : view_make("", 0);
}

void show_replies(struct json *json, struct view bytes, size_t max, bool enhanced)
{
	bool cut = bytes.len > max, open = false, more = false;
	struct view line;

	if (cut)
		bytes.len = max;
	json_key(json, "replies");
	json_array(json);
	while (bytes.len) {
		struct reply reply;
		bool is_reply;

		if (!line_next(&bytes, &line)) {
			line = bytes;
			bytes.len = 0;
		}
		is_reply = reply_line(line, &reply);
		if (open && !more && is_reply) {
			json_array_end(json);
			json_object_end(json);
			open = false;
		}
		if (!open) {
			json_object(json);
			if (is_reply) {
				json_ku64(json, "code", reply.code);
				if (enhanced && enhanced_code(reply.text).len)
					json_kstr(json, "enhanced", enhanced_code(reply.text));
			}
			json_key(json, "lines");
			json_array(json);
			open = true;
		}
		json_str(json, is_reply ? reply.text : line);
		if (is_reply)
			more = reply.more;
	}
	if (open) {
		json_array_end(json);
		json_object_end(json);
	}
	json_array_end(json);
	if (cut)
		json_kbool(json, "truncated", true);
}

/* "Name: value" with the lines that continue it; false where the headers are over. */
static bool header_next(struct view *bytes, struct view *ret_name, struct view *ret_value)
{
	struct view rest = *bytes, line, more;
	ptrdiff_t colon;

	if (!line_next(&rest, &line))
		return false;
	colon = view_find(view_sub(line, 0, 128), VIEW_LIT(":"));
	if (colon <= 0 || line.at[0] == ' ' || line.at[0] == '\t')
		return false;
	*ret_name = view_sub(line, 0, (size_t)colon);
	*ret_value = line;
	for (;;) {
		struct view next = rest;

		if (!next.len || (next.at[0] != ' ' && next.at[0] != '\t') || !line_next(&next, &more))
			break;
		rest = next;
		ret_value->len = (size_t)(more.at + more.len - ret_value->at);
	}
	*ret_value = view_trim(view_sub(*ret_value, (size_t)colon + 1, ret_value->len));
	*bytes = rest;
	return true;
}

void show_message(struct json *json, struct view message, size_t max)
{
	bool cut = message.len > max;
	struct view name, value, line, rest;

	if (cut)
		message.len = max;
	json_key(json, "headers");
	json_array(json);
	for (unsigned i = 0; i < HEADERS_MAX && header_next(&message, &name, &value); i++) {
		json_object(json);
		json_kstr(json, "name", name);
		json_kstr(json, "value", value);
		json_object_end(json);
	}
	json_array_end(json);
	rest = message;
	if (line_next(&rest, &line) && !line.len)
		message = rest;
	(void)body_show(message, cut, json);
}
