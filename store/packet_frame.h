/*
 * The headers of one frame: where its link, IP, TCP and UDP headers are, what
 * they hold, and how their checksums come about. Knows no flow and no state;
 * packet_header.c predicts one frame's fields from those before.
 */
#ifndef STORE_PACKET_FRAME_H
#define STORE_PACKET_FRAME_H

#include "store/packet_block.h"

enum frame_kind { KIND_PLAIN, KIND_IP4, KIND_IP4_TCP, KIND_IP4_UDP, KIND_IP6, KIND_IP6_TCP, KIND_IP6_UDP, KINDS };	/* stored */

/* How a checksum is told. Offload leaves the sum of the pseudo header alone, or nothing. */
enum sum_mode { SUM_RIGHT, SUM_ZERO, SUM_PARTIAL, SUM_RAW, SUM_MODES };	/* stored */

struct frame_header {
	uint8_t kind, link_len, tos, ttl, proto, flags, reserved, opts_len;
	uint16_t ip_len, id, frag, sport, dport, window, urgent, udp_len;
	uint16_t ip_sum, sum;		/* in the order of the wire */
	uint32_t label, seq, ack;
	const uint8_t *link, *src, *dst, *opts;
	size_t ip_at, len;
};

static inline bool kind_is_ip4(unsigned kind)
{
	return kind >= KIND_IP4 && kind <= KIND_IP4_UDP;
}

static inline bool kind_is_tcp(unsigned kind)
{
	return kind == KIND_IP4_TCP || kind == KIND_IP6_TCP;
}

static inline bool kind_is_udp(unsigned kind)
{
	return kind == KIND_IP4_UDP || kind == KIND_IP6_UDP;
}

static inline bool kind_has_sum(unsigned kind)
{
	return kind_is_tcp(kind) || kind_is_udp(kind);
}

static inline size_t kind_ip_bytes(unsigned kind)
{
	return kind == KIND_PLAIN ? 0 : kind_is_ip4(kind) ? 20 : 40;
}

static inline uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t be32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint16_t raw16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline void put_be16(uint8_t *at, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(at, &v, sizeof(v));
}

static inline void put_be32(uint8_t *at, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(at, &v, sizeof(v));
}

static inline size_t kind_sum_at(unsigned kind)	/* from the transport header */
{
	return kind_is_tcp(kind) ? 16 : 6;
}

/* Fills in what it finds; KIND_PLAIN and no length when it knows none of it. Borrows the frame. */
void frame_header_parse(const struct packet_rec *rec, struct frame_header *ret_header);
/* Of 20 bytes, the field itself left out; in the order of the wire. */
uint16_t frame_ip4_sum(const uint8_t *ip);
/*
 * What mode (not SUM_RAW) makes of the checksum of TCP or UDP, in the order of the wire, the field itself left
 * out; false when the frame is too short for it. Its headers of that kind are all there.
 */
bool frame_sum_make(unsigned kind, unsigned mode, const uint8_t *frame, size_t ip_at, size_t len, uint16_t *ret_sum);

#endif
