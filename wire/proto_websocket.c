/*
 * WebSocket: RFC 6455, and permessage-deflate of RFC 7692.
 *
 * Every message is a call of its own, sent by either side and answered by none;
 * its frames may have those of control messages between them. A ping is answered
 * by the pong, a close by the other side's close. The path and the host are those
 * of the HTTP request that opened the connection.
 */
#include "wire/dissect.h"
#include "wire/http_head.h"
#include "wire/http_upgrade.h"
#include "wire/websocket_msg.h"

#define PATH_MAX_BYTES	4096
#define TEMPLATE_MAX	512
#define HOST_MAX	256
#define REASON_MAX	128
#define PINGS_MAX	16	/* unanswered ones of one side */

struct websocket_conn {
	struct frame_dir dir[2];
	struct call *message[2];	/* whose last frame is still to come */
	bool in_message[2];		/* also where there was no room for a call */
	bool control[2];		/* the frame in progress is one */
	uint64_t data_bytes[2];		/* of the message, without heads */
	struct call_fifo pings[2];
	struct call *closing;		/* the close that was first */
	uint8_t closing_dir;
	bool begun;			/* the upgrade was seen, or a whole frame */
};

/* Does a message begin, or go on, with this frame? */
static bool fits(const struct websocket_conn *conn, unsigned d, const struct websocket_head *head)
{
	if (head->opcode >= WS_CLOSE || !conn->begun)
		return true;
	return (head->opcode == WS_CONTINUATION) == conn->in_message[d];
}

static void set_origin(struct frames *f, struct call *call)
{
	struct view note = f->chunk->flow->note, method, target;
	char folded[TEMPLATE_MAX];

	http_note_request(note, &method, &target);
	CALL_TEXT(f->sink, call, target, target, PATH_MAX_BYTES);
	if (target.len)
		CALL_TEXT(f->sink, call, target_template, view_make(folded, http_template(target, folded, sizeof(folded))),
			  TEMPLATE_MAX);
	CALL_TEXT(f->sink, call, host, http_note_field(note, "host"), HOST_MAX);
	CALL_TEXT(f->sink, call, version, view_str("13"), 8);
}

static struct call *open_call(struct frames *f, const struct frame *frame, uint8_t opcode)
{
	struct call *call = call_open(f->sink, L7_websocket);

	if (!call)
		return NULL;
	CALL_TEXT(f->sink, call, method, view_str(websocket_opcode(opcode)), 16);
	set_origin(f, call);
	call_request_begin(call, f->chunk, frame->off);
	call_request_end(call, f->chunk, frame->off + frame->bytes.len);
	ROW_SET(CALL, &call->row, req_body_bytes, 0);
	return call;
}

static void set_close(struct frames *f, struct call *call, struct view payload)
{
	uint16_t code;
	uint8_t class = CLASS_ok;

	if (payload.len < 2)
		return;
	code = (uint16_t)(payload.at[0] << 8 | payload.at[1]);
	if (code == 1011 || code == 1012 || code == 1013 || code == 1014)
		class = CLASS_server_error;
	else if (code == 1002 || code == 1003 || (code >= 1007 && code <= 1010))
		class = CLASS_client_error;
	ROW_SET(CALL, &call->row, status, code);
	ROW_SET(CALL, &call->row, status_class, class);
	CALL_TEXT(f->sink, call, status_text, view_str(websocket_close_code(code)), REASON_MAX);
	if (payload.len > 2)
		call_error(f->sink, call, "%.*s", (int)payload.len - 2, (const char *)payload.at + 2);
}

static void answer(struct frames *f, struct call *call, const struct frame *frame, size_t payload_len)
{
	call_response_begin(call, f->chunk, frame->off);
	call_response_end(call, f->chunk, frame->off + frame->len);
	ROW_SET(CALL, &call->row, rsp_body_bytes, payload_len);
	call->rsp_whole = true;
	call_end(f->sink, call, CALL_END_complete);
}

static void control(struct frames *f, const struct frame *frame, const struct websocket_head *head)
{
	struct websocket_conn *conn = f->conn;
	uint8_t bytes[WS_CONTROL_MAX];
	struct view payload = websocket_unmask(head, view_sub(frame->bytes, head->bytes, frame->bytes.len), bytes);
	struct call *call;

	if (head->opcode == WS_PONG && conn->pings[!f->d].count) {
		answer(f, call_fifo_take(&conn->pings[!f->d]), frame, payload.len);
		return;
	}
	if (head->opcode == WS_CLOSE && conn->closing && conn->closing_dir != f->d) {
		call = conn->closing;
		conn->closing = NULL;
		answer(f, call, frame, payload.len);
		return;
	}
	call = open_call(f, frame, head->opcode);
	if (!call)
		return;
	call_request_end(call, f->chunk, frame->off + frame->len);
	ROW_SET(CALL, &call->row, req_body_bytes, payload.len);
	if (head->opcode == WS_CLOSE)
		set_close(f, call, payload);
	if (head->opcode == WS_PING && conn->pings[f->d].count < PINGS_MAX) {
		call_fifo_put(&conn->pings[f->d], call);
	} else if (head->opcode == WS_CLOSE && !conn->closing) {
		conn->closing = call;
		conn->closing_dir = (uint8_t)f->d;
	} else {
		call_end(f->sink, call, CALL_END_oneway);
	}
}

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct websocket_conn *conn = f->conn;
	struct websocket_head head;
	int rc = websocket_head(bytes, &head);

	if (rc < 0 || (rc > 0 && !fits(conn, f->d, &head)))
		return FRAME_BAD;
	if (rc == 0)
		return 0;
	*ret_show = head.opcode >= WS_CLOSE ? head.bytes + head.payload_len : head.bytes;
	return (int64_t)(head.bytes + head.payload_len);
}

static int take(struct frames *f, const struct frame *frame)
{
	struct websocket_conn *conn = f->conn;
	struct websocket_head head;

	if (websocket_head(frame->bytes, &head) <= 0)
		return FRAME_BAD;
	conn->control[f->d] = head.opcode >= WS_CLOSE;
	if (conn->control[f->d]) {
		control(f, frame, &head);
		return FRAME_OK;
	}
	if (!conn->in_message[f->d]) {
		conn->data_bytes[f->d] = 0;
		conn->message[f->d] = open_call(f, frame, head.opcode);
	}
	conn->in_message[f->d] = !head.fin;
	conn->data_bytes[f->d] += head.payload_len;
	return FRAME_OK;
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct websocket_conn *conn = f->conn;
	struct call *call = conn->message[f->d];

	if (conn->control[f->d])
		return;
	conn->begun |= whole;
	if (!call)
		return;
	call_missing(call, missing);
	call_request_end(call, f->chunk, end_off);
	ROW_SET(CALL, &call->row, req_body_bytes, conn->data_bytes[f->d]);
	if (!whole || conn->in_message[f->d])
		return;
	conn->message[f->d] = NULL;
	call_end(f->sink, call, ROW_HAS(CALL, &call->row, missing_bytes) ? CALL_END_gap : CALL_END_oneway);
}

static bool resync(struct frames *f, struct view bytes)
{
	struct websocket_conn *conn = f->conn;

	conn->in_message[f->d] = false;
	return websocket_frames_fit(bytes);
}

static void lost(struct frames *f, uint64_t len)
{
	struct websocket_conn *conn = f->conn;
	struct call *call = conn->message[f->d];

	conn->message[f->d] = NULL;
	conn->in_message[f->d] = false;
	call_missing(call, len);
	if (call)
		call_end(f->sink, call, CALL_END_gap);
	call_fifo_end_all(&conn->pings[!f->d], f->sink, CALL_END_gap);	/* their answers may be in the hole */
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t websocket_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct websocket_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink };

	if (chunk->flow->before == L7_http)
		conn->begun = true;
	f.sure = conn->begun;
	return frames_feed(&f, &frame_ops);
}

static int websocket_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct websocket_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return frames_gap(&f, &frame_ops, len);
}

static void websocket_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct websocket_conn *conn = at;

	for (unsigned d = 0; d < 2; d++) {
		if (conn->message[d])
			call_end(sink, conn->message[d], reason);
		call_fifo_end_open(&conn->pings[d], sink, reason);
	}
	call_end_open(sink, conn->closing, reason);
}

static enum guess websocket_guess(struct view bytes, const struct guess_hint *hint)
{
	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	return websocket_frames_fit(bytes) ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_websocket = {
	.id = L7_websocket,
	.name = "websocket",
	.title = "WebSocket",
	.conn_size = sizeof(struct websocket_conn),
	.hold_bytes = 256,
	.guess = websocket_guess,
	.feed = websocket_feed,
	.gap = websocket_gap,
	.close = websocket_close,
	.detail = websocket_detail,
};
