#include "query/curl.h"

#include "wire/h2_show.h"
#include "wire/http_head.h"

#define PLAIN_BYTES_MAX ((size_t)32 << 20) /* of a request with its body joined */

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

/* Words of HTTP/2 that HTTP/1 has too are read as HTTP/1, whose versions curl is told of. */
static int read_head(const struct call_row *call, const struct query_bytes *bytes, struct wr *plain,
		     struct http_head *ret_head, struct view *ret_body, uint32_t *ret_unknown, struct err *err)
{
	struct view request = bytes->request;
	size_t scanned = 0, len;

	if (call->l7 != L7_http && call->l7 != L7_http2 && call->l7 != L7_graphql && call->l7 != L7_sse &&
	    call->l7 != L7_grpc && call->l7 != L7_grpc_web)
		return err_set(err, E_UNSUPPORTED, "only HTTP calls can be written for curl, this one is %s",
			       sym_name(SYMS_L7, call->l7) ? sym_name(SYMS_L7, call->l7) : "another protocol");
	*ret_unknown = 0;
	if (http_start(request) != HTTP_START_REQUEST) {
		if (call->l7 == L7_sse && request.len && request.at[0])
			return err_set(err, E_UNSUPPORTED, "an event is sent by the server: there is no request");
		if (!h2_plain_request(&bytes->before, request, plain, ret_unknown) || plain->bad)
			return plain->bad ? err_set(err, E_NO_MEMORY, "no memory for %zu bytes", request.len)
					  : err_set(err, E_EXPIRED, "the head of the request is not held");
		request = wr_view(plain);
	}
	len = http_head_end(request, &scanned);
	if (!len || !http_head_parse(view_sub(request, 0, len), ret_head) || !ret_head->request)
		return err_set(err, E_EXPIRED, "the head of the request is not held");
	*ret_body = view_sub(request, len, request.len);
	return 0;
}

static void curl_fields(struct wr *out, struct view fields)
{
	struct view name, value;

	while (http_field_next(&fields, &name, &value)) {
		struct wr empty;

		if (name.len == 0 || curl_makes(name))
			continue;
		wr_str(out, " \\\n  -H ");
		if (value.len) {
			shell_word(out, view_make(name.at, (size_t)(value.at + value.len - name.at)));
			continue;
		}
		/* Without a value, a colon would tell curl to leave it out. */
		wr_init(&empty, 0);
		wr_bytes(&empty, name);
		wr_u8(&empty, ';');
		shell_word(out, wr_view(&empty));
		wr_release(&empty);
	}
}

int curl_line(const struct call_row *call, const struct query_bytes *bytes, struct wr *out, struct err *err)
{
	struct wr plain, joined;
	struct http_head head;
	struct view body;
	uint32_t unknown;
	int rc;

	wr_init(&plain, PLAIN_BYTES_MAX);
	wr_init(&joined, PLAIN_BYTES_MAX);
	rc = read_head(call, bytes, &plain, &head, &body, &unknown, err);
	if (rc < 0)
		goto out;
	body = plain_body(&head, body, &joined);
	if (unknown)
		wr_printf(out, "# %u header fields are left out: their table was not seen from its beginning\n", unknown);
	curl_begin(out, &head, body);
	if (plain.len)
		wr_str(out, ROW_HAS(CALL, call, encrypted) && call->encrypted ? " --http2" : " --http2-prior-knowledge");
	if (view_is(head.method, "HEAD")) {
		wr_str(out, " -I");
	} else if (!view_is(head.method, "GET") || body.len) {
		wr_str(out, " -X ");
		shell_word(out, head.method);
	}
	wr_u8(out, ' ');
	curl_url(out, call, &head);
	curl_fields(out, head.fields);
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
	wr_u8(out, '\n');
	if (plain.bad || joined.bad || out->bad)
		rc = err_set(err, E_NO_MEMORY, "no memory for a request of %zu bytes", bytes->request.len);
out:
	wr_release(&plain);
	wr_release(&joined);
	return rc;
}
