/*
 * One answer on its way to bytes on the wire: head, chunks, gzip. Pure but for
 * memory; the handler's thread or the loop, one at a time.
 *
 * While only out was filled, everything can still change. reply_hand_over()
 * begins a chunked answer; reply_end() on one that was not begun gives it a length.
 */
#ifndef QUERY_HTTP_REPLY_H
#define QUERY_HTTP_REPLY_H

#include "query/http.h"

struct http_reply {
	struct wr out;	   /* body, waiting */
	struct wr wire;	   /* ready to be sent */
	struct wr headers; /* further lines */
	const char *type;
	int status;
	bool head_only; /* HEAD: no body is sent */
	bool http10;	/* no chunks: the end of the connection ends the body */
	bool keep_alive; /* in: wanted; becomes false when the connection has to end with the answer */
	bool gzip_wanted, gzip;
	bool unbuffered;
	bool begun, ended, broken;
	uint64_t body_bytes; /* before compression */
	void *deflate;
};

void http_reply_init(struct http_reply *reply);
void http_reply_release(struct http_reply *reply);
/* Forget body and headers, if nothing was begun: an error takes their place. */
void http_reply_reset(struct http_reply *reply);
void http_reply_header(struct http_reply *reply, const char *name, const char *fmt, va_list args)
	__attribute__((format(printf, 3, 0)));
/* Move out to wire. E_NO_MEMORY. */
int http_reply_hand_over(struct http_reply *reply, struct err *err);
int http_reply_end(struct http_reply *reply, struct err *err);
/* The reason phrase. */
const char *http_reason(int status);

#endif
