/*
 * Frame headers told by the frames before them: link, IP, TCP and UDP headers
 * are taken apart, each field is predicted from the state of the flow, and only
 * what differs is written, by kind, into streams. What is no such header stays
 * with the payload. FORMAT.md, "Packet block, version 2".
 *
 * A coder runs over the records of one block in their order, the same way when
 * writing and when reading. No I/O, no allocation.
 */
#ifndef STORE_PACKET_HEADER_H
#define STORE_PACKET_HEADER_H

#include "base/rd.h"
#include "base/wr.h"
#include "store/packet_block.h"

#define HEADER_BYTES_MAX 192u	/* of one frame, as far as it is treated as header */
#define HEADER_LINK_MAX 32u	/* of the link header; longer ones stay plain */
#define HEADER_STREAM_BYTES_MAX 192u	/* that a record can add to any one stream, at most */

enum header_stream {	/* stored: their order */
	HS_MASK,	/* what differs */
	HS_TIME, HS_NUMBER, HS_LEN,
	HS_SEQ, HS_ACK, HS_WINDOW, HS_STAMP, HS_ECHO, HS_ID, HS_SUM,
	HS_CHANGED,	/* which of those that rarely change within a flow did */
	HS_STATIC,	/* their values */
	HEADER_STREAMS
};

struct header_side {	/* one direction */
	bool ever, seen, tcp, stamped;	/* in this block; in this flow */
	uint8_t kind, link_len, tos, ttl, proto, reserved, opts_len, stamp_at;
	uint8_t flags[2];	/* without and with data */
	uint8_t sum_mode, ip_sum_mode;
	uint16_t frag, sport, dport, window, urgent, short_len, id, id_step;
	uint32_t label, seq_end, ack, stamp, echo;
	int64_t phase_low, phase_high;	/* of the sender's clock of milliseconds, in microseconds */
	unsigned clock_score, hold_score;
	uint8_t link[HEADER_LINK_MAX], src[16], dst[16], opts[40];
};

struct header_coder {
	uint64_t time_min, number_min;
	uint64_t time_scale;	/* 1, or 1000 where every time is whole microseconds */
	bool begun;
	uint64_t flow_id, time_ns, number;	/* of the record before */
	uint8_t dir;
	struct header_side sides[2];
};

struct header_sums {	/* the transport checksum of a frame, and how it is made */
	uint16_t ip_at;	/* offset of the IP header */
	uint8_t kind, mode;
};

void header_coder_init(struct header_coder *coder, uint64_t time_min, uint64_t number_min, uint64_t time_scale);
/*
 * Append a record, whose frame.at is its bytes and dir 0 or 1. Returns how many bytes of the frame its
 * header has: the rest is payload, and somebody else's. Each stream has room for HEADER_STREAM_BYTES_MAX
 * bytes more (wr_reserve): there is no look at it with every field.
 */
size_t header_encode(struct header_coder *coder, const struct packet_rec *rec, struct wr streams[HEADER_STREAMS],
		     struct header_sums *ret_sums);
/*
 * The next record. In: flow_id, link, and orig_len = what the wire had beyond the capture. Out: time_ns,
 * number, dir, orig_len, frame.len, and the header's bytes with no checksum of TCP or UDP yet. What lies
 * behind those in header[] is of no meaning.
 * E_CORRUPT: a stream cannot be; the coder is of no use then. One that was too short is bad in the end.
 */
int header_decode(struct header_coder *coder, struct rd streams[HEADER_STREAMS], struct packet_rec *rec,
		  uint8_t header[HEADER_BYTES_MAX], size_t *ret_header_len, struct header_sums *ret_sums,
		  struct err *err);
/* With all bytes of the frame there, fill in its transport checksum. E_CORRUPT: the frame is too short. */
int header_sums_fill(const struct header_sums *sums, uint8_t *frame, size_t len, struct err *err);
/* Whether a frame that was encoded has the header that was decoded, its checksum made as `sums` says. */
bool header_same(const struct packet_rec *rec, const struct header_sums *sums, uint8_t header[HEADER_BYTES_MAX],
		 size_t header_len, const struct header_sums *decoded);

#endif
