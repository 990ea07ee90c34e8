/* The rows a flow leaves: its reports, its calls, its share of the rollups, events. */
#include "ingest/flow.h"

#include "base/clock.h"
#include "wire/icmp_error.h"

/* ---- who is at an end ---- */

/* Workload, else container, else command, else address. text has room for an address. */
static struct view workload_of(const struct flow *flow, unsigned end, char text[IP_TEXT_LEN])
{
	const struct party *party = flow->party[end];

	if (party && party->workload.len)
		return party->workload;
	return view_make(text, ip_format(&flow->ip[end], text));
}

#define SET_TEXT(prefix, row, member, text)				\
	do {								\
		if ((text).len)						\
			ROW_SET(prefix, row, member, text);		\
	} while (0)

#define SET_PARTY(prefix, row, side, party)				\
	do {								\
		ROW_SET(prefix, row, side##_pid, (party)->pid);		\
		if ((party)->pid_start_ns)				\
			ROW_SET(prefix, row, side##_pid_start_ns, (party)->pid_start_ns); \
		SET_TEXT(prefix, row, side##_comm, (party)->comm);	\
		SET_TEXT(prefix, row, side##_exe, (party)->exe);	\
		if ((party)->cgroup)					\
			ROW_SET(prefix, row, side##_cgroup, (party)->cgroup); \
		SET_TEXT(prefix, row, side##_container, (party)->container); \
		SET_TEXT(prefix, row, side##_node, (party)->node);	\
	} while (0)

/* The columns flows and calls have in common; texts are borrowed. from: which end of the flow is the source. */
#define SET_ENDS(prefix, row, flow, from, src_text, dst_text)		\
	do {								\
		ROW_SET(prefix, row, src_ip, (flow)->ip[from]);		\
		ROW_SET(prefix, row, dst_ip, (flow)->ip[1 - (from)]);	\
		if ((flow)->has_ports) {				\
			ROW_SET(prefix, row, src_port, (flow)->port[from]);	\
			ROW_SET(prefix, row, dst_port, (flow)->port[1 - (from)]);	\
		}							\
		ROW_SET(prefix, row, proto, (flow)->proto);		\
		if ((flow)->netns)					\
			ROW_SET(prefix, row, netns, (flow)->netns);	\
		if ((flow)->party[from])					\
			SET_PARTY(prefix, row, src, (flow)->party[from]);	\
		if ((flow)->party[1 - (from)])				\
			SET_PARTY(prefix, row, dst, (flow)->party[1 - (from)]);	\
		ROW_SET(prefix, row, src_workload, workload_of(flow, from, src_text)); \
		ROW_SET(prefix, row, dst_workload, workload_of(flow, 1 - (from), dst_text)); \
	} while (0)

static uint8_t vantage_of(const struct flow *flow, unsigned src)
{
	if (flow->local == LOCAL_NONE)
		return VANTAGE_wire;
	return flow->local == src ? VANTAGE_client : VANTAGE_server;
}

/* ---- flows ---- */

static void set_tls(struct flow_row *row, const struct flow *flow, uint8_t l7)
{
	if (flow->sink.tls_done_ns)
		ROW_SET(FLOW, row, tls_done_ns, flow->sink.tls_done_ns);
	if (flow->first_app_ns)
		ROW_SET(FLOW, row, first_app_ns, flow->first_app_ns);
	else if (flow->tcp.first_payload_ns && l7 != L7_tls && !flow->second_view)
		ROW_SET(FLOW, row, first_app_ns, flow->tcp.first_payload_ns);
}

static void set_times(struct flow_row *row, const struct tcp_conn *tcp)
{
	if (tcp->syn_ns)
		ROW_SET(FLOW, row, syn_ns, tcp->syn_ns);
	if (tcp->synack_ns)
		ROW_SET(FLOW, row, synack_ns, tcp->synack_ns);
	if (tcp->ack_ns)
		ROW_SET(FLOW, row, ack_ns, tcp->ack_ns);
	/* Clocks that step back make no negative durations. */
	if (tcp->syn_ns && tcp->synack_ns >= tcp->syn_ns)
		ROW_SET(FLOW, row, syn_rtt_ns, tcp->synack_ns - tcp->syn_ns);
	if (tcp->synack_ns && tcp->ack_ns >= tcp->synack_ns)
		ROW_SET(FLOW, row, ack_rtt_ns, tcp->ack_ns - tcp->synack_ns);
	if (tcp->syn_ns && tcp->synack_ns && tcp->ack_ns >= tcp->syn_ns)
		ROW_SET(FLOW, row, handshake_ns, tcp->ack_ns - tcp->syn_ns);
	if (tcp->syn_ns || tcp->synack_ns)
		ROW_SET(FLOW, row, handshake_ambiguous, tcp->ambiguous);
	if (tcp->first_payload_ns)
		ROW_SET(FLOW, row, first_payload_ns, tcp->first_payload_ns);
	if (tcp->first_response_ns)
		ROW_SET(FLOW, row, first_response_ns, tcp->first_response_ns);
}

/* From ns squared; what no 64 bits hold is nearest to their end. */
static uint64_t squares_us(double sum_ns)
{
	double sum = sum_ns / 1e6 + 0.5;

	return sum < 18e18 ? (uint64_t)sum : UINT64_MAX;
}

/* A column of both directions. */
#define SET_BOTH(row, tx, rx, column, member)				\
	do {								\
		ROW_SET(FLOW, row, tx_##column, (tx)->member);		\
		ROW_SET(FLOW, row, rx_##column, (rx)->member);		\
	} while (0)

static void set_health(struct flow_row *row, const struct tcp_conn *tcp)
{
	const struct tcp_dir *tx = &tcp->dir[0], *rx = &tcp->dir[1];
	const struct tcp_trouble *tx_trouble = tcp_trouble(tx), *rx_trouble = tcp_trouble(rx);

	SET_BOTH(row, tx_trouble, rx_trouble, keepalives, keepalives);
	SET_BOTH(row, tx_trouble, rx_trouble, window_full, window_fulls);
	SET_BOTH(row, tx_trouble, rx_trouble, window_probes, window_probes);
	SET_BOTH(row, tx_trouble, rx_trouble, ack_retransmits, retransmits_by_acks);
	SET_BOTH(row, tx_trouble, rx_trouble, timer_retransmits, retransmits_by_timer);
	SET_BOTH(row, tx_trouble, rx_trouble, spurious_retransmits, retransmits_spurious);
	SET_BOTH(row, tx_trouble, rx_trouble, retransmit_bytes, retransmit_bytes);
	SET_BOTH(row, tx_trouble, rx_trouble, gaps, gaps);
	SET_BOTH(row, tx_trouble, rx_trouble, uncaptured_bytes, uncaptured_bytes);
	SET_BOTH(row, tx, rx, in_flight_max_bytes, in_flight_max_bytes);
	if (tcp->scale_known) {
		SET_BOTH(row, tx, rx, window_samples, window_samples);
		SET_BOTH(row, tx, rx, window_sum_bytes, window_sum_bytes);
	}
	if (tcp->reset_phase) {
		ROW_SET(FLOW, row, reset_phase, tcp->reset_phase);
		ROW_SET(FLOW, row, reset_by, tcp->reset_dir);
	}
	ROW_SET(FLOW, row, half_open, tcp->half_open || (tcp->completeness & (2 | 4 | 32)) == 2);
	ROW_SET(FLOW, row, half_closed, tcp_conn_half_closed(tcp));
}

/* What was acknowledged behind the last byte captured is missing too: known only when nothing more comes. */
static void set_tail(struct flow_row *row, const struct tcp_conn *tcp)
{
	uint32_t tx = tcp_conn_tail_bytes(tcp, 0), rx = tcp_conn_tail_bytes(tcp, 1);

	row->tx_missing_bytes += tx;
	row->tx_uncaptured_bytes += tx;
	row->rx_missing_bytes += rx;
	row->rx_uncaptured_bytes += rx;
}

static void set_tcp(struct flow_row *row, const struct tcp_conn *tcp)
{
	const struct tcp_dir *tx = &tcp->dir[0], *rx = &tcp->dir[1];
	const struct tcp_trouble *tx_trouble = tcp_trouble(tx), *rx_trouble = tcp_trouble(rx);

	ROW_SET(FLOW, row, completeness, tcp->completeness);
	SET_BOTH(row, tx_trouble, rx_trouble, retransmits, retransmits);
	SET_BOTH(row, tx_trouble, rx_trouble, out_of_order, out_of_order);
	SET_BOTH(row, tx, rx, resets, resets);
	SET_BOTH(row, tx, rx, fins, fins);
	SET_BOTH(row, tx_trouble, rx_trouble, zero_windows, zero_windows);
	SET_BOTH(row, tx_trouble, rx_trouble, dup_acks, dup_acks);
	SET_BOTH(row, tx_trouble, rx_trouble, missing_bytes, missing_bytes);
	if (tx->mss)
		ROW_SET(FLOW, row, tx_mss, tx->mss);
	if (rx->mss)
		ROW_SET(FLOW, row, rx_mss, rx->mss);
	if (tx->wscale)
		ROW_SET(FLOW, row, tx_window_scale, tx->wscale - 1);
	if (rx->wscale)
		ROW_SET(FLOW, row, rx_window_scale, rx->wscale - 1);
	if (tcp->rtt_samples) {
		ROW_SET(FLOW, row, rtt_samples, tcp->rtt_samples);
		ROW_SET(FLOW, row, rtt_min_ns, tcp->rtt_min_ns);
		ROW_SET(FLOW, row, rtt_max_ns, tcp->rtt_max_ns);
		ROW_SET(FLOW, row, rtt_sum_ns, tcp->rtt_sum_ns);
		ROW_SET(FLOW, row, rtt_sum_squares, squares_us(tcp->rtt_sum_squares));
	}
}

/* INIT, INIT ACK and COOKIE ECHO are what SYN, SYN-ACK and ACK are to TCP. */
static void set_sctp(struct flow_row *row, const struct sctp_assoc *assoc)
{
	const struct sctp_dir *tx = &assoc->dir[0], *rx = &assoc->dir[1];

	if (assoc->init_ns)
		ROW_SET(FLOW, row, syn_ns, assoc->init_ns);
	if (assoc->init_ack_ns)
		ROW_SET(FLOW, row, synack_ns, assoc->init_ack_ns);
	if (assoc->cookie_ns)
		ROW_SET(FLOW, row, ack_ns, assoc->cookie_ns);
	if (assoc->init_ns && assoc->init_ack_ns >= assoc->init_ns)
		ROW_SET(FLOW, row, syn_rtt_ns, assoc->init_ack_ns - assoc->init_ns);
	if (assoc->init_ack_ns && assoc->cookie_ns >= assoc->init_ack_ns)
		ROW_SET(FLOW, row, ack_rtt_ns, assoc->cookie_ns - assoc->init_ack_ns);
	if (assoc->init_ns && assoc->init_ack_ns && assoc->cookie_ns >= assoc->init_ns)
		ROW_SET(FLOW, row, handshake_ns, assoc->cookie_ns - assoc->init_ns);
	if (assoc->init_ns || assoc->init_ack_ns)
		ROW_SET(FLOW, row, handshake_ambiguous, assoc->ambiguous);
	if (assoc->first_data_ns)
		ROW_SET(FLOW, row, first_payload_ns, assoc->first_data_ns);
	if (assoc->first_response_ns)
		ROW_SET(FLOW, row, first_response_ns, assoc->first_response_ns);
	ROW_SET(FLOW, row, tx_retransmits, tx->retransmits);
	ROW_SET(FLOW, row, rx_retransmits, rx->retransmits);
	ROW_SET(FLOW, row, tx_retransmit_bytes, tx->retransmit_bytes);
	ROW_SET(FLOW, row, rx_retransmit_bytes, rx->retransmit_bytes);
	ROW_SET(FLOW, row, tx_out_of_order, tx->out_of_order);
	ROW_SET(FLOW, row, rx_out_of_order, rx->out_of_order);
	ROW_SET(FLOW, row, tx_resets, tx->aborts);
	ROW_SET(FLOW, row, rx_resets, rx->aborts);
	if (assoc->aborted) {
		ROW_SET(FLOW, row, reset_phase, assoc->abort_phase);
		ROW_SET(FLOW, row, reset_by, assoc->abort_dir);
	}
}

static void set_counts(struct flow_row *row, const struct flow *flow)
{
	const struct flow_extra *extra = flow_extra(flow);

	row->tx_packets = flow->packets[0];
	row->rx_packets = flow->packets[1];
	row->tx_bytes = flow->bytes[0];
	row->rx_bytes = flow->bytes[1];
	row->tx_goodput_bytes = flow->proto == PROTO_tcp ? flow->tcp.dir[0].goodput_bytes : flow->goodput[0];
	row->rx_goodput_bytes = flow->proto == PROTO_tcp ? flow->tcp.dir[1].goodput_bytes : flow->goodput[1];
	if (extra->fragmented) {
		ROW_SET(FLOW, row, tx_fragments, extra->fragments[0]);
		ROW_SET(FLOW, row, rx_fragments, extra->fragments[1]);
		ROW_SET(FLOW, row, broken_datagrams, extra->broken_datagrams);
		ROW_SET(FLOW, row, fragment_overlaps, extra->fragment_overlaps);
	}
	if (extra->icmp_told) {
		ROW_SET(FLOW, row, icmp_unreachable, extra->icmp_counts[ICMP_UNREACHABLE]);
		ROW_SET(FLOW, row, icmp_time_exceeded, extra->icmp_counts[ICMP_TIME_EXCEEDED]);
		ROW_SET(FLOW, row, icmp_too_big, extra->icmp_counts[ICMP_TOO_BIG]);
		ROW_SET(FLOW, row, icmp_other, extra->icmp_counts[ICMP_OTHER]);
		ROW_SET(FLOW, row, icmp_type, extra->icmp_type);
		ROW_SET(FLOW, row, icmp_code, extra->icmp_code);
		ROW_SET(FLOW, row, icmp_from, extra->icmp_from);
	}
	if (extra->path_mtu[0])
		ROW_SET(FLOW, row, tx_path_mtu, extra->path_mtu[0]);
	if (extra->path_mtu[1])
		ROW_SET(FLOW, row, rx_path_mtu, extra->path_mtu[1]);
	if (flow->lost_known) {
		ROW_SET(FLOW, row, tx_lost_packets, extra->lost[0]);
		ROW_SET(FLOW, row, rx_lost_packets, extra->lost[1]);
	}
	if (flow->local != LOCAL_NONE && flow->proto == PROTO_tcp) {
		ROW_SET(FLOW, row, tx_kernel_retransmits, extra->kernel_retransmits);
		ROW_SET(FLOW, row, tx_fast_retransmits, extra->fast_retransmits);
	}
}

static void set_nat(struct flow_row *row, const struct flow *flow)
{
	const struct flow_extra *extra = flow->extra;

	for (unsigned end = 0; end < 2; end++) {
		if (ip_eq(&extra->nat_ip[end], &flow->ip[end]) && extra->nat_port[end] == flow->port[end])
			continue;
		if (end == 0) {
			ROW_SET(FLOW, row, nat_src_ip, extra->nat_ip[end]);
			ROW_SET(FLOW, row, nat_src_port, extra->nat_port[end]);
		} else {
			ROW_SET(FLOW, row, nat_dst_ip, extra->nat_ip[end]);
			ROW_SET(FLOW, row, nat_dst_port, extra->nat_port[end]);
		}
	}
}

/* The source's, as far as it was heard; of the destination's what differs. */
static void set_carrier(struct flow_row *row, const struct flow *flow)
{
	unsigned dir = flow->heard & 1 ? 0 : 1;
	const struct carrier *carrier = flow->extra->carrier, *one = &carrier[dir],
			     *other = flow->heard == 3 ? &carrier[1] : one;

	if (!(one->tunnel | one->vlan | other->tunnel | other->vlan) && !one->mpls && !other->mpls)
		return;
	if (one->vlan || other->vlan != one->vlan)
		ROW_SET(FLOW, row, vlan, one->vlan);
	if (other->vlan != one->vlan)
		ROW_SET(FLOW, row, rx_vlan, other->vlan);
	if (one->inner_vlan)
		ROW_SET(FLOW, row, inner_vlan, one->inner_vlan);
	if (one->mpls)
		ROW_SET(FLOW, row, mpls_label, one->mpls - 1);
	/* A server behind a load balancer may answer without the tunnel it was asked through, or the other way about. */
	if (!one->tunnel) {
		one = other;
		dir = 1;
	}
	if (!one->tunnel)
		return;
	if (!other->tunnel)
		other = one;
	ROW_SET(FLOW, row, tunnel, one->tunnel);
	ROW_SET(FLOW, row, tunnel_src_ip, dir ? one->dst : one->src);
	ROW_SET(FLOW, row, tunnel_dst_ip, dir ? one->src : one->dst);
	if (one->has_id)
		ROW_SET(FLOW, row, tunnel_id, one->id);
	if (one->sport | one->dport) {
		ROW_SET(FLOW, row, tunnel_src_port, dir ? one->dport : one->sport);
		ROW_SET(FLOW, row, tunnel_dst_port, dir ? one->sport : one->dport);
	}
	if (one != other && (other->sport | other->dport) &&
	    (other->sport != one->dport || other->dport != one->sport)) {
		ROW_SET(FLOW, row, rx_tunnel_src_port, other->sport);
		ROW_SET(FLOW, row, rx_tunnel_dst_port, other->dport);
	}
	if (one != other && other->has_id && other->id != one->id)
		ROW_SET(FLOW, row, rx_tunnel_id, other->id);
}

/* Counters are of the report: what was written starts again at zero. */
static void reported(struct flow *flow)
{
	struct flow_extra *extra = flow->extra;

	flow->report++;
	flow->start_ns = flow->end_ns = 0;
	memset(flow->packets, 0, sizeof(flow->packets));
	memset(flow->bytes, 0, sizeof(flow->bytes));
	if (extra) {
		memset(extra->lost, 0, sizeof(extra->lost));
		extra->kernel_retransmits = extra->fast_retransmits = 0;
		memset(extra->icmp_counts, 0, sizeof(extra->icmp_counts));
		extra->fragments[0] = extra->fragments[1] = extra->broken_datagrams = extra->fragment_overlaps = 0;
	}
	if (flow->proto == PROTO_tcp) {
		tcp_conn_reported(&flow->tcp);
		return;
	}
	flow->goodput[0] = flow->goodput[1] = 0;
	if (flow->proto == PROTO_sctp)
		sctp_assoc_reported(&flow->sctp);
}

static void set_stream(struct flow_row *row, struct flow *flow)
{
	struct stream_counts counts = stream_take_counts(flow->stream);

	if (counts.conflicts)
		ROW_SET(FLOW, row, stream_conflicts, counts.conflicts);
	if (counts.budget_hits)
		ROW_SET(FLOW, row, stream_budget_hits, counts.budget_hits);
}

void flow_write_row(struct flow *flow, uint8_t end_reason)
{
	struct tracker *tracker = flow->tracker;
	char src_text[IP_TEXT_LEN], dst_text[IP_TEXT_LEN];
	bool silent = !flow->packets[0] && !flow->packets[1];
	uint8_t l7 = flow->stream ? stream_l7(flow->stream) : L7_none;
	struct flow_row row = { 0 };

	row.id = flow->id;
	row.start_ns = silent ? flow->last_ns : flow->start_ns;
	row.end_ns = silent ? flow->last_ns : flow->end_ns;
	row.first_ns = flow->first_ns;
	row.report = flow->report;
	row.state = end_reason ? STATE_closed : STATE_open;
	if (end_reason)
		ROW_SET(FLOW, &row, end_reason, end_reason);
	row.vantage = vantage_of(flow, 0);
	row.view = flow->second_view ? VIEW_second : VIEW_first;
	row.source = tracker->opts.source;
	if (flow->twin_id)
		ROW_SET(FLOW, &row, twin_id, flow->twin_id);
	SET_ENDS(FLOW, &row, flow, 0, src_text, dst_text);
	if (l7 == L7_none && flow->second_view)	/* the first view has the stream */
		l7 = flow->twin && flow->twin->stream ? stream_l7(flow->twin->stream) : flow->twin_l7;
	if (l7 != L7_none)
		ROW_SET(FLOW, &row, l7, l7);
	if (flow->extra)
		set_carrier(&row, flow);
	if (flow->extra && flow->extra->has_nat)
		set_nat(&row, flow);
	set_counts(&row, flow);
	if (flow->stream)
		set_stream(&row, flow);
	if (flow->proto == PROTO_tcp && flow->has_ports) {
		set_times(&row, &flow->tcp);
		set_tls(&row, flow, l7);
		set_tcp(&row, &flow->tcp);
		set_health(&row, &flow->tcp);
		if (end_reason)
			set_tail(&row, &flow->tcp);
	}
	if (flow->proto == PROTO_sctp && flow->has_ports)
		set_sctp(&row, &flow->sctp);
	batch_add(tracker->batch, TABLE_FLOWS, &row);
	if (tracker->opts.batch_full && batch_bytes(tracker->batch) >= tracker->opts.batch_bytes_max) {
		struct batch *next = tracker->opts.batch_full(tracker->opts.batch_full_arg, tracker->batch);

		tracker->batch = next ? next : tracker->batch;
	}
	counter_bump(tracker->counters, COUNTER_flow_rows_total, 1);
	reported(flow);
}

/* ---- rollups ---- */

static void edge_of(const struct flow *flow, unsigned src, uint8_t l7, char src_text[IP_TEXT_LEN],
		    char dst_text[IP_TEXT_LEN], struct rollup_edge *edge)
{
	memset(edge, 0, sizeof(*edge));
	edge->src_workload = workload_of(flow, src, src_text);
	edge->dst_workload = workload_of(flow, 1 - src, dst_text);
	if (flow->party[src])
		edge->src_node = flow->party[src]->node;
	if (flow->party[1 - src])
		edge->dst_node = flow->party[1 - src]->node;
	edge->has_port = flow->has_ports;
	edge->dst_port = edge->has_port ? flow->port[1 - src] : 0;
	edge->proto = flow->proto;
	edge->l7 = l7;
}

void flow_flush_second(struct flow *flow)
{
	struct flow_second *second = &flow->second;
	struct tracker *tracker = flow->tracker;
	char src_text[IP_TEXT_LEN], dst_text[IP_TEXT_LEN];
	struct rollup_counts counts = { 0 };
	struct rollup_times times = { 0 };
	const struct tcp_conn *tcp = &flow->tcp;
	struct rollup_edge edge;

	if (flow->second_view ||
	    !(second->packets[0] | second->packets[1] | second->flows | second->flows_failed))
		return;
	flow_find_parties(flow);
	counts.flows = second->flows;
	counts.flows_failed = second->flows_failed;
	counts.tx_packets = second->packets[0];
	counts.rx_packets = second->packets[1];
	counts.tx_bytes = second->bytes[0];
	counts.rx_bytes = second->bytes[1];
	counts.retransmits = second->retransmits;
	counts.resets = second->resets;
	/* A SYN sent again makes the time anything but one round trip. */
	if (!flow->handshake_told && flow->proto == PROTO_tcp && tcp->syn_ns && tcp->synack_ns >= tcp->syn_ns &&
	    tcp->ack_ns >= tcp->synack_ns) {
		flow->handshake_told = true;
		if (!tcp->ambiguous) {
			rollup_time_set(&times, ROLLUP_HANDSHAKE, tcp->ack_ns - tcp->syn_ns);
			rollup_time_set(&times, ROLLUP_SYN_RTT, tcp->synack_ns - tcp->syn_ns);
		}
	}
	edge_of(flow, 0, flow->stream ? stream_l7(flow->stream) : L7_none, src_text, dst_text, &edge);
	rollup_add(tracker->rollup, tracker->batch, (second->at ? second->at : flow->last_ns / NS_PER_SEC) *
		   NS_PER_SEC, &edge, &counts, &times, NULL);
	*second = (struct flow_second){ .at = second->at };
}

static void call_rollup(struct flow *flow, unsigned src, const struct call_row *row)
{
	char src_text[IP_TEXT_LEN], dst_text[IP_TEXT_LEN];
	struct rollup_counts counts = { .calls = 1 };
	struct rollup_times times = { 0 };
	struct tracker *tracker = flow->tracker;
	struct call_place *at = flow_call_place(flow);
	struct rollup_edge edge;

	counts.client_errors = row->status_class == CLASS_client_error;
	counts.server_errors = row->status_class == CLASS_server_error;
	/* What the recorder missed, or stopped before, says nothing about the server. */
	counts.unanswered = !ROW_HAS(CALL, row, rsp_first_ns) &&
			    (row->end_reason == CALL_END_unanswered || row->end_reason == CALL_END_reset ||
			     row->end_reason == CALL_END_closed);
	if (ROW_HAS(CALL, row, latency_ns))
		rollup_time_set(&times, ROLLUP_LATENCY, row->latency_ns);
	if (ROW_HAS(CALL, row, ttfb_ns))
		rollup_time_set(&times, ROLLUP_TTFB, row->ttfb_ns);
	if (at->flow_id == flow->id && at->src == src && at->l7 == row->l7 &&
	    rollup_add_at(tracker->rollup, row->end_ns, &at->place, &counts, &times))
		return;
	edge_of(flow, src, row->l7, src_text, dst_text, &edge);
	*at = (struct call_place){ .flow_id = flow->id, .src = (uint8_t)src, .l7 = row->l7 };
	rollup_add(tracker->rollup, tracker->batch, row->end_ns, &edge, &counts, &times, &at->place);
}

/* ---- calls ---- */

void flow_write_call(void *arg, const struct call *call)
{
	struct flow *flow = arg;
	struct tracker *tracker = flow->tracker;
	char src_text[IP_TEXT_LEN], dst_text[IP_TEXT_LEN];
	unsigned src = call->req_dir;	/* who asked, also where the flow was first seen from the other side */
	struct call_row *row;

	flow_find_parties(flow);
	call_rollup(flow, src, &call->row);
	row = batch_begin(tracker->batch, TABLE_CALLS, &call->row);
	counter_bump(tracker->counters, COUNTER_call_rows_total, 1);
	if (!row)
		return;
	row->flow_id = flow->id;
	row->vantage = vantage_of(flow, src);
	row->source = tracker->opts.source;
	SET_ENDS(CALL, row, flow, src, src_text, dst_text);
	batch_finish(tracker->batch, TABLE_CALLS);
}

/* ---- events ---- */

struct event_row *tracker_event_row(struct tracker *tracker, uint8_t kind, uint64_t time_ns)
{
	struct event_row *row = batch_row(tracker->batch, TABLE_EVENTS);

	if (!row)
		return NULL;
	row->id = schema_id(time_ns, tracker->next_id++);
	row->start_ns = row->end_ns = time_ns;
	row->kind = kind;
	row->source = tracker->opts.source;
	counter_add(tracker->counters, COUNTER_event_rows_total, 1);
	return row;
}

void tracker_event_flow(struct event_row *row, const struct flow *flow)
{
	if (!row)
		return;
	ROW_SET(EVENT_ROW, row, flow_id, flow->id);
	ROW_SET(EVENT_ROW, row, src_ip, flow->ip[0]);
	ROW_SET(EVENT_ROW, row, dst_ip, flow->ip[1]);
	ROW_SET(EVENT_ROW, row, proto, flow->proto);
	if (flow->has_ports) {
		ROW_SET(EVENT_ROW, row, src_port, flow->port[0]);
		ROW_SET(EVENT_ROW, row, dst_port, flow->port[1]);
	}
}

void tracker_event_party(struct tracker *tracker, struct event_row *row, const struct party *party)
{
	struct batch *batch = tracker->batch;

	if (!row || !party)
		return;
	ROW_SET(EVENT_ROW, row, pid, party->pid);
	SET_TEXT(EVENT_ROW, row, comm, batch_text(batch, party->comm));
	if (party->exe.len)
		ROW_SET(EVENT_ROW, row, exe, batch_text(batch, party->exe));
	if (party->container.len)
		ROW_SET(EVENT_ROW, row, container, batch_text(batch, party->container));
	ROW_SET(EVENT_ROW, row, node, batch_text(batch, party->node));
}

void tracker_event(struct tracker *tracker, uint8_t kind, uint64_t time_ns, const char *reason, uint64_t value,
		   const char *text)
{
	struct event_row *row = tracker_event_row(tracker, kind, time_ns);

	if (!row)
		return;
	if (reason)
		ROW_SET(EVENT_ROW, row, reason, batch_text(tracker->batch, view_str(reason)));
	ROW_SET(EVENT_ROW, row, value, value);
	if (text)
		ROW_SET(EVENT_ROW, row, text, batch_text(tracker->batch, view_str(text)));
	if (tracker->opts.enrich)
		ROW_SET(EVENT_ROW, row, node, batch_text(tracker->batch, enrich_node(tracker->opts.enrich)));
}
