/* Fingerprints of hellos: JA3 and JA3S, JA4. */
#include "base/rd.h"
#include "wire/dns_msg.h"
#include "wire/tls_msg.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX	4096
#define NUMBERS_MAX	512

static void put_number(struct txt *txt, size_t start, uint16_t number)
{
	if (!tls_is_grease(number))
		txt_printf(txt, "%s%u", txt->len > start ? "-" : "", number);
}

static void put_numbers(struct txt *txt, struct view list, size_t each)
{
	struct rd rd = rd_make(list);
	size_t start = txt->len;

	while (rd_left(&rd) >= each)
		put_number(txt, start, each == 2 ? rd_u16be(&rd) : rd_u8(&rd));
}

static void put_exts(struct txt *txt, struct view exts)
{
	struct view data;
	size_t start = txt->len;
	uint16_t type;

	while (tls_ext_next(&exts, &type, &data))
		put_number(txt, start, type);
}

bool tls_ja3(const struct tls_hello *hello, char *text, size_t cap, char ret_hex[MD5_HEX_LEN + 1])
{
	char own[TEXT_MAX];
	struct txt txt = { .at = text ? text : own, .cap = text ? cap : sizeof(own) };

	if (hello->sslv2)
		return false;
	txt_printf(&txt, "%u,", hello->legacy);
	if (hello->client)
		put_numbers(&txt, hello->suites, 2);
	else
		txt_printf(&txt, "%u", hello->suite);
	txt_str(&txt, ",");
	put_exts(&txt, hello->exts);
	if (hello->client) {
		txt_str(&txt, ",");
		put_numbers(&txt, hello->groups, 2);
		txt_str(&txt, ",");
		put_numbers(&txt, hello->formats, 1);
	}
	if (txt.cut || txt.len >= txt.cap)
		return false;
	txt.at[txt.len] = 0;
	md5_hex(view_make(txt.at, txt.len), ret_hex);
	return true;
}

static int number_cmp(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* Comma-separated, four digits each. */
static void put_hex(struct txt *txt, const uint16_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		txt_printf(txt, "%s%04x", i ? "," : "", numbers[i]);
}

static void short_digest(const struct txt *txt, char ret_hex[13])
{
	char hex[SHA256_HEX_LEN + 1];

	if (txt->len)
		sha256_hex(view_make(txt->at, txt->len), hex);
	else
		memset(hex, '0', 12);
	memcpy(ret_hex, hex, 12);
	ret_hex[12] = 0;
}

static bool read_list(struct view list, uint16_t *numbers, size_t *ret_count)
{
	struct rd rd = rd_make(list);

	*ret_count = 0;
	while (rd_left(&rd) >= 2) {
		uint16_t number = rd_u16be(&rd);

		if (tls_is_grease(number))
			continue;
		if (*ret_count == NUMBERS_MAX)
			return false;
		numbers[(*ret_count)++] = number;
	}
	return true;
}

static const char *ja4_version(uint16_t version)
{
	static const char *const names[] = { "s3", "10", "11", "12", "13" };

	if (version == TLS_SSL2)
		return "s2";
	if (version >> 8 == 0xfe)
		return version == DTLS_1_0 ? "d1" : version == DTLS_1_2 ? "d2" : version == DTLS_1_3 ? "d3" : "00";
	return version >= TLS_SSL3 && version <= TLS_1_3 ? names[version - TLS_SSL3] : "00";
}

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static void ja4_alpn(const struct tls_hello *hello, char ret_two[3])
{
	struct view list = hello->alpn, first;
	char hex[5];

	memcpy(ret_two, "00", 3);
	if (!tls_text_next(&list, &first) || !first.len)
		return;
	ret_two[0] = (char)first.at[0];
	ret_two[1] = (char)first.at[first.len - 1];
	if (is_alnum(first.at[0]) && is_alnum(first.at[first.len - 1]))
		return;
	(void)snprintf(hex, sizeof(hex), "%02x%02x", first.at[0], first.at[first.len - 1]);
	ret_two[0] = hex[0];
	ret_two[1] = hex[3];
}

bool tls_ja4(const struct tls_hello *hello, char ret_ja4[TLS_JA4_LEN + 1])
{
	uint16_t numbers[NUMBERS_MAX];
	char text[TEXT_MAX], suites_hex[13], exts_hex[13], alpn[3];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct view exts = hello->exts, data;
	size_t suites, count = 0, all_exts = 0;
	bool sni = false;
	uint16_t type;

	if (!hello->client || hello->sslv2 || !read_list(hello->suites, numbers, &suites))
		return false;
	qsort(numbers, suites, sizeof(numbers[0]), number_cmp);
	put_hex(&txt, numbers, suites);
	if (txt.cut)
		return false;
	short_digest(&txt, suites_hex);
	while (tls_ext_next(&exts, &type, &data)) {
		if (tls_is_grease(type))
			continue;
		all_exts++;
		sni |= type == TLS_EXT_SERVER_NAME;
		if (type == TLS_EXT_SERVER_NAME || type == TLS_EXT_ALPN)
			continue;
		if (count == NUMBERS_MAX)
			return false;
		numbers[count++] = type;
	}
	qsort(numbers, count, sizeof(numbers[0]), number_cmp);
	txt.len = 0;
	put_hex(&txt, numbers, count);
	if (!read_list(hello->signatures, numbers, &count))
		return false;
	if (count) {
		txt_str(&txt, "_");
		put_hex(&txt, numbers, count);
	}
	if (txt.cut)
		return false;
	short_digest(&txt, exts_hex);
	ja4_alpn(hello, alpn);
	(void)snprintf(ret_ja4, TLS_JA4_LEN + 1, "%c%s%c%02u%02u%s_%s_%s", hello->dtls ? 'd' : 't', ja4_version(hello->version), sni ? 'd' : 'i',
		       (unsigned)(suites < 99 ? suites : 99), (unsigned)(all_exts < 99 ? all_exts : 99), alpn, suites_hex,
		       exts_hex);
	return true;
}
