/*
 * What dissectors share: texts and errors of a call, and a walker over frames
 * that tell their length.
 */
#ifndef WIRE_DISSECT_H
#define WIRE_DISSECT_H

#include "wire/proto.h"
#include "wire/txt.h"

#define ERROR_TEXT_MAX	512

/* Set a text column, cut to max bytes; an empty text sets nothing. */
#define CALL_TEXT(sink, call, member, text, max)						\
	do {											\
		struct view call_text_ = (text);						\
												\
		if (call_text_.len)								\
			ROW_SET(CALL, &(call)->row, member, call_text(sink, call, call_text_, max));	\
	} while (0)

/* Append to the error column: "a; b". call may be NULL. */
void call_error(struct call_sink *sink, struct call *call, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* bytes of the call were not captured. call may be NULL. */
void call_missing(struct call *call, uint64_t bytes);
/* End call when the flow ends: one whose response had begun did not go unanswered. */
void call_end_open(struct call_sink *sink, struct call *call, uint8_t reason);
void call_fifo_end_open(struct call_fifo *fifo, struct call_sink *sink, uint8_t reason);

/*
 * Can what chunk says answer call? Not when who said it had not received the first byte of the request. Of a call
 * without a request, or where acknowledgements are not known, it can.
 */
bool call_was_heard(const struct call *call, const struct chunk *chunk);

/* The first call of that tag, taken out; NULL when there is none. */
struct call *call_fifo_pick(struct call_fifo *fifo, uint64_t tag);
void call_fifo_remove(struct call_fifo *fifo, struct call *call);	/* it is in there */

/* For detail(): a value as a string, hexadecimal ("0x...") where it is no text; *budget bounds what is shown. */
void show_bytes(struct json *json, struct view value, size_t *budget);
void show_kbytes(struct json *json, const char *key, struct view value, size_t *budget);

/* ---- frames ---- */

/* One direction's place in its frames; zeroed at start. */
struct frame_dir {
	uint64_t end;	/* the frame in progress ends here */
	bool open;	/* a frame is in progress */
	bool lost;	/* where the next frame begins is not known */
	uint64_t garbage;	/* bytes passed over since */
};

/* One call of feed(). */
struct frames {
	void *conn;
	struct frame_dir *dir;
	unsigned d;
	const struct chunk *chunk;
	struct call_sink *sink;
	bool sure;	/* the protocol is beyond doubt: broken frames are a loss, not a wrong guess */
	bool stop;	/* set by the ops: what follows the frame in progress is left, frames_feed() returns its end */
};

/* A frame whose first bytes are there: those that size() asked for. */
struct frame {
	struct view bytes;
	uint64_t off;	/* of its first byte */
	uint64_t len;	/* of all of it */
};

enum { FRAME_BAD = -1, FRAME_OK = 0, FRAME_OPAQUE = 1 };

struct frame_ops {
	/*
	 * Length of the frame that bytes begin with, and how many of its bytes take()
	 * wants to see; 0: more bytes are needed to tell; FRAME_BAD: no frame.
	 */
	int64_t (*size)(struct frames *f, struct view bytes, uint64_t *ret_show);
	/* FRAME_BAD: not this protocol. FRAME_OPAQUE: from here on neither direction is. */
	int (*take)(struct frames *f, const struct frame *frame);
	/* The frame taken last has come as far as end_off; whole: that is its end. missing: of it not captured. */
	void (*progress)(struct frames *f, uint64_t end_off, bool whole, uint64_t missing);
	/* After a loss: do bytes, the first of a segment, begin with a frame beyond doubt? NULL: never. */
	bool (*resync)(struct frames *f, struct view bytes);
	/* Frames were lost, of which len bytes are known to be. */
	void (*lost)(struct frames *f, uint64_t len);
};

/* What feed() and gap() return. */
int64_t frames_feed(struct frames *f, const struct frame_ops *ops);
int frames_gap(struct frames *f, const struct frame_ops *ops, uint64_t len);

#endif
