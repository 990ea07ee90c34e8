/*
 * The packets of a partition: taken in the order of capture, cut into windows
 * of at most WINDOW_BYTES, and clustered by flow within each. So one flow lies
 * in a few blocks, and an export of everything holds one window in memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/packet_table.h"
#include "store/packets.h"
#include "store/seal.h"

#define WINDOW_BYTES (64u << 20)	/* plain frame bytes */
#define WINDOW_FRAMES (1u << 18)
#define BLOCK_BYTES (2u << 20)		/* plain: what the default levels of zstd look back */

struct window_rec {
	struct packet_rec rec;	/* its frame lies at `at` of the window's bytes */
	uint64_t source;
	size_t at;
};

/* What frames are ordered by: sorting moves these and not the records. */
struct cluster_key {
	uint64_t source, flow_id, number;
	size_t rec;
};

struct window {
	struct seal *seal;
	int fd;
	char path[STORE_PATH_MAX];
	struct window_rec *recs;
	size_t count, cap;
	struct cluster_key *order;
	size_t order_cap;
	struct wr bytes;
	uint32_t number;
	struct packet_block block;
	struct flow_slot *slots;
	size_t slots_count, slots_cap;
	struct wr stored, value;
};

static int no_memory(struct err *err)
{
	return err_set(err, E_NO_MEMORY, "packets: out of memory");
}

/* ------------------------------------------------------------------- blocks */

static int flush_block(struct window *window, struct err *err)
{
	struct part_entry *part = &window->seal->entry;
	struct part_table *table = &part->tables[TABLE_PACKETS];
	struct part_key key = part_key_u32(table->groups);
	struct block_entry entry;
	int rc;

	if (window->block.count == 0)
		return 0;
	wr_reset(&window->stored);
	wr_reset(&window->value);
	rc = packet_block_write(&window->block, NULL, CODEC_ZSTD, window->seal->opts->zstd_level, &window->stored, err);
	if (rc < 0)
		return rc;
	entry = block_entry_make(&window->block);
	entry.offset = part->packet_bytes;
	entry.stored_bytes = (uint32_t)window->stored.len;
	entry.window = window->number;
	rc = block_entry_write(&entry, NULL, &window->value);
	if (rc == 0 && (window->stored.bad || window->value.bad))
		rc = no_memory(err);
	if (rc == 0)
		rc = files_write_at(window->fd, wr_view(&window->stored), entry.offset, window->path, err);
	if (rc == 0)
		rc = kv_batch_put(&window->seal->batch, PART_PKB, KV_PUT_APPEND, part_key_view(&key),
				  wr_view(&window->value), err);
	if (rc < 0)
		return rc;
	table->groups++;
	part_entry_count(part, TABLE_PACKETS, entry.count, entry.time_min, entry.time_max, entry.time_max);
	part->packet_bytes += entry.stored_bytes;
	part->packet_plain_bytes += entry.plain_bytes;
	packet_block_reset(&window->block);
	return 0;
}

/* Remember that flow_id has a frame in the block being filled. */
static int note_flow(struct window *window, uint64_t flow_id, bool new_run, struct err *err)
{
	uint32_t block = window->seal->entry.tables[TABLE_PACKETS].groups;
	struct flow_slot *slot;

	if (flow_id == 0)
		return 0;
	if (!new_run) {
		slot = &window->slots[window->slots_count - 1];
		slot->blocks = block - slot->block + 1;
		return 0;
	}
	if (mem_grow((void **)&window->slots, &window->slots_cap, window->slots_count, sizeof(*slot)) < 0)
		return no_memory(err);
	window->slots[window->slots_count++] = (struct flow_slot){ flow_id, block, 1 };
	return 0;
}

static int add_frame(struct window *window, const struct packet_rec *rec, bool new_run, struct err *err)
{
	int rc = packet_block_add(&window->block, rec);

	if (rc == E_LIMIT || rc == E_RANGE) {
		rc = flush_block(window, err);
		if (rc == 0)
			rc = packet_block_add(&window->block, rec);
	}
	if (rc < 0)
		return err_set(err, rc, "packets: frame %llu not added: %s", (unsigned long long)rec->number,
			       err_text(rc));
	return note_flow(window, rec->flow_id, new_run, err);
}

/* ------------------------------------------------------------------ windows */

static int cmp_cluster(const void *a, const void *b)
{
	const struct cluster_key *x = a, *y = b;

	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	if (x->flow_id != y->flow_id)
		return x->flow_id < y->flow_id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int arrange(struct window *window, struct err *err)
{
	if (window->order_cap < window->count) {
		struct cluster_key *order = mem_resize(window->order, window->cap, sizeof(*order));

		if (!order)
			return no_memory(err);
		window->order = order;
		window->order_cap = window->cap;
	}
	for (size_t i = 0; i < window->count; i++) {
		const struct window_rec *wrec = &window->recs[i];

		window->order[i] = (struct cluster_key){ wrec->source, wrec->rec.flow_id, wrec->rec.number, i };
	}
	qsort(window->order, window->count, sizeof(*window->order), cmp_cluster);
	return 0;
}

static int cmp_slots(const void *a, const void *b)
{
	const struct flow_slot *x = a, *y = b;

	if (x->flow_id != y->flow_id)
		return x->flow_id < y->flow_id ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

static int write_slots(struct window *window, struct err *err)
{
	struct part_key key = part_key_u32(window->number);

	if (window->slots_count)
		qsort(window->slots, window->slots_count, sizeof(*window->slots), cmp_slots);
	wr_reset(&window->value);
	flow_table_write(window->slots, window->slots_count, &window->value);
	if (window->value.bad)
		return no_memory(err);
	return kv_batch_put(&window->seal->batch, PART_FLOW, KV_PUT_APPEND, part_key_view(&key),
			    wr_view(&window->value), err);
}

static int flush_window(struct window *window, struct err *err)
{
	int rc;

	if (window->count == 0)
		return 0;
	rc = arrange(window, err);
	window->slots_count = 0;
	for (size_t i = 0; i < window->count && rc == 0; i++) {
		const struct cluster_key *key = &window->order[i];
		struct window_rec *wrec = &window->recs[key->rec];
		bool new_source = i > 0 && key->source != key[-1].source;
		bool new_run = i == 0 || new_source || key->flow_id != key[-1].flow_id;

		if (new_source || window->block.bytes.len >= BLOCK_BYTES)
			rc = flush_block(window, err);
		window->block.source = wrec->source;
		wrec->rec.frame.at = window->bytes.at + wrec->at;
		if (rc == 0)
			rc = add_frame(window, &wrec->rec, new_run, err);
	}
	if (rc == 0)
		rc = flush_block(window, err);
	if (rc == 0)
		rc = write_slots(window, err);
	window->number++;
	window->count = 0;
	wr_reset(&window->bytes);
	return rc;
}

static int window_add(struct window *window, const struct packet_rec *rec, uint64_t source, struct err *err)
{
	struct window_rec *wrec;
	int rc;

	if (window->count && (window->bytes.len + rec->frame.len > WINDOW_BYTES || window->count >= WINDOW_FRAMES)) {
		rc = flush_window(window, err);
		if (rc < 0)
			return rc;
	}
	if (mem_grow((void **)&window->recs, &window->cap, window->count, sizeof(*wrec)) < 0)
		return no_memory(err);
	wrec = &window->recs[window->count++];
	*wrec = (struct window_rec){ .rec = *rec, .source = source, .at = window->bytes.len };
	wr_bytes(&window->bytes, rec->frame);
	return window->bytes.bad ? no_memory(err) : 0;
}

static int copy_packets(struct window *window, struct err *err)
{
	struct store_packets *packets = NULL;
	int rc = packets_open(window->seal->txn, &window->seal->from, window->seal->from_path, 0, UINT64_MAX, NULL, 0,
			      &packets, err);

	while (rc == 0) {
		struct err why = { 0 };
		struct packet_rec rec;
		uint64_t source;

		rc = store_packets_next(packets, &rec, &source, &why);
		if (rc == 0)
			break;
		if (rc == E_CORRUPT || rc == E_UNSUPPORTED) {	/* the rest is kept; the caller records a gap */
			window->seal->damaged++;
			rc = 0;
			continue;
		}
		rc = rc < 0 ? err_set(err, rc, "%s", why.text) : window_add(window, &rec, source, err);
	}
	store_packets_close(packets);
	return rc == 0 ? flush_window(window, err) : rc;
}

int seal_packets(struct seal *seal, struct err *err)
{
	struct window window = { .seal = seal, .fd = -1 };
	int rc;

	if (seal->from.tables[TABLE_PACKETS].rows == 0)
		return 0;
	wr_init(&window.bytes, 0);
	wr_init(&window.stored, 0);
	wr_init(&window.value, 0);
	rc = packet_block_init(&window.block, 0);
	if (rc < 0)
		return no_memory(err);
	rc = files_path(window.path, err, seal->path, PART_SEG_FILE, NULL);
	if (rc < 0)
		goto out;
	window.fd = open(window.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (window.fd < 0) {
		rc = err_errno(err, errno, "%s: create", window.path);
		goto out;
	}
	if (fchmod(window.fd, 0640) < 0 ||
	    (seal->opts->group_gid >= 0 && fchown(window.fd, (uid_t)-1, (gid_t)seal->opts->group_gid) < 0)) {
		rc = err_errno(err, errno, "%s: give to group %d", window.path, seal->opts->group_gid);
		goto out;
	}
	rc = copy_packets(&window, err);
	if (rc == 0 && fsync(window.fd) < 0)
		rc = err_errno(err, errno, "%s: sync", window.path);
out:
	if (window.fd >= 0 && close(window.fd) < 0 && rc == 0)
		rc = err_errno(err, errno, "%s: close", window.path);
	packet_block_release(&window.block);
	wr_release(&window.bytes);
	wr_release(&window.stored);
	wr_release(&window.value);
	mem_free(window.recs);
	mem_free(window.order);
	mem_free(window.slots);
	return rc;
}
