/*
 * Rollups: counts and histograms per edge and second, ten seconds, minute and
 * hour (ROLLUP_TIERS), made from packets as they pass and from calls as they end.
 * A bucket is written when the clock of the capture is two seconds past its end;
 * what comes later makes another row of the same bucket, and readers add up. One
 * thread.
 */
#ifndef INGEST_ROLLUP_H
#define INGEST_ROLLUP_H

#include "ingest/batch.h"
#include "schema/counters.h"

struct rollup_edge {	/* texts are copied when the edge is new in its bucket */
	struct view src_workload, src_namespace, src_node;
	struct view dst_workload, dst_namespace, dst_node, dst_service;
	uint16_t dst_port;
	bool has_port;
	uint8_t proto, l7;
};

struct rollup_counts {
	uint64_t flows, flows_failed;
	uint64_t tx_packets, rx_packets, tx_bytes, rx_bytes;
	uint64_t retransmits, resets;
	uint64_t calls, client_errors, server_errors, unanswered;
};

enum rollup_time { ROLLUP_LATENCY, ROLLUP_TTFB, ROLLUP_HANDSHAKE, ROLLUP_SYN_RTT, ROLLUP_TIMES };

struct rollup_times {
	uint64_t ns[ROLLUP_TIMES];
	bool has[ROLLUP_TIMES];
};

static inline void rollup_time_set(struct rollup_times *times, enum rollup_time which, uint64_t ns)
{
	times->ns[which] = ns;
	times->has[which] = true;
}

struct rollup;

/* edges_max per bucket, 0 = 10,000; beyond it edges fold into workload "other". NULL: out of memory. */
struct rollup *rollup_new(size_t edges_max, struct counters *counters);
void rollup_free(struct rollup *rollup);
/* Where an edge was found. Zeroed: nowhere. */
struct rollup_place {
	uint64_t opened;	/* number of its bucket */
	uint32_t bucket, cell;
};

/*
 * Add to the second that holds time_ns. times may be NULL. May write rows of older buckets to batch. ret_place: NULL, or
 * for rollup_add_at(); as it was when the edge was folded.
 */
void rollup_add(struct rollup *rollup, struct batch *batch, uint64_t time_ns, const struct rollup_edge *edge,
		const struct rollup_counts *counts, const struct rollup_times *times, struct rollup_place *ret_place);
/* The same, of the edge that was found there, without looking for it. False: not that second; nothing was added. */
bool rollup_add_at(struct rollup *rollup, uint64_t time_ns, const struct rollup_place *place,
		   const struct rollup_counts *counts, const struct rollup_times *times);
/* The capture's clock is at now_ns: write what is old enough. */
void rollup_tick(struct rollup *rollup, struct batch *batch, uint64_t now_ns);
/* Write everything. */
void rollup_flush(struct rollup *rollup, struct batch *batch);

#endif
