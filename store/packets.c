/*
 * Packets of one partition in the order of capture.
 *
 * Blocks of one source are sorted by their first frame number and opened when
 * that number is due; the frames of all open blocks are merged by number. In a
 * hot partition as many blocks are open as worker threads filled them side by
 * side; in a sealed one the blocks of one window (its frames are clustered by
 * flow), so memory stays below a window's plain bytes and the units kept. Sources are merged by time.
 */
#include "store/packets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/flow_table.h"
#include "store/packet_order.h"
#include "store/packet_table.h"
#include "store/packet_unit.h"
#include "store/reader.h"

#define UNITS_BYTES_MAX (64u << 20)	/* payload units kept: what a block may refer back to */
#define AHEAD_BYTES 512u		/* of the next frame of a block, fetched before its turn */

struct open_block {
	struct packet_block block;
	struct packet_order order;	/* the frames that match */
	uint32_t at;
	struct open_block *next_free;
};

/* Beside its block the number of its next frame: the heap is looked at for every frame. */
struct head {
	uint64_t number;
	struct open_block *open;
};

struct packet_source {
	uint64_t source;
	size_t next, end;		/* refs not opened yet */
	struct head *heap;		/* by number */
	size_t heap_count, heap_cap;
};

struct store_packets {
	char path[STORE_PATH_MAX];
	struct packet_files files;
	uint64_t *flow_ids;
	size_t flow_count;
	bool all_flows;

	struct flow_slot *slots;	/* of flow_ids, in a sealed partition */
	size_t slots_count, slots_cap;
	struct block_entry *refs;	/* by (source, number_min) */
	size_t refs_count, refs_cap;
	struct packet_source *sources;
	size_t sources_count;
	struct open_block *spent;	/* held the last frame given out */
	struct open_block *free;
	struct wr stored;
	struct packet_order sorting;
	struct packet_want want;	/* by flow_ids, and by time */
	bool expired;		/* a block that would do is of a segment that retention has dropped */
};

/* ---------------------------------------------------------- which blocks */

static int add_ref(struct store_packets *packets, const struct block_entry *entry, struct err *err)
{
	if (mem_grow((void **)&packets->refs, &packets->refs_cap, packets->refs_count, sizeof(*entry)) < 0)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", packets->path);
	packets->refs[packets->refs_count] = *entry;
	packets->refs[packets->refs_count++].flows = view_make(NULL, 0);	/* dies with the transaction */
	return 0;
}

/* A block that would do: taken, or known to be gone. */
static int take_ref(struct store_packets *packets, const struct block_entry *entry, struct err *err)
{
	if (packets->files.fds[entry->seg] >= 0)
		return add_ref(packets, entry, err);
	packets->expired = true;
	return 0;
}

static bool in_time(const struct store_packets *packets, uint64_t min, uint64_t max)
{
	const struct packet_want *want = &packets->want;

	return max >= want->from_ns && (min < want->to_ns || want->to_ns == UINT64_MAX);
}

/* Every block of the table that fits the time and, in a hot partition, the flows. */
static int collect_table(struct store_packets *packets, struct kv_txn *txn, const struct part_entry *entry,
			 struct err *err)
{
	bool by_flow = !packets->all_flows && entry->state == PART_HOT;
	struct kv_cursor *cursor = NULL;
	struct view key, value;
	int rc = kv_cursor_open(txn, PART_PKB, &cursor, err);

	while (rc >= 0 && (rc = kv_cursor_next(cursor, &key, &value, err)) > 0) {
		struct block_entry block;
		int match = 1;

		rc = block_entry_read(value, packets->files.bytes, packets->files.count, &block, err);
		if (rc < 0)
			break;
		if (!in_time(packets, block.time_min, block.time_max))
			continue;
		if (by_flow)
			match = block_entry_has_flow(&block, packets->flow_ids, packets->flow_count, err);
		rc = match > 0 ? take_ref(packets, &block, err) : match;
	}
	kv_cursor_close(cursor);
	return rc < 0 ? rc : 0;
}

static int collect_slot(struct store_packets *packets, struct kv_txn *txn, const struct part_entry *entry,
			const struct flow_slot *slot, struct err *err)
{
	if (slot->blocks > entry->tables[TABLE_PACKETS].groups)
		return err_set(err, E_CORRUPT, "%s: flow table: %u blocks", packets->path, slot->blocks);
	for (uint32_t i = 0; i < slot->blocks; i++) {
		struct part_key key = part_key_u32(slot->block + i);
		struct block_entry block;
		struct view value;
		int rc = kv_get(txn, PART_PKB, part_key_view(&key), &value, err);

		if (rc == 0)
			rc = err_set(err, E_CORRUPT, "%s: flow table: no block %u", packets->path, slot->block + i);
		if (rc > 0)
			rc = block_entry_read(value, packets->files.bytes, packets->files.count, &block, err);
		if (rc == 0 && in_time(packets, block.time_min, block.time_max))
			rc = take_ref(packets, &block, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What the flow table of a window knows of the flows. */
static int find_in_window(struct store_packets *packets, struct view bytes, struct err *err)
{
	struct flow_table table;
	size_t at = 0;
	int rc = flow_table_open(bytes, &table, err);

	for (size_t f = 0; f < packets->flow_count && at < table.count && rc == 0; f++) {
		rc = flow_table_seek(&table, packets->flow_ids[f], &at, err);
		for (; rc == 0 && at < table.count; at++) {
			struct flow_slot slot;

			rc = flow_table_at(&table, at, &slot, err);
			if (rc < 0 || slot.flow_id != packets->flow_ids[f])
				break;
			if (mem_grow((void **)&packets->slots, &packets->slots_cap, packets->slots_count, sizeof(slot)) < 0)
				return err_set(err, E_NO_MEMORY, "%s: out of memory", packets->path);
			packets->slots[packets->slots_count++] = slot;
		}
	}
	return rc;
}

static int find_slots(struct store_packets *packets, struct kv_txn *txn, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct view key, table;
	int rc = kv_cursor_open(txn, PART_FLOW, &cursor, err);

	while (rc >= 0 && (rc = kv_cursor_next(cursor, &key, &table, err)) > 0)
		rc = find_in_window(packets, table, err);
	kv_cursor_close(cursor);
	return rc < 0 ? rc : 0;
}

/* A question with no time asks every hour, of which few have the flow: no file of packets is opened for the others. */
static int open_for_flows(struct store_packets *packets, struct kv_txn *txn, const struct part_entry *entry,
			  struct err *err)
{
	int rc = find_slots(packets, txn, err);

	if (rc == 0 && packets->slots_count)
		rc = packet_files_open(txn, entry, packets->path, &packets->files, err);
	for (size_t i = 0; i < packets->slots_count && rc == 0; i++)
		rc = collect_slot(packets, txn, entry, &packets->slots[i], err);
	return rc;
}

static int cmp_refs(const void *a, const void *b)
{
	const struct block_entry *x = a, *y = b;

	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	if (x->number_min != y->number_min)
		return x->number_min < y->number_min ? -1 : 1;
	if (x->seg != y->seg)
		return x->seg < y->seg ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Sort, drop repeats (two flows in one block) and cut into sources. */
static int arrange(struct store_packets *packets, struct err *err)
{
	size_t kept = 0;

	if (packets->refs_count)
		qsort(packets->refs, packets->refs_count, sizeof(*packets->refs), cmp_refs);
	for (size_t i = 0; i < packets->refs_count; i++)
		if (i == 0 || cmp_refs(&packets->refs[kept - 1], &packets->refs[i]) != 0)
			packets->refs[kept++] = packets->refs[i];
	packets->refs_count = kept;
	for (size_t i = 0; i < kept; i++)
		packets->sources_count += i == 0 || packets->refs[i].source != packets->refs[i - 1].source;
	packets->sources = mem_array(packets->sources_count + 1, sizeof(*packets->sources));
	if (!packets->sources)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", packets->path);
	for (size_t i = 0, s = 0; i < kept; i++) {
		if (i && packets->refs[i].source != packets->refs[i - 1].source)
			s++;
		if (packets->sources[s].end == 0) {
			packets->sources[s].source = packets->refs[i].source;
			packets->sources[s].next = i;
		}
		packets->sources[s].end = i + 1;
	}
	return 0;
}

/* --------------------------------------------------------- open and close */

static int copy_flows(struct store_packets *packets, const uint64_t *flow_ids, size_t flow_count, struct err *err)
{
	packets->all_flows = flow_ids == NULL;
	packets->flow_count = flow_ids ? flow_count : 0;
	if (packets->flow_count == 0)
		return 0;
	packets->flow_ids = mem_dup(flow_ids, flow_count * sizeof(*flow_ids));
	packets->want.flows = packets->flow_ids;
	packets->want.flow_count = flow_count;
	return packets->flow_ids ? 0 : err_set(err, E_NO_MEMORY, "%s: out of memory", packets->path);
}

/* Of one segment of a sealed partition. */
static int units_open(struct kv_txn *txn, unsigned seg, const char *path, struct packet_files *files, struct err *err)
{
	struct part_key prefix = part_key_units(seg, 0);
	struct view from = view_make(prefix.at, PART_UNITS_KEY_LEN);
	struct kv_cursor *cursor = NULL;
	struct view key, directory;
	int rc = packet_units_new(files->fds[seg], path, UNITS_BYTES_MAX / files->count, &files->units[seg], err);

	if (rc == 0)
		rc = kv_cursor_open(txn, PART_META, &cursor, err);
	if (rc == 0)
		rc = kv_cursor_seek(cursor, from, &key, &directory, err);
	while (rc > 0 && key.len == from.len + 4 && memcmp(key.at, from.at, from.len) == 0) {
		rc = packet_units_learn(files->units[seg], directory, files->bytes[seg], err);
		if (rc == 0)
			rc = kv_cursor_next(cursor, &key, &directory, err);
	}
	kv_cursor_close(cursor);
	return rc < 0 ? rc : 0;
}

static int file_open(const char *dir, const char *file, int *ret_fd, struct err *err)
{
	char path[STORE_PATH_MAX];
	int rc = files_path(path, err, dir, file, NULL);

	if (rc < 0)
		return rc;
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret_fd >= 0)
		return 1;
	return errno == ENOENT ? 0 : err_errno(err, errno, "%s", path);
}

int packet_files_open(struct kv_txn *txn, const struct part_entry *entry, const char *path,
		      struct packet_files *ret_files, struct err *err)
{
	bool hot = entry->state == PART_HOT, any = false;
	int rc = 0;

	*ret_files = (struct packet_files){ .count = hot ? 1 : entry->segs_count };
	for (unsigned s = 0; s < PART_SEGS_MAX; s++)
		ret_files->fds[s] = -1;
	for (unsigned s = 0; s < ret_files->count && rc >= 0; s++) {
		ret_files->bytes[s] = hot ? entry->packet_bytes : entry->segs[s].bytes;
		if (!hot && (!entry->segs[s].held || entry->segs[s].bytes == 0))
			continue;
		rc = file_open(path, hot ? PART_LOG_FILE : part_seg_file(s), &ret_files->fds[s], err);
		any |= rc > 0;
		if (rc > 0 && !hot)
			rc = units_open(txn, s, path, ret_files, err);
	}
	if (rc >= 0 && hot && !any)
		rc = err_set(err, E_NOT_FOUND, "%s: has no " PART_LOG_FILE, path);
	else if (rc >= 0 && !any)
		rc = err_set(err, E_EXPIRED, "%s: retention has dropped the packets", path);
	return rc < 0 ? rc : 0;
}

void packet_files_close(struct packet_files *files)
{
	for (unsigned s = 0; s < files->count; s++) {
		packet_units_free(files->units[s]);
		if (files->fds[s] >= 0)
			(void)close(files->fds[s]);
	}
	files->count = 0;
}

int packets_open(struct kv_txn *txn, const struct part_entry *entry, const char *path, uint64_t from_ns,
		 uint64_t to_ns, const uint64_t *flow_ids, size_t flow_count, struct store_packets **ret_packets,
		 struct err *err)
{
	struct store_packets *packets = mem_zalloc(sizeof(*packets));
	int rc;

	if (!packets)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", path);
	packets->want = (struct packet_want){ .from_ns = from_ns, .to_ns = to_ns };
	wr_init(&packets->stored, 0);
	rc = files_path(packets->path, err, path, NULL, NULL);
	if (rc == 0)
		rc = copy_flows(packets, flow_ids, flow_count, err);
	if (rc == 0 && entry->tables[TABLE_PACKETS].rows && (packets->all_flows || packets->flow_count)) {
		if (!packets->all_flows && entry->state == PART_SEALED) {
			rc = open_for_flows(packets, txn, entry, err);
		} else {
			rc = packet_files_open(txn, entry, packets->path, &packets->files, err);
			if (rc == 0)
				rc = collect_table(packets, txn, entry, err);
		}
	}
	if (rc == 0)
		rc = arrange(packets, err);
	if (rc < 0) {
		store_packets_close(packets);
		return rc;
	}
	*ret_packets = packets;
	return 0;
}

int store_packets_open(struct store_view *view, size_t part, uint64_t from_ns, uint64_t to_ns,
		       const uint64_t *flow_ids, size_t flow_count, struct store_packets **ret_packets,
		       struct err *err)
{
	struct view_part *vp = NULL;
	int rc = view_part_touch(view, part, &vp, err);

	if (rc < 0)
		return rc;
	if (!vp->entry.has_packets)
		return err_set(err, E_EXPIRED, "%s: retention has dropped the packets", vp->info.path);
	rc = packets_open(vp->txn, &vp->entry, vp->part->path, from_ns, to_ns, flow_ids, flow_count, ret_packets, err);
	for (unsigned s = 0; rc == 0 && s < (*ret_packets)->files.count; s++)
		if ((*ret_packets)->files.units[s])
			packet_units_crew((*ret_packets)->files.units[s], view->crew);
	return rc;
}

bool store_packets_expired(const struct store_packets *packets)
{
	return packets->expired;
}

static void open_block_free(struct open_block *open)
{
	if (!open)
		return;
	packet_block_release(&open->block);
	packet_order_release(&open->order);
	mem_free(open);
}

void store_packets_close(struct store_packets *packets)
{
	if (!packets)
		return;
	for (size_t s = 0; s < packets->sources_count && packets->sources; s++) {
		for (size_t i = 0; i < packets->sources[s].heap_count; i++)
			open_block_free(packets->sources[s].heap[i].open);
		mem_free(packets->sources[s].heap);
	}
	while (packets->free) {
		struct open_block *open = packets->free;

		packets->free = open->next_free;
		open_block_free(open);
	}
	open_block_free(packets->spent);
	mem_free(packets->sources);
	mem_free(packets->slots);
	mem_free(packets->refs);
	mem_free(packets->flow_ids);
	wr_release(&packets->stored);
	packet_order_release(&packets->sorting);
	packet_files_close(&packets->files);
	mem_free(packets);
}

/* ------------------------------------------------------------------ merging */

static void heap_down(struct packet_source *source)
{
	struct head *heap = source->heap, down = heap[0];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < source->heap_count) {
		child += child + 1 < source->heap_count && heap[child + 1].number < heap[child].number;
		if (heap[child].number >= down.number)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = down;
}

static void heap_up(struct packet_source *source, size_t at)
{
	struct head *heap = source->heap, up = heap[at];

	while (at && up.number < heap[(at - 1) / 2].number) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = up;
}

static int open_block_get(struct store_packets *packets, struct open_block **ret_open)
{
	struct open_block *open = packets->free;

	if (open) {
		packets->free = open->next_free;
	} else {
		open = mem_zalloc(sizeof(*open));
		if (!open)
			return E_NO_MEMORY;
		if (packet_block_init(&open->block, 0) < 0) {
			mem_free(open);
			return E_NO_MEMORY;
		}
	}
	*ret_open = open;
	return 0;
}

static void open_block_put(struct store_packets *packets, struct open_block *open)
{
	open->next_free = packets->free;
	packets->free = open;
}

static int load(struct store_packets *packets, const struct block_entry *ref, struct open_block *open,
		struct err *err)
{
	struct err why = { 0 };
	int rc = 0;

	open->at = 0;
	wr_reset(&packets->stored);
	if (!wr_space(&packets->stored, ref->stored_bytes))
		return err_set(err, E_NO_MEMORY, "%s: out of memory", packets->path);
	rc = files_read_at(packets->files.fds[ref->seg], packets->stored.at, ref->stored_bytes, ref->offset,
			   packets->path, &why);
	if (rc == 0)
		rc = packet_block_read_some(wr_view(&packets->stored), packets->files.units[ref->seg],
					    &packets->want, &open->block, &why);
	if (rc == 0 && (open->block.source != ref->source || open->block.count > ref->count))
		rc = err_set(&why, E_CORRUPT, "another block lies there");
	if (rc == 0)
		rc = packet_order_take(&open->order, &open->block, &packets->want, &packets->sorting);
	return rc < 0 ? err_set(err, rc, "%s: packet block at %llu: %s", packets->path,
				(unsigned long long)ref->offset, why.code ? why.text : err_text(rc)) : 0;
}

/* Open every block whose first frame may be the next one of this source. */
static int fill(struct store_packets *packets, struct packet_source *source, struct err *err)
{
	while (source->next < source->end &&
	       (source->heap_count == 0 ||
		packets->refs[source->next].number_min < source->heap[0].number)) {
		/* Stepped over before it is opened: a damaged one is reported once. */
		const struct block_entry *ref = &packets->refs[source->next++];
		struct open_block *open = NULL;
		int rc = open_block_get(packets, &open);

		if (rc < 0)
			return err_set(err, rc, "%s: out of memory", packets->path);
		rc = load(packets, ref, open, err);
		if (rc == 0 && open->order.count)
			rc = mem_grow((void **)&source->heap, &source->heap_cap, source->heap_count,
				      sizeof(*source->heap));
		if (rc < 0 || open->order.count == 0) {
			open_block_put(packets, open);
			if (rc < 0)
				return err_set(err, rc, "%s: %s", packets->path, err_text(rc));
			continue;
		}
		source->heap[source->heap_count++] = (struct head){ open->order.places[0].number, open };
		heap_up(source, source->heap_count - 1);
	}
	return 0;
}

/* Frames of other flows come between this one and the next of its block: it would have to be waited for. */
static void look_ahead(const struct open_block *open)
{
	const struct packet_block *block = &open->block;
	const struct packet_rec *rec = &block->recs[open->order.places[open->at].index];
	const uint8_t *frame = block->bytes.at + (uintptr_t)rec->frame.at;

	if (open->at + 1 < open->order.count)
		__builtin_prefetch(&block->recs[open->order.places[open->at + 1].index]);
	for (size_t i = 0; i < AHEAD_BYTES && i < rec->frame.len; i += 64)
		__builtin_prefetch(frame + i);
}

int store_packets_next(struct store_packets *packets, struct packet_rec *ret_rec, uint64_t *ret_source,
		       struct err *err)
{
	struct packet_source *best = NULL;
	uint64_t best_ns = 0;
	struct open_block *open;

	if (packets->spent) {
		open_block_put(packets, packets->spent);
		packets->spent = NULL;
	}
	for (size_t s = 0; s < packets->sources_count; s++) {
		struct packet_source *source = &packets->sources[s];
		uint64_t time_ns;
		int rc = fill(packets, source, err);

		if (rc < 0)
			return rc;
		if (source->heap_count == 0)
			continue;
		open = source->heap[0].open;
		time_ns = open->block.recs[open->order.places[open->at].index].time_ns;
		if (!best || time_ns < best_ns) {
			best = source;
			best_ns = time_ns;
		}
	}
	if (!best)
		return 0;
	open = best->heap[0].open;
	*ret_rec = packet_block_rec(&open->block, open->order.places[open->at++].index);
	*ret_source = best->source;
	if (open->at == open->order.count) {
		packets->spent = open;
		best->heap[0] = best->heap[--best->heap_count];
	} else {
		best->heap[0].number = open->order.places[open->at].number;
		look_ahead(open);
	}
	if (best->heap_count)
		heap_down(best);
	return 1;
}
