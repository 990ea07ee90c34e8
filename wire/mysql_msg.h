/* Packets of the MySQL client/server protocol: fields a row needs, and a call as JSON. Pure. */
#ifndef WIRE_MYSQL_MSG_H
#define WIRE_MYSQL_MSG_H

#include "base/json.h"
#include "base/rd.h"

#define MYSQL_HEAD_BYTES	4		/* length (3), sequence number */
#define MYSQL_LEN_MAX		0xffffffu	/* as long as this: it goes on in the next packet */

enum {
	MYSQL_COM_QUIT = 1, MYSQL_COM_INIT_DB = 2, MYSQL_COM_QUERY = 3, MYSQL_COM_FIELD_LIST = 4,
	MYSQL_COM_STATISTICS = 9, MYSQL_COM_PROCESS_INFO = 10, MYSQL_COM_PING = 14, MYSQL_COM_CHANGE_USER = 17,
	MYSQL_COM_BINLOG_DUMP = 18, MYSQL_COM_PREPARE = 22, MYSQL_COM_EXECUTE = 23, MYSQL_COM_LONG_DATA = 24,
	MYSQL_COM_CLOSE = 25, MYSQL_COM_RESET = 26, MYSQL_COM_FETCH = 28, MYSQL_COM_BINLOG_DUMP_GTID = 30,
	MYSQL_COM_BULK_EXECUTE = 0xfa,	/* MariaDB */
};

enum {
	MYSQL_CAP_DB = 8, MYSQL_CAP_COMPRESS = 0x20, MYSQL_CAP_41 = 0x200, MYSQL_CAP_SSL = 0x800,
	MYSQL_CAP_SECURE = 0x8000, MYSQL_CAP_PLUGIN = 0x80000, MYSQL_CAP_ATTRS = 0x100000,
	MYSQL_CAP_LENENC_AUTH = 0x200000, MYSQL_CAP_DEPRECATE_EOF = 0x1000000, MYSQL_CAP_ZSTD = 0x4000000,
	MYSQL_CAP_QUERY_ATTRS = 0x8000000,
};
enum { MYSQL_MORE_RESULTS = 8 };	/* status flag */

/* A length-encoded integer; the cursor goes bad on 0xfb and 0xff, which are none. */
uint64_t mysql_lenenc(struct rd *rd);
/* "QUERY", "PING"; NULL: no command. */
const char *mysql_command(uint8_t command);
/* The text behind COM_QUERY, with the attributes before it passed over. attrs: -1 = guess whether there are any. */
struct view mysql_query(struct view payload, int attrs);

struct mysql_greeting {
	struct view version;
	uint32_t caps;
};
/* A server's first packet, its payload. False: it is none. */
bool mysql_greeting(struct view payload, struct mysql_greeting *ret);

struct mysql_login {
	uint32_t caps;
	bool ssl;		/* only asks for TLS */
	struct view user, db, plugin, program;
};
bool mysql_login(struct view payload, uint32_t server_caps, struct mysql_login *ret);

struct mysql_ok {
	uint64_t affected;
	uint16_t status;
};
/* OK, and EOF in its new form. */
bool mysql_ok(struct view payload, struct mysql_ok *ret);

struct mysql_error {
	uint16_t code;
	struct view state, text;
};
bool mysql_error(struct view payload, struct mysql_error *ret);

/* As proto_ops.detail. */
int mysql_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
