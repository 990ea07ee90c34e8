/* Microsoft TDS ([MS-TDS]): packets, logins, statements, the tokens a row needs, and a call as JSON. Pure. */
#ifndef WIRE_TDS_MSG_H
#define WIRE_TDS_MSG_H

#include "base/json.h"
#include "base/rd.h"

#define TDS_HEAD_BYTES	8
#define TDS_TEXT_MAX	4096	/* of a text in UTF-8 */

enum {
	TDS_BATCH = 1, TDS_LOGIN_OLD = 2, TDS_RPC = 3, TDS_RESPONSE = 4, TDS_ATTENTION = 6, TDS_BULK = 7,
	TDS_TRANSACTION = 14, TDS_LOGIN7 = 16, TDS_SSPI = 17, TDS_PRELOGIN = 18,
};
enum { TDS_LAST = 1 };		/* status: end of message */

struct tds_head {
	uint8_t type, status;
	uint16_t len;		/* with the header */
};

/* False: too short, or no header of ours. */
bool tds_head(struct view bytes, struct tds_head *ret_head);
const char *tds_type_name(uint8_t type);	/* NULL: unknown */

/* UTF-16LE, or bytes when they are none, as UTF-8. Returns its length. */
size_t tds_text(struct view bytes, char *text, size_t cap);
/* A batch's or call's body without the headers that version 7.2 puts before it. */
struct view tds_body(struct view body);

struct tds_login {
	uint32_t version;
	struct view host, user, app, server, db;	/* UTF-16LE; before version 7 bytes */
};
bool tds_login(struct view body, struct tds_login *ret_login);
/* The login of versions 4 and 5, fixed fields. version is 0 where the record does not say. */
bool tds_login_old(struct view body, struct tds_login *ret_login);

struct tds_rpc {
	const char *name;	/* of a well-known procedure; NULL: it is in text */
	struct view text;	/* its name (UTF-16LE), when it has one */
	struct view sql;	/* the first parameter, when it is a statement (UTF-16LE) */
};
bool tds_rpc(struct view body, struct tds_rpc *ret_rpc);

struct tds_error {
	int32_t number;
	uint8_t state, severity;
	struct view text;	/* UTF-16LE */
};
struct tds_done {
	bool error, has_rows;
	uint64_t rows;
};
/* The first error among the tokens at the beginning, or right before the end, of a packet's tokens. */
bool tds_find_error(struct view tokens, struct tds_error *ret_error);
/* The token that ends a response. */
bool tds_find_done(struct view tokens, struct tds_done *ret_done);
/* A packet whose content is what its type says, beyond doubt. */
bool tds_sure(struct view bytes);

/* As proto_ops.detail. */
int tds_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
