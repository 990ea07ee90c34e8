/*
 * Each matching row finds its group (bucket of time, then the columns grouped by),
 * and each aggregate then walks its own column over the rows of the row group.
 * Texts become numbers once a dictionary entry.
 */
#include "query/tally.h"

#include "base/hash.h"
#include "base/mem.h"

#define GROUPS_MAX 2000000u
#define HIST_BYTES 1024 /* what a histogram takes, about, for the budget */

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
static bool by_word(struct tally *tally, const struct by_column *by, uint32_t row,
		    uint64_t *ret_word)
{
	uint32_t code;

	if (!by->numbers) {
		*ret_word = by->ints.values[row];
		return true;
	}
	code = by->bytes.codes ? by->bytes.codes[row] : row;
	if (!by->numbers[code])
		by->numbers[code] = intern_add(&tally->intern, by->bytes.dict[code]);
	*ret_word = by->numbers[code];
	return by->numbers[code] != 0;
}

static uint64_t bucket_of(const struct tally *tally, uint64_t start_ns)
{
	uint64_t step_ns = tally->step_ns;

	if (step_ns == 0)
		return tally->plan->from_ns;
	if (start_ns < tally->plan->from_ns) /* began before the range: counts from its begin on */
		start_ns = tally->plan->from_ns;
	return start_ns - start_ns % step_ns;
}

static int too_many(const struct tally *tally, struct err *err)
{
	if (tally->groups.count < tally->groups.limit)
		return plan_no_memory(tally->plan, err);
	return err_set(
		err, E_BUDGET,
		"more than %zu groups: group by less, take a longer step or a narrower filter",
		tally->groups.limit);
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

static int rows_group(struct tally *tally, struct scan *scan, struct err *err)
{
	const struct agg_spec *spec = tally->spec;
	size_t words = 2 + spec->bys_count;
	uint64_t key[2 + BYS_MAX] = { 0 }, before[2 + BYS_MAX];
	struct by_column bys[BYS_MAX];
	struct rg_ints starts = { 0 };
	struct memo *memos = NULL;
	uint32_t row, group = GROUP_NONE;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < spec->bys_count; i++)
		rc = by_load(scan, spec->bys[i], &bys[i], err);
	if (rc == 0 && tally->step_ns)
		rc = columns_ints(&scan->columns, &spec->table->cols[spec->table->start_ord],
				  &starts, err);
	if (rc == 0)
		rc = memo_new(spec, scan, bys, &memos);
	if (rc < 0)
		return rc;
	tally->count = 0;
	key[0] = bucket_of(tally, 0);
	SCAN_EACH_BIT (scan->bits, columns_words(&scan->columns), row) {
		struct memo *memo = memos && rg_valid(bys[0].valid, row)
					    ? &memos[bys[0].bytes.codes[row]]
					    : NULL;

		/* The bucket before is often this one's too, and a division is slow. */
		if (starts.values && starts.values[row] - key[0] >= tally->step_ns)
			key[0] = bucket_of(tally, starts.values[row]);
		key[1] = 0;
		if (memo && memo->group && memo->bucket == key[0]) {
			tally->rows[tally->count] = row;
			tally->group_of[tally->count++] = memo->group - 1;
			continue;
		}
		for (size_t i = 0; i < spec->bys_count; i++) {
			key[2 + i] = 0;
			if (!rg_valid(bys[i].valid, row))
				key[1] |= 1ull << i;
			else if (!by_word(tally, &bys[i], row, &key[2 + i]))
				return plan_no_memory(tally->plan, err);
		}
		/* Sealed rows are sorted by workload: the group before is often this one's too. */
		if (group == GROUP_NONE || memcmp(key, before, words * sizeof(*key)) != 0) {
			group = groups_add(&tally->groups, key);
			if (group == GROUP_NONE)
				return too_many(tally, err);
			memcpy(before, key, words * sizeof(*key));
		}
		if (memo)
			*memo = (struct memo){ key[0], group + 1 };
		tally->rows[tally->count] = row;
		tally->group_of[tally->count++] = group;
	}
	return 0;
}

static int grow_room(struct tally *tally, struct err *err)
{
	size_t room = tally->room ? tally->room : 64, aggs = tally->spec->aggs_count,
	       hists = tally->spec->hists_count;
	struct tally_cell *cells;
	struct hist **more;
	uint32_t *lasts;

	while (room < tally->groups.count)
		room *= 2;
	if (room == tally->room)
		return 0;
	cells = mem_resize(tally->cells, room * aggs, sizeof(*cells));
	if (!cells)
		return plan_no_memory(tally->plan, err);
	tally->cells = cells;
	memset(cells + tally->room * aggs, 0, (room - tally->room) * aggs * sizeof(*cells));
	if (hists) {
		more = mem_resize(tally->hists, room * hists, sizeof(struct hist *));
		if (!more)
			return plan_no_memory(tally->plan, err);
		tally->hists = more;
		lasts = mem_resize(tally->lasts, room, sizeof(*lasts));
		if (!lasts)
			return plan_no_memory(tally->plan, err);
		tally->lasts = lasts;
		memset(lasts + tally->room, 0, (room - tally->room) * sizeof(*lasts));
		memset(more + tally->room * hists, 0,
		       (room - tally->room) * hists * sizeof(struct hist *));
	}
	tally->room = room;
	return 0;
}

/* ---- aggregates over one row group ---- */

static void add_to(uint64_t *sum, uint64_t value)
{
	if (__builtin_add_overflow(*sum, value, sum))
		*sum = UINT64_MAX;
}

#define EACH_VALUE(tally, ints, i, cell, at)                                                        \
	for (uint32_t i = 0; i < (tally)->count; i++)                                              \
		if (rg_valid((ints).valid, (tally)->rows[i]))                                      \
			for (struct tally_cell *cell =                                             \
				     &(tally)->cells[(tally)->group_of[i] *                        \
							     (tally)->spec->aggs_count +           \
						     (at)];                                        \
			     cell; cell = NULL)

static int tally_ints(struct tally *tally, struct scan *scan, size_t at, struct err *err)
{
	struct rg_ints ints;
	int rc = columns_ints(&scan->columns, tally->spec->aggs[at].col, &ints, err);

	if (rc < 0)
		return rc;
	switch (tally->spec->aggs[at].kind) {
	case AGG_MIN:
		EACH_VALUE (tally, ints, i, cell, at) {
			uint64_t value = ints.values[tally->rows[i]];

			if (!cell->n++ || value < cell->sum)
				cell->sum = value;
		}
		return 0;
	case AGG_MAX:
		EACH_VALUE (tally, ints, i, cell, at) {
			uint64_t value = ints.values[tally->rows[i]];

			if (!cell->n++ || value > cell->sum)
				cell->sum = value;
		}
		return 0;
	default:
		EACH_VALUE (tally, ints, i, cell, at) {
			cell->n++;
			add_to(&cell->sum, ints.values[tally->rows[i]]);
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

static int tally_errors(struct tally *tally, struct scan *scan, size_t at, struct err *err)
{
	bool rollups = tally->spec->table->id == TABLE_ROLLUPS;
	struct rg_ints ints[4] = { { 0 } };
	int rc = errors_load(scan, tally->spec, ints, err);

	if (rc < 0)
		return rc;
	EACH_VALUE (tally, ints[0], i, cell, at) {
		uint32_t row = tally->rows[i];
		uint64_t a = ints[0].values[row], b = ints[1].values[row];

		if (rollups) {
			add_to(&cell->n, ints[2].values[row]);
			add_to(&cell->sum, a + b);
		} else {
			cell->n++;
			cell->sum += a == CLASS_server_error ||
				      (!rg_valid(ints[2].valid, row) &&
				       (b == CALL_END_unanswered || b == CALL_END_reset ||
					b == CALL_END_closed));
		}
	}
	return 0;
}

static int distinct_add(struct tally *tally, uint32_t group, size_t at, uint64_t hash,
			struct err *err)
{
	size_t cell = group * tally->spec->aggs_count + at;
	int rc = seen_add_to(&tally->seen, hash, (uint32_t)cell);

	if (rc == E_LIMIT || rc == E_NO_MEMORY)
		return plan_no_memory(tally->plan, err);
	tally->cells[cell].n += (uint64_t)rc;
	return 0;
}

static int tally_distinct(struct tally *tally, struct scan *scan, size_t at, struct err *err)
{
	uint32_t *group_before = NULL; /* + 1: the group an entry of the dictionary was last seen in */
	struct by_column by;
	int rc = by_load(scan, tally->spec->aggs[at].col, &by, err);

	if (rc == 0 && by.bytes.codes) {
		group_before = arena_array(scan->columns.arena, (size_t)by.bytes.dict_count + 1,
					   sizeof(*group_before));
		rc = group_before ? 0 : E_NO_MEMORY;
	}
	for (uint32_t i = 0; rc == 0 && i < tally->count; i++) {
		uint32_t row = tally->rows[i], group = tally->group_of[i];
		struct view text;

		if (!rg_valid(by.valid, row))
			continue;
		if (!by.numbers) {
			rc = distinct_add(tally, group, at, hash_u64(by.ints.values[row]), err);
			continue;
		}
		if (group_before) {
			uint32_t *before = &group_before[by.bytes.codes[row]];

			if (*before == group + 1)
				continue;
			*before = group + 1;
		}
		text = columns_text(&by.bytes, row);
		rc = distinct_add(tally, group, at, hash_bytes(text.at, text.len, 7), err);
	}
	return rc;
}

static int tally_count(struct tally *tally, struct scan *scan, size_t at, struct err *err)
{
	const struct col *col = tally->spec->aggs[at].col;
	struct rg_ints ints = { 0 }; /* only the bits of null are looked at */
	struct by_column by;

	if (col) {
		int rc = by_load(scan, col, &by, err);

		if (rc < 0)
			return rc;
		ints.valid = by.valid;
	}
	EACH_VALUE (tally, ints, i, cell, at)
		cell->n++;
	return 0;
}

static struct hist *hist_get(struct tally *tally, uint32_t group, size_t h, struct err *err)
{
	struct hist **hist = &tally->hists[group * tally->spec->hists_count + h];

	if (!*hist) {
		if (!tally->pool)
			tally->pool = hist_pool_new();
		if (tally->pool && tally->hists_made < tally->hists_limit)
			*hist = hist_new_in(tally->pool);
		if (!*hist)
			(void)plan_no_memory(tally->plan, err);
		tally->hists_made++;
	}
	return *hist;
}

/*
 * The rows that have a value, those of a group one behind the other, whatever their order was: counted, then each put
 * to its place. values instead of rows where numbers are what is added up.
 */
struct runs {
	uint32_t *groups, *ends;	/* of each run */
	uint32_t count;
	uint32_t *rows;
	uint64_t *values;		/* NULL: rows */
};

static int runs_make(struct tally *tally, struct scan *scan, const uint64_t *valid, const uint64_t *values,
		     struct runs *runs)
{
	struct arena *arena = scan->columns.arena;
	uint32_t *places = tally->lasts, end = 0;

	*runs = (struct runs){ .count = 0 };
	runs->groups = arena_alloc(arena, (tally->count + 1ul) * sizeof(*runs->groups));
	runs->ends = arena_alloc(arena, (tally->count + 1ul) * sizeof(*runs->ends));
	if (values)
		runs->values = arena_alloc(arena, (tally->count + 1ul) * sizeof(*runs->values));
	else
		runs->rows = arena_alloc(arena, (tally->count + 1ul) * sizeof(*runs->rows));
	if (!runs->groups || !runs->ends || (!runs->values && !runs->rows))
		return E_NO_MEMORY;
	for (uint32_t i = 0; i < tally->count; i++) {
		if (!rg_valid(valid, tally->rows[i]))
			continue;
		if (!places[tally->group_of[i]]++)
			runs->groups[runs->count++] = tally->group_of[i];
	}
	for (uint32_t r = 0; r < runs->count; r++) {
		uint32_t in_run = places[runs->groups[r]];

		places[runs->groups[r]] = end;
		runs->ends[r] = end += in_run;
	}
	for (uint32_t i = 0; i < tally->count; i++) {
		uint32_t row = tally->rows[i];

		if (!rg_valid(valid, row))
			continue;
		if (values)
			runs->values[places[tally->group_of[i]]++] = values[row];
		else
			runs->rows[places[tally->group_of[i]]++] = row;
	}
	for (uint32_t r = 0; r < runs->count; r++) /* as it was, for the next row group */
		places[runs->groups[r]] = 0;
	return 0;
}

/* What a row group has of a histogram: one stored a row, as bytes or taken apart, or a number that is a value. */
struct stored_hists {
	struct rg_hists parts;
	struct rg_bytes bytes;
	struct rg_ints ints;
};

static int hists_load(struct scan *scan, const struct col *col, struct stored_hists *stored, struct err *err)
{
	int rc;

	*stored = (struct stored_hists){ 0 };
	if (col->type != TYPE_HIST)
		return columns_ints(&scan->columns, col, &stored->ints, err);
	rc = columns_hists(&scan->columns, col, scan->bits, &stored->parts, err);
	return rc ? rc : columns_bytes(&scan->columns, col, &stored->bytes, err);
}

/* Stored histograms of one group. */
static int stored_sum(struct tally *tally, const struct stored_hists *stored, const uint32_t *rows, uint32_t count,
		      struct hist *hist, struct err *err)
{
	if (stored->parts.parts && count == 1)
		return hist_merge_part(hist, &stored->parts.parts[rows[0]]);
	for (uint32_t i = 0; i < count; i++) {
		int rc = 0;

		if (stored->parts.parts)
			hist_sum_add_part(tally->sum, &stored->parts.parts[rows[i]]);
		else
			rc = hist_sum_add_bytes(tally->sum, columns_text(&stored->bytes, rows[i]), err);
		if (rc < 0) {
			hist_sum_reset(tally->sum);
			return rc;
		}
	}
	return hist_sum_flush(tally->sum, hist);
}

static int hists_add(struct tally *tally, struct scan *scan, const struct stored_hists *stored,
		     size_t h, struct err *err)
{
	const uint64_t *valid = stored->parts.parts  ? stored->parts.valid
				: stored->bytes.dict ? stored->bytes.valid
						     : stored->ints.valid;
	struct runs runs;
	int rc = runs_make(tally, scan, valid, stored->ints.values, &runs);

	for (uint32_t r = 0, from = 0; rc >= 0 && r < runs.count; from = runs.ends[r++]) {
		uint32_t count = runs.ends[r] - from;
		struct hist *hist = hist_get(tally, runs.groups[r], h, err);

		if (!hist)
			return E_BUDGET;
		rc = runs.values ? hist_add_values(hist, runs.values + from, count, tally->sum)
				 : stored_sum(tally, stored, runs.rows + from, count, hist, err);
	}
	return rc < 0 ? rc : 0;
}

/* One group, of which only the number of rows is asked: no row need be looked at again. */
static int count_all(struct tally *tally, const struct scan *scan, struct err *err)
{
	uint64_t key[2] = { bucket_of(tally, 0), 0 };
	uint32_t group = groups_add(&tally->groups, key);
	int rc = group == GROUP_NONE ? plan_no_memory(tally->plan, err) : grow_room(tally, err);

	for (size_t i = 0; rc == 0 && i < tally->spec->aggs_count; i++)
		tally->cells[i].n += scan->matched;
	return rc;
}

int tally_add(struct tally *tally, struct scan *scan, struct err *err)
{
	struct stored_hists stored[AGGS_MAX];
	int rc;

	if (tally->counts_only)
		return count_all(tally, scan, err);
	tally->rows = arena_array(scan->columns.arena, scan->matched, sizeof(*tally->rows));
	tally->group_of = arena_array(scan->columns.arena, scan->matched, sizeof(*tally->group_of));
	if (!tally->rows || !tally->group_of)
		return plan_no_memory(tally->plan, err);
	/* All columns first: a damaged one must not leave half of the row group counted. */
	for (size_t i = 0; i < tally->spec->aggs_count; i++) {
		const struct agg *one = &tally->spec->aggs[i];
		struct rg_ints ints[4];
		struct by_column by;

		rc = one->kind == AGG_QUANTILE	    ? 0
		     : one->col			    ? by_load(scan, one->col, &by, err)
		     : one->kind == AGG_ERROR_RATIO ? errors_load(scan, tally->spec, ints, err)
						    : 0;
		if (rc < 0)
			return rc;
	}
	for (size_t h = 0; h < tally->spec->hists_count; h++) {
		rc = hists_load(scan, tally->spec->hists[h], &stored[h], err);
		if (rc < 0)
			return rc;
	}
	if (tally->spec->hists_count && !tally->sum && !(tally->sum = hist_sum_new()))
		return plan_no_memory(tally->plan, err);
	rc = rows_group(tally, scan, err);
	if (rc == 0)
		rc = grow_room(tally, err);
	for (size_t i = 0; rc == 0 && i < tally->spec->aggs_count; i++) {
		switch (tally->spec->aggs[i].kind) {
		case AGG_COUNT:
		case AGG_RATE: rc = tally_count(tally, scan, i, err); break;
		case AGG_ERROR_RATIO: rc = tally_errors(tally, scan, i, err); break;
		case AGG_DISTINCT: rc = tally_distinct(tally, scan, i, err); break;
		case AGG_QUANTILE: break;
		default: rc = tally_ints(tally, scan, i, err);
		}
	}
	for (size_t h = 0; rc == 0 && h < tally->spec->hists_count; h++)
		rc = hists_add(tally, scan, &stored[h], h, err);
	return rc;
}

/* ---- the sum of several ---- */

/* Numbers of texts there become numbers of texts here. */
static int texts_map(struct tally *tally, const struct tally *from, uint32_t **ret_map,
		     struct err *err)
{
	uint32_t *map = mem_array(from->intern.count + 1, sizeof(*map));

	if (!map)
		return err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < from->intern.count; i++) {
		map[i + 1] = intern_add(&tally->intern, from->intern.texts[i]);
		if (!map[i + 1]) {
			mem_free(map);
			return plan_no_memory(tally->plan, err);
		}
	}
	*ret_map = map;
	return 0;
}

static int groups_map(struct tally *tally, const struct tally *from, uint32_t **ret_map,
		      struct err *err)
{
	const struct agg_spec *spec = tally->spec;
	uint32_t *map = mem_array(from->groups.count + 1, sizeof(*map)), *texts = NULL;
	int rc = map ? texts_map(tally, from, &texts, err)
		     : err_set(err, E_NO_MEMORY, "out of memory");

	for (size_t i = 0; rc == 0 && i < from->groups.count; i++) {
		uint64_t key[2 + BYS_MAX];

		memcpy(key, from->groups.keys + i * from->groups.words,
		       from->groups.words * sizeof(*key));
		for (size_t k = 0; k < spec->bys_count; k++)
			if (types[spec->bys[k]->type].phys == PHYS_BYTES && !(key[1] >> k & 1))
				key[2 + k] = texts[key[2 + k]];
		map[i] = groups_add(&tally->groups, key);
		if (map[i] == GROUP_NONE)
			rc = too_many(tally, err);
	}
	mem_free(texts);
	if (rc < 0) {
		mem_free(map);
		return rc;
	}
	*ret_map = map;
	return 0;
}

static void cell_merge(enum agg_kind kind, struct tally_cell *cell, const struct tally_cell *from)
{
	switch (kind) {
	case AGG_DISTINCT: /* of the sets: see distincts_merge */
	case AGG_QUANTILE: return;
	case AGG_MIN:
		if (from->n && (!cell->n || from->sum < cell->sum))
			cell->sum = from->sum;
		break;
	case AGG_MAX:
		if (from->n && (!cell->n || from->sum > cell->sum))
			cell->sum = from->sum;
		break;
	default: add_to(&cell->sum, from->sum);
	}
	add_to(&cell->n, from->n);
}

/* What is only there is taken as it is, where the pool it lies in comes along. */
static int hists_merge(struct tally *tally, struct tally *from, const uint32_t *map, size_t i, bool take,
		       struct err *err)
{
	size_t hists = tally->spec->hists_count;
	int rc = 0;

	for (size_t h = 0; rc == 0 && h < hists; h++) {
		struct hist **theirs = &from->hists[i * hists + h];
		struct hist **ours = &tally->hists[map[i] * hists + h];

		if (!*theirs)
			continue;
		if (!*ours && take && tally->hists_made < tally->hists_limit) {
			*ours = *theirs;
			*theirs = NULL;
			tally->hists_made++;
			continue;
		}
		if (!*ours)
			*ours = hist_get(tally, map[i], h, err);
		if (!*ours)
			return E_BUDGET;
		rc = hist_merge(*ours, *theirs);
		if (rc < 0)
			(void)plan_no_memory(tally->plan, err);
	}
	return rc;
}

/* Most groups of one are not in the other: then its pool is worth keeping for them. */
static bool hists_take(struct tally *tally, struct tally *from, const uint32_t *map)
{
	size_t hists = tally->spec->hists_count, only = 0;

	for (size_t i = 0; i < from->groups.count; i++)
		for (size_t h = 0; h < hists; h++)
			only += from->hists[i * hists + h] && !tally->hists[map[i] * hists + h];
	if (!from->pool || only < from->hists_made / 2)
		return false;
	if (tally->pool)
		hist_pool_join(tally->pool, from->pool);
	else
		tally->pool = from->pool;
	from->pool = NULL;
	return true;
}

static int distincts_merge(struct tally *tally, const struct tally *from, const uint32_t *map,
			   struct err *err)
{
	size_t aggs = tally->spec->aggs_count;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < from->seen.slots_count; i++) {
		uint64_t hash = from->seen.hashes[i];
		uint32_t cell = from->seen.cells[i];

		if (hash)
			rc = distinct_add(tally, map[cell / aggs], cell % aggs, hash, err);
	}
	return rc;
}

int tally_merge(struct tally *tally, struct tally *from, struct err *err)
{
	size_t aggs = tally->spec->aggs_count;
	uint32_t *map = NULL;
	bool take = false;
	int rc;

	if (from->groups.count == 0)
		return 0;
	if (tally->groups.count == 0) {
		struct tally empty = *tally;

		*tally = *from;
		*from = empty;
		tally->intern.arena = &tally->texts;
		from->intern.arena = &from->texts;
		return 0;
	}
	rc = groups_map(tally, from, &map, err);
	if (rc == 0)
		rc = grow_room(tally, err);
	if (rc == 0)
		take = hists_take(tally, from, map);
	for (size_t i = 0; rc == 0 && i < from->groups.count; i++) {
		for (size_t a = 0; a < aggs; a++)
			cell_merge(tally->spec->aggs[a].kind, &tally->cells[map[i] * aggs + a],
				   &from->cells[i * aggs + a]);
		rc = hists_merge(tally, from, map, i, take, err);
	}
	if (rc == 0)
		rc = distincts_merge(tally, from, map, err);
	mem_free(map);
	if (rc == 0) {
		const struct plan *plan = from->plan;

		tally_release(from);
		tally_init(from, plan, tally->spec, tally->step_ns);
	}
	return rc;
}

/* ---- the whole ---- */

static size_t group_bytes(const struct agg_spec *spec)
{
	return (2 + spec->bys_count) * sizeof(uint64_t) +
	       spec->aggs_count * sizeof(struct tally_cell) +
	       spec->hists_count * sizeof(struct hist *) + 4 * sizeof(uint32_t) +
	       sizeof(struct query_group) + 2 * sizeof(uint64_t) /* what orders it in the answer */;
}

void tally_init(struct tally *tally, const struct plan *plan, const struct agg_spec *spec,
		uint64_t step_ns)
{
	size_t memory = plan->budget.memory, most = memory / 2 / group_bytes(spec);

	*tally = (struct tally){ .plan = plan, .spec = spec, .step_ns = step_ns };
	arena_init(&tally->texts, memory);
	intern_init(&tally->intern, &tally->texts);
	groups_init(&tally->groups, 2 + spec->bys_count, most < GROUPS_MAX ? most : GROUPS_MAX);
	seen_init(&tally->seen, memory * 3 / 8 / (4 * SEEN_SLOT_BYTES));
	tally->hists_limit = memory / 2 / HIST_BYTES;
	tally->counts_only = step_ns == 0 && spec->bys_count == 0;
	for (size_t i = 0; i < spec->aggs_count; i++)
		tally->counts_only &= !spec->aggs[i].col && (spec->aggs[i].kind == AGG_COUNT ||
							     spec->aggs[i].kind == AGG_RATE);
}

void tally_release(struct tally *tally)
{
	for (size_t i = 0; tally->hists && i < tally->room * tally->spec->hists_count; i++)
		hist_free(tally->hists[i]);
	hist_pool_free(tally->pool);
	mem_free(tally->hists);
	mem_free(tally->lasts);
	mem_free(tally->cells);
	hist_sum_free(tally->sum);
	seen_release(&tally->seen);
	groups_release(&tally->groups);
	intern_release(&tally->intern);
	arena_release(&tally->texts);
	tally->pool = NULL;
	tally->hists = NULL;
	tally->lasts = NULL;
	tally->cells = NULL;
	tally->sum = NULL;
	tally->room = 0;
}

size_t tally_bytes(const struct tally *tally)
{
	return tally->groups.count * group_bytes(tally->spec) + tally->texts.used_bytes +
	       tally->seen.slots_count * SEEN_SLOT_BYTES + tally->hists_made * HIST_BYTES;
}
