/*
 * Filters on stored columns: million rows a second on one core, as they are stored and by decoding first.
 *
 *   make build/release/bench_scan && build/release/bench_scan [rounds]
 *
 * Row groups of 65,536 calls, warm; checksums are verified each time, as a query does. CPU time, not wall clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "query/filter.h"
#include "tests/random.h"

#define GROUPS 16

static double cpu_seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void row_fill(struct random *random, uint32_t i, struct call_row *row)
{
	static char names[60][16];
	unsigned service = (unsigned)(random_below(random, 60) * random_below(random, 60) / 60);

	if (!names[0][0])
		for (unsigned n = 0; n < 60; n++)
			(void)snprintf(names[n], sizeof(names[n]), "service-%02u", n);
	row->start_ns = 1767225600000000000ull + i * 1000000ull + random_below(random, 1000000);
	row->l7 = L7_http;
	row->status_class = i / 3000 % 5 ? CLASS_ok : CLASS_server_error;
	ROW_SET(CALL, row, latency_ns, random_below(random, 1 << 24));
	ROW_SET(CALL, row, dst_port, (uint16_t)(30000 + random_below(random, 1000)));
	ROW_SET(CALL, row, dst_service, view_str(names[service]));
	if (random_below(random, 10))
		ROW_SET(CALL, row, status, (uint16_t)(200 + random_below(random, 5) * 100));
}

static void group_make(struct random *random, struct wr *blob)
{
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_CALLS));

	for (uint32_t i = 0; builder && i < RG_ROWS_MAX; i++) {
		struct call_row row = { 0 };

		row_fill(random, i, &row);
		if (rg_builder_add(builder, &row) < 0)
			abort();
	}
	if (!builder || rg_builder_write(builder, NULL, RG_CODEC_ZSTD, 3, blob, NULL) < 0)
		abort();
	rg_builder_free(builder);
}

static const char *encoding_of(const struct rg *rg, uint16_t col_id)
{
	struct rg_chunk_info info;
	static char text[32];

	for (uint32_t i = 0; rg_chunk_info(rg, i, &info); i++)
		if (info.col_id == col_id) {
			(void)snprintf(text, sizeof(text), "%s %s", info.encoding, info.codec);
			return text;
		}
	return "-";
}

/* Rows that match; all columns marked as wanted are decoded, the others tested as they are stored. */
static uint64_t scan(const struct rg *groups, const struct filter *filter, const uint64_t *wanted, struct arena *arena)
{
	static struct columns columns;
	uint64_t bits[RG_ROWS_MAX / 64], matched = 0;

	for (unsigned g = 0; g < GROUPS; g++) {
		arena_reset(arena);
		columns_init(&columns, &groups[g], arena);
		columns.wanted = wanted;
		memset(bits, 0xff, sizeof(bits));
		if (filter_eval(filter, &columns, bits, NULL) < 0)
			abort();
		for (size_t w = 0; w < RG_ROWS_MAX / 64; w++)
			matched += (uint64_t)__builtin_popcountll(bits[w]);
	}
	return matched;
}

static double speed(const struct rg *groups, const struct filter *filter, const uint64_t *wanted, int rounds,
		    struct arena *arena, uint64_t *ret_matched)
{
	double best = 0;

	for (int i = 0; i < rounds; i++) {
		double from = cpu_seconds(), took;

		*ret_matched = scan(groups, filter, wanted, arena);
		took = cpu_seconds() - from;
		if (took > 0 && GROUPS * (double)RG_ROWS_MAX / took / 1e6 > best)
			best = GROUPS * (double)RG_ROWS_MAX / took / 1e6;
	}
	return best;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *filter;
		uint16_t ordinal;
	} questions[] = {
		{ "dst.port in 30100..30199", CALL_dst_port },
		{ "dst.port in {30001 30201 30401 30601 30801 30999}", CALL_dst_port },
		{ "latency > 10ms", CALL_latency_ns },
		{ "status >= 400", CALL_status },
		{ "status_class == server_error", CALL_status_class },
		{ "dst.service == \"service-07\"", CALL_dst_service },
		{ "dst.service matches \"-0[1-5]$\"", CALL_dst_service },
	};
	const struct table *table = table_get(TABLE_CALLS);
	int rounds = argc > 1 ? atoi(argv[1]) : 20;
	uint64_t all[SCHEMA_HAS_WORDS];
	struct random random = { 1 };
	static struct wr blobs[GROUPS];
	static struct rg groups[GROUPS];
	struct arena arena;

	memset(all, 0xff, sizeof(all));
	arena_init(&arena, 0);
	for (unsigned g = 0; g < GROUPS; g++) {
		wr_init(&blobs[g], 0);
		group_make(&random, &blobs[g]);
		if (rg_open(wr_view(&blobs[g]), &groups[g], NULL) < 0)
			return 1;
	}
	printf("%-52s %-12s %10s %14s %14s\n", "filter (million rows a second, one core)", "encoding", "matching",
	       "as stored", "decoded");
	for (size_t q = 0; q < sizeof(questions) / sizeof(questions[0]); q++) {
		struct filter *filter;
		uint64_t matched, again;
		double stored, decoded;

		if (filter_new(table, view_str(questions[q].filter), 0, &filter, NULL) < 0)
			return 1;
		stored = speed(groups, filter, NULL, rounds, &arena, &matched);
		decoded = speed(groups, filter, all, rounds, &arena, &again);
		printf("%-52s %-12s %9.2f%% %14.0f %14.0f%s\n", questions[q].filter,
		       encoding_of(&groups[0], table->cols[questions[q].ordinal].id),
		       100.0 * (double)matched / (GROUPS * (double)RG_ROWS_MAX), stored, decoded,
		       matched == again ? "" : "   DIFFERENT ANSWERS");
		filter_free(filter);
	}
	for (unsigned g = 0; g < GROUPS; g++)
		wr_release(&blobs[g]);
	arena_release(&arena);
	return 0;
}
