/*
 * Calls of AMQP 1.0: open, begin, attach, detach, end and close with the frame of the same kind that answers;
 * transfers with the disposition that settles them.
 *
 * Either side numbers its channels and the handles of its links itself: a begin names the channel it answers,
 * an attach the link by name.
 */
#include "base/hash.h"
#include "wire/amqp_conn.h"
#include "wire/amqp_msg.h"
#include "wire/amqp_type.h"
#include "wire/fold.h"

enum { OPEN = 0x10, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE, ERROR = 0x1d, RECEIVED = 0x23, ACCEPTED,
       REJECTED, RELEASED, MODIFIED, TRANSACTIONAL = 0x34, SASL_MECHANISMS = 0x40, SASL_INIT, SASL_CHALLENGE, SASL_RESPONSE,
       SASL_OUTCOME };

#define SASL_WAITS SASL_INIT	/* the number that an init or a response waits under */

static uint64_t tag_make(unsigned session, unsigned kind, uint32_t number)
{
	return (uint64_t)session << AMQP_TAG_CHANNEL_SHIFT | (uint64_t)(kind & 0xff) << 32 | number;
}

static uint64_t tag_number(unsigned kind, uint32_t number)
{
	return (uint64_t)(kind & 0xff) << 32 | number;
}

static unsigned session_of(const struct call *call)
{
	return (unsigned)(call->tag >> AMQP_TAG_CHANNEL_SHIFT & 0xffff);
}

/* ---- sessions and links ---- */

static void link_drop(struct amqp_conn *conn, struct amqp_link *link, struct call_sink *sink)
{
	struct call *call = link->call;

	memset(link, 0, sizeof(*link));
	if (call)
		amqp_end(conn, call, CALL_END_gap, sink);
}

static void session_drop(struct amqp_conn *conn, unsigned index, struct call_sink *sink)
{
	for (unsigned i = 0; i < AMQP_LINKS; i++)
		if (conn->link[i].used && conn->link[i].session == index)
			link_drop(conn, &conn->link[i], sink);
	for (unsigned d = 0; d < 2; d++) {
		struct call *prev = NULL, *next;

		for (struct call *call = conn->content[d].head; call; call = next) {
			next = call->next;
			if (session_of(call) != index) {
				prev = call;
				continue;
			}
			amqp_take_off(&conn->content[d], prev, call);
			amqp_end(conn, call, CALL_END_unanswered, sink);
		}
	}
	memset(&conn->session[index], 0, sizeof(conn->session[index]));
}

static unsigned session_new(struct amqp_conn *conn, struct call_sink *sink)
{
	unsigned index;

	for (index = 0; index < AMQP_SESSIONS && (conn->session[index].has[0] || conn->session[index].has[1]);)
		index++;
	if (index == AMQP_SESSIONS) {
		index = conn->session_next++ % AMQP_SESSIONS;
		session_drop(conn, index, sink);
	}
	return index;
}

static int session_find(const struct amqp_conn *conn, unsigned d, uint16_t channel)
{
	for (unsigned i = 0; i < AMQP_SESSIONS; i++)
		if (conn->session[i].has[d] && conn->session[i].channel[d] == channel)
			return (int)i;
	return -1;
}

/* One whose begin was not seen: both sides are taken to give it the same number, as clients with one session do. */
static unsigned session_get(struct amqp_conn *conn, unsigned d, uint16_t channel, struct call_sink *sink)
{
	int found = session_find(conn, d, channel);
	unsigned index;

	if (found >= 0)
		return (unsigned)found;
	index = session_new(conn, sink);
	for (unsigned i = 0; i < 2; i++) {
		conn->session[index].has[i] = true;
		conn->session[index].channel[i] = channel;
	}
	return index;
}

static struct amqp_link *link_by_handle(struct amqp_conn *conn, unsigned d, unsigned session, uint64_t handle)
{
	for (unsigned i = 0; i < AMQP_LINKS; i++) {
		struct amqp_link *link = &conn->link[i];

		if (link->used && link->session == session && link->has[d] && link->handle[d] == handle)
			return link;
	}
	return NULL;
}

static struct amqp_link *link_new(struct amqp_conn *conn, unsigned session, struct call_sink *sink)
{
	struct amqp_link *link = NULL;

	for (unsigned i = 0; i < AMQP_LINKS && !link; i++)
		if (!conn->link[i].used)
			link = &conn->link[i];
	if (!link) {
		link = &conn->link[conn->link_next++ % AMQP_LINKS];
		link_drop(conn, link, sink);
	}
	link->used = true;
	link->session = (uint8_t)session;
	return link;
}

/* ---- columns ---- */

static void set_address(struct call_sink *sink, struct call *call, struct view address)
{
	char folded[AMQP_TEXT_MAX];

	address = view_sub(address, 0, AMQP_TEXT_MAX);
	CALL_TEXT(sink, call, target, address, AMQP_TEXT_MAX);
	CALL_TEXT(sink, call, topic, address, AMQP_TEXT_MAX);
	if (address.len)
		CALL_TEXT(sink, call, target_template, view_make(folded, fold_key(address, folded, sizeof(folded))), sizeof(folded));
}

/* {condition, description}: "amqp:not-found" */
static void set_error(struct call_sink *sink, struct call *call, const struct amqp10_value *value)
{
	struct amqp10_list error;
	struct view condition, text;

	if (!call || value->code == 0x40 || !amqp10_sub_list(value, &error) || error.type != ERROR)
		return;
	condition = amqp10_text(&error.field[0]);
	text = amqp10_text(&error.field[1]);
	if (!text.len)
		text = condition;
	ROW_SET(CALL, &call->row, status_class, view_is(condition, "amqp:internal-error") ||
		view_is(condition, "amqp:connection:forced") || view_is(condition, "amqp:link:detach-forced") ||
		view_is(condition, "amqp:resource-limit-exceeded") || view_is(condition, "amqp:not-implemented") ?
		CLASS_server_error : CLASS_client_error);
	CALL_TEXT(sink, call, status_text, condition, 64);
	call_error(sink, call, "%.*s", (int)(text.len < 400 ? text.len : 400), text.len ? (const char *)text.at : "error");
}

static void set_outcome(struct call_sink *sink, struct call *call, const struct amqp10_value *value)
{
	struct amqp10_list state, inner;
	bool known = amqp10_sub_list(value, &state);

	if (known && state.type == TRANSACTIONAL && amqp10_sub_list(&state.field[1], &inner))
		state = inner;
	ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	CALL_TEXT(sink, call, status_text, view_str(known ? state.name : "settled"), 32);
	if (!known)
		return;
	if (state.type == REJECTED) {
		ROW_SET(CALL, &call->row, status_class, CLASS_client_error);
		set_error(sink, call, &state.field[0]);
		if (!ROW_HAS(CALL, &call->row, error))
			call_error(sink, call, "rejected");
	} else if (state.type == RELEASED || (state.type == MODIFIED && amqp10_true(&state.field[0]))) {
		ROW_SET(CALL, &call->row, status_class, CLASS_server_error);
		call_error(sink, call, state.type == RELEASED ? "released: not taken" : "delivery failed");
	}
}

/* ---- calls ---- */

/* A frame of kind answers one of the same kind from the other side, or asks for one itself. */
static struct call *pair(struct frames *f, const struct frame *frame, const struct amqp10_list *p, unsigned session,
			 uint32_t number, bool may_ask)
{
	struct amqp_conn *conn = f->conn;
	struct call *call = amqp_answered(conn, f->d, (uint16_t)session, tag_number(p->type, number));
	bool answer = call || !may_ask;

	if (call) {
		call_response_begin(call, f->chunk, frame->off);
		call_response_end(call, f->chunk, frame->off);
	} else {
		call = amqp_open(f, frame, answer, view_str(p->name));
		if (call)
			call->tag = tag_make(session, p->type, number);
	}
	conn->at[f->d] = call;
	conn->at_answer[f->d] = answer;
	if (call && answer && call->row.status_class == CLASS_none)
		ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	return call;
}

static struct call *oneway(struct frames *f, const struct frame *frame, const struct amqp10_list *p)
{
	struct amqp_conn *conn = f->conn;
	struct call *call = amqp_open(f, frame, false, view_str(p->name));

	if (call)
		call->tag = AMQP_TAG_ONEWAY;
	conn->at[f->d] = call;
	conn->at_answer[f->d] = false;
	return call;
}

static void take_open(struct frames *f, const struct frame *frame, const struct amqp10_list *p)
{
	struct amqp_conn *conn = f->conn;
	struct call *call;

	if (f->d == conn->client) {
		conn->agent_len = amqp_keep(conn->agent, sizeof(conn->agent), amqp10_text(&p->field[0]));
		conn->vhost_len = amqp_keep(conn->vhost, sizeof(conn->vhost), amqp10_text(&p->field[1]));
	}
	call = pair(f, frame, p, 0, 0, true);
	if (call && f->d == conn->client && !call->has_rsp)
		CALL_TEXT(f->sink, call, target, view_make(conn->vhost, conn->vhost_len), sizeof(conn->vhost));
}

static void take_begin(struct frames *f, const struct frame *frame, const struct amqp10_list *p, uint16_t channel)
{
	struct amqp_conn *conn = f->conn;
	int old = session_find(conn, f->d, channel), found = -1;
	uint64_t remote;
	unsigned index;

	if (old >= 0)
		session_drop(conn, (unsigned)old, f->sink);
	if (amqp10_number(&p->field[0], &remote))
		found = session_find(conn, !f->d, (uint16_t)remote);
	index = found >= 0 ? (unsigned)found : session_new(conn, f->sink);
	conn->session[index].has[f->d] = true;
	conn->session[index].channel[f->d] = channel;
	(void)pair(f, frame, p, index, 0, p->field[0].code == 0x40);
}

static struct view address_of(const struct amqp10_value *terminus)
{
	struct amqp10_list list;

	return amqp10_sub_list(terminus, &list) ? amqp10_text(&list.field[0]) : view_make("", 0);
}

static void take_attach(struct frames *f, const struct frame *frame, const struct amqp10_list *p, unsigned session)
{
	struct amqp_conn *conn = f->conn;
	struct view name = amqp10_text(&p->field[0]), address;
	bool receiver = amqp10_true(&p->field[2]);
	/* two links may have one name, if they go in opposite directions */
	bool from_client = (f->d == conn->client) != receiver;
	uint32_t hash = (uint32_t)hash_bytes(name.len ? name.at : (const uint8_t *)"", name.len, from_client);
	struct amqp_link *link = NULL;
	struct call *call;
	uint64_t handle = 0;

	(void)amqp10_number(&p->field[1], &handle);
	for (unsigned i = 0; i < AMQP_LINKS && !link; i++)
		if (conn->link[i].used && conn->link[i].session == session && conn->link[i].name == hash)
			link = &conn->link[i];
	if (!link)
		link = link_new(conn, session, f->sink);
	link->name = hash;
	link->has[f->d] = true;
	link->handle[f->d] = (uint32_t)handle;
	/* what the broker has is the target of what a client sends, the source of what it receives */
	address = address_of(&p->field[from_client ? 6 : 5]);
	if (address.len)
		link->address_len = amqp_keep(link->address, sizeof(link->address), address);
	call = pair(f, frame, p, session, hash, true);
	if (call && !ROW_HAS(CALL, &call->row, target))
		set_address(f->sink, call, view_make(link->address, link->address_len));
}

static void take_transfer(struct frames *f, const struct frame *frame, const struct amqp10_list *p, unsigned session,
			  struct view message, uint64_t message_bytes)
{
	struct amqp_conn *conn = f->conn;
	uint64_t handle = 0, id = 0;
	bool has_id = amqp10_number(&p->field[1], &id), more = amqp10_true(&p->field[5]);
	struct amqp10_message facts;
	struct amqp_link *link;
	struct call *call;

	(void)amqp10_number(&p->field[0], &handle);
	link = link_by_handle(conn, f->d, session, handle);
	if (!link) {
		link = link_new(conn, session, f->sink);
		link->has[f->d] = true;
		link->handle[f->d] = (uint32_t)handle;
	}
	call = link->call;
	if (has_id && call && (uint32_t)(call->tag & UINT32_MAX) != (uint32_t)id) {	/* the rest of the one before did not come */
		link->call = NULL;
		amqp_end(conn, call, CALL_END_gap, f->sink);
		call = NULL;
	}
	if (!call && has_id) {
		call = amqp_open(f, frame, false, VIEW_LIT("transfer"));
		if (call) {
			call->tag = AMQP_TAG_CONTENT | tag_make(session, 0, (uint32_t)id);
			amqp10_message(message, &facts);
			set_address(f->sink, call, link->address_len ? view_make(link->address, link->address_len) : facts.to.len ?
				    facts.to : facts.subject);
			CALL_TEXT(f->sink, call, trace_id, facts.trace, 64);
		}
	}
	conn->at[f->d] = call;
	conn->at_answer[f->d] = false;
	conn->at_more[f->d] = more;
	link->call = more ? call : NULL;
	if (!call)
		return;
	ROW_SET(CALL, &call->row, req_body_bytes, call->row.req_body_bytes + message_bytes);
	if (amqp10_true(&p->field[9])) {
		call_error(f->sink, call, "aborted");
		ROW_SET(CALL, &call->row, status_class, CLASS_client_error);
	}
	if (amqp10_true(&p->field[4]) || amqp10_true(&p->field[9]))
		call->tag |= AMQP_TAG_ONEWAY;
}

static void take_disposition(struct frames *f, const struct frame *frame, const struct amqp10_list *p, unsigned session)
{
	struct amqp_conn *conn = f->conn;
	struct call_fifo *fifo = &conn->content[!f->d];
	struct call *prev = NULL, *next;
	uint64_t first = 0, last;
	bool settled = amqp10_true(&p->field[3]), receiver = amqp10_true(&p->field[0]), found = false;

	(void)amqp10_number(&p->field[1], &first);
	if (!amqp10_number(&p->field[2], &last))
		last = first;
	if (receiver && !settled && p->field[4].descriptor == RECEIVED)
		return;		/* how far it has come: no outcome yet */
	for (struct call *call = receiver ? fifo->head : NULL; call; call = next) {
		next = call->next;
		if (session_of(call) != session || (uint32_t)(call->tag & UINT32_MAX) - (uint32_t)first > (uint32_t)last - (uint32_t)first) {
			prev = call;
			continue;
		}
		amqp_take_off(fifo, prev, call);
		call_response_begin(call, f->chunk, frame->off);
		call_response_end(call, f->chunk, frame->off + frame->len);
		set_outcome(f->sink, call, &p->field[4]);
		call->rsp_whole = true;
		amqp_end(conn, call, CALL_END_complete, f->sink);
		found = true;
	}
	if (found)
		return;
	if (receiver)
		(void)pair(f, frame, p, session, 0, false);
	else
		(void)oneway(f, frame, p);
}

/* detach, end, close: what the other side says to it is the same */
static void take_ending(struct frames *f, const struct frame *frame, const struct amqp10_list *p, unsigned session)
{
	struct amqp_conn *conn = f->conn;
	struct amqp_link *link = NULL;
	const struct amqp10_value *error = &p->field[p->type == DETACH ? 2 : 0];
	uint64_t handle = 0;
	uint32_t number = 0;
	struct call *call;

	if (p->type == DETACH) {
		(void)amqp10_number(&p->field[0], &handle);
		link = link_by_handle(conn, f->d, session, handle);
		number = link ? (uint32_t)(link - conn->link) + 1 : 0;
	}
	call = pair(f, frame, p, p->type == CLOSE ? 0 : session, number, true);
	set_error(f->sink, call, error);
	if (call && link && !ROW_HAS(CALL, &call->row, target))
		set_address(f->sink, call, view_make(link->address, link->address_len));
	if (!call || !call->has_rsp || !call->has_req)
		return;
	if (link)
		link_drop(conn, link, f->sink);
	else if (p->type == END)
		session_drop(conn, session, f->sink);
}

static void take_sasl(struct frames *f, const struct frame *frame, const struct amqp10_list *p)
{
	static const char *const outcomes[] = { "ok", "auth", "sys", "sys-perm", "sys-temp" };
	struct amqp_conn *conn = f->conn;
	struct view secret = { NULL, 0 };
	struct amqp10_list as = *p;
	struct call *call;
	uint64_t code = 0;

	switch (p->type) {
	case SASL_INIT:
	case SASL_RESPONSE:
		secret = amqp10_text(&p->field[p->type == SASL_INIT]);
		if (p->type == SASL_INIT)
			conn->user_len = amqp_keep(conn->user, sizeof(conn->user), amqp_sasl_user(secret));
		call = amqp_open(f, frame, false, view_str(p->name));
		if (call)
			call->tag = tag_make(0, SASL_WAITS, 0);
		if (call && p->type == SASL_INIT)
			CALL_TEXT(f->sink, call, target, amqp10_text(&p->field[0]), 64);
		conn->at[f->d] = call;
		conn->at_answer[f->d] = false;
		return;
	case SASL_CHALLENGE:
	case SASL_OUTCOME:
		as.type = SASL_WAITS;
		call = pair(f, frame, &as, 0, 0, false);
		if (call)
			CALL_TEXT(f->sink, call, status_text, view_str(p->name), 32);
		if (!call || p->type == SASL_CHALLENGE || !amqp10_number(&p->field[0], &code))
			return;
		ROW_SET(CALL, &call->row, status, (uint16_t)code);
		CALL_TEXT(f->sink, call, status_text, view_str(code < 5 ? outcomes[code] : "unknown"), 32);
		if (!code)
			return;
		ROW_SET(CALL, &call->row, status_class, code == 1 ? CLASS_client_error : CLASS_server_error);
		call_error(f->sink, call, "%s", code == 1 ? "authentication failed" : "the server could not authenticate");
		return;
	default:
		(void)oneway(f, frame, p);
		return;
	}
}

/* ---- frames ---- */

static bool is_performative(const struct amqp10_list *p, bool sasl)
{
	return sasl ? p->type >= SASL_MECHANISMS && p->type <= SASL_OUTCOME : p->type >= OPEN && p->type <= CLOSE;
}

int64_t amqp_10_size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct amqp10_head head;
	int rc = amqp10_head(bytes, &head);

	(void)f;
	if (rc <= 0)
		return rc < 0 ? FRAME_BAD : 0;
	*ret_show = AMQP_SHOW_MAX;
	return head.size;
}

int amqp_10_take(struct frames *f, const struct frame *frame)
{
	struct amqp_conn *conn = f->conn;
	struct amqp10_head head;
	struct amqp10_list p;
	struct view body;
	struct rd rd;
	unsigned session;
	uint64_t message_bytes;

	conn->at[f->d] = NULL;
	conn->at_more[f->d] = false;
	(void)amqp10_head(frame->bytes, &head);
	body = view_sub(frame->bytes, head.body, frame->bytes.len);
	if (head.size == head.body)
		return FRAME_OK;	/* to keep the connection alive */
	rd = rd_make(body);
	if (!amqp10_list(&rd, &p) || !is_performative(&p, head.sasl))
		return conn->sure ? FRAME_OK : FRAME_BAD;
	conn->sure = true;
	if (head.sasl) {
		take_sasl(f, frame, &p);
		return FRAME_OK;
	}
	if (p.type == OPEN) {
		take_open(f, frame, &p);
		return FRAME_OK;
	}
	if (p.type == BEGIN) {
		take_begin(f, frame, &p, head.channel);
		return FRAME_OK;
	}
	session = p.type == CLOSE ? 0 : session_get(conn, f->d, head.channel, f->sink);
	message_bytes = head.size - head.body - rd_pos(&rd);
	switch (p.type) {
	case ATTACH:
		take_attach(f, frame, &p, session);
		break;
	case TRANSFER:
		take_transfer(f, frame, &p, session, rd_rest(&rd), message_bytes);
		break;
	case DISPOSITION:
		take_disposition(f, frame, &p, session);
		break;
	case FLOW:
		(void)oneway(f, frame, &p);
		break;
	default:
		take_ending(f, frame, &p, session);
		break;
	}
	return FRAME_OK;
}

void amqp_10_progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct amqp_conn *conn = f->conn;
	struct call *call = conn->at[f->d];
	bool answer = conn->at_answer[f->d];

	if (!call)
		return;
	call_missing(call, missing);
	if (answer)
		call_response_end(call, f->chunk, end_off);
	else
		call_request_end(call, f->chunk, end_off);
	if (!whole)
		return;
	conn->at[f->d] = NULL;
	if (!conn->at_more[f->d])
		amqp_done(conn, call, answer, f->d, f->sink);
}

/* Transfers in progress that come from direction d. */
static void end_transfers(struct amqp_conn *conn, unsigned d, bool all, uint8_t reason, struct call_sink *sink)
{
	for (unsigned i = 0; i < AMQP_LINKS; i++) {
		struct call *call = conn->link[i].call;

		if (!call || (!all && call->req_dir != d))
			continue;
		conn->link[i].call = NULL;
		for (unsigned k = 0; k < 2; k++)
			conn->at[k] = conn->at[k] == call ? NULL : conn->at[k];
		call_end_open(sink, call, reason);
	}
}

void amqp_10_lost(struct frames *f, uint64_t len)
{
	struct amqp_conn *conn = f->conn;
	struct call *call = conn->at[f->d];

	conn->doubt[f->d] = true;
	call_missing(call, len);
	end_transfers(conn, f->d, false, CALL_END_gap, f->sink);
	if (conn->at[f->d])
		amqp_end(conn, conn->at[f->d], CALL_END_gap, f->sink);
	conn->at[f->d] = NULL;
	call_fifo_end_all(&conn->asked[!f->d], f->sink, CALL_END_gap);
}

void amqp_10_close(struct amqp_conn *conn, uint8_t reason, struct call_sink *sink)
{
	end_transfers(conn, 0, true, reason, sink);
}

bool amqp_10_begins(struct view bytes, bool *ret_more)
{
	struct amqp10_head head;
	struct amqp10_list p;
	struct rd rd;
	int rc = amqp10_head(bytes, &head);

	*ret_more = rc == 0 && bytes.len >= 6;
	if (rc <= 0 || head.size == head.body)
		return false;
	rd = rd_make(view_sub(bytes, head.body, head.size - head.body));
	if (bytes.len > head.body && bytes.at[head.body] != 0)
		return false;
	if (!amqp10_list(&rd, &p) || !is_performative(&p, head.sasl)) {
		if (bytes.len >= head.body + 3u) {
			p.type = bytes.at[head.body + 1] == 0x53 ? bytes.at[head.body + 2] : 0;
			*ret_more = is_performative(&p, head.sasl);
		} else {
			*ret_more = true;
		}
		*ret_more &= bytes.len < head.size && head.size < AMQP_SHOW_MAX / 2;
		return false;
	}
	/* behind a transfer comes its message, behind the others nothing */
	return p.type == TRANSFER || head.body + rd_pos(&rd) == head.size;
}
