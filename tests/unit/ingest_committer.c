#include "ingest/committer.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "store/store.h"
#include "tests/ingest_kit.h"

/* A file system of a few MB of our own, in a mount namespace that ends with the test's process. */
static bool small_disk(const char *dir)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", dir, "tmpfs", 0, "size=12m") == 0;
}

static struct committer *open_committer(const char *dir, struct counters *counters, bool alive)
{
	struct committer_opts opts = { .name = "test", .survive = alive, .counters = counters, .batches = 3,
				       .commit_ns = 50 * NS_PER_MS,
				       .store = { .map_bytes = 64 << 20, .group_gid = -1 } };
	struct committer *committer = NULL;
	struct err err = { 0 };

	CHECK_OK(committer_open(dir, &opts, &committer, &err), err);
	return committer;
}

/* Bytes that do not compress, about 1 MB of them, and an event. False when writing has ended. */
static bool put_megabyte(struct committer *committer, uint64_t *number)
{
	struct batch *batch = committer_take(committer, true);
	struct event_row *row;
	uint64_t noise[512];

	if (!batch)
		return false;
	for (int i = 0; i < 256; i++) {
		struct packet_rec rec = { .time_ns = KIT_T0 + *number, .number = *number, .link = 1, .segments = 1,
					  .orig_len = sizeof(noise), .frame = view_make(noise, sizeof(noise)) };

		for (size_t n = 0; n < 512; n++)
			noise[n] = hash_u64(*number * 512 + n);
		CHECK_U64(batch_packet(batch, 1, &rec), 0);
		++*number;
	}
	row = batch_row(batch, TABLE_EVENTS);
	CHECK(row);
	row->id = *number;
	row->start_ns = row->end_ns = KIT_T0 + *number;
	row->kind = EVENT_connect;
	committer_put(committer, batch);
	return true;
}

static bool wait_for(struct committer *committer, bool degraded)
{
	uint64_t until_ns = clock_mono_ns() + 10 * NS_PER_SEC;

	while (clock_mono_ns() < until_ns) {
		struct batch *batch;

		if (committer_degraded(committer) == degraded)
			return true;
		/* a batch that goes round takes the thread through its upkeep */
		batch = committer_take(committer, true);
		if (batch) {
			batch->commit = true;
			committer_put(committer, batch);
		}
	}
	return false;
}

TEST(committer, survives_a_full_disk_and_records_the_gap, .timeout = 60)
{
	const char *dir = check_tmpdir();
	struct counters counters = { 0 };
	struct committer *committer;
	struct store *store = NULL;
	struct store_gap *gaps = NULL;
	struct err err = { 0 };
	struct arena arena;
	uint64_t number = 1;
	size_t count = 0;
	char filler[600], data[600];
	bool told = false;
	FILE *out;

	if (!small_disk(dir))
		SKIP("mounting a small file system is not permitted");
	(void)snprintf(data, sizeof(data), "%s/tape", dir);
	(void)snprintf(filler, sizeof(filler), "%s/filler", dir);
	out = fopen(filler, "w");
	CHECK(out && ftruncate(fileno(out), 0) == 0);
	for (int i = 0; i < 8; i++) {
		static char mb[1 << 20];

		memset(mb, i + 1, sizeof(mb));
		CHECK_U64(fwrite(mb, 1, sizeof(mb), out), sizeof(mb));
	}
	(void)fclose(out);
	committer = open_committer(data, &counters, true);
	for (int i = 0; i < 12; i++)
		CHECK(put_megabyte(committer, &number));
	CHECK(wait_for(committer, true), "a disk of 12 MB took 8 + 12 MB");
	CHECK_U64(committer_failed(committer, &err), 0);
	/* space comes back */
	CHECK_U64(unlink(filler), 0);
	CHECK(wait_for(committer, false), "it does not write again");
	CHECK(put_megabyte(committer, &number));
	CHECK_OK(committer_close(committer, false, &err), err);
	CHECK_GT(counter_get(&counters, COUNTER_commits_total), 0);

	arena_init(&arena, 0);
	CHECK_OK(store_open(data, &store, &err), err);
	CHECK_OK(store_gaps(store, 0, UINT64_MAX, &arena, &gaps, &count, &err), err);
	for (size_t i = 0; i < count; i++)
		told = told || (strcmp(gaps[i].reason, "disk_full") == 0 && gaps[i].packets > 0);
	CHECK(told, "none of %zu gaps tells of the full disk", count);
	store_close(store);
	arena_release(&arena);
	(void)umount2(dir, MNT_DETACH);
}

TEST(committer, ends_an_import_at_the_first_failure, .timeout = 60)
{
	const char *dir = check_tmpdir();
	struct counters counters = { 0 };
	struct committer *committer;
	struct err err = { 0 };
	uint64_t number = 1;
	char data[600];

	if (!small_disk(dir))
		SKIP("mounting a small file system is not permitted");
	(void)snprintf(data, sizeof(data), "%s/tape", dir);
	committer = open_committer(data, &counters, false);
	for (int i = 0; i < 40 && put_megabyte(committer, &number); i++)
		;
	CHECK_RC(committer_close(committer, true, &err), E_NO_SPACE);
	CHECK(err.text[0], "no words");
	(void)umount2(dir, MNT_DETACH);
}
