/*
 * Statements that a connection has prepared, by what it calls them: their text stands in the message that prepares
 * them only. Zeroed at start. Texts are memory of the connection (conn_memory_take), as much as each is long, so that
 * one which prepares nothing holds none.
 */
#ifndef WIRE_STATEMENTS_H
#define WIRE_STATEMENTS_H

#include "wire/proto.h"

#define STATEMENTS_MAX	16
#define STATEMENT_SQL	480

struct statement;

struct statements {
	struct statement *at[STATEMENTS_MAX];
	uint8_t next;
};

/* Cut to STATEMENT_SQL; when there are STATEMENTS_MAX the oldest gives way. Without memory it is not known. */
void statement_put(struct statements *all, struct call_sink *sink, uint64_t id, struct view sql);
/* Borrowed until the next put or drop; empty: not known. */
struct view statement_sql(const struct statements *all, uint64_t id);
void statement_drop(struct statements *all, struct call_sink *sink, uint64_t id);	/* it may be unknown */
void statements_release(struct statements *all, struct call_sink *sink);

#endif
