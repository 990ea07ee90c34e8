/*
 * SSH (RFC 4253): one call a connection, the handshake from the banners to the NEWKEYS of
 * both sides. What follows is encrypted, and not looked at. SSH 1 is known by its banners.
 *
 * The server may speak first: the call's request is the client's half all the same.
 */
#include "wire/dissect.h"
#include "wire/ssh_msg.h"

#include <stdio.h>

#define PORT_SSH	22
#define TEXT_LINES_MAX	1024		/* before the server's banner */
#define LINE_MAX_BYTES	4096
#define KEPT_MAX	4096		/* of the first side's proposal, until the other's comes */
#define SOFTWARE_MAX	256

struct ssh_conn {
	struct frame_dir dir[2];
	struct call *call;
	bool roles, begun, over;
	uint8_t client;
	bool banner[2], v2[2], kexinit[2], newkeys[2];
	uint16_t text_lines;
	uint16_t kept_len;		/* 0: none, or too long */
	uint8_t kept[KEPT_MAX];
};

static void end_call(struct ssh_conn *conn, struct call_sink *sink, uint8_t reason)
{
	struct call *call = conn->call;

	conn->over = true;
	conn->call = NULL;
	if (!call)
		return;
	call->rsp_whole = reason == CALL_END_complete;
	if (call->rsp_whole && call->row.status_class == CLASS_none)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	if (call->rsp_whole && !call->has_req)
		reason = CALL_END_no_request;
	call_end(sink, call, reason);
}

/* The frame's bytes belong to its side's half of the call. */
static void grow(struct frames *f, uint64_t off, uint64_t end_off)
{
	const struct ssh_conn *conn = f->conn;
	struct call *call = conn->call;

	if (!call)
		return;
	if (f->d == conn->client) {
		uint64_t last_ns = call->row.req_last_ns;
		bool first = !call->has_req;

		if (first)
			call_request_begin(call, f->chunk, off);
		call_request_end(call, f->chunk, end_off);
		if (!first)	/* it is the banner that is answered */
			ROW_SET(CALL, &call->row, req_last_ns, last_ns);
	} else {
		if (!call->has_rsp)
			call_response_begin(call, f->chunk, off);
		call_response_end(call, f->chunk, end_off);
	}
}

static int take_line(struct frames *f, const struct frame *frame)
{
	struct ssh_conn *conn = f->conn;
	struct view line = frame->bytes;
	struct ssh_banner banner;

	while (line.len && (line.at[line.len - 1] == '\n' || line.at[line.len - 1] == '\r'))
		line.len--;
	if (!conn->begun) {
		conn->begun = true;
		conn->call = call_open(f->sink, L7_ssh);
		if (conn->call)
			CALL_TEXT(f->sink, conn->call, method, VIEW_LIT("handshake"), 16);
	}
	if (!ssh_banner(line, &banner)) {
		if (++conn->text_lines > TEXT_LINES_MAX || memchr(line.len ? line.at : (const uint8_t *)"x", 0, line.len ? line.len : 1))
			return FRAME_BAD;
		grow(f, frame->off, frame->off + frame->len);
		return FRAME_OK;
	}
	grow(f, frame->off, frame->off + frame->len);
	conn->banner[f->d] = true;
	conn->v2[f->d] = banner.v2;
	if (conn->call) {
		if (f->d == conn->client) {
			CALL_TEXT(f->sink, conn->call, user_agent, banner.software, SOFTWARE_MAX);
		} else {
			CALL_TEXT(f->sink, conn->call, status_text, banner.software, SOFTWARE_MAX);
			CALL_TEXT(f->sink, conn->call, version, banner.version, 16);
		}
	}
	if (!conn->banner[!f->d] || (conn->v2[0] && conn->v2[1]))
		return banner.v2 ? FRAME_OK : FRAME_OPAQUE;
	call_error(f->sink, conn->call, "SSH 1 is obsolete");
	end_call(conn, f->sink, CALL_END_complete);
	return FRAME_OPAQUE;
}

/* Both proposals are known. */
static void set_chosen(struct frames *f, const struct ssh_kexinit *client, const struct ssh_kexinit *server)
{
	struct ssh_conn *conn = f->conn;
	struct view chosen[SSH_LANGUAGE_OUT];
	char text[512];
	int len;

	for (unsigned i = 0; i < SSH_LANGUAGE_OUT; i++) {
		const char *weak;

		chosen[i] = ssh_chosen(client, server, (enum ssh_list)i);
		if ((i == SSH_MAC_OUT || i == SSH_MAC_IN) && ssh_cipher_aead(chosen[i == SSH_MAC_OUT ? SSH_CIPHER_OUT : SSH_CIPHER_IN]))
			chosen[i] = VIEW_LIT("implicit");
		if (!chosen[i].len) {	/* the end of it, whether anybody says so or not */
			call_error(f->sink, conn->call, "no %s in common", ssh_list_name((enum ssh_list)i));
			ROW_SET(CALL, &conn->call->row, status_class, CLASS_client_error);
		}
		weak = ssh_weakness((enum ssh_list)i, chosen[i]);
		if (weak && (i != SSH_CIPHER_IN || !view_eq(chosen[i], chosen[SSH_CIPHER_OUT])) &&
		    (i != SSH_MAC_IN || !view_eq(chosen[i], chosen[SSH_MAC_OUT])))
			call_error(f->sink, conn->call, "weak %s %.*s: %s", ssh_list_name((enum ssh_list)i), (int)chosen[i].len,
				   (const char *)chosen[i].at, weak);
	}
#define NAME(i) (int)chosen[i].len, chosen[i].len ? (const char *)chosen[i].at : ""
	len = snprintf(text, sizeof(text), "%.*s, %.*s, %.*s, %.*s", NAME(SSH_KEX), NAME(SSH_HOST_KEY), NAME(SSH_CIPHER_OUT),
		       NAME(SSH_MAC_OUT));
#undef NAME
	if (len > 0)
		CALL_TEXT(f->sink, conn->call, answers, view_str(text), sizeof(text));
}

static void take_kexinit(struct frames *f, struct view payload)
{
	struct ssh_conn *conn = f->conn;
	struct ssh_kexinit mine, other;

	conn->kexinit[f->d] = true;
	if (!conn->kexinit[!f->d]) {
		if (payload.len <= KEPT_MAX) {
			memcpy(conn->kept, payload.at, payload.len);
			conn->kept_len = (uint16_t)payload.len;
		}
		return;
	}
	if (!conn->call || !ssh_kexinit(payload, &mine) || !ssh_kexinit(view_make(conn->kept, conn->kept_len), &other))
		return;
	if (f->d == conn->client)
		set_chosen(f, &mine, &other);
	else
		set_chosen(f, &other, &mine);
}

static int take_disconnect(struct frames *f, struct view payload)
{
	struct ssh_conn *conn = f->conn;
	struct view text;
	uint32_t reason;
	const char *name;

	if (conn->call && ssh_disconnect(payload, &reason, &text)) {
		name = ssh_reason(reason);
		ROW_SET(CALL, &conn->call->row, status, reason <= UINT16_MAX ? (uint16_t)reason : UINT16_MAX);
		ROW_SET(CALL, &conn->call->row, status_class,
			reason == 7 || reason == 12 ? CLASS_server_error : CLASS_client_error);
		call_error(f->sink, conn->call, "disconnected by the %s: %s%s%.*s", f->d == conn->client ? "client" : "server",
			   name ? name : "unknown reason", text.len ? ", " : "", (int)text.len, (const char *)text.at);
	}
	end_call(conn, f->sink, CALL_END_complete);
	return FRAME_OPAQUE;
}

static int take_packet(struct frames *f, const struct frame *frame)
{
	struct ssh_conn *conn = f->conn;
	struct view payload = view_sub(frame->bytes, SSH_HEAD_BYTES - 1, (size_t)frame->len - frame->bytes.at[4] - SSH_HEAD_BYTES + 1);

	switch (frame->bytes.at[5]) {
	case SSH_KEXINIT:
		take_kexinit(f, payload);
		break;
	case SSH_DISCONNECT:
		grow(f, frame->off, frame->off + frame->len);
		return take_disconnect(f, payload);
	case SSH_NEWKEYS:
		grow(f, frame->off, frame->off + frame->len);
		conn->newkeys[f->d] = true;
		if (conn->newkeys[!f->d])
			end_call(conn, f->sink, CALL_END_complete);
		return FRAME_OPAQUE;
	default:
		break;
	}
	grow(f, frame->off, frame->off);
	return FRAME_OK;
}

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct ssh_conn *conn = f->conn;
	uint32_t len;

	if (!conn->banner[f->d]) {
		const uint8_t *nl = memchr(bytes.at, '\n', bytes.len < LINE_MAX_BYTES ? bytes.len : LINE_MAX_BYTES);

		if (!nl)
			return bytes.len < LINE_MAX_BYTES ? 0 : FRAME_BAD;
		*ret_show = (uint64_t)(nl - bytes.at) + 1;
		return (int64_t)*ret_show;
	}
	if (bytes.len < SSH_HEAD_BYTES)
		return 0;
	len = (uint32_t)bytes.at[0] << 24 | (uint32_t)bytes.at[1] << 16 | (uint32_t)bytes.at[2] << 8 | bytes.at[3];
	if (len > SSH_PACKET_MAX - 4 || len < bytes.at[4] + 2u || bytes.at[5] == 0)
		return FRAME_BAD;
	*ret_show = bytes.at[5] == SSH_KEXINIT || bytes.at[5] == SSH_DISCONNECT || bytes.at[5] == SSH_NEWKEYS ? len + 4 :
		    SSH_HEAD_BYTES;
	return (int64_t)len + 4;
}

static int take(struct frames *f, const struct frame *frame)
{
	const struct ssh_conn *conn = f->conn;

	return conn->banner[f->d] ? take_packet(f, frame) : take_line(f, frame);
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	const struct ssh_conn *conn = f->conn;

	(void)whole;
	call_missing(conn->call, missing);
	if (conn->call && (f->d == conn->client ? conn->call->has_req : conn->call->has_rsp))
		grow(f, end_off, end_off);
}

static void lost(struct frames *f, uint64_t len)
{
	struct ssh_conn *conn = f->conn;

	call_missing(conn->call, len);
	if (!len)
		call_error(f->sink, conn->call, "what follows the banner is not SSH");
	end_call(conn, f->sink, len ? CALL_END_gap : CALL_END_closed);
}

static const struct frame_ops frame_ops = { .size = size, .take = take, .progress = progress, .lost = lost };

static int64_t ssh_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct ssh_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink,
			    .sure = conn->banner[0] || conn->banner[1] };

	if (!conn->roles) {
		conn->roles = true;
		conn->client = chunk->flow->src_port == PORT_SSH && chunk->flow->dst_port != PORT_SSH;
	}
	return conn->over || conn->newkeys[d] ? PROTO_SKIP_REST : frames_feed(&f, &frame_ops);
}

static int ssh_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct ssh_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return conn->over || conn->newkeys[d] ? 0 : frames_gap(&f, &frame_ops, len);
}

static void ssh_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct ssh_conn *conn = at;

	if (reason == CALL_END_closed && conn->call && !conn->call->has_rsp)
		reason = CALL_END_unanswered;
	end_call(conn, sink, reason);
}

static enum guess ssh_guess(struct view bytes, const struct guess_hint *hint)
{
	static const char magic[] = "SSH-";
	size_t n = bytes.len < 4 ? bytes.len : 4;

	if (hint->proto != PROTO_tcp || !n)
		return GUESS_NO;
	if (memcmp(bytes.at, magic, n) == 0) {
		if (bytes.len < 6)
			return GUESS_MORE;
		return (bytes.at[4] == '1' || bytes.at[4] == '2') && bytes.at[5] == '.' ? GUESS_YES : GUESS_NO;
	}
	/* text before the server's banner */
	if (hint->dir != 1 || hint->dst_port != PORT_SSH)
		return GUESS_NO;
	if (view_find(bytes, VIEW_LIT("\nSSH-")) >= 0)
		return GUESS_YES;
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.at[i] < ' ' && bytes.at[i] != '\n' && bytes.at[i] != '\r' && bytes.at[i] != '\t')
			return GUESS_NO;
	return GUESS_MORE;
}

const struct proto_ops proto_ssh = {
	.id = L7_ssh,
	.name = "ssh",
	.title = "SSH",
	.conn_size = sizeof(struct ssh_conn),
	.hold_bytes = SSH_PACKET_MAX + 16,
	.guess = ssh_guess,
	.feed = ssh_feed,
	.gap = ssh_gap,
	.close = ssh_close,
	.detail = ssh_detail,
};
