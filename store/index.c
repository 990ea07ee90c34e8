#include "store/index.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "store/bloom.h"
#include "store/codec.h"

/*
 * Key of a posting list: table u8, column u16, kind u8, value. Whole values up
 * to VALUE_KEY_MAX bytes are the key's end; of longer ones the head and a hash
 * are, and the value stands in front of the list.
 */
#define KEY_HEAD 4u
#define VALUE_KEY_MAX 200u
enum { KEY_WHOLE = 0, KEY_CUT = 1 };
enum { LIST_INLINE = 0, LIST_BITMAP = 1 };
#define KEEP_BYTES (4u << 20)	/* from column to column: what is given back comes back page by page */
#define INLINE_MAX 32u		/* groups written one by one; more become a bitmap */

struct posting {
	struct view key;	/* in the arena, as is the rest */
	struct view cut;	/* the whole value of a KEY_CUT */
	uint64_t hash;
	uint32_t *groups;	/* ascending */
	uint32_t count, cap;
	uint32_t first[2];	/* where groups begins */
};

struct index_builder {
	const struct table *table;
	struct arena arena;	/* postings */
	struct posting **slots;	/* open addressing */
	size_t slots_count, count;
	uint32_t *distinct;	/* by ordinal; UINT32_MAX: too many, not indexed */
};

struct index_builder *index_builder_new(const struct table *table)
{
	struct index_builder *builder = mem_zalloc(sizeof(*builder));

	if (!builder)
		return NULL;
	builder->table = table;
	arena_init(&builder->arena, 0);
	builder->slots_count = 1024;
	builder->slots = mem_array(builder->slots_count, sizeof(*builder->slots));
	builder->distinct = mem_array(table->cols_count, sizeof(*builder->distinct));
	if (!builder->slots || !builder->distinct) {
		index_builder_free(builder);
		return NULL;
	}
	return builder;
}

void index_builder_free(struct index_builder *builder)
{
	if (!builder)
		return;
	arena_release(&builder->arena);
	mem_free(builder->slots);
	mem_free(builder->distinct);
	mem_free(builder);
}

/* --------------------------------------------------------------------- keys */

struct index_key {
	uint8_t at[KEY_HEAD + VALUE_KEY_MAX + 8];
	size_t len;
	bool cut;
};

static void key_head(struct index_key *key, enum table_id table, const struct col *col, bool cut)
{
	key->at[0] = (uint8_t)table;
	key->at[1] = (uint8_t)(col->id >> 8);
	key->at[2] = (uint8_t)col->id;
	key->at[3] = cut ? KEY_CUT : KEY_WHOLE;
	key->len = KEY_HEAD;
	key->cut = cut;
}

/* value: bytes, or an INT as 8 bytes little-endian, which becomes big-endian so that keys have its order. */
static void key_make(struct index_key *key, enum table_id table, const struct col *col, struct view value)
{
	size_t head = value.len > VALUE_KEY_MAX ? VALUE_KEY_MAX : value.len;
	bool cut = head < value.len;
	uint64_t hash;

	key_head(key, table, col, cut);
	if (types[col->type].phys == PHYS_INT && value.len == 8) {
		for (size_t i = 0; i < 8; i++)
			key->at[key->len++] = value.at[7 - i];
		return;
	}
	if (head)
		memcpy(key->at + key->len, value.at, head);
	key->len += head;
	if (cut) {
		hash = __builtin_bswap64(codec_checksum(value));
		memcpy(key->at + key->len, &hash, sizeof(hash));
		key->len += sizeof(hash);
	}
}

/* The key that says that a column is indexed in this partition. */
static struct view meta_key(uint8_t at[8], enum table_id table, const struct col *col)
{
	memcpy(at, "index", 5);
	at[5] = (uint8_t)table;
	at[6] = (uint8_t)(col->id >> 8);
	at[7] = (uint8_t)col->id;
	return view_make(at, 8);
}

static struct view bloom_key(uint8_t at[7], enum table_id table, const struct col *col, uint32_t group)
{
	at[0] = (uint8_t)table;
	at[1] = (uint8_t)(col->id >> 8);
	at[2] = (uint8_t)col->id;
	group = __builtin_bswap32(group);
	memcpy(at + 3, &group, sizeof(group));
	return view_make(at, 7);
}

/* ----------------------------------------------------------------- building */

static int slots_grow(struct index_builder *builder)
{
	size_t count = builder->slots_count * 2;
	struct posting **slots = mem_array(count, sizeof(*slots));

	if (!slots)
		return E_NO_MEMORY;
	for (size_t i = 0; i < builder->slots_count; i++) {
		struct posting *posting = builder->slots[i];
		size_t at;

		if (!posting)
			continue;
		for (at = posting->hash & (count - 1); slots[at]; at = (at + 1) & (count - 1))
			;
		slots[at] = posting;
	}
	mem_free(builder->slots);
	builder->slots = slots;
	builder->slots_count = count;
	return 0;
}

static int posting_add(struct index_builder *builder, struct posting *posting, uint32_t group)
{
	if (posting->count && posting->groups[posting->count - 1] == group)
		return 0;
	if (posting->count == posting->cap) {
		uint32_t *groups = arena_array(&builder->arena, posting->cap * 2, sizeof(*groups));

		if (!groups)
			return E_NO_MEMORY;
		memcpy(groups, posting->groups, posting->count * sizeof(*groups));
		posting->groups = groups;
		posting->cap *= 2;
	}
	posting->groups[posting->count++] = group;
	return 0;
}

static int add_value(struct index_builder *builder, const struct col *col, struct view value, uint32_t group)
{
	struct posting *posting;
	struct index_key key;
	struct view bytes;
	uint64_t hash;
	size_t at;

	key_make(&key, builder->table->id, col, value);
	bytes = view_make(key.at, key.len);
	hash = hash_bytes(key.at, key.len, 0);
	for (at = hash & (builder->slots_count - 1); (posting = builder->slots[at]);
	     at = (at + 1) & (builder->slots_count - 1))
		if (posting->hash == hash && view_eq(posting->key, bytes))
			return posting_add(builder, posting, group);
	if (builder->distinct[col->ordinal] >= INDEX_VALUES_MAX) {
		builder->distinct[col->ordinal] = UINT32_MAX;
		return 0;
	}
	posting = arena_zalloc(&builder->arena, sizeof(*posting));
	if (!posting)
		return E_NO_MEMORY;
	posting->key = arena_copy(&builder->arena, bytes);
	if (key.cut)
		posting->cut = arena_copy(&builder->arena, value);
	if (!posting->key.at || (key.cut && !posting->cut.at))
		return E_NO_MEMORY;
	posting->hash = hash;
	posting->groups = posting->first;
	posting->cap = sizeof(posting->first) / sizeof(posting->first[0]);
	posting->groups[posting->count++] = group;
	builder->slots[at] = posting;
	builder->distinct[col->ordinal]++;
	return ++builder->count * 4 > builder->slots_count * 3 ? slots_grow(builder) : 0;
}

/* Which dictionary entries the rows really name. */
static const uint64_t *used_entries(const struct rg_bytes *bytes, uint32_t rows, struct arena *arena)
{
	uint64_t *used = arena_zalloc(arena, (bytes->dict_count / 64 + 1) * sizeof(*used));

	for (uint32_t i = 0; used && i < rows; i++) {
		uint32_t code = bytes->codes ? bytes->codes[i] : i;

		if (rg_valid(bytes->valid, i))
			used[code / 64] |= 1ull << (code % 64);
	}
	return used;
}

struct group_values {		/* distinct values of one column in one group, nearly */
	struct view *values;
	size_t count;
};

static int values_of_bytes(const struct rg *rg, const struct col *col, struct arena *arena,
			   struct group_values *ret_values, struct err *err)
{
	struct rg_bytes bytes;
	const uint64_t *used;
	int rc = rg_read_bytes(rg, col, arena, &bytes, err);

	if (rc < 0)
		return rc;
	ret_values->count = 0;
	ret_values->values = arena_array(arena, bytes.dict_count + 1, sizeof(struct view));
	used = used_entries(&bytes, rg->zone.rows, arena);
	if (!ret_values->values || !used)
		return err_set(err, E_NO_MEMORY, "index: out of memory");
	for (uint32_t i = 0; i < bytes.dict_count; i++)
		if (used[i / 64] >> (i % 64) & 1)
			ret_values->values[ret_values->count++] = bytes.dict[i];
	return 0;
}

#define SMALL_INTS 65536u

/* The views point into the decoded values: little-endian, as the machine's. */
static int values_of_ints(const struct rg *rg, const struct col *col, struct arena *arena,
			  struct group_values *ret_values, struct err *err)
{
	uint64_t *seen = arena_zalloc(arena, SMALL_INTS / 8), last = 0;
	bool first = true;
	struct rg_ints ints;
	int rc = rg_read_ints(rg, col, arena, &ints, err);

	if (rc < 0)
		return rc;
	ret_values->count = 0;
	ret_values->values = arena_array(arena, rg->zone.rows + 1, sizeof(struct view));
	if (!ret_values->values || !seen)
		return err_set(err, E_NO_MEMORY, "index: out of memory");
	for (uint32_t i = 0; i < rg->zone.rows; i++) {
		uint64_t v = ints.values[i];

		if (!rg_valid(ints.valid, i) || (!first && v == last))
			continue;
		first = false;
		last = v;
		if (v < SMALL_INTS) {
			if (seen[v / 64] >> (v % 64) & 1)
				continue;
			seen[v / 64] |= 1ull << (v % 64);
		}
		ret_values->values[ret_values->count++] = view_make(&ints.values[i], sizeof(v));
	}
	return 0;
}

static int write_bloom(struct index_builder *builder, const struct col *col, const struct group_values *values,
		       uint32_t group, struct kv_batch *batch, struct err *err)
{
	struct bloom *bloom;
	uint8_t key[7];
	struct wr wr;
	int rc;

	if (values->count == 0)	/* an empty filter still says: certainly not */
		bloom = bloom_new(1);
	else
		bloom = bloom_new(values->count);
	if (!bloom)
		return err_set(err, E_NO_MEMORY, "index: out of memory");
	for (size_t i = 0; i < values->count; i++)
		bloom_add(bloom, values->values[i]);
	wr_init(&wr, 0);
	rc = bloom_write(bloom, &wr, err);
	bloom_free(bloom);
	if (rc == 0)
		rc = kv_batch_put(batch, PART_FLT, KV_PUT_NEW, bloom_key(key, builder->table->id, col, group),
				  wr_view(&wr), err);
	wr_release(&wr);
	return rc;
}

int index_add_group(struct index_builder *builder, const struct rg *rg, uint32_t group, struct kv_batch *batch,
		    struct err *err)
{
	struct arena scratch;	/* a column's values */
	int rc = 0;

	arena_init(&scratch, 0);
	scratch.keep_bytes = KEEP_BYTES;
	for (size_t c = 0; c < builder->table->cols_count && rc == 0; c++) {
		const struct col *col = &builder->table->cols[c];
		struct group_values values = { 0 };

		if ((col->index != INDEX_BITMAP && col->index != INDEX_BLOOM) || builder->distinct[c] == UINT32_MAX)
			continue;
		arena_reset(&scratch);
		if (types[col->type].phys == PHYS_INT)
			rc = values_of_ints(rg, col, &scratch, &values, err);
		else
			rc = values_of_bytes(rg, col, &scratch, &values, err);
		if (rc == 0 && col->index == INDEX_BLOOM)
			rc = write_bloom(builder, col, &values, group, batch, err);
		if (rc < 0 || col->index == INDEX_BLOOM)
			continue;
		for (size_t i = 0; i < values.count && rc == 0; i++)
			rc = add_value(builder, col, values.values[i], group);
		if (rc < 0)
			rc = err_set(err, rc, "index: out of memory");
	}
	arena_release(&scratch);
	return rc;
}

static int cmp_postings(const void *a, const void *b)
{
	return view_cmp((*(struct posting *const *)a)->key, (*(struct posting *const *)b)->key);
}

static int write_posting(const struct posting *posting, struct wr *wr, struct err *err)
{
	struct bitmap *bitmap;
	uint32_t last = 0;
	int rc = 0;

	wr_reset(wr);
	if (posting->cut.at)
		wr_vbytes(wr, posting->cut);
	if (posting->count <= INLINE_MAX) {
		wr_u8(wr, LIST_INLINE);
		for (uint32_t i = 0; i < posting->count; i++) {
			wr_varint(wr, posting->groups[i] - last);
			last = posting->groups[i];
		}
		return wr->bad ? err_set(err, E_NO_MEMORY, "index: out of memory") : 0;
	}
	wr_u8(wr, LIST_BITMAP);
	bitmap = bitmap_new();
	if (!bitmap)
		return err_set(err, E_NO_MEMORY, "index: out of memory");
	for (uint32_t i = 0; i < posting->count && rc == 0; i++)
		rc = bitmap_add(bitmap, posting->groups[i]);
	if (rc == 0)
		rc = bitmap_write(bitmap, wr, err);
	bitmap_free(bitmap);
	return rc == 0 && wr->bad ? err_set(err, E_NO_MEMORY, "index: out of memory") : rc;
}

static int write_meta(const struct index_builder *builder, struct kv_batch *batch, struct err *err)
{
	int rc = 0;

	for (size_t c = 0; c < builder->table->cols_count && rc == 0; c++) {
		const struct col *col = &builder->table->cols[c];
		uint8_t key[8];

		if (col->index == INDEX_BITMAP && builder->distinct[c] != UINT32_MAX)
			rc = kv_batch_put(batch, PART_META, KV_PUT, meta_key(key, builder->table->id, col),
					  VIEW_LIT("\1"), err);
	}
	return rc;
}

int index_write(struct index_builder *builder, struct kv_batch *batch, struct err *err)
{
	size_t count = 0;
	struct wr wr;
	int rc = write_meta(builder, batch, err);

	for (size_t i = 0; i < builder->slots_count; i++) {
		struct posting *posting = builder->slots[i];
		uint16_t id = posting ? (uint16_t)(posting->key.at[1] << 8 | posting->key.at[2]) : 0;

		/* The table is used up by this: slots become the sorted list. */
		builder->slots[i] = NULL;
		if (posting && builder->distinct[table_col_id(builder->table, id)->ordinal] != UINT32_MAX)
			builder->slots[count++] = posting;
	}
	qsort(builder->slots, count, sizeof(*builder->slots), cmp_postings);
	wr_init(&wr, 0);
	for (size_t i = 0; i < count && rc == 0; i++) {
		rc = write_posting(builder->slots[i], &wr, err);
		if (rc == 0)
			rc = kv_batch_put(batch, PART_INV, KV_PUT_APPEND, builder->slots[i]->key, wr_view(&wr), err);
	}
	wr_release(&wr);
	return rc;
}

/* --------------------------------------------------------------- looking up */

static int read_list(struct rd *rd, struct bitmap **ret_bitmap, struct err *err)
{
	uint8_t kind = rd_u8(rd);
	struct bitmap *bitmap;
	uint64_t group = 0;
	int rc = 0;

	if (kind == LIST_BITMAP && !rd->bad)
		return bitmap_read(rd_rest(rd), ret_bitmap, err);
	if (kind != LIST_INLINE || rd->bad)
		return err_set(err, E_CORRUPT, "index: list of kind %u", kind);
	bitmap = bitmap_new();
	while (bitmap && rc == 0 && rd_left(rd) && !rd->bad) {
		group += rd_varint(rd);
		if (group > UINT32_MAX)
			rd->bad = true;
		rc = rd->bad ? 0 : bitmap_add(bitmap, (uint32_t)group);
	}
	if (!bitmap || rc < 0 || rd->bad) {
		bitmap_free(bitmap);
		return err_set(err, rd->bad ? E_CORRUPT : E_NO_MEMORY, "index: a list of groups %s",
			       rd->bad ? "is cut short" : "finds no memory");
	}
	*ret_bitmap = bitmap;
	return 0;
}

int index_lookup(struct kv_txn *txn, enum table_id table, const struct col *col, struct view value,
		 struct bitmap **ret_bitmap, struct err *err)
{
	struct bitmap *bitmap = NULL;
	struct index_key key;
	struct view list;
	uint8_t meta[8];
	struct rd rd;
	int rc = kv_get(txn, PART_META, meta_key(meta, table, col), &list, err);

	if (rc <= 0) {
		if (rc == 0)
			*ret_bitmap = NULL;
		return rc;
	}
	key_make(&key, table, col, value);
	rc = kv_get(txn, PART_INV, view_make(key.at, key.len), &list, err);
	if (rc < 0)
		return rc;
	if (rc == 0) {
		bitmap = bitmap_new();
		if (!bitmap)
			return err_set(err, E_NO_MEMORY, "index: out of memory");
	} else {
		rd = rd_make(list);
		if (key.cut)	/* another value of the same hash has the same list: a superset is right too */
			(void)rd_vbytes(&rd);
		rc = read_list(&rd, &bitmap, err);
		if (rc < 0)
			return rc;
	}
	*ret_bitmap = bitmap;
	return 0;
}

int index_values(struct kv_txn *txn, enum table_id table, const struct col *col,
		 bool (*fn)(struct view value, void *arg), void *arg, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct index_key key;
	struct view at, list;
	uint8_t meta[8];
	int rc = kv_get(txn, PART_META, meta_key(meta, table, col), &list, err);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, E_UNSUPPORTED, "%s.%s has no index in this partition", table_get(table)->name,
			       col->key);
	key_head(&key, table, col, false);
	rc = kv_cursor_open(txn, PART_INV, &cursor, err);
	if (rc < 0)
		return rc;
	rc = kv_cursor_seek(cursor, view_make(key.at, key.len), &at, &list, err);
	/* Whole values first, then the cut ones: both share the first three bytes. */
	for (; rc > 0 && at.len >= KEY_HEAD && memcmp(at.at, key.at, 3) == 0;
	     rc = kv_cursor_next(cursor, &at, &list, err)) {
		struct view value = view_sub(at, KEY_HEAD, at.len);
		struct rd rd = rd_make(list);
		uint8_t le[8];

		if (at.at[3] == KEY_CUT) {
			value = rd_vbytes(&rd);
		} else if (types[col->type].phys == PHYS_INT && value.len == 8) {
			for (size_t i = 0; i < 8; i++)
				le[i] = value.at[7 - i];
			value = view_make(le, 8);
		}
		if (!fn(value, arg))
			break;
	}
	kv_cursor_close(cursor);
	return rc < 0 ? rc : 0;
}

int index_may_have(struct kv_txn *txn, enum table_id table, uint32_t group, const struct col *col,
		   struct view value, struct err *err)
{
	struct view stored;
	uint8_t key[7];
	int rc = kv_get(txn, PART_FLT, bloom_key(key, table, col, group), &stored, err);

	return rc <= 0 ? (rc < 0 ? rc : 1) : bloom_may_have(stored, value, err);
}

void index_want(struct kv_txn *txn, enum table_id table, uint32_t group, const struct col *col, struct view value,
		bool bits)
{
	struct view stored;
	uint8_t key[7];

	if (kv_get(txn, PART_FLT, bloom_key(key, table, col, group), &stored, NULL) <= 0)
		return;
	files_want(bits ? bloom_page(stored, value) : bloom_head(stored));
}
