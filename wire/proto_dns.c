/*
 * DNS over UDP and TCP: RFC 1035, 7766 (TCP), 6891 (EDNS), 2136 (update), 5936
 * (AXFR); multicast DNS (RFC 6762) and LLMNR (RFC 4795), which share the format.
 *
 * A query waits for the response with the same id, name and type. The same query
 * once more while it waits is a retry: the call goes on, its error says how many,
 * latency counts from the first one and ttfb from the last. After five seconds it
 * is unanswered. Multicast DNS does not pair: each message is a call of its own.
 */
#include "wire/dns_msg.h"
#include "wire/dns_show.h"
#include "wire/proto.h"

#include <stdio.h>

#include "base/hash.h"

#define PORT_DNS	53
#define PORT_NBNS	137
#define PORT_MDNS	5353
#define PORT_LLMNR	5355
#define TIMEOUT_NS	5000000000ull
#define PENDING_MAX	1024
#define TARGET_MAX	DNS_NAME_TEXT_MAX
#define ANSWERS_MAX	1024
#define ERROR_MAX	160
#define LENGTH_BYTES	2		/* before each message over TCP */
#define MESSAGE_MAX	65535
#define RETRIES_MAX	255

struct dns_conn {
	struct call_fifo pending;	/* by the time of the latest copy of the query */
	bool any;			/* a message was read */
	bool lost[2];			/* TCP: message borders are not known after a hole */
};

/* call->tag: 40 bits of hash, the id, retries */
static uint64_t tag_make(uint16_t id, uint64_t hash)
{
	return hash << 24 | (uint64_t)id << 8;
}

static uint16_t tag_id(uint64_t tag)
{
	return (uint16_t)(tag >> 8);
}

/* What pairing and the row need of a message. */
struct summary {
	struct dns_msg msg;
	bool has_question;
	uint16_t qtype;
	struct view name;	/* of the first question, in name_text */
	uint64_t tag;
	unsigned rcode;		/* with the EDNS bits */
	bool ends_in_soa;	/* the last answer */
	struct view answers;	/* in answers_text */
	const char *problem;
	size_t problem_off;
	char name_text[DNS_NAME_TEXT_MAX];
	char answers_text[ANSWERS_MAX];
};

static void lower(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] |= 0x20;
}

static void read_question(struct summary *sum, const struct dns_rr *rr)
{
	struct txt txt = { .at = sum->name_text, .cap = sizeof(sum->name_text) };
	char folded[DNS_NAME_TEXT_MAX];
	size_t next;

	(void)dns_name(sum->msg.all, rr->name_off, &txt, &next);
	sum->has_question = true;
	sum->qtype = rr->type;
	sum->name = view_make(txt.at, txt.len);
	/* resolvers mix the case of a name to make answers harder to forge */
	memcpy(folded, txt.at, txt.len);
	lower(folded, txt.len);
	sum->tag = tag_make(sum->msg.id, hash_bytes(folded, txt.len, rr->type));
}

static void summarise(const struct dns_msg *msg, struct summary *sum)
{
	struct txt answers = { .at = sum->answers_text, .cap = sizeof(sum->answers_text) };
	struct dns_iter iter;
	struct dns_rr rr;
	int rc;

	sum->msg = *msg;
	sum->has_question = false;
	sum->qtype = 0;
	sum->name = view_make("", 0);
	sum->tag = tag_make(msg->id, 0);
	sum->rcode = msg->flags & 15;
	sum->ends_in_soa = false;
	sum->problem = NULL;
	dns_iter_init(&iter, &sum->msg);
	while ((rc = dns_iter_next(&iter, &rr)) > 0) {
		switch (rr.section) {
		case DNS_QUESTIONS:
			if (!sum->has_question)
				read_question(sum, &rr);
			break;
		case DNS_ANSWERS:
			if (msg->flags >> 11 & 15)
				break;		/* an update's prerequisites */
			if (answers.len)
				txt_put(&answers, VIEW_LIT(","));
			dns_data_text(&sum->msg, &rr, &answers);
			sum->ends_in_soa = rr.type == DNS_SOA;
			break;
		case DNS_ADDITIONAL:
			if (rr.type == DNS_OPT && msg->flags & DNS_QR)
				sum->rcode |= (rr.ttl >> 24) << 4;
			break;
		case DNS_AUTHORITY:
		case DNS_SECTIONS:
			break;
		}
	}
	if (rc < 0) {
		sum->problem = iter.problem;
		sum->problem_off = iter.off;
	}
	sum->answers = view_make(answers.at, answers.len);
}

/* ---- rows ---- */

static void add_error(struct call_sink *sink, struct call *call, const char *text)
{
	char both[ERROR_MAX];
	int n;

	if (ROW_HAS(CALL, &call->row, error))
		n = snprintf(both, sizeof(both), "%.*s; %s", (int)call->row.error.len,
			     (const char *)call->row.error.at, text);
	else
		n = snprintf(both, sizeof(both), "%s", text);
	if (n > 0)
		ROW_SET(CALL, &call->row, error, call_text(sink, call, view_str(both), ERROR_MAX));
}

static void note_problem(struct call_sink *sink, struct call *call, const struct summary *sum, uint64_t missing)
{
	const char *which = sum->msg.flags & DNS_QR ? "response" : "query";
	char text[ERROR_MAX];

	if (missing)
		(void)snprintf(text, sizeof(text), "%s not captured whole", which);
	else if (sum->problem)
		(void)snprintf(text, sizeof(text), "malformed %s: %s at byte %zu of %zu", which, sum->problem,
			       sum->problem_off, sum->msg.all.len);
	else
		return;
	add_error(sink, call, text);
}

/* What both a query and a lone response tell. */
static void set_question(struct call_sink *sink, struct call *call, const struct summary *sum)
{
	unsigned opcode = sum->msg.flags >> 11 & 15;
	char text[32];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	if (opcode != DNS_OPCODE_QUERY) {
		const char *name = dns_opcode_name(opcode);

		if (name)
			txt_str(&txt, name);
		else
			txt_printf(&txt, "OPCODE%u", opcode);
	} else if (sum->has_question) {
		dns_type_text(sum->qtype, &txt);
	}
	if (txt.len)
		ROW_SET(CALL, &call->row, method, call_text(sink, call, view_make(text, txt.len), sizeof(text)));
	if (sum->has_question)
		ROW_SET(CALL, &call->row, target, call_text(sink, call, sum->name, TARGET_MAX));
}

static uint8_t status_class(unsigned rcode)
{
	switch (rcode) {
	case 0:
		return CLASS_ok;
	case 2:			/* SERVFAIL */
	case 11:		/* DSOTYPENI: the server lacks it */
		return CLASS_server_error;
	default:
		return CLASS_client_error;
	}
}

static void set_response(struct call_sink *sink, struct call *call, const struct summary *sum)
{
	char text[32];
	struct txt txt = { .at = text, .cap = sizeof(text) };

	dns_rcode_text(sum->rcode, &txt);
	ROW_SET(CALL, &call->row, status, (uint16_t)sum->rcode);
	ROW_SET(CALL, &call->row, status_text, call_text(sink, call, view_make(text, txt.len), sizeof(text)));
	ROW_SET(CALL, &call->row, status_class, status_class(sum->rcode));
	if (sum->answers.len && !ROW_HAS(CALL, &call->row, answers))
		ROW_SET(CALL, &call->row, answers, call_text(sink, call, sum->answers, ANSWERS_MAX));
	if (sum->msg.flags & DNS_TC)
		add_error(sink, call, "response truncated (TC)");
}

/* ---- the queries that wait ---- */

static void pending_remove(struct call_fifo *fifo, struct call *prev, struct call *call)
{
	*(prev ? &prev->next : &fifo->head) = call->next;
	if (fifo->tail == call)
		fifo->tail = prev;
	fifo->count--;
	call->next = NULL;
}

/* The query a message belongs to; a response without a question is found by its id. */
static struct call *pending_find(const struct dns_conn *conn, const struct summary *sum, struct call **ret_prev)
{
	struct call *prev = NULL;

	for (struct call *call = conn->pending.head; call; prev = call, call = call->next) {
		if (sum->has_question ? (call->tag & ~0xffull) == sum->tag : tag_id(call->tag) == sum->msg.id) {
			*ret_prev = prev;
			return call;
		}
	}
	return NULL;
}

static void expire(struct dns_conn *conn, uint64_t now_ns, struct call_sink *sink)
{
	struct call *call;

	while ((call = conn->pending.head) && call->row.req_last_ns + TIMEOUT_NS <= now_ns) {
		(void)call_fifo_take(&conn->pending);
		if (!call->has_rsp)
			ROW_SET(CALL, &call->row, end_ns, call->row.req_last_ns + TIMEOUT_NS);
		call_end(sink, call, call->has_rsp ? CALL_END_complete : CALL_END_unanswered);
	}
}

/* One message; its bytes on the wire are [off, end_off), the length before it included. */
struct message {
	struct dns_conn *conn;
	const struct chunk *chunk;
	struct call_sink *sink;
	uint64_t off, end_off;
	uint64_t missing;
	bool multicast;
};

static void lone(const struct message *m, const struct summary *sum, uint8_t reason)
{
	struct call *call = call_open(m->sink, L7_dns);

	if (!call)
		return;
	if (sum->msg.flags & DNS_QR) {
		call_response_begin(call, m->chunk, m->off);
		call_response_end(call, m->chunk, m->end_off);
		set_response(m->sink, call, sum);
	} else {
		call_request_begin(call, m->chunk, m->off);
		call_request_end(call, m->chunk, m->end_off);
	}
	set_question(m->sink, call, sum);
	note_problem(m->sink, call, sum, m->missing);
	call_end(m->sink, call, reason);
}

static void retry(const struct message *m, struct call *prev, struct call *call)
{
	char text[32];

	if ((call->tag & 0xff) < RETRIES_MAX)
		call->tag++;
	(void)snprintf(text, sizeof(text), "retries: %u", (unsigned)(call->tag & 0xff));
	ROW_SET(CALL, &call->row, req_last_ns, chunk_time(m->chunk, m->end_off - 1));
	ROW_SET(CALL, &call->row, error, call_text(m->sink, call, view_str(text), sizeof(text)));
	pending_remove(&m->conn->pending, prev, call);
	call_fifo_put(&m->conn->pending, call);
}

static void query(const struct message *m, const struct summary *sum)
{
	struct call *prev, *call;

	if (m->multicast) {
		lone(m, sum, CALL_END_oneway);
		return;
	}
	call = pending_find(m->conn, sum, &prev);
	if (call && (sum->has_question || m->missing)) {	/* cut off before it: the id tells */
		retry(m, prev, call);
		return;
	}
	if (m->conn->pending.count >= PENDING_MAX)
		call_end(m->sink, call_fifo_take(&m->conn->pending), CALL_END_evicted);
	call = call_open(m->sink, L7_dns);
	if (!call)
		return;
	call->tag = sum->tag;
	call_request_begin(call, m->chunk, m->off);
	call_request_end(call, m->chunk, m->end_off);
	set_question(m->sink, call, sum);
	note_problem(m->sink, call, sum, m->missing);
	call_fifo_put(&m->conn->pending, call);
}

/* A zone transfer is many messages; the last one ends with the SOA the first began with (RFC 5936 2.2). */
static bool more_to_come(const struct call *call, const struct summary *sum, bool first)
{
	if (!sum->has_question ? !call->has_rsp : sum->qtype != DNS_AXFR && sum->qtype != DNS_IXFR)
		return false;
	if (sum->rcode || sum->problem)
		return false;
	return !sum->ends_in_soa || (first && sum->msg.counts[DNS_ANSWERS] == 1 && sum->qtype == DNS_AXFR);
}

static void response(const struct message *m, const struct summary *sum)
{
	struct call *prev, *call;
	bool first, more;

	if (m->multicast) {
		lone(m, sum, CALL_END_oneway);
		return;
	}
	call = pending_find(m->conn, sum, &prev);
	if (!call) {
		lone(m, sum, CALL_END_no_request);
		return;
	}
	first = !call->has_rsp;
	more = more_to_come(call, sum, first);
	if (first)
		call_response_begin(call, m->chunk, m->off);
	call_response_end(call, m->chunk, m->end_off);
	set_response(m->sink, call, sum);
	note_problem(m->sink, call, sum, m->missing);
	pending_remove(&m->conn->pending, prev, call);
	if (more) {
		ROW_SET(CALL, &call->row, req_last_ns, call->row.end_ns);	/* it waits on */
		call_fifo_put(&m->conn->pending, call);
		return;
	}
	if (m->missing)
		ROW_SET(CALL, &call->row, missing_bytes, m->missing);
	call->rsp_whole = !m->missing;
	call_end(m->sink, call, CALL_END_complete);
}

static void take_message(const struct message *m, const struct dns_msg *msg)
{
	struct summary sum;	/* 3 KiB; filled member by member */

	summarise(msg, &sum);
	m->conn->any = true;
	expire(m->conn, call_sink_now(m->sink), m->sink);
	if (msg->flags & DNS_QR)
		response(m, &sum);
	else
		query(m, &sum);
}

/* ---- is it DNS ---- */

static bool is_port(uint16_t port)
{
	return port == PORT_DNS || port == PORT_MDNS || port == PORT_LLMNR;
}

/* A header that somebody may have meant; on an odd port every byte has to fit as well. */
static bool plausible(struct view bytes, bool strict)
{
	struct dns_msg msg;
	struct dns_iter iter;
	struct dns_rr rr;
	int rc;

	if (!dns_msg_parse(bytes, &msg))
		return false;
	if (!strict)
		return dns_opcode_name(msg.flags >> 11 & 15);
	if (msg.counts[DNS_QUESTIONS] != 1 || msg.flags >> 11 & 15 || msg.flags & 0x40)
		return false;
	if (!(msg.flags & DNS_QR) && (msg.counts[DNS_ANSWERS] || msg.counts[DNS_AUTHORITY] ||
				      msg.counts[DNS_ADDITIONAL] > 2 || msg.flags & 0x8f))
		return false;
	dns_iter_init(&iter, &msg);
	while ((rc = dns_iter_next(&iter, &rr)) > 0)
		if (rr.section == DNS_QUESTIONS && rr.class != 1 && rr.class != 255)
			return false;
	return rc == 0 && iter.off == bytes.len;
}

static enum guess dns_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = is_port(hint->src_port) || is_port(hint->dst_port);
	size_t len;

	if (hint->dst_port == PORT_NBNS)
		return GUESS_NO;	/* NetBIOS names: the same format, other types and names (RFC 1002) */
	if (hint->proto == PROTO_udp) {
		if (port)	/* whatever comes here was meant as DNS, if it has a header at all */
			return plausible(bytes, false) ? GUESS_YES : GUESS_MAYBE;
		return plausible(bytes, true) ? GUESS_MAYBE : GUESS_NO;
	}
	if (hint->proto != PROTO_tcp)
		return GUESS_NO;
	if (bytes.len < LENGTH_BYTES)
		return port ? GUESS_MORE : GUESS_NO;
	len = (size_t)bytes.at[0] << 8 | bytes.at[1];
	if (len < DNS_HEADER_BYTES)
		return GUESS_NO;
	if (bytes.len < LENGTH_BYTES + DNS_HEADER_BYTES)
		return port ? GUESS_MORE : GUESS_NO;
	bytes = view_sub(bytes, LENGTH_BYTES, len);
	if (port)
		return plausible(bytes, false) ? GUESS_YES : GUESS_NO;
	return bytes.len == len && plausible(bytes, true) ? GUESS_MAYBE : GUESS_NO;
}

/* ---- feeding ---- */

static int64_t feed_datagram(struct message *m)
{
	struct view bytes = m->chunk->bytes;
	struct dns_msg msg;

	m->off = m->chunk->off;
	m->end_off = m->off + bytes.len;
	m->missing = m->chunk->missing;
	if (!dns_msg_parse(bytes, &msg)) {
		struct summary sum = { .msg = { .all = bytes }, .problem = "shorter than a header" };

		expire(m->conn, call_sink_now(m->sink), m->sink);
		/* not captured is not malformed: of such a one not even the side is known */
		if (!m->missing)
			lone(m, &sum, CALL_END_oneway);
	} else {
		m->multicast = m->chunk->flow->src_port == PORT_MDNS || m->chunk->flow->dst_port == PORT_MDNS;
		take_message(m, &msg);
	}
	return (int64_t)bytes.len;
}

static int64_t feed_stream(struct message *m, unsigned d)
{
	struct view bytes = m->chunk->bytes;
	size_t pos = 0;

	for (;;) {
		struct view rest = view_sub(bytes, pos, bytes.len), one;
		struct dns_msg msg;
		size_t len;

		if (rest.len < LENGTH_BYTES)
			break;
		len = (size_t)rest.at[0] << 8 | rest.at[1];
		one = view_sub(rest, LENGTH_BYTES, len);
		if (len < DNS_HEADER_BYTES) {
			if (!m->conn->any)
				return E_FORMAT;
			m->conn->lost[d] = true;
		}
		/* after a hole, a message is taken for one only where it is beyond doubt */
		if (m->conn->lost[d] && (one.len < len || !plausible(one, true)))
			return (int64_t)bytes.len;
		m->conn->lost[d] = false;
		if (one.len < len)
			break;
		m->off = m->chunk->off + pos;
		m->end_off = m->off + LENGTH_BYTES + len;
		(void)dns_msg_parse(one, &msg);		/* long enough, see above */
		take_message(m, &msg);
		pos += LENGTH_BYTES + len;
	}
	expire(m->conn, call_sink_now(m->sink), m->sink);
	return (int64_t)pos;
}

static int64_t dns_feed(void *conn, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct message m = { .conn = conn, .chunk = chunk, .sink = sink };

	return chunk->datagram ? feed_datagram(&m) : feed_stream(&m, d);
}

static int dns_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct dns_conn *conn = at;

	(void)off;
	(void)len;
	(void)sink;
	conn->lost[d] = true;
	return 0;
}

static void dns_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct dns_conn *conn = at;
	struct call *call;

	while ((call = call_fifo_take(&conn->pending))) {
		bool silent = !call->has_rsp && reason == CALL_END_closed;

		call_end(sink, call, silent ? CALL_END_unanswered : reason);
	}
}

static void dns_tick(void *conn, uint64_t now_ns, struct call_sink *sink)
{
	expire(conn, now_ns, sink);
}

const struct proto_ops proto_dns = {
	.id = L7_dns,
	.name = "dns",
	.title = "DNS",
	.conn_size = sizeof(struct dns_conn),
	.hold_bytes = LENGTH_BYTES + MESSAGE_MAX + 1,
	.guess = dns_guess,
	.feed = dns_feed,
	.gap = dns_gap,
	.close = dns_close,
	.tick = dns_tick,
	.detail = dns_detail,
};
