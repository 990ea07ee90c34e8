#include "store/packet_window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/flow_table.h"
#include "store/packet_pack.h"
#include "store/packet_unit.h"

#define WINDOW_BYTES (32u << 20)	/* plain frame bytes */
#define WINDOW_FRAMES (1u << 17)
#define BLOCK_BYTES (2u << 20)		/* plain frame bytes of a block, */
#define BLOCK_FRAMES (1u << 14)		/* and frames: the headers of all are read for one */
#define TAKE_BYTES (256u << 10)		/* the frames of a smaller block are copied */
#define SPARE_MAX 16u

struct window_rec {
	struct packet_rec rec;
	uint32_t flow;		/* index of flows, as long as the load fills */
};

struct window_flow {		/* the frames of one flow of one source */
	uint64_t source, id;
	unsigned class_id;
	uint64_t last_number;
	uint32_t index;		/* in the order of first use */
	uint32_t count;
	bool unordered;		/* a number came too late */
};

struct window_block {		/* clustered[from, to) */
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
	size_t bytes;			/* of their frames, which lie */
	struct arena copies;		/* here, */
	struct wr *taken;		/* or came with their block */
	size_t taken_count, taken_cap;
	struct window_flow *flows;
	size_t flows_count, flows_cap;
	uint32_t *flow_slots;		/* hash of flows: index + 1 */
	size_t flow_slots_count;
	size_t flow_last;		/* index of the flow of the last frame */
	struct packet_rec *clustered;
	size_t clustered_cap;
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
	bool packed;			/* since the packers last forgot */
	struct wr value;
	struct wr spare[SPARE_MAX];	/* memory of frames that are written: blocks that give theirs get it */
	unsigned spare_count;
};

static int no_memory(struct err *err)
{
	return err_set(err, E_NO_MEMORY, "packets: out of memory");
}

static void load_init(struct load *load, struct packet_window *window)
{
	*load = (struct load){ .window = window };
	arena_init(&load->copies, 0);
	load->copies.keep_bytes = WINDOW_BYTES;
}

static void load_release(struct load *load)
{
	struct packet_window *window = load->window;

	for (size_t i = 0; i < load->blocks_ready; i++)
		packet_packed_release(&load->blocks[i].packed);
	for (size_t i = 0; i < load->taken_count; i++)
		wr_release(&load->taken[i]);
	arena_release(&load->copies);
	mem_free(load->taken);
	mem_free(load->blocks);
	mem_free(load->recs);
	mem_free(load->flows);
	mem_free(load->flow_slots);
	mem_free(load->clustered);
	mem_free(load->slots);
	load_init(load, window);
}

static void load_reset(struct load *load)
{
	struct packet_window *window = load->window;

	load->count = load->flows_count = load->blocks_count = load->slots_count = 0;
	memset(load->segs, 0, sizeof(load->segs));
	if (load->flow_slots)
		memset(load->flow_slots, 0, load->flow_slots_count * sizeof(*load->flow_slots));
	arena_reset(&load->copies);
	while (load->taken_count) {
		struct wr *taken = &load->taken[--load->taken_count];

		if (window->spare_count < SPARE_MAX)
			window->spare[window->spare_count++] = *taken;
		else
			wr_release(taken);
	}
	load->bytes = 0;
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
	load->flows[load->flows_count] = (struct window_flow){ .source = source, .id = id,
								   .index = (uint32_t)load->flows_count };
	*ret_index = load->flows_count++;
	load->flow_slots[at] = (uint32_t)load->flows_count;
	return 0;
}

/* The frame stays where it is. */
static int load_add(struct load *load, const struct packet_rec *rec, uint64_t source)
{
	struct window_flow *flow;
	size_t at;

	if (mem_grow((void **)&load->recs, &load->recs_cap, load->count, sizeof(*load->recs)) < 0 ||
	    flow_find(load, source, rec->flow_id, &at) < 0)
		return E_NO_MEMORY;
	load->flow_last = at;
	load->recs[load->count++] = (struct window_rec){ .rec = *rec, .flow = (uint32_t)at };
	load->bytes += rec->frame.len;
	flow = &load->flows[at];
	flow->unordered |= flow->count && rec->number < flow->last_number;
	flow->last_number = rec->number;
	flow->count++;
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

static int cmp_numbers(const void *a, const void *b)
{
	const struct packet_rec *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Begin a block at clustered[from]. */
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

/* The frames of one flow behind those clustered so far, cut into blocks. */
static int cluster_flow(struct load *load, const struct window_flow *flow, unsigned seg, uint32_t *at,
			size_t *block_bytes)
{
	const uint32_t first_block = load->window->opts.entry->tables[TABLE_PACKETS].groups;
	uint32_t from = *at, begun = (uint32_t)load->blocks_count;

	*at += flow->count;
	if (flow->unordered)
		qsort(load->clustered + from, flow->count, sizeof(*load->clustered), cmp_numbers);
	for (uint32_t i = from; i < *at; i++) {
		const struct packet_rec *rec = &load->clustered[i];
		struct window_block *block = load->blocks_count ? &load->blocks[load->blocks_count - 1] : NULL;
		uint64_t hour = rec->time_ns / NS_PER_HOUR;

		if (!block || block->seg != seg || block->source != flow->source || *block_bytes >= BLOCK_BYTES ||
		    block->to - block->from == BLOCK_FRAMES ||
		    load->clustered[block->from].time_ns / NS_PER_HOUR != hour) {
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

/* Flows in the order of classes, sources and ids, and the frames of each in the order they came. */
static int gather(struct load *load)
{
	uint32_t *places = load->flow_slots;	/* by index of the flow; the table is used up */
	uint32_t at = 0;

	if (load->clustered_cap < load->count) {
		mem_free(load->clustered);
		load->clustered_cap = 0;
		load->clustered = mem_resize(NULL, load->recs_cap, sizeof(*load->clustered));
		if (!load->clustered)
			return E_NO_MEMORY;
		load->clustered_cap = load->recs_cap;
	}
	qsort(load->flows, load->flows_count, sizeof(*load->flows), cmp_flows);
	for (size_t i = 0; i < load->flows_count; i++) {
		places[load->flows[i].index] = at;
		at += load->flows[i].count;
	}
	for (size_t i = 0; i < load->count; i++)
		load->clustered[places[load->recs[i].flow]++] = load->recs[i].rec;
	return 0;
}

/* Classes, each in a segment of its own, and the flows of each. */
static int cluster(struct load *load, struct err *err)
{
	struct packet_window *window = load->window;
	size_t block_bytes = 0;
	unsigned seg = 0;
	uint32_t at = 0;

	for (size_t i = 0; i < load->flows_count; i++)
		load->flows[i].class_id = payload_classes_of(window->opts.classes, load->flows[i].id);
	if (gather(load) < 0)
		return no_memory(err);
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

	packet_packer_pack(load->window->segs[block->seg].packer, block->step, block->source,
			   load->clustered + block->from, block->to - block->from, &block->packed);
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
	int rc;

	if (count)
		qsort(load->slots + from, count, sizeof(*load->slots), cmp_slots);
	wr_reset(&window->value);
	rc = flow_table_write(load->slots + from, count, &window->value, err);
	return rc < 0 ? rc : kv_batch_put(window->opts.batch, PART_FLOW, KV_PUT_APPEND, part_key_view(&key),
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
	window->packed = true;
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
	for (unsigned i = 0; i < 2; i++)
		load_init(&window->loads[i], window);
	rc = seg_of(window, 0, &seg, err);
	if (rc < 0) {
		packet_window_free(window);
		return rc;
	}
	*ret_window = window;
	return 0;
}

static void spare_release(struct packet_window *window)
{
	while (window->spare_count)
		wr_release(&window->spare[--window->spare_count]);
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
	spare_release(window);
	wr_release(&window->value);
	mem_free(window);
}

/* Room for so many frames more; *ret_load is where they go. */
static int load_room(struct packet_window *window, size_t frames, size_t bytes, struct load **ret_load, struct err *err)
{
	const struct load *load = &window->loads[window->filling];

	if (load->count && (load->bytes + bytes > WINDOW_BYTES || load->count + frames > WINDOW_FRAMES)) {
		int rc = turn_over(window, err);

		if (rc < 0)
			return rc;
	}
	*ret_load = &window->loads[window->filling];
	return 0;
}

int packet_window_add(struct packet_window *window, const struct packet_rec *rec, uint64_t source, struct err *err)
{
	struct packet_rec copy = *rec;
	struct load *load;
	uint8_t *at;
	int rc = load_room(window, 1, rec->frame.len, &load, err);

	if (rc < 0)
		return rc;
	at = arena_alloc(&load->copies, rec->frame.len + 1);
	if (!at)
		return no_memory(err);
	if (rec->frame.len)
		memcpy(at, rec->frame.at, rec->frame.len);
	copy.frame.at = at;
	return load_add(load, &copy, source) < 0 ? no_memory(err) : 0;
}

int packet_window_take(struct packet_window *window, struct packet_block *block, struct err *err)
{
	struct load *load;
	int rc;

	if (block->bytes.len < TAKE_BYTES) {
		for (uint32_t i = 0; i < block->count; i++) {
			struct packet_rec rec = packet_block_rec(block, i);

			rc = packet_window_add(window, &rec, block->source, err);
			if (rc < 0)
				return rc;
		}
		return 0;
	}
	rc = load_room(window, block->count, block->bytes.len, &load, err);
	if (rc < 0)
		return rc;
	if (mem_grow((void **)&load->taken, &load->taken_cap, load->taken_count, sizeof(*load->taken)) < 0)
		return no_memory(err);
	for (uint32_t i = 0; i < block->count && rc == 0; i++) {
		struct packet_rec rec = packet_block_rec(block, i);

		rc = load_add(load, &rec, block->source);
	}
	load->taken[load->taken_count++] = block->bytes;
	wr_init(&block->bytes, 0);
	if (window->spare_count) {
		block->bytes = window->spare[--window->spare_count];
		wr_reset(&block->bytes);
	}
	packet_block_reset(block);
	return rc < 0 ? no_memory(err) : 0;
}

size_t packet_window_bytes(const struct packet_window *window)
{
	size_t bytes = window->packed ? PACKET_PACKER_BYTES_MAX : 0;

	for (unsigned i = 0; i < 2; i++)
		bytes += window->loads[i].bytes + window->loads[i].recs_cap * sizeof(*window->loads[i].recs) +
			 window->loads[i].clustered_cap * sizeof(*window->loads[i].clustered);
	if (window->spare_count)	/* of a load's frames, until the next ones lie there */
		bytes += WINDOW_BYTES - (window->loads[window->filling].bytes < WINDOW_BYTES ?
					 window->loads[window->filling].bytes : WINDOW_BYTES);
	return bytes;
}

int packet_window_start(struct packet_window *window, struct err *err)
{
	return turn_over(window, err);
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
	spare_release(window);
	for (unsigned seg = 0; seg < window->segs_count; seg++)
		packet_packer_forget(window->segs[seg].packer);
	window->packed = false;
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
