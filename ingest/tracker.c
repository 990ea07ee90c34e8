#include "ingest/flow.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

#define EXTRA_BYTES 512u		/* of one flow, at most: a block of struct flow_extra */
#define SWEEP_NS (100 * NS_PER_MS)

/* ---- life of the tracker ---- */

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
	return value ? value : fallback;
}

int tracker_new(const struct tracker_opts *opts, struct tracker **ret_tracker, struct err *err)
{
	struct tracker *tracker = mem_zalloc(sizeof(*tracker));
	struct call_pool_opts call_opts = { .protocols = opts->protocols };
	struct stream_pool_opts stream_opts = { .bytes_max = opts->stream_bytes_max,
						.dissect_off = opts->dissect_off };
	size_t buckets = 4096;

	if (!tracker)
		return err_set(err, E_NO_MEMORY, "no memory for the table of flows");
	tracker->opts = *opts;
	tracker->counters = opts->counters;
	tracker->opts.flows_max = or_default(opts->flows_max, 262144);
	tracker->opts.tcp_idle_ns = or_default(opts->tcp_idle_ns, 300 * NS_PER_SEC);
	tracker->opts.half_open_idle_ns = or_default(opts->half_open_idle_ns, 75 * NS_PER_SEC);
	tracker->opts.udp_idle_ns = or_default(opts->udp_idle_ns, 60 * NS_PER_SEC);
	tracker->opts.other_idle_ns = or_default(opts->other_idle_ns, 30 * NS_PER_SEC);
	tracker->opts.linger_ns = or_default(opts->linger_ns, NS_PER_SEC);
	tracker->opts.active_ns = or_default(opts->active_ns, 60 * NS_PER_SEC);
	tracker->next_id = opts->id_seed;
	tracker->next_number = 1;
	while (buckets < tracker->opts.flows_max)
		buckets *= 2;
	tracker->mask = (uint32_t)buckets - 1;
	tracker->table = mem_array(buckets, sizeof(*tracker->table));
	tracker->calls = call_pool_new(&call_opts);
	tracker->streams = stream_pool_new(&stream_opts);
	tracker->tcp = tcp_pool_new();
	tracker->extras = block_pool_new(tracker->opts.flows_max * EXTRA_BYTES);
	tracker->rollup = rollup_new(opts->rollup_edges_max, opts->counters);
	if (!tracker->table || !tracker->calls || !tracker->streams || !tracker->tcp || !tracker->extras || !tracker->rollup ||
	    tracker_fragments_new(tracker) < 0) {
		tracker_free(tracker);
		return err_set(err, E_NO_MEMORY, "no memory for the table of flows");
	}
	*ret_tracker = tracker;
	return 0;
}

void tracker_free(struct tracker *tracker)
{
	if (!tracker)
		return;
	flows_free(tracker);
	mem_free(tracker->table);
	fragments_free(tracker->fragments);
	rollup_free(tracker->rollup);
	stream_pool_free(tracker->streams);
	tcp_pool_free(tracker->tcp);
	if (tracker->extras)
		block_pool_free(tracker->extras);
	call_pool_free(tracker->calls);
	mem_free(tracker);
}

void tracker_set_batch(struct tracker *tracker, struct batch *batch)
{
	tracker->batch = batch;
}

uint64_t tracker_clock(const struct tracker *tracker)
{
	return tracker->clock_ns;
}

const uint64_t *tracker_undecoded(const struct tracker *tracker)
{
	return tracker->undecoded;
}

/* ---- time ---- */

static uint64_t idle_limit(const struct tracker *tracker, enum idle_class idle)
{
	switch (idle) {
	case IDLE_TCP:
		return tracker->opts.tcp_idle_ns;
	case IDLE_HALF_OPEN:
		return tracker->opts.half_open_idle_ns;
	case IDLE_CLOSING:
		return tracker->opts.linger_ns;
	case IDLE_UDP:
		return tracker->opts.udp_idle_ns;
	default:
		return tracker->opts.other_idle_ns;
	}
}

static void report(struct flow *flow)
{
	flow_list_cut(flow, LIST_REPORT);
	flow_find_parties(flow);
	flow_write_row(flow, 0);
}

/*
 * Its turn for an early row. Most flows are over by then, and an exchange of datagrams is too, though nobody said so:
 * they have one row. An unanswered SYN is what a flood is made of.
 */
static void report_early(struct flow *flow)
{
	struct tracker *tracker = flow->tracker;

	if (flow->over || flow->idle == IDLE_HALF_OPEN || flow->report)
		return;
	if (flow->proto != PROTO_tcp && flow->seen_ns + tracker->opts.early_ns / 2 < tracker->clock_ns)
		return;
	report(flow);
}

/* Once a second: what is kept per second and call. */
static void second_round(struct tracker *tracker)
{
	struct flow *next;

	for (struct flow *flow = tracker->queues[LIST_CALLS].first; flow; flow = next) {
		next = flow->links[LIST_CALLS].next;
		stream_tick(flow->stream, tracker->clock_ns);
		if (!flow->sink.open_calls)
			flow_list_cut(flow, LIST_CALLS);
	}
	for (struct flow *flow = tracker->queues[LIST_DIRTY].first; flow; flow = next) {
		next = flow->links[LIST_DIRTY].next;
		if (flow->second.at >= tracker->clock_ns / NS_PER_SEC)
			continue;
		flow_flush_second(flow);
		flow_list_cut(flow, LIST_DIRTY);
	}
	rollup_tick(tracker->rollup, tracker->batch, tracker->clock_ns);
}

static void sweep(struct tracker *tracker)
{
	uint64_t now_ns = tracker->clock_ns;
	struct flow *flow;

	fragments_tick(tracker->fragments, now_ns);
	for (int idle = 0; idle < IDLE_CLASSES; idle++) {
		uint64_t limit_ns = idle_limit(tracker, (enum idle_class)idle);

		while ((flow = tracker->idle[idle].first) && flow->seen_ns + limit_ns <= now_ns)
			flow_end(flow, FLOW_END_idle);
	}
	while (tracker->opts.early_ns && (flow = tracker->early) &&
	       flow->report_seen_ns + tracker->opts.early_ns <= now_ns) {
		tracker->early = flow->links[LIST_REPORT].next;
		report_early(flow);
	}
	while ((flow = tracker->queues[LIST_REPORT].first) &&
	       flow->report_seen_ns + tracker->opts.active_ns <= now_ns)
		report(flow);
	if (now_ns >= tracker->second_ns) {
		second_round(tracker);
		tracker->second_ns = now_ns + NS_PER_SEC;
	}
	tracker->sweep_ns = now_ns + SWEEP_NS;
}

static void advance(struct tracker *tracker, uint64_t now_ns)
{
	if (now_ns > tracker->clock_ns)
		tracker->clock_ns = now_ns;
	if (tracker->clock_ns >= tracker->sweep_ns)
		sweep(tracker);
}

void tracker_tick(struct tracker *tracker, uint64_t now_ns)
{
	if (tracker->open_pending)
		tracker_open_event(tracker, NULL);
	advance(tracker, now_ns);
}

void tracker_end(struct tracker *tracker)
{
	fragments_flush(tracker->fragments);
	flows_wind_up(tracker);
	for (int idle = 0; idle < IDLE_CLASSES; idle++)
		while (tracker->idle[idle].first)
			flow_end(tracker->idle[idle].first, FLOW_END_capture_end);
	if (tracker->evictions) {
		tracker->eviction_event_ns = 0;
		tracker_event(tracker, EVENT_eviction, tracker->clock_ns, "table_full", tracker->evictions, NULL);
		tracker->evictions = 0;
	}
	rollup_flush(tracker->rollup, tracker->batch);
}

/* ---- one frame ---- */

static void ends_of(const struct frame *frame, const struct packet *packet, struct ends *ends)
{
	unsigned l = frame->at == FRAME_INGRESS;

	ends->ip[0] = packet->src;
	ends->ip[1] = packet->dst;
	ends->port[0] = packet->has_ports ? packet->sport : 0;
	ends->port[1] = packet->has_ports ? packet->dport : 0;
	ends->proto = packet->proto;
	ends->local = frame->at == FRAME_WIRE ? LOCAL_NONE : (uint8_t)l;
	ends->netns = frame->netns;
	ends->segment = packet->carrier.segment;
	ends->quoted = false;
	if (frame->has_sk_tuple && frame->at != FRAME_WIRE) {
		ends->ip[l] = frame->sk_local;
		ends->ip[1 - l] = frame->sk_remote;
		ends->port[l] = frame->sk_lport;
		ends->port[1 - l] = frame->sk_rport;
	}
	ends->hash = ends_hash(ends);
}

static void remember_nat(struct flow *flow, unsigned dir, const struct packet *packet)
{
	struct flow_extra *extra;

	flow->wire_known = true;
	if (ip_eq(&packet->src, &flow->ip[dir]) && packet->sport == flow->port[dir] &&
	    ip_eq(&packet->dst, &flow->ip[1 - dir]) && packet->dport == flow->port[1 - dir])
		return;
	extra = flow_extra_make(flow);
	if (!extra)
		return;
	extra->has_nat = true;
	extra->nat_ip[dir] = packet->src;
	extra->nat_ip[1 - dir] = packet->dst;
	extra->nat_port[dir] = packet->sport;
	extra->nat_port[1 - dir] = packet->dport;
}

struct flow *tracker_flow_known(struct tracker *tracker, const struct frame *frame, const struct packet *packet,
				unsigned *ret_dir)
{
	struct ends ends;

	if (!packet->ip_version)
		return NULL;
	ends_of(frame, packet, &ends);
	return tracker_find(tracker, &ends, ret_dir);
}

struct flow *tracker_flow_quoted(struct tracker *tracker, const struct frame *frame, const struct packet *quoted,
				 uint64_t segment, unsigned *ret_dir)
{
	struct ends ends;

	ends_of(frame, quoted, &ends);
	/* A tunnel within the quotation says it better. */
	if (!quoted->carrier.segment) {
		ends.segment = segment;
		ends.quoted = true;
	}
	return tracker_find(tracker, &ends, ret_dir);
}

/* What the direction's packets travel in now. Where its first one was seen stays its place in the network. */
static void take_carrier(struct flow *flow, unsigned dir, const struct carrier *carrier)
{
	uint64_t segment = flow->heard >> dir & 1 ? flow_segment(flow, dir) : carrier->segment;
	struct flow_extra *extra = flow->extra;

	flow->heard |= (uint8_t)(1u << dir);
	if (!extra && (carrier->segment || carrier->tunnel | carrier->vlan || carrier->mpls))
		extra = flow_extra_make(flow);
	if (!extra)
		return;
	extra->carrier[dir] = *carrier;
	extra->carrier[dir].segment = segment;
}

struct flow *tracker_flow_of(struct tracker *tracker, const struct frame *frame, const struct packet *packet,
			     unsigned *ret_dir)
{
	struct flow *flow = NULL;
	struct ends ends;

	if (!packet->ip_version)
		return NULL;
	ends_of(frame, packet, &ends);
	flow = tracker_find(tracker, &ends, ret_dir);
	if (flow && packet->has_tcp && packet->flags & TCP_SYN && tcp_conn_reuses(&flow->tcp, *ret_dir, packet)) {
		flow_end(flow, FLOW_END_reused);
		flow = NULL;
	}
	if (flow && packet->proto == PROTO_sctp && sctp_assoc_reuses(&flow->sctp, *ret_dir, packet)) {
		flow_end(flow, FLOW_END_reused);
		flow = NULL;
	}
	if (!flow)
		flow = flow_new(tracker, packet, frame, &ends, ret_dir);
	if (!flow)
		return NULL;
	if (!(flow->heard >> *ret_dir & 1) ||
	    __builtin_expect(packet->carrier.tunnel | packet->carrier.vlan | (packet->carrier.mpls != 0), 0))
		take_carrier(flow, *ret_dir, &packet->carrier);
	if (!flow->netns)
		flow->netns = frame->netns;
	if (frame->cookie && frame->cookie != flow->cookie)
		flow->cookie = frame->cookie;	/* the child's, after the listener's */
	if (frame->has_sk_tuple && !flow->wire_known)
		remember_nat(flow, *ret_dir, packet);
	return flow;
}

/*
 * A stream is made with the first payload, so that a scan or a flood costs none;
 * it is told of the handshake then, because offsets count from the SYN.
 */
static void open_stream(struct flow *flow, const struct packet *packet)
{
	flow->stream = stream_new(flow->tracker->streams, &flow->sink, flow->proto, flow->port[0], flow->port[1]);
	if (!flow->stream) {
		flow->no_stream = true;
		return;
	}
	for (unsigned dir = 0; dir < 2 && packet->proto == PROTO_sctp; dir++)
		if (flow->sctp.dir[dir].has_init)
			stream_sctp_start(flow->stream, dir, flow->sctp.dir[dir].init_tsn);
	for (unsigned dir = 0; dir < 2 && packet->has_tcp; dir++) {
		struct packet syn = { .time_ns = packet->time_ns, .link = packet->link, .segments = 1,
				      .ip_version = packet->ip_version, .proto = packet->proto,
				      .has_ports = true, .has_tcp = true, .flags = TCP_SYN };

		if (!flow->tcp.dir[dir].isn_known)
			continue;
		syn.seq = flow->tcp.dir[dir].isn;
		if (dir == 1 && flow->tcp.dir[0].isn_known) {
			syn.flags |= TCP_ACK;
			syn.ack = flow->tcp.dir[0].isn + 1;
		}
		stream_packet(flow->stream, dir, &syn);
	}
}

static void feed_stream(struct flow *flow, unsigned dir, const struct packet *packet)
{
	if (flow->no_stream || flow->second_view || !packet->has_ports || !stream_knows(packet->proto))
		return;
	if (!flow->stream) {
		if (!packet->payload_len || (packet->proto == PROTO_sctp && !sctp_has_data(packet)))
			return;
		open_stream(flow, packet);
		if (!flow->stream)
			return;
	}
	stream_packet(flow->stream, dir, packet);
	if (flow->sink.open_calls && !flow_in(flow, LIST_CALLS))
		flow_list_put(flow, LIST_CALLS);
}

void flow_count(struct flow *flow, unsigned dir, const struct frame *frame, const struct packet *packet)
{
	uint64_t bytes = packet->orig_len + (uint64_t)(packet->segments - 1) * packet->header_bytes;

	if (!flow->start_ns || frame->time_ns < flow->start_ns)
		flow->start_ns = frame->time_ns;
	if (frame->time_ns > flow->end_ns)
		flow->end_ns = frame->time_ns;
	if (frame->time_ns > flow->last_ns)
		flow->last_ns = frame->time_ns;
	if (frame->time_ns < flow->first_ns)
		flow->first_ns = frame->time_ns;	/* a fragment that waited for its first */
	if (!flow_in(flow, LIST_REPORT)) {
		flow->report_seen_ns = flow->tracker->clock_ns;
		flow_list_put(flow, LIST_REPORT);
		if (!flow->tracker->early)
			flow->tracker->early = flow;
	}
	flow->packets[dir] += packet->segments;
	flow->bytes[dir] += bytes;
	if (flow->second_view)
		return;
	if (flow->second.at != frame->time_ns / NS_PER_SEC) {
		if (flow_in(flow, LIST_DIRTY))
			flow_flush_second(flow);
		flow->second.at = frame->time_ns / NS_PER_SEC;
	}
	if (!flow_in(flow, LIST_DIRTY))
		flow_list_put(flow, LIST_DIRTY);
	flow->second.packets[dir] += packet->segments;
	flow->second.bytes[dir] += bytes;
}

static enum idle_class take_sctp(struct flow *flow, unsigned dir, const struct packet *packet)
{
	struct sctp_sum sum;

	sctp_assoc_packet(&flow->sctp, dir, packet, &sum);
	flow->goodput[dir] += sum.goodput_bytes;
	flow->second.retransmits += sum.retransmits;
	flow->second.resets += sum.aborts;
	if (flow->sctp.aborted || flow->sctp.closed)
		flow_over(flow, flow->sctp.aborted ? FLOW_END_rst : FLOW_END_fin);
	return flow->sctp.established || (flow->sctp.dir[0].heard && flow->sctp.dir[1].heard) ? IDLE_TCP : IDLE_HALF_OPEN;
}

void flow_feed(struct flow *flow, unsigned dir, const struct packet *packet)
{
	enum idle_class idle = packet->proto == PROTO_udp ? IDLE_UDP : IDLE_OTHER;

	uint64_t tls_done_ns = flow->sink.tls_done_ns;
	unsigned bits = 0;

	if (packet->has_tcp) {
		bits = tcp_conn_packet(&flow->tcp, dir, packet);
		if (bits & TCP_SEG_RETRANSMIT)
			flow->second.retransmits += packet->segments;
		if (packet->flags & TCP_RST)
			flow->second.resets++;
		/* Neither answered nor alive: what a flood is made of. */
		idle = flow->tcp.dir[0].seen && flow->tcp.dir[1].seen ? IDLE_TCP : IDLE_HALF_OPEN;
		if (!flow->tcp.dir[0].isn_known && flow->tcp.completeness & 8)
			idle = IDLE_TCP;
	} else if (packet->proto == PROTO_sctp && packet->has_ports) {
		idle = take_sctp(flow, dir, packet);
	} else if (packet->proto != PROTO_tcp) {
		flow->goodput[dir] += packet->payload_len;
	} else if (!flow->has_ports) {	/* its header was cut off */
		flow->tcp.dir[dir].goodput_bytes += packet->payload_len;
	}
	feed_stream(flow, dir, packet);
	/* The client's last message of the handshake may bring the first request with it. */
	if (__builtin_expect(flow->sink.tls_done_ns && !flow->first_app_ns, 0)) {
		if (tls_done_ns ? (bits & TCP_SEG_NEW_DATA) && dir == flow->sink.tls_client : flow->sink.tls_app_follows)
			flow->first_app_ns = packet->time_ns;
	}
	if (flow->over)
		flow_touch(flow, IDLE_CLOSING);
	else if (packet->has_tcp && tcp_conn_over(&flow->tcp))
		flow_over(flow, flow->tcp.closed_rst ? FLOW_END_rst : FLOW_END_fin);
	else
		flow_touch(flow, idle);
}

void tracker_skipped(struct tracker *tracker, struct flow *flow, unsigned dir, uint64_t time_ns, uint64_t packets,
		     uint64_t bytes)
{
	struct store_gap gap = { .from_ns = time_ns, .to_ns = time_ns + 1, .source = tracker->opts.source,
				 .packets = packets, .bytes = bytes, .reason = "thinned" };

	counter_add(tracker->counters, COUNTER_frames_skipped_total, packets);
	if (!flow || !flow->second_view)	/* nothing is missing that the first view has */
		batch_gap(tracker->batch, &gap);
	if (!flow)
		return;
	/* Whichever ACK comes next is not the first one. */
	if (flow->proto == PROTO_tcp)
		flow->tcp.dir[0].rtt_sent_ns = flow->tcp.dir[1].rtt_sent_ns = 0;
	flow->packets[dir] += packets;
	flow->bytes[dir] += bytes;
	if (!flow->start_ns)
		flow->start_ns = flow->end_ns = time_ns;
	if (flow->second_view)
		return;
	if (!flow->second.at)
		flow->second.at = time_ns / NS_PER_SEC;
	if (!flow_in(flow, LIST_DIRTY))
		flow_list_put(flow, LIST_DIRTY);
	flow->second.packets[dir] += (uint32_t)packets;
	flow->second.bytes[dir] += bytes;
}

static void count_lost(struct tracker *tracker, struct flow *flow, unsigned dir, const struct frame *frame)
{
	if (flow) {
		if (flow_extra_make(flow))
			flow->extra->lost[dir] += frame->lost_before;
		flow->lost_known = true;
		if (flow->proto == PROTO_tcp)
			flow->tcp.dir[0].rtt_sent_ns = flow->tcp.dir[1].rtt_sent_ns = 0;
	}
	tracker_lost(tracker, frame->time_ns, frame->lost_before, frame->lost_before_bytes, "ring_full");
}

void tracker_count_undecoded(struct tracker *tracker, enum decode_status status, uint64_t frames)
{
	tracker->undecoded[status] += frames;
	counter_add(tracker->counters, COUNTER_frames_undecoded_total, frames);
}

int tracker_keep_frame(struct tracker *tracker, const struct frame *frame, uint64_t number, unsigned segments,
		       const struct flow *flow, unsigned dir)
{
	struct packet_rec rec = { .time_ns = frame->time_ns, .orig_len = frame->orig_len, .iface = frame->iface,
				  .link = frame->link, .frame = frame->bytes, .number = number,
				  .segments = (uint16_t)segments, .dir = (uint8_t)dir };

	if (flow) {
		rec.flow_id = flow->id;
		if (frame->at != FRAME_WIRE && flow->second_view)
			rec.iface = LIVE_IFACE_SECOND;
	}
	return batch_packet(tracker->batch, tracker->opts.source, &rec);
}

/* Both ends spoke at once and were met in the other order where payload is cut: what came first stays as it is. */
static void become_second(struct flow *flow)
{
	flow_flush_second(flow);
	stream_free(flow->stream, CALL_END_gap);
	flow->stream = NULL;
	flow_list_cut(flow, LIST_CALLS);
	flow->second_view = true;
	if (flow->twin)
		flow->twin->second_view = false;
}

int tracker_frame(struct tracker *tracker, const struct frame *frame)
{
	struct packet packet;
	struct flow *flow;
	unsigned dir = 0;

	packet.time_ns = frame->time_ns;
	packet.frame.at = frame->bytes.at;
	packet.frame.len = frame->bytes.len;
	packet.orig_len = frame->orig_len;
	packet.link = frame->link;
	packet.segments = frame->segments ? frame->segments : 1;
	advance(tracker, frame->time_ns);
	counter_bump(tracker->counters, COUNTER_frames_total, 1);
	counter_bump(tracker->counters, COUNTER_frame_bytes_total, frame->orig_len);
	counter_bump(tracker->counters, COUNTER_frame_captured_bytes_total, frame->bytes.len);
	if (frame->bytes.len < frame->orig_len)
		counter_bump(tracker->counters, frame->second ? COUNTER_frames_second_total :
							       COUNTER_frames_cut_total, 1);
	(void)decode_frame(&packet);
	if (packet.in_fragments)
		return tracker_fragment(tracker, frame, &packet);
	if (packet.status != DECODE_OK)
		tracker_count_undecoded(tracker, packet.status, 1);
	flow = tracker_flow_of(tracker, frame, &packet, &dir);
	if (tracker->open_pending)
		tracker_open_event(tracker, flow);
	if (frame->lost_before)
		count_lost(tracker, flow, dir, frame);
	if (frame->skipped_before)
		tracker_skipped(tracker, flow, dir, frame->time_ns, frame->skipped_before,
				frame->skipped_before_bytes);
	if (flow) {
		if (frame->second && !flow->second_view)
			become_second(flow);
		if (frame->cookie)
			flow->lost_known = true;
		flow_count(flow, dir, frame, &packet);
		flow_feed(flow, dir, &packet);
	}
	if (__builtin_expect(packet.proto == PROTO_icmp || packet.proto == PROTO_icmp6, 0))
		tracker_icmp(tracker, frame, &packet);
	return tracker_keep_frame(tracker, frame, tracker->next_number++, packet.segments, flow, dir);
}

void tracker_lost(struct tracker *tracker, uint64_t time_ns, uint64_t frames, uint64_t bytes, const char *reason)
{
	struct store_gap gap = { .from_ns = time_ns, .to_ns = time_ns + 1, .source = tracker->opts.source,
				 .packets = frames, .bytes = bytes };

	counter_add(tracker->counters, COUNTER_frames_lost_total, frames);
	counter_add(tracker->counters, COUNTER_frame_lost_bytes_total, bytes);
	(void)snprintf(gap.reason, sizeof(gap.reason), "%s", reason);
	batch_gap(tracker->batch, &gap);
}

void tracker_status(const struct tracker *tracker, struct json *json)
{
	struct wr text;

	wr_init(&text, 0);
	protocols_text(&tracker->opts.protocols, &text);
	json_kstr(json, "protocols", wr_view(&text));
	wr_release(&text);
}

void tracker_gauges(struct tracker *tracker)
{
	struct counters *counters = tracker->counters;
	struct stream_stats stats;
	struct fragments_stats pieces;

	stream_pool_stats(tracker->streams, &stats);
	fragments_stats(tracker->fragments, &pieces);
	counter_set(counters, COUNTER_flows_open, tracker->flows);
	counter_set(counters, COUNTER_calls_open, call_pool_open(tracker->calls));
	counter_set(counters, COUNTER_calls_refused_total, call_pool_refused(tracker->calls));
	counter_set(counters, COUNTER_stream_gaps_total, stats.gaps);
	counter_set(counters, COUNTER_stream_gap_bytes_total, stats.gap_bytes);
	counter_set(counters, COUNTER_stream_conflicts_total, stats.conflicts);
	counter_set(counters, COUNTER_stream_budget_hits_total, stats.budget_hits);
	counter_set(counters, COUNTER_stream_held_bytes, stats.held_bytes);
	counter_set(counters, COUNTER_streams_off_total, stats.switched_off);
	counter_set(counters, COUNTER_flow_details_refused_total, tcp_pool_refused(tracker->tcp) + tracker->extras_refused);
	counter_set(counters, COUNTER_fragments_total, pieces.pieces);
	counter_set(counters, COUNTER_fragments_whole_total, pieces.whole);
	counter_set(counters, COUNTER_fragments_timeouts_total, pieces.timeouts);
	counter_set(counters, COUNTER_fragments_evicted_total, pieces.evictions);
	counter_set(counters, COUNTER_fragments_bad_total, pieces.bad);
	counter_set(counters, COUNTER_fragments_duplicates_total, pieces.duplicates);
	counter_set(counters, COUNTER_fragments_overlaps_total, pieces.overlaps);
	counter_set(counters, COUNTER_fragments_held_bytes, pieces.held_bytes);
}
