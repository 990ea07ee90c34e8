/*
 * The packets of a partition: taken out of the hot one in the order of capture,
 * written clustered by flow (packet_window.c).
 */
#include "store/packet_window.h"
#include "store/packets.h"
#include "store/seal.h"

static int copy_packets(struct seal *seal, struct packet_window *window, struct err *err)
{
	struct store_packets *packets = NULL;
	int rc = packets_open(seal->txn, &seal->from, seal->from_path, 0, UINT64_MAX, NULL, 0, &packets, err);

	while (rc == 0) {
		struct err why = { 0 };
		struct packet_rec rec;
		uint64_t source;

		rc = store_packets_next(packets, &rec, &source, &why);
		if (rc == 0)
			break;
		if (rc == E_CORRUPT || rc == E_UNSUPPORTED) {	/* the rest is kept; the caller records a gap */
			seal->damaged++;
			rc = 0;
			continue;
		}
		rc = rc < 0 ? err_set(err, rc, "%s", why.text) : packet_window_add(window, &rec, source, err);
	}
	store_packets_close(packets);
	return rc;
}

int seal_packets(struct seal *seal, struct err *err)
{
	const struct packet_window_opts opts = { .dir = seal->path, .group_gid = seal->opts->group_gid,
						 .zstd_level = seal->opts->zstd_level, .batch = &seal->batch,
						 .entry = &seal->entry, .classes = seal->classes };
	struct packet_window *window = NULL;
	int rc;

	if (seal->from.tables[TABLE_PACKETS].rows == 0)
		return 0;
	rc = packet_window_new(&opts, &window, err);
	if (rc == 0)
		rc = copy_packets(seal, window, err);
	if (rc == 0)
		rc = packet_window_end(window, err);
	packet_window_free(window);
	return rc;
}
