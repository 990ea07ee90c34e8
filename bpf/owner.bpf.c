/*
 * Who uses a socket: recorded in process context when it is made, bound,
 * connected or sent through. Accepted sockets inherit their listener's record.
 */
#include "bpf/sock.h"

char LICENSE[] SEC("license") = "GPL";

SEC("cgroup/sock_create")
int owner_create(struct bpf_sock *ctx)
{
	struct sock_rec *rec = bpf_sk_storage_get(&socks, ctx, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (rec) {
		rec_meet(rec, bpf_get_socket_cookie(ctx));
		rec_own_current(rec, netns_of_task((struct task_struct *)bpf_get_current_task()));
	}
	return 1;
}

static __always_inline int bound(struct bpf_sock *ctx)
{
	struct sock_rec *rec = bpf_sk_storage_get(&socks, ctx, NULL, 0);

	if (rec)
		rec_own_current(rec, 0);
	return 1;
}

SEC("cgroup/post_bind4")
int owner_bind4(struct bpf_sock *ctx)
{
	return bound(ctx);
}

SEC("cgroup/post_bind6")
int owner_bind6(struct bpf_sock *ctx)
{
	return bound(ctx);
}

static __always_inline int used(struct bpf_sock_addr *ctx, bool connects)
{
	struct bpf_sock *sk = ctx->sk;
	struct sock_rec *rec;

	if (!sk)
		return 1;
	rec = bpf_sk_storage_get(&socks, sk, NULL, 0);
	if (!rec)
		return 1;
	/* A datagram's sender is looked at anew only when it is another process. */
	if (connects || ((__u32)(bpf_get_current_pid_tgid() >> 32) != rec->owner.pid &&
			 bpf_ktime_get_ns() - rec->owner_ns > OWNER_HOLD_NS))
		rec_own_current(rec, 0);
	return 1;
}

SEC("cgroup/connect4")
int owner_connect4(struct bpf_sock_addr *ctx)
{
	return used(ctx, true);
}

SEC("cgroup/connect6")
int owner_connect6(struct bpf_sock_addr *ctx)
{
	return used(ctx, true);
}

SEC("cgroup/sendmsg4")
int owner_sendmsg4(struct bpf_sock_addr *ctx)
{
	return used(ctx, false);
}

SEC("cgroup/sendmsg6")
int owner_sendmsg6(struct bpf_sock_addr *ctx)
{
	return used(ctx, false);
}

/* TCP lives on after this and tells its end by its state. */
SEC("cgroup/sock_release")
int owner_release(struct bpf_sock *ctx)
{
	struct sock_rec *rec = bpf_sk_storage_get(&socks, ctx, NULL, 0);
	struct ring_sock *event;
	const struct sock *sk;

	if (!rec || ctx->protocol == IPPROTO_TCP || !(rec->flags & REC_ANNOUNCED))
		return 1;
	if (rec_excluded(rec))
		return 1;
	event = event_new(RING_SOCK_CLOSE, bpf_ktime_get_ns());
	if (!event) {
		losses_orphan(rec);
		pair_gone(rec);
		return 1;
	}
	event_rec(event, rec);
	sk = kernel_ptr(ctx);
	event_tuple(event, sk);
	pair_over(rec, &event->tuple, event->proto);
	event_losses(event, rec);
	event_submit(event);
	announce_undo(rec);
	return 1;
}
