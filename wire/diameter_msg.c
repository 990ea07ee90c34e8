#include "wire/diameter_msg.h"

#include "base/ip.h"
#include "base/rd.h"
#include "wire/dissect.h"
#include "wire/secret.h"

#define LEN_MAX		(1u << 20)
#define DEPTH_MAX	4
#define FLAG_VENDOR	0x80

enum kind { UNKNOWN, TEXT, OCTETS, SECRET, U32, I32, U64, TIME, ADDRESS, GROUP };

struct number_name {
	uint32_t number;
	const char *name;
};

#define AVP(code, text, kind_) { code, kind_, text },
#define COMMAND(code, text)
#define APPLICATION(number, text)
#define RESULT(code, text)
static const struct avp_def {
	uint16_t code;
	uint8_t kind;
	const char *name;
} avp_defs[] = {	/* sorted */
#include "wire/diameter_avp.def"
};
#undef AVP
#undef COMMAND
#define AVP(code, text, kind_)
#define COMMAND(code, text) { code, text },
static const struct number_name commands[] = {
#include "wire/diameter_avp.def"
};
#undef COMMAND
#undef APPLICATION
#define COMMAND(code, text)
#define APPLICATION(number, text) { number, text },
static const struct number_name applications[] = {
#include "wire/diameter_avp.def"
};
#undef APPLICATION
#undef RESULT
#define APPLICATION(number, text)
#define RESULT(code, text) { code, text },
static const struct number_name results[] = {
#include "wire/diameter_avp.def"
};
#undef AVP
#undef COMMAND
#undef APPLICATION
#undef RESULT

static const char *name_of(const struct number_name *names, size_t count, uint32_t number)
{
	for (size_t i = 0; i < count; i++)
		if (names[i].number == number)
			return names[i].name;
	return NULL;
}

const char *diameter_command_name(uint32_t code)
{
	return name_of(commands, sizeof(commands) / sizeof(commands[0]), code);
}

const char *diameter_application_name(uint32_t number)
{
	return name_of(applications, sizeof(applications) / sizeof(applications[0]), number);
}

const char *diameter_result_name(uint32_t code)
{
	return name_of(results, sizeof(results) / sizeof(results[0]), code);
}

static const struct avp_def *avp_def(uint32_t code)
{
	size_t from = 0, to = sizeof(avp_defs) / sizeof(avp_defs[0]);

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (avp_defs[middle].code == code)
			return &avp_defs[middle];
		if (avp_defs[middle].code < code)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

int diameter_msg(struct view bytes, struct diameter_msg *ret_msg)
{
	struct rd rd = rd_make(bytes);
	struct diameter_msg msg;

	if (bytes.len && bytes.at[0] != 1)
		return -1;
	(void)rd_u8(&rd);
	msg.len = rd_u24be(&rd);
	msg.flags = rd_u8(&rd);
	if (!rd.bad && (msg.len < DIAMETER_HEAD_BYTES || msg.len > LEN_MAX || msg.len % 4 || msg.flags & 0x0f ||
			(msg.flags & (DIAMETER_REQUEST | DIAMETER_ERROR)) == (DIAMETER_REQUEST | DIAMETER_ERROR)))
		return -1;
	msg.command = rd_u24be(&rd);
	msg.application = rd_u32be(&rd);
	msg.hop_by_hop = rd_u32be(&rd);
	msg.end_to_end = rd_u32be(&rd);
	if (rd.bad)
		return 0;
	msg.avps = view_sub(bytes, DIAMETER_HEAD_BYTES, msg.len - DIAMETER_HEAD_BYTES);
	*ret_msg = msg;
	return 1;
}

bool diameter_next(struct view *rest, struct diameter_avp *ret_avp)
{
	struct rd rd = rd_make(*rest);
	struct diameter_avp avp = { .vendor = 0 };
	uint32_t len, head = 8;

	avp.code = rd_u32be(&rd);
	avp.flags = rd_u8(&rd);
	len = rd_u24be(&rd);
	if (avp.flags & FLAG_VENDOR) {
		avp.vendor = rd_u32be(&rd);
		head = 12;
	}
	if (rd.bad || len < head)
		return false;
	avp.value = view_sub(*rest, head, len - head);
	*rest = view_sub(*rest, ((size_t)len + 3) & ~(size_t)3, rest->len);
	*ret_avp = avp;
	return true;
}

bool diameter_find(struct view avps, uint32_t code, struct view *ret_value)
{
	struct diameter_avp avp;

	while (diameter_next(&avps, &avp)) {
		if (avp.code == code && !avp.vendor) {
			*ret_value = avp.value;
			return true;
		}
	}
	return false;
}

bool diameter_u32(struct view avps, uint32_t code, uint32_t *ret_value)
{
	struct view value;
	struct rd rd;

	if (!diameter_find(avps, code, &value) || value.len != 4)
		return false;
	rd = rd_make(value);
	*ret_value = rd_u32be(&rd);
	return true;
}

bool diameter_sure(struct view bytes)
{
	struct diameter_msg msg;
	struct rd rd;
	uint32_t len;

	if (diameter_msg(bytes, &msg) <= 0 || !diameter_command_name(msg.command))
		return false;
	rd = rd_make(msg.avps);
	rd_skip(&rd, 5);
	len = rd_u24be(&rd);
	return !rd.bad && !(msg.avps.at[4] & 0x1f) && len >= 8 && len <= msg.len - DIAMETER_HEAD_BYTES;
}

/* ---- a call in full ---- */

struct show {
	struct json *json;
	size_t budget;
};

static void show_avps(struct show *s, struct view avps, unsigned depth);

/* A family of addresses and an address (RFC 6733 4.3.1). */
static void show_address(struct show *s, struct view value)
{
	struct rd rd = rd_make(value);
	unsigned family = rd_u16be(&rd);
	struct view bytes = rd_rest(&rd);
	char text[IP_TEXT_LEN];
	struct ip ip;

	if (family == 1 && bytes.len == 4) {
		uint32_t be;

		memcpy(&be, bytes.at, 4);
		ip = ip_from_v4(be);
	} else if (family == 2 && bytes.len == 16) {
		memcpy(ip.b, bytes.at, 16);
	} else {
		show_bytes(s->json, value, &s->budget);
		return;
	}
	json_str(s->json, view_make(text, ip_format(&ip, text)));
}

/* Many vendors' AVPs are groups: what reads as one to its end is shown as one. */
static bool is_group(struct view value)
{
	struct diameter_avp avp;

	if (value.len < 8)
		return false;
	while (value.len) {
		size_t before = value.len;

		if (!diameter_next(&value, &avp) || avp.flags & 0x1f || !avp.code || avp.value.len + 8 > before)
			return false;
	}
	return true;
}

static void show_value(struct show *s, enum kind kind, struct view value, unsigned depth)
{
	struct rd rd = rd_make(value);

	if ((kind == U32 || kind == I32 || kind == TIME) && value.len == 4) {
		if (kind == U32)
			json_u64(s->json, rd_u32be(&rd));
		else if (kind == I32)
			json_i64(s->json, (int32_t)rd_u32be(&rd));
		else
			json_i64(s->json, (int64_t)rd_u32be(&rd) - 2208988800);	/* seconds since 1970 */
	} else if (kind == U64 && value.len == 8) {
		json_u64(s->json, rd_u64be(&rd));
	} else if (kind == SECRET) {
		json_cstr(s->json, SECRET_MASK);
	} else if (kind == ADDRESS) {
		show_address(s, value);
	} else if (depth < DEPTH_MAX && (kind == GROUP || (kind == UNKNOWN && is_group(value)))) {
		show_avps(s, value, depth + 1);
	} else {
		show_bytes(s->json, value, &s->budget);
	}
}

static void show_avps(struct show *s, struct view avps, unsigned depth)
{
	struct diameter_avp avp;

	json_array(s->json);
	while (s->budget && diameter_next(&avps, &avp)) {
		const struct avp_def *def = avp.vendor ? NULL : avp_def(avp.code);

		json_object(s->json);
		json_ku64(s->json, "code", avp.code);
		if (avp.vendor)
			json_ku64(s->json, "vendor_id", avp.vendor);
		if (def)
			json_kcstr(s->json, "name", def->name);
		json_key(s->json, "value");
		show_value(s, def ? (enum kind)def->kind : UNKNOWN, avp.value, depth);
		json_object_end(s->json);
		s->budget -= s->budget < 8 ? s->budget : 8;
	}
	json_array_end(s->json);
}

static void show_message(const char *key, struct view bytes, size_t budget, struct json *json)
{
	struct show s = { .json = json, .budget = budget };
	struct diameter_msg msg;

	json_key(json, key);
	json_object(json);
	if (diameter_msg(bytes, &msg) > 0) {
		json_ku64(json, "command_code", msg.command);
		if (diameter_command_name(msg.command))
			json_kcstr(json, "command", diameter_command_name(msg.command));
		json_ku64(json, "application_id", msg.application);
		if (diameter_application_name(msg.application))
			json_kcstr(json, "application", diameter_application_name(msg.application));
		json_kbool(json, "request", msg.flags & DIAMETER_REQUEST);
		json_kbool(json, "proxiable", msg.flags & DIAMETER_PROXIABLE);
		json_kbool(json, "error", msg.flags & DIAMETER_ERROR);
		json_kbool(json, "retransmitted", msg.flags & DIAMETER_AGAIN);
		json_ku64(json, "hop_by_hop", msg.hop_by_hop);
		json_ku64(json, "end_to_end", msg.end_to_end);
		json_key(json, "avps");
		show_avps(&s, msg.avps, 0);
		if (!s.budget)
			json_kbool(json, "truncated", true);
	}
	json_object_end(json);
}

int diameter_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	if (request.len)
		show_message("request", request, body_max, json);
	if (response.len)
		show_message("response", response, body_max, json);
	return 0;
}
