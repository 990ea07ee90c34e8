/*
 * The reading end of one BPF ring buffer, mapped into our memory. Records are
 * looked at in place, in any order, and given back together: what libbpf's
 * reader does not offer, and what sorting by time needs. One thread.
 */
#ifndef INGEST_RING_H
#define INGEST_RING_H

#include "base/err.h"
#include "base/view.h"

struct ring {
	uint64_t *consumer_pos;	/* mapped page that the kernel reads */
	const uint64_t *producer_pos;	/* mapped; the bytes follow, mapped twice in a row */
	const uint8_t *bytes;
	size_t size_bytes;
	size_t page_bytes;
	uint64_t read_pos;	/* behind the last record that ring_next gave */
	uint64_t asked_pos;	/* up to here memory has been fetched ahead */
	bool spills;		/* set by its owner: what finds no room goes to another ring */
};

/* fd of a BPF_MAP_TYPE_RINGBUF of size_bytes; not kept. */
int ring_open(struct ring *ring, int fd, size_t size_bytes, struct err *err);
void ring_close(struct ring *ring);	/* takes one that is all zero */
/*
 * The next record: 1, or 0 when there is none that is finished. Valid until
 * ring_give_back passes its position.
 */
int ring_next(struct ring *ring, struct view *ret_record, uint64_t *ret_pos);
/* Everything before pos may be overwritten. pos comes from ring_next, or is read_pos. */
void ring_give_back(struct ring *ring, uint64_t pos);
/* Bytes between the last give-back and the kernel's writing end. */
size_t ring_used(const struct ring *ring);

#endif
