/*
 * A day of a made-up cluster, the same for everybody: 500 pods of 60 services on
 * 20 nodes, 50 M flows and 20 M calls (times SCALE), Zipf paths, a day's rise and
 * fall, log-normal latency, three incidents. Seeded: the same numbers every time.
 *
 *   gen store DIR SCALE     rows and rollups into a sealed store
 *   gen flows|calls SCALE   the same rows as CSV on standard output
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ingest/rollup.h"
#include "store/store.h"
#include "tests/random.h"

#define PODS 500
#define SERVICES 60
#define NODES 20
#define PATHS 2000		/* templates of all services together */
#define FLOWS 50000000.0
#define CALLS 20000000.0
#define DAY_SECONDS 86400
#define T0 (1767225600ull * NS_PER_SEC)	/* 2026-01-01T00:00:00Z */
#define BATCH_ROWS 65536
#define DEGREE 6		/* services that a service calls */

static char pods[PODS][40], services[SERVICES][24], nodes[NODES][16], paths[PATHS][48], namespaces[6][16];
static struct ip pod_ip[PODS];
static double path_sum[PATHS], service_sum[SERVICES];

struct incident {
	unsigned from, to;	/* seconds of the day */
	unsigned service;
	double slower, errors;
};
static const struct incident incidents[] = {
	{ 9 * 3600 + 120, 9 * 3600 + 720, 7, 20, 0.30 },
	{ 14 * 3600, 14 * 3600 + 1800, 23, 6, 0.05 },
	{ 20 * 3600 + 600, 20 * 3600 + 660, 1, 50, 0.80 },
};

static double unit(struct random *random)
{
	return ((double)(random_u64(random) >> 11) + 0.5) / 9007199254740992.0;
}

/* exp of a normal number: Box and Muller. */
static double log_normal(struct random *random, double median, double sigma)
{
	double z = sqrt(-2 * log(unit(random))) * cos(6.283185307179586 * unit(random));

	return median * exp(sigma * z);
}

static unsigned pick(const double *sum, unsigned count, double at)
{
	unsigned low = 0, high = count - 1;

	at *= sum[count - 1];
	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (sum[mid] < at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void world_make(void)
{
	struct random random = { 20260101 };
	double sum = 0;

	for (unsigned i = 0; i < 6; i++)
		(void)snprintf(namespaces[i], sizeof(namespaces[i]), "team-%u", i);
	for (unsigned i = 0; i < NODES; i++)
		(void)snprintf(nodes[i], sizeof(nodes[i]), "node-%02u", i);
	for (unsigned i = 0; i < SERVICES; i++) {
		(void)snprintf(services[i], sizeof(services[i]), "service-%02u", i);
		service_sum[i] = sum += 1.0 / (1 + i % 20);
	}
	sum = 0;
	for (unsigned i = 0; i < PATHS; i++) {
		(void)snprintf(paths[i], sizeof(paths[i]), "/api/v%u/resource-%03u/{id}", 1 + i % 3, i);
		path_sum[i] = sum += 1.0 / (1 + i);	/* Zipf, exponent 1 */
	}
	for (unsigned i = 0; i < PODS; i++) {
		(void)snprintf(pods[i], sizeof(pods[i]), "service-%02u-%08x-%05x", i % SERVICES,
			       (unsigned)random_below(&random, UINT32_MAX), (unsigned)random_below(&random, 1 << 20));
		pod_ip[i] = ip_from_v4(0x0000f40a | i << 24 | (i / 256) << 16);
	}
}

/* Between 0.3 at four in the night and 1.7 at four in the afternoon. */
static double day_rate(unsigned second)
{
	return 1 + 0.7 * sin(6.283185307179586 * ((double)second / DAY_SECONDS - 10.0 / 24));
}

/* ---- one stream of rows in order of time ---- */

struct stream {
	struct random random;
	double total, due;		/* rows of the day; of them due but not made */
	unsigned second, in_second, of_second;
	uint64_t counter;
};

/* Start of the next row; false at the end of the day. */
static bool stream_next(struct stream *s, uint64_t *ret_ns)
{
	while (s->in_second == s->of_second) {
		if (s->second == DAY_SECONDS)
			return false;
		s->due += s->total / DAY_SECONDS * day_rate(s->second);
		s->of_second = (unsigned)s->due;
		s->due -= s->of_second;
		s->in_second = 0;
		s->second++;
	}
	*ret_ns = T0 + (s->second - 1) * NS_PER_SEC +
		  (uint64_t)((s->in_second + unit(&s->random)) / s->of_second * (double)NS_PER_SEC);
	s->in_second++;
	s->counter++;
	return true;
}

struct ends {
	unsigned src, dst, service;
};

static struct ends ends_pick(struct random *random)
{
	struct ends e;
	unsigned caller;

	e.src = (unsigned)random_below(random, PODS);
	caller = e.src % SERVICES;
	e.service = (pick(service_sum, SERVICES, unit(random)) / (SERVICES / DEGREE) * (SERVICES / DEGREE) + caller) % SERVICES;
	e.dst = e.service + SERVICES * (unsigned)random_below(random, PODS / SERVICES);
	return e;
}

static const struct incident *incident_at(unsigned second, unsigned service)
{
	for (size_t i = 0; i < sizeof(incidents) / sizeof(incidents[0]); i++)
		if (incidents[i].service == service && second >= incidents[i].from && second < incidents[i].to)
			return &incidents[i];
	return NULL;
}

#define SET_ENDS(TABLE, row, e)									\
	do {											\
		ROW_SET(TABLE, row, src_ip, pod_ip[(e).src]);					\
		ROW_SET(TABLE, row, dst_ip, pod_ip[(e).dst]);					\
		ROW_SET(TABLE, row, dst_port, (uint16_t)(8000 + (e).service));			\
		ROW_SET(TABLE, row, src_pod, view_str(pods[(e).src]));				\
		ROW_SET(TABLE, row, dst_pod, view_str(pods[(e).dst]));				\
		ROW_SET(TABLE, row, src_workload, view_str(services[(e).src % SERVICES]));	\
		ROW_SET(TABLE, row, dst_workload, view_str(services[(e).service]));		\
		ROW_SET(TABLE, row, dst_service, view_str(services[(e).service]));		\
		ROW_SET(TABLE, row, src_namespace, view_str(namespaces[(e).src % SERVICES % 6]));	\
		ROW_SET(TABLE, row, dst_namespace, view_str(namespaces[(e).service % 6]));	\
		ROW_SET(TABLE, row, src_node, view_str(nodes[(e).src % NODES]));		\
		ROW_SET(TABLE, row, dst_node, view_str(nodes[(e).dst % NODES]));		\
	} while (0)

static bool flow_next(struct stream *s, struct flow_row *row, struct ends *ret_ends)
{
	struct random *random = &s->random;
	struct ends e;
	uint64_t rtt, ack_rtt, length;
	bool tcp;

	memset(row, 0, sizeof(*row));
	if (!stream_next(s, &row->start_ns))
		return false;
	*ret_ends = e = ends_pick(random);
	tcp = random_below(random, 10) < 8;
	rtt = (uint64_t)log_normal(random, 180e3, 0.5);
	ack_rtt = (uint64_t)log_normal(random, 30e3, 0.4);
	length = (uint64_t)log_normal(random, tcp ? 40e6 : 1e6, 1.2);
	row->first_ns = row->start_ns;
	row->end_ns = row->start_ns + length;
	row->id = schema_id(row->start_ns, s->counter);
	row->state = STATE_closed;
	row->vantage = VANTAGE_client;
	row->view = VIEW_first;
	row->source = 1;
	SET_ENDS(FLOW, row, e);
	ROW_SET(FLOW, row, src_port, (uint16_t)(32768 + random_below(random, 28232)));
	ROW_SET(FLOW, row, proto, tcp ? PROTO_tcp : PROTO_udp);
	ROW_SET(FLOW, row, l7, tcp ? L7_http : L7_dns);
	ROW_SET(FLOW, row, end_reason, tcp ? FLOW_END_fin : FLOW_END_idle);
	row->tx_packets = tcp ? 5 + (uint64_t)log_normal(random, 3, 0.8) : 1;
	row->rx_packets = tcp ? 4 + (uint64_t)log_normal(random, 4, 1.0) : 1;
	row->tx_goodput_bytes = (uint64_t)log_normal(random, tcp ? 600 : 40, 0.7);
	row->rx_goodput_bytes = (uint64_t)log_normal(random, tcp ? 3000 : 110, 1.1);
	row->tx_bytes = row->tx_goodput_bytes + row->tx_packets * 66;
	row->rx_bytes = row->rx_goodput_bytes + row->rx_packets * 66;
	if (!tcp)
		return true;
	ROW_SET(FLOW, row, completeness, random_below(random, 50) ? 31 : 39);
	ROW_SET(FLOW, row, syn_rtt_ns, rtt);
	ROW_SET(FLOW, row, ack_rtt_ns, ack_rtt);
	ROW_SET(FLOW, row, handshake_ns, rtt + ack_rtt);
	ROW_SET(FLOW, row, tx_retransmits, random_below(random, 60) ? 0 : 1 + (uint32_t)random_below(random, 3));
	ROW_SET(FLOW, row, rx_retransmits, random_below(random, 60) ? 0 : 1 + (uint32_t)random_below(random, 3));
	return true;
}

static bool call_next(struct stream *s, struct call_row *row, char trace[33], struct ends *ret_ends)
{
	static const char *const methods[] = { "GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE" };
	struct random *random = &s->random;
	const struct incident *incident;
	struct ends e;
	unsigned path, status = 200;
	double latency, errors;

	memset(row, 0, sizeof(*row));
	if (!stream_next(s, &row->start_ns))
		return false;
	*ret_ends = e = ends_pick(random);
	path = pick(path_sum, PATHS, unit(random));
	incident = incident_at(s->second - 1, e.service);
	latency = log_normal(random, 2e6 * (1 + e.service % 9), 0.9) * (incident ? incident->slower : 1);
	errors = incident ? incident->errors : 0.002;
	if (unit(random) < errors)
		status = 500 + (unsigned)random_below(random, 4);
	else if (random_below(random, 40) == 0)
		status = random_below(random, 3) ? 404 : 403;
	row->end_ns = row->start_ns + (uint64_t)latency;
	row->id = schema_id(row->start_ns, s->counter);
	row->flow_id = schema_id(row->start_ns - row->start_ns % (NS_PER_SEC / 2), s->counter / 3);
	row->vantage = VANTAGE_client;
	row->end_reason = CALL_END_complete;
	row->l7 = L7_http;
	row->source = 1;
	row->status_class = status < 400 ? CLASS_ok : status < 500 ? CLASS_client_error : CLASS_server_error;
	SET_ENDS(CALL, row, e);
	ROW_SET(CALL, row, src_port, (uint16_t)(32768 + random_below(random, 28232)));
	ROW_SET(CALL, row, proto, PROTO_tcp);
	ROW_SET(CALL, row, method, view_str(methods[random_below(random, 8)]));
	ROW_SET(CALL, row, target_template, view_str(paths[path]));
	ROW_SET(CALL, row, status, (uint16_t)status);
	ROW_SET(CALL, row, latency_ns, (uint64_t)latency);
	ROW_SET(CALL, row, ttfb_ns, (uint64_t)(latency * 0.9));
	ROW_SET(CALL, row, req_bytes, (uint64_t)log_normal(random, 400, 0.4));
	ROW_SET(CALL, row, rsp_bytes, (uint64_t)log_normal(random, 1800, 1.2));
	(void)snprintf(trace, 33, "%016" PRIx64 "%016" PRIx64, random_u64(random), random_u64(random));
	ROW_SET(CALL, row, trace_id, view_make(trace, 32));
	return true;
}

/* ---- into a store ---- */

static void die(const char *what, const struct err *err)
{
	(void)fprintf(stderr, "gen: %s: %s\n", what, err ? err->text : "out of memory");
	exit(1);
}

static struct rollup_edge edge_make(const struct ends *e, uint8_t proto, uint8_t l7)
{
	return (struct rollup_edge){
		.src_workload = view_str(services[e->src % SERVICES]), .src_namespace = view_str(namespaces[e->src % SERVICES % 6]),
		.dst_workload = view_str(services[e->service]), .dst_namespace = view_str(namespaces[e->service % 6]),
		.dst_service = view_str(services[e->service]), .dst_port = (uint16_t)(8000 + e->service), .has_port = true,
		.proto = proto, .l7 = l7,
	};
}

static void batch_write(struct store_writer *writer, struct batch *batch)
{
	struct err err;

	for (int t = 1; t <= TABLE_MAX; t++)
		if (batch->rows[t].count &&
		    store_write_rows(writer, (enum table_id)t, batch->rows[t].at, batch->rows[t].count, &err) < 0)
			die("rows", &err);
	batch_reset(batch);
}

static void flow_roll(struct rollup *rollup, struct batch *batch, const struct flow_row *row, const struct ends *e)
{
	struct rollup_edge edge = edge_make(e, row->proto, row->l7);
	struct rollup_counts counts = {
		.flows = 1, .tx_packets = row->tx_packets, .rx_packets = row->rx_packets, .tx_bytes = row->tx_bytes,
		.rx_bytes = row->rx_bytes, .retransmits = row->tx_retransmits + row->rx_retransmits,
	};
	struct rollup_times times = { .has = { false } };

	if (ROW_HAS(FLOW, row, handshake_ns))
		rollup_time_set(&times, ROLLUP_HANDSHAKE, row->handshake_ns);
	rollup_add(rollup, batch, row->start_ns, &edge, &counts, &times, NULL);
}

static void call_roll(struct rollup *rollup, struct batch *batch, const struct call_row *row, const struct ends *e)
{
	struct rollup_edge edge = edge_make(e, row->proto, row->l7);
	struct rollup_counts counts = {
		.calls = 1, .client_errors = row->status_class == CLASS_client_error,
		.server_errors = row->status_class == CLASS_server_error,
	};
	struct rollup_times times = { .has = { false } };

	rollup_time_set(&times, ROLLUP_LATENCY, row->latency_ns);
	rollup_time_set(&times, ROLLUP_TTFB, row->ttfb_ns);
	rollup_add(rollup, batch, row->start_ns, &edge, &counts, &times, NULL);
}

static void store_make(const char *dir, struct stream *flows, struct stream *calls)
{
	const struct store_writer_opts opts = { .name = "bench", .group_gid = -1, .bulk = true, .hot_partitions_max = 26 };
	struct rollup *rollup = rollup_new(0, NULL);
	struct batch *batch = batch_new();
	struct store_writer *writer;
	struct flow_row flow;
	struct call_row call;
	struct ends flow_ends, call_ends;
	char trace[33];
	struct err err;
	bool more_flows, more_calls;
	unsigned rows = 0;

	if (!rollup || !batch)
		die("start", NULL);
	if (store_writer_open(dir, &opts, &writer, &err) < 0)
		die(dir, &err);
	more_flows = flow_next(flows, &flow, &flow_ends);
	more_calls = call_next(calls, &call, trace, &call_ends);
	while (more_flows || more_calls) {
		uint64_t now;

		if (more_flows && (!more_calls || flow.start_ns <= call.start_ns)) {
			now = flow.start_ns;
			batch_add(batch, TABLE_FLOWS, &flow);
			flow_roll(rollup, batch, &flow, &flow_ends);
			more_flows = flow_next(flows, &flow, &flow_ends);
		} else {
			now = call.start_ns;
			batch_add(batch, TABLE_CALLS, &call);
			call_roll(rollup, batch, &call, &call_ends);
			more_calls = call_next(calls, &call, trace, &call_ends);
		}
		if (++rows % BATCH_ROWS == 0) {
			rollup_tick(rollup, batch, now);
			batch_write(writer, batch);
		}
	}
	rollup_flush(rollup, batch);
	batch_write(writer, batch);
	if (store_writer_close(writer, true, &err) < 0)
		die("close", &err);
	batch_free(batch);
	rollup_free(rollup);
}

/* ---- as CSV ---- */

#define CSV_ENDS(row)										\
	(int)(row).src_pod.len, (const char *)(row).src_pod.at, (int)(row).dst_pod.len, (const char *)(row).dst_pod.at,	\
	(int)(row).src_workload.len, (const char *)(row).src_workload.at,			\
	(int)(row).dst_workload.len, (const char *)(row).dst_workload.at,			\
	(int)(row).dst_service.len, (const char *)(row).dst_service.at,				\
	(int)(row).src_namespace.len, (const char *)(row).src_namespace.at,			\
	(int)(row).dst_namespace.len, (const char *)(row).dst_namespace.at,			\
	(int)(row).src_node.len, (const char *)(row).src_node.at, (int)(row).dst_node.len, (const char *)(row).dst_node.at
#define CSV_ENDS_FMT "%.*s,%.*s,%.*s,%.*s,%.*s,%.*s,%.*s,%.*s,%.*s"
#define CSV_IP(ip) (ip).b[12], (ip).b[13], (ip).b[14], (ip).b[15]

static void flows_csv(struct stream *s)
{
	struct flow_row row;
	struct ends e;

	puts("start_ns,end_ns,id,state,vantage,view,source,src_ip,dst_ip,src_port,dst_port,proto,l7,end_reason,src_pod,dst_pod,"
	     "src_workload,dst_workload,dst_service,src_namespace,dst_namespace,src_node,dst_node,tx_packets,rx_packets,"
	     "tx_goodput_bytes,rx_goodput_bytes,tx_bytes,rx_bytes,completeness,syn_rtt_ns,ack_rtt_ns,handshake_ns,"
	     "tx_retransmits,rx_retransmits");
	while (flow_next(s, &row, &e)) {
		printf("%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u,%u,%u,%" PRIu64 ",%u.%u.%u.%u,%u.%u.%u.%u,%u,%u,%u,%u,%u,"
		       CSV_ENDS_FMT ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64,
		       row.start_ns, row.end_ns, row.id, row.state, row.vantage, row.view, row.source, CSV_IP(row.src_ip),
		       CSV_IP(row.dst_ip), row.src_port, row.dst_port, row.proto, row.l7, row.end_reason, CSV_ENDS(row),
		       row.tx_packets, row.rx_packets, row.tx_goodput_bytes, row.rx_goodput_bytes, row.tx_bytes, row.rx_bytes);
		if (ROW_HAS(FLOW, &row, completeness))
			printf(",%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u,%u\n", row.completeness, row.syn_rtt_ns,
			       row.ack_rtt_ns, row.handshake_ns, row.tx_retransmits, row.rx_retransmits);
		else
			puts(",,,,,,");
	}
}

static void calls_csv(struct stream *s)
{
	struct call_row row;
	struct ends e;
	char trace[33];

	puts("start_ns,end_ns,id,flow_id,vantage,end_reason,l7,source,status_class,src_ip,dst_ip,src_port,dst_port,proto,src_pod,"
	     "dst_pod,src_workload,dst_workload,dst_service,src_namespace,dst_namespace,src_node,dst_node,method,target_template,"
	     "status,latency_ns,ttfb_ns,req_bytes,rsp_bytes,trace_id");
	while (call_next(s, &row, trace, &e))
		printf("%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u,%u,%u,%" PRIu64 ",%u,%u.%u.%u.%u,%u.%u.%u.%u,%u,%u,%u,"
		       CSV_ENDS_FMT ",%.*s,%.*s,%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%s\n",
		       row.start_ns, row.end_ns, row.id, row.flow_id, row.vantage, row.end_reason, row.l7, row.source,
		       row.status_class, CSV_IP(row.src_ip), CSV_IP(row.dst_ip), row.src_port, row.dst_port, row.proto,
		       CSV_ENDS(row), (int)row.method.len, (const char *)row.method.at, (int)row.target_template.len,
		       (const char *)row.target_template.at, row.status, row.latency_ns, row.ttfb_ns, row.req_bytes,
		       row.rsp_bytes, trace);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	bool store = strcmp(what, "store") == 0;
	double scale = argc > 2 + store ? strtod(argv[2 + store], NULL) : 0;
	struct stream flows = { .random = { 1 }, .total = FLOWS * scale }, calls = { .random = { 2 }, .total = CALLS * scale };

	if (scale <= 0 || scale > 10) {
		(void)fprintf(stderr, "usage: gen store DIR SCALE | gen flows|calls SCALE   (SCALE 1: 50 M flows, 20 M calls)\n");
		return 2;
	}
	world_make();
	if (store)
		store_make(argv[2], &flows, &calls);
	else if (strcmp(what, "flows") == 0)
		flows_csv(&flows);
	else if (strcmp(what, "calls") == 0)
		calls_csv(&calls);
	else
		return 2;
	return 0;
}
