/* Resets, also those that answer for a closed port, where there is no socket. */
#include "bpf/sock.h"

char LICENSE[] SEC("license") = "GPL";

/* The packet that is being answered: its destination is our side. */
static __always_inline bool tuple_of_answered(struct ring_tuple *tuple, const struct sk_buff *skb)
{
	unsigned char *head = BPF_CORE_READ(skb, head);
	unsigned char *network = head + BPF_CORE_READ(skb, network_header);
	unsigned char *transport = head + BPF_CORE_READ(skb, transport_header);
	__be16 ports[2];
	__be32 v4[2];
	__u8 first;

	if (bpf_probe_read_kernel(&first, 1, network) ||
	    bpf_probe_read_kernel(ports, sizeof(ports), transport))
		return false;
	if (first >> 4 == 4) {
		if (bpf_probe_read_kernel(v4, sizeof(v4), network + 12))
			return false;
		ip_of_v4(tuple->remote, v4[0]);
		ip_of_v4(tuple->local, v4[1]);
	} else if (bpf_probe_read_kernel(tuple->remote, 16, network + 8) ||
		   bpf_probe_read_kernel(tuple->local, 16, network + 24)) {
		return false;
	}
	tuple->rport = bpf_ntohs(ports[0]);
	tuple->lport = bpf_ntohs(ports[1]);
	return true;
}

/* sk is NULL for a closed port and may be a small socket; skb is NULL when our side gives up by itself. */
SEC("tp_btf/tcp_send_reset")
int BPF_PROG(reset_sent, const struct sock *sk, const struct sk_buff *skb)
{
	struct sock_rec *rec = NULL;
	struct ring_sock *event;

	if (sk)
		rec = bpf_sk_storage_get(&socks, (void *)sk, NULL, 0);
	if (rec && rec_excluded(rec))
		return 0;
	event = event_new(RING_RESET_SENT, bpf_ktime_get_ns());
	if (!event)
		return 0;
	event->proto = IPPROTO_TCP;
	if (rec)
		event_rec(event, rec);
	if (sk)
		event->cookie = bpf_get_socket_cookie((void *)sk);
	if (skb && tuple_of_answered(&event->tuple, skb)) {
		event->flags |= RING_HAS_TUPLE;
	} else if (sk) {
		tuple_of_common(&event->tuple, &sk->__sk_common);
		event->flags |= RING_HAS_TUPLE;
	}
	event_submit(event);
	return 0;
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(reset_received, struct sock *sk)
{
	struct sock_rec *rec = bpf_sk_storage_get(&socks, sk, NULL, 0);
	struct ring_sock *event;

	if (rec && rec_excluded(rec))
		return 0;
	event = event_new(RING_RESET_RECEIVED, bpf_ktime_get_ns());
	if (!event)
		return 0;
	if (rec)
		event_rec(event, rec);
	event->cookie = bpf_get_socket_cookie(sk);
	event_tuple(event, sk);
	event_submit(event);
	return 0;
}
