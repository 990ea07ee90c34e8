#include "wire/grpc_msg.h"

#include "base/base64.h"
#include "wire/dissect.h"
#include "wire/http_head.h"

#define TRAILERS_MAX	2048
#define FLAG_TRAILERS	0x80	/* PROTOCOL-WEB.md */
#define METHOD_MAX	128
#define CODES		17

static const char *const names[CODES] = {
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
};

const char *grpc_status_name(uint64_t code)
{
	return code < CODES ? names[code] : NULL;
}

uint8_t grpc_status_class(uint64_t code)
{
	switch (code) {
	case 0:
		return CLASS_ok;
	case 2:		/* UNKNOWN */
	case 4:		/* DEADLINE_EXCEEDED */
	case 12:	/* UNIMPLEMENTED */
	case 13:	/* INTERNAL */
	case 14:	/* UNAVAILABLE */
	case 15:	/* DATA_LOSS */
		return CLASS_server_error;
	default:
		return code < CODES ? CLASS_client_error : CLASS_server_error;	/* others are to be taken for UNKNOWN */
	}
}

uint8_t grpc_status_of_http(unsigned status)
{
	switch (status) {
	case 400:
		return 13;
	case 401:
		return 16;
	case 403:
		return 7;
	case 404:
		return 12;
	case 429:
	case 502:
	case 503:
	case 504:
		return 14;
	default:
		return 2;
	}
}

enum grpc_kind grpc_kind(struct view type)
{
	static const struct view grpc = VIEW_LIT("application/grpc");
	uint8_t c;

	/* not "application/json", which most begin with */
	if (type.len < grpc.len || (type.at[12] | 0x20) != 'g' || !view_istarts(type, "application/grpc"))
		return GRPC_NO;
	if (view_istarts(type, "application/grpc-web-text"))
		return GRPC_WEB_TEXT;
	if (view_istarts(type, "application/grpc-web"))
		return GRPC_WEB;
	c = type.len > grpc.len ? type.at[grpc.len] : '+';	/* "+proto", ";charset=x" */
	return c == '+' || c == ';' || c == ' ' ? GRPC_H2 : GRPC_NO;
}

/* ---- messages ---- */

uint64_t grpc_walk_blind(const struct grpc_walk *walk)
{
	return walk->text || walk->in_trailers || walk->have ? 0 : walk->left;
}

void grpc_walk_pass(struct grpc_walk *walk, uint64_t bytes)
{
	walk->left -= bytes < walk->left ? bytes : walk->left;
}

static void message_begin(struct grpc_walk *walk, struct call_sink *sink, struct call *call)
{
	uint32_t len;

	memcpy(&len, walk->head + 1, sizeof(len));
	walk->have = 0;
	walk->left = __builtin_bswap32(len);
	if (!(walk->head[0] & FLAG_TRAILERS)) {
		walk->count++;
		walk->bytes += walk->left;
		return;
	}
	walk->in_trailers = true;
	if (walk->trailers || !call)
		return;		/* once */
	walk->trailers_cap = walk->left < TRAILERS_MAX ? (uint32_t)walk->left : TRAILERS_MAX;
	walk->trailers = call_memory(sink, call, walk->trailers_cap + 1u);
}

/* Bytes after base64. */
static void walk_plain(struct grpc_walk *walk, struct view bytes, struct call_sink *sink, struct call *call, bool *done)
{
	while (bytes.len || (walk->in_trailers && !walk->left)) {
		size_t n = bytes.len;

		if (walk->in_trailers && !walk->left) {
			walk->in_trailers = false;
			*done = walk->trailers;
			continue;
		}
		if (!walk->left) {
			n = GRPC_HEAD_BYTES - walk->have;
			n = n < bytes.len ? n : bytes.len;
			memcpy(walk->head + walk->have, bytes.at, n);
			walk->have = (uint8_t)(walk->have + n);
			if (walk->have == GRPC_HEAD_BYTES)
				message_begin(walk, sink, call);
		} else {
			n = n < walk->left ? n : (size_t)walk->left;
			if (walk->in_trailers && walk->trailers) {
				uint32_t room = walk->trailers_cap - walk->trailers_have;

				room = n < room ? (uint32_t)n : room;
				memcpy(walk->trailers + walk->trailers_have, bytes.at, room);
				walk->trailers_have += room;
			}
			walk->left -= n;
		}
		bytes = view_sub(bytes, n, bytes.len);
	}
}

/* A group of four digits; 64 is padding. */
static size_t put_quad(const uint8_t quad[4], uint8_t *out)
{
	out[0] = (uint8_t)(quad[0] << 2 | (quad[1] & 63) >> 4);
	out[1] = (uint8_t)(quad[1] << 4 | (quad[2] & 63) >> 2);
	out[2] = (uint8_t)(quad[2] << 6 | (quad[3] & 63));
	return quad[2] == 64 ? 1 : quad[3] == 64 ? 2 : 3;
}

static size_t unbase64(struct view in, uint8_t quad[4], uint8_t *quad_have, uint8_t *out, size_t cap, size_t *ret_used)
{
	size_t len = 0, i;

	for (i = 0; i < in.len && len + 3 <= cap; i++) {
		int digit = in.at[i] == '=' ? 64 : base64_digit(in.at[i]);

		if (digit < 0)
			continue;	/* line ends */
		quad[(*quad_have)++] = (uint8_t)digit;
		if (*quad_have == 4) {
			len += put_quad(quad, out + len);
			*quad_have = 0;
		}
	}
	*ret_used = i;
	return len;
}

size_t grpc_unbase64(struct view in, uint8_t *out, size_t cap, size_t *ret_used)
{
	uint8_t quad[4], have = 0;

	return unbase64(in, quad, &have, out, cap, ret_used);	/* room runs out behind a group only */
}

static void walk_text(struct grpc_walk *walk, struct view bytes, struct call_sink *sink, struct call *call, bool *done)
{
	uint8_t out[192];

	while (bytes.len) {
		size_t used, len = unbase64(bytes, walk->quad, &walk->quad_have, out, sizeof(out), &used);

		walk_plain(walk, view_make(out, len), sink, call, done);
		bytes = view_sub(bytes, used, bytes.len);
	}
}

bool grpc_walk_bytes(struct grpc_walk *walk, struct view bytes, struct call_sink *sink, struct call *call)
{
	bool done = false;

	if (walk->text)
		walk_text(walk, bytes, sink, call, &done);
	else
		walk_plain(walk, bytes, sink, call, &done);
	return done;
}

struct view grpc_walk_trailers(const struct grpc_walk *walk)
{
	return view_make(walk->trailers ? walk->trailers : (const uint8_t *)"", walk->trailers_have);
}

/* ---- status ---- */

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t grpc_percent(struct view in, char *text, size_t cap)
{
	size_t len = 0;

	for (size_t i = 0; i < in.len && len < cap; i++) {
		uint8_t c = in.at[i];

		if (c == '%' && i + 2 < in.len && hex(in.at[i + 1]) >= 0 && hex(in.at[i + 2]) >= 0) {
			c = (uint8_t)(hex(in.at[i + 1]) << 4 | hex(in.at[i + 2]));
			i += 2;
		}
		text[len++] = (char)c;
	}
	return len;
}

void grpc_set_status(struct call_sink *sink, struct call *call, struct view status, struct view message)
{
	char text[GRPC_MESSAGE_MAX];
	uint64_t code;

	if (status.len && view_u64(status, UINT16_MAX, &code) == 0) {
		const char *name = grpc_status_name(code);

		ROW_SET(CALL, &call->row, status, (uint16_t)code);
		ROW_SET(CALL, &call->row, status_class, grpc_status_class(code));
		if (name)
			ROW_SET(CALL, &call->row, status_text, view_str(name));
	} else if (status.len) {
		call_error(sink, call, "grpc-status is no number: %.*s", status.len < 20 ? (int)status.len : 20,
			   (const char *)status.at);
	}
	if (message.len)
		call_error(sink, call, "%.*s", (int)grpc_percent(message, text, sizeof(text)), text);
}

void grpc_set_missing(struct call_sink *sink, struct call *call, unsigned http_status)
{
	struct call_row *row = &call->row;
	uint8_t code = grpc_status_of_http(http_status);

	if (!http_status || http_status == 200) {
		call_error(sink, call, "the response ended without grpc-status");
		ROW_SET(CALL, row, status_class, CLASS_server_error);
		return;
	}
	ROW_SET(CALL, row, status, code);
	ROW_SET(CALL, row, status_text, view_str(grpc_status_name(code)));
	ROW_SET(CALL, row, status_class, grpc_status_class(code));
	call_error(sink, call, "HTTP status %u without grpc-status", http_status);
}

bool grpc_set_trailers(struct call_sink *sink, struct call *call, struct view trailers)
{
	struct view name, value, status = view_make("", 0), message = status, line;
	struct view rest = trailers;

	while (rest.len) {
		ptrdiff_t colon;

		if (!http_line(&rest, &line)) {	/* the last one need not have an end */
			line = rest;
			rest.len = 0;
		}
		colon = view_find(line, VIEW_LIT(":"));
		if (colon < 0)
			continue;
		name = view_trim(view_sub(line, 0, (size_t)colon));
		value = view_trim(view_sub(line, (size_t)colon + 1, line.len));
		if (view_ieq(name, "grpc-status"))
			status = value;
		else if (view_ieq(name, "grpc-message"))
			message = value;
	}
	grpc_set_status(sink, call, status, message);
	return status.len > 0;
}

enum grpc_kind grpc_wanted(const struct call_sink *sink, enum grpc_kind kind)
{
	return kind != GRPC_NO && call_wanted(sink, kind == GRPC_H2 ? L7_grpc : L7_grpc_web) ? kind : GRPC_NO;
}

void grpc_set_request(struct call *call, enum grpc_kind kind)
{
	struct call_row *row = &call->row;
	struct view target = ROW_HAS(CALL, row, target) ? row->target : view_make("", 0);
	size_t at = target.len;

	ROW_SET(CALL, row, l7, kind == GRPC_H2 ? L7_grpc : L7_grpc_web);
	while (at > 0 && target.at[at - 1] != '/')
		at--;
	if (!at || at == target.len || target.len - at > METHOD_MAX)
		return;
	ROW_SET(CALL, row, method, view_sub(target, at, target.len));	/* the text of the target: it lives as long */
	ROW_SET(CALL, row, target_template, target);
}
