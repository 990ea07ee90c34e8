/* Diameter messages (RFC 6733): header and AVPs, and a call as JSON. Pure. */
#ifndef WIRE_DIAMETER_MSG_H
#define WIRE_DIAMETER_MSG_H

#include "base/json.h"
#include "base/view.h"

#define DIAMETER_HEAD_BYTES	20

enum { DIAMETER_REQUEST = 0x80, DIAMETER_PROXIABLE = 0x40, DIAMETER_ERROR = 0x20, DIAMETER_AGAIN = 0x10 };
enum {
	AVP_USER_NAME = 1, AVP_SESSION_ID = 263, AVP_ORIGIN_HOST = 264, AVP_RESULT = 268, AVP_PRODUCT = 269,
	AVP_ERROR_MESSAGE = 281, AVP_DESTINATION_REALM = 283, AVP_DESTINATION_HOST = 293, AVP_EXPERIMENTAL = 297,
	AVP_EXPERIMENTAL_CODE = 298, AVP_CC_TYPE = 416, AVP_SUBSCRIPTION = 443, AVP_SUBSCRIPTION_DATA = 444,
	AVP_RECORD_TYPE = 480,
};

struct diameter_msg {
	uint32_t len, command, application, hop_by_hop, end_to_end;
	uint8_t flags;
	struct view avps;	/* as far as they are there */
};

struct diameter_avp {
	uint32_t code, vendor;
	uint8_t flags;
	struct view value;
};

/* 1: a message, of which the end may be missing; 0: too few bytes to tell; -1: none. */
int diameter_msg(struct view bytes, struct diameter_msg *ret_msg);
/* With a first AVP that fits as well. */
bool diameter_sure(struct view bytes);
/* The next AVP of *rest. False at the end, or where none is. */
bool diameter_next(struct view *rest, struct diameter_avp *ret_avp);
/* One without a vendor. */
bool diameter_find(struct view avps, uint32_t code, struct view *ret_value);
bool diameter_u32(struct view avps, uint32_t code, uint32_t *ret_value);
const char *diameter_command_name(uint32_t code);	/* all three: NULL: unknown */
const char *diameter_application_name(uint32_t number);
const char *diameter_result_name(uint32_t code);

/* As proto_ops.detail. */
int diameter_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
