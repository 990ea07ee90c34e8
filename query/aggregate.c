/*
 * Aggregation: each matching row finds its group (bucket of time, then the
 * columns grouped by), and each aggregate then walks its own column over the rows
 * of the row group. Texts become numbers once a dictionary entry.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "query/agg.h"
#include "query/group.h"
#include "query/scan.h"
#include "query/tier.h"

#define GROUPS_MAX  2000000u
#define TOP_DEFAULT 1000
#define HIST_BYTES  1024 /* what a histogram takes, about, for the budget */

struct tally {		 /* of one aggregate in one group */
	uint64_t n, sum; /* sum: also least, greatest, failed */
};

struct aggregate {
	struct plan plan;
	struct agg_spec spec;
	const struct query_aggregate *what;
	struct groups groups; /* key: bucket, bits of null columns, then a word a column */
	struct intern intern;
	struct arena texts;
	struct seen seen;
	struct tally *tallies; /* [group * aggs_count] */
	struct hist **hists;   /* [group * hists_count] */
	size_t room;	       /* groups that these have room for */
	size_t hists_made, hists_limit;
	bool counts_only; /* no columns at all: count and rate of everything that matches */

	/* of the row group at hand, in its scratch arena */
	uint32_t *rows;	    /* that match */
	uint32_t *group_of; /* same index */
	uint32_t count;
};

/* ---- rows to groups ---- */

struct by_column {
	const struct col *col;
	struct rg_ints ints;
	struct rg_bytes bytes;
	const uint64_t *valid;
	uint32_t *numbers; /* a dictionary entry's text; 0 = not asked yet */
};

static int by_load(struct scan *scan, const struct col *col, struct by_column *by, struct err *err)
{
	int rc;

	*by = (struct by_column){ .col = col };
	if (types[col->type].phys == PHYS_INT) {
		rc = columns_ints(&scan->columns, col, &by->ints, err);
		by->valid = rc < 0 ? NULL : by->ints.valid;
		return rc;
	}
	rc = columns_bytes(&scan->columns, col, &by->bytes, err);
	if (rc < 0)
		return rc;
	by->valid = by->bytes.valid;
	by->numbers = arena_array(scan->columns.arena, (size_t)by->bytes.dict_count + 1,
				  sizeof(*by->numbers));
	return by->numbers ? 0 : E_NO_MEMORY;
}

/* False when memory is out. */
static bool by_word(struct aggregate *agg, const struct by_column *by, uint32_t row,
		    uint64_t *ret_word)
{
	uint32_t code;

	if (!by->numbers) {
		*ret_word = by->ints.values[row];
		return true;
	}
	code = by->bytes.codes ? by->bytes.codes[row] : row;
	if (!by->numbers[code])
		by->numbers[code] = intern_add(&agg->intern, by->bytes.dict[code]);
	*ret_word = by->numbers[code];
	return by->numbers[code] != 0;
}

static uint64_t bucket_of(const struct aggregate *agg, uint64_t start_ns)
{
	uint64_t step_ns = agg->what->step_ns;

	if (step_ns == 0)
		return agg->plan.from_ns;
	if (start_ns < agg->plan.from_ns) /* began before the range: counts from its begin on */
		start_ns = agg->plan.from_ns;
	return start_ns - start_ns % step_ns;
}

static int too_many(const struct aggregate *agg, struct err *err)
{
	if (agg->groups.count < agg->groups.limit)
		return plan_no_memory(&agg->plan, err);
	return err_set(
		err, E_BUDGET,
		"more than %zu groups: group by less, take a longer step or a narrower filter",
		agg->groups.limit);
}

/* The group that a dictionary entry had last, and in which bucket: rows of one column of texts need no hash. */
struct memo {
	uint64_t bucket;
	uint32_t group; /* + 1; 0 = none yet */
};

static int memo_new(const struct agg_spec *spec, struct scan *scan, const struct by_column *bys,
		    struct memo **ret_memo)
{
	if (spec->bys_count != 1 || !bys[0].numbers || !bys[0].bytes.codes)
		return 0;
	*ret_memo = arena_array(scan->columns.arena, (size_t)bys[0].bytes.dict_count + 1,
				sizeof(**ret_memo));
	return *ret_memo ? 0 : E_NO_MEMORY;
}

static int rows_group(struct aggregate *agg, struct scan *scan, struct err *err)
{
	const struct agg_spec *spec = &agg->spec;
	size_t words = 2 + spec->bys_count;
	uint64_t key[2 + BYS_MAX] = { 0 }, before[2 + BYS_MAX];
	struct by_column bys[BYS_MAX];
	struct rg_ints starts = { 0 };
	struct memo *memos = NULL;
	uint32_t row, group = GROUP_NONE;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < spec->bys_count; i++)
		rc = by_load(scan, spec->bys[i], &bys[i], err);
	if (rc == 0 && agg->what->step_ns)
		rc = columns_ints(&scan->columns, &spec->table->cols[spec->table->start_ord],
				  &starts, err);
	if (rc == 0)
		rc = memo_new(spec, scan, bys, &memos);
	if (rc < 0)
		return rc;
	agg->count = 0;
	SCAN_EACH_BIT (scan->bits, columns_words(&scan->columns), row) {
		struct memo *memo = memos && rg_valid(bys[0].valid, row)
					    ? &memos[bys[0].bytes.codes[row]]
					    : NULL;

		key[0] = bucket_of(agg, starts.values ? starts.values[row] : 0);
		key[1] = 0;
		if (memo && memo->group && memo->bucket == key[0]) {
			agg->rows[agg->count] = row;
			agg->group_of[agg->count++] = memo->group - 1;
			continue;
		}
		for (size_t i = 0; i < spec->bys_count; i++) {
			key[2 + i] = 0;
			if (!rg_valid(bys[i].valid, row))
				key[1] |= 1ull << i;
			else if (!by_word(agg, &bys[i], row, &key[2 + i]))
				return plan_no_memory(&agg->plan, err);
		}
		/* Sealed rows are sorted by workload: the group before is often this one's too. */
		if (group == GROUP_NONE || memcmp(key, before, words * sizeof(*key)) != 0) {
			group = groups_add(&agg->groups, key);
			if (group == GROUP_NONE)
				return too_many(agg, err);
			memcpy(before, key, sizeof(before));
		}
		if (memo)
			*memo = (struct memo){ key[0], group + 1 };
		agg->rows[agg->count] = row;
		agg->group_of[agg->count++] = group;
	}
	return 0;
}

static int grow_room(struct aggregate *agg, struct err *err)
{
	size_t room = agg->room ? agg->room : 64, aggs = agg->spec.aggs_count,
	       hists = agg->spec.hists_count;
	struct tally *tallies;
	struct hist **more;

	while (room < agg->groups.count)
		room *= 2;
	if (room == agg->room)
		return 0;
	tallies = mem_resize(agg->tallies, room * aggs, sizeof(*tallies));
	if (!tallies)
		return plan_no_memory(&agg->plan, err);
	agg->tallies = tallies;
	memset(tallies + agg->room * aggs, 0, (room - agg->room) * aggs * sizeof(*tallies));
	if (hists) {
		more = mem_resize(agg->hists, room * hists, sizeof(struct hist *));
		if (!more)
			return plan_no_memory(&agg->plan, err);
		agg->hists = more;
		memset(more + agg->room * hists, 0,
		       (room - agg->room) * hists * sizeof(struct hist *));
	}
	agg->room = room;
	return 0;
}

/* ---- aggregates over one row group ---- */

static void add_to(uint64_t *sum, uint64_t value)
{
	if (__builtin_add_overflow(*sum, value, sum))
		*sum = UINT64_MAX;
}

#define EACH_VALUE(agg, ints, i, tally, at)                                                        \
	for (uint32_t i = 0; i < (agg)->count; i++)                                                \
		if (rg_valid((ints).valid, (agg)->rows[i]))                                        \
			for (struct tally *tally =                                                 \
				     &(agg)->tallies[(agg)->group_of[i] * (agg)->spec.aggs_count + \
						     (at)];                                        \
			     tally; tally = NULL)

static int tally_ints(struct aggregate *agg, struct scan *scan, size_t at, struct err *err)
{
	struct rg_ints ints;
	int rc = columns_ints(&scan->columns, agg->spec.aggs[at].col, &ints, err);

	if (rc < 0)
		return rc;
	switch (agg->spec.aggs[at].kind) {
	case AGG_MIN:
		EACH_VALUE (agg, ints, i, tally, at) {
			uint64_t value = ints.values[agg->rows[i]];

			if (!tally->n++ || value < tally->sum)
				tally->sum = value;
		}
		return 0;
	case AGG_MAX:
		EACH_VALUE (agg, ints, i, tally, at) {
			uint64_t value = ints.values[agg->rows[i]];

			if (!tally->n++ || value > tally->sum)
				tally->sum = value;
		}
		return 0;
	default:
		EACH_VALUE (agg, ints, i, tally, at) {
			tally->n++;
			add_to(&tally->sum, ints.values[agg->rows[i]]);
		}
		return 0;
	}
}

/*
 * Calls that failed at their server: an error of the server's, or no response
 * before the timeout, the reset or the close. A caller's own error (HTTP 404) is
 * none, nor is what the recorder missed.
 */
static int errors_load(struct scan *scan, const struct agg_spec *spec, struct rg_ints ints[4],
		       struct err *err)
{
	static const uint16_t of_calls[] = { CALL_status_class, CALL_end_reason,
					     CALL_rsp_first_ns };
	static const uint16_t of_rollups[] = { ROLLUP_server_errors, ROLLUP_unanswered,
					       ROLLUP_calls };
	const uint16_t *list = spec->table->id == TABLE_ROLLUPS ? of_rollups : of_calls;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < 3; i++)
		rc = columns_ints(&scan->columns, &spec->table->cols[list[i]], &ints[i], err);
	return rc;
}

static int tally_errors(struct aggregate *agg, struct scan *scan, size_t at, struct err *err)
{
	bool rollups = agg->spec.table->id == TABLE_ROLLUPS;
	struct rg_ints ints[4] = { { 0 } };
	int rc = errors_load(scan, &agg->spec, ints, err);

	if (rc < 0)
		return rc;
	EACH_VALUE (agg, ints[0], i, tally, at) {
		uint32_t row = agg->rows[i];
		uint64_t a = ints[0].values[row], b = ints[1].values[row];

		if (rollups) {
			add_to(&tally->n, ints[2].values[row]);
			add_to(&tally->sum, a + b);
		} else {
			tally->n++;
			tally->sum += a == CLASS_server_error ||
				      (!rg_valid(ints[2].valid, row) &&
				       (b == CALL_END_unanswered || b == CALL_END_reset ||
					b == CALL_END_closed));
		}
	}
	return 0;
}

static int distinct_add(struct aggregate *agg, struct tally *tally, uint32_t group, size_t at,
			uint64_t hash, struct err *err)
{
	int rc = seen_add(&agg->seen, hash_mix(hash, (uint64_t)group << 8 | at));

	if (rc == E_LIMIT || rc == E_NO_MEMORY)
		return plan_no_memory(&agg->plan, err);
	tally->n += (uint64_t)rc;
	return 0;
}

static int tally_distinct(struct aggregate *agg, struct scan *scan, size_t at, struct err *err)
{
	const struct col *col = agg->spec.aggs[at].col;
	struct by_column by;
	int rc = by_load(scan, col, &by, err);

	for (uint32_t i = 0; rc == 0 && i < agg->count; i++) {
		uint32_t row = agg->rows[i], group = agg->group_of[i];
		struct tally *tally = &agg->tallies[group * agg->spec.aggs_count + at];
		struct view text;

		if (!rg_valid(by.valid, row))
			continue;
		if (!by.numbers) {
			rc = distinct_add(agg, tally, group, at, hash_u64(by.ints.values[row]),
					  err);
			continue;
		}
		text = columns_text(&by.bytes, row);
		rc = distinct_add(agg, tally, group, at, hash_bytes(text.at, text.len, 7), err);
	}
	return rc;
}

static int tally_count(struct aggregate *agg, struct scan *scan, size_t at, struct err *err)
{
	const struct col *col = agg->spec.aggs[at].col;
	struct rg_ints ints = { 0 }; /* only the bits of null are looked at */
	struct by_column by;

	if (col) {
		int rc = by_load(scan, col, &by, err);

		if (rc < 0)
			return rc;
		ints.valid = by.valid;
	}
	EACH_VALUE (agg, ints, i, tally, at)
		tally->n++;
	return 0;
}

static struct hist *hist_get(struct aggregate *agg, uint32_t group, size_t h, struct err *err)
{
	struct hist **hist = &agg->hists[group * agg->spec.hists_count + h];

	if (!*hist) {
		if (agg->hists_made < agg->hists_limit)
			*hist = hist_new();
		if (!*hist)
			(void)plan_no_memory(&agg->plan, err);
		agg->hists_made++;
	}
	return *hist;
}

static int hists_add(struct aggregate *agg, struct scan *scan, size_t h, struct err *err)
{
	const struct col *col = agg->spec.hists[h];
	bool stored = col->type == TYPE_HIST;
	struct rg_bytes bytes = { 0 };
	struct rg_ints ints = { 0 };
	const uint64_t *valid;
	int rc = stored ? columns_bytes(&scan->columns, col, &bytes, err)
			: columns_ints(&scan->columns, col, &ints, err);

	valid = stored ? bytes.valid : ints.valid;
	for (uint32_t i = 0; rc >= 0 && i < agg->count; i++) {
		uint32_t row = agg->rows[i];
		struct hist *hist;

		if (!rg_valid(valid, row))
			continue;
		hist = hist_get(agg, agg->group_of[i], h, err);
		if (!hist)
			return E_BUDGET;
		rc = stored ? hist_merge_bytes(hist, columns_text(&bytes, row), err)
			    : hist_add(hist, ints.values[row], 1);
	}
	return rc < 0 ? rc : 0;
}

/* One group, of which only the number of rows is asked: no row need be looked at again. */
static int count_all(struct aggregate *agg, const struct scan *scan, struct err *err)
{
	uint64_t key[2] = { bucket_of(agg, 0), 0 };
	uint32_t group = groups_add(&agg->groups, key);
	int rc = group == GROUP_NONE ? plan_no_memory(&agg->plan, err) : grow_room(agg, err);

	for (size_t i = 0; rc == 0 && i < agg->spec.aggs_count; i++)
		agg->tallies[i].n += scan->matched;
	return rc;
}

static int group_add(void *arg, struct scan *scan, struct err *err)
{
	struct aggregate *agg = arg;
	int rc;

	if (agg->counts_only)
		return count_all(agg, scan, err);
	agg->rows = arena_array(scan->columns.arena, scan->matched, sizeof(*agg->rows));
	agg->group_of = arena_array(scan->columns.arena, scan->matched, sizeof(*agg->group_of));
	if (!agg->rows || !agg->group_of)
		return plan_no_memory(&agg->plan, err);
	/* All columns first: a damaged one must not leave half of the row group counted. */
	for (size_t i = 0; i < agg->spec.aggs_count; i++) {
		const struct agg *one = &agg->spec.aggs[i];
		struct rg_ints ints[4];
		struct by_column by;

		rc = one->col			    ? by_load(scan, one->col, &by, err)
		     : one->kind == AGG_ERROR_RATIO ? errors_load(scan, &agg->spec, ints, err)
						    : 0;
		if (rc < 0)
			return rc;
	}
	rc = rows_group(agg, scan, err);
	if (rc == 0)
		rc = grow_room(agg, err);
	for (size_t i = 0; rc == 0 && i < agg->spec.aggs_count; i++) {
		switch (agg->spec.aggs[i].kind) {
		case AGG_COUNT:
		case AGG_RATE: rc = tally_count(agg, scan, i, err); break;
		case AGG_ERROR_RATIO: rc = tally_errors(agg, scan, i, err); break;
		case AGG_DISTINCT: rc = tally_distinct(agg, scan, i, err); break;
		case AGG_QUANTILE: break;
		default: rc = tally_ints(agg, scan, i, err);
		}
	}
	for (size_t h = 0; rc == 0 && h < agg->spec.hists_count; h++)
		rc = hists_add(agg, scan, h, err);
	return rc;
}

/* ---- the answer ---- */

/* Seconds of the bucket that lie in the range. */
static double bucket_seconds(const struct aggregate *agg, uint64_t bucket_ns)
{
	const struct plan *plan = &agg->plan;
	uint64_t from = bucket_ns, to = bucket_ns + agg->what->step_ns;

	if (agg->what->step_ns == 0)
		to = plan->to_ns;
	if (from < plan->from_ns)
		from = plan->from_ns;
	if (to > plan->to_ns)
		to = plan->to_ns;
	/* Without a range, what the store holds is the range. */
	if (agg->what->step_ns == 0 && from == 0 && plan->stats->oldest_ns != UINT64_MAX)
		from = plan->stats->oldest_ns;
	if (to == UINT64_MAX)
		to = plan->stats->newest_ns;
	return to > from ? (double)(to - from) / (double)NS_PER_SEC : NAN;
}

static double value_of(const struct aggregate *agg, uint32_t group, size_t at)
{
	const struct agg *one = &agg->spec.aggs[at];
	const struct tally *tally = &agg->tallies[group * agg->spec.aggs_count + at];
	uint64_t bucket_ns = agg->groups.keys[group * agg->groups.words];
	const struct hist *hist;

	switch (one->kind) {
	case AGG_COUNT:
	case AGG_DISTINCT: return (double)tally->n;
	case AGG_SUM: return (double)tally->sum;
	case AGG_MIN:
	case AGG_MAX: return tally->n ? (double)tally->sum : NAN;
	case AGG_AVG:
	case AGG_ERROR_RATIO: return tally->n ? (double)tally->sum / (double)tally->n : NAN;
	case AGG_RATE: return (double)tally->n / bucket_seconds(agg, bucket_ns);
	case AGG_RATE_SUM: return (double)tally->sum / bucket_seconds(agg, bucket_ns);
	case AGG_QUANTILE:
		hist = agg->hists[group * agg->spec.hists_count + one->hist];
		return hist && hist_count(hist) ? hist_quantile(hist, one->q) : NAN;
	}
	return NAN;
}

struct ranked {
	uint32_t group;
	double value; /* that orders; NaN comes last */
};

static int by_cmp(const struct aggregate *agg, uint32_t a, uint32_t b, size_t at)
{
	const uint64_t *x = agg->groups.keys + a * agg->groups.words,
		       *y = agg->groups.keys + b * agg->groups.words;
	bool null_x = x[1] >> at & 1, null_y = y[1] >> at & 1;

	if (null_x || null_y)
		return (int)null_x - (int)null_y;
	if (types[agg->spec.bys[at]->type].phys == PHYS_BYTES)
		return view_cmp(agg->intern.texts[x[2 + at] - 1], agg->intern.texts[y[2 + at] - 1]);
	return (x[2 + at] > y[2 + at]) - (x[2 + at] < y[2 + at]);
}

static int ranked_cmp(const void *a, const void *b, void *arg)
{
	const struct aggregate *agg = arg;
	const struct ranked *x = a, *y = b;
	uint64_t bucket_x = agg->groups.keys[x->group * agg->groups.words];
	uint64_t bucket_y = agg->groups.keys[y->group * agg->groups.words];
	int order = 0;

	if (bucket_x != bucket_y)
		return bucket_x < bucket_y ? -1 : 1;
	if (agg->spec.order_by >= 0)
		order = by_cmp(agg, x->group, y->group, (size_t)agg->spec.order_by);
	else if (isnan(x->value) != isnan(y->value))
		return isnan(x->value) - isnan(y->value);
	else
		order = (x->value > y->value) - (x->value < y->value);
	if (agg->spec.descending)
		order = -order;
	for (size_t i = 0; order == 0 && i < agg->spec.bys_count; i++)
		order = by_cmp(agg, x->group, y->group, i);
	return order;
}

/* The text of one key column; at is NULL for null. */
static int key_text(const struct aggregate *agg, uint32_t group, size_t at, struct arena *arena,
		    void *row, struct wr *wr, struct view *ret_text, struct err *err)
{
	const uint64_t *key = agg->groups.keys + group * agg->groups.words;
	const struct col *col = agg->spec.bys[at];
	struct view bytes = { 0 };

	*ret_text = view_make(NULL, 0);
	if (key[1] >> at & 1)
		return 0;
	if (types[col->type].phys == PHYS_BYTES)
		bytes = agg->intern.texts[key[2 + at] - 1];
	if (row_put(col, row, key[2 + at], bytes) < 0)
		return err_set(err, E_CORRUPT, "column %s: an address of %zu bytes", col->key,
			       bytes.len);
	wr_reset(wr);
	query_value_text(col, row, false, wr);
	*ret_text = arena_copy(arena, wr_view(wr));
	return wr->bad || !ret_text->at ? err_set(err, E_NO_MEMORY, "out of memory") : 0;
}

static int group_write(const struct aggregate *agg, uint32_t group, struct arena *arena, void *row,
		       struct wr *wr, struct query_group *ret_group, struct err *err)
{
	struct view *keys = arena_array(arena, agg->spec.bys_count + 1, sizeof(*keys));
	double *values = arena_array(arena, agg->spec.aggs_count, sizeof(*values));

	if (!keys || !values)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < agg->spec.bys_count; i++) {
		int rc = key_text(agg, group, i, arena, row, wr, &keys[i], err);

		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < agg->spec.aggs_count; i++)
		values[i] = value_of(agg, group, i);
	*ret_group =
		(struct query_group){ agg->groups.keys[group * agg->groups.words], keys, values };
	return 0;
}

static int names_write(const struct aggregate *agg, struct arena *arena,
		       struct query_groups *groups)
{
	groups->keys_count = agg->spec.bys_count;
	groups->values_count = agg->spec.aggs_count;
	groups->key_names = arena_array(arena, groups->keys_count + 1, sizeof(*groups->key_names));
	groups->value_names =
		arena_array(arena, groups->values_count + 1, sizeof(*groups->value_names));
	groups->value_units =
		arena_array(arena, groups->values_count + 1, sizeof(*groups->value_units));
	if (!groups->key_names || !groups->value_names || !groups->value_units)
		return E_NO_MEMORY;
	for (size_t i = 0; i < groups->keys_count; i++)
		groups->key_names[i] = agg->spec.bys[i]->key;
	for (size_t i = 0; i < groups->values_count; i++) {
		groups->value_names[i] = agg->spec.aggs[i].name;
		groups->value_units[i] = agg->spec.aggs[i].unit;
	}
	return 0;
}

static int answer_write(struct aggregate *agg, struct arena *arena, struct query_groups *groups,
			struct err *err)
{
	uint64_t top = agg->what->top ? agg->what->top : TOP_DEFAULT, in_bucket = 0;
	struct ranked *ranked = mem_array(agg->groups.count + 1, sizeof(*ranked));
	void *row = arena_zalloc(arena, agg->spec.table->row_bytes);
	struct wr wr;
	int rc = ranked && row ? names_write(agg, arena, groups) : E_NO_MEMORY;

	wr_init(&wr, 0);
	groups->groups = arena_array(arena, agg->groups.count + 1, sizeof(*groups->groups));
	if (!groups->groups)
		rc = E_NO_MEMORY;
	if (rc < 0)
		(void)err_set(err, rc, "out of memory");
	for (size_t i = 0; rc == 0 && i < agg->groups.count; i++)
		ranked[i] = (struct ranked){ (uint32_t)i,
					     agg->spec.order_agg < 0
						     ? 0
						     : value_of(agg, (uint32_t)i,
								(size_t)agg->spec.order_agg) };
	if (rc == 0 && agg->groups.count > 1)
		qsort_r(ranked, agg->groups.count, sizeof(*ranked), ranked_cmp, agg);
	for (size_t i = 0; rc == 0 && i < agg->groups.count; i++) {
		const uint64_t *keys = agg->groups.keys;
		size_t words = agg->groups.words;

		if (i && keys[ranked[i].group * words] != keys[ranked[i - 1].group * words])
			in_bucket = 0;
		if (in_bucket++ >= top) {
			agg->plan.stats->truncated = true;
			continue;
		}
		rc = group_write(agg, ranked[i].group, arena, row, &wr,
				 &groups->groups[groups->count], err);
		groups->count += rc == 0;
	}
	wr_release(&wr);
	mem_free(ranked);
	return rc;
}

/* ---- the run ---- */

/* A conversation that both ends recorded counts once, unless the question is about the ends. */
static bool names_side(const struct aggregate *agg)
{
	const struct table *table = agg->plan.table;

	for (size_t i = 0; i < agg->spec.bys_count; i++)
		if (agg->spec.bys[i]->ordinal == FLOW_view || agg->spec.bys[i]->ordinal == FLOW_vantage)
			return true;
	return filter_uses(agg->plan.filters[0], &table->cols[FLOW_view]) ||
	       filter_uses(agg->plan.filters[0], &table->cols[FLOW_vantage]);
}

static int aggregate_begin(struct aggregate *agg, struct arena *arena, uint32_t *ret_tier,
			   struct err *err)
{
	const struct table *table = agg->plan.table;
	size_t memory = agg->plan.budget.memory, each;
	int rc = agg_parse(table, agg->what, arena, &agg->spec, err);

	if (rc < 0)
		return rc;
	if (table->id == TABLE_FLOWS && !names_side(agg))
		rc = plan_add_filter(&agg->plan, VIEW_LIT("view == first"), err);
	else if (table->id == TABLE_ROLLUPS)
		rc = tier_choose(&agg->plan, agg->what->step_ns, arena, ret_tier, err);
	if (rc < 0)
		return rc;
	each = (2 + agg->spec.bys_count) * sizeof(uint64_t) +
	       agg->spec.aggs_count * sizeof(struct tally) +
	       agg->spec.hists_count * sizeof(struct hist *) + sizeof(struct ranked) +
	       sizeof(struct query_group) + 4 * sizeof(uint32_t);
	groups_init(&agg->groups, 2 + agg->spec.bys_count,
		    memory / 2 / each < GROUPS_MAX ? memory / 2 / each : GROUPS_MAX);
	seen_init(&agg->seen, memory / 4 / (4 * sizeof(uint64_t)));
	agg->hists_limit = memory / 2 / HIST_BYTES;
	agg->counts_only = agg->what->step_ns == 0 && agg->spec.bys_count == 0;
	for (size_t i = 0; i < agg->spec.aggs_count; i++)
		agg->counts_only &=
			!agg->spec.aggs[i].col &&
			(agg->spec.aggs[i].kind == AGG_COUNT || agg->spec.aggs[i].kind == AGG_RATE);
	return 0;
}

static void aggregate_free(struct aggregate *agg)
{
	for (size_t i = 0; agg->hists && i < agg->room * agg->spec.hists_count; i++)
		hist_free(agg->hists[i]);
	mem_free(agg->hists);
	mem_free(agg->tallies);
	seen_release(&agg->seen);
	groups_release(&agg->groups);
	intern_release(&agg->intern);
	arena_release(&agg->texts);
	plan_release(&agg->plan);
	mem_free(agg);
}

int query_aggregate(struct store *store, const struct query_opts *opts,
		    const struct query_aggregate *what, struct arena *arena,
		    struct query_groups *ret_groups, struct query_stats *ret_stats, struct err *err)
{
	struct aggregate *agg;
	struct query_groups groups = { 0 };
	struct query_stats stats;
	int rc;

	if (!table_get(what->table) || what->table == TABLE_PACKETS)
		return err_set(err, E_UNSUPPORTED,
			       "only flows, calls, events, entities and rollups can be aggregated");
	agg = mem_zalloc(sizeof(*agg));
	if (!agg)
		return err_set(err, E_NO_MEMORY, "out of memory");
	agg->what = what;
	/* A bucket of a rollup lies in the range or it does not. */
	rc = plan_init(&agg->plan, store, opts, what->table,
		       what->starts_within || what->table == TABLE_ROLLUPS, &stats, err);
	arena_init(&agg->texts, agg->plan.budget.memory);
	intern_init(&agg->intern, &agg->texts);
	if (rc == 0)
		rc = aggregate_begin(agg, arena, &groups.tier, err);
	if (rc == 0)
		rc = scan_each(&agg->plan, group_add, agg, err);
	if (rc == 0)
		rc = plan_finish(&agg->plan, arena, err);
	if (rc == 0)
		rc = answer_write(agg, arena, &groups, err);
	if (rc == 0) {
		*ret_groups = groups;
		*ret_stats = stats;
	}
	aggregate_free(agg);
	return rc;
}
