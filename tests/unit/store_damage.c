/* Damaged data files: an error or old data, never a crash. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/fault.h"
#include "store/files.h"
#include "store/kv_verify.h"
#include "tests/unit/store_kit.h"

static bool any_value(struct view value, void *arg)
{
	*(size_t *)arg += value.len;
	return true;
}

/* Touch everything a reader can. Whatever fails fails. */
static void read_all(const char *dir)
{
	struct store *store = NULL;
	struct store_view *view = NULL;
	struct arena arena;
	size_t bytes = 0;

	if (store_open(dir, &store, NULL) < 0)
		return;
	arena_init(&arena, 256u << 20);
	if (store_view_open(store, 0, UINT64_MAX, &view, NULL) < 0)
		goto out;
	for (size_t part = 0; part < store_view_parts(view); part++) {
		const struct table *table = table_get(TABLE_FLOWS);
		struct store_packets *packets = NULL;
		uint64_t flow_id = 1007, source;
		struct packet_rec rec;

		for (size_t g = 0; g < store_rg_count(view, part, TABLE_FLOWS) && g < 100; g++) {
			struct rg_zone zone;
			struct rg rg;
			void *rows;

			(void)store_rg_zone(view, part, TABLE_FLOWS, g, &zone, NULL);
			arena_reset(&arena);
			if (store_rg_open(view, part, TABLE_FLOWS, g, &rg, NULL) == 0)
				(void)rg_read_rows(&rg, &arena, &rows, NULL);
			(void)store_bloom_may_have(view, part, TABLE_FLOWS, g, &table->cols[FLOW_id],
						   view_make(&flow_id, 8), NULL);
		}
		for (size_t c = 0; c < table->cols_count; c++) {
			struct bitmap *bitmap = NULL;

			if (table->cols[c].index != INDEX_BITMAP)
				continue;
			(void)store_index_values(view, part, TABLE_FLOWS, &table->cols[c], any_value, &bytes, NULL);
			(void)store_index_lookup(view, part, TABLE_FLOWS, &table->cols[c], VIEW_LIT("workload-1"), &bitmap,
						 NULL);
			bitmap_free(bitmap);
		}
		for (int by_flow = 0; by_flow < 2; by_flow++) {
			if (store_packets_open(view, part, 0, UINT64_MAX, by_flow ? &flow_id : NULL, 1, &packets, NULL) < 0)
				continue;
			for (unsigned i = 0; i < 10000 && store_packets_next(packets, &rec, &source, NULL) != 0; i++)
				;
			store_packets_close(packets);
		}
	}
	store_view_close(view);
out:
	store_close(store);
	arena_release(&arena);
}

static void write_some(const char *dir)
{
	struct store_writer_opts opts = { .seal_inline = true, .group_gid = -1 };
	struct store_writer *writer = NULL;
	char text[64];
	struct flow_row row = kit_flow(5000, KIT_START + NS_PER_SEC, text);

	if (store_writer_open(dir, &opts, &writer, NULL) < 0)
		return;
	(void)store_write_rows(writer, TABLE_FLOWS, &row, 1, NULL);
	(void)store_commit(writer, NULL);
	(void)store_writer_close(writer, true, NULL);
}

static const char *make_store(bool seal)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	for (unsigned i = 0; i < 40; i++) {
		kit_write_flows(writer, i * 50, 50, KIT_START, NS_PER_SEC);
		kit_write_packets(writer, 1, i * 50, 50, KIT_START, NS_PER_SEC, 25);
		CHECK_OK(store_commit(writer, &err), err);
	}
	CHECK_OK(store_writer_close(writer, seal, &err), err);
	return dir;
}

/* Damage file `rounds` times, each in a fresh copy, and let a child use it. */
static void torture(const char *dir, const char *file, unsigned rounds, bool writes)
{
	uint64_t random = 99;
	unsigned refused = 0;
	uint8_t *good = NULL;
	size_t len = 0;
	char path[700];
	struct err err = { 0 };

	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	CHECK_OK(files_load(path, 64u << 20, &good, &len, &err), err);
	for (unsigned round = 0; round < rounds; round++) {
		const char *work = check_tmpdir();
		char command[1400];
		unsigned flips = 1 + (unsigned)(kit_random(&random) % 3);
		int status, fd;
		pid_t pid;

		(void)snprintf(command, sizeof(command), "cp -a %s/. %s", dir, work);
		CHECK(system(command) == 0);
		(void)snprintf(path, sizeof(path), "%s/%s", work, file);
		fd = open(path, O_RDWR);
		CHECK(fd >= 0);
		for (unsigned i = 0; i < flips; i++) {
			/* Heads of pages are where it hurts: half of the flips go there, one in eight into the meta pages. */
			size_t page = kit_random(&random) % 8 ? kit_random(&random) % (len / 4096) : kit_random(&random) % 2;
			size_t within = kit_random(&random) % (kit_random(&random) % 2 ? 48 : 4096);
			size_t at = (page * 4096 + within) % len;
			uint8_t byte = (uint8_t)(good[at] ^ (1 + kit_random(&random) % 255));

			CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
		}
		(void)close(fd);
		refused += strstr(file, "data.mdb") ? kv_verify_head(path, NULL) < 0 : kit_findings(work) > 0;
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			read_all(work);
			if (writes)
				write_some(work);
			_exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "round %u of %s: status %x", round, file, status);
		check_rmtree(work);
		check_tmpdir_count--;
	}
	CHECK_GT(refused, 0);
	CHECK(strstr(file, "data.mdb") || refused == rounds, "check found %u of %u", refused, rounds);
	mem_free(good);
}

TEST(store_damage, sealed_data, .timeout = 100)
{
	torture(make_store(true), "parts/2026-09-12T08.0/data.seg", 50, false);
}

TEST(store_damage, hot_data, .timeout = 100)
{
	torture(make_store(false), "hot/2026-09-12T08.0/data.mdb", 40, true);
}

TEST(store_damage, catalog, .timeout = 100)
{
	torture(make_store(false), "catalog/data.mdb", 40, true);
}

/* One damaged hot partition does not hide the others. */
TEST(store_damage, of_one_hot_partition_is_told_when_it_is_read)
{
	const char *dir = make_store(false);
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };
	char path[700];
	struct rg rg;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/hot/2026-09-12T08.0/data.mdb", dir);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pwrite(fd, "\xff\xff\xff\xff", 4, 16) == 4);
	(void)close(fd);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_parts(view), 1);
	CHECK_RC(store_rg_open(view, 0, TABLE_FLOWS, 0, &rg, &err), E_CORRUPT);
	CHECK(strstr(err.text, "2026-09-12T08.0"), "%s", err.text);
	store_view_close(view);
	store_close(store);
	CHECK_RC(store_check(dir, kit_print_finding, NULL, NULL, NULL), 1);
}

/*
 * What the disk does not give of a mapped file is SIGBUS: here a file that lost its end under the reader. The process
 * lives, the other partition answers, and what cannot be read is told.
 */
TEST(store_damage, pages_the_disk_does_not_give_are_told)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_view *view = NULL;
	struct err err = { 0 };
	struct store *store;
	struct arena arena;
	unsigned told = 0, good = 0;
	struct rg_zone zone;
	uint64_t before;
	char path[700];

	kit_write_flows(writer, 0, 30000, KIT_START, NS_PER_SEC / 5);	/* too many to be packed into memory */
	CHECK_OK(store_writer_close(writer, true, &err), err);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_parts(view), 2);
	CHECK_OK(store_rg_zone(view, 0, TABLE_FLOWS, 0, &zone, &err), err);	/* opens it */
	(void)snprintf(path, sizeof(path), "%s/%s/data.seg", dir, store_view_part(view, 0)->path);
	CHECK_RC(truncate(path, 4096), 0);
	before = fault_pages();
	arena_init(&arena, 0);
	for (size_t part = 0; part < 2; part++) {
		for (size_t g = 0; g < store_rg_count(view, part, TABLE_FLOWS); g++) {
			struct rg rg;
			void *rows;
			int rc = store_rg_open(view, part, TABLE_FLOWS, g, &rg, &err);

			if (rc == 0)
				rc = rg_read_rows(&rg, &arena, &rows, &err);
			CHECK(rc == (part ? 0 : E_CORRUPT), "part %zu: %s", part, err.text);
			told += rc < 0;
			good += rc == 0;
		}
	}
	CHECK_GT(fault_pages(), before);
	CHECK_GT(good, 0);
	CHECK_GT(told, 0);
	arena_release(&arena);
	store_view_close(view);
	store_close(store);
}
