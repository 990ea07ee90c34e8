#include "store/rg_sums.h"

#include "store/rg_format.h"

#define ENVELOPE_SUM_AT 16u
#define ENTRIES_AT 26u
#define ENTRY_SUM_AT 24u	/* in an entry */

bool rg_sums_is_group(struct view value)
{
	uint32_t magic = RG_MAGIC;

	return value.len >= RG_HEADER_BYTES && memcmp(value.at, &magic, sizeof(magic)) == 0;
}

static uint64_t sum_at(const uint8_t *at)
{
	uint64_t sum;

	memcpy(&sum, at, sizeof(sum));
	return sum;
}

/* Entries of the directory; -1: more than there is room for. */
static int64_t entries_of(const uint8_t *group, size_t len)
{
	uint16_t entries;

	memcpy(&entries, group + ENTRIES_AT, sizeof(entries));
	return RG_HEADER_BYTES + (size_t)entries * RG_ENTRY_BYTES <= len ? entries : -1;
}

/*
 * The chunk of an entry and what its sum is; false: it lies outside, or before *end, where the one before ended: no byte
 * is summed twice. An entry without a chunk has a value there.
 */
static bool chunk_sum(struct view group, const uint8_t *entry_at, size_t *end, bool *ret_has, uint64_t *ret_sum)
{
	struct rg_entry entry = rg_entry_get(entry_at);

	*ret_has = entry.stored_len != 0;
	if (!*ret_has)
		return true;
	if (entry.offset < *end || entry.offset > group.len || entry.stored_len > group.len - entry.offset)
		return false;
	*end = (size_t)entry.offset + entry.stored_len;
	*ret_sum = codec_checksum(view_sub(group, entry.offset, entry.stored_len));
	return true;
}

static bool sums_are_right(struct view group, size_t entries)
{
	size_t end = 0;

	for (size_t i = 0; i < entries; i++) {
		const uint8_t *at = group.at + RG_HEADER_BYTES + i * RG_ENTRY_BYTES;
		uint64_t sum = 0;
		bool has;

		if (!chunk_sum(group, at, &end, &has, &sum) || (has && sum_at(at + ENTRY_SUM_AT) != sum))
			return false;
	}
	return envelope_sum(view_sub(group, 0, RG_HEADER_BYTES + entries * RG_ENTRY_BYTES)) ==
	       sum_at(group.at + ENVELOPE_SUM_AT);
}

int rg_sums_clear(uint8_t *group, size_t len)
{
	struct view view = view_make(group, len);
	int64_t entries = entries_of(group, len);

	if (entries < 0 || !sums_are_right(view, (size_t)entries))
		return E_CORRUPT;
	for (int64_t i = 0; i < entries; i++) {
		uint8_t *at = group + RG_HEADER_BYTES + (size_t)i * RG_ENTRY_BYTES;

		if (rg_entry_get(at).stored_len)
			memset(at + ENTRY_SUM_AT, 0, sizeof(uint64_t));
	}
	memset(group + ENVELOPE_SUM_AT, 0, sizeof(uint64_t));
	return 0;
}

int rg_sums_fill(uint8_t *group, size_t len)
{
	struct view view = view_make(group, len);
	int64_t entries = entries_of(group, len);
	uint64_t sum = 0;
	size_t end = 0;

	for (int64_t i = 0; i < entries; i++) {
		uint8_t *at = group + RG_HEADER_BYTES + (size_t)i * RG_ENTRY_BYTES;
		bool has;

		if (!chunk_sum(view, at, &end, &has, &sum))
			return E_CORRUPT;
		if (has)
			memcpy(at + ENTRY_SUM_AT, &sum, sizeof(sum));
	}
	if (entries < 0)
		return E_CORRUPT;
	sum = envelope_sum(view_sub(view, 0, RG_HEADER_BYTES + (size_t)entries * RG_ENTRY_BYTES));
	memcpy(group + ENVELOPE_SUM_AT, &sum, sizeof(sum));
	return 0;
}
