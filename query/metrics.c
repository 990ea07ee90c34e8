/* /metrics: Prometheus' text format, from the recorder's status, the store and the server. */
#include <inttypes.h>

#include "base/clock.h"
#include "query/api.h"
#include "schema/counters.h"

static void help(struct wr *out, const char *name, const char *type, const char *text)
{
	wr_printf(out, "# HELP tapedeck_%s %s\n# TYPE tapedeck_%s %s\n", name, text, name, type);
}

static void one(struct wr *out, const char *name, const char *type, const char *text,
		uint64_t value)
{
	help(out, name, type, text);
	wr_printf(out, "tapedeck_%s %" PRIu64 "\n", name, value);
}

static void seconds(struct wr *out, const char *name, const char *text, uint64_t ns)
{
	help(out, name, "gauge", text);
	wr_printf(out, "tapedeck_%s %.9f\n", name, (double)ns / 1e9);
}

/* ---- recorder ---- */

static void undecoded(struct wr *out, const struct json_val *reasons)
{
	const char *reason;

	help(out, "frames_undecoded_reason_total", "counter",
	     "frames not decoded to the transport header");
	for (size_t i = 0; i < json_count(reasons) && i < 100; i++) {
		const struct json_val *value = json_member(reasons, i, &reason);

		wr_printf(out,
			  "tapedeck_frames_undecoded_reason_total{reason=\"%s\"} %" PRId64 "\n",
			  reason, json_get_i64(value, 0));
	}
}

static void recorder(struct wr *out, struct store *store, struct arena *arena)
{
	struct json_doc *doc = NULL;
	const struct json_val *counters;
	struct view text;

	if (store_status(store, "recorder", arena, &text, NULL) < 0 ||
	    json_parse(text, &doc, NULL) < 0)
		return;
	counters = json_get(json_root(doc), "counters");
	for (int i = 0; i < COUNTER_COUNT; i++) {
		const struct json_val *value = json_get(counters, counter_infos[i].name);

		if (value)
			one(out, counter_infos[i].name,
			    counter_infos[i].kind == COUNTER_TOTAL ? "counter" : "gauge",
			    counter_infos[i].text, (uint64_t)json_get_i64(value, 0));
	}
	undecoded(out, json_get(json_root(doc), "undecoded"));
	json_doc_free(doc);
}

/* ---- store ---- */

static void horizon_metrics(struct wr *out, const struct store_horizon *horizon)
{
	one(out, "recorder_up", "gauge", "1 while a recorder holds the store",
	    horizon->writer_alive);
	seconds(out, "last_commit_timestamp_seconds", "when rows were committed last",
		horizon->last_commit_ns);
	seconds(out, "newest_timestamp_seconds", "end of what is held", horizon->newest_ns);
	help(out, "oldest_timestamp_seconds", "gauge", "oldest instant held");
	for (int t = 1; t <= TABLE_MAX; t++)
		if (horizon->oldest_ns[t] != UINT64_MAX)
			wr_printf(out, "tapedeck_oldest_timestamp_seconds{table=\"%s\"} %.9f\n",
				  table_get((enum table_id)t)->name,
				  (double)horizon->oldest_ns[t] / 1e9);
	help(out, "store_bytes", "gauge", "bytes on disk");
	wr_printf(out, "tapedeck_store_bytes{kind=\"data\"} %" PRIu64 "\n", horizon->data_bytes);
	wr_printf(out, "tapedeck_store_bytes{kind=\"packets\"} %" PRIu64 "\n",
		  horizon->packet_bytes);
	one(out, "store_partitions", "gauge", "partitions held", horizon->parts);
}

static void rows_metrics(struct wr *out, struct store *store)
{
	uint64_t rows[TABLE_MAX + 1] = { 0 }, packets = 0;
	struct store_view *view;

	if (store_view_open(store, 0, UINT64_MAX, &view, NULL) < 0)
		return;
	for (size_t i = 0; i < store_view_parts(view); i++) {
		const struct store_part_info *part = store_view_part(view, i);

		for (int t = 1; t <= TABLE_MAX; t++)
			rows[t] += part->rows[t];
		packets += part->has_packets ? part->packets : 0;
	}
	store_view_close(view);
	help(out, "store_rows", "gauge", "rows held");
	for (int t = 1; t <= TABLE_MAX; t++)
		wr_printf(out, "tapedeck_store_rows{table=\"%s\"} %" PRIu64 "\n",
			  table_get((enum table_id)t)->name,
			  t == TABLE_PACKETS ? packets : rows[t]);
}

static void cold_metrics(struct wr *out, struct store *store)
{
	struct store_repacked total;
	uint64_t waiting, waiting_bytes;

	if (store_repacked(store, clock_now_ns(), &total, &waiting, &waiting_bytes, NULL) < 0)
		return;
	one(out, "repacked_partitions_total", "counter", "cold partitions packed again", total.parts);
	one(out, "repacked_left_total", "counter", "cold partitions that packing again gained too little of", total.left);
	one(out, "repacked_bytes_before_total", "counter", "rows and indexes of those packed again, before it", total.bytes_before);
	one(out, "repacked_bytes_after_total", "counter", "and behind it", total.bytes_after);
	one(out, "repack_waiting_partitions", "gauge", "cold partitions that wait to be packed again", waiting);
}

/* ---- server ---- */

static void requests(struct wr *out, const struct serve *serve)
{
	help(out, "http_requests_total", "counter", "requests answered, by route and status");
	for (size_t r = 0; r <= serve->routes_count; r++) {
		const struct http_route_stats *stats = http_server_route_stats(serve->http, r);
		const char *path = r < serve->routes_count ? serve->routes[r].path : "none";

		for (size_t s = 0; s < HTTP_STATUS_SLOTS; s++) {
			uint64_t n = atomic_load(&stats->by_status[s]);

			if (!n)
				continue;
			wr_printf(out, "tapedeck_http_requests_total{route=\"%s\",code=\"", path);
			if (http_statuses[s])
				wr_printf(out, "%d\"} %" PRIu64 "\n", http_statuses[s], n);
			else
				wr_printf(out, "other\"} %" PRIu64 "\n", n);
		}
	}
}

static void latencies(struct wr *out, const struct serve *serve)
{
	help(out, "http_request_duration_seconds", "histogram",
	     "from the head of the request to the end of the answer");
	for (size_t r = 0; r < serve->routes_count; r++) {
		const struct http_route_stats *stats = http_server_route_stats(serve->http, r);
		const char *path = serve->routes[r].path;
		uint64_t counts[HTTP_LATENCY_SLOTS], sum = 0, count = 0;

		for (size_t s = 0; s < HTTP_LATENCY_SLOTS; s++)
			count += counts[s] = atomic_load(&stats->by_latency[s]);
		if (!count)
			continue;
		for (size_t s = 0; s < HTTP_LATENCY_SLOTS - 1; s++)
			wr_printf(
				out,
				"tapedeck_http_request_duration_seconds_bucket{route=\"%s\",le=\"%g\"} %" PRIu64
				"\n",
				path, http_latency_bounds[s], sum += counts[s]);
		wr_printf(
			out,
			"tapedeck_http_request_duration_seconds_bucket{route=\"%s\",le=\"+Inf\"} %" PRIu64
			"\n",
			path, count);
		wr_printf(out, "tapedeck_http_request_duration_seconds_sum{route=\"%s\"} %.9f\n",
			  path, (double)atomic_load(&stats->latency_ns_sum) / 1e9);
		wr_printf(out,
			  "tapedeck_http_request_duration_seconds_count{route=\"%s\"} %" PRIu64
			  "\n",
			  path, count);
	}
}

static void server(struct wr *out, const struct serve *serve)
{
	const struct http_stats *stats = http_server_stats(serve->http);

	help(out, "build_info", "gauge", "version of the server");
	wr_printf(out, "tapedeck_build_info{version=\"%s\"} 1\n", serve->version);
	seconds(out, "server_start_timestamp_seconds", "when the server started", serve->start_ns);
	one(out, "http_connections", "gauge", "open connections", atomic_load(&stats->connections));
	one(out, "http_connections_total", "counter", "connections accepted",
	    atomic_load(&stats->connections_total));
	one(out, "http_connections_refused_total", "counter",
	    "connections turned away: too many were open",
	    atomic_load(&stats->connections_refused_total));
	one(out, "http_requests_running", "gauge", "requests that wait or run",
	    atomic_load(&stats->running));
	one(out, "http_requests_cancelled_total", "counter", "requests whose client went away",
	    atomic_load(&stats->cancelled_total));
	one(out, "http_requests_busy_total", "counter",
	    "requests turned away: all threads were taken", atomic_load(&stats->busy_total));
	one(out, "http_sent_bytes_total", "counter", "bytes of answers",
	    atomic_load(&stats->sent_bytes_total));
	requests(out, serve);
	latencies(out, serve);
}

int api_metrics(void *ctx, struct http_request *req, struct err *err)
{
	struct wr *out = http_out(req);
	struct store_horizon horizon;
	struct store *store;
	bool open =
		serve_store(ctx, &store, NULL) >= 0 && store_horizon(store, &horizon, NULL) >= 0;

	(void)err;
	http_type(req, "text/plain; version=0.0.4; charset=utf-8");
	one(out, "store_open", "gauge", "1 while the store can be read", open);
	if (open) {
		recorder(out, store, &req->arena);
		horizon_metrics(out, &horizon);
		rows_metrics(out, store);
		cold_metrics(out, store);
	}
	server(out, ctx);
	return 0;
}
