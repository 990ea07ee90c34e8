/*
 * Certificates (RFC 5280): who, by whom, for which names, from when to when. A DER
 * reader of our own (X.690): lengths are claims, and it does not recurse.
 */
#include "base/rd.h"
#include "wire/dns_msg.h"
#include "wire/tls_show.h"

#include <stdio.h>

#define TEXT_MAX	1024
#define NAMES_MAX	256

enum {
	DER_BOOLEAN = 0x01, DER_INTEGER = 0x02, DER_OCTETS = 0x04, DER_OID = 0x06, DER_UTC_TIME = 0x17, DER_TIME = 0x18,
	DER_BMP = 0x1e, DER_SEQUENCE = 0x30, DER_SET = 0x31, DER_CONTEXT_0 = 0xa0, DER_CONTEXT_3 = 0xa3,
};
/* GeneralName */
enum { NAME_EMAIL = 0x81, NAME_DNS = 0x82, NAME_URI = 0x86, NAME_IP = 0x87 };

struct der {
	uint8_t tag;
	struct view value;
};

static bool der_next(struct view *rest, struct der *ret_item)
{
	struct rd rd = rd_make(*rest);
	size_t len;

	ret_item->tag = rd_u8(&rd);
	len = rd_u8(&rd);
	if (len & 0x80) {
		unsigned n = len & 0x7f;

		if (!n || n > 4)
			return false;
		for (len = 0; n; n--)
			len = len << 8 | rd_u8(&rd);
	}
	ret_item->value = rd_bytes(&rd, len);
	if (rd.bad)
		return false;
	*rest = rd_rest(&rd);
	return true;
}

/* The next item when it is of that kind; else nothing is taken. */
static bool der_take(struct view *rest, uint8_t tag, struct view *ret_value)
{
	struct view at = *rest;
	struct der item;

	if (!der_next(&at, &item) || item.tag != tag)
		return false;
	*ret_value = item.value;
	*rest = at;
	return true;
}

static void put_oid(struct txt *txt, struct view oid)
{
	uint64_t number = 0;
	bool first = true;

	for (size_t i = 0; i < oid.len; i++) {
		number = (number & (UINT64_MAX >> 8)) << 7 | (oid.at[i] & 0x7f);
		if (oid.at[i] & 0x80)
			continue;
		if (first)
			txt_printf(txt, "%llu.%llu", (unsigned long long)(number < 80 ? number / 40 : 2),
				   (unsigned long long)(number < 80 ? number % 40 : number - 80));
		else
			txt_printf(txt, ".%llu", (unsigned long long)number);
		first = false;
		number = 0;
	}
}

static void put_attribute(struct txt *txt, struct view oid)
{
	static const struct {
		const char *oid, *name;
	} names[] = {
		{ "\x55\x04\x03", "CN" }, { "\x55\x04\x04", "SN" }, { "\x55\x04\x05", "serialNumber" }, { "\x55\x04\x06", "C" },
		{ "\x55\x04\x07", "L" }, { "\x55\x04\x08", "ST" }, { "\x55\x04\x09", "street" }, { "\x55\x04\x0a", "O" },
		{ "\x55\x04\x0b", "OU" }, { "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "emailAddress" },
		{ "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID" }, { "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (view_is(oid, names[i].oid)) {
			txt_str(txt, names[i].name);
			return;
		}
	}
	put_oid(txt, oid);
}

/* "CN=example.org, O=Example" */
static void show_name(struct json *json, const char *key, struct view name)
{
	char text[TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct view set, pair, oid;
	struct der value;

	while (der_take(&name, DER_SET, &set)) {
		while (der_take(&set, DER_SEQUENCE, &pair)) {
			if (!der_take(&pair, DER_OID, &oid) || !der_next(&pair, &value))
				continue;
			if (txt.len)
				txt_str(&txt, ", ");
			put_attribute(&txt, oid);
			txt_str(&txt, "=");
			if (value.tag == DER_BMP)
				for (size_t i = 0; i + 1 < value.value.len; i += 2)
					txt_put(&txt, value.value.at[i] ? VIEW_LIT("?") : view_sub(value.value, i + 1, 1));
			else
				txt_put(&txt, value.value);
		}
	}
	json_kstr(json, key, view_make(txt.at, txt.len));
}

/* "2024-01-31T12:00:00Z", or as it stands when it is of another form. */
static void show_time(struct json *json, const char *key, const struct der *time)
{
	char text[32];
	struct view v = time->value;
	size_t year = time->tag == DER_UTC_TIME ? 2 : 4;
	int n;

	if ((time->tag != DER_UTC_TIME && time->tag != DER_TIME) || v.len != year + 11) {
		json_kstr(json, key, v);
		return;
	}
	n = snprintf(text, sizeof(text), "%s%.*s-%.2s-%.2sT%.2s:%.2s:%.2sZ", year == 4 ? "" : v.at[0] >= '5' ? "19" : "20",
		     (int)year, (const char *)v.at, (const char *)v.at + year, (const char *)v.at + year + 2,
		     (const char *)v.at + year + 4, (const char *)v.at + year + 6, (const char *)v.at + year + 8);
	json_kstr(json, key, view_make(text, n > 0 ? strnlen(text, sizeof(text)) : 0));
}

static void show_alt_names(struct json *json, struct view names)
{
	struct view list;
	struct der name;
	unsigned count = 0;

	if (!der_take(&names, DER_SEQUENCE, &list))
		return;
	json_key(json, "names");
	json_array(json);
	while (der_next(&list, &name) && count++ < NAMES_MAX) {
		if (name.tag == NAME_DNS || name.tag == NAME_EMAIL || name.tag == NAME_URI) {
			json_str(json, name.value);
		} else if (name.tag == NAME_IP && name.value.len == 4) {
			json_printf(json, "%u.%u.%u.%u", name.value.at[0], name.value.at[1], name.value.at[2], name.value.at[3]);
		} else if (name.tag == NAME_IP && name.value.len == 16) {
			struct rd rd = rd_make(name.value);
			char text[48];
			int len = 0;

			for (unsigned i = 0; i < 8; i++)
				len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%x", i ? ":" : "", rd_u16be(&rd));
			json_cstr(json, text);
		}
	}
	json_array_end(json);
}

static void show_extensions(struct json *json, struct view field)
{
	struct view list, ext, oid, value, skipped;
	bool named = false;

	if (!der_take(&field, DER_SEQUENCE, &list))
		return;
	while (der_take(&list, DER_SEQUENCE, &ext)) {
		if (!der_take(&ext, DER_OID, &oid))
			continue;
		(void)der_take(&ext, DER_BOOLEAN, &skipped);
		if (der_take(&ext, DER_OCTETS, &value) && view_is(oid, "\x55\x1d\x11") && !named) {
			named = true;	/* subjectAltName */
			show_alt_names(json, value);
		}
	}
}

static void show_serial(struct json *json, struct view serial)
{
	char text[2 * 20 + 1] = "";

	for (size_t i = 0; i < serial.len && i < 20; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", serial.at[i]);
	json_kcstr(json, "serial", text);
}

void x509_show(struct view der, struct json *json)
{
	struct view cert, tbs, value, issuer, validity;
	struct der from, to;

	if (!der_take(&der, DER_SEQUENCE, &cert) || !der_take(&cert, DER_SEQUENCE, &tbs)) {
		json_kcstr(json, "problem", "no X.509 certificate");
		return;
	}
	(void)der_take(&tbs, DER_CONTEXT_0, &value);
	if (!der_take(&tbs, DER_INTEGER, &value)) {
		json_kcstr(json, "problem", "no serial number where one has to be");
		return;
	}
	show_serial(json, value);
	if (!der_take(&tbs, DER_SEQUENCE, &value) || !der_take(&tbs, DER_SEQUENCE, &issuer) ||
	    !der_take(&tbs, DER_SEQUENCE, &validity) || !der_take(&tbs, DER_SEQUENCE, &value)) {
		json_kcstr(json, "problem", "cut short, or not as RFC 5280 has it");
		return;
	}
	show_name(json, "subject", value);
	show_name(json, "issuer", issuer);
	if (der_next(&validity, &from) && der_next(&validity, &to)) {
		show_time(json, "not_before", &from);
		show_time(json, "not_after", &to);
	}
	while (tbs.len) {
		if (der_take(&tbs, DER_CONTEXT_3, &value)) {
			show_extensions(json, value);
			return;
		}
		if (!der_next(&tbs, &from))
			return;
	}
}
