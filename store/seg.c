#include "store/seg.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rd.h"
#include "store/codec.h"
#include "store/files.h"
#include "store/rg_sums.h"
#include "store/seg_format.h"

#define WHAT "sealed file"
#define TAIL_BYTES (64u << 10)	/* read at once when it is opened: footer and what is looked at first */
#define SUM_BYTES_MAX (1u << 20)	/* a value of more is not summed each time it is asked for */
#define BLOCK_INDEX_BYTES_MIN 12u	/* of a block in the footer */

struct seg_block {
	struct view first_key, bytes;
	uint64_t sum;
};

struct seg_db {
	uint8_t flags;
	uint64_t entries;
	struct seg_block *blocks;
	size_t count;
	_Atomic uint64_t *checked;	/* a bit a block */
};

struct seg {
	struct view mapped;	/* the file; empty when it is memory of the caller */
	struct view file;	/* its plain form */
	uint8_t *plain;		/* of a packed one */
	uint64_t footer;	/* offset: values and blocks lie before it */
	unsigned dbs;
	struct seg_db db[SEG_DBS_MAX];
};

/* ------------------------------------------------------------------ opening */

static int read_block_index(struct seg *seg, struct seg_block *block, struct rd *rd)
{
	uint64_t offset, len;

	block->first_key = rd_vbytes(rd);
	offset = rd_varint(rd);
	len = rd_varint(rd);
	block->sum = rd_u64le(rd);
	if (rd->bad || block->first_key.len == 0 || block->first_key.len > SEG_KEY_MAX || offset < SEG_HEAD_BYTES ||
	    offset > seg->footer || len > seg->footer - offset || len == 0 || len > SEG_BLOCK_BYTES_MAX)
		return E_CORRUPT;
	block->bytes = view_sub(seg->file, (size_t)offset, (size_t)len);
	return 0;
}

static int read_db(struct seg *seg, struct seg_db *db, struct rd *rd, struct err *err)
{
	uint64_t blocks;

	db->flags = rd_u8(rd);
	db->entries = rd_varint(rd);
	blocks = rd_varint(rd);
	if (rd->bad || blocks > rd_left(rd) / BLOCK_INDEX_BYTES_MIN)
		return err_set(err, E_CORRUPT, WHAT ": footer: %llu blocks in %zu bytes", (unsigned long long)blocks,
			       rd_left(rd));
	db->blocks = mem_array((size_t)blocks + 1, sizeof(*db->blocks));
	db->checked = mem_zalloc(((size_t)blocks / 64 + 1) * sizeof(*db->checked));
	if (!db->blocks || !db->checked)
		return err_set(err, E_NO_MEMORY, WHAT ": out of memory");
	for (; db->count < blocks; db->count++) {
		struct seg_block *block = &db->blocks[db->count];

		if (read_block_index(seg, block, rd) < 0 ||
		    (db->count && view_cmp(block[-1].first_key, block->first_key) >= 0))
			return err_set(err, E_CORRUPT, WHAT ": footer: block %zu lies nowhere", db->count);
	}
	return 0;
}

static int read_footer(struct seg *seg, struct err *err)
{
	struct rd rd = rd_make(view_sub(seg->file, seg->file.len - SEG_TRAILER_BYTES, SEG_TRAILER_BYTES));
	uint64_t sum = codec_checksum(view_make(rd.at, 8));
	struct envelope envelope;
	struct view footer;
	int rc;

	seg->footer = rd_u64le(&rd);
	if (rd_u64le(&rd) != sum)
		return err_set(err, E_CORRUPT, WHAT ": checksum of its last bytes");
	if (seg->footer < SEG_HEAD_BYTES || seg->footer > seg->file.len - SEG_TRAILER_BYTES)
		return err_set(err, E_CORRUPT, WHAT ": its footer lies outside");
	footer = view_sub(seg->file, (size_t)seg->footer, seg->file.len - SEG_TRAILER_BYTES - (size_t)seg->footer);
	if (footer.len > TAIL_BYTES)
		files_want(footer);
	rc = envelope_open(footer, WHAT ": footer", SEG_FOOTER_MAGIC, SEG_VERSION, SEG_MUST_KNOWN, &envelope, err);
	if (rc == 0)
		rc = envelope_check(footer, WHAT ": footer", footer.len, err);
	if (rc < 0)
		return rc;
	rd = rd_make(footer);
	rd_skip(&rd, ENVELOPE_BYTES);
	seg->dbs = rd_u8(&rd);
	if (rd.bad || seg->dbs > SEG_DBS_MAX) {
		seg->dbs = 0;
		return err_set(err, E_UNSUPPORTED, WHAT ": more databases than this program knows");
	}
	for (unsigned i = 0; i < seg->dbs && rc == 0; i++)
		rc = read_db(seg, &seg->db[i], &rd, err);
	return rc == 0 && rd_left(&rd) ? err_set(err, E_CORRUPT, WHAT ": footer: %zu bytes too many", rd_left(&rd)) : rc;
}

/* *ret_no_sums: they are to be made. */
static int unpack(struct seg *seg, bool *ret_no_sums, struct err *err)
{
	struct envelope envelope;
	struct rd rd = rd_make(seg->file);
	uint32_t plain_bytes;
	int rc = envelope_open(seg->file, WHAT, SEG_PACKED_MAGIC, SEG_VERSION, SEG_PACKED_NO_SUMS,
			       &envelope, err);

	if (rc == 0)
		rc = envelope_check(seg->file, WHAT, seg->file.len, err);
	if (rc < 0)
		return rc;
	rd_skip(&rd, ENVELOPE_BYTES);
	plain_bytes = rd_u32le(&rd);
	if (rd.bad || plain_bytes > SEG_PACK_BYTES_MAX)
		return err_set(err, E_CORRUPT, WHAT ": packed, of %u bytes", plain_bytes);
	seg->plain = mem_alloc(plain_bytes + 1);
	if (!seg->plain)
		return err_set(err, E_NO_MEMORY, WHAT ": out of memory");
	rc = codec_unpack(CODEC_ZSTD, rd_rest(&rd), seg->plain, plain_bytes, err);
	if (rc == 0)
		seg->file = view_make(seg->plain, plain_bytes);
	*ret_no_sums = envelope.must_know & SEG_PACKED_NO_SUMS;
	return rc;
}

static int open_bytes(struct seg *seg, struct err *err)
{
	struct envelope envelope;
	struct rd rd = rd_make(seg->file);
	bool no_sums = false;
	int rc = 0;

	if (rd_u32le(&rd) == SEG_PACKED_MAGIC)
		rc = unpack(seg, &no_sums, err);
	if (rc < 0)
		return rc;
	if (seg->file.len < SEG_HEAD_BYTES + ENVELOPE_BYTES + SEG_TRAILER_BYTES)
		return err_set(err, E_CORRUPT, WHAT ": cut short at %zu bytes", seg->file.len);
	rc = envelope_open(view_sub(seg->file, 0, SEG_HEAD_BYTES), WHAT, SEG_MAGIC, SEG_VERSION, 0, &envelope, err);
	if (rc == 0)
		rc = envelope_check(view_sub(seg->file, 0, SEG_HEAD_BYTES), WHAT, SEG_HEAD_BYTES, err);
	if (rc == 0)
		rc = read_footer(seg, err);
	/* The sum of the packed file has vouched for all of them. */
	return rc == 0 && no_sums ? seg_groups_each(seg, seg->plain, rg_sums_fill, err) : rc;
}

int seg_open_bytes(struct view file, struct seg **ret_seg, struct err *err)
{
	struct seg *seg = mem_zalloc(sizeof(*seg));
	int rc;

	if (!seg)
		return err_set(err, E_NO_MEMORY, WHAT ": out of memory");
	seg->file = file;
	rc = open_bytes(seg, err);
	if (rc < 0) {
		seg_close(seg);
		return rc;
	}
	*ret_seg = seg;
	return 0;
}

/* The last page of a file in one go with those before it; the pages in between one by one, as they are asked for. */
static struct view tail_of(struct view file)
{
	return view_sub(file, file.len > TAIL_BYTES ? file.len - TAIL_BYTES : 0, TAIL_BYTES);
}

int seg_open(const char *path, size_t want_bytes, struct seg **ret_seg, struct err *err)
{
	struct seg *seg = NULL;
	struct err why = { 0 };
	struct view file;
	int rc = files_map(path, &file, err);

	if (rc < 0)
		return rc;
	if (file.len != want_bytes) {
		rc = err_set(err, E_CORRUPT, "%s: %zu bytes, and it should have %zu", path, file.len, want_bytes);
		files_unmap(file);
		return rc;
	}
	if (file.len)
		(void)madvise((void *)file.at, file.len, MADV_RANDOM);
	files_want(tail_of(file));
	rc = seg_open_bytes(file, &seg, &why);
	if (rc < 0) {
		files_unmap(file);
		return err_set(err, rc, "%s: %s", path, why.text);
	}
	if (seg->plain)
		files_unmap(file);
	else
		seg->mapped = file;
	*ret_seg = seg;
	return 0;
}

void seg_close(struct seg *seg)
{
	if (!seg)
		return;
	for (unsigned i = 0; i < seg->dbs; i++) {
		mem_free(seg->db[i].blocks);
		mem_free((void *)seg->db[i].checked);
	}
	files_unmap(seg->mapped);
	mem_free(seg->plain);
	mem_free(seg);
}

void seg_announce(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0) {
		off_t from = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;

		(void)posix_fadvise(fd, from, 0, POSIX_FADV_WILLNEED);
	}
	(void)close(fd);
}

size_t seg_bytes(const struct seg *seg)
{
	return seg->file.len;
}

/* ------------------------------------------------------------------ entries */

static int check_block(struct seg_db *db, size_t number, struct err *err)
{
	const struct seg_block *block = &db->blocks[number];
	_Atomic uint64_t *word = &db->checked[number / 64];
	uint64_t bit = 1ull << number % 64;

	if (atomic_load_explicit(word, memory_order_relaxed) & bit)
		return 0;
	if (codec_checksum(block->bytes) != block->sum)
		return err_set(err, E_CORRUPT, WHAT ": checksum of block %zu of %zu", number, db->count);
	(void)atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
	return 0;
}

struct entry {
	struct view key, value;
	bool far;
	uint64_t sum;
};

/* The entry at *at of a block, and move behind it. 1, 0 at the end. */
static int read_entry(const struct seg *seg, struct view block, size_t *at, struct entry *entry, struct err *err)
{
	struct rd rd = rd_make(view_sub(block, *at, block.len));
	uint64_t head, offset;

	if (rd_left(&rd) == 0)
		return 0;
	entry->key = rd_vbytes(&rd);
	head = rd_varint(&rd);
	entry->far = head & 1;
	entry->sum = 0;
	if (!entry->far) {
		entry->value = rd_bytes(&rd, (size_t)(head >> 1));
	} else {
		offset = rd_varint(&rd);
		entry->sum = rd_u64le(&rd);
		if (offset > seg->footer || head >> 1 > seg->footer - offset)
			rd.bad = true;
		else
			entry->value = view_sub(seg->file, (size_t)offset, (size_t)(head >> 1));
	}
	if (rd.bad || entry->key.len == 0 || entry->key.len > SEG_KEY_MAX)
		return err_set(err, E_CORRUPT, WHAT ": an entry at byte %zu of a block is none", *at);
	*at += rd_pos(&rd);
	return 1;
}

int seg_groups_each(const struct seg *seg, uint8_t *plain, int (*each)(uint8_t *group, size_t len), struct err *err)
{
	size_t left = seg->file.len;	/* no two lie at the same place */

	for (unsigned i = 0; i < seg->dbs; i++) {
		for (size_t block = 0; block < seg->db[i].count; block++) {
			struct entry entry;
			size_t at = 0;
			int rc;

			while ((rc = read_entry(seg, seg->db[i].blocks[block].bytes, &at, &entry, err)) == 1) {
				if (!rg_sums_is_group(entry.value))
					continue;
				rc = entry.value.len > left ? E_CORRUPT :
				     each(plain + (entry.value.at - seg->file.at), entry.value.len);
				if (rc < 0)
					return err_set(err, rc, WHAT ": a row group lies beyond its %zu bytes",
						       entry.value.len);
				left -= entry.value.len;
			}
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int check_value(const struct seg_db *db, const struct entry *entry, size_t bytes_max, struct err *err)
{
	if (!entry->far || db->flags & SEG_DB_OWN_SUMS || entry->value.len > bytes_max)
		return 0;
	files_want(entry->value);
	if (codec_checksum(entry->value) != entry->sum)
		return err_set(err, E_CORRUPT, WHAT ": checksum of a value of %zu bytes", entry->value.len);
	return 0;
}

/* Blocks whose first key is below (or_same: at or below) key. */
static size_t blocks_up_to(const struct seg_db *db, struct view key, bool or_same)
{
	size_t low = 0, high = db->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = view_cmp(db->blocks[mid].first_key, key);

		if (order < 0 || (or_same && order == 0))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int hand_out(const struct seg_db *db, const struct entry *entry, struct view *ret_key, struct view *ret_value,
		    struct err *err)
{
	int rc = check_value(db, entry, SUM_BYTES_MAX, err);

	if (rc < 0)
		return rc;
	*ret_key = entry->key;
	*ret_value = entry->value;
	return 1;
}

int seg_get(struct seg *seg, unsigned number, struct view key, struct view *ret_value, struct err *err)
{
	struct seg_place place = { .db = number };
	struct view at, value;
	int rc = seg_seek(seg, &place, key, &at, &value, err);

	if (rc <= 0 || !view_eq(at, key))
		return rc < 0 ? rc : 0;
	*ret_value = value;
	return 1;
}

int seg_seek(struct seg *seg, struct seg_place *place, struct view key, struct view *ret_key, struct view *ret_value,
	     struct err *err)
{
	struct seg_db *db = place->db < seg->dbs ? &seg->db[place->db] : NULL;
	size_t block = db ? blocks_up_to(db, key, true) : 0, at = 0;
	struct entry entry;
	int rc = 0;

	if (!db || db->count == 0)
		return 0;
	if (block == 0)
		block = 1;	/* the first entry of all is behind key */
	for (; block <= db->count; block++, at = 0) {
		rc = check_block(db, block - 1, err);
		while (rc == 0 && (rc = read_entry(seg, db->blocks[block - 1].bytes, &at, &entry, err)) == 1) {
			if (view_cmp(entry.key, key) < 0) {
				rc = 0;
				continue;
			}
			place->block = block;
			place->next = at;
			return hand_out(db, &entry, ret_key, ret_value, err);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

int seg_below(struct seg *seg, struct seg_place *place, struct view key, struct view *ret_key, struct view *ret_value,
	      struct err *err)
{
	struct seg_db *db = place->db < seg->dbs ? &seg->db[place->db] : NULL;
	size_t block = db ? blocks_up_to(db, key, false) : 0, at = 0, behind = 0;
	struct entry entry, last = { 0 };
	int rc;

	if (block == 0)
		return 0;
	rc = check_block(db, block - 1, err);
	while (rc == 0 && (rc = read_entry(seg, db->blocks[block - 1].bytes, &at, &entry, err)) == 1) {
		if (view_cmp(entry.key, key) >= 0)
			break;
		last = entry;
		behind = at;
		rc = 0;
	}
	if (rc < 0)
		return rc;
	if (!behind)
		return err_set(err, E_CORRUPT, WHAT ": block %zu does not begin with its first key", block - 1);
	place->block = block;
	place->next = behind;
	return hand_out(db, &last, ret_key, ret_value, err);
}

int seg_next(struct seg *seg, struct seg_place *place, struct view *ret_key, struct view *ret_value, struct err *err)
{
	struct seg_db *db = place->db < seg->dbs ? &seg->db[place->db] : NULL;
	size_t block = place->block ? place->block : 1, at = place->next;
	struct entry entry;

	for (; db && block <= db->count; block++, at = 0) {
		int rc = check_block(db, block - 1, err);

		if (rc == 0)
			rc = read_entry(seg, db->blocks[block - 1].bytes, &at, &entry, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		place->block = block;
		place->next = at;
		return hand_out(db, &entry, ret_key, ret_value, err);
	}
	return 0;
}

/* ----------------------------------------------------------------- verifying */

static int verify_block(struct seg *seg, struct seg_db *db, size_t number, uint64_t *entries, struct err *err)
{
	const struct seg_block *block = &db->blocks[number];
	struct view last = { 0 };
	struct entry entry;
	size_t at = 0;
	int rc = codec_checksum(block->bytes) == block->sum ? 0 : E_CORRUPT;

	if (rc < 0)
		return err_set(err, rc, WHAT ": checksum of block %zu of %zu", number, db->count);
	while ((rc = read_entry(seg, block->bytes, &at, &entry, err)) == 1) {
		if (last.at ? view_cmp(last, entry.key) >= 0 : !view_eq(entry.key, block->first_key))
			return err_set(err, E_CORRUPT, WHAT ": block %zu: its keys are out of order", number);
		last = entry.key;
		++*entries;
		rc = check_value(db, &entry, SIZE_MAX, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}

int seg_verify(struct seg *seg, struct err *err)
{
	for (unsigned i = 0; i < seg->dbs; i++) {
		struct seg_db *db = &seg->db[i];
		uint64_t entries = 0;

		for (size_t block = 0; block < db->count; block++) {
			int rc = verify_block(seg, db, block, &entries, err);

			if (rc < 0)
				return rc;
		}
		if (entries != db->entries)
			return err_set(err, E_CORRUPT, WHAT ": database %u: %llu entries instead of %llu", i,
				       (unsigned long long)entries, (unsigned long long)db->entries);
	}
	return 0;
}
