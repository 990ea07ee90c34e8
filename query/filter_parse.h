/*
 * The parser's state, shared by the expression (filter_parse.c) and the
 * conditions in it (filter_leaf.c). Nobody else includes this.
 */
#ifndef QUERY_FILTER_PARSE_H
#define QUERY_FILTER_PARSE_H

#include "query/filter_node.h"

#define TEXT(v) (int)((v).len > 60 ? 60 : (v).len), (const char *)(v).at

struct parser {
	struct filter *filter;
	struct arena *arena;
	const struct token *now;
	uint64_t now_ns;
	unsigned depth, nodes;
	struct err *err;
};

int filter_no_memory(struct parser *parser);
bool filter_at_word(const struct parser *parser, const char *word);
/* E_LIMIT beyond FILTER_NODES_MAX, E_NO_MEMORY. */
int filter_node_new(struct parser *parser, enum filter_kind kind, struct filter_node **ret_node);
int filter_node_add(struct parser *parser, struct filter_node *node, struct filter_node *kid);
int filter_node_not(struct parser *parser, struct filter_node *kid, struct filter_node **ret_node);
/* Everything that begins with a word: flag, function, condition on a field. */
int filter_word(struct parser *parser, struct filter_node **ret_node);

#endif
