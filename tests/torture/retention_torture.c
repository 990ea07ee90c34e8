/*
 * A budget of bytes, held: many times as much is pushed through a store on a small
 * tmpfs. No commit fails, the files never take more than the policy says, and what
 * is kept never reaches back less than half of it. Flows that were reset, one in
 * four hundred, are kept longer: they always reach back at least twice as far as the rest.
 *
 * usage: retention_torture DIR BUDGET_MIB PUSH_MIB      (DIR: a file system of its own)
 */
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/random.h"
#include "tests/torture/kit.h"

#define FRAME_BYTES 1400u
#define FRAMES 700u			/* a commit: about a megabyte */
#define POOL_BYTES (64u << 20)
#define MIB (1ull << 20)
#define FAILS 400u			/* one flow in so many */

static uint8_t *pool;

static uint64_t used_bytes(const char *dir)
{
	struct statvfs fs;

	if (statvfs(dir, &fs) < 0)
		die("retention", 0, "statvfs");
	return (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
}

/* Frames that do not compress, a flow's row every hundred of them; time goes on by a millisecond a frame. */
static int push(struct store_writer *writer, uint64_t n, struct random *random, struct err *err)
{
	struct packet_block block;
	int rc = packet_block_init(&block, 1);

	for (uint64_t i = n; i < n + FRAMES && rc >= 0; i++) {
		uint64_t time_ns = START + i * 1000000;
		struct packet_rec rec = { .time_ns = time_ns, .number = i + 1, .flow_id = i / 100 + 1, .orig_len = FRAME_BYTES,
					  .link = 1, .segments = 1,
					  .frame = view_make(pool + random_below(random, POOL_BYTES - FRAME_BYTES), FRAME_BYTES) };
		struct flow_row row = { .id = schema_id(time_ns, i), .start_ns = time_ns, .end_ns = time_ns, .first_ns = time_ns };

		if (i / 100 % FAILS == 0)
			ROW_SET(FLOW, &row, end_reason, FLOW_END_rst);
		row.id = rec.flow_id;
		if (i % 100 == 0)
			rc = store_write_rows(writer, TABLE_FLOWS, &row, 1, err);
		if (rc >= 0)
			rc = packet_block_add(&block, &rec);
		if (rc == E_RANGE || rc == E_LIMIT) {
			rc = store_write_packets(writer, &block, err);
			packet_block_reset(&block);
			if (rc >= 0)
				rc = packet_block_add(&block, &rec);
		}
	}
	if (rc >= 0 && block.count)
		rc = store_write_packets(writer, &block, err);
	packet_block_release(&block);
	return rc;
}

/* How far back the frames of a class reach, in bytes pushed. */
static uint64_t reach_bytes(const char *dir, const char *scope, uint64_t now_ns)
{
	struct store_plan plan = { .reaches_count = 0 };
	uint64_t oldest = UINT64_MAX;
	struct store *store = NULL;
	struct err err = { 0 };
	struct arena arena;

	arena_init(&arena, 0);
	if (store_open(dir, &store, &err) < 0 || store_retention_plan(store, now_ns, &arena, &plan, &err) < 0)
		die("retention", 0, err.text);
	for (size_t i = 0; i < plan.reaches_count; i++)
		if (strcmp(plan.reaches[i].scope, scope) == 0)
			oldest = plan.reaches[i].oldest_ns;
	arena_release(&arena);
	store_close(store);
	return oldest > now_ns ? 0 : (now_ns - oldest) / 1000000 * FRAME_BYTES;
}

int main(int argc, char **argv)
{
	uint64_t budget = argc > 3 ? strtoull(argv[2], NULL, 10) * MIB : 0;
	uint64_t frames = argc > 3 ? strtoull(argv[3], NULL, 10) * MIB / FRAME_BYTES : 0, most = 0, least = UINT64_MAX, least_errors = UINT64_MAX;
	struct store_writer_opts opts = { .group_gid = -1, .zstd_level = 1, .hot_partitions_max = 2 };
	/* No age takes part: rounds by bytes are told the wall clock's time, and this program's frames are of another. */
	struct store_policy policy = { .total_bytes = budget, .packet_age_ns = 1000000 * NS_PER_HOUR, .rules_count = 1,
				       .rules = { { .scope = "packets/error" } } };
	struct store_writer *writer = NULL;
	struct random random = { 1 };
	struct err err = { 0 };
	char dir[1000];

	if (!budget || !frames) {
		(void)fprintf(stderr, "usage: retention_torture DIR BUDGET_MIB PUSH_MIB\n");
		return 2;
	}
	log_set_level(LOG_ERROR);
	(void)snprintf(dir, sizeof(dir), "%s/tape", argv[1]);
	pool = mem_alloc(POOL_BYTES);
	if (!pool)
		die("retention", 0, "out of memory");
	for (size_t i = 0; i < POOL_BYTES; i += 8) {
		uint64_t v = random_u64(&random);

		memcpy(pool + i, &v, 8);
	}
	if (store_writer_open(dir, &opts, &writer, &err) < 0 || store_policy_set(dir, &policy, &err) < 0 ||
	    store_writer_close(writer, false, &err) < 0 || store_writer_open(dir, &opts, &writer, &err) < 0)
		die("retention", 0, err.text);
	for (uint64_t n = 0; n < frames; n += FRAMES) {
		uint64_t now_ns = START + (n + FRAMES) * 1000000, used;

		if (push(writer, n, &random, &err) < 0 || store_commit(writer, &err) < 0 || store_tick(writer, now_ns, &err) < 0)
			die("frame", n, err.text);
		used = used_bytes(dir);
		most = used > most ? used : most;
		if (used > budget)
			die("over the budget at frame", n, dir);
		if (n / FRAMES % 64 == 0 && n * FRAME_BYTES > 2 * budget) {
			uint64_t reach = reach_bytes(dir, "packets", now_ns), errors = reach_bytes(dir, "packets/error", now_ns);

			least = reach < least ? reach : least;
			if (reach < budget / 2)
				die("kept less than half the budget at frame", n, dir);
			least_errors = errors < least_errors ? errors : least_errors;
			if (errors < 2 * reach)
				die("errors do not reach back further at frame", n, dir);
		}
	}
	if (store_writer_close(writer, true, &err) < 0)
		die("close", 0, err.text);
	if (store_check(dir, print_finding, NULL, NULL, &err) != 0)
		die("check", 0, err.text);
	(void)printf("retention: %llu MiB pushed through %llu MiB: at most %llu MiB used, at least %llu MiB of frames reached back, %llu MiB of errors\n",
		     (unsigned long long)(frames * FRAME_BYTES / MIB), (unsigned long long)(budget / MIB),
		     (unsigned long long)(most / MIB), (unsigned long long)(least / MIB),
		     (unsigned long long)(least_errors / MIB));
	mem_free(pool);
	return 0;
}
