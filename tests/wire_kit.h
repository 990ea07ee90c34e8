/*
 * What the tests of wire/ share: pools with one flow, its calls as text, and
 * whole capture files run through decode and streams.
 */
#ifndef TESTS_WIRE_KIT_H
#define TESTS_WIRE_KIT_H

#include "base/rd.h"
#include "base/wr.h"
#include "tests/check.h"
#include "wire/decode.h"
#include "wire/stream.h"

#define KIT_CALLS_MAX 4096
#define KIT_TEXTS_MAX ((size_t)8 << 20)

/* A finished call, copied: texts live in the kit. */
struct kit_call {
	struct call_row row;
	uint64_t req_off, rsp_off;
	bool has_req, has_rsp, rsp_whole;
	uint8_t req_dir;
};

struct kit {
	struct call_pool *calls;
	struct stream_pool *streams;
	struct call_sink sink;
	struct stream *stream;
	uint64_t next_id;
	uint32_t isn[2];
	uint64_t sent[2];	/* bytes sent so far each way */
	uint64_t now_ns;
	struct kit_call *call;
	unsigned count, calls_max;
	struct wr texts;
};

/* Copies every view of the row that is set. */
static inline void kit_emit(void *arg, const struct call *call)
{
	struct kit *kit = arg;
	struct kit_call *to;
	const struct table *table = table_get(TABLE_CALLS);

	cr_assert(kit->count < kit->calls_max, "more than %u calls", kit->calls_max);
	to = &kit->call[kit->count++];
	to->row = call->row;
	to->req_off = call->req_off;
	to->rsp_off = call->rsp_off;
	to->has_req = call->has_req;
	to->has_rsp = call->has_rsp;
	to->rsp_whole = call->rsp_whole;
	to->req_dir = call->req_dir;
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		struct view text;
		uint64_t number;

		if (types[col->type].phys != PHYS_BYTES || col->type == TYPE_IP ||
		    !row_get(col, &call->row, &number, &text))
			continue;
		cr_assert(text.len == 0 || wr_space(&kit->texts, 0), "no room");
		cr_assert(kit->texts.cap - kit->texts.len >= text.len, "texts of the kit are full");
		text = view_make(memcpy(kit->texts.at + kit->texts.len, text.len ? text.at : (const uint8_t *)"",
					text.len), text.len);
		kit->texts.len += text.len;
		(void)row_put(col, &to->row, 0, text);
	}
}

/* scale: so many times the calls and texts of a common test. */
static inline void kit_init_scaled(struct kit *kit, const struct stream_pool_opts *opts, unsigned scale)
{
	memset(kit, 0, sizeof(*kit));
	kit->calls_max = KIT_CALLS_MAX * scale;
	kit->calls = call_pool_new(NULL);
	kit->streams = stream_pool_new(opts);
	kit->call = mem_array(kit->calls_max, sizeof(*kit->call));
	wr_init(&kit->texts, 0);
	CHECK(kit->calls && kit->streams && kit->call && wr_reserve(&kit->texts, KIT_TEXTS_MAX * scale));
	kit->sink = (struct call_sink){ .pool = kit->calls, .next_id = &kit->next_id, .emit = kit_emit,
					.arg = kit };
	kit->isn[0] = 1000;
	kit->isn[1] = 5000;
	kit->now_ns = 1000000000;
}

static inline void kit_init(struct kit *kit, const struct stream_pool_opts *opts)
{
	kit_init_scaled(kit, opts, 1);
}

static inline void kit_flow(struct kit *kit, uint8_t proto, uint16_t src_port, uint16_t dst_port)
{
	kit->sent[0] = kit->sent[1] = 0;
	kit->stream = stream_new(kit->streams, &kit->sink, proto, src_port, dst_port);
	CHECK(kit->stream);
}

static inline void kit_end(struct kit *kit, uint8_t reason)
{
	stream_free(kit->stream, reason);
	kit->stream = NULL;
	CHECK_U64(kit->sink.open_calls, 0);
}

static inline void kit_release(struct kit *kit)
{
	struct stream_stats stats;

	stream_free(kit->stream, CALL_END_capture_end);
	CHECK_U64(call_pool_open(kit->calls), 0);
	stream_pool_stats(kit->streams, &stats);
	CHECK_U64(stats.held_bytes, 0);
	call_pool_free(kit->calls);
	stream_pool_free(kit->streams);
	mem_free(kit->call);
	wr_release(&kit->texts);
}

/* One segment; off is the stream offset of its first byte. */
static inline void kit_segment(struct kit *kit, unsigned dir, uint64_t off, struct view bytes, size_t wire_len,
			       uint16_t flags, uint64_t ack_off)
{
	struct packet packet = {
		.time_ns = kit->now_ns, .status = DECODE_OK, .proto = PROTO_tcp, .has_tcp = true, .segments = 1,
		.payload = bytes, .payload_len = (uint32_t)wire_len, .flags = flags,
		.seq = kit->isn[dir] + 1 + (uint32_t)off, .ack = kit->isn[!dir] + 1 + (uint32_t)ack_off,
	};

	if (flags & TCP_SYN)
		packet.seq--;
	stream_packet(kit->stream, dir, &packet);
}

static inline void kit_handshake(struct kit *kit)
{
	struct view none = { NULL, 0 };

	kit_segment(kit, 0, 0, none, 0, TCP_SYN, 0);
	kit_segment(kit, 1, 0, none, 0, TCP_SYN | TCP_ACK, 0);
	kit_segment(kit, 0, 0, none, 0, TCP_ACK, 0);
}

/* Bytes in order, a millisecond after the last, acknowledging all the other side has sent. */
static inline void kit_sendv(struct kit *kit, unsigned dir, struct view bytes)
{
	kit->now_ns += 1000000;
	kit_segment(kit, dir, kit->sent[dir], bytes, bytes.len, TCP_ACK | TCP_PSH, kit->sent[!dir]);
	kit->sent[dir] += bytes.len;
}

static inline void kit_send(struct kit *kit, unsigned dir, const char *bytes)
{
	kit_sendv(kit, dir, view_str(bytes));
}

/* Bytes the capture has missed. */
static inline void kit_lose(struct kit *kit, unsigned dir, const char *bytes)
{
	kit->sent[dir] += strlen(bytes);
}

static inline void kit_fin(struct kit *kit, unsigned dir)
{
	struct view none = { NULL, 0 };

	kit->now_ns += 1000000;
	kit_segment(kit, dir, kit->sent[dir], none, 0, TCP_FIN | TCP_ACK, kit->sent[!dir]);
}

static inline void kit_datagram(struct kit *kit, unsigned dir, struct view bytes)
{
	struct packet packet = {
		.time_ns = kit->now_ns += 1000000, .status = DECODE_OK, .proto = PROTO_udp, .segments = 1,
		.payload = bytes, .payload_len = (uint32_t)bytes.len, .has_ports = true,
	};

	stream_packet(kit->stream, dir, &packet);
}

/* A call in one line, without times: what must not depend on how the bytes came. */
static inline void kit_line(const struct kit_call *call, struct wr *out)
{
	const struct call_row *row = &call->row;
	const char *end = sym_name(SYMS_CALL_END, row->end_reason);

#define KIT_TEXT(member) \
	ROW_HAS(CALL, row, member) ? (int)row->member.len : 1, \
		ROW_HAS(CALL, row, member) && row->member.len ? (const char *)row->member.at : "-"
	wr_printf(out, "%.*s %.*s ", KIT_TEXT(method), KIT_TEXT(target));
	if (ROW_HAS(CALL, row, status))
		wr_printf(out, "%u", row->status);
	else
		wr_str(out, "-");
	wr_printf(out, " %s", end ? end : "?");
	if (call->has_req)
		wr_printf(out, " req=%" PRIu64 "+%" PRIu64, call->req_off, row->req_bytes);
	if (call->has_rsp)
		wr_printf(out, " rsp=%" PRIu64 "+%" PRIu64, call->rsp_off, row->rsp_bytes);
	if (ROW_HAS(CALL, row, rsp_body_bytes))
		wr_printf(out, " body=%" PRIu64, row->rsp_body_bytes);
	if (ROW_HAS(CALL, row, missing_bytes))
		wr_printf(out, " missing=%" PRIu64, row->missing_bytes);
	if (ROW_HAS(CALL, row, answers))
		wr_printf(out, " answers=%.*s", KIT_TEXT(answers));
	if (ROW_HAS(CALL, row, error))
		wr_printf(out, " error=%.*s", KIT_TEXT(error));
	wr_str(out, "\n");
#undef KIT_TEXT
}

/* All calls so far; the text lives until the next one. */
static inline const char *kit_lines(const struct kit *kit, struct wr *out)
{
	wr_reset(out);
	for (unsigned i = 0; i < kit->count; i++)
		kit_line(&kit->call[i], out);
	wr_u8(out, 0);
	CHECK_NOT(out->bad);
	return (const char *)out->at;
}

#define CHECK_LINES(kit, want)						\
	do {								\
		struct wr check_out;					\
									\
		wr_init(&check_out, 0);					\
		CHECK_STR(kit_lines(kit, &check_out), want);		\
		wr_release(&check_out);					\
	} while (0)

/* ---- capture files ---- */

struct kit_flow {
	struct ip a, b;
	uint16_t a_port, b_port;
	uint8_t proto;
	struct stream *stream;
	struct call_sink sink;
};

#define KIT_FLOWS_MAX 4096

struct kit_frame {
	uint64_t time_ns;
	struct view bytes;
	uint32_t orig_len;
	uint16_t link;
};

#define KIT_IFACES_MAX 128

struct kit_file {
	struct view all;
	size_t pos;
	bool swapped, nanos, ng;
	uint16_t link;
	uint16_t iface_link[KIT_IFACES_MAX];
	unsigned ifaces;
};

static inline uint32_t kit_u32(const struct kit_file *file, size_t at)
{
	uint32_t v;

	memcpy(&v, file->all.at + at, 4);
	return file->swapped ? __builtin_bswap32(v) : v;
}

/* The file whole; false: no such file. Give the bytes back with mem_free. */
static inline bool kit_file_open(struct kit_file *file, const char *path)
{
	FILE *in = fopen(path, "rb");
	long size;
	uint8_t *at;
	uint32_t magic;

	memset(file, 0, sizeof(*file));
	if (!in)
		return false;
	cr_assert(fseek(in, 0, SEEK_END) == 0);
	size = ftell(in);
	rewind(in);
	at = mem_alloc((size_t)size + 1);
	cr_assert(at && fread(at, 1, (size_t)size, in) == (size_t)size);
	(void)fclose(in);
	file->all = view_make(at, (size_t)size);
	if (size < 24)
		return true;
	memcpy(&magic, at, 4);
	file->ng = magic == 0x0a0d0d0a;
	file->swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	file->nanos = magic == 0xa1b23c4d || magic == 0x4d3cb2a1;
	file->pos = file->ng ? 0 : 24;
	if (!file->ng)
		file->link = (uint16_t)kit_u32(file, 20);
	return true;
}

/* Enough of pcap and little-endian pcapng with microseconds for the captures at hand. */
static inline bool kit_file_next(struct kit_file *file, struct kit_frame *frame)
{
	while (file->pos + 16 <= file->all.len) {
		size_t at = file->pos, len;

		if (!file->ng) {
			len = kit_u32(file, at + 8);
			if (len > file->all.len - at - 16)
				return false;
			frame->time_ns = kit_u32(file, at) * 1000000000ull +
				kit_u32(file, at + 4) * (file->nanos ? 1ull : 1000ull);
			frame->bytes = view_sub(file->all, at + 16, len);
			frame->orig_len = kit_u32(file, at + 12);
			frame->link = file->link;
			file->pos = at + 16 + len;
			return true;
		}
		len = kit_u32(file, at + 4);
		if (len < 12 || len > file->all.len - at)
			return false;
		file->pos = at + len;
		if (kit_u32(file, at) == 1 && file->ifaces < KIT_IFACES_MAX)
			file->iface_link[file->ifaces++] = (uint16_t)kit_u32(file, at + 8);
		if (kit_u32(file, at) != 6 || len < 32)
			continue;
		frame->time_ns = ((uint64_t)kit_u32(file, at + 12) << 32 | kit_u32(file, at + 16)) * 1000;
		frame->bytes = view_sub(file->all, at + 28, kit_u32(file, at + 20));
		frame->orig_len = kit_u32(file, at + 24);
		if (kit_u32(file, at + 8) >= file->ifaces)
			return false;
		frame->link = file->iface_link[kit_u32(file, at + 8)];
		return true;
	}
	return false;
}

static inline struct kit_flow *kit_find_flow(struct kit *kit, struct kit_flow *flows, unsigned *count,
					     const struct packet *p, unsigned *ret_dir)
{
	struct kit_flow *flow;

	for (unsigned i = *count; i-- > 0;) {
		flow = &flows[i];
		if (flow->proto != p->proto)
			continue;
		if (ip_eq(&flow->a, &p->src) && ip_eq(&flow->b, &p->dst) && flow->a_port == p->sport &&
		    flow->b_port == p->dport) {
			*ret_dir = 0;
			if (p->has_tcp && (p->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
			    stream_seq(flow->stream, 0, 0) != p->seq + 1)
				break;	/* the ports again: a new connection */
			return flow;
		}
		if (ip_eq(&flow->a, &p->dst) && ip_eq(&flow->b, &p->src) && flow->a_port == p->dport &&
		    flow->b_port == p->sport) {
			*ret_dir = 1;
			return flow;
		}
	}
	if (*count == KIT_FLOWS_MAX)
		return NULL;
	flow = &flows[(*count)++];
	/* without the SYN, the lower port is the server's */
	*ret_dir = p->has_tcp && (!(p->flags & TCP_SYN) ? p->sport < p->dport : !!(p->flags & TCP_ACK));
	flow->a = *ret_dir ? p->dst : p->src;
	flow->b = *ret_dir ? p->src : p->dst;
	flow->a_port = *ret_dir ? p->dport : p->sport;
	flow->b_port = *ret_dir ? p->sport : p->dport;
	flow->proto = p->proto;
	flow->sink = (struct call_sink){ .pool = kit->calls, .next_id = &kit->next_id, .emit = kit_emit, .arg = kit };
	flow->stream = stream_new(kit->streams, &flow->sink, p->proto, flow->a_port, flow->b_port);
	CHECK(flow->stream);
	return flow;
}

/* All calls of a capture file into kit->call. False: no such file. */
static inline bool kit_run_file(struct kit *kit, const char *path)
{
	struct kit_flow *flows;
	struct kit_file file;
	struct kit_frame frame;
	unsigned count = 0, dir;

	if (!kit_file_open(&file, path))
		return false;
	flows = mem_array(KIT_FLOWS_MAX, sizeof(*flows));
	CHECK(flows);
	while (kit_file_next(&file, &frame)) {
		struct packet packet = { .time_ns = frame.time_ns, .frame = frame.bytes,
					 .orig_len = frame.orig_len, .link = frame.link, .segments = 1 };
		struct kit_flow *flow;

		(void)decode_frame(&packet);
		if (!packet.ip_version || !packet.has_ports || !stream_knows(packet.proto))
			continue;
		flow = kit_find_flow(kit, flows, &count, &packet, &dir);
		if (flow)
			stream_packet(flow->stream, dir, &packet);
	}
	for (unsigned i = 0; i < count; i++)
		stream_free(flows[i].stream, CALL_END_capture_end);
	mem_free(flows);
	mem_free((void *)(uintptr_t)file.all.at);
	return true;
}

#endif
