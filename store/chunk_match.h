/*
 * Which values of a stored stream pass a test, without decoding all of it: what a
 * block, a run or a dictionary says for many values at once is asked once, the rest is
 * unpacked 256 values at a time, into the nearest cache. Encodings that cannot be asked so are
 * left to chunk_ints_read.
 */
#ifndef STORE_CHUNK_MATCH_H
#define STORE_CHUNK_MATCH_H

#include "store/chunk.h"

struct chunk_span {	/* closed */
	uint64_t from, to;
};

struct chunk_test {
	const struct chunk_span *spans;	/* ascending, disjoint: a value in one of them passes */
	size_t spans_count;
	const uint8_t *fits;	/* instead: [value], 0 or 1; a value of fits_count and more is E_CORRUPT */
	size_t fits_count;
};

static inline bool chunk_spans_have(const struct chunk_span *spans, size_t count, uint64_t value)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (spans[mid].to < value)
			low = mid + 1;
		else
			high = mid;
	}
	return low < count && spans[low].from <= value;
}

/*
 * The stream's count (1..CHUNK_VALUES_MAX) values into bits, (count + 63) / 64 words, those behind the last value 0.
 * 1; 0: not in this encoding, decode it; E_CORRUPT, E_NO_MEMORY.
 */
int chunk_ints_match(struct rd *rd, size_t count, const struct chunk_test *test, struct arena *arena, uint64_t *bits,
		     struct err *err);
/* values[0..count) into bits, as above; without spans: fits. */
int chunk_values_match(const uint64_t *values, size_t count, const struct chunk_test *test, uint64_t *bits,
		       struct err *err);
/* Bits of the rows that valid names, one behind the other, to where those rows are. */
void chunk_bits_spread(const uint64_t *dense, const uint64_t *valid, size_t rows, uint64_t *bits);

#endif
