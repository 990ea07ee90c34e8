/*
 * A condition: a word, and what stands behind it. Types are checked here, where
 * the position is known; what leaves are leaves of few shapes (filter_node.h).
 */
#include <stdio.h>
#include <stdlib.h>

#include "query/filter_parse.h"

static int leaf_new(struct parser *parser, enum filter_kind kind, const struct name_cols *cols,
		    struct filter_node **ret_node)
{
	int rc = filter_node_new(parser, kind, ret_node);

	if (rc < 0)
		return rc;
	memcpy((*ret_node)->cols, cols->cols, sizeof((*ret_node)->cols));
	(*ret_node)->cols_count = cols->count;
	for (size_t i = 0; i < cols->count; i++)
		row_mark(parser->filter->uses, cols->cols[i]->ordinal);
	return 0;
}

/* ---- spans ---- */

/* *ret_some false: no value compares so. */
static struct chunk_span span_of(enum filter_op op, struct literal literal, bool *ret_some)
{
	uint64_t v = literal.value;
	bool in_between = literal.fraction;

	*ret_some = true;
	switch (op) {
	case OP_LT:
		*ret_some = v > 0 || in_between;
		return (struct chunk_span){ 0, in_between ? v : v - 1 };
	case OP_LE: return (struct chunk_span){ 0, v };
	case OP_GT: *ret_some = v < UINT64_MAX; return (struct chunk_span){ v + 1, UINT64_MAX };
	case OP_GE:
		*ret_some = !in_between || v < UINT64_MAX;
		return (struct chunk_span){ in_between ? v + 1 : v, UINT64_MAX };
	default: *ret_some = !in_between; return (struct chunk_span){ v, v };
	}
}

static int span_cmp(const void *a, const void *b)
{
	const struct chunk_span *x = a, *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

static int ip_span_cmp(const void *a, const void *b)
{
	const struct filter_ip_span *x = a, *y = b;

	return memcmp(x->from.b, y->from.b, sizeof(x->from.b));
}

static int text_cmp(const void *a, const void *b)
{
	const struct view *x = a, *y = b;

	return view_cmp(*x, *y);
}

/* Sort and merge, so that evaluation may search. */
static void node_tidy(struct filter_node *node)
{
	size_t n = 0;

	if (node->spans_count > 1)
		qsort(node->spans, node->spans_count, sizeof(*node->spans), span_cmp);
	for (size_t i = 0; i < node->spans_count; i++) {
		struct chunk_span span = node->spans[i];

		if (n && (node->spans[n - 1].to == UINT64_MAX ||
			  span.from <= node->spans[n - 1].to + 1)) {
			if (span.to > node->spans[n - 1].to)
				node->spans[n - 1].to = span.to;
		} else {
			node->spans[n++] = span;
		}
	}
	node->spans_count = n;
	n = 0;
	if (node->ip_spans_count > 1)
		qsort(node->ip_spans, node->ip_spans_count, sizeof(*node->ip_spans), ip_span_cmp);
	for (size_t i = 0; i < node->ip_spans_count; i++) {
		struct filter_ip_span *last = n ? &node->ip_spans[n - 1] : NULL;
		struct filter_ip_span span = node->ip_spans[i];

		if (last && memcmp(span.from.b, last->to.b, sizeof(last->to.b)) <= 0) {
			if (memcmp(span.to.b, last->to.b, sizeof(last->to.b)) > 0)
				last->to = span.to;
		} else {
			node->ip_spans[n++] = span;
		}
	}
	node->ip_spans_count = n;
	if (node->texts_count > 1)
		qsort(node->texts, node->texts_count, sizeof(*node->texts), text_cmp);
}

/* ---- values ---- */

static const struct token *value_token(struct parser *parser)
{
	const struct token *token = parser->now;

	if (token->kind != TOKEN_WORD && token->kind != TOKEN_STRING)
		return NULL;
	parser->now++;
	return token;
}

static int value_missing(struct parser *parser)
{
	if (parser->now->kind == TOKEN_END)
		return filter_fail(parser->err, parser->now->at, E_SYNTAX,
				   "a value is missing at the end");
	return filter_fail(parser->err, parser->now->at, E_SYNTAX, "a value is wanted here");
}

static int add_int(struct parser *parser, struct filter_node *node, enum filter_op op, bool bare,
		   const struct token *token)
{
	ptrdiff_t dots = op == OP_EQ || op == OP_IN ? view_find(token->text, VIEW_LIT("..")) : -1;
	struct chunk_span span;
	struct literal a, b;
	bool some = true;
	int rc;

	if (dots > 0 && token->kind == TOKEN_WORD) {
		rc = filter_literal_int(token, view_sub(token->text, 0, (size_t)dots),
					node->cols[0], bare, parser->now_ns, &a, parser->err);
		if (rc == 0)
			rc = filter_literal_int(
				token, view_sub(token->text, (size_t)dots + 2, token->text.len),
				node->cols[0], bare, parser->now_ns, &b, parser->err);
		if (rc < 0)
			return rc;
		if (a.value > b.value)
			return filter_fail(parser->err, token->at, E_RANGE,
					   "the range ends before it begins");
		span = (struct chunk_span){ a.fraction ? a.value + 1 : a.value, b.value };
		some = span.from <= span.to;
	} else {
		rc = filter_literal_int(token, token->text, node->cols[0], bare, parser->now_ns, &a,
					parser->err);
		if (rc < 0)
			return rc;
		span = span_of(op, a, &some);
	}
	if (some)
		node->spans[node->spans_count++] = span;
	return 0;
}

static int add_text(struct parser *parser, struct filter_node *node, const struct token *token)
{
	if (token->kind == TOKEN_WORD && memchr(token->text.at, '*', token->text.len))
		return filter_fail(parser->err, token->at, E_SYNTAX,
				   "`%.*s`: * matches nothing but itself; use startsWith, "
				   "endsWith, contains or matches, or quote it",
				   TEXT(token->text));
	node->texts[node->texts_count++] = token->text;
	return 0;
}

static enum filter_kind leaf_kind(const struct col *col)
{
	if (col->type == TYPE_IP)
		return FILTER_IPS;
	return types[col->type].phys == PHYS_INT ? FILTER_INTS : FILTER_TEXT;
}

static int leaf_room(struct parser *parser, struct filter_node *node, size_t count)
{
	if (node->kind == FILTER_INTS)
		node->spans = arena_array(parser->arena, count, sizeof(*node->spans));
	else if (node->kind == FILTER_IPS)
		node->ip_spans = arena_array(parser->arena, count, sizeof(*node->ip_spans));
	else
		node->texts = arena_array(parser->arena, count, sizeof(*node->texts));
	return node->spans || node->ip_spans || node->texts ? 0 : filter_no_memory(parser);
}

static int leaf_add(struct parser *parser, struct filter_node *node, enum filter_op op, bool bare,
		    const struct token *token)
{
	if (token->kind == TOKEN_WORD && view_is(token->text, "null"))
		return filter_fail(parser->err, token->at, E_TYPE,
				   "null stands alone behind == and !=");
	if (node->kind == FILTER_INTS)
		return add_int(parser, node, op, bare, token);
	if (node->kind == FILTER_IPS)
		return filter_literal_ips(token, token->text,
					  &node->ip_spans[node->ip_spans_count++], parser->err);
	return add_text(parser, node, token);
}

/* ---- conditions on a field ---- */

struct field {
	struct name_cols cols;
	struct view name;
	size_t at;
};

static int check_op(struct parser *parser, const struct field *field, enum filter_op op, size_t at)
{
	const struct col *col = field->cols.cols[0];
	bool ordered = op == OP_LT || op == OP_LE || op == OP_GT || op == OP_GE;
	bool texty = op == OP_CONTAINS || op == OP_STARTS || op == OP_ENDS || op == OP_MATCHES;
	bool named = types[col->type].syms != SYMS_NONE;

	if (col->type == TYPE_HIST)
		return filter_fail(parser->err, at, E_TYPE,
				   "`%s` is a histogram: it can be asked for with has(), "
				   "and aggregated",
				   col->key);
	if (ordered &&
	    (col->type == TYPE_IP || col->type == TYPE_BOOL || col->type == TYPE_ID || named))
		return filter_fail(
			parser->err, at, E_TYPE, "`%s` has no order: use ==, != or in%s", col->key,
			col->type == TYPE_IP ? ", with networks (10.0.0.0/8) and ranges (a..b)"
					     : "");
	if (texty && col->type == TYPE_IP)
		return filter_fail(parser->err, at, E_TYPE,
				   "`%s` is an address, not a text: use in 10.0.0.0/8", col->key);
	if (texty && !named && types[col->type].phys == PHYS_INT)
		return filter_fail(parser->err, at, E_TYPE, "`%s` is a %s, not a text", col->key,
				   col->type == TYPE_BOOL ? "truth value"
				   : col->type == TYPE_ID ? "identifier"
							  : "number");
	return 0;
}

static int text_regex(struct parser *parser, struct filter_node *node, const struct token *token)
{
	struct err why = { 0 };
	int rc = regex_new(token->text, &node->regex, &why);

	if (rc < 0)
		return filter_fail(parser->err,
				   token->at + (token->kind == TOKEN_STRING) + why.position, rc,
				   "%s", why.text);
	node->next_regex = parser->filter->regexes;
	parser->filter->regexes = node;
	return 0;
}

/* `l7 startsWith "h"`: the values of an enum whose names fit. */
static int names_that_fit(struct parser *parser, const struct filter_node *text,
			  struct filter_node *node)
{
	enum sym_table of = types[node->cols[0]->type].syms;

	for (size_t i = 0; i < syms_count; i++) {
		int rc;

		if (syms[i].table != of)
			continue;
		rc = filter_text_fits(text, view_str(syms[i].name), parser->err);
		if (rc < 0)
			return rc;
		if (rc)
			node->spans[node->spans_count++] =
				(struct chunk_span){ syms[i].number, syms[i].number };
	}
	node_tidy(node);
	return 0;
}

static int parse_texty(struct parser *parser, const struct field *field, enum filter_op op,
		       struct filter_node **ret_node)
{
	const struct token *token = value_token(parser);
	struct filter_node *node;
	int rc;

	if (!token)
		return value_missing(parser);
	rc = leaf_new(parser, FILTER_TEXT, &field->cols, &node);
	if (rc == 0)
		rc = leaf_room(parser, node, 1);
	if (rc < 0)
		return rc;
	node->op = op;
	rc = op == OP_MATCHES ? text_regex(parser, node, token)
			      : leaf_add(parser, node, op, false, token);
	if (rc < 0)
		return rc;
	if (types[field->cols.cols[0]->type].phys == PHYS_INT) {
		struct filter_node *text = node;

		rc = leaf_new(parser, FILTER_INTS, &field->cols, &node);
		if (rc == 0)
			rc = leaf_room(parser, node, syms_count);
		if (rc == 0)
			rc = names_that_fit(parser, text, node);
		if (rc < 0)
			return rc;
	}
	*ret_node = node;
	return 0;
}

static int parse_set(struct parser *parser, const struct field *field,
		     struct filter_node **ret_node)
{
	const struct token *open = parser->now;
	enum token_kind close = open->kind == TOKEN_OPEN ? TOKEN_CLOSE : TOKEN_SET_CLOSE;
	struct filter_node *node;
	size_t count = 0;
	int rc;

	if (open->kind != TOKEN_OPEN && open->kind != TOKEN_SET_OPEN) { /* ip in 10.0.0.0/8 */
		count = 1;
	} else {
		parser->now++;
		while (open[1 + count].kind != TOKEN_END && open[1 + count].kind != close)
			count++;
	}
	if (count > FILTER_SET_MAX)
		return filter_fail(parser->err, open->at, E_LIMIT, "a set of more than %d values",
				   FILTER_SET_MAX);
	rc = leaf_new(parser, leaf_kind(field->cols.cols[0]), &field->cols, &node);
	if (rc == 0)
		rc = leaf_room(parser, node, count + 1);
	if (rc < 0)
		return rc;
	node->op = OP_EQ;
	if (open->kind != TOKEN_OPEN && open->kind != TOKEN_SET_OPEN)
		close = TOKEN_END;
	while (parser->now->kind != close || close == TOKEN_END) {
		const struct token *token = value_token(parser);

		if (!token && parser->now->kind == TOKEN_END && close != TOKEN_END)
			return filter_fail(parser->err, open->at, E_SYNTAX,
					   "the set that begins here is not closed");
		if (!token)
			return value_missing(parser);
		rc = leaf_add(parser, node, OP_IN, field->cols.bare, token);
		if (rc < 0)
			return rc;
		if (close == TOKEN_END)
			break;
		if (parser->now->kind == TOKEN_COMMA)
			parser->now++;
	}
	if (close != TOKEN_END)
		parser->now++;
	node_tidy(node);
	*ret_node = node;
	return 0;
}

/* `src.node != dst.node`: is the word behind the operator a field? Texts need a dot to count as one. */
static const struct col *other_field(const struct parser *parser, const struct field *field,
				     const struct token *token)
{
	const struct col *left = field->cols.cols[0], *right;
	uint32_t sym;

	if (token->kind != TOKEN_WORD || field->cols.count != 1)
		return NULL;
	right = table_col(parser->filter->table, token->text);
	if (!right || types[left->type].phys != types[right->type].phys ||
	    (left->type == TYPE_IP) != (right->type == TYPE_IP) || right->type == TYPE_HIST)
		return NULL;
	if (types[left->type].syms != SYMS_NONE)
		return sym_number(types[left->type].syms, token->text, &sym) < 0 &&
				       left->type == right->type
			       ? right
			       : NULL;
	if (left->type == TYPE_STR && !memchr(token->text.at, '.', token->text.len))
		return NULL;
	return right;
}

static int parse_compare(struct parser *parser, const struct field *field, enum filter_op op,
			 struct filter_node **ret_node)
{
	enum filter_kind kind = leaf_kind(field->cols.cols[0]);
	const struct token *token = value_token(parser);
	const struct col *other;
	struct filter_node *node;
	int rc;

	if (!token)
		return value_missing(parser);
	other = other_field(parser, field, token);
	if (other) {
		struct name_cols both = { { field->cols.cols[0], other }, 2, false };

		rc = leaf_new(parser, FILTER_COLS, &both, &node);
		if (rc < 0)
			return rc;
		node->op = op == OP_NE ? OP_EQ : op;
	} else {
		rc = leaf_new(parser, kind, &field->cols, &node);
		if (rc == 0)
			rc = leaf_room(parser, node, 1);
		if (rc < 0)
			return rc;
		node->op = op == OP_NE ? OP_EQ : op;
		rc = leaf_add(parser, node, node->op, field->cols.bare, token);
		if (rc < 0)
			return rc;
	}
	*ret_node = node;
	return op == OP_NE ? filter_node_not(parser, node, ret_node) : 0;
}

static int parse_has(struct parser *parser, const struct field *field, bool negate,
		     struct filter_node **ret_node)
{
	int rc = leaf_new(parser, FILTER_HAS, &field->cols, ret_node);

	return rc == 0 && negate ? filter_node_not(parser, *ret_node, ret_node) : rc;
}

static bool word_op(struct view word, enum filter_op *ret_op)
{
	static const struct {
		const char *name;
		enum filter_op op;
	} words[] = {
		{ "contains", OP_CONTAINS },
		{ "startswith", OP_STARTS },
		{ "starts_with", OP_STARTS },
		{ "endswith", OP_ENDS },
		{ "ends_with", OP_ENDS },
		{ "matches", OP_MATCHES },
		{ "in", OP_IN },
		{ "eq", OP_EQ },
		{ "ne", OP_NE },
		{ "lt", OP_LT },
		{ "le", OP_LE },
		{ "gt", OP_GT },
		{ "ge", OP_GE },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (view_ieq(word, words[i].name)) {
			*ret_op = words[i].op;
			return true;
		}
	}
	return false;
}

/* What follows a field: nothing (it is not null), or an operator and its value. */
static int parse_condition(struct parser *parser, const struct field *field,
			   struct filter_node **ret_node)
{
	const struct token *at_op = parser->now;
	bool negate = false;
	enum filter_op op;
	int rc;

	if (filter_at_word(parser, "not") && at_op[1].kind == TOKEN_WORD &&
	    word_op(at_op[1].text, &op)) {
		negate = true;
		parser->now++;
	}
	if (parser->now->kind == TOKEN_COMPARE) {
		op = parser->now->op;
		negate = parser->now->negated;
	} else if (parser->now->kind != TOKEN_WORD || !word_op(parser->now->text, &op)) {
		if (field->cols.count == 1 && field->cols.cols[0]->type == TYPE_BOOL) {
			static const struct chunk_span yes = { 1, UINT64_MAX };

			rc = leaf_new(parser, FILTER_INTS, &field->cols, ret_node);
			if (rc == 0)
				rc = leaf_room(parser, *ret_node, 1);
			if (rc == 0)
				(*ret_node)->spans[(*ret_node)->spans_count++] = yes;
			return rc;
		}
		return parse_has(parser, field, false, ret_node);
	}
	parser->now++;
	if ((op == OP_EQ || op == OP_NE) && filter_at_word(parser, "null")) {
		parser->now++;
		return parse_has(parser, field, op == OP_EQ, ret_node);
	}
	rc = check_op(parser, field, op, at_op->at);
	if (rc < 0)
		return rc;
	if (op == OP_IN)
		rc = parse_set(parser, field, ret_node);
	else if (op == OP_CONTAINS || op == OP_STARTS || op == OP_ENDS || op == OP_MATCHES)
		rc = parse_texty(parser, field, op, ret_node);
	else
		rc = parse_compare(parser, field, op, ret_node);
	return rc == 0 && negate ? filter_node_not(parser, *ret_node, ret_node) : rc;
}

static int resolve(struct parser *parser, struct view name, size_t at, bool flags,
		   struct field *ret_field)
{
	const struct table *table = parser->filter->table;
	char near[160];
	uint64_t value;

	ret_field->name = name;
	ret_field->at = at;
	if (name_resolve(table, name, &ret_field->cols))
		return 0;
	if (view_u64(view_sub(name, 0, 1), 9, &value) == 0)
		return filter_fail(parser->err, at, E_SYNTAX,
				   "a condition begins with the name of a field, not with the "
				   "value `%.*s`",
				   TEXT(name));
	name_nearest(table, name, flags, near, sizeof(near));
	return filter_fail(parser->err, at, E_UNKNOWN_NAME, "the table %s has no field `%.*s`%s%s",
			   table->name, TEXT(name), *near ? "; nearest: " : "", near);
}

/* path.startsWith("/api"): name and function are one word. */
static int parse_method(struct parser *parser, const struct token *word,
			struct filter_node **ret_node)
{
	const uint8_t *dot = memrchr(word->text.at, '.', word->text.len);
	size_t name_len = dot ? (size_t)(dot - word->text.at) : 0;
	struct view fn = dot ? view_sub(word->text, name_len + 1, word->text.len) : word->text;
	struct field field;
	enum filter_op op;
	int rc;

	parser->now++; /* ( */
	if (!dot && (view_ieq(fn, "has") || view_ieq(fn, "exists"))) {
		const struct token *token = value_token(parser);

		if (!token || token->kind != TOKEN_WORD)
			return filter_fail(parser->err, parser->now->at, E_SYNTAX,
					   "the name of a field is wanted here");
		rc = resolve(parser, token->text, token->at, false, &field);
		if (rc == 0)
			rc = parse_has(parser, &field, false, ret_node);
	} else if (dot && word_op(fn, &op) && op >= OP_CONTAINS && op <= OP_MATCHES) {
		rc = resolve(parser, view_sub(word->text, 0, name_len), word->at, false, &field);
		if (rc == 0)
			rc = check_op(parser, &field, op, word->at + name_len + 1);
		if (rc == 0)
			rc = parse_texty(parser, &field, op, ret_node);
	} else {
		return filter_fail(
			parser->err, word->at + (dot ? name_len + 1 : 0), E_UNKNOWN_NAME,
			"there is no function `%.*s`: "
			"there are field.contains, .startsWith, .endsWith, .matches(text), and has(field)",
			TEXT(fn));
	}
	if (rc < 0)
		return rc;
	if (parser->now->kind != TOKEN_CLOSE)
		return filter_fail(parser->err, parser->now->at, E_SYNTAX, "a ) is missing here");
	parser->now++;
	return 0;
}

/* ipv4, ipv6: the family of the addresses. */
static int parse_family(struct parser *parser, bool v4, struct filter_node **ret_node)
{
	struct filter_ip_span mapped = {
		{ { [10] = 0xff, [11] = 0xff } },
		{ { [10] = 0xff, [11] = 0xff, 0xff, 0xff, 0xff, 0xff } },
	};
	struct filter_node *node, *has;
	struct name_cols cols;
	int rc;

	if (!name_resolve(parser->filter->table, VIEW_LIT("src.ip"), &cols))
		return filter_fail(parser->err, parser->now[-1].at, E_UNKNOWN_NAME,
				   "the table %s has no addresses", parser->filter->table->name);
	rc = leaf_new(parser, FILTER_IPS, &cols, &node);
	if (rc == 0)
		rc = leaf_room(parser, node, 1);
	if (rc < 0)
		return rc;
	node->ip_spans[node->ip_spans_count++] = mapped;
	*ret_node = node;
	if (v4)
		return 0;
	rc = filter_node_not(parser, node, &node);
	if (rc == 0)
		rc = leaf_new(parser, FILTER_HAS, &cols, &has);
	if (rc == 0)
		rc = filter_node_new(parser, FILTER_AND, ret_node);
	if (rc == 0)
		rc = filter_node_add(parser, *ret_node, has);
	return rc == 0 ? filter_node_add(parser, *ret_node, node) : rc;
}

/* Something an operator could follow: then the word before it is meant as a field. */
static bool operator_next(const struct parser *parser)
{
	enum filter_op op;

	return parser->now->kind == TOKEN_COMPARE ||
	       (parser->now->kind == TOKEN_WORD && word_op(parser->now->text, &op));
}

int filter_word(struct parser *parser, struct filter_node **ret_node)
{
	const struct token *word = parser->now++;
	struct name_flag flag;
	struct field field;
	int rc;

	if (parser->now->kind == TOKEN_OPEN && parser->now->touches)
		return parse_method(parser, word, ret_node);
	if (!operator_next(parser) &&
	    !name_resolve(parser->filter->table, word->text, &field.cols)) {
		if (view_ieq(word->text, "true"))
			return filter_node_new(parser, FILTER_ALL, ret_node);
		if (view_ieq(word->text, "false")) {
			rc = filter_node_new(parser, FILTER_ALL, ret_node);
			return rc == 0 ? filter_node_not(parser, *ret_node, ret_node) : rc;
		}
		if (view_ieq(word->text, "ipv4") || view_ieq(word->text, "ipv6"))
			return parse_family(parser, view_ieq(word->text, "ipv4"), ret_node);
		if (name_flag(parser->filter->table, word->text, &flag)) {
			struct name_cols cols = { { flag.col, NULL }, 1, false };

			rc = leaf_new(parser, FILTER_INTS, &cols, ret_node);
			if (rc == 0)
				rc = leaf_room(parser, *ret_node, 1);
			if (rc == 0)
				(*ret_node)->spans[(*ret_node)->spans_count++] =
					(struct chunk_span){ flag.value, flag.value };
			return rc;
		}
	}
	rc = resolve(parser, word->text, word->at, true, &field);
	return rc == 0 ? parse_condition(parser, &field, ret_node) : rc;
}
