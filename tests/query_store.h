/* A store in a temporary folder, for the tests of query/. */
#ifndef TESTS_QUERY_STORE_H
#define TESTS_QUERY_STORE_H

#include "base/clock.h"
#include "query/query.h"
#include "tests/check.h"

#define T0 (1767322800ull * NS_PER_SEC) /* 2026-01-02T03:00:00Z: an hour begins */

static uint64_t random_state __attribute__((unused));

static inline uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

struct fixture {
	const char *dir;
	struct store_writer *writer;
	struct store *store;
	struct arena arena;
	uint64_t next_id;
};

static inline void fixture_open(struct fixture *fixture)
{
	struct store_writer_opts opts = {
		.name = "test", .seal_inline = true, .map_bytes = 64u << 20, .group_gid = -1
	};
	struct err err = { 0 };

	memset(fixture, 0, sizeof(*fixture));
	fixture->dir = check_tmpdir();
	arena_init(&fixture->arena, 0);
	CHECK_OK(store_writer_open(fixture->dir, &opts, &fixture->writer, &err), err);
	CHECK_OK(store_open(fixture->dir, &fixture->store, &err), err);
}

static inline void fixture_close(struct fixture *fixture)
{
	struct err err = { 0 };

	store_close(fixture->store);
	if (fixture->writer)
		CHECK_OK(store_writer_close(fixture->writer, false, &err), err);
	arena_release(&fixture->arena);
}

/* Seal what is there and go on writing. */
static inline void fixture_seal(struct fixture *fixture)
{
	struct store_writer_opts opts = {
		.name = "test", .seal_inline = true, .map_bytes = 64u << 20, .group_gid = -1
	};
	struct err err = { 0 };

	CHECK_OK(store_writer_close(fixture->writer, true, &err), err);
	CHECK_OK(store_writer_open(fixture->dir, &opts, &fixture->writer, &err), err);
}

static inline void fixture_write(struct fixture *fixture, enum table_id table, const void *rows,
				 size_t count)
{
	struct err err = { 0 };

	CHECK_OK(store_write_rows(fixture->writer, table, rows, count, &err), err);
	CHECK_OK(store_commit(fixture->writer, &err), err);
}

#endif
