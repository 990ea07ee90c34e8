#include "wire/fragment.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "wire/blocks.h"

#define BYTES_MAX_DEFAULT	((size_t)4 << 20)
#define DATAGRAMS_MAX_DEFAULT	1024
#define TIMEOUT_DEFAULT_NS	10000000000ull
#define DONE_NS			1000000000ull	/* a whole datagram is remembered so long, for copies of its fragments */
#define BUCKETS			1024
#define PIECES_MAX		512	/* 64 KiB in pieces of 128: no real path has so small an MTU */
#define HEADER_MAX		256	/* IP header and what of IPv6 stands before the fragment header */
#define DATAGRAM_MAX		65535
#define NESTING_MAX		4	/* fragments of tunnels of fragments ... */
#define PROTO_IP_UDP		17

struct key {
	uint64_t segment;
	struct ip src, dst;
	uint32_t id;
	uint8_t version, proto;		/* proto: IPv4 only */
};

/* Bytes [from, to) of a datagram; have of them were captured. */
struct piece {
	struct piece *next;
	uint32_t from, to, have;
	uint8_t bytes[];
};

struct note {
	struct note *next;
	uint8_t bytes[];
};

struct datagram {
	struct datagram *chain;		/* of its bucket */
	struct datagram *prev, *next;	/* of its list, oldest first */
	struct key key;
	uint32_t bucket;
	uint64_t since_ns;		/* first piece; when done: the last */
	bool done;			/* was whole */
	bool dead;			/* given up; what still comes of it is passed over */
	bool has_head, has_header;
	uint8_t proto;			/* of the first piece */
	uint16_t header_bytes, next_off;
	unsigned frames, pieces_count;
	uint32_t covered, total;	/* total 0: the last piece has not been seen */
	struct piece *pieces, *pieces_last;	/* by from, disjoint */
	struct note *notes, *notes_last;
	uint8_t header[HEADER_MAX];
	struct carrier carrier;
	struct packet head;
};

struct list {
	struct datagram *first, *last;
};

struct fragments {
	struct fragments_opts opts;
	struct block_pool *blocks;
	struct datagram *buckets[BUCKETS];
	struct list open, done;
	unsigned count;
	struct datagram *current;	/* of the last fragments_add */
	struct fragments_stats stats;
	struct packet whole;
	uint8_t frame[HEADER_MAX + DATAGRAM_MAX + 1];
};

/* ---- life ---- */

struct fragments *fragments_new(const struct fragments_opts *opts)
{
	struct fragments *fragments = mem_zalloc(sizeof(*fragments));

	if (!fragments)
		return NULL;
	fragments->opts = *opts;
	if (!fragments->opts.bytes_max)
		fragments->opts.bytes_max = BYTES_MAX_DEFAULT;
	if (!fragments->opts.datagrams_max)
		fragments->opts.datagrams_max = DATAGRAMS_MAX_DEFAULT;
	if (!fragments->opts.timeout_ns)
		fragments->opts.timeout_ns = TIMEOUT_DEFAULT_NS;
	fragments->blocks = block_pool_new(fragments->opts.bytes_max);
	if (!fragments->blocks) {
		mem_free(fragments);
		return NULL;
	}
	return fragments;
}

static void list_cut(struct list *list, struct datagram *d)
{
	*(d->prev ? &d->prev->next : &list->first) = d->next;
	*(d->next ? &d->next->prev : &list->last) = d->prev;
}

static void list_put(struct list *list, struct datagram *d)
{
	d->prev = list->last;
	d->next = NULL;
	*(list->last ? &list->last->next : &list->first) = d;
	list->last = d;
}

static void drop_pieces(struct fragments *fragments, struct datagram *d)
{
	while (d->pieces) {
		struct piece *piece = d->pieces;

		d->pieces = piece->next;
		block_give(fragments->blocks, piece);
	}
	d->pieces_last = NULL;
	d->pieces_count = 0;
}

/* Hand the notes back, oldest first. */
static void release_notes(struct fragments *fragments, struct datagram *d)
{
	const struct packet *head = d->has_head ? &d->head : NULL;

	while (d->notes) {
		struct note *note = d->notes;

		d->notes = note->next;
		fragments->opts.sink.waited(fragments->opts.sink.arg, head, note->bytes);
		block_give(fragments->blocks, note);
	}
	d->notes_last = NULL;
}

static void drop(struct fragments *fragments, struct datagram *d)
{
	struct datagram **at = &fragments->buckets[d->bucket];

	drop_pieces(fragments, d);
	while (d->notes) {
		struct note *note = d->notes;

		d->notes = note->next;
		block_give(fragments->blocks, note);
	}
	while (*at != d)
		at = &(*at)->chain;
	*at = d->chain;
	list_cut(d->done || d->dead ? &fragments->done : &fragments->open, d);
	if (fragments->current == d)
		fragments->current = NULL;
	fragments->count--;
	block_give(fragments->blocks, d);
}

void fragments_free(struct fragments *fragments)
{
	if (!fragments)
		return;
	while (fragments->open.first)
		drop(fragments, fragments->open.first);
	while (fragments->done.first)
		drop(fragments, fragments->done.first);
	block_pool_free(fragments->blocks);
	mem_free(fragments);
}

/* ---- the datagram as a packet ---- */

static void put_u16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Decode its first `have` bytes, of `wire` that it had, behind an IP header that tells of no fragments. */
static const struct packet *rebuild(struct fragments *fragments, const struct datagram *d, uint64_t time_ns,
				    uint32_t wire)
{
	uint8_t *frame = fragments->frame;
	struct packet *whole = &fragments->whole;
	uint32_t have = 0;

	memcpy(frame, d->header, d->header_bytes);
	for (const struct piece *piece = d->pieces; piece && piece->from == have; piece = piece->next) {
		memcpy(frame + d->header_bytes + have, piece->bytes, piece->have);
		have += piece->have;
		if (piece->have < piece->to - piece->from)
			break;
	}
	if (d->key.version == 4) {
		put_u16(frame + 2, d->header_bytes + wire);
		put_u16(frame + 6, 0);
	} else {
		put_u16(frame + 4, d->header_bytes - 40 + wire);
		frame[d->next_off] = d->proto;
	}
	memset(whole, 0, sizeof(*whole));
	whole->time_ns = time_ns;
	whole->frame = view_make(frame, d->header_bytes + have);
	whole->orig_len = d->header_bytes + wire;
	whole->link = d->key.version == 4 ? LINK_IPV4 : LINK_IPV6;
	whole->segments = 1;
	(void)decode_carried(whole, &d->carrier);
	return whole;
}

/* How long it was, as far as can be told: a UDP header says so itself. */
static uint32_t likely_total(const struct datagram *d)
{
	uint32_t end = 0;

	if (d->total)
		return d->total;
	if (d->proto == PROTO_IP_UDP)
		return DATAGRAM_MAX - d->header_bytes;
	for (const struct piece *piece = d->pieces; piece && piece->from == end; piece = piece->next)
		end = piece->to;
	return end;
}

/* It will never be whole. */
static void give_up(struct fragments *fragments, struct datagram *d, enum fragment_end why)
{
	const struct fragments_sink *sink = &fragments->opts.sink;
	const struct packet *prefix = NULL;

	release_notes(fragments, d);
	if (d->has_header && d->pieces && d->pieces->from == 0 && why != FRAGMENT_OVERLAP && why != FRAGMENT_BAD)
		prefix = rebuild(fragments, d, d->since_ns, likely_total(d));
	sink->broken(sink->arg, why, d->frames, d->has_head ? &d->head : NULL, prefix);
	fragments->stats.timeouts += why == FRAGMENT_TIMEOUT;
	fragments->stats.evictions += why == FRAGMENT_EVICTED;
	fragments->stats.bad += why == FRAGMENT_OVERLAP || why == FRAGMENT_BAD;
}

/* Its bytes are not needed any more, but what still comes of it must be known by its name. */
static void retire(struct fragments *fragments, struct datagram *d, uint64_t now_ns)
{
	list_cut(&fragments->open, d);
	d->since_ns = now_ns;
	list_put(&fragments->done, d);
}

static void kill(struct fragments *fragments, struct datagram *d, enum fragment_end why, uint64_t now_ns)
{
	give_up(fragments, d, why);
	drop_pieces(fragments, d);
	retire(fragments, d, now_ns);
	d->dead = true;
}

/* Room for more: those that are done first, then the oldest. False when there is nothing left to give up. */
static bool evict_one(struct fragments *fragments, const struct datagram *keep)
{
	struct datagram *d = fragments->done.first;

	if (d && d == keep)
		d = d->next;
	if (d) {
		release_notes(fragments, d);
	} else {
		d = fragments->open.first;
		if (d && d == keep)
			d = d->next;
		if (!d)
			return false;
		give_up(fragments, d, FRAGMENT_EVICTED);
	}
	drop(fragments, d);
	return true;
}

static void *take(struct fragments *fragments, size_t bytes, const struct datagram *keep)
{
	void *block = block_take(fragments->blocks, bytes);

	while (!block && evict_one(fragments, keep))
		block = block_take(fragments->blocks, bytes);
	return block;
}

/* ---- finding ---- */

static void key_of(const struct packet *packet, struct key *key)
{
	const uint8_t *ip = packet->frame.at + packet->frag.l3_off;
	uint32_t be;

	memset(key, 0, sizeof(*key));	/* compared with memcmp */
	key->version = packet->frag.version;
	if (key->version == 4) {
		memcpy(&be, ip + 12, 4);
		key->src = ip_from_v4(be);
		memcpy(&be, ip + 16, 4);
		key->dst = ip_from_v4(be);
		key->proto = packet->frag.proto;
	} else {
		memcpy(key->src.b, ip + 8, 16);
		memcpy(key->dst.b, ip + 24, 16);
	}
	key->id = packet->frag.id;
	key->segment = packet->frag.carrier.segment;
}

static struct datagram *datagram_new(struct fragments *fragments, const struct key *key, uint32_t bucket,
				     uint64_t now_ns)
{
	struct datagram *d;

	if (fragments->count >= fragments->opts.datagrams_max)
		(void)evict_one(fragments, NULL);
	d = take(fragments, sizeof(*d), NULL);
	if (!d)
		return NULL;
	memset(d, 0, sizeof(*d));
	d->key = *key;
	d->bucket = bucket;
	d->since_ns = now_ns;
	d->chain = fragments->buckets[bucket];
	fragments->buckets[bucket] = d;
	list_put(&fragments->open, d);
	fragments->count++;
	return d;
}

/* ---- one piece ---- */

enum add { ADD_NEW, ADD_DUPLICATE, ADD_OVERLAP, ADD_NO_MEMORY };

static int piece_insert(struct fragments *fragments, struct datagram *d, struct piece *before, uint32_t from,
			uint32_t to, struct view bytes)
{
	struct piece *piece = take(fragments, sizeof(*piece) + bytes.len, d);

	if (!piece)
		return E_NO_MEMORY;
	piece->from = from;
	piece->to = to;
	piece->have = (uint32_t)bytes.len;
	memcpy(piece->bytes, bytes.at, bytes.len);
	piece->next = before ? before->next : d->pieces;
	*(before ? &before->next : &d->pieces) = piece;
	if (!piece->next)
		d->pieces_last = piece;
	d->pieces_count++;
	d->covered += to - from;
	return 0;
}

/* Bytes [from, to) of it are in piece already: are they the same ones? */
static bool same_bytes(const struct piece *piece, uint32_t from, uint32_t to, struct view bytes)
{
	uint32_t skip = from - piece->from, len = to - from;

	if (skip >= piece->have)
		return true;
	len = len < piece->have - skip ? len : piece->have - skip;
	len = len < bytes.len ? len : (uint32_t)bytes.len;
	return memcmp(piece->bytes + skip, bytes.at, len) == 0;
}

/* Put what is new of [from, to) between the pieces there are. */
static enum add piece_add(struct fragments *fragments, struct datagram *d, uint32_t from, uint32_t to,
			  struct view bytes)
{
	struct piece *before = NULL, *at = d->pieces;
	enum add result = ADD_NEW;
	uint32_t begin = from;

	/* in order, as nearly always */
	if (d->pieces_last && d->pieces_last->to <= from) {
		before = d->pieces_last;
		at = NULL;
	}
	while (from < to) {
		uint32_t end;

		if (at && at->to <= from) {
			before = at;
			at = at->next;
			continue;
		}
		end = at && at->from < to ? at->from : to;
		if (from < end) {	/* nobody has this part */
			uint32_t len = end - from;

			if (piece_insert(fragments, d, before, from, end, view_sub(bytes, 0, len)) < 0)
				return ADD_NO_MEMORY;
			before = before ? before->next : d->pieces;
			bytes = view_sub(bytes, len, bytes.len);
			from = end;
			continue;
		}
		end = at->to < to ? at->to : to;
		if (result == ADD_NEW)
			result = begin == at->from && to == at->to && same_bytes(at, from, end, bytes) ?
				 ADD_DUPLICATE : ADD_OVERLAP;
		bytes = view_sub(bytes, end - from, bytes.len);
		from = end;
	}
	return result;
}

/* The first fragment says whose it is, unless it is too short for that, or for the tunnel in it. */
static bool tells_its_flow(const struct packet *packet)
{
	if (packet->has_ports || packet->status == DECODE_OK)
		return true;
	if (packet->status != DECODE_l4_unknown)
		return false;
	switch (packet->proto) {
	case 4:		/* IPv4, IPv6, GRE, EtherIP, MPLS in IP */
	case 41:
	case 47:
	case 97:
	case 137:
		return false;
	default:
		return true;
	}
}

static void take_header(struct datagram *d, const struct packet *packet)
{
	const struct packet_fragment *frag = &packet->frag;
	uint32_t header = frag->data_off - frag->l3_off - (frag->version == 6 ? 8 : 0);

	if (header > HEADER_MAX || (frag->version == 6 && frag->next_off - frag->l3_off >= header))
		return;
	memcpy(d->header, packet->frame.at + frag->l3_off, header);
	d->header_bytes = (uint16_t)header;
	d->next_off = frag->version == 6 ? (uint16_t)(frag->next_off - frag->l3_off) : 0;
	d->proto = frag->proto;
	d->carrier = frag->carrier;
	d->has_header = true;
}

/* Whether the piece [from, to) can be of this datagram; takes its end from the last one. */
static bool lengths_agree(struct datagram *d, const struct packet_fragment *frag, uint32_t to)
{
	/* of IPv6 the header and the fragment header do not count */
	uint32_t header = frag->data_off - frag->l3_off - (frag->version == 6 ? 48 : 0);

	if (to + header > DATAGRAM_MAX)
		return false;	/* the ping of death */
	if (frag->more)
		return !d->total || to <= d->total;
	if (d->total)
		return d->total == to;
	d->total = to;
	return !d->pieces_last || d->pieces_last->to <= to;
}

/* The datagram of this piece, a new one if need be. A whole one is over when a piece of another comes. */
static struct datagram *datagram_of(struct fragments *fragments, const struct packet *packet)
{
	const struct packet_fragment *frag = &packet->frag;
	struct datagram *d;
	struct key key;
	uint32_t bucket;

	key_of(packet, &key);
	bucket = (uint32_t)hash_bytes(&key, sizeof(key), 0) % BUCKETS;
	for (d = fragments->buckets[bucket]; d; d = d->chain)
		if (memcmp(&d->key, &key, sizeof(key)) == 0)
			break;
	if (d && d->done) {
		uint32_t from = frag->off, to = frag->off + frag->data_len;
		const struct piece *piece = d->pieces;
		struct view bytes = view_sub(packet->frame, frag->data_off, frag->data_len);

		while (piece && piece->to <= from)
			piece = piece->next;
		if (!piece || piece->from != from || piece->to != to || !same_bytes(piece, from, to, bytes)) {
			drop(fragments, d);
			d = NULL;
		}
	}
	return d ? d : datagram_new(fragments, &key, bucket, packet->time_ns);
}

static int add(struct fragments *fragments, const struct packet *packet, unsigned depth, struct fragment_seen *seen);

/* Every byte is there. */
static int completed(struct fragments *fragments, struct datagram *d, const struct packet *packet, unsigned depth,
		     struct fragment_seen *seen)
{
	const struct packet *whole = rebuild(fragments, d, packet->time_ns, d->total);

	fragments->stats.whole++;
	d->done = true;
	retire(fragments, d, packet->time_ns);
	if (whole->in_fragments && depth < NESTING_MAX) {
		struct packet inner = *whole;	/* its bytes are copied before the buffer is used again */

		release_notes(fragments, d);
		return add(fragments, &inner, depth + 1, seen);
	}
	/* tiny first fragments: only now is it known who speaks */
	if (!d->has_head) {
		d->head = *whole;
		d->head.frame = d->head.payload = (struct view){ 0 };
		d->has_head = true;
	}
	release_notes(fragments, d);
	seen->head = &d->head;
	seen->whole = whole;
	return 0;
}

static int add(struct fragments *fragments, const struct packet *packet, unsigned depth, struct fragment_seen *seen)
{
	const struct packet_fragment *frag = &packet->frag;
	/* only the last one may have a length that is no multiple of 8 */
	uint32_t len = frag->more ? frag->data_len & ~7u : frag->data_len, to = frag->off + len;
	struct datagram *d = datagram_of(fragments, packet);
	enum add result;

	*seen = (struct fragment_seen){ 0 };
	fragments->current = d;
	if (!d)
		return E_NO_MEMORY;
	d->frames++;
	if (frag->off == 0 && !d->has_header && !d->dead) {
		take_header(d, packet);
		if (tells_its_flow(packet)) {
			d->head = *packet;
			d->head.frame = d->head.payload = (struct view){ 0 };
			d->has_head = true;
			release_notes(fragments, d);
		}
	}
	seen->head = d->has_head ? &d->head : NULL;
	if (d->dead)
		return 0;
	if (d->done) {
		seen->duplicate = true;
		fragments->stats.duplicates++;
		return 0;
	}
	if (len == 0 || !lengths_agree(d, frag, to) || d->pieces_count >= PIECES_MAX ||
	    (frag->off == 0 && !d->has_header)) {
		kill(fragments, d, FRAGMENT_BAD, packet->time_ns);
		return 0;
	}
	result = piece_add(fragments, d, frag->off, to, view_sub(packet->frame, frag->data_off, len));
	if (result == ADD_NO_MEMORY) {	/* all there is is its own */
		kill(fragments, d, FRAGMENT_EVICTED, packet->time_ns);
		return 0;
	}
	seen->duplicate = result == ADD_DUPLICATE;
	seen->overlap = result == ADD_OVERLAP;
	fragments->stats.duplicates += seen->duplicate;
	fragments->stats.overlaps += seen->overlap;
	if (seen->overlap && d->key.version == 6) {
		kill(fragments, d, FRAGMENT_OVERLAP, packet->time_ns);
		return 0;
	}
	if (d->total && d->covered == d->total)
		return completed(fragments, d, packet, depth, seen);
	return 0;
}

int fragments_add(struct fragments *fragments, const struct packet *packet, struct fragment_seen *ret_seen)
{
	fragments->stats.pieces++;
	return add(fragments, packet, 0, ret_seen);
}

int fragments_wait(struct fragments *fragments, const void *bytes, size_t note_bytes)
{
	struct datagram *d = fragments->current;
	struct note *note = d ? take(fragments, sizeof(*note) + note_bytes, d) : NULL;

	if (!note)
		return E_NO_MEMORY;
	note->next = NULL;
	memcpy(note->bytes, bytes, note_bytes);
	*(d->notes_last ? &d->notes_last->next : &d->notes) = note;
	d->notes_last = note;
	return 0;
}

/* ---- time ---- */

void fragments_tick(struct fragments *fragments, uint64_t now_ns)
{
	struct datagram *d;

	while ((d = fragments->done.first) && d->since_ns + DONE_NS <= now_ns) {
		release_notes(fragments, d);
		drop(fragments, d);
	}
	while ((d = fragments->open.first) && d->since_ns + fragments->opts.timeout_ns <= now_ns) {
		give_up(fragments, d, FRAGMENT_TIMEOUT);
		drop(fragments, d);
	}
}

void fragments_flush(struct fragments *fragments)
{
	fragments_tick(fragments, UINT64_MAX);
}

void fragments_stats(const struct fragments *fragments, struct fragments_stats *ret_stats)
{
	*ret_stats = fragments->stats;
	ret_stats->held_bytes = block_pool_used(fragments->blocks);
}
