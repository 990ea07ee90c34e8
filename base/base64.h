/* Base64 (RFC 4648): both alphabets are read, the usual one is written. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/view.h"

/* 0 to 63; -1: no digit, padding is none. */
int base64_digit(uint8_t c);
/* Decode up to the first byte that is no digit, at most cap bytes. Returns how many; *ret_used: digits taken. */
size_t base64_read(struct view text, uint8_t *out, size_t cap, size_t *ret_used);
/* Bytes that base64_write makes of len. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)
void base64_write(struct view bytes, uint8_t *out);

#endif
