#include "wire/dns_show.h"

#include "wire/dns_msg.h"

#define DATA_TEXT_MAX 4096

static void show_text(struct json *json, const char *key, const struct txt *txt)
{
	json_kstr(json, key, view_make(txt->at, txt->len));
	if (txt->cut)
		json_kbool(json, "truncated", true);
}

static void show_name(const struct dns_msg *msg, const struct dns_rr *rr, struct json *json)
{
	char text[DNS_NAME_TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	size_t next;

	(void)dns_name(msg->all, rr->name_off, &txt, &next);
	show_text(json, "name", &txt);
}

static void show_type(const struct dns_rr *rr, struct json *json)
{
	char text[32];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	dns_type_text(rr->type, &txt);
	show_text(json, "type", &txt);
	txt.len = 0;
	/* the top bit means something else in multicast DNS: cache-flush, or answer by unicast */
	dns_class_text(rr->class & 0x7fff, &txt);
	show_text(json, "class", &txt);
	if (rr->class & 0x8000)
		json_kbool(json, "class_top_bit", true);
}

static void show_record(const struct dns_msg *msg, const struct dns_rr *rr, struct json *json)
{
	char text[DATA_TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	json_object(json);
	show_name(msg, rr, json);
	show_type(rr, json);
	if (rr->section != DNS_QUESTIONS) {
		json_ku64(json, "ttl", rr->ttl);
		dns_data_text(msg, rr, &txt);
		show_text(json, "data", &txt);
	}
	json_object_end(json);
}

static void hex_text(struct view v, struct txt *txt)
{
	for (size_t i = 0; i < v.len && !txt->cut; i++)
		txt_printf(txt, "%02x", v.at[i]);
}

/* Client subnet (RFC 7871 6): family, prefix lengths, as much of the address as the prefix needs. */
static bool subnet_text(struct view v, struct txt *txt)
{
	unsigned width = v.len >= 4 && v.at[1] == 1 ? 4 : 16;

	if (v.len < 4 || v.at[0] || v.at[1] < 1 || v.at[1] > 2 || v.len - 4 > width)
		return false;
	for (unsigned i = 0; i < width; i++) {
		uint8_t byte = i < v.len - 4 ? v.at[4 + i] : 0;

		if (width == 4)
			txt_printf(txt, i ? ".%u" : "%u", byte);
		else
			txt_printf(txt, i && i % 2 == 0 ? ":%02x" : "%02x", byte);
	}
	txt_printf(txt, "/%u scope %u", v.at[2], v.at[3]);
	return true;
}

static const char *option_name(unsigned code)
{
	switch (code) {
	case 3:
		return "NSID";
	case 8:
		return "client-subnet";
	case 9:
		return "expire";
	case 10:
		return "cookie";
	case 11:
		return "tcp-keepalive";
	case 12:
		return "padding";
	case 15:
		return "extended-error";
	default:
		return NULL;
	}
}

/* The OPT record is no record but the header's second half (RFC 6891 6.1). */
static void show_edns(const struct dns_rr *rr, struct json *json)
{
	struct view rest = rr->data;

	json_key(json, "edns");
	json_object(json);
	json_ku64(json, "udp_size", rr->class);
	json_ku64(json, "version", rr->ttl >> 16 & 255);
	json_ku64(json, "extended_rcode", rr->ttl >> 24);
	json_kbool(json, "do", rr->ttl & 0x8000);
	json_key(json, "options");
	json_array(json);
	while (rest.len >= 4) {
		unsigned code = (unsigned)rest.at[0] << 8 | rest.at[1];
		size_t len = (size_t)rest.at[2] << 8 | rest.at[3];
		struct view value = view_sub(rest, 4, len);
		char text[DATA_TEXT_MAX];
		struct txt txt = { .at = text, .cap = sizeof(text) };

		json_object(json);
		json_ku64(json, "code", code);
		if (option_name(code))
			json_kcstr(json, "name", option_name(code));
		if (code == 15 && value.len >= 2) {
			json_ku64(json, "info_code", (unsigned)value.at[0] << 8 | value.at[1]);
			json_kstr(json, "data", view_sub(value, 2, value.len));
		} else {
			if (code != 8 || !subnet_text(value, &txt)) {
				txt.len = 0;
				hex_text(value, &txt);
			}
			show_text(json, "data", &txt);
		}
		json_object_end(json);
		rest = view_sub(rest, 4 + len, rest.len);
	}
	json_array_end(json);
	json_object_end(json);
}

static void show_header(const struct dns_msg *msg, struct json *json)
{
	static const struct {
		const char *key;
		uint16_t bit;
	} flags[] = {
		{ "qr", DNS_QR }, { "aa", DNS_AA }, { "tc", DNS_TC }, { "rd", DNS_RD }, { "ra", DNS_RA },
		{ "ad", DNS_AD }, { "cd", DNS_CD },
	};
	unsigned opcode = msg->flags >> 11 & 15;
	char text[32];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	json_ku64(json, "id", msg->id);
	if (dns_opcode_name(opcode))
		json_kcstr(json, "opcode", dns_opcode_name(opcode));
	else
		json_ku64(json, "opcode", opcode);
	json_key(json, "flags");
	json_object(json);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		json_kbool(json, flags[i].key, msg->flags & flags[i].bit);
	json_object_end(json);
	if (msg->flags & DNS_QR) {
		dns_rcode_text(msg->flags & 15, &txt);
		show_text(json, "rcode", &txt);
	}
}

/* Records of one section after the other; the iterator ends a section by going on to the next. */
static void show_sections(const struct dns_msg *msg, struct json *json)
{
	static const char *const keys[DNS_SECTIONS] = { "questions", "answers", "authority", "additional" };
	struct dns_rr rr, opt = { .type = 0 };
	struct dns_iter iter;
	int rc;

	dns_iter_init(&iter, msg);
	rc = dns_iter_next(&iter, &rr);
	for (unsigned section = 0; section < DNS_SECTIONS; section++) {
		json_key(json, keys[section]);
		json_array(json);
		while (rc > 0 && rr.section == section) {
			if (rr.type == DNS_OPT && section == DNS_ADDITIONAL)
				opt = rr;
			else
				show_record(msg, &rr, json);
			rc = dns_iter_next(&iter, &rr);
		}
		json_array_end(json);
	}
	if (opt.type)
		show_edns(&opt, json);
	if (rc < 0) {
		json_key(json, "malformed");
		json_printf(json, "%s at byte %zu of %zu", iter.problem, iter.off, msg->all.len);
	} else if (iter.off < msg->all.len) {
		json_ku64(json, "bytes_behind", msg->all.len - iter.off);
	}
}

static bool reads_whole(struct view bytes)
{
	struct dns_msg msg;
	struct dns_iter iter;
	struct dns_rr rr;
	int rc;

	if (!dns_msg_parse(bytes, &msg))
		return false;
	dns_iter_init(&iter, &msg);
	while ((rc = dns_iter_next(&iter, &rr)) > 0)
		;
	return rc == 0;
}

/* Over TCP a length comes first, and a zone transfer is several messages. Returns the first one. */
static struct view first_message(struct view bytes, unsigned *ret_count)
{
	size_t len = bytes.len >= 2 ? (size_t)bytes.at[0] << 8 | bytes.at[1] : 0;
	struct view first = view_sub(bytes, 2, len);

	*ret_count = 1;
	if (!len || first.len < len || (len + 2 == bytes.len && reads_whole(bytes)) || !reads_whole(first))
		return bytes;
	*ret_count = 0;
	while (bytes.len >= 2 && (len = (size_t)bytes.at[0] << 8 | bytes.at[1]) && bytes.len >= 2 + len) {
		bytes = view_sub(bytes, 2 + len, bytes.len);
		++*ret_count;
	}
	return first;
}

static void show_message(const char *key, struct view bytes, struct json *json)
{
	struct dns_msg msg;
	unsigned count;

	json_key(json, key);
	json_object(json);
	bytes = first_message(bytes, &count);
	if (dns_msg_parse(bytes, &msg)) {
		show_header(&msg, json);
		show_sections(&msg, json);
		if (count > 1)
			json_ku64(json, "messages", count);
	} else {
		json_kcstr(json, "malformed", "shorter than a header");
		json_ku64(json, "bytes", bytes.len);
	}
	json_object_end(json);
}

int dns_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	(void)body_max;		/* a message is at most 64 KiB */
	if (request.len)
		show_message("request", request, json);
	if (response.len)
		show_message("response", response, json);
	return 0;
}
