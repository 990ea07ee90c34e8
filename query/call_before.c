/* What went before a call on its connection: some protocols can be read in full only from their beginning. */
#include "base/arena.h"
#include "query/flow_packets.h"

#define SLACK_NS	1000000000ull	/* packets are not always in the order of their times */
#define AHEAD_BYTES	((uint64_t)1 << 20)	/* and may be so far before their place in the stream */

struct before_walk {
	unsigned dir;
	size_t bytes_max;
	struct arena *arena;
	uint32_t call_seq;
	bool begun, syn, failed;
	uint32_t base;		/* sequence number of stream offset 0 */
	uint64_t next;
	uint64_t call_off;	/* how much there was before the call */
	struct assembly all;
};

static bool begin(struct before_walk *walk, const struct packet *packet, uint32_t seq)
{
	walk->begun = true;
	walk->syn = packet->flags & TCP_SYN;
	walk->base = seq;
	walk->call_off = walk->call_seq - seq;
	if (walk->call_off > walk->bytes_max) {
		walk->failed = true;
		return false;
	}
	walk->all.len = (size_t)walk->call_off;
	walk->all.at = arena_array(walk->arena, walk->all.len + 1, 1);
	walk->all.mask = arena_array(walk->arena, walk->all.len / 8 + 1, 1);
	walk->failed = !walk->all.at || !walk->all.mask;
	return !walk->failed;
}

static bool add_packet(void *arg, const struct packet_rec *rec, const struct packet *packet)
{
	struct before_walk *walk = arg;
	uint32_t seq = packet->seq + !!(packet->flags & TCP_SYN);
	uint64_t off;

	if (rec->dir != walk->dir || !packet->has_tcp)
		return true;
	if (!walk->begun && !begin(walk, packet, seq))
		return false;
	/* 32 bits wrap: the offset nearest to where the stream is */
	off = walk->next + (uint64_t)(int64_t)(int32_t)(seq - (walk->base + (uint32_t)walk->next));
	if (off > UINT64_MAX / 2)	/* before the first segment seen */
		return true;
	walk->next = off + packet->payload_len;
	if (walk->next > walk->call_off + AHEAD_BYTES) {
		walk->failed = true;	/* the call is some 4 GiB further on than its sequence number tells */
		return false;
	}
	if (off < walk->call_off)
		assembly_add(&walk->all, (uint32_t)off, packet->payload);
	return true;
}

/* Where the bytes behind the last hole begin. */
static size_t last_hole(const struct assembly *all)
{
	size_t i = all->len;

	while (i > 0 && all->mask[(i - 1) / 8] >> (i - 1) % 8 & 1)
		i--;
	return i;
}

static int half_before(struct store *store, const struct call_row *call, const struct flow_row *flow, struct before_walk *walk,
		       uint64_t to_ns, struct view *ret_bytes, bool *ret_whole, struct err *err)
{
	struct flow_packets packets = {
		.flow_id = call->flow_id,
		.from_ns = flow->first_ns > SLACK_NS ? flow->first_ns - SLACK_NS : 0,
		.to_ns = to_ns + SLACK_NS,
		.fn = add_packet,
		.arg = walk,
	};
	int rc = flow_packets_walk(store, &packets, err);
	size_t hole;

	if (rc < 0 || walk->failed || !walk->begun)
		return rc;
	hole = last_hole(&walk->all);
	*ret_bytes = view_make(walk->all.at + hole, walk->all.len - hole);
	*ret_whole = walk->syn && !hole;
	return 0;
}

int query_call_before(struct store *store, const struct call_row *call, struct arena *arena, struct query_bytes *bytes,
		      struct err *err)
{
	const struct proto_ops *proto = proto_by_id(call->l7);
	struct before_walk request = { .dir = bytes->request_dir, .arena = arena, .call_seq = call->req_seq };
	struct before_walk response = { .dir = !bytes->request_dir, .arena = arena, .call_seq = call->rsp_seq };
	struct flow_row flow;
	int rc = 0;

	if (!proto || !proto->before_bytes || (ROW_HAS(CALL, call, proto) && call->proto != PROTO_tcp) ||
	    query_flow(store, call->flow_id, arena, &flow, NULL) < 0)
		return 0;
	request.bytes_max = response.bytes_max = proto->before_bytes;
	if (ROW_HAS(CALL, call, req_seq) && bytes->request.len)
		rc = half_before(store, call, &flow, &request, call->start_ns, &bytes->before.request,
				 &bytes->before.request_whole, err);
	if (rc == 0 && ROW_HAS(CALL, call, rsp_seq) && ROW_HAS(CALL, call, rsp_first_ns) && bytes->response.len)
		rc = half_before(store, call, &flow, &response, call->rsp_first_ns, &bytes->before.response,
				 &bytes->before.response_whole, err);
	return rc;
}
