#include "store/kv_verify.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/rd.h"
#include "store/codec.h"
#include "store/files.h"

/*
 * The layout of LMDB 0.9 on 64-bit little-endian machines (mdb.c: MDB_page,
 * MDB_node, MDB_db, MDB_meta), which is stable: data version 1 since 2011.
 *
 *   page   u64 number, u16, u16 flags, u16 lower, u16 upper | u32 pages of an overflow run; at 16: u16 nodes[]
 *   node   u16 lo, u16 hi, u16 flags, u16 key length, key, data
 *   meta   page header, u32 magic, u32 version, u64, u64 map size, db free, db main, u64 last page, u64 txn
 *   db     u32 (in free: page size), u16 flags, u16 depth, u64 branch, leaf, overflow pages, entries, root
 */
#define HEAD_BYTES 16u
#define NODE_BYTES 8u
#define DB_BYTES 48u
#define META_BYTES (HEAD_BYTES + 24u + 2 * DB_BYTES + 16u)
#define MAGIC 0xBEEFC0DEu
#define DATA_VERSION 1u
#define PAGE_MIN 512u
#define PAGE_MAX 32768u
#define HEAD_MAX (PAGE_MAX + META_BYTES)	/* of a file: both meta pages lie in it */
#define DEPTH_MAX 32u		/* LMDB's CURSOR_STACK */
#define NO_PAGE UINT64_MAX

enum { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_META = 8 };
enum { NODE_BIG = 1, NODE_DB = 2, NODE_DUPLICATES = 4 };
enum { DB_FLAGS_KNOWN = 0 };	/* we open databases with no flag at all */

struct meta {
	uint32_t page_bytes;
	struct view free_db, main_db;
	uint64_t last_page, txn;
};

struct walk {
	struct view file;
	size_t page_bytes;
	uint64_t pages;		/* 0 .. pages - 1 are in use */
	uint64_t visited;
	bool free_db;		/* its values are lists of pages */
	bool main_db;		/* its values may be databases */
	uint64_t salt;		/* of the sums of its entries; 0: it has none */
	struct err *err;
};

static int bad(struct walk *walk, uint64_t page, const char *what)
{
	return err_set(walk->err, E_CORRUPT, "page %llu of the tree: %s", (unsigned long long)page, what);
}

/* ------------------------------------------------------------ sums of entries */

uint64_t kv_salt(struct view name)
{
	return codec_checksum(name) | 1;
}

static uint64_t kv_sum(uint64_t salt, struct view key, struct view value)
{
	return salt + codec_checksum(key) * 0x9e3779b97f4a7c15u + codec_checksum(value);
}

void kv_sum_write(uint64_t salt, struct view key, struct view value, uint8_t *ret_stored)
{
	uint64_t sum = htole64(kv_sum(salt, key, value));

	if (value.len)
		memcpy(ret_stored, value.at, value.len);
	memcpy(ret_stored + value.len, &sum, sizeof(sum));
}

bool kv_sum_check(uint64_t salt, struct view key, struct view *value)
{
	struct view plain = view_sub(*value, 0, value->len < KV_SUM_BYTES ? 0 : value->len - KV_SUM_BYTES);
	struct rd rd = rd_make(view_sub(*value, plain.len, SIZE_MAX));
	uint64_t stored = rd_u64le(&rd);

	if (rd.bad || stored != kv_sum(salt, key, plain))
		return false;
	*value = plain;
	return true;
}

/* ---------------------------------------------------------------- meta pages */

static int read_meta(struct view page, struct meta *ret_meta, struct err *err)
{
	struct rd rd = rd_make(view_sub(page, 0, META_BYTES));
	uint16_t flags;
	struct meta meta;

	rd_skip(&rd, 10);
	flags = rd_u16le(&rd);
	rd_skip(&rd, 4);
	if (rd_u32le(&rd) != MAGIC || rd_u32le(&rd) != DATA_VERSION || !(flags & PAGE_META))
		return err_set(err, E_CORRUPT, "a meta page is not one of LMDB 0.9");
	rd_skip(&rd, 16);
	meta.free_db = rd_bytes(&rd, DB_BYTES);
	meta.main_db = rd_bytes(&rd, DB_BYTES);
	meta.last_page = rd_u64le(&rd);
	meta.txn = rd_u64le(&rd);
	if (rd.bad)
		return err_set(err, E_CORRUPT, "a meta page is cut short at %zu bytes", page.len);
	rd = rd_make(meta.free_db);
	meta.page_bytes = rd_u32le(&rd);
	if (meta.page_bytes < PAGE_MIN || meta.page_bytes > PAGE_MAX || (meta.page_bytes & (meta.page_bytes - 1)))
		return err_set(err, E_CORRUPT, "a meta page says that pages have %u bytes", meta.page_bytes);
	*ret_meta = meta;
	return 0;
}

/* The second meta page lies one page behind the first. */
static int read_metas(struct view file, struct meta metas[2], struct err *err)
{
	int rc = read_meta(file, &metas[0], err);

	if (rc == 0)
		rc = read_meta(view_sub(file, metas[0].page_bytes, META_BYTES), &metas[1], err);
	if (rc == 0 && metas[0].page_bytes != metas[1].page_bytes)
		rc = err_set(err, E_CORRUPT, "the meta pages disagree on the size of a page");
	return rc;
}

/* ------------------------------------------------------------------ the tree */

static int walk_page(struct walk *walk, uint64_t number, unsigned depth);

/* name: of one among many; else empty. */
static int walk_db(struct walk *walk, struct view db, bool main_db, struct view name)
{
	struct walk below = *walk;
	struct rd rd = rd_make(db);
	uint16_t flags;
	uint64_t root;
	int rc;

	rd_skip(&rd, 4);
	flags = rd_u16le(&rd);
	rd_skip(&rd, 2 + 4 * 8);
	root = rd_u64le(&rd);
	if (rd.bad)
		return err_set(walk->err, E_CORRUPT, "a database's record has %zu bytes", db.len);
	if (flags != DB_FLAGS_KNOWN && !walk->free_db)
		return err_set(walk->err, E_CORRUPT, "a database has flags %x", flags);
	if (root == NO_PAGE)
		return 0;
	below.main_db = main_db;
	below.salt = name.len && name.at[name.len - 1] == KV_SUMMED ? kv_salt(name) : 0;
	rc = walk_page(&below, root, 0);
	walk->visited = below.visited;
	return rc;
}

/* A list of free pages: how many, then their numbers. */
static int check_free(struct walk *walk, uint64_t page, struct view list)
{
	struct rd rd = rd_make(list);
	uint64_t count = rd_u64le(&rd);

	if (rd.bad || count > rd_left(&rd) / 8)
		return bad(walk, page, "a list of free pages is cut short");
	while (count--) {
		uint64_t number = rd_u64le(&rd);

		if (number < 2 || number >= walk->pages)
			return bad(walk, page, "a free page lies outside of the file");
	}
	return 0;
}

static int walk_leaf_node(struct walk *walk, uint64_t page, struct view node, size_t data_bytes, uint16_t flags,
			  size_t key_bytes)
{
	struct view key = view_sub(node, NODE_BYTES, key_bytes);
	struct view data = view_sub(node, NODE_BYTES + key_bytes, data_bytes);
	uint64_t run;
	struct rd rd;

	if (flags & ~(NODE_BIG | NODE_DB) || (flags & NODE_DB && !walk->main_db))
		return bad(walk, page, "a node has flags that we never write");
	if (flags & NODE_BIG) {
		rd = rd_make(view_sub(node, NODE_BYTES + key_bytes, 8));
		run = rd_u64le(&rd);
		if (rd.bad)
			return bad(walk, page, "a node is cut short");
		if (run < 2 || run >= walk->pages ||
		    (HEAD_BYTES + data_bytes + walk->page_bytes - 1) / walk->page_bytes > walk->pages - run)
			return bad(walk, page, "a large value lies outside of the file");
		data = view_sub(walk->file, run * walk->page_bytes + HEAD_BYTES, data_bytes);
	}
	if (data.len != data_bytes)
		return bad(walk, page, "a node is cut short");
	if (flags & NODE_DB)
		return walk_db(walk, data, false, key);
	if (walk->salt && !(flags & NODE_BIG) && !kv_sum_check(walk->salt, key, &data))
		return bad(walk, page, "an entry is not what was written");
	return walk->free_db ? check_free(walk, page, data) : 0;
}

static int walk_nodes(struct walk *walk, uint64_t number, struct view page, uint16_t flags, size_t lower, size_t upper,
		      unsigned depth)
{
	bool branch = flags & PAGE_BRANCH;
	struct view last_key = { 0 };
	int rc = 0;

	for (size_t at = HEAD_BYTES; at < lower && rc == 0; at += 2) {
		struct rd rd = rd_make(view_sub(page, at, 2));
		size_t offset = rd_u16le(&rd);
		struct view node = view_sub(page, offset, page.len), key;
		uint32_t lo, hi;
		uint16_t node_flags, key_bytes;

		rd = rd_make(node);
		lo = rd_u16le(&rd);
		hi = rd_u16le(&rd);
		node_flags = rd_u16le(&rd);
		key_bytes = rd_u16le(&rd);
		key = rd_bytes(&rd, key_bytes);
		if (rd.bad || offset < upper || offset % 2)
			return bad(walk, number, "a node lies outside of it");
		/* The first key of a branch page stands for everything below the second and is not looked at. */
		if (at > HEAD_BYTES && !(branch && at == HEAD_BYTES + 2) && !walk->free_db && view_cmp(last_key, key) >= 0)
			return bad(walk, number, "its keys are out of order");
		last_key = key;
		if (branch)
			rc = walk_page(walk, lo | (uint64_t)hi << 16 | (uint64_t)node_flags << 32, depth + 1);
		else
			rc = walk_leaf_node(walk, number, node, lo | (size_t)hi << 16, node_flags, key_bytes);
	}
	return rc;
}

static int walk_page(struct walk *walk, uint64_t number, unsigned depth)
{
	struct view page;
	struct rd rd;
	uint64_t says;
	uint16_t flags, lower, upper;

	if (number < 2 || number >= walk->pages)
		return bad(walk, number, "lies outside of the file");
	if (depth >= DEPTH_MAX || ++walk->visited > walk->pages)
		return bad(walk, number, "the tree runs in a circle");
	page = view_sub(walk->file, number * walk->page_bytes, walk->page_bytes);
	rd = rd_make(page);
	says = rd_u64le(&rd);
	rd_skip(&rd, 2);
	flags = rd_u16le(&rd);
	lower = rd_u16le(&rd);
	upper = rd_u16le(&rd);
	if (rd.bad || says != number)
		return bad(walk, number, "says that it is another one");
	if (flags != PAGE_BRANCH && flags != PAGE_LEAF)
		return bad(walk, number, "is neither branch nor leaf");
	if (lower < HEAD_BYTES || lower % 2 || lower > upper || upper > walk->page_bytes)
		return bad(walk, number, "its bounds are wrong");
	/* LMDB asserts this one; an empty leaf is the root of a database that lost all entries. */
	if (flags == PAGE_BRANCH && lower < HEAD_BYTES + (walk->free_db ? 2 : 4))
		return bad(walk, number, "a branch without branches");
	return walk_nodes(walk, number, page, flags, lower, upper, depth);
}

/* -------------------------------------------------------------------- doors */

int kv_verify_bytes(struct view file, uint64_t txn_id, struct err *err)
{
	struct walk walk = { .file = file, .err = err };
	struct meta metas[2], *meta;
	int rc = read_metas(file, metas, err);

	if (rc < 0)
		return rc;
	meta = metas[0].txn > metas[1].txn ? &metas[0] : &metas[1];
	if (txn_id != UINT64_MAX && meta->txn != txn_id)
		meta = meta == metas ? metas + 1 : metas;
	if (txn_id != UINT64_MAX && meta->txn != txn_id)
		return 0;	/* a writer went on by two since: its pages are not ours to judge */
	walk.page_bytes = meta->page_bytes;
	if (meta->last_page < 1 || meta->last_page >= file.len / walk.page_bytes)
		return err_set(err, E_CORRUPT, "%llu pages are in use, and the file has %zu",
			       (unsigned long long)meta->last_page + 1, file.len / walk.page_bytes);
	walk.pages = meta->last_page + 1;
	walk.free_db = true;
	rc = walk_db(&walk, meta->free_db, false, view_make(NULL, 0));
	walk.free_db = false;
	return rc == 0 ? walk_db(&walk, meta->main_db, true, view_make(NULL, 0)) : rc;
}

int kv_verify_tree(const char *path, uint64_t txn_id, struct err *err)
{
	struct err why = { 0 };
	struct view file;
	int rc = files_map(path, &file, err);

	if (rc < 0)
		return rc;
	rc = kv_verify_bytes(file, txn_id, &why);
	files_unmap(file);
	return rc < 0 ? err_set(err, rc, "%s: %s", path, why.text) : 0;
}

static int read_head(const char *path, uint8_t head[HEAD_MAX], size_t *ret_bytes, struct err *err)
{
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	got = pread(fd, head, HEAD_MAX, 0);
	rc = got < 0 ? err_errno(err, errno, "%s: read", path) : 0;
	(void)close(fd);
	*ret_bytes = rc == 0 ? (size_t)got : 0;
	return rc;
}

int kv_verify_head(const char *path, struct err *err)
{
	uint8_t head[HEAD_MAX];
	struct err why = { 0 };
	struct meta metas[2];
	size_t bytes = 0;
	int rc = read_head(path, head, &bytes, err);

	if (rc == 0)
		rc = read_metas(view_make(head, bytes), metas, &why);
	return rc < 0 && why.code ? err_set(err, rc, "%s: %s", path, why.text) : rc;
}

int kv_verify_unmade(const char *path, struct err *err)
{
	uint8_t head[HEAD_MAX];
	size_t bytes = 0, page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	unsigned bad = 0;
	int rc = read_head(path, head, &bytes, err);

	for (unsigned i = 0; i < 2 && rc == 0; i++) {
		struct meta meta = { 0 };

		if (read_meta(view_sub(view_make(head, bytes), i * page_bytes, META_BYTES), &meta, NULL) < 0)
			bad++;
		else if (meta.txn > 0)
			return 0;
	}
	return rc < 0 ? rc : bad > 0;
}
