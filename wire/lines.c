#include "wire/lines.h"

#include <stdio.h>

#define GARBAGE_MAX	((uint64_t)4 << 20)	/* without a line in it: nobody looks any more */
#define STATUS_TEXT_MAX	200

/* ---- the walker ---- */

/* line_dir.match: how a line of a body has begun */
enum { AT_START, AFTER_DOT, AFTER_DOT_CR, IN_LINE };

void lines_body_dot(struct line_dir *dir)
{
	dir->mode = LINES_DOT;
	dir->match = AT_START;
}

uint64_t lines_dot_bytes(const struct line_dir *dir)
{
	return dir->bare ? 2 : 3;
}

void lines_body_bytes(struct line_dir *dir, uint64_t off, uint64_t len)
{
	if (!len)
		return;
	dir->mode = LINES_BYTES;
	dir->end = off + len < off ? UINT64_MAX : off + len;
}

/* Up to behind the line of one dot, or to the end of bytes. */
static size_t scan_dot(struct line_dir *dir, struct view bytes, bool *ret_found)
{
	size_t i = 0;

	*ret_found = false;
	while (i < bytes.len) {
		const uint8_t *nl;

		switch (dir->match) {
		case AT_START:
			dir->match = bytes.at[i] == '.' ? AFTER_DOT : IN_LINE;
			i += bytes.at[i] == '.';
			break;
		case AFTER_DOT:
		case AFTER_DOT_CR:
			if (bytes.at[i] == '\n' && (dir->match == AFTER_DOT_CR || dir->bare)) {
				*ret_found = true;
				return i + 1;
			}
			if (dir->match == AFTER_DOT && bytes.at[i] == '\r') {
				dir->match = AFTER_DOT_CR;
				i++;
			} else {
				dir->match = IN_LINE;
			}
			break;
		default:
			nl = memchr(bytes.at + i, '\n', bytes.len - i);
			if (!nl)
				return bytes.len;
			dir->match = AT_START;
			i = (size_t)(nl - bytes.at) + 1;
			break;
		}
	}
	return i;
}

enum step { STEP_ON, STEP_WAIT, STEP_SKIP, STEP_OPAQUE, STEP_TLS, STEP_BAD };

static enum step pass_bytes(struct lines *l, const struct line_ops *ops, size_t *pos)
{
	struct line_dir *dir = l->dir;
	uint64_t now = l->chunk->off + *pos, stop = l->chunk->off + l->chunk->bytes.len;

	if (stop > dir->end)
		stop = dir->end;
	if (stop > now)
		*pos = (size_t)(stop - l->chunk->off);
	if (stop < dir->end) {
		/* an empty chunk here: the flow ends in the middle of the body */
		if (!l->chunk->bytes.len || l->chunk->end)
			ops->body(l, stop, false, 0);
		return STEP_SKIP;
	}
	dir->mode = LINES_LINE;
	ops->body(l, dir->end, true, 0);
	return STEP_ON;
}

static enum step pass_scanned(struct lines *l, const struct line_ops *ops, size_t *pos)
{
	struct view rest = view_sub(l->chunk->bytes, *pos, l->chunk->bytes.len);
	bool found;

	if (l->dir->mode == LINES_DOT) {
		*pos += scan_dot(l->dir, rest, &found);
	} else {
		const uint8_t *nl = rest.len ? memchr(rest.at, '\n', rest.len) : NULL;

		found = nl;
		*pos += found ? (size_t)(nl - rest.at) + 1 : rest.len;
	}
	if (found)
		l->dir->mode = LINES_LINE;
	if (rest.len)
		ops->body(l, l->chunk->off + *pos, found, 0);
	return found ? STEP_ON : STEP_WAIT;
}

static enum step take_line(struct lines *l, const struct line_ops *ops, size_t *pos)
{
	struct view rest = view_sub(l->chunk->bytes, *pos, l->chunk->bytes.len), window = view_sub(rest, 0, ops->line_max);
	const uint8_t *nl = window.len ? memchr(window.at, '\n', window.len) : NULL;
	struct line line = { .off = l->chunk->off + *pos };

	if (!nl && rest.len < ops->line_max)
		return STEP_WAIT;
	line.text = view_sub(rest, 0, nl ? (size_t)(nl - rest.at) : ops->line_max);
	line.end_off = line.off + line.text.len + (nl ? 1 : 0);
	*pos += line.text.len + (nl ? 1 : 0);
	l->dir->bare = nl && !(line.text.len && line.text.at[line.text.len - 1] == '\r');
	if (nl && !l->dir->bare)
		line.text.len--;
	if (!nl)
		l->dir->mode = LINES_LONG;
	if (l->dir->lost) {
		if (!ops->resync(l, line.text)) {
			l->dir->garbage += line.end_off - line.off;
			if (ops->in_order)
				ops->lost(l, 0);
			return l->dir->garbage > GARBAGE_MAX ? STEP_OPAQUE : STEP_ON;
		}
		l->dir->lost = false;
	}
	switch (ops->take(l, &line)) {
	case LINE_OPAQUE:
		return STEP_OPAQUE;
	case LINE_TLS:
		return STEP_TLS;
	case LINE_BAD:
		return STEP_BAD;
	default:
		return STEP_ON;
	}
}

int64_t lines_feed(struct lines *l, const struct line_ops *ops)
{
	struct line_dir *dir = l->dir;
	const struct chunk *chunk = l->chunk;
	enum step step = STEP_ON;
	size_t pos = 0;

	if (chunk->missing && dir->mode == LINES_BYTES)
		ops->body(l, dir->end < chunk->off ? dir->end : chunk->off, false, chunk->missing);
	while (step == STEP_ON) {
		switch (dir->mode) {
		case LINES_BYTES:
			step = pass_bytes(l, ops, &pos);
			break;
		case LINES_DOT:
		case LINES_LONG:
			step = pass_scanned(l, ops, &pos);
			break;
		case LINES_WAIT:
			step = STEP_WAIT;
			break;
		default:
			step = take_line(l, ops, &pos);
			break;
		}
	}
	switch (step) {
	case STEP_BAD:
		if (!l->sure)
			return E_FORMAT;
		dir->lost = true;
		dir->garbage = 0;
		ops->lost(l, 0);
		return (int64_t)pos;
	case STEP_OPAQUE:
		return PROTO_SKIP_REST;
	case STEP_TLS:
		return PROTO_SWITCH(pos, L7_tls);
	case STEP_SKIP:
		return PROTO_SKIP(dir->end - chunk->off);
	default:
		return (int64_t)pos;
	}
}

int lines_gap(struct lines *l, const struct line_ops *ops, uint64_t off, uint64_t len)
{
	if (l->dir->mode == LINES_DOT) {
		/* its end may be in the hole: the other side's answer will tell */
		l->dir->match = IN_LINE;
		ops->body(l, off + len, false, len);
		return 0;
	}
	l->dir->mode = LINES_LINE;
	l->dir->lost = true;
	l->dir->garbage = 0;
	ops->lost(l, len);
	return 0;
}

/* ---- commands and replies ---- */

void lines_lost_commands(struct line_calls *calls)
{
	calls->doubt = true;
	calls->spoken = false;
}

void lines_lost_answers(struct lines *l, struct line_calls *calls, uint64_t len)
{
	/* A hole before the answer to the only one holds no other's. */
	if (calls->waiting.count + calls->unopened > 1)
		lines_lost_commands(calls);
	call_missing(calls->waiting.head, len);
	while (calls->waiting.head)
		lines_end(l->sink, calls, calls->waiting.head, CALL_END_gap);
	calls->unopened = 0;
}

struct call *lines_request(struct lines *l, struct line_calls *calls, uint8_t l7, const struct line *line)
{
	struct call *call;

	if (!calls->waiting.head && !calls->unopened && calls->spoken)
		calls->doubt = false;
	if (calls->unopened) {
		call_refuse(l->sink);
		calls->unopened++;
		return NULL;
	}
	call = call_open(l->sink, l7);
	if (!call) {
		calls->unopened++;
		return NULL;
	}
	call_request_begin(call, l->chunk, line->off);
	call_request_end(call, l->chunk, line->end_off);
	call_fifo_put(&calls->waiting, call);
	if (calls->doubt && !calls->doubt_from)
		calls->doubt_from = call;
	return call;
}

struct call *lines_head(struct lines *l, struct line_calls *calls)
{
	struct call *call = calls->waiting.head;

	if (call && call_was_heard(call, l->chunk)) {
		if (call != calls->doubt_from)
			return call;
		while (calls->waiting.head)
			lines_end(l->sink, calls, calls->waiting.head, CALL_END_gap);
	}
	calls->spoken = true;
	return NULL;
}

struct call *lines_unasked(struct lines *l, uint8_t l7, const struct line *line)
{
	struct call *call = call_open(l->sink, l7);

	if (!call)
		return NULL;
	call_response_begin(call, l->chunk, line->off);
	call_response_end(call, l->chunk, line->end_off);
	return call;
}

void lines_end(struct call_sink *sink, struct line_calls *calls, struct call *call, uint8_t reason)
{
	struct call *prev = NULL, *at = calls->waiting.head;

	while (at && at != call) {
		prev = at;
		at = at->next;
	}
	if (at) {
		*(prev ? &prev->next : &calls->waiting.head) = call->next;
		if (calls->waiting.tail == call)
			calls->waiting.tail = prev;
		calls->waiting.count--;
		if (calls->doubt_from == call)
			calls->doubt_from = call->next;
		call->next = NULL;
	}
	call->rsp_whole = reason == CALL_END_complete;
	if (reason == CALL_END_complete && !call->has_req)
		reason = CALL_END_no_request;
	call_end(sink, call, reason);
}

/* ---- texts ---- */

struct view line_word(struct view *text)
{
	size_t n = 0, blanks;
	struct view word;

	while (n < text->len && text->at[n] != ' ' && text->at[n] != '\t')
		n++;
	blanks = n;
	while (blanks < text->len && (text->at[blanks] == ' ' || text->at[blanks] == '\t'))
		blanks++;
	word = view_sub(*text, 0, n);
	*text = view_sub(*text, blanks, text->len);
	return word;
}

struct view line_upper(struct view word, char *text, size_t cap)
{
	word = view_sub(word, 0, cap);
	for (size_t i = 0; i < word.len; i++)
		text[i] = (char)(word.at[i] >= 'a' && word.at[i] <= 'z' ? word.at[i] - 32 : word.at[i]);
	return view_make(text, word.len);
}

int line_find(struct view word, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (view_ieq(word, names[i]))
			return i;
	return -1;
}

bool line_has(struct view line, const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i + len <= line.len; i++)
		if (view_ieq(view_sub(line, i, len), text))
			return true;
	return false;
}

bool line_next(struct view *bytes, struct view *ret_line)
{
	const uint8_t *nl = bytes->len ? memchr(bytes->at, '\n', bytes->len) : NULL;
	size_t len;

	if (!nl)
		return false;
	len = (size_t)(nl - bytes->at);
	*ret_line = view_sub(*bytes, 0, len && bytes->at[len - 1] == '\r' ? len - 1 : len);
	*bytes = view_sub(*bytes, len + 1, bytes->len);
	return true;
}

bool line_may_start(struct view bytes, const char *const *names)
{
	for (; *names; names++) {
		struct view name = view_str(*names);
		size_t n = bytes.len < name.len ? bytes.len : name.len;
		char head[32];

		(void)memcpy(head, name.at, n < sizeof(head) ? n : sizeof(head) - 1);
		head[n < sizeof(head) ? n : sizeof(head) - 1] = 0;
		if (view_istarts(bytes, head))
			return true;
	}
	return false;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

bool reply_line(struct view line, struct reply *ret_reply)
{
	bool defined;

	if (line.len < 3 || line.at[0] < '1' || line.at[0] > '6' || !is_digit(line.at[1]) || !is_digit(line.at[2]))
		return false;
	defined = line.at[1] <= '5';
	if (line.len > 3 ? line.at[3] != ' ' && line.at[3] != '-' : !defined)
		return false;
	ret_reply->defined = defined;
	ret_reply->code = (uint16_t)((line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + line.at[2] - '0');
	ret_reply->more = line.len > 3 && line.at[3] == '-';
	ret_reply->text = view_trim(view_sub(line, 4, line.len));
	return true;
}

uint8_t reply_class(unsigned code)
{
	return code < 400 ? CLASS_ok : code < 500 ? CLASS_server_error : CLASS_client_error;
}

void reply_set(struct call_sink *sink, struct call *call, const struct reply *reply)
{
	ROW_SET(CALL, &call->row, status, reply->code);
	ROW_SET(CALL, &call->row, status_class, reply_class(reply->code));
	CALL_TEXT(sink, call, status_text, reply->text, STATUS_TEXT_MAX);
	if (call->row.status_class > CLASS_ok && reply->text.len)
		call_error(sink, call, "%.*s", (int)reply->text.len, (const char *)reply->text.at);
}

size_t fold_address(struct view address, char *text, size_t cap)
{
	size_t at = address.len, len = 0;

	while (at && address.at[at - 1] != '@')
		at--;
	if (!at || cap < 5)
		return (size_t)snprintf(text, cap, "%s", address.len ? "{id}" : "");
	memcpy(text, "{id}", 4);
	len = 4;
	address = view_sub(address, at - 1, cap - len);
	memcpy(text + len, address.at, address.len);
	return len + address.len;
}
