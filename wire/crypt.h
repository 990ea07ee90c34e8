/*
 * Digests and ciphers, by libnettle: fingerprints (JA3, JA4, SSH), and the protection of QUIC's Initial
 * packets, whose keys follow from the packet itself. Nothing secret passes here. Pure.
 */
#ifndef WIRE_CRYPT_H
#define WIRE_CRYPT_H

#include "base/view.h"

#define MD5_HEX_LEN	32
#define SHA256_HEX_LEN	64
#define SHA256_BYTES	32
#define AES128_BYTES	16	/* of a key, a block and a tag of GCM */
#define GCM_NONCE_BYTES	12

/* Hexadecimal, lower case, with a NUL. */
void md5_hex(struct view bytes, char ret_hex[MD5_HEX_LEN + 1]);
void sha256_hex(struct view bytes, char ret_hex[SHA256_HEX_LEN + 1]);

/* HMAC (RFC 2104). */
void hmac_sha256(struct view key, struct view bytes, uint8_t ret_mac[SHA256_BYTES]);

void aes128_block(const uint8_t key[AES128_BYTES], const uint8_t plain[AES128_BYTES], uint8_t ret_block[AES128_BYTES]);

/* sealed: the encrypted bytes and the tag behind them. Into ret_plain sealed.len - AES128_BYTES bytes. False: the tag is wrong. */
bool aes128_gcm_open(const uint8_t key[AES128_BYTES], const uint8_t nonce[GCM_NONCE_BYTES], struct view head,
		     struct view sealed, uint8_t *ret_plain);

#endif
