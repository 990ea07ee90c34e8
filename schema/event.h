/*
 * Records that the kernel side (bpf/) puts into its rings and ingest/live.c
 * takes out. Both are built from this file in one build, so there is no
 * version: it is no stored format.
 *
 * Times are CLOCK_MONOTONIC nanoseconds unless a name says boot. Addresses are
 * 16 bytes, IPv4 as ::ffff:a.b.c.d; ports are in host order. Padding is zeroed.
 */
#ifndef SCHEMA_EVENT_H
#define SCHEMA_EVENT_H

#include <linux/types.h>

enum ring_kind {
	RING_PACKET = 1,
	RING_SOCK_OPEN,
	RING_SOCK_OWNER,
	RING_CONNECT_FAILED,	/* value: errno, 0 when the process gave up */
	RING_SOCK_CLOSE,
	RING_RETRANSMIT,	/* reason: ring_retransmit, value: segments, value2: bytes; total_retrans, but of a SYN-ACK */
	RING_RESET_SENT,	/* value2: bytes */
	RING_RESET_RECEIVED,
	RING_PROC_EXEC,
	RING_PROC_EXIT,		/* value: wait status */
};

/* Of a packet record. */
#define RING_EGRESS	0x01
#define RING_HAS_SK	0x02	/* ring_more.tuple is valid */
#define RING_HAS_MORE	0x08	/* a ring_more stands between the record and the bytes */
#define RING_SECOND	0x04	/* headers only: the payload is taken at the connection's other end, on this machine too */

/* Of a socket record. */
#define RING_ACCEPTED	0x01
#define RING_EXISTING	0x02
#define RING_HAS_TUPLE	0x04
#define RING_HAS_TCP	0x08

enum ring_retransmit {
	RING_RETRANSMIT_OTHER,
	RING_RETRANSMIT_FAST,
	RING_RETRANSMIT_TIMEOUT,
	RING_RETRANSMIT_TLP,
	RING_RETRANSMIT_SYN,
};

struct ring_tuple {
	__u8 local[16];
	__u8 remote[16];
	__u16 lport;
	__u16 rport;
	__u32 pad;
};
_Static_assert(sizeof(struct ring_tuple) == 40, "layout");

struct ring_owner {
	__u64 start_boot_ns;	/* of the thread group leader, CLOCK_BOOTTIME */
	__u64 cgroup;
	__u32 pid;		/* thread group, initial namespace; 0 = unknown */
	__u32 uid;
	__u32 netns;
	__u32 pad;
	char comm[16];
};
_Static_assert(sizeof(struct ring_owner) == 48, "layout");

/* What every record begins with. */
struct ring_head {
	__u64 time_ns;
	__u8 kind;
	__u8 flags;
	__u16 pad;
	__u32 pad2;
};
_Static_assert(sizeof(struct ring_head) == 16, "layout");

/* | ring_packet | ring_more when RING_HAS_MORE | cap bytes from the IP header on | rest of the size class | */
struct ring_packet {
	__u64 time_ns;
	__u8 kind;
	__u8 flags;
	__u16 segments;		/* wire packets; 0 reads as 1 */
	__u32 netns;
	__u64 cookie;		/* 0: no socket that we know */
	__u32 len;		/* of the packet */
	__u32 cap;		/* of its bytes, how many follow */
	__u64 lost_bytes;	/* bytes of the lost ones */
	__u32 lost;		/* packets of this socket and direction that found no room since the last record */
	__u32 seq;		/* number of this packet in its socket and direction; counts lost ones too */
};
_Static_assert(sizeof(struct ring_packet) == 48, "layout");

/* What few packets need. */
struct ring_more {
	struct ring_tuple tuple;	/* of the socket, where the header has other addresses */
	__u64 skipped_bytes;	/* as an interface counts them */
	__u32 skipped;		/* wire packets of this socket and direction that were only counted since the last record */
	__u32 pad;
};
_Static_assert(sizeof(struct ring_more) == 56, "layout");

struct ring_sock {
	__u64 time_ns;
	__u8 kind;
	__u8 flags;
	__u8 proto;
	__u8 pad;
	__u32 reason;
	__u64 cookie;
	struct ring_owner owner;
	struct ring_tuple tuple;
	__u64 value;
	__u64 value2;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 total_retrans;
	__u32 srtt_us;
	__u32 mdev_us;
	__u32 min_rtt_us;
	__u32 lost;		/* packets not yet told by a packet record */
	__u32 pad2;
	__u64 lost_bytes;
	__u64 skipped_bytes[2];	/* ingress, egress: as in ring_more, not yet told */
	__u32 skipped[2];
};
_Static_assert(sizeof(struct ring_sock) == 200, "layout");

/* What is taken of the second view of a connection within this machine. */
enum ring_second {
	RING_SECOND_HEADERS,
	RING_SECOND_FULL,
	RING_SECOND_COUNT,	/* as at RING_LEVEL_COUNT */
};

/* Settings, placed into .rodata.config of each object before it is loaded. */
struct ring_config {
	__u32 snaplen;		/* 1..RING_SNAPLEN_MAX */
	__u32 far_mask;		/* far packet rings - 1, their number being a power of two */
	__u32 near_mask;	/* of near ones */
	__u32 second;		/* enum ring_second */
};

/* What is left out of packets while the recorder does not keep up: each level includes those before it. */
enum ring_level {
	RING_LEVEL_FULL,
	RING_LEVEL_THIN,	/* the first RING_THIN_BYTES */
	RING_LEVEL_HEADERS,
	RING_LEVEL_COUNT,	/* of a socket with a peer packets are counted only, but for one a second */
	RING_LEVELS
};
#define RING_THIN_BYTES 256

/* Settings that change while it runs: slots of the map `control`. */
enum ring_control {
	RING_CONTROL_LEVEL,	/* enum ring_level */
	RING_CONTROL_EXCLUDED,	/* generation of the map `excluded`: grows with each process put in */
	RING_CONTROL_COUNT
};

#define RING_SNAPLEN_MAX 262144	/* super-packets: 131,018 bytes on loopback, more with BIG TCP */

/*
 * Packet rings by processor. A near one is small enough to stay in the caches between processor and reader; what finds
 * no room there goes to a far one, which holds what comes while the reader waits for its turn.
 */
#define RING_NEAR_MAX 8
#define RING_FAR_MAX 8
#define RING_COUNT_MAX (RING_NEAR_MAX + RING_FAR_MAX)	/* slots: near ones first */

/* Counters of the kernel side, one slot per CPU. The name is the JSON key. */
#define RING_COUNTERS(X)									\
	X(SEEN, seen)			/* packets that reached the hook */			\
	X(SEEN_BYTES, seen_bytes)								\
	X(EXCLUDED, excluded)		/* of these, of processes that are not captured */	\
	X(SOCKETLESS, socketless)	/* of these, without a socket of a process */		\
	X(SECOND, second)		/* of these, without payload: the other end has it */	\
	X(RING_FULL, ring_full)		/* lost: the packet ring had no room */			\
	X(RING_FULL_BYTES, ring_full_bytes)							\
	X(COPY_FAILED, copy_failed)	/* lost: the kernel refused to copy */			\
	X(COPY_FAILED_BYTES, copy_failed_bytes)							\
	X(CONTROL_FULL, control_full)	/* socket and process records lost */			\
	X(THINNED, thinned)		/* of these, cut because of the capture level */	\
	X(SKIPPED, skipped)		/* of these, only counted, wire packets */ \
	X(SKIPPED_BYTES, skipped_bytes)								\
	X(NO_STORAGE, no_storage)	/* packets of sockets without memory for a record */	\
	X(ORPHAN_LOST, orphan_lost)	/* packets lost that no record can tell */		\
	X(ORPHAN_LOST_BYTES, orphan_lost_bytes)

enum ring_counter {
#define X(name, key) RING_COUNT_##name,
	RING_COUNTERS(X)
#undef X
	RING_COUNTER_COUNT
};

#endif
