/*
 * MongoDB wire protocol (mongodb.com/docs/manual/reference/mongodb-wire-protocol):
 * OP_MSG, and OP_QUERY/OP_REPLY and the other messages of old.
 *
 * A reply names the request it answers. A message that wants no answer is oneway;
 * an exhaust cursor's further replies are calls of their own. What is inside a
 * compressed message is not looked at.
 */
#include "wire/dissect.h"
#include "wire/fold.h"
#include "wire/mongo_msg.h"

#define PORT_MONGO	27017
#define SHOW_MAX	((uint64_t)8 << 10)	/* of a message that is looked at; errors are shorter */
#define NAME_MAX_TEXT	128
#define PENDING_MAX	256

#define TAG_DOUBT ((uint64_t)1 << 32)	/* replies were lost since, its own perhaps */

struct mongo_conn {
	struct frame_dir dir[2];
	struct call_fifo waiting;	/* tag: request id */
	bool roles, sure;
	uint8_t client;
	bool oneway, streaming;
	uint32_t exhaust_id;		/* a reply to this one is one of a series */
	struct call *req, *rsp;		/* of the frames in progress */
};

static void take_off(struct mongo_conn *conn, struct call *call)
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

static void end_call(struct mongo_conn *conn, struct call *call, uint8_t reason, struct call_sink *sink)
{
	if (conn->req == call)
		conn->req = NULL;
	if (conn->rsp == call)
		conn->rsp = NULL;
	call->rsp_whole = call->has_rsp && (reason == CALL_END_complete || reason == CALL_END_no_request);
	if (call->rsp_whole && call->row.status_class == CLASS_none)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	call_end(sink, call, reason);
}

/* ---- requests ---- */

static void set_target(struct call_sink *sink, struct call *call, struct view db, struct view collection)
{
	char text[2 * NAME_MAX_TEXT + 1], folded[2 * NAME_MAX_TEXT + 32];
	size_t len;

	db = view_sub(db, 0, NAME_MAX_TEXT);
	collection = view_sub(collection, 0, NAME_MAX_TEXT);
	CALL_TEXT(sink, call, db, db, NAME_MAX_TEXT);
	CALL_TEXT(sink, call, collection, collection, NAME_MAX_TEXT);
	memcpy(text, db.len ? db.at : (const uint8_t *)"", db.len);
	len = db.len;
	if (collection.len) {
		text[len++] = '.';
		memcpy(text + len, collection.at, collection.len);
		len += collection.len;
	}
	CALL_TEXT(sink, call, target, view_make(text, len), sizeof(text));
	CALL_TEXT(sink, call, target_template, view_make(folded, fold_key(view_make(text, len), folded, sizeof(folded))),
		  sizeof(folded));
}

/* Who connects: a command's client document. */
static void set_client(struct call_sink *sink, struct call *call, struct view body)
{
	struct bson_elem client, part, name;

	if (!bson_find(body, "client", &client) || client.type != BSON_DOCUMENT)
		return;
	if ((bson_find(client.value, "application", &part) && bson_find(part.value, "name", &name) &&
	     name.type == BSON_STRING) ||
	    (bson_find(client.value, "driver", &part) && bson_find(part.value, "name", &name) && name.type == BSON_STRING))
		CALL_TEXT(sink, call, user_agent, name.value, 256);
}

/* A command: its name is the first member's, its collection that member's value. */
static void set_command(struct call_sink *sink, struct call *call, struct view body, struct view db)
{
	struct view rest, collection = { NULL, 0 };
	struct bson_elem first, elem;

	if (!bson_open(body, &rest) || !bson_next(&rest, &first))
		return;
	if ((view_is(first.name, "$query") || view_is(first.name, "query")) && first.type == BSON_DOCUMENT) {
		set_command(sink, call, first.value, db);	/* wrapped, with a read preference beside it */
		return;
	}
	CALL_TEXT(sink, call, method, first.name, NAME_MAX_TEXT);
	if (first.type == BSON_STRING)
		collection = first.value;
	if (view_is(first.name, "getMore") && bson_find(body, "collection", &elem) && elem.type == BSON_STRING)
		collection = elem.value;
	if (!db.len && bson_find(body, "$db", &elem) && elem.type == BSON_STRING)
		db = elem.value;
	/* saslStart and the like name no collection by their first member; mechanisms do not count as one */
	if (view_is(first.name, "saslStart") || view_is(first.name, "renameCollection"))
		collection.len = 0;
	set_target(sink, call, db, collection);
	set_client(sink, call, body);
}

static void set_legacy(struct call_sink *sink, struct call *call, const struct mongo_msg *msg)
{
	static const struct {
		uint32_t opcode;
		const char *method;
	} methods[] = { { MONGO_QUERY, "find" }, { MONGO_INSERT, "insert" }, { MONGO_UPDATE, "update" },
			{ MONGO_DELETE, "delete" }, { MONGO_GET_MORE, "getMore" }, { MONGO_KILL_CURSORS, "killCursors" } };
	const uint8_t *dot = msg->collection.len ? memchr(msg->collection.at, '.', msg->collection.len) : NULL;
	size_t at = dot ? (size_t)(dot - msg->collection.at) : msg->collection.len;
	struct view db = view_sub(msg->collection, 0, at), name = view_sub(msg->collection, at + 1, msg->collection.len);

	if (msg->opcode == MONGO_QUERY && view_is(name, "$cmd")) {
		set_command(sink, call, msg->body, db);
		return;
	}
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].opcode == msg->opcode)
			CALL_TEXT(sink, call, method, view_str(methods[i].method), NAME_MAX_TEXT);
	set_target(sink, call, db, name);
}

static int take_request(struct frames *f, const struct frame *frame, const struct mongo_msg *msg)
{
	struct mongo_conn *conn = f->conn;
	struct call *call;

	conn->req = NULL;
	for (call = conn->waiting.head; call && call->tag != (TAG_DOUBT | msg->id);)
		call = call->next;
	if (call) {		/* its number is used again: it was answered */
		take_off(conn, call);
		end_call(conn, call, CALL_END_gap, f->sink);
	}
	if (conn->waiting.count >= PENDING_MAX)
		end_call(conn, call_fifo_take(&conn->waiting), CALL_END_evicted, f->sink);
	call = call_open(f->sink, L7_mongodb);
	if (!call)
		return FRAME_OK;
	call->tag = msg->id;
	call_request_begin(call, f->chunk, frame->off);
	call_request_end(call, f->chunk, frame->off);
	CALL_TEXT(f->sink, call, version, view_str(mongo_opcode(msg->opcode)), 32);
	if (msg->opcode == MONGO_MSG)
		set_command(f->sink, call, msg->body, view_make("", 0));
	else if (msg->opcode == MONGO_COMPRESSED)
		CALL_TEXT(f->sink, call, method, VIEW_LIT("compressed"), NAME_MAX_TEXT);
	else
		set_legacy(f->sink, call, msg);
	conn->oneway = (msg->opcode == MONGO_MSG && msg->flags & MONGO_MORE_TO_COME) || msg->opcode == MONGO_INSERT ||
		       msg->opcode == MONGO_UPDATE || msg->opcode == MONGO_DELETE || msg->opcode == MONGO_KILL_CURSORS;
	call_fifo_put(&conn->waiting, call);
	conn->req = call;
	return FRAME_OK;
}

/* ---- replies ---- */

static uint8_t error_class(int64_t code)
{
	static const uint16_t server[] = { 1, 6, 7, 8, 9001, 24, 50, 63, 64, 89, 91, 112, 133, 134, 136, 189, 202, 246, 262,
					  10107, 11600, 11602, 13435, 13436 };

	for (size_t i = 0; i < sizeof(server) / sizeof(server[0]); i++)
		if (server[i] == code)
			return CLASS_server_error;
	return CLASS_client_error;
}

static void set_error(struct call_sink *sink, struct call *call, struct view document)
{
	struct bson_elem code, name, text;
	int64_t number = 0;

	if (bson_find(document, "code", &code) && bson_number(&code, &number) && number > 0 && number <= UINT16_MAX)
		ROW_SET(CALL, &call->row, status, (uint16_t)number);
	ROW_SET(CALL, &call->row, status_class, error_class(number));
	if (bson_find(document, "codeName", &name) && name.type == BSON_STRING)
		CALL_TEXT(sink, call, status_text, name.value, 64);
	if ((bson_find(document, "errmsg", &text) || bson_find(document, "$err", &text) || bson_find(document, "err", &text)) &&
	    text.type == BSON_STRING)
		call_error(sink, call, "%.*s", (int)(text.value.len < 400 ? text.value.len : 400), (const char *)text.value.at);
}

static void set_reply(struct call_sink *sink, struct call *call, struct view body)
{
	struct bson_elem elem, batch;
	struct view rest;
	int64_t number;

	if (bson_find(body, "ok", &elem) && bson_number(&elem, &number) && number != 1) {
		set_error(sink, call, body);
		return;
	}
	ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	if (bson_find(body, "cursor", &elem) && elem.type == BSON_DOCUMENT) {
		if ((bson_find(elem.value, "firstBatch", &batch) || bson_find(elem.value, "nextBatch", &batch)) &&
		    batch.type == BSON_ARRAY && !batch.cut)
			ROW_SET(CALL, &call->row, rows, bson_count(batch.value));
	} else if (bson_find(body, "n", &elem) && bson_number(&elem, &number) && number >= 0) {
		ROW_SET(CALL, &call->row, rows, (uint64_t)number);
	}
	if (bson_find(body, "writeErrors", &elem) && elem.type == BSON_ARRAY && bson_open(elem.value, &rest) &&
	    bson_next(&rest, &batch) && batch.type == BSON_DOCUMENT)
		set_error(sink, call, batch.value);
	else if (bson_find(body, "writeConcernError", &elem) && elem.type == BSON_DOCUMENT)
		set_error(sink, call, elem.value);
}

static int take_reply(struct frames *f, const struct frame *frame, const struct mongo_msg *msg)
{
	struct mongo_conn *conn = f->conn;
	struct call *call = conn->waiting.head;

	while (call && (uint32_t)call->tag != msg->to)
		call = call->next;
	conn->sure = true;
	conn->streaming = false;
	if (call) {
		take_off(conn, call);
	} else {
		call = call_open(f->sink, L7_mongodb);
		if (!call)
			return FRAME_OK;
		conn->streaming = conn->exhaust_id && msg->to == conn->exhaust_id;
		CALL_TEXT(f->sink, call, version, view_str(mongo_opcode(msg->opcode)), 32);
	}
	conn->exhaust_id = msg->opcode == MONGO_MSG && msg->flags & MONGO_MORE_TO_COME ? msg->id :
			   conn->streaming ? 0 : conn->exhaust_id;
	call_response_begin(call, f->chunk, frame->off);
	call_response_end(call, f->chunk, frame->off);
	conn->rsp = call;
	if (msg->opcode == MONGO_REPLY) {
		ROW_SET(CALL, &call->row, rows, msg->returned);
		if (msg->flags & 2) {
			set_error(f->sink, call, msg->body);
		} else if (msg->flags & 1) {
			ROW_SET(CALL, &call->row, status_class, CLASS_client_error);
			call_error(f->sink, call, "cursor not found");
		} else if (msg->returned == 1) {
			set_reply(f->sink, call, msg->body);
		}
	} else if (msg->opcode == MONGO_MSG) {
		set_reply(f->sink, call, msg->body);
	}
	return FRAME_OK;
}

/* ---- frames ---- */

static int64_t size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct mongo_conn *conn = f->conn;
	struct mongo_msg msg;

	if (bytes.len < MONGO_HEAD_BYTES)
		return 0;
	if (!mongo_head(bytes, &msg))
		return FRAME_BAD;
	if (!conn->roles) {
		conn->roles = true;
		conn->client = (uint8_t)(msg.to == 0 && msg.opcode != MONGO_REPLY ? f->d : !f->d);
	}
	*ret_show = SHOW_MAX;
	return msg.len;
}

static int take(struct frames *f, const struct frame *frame)
{
	struct mongo_conn *conn = f->conn;
	struct mongo_msg msg;

	if (!mongo_msg(frame->bytes, &msg))
		return FRAME_BAD;
	return f->d == conn->client ? take_request(f, frame, &msg) : take_reply(f, frame, &msg);
}

static void progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct mongo_conn *conn = f->conn;
	struct call *call = f->d == conn->client ? conn->req : conn->rsp;

	if (!call)
		return;
	call_missing(call, missing);
	if (f->d == conn->client) {
		call_request_end(call, f->chunk, end_off);
		if (!whole)
			return;
		conn->req = NULL;
		if (conn->oneway) {
			take_off(conn, call);
			end_call(conn, call, CALL_END_oneway, f->sink);
		}
		return;
	}
	call_response_end(call, f->chunk, end_off);
	if (whole)
		end_call(conn, call, call->has_req ? CALL_END_complete : conn->streaming ? CALL_END_oneway : CALL_END_no_request,
			 f->sink);
}

static bool resync(struct frames *f, struct view bytes)
{
	const struct mongo_conn *conn = f->conn;
	struct mongo_msg msg;

	return bytes.len > MONGO_HEAD_BYTES && mongo_msg(bytes, &msg) && (f->d == conn->client) == (msg.to == 0);
}

/* Replies name their requests: what waits may still be answered. */
static void lost(struct frames *f, uint64_t len)
{
	struct mongo_conn *conn = f->conn;
	struct call *call;

	if (f->d == conn->client) {
		call = conn->req;
		conn->req = NULL;
		call_missing(call, len);
		return;
	}
	call = conn->rsp;
	if (call) {
		call_missing(call, len);
		end_call(conn, call, CALL_END_gap, f->sink);
	} else if (conn->waiting.head && !conn->waiting.head->next) {
		call = call_fifo_take(&conn->waiting);	/* the only one that can have been in it */
		call_missing(call, len);
		end_call(conn, call, CALL_END_gap, f->sink);
	}
	for (call = conn->waiting.head; call; call = call->next)
		call->tag |= TAG_DOUBT;
}

static const struct frame_ops frame_ops = {
	.size = size, .take = take, .progress = progress, .resync = resync, .lost = lost,
};

static int64_t mongo_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct mongo_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink, .sure = conn->sure };

	return frames_feed(&f, &frame_ops);
}

static int mongo_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct mongo_conn *conn = at;
	struct frames f = { .conn = conn, .dir = &conn->dir[d], .d = d, .sink = sink };

	(void)off;
	return conn->roles ? frames_gap(&f, &frame_ops, len) : E_FORMAT;
}

static void mongo_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct mongo_conn *conn = at;
	struct call *call;

	if (conn->rsp)
		end_call(conn, conn->rsp, reason, sink);
	while ((call = call_fifo_take(&conn->waiting)))
		call_end_open(sink, call, call->tag & TAG_DOUBT ? CALL_END_gap : reason);
}

/* Could bytes be one of the old messages, cut short within its collection's name or right behind it? */
static bool name_is_cut(struct view bytes)
{
	struct mongo_msg msg;
	size_t i = MONGO_HEAD_BYTES + 4;

	if (!mongo_head(bytes, &msg) || msg.opcode == MONGO_MSG || msg.opcode == MONGO_REPLY || bytes.len >= msg.len)
		return false;
	while (i < bytes.len && bytes.at[i] > ' ' && bytes.at[i] < 0x7f)
		i++;
	return i < MONGO_HEAD_BYTES + 256 && (i == bytes.len || (bytes.at[i] == 0 && bytes.len - i < 16));
}

static enum guess mongo_guess(struct view bytes, const struct guess_hint *hint)
{
	struct mongo_msg msg;

	if (hint->proto != PROTO_tcp)
		return GUESS_NO;
	if (bytes.len < MONGO_HEAD_BYTES + 9) {
		/* a small length, and as much of the opcode as is there */
		if (bytes.len > 3 && bytes.at[3] > 3)
			return GUESS_NO;
		if (bytes.len >= MONGO_HEAD_BYTES && !mongo_head(bytes, &msg))
			return GUESS_NO;
		return GUESS_MORE;
	}
	if (!mongo_msg(bytes, &msg))
		return name_is_cut(bytes) ? GUESS_MORE : GUESS_NO;
	/* a reply has a document in it, and its request's number */
	if (msg.opcode == MONGO_REPLY && bytes.len < 44)
		return GUESS_MORE;
	if (msg.opcode == MONGO_COMPRESSED || msg.opcode == MONGO_KILL_CURSORS || (msg.opcode != MONGO_QUERY && !msg.body.len))
		return hint->src_port == PORT_MONGO || hint->dst_port == PORT_MONGO ? GUESS_YES : GUESS_MAYBE;
	return GUESS_YES;
}

const struct proto_ops proto_mongodb = {
	.id = L7_mongodb,
	.name = "mongodb",
	.title = "MongoDB",
	.conn_size = sizeof(struct mongo_conn),
	.hold_bytes = (size_t)24 << 10,
	.guess = mongo_guess,
	.feed = mongo_feed,
	.gap = mongo_gap,
	.close = mongo_close,
	.detail = mongo_detail,
};
