#include "query/scan.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#define RENEW_NS                                                                                   \
	(2 * NS_PER_SEC) /* hot partitions cannot reuse pages while a reader holds an old state */

/* ---- which rows the range wants ---- */

/*
 * A row overlaps the range when it starts before its end and ends at or after
 * its begin: start and end are its first and last instant. A bucket's end is its
 * successor's start, and an entity that only began has no end yet.
 */
static bool ends_count(const struct plan *plan)
{
	return !plan->starts_within && plan->table->end_ord >= 0 && plan->from_ns > 0;
}

static bool end_fits(const struct plan *plan, uint64_t start_ns, uint64_t end_ns)
{
	switch (plan->table->id) {
	case TABLE_ROLLUPS: return end_ns > plan->from_ns;
	case TABLE_ENTITIES: return end_ns >= plan->from_ns || end_ns == start_ns;
	default: return end_ns >= plan->from_ns;
	}
}

static bool zone_fits(const struct plan *plan, const struct rg_zone *zone)
{
	if (zone->rows == 0 || zone->start_min >= plan->start_to_ns ||
	    zone->start_max < plan->start_from_ns)
		return false;
	return !ends_count(plan) || plan->table->id == TABLE_ENTITIES ||
	       zone->end_max >= plan->from_ns;
}

static int time_bits(struct scan *scan, struct err *err)
{
	const struct plan *plan = scan->plan;
	const struct rg_zone *zone = &scan->rg.zone;
	bool inside = zone->start_min >= plan->start_from_ns && zone->start_max < plan->start_to_ns;
	bool ends = ends_count(plan) && zone->start_min < plan->from_ns;
	struct rg_ints starts, end_times = { 0 };
	int rc;

	if (inside && !ends)
		return 0;
	rc = columns_ints(&scan->columns, &plan->table->cols[plan->table->start_ord], &starts, err);
	if (rc == 0 && ends)
		rc = columns_ints(&scan->columns, &plan->table->cols[plan->table->end_ord],
				  &end_times, err);
	if (rc < 0)
		return rc;
	for (uint32_t row = 0; row < scan->columns.rows; row++) {
		uint64_t start_ns = starts.values[row];

		if (start_ns < plan->start_from_ns || start_ns >= plan->start_to_ns ||
		    (ends && !end_fits(plan, start_ns, end_times.values[row])))
			scan->bits[row / 64] &= ~(1ull << row % 64);
	}
	return 0;
}

/* ---- partitions ---- */

int scan_open(struct scan *scan, struct plan *plan, bool descending, struct err *err)
{
	/* An entity may have begun long before the range, in a partition that ended then. */
	uint64_t from_ns = plan->table->id == TABLE_ENTITIES ? 0 : plan->from_ns;
	int rc;

	memset(scan, 0, offsetof(struct scan, columns));
	scan->bits = NULL;
	scan->plan = plan;
	scan->descending = descending;
	rc = store_view_open(plan->store, from_ns, plan->to_ns, &scan->view, err);
	if (rc < 0)
		return rc;
	scan->part_to = store_view_parts(scan->view);
	scan->renewed_ns = clock_mono_ns();
	return 0;
}

void scan_close(struct scan *scan)
{
	store_view_close(scan->view);
	scan->view = NULL;
	mem_free(scan->groups);
	scan->groups = NULL;
}

static int group_cmp(const void *a, const void *b)
{
	const struct scan_group *x = a, *y = b;

	if (x->zone.start_min != y->zone.start_min)
		return x->zone.start_min < y->zone.start_min ? -1 : 1;
	if (x->part != y->part)
		return x->part < y->part ? -1 : 1;
	return (x->rg > y->rg) - (x->rg < y->rg);
}

static int group_cmp_down(const void *a, const void *b)
{
	const struct scan_group *x = a, *y = b;

	if (x->zone.start_max != y->zone.start_max)
		return x->zone.start_max > y->zone.start_max ? -1 : 1;
	return -group_cmp(a, b);
}

/* The row groups of one partition that indexes leave; NULL: all. */
static int part_groups(struct scan *scan, size_t part, struct bitmap **ret_bitmap, struct err *err)
{
	const struct plan *plan = scan->plan;
	struct bitmap *all = NULL;

	for (size_t i = 0; i < plan->filters_count; i++) {
		struct bitmap *one = NULL;
		int rc = filter_row_groups(plan->filters[i], scan->view, part, plan->table->id,
					   &one, err);

		if (rc < 0) {
			bitmap_free(all);
			return rc;
		}
		if (one && all) {
			bitmap_and(all, one);
			bitmap_free(one);
		} else if (one) {
			all = one;
		}
	}
	*ret_bitmap = all;
	return 0;
}

/* For explain: what a row group takes that was not read. A damaged one is told by whoever reads it. */
static void skipped(const struct scan *scan, size_t part, size_t rg, uint64_t *groups, uint64_t *bytes)
{
	const struct plan *plan = scan->plan;
	size_t stored;

	++*groups;
	if (plan->opts->explain && store_rg_bytes(scan->view, part, plan->table->id, rg, &stored, NULL) == 0)
		*bytes += stored;
}

static int part_add(struct scan *scan, size_t part, struct err *err)
{
	const struct plan *plan = scan->plan;
	struct query_stats *stats = plan->stats;
	size_t count = store_rg_count(scan->view, part, plan->table->id);
	struct bitmap *bitmap = NULL;
	struct err index_why = { 0 };
	int rc = part_groups(scan, part, &bitmap, &index_why);

	if (rc == E_CORRUPT) /* a damaged index costs a look at every row group, no more */
		rc = 0;
	else if (rc < 0)
		(void)err_set(err, rc, "%s", index_why.text);

	for (size_t rg = 0; rc == 0 && rg < count; rg++) {
		struct scan_group group = { .part = (uint32_t)part, .rg = (uint32_t)rg };
		struct err why = { 0 };

		stats->row_groups++;
		if (bitmap && !bitmap_has(bitmap, (uint32_t)rg)) {
			skipped(scan, part, rg, &stats->row_groups_skipped_index,
				&stats->bytes_skipped_index);
			continue;
		}
		rc = store_rg_zone(scan->view, part, plan->table->id, rg, &group.zone, &why);
		if (rc == E_CORRUPT) {
			stats->damaged_row_groups++;
			rc = 0;
			continue;
		}
		if (rc < 0) {
			(void)err_set(err, rc, "%s", why.text);
			break;
		}
		if (!zone_fits(plan, &group.zone)) {
			skipped(scan, part, rg, &stats->row_groups_skipped_zone,
				&stats->bytes_skipped_zone);
			continue;
		}
		if (mem_grow((void **)&scan->groups, &scan->groups_cap, scan->groups_count,
			     sizeof(*scan->groups)) < 0) {
			rc = err_set(err, E_NO_MEMORY, "out of memory");
			break;
		}
		scan->groups[scan->groups_count++] = group;
	}
	bitmap_free(bitmap);
	return rc;
}

/* Retention may take a sealed partition between the catalog and the first touch: it is gone, not an error. */
static int part_visit(struct scan *scan, size_t part, struct err *err)
{
	const struct plan *plan = scan->plan;
	const struct store_part_info *info = store_view_part(scan->view, part);
	uint64_t start_ns = info->hour * NS_PER_HOUR, last_ns = start_ns + (NS_PER_HOUR - 1);
	struct err why = { 0 };
	int rc;

	plan->stats->partitions++;
	if (start_ns >= plan->start_to_ns || last_ns < plan->start_from_ns ||
	    info->rows[plan->table->id] == 0) {
		plan->stats->partitions_skipped++;
		return 0;
	}
	rc = part_add(scan, part, &why);
	if (rc == E_EXPIRED) {
		plan->stats->partitions_skipped++;
		return 0;
	}
	return rc < 0 ? err_set(err, rc, "%s", why.text) : 0;
}

/* One more hour's row groups behind those that are there, in order. */
static int hour_add(struct scan *scan, struct err *err)
{
	size_t before = scan->groups_count;
	uint64_t hour;
	int rc = plan_check(scan->plan, err);

	if (rc < 0)
		return rc;
	hour = store_view_part(scan->view, scan->descending ? scan->part_to - 1 : scan->part_from)->hour;
	while (rc == 0 && scan->part_from < scan->part_to) {
		size_t part = scan->descending ? scan->part_to - 1 : scan->part_from;

		if (store_view_part(scan->view, part)->hour != hour)
			break;
		rc = part_visit(scan, part, err);
		if (scan->descending)
			scan->part_to--;
		else
			scan->part_from++;
	}
	if (rc == 0 && scan->groups_count > before + 1)
		qsort(scan->groups + before, scan->groups_count - before, sizeof(*scan->groups),
		      scan->descending ? group_cmp_down : group_cmp);
	return rc;
}

/* What will be read of these row groups first is asked of the disk now, all at a time: cold, its latency is what counts. */
static void groups_want(struct scan *scan)
{
	const struct plan *plan = scan->plan;

	for (int bits = 0; bits < 2; bits++)
		for (size_t i = 0; i < scan->groups_count; i++)
			for (size_t f = 0; f < plan->filters_count; f++)
				filter_bloom_want(plan->filters[f], scan->view, scan->groups[i].part,
						  plan->table->id, scan->groups[i].rg, bits);
	for (size_t i = 0; i < scan->groups_count; i++)
		store_rg_want(scan->view, scan->groups[i].part, plan->table->id, scan->groups[i].rg);
}

int scan_hours(struct scan *scan, size_t groups_min, struct err *err)
{
	uint64_t now_ns = clock_mono_ns();
	int rc = 0;

	if (now_ns - scan->renewed_ns > RENEW_NS) {
		scan->renewed_ns = now_ns;
		rc = store_view_renew(scan->view, err);
	}
	scan->groups_count = 0;
	while (rc == 0 && scan->groups_count < groups_min && scan->part_from < scan->part_to)
		rc = hour_add(scan, err);
	if (rc < 0)
		return rc;
	groups_want(scan);
	return scan->groups_count > 0;
}

int scan_hour(struct scan *scan, struct err *err)
{
	return scan_hours(scan, 1, err);
}

/* ---- row groups ---- */

void scan_count(struct scan *scan)
{
	scan->plan->stats->bytes_read += scan->columns.bytes_read;
	scan->plan->stats->bytes_stored += scan->columns.bytes_stored;
	if (scan->plan->spent)
		atomic_fetch_add(&scan->plan->spent->bytes, scan->columns.bytes_read);
	scan->columns.bytes_read = scan->columns.bytes_stored = 0;
}

/* A transaction of LMDB serves one thread at a time; what it gave out, any number. */
static void view_take(struct scan *scan)
{
	if (scan->view_lock)
		lock_take(scan->view_lock);
}

static void view_drop(struct scan *scan)
{
	if (scan->view_lock)
		lock_drop(scan->view_lock);
}

int scan_reopen(struct scan *scan, const struct scan_group *group, struct err *err)
{
	int rc;

	view_take(scan);
	rc = store_rg_open(scan->view, group->part, scan->plan->table->id, group->rg, &scan->rg, err);
	view_drop(scan);
	if (rc < 0)
		return rc;
	arena_reset(&scan->plan->scratch);
	columns_init(&scan->columns, &scan->rg, &scan->plan->scratch);
	scan->columns.wanted = scan->plan->wanted;
	rg_want(&scan->rg, scan->seen);
	return 0;
}

/* A column of the group was decoded, or tested as it is stored. */
static void seen_note(struct scan *scan)
{
	for (size_t i = 0; i < SCHEMA_HAS_WORDS; i++)
		scan->seen[i] = scan->columns.loaded[i] | scan->columns.matched[i];
}

static int bits_fill(struct scan *scan, struct err *err)
{
	size_t words = columns_words(&scan->columns);

	scan->bits = arena_array(&scan->plan->scratch, words + 1, sizeof(*scan->bits));
	if (!scan->bits)
		return plan_no_memory(scan->plan, err);
	memset(scan->bits, 0xff, words * sizeof(*scan->bits));
	if (scan->columns.rows % 64)
		scan->bits[words - 1] = (1ull << scan->columns.rows % 64) - 1;
	return 0;
}

static int group_eval(struct scan *scan, const struct scan_group *group, struct err *err)
{
	struct plan *plan = scan->plan;
	int rc = scan_reopen(scan, group, err);

	if (rc == 0)
		rc = bits_fill(scan, err);
	if (rc == 0)
		rc = time_bits(scan, err);
	for (size_t i = 0; rc == 0 && i < plan->filters_count; i++)
		rc = filter_eval(plan->filters[i], &scan->columns, scan->bits, err);
	if (rc < 0)
		return rc;
	scan->matched = 0;
	for (size_t w = 0; w < columns_words(&scan->columns); w++)
		scan->matched += (uint32_t)__builtin_popcountll(scan->bits[w]);
	return 0;
}

/* 0: the bloom filters rule a match out; 1: they do not; <0. */
static int group_bloom(struct scan *scan, const struct scan_group *group, struct err *err)
{
	const struct plan *plan = scan->plan;
	struct query_stats *stats = plan->stats;
	int rc = 1;

	view_take(scan);
	for (size_t i = 0; rc == 1 && i < plan->filters_count; i++)
		rc = filter_bloom(plan->filters[i], scan->view, group->part, plan->table->id, group->rg, err);
	if (rc == 0)
		skipped(scan, group->part, group->rg, &stats->row_groups_skipped_bloom,
			&stats->bytes_skipped_bloom);
	view_drop(scan);
	return rc;
}

int scan_group(struct scan *scan, const struct scan_group *group, struct err *err)
{
	struct plan *plan = scan->plan;
	struct query_stats *stats = plan->stats;
	struct err why = { 0 };
	int rc = plan_check(plan, err);

	if (rc < 0)
		return rc;
	rc = group_bloom(scan, group, &why);
	if (rc == 0)
		return 0;
	if (rc > 0 || rc == E_CORRUPT) { /* a damaged bloom filter costs a look, no more */
		err_clear(&why);
		scan->columns.bytes_read = scan->columns.bytes_stored = 0;
		rc = group_eval(scan, group, &why);
		if (rc == 0)
			seen_note(scan);
		stats->row_groups_read++;
		stats->rows_scanned += group->zone.rows;
		if (plan->spent)
			atomic_fetch_add(&plan->spent->rows, group->zone.rows);
		scan_count(scan);
	}
	if (rc == E_CORRUPT) {
		stats->damaged_row_groups++;
		return 0;
	}
	if (rc == E_NO_MEMORY)
		return plan_no_memory(plan, err);
	if (rc < 0)
		return err_set(err, rc, "%s", why.text);
	return scan->matched > 0;
}

int scan_visit(struct scan *scan, const struct scan_group *group, unsigned worker,
	       int (*fn)(void *arg, unsigned worker, struct scan *scan, struct err *err), void *arg, struct err *err)
{
	struct query_stats *stats = scan->plan->stats;
	struct err why = { 0 };
	int rc = scan_group(scan, group, err);

	if (rc != 1)
		return rc;
	stats->rows_matched += scan->matched;
	rc = fn(arg, worker, scan, &why);
	seen_note(scan);
	scan_count(scan);
	if (rc == E_CORRUPT) {
		stats->damaged_row_groups++;
		return 0;
	}
	if (rc == E_NO_MEMORY)
		return plan_no_memory(scan->plan, err);
	return rc < 0 ? err_set(err, rc, "%s", why.text) : 0;
}

/* ---- all of them ---- */

struct each {
	int (*fn)(void *arg, struct scan *scan, struct err *err);
	void *arg;
};

static int each_call(void *arg, unsigned worker, struct scan *scan, struct err *err)
{
	struct each *each = arg;

	(void)worker;
	return each->fn(each->arg, scan, err);
}

int scan_each(struct plan *plan, int (*fn)(void *arg, struct scan *scan, struct err *err), void *arg,
	      struct err *err)
{
	struct scan *scan = mem_alloc(sizeof(*scan));
	struct each each = { fn, arg };
	int rc;

	if (!scan)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rc = scan_open(scan, plan, false, err);
	while (rc >= 0 && (rc = scan_hour(scan, err)) == 1)
		for (size_t i = 0; rc >= 0 && i < scan->groups_count; i++)
			rc = scan_visit(scan, &scan->groups[i], 0, each_call, &each, err);
	scan_close(scan);
	mem_free(scan);
	return rc < 0 ? rc : 0;
}
