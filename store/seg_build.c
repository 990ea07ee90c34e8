#include "store/seg.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "store/codec.h"
#include "store/files.h"
#include "store/rg_sums.h"
#include "store/seg_format.h"

#define BUFFER_BYTES (1u << 20)
#define PACK_LEVEL 12	/* of a small file, whole: 3 % smaller at 19, for four times the work */

/* An entry that waits for its place. Key and stored value (as in a block) in the arena. */
struct waiting {
	struct view key, stored;
	uint64_t number;	/* of the put: the last one of equal keys counts */
};

struct building {		/* a database */
	bool streams;		/* its keys come in order */
	bool begun;
	struct wr block;	/* being filled */
	uint8_t first[SEG_KEY_MAX], last[SEG_KEY_MAX];	/* keys of block */
	size_t first_len, last_len;
	uint64_t entries, blocks;
	struct wr index;	/* its blocks, as in the footer */
	struct waiting *waiting;
	size_t waiting_count, waiting_cap;
};

struct seg_build {
	int fd;
	char path[STORE_PATH_MAX];
	unsigned dbs;
	uint32_t own_sums;
	struct building db[SEG_DBS_MAX];
	struct arena arena;	/* of the waiting */
	struct wr stored;	/* a value on its way into a block */
	struct wr buffer;	/* not written yet */
	uint64_t written;
	uint64_t puts;
	int level;
	uint16_t must_know;
	bool failed;		/* bytes are missing: the file must not be completed */
};

static int no_memory(struct seg_build *build, struct err *err)
{
	build->failed = true;
	return err_set(err, E_NO_MEMORY, "%s: out of memory", build->path);
}

void seg_build_level(struct seg_build *build, int level)
{
	build->level = level;
}

void seg_build_must_know(struct seg_build *build, uint16_t bits)
{
	build->must_know |= bits;
}

uint64_t seg_build_bytes(const struct seg_build *build)
{
	return build->written + build->buffer.len;
}

static int flush(struct seg_build *build, struct err *err)
{
	int rc;

	if (build->buffer.bad)
		return no_memory(build, err);
	rc = files_write_at(build->fd, wr_view(&build->buffer), build->written, build->path, err);
	if (rc < 0) {
		build->failed = true;
		return rc;
	}
	build->written += build->buffer.len;
	wr_reset(&build->buffer);
	return 0;
}

static int append(struct seg_build *build, struct view bytes, struct err *err)
{
	wr_bytes(&build->buffer, bytes);
	return build->buffer.bad || build->buffer.len >= BUFFER_BYTES ? flush(build, err) : 0;
}

int seg_build_new(const char *path, unsigned dbs, uint32_t own_sums, struct seg_build **ret_build, struct err *err)
{
	struct seg_build *build = mem_zalloc(sizeof(*build));
	int rc;

	assert(dbs > 0 && dbs <= SEG_DBS_MAX);
	if (!build)
		return err_set(err, E_NO_MEMORY, "%s: out of memory", path);
	build->fd = -1;
	build->dbs = dbs;
	build->own_sums = own_sums;
	arena_init(&build->arena, 0);
	wr_init(&build->stored, 0);
	wr_init(&build->buffer, 0);
	for (unsigned i = 0; i < dbs; i++) {
		wr_init(&build->db[i].block, 0);
		wr_init(&build->db[i].index, 0);
	}
	rc = files_path(build->path, err, path, NULL, NULL);
	if (rc == 0) {
		build->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
		if (build->fd < 0)
			rc = err_errno(err, errno, "%s: create", path);
	}
	if (rc == 0 && envelope_end(&build->buffer, envelope_begin(&build->buffer, SEG_MAGIC, SEG_VERSION, 0, 0),
				    SEG_HEAD_BYTES, NULL) < 0)
		rc = no_memory(build, err);
	if (rc < 0) {
		seg_build_free(build);
		return rc;
	}
	*ret_build = build;
	return 0;
}

void seg_build_free(struct seg_build *build)
{
	if (!build)
		return;
	for (unsigned i = 0; i < build->dbs; i++) {
		wr_release(&build->db[i].block);
		wr_release(&build->db[i].index);
		mem_free(build->db[i].waiting);
	}
	arena_release(&build->arena);
	wr_release(&build->stored);
	wr_release(&build->buffer);
	if (build->fd >= 0)
		(void)close(build->fd);
	mem_free(build);
}

/* ------------------------------------------------------------------- blocks */

static int end_block(struct seg_build *build, struct building *db, struct err *err)
{
	struct view bytes = wr_view(&db->block);

	if (db->block.bad)
		return no_memory(build, err);
	if (bytes.len == 0)
		return 0;
	wr_vbytes(&db->index, view_make(db->first, db->first_len));
	wr_varint(&db->index, seg_build_bytes(build));
	wr_varint(&db->index, bytes.len);
	wr_u64le(&db->index, codec_checksum(bytes));
	if (db->index.bad)
		return no_memory(build, err);
	db->blocks++;
	wr_reset(&db->block);
	return append(build, bytes, err);
}

/* The next entry of db in the order of keys; stored: as in a block, behind the key. */
static int add_entry(struct seg_build *build, struct building *db, struct view key, struct view stored, struct err *err)
{
	int rc = 0;

	if (db->entries && view_cmp(view_make(db->last, db->last_len), key) >= 0)
		return err_set(err, E_EXISTS, "%s: put: the key exists or is out of order", build->path);
	if (db->block.len && db->block.len + key.len + stored.len + 2 > SEG_BLOCK_BYTES)
		rc = end_block(build, db, err);
	if (rc < 0)
		return rc;
	if (db->block.len == 0) {
		memcpy(db->first, key.at, key.len);
		db->first_len = key.len;
	}
	wr_vbytes(&db->block, key);
	wr_bytes(&db->block, stored);
	memcpy(db->last, key.at, key.len);
	db->last_len = key.len;
	db->entries++;
	return db->block.bad ? no_memory(build, err) : 0;
}

/* The value as it is in a block; a large one is written, and what remains is where. */
static int store_value(struct seg_build *build, unsigned db, struct view value, struct err *err)
{
	bool far = value.len > SEG_FAR_BYTES;
	int rc = 0;

	wr_reset(&build->stored);
	wr_varint(&build->stored, (uint64_t)value.len << 1 | far);
	if (far) {
		wr_varint(&build->stored, seg_build_bytes(build));
		wr_u64le(&build->stored, build->own_sums >> db & 1 ? 0 : codec_checksum(value));
		rc = append(build, value, err);
	} else {
		wr_bytes(&build->stored, value);
	}
	return rc == 0 && build->stored.bad ? no_memory(build, err) : rc;
}

static int keep(struct seg_build *build, struct building *db, struct view key, struct err *err)
{
	struct waiting *waiting;

	if (mem_grow((void **)&db->waiting, &db->waiting_cap, db->waiting_count, sizeof(*db->waiting)) < 0)
		return no_memory(build, err);
	waiting = &db->waiting[db->waiting_count];
	waiting->key = arena_copy(&build->arena, key);
	waiting->stored = arena_copy(&build->arena, wr_view(&build->stored));
	waiting->number = build->puts++;
	if (!waiting->key.at || !waiting->stored.at)
		return no_memory(build, err);
	db->waiting_count++;
	return 0;
}

int seg_build_put(struct seg_build *build, unsigned number, bool in_order, struct view key, struct view value,
		  struct err *err)
{
	struct building *db = &build->db[number];
	int rc;

	assert(number < build->dbs && key.len && key.len <= SEG_KEY_MAX);
	if (build->failed)
		return err_set(err, E_IO, "%s: an earlier write failed", build->path);
	if (!db->begun) {
		db->begun = true;
		db->streams = in_order;
	}
	if (db->streams && !in_order)
		return err_set(err, E_INTERNAL, "%s: database %u is written in order of keys", build->path, number);
	rc = store_value(build, number, value, err);
	if (rc < 0)
		return rc;
	return db->streams ? add_entry(build, db, key, wr_view(&build->stored), err) : keep(build, db, key, err);
}

/* ---------------------------------------------------------------------- end */

static int cmp_waiting(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;
	int order = view_cmp(x->key, y->key);

	return order ? order : x->number < y->number ? -1 : x->number > y->number;
}

static int write_waiting(struct seg_build *build, struct building *db, struct err *err)
{
	int rc = 0;

	if (db->waiting_count)
		qsort(db->waiting, db->waiting_count, sizeof(*db->waiting), cmp_waiting);
	for (size_t i = 0; i < db->waiting_count && rc == 0; i++) {
		const struct waiting *waiting = &db->waiting[i];

		if (i + 1 < db->waiting_count && view_eq(waiting->key, waiting[1].key))
			continue;
		rc = add_entry(build, db, waiting->key, waiting->stored, err);
	}
	return rc == 0 ? end_block(build, db, err) : rc;
}

static int write_footer(struct seg_build *build, struct err *err)
{
	uint64_t offset = seg_build_bytes(build);
	size_t start, trailer;
	struct wr *wr = &build->buffer;
	int rc;

	start = envelope_begin(wr, SEG_FOOTER_MAGIC, SEG_VERSION, build->must_know, 0);
	wr_u8(wr, (uint8_t)build->dbs);
	for (unsigned i = 0; i < build->dbs; i++) {
		wr_u8(wr, build->own_sums >> i & 1 ? SEG_DB_OWN_SUMS : 0);
		wr_varint(wr, build->db[i].entries);
		wr_varint(wr, build->db[i].blocks);
		wr_bytes(wr, wr_view(&build->db[i].index));
	}
	rc = envelope_end(wr, start, wr->len - start, err);
	if (rc < 0)
		return rc;
	trailer = wr->len;
	wr_u64le(wr, offset);
	wr_u64le(wr, wr->bad ? 0 : codec_checksum(view_make(wr->at + trailer, 8)));
	return flush(build, err);
}

/* False: something in it is not as this program writes it, and the sums stay. */
static bool clear_sums(uint8_t *plain, size_t bytes)
{
	struct seg *seg = NULL;
	bool cleared = false;
	uint8_t *copy = mem_alloc(bytes + 1);	/* read in one, change the other */

	if (copy) {
		memcpy(copy, plain, bytes);
		cleared = seg_open_bytes(view_make(copy, bytes), &seg, NULL) == 0 &&
			  seg_groups_each(seg, plain, rg_sums_clear, NULL) == 0;
		if (!cleared)
			memcpy(plain, copy, bytes);
		seg_close(seg);
	}
	mem_free(copy);
	return cleared;
}

/* A file of few rows, packed whole: directories and keys repeat themselves. */
static int pack_small(struct seg_build *build, struct err *err)
{
	size_t plain_bytes = (size_t)build->written, start;
	uint8_t *plain = NULL;
	struct wr wr;
	int rc;

	if (build->written > SEG_PACK_BYTES_MAX)
		return 0;
	wr_init(&wr, 0);
	plain = mem_alloc(plain_bytes);
	if (!plain) {
		rc = no_memory(build, err);
		goto out;
	}
	rc = files_read_at(build->fd, plain, plain_bytes, 0, build->path, err);
	if (rc < 0)
		goto out;
	start = envelope_begin(&wr, SEG_PACKED_MAGIC, SEG_VERSION, clear_sums(plain, plain_bytes) ? SEG_PACKED_NO_SUMS : 0, 0);
	wr_u32le(&wr, (uint32_t)plain_bytes);
	rc = codec_pack(CODEC_ZSTD, build->level > PACK_LEVEL ? build->level : PACK_LEVEL, view_make(plain, plain_bytes), &wr, err);
	if (rc == 0)
		rc = envelope_end(&wr, start, wr.len - start, err);
	if (rc < 0 || wr.len > plain_bytes - plain_bytes / 10)
		goto out;
	rc = files_write_at(build->fd, wr_view(&wr), 0, build->path, err);
	if (rc == 0 && ftruncate(build->fd, (off_t)wr.len) < 0)
		rc = err_errno(err, errno, "%s: cut to %zu bytes", build->path, wr.len);
	build->written = wr.len;
out:
	build->failed |= rc < 0;
	mem_free(plain);
	wr_release(&wr);
	return rc;
}

int seg_build_end(struct seg_build *build, struct err *err)
{
	int rc = 0;

	if (build->failed)
		return err_set(err, E_IO, "%s: an earlier write failed", build->path);
	/* What is looked at first comes last, next to the footer: one read has both. */
	for (unsigned i = build->dbs; i-- > 0 && rc == 0;)
		rc = write_waiting(build, &build->db[i], err);
	if (rc == 0)
		rc = write_footer(build, err);
	return rc == 0 ? pack_small(build, err) : rc;
}
