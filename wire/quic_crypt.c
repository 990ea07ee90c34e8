/* The one door to libcrypto: protection of QUIC's Initial packets, RFC 9001 5. */
#include "wire/quic_msg.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define HASH_BYTES 32
#define TAG_BYTES 16
#define SAMPLE_BYTES 16

struct version {
	uint32_t from, to;
	const char *prefix;	/* of labels */
	uint8_t salt[20];
};
static const struct version versions[] = {
	{ QUIC_V1, QUIC_V1, "quic ",
	  { 0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a } },
	{ QUIC_V2, QUIC_V2, "quicv2 ",
	  { 0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9 } },
	{ 0xff00001d, 0xff000020, "quic ",	/* drafts 29 to 32 */
	  { 0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99 } },
	{ 0xff000017, 0xff00001c, "quic ",	/* drafts 23 to 28 */
	  { 0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5, 0x02 } },
};

static const struct version *version_find(uint32_t version)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (version >= versions[i].from && version <= versions[i].to)
			return &versions[i];
	return NULL;
}

static bool hmac(const uint8_t *key, size_t key_len, struct view data, uint8_t out[HASH_BYTES])
{
	unsigned len = 0;

	return HMAC(EVP_sha256(), key, (int)key_len, data.at, data.len, out, &len) && len == HASH_BYTES;
}

/* HKDF-Expand-Label (RFC 8446 7.1) without context, of at most one block. */
static bool expand(const uint8_t secret[HASH_BYTES], const char *prefix, const char *name, uint8_t *out, size_t len)
{
	uint8_t info[64], block[HASH_BYTES];
	size_t prefix_len = strlen(prefix), name_len = strlen(name), at = 0;

	info[at++] = 0;
	info[at++] = (uint8_t)len;
	info[at++] = (uint8_t)(6 + prefix_len + name_len);
	memcpy(info + at, "tls13 ", 6);
	memcpy(info + at + 6, prefix, prefix_len);
	memcpy(info + at + 6 + prefix_len, name, name_len);
	at += 6 + prefix_len + name_len;
	info[at++] = 0;
	info[at++] = 1;
	if (!hmac(secret, HASH_BYTES, view_make(info, at), block))
		return false;
	memcpy(out, block, len);
	return true;
}

bool quic_initial_keys(uint32_t version, struct view dcid, struct quic_keys ret_keys[2])
{
	static const char *const sides[] = { "client in", "server in" };
	const struct version *v = version_find(version);
	uint8_t initial[HASH_BYTES], secret[HASH_BYTES];

	if (!v || !hmac(v->salt, sizeof(v->salt), dcid, initial))
		return false;
	for (unsigned i = 0; i < 2; i++)
		if (!expand(initial, "", sides[i], secret, HASH_BYTES) ||
		    !expand(secret, v->prefix, "key", ret_keys[i].key, sizeof(ret_keys[i].key)) ||
		    !expand(secret, v->prefix, "iv", ret_keys[i].iv, sizeof(ret_keys[i].iv)) ||
		    !expand(secret, v->prefix, "hp", ret_keys[i].hp, sizeof(ret_keys[i].hp)))
			return false;
	return true;
}

/* Five bytes that hide the first byte and the packet number. */
static bool header_mask(EVP_CIPHER_CTX *ctx, const struct quic_keys *keys, const uint8_t *sample, uint8_t mask[16])
{
	int len = 0;

	return EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, keys->hp, NULL) == 1 &&
	       EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
	       EVP_EncryptUpdate(ctx, mask, &len, sample, SAMPLE_BYTES) == 1 && len == SAMPLE_BYTES;
}

bool quic_open(const struct quic_keys *keys, const struct quic_packet *packet, uint8_t plain[QUIC_PLAIN_MAX],
	       uint64_t *ret_number, struct view *ret_frames)
{
	uint8_t head[QUIC_PLAIN_MAX], mask[16], nonce[12];
	const uint8_t *bytes = packet->bytes.at;
	size_t pn_off = packet->pn_off, pn_len, body_len;
	EVP_CIPHER_CTX *ctx;
	uint64_t number = 0;
	int len = 0;
	bool ok;

	if (packet->bytes.len > QUIC_PLAIN_MAX || packet->bytes.len < pn_off + 4 + SAMPLE_BYTES)
		return false;
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		return false;
	ok = header_mask(ctx, keys, bytes + pn_off + 4, mask);
	memcpy(head, bytes, pn_off + 4);
	head[0] ^= mask[0] & 0x0f;
	pn_len = (head[0] & 3u) + 1;
	for (size_t i = 0; i < pn_len; i++) {
		head[pn_off + i] ^= mask[1 + i];
		number = number << 8 | head[pn_off + i];
	}
	memcpy(nonce, keys->iv, sizeof(nonce));
	for (size_t i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(number >> 8 * i);	/* Initial numbers are small: none is left out */
	body_len = packet->bytes.len - pn_off - pn_len;
	ok = ok && body_len > TAG_BYTES && EVP_DecryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, keys->key, nonce) == 1 &&
	     EVP_DecryptUpdate(ctx, NULL, &len, head, (int)(pn_off + pn_len)) == 1 &&
	     EVP_DecryptUpdate(ctx, plain, &len, bytes + pn_off + pn_len, (int)(body_len - TAG_BYTES)) == 1;
	if (ok) {
		uint8_t tag[TAG_BYTES], rest[TAG_BYTES];
		int end = 0;

		memcpy(tag, bytes + packet->bytes.len - TAG_BYTES, TAG_BYTES);
		ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
		     EVP_DecryptFinal_ex(ctx, rest, &end) == 1;
	}
	EVP_CIPHER_CTX_free(ctx);
	*ret_number = number;
	*ret_frames = view_make(plain, ok ? (size_t)len : 0);
	return ok;
}
