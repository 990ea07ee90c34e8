/*
 * Numbers of any size in two parts: a head of one byte, which says how long they are and what they begin with and so
 * packs, and low bits, which do not. FORMAT.md, "Chunk encodings".
 */
#ifndef STORE_NUMBER_HEAD_H
#define STORE_NUMBER_HEAD_H

#include <stdint.h>

#define NUMBER_HEAD_BITS 3u	/* the top bit, which is 1, and two more */
#define NUMBER_HEADS 252u	/* heads of numbers of 64 bits are below it */

/* A byte: the length in bits and the two bits behind the top one; numbers below 4 are themselves. */
static inline uint8_t number_head(uint64_t value, unsigned *ret_low_bits)
{
	unsigned bits = value ? 64 - (unsigned)__builtin_clzll(value) : 0;

	if (bits < NUMBER_HEAD_BITS) {
		*ret_low_bits = 0;
		return (uint8_t)value;
	}
	*ret_low_bits = bits - NUMBER_HEAD_BITS;
	return (uint8_t)(4 * (bits - 2) + (value >> (bits - NUMBER_HEAD_BITS) & 3));
}

/* What it says but for the low bits; of one that no number has 0, and no low bits. */
static inline uint64_t number_head_value(uint8_t head, unsigned *ret_low_bits)
{
	unsigned bits = head / 4 + 2;

	if (head < 4) {
		*ret_low_bits = 0;
		return head;
	}
	*ret_low_bits = bits > 64 ? 0 : bits - NUMBER_HEAD_BITS;
	return bits > 64 ? 0 : (uint64_t)(4 | (head & 3)) << (bits - NUMBER_HEAD_BITS);
}

static inline uint64_t number_zigzag(uint64_t v)
{
	return v << 1 ^ ((int64_t)v < 0 ? UINT64_MAX : 0);
}

static inline uint64_t number_unzigzag(uint64_t v)
{
	return v >> 1 ^ -(v & 1);
}

#endif
