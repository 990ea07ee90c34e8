/* Row groups without their sums, by themselves and in a packed sealed file. */
#include "store/rg_sums.h"

#include "store/files.h"
#include "store/rg_format.h"
#include "store/seg_format.h"
#include "tests/unit/store_kit.h"

#define ROWS 60u

static void group_make(struct wr *blob, uint64_t first)
{
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_FLOWS));
	struct err err = { 0 };

	wr_init(blob, 0);
	for (uint64_t n = first; n < first + ROWS; n++) {
		char text[64];
		struct flow_row row = kit_flow(n * n, KIT_START + n * 1000003, text);

		CHECK_OK(rg_builder_add(builder, &row), err);
	}
	CHECK_OK(rg_builder_write(builder, NULL, RG_CODEC_ZSTD, 3, blob, &err), err);
	rg_builder_free(builder);
}

TEST(rg_sums, come_back_as_they_were)
{
	struct wr blob, was;
	struct rg rg;

	group_make(&blob, 1);
	wr_init(&was, 0);
	wr_bytes(&was, wr_view(&blob));
	CHECK(rg_sums_is_group(wr_view(&blob)));
	CHECK_NOT(rg_sums_is_group(view_make(blob.at, RG_HEADER_BYTES - 1)));
	CHECK_NOT(rg_sums_is_group(view_sub(wr_view(&blob), 1, SIZE_MAX)));
	CHECK_RC(rg_sums_clear(blob.at, blob.len), 0);
	CHECK_RC(rg_open(wr_view(&blob), &rg, NULL), E_CORRUPT);
	CHECK_RC(rg_sums_clear(blob.at, blob.len), E_CORRUPT);	/* they are not right any more */
	CHECK_RC(rg_sums_fill(blob.at, blob.len), 0);
	CHECK(view_eq(wr_view(&blob), wr_view(&was)));
	wr_release(&blob);
	wr_release(&was);
}

/* A sum that is wrong must stay wrong: damage that was sealed is still told. */
TEST(rg_sums, stay_where_one_is_wrong)
{
	struct wr blob, was;

	group_make(&blob, 1);
	wr_init(&was, 0);
	for (size_t at = 0; at < blob.len; at += 1 + at / 40) {
		if (at >= 12 && at < 16)	/* the length, which is for rg_open to tell */
			continue;
		wr_reset(&was);
		blob.at[at] ^= 1;
		wr_bytes(&was, wr_view(&blob));
		CHECK(rg_sums_clear(blob.at, blob.len) < 0, "byte %zu of %zu", at, blob.len);
		CHECK(view_eq(wr_view(&blob), wr_view(&was)));
		blob.at[at] ^= 1;
	}
	wr_release(&blob);
	wr_release(&was);
}

TEST(rg_sums, lies_about_where_chunks_are_are_told)
{
	struct rg_entry entry, first = { 0 };
	uint16_t entries, many = UINT16_MAX;
	struct wr blob;

	group_make(&blob, 1);
	memcpy(&entries, blob.at + 26, 2);
	for (uint16_t i = 0; i < entries; i++) {
		uint8_t *at = blob.at + RG_HEADER_BYTES + i * RG_ENTRY_BYTES;
		struct rg_entry good = entry = rg_entry_get(at);

		if (!entry.stored_len)
			continue;
		entry.offset = (uint32_t)blob.len;
		rg_entry_put(at, &entry);
		CHECK_RC(rg_sums_fill(blob.at, blob.len), E_CORRUPT);
		entry.offset = UINT32_MAX;
		rg_entry_put(at, &entry);
		CHECK_RC(rg_sums_fill(blob.at, blob.len), E_CORRUPT);
		if (first.stored_len) {		/* the bytes of another one */
			entry.offset = first.offset;
			rg_entry_put(at, &entry);
			CHECK_RC(rg_sums_fill(blob.at, blob.len), E_CORRUPT);
		}
		first = first.stored_len ? first : good;
		rg_entry_put(at, &good);
	}
	CHECK_RC(rg_sums_fill(blob.at, blob.len), 0);
	memcpy(blob.at + 26, &many, 2);
	CHECK_RC(rg_sums_fill(blob.at, blob.len), E_CORRUPT);
	CHECK_RC(rg_sums_clear(blob.at, blob.len), E_CORRUPT);
	wr_release(&blob);
}

#define GROUPS 20u

/* A file of groups; damaged: a byte of the last one is wrong already when it is written. */
static struct view file_make(const char *name, struct wr groups[GROUPS], bool damaged)
{
	static char path[STORE_PATH_MAX];
	struct seg_build *build = NULL;
	struct view file = { 0 };
	struct err err = { 0 };

	CHECK_RC(files_path(path, NULL, check_tmpdir(), name, NULL), 0);
	CHECK_OK(seg_build_new(path, 2, 2, &build, &err), err);
	for (unsigned i = 0; i < GROUPS; i++) {
		uint8_t key = (uint8_t)i;

		group_make(&groups[i], i);
		if (damaged && i + 1 == GROUPS)
			groups[i].at[groups[i].len - 1] ^= 1;
		CHECK_OK(seg_build_put(build, 0, true, view_make(&key, 1), VIEW_LIT("beside"), &err), err);
		CHECK_OK(seg_build_put(build, 1, true, view_make(&key, 1), wr_view(&groups[i]), &err), err);
	}
	CHECK_OK(seg_build_end(build, &err), err);
	seg_build_free(build);
	CHECK_OK(files_map(path, &file, &err), err);
	return file;
}

TEST(rg_sums, a_packed_file_has_none_and_gives_them_back)
{
	for (unsigned damaged = 0; damaged < 2; damaged++) {
		struct wr groups[GROUPS];
		struct view file = file_make(damaged ? "damaged.seg" : "data.seg", groups, damaged), value;
		struct seg *seg = NULL;
		struct err err = { 0 };
		uint16_t must_know;
		uint32_t magic;

		memcpy(&magic, file.at, 4);
		memcpy(&must_know, file.at + 6, 2);
		CHECK_U64(magic, SEG_PACKED_MAGIC);
		CHECK_U64(must_know, damaged ? 0 : SEG_PACKED_NO_SUMS);
		CHECK_OK(seg_open_bytes(file, &seg, &err), err);
		CHECK_OK(seg_verify(seg, &err), err);
		for (unsigned i = 0; i < GROUPS; i++) {
			uint8_t key = (uint8_t)i;
			struct rg rg;

			CHECK_EQ(seg_get(seg, 1, view_make(&key, 1), &value, &err), 1);
			CHECK(view_eq(value, wr_view(&groups[i])));
			CHECK_EQ(rg_open(value, &rg, NULL) < 0 || rg_verify(&rg, NULL) < 0, damaged && i + 1 == GROUPS);
			wr_release(&groups[i]);
		}
		seg_close(seg);
		files_unmap(file);
	}
}
