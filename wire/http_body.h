/* An HTTP/1.x message in full, as JSON: head, fields in order, body unchunked and decoded. */
#ifndef WIRE_HTTP_BODY_H
#define WIRE_HTTP_BODY_H

#include "base/json.h"

/* As proto_ops.detail. E_NO_MEMORY; what is no HTTP is shown as "raw". */
int http_detail(struct view request, struct view response, size_t body_max, struct json *json);

/*
 * Members "body", "encoding": "base64" where it is not printable text, and
 * "truncated" where more tells so. Shared by dissectors that show payloads.
 */
int body_show(struct view body, bool more, struct json *json);

/* A body with its content codings (as the header lists them; may be empty) undone: "body_bytes", "decoded", and as above. */
int http_body_show(struct view encodings, struct view body, size_t body_max, struct json *json);

#endif
