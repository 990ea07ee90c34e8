/* The sealed file: what was put comes back, in order, and no flipped byte goes unnoticed. */
#include "store/seg.h"

#include <stdio.h>

#include "base/mem.h"
#include "store/codec.h"
#include "store/files.h"
#include "tests/unit/store_kit.h"

#define DBS 3u		/* 0 in order, 1 in any order, 2 with sums of their own */

static size_t key_of(unsigned n, uint8_t key[64])
{
	return (size_t)snprintf((char *)key, 64, "key-%07u", n * 3);
}

/* Every seventh value is far too large for a block, some are empty. */
static struct view value_of(unsigned n, uint8_t *at)
{
	size_t len = n % 7 == 3 ? 600 + n % 5000 : n % 90;

	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(n + i * (n % 5));
	return view_make(at, len);
}

static void build(const char *path, unsigned entries)
{
	struct seg_build *build = NULL;
	struct err err = { 0 };
	uint8_t key[64], value[8192];

	CHECK_OK(seg_build_new(path, DBS, 1u << 2, &build, &err), err);
	for (unsigned n = 0; n < entries; n++) {
		unsigned far = entries - 1 - n;

		CHECK_OK(seg_build_put(build, 0, true, view_make(key, key_of(n, key)), value_of(n, value), &err), err);
		CHECK_OK(seg_build_put(build, 1, false, view_make(key, key_of(far, key)), VIEW_LIT("first"), &err), err);
		CHECK_OK(seg_build_put(build, 1, false, view_make(key, key_of(far, key)), value_of(far, value), &err), err);
		CHECK_OK(seg_build_put(build, 2, false, view_make(key, key_of(n, key)), value_of(n, value), &err), err);
	}
	CHECK_OK(seg_build_end(build, &err), err);
	seg_build_free(build);
}

static struct seg *open_seg(const char *path)
{
	struct seg *seg = NULL;
	struct err err = { 0 };
	uint64_t bytes;

	CHECK_EQ(files_size(path, &bytes, &err), 1);
	CHECK_OK(seg_open(path, (size_t)bytes, &seg, &err), err);
	return seg;
}

static const char *path_in(const char *name)
{
	static char path[STORE_PATH_MAX];

	CHECK_RC(files_path(path, NULL, check_tmpdir(), name, NULL), 0);
	return path;
}

TEST(seg, gives_back_what_was_put_in_order)
{
	static const unsigned sizes[] = { 0, 1, 5, 300, 5000 };	/* packed, and not */

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		unsigned entries = sizes[s];
		const char *path = path_in("data.seg");
		struct err err = { 0 };
		uint8_t key[64], want[8192];
		struct view at, value;
		struct seg *seg;

		build(path, entries);
		seg = open_seg(path);
		CHECK_OK(seg_verify(seg, &err), err);
		for (unsigned db = 0; db < DBS; db++) {
			struct seg_place place = { .db = db };

			for (unsigned n = 0; n < entries; n++) {
				CHECK_EQ(seg_next(seg, &place, &at, &value, &err), 1, "%s", err.text);
				CHECK(view_eq(at, view_make(key, key_of(n, key))));
				CHECK(view_eq(value, value_of(n, want)));
			}
			CHECK_EQ(seg_next(seg, &place, &at, &value, &err), 0);
			CHECK_EQ(seg_next(seg, &place, &at, &value, &err), 0);
		}
		CHECK_EQ(seg_next(seg, &(struct seg_place){ .db = DBS }, &at, &value, &err), 0, "a database that is not there");
		CHECK_EQ(seg_get(seg, DBS, VIEW_LIT("x"), &value, &err), 0);
		seg_close(seg);
	}
}

/* Bytes on somebody's disk: what was written once has to be read for ever. */
TEST(seg, the_layout_is_stored_and_stays)
{
	const char *path = path_in("data.seg");
	struct err err = { 0 };
	uint8_t *file = NULL;
	size_t len = 0;

	build(path, 300);
	CHECK_OK(files_load(path, 4u << 20, &file, &len, &err), err);
	CHECK_U64(len, 142169);
	CHECK_U64(codec_checksum(view_make(file, len)), 8361185041395680983u);
	mem_free(file);
}

TEST(seg, finds_keys_and_their_neighbours)
{
	const char *path = path_in("data.seg");
	struct err err = { 0 };
	uint8_t key[64], want[8192];
	struct view at, value;
	unsigned entries = 3000;
	struct seg *seg;

	build(path, entries);
	seg = open_seg(path);
	for (unsigned n = 0; n < entries; n++) {
		struct seg_place place = { .db = n % DBS };
		struct view exact = view_make(key, key_of(n, key)), past;
		uint8_t longer[65];

		CHECK_EQ(seg_get(seg, n % DBS, exact, &value, &err), 1);
		CHECK(view_eq(value, value_of(n, want)));
		memcpy(longer, key, exact.len);
		longer[exact.len] = 0;
		past = view_make(longer, exact.len + 1);
		CHECK_EQ(seg_get(seg, n % DBS, past, &value, &err), 0);
		CHECK_EQ(seg_below(seg, &place, past, &at, &value, &err), 1);
		CHECK(view_eq(at, exact));
		CHECK_EQ(seg_below(seg, &place, exact, &at, &value, &err), n > 0);
		CHECK(n == 0 || view_eq(value, value_of(n - 1, want)));
		CHECK_EQ(seg_seek(seg, &place, exact, &at, &value, &err), 1);
		CHECK(view_eq(at, exact) && view_eq(value, value_of(n, want)));
		CHECK_EQ(seg_seek(seg, &place, past, &at, &value, &err), n + 1 < entries);
		CHECK(n + 1 == entries || view_eq(value, value_of(n + 1, want)));
		CHECK_EQ(seg_next(seg, &place, &at, &value, &err), n + 2 < entries);
		CHECK(n + 2 >= entries || view_eq(value, value_of(n + 2, want)));
	}
	CHECK_EQ(seg_seek(seg, &(struct seg_place){ .db = 0 }, VIEW_LIT("a"), &at, &value, &err), 1);
	CHECK(view_eq(at, view_make(key, key_of(0, key))));
	seg_close(seg);
}

TEST(seg, refuses_keys_out_of_order)
{
	struct seg_build *build = NULL;
	struct err err = { 0 };

	CHECK_OK(seg_build_new(path_in("data.seg"), 1, 0, &build, &err), err);
	CHECK_OK(seg_build_put(build, 0, true, VIEW_LIT("b"), VIEW_LIT("1"), &err), err);
	CHECK_RC(seg_build_put(build, 0, true, VIEW_LIT("b"), VIEW_LIT("2"), &err), E_EXISTS);
	CHECK_RC(seg_build_put(build, 0, true, VIEW_LIT("a"), VIEW_LIT("2"), &err), E_EXISTS);
	CHECK_RC(seg_build_put(build, 0, false, VIEW_LIT("c"), VIEW_LIT("2"), &err), E_INTERNAL);
	seg_build_free(build);
}

TEST(seg, refuses_what_asks_for_more_than_it_knows)
{
	static const uint16_t bits[] = { 1, 1u << 15 };	/* packed flow tables; one that nobody has yet */

	for (unsigned i = 0; i < 2; i++) {
		struct seg_build *build = NULL;
		struct view file = { 0 };
		struct seg *seg = NULL;
		struct err err = { 0 };
		const char *path = path_in(i ? "more.seg" : "data.seg");

		CHECK_OK(seg_build_new(path, 1, 0, &build, &err), err);
		seg_build_must_know(build, bits[i]);
		CHECK_OK(seg_build_put(build, 0, true, VIEW_LIT("a"), VIEW_LIT("1"), &err), err);
		CHECK_OK(seg_build_end(build, &err), err);
		seg_build_free(build);
		CHECK_OK(files_map(path, &file, &err), err);
		CHECK_RC(seg_open_bytes(file, &seg, &err), i ? E_UNSUPPORTED : 0);
		CHECK(!i || strstr(err.text, "0x8000"), "%s", err.text);
		seg_close(seg);
		files_unmap(file);
	}
}

/* All that can be read of it; 0 when it is what build() wrote, 1 when something said no. */
static int read_flipped(struct view file, unsigned entries)
{
	uint8_t key[64], want[8192];
	struct seg *seg = NULL;
	struct view at, value;
	int told = 0;

	if (seg_open_bytes(file, &seg, NULL) < 0)
		return 1;
	for (unsigned db = 0; db < DBS; db++) {
		struct seg_place place = { .db = db };
		int rc = 1;

		for (unsigned n = 0; n < entries && rc == 1; n++) {
			rc = seg_next(seg, &place, &at, &value, NULL);
			CHECK_NE(rc, 0, "database %u ends at %u", db, n);
			CHECK(rc < 0 || view_eq(at, view_make(key, key_of(n, key))));
			CHECK(rc < 0 || db == 2 || view_eq(value, value_of(n, want)));
			told |= rc < 0 || (db == 2 && !view_eq(value, value_of(n, want)));	/* by their own sums */
		}
	}
	told |= seg_verify(seg, NULL) < 0;
	seg_close(seg);
	return told;
}

TEST(seg, every_flipped_byte_is_told, .timeout = 60)
{
	static const unsigned sizes[] = { 3, 300 };

	for (size_t s = 0; s < 2; s++) {
		const char *path = path_in("data.seg");
		uint8_t *file = NULL;
		size_t len = 0, step = s ? 61 : 1;
		struct err err = { 0 };

		build(path, sizes[s]);
		CHECK_OK(files_load(path, 4u << 20, &file, &len, &err), err);
		CHECK_EQ(read_flipped(view_make(file, len), sizes[s]), 0);
		CHECK(s ? len > 100000 : len < 2000, "%zu bytes: one is packed, one is not", len);
		for (size_t at = 0; at < len; at += at + 400 < len && at > 400 ? step : 1) {
			file[at] ^= (uint8_t)(1u << at % 8);
			CHECK_EQ(read_flipped(view_make(file, len), sizes[s]), 1, "byte %zu of %zu", at, len);
			file[at] ^= (uint8_t)(1u << at % 8);
		}
		for (size_t cut = 0; cut < len; cut += 1 + cut / 10)
			CHECK_EQ(read_flipped(view_make(file, cut), sizes[s]), 1, "cut to %zu of %zu", cut, len);
		mem_free(file);
	}
}
