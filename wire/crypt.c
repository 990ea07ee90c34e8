/* The one door to libnettle. */
#include "wire/crypt.h"

#include <nettle/aes.h>
#include <nettle/gcm.h>
#include <nettle/hmac.h>
#include <nettle/md5.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>

#include "base/hex.h"

static void hex(const uint8_t *bytes, size_t len, char *ret_hex)
{
	ret_hex[hex_write(view_make(bytes, len), ret_hex)] = 0;
}

void md5_hex(struct view bytes, char ret_hex[MD5_HEX_LEN + 1])
{
	uint8_t sum[MD5_DIGEST_SIZE];
	struct md5_ctx ctx;

	md5_init(&ctx);
	md5_update(&ctx, bytes.len, bytes.at);
	md5_digest(&ctx, sizeof(sum), sum);
	hex(sum, sizeof(sum), ret_hex);
}

void sha256_hex(struct view bytes, char ret_hex[SHA256_HEX_LEN + 1])
{
	uint8_t sum[SHA256_BYTES];
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, bytes.len, bytes.at);
	sha256_digest(&ctx, sizeof(sum), sum);
	hex(sum, sizeof(sum), ret_hex);
}

void hmac_sha256(struct view key, struct view bytes, uint8_t ret_mac[SHA256_BYTES])
{
	struct hmac_sha256_ctx ctx;

	hmac_sha256_set_key(&ctx, key.len, key.at);
	hmac_sha256_update(&ctx, bytes.len, bytes.at);
	hmac_sha256_digest(&ctx, SHA256_BYTES, ret_mac);
}

void aes128_block(const uint8_t key[AES128_BYTES], const uint8_t plain[AES128_BYTES], uint8_t ret_block[AES128_BYTES])
{
	struct aes128_ctx ctx;

	aes128_set_encrypt_key(&ctx, key);
	aes128_encrypt(&ctx, AES128_BYTES, ret_block, plain);
}

bool aes128_gcm_open(const uint8_t key[AES128_BYTES], const uint8_t nonce[GCM_NONCE_BYTES], struct view head,
		     struct view sealed, uint8_t *ret_plain)
{
	uint8_t tag[AES128_BYTES];
	struct gcm_aes128_ctx ctx;
	size_t len;

	if (sealed.len < AES128_BYTES)
		return false;
	len = sealed.len - AES128_BYTES;
	gcm_aes128_set_key(&ctx, key);
	gcm_aes128_set_iv(&ctx, GCM_NONCE_BYTES, nonce);
	gcm_aes128_update(&ctx, head.len, head.at);
	gcm_aes128_decrypt(&ctx, len, ret_plain, sealed.at);
	gcm_aes128_digest(&ctx, sizeof(tag), tag);
	return memeql_sec(tag, sealed.at + len, sizeof(tag));
}
