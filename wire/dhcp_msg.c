#include "wire/dhcp_msg.h"

#include "base/rd.h"

#define COOKIE		0x63825363u
#define RELAYS_MAX	8		/* RFC 8415 allows 8 hops by default */

bool dhcp4_has_cookie(struct view bytes)
{
	struct rd rd = rd_make(view_sub(bytes, DHCP4_FIXED_BYTES, 4));

	return rd_u32be(&rd) == COOKIE;
}

bool dhcp4_msg(struct view bytes, struct dhcp4 *ret_msg)
{
	struct dhcp4 msg = { .all = bytes };
	struct rd rd = rd_make(bytes);
	struct view chaddr, type, overload;
	unsigned hardware_len;

	msg.op = rd_u8(&rd);
	(void)rd_u8(&rd);
	hardware_len = rd_u8(&rd);
	msg.hops = rd_u8(&rd);
	msg.xid = rd_u32be(&rd);
	msg.secs = rd_u16be(&rd);
	msg.flags = rd_u16be(&rd);
	msg.client = rd_bytes(&rd, 4);
	msg.yours = rd_bytes(&rd, 4);
	msg.server = rd_bytes(&rd, 4);
	msg.gateway = rd_bytes(&rd, 4);
	chaddr = rd_bytes(&rd, 16);
	rd_skip(&rd, 64 + 128);
	if (rd.bad || msg.op < 1 || msg.op > 2 || hardware_len > 16)
		return false;
	msg.hardware = view_sub(chaddr, 0, hardware_len);
	if (dhcp4_has_cookie(bytes)) {
		rd_skip(&rd, 4);
		msg.options[0] = rd_rest(&rd);
		if (dhcp4_find(&msg, OPT4_OVERLOAD, &overload) && overload.len == 1) {
			if (overload.at[0] & 1)
				msg.options[1] = view_sub(bytes, 108, 128);
			if (overload.at[0] & 2)
				msg.options[2] = view_sub(bytes, 44, 64);
		}
		if (dhcp4_find(&msg, OPT4_TYPE, &type) && type.len)
			msg.type = type.at[0];
	}
	*ret_msg = msg;
	return true;
}

bool dhcp4_next(const struct dhcp4 *msg, unsigned *list, struct view *rest, struct dhcp_opt *ret_opt)
{
	if (!rest->at)
		*rest = msg->options[*list];
	for (;;) {
		while (rest->len && rest->at[0] == 0)		/* padding */
			*rest = view_sub(*rest, 1, rest->len);
		if (rest->len >= 2 && rest->at[0] != 255)
			break;
		if (++*list == sizeof(msg->options) / sizeof(msg->options[0])) {
			--*list;
			*rest = view_make("", 0);
			return false;
		}
		*rest = msg->options[*list];
	}
	ret_opt->code = rest->at[0];
	ret_opt->value = view_sub(*rest, 2, rest->at[1]);
	*rest = view_sub(*rest, 2u + rest->at[1], rest->len);
	return true;
}

bool dhcp4_find(const struct dhcp4 *msg, uint8_t code, struct view *ret_value)
{
	struct view rest = { NULL, 0 };
	struct dhcp_opt opt;
	unsigned list = 0;

	while (dhcp4_next(msg, &list, &rest, &opt)) {
		if (opt.code == code) {
			*ret_value = opt.value;
			return true;
		}
	}
	return false;
}

void dhcp4_type_text(const struct dhcp4 *msg, struct txt *txt)
{
	static const char *const names[] = {
		"BOOT", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM", "FORCERENEW",
		"LEASEQUERY", "LEASEUNASSIGNED", "LEASEUNKNOWN", "LEASEACTIVE", "BULKLEASEQUERY", "LEASEQUERYDONE",
		"ACTIVELEASEQUERY", "LEASEQUERYSTATUS", "TLS",
	};

	if (!msg->type)
		txt_str(txt, msg->op == 1 ? "BOOTREQUEST" : "BOOTREPLY");
	else if (msg->type < sizeof(names) / sizeof(names[0]))
		txt_str(txt, names[msg->type]);
	else
		txt_printf(txt, "TYPE%u", msg->type);
}

/* ---- DHCPv6 ---- */

bool dhcp6_msg(struct view bytes, struct dhcp6 *ret_msg)
{
	struct dhcp6 msg = { .relayed = false };

	for (unsigned hops = 0; hops < RELAYS_MAX; hops++) {
		struct rd rd = rd_make(bytes);

		msg.type = rd_u8(&rd);
		if (msg.type == DHCP6_RELAY || msg.type == DHCP6_RELAY_REPLY) {
			rd_skip(&rd, 1 + 16 + 16);	/* hops, link address, peer address */
			msg.options = rd_rest(&rd);
			msg.relayed = true;
			if (rd.bad)
				return false;
			if (dhcp6_find(msg.options, OPT6_RELAY_MESSAGE, &bytes))
				continue;
			*ret_msg = msg;
			return true;
		}
		msg.xid = rd_u24be(&rd);
		msg.options = rd_rest(&rd);
		if (rd.bad || !msg.type)
			return false;
		*ret_msg = msg;
		return true;
	}
	return false;
}

bool dhcp6_next(struct view *rest, struct dhcp_opt *ret_opt)
{
	struct rd rd = rd_make(*rest);
	unsigned code = rd_u16be(&rd), len = rd_u16be(&rd);

	if (rd.bad)
		return false;
	ret_opt->code = (uint16_t)code;
	ret_opt->value = view_sub(*rest, 4, len);
	*rest = view_sub(*rest, 4u + len, rest->len);
	return true;
}

bool dhcp6_find(struct view options, uint16_t code, struct view *ret_value)
{
	struct dhcp_opt opt;

	while (dhcp6_next(&options, &opt)) {
		if (opt.code == code) {
			*ret_value = opt.value;
			return true;
		}
	}
	return false;
}

bool dhcp6_whole(struct view options)
{
	size_t bytes = 0, all = options.len;

	while (options.len >= 4) {
		size_t len = 4 + ((size_t)options.at[2] << 8 | options.at[3]);

		bytes += len;
		options = view_sub(options, len, options.len);
	}
	return bytes == all;
}

void dhcp6_type_text(uint8_t type, struct txt *txt)
{
	static const char *const names[] = {
		[1] = "SOLICIT", "ADVERTISE", "REQUEST", "CONFIRM", "RENEW", "REBIND", "REPLY", "RELEASE", "DECLINE",
		"RECONFIGURE", "INFORMATION-REQUEST", "RELAY-FORW", "RELAY-REPL", "LEASEQUERY", "LEASEQUERY-REPLY",
		"LEASEQUERY-DONE", "LEASEQUERY-DATA", "RECONFIGURE-REQUEST", "RECONFIGURE-REPLY",
	};

	if (type && type < sizeof(names) / sizeof(names[0]))
		txt_str(txt, names[type]);
	else
		txt_printf(txt, "TYPE%u", type);
}

bool dhcp6_association(const struct dhcp_opt *opt, struct view *ret_options)
{
	if (opt->code != OPT6_IA_NA && opt->code != OPT6_IA_TA && opt->code != OPT6_IA_PD)
		return false;
	*ret_options = view_sub(opt->value, opt->code == OPT6_IA_TA ? 4 : 12, opt->value.len);
	return true;
}

const char *dhcp6_status_name(unsigned code)
{
	static const char *const names[] = { "Success", "UnspecFail", "NoAddrsAvail", "NoBinding", "NotOnLink",
					     "UseMulticast", "NoPrefixAvail" };

	return code < sizeof(names) / sizeof(names[0]) ? names[code] : NULL;
}

/* ---- texts ---- */

void dhcp_ip4_text(struct view bytes, struct txt *txt)
{
	if (bytes.len == 4)
		txt_printf(txt, "%u.%u.%u.%u", bytes.at[0], bytes.at[1], bytes.at[2], bytes.at[3]);
}

void dhcp_ip6_text(struct view bytes, struct txt *txt)
{
	char text[IP_TEXT_LEN];
	struct ip ip = { { 0 } };

	memcpy(ip.b, bytes.at, bytes.len < sizeof(ip.b) ? bytes.len : sizeof(ip.b));
	txt_put(txt, view_make(text, ip_format(&ip, text)));
}

void dhcp_mac_text(struct view bytes, struct txt *txt)
{
	for (size_t i = 0; i < bytes.len; i++)
		txt_printf(txt, i ? ":%02x" : "%02x", bytes.at[i]);
}

void dhcp_duid_text(struct view duid, struct txt *txt)
{
	struct rd rd = rd_make(duid);
	unsigned kind = rd_u16be(&rd), hardware = rd_u16be(&rd);

	if (!rd.bad && hardware == 1 && kind == 1 && duid.len == 14)
		dhcp_mac_text(view_sub(duid, 8, 6), txt);
	else if (!rd.bad && hardware == 1 && kind == 3 && duid.len == 10)
		dhcp_mac_text(view_sub(duid, 4, 6), txt);
	else
		txt_hex(txt, duid);
}

void dhcp_name_text(struct view *rest, struct txt *txt)
{
	size_t start = txt->len;

	while (rest->len && rest->at[0] && rest->at[0] < 64) {
		if (txt->len > start)
			txt_str(txt, ".");
		txt_put(txt, view_sub(*rest, 1, rest->at[0]));
		*rest = view_sub(*rest, 1u + rest->at[0], rest->len);
	}
	if (rest->len && rest->at[0])
		*rest = view_sub(*rest, rest->len, 0);		/* a pointer: not here */
	else
		*rest = view_sub(*rest, 1, rest->len);
}
