/*
 * The store under torture: the n-th call that writes fails, the n-th allocation
 * fails, the process is killed. After each: no crash, what was committed is
 * there, the check finds nothing, and a writer opens it again.
 *
 * usage: store_torture write|alloc|kill DIR [ROUNDS [SEED]]
 *
 * Calls are failed by standing in front of the C library: this program's own
 * pwrite, fdatasync and so on are found first, also by LMDB.
 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"
#include "tests/torture/kit.h"

#define OLD_ROWS 300u			/* in the store before the torture */
#define NEW_ROWS 300u
#define BATCH 60u

/* ------------------------------------------------- calls that can be failed */

static uint64_t calls;		/* so far */
static uint64_t fail_at;	/* this one fails; 0: none does */
static bool fail_on;		/* and all after it */
static int fail_errno;

static bool fails(void)
{
	calls++;
	if (!fail_at || (fail_on ? calls < fail_at : calls != fail_at))
		return false;
	errno = fail_errno;
	return true;
}

ssize_t pwrite(int fd, const void *at, size_t len, off_t offset)
{
	if (fails()) {
		if (len < 2 || calls % 2)
			return -1;
		len /= 2;	/* every other failure is a short write first, as on a disk that just got full */
	}
	return syscall(SYS_pwrite64, fd, at, len, offset);
}

ssize_t pwrite64(int fd, const void *at, size_t len, off64_t offset)
{
	return pwrite(fd, at, len, offset);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	return fails() ? -1 : syscall(SYS_pwritev, fd, iov, count, offset, offset >> 32);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	return fails() ? -1 : syscall(SYS_writev, fd, iov, count);
}

int fdatasync(int fd)
{
	return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	return fails() ? -1 : (int)syscall(SYS_rename, from, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	return fails() ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int mkdir(const char *path, mode_t mode)
{
	return fails() ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

/* Rows [0, promised) are there, the check is clean, and a writer opens, writes and seals. */
static void verify(const char *dir, uint64_t round, uint64_t promised, uint64_t limit)
{
	uint8_t *seen = calloc(limit + BATCH, 1);
	struct store_writer_opts opts = { .seal_inline = true, .group_gid = -1 };
	struct store_writer *writer = NULL;
	struct err err = { 0 };

	for (int pass = 0; pass < 2; pass++) {
		memset(seen, 0, limit + BATCH);
		read_rows(dir, round, seen, limit + BATCH);
		for (uint64_t n = 0; n < promised; n++)
			if (!seen[n])
				die("round", round, "a row that was reported committed is lost");
		if (pass && !seen[limit])
			die("round", round, "a row written afterwards is lost");
		if (store_check(dir, print_finding, NULL, NULL, &err) != 0)
			die("check after round", round, err.text);
		if (pass)
			break;
		if (store_writer_open(dir, &opts, &writer, &err) < 0 || write_rows(writer, limit, 1, &err) < 0 ||
		    store_writer_close(writer, true, &err) < 0)
			die("writing after round", round, err.text);
	}
	free(seen);
}

/* --------------------------------------------------------------- the rounds */

static void fresh_copy(const char *base, const char *work)
{
	char command[2200];

	(void)nftw(work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	(void)snprintf(command, sizeof(command), "cp -a '%s' '%s'", base, work);
	if (system(command) != 0)
		die("cp", 0, base);
}

/* A store with sealed partitions and a hot one. */
static void make_base(const char *dir)
{
	struct store_writer_opts opts = { .seal_inline = true, .group_gid = -1 };
	struct store_writer *writer = NULL;
	struct err err = { 0 };

	for (int seal = 1; seal >= 0; seal--) {
		if (store_writer_open(dir, &opts, &writer, &err) < 0 ||
		    write_rows(writer, seal ? 0 : OLD_ROWS / 2, OLD_ROWS / 2, &err) < 0 ||
		    store_writer_close(writer, seal, &err) < 0)
			die("making the store", 0, err.text);
	}
}

/* What runs under failing calls: writes, commits, seals, packing again. Reports promised rows through out; ends with 0 whatever failed. */
static void victim(const char *dir, int out, bool for_ever)
{
	struct store_writer_opts opts = { .seal_inline = true, .hot_partitions_max = 2, .group_gid = -1 };
	const struct store_recompress_opts cold = { .now_ns = UINT64_MAX, .level = 19 };
	struct store_writer *writer = NULL;
	uint64_t promised = OLD_ROWS;
	bool lost = false;

	log_set_level(LOG_ERROR);
	if (store_writer_open(dir, &opts, &writer, NULL) == 0) {
		for (uint64_t n = OLD_ROWS; n < OLD_ROWS + NEW_ROWS || for_ever; n += BATCH) {
			/* Rows after a failure may be there or not; only an unbroken run is promised. */
			if (write_rows(writer, n, BATCH, NULL) < 0 || store_commit(writer, NULL) < 0)
				lost = true;
			if (!lost)
				promised = n + BATCH;
			if (write(out, &promised, sizeof(promised)) != sizeof(promised))
				break;
			if (n >= 100 * OLD_ROWS)
				pause();
		}
		(void)store_tick(writer, clock_now_ns(), NULL);
		(void)store_recompress(dir, &cold, NULL, NULL);
		(void)store_writer_close(writer, true, NULL);
	}
	(void)write(out, &calls, 0);
}

static uint64_t last_report(int in)
{
	uint64_t promised = OLD_ROWS, got;

	while (read(in, &got, sizeof(got)) == sizeof(got))
		promised = got;
	return promised;
}

/* One round; returns whether the failure was reached (0 calls: past the end). */
static bool fail_round(const char *what, const char *base, const char *work, uint64_t n, bool on, int code)
{
	int out[2], status;
	uint64_t promised;
	pid_t pid;

	fresh_copy(base, work);
	if (pipe(out) < 0 || (pid = fork()) < 0)
		die("fork", n, "failed");
	if (pid == 0) {
		(void)close(out[0]);
		if (strcmp(what, "alloc") == 0) {
			mem_fail_nth(n);
		} else {
			fail_at = n;
			fail_on = on;
			fail_errno = code;
		}
		victim(work, out[1], false);
		if (strcmp(what, "alloc") == 0)
			_exit(0);
		_exit(calls < n ? 7 : 0);	/* 7: never got that far */
	}
	(void)close(out[1]);
	promised = last_report(out[0]);
	(void)close(out[0]);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		die(what, n, "the writer crashed");
	verify(work, n, promised, 120 * OLD_ROWS);
	return WEXITSTATUS(status) != 7;
}

static void kill_round(const char *base, const char *work, uint64_t round, uint64_t wait_us)
{
	struct timespec wait = { .tv_nsec = (long)wait_us * 1000 };
	int out[2], status;
	uint64_t promised;
	pid_t pid;

	fresh_copy(base, work);
	if (pipe(out) < 0 || (pid = fork()) < 0)
		die("fork", round, "failed");
	if (pid == 0) {
		victim(work, out[1], true);
		_exit(0);
	}
	(void)close(out[1]);
	(void)nanosleep(&wait, NULL);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	promised = last_report(out[0]);
	(void)close(out[0]);
	verify(work, round, promised, 120 * OLD_ROWS);
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 3 ? strtoull(argv[3], NULL, 10) : 100, seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
	char base[1000], work[1000];
	uint64_t done = 0;

	if (argc < 3 || !strchr("wak", argv[1][0])) {
		(void)fprintf(stderr, "usage: store_torture write|alloc|kill DIR [ROUNDS [SEED]]\n");
		return 2;
	}
	log_set_level(LOG_ERROR);
	(void)snprintf(base, sizeof(base), "%s/base", argv[2]);
	(void)snprintf(work, sizeof(work), "%s/work", argv[2]);
	make_base(base);
	(void)printf("%s: %" PRIu64 " rounds, seed %" PRIu64 "\n", argv[1], rounds, seed);
	for (uint64_t i = 0; i < rounds; i++) {
		/* Early calls one by one, then in growing steps: the ends of a run are alike. */
		uint64_t n = strcmp(argv[1], "alloc") == 0 ? i * i / 4 + i + 1 : i + 1;

		if (strcmp(argv[1], "kill") == 0) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			kill_round(base, work, i, (seed >> 33) % 150000);
		} else if (!fail_round(argv[1], base, work, n, i % 2, i % 3 ? ENOSPC : EIO)) {
			break;
		}
		done++;
	}
	(void)nftw(argv[2], remove_one, 16, FTW_DEPTH | FTW_PHYS);
	(void)printf("%s: %" PRIu64 " rounds passed\n", argv[1], done);
	return 0;
}
