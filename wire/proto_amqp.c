/*
 * AMQP 0-9-1 (www.amqp.org, with RabbitMQ's extensions; 0-8 and 0-9 look the same) and AMQP 1.0
 * (docs.oasis-open.org/amqp). Which of the two, the protocol header says, or the first frame.
 *
 * Methods that have an answer wait for it on their channel. A message (Basic.Publish with its header and
 * body) waits for what settles it: with publisher confirms the broker's Ack of its number, for a Deliver
 * the consumer's Ack. Where nobody will settle it, it is one-way. A Close is a call of its own, and also
 * the answer to the method it names as its cause. In 1.0 a transfer waits for the disposition of its number.
 *
 * A channel's frames may lie between those of another: the bytes of a message are those from its first
 * frame to its last.
 */
#include "wire/amqp_conn.h"
#include "wire/amqp_msg.h"

#include <stdio.h>

#define PORT_AMQP	5672
#define HEADER_BYTES	8
#define TLS_HANDSHAKE	22

/* ---- what both versions use ---- */

uint8_t amqp_keep(char *text, size_t cap, struct view from)
{
	if (from.len > cap)
		from.len = cap;
	memcpy(text, from.len ? from.at : (const uint8_t *)"", from.len);
	return (uint8_t)from.len;
}

void amqp_columns(const struct amqp_conn *conn, struct call_sink *sink, struct call *call)
{
	CALL_TEXT(sink, call, version, view_make(conn->version, conn->version_len), sizeof(conn->version));
	CALL_TEXT(sink, call, user, view_make(conn->user, conn->user_len), sizeof(conn->user));
	if (conn->mode == AMQP_10)
		CALL_TEXT(sink, call, host, view_make(conn->vhost, conn->vhost_len), sizeof(conn->vhost));
	else
		CALL_TEXT(sink, call, db, view_make(conn->vhost, conn->vhost_len), sizeof(conn->vhost));
	CALL_TEXT(sink, call, user_agent, view_make(conn->agent, conn->agent_len), sizeof(conn->agent));
}

struct call *amqp_open(struct frames *f, const struct frame *frame, bool answer, struct view method)
{
	struct call *call = call_open(f->sink, L7_amqp);

	if (!call)
		return NULL;
	if (answer) {
		call_response_begin(call, f->chunk, frame->off);
		call_response_end(call, f->chunk, frame->off);
	} else {
		call_request_begin(call, f->chunk, frame->off);
		call_request_end(call, f->chunk, frame->off);
	}
	CALL_TEXT(f->sink, call, method, method, 64);
	amqp_columns(f->conn, f->sink, call);
	return call;
}

void amqp_end(struct amqp_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	for (unsigned d = 0; d < 2; d++)
		if (conn->at[d] == call)
			conn->at[d] = NULL;
	call_end(sink, call, reason);
}

void amqp_wait(struct amqp_conn *conn, struct call_fifo *fifo, struct call *call, struct call_sink *sink)
{
	if (fifo->count >= AMQP_PENDING_MAX)
		amqp_end(conn, call_fifo_take(fifo), CALL_END_evicted, sink);
	call_fifo_put(fifo, call);
}

void amqp_take_off(struct call_fifo *fifo, struct call *prev, struct call *call)
{
	*(prev ? &prev->next : &fifo->head) = call->next;
	if (fifo->tail == call)
		fifo->tail = prev;
	fifo->count--;
	call->next = NULL;
}

/* The request of call is whole: who answers it? */
static void request_done(struct amqp_conn *conn, struct call *call, unsigned d, struct call_sink *sink)
{
	if (call->tag & AMQP_TAG_ONEWAY)
		amqp_end(conn, call, CALL_END_oneway, sink);
	else
		amqp_wait(conn, call->tag & AMQP_TAG_CONTENT ? &conn->content[d] : &conn->asked[d], call, sink);
}

void amqp_done(struct amqp_conn *conn, struct call *call, bool answer, unsigned d, struct call_sink *sink)
{
	if (!call)
		return;
	if (conn->at[d] == call)
		conn->at[d] = NULL;
	if (!answer) {
		request_done(conn, call, d, sink);
		return;
	}
	call->rsp_whole = true;
	amqp_end(conn, call, call->has_req ? CALL_END_complete : CALL_END_no_request, sink);
}

struct call *amqp_answered(struct amqp_conn *conn, unsigned d, uint16_t channel, uint64_t request)
{
	struct call *prev = NULL;

	for (struct call *call = conn->asked[!d].head; call; prev = call, call = call->next) {
		if ((call->tag >> AMQP_TAG_CHANNEL_SHIFT & 0xffff) != channel || (call->tag & AMQP_TAG_NUMBER) != request)
			continue;
		amqp_take_off(&conn->asked[!d], prev, call);
		return call;
	}
	return NULL;
}

/* ---- protocol headers: "AMQP", and four numbers ---- */

enum header { HEADER_NONE, HEADER_091, HEADER_10, HEADER_TLS, HEADER_OTHER };

static enum header header_read(struct view bytes, char version[8])
{
	const uint8_t *at = bytes.at;

	version[0] = 0;
	if (bytes.len < HEADER_BYTES || memcmp(at, "AMQP", 4) != 0)
		return HEADER_NONE;
	if (at[4] == 0 && at[5] == 0 && at[6] < 10 && at[7] < 10) {
		(void)snprintf(version, 8, "%u-%u-%u", at[5], at[6], at[7]);
		return HEADER_091;
	}
	if (at[4] == 1 && at[5] == 1 && ((at[6] == 0 && (at[7] == 9 || at[7] == 10)) || (at[6] == 8 && at[7] == 0))) {
		(void)snprintf(version, 8, "0-%u", at[6] + at[7]);
		return at[7] == 10 ? HEADER_OTHER : HEADER_091;
	}
	if (at[4] == 1 && at[5] == 1 && at[6] == 9 && at[7] == 1) {	/* RabbitMQ takes it for 0-9-1 */
		(void)snprintf(version, 8, "0-9-1");
		return HEADER_091;
	}
	if ((at[4] == 0 || at[4] == 2 || at[4] == 3) && at[5] == 1 && at[6] < 10 && at[7] < 10) {
		(void)snprintf(version, 8, "1.%u", at[6]);
		return at[4] == 2 ? HEADER_TLS : HEADER_10;
	}
	return HEADER_NONE;
}

static int take_header(struct frames *f, const struct frame *frame)
{
	struct amqp_conn *conn = f->conn;
	char version[8];
	enum header header = header_read(frame->bytes, version);
	struct call *call;

	if (header == HEADER_NONE)
		return FRAME_BAD;
	f->stop = header == HEADER_TLS;
	conn->at_more[f->d] = false;
	conn->at_content[f->d] = NULL;
	if (!conn->sure) {
		conn->roles = conn->sure = true;
		conn->client = (uint8_t)f->d;
	}
	if (f->d == conn->client) {
		enum amqp_mode mode = header == HEADER_10 ? AMQP_10 : AMQP_091;

		if (conn->mode && conn->mode != mode)
			return FRAME_BAD;
		conn->mode = mode;
		conn->tls_asked = header == HEADER_TLS;
		conn->version_len = amqp_keep(conn->version, sizeof(conn->version), view_str(version));
		call = amqp_open(f, frame, false, VIEW_LIT("Protocol-Header"));
		if (call)
			call->tag = AMQP_HEADER;
		conn->at[f->d] = call;
		conn->at_answer[f->d] = false;
		return FRAME_OK;
	}
	call = amqp_answered(conn, f->d, 0, AMQP_HEADER);
	if (call) {
		call_response_begin(call, f->chunk, frame->off);
		call_response_end(call, f->chunk, frame->off);
	} else {
		call = amqp_open(f, frame, true, VIEW_LIT("Protocol-Header"));
	}
	conn->at[f->d] = call;
	conn->at_answer[f->d] = true;
	if (call && conn->version_len && !view_eq(view_str(version), view_make(conn->version, conn->version_len))) {
		ROW_SET(CALL, &call->row, status_class, CLASS_client_error);
		call_error(f->sink, call, "the server speaks %s", version);
	} else if (call) {
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	}
	conn->opaque = header == HEADER_OTHER;
	conn->tls = header == HEADER_TLS && conn->tls_asked;
	return FRAME_OK;
}

/* ---- frames ---- */

static bool is_header(struct view bytes)
{
	return memcmp(bytes.at, "AMQP", bytes.len < 4 ? bytes.len : 4) == 0;
}

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct amqp_conn *conn = f->conn;

	if (!conn->begun) {
		const struct guess_hint *flow = f->chunk->flow;

		conn->begun = true;
		conn->client = flow->src_port == PORT_AMQP && flow->dst_port != PORT_AMQP;
	}
	if (is_header(bytes)) {
		*ret_show = HEADER_BYTES;
		return HEADER_BYTES;
	}
	if (conn->mode == AMQP_UNKNOWN)
		conn->mode = bytes.at[0] ? AMQP_091 : AMQP_10;
	return conn->mode == AMQP_10 ? amqp_10_size(f, bytes, ret_show) : amqp_091_size(f, bytes, ret_show);
}

static int take(struct frames *f, const struct frame *frame)
{
	const struct amqp_conn *conn = f->conn;

	if (is_header(frame->bytes))
		return take_header(f, frame);
	return conn->mode == AMQP_10 ? amqp_10_take(f, frame) : amqp_091_take(f, frame);
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	const struct amqp_conn *conn = f->conn;

	if (conn->mode == AMQP_10)
		amqp_10_progress(f, end_off, whole, missing);
	else
		amqp_091_progress(f, end_off, whole, missing);
}

static bool resync(struct frames *f, struct view bytes)
{
	const struct amqp_conn *conn = f->conn;
	bool more;

	return conn->mode == AMQP_10 ? amqp_10_begins(bytes, &more) : amqp_091_begins(bytes, &more);
}

static void lost(struct frames *f, uint64_t len)
{
	const struct amqp_conn *conn = f->conn;

	if (conn->mode == AMQP_10)
		amqp_10_lost(f, len);
	else
		amqp_091_lost(f, len);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t amqp_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct amqp_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };
	int64_t rc;

	/* both sides have named TLS (1.0, 5.2.1); a client in a hurry waits here for the server's word */
	if (conn->tls_asked && !conn->dir[d].open && chunk->bytes.len && chunk->bytes.at[0] == TLS_HANDSHAKE)
		return conn->tls ? PROTO_SWITCH(0, L7_tls) : chunk->end ? (int64_t)chunk->bytes.len : 0;
	if (conn->opaque && !conn->dir[d].open)
		return PROTO_SKIP_REST;
	rc = frames_feed(&f, &frame_ops);
	return f.stop && conn->tls && !conn->dir[d].open && rc >= 0 && rc < PROTO_SKIP_BASE ? PROTO_SWITCH(rc, L7_tls) : rc;
}

static int amqp_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct amqp_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return frames_gap(&f, &frame_ops, len);
}

static void amqp_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct amqp_conn *conn = at;

	if (conn->mode == AMQP_10)
		amqp_10_close(conn, reason, sink);
	else
		amqp_091_close(conn, reason, sink);
	for (unsigned d = 0; d < 2; d++) {
		call_end_open(sink, conn->at[d], reason);
		call_fifo_end_open(&conn->asked[d], sink, reason);
		call_fifo_end_open(&conn->content[d], sink, conn->doubt[!d] ? CALL_END_gap : reason);
	}
}

static enum guess amqp_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_AMQP || hint->dst_port == PORT_AMQP, more;
	struct amqp_head head;
	char version[8];

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	if (is_header(bytes))
		return bytes.len < HEADER_BYTES ? GUESS_MORE : header_read(bytes, version) ? GUESS_YES : GUESS_NO;
	if (bytes.at[0] ? amqp_091_begins(bytes, &more) : amqp_10_begins(bytes, &more))
		return GUESS_YES;
	if (more || (port && !bytes.at[0] && bytes.len < HEADER_BYTES))
		return GUESS_MORE;
	if (!port || amqp_head(bytes, &head) <= 0)
		return GUESS_NO;
	return head.type == AMQP_TYPE_BODY || head.type == AMQP_TYPE_HEARTBEAT ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_amqp = {
	.id = L7_amqp,
	.name = "amqp",
	.title = "AMQP",
	.conn_size = sizeof(struct amqp_conn),
	.guess = amqp_guess,
	.feed = amqp_feed,
	.gap = amqp_gap,
	.close = amqp_close,
	.detail = amqp_detail,
};
