/* SSH 2 before it encrypts (RFC 4253): banners, packets, key exchange proposals. Pure. */
#ifndef WIRE_SSH_MSG_H
#define WIRE_SSH_MSG_H

#include "base/json.h"
#include "wire/crypt.h"

#define SSH_PACKET_MAX	((uint32_t)64 << 10)	/* RFC 4253 6.1: 35,000 must be supported */
#define SSH_HEAD_BYTES	6			/* length, padding length, message number */
#define SSH_BANNER_MAX	255			/* RFC 4253 4.2 */

enum ssh_msg { SSH_DISCONNECT = 1, SSH_IGNORE = 2, SSH_DEBUG = 4, SSH_KEXINIT = 20, SSH_NEWKEYS = 21 };

/* "SSH-protoversion-softwareversion SP comments" */
struct ssh_banner {
	struct view version;	/* 2.0 */
	struct view software;	/* OpenSSH_9.7, and the comments */
	bool v2;		/* speaks SSH 2 */
};
bool ssh_banner(struct view line, struct ssh_banner *ret_banner);

enum ssh_list {
	SSH_KEX, SSH_HOST_KEY, SSH_CIPHER_OUT, SSH_CIPHER_IN, SSH_MAC_OUT, SSH_MAC_IN, SSH_COMPRESSION_OUT, SSH_COMPRESSION_IN,
	SSH_LANGUAGE_OUT, SSH_LANGUAGE_IN, SSH_LISTS,	/* OUT: client to server */
};
struct ssh_kexinit {
	struct view list[SSH_LISTS];	/* names, by comma */
	bool guess_follows;
};
/* payload: behind the padding length, so with the message number. */
bool ssh_kexinit(struct view payload, struct ssh_kexinit *ret_kexinit);
const char *ssh_list_name(enum ssh_list list);
/* RFC 4253 7.1: the client's first name that the server has too; empty: none. */
struct view ssh_chosen(const struct ssh_kexinit *client, const struct ssh_kexinit *server, enum ssh_list list);
/* The cipher authenticates by itself: no MAC is agreed on. */
bool ssh_cipher_aead(struct view cipher);
/* What is wrong with an algorithm by today's measure, or NULL. */
const char *ssh_weakness(enum ssh_list list, struct view name);
/* HASSH of a client's proposal, HASSH server of a server's. text, if not NULL, gets what was hashed; false: too long. */
#define SSH_HASSH_TEXT_MAX 4096
bool ssh_hassh(const struct ssh_kexinit *kexinit, bool server, char ret_hex[MD5_HEX_LEN + 1], struct view *ret_text,
	       char text[SSH_HASSH_TEXT_MAX]);
/* Name of a message number; NULL: unknown. Those of a key exchange depend on the method. */
const char *ssh_msg_name(uint8_t msg);
/* Reason of a disconnect, or NULL. */
const char *ssh_reason(uint32_t reason);
/* SSH_DISCONNECT. */
bool ssh_disconnect(struct view payload, uint32_t *ret_reason, struct view *ret_text);

/* As proto_ops.detail. */
int ssh_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
