/* Server-sent events: http_watch.c makes the calls; here is how one is shown, the page or an event of it. */
#include "wire/h2_frame.h"
#include "wire/h2_show.h"
#include "wire/http_body.h"
#include "wire/http_head.h"

#define SEAMS_MAX	65536	/* looked at in an event: bytes made for it could have each of many begin at each of many */

static enum guess sse_guess(struct view bytes, const struct guess_hint *hint)
{
	(void)bytes;
	(void)hint;
	return GUESS_NO;	/* the connection is HTTP's */
}

static void show_line(struct view line, struct json *json)
{
	const uint8_t *colon = line.len ? memchr(line.at, ':', line.len) : NULL;
	struct view name = view_sub(line, 0, colon ? (size_t)(colon - line.at) : line.len);

	line = view_sub(line, name.len + 1, line.len);
	if (line.len && line.at[0] == ' ')
		line = view_sub(line, 1, line.len);
	json_object(json);
	json_kstr(json, "name", name);
	json_kstr(json, "value", line);
	json_object_end(json);
}

/* Where the next frame of HTTP/2 begins: text has no zero bytes, and no frame of events is longer than 64 KiB. */
static size_t text_end(struct view bytes)
{
	const uint8_t *zero = bytes.len ? memchr(bytes.at, 0, bytes.len) : NULL;

	return zero ? (size_t)(zero - bytes.at) : bytes.len;
}

/* The last frame holds the event's end, and so is of its stream. 0: what follows the text is no frames. */
static uint32_t last_stream(struct view bytes)
{
	uint32_t stream = 0;

	while (bytes.len >= H2_HEAD_BYTES) {
		struct h2_frame frame = h2_frame_read(bytes);

		if (!h2_frame_valid(&frame, true))
			return 0;
		stream = frame.stream;
		bytes = view_sub(bytes, H2_HEAD_BYTES + (size_t)frame.len, bytes.len);
	}
	return stream;
}

/* The end of a chunk and the head of the next (RFC 9112 7.1). Returns its length, 0: none. */
static size_t chunk_seam(struct view bytes, uint64_t *ret_size)
{
	struct view rest = bytes, line;

	if (!http_line(&rest, &line) || line.len || bytes.at[0] != '\r' || !http_line(&rest, &line) ||
	    !http_chunk_size(line, ret_size) || !*ret_size)
		return 0;
	return bytes.len - rest.len;
}

/* Are bytes seam, chunk, seam, chunk...? The last chunk may go on behind them. *seams: how many may be looked at. */
static bool chunks_fit(struct view bytes, unsigned *seams)
{
	uint64_t size;

	while (bytes.len) {
		size_t seam = chunk_seam(bytes, &size);

		if (!seam || !*seams)
			return false;
		--*seams;
		bytes = view_sub(bytes, seam, bytes.len);
		bytes = view_sub(bytes, size < bytes.len ? (size_t)size : bytes.len, bytes.len);
	}
	return true;
}

/* The text of an event of HTTP/1 without the seams of chunks in it. */
static void unchunk(struct view event, struct wr *out)
{
	unsigned seams = SEAMS_MAX;
	uint64_t size;

	for (size_t i = 0; i < event.len && seams; i++) {
		struct view rest = view_sub(event, i, event.len);

		if (rest.at[0] != '\r' || !chunks_fit(rest, &seams))
			continue;
		wr_bytes(out, view_sub(event, 0, i));
		while (rest.len) {
			rest = view_sub(rest, chunk_seam(rest, &size), rest.len);
			wr_bytes(out, view_sub(rest, 0, (size_t)size));
			rest = view_sub(rest, (size_t)size, rest.len);
		}
		return;
	}
	wr_bytes(out, event);
}

/* The text of an event without what framing puts into it: of HTTP/2 the heads of frames, and the frames of others, that lie in it. */
static void unframe(struct view event, struct wr *out)
{
	size_t end = text_end(event);
	struct view rest = view_sub(event, end, event.len);
	uint32_t stream = last_stream(rest);

	if (!stream) {
		unchunk(event, out);
		return;
	}
	wr_bytes(out, view_sub(event, 0, end));
	while (rest.len >= H2_HEAD_BYTES) {
		struct h2_frame frame = h2_frame_read(rest);
		size_t pad = frame.flags & H2_PADDED && rest.len > H2_HEAD_BYTES ? rest.at[H2_HEAD_BYTES] + (size_t)1 : 0;

		if (frame.type == H2_DATA && frame.stream == stream && pad <= frame.len)
			wr_bytes(out, view_sub(rest, H2_HEAD_BYTES + !!pad, frame.len - pad));
		rest = view_sub(rest, H2_HEAD_BYTES + (size_t)frame.len, rest.len);
	}
}

static int show_event(struct view event, size_t body_max, struct json *json)
{
	struct view all, line, rest;
	struct wr text;
	int rc;

	wr_init(&text, 0);
	unframe(event, &text);
	all = rest = view_sub(wr_view(&text), 0, body_max);
	json_key(json, "request");
	json_object(json);
	json_key(json, "fields");
	json_array(json);
	while (rest.len) {
		if (!http_line(&rest, &line)) {
			line = rest;
			rest.len = 0;
		}
		if (line.len)
			show_line(line, json);
	}
	json_array_end(json);
	if (text.len > all.len)
		json_kbool(json, "truncated", true);
	json_object_end(json);
	rc = text.bad ? E_NO_MEMORY : 0;
	wr_release(&text);
	return rc;
}

static int sse_detail_after(const struct call_before *before, struct view request, struct view response,
			    size_t body_max, struct json *json)
{
	struct view first = request.len ? request : response;

	if (first.len && !first.at[0])	/* the length of HEADERS, below 64 KiB */
		return h2_show(before, request, response, GRPC_NO, body_max, json);
	if (response.len || http_start(request) == HTTP_START_REQUEST || !request.len)
		return http_detail(request, response, body_max, json);
	return show_event(request, body_max, json);
}

static int sse_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	return sse_detail_after(&(struct call_before){ .request_whole = false }, request, response, body_max, json);
}

const struct proto_ops proto_sse = {
	.id = L7_sse,
	.name = "sse",
	.title = "Server-sent events",
	.guess = sse_guess,
	.detail = sse_detail,
	.detail_after = sse_detail_after,
	.before_bytes = H2_BEFORE_BYTES,
};
