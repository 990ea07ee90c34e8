/*
 * DTLS handshakes: RFC 9147 (1.3), RFC 6347 (1.2), RFC 4347 and what was before it.
 * One call each, as of TLS: from the first ClientHello, its cookie asked for or not, to
 * the server's Finished, or, where that is encrypted, the client's first encrypted record.
 *
 * Messages come in fragments, in any order, and again when nobody answers: hellos are put
 * together, and a hello that comes again is a retry. Datagrams that are no records are
 * another protocol's on the same ports (RFC 7983) and are passed over.
 */
#include "base/err.h"
#include "wire/dtls_msg.h"
#include "wire/exchange.h"
#include "wire/stream.h"
#include "wire/tls_call.h"

#define ANSWER_NS	(60ull * 1000000000)	/* the longest pause between two retransmissions, RFC 6347 4.2.4.1 */
#define ENCRYPTED_MAX	64	/* records, and no sign of the other side: it was not captured */

enum { CLIENT, SERVER };

/* A hello of which fragments are there; its memory is the call's. */
struct dtls_hello {
	bool open;
	uint16_t seq;
	struct assembly all;
};

struct dtls_conn {
	struct call *call;
	bool begun;		/* a handshake is under way, also without a call */
	bool over;		/* one was: what the server says again begins none */
	uint8_t client;		/* direction of the client */
	struct dtls_hello hello[2];
	struct tls_agreed agreed;
	bool full;		/* the server showed what only a full handshake has */
	bool server_encrypted;
	uint16_t next_seq;	/* of the client's next hello */
	uint16_t encrypted[2];	/* records */
	unsigned retries;
	uint64_t last_ns;
};

struct feed {
	struct dtls_conn *conn;
	unsigned d;
	const struct chunk *chunk;
	struct call_sink *sink;
};

static unsigned side_of(const struct feed *f)
{
	return f->d == f->conn->client ? CLIENT : SERVER;
}

/* ---- the call ---- */

static void end(struct dtls_conn *conn, uint8_t reason, struct call_sink *sink)
{
	struct call *call = conn->call;

	conn->begun = false;
	conn->over = true;
	conn->call = NULL;
	if (!call)
		return;
	if (conn->agreed.chosen)
		tls_call_answers(sink, call, &conn->agreed);
	if (conn->retries)
		call_error(sink, call, "retries: %u", conn->retries);
	if (reason == CALL_END_complete) {
		call->rsp_whole = true;
		if (!call->has_req)
			reason = CALL_END_no_request;
	}
	call_end(sink, call, reason);
}

/* The datagram at hand is the call's. The client's later ones are no part of what is answered. */
static void grow(struct feed *f)
{
	struct call *call = f->conn->call;
	uint64_t off = f->chunk->off, end_off = off + f->chunk->bytes.len, last_ns;

	if (!call)
		return;
	call_missing(call, f->chunk->missing);
	if (side_of(f) == SERVER) {
		if (!call->has_rsp)
			call_response_begin(call, f->chunk, off);
		call_response_end(call, f->chunk, end_off);
		return;
	}
	if (!call->has_req && call->has_rsp)
		return;		/* its hello was not captured */
	if (!call->has_req)
		call_request_begin(call, f->chunk, off);
	last_ns = call->row.req_last_ns;
	call_request_end(call, f->chunk, end_off);
	if (call->has_rsp && last_ns)
		ROW_SET(CALL, &call->row, req_last_ns, last_ns);
}

static void begin(struct feed *f, bool client)
{
	struct dtls_conn *conn = f->conn;

	memset(conn, 0, sizeof(*conn));
	conn->begun = true;
	conn->client = (uint8_t)(client ? f->d : !f->d);
	conn->call = call_open(f->sink, L7_dtls);
	if (!conn->call)
		return;
	ROW_SET(CALL, &conn->call->row, encrypted, true);
	grow(f);
}

static void complete(struct feed *f)
{
	struct dtls_conn *conn = f->conn;

	call_sink_tls_done(f->sink, f->chunk, conn->client, false);
	if (conn->call)
		ROW_SET(CALL, &conn->call->row, status_class, CLASS_ok);
	end(conn, CALL_END_complete, f->sink);
}

static void refused(struct feed *f)
{
	struct call *call = f->conn->call;

	tls_call_refused(call, side_of(f) == CLIENT);
	end(f->conn, !call || call->has_rsp ? CALL_END_complete : CALL_END_unanswered, f->sink);
}

/* ---- hellos ---- */

/* The message that the fragment completes, *ret_body; false: not yet, or too large. */
static bool put_together(struct feed *f, const struct dtls_fragment *fragment, struct view *ret_body)
{
	struct dtls_hello *hello = &f->conn->hello[side_of(f)];

	if (fragment->bytes.len == fragment->len) {
		*ret_body = fragment->bytes;
		return true;
	}
	if (!f->conn->call || fragment->len > DTLS_HELLO_BYTES_MAX)
		return false;
	if (!hello->open || hello->seq != fragment->seq || hello->all.len != fragment->len) {
		*hello = (struct dtls_hello){ .seq = fragment->seq, .all.len = fragment->len };
		hello->all.at = call_memory(f->sink, f->conn->call, fragment->len);
		hello->all.mask = call_memory(f->sink, f->conn->call, fragment->len / 8 + 1);
		hello->open = hello->all.at && hello->all.mask;
	}
	if (!hello->open)
		return false;
	assembly_add(&hello->all, fragment->off, fragment->bytes);
	*ret_body = view_make(hello->all.at, hello->all.len);
	return hello->all.have == hello->all.len;
}

static void take_client_hello(struct feed *f, const struct dtls_fragment *fragment)
{
	struct dtls_conn *conn = f->conn;
	struct tls_hello hello;
	struct view body;

	/* what looks like the server's is a client too where a new handshake begins */
	if (!conn->begun || (side_of(f) == SERVER && conn->agreed.chosen)) {
		if (fragment->seq > 1 || (fragment->off && conn->over))
			return;		/* a piece that comes late is of the handshake that was */
		end(conn, CALL_END_closed, f->sink);
		begin(f, true);
	}
	if (side_of(f) != CLIENT || conn->agreed.chosen)
		return;
	if (fragment->seq < conn->next_seq) {
		conn->retries += fragment->off == 0;
		return;
	}
	if (!put_together(f, fragment, &body))
		return;
	if (!tls_hello(body, true, &hello) || !hello.dtls) {
		call_error(f->sink, conn->call, "the client's hello cannot be read");
		end(conn, CALL_END_closed, f->sink);
		return;
	}
	conn->next_seq = (uint16_t)(fragment->seq + 1);
	tls_call_offer(f->sink, conn->call, &hello);
}

static void take_server_hello(struct feed *f, const struct dtls_fragment *fragment)
{
	struct dtls_conn *conn = f->conn;
	struct tls_hello hello;
	struct view body;

	if (!conn->begun && !conn->over)
		begin(f, false);
	if (!conn->begun || side_of(f) != SERVER || (conn->agreed.chosen && !conn->agreed.retry) || !put_together(f, fragment, &body))
		return;
	if (!tls_hello(body, false, &hello) || !hello.dtls) {
		call_error(f->sink, conn->call, "the server's hello cannot be read");
		end(conn, CALL_END_closed, f->sink);
		return;
	}
	tls_call_choose(f->sink, conn->call, &hello, &conn->agreed);
	if (hello.retry)
		conn->agreed.chosen = false;	/* the client says its hello once more */
}

static void take_handshake(struct feed *f, struct view body)
{
	struct dtls_conn *conn = f->conn;
	struct dtls_fragment fragment;

	while (dtls_fragment_next(&body, &fragment)) {
		switch (fragment.type) {
		case TLS_CLIENT_HELLO:
			take_client_hello(f, &fragment);
			break;
		case TLS_SERVER_HELLO:
			take_server_hello(f, &fragment);
			break;
		case TLS_HELLO_VERIFY:
			conn->agreed.cookie |= conn->begun && side_of(f) == SERVER;
			break;
		default:
			if (fragment.type >= TLS_CERTIFICATE && fragment.type <= TLS_SERVER_HELLO_DONE && side_of(f) == SERVER)
				conn->full = true;
			break;
		}
	}
}

/* ---- records ---- */

/* What is encrypted tells how far the handshake has come. */
static void take_encrypted(struct feed *f, const struct dtls_record *record)
{
	struct dtls_conn *conn = f->conn;
	unsigned side = side_of(f);

	if (record->type == TLS_ALERT) {
		call_error(f->sink, conn->call, "encrypted alert of the %s", side == CLIENT ? "client" : "server");
		refused(f);
		return;
	}
	conn->encrypted[side]++;
	if (side == SERVER) {
		conn->server_encrypted = true;
		if (conn->agreed.chosen && !record->unified)
			complete(f);
	} else if (conn->agreed.chosen && record->unified && conn->server_encrypted) {
		complete(f);
	}
	if (!conn->begun || conn->encrypted[side] < ENCRYPTED_MAX)
		return;
	if (conn->agreed.chosen)
		complete(f);
	else
		end(conn, CALL_END_unanswered, f->sink);
}

static void take_record(struct feed *f, const struct dtls_record *record)
{
	struct dtls_conn *conn = f->conn;

	if (record->type == TLS_HANDSHAKE && !record->encrypted) {
		take_handshake(f, record->body);
		return;
	}
	if (!conn->begun)
		return;
	if (record->encrypted) {
		take_encrypted(f, record);
	} else if (record->type == TLS_CHANGE_CIPHER_SPEC) {
		if (side_of(f) == SERVER && !conn->full && tls_generation(conn->agreed.version) < TLS_1_3)
			conn->agreed.resumed = true;
	} else if (record->type == TLS_ALERT && record->body.len == 2 && !record->cut) {
		if (tls_call_alert(f->sink, conn->call, record->body.at[0], record->body.at[1], side_of(f) == CLIENT))
			refused(f);
	}
}

static int64_t dtls_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct feed f = { .conn = at, .d = d, .chunk = chunk, .sink = sink };
	struct view rest = chunk->bytes;
	struct dtls_record record;
	bool grown = false;

	while (dtls_record_next(&rest, &record)) {
		if (!grown && f.conn->begun) {
			f.conn->last_ns = chunk->time_ns;
			grow(&f);
		}
		grown = true;
		take_record(&f, &record);
	}
	if (f.conn->begun)
		f.conn->last_ns = chunk->time_ns;
	return (int64_t)chunk->bytes.len;
}

static void dtls_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct dtls_conn *conn = at;

	if (conn->call && !conn->call->has_rsp && reason == CALL_END_closed)
		reason = CALL_END_unanswered;
	end(conn, reason, sink);
}

static void dtls_tick(void *at, uint64_t now_ns, struct call_sink *sink)
{
	struct dtls_conn *conn = at;

	if (conn->begun && conn->last_ns + ANSWER_NS <= now_ns)
		end(conn, conn->call && conn->call->has_rsp ? CALL_END_closed : CALL_END_unanswered, sink);
}

/* Records up to the datagram's end; the first has the long form, and it is a hello for those to whom nothing less says it. */
static enum guess dtls_guess(struct view bytes, const struct guess_hint *hint)
{
	struct dtls_fragment fragment;
	struct dtls_record record;
	struct view rest = bytes;
	bool hello;

	if (hint->proto != PROTO_udp || !dtls_record_next(&rest, &record) || record.unified)
		return GUESS_NO;
	hello = record.type == TLS_HANDSHAKE && !record.epoch && dtls_fragment_next(&record.body, &fragment) &&
		fragment.type >= TLS_CLIENT_HELLO && fragment.type <= TLS_HELLO_VERIFY && fragment.seq <= 2;
	if (hello)
		return GUESS_YES;
	while (!record.cut && dtls_record_next(&rest, &record))
		continue;
	return rest.len || record.cut || record.version == DTLS_OLD ? GUESS_NO : GUESS_MAYBE;
}

const struct proto_ops proto_dtls = {
	.id = L7_dtls,
	.name = "dtls",
	.title = "DTLS",
	.conn_size = sizeof(struct dtls_conn),
	.guess = dtls_guess,
	.feed = dtls_feed,
	.gap = exchange_gap,
	.close = dtls_close,
	.tick = dtls_tick,
	.request_outlasts = true,
	.detail = dtls_detail,
};
