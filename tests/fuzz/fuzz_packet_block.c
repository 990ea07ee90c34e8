/* Any bytes as a packet block, or as changes to a good one whose checksums are made right again. */
#include <assert.h>

#include "base/clock.h"
#include "store/codec.h"
#include "store/envelope.h"
#include "store/packet_block.h"
#include "tests/random.h"

#define HEADER_BYTES 112

static uint32_t u32_at(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, 4);
	return v;
}

static void checksums_repair(uint8_t *blob, size_t len)
{
	struct view stored = view_make(blob, len);
	uint32_t length = (uint32_t)len;
	uint64_t sum;
	size_t checked;

	if (len < HEADER_BYTES)
		return;
	memcpy(blob, "TDPB\1\0\0\0", 8);
	memcpy(blob + 12, &length, 4);
	checked = HEADER_BYTES + (size_t)u32_at(blob + 80) + u32_at(blob + 84);
	if (checked > len)
		return;
	sum = codec_checksum(view_sub(stored, checked, u32_at(blob + 96)));
	memcpy(blob + 104, &sum, 8);	/* right for frames that are not packed */
	sum = codec_checksum(view_sub(stored, 0, 16)) ^
	      codec_checksum(view_sub(stored, ENVELOPE_BYTES, checked - ENVELOPE_BYTES));
	memcpy(blob + 16, &sum, 8);
}

static void block_read(struct view stored)
{
	struct packet_block block;
	struct packet_block_info info;
	struct packet_block_flows iter;
	struct err err = { 0 };
	struct wr again;
	uint64_t id;
	int rc;

	(void)packet_block_init(&block, 0);
	if (packet_block_peek(stored, &info, NULL) == 0) {
		(void)packet_block_has_flow(&info, 77);
		for (iter = packet_block_flows(&info); packet_block_flow_next(&iter, &id) > 0;)
			assert(iter.left < info.flow_count);
	}
	rc = packet_block_read(stored, &block, &err);
	assert((rc < 0) == (err.text[0] != '\0') && (rc == 0 || block.count == 0));
	if (rc == 0) {
		size_t bytes = 0;

		for (uint32_t i = 0; i < block.count; i++) {
			struct packet_rec rec = packet_block_rec(&block, i);

			if (rec.frame.len)
				bytes += rec.frame.len + 0 * rec.frame.at[rec.frame.len - 1];
		}
		assert(bytes == block.bytes.len);
		wr_init(&again, 0);
		rc = packet_block_write(&block, NULL, CODEC_LZ4, 0, &again, NULL);
		assert(rc == 0);
		rc = packet_block_read(wr_view(&again), &block, NULL);
		assert(rc == 0);
		wr_release(&again);
	}
	packet_block_release(&block);
}

static struct view block_good(unsigned kind)
{
	static struct wr blocks[6];
	struct wr *out = &blocks[kind % 6];
	struct random random = { kind % 6 };
	struct packet_block block;
	uint8_t frame[256];

	if (out->at)
		return wr_view(out);
	(void)packet_block_init(&block, 9);
	for (unsigned i = 0; i < (kind % 6 < 3 ? 20u : 300u); i++) {
		struct packet_rec rec = { .time_ns = 5 * NS_PER_HOUR + i * 12345, .number = i + 1,
					  .flow_id = random_below(&random, 9), .iface = (uint32_t)random_below(&random, 2),
					  .link = 1, .segments = 1, .dir = (uint8_t)random_below(&random, 2) };

		rec.frame = view_make(frame, random_below(&random, sizeof(frame)));
		for (size_t at = 0; at < rec.frame.len; at++)
			frame[at] = (uint8_t)random_below(&random, 50);
		rec.orig_len = (uint32_t)rec.frame.len;
		(void)packet_block_add(&block, &rec);
	}
	(void)packet_block_write(&block, NULL, (enum codec)(kind % 3), 0, out, NULL);
	assert(!out->bad);
	packet_block_release(&block);
	return wr_view(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct rd rd = rd_make(view_make(at, len));
	unsigned mode = rd_u8(&rd), kind = rd_u8(&rd);
	struct wr blob;

	if (rd.bad)
		return 0;
	if (mode % 4 == 0) {
		block_read(rd_rest(&rd));
		return 0;
	}
	wr_init(&blob, 0);
	if (mode % 4 == 1) {
		wr_bytes(&blob, rd_rest(&rd));
	} else {
		wr_bytes(&blob, block_good(kind));
		while (rd_left(&rd) >= 3) {
			size_t place = rd_u16le(&rd) % (mode % 4 == 2 ? 400 : blob.len);

			if (place < blob.len)
				blob.at[place] ^= rd_u8(&rd);
			else
				rd_skip(&rd, 1);
		}
	}
	checksums_repair(blob.at, blob.len);
	block_read(wr_view(&blob));
	wr_release(&blob);
	return 0;
}
