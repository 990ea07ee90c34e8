/* Cassandra CQL native protocol, versions 1 to 5: envelopes, what a row needs of them, and a call as JSON. Pure. */
#ifndef WIRE_CQL_MSG_H
#define WIRE_CQL_MSG_H

#include "base/json.h"
#include "base/rd.h"

#define CQL_HEAD_MAX	9
#define CQL_BODY_MAX	(256u << 20)	/* the server's own limit */

enum {
	CQL_ERROR = 0, CQL_STARTUP = 1, CQL_READY = 2, CQL_AUTHENTICATE = 3, CQL_OPTIONS = 5, CQL_SUPPORTED = 6,
	CQL_QUERY = 7, CQL_RESULT = 8, CQL_PREPARE = 9, CQL_EXECUTE = 10, CQL_REGISTER = 11, CQL_EVENT = 12,
	CQL_BATCH = 13, CQL_AUTH_CHALLENGE = 14, CQL_AUTH_RESPONSE = 15, CQL_AUTH_SUCCESS = 16,
};
enum { CQL_COMPRESSED = 1, CQL_TRACING = 2, CQL_PAYLOAD = 4, CQL_WARNING = 8 };	/* flags */
enum { CQL_VOID = 1, CQL_ROWS = 2, CQL_KEYSPACE = 3, CQL_PREPARED = 4, CQL_SCHEMA = 5 };	/* kinds of result */

struct cql_head {
	bool response;
	uint8_t version, flags, opcode;
	int16_t stream;
	uint32_t body;		/* bytes */
	size_t len;		/* of the header */
};

/* 1: read; 0: more bytes are needed; -1: no header of ours. */
int cql_head(struct view bytes, struct cql_head *ret_head);
const char *cql_opcode(uint8_t opcode);		/* NULL: unknown */
const char *cql_error_name(uint32_t code);	/* NULL: unknown */
/* The body without what the flags put before it; empty when it is compressed. */
struct view cql_body(const struct cql_head *head, struct view body);
struct view cql_string(struct rd *rd);		/* [string] */
struct view cql_long_string(struct rd *rd);	/* [long string], cut to what is there */
struct view cql_short_bytes(struct rd *rd);
/* How many rows a result holds; false: its description is not there whole. */
bool cql_rows(struct view body, uint64_t *ret_rows);
/* A whole STARTUP, QUERY, RESULT ... as it has to be? Beyond doubt, given enough of it. */
bool cql_sure(struct view bytes, bool response);

/* As proto_ops.detail. */
int cql_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
