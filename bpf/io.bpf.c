/*
 * The process that really sends or receives: workers that accept on a socket
 * their parent made, sockets passed between processes, sockets nobody knew.
 */
#include "bpf/sock.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline int user_seen(struct sock *sk, int ret)
{
	__u16 family = sk->__sk_common.skc_family;
	struct sock_rec *rec;
	__u64 now_ns;

	if (ret < 0 || (family != AF_INET && family != AF_INET6))
		return 0;
	rec = bpf_sk_storage_get(&socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!rec)
		return 0;
	if (!rec->cookie) {
		rec_meet(rec, bpf_get_socket_cookie(sk));
		rec->flags |= REC_EXISTING;
	}
	if ((rec->flags & REC_IO) && rec->owner.pid == (__u32)(bpf_get_current_pid_tgid() >> 32))
		return 0;
	now_ns = bpf_ktime_get_ns();
	if ((rec->flags & REC_IO) && now_ns - rec->owner_ns < OWNER_HOLD_NS)
		return 0;
	__sync_fetch_and_or(&rec->flags, REC_IO);
	rec_own_current(rec, netns_of_sock(sk));
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(io_send, struct sock *sk, int ret, int flags)
{
	return user_seen(sk, ret);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(io_recv, struct sock *sk, int ret, int flags)
{
	return user_seen(sk, ret);
}
