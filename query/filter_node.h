/*
 * A parsed filter, as filter_parse.c makes it and filter_eval.c, filter_prune.c
 * walk it. Nobody else includes this.
 *
 * Every comparison of an INT column becomes spans of values, every one of an
 * address spans of addresses: evaluation knows few shapes.
 */
#ifndef QUERY_FILTER_NODE_H
#define QUERY_FILTER_NODE_H

#include "query/filter.h"
#include "query/names.h"
#include "query/regex.h"
#include "store/chunk_match.h"

enum filter_kind {
	FILTER_ALL,		/* true; NOT of it is false */
	FILTER_AND, FILTER_OR, FILTER_NOT,
	FILTER_HAS,		/* any column is not null */
	FILTER_INTS,		/* any column lies in one of the spans */
	FILTER_IPS,		/* any column lies in one of the address spans */
	FILTER_TEXT,		/* any column compares so with one of the texts */
	FILTER_COLS,		/* cols[0] op cols[1], both not null */
};

enum filter_op { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_CONTAINS, OP_STARTS, OP_ENDS, OP_MATCHES, OP_IN };

struct filter_ip_span {	/* closed */
	struct ip from, to;
};

struct filter_node {
	enum filter_kind kind;
	enum filter_op op;		/* FILTER_TEXT, FILTER_COLS */
	unsigned cost;			/* of evaluation, roughly: cheap ones go first */
	struct filter_node **kids;	/* AND, OR, NOT */
	size_t kids_count;
	const struct col *cols[NAME_SIDES_MAX];
	size_t cols_count;
	struct chunk_span *spans;	/* ascending, disjoint */
	size_t spans_count;
	struct filter_ip_span *ip_spans;
	size_t ip_spans_count;
	struct view *texts;		/* OP_EQ: ascending */
	size_t texts_count;
	struct regex *regex;
	struct filter_node *next_regex;	/* list of those to free */
};

struct filter {
	struct arena arena;
	const struct table *table;
	struct filter_node *root;
	struct filter_node *regexes;
	uint64_t uses[SCHEMA_HAS_WORDS];
};

/* Tests of one value, shared by evaluation and by the walk over an index's values. */
bool filter_spans_have(const struct filter_node *node, uint64_t value);
bool filter_ip_spans_have(const struct filter_node *node, struct view ip);
/* 1, 0, <0 */
int filter_text_fits(const struct filter_node *node, struct view text, struct err *err);

/* ---- tokens ---- */

enum token_kind {
	TOKEN_END, TOKEN_WORD, TOKEN_STRING, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_SET_OPEN, TOKEN_SET_CLOSE,
	TOKEN_COMMA, TOKEN_COMPARE, TOKEN_AND, TOKEN_OR, TOKEN_NOT,
};

struct token {
	enum token_kind kind;
	enum filter_op op;	/* TOKEN_COMPARE */
	bool negated;		/* TOKEN_COMPARE: !~ */
	bool touches;		/* no blank between it and the token before */
	size_t at, len;		/* in the text */
	struct view text;	/* WORD: as written. STRING: without quotes and escapes */
};

/* Splits the whole text; the array ends with TOKEN_END. Texts of strings from arena. E_SYNTAX, E_LIMIT, E_NO_MEMORY. */
int filter_lex(struct view text, struct arena *arena, struct token **ret_tokens, size_t *ret_count,
	       struct err *err);
/* err_set with a position, "at byte N: ..." */
int filter_fail(struct err *err, size_t at, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- literals ---- */

/* A value compared with an INT column; the number lies between value and value + 1 when fraction. */
struct literal {
	uint64_t value;
	bool fraction;
};
/* What a word or string means beside a column. bare: see names.h. */
int filter_literal_int(const struct token *token, struct view text, const struct col *col, bool bare,
		       uint64_t now_ns, struct literal *ret_literal, struct err *err);
int filter_literal_ips(const struct token *token, struct view text, struct filter_ip_span *ret_span,
		       struct err *err);

#endif
