/*
 * Export: first the flows that match, from their rows; then the frames, from the
 * packet log, in the order of capture. Nothing is decoded but what a filter asks
 * about, so bytes and order are those of the capture.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "query/capture_file.h"
#include "query/export_flows.h"
#include "query/frames.h"
#include "query/group.h"
#include "query/pcap_filter.h"

#define PIECE_BYTES	  (256u << 10)
#define CHECK_FRAMES	  1024
#define FLOWS_COUNTED_MAX (8u << 20) /* distinct flows told apart for the totals */
#define INTERFACES_MAX	  65536u

struct export
{
	struct plan plan;
	const struct query_export *what;
	struct export_flows flows;
	struct export_sources sources;
	bool second_views; /* the filter asks about them: else each frame once */
	struct pcap_filter *packet_filter;
	struct seen counted;
	uint64_t counted_last; /* flow of the frame before */
	struct groups interfaces; /* pcapng: (source, iface, link) */
	struct query_export_totals totals;
	int (*write)(void *arg, struct view bytes, struct err *err);
	void *arg;
	struct wr piece;
	/* pcap */
	bool nanos, link_known;
	uint16_t link;
};

static int flush(struct export *export, struct err *err)
{
	int rc = 0;

	if (export->piece.bad)
		return err_set(err, E_NO_MEMORY, "out of memory");
	if (export->piece.len)
		rc = export->write(export->arg, wr_view(&export->piece), err);
	wr_reset(&export->piece);
	return rc;
}

/* 1: the frame belongs into the file. */
static int wanted(struct export *export, const struct packet_rec *rec, uint64_t source,
		  struct err *err)
{
	if (!export->second_views && export_sources_second(&export->sources, source, rec->iface))
		return 0;
	if (!export_flows_want(&export->flows, rec))
		return 0;
	if (!export->packet_filter)
		return 1;
	return pcap_filter_match(export->packet_filter, rec->link, rec->frame, rec->orig_len, err);
}

/* ---- pcap ---- */

/* pcap knows one link type and one precision: look before the first byte is written. */
struct look {
	uint32_t links[16];
	size_t links_count;
	bool nanos;
};

static void look_at(struct look *look, const struct packet_rec *rec)
{
	size_t i;

	look->nanos |= rec->time_ns % NS_PER_US != 0;
	for (i = 0; i < look->links_count && look->links[i] != rec->link; i++)
		;
	if (i == look->links_count && i < sizeof(look->links) / sizeof(look->links[0]))
		look->links[look->links_count++] = rec->link;
}

static int each_frame(struct export *export,
		      int (*fn)(struct export *export, const struct packet_rec *rec,
				uint64_t source, void *arg, struct err *err),
		      void *arg, struct err *err)
{
	struct plan *plan = &export->plan;
	struct frames *frames = NULL;
	struct packet_rec rec;
	uint64_t source, count = 0;
	int rc;

	if (!export->flows.all && export->flows.count == 0)
		return 0;
	rc = frames_open(plan->store, plan->from_ns, plan->to_ns,
			 export->flows.all ? NULL : export->flows.ids, export->flows.count, &frames,
			 err);
	if (rc == 0)
		frames_crew(frames, plan->opts->crew);
	while (rc == 0 && (rc = frames_next(frames, &rec, &source, err)) == 1) {
		if (++count % CHECK_FRAMES == 0 && (rc = plan_check(plan, err)) < 0)
			break;
		plan->stats->bytes_read += rec.frame.len;
		rc = wanted(export, &rec, source, err);
		if (rc == 1)
			rc = fn(export, &rec, source, arg, err);
	}
	if (frames) {
		plan->stats->partitions += frames_parts(frames);
		plan->stats->damaged_row_groups += frames_damaged(frames);
		plan->stats->payload_expired |= frames_expired(frames);
	}
	frames_close(frames);
	return rc;
}

static int look_frame(struct export *export, const struct packet_rec *rec, uint64_t source,
		      void *arg, struct err *err)
{
	(void)export;
	(void)source;
	(void)err;
	look_at(arg, rec);
	return 0;
}

static int too_many_links(const struct look *look, struct err *err)
{
	char text[128] = "";
	size_t len = 0;

	for (size_t i = 0; i < look->links_count && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u", i ? ", " : "",
					look->links[i]);
	return err_set(
		err, E_UNSUPPORTED,
		"pcap holds one link type, and the frames have %zu (%s): use pcapng, or narrow "
		"the filter to one source",
		look->links_count, text);
}

/* The sources' own description spares the look when there is only one answer. */
static int pcap_begin(struct export *export, struct err *err)
{
	struct look look = { 0 };
	struct query_stats stats = *export->plan.stats;
	int rc = 0;

	if (export_sources_agree(&export->sources, &export->link, &export->nanos)) {
		export->link_known = true;
	} else {
		rc = each_frame(export, look_frame, &look, err);
		*export->plan.stats = stats; /* the look is no part of the answer */
		if (rc == 0 && look.links_count > 1)
			rc = too_many_links(&look, err);
		export->link_known = look.links_count > 0;
		export->link = look.links_count ? (uint16_t)look.links[0] : 1;
		export->nanos = look.nanos;
	}
	if (rc == 0)
		pcap_header(&export->piece, export->link, export->nanos);
	return rc;
}

static int pcap_frame(struct export *export, const struct packet_rec *rec, struct err *err)
{
	if (rec->link != export->link)
		return err_set(
			err, E_UNSUPPORTED,
			"pcap holds one link type: frame %llu has %u, those before it %u; use pcapng",
			(unsigned long long)rec->number, rec->link, export->link);
	if (!pcap_record(&export->piece, rec, export->nanos))
		return err_set(
			err, E_RANGE,
			"pcap cannot tell times behind the year 2106, and frame %llu has one; use pcapng",
			(unsigned long long)rec->number);
	return 0;
}

/* ---- pcapng ---- */

static int pcapng_frame(struct export *export, const struct packet_rec *rec, uint64_t source,
			struct err *err)
{
	uint64_t key[2] = { source, (uint64_t)rec->iface << 16 | rec->link };
	size_t before = export->interfaces.count;
	uint32_t iface = groups_add(&export->interfaces, key);

	if (iface == GROUP_NONE && export->interfaces.count == export->interfaces.limit)
		return err_set(err, E_LIMIT, "more than %u interfaces in one file", INTERFACES_MAX);
	if (iface == GROUP_NONE)
		return err_set(err, E_NO_MEMORY, "out of memory");
	if (export->interfaces.count > before)
		pcapng_interface(&export->piece, rec->link,
				 export_sources_iface(&export->sources, source, rec->iface));
	pcapng_packet(&export->piece, rec, iface,
		      export_flows_comment(&export->flows, rec->flow_id));
	return 0;
}

/* ---- the run ---- */

static int write_frame(struct export *export, const struct packet_rec *rec, uint64_t source,
		       void *arg, struct err *err)
{
	int rc;

	(void)arg;
	if (export->what->format == EXPORT_PCAP)
		rc = pcap_frame(export, rec, err);
	else
		rc = pcapng_frame(export, rec, source, err);
	if (rc < 0)
		return rc;
	export->totals.packets++;
	export->totals.bytes += rec->frame.len;
	/* Trains of one flow are the rule. */
	if (rec->flow_id && rec->flow_id != export->counted_last && seen_add(&export->counted, rec->flow_id) == 1)
		export->totals.flows++;
	export->counted_last = rec->flow_id;
	export->plan.stats->rows_matched++;
	return export->piece.len >= PIECE_BYTES ? flush(export, err) : 0;
}

/* On one machine both ends of a conversation see its frames: once is enough unless somebody asks which end. */
static bool asks_for_views(const struct plan *plan)
{
	static const uint16_t cols[] = { FLOW_id, FLOW_view, FLOW_vantage };

	for (size_t i = 0; i < sizeof(cols) / sizeof(cols[0]); i++)
		if (filter_uses(plan->filters[0], &plan->table->cols[cols[i]]))
			return true;
	return false;
}

static int export_run(struct export *export, struct arena *arena, struct err *err)
{
	const struct query_export *what = export->what;
	int rc = export_flows_find(&export->flows, &export->plan, what, err);

	export->second_views = asks_for_views(&export->plan);
	if (rc == 0)
		rc = export_sources_find(&export->sources, &export->plan, arena, err);
	if (rc == 0 && what->packet_filter.len)
		rc = pcap_filter_new(what->packet_filter, &export->packet_filter, err);
	if (rc == 0 && what->format == EXPORT_PCAP)
		rc = pcap_begin(export, err);
	else if (rc == 0)
		pcapng_section(&export->piece);
	if (rc == 0)
		rc = each_frame(export, write_frame, NULL, err);
	if (rc == 0)
		rc = flush(export, err);
	return rc;
}

int query_export(struct store *store, const struct query_opts *opts,
		 const struct query_export *what,
		 int (*write)(void *arg, struct view bytes, struct err *err), void *arg,
		 struct query_export_totals *ret_totals, struct query_stats *ret_stats,
		 struct err *err)
{
	struct export *export = mem_zalloc(sizeof(*export));
	struct query_opts unhurried = *opts;
	struct query_stats stats;
	struct arena arena;
	int rc;

	if (!export)
		return err_set(err, E_NO_MEMORY, "out of memory");
	/* An export is as long as it is; only the caller's own budgets end it. */
	if (!unhurried.budget.time_ns)
		unhurried.budget.time_ns = UINT64_MAX;
	if (!unhurried.budget.rows)
		unhurried.budget.rows = UINT64_MAX;
	if (!unhurried.budget.bytes)
		unhurried.budget.bytes = UINT64_MAX;
	arena_init(&arena, 0);
	wr_init(&export->piece, 0);
	export->what = what;
	export->write = write;
	export->arg = arg;
	groups_init(&export->interfaces, 2, INTERFACES_MAX);
	seen_init(&export->counted, FLOWS_COUNTED_MAX);
	rc = plan_init(&export->plan, store, &unhurried, TABLE_FLOWS, false, &stats, err);
	if (rc == 0)
		rc = export_run(export, &arena, err);
	if (rc == 0)
		rc = plan_finish(&export->plan, &arena, err);
	if (rc == 0) {
		stats.gaps = NULL; /* their memory goes with the arena */
		stats.gaps_count = 0;
		*ret_totals = export->totals;
		*ret_stats = stats;
	}
	pcap_filter_free(export->packet_filter);
	export_flows_release(&export->flows);
	export_sources_release(&export->sources);
	groups_release(&export->interfaces);
	seen_release(&export->counted);
	wr_release(&export->piece);
	plan_release(&export->plan);
	arena_release(&arena);
	mem_free(export);
	return rc;
}
