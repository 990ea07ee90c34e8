/* Which flow a packet belongs to, who opened it, and who is at its ends. */
#include "ingest/flow.h"

#include "base/hash.h"

#define SEGMENTS_MAX 64		/* flows between the same ends and ports in as many networks; one more joins the oldest */

/* ---- lookup ---- */

static inline uint64_t end_hash(const struct ip *ip, uint16_t port)
{
	uint64_t high, low;

	memcpy(&high, ip->b, 8);
	memcpy(&low, ip->b + 8, 8);
	return hash_mix(high ^ (uint64_t)port << 40, low);
}

/* The same for both directions. */
uint32_t ends_hash(const struct ends *ends)
{
	uint64_t sum = end_hash(&ends->ip[0], ends->port[0]) + end_hash(&ends->ip[1], ends->port[1]);

	return (uint32_t)hash_mix(sum, ends->proto);
}

/* Whether the packet's sender is end `end` of the flow, and its receiver the other one. */
bool flow_sender_is(const struct flow *flow, const struct ends *ends, unsigned end)
{
	return flow->port[end] == ends->port[0] && flow->port[1 - end] == ends->port[1] &&
	       ip_eq(&flow->ip[end], &ends->ip[0]) && ip_eq(&flow->ip[1 - end], &ends->ip[1]);
}

uint8_t ends_local(const struct ends *ends, unsigned sender)
{
	if (ends->local == LOCAL_NONE)
		return LOCAL_NONE;
	return (uint8_t)(ends->local == 0 ? sender : 1 - sender);
}

/* How well a flow between the same ends fits the packet's segment, when its end `sender` sent it. */
enum fit { FIT_NO, FIT_UNHEARD, FIT_OTHER_SIDE, FIT_EXACT };

static inline enum fit segment_fit(const struct flow *flow, const struct ends *ends, unsigned sender)
{
	bool heard = flow->heard >> sender & 1;

	if (heard && flow_segment(flow, sender) == ends->segment)
		return FIT_EXACT;
	if (heard && !ends->quoted)
		return FIT_NO;
	return flow->heard >> (1 - sender) & 1 && flow_segment(flow, 1 - sender) == ends->segment ?
	       FIT_OTHER_SIDE : FIT_UNHEARD;
}

struct flow *tracker_find(struct tracker *tracker, const struct ends *ends, unsigned *ret_dir)
{
	struct flow *flow = tracker->table[ends->hash & tracker->mask], *best = NULL, *rival = NULL;
	unsigned rivals = 0, rival_dir = 0;
	enum fit best_fit = FIT_NO;

	for (; flow; flow = flow->chain) {
		if (flow->hash != ends->hash || flow->proto != ends->proto)
			continue;
		if (flow->netns != ends->netns && flow->netns && ends->netns)
			continue;
		for (unsigned sender = 0; sender < 2; sender++) {
			enum fit fit;

			if (flow->local != ends_local(ends, sender) || !flow_sender_is(flow, ends, sender))
				continue;
			fit = segment_fit(flow, ends, sender);
			if (fit == FIT_EXACT) {
				*ret_dir = sender;
				return flow;
			}
			if (fit > best_fit) {
				best_fit = fit;
				best = flow;
				*ret_dir = sender;
			} else if (fit == FIT_NO) {
				rivals++;
				rival = flow;
				rival_dir = sender;
			}
		}
	}
	/* Segments are made up as easily as addresses, but all of these are in one chain. */
	if (!best && rivals >= SEGMENTS_MAX) {
		*ret_dir = rival_dir;
		return rival;
	}
	return best;
}

/* The other end's view of the same conversation: same addresses, observed at the other one. */
struct flow *tracker_find_twin(struct tracker *tracker, const struct ends *ends)
{
	bool loopback = ip_is_loopback(&ends->ip[0]) || ip_is_loopback(&ends->ip[1]);
	struct flow *flow = tracker->table[ends->hash & tracker->mask];

	if (ends->local == LOCAL_NONE)
		return NULL;
	for (; flow; flow = flow->chain) {
		if (flow->hash != ends->hash || flow->proto != ends->proto || flow->twin || flow->over ||
		    (flow->second_view && flow->twin_id))
			continue;
		/* Every namespace has its own 127.0.0.1. */
		if (loopback && flow->netns != ends->netns && flow->netns && ends->netns)
			continue;
		for (unsigned sender = 0; sender < 2; sender++)
			if (flow->local == 1 - ends_local(ends, sender) && flow_sender_is(flow, ends, sender))
				return flow;
	}
	return NULL;
}

/* ---- who opened it ---- */

static bool is_service_port(uint16_t port)
{
	static const uint16_t known[] = {	/* sorted */
		1433, 1521, 1883, 2049, 2181, 2379, 2380, 3000, 3128, 3306, 3389, 3868, 4222, 5000, 5060, 5222, 5353, 5355,
		5432, 5601, 5671, 5672, 5900, 6379, 6443, 6650, 7000, 7687, 8000, 8008, 8080, 8081, 8086, 8088,
		8123, 8125, 8200, 8443, 8500, 8529, 8883, 8888, 9000, 9042, 9090, 9092, 9100, 9200, 9300, 9411, 9418,
		9443, 9800, 9876, 10250, 11211, 15672, 26257, 27017, 27018, 28015, 33060, 50051, 61613, 61616,
	};

	if (port < 1024)
		return port != 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && known[i] <= port; i++)
		if (known[i] == port)
			return true;
	return false;
}

/* 0: the sender opened the conversation; 1: the receiver did. */
unsigned ends_opener(struct tracker *tracker, const struct packet *packet, const struct frame *frame,
		     const struct ends *ends)
{
	bool from_service, to_service;

	if (packet->has_tcp && packet->flags & TCP_SYN)
		return packet->flags & TCP_ACK ? 1 : 0;
	if (tracker->opts.owners && ends->local != LOCAL_NONE && ends->proto == PROTO_tcp) {
		unsigned l = ends->local;
		struct sock_tuple tuple = { ends->ip[l], ends->ip[1 - l], ends->port[l], ends->port[1 - l],
					    ends->proto, ends->netns };
		const struct owned_sock *sock = owners_by_tuple(tracker->opts.owners, &tuple);

		if (!sock)
			sock = owners_by_cookie(tracker->opts.owners, frame->cookie);
		if (sock && (sock->accepted || !sock->existing))
			return sock->accepted ? 1 - l : l;
	}
	if (packet->proto == PROTO_sctp && packet->has_ports && sctp_opener(packet) >= 0)
		return (unsigned)sctp_opener(packet);
	if (!packet->has_ports || packet->proto == PROTO_icmp || packet->proto == PROTO_icmp6)
		return 0;
	from_service = is_service_port(ends->port[0]);
	to_service = is_service_port(ends->port[1]);
	if (from_service != to_service)
		return from_service ? 1 : 0;
	/* Both or neither: below 1024 beats above; else whoever speaks first. */
	if (from_service && (ends->port[0] < 1024) != (ends->port[1] < 1024))
		return ends->port[0] < 1024 ? 1 : 0;
	return 0;
}

/* ---- parties ---- */

void flow_set_party(struct flow *flow, unsigned end, struct party *party)
{
	if (flow->party[end] == party)
		return;
	party_put(flow->tracker->opts.enrich, flow->party[end]);
	flow->party[end] = party_take(party);
	flow_call_place(flow)->flow_id = 0;
}

void flow_find_parties(struct flow *flow)
{
	struct owners *owners = flow->tracker->opts.owners;
	unsigned l = flow->local;

	if (l == LOCAL_NONE || !owners)
		return;
	if (!flow->party[l]) {
		struct sock_tuple tuple = { flow->ip[l], flow->ip[1 - l], flow->port[l], flow->port[1 - l],
					    flow->proto, flow->netns };
		const struct owned_sock *sock = owners_by_tuple(owners, &tuple);

		if (!sock || !sock->party)
			sock = owners_by_cookie(owners, flow->cookie);
		if (sock && sock->party)
			flow_set_party(flow, l, sock->party);
	}
	if (flow->twin) {
		if (!flow->party[1 - l]) {
			/* Its own look first: it may not have been asked yet. */
			struct flow *twin = flow->twin;
			struct sock_tuple tuple = { twin->ip[1 - l], twin->ip[l], twin->port[1 - l], twin->port[l],
						    twin->proto, twin->netns };
			const struct owned_sock *sock = owners_by_tuple(owners, &tuple);

			if (!twin->party[1 - l] && (!sock || !sock->party))
				sock = owners_by_cookie(owners, twin->cookie);
			if (!twin->party[1 - l] && sock && sock->party)
				flow_set_party(twin, 1 - l, sock->party);
			if (twin->party[1 - l])
				flow_set_party(flow, 1 - l, twin->party[1 - l]);
		}
		if (flow->party[l] && !flow->twin->party[l])
			flow_set_party(flow->twin, l, flow->party[l]);
	}
}
