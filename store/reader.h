/* Inside of the reading side, for reader.c, packets.c and check.c. */
#ifndef STORE_READER_H
#define STORE_READER_H

#include "base/lock.h"
#include "store/catalog.h"

struct store_slot {		/* an opened partition, kept for the next view */
	struct part *part;
	unsigned refs;
	uint64_t used;		/* store->uses when it was last taken */
};

struct store {
	char dir[STORE_PATH_MAX];
	struct kv *catalog;
	struct lock lock;
	struct store_slot *slots;	/* guarded by lock; ascending by (hour, gen, serial, state) */
	size_t slots_count, slots_cap;	/* guarded by lock */
	uint64_t uses;			/* guarded by lock */
};

struct view_part {
	struct part_entry entry;	/* hot: as of the view's transaction */
	struct store_part_info info;
	struct part *part;		/* NULL until it is touched (sealed) */
	struct kv_txn *txn;
	bool announced;			/* the kernel was asked to read what opening wants */
};

struct store_view {
	struct store *store;
	struct arena arena;
	struct view_part *parts;
	size_t count;
	struct crew *crew;		/* helps to read packets; NULL: nobody does */
};

/* The part with its transaction open. E_EXPIRED when it is gone. */
int view_part_touch(struct store_view *view, size_t part, struct view_part **ret_part, struct err *err);

#endif
