#include "wire/graphql.h"

#include <string.h>

#define DEPTH_MAX 64

/* ---- JSON, of which the end may be missing ---- */

struct scan {
	const uint8_t *at, *end;
};

static struct scan scan_make(struct view v)
{
	return (struct scan){ .at = v.at, .end = v.at + v.len };
}

static int peek(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
		s->at++;
	return s->at < s->end ? *s->at : -1;
}

static bool eat(struct scan *s, char c)
{
	if (peek(s) != c)
		return false;
	s->at++;
	return true;
}

/* What stands between the quotes, escapes and all; up to the end where the string is cut. */
static bool scan_string(struct scan *s, struct view *ret_raw)
{
	const uint8_t *start;

	if (!eat(s, '"'))
		return false;
	start = s->at;
	while (s->at < s->end && *s->at != '"')
		s->at += *s->at == '\\' && s->at + 1 < s->end ? 2 : 1;
	*ret_raw = view_make(start, (size_t)(s->at - start));
	if (s->at < s->end)
		s->at++;
	return true;
}

/* Any value passed over; false: it is cut or broken. */
static bool scan_value(struct scan *s)
{
	unsigned depth = 0;
	struct view text;

	do {
		int c = peek(s);

		if (c < 0 || depth > DEPTH_MAX)
			return false;
		if (c == '"') {
			if (!scan_string(s, &text) || s->at[-1] != '"')
				return false;
		} else {
			depth += c == '{' || c == '[';
			if ((c == '}' || c == ']') && depth)
				depth--;
			if (strchr("{}[],:", c)) {
				s->at++;
			} else {
				while (s->at < s->end && !strchr("{}[],: \t\r\n\"", *s->at))
					s->at++;
			}
		}
	} while (depth);
	return true;
}

/* The next member of an object that was entered; its value is not passed over yet. */
static bool scan_member(struct scan *s, struct view *ret_key)
{
	(void)eat(s, ',');
	return scan_string(s, ret_key) && eat(s, ':');
}

/* The value of a member of the object that s is at, s left at it. */
static bool scan_find(struct scan *s, const char *key)
{
	struct view name;

	if (!eat(s, '{'))
		return false;
	while (scan_member(s, &name)) {
		if (view_is(name, key))
			return true;
		if (!scan_value(s))
			return false;
	}
	return false;
}

static size_t unescape(struct view raw, char *text, size_t cap)
{
	size_t len = 0;

	for (size_t i = 0; i < raw.len && len < cap; i++) {
		uint8_t c = raw.at[i];

		if (c == '\\' && i + 1 < raw.len) {
			c = raw.at[++i];
			if (c == 'n' || c == 'r') {
				c = '\n';	/* it ends a comment */
			} else if (c == 't' || c == 'b' || c == 'f') {
				c = ' ';
			} else if (c == 'u') {
				c = ' ';	/* names and keywords are ASCII; the others may as well be blanks */
				i += 4;
			}
		}
		text[len++] = (char)c;
	}
	return len;
}

/* ---- a document: what it does ---- */

static bool is_name(int c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static int doc_peek(struct scan *s)
{
	for (;;) {
		while (s->at < s->end && (*s->at <= ' ' || *s->at == ',' || *s->at >= 0x80))
			s->at++;
		if (s->at == s->end || *s->at != '#')
			return s->at < s->end ? *s->at : -1;
		while (s->at < s->end && *s->at != '\n' && *s->at != '\r')
			s->at++;
	}
}

static struct view doc_word(struct scan *s)
{
	const uint8_t *start;

	(void)doc_peek(s);
	start = s->at;
	while (s->at < s->end && is_name(*s->at))
		s->at++;
	return view_make(start, (size_t)(s->at - start));
}

/* Past the braces that s is somewhere before. */
static bool doc_skip_block(struct scan *s)
{
	unsigned depth = 0;

	for (; s->at < s->end; s->at++) {
		if (*s->at == '{') {
			depth++;
		} else if (*s->at == '}' && depth && --depth == 0) {
			s->at++;
			return true;
		}
	}
	return false;
}

static const char *op_type(struct view word)
{
	static const char *const types[] = { "query", "mutation", "subscription" };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (view_is(word, types[i]))
			return types[i];
	return NULL;
}

static void set_name(struct graphql_op *op, struct view name)
{
	op->name_len = name.len < sizeof(op->name) ? name.len : sizeof(op->name);
	if (op->name_len)
		memcpy(op->name, name.at, op->name_len);
}

/* The first operation, or that of the name wanted. */
static bool read_document(struct view text, struct view wanted, struct graphql_op *op)
{
	struct scan s = scan_make(text);
	bool found = false;

	while (doc_peek(&s) >= 0) {
		struct view word = doc_word(&s), name;
		const char *type = word.len ? op_type(word) : "query";

		if (!type && !view_is(word, "fragment"))
			return found;	/* neither an operation nor a fragment: nothing a server would take */
		name = doc_word(&s);
		if (type && (!found || (wanted.len && view_eq(name, wanted)))) {
			bool anonymous = !name.len;

			if (anonymous) {
				const uint8_t *open = memchr(s.at, '{', (size_t)(s.end - s.at));
				struct scan in = { .at = open ? open + 1 : s.end, .end = s.end };

				if (!open)
					return found;
				name = doc_word(&in);
				if (doc_peek(&in) == ':') {	/* an alias: the field's name follows */
					in.at++;
					name = doc_word(&in);
				}
			}
			op->type = type;
			set_name(op, name);
			found = true;
			if (!wanted.len || view_eq(name, wanted))
				return true;
		}
		if (!doc_skip_block(&s))
			break;
	}
	return found;
}

bool graphql_begins(struct view body)
{
	static const char *const keys[] = { "query", "operationName", "variables", "extensions", "id" };
	struct scan s = scan_make(body);
	struct view key;

	(void)eat(&s, '[');
	if (!eat(&s, '{') || !scan_string(&s, &key) || s.at[-1] != '"')
		return false;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (view_is(key, keys[i]))
			return true;
	return false;
}

bool graphql_body(struct view body, struct graphql_op *ret_op)
{
	struct scan s = scan_make(body);
	struct view key, raw, query = { NULL, 0 }, wanted = { NULL, 0 };
	char document[GRAPHQL_PEEK_BYTES];
	bool extensions = false;

	memset(ret_op, 0, sizeof(*ret_op));
	ret_op->type = "";
	(void)eat(&s, '[');
	if (!eat(&s, '{'))
		return false;
	while (scan_member(&s, &key)) {
		extensions |= view_is(key, "extensions");
		if (peek(&s) == '"' && view_is(key, "query")) {
			(void)scan_string(&s, &query);
		} else if (peek(&s) == '"' && view_is(key, "operationName")) {
			(void)scan_string(&s, &raw);
			wanted = raw;
		} else if (!scan_value(&s)) {
			break;
		}
	}
	if (query.len)
		return read_document(view_make(document, unescape(query, document, sizeof(document))), wanted, ret_op);
	set_name(ret_op, wanted);
	return wanted.len && extensions;
}

/* ---- GET ---- */

static int hex(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static size_t url_decode(struct view in, char *text, size_t cap)
{
	size_t len = 0;

	for (size_t i = 0; i < in.len && len < cap; i++) {
		uint8_t c = in.at[i] == '+' ? ' ' : in.at[i];

		if (c == '%' && i + 2 < in.len && hex(in.at[i + 1]) >= 0 && hex(in.at[i + 2]) >= 0) {
			c = (uint8_t)(hex(in.at[i + 1]) << 4 | hex(in.at[i + 2]));
			i += 2;
		}
		text[len++] = (char)c;
	}
	return len;
}

static struct view url_value(struct view query, const char *key)
{
	while (query.len) {
		const uint8_t *amp = memchr(query.at, '&', query.len);
		struct view part = view_sub(query, 0, amp ? (size_t)(amp - query.at) : query.len);
		const uint8_t *is = memchr(part.at, '=', part.len);

		if (is && view_is(view_sub(part, 0, (size_t)(is - part.at)), key))
			return view_sub(part, (size_t)(is - part.at) + 1, part.len);
		query = view_sub(query, part.len + 1, query.len);
	}
	return view_make("", 0);
}

bool graphql_url(struct view query, struct graphql_op *ret_op)
{
	char document[GRAPHQL_PEEK_BYTES], wanted[GRAPHQL_NAME_MAX];
	size_t document_len = url_decode(url_value(query, "query"), document, sizeof(document));
	size_t wanted_len = url_decode(url_value(query, "operationName"), wanted, sizeof(wanted));

	memset(ret_op, 0, sizeof(*ret_op));
	ret_op->type = "";
	if (document_len)
		return read_document(view_make(document, document_len), view_make(wanted, wanted_len), ret_op);
	set_name(ret_op, view_make(wanted, wanted_len));
	return wanted_len && url_value(query, "extensions").len;
}

/* ---- errors ---- */

/* Codes that servers in wide use put into extensions.code when the caller is at fault. */
static bool blames_client(struct view code)
{
	static const char *const codes[] = {
		"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT", "UNAUTHENTICATED", "FORBIDDEN",
		"BAD_REQUEST", "PERSISTED_QUERY_NOT_FOUND", "PERSISTED_QUERY_NOT_SUPPORTED", "OPERATION_RESOLUTION_FAILURE",
		"NOT_FOUND",
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (view_is(code, codes[i]))
			return true;
	return false;
}

bool graphql_errors(struct view body, struct graphql_errors *ret_errors)
{
	struct scan s = scan_make(body), error, extensions;
	struct view text = { NULL, 0 };

	memset(ret_errors, 0, sizeof(*ret_errors));
	(void)eat(&s, '[');
	if (!scan_find(&s, "errors") || !eat(&s, '[') || peek(&s) != '{')
		return false;
	error = extensions = s;
	if (scan_find(&error, "message") && scan_string(&error, &text))
		ret_errors->text_len = unescape(text, ret_errors->text, sizeof(ret_errors->text));
	if (scan_find(&extensions, "extensions") && scan_find(&extensions, "code") && scan_string(&extensions, &text))
		ret_errors->client = blames_client(text);
	return true;
}
