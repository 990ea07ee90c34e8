/* Memcached's lines and binary headers, and a call as JSON. Pure. */
#ifndef WIRE_MEMCACHED_MSG_H
#define WIRE_MEMCACHED_MSG_H

#include "base/json.h"

#define MEMCACHED_HEAD_BYTES	24
#define MEMCACHED_WORDS_MAX	8	/* looked at */
#define MEMCACHED_STAT		0x10

/* A command's or an answer's line. */
struct memcached_line {
	struct view all;	/* without the line end */
	size_t line_bytes;	/* with it */
	struct view word[MEMCACHED_WORDS_MAX];
	unsigned words;
	struct view key;
	struct view opaque;	/* meta: the O flag's token */
	bool get, meta, quiet, noreply;
	bool has_data;		/* data_bytes and a line end follow */
	uint64_t data_bytes;
};

/* False: no line end, no word, or the length it must tell is none. */
bool memcached_line(struct view bytes, struct memcached_line *ret_line);
bool memcached_command(struct view word);
bool memcached_answer(struct view word);

struct memcached_head {
	bool request;
	uint8_t opcode, extras;
	uint16_t key, status;
	uint32_t body, opaque;
};

/* False: no binary header, or lengths that contradict each other. */
bool memcached_head(struct view bytes, struct memcached_head *ret_head);
const char *memcached_opcode(uint8_t opcode);	/* NULL: unknown */
bool memcached_opcode_quiet(uint8_t opcode);
bool memcached_opcode_get(uint8_t opcode);
const char *memcached_status(uint16_t status);	/* NULL: unknown */

/* Do bytes begin with a command (an answer), beyond doubt? */
bool memcached_begins(struct view bytes, bool command, bool binary);
/* Without a line end yet: could they be text? */
bool memcached_may_begin(struct view bytes);

/* As proto_ops.detail. */
int memcached_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
