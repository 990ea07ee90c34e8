#include "wire/ssh_msg.h"

#include "base/rd.h"

#define COOKIE_BYTES	16
#define LANGUAGE_NAMES	2

bool ssh_banner(struct view line, struct ssh_banner *ret_banner)
{
	struct view rest;
	ptrdiff_t dash;

	if (!view_starts(line, "SSH-"))
		return false;
	rest = view_sub(line, 4, line.len);
	dash = view_find(rest, VIEW_LIT("-"));
	if (dash <= 0 || dash > 8)
		return false;
	for (ptrdiff_t i = 0; i < dash; i++)
		if (rest.at[i] != '.' && (rest.at[i] < '0' || rest.at[i] > '9'))
			return false;
	ret_banner->version = view_sub(rest, 0, (size_t)dash);
	ret_banner->software = view_trim(view_sub(rest, (size_t)dash + 1, rest.len));
	/* 1.99: an SSH 2 that understands SSH 1 too (RFC 4253 5.1) */
	ret_banner->v2 = view_starts(ret_banner->version, "2.") || view_is(ret_banner->version, "1.99");
	return true;
}

bool ssh_kexinit(struct view payload, struct ssh_kexinit *ret_kexinit)
{
	struct ssh_kexinit kexinit;
	struct rd rd = rd_make(payload);

	if (rd_u8(&rd) != SSH_KEXINIT)
		return false;
	(void)rd_bytes(&rd, COOKIE_BYTES);
	for (unsigned i = 0; i < SSH_LISTS; i++) {
		uint32_t len = rd_u32be(&rd);

		if (len > rd_left(&rd))
			return false;
		kexinit.list[i] = rd_bytes(&rd, len);
	}
	kexinit.guess_follows = rd_u8(&rd);
	if (rd.bad)
		return false;
	*ret_kexinit = kexinit;
	return true;
}

const char *ssh_list_name(enum ssh_list list)
{
	static const char *const names[] = {
		"kex", "host_key", "cipher_client_to_server", "cipher_server_to_client", "mac_client_to_server",
		"mac_server_to_client", "compression_client_to_server", "compression_server_to_client",
		"language_client_to_server", "language_server_to_client",
	};

	return names[list];
}

static struct view name_next(struct view *list)
{
	const uint8_t *comma = list->len ? memchr(list->at, ',', list->len) : NULL;
	struct view name = view_sub(*list, 0, comma ? (size_t)(comma - list->at) : list->len);

	*list = view_sub(*list, name.len + 1, list->len);
	return name;
}

/* Names by which an extension says that it is there (RFC 8308, strict key exchange): no methods. */
static bool is_marker(struct view name)
{
	return view_starts(name, "ext-info-") || view_starts(name, "kex-strict-");
}

struct view ssh_chosen(const struct ssh_kexinit *client, const struct ssh_kexinit *server, enum ssh_list list)
{
	struct view ours = client->list[list];

	while (ours.len) {
		struct view name = name_next(&ours), theirs = server->list[list];

		if (is_marker(name))
			continue;
		while (theirs.len)
			if (view_eq(name_next(&theirs), name))
				return name;
	}
	return view_make("", 0);
}

bool ssh_cipher_aead(struct view cipher)
{
	return view_starts(cipher, "chacha20-poly1305") || view_find(cipher, VIEW_LIT("-gcm")) >= 0 || view_starts(cipher, "AEAD_");
}

const char *ssh_weakness(enum ssh_list list, struct view name)
{
	switch (list) {
	case SSH_KEX:
		if (view_is(name, "diffie-hellman-group1-sha1"))
			return "1024 bit Diffie-Hellman group";
		return view_find(name, VIEW_LIT("-sha1")) >= 0 ? "SHA-1" : NULL;
	case SSH_HOST_KEY:
		return view_is(name, "ssh-dss") ? "DSA" : view_is(name, "ssh-rsa") ? "SHA-1" : NULL;
	case SSH_CIPHER_OUT:
	case SSH_CIPHER_IN:
		if (view_is(name, "none"))
			return "no encryption";
		if (view_starts(name, "arcfour"))
			return "RC4";
		if (view_starts(name, "3des") || view_starts(name, "blowfish") || view_starts(name, "cast128"))
			return "64 bit blocks";
		return NULL;
	case SSH_MAC_OUT:
	case SSH_MAC_IN:
		return view_starts(name, "hmac-md5") ? "MD5" : view_is(name, "none") ? "no authentication" : NULL;
	default:
		return NULL;
	}
}

bool ssh_hassh(const struct ssh_kexinit *kexinit, bool server, char ret_hex[MD5_HEX_LEN + 1], struct view *ret_text,
	       char text[SSH_HASSH_TEXT_MAX])
{
	const enum ssh_list lists[] = {
		SSH_KEX, server ? SSH_CIPHER_IN : SSH_CIPHER_OUT, server ? SSH_MAC_IN : SSH_MAC_OUT,
		server ? SSH_COMPRESSION_IN : SSH_COMPRESSION_OUT,
	};
	size_t len = 0;

	for (unsigned i = 0; i < 4; i++) {
		struct view list = kexinit->list[lists[i]];

		if (list.len + 1 > SSH_HASSH_TEXT_MAX - len)
			return false;
		if (i)
			text[len++] = ';';
		memcpy(text + len, list.len ? list.at : (const uint8_t *)"", list.len);
		len += list.len;
	}
	md5_hex(view_make(text, len), ret_hex);
	*ret_text = view_make(text, len);
	return true;
}

const char *ssh_msg_name(uint8_t msg)
{
	switch (msg) {
	case SSH_DISCONNECT:
		return "disconnect";
	case SSH_IGNORE:
		return "ignore";
	case 3:
		return "unimplemented";
	case SSH_DEBUG:
		return "debug";
	case 5:
		return "service_request";
	case 6:
		return "service_accept";
	case 7:
		return "ext_info";
	case SSH_KEXINIT:
		return "kexinit";
	case SSH_NEWKEYS:
		return "newkeys";
	default:
		return msg >= 30 && msg <= 49 ? "key exchange" : NULL;
	}
}

const char *ssh_reason(uint32_t reason)
{
	static const char *const reasons[] = {	/* RFC 4253 11.1 */
		NULL, "HOST_NOT_ALLOWED_TO_CONNECT", "PROTOCOL_ERROR", "KEY_EXCHANGE_FAILED", "RESERVED", "MAC_ERROR",
		"COMPRESSION_ERROR", "SERVICE_NOT_AVAILABLE", "PROTOCOL_VERSION_NOT_SUPPORTED", "HOST_KEY_NOT_VERIFIABLE",
		"CONNECTION_LOST", "BY_APPLICATION", "TOO_MANY_CONNECTIONS", "AUTH_CANCELLED_BY_USER",
		"NO_MORE_AUTH_METHODS_AVAILABLE", "ILLEGAL_USER_NAME",
	};

	return reason < sizeof(reasons) / sizeof(reasons[0]) ? reasons[reason] : NULL;
}

bool ssh_disconnect(struct view payload, uint32_t *ret_reason, struct view *ret_text)
{
	struct rd rd = rd_make(view_sub(payload, 1, payload.len));
	uint32_t reason = rd_u32be(&rd), len = rd_u32be(&rd);

	if (rd.bad)
		return false;
	*ret_reason = reason;
	*ret_text = rd_bytes(&rd, len < rd_left(&rd) ? len : rd_left(&rd));
	return true;
}
