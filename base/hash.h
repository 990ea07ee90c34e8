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

static inline uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed)
{
	const uint8_t *at = bytes;
	uint64_t h = seed ^ len, a, b;

	while (len >= 16) {
		memcpy(&a, at, 8);
		memcpy(&b, at + 8, 8);
		h = hash_mix(a ^ h, b);
		at += 16;
		len -= 16;
	}
	a = b = 0;
	if (len > 8) {
		memcpy(&a, at, 8);
		memcpy(&b, at + 8, len - 8);
	} else if (len) {
		memcpy(&a, at, len);
	}
	return hash_mix(a ^ h, b ^ 0x8ebc6af09c88c6e3ull);
}

#endif
