/*
 * Any order of any segments: instructions of six bytes (direction and flags, sequence,
 * acknowledgement, lengths) take pieces of a conversation that is right, or of the
 * input itself, and shuffle, cut, repeat and lose them.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/rd.h"
#include "wire/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static const char client[] =
	"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
	"HEAD /c HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\nContent-Length: 40\r\n\r\n0123456789012345678901234567890123456789"
	"CONNECT h:1 HTTP/1.1\r\n\r\nopaque bytes to the end";
static const char server[] =
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n"
	"012345678901234567890123456789012345678901234567890123456789"
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\nT: 1\r\n\r\nHTTP/1.1 200 OK\r\n"
	"Content-Length: 7\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nopaque answers";

static void emit(void *arg, const struct call *call)
{
	assert(call->row.end_ns >= call->row.start_ns);
	++*(uint64_t *)arg;
}

static void step(struct stream *stream, struct rd *rd, uint64_t *now_ns)
{
	uint8_t what = rd_u8(rd), seq = rd_u8(rd), ack = rd_u8(rd), n = rd_u8(rd);
	uint16_t far = rd_u16le(rd);
	unsigned dir = what & 1;
	struct view text = dir ? view_make(server, sizeof(server) - 1) : view_make(client, sizeof(client) - 1);
	struct packet packet = { .status = DECODE_OK, .has_tcp = true, .has_ports = true, .segments = 1, .proto = PROTO_tcp };
	uint64_t off = seq * 2ull;
	uint8_t *copy;

	*now_ns += far & 0xff ? 1000000 : 400000000;
	packet.time_ns = *now_ns;
	packet.payload = view_sub(text, off, n);
	if (what & 2) {
		packet.payload = rd_bytes(rd, n < rd_left(rd) ? n : rd_left(rd));
		off = (uint64_t)seq + far;
	}
	if ((what & 0xc) == 4)
		off += (uint64_t)far << 16;
	packet.payload_len = (uint32_t)packet.payload.len + ((what & 0xc) == 8 ? far & 0x3ff : 0);
	packet.seq = (dir ? 77u : UINT32_MAX - 30) + 1 + (uint32_t)off;
	packet.ack = (dir ? UINT32_MAX - 30 : 77u) + 1 + ack * 2u;
	packet.flags = TCP_ACK;
	if ((what & 0xf0) == 0x10) {
		packet.flags = dir ? TCP_SYN | TCP_ACK : TCP_SYN;
		packet.seq--;
	} else if ((what & 0xf0) == 0x20) {
		packet.flags |= TCP_FIN;
	} else if ((what & 0xf0) == 0x30) {
		packet.flags |= TCP_RST;
	} else if ((what & 0xf0) == 0x40) {
		stream_tick(stream, *now_ns);
	}
	copy = malloc(packet.payload.len ? packet.payload.len : 1);
	if (!copy)
		abort();
	if (packet.payload.len)
		memcpy(copy, packet.payload.at, packet.payload.len);
	packet.payload.at = copy;
	stream_packet(stream, dir, &packet);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct call_pool *calls = call_pool_new(&(struct call_pool_opts){ .calls_max = 50 });
	struct rd rd = rd_make(view_make(at, len));
	uint8_t first = rd_u8(&rd);
	struct stream_pool *streams = stream_pool_new(&(struct stream_pool_opts){
		.bytes_max = first & 1 ? 4096 : 0, .flow_bytes_max = first & 2 ? 1000 : 0 });
	uint64_t next_id = 0, count = 0, now_ns = 1000000000;
	struct call_sink sink = { .pool = calls, .next_id = &next_id, .emit = emit, .arg = &count };
	struct stream *stream;
	struct stream_stats stats;

	if (!calls || !streams)
		abort();
	stream = stream_new(streams, &sink, PROTO_tcp, 40000, first & 4 ? 53 : 80);
	if (!stream)
		abort();
	while (rd_left(&rd) && !rd.bad)
		step(stream, &rd, &now_ns);
	stream_free(stream, CALL_END_closed);
	assert(sink.open_calls == 0 && call_pool_open(calls) == 0);
	stream_pool_stats(streams, &stats);
	assert(stats.held_bytes == 0);
	stream_pool_free(streams);
	call_pool_free(calls);
	return 0;
}
