/*
 * The store when the power goes: what a writer does to its files is recorded, and
 * played back up to some call. Of what was not synced by then, everything is kept,
 * or nothing, or 4 KiB pieces at random; names (created, renamed, removed) that no
 * directory sync made durable are undone from the last one back. After each: the
 * store opens, the check is clean, and all that was reported committed is there.
 *
 * usage: power_torture DIR [ROUNDS [SEED]]       ROUNDS 0: every call, three ways
 *
 * Recording stands in front of the C library, like store_torture.c. The mapped
 * lock.mdb is left out: nobody reads what a dead process left there.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/torture/kit.h"

#define FDS_MAX 1024
#define PIECE 4096u
#define BATCH 40u	/* a third of ROWS is a multiple */
#define ROWS 1200u
#define PATH_BYTES 512

enum kind { CREATE, MKDIR, RENAME, EXCHANGE, UNLINK, LINK, WRITE, TRUNC, SYNC, DIRSYNC, PROMISE };

struct op {
	enum kind kind;
	uint32_t file;			/* CREATE, LINK, WRITE, TRUNC, SYNC */
	bool durable;			/* WRITE: through a descriptor that syncs by itself */
	uint64_t off, len;		/* TRUNC: len; PROMISE: rows in len */
	uint8_t *data;
	char *path, *to;		/* below the data directory */
};

struct name {
	char path[PATH_BYTES];
	uint32_t file;			/* DIRECTORY */
};
#define DIRECTORY UINT32_MAX

struct names {
	struct name *at;
	size_t count, cap;
};

static struct op *ops;
static size_t ops_count, ops_cap;
static struct names now;		/* while recording */
static uint32_t files_count;
static const char *root;		/* NULL: nothing is recorded */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
	bool known, dir, dsync;
	uint32_t file;
	char path[PATH_BYTES];
} fds[FDS_MAX];

/* ---- names ---- */

static struct name *name_find(struct names *names, const char *path)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->at[i].path, path) == 0)
			return &names->at[i];
	return NULL;
}

static void name_add(struct names *names, const char *path, uint32_t file)
{
	struct name *name = name_find(names, path);

	if (!name) {
		if (mem_grow((void **)&names->at, &names->cap, names->count, sizeof(*name)) < 0)
			die("power", 0, "out of memory");
		name = &names->at[names->count++];
	}
	(void)snprintf(name->path, sizeof(name->path), "%s", path);
	name->file = file;
}

static void name_remove(struct names *names, const char *path)
{
	struct name *name = name_find(names, path);

	if (name)
		*name = names->at[--names->count];
}

static void name_move(struct names *names, const char *from, const char *to)
{
	size_t len = strlen(from);

	name_remove(names, to);
	for (size_t i = 0; i < names->count; i++) {
		char *path = names->at[i].path, rest[PATH_BYTES];

		if (strncmp(path, from, len) != 0 || (path[len] && path[len] != '/'))
			continue;
		(void)snprintf(rest, sizeof(rest), "%s", path + len);
		(void)snprintf(path, PATH_BYTES, "%s%s", to, rest);
	}
}

static void name_exchange(struct names *names, const char *a, const char *b)
{
	name_move(names, a, "between");
	name_move(names, b, a);
	name_move(names, "between", b);
}

static bool is_name_op(const struct op *op)
{
	return op->kind <= LINK;
}

static void name_apply(struct names *names, const struct op *op)
{
	switch (op->kind) {
	case CREATE: name_add(names, op->path, op->file); break;
	case MKDIR: name_add(names, op->path, DIRECTORY); break;
	case RENAME: name_move(names, op->path, op->to); break;
	case EXCHANGE: name_exchange(names, op->path, op->to); break;
	case UNLINK: name_remove(names, op->path); break;
	case LINK: name_add(names, op->to, op->file); break;
	default: break;
	}
}

/* ---- recording ---- */

/* The path below the data directory; NULL: another one, or not recorded. */
static const char *below(const char *path)
{
	size_t len = root ? strlen(root) : 0;

	if (!root || strncmp(path, root, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	if (strstr(path, "lock.mdb"))
		return NULL;
	return path + len + (path[len] == '/');
}

static struct op *record(enum kind kind, const char *path, const char *to)
{
	struct op *op;

	if (mem_grow((void **)&ops, &ops_cap, ops_count, sizeof(*ops)) < 0)
		die("power", 0, "out of memory");
	op = &ops[ops_count++];
	*op = (struct op){ .kind = kind, .path = path ? strdup(path) : NULL, .to = to ? strdup(to) : NULL };
	return op;
}

static void record_name(enum kind kind, const char *path, const char *to)
{
	(void)pthread_mutex_lock(&lock);
	if (path && (kind == UNLINK || kind == MKDIR || to)) {
		struct name *name = name_find(&now, path);
		struct op *op = record(kind, path, to);

		op->file = kind == LINK && name ? name->file : DIRECTORY;
		name_apply(&now, op);
	}
	(void)pthread_mutex_unlock(&lock);
}

static void record_open(int fd, const char *path, int flags)
{
	struct name *name;

	if (fd < 0 || fd >= FDS_MAX || !path)
		return;
	(void)pthread_mutex_lock(&lock);
	name = name_find(&now, path);
	if (!name && flags & O_CREAT) {
		struct op *op = record(CREATE, path, NULL);

		op->file = files_count++;
		name_apply(&now, op);
		name = name_find(&now, path);
	}
	if (name || !*path) {
		fds[fd].known = true;
		fds[fd].dir = !*path || name->file == DIRECTORY;
		fds[fd].dsync = flags & O_DSYNC;
		fds[fd].file = name ? name->file : DIRECTORY;
		(void)snprintf(fds[fd].path, sizeof(fds[fd].path), "%s", path);
		if (flags & O_TRUNC && !fds[fd].dir)
			record(TRUNC, NULL, NULL)->file = fds[fd].file;
	}
	(void)pthread_mutex_unlock(&lock);
}

static void record_write(int fd, const void *data, size_t len, uint64_t off)
{
	struct op *op;

	if (fd < 0 || fd >= FDS_MAX || !fds[fd].known || !len)
		return;
	(void)pthread_mutex_lock(&lock);
	op = record(WRITE, NULL, NULL);
	op->file = fds[fd].file;
	op->durable = fds[fd].dsync;
	op->off = off;
	op->len = len;
	op->data = mem_alloc(len);
	if (!op->data)
		die("power", 0, "out of memory");
	memcpy(op->data, data, len);
	(void)pthread_mutex_unlock(&lock);
}

static void record_sync(int fd)
{
	if (fd < 0 || fd >= FDS_MAX || !fds[fd].known)
		return;
	(void)pthread_mutex_lock(&lock);
	if (fds[fd].dir)
		(void)record(DIRSYNC, fds[fd].path, NULL);
	else
		record(SYNC, NULL, NULL)->file = fds[fd].file;
	(void)pthread_mutex_unlock(&lock);
}

static int open_any(const char *path, int flags, mode_t mode)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);

	record_open(fd, below(path), flags);
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_any(path, flags, mode);
}

int close(int fd)
{
	if (fd >= 0 && fd < FDS_MAX)
		fds[fd].known = false;
	return (int)syscall(SYS_close, fd);
}

ssize_t pwrite(int fd, const void *at, size_t len, off_t offset)
{
	ssize_t wrote = syscall(SYS_pwrite64, fd, at, len, offset);

	record_write(fd, at, wrote > 0 ? (size_t)wrote : 0, (uint64_t)offset);
	return wrote;
}

ssize_t pwrite64(int fd, const void *at, size_t len, off64_t offset)
{
	return pwrite(fd, at, len, offset);
}

static void record_vector(int fd, const struct iovec *iov, int count, ssize_t wrote, uint64_t off)
{
	size_t left = wrote > 0 ? (size_t)wrote : 0;

	for (int i = 0; i < count && left; i++) {
		size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

		record_write(fd, iov[i].iov_base, part, off);
		off += part;
		left -= part;
	}
}

static uint64_t place(int fd)
{
	return fd >= 0 && fd < FDS_MAX && fds[fd].known ? (uint64_t)lseek(fd, 0, SEEK_CUR) : 0;
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	ssize_t wrote = syscall(SYS_pwritev, fd, iov, count, offset, offset >> 32);

	record_vector(fd, iov, count, wrote, (uint64_t)offset);
	return wrote;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	uint64_t off = place(fd);
	ssize_t wrote = syscall(SYS_writev, fd, iov, count);

	record_vector(fd, iov, count, wrote, off);
	return wrote;
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
	return pwritev(fd, iov, count, offset);
}

ssize_t write(int fd, const void *at, size_t len)
{
	uint64_t off = place(fd);
	ssize_t wrote = syscall(SYS_write, fd, at, len);

	record_write(fd, at, wrote > 0 ? (size_t)wrote : 0, off);
	return wrote;
}

int ftruncate(int fd, off_t len)
{
	int rc = (int)syscall(SYS_ftruncate, fd, len);

	if (rc == 0 && fd < FDS_MAX && fds[fd].known) {
		(void)pthread_mutex_lock(&lock);
		struct op *op = record(TRUNC, NULL, NULL);

		op->file = fds[fd].file;
		op->len = (uint64_t)len;
		(void)pthread_mutex_unlock(&lock);
	}
	return rc;
}

int ftruncate64(int fd, off64_t len)
{
	return ftruncate(fd, len);
}

int fdatasync(int fd)
{
	record_sync(fd);
	return 0;	/* it is the record that counts; this one does not have to last */
}

int fsync(int fd)
{
	return fdatasync(fd);
}

int rename(const char *from, const char *to)
{
	int rc = (int)syscall(SYS_rename, from, to);

	if (rc == 0)
		record_name(RENAME, below(from), below(to));
	return rc;
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	int rc = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);

	if (rc == 0)
		record_name(flags & RENAME_EXCHANGE ? EXCHANGE : RENAME, below(from), below(to));
	return rc;
}

int mkdir(const char *path, mode_t mode)
{
	int rc = (int)syscall(SYS_mkdir, path, mode);

	if (rc == 0)
		record_name(MKDIR, below(path), NULL);
	return rc;
}

int unlink(const char *path)
{
	int rc = (int)syscall(SYS_unlink, path);

	if (rc == 0)
		record_name(UNLINK, below(path), NULL);
	return rc;
}

int rmdir(const char *path)
{
	int rc = (int)syscall(SYS_rmdir, path);

	if (rc == 0)
		record_name(UNLINK, below(path), NULL);
	return rc;
}

int link(const char *from, const char *to)
{
	int rc = (int)syscall(SYS_link, from, to);

	if (rc == 0)
		record_name(LINK, below(from), below(to));
	return rc;
}

/* ---- what is recorded: a store's whole life ---- */

static void promise(uint64_t rows)
{
	(void)pthread_mutex_lock(&lock);
	record(PROMISE, NULL, NULL)->len = rows;
	(void)pthread_mutex_unlock(&lock);
}

static void live(const char *dir)
{
	struct store_writer_opts opts = { .seal_inline = true, .hot_partitions_max = 2, .group_gid = -1, .zstd_level = 1 };
	const struct store_recompress_opts cold = { .now_ns = UINT64_MAX, .level = 19 };
	struct store_repacked packed = { 0 };
	struct store_writer *writer = NULL;
	struct err err = { 0 };

	root = dir;
	for (unsigned life = 0; life < 3; life++) {
		if (store_writer_open(dir, &opts, &writer, &err) < 0)
			die("open", life, err.text);
		for (uint64_t n = life * ROWS / 3; n < (life + 1) * ROWS / 3; n += BATCH) {
			if (write_rows(writer, n, BATCH, &err) < 0 || store_commit(writer, &err) < 0)
				die("write", n, err.text);
			promise(n + BATCH);
		}
		if (life == 1 && store_pin(dir, "incident", START, START + 2 * NS_PER_HOUR, &err) < 0)
			die("pin", life, err.text);
		if (store_writer_close(writer, life == 1, &err) < 0)
			die("close", life, err.text);
		if (life == 1 && store_recompress(dir, &cold, &packed, &err) < 0)
			die("recompress", life, err.text);
	}
	if (packed.parts == 0)
		die("recompress", packed.left, "nothing was packed again");
	root = NULL;
}

/* ---- played back ---- */

struct random {
	uint64_t state;
};

static uint64_t random_next(struct random *random)
{
	random->state += 0x9e3779b97f4a7c15ull;
	return hash_u64(random->state);
}

enum fate { KEEP_ALL, DROP_ALL, AT_RANDOM };

static bool dir_of(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	return strlen(dir) == len && strncmp(path, dir, len) == 0;
}

/* How many of the calls on names before the cut a directory sync has made durable; all before such a one are, too. */
static size_t names_durable(size_t cut)
{
	size_t durable = 0, count = 0;

	for (size_t i = 0; i < cut; i++) {
		const struct op *op = &ops[i];
		bool synced = false;

		if (!is_name_op(op))
			continue;
		count++;
		for (size_t k = i + 1; k < cut && !synced; k++)
			synced = ops[k].kind == DIRSYNC && dir_of(op->to ? op->to : op->path, ops[k].path);
		if (synced)
			durable = count;
	}
	return durable;
}

struct content {
	uint8_t *at;
	size_t len, cap;
};

static void content_write(struct content *content, uint64_t off, const uint8_t *data, size_t len)
{
	if (off + len > content->cap) {
		size_t cap = (off + len) * 2;
		uint8_t *larger = mem_alloc(cap);

		if (!larger)
			die("power", 0, "out of memory");
		memset(larger, 0, cap);
		if (content->len)
			memcpy(larger, content->at, content->len);
		mem_free(content->at);
		content->at = larger;
		content->cap = cap;
	}
	memcpy(content->at + off, data, len);
	if (off + len > content->len)
		content->len = off + len;
}

static void content_make(struct content *content, uint32_t file, size_t cut, enum fate fate, struct random *random)
{
	size_t synced = 0;

	for (size_t i = 0; i < cut; i++)
		if (ops[i].kind == SYNC && ops[i].file == file)
			synced = i;
	for (size_t i = 0; i < cut; i++) {
		const struct op *op = &ops[i];
		bool sure = i < synced || op->durable;

		if (op->file != file || (op->kind != WRITE && op->kind != TRUNC))
			continue;
		if (!sure && (fate == DROP_ALL || (fate == AT_RANDOM && op->kind == TRUNC && random_next(random) % 2)))
			continue;
		if (op->kind == TRUNC) {
			if (op->len < content->len)
				memset(content->at + op->len, 0, content->len - op->len);
			content->len = op->len < content->len ? op->len : content->len;
			continue;
		}
		for (uint64_t done = 0; done < op->len;) {
			uint64_t part = PIECE - (op->off + done) % PIECE;

			if (part > op->len - done)
				part = op->len - done;
			if (sure || fate == KEEP_ALL || random_next(random) % 2)
				content_write(content, op->off + done, op->data + done, part);
			done += part;
		}
	}
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->path, ((const struct name *)b)->path);
}

/* The directory as it is after the power came back. */
static void rebuild(const char *dir, size_t cut, enum fate fate, struct random *random)
{
	struct names names = { NULL, 0, 0 };
	size_t durable = names_durable(cut), all = 0, applied = 0;

	for (size_t i = 0; i < cut; i++)
		all += is_name_op(&ops[i]);
	if (fate == KEEP_ALL)
		durable = all;
	else if (fate == AT_RANDOM)
		durable += random_next(random) % (all - durable + 1);
	for (size_t i = 0; i < cut && applied < durable; i++) {
		if (!is_name_op(&ops[i]))
			continue;
		name_apply(&names, &ops[i]);
		applied++;
	}
	if (names.count)
		qsort(names.at, names.count, sizeof(*names.at), by_path);
	if (mkdir(dir, 0750) < 0)
		die("mkdir", cut, dir);
	for (size_t i = 0; i < names.count; i++) {
		struct content content = { NULL, 0, 0 };
		char path[2048];
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%s", dir, names.at[i].path);
		if (names.at[i].file == DIRECTORY) {
			if (*names.at[i].path && mkdir(path, 0750) < 0)
				die("mkdir", cut, path);
			continue;
		}
		content_make(&content, names.at[i].file, cut, fate, random);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
		if (fd < 0 || (content.len && pwrite(fd, content.at, content.len, 0) != (ssize_t)content.len))
			die("rebuild", cut, path);
		(void)close(fd);
		mem_free(content.at);
	}
	mem_free(names.at);
}

static uint64_t promised_at(size_t cut)
{
	uint64_t rows = 0;

	for (size_t i = 0; i < cut; i++)
		if (ops[i].kind == PROMISE)
			rows = ops[i].len;
	return rows;
}

/* A writer opens what is left, and everything promised is there. In a process of its own: it may crash. */
static void look(const char *dir, size_t cut, uint64_t promised)
{
	struct store_writer_opts opts = { .seal_inline = true, .group_gid = -1 };
	uint8_t *seen = calloc(ROWS + 2 * BATCH, 1);
	struct store_writer *writer = NULL;
	struct err err = { 0 };

	for (int pass = 0; pass < 2; pass++) {
		if (store_writer_open(dir, &opts, &writer, &err) < 0 ||
		    (pass && write_rows(writer, ROWS, 1, &err) < 0) || store_writer_close(writer, pass, &err) < 0)
			die("opening after the cut at call", cut, err.text);
		memset(seen, 0, ROWS + 2 * BATCH);
		read_rows(dir, cut, seen, ROWS + 2 * BATCH);
		for (uint64_t n = 0; n < promised; n++)
			if (!seen[n])
				die("cut at call", cut, "a row that was reported committed is lost");
		if (pass && !seen[ROWS])
			die("cut at call", cut, "a row written afterwards is lost");
		if (store_check(dir, print_finding, NULL, NULL, &err) != 0)
			die("check after the cut at call", cut, err.text);
	}
	free(seen);
}

static bool round_passes(const char *dir, size_t cut, enum fate fate, uint64_t seed)
{
	static const char *const fates[] = { "all kept", "unsynced dropped", "at random" };
	struct random random = { seed };
	int status;
	pid_t pid;

	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	rebuild(dir, cut, fate, &random);
	pid = fork();
	if (pid == 0) {
		(void)alarm(60);
		look(dir, cut, promised_at(cut));
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status)) {
		(void)fprintf(stderr, "FAIL power: cut at call %zu of %zu, %s, seed %" PRIu64 " (%s)\n", cut, ops_count,
			      fates[fate], seed, WIFEXITED(status) ? "said above" : "crashed");
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : 200, seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	uint64_t count, failed = 0;
	char first[1000], work[1000];
	struct random random = { seed };

	if (argc < 2) {
		(void)fprintf(stderr, "usage: power_torture DIR [ROUNDS [SEED]]\n");
		return 2;
	}
	log_set_level(LOG_ERROR);
	(void)snprintf(first, sizeof(first), "%s/first", argv[1]);
	(void)snprintf(work, sizeof(work), "%s/work", argv[1]);
	live(first);
	count = rounds ? rounds : ops_count * 3;
	(void)printf("power: %zu calls recorded, %" PRIu64 " cuts, seed %" PRIu64 "\n", ops_count, count, seed);
	(void)fflush(stdout);
	for (uint64_t i = 0; i < count; i++) {
		size_t cut = rounds ? random_next(&random) % (ops_count + 1) : i / 3;

		failed += !round_passes(work, cut, (enum fate)(i % 3), seed + i);
	}
	(void)nftw(argv[1], remove_one, 16, FTW_DEPTH | FTW_PHYS);
	(void)printf("power: %" PRIu64 " of %" PRIu64 " cuts passed\n", count - failed, count);
	return failed != 0;
}
