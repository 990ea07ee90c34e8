#include "store/packet_frame.h"

/* ---- checksums (RFC 1071: any order of bytes will do, so the machine's) ---- */

#define LANES 4
typedef uint64_t lanes __attribute__((vector_size(LANES * sizeof(uint64_t))));

/* Halves apart: no carry is lost. Inlined into functions for several instruction sets. */
static inline __attribute__((always_inline)) uint64_t sum_lanes(const uint8_t *at, size_t blocks)
{
	lanes low = { 0 }, high = { 0 };

	for (size_t i = 0; i < blocks; i++) {
		lanes v;

		memcpy(&v, at + i * sizeof(v), sizeof(v));
		low += v & UINT32_MAX;
		high += v >> 32;
	}
	low += high;
	return low[0] + low[1] + low[2] + low[3];
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *at, size_t blocks)
{
	return sum_lanes(at, blocks);
}
#endif

static uint64_t sum_blocks(const uint8_t *at, size_t blocks)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return sum_avx2(at, blocks);
#endif
	return sum_lanes(at, blocks);
}

static uint64_t sum_add(uint64_t sum, const uint8_t *at, size_t len)
{
	size_t blocks = len / sizeof(lanes), i = blocks * sizeof(lanes);
	uint32_t word;

	if (blocks)
		sum += sum_blocks(at, blocks);
	for (; i + 4 <= len; i += 4) {
		memcpy(&word, at + i, 4);
		sum += word;
	}
	word = 0;
	if (len - i)
		memcpy(&word, at + i, len - i);
	return sum + word;
}

static uint16_t sum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 16) + (uint16_t)sum;
	sum = (sum >> 16) + (uint16_t)sum;
	return (uint16_t)((sum >> 16) + (uint16_t)sum);
}

/* Loads as wide as the stores of who makes such a header, or the processor waits for those. */
uint16_t frame_ip4_sum(const uint8_t *ip)
{
	uint64_t sum = 0;
	uint32_t src, dst;

	for (unsigned i = 0; i < 10; i += 2)
		sum += raw16(ip + i);
	memcpy(&src, ip + 12, sizeof(src));
	memcpy(&dst, ip + 16, sizeof(dst));
	return (uint16_t)~sum_fold(sum + src + dst);
}

/* Bytes of the transport segment by the IP header; the capture's where that says none (a super-packet). */
static size_t transport_len(unsigned kind, const uint8_t *ip, size_t captured)
{
	size_t total = be16(ip + (kind_is_ip4(kind) ? 2 : 4));

	if (total == 0)
		return captured;
	if (!kind_is_ip4(kind))
		return total;
	return total > 20 ? total - 20 : 0;
}

/* Sums are of 16 bits, in whatever order: a number as it lies on the wire is its two halves. */
static uint64_t pseudo_sum(unsigned kind, const uint8_t *ip, size_t len)
{
	uint64_t sum = (uint64_t)__builtin_bswap16((uint16_t)(len >> 16)) + __builtin_bswap16((uint16_t)len) +
		       __builtin_bswap16(kind_is_tcp(kind) ? 6 : 17);
	uint32_t src, dst;

	if (!kind_is_ip4(kind))
		return sum_add(sum, ip + 8, 32);
	memcpy(&src, ip + 12, sizeof(src));
	memcpy(&dst, ip + 16, sizeof(dst));
	return sum + src + dst;
}

bool frame_sum_make(unsigned kind, unsigned mode, const uint8_t *frame, size_t ip_at, size_t len, uint16_t *ret_sum)
{
	const uint8_t *ip = frame + ip_at, *segment = ip + kind_ip_bytes(kind);
	size_t captured = len - ip_at - kind_ip_bytes(kind), sum_at = kind_sum_at(kind);
	size_t segment_len = transport_len(kind, ip, captured);
	uint64_t sum;

	if (mode == SUM_ZERO) {
		*ret_sum = 0;
		return true;
	}
	sum = pseudo_sum(kind, ip, segment_len);
	if (mode == SUM_PARTIAL) {
		*ret_sum = sum_fold(sum);
		return true;
	}
	if (segment_len > captured || segment_len < sum_at + 2)
		return false;
	/* The field went in as half of a word of four bytes: it is taken out again as what it was there. */
	sum = sum_add(sum, segment, segment_len) - ((uint64_t)raw16(segment + sum_at) << sum_at % 4 * 8);
	*ret_sum = (uint16_t)~sum_fold(sum);
	if (*ret_sum == 0 && kind_is_udp(kind))	/* RFC 768: 0 says there is none */
		*ret_sum = 0xffff;
	return true;
}

/* ---- taking a frame apart ---- */

static bool link_find(uint16_t link, struct view frame, size_t *ret_len)
{
	size_t len = 14;
	uint16_t type;

	switch (link) {
	case 1:		/* Ethernet, with VLAN tags */
		if (frame.len < len)
			return false;
		type = be16(frame.at + 12);
		while ((type == 0x8100 || type == 0x88a8 || type == 0x9100) && len < 26 && frame.len >= len + 4) {
			type = be16(frame.at + len + 2);
			len += 4;
		}
		*ret_len = len;
		return type == 0x0800 || type == 0x86dd;
	case 0:		/* BSD loopback */
	case 108:
		*ret_len = 4;
		return true;
	case 12:	/* raw IP */
	case 14:
	case 101:
	case 228:
	case 229:
		*ret_len = 0;
		return true;
	case 113:	/* Linux cooked */
		*ret_len = 16;
		return frame.len >= 16 && (be16(frame.at + 14) == 0x0800 || be16(frame.at + 14) == 0x86dd);
	case 276:
		*ret_len = 20;
		return frame.len >= 20 && (be16(frame.at) == 0x0800 || be16(frame.at) == 0x86dd);
	}
	return false;
}

static void transport_parse(struct frame_header *h, struct view frame, unsigned tcp, unsigned udp)
{
	const uint8_t *at = frame.at + h->len;
	size_t left = frame.len - h->len;

	if (h->proto == 6 && left >= 20 && at[12] >> 4 >= 5 && left >= (size_t)(at[12] >> 4) * 4) {
		h->kind = (uint8_t)tcp;
		h->seq = be32(at + 4);
		h->ack = be32(at + 8);
		h->opts_len = (uint8_t)((at[12] >> 4) * 4 - 20);
		h->reserved = at[12] & 15;
		h->flags = at[13];
		h->window = be16(at + 14);
		h->sum = raw16(at + 16);
		h->urgent = be16(at + 18);
		h->opts = at + 20;
		h->len += 20u + h->opts_len;
	} else if (h->proto == 17 && left >= 8) {
		h->kind = (uint8_t)udp;
		h->udp_len = be16(at + 4);
		h->sum = raw16(at + 6);
		h->len += 8;
	} else {
		return;
	}
	h->sport = be16(at);
	h->dport = be16(at + 2);
}

void frame_header_parse(const struct packet_rec *rec, struct frame_header *h)
{
	struct view frame = rec->frame;
	const uint8_t *ip;
	size_t link_len;

	h->kind = KIND_PLAIN;
	h->len = 0;
	if (!link_find(rec->link, frame, &link_len) || frame.len < link_len + 20)
		return;
	ip = frame.at + link_len;
	h->link = frame.at;
	h->link_len = (uint8_t)link_len;
	h->ip_at = link_len;
	if (ip[0] == 0x45) {
		h->kind = KIND_IP4;
		h->len = link_len + 20;
		h->tos = ip[1];
		h->ip_len = be16(ip + 2);
		h->id = be16(ip + 4);
		h->frag = be16(ip + 6);
		h->ttl = ip[8];
		h->proto = ip[9];
		h->ip_sum = raw16(ip + 10);
		h->src = ip + 12;
		h->dst = ip + 16;
		if ((h->frag & 0x1fff) == 0)
			transport_parse(h, frame, KIND_IP4_TCP, KIND_IP4_UDP);
	} else if (ip[0] >> 4 == 6 && frame.len >= link_len + 40) {
		h->kind = KIND_IP6;
		h->len = link_len + 40;
		h->tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
		h->label = be32(ip) & 0xfffff;
		h->ip_len = be16(ip + 4);
		h->proto = ip[6];
		h->ttl = ip[7];
		h->src = ip + 8;
		h->dst = ip + 24;
		transport_parse(h, frame, KIND_IP6_TCP, KIND_IP6_UDP);
	}
}
