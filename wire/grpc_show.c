#include "wire/grpc_show.h"

#include <math.h>

#include "base/rd.h"
#include "wire/http_body.h"
#include "wire/http_head.h"
#include "wire/inflate.h"

#define DEPTH_MAX	10
#define MESSAGES_MAX	1000
#define FIELDS_MAX	2000	/* shown, of one message */

/* Wire types: protobuf.dev/programming-guides/encoding */
enum { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

/* The next field; false at the end, or where there is none: rd->bad. */
static bool field_next(struct rd *rd, uint64_t *ret_number, unsigned *ret_type, uint64_t *ret_value, struct view *ret_bytes)
{
	uint64_t key, len;

	if (!rd_left(rd))
		return false;
	key = rd_varint(rd);
	*ret_number = key >> 3;
	*ret_type = key & 7;
	if (rd->bad || !*ret_number || *ret_number >= (1u << 29)) {
		rd->bad = true;
		return false;
	}
	switch (*ret_type) {
	case PB_VARINT:
		*ret_value = rd_varint(rd);
		break;
	case PB_FIXED64:
		*ret_value = rd_u64le(rd);
		break;
	case PB_BYTES:
		len = rd_varint(rd);
		if (len > rd_left(rd))
			rd->bad = true;
		else
			*ret_bytes = rd_bytes(rd, (size_t)len);
		break;
	case PB_FIXED32:
		*ret_value = rd_u32le(rd);
		break;
	default:
		rd->bad = true;
	}
	return !rd->bad;
}

static bool is_message(struct view bytes)
{
	struct rd rd = rd_make(bytes);
	uint64_t number, value;
	struct view inner;
	unsigned type;

	while (field_next(&rd, &number, &type, &value, &inner))
		;
	return !rd.bad;
}

static bool is_ascii(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if ((v.at[i] < ' ' && v.at[i] != '\t' && v.at[i] != '\n' && v.at[i] != '\r') || v.at[i] >= 0x7f)
			return false;
	return true;
}

/* A number or, more often, the bits of a double. */
static void show_fixed64(uint64_t value, struct json *json)
{
	double number;

	memcpy(&number, &value, sizeof(number));
	json_ku64(json, "fixed64", value);
	if (isnormal(number))
		json_kf64(json, "double", number);
}

static int show_fields(struct view message, unsigned depth, struct json *json)
{
	struct rd rd = rd_make(message);
	struct view bytes = view_make("", 0);
	uint64_t number, value = 0;
	unsigned type, count = 0;
	int rc = 0;

	json_key(json, "fields");
	json_array(json);
	while (rc == 0 && count++ < FIELDS_MAX && field_next(&rd, &number, &type, &value, &bytes)) {
		json_object(json);
		json_ku64(json, "field", number);
		if (type == PB_VARINT)
			json_ku64(json, "varint", value);
		else if (type == PB_FIXED64)
			show_fixed64(value, json);
		else if (type == PB_FIXED32)
			json_ku64(json, "fixed32", value);
		else if (bytes.len && depth < DEPTH_MAX && !is_ascii(bytes) && is_message(bytes))
			rc = show_fields(bytes, depth + 1, json);
		else
			rc = body_show(bytes, false, json);
		json_object_end(json);
	}
	json_array_end(json);
	return rc;
}

/* body: of the message, decompressed. */
static int show_plain(struct view body, bool more, size_t body_max, struct json *json)
{
	if (body.len > body_max) {
		body.len = body_max;
		more = true;
	}
	if (!more && body.len && !is_ascii(body) && is_message(body))
		return show_fields(body, 0, json);
	return body_show(body, more, json);
}

static int show_message(uint8_t flags, struct view encoding, struct view body, bool cut, size_t body_max,
			struct json *json)
{
	struct err err = { .code = 0 };
	struct wr plain;
	bool more = false;
	int rc = 0;

	wr_init(&plain, 0);
	json_object(json);
	json_ku64(json, "bytes", body.len);
	if (flags & 1) {
		json_kbool(json, "compressed", true);
		rc = inflate_view(coding_by_name(encoding), body, body_max, &plain, &more, &err);
		if (rc < 0)
			json_kcstr(json, "decode_error", err.text);
		body = rc == 0 || plain.len ? wr_view(&plain) : body;
	}
	rc = show_plain(body, more || cut, body_max, json);
	if (cut)
		json_kbool(json, "incomplete", true);
	json_object_end(json);
	wr_release(&plain);
	return rc;
}

static void show_trailers(struct view lines, struct json *json)
{
	struct view line;

	json_key(json, "trailers");
	json_array(json);
	while (lines.len) {
		ptrdiff_t colon;

		if (!http_line(&lines, &line)) {
			line = lines;
			lines.len = 0;
		}
		colon = view_find(line, VIEW_LIT(":"));
		if (colon < 0)
			continue;
		json_object(json);
		json_kstr(json, "name", view_trim(view_sub(line, 0, (size_t)colon)));
		json_kstr(json, "value", view_trim(view_sub(line, (size_t)colon + 1, line.len)));
		json_object_end(json);
	}
	json_array_end(json);
}

static void unbase64(struct view in, struct wr *out)
{
	uint8_t buf[192];

	while (in.len) {
		size_t used = 0, n = grpc_unbase64(in, buf, sizeof(buf), &used);

		wr_bytes(out, view_make(buf, n));
		if (!used)
			break;
		in = view_sub(in, used, in.len);
	}
}

int grpc_show_body(enum grpc_kind kind, struct view encoding, struct view body, size_t body_max, struct json *json)
{
	struct view trailers = view_make("", 0), rest;
	uint64_t count = 0, bytes = 0;
	bool has_trailers = false, more = false;
	struct wr plain;
	int rc = 0;

	wr_init(&plain, 0);
	json_ku64(json, "body_bytes", body.len);
	if (kind == GRPC_WEB_TEXT) {
		unbase64(body, &plain);
		body = wr_view(&plain);
	}
	json_key(json, "messages");
	json_array(json);
	for (rest = body; rest.len >= GRPC_HEAD_BYTES && rc == 0;) {
		struct rd rd = rd_make(rest);
		uint8_t flags = rd_u8(&rd);
		uint32_t len = rd_u32be(&rd);
		struct view message = view_sub(rest, GRPC_HEAD_BYTES, len);

		rest = view_sub(rest, GRPC_HEAD_BYTES + (size_t)len, rest.len);
		if (flags & 0x80 && kind != GRPC_H2) {
			trailers = message;
			has_trailers = true;
			continue;
		}
		bytes += len;
		if (count++ >= MESSAGES_MAX || bytes - len > body_max)
			more = true;
		else
			rc = show_message(flags, encoding, message, message.len < len, body_max, json);
	}
	json_array_end(json);
	json_ku64(json, "message_count", count);
	json_ku64(json, "message_bytes", bytes);
	if (more)
		json_kbool(json, "truncated", true);
	if (has_trailers)
		show_trailers(trailers, json);
	if (plain.bad)
		rc = E_NO_MEMORY;
	wr_release(&plain);
	return rc;
}
