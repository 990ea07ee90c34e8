/* What the probes do alike with a socket's record: ownership, inheritance, events. */
#ifndef BPF_SOCK_H
#define BPF_SOCK_H

#include "bpf/maps.h"

/* Owners of one socket may alternate (a UDP socket of several workers): follow at this pace. */
#define OWNER_HOLD_NS (100 * 1000 * 1000ull)

static __always_inline __u32 gone_slot(__u64 cookie)
{
	return (__u32)((cookie * 0x9e3779b97f4a7c15ull) >> 50) & (GONE_SLOTS - 1);
}

/* The first view takes no more payload: who relies on it has to look after itself. */
static __always_inline void pair_gone(struct sock_rec *rec)
{
	__u32 index = gone_slot(rec->cookie);
	__u64 *slot;

	if (!(rec->flags & REC_FIRST))
		return;
	slot = bpf_map_lookup_elem(&gone, &index);
	if (slot)
		*slot = rec->cookie;
}

/* Whether the payload of this socket is taken at its twin. */
static __always_inline bool rec_second(struct sock_rec *rec)
{
	__u32 index = gone_slot(rec->twin);
	__u64 *slot;

	if (!(rec->flags & REC_SECOND))
		return false;
	slot = bpf_map_lookup_elem(&gone, &index);
	if (!slot || *slot != rec->twin)
		return true;
	__sync_fetch_and_and(&rec->flags, ~REC_SECOND);
	return false;
}

static __always_inline bool is_loopback(const __u8 ip[16])
{
	const __u32 *words = (const void *)ip;

	if (words[0] || words[1])
		return false;
	return words[2] == bpf_htonl(0xffff) ? ip[12] == 127 : !words[2] && words[3] == bpf_htonl(1);
}

static __always_inline bool end_less(const struct ring_tuple *tuple)
{
	const __u32 *x = (const void *)tuple->local, *y = (const void *)tuple->remote;

	for (int i = 0; i < 4; i++)
		if (x[i] != y[i])
			return x[i] < y[i];
	return tuple->lport < tuple->rport;
}

/* Returns which end the socket is: 1 for b. */
static __always_inline __u32 pair_key_of(const struct sock_rec *rec, const struct ring_tuple *tuple, __u32 proto,
					 struct pair_key *key)
{
	bool is_b = !end_less(tuple);

	__builtin_memset(key, 0, sizeof(*key));
	key->proto = proto;
	if (is_b) {
		__builtin_memcpy(key->b.ip, tuple->local, 16);
		__builtin_memcpy(key->a.ip, tuple->remote, 16);
		key->b.port = tuple->lport;
		key->a.port = tuple->rport;
	} else {
		__builtin_memcpy(key->a.ip, tuple->local, 16);
		__builtin_memcpy(key->b.ip, tuple->remote, 16);
		key->a.port = tuple->lport;
		key->b.port = tuple->rport;
	}
	if (is_loopback(tuple->local) || is_loopback(tuple->remote))
		key->netns = rec->owner.netns;
	return is_b;
}

/*
 * Which view of its connection a socket is: the end that is met first is the first one. Decided once. The entry of
 * a pair goes when both are met, or the first is closed: what is left is connections with other machines.
 */
static __always_inline void pair_meet(struct sock_rec *rec, const struct ring_tuple *tuple, __u32 proto)
{
	struct pair own = { 0 }, *found;
	struct pair_key key;

	if (config.second == RING_SECOND_FULL || (rec->flags & (REC_FIRST | REC_SECOND)) || !tuple->rport || !tuple->lport)
		return;
	own.cookie = rec->cookie;
	own.is_b = pair_key_of(rec, tuple, proto, &key);
	found = bpf_map_lookup_elem(&pairs, &key);
	if (found && found->is_b != own.is_b) {
		rec->twin = found->cookie;
		__sync_fetch_and_or(&rec->flags, REC_SECOND);
		(void)bpf_map_delete_elem(&pairs, &key);
		return;
	}
	/* One of the same end is of a connection that is over. */
	if (bpf_map_update_elem(&pairs, &key, &own, BPF_ANY) == 0)
		__sync_fetch_and_or(&rec->flags, REC_FIRST);
}

/* The socket is closed. */
static __always_inline void pair_over(struct sock_rec *rec, const struct ring_tuple *tuple, __u32 proto)
{
	struct pair_key key;
	struct pair *found;

	if (!(rec->flags & REC_FIRST))
		return;
	pair_gone(rec);
	(void)pair_key_of(rec, tuple, proto, &key);
	found = bpf_map_lookup_elem(&pairs, &key);
	if (found && found->cookie == rec->cookie)
		(void)bpf_map_delete_elem(&pairs, &key);
}

/*
 * Holds for a socket's life, or until it has another owner: a process is taken from the map when it exits. The map is
 * looked at again only when somebody was put in.
 */
static __always_inline bool rec_excluded(struct sock_rec *rec)
{
	__u32 now = control_get(RING_CONTROL_EXCLUDED) + 1, pid = rec->owner.pid;

	if (rec->excluded_at != now) {
		rec->excluded_at = now;
		if (pid && !(rec->flags & REC_EXCLUDED) && bpf_map_lookup_elem(&excluded, &pid)) {
			__sync_fetch_and_or(&rec->flags, REC_EXCLUDED);
			pair_gone(rec);
		}
	}
	return rec->flags & REC_EXCLUDED;
}

/*
 * A record met for the first time under this cookie is new, or the copy that an
 * accepted socket has from its listener: keep the owner, forget the counters.
 */
static __always_inline void rec_meet(struct sock_rec *rec, __u64 cookie)
{
	__u64 was = rec->cookie;

	if (was == cookie || __sync_val_compare_and_swap(&rec->cookie, was, cookie) != was)
		return;
	rec->flags = was ? REC_ACCEPTED : 0;
	rec->excluded_at = 0;
	__builtin_memset(rec->dir, 0, sizeof(rec->dir));
}

static __always_inline void owner_of_task(struct ring_owner *owner, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	owner->pid = BPF_CORE_READ(task, tgid);
	owner->uid = BPF_CORE_READ(task, cred, uid.val);
	owner->start_boot_ns = BPF_CORE_READ(leader, start_boottime);
	owner->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	BPF_CORE_READ_INTO(&owner->comm, leader, comm);
	owner->comm[sizeof(owner->comm) - 1] = 0;
}

static __always_inline __u32 netns_of_task(struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
}

static __always_inline __u32 netns_of_sock(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline void ip_of_v4(__u8 ip[16], __be32 v4)
{
	__builtin_memset(ip, 0, 10);
	ip[10] = ip[11] = 0xff;
	__builtin_memcpy(ip + 12, &v4, 4);
}

/* sk is read as kernel memory: any socket will do, also a small one (request, time-wait). */
static __always_inline void tuple_of_common(struct ring_tuple *tuple, const struct sock_common *common)
{
	if (BPF_CORE_READ(common, skc_family) == AF_INET6 &&
	    bpf_core_field_exists(common->skc_v6_daddr)) {
		BPF_CORE_READ_INTO(&tuple->local, common, skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&tuple->remote, common, skc_v6_daddr.in6_u.u6_addr8);
	} else {
		ip_of_v4(tuple->local, BPF_CORE_READ(common, skc_rcv_saddr));
		ip_of_v4(tuple->remote, BPF_CORE_READ(common, skc_daddr));
	}
	tuple->lport = BPF_CORE_READ(common, skc_num);
	tuple->rport = bpf_ntohs(BPF_CORE_READ(common, skc_dport));
}

/* A full socket. Its own port number survives in inet_sport when the port is given back at close. */
static __always_inline void tuple_of_sock(struct ring_tuple *tuple, const struct sock *sk)
{
	tuple_of_common(tuple, &sk->__sk_common);
	if (!tuple->lport)
		tuple->lport = bpf_ntohs(BPF_CORE_READ((const struct inet_sock *)sk, inet_sport));
}

/* A control record, zeroed but for its head; NULL (counted) when the ring is full. */
static __always_inline struct ring_sock *event_new(__u8 kind, __u64 time_ns)
{
	struct ring_sock *event = bpf_ringbuf_reserve(&control_ring, sizeof(*event), 0);

	if (!event) {
		count(RING_COUNT_CONTROL_FULL, 1);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = time_ns;
	event->kind = kind;
	return event;
}

static __always_inline void event_submit(struct ring_sock *event)
{
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline void event_rec(struct ring_sock *event, const struct sock_rec *rec)
{
	event->cookie = rec->cookie;
	event->owner = rec->owner;
	event->flags |= (rec->flags & REC_ACCEPTED ? RING_ACCEPTED : 0) |
			(rec->flags & REC_EXISTING ? RING_EXISTING : 0);
}

static __always_inline void event_tuple(struct ring_sock *event, const struct sock *sk)
{
	tuple_of_sock(&event->tuple, sk);
	event->flags |= RING_HAS_TUPLE;
	event->proto = BPF_CORE_READ(sk, sk_protocol);
}

/* Losses, and what was only counted, that no packet record has told yet move into the event. */
static __always_inline void event_losses(struct ring_sock *event, struct sock_rec *rec)
{
	for (int dir = 0; dir < 2; dir++) {
		event->skipped[dir] = __sync_lock_test_and_set(&rec->dir[dir].skipped, 0);
		event->skipped_bytes[dir] = __sync_lock_test_and_set(&rec->dir[dir].skipped_bytes, 0);
	}
	event->lost = __sync_lock_test_and_set(&rec->dir[0].lost, 0) +
		      __sync_lock_test_and_set(&rec->dir[1].lost, 0);
	event->lost_bytes = __sync_lock_test_and_set(&rec->dir[0].lost_bytes, 0) +
			    __sync_lock_test_and_set(&rec->dir[1].lost_bytes, 0);
}

static __always_inline bool rec_has_losses(const struct sock_rec *rec)
{
	return rec->dir[0].lost || rec->dir[1].lost;
}

/* No event can carry them: they end in the common counters. */
static __always_inline void losses_orphan(struct sock_rec *rec)
{
	__u64 lost = __sync_lock_test_and_set(&rec->dir[0].lost, 0) +
		     __sync_lock_test_and_set(&rec->dir[1].lost, 0);
	__u64 bytes = __sync_lock_test_and_set(&rec->dir[0].lost_bytes, 0) +
		      __sync_lock_test_and_set(&rec->dir[1].lost_bytes, 0);

	if (!lost)
		return;
	count(RING_COUNT_ORPHAN_LOST, lost);
	count(RING_COUNT_ORPHAN_LOST_BYTES, bytes);
}

/* Claim the one announcement of a socket. Undo when the event found no room. */
static __always_inline bool announce_claim(struct sock_rec *rec)
{
	return !(__sync_fetch_and_or(&rec->flags, REC_ANNOUNCED) & REC_ANNOUNCED);
}

static __always_inline void announce_undo(struct sock_rec *rec)
{
	__sync_fetch_and_and(&rec->flags, ~REC_ANNOUNCED);
}

/* RING_SOCK_OPEN, once. sk is a full socket, connected. */
static __always_inline void sock_announce(struct sock_rec *rec, const struct sock *sk, __u64 time_ns)
{
	struct ring_sock *event;

	if (rec_excluded(rec) || !announce_claim(rec))
		return;
	event = event_new(RING_SOCK_OPEN, time_ns);
	if (!event) {
		announce_undo(rec);
		return;
	}
	event_rec(event, rec);
	event_tuple(event, sk);
	pair_meet(rec, &event->tuple, event->proto);
	event_submit(event);
}

/*
 * The socket's user is task, which is the current one or was found holding it.
 * netns is kept when 0. An announced socket tells the change.
 */
static __always_inline void rec_own(struct sock_rec *rec, struct task_struct *task, __u32 netns,
				    __u64 now_ns)
{
	__u32 pid_was = rec->owner.pid;
	__u64 start_was = rec->owner.start_boot_ns;
	struct ring_sock *event;

	owner_of_task(&rec->owner, task);
	if (netns)
		rec->owner.netns = netns;
	rec->owner_ns = now_ns;
	if (rec->owner.pid == pid_was && rec->owner.start_boot_ns == start_was)
		return;
	__sync_fetch_and_and(&rec->flags, ~REC_EXCLUDED);
	rec->excluded_at = 0;
	if (!(rec->flags & REC_ANNOUNCED) || rec_excluded(rec))
		return;
	event = event_new(RING_SOCK_OWNER, now_ns);
	if (!event)
		return;
	event_rec(event, rec);
	event_submit(event);
}

static __always_inline void rec_own_current(struct sock_rec *rec, __u32 netns)
{
	rec_own(rec, (struct task_struct *)bpf_get_current_task(), netns, bpf_ktime_get_ns());
}

#endif
