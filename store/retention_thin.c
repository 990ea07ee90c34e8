/*
 * Packets whose payload is over its age, and whose headers are not: the rest of
 * a frame goes, its headers move into the segment of class "headers". Segments
 * are whole files, so all that are held are written anew, one class after another.
 */
#include "store/retention_thin.h"

#include "base/mem.h"
#include "store/packet_frame.h"
#include "store/packet_window.h"
#include "store/packets.h"

#define OTHER_BYTES_MAX 128u	/* of frames that are no TCP or UDP: what tells what they are */

struct thin {
	struct seal *seal;
	const struct part_entry *old;
	struct kv_txn *txn;
	const char *path;
	uint32_t segs;
	const char *names[PART_SEGS_MAX];	/* classes of the new one */
	unsigned names_count;
};

static const char *class_after(const struct thin *thin, unsigned seg)
{
	return thin->segs & 1u << seg ? PART_HEADERS_CLASS : thin->old->segs[seg].class_name;
}

static bool is_held(const struct thin *thin, unsigned seg)
{
	return thin->old->segs[seg].held && thin->old->segs[seg].bytes;
}

static unsigned name_of(struct thin *thin, const char *name)
{
	unsigned n = 0;

	while (n < thin->names_count && strcmp(thin->names[n], name) != 0)
		n++;
	if (n == thin->names_count)
		thin->names[thin->names_count++] = name;
	return n;
}

static void cut(struct packet_rec *rec)
{
	struct frame_header header;
	size_t len = OTHER_BYTES_MAX;

	frame_header_parse(rec, &header);
	if (kind_has_sum(header.kind))
		len = header.len;
	rec->frame.len = rec->frame.len < len ? rec->frame.len : len;
}

/* All frames that are to be of one class, in the order of capture: the windows of a class follow one another. */
static int copy_class(struct thin *thin, unsigned class_id, struct packet_window *window, struct err *err)
{
	const char *name = thin->names[class_id];
	bool headers = strcmp(name, PART_HEADERS_CLASS) == 0, any = false;
	struct part_entry from = *thin->old;
	struct store_packets *packets = NULL;
	int rc = 0;

	for (unsigned s = 0; s < from.segs_count; s++) {
		from.segs[s].held = is_held(thin, s) && strcmp(class_after(thin, s), name) == 0;
		any |= from.segs[s].held;
	}
	if (any)
		rc = packets_open(thin->txn, &from, thin->path, 0, UINT64_MAX, NULL, 0, &packets, err);
	if (rc == 0 && packets)
		rc = seal_copy_packets(thin->seal, packets, headers ? cut : NULL, window, err);
	store_packets_close(packets);
	return rc == 0 ? packet_window_flush(window, err) : rc;
}

/* Classes that were dropped before are still told of: what lacks has a reason. */
static void tell_dropped(const struct thin *thin)
{
	struct part_entry *entry = &thin->seal->entry;

	for (unsigned s = 0; s < thin->old->segs_count; s++) {
		const struct part_seg *was = &thin->old->segs[s];
		unsigned known = 0;

		while (known < entry->segs_count && strcmp(entry->segs[known].class_name, was->class_name) != 0)
			known++;
		if (was->held || !was->packets || known < entry->segs_count || entry->segs_count == PART_SEGS_MAX)
			continue;
		entry->segs[known] = *was;
		entry->segs[known].bytes = 0;
		entry->segs_count++;
	}
}

int retention_thin(struct seal *seal, const struct part_entry *old, struct kv_txn *txn, const char *path, uint32_t segs,
		   struct err *err)
{
	struct thin thin = { .seal = seal, .old = old, .txn = txn, .path = path, .segs = segs };
	struct payload_classes *classes = NULL;
	struct packet_window_opts opts = { .dir = seal->path, .group_gid = seal->opts->group_gid,
					   .zstd_level = seal->opts->zstd_level, .batch = &seal->batch,
					   .entry = &seal->entry };
	struct packet_window *window = NULL;
	int rc;

	for (unsigned s = 0; s < old->segs_count; s++)
		if (is_held(&thin, s))
			(void)name_of(&thin, class_after(&thin, s));
	rc = payload_classes_named(thin.names, thin.names_count, &classes);
	if (rc < 0)
		return err_set(err, rc, "out of memory");
	opts.classes = classes;
	rc = packet_window_new(&opts, &window, err);
	for (unsigned c = 0; c < thin.names_count && rc == 0; c++) {
		payload_classes_take(classes, c);
		rc = copy_class(&thin, c, window, err);
	}
	if (rc == 0)
		rc = packet_window_end(window, err);
	packet_window_free(window);
	payload_classes_free(classes);
	if (rc == 0)
		tell_dropped(&thin);
	return rc;
}
