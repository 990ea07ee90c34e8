/*
 * What protocols of datagrams share: a request waits for the response with the
 * same id. The same request once more while it waits is a retry: the call goes
 * on, its error says how many, latency counts from the first one and ttfb from
 * the last.
 */
#ifndef WIRE_EXCHANGE_H
#define WIRE_EXCHANGE_H

#include "wire/dissect.h"

#define EXCHANGE_TAG_BITS 56	/* of the id; the rest of call->tag counts retries */

/* Of one flow; zeroed at start. The first member of a dissector's connection. */
struct exchange {
	uint64_t timeout_ns;		/* as the latest message says */
	struct call_fifo pending;	/* by the time of the latest copy of the request */
};

/* The datagram at hand. */
struct exchange_msg {
	struct exchange *ex;
	const struct chunk *chunk;
	struct call_sink *sink;
	uint8_t l7;
	uint64_t timeout_ns;
};

/* A new call, which waits. NULL: no budget, or it is a retry and the call has what there is to say. */
struct call *exchange_request(const struct exchange_msg *m, uint64_t tag);
/*
 * The call it answers, no longer waiting, or one without a request, with its response
 * set: fill it, then exchange_end(). NULL: no budget.
 */
struct call *exchange_response(const struct exchange_msg *m, uint64_t tag);
/* Does a request of that tag wait? */
bool exchange_waits(const struct exchange *ex, uint64_t tag);
/* What waits under tag will not be answered: the tag is used for another request. */
void exchange_forget(const struct exchange_msg *m, uint64_t tag);
/* A call of one message that nobody answers: fill it, then call_end() with CALL_END_oneway. NULL: no budget. */
struct call *exchange_oneway(const struct exchange_msg *m);
void exchange_end(const struct exchange_msg *m, struct call *call);

/* Datagrams have no gaps: for every protocol of theirs. */
int exchange_gap(void *conn, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink);
/* As proto_ops has them; conn begins with its struct exchange. */
void exchange_close(void *conn, uint8_t reason, struct call_sink *sink);
void exchange_tick(void *conn, uint64_t now_ns, struct call_sink *sink);	/* ends what has waited too long */

#endif
