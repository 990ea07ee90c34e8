#include "query/http_parse.h"

#include <stdlib.h>

#include "base/base64.h"

#define TEXT(v) (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at

static int refuse(struct err *err, int status, int code, const char *words)
{
	(void)err_set(err, code, "%s", words);
	return status;
}

size_t http_req_head_end(struct view bytes, size_t from)
{
	/* An empty line ends it: LF LF or LF CR LF. Empty lines before the request line do not count. */
	size_t start = 0, i;

	while (start < bytes.len && (bytes.at[start] == '\r' || bytes.at[start] == '\n'))
		start++;
	i = from > start + 3 ? from - 3 : start;
	for (; i < bytes.len; i++) {
		const uint8_t *lf = memchr(bytes.at + i, '\n', bytes.len - i);

		if (!lf)
			return 0;
		i = (size_t)(lf - bytes.at);
		if (i + 1 < bytes.len && bytes.at[i + 1] == '\n')
			return i + 2;
		if (i + 2 < bytes.len && bytes.at[i + 1] == '\r' && bytes.at[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

/* RFC 9110 5.6.2 */
static bool is_token(struct view text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c != '\0' && strchr("!#$%&'*+-.^_`|~", c))))
			return false;
	}
	return text.len > 0;
}

static struct view next_line(struct view *rest)
{
	const uint8_t *lf = memchr(rest->at, '\n', rest->len);
	struct view line = *rest;

	if (lf) {
		line.len = (size_t)(lf - rest->at);
		*rest = view_sub(*rest, line.len + 1, rest->len);
	} else {
		rest->len = 0;
	}
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

static enum http_method method_of(struct view text)
{
	if (view_is(text, "GET"))
		return HTTP_GET;
	if (view_is(text, "POST"))
		return HTTP_POST;
	if (view_is(text, "HEAD"))
		return HTTP_HEAD;
	if (view_is(text, "OPTIONS"))
		return HTTP_OPTIONS;
	return HTTP_OTHER;
}

/* absolute-form ("GET http://host/path") loses its scheme and authority. */
static int origin_form(struct view *target, bool options, struct err *err)
{
	if (view_istarts(*target, "http://") || view_istarts(*target, "https://")) {
		ptrdiff_t colon = view_find(*target, VIEW_LIT("://"));
		struct view rest = view_sub(*target, (size_t)colon + 3, target->len);
		size_t slash = 0;

		while (slash < rest.len && rest.at[slash] != '/' && rest.at[slash] != '?')
			slash++;
		*target = view_sub(rest, slash, rest.len);
		if (target->len == 0)
			*target = VIEW_LIT("/");
		return 0;
	}
	if (options && view_is(*target, "*")) {
		*target = VIEW_LIT("/");
		return 0;
	}
	if (target->len == 0 || target->at[0] != '/')
		return refuse(err, 400, E_FORMAT, "request line: the target must begin with /");
	return 0;
}

static int request_line(struct view line, struct http_req_head *head, struct err *err)
{
	struct view version;
	size_t first = 0, last = line.len;

	if (view_starts(line, "PRI * HTTP/2"))
		return refuse(err, 505, E_UNSUPPORTED, "HTTP/2 is not spoken here: use HTTP/1.1");
	while (first < line.len && line.at[first] != ' ')
		first++;
	while (last > first && line.at[last - 1] != ' ')
		last--;
	head->method_text = view_sub(line, 0, first);
	version = view_sub(line, last, line.len);
	if (first == line.len || last < first + 2 || !is_token(head->method_text))
		return refuse(err, 400, E_FORMAT, "request line: not METHOD TARGET HTTP/1.1");
	head->target = view_sub(line, first + 1, last - first - 2);
	if (head->target.len > HTTP_TARGET_BYTES_MAX)
		return refuse(err, 414, E_LIMIT,
			      "the URL is longer than 16 KiB: Grafana's calls take POST");
	for (size_t i = 0; i < head->target.len; i++)
		if (head->target.at[i] <= ' ' || head->target.at[i] == 0x7f)
			return refuse(
				err, 400, E_FORMAT,
				"request line: a blank or control character in the URL must be percent-encoded");
	if (!view_starts(version, "HTTP/") || version.len != 8 || version.at[6] != '.' ||
	    version.at[5] < '0' || version.at[5] > '9' || version.at[7] < '0' ||
	    version.at[7] > '9')
		return refuse(err, 400, E_FORMAT, "request line: no HTTP version at its end");
	if (version.at[5] != '1')
		return refuse(err, 505, E_UNSUPPORTED,
			      "only HTTP/1.0 and HTTP/1.1 are spoken here");
	head->minor = version.at[7] == '0' ? 0 : 1;
	head->keep_alive = head->minor == 1;
	head->method = method_of(head->method_text);
	return origin_form(&head->target, head->method == HTTP_OPTIONS, err);
}

bool http_list_has(struct view list, const char *word)
{
	size_t at = 0;

	while (at < list.len) {
		struct view rest = view_sub(list, at, list.len), item, name;
		const uint8_t *comma = memchr(rest.at, ',', rest.len);
		const uint8_t *semicolon;
		ptrdiff_t weight;

		item = comma ? view_sub(rest, 0, (size_t)(comma - rest.at)) : rest;
		at += item.len + 1;
		semicolon = item.len ? memchr(item.at, ';', item.len) : NULL;
		name = view_trim(semicolon ? view_sub(item, 0, (size_t)(semicolon - item.at))
					   : item);
		if (!view_ieq(name, word))
			continue;
		weight = view_find(item, VIEW_LIT("q=0"));
		if (weight < 0)
			return true;
		/* q=0, q=0.0: refused; q=0.5: wanted. */
		for (size_t i = (size_t)weight + 3; i < item.len; i++)
			if (item.at[i] >= '1' && item.at[i] <= '9')
				return true;
	}
	return false;
}

static int content_length(struct view value, bool *seen, struct http_req_head *head,
			  struct err *err)
{
	uint64_t bytes;

	if (view_u64(value, UINT64_MAX / 2, &bytes) < 0)
		return refuse(err, 400, E_FORMAT, "header Content-Length: not a number");
	if (*seen && bytes != head->body_bytes)
		return refuse(err, 400, E_FORMAT,
			      "header Content-Length: given twice, and different");
	*seen = true;
	head->body_bytes = bytes;
	return 0;
}

struct head_seen {
	bool host, length;
};

static int take_header(struct view name, struct view value, struct head_seen *seen,
		       struct http_req_head *head, struct err *err)
{
	if (view_ieq(name, "host")) {
		if (seen->host)
			return refuse(err, 400, E_FORMAT, "header Host: given twice");
		seen->host = true;
		head->host = value;
	} else if (view_ieq(name, "content-length")) {
		return content_length(value, &seen->length, head, err);
	} else if (view_ieq(name, "transfer-encoding")) {
		if (!view_ieq(value, "chunked") || head->chunked)
			return refuse(err, 501, E_UNSUPPORTED,
				      "header Transfer-Encoding: only chunked is understood");
		head->chunked = true;
	} else if (view_ieq(name, "connection")) {
		if (http_list_has(value, "close"))
			head->keep_alive = false;
		else if (http_list_has(value, "keep-alive"))
			head->keep_alive = true;
	} else if (view_ieq(name, "expect")) {
		if (!view_ieq(value, "100-continue"))
			return refuse(err, 417, E_UNSUPPORTED,
				      "header Expect: only 100-continue is understood");
		head->expect_continue = head->minor == 1;
	} else if (view_ieq(name, "accept-encoding")) {
		head->gzip = http_list_has(value, "gzip") || http_list_has(value, "*");
	} else if (view_ieq(name, "accept")) {
		head->accept = value;
	} else if (view_ieq(name, "origin")) {
		head->origin = value;
	} else if (view_ieq(name, "authorization")) {
		head->authorization = value;
	} else if (view_ieq(name, "content-type")) {
		head->content_type = value;
	} else if (view_ieq(name, "x-forwarded-for")) {
		head->forwarded_for = value;
	}
	return 0;
}

static int header_line(struct view line, struct head_seen *seen, struct http_req_head *head,
		       struct err *err)
{
	const uint8_t *colon = memchr(line.at, ':', line.len);
	struct view name, value;

	if (line.at[0] == ' ' || line.at[0] == '\t')
		return refuse(err, 400, E_FORMAT,
			      "header: a line that continues another is obsolete and refused");
	name = view_sub(line, 0, colon ? (size_t)(colon - line.at) : line.len);
	if (!colon || !is_token(name)) {
		(void)err_set(err, E_FORMAT, "header: \"%.*s\" is no name with a colon behind it",
			      TEXT(name));
		return 400;
	}
	value = view_trim(view_sub(line, name.len + 1, line.len));
	for (size_t i = 0; i < value.len; i++)
		if ((value.at[i] < ' ' && value.at[i] != '\t') || value.at[i] == 0x7f) {
			(void)err_set(err, E_FORMAT,
				      "header %.*s: a control character in its value", TEXT(name));
			return 400;
		}
	return take_header(name, value, seen, head, err);
}

int http_req_head_parse(struct view bytes, struct http_req_head *ret_head, struct err *err)
{
	struct http_req_head head = { 0 };
	struct head_seen seen = { 0 };
	size_t count = 0;
	struct view line;
	int status;

	while (bytes.len && (bytes.at[0] == '\r' || bytes.at[0] == '\n'))
		bytes = view_sub(bytes, 1, bytes.len);
	line = next_line(&bytes);
	status = request_line(line, &head, err);
	if (status)
		return status;
	while (bytes.len) {
		line = next_line(&bytes);
		if (line.len == 0)
			break;
		if (++count > HTTP_HEADERS_MAX)
			return refuse(err, 431, E_LIMIT, "more than 100 headers");
		status = header_line(line, &seen, &head, err);
		if (status)
			return status;
	}
	if (head.minor == 1 && !seen.host)
		return refuse(err, 400, E_FORMAT, "HTTP/1.1 without a header Host");
	/* Two lengths in one message are how requests are smuggled past a proxy. */
	if (head.chunked && seen.length)
		return refuse(err, 400, E_FORMAT, "both Content-Length and Transfer-Encoding");
	if (head.chunked && head.minor == 0)
		return refuse(err, 400, E_FORMAT, "HTTP/1.0 knows no chunked bodies");
	*ret_head = head;
	return 0;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL at when memory is out or *ret_bad. */
static struct view percent_decode(struct view text, bool plus, struct arena *arena, bool *ret_bad)
{
	uint8_t *out = arena_alloc(arena, text.len + 1);
	size_t len = 0;

	if (!out)
		return view_make(NULL, 0);
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];

		if (c == '%') {
			if (text.len - i < 3 || hex_digit(text.at[i + 1]) < 0 ||
			    hex_digit(text.at[i + 2]) < 0) {
				*ret_bad = true;
				return view_make(NULL, 0);
			}
			c = (uint8_t)(hex_digit(text.at[i + 1]) << 4 | hex_digit(text.at[i + 2]));
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		out[len++] = c;
	}
	out[len] = '\0';
	return view_make(out, len);
}

static int decode_failed(bool bad, const char *where, struct err *err)
{
	if (!bad)
		return refuse(err, 503, E_NO_MEMORY, "out of memory");
	(void)err_set(
		err, E_FORMAT,
		"URL, %s: %% is not followed by two hexadecimal digits (write %%25 for itself)",
		where);
	return 400;
}

static int path_parse(struct view text, struct arena *arena, struct view *ret_path, struct err *err)
{
	bool bad = false;
	struct view path = percent_decode(text, false, arena, &bad);
	uint8_t *at = (uint8_t *)path.at;
	size_t len = 0;

	if (!path.at)
		return decode_failed(bad, "path", err);
	for (size_t i = 0; i < path.len; i++) {
		if (at[i] == '\0')
			return refuse(err, 400, E_FORMAT, "URL: a zero byte in the path");
		if (at[i] == '/' && len && at[len - 1] == '/')
			continue;
		at[len++] = at[i];
	}
	if (len > 1 && at[len - 1] == '/')
		len--;
	*ret_path = view_make(at, len);
	return 0;
}

int http_target_parse(struct view target, struct arena *arena, struct view *ret_path,
		      struct http_param **ret_params, size_t *ret_count, struct err *err)
{
	const uint8_t *mark = memchr(target.at, '?', target.len);
	struct view text = mark ? view_sub(target, 0, (size_t)(mark - target.at)) : target;
	struct view rest = mark ? view_sub(target, text.len + 1, target.len) : view_make(NULL, 0);
	struct http_param *list;
	struct view path;
	size_t count = 0;
	int status = path_parse(text, arena, &path, err);

	if (status)
		return status;
	list = arena_array(arena, HTTP_PARAMS_MAX, sizeof(*list));
	if (!list)
		return refuse(err, 503, E_NO_MEMORY, "out of memory");
	while (rest.len) {
		const uint8_t *amp = memchr(rest.at, '&', rest.len), *equals;
		struct view pair = amp ? view_sub(rest, 0, (size_t)(amp - rest.at)) : rest;
		bool bad = false;

		rest = view_sub(rest, pair.len + 1, rest.len);
		if (pair.len == 0)
			continue;
		if (count == HTTP_PARAMS_MAX)
			return refuse(err, 400, E_LIMIT, "more than 64 parameters");
		equals = memchr(pair.at, '=', pair.len);
		text = equals ? view_sub(pair, 0, (size_t)(equals - pair.at)) : pair;
		list[count].name = percent_decode(text, true, arena, &bad);
		list[count].value = percent_decode(equals ? view_sub(pair, text.len + 1, pair.len)
							  : VIEW_LIT(""),
						   true, arena, &bad);
		if (!list[count].name.at || !list[count].value.at)
			return decode_failed(bad, "query", err);
		count++;
	}
	*ret_path = path;
	*ret_params = list;
	*ret_count = count;
	return 0;
}

/* ---- chunked ---- */

enum {
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER,
	CHUNK_END
};

#define CHUNK_LINE_BYTES_MAX 256
#define TRAILER_BYTES_MAX    (8u << 10)

/* One byte outside of a chunk's data. 0, or a status. */
static int chunked_byte(struct http_chunked *c, uint8_t byte, struct err *err)
{
	int digit;

	switch (c->state) {
	case CHUNK_SIZE:
		digit = hex_digit(byte);
		if (digit >= 0 && c->line_bytes < 15) {
			c->left = c->left << 4 | (unsigned)digit;
			c->line_bytes++;
			return 0;
		}
		if (c->line_bytes == 0 || digit >= 0)
			return refuse(err, 400, E_FORMAT,
				      "chunked body: a chunk without a proper length");
		if (byte == ';' || byte == ' ' || byte == '\t')
			c->state = CHUNK_EXTENSION;
		else if (byte == '\r')
			c->state = CHUNK_SIZE_LF;
		else
			return refuse(err, 400, E_FORMAT,
				      "chunked body: a chunk without a proper length");
		return 0;
	case CHUNK_EXTENSION:
		if (byte == '\r')
			c->state = CHUNK_SIZE_LF;
		else if (byte == '\n' || ++c->line_bytes > CHUNK_LINE_BYTES_MAX)
			return refuse(err, 400, E_FORMAT,
				      "chunked body: a chunk extension is too long");
		return 0;
	case CHUNK_SIZE_LF:
		if (byte != '\n')
			return refuse(err, 400, E_FORMAT,
				      "chunked body: no line end behind a chunk's length");
		c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER;
		c->line_bytes = 0;
		return 0;
	case CHUNK_DATA_CR:
		c->state = CHUNK_DATA_LF;
		return byte == '\r' ? 0
				    : refuse(err, 400, E_FORMAT,
					     "chunked body: a chunk longer than announced");
	case CHUNK_DATA_LF:
		c->state = CHUNK_SIZE;
		c->line_bytes = 0;
		return byte == '\n' ? 0
				    : refuse(err, 400, E_FORMAT,
					     "chunked body: a chunk longer than announced");
	default: /* CHUNK_TRAILER: lines until an empty one */
		if (++c->trailer_bytes > TRAILER_BYTES_MAX)
			return refuse(err, 400, E_LIMIT,
				      "chunked body: trailers of more than 8 KiB");
		if (byte == '\n' && c->line_bytes == 0)
			c->state = CHUNK_END;
		else if (byte == '\n')
			c->line_bytes = 0;
		else if (byte != '\r')
			c->line_bytes++;
		return 0;
	}
}

int http_chunked_feed(struct http_chunked *c, struct view bytes, size_t body_max, struct wr *body,
		      size_t *ret_used, struct err *err)
{
	size_t at = 0;
	int status = 0;

	while (at < bytes.len && c->state != CHUNK_END && !status) {
		if (c->state == CHUNK_DATA) {
			size_t piece = bytes.len - at < c->left ? bytes.len - at : (size_t)c->left;

			wr_bytes(body, view_make(bytes.at + at, piece));
			if (body->bad)
				return refuse(err, 503, E_NO_MEMORY, "out of memory");
			at += piece;
			c->left -= piece;
			if (c->left == 0)
				c->state = CHUNK_DATA_CR;
		} else {
			status = chunked_byte(c, bytes.at[at++], err);
			if (!status && c->left > body_max - body->len)
				status = refuse(err, 413, E_LIMIT, "the body is longer than 1 MiB");
		}
	}
	if (status)
		return status;
	*ret_used = at;
	return c->state == CHUNK_END;
}

/* ---- base64 ---- */

int http_base64(struct view text, struct arena *arena, struct view *ret_bytes)
{
	uint8_t *out = arena_alloc(arena, text.len + 1);
	size_t len, used;

	if (!out)
		return E_NO_MEMORY;
	while (text.len && text.at[text.len - 1] == '=')
		text.len--;
	len = base64_read(text, out, text.len, &used);
	if (used < text.len)
		return E_FORMAT;
	*ret_bytes = view_make(out, len);
	return 0;
}
