/* The head of an HTTP/1.x message (RFC 9112): start line, header fields, how the body is framed. Pure. */
#ifndef WIRE_HTTP_HEAD_H
#define WIRE_HTTP_HEAD_H

#include "base/view.h"

enum http_start { HTTP_START_NO, HTTP_START_MORE, HTTP_START_REQUEST, HTTP_START_RESPONSE };

/* Do bytes begin like a message? MORE: too few of them to tell. */
enum http_start http_start(struct view bytes);

/*
 * Length of the head that bytes begin with, its empty line included; 0 when the
 * end is not there yet. *scanned: bytes looked at before, so that a head that
 * comes in small pieces is not read again and again; kept up to date.
 */
size_t http_head_end(struct view bytes, size_t *scanned);

struct http_head {
	bool request;
	struct view method, target;	/* request */
	uint16_t status;		/* response */
	struct view reason;
	struct view version;		/* "1.1" */
	struct view fields;		/* the header lines */

	bool has_length;
	uint64_t length;
	bool coded;			/* Transfer-Encoding is there */
	bool chunked;			/* and its last coding is chunked */
	struct view host, user_agent;
	struct view traceparent, b3, b3_trace, request_id;
	struct view content_encoding, content_type;
	const char *problem;		/* the first thing that two programs may read differently; NULL = none */
};

/* head: exactly the bytes of one head. False when the start line is none. */
bool http_head_parse(struct view head, struct http_head *ret_head);

/*
 * The next header line of *rest, which moves behind it. value is trimmed; a folded
 * one still holds its line breaks. False at the end. A line without a colon gives
 * an empty name.
 */
bool http_field_next(struct view *rest, struct view *ret_name, struct view *ret_value);

/* One line of *rest without its line end, *rest moved behind it. False when there is no line end. */
bool http_line(struct view *rest, struct view *ret_line);

/* A chunk's size line: hexadecimal digits, then nothing or an extension. False when it is none. */
bool http_chunk_size(struct view line, uint64_t *ret_size);

/* The trace id of traceparent, b3, X-B3-TraceId or X-Request-Id; empty. */
struct view http_trace_id(const struct http_head *head);

/* Path with ids folded, query dropped: /users/17?x=1 becomes /users/{id}. Returns its length. */
size_t http_template(struct view target, char *text, size_t cap);
/* "http://host:80/path" into its authority and the rest; false: not in absolute form. */
bool http_absolute(struct view target, struct view *ret_authority, struct view *ret_path);

#endif
