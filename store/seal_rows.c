/*
 * The rows of one table: sorted by (minute, destination workload, port, source
 * workload, time), written as large row groups, indexed.
 *
 * The minute leads the order, so rows are taken in slices of whole minutes with
 * about SLICE_ROWS rows: memory holds one slice, not the table. A minute with
 * more than SLICE_ROWS_MAX rows is sorted in pieces, which costs compression
 * and nothing else: no reader relies on the order of rows.
 *
 * A question to rollups wants one tier: each has row groups of its own. It wants all of a day, of one destination or
 * of all by time: the coarse tiers are sorted by (destination workload, port, time, source workload), in row groups that
 * end where a destination does, unless they would be very small: the index then leaves little but the rows of one.
 *
 * An import has no hot groups to slice: its rows go into row groups as they come, each sorted by itself.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/index.h"
#include "store/seal.h"
#include "store/sort_places.h"

#define SLICE_ROWS (1u << 17)
#define SLICE_ROWS_MAX (1u << 19)
#define RUN_KEEP_BYTES (2u << 20)	/* what takes less stays when memory is asked for: more may come to it */
#define MINUTES 60u	/* of a partition */
#define COARSE_TIER 2		/* from this one on, one minute */
#define COARSE_ROWS 4096u	/* of a row group at most */
#define COARSE_ROWS_MIN 512u	/* and at least, but the last one: each costs a directory */

struct sort_cols {
	const struct col *start, *tier, *dst_workload, *dst_port, *src_workload;	/* NULL: the table has none */
};

/* A row: compared by three numbers, so that sorting does not touch the rows. */
struct sort_row {
	uint64_t lead;		/* tier, minute */
	uint64_t mid;		/* rank of the destination workload, port, rank of the source workload */
	uint64_t start_ns;
	const void *row;
};

/* Distinct strings of a slice and their ranks in byte order; 0 is for null. */
struct ranks {
	struct rank_name {
		struct view name;
		uint32_t rank;
	} *names;
	size_t count, cap;
	uint32_t *slots;	/* open addressing: name + 1, 0 = free */
	size_t slots_count;
};
#define RANK_BITS 24u		/* SLICE_ROWS_MAX and a group more are below it */

/* Which of the three numbers that rows of a builder are compared by a column is part of. */
enum { LEAD, MID, LAST, SORT_KEYS };

/* To sort the rows of one builder: RG_ROWS_MAX of each, made when first needed. */
struct sorting {
	uint64_t *column;	/* one of those they are sorted by */
	uint64_t *keys[SORT_KEYS];
	struct sort_pair *pairs[2];
	uint32_t *order;
};

struct rows_seal {
	struct seal *seal;
	const struct table *table;
	struct sort_cols sort;
	struct rg_zone *zones;		/* of the hot groups */
	uint32_t groups;
	enum kv_put how;		/* APPEND when one table is written after the other */
	struct arena arena;		/* the slice's rows */
	struct sort_row *rows;
	size_t rows_count, rows_cap;
	struct ranks ranks;
	struct rg_builder *builders[ROLLUP_TIERS_COUNT];	/* a tier each, so that no group mixes them; else the first */
	struct rg_builder *piece;	/* of a builder that makes several groups */
	struct sorting sorting;
	struct index_builder *index;
	struct wr blob, zone;
};

/* ------------------------------------------------------------------ sorting */

static void ranks_release(struct ranks *ranks)
{
	mem_free(ranks->names);
	mem_free(ranks->slots);
}

static int ranks_rehash(struct ranks *ranks)
{
	size_t count = ranks->slots_count ? ranks->slots_count * 2 : 256;
	uint32_t *slots = mem_array(count, sizeof(*slots));

	if (!slots)
		return E_NO_MEMORY;
	for (size_t i = 0; i < ranks->count; i++) {
		struct view name = ranks->names[i].name;
		size_t at = hash_bytes(name.at, name.len, 0) & (count - 1);

		while (slots[at])
			at = (at + 1) & (count - 1);
		slots[at] = (uint32_t)i + 1;
	}
	mem_free(ranks->slots);
	ranks->slots = slots;
	ranks->slots_count = count;
	return 0;
}

/* Number of a name in order of first use, from 1. */
static int ranks_add(struct ranks *ranks, struct view name, uint64_t *ret_number)
{
	size_t at;

	if (ranks->count * 2 >= ranks->slots_count && ranks_rehash(ranks) < 0)
		return E_NO_MEMORY;
	for (at = hash_bytes(name.at, name.len, 0) & (ranks->slots_count - 1); ranks->slots[at];
	     at = (at + 1) & (ranks->slots_count - 1)) {
		if (view_eq(ranks->names[ranks->slots[at] - 1].name, name)) {
			*ret_number = ranks->slots[at];
			return 0;
		}
	}
	if (mem_grow((void **)&ranks->names, &ranks->cap, ranks->count, sizeof(*ranks->names)) < 0)
		return E_NO_MEMORY;
	ranks->names[ranks->count++] = (struct rank_name){ .name = name };
	ranks->slots[at] = (uint32_t)ranks->count;
	*ret_number = ranks->count;
	return 0;
}

static int cmp_names(const void *a, const void *b, void *arg)
{
	const struct ranks *ranks = arg;

	return view_cmp(ranks->names[*(const uint32_t *)a].name, ranks->names[*(const uint32_t *)b].name);
}

/* From order of first use to byte order; the slots serve as the sorted list, the table is used up. */
static void ranks_settle(struct ranks *ranks)
{
	for (size_t i = 0; i < ranks->count; i++)
		ranks->slots[i] = (uint32_t)i;
	if (ranks->count)
		qsort_r(ranks->slots, ranks->count, sizeof(*ranks->slots), cmp_names, ranks);
	for (size_t i = 0; i < ranks->count; i++)
		ranks->names[ranks->slots[i]].rank = (uint32_t)i + 1;
}

static void ranks_reset(struct ranks *ranks)
{
	ranks->count = 0;
	if (ranks->slots)
		memset(ranks->slots, 0, ranks->slots_count * sizeof(*ranks->slots));
}

static int text_number(struct ranks *ranks, const struct col *col, const void *row, uint64_t *ret_number)
{
	struct view name;
	uint64_t unused;

	*ret_number = 0;
	if (!col || !row_get(col, row, &unused, &name))
		return 0;
	return ranks_add(ranks, name, ret_number);
}

static uint64_t int_of(const struct col *col, const void *row)
{
	struct view unused;
	uint64_t value = 0;

	return col && row_get(col, row, &value, &unused) ? value : 0;
}

/* mid holds numbers of first use until settle_rows makes ranks of them. */
static int sort_row_make(const struct sort_cols *sort, struct ranks *ranks, const void *row, struct sort_row *ret_row)
{
	uint64_t dst, src, start_ns;
	int rc;

	memcpy(&start_ns, (const uint8_t *)row + sort->start->offset, sizeof(start_ns));
	rc = text_number(ranks, sort->dst_workload, row, &dst);
	if (rc == 0)
		rc = text_number(ranks, sort->src_workload, row, &src);
	if (rc < 0)
		return rc;
	*ret_row = (struct sort_row){
		.lead = int_of(sort->tier, row) << 32 | (sort->dst_workload ? start_ns / NS_PER_MIN & UINT32_MAX : 0),
		.mid = dst << (RANK_BITS + 16) | (int_of(sort->dst_port, row) & 0xffff) << RANK_BITS | src,
		.start_ns = start_ns,
		.row = row,
	};
	return 0;
}

static uint64_t rank_of(const struct ranks *ranks, uint64_t number)
{
	return number ? ranks->names[number - 1].rank : 0;
}

static void settle_rows(struct ranks *ranks, struct sort_row *rows, size_t count)
{
	const uint64_t low = (1ull << RANK_BITS) - 1;

	ranks_settle(ranks);
	for (size_t i = 0; i < count; i++) {
		uint64_t mid = rows[i].mid;

		rows[i].mid = rank_of(ranks, mid >> (RANK_BITS + 16)) << (RANK_BITS + 16) |
			      (mid & 0xffffull << RANK_BITS) | rank_of(ranks, mid & low);
	}
}

static int cmp_rows(const void *pa, const void *pb)
{
	const struct sort_row *a = pa, *b = pb;

	if (a->lead != b->lead)
		return a->lead < b->lead ? -1 : 1;
	if (a->mid != b->mid)
		return a->mid < b->mid ? -1 : 1;
	return a->start_ns < b->start_ns ? -1 : a->start_ns > b->start_ns;
}

/* Tables without these columns are sorted by time alone. */
static struct sort_cols sort_cols(const struct table *table)
{
	return (struct sort_cols){
		.start = &table->cols[table->start_ord],
		.tier = table_col(table, VIEW_LIT("tier")),
		.dst_workload = table_col(table, VIEW_LIT("dst_workload")),
		.dst_port = table_col(table, VIEW_LIT("dst_port")),
		.src_workload = table_col(table, VIEW_LIT("src_workload")),
	};
}

/* ------------------------------------------------------------------ writing */

/* The builder's rows, of tier t, become the next row group. */
static int write_group(struct rows_seal *rs, struct rg_builder *builder, int t, const uint32_t *order, struct err *err)
{
	struct part_table *table = &rs->seal->entry.tables[rs->table->id];
	struct part_key key = part_key_rg(rs->table->id, table->groups);
	struct rg rg;
	int rc;

	if (rg_builder_rows(builder) == 0)
		return 0;
	wr_reset(&rs->blob);
	wr_reset(&rs->zone);
	rc = rg_builder_write(builder, order, RG_CODEC_ZSTD, rs->seal->opts->zstd_level, &rs->blob, err);
	if (rc == 0 && rs->blob.bad)
		rc = err_set(err, E_NO_MEMORY, "out of memory");
	/* Read back what was written before the source is given up; the index sees what readers will see. */
	if (rc == 0)
		rc = rg_open(wr_view(&rs->blob), &rg, err);
	if (rc == 0)
		rc = rg_verify(&rg, err);
	if (rc == 0)
		rc = index_add_group(rs->index, &rg, table->groups, &rs->seal->batch, err);
	if (rc < 0)
		return rc;
	rg_zone_write(&rg.zone, &rs->zone);
	rc = rs->zone.bad ? err_set(err, E_NO_MEMORY, "out of memory") : 0;
	if (rc == 0)
		rc = kv_batch_put(&rs->seal->batch, PART_ZONE, rs->how, part_key_view(&key), wr_view(&rs->zone), err);
	if (rc == 0)
		rc = kv_batch_put(&rs->seal->batch, PART_RG, rs->how, part_key_view(&key), wr_view(&rs->blob), err);
	if (rc < 0)
		return rc;
	table->groups++;
	table->bytes += rs->blob.len;
	if (rs->table->id == TABLE_ROLLUPS) {
		rs->seal->entry.tiers[t].rows += rg.zone.rows;
		rs->seal->entry.tiers[t].bytes += rs->blob.len;
	}
	part_entry_count(&rs->seal->entry, rs->table->id, rg.zone.rows, rg.zone.start_min, rg.zone.start_max,
			 rg.zone.end_max);
	rg_builder_reset(builder);
	return 0;
}

static void sorting_free(struct sorting *sorting)
{
	mem_free(sorting->column);
	for (unsigned i = 0; i < SORT_KEYS; i++)
		mem_free(sorting->keys[i]);
	for (unsigned i = 0; i < 2; i++)
		mem_free(sorting->pairs[i]);
	mem_free(sorting->order);
	*sorting = (struct sorting){ .order = NULL };
}

static int sorting_make(struct sorting *sorting)
{
	bool made = true;

	if (sorting->order)
		return 0;
	made &= (sorting->column = mem_array(RG_ROWS_MAX, sizeof(*sorting->column))) != NULL;
	for (unsigned i = 0; i < SORT_KEYS; i++)
		made &= (sorting->keys[i] = mem_array(RG_ROWS_MAX, sizeof(*sorting->keys[i]))) != NULL;
	for (unsigned i = 0; i < 2; i++)
		made &= (sorting->pairs[i] = mem_array(RG_ROWS_MAX, sizeof(*sorting->pairs[i]))) != NULL;
	made &= (sorting->order = mem_array(RG_ROWS_MAX, sizeof(*sorting->order))) != NULL;
	if (!made)
		sorting_free(sorting);
	return made ? 0 : E_NO_MEMORY;
}

/* Add a column to one of them. */
static int key_add(struct sorting *sorting, const struct rg_builder *builder, const struct col *col, unsigned which,
		   unsigned shift, uint64_t mask)
{
	uint64_t *keys = sorting->keys[which];

	if (!col)
		return 0;
	if (rg_builder_keys(builder, col, sorting->column) < 0)
		return E_NO_MEMORY;
	for (size_t i = 0; i < rg_builder_rows(builder); i++)
		keys[i] |= (sorting->column[i] & mask) << shift;
	return 0;
}

static int keys_make(struct rows_seal *rs, const struct rg_builder *builder, bool coarse)
{
	const uint64_t low = (1ull << RANK_BITS) - 1;
	struct sorting *sorting = &rs->sorting;
	const struct sort_cols *by = &rs->sort;
	int rc = 0;

	if (coarse) {
		rc |= key_add(sorting, builder, by->dst_workload, LEAD, 16, low);
		rc |= key_add(sorting, builder, by->dst_port, LEAD, 0, 0xffff);
		rc |= key_add(sorting, builder, by->start, MID, 0, UINT64_MAX);
		rc |= key_add(sorting, builder, by->src_workload, LAST, 0, low);
		return rc;
	}
	rc |= key_add(sorting, builder, by->start, LAST, 0, UINT64_MAX);
	for (size_t i = 0; rc == 0 && by->dst_workload && i < rg_builder_rows(builder); i++)
		sorting->keys[LEAD][i] = sorting->keys[LAST][i] / NS_PER_MIN;
	rc |= key_add(sorting, builder, by->dst_workload, MID, RANK_BITS + 16, low);
	rc |= key_add(sorting, builder, by->dst_port, MID, RANK_BITS, 0xffff);
	rc |= key_add(sorting, builder, by->src_workload, MID, 0, low);
	return rc;
}

/* Where the group that begins at row `from` of those sorted ends. */
static size_t piece_end(const struct sorting *sorting, size_t from, size_t count)
{
	const uint64_t *leads = sorting->keys[LEAD];
	const uint32_t *order = sorting->order;
	size_t to = from;

	while (to < count && to - from < COARSE_ROWS &&
	       (to - from < COARSE_ROWS_MIN || leads[order[to]] == leads[order[to - 1]]))
		to++;
	return to;
}

/* The rows of a builder, sorted, in groups of few destinations. */
static int write_pieces(struct rows_seal *rs, struct rg_builder *builder, int t, struct err *err)
{
	const struct sorting *sorting = &rs->sorting;
	size_t count = rg_builder_rows(builder);
	int rc = 0;

	if (!rs->piece && !(rs->piece = rg_builder_new(rs->table)))
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t from = 0, n; from < count && rc == 0; from += n) {
		n = piece_end(sorting, from, count) - from;
		rc = rg_builder_add_from(rs->piece, builder, sorting->order + from, n);
		rc = rc < 0 ? err_set(err, rc, "%s: %zu rows not added: %s", rs->table->name, n, err_text(rc)) :
			      write_group(rs, rs->piece, t, NULL, err);
	}
	rg_builder_reset(builder);
	return rc;
}

/* Sort the rows of one builder and write them. */
static int write_sorted(struct rows_seal *rs, struct rg_builder *builder, int t, struct err *err)
{
	struct sorting *sorting = &rs->sorting;
	size_t count = rg_builder_rows(builder);
	bool coarse = rs->table->id == TABLE_ROLLUPS && t >= COARSE_TIER;

	if (!count)
		return 0;
	if (sorting_make(sorting) < 0)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (unsigned i = 0; i < SORT_KEYS; i++)
		memset(sorting->keys[i], 0, count * sizeof(*sorting->keys[i]));
	if (keys_make(rs, builder, coarse) < 0)
		return err_set(err, E_NO_MEMORY, "out of memory");
	sort_places((const uint64_t *const *)sorting->keys, SORT_KEYS, count, sorting->pairs[0], sorting->pairs[1],
		    sorting->order);
	return coarse && count > COARSE_ROWS_MIN ? write_pieces(rs, builder, t, err) :
						   write_group(rs, builder, t, sorting->order, err);
}

/* Of slices: rows are in the order they were sorted to, but for those of coarse tiers. */
static int write_slices(struct rows_seal *rs, int t, struct err *err)
{
	return rs->table->id == TABLE_ROLLUPS && t >= COARSE_TIER ? write_sorted(rs, rs->builders[t], t, err) :
								    write_group(rs, rs->builders[t], t, NULL, err);
}

static int write_groups(struct rows_seal *rs, struct err *err)
{
	int rc = 0;

	for (int t = 0; t < ROLLUP_TIERS_COUNT && rc == 0; t++)
		if (rs->builders[t])
			rc = write_slices(rs, t, err);
	return rc;
}

/* Where a row goes; NULL: memory is out. */
static struct rg_builder *builder_of(struct rows_seal *rs, uint64_t tier, int *ret_t)
{
	static const uint32_t tiers[ROLLUP_TIERS_COUNT] = ROLLUP_TIERS;
	int t = 0;

	while (t + 1 < ROLLUP_TIERS_COUNT && tier > tiers[t])
		t++;
	if (!rs->builders[t])
		rs->builders[t] = rg_builder_new(rs->table);
	*ret_t = t;
	return rs->builders[t];
}

static int flush_slice(struct rows_seal *rs, struct err *err)
{
	int rc = 0;

	settle_rows(&rs->ranks, rs->rows, rs->rows_count);
	if (rs->rows_count)
		qsort(rs->rows, rs->rows_count, sizeof(*rs->rows), cmp_rows);
	for (size_t i = 0; i < rs->rows_count && rc == 0; i++) {
		int t;
		struct rg_builder *builder = builder_of(rs, rs->rows[i].lead >> 32, &t);

		rc = builder ? rg_builder_add(builder, rs->rows[i].row) : E_NO_MEMORY;
		if (rc == E_LIMIT) {
			rc = write_slices(rs, t, err);
			if (rc == 0)
				rc = rg_builder_add(builder, rs->rows[i].row);
		}
		if (rc < 0)
			rc = err_set(err, rc, "%s: row not added: %s", rs->table->name, err_text(rc));
	}
	rs->rows_count = 0;
	ranks_reset(&rs->ranks);
	arena_reset(&rs->arena);
	return rc;
}

/* Add the rows of one hot group that begin within [from_ns, last_ns]. */
static int load_group(struct rows_seal *rs, uint32_t group, uint64_t from_ns, uint64_t last_ns, struct err *err)
{
	struct part_key key = part_key_rg(rs->table->id, group);
	struct err why = { 0 };
	const uint8_t *row;
	struct view blob;
	void *rows = NULL;
	struct rg rg;
	int rc = kv_get(rs->seal->txn, PART_RG, part_key_view(&key), &blob, err);

	if (rc < 0)
		return rc;
	rc = rc ? rg_open(blob, &rg, &why) : E_CORRUPT;
	if (rc == 0)
		rc = rg_read_rows(&rg, &rs->arena, &rows, &why);
	if (rc == E_CORRUPT || rc == E_UNSUPPORTED) {	/* the rest is kept; the caller records a gap */
		rs->seal->damaged += rs->zones[group].start_min >= from_ns;	/* once, not once a slice */
		return 0;
	}
	if (rc < 0)
		return err_set(err, rc, "%s", why.text);
	row = rows;
	for (uint32_t i = 0; i < rg.zone.rows; i++, row += rs->table->row_bytes) {
		uint64_t start_ns;

		memcpy(&start_ns, row + rs->sort.start->offset, sizeof(start_ns));
		if (start_ns < from_ns || start_ns > last_ns)
			continue;
		if (mem_grow((void **)&rs->rows, &rs->rows_cap, rs->rows_count, sizeof(*rs->rows)) < 0)
			return err_set(err, E_NO_MEMORY, "out of memory");
		if (sort_row_make(&rs->sort, &rs->ranks, row, &rs->rows[rs->rows_count]) < 0 ||
		    payload_classes_note(rs->seal->classes, rs->table->id, row) < 0)
			return err_set(err, E_NO_MEMORY, "out of memory");
		rs->rows_count++;
	}
	return 0;
}

static int seal_slice(struct rows_seal *rs, uint64_t from_ns, uint64_t last_ns, struct err *err)
{
	int rc = 0;

	for (uint32_t g = 0; g < rs->groups && rc == 0; g++) {
		if (rs->zones[g].start_max < from_ns || rs->zones[g].start_min > last_ns)
			continue;
		rc = load_group(rs, g, from_ns, last_ns, err);
		if (rc == 0 && rs->rows_count >= SLICE_ROWS_MAX)
			rc = flush_slice(rs, err);
	}
	return rc == 0 ? flush_slice(rs, err) : rc;
}

/* About how many rows begin in each minute: groups spread evenly over their range. */
static void estimate(const struct rows_seal *rs, uint64_t start_ns, double minutes[MINUTES])
{
	memset(minutes, 0, MINUTES * sizeof(*minutes));
	for (uint32_t g = 0; g < rs->groups; g++) {
		const struct rg_zone *zone = &rs->zones[g];
		uint64_t first = (zone->start_min - start_ns) / NS_PER_MIN;
		uint64_t last = (zone->start_max - start_ns) / NS_PER_MIN;

		for (uint64_t m = first; m <= last && m < MINUTES; m++)
			minutes[m] += (double)zone->rows / (double)(last - first + 1);
	}
}

static int load_zones(struct rows_seal *rs, struct err *err)
{
	uint64_t start_ns = rs->seal->from.hour * NS_PER_HOUR;

	rs->zones = mem_array(rs->groups, sizeof(*rs->zones));
	if (!rs->zones)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (uint32_t g = 0; g < rs->groups; g++) {
		struct part_key key = part_key_rg(rs->table->id, g);
		struct rg_zone *zone = &rs->zones[g];
		struct view value;
		int rc = kv_get(rs->seal->txn, PART_ZONE, part_key_view(&key), &value, err);

		if (rc < 0)
			return rc;
		if (rc == 0 || rg_zone_read(value, zone, NULL) < 0 || zone->start_min < start_ns ||
		    zone->start_max < zone->start_min || zone->start_max - start_ns >= NS_PER_HOUR)
			/* Not to be believed: look into the group in every slice. */
			*zone = (struct rg_zone){ .start_min = start_ns, .start_max = start_ns + (NS_PER_HOUR - 1) };
	}
	return 0;
}

static int seal_slices(struct rows_seal *rs, struct err *err)
{
	uint64_t start_ns = rs->seal->from.hour * NS_PER_HOUR;
	double minutes[MINUTES], rows = 0;
	unsigned from = 0;
	int rc = 0;

	estimate(rs, start_ns, minutes);
	for (unsigned m = 0; m < MINUTES && rc == 0; m++) {
		if (m > from && rows + minutes[m] > SLICE_ROWS) {
			rc = seal_slice(rs, start_ns + from * NS_PER_MIN, start_ns + m * NS_PER_MIN - 1, err);
			from = m;
			rows = 0;
		}
		rows += minutes[m];
	}
	/* The last hour of time is not a whole one. */
	if (rc == 0)
		rc = seal_slice(rs, start_ns + from * NS_PER_MIN,
				start_ns > UINT64_MAX - (NS_PER_HOUR - 1) ? UINT64_MAX : start_ns + (NS_PER_HOUR - 1),
				err);
	return rc == 0 ? write_groups(rs, err) : rc;
}

static int rows_seal_init(struct rows_seal *rs, struct seal *seal, enum table_id table, struct err *err)
{
	*rs = (struct rows_seal){ .seal = seal, .table = table_get(table), .how = KV_PUT_APPEND };
	rs->sort = sort_cols(rs->table);
	arena_init(&rs->arena, 0);
	wr_init(&rs->blob, 0);
	wr_init(&rs->zone, 0);
	rs->index = index_builder_new(rs->table);
	return rs->index ? 0 : err_set(err, E_NO_MEMORY, "out of memory");
}

static void rows_seal_release(struct rows_seal *rs)
{
	arena_release(&rs->arena);
	wr_release(&rs->blob);
	wr_release(&rs->zone);
	for (int t = 0; t < ROLLUP_TIERS_COUNT; t++)
		rg_builder_free(rs->builders[t]);
	rg_builder_free(rs->piece);
	sorting_free(&rs->sorting);
	index_builder_free(rs->index);
	ranks_release(&rs->ranks);
	mem_free(rs->rows);
	mem_free(rs->zones);
}

int seal_rows(struct seal *seal, enum table_id table, struct err *err)
{
	struct rows_seal rs;
	int rc;

	if (seal->from.tables[table].groups == 0)
		return 0;
	rc = rows_seal_init(&rs, seal, table, err);
	rs.groups = seal->from.tables[table].groups;
	if (rc == 0)
		rc = load_zones(&rs, err);
	if (rc == 0)
		rc = seal_slices(&rs, err);
	if (rc == 0)
		rc = index_write(rs.index, &seal->batch, err);
	rows_seal_release(&rs);
	return rc;
}

/* --------------------------------------------------------------------- runs */

struct seal_run {
	struct rows_seal rs;
};

int seal_run_new(struct seal *seal, enum table_id table, struct seal_run **ret_run, struct err *err)
{
	struct seal_run *run = mem_zalloc(sizeof(*run));
	int rc;

	if (!run)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rc = rows_seal_init(&run->rs, seal, table, err);
	if (rc < 0) {
		seal_run_free(run);
		return rc;
	}
	run->rs.how = KV_PUT_NEW;	/* tables take turns */
	*ret_run = run;
	return 0;
}

void seal_run_free(struct seal_run *run)
{
	if (!run)
		return;
	rows_seal_release(&run->rs);
	mem_free(run);
}

static int run_add(struct seal_run *run, const uint8_t *rows, size_t count, struct err *err)
{
	struct rows_seal *rs = &run->rs;
	int t;
	struct rg_builder *builder = builder_of(rs, int_of(rs->sort.tier, rows), &t);
	int rc = builder ? 0 : E_NO_MEMORY;

	while (count && rc >= 0) {
		size_t added = 0;

		rc = rg_builder_add_rows(builder, rows, count, &added);
		rows += added * rs->table->row_bytes;
		count -= added;
		if (rc != E_LIMIT)
			continue;
		rc = write_sorted(rs, builder, t, err);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? err_set(err, rc, "%s: row not added: %s", rs->table->name, err_text(rc)) : 0;
}

int seal_run_add(struct seal_run *run, const void *rows, size_t count, struct err *err)
{
	struct rows_seal *rs = &run->rs;
	size_t row_bytes = rs->table->row_bytes;
	const uint8_t *row = rows;
	int rc = 0;

	for (size_t n; count && rc == 0; count -= n, row += n * row_bytes) {
		uint64_t tier = int_of(rs->sort.tier, row);

		for (n = 1; n < count && (!rs->sort.tier || int_of(rs->sort.tier, row + n * row_bytes) == tier); n++)
			;
		rc = run_add(run, row, n, err);
		for (size_t i = 0; i < n && rc == 0; i++)
			if (payload_classes_note(rs->seal->classes, rs->table->id, row + i * row_bytes) < 0)
				rc = err_set(err, E_NO_MEMORY, "%s: out of memory", rs->table->name);
	}
	return rc;
}

size_t seal_run_bytes(const struct seal_run *run)
{
	size_t bytes = 0;

	for (int t = 0; t < ROLLUP_TIERS_COUNT; t++)
		bytes += run->rs.builders[t] ? rg_builder_bytes(run->rs.builders[t]) : 0;
	return bytes;
}

static int run_write_all(struct seal_run *run, size_t keep_bytes, struct err *err)
{
	struct rows_seal *rs = &run->rs;
	int rc = 0;

	for (int t = 0; t < ROLLUP_TIERS_COUNT && rc == 0; t++) {
		if (!rs->builders[t] || rg_builder_bytes(rs->builders[t]) < keep_bytes)
			continue;
		rc = write_sorted(rs, rs->builders[t], t, err);
		rg_builder_free(rs->builders[t]);
		rs->builders[t] = NULL;
	}
	rg_builder_free(rs->piece);
	rs->piece = NULL;
	sorting_free(&rs->sorting);
	return rc;
}

int seal_run_flush(struct seal_run *run, struct err *err)
{
	return run_write_all(run, RUN_KEEP_BYTES, err);
}

int seal_run_end(struct seal_run *run, struct err *err)
{
	int rc = run_write_all(run, 0, err);

	return rc == 0 ? index_write(run->rs.index, &run->rs.seal->batch, err) : rc;
}
