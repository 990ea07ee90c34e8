/* RESP2 and RESP3 values: the line that begins one, and what a call holds, as JSON. Pure. */
#ifndef WIRE_RESP_H
#define WIRE_RESP_H

#include "base/json.h"

#define RESP_DEPTH_MAX	24
#define RESP_LINE_MAX	((size_t)64 << 10)	/* simple strings and errors; numbers are far shorter */

enum resp_kind {
	RESP_MORE,	/* too few bytes to tell */
	RESP_BAD,
	RESP_LINE,	/* + - : , ( # _ : all of it is the line */
	RESP_BULK,	/* $ ! = : count bytes and a line end follow */
	RESP_ITEMS,	/* * ~ > % | : count values follow */
};

struct resp_head {
	enum resp_kind kind;
	char type;		/* the first byte */
	bool nil;		/* $-1, *-1, _ */
	struct view text;	/* of the line, without type and line end */
	uint64_t count;		/* bytes of a bulk, or values (two for each pair of a map) */
	size_t len;		/* of the line, with its end */
};

struct resp_head resp_head(struct view bytes);
/* As proto_ops.detail. */
int resp_detail(struct view request, struct view response, size_t body_max, struct json *json);
/* A command on one line: the next word of *rest, quotes on; false at the end. */
bool resp_word_next(struct view *rest, struct view *ret_word);

#endif
