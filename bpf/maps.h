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

struct sock_dir {
	__u64 lost_bytes;	/* of packets that found no room and are not told yet */
	__u32 lost;
	__u32 seq;
};

/*
 * One per socket, freed by the kernel with it. A listener's is copied to the
 * sockets it accepts (BPF_F_CLONE): cookie tells the copy from the original.
 */
struct sock_rec {
	__u64 cookie;
	struct ring_owner owner;
	__u64 owner_ns;		/* when the owner was last changed */
	struct sock_dir dir[2];	/* ingress, egress */
	__u32 flags;
	__u32 pad;
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

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RING_COUNTER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

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

const volatile struct ring_config config SEC(".rodata.config");

/* Atomic: a softirq may come between on the same CPU. */
static __always_inline void count(__u32 counter, __u64 n)
{
	__u64 *slot = bpf_map_lookup_elem(&counters, &counter);

	if (slot)
		__sync_fetch_and_add(slot, n);
}

#endif
