#include "wire/mysql_statements.h"

void mysql_statement_put(struct mysql_statements *all, uint32_t id, struct view sql)
{
	uint8_t i = 0;
	struct mysql_statement *slot;

	while (i < MYSQL_STATEMENTS_MAX && !(all->slot[i].used && all->slot[i].id == id))
		i++;
	if (i == MYSQL_STATEMENTS_MAX)
		i = all->next++ % MYSQL_STATEMENTS_MAX;
	slot = &all->slot[i];
	slot->used = true;
	slot->id = id;
	slot->len = (uint16_t)(sql.len < MYSQL_STATEMENT_SQL ? sql.len : MYSQL_STATEMENT_SQL);
	memcpy(slot->sql, sql.len ? sql.at : (const uint8_t *)"", slot->len);
	all->last = i;
}

struct view mysql_statement_sql(const struct mysql_statements *all, uint32_t id)
{
	for (unsigned i = 0; i < MYSQL_STATEMENTS_MAX; i++) {
		const struct mysql_statement *slot = &all->slot[i];

		if (slot->used && (slot->id == id || (id == MYSQL_STATEMENT_LAST && i == all->last)))
			return view_make(slot->sql, slot->len);
	}
	return view_make("", 0);
}
