/*
 * The table of flows of one shard: frames and socket events in, rows of flows,
 * calls, events and rollups and blocks of packets out, into the batch it was
 * given. Bounded; time is the capture's own. One thread.
 */
#ifndef INGEST_TRACKER_H
#define INGEST_TRACKER_H

#include "base/json.h"
#include "ingest/batch.h"
#include "ingest/owners.h"
#include "ingest/source.h"
#include "schema/counters.h"
#include "wire/decode.h"
#include "wire/protocols.h"

struct tracker;

/* Zero means the default. */
struct tracker_opts {
	uint64_t source;		/* entity id of the capture source; goes into every row */
	uint64_t id_seed;		/* first counter of the ids: random when live, of the bytes for a file */
	size_t flows_max;		/* 262,144, about 1.7 KiB each, stream included; then the least recently active end early */
	uint64_t tcp_idle_ns;		/* 300 s */
	uint64_t half_open_idle_ns;	/* 75 s: no answer to a SYN, its repetitions included */
	uint64_t udp_idle_ns;		/* 60 s */
	uint64_t other_idle_ns;		/* 30 s */
	uint64_t linger_ns;		/* 1 s: after the end, for late segments */
	uint64_t active_ns;		/* 60 s: report of a flow that goes on */
	/*
	 * First report of a flow that is at work by then: users see it while it happens. 0: none, a flow shows at its end
	 * or after active_ns.
	 */
	uint64_t early_ns;
	size_t rollup_edges_max;	/* see rollup.h */
	size_t stream_bytes_max;	/* see wire/stream.h */
	bool dissect_off;		/* no calls: benches */
	struct protocols protocols;	/* whose calls are read; zeroed: all */
	/*
	 * A frame may end very many flows (a jump in time, the end of a file): their rows are handed over in between. Asked
	 * behind each row of a flow when the batch holds batch_bytes_max: returns the batch to go on with, NULL to go on
	 * with this one. Not set: one batch takes them all.
	 */
	struct batch *(*batch_full)(void *arg, struct batch *full);
	void *batch_full_arg;
	size_t batch_bytes_max;
	struct counters *counters;	/* required */
	struct enrich *enrich;		/* NULL: no processes are known (files) */
	struct owners *owners;		/* with enrich */
};

int tracker_new(const struct tracker_opts *opts, struct tracker **ret_tracker, struct err *err);
/* What is still open is dropped without a row: call tracker_end before. */
void tracker_free(struct tracker *tracker);

/* Where rows and packets go from now on; borrowed. Must be set before anything below is called. */
void tracker_set_batch(struct tracker *tracker, struct batch *batch);
/* E_NO_MEMORY: the frame was not kept. */
int tracker_frame(struct tracker *tracker, const struct frame *frame);
void tracker_sock(struct tracker *tracker, const struct sock_event *event);
/* Frames that the source's user had to drop: counted, and recorded as a gap. */
void tracker_lost(struct tracker *tracker, uint64_t time_ns, uint64_t frames, uint64_t bytes, const char *reason);
/* Time passes without frames (live). */
void tracker_tick(struct tracker *tracker, uint64_t now_ns);
/* The capture is over: report every flow, end every call, write every rollup. */
void tracker_end(struct tracker *tracker);

/* An event that belongs to no flow: capture_start, capture_end. text may be NULL. */
void tracker_event(struct tracker *tracker, uint8_t kind, uint64_t time_ns, const char *reason, uint64_t value,
		   const char *text);
uint64_t tracker_clock(const struct tracker *tracker);	/* time of the newest frame or tick; 0 before */
/* Frames not decoded to the transport header, by reason. */
const uint64_t *tracker_undecoded(const struct tracker *tracker);	/* DECODE_STATUS_COUNT of them */
/* Member "protocols" of the status: whose calls are read. */
void tracker_status(const struct tracker *tracker, struct json *json);
/* Set the gauges (open flows and calls, held bytes) and the totals of the streams. */
void tracker_gauges(struct tracker *tracker);

#endif
