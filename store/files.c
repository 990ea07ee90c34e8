#include "store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define FILES_DEPTH_MAX 4

void part_name(uint64_t hour, uint32_t gen, char name[PART_NAME_LEN])
{
	time_t at = (time_t)(hour * 3600);
	struct tm tm;

	/* 2^64 ns end in 2554: four digits of a year always do. */
	(void)gmtime_r(&at, &tm);
	(void)snprintf(name, PART_NAME_LEN, "%04d-%02d-%02dT%02d.%u", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1,
		       tm.tm_mday, tm.tm_hour, gen);
}

bool part_name_parse(const char *name, uint64_t *ret_hour, uint32_t *ret_gen)
{
	char again[PART_NAME_LEN];
	struct tm tm = { 0 };
	unsigned gen;
	time_t at;

	if (sscanf(name, "%4d-%2d-%2dT%2d.%9u", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &gen) != 5)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	at = timegm(&tm);
	if (at < 0)
		return false;
	part_name((uint64_t)at / 3600, gen, again);
	if (strcmp(again, name) != 0)
		return false;
	*ret_hour = (uint64_t)at / 3600;
	*ret_gen = gen;
	return true;
}

int files_path(char path[STORE_PATH_MAX], struct err *err, const char *dir, const char *a, const char *b)
{
	int len = snprintf(path, STORE_PATH_MAX, "%s%s%s%s%s", dir, a ? "/" : "", a ? a : "", b ? "/" : "", b ? b : "");

	if (len < 0 || len >= STORE_PATH_MAX)
		return err_set(err, E_LIMIT, "%.100s...: the path is longer than %d bytes", dir, STORE_PATH_MAX - 1);
	return 0;
}

int files_mkdir(const char *path, int group_gid, struct err *err)
{
	if (mkdir(path, 0750) < 0) {
		struct stat st;

		if (errno != EEXIST)
			return err_errno(err, errno, "%s: make directory", path);
		if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
			return err_set(err, E_EXISTS, "%s: is there and not a directory", path);
	}
	if (group_gid >= 0 && (chown(path, (uid_t)-1, (gid_t)group_gid) < 0 || chmod(path, 0750) < 0))
		return err_errno(err, errno, "%s: give to group %d", path, group_gid);
	return 0;
}

static int sync_path(const char *path, int flags, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	int rc = 0;

	if (fd < 0)
		return err_errno(err, errno, "%s: open to sync", path);
	if (fsync(fd) < 0)
		rc = err_errno(err, errno, "%s: sync", path);
	(void)close(fd);
	return rc;
}

int files_sync_dir(const char *path, struct err *err)
{
	return sync_path(path, O_DIRECTORY, err);
}

int files_sync(const char *path, struct err *err)
{
	return sync_path(path, 0, err);
}

int files_write_at(int fd, struct view bytes, uint64_t offset, const char *path, struct err *err)
{
	while (bytes.len) {
		ssize_t wrote = pwrite(fd, bytes.at, bytes.len, (off_t)offset);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return err_errno(err, wrote < 0 ? errno : ENOSPC, "%s: write %zu bytes at %llu", path,
					 bytes.len, (unsigned long long)offset);
		bytes = view_sub(bytes, (size_t)wrote, bytes.len);
		offset += (uint64_t)wrote;
	}
	return 0;
}

int files_read_at(int fd, void *at, size_t len, uint64_t offset, const char *path, struct err *err)
{
	uint8_t *to = at;

	while (len) {
		ssize_t got = pread(fd, to, len, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(err, errno, "%s: read %zu bytes at %llu", path, len, (unsigned long long)offset);
		if (got == 0)
			return err_set(err, E_CORRUPT, "%s: ends %zu bytes before %llu", path, len,
				       (unsigned long long)(offset + len));
		to += got;
		offset += (uint64_t)got;
		len -= (size_t)got;
	}
	return 0;
}

int files_replace(const char *path, struct view bytes, struct err *err)
{
	char temp[STORE_PATH_MAX + 8];
	int rc, fd;

	(void)snprintf(temp, sizeof(temp), "%s.new", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0)
		return err_errno(err, errno, "%s: create", temp);
	rc = files_write_at(fd, bytes, 0, temp, err);
	if (rc == 0 && fsync(fd) < 0)
		rc = err_errno(err, errno, "%s: sync", temp);
	if (close(fd) < 0 && rc == 0)
		rc = err_errno(err, errno, "%s: close", temp);
	if (rc == 0 && rename(temp, path) < 0)
		rc = err_errno(err, errno, "%s: rename", temp);
	if (rc < 0)
		(void)unlink(temp);
	return rc;
}

int files_load(const char *path, size_t max, uint8_t **ret_at, size_t *ret_len, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *at = NULL;
	struct stat st;
	int rc;

	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	if (fstat(fd, &st) < 0) {
		rc = err_errno(err, errno, "%s", path);
		goto out;
	}
	if ((uint64_t)st.st_size > max) {
		rc = err_set(err, E_CORRUPT, "%s: %lld bytes, and at most %zu are expected", path,
			     (long long)st.st_size, max);
		goto out;
	}
	at = mem_alloc((size_t)st.st_size + 1);
	if (!at) {
		rc = err_set(err, E_NO_MEMORY, "%s: out of memory", path);
		goto out;
	}
	rc = files_read_at(fd, at, (size_t)st.st_size, 0, path, err);
	if (rc < 0)
		goto out;
	at[st.st_size] = '\0';
	*ret_at = at;
	*ret_len = (size_t)st.st_size;
	at = NULL;
out:
	mem_free(at);
	(void)close(fd);
	return rc;
}

int files_size(const char *path, uint64_t *ret_bytes, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(err, errno, "%s", path);
	*ret_bytes = (uint64_t)st.st_size;
	return 1;
}

int files_map(const char *path, struct view *ret_bytes, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *at = NULL;
	int rc = 0;

	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	if (fstat(fd, &st) < 0)
		rc = err_errno(err, errno, "%s", path);
	if (rc == 0 && st.st_size > 0) {
		at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED)
			rc = err_errno(err, errno, "%s: map", path);
	}
	(void)close(fd);
	if (rc == 0)
		*ret_bytes = view_make(at, (size_t)st.st_size);
	return rc;
}

void files_unmap(struct view bytes)
{
	if (bytes.len)
		(void)munmap((void *)bytes.at, bytes.len);
}

void files_want(struct view bytes)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)bytes.at & ~(page - 1);

	if (bytes.len)
		(void)madvise((void *)from, (uintptr_t)bytes.at + bytes.len - from, MADV_WILLNEED);
}

static int remove_tree(const char *path, int depth, struct err *err)
{
	char below[STORE_PATH_MAX];
	struct dirent *entry;
	DIR *dir;
	int rc = 0;

	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	if ((errno != EISDIR && errno != EPERM) || depth >= FILES_DEPTH_MAX)
		return err_errno(err, errno, "%s: remove", path);
	dir = opendir(path);
	if (!dir)
		return err_errno(err, errno, "%s: open directory", path);
	while (rc == 0 && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		rc = files_path(below, err, path, entry->d_name, NULL);
		if (rc == 0)
			rc = remove_tree(below, depth + 1, err);
	}
	(void)closedir(dir);
	if (rc == 0 && rmdir(path) < 0)
		rc = err_errno(err, errno, "%s: remove", path);
	return rc;
}

int files_remove_tree(const char *path, struct err *err)
{
	return remove_tree(path, 0, err);
}

int files_each(const char *path, int (*fn)(const char *name, void *arg), void *arg, struct err *err)
{
	struct dirent *entry;
	DIR *dir = opendir(path);
	int rc = 0;

	if (!dir)
		return errno == ENOENT ? 0 : err_errno(err, errno, "%s: open directory", path);
	while (rc >= 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = fn(entry->d_name, arg);
	(void)closedir(dir);
	return rc < 0 ? rc : 0;
}
