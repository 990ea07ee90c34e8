/*
 * Memcached: text and meta commands (doc/protocol.txt of memcached), and the binary
 * protocol (doc/protocol-binary.txt). TCP only.
 *
 * Text is answered in order. Quiet commands (noreply, the meta flag q, the binary
 * ...Q ones) may get no answer: a noreply is a call without one, the others are over
 * when a later command is answered.
 */
#include "base/hash.h"
#include "base/rd.h"
#include "wire/dissect.h"
#include "wire/fold.h"
#include "wire/memcached_msg.h"

#define PORT_MEMCACHED	11211
#define LINE_MAX_BYTES	((size_t)32 << 10)	/* a get may name many keys */
#define KEY_MAX		250
#define METHOD_MAX	32

/* call->tag: what an answer has to fit */
enum {
	TAG_QUIET = 1, TAG_GET = 2, TAG_STAT = 4, TAG_META = 8, TAG_NOOP = 16, TAG_WATCH = 32,
	TAG_OPCODE_SHIFT = 8,	/* binary: opcode, then the opaque value */
	TAG_OPAQUE_SHIFT = 32,	/* of meta commands: a hash of the token */
};

struct memcached_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting;
	bool roles, sure, binary, opaque;
	uint8_t client;
	bool oneway;		/* the client's frame in progress gets no answer */
	bool end_call;		/* the server's frame in progress ends the head's answer */
	struct call *req;	/* the client's frame in progress */
	struct call *rsp;
	/* Commands were lost: how many answers are still to come before the next one's nobody knows, until something was
	 * said that answers nothing and all that waited is over. */
	bool doubt, spoken;
	struct call *doubt_from;	/* the first in waiting that was asked in doubt */
};

static void end_call(struct memcached_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	if (conn->req == call)
		conn->req = NULL;
	if (conn->rsp == call)
		conn->rsp = NULL;
	if (conn->doubt_from == call)
		conn->doubt_from = conn->waiting.head;	/* calls end in their order */
	call->rsp_whole = true;
	if (reason == CALL_END_complete && call->row.status_class == CLASS_none)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	call_end(sink, call, reason == CALL_END_complete && !call->has_req ? CALL_END_no_request : reason);
}

static void set_key(struct call_sink *sink, struct call *call, struct view key)
{
	char folded[KEY_MAX + 50];

	if (!key.len)
		return;
	CALL_TEXT(sink, call, target, key, KEY_MAX);
	CALL_TEXT(sink, call, key, key, KEY_MAX);
	CALL_TEXT(sink, call, target_template, view_make(folded, fold_key(key, folded, sizeof(folded))), sizeof(folded));
}

static struct call *open_call(struct frames *f, const struct frame *frame)
{
	struct memcached_conn *conn = f->conn;
	struct call *call = call_open(f->sink, L7_memcached);

	if (!call)
		return NULL;
	CALL_TEXT(f->sink, call, version, conn->binary ? VIEW_LIT("binary") : VIEW_LIT("text"), 8);
	if (f->d == conn->client) {
		call_request_begin(call, f->chunk, frame->off);
		call_request_end(call, f->chunk, frame->off);
	}
	if (f->d != conn->client) {
		call_fifo_put_first(&conn->waiting, call);
		return call;
	}
	if (!conn->waiting.head && conn->spoken)
		conn->doubt = false;
	call_fifo_put(&conn->waiting, call);
	if (conn->doubt && !conn->doubt_from)
		conn->doubt_from = call;
	return call;
}

/* The first that waits, if an answer here can be its. */
static struct call *head_of(struct frames *f)
{
	struct memcached_conn *conn = f->conn;
	struct call *call = conn->waiting.head;

	if (call && call_was_heard(call, f->chunk)) {
		if (call != conn->doubt_from)
			return call;
		conn->req = NULL;
		conn->doubt_from = NULL;
		call_fifo_end_all(&conn->waiting, f->sink, CALL_END_gap);
	}
	conn->spoken = true;
	return NULL;
}

/* ---- text ---- */

static uint64_t meta_opaque(const struct memcached_line *line)
{
	return line->opaque.len ? (hash_bytes(line->opaque.at, line->opaque.len, 3) | 1) << TAG_OPAQUE_SHIFT : 0;
}

static int take_text_request(struct frames *f, const struct frame *frame)
{
	struct memcached_conn *conn = f->conn;
	struct memcached_line line;
	struct call *call;

	conn->req = NULL;
	conn->oneway = false;
	if (!memcached_line(frame->bytes, &line))
		return FRAME_BAD;
	if (!memcached_command(line.word[0]))
		return f->sure ? FRAME_OK : FRAME_BAD;	/* it will be answered with ERROR, by the server as by us */
	call = open_call(f, frame);
	if (!call)
		return FRAME_OK;
	CALL_TEXT(f->sink, call, method, line.word[0], METHOD_MAX);
	set_key(f->sink, call, line.key);
	if (line.has_data)
		ROW_SET(CALL, &call->row, req_body_bytes, line.data_bytes);
	if (line.meta)
		call->tag = TAG_META | (line.quiet ? TAG_QUIET : 0) | meta_opaque(&line);
	if (view_is(line.word[0], "mn"))
		call->tag = TAG_NOOP;
	if (line.get)
		call->tag |= TAG_GET;
	if (view_is(line.word[0], "stats"))
		call->tag |= TAG_STAT;
	if (view_is(line.word[0], "watch"))
		call->tag |= TAG_WATCH;
	conn->req = call;
	conn->oneway = line.noreply || view_is(line.word[0], "quit");
	return FRAME_OK;
}

/* A quiet call is over, because one behind it is answered: what it did not say is what it is silent about. */
static void end_quiet(struct memcached_conn *conn, struct call_sink *sink)
{
	struct call *call = call_fifo_take(&conn->waiting);

	CALL_TEXT(sink, call, status_text, call->tag & TAG_GET ? VIEW_LIT("MISS") : VIEW_LIT("QUIET"), METHOD_MAX);
	ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	end_call(conn, call, CALL_END_complete, sink);
}

/* The call a line answers; quiet ones that it cannot belong to are over. */
static struct call *answered(struct frames *f, const struct memcached_line *line)
{
	struct memcached_conn *conn = f->conn;
	struct call *call;
	uint64_t opaque = meta_opaque(line);

	while ((call = conn->waiting.head) && call->tag & TAG_QUIET && call->next && call_was_heard(call->next, f->chunk)) {
		bool value = view_is(line->word[0], "VA"), fits = !view_is(line->word[0], "MN");

		if (opaque)
			fits = call->tag >> TAG_OPAQUE_SHIFT == opaque >> TAG_OPAQUE_SHIFT;
		else if (value)
			fits = call->tag & TAG_GET;
		if (fits && line->key.len && ROW_HAS(CALL, &call->row, key))
			fits = view_eq(line->key, call->row.key);
		if (fits)
			break;
		end_quiet(conn, f->sink);
	}
	return head_of(f);
}

static void set_text_status(struct call_sink *sink, struct call *call, const struct memcached_line *line)
{
	struct view word = line->word[0];
	uint64_t number;

	if (view_is(word, "END") || view_is(word, "EN") || view_is(word, "VA")) {
		if (call->tag & TAG_GET) {
			bool hit = view_is(word, "VA") || call->row.rows;

			CALL_TEXT(sink, call, status_text, hit ? VIEW_LIT("HIT") : VIEW_LIT("MISS"), METHOD_MAX);
			ROW_SET(CALL, &call->row, rows, call->row.rows + view_is(word, "VA"));
		}
	} else if (view_is(word, "ERROR") || view_is(word, "CLIENT_ERROR") || view_is(word, "SERVER_ERROR")) {
		ROW_SET(CALL, &call->row, status_class, word.at[0] == 'S' ? CLASS_server_error : CLASS_client_error);
		CALL_TEXT(sink, call, status_text, word, METHOD_MAX);
		call_error(sink, call, "%.*s", (int)line->all.len, (const char *)line->all.at);
	} else if (view_u64(word, UINT64_MAX, &number) == 0) {
		CALL_TEXT(sink, call, answers, word, METHOD_MAX);
	} else {
		CALL_TEXT(sink, call, status_text, word, METHOD_MAX);
		if (line->words > 1 && view_is(word, "VERSION"))
			CALL_TEXT(sink, call, answers, line->word[1], METHOD_MAX);
	}
}

static int take_text_response(struct frames *f, const struct frame *frame)
{
	struct memcached_conn *conn = f->conn;
	struct memcached_line line;
	struct call *call;

	conn->rsp = NULL;
	conn->end_call = false;
	if (!memcached_line(frame->bytes, &line))
		return FRAME_BAD;
	if (!memcached_answer(line.word[0]))
		return FRAME_BAD;
	conn->sure = true;
	call = answered(f, &line);
	if (!call)
		call = open_call(f, frame);
	if (!call)
		return FRAME_OK;
	if (!call->has_rsp)
		call_response_begin(call, f->chunk, frame->off);
	conn->rsp = call;
	if (line.has_data)
		ROW_SET(CALL, &call->row, rsp_body_bytes, call->row.rsp_body_bytes + line.data_bytes);
	if (view_is(line.word[0], "VALUE")) {
		ROW_SET(CALL, &call->row, rows, call->row.rows + 1);
		call->tag |= TAG_GET;
		if (!call->has_req)
			set_key(f->sink, call, line.key);
		return FRAME_OK;
	}
	if (view_is(line.word[0], "STAT") || view_is(line.word[0], "ITEM")) {
		ROW_SET(CALL, &call->row, rows, call->row.rows + 1);
		return FRAME_OK;
	}
	set_text_status(f->sink, call, &line);
	conn->end_call = true;
	if (call->tag & TAG_WATCH)
		conn->opaque = true;	/* log lines without end */
	return FRAME_OK;
}

/* ---- binary ---- */

static int take_binary_request(struct frames *f, const struct frame *frame)
{
	struct memcached_conn *conn = f->conn;
	struct memcached_head head;
	const char *name;
	struct call *call;

	conn->req = NULL;
	conn->oneway = false;
	(void)memcached_head(frame->bytes, &head);
	call = open_call(f, frame);
	if (!call)
		return FRAME_OK;
	name = memcached_opcode(head.opcode);
	CALL_TEXT(f->sink, call, method, name ? view_str(name) : VIEW_LIT("UNKNOWN"), METHOD_MAX);
	set_key(f->sink, call, view_sub(frame->bytes, (size_t)MEMCACHED_HEAD_BYTES + head.extras, head.key));
	ROW_SET(CALL, &call->row, req_body_bytes, head.body - head.extras - head.key);
	call->tag = (uint64_t)head.opaque << TAG_OPAQUE_SHIFT | (uint64_t)head.opcode << TAG_OPCODE_SHIFT |
		    (memcached_opcode_quiet(head.opcode) ? TAG_QUIET : 0) | (memcached_opcode_get(head.opcode) ? TAG_GET : 0);
	conn->req = call;
	return FRAME_OK;
}

static int take_binary_response(struct frames *f, const struct frame *frame)
{
	struct memcached_conn *conn = f->conn;
	struct memcached_head head;
	struct call *call;
	const char *text;

	conn->rsp = NULL;
	conn->end_call = false;
	(void)memcached_head(frame->bytes, &head);
	conn->sure = true;
	while ((call = conn->waiting.head) && call->next && call->tag & TAG_QUIET && call_was_heard(call->next, f->chunk) &&
	       ((uint32_t)(call->tag >> TAG_OPAQUE_SHIFT) != head.opaque || (uint8_t)(call->tag >> TAG_OPCODE_SHIFT) != head.opcode))
		end_quiet(conn, f->sink);
	call = head_of(f);
	if (!call)
		call = open_call(f, frame);
	if (!call)
		return FRAME_OK;
	if (!call->has_rsp)
		call_response_begin(call, f->chunk, frame->off);
	conn->rsp = call;
	ROW_SET(CALL, &call->row, rsp_body_bytes, call->row.rsp_body_bytes + head.body - head.extras - head.key);
	if (!call->has_req) {
		const char *name = memcached_opcode(head.opcode);

		CALL_TEXT(f->sink, call, method, name ? view_str(name) : VIEW_LIT("UNKNOWN"), METHOD_MAX);
	}
	if (head.opcode == MEMCACHED_STAT && head.key) {	/* until the one without a key */
		ROW_SET(CALL, &call->row, rows, call->row.rows + 1);
		return FRAME_OK;
	}
	ROW_SET(CALL, &call->row, status, head.status);
	text = memcached_status(head.status);
	if (call->tag & TAG_GET && head.status <= 1)
		text = head.status ? "MISS" : "HIT";
	CALL_TEXT(f->sink, call, status_text, text ? view_str(text) : VIEW_LIT("UNKNOWN"), METHOD_MAX);
	if (head.status >= 0x80)
		ROW_SET(CALL, &call->row, status_class, head.status == 0x81 || head.status == 0x83 ? CLASS_client_error :
			CLASS_server_error);
	else if (head.status == 3 || head.status == 4 || head.status == 6 || head.status == 0x20)
		ROW_SET(CALL, &call->row, status_class, CLASS_client_error);
	if (call->row.status_class > CLASS_ok)
		call_error(f->sink, call, "%s", text ? text : "unknown status");
	conn->end_call = true;
	return FRAME_OK;
}

/* ---- frames ---- */

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct memcached_conn *conn = f->conn;
	struct memcached_line line;
	struct memcached_head head;

	if (!conn->roles) {
		conn->binary = bytes.at[0] >= 0x80;
		if (!conn->binary && !memchr(bytes.at, '\n', bytes.len))
			return bytes.len < LINE_MAX_BYTES ? 0 : FRAME_BAD;
		if (!conn->binary && !memcached_line(bytes, &line))
			return FRAME_BAD;
		conn->client = (uint8_t)((conn->binary ? bytes.at[0] == 0x80 : memcached_command(line.word[0])) ? f->d : !f->d);
		conn->roles = true;
	}
	if (conn->binary) {
		if (bytes.at[0] != (f->d == conn->client ? 0x80 : 0x81))
			return FRAME_BAD;
		if (bytes.len < MEMCACHED_HEAD_BYTES)
			return 0;
		if (!memcached_head(bytes, &head))
			return FRAME_BAD;
		*ret_show = MEMCACHED_HEAD_BYTES + (uint64_t)head.extras + (f->d == conn->client ? head.key : 0);
		return MEMCACHED_HEAD_BYTES + (int64_t)head.body;
	}
	if (!memchr(bytes.at, '\n', bytes.len < LINE_MAX_BYTES ? bytes.len : LINE_MAX_BYTES))
		return bytes.len < LINE_MAX_BYTES ? 0 : FRAME_BAD;
	if (!memcached_line(bytes, &line))
		return FRAME_BAD;
	*ret_show = line.line_bytes;
	return (int64_t)(line.line_bytes + (line.has_data ? line.data_bytes + 2 : 0));
}

static int take(struct frames *f, const struct frame *frame)
{
	struct memcached_conn *conn = f->conn;

	if (f->d == conn->client)
		return conn->binary ? take_binary_request(f, frame) : take_text_request(f, frame);
	return conn->binary ? take_binary_response(f, frame) : take_text_response(f, frame);
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct memcached_conn *conn = f->conn;
	struct call *call;

	if (f->d == conn->client) {
		call = conn->req;
		call_missing(call, missing);
		if (!call)
			return;
		call_request_end(call, f->chunk, end_off);
		if (!whole || !conn->oneway)
			return;
		/* it is the last one */
		if (conn->doubt_from == call)
			conn->doubt_from = NULL;
		if (conn->waiting.head == call) {
			(void)call_fifo_take(&conn->waiting);
		} else {
			struct call *prev = conn->waiting.head;

			while (prev->next != call)
				prev = prev->next;
			prev->next = NULL;
			conn->waiting.tail = prev;
			conn->waiting.count--;
		}
		end_call(conn, call, CALL_END_oneway, f->sink);
		return;
	}
	call = conn->rsp;
	call_missing(call, missing);
	if (!call)
		return;
	call_response_end(call, f->chunk, end_off);
	if (whole && conn->end_call) {
		(void)call_fifo_take(&conn->waiting);	/* answered() made it the head */
		end_call(conn, call, CALL_END_complete, f->sink);
	}
}

static bool resync(struct frames *f, struct view bytes)
{
	const struct memcached_conn *conn = f->conn;

	return memcached_begins(bytes, f->d == conn->client, conn->binary);
}

static void lost(struct frames *f, uint64_t len)
{
	struct memcached_conn *conn = f->conn;

	conn->req = conn->rsp = NULL;
	conn->end_call = conn->oneway = false;
	if (f->d == conn->client || conn->waiting.count > 1) {
		conn->doubt = true;
		conn->spoken = false;
	}
	if (f->d == conn->client)
		return;
	conn->doubt_from = NULL;
	call_missing(conn->waiting.head, len);
	call_fifo_end_all(&conn->waiting, f->sink, CALL_END_gap);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t memcached_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct memcached_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return conn->opaque ? PROTO_SKIP_REST : frames_feed(&f, &frame_ops);
}

static int memcached_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct memcached_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	if (conn->opaque)
		return 0;
	if (!conn->roles)
		return E_FORMAT;
	return frames_gap(&f, &frame_ops, len);
}

static void memcached_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct memcached_conn *conn = at;

	call_fifo_end_open(&conn->waiting, sink, reason);
}

static enum guess memcached_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_MEMCACHED || hint->dst_port == PORT_MEMCACHED, binary;
	struct memcached_head head;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	binary = bytes.at[0] >= 0x80;
	if (binary && bytes.at[0] > 0x81)
		return GUESS_NO;
	if (memcached_begins(bytes, true, binary) || memcached_begins(bytes, false, binary))
		return port ? GUESS_YES : GUESS_MAYBE;
	if (binary) {
		if (bytes.len < MEMCACHED_HEAD_BYTES)
			return (bytes.len > 1 && !memcached_opcode(bytes.at[1])) || (bytes.len > 5 && bytes.at[5]) ? GUESS_NO :
			       GUESS_MORE;
		return port && memcached_head(bytes, &head) ? GUESS_YES : GUESS_NO;
	}
	if (!memchr(bytes.at, '\n', bytes.len))
		return memcached_may_begin(bytes) ? GUESS_MORE : GUESS_NO;
	if (port) {
		struct memcached_line line;

		return memcached_line(bytes, &line) && (memcached_command(line.word[0]) || memcached_answer(line.word[0])) ?
			GUESS_MAYBE : GUESS_NO;
	}
	return GUESS_NO;
}

const struct proto_ops proto_memcached = {
	.id = L7_memcached,
	.name = "memcached",
	.title = "Memcached",
	.conn_size = sizeof(struct memcached_conn),
	.hold_bytes = LINE_MAX_BYTES + 1,
	.guess = memcached_guess,
	.feed = memcached_feed,
	.gap = memcached_gap,
	.close = memcached_close,
	.detail = memcached_detail,
};
