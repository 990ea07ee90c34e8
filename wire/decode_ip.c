/* IPv4 (RFC 791), IPv6 (RFC 8200) and the transports on them. The hottest code of an import. */
#include "schema/schema.h"
#include "wire/decode.h"
#include "wire/decode_walk.h"
#include "wire/sctp.h"

/* RFC 8200 4.1 expects each header at most once (destination options twice). */
#define IPV6_EXTENSIONS_MAX 16

enum {
	IP_HOPOPTS = 0, IP_ICMP = 1, IP_IPV4 = 4, IP_TCP = 6, IP_UDP = 17, IP_IPV6 = 41, IP_ROUTING = 43,
	IP_FRAGMENT = 44, IP_GRE = 47, IP_AH = 51, IP_ICMP6 = 58, IP_DSTOPTS = 60, IP_ETHERIP = 97,
	IP_SCTP = 132, IP_MOBILITY = 135, IP_UDPLITE = 136, IP_MPLS = 137, IP_HIP = 139, IP_SHIM6 = 140,
};

static walk_layer walk_ipip, walk_mpls_in_ip, walk_ah;

static walk_layer *const proto_layers[256] = {
	[IP_ICMP] = walk_icmp,
	[IP_IPV4] = walk_ipip,
	[IP_TCP] = walk_tcp,
	[IP_UDP] = walk_udp,
	[IP_IPV6] = walk_ipip,
	[IP_GRE] = walk_gre,
	[IP_AH] = walk_ah,
	[IP_ICMP6] = walk_icmp6,
	[IP_ETHERIP] = walk_etherip,
	[IP_SCTP] = walk_sctp,
	[IP_UDPLITE] = walk_udplite,
	[IP_MPLS] = walk_mpls_in_ip,
};

static inline void walk_proto(struct walk *walk, struct packet *packet, uint8_t proto)
{
	packet->proto = proto;
	packet->l4_off = (uint32_t)(walk->at - packet->frame.at);
	walk->next = proto_layers[proto];
	if (__builtin_expect(!walk->next, 0))
		walk_stop(walk, packet, DECODE_l4_unknown);
}

/* at is the place of an IP header; an outer one gives way to this. */
static inline void begin_ip(const struct walk *walk, struct packet *packet, uint8_t version)
{
	if (__builtin_expect(packet->ip_version != 0, 0) && packet->outer_l3_off == 0)
		packet->outer_l3_off = packet->l3_off;
	packet->ip_version = version;
	packet->l3_off = (uint32_t)(walk->at - packet->frame.at);
	packet->l4_off = 0;
}

/* The bytes from here on are a piece of a datagram. Only the outermost is told: it must be put together first. */
static void in_fragments(const struct walk *walk, struct packet *packet, uint16_t off, bool more, const uint8_t *next)
{
	packet->fragment = true;
	if (packet->in_fragments)
		return;
	packet->in_fragments = true;
	packet->frag = (struct packet_fragment){
		.carrier = packet->carrier,
		.l3_off = packet->l3_off, .data_off = (uint32_t)(walk->at - packet->frame.at),
		.data_len = walk->wire < UINT32_MAX ? (uint32_t)walk->wire : UINT32_MAX,
		.id = packet->ip_id, .off = off, .more = more, .version = packet->ip_version,
		.next_off = (uint32_t)(next ? next - packet->frame.at : 0), .proto = packet->proto,
	};
}

void walk_ipv4(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;
	size_t total, header;
	uint16_t frag;
	uint32_t be;

	if (__builtin_expect(walk_left(walk) < 20, 0)) {
		walk_stop(walk, packet, DECODE_ip_cut);
		return;
	}
	header = (at[0] & 15u) * 4;
	total = walk_u16(at + 2);
	/* 0 is a super-packet too large for the field: then the frame's length counts */
	if (__builtin_expect(at[0] >> 4 != 4 || header < 20 || (total && total < header), 0)) {
		walk_stop(walk, packet, DECODE_bad_ip_header);
		return;
	}
	begin_ip(walk, packet, 4);
	if (__builtin_expect(total != 0, 1))
		walk_limit(walk, total);
	packet->ip_id = walk_u16(at + 4);
	frag = walk_u16(at + 6);
	packet->ttl = at[8];
	memcpy(&be, at + 12, 4);
	packet->src = ip_from_v4(be);
	memcpy(&be, at + 16, 4);
	packet->dst = ip_from_v4(be);
	if (__builtin_expect(walk_left(walk) < header, 0)) {
		packet->proto = at[9];
		walk_stop(walk, packet, walk->wire < header ? DECODE_bad_ip_header : DECODE_ip_cut);
		return;
	}
	walk_skip(walk, header);
	walk_proto(walk, packet, at[9]);
	if (__builtin_expect((frag & 0x3fff) != 0, 0)) {
		in_fragments(walk, packet, (uint16_t)((frag & 0x1fff) * 8), frag & 0x2000, NULL);
		if (frag & 0x1fff)
			walk_stop(walk, packet, DECODE_fragment);
	}
}

/* Walk extension headers. False when the walk has stopped, else *ret_proto is what follows them. */
static bool ipv6_extensions(struct walk *walk, struct packet *packet, uint8_t proto, uint8_t *ret_proto)
{
	const uint8_t *next = walk->at - 34;	/* names the header at walk->at */
	unsigned count;

	for (count = 0; count < IPV6_EXTENSIONS_MAX; count++) {
		const uint8_t *at = walk->at;
		size_t bytes;

		switch (proto) {
		case IP_HOPOPTS:
		case IP_ROUTING:
		case IP_FRAGMENT:
		case IP_DSTOPTS:
		case IP_MOBILITY:
		case IP_HIP:
		case IP_SHIM6:
			break;
		default:
			*ret_proto = proto;
			return true;
		}
		packet->proto = proto;
		bytes = walk_left(walk) < 2 || proto == IP_FRAGMENT ? 8 : at[1] * 8u + 8;
		if (walk_left(walk) < bytes) {
			walk_stop(walk, packet,
				  walk->wire < bytes ? DECODE_bad_ip_header : DECODE_ip_cut);
			return false;
		}
		walk_skip(walk, bytes);
		proto = at[0];
		if (bytes == 8 && packet->proto == IP_FRAGMENT) {
			uint16_t frag = walk_u16(at + 2);

			packet->ip_id = walk_u32(at + 4);
			/* offset 0 and no more to come is an atomic fragment, RFC 6946: a whole packet */
			packet->proto = proto;
			if (frag & 0xfff9)
				in_fragments(walk, packet, frag & 0xfff8, frag & 1, next);
			if (frag & 0xfff8) {
				packet->l4_off = (uint32_t)(walk->at - packet->frame.at);
				walk_stop(walk, packet, DECODE_fragment);
				return false;
			}
		}
		next = at;
	}
	walk_stop(walk, packet, DECODE_depth);
	return false;
}

void walk_ipv6(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;
	size_t body;
	uint8_t proto;

	if (__builtin_expect(walk_left(walk) < 40, 0)) {
		walk_stop(walk, packet, DECODE_ip_cut);
		return;
	}
	if (__builtin_expect(at[0] >> 4 != 6, 0)) {
		walk_stop(walk, packet, DECODE_bad_ip_header);
		return;
	}
	begin_ip(walk, packet, 6);
	body = walk_u16(at + 4);
	packet->ip_id = 0;
	packet->ttl = at[7];
	memcpy(packet->src.b, at + 8, 16);
	memcpy(packet->dst.b, at + 24, 16);
	walk_skip(walk, 40);
	/* 0 is a jumbogram or a super-packet */
	if (body)
		walk_limit(walk, body);
	proto = at[6];
	if (__builtin_expect(proto != IP_TCP && proto != IP_UDP, 0) &&
	    !ipv6_extensions(walk, packet, proto, &proto))
		return;
	walk_proto(walk, packet, proto);
}

/* Raw IP of either version. */
void walk_ip(struct walk *walk, struct packet *packet)
{
	unsigned version;

	if (walk_left(walk) < 1) {
		walk_stop(walk, packet, DECODE_ip_cut);
		return;
	}
	version = walk->at[0] >> 4;
	if (version == 4)
		walk_ethertype(walk, packet, 0x0800);
	else if (version == 6)
		walk_ethertype(walk, packet, 0x86dd);
	else
		walk_stop(walk, packet, DECODE_bad_ip_header);
}

static void walk_ipip(struct walk *walk, struct packet *packet)
{
	walk_tunnel(walk, packet, TUNNEL_ipip, packet->proto == IP_IPV4 ? walk_ipv4 : walk_ipv6);
}

static void walk_mpls_in_ip(struct walk *walk, struct packet *packet)
{
	walk_tunnel(walk, packet, TUNNEL_mpls, walk_mpls_carried);
}

/* Authentication header, RFC 4302: the rest is in the clear. */
static void walk_ah(struct walk *walk, struct packet *packet)
{
	size_t bytes = walk_left(walk) < 12 ? 12 : (walk->at[1] + 2u) * 4;
	uint8_t proto;

	if (walk_left(walk) < bytes) {
		walk_stop(walk, packet, walk->wire < bytes ? DECODE_bad_l4_header : DECODE_l4_cut);
		return;
	}
	proto = walk->at[0];
	walk_skip(walk, bytes);
	walk_proto(walk, packet, proto);
}

/* False when the walk has stopped because bytes of transport header are not there. */
static inline bool need_l4(struct walk *walk, struct packet *packet, size_t bytes)
{
	if (__builtin_expect(walk_left(walk) >= bytes, 1))
		return true;
	walk_stop(walk, packet, walk->wire < bytes ? DECODE_bad_l4_header : DECODE_l4_cut);
	return false;
}

/* Ports stand first in TCP, UDP, UDP-Lite and SCTP: valid even when the rest was cut. */
static inline void take_ports(const struct walk *walk, struct packet *packet)
{
	if (__builtin_expect(walk_left(walk) >= 4, 1)) {
		packet->sport = walk_u16(walk->at);
		packet->dport = walk_u16(walk->at + 2);
		packet->has_ports = true;
	}
}

static void tcp_option(struct packet *packet, const uint8_t *at, unsigned len)
{
	unsigned i;

	switch (at[0]) {
	case 2:
		if (len == 4)
			packet->mss = walk_u16(at + 2);
		break;
	case 3:
		/* RFC 7323 2.3: more than 14 counts as 14 */
		if (len == 3)
			packet->wscale = (uint8_t)((at[2] > 14 ? 14 : at[2]) + 1);
		break;
	case 4:
		packet->sack_permitted = true;
		break;
	case 5:
		packet->sack_blocks = (uint8_t)((len - 2) / 8 > 4 ? 4 : (len - 2) / 8);
		for (i = 0; i < packet->sack_blocks; i++) {
			packet->sack[i][0] = walk_u32(at + 2 + i * 8);
			packet->sack[i][1] = walk_u32(at + 6 + i * 8);
		}
		break;
	case 8:
		if (len == 10) {
			packet->has_ts = true;
			packet->ts_val = walk_u32(at + 2);
			packet->ts_ecr = walk_u32(at + 6);
		}
		break;
	default:
		break;
	}
}

/* A length that lies ends the options, not the packet. */
static void tcp_options(struct packet *packet, const uint8_t *at, const uint8_t *end)
{
	/* nop nop timestamp: what nearly every segment of a modern stack carries */
	if (end - at >= 12 && walk_u32(at) == 0x0101080a) {
		packet->has_ts = true;
		packet->ts_val = walk_u32(at + 4);
		packet->ts_ecr = walk_u32(at + 8);
		at += 12;
	}
	while (at < end && *at != 0) {
		if (*at == 1) {
			at++;
			continue;
		}
		if (end - at < 2 || at[1] < 2 || at[1] > end - at)
			return;
		tcp_option(packet, at, at[1]);
		at += at[1];
	}
}

void walk_tcp(struct walk *walk, struct packet *packet)
{
	const uint8_t *at = walk->at;
	size_t header, have;

	take_ports(walk, packet);
	if (!need_l4(walk, packet, 20))
		return;
	header = (at[12] >> 4) * 4u;
	if (__builtin_expect(header < 20 || header > walk->wire, 0)) {
		walk_stop(walk, packet, DECODE_bad_l4_header);
		return;
	}
	packet->has_tcp = true;
	packet->seq = walk_u32(at + 4);
	packet->ack = walk_u32(at + 8);
	packet->flags = (uint16_t)(at[13] | (at[12] & 1) << 8);
	packet->window = walk_u16(at + 14);
	packet->mss = 0;
	packet->wscale = packet->sack_blocks = 0;
	packet->sack_permitted = packet->has_ts = false;
	/* cut within the options: what is there of them counts, the payload is empty */
	have = walk_left(walk) < header ? walk_left(walk) : header;
	if (have > 20)
		tcp_options(packet, at + 20, at + have);
	walk->at += have;
	walk->wire -= header;
	walk->cut_header = header - have;
	walk_stop(walk, packet, DECODE_OK);
}

void walk_udp(struct walk *walk, struct packet *packet)
{
	walk_layer *inner;
	uint8_t kind;
	size_t len;

	take_ports(walk, packet);
	if (!need_l4(walk, packet, 8))
		return;
	len = walk_u16(walk->at + 4);
	/* 0 is a jumbogram (RFC 2675) or a super-packet: the IP length counts */
	if (len && len < 8) {
		walk_stop(walk, packet, DECODE_bad_l4_header);
		return;
	}
	if (len)
		walk_limit(walk, len);
	walk_skip(walk, 8);
	inner = walk_udp_tunnel(walk, packet->sport, packet->dport, &kind);
	if (inner)
		walk_tunnel(walk, packet, kind, inner);
	else
		walk_stop(walk, packet, DECODE_OK);
}

/* RFC 3828: the length field is the checksum's coverage. */
void walk_udplite(struct walk *walk, struct packet *packet)
{
	take_ports(walk, packet);
	if (!need_l4(walk, packet, 8))
		return;
	walk_skip(walk, 8);
	walk_stop(walk, packet, DECODE_OK);
}

void walk_sctp(struct walk *walk, struct packet *packet)
{
	struct sctp_walk chunks;
	struct sctp_chunk chunk;
	int rc;

	take_ports(walk, packet);
	if (!need_l4(walk, packet, 12))
		return;
	walk_skip(walk, 12);
	chunks = (struct sctp_walk){ view_make(walk->at, walk_left(walk)),
				     walk->wire < UINT32_MAX ? (uint32_t)walk->wire : UINT32_MAX };
	/* what stands before a broken chunk is valid; of a first fragment the last one goes on in the next */
	while ((rc = sctp_next(&chunks, &chunk)) > 0)
		;
	walk_stop(walk, packet, rc < 0 && !packet->fragment ? DECODE_bad_chunk : DECODE_OK);
}

/*
 * ICMP has no ports, so the flow key is made of what a request shares with its
 * answer: the identifier where there is one, else type and code. The same value
 * stands in both ports, as either side may speak first. The payload is the whole
 * message: type, code and sequence number are data to whoever reads it.
 */
static void take_icmp(struct walk *walk, struct packet *packet, bool has_id)
{
	const uint8_t *at = walk->at;

	if (!need_l4(walk, packet, has_id ? 8 : 4))
		return;
	packet->sport = packet->dport = has_id ? walk_u16(at + 4) : (uint16_t)(at[0] << 8 | at[1]);
	packet->has_ports = true;
	walk_stop(walk, packet, DECODE_OK);
}

void walk_icmp(struct walk *walk, struct packet *packet)
{
	uint8_t type = walk_left(walk) ? walk->at[0] : 255;

	/* echo, timestamp, information, address mask; extended echo of RFC 8335 */
	take_icmp(walk, packet, type == 0 || type == 8 || (type >= 13 && type <= 18) || type == 42 ||
					type == 43);
}

void walk_icmp6(struct walk *walk, struct packet *packet)
{
	uint8_t type = walk_left(walk) ? walk->at[0] : 255;

	take_icmp(walk, packet, type == 128 || type == 129 || type == 160 || type == 161);
}
