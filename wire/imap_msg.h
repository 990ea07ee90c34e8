/* What a line of IMAP says (RFC 3501, 9051). Pure. */
#ifndef WIRE_IMAP_MSG_H
#define WIRE_IMAP_MSG_H

#include "base/json.h"

enum imap_command {
	IMAP_LOGIN, IMAP_AUTHENTICATE, IMAP_STARTTLS, IMAP_IDLE, IMAP_COMPRESS, IMAP_SELECT, IMAP_EXAMINE, IMAP_CLOSE, IMAP_UNSELECT,
	IMAP_APPEND, IMAP_STATUS, IMAP_OTHER,
};

/* "tag COMMAND rest"; UID and the command behind it are one. */
struct imap_line {
	struct view tag, rest;
	const char *name;	/* in capitals; NULL: no command we know */
	enum imap_command command;
};
bool imap_command_line(struct view line, struct imap_line *ret_line);	/* false: no tag, or nothing behind it */

enum imap_status { IMAP_OK, IMAP_NO, IMAP_BAD, IMAP_PREAUTH, IMAP_BYE, IMAP_DATA };
/* "* OK text", "tag NO text", "* 3 EXISTS", "+ text"; false: none of them. */
struct imap_answer {
	struct view tag;	/* "*" and "+" too */
	enum imap_status status;
	struct view text;	/* behind the status; of data, all of it */
	struct view kind;	/* of data: EXISTS, FETCH, LIST */
};
bool imap_answer(struct view line, struct imap_answer *ret_answer);
const char *imap_status_name(enum imap_status status);

/* "{12}", "{12+}", "~{12}" at the end of a line: so many bytes follow it. sync: the server is asked first. */
bool imap_literal(struct view line, uint64_t *ret_bytes, bool *ret_sync);
/* An atom or "quoted" text off the front of text; a literal gives nothing. */
struct view imap_astring(struct view *text);

/* As proto_ops.detail. */
int imap_detail(struct view request, struct view response, size_t body_max, struct json *json);

#endif
