/* The inside door to a partition's packets: for the seal and the check, which have no view. */
#ifndef STORE_PACKETS_H
#define STORE_PACKETS_H

#include "store/packet_unit.h"
#include "store/part.h"

/* As store_packets_open, on a transaction of the partition at path. txn is not used after the call. */
int packets_open(struct kv_txn *txn, const struct part_entry *entry, const char *path, uint64_t from_ns,
		 uint64_t to_ns, const uint64_t *flow_ids, size_t flow_count, struct store_packets **ret_packets,
		 struct err *err);
/* The payload units of a sealed partition's packets.seg, which is fd. path is borrowed; txn is not used after. */
int packets_units_open(struct kv_txn *txn, const struct part_entry *entry, int fd, const char *path,
		       struct packet_units **ret_units, struct err *err);

#endif
