/* Sockets that were open before us: one walk over all files of all processes. */
#include "bpf/sock.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline void note_listener(struct sock *sk)
{
	struct listener_key key = { .netns = netns_of_sock(sk), .port = sk->__sk_common.skc_num };
	__u32 yes = 1;

	(void)bpf_map_update_elem(&listeners, &key, &yes, BPF_ANY);
}

/* The walk runs in the recorder's own process, whose number in the initial namespace only the kernel knows. */
static __always_inline void exclude_reader(void)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32, yes = 1, slot = RING_CONTROL_EXCLUDED, *generation;

	if (bpf_map_lookup_elem(&excluded, &pid) || bpf_map_update_elem(&excluded, &pid, &yes, BPF_ANY))
		return;
	generation = bpf_map_lookup_elem(&control, &slot);
	if (generation)
		__sync_fetch_and_add(generation, 1);
}

SEC("iter/task_file")
int census_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock_rec *rec;
	struct sock *sk;
	__u16 family;

	exclude_reader();
	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (sk->__sk_common.skc_state == BPF_TCP_LISTEN)
		note_listener(sk);
	rec = bpf_sk_storage_get(&socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!rec || rec->owner.pid)
		return 0;
	if (!rec->cookie) {
		rec_meet(rec, bpf_get_socket_cookie(sk));
		rec->flags |= REC_EXISTING;
	}
	rec_own(rec, task, netns_of_sock(sk), bpf_ktime_get_ns());
	return 0;
}
