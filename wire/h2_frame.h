/* Frames of HTTP/2 (RFC 9113 4.1). Pure. */
#ifndef WIRE_H2_FRAME_H
#define WIRE_H2_FRAME_H

#include "base/view.h"

#define H2_HEAD_BYTES	9
#define H2_PREFACE	VIEW_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
#define H2_FRAME_USUAL	16384	/* longer ones must be asked for with SETTINGS */

enum h2_type {
	H2_DATA, H2_HEADERS, H2_PRIORITY, H2_RST_STREAM, H2_SETTINGS, H2_PUSH_PROMISE, H2_PING, H2_GOAWAY,
	H2_WINDOW_UPDATE, H2_CONTINUATION, H2_TYPES,
};

enum {
	H2_ACK = 1, H2_END_STREAM = 1, H2_END_HEADERS = 4, H2_PADDED = 8, H2_HAS_PRIORITY = 32,
};

struct h2_frame {
	uint32_t len;		/* of the payload */
	uint8_t type, flags;
	bool reserved;		/* the bit that must not be set is */
	uint32_t stream;
};

/* bytes: at least H2_HEAD_BYTES. */
struct h2_frame h2_frame_read(struct view bytes);
/* Do type, length and stream go together? loose: types of extensions too. */
bool h2_frame_valid(const struct h2_frame *frame, bool loose);
/*
 * The block fragment in the payload of HEADERS, PUSH_PROMISE or CONTINUATION,
 * without padding and priority; *ret_promised: the stream that PUSH_PROMISE names.
 * False: padding longer than the frame. payload may be cut short.
 */
bool h2_fragment(const struct h2_frame *frame, struct view payload, struct view *ret_fragment, uint32_t *ret_promised);

/*
 * Do bytes begin with frames beyond doubt: two heads that fit, or one frame that
 * ends with them and is no coincidence? *ret_more: with more bytes they might.
 */
bool h2_frames_likely(struct view bytes, bool *ret_more);

/* "CANCEL"; NULL: no name for it. */
const char *h2_error_name(uint32_t code);
const char *h2_type_name(uint8_t type);

#endif
