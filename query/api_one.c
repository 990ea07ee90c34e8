/* One thing by its id: a flow, its streams, a call in full. */
#include <stdio.h>

#include "query/api.h"
#include "wire/http_head.h"

#define STREAM_BYTES	 65536u
#define STREAM_BYTES_MAX (16u << 20)
#define CALL_BYTES_MAX	 (16u << 20)
#define BODY_BYTES	 65536u

static int find_flow(struct serve *serve, struct http_request *req, struct store **ret_store,
		     struct flow_row *ret_flow, struct err *err)
{
	struct query_opts opts;
	uint64_t id;
	int rc = api_id(req, 0, &id, err);

	if (rc >= 0)
		rc = api_opts(serve, req, 0, &opts, err);
	if (rc >= 0)
		rc = serve_store(serve, ret_store, err);
	if (rc >= 0)
		rc = query_flow(*ret_store, id, &req->arena, ret_flow, err);
	return rc;
}

int api_flow(void *ctx, struct http_request *req, struct err *err)
{
	const struct table *table = table_get(TABLE_FLOWS);
	struct flow_row flow;
	struct store *store;
	struct json json;
	uint8_t payload;
	int rc = find_flow(ctx, req, &store, &flow, err);

	if (rc >= 0)
		rc = query_flow_payload(store, &flow, &payload, err);
	if (rc < 0)
		return rc;
	req->rows = 1;
	json_init(&json, http_out(req), false);
	json_object(&json);
	json_key(&json, "data");
	json_object(&json);
	query_row_json(table, &flow, NULL, 0, false, &json);
	json_kcstr(&json, "payload", sym_name(SYMS_PAYLOAD, payload));
	json_object_end(&json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
	return 0;
}

/* ---- streams ---- */

/* 16 bytes a line: offset, hexadecimal, characters. */
static int hex_dump(struct http_request *req, struct view bytes, uint64_t offset, struct err *err)
{
	struct wr *out = http_out(req);

	for (size_t at = 0; at < bytes.len; at += 16) {
		struct view line = view_sub(bytes, at, 16);

		wr_printf(out, "%08llx ", (unsigned long long)(offset + at));
		for (size_t i = 0; i < 16; i++) {
			if (i < line.len)
				wr_printf(out, "%s%02x", i == 8 ? "  " : " ", line.at[i]);
			else
				wr_str(out, i == 8 ? "    " : "   ");
		}
		wr_str(out, "  |");
		for (size_t i = 0; i < line.len; i++)
			wr_u8(out, line.at[i] >= ' ' && line.at[i] < 0x7f ? line.at[i] : '.');
		wr_str(out, "|\n");
		if (out->len >= HTTP_PUMP_BYTES) {
			int rc = http_pump(req, err);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static void hex_text(struct json *json, const char *key, struct view bytes)
{
	static const char digits[] = "0123456789abcdef";

	json_key(json, key);
	/* Nothing in it needs an escape: written as it is. */
	json_raw(json, VIEW_LIT("\""));
	for (size_t i = 0; i < bytes.len; i++) {
		wr_u8(json->out, (uint8_t)digits[bytes.at[i] >> 4]);
		wr_u8(json->out, (uint8_t)digits[bytes.at[i] & 15]);
	}
	wr_u8(json->out, '"');
}

static void stream_json(struct http_request *req, uint64_t flow_id, unsigned dir, uint64_t offset,
			struct view bytes, uint64_t missing)
{
	struct json json;

	json_init(&json, http_out(req), false);
	json_object(&json);
	json_key(&json, "data");
	json_object(&json);
	api_json_id(&json, "flow.id", flow_id);
	json_kcstr(&json, "dir", sym_name(SYMS_DIR, dir));
	json_ku64(&json, "offset", offset);
	json_ku64(&json, "bytes", bytes.len);
	json_ku64(&json, "missing_bytes", missing);
	hex_text(&json, "hex", bytes);
	json_kstr(&json, "text", bytes);
	json_object_end(&json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
}

int api_flow_stream(void *ctx, struct http_request *req, struct err *err)
{
	struct flow_row flow;
	struct store *store;
	struct view bytes;
	uint64_t offset, limit, missing = 0;
	unsigned dir, as;
	int rc = find_flow(ctx, req, &store, &flow, err);

	if (rc >= 0)
		rc = http_param_word(req, "dir", "tx rx", &dir, err);
	if (rc >= 0)
		rc = http_param_word(req, "as", "json raw hex", &as, err);
	if (rc >= 0)
		rc = http_param_u64(req, "offset", 0, UINT64_MAX >> 1, &offset, err);
	if (rc >= 0)
		rc = http_param_u64(req, "limit", STREAM_BYTES, STREAM_BYTES_MAX, &limit, err);
	if (rc >= 0)
		rc = query_flow_stream(store, &flow, dir, offset, (size_t)limit, &req->arena,
				       &bytes, &missing, err);
	if (rc < 0)
		return rc;
	http_header(req, "X-Missing-Bytes", "%llu", (unsigned long long)missing);
	if (as == 0) {
		stream_json(req, flow.id, dir, offset, bytes, missing);
	} else if (as == 1) {
		http_type(req, "application/octet-stream");
		wr_bytes(http_out(req), bytes);
	} else {
		http_type(req, "text/plain; charset=utf-8");
		rc = hex_dump(req, bytes, offset, err);
	}
	return rc;
}

/* ---- calls ---- */

static void call_json(struct http_request *req, const struct call_row *call,
		      const struct query_bytes *bytes, size_t body_max)
{
	struct json json;

	json_init(&json, http_out(req), false);
	json_object(&json);
	json_key(&json, "data");
	json_object(&json);
	query_call_json(call, bytes, body_max, &json);
	json_object_end(&json);
	json_object_end(&json);
	wr_u8(http_out(req), '\n');
}

/* For a POSIX shell; bytes that it cannot carry in '' go into printf's octal form of $''. */
static void shell_word(struct wr *out, struct view text)
{
	bool plain = true;

	for (size_t i = 0; i < text.len; i++)
		plain &= text.at[i] >= ' ' && text.at[i] < 0x7f && text.at[i] != '\'';
	if (plain) {
		wr_u8(out, '\'');
		wr_bytes(out, text);
		wr_u8(out, '\'');
		return;
	}
	wr_str(out, "$'");
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];

		if (c == '\'' || c == '\\')
			wr_printf(out, "\\%c", c);
		else if (c >= ' ' && c < 0x7f)
			wr_u8(out, c);
		else
			wr_printf(out, "\\%03o", c);
	}
	wr_u8(out, '\'');
}

/* Body of a message without its chunk frames; what is not chunked as it stands. */
static struct view plain_body(const struct http_head *head, struct view body, struct wr *joined)
{
	struct view line;
	uint64_t size;

	if (!head->chunked)
		return head->has_length ? view_sub(body, 0, (size_t)head->length)
					: view_make(NULL, 0);
	while (http_line(&body, &line) && http_chunk_size(line, &size) && size) {
		struct view piece = view_sub(body, 0, size < body.len ? (size_t)size : body.len);

		wr_bytes(joined, piece);
		body = view_sub(body, piece.len, body.len);
		if (!http_line(&body, &line))
			break;
	}
	return wr_view(joined);
}

/* curl writes these by itself; a length of the old body would be wrong for one that was cut. */
static bool curl_makes(struct view name)
{
	return view_ieq(name, "host") || view_ieq(name, "content-length") ||
	       view_ieq(name, "transfer-encoding") || view_ieq(name, "connection") ||
	       view_ieq(name, "expect");
}

static void curl_url(struct wr *out, const struct call_row *call, const struct http_head *head)
{
	struct view authority, path;
	char ip[IP_TEXT_LEN];
	struct wr url;

	wr_init(&url, 0);
	if (http_absolute(head->target, &authority, &path)) {
		wr_bytes(&url, head->target);
	} else {
		wr_str(&url,
		       ROW_HAS(CALL, call, encrypted) && call->encrypted ? "https://" : "http://");
		if (head->host.len) {
			wr_bytes(&url, head->host);
		} else if (ROW_HAS(CALL, call, dst_ip)) {
			ip_format(&call->dst_ip, ip);
			wr_printf(&url, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, call->dst_port);
		}
		wr_bytes(&url, head->target);
	}
	shell_word(out, wr_view(&url));
	wr_release(&url);
}

static bool has_zero(struct view bytes)
{
	return bytes.len && memchr(bytes.at, 0, bytes.len);
}

/* An argument cannot hold a zero byte: such a body goes through a pipe. */
static void curl_begin(struct wr *out, const struct http_head *head, struct view body)
{
	if (has_zero(body)) {
		wr_str(out, "printf '%b' '");
		for (size_t i = 0; i < body.len; i++)
			wr_printf(out, "\\0%03o", body.at[i]);
		wr_str(out, "' | ");
	}
	/* -g: brackets and braces in a URL mean nothing; --path-as-is: nor do dots. */
	wr_str(out, "curl -g");
	if (view_find(head->target, VIEW_LIT("/.")) >= 0)
		wr_str(out, " --path-as-is");
}

static int call_curl(struct http_request *req, const struct call_row *call, struct view request,
		     struct err *err)
{
	struct wr *out = http_out(req), joined;
	struct view fields, name, value, body;
	struct http_head head;
	size_t scanned = 0, len = http_head_end(request, &scanned);

	if (call->l7 != L7_http)
		return err_set(err, E_UNSUPPORTED,
			       "only HTTP calls can be written for curl, this one is %s",
			       sym_name(SYMS_L7, call->l7) ? sym_name(SYMS_L7, call->l7)
							   : "another protocol");
	if (!len || !http_head_parse(view_sub(request, 0, len), &head) || !head.request)
		return err_set(err, E_EXPIRED, "the head of the request is not held");
	wr_init(&joined, CALL_BYTES_MAX);
	body = plain_body(&head, view_sub(request, len, request.len), &joined);
	http_type(req, "text/plain; charset=utf-8");
	curl_begin(out, &head, body);
	if (view_is(head.method, "HEAD")) {
		wr_str(out, " -I");
	} else if (!view_is(head.method, "GET") || body.len) {
		wr_str(out, " -X ");
		shell_word(out, head.method);
	}
	wr_u8(out, ' ');
	curl_url(out, call, &head);
	for (fields = head.fields; http_field_next(&fields, &name, &value);) {
		const char *empty;

		if (name.len == 0 || curl_makes(name))
			continue;
		wr_str(out, " \\\n  -H ");
		if (value.len) {
			shell_word(out,
				   view_make(name.at, (size_t)(value.at + value.len - name.at)));
			continue;
		}
		/* Without a value, a colon would tell curl to leave it out. */
		empty = arena_printf(&req->arena, "%.*s;", (int)name.len, (const char *)name.at);
		shell_word(out, view_str(empty));
	}
	if (body.len) {
		/* Else curl would call it a form. */
		if (!head.content_type.len)
			wr_str(out, " \\\n  -H 'Content-Type:'");
		if (has_zero(body)) {
			wr_str(out, " \\\n  --data-binary @-");
		} else {
			wr_str(out, " \\\n  --data-raw ");
			shell_word(out, body);
		}
	}
	wr_release(&joined);
	wr_u8(out, '\n');
	return 0;
}

int api_call(void *ctx, struct http_request *req, struct err *err)
{
	struct query_bytes bytes = { 0 };
	struct query_opts opts;
	struct call_row call;
	struct store *store;
	uint64_t id, body_max;
	unsigned raw = 0, as;
	int rc = api_id(req, 0, &id, err);

	if (rc >= 0 && http_param(req, "raw").len)
		rc = http_param_word(req, "raw", "request response", &raw, err);
	if (rc >= 0)
		rc = http_param_word(req, "as", "json curl", &as, err);
	if (rc >= 0)
		rc = http_param_u64(req, "body_max", BODY_BYTES, CALL_BYTES_MAX, &body_max, err);
	if (rc >= 0)
		rc = api_opts(ctx, req, 0, &opts, err);
	if (rc >= 0)
		rc = serve_store(ctx, &store, err);
	if (rc >= 0)
		rc = query_call(store, id, &req->arena, &call, err);
	if (rc >= 0)
		rc = query_call_bytes(store, &call, CALL_BYTES_MAX, &req->arena, &bytes, err);
	if (rc < 0)
		return rc;
	req->rows = 1;
	if (http_param(req, "raw").len) {
		http_type(req, "application/octet-stream");
		http_header(
			req, "X-Missing-Bytes", "%llu",
			(unsigned long long)(raw ? bytes.response_missing : bytes.request_missing));
		wr_bytes(http_out(req), raw ? bytes.response : bytes.request);
		return 0;
	}
	if (as == 1)
		return call_curl(req, &call, bytes.request, err);
	rc = query_call_before(store, &call, &req->arena, &bytes, err);
	if (rc == 0)
		call_json(req, &call, &bytes, (size_t)body_max);
	return rc;
}
