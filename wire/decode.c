/* The driver of the walk through a frame, and the tables that say what follows what. */
#include "wire/decode.h"

#include "schema/schema.h"
#include "wire/decode_walk.h"

/* Real stacks (QinQ, MPLS, GTP, IP, TCP) stay below a dozen. */
#define LAYERS_MAX 24

static const struct {
	const char *name, *text;
} statuses[DECODE_STATUS_COUNT] = {
#define DECODE(n, t) [DECODE_##n] = { #n, t },
#include "wire/decode.def"
#undef DECODE
};

const char *decode_status_name(enum decode_status status)
{
	return (unsigned)status < DECODE_STATUS_COUNT ? statuses[status].name : "unknown";
}

const char *decode_status_text(enum decode_status status)
{
	return (unsigned)status < DECODE_STATUS_COUNT ? statuses[status].text : "unknown";
}

static walk_layer *const link_layers[] = {
	[LINK_NULL] = walk_null,
	[LINK_ETHERNET] = walk_ethernet,
	[LINK_PPP] = walk_ppp,
	[LINK_FDDI] = walk_fddi,
	[LINK_RAW_BSD] = walk_ip,
	[LINK_RAW_BSD2] = walk_ip,
	[LINK_PPP_SERIAL] = walk_ppp,
	[LINK_PPP_ETHER] = walk_pppoe,
	[LINK_RAW] = walk_ip,
	[LINK_HDLC] = walk_hdlc,
	[LINK_80211] = walk_80211,
	[LINK_LOOP] = walk_loop,
	[LINK_LINUX_SLL] = walk_cooked,
	[LINK_RADIOTAP] = walk_radiotap,
	[LINK_IPV4] = walk_ipv4,
	[LINK_IPV6] = walk_ipv6,
	[LINK_NFLOG] = walk_nflog,
	[LINK_LINUX_SLL2] = walk_cooked2,
};

walk_layer *walk_link(uint16_t link)
{
	return link < sizeof(link_layers) / sizeof(link_layers[0]) ? link_layers[link] : NULL;
}

void walk_ethertype(struct walk *walk, struct packet *packet, uint16_t ethertype)
{
	packet->ethertype = ethertype;
	switch (ethertype) {
	case 0x0800: walk->next = walk_ipv4; break;
	case 0x86dd: walk->next = walk_ipv6; break;
	case 0x8100:	/* 802.1Q */
	case 0x88a8:	/* 802.1ad */
	case 0x9100:	/* QinQ before it had a standard */
	case 0x9200:
	case 0x9300: walk->next = walk_vlan; break;
	case 0x8847:
	case 0x8848: walk->next = walk_mpls; break;
	case 0x8864: walk->next = walk_pppoe; break;
	case 0x880b: walk->next = walk_ppp; break;
	case 0x6558: walk->next = walk_ethernet; break;	/* Ethernet in GRE and Geneve */
	case 0x88be: walk->next = walk_erspan2; break;
	case 0x22eb: walk->next = walk_erspan3; break;
	case 0x88e7: walk->next = walk_pbb; break;
	case 0x8926: walk->next = walk_vntag; break;
	default: walk_stop(walk, packet, DECODE_not_ip);
	}
}

void walk_ppp_protocol(struct walk *walk, struct packet *packet, uint16_t protocol)
{
	switch (protocol) {
	case 0x0021: walk_ethertype(walk, packet, 0x0800); break;
	case 0x0057: walk_ethertype(walk, packet, 0x86dd); break;
	case 0x0281:
	case 0x0283: walk_ethertype(walk, packet, 0x8847); break;
	default:
		packet->ethertype = protocol;
		walk_stop(walk, packet, DECODE_not_ip);
	}
}

static void packet_end(struct packet *packet, const struct walk *walk)
{
	packet->header_bytes = (uint32_t)(walk->at - packet->frame.at + walk->cut_header);
	packet->payload = view_make(walk->at, walk_left(walk));
	packet->payload_len = walk->wire < UINT32_MAX ? (uint32_t)walk->wire : UINT32_MAX;
}

/* How a tunnel's own place in the network bears on what is in it. */
enum scope {
	SCOPE_CARRIER,	/* the addresses inside are of the network the tunnel was seen in */
	SCOPE_ID,	/* its id names a network */
	SCOPE_NONE,	/* neither: ids and carriers change while a flow goes on */
};

static enum scope scope_of(uint8_t kind)
{
	switch (kind) {
	case TUNNEL_vxlan:
	case TUNNEL_geneve:
	case TUNNEL_gre:
	case TUNNEL_l2tp:
		return SCOPE_ID;
	case TUNNEL_gtp:	/* a handover changes TEID and base station */
	case TUNNEL_erspan:	/* where the mirror stands has nothing to do with what it shows */
		return SCOPE_NONE;
	default:
		return SCOPE_CARRIER;
	}
}

void walk_segment(struct packet *packet, uint64_t number)
{
	packet->carrier.segment = (packet->carrier.segment ^ number) * 0x9e3779b97f4a7c15u;
}

void walk_tunnel_id(struct packet *packet, uint8_t kind, uint32_t id)
{
	packet->carrier.tunnel = kind;
	packet->carrier.id = id;
	packet->carrier.has_id = true;
	if (scope_of(kind) != SCOPE_ID)
		return;
	packet->carrier.segment = 0;
	walk_segment(packet, (uint64_t)kind << 32 | id);
}

void walk_tunnel(struct walk *walk, struct packet *packet, uint8_t kind, walk_layer *inner)
{
	*walk->outer = *packet;
	packet_end(walk->outer, walk);
	/* of a carrier without ports this is the whole truth, should the inner packet be none */
	walk->outer->status = packet->has_ports ? DECODE_OK : DECODE_l4_unknown;
	walk->has_outer = true;
	packet->carrier.tunnel = kind;
	packet->carrier.has_id = false;
	packet->carrier.src = packet->src;
	packet->carrier.dst = packet->dst;
	packet->carrier.sport = packet->sport;	/* 0 where it has none */
	packet->carrier.dport = packet->dport;
	if (scope_of(kind) == SCOPE_NONE)
		packet->carrier.segment = 0;
	packet->has_ports = packet->fragment = false;
	packet->sport = packet->dport = 0;
	walk->next = inner;
}

/* The tunnel held no IP packet (ARP, a wrong guess by port): its carrier is the flow. */
static bool tunnel_was_empty(enum decode_status status)
{
	switch (status) {
	case DECODE_link_unknown:
	case DECODE_link_cut:
	case DECODE_not_ip:
	case DECODE_ip_cut:
	case DECODE_bad_ip_header:
		return true;
	default:
		return false;
	}
}

static enum decode_status walk_frame(struct packet *packet)
{
	struct packet outer;
	struct walk walk = {
		.at = packet->frame.at,
		.end = packet->frame.at + packet->frame.len,
		.wire = packet->orig_len > packet->frame.len ? packet->orig_len : packet->frame.len,
		.next = walk_link(packet->link),
		.outer = &outer,
	};
	unsigned layers = 0;

	packet->status = DECODE_link_unknown;
	packet->ip_version = packet->proto = packet->ttl = 0;
	packet->fragment = packet->in_fragments = packet->has_ports = packet->has_tcp = false;
	packet->sport = packet->dport = packet->ethertype = 0;
	packet->ip_id = 0;
	packet->l3_off = packet->l4_off = packet->outer_l3_off = 0;
	packet->flags = 0;

	while (walk.next) {
		if (++layers > LAYERS_MAX) {
			walk_stop(&walk, packet, DECODE_depth);
			break;
		}
		walk.next(&walk, packet);
	}
	if (__builtin_expect(walk.has_outer, 0) && tunnel_was_empty(packet->status)) {
		*packet = outer;
		return packet->status;
	}
	packet_end(packet, &walk);
	return packet->status;
}

enum decode_status decode_frame(struct packet *packet)
{
	packet->carrier.segment = 0;
	packet->carrier.mpls = 0;
	packet->carrier.vlan = packet->carrier.inner_vlan = 0;
	packet->carrier.tunnel = 0;
	packet->carrier.has_id = false;
	return walk_frame(packet);
}

enum decode_status decode_carried(struct packet *packet, const struct carrier *carrier)
{
	packet->carrier = *carrier;
	return walk_frame(packet);
}
