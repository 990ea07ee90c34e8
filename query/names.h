/*
 * Names as users write them: column keys, C names, aliases, names of both sides
 * at once (`pod` is src.pod and dst.pod), and names without their unit
 * (`latency` is latency_ns). Static tables only: any thread.
 */
#ifndef QUERY_NAMES_H
#define QUERY_NAMES_H

#include "schema/schema.h"

#define NAME_SIDES_MAX 2

struct name_cols {
	const struct col *cols[NAME_SIDES_MAX];
	size_t count;
	bool bare;		/* written without the unit: a literal must bring it */
};

/* False when the table has nothing of that name. */
bool name_resolve(const struct table *table, struct view name, struct name_cols *ret_cols);

/* What a bare word in a filter can mean besides a column: `http`, `tcp`. NULL col when nothing. */
struct name_flag {
	const struct col *col;
	uint64_t value;
};
bool name_flag(const struct table *table, struct view name, struct name_flag *ret_flag);

/*
 * Up to three names that look like name, most alike first, as "a, b, c"; empty
 * text when none comes near. flags: protocols count too.
 */
void name_nearest(const struct table *table, struct view name, bool flags, char *text, size_t cap);
/* The same among the named values of an enum column. */
void name_nearest_sym(enum sym_table syms, struct view name, char *text, size_t cap);

#endif
