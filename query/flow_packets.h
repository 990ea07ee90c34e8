/* The decoded packets of one flow, in the order of capture; fragments as the datagrams they make. */
#ifndef QUERY_FLOW_PACKETS_H
#define QUERY_FLOW_PACKETS_H

#include "query/query.h"
#include "wire/stream.h"

struct flow_packets {
	uint64_t flow_id;
	uint64_t from_ns, to_ns;
	/* false ends the walk */
	bool (*fn)(void *arg, const struct packet_rec *rec, const struct packet *packet);
	void *arg;
	/* set by the walk */
	uint64_t count;
	bool cut;	/* a frame was captured shorter than it was */
	bool expired;	/* retention has dropped packets of a partition in the range, or the partition */
	bool damaged;	/* a block could not be read */
};

int flow_packets_walk(struct store *store, struct flow_packets *walk, struct err *err);

#endif
