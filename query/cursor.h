/*
 * A keyset cursor: the last row handed out, and what it was an answer to. Text
 * of URL-safe letters. It stays good while rows come and go; in another query
 * it is refused.
 */
#ifndef QUERY_CURSOR_H
#define QUERY_CURSOR_H

#include "base/arena.h"
#include "query/query.h"

struct cursor {
	uint64_t start_ns, id;
	uint32_t same;		/* rows with just this start and id handed out so far */
};

struct cursor_of {		/* what it belongs to */
	enum table_id table;
	bool ascending, starts_within;
	struct view filter;
};

/* at is NULL when memory is out. */
struct view cursor_write(const struct cursor *cursor, const struct cursor_of *of, struct arena *arena);
/* E_FORMAT: damaged, or of another query. */
int cursor_read(struct view text, const struct cursor_of *of, struct cursor *ret_cursor, struct err *err);

#endif
