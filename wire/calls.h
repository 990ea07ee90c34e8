/*
 * The sink that dissectors write calls to: a pool of call structs with their
 * texts, bounded, shared by all flows of one thread.
 */
#ifndef WIRE_CALLS_H
#define WIRE_CALLS_H

#include "wire/proto.h"
#include "wire/protocols.h"

struct call_pool;

struct call_pool_opts {
	size_t calls_max;	/* open calls at a time; 0 = 65,536 */
	size_t text_bytes_max;	/* texts of all open calls; 0 = 64 MiB */
	struct protocols protocols;	/* which are dissected; zeroed: all */
};
struct call_pool *call_pool_new(const struct call_pool_opts *opts);	/* NULL: out of memory */
void call_pool_free(struct call_pool *pool);
/* No more calls are to come: the memory of their texts goes to the system. */
void call_pool_wind_up(struct call_pool *pool);
uint64_t call_pool_refused(const struct call_pool *pool);	/* calls not opened for want of budget */
size_t call_pool_open(const struct call_pool *pool);

/*
 * One flow's end of the pool, zeroed by the owner before it sets its members.
 * emit gets the finished call: texts in the row are valid during emit only. It
 * must fill the endpoint columns itself (swapped where call->req_dir is 1); id,
 * start_ns, end_ns, l7, end_reason, number, latency_ns, ttfb_ns, req_seq, rsp_seq
 * ... are set already.
 * (id: schema_id(start_ns, counter), from *next_id, which the owner seeds.)
 */
struct call_sink {
	struct call_pool *pool;
	uint64_t *next_id;
	void (*emit)(void *arg, const struct call *call);
	void *arg;
	uint64_t now_ns;	/* latest packet or tick; the stream sets it */
	uint64_t tls_done_ns;	/* the TLS handshake was over; 0: not so far */
	uint32_t next_number;
	uint32_t open_calls : 30;
	bool tls_client : 1;	/* direction of its client */
	bool tls_app_follows : 1;	/* the same segment holds more of the client's */
};

/* What call_note() said of the sink, in the pool until the next one says something; it is forgotten. */
struct view call_take_note(struct call_sink *sink);

#endif
