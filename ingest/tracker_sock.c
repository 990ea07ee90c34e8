/* What the kernel says of sockets and processes: owners of flows, and rows of the table events. */
#include "ingest/flow.h"

#include <errno.h>
#include <stdio.h>

/* The flow observed at this socket; NULL when none has passed yet. */
static struct flow *flow_of_sock(struct tracker *tracker, const struct sock_tuple *tuple)
{
	struct ends ends = { .ip = { tuple->local, tuple->remote }, .port = { tuple->lport, tuple->rport },
			     .proto = tuple->proto, .local = 0, .netns = tuple->netns };
	unsigned dir;

	ends.hash = ends_hash(&ends);
	return tracker_find(tracker, &ends, &dir);
}

/* Of the event itself, or of the socket as it was opened. */
static bool tuple_of(struct tracker *tracker, const struct sock_event *event, struct sock_tuple *ret_tuple)
{
	const struct owned_sock *sock;

	if (event->has_tuple) {
		*ret_tuple = (struct sock_tuple){ event->local, event->remote, event->lport, event->rport,
						  event->proto, event->owner.netns };
		return true;
	}
	sock = tracker->opts.owners ? owners_by_cookie(tracker->opts.owners, event->cookie) : NULL;
	if (!sock || !sock->has_tuple)
		return false;
	*ret_tuple = sock->tuple;
	return true;
}

/* Source and destination of a row about a socket whose flow is not known. */
static void event_tuple(struct event_row *row, const struct sock_tuple *tuple, bool accepted)
{
	if (accepted) {
		ROW_SET(EVENT_ROW, row, src_ip, tuple->remote);
		ROW_SET(EVENT_ROW, row, dst_ip, tuple->local);
		ROW_SET(EVENT_ROW, row, src_port, tuple->rport);
		ROW_SET(EVENT_ROW, row, dst_port, tuple->lport);
	} else {
		ROW_SET(EVENT_ROW, row, src_ip, tuple->local);
		ROW_SET(EVENT_ROW, row, dst_ip, tuple->remote);
		ROW_SET(EVENT_ROW, row, src_port, tuple->lport);
		ROW_SET(EVENT_ROW, row, dst_port, tuple->rport);
	}
	ROW_SET(EVENT_ROW, row, proto, tuple->proto);
}

static struct event_row *sock_row(struct tracker *tracker, const struct sock_event *event, uint8_t kind,
				  const struct flow *flow, const struct sock_tuple *tuple)
{
	struct event_row *row = tracker_event_row(tracker, kind, event->time_ns);
	const struct owned_sock *sock = NULL;
	const struct party *party;

	if (!row)
		return NULL;
	if (tracker->opts.owners)
		sock = owners_by_cookie(tracker->opts.owners, event->cookie);
	party = sock ? sock->party : NULL;
	if (!party && flow && flow->local != LOCAL_NONE)
		party = flow->party[flow->local];
	if (flow)
		tracker_event_flow(row, flow);
	else if (tuple)
		/* A refusal is sent by who was asked. */
		event_tuple(row, tuple, event->accepted || (sock && sock->accepted) ||
			    (event->kind == SOCK_RESET_SENT && !event->cookie));
	tracker_event_party(tracker, row, party);
	return row;
}

static void sock_opened(struct tracker *tracker, const struct sock_event *event)
{
	const struct owned_sock *sock = owners_open(tracker->opts.owners, event);
	struct flow *flow = NULL;

	if (!sock)
		return;
	if (sock->has_tuple && sock->tuple.rport)
		flow = flow_of_sock(tracker, &sock->tuple);
	if (flow && sock->party && flow->local != LOCAL_NONE) {
		flow->cookie = event->cookie;
		flow_set_party(flow, flow->local, sock->party);
		if (flow->twin)
			flow_set_party(flow->twin, flow->local, sock->party);
	}
	/* A listener opens nothing. Of datagram sockets only the packets count; of those open before us nothing is new. */
	if (event->kind != SOCK_OPEN || event->proto != PROTO_tcp || event->existing || !event->has_tuple ||
	    !event->rport)
		return;
	tracker->opened = *event;
	tracker->open_pending = true;
	if (flow)
		tracker_open_event(tracker, flow);
}

void tracker_open_event(struct tracker *tracker, const struct flow *flow)
{
	const struct sock_event *event = &tracker->opened;
	struct sock_tuple tuple = { event->local, event->remote, event->lport, event->rport, event->proto,
				    event->owner.netns };
	/* The next frame may be another socket's: its own addresses decide. */
	bool same = flow && flow->local != LOCAL_NONE && flow->proto == event->proto &&
		    flow->port[flow->local] == event->lport && flow->port[1 - flow->local] == event->rport &&
		    ip_eq(&flow->ip[flow->local], &event->local);

	tracker->open_pending = false;
	(void)sock_row(tracker, event, event->accepted ? EVENT_accept : EVENT_connect, same ? flow : NULL, &tuple);
}

static void connect_failed(struct tracker *tracker, const struct sock_event *event)
{
	const char *name = strerrorname_np((int)event->value);
	const char *words = strerrordesc_np((int)event->value);
	struct sock_tuple tuple;
	bool has_tuple;
	struct event_row *row;

	if (event->has_tuple || event->owner.pid)
		(void)owners_open(tracker->opts.owners, event);
	has_tuple = tuple_of(tracker, event, &tuple);
	row = sock_row(tracker, event, EVENT_connect, has_tuple ? flow_of_sock(tracker, &tuple) : NULL,
		       has_tuple ? &tuple : NULL);
	if (!row)
		return;
	ROW_SET(EVENT_ROW, row, value, event->value);
	/* 0: the process closed the socket before there was an answer. */
	ROW_SET(EVENT_ROW, row, reason,
		batch_text(tracker->batch, view_str(event->value && name ? name : "given_up")));
	if (words && event->value)
		ROW_SET(EVENT_ROW, row, text, batch_text(tracker->batch, view_str(words)));
}

static void retransmit_row(struct tracker *tracker, const struct sock_event *event, const struct flow *flow,
			   const struct sock_tuple *tuple, uint64_t segments, const char *reason)
{
	struct event_row *row = sock_row(tracker, event, EVENT_retransmit, flow, tuple);

	if (!row)
		return;
	ROW_SET(EVENT_ROW, row, value, segments);
	ROW_SET(EVENT_ROW, row, reason, batch_text(tracker->batch, view_str(reason)));
}

/*
 * The socket has its own count of what it sent again. What is more there than events told is known by number only: the
 * kernel passes over a program that is at work on its processor, and some kernels over all tracing while certain
 * processes are current, which nothing counts; and a segment may not have left the machine.
 */
static void sent_again(struct tracker *tracker, struct flow *flow, const struct sock_event *event, uint32_t segments)
{
	bool own = event->total_retrans && flow->cookie == event->cookie;
	bool whole = flow->local != LOCAL_NONE && flow->tcp.dir[flow->local].isn_known;
	struct flow_extra *extra = flow->extra;
	uint32_t untold = 0;

	if (!segments && (!own || !(whole || (extra && extra->retransmits_since))))
		return;
	extra = flow_extra_make(flow);
	if (!extra)
		return;
	/* What a connection older than the recorder had sent again before is no news. */
	if (!extra->retransmits_since && own && !whole)
		extra->retransmits_known = event->total_retrans - segments;
	extra->retransmits_since = true;
	extra->retransmits_known += segments;
	if (own && event->total_retrans > extra->retransmits_known) {
		untold = event->total_retrans - extra->retransmits_known;
		extra->retransmits_known = event->total_retrans;
	}
	extra->kernel_retransmits += segments + untold;
	if (!untold)
		return;
	counter_add(tracker->counters, COUNTER_retransmits_untold_total, untold);
	retransmit_row(tracker, event, flow, NULL, untold, "untold");
}

static void close_text(struct tracker *tracker, struct event_row *row, const struct sock_event *event)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "acked=%llu received=%llu retransmits=%u srtt_us=%u min_rtt_us=%u",
		       (unsigned long long)event->bytes_acked, (unsigned long long)event->bytes_received,
		       event->total_retrans, event->srtt_us, event->min_rtt_us);
	ROW_SET(EVENT_ROW, row, value, event->bytes_acked);
	ROW_SET(EVENT_ROW, row, text, batch_text(tracker->batch, view_str(text)));
}

static void sock_closed(struct tracker *tracker, const struct sock_event *event)
{
	struct sock_tuple tuple;
	bool has_tuple = tuple_of(tracker, event, &tuple);
	struct flow *flow = has_tuple && tuple.rport ? flow_of_sock(tracker, &tuple) : NULL;

	if (flow && event->cookie && flow->cookie && flow->cookie != event->cookie)
		flow = NULL;	/* the ports are in use again already */
	if (flow && event->proto == PROTO_tcp && event->has_tcp)
		sent_again(tracker, flow, event, 0);
	/* Ingress, egress: the local end received and sent them. */
	for (unsigned egress = 0; egress < 2; egress++)
		if (event->skipped[egress])
			tracker_skipped(tracker, flow, flow && flow->local == 0 ? !egress : egress, event->time_ns,
					event->skipped[egress], event->skipped_bytes[egress]);
	if (event->proto == PROTO_tcp) {
		struct event_row *row = sock_row(tracker, event, EVENT_close, flow, has_tuple ? &tuple : NULL);

		if (row && event->has_tcp)
			close_text(tracker, row, event);
	}
	/* A FIN of the other side may still come: flow_over waits for it. */
	if (flow)
		flow_over(flow, FLOW_END_closed);
	owners_closed(tracker->opts.owners, event->cookie);
}

static void retransmitted(struct tracker *tracker, const struct sock_event *event)
{
	static const char *const classes[] = { "other", "fast", "timeout", "tlp", "syn" };
	struct sock_tuple tuple;
	bool has_tuple = tuple_of(tracker, event, &tuple);
	struct flow *flow = has_tuple ? flow_of_sock(tracker, &tuple) : NULL;

	if (flow && flow->proto == PROTO_tcp) {
		sent_again(tracker, flow, event, (uint32_t)event->value);
		if (event->reason == RETRANSMIT_FAST && flow->extra)
			flow->extra->fast_retransmits += (uint32_t)event->value;
	}
	retransmit_row(tracker, event, flow, has_tuple ? &tuple : NULL, event->value,
		       classes[event->reason <= RETRANSMIT_SYN ? event->reason : RETRANSMIT_OTHER]);
}

static void reset(struct tracker *tracker, const struct sock_event *event)
{
	struct sock_tuple tuple;
	bool has_tuple = tuple_of(tracker, event, &tuple);
	struct event_row *row = sock_row(tracker, event, EVENT_reset,
					 has_tuple ? flow_of_sock(tracker, &tuple) : NULL,
					 has_tuple ? &tuple : NULL);

	if (row)
		ROW_SET(EVENT_ROW, row, reason,
			batch_text(tracker->batch, event->kind == SOCK_RESET_SENT ? VIEW_LIT("sent") :
									    VIEW_LIT("received")));
}

static void process(struct tracker *tracker, const struct sock_event *event)
{
	bool start = event->kind == PROC_EXEC;
	struct enrich *enrich = tracker->opts.enrich;
	struct event_row *row;
	struct party *party;

	if (start)
		enrich_exec(enrich, &event->owner, event->time_ns);
	else
		enrich_exit(enrich, &event->owner, event->time_ns);
	row = tracker_event_row(tracker, start ? EVENT_process_start : EVENT_process_exit, event->time_ns);
	if (!row)
		return;
	/* Of a process that was never seen alive only the kernel's own word is left. */
	party = start ? enrich_take(enrich, &event->owner, event->time_ns) : enrich_find(enrich, &event->owner);
	ROW_SET(EVENT_ROW, row, pid, event->owner.pid);
	ROW_SET(EVENT_ROW, row, comm, batch_text(tracker->batch,
						 view_make(event->owner.comm, strnlen(event->owner.comm, 16))));
	ROW_SET(EVENT_ROW, row, node, batch_text(tracker->batch, enrich_node(enrich)));
	tracker_event_party(tracker, row, party);
	if (!start)
		ROW_SET(EVENT_ROW, row, value, event->value);
	party_put(enrich, party);
}

/* Whose they were nobody can tell: rows of this stretch may lack an event, or a count of one. */
static void events_lost(struct tracker *tracker, const struct sock_event *event, enum counter counter, const char *reason)
{
	struct store_gap gap = { .from_ns = event->time_ns - event->value2, .to_ns = event->time_ns + 1,
				 .source = tracker->opts.source };

	counter_add(tracker->counters, counter, event->value);
	(void)snprintf(gap.reason, sizeof(gap.reason), "%s", reason);
	batch_gap(tracker->batch, &gap);
}

void tracker_sock(struct tracker *tracker, const struct sock_event *event)
{
	if (event->kind == SOURCE_LOST && event->reason == SOURCE_LOST_EVENTS) {
		events_lost(tracker, event, COUNTER_events_lost_total, "events_lost");
		return;
	}
	if (event->kind == SOURCE_LOST && event->reason == SOURCE_LOST_PASSED_OVER) {
		events_lost(tracker, event, COUNTER_events_passed_over_total, "events_passed_over");
		return;
	}
	if (event->kind == SOURCE_LOST && event->reason == SOURCE_LOST_SKIPPED) {
		tracker_skipped(tracker, NULL, 0, event->time_ns, event->value, event->value2);
		return;
	}
	if (event->kind == SOURCE_LOST) {
		tracker_lost(tracker, event->time_ns, event->value, event->value2,
			     event->reason == SOURCE_LOST_RING_FULL ? "ring_full" :
			     event->reason == SOURCE_LOST_COPY_FAILED ? "copy_failed" : "source");
		return;
	}
	if (!tracker->opts.owners || !tracker->opts.enrich)
		return;
	if (tracker->open_pending)
		tracker_open_event(tracker, NULL);
	switch (event->kind) {
	case SOCK_OPEN:
	case SOCK_OWNER:
		sock_opened(tracker, event);
		break;
	case SOCK_CONNECT_FAILED:
		connect_failed(tracker, event);
		break;
	case SOCK_CLOSE:
		sock_closed(tracker, event);
		break;
	case SOCK_RETRANSMIT:
		retransmitted(tracker, event);
		break;
	case SOCK_RESET_SENT:
	case SOCK_RESET_RECEIVED:
		reset(tracker, event);
		break;
	case PROC_EXEC:
	case PROC_EXIT:
		process(tracker, event);
		break;
	case SOURCE_LOST:
		break;
	}
}
