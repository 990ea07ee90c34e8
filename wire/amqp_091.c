/* Calls of AMQP 0-9-1: methods and what answers them, messages and what settles them. */
#include "base/hash.h"
#include "wire/amqp_conn.h"
#include "wire/amqp_msg.h"
#include "wire/fold.h"

#include <stdio.h>

static uint64_t tag_channel(uint16_t channel)
{
	return (uint64_t)channel << AMQP_TAG_CHANNEL_SHIFT;
}

static bool is_on(const struct call *call, uint16_t channel)
{
	return (uint16_t)(call->tag >> AMQP_TAG_CHANNEL_SHIFT & 0xffff) == channel;
}

static uint64_t number_of(const struct call *call)
{
	return call->tag & AMQP_TAG_NUMBER;
}

/* ---- channels, consumers ---- */

static void content_end(struct amqp_conn *conn, struct amqp_content_dir *content, uint8_t reason, struct call_sink *sink)
{
	struct call *call = content->call;

	memset(content, 0, sizeof(*content));
	if (call)
		amqp_end(conn, call, reason, sink);
}

static void channel_drop(struct amqp_conn *conn, struct amqp_channel *ch, struct call_sink *sink)
{
	for (unsigned d = 0; d < 2; d++) {
		content_end(conn, &ch->content[d], CALL_END_gap, sink);
		if (conn->at_content[d] == ch)
			conn->at_content[d] = NULL;
	}
	memset(ch, 0, sizeof(*ch));
}

/* Clients number channels from 1 up: as many as there are places do not meet. */
static struct amqp_channel *channel_get(struct amqp_conn *conn, uint16_t number, struct call_sink *sink)
{
	struct amqp_channel *ch = &conn->channel[number % AMQP_CHANNELS];

	if (ch->used && ch->number != number)
		channel_drop(conn, ch, sink);
	ch->used = true;
	ch->number = number;
	return ch;
}

static uint64_t consumer_key(uint16_t channel, struct view tag)
{
	return hash_bytes(tag.len ? tag.at : (const uint8_t *)"", tag.len, channel) | 1;
}

static const struct amqp_consumer *consumer_find(const struct amqp_conn *conn, uint16_t channel, struct view tag)
{
	uint64_t key = consumer_key(channel, tag);

	for (unsigned i = 0; i < AMQP_CONSUMERS; i++)
		if (conn->consumer[i].key == key)
			return &conn->consumer[i];
	return NULL;
}

static void consumer_put(struct amqp_conn *conn, uint16_t channel, struct view tag, const struct call *call)
{
	struct amqp_consumer *c = (struct amqp_consumer *)consumer_find(conn, channel, tag);

	if (!c)
		c = &conn->consumer[conn->consumer_next++ % AMQP_CONSUMERS];
	c->key = consumer_key(channel, tag);
	c->no_ack = call->tag & AMQP_TAG_NO_ACK;
	c->queue_len = ROW_HAS(CALL, &call->row, queue) ? amqp_keep(c->queue, sizeof(c->queue), call->row.queue) : 0;
}

/* ---- columns ---- */

static uint8_t code_class(uint16_t code)
{
	switch (code) {
	case 0:
	case 200:
		return CLASS_ok;
	case 320:	/* an operator closed it */
	case 506:
	case 540:
	case 541:
		return CLASS_server_error;
	default:
		return CLASS_client_error;
	}
}

static void set_code(struct call_sink *sink, struct call *call, const struct amqp_facts *facts)
{
	if (!call)
		return;
	ROW_SET(CALL, &call->row, status, facts->reply_code);
	ROW_SET(CALL, &call->row, status_class, code_class(facts->reply_code));
	if (code_class(facts->reply_code) == CLASS_ok)
		return;
	call_error(sink, call, "%.*s", (int)facts->reply_text.len, facts->reply_text.len ? (const char *)facts->reply_text.at : "");
}

/*
 * As OpenTelemetry names a destination: exchange and routing key with a colon between,
 * the one there is, or the exchange that has no name.
 */
static void set_topic(struct call_sink *sink, struct call *call, struct view exchange, struct view key, bool target)
{
	char text[2 * AMQP_TEXT_MAX + 2], folded[2 * AMQP_TEXT_MAX + 2];
	struct view topic;

	(void)snprintf(text, sizeof(text), "%.*s%s%.*s", (int)exchange.len, exchange.len ? (const char *)exchange.at : "",
		       exchange.len && key.len ? ":" : "", (int)key.len, key.len ? (const char *)key.at : "");
	topic = text[0] ? view_str(text) : VIEW_LIT("amq.default");
	CALL_TEXT(sink, call, topic, topic, AMQP_TEXT_MAX);
	if (!target)
		return;
	CALL_TEXT(sink, call, target, topic, AMQP_TEXT_MAX);
	CALL_TEXT(sink, call, target_template, view_make(folded, fold_key(topic, folded, sizeof(folded))), AMQP_TEXT_MAX);
}

static void set_target(struct call_sink *sink, struct call *call, struct view target)
{
	char folded[AMQP_TEXT_MAX];

	CALL_TEXT(sink, call, target, target, AMQP_TEXT_MAX);
	if (target.len)
		CALL_TEXT(sink, call, target_template, view_make(folded, fold_key(target, folded, sizeof(folded))),
			  sizeof(folded));
}

static void set_arguments(struct amqp_conn *conn, struct call_sink *sink, struct call *call, uint32_t id,
			  const struct amqp_facts *facts)
{
	const struct amqp_consumer *consumer;

	CALL_TEXT(sink, call, queue, facts->queue, AMQP_TEXT_MAX);
	switch (id) {
	case AMQP_METHOD(60, 40):
		/* the exchange without a name delivers to the queue that the key names */
		if (!facts->exchange.len)
			CALL_TEXT(sink, call, queue, facts->routing_key, AMQP_TEXT_MAX);
		set_topic(sink, call, facts->exchange, facts->routing_key, true);
		return;
	case AMQP_METHOD(60, 60):
		consumer = consumer_find(conn, (uint16_t)(call->tag >> AMQP_TAG_CHANNEL_SHIFT), facts->consumer_tag);
		if (consumer)
			CALL_TEXT(sink, call, queue, view_make(consumer->queue, consumer->queue_len), AMQP_TEXT_MAX);
		set_topic(sink, call, facts->exchange, facts->routing_key, true);
		return;
	case AMQP_METHOD(60, 50):
		set_topic(sink, call, facts->exchange, facts->routing_key, true);
		set_code(sink, call, facts);
		return;
	case AMQP_METHOD(10, 50):
	case AMQP_METHOD(20, 40):
		set_code(sink, call, facts);
		return;
	case AMQP_METHOD(10, 60):
		call_error(sink, call, "%.*s", (int)facts->reply_text.len, (const char *)facts->reply_text.at);
		return;
	case AMQP_METHOD(50, 20):
	case AMQP_METHOD(50, 50):
		set_topic(sink, call, facts->exchange, facts->routing_key, false);
		break;
	default:
		break;
	}
	set_target(sink, call, facts->queue.len ? facts->queue : facts->exchange.len ? facts->exchange :
		   facts->vhost.len ? facts->vhost : facts->consumer_tag);
}

/* What a client tells of itself, for all that follows on the connection. */
static void learn(struct amqp_conn *conn, uint32_t id, const struct amqp_facts *facts)
{
	struct view product, version;
	char text[AMQP_TEXT_MAX];

	if (id == AMQP_METHOD(10, 40))
		conn->vhost_len = amqp_keep(conn->vhost, sizeof(conn->vhost), facts->vhost);
	if (id != AMQP_METHOD(10, 11))
		return;
	conn->user_len = amqp_keep(conn->user, sizeof(conn->user), amqp_sasl_user(facts->secret));
	product = view_sub(amqp_table_text(facts->table, "product"), 0, 64);
	version = view_sub(amqp_table_text(facts->table, "version"), 0, 24);
	(void)snprintf(text, sizeof(text), "%.*s%s%.*s", (int)product.len, product.len ? (const char *)product.at : "",
		       product.len && version.len ? "/" : "", (int)version.len, version.len ? (const char *)version.at : "");
	conn->agent_len = amqp_keep(conn->agent, sizeof(conn->agent), view_str(text));
}

/* ---- frames in progress ---- */

/* call goes on, or ends, with the frame taken. */
static void at_frame(struct frames *f, struct call *call, bool answer)
{
	struct amqp_conn *conn = f->conn;

	conn->at[f->d] = call;
	conn->at_answer[f->d] = answer;
}

static void content_begin(struct frames *f, struct amqp_channel *ch, struct call *call, bool answer)
{
	struct amqp_conn *conn = f->conn;
	struct amqp_content_dir *content = &ch->content[f->d];

	content->open = true;
	content->headed = false;
	content->answer = answer;
	content->left = 0;
	content->call = call;
	conn->at_content[f->d] = ch;
}

/* ---- answers ---- */

/* All that waits on a channel, or on all of them, will not be answered any more. */
static void end_channel(struct amqp_conn *conn, const uint16_t *channel, struct call_sink *sink)
{
	for (unsigned i = 0; i < 4; i++) {
		struct call_fifo *fifo = i & 2 ? &conn->content[i & 1] : &conn->asked[i & 1];
		struct call *prev = NULL, *next;

		for (struct call *call = fifo->head; call; call = next) {
			next = call->next;
			if (channel && !is_on(call, *channel)) {
				prev = call;
				continue;
			}
			amqp_take_off(fifo, prev, call);
			amqp_end(conn, call, CALL_END_unanswered, sink);
		}
	}
	for (unsigned i = 0; i < AMQP_CHANNELS; i++)
		if (conn->channel[i].used && (!channel || conn->channel[i].number == *channel))
			channel_drop(conn, &conn->channel[i], sink);
}

/* A close names the method that was at fault: its call has got its answer. */
static void fail_cause(struct frames *f, const struct frame *frame, uint16_t channel, const struct amqp_facts *facts)
{
	struct amqp_conn *conn = f->conn;
	uint32_t id = AMQP_METHOD(facts->class_id, facts->method_id);
	struct call *prev = NULL, *call;

	for (call = conn->asked[!f->d].head; call; prev = call, call = call->next)
		if (number_of(call) == id && (!channel || is_on(call, channel)))
			break;
	if (!id || !call)
		return;
	amqp_take_off(&conn->asked[!f->d], prev, call);
	call_response_begin(call, f->chunk, frame->off);
	call_response_end(call, f->chunk, frame->off + frame->len);
	set_code(f->sink, call, facts);
	amqp_done(conn, call, true, f->d, f->sink);
}

static const char *short_name(const struct amqp_method *m)
{
	const char *dot = strchr(m->name, '.');

	return dot ? dot + 1 : m->name;
}

static void take_answer(struct frames *f, const struct frame *frame, struct amqp_channel *ch, const struct amqp_method *m,
			const struct amqp_facts *facts)
{
	struct amqp_conn *conn = f->conn;
	uint32_t id = AMQP_METHOD(m->class, m->method), request = AMQP_METHOD(m->class, m->request);
	struct call *call = amqp_answered(conn, f->d, ch->number, request);

	if (call) {
		call_response_begin(call, f->chunk, frame->off);
		call_response_end(call, f->chunk, frame->off);
		if (request == AMQP_METHOD(60, 20))
			consumer_put(conn, ch->number, facts->consumer_tag, call);
	} else {
		call = amqp_open(f, frame, true, view_str(m->name));
		if (call)
			call->tag = tag_channel(ch->number);
	}
	if (id == AMQP_METHOD(60, 71))
		content_begin(f, ch, call, true);
	at_frame(f, call, true);
	if (!call)
		return;
	ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	CALL_TEXT(f->sink, call, status_text, view_str(short_name(m)), 32);
	if (id == AMQP_METHOD(10, 11)) {
		CALL_TEXT(f->sink, call, user, view_make(conn->user, conn->user_len), sizeof(conn->user));
		CALL_TEXT(f->sink, call, user_agent, view_make(conn->agent, conn->agent_len), sizeof(conn->agent));
	}
	if (!ROW_HAS(CALL, &call->row, queue))
		CALL_TEXT(f->sink, call, queue, facts->queue, AMQP_TEXT_MAX);
	if (!ROW_HAS(CALL, &call->row, target) && facts->queue.len)
		set_target(f->sink, call, facts->queue);
	if (facts->has_messages)
		ROW_SET(CALL, &call->row, rows, facts->messages);
	if (m->request == 70)
		ROW_SET(CALL, &call->row, rows, m->method == 71);
	if (id == AMQP_METHOD(60, 71))
		set_topic(f->sink, call, facts->exchange, facts->routing_key, false);
}

/* ---- what settles messages ---- */

static void settle(struct frames *f, const struct frame *frame, struct call *call, const struct amqp_method *m,
		   const struct amqp_facts *facts)
{
	struct amqp_conn *conn = f->conn;

	call_response_begin(call, f->chunk, frame->off);
	call_response_end(call, f->chunk, frame->off + frame->len);
	CALL_TEXT(f->sink, call, status_text, view_str(short_name(m)), 32);
	if (m->method == 80) {
		if (!ROW_HAS(CALL, &call->row, status))		/* returned, and confirmed */
			ROW_SET(CALL, &call->row, status_class, CLASS_ok);
	} else {
		ROW_SET(CALL, &call->row, status_class, CLASS_server_error);
		if (f->d == conn->client)
			call_error(f->sink, call, "%s by the consumer%s", m->method == 90 ? "rejected" : "refused",
				   facts->requeue ? ", to be queued again" : "");
		else
			call_error(f->sink, call, "refused by the broker");
	}
	amqp_done(conn, call, true, f->d, f->sink);
}

/*
 * Publications are numbered from the Confirm.Select on. Where that was not seen, or one was lost, the only one that
 * waits must be the one confirmed; where more wait nobody can tell.
 */
static void find_number(struct amqp_conn *conn, struct amqp_channel *ch, uint64_t number, struct call_sink *sink)
{
	struct call_fifo *fifo = &conn->content[conn->client];
	struct call *only = NULL, *prev = NULL, *next;
	unsigned count = 0;

	for (struct call *call = fifo->head; call; call = call->next) {
		if (is_on(call, ch->number) && call->tag & AMQP_TAG_UNSURE) {
			only = call;
			count++;
		}
	}
	if (count == 1) {
		only->tag = (only->tag & ~(AMQP_TAG_UNSURE | AMQP_TAG_NUMBER)) | (number & AMQP_TAG_NUMBER);
		ch->published = number;
		ch->unsure = false;
		return;
	}
	for (struct call *call = fifo->head; call; call = next) {
		next = call->next;
		if (!is_on(call, ch->number) || !(call->tag & AMQP_TAG_UNSURE)) {
			prev = call;
			continue;
		}
		amqp_take_off(fifo, prev, call);
		amqp_end(conn, call, CALL_END_gap, sink);
	}
}

static int take_settlement(struct frames *f, const struct frame *frame, struct amqp_channel *ch, const struct amqp_method *m,
			   const struct amqp_facts *facts)
{
	struct amqp_conn *conn = f->conn;
	struct call_fifo *fifo = &conn->content[!f->d];
	struct call *prev = NULL, *next, *lone;
	uint64_t number = facts->delivery_tag & AMQP_TAG_NUMBER;
	bool found = false;

	if (f->d == conn->client) {
		ch->acks = true;
	} else {
		if (!ch->confirm)
			ch->confirm = ch->unsure = true;
		if (ch->unsure)
			find_number(conn, ch, number, f->sink);
	}
	for (struct call *call = fifo->head; call; call = next) {
		bool hit = is_on(call, ch->number) && (f->d == conn->client || !(call->tag & AMQP_TAG_UNSURE)) &&
			   (facts->multiple ? !number || number_of(call) <= number : number_of(call) == number);

		next = call->next;
		if (!hit) {
			/* a channel's messages wait in the order of their numbers */
			if (is_on(call, ch->number) && number && number_of(call) > number && !(call->tag & AMQP_TAG_UNSURE))
				break;
			prev = call;
			continue;
		}
		amqp_take_off(fifo, prev, call);
		settle(f, frame, call, m, facts);
		found = true;
		if (!facts->multiple)
			break;
	}
	if (found)
		return FRAME_OK;
	/* of a message got, or from before the capture */
	lone = amqp_open(f, frame, f->d != conn->client, view_str(m->name));
	if (lone) {
		lone->tag = AMQP_TAG_ONEWAY | tag_channel(ch->number);
		CALL_TEXT(f->sink, lone, status_text, view_str(short_name(m)), 32);
	}
	at_frame(f, lone, f->d != conn->client);
	return FRAME_OK;
}

/* ---- requests ---- */

/* A message that no queue took comes back before it is confirmed. */
static void mark_returned(struct amqp_conn *conn, const struct amqp_channel *ch, const struct call *returned,
			  const struct amqp_facts *facts, struct call_sink *sink)
{
	for (struct call *call = conn->content[conn->client].head; call; call = call->next) {
		if (!is_on(call, ch->number) || ROW_HAS(CALL, &call->row, status) ||
		    !view_eq(call->row.topic, returned->row.topic))
			continue;
		set_code(sink, call, facts);
		return;
	}
}

static void number_message(struct amqp_conn *conn, struct amqp_channel *ch, struct call *call, uint32_t id,
			   const struct amqp_facts *facts)
{
	if (id == AMQP_METHOD(60, 60)) {
		const struct amqp_consumer *consumer = consumer_find(conn, ch->number, facts->consumer_tag);

		call->tag |= AMQP_TAG_CONTENT | (facts->delivery_tag & AMQP_TAG_NUMBER);
		if (consumer && consumer->no_ack)
			call->tag |= AMQP_TAG_ONEWAY;
		else if (!consumer)
			call->tag |= AMQP_TAG_UNSURE;
	} else if (id == AMQP_METHOD(60, 40) && ch->confirm) {
		call->tag |= AMQP_TAG_CONTENT | (ch->published & AMQP_TAG_NUMBER) | (ch->unsure ? AMQP_TAG_UNSURE : 0);
	} else {
		call->tag |= AMQP_TAG_ONEWAY;
	}
}

static int take_request(struct frames *f, const struct frame *frame, struct amqp_channel *ch, const struct amqp_method *m,
			const struct amqp_facts *facts)
{
	struct amqp_conn *conn = f->conn;
	uint32_t id = AMQP_METHOD(m->class, m->method);
	struct call *call;

	if (id == AMQP_METHOD(10, 10)) {	/* the header was to its liking, which it says by this alone */
		call = amqp_answered(conn, f->d, 0, AMQP_HEADER);
		if (call)
			amqp_end(conn, call, CALL_END_oneway, f->sink);
	}
	if (id == AMQP_METHOD(10, 50) || id == AMQP_METHOD(20, 40))
		fail_cause(f, frame, id == AMQP_METHOD(20, 40) ? ch->number : 0, facts);
	if (id == AMQP_METHOD(60, 40))
		ch->published++;
	call = amqp_open(f, frame, false, view_str(m->name));
	if (id == AMQP_METHOD(60, 40) || id == AMQP_METHOD(60, 50) || id == AMQP_METHOD(60, 60))
		content_begin(f, ch, call, false);
	at_frame(f, call, false);
	if (id == AMQP_METHOD(85, 10)) {
		ch->confirm = true;
		ch->unsure = false;
		ch->published = 0;
	}
	if (!call)
		return FRAME_OK;
	call->tag = tag_channel(ch->number);
	if (m->reply && !facts->no_wait)
		call->tag |= id & AMQP_TAG_NUMBER;
	else
		number_message(conn, ch, call, id, facts);
	if (facts->no_ack)
		call->tag |= AMQP_TAG_NO_ACK;
	set_arguments(conn, f->sink, call, id, facts);
	if (id == AMQP_METHOD(60, 50))
		mark_returned(conn, ch, call, facts, f->sink);
	if (id == AMQP_METHOD(60, 20) && facts->no_wait)
		consumer_put(conn, ch->number, facts->consumer_tag, call);
	return FRAME_OK;
}

/* ---- frames ---- */

static int take_method(struct frames *f, const struct frame *frame, uint16_t channel, struct view payload)
{
	struct amqp_conn *conn = f->conn;
	const struct amqp_method *m = amqp_method(payload);
	struct amqp_channel *ch;
	struct amqp_facts facts;
	bool exact, from_client = f->d == conn->client;
	uint32_t id;

	if (!m || (!amqp_facts(m, payload, &facts, &exact) && frame->len <= AMQP_SHOW_MAX))
		return conn->sure ? FRAME_OK : FRAME_BAD;
	if (m->sender != 'B' && !conn->roles) {
		conn->roles = true;
		conn->client = (uint8_t)(m->sender == 'C' ? f->d : !f->d);
	} else if (m->sender != 'B' && from_client != (m->sender == 'C')) {
		return conn->sure ? FRAME_OK : FRAME_BAD;
	}
	conn->sure = true;
	id = AMQP_METHOD(m->class, m->method);
	learn(conn, id, &facts);
	ch = channel_get(conn, channel, f->sink);
	content_end(conn, &ch->content[f->d], CALL_END_gap, f->sink);	/* what should have followed did not */
	if (m->request) {
		take_answer(f, frame, ch, m, &facts);
		return FRAME_OK;
	}
	if (m->class == 60 && (m->method == 80 || m->method == 90 || m->method == 120))
		return take_settlement(f, frame, ch, m, &facts);
	return take_request(f, frame, ch, m, &facts);
}

static int take_header(struct frames *f, const struct frame *frame, uint16_t channel, struct view payload)
{
	struct amqp_conn *conn = f->conn;
	struct amqp_channel *ch = channel_get(conn, channel, f->sink);
	struct amqp_content_dir *content = &ch->content[f->d];
	struct amqp_content head;

	if (!amqp_content(payload, &head) && frame->len <= AMQP_SHOW_MAX)
		return conn->sure ? FRAME_OK : FRAME_BAD;
	if (!content->open || content->headed)
		return FRAME_OK;
	content->headed = true;
	content->left = head.body_bytes;
	conn->at_content[f->d] = ch;
	at_frame(f, content->call, content->answer);
	if (!content->call)
		return FRAME_OK;
	if (content->answer)
		ROW_SET(CALL, &content->call->row, rsp_body_bytes, head.body_bytes);
	else
		ROW_SET(CALL, &content->call->row, req_body_bytes, head.body_bytes);
	if (!ROW_HAS(CALL, &content->call->row, trace_id))
		CALL_TEXT(f->sink, content->call, trace_id, amqp_trace_id(amqp_table_text(head.headers, "traceparent")), 64);
	return FRAME_OK;
}

static void take_body(struct frames *f, uint16_t channel, uint32_t size)
{
	struct amqp_conn *conn = f->conn;
	struct amqp_channel *ch = channel_get(conn, channel, f->sink);
	struct amqp_content_dir *content = &ch->content[f->d];

	if (!content->open || !content->headed)
		return;
	content->left -= size < content->left ? size : content->left;
	conn->at_content[f->d] = ch;
	at_frame(f, content->call, content->answer);
}

int64_t amqp_091_size(struct frames *f, struct view bytes, uint64_t *ret_show)
{
	struct amqp_head head;
	int rc = amqp_head(bytes, &head);

	(void)f;
	if (rc <= 0)
		return rc < 0 ? FRAME_BAD : 0;
	*ret_show = head.type == AMQP_TYPE_BODY ? AMQP_HEAD_BYTES : AMQP_SHOW_MAX;
	return (int64_t)AMQP_HEAD_BYTES + head.size + 1;
}

int amqp_091_take(struct frames *f, const struct frame *frame)
{
	struct amqp_conn *conn = f->conn;
	struct view payload = view_sub(frame->bytes, AMQP_HEAD_BYTES, frame->bytes.len);
	struct amqp_head head;

	conn->at[f->d] = NULL;
	conn->at_content[f->d] = NULL;
	(void)amqp_head(frame->bytes, &head);
	if (frame->bytes.len == frame->len) {
		if (frame->bytes.at[frame->len - 1] != AMQP_END)
			return FRAME_BAD;
		payload.len--;
	}
	switch (head.type) {
	case AMQP_TYPE_METHOD:
		return take_method(f, frame, head.channel, payload);
	case AMQP_TYPE_HEADER:
		return take_header(f, frame, head.channel, payload);
	case AMQP_TYPE_BODY:
		take_body(f, head.channel, head.size);
		return FRAME_OK;
	default:
		return FRAME_OK;
	}
}

static void closed(struct amqp_conn *conn, const struct call *call, struct call_sink *sink)
{
	uint16_t channel = (uint16_t)(call->tag >> AMQP_TAG_CHANNEL_SHIFT & 0xffff);

	if (number_of(call) == AMQP_METHOD(20, 40))
		end_channel(conn, &channel, sink);
	else if (number_of(call) == AMQP_METHOD(10, 50))
		end_channel(conn, NULL, sink);
}

void amqp_091_progress(struct frames *f, uint64_t end_off, bool whole, uint64_t missing)
{
	struct amqp_conn *conn = f->conn;
	struct call *call = conn->at[f->d];
	struct amqp_channel *ch = conn->at_content[f->d];
	struct amqp_content_dir *content = ch ? &ch->content[f->d] : NULL;
	bool answer = conn->at_answer[f->d];

	if (call) {
		call_missing(call, missing);
		if (answer)
			call_response_end(call, f->chunk, end_off);
		else
			call_request_end(call, f->chunk, end_off);
	}
	if (!whole)
		return;
	conn->at_content[f->d] = NULL;
	if (content && !(content->headed && !content->left)) {
		conn->at[f->d] = NULL;		/* more of it comes */
		return;
	}
	if (content)
		memset(content, 0, sizeof(*content));
	if (call && answer && call->has_req)
		closed(conn, call, f->sink);
	amqp_done(conn, call, answer, f->d, f->sink);
}

void amqp_091_lost(struct frames *f, uint64_t len)
{
	struct amqp_conn *conn = f->conn;
	struct call *call = conn->at[f->d];

	conn->doubt[f->d] = true;
	conn->at_content[f->d] = NULL;
	call_missing(call, len);
	for (unsigned i = 0; i < AMQP_CHANNELS; i++) {
		struct amqp_channel *ch = &conn->channel[i];

		if (!ch->used)
			continue;
		if (ch->content[f->d].call == call)
			call = NULL;
		content_end(conn, &ch->content[f->d], CALL_END_gap, f->sink);
		if (f->d == conn->client && ch->confirm)
			ch->unsure = true;
	}
	if (call)
		amqp_end(conn, call, CALL_END_gap, f->sink);
	/* methods of a kind are told apart by their order alone */
	call_fifo_end_all(&conn->asked[!f->d], f->sink, CALL_END_gap);
}

void amqp_091_close(struct amqp_conn *conn, uint8_t reason, struct call_sink *sink)
{
	struct call *call;

	for (unsigned i = 0; i < AMQP_CHANNELS; i++) {
		for (unsigned d = 0; d < 2; d++) {
			struct amqp_content_dir *content = &conn->channel[i].content[d];

			call = content->call;
			memset(content, 0, sizeof(*content));
			if (!call)
				continue;
			conn->at[d] = conn->at[d] == call ? NULL : conn->at[d];
			call_end_open(sink, call, reason);
		}
	}
	while ((call = call_fifo_take(&conn->content[!conn->client]))) {
		const struct amqp_channel *ch = &conn->channel[(call->tag >> AMQP_TAG_CHANNEL_SHIFT & 0xffff) % AMQP_CHANNELS];

		/* of a consumer nobody saw begin, who settled nothing: so it was agreed, most likely */
		if (call->tag & AMQP_TAG_UNSURE && !ch->acks)
			call_end(sink, call, CALL_END_oneway);
		else
			call_end_open(sink, call, conn->doubt[conn->client] ? CALL_END_gap : reason);
	}
}

bool amqp_091_begins(struct view bytes, bool *ret_more)
{
	const struct amqp_method *m;
	struct amqp_head head;
	struct amqp_facts facts;
	struct amqp_content content;
	struct view payload;
	bool exact = false;
	int rc = amqp_head(bytes, &head);

	*ret_more = rc == 0 && bytes.len;
	if (rc <= 0)
		return false;
	payload = view_sub(bytes, AMQP_HEAD_BYTES, head.size);
	if (bytes.len > AMQP_HEAD_BYTES + (size_t)head.size && bytes.at[AMQP_HEAD_BYTES + head.size] != AMQP_END)
		return false;
	if (head.type == AMQP_TYPE_METHOD && payload.len >= 4) {
		m = amqp_method(payload);
		if (!m || (head.channel == 0) != (m->class == 10))
			return false;
		if (payload.len == head.size)
			return amqp_facts(m, payload, &facts, &exact) && exact;
	}
	if (head.type == AMQP_TYPE_HEADER && payload.len == head.size)
		return payload.at[0] == 0 && payload.at[1] == 60 && !payload.at[2] && !payload.at[3] &&
		       amqp_content(payload, &content);
	*ret_more = (head.type == AMQP_TYPE_METHOD || head.type == AMQP_TYPE_HEADER) && payload.len < head.size &&
		    head.size < AMQP_SHOW_MAX / 2;
	return false;
}
