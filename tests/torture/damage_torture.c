/*
 * A small sealed store that has aged badly. "flip": one bit of every byte of every file in turn; whoever reads is told,
 * or gets what was written. "read": the n-th read of a file fails with an input/output error; the rest answers.
 *
 * usage: damage_torture flip|read DIR [SEED]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/hash.h"
#include "base/log.h"
#include "tests/torture/kit.h"

#define ROWS 180u	/* an hour and a half: two partitions */
#define FLIP_ROWS 100u	/* one: every byte of it costs a look at all */

/* ------------------------------------------------------ reads that can fail */

static uint64_t reads, fail_at;

ssize_t pread(int fd, void *at, size_t len, off_t offset)
{
	if (++reads == fail_at) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, at, len, offset);
}

ssize_t pread64(int fd, void *at, size_t len, off64_t offset)
{
	return pread(fd, at, len, offset);
}

/* ------------------------------------------------------------ what it says */

struct answer {
	uint64_t rows, packets, errors;
	bool opened;	/* the catalog could be read */
	uint64_t sum;	/* of every value of every row, every frame, every index */
};

static void add(struct answer *answer, const void *at, size_t len)
{
	answer->sum = hash_bytes(at, len, answer->sum);
}

static void ask_rows(struct store_view *view, size_t part, struct answer *answer, struct arena *arena)
{
	const struct table *table = table_get(TABLE_FLOWS);
	size_t groups = store_rg_count(view, part, TABLE_FLOWS);

	add(answer, &groups, sizeof(groups));
	for (size_t g = 0; g < groups; g++) {
		uint8_t *rows = NULL;
		struct rg rg;

		arena_reset(arena);
		if (store_rg_open(view, part, TABLE_FLOWS, g, &rg, NULL) < 0 ||
		    rg_read_rows(&rg, arena, (void **)&rows, NULL) < 0) {
			answer->errors++;
			continue;
		}
		for (uint32_t i = 0; i < rg.zone.rows; i++) {
			for (size_t c = 0; c < table->cols_count; c++) {
				uint64_t value = 0;
				struct view text = view_make(NULL, 0);
				bool there = row_get(&table->cols[c], rows + i * table->row_bytes, &value, &text);

				add(answer, &there, sizeof(there));
				add(answer, &value, sizeof(value));
				add(answer, text.at, text.len);
			}
			answer->rows++;
		}
	}
}

static bool add_group(uint32_t group, void *arg)
{
	add(arg, &group, sizeof(group));
	return true;
}

/* A group that an index hides is a wrong answer as well: whatever is there must be found by what it is. */
static void ask_indexes(struct store_view *view, size_t part, struct answer *answer)
{
	const struct table *table = table_get(TABLE_FLOWS);

	for (unsigned n = 0; n < 7; n++) {
		struct bitmap *bitmap = NULL;
		char text[32];
		int rc;

		(void)snprintf(text, sizeof(text), "workload-%u", n);
		rc = store_index_lookup(view, part, TABLE_FLOWS, &table->cols[FLOW_dst_workload], view_str(text), &bitmap,
					NULL);
		answer->errors += rc < 0;
		if (rc >= 0 && bitmap)
			bitmap_each(bitmap, add_group, answer);
		bitmap_free(bitmap);
	}
	for (unsigned n = 0; n < ROWS; n += 17) {
		uint64_t id = schema_id(START + n * STEP_NS, n);
		int rc = store_bloom_may_have(view, part, TABLE_FLOWS, 0, &table->cols[FLOW_id], view_make(&id, 8), NULL);

		answer->errors += rc < 0;
		add(answer, &rc, sizeof(rc));
	}
}

static void ask_packets(struct store_view *view, size_t part, const uint64_t *flow_id, struct answer *answer)
{
	struct store_packets *packets = NULL;
	struct packet_rec rec;
	uint64_t source;
	int rc = store_packets_open(view, part, 0, UINT64_MAX, flow_id, flow_id ? 1 : 0, &packets, NULL);

	if (rc < 0) {
		answer->errors++;
		return;
	}
	for (unsigned i = 0; i < 100 * ROWS && (rc = store_packets_next(packets, &rec, &source, NULL)) != 0; i++) {
		if (rc < 0) {
			answer->errors++;
			continue;
		}
		add(answer, &rec.time_ns, sizeof(rec.time_ns));
		add(answer, &rec.flow_id, sizeof(rec.flow_id));
		add(answer, rec.frame.at, rec.frame.len);
		answer->packets += !flow_id;
	}
	store_packets_close(packets);
}

static struct answer ask(const char *dir)
{
	struct answer answer = { 0 };
	struct store_horizon horizon;
	struct store_view *view = NULL;
	struct store *store = NULL;
	struct store_gap *gaps;
	struct arena arena;
	uint64_t flow_id = 3;
	size_t count = 0;

	arena_init(&arena, 64u << 20);
	if (store_open(dir, &store, NULL) < 0) {
		answer.errors++;
		goto out;
	}
	answer.errors += store_gaps(store, 0, UINT64_MAX, &arena, &gaps, &count, NULL) < 0;
	add(&answer, &count, sizeof(count));
	answer.errors += store_horizon(store, &horizon, NULL) < 0;
	if (store_view_open(store, 0, UINT64_MAX, &view, NULL) < 0) {
		answer.errors++;
		goto out;
	}
	answer.opened = true;
	count = store_view_parts(view);
	add(&answer, &count, sizeof(count));
	for (size_t part = 0; part < count; part++) {
		ask_rows(view, part, &answer, &arena);
		ask_indexes(view, part, &answer);
		ask_packets(view, part, NULL, &answer);
		ask_packets(view, part, &flow_id, &answer);
	}
out:
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
	return answer;
}

/* ------------------------------------------------------------- every byte */

/* What the child is at; the parent tells it when the child is no more. */
static struct where {
	char path[512];
	uint64_t at, told, same, believed;
} *where;

static const char *base_dir;
static struct answer good;
static uint64_t seed = 1;

static int flip_file(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	int fd;

	(void)ftw;
	if (kind != FTW_F || strstr(path, "lock"))
		return 0;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(path, 0, "cannot be opened");
	(void)snprintf(where->path, sizeof(where->path), "%s", path + strlen(base_dir));
	for (off_t at = 0; at < st->st_size; at++) {
		struct answer answer;
		uint8_t byte, flipped;

		where->at = (uint64_t)at;
		if (pread(fd, &byte, 1, at) != 1)
			die(path, where->at, "cannot be read");
		flipped = byte ^ (uint8_t)(1u << hash_mix(seed, where->at) % 8);
		if (pwrite(fd, &flipped, 1, at) != 1)
			die(path, where->at, "cannot be written");
		answer = ask(base_dir);
		if (pwrite(fd, &byte, 1, at) != 1)
			die(path, where->at, "cannot be written");
		if (answer.errors)
			where->told++;
		else if (answer.sum == good.sum)
			where->same++;
		else if (where->believed++ < 20)
			(void)fprintf(stderr, "FAIL %s byte %" PRIu64 ": its flipped bit is believed\n", where->path,
				      where->at);
	}
	(void)close(fd);
	return 0;
}

static void flip_all(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)nftw(base_dir, flip_file, 16, FTW_PHYS);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
		(void)fprintf(stderr, "FAIL the reader crashed at byte %" PRIu64 " of %s\n", where->at, where->path);
		exit(1);
	}
	if (WEXITSTATUS(status) != 0)
		exit(1);
	if (where->believed) {
		(void)fprintf(stderr, "FAIL %" PRIu64 " flipped bits are believed\n", where->believed);
		exit(1);
	}
	printf("flip: %" PRIu64 " bytes told, %" PRIu64 " without a meaning\n", where->told, where->same);
}

/* ------------------------------------------------------------- every read */

static void fail_reads(void)
{
	uint64_t count, told = 0;
	struct answer answer;

	reads = 0;
	(void)ask(base_dir);
	count = reads;
	for (uint64_t n = 1; n <= count; n++) {
		reads = 0;
		fail_at = n;
		answer = ask(base_dir);
		fail_at = 0;
		if (!answer.errors && answer.sum != good.sum)
			die("read", n, "a failed read is passed over in silence");
		/* One block or one partition is missing, never everything. */
		if (answer.opened && !answer.rows && !answer.packets)
			die("read", n, "one failed read hides all");
		told += answer.errors != 0;
	}
	answer = ask(base_dir);
	if (answer.errors || answer.sum != good.sum)
		die("read", count, "a failed read is not forgotten");
	printf("read: %" PRIu64 " reads failed one by one, %" PRIu64 " told\n", count, told);
}

int main(int argc, char **argv)
{
	struct store_writer_opts opts = { .seal_inline = true, .group_gid = -1 };
	struct store_writer *writer = NULL;
	struct err err = { 0 };
	uint64_t rows;

	if (argc < 3 || (strcmp(argv[1], "flip") != 0 && strcmp(argv[1], "read") != 0)) {
		(void)fprintf(stderr, "usage: damage_torture flip|read DIR [SEED]\n");
		return 2;
	}
	base_dir = argv[2];
	rows = strcmp(argv[1], "flip") == 0 ? FLIP_ROWS : ROWS;
	seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	log_set_level(LOG_ERROR);
	where = mmap(NULL, sizeof(*where), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (where == MAP_FAILED || store_writer_open(base_dir, &opts, &writer, &err) < 0 ||
	    write_rows(writer, 0, rows, &err) < 0 || store_writer_close(writer, true, &err) < 0)
		die("writing", 0, err.text);
	good = ask(base_dir);
	if (good.errors || good.rows != rows || good.packets != rows)
		die("reading", good.errors, "the store is not sound to begin with");
	if (strcmp(argv[1], "flip") == 0)
		flip_all();
	else
		fail_reads();
	return 0;
}
