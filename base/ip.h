/* Internet addresses: always 16 bytes; an IPv4 address is ::ffff:a.b.c.d. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/err.h"
#include "base/view.h"

struct ip {
	uint8_t b[16];
};

#define IP_TEXT_LEN 46

static inline struct ip ip_from_v4(uint32_t be)
{
	struct ip ip = { { [10] = 0xff, [11] = 0xff } };

	memcpy(ip.b + 12, &be, 4);
	return ip;
}

static inline bool ip_is_v4(const struct ip *ip)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(ip->b, prefix, 12) == 0;
}

static inline bool ip_eq(const struct ip *a, const struct ip *b)
{
	return memcmp(a->b, b->b, 16) == 0;
}

bool ip_is_loopback(const struct ip *ip);
/* Canonical text (RFC 5952), with its NUL. Returns its length. */
size_t ip_format(const struct ip *ip, char text[IP_TEXT_LEN]);
/* An address of either family; E_FORMAT. */
int ip_parse(struct view text, struct ip *ret_ip, struct err *err);

/* A prefix in the 128-bit space: 10.0.0.0/8 becomes ::ffff:10.0.0.0/104. */
struct ip_net {
	struct ip ip;
	unsigned bits;	/* 0..128 */
};
/* "10.0.0.0/8", "fd00::/8", or a bare address (host prefix). E_FORMAT. */
int ip_net_parse(struct view text, struct ip_net *ret_net, struct err *err);
bool ip_net_has(const struct ip_net *net, const struct ip *ip);

#endif
