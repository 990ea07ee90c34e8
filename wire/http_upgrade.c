#include "wire/http_upgrade.h"

#include <stdio.h>

static const char *const told[] = { "upgrade", "sec-websocket-extensions", "sec-websocket-protocol" };

/* Upgrade names that have a dissector here. */
static const struct {
	const char *name;
	uint8_t l7;
} upgrades[] = {
	{ "websocket", L7_websocket },
	{ "h2c", L7_http2 },
};

/* A line longer than what is left is left out whole: half a value says something else. */
static void add_line(char *text, size_t *len, const char *name, struct view value)
{
	int n = snprintf(text + *len, CALL_NOTE_MAX - *len, "%s: %.*s\n", name, (int)value.len,
			 (const char *)value.at);

	if (n > 0 && (size_t)n < CALL_NOTE_MAX - *len)
		*len += (size_t)n;
}

uint8_t http_upgrade(struct call_sink *sink, const struct call *call, const struct http_head *response)
{
	char text[CALL_NOTE_MAX];
	struct view rest = response->fields, name, value, upgrade = view_make("", 0);
	size_t len = 0;

	if (call && ROW_HAS(CALL, &call->row, method)) {
		int target_len = call->row.target.len < CALL_NOTE_MAX / 2 ? (int)call->row.target.len :
				 CALL_NOTE_MAX / 2;
		int n = snprintf(text, sizeof(text), "%.*s %.*s\n", (int)call->row.method.len,
				 (const char *)call->row.method.at, target_len, (const char *)call->row.target.at);

		len = n > 0 ? (size_t)n : 0;
		if (ROW_HAS(CALL, &call->row, host))
			add_line(text, &len, "host", call->row.host);
	}
	while (response->status == 101 && http_field_next(&rest, &name, &value)) {
		for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
			if (view_ieq(name, told[i]))
				add_line(text, &len, told[i], value);
		if (view_ieq(name, "upgrade"))
			upgrade = value;
	}
	call_note(sink, view_make(text, len));
	for (size_t i = 0; i < sizeof(upgrades) / sizeof(upgrades[0]); i++)
		if (view_ieq(upgrade, upgrades[i].name) && proto_by_id(upgrades[i].l7))
			return upgrades[i].l7;
	return L7_none;
}

struct view http_note_field(struct view note, const char *name)
{
	struct view line, key, value;

	if (!http_line(&note, &line))
		return view_make("", 0);
	while (http_field_next(&note, &key, &value))
		if (view_ieq(key, name))
			return value;
	return view_make("", 0);
}

void http_note_request(struct view note, struct view *ret_method, struct view *ret_target)
{
	struct view line;
	ptrdiff_t space;

	*ret_method = *ret_target = view_make("", 0);
	if (!http_line(&note, &line))
		return;
	space = view_find(line, view_str(" "));
	if (space < 0)
		return;
	*ret_method = view_sub(line, 0, (size_t)space);
	*ret_target = view_sub(line, (size_t)space + 1, line.len);
}
