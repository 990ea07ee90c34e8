#include "query/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/lock.h"
#include "base/mem.h"

#define MATCH_STEPS_MAX	   200000
#define MATCH_DEPTH_MAX	   2000
#define MATCH_HEAP_KIB_MAX 4096
#define PARENS_MAX	   64

struct regex {
	pcre2_general_context *general;
	pcre2_compile_context *compiling;
	pcre2_match_context *matching;
	pcre2_code *code;
	struct lock lock;
	struct match *idle;	/* guarded by lock: as many as there ever were matches at a time */
};

struct match {
	struct match *next;
	pcre2_match_data *data;
};

static void *regex_alloc(size_t bytes, void *arg)
{
	(void)arg;
	return mem_alloc(bytes);
}

static void regex_dealloc(void *at, void *arg)
{
	(void)arg;
	mem_free(at);
}

static void match_free(struct match *match)
{
	pcre2_match_data_free(match->data);
	mem_free(match);
}

/* NULL: out of memory. */
static struct match *match_take(struct regex *regex)
{
	struct match *match;

	lock_take(&regex->lock);
	match = regex->idle;
	if (match)
		regex->idle = match->next;
	lock_drop(&regex->lock);
	if (match)
		return match;
	match = mem_zalloc(sizeof(*match));
	if (match)
		match->data = pcre2_match_data_create(1, regex->general);
	if (match && !match->data) {
		mem_free(match);
		match = NULL;
	}
	return match;
}

static void match_give(struct regex *regex, struct match *match)
{
	lock_take(&regex->lock);
	match->next = regex->idle;
	regex->idle = match;
	lock_drop(&regex->lock);
}

void regex_free(struct regex *regex)
{
	if (!regex)
		return;
	while (regex->idle) {
		struct match *match = regex->idle;

		regex->idle = match->next;
		match_free(match);
	}
	lock_release(&regex->lock);
	pcre2_code_free(regex->code);
	pcre2_match_context_free(regex->matching);
	pcre2_compile_context_free(regex->compiling);
	pcre2_general_context_free(regex->general);
	mem_free(regex);
}

static int contexts_make(struct regex *regex)
{
	regex->general = pcre2_general_context_create(regex_alloc, regex_dealloc, NULL);
	if (!regex->general)
		return E_NO_MEMORY;
	regex->compiling = pcre2_compile_context_create(regex->general);
	regex->matching = pcre2_match_context_create(regex->general);
	if (!regex->compiling || !regex->matching)
		return E_NO_MEMORY;
	(void)pcre2_set_parens_nest_limit(regex->compiling, PARENS_MAX);
	(void)pcre2_set_match_limit(regex->matching, MATCH_STEPS_MAX);
	(void)pcre2_set_depth_limit(regex->matching, MATCH_DEPTH_MAX);
	(void)pcre2_set_heap_limit(regex->matching, MATCH_HEAP_KIB_MAX);
	return 0;
}

static int compile(struct regex *regex, struct view pattern, struct err *err)
{
	/* ONE code point of a bad sequence must not poison the rest: MATCH_INVALID_UTF. */
	uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
	PCRE2_UCHAR words[160];
	PCRE2_SIZE position = 0;
	int code = 0, rc;

	regex->code = pcre2_compile((PCRE2_SPTR)(pattern.at ? (const void *)pattern.at : ""),
				    pattern.len, options, &code, &position, regex->compiling);
	if (regex->code)
		return 0;
	if (code == PCRE2_ERROR_HEAP_FAILED)
		return err_set(err, E_NO_MEMORY, "regular expression: out of memory");
	if (pcre2_get_error_message(code, words, sizeof(words)) < 0)
		words[0] = '\0';
	rc = err_set(err, E_SYNTAX, "regular expression: %s", (const char *)words);
	if (err)
		err->position = position < pattern.len ? position : pattern.len;
	return rc;
}

int regex_new(struct view pattern, struct regex **ret_regex, struct err *err)
{
	struct regex *regex;
	int rc;

	if (pattern.len > REGEX_BYTES_MAX)
		return err_set(err, E_LIMIT, "regular expression of %zu bytes, the limit is %d",
			       pattern.len, REGEX_BYTES_MAX);
	regex = mem_zalloc(sizeof(*regex));
	if (!regex)
		return err_set(err, E_NO_MEMORY, "regular expression: out of memory");
	lock_init(&regex->lock);
	rc = contexts_make(regex);
	if (rc < 0) {
		(void)err_set(err, rc, "regular expression: out of memory");
		goto out;
	}
	rc = compile(regex, pattern, err);
	if (rc < 0)
		goto out;
	/* Without JIT (refused by a hardened kernel, or by a pattern it cannot do) the interpreter works. */
	(void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
	*ret_regex = regex;
	regex = NULL;
out:
	regex_free(regex);
	return rc;
}

int regex_match(struct regex *regex, struct view text, struct err *err)
{
	struct match *match = match_take(regex);
	int rc = PCRE2_ERROR_NOMEMORY;

	if (match) {
		rc = pcre2_match(regex->code, (PCRE2_SPTR)(text.at ? (const void *)text.at : ""),
				 text.len, 0, 0, match->data, regex->matching);
		match_give(regex, match);
	}
	if (rc >= 0) /* 0: matched, with more groups than we keep */
		return 1;
	switch (rc) {
	case PCRE2_ERROR_NOMATCH:
	case PCRE2_ERROR_PARTIAL: return 0;
	case PCRE2_ERROR_NOMEMORY:
		return err_set(err, E_NO_MEMORY, "regular expression: out of memory");
	case PCRE2_ERROR_MATCHLIMIT:
	case PCRE2_ERROR_DEPTHLIMIT:
	case PCRE2_ERROR_HEAPLIMIT:
	case PCRE2_ERROR_JIT_STACKLIMIT:
		return err_set(err, E_BUDGET,
			       "regular expression needs more than %d steps on a text of %zu "
			       "bytes: make it simpler",
			       MATCH_STEPS_MAX, text.len);
	default:
		return err_set(err, E_INTERNAL,
			       "regular expression: PCRE2 says %d on a text of %zu bytes", rc,
			       text.len);
	}
}
