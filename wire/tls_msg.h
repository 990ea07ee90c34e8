/*
 * TLS and DTLS hellos (RFC 8446, 5246, 9147, 6347 and before; SSL 2.0's CLIENT-HELLO), the names of
 * their numbers, and fingerprints of them. Pure; every length is a claim and is checked.
 */
#ifndef WIRE_TLS_MSG_H
#define WIRE_TLS_MSG_H

#include "base/view.h"
#include "wire/crypt.h"

#define TLS_RECORD_HEAD_BYTES	5
#define TLS_RECORD_BYTES_MAX	(16384 + 2048)
#define TLS_MESSAGE_HEAD_BYTES	4
#define TLS_MESSAGE_BYTES_MAX	((size_t)1 << 20)
#define TLS_JA4_LEN		36	/* t13d1516h2_8daaf6152771_e5627efa2ab1 */

enum { TLS_SSL2 = 0x0002, TLS_SSL3 = 0x0300, TLS_1_0 = 0x0301, TLS_1_1 = 0x0302, TLS_1_2 = 0x0303, TLS_1_3 = 0x0304 };
enum { DTLS_OLD = 0x0100, DTLS_1_0 = 0xfeff, DTLS_1_2 = 0xfefd, DTLS_1_3 = 0xfefc };	/* OLD: before RFC 4347 */
enum { TLS_CHANGE_CIPHER_SPEC = 20, TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_APPLICATION_DATA = 23 };
enum { TLS_CLIENT_HELLO = 1, TLS_SERVER_HELLO = 2, TLS_HELLO_VERIFY = 3, TLS_CERTIFICATE = 11, TLS_SERVER_HELLO_DONE = 14 };
enum {
	TLS_EXT_SERVER_NAME = 0, TLS_EXT_GROUPS = 10, TLS_EXT_POINT_FORMATS = 11, TLS_EXT_SIGNATURES = 13, TLS_EXT_ALPN = 16,
	TLS_EXT_PRE_SHARED_KEY = 41, TLS_EXT_EARLY_DATA = 42, TLS_EXT_VERSIONS = 43, TLS_EXT_KEY_SHARE = 51, TLS_EXT_ECH = 0xfe0d,
};

struct tls_record {
	uint8_t type;
	uint16_t version, len;
};
/* False: not a record's head, or fewer than TLS_RECORD_HEAD_BYTES. */
bool tls_record(struct view bytes, struct tls_record *ret_record);

/*
 * The first want bytes of handshake messages out of the records that carry them;
 * left: bytes still to come of the record that bytes begin in, 0 at a record's
 * head. 0: there, E_FORMAT: other bytes are in the way, 1: more bytes are needed.
 */
int tls_gather(struct view bytes, size_t left, uint8_t *ret_bytes, size_t want);

struct tls_hello {
	bool client, sslv2;
	bool dtls;
	bool retry;		/* a server's: HelloRetryRequest */
	bool early_data, psk, ech;
	uint16_t legacy;	/* the version field */
	uint16_t version;	/* the highest one offered, or the chosen one */
	uint16_t suite;		/* the chosen one */
	uint16_t group;		/* of the server's key share; 0: none */
	struct view session;
	struct view cookie;	/* DTLS: what the server wants to have back */
	struct view suites;	/* two bytes each, SSL 2.0 three */
	struct view exts;	/* type and data of each */
	struct view sni;	/* the host name */
	struct view alpn;	/* protocols, each behind its length */
	struct view groups, formats, signatures, versions;	/* without their length */
};

/* body: the message behind its head; what is missing at its end is left out. False: no hello at all. */
bool tls_hello(struct view body, bool client, struct tls_hello *ret_hello);
/* An SSL 2.0 CLIENT-HELLO with its record head. */
bool tls_hello_sslv2(struct view bytes, struct tls_hello *ret_hello);
/* Bytes of the SSL 2.0 CLIENT-HELLO that bytes begin with, 0: it is none, -1: too few to tell. */
int tls_sslv2_size(struct view bytes);
/* Walk an extension block; false at its end, or at the first that is cut. */
bool tls_ext_next(struct view *rest, uint16_t *ret_type, struct view *ret_data);
/* Walk a list of texts each behind a byte of length. */
bool tls_text_next(struct view *rest, struct view *ret_text);
/* A number that means nothing (RFC 8701). */
bool tls_is_grease(uint16_t number);

/* Names; NULL when unknown. */
const char *tls_version_name(uint16_t version);
/* The TLS that a version of DTLS is made of; others as they are. */
uint16_t tls_generation(uint16_t version);
const char *tls_suite_name(uint16_t suite);	/* "TLS_..." */
const char *tls_group_name(uint16_t group);
const char *tls_alert_name(uint8_t alert);
/* What is wrong with a suite ("RC4"), or NULL. */
const char *tls_suite_weakness(uint16_t suite);

/* False: the hello is too large for a fingerprint. text (may be NULL): what is digested. */
bool tls_ja3(const struct tls_hello *hello, char *text, size_t cap, char ret_hex[MD5_HEX_LEN + 1]);
bool tls_ja4(const struct tls_hello *hello, char ret_ja4[TLS_JA4_LEN + 1]);

#endif
