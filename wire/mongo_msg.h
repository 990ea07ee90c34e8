/* Messages of the MongoDB wire protocol: header, the documents in them, and a call as JSON. Pure. */
#ifndef WIRE_MONGO_MSG_H
#define WIRE_MONGO_MSG_H

#include "wire/bson.h"

#define MONGO_HEAD_BYTES	16
#define MONGO_LEN_MAX		(64u << 20)

enum {
	MONGO_REPLY = 1, MONGO_UPDATE = 2001, MONGO_INSERT = 2002, MONGO_QUERY = 2004, MONGO_GET_MORE = 2005,
	MONGO_DELETE = 2006, MONGO_KILL_CURSORS = 2007, MONGO_COMPRESSED = 2012, MONGO_MSG = 2013,
};
enum { MONGO_CHECKSUM = 1, MONGO_MORE_TO_COME = 2, MONGO_EXHAUST = 1 << 16 };	/* flags of OP_MSG */

struct mongo_msg {
	uint32_t len, id, to, opcode;
	uint32_t flags;			/* OP_MSG, OP_QUERY, OP_REPLY */
	struct view body;		/* its (first) document, as much as is there */
	struct view collection;		/* "db.coll", of the old messages */
	struct view sequences;		/* OP_MSG: what follows the body */
	uint32_t returned;		/* OP_REPLY: documents */
	uint64_t cursor;
	uint8_t compressor;
	uint32_t compressed_opcode;
};

/* The header alone. False: too short, or no header of ours. */
bool mongo_head(struct view bytes, struct mongo_msg *ret_msg);
/* What the opcode says is behind it; bytes may be cut short. False: contradicts the specification. */
bool mongo_msg(struct view bytes, struct mongo_msg *ret_msg);
const char *mongo_opcode(uint32_t opcode);	/* NULL: unknown */
const char *mongo_compressor(uint8_t id);

/* As proto_ops.detail. */
int mongo_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
