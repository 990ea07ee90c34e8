/*
 * Rows, newest first or oldest first. Partitions hold one hour of start_ns each, so
 * an hour's rows are final once the hour has been read: nothing is sorted
 * across hours. Within one, a heap keeps the first keys (start, id) of those
 * still wanted, row groups come in the order of their zones, and the walk stops
 * when the next zone lies behind the heap. Only then are the columns of the
 * surviving rows decoded. Where few rows match, several hours are looked at
 * together, and row groups by several threads ahead of their turn.
 */
#include "query/rows.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

#define KEYS_MAX	(1u << 20)  /* of one pass over an hour; more rows take more passes */
#define BATCH_BYTES_MAX (16u << 20) /* row structs made at a time */

#define GROUPS_AT_A_TIME 8u	    /* row groups of more hours than one: a pass holds all their keys */
#define WAVE_MAX	16	    /* row groups read ahead at most */

struct key {
	uint64_t start_ns, id;
	uint32_t group, row; /* group: index into scan->groups */
};

struct rows {
	struct plan *plan;
	const struct rows_want *want;
	bool (*row)(void *arg, const struct table *table, const void *row);
	void *arg;
	struct scan scan;

	/* Row groups are read ahead of their turn, a wave at a time. */
	struct scan_ahead ahead;
	struct scan_step steps[WAVE_MAX];
	struct found {
		struct key *keys;
		size_t count, cap;
	} found[WAVE_MAX];	/* in a row group of the wave */
	size_t wave_from;	/* its first row group, or run of slots */

	struct key *heap; /* the last wanted one on top */
	size_t heap_count, heap_cap, heap_max;

	bool bounded; /* only keys at or behind bound */
	struct cursor bound;
	uint32_t skip; /* of those that equal bound */

	uint64_t left;	    /* rows still wanted */
	struct cursor last; /* handed out */
	bool handed_any, stopped;
	struct batch *batch;
	struct arena *texts; /* of a batch, one a worker */
};

/* ---- order ---- */

static int place_cmp(const struct rows *rows, const struct key *a, const struct key *b)
{
	const struct scan_group *x = &rows->scan.groups[a->group],
				*y = &rows->scan.groups[b->group];

	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	if (x->rg != y->rg)
		return x->rg < y->rg ? -1 : 1;
	return (a->row > b->row) - (a->row < b->row);
}

/* <0: a comes first in the answer. */
static int key_cmp(const struct rows *rows, const struct key *a, const struct key *b)
{
	int order = (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);

	if (!order)
		order = (a->id > b->id) - (a->id < b->id);
	if (order)
		return rows->want->ascending ? order : -order;
	return place_cmp(rows, a, b);
}

/* <0: key comes before the bound, 0: it has the bound's start and id. */
static int bound_cmp(const struct rows *rows, const struct key *key)
{
	int order = (key->start_ns > rows->bound.start_ns) - (key->start_ns < rows->bound.start_ns);

	if (!order)
		order = (key->id > rows->bound.id) - (key->id < rows->bound.id);
	return rows->want->ascending ? order : -order;
}

static void heap_down(struct rows *rows, size_t at, size_t count)
{
	for (;;) {
		size_t kid = 2 * at + 1;
		struct key swap;

		if (kid >= count)
			return;
		if (kid + 1 < count && key_cmp(rows, &rows->heap[kid + 1], &rows->heap[kid]) > 0)
			kid++;
		if (key_cmp(rows, &rows->heap[kid], &rows->heap[at]) <= 0)
			return;
		swap = rows->heap[at];
		rows->heap[at] = rows->heap[kid];
		rows->heap[kid] = swap;
		at = kid;
	}
}

static int heap_offer(struct rows *rows, const struct key *key, struct err *err)
{
	size_t at = rows->heap_count;

	if (rows->heap_count == rows->heap_max) {
		if (key_cmp(rows, key, &rows->heap[0]) >= 0)
			return 0;
		rows->heap[0] = *key;
		heap_down(rows, 0, rows->heap_count);
		return 0;
	}
	if (mem_grow((void **)&rows->heap, &rows->heap_cap, rows->heap_count, sizeof(*rows->heap)) <
	    0)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rows->heap[rows->heap_count++] = *key;
	while (at && key_cmp(rows, &rows->heap[at], &rows->heap[(at - 1) / 2]) > 0) {
		struct key swap = rows->heap[at];

		rows->heap[at] = rows->heap[(at - 1) / 2];
		rows->heap[(at - 1) / 2] = swap;
		at = (at - 1) / 2;
	}
	return 0;
}

static void heap_sort(struct rows *rows)
{
	for (size_t count = rows->heap_count; count > 1; count--) {
		struct key swap = rows->heap[0];

		rows->heap[0] = rows->heap[count - 1];
		rows->heap[count - 1] = swap;
		heap_down(rows, 0, count - 1);
	}
}

/* No row of the group can come before the heap's last. */
static bool group_too_late(const struct rows *rows, const struct scan_group *group)
{
	if (rows->heap_count < rows->heap_max)
		return false;
	return rows->want->ascending ? group->zone.start_min > rows->heap[0].start_ns
				     : group->zone.start_max < rows->heap[0].start_ns;
}

static bool group_before_bound(const struct rows *rows, const struct scan_group *group)
{
	if (!rows->bounded)
		return false;
	return rows->want->ascending ? group->zone.start_max < rows->bound.start_ns
				     : group->zone.start_min > rows->bound.start_ns;
}

/* ---- keys of one row group ---- */

/* Tables without an id (rollups): a hash of the whole row is as good for paging. */
static int row_hashes(struct scan *scan, uint64_t **ret_hashes, struct err *err)
{
	const struct table *table = scan->plan->table;
	uint64_t *hashes =
		arena_array(scan->columns.arena, scan->columns.rows + 1ul, sizeof(*hashes));
	int rc = hashes ? 0 : E_NO_MEMORY;

	for (size_t c = 0; rc == 0 && c < table->cols_count; c++) {
		const struct col *col = &table->cols[c];
		struct rg_bytes bytes;
		struct rg_ints ints;
		uint32_t row;

		if (types[col->type].phys == PHYS_INT) {
			rc = columns_ints(&scan->columns, col, &ints, err);
			if (rc < 0)
				break;
			SCAN_EACH_BIT (scan->bits, columns_words(&scan->columns), row)
				if (rg_valid(ints.valid, row))
					hashes[row] = hash_mix(hashes[row] + c, ints.values[row]);
		} else {
			rc = columns_bytes(&scan->columns, col, &bytes, err);
			if (rc < 0)
				break;
			SCAN_EACH_BIT (scan->bits, columns_words(&scan->columns), row)
				if (rg_valid(bytes.valid, row)) {
					struct view text = columns_text(&bytes, row);

					hashes[row] =
						hash_bytes(text.at, text.len, hashes[row] + c);
				}
		}
	}
	*ret_hashes = hashes;
	return rc < 0 ? err_set(err, rc, "out of memory") : 0;
}

/* Enough that nobody waits for the slowest, few enough that little is done for nothing. */
static size_t wave_most(const struct rows *rows)
{
	size_t most = 4ul * rows->ahead.workers_count;

	if (rows->ahead.workers_count == 1)
		return 1;
	return most < WAVE_MAX ? most : WAVE_MAX;
}

static int found_add(struct found *found, const struct key *key)
{
	if (mem_grow((void **)&found->keys, &found->cap, found->count, sizeof(*found->keys)) < 0)
		return E_NO_MEMORY;
	found->keys[found->count++] = *key;
	return 0;
}

/* Start and id of the rows that match; rows is NULL: of all, whether they match or not. */
struct key_columns {
	uint32_t *rows;
	struct rg_ints starts, ids;
	uint64_t *hashes;	/* instead of ids; of all */
};

static int keys_load(struct scan *scan, struct key_columns *keys, struct err *err)
{
	const struct table *table = scan->plan->table;
	struct columns *columns = &scan->columns;
	const struct col *cols[2] = { &table->cols[table->start_ord],
				      table->id_ord >= 0 ? &table->cols[table->id_ord] : NULL };
	struct rg_ints *ints[2] = { &keys->starts, &keys->ids };
	uint32_t row, count = 0;
	int rc = 0;

	*keys = (struct key_columns){ 0 };
	if (cols[1] && columns_few(columns, scan->matched)) {
		keys->rows = arena_array(columns->arena, scan->matched + 1ul, sizeof(*keys->rows));
		if (!keys->rows)
			return err_set(err, E_NO_MEMORY, "out of memory");
		SCAN_EACH_BIT (scan->bits, columns_words(columns), row)
			keys->rows[count++] = row;
	}
	for (unsigned i = 0; rc == 0 && i < 2 && cols[i]; i++)
		rc = keys->rows ? columns_ints_at(columns, cols[i], keys->rows, count, ints[i], err)
				: columns_ints(columns, cols[i], ints[i], err);
	return rc == 0 && !cols[1] ? row_hashes(scan, &keys->hashes, err) : rc;
}

/* Keys that have a chance: the heap stands still while a wave is read. */
static int group_keys(const struct rows *rows, struct scan *scan, uint32_t group, struct found *found,
		      struct err *err)
{
	bool full = rows->heap_count == rows->heap_max;
	struct key_columns keys;
	uint32_t row, i = 0;
	int rc = keys_load(scan, &keys, err);

	if (rc < 0)
		return rc;
	SCAN_EACH_BIT (scan->bits, columns_words(&scan->columns), row) {
		uint32_t at = keys.rows ? i++ : row;
		struct key key = { keys.starts.values[at], keys.hashes ? keys.hashes[at] : keys.ids.values[at],
				   group, row };

		if (rows->bounded && bound_cmp(rows, &key) < 0)
			continue;
		if (full && key_cmp(rows, &key, &rows->heap[0]) >= 0)
			continue;
		if (found_add(found, &key) < 0)
			return err_set(err, E_NO_MEMORY, "out of memory");
	}
	return 0;
}

static int wave_step(void *arg, unsigned worker, struct scan *scan, size_t i, struct err *err)
{
	struct rows *rows = arg;
	uint32_t group = (uint32_t)(rows->wave_from + i);
	struct found *found = &rows->found[i];
	struct err why = { 0 };
	int rc;

	(void)worker;
	found->count = 0;
	if (group_too_late(rows, &rows->scan.groups[group]) || group_before_bound(rows, &rows->scan.groups[group]))
		return 0;
	rc = scan_group(scan, &rows->scan.groups[group], err);
	if (rc <= 0)
		return rc;
	rc = group_keys(rows, scan, group, found, &why);
	scan_count(scan);
	if (rc == E_CORRUPT) { /* before any of its keys was found */
		assert(found->count == 0);
		scan->plan->stats->damaged_row_groups++;
		return 0;
	}
	if (rc == E_NO_MEMORY)
		return plan_no_memory(rows->plan, err);
	return rc < 0 ? err_set(err, rc, "%s", why.text) : 0;
}

/* The heap gets the first keys of the row groups at hand that lie behind the bound. */
static int hour_keys(struct rows *rows, struct err *err)
{
	/* Without a filter the first row group holds what is wanted, or as good as. */
	size_t wave = rows->plan->opts->filter.len ? rows->ahead.workers_count : 1;
	struct scan *scan = &rows->scan;

	rows->heap_count = 0;
	for (size_t from = 0, count; from < scan->groups_count; from += count) {
		count = scan->groups_count - from < wave ? scan->groups_count - from : wave;
		rows->wave_from = from;
		scan_ahead_run(&rows->ahead, wave_step, rows, count, rows->steps);
		for (size_t i = 0; i < count; i++) {
			const struct found *found = &rows->found[i];
			int rc;

			if (group_too_late(rows, &scan->groups[from + i]))
				return 0;
			rc = scan_ahead_take(&rows->ahead, &rows->steps[i], err);
			for (size_t k = 0; rc == 0 && k < found->count; k++)
				rc = heap_offer(rows, &found->keys[k], err);
			if (rc < 0)
				return rc;
		}
		wave = wave * 2 < wave_most(rows) ? wave * 2 : wave_most(rows);
	}
	return 0;
}

/* ---- rows out of keys ---- */

struct slot { /* a key of the batch, to be visited by row group */
	uint32_t group, row, at;
};

static int slot_cmp(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return (x->row > y->row) - (x->row < y->row);
}

/* Row structs of a batch of keys. Slots of one row group are a run. */
struct batch {
	uint8_t *structs;
	bool *dead; /* its row group turned out damaged */
	struct slot *slots;
	struct rows_pick *picks;
	size_t *runs; /* first slot of each, and the end */
	size_t runs_count;
};

static int run_fill(void *arg, unsigned worker, struct scan *scan, size_t i, struct err *err)
{
	struct rows *rows = arg;
	const struct batch *batch = rows->batch;
	size_t from = batch->runs[rows->wave_from + i], to = batch->runs[rows->wave_from + i + 1];
	struct err why = { 0 };
	int rc = rows_fill(scan, &rows->scan.groups[batch->slots[from].group], rows->want->fields,
			   rows->want->fields_count, batch->picks + from, to - from, &rows->texts[worker], &why);

	if (rc == E_CORRUPT) {
		scan->plan->stats->damaged_row_groups++;
		for (size_t k = from; k < to; k++)
			batch->dead[batch->slots[k].at] = true;
		return 0;
	}
	if (rc == E_NO_MEMORY)
		return plan_no_memory(rows->plan, err);
	return rc < 0 ? err_set(err, rc, "%s", why.text) : 0;
}

/* Fill the row structs of keys[0..count). */
static int batch_fill(struct rows *rows, const struct key *keys, size_t count, struct err *err)
{
	size_t row_bytes = rows->plan->table->row_bytes, wave = wave_most(rows);
	struct batch *batch = rows->batch;
	int rc = 0;

	for (size_t i = 0; i < count; i++)
		batch->slots[i] = (struct slot){ keys[i].group, keys[i].row, (uint32_t)i };
	qsort(batch->slots, count, sizeof(*batch->slots), slot_cmp);
	batch->runs_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || batch->slots[i].group != batch->slots[i - 1].group)
			batch->runs[batch->runs_count++] = i;
		batch->picks[i] = (struct rows_pick){ batch->slots[i].row,
						      batch->structs + batch->slots[i].at * row_bytes };
	}
	batch->runs[batch->runs_count] = count;
	for (size_t from = 0, n; rc == 0 && from < batch->runs_count; from += n) {
		n = batch->runs_count - from < wave ? batch->runs_count - from : wave;
		rows->wave_from = from;
		scan_ahead_run(&rows->ahead, run_fill, rows, n, rows->steps);
		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = scan_ahead_take(&rows->ahead, &rows->steps[i], err);
	}
	return rc;
}

static void batch_hand(struct rows *rows, const struct key *keys, size_t count)
{
	const struct table *table = rows->plan->table;

	for (size_t i = 0; i < count && !rows->stopped; i++) {
		const struct key *key = &keys[i];

		if (rows->handed_any && rows->last.start_ns == key->start_ns &&
		    rows->last.id == key->id)
			rows->last.same++;
		else
			rows->last = (struct cursor){ key->start_ns, key->id, 1 };
		rows->handed_any = true;
		rows->left--;
		if (rows->batch->dead[i])
			continue;
		rows->plan->stats->rows_matched++;
		rows->stopped = !rows->row(rows->arg, table, rows->batch->structs + i * table->row_bytes);
	}
}

static int keys_hand(struct rows *rows, const struct key *keys, size_t count, struct err *err)
{
	size_t row_bytes = rows->plan->table->row_bytes, most = BATCH_BYTES_MAX / row_bytes;
	struct batch batch;
	int rc = 0;

	if (most > count)
		most = count;
	batch = (struct batch){
		.structs = mem_array(most, row_bytes),
		.dead = mem_array(most, sizeof(*batch.dead)),
		.slots = mem_array(most, sizeof(*batch.slots)),
		.picks = mem_array(most, sizeof(*batch.picks)),
		.runs = mem_array(most + 1, sizeof(*batch.runs)),
	};
	rows->batch = &batch;
	if (!batch.structs || !batch.dead || !batch.slots || !batch.picks || !batch.runs)
		rc = err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; rc == 0 && i < count && !rows->stopped; i += most) {
		size_t n = count - i < most ? count - i : most;

		memset(batch.structs, 0, n * row_bytes);
		memset(batch.dead, 0, n * sizeof(*batch.dead));
		for (unsigned w = 0; w < rows->ahead.workers_count; w++)
			arena_reset(&rows->texts[w]);
		rc = batch_fill(rows, keys + i, n, err);
		if (rc == 0)
			batch_hand(rows, keys + i, n);
	}
	rows->batch = NULL;
	mem_free(batch.structs);
	mem_free(batch.dead);
	mem_free(batch.slots);
	mem_free(batch.picks);
	mem_free(batch.runs);
	return rc;
}

/* ---- the run ---- */

static void bound_set(struct rows *rows, const struct cursor *cursor)
{
	rows->bounded = true;
	rows->bound = *cursor;
	rows->skip = cursor->same;
}

/* One pass: find the next keys of the hours at hand, hand their rows over. *ret_again: the hour may hold more. */
static int hour_pass(struct rows *rows, bool *ret_again, struct err *err)
{
	/* One more than wanted tells whether there is more. */
	uint64_t want = rows->left < KEYS_MAX ? rows->left + 1 : KEYS_MAX;
	const struct key *keys;
	size_t count, skipped = 0;
	bool more;
	int rc;

	rows->heap_max = (size_t)want + rows->skip;
	rc = hour_keys(rows, err);
	if (rc < 0)
		return rc;
	heap_sort(rows);
	keys = rows->heap;
	count = rows->heap_count;
	*ret_again = count == rows->heap_max;
	while (skipped < count && skipped < rows->skip && bound_cmp(rows, &keys[skipped]) == 0)
		skipped++;
	keys += skipped;
	count -= skipped;
	more = count > rows->left;
	if (more)
		count = (size_t)rows->left;
	rc = count ? keys_hand(rows, keys, count, err) : 0;
	if (count)
		bound_set(rows, &rows->last);
	if (more || rows->stopped)
		rows->stopped = rows->plan->stats->truncated = true;
	return rc;
}

static int rows_open(struct rows *rows, struct err *err)
{
	int rc = scan_open(&rows->scan, rows->plan, !rows->want->ascending, err);

	if (rc == 0)
		rc = scan_ahead_init(&rows->ahead, rows->plan, &rows->scan, err);
	if (rc < 0)
		return rc;
	rows->texts = mem_array(rows->ahead.workers_count, sizeof(*rows->texts));
	if (!rows->texts)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (unsigned w = 0; w < rows->ahead.workers_count; w++)
		arena_init(&rows->texts[w], rows->plan->budget.memory);
	return 0;
}

static void rows_free(struct rows *rows)
{
	for (unsigned w = 0; rows->texts && w < rows->ahead.workers_count; w++)
		arena_release(&rows->texts[w]);
	mem_free(rows->texts);
	scan_ahead_release(&rows->ahead);
	scan_close(&rows->scan);
	for (size_t i = 0; i < WAVE_MAX; i++)
		mem_free(rows->found[i].keys);
	mem_free(rows->heap);
	mem_free(rows);
}

int rows_run(struct plan *plan, const struct rows_want *want,
	     bool (*row)(void *arg, const struct table *table, const void *row), void *arg,
	     bool *ret_more, struct cursor *ret_next, struct err *err)
{
	struct rows *rows = mem_zalloc(sizeof(*rows));
	struct err why = { 0 };
	size_t groups_min = 1;
	int rc;

	if (!rows)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rows->plan = plan;
	rows->want = want;
	rows->row = row;
	rows->arg = arg;
	rows->left = want->limit;
	if (want->resume) {
		bound_set(rows, &want->cursor);
		/* A page that ends amid equal rows goes on counting them. */
		rows->last = want->cursor;
		rows->handed_any = true;
		if (want->ascending)
			plan_narrow(plan, want->cursor.start_ns, UINT64_MAX);
		else
			plan_narrow(plan, 0,
				    want->cursor.start_ns == UINT64_MAX
					    ? UINT64_MAX
					    : want->cursor.start_ns + 1);
	}
	rc = rows_open(rows, &why);
	while (rc >= 0 && !rows->stopped && (rc = scan_hours(&rows->scan, groups_min, &why)) == 1) {
		bool again = true;

		while (rc >= 0 && again && !rows->stopped)
			rc = hour_pass(rows, &again, &why);
		/* What is wanted is rare: look at more at a time, however many threads there are: budgets end a pass. */
		if (groups_min < GROUPS_AT_A_TIME)
			groups_min *= 2;
	}
	/* What was handed out before a budget ran out is whole as far as it goes. */
	if ((rc == E_BUDGET || rc == E_TIMEOUT) && rows->left < want->limit) {
		plan->stats->truncated = true;
		rc = 0;
	}
	if (rc < 0) {
		(void)err_set(err, rc, "%s", why.text);
	} else {
		*ret_more = plan->stats->truncated;
		*ret_next = rows->last;
		rc = 0;
	}
	rows_free(rows);
	return rc;
}

/* A cursor into what retention has dropped since would skip rows without a word. */
static int check_expired(const struct plan *plan, const struct cursor *cursor, struct err *err)
{
	struct store_horizon horizon;
	uint64_t oldest_ns;
	int rc = store_horizon(plan->store, &horizon, err);

	if (rc < 0)
		return rc;
	oldest_ns = horizon.oldest_ns[plan->table->id];
	if (oldest_ns != UINT64_MAX && cursor->start_ns < oldest_ns)
		return err_set(err, E_EXPIRED, "cursor: the rows behind it are no longer held");
	return 0;
}

int query_rows(struct store *store, const struct query_opts *opts, const struct query_rows *rows,
	       bool (*row)(void *arg, const struct table *table, const void *row), void *arg,
	       struct arena *arena, struct query_stats *ret_stats, struct view *ret_cursor,
	       struct err *err)
{
	struct cursor_of of = { rows->table, rows->ascending, rows->starts_within, opts->filter };
	struct rows_want want = { rows->fields,		rows->fields_count,
				  rows->ascending,	rows->limit ? rows->limit : 100,
				  rows->cursor.len > 0, { 0 } };
	struct view text = { 0 };
	struct query_stats stats;
	struct cursor next;
	struct plan plan;
	bool more = false;
	int rc;

	if (!table_get(rows->table))
		return err_set(err, E_USAGE, "there is no table %d", (int)rows->table);
	rc = plan_init(&plan, store, opts, rows->table, rows->starts_within, &stats, err);
	if (rc == 0 && want.resume)
		rc = cursor_read(rows->cursor, &of, &want.cursor, err);
	if (rc == 0 && want.resume)
		rc = check_expired(&plan, &want.cursor, err);
	if (rc == 0 && rows->table == TABLE_PACKETS)
		rc = rows_packets(&plan, &want, row, arg, &more, &next, err);
	else if (rc == 0)
		rc = rows_run(&plan, &want, row, arg, &more, &next, err);
	if (rc == 0)
		rc = plan_finish(&plan, arena, err);
	if (rc == 0 && more) {
		text = cursor_write(&next, &of, arena);
		if (!text.at)
			rc = err_set(err, E_NO_MEMORY, "out of memory");
	}
	if (rc == 0) {
		*ret_stats = stats;
		*ret_cursor = text;
	}
	plan_release(&plan);
	return rc;
}
