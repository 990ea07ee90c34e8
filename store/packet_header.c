#include "store/packet_header.h"

#include "store/packet_frame.h"

/* The mask of a record; the bits that are often set take one byte of a varint. */
enum {
	M_DIR = 1 << 0,		/* the other direction than the record before */
	M_DATA = 1 << 1,	/* bytes behind the header: their number in HS_LEN */
	M_FLAGS = 1 << 2,
	M_ACK = 1 << 3,
	M_WINDOW = 1 << 4,
	M_STAMP = 1 << 5,
	M_ECHO = 1 << 6,
	M_SEQ = 1 << 7,
	M_ID = 1 << 8,
	M_SUM = 1 << 9,		/* another mode of checksum */
	M_STATIC = 1 << 10,	/* a mask of its own in HS_STATIC */
	M_BACK = 1 << 11,	/* time ran backwards */
	M_ALL = (1 << 12) - 1,
};
enum {
	S_KIND = 1 << 0,
	S_LINK = 1 << 1,
	S_TOS = 1 << 2,
	S_TTL = 1 << 3,
	S_PROTO = 1 << 4,
	S_FRAG = 1 << 5,
	S_LABEL = 1 << 6,
	S_SRC = 1 << 7,
	S_DST = 1 << 8,
	S_SPORT = 1 << 9,
	S_DPORT = 1 << 10,
	S_OPTS = 1 << 11,
	S_URGENT = 1 << 12,
	S_RESERVED = 1 << 13,
	S_IP_SUM = 1 << 14,
	S_UDP_LEN = 1 << 15,
	S_IP_LEN = 1 << 16,
	S_ALL = (1 << 17) - 1,
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define SHORT_FRAME 60u		/* Ethernet pads to that: the IP length is not the frame's */

static const struct header_sums sums_none = { 0, KIND_PLAIN, SUM_RAW };

/* Most are one byte. */
static inline uint64_t short_varint(struct rd *rd)
{
	if (rd->at < rd->end && !(*rd->at & 0x80))
		return *rd->at++;
	return rd_varint(rd);
}

/* Writers for streams that have room: the caller of header_encode has seen to it. */
static inline void put_u8(struct wr *wr, uint8_t v)
{
	wr->at[wr->len++] = v;
}

static inline void put_raw(struct wr *wr, const void *at, size_t len)
{
	memcpy(wr->at + wr->len, at, len);
	wr->len += len;
}

static inline void put_u16(struct wr *wr, uint16_t v)
{
	put_raw(wr, &v, sizeof(v));
}

static inline void put_varint(struct wr *wr, uint64_t v)
{
	while (v >= 0x80) {
		put_u8(wr, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	put_u8(wr, (uint8_t)v);
}

static inline void put_svarint(struct wr *wr, int64_t v)
{
	put_varint(wr, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

static void rd_copy(struct rd *rd, uint8_t *at, size_t len)
{
	struct view bytes = rd_bytes(rd, len);

	if (bytes.len == len && len)
		memcpy(at, bytes.at, len);
}

/* Offset of the eight bytes of a timestamps option (RFC 7323), 0 without one. */
static uint8_t stamp_find(const uint8_t *opts, size_t len)
{
	size_t at = 0;

	while (at < len && opts[at] != 0) {
		size_t step = opts[at] == 1 ? 1 : at + 1 < len ? opts[at + 1] : 0;

		if (step == 0 || step > len - at)
			return 0;
		if (opts[at] == 8 && step == 10)
			return (uint8_t)(at + 2);
		at += step;
	}
	return 0;
}

/* ---- what a flow's state says of the next header ---- */

void header_coder_init(struct header_coder *coder, uint64_t time_min, uint64_t number_min, uint64_t time_scale)
{
	memset(coder, 0, sizeof(*coder));
	coder->time_min = time_min;
	coder->number_min = number_min;
	coder->time_scale = time_scale;
}

/* The state for the record's direction. What a new flow does not tell stands as the flow before left it. */
static struct header_side *side_enter(struct header_coder *coder, uint64_t flow_id, uint16_t link, uint8_t dir)
{
	struct header_side *side = &coder->sides[dir];
	const struct header_side *other = &coder->sides[!dir];

	if (!coder->begun || coder->flow_id != flow_id) {
		for (unsigned i = 0; i < 2; i++) {
			struct header_side *s = &coder->sides[i];

			s->seen = s->tcp = s->stamped = false;
			s->seq_end = s->ack = s->stamp = s->echo = 0;
			s->clock_score = s->hold_score = 0;
		}
		coder->flow_id = flow_id;
		coder->begun = true;
	}
	if (side->seen || !other->seen)
		goto out;
	if (!side->ever) {
		*side = *other;
		side->tcp = side->stamped = false;
		side->seq_end = side->ack = side->stamp = side->echo = 0;
	}
	side->kind = other->kind;
	side->proto = other->proto;
	side->sport = other->dport;
	side->dport = other->sport;
	memcpy(side->src, other->dst, sizeof(side->src));
	memcpy(side->dst, other->src, sizeof(side->dst));
	if (link == 1 && other->link_len >= 14) {
		side->link_len = other->link_len;
		memcpy(side->link, other->link + 6, 6);
		memcpy(side->link + 6, other->link, 6);
		memcpy(side->link + 12, other->link + 12, HEADER_LINK_MAX - 12);
	}
out:
	side->ever = side->seen = true;
	return side;
}

static uint16_t ip_len_guess(const struct header_side *side, uint32_t orig_len)
{
	if (orig_len <= SHORT_FRAME && side->short_len)
		return side->short_len;
	return (uint16_t)(orig_len - side->link_len - (kind_is_ip4(side->kind) ? 0 : 40));
}

/* Bytes of a TCP segment behind its header. */
static uint32_t data_len(const struct header_side *side, uint16_t ip_len, size_t captured)
{
	uint32_t head = 20u + side->opts_len + (kind_is_ip4(side->kind) ? 20 : 0);

	return ip_len == 0 ? (uint32_t)captured : ip_len > head ? ip_len - head : 0;
}

static uint32_t seq_guess(const struct header_side *side, const struct header_side *other)
{
	return side->tcp ? side->seq_end : other->tcp ? other->ack : 0;
}

static uint32_t ack_guess(const struct header_side *side, const struct header_side *other, uint8_t flags)
{
	if (!(flags & TCP_ACK))
		return 0;
	return other->tcp ? other->seq_end : side->ack;
}

static void seq_took(struct header_side *side, uint32_t seq, uint32_t ack, uint8_t flags, uint32_t bytes)
{
	uint32_t end = seq + bytes + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);

	if (!side->tcp || (int32_t)(end - side->seq_end) > 0)
		side->seq_end = end;
	if (flags & TCP_ACK)
		side->ack = ack;
	side->tcp = true;
}

/*
 * A sender's timestamps tick in milliseconds of a clock whose offset to ours is
 * learnt within a few frames, or stand still between coarser ticks.
 */
static uint32_t stamp_by_clock(const struct header_side *side, int64_t time_us)
{
	int64_t us = time_us + side->phase_low + (side->phase_high - side->phase_low) / 2;

	return (uint32_t)((us - (us % 1000 + 1000) % 1000) / 1000);
}

static uint32_t stamp_guess(const struct header_side *side, uint64_t time_ns)
{
	if (!side->stamped)
		return 0;
	return side->clock_score >= side->hold_score ? stamp_by_clock(side, (int64_t)(time_ns / 1000)) : side->stamp;
}

static void stamp_took(struct header_side *side, uint64_t time_ns, uint32_t stamp)
{
	int64_t time_us = (int64_t)(time_ns / 1000), low = (int64_t)stamp * 1000 - time_us, high = low + 999;

	if (side->stamped) {
		side->clock_score -= side->clock_score >> 3;
		side->hold_score -= side->hold_score >> 3;
		side->clock_score += stamp_by_clock(side, time_us) == stamp ? 32 : 0;
		side->hold_score += side->stamp == stamp ? 32 : 0;
	}
	if (!side->stamped || low > side->phase_high || high < side->phase_low) {
		side->phase_low = low;
		side->phase_high = high;
	} else {
		side->phase_low = low > side->phase_low ? low : side->phase_low;
		side->phase_high = high < side->phase_high ? high : side->phase_high;
	}
	side->stamp = stamp;
	side->stamped = true;
}

static uint16_t id_guess(const struct header_side *side)
{
	return (uint16_t)(side->id + side->id_step);
}

static void id_took(struct header_side *side, uint16_t id)
{
	side->id_step = id != side->id;
	side->id = id;
}

/* ---- writing ---- */

static void put_u32(struct wr *wr, uint32_t now, uint32_t guess)
{
	put_svarint(wr, (int32_t)(now - guess));
}

static bool opts_same(const struct header_side *side, const struct frame_header *h)
{
	size_t at = side->stamp_at;

	if (side->opts_len != h->opts_len)
		return false;
	if (at == 4 && h->opts_len == 12)	/* what most senders send: two bytes of nothing, and timestamps */
		return memcmp(side->opts, h->opts, 4) == 0;
	if (at == 0)
		return h->opts_len == 0 || memcmp(side->opts, h->opts, h->opts_len) == 0;
	return memcmp(side->opts, h->opts, at) == 0 &&
	       memcmp(side->opts + at + 8, h->opts + at + 8, h->opts_len - at - 8) == 0;
}

static void opts_take(struct header_side *side, const struct frame_header *h)
{
	side->opts_len = h->opts_len;
	side->stamp_at = stamp_find(h->opts, h->opts_len);
	memcpy(side->opts, h->opts, h->opts_len);
	if (side->stamp_at)
		memset(side->opts + side->stamp_at, 0, 8);
}

static size_t addr_bytes(unsigned kind)
{
	return kind_is_ip4(kind) ? 4 : 16;
}

/* Lengths that are known when this is compiled take a load or two, and no call. */
static bool link_same(const struct header_side *side, const struct frame_header *h)
{
	if (side->link_len != h->link_len)
		return false;
	return h->link_len == 14 ? memcmp(side->link, h->link, 14) == 0 : memcmp(side->link, h->link, h->link_len) == 0;
}

static bool addr_same(const uint8_t *a, const uint8_t *b, unsigned kind)
{
	return kind_is_ip4(kind) ? memcmp(a, b, 4) == 0 : memcmp(a, b, 16) == 0;
}

/* Which of the fields that rarely change did change. The kind is the record's, the side still that of before. */
static uint32_t statics_differ(const struct header_side *side, const struct frame_header *h)
{
	uint32_t mask = side->kind != h->kind ? S_KIND : 0;

	if (h->kind == KIND_PLAIN)
		return mask;
	mask |= link_same(side, h) ? 0 : S_LINK;
	mask |= side->tos != h->tos ? S_TOS : 0;
	mask |= side->ttl != h->ttl ? S_TTL : 0;
	mask |= side->proto != h->proto ? S_PROTO : 0;
	mask |= addr_same(side->src, h->src, h->kind) ? 0 : S_SRC;
	mask |= addr_same(side->dst, h->dst, h->kind) ? 0 : S_DST;
	if (kind_is_ip4(h->kind))
		mask |= side->frag != h->frag ? S_FRAG : 0;
	else
		mask |= side->label != h->label ? S_LABEL : 0;
	if (h->kind == KIND_IP4 || h->kind == KIND_IP6)
		return mask;
	mask |= side->sport != h->sport ? S_SPORT : 0;
	mask |= side->dport != h->dport ? S_DPORT : 0;
	if (kind_is_udp(h->kind))
		return mask;
	mask |= side->urgent != h->urgent ? S_URGENT : 0;
	mask |= side->reserved != h->reserved ? S_RESERVED : 0;
	return opts_same(side, h) ? mask : mask | S_OPTS;
}

static void statics_write(struct header_side *side, const struct frame_header *h, uint32_t mask, struct wr *out)
{
	size_t addr = addr_bytes(h->kind);

	if (mask & S_KIND)
		put_u8(out, side->kind = h->kind);
	if (mask & S_LINK) {
		side->link_len = h->link_len;
		memcpy(side->link, h->link, h->link_len);
		put_u8(out, h->link_len);
		put_raw(out, h->link, h->link_len);
	}
	if (mask & S_TOS)
		put_u8(out, side->tos = h->tos);
	if (mask & S_TTL)
		put_u8(out, side->ttl = h->ttl);
	if (mask & S_PROTO)
		put_u8(out, side->proto = h->proto);
	if (mask & S_FRAG)
		put_u16(out, side->frag = h->frag);
	if (mask & S_LABEL) {
		side->label = h->label;
		put_raw(out, &h->label, sizeof(h->label));
	}
	if (mask & S_SRC) {
		memcpy(side->src, h->src, addr);
		put_raw(out, h->src, addr);
	}
	if (mask & S_DST) {
		memcpy(side->dst, h->dst, addr);
		put_raw(out, h->dst, addr);
	}
	if (mask & S_SPORT)
		put_u16(out, side->sport = h->sport);
	if (mask & S_DPORT)
		put_u16(out, side->dport = h->dport);
	if (mask & S_OPTS) {
		opts_take(side, h);
		put_u8(out, side->opts_len);
		put_u8(out, side->stamp_at);
		put_raw(out, side->opts, side->opts_len);
	}
	if (mask & S_URGENT)
		put_u16(out, side->urgent = h->urgent);
	if (mask & S_RESERVED)
		put_u8(out, side->reserved = h->reserved);
}

/* Returns the bits of the mask. Statics are in the side already. */
static uint32_t tcp_encode(struct header_side *side, const struct header_side *other, const struct packet_rec *rec,
			   const struct frame_header *h, struct wr streams[HEADER_STREAMS])
{
	uint32_t bytes = data_len(side, h->ip_len, rec->frame.len - h->len), mask = 0;
	uint32_t seq = seq_guess(side, other), ack = ack_guess(side, other, h->flags);
	uint8_t *flags = &side->flags[bytes > 0];

	if (*flags != h->flags) {
		mask |= M_FLAGS;
		put_u8(&streams[HS_STATIC], *flags = h->flags);
	}
	if (h->seq != seq) {
		mask |= M_SEQ;
		put_u32(&streams[HS_SEQ], h->seq, seq);
	}
	if (h->ack != ack) {
		mask |= M_ACK;
		put_u32(&streams[HS_ACK], h->ack, ack);
	}
	if (h->window != side->window) {
		mask |= M_WINDOW;
		put_svarint(&streams[HS_WINDOW], (int16_t)(h->window - side->window));
		side->window = h->window;
	}
	seq_took(side, h->seq, h->ack, h->flags, bytes);
	if (side->stamp_at) {
		uint32_t stamp = be32(h->opts + side->stamp_at), echo = be32(h->opts + side->stamp_at + 4);
		uint32_t guess = stamp_guess(side, rec->time_ns);

		if (stamp != guess) {
			mask |= M_STAMP;
			put_u32(&streams[HS_STAMP], stamp, guess);
		}
		stamp_took(side, rec->time_ns, stamp);
		guess = other->stamped ? other->stamp : side->echo;
		if (echo != guess) {
			mask |= M_ECHO;
			put_u32(&streams[HS_ECHO], echo, guess);
		}
		side->echo = echo;
	}
	return mask;
}

static bool sum_is(const struct packet_rec *rec, const struct frame_header *h, unsigned mode)
{
	uint16_t sum;

	return frame_sum_make(h->kind, mode, rec->frame.at, h->ip_at, rec->frame.len, &sum) && sum == h->sum;
}

/* True: another mode than that of the frame before. */
static bool sum_encode(struct header_side *side, const struct packet_rec *rec, const struct frame_header *h, struct wr *out)
{
	unsigned mode = side->sum_mode;

	if (mode == SUM_RAW || !sum_is(rec, h, mode))
		for (mode = SUM_RIGHT; mode < SUM_RAW && !sum_is(rec, h, mode); mode++)
			;
	if (mode != side->sum_mode)
		put_u8(out, (uint8_t)mode);
	if (mode == SUM_RAW)
		put_u16(out, h->sum);
	if (mode == side->sum_mode)
		return false;
	side->sum_mode = (uint8_t)mode;
	return true;
}

static bool ip_sum_encode(struct header_side *side, const uint8_t *ip, uint16_t sum, struct wr *out)
{
	unsigned mode = sum == frame_ip4_sum(ip) ? SUM_RIGHT : sum == 0 ? SUM_ZERO : SUM_RAW;

	if (mode != side->ip_sum_mode)
		put_u8(out, (uint8_t)mode);
	if (mode == SUM_RAW)
		put_u16(out, sum);
	if (mode == side->ip_sum_mode)
		return false;
	side->ip_sum_mode = (uint8_t)mode;
	return true;
}

static uint16_t udp_len_guess(const struct header_side *side, uint16_t ip_len)
{
	return (uint16_t)(ip_len - (kind_is_ip4(side->kind) ? 20 : 0));
}

/* All but the statics, which are in the side already. Returns the bits of the mask. */
static uint32_t fields_encode(struct header_side *side, const struct header_side *other, const struct packet_rec *rec,
			      const struct frame_header *h, struct wr streams[HEADER_STREAMS], uint32_t *changed)
{
	uint32_t mask = 0;

	if (h->ip_len != ip_len_guess(side, rec->orig_len)) {
		*changed |= S_IP_LEN;
		put_u16(&streams[HS_STATIC], h->ip_len);
	}
	if (rec->orig_len <= SHORT_FRAME)
		side->short_len = h->ip_len;
	if (kind_is_ip4(h->kind)) {
		if (h->id != id_guess(side)) {
			mask |= M_ID;
			put_u16(&streams[HS_ID], h->id);
		}
		id_took(side, h->id);
		if (ip_sum_encode(side, rec->frame.at + h->ip_at, h->ip_sum, &streams[HS_SUM]))
			*changed |= S_IP_SUM;
	}
	if (kind_is_tcp(h->kind))
		mask |= tcp_encode(side, other, rec, h, streams);
	if (kind_is_udp(h->kind) && h->udp_len != udp_len_guess(side, h->ip_len)) {
		*changed |= S_UDP_LEN;
		put_u16(&streams[HS_STATIC], h->udp_len);
	}
	if (kind_has_sum(h->kind) && sum_encode(side, rec, h, &streams[HS_SUM]))
		mask |= M_SUM;
	return mask;
}

size_t header_encode(struct header_coder *coder, const struct packet_rec *rec, struct wr streams[HEADER_STREAMS],
		     struct header_sums *ret_sums)
{
	bool fresh = !coder->begun || coder->flow_id != rec->flow_id;
	uint64_t time_from = fresh ? coder->time_min : coder->time_ns;
	uint64_t number_from = fresh ? coder->number_min : coder->number;
	bool back = rec->time_ns < time_from;
	struct header_side *side = side_enter(coder, rec->flow_id, rec->link, rec->dir);
	uint64_t step;
	uint32_t mask = (rec->dir != coder->dir ? M_DIR : 0) | (back ? M_BACK : 0), changed;
	struct frame_header h;

	frame_header_parse(rec, &h);
	step = back ? time_from - rec->time_ns : rec->time_ns - time_from;
	put_varint(&streams[HS_TIME], coder->time_scale == 1 ? step : step / 1000);
	put_varint(&streams[HS_NUMBER], rec->number - number_from);
	changed = statics_differ(side, &h);
	statics_write(side, &h, changed, &streams[HS_STATIC]);
	if (rec->frame.len > h.len) {
		mask |= M_DATA;
		put_varint(&streams[HS_LEN], rec->frame.len - h.len);
	}
	if (h.kind != KIND_PLAIN)
		mask |= fields_encode(side, &coder->sides[!rec->dir], rec, &h, streams, &changed);
	if (changed) {
		mask |= M_STATIC;
		put_varint(&streams[HS_CHANGED], changed);
	}
	put_varint(&streams[HS_MASK], mask);
	*ret_sums = h.kind == KIND_PLAIN ? sums_none : (struct header_sums){ (uint16_t)h.ip_at, h.kind, side->sum_mode };
	coder->time_ns = rec->time_ns;
	coder->number = rec->number;
	coder->dir = rec->dir;
	return h.len;
}

/* ---- reading ---- */

static int statics_read(struct header_side *side, uint32_t mask, struct rd *rd, struct err *err)
{
	struct header_side now = *side;

	if (mask & S_KIND)
		now.kind = rd_u8(rd);
	if (now.kind >= KINDS)
		return err_set(err, E_CORRUPT, "header of kind %u", now.kind);
	if (mask & S_LINK) {
		now.link_len = rd_u8(rd);
		if (now.link_len > HEADER_LINK_MAX)
			return err_set(err, E_CORRUPT, "link header of %u bytes", now.link_len);
		rd_copy(rd, now.link, now.link_len);
	}
	if (mask & S_TOS)
		now.tos = rd_u8(rd);
	if (mask & S_TTL)
		now.ttl = rd_u8(rd);
	if (mask & S_PROTO)
		now.proto = rd_u8(rd);
	if (mask & S_FRAG)
		now.frag = rd_u16le(rd);
	if (mask & S_LABEL)
		now.label = rd_u32le(rd) & 0xfffff;
	if (mask & S_SRC)
		rd_copy(rd, now.src, addr_bytes(now.kind));
	if (mask & S_DST)
		rd_copy(rd, now.dst, addr_bytes(now.kind));
	if (mask & S_SPORT)
		now.sport = rd_u16le(rd);
	if (mask & S_DPORT)
		now.dport = rd_u16le(rd);
	if (mask & S_OPTS) {
		now.opts_len = rd_u8(rd);
		now.stamp_at = rd_u8(rd);
		if (now.opts_len > sizeof(now.opts) || now.opts_len % 4 ||
		    (now.stamp_at && now.stamp_at + 8 > now.opts_len))
			return err_set(err, E_CORRUPT, "%u bytes of TCP options, timestamps at %u", now.opts_len,
				       now.stamp_at);
		rd_copy(rd, now.opts, now.opts_len);
	}
	if (mask & S_URGENT)
		now.urgent = rd_u16le(rd);
	if (mask & S_RESERVED)
		now.reserved = rd_u8(rd) & 15;
	*side = now;
	return 0;
}

static void tcp_decode(struct header_side *side, const struct header_side *other, const struct packet_rec *rec,
		       uint32_t mask, uint32_t bytes, struct rd streams[HEADER_STREAMS], uint8_t *tcp)
{
	uint8_t *flags = &side->flags[bytes > 0];
	uint32_t seq = seq_guess(side, other), ack;

	if (mask & M_FLAGS)
		*flags = rd_u8(&streams[HS_STATIC]);
	ack = ack_guess(side, other, *flags);
	if (mask & M_SEQ)
		seq += (uint32_t)rd_svarint(&streams[HS_SEQ]);
	if (mask & M_ACK)
		ack += (uint32_t)rd_svarint(&streams[HS_ACK]);
	if (mask & M_WINDOW)
		side->window = (uint16_t)(side->window + (uint16_t)rd_svarint(&streams[HS_WINDOW]));
	seq_took(side, seq, ack, *flags, bytes);
	put_be16(tcp, side->sport);
	put_be16(tcp + 2, side->dport);
	put_be32(tcp + 4, seq);
	put_be32(tcp + 8, ack);
	tcp[12] = (uint8_t)((side->opts_len / 4 + 5) << 4 | side->reserved);
	tcp[13] = *flags;
	put_be16(tcp + 14, side->window);
	put_be16(tcp + 18, side->urgent);
	memcpy(tcp + 20, side->opts, sizeof(side->opts));	/* there is room for all: cheaper than to count */
	if (side->stamp_at) {
		uint32_t stamp = stamp_guess(side, rec->time_ns), echo = other->stamped ? other->stamp : side->echo;

		if (mask & M_STAMP)
			stamp += (uint32_t)rd_svarint(&streams[HS_STAMP]);
		if (mask & M_ECHO)
			echo += (uint32_t)rd_svarint(&streams[HS_ECHO]);
		stamp_took(side, rec->time_ns, stamp);
		side->echo = echo;
		put_be32(tcp + 20 + side->stamp_at, stamp);
		put_be32(tcp + 20 + side->stamp_at + 4, echo);
	}
}

static void ip_put(const struct header_side *side, uint16_t ip_len, uint16_t id, uint8_t *ip)
{
	if (kind_is_ip4(side->kind)) {
		put_be16(ip, (uint16_t)(0x4500 | side->tos));
		put_be16(ip + 2, ip_len);
		put_be16(ip + 4, id);
		put_be16(ip + 6, side->frag);
		put_be16(ip + 8, (uint16_t)(side->ttl << 8 | side->proto));
		memcpy(ip + 12, side->src, 4);
		memcpy(ip + 16, side->dst, 4);
	} else {
		put_be32(ip, 6u << 28 | (uint32_t)side->tos << 20 | side->label);
		put_be16(ip + 4, ip_len);
		ip[6] = side->proto;
		ip[7] = side->ttl;
		memcpy(ip + 8, side->src, 16);
		memcpy(ip + 24, side->dst, 16);
	}
}

/* A mode of HS_SUM, and with SUM_RAW the sum itself. */
static int sum_decode(uint8_t *mode, bool other_mode, struct rd *rd, uint8_t *sum, struct err *err)
{
	if (other_mode)
		*mode = rd_u8(rd);
	if (*mode >= SUM_MODES)
		return err_set(err, E_CORRUPT, "checksum of mode %u", *mode);
	memset(sum, 0, 2);
	if (*mode == SUM_RAW)
		rd_copy(rd, sum, 2);
	return 0;
}

static int fields_decode(struct header_side *side, const struct header_side *other, const struct packet_rec *rec,
			 uint32_t mask, uint32_t changed, struct rd streams[HEADER_STREAMS], uint8_t *ip,
			 struct header_sums *ret_sums, struct err *err)
{
	uint8_t *transport = ip + kind_ip_bytes(side->kind);
	uint16_t ip_len = ip_len_guess(side, rec->orig_len), udp_len;
	int rc = 0;

	if (changed & S_IP_LEN)
		ip_len = rd_u16le(&streams[HS_STATIC]);
	if (rec->orig_len <= SHORT_FRAME)
		side->short_len = ip_len;
	if (kind_is_ip4(side->kind)) {
		id_took(side, mask & M_ID ? rd_u16le(&streams[HS_ID]) : id_guess(side));
		ip_put(side, ip_len, side->id, ip);
		rc = sum_decode(&side->ip_sum_mode, changed & S_IP_SUM, &streams[HS_SUM], ip + 10, err);
		if (side->ip_sum_mode == SUM_RIGHT) {
			uint16_t sum = frame_ip4_sum(ip);

			memcpy(ip + 10, &sum, sizeof(sum));
		}
	} else {
		ip_put(side, ip_len, 0, ip);
	}
	if (kind_is_tcp(side->kind)) {
		size_t head = 20u + side->opts_len;

		tcp_decode(side, other, rec, mask,
			   data_len(side, ip_len, rec->frame.len - side->link_len - kind_ip_bytes(side->kind) - head),
			   streams, transport);
	} else if (kind_is_udp(side->kind)) {
		udp_len = changed & S_UDP_LEN ? rd_u16le(&streams[HS_STATIC]) : udp_len_guess(side, ip_len);
		put_be16(transport, side->sport);
		put_be16(transport + 2, side->dport);
		put_be16(transport + 4, udp_len);
	}
	if (rc == 0 && kind_has_sum(side->kind))
		rc = sum_decode(&side->sum_mode, mask & M_SUM, &streams[HS_SUM],
				transport + kind_sum_at(side->kind), err);
	*ret_sums = (struct header_sums){ side->link_len, side->kind, side->sum_mode };
	return rc;
}

int header_decode(struct header_coder *coder, struct rd streams[HEADER_STREAMS], struct packet_rec *rec,
		  uint8_t header[HEADER_BYTES_MAX], size_t *ret_header_len, struct header_sums *ret_sums,
		  struct err *err)
{
	bool fresh = !coder->begun || coder->flow_id != rec->flow_id;
	uint64_t mask = short_varint(&streams[HS_MASK]), changed, step, data;
	struct header_side *side;
	size_t len;
	int rc;

	if (mask > M_ALL)
		return err_set(err, E_CORRUPT, "mask %llx of a header", (unsigned long long)mask);
	rec->dir = coder->dir ^ !!(mask & M_DIR);
	side = side_enter(coder, rec->flow_id, rec->link, rec->dir);
	step = short_varint(&streams[HS_TIME]) * coder->time_scale;
	rec->time_ns = (fresh ? coder->time_min : coder->time_ns) + (mask & M_BACK ? -step : step);
	rec->number = (fresh ? coder->number_min : coder->number) + short_varint(&streams[HS_NUMBER]);
	changed = mask & M_STATIC ? short_varint(&streams[HS_CHANGED]) : 0;
	if (changed > S_ALL)
		return err_set(err, E_CORRUPT, "mask %llx of a header's changes", (unsigned long long)changed);
	rc = changed ? statics_read(side, (uint32_t)changed, &streams[HS_STATIC], err) : 0;
	if (rc < 0)
		return rc;
	data = mask & M_DATA ? short_varint(&streams[HS_LEN]) : 0;
	if (data > PACKET_BYTES_MAX)
		return err_set(err, E_CORRUPT, "%llu bytes behind a header", (unsigned long long)data);
	len = side->kind == KIND_PLAIN ? 0 : side->link_len + kind_ip_bytes(side->kind);
	if (kind_is_tcp(side->kind))
		len += 20u + side->opts_len;
	else if (kind_is_udp(side->kind))
		len += 8;
	rec->frame.len = len + data;
	rec->orig_len += (uint32_t)rec->frame.len;
	*ret_sums = sums_none;
	if (side->kind != KIND_PLAIN) {
		memcpy(header, side->link, sizeof(side->link));
		rc = fields_decode(side, &coder->sides[!rec->dir], rec, (uint32_t)mask, (uint32_t)changed, streams,
				   header + side->link_len, ret_sums, err);
	}
	*ret_header_len = len;
	coder->time_ns = rec->time_ns;
	coder->number = rec->number;
	coder->dir = rec->dir;
	return rc;
}

static size_t sums_at(const struct header_sums *sums)
{
	return sums->ip_at + kind_ip_bytes(sums->kind) + kind_sum_at(sums->kind);
}

int header_sums_fill(const struct header_sums *sums, uint8_t *frame, size_t len, struct err *err)
{
	uint16_t sum;

	if (!kind_has_sum(sums->kind) || sums->mode == SUM_RAW)
		return 0;
	if (!frame_sum_make(sums->kind, sums->mode, frame, sums->ip_at, len, &sum))
		return err_set(err, E_CORRUPT, "a checksum over more than the %zu bytes of the frame", len);
	memcpy(frame + sums_at(sums), &sum, sizeof(sum));
	return 0;
}

bool header_same(const struct packet_rec *rec, const struct header_sums *sums, uint8_t header[HEADER_BYTES_MAX],
		 size_t header_len, const struct header_sums *decoded)
{
	if (header_len > rec->frame.len || sums->kind != decoded->kind || sums->mode != decoded->mode ||
	    sums->ip_at != decoded->ip_at)
		return false;
	/* That this mode makes the checksum of this frame was found when it was encoded. */
	if (kind_has_sum(sums->kind) && sums->mode != SUM_RAW)
		memcpy(header + sums_at(sums), rec->frame.at + sums_at(sums), 2);
	return header_len == 0 || memcmp(header, rec->frame.at, header_len) == 0;
}
