#include "base/base64.h"

int base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

size_t base64_read(struct view text, uint8_t *out, size_t cap, size_t *ret_used)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t len = 0, i;

	for (i = 0; i < text.len && len < cap; i++) {
		int digit = base64_digit(text.at[i]);

		if (digit < 0)
			break;
		bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[len++] = (uint8_t)(bits >> have);
		}
	}
	*ret_used = i;
	return len;
}

void base64_write(struct view bytes, uint8_t *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t v = (uint32_t)bytes.at[i] << 16 | (left > 1 ? (uint32_t)bytes.at[i + 1] << 8 : 0) |
			     (left > 2 ? bytes.at[i + 2] : 0);

		*out++ = (uint8_t)digits[v >> 18];
		*out++ = (uint8_t)digits[v >> 12 & 63];
		*out++ = (uint8_t)(left > 1 ? digits[v >> 6 & 63] : '=');
		*out++ = (uint8_t)(left > 2 ? digits[v & 63] : '=');
	}
}
