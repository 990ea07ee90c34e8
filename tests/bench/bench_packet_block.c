/*
 * Speed and size of packet blocks made of a classic pcap file (Ethernet), against zstd -3 of the file:
 *
 *   make && gcc -O2 -D_GNU_SOURCE -I. -o /tmp/bench_packet_block tests/bench/bench_packet_block.c \
 *       build/release/libtapedeck.a -lzstd -llz4 -lxxhash -lm && /tmp/bench_packet_block FILE.pcap...
 *
 * Flows are told apart roughly, by addresses and ports of IPv4; the sealed form is clustered by them. Version 2 is
 * measured as a partition has it: windows of up to 64 MiB, blocks of 2 MiB, units of payload that they share.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/packet_pack.h"
#include "store/packet_unit.h"

#define BLOCKS_MAX 4096
#define WINDOW_BYTES (64u << 20)
#define BLOCK_BYTES (2u << 20)
#define BLOCK_FRAMES (1u << 14)

static struct packet_block blocks[BLOCKS_MAX];
static size_t blocks_count;

static struct view file_read(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *at = NULL;
	long len;

	if (!file || fseek(file, 0, SEEK_END) != 0 || (len = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0 ||
	    !(at = mem_alloc((size_t)len)) || fread(at, 1, (size_t)len, file) != (size_t)len || fclose(file) != 0) {
		fprintf(stderr, "%s: cannot read\n", path);
		exit(1);
	}
	return view_make(at, (size_t)len);
}

static uint64_t flow_of(struct view frame)
{
	uint32_t a, b;
	uint16_t p, q;

	if (frame.len < 38 || frame.at[12] != 8 || frame.at[13] != 0)
		return 0;
	memcpy(&a, frame.at + 26, 4);
	memcpy(&b, frame.at + 30, 4);
	memcpy(&p, frame.at + 34, 2);
	memcpy(&q, frame.at + 36, 2);
	return hash_mix((uint64_t)a ^ b, (uint64_t)p ^ q) >> 1;
}

static double seconds_since(uint64_t start_ns)
{
	return (double)(clock_mono_ns() - start_ns) / 1e9;
}

static struct packet_block *block_next(void)
{
	if (blocks_count == BLOCKS_MAX) {
		fprintf(stderr, "too large a file\n");
		exit(1);
	}
	(void)packet_block_init(&blocks[blocks_count], 1);
	return &blocks[blocks_count++];
}

/* Returns the number of frames. */
static uint64_t blocks_fill(struct view file, double *ret_seconds)
{
	struct rd rd = rd_make(file);
	uint32_t magic = rd_u32le(&rd), nanos = magic == 0xa1b23c4d;
	struct packet_block *block = block_next();
	uint64_t start = clock_mono_ns(), number = 0;

	if (magic != 0xa1b2c3d4 && !nanos) {
		fprintf(stderr, "not a little-endian pcap file\n");
		exit(1);
	}
	rd_skip(&rd, 20);
	for (;;) {
		uint32_t sec = rd_u32le(&rd), frac = rd_u32le(&rd), cap = rd_u32le(&rd), orig = rd_u32le(&rd);
		struct packet_rec rec = { .frame = rd_bytes(&rd, cap), .orig_len = orig, .link = 1, .segments = 1 };
		int rc;

		if (rd.bad)
			break;
		rec.time_ns = sec * NS_PER_SEC + frac * (nanos ? 1 : 1000ull);
		rec.number = ++number;
		rec.flow_id = flow_of(rec.frame);
		rec.dir = rec.frame.len > 37 && rec.frame.at[34] > rec.frame.at[36];
		rc = packet_block_add(block, &rec);
		if (rc == E_RANGE) {
			block = block_next();
			rc = packet_block_add(block, &rec);
		}
		if (rc == 1)
			block = block_next();
	}
	if (blocks[blocks_count - 1].count == 0)
		blocks_count--;
	*ret_seconds = seconds_since(start);
	return number;
}

static const struct packet_block *sorting;

static int cmp_clustered(const void *a, const void *b)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct packet_rec *x = &sorting->recs[i], *y = &sorting->recs[j];

	if (x->flow_id != y->flow_id)
		return x->flow_id < y->flow_id ? -1 : 1;
	return i < j ? -1 : i > j;
}

static void run(enum codec codec, bool clustered, uint64_t frames, size_t plain_bytes)
{
	double write = 0, read = 0;
	size_t stored = 0, overhead = 0;
	struct packet_block back;
	struct wr out;

	(void)packet_block_init(&back, 0);
	wr_init(&out, 0);
	for (size_t i = 0; i < blocks_count; i++) {
		uint32_t *order = clustered ? mem_array(blocks[i].count, sizeof(*order)) : NULL;
		struct packet_block_info info;
		struct err err = { 0 };
		uint64_t start;

		for (uint32_t n = 0; order && n < blocks[i].count; n++)
			order[n] = n;
		sorting = &blocks[i];
		if (order)
			qsort(order, blocks[i].count, sizeof(*order), cmp_clustered);
		wr_reset(&out);
		start = clock_mono_ns();
		if (packet_block_write(&blocks[i], order, codec, 0, &out, &err) < 0)
			exit(1);
		write += seconds_since(start);
		stored += out.len;
		start = clock_mono_ns();
		if (packet_block_read(wr_view(&out), &back, &err) < 0 || packet_block_peek(wr_view(&out), &info, &err) < 0)
			exit(1);
		read += seconds_since(start);
		overhead += out.len - info.stored_bytes;
		mem_free(order);
	}
	printf("  %-5s %-9s write %5.2f M frames/s %6.0f MB/s, read %6.0f MB/s, %zu bytes = %.3f of the file, %.2f "
	       "bytes/frame besides\n",
	       codec_name(codec), clustered ? "clustered" : "", (double)frames / write / 1e6,
	       (double)plain_bytes / write / 1e6, (double)plain_bytes / read / 1e6, stored,
	       (double)stored / (double)plain_bytes, (double)overhead / (double)frames);
	packet_block_release(&back);
	wr_release(&out);
}

/* ---- version 2 ---- */

static int cmp_recs(const void *a, const void *b)
{
	const struct packet_rec *x = a, *y = b;

	if (x->flow_id != y->flow_id)
		return x->flow_id < y->flow_id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

struct sizes {
	size_t blocks, units;
	double seconds;
};

/* A window: sorted by flow, cut into blocks, packed. */
static void window_pack(struct packet_packer *packer, struct packet_rec *recs, size_t count, struct sizes *sizes)
{
	struct packet_packed packed;
	uint64_t start;
	size_t step = 0;

	qsort(recs, count, sizeof(*recs), cmp_recs);
	packet_packed_init(&packed);
	packet_packer_begin(packer);
	start = clock_mono_ns();
	for (size_t from = 0, to; from < count; from = to) {
		size_t bytes = 0;

		for (to = from; to < count && bytes < BLOCK_BYTES && to - from < BLOCK_FRAMES; to++)
			bytes += recs[to].frame.len;
		packet_packer_pack(packer, step++, 1, recs + from, (uint32_t)(to - from), &packed);
		if (packed.rc < 0) {
			fprintf(stderr, "%s\n", packed.err.text);
			exit(1);
		}
		sizes->blocks += packed.block.len;
		sizes->units += packed.units.len;
	}
	sizes->seconds += seconds_since(start);
	packet_packed_release(&packed);
}

static void run_version_2(uint64_t frames, size_t plain_bytes)
{
	struct packet_packer *packer = NULL;
	struct packet_rec *recs = mem_array(frames, sizeof(*recs));
	struct sizes sizes = { 0 };
	size_t count = 0, bytes = 0;

	if (!recs || packet_packer_new(3, &packer) < 0)
		exit(1);
	for (size_t i = 0; i < blocks_count; i++)
		for (uint32_t n = 0; n < blocks[i].count; n++) {
			recs[count++] = packet_block_rec(&blocks[i], n);
			bytes += recs[count - 1].frame.len;
			/* A block is of one hour; so is a window here, as the blocks that fill it are. */
			if (bytes < WINDOW_BYTES && (i + 1 < blocks_count || n + 1 < blocks[i].count) &&
			    (n + 1 < blocks[i].count || blocks[i + 1].hour == blocks[i].hour))
				continue;
			window_pack(packer, recs, count, &sizes);
			count = bytes = 0;
		}
	printf("  version 2       write %5.2f M frames/s %6.0f MB/s, %zu bytes = %.3f of the file, %.2f bytes/frame "
	       "besides the payload\n",
	       (double)frames / sizes.seconds / 1e6, (double)plain_bytes / sizes.seconds / 1e6,
	       sizes.blocks + sizes.units, (double)(sizes.blocks + sizes.units) / (double)plain_bytes,
	       (double)sizes.blocks / (double)frames);
	packet_packer_free(packer);
	mem_free(recs);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct view file = file_read(argv[i]);
		double seconds;
		uint64_t frames = blocks_fill(file, &seconds), start = clock_mono_ns();
		struct wr packed;

		wr_init(&packed, 0);
		(void)codec_pack(CODEC_ZSTD, 3, file, &packed, NULL);
		printf("%s: %zu bytes, %" PRIu64 " frames in %zu blocks, add %.2f M frames/s; zstd -3: %.3f, %.0f MB/s\n",
		       argv[i], file.len, frames, blocks_count, (double)frames / seconds / 1e6,
		       (double)packed.len / (double)file.len, (double)file.len / 1e6 / seconds_since(start));
		run(CODEC_NONE, false, frames, file.len);
		run(CODEC_LZ4, false, frames, file.len);
		run(CODEC_ZSTD, false, frames, file.len);
		run(CODEC_ZSTD, true, frames, file.len);
		run_version_2(frames, file.len);
		while (blocks_count)
			packet_block_release(&blocks[--blocks_count]);
		wr_release(&packed);
		mem_free((void *)file.at);
	}
	return 0;
}
