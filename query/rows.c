/*
 * Rows, newest first or oldest first. Partitions hold one hour of start_ns each, so
 * an hour's rows are final once the hour has been read: nothing is sorted
 * across hours. Within one, a heap keeps the first keys (start, id) of those
 * still wanted, row groups come in the order of their zones, and the walk stops
 * when the next zone lies behind the heap. Only then are the columns of the
 * surviving rows decoded.
 */
#include "query/rows.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

#define KEYS_MAX	(1u << 20)  /* of one pass over an hour; more rows take more passes */
#define BATCH_BYTES_MAX (16u << 20) /* row structs made at a time */

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

	struct key *heap; /* the last wanted one on top */
	size_t heap_count, heap_cap, heap_max;

	bool bounded; /* only keys at or behind bound */
	struct cursor bound;
	uint32_t skip; /* of those that equal bound */

	uint64_t left;	    /* rows still wanted */
	struct cursor last; /* handed out */
	bool handed_any, stopped;
	struct arena texts; /* of a batch */
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

static int group_keys(struct rows *rows, uint32_t group, struct err *err)
{
	struct scan *scan = &rows->scan;
	const struct table *table = rows->plan->table;
	struct rg_ints starts, ids = { 0 };
	uint64_t *hashes = NULL;
	uint32_t row;
	int rc = columns_ints(&scan->columns, &table->cols[table->start_ord], &starts, err);

	if (rc == 0 && table->id_ord >= 0)
		rc = columns_ints(&scan->columns, &table->cols[table->id_ord], &ids, err);
	else if (rc == 0)
		rc = row_hashes(scan, &hashes, err);
	if (rc < 0)
		return rc;
	SCAN_EACH_BIT (scan->bits, columns_words(&scan->columns), row) {
		struct key key = { starts.values[row], hashes ? hashes[row] : ids.values[row],
				   group, row };

		if (rows->bounded && bound_cmp(rows, &key) < 0)
			continue;
		rc = heap_offer(rows, &key, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The heap gets the first keys of the hour behind the bound. */
static int hour_keys(struct rows *rows, struct err *err)
{
	struct scan *scan = &rows->scan;

	rows->heap_count = 0;
	for (uint32_t g = 0; g < scan->groups_count; g++) {
		struct err why = { 0 };
		size_t before = rows->heap_count;
		int rc;

		if (group_too_late(rows, &scan->groups[g]))
			return 0;
		if (group_before_bound(rows, &scan->groups[g]))
			continue;
		rc = scan_group(scan, &scan->groups[g], err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		rc = group_keys(rows, g, &why);
		scan_count(scan);
		if (rc == E_CORRUPT) { /* before any of its keys was offered */
			assert(rows->heap_count == before);
			rows->plan->stats->damaged_row_groups++;
		} else if (rc < 0) {
			return rc == E_NO_MEMORY ? plan_no_memory(rows->plan, err)
						 : err_set(err, rc, "%s", why.text);
		}
	}
	return 0;
}

/* ---- rows out of keys ---- */

static int fill_ints(struct scan *scan, const struct col *col, const struct rows_pick *picks,
		     size_t count, struct err *err)
{
	struct rg_ints ints;
	int rc = columns_ints(&scan->columns, col, &ints, err);

	for (size_t i = 0; rc == 0 && i < count; i++)
		if (rg_valid(ints.valid, picks[i].row))
			(void)row_put(col, picks[i].to, ints.values[picks[i].row],
				      view_make(NULL, 0));
	return rc;
}

static int fill_bytes(struct scan *scan, const struct col *col, const struct rows_pick *picks,
		      size_t count, struct arena *texts, struct err *err)
{
	uint32_t code_before = UINT32_MAX;
	struct view copy = { 0 };
	struct rg_bytes bytes;
	int rc = columns_bytes(&scan->columns, col, &bytes, err);

	for (size_t i = 0; rc == 0 && i < count; i++) {
		uint32_t row = picks[i].row, code;

		if (!rg_valid(bytes.valid, row))
			continue;
		code = bytes.codes ? bytes.codes[row] : row;
		if (col->type == TYPE_IP) {
			rc = row_put(col, picks[i].to, 0, bytes.dict[code]);
			if (rc < 0)
				(void)err_set(err, rc, "column %s: an address of %zu bytes",
					      col->key, bytes.dict[code].len);
			continue;
		}
		if (code != code_before) { /* neighbours often share their text */
			copy = arena_copy(texts, bytes.dict[code]);
			if (!copy.at)
				return plan_no_memory(scan->plan, err);
			code_before = code;
		}
		rc = row_put(col, picks[i].to, 0, copy);
	}
	return rc;
}

static int fill_col(struct scan *scan, const struct col *col, const struct rows_pick *picks,
		    size_t count, struct arena *texts, struct err *err)
{
	return types[col->type].phys == PHYS_INT ? fill_ints(scan, col, picks, count, err)
						 : fill_bytes(scan, col, picks, count, texts, err);
}

int rows_fill(struct scan *scan, const struct scan_group *group, const uint16_t *fields,
	      size_t fields_count, const struct rows_pick *picks, size_t count, struct arena *texts,
	      struct err *err)
{
	const struct table *table = scan->plan->table;
	int rc = scan_reopen(scan, group, err);

	if (rc == 0 && !fields)
		rg_want(&scan->rg, NULL);
	for (size_t c = 0; rc == 0 && c < (fields ? fields_count : table->cols_count); c++) {
		rc = fill_col(scan, &table->cols[fields ? fields[c] : c], picks, count, texts, err);
		scan_count(scan);
		arena_reset(&scan->plan->scratch); /* one decoded column at a time is enough */
		columns_init(&scan->columns, &scan->rg, &scan->plan->scratch);
	}
	/* What makes the row's place in the answer is always there. */
	if (rc == 0 && fields) {
		rc = fill_col(scan, &table->cols[table->start_ord], picks, count, texts, err);
		if (rc == 0 && table->id_ord >= 0)
			rc = fill_col(scan, &table->cols[table->id_ord], picks, count, texts, err);
	}
	return rc;
}

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

/* Fill the row structs of keys[0..count); dead[i] when its row group turned out damaged. */
static int batch_fill(struct rows *rows, const struct key *keys, size_t count, uint8_t *structs,
		      bool *dead, struct slot *slots, struct rows_pick *picks, struct err *err)
{
	size_t row_bytes = rows->plan->table->row_bytes;

	for (size_t i = 0; i < count; i++)
		slots[i] = (struct slot){ keys[i].group, keys[i].row, (uint32_t)i };
	qsort(slots, count, sizeof(*slots), slot_cmp);
	for (size_t i = 0, n; i < count; i += n) {
		struct err why = { 0 };
		int rc = plan_check(rows->plan, err);

		if (rc < 0)
			return rc;
		for (n = 0; i + n < count && slots[i + n].group == slots[i].group; n++)
			picks[n] = (struct rows_pick){ slots[i + n].row,
						       structs + slots[i + n].at * row_bytes };
		rc = rows_fill(&rows->scan, &rows->scan.groups[slots[i].group], rows->want->fields,
			       rows->want->fields_count, picks, n, &rows->texts, &why);
		if (rc == E_CORRUPT) {
			rows->plan->stats->damaged_row_groups++;
			for (size_t k = 0; k < n; k++)
				dead[slots[i + k].at] = true;
		} else if (rc < 0) {
			return rc == E_NO_MEMORY ? plan_no_memory(rows->plan, err)
						 : err_set(err, rc, "%s", why.text);
		}
	}
	return 0;
}

static void batch_hand(struct rows *rows, const struct key *keys, size_t count,
		       const uint8_t *structs, const bool *dead)
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
		if (dead[i])
			continue;
		rows->plan->stats->rows_matched++;
		rows->stopped = !rows->row(rows->arg, table, structs + i * table->row_bytes);
	}
}

static int keys_hand(struct rows *rows, const struct key *keys, size_t count, struct err *err)
{
	size_t row_bytes = rows->plan->table->row_bytes, most = BATCH_BYTES_MAX / row_bytes;
	struct rows_pick *picks;
	struct slot *slots;
	uint8_t *structs;
	bool *dead;
	int rc = 0;

	if (most > count)
		most = count;
	structs = mem_array(most, row_bytes);
	dead = mem_array(most, sizeof(*dead));
	slots = mem_array(most, sizeof(*slots));
	picks = mem_array(most, sizeof(*picks));
	if (!structs || !dead || !slots || !picks)
		rc = err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; rc == 0 && i < count && !rows->stopped; i += most) {
		size_t n = count - i < most ? count - i : most;

		memset(structs, 0, n * row_bytes);
		memset(dead, 0, n * sizeof(*dead));
		arena_reset(&rows->texts);
		rc = batch_fill(rows, keys + i, n, structs, dead, slots, picks, err);
		if (rc == 0)
			batch_hand(rows, keys + i, n, structs, dead);
	}
	mem_free(structs);
	mem_free(dead);
	mem_free(slots);
	mem_free(picks);
	return rc;
}

/* ---- the run ---- */

static void bound_set(struct rows *rows, const struct cursor *cursor)
{
	rows->bounded = true;
	rows->bound = *cursor;
	rows->skip = cursor->same;
}

/* One pass: find the next keys of the hour, hand their rows over. *ret_again: the hour may hold more. */
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

int rows_run(struct plan *plan, const struct rows_want *want,
	     bool (*row)(void *arg, const struct table *table, const void *row), void *arg,
	     bool *ret_more, struct cursor *ret_next, struct err *err)
{
	struct rows *rows = mem_zalloc(sizeof(*rows));
	struct err why = { 0 };
	int rc;

	if (!rows)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rows->plan = plan;
	rows->want = want;
	rows->row = row;
	rows->arg = arg;
	rows->left = want->limit;
	arena_init(&rows->texts, plan->budget.memory);
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
	rc = scan_open(&rows->scan, plan, !want->ascending, &why);
	while (rc >= 0 && !rows->stopped && (rc = scan_hour(&rows->scan, &why)) == 1) {
		bool again = true;

		while (rc >= 0 && again && !rows->stopped)
			rc = hour_pass(rows, &again, &why);
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
	scan_close(&rows->scan);
	arena_release(&rows->texts);
	mem_free(rows->heap);
	mem_free(rows);
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
