/* A DNS call in full, as JSON. */
#ifndef WIRE_DNS_SHOW_H
#define WIRE_DNS_SHOW_H

#include "base/json.h"

/* As proto_ops.detail: every record of both messages; TCP's length before a message is taken off. */
int dns_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
