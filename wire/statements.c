#include "wire/statements.h"

struct statement {
	uint64_t id;
	uint16_t len;
	char sql[];
};

static unsigned place_of(const struct statements *all, uint64_t id)
{
	unsigned i = 0;

	while (i < STATEMENTS_MAX && !(all->at[i] && all->at[i]->id == id))
		i++;
	return i;
}

void statement_put(struct statements *all, struct call_sink *sink, uint64_t id, struct view sql)
{
	unsigned i = place_of(all, id);
	struct statement *statement;

	/* The free ones first: what was closed left a place. */
	for (unsigned n = 0; n < STATEMENTS_MAX && i == STATEMENTS_MAX; n++)
		if (!all->at[n])
			i = n;
	if (i == STATEMENTS_MAX)
		i = all->next++ % STATEMENTS_MAX;
	conn_memory_give(sink, all->at[i]);	/* it is gone for the server, too, whether there is room for the new one or not */
	sql = view_sub(sql, 0, STATEMENT_SQL);
	statement = conn_memory_take(sink, sizeof(*statement) + sql.len);
	all->at[i] = statement;
	if (!statement)
		return;
	statement->id = id;
	statement->len = (uint16_t)sql.len;
	if (sql.len)
		memcpy(statement->sql, sql.at, sql.len);
}

struct view statement_sql(const struct statements *all, uint64_t id)
{
	unsigned i = place_of(all, id);

	return i < STATEMENTS_MAX ? view_make(all->at[i]->sql, all->at[i]->len) : view_make("", 0);
}

void statement_drop(struct statements *all, struct call_sink *sink, uint64_t id)
{
	unsigned i = place_of(all, id);

	if (i == STATEMENTS_MAX)
		return;
	conn_memory_give(sink, all->at[i]);
	all->at[i] = NULL;
}

void statements_release(struct statements *all, struct call_sink *sink)
{
	for (unsigned i = 0; i < STATEMENTS_MAX; i++) {
		conn_memory_give(sink, all->at[i]);
		all->at[i] = NULL;
	}
}
