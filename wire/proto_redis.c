/*
 * Redis: RESP2 and RESP3 (redis.io/docs/reference/protocol-spec), and inline commands.
 *
 * A command waits in a queue for its reply; replies come in order. A subscription
 * is answered once for each channel. What a server sends unasked (published
 * messages, RESP3 pushes, MONITOR lines) is a call of its own. Values are read as
 * they come: of long ones only the beginning is looked at.
 */
#include "wire/dissect.h"
#include "wire/fold.h"
#include "wire/redis_cmd.h"
#include "wire/resp.h"

#include <stdio.h>

#define PORT_REDIS	6379
#define ARGS_MAX	8	/* arguments (elements of a reply) whose text is kept */
#define ARG_BYTES_MAX	256	/* of each */
#define KEPT_BYTES_MAX	1024	/* of all */
#define TARGET_MAX	256
#define INLINE_MAX	((size_t)64 << 10)
#define GARBAGE_MAX	((uint64_t)4 << 20)
#define RESYNC_BYTES_MIN 16	/* enough of a command to tell it for one */

enum { TAG_ANSWERS = 0xffff, TAG_SUBSCRIBE = 0x10000, TAG_REPLICA = 0x20000, TAG_MONITOR = 0x40000 };

enum resp_state { AT_VALUE, IN_BULK, RESYNC };

/* The value in progress of one direction. */
struct redis_dir {
	uint8_t state;
	uint8_t depth;		/* aggregates open */
	uint8_t count;		/* texts kept */
	bool open;		/* a value has begun */
	bool attribute;		/* the aggregate at the bottom is one: the value follows */
	bool is_inline;
	char type;		/* of the value */
	uint16_t kept;
	uint16_t arg_len[ARGS_MAX];
	uint64_t off;		/* of its first byte */
	uint64_t items;		/* of the value, when it is an aggregate */
	uint64_t bulk_end;
	uint64_t garbage;
	uint64_t left[RESP_DEPTH_MAX];	/* values still to come of each aggregate */
	char args[KEPT_BYTES_MAX];
};

struct redis_conn {
	struct redis_dir dir[2];
	struct call_fifo waiting;
	uint64_t unopened;	/* commands behind those in waiting for which there was no room */
	uint64_t channels, patterns, shards;	/* subscribed to */
	bool sure;		/* whole values were read */
	bool roles;
	uint8_t client;
	bool doubt;		/* commands or replies were lost while several waited */
	bool silent;		/* CLIENT REPLY OFF */
	bool skip_next;		/* CLIENT REPLY SKIP */
	bool monitor;
	bool opaque;		/* replication */
	bool resp3;
	uint8_t db_len, user_len;
	char db[24], user[64];
};

struct feed {
	struct redis_conn *conn;
	struct redis_dir *dir;
	unsigned d;
	const struct chunk *chunk;
	struct call_sink *sink;
	size_t pos;
};

enum step { STEP_ON, STEP_WAIT, STEP_SKIP, STEP_OPAQUE, STEP_BAD };

static uint64_t here(const struct feed *f)
{
	return f->chunk->off + f->pos;
}

static struct view ahead(const struct feed *f)
{
	return view_sub(f->chunk->bytes, f->pos, f->chunk->bytes.len);
}

static struct view arg(const struct redis_dir *dir, unsigned i)
{
	size_t off = 0;

	if (i >= dir->count)
		return view_make("", 0);
	for (unsigned k = 0; k < i; k++)
		off += dir->arg_len[k];
	return view_make(dir->args + off, dir->arg_len[i]);
}

static void keep(struct redis_dir *dir, struct view text)
{
	if (dir->count == ARGS_MAX)
		return;
	text = view_sub(text, 0, ARG_BYTES_MAX);
	text = view_sub(text, 0, KEPT_BYTES_MAX - dir->kept);
	memcpy(dir->args + dir->kept, text.len ? text.at : (const uint8_t *)"", text.len);
	dir->arg_len[dir->count++] = (uint16_t)text.len;
	dir->kept = (uint16_t)(dir->kept + text.len);
}

/* ---- commands ---- */

static void set_method(struct feed *f, struct call *call, struct view name, struct view sub)
{
	char text[2 * REDIS_NAME_MAX + 1];
	size_t len = 0;

	name = view_sub(name, 0, REDIS_NAME_MAX);
	sub = view_sub(sub, 0, REDIS_NAME_MAX);
	for (size_t i = 0; i < name.len + (sub.len ? 1 + sub.len : 0); i++) {
		char c = i < name.len ? (char)name.at[i] : i == name.len ? ' ' : (char)sub.at[i - name.len - 1];

		text[len++] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
	}
	CALL_TEXT(f->sink, call, method, view_make(text, len), sizeof(text));
}

static void set_target(struct feed *f, struct call *call, struct view target, bool is_key)
{
	char folded[TARGET_MAX];

	if (!target.len)
		return;
	CALL_TEXT(f->sink, call, target, target, TARGET_MAX);
	CALL_TEXT(f->sink, call, target_template, view_make(folded, fold_key(target, folded, sizeof(folded))),
		  sizeof(folded));
	if (is_key)
		ROW_SET(CALL, &call->row, key, call->row.target);
}

/* What later calls of the connection inherit, as soon as the server has agreed. */
static void note_session(struct redis_conn *conn, const struct call *call)
{
	struct view method = call->row.method, target = call->row.target;

	if (!ROW_HAS(CALL, &call->row, target) || call->row.status_class != CLASS_ok)
		return;
	if (view_is(method, "SELECT") && target.len <= sizeof(conn->db)) {
		memcpy(conn->db, target.at, target.len);
		conn->db_len = (uint8_t)target.len;
	}
}

/* what: redis_cmd_what() of its name. */
static void set_request(struct feed *f, struct call *call, unsigned what)
{
	const struct redis_dir *dir = f->dir;
	struct redis_conn *conn = f->conn;
	struct view name = arg(dir, 0);
	unsigned key = what & REDIS_KEY;

	set_method(f, call, name, what & REDIS_SUBCOMMAND ? arg(dir, 1) : view_make("", 0));
	if (key)
		set_target(f, call, arg(dir, key), true);
	else if (what & REDIS_WORD)
		set_target(f, call, arg(dir, what & REDIS_SUBCOMMAND ? 2 : 1), false);
	else if (what & REDIS_CHANNEL)
		set_target(f, call, arg(dir, 1), false);
	if (what & REDIS_CHANNEL && ROW_HAS(CALL, &call->row, target))
		ROW_SET(CALL, &call->row, topic, call->row.target);
	if (what & REDIS_SPECIAL && view_ieq(name, "auth") && dir->items == 3) {
		struct view user = view_sub(arg(dir, 1), 0, sizeof(conn->user));

		memcpy(conn->user, user.at, user.len);
		conn->user_len = (uint8_t)user.len;
	}
	if (what & REDIS_SPECIAL && view_ieq(name, "hello"))
		conn->resp3 = view_is(arg(dir, 1), "3");
	CALL_TEXT(f->sink, call, db, view_make(conn->db, conn->db_len), sizeof(conn->db));
	CALL_TEXT(f->sink, call, user, view_make(conn->user, conn->user_len), sizeof(conn->user));
	ROW_SET(CALL, &call->row, version, call_text(f->sink, call, conn->resp3 ? VIEW_LIT("RESP3") : VIEW_LIT("RESP2"), 8));
}

/* How many replies a command gets, and what they are. */
static uint64_t expect(const struct feed *f, unsigned what)
{
	const struct redis_conn *conn = f->conn;
	const struct redis_dir *dir = f->dir;
	struct view name = arg(dir, 0);
	uint64_t n = dir->items > 1 ? dir->items - 1 : 0;

	if (!(what & (REDIS_SUBSCRIBES | REDIS_SPECIAL)))
		return 1;
	if (what & REDIS_SUBSCRIBES) {
		if (!n)
			n = view_ieq(name, "punsubscribe") ? conn->patterns :
			    view_ieq(name, "sunsubscribe") ? conn->shards : conn->channels;
		n = n ? n : 1;
		return TAG_SUBSCRIBE | (n < TAG_ANSWERS ? n : TAG_ANSWERS);
	}
	if (view_ieq(name, "psync") || view_ieq(name, "sync"))
		return TAG_REPLICA | 1;
	if (view_ieq(name, "monitor"))
		return TAG_MONITOR | 1;
	return 1;
}

static void take_command(struct feed *f, uint64_t end_off)
{
	struct redis_conn *conn = f->conn;
	struct call *call = NULL;
	unsigned what = redis_cmd_what(arg(f->dir, 0));
	bool oneway = conn->silent || conn->skip_next;

	conn->skip_next = false;
	if (what & REDIS_SPECIAL && view_ieq(arg(f->dir, 0), "client") && view_ieq(arg(f->dir, 1), "reply")) {
		struct view how = arg(f->dir, 2);

		conn->silent = view_ieq(how, "off");
		conn->skip_next = view_ieq(how, "skip");
		oneway = conn->silent || conn->skip_next;
	}
	if (!conn->unopened || oneway)
		call = call_open(f->sink, L7_redis);
	if (!call) {
		conn->unopened += !oneway;
		return;
	}
	call_request_begin(call, f->chunk, f->dir->off);
	call_request_end(call, f->chunk, end_off);
	set_request(f, call, what);
	call->tag = expect(f, what);
	if (oneway)
		call_end(f->sink, call, CALL_END_oneway);
	else
		call_fifo_put(&conn->waiting, call);
}

/* ---- replies ---- */

static uint8_t error_class(struct view code)
{
	static const char *const server[] = { "LOADING", "OOM", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "MISCONF",
					      "NOREPLICAS", "TRYAGAIN", "UNKILLABLE" };

	if (view_is(code, "MOVED") || view_is(code, "ASK"))
		return CLASS_ok;	/* a redirect */
	for (size_t i = 0; i < sizeof(server) / sizeof(server[0]); i++)
		if (view_is(code, server[i]))
			return CLASS_server_error;
	return CLASS_client_error;
}

static void set_response(struct feed *f, struct call *call)
{
	const struct redis_dir *dir = f->dir;
	struct view text = arg(dir, 0), word = text;
	char number[32];

	if (ROW_HAS(CALL, &call->row, status_text) && call->row.status_class != CLASS_ok)
		return;
	for (size_t i = 0; i < word.len; i++)
		if (word.at[i] == ' ')
			word.len = i;
	switch (dir->type) {
	case '-':
	case '!':
		ROW_SET(CALL, &call->row, status_class, error_class(word));
		CALL_TEXT(f->sink, call, status_text, word, REDIS_NAME_MAX);
		CALL_TEXT(f->sink, call, error, text, ARG_BYTES_MAX);
		return;
	case '+':
		CALL_TEXT(f->sink, call, status_text, word, REDIS_NAME_MAX);
		break;
	case '*':
	case '~':
	case '>':
	case '%':
		if (dir->depth == 0 && !(call->tag & TAG_SUBSCRIBE)) {
			ROW_SET(CALL, &call->row, rows, dir->type == '%' ? dir->items / 2 : dir->items);
			(void)snprintf(number, sizeof(number), "%llu items", (unsigned long long)call->row.rows);
			text = view_str(number);
		}
		break;
	default:
		break;
	}
	ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	CALL_TEXT(f->sink, call, answers, text, 128);
}

/* A value nobody asked for. */
static void take_push(struct feed *f, uint64_t end_off)
{
	struct call *call = call_open(f->sink, L7_redis);
	struct redis_dir *dir = f->dir;

	if (!call)
		return;
	call_response_begin(call, f->chunk, dir->off);
	call_response_end(call, f->chunk, end_off);
	if (dir->type == '+') {
		CALL_TEXT(f->sink, call, method, VIEW_LIT("monitor"), REDIS_NAME_MAX);
		set_target(f, call, arg(dir, 0), false);
	} else {
		CALL_TEXT(f->sink, call, method, arg(dir, 0), REDIS_NAME_MAX);
		/* pmessage: pattern, channel, payload */
		set_target(f, call, arg(dir, view_is(arg(dir, 0), "pmessage") ? 2 : 1), false);
		if (ROW_HAS(CALL, &call->row, target) && !view_is(arg(dir, 0), "invalidate"))
			ROW_SET(CALL, &call->row, topic, call->row.target);
	}
	ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	call->rsp_whole = true;
	call_end(f->sink, call, CALL_END_oneway);
}

/* The counts of what the connection is subscribed to, as the confirmations go by. */
static void note_subscription(struct redis_conn *conn, struct view kind)
{
	uint64_t *count = &conn->channels;
	bool less = view_starts(kind, "un") || view_starts(kind, "pun") || view_starts(kind, "sun");

	if (kind.len && kind.at[0] == 'p')
		count = &conn->patterns;
	else if (view_starts(kind, "ssub") || view_starts(kind, "sun"))
		count = &conn->shards;
	if (!less)
		++*count;
	else if (*count)
		--*count;
}

static bool is_message(struct view kind)
{
	return view_is(kind, "message") || view_is(kind, "pmessage") || view_is(kind, "smessage");
}

static bool is_push(const struct feed *f)
{
	const struct redis_conn *conn = f->conn;
	struct view kind = arg(f->dir, 0);

	if (f->dir->type == '>')
		return !redis_cmd_subscribes(kind) || !conn->waiting.head || !(conn->waiting.head->tag & TAG_SUBSCRIBE);
	if (f->dir->type == '*' && f->dir->items >= 3 && is_message(kind))
		return conn->channels || conn->patterns || conn->shards || !conn->waiting.head;
	return conn->monitor && f->dir->type == '+' && !conn->waiting.head;
}

static void end_reply(struct feed *f, struct call *call)
{
	struct redis_conn *conn = f->conn;

	(void)call_fifo_take(&conn->waiting);
	if (conn->doubt)
		call_error(f->sink, call, "messages before this one were not captured: the pairing is a guess");
	if (!conn->waiting.count)
		conn->doubt = false;
	call->rsp_whole = true;
	note_session(conn, call);
	if (call->row.status_class == CLASS_ok && call->tag & TAG_MONITOR)
		conn->monitor = true;
	if (call->row.status_class == CLASS_ok && call->tag & TAG_REPLICA)
		conn->opaque = true;
	call_end(f->sink, call, CALL_END_complete);
}

static void take_reply(struct feed *f, uint64_t end_off)
{
	struct redis_conn *conn = f->conn;
	struct call *call;

	if (is_push(f)) {
		take_push(f, end_off);
		return;
	}
	if ((f->dir->type == '*' || f->dir->type == '>') && redis_cmd_subscribes(arg(f->dir, 0)))
		note_subscription(conn, arg(f->dir, 0));
	call = conn->waiting.head;
	if (!call && conn->unopened) {
		conn->unopened--;
		return;
	}
	if (!call) {
		call = call_open(f->sink, L7_redis);
		if (!call)
			return;
		call_response_begin(call, f->chunk, f->dir->off);
		call_response_end(call, f->chunk, end_off);
		set_response(f, call);
		call->rsp_whole = true;
		call_end(f->sink, call, CALL_END_no_request);
		return;
	}
	if (!call->has_rsp)
		call_response_begin(call, f->chunk, f->dir->off);
	call_response_end(call, f->chunk, end_off);
	set_response(f, call);
	if ((call->tag & TAG_ANSWERS) > 1 && f->dir->type != '-')
		call->tag--;
	else
		end_reply(f, call);
}

/* ---- values as they come ---- */

/* The first bytes of the reply at hand are there: the call that waits for it has begun to be answered. */
static void value_begins(struct feed *f)
{
	struct redis_dir *dir = f->dir;

	dir->open = true;
	dir->off = here(f);
	dir->depth = dir->count = 0;
	dir->kept = 0;
	dir->items = 0;
	dir->is_inline = dir->attribute = false;
	dir->type = 0;
}

/* False: the bytes contradict what is known. */
static bool value_done(struct feed *f)
{
	struct redis_conn *conn = f->conn;
	struct redis_dir *dir = f->dir;

	dir->open = false;
	if (!conn->roles) {
		bool command = dir->is_inline || (dir->type == '*' && redis_cmd_is_name(arg(dir, 0)));

		/* an array of strings is a command or a reply: the flow's direction decides, unless the port speaks up */
		conn->client = command ? (uint8_t)f->d : !f->d;
		if (command && f->chunk->flow->src_port == PORT_REDIS)
			conn->client = 1;
		else if (command && f->chunk->flow->dst_port == PORT_REDIS)
			conn->client = 0;
		conn->roles = true;
	}
	if (f->d == conn->client) {
		if (dir->type != '*' && !dir->is_inline)
			return false;
		if (!dir->items)
			return true;	/* an empty command is ignored */
		take_command(f, here(f));
	} else {
		if (dir->is_inline)
			return false;
		take_reply(f, here(f));
		conn->sure = true;
	}
	return true;
}

/* A value is complete; those around it may be too. */
static enum step climb(struct feed *f)
{
	struct redis_dir *dir = f->dir;

	while (dir->depth) {
		if (--dir->left[dir->depth - 1])
			return STEP_ON;
		dir->depth--;
	}
	if (dir->attribute) {	/* the value it belongs to comes now */
		dir->attribute = false;
		dir->count = 0;
		dir->kept = 0;
		dir->type = 0;
		return STEP_ON;
	}
	if (!value_done(f))
		return STEP_BAD;
	return f->conn->opaque ? STEP_OPAQUE : STEP_ON;
}

static enum step step_inline(struct feed *f)
{
	struct view bytes = ahead(f), line, word;
	const uint8_t *nl = memchr(bytes.at, '\n', bytes.len < INLINE_MAX ? bytes.len : INLINE_MAX);

	if (!nl)
		return bytes.len < INLINE_MAX ? STEP_WAIT : STEP_BAD;
	line = view_make(bytes.at, (size_t)(nl - bytes.at));
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	value_begins(f);
	f->dir->is_inline = true;
	f->dir->type = 0;
	while (resp_word_next(&line, &word)) {
		f->dir->items++;
		keep(f->dir, word);
	}
	f->pos += (size_t)(nl - bytes.at) + 1;
	if (f->dir->count && !redis_cmd_is_name(arg(f->dir, 0)))
		return STEP_BAD;
	return climb(f);
}

static bool may_be_inline(const struct feed *f, uint8_t c)
{
	if (f->dir->open || (f->conn->roles && f->d != f->conn->client))
		return false;
	return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '\r' || c == '\n';
}

static enum step step_value(struct feed *f)
{
	struct redis_dir *dir = f->dir;
	struct view bytes = ahead(f);
	struct resp_head head;
	size_t want;

	if (!bytes.len)
		return STEP_WAIT;
	if (may_be_inline(f, bytes.at[0]))
		return step_inline(f);
	head = resp_head(bytes);
	if (head.kind == RESP_MORE)
		return STEP_WAIT;
	if (head.kind == RESP_BAD)
		return STEP_BAD;
	want = head.len;
	if (head.kind == RESP_BULK && dir->count < ARGS_MAX) {
		want += head.count < ARG_BYTES_MAX ? head.count : ARG_BYTES_MAX;
		if (bytes.len < want)
			return STEP_WAIT;	/* a text that is looked at, and its beginning is not there */
	}
	if (!dir->open)
		value_begins(f);
	if (!dir->depth && !dir->type)
		dir->type = head.type;
	f->pos += head.len;
	switch (head.kind) {
	case RESP_LINE:
		keep(dir, head.nil ? VIEW_LIT("(nil)") : head.text);
		return climb(f);
	case RESP_BULK:
		keep(dir, view_sub(bytes, head.len, want - head.len));
		dir->bulk_end = here(f) + head.count + 2;
		dir->state = IN_BULK;
		return STEP_ON;
	default:
		break;
	}
	if (!dir->depth) {
		if (head.type == '|')
			dir->attribute = true;
		else
			dir->items = head.count;
		if (head.type == '|')
			dir->type = 0;
	}
	if (!head.count)
		return climb(f);
	if (dir->depth == RESP_DEPTH_MAX)
		return STEP_BAD;
	dir->left[dir->depth++] = head.count;
	return STEP_ON;
}

static enum step step_bulk(struct feed *f)
{
	struct redis_dir *dir = f->dir;
	uint64_t end = f->chunk->off + f->chunk->bytes.len, stop = dir->bulk_end < end ? dir->bulk_end : end;

	if (stop > here(f))
		f->pos = (size_t)(stop - f->chunk->off);
	if (stop < dir->bulk_end)
		return STEP_SKIP;
	if (f->pos >= 2 && memcmp(f->chunk->bytes.at + f->pos - 2, "\r\n", 2) != 0)
		return STEP_BAD;
	dir->state = AT_VALUE;
	return climb(f);
}

/* Does bytes begin a command (a reply), beyond doubt? */
static bool begins_value(struct view bytes, bool command)
{
	struct resp_head head = resp_head(bytes), first;

	if (head.kind != RESP_LINE && head.kind != RESP_BULK && head.kind != RESP_ITEMS)
		return false;
	if (!command) {
		if (head.kind == RESP_BULK)
			return bytes.len < head.len + head.count + 2 ||
			       memcmp(bytes.at + head.len + head.count, "\r\n", 2) == 0;
		if (head.kind == RESP_LINE)
			return head.type != '+' && head.type != '-' ? true : head.text.len > 1 &&
			       head.text.at[0] >= 'A' && head.text.at[0] <= 'Z';
		return true;
	}
	if (head.type != '*' || !head.count)
		return false;
	bytes = view_sub(bytes, head.len, bytes.len);
	first = resp_head(bytes);
	return first.kind == RESP_BULK && first.type == '$' && first.count <= REDIS_NAME_MAX &&
	       bytes.len >= first.len + first.count && redis_cmd_is_name(view_sub(bytes, first.len, first.count));
}

/* Commands are found at any line, replies at the beginning of a segment. */
static enum step step_resync(struct feed *f)
{
	bool command = f->d == f->conn->client;
	struct view bytes = ahead(f);

	f->dir->open = false;
	for (size_t i = 0; i < bytes.len;) {
		const uint8_t *nl;

		if (begins_value(view_sub(bytes, i, bytes.len), command)) {
			f->pos += i;
			f->dir->state = AT_VALUE;
			return STEP_ON;
		}
		if (command && bytes.at[i] == '*' && bytes.len - i < RESYNC_BYTES_MIN && !f->chunk->end) {
			f->pos += i;	/* too little of it to tell */
			return STEP_WAIT;
		}
		nl = command ? memchr(bytes.at + i, '\n', bytes.len - i) : NULL;
		i = nl ? (size_t)(nl - bytes.at) + 1 : bytes.len;
	}
	f->pos = f->chunk->bytes.len;
	f->dir->garbage += bytes.len;
	if (f->dir->garbage > GARBAGE_MAX)
		f->conn->opaque = true;
	return f->conn->opaque ? STEP_OPAQUE : STEP_WAIT;
}

/* Messages of direction d were lost, len bytes known of. */
static void lose(struct redis_conn *conn, unsigned d, uint64_t len, struct call_sink *sink)
{
	conn->dir[d].state = RESYNC;
	conn->dir[d].open = false;
	conn->dir[d].garbage = 0;
	if (d == conn->client) {
		conn->doubt = conn->waiting.count > 0;
		return;
	}
	call_missing(conn->waiting.head, len);
	call_fifo_end_all(&conn->waiting, sink, CALL_END_gap);	/* how many of the replies were in it nobody knows */
	conn->unopened = 0;
}

/* The server's direction has ended; a reply may have begun. */
static void direction_end(struct feed *f)
{
	struct redis_conn *conn = f->conn;
	struct call *call = conn->waiting.head;

	if (!conn->roles || f->d == conn->client || !call || f->dir->state == RESYNC)
		return;
	if (!f->dir->open && f->pos == f->chunk->bytes.len)
		return;
	(void)call_fifo_take(&conn->waiting);
	if (!call->has_rsp)
		call_response_begin(call, f->chunk, f->dir->open ? f->dir->off : here(f));
	call_response_end(call, f->chunk, f->chunk->off + f->chunk->bytes.len);
	call_error(f->sink, call, "reply cut short by the end of the connection");
	call_end(f->sink, call, CALL_END_closed);
}

static int64_t redis_feed(void *at, unsigned d, const struct chunk *chunk, struct call_sink *sink)
{
	struct redis_conn *conn = at;
	struct feed f = { .conn = conn, .dir = &conn->dir[d], .d = d, .chunk = chunk, .sink = sink };
	enum step step = STEP_ON;

	if (conn->opaque)
		return PROTO_SKIP_REST;
	if (chunk->missing && conn->roles && d != conn->client)
		call_missing(conn->waiting.head, chunk->missing);
	while (step == STEP_ON) {
		if (f.dir->state == IN_BULK)
			step = step_bulk(&f);
		else if (f.dir->state == RESYNC)
			step = step_resync(&f);
		else
			step = step_value(&f);
	}
	switch (step) {
	case STEP_OPAQUE:
		return PROTO_SKIP_REST;
	case STEP_BAD:
		if (!conn->sure)
			return E_FORMAT;
		lose(conn, d, 0, sink);
		return (int64_t)chunk->bytes.len;
	case STEP_ON:
	case STEP_SKIP:
	case STEP_WAIT:
		break;
	}
	if (chunk->end) {
		direction_end(&f);
		return (int64_t)chunk->bytes.len;
	}
	return step == STEP_SKIP ? PROTO_SKIP(f.dir->bulk_end - chunk->off) : (int64_t)f.pos;
}

static int redis_gap(void *at, unsigned d, uint64_t off, uint64_t len, struct call_sink *sink)
{
	struct redis_conn *conn = at;

	(void)off;
	if (conn->opaque)
		return 0;
	if (!conn->roles)
		return E_FORMAT;
	lose(conn, d, len, sink);
	return 0;
}

static void redis_close(void *at, uint8_t reason, struct call_sink *sink)
{
	struct redis_conn *conn = at;

	call_fifo_end_open(&conn->waiting, sink, reason);
}

static bool is_text(struct view text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' || text.at[i] == 0x7f)
			return false;
	return true;
}

static enum guess redis_guess(struct view bytes, const struct guess_hint *hint)
{
	bool port = hint->src_port == PORT_REDIS || hint->dst_port == PORT_REDIS;
	struct resp_head head;

	if (hint->proto != PROTO_tcp || !bytes.len)
		return GUESS_NO;
	if (begins_value(bytes, true))
		return GUESS_YES;
	head = resp_head(bytes);
	if (head.kind == RESP_BAD) {
		struct view line = bytes, word;
		ptrdiff_t nl = view_find(bytes, VIEW_LIT("\n"));

		/* an inline command looks like so many things that the port has to agree */
		if (!port || hint->dir != (hint->src_port == PORT_REDIS))
			return GUESS_NO;
		if (nl < 0)
			return bytes.len < 64 && ((bytes.at[0] | 0x20) >= 'a' && (bytes.at[0] | 0x20) <= 'z') ? GUESS_MORE :
			       GUESS_NO;
		line.len = (size_t)nl;
		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		return resp_word_next(&line, &word) && redis_cmd_is_name(word) ? GUESS_MAYBE : GUESS_NO;
	}
	if (head.kind == RESP_MORE)
		return port || bytes.at[0] == '*' ? GUESS_MORE : GUESS_NO;
	if (bytes.at[0] == '*') {	/* more than its first line is needed to tell a command */
		struct view rest = view_sub(bytes, head.len, bytes.len);
		struct resp_head first = resp_head(rest);

		if (first.kind == RESP_MORE || (first.kind == RESP_BULK && first.count <= REDIS_NAME_MAX &&
						rest.len < first.len + first.count))
			return GUESS_MORE;
		if (port || first.kind == RESP_BAD)
			return first.kind != RESP_BAD || !head.count ? GUESS_YES : GUESS_NO;
		return first.kind != RESP_BULK || is_text(view_sub(rest, first.len, first.count)) ? GUESS_MAYBE : GUESS_NO;
	}
	if (!port)	/* seen from the middle: a value with both its line ends */
		return head.kind == RESP_BULK && head.type == '$' && head.count && bytes.len >= head.len + head.count + 2 &&
		       memcmp(bytes.at + head.len + head.count, "\r\n", 2) == 0 ? GUESS_MAYBE : GUESS_NO;
	return begins_value(bytes, false) ? GUESS_MAYBE : GUESS_NO;
}

const struct proto_ops proto_redis = {
	.id = L7_redis,
	.name = "redis",
	.title = "Redis",
	.conn_size = sizeof(struct redis_conn),
	.hold_bytes = RESP_LINE_MAX + 1024,
	.guess = redis_guess,
	.feed = redis_feed,
	.gap = redis_gap,
	.close = redis_close,
	.detail = resp_detail,
};
