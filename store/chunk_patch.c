#include "store/chunk_patch.h"

#include "store/bitpack.h"
#include "store/sort_places.h"

#define SAMPLE 1024u
#define PLACE_BYTES 2u	/* of an exception, about, beside its value */

size_t chunk_patch_find(const uint64_t *values, size_t count, uint64_t spread, size_t limit,
			struct chunk_patch *ret_patch)
{
	size_t n = count < SAMPLE ? count : SAMPLE, best_bytes = limit;
	size_t fixed_bytes = count / BITPACK_BLOCK * 3 + 16;
	size_t far_bytes = PLACE_BYTES + (bitpack_width(spread) + 7) / 8;
	uint64_t sample[SAMPLE], other[SAMPLE];

	for (size_t i = 0; i < n; i++)
		sample[i] = values[i * count / n];
	sort_numbers(sample, other, n);
	for (unsigned width = 0; width < 64 && count * width / 8 + fixed_bytes < best_bytes; width++) {
		size_t inside = 0, from = 0, inside_from = 0, bytes;

		for (size_t to = 0; to < n; to++) {
			while ((sample[to] - sample[from]) >> width)
				from++;
			if (to - from + 1 > inside) {
				inside = to - from + 1;
				inside_from = from;
			}
		}
		bytes = count * width / 8 + (n - inside) * far_bytes * count / n + fixed_bytes;
		if (bytes < best_bytes) {
			best_bytes = bytes;
			*ret_patch = (struct chunk_patch){ sample[inside_from], width };
		}
		if (inside == n)
			break;
	}
	return best_bytes < limit ? best_bytes : SIZE_MAX;
}
