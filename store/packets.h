/* The inside door to a partition's packets: for the seal and the check, which have no view. */
#ifndef STORE_PACKETS_H
#define STORE_PACKETS_H

#include "store/packet_unit.h"
#include "store/part.h"

/* As store_packets_open, on a transaction of the partition at path. txn is not used after the call. */
int packets_open(struct kv_txn *txn, const struct part_entry *entry, const char *path, uint64_t from_ns,
		 uint64_t to_ns, const uint64_t *flow_ids, size_t flow_count, struct store_packets **ret_packets,
		 struct err *err);
/*
 * The files that frames of a partition lie in: a hot one's log, or the segments of a sealed one that are held,
 * with the payload units of each.
 */
struct packet_files {
	unsigned count;
	int fds[PART_SEGS_MAX];		/* -1: dropped by retention, now or since the entry was read */
	uint64_t bytes[PART_SEGS_MAX];
	struct packet_units *units[PART_SEGS_MAX];
};
/* path is borrowed; txn is not used after. *ret_files may be closed in any case. E_EXPIRED: none is held. */
int packet_files_open(struct kv_txn *txn, const struct part_entry *entry, const char *path,
		      struct packet_files *ret_files, struct err *err);
void packet_files_close(struct packet_files *files);

#endif
