/*
 * What the tests of ingest/ share: frames made by hand, a tracker with its
 * batch, and files that live in memory.
 */
#ifndef TESTS_INGEST_KIT_H
#define TESTS_INGEST_KIT_H

#include <sys/mman.h>

#include "base/clock.h"
#include "base/wr.h"
#include "ingest/tracker.h"
#include "tests/check.h"

#define KIT_T0 (1700000000ull * NS_PER_SEC)

/* ---- files in memory ---- */

struct kit_file {
	int fd;
	char path[64];
};

static inline void kit_file_open(struct kit_file *file, struct view bytes)
{
	file->fd = memfd_create("capture", MFD_CLOEXEC);
	CHECK(file->fd >= 0);
	CHECK(bytes.len == 0 || write(file->fd, bytes.at, bytes.len) == (ssize_t)bytes.len);
	(void)snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
}

static inline void kit_file_close(struct kit_file *file)
{
	(void)close(file->fd);
}

/* ---- frames: bare IPv4, link type 101 ---- */

struct kit_end {
	const char *ip;
	uint16_t port;
};

struct kit_tcp {
	struct kit_end from, to;
	uint16_t flags;
	uint32_t seq, ack;
	const char *payload;	/* NULL: none */
	size_t payload_len;	/* 0: strlen */
};

static inline void kit_ip4(struct wr *wr, const char *text)
{
	struct ip ip;

	CHECK_U64(ip_parse(view_str(text), &ip, NULL), 0);
	wr_bytes(wr, view_make(ip.b + 12, 4));
}

static inline void kit_ip_header(struct wr *wr, size_t l4_bytes, uint8_t proto, const char *from, const char *to)
{
	wr_reset(wr);
	wr_u8(wr, 0x45);
	wr_u8(wr, 0);
	wr_u16be(wr, (uint16_t)(20 + l4_bytes));
	wr_u32be(wr, 0);
	wr_u8(wr, 64);
	wr_u8(wr, proto);
	wr_u16be(wr, 0);
	kit_ip4(wr, from);
	kit_ip4(wr, to);
}

static inline void kit_tcp_frame(struct wr *wr, const struct kit_tcp *tcp)
{
	size_t len = tcp->payload ? (tcp->payload_len ? tcp->payload_len : strlen(tcp->payload)) : 0;

	kit_ip_header(wr, 20 + len, 6, tcp->from.ip, tcp->to.ip);
	wr_u16be(wr, tcp->from.port);
	wr_u16be(wr, tcp->to.port);
	wr_u32be(wr, tcp->seq);
	wr_u32be(wr, tcp->ack);
	wr_u8(wr, 0x50);
	wr_u8(wr, (uint8_t)tcp->flags);
	wr_u16be(wr, 8192);
	wr_u32be(wr, 0);
	if (len)
		wr_bytes(wr, view_make(tcp->payload, len));
}

static inline void kit_udp_frame(struct wr *wr, struct kit_end from, struct kit_end to, struct view payload)
{
	kit_ip_header(wr, 8 + payload.len, 17, from.ip, to.ip);
	wr_u16be(wr, from.port);
	wr_u16be(wr, to.port);
	wr_u16be(wr, (uint16_t)(8 + payload.len));
	wr_u16be(wr, 0);
	wr_bytes(wr, payload);
}

/* ---- a tracker and its batch ---- */

struct tkit {
	struct counters counters;
	struct tracker *tracker;
	struct batch *batch;
	struct enrich *enrich;
	struct owners *owners;
	struct wr frame;
	uint64_t now_ns;
	/* of the frames to come, when live */
	enum frame_at at;
	uint64_t cookie;
	uint32_t netns;
	uint64_t second_cookie;	/* frames of this socket are cut to their headers: its other end has the payload */
};

static inline void tkit_init(struct tkit *kit, struct tracker_opts opts, bool live)
{
	struct err err = { 0 };

	memset(kit, 0, sizeof(*kit));
	wr_init(&kit->frame, 0);
	kit->now_ns = KIT_T0;
	kit->batch = batch_new();
	CHECK(kit->batch);
	if (live) {
		struct enrich_opts enrich_opts = { .proc_dir = "/nonexistent", .cgroup_dir = "/nonexistent",
						   .node = "node-1" };

		CHECK_OK(enrich_new(&enrich_opts, &kit->enrich, &err), err);
		kit->owners = owners_new(kit->enrich, 0);
		CHECK(kit->owners);
		opts.enrich = kit->enrich;
		opts.owners = kit->owners;
	}
	opts.source = 77;
	opts.counters = &kit->counters;
	CHECK_OK(tracker_new(&opts, &kit->tracker, &err), err);
	tracker_set_batch(kit->tracker, kit->batch);
}

static inline void tkit_release(struct tkit *kit)
{
	tracker_free(kit->tracker);
	owners_free(kit->owners);
	enrich_free(kit->enrich);
	batch_free(kit->batch);
	wr_release(&kit->frame);
}

static inline void tkit_frame(struct tkit *kit)
{
	struct frame frame = { .time_ns = kit->now_ns, .bytes = wr_view(&kit->frame),
			       .orig_len = (uint32_t)kit->frame.len, .link = 101, .segments = 1, .at = kit->at,
			       .cookie = kit->cookie, .netns = kit->netns };

	if (kit->cookie && kit->cookie == kit->second_cookie) {
		frame.second = true;
		frame.bytes = view_sub(frame.bytes, 0, 40);
	}
	CHECK_U64(tracker_frame(kit->tracker, &frame), 0);
}

static inline void tkit_tcp(struct tkit *kit, const struct kit_tcp *tcp)
{
	kit_tcp_frame(&kit->frame, tcp);
	tkit_frame(kit);
	kit->now_ns += NS_PER_MS;
}

static inline const struct flow_row *tkit_flow(const struct tkit *kit, size_t index)
{
	CHECK(index < kit->batch->rows[TABLE_FLOWS].count, "there are %zu flow rows",
	      kit->batch->rows[TABLE_FLOWS].count);
	return (const struct flow_row *)kit->batch->rows[TABLE_FLOWS].at + index;
}

static inline const struct call_row *tkit_call(const struct tkit *kit, size_t index)
{
	CHECK(index < kit->batch->rows[TABLE_CALLS].count, "there are %zu call rows",
	      kit->batch->rows[TABLE_CALLS].count);
	return (const struct call_row *)kit->batch->rows[TABLE_CALLS].at + index;
}

static inline const struct event_row *tkit_event(const struct tkit *kit, size_t index)
{
	CHECK(index < kit->batch->rows[TABLE_EVENTS].count, "there are %zu event rows",
	      kit->batch->rows[TABLE_EVENTS].count);
	return (const struct event_row *)kit->batch->rows[TABLE_EVENTS].at + index;
}

#define TKIT_COUNT(kit, table) ((kit)->batch->rows[TABLE_##table].count)
#define TKIT_ROLLUP(kit, index) ((const struct rollup_row *)(kit)->batch->rows[TABLE_ROLLUPS].at + (index))

#endif
