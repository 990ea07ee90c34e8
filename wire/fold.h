/* Texts with what differs from call to call folded away: SQL without literals, keys without ids. Pure. */
#ifndef WIRE_FOLD_H
#define WIRE_FOLD_H

#include "base/view.h"

#define SQL_QUOTED_STRING 1	/* "a" is a string (MySQL), not a name */

/*
 * A statement with literals and placeholders as ?, lists of them as one, blanks
 * as one, without comments. Returns its length; what does not fit is cut off.
 */
size_t fold_sql(struct view sql, unsigned flags, char *text, size_t cap);
/* Its first word in capitals, at most cap bytes. */
size_t fold_sql_verb(struct view sql, char *text, size_t cap);
/* The first table it names, without quotes; empty when it names none. Points into sql. */
struct view fold_sql_table(struct view sql);
/* A key or name with each run of digits as {id}, and uuids and long hexadecimal runs too. */
size_t fold_key(struct view key, char *text, size_t cap);

#endif
