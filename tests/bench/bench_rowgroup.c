/*
 * Speed and size of row groups of flows that look like a small cluster's:
 *
 *   make && gcc -O2 -I. -o /tmp/bench_rowgroup tests/bench/bench_rowgroup.c build/release/libtapedeck.a \
 *       -lzstd -llz4 -lxxhash -lm && /tmp/bench_rowgroup [groups]
 *
 * Rows are made before the clock runs. Columns of a group are listed with --columns.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/rowgroup.h"
#include "tests/random.h"

#define PODS 200
#define ROWS RG_ROWS_MAX

static char pod_names[PODS][48], container_names[PODS][65], workload_names[PODS / 5][24];
static const char *const namespaces[] = { "shop", "payments", "kube-system", "monitoring" };
static const char *const nodes[] = { "node-a", "node-b", "node-c" };
static const char *const comms[] = { "nginx", "java", "redis-server", "envoy", "python3" };

static void names_make(struct random *random)
{
	for (unsigned i = 0; i < PODS / 5; i++)
		(void)snprintf(workload_names[i], sizeof(workload_names[i]), "workload-%u", i);
	for (unsigned i = 0; i < PODS; i++) {
		(void)snprintf(pod_names[i], sizeof(pod_names[i]), "workload-%u-%08x-%05x", i / 5,
			       (unsigned)random_below(random, UINT32_MAX), (unsigned)random_below(random, 1 << 20));
		for (unsigned c = 0; c < 64; c++)
			container_names[i][c] = "0123456789abcdef"[random_below(random, 16)];
	}
}

/* Heavy-tailed: most are small. */
static uint64_t tail(struct random *random, uint64_t typical)
{
	uint64_t v = typical / 2 + random_below(random, typical);

	while (random_below(random, 4) == 0 && v < typical << 12)
		v *= 2;
	return v;
}

static uint64_t skewed(struct random *random, uint64_t limit)
{
	uint64_t a = random_below(random, limit), b = random_below(random, limit);

	return a < b ? a : b;
}

static void ends_fill(struct random *random, struct flow_row *row)
{
	unsigned src = (unsigned)skewed(random, PODS), dst = (unsigned)skewed(random, PODS);

	ROW_SET(FLOW, row, src_ip, ip_from_v4(0x0000f40a | src << 24 | (src % 3) << 16));
	ROW_SET(FLOW, row, dst_ip, ip_from_v4(0x0000f40a | dst << 24 | (dst % 3) << 16));
	ROW_SET(FLOW, row, src_port, (uint16_t)(32768 + random_below(random, 28232)));
	ROW_SET(FLOW, row, dst_port, (uint16_t)(8000 + dst / 5));
	ROW_SET(FLOW, row, src_pid, 1000 + src);
	ROW_SET(FLOW, row, src_pid_start_ns, 1700000000000000000ull + src * 1234567890123ull);
	ROW_SET(FLOW, row, src_comm, view_str(comms[src % 5]));
	ROW_SET(FLOW, row, src_container, view_str(container_names[src]));
	ROW_SET(FLOW, row, src_pod, view_str(pod_names[src]));
	ROW_SET(FLOW, row, src_namespace, view_str(namespaces[src % 4]));
	ROW_SET(FLOW, row, src_workload, view_str(workload_names[src / 5]));
	ROW_SET(FLOW, row, src_node, view_str(nodes[src % 3]));
	if (dst % 3 == 0) {	/* on this node, too */
		ROW_SET(FLOW, row, dst_pid, 1000 + dst);
		ROW_SET(FLOW, row, dst_comm, view_str(comms[dst % 5]));
	}
	ROW_SET(FLOW, row, dst_pod, view_str(pod_names[dst]));
	ROW_SET(FLOW, row, dst_namespace, view_str(namespaces[dst % 4]));
	ROW_SET(FLOW, row, dst_workload, view_str(workload_names[dst / 5]));
	ROW_SET(FLOW, row, dst_node, view_str(nodes[dst % 3]));
}

static void tcp_fill(struct random *random, struct flow_row *row)
{
	uint64_t syn_rtt = tail(random, 150000), ack_rtt = tail(random, 30000);

	ROW_SET(FLOW, row, completeness, random_below(random, 20) ? 31 : 39);
	ROW_SET(FLOW, row, syn_ns, row->start_ns);
	ROW_SET(FLOW, row, synack_ns, row->syn_ns + syn_rtt);
	ROW_SET(FLOW, row, ack_ns, row->synack_ns + ack_rtt);
	ROW_SET(FLOW, row, syn_rtt_ns, syn_rtt);
	ROW_SET(FLOW, row, ack_rtt_ns, ack_rtt);
	ROW_SET(FLOW, row, handshake_ns, syn_rtt + ack_rtt);
	ROW_SET(FLOW, row, first_payload_ns, row->ack_ns + tail(random, 20000));
	ROW_SET(FLOW, row, first_response_ns, row->first_payload_ns + tail(random, 3000000));
	ROW_SET(FLOW, row, tx_retransmits, random_below(random, 30) ? 0 : (uint32_t)random_below(random, 5));
	ROW_SET(FLOW, row, rx_retransmits, random_below(random, 30) ? 0 : (uint32_t)random_below(random, 5));
	ROW_SET(FLOW, row, tx_out_of_order, 0);
	ROW_SET(FLOW, row, rx_out_of_order, 0);
	ROW_SET(FLOW, row, tx_resets, random_below(random, 20) == 0);
	ROW_SET(FLOW, row, rx_resets, 0);
	ROW_SET(FLOW, row, tx_fins, 1);
	ROW_SET(FLOW, row, rx_fins, 1);
	ROW_SET(FLOW, row, tx_zero_windows, 0);
	ROW_SET(FLOW, row, rx_zero_windows, 0);
	ROW_SET(FLOW, row, tx_dup_acks, random_below(random, 50) == 0);
	ROW_SET(FLOW, row, rx_dup_acks, 0);
	ROW_SET(FLOW, row, tx_mss, 1460);
	ROW_SET(FLOW, row, rx_mss, 1460);
	ROW_SET(FLOW, row, tx_window_scale, 7);
	ROW_SET(FLOW, row, rx_window_scale, 7);
	ROW_SET(FLOW, row, rtt_samples, (uint32_t)row->tx_packets / 2);
	ROW_SET(FLOW, row, rtt_min_ns, syn_rtt - syn_rtt / 4);
	ROW_SET(FLOW, row, rtt_max_ns, syn_rtt + tail(random, 200000));
	ROW_SET(FLOW, row, rtt_sum_ns, row->rtt_samples * syn_rtt + random_below(random, 100000));
}

static void row_fill(struct random *random, uint64_t now_ns, uint64_t counter, struct flow_row *row)
{
	bool tcp = random_below(random, 10) != 0;

	memset(row, 0, sizeof(*row));
	row->start_ns = row->first_ns = now_ns;
	row->end_ns = now_ns + tail(random, 5000000);
	row->id = schema_id(now_ns, counter);
	row->state = STATE_closed;
	row->vantage = VANTAGE_client;
	row->view = VIEW_first;
	row->source = 7;
	ROW_SET(FLOW, row, end_reason, tcp ? FLOW_END_fin : FLOW_END_idle);
	ROW_SET(FLOW, row, proto, tcp ? PROTO_tcp : PROTO_udp);
	ROW_SET(FLOW, row, l7, tcp ? L7_http : L7_dns);
	ROW_SET(FLOW, row, netns, 4026531840u + (uint32_t)random_below(random, 20));
	ends_fill(random, row);
	row->tx_packets = tcp ? 5 + tail(random, 4) : 1;
	row->rx_packets = tcp ? 5 + tail(random, 6) : 1;
	row->tx_goodput_bytes = tail(random, tcp ? 400 : 40);
	row->rx_goodput_bytes = tail(random, tcp ? 4000 : 120);
	row->tx_bytes = row->tx_goodput_bytes + row->tx_packets * 66;
	row->rx_bytes = row->rx_goodput_bytes + row->rx_packets * 66;
	if (tcp)
		tcp_fill(random, row);
}

static const struct flow_row *sorted_rows;

/* As sealing sorts: minute, destination workload, port, source workload, time. */
static int cmp_sealed(const void *a, const void *b)
{
	const struct flow_row *x = &sorted_rows[*(const uint32_t *)a], *y = &sorted_rows[*(const uint32_t *)b];
	int rc = view_cmp(x->dst_workload, y->dst_workload);

	if (!rc)
		rc = x->dst_port - y->dst_port;
	if (!rc)
		rc = view_cmp(x->src_workload, y->src_workload);
	return rc ? rc : (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

static void columns_print(const struct rg *rg)
{
	struct rg_chunk_info info;

	for (uint32_t i = 0; rg_chunk_info(rg, i, &info); i++) {
		const struct col *col = table_col_id(rg->table, info.col_id);

		printf("    %-20s %-7s %-5s %8zu %8zu  %6.2f bits/row\n", col ? col->name : "(nulls)", info.encoding,
		       info.codec, info.plain_bytes, info.stored_bytes, info.stored_bytes * 8.0 / rg->zone.rows);
	}
}

static double seconds_since(uint64_t start_ns)
{
	return (double)(clock_mono_ns() - start_ns) / 1e9;
}

static void run(const struct flow_row *rows, const uint32_t *order, enum rg_codec codec, const char *name,
		unsigned groups, bool columns)
{
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_FLOWS));
	double add = 0, write = 0, decode = 0, ints = 0, rows_back = 0;
	struct arena arena;
	struct err err = { 0 };
	uint64_t start;
	struct wr out;
	struct rg rg;
	void *back;

	arena_init(&arena, 0);
	wr_init(&out, 0);
	for (unsigned group = 0; group < groups; group++) {
		rg_builder_reset(builder);
		wr_reset(&out);
		start = clock_mono_ns();
		for (uint32_t i = 0; i < ROWS; i++)
			if (rg_builder_add(builder, &rows[i]) < 0)
				exit(1);
		add += seconds_since(start);
		start = clock_mono_ns();
		if (rg_builder_write(builder, order, codec, 0, &out, &err) < 0 || rg_open(wr_view(&out), &rg, &err) < 0)
			exit(1);
		write += seconds_since(start);
		start = clock_mono_ns();
		for (size_t c = 0; c < rg.table->cols_count; c++) {
			struct rg_ints i;
			struct rg_bytes b;

			arena_reset(&arena);
			if (types[rg.table->cols[c].type].phys == PHYS_INT ?
				    rg_read_ints(&rg, &rg.table->cols[c], &arena, &i, &err) :
				    rg_read_bytes(&rg, &rg.table->cols[c], &arena, &b, &err))
				exit(1);
		}
		decode += seconds_since(start);
		start = clock_mono_ns();
		for (unsigned again = 0; again < 10; again++) {
			struct rg_ints i;

			arena_reset(&arena);
			if (rg_read_ints(&rg, &rg.table->cols[FLOW_tx_bytes], &arena, &i, &err))
				exit(1);
		}
		ints += seconds_since(start) / 10;
		arena_reset(&arena);
		start = clock_mono_ns();
		if (rg_read_rows(&rg, &arena, &back, &err))
			exit(1);
		rows_back += seconds_since(start);
		arena_reset(&arena);
	}
	printf("%-12s add %.2f, write %.2f, both %.2f M rows/s; %.1f bytes/row; all columns %.2f, tx_bytes %.0f, row "
	       "structs %.2f M rows/s\n",
	       name, ROWS * groups / add / 1e6, ROWS * groups / write / 1e6, ROWS * groups / (add + write) / 1e6,
	       (double)out.len / ROWS, ROWS * groups / decode / 1e6, ROWS * groups / ints / 1e6,
	       ROWS * groups / rows_back / 1e6);
	if (columns)
		columns_print(&rg);
	rg_builder_free(builder);
	arena_release(&arena);
	wr_release(&out);
}

int main(int argc, char **argv)
{
	bool columns = argc > 1 && strcmp(argv[argc - 1], "--columns") == 0;
	unsigned groups = argc > 1 && atoi(argv[1]) > 0 ? (unsigned)atoi(argv[1]) : 4;
	struct random random = random_new("bench_rowgroup");
	struct flow_row *rows = mem_array(ROWS, sizeof(*rows));
	uint32_t *order = mem_array(ROWS, sizeof(*order));
	uint64_t now_ns = 1700000000000000000ull;

	if (!rows || !order)
		return 1;
	names_make(&random);
	for (uint32_t i = 0; i < ROWS; i++) {
		now_ns += random_below(&random, 200000);	/* 10,000 flows a second */
		row_fill(&random, now_ns, i, &rows[i]);
		order[i] = i;
	}
	sorted_rows = rows;
	qsort(order, ROWS, sizeof(*order), cmp_sealed);
	printf("%u groups of %u rows of %zu bytes, %d columns\n", groups, ROWS, sizeof(*rows), FLOW_COLS);
	run(rows, NULL, RG_CODEC_NONE, "none", groups, columns);
	run(rows, NULL, RG_CODEC_LZ4, "lz4", groups, columns);
	run(rows, order, RG_CODEC_ZSTD, "zstd sorted", groups, columns);
	mem_free(rows);
	mem_free(order);
	return 0;
}
