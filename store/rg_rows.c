/* Columns of a row group back to rows. */
#include <assert.h>

#include "store/rg_format.h"

#define TILE 64		/* rows filled together: they stay in the nearest cache, and share a word of valid */

struct decoded {
	const struct col *col;
	bool is_bytes;
	struct rg_ints ints;
	struct rg_bytes bytes;
};

static void mark_tile(const struct col *col, const uint64_t *valid, uint32_t from, uint32_t count, uint8_t *rows,
		      size_t row_bytes)
{
	uint64_t word = valid ? valid[from / TILE] : UINT64_MAX;

	for (uint32_t i = 0; i < count; i++)
		((uint64_t *)(rows + i * row_bytes))[col->ordinal / 64] |= (word >> i & 1)
									   << (col->ordinal % 64);
}

static void ints_tile(const struct decoded *decoded, uint32_t from, uint32_t count, uint8_t *rows, size_t row_bytes)
{
	const uint64_t *values = decoded->ints.values + from;
	uint8_t *at = rows + decoded->col->offset;

	switch (types[decoded->col->type].row_bytes) {
#define MEMBER(bytes)							\
	case bytes:							\
		for (uint32_t i = 0; i < count; i++)			\
			memcpy(at + i * row_bytes, &values[i], bytes);	\
		break;
	MEMBER(1)
	MEMBER(2)
	MEMBER(4)
	MEMBER(8)
#undef MEMBER
	}
	mark_tile(decoded->col, decoded->ints.valid, from, count, rows, row_bytes);
}

static void bytes_tile(const struct decoded *decoded, uint32_t from, uint32_t count, uint8_t *rows,
		       size_t row_bytes)
{
	const struct rg_bytes *bytes = &decoded->bytes;
	uint8_t *at = rows + decoded->col->offset;

	for (uint32_t i = 0; i < count; i++) {
		const struct view *v = &bytes->dict[bytes->codes ? bytes->codes[from + i] : from + i];

		if (!rg_valid(bytes->valid, from + i))
			continue;
		if (decoded->col->type == TYPE_IP)
			memcpy(at + i * row_bytes, v->at, sizeof(struct ip));
		else
			memcpy(at + i * row_bytes, v, sizeof(*v));
	}
	mark_tile(decoded->col, bytes->valid, from, count, rows, row_bytes);
}

int rg_read_rows(const struct rg *rg, struct arena *arena, void **ret_rows, struct err *err)
{
	const struct table *table = rg->table;
	struct decoded *decoded = arena_array(arena, table->cols_count, sizeof(*decoded));
	uint32_t rows = rg->zone.rows;
	uint8_t *structs = arena_array(arena, rows, table->row_bytes);
	size_t count = 0;
	int rc;

	if (!decoded || !structs)
		return err_set(err, E_NO_MEMORY, "row group: no memory for %u rows of %s", rows, table->name);
	for (size_t i = 0; i < table->cols_count; i++) {
		struct decoded *d = &decoded[count];
		struct rg_entry entry;

		if (!rg_entry_find(rg, &table->cols[i], &entry))
			continue;
		d->col = &table->cols[i];
		d->is_bytes = types[d->col->type].phys == PHYS_BYTES;
		rc = d->is_bytes ? rg_read_bytes(rg, d->col, arena, &d->bytes, err) :
				   rg_read_ints(rg, d->col, arena, &d->ints, err);
		if (rc < 0)
			return rc;
		count++;
	}
	for (uint32_t from = 0; from < rows; from += TILE) {
		uint32_t n = rows - from < TILE ? rows - from : TILE;
		uint8_t *tile = structs + from * table->row_bytes;

		for (size_t i = 0; i < count; i++) {
			if (decoded[i].is_bytes)
				bytes_tile(&decoded[i], from, n, tile, table->row_bytes);
			else
				ints_tile(&decoded[i], from, n, tile, table->row_bytes);
		}
	}
	*ret_rows = structs;
	return 0;
}
