/* The life of a TCP connection as the kernel's own state machine tells it. */
#include "bpf/sock.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline void totals_of(struct ring_sock *event, const struct sock *sk)
{
	const struct tcp_sock *tcp = (const struct tcp_sock *)sk;

	event->bytes_acked = BPF_CORE_READ(tcp, bytes_acked);
	event->bytes_received = BPF_CORE_READ(tcp, bytes_received);
	event->total_retrans = BPF_CORE_READ(tcp, total_retrans);
	event->srtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3;	/* kept eightfold */
	event->mdev_us = BPF_CORE_READ(tcp, mdev_us) >> 2;	/* kept fourfold */
	event->min_rtt_us = BPF_CORE_READ(tcp, rtt_min.s[0].v);
	event->flags |= RING_HAS_TCP;
}

static __always_inline void tell_end(struct sock_rec *rec, const struct sock *sk, __u8 kind)
{
	struct ring_sock *event;

	if (rec_excluded(rec))
		return;
	event = event_new(kind, bpf_ktime_get_ns());
	if (!event) {
		losses_orphan(rec);
		pair_gone(rec);
		return;
	}
	event_rec(event, rec);
	event_tuple(event, sk);
	pair_over(rec, &event->tuple, event->proto);
	event_losses(event, rec);
	if (kind == RING_CONNECT_FAILED)
		event->value = BPF_CORE_READ(sk, sk_err);
	else
		totals_of(event, sk);
	event_submit(event);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state, const struct sock *sk, int from, int to)
{
	struct sock_rec *rec;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	rec = bpf_sk_storage_get(&socks, (void *)sk, NULL,
				 to == BPF_TCP_ESTABLISHED ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!rec)
		return 0;
	if (to == BPF_TCP_ESTABLISHED) {
		rec_meet(rec, bpf_get_socket_cookie((void *)sk));
		if (from == BPF_TCP_SYN_RECV)
			__sync_fetch_and_or(&rec->flags, REC_ACCEPTED);
		if (!rec->owner.netns)
			rec->owner.netns = netns_of_sock(sk);
		sock_announce(rec, sk, bpf_ktime_get_ns());
	} else if (to == BPF_TCP_CLOSE) {
		if (from == BPF_TCP_SYN_SENT)
			tell_end(rec, sk, RING_CONNECT_FAILED);
		else if (rec->flags & REC_ANNOUNCED)
			tell_end(rec, sk, RING_SOCK_CLOSE);
		else if (rec_has_losses(rec))
			losses_orphan(rec);
		/* The same socket may connect again, under the same cookie. */
		__sync_fetch_and_and(&rec->flags, ~(REC_ANNOUNCED | REC_ACCEPTED | REC_EXISTING | REC_FIRST |
						    REC_SECOND | REC_TRANSLATED));
	}
	return 0;
}
