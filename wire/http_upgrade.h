/*
 * What follows HTTP/1.x on a connection after 101 or a successful CONNECT, and
 * what its dissector is told of it (proto.h, call_note):
 *
 *	GET /chat			method and target of the request, as far as known
 *	host: example.org
 *	upgrade: websocket		fields of the response that say what was agreed on,
 *	sec-websocket-protocol: x	names in lower case
 */
#ifndef WIRE_HTTP_UPGRADE_H
#define WIRE_HTTP_UPGRADE_H

#include "wire/http_head.h"
#include "wire/proto.h"

/* call: the request's, may be NULL. Leaves the note; returns the next L7_..., L7_none to have it guessed. */
uint8_t http_upgrade(struct call_sink *sink, const struct call *call, const struct http_head *response);

/* A value of such a note, name in lower case; empty when it is not there. */
struct view http_note_field(struct view note, const char *name);
/* Method and target of its first line. */
void http_note_request(struct view note, struct view *ret_method, struct view *ret_target);

#endif
