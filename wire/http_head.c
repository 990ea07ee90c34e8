#include "wire/http_head.h"

#include <strings.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define METHOD_LEN_MAX	32
#define FIELD_NAME_MAX	64
#define TARGET_SURE	512	/* so much of a printable target without a line end is a long target */

/* As memchr(), of bytes that are near: lines of a head are so short that the call costs more than the search. */
static inline const uint8_t *find_near(struct view bytes, uint8_t c)
{
	const uint8_t *at = bytes.at, *end = bytes.at + bytes.len;

#ifdef __SSE2__
	for (; end - at >= 16; at += 16) {
		__m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const void *)at), _mm_set1_epi8((char)c));
		unsigned hits = (unsigned)_mm_movemask_epi8(same);

		if (hits)
			return at + __builtin_ctz(hits);
	}
#endif
	for (; at < end; at++)
		if (*at == c)
			return at;
	return NULL;
}

static bool is_token(uint8_t c)
{
	/* RFC 9110 5.6.2 */
	static const bool token[256] = {
		['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
		['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
		['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
	};

	return token[c];
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static int hex_value(uint8_t c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "HTTP/1." digit */
static bool is_version(struct view v)
{
	return v.len == 8 && memcmp(v.at, "HTTP/1.", 7) == 0 && is_digit(v.at[7]);
}

static enum http_start start_response(struct view bytes)
{
	static const char want[] = "HTTP/1.";
	size_t n = bytes.len < 7 ? bytes.len : 7;

	if (memcmp(bytes.at, want, n) != 0)
		return HTTP_START_NO;
	for (size_t i = 7; i < bytes.len && i < 12; i++)
		if (i == 8 ? bytes.at[i] != ' ' : !is_digit(bytes.at[i]))
			return HTTP_START_NO;
	if (bytes.len <= 12)
		return HTTP_START_MORE;
	return bytes.at[12] == ' ' || bytes.at[12] == '\r' || bytes.at[12] == '\n' ? HTTP_START_RESPONSE :
	       HTTP_START_NO;
}

/* The last word of a request line. */
static struct view last_word(struct view line)
{
	size_t i = line.len;

	while (i > 0 && line.at[i - 1] != ' ')
		i--;
	return view_sub(line, i, line.len);
}

/*
 * A request line without a proper version is one all the same when a header line
 * follows it: servers answer those with 400, and that is worth a call. Other
 * protocols with such lines name themselves at its end (SIP/2.0, RTSP/1.0).
 */
static enum http_start start_sloppy(struct view line, struct view next)
{
	struct view word = last_word(line);
	size_t i = 0;

	while (i < word.len && word.at[i] >= 'A' && word.at[i] <= 'Z')
		i++;
	if (i && i + 1 < word.len && word.at[i] == '/' && is_digit(word.at[i + 1]) && !view_starts(word, "HTTP/1"))
		return HTTP_START_NO;
	for (i = 0; i < line.len && line.at[i] != ' '; i++)
		if (line.at[i] >= 'a' && line.at[i] <= 'z')
			return HTTP_START_NO;
	for (i = 0; i < next.len && is_token(next.at[i]); i++)
		;
	if (i == next.len)
		return i < FIELD_NAME_MAX ? HTTP_START_MORE : HTTP_START_NO;
	return i && next.at[i] == ':' ? HTTP_START_REQUEST : HTTP_START_NO;
}

static enum http_start start_request(struct view bytes)
{
	const uint8_t *nl;
	size_t i = 0, end;

	while (i < bytes.len && i <= METHOD_LEN_MAX && is_token(bytes.at[i]))
		i++;
	if (i == bytes.len && i <= METHOD_LEN_MAX)
		return HTTP_START_MORE;
	if (i == 0 || i > METHOD_LEN_MAX || bytes.at[i] != ' ')
		return HTTP_START_NO;
	nl = find_near(bytes, '\n');
	end = nl ? (size_t)(nl - bytes.at) : bytes.len;
	for (size_t j = i; j < end && j < i + TARGET_SURE; j++)
		if (bytes.at[j] < ' ' && bytes.at[j] != '\t' && bytes.at[j] != '\r')
			return HTTP_START_NO;
	if (!nl) {
		if (end - i < TARGET_SURE)
			return HTTP_START_MORE;
		for (size_t j = 0; j < i; j++)
			if (bytes.at[j] >= 'a' && bytes.at[j] <= 'z')
				return HTTP_START_NO;
		return bytes.at[i + 1] == '/' || view_istarts(view_sub(bytes, i + 1, 8), "http") ?
		       HTTP_START_REQUEST : HTTP_START_NO;
	}
	if (end > 0 && bytes.at[end - 1] == '\r')
		end--;
	if (end < i + 10 || bytes.at[end - 9] != ' ' || !is_version(view_sub(bytes, end - 8, 8)))
		return start_sloppy(view_sub(bytes, 0, end),
				    view_sub(bytes, (size_t)(nl - bytes.at) + 1, bytes.len));
	return HTTP_START_REQUEST;
}

enum http_start http_start(struct view bytes)
{
	enum http_start kind;

	if (!bytes.len)
		return HTTP_START_MORE;
	if (!is_token(bytes.at[0]))
		return HTTP_START_NO;
	if (bytes.at[0] == 'H') {	/* also HEAD */
		kind = start_response(bytes);
		if (kind != HTTP_START_NO)
			return kind;
	}
	return start_request(bytes);
}

size_t http_head_end(struct view bytes, size_t *scanned)
{
	size_t from = *scanned;

	while (from < bytes.len) {
		const uint8_t *nl = find_near(view_make(bytes.at + from, bytes.len - from), '\n');
		size_t at;

		if (!nl) {
			*scanned = bytes.len;
			return 0;
		}
		at = (size_t)(nl - bytes.at) + 1;
		if (at < bytes.len && bytes.at[at] == '\n')
			return at + 1;
		if (at + 1 < bytes.len && bytes.at[at] == '\r' && bytes.at[at + 1] == '\n')
			return at + 2;
		if (at == bytes.len || (at + 1 == bytes.len && bytes.at[at] == '\r')) {
			*scanned = at - 1;	/* this line end again, with what follows */
			return 0;
		}
		from = at;
	}
	*scanned = from;
	return 0;
}

bool http_line(struct view *rest, struct view *ret_line)
{
	const uint8_t *nl = find_near(*rest, '\n');
	size_t len;

	if (!nl)
		return false;
	len = (size_t)(nl - rest->at);
	*ret_line = view_make(rest->at, len && nl[-1] == '\r' ? len - 1 : len);
	*rest = view_sub(*rest, len + 1, rest->len);
	return true;
}

/* A value may begin on the line after its name. */
static struct view trim_folded(const uint8_t *at, const uint8_t *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
		at++;
	while (at < end && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return view_make(at, (size_t)(end - at));
}

bool http_field_next(struct view *rest, struct view *ret_name, struct view *ret_value)
{
	const uint8_t *start = rest->at, *colon;
	struct view line, next;
	size_t len;

	if (!http_line(rest, &line) || !line.len)
		return false;
	/* obs-fold: what begins with a blank goes on with the line before (RFC 9112 5.2) */
	while (rest->len && (rest->at[0] == ' ' || rest->at[0] == '\t') && http_line(rest, &next))
		line = view_make(start, (size_t)(next.at + next.len - start));
	colon = find_near(line, ':');
	if (!colon) {
		*ret_name = view_make(line.at, 0);
		*ret_value = line;
		return true;
	}
	len = (size_t)(colon - line.at);
	*ret_name = view_make(line.at, len);
	*ret_value = trim_folded(colon + 1, line.at + line.len);
	return true;
}

/* A name of eight and more bytes, against one in small letters: a letter's cases differ in one bit. */
static inline __attribute__((always_inline)) bool differs8(const uint8_t *at, const char *small)
{
	uint64_t got, want;

	memcpy(&got, at, sizeof(got));
	memcpy(&want, small, sizeof(want));
	return (got | (want & 0x4040404040404040ull) >> 1) != want;
}

static inline __attribute__((always_inline)) bool same_name(const uint8_t *at, const char *small, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8)
		if (differs8(at + i, small + i))
			return false;
	return !differs8(at + len - 8, small + len - 8);
}

/* name is as long as word, a literal of at least eight small letters, digits and hyphens. */
#define IS_NAME(name, word) same_name((name).at, word, sizeof(word) - 1)

static void read_length(struct http_head *head, struct view value)
{
	/* "5, 5" is what a proxy makes of two equal lines (RFC 9112 6.3) */
	while (value.len) {
		ptrdiff_t comma = view_find(value, VIEW_LIT(","));
		struct view one = view_trim(comma < 0 ? value : view_sub(value, 0, (size_t)comma));
		uint64_t length;

		if (view_u64(one, INT64_MAX / 4, &length) < 0) {
			if (!head->problem)
				head->problem = "Content-Length is not a number";
		} else if (head->has_length && head->length != length) {
			head->problem = "Content-Length twice with different values";
		} else {
			head->has_length = true;
			head->length = length;
		}
		value = comma < 0 ? view_sub(value, 0, 0) : view_sub(value, (size_t)comma + 1, value.len);
	}
}

static void read_coding(struct http_head *head, struct view value)
{
	struct view last = value;

	for (size_t i = value.len; i-- > 0;) {
		if (value.at[i] == ',') {
			last = view_sub(value, i + 1, value.len);
			break;
		}
	}
	if (head->chunked && !head->problem)
		head->problem = "Transfer-Encoding goes on after chunked";
	head->coded = true;
	head->chunked = view_ieq(view_trim(last), "chunked");
	if (!head->chunked && !head->problem && !head->request)
		return;		/* a response coded otherwise ends with the connection */
	if (!head->chunked && !head->problem)
		head->problem = "Transfer-Encoding does not end in chunked";
}

static void keep_first(struct view *field, struct view value)
{
	if (!field->at)
		*field = value;
}

static void read_field(struct http_head *head, struct view name, struct view value)
{
	if (name.len && (name.at[name.len - 1] == ' ' || name.at[name.len - 1] == '\t')) {
		if (!head->problem)
			head->problem = "blank before the colon of a header";
		name = view_trim(name);
	}
	switch (name.len) {	/* a length tells nearly all of them apart */
	case 2:
		if (view_ieq(name, "b3"))
			keep_first(&head->b3, value);
		break;
	case 4:
		if (view_ieq(name, "host"))
			keep_first(&head->host, value);
		break;
	case 10:
		if (IS_NAME(name, "user-agent"))
			keep_first(&head->user_agent, value);
		break;
	case 11:
		if (IS_NAME(name, "traceparent"))
			keep_first(&head->traceparent, value);
		break;
	case 12:
		if (IS_NAME(name, "content-type"))
			keep_first(&head->content_type, value);
		else if (IS_NAME(name, "x-b3-traceid"))
			keep_first(&head->b3_trace, value);
		else if (IS_NAME(name, "x-request-id"))
			keep_first(&head->request_id, value);
		break;
	case 14:
		if (IS_NAME(name, "content-length"))
			read_length(head, value);
		break;
	case 16:
		if (IS_NAME(name, "content-encoding"))
			keep_first(&head->content_encoding, value);
		break;
	case 17:
		if (IS_NAME(name, "transfer-encoding"))
			read_coding(head, value);
		break;
	default:
		break;
	}
}

/* next: what follows the line. */
static bool read_start_line(struct view line, struct view next, struct http_head *head)
{
	const uint8_t *blank;
	struct view word, start = line;
	size_t len;

	if (line.len >= 12 && is_version(view_sub(line, 0, 8))) {
		if (line.at[8] != ' ' || !is_digit(line.at[9]) || !is_digit(line.at[10]) || !is_digit(line.at[11]))
			return false;
		head->version = view_sub(line, 5, 3);
		head->status = (uint16_t)((line.at[9] - '0') * 100 + (line.at[10] - '0') * 10 + line.at[11] - '0');
		head->reason = view_trim(view_sub(line, 12, line.len));
		return true;
	}
	blank = find_near(line, ' ');
	if (!blank)
		return false;
	len = (size_t)(blank - line.at);
	if (len == 0 || len > METHOD_LEN_MAX)
		return false;
	head->request = true;
	head->method = view_sub(line, 0, len);
	line = view_sub(line, len + 1, line.len);
	word = last_word(line);
	if (is_version(word)) {
		head->version = view_sub(word, 5, 3);
		line.len -= word.len;
	} else if (start_sloppy(start, next) != HTTP_START_REQUEST) {
		return false;
	} else {
		head->problem = "request line without an HTTP version";
		if (view_starts(word, "HTTP/"))
			line.len -= word.len;
	}
	head->target = view_trim(line);
	return true;
}

bool http_head_parse(struct view bytes, struct http_head *ret_head)
{
	struct http_head head = { .request = false };
	struct view line, rest = bytes, name, value;

	if (!http_line(&rest, &line) || !read_start_line(line, rest, &head))
		return false;
	head.fields = rest;
	while (http_field_next(&rest, &name, &value))
		read_field(&head, name, value);
	if (head.coded && head.has_length)
		head.problem = "Content-Length beside Transfer-Encoding: request smuggling?";
	*ret_head = head;
	return true;
}

bool http_chunk_size(struct view line, uint64_t *ret_size)
{
	uint64_t size = 0;
	size_t i = 0;

	while (i < line.len && hex_value(line.at[i]) >= 0) {
		if (size >> 56)
			return false;
		size = size << 4 | (uint64_t)hex_value(line.at[i]);
		i++;
	}
	if (i == 0)
		return false;
	line = view_trim(view_sub(line, i, line.len));
	if (line.len && line.at[0] != ';')
		return false;
	*ret_size = size;
	return true;
}

struct view http_trace_id(const struct http_head *head)
{
	/* traceparent: version "-" 32 digits "-" ...  b3: 16 or 32 digits "-" ... */
	if (head->traceparent.len >= 55 && head->traceparent.at[2] == '-' && head->traceparent.at[35] == '-')
		return view_sub(head->traceparent, 3, 32);
	if (head->b3.len >= 16) {
		ptrdiff_t dash = view_find(head->b3, VIEW_LIT("-"));

		if (dash == 16 || dash == 32)
			return view_sub(head->b3, 0, (size_t)dash);
	}
	return head->b3_trace.len ? head->b3_trace : head->request_id;
}

/* ---- target ---- */

bool http_absolute(struct view target, struct view *ret_authority, struct view *ret_path)
{
	ptrdiff_t scheme = target.len && target.at[0] != '/' ? view_find(view_sub(target, 0, 16), VIEW_LIT("://")) : -1;
	struct view rest;
	size_t i = 0;

	if (scheme <= 0)
		return false;
	rest = view_sub(target, (size_t)scheme + 3, target.len);
	while (i < rest.len && rest.at[i] != '/' && rest.at[i] != '?' && rest.at[i] != '#')
		i++;
	*ret_authority = view_sub(rest, 0, i);
	*ret_path = view_sub(rest, i, rest.len);
	return true;
}

/* 17, 550e8400-e29b-41d4-a716-446655440000, 5f3a9c01d2: what stands for one thing among many. */
static bool is_id(struct view s)
{
	size_t digits = 0, hyphens = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '-' && i)
			hyphens++;
		else if (is_digit(s.at[i]))
			digits++;
		else if (hex_value(s.at[i]) < 0)
			return false;
	}
	if (!digits)
		return false;
	if (hyphens)
		return s.len == 36 && hyphens == 4 && s.at[8] == '-' && s.at[13] == '-' && s.at[18] == '-';
	return digits == s.len || s.len >= 8;
}

size_t http_template(struct view target, char *text, size_t cap)
{
	struct view authority, path = target;
	size_t len = 0, i = 0;

	(void)http_absolute(target, &authority, &path);
	while (i < path.len && path.at[i] != '?' && path.at[i] != '#') {
		size_t from = i, stem;
		struct view part;

		if (path.at[i] == '/') {
			if (len == cap)
				break;
			text[len++] = '/';
			i++;
			continue;
		}
		while (i < path.len && path.at[i] != '/' && path.at[i] != '?' && path.at[i] != '#')
			i++;
		part = view_sub(path, from, i - from);
		for (stem = part.len; stem > 0 && part.at[stem - 1] != '.';)
			stem--;
		stem = stem > 1 ? stem - 1 : part.len;	/* 17.png is {id}.png */
		if (is_id(view_sub(part, 0, stem)) && len + 4 <= cap) {
			memcpy(text + len, "{id}", 4);
			len += 4;
			part = view_sub(part, stem, part.len);
		}
		if (part.len > cap - len)
			part.len = cap - len;
		memcpy(text + len, part.at, part.len);
		len += part.len;
	}
	return len;
}
