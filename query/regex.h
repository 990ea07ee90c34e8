/*
 * Regular expressions, with limits on the work of one match: the one door to
 * PCRE2. Perl syntax; a pattern finds its match anywhere unless anchored. Bytes
 * that are not UTF-8 match nothing, and do no harm.
 */
#ifndef QUERY_REGEX_H
#define QUERY_REGEX_H

#include "base/err.h"
#include "base/view.h"

#define REGEX_BYTES_MAX 2048

struct regex;	/* any thread may match */

/* E_SYNTAX with err->position within pattern; E_LIMIT, E_NO_MEMORY. */
int regex_new(struct view pattern, struct regex **ret_regex, struct err *err);
void regex_free(struct regex *regex);
/* 1, 0, or E_BUDGET when the match needs more steps than a query may spend on one value. */
int regex_match(struct regex *regex, struct view text, struct err *err);

#endif
