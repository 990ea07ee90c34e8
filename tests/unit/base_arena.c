#include "base/arena.h"

#include "tests/check.h"

TEST(arena, blocks_are_aligned_and_apart)
{
	struct arena arena;
	uint8_t *last = NULL;

	arena_init(&arena, 0);
	for (size_t bytes = 0; bytes < 200; bytes++) {
		uint8_t *at = arena_alloc(&arena, bytes);

		CHECK(at && (uintptr_t)at % 16 == 0 && at != last);
		memset(at, (int)bytes, bytes);
		last = at;
	}
	arena_release(&arena);
}

TEST(arena, budget_is_kept_and_comes_back_on_reset)
{
	struct arena arena;

	arena_init(&arena, 1024);
	CHECK(arena_alloc(&arena, 1000));	/* 1008 after rounding */
	CHECK(arena_alloc(&arena, 16));
	CHECK_NULL(arena_alloc(&arena, 1));
	CHECK_U64(arena.used_bytes, 1024);
	arena_reset(&arena);
	CHECK(arena_alloc(&arena, 1024));
	CHECK_NULL(arena_alloc(&arena, 1));
	CHECK_NULL(arena_alloc(&arena, SIZE_MAX));
	arena_release(&arena);
}

TEST(arena, absurd_sizes_are_refused)
{
	struct arena arena;

	arena_init(&arena, 0);
	CHECK_NULL(arena_alloc(&arena, SIZE_MAX));
	CHECK_NULL(arena_alloc(&arena, SIZE_MAX - 20));
	CHECK_NULL(arena_array(&arena, SIZE_MAX / 2, 3));
	CHECK_NULL(arena_copy(&arena, view_make("", SIZE_MAX)).at);
	arena_release(&arena);
}

TEST(arena, reset_keeps_one_chunk_and_no_giant)
{
	int64_t before = mem_live();
	struct arena arena;

	arena_init(&arena, 0);
	for (int i = 0; i < 100; i++)
		CHECK(arena_alloc(&arena, 10000));
	CHECK(mem_live() > before + 1);
	arena_reset(&arena);
	CHECK_I64(mem_live(), before + 1);
	CHECK(arena_alloc(&arena, 8 << 20));
	arena_reset(&arena);
	CHECK(mem_live() <= before + 1);
	arena_release(&arena);

	CHECK(arena_alloc(&arena, 8 << 20));	/* the first and only chunk */
	arena_reset(&arena);
	CHECK_I64(mem_live(), before);
	arena_release(&arena);
}

TEST(arena, big_block_leaves_room_for_small_ones)
{
	struct arena arena;
	struct arena_chunk *head;

	arena_init(&arena, 0);
	CHECK(arena_alloc(&arena, 16));
	head = arena.chunks;
	CHECK(arena_alloc(&arena, 4 << 20));
	CHECK(arena.chunks == head);
	arena_release(&arena);
}

TEST(arena, zeroes_where_asked)
{
	static const uint8_t zeros[4096];
	struct arena arena;

	arena_init(&arena, 0);
	memset(arena_alloc(&arena, sizeof(zeros)), 0xff, sizeof(zeros));
	arena_reset(&arena);
	CHECK(memcmp(arena_zalloc(&arena, sizeof(zeros)), zeros, sizeof(zeros)) == 0);
	CHECK(memcmp(arena_array(&arena, 512, 8), zeros, sizeof(zeros)) == 0);
	arena_release(&arena);
}

TEST(arena, copies_and_prints_with_a_nul)
{
	struct arena arena;
	struct view copy;

	arena_init(&arena, 0);
	copy = arena_copy(&arena, view_make("abcdef", 3));
	CHECK_VIEW(copy, "abc");
	CHECK_STR((const char *)copy.at, "abc");
	copy = arena_copy(&arena, view_make(NULL, 0));
	CHECK(copy.at && copy.len == 0 && copy.at[0] == '\0');
	CHECK_STR(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
	mem_fail_nth(1);
	CHECK_NULL(arena_alloc(&arena, 1 << 20));
	arena_release(&arena);
}

/* What was kept serves the same round again without a look for memory; what is more than that is given back. */
TEST(arena, keeps_chunks_between_rounds)
{
	static const size_t sizes[] = { 100, 600000, 40000, 600000, 9, 3000000 };
	const size_t count = sizeof(sizes) / sizeof(sizes[0]);
	struct arena arena;
	int64_t live;

	arena_init(&arena, 0);
	arena.keep_bytes = 8 << 20;
	for (unsigned round = 0; round < 3; round++) {
		if (round)
			mem_fail_nth(1);
		for (size_t i = 0; i < count; i++) {
			uint8_t *at = arena_alloc(&arena, sizes[i]);

			CHECK(at != NULL);
			memset(at, (int)i, sizes[i]);
		}
		mem_fail_nth(0);
		arena_reset(&arena);
		CHECK_U64(arena.used_bytes, 0);
	}
	live = mem_live();
	for (unsigned i = 0; i < 20; i++)
		CHECK(arena_alloc(&arena, 2 << 20) != NULL);
	arena_reset(&arena);
	CHECK_LE(mem_live(), live + 2);	/* at most 8 MiB of the 40 */
	arena_release(&arena);
	CHECK_NULL(arena.spare);
}
