/* A QUIC handshake in full, as far as its first datagrams tell. */
#ifndef WIRE_QUIC_SHOW_H
#define WIRE_QUIC_SHOW_H

#include "base/json.h"

/* As proto_ops.detail. */
int quic_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
