#include "query/export_flows.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "query/group.h"
#include "query/rows.h"
#include "query/scan.h"

#define COMMENTS_BYTES_MAX ((size_t)128 << 20) /* beyond it, flows go without a comment */
#define SOURCES_MAX	   100000

/* ---- flows that match ---- */

static int add_ids(void *arg, struct scan *scan, struct err *err)
{
	struct export_flows *flows = arg;
	struct rg_ints ids;
	uint32_t row;
	int rc = columns_ints(&scan->columns, &scan->plan->table->cols[FLOW_id], &ids, err);

	if (rc < 0)
		return rc;
	SCAN_EACH_BIT (scan->bits, columns_words(&scan->columns), row) {
		if (flows->count && flows->ids[flows->count - 1] == ids.values[row])
			continue;
		if (flows->count * sizeof(uint64_t) > scan->plan->budget.memory)
			return plan_no_memory(scan->plan, err);
		rc = mem_grow((void **)&flows->ids, &flows->cap, flows->count, sizeof(*flows->ids));
		if (rc < 0)
			return err_set(err, rc, "out of memory");
		flows->ids[flows->count++] = ids.values[row];
	}
	return 0;
}

static int u64_cmp(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void ids_tidy(struct export_flows *flows)
{
	size_t n = 0;

	if (flows->count > 1)
		qsort(flows->ids, flows->count, sizeof(*flows->ids), u64_cmp);
	for (size_t i = 0; i < flows->count; i++)
		if (n == 0 || flows->ids[n - 1] != flows->ids[i])
			flows->ids[n++] = flows->ids[i];
	flows->count = n;
}

static bool id_has(const struct export_flows *flows, uint64_t id)
{
	return flows->count && bsearch(&id, flows->ids, flows->count, sizeof(id), u64_cmp);
}

/* ---- calls that match ---- */

static int span_cmp(const void *a, const void *b)
{
	const struct flow_span *x = a, *y = b;

	if (x->flow_id != y->flow_id)
		return x->flow_id < y->flow_id ? -1 : 1;
	return (x->from_ns > y->from_ns) - (x->from_ns < y->from_ns);
}

static int add_spans(void *arg, struct scan *scan, struct err *err)
{
	struct export_flows *flows = arg;
	const struct col *cols = scan->plan->table->cols;
	struct rg_ints ids, starts, ends;
	uint32_t row;
	int rc = columns_ints(&scan->columns, &cols[CALL_flow_id], &ids, err);

	if (rc == 0)
		rc = columns_ints(&scan->columns, &cols[CALL_start_ns], &starts, err);
	if (rc == 0)
		rc = columns_ints(&scan->columns, &cols[CALL_end_ns], &ends, err);
	if (rc < 0)
		return rc;
	SCAN_EACH_BIT (scan->bits, columns_words(&scan->columns), row) {
		if (!flows->all && !id_has(flows, ids.values[row]))
			continue;
		if (flows->spans_count * sizeof(*flows->spans) > scan->plan->budget.memory)
			return plan_no_memory(scan->plan, err);
		rc = mem_grow((void **)&flows->spans, &flows->spans_cap, flows->spans_count,
			      sizeof(*flows->spans));
		if (rc < 0)
			return err_set(err, rc, "out of memory");
		flows->spans[flows->spans_count++] =
			(struct flow_span){ ids.values[row], starts.values[row], ends.values[row] };
	}
	return 0;
}

/* Merge the spans of a flow that touch; the flows with a span are the ones wanted. */
static int spans_tidy(struct export_flows *flows, struct err *err)
{
	size_t n = 0;

	if (flows->spans_count > 1)
		qsort(flows->spans, flows->spans_count, sizeof(*flows->spans), span_cmp);
	for (size_t i = 0; i < flows->spans_count; i++) {
		struct flow_span span = flows->spans[i], *last = n ? &flows->spans[n - 1] : NULL;

		if (last && last->flow_id == span.flow_id && span.from_ns <= last->to_ns)
			last->to_ns = span.to_ns > last->to_ns ? span.to_ns : last->to_ns;
		else
			flows->spans[n++] = span;
	}
	flows->spans_count = n;
	flows->all = false;
	flows->count = 0;
	for (size_t i = 0; i < n; i++) {
		if (flows->count && flows->ids[flows->count - 1] == flows->spans[i].flow_id)
			continue;
		if (mem_grow((void **)&flows->ids, &flows->cap, flows->count, sizeof(*flows->ids)) <
		    0)
			return err_set(err, E_NO_MEMORY, "out of memory");
		flows->ids[flows->count++] = flows->spans[i].flow_id;
	}
	return 0;
}

static int calls_find(struct export_flows *flows, struct plan *plan, struct view filter,
		      struct err *err)
{
	struct query_opts opts = *plan->opts;
	struct query_stats stats;
	struct plan calls;
	int rc;

	opts.filter = filter;
	rc = plan_init(&calls, plan->store, &opts, TABLE_CALLS, false, &stats, err);
	if (rc == 0)
		rc = scan_each(&calls, add_spans, flows, err);
	plan->stats->rows_scanned += stats.rows_scanned;
	plan->stats->damaged_row_groups += stats.damaged_row_groups;
	plan_release(&calls);
	flows->by_calls = true;
	return rc == 0 ? spans_tidy(flows, err) : rc;
}

static bool span_has(const struct export_flows *flows, const struct packet_rec *rec)
{
	size_t low = 0, high = flows->spans_count;

	while (low < high) { /* the last span that begins at or before the frame */
		size_t mid = (low + high) / 2;
		const struct flow_span *span = &flows->spans[mid];

		if (span->flow_id < rec->flow_id ||
		    (span->flow_id == rec->flow_id && span->from_ns <= rec->time_ns))
			low = mid + 1;
		else
			high = mid;
	}
	return low && flows->spans[low - 1].flow_id == rec->flow_id &&
	       rec->time_ns <= flows->spans[low - 1].to_ns;
}

bool export_flows_want(const struct export_flows *flows, const struct packet_rec *rec)
{
	/* The packet log has looked at the flows already; calls are narrower. */
	return !flows->by_calls || span_has(flows, rec);
}

/* ---- comments ---- */

static void side_text(struct wr *wr, const char *side, bool has_pid, uint32_t pid, bool has_comm,
		      struct view comm, bool has_container, struct view container, bool has_pod,
		      struct view pod)
{
	if (!has_pid && !has_comm && !has_container && !has_pod)
		return;
	wr_printf(wr, "; %s:", side);
	if (has_comm) {
		wr_str(wr, " ");
		wr_bytes(wr, comm);
	}
	if (has_pid)
		wr_printf(wr, " pid %u", pid);
	if (has_container) {
		wr_str(wr, " container ");
		wr_bytes(wr, container);
	}
	if (has_pod) {
		wr_str(wr, " pod ");
		wr_bytes(wr, pod);
	}
}

#define SIDE(row, wr, side)                                                                        \
	side_text(wr, #side, ROW_HAS(FLOW, row, side##_pid), (row)->side##_pid,                    \
		  ROW_HAS(FLOW, row, side##_comm), (row)->side##_comm,                             \
		  ROW_HAS(FLOW, row, side##_container), (row)->side##_container,                   \
		  ROW_HAS(FLOW, row, side##_pod), (row)->side##_pod)

struct comments {
	struct export_flows *flows;
	struct wr text;
	int rc;
};

static bool add_comment(void *arg, const struct table *table, const void *row)
{
	struct comments *comments = arg;
	struct export_flows *flows = comments->flows;
	const struct flow_row *flow = row;
	struct flow_comment comment = { .flow_id = flow->id };

	(void)table;
	if (!flows->all && !id_has(flows, flow->id))
		return true;
	wr_reset(&comments->text);
	wr_printf(&comments->text, "flow %016llx", (unsigned long long)flow->id);
	SIDE(flow, &comments->text, src);
	SIDE(flow, &comments->text, dst);
	comment.text = arena_copy(&flows->texts, wr_view(&comments->text));
	if (comments->text.bad || !comment.text.at)
		return false; /* the budget of comments: the rest go without */
	if (mem_grow((void **)&flows->comments, &flows->comments_cap, flows->comments_count,
		     sizeof(comment)) < 0) {
		comments->rc = E_NO_MEMORY;
		return false;
	}
	flows->comments[flows->comments_count++] = comment;
	return true;
}

/* By flow; of several reports the one with most to say. */
static int comment_cmp(const void *a, const void *b)
{
	const struct flow_comment *x = a, *y = b;

	if (x->flow_id != y->flow_id)
		return x->flow_id < y->flow_id ? -1 : 1;
	return (x->text.len < y->text.len) - (x->text.len > y->text.len);
}

static int comments_find(struct export_flows *flows, struct plan *plan, struct err *err)
{
	static const uint16_t fields[] = { FLOW_src_pid,       FLOW_src_comm, FLOW_src_container,
					   FLOW_src_pod,       FLOW_dst_pid,  FLOW_dst_comm,
					   FLOW_dst_container, FLOW_dst_pod };
	struct rows_want want = { .fields = fields,
				  .fields_count = sizeof(fields) / sizeof(fields[0]),
				  .ascending = true,
				  .limit = UINT64_MAX };
	struct comments comments = { .flows = flows };
	struct cursor next;
	size_t n = 0;
	bool more;
	int rc;

	wr_init(&comments.text, 0);
	rc = rows_run(plan, &want, add_comment, &comments, &more, &next, err);
	wr_release(&comments.text);
	if (rc == 0 && comments.rc < 0)
		rc = err_set(err, comments.rc, "out of memory");
	plan->stats->truncated = false; /* of comments, not of frames */
	plan->stats->rows_matched = 0;
	if (flows->comments_count > 1)
		qsort(flows->comments, flows->comments_count, sizeof(*flows->comments),
		      comment_cmp);
	for (size_t i = 0; i < flows->comments_count; i++)
		if (n == 0 || flows->comments[n - 1].flow_id != flows->comments[i].flow_id)
			flows->comments[n++] = flows->comments[i];
	flows->comments_count = n;
	return rc;
}

struct view export_flows_comment(struct export_flows *flows, uint64_t flow_id)
{
	struct flow_comment key = { .flow_id = flow_id }, *comment;
	size_t low = 0, high = flows->comments_count;

	if (flows->at < high &&
	    flows->comments[flows->at].flow_id == flow_id) { /* neighbours share their flow */
		low = flows->at;
	} else {
		while (low < high) {
			size_t mid = (low + high) / 2;

			if (flows->comments[mid].flow_id < key.flow_id)
				low = mid + 1;
			else
				high = mid;
		}
	}
	comment = low < flows->comments_count ? &flows->comments[low] : NULL;
	if (!comment || comment->flow_id != flow_id || comment->told)
		return (struct view){ 0 };
	flows->at = low;
	comment->told = true;
	return comment->text;
}

int export_flows_find(struct export_flows *flows, struct plan *plan,
		      const struct query_export *what, struct err *err)
{
	int rc = 0;

	arena_init(&flows->texts, COMMENTS_BYTES_MAX);
	flows->all = filter_is_all(plan->filters[0]);
	if (!flows->all)
		rc = scan_each(plan, add_ids, flows, err);
	plan->stats->rows_matched = 0; /* the answer's rows are frames */
	ids_tidy(flows);
	if (rc == 0 && what->calls_filter.len)
		rc = calls_find(flows, plan, what->calls_filter, err);
	if (rc == 0 && what->format == EXPORT_PCAPNG)
		rc = comments_find(flows, plan, err);
	return rc;
}

void export_flows_release(struct export_flows *flows)
{
	mem_free(flows->ids);
	mem_free(flows->spans);
	mem_free(flows->comments);
	arena_release(&flows->texts);
}

/* ---- sources ---- */

struct source_walk {
	struct export_sources *sources;
	struct arena *arena;
	struct seen told; /* live sources tell again every hour */
	int rc;
};

static void add_ifaces(struct source_walk *walk, uint64_t source, const struct json_val *list)
{
	for (size_t i = 0; i < json_count(list) && walk->rc == 0; i++) {
		const struct json_val *val = json_at(list, i);
		int64_t link = json_get_i64(json_get(val, "link"), -1),
			resolution = json_get_i64(json_get(val, "tsresol"), 9);
		struct view name = json_get_str(json_get(val, "name"), (struct view){ 0 });
		struct export_iface iface = { .source = source,
					      .iface = (uint32_t)i,
					      .link = (uint16_t)link,
					      .tsresol = (uint8_t)resolution,
					      .second = json_get_bool(json_get(val, "second"), false) };

		if (link < 0 || link > UINT16_MAX) {
			walk->sources->unknown = true;
			continue;
		}
		iface.name = arena_copy(walk->arena, name);
		if (!iface.name.at || mem_grow((void **)&walk->sources->ifaces, &walk->sources->cap,
					       walk->sources->count, sizeof(iface)) < 0)
			walk->rc = E_NO_MEMORY;
		else
			walk->sources->ifaces[walk->sources->count++] = iface;
	}
}

static bool add_source(void *arg, const struct table *table, const void *row)
{
	const struct entity_row *entity = row;
	struct source_walk *walk = arg;
	struct json_doc *doc = NULL;
	const struct json_val *root;

	(void)table;
	if (seen_add(&walk->told, entity->id) == 0)
		return true;
	if (!ROW_HAS(ENTITY_ROW, entity, text) || json_parse(entity->text, &doc, NULL) < 0) {
		walk->sources->unknown = true;
		return true;
	}
	root = json_root(doc);
	add_ifaces(walk, entity->id,
		   json_kind(root) == JSON_ARRAY ? root : json_get(root, "interfaces"));
	json_doc_free(doc);
	return walk->rc == 0;
}

int export_sources_find(struct export_sources *sources, const struct plan *plan,
			struct arena *arena, struct err *err)
{
	struct query_opts opts = *plan->opts;
	struct rows_want want = { .limit = SOURCES_MAX };
	struct source_walk walk = { .sources = sources, .arena = arena };
	struct query_stats stats;
	struct plan entities;
	struct cursor next;
	bool more;
	int rc;

	seen_init(&walk.told, SOURCES_MAX);
	opts.filter = VIEW_LIT("kind == source");
	opts.from_ns = 0; /* a recorder may have begun long before the range */
	rc = plan_init(&entities, plan->store, &opts, TABLE_ENTITIES, false, &stats, err);
	if (rc == 0)
		rc = rows_run(&entities, &want, add_source, &walk, &more, &next, err);
	if (rc == 0 && walk.rc < 0)
		rc = err_set(err, walk.rc, "out of memory");
	if (rc == 0 && more)
		sources->unknown = true;
	seen_release(&walk.told);
	plan_release(&entities);
	return rc;
}

void export_sources_release(struct export_sources *sources)
{
	mem_free(sources->ifaces);
}

bool export_sources_agree(const struct export_sources *sources, uint16_t *ret_link, bool *ret_nanos)
{
	bool nanos = false;

	if (sources->unknown || sources->count == 0)
		return false;
	for (size_t i = 0; i < sources->count; i++) {
		if (sources->ifaces[i].link != sources->ifaces[0].link)
			return false;
		nanos |= sources->ifaces[i].tsresol > 6; /* powers of two (bit 7) too */
	}
	*ret_link = sources->ifaces[0].link;
	*ret_nanos = nanos;
	return true;
}

bool export_sources_second(const struct export_sources *sources, uint64_t source, uint32_t iface)
{
	for (size_t i = 0; iface && i < sources->count; i++)
		if (sources->ifaces[i].source == source && sources->ifaces[i].iface == iface)
			return sources->ifaces[i].second;
	return false;
}

struct view export_sources_iface(const struct export_sources *sources, uint64_t source,
				 uint32_t iface)
{
	for (size_t i = 0; i < sources->count; i++)
		if (sources->ifaces[i].source == source && sources->ifaces[i].iface == iface)
			return sources->ifaces[i].name;
	return (struct view){ 0 };
}
