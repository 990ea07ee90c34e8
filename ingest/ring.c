#include "ingest/ring.h"

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#define AHEAD_BYTES 4096u
#define LINE_BYTES 64ull

int ring_open(struct ring *ring, int fd, size_t size_bytes, struct err *err)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	struct ring r = { .size_bytes = size_bytes, .page_bytes = page_bytes };
	void *at;

	at = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return err_errno(err, errno, "map the reader's page of a ring");
	r.consumer_pos = at;
	at = mmap(NULL, page_bytes + 2 * size_bytes, PROT_READ, MAP_SHARED, fd, (off_t)page_bytes);
	if (at == MAP_FAILED) {
		int why = errno;

		(void)munmap(r.consumer_pos, page_bytes);
		return err_errno(err, why, "map a ring of %zu bytes", size_bytes);
	}
	r.producer_pos = at;
	r.bytes = (const uint8_t *)at + page_bytes;
	r.read_pos = *r.consumer_pos;
	*ring = r;
	return 0;
}

void ring_close(struct ring *ring)
{
	if (ring->consumer_pos)
		(void)munmap(ring->consumer_pos, ring->page_bytes);
	if (ring->producer_pos)
		(void)munmap((void *)ring->producer_pos, ring->page_bytes + 2 * ring->size_bytes);
	*ring = (struct ring){ 0 };
}

/*
 * What is to be read was written by another processor: a line takes its time to come, but many come at once. All of
 * them will be wanted, for nearly all of a record is kept.
 */
static void ask_ahead(struct ring *ring, uint64_t producer_pos)
{
	uint64_t until = ring->read_pos + AHEAD_BYTES;

	if (until > producer_pos)
		until = producer_pos;
	if (ring->asked_pos < ring->read_pos)
		ring->asked_pos = ring->read_pos & ~(LINE_BYTES - 1);
	for (; ring->asked_pos < until; ring->asked_pos += LINE_BYTES)
		__builtin_prefetch(ring->bytes + (ring->asked_pos & (ring->size_bytes - 1)), 0, 2);
}

int ring_next(struct ring *ring, struct view *ret_record, uint64_t *ret_pos)
{
	uint64_t producer_pos = __atomic_load_n(ring->producer_pos, __ATOMIC_ACQUIRE);

	while (ring->read_pos < producer_pos) {
		uint64_t pos = ring->read_pos;
		const uint8_t *at = ring->bytes + (pos & (ring->size_bytes - 1));
		uint32_t head = __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
		uint32_t len = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (head & BPF_RINGBUF_BUSY_BIT)
			return 0;
		ring->read_pos += (len + BPF_RINGBUF_HDR_SZ + 7ull) & ~7ull;
		ask_ahead(ring, producer_pos);
		if (head & BPF_RINGBUF_DISCARD_BIT)
			continue;
		*ret_record = view_make(at + BPF_RINGBUF_HDR_SZ, len);
		*ret_pos = pos;
		return 1;
	}
	return 0;
}

void ring_give_back(struct ring *ring, uint64_t pos)
{
	assert(pos <= ring->read_pos);
	__atomic_store_n(ring->consumer_pos, pos, __ATOMIC_RELEASE);
}

size_t ring_used(const struct ring *ring)
{
	return (size_t)(__atomic_load_n(ring->producer_pos, __ATOMIC_ACQUIRE) - *ring->consumer_pos);
}
