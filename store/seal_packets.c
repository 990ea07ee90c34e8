/*
 * The packets of a partition: taken out of the hot one in the order of capture,
 * written clustered by flow (packet_window.c).
 */
#include "store/packet_window.h"
#include "store/packets.h"
#include "store/seal.h"

int seal_copy_packets(struct seal *seal, struct store_packets *packets, void (*change)(struct packet_rec *rec),
		      struct packet_window *window, struct err *err)
{
	int rc = 0;

	while (rc == 0) {
		struct err why = { 0 };
		struct packet_rec rec;
		uint64_t source;

		rc = store_packets_next(packets, &rec, &source, &why);
		if (rc == 0)
			break;
		if (rc == E_CORRUPT || rc == E_UNSUPPORTED) {
			seal->damaged++;
			rc = 0;
			continue;
		}
		if (rc > 0 && change)
			change(&rec);
		rc = rc < 0 ? err_set(err, rc, "%s", why.text) : packet_window_add(window, &rec, source, err);
	}
	return rc;
}

static int copy_packets(struct seal *seal, struct packet_window *window, struct err *err)
{
	struct store_packets *packets = NULL;
	int rc = packets_open(seal->txn, &seal->from, seal->from_path, 0, UINT64_MAX, NULL, 0, &packets, err);

	if (rc == 0)
		rc = seal_copy_packets(seal, packets, NULL, window, err);
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
