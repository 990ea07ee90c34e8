#include "wire/fragment.h"

#include "base/wr.h"
#include "tests/check.h"

/* ---- kit: a datagram of one UDP port pair, cut as asked ---- */

struct kit {
	struct fragments *fragments;
	struct wr frame;
	uint64_t now_ns;
	unsigned version;
	uint32_t id;
	/* what came back */
	unsigned waited[2], broken[4];	/* [1]: with its head */
	char notes[16];
	size_t notes_len;
	uint32_t prefix_have, prefix_len;
	uint8_t payload[8192];
};

static void waited(void *arg, const struct packet *head, const void *note)
{
	struct kit *kit = arg;

	kit->waited[head != NULL]++;
	CHECK_LT(kit->notes_len, sizeof(kit->notes) - 1);
	kit->notes[kit->notes_len++] = *(const char *)note;
}

static void broken(void *arg, enum fragment_end why, unsigned pieces, const struct packet *head,
		   const struct packet *prefix)
{
	struct kit *kit = arg;

	CHECK(pieces > 0);
	(void)head;
	kit->broken[why]++;
	kit->prefix_have = prefix ? (uint32_t)prefix->payload.len : 0;
	kit->prefix_len = prefix ? prefix->payload_len : 0;
}

static void kit_init(struct kit *kit, unsigned version, struct fragments_opts opts)
{
	memset(kit, 0, sizeof(*kit));
	opts.sink = (struct fragments_sink){ waited, broken, kit };
	kit->fragments = fragments_new(&opts);
	CHECK(kit->fragments != NULL);
	wr_init(&kit->frame, 0);
	kit->now_ns = 1000;
	kit->version = version;
	kit->id = 7;
	for (size_t i = 0; i < sizeof(kit->payload); i++)
		kit->payload[i] = (uint8_t)(i * 31 ^ i >> 8);
}

static void kit_release(struct kit *kit)
{
	fragments_free(kit->fragments);
	wr_release(&kit->frame);
}

/* Byte `at` of the UDP datagram with len bytes of payload. */
static uint8_t datagram_byte(const struct kit *kit, uint32_t at, uint32_t len)
{
	const uint8_t header[8] = { 0x30, 0x39, 0x00, 0x35, (uint8_t)((len + 8) >> 8), (uint8_t)(len + 8), 0, 0 };

	return at < 8 ? header[at] : kit->payload[at - 8];
}

static void put_header(struct kit *kit, uint32_t from, uint32_t len, bool more)
{
	struct wr *wr = &kit->frame;

	wr_reset(wr);
	if (kit->version == 4) {
		wr_u16be(wr, 0x4500);
		wr_u16be(wr, (uint16_t)(20 + len));
		wr_u16be(wr, (uint16_t)kit->id);
		wr_u16be(wr, (uint16_t)(from / 8 | (more ? 0x2000 : 0)));
		wr_u32be(wr, 0x40110000);
		wr_u32be(wr, 0x0a000001);
		wr_u32be(wr, 0x0a000002);
		return;
	}
	wr_u32be(wr, 0x60000000);
	wr_u16be(wr, (uint16_t)(len + 8 + 8));
	wr_u16be(wr, 0x0040);	/* hop-by-hop options */
	for (unsigned i = 0; i < 2; i++) {
		wr_u64be(wr, 0xfe80000000000000);
		wr_u64be(wr, i + 1);
	}
	wr_u64be(wr, 0x2c00010400000000);
	wr_u16be(wr, 0x1100);
	wr_u16be(wr, (uint16_t)(from | more));
	wr_u32be(wr, kit->id);
}

/* Bytes [from, to) of a datagram with len bytes of payload. flip: other bytes than it had. captured: of them, 0 = all */
static struct fragment_seen piece_of(struct kit *kit, uint32_t from, uint32_t to, uint32_t len, bool flip, uint32_t cut)
{
	struct packet packet = { .link = kit->version == 4 ? LINK_IPV4 : LINK_IPV6, .segments = 1 };
	struct fragment_seen seen;

	put_header(kit, from, to - from, to < len + 8);
	for (uint32_t at = from; at < to; at++)
		wr_u8(&kit->frame, datagram_byte(kit, at, len) ^ (flip ? 0xff : 0));
	packet.time_ns = kit->now_ns++;
	packet.frame = wr_view(&kit->frame);
	packet.orig_len = (uint32_t)packet.frame.len;
	packet.frame.len -= cut;
	(void)decode_frame(&packet);
	CHECK(packet.in_fragments);
	CHECK_EQ(fragments_add(kit->fragments, &packet, &seen), 0);
	return seen;
}

#define PIECE(kit, from, to, len) piece_of(kit, from, to, len, false, 0)

static void check_whole(struct kit *kit, const struct fragment_seen *seen, uint32_t len)
{
	const struct packet *whole = seen->whole;

	CHECK(whole != NULL);
	CHECK_U64(whole->status, DECODE_OK);
	CHECK_NOT(whole->in_fragments);
	CHECK_U64(whole->sport, 12345);
	CHECK_U64(whole->dport, 53);
	CHECK_U64(whole->payload_len, len);
	CHECK_U64(whole->payload.len, len);
	CHECK_EQ(memcmp(whole->payload.at, kit->payload, len), 0);
	CHECK_U64(whole->time_ns, kit->now_ns - 1);
	CHECK(seen->head != NULL);
	CHECK_U64(seen->head->sport, 12345);
}

/* ---- order ---- */

/* Every order of five pieces, both versions, the last of odd length. */
TEST(fragment, puts_pieces_together_in_any_order)
{
	static const uint32_t cuts[] = { 0, 8, 400, 1208, 1216, 2003 + 8 };

	for (unsigned version = 4; version <= 6; version += 2) {
		struct kit kit_, *kit = &kit_;
		struct fragments_stats stats;
		unsigned orders = 0;

		kit_init(kit, version, (struct fragments_opts){ 0 });
		for (unsigned n = 0; n < 5 * 5 * 5 * 5 * 5; n++) {
			unsigned order[5], left = n, used = 0;
			struct fragment_seen seen = { 0 };

			for (unsigned i = 0; i < 5; i++, left /= 5) {
				order[i] = left % 5;
				used |= 1u << order[i];
			}
			if (used != 31)
				continue;
			orders++;
			kit->id++;
			for (unsigned i = 0; i < 5; i++) {
				bool first_seen = false;

				seen = PIECE(kit, cuts[order[i]], cuts[order[i] + 1], 2003);
				for (unsigned k = 0; k <= i; k++)
					first_seen |= order[k] == 0;
				/* whose it is is known from the first piece on */
				CHECK_EQ(seen.head != NULL, first_seen);
				CHECK_EQ(seen.whole != NULL, i == 4);
			}
			check_whole(kit, &seen, 2003);
		}
		CHECK_U64(orders, 120);
		fragments_stats(kit->fragments, &stats);
		CHECK_U64(stats.whole, 120);
		CHECK_U64(stats.pieces, 600);
		CHECK_U64(stats.overlaps + stats.duplicates + stats.timeouts + stats.bad, 0);
		kit_release(kit);
	}
}

TEST(fragment, gives_back_who_waited_in_order)
{
	struct kit kit_, *kit = &kit_;
	struct fragment_seen seen;

	kit_init(kit, 4, (struct fragments_opts){ 0 });
	CHECK(PIECE(kit, 16, 24, 32).head == NULL);
	CHECK_EQ(fragments_wait(kit->fragments, "a", 2), 0);
	CHECK(PIECE(kit, 24, 40, 32).head == NULL);
	CHECK_EQ(fragments_wait(kit->fragments, "b", 2), 0);
	CHECK_U64(kit->waited[0] + kit->waited[1], 0);
	seen = PIECE(kit, 0, 16, 32);
	CHECK_U64(kit->waited[1], 2);
	CHECK_STR(kit->notes, "ab");
	check_whole(kit, &seen, 32);
	/* nobody ever comes for this one */
	kit->id++;
	CHECK(PIECE(kit, 16, 24, 32).head == NULL);
	CHECK_EQ(fragments_wait(kit->fragments, "c", 2), 0);
	fragments_flush(kit->fragments);
	CHECK_U64(kit->waited[0], 1);
	CHECK_STR(kit->notes, "abc");
	CHECK_U64(kit->broken[FRAGMENT_TIMEOUT], 1);
	CHECK_U64(kit->prefix_len, 0);
	kit_release(kit);
}

/* ---- copies and overlaps ---- */

TEST(fragment, passes_over_copies)
{
	for (unsigned version = 4; version <= 6; version += 2) {
		struct kit kit_, *kit = &kit_;
		struct fragment_seen seen;
		struct fragments_stats stats;

		kit_init(kit, version, (struct fragments_opts){ 0 });
		(void)PIECE(kit, 0, 48, 100);
		CHECK(PIECE(kit, 0, 48, 100).duplicate);
		seen = PIECE(kit, 48, 108, 100);
		check_whole(kit, &seen, 100);
		/* a copy of a datagram that is whole already still belongs to its flow, and makes no other one */
		seen = PIECE(kit, 48, 108, 100);
		CHECK(seen.duplicate && seen.head && !seen.whole);
		seen = PIECE(kit, 0, 48, 100);
		CHECK(seen.duplicate && seen.head && !seen.whole);
		fragments_stats(kit->fragments, &stats);
		CHECK_U64(stats.duplicates, 3);
		CHECK_U64(stats.overlaps, 0);
		/* the same identifier with other bytes is another datagram */
		kit->payload[90] ^= 1;
		seen = PIECE(kit, 48, 108, 100);
		CHECK(!seen.duplicate && !seen.head);
		seen = PIECE(kit, 0, 48, 100);
		check_whole(kit, &seen, 100);
		kit_release(kit);
	}
}

/* RFC 5722: of IPv6 nothing is left. Of IPv4 the first copy of each byte. */
TEST(fragment, answers_overlaps)
{
	struct kit kit_, *kit = &kit_;
	struct fragment_seen seen;
	struct fragments_stats stats;

	kit_init(kit, 4, (struct fragments_opts){ 0 });
	(void)PIECE(kit, 0, 16, 100);
	(void)PIECE(kit, 32, 48, 100);
	seen = piece_of(kit, 8, 56, 100, true, 0);	/* lies about all it can: 16..32 and 48..56 are its own */
	CHECK(seen.overlap);
	CHECK_NOT(seen.duplicate);
	for (unsigned i = 16; i < 32; i++)
		kit->payload[i - 8] ^= 0xff;
	for (unsigned i = 48; i < 56; i++)
		kit->payload[i - 8] ^= 0xff;
	seen = PIECE(kit, 56, 108, 100);
	check_whole(kit, &seen, 100);
	kit_release(kit);

	kit_init(kit, 6, (struct fragments_opts){ 0 });
	(void)PIECE(kit, 0, 16, 100);
	CHECK(PIECE(kit, 8, 40, 100).overlap);
	CHECK_U64(kit->broken[FRAGMENT_OVERLAP], 1);
	/* and what still comes of it is dropped too, but not forgotten */
	seen = PIECE(kit, 16, 108, 100);
	CHECK(seen.head && !seen.whole);
	fragments_stats(kit->fragments, &stats);
	CHECK_U64(stats.overlaps, 1);
	CHECK_U64(stats.whole, 0);
	CHECK_U64(stats.bad, 1);
	kit_release(kit);
}

/* ---- lies ---- */

TEST(fragment, refuses_lengths_that_contradict_each_other)
{
	struct kit kit_, *kit = &kit_;
	struct fragment_seen seen;

	kit_init(kit, 4, (struct fragments_opts){ 0 });
	(void)PIECE(kit, 48, 108, 100);		/* the end is 108 */
	(void)PIECE(kit, 104, 160, 200);	/* and yet it goes on */
	CHECK_U64(kit->broken[FRAGMENT_BAD], 1);
	kit->id++;
	(void)PIECE(kit, 48, 108, 100);
	(void)PIECE(kit, 48, 116, 108);		/* two ends */
	CHECK_U64(kit->broken[FRAGMENT_BAD], 2);
	kit->id++;
	(void)PIECE(kit, 0, 160, 1000);
	(void)PIECE(kit, 48, 108, 100);		/* the end lies before what was seen */
	CHECK_U64(kit->broken[FRAGMENT_BAD], 3);
	/* the ping of death */
	kit->id++;
	{
		struct packet packet = { .link = LINK_IPV4, .segments = 1, .time_ns = kit->now_ns };

		put_header(kit, 65528, 64, false);
		for (unsigned i = 0; i < 64; i++)
			wr_u8(&kit->frame, 0);
		packet.frame = wr_view(&kit->frame);
		packet.orig_len = (uint32_t)packet.frame.len;
		(void)decode_frame(&packet);
		CHECK_EQ(fragments_add(kit->fragments, &packet, &seen), 0);
		CHECK_U64(kit->broken[FRAGMENT_BAD], 4);
	}
	/* no bytes at all */
	kit->id++;
	(void)PIECE(kit, 8, 8, 100);
	CHECK_U64(kit->broken[FRAGMENT_BAD], 5);
	kit_release(kit);
}

/* ---- budgets ---- */

TEST(fragment, gives_up_what_is_old_and_says_how_much_there_was)
{
	struct kit kit_, *kit = &kit_;

	kit_init(kit, 4, (struct fragments_opts){ .timeout_ns = 1000 });
	(void)PIECE(kit, 0, 48, 100);
	(void)PIECE(kit, 56, 64, 100);
	fragments_tick(kit->fragments, kit->now_ns + 900);
	CHECK_U64(kit->broken[FRAGMENT_TIMEOUT], 0);
	fragments_tick(kit->fragments, kit->now_ns + 1000);
	CHECK_U64(kit->broken[FRAGMENT_TIMEOUT], 1);
	/* UDP's own length says how long it was */
	CHECK_U64(kit->prefix_have, 40);
	CHECK_U64(kit->prefix_len, 100);
	kit_release(kit);
}

TEST(fragment, stays_within_its_budget)
{
	struct kit kit_, *kit = &kit_;
	struct fragments_stats stats;
	struct fragment_seen seen;

	kit_init(kit, 4, (struct fragments_opts){ .bytes_max = 64 << 10, .datagrams_max = 16 });
	for (unsigned i = 0; i < 1000; i++) {
		kit->id = i;
		(void)PIECE(kit, 0, 1400, 4000);
		(void)PIECE(kit, 2800, 4008, 4000);
		fragments_stats(kit->fragments, &stats);
		CHECK_LE(stats.held_bytes, 64u << 10);
	}
	CHECK(stats.evictions >= 984 && stats.evictions < 1000, "%u", (unsigned)stats.evictions);
	CHECK_U64(kit->broken[FRAGMENT_EVICTED], stats.evictions);
	/* the youngest is still there */
	seen = PIECE(kit, 1400, 2800, 4000);
	check_whole(kit, &seen, 4000);
	/* one that wants all of it for itself is given up, and the next one has room again */
	kit->id = 5000;
	for (unsigned i = 0; i < 600; i++)
		(void)PIECE(kit, i * 8, i * 8 + 8, 8000);
	CHECK_U64(kit->broken[FRAGMENT_BAD], 0);
	kit->id++;
	(void)PIECE(kit, 0, 48, 100);
	seen = PIECE(kit, 48, 108, 100);
	check_whole(kit, &seen, 100);
	kit_release(kit);
	/* one piece more than a datagram may have */
	kit_init(kit, 4, (struct fragments_opts){ 0 });
	for (unsigned i = 0; i < 600; i++)
		(void)PIECE(kit, i * 8, i * 8 + 8, 8000);
	CHECK_U64(kit->broken[FRAGMENT_BAD], 1);
	kit_release(kit);
}

TEST(fragment, survives_without_memory)
{
	for (unsigned nth = 1; nth < 12; nth++) {
		struct kit kit_, *kit = &kit_;
		struct fragments_opts opts = { .sink = { waited, broken, kit } };

		memset(kit, 0, sizeof(*kit));
		wr_init(&kit->frame, 0);
		kit->version = 4;
		kit->now_ns = 1000;
		put_header(kit, 0, 48, true);
		for (unsigned i = 0; i < 48; i++)
			wr_u8(&kit->frame, 1);
		mem_fail_nth(nth);
		kit->fragments = fragments_new(&opts);
		for (unsigned i = 0; kit->fragments && i < 4; i++) {
			struct packet packet = { .link = LINK_IPV4, .segments = 1, .frame = wr_view(&kit->frame),
						 .orig_len = (uint32_t)kit->frame.len };
			struct fragment_seen seen;

			kit->frame.at[4] = (uint8_t)i;
			(void)decode_frame(&packet);
			if (fragments_add(kit->fragments, &packet, &seen) == 0)
				(void)fragments_wait(kit->fragments, "x", 2);
		}
		mem_fail_nth(0);
		fragments_free(kit->fragments);
		wr_release(&kit->frame);
	}
}

/* ---- captured short ---- */

TEST(fragment, tells_what_the_snaplen_cut_off)
{
	struct kit kit_, *kit = &kit_;
	struct fragment_seen seen;

	kit_init(kit, 4, (struct fragments_opts){ 0 });
	(void)piece_of(kit, 0, 800, 1000, false, 700);
	seen = piece_of(kit, 800, 1008, 1000, false, 0);
	CHECK(seen.whole != NULL);
	CHECK_U64(seen.whole->payload_len, 1000);
	CHECK_U64(seen.whole->payload.len, 100 - 8);
	CHECK_EQ(memcmp(seen.whole->payload.at, kit->payload, 92), 0);
	kit_release(kit);
}

/* A first fragment of eight bytes holds a whole UDP header, and of TCP no more than the ports. */
TEST(fragment, waits_for_a_header_that_is_in_pieces)
{
	struct kit kit_, *kit = &kit_;
	struct fragment_seen seen;
	uint8_t tcp[40] = { 0x9c, 0x40, 0x00, 0x50, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff };

	kit_init(kit, 4, (struct fragments_opts){ 0 });
	for (unsigned i = 0; i < 3; i++) {
		struct packet packet = { .link = LINK_IPV4, .segments = 1, .time_ns = kit->now_ns++ };

		put_header(kit, i * 8, i == 2 ? 14 : 8, i < 2);
		kit->frame.at[9] = 6;
		for (unsigned k = 0; k < (i == 2 ? 14 : 8); k++)
			wr_u8(&kit->frame, tcp[i * 8 + k]);
		packet.frame = wr_view(&kit->frame);
		packet.orig_len = (uint32_t)packet.frame.len;
		(void)decode_frame(&packet);
		CHECK_EQ(fragments_add(kit->fragments, &packet, &seen), 0);
		CHECK(seen.head != NULL);
		CHECK_NOT(seen.head->has_tcp);
	}
	CHECK(seen.whole && seen.whole->has_tcp);
	CHECK_U64(seen.whole->seq, 9);
	CHECK_U64(seen.whole->flags, TCP_SYN);
	CHECK_U64(seen.whole->payload_len, 10);
	kit_release(kit);
}
