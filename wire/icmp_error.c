#include "wire/icmp_error.h"

#define HEADER_BYTES 8	/* before the quoted packet */
#define PROTO_ICMP 1
#define PROTO_ICMP6 58

/* False when the message is no error. */
static bool kind_of(uint8_t proto, uint8_t type, uint8_t code, enum icmp_error_kind *ret_kind)
{
	if (proto == PROTO_ICMP) {
		switch (type) {
		case 3: *ret_kind = code == 4 ? ICMP_TOO_BIG : ICMP_UNREACHABLE; return true;
		case 11: *ret_kind = ICMP_TIME_EXCEEDED; return true;
		case 4:		/* source quench, redirect, parameter problem */
		case 5:
		case 12: *ret_kind = ICMP_OTHER; return true;
		default: return false;
		}
	}
	switch (type) {
	case 1: *ret_kind = ICMP_UNREACHABLE; return true;
	case 2: *ret_kind = ICMP_TOO_BIG; return true;
	case 3: *ret_kind = ICMP_TIME_EXCEEDED; return true;
	case 4: *ret_kind = ICMP_OTHER; return true;
	default: return false;
	}
}

bool icmp_error(const struct packet *packet, struct icmp_error *ret_error)
{
	const uint8_t *at = packet->payload.at;

	if ((packet->proto != PROTO_ICMP && packet->proto != PROTO_ICMP6) || packet->status != DECODE_OK ||
	    packet->payload.len <= HEADER_BYTES || !kind_of(packet->proto, at[0], at[1], &ret_error->kind))
		return false;
	ret_error->type = at[0];
	ret_error->code = at[1];
	ret_error->mtu = 0;
	if (ret_error->kind == ICMP_TOO_BIG)
		ret_error->mtu = (packet->proto == PROTO_ICMP ? 0 : (uint32_t)at[4] << 24 | (uint32_t)at[5] << 16) |
				 (uint32_t)at[6] << 8 | at[7];
	/* As long as its IP header says it was: what is missing was not quoted, which is no contradiction. */
	memset(&ret_error->quoted, 0, sizeof(ret_error->quoted));
	ret_error->quoted.time_ns = packet->time_ns;
	ret_error->quoted.link = LINK_RAW;
	ret_error->quoted.segments = 1;
	ret_error->quoted.orig_len = 1u << 20;
	ret_error->quoted.frame = view_sub(packet->payload, HEADER_BYTES, packet->payload.len);
	(void)decode_frame(&ret_error->quoted);
	return ret_error->quoted.ip_version && ret_error->quoted.has_ports;
}
