#include "store/catalog_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "store/files.h"
#include "store/kv.h"
#include "store/kv_verify.h"
#include "store/store.h"

#define CATALOG_RESERVE_BYTES (4 << 20)

void catalog_file_reserve(const char *dir)
{
	char path[STORE_PATH_MAX];
	int fd;

	if (files_path(path, NULL, dir, KV_DATA_FILE, NULL) < 0)
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, CATALOG_RESERVE_BYTES);
	(void)close(fd);
}

static int is_entry(const char *name, void *arg)
{
	(void)name;
	(void)arg;
	return E_EXISTS;
}

int catalog_file_drop_unmade(const char *dir, struct err *err)
{
	static const char *const beside[] = { "hot", "parts" };
	char path[STORE_PATH_MAX];
	uint64_t bytes;
	int rc;

	for (size_t i = 0; i < 2; i++) {
		rc = files_path(path, err, dir, beside[i], NULL);
		if (rc == 0)
			rc = files_each(path, is_entry, NULL, err);
		if (rc < 0)
			return rc == E_EXISTS ? 0 : rc;
	}
	rc = files_path(path, err, dir, "catalog", KV_DATA_FILE);
	if (rc == 0)
		rc = files_size(path, &bytes, err);
	if (rc > 0)
		rc = kv_verify_unmade(path, err);
	if (rc > 0 && unlink(path) < 0)
		return err_errno(err, errno, "%s: remove", path);
	return rc < 0 ? rc : 0;
}
