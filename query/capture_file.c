#include "query/capture_file.h"

#include "base/clock.h"

#define SNAPLEN 262144 /* what readers accept: libpcap's MAXIMUM_SNAPLEN */

enum { /* pcapng: blocks and options */
       NG_SECTION = 0x0a0d0d0a,
       NG_INTERFACE = 1,
       NG_PACKET = 6,
       NG_OPT_END = 0,
       NG_OPT_COMMENT = 1,
       NG_SHB_USERAPPL = 4,
       NG_IF_NAME = 2,
       NG_IF_TSRESOL = 9,
};

/* Numbers, which are little-endian as this machine's are (base/wr.c), the frame, and zeros behind it: in one step. */
static void record_write(struct wr *wr, const uint32_t *head, size_t head_bytes, struct view frame, size_t zeros)
{
	uint8_t *at = wr_space(wr, head_bytes + frame.len + zeros);

	if (!at)
		return;
	memcpy(at, head, head_bytes);
	if (frame.len)
		memcpy(at + head_bytes, frame.at, frame.len);
	memset(at + head_bytes + frame.len, 0, zeros);
}

void pcap_header(struct wr *wr, uint16_t link, bool nanos)
{
	wr_u32le(wr, nanos ? 0xa1b23c4d : 0xa1b2c3d4);
	wr_u16le(wr, 2);
	wr_u16le(wr, 4);
	wr_u32le(wr, 0); /* UTC */
	wr_u32le(wr, 0);
	wr_u32le(wr, SNAPLEN);
	wr_u32le(wr, link);
}

bool pcap_record(struct wr *wr, const struct packet_rec *rec, bool nanos)
{
	uint64_t seconds = rec->time_ns / NS_PER_SEC, rest = rec->time_ns % NS_PER_SEC;
	uint32_t head[4] = { (uint32_t)seconds, (uint32_t)(nanos ? rest : rest / NS_PER_US),
			     (uint32_t)rec->frame.len, rec->orig_len };

	if (seconds > UINT32_MAX)
		return false;
	record_write(wr, head, sizeof(head), rec->frame, 0);
	return true;
}

static void pad(struct wr *wr, size_t len)
{
	static const uint8_t zeros[4];

	wr_bytes(wr, view_make(zeros, -len & 3));
}

static size_t block_begin(struct wr *wr, uint32_t kind)
{
	size_t at = wr->len;

	wr_u32le(wr, kind);
	wr_u32le(wr, 0); /* length: known at the end */
	return at;
}

static void block_end(struct wr *wr, size_t at)
{
	uint32_t len = (uint32_t)(wr->len - at + 4);

	wr_u32le(wr, len);
	if (!wr->bad)
		wr_patch_u32le(wr, at + 4, len);
}

static void option(struct wr *wr, uint16_t code, struct view value)
{
	if (value.len > UINT16_MAX)
		value.len = UINT16_MAX;
	wr_u16le(wr, code);
	wr_u16le(wr, (uint16_t)value.len);
	wr_bytes(wr, value);
	pad(wr, value.len);
}

void pcapng_section(struct wr *wr)
{
	size_t at = block_begin(wr, NG_SECTION);

	wr_u32le(wr, 0x1a2b3c4d);
	wr_u16le(wr, 1);
	wr_u16le(wr, 0);
	wr_u64le(wr, UINT64_MAX); /* length not told: the file is streamed */
	option(wr, NG_SHB_USERAPPL, VIEW_LIT("tapedeck"));
	option(wr, NG_OPT_END, (struct view){ 0 });
	block_end(wr, at);
}

void pcapng_interface(struct wr *wr, uint16_t link, struct view name)
{
	static const uint8_t nanoseconds = 9;
	size_t at = block_begin(wr, NG_INTERFACE);

	wr_u16le(wr, link);
	wr_u16le(wr, 0);
	wr_u32le(wr, SNAPLEN);
	if (name.len)
		option(wr, NG_IF_NAME, name);
	option(wr, NG_IF_TSRESOL, view_make(&nanoseconds, 1));
	option(wr, NG_OPT_END, (struct view){ 0 });
	block_end(wr, at);
}

void pcapng_packet(struct wr *wr, const struct packet_rec *rec, uint32_t iface, struct view comment)
{
	size_t at = wr->len, zeros = -rec->frame.len & 3;
	uint32_t head[7] = { NG_PACKET, 0, iface, (uint32_t)(rec->time_ns >> 32), (uint32_t)rec->time_ns,
			     (uint32_t)rec->frame.len, rec->orig_len };

	record_write(wr, head, sizeof(head), rec->frame, zeros);
	if (comment.len) {
		option(wr, NG_OPT_COMMENT, comment);
		option(wr, NG_OPT_END, (struct view){ 0 });
	}
	block_end(wr, at);
}
