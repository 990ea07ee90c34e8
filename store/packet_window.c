#include "store/packet_window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/packet_pack.h"
#include "store/packet_unit.h"

#define WINDOW_BYTES (32u << 20)	/* plain frame bytes */
#define WINDOW_FRAMES (1u << 17)
#define BLOCK_BYTES (2u << 20)		/* plain frame bytes of a block, */
#define BLOCK_FRAMES (1u << 14)		/* and frames: the headers of all are read for one */
#define NONE UINT32_MAX

struct window_rec {
	struct packet_rec rec;	/* frame.at is an offset into the load's bytes */
	uint32_t next;		/* of its flow, NONE: the last */
};

struct window_flow {		/* the frames of one flow of one source, in the order they came */
	uint64_t source, id;
	unsigned class_id;
	uint64_t last_number;
	uint32_t first, last;	/* recs */
	bool unordered;		/* a number came too late */
};

struct window_block {		/* order[from, to) */
	uint32_t from, to;
	uint64_t source;
	unsigned seg;
	size_t step;		/* of those of its segment */
	struct packet_packed packed;
};

struct window_seg {		/* a segment of the partition: the same places as in its entry */
	int fd;
	char path[STORE_PATH_MAX];
	uint64_t units;		/* written so far */
	struct packet_packer *packer;
};

/* A load's blocks and slots of one segment. */
struct load_seg {
	size_t blocks_from, blocks_to;
	size_t slots_from, slots_to;
};

/* One window: being filled, then being packed. */
struct load {
	struct packet_window *window;
	struct window_rec *recs;
	size_t count, recs_cap;
	struct wr bytes;
	struct window_flow *flows;
	size_t flows_count, flows_cap;
	uint32_t *flow_slots;		/* hash of flows: index + 1 */
	size_t flow_slots_count;
	size_t flow_last;		/* index of the flow of the last frame */
	uint32_t *order;		/* recs, clustered: while they are packed */
	struct packet_rec *clustered;	/* by order, with their bytes: as long */
	struct window_block *blocks;
	size_t blocks_count, blocks_cap;
	size_t blocks_ready;		/* with a live `packed` */
	struct flow_slot *slots;
	size_t slots_count, slots_cap;
	struct load_seg segs[PART_SEGS_MAX];
	bool packing;
};

struct packet_window {
	struct packet_window_opts opts;
	struct window_seg segs[PART_SEGS_MAX];	/* those of the entry */
	unsigned segs_count;
	struct load loads[2];
	unsigned filling;		/* which of the loads */
	uint32_t number;		/* of the next window */
	struct wr value;
};

static int no_memory(struct err *err)
{
	return err_set(err, E_NO_MEMORY, "packets: out of memory");
}

static void load_release(struct load *load)
{
	struct packet_window *window = load->window;

	for (size_t i = 0; i < load->blocks_ready; i++)
		packet_packed_release(&load->blocks[i].packed);
	mem_free(load->blocks);
	mem_free(load->recs);
	mem_free(load->flows);
	mem_free(load->flow_slots);
	mem_free(load->order);
	mem_free(load->clustered);
	mem_free(load->slots);
	wr_release(&load->bytes);
	*load = (struct load){ .window = window };
	wr_init(&load->bytes, 0);
}

static void load_reset(struct load *load)
{
	load->count = load->flows_count = load->blocks_count = load->slots_count = 0;
	memset(load->segs, 0, sizeof(load->segs));
	if (load->flow_slots)
		memset(load->flow_slots, 0, load->flow_slots_count * sizeof(*load->flow_slots));
	wr_reset(&load->bytes);
	mem_free(load->order);
	mem_free(load->clustered);
	load->order = NULL;
	load->clustered = NULL;
	load->packing = false;
}

/* ------------------------------------------------------------------ filling */

static size_t flow_hash(uint64_t source, uint64_t id)
{
	return (size_t)hash_mix(source, id);
}

static int flow_slots_double(struct load *load)
{
	size_t count = load->flow_slots_count ? load->flow_slots_count * 2 : 1024;
	uint32_t *slots = mem_array(count, sizeof(*slots));

	if (!slots)
		return E_NO_MEMORY;
	for (size_t i = 0; i < load->flows_count; i++) {
		size_t at = flow_hash(load->flows[i].source, load->flows[i].id) & (count - 1);

		while (slots[at])
			at = (at + 1) & (count - 1);
		slots[at] = (uint32_t)i + 1;
	}
	mem_free(load->flow_slots);
	load->flow_slots = slots;
	load->flow_slots_count = count;
	return 0;
}

/* The flow's place in load->flows, made when it is new. */
static int flow_find(struct load *load, uint64_t source, uint64_t id, size_t *ret_index)
{
	struct window_flow *flow = load->flows_count ? &load->flows[load->flow_last] : NULL;
	size_t at;

	if (flow && flow->id == id && flow->source == source) {	/* trains of one flow are the rule */
		*ret_index = load->flow_last;
		return 0;
	}
	if (2 * load->flows_count >= load->flow_slots_count && flow_slots_double(load) < 0)
		return E_NO_MEMORY;
	at = flow_hash(source, id) & (load->flow_slots_count - 1);
	for (; load->flow_slots[at]; at = (at + 1) & (load->flow_slots_count - 1)) {
		flow = &load->flows[load->flow_slots[at] - 1];
		if (flow->id == id && flow->source == source) {
			*ret_index = load->flow_slots[at] - 1;
			return 0;
		}
	}
	if (mem_grow((void **)&load->flows, &load->flows_cap, load->flows_count, sizeof(*load->flows)) < 0)
		return E_NO_MEMORY;
	load->flows[load->flows_count] = (struct window_flow){ .source = source, .id = id, .first = NONE, .last = NONE };
	*ret_index = load->flows_count++;
	load->flow_slots[at] = (uint32_t)load->flows_count;
	return 0;
}

static int load_add(struct load *load, const struct packet_rec *rec, uint64_t source)
{
	struct window_flow *flow;
	struct window_rec *slot;
	uint32_t index = (uint32_t)load->count;
	size_t at;

	if (mem_grow((void **)&load->recs, &load->recs_cap, load->count, sizeof(*load->recs)) < 0 ||
	    flow_find(load, source, rec->flow_id, &at) < 0)
		return E_NO_MEMORY;
	load->flow_last = at;
	slot = &load->recs[index];
	*slot = (struct window_rec){ .rec = *rec, .next = NONE };
	slot->rec.frame.at = (const uint8_t *)(uintptr_t)load->bytes.len;
	wr_bytes(&load->bytes, rec->frame);
	if (load->bytes.bad)
		return E_NO_MEMORY;
	load->count++;
	flow = &load->flows[at];
	if (flow->last == NONE)
		flow->first = index;
	else
		load->recs[flow->last].next = index;
	flow->unordered |= flow->last != NONE && rec->number < flow->last_number;
	flow->last_number = rec->number;
	flow->last = index;
	return 0;
}

/* --------------------------------------------------------------- clustering */

static int cmp_flows(const void *a, const void *b)
{
	const struct window_flow *x = a, *y = b;

	if (x->class_id != y->class_id)
		return x->class_id < y->class_id ? -1 : 1;
	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int cmp_numbers(const void *a, const void *b, void *arg)
{
	const struct window_rec *recs = arg;
	uint64_t x = recs[*(const uint32_t *)a].rec.number, y = recs[*(const uint32_t *)b].rec.number;

	return x < y ? -1 : x > y;
}

/* Begin a block at order[from]. */
static int block_begin(struct load *load, uint32_t from, uint64_t source, unsigned seg)
{
	struct window_block *block;

	if (mem_grow((void **)&load->blocks, &load->blocks_cap, load->blocks_count, sizeof(*load->blocks)) < 0)
		return E_NO_MEMORY;
	block = &load->blocks[load->blocks_count];
	if (load->blocks_count == load->blocks_ready) {
		packet_packed_init(&block->packed);
		load->blocks_ready++;
	}
	load->blocks_count++;
	block->from = block->to = from;
	block->source = source;
	block->seg = seg;
	block->step = load->blocks_count - 1 - load->segs[seg].blocks_from;
	return 0;
}

/* The frames of one flow behind those ordered so far, cut into blocks. */
static int cluster_flow(struct load *load, const struct window_flow *flow, unsigned seg, uint32_t *at,
			size_t *block_bytes)
{
	const uint32_t first_block = load->window->opts.entry->tables[TABLE_PACKETS].groups;
	uint32_t from = *at, begun;
	uint64_t hour;

	for (uint32_t i = flow->first; i != NONE; i = load->recs[i].next)
		load->order[(*at)++] = i;
	if (flow->unordered)
		qsort_r(load->order + from, *at - from, sizeof(*load->order), cmp_numbers, load->recs);
	begun = (uint32_t)load->blocks_count;
	for (uint32_t i = from; i < *at; i++) {
		const struct packet_rec *rec = &load->recs[load->order[i]].rec;
		struct window_block *block = load->blocks_count ? &load->blocks[load->blocks_count - 1] : NULL;

		hour = rec->time_ns / NS_PER_HOUR;
		if (!block || block->seg != seg || block->source != flow->source || *block_bytes >= BLOCK_BYTES ||
		    block->to - block->from == BLOCK_FRAMES ||
		    load->recs[load->order[block->from]].rec.time_ns / NS_PER_HOUR != hour) {
			if (block_begin(load, i, flow->source, seg) < 0)
				return E_NO_MEMORY;
			*block_bytes = 0;
		}
		block = &load->blocks[load->blocks_count - 1];
		if (i == from)
			begun = (uint32_t)load->blocks_count - 1;
		block->to++;
		*block_bytes += rec->frame.len;
	}
	if (flow->id == 0)
		return 0;
	if (mem_grow((void **)&load->slots, &load->slots_cap, load->slots_count, sizeof(*load->slots)) < 0)
		return E_NO_MEMORY;
	load->slots[load->slots_count++] = (struct flow_slot){ flow->id, first_block + begun,
							       (uint32_t)load->blocks_count - begun };
	return 0;
}

/* The segment of a class, made when it is the first time; its file, too. */
static int seg_of(struct packet_window *window, unsigned class_id, unsigned *ret_seg, struct err *err)
{
	const char *name = payload_classes_name(window->opts.classes, class_id);
	struct window_seg *seg;
	unsigned s;
	int rc = part_entry_seg(window->opts.entry, name, &s);

	if (rc < 0)	/* more classes than segments: cannot be, both have one bound */
		return err_set(err, rc, "packets: class %s: too many of them", name);
	if (s < window->segs_count) {
		*ret_seg = s;
		return 0;
	}
	seg = &window->segs[s];
	*seg = (struct window_seg){ .fd = -1 };
	window->segs_count++;
	rc = files_path(seg->path, err, window->opts.dir, part_seg_file(s), NULL);
	if (rc == 0 && packet_packer_new(window->opts.zstd_level, &seg->packer) < 0)
		rc = no_memory(err);
	if (rc < 0)
		return rc;
	seg->fd = open(seg->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (seg->fd < 0)
		return err_errno(err, errno, "%s: create", seg->path);
	if (fchmod(seg->fd, 0640) < 0 ||
	    (window->opts.group_gid >= 0 && fchown(seg->fd, (uid_t)-1, (gid_t)window->opts.group_gid) < 0))
		return err_errno(err, errno, "%s: give to group %d", seg->path, window->opts.group_gid);
	*ret_seg = s;
	return 0;
}

/* Classes, each in a segment of its own, and the flows of each. */
static int cluster(struct load *load, struct err *err)
{
	struct packet_window *window = load->window;
	size_t block_bytes = 0;
	unsigned seg = 0;
	uint32_t at = 0;

	mem_free(load->order);
	mem_free(load->clustered);
	load->order = mem_array(load->count, sizeof(*load->order));
	load->clustered = mem_resize(NULL, load->count, sizeof(*load->clustered));
	if (!load->order || !load->clustered)
		return no_memory(err);
	for (size_t i = 0; i < load->flows_count; i++)
		load->flows[i].class_id = payload_classes_of(window->opts.classes, load->flows[i].id);
	qsort(load->flows, load->flows_count, sizeof(*load->flows), cmp_flows);
	for (size_t i = 0; i < load->flows_count; i++) {
		if (i == 0 || load->flows[i].class_id != load->flows[i - 1].class_id) {
			int rc = seg_of(window, load->flows[i].class_id, &seg, err);

			if (rc < 0)
				return rc;
			load->segs[seg].blocks_from = load->blocks_count;
			load->segs[seg].slots_from = load->slots_count;
		}
		if (cluster_flow(load, &load->flows[i], seg, &at, &block_bytes) < 0)
			return no_memory(err);
		load->segs[seg].blocks_to = load->blocks_count;
		load->segs[seg].slots_to = load->slots_count;
	}
	return 0;
}

/* ------------------------------------------------------------------ packing */

/* One block of a load; any thread. */
static void pack_block(void *arg, size_t step)
{
	struct load *load = arg;
	struct window_block *block = &load->blocks[step];
	uint32_t count = block->to - block->from;

	for (uint32_t i = 0; i < count; i++) {
		struct packet_rec *rec = &load->clustered[block->from + i];

		*rec = load->recs[load->order[block->from + i]].rec;
		rec->frame.at = load->bytes.at + (uintptr_t)rec->frame.at;
	}
	packet_packer_pack(load->window->segs[block->seg].packer, block->step, block->source,
			   load->clustered + block->from, count, &block->packed);
}

/* ------------------------------------------------------------------ writing */

/* Append to a segment. */
static int seg_write(struct packet_window *window, unsigned seg, struct view bytes, struct err *err)
{
	struct part_seg *entry = &window->opts.entry->segs[seg];
	int rc = files_write_at(window->segs[seg].fd, bytes, entry->bytes, window->segs[seg].path, err);

	if (rc < 0)
		return rc;
	entry->bytes += bytes.len;
	window->opts.entry->packet_bytes += bytes.len;
	return 0;
}

/* The payload units of all blocks of a segment, and where they lie. */
static int write_units(struct packet_window *window, const struct load *load, unsigned seg, struct err *err)
{
	struct part_key key = part_key_units(seg, window->number);
	uint64_t offset = window->opts.entry->segs[seg].bytes, first = window->segs[seg].units;
	struct wr unit_bytes;
	int rc = 0;

	wr_init(&unit_bytes, 0);
	for (size_t i = load->segs[seg].blocks_from; i < load->segs[seg].blocks_to && rc == 0; i++) {
		const struct packet_packed *packed = &load->blocks[i].packed;

		if (packed->rc < 0)
			rc = err_set(err, packed->rc, "%s", packed->err.text);
		else if (packed->units.len)
			rc = seg_write(window, seg, wr_view(&packed->units), err);
		wr_bytes(&unit_bytes, wr_view(&packed->unit_bytes));
	}
	wr_reset(&window->value);
	packet_directory_write(first, offset, wr_view(&unit_bytes), &window->value);
	window->segs[seg].units += unit_bytes.len / sizeof(uint32_t);
	if (rc == 0 && (unit_bytes.bad || window->value.bad))
		rc = no_memory(err);
	if (rc == 0 && unit_bytes.len)
		rc = kv_batch_put(window->opts.batch, PART_META, KV_PUT, part_key_view(&key), wr_view(&window->value),
				  err);
	wr_release(&unit_bytes);
	return rc;
}

static int write_block(struct packet_window *window, unsigned seg, const struct packet_packed *packed,
		       struct err *err)
{
	struct part_entry *part = window->opts.entry;
	struct part_table *table = &part->tables[TABLE_PACKETS];
	struct part_seg *in = &part->segs[seg];
	struct part_key key = part_key_u32(table->groups);
	struct block_entry entry = packed->entry;
	int rc;

	entry.offset = in->bytes;
	entry.stored_bytes = (uint32_t)packed->block.len;
	entry.window = window->number;
	entry.seg = seg;
	wr_reset(&window->value);
	rc = block_entry_write(&entry, NULL, &window->value);
	if (rc == 0 && window->value.bad)
		rc = no_memory(err);
	if (rc == 0)
		rc = seg_write(window, seg, wr_view(&packed->block), err);
	if (rc == 0)
		rc = kv_batch_put(window->opts.batch, PART_PKB, KV_PUT_APPEND, part_key_view(&key),
				  wr_view(&window->value), err);
	if (rc < 0)
		return rc;
	table->groups++;
	part_entry_count(part, TABLE_PACKETS, entry.count, entry.time_min, entry.time_max, entry.time_max);
	in->packets += entry.count;
	in->time_min = entry.time_min < in->time_min ? entry.time_min : in->time_min;
	in->time_max = entry.time_max > in->time_max ? entry.time_max : in->time_max;
	part->packet_plain_bytes += entry.plain_bytes;
	return 0;
}

static int cmp_slots(const void *a, const void *b)
{
	const struct flow_slot *x = a, *y = b;

	if (x->flow_id != y->flow_id)
		return x->flow_id < y->flow_id ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

static int write_slots(struct packet_window *window, struct load *load, unsigned seg, struct err *err)
{
	struct part_key key = part_key_u32(window->number);
	size_t from = load->segs[seg].slots_from, count = load->segs[seg].slots_to - from;

	if (count)
		qsort(load->slots + from, count, sizeof(*load->slots), cmp_slots);
	wr_reset(&window->value);
	flow_table_write(load->slots + from, count, &window->value);
	if (window->value.bad)
		return no_memory(err);
	return kv_batch_put(window->opts.batch, PART_FLOW, KV_PUT_APPEND, part_key_view(&key),
			    wr_view(&window->value), err);
}

/* What a load has of one segment: a window. */
static int settle_seg(struct packet_window *window, struct load *load, unsigned seg, struct err *err)
{
	uint64_t from = window->opts.entry->segs[seg].bytes;
	int rc = write_units(window, load, seg, err);

	for (size_t i = load->segs[seg].blocks_from; i < load->segs[seg].blocks_to && rc == 0; i++)
		rc = write_block(window, seg, &load->blocks[i].packed, err);
	if (rc == 0)
		rc = write_slots(window, load, seg, err);
	window->number++;
	if (seg)	/* memory is one window's, however many classes there are */
		packet_packer_forget(window->segs[seg].packer);
	/* Begin to write it out: the sync at the end waits for less. A hint, so failing is fine. */
	(void)sync_file_range(window->segs[seg].fd, (off_t)from, 0, SYNC_FILE_RANGE_WRITE);
	return rc;
}

/* Wait for the load that is being packed, if there is one, and write it. */
static int settle(struct packet_window *window, struct load *load, struct err *err)
{
	int rc = 0;

	if (!load->packing)
		return 0;
	if (window->opts.pool)
		pool_wait(window->opts.pool);
	for (unsigned seg = 0; seg < window->segs_count && rc == 0; seg++)
		if (load->segs[seg].blocks_to)
			rc = settle_seg(window, load, seg, err);
	load_reset(load);
	return rc;
}

/* The window that fills is full: pack it, and go on with the other one. */
static int turn_over(struct packet_window *window, struct err *err)
{
	struct load *load = &window->loads[window->filling], *other = &window->loads[!window->filling];
	int rc = settle(window, other, err);

	if (rc < 0 || load->count == 0)
		return rc;
	rc = cluster(load, err);
	if (rc < 0)
		return rc;
	load->packing = true;
	for (unsigned seg = 0; seg < window->segs_count; seg++)
		packet_packer_begin(window->segs[seg].packer);
	if (window->opts.pool) {
		window->filling = !window->filling;
		pool_start(window->opts.pool, pack_block, load, load->blocks_count);
		return 0;
	}
	for (size_t i = 0; i < load->blocks_count; i++)
		pack_block(load, i);
	return settle(window, load, err);
}

/* --------------------------------------------------------------------- door */

int packet_window_new(const struct packet_window_opts *opts, struct packet_window **ret_window, struct err *err)
{
	struct packet_window *window = mem_zalloc(sizeof(*window));
	unsigned seg;
	int rc;

	if (!window)
		return no_memory(err);
	window->opts = *opts;
	wr_init(&window->value, 0);
	for (unsigned i = 0; i < 2; i++) {
		window->loads[i].window = window;
		wr_init(&window->loads[i].bytes, 0);
	}
	rc = seg_of(window, 0, &seg, err);
	if (rc < 0) {
		packet_window_free(window);
		return rc;
	}
	*ret_window = window;
	return 0;
}

void packet_window_free(struct packet_window *window)
{
	if (!window)
		return;
	for (unsigned i = 0; i < 2; i++) {
		if (window->loads[i].packing && window->opts.pool)
			pool_wait(window->opts.pool);
		load_release(&window->loads[i]);
	}
	for (unsigned seg = 0; seg < window->segs_count; seg++) {
		packet_packer_free(window->segs[seg].packer);
		if (window->segs[seg].fd >= 0)
			(void)close(window->segs[seg].fd);
	}
	wr_release(&window->value);
	mem_free(window);
}

int packet_window_add(struct packet_window *window, const struct packet_rec *rec, uint64_t source, struct err *err)
{
	struct load *load = &window->loads[window->filling];

	if (load->count && (load->bytes.len + rec->frame.len > WINDOW_BYTES || load->count >= WINDOW_FRAMES)) {
		int rc = turn_over(window, err);

		if (rc < 0)
			return rc;
		load = &window->loads[window->filling];
	}
	return load_add(load, rec, source) < 0 ? no_memory(err) : 0;
}

size_t packet_window_bytes(const struct packet_window *window)
{
	const struct load *load = &window->loads[window->filling];

	return load->bytes.len + load->count * sizeof(*load->recs);
}

int packet_window_flush(struct packet_window *window, struct err *err)
{
	int rc = turn_over(window, err);

	for (unsigned i = 0; i < 2; i++) {
		if (rc == 0)
			rc = settle(window, &window->loads[i], err);
		else if (window->loads[i].packing && window->opts.pool)
			pool_wait(window->opts.pool);
		load_release(&window->loads[i]);
	}
	for (unsigned seg = 0; seg < window->segs_count; seg++)
		packet_packer_forget(window->segs[seg].packer);
	return rc;
}

int packet_window_end(struct packet_window *window, struct err *err)
{
	int rc = packet_window_flush(window, err);

	for (unsigned i = 0; i < window->segs_count; i++) {
		struct window_seg *seg = &window->segs[i];

		if (rc == 0 && fsync(seg->fd) < 0)
			rc = err_errno(err, errno, "%s: sync", seg->path);
		if (close(seg->fd) < 0 && rc == 0)
			rc = err_errno(err, errno, "%s: close", seg->path);
		seg->fd = -1;
	}
	return rc;
}
