/* Bytes as hexadecimal digits. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include "base/view.h"

/* Two small letters a byte into to, no NUL behind them; returns how many: 2 * bytes.len. */
static inline size_t hex_write(struct view bytes, char *to)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < bytes.len; i++) {
		*to++ = digits[bytes.at[i] >> 4];
		*to++ = digits[bytes.at[i] & 15];
	}
	return 2 * bytes.len;
}

#endif
