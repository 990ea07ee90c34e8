/*
 * A call of HTTP/2 in full, from its bytes on the connection: the first frame
 * names the stream, frames of other streams lie between its own. Header blocks of
 * all of them are read, since each may change the table, and what went before on
 * the connection as far as it is at hand. Fields that stand in the table since
 * before all that are shown as "?".
 */
#include "wire/h2_show.h"

#include "base/rd.h"
#include "wire/grpc_show.h"
#include "wire/h2_frame.h"
#include "wire/hpack.h"
#include "wire/http_body.h"
#include "wire/secret.h"

#define FIELDS_MAX	1000

/* One message while its frames come. Fields: u32 length and bytes of name, then of value. */
struct message {
	struct hpack hpack;
	struct wr head, trailers, promise;
	struct wr body;
	uint32_t stream;
	uint32_t unknown, fields, data_frames;
	bool has_head, ended, broken;
	bool reset;
	uint32_t reset_code;
	uint32_t block_stream;	/* the block that CONTINUATION goes on with; 0: none */
	struct wr *block;	/* where its fields go; NULL: not ours */
};

/* What went before it in its direction. */
struct before {
	struct view bytes;
	bool whole;
};

static void put_field(struct wr *out, const struct hpack_field *field)
{
	bool literal = field->unknown && field->value.len;

	wr_u32le(out, (uint32_t)(field->unknown ? 1 : field->name.len));
	wr_bytes(out, field->unknown ? VIEW_LIT("?") : field->name);
	wr_u32le(out, (uint32_t)(field->unknown && !literal ? 1 : field->value.len));
	wr_bytes(out, field->unknown && !literal ? VIEW_LIT("?") : field->value);
}

static bool get_field(struct rd *rd, struct view *ret_name, struct view *ret_value)
{
	if (!rd_left(rd))
		return false;
	*ret_name = rd_bytes(rd, rd_u32le(rd));
	*ret_value = rd_bytes(rd, rd_u32le(rd));
	return !rd->bad;
}

static struct view find_field(const struct wr *fields, const char *name)
{
	struct rd rd = rd_make(wr_view(fields));
	struct view key, value;

	while (get_field(&rd, &key, &value))
		if (view_is(key, name))
			return value;
	return view_make("", 0);
}

static void take_block(struct message *m, const struct h2_frame *frame, struct view payload)
{
	struct view fragment;
	struct hpack_field field;
	uint32_t promised;
	int rc = 0;

	if (!h2_fragment(frame, payload, &fragment, &promised) ||
	    (frame->type == H2_CONTINUATION && m->block_stream != frame->stream)) {
		hpack_lose(&m->hpack);
		return;
	}
	if (frame->type != H2_CONTINUATION) {
		bool ours = (promised ? promised : frame->stream) == m->stream;

		m->block = !ours ? NULL : promised ? &m->promise : m->has_head ? &m->trailers : &m->head;
	}
	m->block_stream = frame->flags & H2_END_HEADERS ? 0 : frame->stream;
	while ((rc = hpack_next(&m->hpack, &fragment, frame->flags & H2_END_HEADERS, &field)) == 1) {
		if (!m->block || m->fields == FIELDS_MAX)
			continue;
		m->fields++;
		m->unknown += field.unknown;
		put_field(m->block, &field);
	}
	if (rc < 0)
		m->broken = true;
	if (m->block_stream || m->block != &m->head)
		return;
	/* 1xx: what follows is the head */
	if (find_field(&m->head, ":status").len && find_field(&m->head, ":status").at[0] == '1')
		wr_reset(&m->head);
	else
		m->has_head = true;
}

static void take_data(struct message *m, const struct h2_frame *frame, struct view payload)
{
	size_t skip = frame->flags & H2_PADDED ? 1 : 0;
	uint32_t pad = skip && payload.len ? payload.at[0] : 0;

	m->data_frames++;
	if (skip + pad <= frame->len)
		wr_bytes(&m->body, view_sub(payload, skip, frame->len - skip - pad));
	else
		m->broken = true;
}

/* Where frames go on after something that is none: bytes that were not captured are zeros. */
static size_t next_frame(struct view bytes, size_t pos)
{
	for (; pos + H2_HEAD_BYTES <= bytes.len; pos++) {
		struct h2_frame a, b;
		size_t end;

		if (bytes.at[pos])
			continue;
		a = h2_frame_read(view_sub(bytes, pos, H2_HEAD_BYTES));
		end = pos + H2_HEAD_BYTES + a.len;
		if (!h2_frame_valid(&a, false) || a.len > H2_FRAME_USUAL || end > bytes.len)
			continue;
		if (end == bytes.len)
			return pos;
		if (end + H2_HEAD_BYTES > bytes.len)
			continue;
		b = h2_frame_read(view_sub(bytes, end, H2_HEAD_BYTES));
		if (h2_frame_valid(&b, false))
			return pos;
	}
	return bytes.len;
}

/* A promise stands for the stream it names. */
static uint32_t stream_of(const struct h2_frame *frame, struct view payload)
{
	struct view fragment;
	uint32_t promised;

	if (frame->type == H2_PUSH_PROMISE && h2_fragment(frame, payload, &fragment, &promised))
		return promised;
	return frame->stream;
}

/* Returns the end of the last frame, which may be behind that of bytes. */
static size_t take_frames(struct message *m, struct view bytes)
{
	size_t pos = 0;

	while (pos + H2_HEAD_BYTES <= bytes.len) {
		struct h2_frame frame = h2_frame_read(view_sub(bytes, pos, H2_HEAD_BYTES));
		struct view payload = view_sub(bytes, pos + H2_HEAD_BYTES, frame.len);
		bool ours;

		if (!h2_frame_valid(&frame, pos == 0 || m->stream)) {
			m->broken = true;
			hpack_lose(&m->hpack);
			pos = next_frame(bytes, pos + 1);
			continue;
		}
		if (!m->stream)
			m->stream = stream_of(&frame, payload);
		ours = frame.stream == m->stream;
		if (frame.type == H2_HEADERS || frame.type == H2_PUSH_PROMISE || frame.type == H2_CONTINUATION) {
			take_block(m, &frame, payload);
			m->ended |= ours && frame.type == H2_HEADERS && frame.flags & H2_END_STREAM;
		} else if (frame.type == H2_DATA && ours) {
			take_data(m, &frame, payload);
			m->ended |= frame.flags & H2_END_STREAM;
		} else if (frame.type == H2_RST_STREAM && ours && payload.len == 4) {
			struct rd rd = rd_make(payload);

			m->reset = true;
			m->reset_code = rd_u32be(&rd);
		}
		pos += H2_HEAD_BYTES + (size_t)frame.len;
	}
	return pos;
}

/* Where frames begin in the first bytes of a connection: behind the preface, or an upgrade from HTTP/1.1. */
static size_t first_frame(struct view bytes)
{
	struct view preface = H2_PREFACE;
	ptrdiff_t at = view_find(bytes, preface);

	if (at >= 0)
		return (size_t)at + preface.len;
	if (view_starts(bytes, "HTTP/1.1 101")) {
		at = view_find(bytes, VIEW_LIT("\r\n\r\n"));
		return at < 0 ? bytes.len : (size_t)at + 4;
	}
	return 0;
}

/* Bring the header table to where it stood before the message. whole: bytes are all there was. */
static void catch_up(struct message *m, struct view bytes, bool whole)
{
	size_t start = whole ? first_frame(bytes) : next_frame(bytes, 0), used;

	bytes = view_sub(bytes, start, bytes.len);
	m->hpack.known = whole && (bytes.len < H2_HEAD_BYTES || bytes.at[3] == H2_SETTINGS);
	m->stream = UINT32_MAX;		/* nobody's */
	used = take_frames(m, bytes);
	if (m->broken || m->block_stream || used != bytes.len)
		hpack_lose(&m->hpack);
	m->stream = m->data_frames = m->block_stream = 0;
	m->broken = m->ended = false;
}

static void message_read(struct message *m, const struct before *before, struct view bytes)
{
	memset(m, 0, sizeof(*m));
	wr_init(&m->head, 0);
	wr_init(&m->trailers, 0);
	wr_init(&m->promise, 0);
	wr_init(&m->body, 0);
	if (before->bytes.len)
		catch_up(m, before->bytes, before->whole);
	(void)take_frames(m, bytes);
}

static void message_release(struct message *m)
{
	hpack_release(&m->hpack);
	wr_release(&m->head);
	wr_release(&m->trailers);
	wr_release(&m->promise);
	wr_release(&m->body);
}

/* ---- as HTTP/1.1 ---- */

static void plain_line(struct wr *out, struct view name, struct view value)
{
	wr_bytes(out, name);
	wr_str(out, ": ");
	wr_bytes(out, value);
	wr_str(out, "\r\n");
}

/* A line break in a value would begin another line. */
static bool one_line(struct view text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] == '\r' || text.at[i] == '\n' || !text.at[i])
			return false;
	return true;
}

static void plain_message(const struct message *m, struct wr *out)
{
	struct rd rd = rd_make(wr_view(&m->head));
	struct view name, value, host = find_field(&m->head, ":authority");

	wr_bytes(out, find_field(&m->head, ":method"));
	wr_u8(out, ' ');
	wr_bytes(out, find_field(&m->head, ":path"));
	wr_str(out, " HTTP/1.1\r\n");
	if (host.len && one_line(host))
		plain_line(out, VIEW_LIT("host"), host);
	while (get_field(&rd, &name, &value))
		if (name.len && name.at[0] != ':' && !view_is(name, "?") && one_line(name) && one_line(value) &&
		    !view_is(name, "content-length"))
			plain_line(out, name, value);
	if (m->body.len)
		wr_printf(out, "content-length: %zu\r\n", m->body.len);
	wr_str(out, "\r\n");
	wr_bytes(out, wr_view(&m->body));
}

bool h2_plain_request(const struct call_before *before, struct view request, struct wr *out, uint32_t *ret_unknown)
{
	struct before first = { before->request, before->request_whole };
	struct view method, path;
	struct message m;
	bool known;

	message_read(&m, &first, request);
	method = find_field(&m.head, ":method");
	path = find_field(&m.head, ":path");
	known = method.len && path.len && one_line(method) && one_line(path);
	if (known) {
		plain_message(&m, out);
		*ret_unknown = m.unknown;
	}
	if (m.head.bad || m.body.bad)
		out->bad = true;
	message_release(&m);
	return known;
}

/* ---- as JSON ---- */

static void show_pseudo(const struct wr *fields, struct json *json)
{
	static const struct {
		const char *name, *key;
	} pseudo[] = {
		{ ":method", "method" }, { ":path", "target" }, { ":authority", "authority" }, { ":scheme", "scheme" },
		{ ":protocol", "protocol" },
	};
	struct view status = find_field(fields, ":status");
	uint64_t number;

	for (size_t i = 0; i < sizeof(pseudo) / sizeof(pseudo[0]); i++) {
		struct view value = find_field(fields, pseudo[i].name);

		if (value.len)
			json_kstr(json, pseudo[i].key, value);
	}
	if (status.len && view_u64(status, 999, &number) == 0)
		json_ku64(json, "status", number);
}

static void show_fields(const char *key, const struct wr *fields, struct json *json)
{
	struct rd rd = rd_make(wr_view(fields));
	struct view name, value;

	json_key(json, key);
	json_array(json);
	while (get_field(&rd, &name, &value)) {
		if (name.len && name.at[0] == ':')
			continue;
		json_object(json);
		secret_show_header(json, name, value);
		json_object_end(json);
	}
	json_array_end(json);
}

/* "100m" and the like (PROTOCOL-HTTP2.md): a number and a unit. */
static void show_timeout(struct view text, struct json *json)
{
	static const struct {
		char unit;
		uint64_t ns;
	} units[] = {
		{ 'H', 3600000000000 }, { 'M', 60000000000 }, { 'S', 1000000000 }, { 'm', 1000000 }, { 'u', 1000 }, { 'n', 1 },
	};
	uint64_t n;

	if (text.len < 2 || view_u64(view_sub(text, 0, text.len - 1), 99999999, &n) < 0)
		return;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (text.at[text.len - 1] == (uint8_t)units[i].unit)
			json_ku64(json, "timeout_ns", n * units[i].ns);
}

static int show_promise(struct message *m, struct json *json)
{
	json_key(json, "request");
	json_object(json);
	json_kcstr(json, "version", "2");
	json_ku64(json, "stream", m->stream);
	json_kbool(json, "pushed", true);
	show_pseudo(&m->promise, json);
	show_fields("headers", &m->promise, json);
	json_object_end(json);
	return 0;
}

static int show_message(const char *key, const struct before *before, struct view bytes, enum grpc_kind kind, size_t body_max,
			struct json *json)
{
	struct message m;
	struct view type;
	const char *name;
	int rc = 0;

	message_read(&m, before, bytes);
	if (m.promise.len)
		rc = show_promise(&m, json);
	json_key(json, key);
	json_object(json);
	json_kcstr(json, "version", "2");
	json_ku64(json, "stream", m.stream);
	show_pseudo(&m.head, json);
	show_fields("headers", &m.head, json);
	if (m.trailers.len)
		show_fields("trailers", &m.trailers, json);
	if (m.unknown)
		json_ku64(json, "unknown_fields", m.unknown);
	type = find_field(&m.head, "content-type");
	if (type.len)
		kind = grpc_kind(type);
	show_timeout(find_field(&m.head, "grpc-timeout"), json);
	if (rc == 0 && kind)
		rc = grpc_show_body(kind, find_field(&m.head, "grpc-encoding"), wr_view(&m.body), body_max, json);
	else if (rc == 0)
		rc = http_body_show(find_field(&m.head, "content-encoding"), wr_view(&m.body), body_max, json);
	if (m.reset) {
		name = h2_error_name(m.reset_code);
		json_ku64(json, "reset_code", m.reset_code);
		json_kcstr(json, "reset", name ? name : "unknown error");
	}
	if (!m.ended || m.broken)
		json_kbool(json, "incomplete", true);
	json_object_end(json);
	if (m.head.bad || m.trailers.bad || m.promise.bad || m.body.bad)
		rc = E_NO_MEMORY;
	message_release(&m);
	return rc;
}

int h2_show(const struct call_before *before, struct view request, struct view response, enum grpc_kind kind,
	    size_t body_max, struct json *json)
{
	struct before first = { before->request, before->request_whole };
	struct before second = { before->response, before->response_whole };
	int rc = 0;

	if (request.len)
		rc = show_message("request", &first, request, kind, body_max, json);
	if (response.len && rc == 0)
		rc = show_message("response", &second, response, kind, body_max, json);
	return rc;
}
