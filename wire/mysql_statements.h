/* Statements a MySQL connection has prepared, by id: their text stands in PREPARE only. A plain value. */
#ifndef WIRE_MYSQL_STATEMENTS_H
#define WIRE_MYSQL_STATEMENTS_H

#include "base/view.h"

#define MYSQL_STATEMENTS_MAX	16
#define MYSQL_STATEMENT_SQL	480
#define MYSQL_STATEMENT_LAST	UINT32_MAX	/* MariaDB: the one prepared last */

struct mysql_statement {
	uint32_t id;
	uint16_t len;
	bool used;
	char sql[MYSQL_STATEMENT_SQL];
};

struct mysql_statements {
	uint8_t next, last;
	struct mysql_statement slot[MYSQL_STATEMENTS_MAX];
};

/* Cut to MYSQL_STATEMENT_SQL; when all are used the oldest gives way. */
void mysql_statement_put(struct mysql_statements *all, uint32_t id, struct view sql);
/* Empty: not known. */
struct view mysql_statement_sql(const struct mysql_statements *all, uint32_t id);

#endif
