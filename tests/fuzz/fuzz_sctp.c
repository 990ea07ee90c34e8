/*
 * Any chunks in any order: the input is cut into packets, each a byte of direction and time, two of length, and what
 * stands behind the common header. Instructions of a second kind make DATA of a conversation that is right.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/rd.h"
#include "wire/sctp.h"
#include "wire/stream.h"

/* A request and an answer of Diameter, 32 bytes each. */
static const uint8_t message[2][32] = {
	{ 1, 0, 0, 32, 0x80, 0, 1, 24, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 8, 0x40, 0, 0, 12, 'c', '.', 'e', 'x' },
	{ 1, 0, 0, 32, 0, 0, 1, 24, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 12, 0x40, 0, 0, 12, 0, 0, 7, 0xd1 },
};

static void emit(void *arg, const struct call *call)
{
	assert(call->row.end_ns >= call->row.start_ns);
	++*(uint64_t *)arg;
}

static size_t good_data(uint8_t *at, unsigned dir, uint32_t tsn, uint8_t flags, unsigned from, unsigned len)
{
	from %= 31;
	len = 1 + len % (32 - from);
	memset(at, 0, 16);
	at[1] = flags & 7;
	at[3] = (uint8_t)(16 + len);
	at[4] = (uint8_t)(tsn >> 24), at[5] = (uint8_t)(tsn >> 16), at[6] = (uint8_t)(tsn >> 8), at[7] = (uint8_t)tsn;
	at[15] = 46;
	memcpy(at + 16, message[dir] + from, len);
	return 16 + len;
}

static void step(struct stream *stream, struct sctp_assoc *assoc, struct rd *rd, uint64_t *now_ns)
{
	uint8_t what = rd_u8(rd);
	unsigned dir = what & 1;
	struct packet packet = { .status = DECODE_OK, .has_ports = true, .segments = 1, .proto = PROTO_sctp };
	uint8_t made[64], *copy;
	struct sctp_sum sum;
	struct view bytes;

	*now_ns += what & 2 ? 1000000 : 300000000;
	if (what & 4) {
		uint8_t a = rd_u8(rd), b = rd_u8(rd), c = rd_u8(rd);

		bytes = view_make(made, good_data(made, dir, UINT32_MAX - 3 + a, what >> 3, b, c));
	} else {
		size_t len = rd_u16be(rd);

		bytes = rd_bytes(rd, len < rd_left(rd) ? len : rd_left(rd));
	}
	copy = malloc(bytes.len ? bytes.len : 1);
	if (!copy)
		abort();
	if (bytes.len)
		memcpy(copy, bytes.at, bytes.len);
	packet.time_ns = *now_ns;
	packet.payload = view_make(copy, bytes.len);
	packet.payload_len = (uint32_t)bytes.len + (what & 8 ? what : 0);
	sctp_assoc_packet(assoc, dir, &packet, &sum);
	assert(sum.goodput_bytes <= packet.payload_len);
	(void)sctp_assoc_reuses(assoc, dir, &packet);
	(void)sctp_opener(&packet);
	stream_packet(stream, dir, &packet);
	if (what & 16)
		stream_tick(stream, *now_ns);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct call_pool *calls = call_pool_new(&(struct call_pool_opts){ .calls_max = 50 });
	struct rd rd = rd_make(view_make(at, len));
	uint8_t first = rd_u8(&rd);
	struct stream_pool *streams = stream_pool_new(&(struct stream_pool_opts){
		.bytes_max = first & 1 ? 8192 : 0, .flow_bytes_max = first & 2 ? 1000 : 0 });
	uint64_t next_id = 0, count = 0, now_ns = 1000000000;
	struct call_sink sink = { .pool = calls, .next_id = &next_id, .emit = emit, .arg = &count };
	struct sctp_assoc assoc = { 0 };
	struct stream_stats stats;
	struct stream *stream;

	assert(calls && streams);
	stream = stream_new(streams, &sink, PROTO_sctp, 40000, first & 4 ? 3868 : 9999);
	assert(stream);
	if (first & 8)
		stream_sctp_start(stream, 0, UINT32_MAX - 3);
	while (rd_left(&rd) && !rd.bad)
		step(stream, &assoc, &rd, &now_ns);
	stream_free(stream, CALL_END_closed);
	assert(sink.open_calls == 0 && call_pool_open(calls) == 0);
	stream_pool_stats(streams, &stats);
	assert(stats.held_bytes == 0);
	stream_pool_free(streams);
	call_pool_free(calls);
	return 0;
}
