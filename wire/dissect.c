#include "wire/dissect.h"

#include <stdarg.h>
#include <stdio.h>


#define SHOW_TEXT_MAX 4096
#define GARBAGE_MAX ((uint64_t)4 << 20)	/* without a frame in it: nobody looks any more */

void call_error(struct call_sink *sink, struct call *call, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	size_t len = 0;
	va_list args;
	int n;

	if (!call)
		return;
	if (ROW_HAS(CALL, &call->row, error)) {
		len = call->row.error.len;
		if (len + 3 >= sizeof(text))
			return;
		memcpy(text, call->row.error.at, len);
		memcpy(text + len, "; ", 2);
		len += 2;
	}
	va_start(args, fmt);
	n = vsnprintf(text + len, sizeof(text) - len, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	len = len + (size_t)n < sizeof(text) ? len + (size_t)n : sizeof(text) - 1;
	ROW_SET(CALL, &call->row, error, call_text(sink, call, view_make(text, len), ERROR_TEXT_MAX));
}

void call_missing(struct call *call, uint64_t bytes)
{
	if (call && bytes)
		ROW_SET(CALL, &call->row, missing_bytes, call->row.missing_bytes + bytes);
}

void call_end_open(struct call_sink *sink, struct call *call, uint8_t reason)
{
	if (!call)
		return;
	if (reason == CALL_END_closed && !call->has_rsp)
		reason = CALL_END_unanswered;
	call_end(sink, call, reason);
}

void call_fifo_end_open(struct call_fifo *fifo, struct call_sink *sink, uint8_t reason)
{
	struct call *call;

	while ((call = call_fifo_take(fifo)))
		call_end_open(sink, call, reason);
}

bool call_was_heard(const struct call *call, const struct chunk *chunk)
{
	return !chunk->has_heard || !call->has_req || chunk->heard_off > call->req_off;
}

void call_fifo_remove(struct call_fifo *fifo, struct call *call)
{
	struct call *prev = NULL;

	for (struct call *at = fifo->head; at != call; at = at->next)
		prev = at;
	*(prev ? &prev->next : &fifo->head) = call->next;
	if (fifo->tail == call)
		fifo->tail = prev;
	fifo->count--;
	call->next = NULL;
}

struct call *call_fifo_pick(struct call_fifo *fifo, uint64_t tag)
{
	struct call *call = fifo->head;

	while (call && call->tag != tag)
		call = call->next;
	if (call)
		call_fifo_remove(fifo, call);
	return call;
}

void show_bytes(struct json *json, struct view value, size_t *budget)
{
	char text[SHOW_TEXT_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	size_t max = *budget < sizeof(text) ? *budget : sizeof(text);

	if (txt_is_text(value)) {
		if (value.len > max)
			value.len = max;
		json_str(json, value);
		*budget -= value.len;
		return;
	}
	max = max > 2 ? (max - 2) / 2 : 0;
	txt_str(&txt, "0x");
	txt_hex(&txt, view_sub(value, 0, max));
	if (value.len > max)
		txt_str(&txt, "...");
	json_str(json, txt_view(&txt));
	*budget -= txt.len < *budget ? txt.len : *budget;
}

void show_kbytes(struct json *json, const char *key, struct view value, size_t *budget)
{
	json_key(json, key);
	show_bytes(json, value, budget);
}

/* ---- frames ---- */

enum step { STEP_ON, STEP_WAIT, STEP_SKIP, STEP_OPAQUE, STEP_BAD };

static void lose(struct frames *f, const struct frame_ops *ops, uint64_t len)
{
	f->dir->open = false;
	f->dir->lost = true;
	f->dir->garbage = 0;
	ops->lost(f, len);
}

/* The frame in progress, with bytes up to *pos already passed. */
static enum step pass(struct frames *f, const struct frame_ops *ops, size_t *pos)
{
	struct frame_dir *dir = f->dir;
	uint64_t now = f->chunk->off + *pos, stop = f->chunk->off + f->chunk->bytes.len;

	if (stop > dir->end)
		stop = dir->end;
	if (stop > now)
		*pos = (size_t)(stop - f->chunk->off);
	if (stop < dir->end) {
		/* an empty chunk here: the flow ends in the middle of the frame */
		if (!f->chunk->bytes.len || f->chunk->end)
			ops->progress(f, stop, false, 0);
		return STEP_SKIP;
	}
	dir->open = false;
	ops->progress(f, dir->end, true, 0);
	return STEP_ON;
}

static enum step begin(struct frames *f, const struct frame_ops *ops, size_t *pos)
{
	struct view rest = view_sub(f->chunk->bytes, *pos, f->chunk->bytes.len);
	struct frame frame;
	uint64_t show = 0;
	int64_t size;
	int rc;

	if (!rest.len)
		return STEP_WAIT;
	size = ops->size(f, rest, &show);
	if (size < 0)
		return STEP_BAD;
	if (show > (uint64_t)size)
		show = (uint64_t)size;
	if (size == 0 || rest.len < show)
		return STEP_WAIT;
	frame.bytes = view_sub(rest, 0, (size_t)show);	/* no more, so that it does not matter how the bytes came */
	frame.off = f->chunk->off + *pos;
	frame.len = (uint64_t)size;
	f->dir->open = true;
	f->dir->end = frame.off + frame.len;
	rc = ops->take(f, &frame);
	if (rc == FRAME_BAD) {
		f->dir->open = false;
		return STEP_BAD;
	}
	if (rc == FRAME_OPAQUE) {
		f->dir->open = false;
		return STEP_OPAQUE;
	}
	return STEP_ON;
}

int64_t frames_feed(struct frames *f, const struct frame_ops *ops)
{
	struct frame_dir *dir = f->dir;
	const struct chunk *chunk = f->chunk;
	enum step step = STEP_ON;
	size_t pos = 0;

	if (dir->lost) {
		if (!ops->resync || !ops->resync(f, chunk->bytes)) {
			dir->garbage += chunk->bytes.len;
			/* what is passed over may have been what somebody waits for */
			if (chunk->bytes.len)
				ops->lost(f, 0);
			return dir->garbage > GARBAGE_MAX ? PROTO_SKIP_REST : (int64_t)chunk->bytes.len;
		}
		dir->lost = false;
	}
	if (chunk->missing && dir->open)
		ops->progress(f, dir->end < chunk->off ? dir->end : chunk->off, false, chunk->missing);
	while (step == STEP_ON && !(f->stop && !dir->open))
		step = dir->open ? pass(f, ops, &pos) : begin(f, ops, &pos);
	switch (step) {
	case STEP_BAD:
		if (!f->sure)
			return E_FORMAT;
		lose(f, ops, 0);
		return (int64_t)chunk->bytes.len;
	case STEP_OPAQUE:
		return PROTO_SKIP_REST;
	case STEP_SKIP:
		return PROTO_SKIP(dir->end - chunk->off);
	case STEP_ON:
	case STEP_WAIT:
		break;
	}
	return (int64_t)pos;
}

int frames_gap(struct frames *f, const struct frame_ops *ops, uint64_t len)
{
	lose(f, ops, len);
	return 0;
}
