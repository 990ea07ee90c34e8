/* Packets of a partition that is made anew, some of them cut to their headers. For retention_rewrite.c. */
#ifndef STORE_RETENTION_THIN_H
#define STORE_RETENTION_THIN_H

#include "store/seal.h"

/*
 * Write all packets of old that are held, read by txn from its directory path, into seal: those of the segments segs (a
 * bit each) cut. Rows come before.
 */
int retention_thin(struct seal *seal, const struct part_entry *old, struct kv_txn *txn, const char *path, uint32_t segs,
		   struct err *err);

#endif
