/* Segments the kernel sends again, and why: the state of its congestion control says. */
#include "bpf/sock.h"

char LICENSE[] SEC("license") = "GPL";

#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4
#define ICSK_TIME_LOSS_PROBE 5

static __always_inline __u32 class_of(const struct sock *sk)
{
	const struct inet_connection_sock *icsk = (const struct inet_connection_sock *)sk;
	__u8 ca_state = BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state);

	if (sk->__sk_common.skc_state == BPF_TCP_SYN_SENT ||
	    sk->__sk_common.skc_state == BPF_TCP_SYN_RECV)
		return RING_RETRANSMIT_SYN;
	if (ca_state == TCP_CA_LOSS)
		return RING_RETRANSMIT_TIMEOUT;
	if (ca_state == TCP_CA_RECOVERY)
		return RING_RETRANSMIT_FAST;
	if (BPF_CORE_READ(icsk, icsk_pending) == ICSK_TIME_LOSS_PROBE)
		return RING_RETRANSMIT_TLP;
	return RING_RETRANSMIT_OTHER;
}

static __always_inline __u16 segments_of(const struct sk_buff *skb)
{
	const struct tcp_skb_cb *cb = (const void *)__builtin_preserve_access_index(&skb->cb[0]);
	__u16 segments = BPF_CORE_READ(cb, tcp_gso_segs);

	return segments ? segments : 1;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(retransmit_segment, const struct sock *sk, const struct sk_buff *skb)
{
	struct ring_sock *event;
	struct sock_rec *rec;

	if (bpf_core_field_exists(struct trace_event_raw_tcp_retransmit_skb, err) && (int)ctx[2] < 0)
		return 0;	/* it did not leave */
	rec = bpf_sk_storage_get(&socks, (void *)sk, NULL, 0);
	if (rec && rec_excluded(rec))
		return 0;
	event = event_new(RING_RETRANSMIT, bpf_ktime_get_ns());
	if (!event)
		return 0;
	if (rec)
		event_rec(event, rec);
	event->cookie = bpf_get_socket_cookie((void *)sk);
	event_tuple(event, sk);
	event->reason = class_of(sk);
	event->value = segments_of(skb);
	event->value2 = BPF_CORE_READ(skb, len);
	event->total_retrans = BPF_CORE_READ((const struct tcp_sock *)sk, total_retrans);
	event_submit(event);
	return 0;
}

/* The SYN-ACK belongs to a listener's request: the listener's cookie, the request's addresses. */
SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(retransmit_synack, const struct sock *sk, const struct request_sock *request)
{
	struct ring_sock *event;
	struct sock_rec *rec;

	rec = bpf_sk_storage_get(&socks, (void *)sk, NULL, 0);
	if (rec && rec_excluded(rec))
		return 0;
	event = event_new(RING_RETRANSMIT, bpf_ktime_get_ns());
	if (!event)
		return 0;
	if (rec)
		event_rec(event, rec);
	event->cookie = bpf_get_socket_cookie((void *)sk);
	tuple_of_common(&event->tuple, &request->__req_common);
	event->flags |= RING_HAS_TUPLE | RING_ACCEPTED;
	event->proto = IPPROTO_TCP;
	event->reason = RING_RETRANSMIT_SYN;
	event->value = 1;
	event_submit(event);
	return 0;
}
