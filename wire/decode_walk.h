/*
 * Inside of wire/decode*.c: the walk through a frame's headers.
 *
 * A layer reads the header at walk->at, fills the packet, moves past the header
 * and names the next layer; the driver in decode.c calls layer after layer, a
 * bounded number of times. To add an encapsulation, write its layer and put it
 * into the table of what precedes it (link type, ethertype, IP protocol, UDP port).
 */
#ifndef WIRE_DECODE_WALK_H
#define WIRE_DECODE_WALK_H

#include "wire/decode.h"

struct walk;
typedef void walk_layer(struct walk *walk, struct packet *packet);

struct walk {
	const uint8_t *at;	/* the header to read next */
	const uint8_t *end;	/* end of its captured bytes */
	size_t wire;		/* bytes from at on, on the wire: never less than end - at */
	size_t cut_header;	/* bytes of the last header that were not captured */
	walk_layer *next;	/* NULL: done, packet->status says how */
	bool has_outer;		/* *outer holds the packet as the tunnel's carrier */
	struct packet *outer;	/* what counts when the tunnel turns out to hold no flow */
};

static inline uint16_t walk_u16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t walk_u32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return __builtin_bswap32(v);
}

static inline size_t walk_left(const struct walk *walk)
{
	return (size_t)(walk->end - walk->at);
}

/* bytes must have been captured. */
static inline void walk_skip(struct walk *walk, size_t bytes)
{
	walk->at += bytes;
	walk->wire -= bytes;
}

/* An inner length says that wire bytes follow: what is behind them is padding. */
static inline void walk_limit(struct walk *walk, size_t wire)
{
	if (wire < walk->wire)
		walk->wire = wire;
	if (walk_left(walk) > walk->wire)
		walk->end = walk->at + walk->wire;
}

static inline void walk_stop(struct walk *walk, struct packet *packet, enum decode_status status)
{
	packet->status = status;
	walk->next = NULL;
}

/* True when bytes more are there; else the walk stops: link header cut. */
static inline bool walk_need_link(struct walk *walk, struct packet *packet, size_t bytes)
{
	if (__builtin_expect(walk_left(walk) >= bytes, 1))
		return true;
	walk_stop(walk, packet, DECODE_link_cut);
	return false;
}

/* Go on with what an ethertype (PPP protocol) names. */
void walk_ethertype(struct walk *walk, struct packet *packet, uint16_t ethertype);
void walk_ppp_protocol(struct walk *walk, struct packet *packet, uint16_t protocol);
/*
 * Keep the carrier before going into its tunnel (TUNNEL_...); its layer tells the id when it has read it. An id that
 * names a network takes the place of the carrier's own VLANs and ids in carrier.segment.
 */
void walk_tunnel(struct walk *walk, struct packet *packet, uint8_t kind, walk_layer *inner);
void walk_tunnel_id(struct packet *packet, uint8_t kind, uint32_t id);
/* A tag, or another number that says which network a frame belongs to; not 0. */
void walk_segment(struct packet *packet, uint64_t number);
/* The layer behind an UDP header by port and content, NULL when it is plain payload. */
walk_layer *walk_udp_tunnel(const struct walk *walk, uint16_t sport, uint16_t dport, uint8_t *ret_kind);
/* The layer of a link type, NULL when unknown. */
walk_layer *walk_link(uint16_t link);

/* decode_link.c */
walk_layer walk_ethernet, walk_vlan, walk_mpls, walk_pppoe, walk_ppp, walk_cooked, walk_cooked2, walk_null,
	walk_loop, walk_hdlc, walk_fddi, walk_80211, walk_radiotap, walk_nflog, walk_llc, walk_pbb, walk_vntag;
/* decode_ip.c */
walk_layer walk_ip, walk_ipv4, walk_ipv6, walk_tcp, walk_udp, walk_udplite, walk_sctp, walk_icmp, walk_icmp6;
/* decode_tunnel.c */
walk_layer walk_gre, walk_etherip, walk_mpls_carried, walk_erspan2, walk_erspan3;

#endif
