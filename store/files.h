/* Directories and files of the store: made, synced, renamed and removed in the one order that survives a crash. */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include "base/err.h"
#include "base/view.h"

#define STORE_PATH_MAX 1024	/* of a file below a data directory, NUL included */
#define PART_NAME_LEN 32	/* "2026-11-22T10.0" and NUL */

/* Name of a partition's directory; the hour is counted from 1970. */
void part_name(uint64_t hour, uint32_t gen, char name[PART_NAME_LEN]);
bool part_name_parse(const char *name, uint64_t *ret_hour, uint32_t *ret_gen);

/* "dir/a/b" into path; the parts after the first may be NULL. E_LIMIT when it does not fit. */
int files_path(char path[STORE_PATH_MAX], struct err *err, const char *dir, const char *a, const char *b);

/* Make one directory, 0750, of group group_gid (-1: leave it). Existing is fine. */
int files_mkdir(const char *path, int group_gid, struct err *err);
/* Make the names in a directory durable. */
int files_sync_dir(const char *path, struct err *err);
int files_sync(const char *path, struct err *err);
/* Write all of bytes at offset. E_NO_SPACE, E_IO. */
int files_write_at(int fd, struct view bytes, uint64_t offset, const char *path, struct err *err);
/* Exactly len bytes from offset; E_CORRUPT when the file ends before. */
int files_read_at(int fd, void *at, size_t len, uint64_t offset, const char *path, struct err *err);
/* Write a small file under a temporary name, sync and rename it. */
int files_replace(const char *path, struct view bytes, struct err *err);
/* Read a small file whole, at most max bytes, into mem_alloc'ed memory with a NUL behind. */
int files_load(const char *path, size_t max, uint8_t **ret_at, size_t *ret_len, struct err *err);
/* 1 and its size, 0 when there is none. */
int files_size(const char *path, uint64_t *ret_bytes, struct err *err);
/* The file's bytes mapped for reading; unmap with files_unmap. An empty file gives an empty view. */
int files_map(const char *path, struct view *ret_bytes, struct err *err);
void files_unmap(struct view bytes);
/* Ask the kernel to read these bytes of a mapped file, and do not wait: one request instead of one a page, or several at a time. */
void files_want(struct view bytes);
/* Remove a directory and what it holds, at most four levels deep. Absent is fine. */
int files_remove_tree(const char *path, struct err *err);
/* Call fn with the name of each entry but . and .. in no order; stops at its first negative answer. Absent: no entries. */
int files_each(const char *path, int (*fn)(const char *name, void *arg), void *arg, struct err *err);

#endif
