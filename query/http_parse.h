/*
 * The bytes of an HTTP request, RFC 9112 and RFC 3986: heads, targets, chunked
 * bodies. Pure: no I/O, no allocation but from the arena given.
 *
 * A failure here is an HTTP status, not only an error code: which of 400, 405,
 * 414, 431, 501, 505 it is, is what the client needs.
 */
#ifndef QUERY_HTTP_PARSE_H
#define QUERY_HTTP_PARSE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/wr.h"

#define HTTP_HEAD_BYTES_MAX   (32u << 10)
#define HTTP_TARGET_BYTES_MAX (16u << 10)
#define HTTP_HEADERS_MAX      100
#define HTTP_PARAMS_MAX	      64

enum http_method { /* bits: a route takes a set of them */
		   HTTP_GET = 1,
		   HTTP_HEAD = 2,
		   HTTP_POST = 4,
		   HTTP_OPTIONS = 8,
		   HTTP_OTHER = 128, /* a proper token that we do not know */
};

struct http_req_head { /* views point into the bytes parsed */
	enum http_method method;
	struct view method_text;
	struct view target; /* origin form, as sent: "/path?query" */
	unsigned minor;	    /* HTTP/1.minor, 0 or 1 */
	bool keep_alive;
	bool chunked;
	bool expect_continue;
	bool gzip;	     /* accepted */
	uint64_t body_bytes; /* Content-Length; 0 without */
	struct view host, accept, origin, authorization, content_type;
	struct view forwarded_for;
};

/*
 * Length of the head with its empty line, 0 while it is not complete. Bytes
 * before from were looked at by an earlier call.
 */
size_t http_req_head_end(struct view bytes, size_t from);
/* A complete head. 0, or the HTTP status to refuse it with, and the words in err. */
int http_req_head_parse(struct view bytes, struct http_req_head *ret_head, struct err *err);

struct http_param {
	struct view name, value; /* decoded */
};
/*
 * Split a target: the path decoded, repeated slashes folded, the one at the end
 * dropped; the parameters decoded. All from arena. 0 or an HTTP status.
 */
int http_target_parse(struct view target, struct arena *arena, struct view *ret_path,
		      struct http_param **ret_params, size_t *ret_count, struct err *err);

/* Decoder of a chunked body. Zero it to start. */
struct http_chunked {
	uint64_t left; /* of the chunk being read */
	unsigned state;
	size_t trailer_bytes;
	size_t line_bytes;
};
/*
 * Take bytes, append what they carry to body. *ret_used: how many were taken.
 * 1 the body is complete, 0 more is needed; 400 or 413 refuse it.
 */
int http_chunked_feed(struct http_chunked *chunked, struct view bytes, size_t body_max,
		      struct wr *body, size_t *ret_used, struct err *err);

/* Does a comma-separated header list hold the word (parameters ignored, q=0 means no)? */
bool http_list_has(struct view list, const char *word);
/* base64 (RFC 4648, padding optional) into arena; E_FORMAT. */
int http_base64(struct view text, struct arena *arena, struct view *ret_bytes);

#endif
