/* Fast in-memory hashing (tables, shards). Not for disk: store/codec.h has the stored checksum. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xe7037ed1a0b428dbull);

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t hash_u64(uint64_t v)
{
	return hash_mix(v, 0xa0761d6478bd642full);
}

/* No byte is read twice but in the last step, where loads may overlap: a memcpy of unknown length is a call. */
static inline uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed)
{
	const uint8_t *at = bytes;
	uint64_t h = seed ^ len, a = 0, b = 0;
	uint32_t low, high;

	for (; len > 16; at += 16, len -= 16) {
		memcpy(&a, at, 8);
		memcpy(&b, at + 8, 8);
		h = hash_mix(a ^ h, b);
	}
	if (len >= 8) {
		memcpy(&a, at, 8);
		memcpy(&b, at + len - 8, 8);
	} else if (len >= 4) {
		memcpy(&low, at, 4);
		memcpy(&high, at + len - 4, 4);
		a = low;
		b = high;
	} else if (len) {
		a = (uint64_t)at[0] << 16 | (uint64_t)at[len / 2] << 8 | at[len - 1];
		b = 0;
	} else {
		a = b = 0;
	}
	return hash_mix(a ^ h, b ^ 0x8ebc6af09c88c6e3ull);
}

#endif
