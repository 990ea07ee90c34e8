#include <assert.h>

#include "store/chunk.h"
#include "store/files.h"
#include "store/hist_column.h"
#include "store/rg_format.h"
#include "store/rg_predict.h"

#define WHAT "row group"
#define VERIFY_KEEP_BYTES (4u << 20)	/* from column to column: what is given back comes back page by page */
#define RG_WANT_BYTES 4096u	/* a chunk of less is a page or two, which come as soon by themselves */

/* ---- header and directory ---- */

struct rg_entry rg_entry_at(const struct rg *rg, uint32_t i)
{
	return rg_entry_get(rg->dir + (size_t)i * RG_ENTRY_BYTES);
}

static size_t words_of(uint32_t rows)
{
	return (rows + 63) / 64;
}

int rg_open(struct view blob, struct rg *ret_rg, struct err *err)
{
	struct envelope envelope;
	struct rg rg = { .blob = blob };
	uint16_t table, entries;
	struct rd rd;
	int rc = envelope_open(blob, WHAT, RG_MAGIC, RG_VERSION, RG_MUST_KNOW, &envelope, err);

	if (rc < 0)
		return rc;
	rd = rd_make(blob);
	rd_skip(&rd, ENVELOPE_BYTES);
	table = rd_u16le(&rd);
	entries = rd_u16le(&rd);
	rg.zone.rows = rd_u32le(&rd);
	rg.zone.start_min = rd_u64le(&rd);
	rg.zone.start_max = rd_u64le(&rd);
	rg.zone.end_max = rd_u64le(&rd);
	rd_skip(&rd, sizeof(uint64_t));		/* fingerprint: for people who compare schemas */
	rg.dir = rd_bytes(&rd, (size_t)entries * RG_ENTRY_BYTES).at;
	if (rd.bad)
		return err_set(err, E_CORRUPT, WHAT ": %zu bytes do not hold a directory of %u", blob.len, entries);
	rc = envelope_check(blob, WHAT, rd_pos(&rd), err);
	if (rc < 0)
		return rc;
	if (rg.zone.rows > RG_ROWS_MAX)
		return err_set(err, E_CORRUPT, WHAT ": %u rows, at most %u", rg.zone.rows, RG_ROWS_MAX);
	rg.cols = entries;
	rg.table = table_get((enum table_id)table);
	if (!rg.table)
		return err_set(err, E_UNSUPPORTED, WHAT ": table %u is unknown", table);
	*ret_rg = rg;
	return 0;
}

bool rg_entry_find(const struct rg *rg, const struct col *col, struct rg_entry *ret_entry)
{
	for (uint32_t i = 0; i < rg->cols; i++) {
		struct rg_entry entry = rg_entry_at(rg, i);

		if (entry.col_id == col->id) {
			*ret_entry = entry;
			return true;
		}
	}
	return false;
}

int rg_chunk_info(const struct rg *rg, uint32_t i, struct rg_chunk_info *ret_info)
{
	struct rg_entry entry;

	if (i >= rg->cols)
		return 0;
	entry = rg_entry_at(rg, i);
	*ret_info = (struct rg_chunk_info){
		.col_id = entry.col_id,
		.encoding = chunk_enc_name(entry.enc),
		.codec = codec_name((enum codec)entry.codec),
		.stored_bytes = entry.stored_len,
		.plain_bytes = entry.plain_len,
	};
	return 1;
}

void rg_want(const struct rg *rg, const uint64_t *ordinals)
{
	if (rg->blob.len <= RG_WANT_BYTES)
		return;
	if (!ordinals)
		files_want(rg->blob);
	for (uint32_t i = 0; ordinals && i < rg->cols; i++) {
		struct rg_entry entry = rg_entry_at(rg, i);
		const struct col *col = table_col_id(rg->table, entry.col_id);

		if (entry.stored_len && (!col || row_has(ordinals, col->ordinal)))	/* validity bitmaps have no column */
			files_want(view_sub(rg->blob, entry.offset, entry.stored_len));
	}
}

/* ---- chunks ---- */

int rg_chunk_load(const struct rg *rg, const struct rg_entry *entry, size_t plain_max, struct arena *arena,
		  struct view *ret_plain, struct err *err)
{
	size_t from = RG_HEADER_BYTES + (size_t)rg->cols * RG_ENTRY_BYTES;
	struct view stored;
	uint64_t found;
	uint8_t *plain;
	int rc;

	if (entry->offset < from || entry->offset > rg->blob.len ||
	    entry->stored_len > rg->blob.len - entry->offset)
		return err_set(err, E_CORRUPT, "chunk [%u, +%u) outside [%zu, %zu)", entry->offset,
			       entry->stored_len, from, rg->blob.len);
	stored = view_sub(rg->blob, entry->offset, entry->stored_len);
	if (stored.len > RG_WANT_BYTES)
		files_want(stored);
	found = codec_checksum(stored);
	if (found != entry->checksum)
		return err_set(err, E_CORRUPT, "checksum %016llx of %u bytes instead of %016llx",
			       (unsigned long long)found, entry->stored_len, (unsigned long long)entry->checksum);
	if (entry->plain_len > plain_max)
		return err_set(err, E_CORRUPT, "claims %u plain bytes, at most %zu", entry->plain_len, plain_max);
	if (entry->codec == CODEC_NONE) {
		if (entry->plain_len != entry->stored_len)
			return err_set(err, E_CORRUPT, "%u of %u bytes", entry->stored_len, entry->plain_len);
		*ret_plain = stored;
		return 0;
	}
	plain = arena_alloc(arena, entry->plain_len);
	if (!plain)
		return err_set(err, E_NO_MEMORY, "no memory for %u bytes", entry->plain_len);
	rc = codec_unpack((enum codec)entry->codec, stored, plain, entry->plain_len, err);
	if (rc == 0)
		*ret_plain = view_make(plain, entry->plain_len);
	return rc;
}

static int bitmap_load(const struct rg *rg, const struct rg_entry *entry, struct arena *arena,
		       const uint64_t **ret_valid, struct err *err)
{
	uint32_t rows = rg->zone.rows, count = 0;
	size_t bytes = (rows + 7) / 8;
	uint64_t *words;
	struct view plain;
	int rc;

	if (entry->enc != CHUNK_BITMAP || entry->plain_len != bytes)
		return err_set(err, E_CORRUPT, "validity bitmap: encoding %s, %u bytes for %u rows",
			       chunk_enc_name(entry->enc), entry->plain_len, rows);
	rc = rg_chunk_load(rg, entry, bytes, arena, &plain, err);
	if (rc < 0)
		return err_prefix(err, "validity bitmap");
	words = arena_array(arena, words_of(rows), sizeof(*words));
	if (!words)
		return err_set(err, E_NO_MEMORY, "validity bitmap: no memory for %u rows", rows);
	memcpy(words, plain.at, bytes);
	if (rows % 64 && words[rows / 64] >> (rows % 64))
		return err_set(err, E_CORRUPT, "validity bitmap: bits beyond row %u", rows);
	for (size_t i = 0; i < words_of(rows); i++)
		count += (uint32_t)__builtin_popcountll(words[i]);
	if (count != entry->count)
		return err_set(err, E_CORRUPT, "validity bitmap: %u bits set, directory says %u", count,
			       entry->count);
	*ret_valid = words;
	return 0;
}

int rg_entry_valid(const struct rg *rg, const struct col *col, const struct rg_entry *entry, struct arena *arena,
		   const uint64_t **ret_valid, struct err *err)
{
	struct rg_entry bitmap;

	if (entry->type >= TYPE_COUNT || types[entry->type].phys != types[col->type].phys ||
	    (entry->type == TYPE_IP) != (col->type == TYPE_IP))
		return err_set(err, E_CORRUPT, "stored as type %u, wanted is %s", entry->type,
			       types[col->type].name);
	if (entry->count < 1 || entry->count > rg->zone.rows)
		return err_set(err, E_CORRUPT, "%u values in %u rows", entry->count, rg->zone.rows);
	if (entry->nulls == RG_NULLS_NONE) {
		if (entry->count != rg->zone.rows)
			return err_set(err, E_CORRUPT, "%u values in %u rows, and no bitmap", entry->count,
				       rg->zone.rows);
		*ret_valid = NULL;
		return 0;
	}
	if (entry->nulls != RG_NULLS_BITMAP || entry->bitmap >= rg->cols)
		return err_set(err, E_CORRUPT, "null mode %u, entry %u of %u", entry->nulls, entry->bitmap,
			       rg->cols);
	bitmap = rg_entry_at(rg, entry->bitmap);
	if (bitmap.col_id != RG_COL_BITMAP || bitmap.count != entry->count)
		return err_set(err, E_CORRUPT, "%u values, but entry %u is of column %u with %u", entry->count,
			       entry->bitmap, bitmap.col_id, bitmap.count);
	return bitmap_load(rg, &bitmap, arena, ret_valid, err);
}

/* ---- values to rows ---- */

/*
 * Spread count dense values over the rows that valid names, in place and from behind: values is rows long. Which rows
 * those are is a matter of chance: no branch hangs on it. A null row's value is read, and made `none` of.
 */
#define SPREAD(name, ctype, keep)							\
	static void name(ctype *values, uint32_t count, const uint64_t *valid, uint32_t rows)	\
	{										\
		for (uint32_t row = rows; row-- > 0;) {					\
			uint64_t has = valid[row / 64] >> (row % 64) & 1;		\
			ctype v;							\
											\
			count -= (uint32_t)has;						\
			v = values[count];						\
			values[row] = keep;						\
		}									\
		assert(count == 0);							\
	}
SPREAD(spread_ints, uint64_t, v & -has)
SPREAD(spread_codes, uint32_t, v & (uint32_t)-has)
SPREAD(spread_texts, struct view, view_make(has ? v.at : NULL, v.len & -has))
#undef SPREAD

static int ints_check_range(const struct col *col, const uint64_t *values, uint32_t count, struct err *err)
{
	unsigned bits = types[col->type].row_bytes * 8;
	uint64_t all = 0;

	if (bits >= 64)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		all |= values[i];
	if (all >> bits)
		return err_set(err, E_CORRUPT, "a value does not fit its %u bits", bits);
	return 0;
}

static int ints_decode(const struct rg *rg, const struct col *col, const struct rg_entry *entry,
		       const uint64_t *valid, unsigned depth, struct arena *arena, uint64_t *values,
		       struct err *err);

int rg_ints_open(const struct rg *rg, const struct rg_entry *entry, struct arena *arena, struct rd *ret_rd,
		 struct predict *predict, struct err *err)
{
	/* No encoding needs more than raw integers, but for a few bytes a block. */
	size_t plain_max = (size_t)entry->count * 10 + 4096;
	struct view plain;
	int rc;

	if (entry->stored_len == 0) {
		if (entry->enc != CHUNK_CONST || entry->plain_len != 0)
			return err_set(err, E_CORRUPT, "no chunk, but encoding %s of %u bytes",
				       chunk_enc_name(entry->enc), entry->plain_len);
		return 0;
	}
	rc = rg_chunk_load(rg, entry, plain_max, arena, &plain, err);
	if (rc < 0)
		return rc;
	if (plain.len < 1 || plain.at[0] != entry->enc)
		return err_set(err, E_CORRUPT, "encoding %s, directory says %s",
			       plain.len ? chunk_enc_name(plain.at[0]) : "none", chunk_enc_name(entry->enc));
	*ret_rd = rd_make(plain);
	if (entry->enc == CHUNK_REF || entry->enc == CHUNK_PREDICT) {
		rd_skip(ret_rd, 1);
		rc = entry->enc == CHUNK_REF ? predict_get_ref(ret_rd, predict, err) : predict_get(ret_rd, predict, err);
	}
	return rc < 0 ? rc : 1;
}

/* The values of an entry without nulls, or their differences to what predict says. */
static int ints_dense(const struct rg *rg, const struct rg_entry *entry, struct arena *arena, uint64_t *values,
		      struct predict *predict, struct err *err)
{
	struct rd rd = { 0 };
	int rc = rg_ints_open(rg, entry, arena, &rd, predict, err);

	if (rc < 0)
		return rc;
	if (rc == 0) {
		for (uint32_t i = 0; i < entry->count; i++)
			values[i] = entry->checksum;
		return 0;
	}
	rc = chunk_ints_read(&rd, entry->count, arena, values, err);
	if (rc < 0)
		return rc;
	if (rd_left(&rd))
		return err_set(err, E_CORRUPT, "%zu bytes behind the last value", rd_left(&rd));
	return 0;
}

/* A column that others are foretold by, one value a row, 0 where it is null. */
static int term_read(const struct rg *rg, uint16_t col_id, unsigned depth, struct arena *arena,
		     const uint64_t **ret_values, struct err *err)
{
	const struct col *col = table_col_id(rg->table, col_id);
	const uint64_t *valid;
	struct rg_entry entry;
	uint64_t *values;
	int rc;

	if (!col || types[col->type].phys != PHYS_INT || !rg_entry_find(rg, col, &entry))
		return err_set(err, E_CORRUPT, "foretold by column %u, which holds no numbers here", col_id);
	if (depth > PREDICT_DEPTH_MAX)
		return err_set(err, E_CORRUPT, "column %s is foretold by others more than %u deep", col->key,
			       PREDICT_DEPTH_MAX);
	values = arena_alloc(arena, rg->zone.rows * sizeof(*values));
	if (!values)
		return err_set(err, E_NO_MEMORY, "no memory for %u rows", rg->zone.rows);
	rc = rg_entry_valid(rg, col, &entry, arena, &valid, err);
	if (rc == 0)
		rc = ints_decode(rg, col, &entry, valid, depth, arena, values, err);
	if (rc < 0)
		return err_prefix(err, "foretold by column %s", col->key);
	*ret_values = values;
	return 0;
}

static int foretold_add(const struct rg *rg, const struct predict *predict, const uint64_t *valid, unsigned depth,
			struct arena *arena, uint64_t *values, struct err *err)
{
	const uint64_t *columns[PREDICT_TERMS_MAX];
	uint32_t rows = rg->zone.rows;
	struct arena own;
	int rc = 0;

	arena_init(&own, 0);
	if (arena->budget_bytes)
		own.budget_bytes = arena->budget_bytes > arena->used_bytes ? arena->budget_bytes - arena->used_bytes : 1;
	for (unsigned i = 0; i < predict->count && rc == 0; i++)
		rc = term_read(rg, predict->terms[i].col_id, depth + 1, &own, &columns[i], err);
	if (rc == 0 && predict_add(predict, columns, valid, rows, values) < 0)
		rc = err_set(err, E_NO_MEMORY, "no memory for %u rows", rows);
	for (uint32_t row = 0; rc == 0 && valid && row < rows; row++)
		values[row] &= rg_valid(valid, row) ? UINT64_MAX : 0;
	arena_release(&own);
	return rc;
}

/*
 * values has room for all rows; null rows become 0. Columns that foretell this one are read for it, into memory
 * that is given back.
 */
static int ints_decode(const struct rg *rg, const struct col *col, const struct rg_entry *entry,
		       const uint64_t *valid, unsigned depth, struct arena *arena, uint64_t *values,
		       struct err *err)
{
	struct predict predict = { .formula = PREDICT_NONE };
	int rc = ints_dense(rg, entry, arena, values, &predict, err);

	if (rc < 0)
		return rc;
	if (valid)
		spread_ints(values, entry->count, valid, rg->zone.rows);
	if (predict.formula != PREDICT_NONE)
		rc = foretold_add(rg, &predict, valid, depth, arena, values, err);
	return rc < 0 ? rc : ints_check_range(col, values, rg->zone.rows, err);
}

int rg_read_ints(const struct rg *rg, const struct col *col, struct arena *arena,
		 struct rg_ints *ret_ints, struct err *err)
{
	uint32_t rows = rg->zone.rows;
	struct rg_ints ints = { 0 };
	struct rg_entry entry;
	uint64_t *values = arena_alloc(arena, (rows ? rows : 1) * sizeof(*values));
	int rc;

	assert(types[col->type].phys == PHYS_INT);
	if (!values)
		goto no_memory;
	ints.values = values;
	if (!rg_entry_find(rg, col, &entry)) {
		memset(values, 0, rows * sizeof(*values));
		ints.valid = arena_array(arena, words_of(rows), sizeof(*ints.valid));
		if (!ints.valid)
			goto no_memory;
		*ret_ints = ints;
		return 0;
	}
	rc = rg_entry_valid(rg, col, &entry, arena, &ints.valid, err);
	if (rc == 0)
		rc = ints_decode(rg, col, &entry, ints.valid, 0, arena, values, err);
	if (rc < 0) {
		(void)err_prefix(err, WHAT ": column %s", col->key);
		return rc;
	}
	*ret_ints = ints;
	return 0;
no_memory:
	return err_set(err, E_NO_MEMORY, WHAT ": column %s: no memory for %u rows", col->key, rows);
}

static int bytes_decode(const struct rg *rg, const struct rg_entry *entry, struct arena *arena,
			struct chunk_bytes *ret_bytes, struct err *err)
{
	struct chunk_bytes bytes;
	struct view plain;
	struct rd rd;
	int rc = rg_chunk_load(rg, entry, RG_CHUNK_BYTES_MAX, arena, &plain, err);

	if (rc < 0)
		return rc;
	if (plain.len < 1 || plain.at[0] != entry->enc)
		return err_set(err, E_CORRUPT, "encoding %s, directory says %s",
			       plain.len ? chunk_enc_name(plain.at[0]) : "none", chunk_enc_name(entry->enc));
	rd = rd_make(plain);
	if (entry->enc == CHUNK_HIST) {
		rd_skip(&rd, 1);
		bytes = (struct chunk_bytes){ .dict_count = entry->count };
		rc = hist_column_read(&rd, entry->count, arena, &bytes.dict, err);
	} else {
		rc = chunk_bytes_read(&rd, entry->count, arena, &bytes, err);
	}
	if (rc < 0)
		return rc;
	if (rd_left(&rd))
		return err_set(err, E_CORRUPT, "%zu bytes behind the last value", rd_left(&rd));
	*ret_bytes = bytes;
	return 0;
}

/* The codes of the column that others follow from, one a row. It follows from none itself. */
static int source_read(const struct rg *rg, uint16_t col_id, struct arena *arena, struct rg_bytes *ret_source,
		       struct err *err)
{
	const struct col *col = table_col_id(rg->table, col_id);
	struct rg_entry entry;
	int rc;

	if (!col || types[col->type].phys != PHYS_BYTES || !rg_entry_find(rg, col, &entry) || entry.enc == CHUNK_MAP)
		return err_set(err, E_CORRUPT, "follows from column %u, which holds no dictionary here", col_id);
	rc = rg_read_bytes(rg, col, arena, ret_source, err);
	if (rc == 0 && !ret_source->codes)
		rc = err_set(err, E_CORRUPT, "follows from column %s, which holds no dictionary here", col->key);
	return rc;
}

/* Rows that have another string than the one that follows. */
static int exceptions_read(struct rd *rd, uint32_t rows, uint32_t dict_count, struct arena *arena, uint32_t *codes,
			   struct err *err)
{
	uint64_t found = rd_varint(rd);
	uint32_t *others;
	uint64_t *places;
	int rc;

	if (rd->bad || found > rows)
		return err_set(err, E_CORRUPT, "%llu exceptions of %u rows", (unsigned long long)found, rows);
	if (!found)
		return 0;
	places = arena_alloc(arena, (size_t)found * sizeof(*places));
	if (!places)
		return err_set(err, E_NO_MEMORY, "no memory for %llu exceptions", (unsigned long long)found);
	rc = chunk_ints_read(rd, (size_t)found, arena, places, err);
	if (rc == 0)
		rc = chunk_codes_read(rd, (size_t)found, dict_count, arena, &others, err);
	for (size_t i = 0; rc == 0 && i < found; i++) {
		if (places[i] >= rows)
			return err_set(err, E_CORRUPT, "exception %zu in row %llu of %u", i,
				       (unsigned long long)places[i], rows);
		codes[places[i]] = others[i];
	}
	return rc;
}

/* As bytes_decode and bytes_spread in one, of CHUNK_MAP. */
static int bytes_follow(const struct rg *rg, const struct rg_entry *entry, struct arena *arena,
			struct rg_bytes *bytes, struct err *err)
{
	uint32_t rows = rg->zone.rows, dict_count = 0, *map, *codes;
	struct rg_bytes source = { 0 };
	struct view plain = { 0 }, *dict = NULL;
	uint64_t from_count;
	uint16_t from;
	struct rd rd;
	int rc = rg_chunk_load(rg, entry, RG_CHUNK_BYTES_MAX, arena, &plain, err);

	if (rc < 0)
		return rc;
	rd = rd_make(plain);
	if (rd_u8(&rd) != CHUNK_MAP)
		return err_set(err, E_CORRUPT, "encoding %s, directory says %s",
			       plain.len ? chunk_enc_name(plain.at[0]) : "none", chunk_enc_name(entry->enc));
	from = rd_u16le(&rd);
	rc = chunk_dict_read(&rd, rows, arena, &dict, &dict_count, err);
	if (rc == 0)
		rc = source_read(rg, from, arena, &source, err);
	if (rc < 0)
		return rc;
	from_count = rd_varint(&rd);
	if (rd.bad || from_count != source.dict_count)
		return err_set(err, E_CORRUPT, "follows from %llu strings of column %u, which has %u",
			       (unsigned long long)from_count, from, source.dict_count);
	codes = arena_alloc(arena, rows * sizeof(*codes));
	if (!codes)
		return err_set(err, E_NO_MEMORY, "no memory for %u rows", rows);
	rc = chunk_codes_read(&rd, (size_t)from_count, dict_count, arena, &map, err);
	if (rc < 0)
		return rc;
	for (uint32_t row = 0; row < rows; row++)
		codes[row] = map[source.codes[row]];
	rc = exceptions_read(&rd, rows, dict_count, arena, codes, err);
	if (rc < 0)
		return rc;
	if (rd_left(&rd))
		return err_set(err, E_CORRUPT, "%zu bytes behind the last value", rd_left(&rd));
	bytes->dict = dict;
	bytes->dict_count = dict_count;
	bytes->codes = codes;
	return 0;
}

/* Addresses are of one length. */
static int dict_check(const struct col *col, const struct view *dict, uint32_t dict_count, struct err *err)
{
	for (uint32_t i = 0; col->type == TYPE_IP && i < dict_count; i++)
		if (dict[i].len != sizeof(struct ip))
			return err_set(err, E_CORRUPT, "an address of %zu bytes", dict[i].len);
	return 0;
}

/* Dense codes, or dense strings, to one a row. */
static int bytes_spread(const struct chunk_bytes *dense, uint32_t count, const uint64_t *valid, uint32_t rows,
			struct arena *arena, struct rg_bytes *bytes)
{
	uint32_t *codes;
	struct view *dict;

	if (dense->codes) {
		codes = arena_alloc(arena, rows * sizeof(*codes));
		if (!codes)
			return E_NO_MEMORY;
		memcpy(codes, dense->codes, count * sizeof(*codes));
		spread_codes(codes, count, valid, rows);
		bytes->codes = codes;
	} else {
		dict = arena_alloc(arena, rows * sizeof(*dict));
		if (!dict)
			return E_NO_MEMORY;
		memcpy(dict, dense->dict, count * sizeof(*dict));
		spread_texts(dict, count, valid, rows);
		bytes->dict = dict;
		bytes->dict_count = rows;
	}
	return 0;
}

/* A column the group lacks: all rows null, every code names one empty string. */
static int bytes_none(uint32_t rows, struct arena *arena, struct rg_bytes *bytes)
{
	bytes->dict = arena_array(arena, 1, sizeof(*bytes->dict));
	bytes->dict_count = 1;
	bytes->codes = arena_array(arena, rows ? rows : 1, sizeof(*bytes->codes));
	bytes->valid = arena_array(arena, words_of(rows), sizeof(*bytes->valid));
	return bytes->dict && bytes->codes && bytes->valid ? 0 : E_NO_MEMORY;
}

int rg_read_bytes(const struct rg *rg, const struct col *col, struct arena *arena,
		  struct rg_bytes *ret_bytes, struct err *err)
{
	uint32_t rows = rg->zone.rows;
	struct chunk_bytes dense = { 0 };
	struct rg_bytes bytes = { 0 };
	struct rg_entry entry;
	bool is_spread = false;	/* codes and strings are one a row already */
	int rc;

	assert(types[col->type].phys == PHYS_BYTES);
	if (!rg_entry_find(rg, col, &entry)) {
		if (bytes_none(rows, arena, &bytes) < 0)
			goto no_memory;
		*ret_bytes = bytes;
		return 0;
	}
	rc = rg_entry_valid(rg, col, &entry, arena, &bytes.valid, err);
	if (rc == 0 && entry.enc == CHUNK_MAP) {
		rc = bytes_follow(rg, &entry, arena, &bytes, err);
		is_spread = true;
	} else if (rc == 0) {
		rc = bytes_decode(rg, &entry, arena, &dense, err);
		bytes.dict = dense.dict;
		bytes.dict_count = dense.dict_count;
		bytes.codes = dense.codes;
	}
	if (rc == 0)
		rc = dict_check(col, bytes.dict, bytes.dict_count, err);
	if (rc < 0) {
		(void)err_prefix(err, WHAT ": column %s", col->key);
		return rc;
	}
	if (bytes.valid && !is_spread && bytes_spread(&dense, entry.count, bytes.valid, rows, arena, &bytes) < 0)
		goto no_memory;
	*ret_bytes = bytes;
	return 0;
no_memory:
	return err_set(err, E_NO_MEMORY, WHAT ": column %s: no memory for %u rows", col->key, rows);
}

/* ---- histograms ---- */

static int hists_decode(const struct rg *rg, const struct rg_entry *entry, const uint64_t *only, struct arena *arena,
			struct rg_hists *hists, struct err *err)
{
	struct hist_column_ask ask = { .rows = rg->zone.rows, .valid = hists->valid, .only = only };
	struct hist_part *parts = NULL;
	struct view plain;
	struct rd rd;
	int rc = rg_chunk_load(rg, entry, RG_CHUNK_BYTES_MAX, arena, &plain, err);

	if (rc < 0)
		return rc;
	rd = rd_make(plain);
	if (rd_u8(&rd) != entry->enc)
		return err_set(err, E_CORRUPT, "encoding %s, directory says %s",
			       plain.len ? chunk_enc_name(plain.at[0]) : "none", chunk_enc_name(entry->enc));
	rc = hist_column_parts(&rd, &ask, arena, &parts, err);
	if (rc < 0)
		return rc;
	if (rd_left(&rd))
		return err_set(err, E_CORRUPT, "%zu bytes behind the last value", rd_left(&rd));
	hists->bytes = plain.len;
	hists->parts = parts;
	return 0;
}

int rg_read_hists(const struct rg *rg, const struct col *col, const uint64_t *only, struct arena *arena,
		  struct rg_hists *ret_hists, struct err *err)
{
	struct rg_hists hists = { 0 };
	struct rg_entry entry;
	int rc;

	assert(col->type == TYPE_HIST);
	if (!rg_entry_find(rg, col, &entry) || entry.enc != CHUNK_HIST)
		return 0;
	rc = rg_entry_valid(rg, col, &entry, arena, &hists.valid, err);
	if (rc == 0)
		rc = hists_decode(rg, &entry, only, arena, &hists, err);
	if (rc < 0) {
		(void)err_prefix(err, WHAT ": column %s", col->key);
		return rc;
	}
	*ret_hists = hists;
	return 1;
}

/* ---- chunks, for who asks them as they are ---- */

int rg_chunk_open(const struct rg *rg, const struct col *col, struct arena *arena, struct rg_chunk *ret_chunk,
		  struct err *err)
{
	bool is_int = types[col->type].phys == PHYS_INT;
	size_t plain_max = RG_CHUNK_BYTES_MAX;
	struct rg_chunk chunk = { 0 };
	struct rg_entry entry;
	int rc;

	if (!rg_entry_find(rg, col, &entry))
		return RG_CHUNK_NONE;
	if (entry.enc == CHUNK_REF || entry.enc == CHUNK_PREDICT)
		return RG_CHUNK_OTHERS;
	rc = rg_entry_valid(rg, col, &entry, arena, &chunk.valid, err);
	chunk.count = entry.count;
	chunk.value = entry.checksum;
	if (is_int)
		plain_max = (size_t)entry.count * 10 + 4096;
	if (rc == 0 && is_int && entry.stored_len == 0) {
		if (entry.enc != CHUNK_CONST || entry.plain_len != 0)
			rc = err_set(err, E_CORRUPT, "no chunk, but encoding %s of %u bytes", chunk_enc_name(entry.enc),
				     entry.plain_len);
		else
			rc = RG_CHUNK_VALUE;
	} else if (rc == 0) {
		rc = rg_chunk_load(rg, &entry, plain_max, arena, &chunk.plain, err);
		if (rc == 0 && (chunk.plain.len < 1 || chunk.plain.at[0] != entry.enc))
			rc = err_set(err, E_CORRUPT, "encoding %s, directory says %s",
				     chunk.plain.len ? chunk_enc_name(chunk.plain.at[0]) : "none",
				     chunk_enc_name(entry.enc));
		rc = rc < 0 ? rc : RG_CHUNK_PLAIN;
	}
	if (rc < 0) {
		(void)err_prefix(err, WHAT ": column %s", col->key);
		return rc;
	}
	*ret_chunk = chunk;
	return rc;
}

/* ---- checking ---- */

static int verify_entry(const struct rg *rg, uint32_t i, struct arena *arena, struct err *err)
{
	struct rg_entry entry = rg_entry_at(rg, i);
	const struct col *col = table_col_id(rg->table, entry.col_id);
	struct rg_ints ints;
	struct rg_bytes bytes;
	const uint64_t *valid;
	struct view plain;
	int rc;

	if (entry.col_id == RG_COL_BITMAP)
		rc = bitmap_load(rg, &entry, arena, &valid, err);
	else if (col)
		return types[col->type].phys == PHYS_INT ? rg_read_ints(rg, col, arena, &ints, err) :
							   rg_read_bytes(rg, col, arena, &bytes, err);
	else if (entry.stored_len)	/* a newer program's column */
		rc = rg_chunk_load(rg, &entry, RG_CHUNK_BYTES_MAX, arena, &plain, err);
	else
		rc = 0;
	if (rc < 0)
		(void)err_prefix(err, WHAT ": entry %u, column %u", i, entry.col_id);
	return rc;
}

static int verify_zone(const struct rg *rg, struct arena *arena, struct err *err)
{
	const struct table *table = rg->table;
	struct rg_zone zone = { .start_min = rg->zone.rows ? UINT64_MAX : 0 };
	struct rg_ints start, end;
	int rc = rg_read_ints(rg, &table->cols[table->start_ord], arena, &start, err);

	if (rc == 0)
		rc = rg_read_ints(rg, &table->cols[table->end_ord >= 0 ? table->end_ord : table->start_ord], arena,
				  &end, err);
	if (rc < 0)
		return rc;
	for (uint32_t row = 0; row < rg->zone.rows; row++) {
		zone.start_min = start.values[row] < zone.start_min ? start.values[row] : zone.start_min;
		zone.start_max = start.values[row] > zone.start_max ? start.values[row] : zone.start_max;
		zone.end_max = end.values[row] > zone.end_max ? end.values[row] : zone.end_max;
	}
	if (zone.start_min != rg->zone.start_min || zone.start_max != rg->zone.start_max ||
	    zone.end_max != rg->zone.end_max)
		return err_set(err, E_CORRUPT, WHAT ": its rows begin %llu..%llu, its header says %llu..%llu",
			       (unsigned long long)zone.start_min, (unsigned long long)zone.start_max,
			       (unsigned long long)rg->zone.start_min, (unsigned long long)rg->zone.start_max);
	return 0;
}

int rg_verify(const struct rg *rg, struct err *err)
{
	struct arena arena;
	int rc = 0;

	arena_init(&arena, 0);
	arena.keep_bytes = VERIFY_KEEP_BYTES;
	for (uint32_t i = 0; i < rg->cols && rc == 0; i++) {
		rc = verify_entry(rg, i, &arena, err);
		arena_reset(&arena);
	}
	if (rc == 0)
		rc = verify_zone(rg, &arena, err);
	arena_release(&arena);
	return rc;
}
