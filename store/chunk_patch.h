/*
 * Integers of which a few lie far from the others and would widen all: where most of them lie. FORMAT.md, "Chunk
 * encodings", patch.
 */
#ifndef STORE_CHUNK_PATCH_H
#define STORE_CHUNK_PATCH_H

#include <stddef.h>
#include <stdint.h>

/* Most values lie in [low, low + 2^width). */
struct chunk_patch {
	uint64_t low;
	unsigned width;
};

/*
 * The range that is cheapest for a sample, the rest as exceptions. spread: of all values.
 * Bytes of the whole, about; SIZE_MAX: as many as limit, or more.
 */
size_t chunk_patch_find(const uint64_t *values, size_t count, uint64_t spread, size_t limit,
			struct chunk_patch *ret_patch);

#endif
