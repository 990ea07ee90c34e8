/*
 * Kafka (kafka.apache.org/protocol), clients and brokers of 0.10 to 4.x.
 *
 * A connection's requests are answered in order, and each answer repeats its
 * request's number. A Produce with acks=0 is not answered. An answer does not tell
 * its kind: without its request only its size is known.
 */
#include "wire/dissect.h"
#include "wire/fold.h"
#include "wire/kafka_msg.h"

#include "base/rd.h"

#include <stdio.h>

#define PORT_KAFKA	9092
#define SHOW_MAX	((uint64_t)8 << 10)	/* of a message that is looked at */
#define NAME_MAX_TEXT	256
#define PENDING_MAX	1024
#define TOPICS		24

enum { TAG_ONEWAY = 1 };

struct kafka_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting;	/* tag: id << 32 | key << 16 | version << 1 | oneway */
	bool roles, sure;
	uint8_t client;
	bool raw;			/* SASL tokens without a header may come */
	bool lost_requests;
	uint8_t user_len, topic_next;
	char user[64];
	struct topic {
		bool used;
		uint8_t uuid[16], len;
		char name[78];
	} topic[TOPICS];		/* told by Metadata: later versions ask by number alone */
	struct call *req, *rsp;		/* of the frames in progress */
};

/* Bytes that come from the port brokers listen on. */
static bool from_broker(const struct guess_hint *flow, unsigned d)
{
	return (d ? flow->dst_port : flow->src_port) == PORT_KAFKA && flow->src_port != flow->dst_port;
}

/*
 * A head that nobody but a client sends. An answer to Produce reads as a Produce request when its correlation id is
 * small: the version is that, the client's name is the topic's. But then it writes to no topic.
 */
static enum kafka_head asked(struct view bytes, struct kafka_request *ret_request)
{
	enum kafka_head head = kafka_request(bytes, ret_request);
	struct kafka_facts facts;

	if (head != KAFKA_HEAD || ret_request->key != 0 || ret_request->len > bytes.len)
		return head;
	kafka_facts(ret_request->api, ret_request->version, false, ret_request->body, &facts);
	return facts.topic.len || facts.topic_uuid.len ? KAFKA_HEAD : KAFKA_NONE;
}

static uint64_t tag_make(const struct kafka_request *r)
{
	return (uint64_t)(uint32_t)r->id << 32 | (uint64_t)r->key << 16 | (uint64_t)(r->version & 0x7fff) << 1;
}

/* ---- topics that have a number ---- */

static struct topic *topic_find(struct kafka_conn *conn, struct view uuid)
{
	for (unsigned i = 0; i < TOPICS && uuid.len == 16; i++)
		if (conn->topic[i].used && memcmp(conn->topic[i].uuid, uuid.at, 16) == 0)
			return &conn->topic[i];
	return NULL;
}

static void learn_topics(struct kafka_conn *conn, const struct kafka_facts *facts)
{
	for (unsigned i = 0; i < facts->named_count; i++) {
		const struct kafka_named *named = &facts->named[i];
		struct topic *topic = topic_find(conn, named->uuid);

		if (named->name.len > sizeof(topic->name))
			continue;
		if (!topic)
			topic = &conn->topic[conn->topic_next++ % TOPICS];
		topic->used = true;
		memcpy(topic->uuid, named->uuid.at, 16);
		topic->len = (uint8_t)named->name.len;
		memcpy(topic->name, named->name.at, topic->len);
	}
}

static struct view topic_of(struct kafka_conn *conn, const struct kafka_facts *facts)
{
	const struct topic *known;

	if (facts->topic.len || !facts->topic_id[0])
		return facts->topic;
	known = topic_find(conn, facts->topic_uuid);
	return known ? view_make(known->name, known->len) : view_str(facts->topic_id);
}

/* ---- requests ---- */

static void set_target(struct kafka_conn *conn, struct call_sink *sink, struct call *call, const struct kafka_facts *facts)
{
	char folded[NAME_MAX_TEXT];
	struct view topic = topic_of(conn, facts);
	struct view target = topic.len ? topic : facts->group.len ? facts->group : facts->other;

	if (ROW_HAS(CALL, &call->row, target))
		return;
	CALL_TEXT(sink, call, target, target, NAME_MAX_TEXT);
	CALL_TEXT(sink, call, target_template, view_make(folded, fold_key(target, folded, sizeof(folded))), sizeof(folded));
	CALL_TEXT(sink, call, topic, topic, NAME_MAX_TEXT);
}

static int take_request(struct frames *f, const struct frame *frame)
{
	struct kafka_conn *conn = f->conn;
	struct kafka_request r;
	struct kafka_facts facts;
	struct call *call;
	char version[16];

	conn->req = NULL;
	if (kafka_request(frame->bytes, &r) != KAFKA_HEAD)
		return conn->raw ? FRAME_OK : FRAME_BAD;
	conn->raw = r.key == 17 && r.version == 0;
	if (conn->waiting.count >= PENDING_MAX)
		call_end(f->sink, call_fifo_take(&conn->waiting), CALL_END_evicted);
	call = call_open(f->sink, L7_kafka);
	if (!call)
		return FRAME_OK;
	call->tag = tag_make(&r);
	call_request_begin(call, f->chunk, frame->off);
	call_request_end(call, f->chunk, frame->off);
	kafka_facts(r.api, r.version, false, r.body, &facts);
	CALL_TEXT(f->sink, call, method, view_str(r.api->name), 64);
	(void)snprintf(version, sizeof(version), "v%u", r.version);
	CALL_TEXT(f->sink, call, version, view_str(version), sizeof(version));
	CALL_TEXT(f->sink, call, user_agent, r.client_id, NAME_MAX_TEXT);
	set_target(conn, f->sink, call, &facts);
	if (facts.user.len) {
		conn->user_len = (uint8_t)(facts.user.len < sizeof(conn->user) ? facts.user.len : sizeof(conn->user));
		memcpy(conn->user, facts.user.at, conn->user_len);
	}
	CALL_TEXT(f->sink, call, user, view_make(conn->user, conn->user_len), sizeof(conn->user));
	if (facts.has_records)
		ROW_SET(CALL, &call->row, rows, facts.records);
	if (facts.no_answer && r.key == 0)
		call->tag |= TAG_ONEWAY;
	conn->req = call;
	call_fifo_put(&conn->waiting, call);
	return FRAME_OK;
}

/* ---- responses ---- */

static uint8_t error_class(int16_t code)
{
	static const uint8_t server[] = { 2, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 41, 52, 56, 57, 72, 77, 78, 80, 83, 95, 97 };

	for (size_t i = 0; i < sizeof(server); i++)
		if (server[i] == code)
			return CLASS_server_error;
	return code < 0 ? CLASS_server_error : CLASS_client_error;
}

static void set_status(struct call_sink *sink, struct call *call, const struct kafka_facts *facts)
{
	const char *name = kafka_error(facts->error);

	if (!facts->has_error) {
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
		return;
	}
	if (facts->error >= 0)
		ROW_SET(CALL, &call->row, status, (uint16_t)facts->error);
	if (!facts->error) {
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
		return;
	}
	ROW_SET(CALL, &call->row, status_class, error_class(facts->error));
	CALL_TEXT(sink, call, status_text, view_str(name ? name : "unknown"), 64);
	if (facts->error_text.len)
		call_error(sink, call, "%.*s", (int)(facts->error_text.len < 400 ? facts->error_text.len : 400),
			   (const char *)facts->error_text.at);
	else if (name)
		call_error(sink, call, "%s", name);
	else
		call_error(sink, call, "error code %d", facts->error);
}

static int take_response(struct frames *f, const struct frame *frame)
{
	struct kafka_conn *conn = f->conn;
	struct rd rd = rd_make(view_sub(frame->bytes, 4, 4));
	uint32_t id = rd_u32be(&rd);
	struct kafka_facts facts;
	struct call *call;
	unsigned version;
	const struct kafka_api *api;

	conn->rsp = NULL;
	for (call = conn->waiting.head; call && (rd.bad || call->tag >> 32 != id);)
		call = call->next;
	if (!call) {
		if (conn->raw || rd.bad)
			return conn->raw ? FRAME_OK : FRAME_BAD;
		/* with its request seen it would have been found: either that was lost, or this is none */
		if (conn->waiting.head && conn->sure && !conn->lost_requests)
			return FRAME_OK;
		call = call_open(f->sink, L7_kafka);
		if (!call)
			return FRAME_OK;
		call_response_begin(call, f->chunk, frame->off);
		call_response_end(call, f->chunk, frame->off);
		conn->rsp = call;
		return FRAME_OK;
	}
	conn->sure = true;
	while (conn->waiting.head != call)	/* answers come in order: theirs was not captured */
		call_end(f->sink, call_fifo_take(&conn->waiting), CALL_END_gap);
	(void)call_fifo_take(&conn->waiting);
	api = kafka_api((unsigned)(call->tag >> 16) & 0xffff);
	version = (unsigned)(call->tag & 0xffff) >> 1;
	call_response_begin(call, f->chunk, frame->off);
	call_response_end(call, f->chunk, frame->off);
	kafka_facts(api, version, true, kafka_response_body(api, version, frame->bytes), &facts);
	if (api->key == 18 && version > 0 && facts.error == 35)	/* the broker answers in version 0 then */
		kafka_facts(api, 0, true, kafka_response_body(api, 0, frame->bytes), &facts);
	learn_topics(conn, &facts);
	set_status(f->sink, call, &facts);
	if (api->key == 1 || api->key == 3)
		set_target(conn, f->sink, call, &facts);
	if (facts.has_records)
		ROW_SET(CALL, &call->row, rows, facts.records);
	conn->rsp = call;
	return FRAME_OK;
}

/* ---- frames ---- */

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct kafka_conn *conn = f->conn;
	struct kafka_request r;
	struct rd rd = rd_make(bytes);
	uint32_t len = rd_u32be(&rd);

	if (rd.bad)
		return 0;
	if (len > KAFKA_LEN_MAX || (len < 4 && !conn->raw))
		return FRAME_BAD;
	*ret_show = SHOW_MAX;
	if (!conn->roles) {
		uint64_t want = (uint64_t)len + 4 < SHOW_MAX ? (uint64_t)len + 4 : SHOW_MAX;

		if (bytes.len < want)
			return 0;
		/* the number of an answer and what is behind it may look like a request that gives no name */
		conn->client = (uint8_t)(asked(view_sub(bytes, 0, (size_t)want), &r) == KAFKA_HEAD &&
					 (r.client_id.len || !from_broker(f->chunk->flow, f->d)) ? f->d : !f->d);
		conn->roles = true;
	}
	return (int64_t)len + 4;
}

static int take(struct frames *f, const struct frame *frame)
{
	const struct kafka_conn *conn = f->conn;

	return f->d == conn->client ? take_request(f, frame) : take_response(f, frame);
}

static void take_off(struct kafka_conn *conn, struct call *call)
{
	struct call *prev = NULL;

	for (struct call *at = conn->waiting.head; at && at != call; at = at->next)
		prev = at;
	*(prev ? &prev->next : &conn->waiting.head) = call->next;
	if (conn->waiting.tail == call)
		conn->waiting.tail = prev;
	conn->waiting.count--;
	call->next = NULL;
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct kafka_conn *conn = f->conn;
	struct call *call = f->d == conn->client ? conn->req : conn->rsp;

	if (!call)
		return;
	call_missing(call, missing);
	if (f->d == conn->client) {
		call_request_end(call, f->chunk, end_off);
		if (!whole)
			return;
		conn->req = NULL;
		if (call->tag & TAG_ONEWAY) {
			take_off(conn, call);
			call_end(f->sink, call, CALL_END_oneway);
		}
		return;
	}
	call_response_end(call, f->chunk, end_off);
	if (!whole)
		return;
	conn->rsp = NULL;
	call->rsp_whole = true;
	call_end(f->sink, call, call->has_req ? CALL_END_complete : CALL_END_no_request);
}

static bool resync(struct frames *f, struct view bytes)
{
	const struct kafka_conn *conn = f->conn;
	struct kafka_request r;
	struct rd rd = rd_make(bytes);
	uint32_t len = rd_u32be(&rd), id = rd_u32be(&rd);

	if (f->d == conn->client)
		return asked(bytes, &r) == KAFKA_HEAD && r.client_id.len;
	if (rd.bad || len < 4 || len > KAFKA_LEN_MAX)
		return false;
	for (const struct call *call = conn->waiting.head; call; call = call->next)
		if (call->tag >> 32 == id)
			return true;
	return false;
}

static void lost(struct frames *f, uint64_t len)
{
	struct kafka_conn *conn = f->conn;
	struct call *call;

	if (f->d == conn->client) {
		conn->lost_requests = true;
		call_missing(conn->req, len);
		conn->req = NULL;
		return;
	}
	call = conn->rsp;
	conn->rsp = NULL;
	if (!call && conn->waiting.head && !conn->waiting.head->next)
		call = call_fifo_take(&conn->waiting);	/* the only one that can have been in it */
	if (!call)
		return;
	if (conn->req == call)
		conn->req = NULL;
	call_missing(call, len);
	call_end(f->sink, call, CALL_END_gap);
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t kafka_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct kafka_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return frames_feed(&f, &frame_ops);
}

static int kafka_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct kafka_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return conn->roles ? frames_gap(&f, &frame_ops, len) : E_FORMAT;
}

static void kafka_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct kafka_conn *conn = at;

	call_end_open(sink, conn->rsp, reason);
	call_fifo_end_open(&conn->waiting, sink, reason);
}

static enum guess kafka_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_KAFKA || hint->dst_port == PORT_KAFKA;
	struct rd rd = rd_make(bytes);
	struct kafka_request r;
	uint32_t len;

	/* 16 MiB and more do not come first */
	if (hint->proto != PROTO_tcp || (bytes.len && bytes.at[0]))
		return GUESS_NO;
	switch (asked(bytes, &r)) {
	case KAFKA_HEAD:
		if (r.client_id.len >= 3 && r.version <= r.api->last)
			return GUESS_YES;
		return port && !from_broker(hint, hint->dir) ? GUESS_MAYBE :
		       r.version <= r.api->last && r.len == bytes.len && r.client_id.len ? GUESS_MAYBE :
		       from_broker(hint, hint->dir) && r.len == bytes.len ? GUESS_MAYBE : GUESS_NO;
	case KAFKA_CUT:
		return GUESS_MORE;
	case KAFKA_NONE:
		break;
	}
	/* an answer is a length and a number: to be believed where the port says so, if it fills its segment */
	len = rd_u32be(&rd);
	(void)rd_u32be(&rd);
	if (rd.bad || !from_broker(hint, hint->dir))
		return GUESS_NO;
	return len >= 6 && bytes.len == (size_t)len + 4 ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_kafka = {
	.id = L7_kafka,
	.name = "kafka",
	.title = "Kafka",
	.conn_size = sizeof(struct kafka_conn),
	.hold_bytes = (size_t)24 << 10,
	.guess = kafka_guess,
	.feed = kafka_feed,
	.gap = kafka_gap,
	.close = kafka_close,
	.detail = kafka_detail,
};
