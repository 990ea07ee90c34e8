/* Link layers: everything between the start of a frame and IP. Numbers are those of tcpdump.org's LINKTYPE list. */
#include "wire/decode.h"
#include "wire/decode_walk.h"

/* Up to here the field behind the addresses is a length (IEEE 802.3), from here on an ethertype. */
#define ETHERTYPE_MIN 0x600

/* Ethertype or, when it is a length, LLC. */
static inline void type_or_length(struct walk *walk, struct packet *packet, uint16_t value)
{
	if (__builtin_expect(value < ETHERTYPE_MIN, 0)) {
		walk_limit(walk, value);
		walk->next = walk_llc;
	} else {
		walk_ethertype(walk, packet, value);
	}
}

void walk_ethernet(struct walk *walk, struct packet *packet)
{
	uint16_t type;

	if (!walk_need_link(walk, packet, 14))
		return;
	type = walk_u16(walk->at + 12);
	walk_skip(walk, 14);
	type_or_length(walk, packet, type);
}

/* IEEE 802.1Q tag: the ethertype before it is gone, 2 bytes of priority and id, then the next one. */
void walk_vlan(struct walk *walk, struct packet *packet)
{
	uint16_t type, id;

	if (!walk_need_link(walk, packet, 4))
		return;
	id = walk_u16(walk->at) & 0xfff;
	if (id) {	/* 0: a priority, no VLAN */
		if (packet->carrier.vlan)
			packet->carrier.inner_vlan = id;
		else
			packet->carrier.vlan = id;
		walk_segment(packet, id);
	}
	type = walk_u16(walk->at + 2);
	walk_skip(walk, 4);
	type_or_length(walk, packet, type);
}

/* IEEE 802.1ah: service tag, then the customer's whole frame. The tag before it is the backbone's own. */
void walk_pbb(struct walk *walk, struct packet *packet)
{
	if (!walk_need_link(walk, packet, 4))
		return;
	packet->carrier.segment = 0;
	walk_segment(packet, 1u << 24 | (walk_u32(walk->at) & 0xffffff));
	walk_skip(walk, 4);
	walk->next = walk_ethernet;
}

/* Cisco VN-Tag: 4 bytes, then an ethertype. */
void walk_vntag(struct walk *walk, struct packet *packet)
{
	uint16_t type;

	if (!walk_need_link(walk, packet, 6))
		return;
	type = walk_u16(walk->at + 4);
	walk_skip(walk, 6);
	type_or_length(walk, packet, type);
}

/* IEEE 802.2: SNAP, or IP by its own service access point. */
void walk_llc(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;

	if (!walk_need_link(walk, packet, 3))
		return;
	if (at[0] == 0x06 && at[1] == 0x06) {
		walk_skip(walk, 3);
		walk->next = walk_ip;
		return;
	}
	if (at[0] != 0xaa || at[1] != 0xaa || at[2] != 3) {
		walk_stop(walk, packet, DECODE_not_ip);
		return;
	}
	if (!walk_need_link(walk, packet, 8))
		return;
	/* organisation 0 (RFC 1042) or 0000f8 (bridge tunnel): an ethertype follows */
	if (at[3] != 0 || at[4] != 0 || (at[5] != 0 && at[5] != 0xf8)) {
		walk_stop(walk, packet, DECODE_not_ip);
		return;
	}
	walk_skip(walk, 8);
	walk_ethertype(walk, packet, walk_u16(at + 6));
}

/*
 * RFC 3032: label stack entries up to the bottom bit. What follows is not said:
 * an IP version nibble, or a pseudo-wire (RFC 4385: nibble 0 is a control word).
 */
void walk_mpls(struct walk *walk, struct packet *packet)
{
	bool bottom = false;
	unsigned nibble;

	while (!bottom) {
		if (!walk_need_link(walk, packet, 4))
			return;
		if (!packet->carrier.mpls)
			packet->carrier.mpls = (walk_u32(walk->at) >> 12) + 1;
		bottom = walk->at[2] & 1;
		walk_skip(walk, 4);
	}
	if (!walk_need_link(walk, packet, 1))
		return;
	nibble = walk->at[0] >> 4;
	if (nibble == 4 || nibble == 6) {
		walk->next = walk_ip;
		return;
	}
	if (nibble == 0) {
		if (!walk_need_link(walk, packet, 4))
			return;
		walk_skip(walk, 4);
	}
	walk->next = walk_ethernet;
}

/* RFC 2516: version and type 1.1, code, session, length; discovery has an ethertype of its own. */
void walk_pppoe(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;

	if (!walk_need_link(walk, packet, 8))
		return;
	if (at[0] != 0x11 || at[1] != 0) {
		walk_stop(walk, packet, DECODE_not_ip);
		return;
	}
	walk_skip(walk, 6);
	walk_limit(walk, walk_u16(at + 4));
	walk->next = walk_ppp;
}

/* RFC 1661 and 1662: address and control may be left out, the protocol may be one odd byte. */
void walk_ppp(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;
	uint16_t protocol;

	if (!walk_need_link(walk, packet, 2))
		return;
	if ((at[0] == 0x0f || at[0] == 0x8f) && at[1] == 0) {
		walk->next = walk_hdlc;
		return;
	}
	if (at[0] == 0xff && at[1] == 3) {
		walk_skip(walk, 2);
		at = walk->at;
		if (!walk_need_link(walk, packet, 2))
			return;
	}
	if (at[0] & 1) {
		protocol = at[0];
		walk_skip(walk, 1);
	} else {
		protocol = walk_u16(at);
		walk_skip(walk, 2);
	}
	walk_ppp_protocol(walk, packet, protocol);
}

/* Cisco HDLC: address 0f (unicast) or 8f, control 0, ethertype; else PPP in HDLC framing. */
void walk_hdlc(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;

	if (!walk_need_link(walk, packet, 4))
		return;
	if (at[0] == 0xff && at[1] == 3) {
		walk->next = walk_ppp;
		return;
	}
	walk_skip(walk, 4);
	walk_ethertype(walk, packet, walk_u16(at + 2));
}

static void cooked(struct walk *walk, struct packet *packet, uint16_t device, uint16_t protocol)
{
	if (device == 803)	/* ARPHRD_IEEE80211_RADIOTAP: protocol says nothing */
		walk->next = walk_radiotap;
	else if (protocol == 4)	/* 802.2 */
		walk->next = walk_llc;
	else
		walk_ethertype(walk, packet, protocol);
}

/* Linux cooked v1: type 2, device 2, address length 2, address 8, protocol 2. */
void walk_cooked(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;

	if (!walk_need_link(walk, packet, 16))
		return;
	walk_skip(walk, 16);
	cooked(walk, packet, walk_u16(at + 2), walk_u16(at + 14));
}

/* Linux cooked v2: protocol 2, zero 2, interface 4, device 2, type 1, address length 1, address 8. */
void walk_cooked2(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;

	if (!walk_need_link(walk, packet, 20))
		return;
	walk_skip(walk, 20);
	cooked(walk, packet, walk_u16(at + 8), walk_u16(at));
}

static void family(struct walk *walk, struct packet *packet, uint32_t value)
{
	walk_skip(walk, 4);
	switch (value) {
	case 2:
		walk_ethertype(walk, packet, 0x0800);
		break;
	case 10:	/* Linux */
	case 24:	/* NetBSD, OpenBSD */
	case 28:	/* FreeBSD */
	case 30:	/* Darwin */
		walk_ethertype(walk, packet, 0x86dd);
		break;
	default:
		/* some drivers put a link header of their own there, with an ethertype last */
		walk_ethertype(walk, packet, (uint16_t)value);
	}
}

/* BSD loopback: the address family in the byte order of whoever captured. */
void walk_null(struct walk *walk, struct packet *packet)
{
	uint32_t value;

	if (!walk_need_link(walk, packet, 4))
		return;
	value = walk_u32(walk->at);
	family(walk, packet, __builtin_bswap32(value) < 0x100 ? __builtin_bswap32(value) : value);
}

/* OpenBSD loopback: the same in network order. */
void walk_loop(struct walk *walk, struct packet *packet)
{
	if (walk_need_link(walk, packet, 4))
		family(walk, packet, walk_u32(walk->at));
}

/* FDDI: frame control, two addresses, LLC when the control says so. */
void walk_fddi(struct walk *walk, struct packet *packet)
{
	uint8_t control;

	if (!walk_need_link(walk, packet, 13))
		return;
	control = walk->at[0];
	walk_skip(walk, 13);
	if ((control & 0xf0) == 0x50)
		walk->next = walk_llc;
	else
		walk_stop(walk, packet, DECODE_not_ip);
}

/*
 * IEEE 802.11: frame control 2 (type, flags), duration 2, 3 addresses of 6,
 * sequence 2; a 4th address between access points, 2 of QoS, 4 of HT control.
 */
void walk_80211(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;
	size_t header = 24;

	if (!walk_need_link(walk, packet, header))
		return;
	/* data with a body, not encrypted, first fragment: anything else holds no readable packet */
	if ((at[0] & 0x0f) != 0x08 || (at[0] & 0x40) || (at[1] & 0x40) || (at[22] & 0x0f)) {
		walk_stop(walk, packet, DECODE_not_ip);
		return;
	}
	if ((at[1] & 3) == 3)
		header += 6;
	if (at[0] & 0x80) {
		if (!walk_need_link(walk, packet, header + 2))
			return;
		if (at[header] & 0x80) {	/* several subframes in one */
			walk_stop(walk, packet, DECODE_not_ip);
			return;
		}
		header += at[1] & 0x80 ? 6 : 2;
	}
	if (!walk_need_link(walk, packet, header))
		return;
	walk_skip(walk, header);
	walk->next = walk_llc;
}

/* Radiotap: version, pad, length (little-endian), bit map of what follows. */
void walk_radiotap(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;
	size_t header;

	if (!walk_need_link(walk, packet, 8))
		return;
	header = at[2] | (size_t)at[3] << 8;
	if (at[0] != 0 || header < 8) {
		walk_stop(walk, packet, DECODE_link_unknown);
		return;
	}
	if (!walk_need_link(walk, packet, header))
		return;
	walk_skip(walk, header);
	walk->next = walk_80211;
}

/* Linux netfilter log: family 1, version 1, group 2, then length 2, type 2, value, padded to 4. */
void walk_nflog(struct walk *walk, struct packet *packet)
{
	if (!walk_need_link(walk, packet, 4))
		return;
	walk_skip(walk, 4);
	for (;;) {
		const uint8_t *at = walk->at;
		size_t len, padded;

		if (!walk_need_link(walk, packet, 4))
			return;
		len = at[0] | (size_t)at[1] << 8;
		padded = (len + 3) & ~(size_t)3;
		if (len < 4) {
			walk_stop(walk, packet, DECODE_not_ip);
			return;
		}
		if ((at[2] | at[3] << 8) == 9) {	/* NFULA_PAYLOAD, to the end of the packet as captured */
			walk_skip(walk, 4);
			walk_limit(walk, len - 4);
			walk->next = walk_ip;
			return;
		}
		if (!walk_need_link(walk, packet, padded))
			return;
		walk_skip(walk, padded);
	}
}
