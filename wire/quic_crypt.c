/* Protection of QUIC's Initial packets, RFC 9001 5. */
#include "wire/crypt.h"
#include "wire/quic_msg.h"

#define SAMPLE_BYTES AES128_BYTES

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

/* HKDF-Expand-Label (RFC 8446 7.1) without context, of at most one block. */
static void expand(const uint8_t secret[SHA256_BYTES], const char *prefix, const char *name, uint8_t *out, size_t len)
{
	uint8_t info[64], block[SHA256_BYTES];
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
	hmac_sha256(view_make(secret, SHA256_BYTES), view_make(info, at), block);
	memcpy(out, block, len);
}

bool quic_initial_keys(uint32_t version, struct view dcid, struct quic_keys ret_keys[2])
{
	static const char *const sides[] = { "client in", "server in" };
	const struct version *v = version_find(version);
	uint8_t initial[SHA256_BYTES], secret[SHA256_BYTES];

	if (!v)
		return false;
	hmac_sha256(view_make(v->salt, sizeof(v->salt)), dcid, initial);
	for (unsigned i = 0; i < 2; i++) {
		expand(initial, "", sides[i], secret, SHA256_BYTES);
		expand(secret, v->prefix, "key", ret_keys[i].key, sizeof(ret_keys[i].key));
		expand(secret, v->prefix, "iv", ret_keys[i].iv, sizeof(ret_keys[i].iv));
		expand(secret, v->prefix, "hp", ret_keys[i].hp, sizeof(ret_keys[i].hp));
	}
	return true;
}

bool quic_open(const struct quic_keys *keys, const struct quic_packet *packet, uint8_t plain[QUIC_PLAIN_MAX],
	       uint64_t *ret_number, struct view *ret_frames)
{
	uint8_t head[QUIC_PLAIN_MAX], mask[AES128_BYTES], nonce[GCM_NONCE_BYTES];
	const uint8_t *bytes = packet->bytes.at;
	size_t pn_off = packet->pn_off, pn_len;
	struct view sealed;
	uint64_t number = 0;
	bool ok;

	if (packet->bytes.len > QUIC_PLAIN_MAX || packet->bytes.len < pn_off + 4 + SAMPLE_BYTES)
		return false;
	/* five bytes of it hide the first byte and the packet number */
	aes128_block(keys->hp, bytes + pn_off + 4, mask);
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
	sealed = view_sub(packet->bytes, pn_off + pn_len, SIZE_MAX);
	ok = sealed.len > AES128_BYTES &&
	     aes128_gcm_open(keys->key, nonce, view_make(head, pn_off + pn_len), sealed, plain);
	*ret_number = number;
	*ret_frames = view_make(plain, ok ? sealed.len - AES128_BYTES : 0);
	return ok;
}
