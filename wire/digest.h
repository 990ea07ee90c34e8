/* MD5 (RFC 1321) and SHA-256 (FIPS 180-4) of short texts: fingerprints, nothing secret. Pure. */
#ifndef WIRE_DIGEST_H
#define WIRE_DIGEST_H

#include "base/view.h"

#define MD5_HEX_LEN	32
#define SHA256_HEX_LEN	64

/* Hexadecimal, lower case, with a NUL. */
void md5_hex(struct view bytes, char ret_hex[MD5_HEX_LEN + 1]);
void sha256_hex(struct view bytes, char ret_hex[SHA256_HEX_LEN + 1]);

#endif
