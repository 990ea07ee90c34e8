#include "wire/radius_msg.h"

#include "base/ip.h"
#include "base/rd.h"
#include "wire/dissect.h"
#include "wire/secret.h"

enum kind { NONE, TEXT, SECRET, IPV4, IPV6, PREFIX, NUMBER, OCTETS, TAGGED_NUMBER, TAGGED_TEXT };

#define ATTR(number, text, kind_)
#define VALUE(number, value, text)
#define VENDOR(number, text)

#undef ATTR
#define ATTR(number, text, kind_) [number] = { text, kind_ },
static const struct {
	const char *name;
	enum kind kind;
} attrs[256] = {
#include "wire/radius_attr.def"
};
#undef ATTR
#define ATTR(number, text, kind_)

#undef VALUE
#define VALUE(number, value, text) { number, value, text },
static const struct {
	uint8_t type;
	uint16_t number;
	const char *name;
} values[] = {
#include "wire/radius_attr.def"
};
#undef VALUE
#define VALUE(number, value, text)

#undef VENDOR
#define VENDOR(number, text) { number, text },
static const struct {
	uint32_t number;
	const char *name;
} vendors[] = {
#include "wire/radius_attr.def"
};
#undef VENDOR
#undef VALUE
#undef ATTR

bool radius_msg(struct view bytes, struct radius_msg *ret_msg)
{
	static const struct {
		const char *name;
		bool request;
	} codes[] = {
		[RADIUS_ACCESS] = { "Access-Request", true },
		[RADIUS_ACCEPT] = { "Access-Accept", false },
		[RADIUS_REJECT] = { "Access-Reject", false },
		[RADIUS_ACCOUNTING] = { "Accounting-Request", true },
		[RADIUS_ACCOUNTED] = { "Accounting-Response", false },
		[RADIUS_CHALLENGE] = { "Access-Challenge", false },
		[RADIUS_STATUS_SERVER] = { "Status-Server", true },
		[RADIUS_STATUS_CLIENT] = { "Status-Client", true },
		[RADIUS_DISCONNECT] = { "Disconnect-Request", true },
		[RADIUS_DISCONNECT_ACK] = { "Disconnect-ACK", false },
		[RADIUS_DISCONNECT_NAK] = { "Disconnect-NAK", false },
		[RADIUS_COA] = { "CoA-Request", true },
		[RADIUS_COA_ACK] = { "CoA-ACK", false },
		[RADIUS_COA_NAK] = { "CoA-NAK", false },
	};
	struct rd rd = rd_make(bytes);
	struct radius_msg msg;

	msg.code = rd_u8(&rd);
	msg.id = rd_u8(&rd);
	msg.len = rd_u16be(&rd);
	msg.authenticator = rd_bytes(&rd, 16);
	if (rd.bad || msg.len < RADIUS_HEAD_BYTES || msg.len > RADIUS_LEN_MAX)
		return false;
	if (msg.code >= sizeof(codes) / sizeof(codes[0]) || !codes[msg.code].name)
		return false;
	msg.name = codes[msg.code].name;
	msg.request = codes[msg.code].request;
	msg.attributes = view_sub(rd_rest(&rd), 0, msg.len - RADIUS_HEAD_BYTES);	/* what follows is padding */
	*ret_msg = msg;
	return true;
}

bool radius_attr(struct view *rest, struct radius_attr *ret_attr)
{
	if (rest->len < 2 || rest->at[1] < 2)
		return false;
	ret_attr->type = rest->at[0];
	ret_attr->value = view_sub(*rest, 2, rest->at[1] - 2u);
	*rest = view_sub(*rest, rest->at[1], rest->len);
	return true;
}

bool radius_whole(const struct radius_msg *msg)
{
	struct view rest = msg->attributes;
	size_t bytes = 0;

	while (rest.len >= 2 && rest.at[1] >= 2) {
		bytes += rest.at[1];
		rest = view_sub(rest, rest.at[1], rest.len);
	}
	return bytes == msg->len - (size_t)RADIUS_HEAD_BYTES;
}

bool radius_find(const struct radius_msg *msg, uint8_t type, struct view *ret_value)
{
	struct view rest = msg->attributes;
	struct radius_attr attr;

	while (radius_attr(&rest, &attr)) {
		if (attr.type == type) {
			*ret_value = attr.value;
			return true;
		}
	}
	return false;
}

/* ---- values ---- */

static void number_text(uint8_t type, uint32_t number, struct txt *txt)
{
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (values[i].type == type && values[i].number == number) {
			txt_str(txt, values[i].name);
			return;
		}
	}
	txt_printf(txt, "%u", number);
}

static void ip_text(const struct ip *ip, struct txt *txt)
{
	char text[IP_TEXT_LEN];

	txt_put(txt, view_make(text, ip_format(ip, text)));
}

static void prefix_text(struct view value, struct txt *txt)
{
	struct ip ip = { { 0 } };
	size_t len = value.len - 2 < sizeof(ip.b) ? value.len - 2 : sizeof(ip.b);

	memcpy(ip.b, value.at + 2, len);
	ip_text(&ip, txt);
	txt_printf(txt, "/%u", value.at[1]);
}

static void octets_text(struct view value, struct txt *txt)
{
	if (txt_is_text(value)) {
		txt_put(txt, value);
		return;
	}
	txt_str(txt, "0x");
	txt_hex(txt, value);
}

void radius_value_text(const struct radius_attr *attr, struct txt *txt)
{
	enum kind kind = attrs[attr->type].kind;
	struct view value = attr->value;
	struct rd rd = rd_make(value);
	struct ip ip;

	if (kind == TAGGED_TEXT && value.len && value.at[0] < 0x20)	/* RFC 2868 3.3: else no tag but text */
		value = view_sub(value, 1, value.len);
	if (kind == IPV4 && value.len == 4) {
		uint32_t be;

		memcpy(&be, value.at, 4);
		ip = ip_from_v4(be);
		ip_text(&ip, txt);
	} else if (kind == IPV6 && value.len == 16) {
		memcpy(ip.b, value.at, 16);
		ip_text(&ip, txt);
	} else if (kind == PREFIX && value.len >= 2) {
		prefix_text(value, txt);
	} else if (kind == TEXT || kind == TAGGED_TEXT) {
		txt_put(txt, value);		/* one odd byte makes a name no number */
	} else if (kind == NUMBER && value.len == 4) {
		number_text(attr->type, rd_u32be(&rd), txt);
	} else if (kind == TAGGED_NUMBER && value.len == 4) {
		number_text(attr->type, rd_u32be(&rd) & 0xffffff, txt);
	} else {
		octets_text(value, txt);
	}
}

/* ---- a call in full ---- */

#define VALUE_TEXT_MAX 1024

static void show_text(struct json *json, const struct txt *txt, size_t *budget)
{
	struct view text = view_sub(txt_view(txt), 0, *budget);

	json_kstr(json, "value", text);
	*budget -= text.len;
}

static bool vendor_secret(uint32_t vendor, uint8_t type)
{
	/* RFC 2548: responses, passwords and keys */
	return vendor == 311 && ((type >= 1 && type <= 5) || type == 12 || type == 16 || type == 17 || type == 25 || type == 27);
}

/* Sub-attributes as most vendors write them: type, length, value (RFC 2865 5.26). */
static void show_vendor(struct json *json, struct view value, size_t *budget)
{
	struct rd rd = rd_make(value);
	uint32_t vendor = rd_u32be(&rd);
	struct view rest = rd_rest(&rd);
	struct radius_attr sub;

	json_ku64(json, "vendor_id", vendor);
	for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		if (vendors[i].number == vendor)
			json_kcstr(json, "vendor", vendors[i].name);
	json_key(json, "attributes");
	json_array(json);
	while (*budget && radius_attr(&rest, &sub)) {
		json_object(json);
		json_ku64(json, "type", sub.type);
		if (vendor_secret(vendor, sub.type))
			json_kcstr(json, "value", SECRET_MASK);
		else
			show_kbytes(json, "value", sub.value, budget);
		json_object_end(json);
	}
	json_array_end(json);
}

static void show_attr(struct json *json, const struct radius_attr *attr, size_t *budget)
{
	char text[VALUE_TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	json_object(json);
	json_ku64(json, "type", attr->type);
	if (attr->type == RADIUS_VENDOR && attr->value.len >= 4) {
		json_kcstr(json, "name", "Vendor-Specific");
		show_vendor(json, attr->value, budget);
	} else {
		if (attrs[attr->type].name)
			json_kcstr(json, "name", attrs[attr->type].name);
		if (attrs[attr->type].kind == SECRET) {
			json_kcstr(json, "value", SECRET_MASK);
		} else {
			radius_value_text(attr, &txt);
			show_text(json, &txt, budget);
		}
	}
	json_object_end(json);
}

static void show_message(const char *key, struct view bytes, size_t budget, struct json *json)
{
	struct radius_attr attr;
	struct radius_msg msg;
	char hex[2 * 16];
	struct txt txt = { .at = hex, .cap = sizeof(hex) };

	json_key(json, key);
	json_object(json);
	if (radius_msg(bytes, &msg)) {
		json_ku64(json, "code", msg.code);
		json_kcstr(json, "name", msg.name);
		json_ku64(json, "id", msg.id);
		txt_hex(&txt, msg.authenticator);
		json_kstr(json, "authenticator", txt_view(&txt));
		json_key(json, "attributes");
		json_array(json);
		while (budget && radius_attr(&msg.attributes, &attr))
			show_attr(json, &attr, &budget);
		json_array_end(json);
		if (msg.attributes.len && budget)
			json_kcstr(json, "malformed", "an attribute shorter than its head");
		else if (msg.attributes.len)
			json_kbool(json, "truncated", true);
	}
	json_object_end(json);
}

int radius_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	if (request.len)
		show_message("request", request, body_max, json);
	if (response.len)
		show_message("response", response, body_max, json);
	return 0;
}
