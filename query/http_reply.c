#include "query/http_reply.h"

#include <stdio.h>
#include <zlib.h>

#include "base/mem.h"

#define GZIP_BYTES_MIN 1400 /* below one packet compression saves nothing */
#define GZIP_LEVEL     3
#define OUT_BYTES_MAX  (256u << 20)

static const struct {
	int status;
	const char *text;
} reasons[] = {
	{ 100, "Continue" },
	{ 200, "OK" },
	{ 204, "No Content" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 431, "Request Header Fields Too Large" },
	{ 499, "Client Closed Request" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

const char *http_reason(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Unknown";
}

void http_reply_init(struct http_reply *reply)
{
	*reply = (struct http_reply){ .type = "application/json", .status = 200 };
	wr_init(&reply->out, OUT_BYTES_MAX);
	wr_init(&reply->wire, 0);
	wr_init(&reply->headers, 16 << 10);
}

static void end_deflate(struct http_reply *reply)
{
	if (reply->deflate) {
		deflateEnd(reply->deflate);
		mem_free(reply->deflate);
		reply->deflate = NULL;
	}
}

void http_reply_release(struct http_reply *reply)
{
	end_deflate(reply);
	wr_release(&reply->out);
	wr_release(&reply->wire);
	wr_release(&reply->headers);
}

void http_reply_reset(struct http_reply *reply)
{
	wr_reset(&reply->out);
	wr_reset(&reply->headers);
	reply->type = "application/json";
}

void http_reply_header(struct http_reply *reply, const char *name, const char *fmt, va_list args)
{
	char value[512];

	(void)vsnprintf(value, sizeof(value), fmt, args);
	for (char *c = value; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	wr_printf(&reply->headers, "%s: %s\r\n", name, value);
}

static void *zlib_alloc(void *arg, unsigned count, unsigned bytes)
{
	(void)arg;
	return mem_array(count, bytes);
}

static void zlib_free(void *arg, void *at)
{
	(void)arg;
	mem_free(at);
}

static bool begin_deflate(struct http_reply *reply)
{
	z_stream *z = mem_zalloc(sizeof(*z));

	if (!z)
		return false;
	z->zalloc = zlib_alloc;
	z->zfree = zlib_free;
	/* 15 + 16: a gzip wrapper around the largest window */
	if (deflateInit2(z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		mem_free(z);
		return false;
	}
	reply->deflate = z;
	return true;
}

static bool is_text(const char *type)
{
	return strncmp(type, "text/", 5) == 0 || strstr(type, "json") != NULL;
}

/* Length is UINT64_MAX when nobody knows it yet. */
static void write_head(struct http_reply *reply, uint64_t length)
{
	struct wr *wire = &reply->wire;

	if (length == UINT64_MAX && reply->http10)
		reply->keep_alive = false;
	wr_printf(wire, "HTTP/1.1 %d %s\r\n", reply->status, http_reason(reply->status));
	if (reply->status != 204)
		wr_printf(wire, "Content-Type: %s\r\n", reply->type);
	if (reply->gzip)
		wr_str(wire, "Content-Encoding: gzip\r\n");
	if (is_text(reply->type))
		wr_str(wire, "Vary: Accept-Encoding\r\n");
	if (reply->status == 204)
		;
	else if (length != UINT64_MAX)
		wr_printf(wire, "Content-Length: %llu\r\n", (unsigned long long)length);
	else if (!reply->http10)
		wr_str(wire, "Transfer-Encoding: chunked\r\n");
	/* Answers tell what went over the wire: nobody between may keep them, nobody may guess their type. */
	wr_str(wire, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
	wr_bytes(wire, wr_view(&reply->headers));
	wr_printf(wire, "Connection: %s\r\n\r\n", reply->keep_alive ? "keep-alive" : "close");
	reply->begun = true;
}

/* Compress the body that waits into to. */
static bool deflate_out(struct http_reply *reply, bool last, struct wr *to)
{
	z_stream *z = reply->deflate;

	z->next_in = reply->out.at;
	z->avail_in = (unsigned)reply->out.len;
	for (;;) {
		size_t room = (size_t)z->avail_in / 2 + 1024;
		int rc;

		if (!wr_reserve(to, room))
			return false;
		z->next_out = to->at + to->len;
		z->avail_out = (unsigned)room;
		rc = deflate(z, last ? Z_FINISH : Z_NO_FLUSH);
		to->len += room - z->avail_out;
		if (rc == Z_STREAM_ERROR)
			return false;
		if (last ? rc == Z_STREAM_END : z->avail_in == 0 && z->avail_out > 0)
			return true;
	}
}

static void add_chunk(struct http_reply *reply, struct view bytes)
{
	if (bytes.len == 0 || reply->head_only)
		return;
	if (!reply->http10)
		wr_printf(&reply->wire, "%zx\r\n", bytes.len);
	wr_bytes(&reply->wire, bytes);
	if (!reply->http10)
		wr_str(&reply->wire, "\r\n");
}

static int move_out(struct http_reply *reply, bool last, struct err *err)
{
	struct wr packed;
	bool good = true;

	reply->body_bytes += reply->out.len;
	if (reply->gzip) {
		wr_init(&packed, 0);
		good = deflate_out(reply, last, &packed);
		add_chunk(reply, wr_view(&packed));
		wr_release(&packed);
	} else {
		add_chunk(reply, wr_view(&reply->out));
	}
	wr_reset(&reply->out);
	if (good && !reply->wire.bad)
		return 0;
	reply->broken = true;
	return err_set(err, E_NO_MEMORY, "out of memory");
}

static int check_out(struct http_reply *reply, struct err *err)
{
	if (!reply->out.bad)
		return 0;
	if (reply->begun)
		reply->broken = true;
	return err_set(err, E_NO_MEMORY, "out of memory for the answer");
}

int http_reply_hand_over(struct http_reply *reply, struct err *err)
{
	int rc = check_out(reply, err);

	if (rc < 0)
		return rc;
	if (!reply->begun) {
		reply->gzip = reply->gzip_wanted && !reply->unbuffered && is_text(reply->type) &&
			      begin_deflate(reply);
		write_head(reply, UINT64_MAX);
	}
	return move_out(reply, false, err);
}

static int end_whole(struct http_reply *reply, struct err *err)
{
	struct wr packed;
	struct view body = wr_view(&reply->out);

	reply->body_bytes = body.len;
	wr_init(&packed, 0);
	if (reply->gzip_wanted && body.len >= GZIP_BYTES_MIN && is_text(reply->type) &&
	    begin_deflate(reply) && deflate_out(reply, true, &packed)) {
		reply->gzip = true;
		body = wr_view(&packed);
	}
	write_head(reply, body.len);
	if (!reply->head_only && reply->status != 204)
		wr_bytes(&reply->wire, body);
	wr_release(&packed);
	wr_reset(&reply->out);
	if (!reply->wire.bad)
		return 0;
	reply->broken = true;
	return err_set(err, E_NO_MEMORY, "out of memory");
}

int http_reply_end(struct http_reply *reply, struct err *err)
{
	int rc = check_out(reply, err);

	if (rc < 0)
		return rc;
	reply->ended = true;
	if (!reply->begun)
		return end_whole(reply, err);
	rc = move_out(reply, true, err);
	if (rc >= 0 && !reply->http10 && !reply->head_only)
		wr_str(&reply->wire, "0\r\n\r\n");
	return rc;
}
