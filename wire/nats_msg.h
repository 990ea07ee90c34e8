/* Lines of the NATS client protocol: operations, headers, options, a call as JSON. Pure. */
#ifndef WIRE_NATS_MSG_H
#define WIRE_NATS_MSG_H

#include "base/json.h"
#include "base/view.h"

#define NATS_LINE_MAX		((size_t)8 << 10)
#define NATS_OPTIONS_MAX	((size_t)48 << 10)	/* INFO and CONNECT: lists of servers, tokens */
#define NATS_PAYLOAD_MAX	((uint64_t)64 << 20)

enum nats_op { NATS_NONE, NATS_INFO, NATS_CONNECT, NATS_PUB, NATS_HPUB, NATS_SUB, NATS_UNSUB, NATS_MSG, NATS_HMSG, NATS_PING,
	       NATS_PONG, NATS_OK, NATS_ERR };

struct nats_line {
	enum nats_op op;
	const char *name;
	size_t len;			/* of the line, with its end */
	struct view subject, reply, queue, sid;
	struct view text;		/* INFO, CONNECT: options; -ERR: the text without quotes */
	uint64_t headers, payload;	/* bytes behind the line, without the end of line behind them: both together */
	bool has_payload;
};

/* 1; 0: the end of the line is not there, as far as it goes it may be one; -1: none. */
int nats_line(struct view bytes, struct nats_line *ret_line);
/* Who sends op: 'C' client, 'S' server, 'B' either. */
char nats_sender(enum nats_op op);

/* The text or bare word of a member of a JSON object, not unescaped; empty. */
struct view nats_option(struct view json, const char *name);

struct nats_headers {
	struct view trace;
	struct view status_text;
	uint16_t status;	/* 0: none */
};
/* As far as they are there. */
void nats_headers(struct view bytes, struct nats_headers *headers);

/* Does a subject fit a subscription's, with * and >? */
bool nats_subject_fits(struct view pattern, struct view subject);

/* As proto_ops.detail. */
int nats_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
