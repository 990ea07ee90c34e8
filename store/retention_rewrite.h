/*
 * A sealed partition made anew without some of its rows: the new generation is
 * built in tmp/, takes the old one's place by two renames and one transaction
 * of the catalog, and the old one goes. A crash leaves one of them.
 */
#ifndef STORE_RETENTION_REWRITE_H
#define STORE_RETENTION_REWRITE_H

#include "store/retention_plan.h"

/*
 * Do what the plan says of the partition of these victims, which are all of one. When it changed meanwhile, or was
 * pinned, it is left for the next round. E_NO_SPACE: it stays as it is.
 */
int retention_rewrite(const char *dir, struct kv *catalog, const struct plan *plan, const struct store_victim *victims,
		      size_t count, uint64_t now_ns, struct err *err);

/* retention.c: the event that a victim leaves. */
int retention_note(struct kv_txn *txn, uint64_t now_ns, const struct store_victim *victim, struct err *err);

#endif
