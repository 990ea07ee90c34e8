/* ICMP errors go to the flow they quote; none is made for a quotation. */
#include "ingest/flow.h"

#include "wire/icmp_error.h"

void tracker_icmp(struct tracker *tracker, const struct frame *frame, const struct packet *packet)
{
	struct icmp_error error;
	struct frame at = *frame;
	struct flow_extra *extra;
	struct flow *flow;
	unsigned dir;

	if (!icmp_error(packet, &error))
		return;
	/* What comes in quotes what went out. */
	at.at = frame->at == FRAME_INGRESS ? FRAME_EGRESS : frame->at == FRAME_EGRESS ? FRAME_INGRESS : FRAME_WIRE;
	at.has_sk_tuple = false;
	flow = tracker_flow_quoted(tracker, &at, &error.quoted, packet->carrier.segment, &dir);
	extra = flow ? flow_extra_make(flow) : NULL;
	if (!extra)
		return;
	extra->icmp_told = true;
	extra->icmp_counts[error.kind]++;
	extra->icmp_type = error.type;
	extra->icmp_code = error.code;
	extra->icmp_from = packet->src;
	if (error.mtu && (!extra->path_mtu[dir] || error.mtu < extra->path_mtu[dir]))
		extra->path_mtu[dir] = error.mtu;
}
