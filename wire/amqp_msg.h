/* Frames, methods and content headers of AMQP 0-9-1 (amqp_method.def); what proves who one is. Pure. */
#ifndef WIRE_AMQP_MSG_H
#define WIRE_AMQP_MSG_H

#include "base/json.h"
#include "base/rd.h"
#include "base/view.h"

#define AMQP_HEAD_BYTES	7		/* type, channel, size */
#define AMQP_END	0xce
#define AMQP_FRAME_MAX	((uint32_t)16 << 20)
#define AMQP_METHOD(class, method) ((uint32_t)(class) << 16 | (method))

enum { AMQP_TYPE_METHOD = 1, AMQP_TYPE_HEADER = 2, AMQP_TYPE_BODY = 3, AMQP_TYPE_HEARTBEAT = 8 };

struct amqp_head {
	uint8_t type;
	uint16_t channel;
	uint32_t size;		/* of the payload */
};

/* 1; 0: cut short; -1: none. */
int amqp_head(struct view bytes, struct amqp_head *ret_head);

struct amqp_method {
	uint16_t class, method;
	uint16_t reply, request;	/* methods of the class that answer it, that it answers; 0: none */
	char sender;			/* C, S, B */
	const char *name;
	const char *fields;
};

/* bytes: a method frame's payload. NULL: unknown, or too few bytes. */
const struct amqp_method *amqp_method(struct view bytes);

/* What a method says in short; views point into its bytes. */
struct amqp_facts {
	struct view queue, exchange, routing_key, consumer_tag, reply_text, vhost, mechanism, secret, table;
	uint64_t delivery_tag;
	uint32_t messages;
	uint16_t reply_code, class_id, method_id;
	bool has_messages, no_wait, no_ack, multiple, requeue;
};

/* False: the arguments are cut short. *ret_exact: they fill the payload to its end. */
bool amqp_facts(const struct amqp_method *method, struct view payload, struct amqp_facts *facts, bool *ret_exact);
/* Members "method" and "arguments"; secrets masked. */
void amqp_show_method(const struct amqp_method *method, struct view payload, struct json *json);

struct amqp_content {
	uint64_t body_bytes;
	struct view headers;	/* table */
};

/* A content header's payload. */
bool amqp_content(struct view payload, struct amqp_content *ret_content);
void amqp_show_content(struct view payload, struct json *json);

/* The text of a table's entry; empty. */
struct view amqp_table_text(struct view table, const char *name);
/* The trace id in a text of W3C's traceparent; empty. */
struct view amqp_trace_id(struct view traceparent);
/* The name in an initial response of PLAIN, AMQPLAIN or SCRAM; empty. */
struct view amqp_sasl_user(struct view response);
/* A response in full but for what must not be shown. */
void amqp_show_sasl(struct view response, struct json *json);

/* As proto_ops.detail. */
int amqp_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
