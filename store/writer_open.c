/* A writer's beginning and end: its lock, its directories, what the last run left, its threads. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/writer.h"

#define HOT_OPEN_DEFAULT 8
#define BULK_THREADS_MAX 15
#define EVENT_ID_FIRST 0x600000u	/* counters of the store's own events: away from the recorder's */

/* --------------------------------------------------------------- the lock */

static void say_busy(int fd, const char *dir, struct err *err)
{
	char name[128] = "";
	ssize_t got = pread(fd, name, sizeof(name) - 1, 0);

	name[got > 0 ? got : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
	(void)err_set(err, E_BUSY, "%s: is being written by %s", dir, *name ? name : "another process");
}

/* A lock of the open file, not of the process: two writers in one process exclude each other as well. */
static int take_lock(struct store_writer *writer, const char *name, struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[STORE_PATH_MAX], text[128];
	int rc = files_path(path, err, writer->dir, "writer.lock", NULL);

	if (rc < 0)
		return rc;
	writer->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (writer->lock_fd < 0)
		return err_errno(err, errno, "%s", path);
	if (fcntl(writer->lock_fd, F_OFD_SETLK, &lock) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return err_errno(err, errno, "%s: lock", path);
		say_busy(writer->lock_fd, writer->dir, err);
		return E_BUSY;
	}
	if (writer->group_gid >= 0)
		(void)fchown(writer->lock_fd, (uid_t)-1, (gid_t)writer->group_gid);
	if (name)
		(void)snprintf(text, sizeof(text), "%s\n", name);
	else
		(void)snprintf(text, sizeof(text), "pid %ld\n", (long)getpid());
	if (ftruncate(writer->lock_fd, 0) < 0)
		return err_errno(err, errno, "%s", path);
	return files_write_at(writer->lock_fd, view_str(text), 0, path, err);
}
/* ------------------------------------------------------------ open and close */

static int make_dirs(struct store_writer *writer, struct err *err)
{
	static const char *const names[] = { NULL, "catalog", "hot", "parts", "snap", "trash", "tmp" };
	char path[STORE_PATH_MAX];
	int rc = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && rc == 0; i++) {
		rc = files_path(path, err, writer->dir, names[i], NULL);
		if (rc == 0)
			rc = files_mkdir(path, writer->group_gid, err);
	}
	return rc == 0 ? files_sync_dir(writer->dir, err) : rc;
}

/* The stretch between the last commit of a writer that did not close and now. */
static int note_crash(struct store_writer *writer, struct err *err)
{
	struct catalog_progress progress;
	struct store_gap gap = { .to_ns = clock_now_ns(), .reason = "crash" };
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(writer->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_progress_get(txn, &progress, err);
	kv_txn_abort(txn);
	if (rc < 0)
		return rc;
	writer->newest_ns = progress.newest_ns > writer->newest_ns ? progress.newest_ns : writer->newest_ns;
	gap.from_ns = progress.last_commit_ns;
	if (progress.clean || gap.from_ns == 0 || gap.from_ns >= gap.to_ns)
		return 0;
	return store_write_gap(writer, &gap, err);
}

void writer_free(struct store_writer *writer)
{
	cold_free(writer->cold);
	sealer_free(writer->sealer);
	bulk_free(writer->bulk);
	for (size_t i = 0; i < writer->hots_count; i++)
		hot_free(writer->hots[i]);
	for (size_t i = 0; i < writer->statuses_count; i++)
		wr_release(&writer->statuses[i].text);
	mem_free(writer->hots);
	mem_free(writer->gaps);
	mem_free(writer->statuses);
	kv_close(writer->catalog);
	if (writer->lock_fd >= 0)
		(void)close(writer->lock_fd);	/* last: whoever takes the lock finds all of it closed */
	mem_free(writer);
}

static struct seal_opts seal_opts(const struct store_writer *writer)
{
	return (struct seal_opts){ .dir = writer->dir, .catalog = writer->catalog, .zstd_level = writer->zstd_level,
				   .group_gid = writer->group_gid };
}

static int start_sealer(struct store_writer *writer, bool inline_, struct err *err)
{
	const struct seal_opts opts = seal_opts(writer);

	return sealer_new(&opts, inline_, &writer->sealer, err);
}

/* Behind the first commit: what the last run left to tell is not of the load. */
static int start_bulk(struct store_writer *writer, size_t bytes_max, struct err *err)
{
	const struct seal_opts opts = seal_opts(writer);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return bulk_new(&opts, cores > BULK_THREADS_MAX ? BULK_THREADS_MAX : cores > 1 ? (unsigned)cores - 1 : 0,
			bytes_max, &writer->bulk, err);
}

void writer_read_policy(struct store_writer *writer)
{
	struct store_policy policy;
	struct kv_txn *txn = NULL;

	if (kv_txn_begin(writer->catalog, false, &txn, NULL) < 0)
		return;
	if (catalog_policy_get(txn, &policy, NULL) == 0) {
		writer->cold_age_ns = policy.cold_age_ns;
		writer->budget_bytes = policy.total_bytes;
		if (policy.packet_bytes && (!writer->budget_bytes || policy.packet_bytes < writer->budget_bytes))
			writer->budget_bytes = policy.packet_bytes;
	}
	kv_txn_abort(txn);
}

int store_writer_open(const char *dir, const struct store_writer_opts *opts,
		      struct store_writer **ret_writer, struct err *err)
{
	struct store_writer *writer = mem_zalloc(sizeof(*writer));
	int rc;

	if (!writer)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", dir);
	writer->lock_fd = -1;
	writer->hot_max = opts->hot_partitions_max ? opts->hot_partitions_max : HOT_OPEN_DEFAULT;
	writer->map_bytes = opts->map_bytes ? opts->map_bytes : PART_MAP_BYTES;
	writer->zstd_level = opts->zstd_level ? opts->zstd_level : 3;
	writer->group_gid = opts->group_gid;
	writer->serial = clock_now_ns();
	writer->event_count = EVENT_ID_FIRST;
	rc = files_path(writer->dir, err, dir, NULL, NULL);
	if (rc == 0)
		rc = files_mkdir(dir, writer->group_gid, err);
	if (rc == 0)
		rc = take_lock(writer, opts->name, err);
	if (rc == 0)
		rc = make_dirs(writer, err);
	if (rc == 0)
		rc = catalog_open(dir, true, writer->group_gid, &writer->catalog, err);
	if (rc < 0)
		goto out;
	kv_reap_readers(writer->catalog);
	rc = recover_store(writer, err);
	if (rc == 0)
		rc = start_sealer(writer, opts->seal_inline, err);
	if (rc == 0)
		rc = cold_new(writer->dir, opts->seal_inline, &writer->cold, err);
	if (rc == 0)
		writer_read_policy(writer);
	if (rc == 0)
		rc = note_crash(writer, err);
	if (rc == 0)
		rc = store_commit(writer, err);
	if (rc == 0 && opts->bulk)
		rc = start_bulk(writer, opts->bulk_bytes_max, err);
out:
	if (rc < 0) {
		writer_free(writer);
		return rc;
	}
	*ret_writer = writer;
	return 0;
}
