/*
 * Every packet at every socket of every network namespace: cgroup_skb at the
 * root of the cgroup-v2 tree. Must return 1 on every path: 0 drops the packet.
 *
 * Packets are numbered per socket and direction, and losses kept there until a
 * later record (or the socket's end) tells them, so that they are exact.
 */
#include "bpf/sock.h"

char LICENSE[] SEC("license") = "GPL";

#define PASS 1
#define HEAD_BYTES sizeof(struct ring_packet)
#define MORE_BYTES sizeof(struct ring_more)
#define HEADS_BYTES (HEAD_BYTES + MORE_BYTES)
#define HEADERS_GUESS 128	/* bytes of a packet whose headers are not looked through */

#define NEAR_RECORD_MAX 8192	/* a few super-packets would fill a near ring */
#define WHOLE_FIRST 8		/* packets of a socket and direction that no level below RING_LEVEL_COUNT cuts */
#define DNS_PORT 53

struct take {
	struct ring_packet head;
	struct ring_more more;
};

struct rings {
	void *near, *far;
};

struct headers {
	__u32 bytes;		/* of all headers, or a guess that holds them */
	__u8 tcp_flags;
};

/*
 * A ring record has a size known when the program is loaded: the smallest class
 * that fits is used. The first holds a bare ACK, the second one over IPv6, another a full Ethernet packet.
 */
static __always_inline int put(struct __sk_buff *skb, const struct rings *rings, const struct take *take,
			       const __u64 size)
{
	struct ring_packet *out = NULL;
	__u32 cap = take->head.cap;
	void *at;

	if (size <= NEAR_RECORD_MAX && rings->near)
		out = bpf_ringbuf_reserve(rings->near, size, 0);
	if (!out)
		out = bpf_ringbuf_reserve(rings->far, size, 0);
	if (!out)
		return RING_COUNT_RING_FULL;
	*out = take->head;
	at = out + 1;
	barrier_var(cap);
	if (take->head.flags & RING_HAS_MORE) {
		if (size < HEADS_BYTES)
			goto refused;
		__builtin_memcpy(at, &take->more, MORE_BYTES);
		if (cap == 0 || cap > size - HEADS_BYTES || bpf_skb_load_bytes(skb, 0, at + MORE_BYTES, cap))
			goto refused;
	} else if (cap == 0 || cap > size - HEAD_BYTES || bpf_skb_load_bytes(skb, 0, at, cap)) {
		goto refused;
	}
	bpf_ringbuf_submit(out, BPF_RB_NO_WAKEUP);
	return -1;
refused:
	bpf_ringbuf_discard(out, BPF_RB_NO_WAKEUP);
	return RING_COUNT_COPY_FAILED;
}

/* The counter of the loss, or -1. */
static __noinline int put_sized(struct __sk_buff *skb, const struct take *take)
{
	__u32 cpu = bpf_get_smp_processor_id();
	__u32 near = cpu & config.near_mask, far = RING_NEAR_MAX + (cpu & config.far_mask);
	struct rings rings = { bpf_map_lookup_elem(&packet_rings, &near), bpf_map_lookup_elem(&packet_rings, &far) };
	__u64 need = take->head.cap + (take->head.flags & RING_HAS_MORE ? HEADS_BYTES : HEAD_BYTES);

	if (!rings.far)
		return RING_COUNT_RING_FULL;
#define CLASS(size)					\
	if (need <= (size))				\
		return put(skb, &rings, take, size)
	CLASS(104);
	CLASS(128);
	CLASS(176);
	CLASS(256);
	CLASS(384);
	CLASS(640);
	CLASS(1024);
	CLASS(1600);
	CLASS(2304);
	CLASS(3328);
	CLASS(4864);
	CLASS(8192);
	CLASS(12288);
	CLASS(17408);
	CLASS(24576);
	CLASS(33792);
	CLASS(49152);
	CLASS(65664);
	CLASS(98304);
	CLASS(131200);	/* two segments of loopback */
#undef CLASS
	return put(skb, &rings, take, RING_SNAPLEN_MAX + HEADS_BYTES);
}

/*
 * The header's addresses, local and remote as seen from the socket; ports only
 * of whole TCP and UDP packets. False when the header is not at hand.
 */
static __always_inline bool tuple_of_header(struct __sk_buff *skb, bool egress, struct ring_tuple *tuple)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 *src = egress ? tuple->local : tuple->remote;
	__u8 *dst = egress ? tuple->remote : tuple->local;
	__be16 *ports = data + 20;
	__u8 *ip = data, proto;
	__be32 v4;

	__builtin_memset(tuple, 0, sizeof(*tuple));
	if (data + 24 > end)
		return false;
	if (ip[0] >> 4 == 4) {
		__builtin_memcpy(&v4, ip + 12, 4);
		ip_of_v4(src, v4);
		__builtin_memcpy(&v4, ip + 16, 4);
		ip_of_v4(dst, v4);
		proto = ip[9];
		/* Options are rare: their packets go without ports. */
		if ((ip[0] & 15) != 5 || (ip[6] & 0x1f) || ip[7])
			return true;
	} else {
		if (data + 44 > end)
			return false;
		__builtin_memcpy(src, ip + 8, 16);
		__builtin_memcpy(dst, ip + 24, 16);
		proto = ip[6];
		ports = data + 40;
	}
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return true;
	tuple->lport = bpf_ntohs(egress ? ports[0] : ports[1]);
	tuple->rport = bpf_ntohs(egress ? ports[1] : ports[0]);
	return true;
}

static __always_inline struct headers headers_of(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct headers headers = { .bytes = HEADERS_GUESS };
	__u8 *ip = data, *tcp, proto;
	__u32 ip_bytes = 40;

	if (data + 40 > end)
		goto out;
	if (ip[0] >> 4 == 4) {
		if ((ip[6] & 0x3f) || ip[7])	/* a fragment */
			goto out;
		ip_bytes = (ip[0] & 15) * 4;
		proto = ip[9];
	} else {
		proto = ip[6];
	}
	if (proto == IPPROTO_UDP)
		headers.bytes = ip_bytes + 8;
	tcp = data + ip_bytes;
	if (proto != IPPROTO_TCP || (void *)(tcp + 20) > end)
		goto out;
	headers.bytes = ip_bytes + (tcp[12] >> 4) * 4;
	headers.tcp_flags = tcp[13];
out:
	if (headers.bytes > skb->len)
		headers.bytes = skb->len;
	return headers;
}

static __always_inline void tuple_of_bpf_sock(struct ring_tuple *tuple, struct bpf_sock *sk)
{
	__u32 v6[4];

	__builtin_memset(tuple, 0, sizeof(*tuple));
	if (sk->family == AF_INET) {
		ip_of_v4(tuple->local, sk->src_ip4);
		ip_of_v4(tuple->remote, sk->dst_ip4);
	} else {
		v6[0] = sk->src_ip6[0], v6[1] = sk->src_ip6[1], v6[2] = sk->src_ip6[2], v6[3] = sk->src_ip6[3];
		__builtin_memcpy(tuple->local, v6, 16);
		v6[0] = sk->dst_ip6[0], v6[1] = sk->dst_ip6[1], v6[2] = sk->dst_ip6[2], v6[3] = sk->dst_ip6[3];
		__builtin_memcpy(tuple->remote, v6, 16);
	}
	tuple->lport = sk->src_port;
	tuple->rport = bpf_ntohs((__be16)sk->dst_port);
}

static __always_inline bool tuple_differs(const struct ring_tuple *a, const struct ring_tuple *b)
{
	const __u64 *x = (const void *)a, *y = (const void *)b;

	return x[0] != y[0] || x[1] != y[1] || x[2] != y[2] || x[3] != y[3] || x[4] != y[4];
}

/* TCP announces what has or had a peer; a listener, a half-open and a closed socket do not. */
static __always_inline bool announceable(struct bpf_sock *sk)
{
	if (sk->protocol != IPPROTO_TCP)
		return true;
	switch (sk->state) {
	case BPF_TCP_LISTEN:
	case BPF_TCP_SYN_RECV:
	case BPF_TCP_NEW_SYN_RECV:
	case BPF_TCP_CLOSE:
	case BPF_TCP_TIME_WAIT:
		return false;
	default:
		return true;
	}
}

/* Older than we are: whoever listens on its port accepted it. */
static __always_inline void guess_accepted(struct sock_rec *rec, const struct take *take)
{
	struct listener_key key = { .netns = take->head.netns, .port = take->more.tuple.lport };

	if (bpf_map_lookup_elem(&listeners, &key))
		__sync_fetch_and_or(&rec->flags, REC_ACCEPTED);
}

/* RING_SOCK_OPEN at the first packet: now all of the socket's addresses are chosen. */
static __noinline int announce(struct sock_rec *rec, const struct take *take, __u8 proto)
{
	struct ring_sock *event;

	if (!rec || !announce_claim(rec))
		return 0;
	if ((rec->flags & REC_EXISTING) && proto == IPPROTO_TCP)
		guess_accepted(rec, take);
	event = event_new(RING_SOCK_OPEN, take->head.time_ns);
	if (!event) {
		announce_undo(rec);
		return 0;
	}
	event_rec(event, rec);
	event->proto = proto;
	event->tuple = take->more.tuple;
	event->flags |= RING_HAS_TUPLE;
	pair_meet(rec, &event->tuple, proto);
	event_submit(event);
	return 0;
}

static __always_inline __u32 netns_of_skb(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = kernel_ptr(skb);
	struct sock *sk = BPF_CORE_READ(kernel_skb, sk);

	return sk ? netns_of_sock(sk) : BPF_CORE_READ(kernel_skb, dev, nd_net.net, ns.inum);
}

/* A socket of a process. The kernel's own (raw, answering resets and pings) are none. */
static __always_inline struct sock_rec *rec_of(struct bpf_sock *sk)
{
	struct sock_rec *rec = bpf_sk_storage_get(&socks, sk, NULL, 0);

	if (rec || sk->type == SOCK_RAW)
		return rec;
	rec = bpf_sk_storage_get(&socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!rec)
		count(RING_COUNT_NO_STORAGE, 1);
	return rec;
}

/* Fill in what depends on the socket. False when its owner is not captured. */
static __always_inline bool meet_socket(struct __sk_buff *skb, struct sock_rec *rec, struct bpf_sock *sk,
					struct take *take, bool egress)
{
	struct ring_tuple header;
	bool is_new = !rec->cookie;

	if (rec_excluded(rec))
		return false;
	rec_meet(rec, take->head.cookie);
	if (is_new)
		__sync_fetch_and_or(&rec->flags, REC_EXISTING);
	if (!rec->owner.netns)
		rec->owner.netns = netns_of_skb(skb);
	take->head.netns = rec->owner.netns;
	/* Translation is decided with a connection's first packets; the look now and then is for what it is too early for. */
	if ((rec->flags & (REC_ANNOUNCED | REC_TRANSLATED)) == REC_ANNOUNCED && (rec->dir[egress].seq & 63) >= 8)
		return true;
	if (!tuple_of_header(skb, egress, &header))
		return true;
	tuple_of_bpf_sock(&take->more.tuple, sk);
	if (take->more.tuple.rport && take->more.tuple.lport) {
		if (header.rport && tuple_differs(&header, &take->more.tuple)) {
			take->head.flags |= RING_HAS_SK | RING_HAS_MORE;
			if (!(rec->flags & REC_TRANSLATED))
				__sync_fetch_and_or(&rec->flags, REC_TRANSLATED);
		}
	} else {
		/* Not connected: the address it answers under is in the header, peers come and go. */
		__builtin_memcpy(take->more.tuple.local, header.local, 16);
	}
	if (!(rec->flags & REC_ANNOUNCED) && announceable(sk))
		announce(rec, take, sk->protocol);
	return true;
}

/* rec is NULL, too, when the socket has told its end already and no later record will come. */
static __always_inline void lose(struct sock_rec *rec, const struct take *take, bool egress, int cause)
{
	__u32 lost = take->head.lost + 1;
	__u64 lost_bytes = take->head.lost_bytes + take->head.len;

	count(cause, 1);
	count(cause + 1, take->head.len);
	if (rec) {
		__sync_fetch_and_add(&rec->dir[egress].lost, lost);
		__sync_fetch_and_add(&rec->dir[egress].lost_bytes, lost_bytes);
		if (take->more.skipped) {
			__sync_fetch_and_add(&rec->dir[egress].skipped, take->more.skipped);
			__sync_fetch_and_add(&rec->dir[egress].skipped_bytes, take->more.skipped_bytes);
		}
	} else {
		count(RING_COUNT_ORPHAN_LOST, lost);
		count(RING_COUNT_ORPHAN_LOST_BYTES, lost_bytes);
	}
}

/* A raw socket gets copies of what TCP and UDP sockets receive: the packets were taken there. */
static __always_inline bool is_copy(struct bpf_sock *sk, bool egress)
{
	return !egress && sk->type == SOCK_RAW &&
	       (sk->protocol == IPPROTO_TCP || sk->protocol == IPPROTO_UDP);
}

/*
 * The recorder does not keep up: leave bytes out. What tells who speaks and how stays, a connection's first packets and
 * names asked for.
 */
static __always_inline void thin(struct __sk_buff *skb, struct take *take, struct bpf_sock *sk, __u32 level,
				 struct counts *counts)
{
	__u32 cap = RING_THIN_BYTES;

	if (level < RING_LEVEL_COUNT && take->head.cookie && take->head.seq < WHOLE_FIRST)
		return;
	if (level < RING_LEVEL_COUNT && sk && sk->protocol == IPPROTO_UDP &&
	    (sk->src_port == DNS_PORT || (__be16)sk->dst_port == bpf_htons(DNS_PORT)))
		return;
	if (level >= RING_LEVEL_HEADERS)
		cap = headers_of(skb).bytes;
	if (take->head.cap <= cap)
		return;
	take->head.cap = cap;
	__sync_fetch_and_add(&counts->n[RING_COUNT_THINNED], 1);
}

/* True: it is only counted. A packet about once a second is taken and tells how many those were. */
static __always_inline bool skip(struct __sk_buff *skb, const struct take *take, struct sock_dir *dir,
				 struct bpf_sock *sk, struct counts *counts)
{
	__u32 now = take->head.time_ns >> 30, segments = take->head.segments ? take->head.segments : 1;
	struct headers headers;
	__u64 bytes;

	/* Of a socket without a fixed peer nobody could tell whose packets they were. */
	if (!sk->dst_port || dir->shown != now) {
		dir->shown = now;
		return false;
	}
	headers = headers_of(skb);
	if (headers.tcp_flags & 7)	/* FIN, SYN, RST */
		return false;
	bytes = take->head.len + (__u64)(segments - 1) * headers.bytes;
	__sync_fetch_and_add(&dir->skipped, segments);
	__sync_fetch_and_add(&dir->skipped_bytes, bytes);
	__sync_fetch_and_add(&counts->n[RING_COUNT_SKIPPED], segments);
	__sync_fetch_and_add(&counts->n[RING_COUNT_SKIPPED_BYTES], bytes);
	return true;
}

static __always_inline int take_packet(struct __sk_buff *skb, bool egress)
{
	struct bpf_sock *sk = skb->sk;
	struct sock_rec *rec = NULL;
	struct take take = { 0 };
	struct counts *counts;
	bool second = false;
	__u32 level;
	int cause;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (sk && is_copy(sk, egress))
		return PASS;
	take.head.time_ns = bpf_ktime_get_ns();
	take.head.kind = RING_PACKET;
	take.head.flags = egress ? RING_EGRESS : 0;
	take.head.len = skb->len;
	take.head.cap = take.head.len < config.snaplen ? take.head.len : config.snaplen;
	/* Some drivers leave the count of a merged packet to whoever needs it. */
	take.head.segments = skb->gso_segs;
	if (!take.head.segments && skb->gso_size)
		take.head.segments = (take.head.len + skb->gso_size - 1) / skb->gso_size;
	counts = counts_get();
	if (!counts)
		return PASS;
	__sync_fetch_and_add(&counts->n[RING_COUNT_SEEN], 1);
	__sync_fetch_and_add(&counts->n[RING_COUNT_SEEN_BYTES], take.head.len);

	level = control_get(RING_CONTROL_LEVEL);
	if (sk)
		rec = rec_of(sk);
	if (rec) {
		take.head.cookie = bpf_get_socket_cookie(skb);
		if (!meet_socket(skb, rec, sk, &take, egress)) {
			__sync_fetch_and_add(&counts->n[RING_COUNT_EXCLUDED], 1);
			return PASS;
		}
		second = rec_second(rec);
		if (second) {
			__u32 headers = headers_of(skb).bytes;

			take.head.flags |= RING_SECOND;
			if (headers < take.head.cap)
				take.head.cap = headers;
			__sync_fetch_and_add(&counts->n[RING_COUNT_SECOND], 1);
		}
		take.head.seq = __sync_fetch_and_add(&rec->dir[egress].seq, 1);
		if ((level >= RING_LEVEL_COUNT || (second && config.second == RING_SECOND_COUNT)) &&
		    skip(skb, &take, &rec->dir[egress], sk, counts))
			return PASS;
		if (rec->dir[egress].skipped) {
			take.more.skipped = __sync_lock_test_and_set(&rec->dir[egress].skipped, 0);
			take.more.skipped_bytes = __sync_lock_test_and_set(&rec->dir[egress].skipped_bytes, 0);
			take.head.flags |= RING_HAS_MORE;
		}
		if (rec->dir[egress].lost) {
			take.head.lost = __sync_lock_test_and_set(&rec->dir[egress].lost, 0);
			take.head.lost_bytes = __sync_lock_test_and_set(&rec->dir[egress].lost_bytes, 0);
		}
	} else {
		take.head.netns = netns_of_skb(skb);
		__sync_fetch_and_add(&counts->n[RING_COUNT_SOCKETLESS], 1);
	}
	if (level)
		thin(skb, &take, sk, level, counts);
	cause = put_sized(skb, &take);
	if (cause >= 0) {
		bool ended = sk && sk->protocol == IPPROTO_TCP && sk->state == BPF_TCP_CLOSE;

		lose(ended ? NULL : rec, &take, egress, cause);
	}
	return PASS;
}

SEC("cgroup_skb/ingress")
int packets_in(struct __sk_buff *skb)
{
	return take_packet(skb, false);
}

SEC("cgroup_skb/egress")
int packets_out(struct __sk_buff *skb)
{
	return take_packet(skb, true);
}
