/* Frames of RFC 6455 5.2, and a message of them shown. Pure. */
#ifndef WIRE_WEBSOCKET_MSG_H
#define WIRE_WEBSOCKET_MSG_H

#include "base/json.h"
#include "base/view.h"

enum { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

#define WS_CONTROL_MAX 125	/* payload of a control frame */

struct websocket_head {
	bool fin, compressed, masked;
	uint8_t opcode;
	uint8_t mask[4];
	size_t bytes;		/* of the head, mask included */
	uint64_t payload_len;
};

/* 1; 0: too few bytes to tell; -1: no frame. */
int websocket_head(struct view bytes, struct websocket_head *ret_head);
/* Payload (of at most WS_CONTROL_MAX bytes) without its mask, in buf if it had one. */
struct view websocket_unmask(const struct websocket_head *head, struct view payload, uint8_t *buf);
/*
 * Are bytes, seen without the upgrade before them, whole frames one after
 * another, one of them of readable text? No other two bytes would tell.
 */
bool websocket_frames_fit(struct view bytes);
const char *websocket_opcode(uint8_t opcode);
const char *websocket_close_code(uint16_t code);
/* As proto_ops.detail. */
int websocket_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
