#include "wire/amqp_msg.h"

#include "wire/secret.h"

#include <stdio.h>

#define TABLE_DEPTH_MAX	12
#define TABLE_ITEMS_MAX	4096

static const struct amqp_method methods[] = {
#define METHOD(class, method, name, sender, reply, request, fields) { class, method, reply, request, sender, name, fields },
#include "wire/amqp_method.def"
#undef METHOD
};

int amqp_head(struct view bytes, struct amqp_head *ret_head)
{
	struct rd rd = rd_make(bytes);
	struct amqp_head head;

	head.type = rd_u8(&rd);
	if (!rd.bad && head.type != AMQP_TYPE_METHOD && head.type != AMQP_TYPE_HEADER && head.type != AMQP_TYPE_BODY &&
	    head.type != AMQP_TYPE_HEARTBEAT)
		return -1;
	head.channel = rd_u16be(&rd);
	head.size = rd_u32be(&rd);
	if (rd.bad)
		return 0;
	if (head.size > AMQP_FRAME_MAX || (head.type == AMQP_TYPE_METHOD && head.size < 4) ||
	    (head.type == AMQP_TYPE_HEADER && head.size < 14) || (head.type == AMQP_TYPE_HEARTBEAT && head.size) ||
	    ((head.type == AMQP_TYPE_HEADER || head.type == AMQP_TYPE_BODY) && !head.channel))
		return -1;
	*ret_head = head;
	return 1;
}

const struct amqp_method *amqp_method(struct view bytes)
{
	struct rd rd = rd_make(bytes);
	uint16_t class = rd_u16be(&rd), method = rd_u16be(&rd);

	for (size_t i = 0; !rd.bad && i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].class == class && methods[i].method == method)
			return &methods[i];
	return NULL;
}

static struct view rd_short(struct rd *rd)
{
	uint8_t len = rd_u8(rd);

	return rd_bytes(rd, len);
}

static struct view rd_long(struct rd *rd)
{
	uint32_t len = rd_u32be(rd);

	return rd_bytes(rd, len);
}

/* ---- tables ---- */

static void show_table(struct view table, unsigned depth, struct json *json);

/* A value of a table, of the types that RabbitMQ writes (it and the specification differ on s, l and L). */
static void table_value(struct rd *rd, unsigned depth, struct json *json)
{
	uint8_t type = rd_u8(rd);
	union { uint32_t bits; float value; } f;
	union { uint64_t bits; double value; } d;
	struct view bytes;
	int64_t n = 0;

	switch (type) {
	case 't':
		n = rd_u8(rd);
		if (json)
			json_bool(json, n != 0);
		return;
	case 'b':
		n = (int8_t)rd_u8(rd);
		break;
	case 'B':
		n = rd_u8(rd);
		break;
	case 's':
	case 'U':
		n = (int16_t)rd_u16be(rd);
		break;
	case 'u':
		n = rd_u16be(rd);
		break;
	case 'I':
		n = (int32_t)rd_u32be(rd);
		break;
	case 'i':
		n = rd_u32be(rd);
		break;
	case 'l':
	case 'L':
	case 'T':
		n = (int64_t)rd_u64be(rd);
		break;
	case 'f':
		f.bits = rd_u32be(rd);
		if (json)
			json_f64(json, (double)f.value);
		return;
	case 'd':
		d.bits = rd_u64be(rd);
		if (json)
			json_f64(json, d.value);
		return;
	case 'D': {
		uint8_t scale = rd_u8(rd);
		int32_t unscaled = (int32_t)rd_u32be(rd);

		if (json)
			json_printf(json, "%de-%u", unscaled, scale);
		return;
	}
	case 'S':
	case 'x':
		bytes = rd_long(rd);
		if (json)
			json_str(json, bytes);
		return;
	case 'F':
		bytes = rd_long(rd);
		if (json)
			show_table(bytes, depth + 1, json);
		return;
	case 'A': {
		bytes = rd_long(rd);
		if (!json)
			return;
		struct rd items = rd_make(bytes);

		json_array(json);
		while (rd_left(&items) && !items.bad && depth < TABLE_DEPTH_MAX)
			table_value(&items, depth + 1, json);
		json_array_end(json);
		return;
	}
	case 'V':
		if (json)
			json_null(json);
		return;
	default:
		rd->bad = true;
		if (json)
			json_null(json);
		return;
	}
	if (json)
		json_i64(json, n);
}

/* Pairs without the length before them. */
static void show_pairs(struct rd *rd, unsigned depth, struct json *json)
{
	json_object(json);
	for (unsigned i = 0; rd_left(rd) && !rd->bad && depth < TABLE_DEPTH_MAX && i < TABLE_ITEMS_MAX; i++) {
		struct view name = rd_short(rd);

		if (rd->bad)
			break;
		json_keyv(json, name);
		if (secret_name(name)) {
			table_value(rd, depth, NULL);
			json_cstr(json, SECRET_MASK);
		} else {
			table_value(rd, depth, json);
		}
	}
	json_object_end(json);
}

static void show_table(struct view table, unsigned depth, struct json *json)
{
	struct rd rd = rd_make(table);

	show_pairs(&rd, depth, json);
}

struct view amqp_table_text(struct view table, const char *name)
{
	struct rd rd = rd_make(table);

	for (unsigned i = 0; rd_left(&rd) && !rd.bad && i < TABLE_ITEMS_MAX; i++) {
		struct view key = rd_short(&rd);
		struct rd at = rd;

		if (!view_is(key, name)) {
			table_value(&rd, 0, NULL);
			continue;
		}
		return rd_u8(&at) == 'S' ? rd_long(&at) : view_make("", 0);
	}
	return view_make("", 0);
}

struct view amqp_trace_id(struct view traceparent)
{
	if (traceparent.len < 55 || traceparent.at[2] != '-' || traceparent.at[35] != '-')
		return view_make("", 0);
	return view_sub(traceparent, 3, 32);
}

/* ---- who one is ---- */

static bool is_amqplain(struct view response)
{
	return response.len > 6 && response.at[0] == 5 && view_is(view_sub(response, 1, 5), "LOGIN");
}

struct view amqp_sasl_user(struct view response)
{
	const uint8_t *nul, *end;
	ptrdiff_t at;

	if (is_amqplain(response))
		return amqp_table_text(response, "LOGIN");
	nul = response.len ? memchr(response.at, 0, response.len) : NULL;
	if (nul) {		/* PLAIN: who to act as NUL name NUL password */
		response = view_sub(response, (size_t)(nul - response.at) + 1, response.len);
		end = response.len ? memchr(response.at, 0, response.len) : NULL;
		return end ? view_make(response.at, (size_t)(end - response.at)) : view_make("", 0);
	}
	at = view_find(response, VIEW_LIT(",n="));
	if (at < 0 || !view_starts(response, "n,"))
		return view_make("", 0);
	response = view_sub(response, (size_t)at + 3, response.len);
	end = memchr(response.at, ',', response.len);
	return end ? view_make(response.at, (size_t)(end - response.at)) : view_make("", 0);
}

void amqp_show_sasl(struct view response, struct json *json)
{
	struct view user = amqp_sasl_user(response);

	json_object(json);
	if (user.len)
		json_kstr(json, "user", user);
	if (response.len)
		json_kcstr(json, "secret", SECRET_MASK);
	json_ku64(json, "bytes", response.len);
	json_object_end(json);
}

/* ---- methods ---- */

struct walk {
	struct rd rd;
	struct amqp_facts *facts;	/* NULL: not wanted */
	struct json *json;		/* NULL: not wanted */
	unsigned bit;			/* of the octet that holds the next one; 8: none */
	uint8_t bits;
};

static void text_field(struct walk *w, char type)
{
	struct view text = type == 'S' || type == 'p' || type == 't' ? rd_long(&w->rd) : rd_short(&w->rd);
	struct amqp_facts *facts = w->facts;

	if (w->json) {
		if (type == 't')
			show_table(text, 0, w->json);
		else if (type == 'p')
			amqp_show_sasl(text, w->json);
		else
			json_str(w->json, text);
	}
	if (!facts)
		return;
	switch (type) {
	case 'q':
		facts->queue = text;
		break;
	case 'e':
		facts->exchange = text;
		break;
	case 'r':
		facts->routing_key = text;
		break;
	case 'c':
		facts->consumer_tag = text;
		break;
	case 'x':
		facts->reply_text = text;
		break;
	case 'v':
		facts->vhost = text;
		break;
	case 'y':
		facts->mechanism = text;
		break;
	case 'p':
		facts->secret = text;
		break;
	case 't':
		facts->table = text;
		break;
	default:
		break;
	}
}

static void bit_field(struct walk *w, char type)
{
	bool set;

	if (w->bit == 8) {
		w->bits = rd_u8(&w->rd);
		w->bit = 0;
	}
	set = w->bits >> w->bit++ & 1;
	if (w->json)
		json_bool(w->json, set);
	if (!w->facts)
		return;
	w->facts->no_wait |= set && type == 'n';
	w->facts->no_ack |= set && type == 'a';
	w->facts->multiple |= set && type == 'u';
	w->facts->requeue |= set && type == 'z';
}

static void number_field(struct walk *w, char type)
{
	uint64_t n = type == 'o' ? rd_u8(&w->rd) : type == 'h' || type == 'k' || type == 'i' || type == 'j' ? rd_u16be(&w->rd) :
		     type == 'l' || type == 'm' ? rd_u32be(&w->rd) : rd_u64be(&w->rd);
	struct amqp_facts *facts = w->facts;

	if (w->json)
		json_u64(w->json, n);
	if (!facts)
		return;
	switch (type) {
	case 'k':
		facts->reply_code = (uint16_t)n;
		break;
	case 'i':
		facts->class_id = (uint16_t)n;
		break;
	case 'j':
		facts->method_id = (uint16_t)n;
		break;
	case 'm':
		facts->messages = (uint32_t)n;
		facts->has_messages = true;
		break;
	case 'd':
		facts->delivery_tag = n;
		break;
	default:
		break;
	}
}

static void walk_fields(struct walk *w, const char *at)
{
	while (*at && !w->rd.bad) {
		const char *name = at;
		char type;

		at = strchr(at, '.');
		type = at[1];
		if (w->json)
			json_keyv(w->json, view_make(name, (size_t)(at - name)));
		at += at[2] ? 3 : 2;
		if (strchr("bnauz", type)) {
			bit_field(w, type);
			continue;
		}
		w->bit = 8;
		if (strchr("ohlLdmkij", type))
			number_field(w, type);
		else
			text_field(w, type);
	}
}

bool amqp_facts(const struct amqp_method *method, struct view payload, struct amqp_facts *facts, bool *ret_exact)
{
	struct walk w = { .rd = rd_make(view_sub(payload, 4, payload.len)), .facts = facts, .bit = 8 };

	memset(facts, 0, sizeof(*facts));
	walk_fields(&w, method->fields);
	*ret_exact = !w.rd.bad && !rd_left(&w.rd);
	return !w.rd.bad;
}

void amqp_show_method(const struct amqp_method *method, struct view payload, struct json *json)
{
	struct walk w = { .rd = rd_make(view_sub(payload, 4, payload.len)), .json = json, .bit = 8 };

	json_kcstr(json, "method", method->name);
	json_key(json, "arguments");
	json_object(json);
	walk_fields(&w, method->fields);
	json_object_end(json);
	if (w.rd.bad)
		json_kbool(json, "truncated", true);
}

/* ---- content headers ---- */

static const struct property {
	const char *name;
	char type;
} properties[] = {	/* from bit 15 down */
	{ "content_type", 's' }, { "content_encoding", 's' }, { "headers", 't' }, { "delivery_mode", 'o' }, { "priority", 'o' },
	{ "correlation_id", 's' }, { "reply_to", 's' }, { "expiration", 's' }, { "message_id", 's' }, { "timestamp", 'L' },
	{ "type", 's' }, { "user_id", 's' }, { "app_id", 's' }, { "cluster_id", 's' },
};

static bool walk_content(struct view payload, struct amqp_content *content, struct json *json)
{
	struct rd rd = rd_make(payload);
	uint16_t flags;

	(void)rd_u32be(&rd);
	content->body_bytes = rd_u64be(&rd);
	flags = rd_u16be(&rd);
	content->headers = view_make("", 0);
	for (unsigned i = 0; i < sizeof(properties) / sizeof(properties[0]) && !rd.bad; i++) {
		struct walk w = { .rd = rd, .json = json };
		struct amqp_facts facts = { .no_wait = false };

		if (!(flags >> (15 - i) & 1))
			continue;
		if (json)
			json_key(json, properties[i].name);
		w.facts = &facts;
		if (properties[i].type == 'o' || properties[i].type == 'L')
			number_field(&w, properties[i].type);
		else
			text_field(&w, properties[i].type);
		if (properties[i].type == 't')
			content->headers = facts.table;
		rd = w.rd;
	}
	return !rd.bad && !(flags & 3);
}

bool amqp_content(struct view payload, struct amqp_content *ret_content)
{
	return walk_content(payload, ret_content, NULL);
}

void amqp_show_content(struct view payload, struct json *json)
{
	struct amqp_content content;

	json_key(json, "properties");
	json_object(json);
	(void)walk_content(payload, &content, json);
	json_object_end(json);
	json_ku64(json, "body_bytes", content.body_bytes);
}
