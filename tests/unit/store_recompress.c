/* Cold partitions packed again: smaller, the same to every reader, whole at any instant. */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "store/codec.h"
#include "store/writer.h"
#include "tests/unit/store_kit.h"

#define HOURS 3u
#define HOUR_ROWS 6000u
#define STEP_NS (NS_PER_HOUR / HOUR_ROWS)
#define ROWS ((uint64_t)HOURS * HOUR_ROWS)
#define FRAME_STEP_NS (NS_PER_HOUR / 60)
#define FRAMES (HOURS * 60u)

/* Three sealed hours of flows and packets. */
static const char *make_store(void)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	kit_write_flows(writer, 0, ROWS, KIT_START, STEP_NS);
	kit_write_packets(writer, 1, 0, FRAMES, KIT_START, FRAME_STEP_NS, 100);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	return dir;
}

static struct store_repacked pack(const char *dir, int level, uint64_t age_ns)
{
	const struct store_recompress_opts opts = { .now_ns = KIT_NOW, .age_ns = age_ns, .level = level };
	struct store_repacked total = { 0 };
	struct err err = { 0 };

	CHECK_OK(store_recompress(dir, &opts, &total, &err), err);
	return total;
}

static uint64_t data_bytes(const char *dir)
{
	struct store *store = kit_store(dir);
	struct store_horizon horizon;
	struct err err = { 0 };

	CHECK_OK(store_horizon(store, &horizon, &err), err);
	store_close(store);
	return horizon.data_bytes;
}

static void check_all(const char *dir)
{
	CHECK_U64(kit_check_flows(dir, ROWS, KIT_START, STEP_NS), ROWS);
	CHECK_U64(kit_check_packets(dir, KIT_START, FRAME_STEP_NS, 0, UINT64_MAX, 0), FRAMES);
	CHECK_U64(kit_check_packets(dir, KIT_START, FRAME_STEP_NS, 0, UINT64_MAX, 1007), FRAMES / 101 + 1);
	CHECK_U64(kit_findings(dir), 0);
}

static void shell(const char *dir, const char *what)
{
	char command[1200];

	(void)snprintf(command, sizeof(command), "cd '%s' && %s", dir, what);
	CHECK_RC(system(command), 0);
}

TEST(store_recompress, smaller_and_the_same)
{
	const char *dir = make_store();
	uint64_t before = data_bytes(dir);
	struct store_repacked total, known;
	uint64_t parts, bytes;
	struct store *store;
	struct err err = { 0 };

	shell(dir, "stat -c %i parts/*/packets.seg >inodes");
	total = pack(dir, 19, 0);
	CHECK_U64(total.parts, HOURS);
	CHECK_U64(total.bytes_before, before);
	CHECK(total.bytes_after < before - before / 50, "%llu of %llu bytes", (unsigned long long)total.bytes_after,
	      (unsigned long long)before);
	CHECK_U64(data_bytes(dir), total.bytes_after);
	shell(dir, "stat -c %i parts/*/packets.seg | cmp - inodes && test -z \"$(find tmp trash -mindepth 1)\"");
	check_all(dir);
	/* Once a level; a higher one is another matter. */
	total = pack(dir, 19, 0);
	CHECK_U64(total.parts + total.left, 0);
	total = pack(dir, 20, 0);
	CHECK_U64(total.parts + total.left, HOURS);
	check_all(dir);
	store = kit_store(dir);
	CHECK_OK(store_repacked(store, KIT_NOW, &known, &parts, &bytes, &err), err);
	CHECK_U64(known.parts + known.left, 2 * HOURS);
	CHECK_U64(parts, 0);
	store_close(store);
}

/* What a lost catalog is made of again knows of it, too. */
TEST(store_recompress, manifest_remembers)
{
	const char *dir = make_store();
	struct store_writer *writer;
	struct err err = { 0 };

	CHECK_U64(pack(dir, 19, 0).parts, HOURS);
	shell(dir, "rm -r catalog");
	writer = kit_writer(dir, NULL);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	check_all(dir);
	CHECK_U64(pack(dir, 19, 0).parts, 0);
}

TEST(store_recompress, leaves_the_young_the_pinned_and_the_full_disk)
{
	struct store_policy policy = { .total_bytes = 1 };
	const char *dir = make_store();
	struct err err = { 0 };

	CHECK_U64(pack(dir, 19, 20 * NS_PER_HOUR).parts, 0);
	CHECK_OK(store_policy_set(dir, &policy, &err), err);
	CHECK_U64(pack(dir, 19, 0).parts, 0);	/* two copies would be above the budget */
	policy = (struct store_policy){ .free_bytes = UINT64_MAX / 2 };
	CHECK_OK(store_policy_set(dir, &policy, &err), err);
	CHECK_U64(pack(dir, 19, 0).parts, 0);
	policy = (struct store_policy){ 0 };
	CHECK_OK(store_policy_set(dir, &policy, &err), err);
	CHECK_OK(store_pin(dir, "incident", KIT_START + NS_PER_HOUR, KIT_START + NS_PER_HOUR + 1, &err), err);
	CHECK_U64(pack(dir, 19, 0).parts, HOURS - 1);
	CHECK_OK(store_unpin(dir, "incident", &err), err);
	CHECK_U64(pack(dir, 19, 0).parts, 1);
	check_all(dir);
}

/* Views of before: one that had the partition open, one that opens it now, one that looks while the catalog is behind. */
TEST(store_recompress, readers_notice_nothing)
{
	const char *dir = make_store();
	struct store *store = kit_store(dir);
	struct store_view *open = NULL, *waiting = NULL;
	struct store_view *views[2];
	struct err err = { 0 };
	struct arena arena;

	arena_init(&arena, 0);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &open, &err), err);
	for (size_t part = 0; part < HOURS; part++)
		CHECK_GE(store_rg_count(open, part, TABLE_FLOWS), 1);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &waiting, &err), err);
	shell(dir, "cp -a catalog catalog.old");
	CHECK_U64(pack(dir, 19, 0).parts, HOURS);
	views[0] = open;
	views[1] = waiting;
	for (size_t v = 0; v < 2; v++) {
		uint64_t rows = 0;

		for (size_t part = 0; part < HOURS; part++) {
			for (size_t g = 0; g < store_rg_count(views[v], part, TABLE_FLOWS); g++) {
				struct rg rg = { 0 };
				void *at = NULL;

				CHECK_OK(store_rg_open(views[v], part, TABLE_FLOWS, g, &rg, &err), err);
				arena_reset(&arena);
				CHECK_OK(rg_read_rows(&rg, &arena, &at, &err), err);
				rows += rg.zone.rows;
			}
		}
		CHECK_U64(rows, ROWS);
		store_view_close(views[v]);
	}
	store_close(store);
	arena_release(&arena);
	/* Died between the exchange and the catalog. */
	shell(dir, "rm -r catalog && mv catalog.old catalog");
	check_all(dir);
}

/* The states a kill can leave: a half-made directory below tmp/; exchanged, and the catalog knows nothing of it. */
TEST(store_recompress, a_crash_leaves_the_old_or_the_new)
{
	const char *dir = make_store();
	struct store_writer *writer;
	struct err err = { 0 };
	uint64_t after;

	shell(dir, "mkdir tmp/2026-09-12T08.0.77 && head -c 1000 /dev/zero >tmp/2026-09-12T08.0.77/data.seg");
	shell(dir, "cp -a catalog catalog.old");
	after = pack(dir, 19, 0).bytes_after;
	shell(dir, "rm -r catalog && mv catalog.old catalog");
	writer = kit_writer(dir, NULL);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	shell(dir, "test -z \"$(ls tmp)\"");
	CHECK_U64(data_bytes(dir), after);
	CHECK_U64(pack(dir, 19, 0).parts, 0);
	check_all(dir);
}

static int third_step(void *arg)
{
	unsigned *steps = arg;

	return ++*steps == 3 ? E_CANCELLED : 0;
}

TEST(store_recompress, stops_when_told)
{
	unsigned steps = 0;
	struct store_recompress_opts opts = { .now_ns = KIT_NOW, .level = 19, .step = third_step, .arg = &steps };
	const char *dir = make_store();
	struct store_repacked total = { 0 };
	struct err err = { 0 };

	/* A group an hour: the third hour is given up. */
	CHECK_RC(store_recompress(dir, &opts, &total, &err), E_CANCELLED);
	CHECK_U64(total.parts, 2);
	shell(dir, "test -z \"$(ls tmp)\"");
	check_all(dir);
	CHECK_U64(pack(dir, 19, 0).parts, 1);
	check_all(dir);
}

/* A damaged chunk is not packed into a sound one, and what cannot be helped is not tried for ever. */
TEST(store_recompress, damage_stays_what_it_is)
{
	const char *dir = make_store();
	struct store_repacked total;
	int findings;

	/* In the middle of the middle hour. */
	shell(dir, "f=$(ls -d parts/* | sed -n 2p)/data.seg; n=$(stat -c %s $f); "
		   "printf '\\252\\125' | dd of=$f bs=1 seek=$((n / 2)) conv=notrunc 2>/dev/null; test $(stat -c %s $f) = $n");
	findings = kit_findings(dir);
	CHECK_GE(findings, 1);
	total = pack(dir, 19, 0);
	CHECK_U64(total.parts, HOURS - 1);
	CHECK_U64(total.left, 1);
	CHECK_U64(kit_findings(dir), (uint64_t)findings);
	total = pack(dir, 19, 0);
	CHECK_U64(total.parts + total.left, 0);
}

/* The recorder does it by itself, in its own time. */
static void by_policy(bool inline_)
{
	const struct store_policy policy = { .cold_age_ns = 8 * NS_PER_HOUR, .cold_level = 12 };
	const struct store_writer_opts opts = { .seal_inline = inline_, .group_gid = -1 };
	const char *dir = make_store();
	struct store_writer *writer;
	struct store_repacked total;
	uint64_t parts, bytes;
	struct store *store = kit_store(dir);
	struct err err = { 0 };

	CHECK_OK(store_policy_set(dir, &policy, &err), err);
	CHECK_OK(store_repacked(store, KIT_NOW, &total, &parts, &bytes, &err), err);
	CHECK_U64(parts, 2);	/* now is 10 hours behind the start; the third hour ended 7 hours ago */
	writer = kit_writer(dir, &opts);
	CHECK_OK(store_tick(writer, KIT_NOW, &err), err);
	cold_wait(writer->cold);
	CHECK_OK(store_repacked(store, KIT_NOW, &total, &parts, &bytes, &err), err);
	CHECK_U64(total.parts, 2);
	CHECK_U64(parts, 0);
	CHECK(total.bytes_after < total.bytes_before);
	store_close(store);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	check_all(dir);
}

TEST(store_recompress, by_policy_inline)
{
	by_policy(true);
}

TEST(store_recompress, by_policy_beside)
{
	by_policy(false);
}

/* While others want the machine nothing is packed, and the end does not wait for it. */
TEST(store_recompress, waits_while_the_recorder_is_not_calm)
{
	const char *dir = make_store();
	struct cold *cold = NULL;
	struct err err = { 0 };

	CHECK_OK(cold_new(dir, false, &cold, &err), err);
	cold_calm(cold, false);
	cold_look(cold, KIT_NOW, NS_PER_HOUR);
	cold_free(cold);
	shell(dir, "test -z \"$(ls tmp)\"");
	CHECK_U64(pack(dir, 19, 0).parts, HOURS);
	check_all(dir);
}

/* ---- kill -9 ---- */

#define ROUNDS 12

/* The child: packs again and again, and drops rows of one hour on the way, until it is killed. */
static void pack_for_ever(const char *dir, int out)
{
	struct store_recompress_opts opts = { .now_ns = KIT_NOW };

	if (write(out, "x", 1) != 1)
		_exit(3);
	for (opts.level = 4; opts.level <= 22; opts.level++)
		if (store_recompress(dir, &opts, NULL, NULL) < 0)
			_exit(4);
	pause();
	_exit(0);
}

TEST(store_recompress, kill_at_any_moment, .timeout = 100)
{
	const char *text = getenv("SEED");
	uint64_t random = text && *text ? strtoull(text, NULL, 10) : 20261123;
	const char *dir = make_store();

	printf("seed %llu\n", (unsigned long long)random);
	for (unsigned round = 0; round < ROUNDS; round++) {
		long wait_us = (long)(kit_random(&random) % 150000);
		struct store_writer *writer;
		struct err err = { 0 };

		/* Sealed anew, so that every round has something to do. */
		shell(dir, round ? "rm -rf parts catalog tmp trash hot snap && cp -a first/* ." :
				   "mkdir first && cp -a parts catalog tmp trash hot snap first/");
		kit_kill_child(pack_for_ever, dir, wait_us);
		check_all(dir);			/* as it lies there */
		writer = kit_writer(dir, NULL);	/* and put right */
		CHECK_OK(store_writer_close(writer, false, &err), err);
		shell(dir, "test -z \"$(find tmp trash -mindepth 1)\"");
		check_all(dir);
	}
}
