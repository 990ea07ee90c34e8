/*
 * What a capture source delivers: frames, and facts about sockets and
 * processes, in time order per source. Files, pipes and the kernel's rings
 * meet here; everything after is shared.
 */
#ifndef INGEST_SOURCE_H
#define INGEST_SOURCE_H

#include "base/ip.h"
#include "base/view.h"

/* Where a frame was taken. */
enum frame_at {
	FRAME_WIRE,		/* between the ends */
	FRAME_EGRESS,		/* leaving the observed local socket */
	FRAME_INGRESS,		/* arriving at the observed local socket */
};

/* Interface numbers of a live source: an export can leave out the frames that are there a second time. */
enum { LIVE_IFACE_FIRST = 0, LIVE_IFACE_SECOND = 1 };

/* One frame; bytes are valid during the call that hands it over. */
struct frame {
	uint64_t time_ns;	/* 1970 UTC */
	struct view bytes;	/* as captured */
	uint32_t orig_len;	/* on the wire */
	uint32_t iface;		/* interface number within the source */
	uint16_t link;		/* LINKTYPE_ */
	uint16_t segments;	/* wire packets in a GSO/GRO super-packet; 1 else */
	enum frame_at at;
	/* live only, 0 else */
	uint64_t cookie;	/* of the observed socket; the listener's during a handshake */
	uint32_t netns;		/* inode of its network namespace */
	bool second;		/* cut to its headers: the payload is in the frames of the other end, on this machine too */
	/* the frames of this socket and direction that were lost just before this one */
	uint32_t lost_before;
	uint32_t lost_before_bytes;
	/* wire packets of this socket and direction that were only counted since the frame before, and their bytes */
	uint32_t skipped_before;
	uint64_t skipped_before_bytes;
	/* the socket's own view of the addresses, where translation made it differ from the header */
	bool has_sk_tuple;
	struct ip sk_local, sk_remote;
	uint16_t sk_lport, sk_rport;
};

/* Who owns a socket, as the kernel knew it. Identity of a process is (pid, start). */
struct sock_owner {
	uint32_t pid;		/* thread group id in the host's namespace; 0 = unknown */
	uint32_t uid;
	uint64_t pid_start_ns;	/* 1970 UTC */
	uint64_t cgroup;	/* cgroup v2 id */
	uint32_t netns;
	char comm[16];		/* NUL-terminated */
};

enum sock_event_kind {
	SOCK_OPEN,		/* connected, accepted, or first seen: owner and addresses are valid. Comes with the
				 * first packet; remote is 0 for a socket without a fixed peer, owner.pid 0 if unknown */
	SOCK_OWNER,		/* the owner is known now, or is another */
	SOCK_CONNECT_FAILED,	/* value: errno, 0 when the process gave up; no SOCK_CLOSE follows */
	SOCK_CLOSE,		/* tcp totals are valid when has_tcp */
	SOCK_RETRANSMIT,	/* the kernel sent a segment again; reason: class, value: segments, value2: bytes.
				 * total_retrans counts them all. Of a SYN-ACK: the listener's cookie, the
				 * connection's addresses, total_retrans 0 */
	SOCK_RESET_SENT,	/* cookie 0 when nobody listened */
	SOCK_RESET_RECEIVED,
	PROC_EXEC, PROC_EXIT,	/* owner names the process; PROC_EXIT: value is the wait status */
	SOURCE_LOST,		/* value frames were lost that no frame's lost_before tells: the last ones of
				 * the socket cookie, or of no known socket (0); reason: enum source_lost */
};

enum source_lost {
	SOURCE_LOST_OTHER, SOURCE_LOST_RING_FULL, SOURCE_LOST_COPY_FAILED,
	SOURCE_LOST_SKIPPED,	/* not lost but left out on purpose: counted, and known by number only */
	/*
	 * Not frames but events like these, value of them, of nobody knows whose, in the value2 ns before time_ns: there was
	 * no room for them; the kernel passed over the program that tells them, which was at work on that processor.
	 */
	SOURCE_LOST_EVENTS, SOURCE_LOST_PASSED_OVER,
};

enum retransmit_class { RETRANSMIT_OTHER, RETRANSMIT_FAST, RETRANSMIT_TIMEOUT, RETRANSMIT_TLP, RETRANSMIT_SYN };

struct sock_event {
	uint64_t time_ns;
	enum sock_event_kind kind;
	uint64_t cookie;
	uint8_t proto;		/* IP protocol */
	bool accepted;		/* SOCK_OPEN: the passive side */
	bool existing;		/* SOCK_OPEN: it was open before the recorder */
	bool has_tuple;
	struct ip local, remote;
	uint16_t lport, rport;
	struct sock_owner owner;
	uint32_t reason;	/* enum retransmit_class, or a source's own cause number */
	uint64_t value;
	uint64_t value2;	/* SOURCE_LOST: bytes, or as enum source_lost says */
	bool has_tcp;
	uint64_t bytes_acked, bytes_received;
	uint32_t total_retrans;	/* segments the socket has ever sent again; its handshake's too */
	uint32_t srtt_us, mdev_us, min_rtt_us;
	/* SOCK_CLOSE: packets that were only counted and that no frame's skipped_before tells; ingress, egress */
	uint32_t skipped[2];
	uint64_t skipped_bytes[2];
};

struct source_sink {
	void (*frame)(void *arg, const struct frame *frame);
	void (*sock)(void *arg, const struct sock_event *event);	/* may be NULL for files */
	void *arg;
};

#endif
