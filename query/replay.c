/*
 * Replay: the rows of several tables, oldest first, merged by start. Each table
 * is read a page at a time and asked for the next with a cursor, so a replay
 * that takes hours holds no view of the store, and no more than a page of each.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "query/rows.h"

#define PAGE_ROWS 500

struct lane { /* one table */
	enum table_id table;
	struct arena texts;
	uint8_t *rows; /* PAGE_ROWS row structs */
	size_t count, at;
	struct cursor cursor;
	bool begun, drained;
};

static const enum table_id lane_tables[] = { TABLE_FLOWS, TABLE_CALLS, TABLE_EVENTS };
#define LANES (sizeof(lane_tables) / sizeof(lane_tables[0]))

struct replay {
	struct store *store;
	const struct query_opts *opts;
	struct lane lanes[LANES];
	struct query_stats *stats;
	int rc;
};

struct page {
	struct replay *replay;
	struct lane *lane;
};

static bool page_row(void *arg, const struct table *table, const void *row)
{
	struct page *page = arg;
	struct lane *lane = page->lane;
	uint8_t *to = lane->rows + lane->count * table->row_bytes;

	memcpy(to, row, table->row_bytes);
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		struct view text = { 0 };
		uint64_t value;

		if (types[col->type].phys != PHYS_BYTES || col->type == TYPE_IP ||
		    !row_get(col, to, &value, &text))
			continue;
		text = arena_copy(&lane->texts, text);
		if (!text.at) {
			page->replay->rc = E_NO_MEMORY;
			return false;
		}
		(void)row_put(col, to, 0, text);
	}
	lane->count++;
	return true;
}

static int lane_page(struct replay *replay, struct lane *lane, struct err *err)
{
	struct rows_want want = {
		.ascending = true, .limit = PAGE_ROWS, .resume = lane->begun, .cursor = lane->cursor
	};
	struct page page = { replay, lane };
	struct query_stats stats;
	struct plan plan;
	bool more = false;
	int rc = plan_init(&plan, replay->store, replay->opts, lane->table, true, &stats, err);

	lane->count = lane->at = 0;
	arena_reset(&lane->texts);
	if (rc == 0)
		rc = rows_run(&plan, &want, page_row, &page, &more, &lane->cursor, err);
	if (rc == 0 && replay->rc < 0)
		rc = err_set(err, replay->rc, "out of memory");
	lane->begun = true;
	lane->drained = !more;
	replay->stats->rows_scanned += stats.rows_scanned;
	replay->stats->bytes_read += stats.bytes_read;
	replay->stats->partitions += stats.partitions;
	replay->stats->partitions_skipped += stats.partitions_skipped;
	replay->stats->row_groups += stats.row_groups;
	replay->stats->row_groups_read += stats.row_groups_read;
	replay->stats->bytes_stored += stats.bytes_stored;
	replay->stats->damaged_row_groups += stats.damaged_row_groups;
	plan_release(&plan);
	return rc;
}

static uint64_t lane_time(const struct lane *lane)
{
	const struct table *table = table_get(lane->table);
	uint64_t ns = 0;
	struct view none;

	(void)row_get(&table->cols[table->start_ord], lane->rows + lane->at * table->row_bytes, &ns,
		      &none);
	return ns;
}

/* The lane whose next row is the oldest; NULL at the end. */
static int next_lane(struct replay *replay, struct lane **ret_lane, struct err *err)
{
	struct lane *best = NULL;

	for (size_t i = 0; i < LANES; i++) {
		struct lane *lane = &replay->lanes[i];

		if (!lane->rows)
			continue;
		if (lane->at == lane->count && !lane->drained) {
			int rc = lane_page(replay, lane, err);

			if (rc < 0)
				return rc;
		}
		if (lane->at < lane->count && (!best || lane_time(lane) < lane_time(best)))
			best = lane;
	}
	*ret_lane = best;
	return 0;
}

/* Lanes of the tables that the filter fits. */
static int replay_begin(struct replay *replay, struct err *err)
{
	struct err why = { 0 };
	size_t lanes = 0;

	for (size_t i = 0; i < LANES; i++) {
		struct lane *lane = &replay->lanes[i];
		int fits = plan_fits(replay->opts, lane_tables[i], &why);

		if (fits < 0)
			return err_set(err, fits, "out of memory");
		lane->table = lane_tables[i];
		arena_init(&lane->texts, 0);
		if (!fits)
			continue;
		lane->rows = mem_array(PAGE_ROWS, table_get(lane->table)->row_bytes);
		if (!lane->rows)
			return err_set(err, E_NO_MEMORY, "out of memory");
		lanes++;
	}
	if (lanes)
		return 0;
	(void)err_set(err, why.code, "%s", why.text);
	if (err)
		err->position = why.position;
	return why.code;
}

/* Wait for the row's moment; false when told to stop. */
static bool wait_for(uint64_t row_ns, uint64_t first_ns, uint64_t began_ns, double speed,
		     bool (*sleep)(void *arg, uint64_t ns), void *arg)
{
	double due = (double)(row_ns - first_ns) / speed;
	uint64_t passed = clock_mono_ns() - began_ns;

	if (speed <= 0 || due <= (double)passed)
		return true;
	return sleep(arg,
		     due - (double)passed > 1e18 ? UINT64_MAX : (uint64_t)(due - (double)passed));
}

static int replay_run(struct replay *replay, double speed,
		      bool (*row)(void *arg, const struct table *table, const void *row),
		      bool (*sleep)(void *arg, uint64_t ns), void *arg, struct err *err)
{
	uint64_t began_ns = clock_mono_ns(), first_ns = replay->opts->from_ns;
	struct lane *lane;
	int rc;

	while ((rc = next_lane(replay, &lane, err)) == 0 && lane) {
		const struct table *table = table_get(lane->table);
		uint64_t row_ns = lane_time(lane);

		if (first_ns == 0) /* nobody waits from 1970 on */
			first_ns = row_ns;
		if (replay->opts->cancel &&
		    atomic_load_explicit(replay->opts->cancel, memory_order_relaxed))
			return err_set(err, E_CANCELLED, "the replay was cancelled");
		if (!wait_for(row_ns, first_ns, began_ns, speed, sleep, arg))
			return 0;
		replay->stats->rows_matched++;
		if (!row(arg, table, lane->rows + lane->at++ * table->row_bytes))
			return 0;
	}
	return rc;
}

int query_replay(struct store *store, const struct query_opts *opts, double speed,
		 bool (*row)(void *arg, const struct table *table, const void *row),
		 bool (*sleep)(void *arg, uint64_t ns), void *arg, struct query_stats *ret_stats,
		 struct err *err)
{
	struct query_stats stats = { .oldest_ns = UINT64_MAX };
	struct replay *replay = mem_zalloc(sizeof(*replay));
	struct store_horizon horizon;
	uint64_t began_ns = clock_mono_ns();
	int rc;

	if (!replay)
		return err_set(err, E_NO_MEMORY, "out of memory");
	replay->store = store;
	replay->opts = opts;
	replay->stats = &stats;
	rc = replay_begin(replay, err);
	if (rc == 0)
		rc = replay_run(replay, speed, row, sleep, arg, err);
	if (rc == 0)
		rc = store_horizon(store, &horizon, err);
	if (rc == 0) {
		stats.oldest_ns = horizon.oldest_ns[TABLE_FLOWS];
		stats.newest_ns = horizon.newest_ns;
		stats.took_ns = clock_mono_ns() - began_ns;
		*ret_stats = stats;
	}
	for (size_t i = 0; i < LANES; i++) {
		arena_release(&replay->lanes[i].texts);
		mem_free(replay->lanes[i].rows);
	}
	mem_free(replay);
	return rc;
}
