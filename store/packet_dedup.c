#include "store/packet_dedup.h"

#include <assert.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "base/hash.h"
#include "base/mem.h"

#define SLOTS ((64u << 20) >> PACKET_UNIT_BITS)	/* units in memory: 64 MiB */
#define WINDOW 64u		/* bytes that a hash tells */
#define SAMPLE_BITS 6
#define CHOICE_BYTES 8u		/* so many, in halves times these */
#define CHOICE_LOW 0x2545f491u
#define CHOICE_HIGH 0x9e3779b1u
#define CHOICE_BELOW (INT32_MIN + (int32_t)(1u << (32 - SAMPLE_BITS)))
#define MATCH_MIN 128u		/* shorter ones take little when packed, and a reader a unit each */
#define FOLLOW_MIN 16u		/* where a match goes on in the next unit */
#define STRETCH 1024u		/* bytes whose places are looked up together, at most, */
#define STRETCH_MIN 256u	/* and behind a reference: there the next one is likely, and makes the rest needless */
#define SAMPLES_OVER 4u		/* places that are written to without being counted */
#define TABLE_BITS 20
#define SLOT_BITS (26 - PACKET_UNIT_BITS)
#define TAG_BITS (32 - SLOT_BITS - PACKET_UNIT_BITS)	/* of an entry, above slot and offset */
#define PLACE_MASK ((1u << (32 - TAG_BITS)) - 1)

_Static_assert(SLOTS == 1u << SLOT_BITS, "a place has room for every byte in memory");

struct packet_dedup {
	uint64_t next;		/* number of the next unit */
	uint8_t *bytes;		/* SLOTS units; touched as they come */
	uint32_t fill[SLOTS];
	uint32_t *table;	/* tag, slot and offset of the byte behind the window; 0: none. What they say may be long gone */
	uint64_t block;		/* count of blocks, from 1 */
	uint64_t far_block[SLOTS];	/* the block that has the unit in its list, */
	uint32_t far_index[SLOTS];	/* and where */
};

struct run {		/* over the payload of one block */
	struct packet_dedup *dedup;
	struct packet_refs *refs;
	struct view in;
	size_t literal;		/* in[literal, at) is not emitted yet */
	size_t referred;	/* in[.., referred) ends with a reference */
	uint64_t place;		/* where in[literal] will lie: number << PACKET_UNIT_BITS | offset */
	bool bad;
	/* Sampled places of a stretch, in order. */
	unsigned samples;
	uint32_t sample_at[STRETCH + SAMPLES_OVER];	/* behind its window */
	uint64_t sample_hash[STRETCH];
};

int packet_dedup_new(uint64_t first_number, struct packet_dedup **ret_dedup)
{
	struct packet_dedup *dedup = mem_zalloc(sizeof(*dedup));

	if (!dedup)
		return E_NO_MEMORY;
	dedup->bytes = mem_alloc((size_t)SLOTS << PACKET_UNIT_BITS);
	dedup->table = mem_array(1u << TABLE_BITS, sizeof(*dedup->table));
	if (!dedup->bytes || !dedup->table) {
		packet_dedup_free(dedup);
		return E_NO_MEMORY;
	}
	dedup->next = first_number;
	*ret_dedup = dedup;
	return 0;
}

void packet_dedup_free(struct packet_dedup *dedup)
{
	if (!dedup)
		return;
	mem_free(dedup->bytes);
	mem_free(dedup->table);
	mem_free(dedup);
}

uint64_t packet_dedup_next(const struct packet_dedup *dedup)
{
	return dedup->next;
}

void packet_refs_init(struct packet_refs *refs)
{
	*refs = (struct packet_refs){ .own_first = 0 };
	wr_init(&refs->literals, 0);
	wr_init(&refs->units, 0);
	wr_init(&refs->offsets, 0);
	wr_init(&refs->lengths, 0);
	wr_init(&refs->own, 0);
}

void packet_refs_release(struct packet_refs *refs)
{
	wr_release(&refs->literals);
	wr_release(&refs->units);
	wr_release(&refs->offsets);
	wr_release(&refs->lengths);
	wr_release(&refs->own);
	mem_free(refs->far);
	refs->far = NULL;
	refs->far_count = refs->far_cap = 0;
}

static uint8_t *slot_at(struct packet_dedup *dedup, uint64_t number)
{
	return dedup->bytes + ((number % SLOTS) << PACKET_UNIT_BITS);
}

/* in[literal, to) becomes bytes of the block's own units. */
static void literals_put(struct run *run, size_t to)
{
	struct packet_dedup *dedup = run->dedup;

	wr_bytes(&run->refs->own, view_make(run->in.at + run->literal, to - run->literal));
	while (run->literal < to) {
		uint64_t number = run->place >> PACKET_UNIT_BITS;
		uint32_t offset = (uint32_t)run->place & (PACKET_UNIT_BYTES - 1);
		size_t len = PACKET_UNIT_BYTES - offset;

		len = len < to - run->literal ? len : to - run->literal;
		memcpy(slot_at(dedup, number) + offset, run->in.at + run->literal, len);
		dedup->fill[number % SLOTS] = offset + (uint32_t)len;
		run->literal += len;
		run->place += len;
	}
}

static uint64_t unit_index(struct run *run, uint64_t number)
{
	struct packet_dedup *dedup = run->dedup;
	struct packet_refs *refs = run->refs;
	size_t slot = number % SLOTS;

	if (number >= refs->own_first)
		return 2 * (number - refs->own_first);
	if (dedup->far_block[slot] != dedup->block) {
		if (mem_grow((void **)&refs->far, &refs->far_cap, refs->far_count, sizeof(*refs->far)) < 0) {
			run->bad = true;
			return 0;
		}
		dedup->far_block[slot] = dedup->block;
		dedup->far_index[slot] = (uint32_t)refs->far_count;
		refs->far[refs->far_count++] = number;
	}
	return 2 * (uint64_t)dedup->far_index[slot] + 1;
}

/* What was not emitted up to `from`, then [from, from + len), which lies in that unit. */
static void reference_put(struct run *run, size_t from, size_t len, uint64_t number, uint32_t offset)
{
	struct packet_refs *refs = run->refs;

	literals_put(run, from);
	wr_varint(&refs->literals, from - run->referred);
	wr_varint(&refs->units, unit_index(run, number));
	wr_u16le(&refs->offsets, (uint16_t)offset);
	wr_varint(&refs->lengths, len);
	run->literal = run->referred = from + len;
}

static uint64_t differ_at(const uint8_t *a, const uint8_t *b)
{
	uint64_t x, y;

	memcpy(&x, a, 8);
	memcpy(&y, b, 8);
	return x ^ y;
}

static size_t equal_len(const uint8_t *a, const uint8_t *b, size_t max)
{
	size_t len = 0;

	for (; len + 32 <= max; len += 32) {	/* a is far away: its lines are asked for before they are looked at */
		__builtin_prefetch(a + len + 384);
		if (differ_at(a + len, b + len) | differ_at(a + len + 8, b + len + 8) |
		    differ_at(a + len + 16, b + len + 16) | differ_at(a + len + 24, b + len + 24))
			break;
	}
	for (; len + 8 <= max; len += 8) {
		uint64_t differ = differ_at(a + len, b + len);

		if (differ)
			return len + (size_t)__builtin_ctzll(differ) / 8;
	}
	while (len < max && a[len] == b[len])
		len++;
	return len;
}

static size_t equal_back(const uint8_t *a, const uint8_t *b, size_t max)
{
	size_t len = 0;

	for (; len + 8 <= max; len += 8) {
		uint64_t differ = differ_at(a - len - 8, b - len - 8);

		if (differ)
			return len + (size_t)__builtin_clzll(differ) / 8;
	}
	while (len < max && a[-(ptrdiff_t)len - 1] == b[-(ptrdiff_t)len - 1])
		len++;
	return len;
}

/* A unit to refer to: still in memory, and closed. What the open one has, the compressor finds. */
static bool is_referable(const struct run *run, uint64_t number)
{
	uint64_t open = run->place >> PACKET_UNIT_BITS;

	return number < open && open - number < SLOTS - 1;
}

/* The newest unit of a slot up to the open one. */
static uint64_t number_in(const struct run *run, uint32_t slot)
{
	uint64_t open = run->place >> PACKET_UNIT_BITS;

	return open - ((open - slot) & (SLOTS - 1));
}

/* Whether the bytes around at were seen at place; then they are emitted, and *at is behind them. */
static bool match(struct run *run, uint32_t place, size_t *at)
{
	uint64_t number = number_in(run, place >> PACKET_UNIT_BITS);
	uint32_t offset = place & (PACKET_UNIT_BYTES - 1), fill;
	const uint8_t *unit = slot_at(run->dedup, number);
	size_t behind, before, left = run->in.len - *at;

	if (!is_referable(run, number))
		return false;
	fill = run->dedup->fill[number % SLOTS];
	if (offset > fill)
		return false;
	behind = equal_len(unit + offset, run->in.at + *at, fill - offset < left ? fill - offset : left);
	before = *at - run->literal;
	before = equal_back(unit + offset, run->in.at + *at, before < offset ? before : offset);
	if (before + behind < MATCH_MIN)
		return false;
	reference_put(run, *at - before, before + behind, number, offset - (uint32_t)before);
	*at += behind;
	while (offset + behind == PACKET_UNIT_BYTES && is_referable(run, ++number)) {
		left = run->in.len - *at;
		fill = run->dedup->fill[number % SLOTS];
		offset = 0;
		behind = equal_len(slot_at(run->dedup, number), run->in.at + *at, fill < left ? fill : left);
		if (behind < FOLLOW_MIN)
			break;
		reference_put(run, *at, behind, number, 0);
		*at += behind;
	}
	return true;
}

static uint32_t *entry_of(const struct run *run, uint64_t hash)
{
	return &run->dedup->table[hash >> (64 - TABLE_BITS)];
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)hash << (32 - TAG_BITS);
}

static bool is_candidate(uint32_t entry, uint64_t hash)
{
	return entry && (entry ^ tag_of(hash)) >> (32 - TAG_BITS) == 0;
}

/* Places in (at, end] that are samples. */
static unsigned choose_plain(const uint8_t *in, size_t at, size_t end, uint32_t *ret_at)
{
	unsigned count = 0;

	while (at++ < end) {
		uint32_t low, high;

		memcpy(&low, in + at - CHOICE_BYTES, 4);
		memcpy(&high, in + at - CHOICE_BYTES / 2, 4);
		ret_at[count] = (uint32_t)at;
		count += (int32_t)(low * CHOICE_LOW + high * CHOICE_HIGH) < CHOICE_BELOW;
	}
	return count;
}

#ifdef __x86_64__
/* A bit for each of the places at + 1 to at + 8. */
__attribute__((target("avx2"))) static inline uint32_t choice_avx2(const uint8_t *at, __m256i lows, __m256i highs)
{
	__m256i bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(at + 1 - CHOICE_BYTES)));
	__m256i low = _mm256_mullo_epi32(_mm256_shuffle_epi8(bytes, lows), _mm256_set1_epi32((int)CHOICE_LOW));
	__m256i high = _mm256_mullo_epi32(_mm256_shuffle_epi8(bytes, highs), _mm256_set1_epi32((int)CHOICE_HIGH));
	__m256i is = _mm256_cmpgt_epi32(_mm256_set1_epi32(CHOICE_BELOW), _mm256_add_epi32(low, high));

	return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(is));
}

/* The same, 32 places at a time. One of them is a sample as a rule, so the first ones are taken without a branch. */
__attribute__((target("avx2"))) static unsigned choose_avx2(const uint8_t *in, size_t at, size_t end, uint32_t *ret_at)
{
	const __m256i lows = _mm256_setr_epi8(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6,
					      4, 5, 6, 7, 5, 6, 7, 8, 6, 7, 8, 9, 7, 8, 9, 10);
	const __m256i highs = _mm256_add_epi8(lows, _mm256_set1_epi8(4));
	unsigned count = 0;

	for (; at + 33 <= end; at += 32) {	/* a byte more is read than the last place asks for */
		uint32_t mask = choice_avx2(in + at, lows, highs) | choice_avx2(in + at + 8, lows, highs) << 8 |
				choice_avx2(in + at + 16, lows, highs) << 16 | choice_avx2(in + at + 24, lows, highs) << 24;

		for (unsigned i = 0; i < SAMPLES_OVER - 1; i++) {
			ret_at[count] = (uint32_t)at + 1 + (uint32_t)__builtin_ctz(mask | 1u << 31);
			count += mask != 0;
			mask &= mask - 1;
		}
		for (; mask; mask &= mask - 1)
			ret_at[count++] = (uint32_t)at + 1 + (uint32_t)__builtin_ctz(mask);
	}
	return count + choose_plain(in, at, end, ret_at + count);
}
#endif

static unsigned choose(const uint8_t *in, size_t at, size_t end, uint32_t *ret_at)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return choose_avx2(in, at, end, ret_at);
#endif
	return choose_plain(in, at, end, ret_at);
}

/*
 * The samples in (at, end]. A look at the table is a miss of all caches, and so
 * is one at the bytes it leads to: those of a stretch are fetched together.
 */
static void look_ahead(struct run *run, size_t at, size_t end)
{
	run->samples = choose(run->in.at, at, end, run->sample_at);
	for (unsigned i = 0; i < run->samples; i++) {
		run->sample_hash[i] = hash_bytes(run->in.at + run->sample_at[i] - WINDOW, WINDOW, 0);
		__builtin_prefetch(entry_of(run, run->sample_hash[i]), 1);
	}
	for (unsigned i = 0; i < run->samples; i++) {
		uint32_t entry = *entry_of(run, run->sample_hash[i]);

		if (is_candidate(entry, run->sample_hash[i])) {
			size_t place = entry & PLACE_MASK;

			__builtin_prefetch(run->dedup->bytes + place);
			__builtin_prefetch(run->dedup->bytes + (place < WINDOW ? 0 : place - WINDOW));
		}
	}
}

/* Bytes that are stored again are entered; those that are referred to are no place. */
static void run_all(struct run *run)
{
	size_t at = run->in.len < WINDOW ? run->in.len : WINDOW, stretch = STRETCH;

	while (at < run->in.len && !run->bad) {
		size_t end = run->in.len - at < stretch ? run->in.len : at + stretch;

		stretch = stretch * 2 < STRETCH ? stretch * 2 : STRETCH;
		look_ahead(run, at, end);
		for (unsigned i = 0; i < run->samples; i++) {
			uint32_t *entry = entry_of(run, run->sample_hash[i]);
			size_t behind = run->sample_at[i];
			uint32_t place;

			if (behind <= at)
				continue;
			if (is_candidate(*entry, run->sample_hash[i]) && match(run, *entry & PLACE_MASK, &behind)) {
				at = behind;
				stretch = STRETCH_MIN;
				continue;
			}
			place = (uint32_t)(run->place + (run->sample_at[i] - run->literal)) & PLACE_MASK;
			*entry = tag_of(run->sample_hash[i]) | place;
		}
		at = at > end ? at : end;
	}
	literals_put(run, run->in.len);
}

int packet_dedup_block(struct packet_dedup *dedup, struct view payload, struct packet_refs *refs)
{
	struct run run = { .dedup = dedup, .refs = refs, .in = payload,
			   .place = dedup->next << PACKET_UNIT_BITS };

	wr_reset(&refs->literals);
	wr_reset(&refs->units);
	wr_reset(&refs->offsets);
	wr_reset(&refs->lengths);
	wr_reset(&refs->own);
	refs->far_count = 0;
	refs->own_first = dedup->next;
	dedup->block++;
	run_all(&run);
	/* Its units stand in memory, whatever became of the rest: their numbers are used up. */
	dedup->next = (run.place + PACKET_UNIT_BYTES - 1) >> PACKET_UNIT_BITS;
	refs->own_count = (uint32_t)(dedup->next - refs->own_first);
	if (run.bad || refs->literals.bad || refs->units.bad || refs->offsets.bad || refs->lengths.bad ||
	    refs->own.bad)
		return E_NO_MEMORY;
	assert(refs->own_count == (refs->own.len + PACKET_UNIT_BYTES - 1) >> PACKET_UNIT_BITS);
	return 0;
}
