#include "store/packet_gather.h"

#include "base/mem.h"

int packet_gather_far(struct packet_gather *gather, struct rd *far, struct arena *arena, struct err *err)
{
	uint64_t last = gather->own_first;

	gather->far = arena_array(arena, gather->far_count ? gather->far_count : 1, sizeof(*gather->far));
	if (!gather->far)
		return err_set(err, E_NO_MEMORY, "no memory for %u units", gather->far_count);
	for (uint32_t i = 0; i < gather->far_count; i++)
		last = gather->far[i] = last + (uint64_t)rd_svarint(far);
	return far->bad || rd_left(far) ? err_set(err, E_CORRUPT, "%u units of other blocks", gather->far_count) : 0;
}

static int reference_next(struct packet_gather *gather, struct err *err)
{
	uint64_t code;

	if (!rd_left(&gather->literals)) {
		gather->last = true;
		gather->literal_left = UINT64_MAX;
		return 0;
	}
	gather->literal_left = rd_varint(&gather->literals);
	code = rd_varint(&gather->unit_codes);
	gather->ref_offset = rd_u16le(&gather->offsets);
	gather->ref_left = rd_varint(&gather->lengths);
	if (gather->literals.bad || gather->unit_codes.bad || gather->offsets.bad || gather->lengths.bad ||
	    gather->ref_left == 0 || gather->ref_left > 1u << gather->unit_bits ||	/* before it is added to */
	    gather->ref_offset + gather->ref_left > 1u << gather->unit_bits ||
	    code / 2 >= (code % 2 ? gather->far_count : gather->own_count))
		return err_set(err, E_CORRUPT, "a reference to %llu bytes at %u of unit %llu",
			       (unsigned long long)gather->ref_left, gather->ref_offset, (unsigned long long)code);
	gather->ref_unit = (uint32_t)(code / 2) + (code % 2 ? gather->own_count : 0);
	return 0;
}

struct piece {
	uint32_t unit;		/* own ones first */
	uint32_t offset;
	size_t len;
};

/* The next bytes that lie in one unit, at most max of them. Inlined: called for every frame of an export. */
static inline __attribute__((always_inline)) int piece_next(struct packet_gather *gather, size_t max, struct piece *ret_piece, struct err *err)
{
	while (!gather->literal_left && !gather->ref_left) {
		int rc = reference_next(gather, err);

		if (rc < 0)
			return rc;
	}
	if (gather->literal_left) {
		uint32_t full = 1u << gather->unit_bits, offset = (uint32_t)gather->own_at & (full - 1);
		uint64_t unit = gather->own_at >> gather->unit_bits;
		size_t len = full - offset;

		len = len < max ? len : max;
		len = len < gather->literal_left ? len : (size_t)gather->literal_left;
		if (unit >= gather->own_count)
			return err_set(err, E_CORRUPT, "more payload than the %u units of the block", gather->own_count);
		*ret_piece = (struct piece){ (uint32_t)unit, offset, len };
		gather->own_at += len;
		gather->literal_left -= gather->last ? 0 : len;
	} else {
		size_t len = max < gather->ref_left ? max : (size_t)gather->ref_left;

		*ret_piece = (struct piece){ gather->ref_unit, gather->ref_offset, len };
		gather->ref_offset += (uint32_t)len;
		gather->ref_left -= len;
	}
	return 0;
}

static uint64_t unit_number(const struct packet_gather *gather, uint32_t unit)
{
	return unit < gather->own_count ? gather->own_first + unit : gather->far[unit - gather->own_count];
}

int packet_gather_bytes(struct packet_gather *gather, uint8_t *to, size_t len, struct err *err)
{
	while (len) {
		struct piece piece = { 0 };
		struct view plain;
		uint64_t number;
		int rc = piece_next(gather, len, &piece, err);

		if (rc < 0)
			return rc;
		number = unit_number(gather, piece.unit);
		rc = packet_units_get(gather->units, number, &plain, err);
		if (rc == 0)
			rc = packet_unit_copy(plain, number, piece.offset, piece.len, to, err);
		if (rc < 0)
			return rc;
		to += piece.len;
		len -= piece.len;
	}
	return 0;
}

int packet_gather_skip(struct packet_gather *gather, size_t len, struct err *err)
{
	while (len) {
		struct piece piece = { 0 };
		int rc = piece_next(gather, len, &piece, err);

		if (rc < 0)
			return rc;
		len -= piece.len;
	}
	return 0;
}

void packet_takes_release(struct packet_takes *takes)
{
	mem_free(takes->list);
	mem_free(takes->units);
	*takes = (struct packet_takes){ 0 };
}

int packet_gather_note(struct packet_gather *gather, uint8_t *to, size_t len, struct packet_takes *takes, struct err *err)
{
	while (len) {
		struct piece piece = { 0 };
		int rc = piece_next(gather, len, &piece, err);

		if (rc < 0)
			return rc;
		if (mem_grow((void **)&takes->list, &takes->list_cap, takes->count, sizeof(*takes->list)) < 0 ||
		    mem_grow((void **)&takes->units, &takes->units_cap, takes->count, sizeof(*takes->units)) < 0)
			return err_set(err, E_NO_MEMORY, "no memory for %zu pieces of payload", takes->count);
		takes->list[takes->count] = (struct packet_take){ piece.offset, (uint32_t)piece.len, to };
		takes->units[takes->count++] = piece.unit;
		to += piece.len;
		len -= piece.len;
	}
	return 0;
}

int packet_gather_noted(struct packet_gather *gather, struct packet_takes *takes, struct arena *arena, struct err *err)
{
	uint32_t units = gather->own_count + gather->far_count;
	struct packet_take *sorted = arena_array(arena, takes->count + 1, sizeof(*sorted));
	struct packet_run *runs = arena_array(arena, (size_t)units + 1, sizeof(*runs));
	size_t at = 0, count = 0;

	if (!sorted || !runs)
		return err_set(err, E_NO_MEMORY, "no memory for %zu pieces of %u units", takes->count, units);
	for (size_t i = 0; i < takes->count; i++)
		runs[takes->units[i]].count++;
	for (uint32_t i = 0; i < units; i++) {
		runs[i].number = unit_number(gather, i);
		runs[i].takes = sorted + at;
		at += runs[i].count;
		runs[i].count = 0;
	}
	for (size_t i = 0; i < takes->count; i++) {
		struct packet_run *run = &runs[takes->units[i]];

		run->takes[run->count++] = takes->list[i];
	}
	for (uint32_t i = 0; i < units; i++)
		if (runs[i].count)
			runs[count++] = runs[i];
	return packet_units_take(gather->units, runs, count, err);
}

bool packet_gather_ended(const struct packet_gather *gather)
{
	return !gather->literals.bad && !gather->unit_codes.bad && !gather->offsets.bad && !gather->lengths.bad &&
	       !rd_left(&gather->literals) && !rd_left(&gather->unit_codes) && !rd_left(&gather->offsets) &&
	       !rd_left(&gather->lengths);
}
