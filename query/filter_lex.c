#include <stdarg.h>
#include <stdio.h>

#include "query/filter_node.h"

int filter_fail(struct err *err, size_t at, int code, const char *fmt, ...)
{
	char text[600];
	va_list args;

	if (!err || err->code)
		return code;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)err_set(err, code, "filter, at byte %zu: %s", at, text);
	err->position = at;
	return code;
}

/*
 * Words are names, numbers with units, addresses, networks, times and ranges
 * alike; what they mean is decided beside the column. There is no arithmetic, so
 * `-`, `/` and `:` are free to be part of them.
 */
static bool is_word(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c >= 0x80 || (c != '\0' && strchr("_.:/%@+*-", c));
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * Only escapes of quotes, the backslash, n, r, t and \xHH are taken out: a
 * regular expression can be written in a string as it is ("\d+\.").
 */
static int lex_string(struct view text, size_t at, struct arena *arena, struct token *token,
		      struct err *err)
{
	uint8_t quote = text.at[at];
	uint8_t *plain = arena_alloc(arena, text.len - at);
	size_t len = 0, i = at + 1;

	if (!plain)
		return filter_fail(err, at, E_NO_MEMORY, "out of memory");
	for (;; i++) {
		uint8_t c;

		if (i == text.len)
			return filter_fail(err, at, E_SYNTAX,
					   "the text that begins here has no closing %c", quote);
		c = text.at[i];
		if (c == quote)
			break;
		if (c == '\\' && i + 1 < text.len) {
			uint8_t next = text.at[i + 1];

			if (next == '"' || next == '\'' || next == '\\') {
				c = next;
				i++;
			} else if (next == 'n' || next == 'r' || next == 't') {
				c = next == 'n' ? '\n' : next == 'r' ? '\r' : '\t';
				i++;
			} else if (next == 'x' && i + 3 < text.len &&
				   hex_digit(text.at[i + 2]) >= 0 &&
				   hex_digit(text.at[i + 3]) >= 0) {
				c = (uint8_t)(hex_digit(text.at[i + 2]) << 4 |
					      hex_digit(text.at[i + 3]));
				i += 3;
			}
		}
		plain[len++] = c;
	}
	token->kind = TOKEN_STRING;
	token->text = view_make(plain, len);
	token->len = i + 1 - at;
	return 0;
}

static void compare(struct token *token, enum filter_op op, size_t len)
{
	token->kind = TOKEN_COMPARE;
	token->op = op;
	token->len = len;
}

static int lex_sign(struct view text, size_t at, struct token *token, struct err *err)
{
	uint8_t c = text.at[at], next = at + 1 < text.len ? text.at[at + 1] : 0;

	token->len = 1;
	switch (c) {
	case '(': token->kind = TOKEN_OPEN; return 0;
	case ')': token->kind = TOKEN_CLOSE; return 0;
	case '[':
	case '{': token->kind = TOKEN_SET_OPEN; return 0;
	case ']':
	case '}': token->kind = TOKEN_SET_CLOSE; return 0;
	case ',': token->kind = TOKEN_COMMA; return 0;
	case '~': compare(token, OP_MATCHES, 1); return 0;
	case '<': compare(token, next == '=' ? OP_LE : OP_LT, next == '=' ? 2 : 1); return 0;
	case '>': compare(token, next == '=' ? OP_GE : OP_GT, next == '=' ? 2 : 1); return 0;
	case '=':
		if (next != '=')
			return filter_fail(err, at, E_SYNTAX,
					   "one = compares nothing here: use ==");
		compare(token, OP_EQ, 2);
		return 0;
	case '!':
		if (next == '=') {
			compare(token, OP_NE, 2);
		} else if (next == '~') {
			compare(token, OP_MATCHES, 2);
			token->negated = true;
		} else {
			token->kind = TOKEN_NOT;
		}
		return 0;
	case '&':
	case '|':
		if (next != c)
			return filter_fail(err, at, E_SYNTAX,
					   "one %c means nothing here: use %c%c or `%s`", c, c, c,
					   c == '&' ? "and" : "or");
		token->kind = c == '&' ? TOKEN_AND : TOKEN_OR;
		token->len = 2;
		return 0;
	case '`': return filter_fail(err, at, E_SYNTAX, "texts are quoted with \" or '");
	default:
		if (c > 0x20 && c < 0x7f)
			return filter_fail(err, at, E_SYNTAX, "%c has no meaning here", c);
		return filter_fail(err, at, E_SYNTAX, "a byte of value 0x%02x has no meaning here",
				   c);
	}
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int lex_one(struct view text, size_t at, struct arena *arena, struct token *token,
		   struct err *err)
{
	if (at == text.len)
		return 0;
	if (text.at[at] == '"' || text.at[at] == '\'')
		return lex_string(text, at, arena, token, err);
	if (!is_word(text.at[at]))
		return lex_sign(text, at, token, err);
	while (at + token->len < text.len && is_word(text.at[at + token->len]))
		token->len++;
	token->kind = TOKEN_WORD;
	token->text = view_sub(text, at, token->len);
	return 0;
}

int filter_lex(struct view text, struct arena *arena, struct token **ret_tokens, size_t *ret_count,
	       struct err *err)
{
	size_t count = 0, cap = 64, at = 0;
	struct token *tokens;

	if (text.len > FILTER_TEXT_MAX)
		return filter_fail(err, 0, E_LIMIT, "%zu bytes of text, the limit is %u", text.len,
				   FILTER_TEXT_MAX);
	tokens = arena_array(arena, cap, sizeof(*tokens));
	while (tokens) {
		struct token token = { .kind = TOKEN_END };
		size_t before = at;
		int rc;

		while (at < text.len && is_blank(text.at[at]))
			at++;
		token.at = at;
		token.touches = at == before;
		rc = lex_one(text, at, arena, &token, err);
		if (rc < 0)
			return rc;
		if (count == cap) {
			struct token *more = arena_array(arena, 2 * cap, sizeof(*more));

			if (!more)
				break;
			memcpy(more, tokens, cap * sizeof(*more));
			tokens = more;
			cap *= 2;
		}
		tokens[count++] = token;
		at += token.len;
		if (token.kind == TOKEN_END) {
			*ret_tokens = tokens;
			*ret_count = count;
			return 0;
		}
	}
	return filter_fail(err, at, E_NO_MEMORY, "out of memory");
}
