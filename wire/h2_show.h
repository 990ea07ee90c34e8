/* A call of HTTP/2 out of its bytes on the connection. */
#ifndef WIRE_H2_SHOW_H
#define WIRE_H2_SHOW_H

#include "base/wr.h"
#include "wire/grpc_msg.h"

#define H2_BEFORE_BYTES ((size_t)4 << 20)

/* As proto_ops.detail_after; kind: what the call is where its headers do not tell. */
int h2_show(const struct call_before *before, struct view request, struct view response, enum grpc_kind kind,
	    size_t body_max, struct json *json);

/*
 * Append the request as HTTP/1.1 would write it, its body with a Content-Length.
 * *ret_unknown: header fields left out because their table is not known. False:
 * method or path are not among what is known.
 */
bool h2_plain_request(const struct call_before *before, struct view request, struct wr *out, uint32_t *ret_unknown);

#endif
