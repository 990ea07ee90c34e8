#include "wire/dns_msg.h"

#include <arpa/inet.h>

#include "base/ip.h"
#include "base/rd.h"

#define NAME_OCTETS_MAX 255

/* ---- text ---- */

/* One octet of a name or string, escaped as in a zone file (RFC 1035 5.1). */
static void txt_octet(struct txt *txt, uint8_t c, const char *special)
{
	char text[5] = { '\\', (char)c, 0, 0, 0 };

	if (c <= ' ' || c > '~') {
		if (c == ' ' && special[0] == '"') {
			txt_put(txt, VIEW_LIT(" "));
			return;
		}
		text[1] = (char)('0' + c / 100);
		text[2] = (char)('0' + c / 10 % 10);
		text[3] = (char)('0' + c % 10);
		txt_put(txt, view_make(text, 4));
	} else if (strchr(special, c)) {
		txt_put(txt, view_make(text, 2));
	} else {
		txt_put(txt, view_make(text + 1, 1));
	}
}

/* Nearly every label is letters, digits and hyphens alone: they go out in one piece. */
static void put_label(struct txt *txt, struct view label)
{
	for (size_t i = 0, from; i < label.len; i++) {
		for (from = i; i < label.len && label.at[i] > ' ' && label.at[i] <= '~' && label.at[i] != '.' &&
			       label.at[i] != '\\'; i++)
			;
		txt_put(txt, view_sub(label, from, i - from));
		if (i < label.len)
			txt_octet(txt, label.at[i], ".\\");
	}
}

/* ---- names of numbers ---- */

struct number_name {
	uint16_t number;
	const char *name;
};

static const char *find_name(const struct number_name *names, size_t count, unsigned number)
{
	for (size_t i = 0; i < count; i++)
		if (names[i].number == number)
			return names[i].name;
	return NULL;
}
#define FIND_NAME(names, number) find_name(names, sizeof(names) / sizeof(names[0]), number)

void dns_type_text(uint16_t type, struct txt *txt)
{
	/* IANA "Resource Record (RR) TYPEs"; the frequent ones first */
	static const struct number_name names[] = {
		{ 1, "A" }, { 28, "AAAA" }, { 5, "CNAME" }, { 65, "HTTPS" }, { 12, "PTR" }, { 33, "SRV" },
		{ 2, "NS" }, { 6, "SOA" }, { 15, "MX" }, { 16, "TXT" }, { 41, "OPT" }, { 255, "ANY" },
		{ 13, "HINFO" }, { 17, "RP" }, { 18, "AFSDB" }, { 24, "SIG" }, { 25, "KEY" }, { 29, "LOC" },
		{ 35, "NAPTR" }, { 36, "KX" }, { 37, "CERT" }, { 39, "DNAME" }, { 42, "APL" }, { 43, "DS" },
		{ 44, "SSHFP" }, { 45, "IPSECKEY" }, { 46, "RRSIG" }, { 47, "NSEC" }, { 48, "DNSKEY" },
		{ 49, "DHCID" }, { 50, "NSEC3" }, { 51, "NSEC3PARAM" }, { 52, "TLSA" }, { 53, "SMIMEA" },
		{ 55, "HIP" }, { 59, "CDS" }, { 60, "CDNSKEY" }, { 61, "OPENPGPKEY" }, { 62, "CSYNC" },
		{ 63, "ZONEMD" }, { 64, "SVCB" }, { 99, "SPF" }, { 108, "EUI48" }, { 109, "EUI64" },
		{ 249, "TKEY" }, { 250, "TSIG" }, { 251, "IXFR" }, { 252, "AXFR" }, { 256, "URI" },
		{ 257, "CAA" }, { 10, "NULL" }, { 11, "WKS" }, { 32769, "DLV" },
	};
	const char *name = FIND_NAME(names, type);

	if (name)
		txt_str(txt, name);
	else
		txt_printf(txt, "TYPE%u", type);
}

void dns_class_text(uint16_t class, struct txt *txt)
{
	static const struct number_name names[] = {
		{ 1, "IN" }, { 3, "CH" }, { 4, "HS" }, { 254, "NONE" }, { 255, "ANY" },
	};
	const char *name = FIND_NAME(names, class);

	if (name)
		txt_str(txt, name);
	else
		txt_printf(txt, "CLASS%u", class);
}

const char *dns_opcode_name(unsigned opcode)
{
	static const struct number_name names[] = {
		{ 0, "QUERY" }, { 1, "IQUERY" }, { 2, "STATUS" }, { 4, "NOTIFY" }, { 5, "UPDATE" }, { 6, "DSO" },
	};

	return FIND_NAME(names, opcode);
}

void dns_rcode_text(unsigned rcode, struct txt *txt)
{
	static const struct number_name names[] = {
		{ 0, "NOERROR" }, { 1, "FORMERR" }, { 2, "SERVFAIL" }, { 3, "NXDOMAIN" }, { 4, "NOTIMP" },
		{ 5, "REFUSED" }, { 6, "YXDOMAIN" }, { 7, "YXRRSET" }, { 8, "NXRRSET" }, { 9, "NOTAUTH" },
		{ 10, "NOTZONE" }, { 11, "DSOTYPENI" }, { 16, "BADVERS" }, { 17, "BADKEY" }, { 18, "BADTIME" },
		{ 19, "BADMODE" }, { 20, "BADNAME" }, { 21, "BADALG" }, { 22, "BADTRUNC" }, { 23, "BADCOOKIE" },
	};
	const char *name = FIND_NAME(names, rcode);

	if (name)
		txt_str(txt, name);
	else
		txt_printf(txt, "RCODE%u", rcode);
}

/* ---- structure ---- */

bool dns_name(struct view all, size_t off, struct txt *txt, size_t *ret_next)
{
	size_t octets = 0, next = 0, lowest = off;
	bool jumped = false, first = true;

	for (;;) {
		uint8_t n;

		if (off >= all.len)
			return false;
		n = all.at[off];
		if (n >= 0xc0) {
			size_t to;

			if (off + 2 > all.len)
				return false;
			to = (size_t)(n & 0x3f) << 8 | all.at[off + 1];
			if (!jumped)
				next = off + 2;
			jumped = true;
			if (to >= lowest)	/* only backwards: so it ends */
				return false;
			off = lowest = to;
			continue;
		}
		if (n > 63 || (octets += n + 1u) > NAME_OCTETS_MAX || off + 1 + n > all.len)
			return false;
		off++;
		if (n == 0)
			break;
		if (txt) {
			if (!first)
				txt_put(txt, VIEW_LIT("."));
			put_label(txt, view_sub(all, off, n));
		}
		first = false;
		off += n;
	}
	if (txt && first)
		txt_put(txt, VIEW_LIT("."));
	*ret_next = jumped ? next : off;
	return true;
}

bool dns_msg_parse(struct view bytes, struct dns_msg *ret_msg)
{
	struct rd rd = rd_make(bytes);
	struct dns_msg msg = { .all = bytes };

	msg.id = rd_u16be(&rd);
	msg.flags = rd_u16be(&rd);
	for (unsigned i = 0; i < DNS_SECTIONS; i++)
		msg.counts[i] = rd_u16be(&rd);
	if (rd.bad)
		return false;
	*ret_msg = msg;
	return true;
}

void dns_iter_init(struct dns_iter *iter, const struct dns_msg *msg)
{
	*iter = (struct dns_iter){ .msg = msg, .off = DNS_HEADER_BYTES };
}

static int iter_bad(struct dns_iter *iter, const char *problem)
{
	iter->problem = problem;
	return -1;
}

int dns_iter_next(struct dns_iter *iter, struct dns_rr *ret_rr)
{
	struct view all = iter->msg->all;
	struct dns_rr rr = { .name_off = iter->off };
	size_t next;
	struct rd rd;

	if (iter->problem)
		return -1;
	while (iter->section < DNS_SECTIONS && iter->index >= iter->msg->counts[iter->section]) {
		iter->section++;
		iter->index = 0;
	}
	if (iter->section == DNS_SECTIONS)
		return 0;
	if (!dns_name(all, iter->off, NULL, &next))
		return iter_bad(iter, iter->off >= all.len ? "cut short" : "bad name");
	rd = rd_make(view_sub(all, next, all.len));
	rr.section = iter->section;
	rr.type = rd_u16be(&rd);
	rr.class = rd_u16be(&rd);
	if (iter->section != DNS_QUESTIONS) {
		rr.ttl = rd_u32be(&rd);
		rr.data = rd_bytes(&rd, rd_u16be(&rd));
	}
	if (rd.bad)
		return iter_bad(iter, "cut short");
	rr.data_off = next + rd_pos(&rd) - rr.data.len;
	iter->off = next + rd_pos(&rd);
	iter->index++;
	*ret_rr = rr;
	return 1;
}

/* ---- records as text ---- */

static void unknown_text(const struct dns_rr *rr, struct txt *txt)
{
	txt_printf(txt, "\\# %zu", rr->data.len);
	if (rr->data.len) {
		txt_put(txt, VIEW_LIT(" "));
		txt_hex(txt, rr->data);
	}
}

static void address_text(int family, struct view data, struct txt *txt)
{
	char text[IP_TEXT_LEN];
	struct ip ip;

	if (family == AF_INET) {
		uint32_t be;

		memcpy(&be, data.at, sizeof(be));
		ip = ip_from_v4(be);
		txt_put(txt, view_make(text, ip_format(&ip, text)));
	} else if (inet_ntop(family, data.at, text, sizeof(text))) {
		txt_str(txt, text);
	}
}

static void strings_text(struct view data, struct txt *txt)
{
	bool first = true;

	while (data.len) {
		struct view s = view_sub(data, 1, data.at[0]);

		if (!first)
			txt_put(txt, VIEW_LIT(" "));
		first = false;
		txt_put(txt, VIEW_LIT("\""));
		for (size_t i = 0; i < s.len && !txt->cut; i++)
			txt_octet(txt, s.at[i], "\"\\");
		txt_put(txt, VIEW_LIT("\""));
		data = view_sub(data, 1 + s.len, data.len);
	}
}

/* One parameter of SVCB/HTTPS (RFC 9460 7). */
static void svc_param(uint16_t key, struct view value, struct txt *txt)
{
	static const char *const keys[] = {
		"mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint",
	};
	size_t width = key == 4 ? 4 : key == 6 ? 16 : 0;

	txt_put(txt, VIEW_LIT(" "));
	if (key < sizeof(keys) / sizeof(keys[0]))
		txt_str(txt, keys[key]);
	else
		txt_printf(txt, "key%u", key);
	if (!value.len)
		return;
	txt_put(txt, VIEW_LIT("="));
	if (key == 1) {
		for (bool first = true; value.len; first = false) {
			struct view alpn = view_sub(value, 1, value.at[0]);

			if (!first)
				txt_put(txt, VIEW_LIT("|"));	/* a comma divides the answers */
			for (size_t i = 0; i < alpn.len; i++)
				txt_octet(txt, alpn.at[i], ",|\\");
			value = view_sub(value, 1 + alpn.len, value.len);
		}
	} else if (key == 3 && value.len == 2) {
		txt_printf(txt, "%u", value.at[0] << 8 | value.at[1]);
	} else if (width && value.len % width == 0) {
		for (size_t i = 0; i < value.len; i += width) {
			if (i)
				txt_put(txt, VIEW_LIT("|"));
			address_text(width == 4 ? AF_INET : AF_INET6, view_sub(value, i, width), txt);
		}
	} else {
		txt_hex(txt, value);
	}
}

static bool name_text(const struct dns_msg *msg, size_t off, size_t end, struct txt *txt, size_t *ret_next)
{
	size_t next;

	/* the name may point anywhere, but it must stand within the record */
	if (!dns_name(msg->all, off, txt, &next) || next > end)
		return false;
	*ret_next = next;
	return true;
}

static bool soa_text(const struct dns_msg *msg, const struct dns_rr *rr, struct txt *txt)
{
	size_t next, end = rr->data_off + rr->data.len;
	struct rd rd;
	uint32_t n[5];

	if (!name_text(msg, rr->data_off, end, txt, &next))
		return false;
	txt_put(txt, VIEW_LIT(" "));
	if (!name_text(msg, next, end, txt, &next))
		return false;
	rd = rd_make(view_sub(msg->all, next, end - next));
	for (unsigned i = 0; i < 5; i++)
		n[i] = rd_u32be(&rd);
	if (rd.bad)
		return false;
	txt_printf(txt, " %u %u %u %u %u", n[0], n[1], n[2], n[3], n[4]);
	return true;
}

static bool svcb_text(const struct dns_msg *msg, const struct dns_rr *rr, struct txt *txt)
{
	size_t next, end = rr->data_off + rr->data.len;
	struct rd rd;

	if (rr->data.len < 3)
		return false;
	txt_printf(txt, "%u ", rr->data.at[0] << 8 | rr->data.at[1]);
	if (!name_text(msg, rr->data_off + 2, end, txt, &next))
		return false;
	rd = rd_make(view_sub(msg->all, next, end - next));
	while (rd_left(&rd) && !rd.bad) {
		uint16_t key = rd_u16be(&rd);
		struct view value = rd_bytes(&rd, rd_u16be(&rd));

		if (!rd.bad)
			svc_param(key, value, txt);
	}
	return !rd.bad;
}

static bool known_text(const struct dns_msg *msg, const struct dns_rr *rr, struct txt *txt)
{
	const uint8_t *p = rr->data.at;
	size_t len = rr->data.len, next, end = rr->data_off + len;

	switch (rr->type) {
	case DNS_A:
		if (len == 4)
			address_text(AF_INET, rr->data, txt);
		return len == 4;
	case DNS_AAAA:
		if (len == 16)
			address_text(AF_INET6, rr->data, txt);
		return len == 16;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_DNAME:
		return name_text(msg, rr->data_off, end, txt, &next);
	case DNS_MX:
		if (len < 3)
			return false;
		txt_printf(txt, "%u ", p[0] << 8 | p[1]);
		return name_text(msg, rr->data_off + 2, end, txt, &next);
	case DNS_TXT:
	case DNS_SPF:
		strings_text(rr->data, txt);
		return true;
	case DNS_SOA:
		return soa_text(msg, rr, txt);
	case DNS_SRV:
		if (len < 7)
			return false;
		txt_printf(txt, "%u %u %u ", p[0] << 8 | p[1], p[2] << 8 | p[3], p[4] << 8 | p[5]);
		return name_text(msg, rr->data_off + 6, end, txt, &next);
	case DNS_CAA:
		if (len < 2 || p[1] > len - 2)
			return false;
		txt_printf(txt, "%u ", p[0]);
		for (size_t i = 0; i < p[1]; i++)
			txt_octet(txt, p[2 + i], "\\");
		txt_put(txt, VIEW_LIT(" \""));
		for (size_t i = 2u + p[1]; i < len; i++)
			txt_octet(txt, p[i], "\"\\");
		txt_put(txt, VIEW_LIT("\""));
		return true;
	case DNS_SVCB:
	case DNS_HTTPS:
		return svcb_text(msg, rr, txt);
	default:
		return false;
	}
}

void dns_data_text(const struct dns_msg *msg, const struct dns_rr *rr, struct txt *txt)
{
	size_t len = txt->len;

	if (known_text(msg, rr, txt))
		return;
	txt->len = len;		/* the data is not what its type says: as it stands */
	unknown_text(rr, txt);
}
