/* The messages of a gRPC body as JSON; protobuf without its schema. */
#ifndef WIRE_GRPC_SHOW_H
#define WIRE_GRPC_SHOW_H

#include "base/json.h"
#include "wire/grpc_msg.h"

/*
 * Members "message_count", "message_bytes", "messages": [...], and for gRPC-Web
 * "trailers". encoding: the value of grpc-encoding. E_NO_MEMORY.
 */
int grpc_show_body(enum grpc_kind kind, struct view encoding, struct view body, size_t body_max, struct json *json);

#endif
