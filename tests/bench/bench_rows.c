/*
 * Rows that are ready, into the hot tier of a store: what the writer's thread does with calls and flows, commits
 * included, one every COMMIT_ROWS. One core: the CPU time of the process counts, whatever else the machine does.
 *
 * usage: bench_rows DIR [ROWS]          DIR is made, ROWS (2,000,000) of each table
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "schema/schema.h"
#include "store/store.h"
#include "tests/random.h"

#define BATCH_ROWS 512u	/* as the recorder's batches come under load: they stay in the caches */
#define KINDS 1024u	/* distinct rows that are used in turn, with times and ids of their own */
#define COMMIT_ROWS 262144u
#define PATHS 300u
#define PODS 40u

static char paths[PATHS][48], pods[PODS][32], traces[KINDS][36];

static void die(const char *what, const struct err *err)
{
	fprintf(stderr, "bench_rows: %s: %s\n", what, err->text);
	exit(1);
}

static double cpu_seconds(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void make_texts(void)
{
	for (unsigned i = 0; i < PATHS; i++)
		(void)snprintf(paths[i], sizeof(paths[i]), "/api/v1/orders/%u/items", i);
	for (unsigned i = 0; i < PODS; i++)
		(void)snprintf(pods[i], sizeof(pods[i]), "checkout-7d9f8b6c5-%05x", i * 7919);
	for (unsigned i = 0; i < KINDS; i++)
		(void)snprintf(traces[i], sizeof(traces[i]), "%016llx%016llx", hash_u64(i) + 0ull, hash_u64(~(uint64_t)i) + 0ull);
}

#define SET_ENDS(prefix, row, src, dst)						\
	do {									\
		(row)->src_ip.b[15] = (uint8_t)(src);				\
		(row)->dst_ip.b[15] = (uint8_t)(dst);				\
		ROW_SET(prefix, row, src_port, (uint16_t)(32768 + random_below(random, 20000)));	\
		ROW_SET(prefix, row, dst_port, (uint16_t)(8000 + (dst) % 12));	\
		ROW_SET(prefix, row, src_pod, view_str(pods[src]));		\
		ROW_SET(prefix, row, dst_pod, view_str(pods[dst]));		\
		ROW_SET(prefix, row, src_comm, VIEW_LIT("frontend"));		\
		ROW_SET(prefix, row, dst_comm, VIEW_LIT("nginx"));		\
		ROW_SET(prefix, row, src_pid, 1000 + (src));			\
		ROW_SET(prefix, row, dst_pid, 2000 + (dst));			\
	} while (0)

/* As wide as those of the recorder: every other optional integer has a value, mostly a small one. */
static void fill(struct random *random, const struct table *table, void *row)
{
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		uint64_t v = random_below(random, 4) ? random_below(random, 3) : random_u64(random) >> 40;

		if (i % 2 || col->presence == PRESENCE_REQ || col->index == INDEX_DERIVED || row_has(row, (unsigned)i) ||
		    types[col->type].phys == PHYS_BYTES)
			continue;
		row_mark(row, (unsigned)i);
		memcpy((uint8_t *)row + col->offset, &v, types[col->type].row_bytes);
	}
}

static void make_call(struct random *random, unsigned i, struct call_row *row)
{
	unsigned src = (unsigned)random_below(random, PODS), dst = (unsigned)random_below(random, PODS);
	uint64_t latency_ns = 200 * NS_PER_US + random_below(random, 20 * NS_PER_MS);

	SET_ENDS(CALL, row, src, dst);
	row->l7 = L7_http;
	ROW_SET(CALL, row, method, VIEW_LIT("GET"));
	ROW_SET(CALL, row, status, 200);
	ROW_SET(CALL, row, target, view_str(paths[random_below(random, PATHS)]));
	ROW_SET(CALL, row, latency_ns, latency_ns);
	ROW_SET(CALL, row, trace_id, view_str(traces[i]));
}

static void make_flow(struct random *random, unsigned i, struct flow_row *row)
{
	unsigned src = (unsigned)random_below(random, PODS), dst = (unsigned)random_below(random, PODS);

	(void)i;
	SET_ENDS(FLOW, row, src, dst);
	row->tx_packets = 5 + random_below(random, 20);
	row->rx_packets = 5 + random_below(random, 30);
	row->tx_bytes = row->tx_packets * 90;
	row->rx_bytes = row->rx_packets * 700;
	ROW_SET(FLOW, row, syn_rtt_ns, 20000 + random_below(random, 400000));
	ROW_SET(FLOW, row, handshake_ns, 40000 + random_below(random, 500000));
	ROW_SET(FLOW, row, tx_retransmits, (uint32_t)(random_below(random, 100) == 0));
	ROW_SET(FLOW, row, rtt_min_ns, 20000 + random_below(random, 400000));
}

/* Next times and ids for the rows of one batch; the rest of them is as it was. */
#define STAMP(row, number)								\
	do {										\
		(row)->id = hash_u64(number);						\
		(row)->start_ns = 1767225600ull * NS_PER_SEC + (number) * 10000;	\
		(row)->end_ns = (row)->start_ns + 2 * NS_PER_MS;			\
	} while (0)

static void bench(const char *dir, enum table_id id, uint64_t count)
{
	const struct table *table = table_get(id);
	struct store_writer_opts opts = { .group_gid = -1 };
	struct random random = random_new("bench rows");
	uint8_t *rows = mem_array(KINDS, table->row_bytes);
	struct store_writer *writer = NULL;
	double rows_cpu = 0, commit_cpu = 0, begin;
	struct err err = { 0 };

	if (!rows || store_writer_open(dir, &opts, &writer, &err) < 0)
		die(dir, &err);
	for (unsigned i = 0; i < KINDS; i++) {
		if (id == TABLE_CALLS)
			make_call(&random, i, (struct call_row *)(rows + i * table->row_bytes));
		else
			make_flow(&random, i, (struct flow_row *)(rows + i * table->row_bytes));
		fill(&random, table, rows + i * table->row_bytes);
	}
	for (uint64_t n = 0; n < count; n += BATCH_ROWS) {
		uint8_t *batch = rows + n % KINDS * table->row_bytes;

		for (unsigned i = 0; i < BATCH_ROWS; i++) {
			uint8_t *row = batch + i * table->row_bytes;

			if (id == TABLE_CALLS)
				STAMP((struct call_row *)row, n + i);
			else
				STAMP((struct flow_row *)row, n + i);
		}
		begin = cpu_seconds();
		if (store_write_rows(writer, id, batch, BATCH_ROWS, &err) < 0)
			die("write", &err);
		rows_cpu += cpu_seconds() - begin;
		begin = cpu_seconds();
		if ((n + BATCH_ROWS) % COMMIT_ROWS == 0 && store_commit(writer, &err) < 0)
			die("commit", &err);
		commit_cpu += cpu_seconds() - begin;
	}
	begin = cpu_seconds();
	if (store_commit(writer, &err) < 0 || store_writer_close(writer, false, &err) < 0)
		die("close", &err);
	commit_cpu += cpu_seconds() - begin;
	printf("%-8s %8llu rows: %.2f M rows/s per core (%.0f ns to add, %.0f ns to encode and commit a row)\n", table->name,
	       (unsigned long long)count, (double)count / (rows_cpu + commit_cpu) / 1e6, rows_cpu * 1e9 / (double)count,
	       commit_cpu * 1e9 / (double)count);
	mem_free(rows);
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000;

	if (argc < 2) {
		fprintf(stderr, "usage: %s DIR [ROWS]\n", argv[0]);
		return 2;
	}
	make_texts();
	bench(argv[1], TABLE_CALLS, count / BATCH_ROWS * BATCH_ROWS);
	bench(argv[1], TABLE_FLOWS, count / BATCH_ROWS * BATCH_ROWS);
	return 0;
}
