#include "query/tier.h"

#include "base/clock.h"
#include "base/mem.h"

/* A bucket's row is written when it and two seconds have passed, then committed within one more. */
#define LAG_NS (5 * NS_PER_SEC)
#define HOLES_MAX 8

static const uint32_t tiers[ROLLUP_TIERS_COUNT] = ROLLUP_TIERS;

/* Instants [from_ns, to_ns) come from the rows of one tier. */
struct span {
	uint64_t from_ns, to_ns;
	unsigned tier;
};

struct cover {
	struct span *spans;
	size_t count, cap;
	struct span holes[HOLES_MAX];	/* stretches around crashes: only the finest tier is complete in them */
	size_t holes_count;
	uint64_t newest_ns;
	uint64_t step_ns;
};

static uint64_t round_down(uint64_t ns, uint64_t by)
{
	return ns - ns % by;
}

static uint64_t round_up(uint64_t ns, uint64_t by)
{
	return ns > UINT64_MAX - by ? UINT64_MAX : round_down(ns + by - 1, by);
}

static int span_add(struct cover *cover, uint64_t from_ns, uint64_t to_ns, unsigned tier)
{
	if (mem_grow((void **)&cover->spans, &cover->cap, cover->count, sizeof(*cover->spans)) < 0)
		return E_NO_MEMORY;
	cover->spans[cover->count++] = (struct span){ .from_ns = from_ns, .to_ns = to_ns, .tier = tier };
	return 0;
}

/* The first hole that touches [from, to) in whole buckets of length by; false: none. */
static bool hole_in(const struct cover *cover, uint64_t from, uint64_t to, uint64_t by, uint64_t *ret_from,
		    uint64_t *ret_to)
{
	bool found = false;

	for (size_t i = 0; i < cover->holes_count; i++) {
		const struct span *hole = &cover->holes[i];
		/* the bucket that was open then was lost with the process, and one that had just ended */
		uint64_t hole_from = round_down(hole->from_ns < by + LAG_NS ? 0 : hole->from_ns - by - LAG_NS, by);
		uint64_t hole_to = round_up(hole->to_ns, by);

		if (hole_to <= from || hole_from >= to || (found && hole_from >= *ret_from))
			continue;
		*ret_from = hole_from < from ? from : hole_from;
		*ret_to = hole_to > to ? to : hole_to;
		found = true;
	}
	return found;
}

/* Cover [from, to) by tier and, where its buckets do not fit, by finer ones. */
static int cover_range(struct cover *cover, uint64_t from, uint64_t to, unsigned tier)
{
	uint64_t by = tiers[tier] * NS_PER_SEC, hole_from = 0, hole_to = 0, inner_from, inner_to;
	int rc = 0;

	if (from >= to)
		return 0;
	if (tier == 0)
		return span_add(cover, from, to, 0);
	inner_from = round_up(from, by);
	inner_to = cover->newest_ns < by + LAG_NS ? 0 : cover->newest_ns - by - LAG_NS;
	inner_to = round_down(to < inner_to ? to : inner_to, by);
	if (cover->step_ns % by || inner_from >= inner_to)
		return cover_range(cover, from, to, tier - 1);
	rc = cover_range(cover, from, inner_from, tier - 1);
	while (rc == 0 && inner_from < inner_to &&
	       hole_in(cover, inner_from, inner_to, by, &hole_from, &hole_to)) {
		if (inner_from < hole_from)
			rc = span_add(cover, inner_from, hole_from, tier);
		if (rc == 0)
			rc = cover_range(cover, hole_from, hole_to, tier - 1);
		inner_from = hole_to;
	}
	if (rc == 0 && inner_from < inner_to)
		rc = span_add(cover, inner_from, inner_to, tier);
	return rc ? rc : cover_range(cover, inner_to, to, tier - 1);
}

/* A span of a tier that retention has dropped there: nothing finer is held either, so the answer lacks something. */
static bool dropped(const struct cover *cover, const struct store_horizon *horizon)
{
	for (size_t i = 0; i < cover->count; i++)
		if (cover->spans[i].from_ns < horizon->tier_from_ns[cover->spans[i].tier] &&
		    horizon->oldest_ns[TABLE_ROLLUPS] < cover->spans[i].to_ns)
			return true;
	return false;
}

/* What crashes there were in the range. More than a few: only the finest tier is asked. */
static int read_holes(struct plan *plan, struct arena *arena, struct cover *cover, struct err *err)
{
	struct store_gap *gaps;
	size_t count;
	/* a crash right behind the range has taken the bucket that had just ended */
	uint64_t to = plan->to_ns > UINT64_MAX - LAG_NS ? UINT64_MAX : plan->to_ns + LAG_NS;
	int rc = store_gaps(plan->store, plan->from_ns, to, arena, &gaps, &count, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(gaps[i].reason, "crash") != 0)
			continue;
		if (cover->holes_count == HOLES_MAX) {
			cover->newest_ns = 0;
			return 0;
		}
		cover->holes[cover->holes_count++] = (struct span){ .from_ns = gaps[i].from_ns, .to_ns = gaps[i].to_ns };
	}
	return 0;
}

static void write_instant(struct wr *text, const char *op, uint64_t ns)
{
	char instant[CLOCK_TEXT_LEN];

	clock_format(ns, instant);
	wr_printf(text, "start_ns %s \"%s\"", op, instant);
}

/* "(tier == 60 && (start_ns >= ... && start_ns < ... || ...)) || ..." */
static void write_filter(const struct cover *cover, struct wr *text, uint32_t *ret_coarsest)
{
	bool any_tier = false;

	for (unsigned tier = ROLLUP_TIERS_COUNT; tier-- > 0;) {
		bool any = false;

		for (size_t i = 0; i < cover->count; i++) {
			const struct span *span = &cover->spans[i];

			if (span->tier != tier)
				continue;
			if (!any)
				wr_printf(text, "%s(tier == %u && (", any_tier ? " || " : "", tiers[tier]);
			wr_str(text, any ? " || (" : "(");
			write_instant(text, ">=", span->from_ns);
			if (span->to_ns != UINT64_MAX) {
				wr_str(text, " && ");
				write_instant(text, "<", span->to_ns);
			}
			wr_str(text, ")");
			if (!any_tier)
				*ret_coarsest = tiers[tier];
			any = any_tier = true;
		}
		if (any)
			wr_str(text, "))");
	}
}

int tier_choose(struct plan *plan, uint64_t step_ns, struct arena *arena, uint32_t *ret_tier,
		struct err *err)
{
	struct cover cover = { .step_ns = step_ns };
	struct store_horizon horizon;
	struct wr text;
	int rc;

	*ret_tier = 0;
	if (filter_uses(plan->filters[0], &plan->table->cols[ROLLUP_tier]))
		return 0;
	if (step_ns % NS_PER_SEC != 0)
		return err_set(err, E_RANGE,
			       "rollups hold seconds: the step must be a whole number of them");
	wr_init(&text, 0);
	rc = store_horizon(plan->store, &horizon, err);
	if (rc < 0)
		goto out;
	cover.newest_ns = horizon.newest_ns == UINT64_MAX ? 0 : horizon.newest_ns;
	rc = read_holes(plan, arena, &cover, err);
	if (rc < 0)
		goto out;
	rc = cover_range(&cover, round_down(plan->from_ns, NS_PER_SEC), plan->to_ns, ROLLUP_TIERS_COUNT - 1);
	plan->stats->tier_expired = dropped(&cover, &horizon);
	write_filter(&cover, &text, ret_tier);
	if (rc < 0 || text.bad)
		rc = err_set(err, E_NO_MEMORY, "out of memory");
	else if (cover.count)
		rc = plan_add_filter(plan, wr_view(&text), err);
	else
		*ret_tier = tiers[0];
out:
	mem_free(cover.spans);
	wr_release(&text);
	return rc;
}
