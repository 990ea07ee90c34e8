/*
 * A moment. A row tells of a stretch of time, so most of it is one question: what
 * overlaps the instant? Only flows need more: between two reports of one flow
 * there may be none, and a flow that is silent is open all the same.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "query/group.h"
#include "query/rows.h"

#define LIMIT_DEFAULT 1000
#define AHEAD_NS                                                                                   \
	(2 * NS_PER_HOUR) /* a silent flow's next report is looked for so far behind the instant */
#define BEHIND_NS (2 * NS_PER_HOUR) /* and its last one so far before it */
#define IDS_MAX	  4000000u

struct at {
	struct store *store;
	const struct query_opts *opts;
	uint64_t at_ns, limit;
	bool (*row)(void *arg, const struct table *table, const void *row);
	void *arg;
	struct arena *arena;
	struct query_stats *stats; /* sums over the tables */
	struct seen ids;	   /* told already, or known to be over */
	uint64_t told;		   /* rows of the table at hand */
	bool stopped;
	int rc;
};

/* One question to one table. extra: a further condition, or NULL. */
static int ask(struct at *at, enum table_id table, uint64_t from_ns, uint64_t to_ns,
	       bool starts_within, const char *extra,
	       bool (*row)(void *arg, const struct table *table, const void *row), bool ascending,
	       struct err *err)
{
	struct query_opts opts = *at->opts;
	struct rows_want want = { .ascending = ascending, .limit = UINT64_MAX };
	struct query_stats stats;
	struct cursor next;
	struct plan plan;
	bool more;
	int rc;

	opts.from_ns = from_ns;
	opts.to_ns = to_ns;
	rc = plan_init(&plan, at->store, &opts, table, starts_within, &stats, err);
	if (rc == 0 && extra)
		rc = plan_add_filter(&plan, view_str(extra), err);
	if (rc == 0)
		rc = rows_run(&plan, &want, row, at, &more, &next, err);
	if (rc == 0)
		rc = plan_finish(&plan, at->arena, err);
	if (rc == 0 && at->rc < 0)
		rc = err_set(err, at->rc == E_LIMIT ? E_BUDGET : at->rc,
			     "more than %u flows or entities: narrow the filter", IDS_MAX);
	if (rc == 0) {
		at->stats->partitions += stats.partitions;
		at->stats->partitions_skipped += stats.partitions_skipped;
		at->stats->row_groups += stats.row_groups;
		at->stats->row_groups_skipped_zone += stats.row_groups_skipped_zone;
		at->stats->row_groups_skipped_index += stats.row_groups_skipped_index;
		at->stats->row_groups_skipped_bloom += stats.row_groups_skipped_bloom;
		at->stats->rows_scanned += stats.rows_scanned;
		at->stats->bytes_read += stats.bytes_read;
		at->stats->row_groups_read += stats.row_groups_read;
		at->stats->bytes_stored += stats.bytes_stored;
		at->stats->bytes_skipped_zone += stats.bytes_skipped_zone;
		at->stats->bytes_skipped_index += stats.bytes_skipped_index;
		at->stats->bytes_skipped_bloom += stats.bytes_skipped_bloom;
		at->stats->damaged_row_groups += stats.damaged_row_groups;
		if (stats.oldest_ns < at->stats->oldest_ns)
			at->stats->oldest_ns = stats.oldest_ns;
		at->stats->newest_ns = stats.newest_ns;
		at->stats->gaps = stats.gaps;
		at->stats->gaps_count = stats.gaps_count;
	}
	plan_release(&plan);
	return rc;
}

static bool tell(struct at *at, const struct table *table, const void *row)
{
	if (at->told == at->limit) {
		at->stats->truncated = true;
		return false;
	}
	at->told++;
	at->stats->rows_matched++;
	at->stopped = !at->row(at->arg, table, row);
	return !at->stopped;
}

/* True when the id is new. */
static bool first_of(struct at *at, uint64_t id)
{
	int rc = seen_add(&at->ids, id);

	if (rc < 0)
		at->rc = rc;
	return rc == 1;
}

static bool tell_once(void *arg, const struct table *table, const void *row)
{
	struct at *at = arg;
	struct view none;
	uint64_t id = 0;

	(void)row_get(&table->cols[table->id_ord], row, &id, &none);
	if (!first_of(at, id))
		return at->rc == 0;
	return tell(at, table, row);
}

/*
 * Newest first, reports that ended before the instant: a flow's first one here
 * is its last one. When that says open, and no later report was told, it still was.
 */
static bool tell_silent(void *arg, const struct table *table, const void *row)
{
	const struct flow_row *flow = row;
	struct at *at = arg;

	if (!first_of(at, flow->id))
		return at->rc == 0;
	return flow->state == STATE_open ? tell(at, table, row) : true;
}

static int flows_at(struct at *at, struct err *err)
{
	char instant[CLOCK_TEXT_LEN], extra[160];
	uint64_t ahead = at->at_ns > UINT64_MAX - AHEAD_NS ? UINT64_MAX : at->at_ns + AHEAD_NS;
	int rc;

	clock_format(at->at_ns, instant);
	seen_init(&at->ids, IDS_MAX);
	at->told = 0;
	/* Reports around the instant, then the next ones of flows that had begun before it. */
	(void)snprintf(extra, sizeof(extra), "first_ns <= \"%s\" && end_ns >= \"%s\"", instant,
		       instant);
	rc = ask(at, TABLE_FLOWS, at->at_ns, ahead, false, extra, tell_once, true, err);
	/* Only flows with a report that says open can be silent: the short ones, closed in their first, are not kept. */
	(void)snprintf(extra, sizeof(extra), "end_ns < \"%s\" && (state == open || report > 0)",
		       instant);
	if (rc == 0 && !at->stopped && at->told < at->limit)
		rc = ask(at, TABLE_FLOWS, at->at_ns > BEHIND_NS ? at->at_ns - BEHIND_NS : 0,
			 at->at_ns, true, extra, tell_silent, false, err);
	seen_release(&at->ids);
	return rc;
}

static bool mark_ended(void *arg, const struct table *table, const void *row)
{
	const struct entity_row *entity = row;
	struct at *at = arg;

	(void)table;
	(void)first_of(at, entity->id);
	return at->rc == 0;
}

/*
 * An entity has a row when it is first seen, which knows no end, and others when
 * more is known. Seen at or after the instant, it was there; seen last before it,
 * it was not; with no end known at all, it was.
 */
static int entities_at(struct at *at, struct err *err)
{
	char instant[CLOCK_TEXT_LEN], extra[96];
	int rc;

	clock_format(at->at_ns, instant);
	seen_init(&at->ids, IDS_MAX);
	at->told = 0;
	(void)snprintf(extra, sizeof(extra), "end_ns >= \"%s\"", instant);
	rc = ask(at, TABLE_ENTITIES, at->at_ns, at->at_ns + 1, false, extra, tell_once, false, err);
	(void)snprintf(extra, sizeof(extra), "end_ns < \"%s\" && end_ns > start_ns", instant);
	if (rc == 0 && !at->stopped && at->told < at->limit)
		rc = ask(at, TABLE_ENTITIES, 0, at->at_ns, true, extra, mark_ended, false, err);
	if (rc == 0 && !at->stopped && at->told < at->limit)
		rc = ask(at, TABLE_ENTITIES, 0, at->at_ns, true, "end_ns == start_ns", tell_once,
			 false, err);
	seen_release(&at->ids);
	return rc;
}

static int calls_at(struct at *at, struct err *err)
{
	int rc;

	seen_init(&at->ids, IDS_MAX);
	at->told = 0;
	rc = ask(at, TABLE_CALLS, at->at_ns, at->at_ns + 1, false, NULL, tell_once, false, err);
	seen_release(&at->ids);
	return rc;
}

int query_at(struct store *store, const struct query_opts *opts, uint64_t at_ns, uint64_t limit,
	     bool (*row)(void *arg, const struct table *table, const void *row), void *arg,
	     struct arena *arena, struct query_stats *ret_stats, struct err *err)
{
	static const struct {
		enum table_id table;
		int (*ask)(struct at *at, struct err *err);
	} parts[] = { { TABLE_FLOWS, flows_at },
		      { TABLE_CALLS, calls_at },
		      { TABLE_ENTITIES, entities_at } };
	struct query_stats stats = { .oldest_ns = UINT64_MAX };
	struct at at = { .store = store,
			 .opts = opts,
			 .at_ns = at_ns ? at_ns : 1,
			 .limit = limit ? limit : LIMIT_DEFAULT,
			 .row = row,
			 .arg = arg,
			 .arena = arena,
			 .stats = &stats };
	uint64_t began_ns = clock_mono_ns();
	struct err why = { 0 };
	bool any = false;
	int rc = 0;

	if (at_ns == UINT64_MAX)
		return err_set(err, E_RANGE, "there is no instant behind the last one");
	for (size_t i = 0; rc == 0 && !at.stopped && i < sizeof(parts) / sizeof(parts[0]); i++) {
		int fits = plan_fits(opts, parts[i].table, &why);

		if (fits < 0)
			rc = err_set(err, fits, "out of memory");
		else if (fits)
			rc = parts[i].ask(&at, err);
		any |= fits > 0;
	}
	if (rc == 0 && !any) {
		rc = err_set(err, why.code, "%s", why.text);
		if (err)
			err->position = why.position;
	}
	stats.took_ns = clock_mono_ns() - began_ns;
	if (rc == 0)
		*ret_stats = stats;
	return rc;
}
