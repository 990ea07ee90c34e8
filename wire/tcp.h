/*
 * The TCP health of one connection, from its packets. A plain value: no
 * allocation, no clock. dir 0 is tx (from the connection's source), 1 is rx.
 */
#ifndef WIRE_TCP_H
#define WIRE_TCP_H

#include "wire/decode.h"

/* What one segment was: bits, for one packet. */
enum {
	TCP_SEG_RETRANSMIT = 1, TCP_SEG_OUT_OF_ORDER = 2, TCP_SEG_DUP_ACK = 4, TCP_SEG_ZERO_WINDOW = 8,
	TCP_SEG_KEEPALIVE = 16, TCP_SEG_GAP_BEFORE = 32, TCP_SEG_NEW_DATA = 64,
};

struct tcp_dir {
	bool seen;			/* a segment of this direction was seen */
	bool isn_known;			/* its SYN was seen: isn is exact */
	uint32_t isn;			/* sequence number of the SYN; first byte is isn + 1 */
	uint32_t next_seq;		/* highest sequence number seen + 1 */
	uint32_t last_ack;
	uint16_t last_window;
	uint8_t wscale;			/* shift + 1; 0 = none or unknown */
	uint16_t mss;			/* 0 = unknown */
	uint64_t next_seq_ns;		/* when next_seq was reached */
	/* counters since the last tcp_conn_report() */
	uint32_t retransmits, out_of_order, dup_acks, zero_windows, resets, fins, keepalives;
	uint64_t goodput_bytes;		/* payload, each sequence number once */
	uint64_t missing_bytes;		/* holes never filled so far */
	/* one outstanding RTT sample: data seq -> ACK; Karn: void when retransmitted */
	uint32_t rtt_seq;
	uint64_t rtt_sent_ns;
};

struct tcp_conn {
	struct tcp_dir dir[2];
	uint8_t completeness;		/* 1 SYN 2 SYN-ACK 4 ACK 8 data 16 FIN 32 RST */
	bool ambiguous;			/* SYN or SYN-ACK sent again */
	bool closed_rst;
	uint64_t syn_ns, synack_ns, ack_ns;		/* 0 = not seen */
	uint64_t first_payload_ns, first_response_ns;	/* 0 = not seen */
	uint32_t rtt_samples;
	uint64_t rtt_min_ns, rtt_max_ns, rtt_sum_ns;
	double rtt_sum_squares;
};

void tcp_conn_init(struct tcp_conn *conn);
/* Account for one segment; returns TCP_SEG_ bits. packet->has_tcp must hold. */
unsigned tcp_conn_packet(struct tcp_conn *conn, unsigned dir, const struct packet *packet);
/* True when packet is a SYN that begins a new connection on the old one's ports. */
bool tcp_conn_reuses(const struct tcp_conn *conn, unsigned dir, const struct packet *packet);
/* Both FINs acknowledged, or a reset. */
bool tcp_conn_over(const struct tcp_conn *conn);
/* Set the counters back to zero after they have been reported; state stays. */
void tcp_conn_reported(struct tcp_conn *conn);

#endif
