/*
 * NATS client protocol (docs.nats.io/reference/reference-protocols/nats-protocol).
 *
 * A message with a reply subject asks: a publication for the message on its inbox, which comes on the same
 * connection when that is subscribed to the inbox; a delivery for the publication to its reply subject, if the
 * subscriber answers. Others are one-way, but in verbose mode each command is answered by +OK or -ERR, in order.
 * Otherwise -ERR tells of nothing in particular, but for that after a CONNECT, or a line that is no command.
 */
#include "base/hash.h"
#include "wire/dissect.h"
#include "wire/fold.h"
#include "wire/nats_msg.h"

#include <stdio.h>

#define PORT_NATS	4222
#define TEXT_MAX	256
#define PENDING_MAX	1024
#define SUBS		48
#define SUBJECT_MAX	80	/* of a subscription */
#define QUEUE_MAX	38
#define HEADERS_SHOWN	((uint64_t)4 << 10)
#define TIMEOUT_NS	60000000000ull	/* clients wait seconds for a reply */
#define UNKNOWN_MAX	512
#define TLS_HANDSHAKE	0x16

/* call->tag: what it waits for, above it the hash of its reply subject */
enum { TAG_OK = 1, TAG_REPLY = 2, TAG_SOFT = 4, TAG_PING = 8, TAG_BLAME = 16, TAG_BITS = 8 };

struct sub {
	uint64_t sid;		/* hash */
	uint8_t subject_len, queue_len;
	char text[];		/* subject, queue */
};

struct nats_conn {
	struct frame_dir dir[2];
	bool roles, sure, verbose;
	bool whole;			/* seen from the beginning on: subs holds all subscriptions */
	bool spoke;			/* the client has */
	bool doubt[2];			/* something in this direction was lost */
	uint8_t client, sub_next;
	uint64_t oks_owed;		/* +OK for commands that were left out */
	struct call_fifo oks;		/* commands that +OK answers */
	struct call_fifo asked[2];	/* messages with a reply subject, by direction */
	struct call_fifo pings[2];
	struct call *blame;		/* what a coming -ERR is about */
	struct call *at[2];		/* of the frame in progress */
	bool at_answer[2];
	uint8_t user_len, agent_len;
	char user[64], agent[128];
	struct sub *sub[SUBS];		/* conn_memory_take() */
};

static uint64_t text_hash(struct view text)
{
	return hash_bytes(text.len ? text.at : (const uint8_t *)"", text.len, 20) | 1;
}

/* ---- subscriptions ---- */

/* Where the subscription is; SUBS: nowhere. */
static unsigned sub_find(const struct nats_conn *conn, struct view sid)
{
	uint64_t hash = text_hash(sid);
	unsigned i = 0;

	while (i < SUBS && !(conn->sub[i] && conn->sub[i]->sid == hash))
		i++;
	return i;
}

static struct view sub_subject(const struct sub *sub)
{
	return view_make(sub->text, sub->subject_len);
}

static struct view sub_queue(const struct sub *sub)
{
	return view_make(sub->text + sub->subject_len, sub->queue_len);
}

static uint8_t keep(char *text, size_t cap, struct view from)
{
	if (from.len > cap)
		from.len = cap;
	memcpy(text, from.len ? from.at : (const uint8_t *)"", from.len);
	return (uint8_t)from.len;
}

static void sub_put(struct nats_conn *conn, const struct nats_line *line, struct call_sink *sink)
{
	struct view subject = view_sub(line->subject, 0, SUBJECT_MAX), queue = view_sub(line->queue, 0, QUEUE_MAX);
	unsigned i = sub_find(conn, line->sid);
	struct sub *sub;

	for (unsigned n = 0; n < SUBS && i == SUBS; n++)
		if (!conn->sub[n])
			i = n;
	if (i == SUBS) {
		i = conn->sub_next++ % SUBS;
		conn->whole = false;
	}
	conn_memory_give(sink, conn->sub[i]);
	conn->sub[i] = sub = conn_memory_take(sink, sizeof(*sub) + subject.len + queue.len);
	if (!sub || subject.len < line->subject.len)
		conn->whole = false;
	if (!sub)
		return;
	sub->sid = text_hash(line->sid);
	sub->subject_len = keep(sub->text, SUBJECT_MAX, subject);
	sub->queue_len = keep(sub->text + subject.len, QUEUE_MAX, queue);
}

/* Can what is published to subject come back on this connection? */
static bool is_subscribed(const struct nats_conn *conn, struct view subject)
{
	for (unsigned i = 0; i < SUBS; i++)
		if (conn->sub[i] && nats_subject_fits(sub_subject(conn->sub[i]), subject))
			return true;
	return !conn->whole;
}

/* ---- calls ---- */

static void end_call(struct nats_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	for (unsigned d = 0; d < 2; d++)
		if (conn->at[d] == call)
			conn->at[d] = NULL;
	if (reason == CALL_END_unanswered && call->tag & TAG_SOFT)
		reason = CALL_END_oneway;
	call_end(sink, call, reason);
}

/* What waited to be blamed was right. */
static void end_blame(struct nats_conn *conn, struct call_sink *sink)
{
	if (conn->blame)
		end_call(conn, conn->blame, CALL_END_oneway, sink);
	conn->blame = NULL;
}

static void wait_in(struct nats_conn *conn, struct call_fifo *fifo, struct call *call, struct call_sink *sink)
{
	if (fifo->count >= PENDING_MAX) {
		struct call *first = call_fifo_take(fifo);

		conn->oks_owed += fifo == &conn->oks;
		end_call(conn, first, first->tag & TAG_SOFT ? CALL_END_oneway : CALL_END_evicted, sink);
	}
	call_fifo_put(fifo, call);
}

/* A command was left out: those before it are, too, for its +OK would be taken for that of another. */
static void owe_oks(struct nats_conn *conn, struct call_sink *sink)
{
	conn->oks_owed += conn->oks.count + 1;
	call_fifo_end_all(&conn->oks, sink, CALL_END_evicted);
}

static struct call *open_call(struct frames *f, const struct frame *frame, bool answer, const char *method)
{
	struct nats_conn *conn = f->conn;
	struct call *call = call_open(f->sink, L7_nats);

	conn->at[f->d] = call;
	conn->at_answer[f->d] = answer;
	if (!call)
		return NULL;
	if (answer)
		call_response_begin(call, f->chunk, frame->off);
	else
		call_request_begin(call, f->chunk, frame->off);
	CALL_TEXT(f->sink, call, method, view_str(method), 16);
	CALL_TEXT(f->sink, call, user, view_make(conn->user, conn->user_len), sizeof(conn->user));
	CALL_TEXT(f->sink, call, user_agent, view_make(conn->agent, conn->agent_len), sizeof(conn->agent));
	return call;
}

static void answer_call(struct frames *f, const struct frame *frame, struct call *call)
{
	struct nats_conn *conn = f->conn;

	call_response_begin(call, f->chunk, frame->off);
	conn->at[f->d] = call;
	conn->at_answer[f->d] = true;
}

static void set_subject(struct call_sink *sink, struct call *call, struct view subject)
{
	char folded[TEXT_MAX];

	subject = view_sub(subject, 0, TEXT_MAX);
	CALL_TEXT(sink, call, target, subject, TEXT_MAX);
	CALL_TEXT(sink, call, topic, subject, TEXT_MAX);
	CALL_TEXT(sink, call, target_template, view_make(folded, fold_key(subject, folded, sizeof(folded))), sizeof(folded));
}

static void set_error(struct call_sink *sink, struct call *call, struct view text)
{
	bool server = view_ieq(text, "Server Shutdown") || view_ieq(text, "Slow Consumer") ||
		      view_istarts(text, "maximum connections");

	ROW_SET(CALL, &call->row, status_class, server ? CLASS_server_error : CLASS_client_error);
	CALL_TEXT(sink, call, status_text, VIEW_LIT("-ERR"), 8);
	call_error(sink, call, "%.*s", (int)(text.len < 400 ? text.len : 400), text.len ? (const char *)text.at : "error");
}

/* Sizes and headers of a message, which is the request or the answer of call. */
static void set_message(struct frames *f, const struct frame *frame, struct call *call, const struct nats_line *line, bool answer)
{
	struct nats_headers headers;

	if (answer)
		ROW_SET(CALL, &call->row, rsp_body_bytes, line->payload - line->headers);
	else
		ROW_SET(CALL, &call->row, req_body_bytes, line->payload - line->headers);
	if (answer)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	if (!line->headers)
		return;
	nats_headers(view_sub(frame->bytes, line->len, (size_t)line->headers), &headers);
	if (!ROW_HAS(CALL, &call->row, trace_id))
		CALL_TEXT(f->sink, call, trace_id, headers.trace, 64);
	if (!headers.status)
		return;
	ROW_SET(CALL, &call->row, status, headers.status);
	ROW_SET(CALL, &call->row, status_class, headers.status >= 500 ? CLASS_server_error : headers.status >= 400 ?
		CLASS_client_error : CLASS_ok);
	CALL_TEXT(f->sink, call, status_text, headers.status_text.len ? headers.status_text : headers.status == 503 ?
		  VIEW_LIT("No Responders") : view_make("", 0), 64);
	if (headers.status >= 400)
		call_error(f->sink, call, "%u %.*s", headers.status, (int)call->row.status_text.len,
			   ROW_HAS(CALL, &call->row, status_text) ? (const char *)call->row.status_text.at : "");
}

/* ---- of the client ---- */

static void learn(struct nats_conn *conn, struct view options)
{
	struct view user = nats_option(options, "user"), name = nats_option(options, "name"), lang = nats_option(options, "lang"),
		    version = nats_option(options, "version");
	char text[128];

	if (!user.len)
		user = nats_option(options, "nkey");
	conn->user_len = keep(conn->user, sizeof(conn->user), user);
	(void)snprintf(text, sizeof(text), "%.*s%s%.*s/%.*s", (int)(name.len < 60 ? name.len : 60),
		       name.len ? (const char *)name.at : "", name.len ? " " : "", (int)(lang.len < 30 ? lang.len : 30),
		       lang.len ? (const char *)lang.at : "", (int)(version.len < 30 ? version.len : 30),
		       version.len ? (const char *)version.at : "");
	if (lang.len || version.len || name.len)
		conn->agent_len = keep(conn->agent, sizeof(conn->agent), view_str(text));
	conn->verbose = view_is(nats_option(options, "verbose"), "true");
}

/* A message for which somebody waits on the other side? Then it is the answer. */
static bool take_answer(struct frames *f, const struct frame *frame, const struct nats_line *line)
{
	struct nats_conn *conn = f->conn;
	uint64_t hash = text_hash(line->subject) << TAG_BITS;
	struct call *call;

	for (call = conn->asked[!f->d].head; call; call = call->next)
		if (call->tag >> TAG_BITS << TAG_BITS == hash)
			break;
	if (!call)
		return false;
	call_fifo_remove(&conn->asked[!f->d], call);
	answer_call(f, frame, call);
	set_message(f, frame, call, line, true);
	return true;
}

static void take_publication(struct frames *f, const struct frame *frame, const struct nats_line *line)
{
	struct nats_conn *conn = f->conn;
	struct call *call;

	if (!conn->verbose && !line->reply.len && take_answer(f, frame, line))
		return;
	call = open_call(f, frame, false, line->name);
	if (!call) {
		if (conn->verbose)
			owe_oks(conn, f->sink);
		return;
	}
	set_subject(f->sink, call, line->subject);
	set_message(f, frame, call, line, false);
	if (conn->verbose)
		call->tag |= TAG_OK;
	if (line->reply.len && is_subscribed(conn, line->reply))
		call->tag |= text_hash(line->reply) << TAG_BITS | TAG_REPLY | (conn->whole ? 0 : TAG_SOFT);
}

static void take_command(struct frames *f, const struct frame *frame, const struct nats_line *line)
{
	struct nats_conn *conn = f->conn;
	unsigned at = line->op == NATS_UNSUB ? sub_find(conn, line->sid) : SUBS;
	struct call *call;

	if (line->op == NATS_CONNECT)
		learn(conn, line->text);
	if (line->op == NATS_SUB)
		sub_put(conn, line, f->sink);
	call = open_call(f, frame, false, line->name);
	if (!call) {
		if (conn->verbose)
			owe_oks(conn, f->sink);
		return;
	}
	if (conn->verbose)
		call->tag = TAG_OK;
	else if (line->op == NATS_CONNECT)
		call->tag = TAG_BLAME;
	if (line->op == NATS_SUB) {
		set_subject(f->sink, call, line->subject);
		CALL_TEXT(f->sink, call, queue, line->queue, TEXT_MAX);
	}
	if (at == SUBS)
		return;
	set_subject(f->sink, call, sub_subject(conn->sub[at]));
	CALL_TEXT(f->sink, call, queue, sub_queue(conn->sub[at]), QUEUE_MAX);
}

/* ---- of the server ---- */

static void take_delivery(struct frames *f, const struct frame *frame, const struct nats_line *line)
{
	struct nats_conn *conn = f->conn;
	unsigned at = sub_find(conn, line->sid);
	struct call *call;

	if (take_answer(f, frame, line))
		return;
	call = open_call(f, frame, false, line->name);
	if (!call)
		return;
	set_subject(f->sink, call, line->subject);
	set_message(f, frame, call, line, false);
	if (at < SUBS)
		CALL_TEXT(f->sink, call, queue, sub_queue(conn->sub[at]), QUEUE_MAX);
	/* a subscriber need not answer, or may do so elsewhere */
	if (line->reply.len && !conn->verbose)
		call->tag = text_hash(line->reply) << TAG_BITS | TAG_REPLY | TAG_SOFT;
}

static void take_ok(struct frames *f, const struct frame *frame, const struct nats_line *line)
{
	struct nats_conn *conn = f->conn;
	struct call *call;

	if (conn->oks_owed) {
		conn->oks_owed--;
		return;
	}
	call = call_fifo_take(&conn->oks);
	if (call && line->op == NATS_OK && call->tag & TAG_REPLY) {	/* its answer is still to come */
		call->tag &= ~(uint64_t)TAG_OK;
		wait_in(conn, &conn->asked[conn->client], call, f->sink);
		return;
	}
	if (!call && line->op == NATS_ERR) {
		call = conn->blame;
		conn->blame = NULL;
	}
	if (call)
		answer_call(f, frame, call);
	else
		call = open_call(f, frame, line->op == NATS_OK, line->name);
	if (!call)
		return;
	if (line->op == NATS_ERR) {
		set_error(f->sink, call, line->text);
		return;
	}
	ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	CALL_TEXT(f->sink, call, status_text, VIEW_LIT("+OK"), 8);
}

/* ---- frames ---- */

static void take_ping(struct frames *f, const struct frame *frame, const struct nats_line *line)
{
	struct nats_conn *conn = f->conn;
	struct call *call;

	if (line->op == NATS_PING) {
		call = open_call(f, frame, false, line->name);
		if (call)
			call->tag = TAG_PING;
		return;
	}
	call = call_fifo_take(&conn->pings[!f->d]);
	if (call)
		answer_call(f, frame, call);
	else
		call = open_call(f, frame, true, line->name);
	if (call)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
}

static int take_line(struct frames *f, const struct frame *frame, const struct nats_line *line)
{
	struct nats_conn *conn = f->conn;
	struct view name;
	struct call *call;

	if (f->d != conn->client && line->op != NATS_ERR && line->op != NATS_INFO)
		end_blame(conn, f->sink);
	switch (line->op) {
	case NATS_PUB:
	case NATS_HPUB:
		take_publication(f, frame, line);
		break;
	case NATS_CONNECT:
	case NATS_SUB:
	case NATS_UNSUB:
		take_command(f, frame, line);
		break;
	case NATS_MSG:
	case NATS_HMSG:
		take_delivery(f, frame, line);
		break;
	case NATS_OK:
	case NATS_ERR:
		take_ok(f, frame, line);
		break;
	case NATS_INFO:
		call = open_call(f, frame, false, line->name);
		name = nats_option(line->text, "server_name");
		if (call)
			CALL_TEXT(f->sink, call, target, name.len ? name : nats_option(line->text, "server_id"), TEXT_MAX);
		break;
	default:
		take_ping(f, frame, line);
		break;
	}
	return FRAME_OK;
}

/* A line that is no command: the server will say so. */
static bool unknown_line(struct frames *f, struct view bytes, size_t *ret_len)
{
	const struct nats_conn *conn = f->conn;
	const uint8_t *end = memchr(bytes.at, '\n', bytes.len < UNKNOWN_MAX ? bytes.len : UNKNOWN_MAX);
	size_t len = end ? (size_t)(end - bytes.at) + 1 : 0;

	if (!conn->sure || !conn->roles || f->d != conn->client || (!end && bytes.len >= UNKNOWN_MAX))
		return false;
	for (size_t i = 0; i < (end ? len - 1 : bytes.len); i++)
		if ((bytes.at[i] < ' ' && bytes.at[i] != '\t' && bytes.at[i] != '\r') || bytes.at[i] >= 0x7f)
			return false;
	*ret_len = len;
	return true;
}

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct nats_conn *conn = f->conn;
	struct nats_line line;
	int rc = nats_line(bytes, &line);
	size_t len;
	char sender;

	if (rc == 0)
		return 0;
	if (rc < 0) {
		if (!unknown_line(f, bytes, &len))
			return FRAME_BAD;
		*ret_show = len;
		return (int64_t)len;
	}
	sender = nats_sender(line.op);
	if (sender != 'B' && !conn->roles) {
		conn->roles = true;
		conn->client = (uint8_t)(sender == 'C' ? f->d : !f->d);
	} else if (sender != 'B' && (sender == 'C') != (f->d == conn->client)) {
		return FRAME_BAD;
	}
	*ret_show = line.len + (line.headers < HEADERS_SHOWN ? line.headers : HEADERS_SHOWN);
	return (int64_t)(line.len + (line.has_payload ? line.payload + 2 : 0));
}

static int take(struct frames *f, const struct frame *frame)
{
	struct nats_conn *conn = f->conn;
	struct nats_line line;
	struct call *call;

	conn->at[f->d] = NULL;
	if (nats_line(frame->bytes, &line) == 1) {
		if (line.op == NATS_INFO && frame->off == 0)
			conn->whole = true;
		conn->spoke |= f->d == conn->client;
		return take_line(f, frame, &line);
	}
	call = open_call(f, frame, false, "UNKNOWN");
	if (call) {
		call->tag = TAG_BLAME;
		CALL_TEXT(f->sink, call, target, view_sub(frame->bytes, 0, strcspn((const char *)frame->bytes.at, " \t\r\n")), 64);
	}
	return FRAME_OK;
}

/* A request is whole: who answers it? */
static void request_done(struct nats_conn *conn, struct call *call, unsigned d, struct call_sink *sink)
{
	if (call->tag & TAG_OK) {
		wait_in(conn, &conn->oks, call, sink);
	} else if (call->tag & TAG_REPLY) {
		wait_in(conn, &conn->asked[d], call, sink);
	} else if (call->tag & TAG_PING) {
		wait_in(conn, &conn->pings[d], call, sink);
	} else if (call->tag & TAG_BLAME) {
		end_blame(conn, sink);
		conn->blame = call;
	} else {
		end_call(conn, call, CALL_END_oneway, sink);
	}
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct nats_conn *conn = f->conn;
	struct call *call = conn->at[f->d];

	if (whole)
		conn->sure = true;
	if (!call)
		return;
	call_missing(call, missing);
	if (conn->at_answer[f->d])
		call_response_end(call, f->chunk, end_off);
	else
		call_request_end(call, f->chunk, end_off);
	if (!whole)
		return;
	conn->at[f->d] = NULL;
	if (conn->at_answer[f->d]) {
		call->rsp_whole = true;
		end_call(conn, call, call->has_req ? CALL_END_complete : CALL_END_no_request, f->sink);
	} else {
		request_done(conn, call, f->d, f->sink);
	}
}

/* A line with what follows it, as far as it is there, is well-formed. */
static bool is_message(struct view bytes)
{
	struct nats_line line;

	if (nats_line(bytes, &line) != 1 || bytes.at[line.len - 2] != '\r')
		return false;
	if (!line.has_payload)
		return true;
	bytes = view_sub(bytes, line.len, bytes.len);
	if (line.headers && bytes.len >= 6 && !view_starts(bytes, "NATS/1"))
		return false;
	return bytes.len < line.payload + 2 || (bytes.at[line.payload] == '\r' && bytes.at[line.payload + 1] == '\n');
}

static bool resync(struct frames *f, struct view bytes)
{
	const struct nats_conn *conn = f->conn;
	struct nats_line line;

	if (!is_message(bytes) || nats_line(bytes, &line) != 1)
		return false;
	return nats_sender(line.op) == 'B' || (nats_sender(line.op) == 'C') == (f->d == conn->client);
}

static void lost(struct frames *f, uint64_t len)
{
	struct nats_conn *conn = f->conn;
	struct call *call = conn->at[f->d];

	conn->doubt[f->d] = true;
	if (call) {
		call_missing(call, len);
		end_call(conn, call, CALL_END_gap, f->sink);
	}
	call_fifo_end_all(&conn->oks, f->sink, CALL_END_gap);
	conn->oks_owed = 0;
	call_fifo_end_all(&conn->pings[!f->d], f->sink, CALL_END_gap);
	if (f->d == conn->client)
		conn->whole = false;
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t nats_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct nats_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	/* the server has said what it is, and the client begins TLS */
	if (conn->roles && d == conn->client && !conn->spoke && !conn->dir[d].open && chunk->bytes.len &&
	    chunk->bytes.at[0] == TLS_HANDSHAKE)
		return PROTO_SWITCH(0, L7_tls);
	return frames_feed(&f, &frame_ops);
}

static int nats_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct nats_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return frames_gap(&f, &frame_ops, len);
}

static void end_open(struct nats_conn *conn, struct call_fifo *fifo, uint8_t reason, struct call_sink *sink)
{
	struct call *call;

	while ((call = call_fifo_take(fifo))) {
		if (call->tag & TAG_SOFT)
			end_call(conn, call, CALL_END_oneway, sink);
		else
			call_end_open(sink, call, reason);
	}
}

static void nats_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct nats_conn *conn = at;

	end_blame(conn, sink);
	for (unsigned d = 0; d < 2; d++) {
		call_end_open(sink, conn->at[d], reason);
		conn->at[d] = NULL;
	}
	end_open(conn, &conn->oks, reason, sink);
	for (unsigned d = 0; d < 2; d++) {
		end_open(conn, &conn->asked[d], conn->doubt[!d] ? CALL_END_gap : reason, sink);
		end_open(conn, &conn->pings[d], reason, sink);
	}
	for (unsigned i = 0; i < SUBS; i++)
		conn_memory_give(sink, conn->sub[i]);
	memset(conn->sub, 0, sizeof(conn->sub));
}

static void nats_tick(void *at, uint64_t now_ns, struct call_sink *sink)
{
	struct nats_conn *conn = at;

	for (unsigned d = 0; d < 2; d++) {
		struct call_fifo *fifo = &conn->asked[d];

		while (fifo->head && fifo->head->row.req_last_ns + TIMEOUT_NS <= now_ns) {
			struct call *call = call_fifo_take(fifo);

			ROW_SET(CALL, &call->row, end_ns, call->row.req_last_ns + TIMEOUT_NS);
			end_call(conn, call, CALL_END_unanswered, sink);
		}
	}
}

static enum guess nats_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_NATS || hint->dst_port == PORT_NATS;
	struct nats_line line;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	for (unsigned i = 0; i < 2; i++) {
		struct view want = i ? VIEW_LIT("CONNECT {") : VIEW_LIT("INFO {");

		if (bytes.len < want.len && memcmp(bytes.at, want.at, bytes.len) == 0)
			return GUESS_MORE;
	}
	switch (nats_line(bytes, &line)) {
	case 0:
		return port || view_starts(bytes, "INFO {") || view_starts(bytes, "CONNECT {") ? GUESS_MORE : GUESS_NO;
	case 1:
		break;
	default:
		return GUESS_NO;
	}
	if (!is_message(bytes))
		return GUESS_NO;
	if (line.op == NATS_INFO || line.op == NATS_CONNECT)
		return GUESS_YES;
	/* a message with its sizes right; the other lines are too short to tell */
	if (line.has_payload && bytes.len >= line.len + line.payload + 2)
		return GUESS_YES;
	return port ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_nats = {
	.id = L7_nats,
	.name = "nats",
	.title = "NATS",
	.conn_size = sizeof(struct nats_conn),
	.guess = nats_guess,
	.feed = nats_feed,
	.gap = nats_gap,
	.close = nats_close,
	.tick = nats_tick,
	.detail = nats_detail,
};
