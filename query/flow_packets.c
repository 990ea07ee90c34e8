#include "query/flow_packets.h"

#include "wire/fragment.h"

/* One walk, and the datagrams in pieces on the way. */
struct walk {
	struct flow_packets *walk;
	struct fragments *fragments;
	struct ip senders[2];	/* of the fragments, by direction */
	bool more;
};

static void fragment_waited(void *arg, const struct packet *head, const void *note)
{
	(void)arg;
	(void)head;
	(void)note;
}

/* What there is of a datagram that never became whole: the recorder fed it so. */
static void fragment_broken(void *arg, enum fragment_end why, unsigned pieces, const struct packet *head,
			    const struct packet *prefix)
{
	struct walk *walk = arg;
	struct packet_rec rec = { .flow_id = walk->walk->flow_id };

	(void)why;
	(void)pieces;
	if (!head || !prefix || !walk->more)
		return;
	rec.time_ns = prefix->time_ns;
	rec.dir = !ip_eq(&walk->senders[0], &prefix->src);
	rec.orig_len = prefix->orig_len;
	rec.frame = prefix->frame;
	rec.link = prefix->link;
	rec.segments = 1;
	walk->walk->cut = true;
	walk->more = walk->walk->fn(walk->walk->arg, &rec, prefix);
}

/* The datagram that this fragment completes, at the time of it; NULL while there is none. */
static const struct packet *datagram_of(struct walk *walk, const struct packet_rec *rec, const struct packet *packet)
{
	struct fragments_opts opts = { .sink = { .waited = fragment_waited, .broken = fragment_broken, .arg = walk } };
	struct fragment_seen seen;

	if (!walk->fragments)
		walk->fragments = fragments_new(&opts);
	if (!walk->fragments)
		return NULL;
	walk->senders[rec->dir & 1] = packet->src;
	fragments_tick(walk->fragments, rec->time_ns);
	return fragments_add(walk->fragments, packet, &seen) < 0 ? NULL : seen.whole;
}

static int part_walk(struct store_view *view, size_t part, struct walk *state, struct err *err)
{
	struct flow_packets *walk = state->walk;
	struct store_packets *packets = NULL;
	struct packet_rec rec;
	uint64_t source;
	int rc = store_packets_open(view, part, walk->from_ns, walk->to_ns, &walk->flow_id, 1,
				    &packets, err);

	while (rc >= 0 && state->more) {
		struct packet packet = { 0 };
		const struct packet *shown = &packet;
		struct err why = { 0 };

		rc = store_packets_next(packets, &rec, &source, &why);
		if (rc == E_CORRUPT) { /* the next call goes on behind the block */
			walk->damaged = true;
			rc = 0;
			continue;
		}
		if (rc < 0)
			(void)err_set(err, rc, "%s", why.text);
		if (rc <= 0)
			break;
		packet.time_ns = rec.time_ns;
		packet.frame = rec.frame;
		packet.orig_len = rec.orig_len;
		packet.link = rec.link;
		packet.segments = rec.segments;
		(void)decode_frame(&packet);
		walk->count++;
		walk->cut |= rec.frame.len < rec.orig_len;
		if (packet.in_fragments)
			shown = datagram_of(state, &rec, &packet);
		if (shown)
			state->more = walk->fn(walk->arg, &rec, shown);
	}
	if (packets)
		walk->expired |= store_packets_expired(packets) || store_view_part(view, part)->packets_thinned;
	store_packets_close(packets);
	return rc < 0 ? rc : 0;
}

int flow_packets_walk(struct store *store, struct flow_packets *walk, struct err *err)
{
	struct store_view *view = NULL;
	struct walk state = { .walk = walk, .more = true };
	int rc = store_view_open(store, walk->from_ns, walk->to_ns, &view, err);

	walk->count = 0;
	walk->cut = walk->expired = walk->damaged = false;
	if (rc == 0 && store_view_parts(view) == 0)
		walk->expired = true;
	for (size_t part = 0; rc == 0 && state.more && part < store_view_parts(view); part++) {
		const struct store_part_info *info = store_view_part(view, part);
		struct err why = { 0 };

		if (!info->has_packets) {
			walk->expired |= info->packets > 0 || info->sealed;
			continue;
		}
		rc = part_walk(view, part, &state, &why);
		if (rc == E_EXPIRED || rc == E_CORRUPT) {
			walk->expired |= rc == E_EXPIRED;
			walk->damaged |= rc == E_CORRUPT;
			rc = 0;
		} else if (rc < 0) {
			(void)err_set(err, rc, "%s", why.text);
		}
	}
	if (state.fragments && rc == 0)
		fragments_flush(state.fragments);
	fragments_free(state.fragments);
	store_view_close(view);
	return rc;
}
