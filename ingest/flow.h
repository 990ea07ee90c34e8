/* Inside of the tracker: one flow, and what the tracker_*.c share. */
#ifndef INGEST_FLOW_H
#define INGEST_FLOW_H

#include "ingest/rollup.h"
#include "ingest/tracker.h"
#include "wire/blocks.h"
#include "wire/fragment.h"
#include "wire/sctp.h"
#include "wire/stream.h"
#include "wire/tcp.h"

/* Every list a flow can be in. Idle lists are in order of the last packet, so that sweeping looks at heads only. */
enum flow_list { LIST_IDLE, LIST_REPORT, LIST_CALLS, LIST_DIRTY, FLOW_LISTS };

enum idle_class { IDLE_TCP, IDLE_HALF_OPEN, IDLE_CLOSING, IDLE_UDP, IDLE_OTHER, IDLE_CLASSES };

#define LOCAL_NONE 2		/* flow.local of a flow seen on the wire */

struct flow_link {
	struct flow *prev, *next;
};

struct flow_queue {
	struct flow *first, *last;
};

/* The current second, added to the rollup when it is over: names are known by then. */
struct flow_second {
	uint64_t at;		/* number of the second */
	uint64_t bytes[2];
	uint32_t packets[2];
	uint32_t retransmits, resets;
	uint32_t flows, flows_failed;
};

/* What few flows have: made by the first packet that brings some of it. */
struct flow_extra {
	struct carrier carrier[2];	/* of the last packet of each direction; their segment stays what it was */
	struct ip nat_ip[2];		/* as on the wire, when has_nat */
	uint16_t nat_port[2];
	bool has_nat;
	bool fragmented, icmp_told;
	uint8_t icmp_type, icmp_code;	/* of the last error */
	struct ip icmp_from;
	uint32_t path_mtu[2];		/* told to the sender of that direction; 0: not */
	/* since the last report */
	uint32_t icmp_counts[4];	/* errors that quote it, by enum icmp_error_kind */
	uint32_t fragments[2], broken_datagrams, fragment_overlaps;
	uint32_t kernel_retransmits, fast_retransmits;
	uint64_t lost[2];
	/* since the flow began, or the first time that the kernel told */
	uint32_t retransmits_known;	/* of the socket's own count, how many are in rows or above */
	bool retransmits_since;		/* retransmits_known holds */
};

/* Fields are in the order in which a packet asks for them. */
struct flow {
	struct flow *chain;		/* of the hash table; of the free ones */
	uint32_t hash;
	uint8_t proto;
	uint8_t local;			/* the observed end: 0 src, 1 dst, LOCAL_NONE */
	uint8_t heard;			/* bit i: the first packet of direction i was seen */
	uint8_t lists;			/* bit i: it is in LIST_i */
	uint32_t netns;
	uint16_t port[2];
	struct ip ip[2];		/* 0 src, 1 dst, as the observed socket sees them */
	struct flow_extra *extra;	/* NULL: nothing of it so far; read it by flow_extra() */
	struct tracker *tracker;
	uint64_t id;			/* 0: free */
	uint64_t cookie;
	uint64_t seen_ns;		/* tracker's clock at the last packet */
	uint64_t first_ns, last_ns;
	uint8_t idle;			/* enum idle_class: which list it is in */
	uint8_t end_reason;		/* FLOW_END_ of a flow that is over and lingers */
	uint8_t twin_l7;		/* what the twin's stream was when it ended */
	bool has_ports, second_view, no_stream, over, lost_known, handshake_told;
	bool wire_known;		/* its ends were compared with those on the wire */
	uint16_t slab;			/* where it lies */
	uint32_t report;

	/* since the last report */
	uint64_t start_ns, end_ns;	/* start 0: no packet yet */
	uint64_t report_seen_ns;	/* tracker's clock at the first packet of the report */
	uint64_t packets[2], bytes[2];

	struct flow_second second;
	struct flow_link links[FLOW_LISTS];
	struct stream *stream;
	struct call_sink sink;
	struct flow *twin;		/* the other end's flow on this machine, while both are open */
	uint64_t twin_id;		/* its id, also afterwards */
	struct party *party[2];		/* held */
	uint64_t first_app_ns;		/* of a connection with TLS */
	union {			/* by proto */
		struct tcp_conn tcp;
		struct {	/* all others */
			struct sctp_assoc sctp;		/* zero but for SCTP */
			uint64_t goodput[2];
		};
	};
};

static inline bool flow_in(const struct flow *flow, enum flow_list list)
{
	return flow->lists >> list & 1;
}

/* Which network the direction's first packet was in. */
static inline uint64_t flow_segment(const struct flow *flow, unsigned dir)
{
	return __builtin_expect(flow->extra != NULL, 0) ? flow->extra->carrier[dir].segment : 0;
}

struct flow_slab;

#define CALL_PLACES 256u

/* Where a flow's calls were counted last: the next one is of the same second, as a rule. */
struct call_place {
	uint64_t flow_id;
	struct rollup_place place;
	uint8_t src, l7;
};

struct tracker {
	struct tracker_opts opts;
	struct batch *batch;
	struct counters *counters;
	struct call_pool *calls;
	struct stream_pool *streams;
	struct tcp_pool *tcp;
	struct block_pool *extras;
	uint64_t extras_refused;	/* memory was out */
	struct rollup *rollup;
	struct call_place call_places[CALL_PLACES];	/* by the flow's hash; forgotten when its parties change */

	struct flow **table;
	uint32_t mask;
	struct flow_slab **slabs;	/* NULL: given back */
	size_t slabs_count, slabs_cap;
	struct flow *free_first;
	size_t flows;
	bool ending;			/* no more flows are expected: memory goes to the system */

	struct flow_queue idle[IDLE_CLASSES];
	struct flow_queue queues[FLOW_LISTS];	/* but LIST_IDLE */
	struct flow *early;		/* of LIST_REPORT, the first one that was not considered for an early row */

	uint64_t clock_ns, sweep_ns, second_ns;	/* now; next look at heads; next round of a second */
	uint64_t next_id, next_number;
	uint64_t evictions, eviction_event_ns;
	uint64_t undecoded[DECODE_STATUS_COUNT];
	struct fragments *fragments;
	/* A socket was opened: told with its first frame, which comes next, so that the event names its flow. */
	bool open_pending;
	struct sock_event opened;
};

static inline struct call_place *flow_call_place(const struct flow *flow)
{
	return &flow->tracker->call_places[flow->hash % CALL_PLACES];
}

/* ---- tracker_find.c ---- */

/* The ends of one packet as the observed socket sees them: 0 sender, 1 receiver. */
struct ends {
	struct ip ip[2];
	uint16_t port[2];
	uint8_t proto;
	uint8_t local;		/* 0 sender, 1 receiver, LOCAL_NONE */
	uint32_t netns;
	uint32_t hash;
	uint64_t segment;	/* network of the packet: struct carrier */
	bool quoted;		/* in an ICMP error: segment is that of the error, which went the other way or another */
};
uint32_t ends_hash(const struct ends *ends);	/* the same for both directions */
/* Which end of a flow is the observed one, when the packet's sender is its end `sender`. */
uint8_t ends_local(const struct ends *ends, unsigned sender);
/* Whether the packet's sender is end `end` of the flow, and its receiver the other one. */
bool flow_sender_is(const struct flow *flow, const struct ends *ends, unsigned end);
/*
 * *ret_dir: 0 when the flow's source sent it. NULL.
 *
 * A flow has a segment for each direction, its first packet's there: where routing is asymmetrical they differ. So a
 * packet is of the flow whose sender was heard in just this segment; else of one whose sender was not heard yet,
 * before all one whose other side is in this segment.
 */
struct flow *tracker_find(struct tracker *tracker, const struct ends *ends, unsigned *ret_dir);
/* The first view of the same conversation, observed at its other end; NULL. */
struct flow *tracker_find_twin(struct tracker *tracker, const struct ends *ends);
/* Of a flow that begins: 0 the sender opened the conversation, 1 the receiver did. */
unsigned ends_opener(struct tracker *tracker, const struct packet *packet, const struct frame *frame,
		     const struct ends *ends);
void flow_set_party(struct flow *flow, unsigned end, struct party *party);
/* Look for the local end's owner again, if it is not known; and at the twin for the other one. */
void flow_find_parties(struct flow *flow);

/* ---- tracker_flow.c ---- */

/* A flow that begins with the packet, in the table; the least active one gives way if need be. NULL: out of memory. */
struct flow *flow_new(struct tracker *tracker, const struct packet *packet, const struct frame *frame,
		      const struct ends *ends, unsigned *ret_dir);
/* The conversation is over for reason (FLOW_END_): its row comes after lingering. */
void flow_over(struct flow *flow, uint8_t reason);
/* Of it, all zero where there is none. Never NULL. */
const struct flow_extra *flow_extra(const struct flow *flow);
/* Made if need be. NULL: out of memory, counted. */
struct flow_extra *flow_extra_make(struct flow *flow);
/* Row, last calls, and out of the table. */
void flow_end(struct flow *flow, uint8_t reason);
/* All flows, without rows. */
void flows_free(struct tracker *tracker);
/* The end has come: what flows leave behind goes to the system from now on, while others' rows are written. */
void flows_wind_up(struct tracker *tracker);
/* Not in it: nothing. */
void flow_list_cut(struct flow *flow, enum flow_list list);
/* At its end; must not be in it. */
void flow_list_put(struct flow *flow, enum flow_list list);
/* The flow has just been active: to the end of its idle list. */
void flow_touch(struct flow *flow, enum idle_class idle);

/* ---- tracker.c ---- */

/* The packet's flow, made if need be; NULL when it has no addresses, or memory is out. */
struct flow *tracker_flow_of(struct tracker *tracker, const struct frame *frame, const struct packet *packet,
			     unsigned *ret_dir);
/* The flow it would be, if there is one. */
struct flow *tracker_flow_known(struct tracker *tracker, const struct frame *frame, const struct packet *packet,
				unsigned *ret_dir);
/* The flow a quoted packet was of, if there is one; segment is that of the packet that quotes it. */
struct flow *tracker_flow_quoted(struct tracker *tracker, const struct frame *frame, const struct packet *quoted,
				 uint64_t segment, unsigned *ret_dir);
/* One frame more; then what is in it, to whom it concerns. */
void flow_count(struct flow *flow, unsigned dir, const struct frame *frame, const struct packet *packet);
void flow_feed(struct flow *flow, unsigned dir, const struct packet *packet);
/* The frame did not decode: by reason. */
void tracker_count_undecoded(struct tracker *tracker, enum decode_status status, uint64_t frames);
/* Into the packet log, as frame `number` of the source; flow may be NULL. E_NO_MEMORY. */
int tracker_keep_frame(struct tracker *tracker, const struct frame *frame, uint64_t number, unsigned segments,
		       const struct flow *flow, unsigned dir);

/* ---- tracker_fragment.c ---- */

int tracker_fragments_new(struct tracker *tracker);	/* E_NO_MEMORY */
/* A frame with a piece of a datagram: kept at once, or when its flow is known. */
int tracker_fragment(struct tracker *tracker, const struct frame *frame, const struct packet *packet);

/* Packets of the flow that were only counted, at about time_ns; flow NULL: nobody knows whose. */
void tracker_skipped(struct tracker *tracker, struct flow *flow, unsigned dir, uint64_t time_ns, uint64_t packets,
		     uint64_t bytes);

/* ---- tracker_icmp.c ---- */

/* An ICMP message: when it is an error, the flow it quotes is told. */
void tracker_icmp(struct tracker *tracker, const struct frame *frame, const struct packet *packet);

/* ---- tracker_sock.c ---- */

/* Write the event of a socket just opened; flow is that of the next frame, or NULL. */
void tracker_open_event(struct tracker *tracker, const struct flow *flow);

/* ---- tracker_rows.c ---- */

void flow_write_row(struct flow *flow, uint8_t end_reason);	/* 0: it goes on */
void flow_write_call(void *arg, const struct call *call);	/* call_sink.emit; arg is the flow */
void flow_flush_second(struct flow *flow);
struct event_row *tracker_event_row(struct tracker *tracker, uint8_t kind, uint64_t time_ns);
void tracker_event_flow(struct event_row *row, const struct flow *flow);
void tracker_event_party(struct tracker *tracker, struct event_row *row, const struct party *party);

#endif
