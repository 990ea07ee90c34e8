/*
 * Tunnels. The flow is the innermost one; the carrier counts when there is no
 * packet inside. A tunnel on an UDP port is believed only when its header is sane:
 * the port may as well be some client's own.
 */
#include "schema/schema.h"
#include "wire/decode.h"
#include "wire/decode_walk.h"

/* RFC 2784, 2890; version 1 is PPTP's, RFC 2637. Flags 2, protocol 2, then what the flags say. */
void walk_gre(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;
	uint16_t flags, protocol;
	size_t header = 4, key;

	if (walk_left(walk) < header) {
		walk_stop(walk, packet, DECODE_l4_cut);
		return;
	}
	flags = walk_u16(at);
	protocol = walk_u16(at + 2);
	/* source routing was taken out of the standard */
	if ((flags & 7) > 1 || (flags & 0x4000)) {
		walk_stop(walk, packet, DECODE_l4_unknown);
		return;
	}
	walk_tunnel(walk, packet, TUNNEL_gre, NULL);
	key = header + (flags & 0x8000 ? 4u : 0);
	header = key + (flags & 0x2000 ? 4u : 0) + (flags & 0x1000 ? 4u : 0) +
		  ((flags & 7) == 1 && (flags & 0x80) ? 4u : 0);
	if (!walk_need_link(walk, packet, header))
		return;
	walk_skip(walk, header);
	if (flags & 0x2000)	/* in version 1 its upper half is the length of this packet */
		walk_tunnel_id(packet, TUNNEL_gre, walk_u32(at + key) & ((flags & 7) == 1 ? 0xffff : UINT32_MAX));
	/* without a sequence number ERSPAN is of type I: no header of its own */
	if (protocol == 0x88be && !(flags & 0x1000)) {
		packet->carrier.tunnel = TUNNEL_erspan;
		packet->carrier.has_id = false;
		packet->carrier.segment = 0;
		walk->next = walk_ethernet;
	} else {
		walk_ethertype(walk, packet, protocol);
	}
}

void walk_etherip(struct walk *walk, struct packet *packet)
{
	walk_tunnel(walk, packet, TUNNEL_etherip, walk_ethernet);
	if (walk_need_link(walk, packet, 2))
		walk_skip(walk, 2);
}

/* Version 4 bits, VLAN 12, flags 6, session 10: the same in types II and III. */
static void erspan_session(const struct walk *walk, struct packet *packet)
{
	walk_tunnel_id(packet, TUNNEL_erspan, walk_u16(walk->at + 2) & 0x3ff);
	packet->carrier.segment = 0;
}

void walk_erspan2(struct walk *walk, struct packet *packet)
{
	if (!walk_need_link(walk, packet, 8))
		return;
	erspan_session(walk, packet);
	walk_skip(walk, 8);
	walk->next = walk_ethernet;
}

/* The last bit of its 12 bytes announces 8 more, platform specific. */
void walk_erspan3(struct walk *walk, struct packet *packet)
{
	size_t header;

	if (!walk_need_link(walk, packet, 12))
		return;
	header = walk->at[11] & 1 ? 20 : 12;
	if (!walk_need_link(walk, packet, header))
		return;
	erspan_session(walk, packet);
	walk_skip(walk, header);
	walk->next = walk_ethernet;
}

/* ---- on UDP: a guess that looks, and the layer that goes on; the guess has checked the fixed part ---- */

/* RFC 7348: flags (I set; G of the group policy draft), 3 bytes, network id 3, zero 1. */
static bool is_vxlan(const struct walk *walk)
{
	return walk_left(walk) >= 8 + 14 && (walk->at[0] & 0x7f) == 0x08 && walk->at[7] == 0;
}

static uint32_t u24(const uint8_t *at)
{
	return walk_u32(at) >> 8;
}

static void walk_vxlan(struct walk *walk, struct packet *packet)
{
	walk_tunnel_id(packet, TUNNEL_vxlan, u24(walk->at + 4));
	walk_skip(walk, 8);
	walk->next = walk_ethernet;
}

/* VXLAN-GPE: I set, and the protocol in the fourth byte; P ought to be set with it, but senders forget. */
static bool is_vxlan_gpe(const struct walk *walk)
{
	const uint8_t *at = walk->at;

	return walk_left(walk) >= 8 && (at[0] & 0xc8) == 0x08 && at[7] == 0 && at[3] >= 1 && at[3] <= 5;
}

static void walk_vxlan_gpe(struct walk *walk, struct packet *packet)
{
	uint8_t protocol = walk->at[3];

	walk_tunnel_id(packet, TUNNEL_vxlan, u24(walk->at + 4));
	walk_skip(walk, 8);
	switch (protocol) {
	case 1:
	case 2: walk->next = walk_ip; break;
	case 3: walk->next = walk_ethernet; break;
	case 5: walk->next = walk_mpls; break;
	default: walk_stop(walk, packet, DECODE_not_ip);
	}
}

/* RFC 8926: version 2 bits, option words 6 bits, flags, protocol 2, network id 3, zero 1, options. */
static bool is_geneve(const struct walk *walk)
{
	return walk_left(walk) >= 8 && (walk->at[0] & 0xc0) == 0 && (walk->at[1] & 0x3f) == 0 &&
	       walk->at[7] == 0 && walk_left(walk) >= 8u + (walk->at[0] & 0x3f) * 4u;
}

static void walk_geneve(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;

	walk_tunnel_id(packet, TUNNEL_geneve, u24(at + 4));
	walk_skip(walk, 8u + (at[0] & 0x3f) * 4u);
	walk_ethertype(walk, packet, walk_u16(at + 2));
}

/* 3GPP TS 29.281: version 1 and flags, type (255 = a user's packet), length 2, tunnel 4. */
static bool is_gtpu(const struct walk *walk)
{
	return walk_left(walk) >= 8 && (walk->at[0] & 0xf0) == 0x30 && walk->at[1] == 255;
}

static void walk_gtpu(struct walk *walk, struct packet *packet)
{
	uint8_t flags = walk->at[0], next;

	walk_limit(walk, walk_u16(walk->at + 2) + 8u);
	if (!walk_need_link(walk, packet, 8))
		return;
	walk_tunnel_id(packet, TUNNEL_gtp, walk_u32(walk->at + 4));
	walk_skip(walk, 8);
	walk->next = walk_ip;
	if (!(flags & 7))
		return;
	/* sequence 2, N-PDU 1, next extension 1: all there when any of them is */
	if (!walk_need_link(walk, packet, 4))
		return;
	next = flags & 4 ? walk->at[3] : 0;
	walk_skip(walk, 4);
	while (next) {
		size_t bytes = walk_left(walk) ? walk->at[0] * 4u : 4;

		if (bytes == 0) {
			walk_stop(walk, packet, DECODE_not_ip);
			return;
		}
		if (!walk_need_link(walk, packet, bytes))
			return;
		next = walk->at[bytes - 1];
		walk_skip(walk, bytes);
	}
}

/* RFC 4380: authentication and origin before an IPv6 packet, both optional. */
static bool is_teredo(const struct walk *walk)
{
	return walk_left(walk) >= 40 &&
	       (walk->at[0] >> 4 == 6 || (walk->at[0] == 0 && walk->at[1] <= 1));
}

static void walk_teredo(struct walk *walk, struct packet *packet)
{
	if (walk->at[0] == 0 && walk->at[1] == 1) {
		size_t bytes = 13u + walk->at[2] + walk->at[3];

		if (!walk_need_link(walk, packet, bytes))
			return;
		walk_skip(walk, bytes);
	}
	if (walk_left(walk) >= 8 && walk->at[0] == 0 && walk->at[1] == 0)
		walk_skip(walk, 8);
	walk->next = walk_ipv6;
}

/* RFC 2661: flags 2 (T control, L length, S sequence, O offset, P priority; version 2), ids 4, PPP. */
static bool is_l2tp(const struct walk *walk)
{
	return walk_left(walk) >= 8 && (walk_u16(walk->at) & ~0x4b00) == 2;
}

static void walk_l2tp(struct walk *walk, struct packet *packet)
{
	uint16_t flags = walk_u16(walk->at);
	size_t header = 6 + (flags & 0x4000 ? 2u : 0) + (flags & 0x0800 ? 4u : 0);

	if (flags & 0x0200) {
		if (!walk_need_link(walk, packet, header + 2))
			return;
		header += 2u + walk_u16(walk->at + header);
	}
	if (!walk_need_link(walk, packet, header))
		return;
	walk_tunnel_id(packet, TUNNEL_l2tp, walk_u32(walk->at + (flags & 0x4000 ? 4 : 2)));
	walk_skip(walk, header);
	walk->next = walk_ppp;
}

/* RFC 4023 in IP, RFC 7510 on UDP: the outermost label stands for the tunnel. */
void walk_mpls_carried(struct walk *walk, struct packet *packet)
{
	if (walk_left(walk) >= 4)
		walk_tunnel_id(packet, TUNNEL_mpls, walk_u32(walk->at) >> 12);
	walk_mpls(walk, packet);
}

static walk_layer *by_port(const struct walk *walk, uint16_t port, uint8_t *ret_kind)
{
	switch (port) {
	case 1701: *ret_kind = TUNNEL_l2tp; return is_l2tp(walk) ? walk_l2tp : NULL;
	case 2152: *ret_kind = TUNNEL_gtp; return is_gtpu(walk) ? walk_gtpu : NULL;
	case 3544: *ret_kind = TUNNEL_teredo; return is_teredo(walk) ? walk_teredo : NULL;
	case 4789:
	case 8472: *ret_kind = TUNNEL_vxlan; return is_vxlan(walk) ? walk_vxlan : NULL;	/* 8472: Linux, at first */
	case 4790: *ret_kind = TUNNEL_vxlan; return is_vxlan_gpe(walk) ? walk_vxlan_gpe : NULL;
	case 6081: *ret_kind = TUNNEL_geneve; return is_geneve(walk) ? walk_geneve : NULL;
	case 6635: *ret_kind = TUNNEL_mpls; return walk_left(walk) >= 4 ? walk_mpls_carried : NULL;
	default: return NULL;
	}
}

walk_layer *walk_udp_tunnel(const struct walk *walk, uint16_t sport, uint16_t dport, uint8_t *ret_kind)
{
	walk_layer *layer = by_port(walk, dport, ret_kind);

	return layer ? layer : by_port(walk, sport, ret_kind);
}
