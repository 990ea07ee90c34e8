/*
 * or    := and (("||" | "or") and)*
 * and   := not (("&&" | "and") not)*
 * not   := ("!" | "not") not | prim
 * prim  := "(" or ")" | "has(" field ")" | "true" | "false" | flag | field
 *        | field op value | field ["not"] "in" set | field ["not"] word value
 *        | field "." fn "(" value ")"
 */
#include <stdlib.h>

#include "base/mem.h"
#include "query/filter_parse.h"

static int parse_or(struct parser *parser, struct filter_node **ret_node);

int filter_no_memory(struct parser *parser)
{
	return filter_fail(parser->err, parser->now->at, E_NO_MEMORY, "out of memory");
}

bool filter_at_word(const struct parser *parser, const char *word)
{
	return parser->now->kind == TOKEN_WORD && view_ieq(parser->now->text, word);
}

/* ---- nodes ---- */

int filter_node_new(struct parser *parser, enum filter_kind kind, struct filter_node **ret_node)
{
	struct filter_node *node;

	if (++parser->nodes > FILTER_NODES_MAX)
		return filter_fail(parser->err, parser->now->at, E_LIMIT, "more than %d conditions",
				   FILTER_NODES_MAX);
	node = arena_zalloc(parser->arena, sizeof(*node));
	if (!node)
		return filter_no_memory(parser);
	node->kind = kind;
	*ret_node = node;
	return 0;
}

int filter_node_add(struct parser *parser, struct filter_node *node, struct filter_node *kid)
{
	/* Room doubles at powers of two. */
	if ((node->kids_count & (node->kids_count - 1)) == 0) {
		size_t cap = node->kids_count ? 2 * node->kids_count : 1;
		struct filter_node **kids =
			arena_array(parser->arena, cap, sizeof(struct filter_node *));

		if (!kids)
			return filter_no_memory(parser);
		if (node->kids_count)
			memcpy(kids, node->kids, node->kids_count * sizeof(*kids));
		node->kids = kids;
	}
	node->kids[node->kids_count++] = kid;
	return 0;
}

int filter_node_not(struct parser *parser, struct filter_node *kid, struct filter_node **ret_node)
{
	struct filter_node *node = NULL;
	int rc = filter_node_new(parser, FILTER_NOT, &node);

	if (rc < 0)
		return rc;
	rc = filter_node_add(parser, node, kid);
	if (rc == 0)
		*ret_node = node;
	return rc;
}

/* ---- the expression ---- */

static int parse_prim(struct parser *parser, struct filter_node **ret_node)
{
	const struct token *token = parser->now;
	int rc;

	switch (token->kind) {
	case TOKEN_OPEN:
		parser->now++;
		rc = parse_or(parser, ret_node);
		if (rc < 0)
			return rc;
		if (parser->now->kind != TOKEN_CLOSE)
			return filter_fail(parser->err, token->at, E_SYNTAX,
					   "the ( that stands here is not closed");
		parser->now++;
		return 0;
	case TOKEN_WORD: return filter_word(parser, ret_node);
	case TOKEN_STRING:
		return filter_fail(parser->err, token->at, E_SYNTAX,
				   "a condition begins with the name of a field, not with a "
				   "text: write field == \"%.*s\"",
				   TEXT(token->text));
	case TOKEN_END:
		return filter_fail(parser->err, token->at, E_SYNTAX,
				   "a condition is missing at the end");
	default: return filter_fail(parser->err, token->at, E_SYNTAX, "a condition is wanted here");
	}
}

static int parse_not(struct parser *parser, struct filter_node **ret_node)
{
	bool negate = parser->now->kind == TOKEN_NOT || filter_at_word(parser, "not");
	int rc;

	if (++parser->depth > FILTER_DEPTH_MAX)
		return filter_fail(parser->err, parser->now->at, E_LIMIT,
				   "more than %d parentheses or negations within "
				   "each other",
				   FILTER_DEPTH_MAX);
	if (negate) {
		parser->now++;
		rc = parse_not(parser, ret_node);
		if (rc == 0)
			rc = filter_node_not(parser, *ret_node, ret_node);
	} else {
		rc = parse_prim(parser, ret_node);
	}
	parser->depth--;
	return rc;
}

static int parse_list(struct parser *parser, enum filter_kind kind, enum token_kind sign,
		      const char *word,
		      int (*part)(struct parser *parser, struct filter_node **ret_node),
		      struct filter_node **ret_node)
{
	struct filter_node *first, *list = NULL;
	int rc = part(parser, &first);

	while (rc == 0 && (parser->now->kind == sign || filter_at_word(parser, word))) {
		struct filter_node *next;

		parser->now++;
		if (!list) {
			rc = filter_node_new(parser, kind, &list);
			if (rc == 0)
				rc = filter_node_add(parser, list, first);
		}
		if (rc == 0)
			rc = part(parser, &next);
		if (rc == 0)
			rc = filter_node_add(parser, list, next);
	}
	if (rc == 0)
		*ret_node = list ? list : first;
	return rc;
}

static int parse_and(struct parser *parser, struct filter_node **ret_node)
{
	return parse_list(parser, FILTER_AND, TOKEN_AND, "and", parse_not, ret_node);
}

static int parse_or(struct parser *parser, struct filter_node **ret_node)
{
	return parse_list(parser, FILTER_OR, TOKEN_OR, "or", parse_and, ret_node);
}

/* ---- order of evaluation ---- */

static int cost_cmp(const void *a, const void *b)
{
	const struct filter_node *const *x = a, *const *y = b;

	return ((*x)->cost > (*y)->cost) - ((*x)->cost < (*y)->cost);
}

static void node_cost(struct filter_node *node)
{
	static const unsigned costs[] = { [FILTER_HAS] = 1,
					  [FILTER_INTS] = 1,
					  [FILTER_IPS] = 3,
					  [FILTER_TEXT] = 4,
					  [FILTER_COLS] = 6 };

	node->cost = node->kids_count ? 0 : costs[node->kind] * (unsigned)node->cols_count;
	if (node->kind == FILTER_TEXT && node->op != OP_EQ)
		node->cost += node->regex ? 40 : 8;
	for (size_t i = 0; i < node->kids_count; i++) {
		node_cost(node->kids[i]);
		node->cost += node->kids[i]->cost;
	}
	if (node->kids_count > 1)
		qsort(node->kids, node->kids_count, sizeof(struct filter_node *), cost_cmp);
}

void filter_free(struct filter *filter)
{
	if (!filter)
		return;
	for (struct filter_node *node = filter->regexes; node; node = node->next_regex)
		regex_free(node->regex);
	arena_release(&filter->arena);
	mem_free(filter);
}

static int parse_all(struct parser *parser, struct view text)
{
	struct token *tokens;
	size_t count;
	int rc = filter_lex(text, parser->arena, &tokens, &count, parser->err);

	if (rc < 0)
		return rc;
	parser->now = tokens;
	if (tokens[0].kind == TOKEN_END)
		return filter_node_new(parser, FILTER_ALL, &parser->filter->root);
	rc = parse_or(parser, &parser->filter->root);
	if (rc < 0)
		return rc;
	if (parser->now->kind == TOKEN_CLOSE)
		return filter_fail(parser->err, parser->now->at, E_SYNTAX, "this ) closes nothing");
	if (parser->now->kind != TOKEN_END)
		return filter_fail(parser->err, parser->now->at, E_SYNTAX,
				   "an operator (&&, ||, ==, in ...) is wanted here");
	node_cost(parser->filter->root);
	return 0;
}

int filter_new(const struct table *table, struct view text, uint64_t now_ns,
	       struct filter **ret_filter, struct err *err)
{
	struct filter *filter = mem_zalloc(sizeof(*filter));
	struct parser parser = { .filter = filter, .now_ns = now_ns, .err = err };
	int rc;

	if (!filter)
		return err_set(err, E_NO_MEMORY, "filter: out of memory");
	filter->table = table;
	/* Tokens, sets and nodes: a text of the greatest length stays far below. */
	arena_init(&filter->arena, 64u << 20);
	parser.arena = &filter->arena;
	rc = parse_all(&parser, text);
	if (rc < 0) {
		filter_free(filter);
		return rc;
	}
	*ret_filter = filter;
	return 0;
}
