/*
 * Questions to the store. CLI, REST and Grafana all ask through this header,
 * so one filter, one plan and one meaning of "complete" serve them all.
 *
 * A query runs in the calling thread (a worker), under budgets, and stops with
 * E_CANCELLED soon after *cancel becomes true. An aggregation shares its row groups with
 * the threads of opts->crew: budgets are those of all together, and the answer is the same.
 * So does an export of some flows with the payload it reads.
 */
#ifndef QUERY_QUERY_H
#define QUERY_QUERY_H

#include <stdatomic.h>
#include "base/arena.h"
#include "base/json.h"
#include "schema/schema.h"
#include "store/hist.h"
#include "store/store.h"
#include "wire/proto.h"

struct query_budget {		/* 0 = the default in brackets */
	uint64_t rows;		/* scanned [200 M] */
	uint64_t bytes;		/* decoded [16 GiB] */
	uint64_t time_ns;	/* [30 s] */
	size_t memory;		/* [512 MiB] */
};

struct crew;

struct query_opts {
	uint64_t from_ns, to_ns;	/* [from, to); to 0 = everything up to now and beyond */
	struct view filter;		/* filter language; empty = all */
	struct query_budget budget;
	const atomic_bool *cancel;	/* NULL: never */
	bool explain;
	struct crew *crew;		/* helps to aggregate and to export; NULL: the calling thread does it alone */
};

/* How the answer came about, and how complete it is. */
struct query_stats {
	uint64_t partitions, partitions_skipped;
	uint64_t row_groups, row_groups_skipped_zone, row_groups_skipped_index, row_groups_skipped_bloom;
	uint64_t row_groups_read;	/* opened, for their conditions at least */
	uint64_t rows_scanned, rows_matched, bytes_read;
	uint64_t bytes_stored;		/* of the columns that were decoded, as they lie in the file */
	/* With explain: stored size of the row groups that were skipped. */
	uint64_t bytes_skipped_zone, bytes_skipped_index, bytes_skipped_bloom;
	uint64_t took_ns;
	bool truncated;			/* a limit or budget ended it early; there is more */
	uint64_t oldest_ns;		/* oldest instant the store holds for this table; UINT64_MAX: nothing held */
	uint64_t newest_ns;		/* newest committed */
	struct store_gap *gaps;		/* that overlap the range; in the arena given to the query */
	size_t gaps_count;
	uint64_t damaged_row_groups;	/* skipped because they are damaged */
	bool payload_expired;		/* packets that may have matched are of a class, or an hour, that retention dropped */
	bool tier_expired;		/* the rollups that would answer a part of the range exactly were dropped before coarser ones */
};
/* The range begins before what is held, or retention has dropped a part of it. */
bool query_expired(const struct query_stats *stats, const struct query_opts *opts);
/* Writes "completeness": {...}, "stats": {...} and, with explain, "explain": {...} into an open object. */
void query_stats_json(const struct query_stats *stats, const struct query_opts *opts, struct json *json);

/* ---- rows ---- */

struct query_rows {
	enum table_id table;
	const uint16_t *fields;		/* ordinals to fetch; NULL = all */
	size_t fields_count;
	bool ascending;			/* else newest first */
	uint64_t limit;			/* 0 = 100 */
	struct view cursor;		/* from the answer before; empty = from the edge of the range */
	bool starts_within;		/* rows that start in the range; else rows that overlap it */
};

/*
 * Hands the matching rows in order of (start_ns, id) to row(); row() returns
 * false to stop. row is a struct flow_row etc., its texts valid during the call.
 * *ret_cursor: text for the next page, in arena; empty when nothing is left.
 * Packets work too (table TABLE_PACKETS): read and decoded from the packet log.
 */
int query_rows(struct store *store, const struct query_opts *opts, const struct query_rows *rows,
	       bool (*row)(void *arg, const struct table *table, const void *row), void *arg,
	       struct arena *arena, struct query_stats *ret_stats, struct view *ret_cursor, struct err *err);

/* "a,b" to ordinals, in arena; names, keys, aliases. E_UNKNOWN_NAME with position and nearest names. Empty text gives NULL/0 = all. */
int query_fields(const struct table *table, struct view text, struct arena *arena, uint16_t **ret_fields,
		 size_t *ret_count, struct err *err);

/* One row as members of an open JSON object, absent columns as null when nulls, else left out. */
void query_row_json(const struct table *table, const void *row, const uint16_t *fields, size_t fields_count,
		    bool nulls, struct json *json);
/* One value as text for tables and CSV ("" for null); durations and times for people when human. */
void query_value_text(const struct col *col, const void *row, bool human, struct wr *wr);

/* ---- one thing by its id ---- */

/* All reports of one flow merged into one row (counters summed, last state), in arena. E_NOT_FOUND; E_EXPIRED when its time is before the horizon. */
int query_flow(struct store *store, uint64_t id, struct arena *arena, struct flow_row *ret_row, struct err *err);
int query_call(struct store *store, uint64_t id, struct arena *arena, struct call_row *ret_row, struct err *err);
/* PAYLOAD_present, _expired, _thinned or _lost, for the packets of a flow or call in a range. */
int query_payload_state(struct store *store, uint64_t flow_id, uint64_t from_ns, uint64_t to_ns,
			uint8_t *ret_state, struct err *err);
/* The same of a flow in all its time; PAYLOAD_first_view when its other view has the bytes. */
int query_flow_payload(struct store *store, const struct flow_row *flow, uint8_t *ret_state, struct err *err);
/* Exact bytes of a call's request and response, in arena. missing: bytes not held, zero-filled. */
struct query_bytes {
	struct view request, response;
	uint64_t request_missing, response_missing;
	uint8_t payload;	/* PAYLOAD_... */
	uint8_t request_dir;
	struct call_before before;
};
int query_call_bytes(struct store *store, const struct call_row *call, size_t bytes_max, struct arena *arena,
		     struct query_bytes *ret_bytes, struct err *err);
/* Sets bytes->before where the call's protocol needs it to show the call; bytes: of query_call_bytes. */
int query_call_before(struct store *store, const struct call_row *call, struct arena *arena, struct query_bytes *bytes,
		      struct err *err);
/* One direction of a flow's stream, at most bytes_max from stream offset off: a second view's out of the first. */
int query_flow_stream(struct store *store, const struct flow_row *flow, unsigned dir, uint64_t off,
		      size_t bytes_max, struct arena *arena, struct view *ret_bytes, uint64_t *ret_missing,
		      struct err *err);

/* ---- aggregation ---- */

/*
 * agg: comma-separated list of count, count(col) (rows where it is not null), sum(col), min(col), max(col), avg(col),
 * rate (rows/s), rate(col) (sum/s), error_ratio, distinct(col), p50(col) p90 p95 p99 p99.9 (any pN); empty = count.
 * by: comma-separated columns. step 0 = one bucket; buckets begin at multiples of step since 1970.
 * order: an agg or column as written, "-" before it for descending; empty: the first agg, descending. top: groups kept a bucket.
 * error_ratio: server errors, and calls without a response that timed out, were reset or closed, in all calls.
 * Flows: only view=first is counted unless the filter names `view` or `vantage`; count counts reports.
 * Rollups: count and rate are those of calls; each instant is taken from one tier (see tier), unless the filter names it.
 */
struct query_aggregate {
	enum table_id table;	/* FLOWS, CALLS, EVENTS, ROLLUPS (calls' and flows' sums and percentiles from rollups) */
	struct view by, agg;
	uint64_t step_ns;
	struct view order;
	uint64_t top;		/* 0 = 1,000 groups a bucket */
	bool starts_within;
};
struct query_group {
	uint64_t bucket_ns;	/* start of the bucket; from_ns when step is 0 */
	const struct view *keys;	/* texts, one a column of by; at NULL = null */
	const double *values;	/* one an aggregate; NaN = none */
};
struct query_groups {
	size_t keys_count, values_count, count;
	const char **key_names;
	const char **value_names;
	enum unit *value_units;
	struct query_group *groups;	/* by bucket, then order */
	uint32_t tier;		/* rollup tier used, in seconds; 0 = from rows */
};
int query_aggregate(struct store *store, const struct query_opts *opts, const struct query_aggregate *what,
		    struct arena *arena, struct query_groups *ret_groups, struct query_stats *ret_stats,
		    struct err *err);

/*
 * Distinct values of a column in the range, at most limit; prefix may be empty. With a filter, or on a column without
 * a bitmap index, counted: the most frequent first. Else from the indexes, alphabetical: values of the whole
 * hours that the range touches.
 */
int query_values(struct store *store, const struct query_opts *opts, enum table_id table, const struct col *col,
		 struct view prefix, size_t limit, struct arena *arena, struct view **ret_values,
		 size_t *ret_count, struct err *err);

/* ---- a moment ---- */

/*
 * What was going on at at_ns: flows open then (their report nearest to it), calls in flight, entities valid
 * then. Hands rows of each table in turn to row(), at most limit each (0 = 1,000). A table whose columns the
 * filter does not know is left out; an error only when it fits none.
 */
int query_at(struct store *store, const struct query_opts *opts, uint64_t at_ns, uint64_t limit,
	     bool (*row)(void *arg, const struct table *table, const void *row), void *arg,
	     struct arena *arena, struct query_stats *ret_stats, struct err *err);

/* ---- export ---- */

enum export_format { EXPORT_PCAP, EXPORT_PCAPNG };

/*
 * Exactly the frames of the flows that match (filter on flows, which have a row from their first report on: at their
 * end, at the latest a minute after their begin; empty: all frames, undecoded ones included) with time in the range, in order of capture, sources merged by time. write() gets the file in
 * pieces and returns <0 to stop. pcap holds one link type: E_UNSUPPORTED names the others when there are more.
 * pcap is written with ns precision when any time needs it. Frames that both ends on this machine saw are
 * written once, unless the filter names view, vantage or id.
 */
struct query_export {
	enum export_format format;
	struct view packet_filter;	/* BPF expression (pcap-filter) applied to each frame; empty = none */
	struct view calls_filter;	/* when given, only the packets of calls that match */
};
struct query_export_totals {
	uint64_t flows, packets, bytes;
};
int query_export(struct store *store, const struct query_opts *opts, const struct query_export *what,
		 int (*write)(void *arg, struct view bytes, struct err *err), void *arg,
		 struct query_export_totals *ret_totals, struct query_stats *ret_stats, struct err *err);

/* ---- replay ---- */

/*
 * Rows of flows, calls and events that start in the range, merged in time order (tables that the filter does not
 * fit are left out, as in query_at); row() is called when its
 * moment comes at speed (1 = as it was, 10 = ten times as fast, 0 = at once). sleep() waits or returns false to stop.
 */
int query_replay(struct store *store, const struct query_opts *opts, double speed,
		 bool (*row)(void *arg, const struct table *table, const void *row),
		 bool (*sleep)(void *arg, uint64_t ns), void *arg, struct query_stats *ret_stats, struct err *err);

/*
 * Members of an open object: how far back each table reaches, with the gaps in the range (to_ns 0: all);
 * what the recorder reports, with the partitions. On failure the object is half written.
 */
int query_horizon_json(struct store *store, uint64_t from_ns, uint64_t to_ns, struct arena *arena,
		       struct json *json, struct err *err);
int query_status_json(struct store *store, struct arena *arena, struct json *json, struct err *err);
/* A call in full: its row, what its protocol makes of its bytes, which of them are there. */
void query_call_json(const struct call_row *call, const struct query_bytes *bytes, size_t body_max, struct json *json);

#endif
