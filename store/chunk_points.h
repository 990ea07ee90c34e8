/*
 * A few values out of a stored stream: blocks in which none of them lies are stepped over. What stands before a value
 * (a dictionary, the differences of a delta) is read all the same.
 */
#ifndef STORE_CHUNK_POINTS_H
#define STORE_CHUNK_POINTS_H

#include "store/chunk.h"

/*
 * values[i] is number places[i] of the stream's count (1..CHUNK_VALUES_MAX); places ascend and lie below it, points of
 * them, at least 1. What lies behind the last one is not looked at. E_CORRUPT, E_NO_MEMORY.
 */
int chunk_ints_at(struct rd *rd, size_t count, const uint32_t *places, size_t points, struct arena *arena,
		  uint64_t *values, struct err *err);
/* Codes, each below dict_count. */
int chunk_codes_at(struct rd *rd, size_t count, size_t dict_count, const uint32_t *places, size_t points,
		   struct arena *arena, uint32_t **ret_codes, struct err *err);
/* The same of strings, as chunk_bytes_read: the i-th is dict[codes ? codes[i] : i]. */
int chunk_bytes_at(struct rd *rd, size_t count, const uint32_t *places, size_t points, struct arena *arena,
		   struct chunk_bytes *ret_bytes, struct err *err);

#endif
