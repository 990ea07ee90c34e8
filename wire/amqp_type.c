#include "wire/amqp_type.h"

#include "wire/amqp_msg.h"

static const struct type {
	uint8_t code;
	const char *name, *fields;
} types_10[] = {
#define TYPE(code, name, fields) { code, name, fields },
#include "wire/amqp_type.def"
#undef TYPE
};

static const struct type *type_find(uint64_t code)
{
	for (size_t i = 0; i < sizeof(types_10) / sizeof(types_10[0]); i++)
		if (types_10[i].code == code)
			return &types_10[i];
	return NULL;
}

/* "amqp:open:list" */
static uint64_t type_by_symbol(struct view symbol)
{
	if (!view_starts(symbol, "amqp:"))
		return 0;
	symbol = view_sub(symbol, 5, symbol.len);
	for (size_t i = 0; i < sizeof(types_10) / sizeof(types_10[0]); i++) {
		size_t len = strlen(types_10[i].name);

		if (view_starts(symbol, types_10[i].name) && symbol.len > len && symbol.at[len] == ':')
			return types_10[i].code;
	}
	return 0;
}

int amqp10_head(struct view bytes, struct amqp10_head *ret_head)
{
	struct rd rd = rd_make(bytes);
	struct amqp10_head head = { .size = rd_u32be(&rd) };
	uint8_t doff, type;

	if (rd.bad)
		return bytes.len && bytes.at[0] > AMQP10_FRAME_MAX >> 24 ? -1 : 0;
	if (head.size < AMQP10_HEAD_BYTES || head.size > AMQP10_FRAME_MAX)
		return -1;
	doff = rd_u8(&rd);
	if (!rd.bad && (doff < 2 || doff * 4u > head.size))
		return -1;
	type = rd_u8(&rd);
	if (!rd.bad && type > 1)
		return -1;
	head.channel = rd_u16be(&rd);
	if (rd.bad)
		return 0;
	head.body = doff * 4u;
	head.sasl = type == 1;
	*ret_head = head;
	return 1;
}

/* ---- values ---- */

static void read_fixed(struct rd *rd, uint8_t code, struct amqp10_value *v)
{
	switch (code) {
	case 0x41:
		v->number = 1;
		break;
	case 0x50:
	case 0x52:
	case 0x53:
	case 0x56:
		v->number = rd_u8(rd);
		break;
	case 0x51:
	case 0x54:
	case 0x55:
		v->number = (uint64_t)(int64_t)(int8_t)rd_u8(rd);
		break;
	case 0x60:
		v->number = rd_u16be(rd);
		break;
	case 0x61:
		v->number = (uint64_t)(int64_t)(int16_t)rd_u16be(rd);
		break;
	case 0x70:
	case 0x72:
	case 0x73:
		v->number = rd_u32be(rd);
		break;
	case 0x71:
		v->number = (uint64_t)(int64_t)(int32_t)rd_u32be(rd);
		break;
	case 0x80:
	case 0x81:
	case 0x82:
	case 0x83:
		v->number = rd_u64be(rd);
		break;
	case 0x74:
	case 0x84:
	case 0x94:
	case 0x98:
		v->bytes = rd_bytes(rd, code == 0x74 ? 4 : code == 0x84 ? 8 : 16);
		break;
	case 0x40:
	case 0x42:
	case 0x43:
	case 0x44:
	case 0x45:
		break;
	default:
		rd->bad = true;
		break;
	}
}

/* The value behind its constructor. */
static void read_value(struct rd *rd, uint8_t code, struct amqp10_value *v)
{
	bool wide = code & 0x10;
	uint32_t size;

	v->code = code;
	v->number = 0;
	v->count = 0;
	v->bytes = view_make("", 0);
	if (code < 0xa0) {
		read_fixed(rd, code, v);
		return;
	}
	if ((code & 0xe0) == 0xa0) {
		if (code != 0xa0 && code != 0xa1 && code != 0xa3 && code != 0xb0 && code != 0xb1 && code != 0xb3)
			rd->bad = true;
		size = wide ? rd_u32be(rd) : rd_u8(rd);
		v->bytes = rd_bytes(rd, size);
		return;
	}
	if (code != 0xc0 && code != 0xc1 && code != 0xd0 && code != 0xd1 && code != 0xe0 && code != 0xf0)
		rd->bad = true;
	size = wide ? rd_u32be(rd) : rd_u8(rd);
	v->count = wide ? rd_u32be(rd) : rd_u8(rd);
	if (size < (wide ? 4u : 1u))
		rd->bad = true;
	v->bytes = rd_bytes(rd, rd->bad ? 0 : size - (wide ? 4u : 1u));
}

void amqp10_value(struct rd *rd, struct amqp10_value *ret_value)
{
	uint8_t code = rd_u8(rd);

	ret_value->descriptor = 0;
	if (code == 0) {
		struct amqp10_value descriptor;

		code = rd_u8(rd);
		if (code == 0)
			rd->bad = true;		/* a descriptor that is described: nobody does */
		read_value(rd, code, &descriptor);
		ret_value->descriptor = code == 0x53 || code == 0x80 ? descriptor.number :
					code == 0xa3 || code == 0xb3 ? type_by_symbol(descriptor.bytes) : 0;
		code = rd_u8(rd);
		if (code == 0)
			rd->bad = true;
	}
	read_value(rd, code, ret_value);
	if (rd->bad)
		*ret_value = (struct amqp10_value){ .code = 0x40, .bytes = view_make("", 0) };
}

bool amqp10_is_list(const struct amqp10_value *value)
{
	return value->code == 0x45 || value->code == 0xc0 || value->code == 0xd0;
}

bool amqp10_is_text(const struct amqp10_value *value)
{
	return (value->code & 0xe0) == 0xa0;
}

bool amqp10_true(const struct amqp10_value *value)
{
	return value->code == 0x41 || (value->code == 0x56 && value->number);
}

bool amqp10_number(const struct amqp10_value *value, uint64_t *ret_number)
{
	if (value->code == 0x40 || value->code == 0x41 || value->code == 0x42 || value->code == 0x45 || value->code >= 0x90)
		return false;
	*ret_number = value->number;
	return true;
}

struct view amqp10_text(const struct amqp10_value *value)
{
	return amqp10_is_text(value) ? value->bytes : view_make("", 0);
}

bool amqp10_sub_list(const struct amqp10_value *value, struct amqp10_list *ret_list)
{
	const struct type *type = type_find(value->descriptor);
	struct rd rd = rd_make(value->bytes);

	if (!type || !amqp10_is_list(value))
		return false;
	ret_list->type = type->code;
	ret_list->name = type->name;
	for (unsigned i = 0; i < AMQP10_FIELDS; i++) {
		ret_list->field[i] = (struct amqp10_value){ .code = 0x40, .bytes = view_make("", 0) };
		if (i < value->count && rd_left(&rd) && !rd.bad)
			amqp10_value(&rd, &ret_list->field[i]);
	}
	return !rd.bad;
}

bool amqp10_list(struct rd *rd, struct amqp10_list *ret_list)
{
	struct amqp10_value value;

	amqp10_value(rd, &value);
	return !rd->bad && amqp10_sub_list(&value, ret_list);
}

/* ---- messages ---- */

/* The text that a map has under name. */
static struct view map_text(const struct amqp10_value *map, const char *name)
{
	struct rd rd = rd_make(map->bytes);

	if (map->code != 0xc1 && map->code != 0xd1)
		return view_make("", 0);
	while (rd_left(&rd) && !rd.bad) {
		struct amqp10_value key, value;

		amqp10_value(&rd, &key);
		amqp10_value(&rd, &value);
		if (view_is(amqp10_text(&key), name))
			return amqp10_text(&value);
	}
	return view_make("", 0);
}

void amqp10_message(struct view bytes, struct amqp10_message *ret_message)
{
	struct amqp10_message m = { .to = view_make("", 0), .subject = view_make("", 0), .trace = view_make("", 0) };
	struct rd rd = rd_make(bytes);

	while (rd_left(&rd) && !rd.bad) {
		struct amqp10_value section;
		struct amqp10_list list;

		amqp10_value(&rd, &section);
		if (rd.bad || section.descriptor < 0x70 || section.descriptor >= 0x75)
			break;
		if (section.descriptor == 0x73 && amqp10_sub_list(&section, &list)) {
			m.to = amqp10_text(&list.field[2]);
			m.subject = amqp10_text(&list.field[3]);
		} else if (!m.trace.len) {
			m.trace = amqp_trace_id(map_text(&section, "traceparent"));
		}
	}
	*ret_message = m;
}
