/* Frames of AMQP 1.0 as JSON. */
#include "wire/amqp_msg.h"
#include "wire/amqp_type.h"
#include "wire/dissect.h"
#include "wire/http_body.h"

#include <stdio.h>

#define DEPTH_MAX	12
#define NODES_MAX	8192
#define NAME_MAX_TEXT	48
#define MESSAGE_MAX	((size_t)16 << 10)	/* of a message, besides its body */

static const struct names {
	uint8_t code;
	const char *name, *fields;
} names[] = {
#define TYPE(code, name, fields) { code, name, fields },
#include "wire/amqp_type.def"
#undef TYPE
};

struct show {
	struct json *json;
	unsigned nodes;
	size_t budget;		/* bytes of texts */
	bool cut;
};

static const struct names *names_find(uint64_t code)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].code == code)
			return &names[i];
	return NULL;
}

static void show_value(struct show *s, struct rd *rd, unsigned depth);

static void show_text(struct show *s, struct view text)
{
	struct view shown = view_sub(text, 0, s->budget);

	s->cut |= shown.len < text.len;
	s->budget -= shown.len;
	json_str(s->json, shown);
}

/* The next name, with _ for -. False: no more. */
static bool field_name(const char **at, char text[NAME_MAX_TEXT], bool *ret_secret)
{
	size_t len = 0;

	*ret_secret = false;
	while (**at == ' ')
		(*at)++;
	if (!**at)
		return false;
	for (; **at && **at != ' '; (*at)++) {
		if (**at == '!')
			*ret_secret = true;
		else if (len + 1 < NAME_MAX_TEXT)
			text[len++] = (char)(**at == '-' ? '_' : **at);
	}
	text[len] = 0;
	return true;
}

/* The fields of a list that are there and not null, as members. */
static void show_fields(struct show *s, const struct amqp10_value *list, const char *fields, unsigned depth)
{
	struct rd rd = rd_make(list->bytes);
	char name[NAME_MAX_TEXT];
	bool secret;

	for (uint32_t i = 0; i < list->count && rd_left(&rd) && !rd.bad && field_name(&fields, name, &secret); i++) {
		struct rd look = rd;
		struct amqp10_value value;

		amqp10_value(&look, &value);
		if (look.bad)
			break;
		if (value.code == 0x40) {
			rd = look;
			continue;
		}
		json_key(s->json, name);
		if (secret) {
			amqp_show_sasl(amqp10_text(&value), s->json);
			rd = look;
		} else {
			show_value(s, &rd, depth + 1);
		}
	}
}

static void show_map(struct show *s, const struct amqp10_value *map, unsigned depth)
{
	struct rd rd = rd_make(map->bytes);

	json_object(s->json);
	while (rd_left(&rd) && !rd.bad && s->nodes) {
		struct amqp10_value key;
		char number[24];

		amqp10_value(&rd, &key);
		if (rd.bad || !rd_left(&rd))
			break;
		if (amqp10_is_text(&key)) {
			json_keyv(s->json, key.bytes);
		} else {
			(void)snprintf(number, sizeof(number), "%lld", (long long)key.number);
			json_key(s->json, number);
		}
		show_value(s, &rd, depth + 1);
	}
	json_object_end(s->json);
}

static void show_items(struct show *s, const struct amqp10_value *list, unsigned depth)
{
	struct rd rd = rd_make(list->bytes);

	json_array(s->json);
	while (rd_left(&rd) && !rd.bad && s->nodes)
		show_value(s, &rd, depth + 1);
	json_array_end(s->json);
}

/* Items of an array have one constructor, before the first. Texts are shown, others counted. */
static void show_array(struct show *s, const struct amqp10_value *array)
{
	struct rd rd = rd_make(array->bytes);
	uint8_t code = rd_u8(&rd);

	json_array(s->json);
	for (uint32_t i = 0; i < array->count && (code & 0xe0) == 0xa0 && !rd.bad && s->nodes; i++, s->nodes--) {
		uint32_t len = code & 0x10 ? rd_u32be(&rd) : rd_u8(&rd);
		struct view text = rd_bytes(&rd, len);

		if (!rd.bad)
			show_text(s, text);
	}
	json_array_end(s->json);
	s->cut |= (code & 0xe0) != 0xa0 && array->count;
}

static void show_uuid(struct show *s, struct view id)
{
	char text[40];
	size_t len = 0;

	for (size_t i = 0; i < id.len; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
					id.at[i]);
	json_str(s->json, view_make(text, len));
}

static void show_scalar(struct show *s, const struct amqp10_value *v)
{
	union { uint32_t bits; float value; } f = { .bits = (uint32_t)v->number };
	union { uint64_t bits; double value; } d = { .bits = v->number };

	switch (v->code) {
	case 0x40:
		json_null(s->json);
		break;
	case 0x41:
	case 0x42:
	case 0x56:
		json_bool(s->json, v->number != 0);
		break;
	case 0x51:
	case 0x54:
	case 0x55:
	case 0x61:
	case 0x71:
	case 0x81:
	case 0x83:
		json_i64(s->json, (int64_t)v->number);
		break;
	case 0x72:
		json_f64(s->json, (double)f.value);
		break;
	case 0x82:
		json_f64(s->json, d.value);
		break;
	case 0x98:
		show_uuid(s, v->bytes);
		break;
	case 0xa0:
	case 0xb0:
		show_bytes(s->json, v->bytes, &s->budget);
		break;
	default:
		if (amqp10_is_text(v))
			show_text(s, v->bytes);
		else
			json_u64(s->json, v->number);
		break;
	}
}

static void show_value(struct show *s, struct rd *rd, unsigned depth)
{
	const struct names *type;
	struct amqp10_value v;

	amqp10_value(rd, &v);
	if (rd->bad || !s->nodes || depth > DEPTH_MAX) {
		json_null(s->json);
		s->cut = true;
		return;
	}
	s->nodes--;
	type = v.descriptor ? names_find(v.descriptor) : NULL;
	if (type && amqp10_is_list(&v)) {
		json_object(s->json);
		json_kcstr(s->json, "type", type->name);
		show_fields(s, &v, type->fields, depth);
		json_object_end(s->json);
	} else if (amqp10_is_list(&v)) {
		show_items(s, &v, depth);
	} else if (v.code == 0xc1 || v.code == 0xd1) {
		show_map(s, &v, depth);
	} else if (v.code == 0xe0 || v.code == 0xf0) {
		show_array(s, &v);
	} else {
		show_scalar(s, &v);
	}
}

/* The sections of a message as members; the data put together as its body. */
static int show_sections(struct show *s, struct view bytes, size_t body_max, bool cut)
{
	struct rd rd = rd_make(bytes);
	bool data = false, more = cut;
	struct wr body;
	int rc = 0;

	wr_init(&body, 0);
	while (rd_left(&rd) && !rd.bad && s->nodes) {
		const struct names *type;
		struct amqp10_value v;
		struct rd at = rd;
		char name[NAME_MAX_TEXT];
		const char *from;
		bool secret;

		amqp10_value(&rd, &v);
		type = v.descriptor >= 0x70 ? names_find(v.descriptor) : NULL;
		if (rd.bad || !type)
			break;
		if (v.descriptor == 0x75) {
			wr_bytes(&body, view_sub(v.bytes, 0, body_max - body.len));
			more |= v.bytes.len > body_max - body.len;
			data = true;
			continue;
		}
		from = type->name;
		(void)field_name(&from, name, &secret);
		json_key(s->json, name);
		show_value(s, &at, 2);
	}
	/* a body that is cut short is shown as far as it is there */
	if (rd.bad && cut && bytes.len > 3 && !data) {
		ptrdiff_t at = view_find(bytes, VIEW_LIT("\0\x53\x75\xb0"));

		if (at >= 0) {
			wr_bytes(&body, view_sub(bytes, (size_t)at + 8, body_max));
			data = true;
		}
	}
	if (data)
		rc = body.bad ? E_NO_MEMORY : body_show(view_make(body.at, body.len), more, s->json);
	else if (more || s->cut || rd.bad)
		json_kbool(s->json, "truncated", true);
	wr_release(&body);
	return rc;
}

/* Further transfers on the same link, put together with the first. */
static void gather(struct wr *message, struct view rest, const struct amqp10_head *first, uint64_t handle, size_t max, bool *ret_cut)
{
	while (rest.len) {
		struct amqp10_head head;
		struct amqp10_list p;
		struct view body;
		uint64_t number = 0;
		struct rd rd;

		if (amqp10_head(rest, &head) <= 0) {
			*ret_cut = true;
			return;
		}
		body = view_sub(rest, head.body, head.size - head.body);
		*ret_cut |= body.len < head.size - head.body;
		rest = view_sub(rest, head.size, rest.len);
		rd = rd_make(body);
		if (head.sasl || head.channel != first->channel || !amqp10_list(&rd, &p) || p.type != 0x14 ||
		    (amqp10_number(&p.field[0], &number) && number != handle))
			continue;
		*ret_cut |= rd_left(&rd) > max - message->len;
		wr_bytes(message, view_sub(rd_rest(&rd), 0, max - message->len));
	}
}

int amqp10_show(struct view bytes, size_t body_max, struct json *json)
{
	struct show s = { .json = json, .nodes = NODES_MAX, .budget = body_max > MESSAGE_MAX ? body_max : MESSAGE_MAX };
	const struct names *type;
	struct amqp10_value v;
	struct amqp10_head head;
	uint64_t handle = 0;
	struct amqp10_list p;
	struct wr message;
	bool cut = false;
	struct rd rd, at;
	int rc;

	if (amqp10_head(bytes, &head) <= 0)
		return 0;
	json_ku64(json, "channel", head.channel);
	rd = rd_make(view_sub(bytes, head.body, head.size - head.body));
	cut = rd_left(&rd) < head.size - head.body;
	at = rd;
	amqp10_value(&rd, &v);
	type = names_find(v.descriptor);
	if (rd.bad || !type || !amqp10_is_list(&v)) {
		json_kbool(json, "truncated", true);
		return 0;
	}
	json_kcstr(json, "performative", type->name);
	json_key(json, "fields");
	json_object(json);
	show_fields(&s, &v, type->fields, 0);
	json_object_end(json);
	if (type->code != 0x14)
		return json->out->bad ? E_NO_MEMORY : 0;
	if (amqp10_list(&at, &p))
		(void)amqp10_number(&p.field[0], &handle);
	wr_init(&message, 0);
	wr_bytes(&message, view_sub(rd_rest(&rd), 0, body_max + MESSAGE_MAX));
	gather(&message, view_sub(bytes, head.size, bytes.len), &head, handle, body_max + MESSAGE_MAX, &cut);
	rc = message.bad ? E_NO_MEMORY : 0;
	if (rc == 0) {
		json_key(json, "message");
		json_object(json);
		rc = show_sections(&s, view_make(message.at, message.len), body_max, cut);
		json_object_end(json);
	}
	wr_release(&message);
	return rc;
}
