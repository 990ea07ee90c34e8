/* A DHCP call in full. */
#include "base/rd.h"
#include "wire/dhcp_msg.h"
#include "wire/dissect.h"
#include "wire/secret.h"

#define TEXT_MAX	512
#define DEPTH_MAX	3	/* association, address, status */

enum kind { UNKNOWN, IPS, NUMBER, TEXT, OCTETS, LIST, LIST16, FLAG, NAMES, FQDN, IA, IA_SHORT, ADDRESS, PREFIX, STATUS, SECRET };

struct option {
	const char *name;
	enum kind kind;
};

#define OPT4(number, text, kind_) [number] = { text, kind_ },
#define OPT6(number, text, kind_)
static const struct option options4[256] = {
#include "wire/dhcp_opt.def"
};
#undef OPT4
#undef OPT6
#define OPT4(number, text, kind_)
#define OPT6(number, text, kind_) [number] = { text, kind_ },
static const struct option options6[] = {
#include "wire/dhcp_opt.def"
};
#undef OPT4
#undef OPT6

struct show {
	struct json *json;
	size_t budget;
	bool v6;
};

static void show_options6(struct show *s, struct view options, unsigned depth);

static void show_txt(struct show *s, const struct txt *txt)
{
	struct view text = view_sub(txt_view(txt), 0, s->budget);

	json_str(s->json, text);
	s->budget -= text.len;
}

static void show_ips(struct show *s, struct view value)
{
	size_t size = s->v6 ? 16 : 4;
	char text[TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	for (; value.len >= size; value = view_sub(value, size, value.len)) {
		if (txt.len)
			txt_str(&txt, ",");
		if (s->v6)
			dhcp_ip6_text(view_sub(value, 0, size), &txt);
		else
			dhcp_ip4_text(view_sub(value, 0, size), &txt);
	}
	show_txt(s, &txt);
}

static void show_number(struct show *s, struct view value)
{
	uint64_t number = 0;

	for (size_t i = 0; i < value.len && i < 8; i++)
		number = number << 8 | value.at[i];
	json_u64(s->json, number);
}

static void show_list(struct show *s, struct view value, size_t size)
{
	json_array(s->json);
	for (; s->budget && value.len >= size; value = view_sub(value, size, value.len)) {
		show_number(s, view_sub(value, 0, size));
		s->budget--;
	}
	json_array_end(s->json);
}

static void show_names(struct show *s, struct view value)
{
	char text[TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	while (value.len && !txt.cut) {
		if (txt.len)
			txt_str(&txt, ",");
		dhcp_name_text(&value, &txt);
	}
	show_txt(s, &txt);
}

static void show_status(struct show *s, struct view value)
{
	struct rd rd = rd_make(value);
	unsigned code = rd_u16be(&rd);

	json_object(s->json);
	json_ku64(s->json, "code", code);
	if (dhcp6_status_name(code))
		json_kcstr(s->json, "name", dhcp6_status_name(code));
	show_kbytes(s->json, "message", rd_rest(&rd), &s->budget);
	json_object_end(s->json);
}

/* Identity associations, their addresses and prefixes: some numbers, then options. */
static void show_nested(struct show *s, enum kind kind, struct view value, unsigned depth)
{
	struct rd rd = rd_make(value);
	char text[64];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	json_object(s->json);
	if (kind == IA || kind == IA_SHORT) {
		json_ku64(s->json, "iaid", rd_u32be(&rd));
		if (kind == IA) {
			json_ku64(s->json, "t1_seconds", rd_u32be(&rd));
			json_ku64(s->json, "t2_seconds", rd_u32be(&rd));
		}
	} else if (kind == ADDRESS) {
		dhcp_ip6_text(rd_bytes(&rd, 16), &txt);
		json_kstr(s->json, "address", txt_view(&txt));
		json_ku64(s->json, "preferred_seconds", rd_u32be(&rd));
		json_ku64(s->json, "valid_seconds", rd_u32be(&rd));
	} else {
		json_ku64(s->json, "preferred_seconds", rd_u32be(&rd));
		json_ku64(s->json, "valid_seconds", rd_u32be(&rd));
		unsigned bits = rd_u8(&rd);

		dhcp_ip6_text(rd_bytes(&rd, 16), &txt);
		txt_printf(&txt, "/%u", bits);
		json_kstr(s->json, "prefix", txt_view(&txt));
	}
	if (!rd.bad && depth < DEPTH_MAX)
		show_options6(s, rd_rest(&rd), depth + 1);
	json_object_end(s->json);
}

static void show_value(struct show *s, enum kind kind, struct view value, unsigned depth)
{
	switch (kind) {
	case IPS:
		show_ips(s, value);
		break;
	case NUMBER:
		show_number(s, value);
		break;
	case LIST:
		show_list(s, value, 1);
		break;
	case LIST16:
		show_list(s, value, 2);
		break;
	case FLAG:
		json_bool(s->json, true);
		break;
	case NAMES:
		show_names(s, value);
		break;
	case FQDN:
		show_names(s, view_sub(value, 1, value.len));
		break;
	case IA:
	case IA_SHORT:
	case ADDRESS:
	case PREFIX:
		show_nested(s, kind, value, depth);
		break;
	case STATUS:
		show_status(s, value);
		break;
	case SECRET:
		json_cstr(s->json, SECRET_MASK);
		break;
	case TEXT:
	case OCTETS:
	case UNKNOWN:
		while (kind == TEXT && value.len && !value.at[value.len - 1])
			value.len--;
		show_bytes(s->json, value, &s->budget);
		break;
	}
}

static void show_option(struct show *s, const struct dhcp_opt *opt, unsigned depth)
{
	const struct option *known = NULL;

	if (!s->v6)
		known = &options4[opt->code];
	else if (opt->code < sizeof(options6) / sizeof(options6[0]))
		known = &options6[opt->code];
	json_object(s->json);
	json_ku64(s->json, "code", opt->code);
	if (known && known->name)
		json_kcstr(s->json, "name", known->name);
	json_key(s->json, "value");
	show_value(s, known ? known->kind : UNKNOWN, opt->value, depth);
	json_object_end(s->json);
}

static void show_options6(struct show *s, struct view options, unsigned depth)
{
	struct dhcp_opt opt;

	json_key(s->json, "options");
	json_array(s->json);
	while (s->budget && dhcp6_next(&options, &opt))
		show_option(s, &opt, depth);
	json_array_end(s->json);
}

/* ---- messages ---- */

static void show_ip4(struct show *s, const char *key, struct view bytes)
{
	char text[16];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	dhcp_ip4_text(bytes, &txt);
	json_kstr(s->json, key, txt_view(&txt));
}

static void show4(struct show *s, const struct dhcp4 *msg)
{
	char text[64];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	struct view rest = { NULL, 0 };
	struct dhcp_opt opt;
	unsigned list = 0;

	json_ku64(s->json, "op", msg->op);
	dhcp4_type_text(msg, &txt);
	json_kstr(s->json, "type", txt_view(&txt));
	json_key(s->json, "xid");
	json_printf(s->json, "0x%08x", msg->xid);
	json_ku64(s->json, "hops", msg->hops);
	json_ku64(s->json, "secs", msg->secs);
	json_kbool(s->json, "broadcast", msg->flags & 0x8000);
	show_ip4(s, "client_address", msg->client);
	show_ip4(s, "your_address", msg->yours);
	show_ip4(s, "next_server", msg->server);
	show_ip4(s, "relay", msg->gateway);
	txt.len = 0;
	dhcp_mac_text(msg->hardware, &txt);
	json_kstr(s->json, "client_hardware", txt_view(&txt));
	json_key(s->json, "options");
	json_array(s->json);
	while (s->budget && dhcp4_next(msg, &list, &rest, &opt))
		show_option(s, &opt, 0);
	json_array_end(s->json);
}

static void show6(struct show *s, const struct dhcp6 *msg)
{
	char text[32];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	dhcp6_type_text(msg->type, &txt);
	json_kstr(s->json, "type", txt_view(&txt));
	json_key(s->json, "xid");
	json_printf(s->json, "0x%06x", msg->xid);
	json_kbool(s->json, "relayed", msg->relayed);
	show_options6(s, msg->options, 0);
}

static void show_message(const char *key, struct view bytes, size_t budget, struct json *json)
{
	struct show s = { .json = json, .budget = budget };
	struct dhcp4 msg4;
	struct dhcp6 msg6;

	json_key(json, key);
	json_object(json);
	s.v6 = !dhcp4_has_cookie(bytes) && dhcp6_msg(bytes, &msg6) && dhcp6_whole(msg6.options);
	if (s.v6)
		show6(&s, &msg6);
	else if (dhcp4_msg(bytes, &msg4))
		show4(&s, &msg4);
	if (!s.budget)
		json_kbool(json, "truncated", true);
	json_object_end(json);
}

int dhcp_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	if (request.len)
		show_message("request", request, body_max, json);
	if (response.len)
		show_message("response", response, body_max, json);
	return 0;
}
