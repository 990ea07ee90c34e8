/*
 * The catalog's file before LMDB opens it, and once it has: see catalog.c.
 */
#ifndef STORE_CATALOG_FILE_H
#define STORE_CATALOG_FILE_H

#include "base/err.h"

/*
 * Died, or the power went, between making the file and its first transaction: there was never anything in it, nor
 * anything beside it. A catalog of partitions is never dropped, whatever it looks like. dir is the store's; the writer's
 * lock is held. E_IO.
 */
int catalog_file_drop_unmade(const char *dir, struct err *err);
/*
 * Retention must be able to commit on a full disk, or nothing would ever get
 * free: take the blocks of a small catalog beforehand. Best effort. dir is the catalog's.
 */
void catalog_file_reserve(const char *dir);

#endif
