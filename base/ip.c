#include "base/ip.h"

#include <arpa/inet.h>

bool ip_is_loopback(const struct ip *ip)
{
	static const struct ip six = { { [15] = 1 } };

	return ip_is_v4(ip) ? ip->b[12] == 127 : ip_eq(ip, &six);
}

/* By hand: two addresses a call are written as text, and printf costs more than dissecting the call. */
static size_t v4_format(const uint8_t bytes[4], char *text)
{
	char *at = text;

	for (unsigned i = 0; i < 4; i++) {
		unsigned v = bytes[i];

		if (v >= 100)
			*at++ = (char)('0' + v / 100);
		if (v >= 10)
			*at++ = (char)('0' + v / 10 % 10);
		*at++ = (char)('0' + v % 10);
		*at++ = '.';
	}
	at[-1] = '\0';
	return (size_t)(at - 1 - text);
}

size_t ip_format(const struct ip *ip, char text[IP_TEXT_LEN])
{
	if (ip_is_v4(ip))
		return v4_format(ip->b + 12, text);
	if (!inet_ntop(AF_INET6, ip->b, text, IP_TEXT_LEN))
		text[0] = '\0';
	return strlen(text);
}

int ip_parse(struct view text, struct ip *ret_ip, struct err *err)
{
	char copy[IP_TEXT_LEN];
	struct in_addr four;
	struct ip ip;

	if (text.len == 0 || text.len >= sizeof(copy))
		return err_set(err, E_FORMAT, "\"%.*s\" is not an address", (int)(text.len > 60 ? 60 : text.len),
			       (const char *)text.at);
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	if (inet_pton(AF_INET, copy, &four) == 1)
		ip = ip_from_v4(four.s_addr);
	else if (inet_pton(AF_INET6, copy, ip.b) != 1)
		return err_set(err, E_FORMAT, "\"%s\" is not an address", copy);
	*ret_ip = ip;
	return 0;
}

int ip_net_parse(struct view text, struct ip_net *ret_net, struct err *err)
{
	ptrdiff_t slash = view_find(text, VIEW_LIT("/"));
	struct ip_net net = { .bits = 128 };
	uint64_t bits;
	int rc;

	rc = ip_parse(slash < 0 ? text : view_sub(text, 0, (size_t)slash), &net.ip, err);
	if (rc < 0)
		return rc;
	if (slash >= 0) {
		unsigned most = ip_is_v4(&net.ip) ? 32 : 128;

		if (view_u64(view_sub(text, (size_t)slash + 1, text.len), most, &bits) < 0)
			return err_set(err, E_FORMAT, "\"%.*s\": the prefix length is a number from 0 to %u",
				       (int)text.len, (const char *)text.at, most);
		net.bits = (unsigned)bits + 128 - most;
	}
	*ret_net = net;
	return 0;
}

bool ip_net_has(const struct ip_net *net, const struct ip *ip)
{
	unsigned bytes = net->bits / 8, rest = net->bits % 8;

	if (memcmp(net->ip.b, ip->b, bytes) != 0)
		return false;
	return rest == 0 || ((net->ip.b[bytes] ^ ip->b[bytes]) >> (8 - rest)) == 0;
}
