/*
 * Maps that all probes share. Every object declares them; the loader makes them
 * once (bpf/shared.bpf.c) and hands them to each object.
 */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include "bpf/kernel.h"
#include "schema/event.h"

#define REC_ANNOUNCED	0x01	/* RING_SOCK_OPEN is out */
#define REC_ACCEPTED	0x02
#define REC_EXISTING	0x04	/* first met after it was made */
#define REC_IO		0x08	/* the owner was seen sending or receiving */
#define REC_EXCLUDED	0x10
#define REC_FIRST	0x20	/* the connection's payload is taken here, whoever has its other end */
#define REC_SECOND	0x40	/* twin, on this machine, is where it is taken */
#define REC_TRANSLATED	0x80	/* a header was seen whose addresses are not the socket's */

struct sock_dir {
	__u64 lost_bytes;	/* of packets that found no room and are not told yet */
	__u32 lost;
	__u32 seq;
	__u64 skipped_bytes;	/* of packets that were only counted and are not told yet */
	__u32 skipped;
	__u32 shown;		/* when one was last taken at RING_LEVEL_COUNT, in units of 2^30 ns */
};

/*
 * One per socket, freed by the kernel with it. A listener's is copied to the
 * sockets it accepts (BPF_F_CLONE): cookie tells the copy from the original.
 */
struct sock_rec {
	__u64 cookie;
	struct ring_owner owner;
	__u64 owner_ns;		/* when the owner was last changed */
	__u64 twin;		/* cookie of the socket at the other end, with REC_SECOND */
	struct sock_dir dir[2];	/* ingress, egress */
	__u32 flags;
	__u32 excluded_at;	/* generation of `excluded` that REC_EXCLUDED is of; 0: look again */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct sock_rec);
} socks SEC(".maps");

/* The loader gives the inner rings their real size. */
struct packet_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, RING_COUNT_MAX);
	__type(key, __u32);
	__array(values, struct packet_ring);
} packet_rings SEC(".maps");

/* Sockets and processes have a ring of their own: bulk payload cannot crowd them out. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} control_ring SEC(".maps");

/* All counters in one value: a packet looks them up once. */
struct counts {
	__u64 n[RING_COUNTER_COUNT];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RING_CONTROL_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} control SEC(".maps");

struct listener_key {
	__u32 netns;
	__u32 port;
};

/* Ports that were listened on when we came. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct listener_key);
	__type(value, __u32);
} listeners SEC(".maps");

/* Processes whose sockets are not captured, by thread group id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} excluded SEC(".maps");

/* A connection by its two ends, the same key from both sides: the lesser one is a. */
struct end {
	__u8 ip[16];
	__u32 port;
};

struct pair_key {
	struct end a, b;
	__u32 netns;		/* of loopback addresses, which every namespace has; else 0 */
	__u32 proto;
};

struct pair {
	__u64 cookie;		/* of the socket that was met first */
	__u32 is_b;		/* which end it is */
	__u32 pad;
};

/* Sockets with a peer that has not been met on this machine: most never are, so the oldest give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct pair_key);
	__type(value, struct pair);
} pairs SEC(".maps");

/* Cookies of first views that are closed, by hash: a second view's payload is taken from then on. */
#define GONE_SLOTS 16384

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GONE_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} gone SEC(".maps");

const volatile struct ring_config config SEC(".rodata.config");

static __always_inline struct counts *counts_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

/* Atomic: a softirq may come between on the same CPU. */
static __always_inline void count(__u32 counter, __u64 n)
{
	struct counts *counts = counts_get();

	if (counts && counter < RING_COUNTER_COUNT)
		__sync_fetch_and_add(&counts->n[counter], n);
}

static __always_inline __u32 control_get(__u32 slot)
{
	__u32 *value = bpf_map_lookup_elem(&control, &slot);

	return value ? *value : 0;
}

#endif
