/*
 * The kernel as a source: probes (bpf/NAME.bpf.c, ingest/probe_NAME.c) and
 * their rings. Each probe is loaded on its own; one that cannot attach is
 * reported with the columns it leaves empty. One thread.
 */
#ifndef INGEST_LIVE_H
#define INGEST_LIVE_H

#include "base/err.h"
#include "base/json.h"
#include "ingest/source.h"
#include "schema/event.h"

struct live;

struct live_opts {
	uint32_t snaplen;		/* bytes of a frame to copy; 0 = 262,144, more than any has */
	size_t ring_bytes;		/* of the packet ring; 0 = 64 MiB, a power of two */
	/*
	 * Of a connection within this machine, at the end that is met second: its packets have frame.second and their
	 * headers only (0), are whole, or are counted and one a second of each direction has its headers.
	 */
	enum ring_second second;
	const char *cgroup;		/* directory of the cgroup-v2 root; NULL = found from mountinfo */
	const uint32_t *exclude_pids;	/* traffic of these processes is not captured, besides our own */
	size_t exclude_count;
};

/*
 * Load what can be loaded. E_PERMISSION / E_UNSUPPORTED when not even the
 * packet probe attaches: err says what is missing and what to do.
 */
int live_open(const struct live_opts *opts, struct live **ret_live, struct err *err);
void live_close(struct live *live);
/*
 * Capture no sockets of process pid (as the initial pid namespace numbers it) until it
 * exits; what its peers on this machine send and receive is captured all the same.
 */
int live_exclude(struct live *live, uint32_t pid, struct err *err);
/*
 * Hand over what the rings hold, at most frames_max frames (fewer if they are large) and the events
 * between them, merged in time order. Does not wait. Returns the number of
 * frames. Called every few ms. The youngest 2 ms stay for the next call, so
 * that every processor has finished its part of them: before closing, wait
 * that long and drain once more.
 */
int live_drain(struct live *live, const struct source_sink *sink, size_t frames_max, struct err *err);
/* The last drain left something behind that the next one, at once, would hand over. */
bool live_more(const struct live *live);
/* How much is left out from now on: enum ring_level. */
int live_level(struct live *live, unsigned level, struct err *err);
/* The capture is over and drained: tell what was counted of sockets that are still open, as one SOURCE_LOST_SKIPPED. */
void live_end(struct live *live, const struct source_sink *sink);
/* How full the fullest far ring is, 0..1000: for the caller's pacing. */
unsigned live_fill_permille(struct live *live);
/*
 * Members of an open JSON object: "probes": [{"name","state":"attached"|"failed","why","note","missed","columns":[...]}],
 * "seen", "delivered", "excluded": frames, "lost": {cause: frames}, "lost_told": those that a frame's
 * lost_before or a SOURCE_LOST has told by now, "events_lost" and more.
 */
void live_status(struct live *live, struct json *json);

#endif
