/*
 * TLS handshakes (RFC 8446, 5246 and before, SSL 2.0's hellos): one call each, from
 * the ClientHello to the server's Finished. What follows it is opaque, and not looked at.
 *
 * In TLS 1.3 most of it is encrypted: the server's flight is taken to end where the
 * client first answers it with encrypted records. A handshake of which bytes are
 * missing is given up.
 */
#include "wire/tls_call.h"
#include "wire/tls_show.h"

#define HELLO_BYTES_MAX	((size_t)16 << 10)	/* of a longer one only the beginning is read */
#define ENCRYPTED_RECORDS_MAX 64	/* and no sign of the other side: it was not captured */
#define SSLV2_SERVER_HELLO 4

/* One direction's place in its records. */
struct tls_dir {
	bool in_record;
	bool ciphered;		/* a ChangeCipherSpec was seen */
	bool finished;		/* an encrypted handshake message was */
	uint8_t type;
	uint32_t left;		/* of the record */
	uint32_t message_left;	/* of the handshake message in it */
	uint32_t encrypted;	/* records */
	uint64_t off;		/* of the record */
};

struct tls_conn {
	struct tls_dir dir[2];
	struct call *call;
	bool roles, done;
	uint8_t client;
	bool early, sslv2;
	bool server_done;	/* ServerHelloDone: a full handshake */
	struct tls_agreed agreed;
};

struct feed {
	struct tls_conn *conn;
	struct tls_dir *dir;
	unsigned d;
	const struct chunk *chunk;
	struct call_sink *sink;
	size_t pos;
};

enum step { STEP_ON, STEP_WAIT, STEP_DONE, STEP_BAD };

static uint64_t here(const struct feed *f)
{
	return f->chunk->off + f->pos;
}

static struct view ahead(const struct feed *f)
{
	return view_sub(f->chunk->bytes, f->pos, f->chunk->bytes.len);
}

static bool from_client(const struct feed *f)
{
	return f->d == f->conn->client;
}

/* ---- the call ---- */

static void end(struct feed *f, uint8_t reason)
{
	struct tls_conn *conn = f->conn;
	struct call *call = conn->call;

	conn->call = NULL;
	conn->done = true;
	if (!call)
		return;
	if (reason == CALL_END_complete) {
		call->rsp_whole = true;
		if (!call->has_req)
			reason = CALL_END_no_request;
	}
	call_end(f->sink, call, reason);
}

/* behind: bytes that still belong to the handshake. */
static enum step complete(struct feed *f, size_t behind)
{
	call_sink_tls_done(f->sink, f->chunk, f->conn->client, from_client(f) && ahead(f).len > behind);
	if (f->conn->call) {
		tls_call_answers(f->sink, f->conn->call, &f->conn->agreed);
		ROW_SET(CALL, &f->conn->call->row, status_class, CLASS_ok);
	}
	end(f, CALL_END_complete);
	return STEP_DONE;
}

/* The client's messages after its hello belong to the request, but it is the hello that is answered. */
static void request_grow(struct feed *f, uint64_t end_off)
{
	struct call *call = f->conn->call;
	uint64_t last_ns;

	if (!call || !call->has_req)
		return;
	last_ns = call->row.req_last_ns;
	call_request_end(call, f->chunk, end_off);
	ROW_SET(CALL, &call->row, req_last_ns, last_ns);
}

static void response_grow(struct feed *f, uint64_t end_off)
{
	struct call *call = f->conn->call;

	if (!call)
		return;
	if (!call->has_rsp)
		call_response_begin(call, f->chunk, f->dir->off);
	call_response_end(call, f->chunk, end_off);
}

/* ---- hellos ---- */

static enum step open_call(struct feed *f)
{
	struct tls_conn *conn = f->conn;

	conn->call = call_open(f->sink, L7_tls);
	if (!conn->call) {
		conn->done = true;
		return STEP_DONE;
	}
	ROW_SET(CALL, &conn->call->row, encrypted, true);
	return STEP_ON;
}

static enum step take_client_hello(struct feed *f, const struct tls_hello *hello, uint64_t end_off)
{
	struct tls_conn *conn = f->conn;

	if (conn->call) {	/* once more, after a HelloRetryRequest */
		conn->early = false;
		return STEP_ON;
	}
	if (conn->agreed.chosen || open_call(f) != STEP_ON)
		return STEP_DONE;
	call_request_begin(conn->call, f->chunk, f->dir->off);
	call_request_end(conn->call, f->chunk, end_off);
	conn->early = hello->early_data;
	tls_call_offer(f->sink, conn->call, hello);
	return STEP_ON;
}

static enum step take_server_hello(struct feed *f, const struct tls_hello *hello)
{
	struct tls_conn *conn = f->conn;

	if (!conn->call && open_call(f) != STEP_ON)
		return STEP_DONE;
	if (!conn->call->has_rsp)
		call_response_begin(conn->call, f->chunk, f->dir->off);
	tls_call_choose(f->sink, conn->call, hello, &conn->agreed);
	return STEP_ON;
}

/* ---- SSL 2.0 ---- */

static enum step step_sslv2_client(struct feed *f)
{
	struct view bytes = ahead(f);
	struct tls_hello hello;
	int size = tls_sslv2_size(bytes);
	enum step step;

	if (size <= 0)
		return size ? STEP_WAIT : STEP_BAD;
	if (bytes.len < (size_t)size)
		return STEP_WAIT;
	if (!tls_hello_sslv2(bytes, &hello))
		return STEP_BAD;
	f->conn->roles = true;
	f->conn->client = (uint8_t)f->d;
	f->conn->sslv2 = hello.version == TLS_SSL2;
	f->dir->off = here(f);
	step = take_client_hello(f, &hello, here(f) + (uint64_t)size);
	f->pos += (size_t)size;
	return step;
}

static enum step step_sslv2_server(struct feed *f)
{
	struct view bytes = ahead(f);
	size_t size;

	if (bytes.len < 3)
		return STEP_WAIT;
	size = ((size_t)(bytes.at[0] & 0x7f) << 8 | bytes.at[1]) + 2;
	if (!(bytes.at[0] & 0x80))
		size = 3;
	if (bytes.len < size)
		return STEP_WAIT;
	if (size == 3 || bytes.at[2] != SSLV2_SERVER_HELLO) {
		call_error(f->sink, f->conn->call, "the server refused SSL 2.0");
		f->dir->off = here(f);
		response_grow(f, here(f) + size);
		if (f->conn->call)
			ROW_SET(CALL, &f->conn->call->row, status_class, CLASS_client_error);
		end(f, CALL_END_complete);
		return STEP_DONE;
	}
	f->dir->off = here(f);
	f->pos += size;
	response_grow(f, here(f));
	call_error(f->sink, f->conn->call, "SSL 2.0 is obsolete");
	if (f->conn->call)
		ROW_SET(CALL, &f->conn->call->row, status_class, CLASS_ok);
	end(f, CALL_END_complete);
	return STEP_DONE;
}

/* ---- records ---- */

/* The handshake ends with what this side did not like. */
static enum step refused(struct feed *f, uint64_t end_off)
{
	struct call *call = f->conn->call;

	if (!call)
		return STEP_DONE;
	tls_call_refused(call, from_client(f));
	if (from_client(f))
		request_grow(f, end_off);
	else
		response_grow(f, end_off);
	if (f->conn->agreed.chosen)
		tls_call_answers(f->sink, f->conn->call, &f->conn->agreed);
	end(f, call->has_rsp ? CALL_END_complete : CALL_END_unanswered);
	return STEP_DONE;
}

/* A handshake record of this direction is in clear. */
static bool in_clear(const struct feed *f)
{
	return !f->dir->ciphered || f->conn->agreed.version >= TLS_1_3 || !f->conn->agreed.chosen;
}

static enum step begin_message(struct feed *f, size_t head, size_t left)
{
	struct tls_conn *conn = f->conn;
	struct view bytes = view_sub(ahead(f), head, f->chunk->bytes.len);
	uint8_t message[TLS_MESSAGE_HEAD_BYTES + HELLO_BYTES_MAX];
	struct tls_hello hello;
	size_t len;
	int rc = tls_gather(bytes, left, message, TLS_MESSAGE_HEAD_BYTES);

	if (rc)
		return rc < 0 ? STEP_BAD : STEP_WAIT;
	len = (size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3];
	if (len > TLS_MESSAGE_BYTES_MAX)
		return STEP_BAD;
	if (message[0] == TLS_CLIENT_HELLO || message[0] == TLS_SERVER_HELLO) {
		bool client = message[0] == TLS_CLIENT_HELLO;
		size_t want = len < HELLO_BYTES_MAX ? len : HELLO_BYTES_MAX;
		enum step step;

		rc = tls_gather(bytes, left, message, TLS_MESSAGE_HEAD_BYTES + want);
		if (rc)
			return rc < 0 ? STEP_BAD : STEP_WAIT;
		if (!tls_hello(view_make(message + TLS_MESSAGE_HEAD_BYTES, want), client, &hello) || hello.dtls)
			return STEP_BAD;
		if (!conn->roles)
			conn->client = (uint8_t)(client ? f->d : !f->d);
		conn->roles = true;
		if (client != from_client(f))
			return STEP_BAD;
		if (head)
			f->dir->off = here(f);
		step = client ? take_client_hello(f, &hello, here(f)) : take_server_hello(f, &hello);
		if (step != STEP_ON)
			return step;
	}
	if (!conn->roles)
		return STEP_DONE;	/* its beginning was not seen */
	if (message[0] == TLS_SERVER_HELLO_DONE)
		conn->server_done = true;
	f->dir->message_left = (uint32_t)(TLS_MESSAGE_HEAD_BYTES + len);
	return STEP_ON;
}

/* A record's last byte is behind. */
static enum step end_record(struct feed *f)
{
	struct tls_conn *conn = f->conn;
	struct tls_dir *dir = f->dir;
	bool clear = in_clear(f);

	dir->in_record = false;
	if (from_client(f)) {
		if (dir->type != TLS_APPLICATION_DATA && !dir->finished)
			request_grow(f, here(f));
		if (conn->call && conn->call->has_req && !conn->call->has_rsp && !conn->agreed.chosen && dir->type == TLS_HANDSHAKE &&
		    !dir->ciphered && !dir->message_left)
			call_request_end(conn->call, f->chunk, here(f));	/* the hello */
	} else {
		response_grow(f, here(f));
	}
	if (dir->type == TLS_HANDSHAKE && !clear) {
		dir->finished = true;
		if (!from_client(f))
			return complete(f, 0);
	}
	if (dir->type == TLS_CHANGE_CIPHER_SPEC) {
		dir->ciphered = true;
		if (!from_client(f) && conn->agreed.version < TLS_1_3 && !conn->server_done)
			conn->agreed.resumed = true;
	}
	if (dir->type == TLS_APPLICATION_DATA) {
		dir->encrypted++;
		if (!from_client(f) && conn->agreed.version < TLS_1_3)
			return complete(f, 0);
		if (dir->encrypted == ENCRYPTED_RECORDS_MAX) {
			if (conn->agreed.chosen)
				return complete(f, 0);
			end(f, CALL_END_unanswered);
			return STEP_DONE;
		}
	}
	return STEP_ON;
}

/* The client answers the server's flight of TLS 1.3: all of it was there. */
static enum step answer_13(struct feed *f, uint16_t len)
{
	struct tls_conn *conn = f->conn;

	/* alert, its type and the tag: no Finished is so short */
	if (len == 2 + 1 + 16 && !conn->early) {
		call_error(f->sink, conn->call, "encrypted alert of the client");
		return refused(f, here(f));
	}
	return complete(f, TLS_RECORD_HEAD_BYTES + (size_t)len);
}

static enum step step_record(struct feed *f)
{
	struct tls_conn *conn = f->conn;
	struct tls_dir *dir = f->dir;
	struct view bytes = ahead(f);
	struct tls_record record;

	if (bytes.len < TLS_RECORD_HEAD_BYTES)
		return STEP_WAIT;
	if (!tls_record(bytes, &record))
		return STEP_BAD;
	dir->off = here(f);
	if (record.type == TLS_HANDSHAKE && in_clear(f)) {
		if (!dir->message_left) {
			enum step step = begin_message(f, TLS_RECORD_HEAD_BYTES, record.len);

			if (step != STEP_ON)
				return step;
		}
	} else if (!conn->roles) {
		conn->done = true;	/* seen from the middle */
		return STEP_DONE;
	} else if (record.type == TLS_ALERT && record.len == 2) {
		if (bytes.len < TLS_RECORD_HEAD_BYTES + 2)
			return STEP_WAIT;
		dir->type = record.type;
		f->pos += TLS_RECORD_HEAD_BYTES;
		if (tls_call_alert(f->sink, conn->call, bytes.at[TLS_RECORD_HEAD_BYTES], bytes.at[TLS_RECORD_HEAD_BYTES + 1],
				   from_client(f)))
			return refused(f, here(f) + 2);
		f->pos += 2;
		return end_record(f);
	} else if (record.type == TLS_ALERT) {
		if (bytes.len < (size_t)TLS_RECORD_HEAD_BYTES + record.len)
			return STEP_WAIT;
		call_error(f->sink, conn->call, "encrypted alert of the %s", from_client(f) ? "client" : "server");
		return refused(f, here(f) + TLS_RECORD_HEAD_BYTES + record.len);
	} else if (record.type == TLS_APPLICATION_DATA && from_client(f) && conn->agreed.chosen && conn->agreed.version >= TLS_1_3 &&
		   conn->dir[!f->d].encrypted) {
		return answer_13(f, record.len);
	}
	dir->in_record = true;
	dir->type = record.type;
	dir->left = record.len;
	f->pos += TLS_RECORD_HEAD_BYTES;
	return dir->left ? STEP_ON : end_record(f);
}

/* Pass the bytes of the record at hand. */
static enum step step_bytes(struct feed *f)
{
	struct tls_dir *dir = f->dir;
	size_t n = ahead(f).len;

	n = n < dir->left ? n : dir->left;
	if (dir->type == TLS_HANDSHAKE && in_clear(f)) {
		if (!dir->message_left) {
			enum step step = begin_message(f, 0, dir->left);

			if (step != STEP_ON)
				return step;
		}
		n = n < dir->message_left ? n : dir->message_left;
		dir->message_left -= (uint32_t)n;
	}
	if (!n)
		return STEP_WAIT;
	f->pos += n;
	dir->left -= (uint32_t)n;
	return dir->left ? STEP_ON : end_record(f);
}

static enum step step(struct feed *f)
{
	const struct tls_conn *conn = f->conn;

	if (f->dir->in_record)
		return step_bytes(f);
	if (f->pos == f->chunk->bytes.len)
		return STEP_WAIT;
	if (!conn->roles && f->chunk->bytes.at[f->pos] & 0x80)
		return step_sslv2_client(f);
	if (conn->sslv2) {
		if (!from_client(f) && (f->chunk->bytes.at[f->pos] & 0x80 || f->chunk->bytes.at[f->pos] < TLS_CHANGE_CIPHER_SPEC))
			return step_sslv2_server(f);
		if (from_client(f)) {
			f->pos = f->chunk->bytes.len;
			return STEP_WAIT;
		}
	}
	return step_record(f);
}

static int64_t tls_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct tls_conn *conn = at;
	struct feed f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink };
	enum step how = STEP_ON;

	while (how == STEP_ON && !conn->done)
		how = step(&f);
	if (how == STEP_BAD) {
		if (!conn->call && !conn->agreed.chosen)
			return E_FORMAT;
		call_error(sink, conn->call, "what the %s sent is no TLS record", from_client(&f) ? "client" : "server");
		end(&f, CALL_END_closed);
	}
	if (how == STEP_DONE || conn->done) {
		conn->done = true;
		return PROTO_SKIP_REST;
	}
	return chunk->end ? (int64_t)chunk->bytes.len : (int64_t)f.pos;
}

static int tls_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct tls_conn *conn = at;
	struct feed f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	if (conn->done)
		return 0;
	if (!conn->roles)
		return E_FORMAT;
	call_missing(conn->call, len);
	if (conn->call && conn->agreed.chosen)
		tls_call_answers(sink, conn->call, &conn->agreed);
	end(&f, CALL_END_gap);
	return 0;
}

static void tls_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct tls_conn *conn = at;

	if (conn->call && conn->agreed.chosen)
		tls_call_answers(sink, conn->call, &conn->agreed);
	call_end_open(sink, conn->call, reason);
	conn->call = NULL;
}

/* Records one behind the other, of the middle of a connection. */
static bool is_middle(struct view bytes)
{
	struct tls_record record;
	unsigned whole = 0;

	while (bytes.len >= TLS_RECORD_HEAD_BYTES) {
		if (!tls_record(bytes, &record) || record.version > TLS_1_2 || record.version < TLS_1_0)
			return false;
		/* of one record cut short only the most usual sort says enough */
		if (bytes.len < (size_t)TLS_RECORD_HEAD_BYTES + record.len)
			return whole || (record.type == TLS_APPLICATION_DATA && record.version == TLS_1_2 && record.len > 16);
		whole++;
		bytes = view_sub(bytes, (size_t)TLS_RECORD_HEAD_BYTES + record.len, bytes.len);
	}
	return whole;
}

static enum guess tls_guess(struct view bytes, const struct guess_hint *hint)
{
	static const uint8_t least[] = { TLS_HANDSHAKE, 3 };
	struct tls_record record;
	size_t len;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	if (bytes.at[0] & 0x80) {
		int size = tls_sslv2_size(bytes);

		return size > 0 ? GUESS_YES : size < 0 ? GUESS_MORE : GUESS_NO;
	}
	if (memcmp(bytes.at, least, bytes.len < sizeof(least) ? bytes.len : sizeof(least)) != 0)
		return is_middle(bytes) ? GUESS_MAYBE : GUESS_NO;
	if (bytes.len >= TLS_RECORD_HEAD_BYTES && !tls_record(bytes, &record))
		return GUESS_NO;
	if (bytes.len < TLS_RECORD_HEAD_BYTES + TLS_MESSAGE_HEAD_BYTES + 2)
		return GUESS_MORE;
	len = (size_t)bytes.at[6] << 16 | (size_t)bytes.at[7] << 8 | bytes.at[8];
	if ((bytes.at[5] == TLS_CLIENT_HELLO || bytes.at[5] == TLS_SERVER_HELLO) && len >= 38 && len <= UINT16_MAX &&
	    bytes.at[9] == 3 && bytes.at[10] <= 4)
		return GUESS_YES;
	return is_middle(bytes) ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_tls = {
	.id = L7_tls,
	.name = "tls",
	.title = "TLS",
	.conn_size = sizeof(struct tls_conn),
	.hold_bytes = (size_t)64 << 10,
	.guess = tls_guess,
	.feed = tls_feed,
	.gap = tls_gap,
	.close = tls_close,
	.detail = tls_detail,
};
