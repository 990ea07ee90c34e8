/*
 * QUIC handshakes: RFC 9000 and 9001, version 2 (RFC 9369), late drafts, and the
 * plain hellos of Google's versions. One call each, from the client's first Initial
 * packet to the server's last one before the client goes on encrypted.
 *
 * Initial packets are protected with keys anyone can make: the hellos in them are
 * read, put together from their CRYPTO frames in any order. What follows is not.
 */
#include "wire/dissect.h"
#include "wire/exchange.h"
#include "wire/quic_msg.h"
#include "wire/quic_show.h"
#include "wire/tls_msg.h"

#include <stdio.h>

#define PIECES_MAX	32	/* of a hello */
#define HELLO_BYTES_MAX	8192u
#define INITIAL_BYTES_MIN 1200	/* of a client's datagram, RFC 9000 14.1 */
#define ANSWER_NS	(10ull * 1000000000)	/* no server takes longer to be heard of */
#define NAME_BYTES_MAX	256

/* Bytes of a side's handshake messages, in the call's memory. */
struct quic_side {
	struct {
		uint32_t off;
		struct view bytes;
	} piece[PIECES_MAX];
	unsigned count;
	bool read;		/* its hello was */
};

struct quic_conn {
	struct call *call;
	struct quic_side side[2];	/* client, server */
	struct quic_keys keys[2];
	uint8_t dcid[QUIC_CID_MAX];	/* the client chose it: what it says next is said to scid */
	uint8_t dcid_len;
	uint8_t scid[QUIC_CID_MAX];	/* of the server */
	uint8_t scid_len;
	uint32_t version;
	bool keyed, begun, retried, negotiated, early;
	uint8_t client;			/* direction of the client */
	uint16_t suite, group;
};

struct feed {
	struct quic_conn *conn;
	unsigned d;
	const struct chunk *chunk;
	struct call_sink *sink;
};

/* ---- the call ---- */

static void set_version(struct feed *f, uint32_t version)
{
	char name[24];

	f->conn->version = version;
	(void)quic_version_name(version, name);
	if (!f->conn->call)
		return;
	CALL_TEXT(f->sink, f->conn->call, method, view_str(name), sizeof(name));
	CALL_TEXT(f->sink, f->conn->call, version, view_str(name), sizeof(name));
}

static void set_target(struct feed *f, struct view name)
{
	struct call *call = f->conn->call;

	CALL_TEXT(f->sink, call, target, name, NAME_BYTES_MAX);
	CALL_TEXT(f->sink, call, target_template, name, NAME_BYTES_MAX);
	CALL_TEXT(f->sink, call, host, name, NAME_BYTES_MAX);
}

static void end(struct quic_conn *conn, uint8_t reason, struct call_sink *sink)
{
	struct call *call = conn->call;

	conn->call = NULL;
	conn->begun = false;
	if (!call)
		return;
	if (conn->retried)
		call_error(sink, call, "retried: the server wanted the address proven");
	if (conn->negotiated)
		call_error(sink, call, "the server did not know the version offered first");
	if (reason == CALL_END_complete) {
		call->rsp_whole = true;
		if (!call->row.status_class)
			ROW_SET(CALL, &call->row, status_class, CLASS_ok);
		if (!call->has_req)
			reason = CALL_END_no_request;
	}
	call_end(sink, call, reason);
}

static void begin(struct feed *f, bool client)
{
	struct quic_conn *conn = f->conn;

	memset(conn, 0, sizeof(*conn));
	conn->begun = true;
	conn->client = (uint8_t)(client ? f->d : !f->d);
	conn->call = call_open(f->sink, L7_quic);
	if (conn->call)
		ROW_SET(CALL, &conn->call->row, encrypted, true);
}

/* The datagram at hand belongs to the call. */
static void grow(struct feed *f)
{
	struct call *call = f->conn->call;
	uint64_t off = f->chunk->off, end_off = off + f->chunk->bytes.len, last_ns;

	if (!call)
		return;
	call_missing(call, f->chunk->missing);
	if (f->d != f->conn->client) {
		if (!call->has_rsp)
			call_response_begin(call, f->chunk, off);
		call_response_end(call, f->chunk, end_off);
		return;
	}
	if (call->has_rsp && !call->has_req)
		return;
	if (!call->has_req)
		call_request_begin(call, f->chunk, off);
	last_ns = call->row.req_last_ns;
	call_request_end(call, f->chunk, end_off);
	if (call->has_rsp && last_ns)	/* acknowledgements in the answer's midst: it is the hello that was answered */
		ROW_SET(CALL, &call->row, req_last_ns, last_ns);
}

/* ---- hellos ---- */

static void set_answers(struct feed *f, const struct tls_hello *hello)
{
	const char *suite = tls_suite_name(hello->suite), *group = tls_group_name(hello->group);
	char text[128];
	int len = snprintf(text, sizeof(text), "%s%s%s%s", suite ? suite : "unknown suite", hello->group ? ", " : "",
			   !hello->group ? "" : group ? group : "unknown group", hello->psk ? ", resumed" : "");

	CALL_TEXT(f->sink, f->conn->call, answers, view_make(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1),
		  sizeof(text));
}

/* What there is of the messages from their begin on, without a hole. */
static size_t gather(const struct quic_side *side, uint8_t bytes[HELLO_BYTES_MAX])
{
	size_t have = 0;
	bool more = true;

	while (more) {
		more = false;
		for (unsigned i = 0; i < side->count; i++) {
			uint32_t off = side->piece[i].off;
			struct view piece = side->piece[i].bytes;

			if (off > have || off + piece.len <= have)
				continue;
			piece = view_sub(view_sub(piece, have - off, piece.len), 0, HELLO_BYTES_MAX - have);
			memcpy(bytes + have, piece.at, piece.len);
			have += piece.len;
			more = piece.len > 0;
		}
	}
	return have;
}

/* last: nothing more of it will come. */
static void read_hello(struct feed *f, bool client, bool last)
{
	struct quic_conn *conn = f->conn;
	struct quic_side *side = &conn->side[!client];
	uint8_t bytes[HELLO_BYTES_MAX];
	struct tls_hello hello;
	size_t have, want;

	if (!conn->call || side->read || !side->count)
		return;
	have = gather(side, bytes);
	if (have < TLS_MESSAGE_HEAD_BYTES)
		return;
	want = TLS_MESSAGE_HEAD_BYTES + ((size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3]);
	if (bytes[0] != (client ? TLS_CLIENT_HELLO : 2) || (have < want && !last) ||
	    !tls_hello(view_make(bytes + TLS_MESSAGE_HEAD_BYTES, (have < want ? have : want) - TLS_MESSAGE_HEAD_BYTES), client, &hello))
		return;
	side->read = true;
	if (client) {
		set_target(f, hello.sni);
		conn->early |= hello.early_data;
	} else {
		set_answers(f, &hello);
	}
}

static void add_piece(struct feed *f, struct quic_side *side, const struct quic_frame *frame)
{
	struct view bytes;

	if (!f->conn->call || side->count == PIECES_MAX || frame->off > HELLO_BYTES_MAX || !frame->data.len)
		return;
	for (unsigned i = 0; i < side->count; i++)
		if (side->piece[i].off == frame->off && side->piece[i].bytes.len >= frame->data.len)
			return;		/* sent again */
	bytes = call_text(f->sink, f->conn->call, frame->data, HELLO_BYTES_MAX);
	if (!bytes.len)
		return;
	side->piece[side->count].off = (uint32_t)frame->off;
	side->piece[side->count++].bytes = bytes;
}

static void set_close(struct feed *f, bool client, const struct quic_frame *frame)
{
	struct call *call = f->conn->call;
	const char *name = quic_error_name(frame->error), *alert = NULL;

	if (!call)
		return;
	if (frame->error >= 0x100 && frame->error <= 0x1ff)
		alert = tls_alert_name((uint8_t)frame->error);
	ROW_SET(CALL, &call->row, status, (uint16_t)(frame->error > UINT16_MAX ? UINT16_MAX : frame->error));
	CALL_TEXT(f->sink, call, status_text, view_str(alert ? alert : name ? name : "?"), 64);
	ROW_SET(CALL, &call->row, status_class, frame->error == 0 ? CLASS_ok : client ? CLASS_server_error : CLASS_client_error);
	call_error(f->sink, call, "the %s closed: %s%s%.*s", client ? "client" : "server", alert ? alert : name ? name : "?",
		   frame->data.len ? ": " : "", (int)(frame->data.len < 128 ? frame->data.len : 128), (const char *)frame->data.at);
}

/* ---- packets ---- */

static void read_initial(struct feed *f, const struct quic_packet *packet, bool client)
{
	struct quic_conn *conn = f->conn;
	uint8_t plain[QUIC_PLAIN_MAX];
	struct quic_frame frame;
	struct view frames;
	uint64_t number;

	if (!conn->keyed || !quic_open(&conn->keys[!client], packet, plain, &number, &frames))
		return;
	while (quic_frame_next(&frames, &frame)) {
		if (frame.type == QUIC_CRYPTO)
			add_piece(f, &conn->side[!client], &frame);
		else if (frame.type == QUIC_CLOSE)
			set_close(f, client, &frame);
	}
	read_hello(f, client, false);
}

static bool is_id(const uint8_t *id, uint8_t len, struct view cid)
{
	return view_eq(view_make(id, len), cid);
}

static uint8_t keep_id(uint8_t id[QUIC_CID_MAX], struct view cid)
{
	memcpy(id, cid.len ? cid.at : (const uint8_t *)"", cid.len);
	return (uint8_t)cid.len;
}

/*
 * Does the packet begin a handshake? Then its own destination gives its keys. A
 * server may have given the client further ids, which it uses at once.
 */
static bool is_first(const struct feed *f, const struct quic_packet *packet)
{
	struct quic_keys keys[2];
	uint8_t plain[QUIC_PLAIN_MAX];
	struct view frames;
	uint64_t number;

	if (f->chunk->bytes.len < INITIAL_BYTES_MIN && !f->chunk->missing)
		return false;
	if (!quic_initial_keys(packet->version, packet->dcid, keys) || f->chunk->missing)
		return packet->dcid.len >= 8;
	return quic_open(&keys[0], packet, plain, &number, &frames);
}

/* An Initial packet of a client that is not part of the handshake at hand begins one. */
static void client_initial(struct feed *f, const struct quic_packet *packet)
{
	struct quic_conn *conn = f->conn;
	bool known = conn->begun && (is_id(conn->dcid, conn->dcid_len, packet->dcid) ||
				     is_id(conn->scid, conn->scid_len, packet->dcid) || !is_first(f, packet));

	if (!known) {
		if (!conn->begun && !is_first(f, packet))
			return;		/* the rest of a handshake that is over */
		if (conn->begun)
			end(conn, CALL_END_unanswered, f->sink);
		begin(f, true);
	}
	if (!known || packet->version != conn->version || (conn->retried && !conn->keyed)) {
		if (!known || !conn->retried)
			conn->dcid_len = keep_id(conn->dcid, packet->dcid);
		conn->keyed = quic_initial_keys(packet->version, packet->dcid, conn->keys);
		set_version(f, packet->version);
	}
	grow(f);
	read_initial(f, packet, true);
}

static void server_long(struct feed *f, const struct quic_packet *packet)
{
	struct quic_conn *conn = f->conn;

	if (!conn->begun) {
		if (packet->type != QUIC_INITIAL)
			return;
		begin(f, false);	/* the client was not captured */
		set_version(f, packet->version);
	}
	grow(f);
	switch (packet->type) {
	case QUIC_NEGOTIATION:
		conn->negotiated = true;
		conn->keyed = false;
		conn->version = 0;
		break;
	case QUIC_RETRY:
		conn->retried = true;
		conn->keyed = false;
		conn->side[0].count = 0;	/* the hello is sent again */
		conn->scid_len = keep_id(conn->scid, packet->scid);
		break;
	case QUIC_INITIAL:
		conn->scid_len = keep_id(conn->scid, packet->scid);
		read_initial(f, packet, false);
		break;
	default:
		break;
	}
}

static bool server_spoke(const struct quic_conn *conn)
{
	return conn->call && conn->call->has_rsp && !conn->negotiated && (!conn->retried || conn->keyed);
}

static void client_goes_on(struct feed *f)
{
	struct quic_conn *conn = f->conn;

	if (!server_spoke(conn))
		return;
	read_hello(f, true, true);
	end(conn, CALL_END_complete, f->sink);
}

static void take(struct feed *f, const struct quic_packet *packet)
{
	struct quic_conn *conn = f->conn;
	bool client = conn->begun ? f->d == conn->client : f->d == 0;

	if (packet->type == QUIC_SHORT) {
		if (client)
			client_goes_on(f);
		else if (conn->begun)
			grow(f);
	} else if (!client) {
		server_long(f, packet);
	} else if (packet->type == QUIC_INITIAL) {
		client_initial(f, packet);
	} else if (packet->type == QUIC_0RTT) {
		conn->early = true;
	} else if (packet->type == QUIC_HANDSHAKE) {
		client_goes_on(f);
	}
}

/* Google's: the hello is plain, what answers it is not. */
static void take_chlo(struct feed *f, const struct quic_chlo *chlo)
{
	if (!f->conn->begun) {
		begin(f, true);
		set_version(f, chlo->version);
		set_target(f, chlo->sni);
		if (f->conn->call)
			CALL_TEXT(f->sink, f->conn->call, user_agent, chlo->user_agent, NAME_BYTES_MAX);
	}
	grow(f);
}

/* ---- the ends ---- */

static int64_t quic_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct feed f = { .conn = at, .d = d, .chunk = chunk, .sink = sink };
	struct view rest = chunk->bytes;
	struct quic_packet packet;
	struct quic_chlo chlo;

	if (!f.conn->keyed && quic_chlo(chunk->bytes, &chlo)) {
		take_chlo(&f, &chlo);
		return (int64_t)chunk->bytes.len;
	}
	if (f.conn->begun && f.conn->version >> 24 == 'Q') {
		if (d != f.conn->client) {
			grow(&f);
			end(f.conn, CALL_END_complete, sink);
		}
		return (int64_t)chunk->bytes.len;
	}
	while (quic_packet_next(&rest, &packet)) {
		unsigned type = packet.type;

		take(&f, &packet);
		if (type == QUIC_SHORT || type == QUIC_NEGOTIATION || type == QUIC_RETRY)
			break;
	}
	return (int64_t)chunk->bytes.len;
}

static void finish(struct quic_conn *conn, uint8_t reason, struct call_sink *sink)
{
	struct feed f = { .conn = conn, .d = conn->client, .sink = sink };

	if (!conn->begun)
		return;
	read_hello(&f, true, true);
	if (conn->side[1].read || (conn->call && ROW_HAS(CALL, &conn->call->row, status)))
		end(conn, CALL_END_complete, sink);	/* what the server chose is known: the rest is encrypted anyway */
	else
		end(conn, conn->call && !conn->call->has_rsp && reason == CALL_END_closed ? CALL_END_unanswered : reason, sink);
}

static void quic_close(void *at, uint8_t reason, struct call_sink *sink)
{
	finish(at, reason, sink);
}

static void quic_tick(void *at, uint64_t now_ns, struct call_sink *sink)
{
	struct quic_conn *conn = at;

	if (conn->call && now_ns > conn->call->row.start_ns && now_ns - conn->call->row.start_ns > ANSWER_NS)
		finish(conn, CALL_END_unanswered, sink);
}

static enum guess quic_guess(struct view bytes, const struct guess_hint *hint)
{
	struct view rest = bytes;
	struct quic_packet packet;
	struct quic_chlo chlo;
	char name[24];

	if (hint->proto != PROTO_udp)
		return GUESS_NO;
	if (quic_chlo(bytes, &chlo))
		return GUESS_YES;
	if (!quic_packet_next(&rest, &packet) || packet.type == QUIC_SHORT)
		return GUESS_NO;
	if (packet.type == QUIC_NEGOTIATION)
		return packet.dcid.len || packet.scid.len >= 8 ? GUESS_MAYBE : GUESS_NO;
	if (quic_version_name(packet.version, name))
		return packet.type == QUIC_INITIAL || packet.scid.len || packet.dcid.len ? GUESS_YES : GUESS_MAYBE;
	/* a version not known here: a client's first datagram has a form of its own */
	return bytes.len >= INITIAL_BYTES_MIN && packet.dcid.len >= 8 && quic_version_is_grease(packet.version) ? GUESS_YES : GUESS_NO;
}

const struct proto_ops proto_quic = {
	.id = L7_quic,
	.name = "quic",
	.title = "QUIC",
	.conn_size = sizeof(struct quic_conn),
	.request_outlasts = true,
	.guess = quic_guess,
	.feed = quic_feed,
	.gap = exchange_gap,
	.close = quic_close,
	.tick = quic_tick,
	.detail = quic_detail,
};
