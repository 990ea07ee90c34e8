/*
 * The TCP health of one connection, from its packets. No clock. A plain value,
 * but for what few connections need: that comes out of a pool.
 * dir 0 is tx (from the connection's source), 1 is rx.
 *
 * The rules are tshark's (tcp.analysis.*), so that both tell the same story of
 * the same capture; where they differ, tcp.c says why.
 */
#ifndef WIRE_TCP_H
#define WIRE_TCP_H

#include "wire/decode.h"

/* What one segment was: bits, for one packet. */
enum {
	TCP_SEG_RETRANSMIT = 1, TCP_SEG_OUT_OF_ORDER = 2, TCP_SEG_DUP_ACK = 4, TCP_SEG_ZERO_WINDOW = 8,
	TCP_SEG_KEEPALIVE = 16, TCP_SEG_GAP_BEFORE = 32, TCP_SEG_NEW_DATA = 64,
	TCP_SEG_FAST = 128,		/* with RETRANSMIT: answers at least two duplicate ACKs */
	TCP_SEG_WINDOW_PROBE = 256,	/* into a zero window: the next byte, or none at all (Linux) */
	TCP_SEG_WINDOW_FULL = 512,	/* up to the edge of the window the other side advertised */
	TCP_SEG_UNSEEN_ACK = 1024,	/* acknowledges bytes that were never captured */
	/* with RETRANSMIT, why; none: neither explains it (a tail loss probe, a frame captured twice) */
	TCP_SEG_SPURIOUS = 2048,	/* the receiver had acknowledged it before */
	TCP_SEG_BY_ACKS = 4096,		/* duplicate or selective ACKs asked for it, or for what was lost with it */
	TCP_SEG_BY_TIMER = 8192,	/* nothing had been sent for a retransmission timeout, or it follows such a one */
};

/* When the first RST came. As SYM(RESET, ...) of schema/enums.def. */
enum tcp_phase { TCP_PHASE_NONE, TCP_PHASE_REFUSED, TCP_PHASE_HANDSHAKE, TCP_PHASE_IDLE, TCP_PHASE_DATA,
		 TCP_PHASE_CLOSING, TCP_PHASE_STRAY };

/* Holes remembered per direction; beyond them the oldest counts as missing for good. */
#define TCP_HOLES_MAX 8

/* Sequence numbers [from, to) that were passed over and not seen so far. */
struct tcp_hole {
	uint32_t from, to;
	bool acked;		/* the receiver has them all: it is the capture that lacks them */
};

/* Of a direction, what most connections never need: kept apart from the first event of its kind on. */
struct tcp_trouble {
	struct tcp_trouble *next_free;
	struct tcp_hole holes[TCP_HOLES_MAX];	/* ascending */
	uint8_t hole_count;
	uint8_t recovery;		/* an episode of retransmission, below recover_seq: enum recovery of tcp.c */
	uint32_t recover_seq;
	uint32_t dup_ack_run;		/* duplicates of last_ack in a row */
	uint32_t unseen_ack;		/* highest one told as TCP_SEG_UNSEEN_ACK */
	uint64_t last_ack_ns;		/* valid while dup_ack_run is not 0 */
	/* counters since the last tcp_conn_reported() */
	uint32_t retransmits, out_of_order, dup_acks, zero_windows, keepalives;
	uint32_t retransmits_by_acks, retransmits_by_timer, retransmits_spurious;	/* of the retransmits */
	uint32_t window_fulls, window_probes, gaps, unseen_acks;
	uint64_t retransmit_bytes;	/* payload of retransmits */
	uint64_t missing_bytes;		/* holes never filled so far; one filled after its report stays reported */
	uint64_t uncaptured_bytes;	/* of them, those that their receiver acknowledged */
};

struct tcp_dir {
	uint32_t next_seq;		/* highest sequence number seen + 1 */
	uint32_t last_ack;
	uint32_t window_bytes;		/* scaled, as far as the scale is known */
	uint16_t last_window;		/* as in the header */
	uint16_t last_bits;		/* TCP_SEG_... of the last segment */
	bool seen;			/* a segment of this direction was seen (RST does not count) */
	bool isn_known;			/* its SYN was seen: isn is exact */
	bool ack_known;			/* last_ack is valid */
	bool fin_seen, fin_acked;
	bool probing;			/* the byte at next_seq was sent as a zero-window probe */
	bool sacked;			/* its last ACK was selective too */
	uint8_t wscale;			/* shift + 1; 0 = none or unknown */
	struct tcp_trouble *trouble;	/* NULL: none so far; read it by tcp_trouble() */
	uint64_t sent_ns;		/* last segment with sequence numbers */
	uint64_t next_seq_ns;		/* when next_seq was reached */
	/* one outstanding RTT sample: data seq -> ACK; Karn: void when retransmitted */
	uint64_t rtt_sent_ns;
	uint32_t rtt_seq;
	uint32_t isn;			/* sequence number of the SYN; first byte is isn + 1 */
	uint32_t first_seq;		/* lowest sequence number seen */
	uint32_t fin_end;		/* sequence number behind the FIN */
	/* counters since the last tcp_conn_reported() */
	uint64_t goodput_bytes;		/* payload, each sequence number once */
	uint64_t window_sum_bytes;
	uint32_t window_samples;	/* windows advertised, where the scale is known */
	uint32_t in_flight_max_bytes;	/* sent and not acknowledged */
	uint32_t resets;
	uint16_t fins;			/* as many as fit */
	uint16_t mss;			/* 0 = unknown */
};

/* Memory for the troubles of the connections of one thread. */
struct tcp_pool;
struct tcp_pool *tcp_pool_new(void);		/* NULL: out of memory */
void tcp_pool_free(struct tcp_pool *pool);	/* and with it all that its connections have; takes NULL */
/* How often something was not counted, because memory was out. */
uint64_t tcp_pool_refused(const struct tcp_pool *pool);
/* Of one direction; all zero where there was none. Never NULL. */
const struct tcp_trouble *tcp_trouble(const struct tcp_dir *dir);

struct tcp_conn {
	struct tcp_dir dir[2];
	struct tcp_pool *pool;
	uint8_t completeness;		/* 1 SYN 2 SYN-ACK 4 ACK (only after a SYN-ACK) 8 data 16 FIN 32 RST */
	uint8_t synack_dir;		/* who sent the SYN-ACK, valid with completeness & 2 */
	/*
	 * Whose data is timed to its ACK: bit 1 << dir. Both by default, which is right between
	 * the ends; on an end only its own data measures the network, the other's its own delay.
	 */
	uint8_t rtt_dirs;
	bool ambiguous;			/* SYN or SYN-ACK sent again */
	bool closed_rst;
	bool scale_known;		/* the handshake told how windows are scaled */
	bool half_open;			/* a side that had not closed answered with a RST: it knew of no connection */
	uint8_t reset_phase, reset_dir;	/* of the first RST */
	uint64_t syn_ns, synack_ns, ack_ns;		/* first of each; 0 = not seen */
	uint64_t last_syn_ns;				/* last SYN before the ACK */
	uint64_t first_payload_ns, first_response_ns;	/* 0 = not seen; response: from dir 1 */
	/* round trips, data to ACK, since the last tcp_conn_reported() */
	uint32_t rtt_samples;
	uint64_t rtt_min_ns, rtt_max_ns, rtt_sum_ns;
	double rtt_sum_squares;		/* ns squared */
};

void tcp_conn_init(struct tcp_conn *conn, struct tcp_pool *pool);
/* Give back what it has of the pool. */
void tcp_conn_release(struct tcp_conn *conn);
/* Account for one segment; returns TCP_SEG_ bits. packet->has_tcp must hold. */
unsigned tcp_conn_packet(struct tcp_conn *conn, unsigned dir, const struct packet *packet);
/* True when packet is a SYN that begins a new connection on the old one's ports. */
bool tcp_conn_reuses(const struct tcp_conn *conn, unsigned dir, const struct packet *packet);
/* Both FINs acknowledged, or a reset. */
bool tcp_conn_over(const struct tcp_conn *conn);
/* One side's FIN was seen, and the other's was not. */
bool tcp_conn_half_closed(const struct tcp_conn *conn);
/* Of direction d, what was acknowledged beyond the last byte captured. */
uint32_t tcp_conn_tail_bytes(const struct tcp_conn *conn, unsigned d);
/* Set the counters back to zero after they have been reported; state stays. */
void tcp_conn_reported(struct tcp_conn *conn);

#endif
