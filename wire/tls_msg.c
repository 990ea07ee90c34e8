#include "wire/tls_msg.h"

#include "base/err.h"
#include "base/rd.h"

bool tls_record(struct view bytes, struct tls_record *ret_record)
{
	struct rd rd = rd_make(bytes);

	ret_record->type = rd_u8(&rd);
	ret_record->version = rd_u16be(&rd);
	ret_record->len = rd_u16be(&rd);
	return !rd.bad && ret_record->type >= TLS_CHANGE_CIPHER_SPEC && ret_record->type <= TLS_APPLICATION_DATA + 1 &&
	       ret_record->version >= TLS_SSL3 && ret_record->version <= TLS_1_3 && ret_record->len <= TLS_RECORD_BYTES_MAX &&
	       (ret_record->len || ret_record->type == TLS_APPLICATION_DATA);
}

int tls_gather(struct view bytes, size_t left, uint8_t *ret_bytes, size_t want)
{
	struct tls_record record;
	size_t got = 0;

	while (got < want) {
		struct view part;

		if (!left) {
			if (bytes.len < TLS_RECORD_HEAD_BYTES)
				return bytes.len && bytes.at[0] != TLS_HANDSHAKE ? E_FORMAT : 1;
			if (!tls_record(bytes, &record) || record.type != TLS_HANDSHAKE)
				return E_FORMAT;
			left = record.len;
			bytes = view_sub(bytes, TLS_RECORD_HEAD_BYTES, bytes.len);
		}
		part = view_sub(bytes, 0, left < want - got ? left : want - got);
		if (!part.len)
			return 1;
		memcpy(ret_bytes + got, part.at, part.len);
		got += part.len;
		left -= part.len;
		bytes = view_sub(bytes, part.len, bytes.len);
	}
	return 0;
}

bool tls_is_grease(uint16_t number)
{
	return (number & 0x0f0f) == 0x0a0a && number >> 8 == (number & 0xff);
}

bool tls_ext_next(struct view *rest, uint16_t *ret_type, struct view *ret_data)
{
	struct rd rd = rd_make(*rest);

	*ret_type = rd_u16be(&rd);
	*ret_data = rd_bytes(&rd, rd_u16be(&rd));
	if (rd.bad)
		return false;
	*rest = rd_rest(&rd);
	return true;
}

bool tls_text_next(struct view *rest, struct view *ret_text)
{
	struct rd rd = rd_make(*rest);

	*ret_text = rd_bytes(&rd, rd_u8(&rd));
	if (rd.bad)
		return false;
	*rest = rd_rest(&rd);
	return true;
}

/* A list behind its length in two bytes; empty when it is cut. */
static struct view list16(struct rd *rd)
{
	struct view list = rd_bytes(rd, rd_u16be(rd));

	return rd->bad ? view_make("", 0) : list;
}

static struct view list8(struct rd *rd)
{
	struct view list = rd_bytes(rd, rd_u8(rd));

	return rd->bad ? view_make("", 0) : list;
}

static void read_names(struct tls_hello *hello, struct rd *rd)
{
	struct view names = list16(rd);
	struct rd name = rd_make(names);

	while (!name.bad && rd_left(&name)) {
		uint8_t type = rd_u8(&name);
		struct view text = list16(&name);

		if (type == 0 && !hello->sni.len)
			hello->sni = text;
	}
}

static void read_versions(struct tls_hello *hello, struct rd *rd)
{
	struct rd list;

	if (!hello->client) {
		uint16_t version = rd_u16be(rd);

		if (!rd->bad)
			hello->version = version;
		return;
	}
	hello->versions = list8(rd);
	list = rd_make(hello->versions);
	hello->version = 0;
	while (rd_left(&list) >= 2) {
		uint16_t version = rd_u16be(&list);

		if (!tls_is_grease(version) && version >> 8 == hello->legacy >> 8 &&
		    tls_generation(version) > tls_generation(hello->version))
			hello->version = version;
	}
	if (!hello->version)
		hello->version = hello->legacy;
}

static void read_exts(struct tls_hello *hello)
{
	struct view rest = hello->exts, data;
	uint16_t type;

	while (tls_ext_next(&rest, &type, &data)) {
		struct rd rd = rd_make(data);

		switch (type) {
		case TLS_EXT_SERVER_NAME:
			read_names(hello, &rd);
			break;
		case TLS_EXT_GROUPS:
			hello->groups = list16(&rd);
			break;
		case TLS_EXT_POINT_FORMATS:
			hello->formats = list8(&rd);
			break;
		case TLS_EXT_SIGNATURES:
			hello->signatures = list16(&rd);
			break;
		case TLS_EXT_ALPN:
			hello->alpn = list16(&rd);
			break;
		case TLS_EXT_VERSIONS:
			read_versions(hello, &rd);
			break;
		case TLS_EXT_KEY_SHARE:
			if (!hello->client)
				hello->group = rd_u16be(&rd);
			break;
		case TLS_EXT_PRE_SHARED_KEY:
			hello->psk = true;
			break;
		case TLS_EXT_EARLY_DATA:
			hello->early_data = true;
			break;
		case TLS_EXT_ECH:
			hello->ech = true;
			break;
		default:
			break;
		}
	}
}

bool tls_hello(struct view body, bool client, struct tls_hello *ret_hello)
{
	/* SHA-256 of "HelloRetryRequest" in place of the random bytes */
	static const uint8_t retry[32] = {
		0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
		0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
	};
	struct rd rd = rd_make(body);
	struct view random;
	uint16_t len;

	memset(ret_hello, 0, sizeof(*ret_hello));
	ret_hello->client = client;
	ret_hello->legacy = ret_hello->version = rd_u16be(&rd);
	random = rd_bytes(&rd, sizeof(retry));
	ret_hello->session = rd_bytes(&rd, rd_u8(&rd));
	ret_hello->dtls = ret_hello->legacy >> 8 == 0xfe || ret_hello->legacy == DTLS_OLD;
	if (client && ret_hello->dtls)
		ret_hello->cookie = rd_bytes(&rd, rd_u8(&rd));
	if (client) {
		ret_hello->suites = rd_bytes(&rd, rd_u16be(&rd));
		(void)rd_bytes(&rd, rd_u8(&rd));
	} else {
		ret_hello->suite = rd_u16be(&rd);
		(void)rd_u8(&rd);
	}
	if (rd.bad || (ret_hello->legacy >> 8 != 3 && !ret_hello->dtls) || ret_hello->session.len > 32)
		return false;
	ret_hello->retry = !client && memcmp(random.at, retry, sizeof(retry)) == 0;
	if (rd_left(&rd) < 2)
		return true;
	len = rd_u16be(&rd);
	ret_hello->exts = view_sub(rd_rest(&rd), 0, len);
	read_exts(ret_hello);
	return true;
}

int tls_sslv2_size(struct view bytes)
{
	struct rd rd = rd_make(bytes);
	uint16_t len = rd_u16be(&rd), version, suites, session, challenge;

	if (!bytes.len || !(bytes.at[0] & 0x80))
		return 0;
	if (bytes.len > 2 && bytes.at[2] != TLS_CLIENT_HELLO)
		return 0;
	if (bytes.len > 3 && bytes.at[3] != 0 && bytes.at[3] != 3)
		return 0;
	(void)rd_u8(&rd);
	version = rd_u16be(&rd);
	suites = rd_u16be(&rd);
	session = rd_u16be(&rd);
	challenge = rd_u16be(&rd);
	if (rd.bad)
		return -1;
	len &= 0x7fff;
	if ((version != TLS_SSL2 && (version < TLS_SSL3 || version > TLS_1_2)) || !suites || suites % 3 ||
	    (session && session != 16) || challenge < 16 || challenge > 32 || len != 9u + suites + session + challenge)
		return 0;
	return len + 2;
}

bool tls_hello_sslv2(struct view bytes, struct tls_hello *ret_hello)
{
	int size = tls_sslv2_size(bytes);
	struct rd rd = rd_make(view_sub(bytes, 3, bytes.len));
	uint16_t suites;

	memset(ret_hello, 0, sizeof(*ret_hello));
	if (size <= 0 || bytes.len < (size_t)size)
		return false;
	ret_hello->client = ret_hello->sslv2 = true;
	ret_hello->legacy = ret_hello->version = rd_u16be(&rd);
	suites = rd_u16be(&rd);
	(void)rd_u32be(&rd);
	ret_hello->suites = rd_bytes(&rd, suites);
	return !rd.bad;
}

/* ---- names ---- */

struct name {
	uint16_t number;
	const char *name;
};

static const char *find(const struct name *names, size_t count, uint16_t number)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (names[mid].number == number)
			return names[mid].name;
		if (names[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}
#define FIND(names, number) find(names, sizeof(names) / sizeof((names)[0]), number)

const char *tls_suite_name(uint16_t suite)
{
	static const struct name names[] = {
#define SUITE(number, name) { number, "TLS_" #name },
#include "wire/tls_suites.def"
#undef SUITE
	};

	return FIND(names, suite);
}

const char *tls_version_name(uint16_t version)
{
	static const struct name names[] = {
		{ TLS_SSL2, "SSL 2.0" }, { DTLS_OLD, "DTLS 0.9" }, { TLS_SSL3, "SSL 3.0" }, { TLS_1_0, "TLS 1.0" }, { TLS_1_1, "TLS 1.1" },
		{ TLS_1_2, "TLS 1.2" }, { TLS_1_3, "TLS 1.3" }, { DTLS_1_3, "DTLS 1.3" }, { DTLS_1_2, "DTLS 1.2" },
		{ DTLS_1_0, "DTLS 1.0" },
	};

	return version >> 8 == 0x7f ? "TLS 1.3 draft" : FIND(names, version);
}

uint16_t tls_generation(uint16_t version)
{
	switch (version) {
	case DTLS_OLD:
	case DTLS_1_0:
		return TLS_1_1;
	case DTLS_1_2:
		return TLS_1_2;
	case DTLS_1_3:
		return TLS_1_3;
	default:
		return version;
	}
}

const char *tls_group_name(uint16_t group)
{
	static const struct name names[] = {
		{ 19, "secp192r1" }, { 21, "secp224r1" }, { 22, "secp256k1" }, { 23, "secp256r1" }, { 24, "secp384r1" },
		{ 25, "secp521r1" }, { 26, "brainpoolP256r1" }, { 27, "brainpoolP384r1" }, { 28, "brainpoolP512r1" },
		{ 29, "x25519" }, { 30, "x448" }, { 256, "ffdhe2048" }, { 257, "ffdhe3072" }, { 258, "ffdhe4096" },
		{ 259, "ffdhe6144" }, { 260, "ffdhe8192" }, { 512, "MLKEM512" }, { 513, "MLKEM768" }, { 514, "MLKEM1024" },
		{ 4587, "SecP256r1MLKEM768" }, { 4588, "X25519MLKEM768" }, { 4589, "SecP384r1MLKEM1024" },
		{ 0x6399, "X25519Kyber768Draft00" },
	};

	return FIND(names, group);
}

const char *tls_alert_name(uint8_t alert)
{
	static const struct name names[] = {
		{ 0, "close_notify" }, { 10, "unexpected_message" }, { 20, "bad_record_mac" }, { 21, "decryption_failed" },
		{ 22, "record_overflow" }, { 30, "decompression_failure" }, { 40, "handshake_failure" },
		{ 41, "no_certificate" }, { 42, "bad_certificate" }, { 43, "unsupported_certificate" },
		{ 44, "certificate_revoked" }, { 45, "certificate_expired" }, { 46, "certificate_unknown" },
		{ 47, "illegal_parameter" }, { 48, "unknown_ca" }, { 49, "access_denied" }, { 50, "decode_error" },
		{ 51, "decrypt_error" }, { 60, "export_restriction" }, { 70, "protocol_version" },
		{ 71, "insufficient_security" }, { 80, "internal_error" }, { 86, "inappropriate_fallback" },
		{ 90, "user_canceled" }, { 100, "no_renegotiation" }, { 109, "missing_extension" },
		{ 110, "unsupported_extension" }, { 111, "certificate_unobtainable" }, { 112, "unrecognized_name" },
		{ 113, "bad_certificate_status_response" }, { 114, "bad_certificate_hash_value" },
		{ 115, "unknown_psk_identity" }, { 116, "certificate_required" }, { 120, "no_application_protocol" },
	};

	return FIND(names, alert);
}

const char *tls_suite_weakness(uint16_t suite)
{
	static const struct {
		const char *part, *text;
	} weak[] = {
		{ "NULL", "no encryption" }, { "_anon_", "no authentication" }, { "EXPORT", "export grade" }, { "_RC4_", "RC4" },
		{ "_RC2_", "RC2" }, { "_DES", "DES" }, { "_3DES_", "3DES" }, { "_IDEA_", "IDEA" }, { "_MD5", "MD5" },
	};
	const char *name = tls_suite_name(suite);

	for (size_t i = 0; name && i < sizeof(weak) / sizeof(weak[0]); i++)
		if (view_find(view_str(name), view_str(weak[i].part)) >= 0)
			return weak[i].text;
	return NULL;
}
