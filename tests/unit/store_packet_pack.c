/* Blocks of version 2 with their units, from records to a file and back. */
#include "store/packet_pack.h"

#include <dirent.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/crew.h"
#include "base/hash.h"
#include "ingest/source_file.h"
#include "store/packet_block2.h"
#include "tests/check.h"
#include "tests/random.h"

#define HOUR 472222u

struct tape {		/* packets.seg in small */
	struct packet_packer *packer;
	struct wr file;		/* units of a row of blocks, then the next row's */
	struct wr directory;
	struct packet_packed packed[4];
	int fd;
	struct packet_units *units;
};

static void tape_open(struct tape *tape)
{
	*tape = (struct tape){ .fd = -1 };
	wr_init(&tape->file, 0);
	wr_init(&tape->directory, 0);
	for (unsigned i = 0; i < 4; i++)
		packet_packed_init(&tape->packed[i]);
	CHECK_RC(packet_packer_new(3, &tape->packer), 0);
}

static void tape_close(struct tape *tape)
{
	packet_units_free(tape->units);
	if (tape->fd >= 0)
		(void)close(tape->fd);
	packet_packer_free(tape->packer);
	for (unsigned i = 0; i < 4; i++)
		packet_packed_release(&tape->packed[i]);
	wr_release(&tape->file);
	wr_release(&tape->directory);
}

/* Pack a block that stays at packed[i], and lay its units into the file. */
static void tape_pack(struct tape *tape, unsigned i, const struct packet_rec *recs, uint32_t count)
{
	struct packet_packed *packed = &tape->packed[i];

	packet_packer_begin(tape->packer);
	packet_packer_pack(tape->packer, 0, 9, recs, count, packed);
	CHECK_OK(packed->rc, packed->err);
	wr_bytes(&tape->file, wr_view(&packed->units));
	wr_bytes(&tape->directory, wr_view(&packed->unit_bytes));
}

/* The file as it is now, to read from; so much of it is kept in memory. */
static void tape_file_kept(struct tape *tape, size_t keep_bytes)
{
	struct wr directory;
	struct err err = { 0 };

	packet_units_free(tape->units);
	tape->units = NULL;
	if (tape->fd < 0)
		tape->fd = memfd_create("packets.seg", MFD_CLOEXEC);
	CHECK(pwrite(tape->fd, tape->file.at, tape->file.len, 0) == (ssize_t)tape->file.len);
	wr_init(&directory, 0);
	packet_directory_write(0, 0, wr_view(&tape->directory), &directory);
	CHECK_OK(packet_units_new(tape->fd, "packets.seg", keep_bytes, &tape->units, &err), err);
	CHECK_OK(packet_units_learn(tape->units, wr_view(&directory), tape->file.len, &err), err);
	wr_release(&directory);
}

static void tape_file(struct tape *tape)
{
	tape_file_kept(tape, 1 << 20);
}

static bool rec_same(const struct packet_rec *a, const struct packet_rec *b)
{
	return a->time_ns == b->time_ns && a->number == b->number && a->flow_id == b->flow_id &&
	       a->orig_len == b->orig_len && a->iface == b->iface && a->link == b->link &&
	       a->segments == b->segments && a->dir == b->dir && view_eq(a->frame, b->frame);
}

static void tape_check(struct tape *tape, unsigned i, const struct packet_rec *recs, uint32_t count, const char *what)
{
	struct packet_block block;
	struct err err = { 0 };

	CHECK_EQ(packet_block_init(&block, 0), 0);
	CHECK_OK(packet_block_read_some(wr_view(&tape->packed[i].block), tape->units, NULL, &block, &err), err);
	CHECK_U64(block.source, 9);
	CHECK_U64(block.count, count);
	for (uint32_t n = 0; n < count; n++) {
		struct packet_rec got = packet_block_rec(&block, n);

		CHECK(rec_same(&got, &recs[n]), "%s: frame %llu differs", what, (unsigned long long)recs[n].number);
	}
	packet_block_release(&block);
}

static unsigned version_of(const struct packet_packed *packed)
{
	return packed->block.at[4];
}

/* ---- frames made of chance ---- */

static void put16(uint8_t *at, uint64_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static uint16_t sum_of(const uint8_t *at, size_t len, uint64_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? at[i] : (uint64_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

/*
 * A frame of a flow as a real one would be, but for a few fields of it that are something else. what chooses
 * link, IP version, protocol; salt which fields. Every byte that comes in is chance, so nothing hides.
 */
static size_t frame_any(struct random *random, uint64_t flow, uint8_t dir, uint32_t *seq, uint16_t link, uint8_t *at)
{
	bool v6 = flow % 3 == 1, tcp = flow % 4 != 2, odd = random_below(random, 6) == 0;
	size_t l2 = link == 1 ? 14 + (flow % 5 == 3 ? 4 : 0) : link == 113 ? 16 : link == 276 ? 20 : 0;
	size_t opts = !tcp ? 0 : random_below(random, 9) ? 12 : 4 * random_below(random, 11);
	size_t head = tcp ? 20 + opts : 8, data = random_below(random, 3) ? random_below(random, 300) : 0;
	uint8_t *ip = at + l2, *seg = ip + (v6 ? 40 : 20);
	uint64_t sum;

	memset(at, 0, l2 + 100);
	for (size_t i = 0; i < l2; i++)
		at[i] = (uint8_t)(i < 6 ? flow + dir : i < 12 ? flow + !dir : 0);
	if (link == 1 || link == 113)
		put16(at + l2 - 2, v6 ? 0x86dd : 0x800);
	if (link == 1 && l2 == 18)
		put16(at + 12, 0x8100);
	if (link == 276)
		put16(at, v6 ? 0x86dd : 0x800);
	ip[0] = v6 ? 0x60 : 0x45;
	put16(ip + (v6 ? 4 : 2), (v6 ? 0 : 20) + head + data);
	ip[v6 ? 6 : 9] = tcp ? 6 : 17;
	ip[v6 ? 7 : 8] = 64;
	if (!v6)
		put16(ip + 4, *seq / 7);
	memset(ip + (v6 ? 8 : 12), (int)(flow + dir), v6 ? 16 : 4);
	memset(ip + (v6 ? 24 : 16), (int)(flow + !dir), v6 ? 16 : 4);
	put16(seg, 1000 + flow * 2 + dir);
	put16(seg + 2, 1000 + flow * 2 + !dir);
	if (tcp) {
		uint32_t be = __builtin_bswap32(*seq);

		memcpy(seg + 4, &be, 4);
		seg[8] = (uint8_t)flow;
		seg[12] = (uint8_t)((5 + opts / 4) << 4);
		seg[13] = data ? 0x18 : 0x10;
		put16(seg + 14, 500 + random_below(random, 3));
		memset(seg + 20, 1, opts);
		if (opts >= 12) {
			memcpy(seg + 20, "\1\1\10\12", 4);
			seg[24] = (uint8_t)flow;
			seg[27] = (uint8_t)(*seq >> 8);
			seg[31] = (uint8_t)dir;
		}
		*seq += (uint32_t)data;
	} else {
		put16(seg + 4, head + data);
	}
	for (size_t i = 0; i < data; i++)
		seg[head + i] = (uint8_t)(i % 40 < 20 ? random_u64(random) : i);
	sum = sum_of(ip + (v6 ? 8 : 12), v6 ? 32 : 8, (tcp ? 6 : 17) + head + data);
	switch (flow % 5) {	/* offload leaves nothing, or the sum of the pseudo header */
	case 0:
		break;
	case 1:
		put16(seg + (tcp ? 16 : 6), sum);
		break;
	default:
		put16(seg + (tcp ? 16 : 6), (uint16_t)~sum_of(seg, head + data, sum));
	}
	if (!v6)
		put16(ip + 10, (uint16_t)~sum_of(ip, 20, 0));
	if (odd)	/* anything, anywhere */
		at[random_below(random, l2 + (v6 ? 40 : 20) + head)] ^= (uint8_t)(1 + random_below(random, 255));
	return l2 + (v6 ? 40 : 20) + head + data;
}

/* Flows in order, ids from 0; frames lie in arena. */
static uint32_t recs_any(struct random *random, struct arena *arena, struct packet_rec *recs, uint32_t count,
			 unsigned kind)
{
	static const uint16_t links[] = { 1, 1, 113, 101, 276, 1, 147 };
	uint32_t seqs[2] = { 0 };
	uint64_t flow = 0, number = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct packet_rec *rec = &recs[i];
		uint8_t bytes[600];
		size_t len;

		if (random_below(random, kind % 2 ? 3 : 40) == 0) {
			flow += 1 + random_below(random, 2);
			number = random_below(random, 50);
			seqs[0] = (uint32_t)random_u64(random);
			seqs[1] = (uint32_t)random_u64(random);
		}
		number += 1 + random_below(random, 3);
		*rec = (struct packet_rec){ .flow_id = flow, .number = number, .dir = (uint8_t)random_below(random, 2),
					    .iface = (uint32_t)random_below(random, 2), .segments = 1,
					    .link = links[(kind + flow) % 7] };
		rec->time_ns = HOUR * NS_PER_HOUR + 1000 * (number * 300 + random_below(random, 1000));
		rec->time_ns += kind % 3 ? 0 : random_below(random, 1000);
		len = frame_any(random, flow, rec->dir, &seqs[rec->dir], rec->link, bytes);
		rec->orig_len = (uint32_t)len;
		switch (random_below(random, 20)) {
		case 0:		/* cut short by the capture */
			len = random_below(random, len + 1);
			break;
		case 1:		/* a file may claim less than it holds */
			rec->orig_len = (uint32_t)random_u64(random);
			break;
		case 2:		/* not what its link type says */
			for (size_t at = 0; at < len; at++)
				bytes[at] = (uint8_t)random_u64(random);
			break;
		case 3:		/* padded */
			memset(bytes + len, 0, 20);
			len += len < 60 ? 60 - len : 0;
			rec->orig_len = (uint32_t)len;
			break;
		default:
			break;
		}
		rec->frame = arena_copy(arena, view_make(bytes, len));
	}
	return count;
}

TEST(packet_pack, frames_come_back_identical)
{
	static struct packet_rec recs[4][3000];
	static const uint32_t counts[] = { 1, 2, 50, 3000 };
	struct random random = random_new("packet_pack");
	struct arena arena;

	arena_init(&arena, 0);
	for (unsigned round = 0; round < 12; round++) {
		struct tape tape;

		tape_open(&tape);
		for (unsigned i = 0; i < 4; i++) {
			(void)recs_any(&random, &arena, recs[i], counts[(i + round) % 4], round);
			tape_pack(&tape, i, recs[i], counts[(i + round) % 4]);
			CHECK_U64(version_of(&tape.packed[i]), 2);
		}
		tape_file(&tape);
		for (unsigned i = 0; i < 4; i++)
			tape_check(&tape, i, recs[i], counts[(i + round) % 4], "chance");
		tape_close(&tape);
		arena_reset(&arena);
	}
	CHECK_U64(packet_pack_refused(), 0);
	arena_release(&arena);
}

/* ---- real ones ---- */

/* Flows told apart roughly, by addresses and ports of IPv4 on Ethernet. */
static uint64_t flow_of(const struct frame *frame)
{
	const uint8_t *at = frame->bytes.at;

	if (frame->link != 1 || frame->bytes.len < 38 || at[12] != 8 || at[13] != 0)
		return 0;
	return (uint64_t)at[29] ^ at[33] ^ (uint64_t)(at[34] ^ at[36]) << 8 ^ (uint64_t)(at[35] ^ at[37]) << 16;
}

static int cmp_recs(const void *a, const void *b)
{
	const struct packet_rec *x = a, *y = b;

	if (x->time_ns / NS_PER_HOUR != y->time_ns / NS_PER_HOUR)
		return x->time_ns < y->time_ns ? -1 : 1;
	if (x->flow_id != y->flow_id)
		return x->flow_id < y->flow_id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static uint64_t capture_check(const char *path, struct arena *arena)
{
	struct source_file *file = NULL;
	struct packet_rec *recs = NULL;
	size_t count = 0, cap = 0;
	struct frame frame;
	struct tape tape;

	if (source_file_open(path, &file, NULL) < 0)
		return 0;
	while (source_file_next(file, &frame, NULL) > 0) {
		CHECK_RC(mem_grow((void **)&recs, &cap, count, sizeof(*recs)), 0);
		recs[count] = (struct packet_rec){ .time_ns = frame.time_ns, .number = count + 1,
						   .flow_id = flow_of(&frame), .orig_len = frame.orig_len,
						   .iface = frame.iface, .link = frame.link,
						   .segments = frame.segments, .frame = arena_copy(arena, frame.bytes) };
		recs[count].dir = frame.bytes.len > 37 && frame.bytes.at[34] > frame.bytes.at[36];
		count++;
	}
	source_file_close(file);
	if (count)
		qsort(recs, count, sizeof(*recs), cmp_recs);
	for (size_t from = 0, to; from < count; from = to) {
		for (to = from + 1; to < count && to - from < 16384 &&
		     recs[to].time_ns / NS_PER_HOUR == recs[from].time_ns / NS_PER_HOUR; to++)
			;
		tape_open(&tape);
		tape_pack(&tape, 0, recs + from, (uint32_t)(to - from));
		CHECK_U64(version_of(&tape.packed[0]), 2);
		tape_file(&tape);
		tape_check(&tape, 0, recs + from, (uint32_t)(to - from), path);
		tape_close(&tape);
	}
	mem_free(recs);
	arena_reset(arena);
	return count;
}

TEST(packet_pack, real_captures_come_back_identical, .timeout = 100)
{
	const char *captures = check_need_captures();
	uint64_t frames = 0;
	struct arena arena;
	DIR *top;

	if (!captures)
		return;
	arena_init(&arena, 0);
	top = opendir(captures);
	for (struct dirent *folder; top && (folder = readdir(top));) {
		char path[1024];
		DIR *dir;

		(void)snprintf(path, sizeof(path), "%s/%s", captures, folder->d_name);
		dir = folder->d_name[0] == '.' || strcmp(folder->d_name, "truth") == 0 ? NULL : opendir(path);
		for (struct dirent *file; dir && (file = readdir(dir));) {
			(void)snprintf(path, sizeof(path), "%s/%s/%s", captures, folder->d_name, file->d_name);
			frames += file->d_name[0] == '.' ? 0 : capture_check(path, &arena);
		}
		if (dir)
			(void)closedir(dir);
	}
	if (top)
		(void)closedir(top);
	CHECK_U64(packet_pack_refused(), 0);
	CHECK_GT(frames, 100000);
	arena_release(&arena);
}

/* ---- parts of it ---- */

TEST(packet_pack, only_what_is_wanted_is_read)
{
	static struct packet_rec recs[3000];
	struct random random = random_new("packet_pack wanted");
	struct packet_block block;
	struct err err = { 0 };
	struct arena arena;
	struct tape tape;
	size_t least = SIZE_MAX;

	arena_init(&arena, 0);
	tape_open(&tape);
	(void)recs_any(&random, &arena, recs, 3000, 0);
	tape_pack(&tape, 0, recs, 3000);
	tape_file(&tape);
	CHECK_EQ(packet_block_init(&block, 0), 0);
	for (unsigned round = 0; round < 50; round++) {
		uint64_t flow = random_below(&random, recs[2999].flow_id + 2);
		struct packet_want want = { .flows = round % 3 ? &flow : NULL, .flow_count = 1, .to_ns = UINT64_MAX };
		uint32_t at = 0, got = 0;

		if (round % 3 == 0) {
			want.from_ns = recs[random_below(&random, 3000)].time_ns;
			want.to_ns = want.from_ns + NS_PER_MS;
		}
		CHECK_OK(packet_block_read_some(wr_view(&tape.packed[0].block), tape.units, &want, &block, &err), err);
		for (uint32_t i = 0; i < block.count; i++) {	/* in order, identical, and none missing */
			struct packet_rec rec = packet_block_rec(&block, i);

			for (; !rec_same(&rec, &recs[at]); at++)
				CHECK(at < 2999 && !(want.flows && recs[at].flow_id == flow));
			got += want.flows ? rec.flow_id == flow : rec.time_ns >= want.from_ns && rec.time_ns < want.to_ns;
			at++;
		}
		for (uint32_t i = 0; i < 3000; i++)
			got -= want.flows ? recs[i].flow_id == flow
					  : recs[i].time_ns >= want.from_ns && recs[i].time_ns < want.to_ns;
		CHECK_U64(got, 0);
		least = block.count && block.count < least ? block.count : least;
	}
	CHECK_LT(least, 2000);
	packet_block_release(&block);
	tape_close(&tape);
	arena_release(&arena);
}

TEST(packet_pack, what_was_stored_before_is_not_stored_again)
{
	static uint8_t bytes[200000];
	static struct packet_rec recs[200];
	struct random random = random_new("packet_pack again");
	struct tape tape;
	size_t once = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)random_u64(&random);
	tape_open(&tape);
	for (unsigned i = 0; i < 4; i++) {	/* the same bytes, cut elsewhere, in other flows */
		size_t frame = 990 - 10 * i;

		for (uint32_t n = 0; n < 200; n++)
			recs[n] = (struct packet_rec){ .time_ns = HOUR * NS_PER_HOUR + n, .number = n + 1,
						       .flow_id = i, .orig_len = (uint32_t)frame, .segments = 1,
						       .frame = view_make(bytes + n * frame, frame) };
		tape_pack(&tape, i, recs, 200);
		if (i == 0)
			once = tape.file.len;
	}
	CHECK_GT(once, 197000);
	CHECK_LT(tape.file.len, once + 10000);
	tape_file(&tape);
	tape_check(&tape, 3, recs, 200, "again");
	packet_packer_forget(tape.packer);
	tape_pack(&tape, 0, recs, 200);
	CHECK_GT(tape.file.len, 2 * once - 15000);
	tape_file(&tape);
	tape_check(&tape, 0, recs, 200, "forgotten");
	tape_close(&tape);
}

/* One flow, whose payload lies in units of its block and of those before. */
static int flow_read(struct tape *tape, unsigned i, uint64_t flow, const struct packet_rec *recs, uint32_t count,
		     struct err *err)
{
	struct packet_want want = { .flows = &flow, .flow_count = 1, .to_ns = UINT64_MAX };
	struct packet_block block;
	uint32_t got = 0;
	int rc;

	CHECK_EQ(packet_block_init(&block, 0), 0);
	rc = packet_block_read_some(wr_view(&tape->packed[i].block), tape->units, &want, &block, err);
	for (uint32_t n = 0; n < block.count; n++) {
		struct packet_rec rec = packet_block_rec(&block, n);

		for (; got < count && recs[got].flow_id != flow; got++)
			;
		if (rec.flow_id == flow)
			CHECK(got < count && rec_same(&rec, &recs[got++]), "frame %llu", (unsigned long long)rec.number);
	}
	for (; got < count && recs[got].flow_id != flow; got++)
		;
	if (rc == 0)
		CHECK_U64(got, count);
	packet_block_release(&block);
	return rc;
}

TEST(packet_pack, units_are_unpacked_side_by_side)
{
	static const size_t kept[] = { 1 << 20, 0, 4 * PACKET_UNIT_BYTES };	/* the last ones: several in one place */
	static uint8_t bytes[400000];
	static struct packet_rec recs[4][400];
	struct random random = random_new("packet_pack side by side");
	struct crew *crew = crew_new(2);
	struct err err = { 0 };
	struct tape tape;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 8 ? random_u64(&random) : 0);
	tape_open(&tape);
	for (unsigned i = 0; i < 4; i++) {	/* three flows a block, the same bytes in each block */
		for (uint32_t n = 0; n < 400; n++)
			recs[i][n] = (struct packet_rec){ .time_ns = HOUR * NS_PER_HOUR + n, .number = n + 1,
							  .flow_id = n / 150, .orig_len = 990, .segments = 1,
							  .frame = view_make(bytes + n * 990 + i, 990) };
		tape_pack(&tape, i, recs[i], 400);
	}
	CHECK(crew != NULL);
	for (unsigned k = 0; k < sizeof(kept) / sizeof(kept[0]); k++)
		for (uint64_t flow = 0; flow < 3; flow++)
			for (unsigned i = 0; i < 4; i++) {
				tape_file_kept(&tape, kept[k]);
				packet_units_crew(tape.units, flow + i ? crew : NULL);
				CHECK_OK(flow_read(&tape, i, flow, recs[i], 400, &err), err);
				CHECK_OK(flow_read(&tape, 3 - i, flow, recs[3 - i], 400, &err), err);
			}
	tape.file.at[8 * PACKET_UNIT_BYTES] ^= 1;	/* of the second flow */
	tape_file(&tape);
	packet_units_crew(tape.units, crew);
	CHECK_OK(flow_read(&tape, 3, 0, recs[3], 400, &err), err);
	CHECK_RC(flow_read(&tape, 3, 1, recs[3], 400, &err), E_CORRUPT);
	CHECK(strstr(err.text, "payload unit"), "%s", err.text);
	crew_free(crew);
	tape_close(&tape);
}

/* What version 2 has no room for goes into version 1, and comes back as well. */
TEST(packet_pack, other_blocks_are_of_version_1)
{
	struct packet_rec recs[2] = { { .time_ns = HOUR * NS_PER_HOUR, .number = 1, .flow_id = 7, .segments = 1 },
				      { .time_ns = HOUR * NS_PER_HOUR, .number = 2, .flow_id = 6, .segments = 1 } };
	struct tape tape;

	tape_open(&tape);
	tape_pack(&tape, 0, recs, 2);
	recs[1].dir = 2;
	recs[1].flow_id = 7;
	tape_pack(&tape, 1, recs, 2);
	CHECK_U64(version_of(&tape.packed[0]), 1);
	CHECK_U64(version_of(&tape.packed[1]), 1);
	tape_file(&tape);
	tape_check(&tape, 1, recs, 2, "direction 2");
	tape_close(&tape);
}

/* ---- damage ---- */

static void damaged_read(struct tape *tape, const struct packet_rec *recs, uint32_t count, size_t at)
{
	struct packet_block_info info;
	struct packet_block block;
	struct err err = { 0 };

	CHECK_EQ(packet_block_init(&block, 0), 0);
	if (packet_block_read_some(wr_view(&tape->packed[0].block), tape->units, NULL, &block, &err) == 0)
		for (uint32_t i = 0; i < count; i++) {
			struct packet_rec got = packet_block_rec(&block, i);

			CHECK(rec_same(&got, &recs[i]), "byte %zu", at);
		}
	else
		CHECK(err.text[0] && block.count == 0, "byte %zu", at);
	(void)packet_block_peek(wr_view(&tape->packed[0].block), &info, NULL);
	packet_block_release(&block);
}

TEST(packet_pack, a_flipped_byte_anywhere_is_told)
{
	static struct packet_rec recs[60];
	struct random random = random_new("packet_pack flip");
	struct arena arena;
	struct tape tape;
	struct wr *block;

	arena_init(&arena, 0);
	tape_open(&tape);
	(void)recs_any(&random, &arena, recs, 60, 1);
	tape_pack(&tape, 0, recs, 60);
	tape_file(&tape);
	block = &tape.packed[0].block;
	for (size_t at = 0; at < block->len; at++) {
		uint8_t was = block->at[at];

		block->at[at] ^= (uint8_t)(1 << random_below(&random, 8));
		damaged_read(&tape, recs, 60, at);
		block->at[at] = was;
	}
	for (size_t at = 0; at < tape.file.len; at++) {
		uint8_t was = tape.file.at[at];

		tape.file.at[at] ^= (uint8_t)(1 << random_below(&random, 8));
		tape_file(&tape);
		damaged_read(&tape, recs, 60, at);
		tape.file.at[at] = was;
	}
	tape_close(&tape);
	arena_release(&arena);
}

TEST(packet_pack, out_of_memory_is_an_error)
{
	static struct packet_rec recs[300];
	struct random random = random_new("packet_pack memory");
	struct packet_packed packed;
	struct packet_block block;
	struct arena arena;
	struct tape tape;
	int rc = E_NO_MEMORY;

	arena_init(&arena, 0);
	(void)recs_any(&random, &arena, recs, 300, 0);
	for (uint64_t n = 1; rc < 0; n++) {
		struct packet_packer *packer = NULL;

		packet_packed_init(&packed);
		mem_fail_nth(n);
		rc = packet_packer_new(3, &packer);
		if (rc == 0) {
			packet_packer_begin(packer);
			packet_packer_pack(packer, 0, 9, recs, 300, &packed);
			rc = packed.rc;
		}
		mem_fail_nth(0);
		CHECK(rc == 0 || (rc == E_NO_MEMORY && (!packer || packed.err.text[0])), "allocation %llu: %s",
		      (unsigned long long)n, packed.err.text);
		packet_packed_release(&packed);
		packet_packer_free(packer);
	}
	tape_open(&tape);
	tape_pack(&tape, 0, recs, 300);
	tape_file(&tape);
	CHECK_EQ(packet_block_init(&block, 0), 0);
	rc = E_NO_MEMORY;
	for (uint64_t n = 1; rc < 0; n++) {
		struct err err = { 0 };

		packet_block_release(&block);
		tape_file(&tape);
		mem_fail_nth(n);
		rc = packet_block_read_some(wr_view(&tape.packed[0].block), tape.units, NULL, &block, &err);
		mem_fail_nth(0);
		CHECK(rc == 0 || (rc == E_NO_MEMORY && block.count == 0), "allocation %llu", (unsigned long long)n);
	}
	packet_block_release(&block);
	tape_close(&tape);
	arena_release(&arena);
}

/* ---- what is stored stays readable ---- */

/* A TCP connection with timestamps, then a UDP datagram: eight frames whose headers hold together. */
static void fixture_recs(struct packet_rec recs[8], uint8_t bytes[8][256])
{
	uint32_t seqs[2] = { 1000, 5000 };

	for (uint32_t i = 0; i < 8; i++) {
		uint8_t dir = i & 1, *at = bytes[i], *tcp = at + 34;
		size_t data = i < 2 ? 0 : 20 * i, head = i == 7 ? 8 : 32, len = 34 + head + data;
		uint32_t seq = __builtin_bswap32(seqs[dir]), ack = __builtin_bswap32(i ? seqs[!dir] : 0);
		uint64_t sum;

		memset(at, 0, 256);
		memcpy(at, dir ? "\2\0\0\0\0\1\2\0\0\0\0\2\10\0" : "\2\0\0\0\0\2\2\0\0\0\0\1\10\0", 14);
		at[14] = 0x45;
		put16(at + 16, len - 14);
		put16(at + 18, 700 + i / 2);
		at[22] = 64;
		at[23] = i == 7 ? 17 : 6;
		memcpy(at + 26, dir ? "\12\0\0\2\12\0\0\1" : "\12\0\0\1\12\0\0\2", 8);
		put16(tcp, dir ? 80 : 40000);
		put16(tcp + 2, dir ? 40000 : 80);
		if (i == 7) {
			put16(tcp + 4, head + data);
		} else {
			memcpy(tcp + 4, &seq, 4);
			memcpy(tcp + 8, &ack, 4);
			tcp[12] = 0x80;
			tcp[13] = i == 0 ? 2 : i == 1 ? 0x12 : 0x18;
			put16(tcp + 14, 502);
			memcpy(tcp + 20, "\1\1\10\12", 4);
			put16(tcp + 26, 300 + i);
			put16(tcp + 30, i ? 299 + i : 0);
		}
		for (size_t k = 0; k < data; k++)
			tcp[head + k] = (uint8_t)("GET /fixture HTTP/1.1\r\n"[k % 23]);
		seqs[dir] += (uint32_t)data + (i < 2);
		put16(at + 24, (uint16_t)~sum_of(at + 14, 20, 0));
		sum = sum_of(at + 26, 8, (i == 7 ? 17 : 6) + head + data);
		put16(tcp + (i == 7 ? 6 : 16), i == 4 ? sum : (uint16_t)~sum_of(tcp, head + data, sum));
		recs[i] = (struct packet_rec){ .time_ns = HOUR * NS_PER_HOUR + i * NS_PER_MS, .number = i + 1,
					       .flow_id = i == 7 ? 9 : 3, .orig_len = (uint32_t)len, .link = 1,
					       .segments = 1, .dir = dir, .frame = view_make(at, len) };
	}
}

TEST(packet_pack, of_version_2_opens_for_ever)
{
	static const uint8_t block[] = {
		0x54, 0x44, 0x50, 0x42, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1f, 0x01, 0x00, 0x00,
		0xdf, 0x1d, 0xa5, 0xdd, 0xc6, 0xbe, 0x6d, 0x71, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x9e, 0x34, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x72, 0xf2, 0x43, 0x9c, 0x97, 0x17,
		0xc0, 0x8f, 0xdd, 0xf2, 0x43, 0x9c, 0x97, 0x17, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
		0x02, 0x00, 0x00, 0x00, 0x14, 0x04, 0x00, 0x00, 0x1c, 0x02, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x01, 0x00, 0x00, 0x00, 0x03, 0x06, 0x08, 0x00, 0x01, 0x00, 0x01, 0x00, 0x01, 0x01, 0x01, 0x01,
		0x02, 0x00, 0x07, 0x01, 0x0e, 0x00, 0xb4, 0x0b, 0xa5, 0x03, 0x07, 0x87, 0x02, 0x83, 0x04, 0x03,
		0x83, 0x04, 0x83, 0x08, 0x0f, 0x00, 0x00, 0xe8, 0x07, 0xe8, 0x07, 0xe8, 0x07, 0xe8, 0x07, 0xe8,
		0x07, 0xe8, 0x07, 0xd8, 0x36, 0x08, 0x00, 0x00, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x07, 0x07,
		0x00, 0x28, 0x3c, 0x50, 0x64, 0x78, 0x8c, 0x01, 0x04, 0x00, 0xd0, 0x0f, 0x90, 0x4e, 0x00, 0x02,
		0x00, 0xec, 0x07, 0x04, 0x00, 0xd8, 0x04, 0xda, 0x04, 0x00, 0x06, 0x00, 0xbc, 0x02, 0xbc, 0x02,
		0xbd, 0x02, 0x02, 0x00, 0x02, 0x00, 0x03, 0x00, 0x9b, 0x1f, 0x11, 0x32, 0x00, 0x02, 0x0e, 0x02,
		0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x40, 0x06, 0x0a,
		0x00, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x02, 0x40, 0x9c, 0x50, 0x00, 0x0c, 0x04, 0x01, 0x01, 0x08,
		0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x12, 0x18, 0x18, 0x03, 0x11, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x08, 0xa2, 0x18, 0x41, 0x20, 0xee, 0x17, 0x3a, 0xb1,
	};
	static const uint8_t units[] = {
		0x54, 0x44, 0x50, 0x55, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6a, 0x00, 0x00, 0x00,
		0xcf, 0xd4, 0x23, 0x91, 0x80, 0xb9, 0xf0, 0x63, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x1c, 0x02, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x1c, 0x01, 0xc5,
		0x01, 0x00, 0xb8, 0x47, 0x45, 0x54, 0x20, 0x2f, 0x66, 0x69, 0x78, 0x74, 0x75, 0x72, 0x65, 0x20,
		0x48, 0x54, 0x54, 0x50, 0x2f, 0x31, 0x2e, 0x31, 0x0d, 0x0a, 0x0c, 0x00, 0x40, 0x43, 0xdd, 0x43,
		0x0a, 0x40, 0x43, 0x38, 0x43, 0x0a, 0x40, 0x43, 0x4f, 0x01, 0x05, 0x40, 0x43, 0xbe, 0x92, 0x40,
		0x27, 0x0d, 0x4b, 0xd5, 0x40, 0x73, 0x06, 0x75, 0x9e, 0x4d,
	};
	struct packet_rec recs[8];
	uint8_t bytes[8][256];
	struct tape tape;

	fixture_recs(recs, bytes);
	tape_open(&tape);
	wr_bytes(&tape.packed[0].block, view_make(block, sizeof(block)));
	wr_bytes(&tape.file, view_make(units, sizeof(units)));
	wr_u32le(&tape.directory, sizeof(units));
	tape_file(&tape);
	tape_check(&tape, 0, recs, 8, "fixture");
	tape_close(&tape);
}

/* Whether or not the unit before it packed. */
static void unit_back(struct view plain, unsigned codec, unsigned must_know)
{
	uint8_t *back = mem_alloc(PACKET_UNIT_BYTES);
	struct wr out;

	wr_init(&out, 0);
	for (unsigned before = 0; before < 2; before++) {
		bool raw = before;
		size_t len = 0;

		wr_reset(&out);
		CHECK_EQ(packet_unit_write(7, plain, 3, &raw, &out, NULL), 0, "write %zu bytes", plain.len);
		CHECK_U64(out.at[36], codec);
		CHECK_U64(out.at[6], must_know);
		CHECK_EQ(raw, codec == CODEC_NONE);
		CHECK_EQ(packet_unit_read(wr_view(&out), 7, back, &len, NULL), 0, "read %zu bytes", plain.len);
		CHECK(view_eq(view_make(back, len), plain));
	}
	wr_release(&out);
	mem_free(back);
}

/* Encrypted bytes and plain ones meet in a unit: a sample in one place would tell of one of them. */
TEST(packet_pack, a_unit_is_packed_where_some_of_it_packs)
{
	struct random random = random_new("packet_unit");
	uint8_t *plain = mem_alloc(PACKET_UNIT_BYTES);
	size_t quarter = PACKET_UNIT_BYTES / 4;

	for (size_t i = 0; i < PACKET_UNIT_BYTES; i++)
		plain[i] = (uint8_t)random_u64(&random);
	unit_back(view_make(plain, PACKET_UNIT_BYTES), CODEC_NONE, PACKET_MUST_UNITS);
	unit_back(view_make(plain, PACKET_UNIT_BYTES_1), CODEC_NONE, 0);
	unit_back(view_make(plain, PACKET_UNIT_BYTES_1 + 1), CODEC_NONE, PACKET_MUST_UNITS);
	for (size_t at = 0; at < 4; at++) {
		uint8_t *text = plain + at * quarter;

		memset(text, 'a', quarter);
		unit_back(view_make(plain, PACKET_UNIT_BYTES), CODEC_ZSTD, PACKET_MUST_UNITS);
		for (size_t i = 0; i < quarter; i++)
			text[i] = (uint8_t)random_u64(&random);
	}
	memset(plain, 'a', PACKET_UNIT_BYTES);
	unit_back(view_make(plain, PACKET_UNIT_BYTES_1), CODEC_ZSTD, 0);
	mem_free(plain);
}
