/* What the torture programs share: rows and packets that know their number, and the look at what is left of them. */
#ifndef TESTS_TORTURE_KIT_H
#define TESTS_TORTURE_KIT_H

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "store/store.h"

#define START (497000ull * NS_PER_HOUR)
#define STEP_NS (30 * NS_PER_SEC)	/* 120 rows an hour */

static inline void die(const char *what, uint64_t n, const char *why)
{
	(void)fprintf(stderr, "FAIL %s %" PRIu64 ": %s\n", what, n, why);
	exit(1);
}

static inline int write_rows(struct store_writer *writer, uint64_t from, uint64_t count, struct err *err)
{
	struct packet_block block;
	int rc = packet_block_init(&block, 1);

	for (uint64_t n = from; n < from + count && rc >= 0; n++) {
		struct flow_row row = { 0 };
		uint64_t start_ns = START + n * STEP_NS;
		struct packet_rec rec = { .time_ns = start_ns, .number = n + 1, .flow_id = n % 10 + 1, .orig_len = 1000,
					  .link = 1, .segments = 1 };
		uint8_t bytes[1000];
		char text[32];

		(void)snprintf(text, sizeof(text), "workload-%u", (unsigned)(n % 7));
		ROW_SET(FLOW, &row, id, schema_id(start_ns, n));
		ROW_SET(FLOW, &row, start_ns, start_ns);
		ROW_SET(FLOW, &row, end_ns, start_ns + 5);
		ROW_SET(FLOW, &row, tx_bytes, n);
		ROW_SET(FLOW, &row, dst_workload, view_str(text));
		rc = store_write_rows(writer, TABLE_FLOWS, &row, 1, err);
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(n * 31 + i * i);
		rec.frame = view_make(bytes, sizeof(bytes));
		if (rc == 0)
			rc = packet_block_add(&block, &rec);
		if (rc == E_RANGE) {
			rc = store_write_packets(writer, &block, err);
			packet_block_reset(&block);
			if (rc == 0)
				rc = packet_block_add(&block, &rec);
		}
	}
	if (rc >= 0)
		rc = store_write_packets(writer, &block, err);
	packet_block_release(&block);
	return rc;
}

/* Rows of the store, each marked in seen; a row that was never written is a failure. */
static inline void read_rows(const char *dir, uint64_t round, uint8_t *seen, uint64_t limit)
{
	struct store *store = NULL;
	struct store_view *view = NULL;
	struct err err = { 0 };
	struct arena arena;

	arena_init(&arena, 0);
	if (store_open(dir, &store, &err) < 0 || store_view_open(store, 0, UINT64_MAX, &view, &err) < 0)
		die("reading after round", round, err.text);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		for (size_t g = 0; g < store_rg_count(view, part, TABLE_FLOWS); g++) {
			struct flow_row *rows = NULL;
			struct rg rg;

			arena_reset(&arena);
			if (store_rg_open(view, part, TABLE_FLOWS, g, &rg, &err) < 0 ||
			    rg_read_rows(&rg, &arena, (void **)&rows, &err) < 0)
				die("reading after round", round, err.text);
			for (uint32_t i = 0; i < rg.zone.rows; i++) {
				uint64_t n = rows[i].tx_bytes;

				if (n >= limit || rows[i].start_ns != START + n * STEP_NS || seen[n])
					die("round", round, "a row is there twice or was never written");
				seen[n] = 1;
			}
		}
	}
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
}

static inline void print_finding(const char *finding, void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "     %s\n", finding);
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

#endif
