#include "query/flow_packets.h"

static int part_walk(struct store_view *view, size_t part, struct flow_packets *walk, bool *more,
		     struct err *err)
{
	struct store_packets *packets = NULL;
	struct packet_rec rec;
	uint64_t source;
	int rc = store_packets_open(view, part, walk->from_ns, walk->to_ns, &walk->flow_id, 1,
				    &packets, err);

	while (rc >= 0 && *more) {
		struct packet packet = { 0 };
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
		*more = walk->fn(walk->arg, &rec, &packet);
	}
	store_packets_close(packets);
	return rc < 0 ? rc : 0;
}

int flow_packets_walk(struct store *store, struct flow_packets *walk, struct err *err)
{
	struct store_view *view = NULL;
	bool more = true;
	int rc = store_view_open(store, walk->from_ns, walk->to_ns, &view, err);

	walk->count = 0;
	walk->cut = walk->expired = walk->damaged = false;
	if (rc == 0 && store_view_parts(view) == 0)
		walk->expired = true;
	for (size_t part = 0; rc == 0 && more && part < store_view_parts(view); part++) {
		const struct store_part_info *info = store_view_part(view, part);
		struct err why = { 0 };

		if (!info->has_packets) {
			walk->expired |= info->packets > 0 || info->sealed;
			continue;
		}
		rc = part_walk(view, part, walk, &more, &why);
		if (rc == E_EXPIRED || rc == E_CORRUPT) {
			walk->expired |= rc == E_EXPIRED;
			walk->damaged |= rc == E_CORRUPT;
			rc = 0;
		} else if (rc < 0) {
			(void)err_set(err, rc, "%s", why.text);
		}
	}
	store_view_close(view);
	return rc;
}
