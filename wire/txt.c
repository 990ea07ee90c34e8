#include "wire/txt.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/hex.h"

void txt_put(struct txt *txt, struct view bytes)
{
	size_t room = txt->cap - txt->len;

	if (bytes.len > room) {
		bytes.len = room;
		txt->cut = true;
	}
	if (bytes.len)
		memcpy(txt->at + txt->len, bytes.at, bytes.len);
	txt->len += bytes.len;
}

void txt_str(struct txt *txt, const char *s)
{
	txt_put(txt, view_str(s));
}

void txt_printf(struct txt *txt, const char *fmt, ...)
{
	char text[128];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n > 0)
		txt_put(txt, view_make(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
}

void txt_hex(struct txt *txt, struct view v)
{
	for (size_t i = 0; i < v.len && !txt->cut; i++) {
		char two[2];

		txt_put(txt, view_make(two, hex_write(view_sub(v, i, 1), two)));
	}
}

bool txt_is_text(struct view bytes)
{
	for (size_t i = 0; i < bytes.len;) {
		uint8_t c = bytes.at[i++];
		unsigned more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 :
				c >= 0xf0 && c < 0xf5 ? 3 : 9;

		if (more == 9 || (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 127)
			return false;
		for (; more; more--, i++)
			if (i == bytes.len || (bytes.at[i] & 0xc0) != 0x80)
				return false;
	}
	return true;
}
