/* kill -9 at any moment: what was reported committed is there, and the store is sound. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/store_kit.h"

#define ROUNDS 10
#define ROUND_ROWS 20000u
#define BATCH 50u
#define STEP_NS (20 * NS_PER_SEC)	/* an hour is 180 rows: seals happen all the time */

struct report {
	uint64_t rows;	/* first row that is not promised */
};

/* The child: rows and packets, commit, report; for ever. */
static void write_for_ever(const char *dir, uint64_t from, int out, bool background)
{
	struct store_writer_opts opts = { .hot_partitions_max = 2, .seal_inline = !background, .group_gid = -1,
					  .zstd_level = 1 };
	struct store_writer *writer = NULL;
	struct report report;

	if (store_writer_open(dir, &opts, &writer, NULL) < 0)
		_exit(3);
	for (uint64_t n = from; n < from + ROUND_ROWS; n += BATCH) {
		kit_write_flows(writer, n, BATCH, KIT_START, STEP_NS);
		kit_write_packets(writer, 1, n, BATCH, KIT_START, STEP_NS, 16);
		if (store_commit(writer, NULL) < 0)
			_exit(4);
		report.rows = n + BATCH;
		if (write(out, &report, sizeof(report)) != sizeof(report))
			_exit(5);
	}
	pause();
	_exit(0);
}

/* Kill pid wait_us after its first report; returns the last row reported. */
static uint64_t kill_within(pid_t pid, int in, uint64_t wait_us)
{
	struct pollfd ready = { .fd = in, .events = POLLIN };
	struct timespec wait = { .tv_nsec = (long)wait_us * 1000 };
	struct report report = { 0 };
	int status;

	CHECK(poll(&ready, 1, 20000) == 1, "the writer did not report in 20 s");
	(void)nanosleep(&wait, NULL);
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status), "the writer ended by itself: %x", status);
	while (read(in, &report, sizeof(report)) == sizeof(report))
		;
	return report.rows;
}

static void check_round(const char *dir, uint64_t from, uint64_t to, uint64_t *packets_promised)
{
	uint8_t *seen = mem_zalloc(ROUNDS * ROUND_ROWS + 1);
	uint64_t packets;

	(void)kit_read_flows(dir, ROUNDS * ROUND_ROWS, KIT_START, STEP_NS, seen);
	for (uint64_t n = from; n < to; n++)
		CHECK(seen[n], "row %llu was reported committed and is lost", (unsigned long long)n);
	mem_free(seen);
	*packets_promised += to - from;
	packets = kit_check_packets(dir, KIT_START, STEP_NS, 0, UINT64_MAX, 0);
	CHECK_GE(packets, *packets_promised);
	CHECK_U64(kit_findings(dir), 0);
}

static void crash_rounds(bool background, uint64_t seed)
{
	const char *dir = check_tmpdir();
	uint64_t random = seed, packets_promised = 0;

	printf("seed %llu\n", (unsigned long long)seed);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t from = (uint64_t)round * ROUND_ROWS, to;
		int out[2];
		pid_t pid;

		CHECK(pipe(out) == 0);
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			write_for_ever(dir, from, out[1], background);
		(void)close(out[1]);
		to = kill_within(pid, out[0], kit_random(&random) % 60000);
		(void)close(out[0]);
		check_round(dir, from, to, &packets_promised);
		if (round % 2) {	/* also what recovery makes of it */
			struct store_writer *writer = kit_writer(dir, NULL);
			struct store *store = kit_store(dir);
			struct store_gap *gaps = NULL;
			struct err err = { 0 };
			struct arena arena;
			size_t count = 0;

			arena_init(&arena, 0);
			CHECK_OK(store_gaps(store, 0, UINT64_MAX, &arena, &gaps, &count, &err), err);
			CHECK_GE(count, round);	/* each crash is one */
			CHECK_STR(gaps[count - 1].reason, "crash");
			arena_release(&arena);
			store_close(store);
			CHECK_OK(store_writer_close(writer, round % 4 == 3, &err), err);
			packets_promised -= to - from;
			check_round(dir, from, to, &packets_promised);
		}
	}
}

static uint64_t seed_of(uint64_t fallback)
{
	const char *text = getenv("SEED");

	return text && *text ? strtoull(text, NULL, 10) : fallback;
}

TEST(store_crash, kill_while_sealing_inline, .timeout = 100)
{
	crash_rounds(false, seed_of(20261122));
}

TEST(store_crash, kill_while_sealing_beside, .timeout = 100)
{
	crash_rounds(true, seed_of(11));
}

/* A clean end is no gap. */
TEST(store_crash, clean_end_is_no_gap)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_gap *gaps = NULL;
	struct store *store;
	struct err err = { 0 };
	struct arena arena;
	size_t count = 1;

	kit_write_flows(writer, 0, 10, KIT_START, 1);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	writer = kit_writer(dir, NULL);
	store = kit_store(dir);
	arena_init(&arena, 0);
	CHECK_OK(store_gaps(store, 0, UINT64_MAX, &arena, &gaps, &count, &err), err);
	CHECK_U64(count, 0);
	arena_release(&arena);
	store_close(store);
	CHECK_OK(store_writer_close(writer, false, &err), err);
}

/* Bytes behind the last commit, and half of a block, are cut; what is before stays. */
TEST(store_crash, torn_log_is_cut)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	char path[600];
	struct err err = { 0 };
	struct stat before, after;
	int fd;

	kit_write_packets(writer, 1, 0, 100, KIT_START, NS_PER_SEC, 10);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	(void)snprintf(path, sizeof(path), "%s/hot/2026-09-12T08.0/packets.log", dir);
	CHECK(stat(path, &before) == 0);
	fd = open(path, O_WRONLY | O_APPEND);
	CHECK(fd >= 0 && write(fd, "torn tail", 9) == 9);
	(void)close(fd);
	writer = kit_writer(dir, NULL);
	CHECK(stat(path, &after) == 0 && after.st_size == before.st_size);
	kit_write_packets(writer, 1, 100, 100, KIT_START, NS_PER_SEC, 10);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 0), 200);
	CHECK_U64(kit_findings(dir), 0);
}

static void move(const char *dir, const char *from, const char *to)
{
	char a[600], b[600];

	(void)snprintf(a, sizeof(a), "%s/%s", dir, from);
	(void)snprintf(b, sizeof(b), "%s/%s", dir, to);
	CHECK(rename(a, b) == 0, "%s to %s", a, b);
}

static int copy_dir(const char *from, const char *to)
{
	char command[1300];

	(void)snprintf(command, sizeof(command), "cp -r %s %s", from, to);
	return system(command);
}

/*
 * The states between the seal's steps, made by hand: a sealed directory beside
 * its hot one before the catalog knows (the hot one wins), and after (the sealed one).
 */
TEST(store_crash, between_rename_and_catalog)
{
	const char *dir = check_tmpdir(), *sealed = check_tmpdir(), *hot = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	char a[600], b[600];
	struct err err = { 0 };

	kit_write_flows(writer, 0, 100, KIT_START, NS_PER_SEC);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	(void)snprintf(a, sizeof(a), "%s/.", dir);
	CHECK(copy_dir(a, hot) == 0 && copy_dir(a, sealed) == 0);
	writer = kit_writer(sealed, NULL);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	/* before the catalog knows: hot store + the other's parts */
	(void)snprintf(a, sizeof(a), "%s/parts/2026-09-12T08.0", sealed);
	(void)snprintf(b, sizeof(b), "%s/parts/", hot);
	CHECK(copy_dir(a, b) == 0);
	writer = kit_writer(hot, NULL);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_flows(hot, 100, KIT_START, NS_PER_SEC), 100);
	CHECK_U64(kit_findings(hot), 0);
	/* after: sealed store + the other's hot */
	(void)snprintf(a, sizeof(a), "%s/hot/2026-09-12T08.0", dir);
	(void)snprintf(b, sizeof(b), "%s/hot/", sealed);
	CHECK(copy_dir(a, b) == 0);
	writer = kit_writer(sealed, NULL);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_flows(sealed, 100, KIT_START, NS_PER_SEC), 100);
	(void)snprintf(a, sizeof(a), "%s/hot/2026-09-12T08.0", sealed);
	CHECK(access(a, F_OK) < 0);
	CHECK_U64(kit_findings(sealed), 0);
}

/* A catalog that was lost is made again from MANIFESTs and hot partitions. */
TEST(store_crash, lost_catalog_is_rebuilt)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	kit_write_flows(writer, 0, 300, KIT_START, 60 * NS_PER_SEC);
	kit_write_packets(writer, 1, 0, 300, KIT_START, 60 * NS_PER_SEC, 10);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	writer = kit_writer(dir, NULL);
	kit_write_flows(writer, 300, 100, KIT_START, 60 * NS_PER_SEC);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	move(dir, "catalog", "catalog.lost");
	writer = kit_writer(dir, NULL);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_flows(dir, 400, KIT_START, 60 * NS_PER_SEC), 400);
	CHECK_U64(kit_check_packets(dir, KIT_START, 60 * NS_PER_SEC, 0, UINT64_MAX, 0), 300);
	CHECK_U64(kit_findings(dir), 0);
}

/* The disk is full in mid-commit: an error, nothing half-written, and a gap afterwards. */
TEST(store_crash, full_disk_is_an_error_and_a_gap)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_gap *gaps = NULL;
	struct store *store;
	struct err err = { 0 };
	struct arena arena;
	size_t count = 0;
	char path[600];
	int fd, rc, full;

	kit_write_packets(writer, 1, 0, 100, KIT_START, NS_PER_SEC, 10);
	CHECK_OK(store_commit(writer, &err), err);
	/* /dev/full stands in for the log of the running partition: every write says ENOSPC. */
	(void)snprintf(path, sizeof(path), "%s/hot/2026-09-12T08.0/packets.log", dir);
	full = open("/dev/full", O_RDWR);
	CHECK(full >= 0);
	for (fd = 3; fd < 64; fd++) {
		char link[64], target[600];
		ssize_t len;

		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		len = readlink(link, target, sizeof(target) - 1);
		target[len > 0 ? len : 0] = '\0';
		if (strcmp(target, path) == 0)
			break;
	}
	CHECK(fd < 64);
	int keep = dup(fd);

	CHECK(dup2(full, fd) == fd);
	{
		struct packet_block block;
		uint8_t bytes[KIT_FRAME_MAX];
		struct packet_rec rec = kit_packet(100, KIT_START, NS_PER_SEC, bytes);

		CHECK_RC(packet_block_init(&block, 1), 0);
		CHECK_GE(packet_block_add(&block, &rec), 0);
		rc = store_write_packets(writer, &block, &err);
		packet_block_release(&block);
	}
	CHECK_RC(rc, E_NO_SPACE);
	CHECK(strstr(err.text, "No space left"), "%s", err.text);
	CHECK(dup2(keep, fd) == fd);
	(void)close(keep);
	(void)close(full);
	err_clear(&err);
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_OK(store_commit(writer, &err), err);
	store = kit_store(dir);
	arena_init(&arena, 0);
	CHECK_OK(store_gaps(store, 0, UINT64_MAX, &arena, &gaps, &count, &err), err);
	CHECK_U64(count, 1);
	CHECK_STR(gaps[0].reason, "write_failed");
	CHECK_U64(gaps[0].packets, 1);
	arena_release(&arena);
	store_close(store);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 0), 100);
	CHECK_U64(kit_findings(dir), 0);
}

/* The first bytes of a catalog as it was made. */
static void catalog_head(uint8_t head[8192])
{
	const char *dir = check_tmpdir();
	char path[300];
	struct err err = { 0 };
	FILE *file;

	CHECK_OK(store_writer_close(kit_writer(dir, NULL), false, &err), err);
	(void)snprintf(path, sizeof(path), "%s/catalog/data.mdb", dir);
	file = fopen(path, "rb");
	CHECK(file && fread(head, 1, 8192, file) == 8192);
	(void)fclose(file);
}

/* What opening gives where a catalog has these first bytes, and the store perhaps a partition. */
static int open_with_head(const uint8_t *head, size_t bytes, bool partition)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = NULL;
	char path[300];
	struct err err = { 0 };
	FILE *file;
	int rc;

	(void)snprintf(path, sizeof(path), "mkdir -p '%s/catalog' '%s/parts%s'", dir, dir, partition ? "/2026-01-01T00.0" : "");
	CHECK_RC(system(path), 0);
	(void)snprintf(path, sizeof(path), "%s/catalog/data.mdb", dir);
	file = fopen(path, "wb");
	CHECK(file && fwrite(head, 1, bytes, file) == bytes && fclose(file) == 0);
	rc = store_writer_open(dir, &(struct store_writer_opts){ .name = "test", .group_gid = -1 }, &writer, &err);
	if (rc < 0)
		return rc;
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_findings(dir), 0);
	return 0;
}

/* Died, or the power went, between making the catalog's file and its first transaction: half of it came, or none. */
TEST(store_crash, catalog_never_made)
{
	enum { TXN = 16 + 24 + 2 * 48 + 8 };	/* of a meta page */
	static const uint8_t zeros[8192];
	uint8_t head[8192], half[8192] = { 0 };

	catalog_head(head);
	CHECK_RC(open_with_head(zeros, 0, false), 0);
	CHECK_RC(open_with_head(zeros, sizeof(zeros), false), 0);
	memcpy(half, head, 4096);
	memset(half + TXN, 0, 8);
	CHECK_RC(open_with_head(half, sizeof(half), false), 0);
	CHECK_RC(open_with_head(half, 4096, false), 0);
	CHECK_RC(open_with_head(half, sizeof(half), true), E_CORRUPT);
	half[TXN] = 2;	/* something was committed: that is damage */
	CHECK_RC(open_with_head(half, sizeof(half), false), E_CORRUPT);
}
