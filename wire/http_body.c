#include "wire/http_body.h"

#include "base/base64.h"
#include "base/wr.h"
#include "wire/grpc_show.h"
#include "wire/http_head.h"
#include "wire/inflate.h"
#include "wire/secret.h"

#define CODINGS_MAX	3	/* "gzip, br" is odd enough */
#define RAW_MAX		((size_t)64 << 20)	/* between two codings */

/* Length of the UTF-8 sequence at the start of v (RFC 3629), 0: none, or not printable. */
static size_t text_step(struct view v)
{
	uint8_t c = v.at[0];
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n == 1)
		return c >= ' ' ? c != 0x7f : c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == 0x1b;
	if (!n || n > v.len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((v.at[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && v.at[1] < 0xa0) || (c == 0xed && v.at[1] > 0x9f) ||
	    (c == 0xf0 && v.at[1] < 0x90) || (c == 0xf4 && v.at[1] > 0x8f))
		return 0;
	return n;
}

/* Is it text? Where more was cut off, *body is shortened by the character that was cut. */
static bool is_text(struct view *body, bool more)
{
	size_t i = 0;

	while (i < body->len) {
		size_t n = text_step(view_sub(*body, i, body->len));

		if (!n) {
			if (!more || body->len - i > 3 || body->at[i] < 0xc2)
				return false;
			body->len = i;
			break;
		}
		i += n;
	}
	return true;
}

int body_show(struct view body, bool more, struct json *json)
{
	struct wr out;
	uint8_t *text;
	int rc = 0;

	if (is_text(&body, more)) {
		json_kstr(json, "body", body);
	} else {
		wr_init(&out, 0);
		text = wr_space(&out, BASE64_LEN(body.len));
		if (text) {
			base64_write(body, text);
			json_kstr(json, "body", wr_view(&out));
		} else {
			rc = E_NO_MEMORY;
		}
		wr_release(&out);
		json_kcstr(json, "encoding", "base64");
	}
	if (more)
		json_kbool(json, "truncated", true);
	return rc;
}

/* ---- one message ---- */

static int show_fields(const char *key, struct view fields, struct json *json)
{
	struct view name, value;
	struct wr flat;
	int rc = 0;

	wr_init(&flat, 0);
	json_key(json, key);
	json_array(json);
	while (http_field_next(&fields, &name, &value)) {
		json_object(json);
		wr_reset(&flat);
		for (size_t i = 0; i < value.len; i++)	/* a folded line is one line */
			if (value.at[i] != '\r' && value.at[i] != '\n')
				wr_u8(&flat, value.at[i]);
		secret_show_header(json, name, wr_view(&flat));
		json_object_end(json);
	}
	json_array_end(json);
	if (flat.bad)
		rc = E_NO_MEMORY;
	wr_release(&flat);
	return rc;
}

/* The data of a chunked body; trailers are what stands behind the last chunk. False: it is cut or broken. */
static bool unchunk(struct view in, struct wr *out, struct view *ret_trailers)
{
	struct view line;
	uint64_t size;

	while (http_line(&in, &line) && http_chunk_size(line, &size)) {
		if (!size) {
			*ret_trailers = in;
			return true;
		}
		wr_bytes(out, view_sub(in, 0, size));
		if (size > in.len)
			return false;
		in = view_sub(in, size, in.len);
		if (!http_line(&in, &line) || line.len)
			return false;
	}
	return false;
}

/* Undo the codings, the last one first. *ret_body points into one of the two buffers, or is body. */
static int decode(struct view encodings, struct view body, size_t body_max, struct wr buf[2],
		  struct view *ret_body, bool *ret_more, struct err *err)
{
	struct view left = encodings;
	unsigned used = 0;
	int rc = 0;

	*ret_body = body;
	*ret_more = false;
	while (left.len && rc == 0) {
		size_t comma = left.len;
		enum coding coding;
		struct view in = *ret_body;

		while (comma > 0 && left.at[comma - 1] != ',')
			comma--;
		coding = coding_by_name(view_sub(left, comma, left.len));
		left = view_sub(left, 0, comma ? comma - 1 : 0);
		if (coding == CODING_IDENTITY)
			continue;
		if (used == CODINGS_MAX)
			return err_set(err, E_UNSUPPORTED, "more than %d content codings", CODINGS_MAX);
		wr_reset(&buf[used % 2]);
		rc = inflate_view(coding, in, left.len ? RAW_MAX : body_max, &buf[used % 2], ret_more, err);
		if (rc == E_UNSUPPORTED)
			return rc;
		*ret_body = wr_view(&buf[used % 2]);
		used++;
	}
	return rc;
}

int http_body_show(struct view encodings, struct view body, size_t body_max, struct json *json)
{
	struct wr buf[2];
	struct view shown;
	struct err err = { .code = 0 };
	bool more = false;
	int rc;

	wr_init(&buf[0], 0);
	wr_init(&buf[1], 0);
	json_ku64(json, "body_bytes", body.len);
	rc = decode(encodings, body, body_max, buf, &shown, &more, &err);
	if (encodings.len) {
		json_kstr(json, "content_encoding", encodings);
		json_kbool(json, "decoded", rc == 0);
		if (rc < 0)
			json_kcstr(json, "decode_error", err.text);
	}
	if (rc < 0 && !shown.len)
		shown = body;
	if (shown.len > body_max) {
		shown.len = body_max;
		more = true;
	}
	rc = body_show(shown, more, json);
	if (buf[0].bad || buf[1].bad)
		rc = E_NO_MEMORY;
	wr_release(&buf[0]);
	wr_release(&buf[1]);
	return rc;
}

static int show_body(const struct http_head *head, struct view body, size_t body_max, struct json *json)
{
	struct wr plain;
	struct view trailers = { NULL, 0 };
	enum grpc_kind rpc;
	bool whole = true;
	int rc;

	wr_init(&plain, 0);
	if (head->chunked) {
		whole = unchunk(body, &plain, &trailers);
		body = wr_view(&plain);
	}
	rpc = head->content_encoding.len ? GRPC_NO : grpc_kind(head->content_type);
	rc = rpc ? grpc_show_body(rpc, head->content_encoding, body, body_max, json) :
		   http_body_show(head->content_encoding, body, body_max, json);
	if (!whole)
		json_kbool(json, "incomplete", true);
	if (trailers.len && trailers.at[0] != '\r' && trailers.at[0] != '\n' && rc == 0)
		rc = show_fields("trailers", trailers, json);
	if (plain.bad)
		rc = E_NO_MEMORY;
	wr_release(&plain);
	return rc;
}

static int show_message(const char *key, struct view bytes, size_t body_max, struct json *json)
{
	struct http_head head;
	size_t scanned = 0, len;
	int rc = 0;

	json_key(json, key);
	json_object(json);
	len = http_head_end(bytes, &scanned);
	if (!http_head_parse(view_sub(bytes, 0, len), &head)) {
		bool more = bytes.len > body_max;

		json_kbool(json, "raw", true);
		rc = body_show(view_sub(bytes, 0, body_max), more, json);
		goto out;
	}
	json_kstr(json, "version", head.version);
	if (head.request) {
		json_kstr(json, "method", head.method);
		json_kstr(json, "target", head.target);
	} else {
		json_ku64(json, "status", head.status);
		json_kstr(json, "status_text", head.reason);
	}
	if (head.problem)
		json_kcstr(json, "problem", head.problem);
	rc = show_fields("headers", head.fields, json);
	if (rc == 0)
		rc = show_body(&head, view_sub(bytes, len, bytes.len), body_max, json);
out:
	json_object_end(json);
	return rc;
}

int http_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	int rc = 0;

	if (request.len)
		rc = show_message("request", request, body_max, json);
	if (response.len && rc == 0)
		rc = show_message("response", response, body_max, json);
	return rc;
}
