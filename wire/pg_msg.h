/* Messages of the PostgreSQL protocol 3.x: framing, the fields a row needs, and a call as JSON. Pure. */
#ifndef WIRE_PG_MSG_H
#define WIRE_PG_MSG_H

#include "base/json.h"

#define PG_HEAD_BYTES	5		/* type, length */
#define PG_LEN_MAX	0x40000000u	/* the server's own limit: 1 GiB */
#define PG_STARTUP_MAX	10000		/* the server's own limit for what comes before a login */

enum pg_startup { PG_STARTUP_NO, PG_STARTUP_MORE, PG_STARTUP_LOGIN, PG_STARTUP_SSL, PG_STARTUP_GSS, PG_STARTUP_CANCEL };

/* What begins a connection: int32 length, int32 code. *ret_len: of all of it. */
enum pg_startup pg_startup(struct view bytes, uint32_t *ret_len);

/* Is type one that a client (front) or a server sends, and len (as on the wire, itself included) possible for it? */
bool pg_head_ok(bool front, uint8_t type, uint32_t len);
/* Do bytes begin with a message of that side, beyond doubt? False as well when it is not there whole. */
bool pg_message_sure(bool front, struct view bytes);

/* The C string that *rest begins with, *rest moved behind it; cut at the end of *rest. */
struct view pg_cstr(struct view *rest);
/* A field of an ErrorResponse or NoticeResponse body ('C': SQLSTATE, 'M': message); empty. */
struct view pg_error_field(struct view body, char field);
/* The number a command tag ends with: "INSERT 0 5". False: none. */
bool pg_tag_rows(struct view tag, uint64_t *ret_rows);

/* As proto_ops.detail. */
int pg_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
