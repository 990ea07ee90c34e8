/*
 * Any bytes as a packet block of either version, or as changes to a good one (and
 * to its payload units) whose checksums are made right again.
 */
#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/codec.h"
#include "store/envelope.h"
#include "store/packet_block.h"
#include "store/packet_pack.h"
#include "store/packet_unit.h"
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
	if (blob[4] == 2) {	/* all of it is checked */
		memcpy(blob, "TDPB\2\0\0\0", 8);
		memcpy(blob + 12, &length, 4);
		sum = codec_checksum(view_sub(stored, 0, 16)) ^
		      codec_checksum(view_sub(stored, ENVELOPE_BYTES, len - ENVELOPE_BYTES));
		memcpy(blob + 16, &sum, 8);
		return;
	}
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

/* The units of the good blocks of version 2, in a file. */
static struct packet_units *units_of_good;

static void block_read(struct view stored)
{
	struct packet_want want = { .flows = (const uint64_t[]){ 3, 5 }, .flow_count = 2, .to_ns = UINT64_MAX };
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
	(void)packet_block_read_some(stored, units_of_good, &want, &block, NULL);
	rc = packet_block_read_some(stored, units_of_good, NULL, &block, &err);
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

#define RECS_MAX 300u

/* Kinds 0 to 2 are small: their sections are not packed, so that changes reach what is inside. */
static uint32_t recs_good(unsigned kind, struct packet_rec recs[RECS_MAX], uint8_t frames[RECS_MAX][256])
{
	static const uint8_t head[] = "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0"
				      "E\0\0\x34\0\x01\x40\0\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02"
				      "\x9c\x40\0\x50\0\0\0\x01\0\0\0\x02\x80\x18\x01\xf5\0\0\0\0"
				      "\x01\x01\x08\x0a\0\0\0\x07\0\0\0\x08";
	struct random random = { kind };
	uint32_t count = kind % 6 < 3 ? 20 : RECS_MAX;
	uint64_t flow = 1;

	for (uint32_t i = 0; i < count; i++) {
		struct packet_rec *rec = &recs[i];
		size_t len = random_below(&random, 256);

		flow = kind < 6 ? random_below(&random, 9) : flow + (i % 5 == 4);
		*rec = (struct packet_rec){ .time_ns = 5 * NS_PER_HOUR + i * 12345, .number = i + 1, .flow_id = flow,
					    .iface = (uint32_t)random_below(&random, 2), .link = 1, .segments = 1,
					    .dir = (uint8_t)random_below(&random, 2) };
		for (size_t at = 0; at < len; at++)
			frames[i][at] = (uint8_t)(i > 2 && i % 3 == 0 && at > 66 ? frames[i - 3][at]
										  : random_below(&random, 50));
		memcpy(frames[i], head, len < sizeof(head) - 1 ? len : sizeof(head) - 1);
		if (len > 40)
			frames[i][15 + random_below(&random, 25)] ^= (uint8_t)(i % 4 == 0);
		rec->frame = view_make(frames[i], len);
		rec->orig_len = (uint32_t)len;
	}
	return count;
}

static struct view block_good_2(unsigned kind)
{
	static struct packet_packed packed[12];
	static struct wr file, directory, unit_bytes;

	if (!units_of_good) {
		int fd = memfd_create("units", MFD_CLOEXEC), rc = packet_units_new(fd, "units", 1 << 20, &units_of_good, NULL);
		struct packet_packer *packer = NULL;

		wr_init(&file, 0);
		wr_init(&directory, 0);
		wr_init(&unit_bytes, 0);
		assert(rc == 0);
		rc = packet_packer_new(3, &packer);
		assert(rc == 0);
		for (unsigned i = 6; i < 12; i++) {
			static uint8_t frames[RECS_MAX][256];
			struct packet_rec recs[RECS_MAX];
			uint32_t count = recs_good(i, recs, frames);

			packet_packed_init(&packed[i]);
			packet_packer_begin(packer);
			packet_packer_pack(packer, 0, 9, recs, count, &packed[i]);
			assert(packed[i].rc == 0 && packed[i].block.at[4] == 2);
			wr_bytes(&file, wr_view(&packed[i].units));
			wr_bytes(&unit_bytes, wr_view(&packed[i].unit_bytes));
		}
		packet_packer_free(packer);
		packet_directory_write(0, 0, wr_view(&unit_bytes), &directory);
		rc = write(fd, file.at, file.len) == (ssize_t)file.len ? 0 : -1;
		assert(rc == 0);
		rc = packet_units_learn(units_of_good, wr_view(&directory), file.len, NULL);
		assert(rc == 0);
	}
	return wr_view(&packed[6 + kind % 6].block);
}

static struct view block_good(unsigned kind)
{
	static struct wr blocks[6];
	static uint8_t frames[RECS_MAX][256];
	struct wr *out = &blocks[kind % 6];
	struct packet_rec recs[RECS_MAX];
	struct packet_block block;
	uint32_t count;

	if (kind % 12 >= 6)
		return block_good_2(kind);
	if (out->at)
		return wr_view(out);
	(void)packet_block_init(&block, 9);
	count = recs_good(kind % 6, recs, frames);
	for (uint32_t i = 0; i < count; i++)
		(void)packet_block_add(&block, &recs[i]);
	(void)packet_block_write(&block, NULL, (enum codec)(kind % 3), 0, out, NULL);
	assert(!out->bad);
	packet_block_release(&block);
	return wr_view(out);
}

/* A payload unit by itself: any bytes, or a good one changed, its checksum right. */
static void unit_read(struct view rest)
{
	static uint8_t plain[PACKET_UNIT_BYTES];
	struct rd rd = rd_make(rest);
	struct wr out;
	bool raw = false;
	size_t len;

	wr_init(&out, 0);
	(void)packet_unit_read(rest, 7, plain, &len, NULL);
	(void)packet_unit_write(7, VIEW_LIT("a unit of text, and of text, and of text, and of text, and of more text"), 3,
				&raw, &out, NULL);
	while (rd_left(&rd) >= 2 && out.len > ENVELOPE_BYTES) {
		size_t place = ENVELOPE_BYTES + rd_u8(&rd) % (out.len - ENVELOPE_BYTES);

		out.at[place] ^= rd_u8(&rd);
	}
	if (!out.bad) {
		uint64_t sum = codec_checksum(view_make(out.at, 16)) ^
			       codec_checksum(view_make(out.at + ENVELOPE_BYTES, out.len - ENVELOPE_BYTES));

		memcpy(out.at + 16, &sum, 8);
		(void)packet_unit_read(wr_view(&out), 7, plain, &len, NULL);
	}
	wr_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct rd rd = rd_make(view_make(at, len));
	unsigned mode = rd_u8(&rd), kind = rd_u8(&rd);
	struct wr blob;

	if (rd.bad)
		return 0;
	(void)block_good_2(0);
	if (mode % 4 == 0) {
		if (kind % 2)
			unit_read(rd_rest(&rd));
		else
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
