#include "store/bitmap.h"

#include <roaring/roaring.h>

#include "base/mem.h"
#include "base/rd.h"
#include "store/envelope.h"

#define WHAT "bitmap"
#define MAGIC ENVELOPE_MAGIC('T', 'D', 'B', 'M')
#define VERSION 1

/* The portable Roaring format, github.com/RoaringBitmap/RoaringFormatSpec. */
#define COOKIE_NO_RUNS 12346u
#define COOKIE_RUNS 12347u		/* in the low 16 bits; containers - 1 above */
#define OFFSETS_FROM 4u			/* containers from which on a file with runs has offsets, too */
#define ARRAY_MAX 4096u
#define BITSET_WORDS 1024u

/*
 * CRoaring allocates by itself and takes failure for granted not to happen; our
 * own block around it makes a forgotten bitmap_free show in mem_live.
 */
struct bitmap {
	roaring_bitmap_t *set;
};

static struct bitmap *bitmap_around(roaring_bitmap_t *set)
{
	struct bitmap *bitmap = set ? mem_alloc(sizeof(*bitmap)) : NULL;

	if (!bitmap) {
		if (set)
			roaring_bitmap_free(set);
		return NULL;
	}
	bitmap->set = set;
	return bitmap;
}

struct bitmap *bitmap_new(void)
{
	return bitmap_around(roaring_bitmap_create());
}

struct bitmap *bitmap_range(uint32_t from, uint32_t to)
{
	return bitmap_around(from < to ? roaring_bitmap_from_range(from, to, 1) : roaring_bitmap_create());
}

void bitmap_free(struct bitmap *bitmap)
{
	if (!bitmap)
		return;
	roaring_bitmap_free(bitmap->set);
	mem_free(bitmap);
}

int bitmap_add(struct bitmap *bitmap, uint32_t value)
{
	roaring_bitmap_add(bitmap->set, value);
	return 0;
}

bool bitmap_has(const struct bitmap *bitmap, uint32_t value)
{
	return roaring_bitmap_contains(bitmap->set, value);
}

uint64_t bitmap_count(const struct bitmap *bitmap)
{
	return roaring_bitmap_get_cardinality(bitmap->set);
}

void bitmap_and(struct bitmap *bitmap, const struct bitmap *other)
{
	roaring_bitmap_and_inplace(bitmap->set, other->set);
}

void bitmap_or(struct bitmap *bitmap, const struct bitmap *other)
{
	roaring_bitmap_or_inplace(bitmap->set, other->set);
}

void bitmap_each(const struct bitmap *bitmap, bool (*fn)(uint32_t value, void *arg), void *arg)
{
	(void)roaring_iterate(bitmap->set, fn, arg);
}

/* ---- stored ---- */

int bitmap_write(const struct bitmap *bitmap, struct wr *out, struct err *err)
{
	size_t start, bytes;
	uint8_t *at;
	int rc;

	(void)roaring_bitmap_run_optimize(bitmap->set);
	bytes = roaring_bitmap_portable_size_in_bytes(bitmap->set);
	start = envelope_begin(out, MAGIC, VERSION, 0, 0);
	at = wr_space(out, bytes);
	if (at)
		(void)roaring_bitmap_portable_serialize(bitmap->set, (char *)at);
	rc = envelope_end(out, start, ENVELOPE_BYTES + bytes, err);
	if (rc < 0)
		out->len = start;
	return rc;
}

static bool array_good(struct rd *rd, uint32_t count)
{
	struct view bytes = rd_bytes(rd, (size_t)count * 2);
	struct rd values = rd_make(bytes);
	uint16_t last = rd_u16le(&values);

	for (uint32_t i = 1; i < count; i++) {
		uint16_t value = rd_u16le(&values);

		if (value <= last)
			return false;
		last = value;
	}
	return !rd->bad;
}

static bool bitset_good(struct rd *rd, uint32_t count)
{
	uint32_t found = 0;

	for (unsigned i = 0; i < BITSET_WORDS; i++)
		found += (uint32_t)__builtin_popcountll(rd_u64le(rd));
	return !rd->bad && found == count;
}

/* Pairs of first value and length - 1: ascending, apart, inside 16 bits, count values in all. */
static bool runs_good(struct rd *rd, uint32_t count)
{
	uint32_t runs = rd_u16le(rd), free_from = 0, found = 0;

	if (runs == 0)
		return false;
	for (uint32_t i = 0; i < runs && !rd->bad; i++) {
		uint32_t first = rd_u16le(rd), more = rd_u16le(rd);

		if ((i && first <= free_from) || first + more > UINT16_MAX)
			return false;
		free_from = first + more + 1;
		found += more + 1;
	}
	return !rd->bad && found == count;
}

struct roaring_head {
	uint32_t containers;
	struct view run_bits;	/* empty: none */
	struct view keys;	/* pairs of key and cardinality - 1 */
	struct view offsets;	/* empty: none */
};

static bool head_read(struct rd *rd, struct roaring_head *head)
{
	uint32_t cookie = rd_u32le(rd);

	*head = (struct roaring_head){ 0 };
	if ((cookie & UINT16_MAX) == COOKIE_RUNS) {
		head->containers = (cookie >> 16) + 1;
		head->run_bits = rd_bytes(rd, (head->containers + 7) / 8);
	} else if (cookie == COOKIE_NO_RUNS) {
		head->containers = rd_u32le(rd);
	} else {
		return false;
	}
	if (rd->bad || head->containers > 1u << 16)
		return false;
	head->keys = rd_bytes(rd, (size_t)head->containers * 4);
	if (!head->run_bits.len || head->containers >= OFFSETS_FROM)
		head->offsets = rd_bytes(rd, (size_t)head->containers * 4);
	return !rd->bad;
}

/* CRoaring trusts order, cardinalities and offsets of what it reads, so we may not. */
static bool roaring_good(struct view bytes)
{
	struct rd rd = rd_make(bytes), keys, offsets;
	struct roaring_head head;
	uint32_t last_key = 0;

	if (!head_read(&rd, &head))
		return false;
	keys = rd_make(head.keys);
	offsets = rd_make(head.offsets);
	for (uint32_t i = 0; i < head.containers; i++) {
		uint32_t key = rd_u16le(&keys), count = (uint32_t)rd_u16le(&keys) + 1;
		bool runs = head.run_bits.len && (head.run_bits.at[i / 8] >> (i % 8) & 1);

		if (i && key <= last_key)
			return false;
		last_key = key;
		if (head.offsets.len && rd_u32le(&offsets) != rd_pos(&rd))
			return false;
		if (runs ? !runs_good(&rd, count) :
		    count <= ARRAY_MAX ? !array_good(&rd, count) : !bitset_good(&rd, count))
			return false;
	}
	return !rd.bad && rd_left(&rd) == 0;
}

int bitmap_read(struct view stored, struct bitmap **ret_bitmap, struct err *err)
{
	struct envelope envelope;
	struct bitmap *bitmap;
	struct view bytes;
	int rc = envelope_open(stored, WHAT, MAGIC, VERSION, 0, &envelope, err);

	if (rc == 0)
		rc = envelope_check(stored, WHAT, stored.len, err);
	if (rc < 0)
		return rc;
	bytes = view_sub(stored, ENVELOPE_BYTES, SIZE_MAX);
	if (!roaring_good(bytes))
		return err_set(err, E_CORRUPT, WHAT ": %zu bytes are no Roaring set", bytes.len);
	bitmap = bitmap_around(roaring_bitmap_portable_deserialize_safe((const char *)bytes.at, bytes.len));
	if (!bitmap)
		return err_set(err, E_NO_MEMORY, WHAT ": no memory for %zu bytes", bytes.len);
	*ret_bitmap = bitmap;
	return 0;
}
