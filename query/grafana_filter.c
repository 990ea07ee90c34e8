/* What Grafana sends, as filter language. */
#include "query/grafana.h"

#include "base/mem.h"

#define TEXT(v)	 (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at
#define LIST_MAX 10000

/* ---- texts and lists ---- */

/* What Grafana puts a backslash before when it makes a regular expression of a value. */
static bool is_escaped(uint8_t c)
{
	return c != '\0' && strchr("^$\\.*+?()[]{}|/-", c) != NULL;
}

static struct view unescape(struct view text, struct arena *arena)
{
	uint8_t *plain;
	size_t len = 0;

	if (!text.len || !memchr(text.at, '\\', text.len))
		return text;
	plain = arena_alloc(arena, text.len);
	if (!plain)
		return view_make(NULL, 0);
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\\' && i + 1 < text.len && is_escaped(text.at[i + 1]))
			i++;
		plain[len++] = text.at[i];
	}
	return view_make(plain, len);
}

/* (a|b) and {a,b}: what stands between, and by what it is split; 0 when it is one value. */
static uint8_t wrapped(struct view *text, bool commas)
{
	if (text->len >= 2 && text->at[0] == '(' && text->at[text->len - 1] == ')' &&
	    (text->len == 2 || text->at[text->len - 2] != '\\')) {
		*text = view_sub(*text, 1, text->len - 2);
		return '|';
	}
	if (text->len >= 2 && text->at[0] == '{' && text->at[text->len - 1] == '}') {
		*text = view_sub(*text, 1, text->len - 2);
		return ',';
	}
	return commas ? ',' : 0;
}

static int list_add(struct view **list, size_t *count, size_t *cap, struct view text,
		    struct arena *arena)
{
	struct view plain = unescape(view_trim(text), arena);

	if (*count == *cap) {
		size_t more = *cap ? 2 * *cap : 16;
		struct view *bigger =
			more > 2 * LIST_MAX ? NULL : arena_array(arena, more, sizeof(*bigger));

		if (!bigger)
			return E_LIMIT;
		if (*count)
			memcpy(bigger, *list, *count * sizeof(*bigger));
		*list = bigger;
		*cap = more;
	}
	if (!plain.at && text.len)
		return E_NO_MEMORY;
	if (plain.len)
		(*list)[(*count)++] = plain;
	return 0;
}

static int list_split(struct view **list, size_t *count, size_t *cap, struct view text, bool commas,
		      struct arena *arena)
{
	uint8_t by = wrapped(&text, commas);
	size_t from = 0;
	int rc;

	for (size_t i = 0; by && i < text.len; i++) {
		if (text.at[i] == '\\')
			i++;
		else if (text.at[i] == by) {
			rc = list_add(list, count, cap, view_sub(text, from, i - from), arena);
			if (rc < 0)
				return rc;
			from = i + 1;
		}
	}
	return list_add(list, count, cap, view_sub(text, from, text.len), arena);
}

static int list_failed(int rc, struct err *err)
{
	return rc == E_LIMIT ? err_set(err, rc, "a list of more than %d values", LIST_MAX)
			     : err_set(err, rc, "out of memory");
}

int grafana_list_text(struct view text, bool commas, struct arena *arena, struct view **ret_list,
		      size_t *ret_count, struct err *err)
{
	struct view *list = NULL;
	size_t count = 0, cap = 0;
	int rc = list_split(&list, &count, &cap, text, commas, arena);

	if (rc < 0)
		return list_failed(rc, err);
	*ret_list = list;
	*ret_count = count;
	return 0;
}

struct view grafana_text(const struct json_val *val, struct arena *arena)
{
	const char *text;

	switch (json_kind(val)) {
	case JSON_STRING: return json_get_str(val, VIEW_LIT(""));
	case JSON_INT: text = arena_printf(arena, "%lld", (long long)json_get_i64(val, 0)); break;
	case JSON_REAL: text = arena_printf(arena, "%.17g", json_get_f64(val, 0)); break;
	case JSON_OBJECT: /* a choice of a select: {"label": ..., "value": ...} */
		return grafana_text(json_get(val, "value"), arena);
	default: return VIEW_LIT("");
	}
	return view_str(text);
}

int grafana_list(const struct json_val *val, bool commas, struct arena *arena,
		 struct view **ret_list, size_t *ret_count, struct err *err)
{
	struct view *list = NULL;
	size_t count = 0, cap = 0;
	int rc = 0;

	if (json_kind(val) != JSON_ARRAY)
		return grafana_list_text(grafana_text(val, arena), commas, arena, ret_list,
					 ret_count, err);
	for (size_t i = 0; i < json_count(val) && rc >= 0; i++)
		rc = list_split(&list, &count, &cap, grafana_text(json_at(val, i), arena), commas,
				arena);
	if (rc < 0)
		return list_failed(rc, err);
	*ret_list = list;
	*ret_count = count;
	return 0;
}

/* ---- conditions ---- */

void grafana_filters_init(struct grafana_filters *filters, struct arena *arena)
{
	wr_init(&filters->text, 64 << 10);
	filters->arena = arena;
}

void grafana_filters_release(struct grafana_filters *filters)
{
	wr_release(&filters->text);
}

static void put_and(struct wr *wr)
{
	if (wr->len)
		wr_str(wr, " && ");
}

static void put_quoted(struct wr *wr, struct view text)
{
	wr_u8(wr, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\')
			wr_u8(wr, '\\');
		wr_u8(wr, text.at[i]);
	}
	wr_u8(wr, '"');
}

static int full(const struct wr *wr, struct err *err)
{
	return wr->bad ? err_set(err, E_LIMIT, "the filters are longer than 64 KiB together") : 0;
}

static void put_in(struct wr *wr, struct view column, const struct view *list, size_t count)
{
	wr_bytes(wr, column);
	wr_str(wr, " in {");
	for (size_t i = 0; i < count; i++) {
		if (i)
			wr_str(wr, ", ");
		put_quoted(wr, list[i]);
	}
	wr_u8(wr, '}');
}

int grafana_filters_in(struct grafana_filters *filters, const char *column, const struct view *list,
		       size_t count)
{
	if (count == 0)
		return 0;
	put_and(&filters->text);
	put_in(&filters->text, view_str(column), list, count);
	return filters->text.bad ? E_LIMIT : 0;
}

/* End of the text that begins with a quote, or of everything. */
static size_t quoted_end(struct view text, size_t at)
{
	uint8_t quote = text.at[at++];

	while (at < text.len && text.at[at] != quote)
		at += text.at[at] == '\\' ? 2 : 1;
	return at < text.len ? at : text.len;
}

/* Does the text before at end with an operator of regular expressions? There, an escape is meant. */
static bool after_regex(struct view text, size_t at)
{
	while (at && (text.at[at - 1] == ' ' || text.at[at - 1] == '('))
		at--;
	if (at && text.at[at - 1] == '~')
		return true;
	return at >= 7 && view_ieq(view_sub(text, at - 7, 7), "matches");
}

/* `in (a|b)`: what a variable of several values becomes. False when it is not that. */
static bool put_alternatives(struct wr *wr, struct view text, size_t *at, struct arena *arena)
{
	size_t end = *at, before = *at;
	struct view *list;
	size_t count;

	while (before && text.at[before - 1] == ' ')
		before--;
	if (before < 2 || !view_ieq(view_sub(text, before - 2, 2), "in") || text.at[*at] != '(')
		return false;
	while (end < text.len && text.at[end] != ')' && text.at[end] != '"' && text.at[end] != '\'')
		end += text.at[end] == '\\' ? 2 : 1;
	if (end >= text.len || text.at[end] != ')' || !memchr(text.at + *at, '|', end - *at))
		return false;
	if (grafana_list_text(view_sub(text, *at, end + 1 - *at), false, arena, &list, &count,
			      NULL) < 0)
		return false;
	wr_u8(wr, '{');
	for (size_t i = 0; i < count; i++) {
		if (i)
			wr_str(wr, ", ");
		put_quoted(wr, list[i]);
	}
	wr_u8(wr, '}');
	*at = end;
	return true;
}

/*
 * Variables in it were replaced as regular expressions: the backslashes go,
 * except where a regular expression is what the user wrote.
 */
int grafana_filters_typed(struct grafana_filters *filters, struct view text, struct err *err)
{
	struct wr *wr = &filters->text;
	uint8_t quote = 0; /* that of the text we are in */

	text = view_trim(text);
	if (text.len == 0)
		return 0;
	put_and(wr);
	wr_u8(wr, '(');
	for (size_t at = 0; at < text.len; at++) {
		uint8_t c = text.at[at];

		if (c == quote) {
			wr_u8(wr, c);
			quote = 0;
		} else if (!quote && (c == '"' || c == '\'') && !after_regex(text, at)) {
			wr_u8(wr, c);
			quote = c;
		} else if (!quote && (c == '"' || c == '\'')) {
			size_t end = quoted_end(text, at);

			wr_bytes(wr, view_sub(text, at, end + 1 - at));
			at = end;
		} else if (c == '\\' && at + 1 < text.len && text.at[at + 1] != '\\' &&
			   is_escaped(text.at[at + 1])) {
			wr_u8(wr, text.at[++at]);
		} else if (c == '\\' && at + 1 < text.len) {
			wr_u8(wr, c);
			wr_u8(wr, text.at[++at]);
		} else if (quote || !put_alternatives(wr, text, &at, filters->arena)) {
			wr_u8(wr, c);
		}
	}
	wr_u8(wr, ')');
	return full(wr, err);
}

/* ---- ad hoc filters ---- */

static bool is_key(struct view key)
{
	for (size_t i = 0; i < key.len; i++) {
		uint8_t c = key.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      c == '_' || c == '.'))
			return false;
	}
	return key.len > 0;
}

/* A regular expression that only lists plain texts: numbers can be compared with it, too. */
static bool is_plain(struct view regex)
{
	struct view inside = regex;
	bool alternatives = wrapped(&inside, false) == '|';

	for (size_t i = 0; i < inside.len; i++) {
		uint8_t c = inside.at[i];

		if (c == '\\') {
			if (++i == inside.len || !is_escaped(inside.at[i]))
				return false;
		} else if (c == '|') {
			if (!alternatives)
				return false;
		} else if (strchr("^$.*+?()[]{}", c)) {
			return false;
		}
	}
	return inside.len > 0;
}

static int put_regex(struct grafana_filters *filters, struct view key, struct view value,
		     struct err *err)
{
	struct wr *wr = &filters->text;
	const char *whole;
	struct view *list;
	size_t count;
	int rc;

	if (is_plain(value)) {
		rc = grafana_list_text(value, false, filters->arena, &list, &count, err);
		if (rc >= 0)
			put_in(wr, key, list, count);
		return rc;
	}
	/* Grafana's users know Prometheus, where the whole value has to match. */
	whole = arena_printf(filters->arena, "^(?:%.*s)$", (int)value.len, (const char *)value.at);
	if (!whole)
		return err_set(err, E_NO_MEMORY, "out of memory");
	wr_bytes(wr, key);
	wr_str(wr, " matches ");
	put_quoted(wr, view_str(whole));
	return 0;
}

static int put_one(struct grafana_filters *filters, struct view key, struct view op,
		   struct view value, const struct json_val *values, struct err *err)
{
	struct wr *wr = &filters->text;
	bool negated = op.len > 1 && op.at[0] == '!' && !view_is(op, "!=");
	struct view *list;
	size_t count;
	int rc = 0;

	put_and(wr);
	if (negated)
		wr_str(wr, "!(");
	if (view_is(op, "=~") || view_is(op, "!~")) {
		rc = put_regex(filters, key, value, err);
	} else if (view_is(op, "=|") || view_is(op, "!=|")) {
		rc = json_kind(values) == JSON_ARRAY
			     ? grafana_list(values, false, filters->arena, &list, &count, err)
			     : grafana_list_text(value, false, filters->arena, &list, &count, err);
		if (rc >= 0 && count == 0)
			rc = err_set(err, E_SYNTAX, "filter on %.*s: %.*s without a value",
				     TEXT(key), TEXT(op));
		if (rc >= 0)
			put_in(wr, key, list, count);
	} else if (view_is(op, "=") || view_is(op, "==") || view_is(op, "!=") || view_is(op, "<") ||
		   view_is(op, "<=") || view_is(op, ">") || view_is(op, ">=")) {
		wr_bytes(wr, key);
		wr_u8(wr, ' ');
		wr_bytes(wr, view_is(op, "=") ? VIEW_LIT("==") : op);
		wr_u8(wr, ' ');
		put_quoted(wr, value);
	} else {
		rc = err_set(
			err, E_SYNTAX,
			"filter on %.*s: the operator \"%.*s\" is none of = != =~ !~ < <= > >= =| !=|",
			TEXT(key), TEXT(op));
	}
	if (negated)
		wr_u8(wr, ')');
	return rc;
}

int grafana_filters_adhoc(struct grafana_filters *filters, const struct json_val *list,
			  struct err *err)
{
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json_val *one = json_at(list, i);
		struct view key = json_get_str(json_get(one, "key"), VIEW_LIT(""));
		struct view op = json_get_str(json_get(one, "operator"), VIEW_LIT("="));
		int rc;

		/* One that is being typed has no key yet. */
		if (key.len == 0)
			continue;
		if (!is_key(key))
			return err_set(err, E_SYNTAX, "filter: \"%.*s\" is no name of a column",
				       TEXT(key));
		rc = put_one(filters, key, op, grafana_text(json_get(one, "value"), filters->arena),
			     json_get(one, "values"), err);
		if (rc < 0)
			return rc;
	}
	return full(&filters->text, err);
}
