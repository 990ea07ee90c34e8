#include "wire/fold.h"

#define HEX_RUN_MIN	16	/* hexadecimal digits in a row, a decimal one among them, that are no word */
#define UUID_BYTES	36

struct out {
	char *at;
	size_t len, cap;
};

static void put_view(struct out *out, struct view text)
{
	size_t len = text.len < out->cap - out->len ? text.len : out->cap - out->len;

	memcpy(out->at + out->len, text.at, len);
	out->len += len;
}

static void put(struct out *out, char c)
{
	if (out->len < out->cap)
		out->at[out->len++] = c;
}

/* Every byte of every statement is asked about several times: one table instead of comparisons. */
enum { DIGIT = 1, HEX = 2, ALPHA = 4, WORD = 8, BLANK = 16 };
#define LETTER	(ALPHA | WORD)
#define HEXLET	(HEX | ALPHA | WORD)
#define NUMBER	(DIGIT | HEX | WORD)
static const uint8_t classes[256] = {
	['0' ... '9'] = NUMBER, ['A' ... 'F'] = HEXLET, ['G' ... 'Z'] = LETTER, ['a' ... 'f'] = HEXLET,
	['g' ... 'z'] = LETTER, ['_'] = LETTER, [0x80 ... 0xff] = LETTER, ['$'] = WORD,
	[' '] = BLANK, ['\t'] = BLANK, ['\n'] = BLANK, ['\r'] = BLANK, ['\f'] = BLANK, ['\v'] = BLANK,
};

static bool is_digit(uint8_t c)
{
	return classes[c] & DIGIT;
}

static bool is_hex(uint8_t c)
{
	return classes[c] & HEX;
}

static bool is_alpha(uint8_t c)
{
	return classes[c] & ALPHA;
}

static bool is_word(uint8_t c)
{
	return classes[c] & WORD;
}

static bool is_blank(uint8_t c)
{
	return classes[c] & BLANK;
}

static uint8_t at(struct view v, size_t i)
{
	return i < v.len ? v.at[i] : 0;
}

/* ---- SQL ---- */

/* The offset behind the comment that begins at i; i when none does. */
static size_t comment_end(struct view sql, size_t i)
{
	if (at(sql, i) == '-' && at(sql, i + 1) == '-') {
		while (i < sql.len && sql.at[i] != '\n')
			i++;
	} else if (at(sql, i) == '/' && at(sql, i + 1) == '*' && at(sql, i + 2) != '!') {
		ptrdiff_t end = view_find(view_sub(sql, i + 2, sql.len), VIEW_LIT("*/"));

		i = end < 0 ? sql.len : i + 2 + (size_t)end + 2;
	}
	return i;
}

/* The offset behind the quoted text that begins at i. A quote twice is a quote in it. */
static size_t quoted_end(struct view sql, size_t i, bool backslash)
{
	uint8_t quote = sql.at[i++];

	while (i < sql.len) {
		if (backslash && sql.at[i] == '\\')
			i += 2;
		else if (sql.at[i] != quote)
			i++;
		else if (at(sql, i + 1) == quote)
			i += 2;
		else
			return i + 1;
	}
	return sql.len;
}

/* $tag$ ... $tag$ of PostgreSQL: the offset behind it; i when none begins there. */
static size_t dollar_end(struct view sql, size_t i)
{
	size_t tag = i + 1;
	ptrdiff_t end;

	while (tag < sql.len && (is_alpha(sql.at[tag]) || (tag > i + 1 && is_digit(sql.at[tag]))))
		tag++;
	if (at(sql, tag) != '$')
		return i;
	tag++;
	end = view_find(view_sub(sql, tag, sql.len), view_sub(sql, i, tag - i));
	return end < 0 ? sql.len : tag + (size_t)end + (tag - i);
}

static size_t number_end(struct view sql, size_t i)
{
	if (sql.at[i] == '0' && (at(sql, i + 1) | 0x20) == 'x') {
		for (i += 2; is_hex(at(sql, i));)
			i++;
		return i;
	}
	while (is_digit(at(sql, i)) || at(sql, i) == '.')
		i++;
	if ((at(sql, i) | 0x20) == 'e') {
		size_t e = i + 1 + (at(sql, i + 1) == '+' || at(sql, i + 1) == '-');

		if (is_digit(at(sql, e)))
			for (i = e; is_digit(at(sql, i));)
				i++;
	}
	return i;
}

/* A literal: ?, but a list of them is one, as is a list of lists. */
static void put_literal(struct out *out)
{
	size_t len = out->len;

	while (len && (out->at[len - 1] == ' ' || out->at[len - 1] == ','))
		len--;
	if (len < out->len && len && out->at[len - 1] == '?' && memchr(out->at + len, ',', out->len - len))
		out->len = len;
	else
		put(out, '?');
}

static void put_close(struct out *out)
{
	static const char twice[] = "(?), (?";
	size_t n = sizeof(twice) - 1;

	put(out, ')');
	if (out->len > n && memcmp(out->at + out->len - 1 - n, twice, n) == 0)
		out->len -= 5;
	else if (out->len > n - 1 && memcmp(out->at + out->len - n, "(?),(?", n - 1) == 0)
		out->len -= 4;
}

/* The offset behind the literal that begins at i; i when none does. */
static size_t literal_end(struct view sql, size_t i, unsigned flags)
{
	uint8_t c = sql.at[i];

	if (c == '\'' || (c == '"' && flags & SQL_QUOTED_STRING))
		return quoted_end(sql, i, flags & SQL_QUOTED_STRING || (i && (sql.at[i - 1] | 0x20) == 'e'));
	if (is_digit(c) || (c == '.' && is_digit(at(sql, i + 1))))
		return number_end(sql, i);
	if (c == '?')
		return i + 1;
	if (c == '$' && is_digit(at(sql, i + 1))) {
		for (i++; is_digit(at(sql, i));)
			i++;
		return i;
	}
	return c == '$' ? dollar_end(sql, i) : i;
}

/*
 * A sign behind an operator or at the head of a list's item is the number's: -1 and 1 fold alike.
 * Behind a name or a literal it subtracts.
 */
static bool is_sign(const struct out *out, struct view sql, size_t i)
{
	static const char before[] = "(,=<>+-*/%";
	size_t len = out->len;
	bool point = at(sql, i + 1) == '.';

	if ((sql.at[i] != '-' && sql.at[i] != '+') || !is_digit(at(sql, i + 1 + point)))
		return false;
	while (len && out->at[len - 1] == ' ')
		len--;
	return len && memchr(before, out->at[len - 1], sizeof(before) - 1);
}

size_t fold_sql(struct view sql, unsigned flags, char *text, size_t cap)
{
	struct out out = { .at = text, .cap = cap };
	bool blank = false;
	size_t i = 0;

	while (i < sql.len && out.len < cap) {
		uint8_t c = sql.at[i];
		size_t end = c == '-' || c == '/' ? comment_end(sql, i) : i;

		if (end > i || is_blank(c)) {
			blank = out.len > 0;
			i = end > i ? end : i + 1;
			continue;
		}
		if (blank)
			put(&out, ' ');
		blank = false;
		if (is_sign(&out, sql, i))
			c = sql.at[++i];
		end = literal_end(sql, i, flags);
		if (end > i) {
			put_literal(&out);
			i = end;
			continue;
		}
		if (c == '"' || c == '`') {
			end = quoted_end(sql, i, false);
			put_view(&out, view_sub(sql, i, end - i));
			i = end;
			continue;
		}
		if (is_alpha(c)) {
			size_t from = i;

			while (i < sql.len && is_word(sql.at[i]))
				i++;
			/* E'..', N'..', X'..', B'..': the letter belongs to the literal */
			if (i == from + 1 && at(sql, i) == '\'')
				continue;
			put_view(&out, view_sub(sql, from, i - from));
			continue;
		}
		if (c == ')')
			put_close(&out);
		else
			put(&out, (char)c);
		i++;
	}
	while (out.len && (text[out.len - 1] == ' ' || text[out.len - 1] == ';'))
		out.len--;
	return out.len;
}

/* The next word, name or sign of *rest; empty at the end. Quotes stay on. */
static struct view next_token(struct view *rest)
{
	size_t i = 0, from, end;
	struct view token;

	for (;;) {
		while (i < rest->len && is_blank(rest->at[i]))
			i++;
		end = comment_end(*rest, i);
		if (end == i)
			break;
		i = end;
	}
	from = i;
	if (i < rest->len) {
		uint8_t c = rest->at[i];

		if (c == '\'' || c == '"' || c == '`')
			i = quoted_end(*rest, i, c == '\'');
		else if (c == '[')
			while (i < rest->len && rest->at[i++] != ']')
				;
		else if (is_word(c) || c == '@' || c == '#')
			while (i < rest->len && (is_word(rest->at[i]) || rest->at[i] == '@' || rest->at[i] == '#'))
				i++;
		else
			i++;
	}
	i = i < rest->len ? i : rest->len;
	token = view_sub(*rest, from, i - from);
	*rest = view_sub(*rest, i, rest->len);
	return token;
}

size_t fold_sql_verb(struct view sql, char *text, size_t cap)
{
	struct view token;
	size_t len = 0;

	do {
		token = next_token(&sql);
	} while (token.len && !is_alpha(token.at[0]));
	for (; len < token.len && len < cap && token.at[len] < 0x80; len++)
		text[len] = (char)((token.at[len] >= 'a' && token.at[len] <= 'z') ? token.at[len] - 32 : token.at[len]);
	return len;
}

static bool is_one_of(struct view token, const char *const *words)
{
	for (; *words && token.len; words++)
		if ((token.at[0] | 0x20) == **words && view_ieq(token, *words))
			return true;
	return false;
}

static struct view unquoted(struct view token)
{
	if (token.len >= 2 && (token.at[0] == '"' || token.at[0] == '`' || token.at[0] == '['))
		return view_sub(token, 1, token.len - 2);
	return token;
}

struct view fold_sql_table(struct view sql)
{
	static const char *const before[] = { "from", "into", "update", "table", "join", NULL };
	static const char *const between[] = { "only", "if", "not", "exists", "ignore", "low_priority", "delayed",
					       "lateral", NULL };
	struct view token, name = { NULL, 0 };

	do {
		token = next_token(&sql);
	} while (token.len && !is_one_of(token, before));
	if (!token.len)
		return name;
	do {
		token = next_token(&sql);
	} while (token.len && is_one_of(token, between));
	if (!token.len)
		return name;
	if (token.at[0] == '(')
		return fold_sql_table(sql);	/* a query in the place of a table */
	if (!is_alpha(token.at[0]) && token.at[0] != '"' && token.at[0] != '`' && token.at[0] != '[' && token.at[0] != '#')
		return name;
	name = unquoted(token);
	while (sql.len && sql.at[0] == '.') {	/* schema.table: one name when neither is quoted, else the last */
		sql = view_sub(sql, 1, sql.len);
		token = next_token(&sql);
		if (token.len && token.at[0] != '"' && token.at[0] != '`' && token.at[0] != '[' &&
		    name.at + name.len + 1 == token.at)
			name.len += 1 + token.len;
		else if (token.len)
			name = unquoted(token);
	}
	return name;
}

/* ---- keys ---- */

static bool is_uuid(struct view v)
{
	if (v.len < UUID_BYTES)
		return false;
	for (size_t i = 0; i < UUID_BYTES; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? v.at[i] != '-' : !is_hex(v.at[i]))
			return false;
	return true;
}

/* How many hexadecimal digits begin here, when they are too many for a word. */
static size_t hex_run(struct view v)
{
	size_t n = 0;
	bool digit = false;

	for (; n < v.len && is_hex(v.at[n]); n++)
		digit |= is_digit(v.at[n]);
	if (n < HEX_RUN_MIN || !digit || (n < v.len && is_alpha(v.at[n])))
		return 0;
	return n;
}

size_t fold_key(struct view key, char *text, size_t cap)
{
	struct out out = { .at = text, .cap = cap };
	bool inside = false;	/* a word */
	size_t i = 0;

	while (i < key.len && out.len < cap) {
		struct view rest = view_sub(key, i, key.len);
		size_t n = 0;

		if (is_uuid(rest))
			n = UUID_BYTES;
		else if (!inside)
			n = hex_run(rest);
		if (!n)
			while (is_digit(at(rest, n)))
				n++;
		if (n) {
			for (const char *s = "{id}"; *s; s++)
				put(&out, *s);
			i += n;
			inside = true;
			continue;
		}
		inside = is_word(key.at[i]);
		put(&out, (char)key.at[i++]);
	}
	return out.len;
}
