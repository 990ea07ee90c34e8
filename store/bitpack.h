/*
 * Fixed-width bit packing, 256 values a block. A full block lies in four
 * interleaved lanes, so that one shift serves four values; a shorter last block
 * is packed value after value. FORMAT.md, "Chunk encodings".
 */
#ifndef STORE_BITPACK_H
#define STORE_BITPACK_H

#include <stddef.h>
#include <stdint.h>

#define BITPACK_BLOCK 256u

/* Bits that hold max: 0..64. */
static inline unsigned bitpack_width(uint64_t max)
{
	return max ? 64 - (unsigned)__builtin_clzll(max) : 0;
}

/* Bytes of one block of count (1..256) values. */
static inline size_t bitpack_bytes(unsigned width, size_t count)
{
	return (count * width + 7) / 8;
}

/* values[i] - base, each at most width bits, into exactly bitpack_bytes() of out. */
void bitpack_pack(const uint64_t *values, size_t count, uint64_t base, unsigned width, uint8_t *out);
/* The reverse, out[i] = packed + base (mod 2^64). Reads exactly bitpack_bytes(). width <= 64 is the caller's to check. */
void bitpack_unpack(const uint8_t *in, size_t count, uint64_t base, unsigned width, uint64_t *out);

#endif
