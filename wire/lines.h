/*
 * What protocols of lines share (SMTP, IMAP, POP3, FTP): a walker over CRLF lines with
 * the bodies between them, commands that wait for replies in order, reply codes of
 * three digits, and how a command is shown.
 */
#ifndef WIRE_LINES_H
#define WIRE_LINES_H

#include "wire/dissect.h"

/* What the next byte of a direction belongs to. */
enum lines_mode {
	LINES_LINE,
	LINES_DOT,	/* a body that ends with a line of one dot */
	LINES_BYTES,	/* a body that ends at line_dir.end */
	LINES_LONG,	/* the rest of a line longer than line_max */
	LINES_WAIT,	/* nobody knows before the other side has answered: keep it */
};

/* One direction's place; zeroed at start. */
struct line_dir {
	uint8_t mode;
	uint8_t match;		/* LINES_DOT: of the last line's first bytes */
	bool bare;		/* the last line ended with LF alone */
	bool lost;		/* where a line begins, or whether it is a command, is not known */
	uint64_t end;
	uint64_t garbage;	/* bytes passed over since */
};

/*
 * Set what follows the line being taken. A dot ends a body only before CRLF, unless that line
 * too ended with LF alone: who smuggles a message past a server hides it behind a sloppy dot.
 */
void lines_body_dot(struct line_dir *dir);
uint64_t lines_dot_bytes(const struct line_dir *dir);	/* of the line that ended it */
void lines_body_bytes(struct line_dir *dir, uint64_t off, uint64_t len);

/* One call of feed(). */
struct lines {
	void *conn;
	struct line_dir *dir;
	unsigned d;
	const struct chunk *chunk;
	struct call_sink *sink;
	bool sure;	/* the protocol is beyond doubt: a strange line is a loss, not a wrong guess */
};

struct line {
	struct view text;	/* without its end; the first line_max bytes of a longer one */
	uint64_t off, end_off;	/* on the wire, with its end */
};

/* OPAQUE: from here on neither direction is lines. TLS: it begins behind this line, and in the other direction at once. */
enum { LINE_BAD = -1, LINE_OK, LINE_OPAQUE, LINE_TLS };

struct line_ops {
	size_t line_max;	/* less than proto_ops.hold_bytes */
	bool in_order;		/* nothing but their order tells whose replies are: a line passed over may be one, and is lost() */
	int (*take)(struct lines *l, const struct line *line);
	/* The body (or overlong line) begun by the last line has come to end_off; whole: that is its end. */
	void (*body)(struct lines *l, uint64_t end_off, bool whole, uint64_t missing);
	/* After a loss: is this a line to go on with? It may lack its beginning. */
	bool (*resync)(struct lines *l, struct view text);
	/* Lines were lost, of which len bytes are known to be. */
	void (*lost)(struct lines *l, uint64_t len);
};

/* What feed() and gap() return. */
int64_t lines_feed(struct lines *l, const struct line_ops *ops);
int lines_gap(struct lines *l, const struct line_ops *ops, uint64_t off, uint64_t len);

/* ---- commands and replies in order ---- */

struct line_calls {
	struct call_fifo waiting;
	uint64_t unopened;	/* commands behind those in waiting for which there was no room */
	/*
	 * Commands were lost, or answers to several: how many answers are still to come nobody knows. What is asked now
	 * may be behind them, until something was said that answers nothing and all that waited is over.
	 */
	bool doubt, spoken;
	struct call *doubt_from;	/* the first in waiting that was asked in doubt */
};

/* A call whose request is line, at the end of those that wait. NULL: no room, counted. */
struct call *lines_request(struct lines *l, struct line_calls *calls, uint8_t l7, const struct line *line);
/* From lost(): commands were lost (client), or answers; those that wait for them are ended as gaps. */
void lines_lost_commands(struct line_calls *calls);
void lines_lost_answers(struct lines *l, struct line_calls *calls, uint64_t len);
/* The first that waits, which a reply here answers; NULL: what is said here answers nothing that was seen. */
struct call *lines_head(struct lines *l, struct line_calls *calls);
/* A call that begins with a response nobody asked for; it does not wait. */
struct call *lines_unasked(struct lines *l, uint8_t l7, const struct line *line);
/* End the call, which waits or not. A reply without a request is no_request, or oneway if unasked. */
void lines_end(struct call_sink *sink, struct line_calls *calls, struct call *call, uint8_t reason);

/* ---- texts ---- */

/* Take the first word (up to a blank) off text, and the blanks behind it. */
struct view line_word(struct view *text);
/* Copies in capitals. */
struct view line_upper(struct view word, char *text, size_t cap);
/* Which of names (NULL-terminated, capitals) the word is, or -1. */
int line_find(struct view word, const char *const *names);
/* text anywhere in the line, whatever its case. */
bool line_has(struct view line, const char *text);
/* The first line of bytes; false: its end is not there. Moves bytes behind it. */
bool line_next(struct view *bytes, struct view *ret_line);
/* bytes, which begin with no whole line, may still become one that starts with one of names (and no other byte has come). */
bool line_may_start(struct view bytes, const char *const *names);

struct reply {
	uint16_t code;
	bool more;		/* "250-": another line follows */
	bool defined;		/* second digit from 0 to 5, as RFC 5321 and 959 know them: evidence of a reply among other text */
	struct view text;
};
/* 'ddd text' or 'ddd-text', ddd from 100 to 699: servers invent codes such as 472. 'ddd' alone only where it is defined. */
bool reply_line(struct view line, struct reply *ret_reply);
/* 4yz: the server cannot now; 5yz: it will not, whoever asks so. */
uint8_t reply_class(unsigned code);
/* status, status_text, status_class and error of a call from a reply's line. */
void reply_set(struct call_sink *sink, struct call *call, const struct reply *reply);

/* user@host with the part before the @ as {id}: mailboxes are many. */
size_t fold_address(struct view address, char *text, size_t cap);

/* ---- detail ---- */

/* Members "command" and "argument" of a command line; masked: without the argument. */
void show_command(struct json *json, struct view line, bool masked);
/* "replies": [{"code", "enhanced", "lines": [...]}] of bytes; lines of other forms belong to the reply before. */
void show_replies(struct json *json, struct view bytes, size_t max, bool enhanced);
/* Members "headers" and "body" of a message (RFC 5322), cut to max. */
void show_message(struct json *json, struct view message, size_t max);

#endif
