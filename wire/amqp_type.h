/* The types of AMQP 1.0 (amqp_type.def), its frames and performatives. Pure. */
#ifndef WIRE_AMQP_TYPE_H
#define WIRE_AMQP_TYPE_H

#include "base/json.h"
#include "base/rd.h"

#define AMQP10_HEAD_BYTES	8
#define AMQP10_FRAME_MAX	((uint32_t)64 << 20)
#define AMQP10_FIELDS		14

struct amqp10_head {
	uint32_t size;		/* of the frame */
	uint32_t body;		/* where the performative begins */
	uint16_t channel;
	bool sasl;
};

/* 1; 0: cut short; -1: none. */
int amqp10_head(struct view bytes, struct amqp10_head *ret_head);

/* What is behind the descriptor, if there is one. */
struct amqp10_value {
	uint64_t descriptor;	/* 0: none, or one without a number */
	uint8_t code;		/* 0x40 null, 0x41 true, 0x42 false, ... */
	uint64_t number;	/* integers, booleans, times */
	struct view bytes;	/* texts and binaries; the items of lists, maps and arrays */
	uint32_t count;		/* of those */
};

/* Reads one; rd->bad when it is cut short or none. */
void amqp10_value(struct rd *rd, struct amqp10_value *ret_value);
bool amqp10_is_list(const struct amqp10_value *value);
bool amqp10_is_text(const struct amqp10_value *value);	/* string, symbol, binary */

/* A described list taken apart; fields left out are null. */
struct amqp10_list {
	uint8_t type;
	const char *name;
	struct amqp10_value field[AMQP10_FIELDS];
};

/* False: none that is known. rd stands behind it afterwards. */
bool amqp10_list(struct rd *rd, struct amqp10_list *ret_list);
/* The value that is a described list too, such as a source in an attach. */
bool amqp10_sub_list(const struct amqp10_value *value, struct amqp10_list *ret_list);
bool amqp10_true(const struct amqp10_value *value);
bool amqp10_number(const struct amqp10_value *value, uint64_t *ret_number);
struct view amqp10_text(const struct amqp10_value *value);	/* empty when it is none */

struct amqp10_message {
	struct view to, subject, trace;
};

/* What the sections of a message tell, as far as they are there. */
void amqp10_message(struct view bytes, struct amqp10_message *ret_message);

/* As proto_ops.detail for one side. */
int amqp10_show(struct view bytes, size_t body_max, struct json *json);

#endif
