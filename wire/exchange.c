#include "wire/exchange.h"

#include <stdio.h>

#define PENDING_MAX	256
#define RETRIES_MAX	255
#define RETRIES_TEXT	32

static struct call *find(const struct exchange *ex, uint64_t tag)
{
	struct call *call = ex->pending.head;

	tag &= ((uint64_t)1 << EXCHANGE_TAG_BITS) - 1;
	while (call && call->tag >> (64 - EXCHANGE_TAG_BITS) != tag)
		call = call->next;
	return call;
}

static void retry(const struct exchange_msg *m, struct call *call)
{
	char text[RETRIES_TEXT];

	if ((call->tag & RETRIES_MAX) < RETRIES_MAX)
		call->tag++;
	(void)snprintf(text, sizeof(text), "retries: %u", (unsigned)(call->tag & RETRIES_MAX));
	ROW_SET(CALL, &call->row, req_last_ns, m->chunk->time_ns);
	ROW_SET(CALL, &call->row, error, call_text(m->sink, call, view_str(text), sizeof(text)));
	call_fifo_remove(&m->ex->pending, call);
	call_fifo_put(&m->ex->pending, call);
}

static struct call *open_request(const struct exchange_msg *m)
{
	struct call *call = call_open(m->sink, m->l7);

	if (!call)
		return NULL;
	call_request_begin(call, m->chunk, m->chunk->off);
	call_request_end(call, m->chunk, m->chunk->off + m->chunk->bytes.len);
	call_missing(call, m->chunk->missing);
	return call;
}

struct call *exchange_request(const struct exchange_msg *m, uint64_t tag)
{
	struct call *call;

	m->ex->timeout_ns = m->timeout_ns;
	exchange_tick(m->ex, call_sink_now(m->sink), m->sink);
	call = find(m->ex, tag);
	if (call) {
		retry(m, call);
		return NULL;
	}
	if (m->ex->pending.count >= PENDING_MAX)
		call_end(m->sink, call_fifo_take(&m->ex->pending), CALL_END_evicted);
	call = open_request(m);
	if (!call)
		return NULL;
	call->tag = tag << (64 - EXCHANGE_TAG_BITS);
	call_fifo_put(&m->ex->pending, call);
	return call;
}

struct call *exchange_response(const struct exchange_msg *m, uint64_t tag)
{
	struct call *call;

	m->ex->timeout_ns = m->timeout_ns;
	exchange_tick(m->ex, call_sink_now(m->sink), m->sink);
	call = find(m->ex, tag);
	if (call)
		call_fifo_remove(&m->ex->pending, call);
	else
		call = call_open(m->sink, m->l7);
	if (!call)
		return NULL;
	call_response_begin(call, m->chunk, m->chunk->off);
	call_response_end(call, m->chunk, m->chunk->off + m->chunk->bytes.len);
	call_missing(call, m->chunk->missing);
	return call;
}

bool exchange_waits(const struct exchange *ex, uint64_t tag)
{
	return find(ex, tag);
}

void exchange_forget(const struct exchange_msg *m, uint64_t tag)
{
	struct call *call = find(m->ex, tag);

	if (!call)
		return;
	call_fifo_remove(&m->ex->pending, call);
	call_end(m->sink, call, CALL_END_unanswered);
}

struct call *exchange_oneway(const struct exchange_msg *m)
{
	m->ex->timeout_ns = m->timeout_ns;
	exchange_tick(m->ex, call_sink_now(m->sink), m->sink);
	return open_request(m);
}

void exchange_end(const struct exchange_msg *m, struct call *call)
{
	call->rsp_whole = call->has_rsp && !m->chunk->missing;
	call_end(m->sink, call, call->has_req ? CALL_END_complete : CALL_END_no_request);
}

int exchange_gap(void *conn, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	(void)conn;
	(void)d;
	(void)off;
	(void)len;
	(void)sink;
	return 0;
}

void exchange_tick(void *conn, uint64_t now_ns, struct call_sink *sink)
{
	struct exchange *ex = conn;
	struct call *call;

	while ((call = ex->pending.head) && call->row.req_last_ns + ex->timeout_ns <= now_ns) {
		(void)call_fifo_take(&ex->pending);
		ROW_SET(CALL, &call->row, end_ns, call->row.req_last_ns + ex->timeout_ns);
		call_end(sink, call, CALL_END_unanswered);
	}
}

void exchange_close(void *conn, uint8_t reason, struct call_sink *sink)
{
	struct exchange *ex = conn;

	call_fifo_end_open(&ex->pending, sink, reason);
}
