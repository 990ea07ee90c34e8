#include "wire/h2_frame.h"

#include "base/rd.h"
#include "wire/hpack.h"

#define LEN_MAX	((uint32_t)1 << 18)	/* of a frame nobody is sure of yet */

static const char *const type_names[H2_TYPES] = {
	"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE",
	"CONTINUATION",
};

/* RFC 9113 7 */
static const char *const error_names[] = {
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
};

const char *h2_error_name(uint32_t code)
{
	return code < sizeof(error_names) / sizeof(error_names[0]) ? error_names[code] : NULL;
}

const char *h2_type_name(uint8_t type)
{
	return type < H2_TYPES ? type_names[type] : NULL;
}

struct h2_frame h2_frame_read(struct view bytes)
{
	struct rd rd = rd_make(bytes);
	struct h2_frame frame;

	frame.len = rd_u24be(&rd);
	frame.type = rd_u8(&rd);
	frame.flags = rd_u8(&rd);
	frame.stream = rd_u32be(&rd);
	frame.reserved = frame.stream >> 31;
	frame.stream &= 0x7fffffff;
	return frame;
}

bool h2_frame_valid(const struct h2_frame *frame, bool loose)
{
	/* flags that mean something; others are to be ignored, but nobody sends them */
	static const uint8_t flags[H2_TYPES] = {
		[H2_DATA] = H2_END_STREAM | H2_PADDED,
		[H2_HEADERS] = H2_END_STREAM | H2_END_HEADERS | H2_PADDED | H2_HAS_PRIORITY,
		[H2_SETTINGS] = H2_ACK,
		[H2_PUSH_PROMISE] = H2_END_HEADERS | H2_PADDED,
		[H2_PING] = H2_ACK,
		[H2_CONTINUATION] = H2_END_STREAM | H2_END_HEADERS,	/* some set the first one too */
	};

	if (frame->reserved)
		return false;
	if (frame->type >= H2_TYPES)
		return loose;
	if (!loose && frame->flags & ~flags[frame->type])
		return false;
	switch ((enum h2_type)frame->type) {
	case H2_DATA:
		return frame->stream && (!(frame->flags & H2_PADDED) || frame->len);
	case H2_HEADERS:
		return frame->stream && frame->len >= (frame->flags & H2_HAS_PRIORITY ? 5u : 0) + !!(frame->flags & H2_PADDED);
	case H2_CONTINUATION:
		return frame->stream;
	case H2_PUSH_PROMISE:
		return frame->stream && frame->len >= 4;
	case H2_PRIORITY:
		return frame->stream && frame->len == 5;
	case H2_RST_STREAM:
		return frame->stream && frame->len == 4;
	case H2_SETTINGS:
		return !frame->stream && frame->len % 6 == 0 && (!(frame->flags & H2_ACK) || !frame->len);
	case H2_PING:
		return !frame->stream && frame->len == 8;
	case H2_GOAWAY:
		return !frame->stream && frame->len >= 8;
	case H2_WINDOW_UPDATE:
		return frame->len == 4;
	case H2_TYPES:
		break;
	}
	return false;
}

bool h2_fragment(const struct h2_frame *frame, struct view payload, struct view *ret_fragment, uint32_t *ret_promised)
{
	struct rd rd = rd_make(payload);
	uint32_t pad = 0, used, promised = 0;

	if (frame->type != H2_CONTINUATION && frame->flags & H2_PADDED)
		pad = rd_u8(&rd);
	if (frame->type == H2_HEADERS && frame->flags & H2_HAS_PRIORITY)
		rd_skip(&rd, 5);
	if (frame->type == H2_PUSH_PROMISE)
		promised = rd_u32be(&rd) & 0x7fffffff;
	used = (uint32_t)rd_pos(&rd);
	if (rd.bad || pad > frame->len - used)
		return false;
	*ret_fragment = view_sub(rd_rest(&rd), 0, frame->len - used - pad);
	*ret_promised = promised;
	return true;
}

/* Settings as they are sent: few, of known numbers (RFC 9113 6.5.2) or reserved ones for practice. */
static bool settings_likely(struct view payload)
{
	struct rd rd = rd_make(payload);
	unsigned known = 0;

	if (payload.len > 32 * 6)
		return false;
	while (rd_left(&rd) >= 6) {
		uint16_t id = rd_u16be(&rd);
		uint32_t value = rd_u32be(&rd);

		if ((id == 2 && value > 1) || (id == 4 && value >> 31) || (id == 5 && (value < 16384 || value > 0xffffff)) ||
		    (id == 8 && value > 1))
			return false;
		known += id >= 1 && id <= 9;
	}
	return known > 0;
}

/* One frame alone, whole: does its payload say what it is? */
static bool frame_likely(const struct h2_frame *frame, struct view payload)
{
	struct view fragment;
	uint32_t promised;

	if (frame->type == H2_SETTINGS)
		return settings_likely(payload);
	if (frame->type == H2_HEADERS && frame->flags & H2_END_HEADERS && frame->stream % 2)
		return h2_fragment(frame, payload, &fragment, &promised) && fragment.len > 1 && hpack_plausible(fragment);
	return false;
}

bool h2_frames_likely(struct view bytes, bool *ret_more)
{
	unsigned fit = 0;
	size_t pos = 0;

	*ret_more = false;
	while (pos + H2_HEAD_BYTES <= bytes.len) {
		struct h2_frame frame = h2_frame_read(view_sub(bytes, pos, H2_HEAD_BYTES));
		struct view payload = view_sub(bytes, pos + H2_HEAD_BYTES, frame.len);

		if (!h2_frame_valid(&frame, false) || frame.len > LEN_MAX)
			return false;
		if (payload.len == frame.len && frame_likely(&frame, payload))
			return true;
		fit++;
		pos += H2_HEAD_BYTES + (size_t)frame.len;
	}
	if (fit >= 2)
		return true;
	/* the rest of the frame, or what follows a server's empty SETTINGS */
	*ret_more = fit && (pos > bytes.len || (pos == bytes.len && bytes.at[3] == H2_SETTINGS));
	return false;
}
