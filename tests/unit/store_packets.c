/* Packets in, commit, packets out. */
#include <fcntl.h>

#include "tests/unit/store_kit.h"

TEST(store_packets, come_back_identical)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	kit_write_packets(writer, 1, 0, 3000, KIT_START, NS_PER_SEC, 100);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 0), 0);
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 0), 3000);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, KIT_START + 10 * NS_PER_SEC,
				    KIT_START + 20 * NS_PER_SEC, 0), 10);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 1007), 30);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 1), 0);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 0), 3000);
}

/* Two workers fill blocks side by side: their numbers interleave. A second source runs at the same time. */
TEST(store_packets, of_blocks_filled_side_by_side_are_merged)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct packet_block blocks[2];
	struct err err = { 0 };

	for (unsigned w = 0; w < 2; w++)
		CHECK_RC(packet_block_init(&blocks[w], 1), 0);
	for (uint64_t n = 0; n < 1000; n++) {
		uint8_t bytes[KIT_FRAME_MAX];
		struct packet_rec rec = kit_packet(n, KIT_START, NS_PER_MS, bytes);
		struct packet_block *block = &blocks[n % 101 % 2];

		CHECK_GE(packet_block_add(block, &rec), 0);
		if (block->count == 40) {
			CHECK_OK(store_write_packets(writer, block, &err), err);
			packet_block_reset(block);
		}
	}
	for (unsigned w = 0; w < 2; w++) {
		CHECK_OK(store_write_packets(writer, &blocks[w], &err), err);
		packet_block_release(&blocks[w]);
	}
	kit_write_packets(writer, 2, 0, 500, KIT_START, NS_PER_MS, 64);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_MS, 0, UINT64_MAX, 0), 1500);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_MS, 0, UINT64_MAX, 1003), 10 + 5);
}

TEST(store_packets, damaged_block_is_told_once_and_stepped_over)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_packets *packets = NULL;
	struct store_view *view = NULL;
	struct store *store;
	struct packet_rec rec;
	struct err err = { 0 };
	char path[600];
	uint64_t source, good = 0, bad = 0;
	int fd, rc;

	kit_write_packets(writer, 1, 0, 300, KIT_START, NS_PER_SEC, 100);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	(void)snprintf(path, sizeof(path), "%s/hot/2026-09-12T08.0/packets.log", dir);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pwrite(fd, "damage", 6, lseek(fd, 0, SEEK_END) / 2) == 6);
	(void)close(fd);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_OK(store_packets_open(view, 0, 0, UINT64_MAX, NULL, 0, &packets, &err), err);
	while ((rc = store_packets_next(packets, &rec, &source, &err)) != 0) {
		if (rc < 0) {
			CHECK_RC(rc, E_CORRUPT);
			CHECK(strstr(err.text, "packet block at"), "%s", err.text);
			err_clear(&err);
			bad++;
			continue;
		}
		kit_check_packet(&rec, KIT_START, NS_PER_SEC);
		good++;
	}
	CHECK_U64(bad, 1);
	CHECK_U64(good, 200);
	store_packets_close(packets);
	store_view_close(view);
	store_close(store);
}
