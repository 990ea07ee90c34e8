/* Snapshots, and stores made of what damage has left. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "store/files.h"
#include "tests/unit/store_kit.h"

#define HOURS 4u
#define STEP_NS (20 * NS_PER_SEC)
#define ROWS (HOURS * 180u)

static void path_of(char path[STORE_PATH_MAX], const char *dir, const char *name)
{
	CHECK_RC(files_path(path, NULL, dir, name, NULL), 0);
}

/* Sealed hours and a hot one, rows and packets of one number each. */
static struct store_writer *write_some(const char *dir, bool leave_open)
{
	struct store_writer_opts opts = { .seal_inline = true, .hot_partitions_max = 1, .group_gid = -1 };
	struct store_writer *writer = kit_writer(dir, &opts);
	struct err err = { 0 };

	for (uint64_t n = 0; n < ROWS; n += 60) {
		kit_write_flows(writer, n, 60, KIT_START, STEP_NS);
		kit_write_packets(writer, 1, n, 60, KIT_START, STEP_NS, 16);
		CHECK_OK(store_commit(writer, &err), err);
	}
	if (leave_open)
		return writer;
	CHECK_OK(store_writer_close(writer, false, &err), err);
	return NULL;
}

static void flip(const char *path, double where)
{
	struct stat st;
	uint8_t byte;
	off_t at;
	int fd = open(path, O_RDWR);

	CHECK(fd >= 0 && fstat(fd, &st) == 0, "%s", path);
	at = (off_t)((double)st.st_size * where);
	CHECK(pread(fd, &byte, 1, at) == 1);
	byte ^= 0x10;
	CHECK(pwrite(fd, &byte, 1, at) == 1);
	(void)close(fd);
}

TEST(store_copy, snapshot_beside_a_writer)
{
	char dir[STORE_PATH_MAX], copy[STORE_PATH_MAX];
	struct store_writer *writer;
	struct store *store;
	struct store_gap *gaps;
	struct err err = { 0 };
	struct arena arena;
	size_t count;

	path_of(dir, check_tmpdir(), "tape");
	path_of(copy, check_tmpdir(), "copy");
	writer = write_some(dir, true);
	CHECK_OK(store_pin(dir, "incident", KIT_START, KIT_START + NS_PER_HOUR, &err), err);
	CHECK_OK(store_snapshot(dir, copy, &err), err);
	CHECK_RC(store_snapshot(dir, copy, &err), E_EXISTS);
	/* what comes later is not in it */
	kit_write_flows(writer, ROWS, 60, KIT_START, STEP_NS);
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(kit_check_flows(dir, ROWS + 60, KIT_START, STEP_NS), ROWS + 60);
	CHECK_U64(kit_check_flows(copy, ROWS, KIT_START, STEP_NS), ROWS);
	CHECK_U64(kit_check_packets(copy, KIT_START, STEP_NS, 0, UINT64_MAX, 0), ROWS);
	CHECK_U64(kit_findings(copy), 0);
	/* and goes on by itself: its end was a clean one */
	writer = kit_writer(copy, NULL);
	kit_write_flows(writer, ROWS, 5, KIT_START, STEP_NS);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(kit_check_flows(copy, ROWS + 5, KIT_START, STEP_NS), ROWS + 5);
	arena_init(&arena, 0);
	store = kit_store(copy);
	CHECK_OK(store_gaps(store, 0, UINT64_MAX, &arena, &gaps, &count, &err), err);
	CHECK_U64(count, 0);
	store_close(store);
	arena_release(&arena);
	CHECK_OK(store_unpin(copy, "incident", &err), err);
	CHECK_U64(kit_findings(dir), 0);
}

/* The source's files are shared: dropping them there leaves them here. */
TEST(store_copy, snapshot_survives_its_original)
{
	char dir[STORE_PATH_MAX], copy[STORE_PATH_MAX];
	struct store_policy policy = { .data_age_ns = 1 };
	struct err err = { 0 };

	path_of(dir, check_tmpdir(), "tape");
	path_of(copy, check_tmpdir(), "copy");
	(void)write_some(dir, false);
	CHECK_OK(store_snapshot(dir, copy, &err), err);
	CHECK_OK(store_policy_set(dir, &policy, &err), err);
	CHECK_OK(store_retention_apply(dir, KIT_START + NS_PER_DAY, NULL, NULL, &err), err);
	CHECK_LT(kit_check_flows(dir, ROWS, KIT_START, STEP_NS), ROWS);
	CHECK_U64(kit_check_flows(copy, ROWS, KIT_START, STEP_NS), ROWS);
	CHECK_U64(kit_findings(copy), 0);
}

TEST(store_copy, a_partition_opens_elsewhere)
{
	char dir[STORE_PATH_MAX], other[STORE_PATH_MAX], from[STORE_PATH_MAX], to[STORE_PATH_MAX], parts[STORE_PATH_MAX];
	struct store *store = NULL;
	struct err err = { 0 };

	path_of(dir, check_tmpdir(), "tape");
	path_of(other, check_tmpdir(), "other");
	(void)write_some(dir, false);
	CHECK(mkdir(other, 0750) == 0);
	CHECK_RC(store_open(other, &store, &err), E_NOT_FOUND);
	path_of(parts, other, "parts");
	path_of(from, dir, "parts/2026-09-12T08.0");
	path_of(to, other, "parts/2026-09-12T08.0");
	CHECK(mkdir(parts, 0750) == 0 && rename(from, to) == 0);
	CHECK_U64(kit_check_flows(other, ROWS, KIT_START, STEP_NS), 180);
	CHECK_U64(kit_check_packets(other, KIT_START, STEP_NS, 0, UINT64_MAX, 0), 180);
	CHECK_U64(kit_findings(other), 0);
}

static void count_finding(const char *finding, void *arg)
{
	(void)fprintf(stderr, "lost: %s\n", finding);
	++*(unsigned *)arg;
}

TEST(store_copy, salvage_of_a_sound_store_is_all_of_it)
{
	char dir[STORE_PATH_MAX], saved[STORE_PATH_MAX];
	struct store_salvage_totals totals;
	struct err err = { 0 };
	unsigned lost = 0;

	path_of(dir, check_tmpdir(), "tape");
	path_of(saved, check_tmpdir(), "saved");
	(void)write_some(dir, false);
	CHECK_OK(store_salvage(dir, saved, count_finding, &lost, &totals, &err), err);
	CHECK_U64(lost, 0);
	CHECK_U64(totals.lost, 0);
	CHECK_U64(totals.packets, ROWS);
	CHECK_U64(kit_check_flows(saved, ROWS, KIT_START, STEP_NS), ROWS);
	CHECK_U64(kit_check_packets(saved, KIT_START, STEP_NS, 0, UINT64_MAX, 0), ROWS);
	CHECK_U64(kit_findings(saved), 0);
	CHECK_U64(kit_findings(dir), 0);
	CHECK_RC(store_salvage(dir, saved, count_finding, &lost, &totals, &err), E_EXISTS);
}

/* Whatever is flipped: what was lost is said, what is saved is right, and the saved store is sound. */
TEST(store_copy, salvage_of_a_damaged_store, .timeout = 100)
{
	static const char *const files[] = { "parts/2026-09-12T08.0/data.seg", "parts/2026-09-12T09.0/packets.seg",
					     "parts/2026-09-12T10.0/MANIFEST", "catalog/data.mdb" };
	char dir[STORE_PATH_MAX], saved[STORE_PATH_MAX], path[STORE_PATH_MAX];
	uint64_t random = 11;

	path_of(dir, check_tmpdir(), "tape");
	path_of(saved, check_tmpdir(), "saved");
	(void)write_some(dir, false);
	for (unsigned i = 0; i < 24; i++) {
		double where = (double)(kit_random(&random) % 10000) / 10000;
		struct store_salvage_totals totals;
		struct err err = { 0 };
		unsigned lost = 0;
		uint64_t rows;

		path_of(path, dir, files[i % 4]);
		flip(path, where);
		CHECK_OK(store_salvage(dir, saved, count_finding, &lost, &totals, &err), err);
		rows = kit_check_flows(saved, ROWS, KIT_START, STEP_NS);
		CHECK(rows + 180 >= ROWS, "%s at %g: %llu rows of %u", files[i % 4], where, (unsigned long long)rows, ROWS);
		CHECK(rows == ROWS || i % 4 != 2, "%s at %g: what it says is in data.mdb, too", files[i % 4], where);
		CHECK(rows == ROWS || lost > 0, "%s at %g: rows are gone and nobody said so", files[i % 4], where);
		CHECK(kit_check_packets(saved, KIT_START, STEP_NS, 0, UINT64_MAX, 0) == ROWS || lost > 0, "%s at %g", files[i % 4],
		      where);
		CHECK_U64(kit_findings(saved), 0);
		flip(path, where);
		CHECK_RC(files_remove_tree(saved, &err), 0);
	}
}
