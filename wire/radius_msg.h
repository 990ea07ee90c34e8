/* RADIUS packets (RFC 2865, 2866, 5176): header and attributes, and a call as JSON. Pure. */
#ifndef WIRE_RADIUS_MSG_H
#define WIRE_RADIUS_MSG_H

#include "base/json.h"
#include "wire/txt.h"

#define RADIUS_HEAD_BYTES	20
#define RADIUS_LEN_MAX		4096

enum {
	RADIUS_ACCESS = 1, RADIUS_ACCEPT = 2, RADIUS_REJECT = 3, RADIUS_ACCOUNTING = 4, RADIUS_ACCOUNTED = 5,
	RADIUS_CHALLENGE = 11, RADIUS_STATUS_SERVER = 12, RADIUS_STATUS_CLIENT = 13, RADIUS_DISCONNECT = 40,
	RADIUS_DISCONNECT_ACK = 41, RADIUS_DISCONNECT_NAK = 42, RADIUS_COA = 43, RADIUS_COA_ACK = 44, RADIUS_COA_NAK = 45,
};
enum {
	RADIUS_USER_NAME = 1, RADIUS_FRAMED_IP = 8, RADIUS_REPLY_MESSAGE = 18, RADIUS_VENDOR = 26, RADIUS_CALLING = 31,
	RADIUS_STATUS_TYPE = 40, RADIUS_SESSION_ID = 44, RADIUS_FRAMED_PREFIX = 97, RADIUS_ERROR_CAUSE = 101,
};

struct radius_msg {
	uint8_t code, id;
	uint16_t len;
	bool request;
	const char *name;		/* "Access-Request" */
	struct view authenticator;	/* sixteen bytes */
	struct view attributes;		/* as far as they are there */
};

struct radius_attr {
	uint8_t type;
	struct view value;
};

/* False: no packet of a code that is known, or its length lies. The end may be missing. */
bool radius_msg(struct view bytes, struct radius_msg *ret_msg);
/* The next attribute of *rest. False at the end, or where none is. */
bool radius_attr(struct view *rest, struct radius_attr *ret_attr);
/* Do the attributes fill the packet to its end? */
bool radius_whole(const struct radius_msg *msg);
bool radius_find(const struct radius_msg *msg, uint8_t type, struct view *ret_value);
/* The value as people write it: addresses, names of numbers. Not for secrets. */
void radius_value_text(const struct radius_attr *attr, struct txt *txt);

/* As proto_ops.detail. */
int radius_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
