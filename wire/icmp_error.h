/* Errors of ICMP (RFC 792, RFC 4884) and ICMPv6 (RFC 4443), and the packet they quote. Pure. */
#ifndef WIRE_ICMP_ERROR_H
#define WIRE_ICMP_ERROR_H

#include "wire/decode.h"

enum icmp_error_kind { ICMP_UNREACHABLE, ICMP_TIME_EXCEEDED, ICMP_TOO_BIG, ICMP_OTHER };

struct icmp_error {
	enum icmp_error_kind kind;
	uint8_t type, code;
	uint32_t mtu;			/* of the next hop; 0: not told */
	struct packet quoted;		/* decoded as far as it is there: addresses, and ports when has_ports */
};

/* False when packet is none, or quotes no transport header. quoted borrows the frame. */
bool icmp_error(const struct packet *packet, struct icmp_error *ret_error);

#endif
