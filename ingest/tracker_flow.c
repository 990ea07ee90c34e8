/* The life of a flow: its lists, its birth, its end, and who gives way when the table is full. */
#include "ingest/flow.h"

#include "base/clock.h"
#include "base/mem.h"

#define SLAB_FLOWS 512u
#define SLABS_MAX UINT16_MAX	/* 33 million flows */
#define TRIM_FLOWS 16384u	/* at the end: memory goes back so often */

/* As README.md says, for the sum of an import's memory. */
_Static_assert(sizeof(struct flow) <= 720, "a flow costs more than is stated");

struct flow_slab {
	unsigned used;
	struct flow flows[SLAB_FLOWS];
};

/* ---- lists ---- */

static struct flow_queue *queue_of(struct flow *flow, enum flow_list list)
{
	return list == LIST_IDLE ? &flow->tracker->idle[flow->idle] : &flow->tracker->queues[list];
}

void flow_list_cut(struct flow *flow, enum flow_list list)
{
	struct flow_queue *queue = queue_of(flow, list);
	struct flow_link *link = &flow->links[list];

	if (!flow_in(flow, list))
		return;
	if (list == LIST_REPORT && flow->tracker->early == flow)
		flow->tracker->early = link->next;
	flow->lists &= (uint8_t)~(1u << list);
	if (link->prev)
		link->prev->links[list].next = link->next;
	else
		queue->first = link->next;
	if (link->next)
		link->next->links[list].prev = link->prev;
	else
		queue->last = link->prev;
	*link = (struct flow_link){ 0 };
}

void flow_list_put(struct flow *flow, enum flow_list list)
{
	struct flow_queue *queue = queue_of(flow, list);
	struct flow_link *link = &flow->links[list];

	*link = (struct flow_link){ .prev = queue->last };
	flow->lists |= (uint8_t)(1u << list);
	if (queue->last)
		queue->last->links[list].next = flow;
	else
		queue->first = flow;
	queue->last = flow;
}

/* The flow has just been active: to the end of its idle list. */
void flow_touch(struct flow *flow, enum idle_class idle)
{
	flow->seen_ns = flow->tracker->clock_ns;
	if (flow->idle == idle && flow_in(flow, LIST_IDLE) && flow->tracker->idle[idle].last == flow)
		return;
	flow_list_cut(flow, LIST_IDLE);
	flow->idle = idle;
	flow_list_put(flow, LIST_IDLE);
}

/* ---- birth and death ---- */

static int new_slab(struct tracker *tracker)
{
	struct flow_slab *slab;

	if (tracker->slabs_count == SLABS_MAX ||
	    mem_grow((void **)&tracker->slabs, &tracker->slabs_cap, tracker->slabs_count,
		     sizeof(*tracker->slabs)) < 0)
		return E_NO_MEMORY;
	slab = mem_zalloc(sizeof(*slab));
	if (!slab)
		return E_NO_MEMORY;
	for (unsigned i = SLAB_FLOWS; i-- > 0;) {
		slab->flows[i].slab = (uint16_t)tracker->slabs_count;
		slab->flows[i].chain = tracker->free_first;
		tracker->free_first = &slab->flows[i];
	}
	tracker->slabs[tracker->slabs_count++] = slab;
	return 0;
}

/* One event a second says how many flows had to end early. */
static void note_eviction(struct tracker *tracker)
{
	counter_add(tracker->counters, COUNTER_flows_evicted_total, 1);
	tracker->evictions++;
	if (tracker->clock_ns < tracker->eviction_event_ns)
		return;
	tracker_event(tracker, EVENT_eviction, tracker->clock_ns, "table_full", tracker->evictions, NULL);
	tracker->evictions = 0;
	tracker->eviction_event_ns = tracker->clock_ns + NS_PER_SEC;
}

/* Room for another flow: those that are over first, then half-open ones, then who was silent longest. */
static void evict_one(struct tracker *tracker)
{
	static const enum idle_class rest[] = { IDLE_OTHER, IDLE_UDP, IDLE_TCP };
	struct flow *victim = tracker->idle[IDLE_CLOSING].first;

	if (victim) {
		flow_end(victim, victim->end_reason);
		return;
	}
	victim = tracker->idle[IDLE_HALF_OPEN].first;
	for (size_t i = 0; i < 3 && (!victim || victim->idle != IDLE_HALF_OPEN); i++) {
		struct flow *first = tracker->idle[rest[i]].first;

		if (first && (!victim || first->seen_ns < victim->seen_ns))
			victim = first;
	}
	if (!victim)
		return;
	flow_end(victim, FLOW_END_evicted);
	note_eviction(tracker);
}

struct flow *flow_new(struct tracker *tracker, const struct packet *packet, const struct frame *frame,
		      const struct ends *ends, unsigned *ret_dir)
{
	struct flow *twin = tracker_find_twin(tracker, ends), *flow;
	uint16_t slab;
	unsigned dir = twin ? !flow_sender_is(twin, ends, 0) : ends_opener(tracker, packet, frame, ends);

	if (tracker->flows >= tracker->opts.flows_max)
		evict_one(tracker);
	/* The one evicted may have been the twin. */
	if (twin && !twin->id)
		twin = NULL;
	if (!tracker->free_first && new_slab(tracker) < 0)
		return NULL;
	flow = tracker->free_first;
	tracker->free_first = flow->chain;
	slab = flow->slab;
	memset(flow, 0, sizeof(*flow));
	flow->slab = slab;
	tracker->slabs[slab]->used++;
	flow->tracker = tracker;
	flow->hash = ends->hash;
	flow->proto = ends->proto;
	/* ICMP's identifier, or type and code, tell flows apart but are no ports. */
	flow->has_ports = packet->has_ports && packet->proto != PROTO_icmp && packet->proto != PROTO_icmp6;
	flow->local = ends_local(ends, dir);
	for (unsigned end = 0; end < 2; end++) {
		flow->ip[end] = ends->ip[end ^ dir];
		flow->port[end] = ends->port[end ^ dir];
	}
	flow->netns = ends->netns;
	flow->cookie = frame->cookie;
	flow->first_ns = flow->last_ns = frame->time_ns;
	do {	/* 0 stands for none */
		flow->id = schema_id(flow->first_ns, tracker->next_id++);
	} while (!flow->id);
	flow->sink = (struct call_sink){ .pool = tracker->calls, .next_id = &tracker->next_id,
					 .emit = flow_write_call, .arg = flow };
	flow->no_stream = tracker->opts.dissect_off;
	if (packet->proto == PROTO_tcp)
		tcp_conn_init(&flow->tcp, tracker->tcp);
	/* At an end only its own data measures the network. */
	if (flow->local != LOCAL_NONE && packet->proto == PROTO_tcp)
		flow->tcp.rtt_dirs = (uint8_t)(1u << flow->local);
	if (twin) {
		flow->twin = twin;
		flow->twin_id = twin->id;
		twin->twin = flow;
		twin->twin_id = flow->id;
	}
	/* The source may know of another end that has not been seen here yet. */
	flow->second_view = twin ? !twin->second_view : frame->second;
	flow->chain = tracker->table[flow->hash & tracker->mask];
	tracker->table[flow->hash & tracker->mask] = flow;
	tracker->flows++;
	flow->second.flows = 1;
	counter_add(tracker->counters, COUNTER_flows_opened_total, 1);
	flow_touch(flow, IDLE_OTHER);
	flow_find_parties(flow);
	*ret_dir = dir;
	return flow;
}

static uint8_t call_end_of(uint8_t flow_end_reason)
{
	switch (flow_end_reason) {
	case FLOW_END_rst:
		return CALL_END_reset;
	case FLOW_END_idle:
		return CALL_END_unanswered;
	case FLOW_END_evicted:
		return CALL_END_evicted;
	case FLOW_END_capture_end:
		return CALL_END_capture_end;
	default:
		return CALL_END_closed;
	}
}

static void slab_free(struct tracker *tracker, size_t slab)
{
	mem_free(tracker->slabs[slab]);
	tracker->slabs[slab] = NULL;
}

/* For the next one; at the end for nobody. */
static void flow_give(struct tracker *tracker, struct flow *flow)
{
	struct flow_slab *slab = tracker->slabs[flow->slab];

	flow->id = 0;
	slab->used--;
	if (!tracker->ending) {
		flow->chain = tracker->free_first;
		tracker->free_first = flow;
		return;
	}
	if (!slab->used)
		slab_free(tracker, flow->slab);
	if (tracker->flows % TRIM_FLOWS == 0)
		mem_trim();
}

void flow_end(struct flow *flow, uint8_t reason)
{
	struct tracker *tracker = flow->tracker;
	struct flow **at = &tracker->table[flow->hash & tracker->mask];
	enum { OPENED = 1, DONE = 1 | 2 | 4 };

	if (flow->over)
		reason = flow->end_reason;
	if (reason == FLOW_END_closed && flow->proto == PROTO_tcp && tcp_conn_over(&flow->tcp))
		reason = flow->tcp.closed_rst ? FLOW_END_rst : FLOW_END_fin;	/* seen while it lingered */
	flow_find_parties(flow);
	/* Which protocol it was is known to the stream: rows first, then the stream with its last calls. */
	if (flow->proto == PROTO_tcp && flow->has_ports && flow->tcp.completeness & OPENED &&
	    (flow->tcp.completeness & DONE) != DONE)
		flow->second.flows_failed++;
	if (flow->proto == PROTO_sctp && flow->has_ports && flow->sctp.init_ns && !flow->sctp.established)
		flow->second.flows_failed++;
	flow_flush_second(flow);
	flow_write_row(flow, reason);
	if (flow->twin && flow->stream)
		flow->twin->twin_l7 = stream_l7(flow->stream);
	stream_free(flow->stream, call_end_of(reason));
	flow->stream = NULL;
	if (flow->twin)
		flow->twin->twin = NULL;
	party_put(tracker->opts.enrich, flow->party[0]);
	party_put(tracker->opts.enrich, flow->party[1]);
	if (flow->proto == PROTO_tcp)
		tcp_conn_release(&flow->tcp);
	for (int list = 0; list < FLOW_LISTS; list++)
		flow_list_cut(flow, (enum flow_list)list);
	while (*at != flow)
		at = &(*at)->chain;
	*at = flow->chain;
	block_give(tracker->extras, flow->extra);
	tracker->flows--;
	flow_give(tracker, flow);
}

void flows_wind_up(struct tracker *tracker)
{
	tracker->ending = true;
	tracker->free_first = NULL;
	for (size_t i = 0; i < tracker->slabs_count; i++)
		if (tracker->slabs[i] && !tracker->slabs[i]->used)
			slab_free(tracker, i);
	stream_pool_wind_up(tracker->streams);
	call_pool_wind_up(tracker->calls);
}

const struct flow_extra *flow_extra(const struct flow *flow)
{
	static const struct flow_extra none;

	return flow->extra ? flow->extra : &none;
}

struct flow_extra *flow_extra_make(struct flow *flow)
{
	struct tracker *tracker = flow->tracker;

	if (flow->extra)
		return flow->extra;
	flow->extra = block_take(tracker->extras, sizeof(*flow->extra));
	if (flow->extra)
		memset(flow->extra, 0, sizeof(*flow->extra));
	else
		tracker->extras_refused++;
	return flow->extra;
}

void flow_over(struct flow *flow, uint8_t reason)
{
	if (flow->over)
		return;
	flow->over = true;
	flow->end_reason = reason;
	flow_touch(flow, IDLE_CLOSING);
}

static void no_emit(void *arg, const struct call *call)
{
	(void)arg;
	(void)call;
}

void flows_free(struct tracker *tracker)
{
	for (size_t i = 0; i < tracker->slabs_count; i++) {
		for (unsigned j = 0; tracker->slabs[i] && j < SLAB_FLOWS; j++) {
			struct flow *flow = &tracker->slabs[i]->flows[j];

			if (!flow->id)
				continue;
			flow->sink.emit = no_emit;
			stream_free(flow->stream, CALL_END_capture_end);
			block_give(tracker->extras, flow->extra);
			party_put(tracker->opts.enrich, flow->party[0]);
			party_put(tracker->opts.enrich, flow->party[1]);
		}
		mem_free(tracker->slabs[i]);
	}
	mem_free(tracker->slabs);
}
