/*
 * SIP (RFC 3261) over UDP and TCP.
 *
 * A transaction is a call: the request, and the final response with the same branch,
 * Call-ID and CSeq. Provisional ones (1yz) are its first bytes; which ones came stands in
 * answers. Both sides ask. ACK has no response. Over UDP messages come again until they are
 * answered: a request's copies are counted in error, latency counts from the first one; a
 * response's copies are passed over. Call-ID is the trace id: it is the same in a dialog.
 */
#include "base/hash.h"
#include "wire/dissect.h"
#include "wire/http_head.h"
#include "wire/sip_msg.h"

#include <stdio.h>

#define PORT_SIP	5060
#define HEAD_MAX	((size_t)32 << 10)
#define PENDING_MAX	1024
#define DONE_MAX	32		/* transactions remembered for their copies */
#define TEXT_MAX	256
#define URI_MAX		512
#define TIMEOUT_NS	64000000000ull	/* twice 64 * T1: behind every timer of a transaction that was not taken up */
#define RINGING_NS	600000000000ull	/* a provisional response came: people take their time */

/* call->tag: key of the transaction with the direction of its request as lowest bit */
struct sip_conn {
	struct frame_dir dir[2];
	struct call_fifo pending;
	uint64_t done[DONE_MAX];
	uint8_t done_next;
	bool sure;
	struct call *cur[2];		/* the frame in progress belongs to it */
	bool cur_response[2], cur_end[2];
	uint8_t cur_reason[2];
	uint64_t scanned[2];
};

static void pending_remove(struct call_fifo *fifo, struct call *call)
{
	struct call *prev = NULL;

	for (struct call *at = fifo->head; at && at != call; at = at->next)
		prev = at;
	if (!(prev ? prev->next == call : fifo->head == call))
		return;
	*(prev ? &prev->next : &fifo->head) = call->next;
	if (fifo->tail == call)
		fifo->tail = prev;
	fifo->count--;
	call->next = NULL;
}

static void end_call(struct sip_conn *conn, struct call_sink *sink, struct call *call, uint8_t reason)
{
	pending_remove(&conn->pending, call);
	for (unsigned d = 0; d < 2; d++)
		if (conn->cur[d] == call)
			conn->cur[d] = NULL;
	if (call->tag)
		conn->done[conn->done_next++ % DONE_MAX] = call->tag;
	call->rsp_whole = reason == CALL_END_complete;
	if (reason == CALL_END_complete && !call->has_req)
		reason = CALL_END_no_request;
	call_end(sink, call, reason);
}

static void expire(struct sip_conn *conn, uint64_t now_ns, struct call_sink *sink)
{
	for (struct call *call = conn->pending.head, *next; call; call = next) {
		uint64_t limit_ns = call->has_rsp ? RINGING_NS : TIMEOUT_NS;
		uint64_t since_ns = call->has_req ? call->row.req_last_ns : call->row.rsp_first_ns;

		next = call->next;
		if (since_ns + limit_ns > now_ns)
			continue;
		if (!call->has_rsp)
			ROW_SET(CALL, &call->row, end_ns, since_ns + limit_ns);
		end_call(conn, sink, call, CALL_END_unanswered);
	}
}

/* One message, or its head where it is a frame of a stream. */
struct message {
	struct sip_conn *conn;
	struct sip_msg msg;
	const struct chunk *chunk;
	struct call_sink *sink;
	unsigned d;
	uint64_t off, head_end;
	uint64_t body_bytes;
};

static uint64_t tag_of(const struct message *m)
{
	unsigned asker = m->msg.request ? m->d : !m->d;

	return (m->msg.key << 1 | asker) ? m->msg.key << 1 | asker : 2;
}

static struct call *find(const struct sip_conn *conn, uint64_t tag)
{
	struct call *call = conn->pending.head;

	while (call && call->tag != tag)
		call = call->next;
	return call;
}

static bool is_done(const struct sip_conn *conn, uint64_t tag)
{
	for (unsigned i = 0; i < DONE_MAX; i++)
		if (conn->done[i] == tag)
			return true;
	return false;
}

static void set_common(const struct message *m, struct call *call)
{
	CALL_TEXT(m->sink, call, method, m->msg.method, 32);
	CALL_TEXT(m->sink, call, version, VIEW_LIT("2.0"), 8);
	CALL_TEXT(m->sink, call, trace_id, m->msg.call_id, TEXT_MAX);
	CALL_TEXT(m->sink, call, user, m->msg.from, TEXT_MAX);
}

static void set_request(const struct message *m, struct call *call)
{
	char text[URI_MAX];

	set_common(m, call);
	CALL_TEXT(m->sink, call, target, m->msg.uri, URI_MAX);
	CALL_TEXT(m->sink, call, target_template, view_make(text, sip_template(m->msg.uri, text, sizeof(text))), URI_MAX);
	CALL_TEXT(m->sink, call, host, sip_uri_host(m->msg.uri), TEXT_MAX);
	CALL_TEXT(m->sink, call, user_agent, m->msg.user_agent, TEXT_MAX);
	if (m->body_bytes)
		ROW_SET(CALL, &call->row, req_body_bytes, m->body_bytes);
}

static uint8_t status_class(unsigned status)
{
	return status < 400 ? CLASS_ok : status >= 500 && status < 600 ? CLASS_server_error : CLASS_client_error;
}

static void set_response(const struct message *m, struct call *call)
{
	const struct sip_msg *msg = &m->msg;

	ROW_SET(CALL, &call->row, status, msg->status);
	CALL_TEXT(m->sink, call, status_text, msg->reason, TEXT_MAX);
	if (msg->status < 200) {	/* "100,183" */
		char text[64];
		int len = snprintf(text, sizeof(text), "%.*s%s%u", ROW_HAS(CALL, &call->row, answers) ? (int)call->row.answers.len : 0,
				   ROW_HAS(CALL, &call->row, answers) ? (const char *)call->row.answers.at : "",
				   ROW_HAS(CALL, &call->row, answers) ? "," : "", msg->status);

		if (len > 0 && (size_t)len < sizeof(text))
			ROW_SET(CALL, &call->row, answers, call_text(m->sink, call, view_make(text, (size_t)len), sizeof(text)));
		return;
	}
	ROW_SET(CALL, &call->row, status_class, status_class(msg->status));
	if (m->body_bytes)
		ROW_SET(CALL, &call->row, rsp_body_bytes, m->body_bytes);
	if (msg->status >= 400)
		call_error(m->sink, call, "%u %.*s", msg->status, (int)msg->reason.len, (const char *)msg->reason.at);
}

/* The same request again: nobody has answered yet. */
static void retry(const struct message *m, struct call *call)
{
	uint64_t count = 0;
	char text[32];

	if (ROW_HAS(CALL, &call->row, error))
		(void)view_u64(view_sub(call->row.error, strlen("retries: "), 9), UINT64_MAX, &count);
	(void)snprintf(text, sizeof(text), "retries: %u", (unsigned)count + 1);
	ROW_SET(CALL, &call->row, error, call_text(m->sink, call, view_str(text), sizeof(text)));
	ROW_SET(CALL, &call->row, req_last_ns, m->chunk->time_ns);
}

/* What becomes of the call when the message is whole. */
static void take_request(struct message *m)
{
	struct sip_conn *conn = m->conn;
	uint64_t tag = tag_of(m);
	bool ack = view_is(m->msg.method, "ACK");
	struct call *call = find(conn, tag);

	if (call && m->chunk->datagram)
		retry(m, call);
	if (call || is_done(conn, tag))
		return;
	if (conn->pending.count >= PENDING_MAX)
		end_call(conn, m->sink, conn->pending.head, CALL_END_evicted);
	call = call_open(m->sink, L7_sip);
	if (!call)
		return;
	call->tag = tag;
	call_request_begin(call, m->chunk, m->off);
	call_request_end(call, m->chunk, m->head_end);
	set_request(m, call);
	call_fifo_put(&conn->pending, call);
	conn->cur[m->d] = call;
	conn->cur_response[m->d] = false;
	conn->cur_end[m->d] = ack;
	conn->cur_reason[m->d] = CALL_END_oneway;
}

static void take_response(struct message *m)
{
	struct sip_conn *conn = m->conn;
	uint64_t tag = tag_of(m);
	struct call *call = find(conn, tag);

	if (!call && is_done(conn, tag))
		return;
	if (!call) {
		call = call_open(m->sink, L7_sip);
		if (!call)
			return;
		call->tag = tag;
		set_common(m, call);
		call_fifo_put(&conn->pending, call);
	}
	if (!call->has_rsp)
		call_response_begin(call, m->chunk, m->off);
	call_response_end(call, m->chunk, m->head_end);
	set_response(m, call);
	conn->cur[m->d] = call;
	conn->cur_response[m->d] = true;
	conn->cur_end[m->d] = m->msg.status >= 200;
	conn->cur_reason[m->d] = CALL_END_complete;
}

static void take_message(struct message *m)
{
	m->conn->cur[m->d] = NULL;
	expire(m->conn, call_sink_now(m->sink), m->sink);
	if (m->msg.request)
		take_request(m);
	else
		take_response(m);
}

static void grow(struct sip_conn *conn, unsigned d, const struct chunk *chunk, struct call_sink *sink, uint64_t end_off, bool whole)
{
	struct call *call = conn->cur[d];

	if (!call)
		return;
	if (conn->cur_response[d])
		call_response_end(call, chunk, end_off);
	else
		call_request_end(call, chunk, end_off);
	if (!whole)
		return;
	conn->cur[d] = NULL;
	if (conn->cur_end[d])
		end_call(conn, sink, call, conn->cur_reason[d]);
}

/* ---- UDP ---- */

static int64_t feed_datagram(struct sip_conn *conn, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct message m = { .conn = conn, .chunk = chunk, .sink = sink, .d = d, .off = chunk->off };
	size_t scanned = 0, head = http_head_end(chunk->bytes, &scanned);
	uint64_t end_off = chunk->off + chunk->bytes.len;

	if (!head)
		head = chunk->bytes.len;
	if (!sip_parse(view_sub(chunk->bytes, 0, head), &m.msg)) {
		/* keep-alives: blank lines, zeros, a few bytes */
		return conn->sure || chunk->bytes.len <= 4 ? (int64_t)chunk->bytes.len : E_FORMAT;
	}
	conn->sure = true;
	m.head_end = end_off;
	m.body_bytes = chunk->bytes.len - head;
	take_message(&m);
	call_missing(conn->cur[d], chunk->missing);
	grow(conn, d, chunk, sink, end_off, true);
	return (int64_t)chunk->bytes.len;
}

/* ---- TCP ---- */

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct sip_conn *conn = f->conn;
	struct sip_msg msg;
	struct view line, rest = bytes;
	size_t scanned, head;

	if (bytes.at[0] == '\r' || bytes.at[0] == '\n') {	/* RFC 5626: keep-alive */
		*ret_show = 1;
		return 1;
	}
	if (!http_line(&rest, &line))
		return bytes.len < HEAD_MAX && (f->sure || sip_may_start(bytes)) ? 0 : FRAME_BAD;
	if (!sip_start(line))
		return FRAME_BAD;
	scanned = conn->scanned[f->d] <= bytes.len ? (size_t)conn->scanned[f->d] : 0;
	head = http_head_end(bytes, &scanned);
	conn->scanned[f->d] = scanned;
	if (!head)
		return bytes.len < HEAD_MAX ? 0 : FRAME_BAD;
	conn->scanned[f->d] = 0;
	if (!sip_parse(view_sub(bytes, 0, head), &msg))
		return FRAME_BAD;
	*ret_show = head;
	return (int64_t)(head + msg.length);
}

static int take(struct frames *f, const struct frame *frame)
{
	struct sip_conn *conn = f->conn;
	struct message m = { .conn = conn, .chunk = f->chunk, .sink = f->sink, .d = f->d, .off = frame->off };

	conn->cur[f->d] = NULL;
	if (frame->len == 1)
		return FRAME_OK;
	if (!sip_parse(frame->bytes, &m.msg))
		return FRAME_BAD;
	conn->sure = true;
	m.head_end = frame->off + frame->bytes.len;
	m.body_bytes = frame->len - frame->bytes.len;
	take_message(&m);
	return FRAME_OK;
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct sip_conn *conn = f->conn;

	call_missing(conn->cur[f->d], missing);
	grow(conn, f->d, f->chunk, f->sink, end_off, whole);
}

static bool resync(struct frames *f, struct view bytes)
{
	struct view line;

	(void)f;
	return http_line(&bytes, &line) && sip_start(line);
}

static void lost(struct frames *f, uint64_t len)
{
	struct sip_conn *conn = f->conn;

	struct call *call = conn->cur[f->d];

	call_missing(call, len);
	if (call && conn->cur_end[f->d])
		end_call(conn, f->sink, call, CALL_END_gap);
	conn->cur[f->d] = NULL;
	conn->scanned[f->d] = 0;
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t sip_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct sip_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return chunk->datagram ? feed_datagram(conn, d, chunk, sink) : frames_feed(&f, &frame_ops);
}

static int sip_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct sip_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return conn->sure ? frames_gap(&f, &frame_ops, len) : E_FORMAT;
}

static void sip_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct sip_conn *conn = at;
	struct call *call;

	while ((call = conn->pending.head)) {
		/* a provisional response is none yet */
		bool open = reason == CALL_END_closed && (!call->has_rsp || call->row.status < 200);

		end_call(conn, sink, call, open ? CALL_END_unanswered : reason);
	}
}

static void sip_tick(void *at, uint64_t now_ns, struct call_sink *sink)
{
	expire(at, now_ns, sink);
}

static enum guess sip_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_SIP || hint->dst_port == PORT_SIP;
	struct view line;

	if ((hint->proto != PROTO_tcp && hint->proto != PROTO_udp) || !bytes.len)
		return GUESS_NO;
	if (hint->proto == PROTO_udp && port && bytes.len <= 4)
		return GUESS_MAYBE;	/* keep-alives */
	while (hint->proto == PROTO_tcp && port && bytes.len && (bytes.at[0] == '\r' || bytes.at[0] == '\n'))
		bytes = view_sub(bytes, 1, bytes.len);
	if (http_line(&bytes, &line))
		return sip_start(line) ? GUESS_YES : GUESS_NO;
	return hint->proto == PROTO_tcp && bytes.len < 2048 && (bytes.len ? sip_may_start(bytes) : port) ? GUESS_MORE : GUESS_NO;
}

const struct proto_ops proto_sip = {
	.id = L7_sip,
	.name = "sip",
	.title = "SIP",
	.conn_size = sizeof(struct sip_conn),
	.hold_bytes = HEAD_MAX + 4096,
	.guess = sip_guess,
	.feed = sip_feed,
	.gap = sip_gap,
	.close = sip_close,
	.tick = sip_tick,
	.detail = sip_detail,
};
