#include "query/tier.h"

#include "base/clock.h"

#define COARSE_NS      NS_PER_MIN
#define COARSE_SECONDS 60
/* A minute's row is written when the minute and two seconds have passed, then committed within one more. */
#define COARSE_LAG_NS (COARSE_NS + 5 * NS_PER_SEC)
#define HOLES_MAX     8

static void write_span(struct wr *wr, const char *fmt_from, uint64_t from_ns, const char *fmt_to,
		       uint64_t to_ns)
{
	char text[CLOCK_TEXT_LEN];

	wr_str(wr, fmt_from);
	clock_format(from_ns, text);
	wr_printf(wr, "\"%s\"", text);
	wr_str(wr, fmt_to);
	clock_format(to_ns, text);
	wr_printf(wr, "\"%s\"", text);
}

/*
 * Around a crash the open minute was lost with the process, while its seconds
 * had been written: there, the fine tier is the one that is complete.
 */
static int holes_write(struct plan *plan, struct arena *arena, uint64_t from, uint64_t to,
		       struct wr *fine, struct wr *coarse, struct err *err)
{
	struct store_gap *gaps;
	size_t count, holes = 0;
	int rc = store_gaps(plan->store, from, to, arena, &gaps, &count, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		uint64_t hole_from, hole_to;

		if (strcmp(gaps[i].reason, "crash") != 0)
			continue;
		if (++holes > HOLES_MAX)
			return 1;
		hole_from = gaps[i].from_ns < COARSE_LAG_NS ? 0 : gaps[i].from_ns - COARSE_LAG_NS;
		hole_from -= hole_from % COARSE_NS;
		hole_to = gaps[i].to_ns > UINT64_MAX - COARSE_NS ? UINT64_MAX
								 : gaps[i].to_ns + COARSE_NS - 1;
		hole_to -= hole_to % COARSE_NS;
		write_span(fine, " || (start_ns >= ", hole_from, " && start_ns < ", hole_to);
		wr_str(fine, ")");
		write_span(coarse, " && (start_ns < ", hole_from, " || start_ns >= ", hole_to);
		wr_str(coarse, ")");
	}
	return 0;
}

/* 1 when the fine tier alone will do. */
static int mixed(struct plan *plan, struct arena *arena, struct wr *text, struct err *err)
{
	struct store_horizon horizon;
	uint64_t from, to = plan->to_ns;
	struct wr fine, coarse;
	int rc = store_horizon(plan->store, &horizon, err);

	if (rc < 0)
		return rc;
	from = plan->from_ns > UINT64_MAX - COARSE_NS ? UINT64_MAX : plan->from_ns + COARSE_NS - 1;
	from -= from % COARSE_NS;
	if (horizon.newest_ns < COARSE_LAG_NS)
		return 1;
	if (to > horizon.newest_ns - COARSE_LAG_NS)
		to = horizon.newest_ns - COARSE_LAG_NS;
	to -= to % COARSE_NS;
	if (to <= from)
		return 1;
	wr_init(&fine, 0);
	wr_init(&coarse, 0);
	write_span(&fine, "start_ns < ", from, " || start_ns >= ", to);
	write_span(&coarse, "start_ns >= ", from, " && start_ns < ", to);
	rc = holes_write(plan, arena, from, to, &fine, &coarse, err);
	wr_str(text, "(tier == 1 && (");
	wr_bytes(text, wr_view(&fine));
	wr_printf(text, ")) || (tier == %d && ", COARSE_SECONDS);
	wr_bytes(text, wr_view(&coarse));
	wr_str(text, ")");
	if (fine.bad || coarse.bad || text->bad)
		rc = err_set(err, E_NO_MEMORY, "out of memory");
	wr_release(&fine);
	wr_release(&coarse);
	return rc;
}

int tier_choose(struct plan *plan, uint64_t step_ns, struct arena *arena, uint32_t *ret_tier,
		struct err *err)
{
	uint32_t tier = 1;
	struct wr text;
	int rc = 1;

	if (filter_uses(plan->filters[0], &plan->table->cols[ROLLUP_tier])) {
		*ret_tier = 0;
		return 0;
	}
	if (step_ns % NS_PER_SEC != 0)
		return err_set(err, E_RANGE,
			       "rollups hold seconds: the step must be a whole number of them");
	wr_init(&text, 0);
	if (step_ns % COARSE_NS == 0)
		rc = mixed(plan, arena, &text, err);
	if (rc == 0)
		tier = COARSE_SECONDS;
	else if (rc == 1)
		rc = plan_add_filter(plan, VIEW_LIT("tier == 1"), err);
	if (tier != 1)
		rc = plan_add_filter(plan, wr_view(&text), err);
	wr_release(&text);
	if (rc == 0)
		*ret_tier = tier;
	return rc;
}
