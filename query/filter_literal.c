/* What a word or text means beside a column: numbers, units, times, names, addresses. */
#include <stdio.h>

#include "base/clock.h"
#include "query/filter_node.h"

#define TEXT(v) (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at

static int fail_col(const struct token *token, const struct col *col, int code, struct err *err,
		    const char *must, struct view text)
{
	return filter_fail(err, token->at, code, "`%s` %s, and `%.*s` is not", col->key, must,
			   TEXT(text));
}

/* "1.5" -> 1, fraction. E_FORMAT when it is no number, E_RANGE beyond 64 bits. */
static int decimal(struct view text, struct literal *ret_literal)
{
	ptrdiff_t point = view_find(text, VIEW_LIT("."));
	struct view whole = point < 0 ? text : view_sub(text, 0, (size_t)point);
	struct literal literal = { 0 };
	int rc = view_u64(whole, UINT64_MAX, &literal.value);

	if (rc < 0)
		return rc;
	if (point >= 0) {
		struct view rest = view_sub(text, (size_t)point + 1, text.len);

		if (rest.len == 0)
			return E_FORMAT;
		for (size_t i = 0; i < rest.len; i++) {
			if (rest.at[i] < '0' || rest.at[i] > '9')
				return E_FORMAT;
			literal.fraction |= rest.at[i] != '0';
		}
	}
	*ret_literal = literal;
	return 0;
}

static int hexadecimal(struct view text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (text.len == 0)
		return E_FORMAT;
	if (text.len > 16)
		return E_RANGE;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i] | 0x20;

		if (text.at[i] >= '0' && text.at[i] <= '9')
			value = value << 4 | (uint64_t)(text.at[i] - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return E_FORMAT;
	}
	*ret_value = value;
	return 0;
}

static int number(struct view text, struct literal *ret_literal)
{
	if (view_istarts(text, "0x")) {
		ret_literal->fraction = false;
		return hexadecimal(view_sub(text, 2, text.len), &ret_literal->value);
	}
	return decimal(text, ret_literal);
}

static bool size_unit(struct view unit, uint64_t *ret_bytes)
{
	static const char letters[] = "kmgtp";
	uint64_t bytes = 1;
	bool binary;
	const char *letter;

	if (view_ieq(unit, "b")) {
		*ret_bytes = 1;
		return true;
	}
	letter = unit.len ? strchr(letters, unit.at[0] | 0x20) : NULL;
	if (!letter || !*letter)
		return false;
	binary = unit.len > 1 && (unit.at[1] | 0x20) == 'i';
	for (ptrdiff_t i = 0; i <= letter - letters; i++)
		bytes *= binary ? 1024 : 1000;
	unit = view_sub(unit, binary ? 2 : 1, unit.len);
	if (unit.len && !view_ieq(unit, "b"))
		return false;
	*ret_bytes = bytes;
	return true;
}

/* "1.5MiB". E_FORMAT without a unit. */
static int size(struct view text, struct literal *ret_literal)
{
	size_t digits = 0;
	struct literal literal;
	uint64_t unit, rest = 0, scale = 1, more;
	ptrdiff_t point;
	int rc;

	while (digits < text.len &&
	       ((text.at[digits] >= '0' && text.at[digits] <= '9') || text.at[digits] == '.'))
		digits++;
	rc = decimal(view_sub(text, 0, digits), &literal);
	if (rc < 0)
		return rc;
	if (!size_unit(view_sub(text, digits, text.len), &unit))
		return E_FORMAT;
	point = view_find(view_sub(text, 0, digits), VIEW_LIT("."));
	for (size_t i = (size_t)point + 1; point >= 0 && i < digits && scale < 1000; i++) {
		rest = rest * 10 + (uint64_t)(text.at[i] - '0');
		scale *= 10;
	}
	more = (uint64_t)((__uint128_t)unit * rest / scale);
	if (__builtin_mul_overflow(literal.value, unit, &literal.value) ||
	    __builtin_add_overflow(literal.value, more, &literal.value))
		return E_RANGE;
	literal.fraction = false;
	*ret_literal = literal;
	return 0;
}

static int fail_sym(const struct token *token, struct view text, const struct col *col,
		    struct err *err)
{
	char names[256];
	size_t len = 0;

	name_nearest_sym(types[col->type].syms, text, names, sizeof(names));
	if (*names)
		return filter_fail(err, token->at, E_UNKNOWN_NAME,
				   "`%s` has no value `%.*s`; nearest: %s", col->key, TEXT(text),
				   names);
	/* None comes near: name them all, as far as there is room. */
	for (size_t i = 0; i < syms_count && len < sizeof(names); i++)
		if (syms[i].table == types[col->type].syms)
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						len ? ", " : "", syms[i].name);
	return filter_fail(err, token->at, E_UNKNOWN_NAME, "`%s` has no value `%.*s`; it has: %s",
			   col->key, TEXT(text), names);
}

static int enumerated(const struct token *token, struct view text, const struct col *col,
		      struct literal *ret_literal, struct err *err)
{
	uint32_t value;

	if (sym_number(types[col->type].syms, text, &value) == 0) {
		*ret_literal = (struct literal){ value, false };
		return 0;
	}
	if (view_u64(text, UINT8_MAX, &ret_literal->value) == 0) {
		ret_literal->fraction = false;
		return 0;
	}
	return fail_sym(token, text, col, err);
}

static int timestamp(const struct token *token, struct view text, const struct col *col,
		     uint64_t now_ns, struct literal *ret_literal, struct err *err)
{
	struct err why = { 0 };
	int rc = clock_parse(text, now_ns, &ret_literal->value, &why);

	ret_literal->fraction = false;
	return rc < 0 ? filter_fail(err, token->at, rc, "`%s` is an instant: %s", col->key,
				    why.text)
		      : 0;
}

static int duration(const struct token *token, struct view text, const struct col *col, bool bare,
		    struct literal *ret_literal, struct err *err)
{
	struct err why = { 0 };
	int rc;

	if (number(text, ret_literal) == 0) {
		if (!bare)
			return 0;
		return filter_fail(err, token->at, E_TYPE,
				   "a duration needs its unit: write %.*sms, or compare "
				   "`%s` with a number of ns",
				   TEXT(text), col->key);
	}
	rc = clock_parse_duration(text, &ret_literal->value, &why);
	ret_literal->fraction = false;
	if (rc < 0)
		return filter_fail(err, token->at, rc == E_RANGE ? E_RANGE : E_TYPE,
				   "`%s` is a duration: %s", col->key, why.text);
	return 0;
}

static int plain(const struct token *token, struct view text, const struct col *col, bool bare,
		 struct literal *ret_literal, struct err *err)
{
	struct err why = { 0 };
	uint64_t ns;
	int rc = number(text, ret_literal);

	if (rc == 0 && bare && col->unit == UNIT_BYTES)
		return filter_fail(err, token->at, E_TYPE,
				   "a size needs its unit: write %.*sB, or compare `%s` with a "
				   "number of bytes",
				   TEXT(text), col->key);
	if (rc == E_FORMAT && col->unit == UNIT_BYTES)
		rc = size(text, ret_literal);
	if (rc == 0)
		return 0;
	if (rc == E_RANGE)
		return filter_fail(err, token->at, E_RANGE, "`%.*s` is beyond 64 bits", TEXT(text));
	if (text.len > 1 && text.at[0] == '-' &&
	    number(view_sub(text, 1, text.len), ret_literal) == 0)
		return filter_fail(err, token->at, E_RANGE, "`%s` is never below 0", col->key);
	if (col->unit == UNIT_BYTES)
		return fail_col(token, col, E_TYPE, err, "is a size (1500, 4KiB, 10MB)", text);
	if (clock_parse_duration(text, &ns, &why) == 0)
		return filter_fail(err, token->at, E_TYPE,
				   "`%s` is a number, and `%.*s` is a duration", col->key,
				   TEXT(text));
	return fail_col(token, col, E_TYPE, err, "is a number", text);
}

int filter_literal_int(const struct token *token, struct view text, const struct col *col,
		       bool bare, uint64_t now_ns, struct literal *ret_literal, struct err *err)
{
	unsigned bits = 8u * types[col->type].row_bytes;
	struct literal literal = { 0 };
	int rc;

	if (types[col->type].syms != SYMS_NONE) {
		rc = enumerated(token, text, col, &literal, err);
	} else if (col->type == TYPE_BOOL) {
		bool yes = view_ieq(text, "true") || view_is(text, "1");

		rc = 0;
		literal.value = yes;
		if (!yes && !view_ieq(text, "false") && !view_is(text, "0"))
			rc = fail_col(token, col, E_TYPE, err, "is true or false", text);
	} else if (col->type == TYPE_ID) {
		rc = hexadecimal(view_istarts(text, "0x") ? view_sub(text, 2, text.len) : text,
				 &literal.value);
		if (rc < 0)
			rc = fail_col(token, col, rc == E_RANGE ? E_RANGE : E_TYPE, err,
				      "is an identifier of up to 16 hexadecimal digits", text);
	} else if (col->unit == UNIT_TIME) {
		rc = timestamp(token, text, col, now_ns, &literal, err);
	} else if (col->unit == UNIT_DURATION) {
		rc = duration(token, text, col, bare, &literal, err);
	} else {
		rc = plain(token, text, col, bare, &literal, err);
	}
	if (rc < 0)
		return rc;
	if (bits < 64 && literal.value >> bits)
		return filter_fail(err, token->at, E_RANGE, "`%s` is at most %llu", col->key,
				   (1ull << bits) - 1);
	*ret_literal = literal;
	return 0;
}

/* All addresses of a network: the bits behind the prefix clear and set. */
static void net_span(const struct ip_net *net, struct filter_ip_span *ret_span)
{
	ret_span->from = ret_span->to = net->ip;
	for (unsigned bit = net->bits; bit < 128; bit++) {
		ret_span->from.b[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
		ret_span->to.b[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
	}
}

int filter_literal_ips(const struct token *token, struct view text, struct filter_ip_span *ret_span,
		       struct err *err)
{
	ptrdiff_t dots = view_find(text, VIEW_LIT(".."));
	struct err why = { 0 };
	struct ip_net net;
	int rc;

	if (dots >= 0) {
		struct filter_ip_span span;

		rc = ip_parse(view_sub(text, 0, (size_t)dots), &span.from, &why);
		if (rc == 0)
			rc = ip_parse(view_sub(text, (size_t)dots + 2, text.len), &span.to, &why);
		if (rc < 0)
			return filter_fail(err, token->at, E_TYPE, "in the range of addresses: %s",
					   why.text);
		if (memcmp(span.from.b, span.to.b, sizeof(span.to.b)) > 0)
			return filter_fail(err, token->at, E_RANGE,
					   "the range of addresses ends before it begins");
		*ret_span = span;
		return 0;
	}
	rc = ip_net_parse(text, &net, &why);
	if (rc < 0)
		return filter_fail(err, token->at, E_TYPE,
				   "an address or network is wanted here: %s", why.text);
	net_span(&net, ret_span);
	return 0;
}
