/* A bulk load gives what the hot way gives, all of it or nothing. */
#include <signal.h>
#include <sys/wait.h>

#include "store/bulk.h"
#include "store/files.h"
#include "store/writer.h"
#include "tests/unit/store_kit.h"

static struct store_writer *bulk_writer(const char *dir)
{
	const struct store_writer_opts opts = { .bulk = true, .seal_inline = true, .group_gid = -1, .zstd_level = 1 };

	return kit_writer(dir, &opts);
}

static size_t parts_of(const char *dir)
{
	struct store *store = kit_store(dir);
	struct store_view *view = NULL;
	struct err err = { 0 };
	size_t parts;

	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	parts = store_view_parts(view);
	for (size_t part = 0; part < parts; part++)
		CHECK(store_view_part(view, part)->sealed);
	store_view_close(view);
	store_close(store);
	return parts;
}

static int count_name(const char *name, void *arg)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int names_below(const char *dir, const char *sub)
{
	char path[STORE_PATH_MAX];
	int count = 0;

	CHECK_RC(files_path(path, NULL, dir, sub, NULL), 0);
	CHECK_RC(files_each(path, count_name, &count, NULL), 0);
	return count;
}

TEST(store_bulk, rows_and_packets_are_the_same)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = bulk_writer(dir);
	struct err err = { 0 };

	for (uint64_t n = 0; n < 6000; n += 500) {
		kit_write_flows(writer, n, 500, KIT_START, NS_PER_SEC);
		kit_write_packets(writer, 1, n, 500, KIT_START, NS_PER_SEC, 100);
		CHECK_OK(store_commit(writer, &err), err);
	}
	kit_write_packets(writer, 2, 0, 500, KIT_START, NS_PER_SEC, 64);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(parts_of(dir), 2);
	CHECK_U64(kit_check_flows(dir, 6000, KIT_START, NS_PER_SEC), 6000);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 0), 6500);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 1007), 60 + 5);
	CHECK_U64(kit_findings(dir), 0);
	CHECK_EQ(names_below(dir, "tmp"), 0);
	CHECK_EQ(names_below(dir, "hot"), 0);
}

/* More row groups than one, windows on top of windows, and a pool at work. */
TEST(store_bulk, much_of_it, .timeout = 110)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = bulk_writer(dir);
	struct err err = { 0 };

	kit_write_flows(writer, 0, 140000, KIT_START, NS_PER_MS);
	kit_write_packets(writer, 1, 0, 200000, KIT_START, NS_PER_MS, 4000);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(parts_of(dir), 1);
	CHECK_U64(kit_check_flows(dir, 140000, KIT_START, NS_PER_MS), 140000);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_MS, 0, UINT64_MAX, 0), 200000);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_MS, 0, UINT64_MAX, 1050), 1980);
	CHECK_U64(kit_findings(dir), 0);
}

/* Hours there and back: more than are kept open, so that some get a second generation. */
TEST(store_bulk, many_hours)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = bulk_writer(dir);
	struct err err = { 0 };

	for (uint64_t round = 0; round < 2; round++)
		for (uint64_t hour = 0; hour < 70; hour++) {
			uint64_t n = hour * 20 + round * 10;

			kit_write_flows(writer, n, 10, KIT_START, 180 * NS_PER_SEC);
			kit_write_packets(writer, 1, n, 10, KIT_START, 180 * NS_PER_SEC, 30);
		}
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_GT(parts_of(dir), 70);
	CHECK_U64(kit_check_flows(dir, 1400, KIT_START, 180 * NS_PER_SEC), 1400);
	CHECK_U64(kit_check_packets(dir, KIT_START, 180 * NS_PER_SEC, 0, UINT64_MAX, 0), 1400);
	CHECK_U64(kit_findings(dir), 0);
}

/* A batch of a capture with little in each hour: rows of all, then frames of all. An hour is one partition. */
TEST(store_bulk, few_rows_of_many_hours)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = bulk_writer(dir);
	struct err err = { 0 };

	for (uint64_t round = 0; round < 3; round++) {
		kit_write_packets(writer, 1, round * 50, 50, KIT_START, NS_PER_HOUR, 30);
		kit_write_flows(writer, round * 50, 50, KIT_START, NS_PER_HOUR);
	}
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(parts_of(dir), 150);
	CHECK_U64(kit_check_flows(dir, 150, KIT_START, NS_PER_HOUR), 150);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_HOUR, 0, UINT64_MAX, 0), 150);
	CHECK_U64(kit_findings(dir), 0);
}

/* What is there already stays: hot rows of the same hour, and sealed ones, keep their generations. */
TEST(store_bulk, beside_what_is_there)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	kit_write_flows(writer, 0, 1000, KIT_START, NS_PER_MS);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	for (uint64_t round = 1; round < 4; round++) {
		writer = bulk_writer(dir);
		kit_write_flows(writer, round * 1000, 1000, KIT_START, NS_PER_MS);
		CHECK_OK(store_writer_close(writer, true, &err), err);
		CHECK_U64(kit_check_flows(dir, 4000, KIT_START, NS_PER_MS), (round + 1) * 1000);
	}
	CHECK_U64(parts_of(dir), 4);
	CHECK_U64(kit_findings(dir), 0);
}

TEST(store_bulk, unpublished_leaves_nothing)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = bulk_writer(dir);
	struct err err = { 0 };

	kit_write_flows(writer, 0, 2000, KIT_START, 20 * NS_PER_SEC);
	kit_write_packets(writer, 1, 0, 2000, KIT_START, 20 * NS_PER_SEC, 100);
	CHECK_OK(store_commit(writer, &err), err);
	CHECK_U64(parts_of(dir), 0);
	CHECK_GT(names_below(dir, "tmp"), 8);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(parts_of(dir), 0);
	CHECK_EQ(names_below(dir, "tmp"), 0);
	CHECK_U64(kit_findings(dir), 0);
}

/* Killed at some moment of the load or of its end: whole partitions or none, and the next load works. */
TEST(store_bulk, killed, .timeout = 110)
{
	const char *dir = check_tmpdir();
	struct err err = { 0 };
	struct store_writer *writer;

	for (unsigned round = 0; round < 12; round++) {
		int status, go[2];
		pid_t pid;

		CHECK(pipe(go) == 0);
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			writer = bulk_writer(dir);
			kit_write_flows(writer, 0, 3000, KIT_START, 10 * NS_PER_SEC);
			kit_write_packets(writer, 1, 0, 3000, KIT_START, 10 * NS_PER_SEC, 100);
			if (write(go[1], "x", 1) != 1)
				_exit(1);
			if (round)
				(void)store_writer_close(writer, true, NULL);
			pause();
			_exit(0);
		}
		CHECK(read(go[0], &status, 1) == 1);
		(void)usleep(round * 3000);
		CHECK(kill(pid, SIGKILL) == 0);
		CHECK(waitpid(pid, &status, 0) == pid);
		(void)close(go[0]);
		(void)close(go[1]);
		writer = kit_writer(dir, NULL);
		CHECK_OK(store_writer_close(writer, true, &err), err);
		CHECK_U64(kit_findings(dir), 0);
		CHECK_EQ(names_below(dir, "tmp"), 0);
		if (round == 0)
			CHECK_U64(parts_of(dir), 1);	/* the gap's event, nothing of the load */
	}
}

/* ---- memory of a load ---- */

#define LOAD_HOURS 24u
#define LOAD_ROUNDS 40u
#define LOAD_FRAMES 100u	/* of each hour and round */

/* Frames and rows of many hours in turn, as captures of several machines one behind the other have them. The most that was held. */
static size_t load_in_turn(const char *dir, size_t bytes_max)
{
	const struct store_writer_opts opts = { .bulk = true, .seal_inline = true, .group_gid = -1, .zstd_level = 1,
						.bulk_bytes_max = bytes_max };
	struct store_writer *writer = kit_writer(dir, &opts);
	struct packet_block block;
	size_t most = 0;
	struct err err = { 0 };

	CHECK_RC(packet_block_init(&block, 1), 0);
	for (uint64_t n = 0; n < (uint64_t)LOAD_HOURS * LOAD_ROUNDS * LOAD_FRAMES; n++) {
		uint64_t hour = n / LOAD_FRAMES % LOAD_HOURS;
		uint8_t bytes[KIT_FRAME_MAX];
		struct packet_rec rec = kit_packet(n, KIT_START + hour * NS_PER_HOUR, NS_PER_MS, bytes);

		rec.flow_id = rec.flow_id ? schema_id(rec.time_ns, rec.flow_id) : 0;
		CHECK_GE(packet_block_add(&block, &rec), 0);
		if (block.count < LOAD_FRAMES)
			continue;
		CHECK_OK(store_take_packets(writer, &block, &err), err);
		packet_block_reset(&block);
		kit_write_flows(writer, n / LOAD_FRAMES, 1, KIT_START + hour * NS_PER_HOUR - n / LOAD_FRAMES, 1);
		if (bulk_held_bytes(writer->bulk) > most)
			most = bulk_held_bytes(writer->bulk);
	}
	packet_block_release(&block);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	return most;
}

/* Each frame once, with the bytes it had. */
static uint64_t loaded_frames(const char *dir)
{
	const uint64_t total = (uint64_t)LOAD_HOURS * LOAD_ROUNDS * LOAD_FRAMES;
	struct store *store = kit_store(dir);
	struct store_view *view = NULL;
	uint8_t *seen = mem_zalloc(total);
	uint64_t count = 0;
	struct err err = { 0 };

	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		struct store_packets *packets = NULL;
		struct packet_rec rec;
		uint64_t source;
		int rc;

		CHECK_OK(store_packets_open(view, part, 0, UINT64_MAX, NULL, 0, &packets, &err), err);
		while ((rc = store_packets_next(packets, &rec, &source, &err)) > 0) {
			uint8_t bytes[KIT_FRAME_MAX];
			uint64_t n = rec.number - 1;
			struct packet_rec want = kit_packet(n, KIT_START + n / LOAD_FRAMES % LOAD_HOURS * NS_PER_HOUR, NS_PER_MS, bytes);

			CHECK(n < total && !seen[n], "frame %llu is there twice", (unsigned long long)rec.number);
			CHECK(rec.time_ns == want.time_ns && view_eq(rec.frame, want.frame), "frame %llu differs",
			      (unsigned long long)rec.number);
			seen[n] = 1;
			count++;
		}
		CHECK_OK(rc, err);
		store_packets_close(packets);
	}
	store_view_close(view);
	store_close(store);
	mem_free(seen);
	return count;
}

/* Hours in turn, 24 of them open at a time: the bound holds, whatever it is, and nothing is lost for it. */
TEST(store_bulk, memory_stays_within_its_bound, .timeout = 110)
{
	static const size_t bounds[] = { (size_t)12 << 20, (size_t)40 << 20, 0 };
	size_t before = 0;

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		const char *dir = check_tmpdir();
		size_t most = load_in_turn(dir, bounds[i]), bound = bounds[i] ? bounds[i] : (size_t)448 << 20;

		CHECK(most <= bound, "%zu bytes held, the bound is %zu", most, bound);
		CHECK(most > before, "%zu bytes held under a bound of %zu, %zu under the one before", most, bound, before);
		before = most;
		CHECK_U64(loaded_frames(dir), (uint64_t)LOAD_HOURS * LOAD_ROUNDS * LOAD_FRAMES);
		CHECK_U64(kit_findings(dir), 0);
	}
}

/* Whatever allocation fails, and in whichever thread: an error, or a whole load; never half of one. */
TEST(store_bulk, memory_runs_out, .timeout = 110)
{
	const char *top = check_tmpdir();
	unsigned complete = 0, failed = 0;

	for (uint64_t nth = 1; nth < 3000 && complete < 3; nth += 1 + nth / 16) {
		const struct store_writer_opts opts = { .bulk = true, .seal_inline = true, .group_gid = -1 };
		struct store_writer *writer = NULL;
		struct packet_block block;
		char dir[STORE_PATH_MAX], name[24];
		struct err err = { 0 };
		uint64_t packets;
		int rc;

		(void)snprintf(name, sizeof(name), "%llu", (unsigned long long)nth);
		CHECK_RC(files_path(dir, NULL, top, name, NULL), 0);
		CHECK_RC(packet_block_init(&block, 1), 0);
		for (uint64_t n = 0; n < 50; n++) {
			uint8_t bytes[KIT_FRAME_MAX];
			struct packet_rec rec = kit_packet(n, KIT_START, NS_PER_SEC, bytes);

			CHECK_RC(packet_block_add(&block, &rec), 0);
		}
		mem_fail_nth(nth);
		rc = store_writer_open(dir, &opts, &writer, &err);
		for (uint64_t n = 0; n < 50 && rc == 0; n++) {
			char text[64];
			struct flow_row row = kit_flow(n, KIT_START + n * NS_PER_SEC, text);

			rc = store_write_rows(writer, TABLE_FLOWS, &row, 1, &err);
		}
		if (rc == 0)
			rc = store_write_packets(writer, &block, &err);
		if (writer)
			rc = store_writer_close(writer, rc == 0, &err) < 0 ? -1 : rc;
		mem_fail_nth(0);
		packet_block_release(&block);
		complete += rc == 0;
		failed += rc < 0;
		writer = kit_writer(dir, NULL);
		CHECK_OK(store_writer_close(writer, true, &err), err);
		/* A failure behind the rename, while the catalog is told: recovery finds the whole of it. */
		packets = kit_check_packets(dir, KIT_START, NS_PER_SEC, 0, UINT64_MAX, 0);
		CHECK(packets == 50 || (rc < 0 && packets == 0));
		CHECK_U64(kit_check_flows(dir, 50, KIT_START, NS_PER_SEC), packets);
		CHECK_U64(kit_findings(dir), 0);
	}
	CHECK_GT(failed, 20);
	CHECK_GT(complete, 0);
}
