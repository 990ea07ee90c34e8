/*
 * Decode one frame, link layer to transport header. Pure: no I/O, no
 * allocation, no clock; never reads past the captured bytes.
 */
#ifndef WIRE_DECODE_H
#define WIRE_DECODE_H

#include "base/ip.h"
#include "base/view.h"

/* Link types as in pcap files (LINKTYPE_); the ones decoded. */
enum {
	LINK_NULL = 0, LINK_ETHERNET = 1, LINK_PPP = 9, LINK_FDDI = 10, LINK_RAW_BSD = 12, LINK_RAW_BSD2 = 14,
	LINK_PPP_SERIAL = 50, LINK_PPP_ETHER = 51, LINK_RAW = 101, LINK_HDLC = 104, LINK_80211 = 105,
	LINK_LOOP = 108, LINK_LINUX_SLL = 113, LINK_RADIOTAP = 127, LINK_IPV4 = 228, LINK_IPV6 = 229,
	LINK_NFLOG = 239, LINK_LINUX_SLL2 = 276,
};

/* How far decoding came. Everything but DECODE_OK is counted by reason; the frame is kept all the same. */
enum decode_status {
#define DECODE(name, text) DECODE_##name,
#include "wire/decode.def"
#undef DECODE
	DECODE_STATUS_COUNT
};
const char *decode_status_name(enum decode_status status);	/* "bad_ip_header" */
const char *decode_status_text(enum decode_status status);

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32, TCP_ECE = 64, TCP_CWR = 128 };

/* What a packet travels in. Of nested tunnels it is the innermost one's. */
struct carrier {
	/*
	 * Which network the addresses belong to: equal where equal addresses mean the same host, 0 = as captured.
	 * Made of the VLAN ids and of the ids that stand for a network (VNI, GRE key); see wire/README.md.
	 */
	uint64_t segment;
	struct ip src, dst;		/* of the tunnel's IP header; valid when tunnel is set */
	uint16_t sport, dport;		/* of its UDP header; 0 = none. Valid when tunnel is set */
	uint32_t id;			/* of the tunnel, when has_id: VNI, key, TEID, as schema/enums.def says */
	uint32_t mpls;			/* outermost MPLS label + 1; 0 = none */
	uint16_t vlan;			/* outermost VLAN id of the frame, 0 = none */
	uint16_t inner_vlan;		/* innermost one where there are several, 0 = none */
	uint8_t tunnel;			/* TUNNEL_..., 0 = none */
	bool has_id;
};

/* Where the outermost fragment of a frame lies in its datagram. */
struct packet_fragment {
	struct carrier carrier;		/* of that datagram: tunnels around it, none that is in it */
	uint32_t l3_off, data_off;	/* within frame: its IP header, and the bytes it carries */
	uint32_t data_len;		/* those bytes, on the wire */
	uint32_t id;
	uint32_t next_off;		/* within frame, IPv6: the byte that names the fragment header */
	uint16_t off;			/* of the bytes in the datagram's */
	bool more;			/* others follow */
	uint8_t version, proto;		/* proto: of the first header in the bytes */
};

struct packet {
	/* set by the caller before decode_frame */
	uint64_t time_ns;
	struct view frame;		/* captured bytes; borrowed */
	uint32_t orig_len;		/* length on the wire, link header included */
	uint16_t link;			/* LINKTYPE_ */
	uint16_t segments;		/* wire packets in a GSO/GRO super-packet, 1 else */

	/* set by decode_frame */
	enum decode_status status;
	uint8_t ip_version;		/* 4, 6, or 0: not IP (addresses are not valid then) */
	uint8_t proto;			/* IP protocol of the innermost header decoded */
	uint8_t ttl;
	bool fragment;			/* any fragment; ports are valid in the first one only */
	bool has_ports;			/* sport, dport valid: first fragment of TCP, UDP, SCTP; ICMP: see below */
	bool has_tcp;			/* the TCP members are valid */
	bool in_fragments;		/* any IP header on the way was a fragment's: frag is valid */
	struct ip src, dst;
	uint16_t sport, dport;		/* ICMP with an identifier: that in both; other ICMP: type << 8 | code in both */
	uint16_t ethertype;		/* of the innermost link header */
	uint32_t ip_id;
	uint32_t l3_off, l4_off;	/* within frame, innermost headers; l4_off is 0 when there is none */
	uint32_t outer_l3_off;		/* of the outermost IP header of a tunnel, 0 = no tunnel */
	uint32_t header_bytes;		/* link + IP + transport headers: what each segment repeats */
	struct carrier carrier;
	struct view payload;		/* transport payload as far as it was captured; ICMP: the whole message */
	uint32_t payload_len;		/* transport payload on the wire, by the IP length (skb length when that is 0) */

	uint32_t seq, ack;
	uint16_t flags;			/* TCP_... */
	uint16_t window;		/* as in the header, not scaled */
	uint16_t mss;			/* 0 = no option */
	uint8_t wscale;			/* shift + 1; 0 = no option */
	bool sack_permitted;
	bool has_ts;
	uint32_t ts_val, ts_ecr;
	uint8_t sack_blocks;		/* number of SACK blocks present, at most 4 */
	uint32_t sack[4][2];
	struct packet_fragment frag;
};

/*
 * Fill the lower half of *packet. Returns packet->status. What was decoded
 * before a failure stays valid (addresses when only the transport header was cut).
 */
enum decode_status decode_frame(struct packet *packet);
/* The same for what was taken out of a carrier: a datagram put together from its fragments. */
enum decode_status decode_carried(struct packet *packet, const struct carrier *carrier);

#endif
