/* Rings as the kernel lays them out, in a memory file; it is not mapped twice, so nothing here wraps around. */
#include "tests/check.h"

#include <linux/bpf.h>
#include <sys/mman.h>

#include "ingest/merge.h"

#define RING_BYTES (256u << 10)

struct fake {
	int fd;
	uint8_t *page;		/* producer position, then the bytes */
	uint64_t producer_pos;
	struct ring ring;
};

static void fake_init(struct fake *fake)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), bytes = 2 * page_bytes + 2 * RING_BYTES;
	struct err err = { 0 };

	memset(fake, 0, sizeof(*fake));
	fake->fd = memfd_create("ring", MFD_CLOEXEC);
	CHECK_GE(fake->fd, 0);
	CHECK_EQ(ftruncate(fake->fd, (off_t)bytes), 0);
	fake->page = mmap(NULL, bytes - page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fake->fd,
			  (off_t)page_bytes);
	CHECK_NE(fake->page, MAP_FAILED);
	CHECK_OK(ring_open(&fake->ring, fake->fd, RING_BYTES, &err), err);
}

static void fake_release(struct fake *fake)
{
	ring_close(&fake->ring);
	munmap(fake->page, (size_t)sysconf(_SC_PAGESIZE) + 2 * RING_BYTES);
	close(fake->fd);
}

/* One record of len bytes that begins with time_ns and carries mark in pad2. Returns its header. */
static uint32_t *fake_put(struct fake *fake, uint64_t time_ns, uint32_t mark, uint32_t len, uint32_t flags)
{
	struct ring_head head = { .time_ns = time_ns, .pad2 = mark };
	uint8_t *at = fake->page + sysconf(_SC_PAGESIZE) + fake->producer_pos;
	uint32_t word = len | flags;

	memcpy(at, &word, 4);
	memcpy(at + BPF_RINGBUF_HDR_SZ, &head, len < sizeof(head) ? len : sizeof(head));
	fake->producer_pos += (len + BPF_RINGBUF_HDR_SZ + 7u) & ~7u;
	memcpy(fake->page, &fake->producer_pos, 8);
	return (uint32_t *)at;
}

static uint32_t mark_of(struct view record)
{
	struct ring_head head;

	CHECK_GE(record.len, sizeof(head));
	memcpy(&head, record.at, sizeof(head));
	return head.pad2;
}

TEST(ring, waits_for_a_record_in_the_making)
{
	struct view record;
	uint32_t *second;
	struct fake fake;
	uint64_t pos;

	fake_init(&fake);
	CHECK_EQ(ring_next(&fake.ring, &record, &pos), 0);
	fake_put(&fake, 1, 11, 16, 0);
	second = fake_put(&fake, 2, 12, 21, BPF_RINGBUF_BUSY_BIT);
	fake_put(&fake, 3, 13, 16, 0);
	CHECK_EQ(ring_next(&fake.ring, &record, &pos), 1);
	CHECK_U64(mark_of(record), 11);
	CHECK_U64(pos, 0);
	CHECK_EQ(ring_next(&fake.ring, &record, &pos), 0);
	*second = 21;
	CHECK_EQ(ring_next(&fake.ring, &record, &pos), 1);
	CHECK_U64(mark_of(record), 12);
	CHECK_U64(record.len, 21);
	CHECK_U64(pos, 24);
	CHECK_EQ(ring_next(&fake.ring, &record, &pos), 1);
	CHECK_U64(mark_of(record), 13);
	CHECK_U64(pos, 56);	/* 21 + 8 bytes, up to a multiple of 8 */
	CHECK_EQ(ring_next(&fake.ring, &record, &pos), 0);
	CHECK_U64(ring_used(&fake.ring), 80);
	ring_give_back(&fake.ring, 56);
	CHECK_U64(ring_used(&fake.ring), 24);
	fake_release(&fake);
}

TEST(ring, passes_over_discarded_records)
{
	struct view record;
	struct fake fake;
	uint64_t pos;

	fake_init(&fake);
	fake_put(&fake, 1, 11, 16, BPF_RINGBUF_DISCARD_BIT);
	fake_put(&fake, 2, 12, 16, 0);
	fake_put(&fake, 3, 13, 16, BPF_RINGBUF_DISCARD_BIT);
	CHECK_EQ(ring_next(&fake.ring, &record, &pos), 1);
	CHECK_U64(mark_of(record), 12);
	CHECK_EQ(ring_next(&fake.ring, &record, &pos), 0);
	CHECK_U64(fake.ring.read_pos, 72);
	fake_release(&fake);
}

/* What merge_next gives until it has no more: marks, as text. */
static const char *round_of(struct merge *merge, uint64_t until_ns)
{
	static char text[256];
	struct view record;
	size_t len = 0;

	text[0] = '\0';
	merge_begin(merge, until_ns);
	while (merge_next(merge, &record))
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%u ", mark_of(record));
	merge_end(merge);
	return text;
}

TEST(merge, orders_rings_and_holds_the_young_back)
{
	struct fake packets, control;
	struct merge merge;

	fake_init(&packets);
	fake_init(&control);
	merge_init(&merge);
	CHECK_EQ(merge_add(&merge, &packets.ring), 0);
	CHECK_EQ(merge_add(&merge, &control.ring), 0);
	fake_put(&packets, 10, 1, 16, 0);
	fake_put(&packets, 30, 3, 16, 0);
	fake_put(&packets, 20, 2, 16, 0);	/* overtaken by the one before */
	fake_put(&packets, 90, 9, 16, 0);
	fake_put(&packets, 40, 5, 16, 0);
	fake_put(&control, 40, 4, 16, 0);
	CHECK_STR(round_of(&merge, 50), "1 2 3 4 5 ");	/* on a tie control comes first */
	/* The one that waits keeps what follows it in the ring from being overwritten. */
	CHECK_U64(ring_used(&packets.ring), 48);
	CHECK_U64(ring_used(&control.ring), 0);
	fake_put(&control, 80, 8, 16, 0);
	CHECK_STR(round_of(&merge, 100), "8 9 ");
	CHECK_U64(ring_used(&packets.ring), 0);
	CHECK_STR(round_of(&merge, 200), "");
	merge_release(&merge);
	fake_release(&packets);
	fake_release(&control);
}

TEST(merge, gives_back_only_what_was_handed_out)
{
	struct merge merge;
	struct view record;
	struct fake fake;

	fake_init(&fake);
	merge_init(&merge);
	CHECK_EQ(merge_add(&merge, &fake.ring), 0);
	for (uint32_t i = 0; i < 10; i++)
		fake_put(&fake, i, i, 16, 0);
	merge_begin(&merge, 100);
	for (uint32_t i = 0; i < 4; i++) {
		CHECK_EQ(merge_next(&merge, &record), 1);
		CHECK_U64(mark_of(record), i);
	}
	merge_end(&merge);
	CHECK_U64(ring_used(&fake.ring), 6 * 24);
	CHECK_STR(round_of(&merge, 100), "4 5 6 7 8 9 ");
	merge_release(&merge);
	fake_release(&fake);
}

/* A ring with more than is looked at ahead: another ring must not run past what was not read yet. */
TEST(merge, waits_for_a_ring_that_is_not_read_to_its_end)
{
	struct fake big, small;
	struct merge merge;
	struct view record;
	uint32_t next = 0;

	fake_init(&big);
	fake_init(&small);
	merge_init(&merge);
	CHECK_EQ(merge_add(&merge, &big.ring), 0);
	CHECK_EQ(merge_add(&merge, &small.ring), 0);
	_Static_assert(MERGE_AHEAD_MAX + 100 < RING_BYTES / 24, "the ring holds more than is looked at");
	for (uint32_t i = 0; i < MERGE_AHEAD_MAX + 100; i++)
		fake_put(&big, i, i, 16, 0);
	fake_put(&small, MERGE_AHEAD_MAX + 100, MERGE_AHEAD_MAX + 100, 16, 0);
	for (int rounds = 0; rounds < 2; rounds++) {
		merge_begin(&merge, UINT64_MAX);
		while (merge_next(&merge, &record))
			CHECK_U64(mark_of(record), next++);
		merge_end(&merge);
		CHECK_U64(next, rounds ? MERGE_AHEAD_MAX + 101 : MERGE_AHEAD_MAX);
	}
	merge_release(&merge);
	fake_release(&big);
	fake_release(&small);
}

TEST(merge, counts_records_too_short_for_a_time)
{
	struct merge merge;
	struct fake fake;

	fake_init(&fake);
	merge_init(&merge);
	CHECK_EQ(merge_add(&merge, &fake.ring), 0);
	fake_put(&fake, 1, 1, 8, 0);
	fake_put(&fake, 2, 2, 16, 0);
	CHECK_STR(round_of(&merge, 100), "2 ");
	CHECK_U64(merge.malformed, 1);
	CHECK_U64(ring_used(&fake.ring), 0);
	merge_release(&merge);
	fake_release(&fake);
}

TEST(merge, fails_without_memory)
{
	struct merge merge;
	struct fake fake;

	fake_init(&fake);
	merge_init(&merge);
	mem_fail_nth(1);
	CHECK_RC(merge_add(&merge, &fake.ring), E_NO_MEMORY);
	merge_release(&merge);
	fake_release(&fake);
}
