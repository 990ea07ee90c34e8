#include "store/bitpack.h"

#include <assert.h>
#include <string.h>

#define LANES 4
#define PER_LANE (BITPACK_BLOCK / LANES)	/* 64: so a lane is width whole words */

/* gcc maps it to one AVX2 or two SSE2 registers. */
typedef uint64_t lanes __attribute__((vector_size(LANES * sizeof(uint64_t))));

static inline uint64_t mask_of(unsigned width)
{
	return width == 64 ? UINT64_MAX : (1ull << width) - 1;
}

/* Value i is number i / 4 of lane i % 4; word w of all lanes lies together. */
static void pack_block(const uint64_t *values, uint64_t base, unsigned width, uint8_t *out)
{
	uint64_t words[64 * LANES];

	memset(words, 0, width * LANES * sizeof(uint64_t));
	for (unsigned k = 0; k < PER_LANE; k++) {
		unsigned bit = k * width, word = bit / 64, shift = bit % 64;

		for (unsigned lane = 0; lane < LANES; lane++) {
			uint64_t v = values[k * LANES + lane] - base;

			words[word * LANES + lane] |= v << shift;
			if (shift + width > 64)
				words[(word + 1) * LANES + lane] |= v >> (64 - shift);
		}
	}
	memcpy(out, words, width * LANES * sizeof(uint64_t));
}

static inline __attribute__((always_inline)) void unpack_lanes(const uint8_t *in, uint64_t base, unsigned width,
							       uint64_t *out)
{
	const lanes mask = mask_of(width) - (lanes){ 0 };
	const lanes bases = base - (lanes){ 0 };

	for (unsigned k = 0; k < PER_LANE; k++) {
		unsigned bit = k * width, word = bit / 64, shift = bit % 64;
		/* Bits of the following word are masked away when the value ends in this one. */
		unsigned next = word + 1 < width ? word + 1 : word;
		lanes low, high, v;

		memcpy(&low, in + word * sizeof(low), sizeof(low));
		memcpy(&high, in + next * sizeof(high), sizeof(high));
		v = ((low >> shift | high << 1 << (63 - shift)) & mask) + bases;
		memcpy(out + k * LANES, &v, sizeof(v));
	}
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void unpack_avx2(const uint8_t *in, uint64_t base, unsigned width, uint64_t *out)
{
	unpack_lanes(in, base, width, out);
}
#endif

/* Chosen by a look at a flag, not by an ifunc: these run before sanitizers are ready. */
static void unpack_block(const uint8_t *in, uint64_t base, unsigned width, uint64_t *out)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2")) {
		unpack_avx2(in, base, width, out);
		return;
	}
#endif
	unpack_lanes(in, base, width, out);
}

static void pack_tail(const uint64_t *values, size_t count, uint64_t base, unsigned width, uint8_t *out)
{
	uint64_t words[BITPACK_BLOCK + 1];

	memset(words, 0, sizeof(words));
	for (size_t i = 0; i < count; i++) {
		size_t bit = i * width, word = bit / 64;
		unsigned shift = bit % 64;
		uint64_t v = values[i] - base;

		words[word] |= v << shift;
		if (shift + width > 64)
			words[word + 1] |= v >> (64 - shift);
	}
	memcpy(out, words, bitpack_bytes(width, count));
}

static void unpack_tail(const uint8_t *in, size_t count, uint64_t base, unsigned width, uint64_t *out)
{
	uint64_t words[BITPACK_BLOCK + 1], mask = mask_of(width);
	size_t bytes = bitpack_bytes(width, count);

	memcpy(words, in, bytes);
	memset((uint8_t *)words + bytes, 0, 16 < sizeof(words) - bytes ? 16 : sizeof(words) - bytes);
	for (size_t i = 0; i < count; i++) {
		size_t bit = i * width, word = bit / 64;
		unsigned shift = bit % 64;

		out[i] = ((words[word] >> shift | words[word + 1] << 1 << (63 - shift)) & mask) + base;
	}
}

void bitpack_pack(const uint64_t *values, size_t count, uint64_t base, unsigned width, uint8_t *out)
{
	assert(count >= 1 && count <= BITPACK_BLOCK && width <= 64);
	if (width == 0)
		return;
	if (count == BITPACK_BLOCK)
		pack_block(values, base, width, out);
	else
		pack_tail(values, count, base, width, out);
}

void bitpack_unpack(const uint8_t *in, size_t count, uint64_t base, unsigned width, uint64_t *out)
{
	assert(count >= 1 && count <= BITPACK_BLOCK && width <= 64);
	if (width == 0) {
		for (size_t i = 0; i < count; i++)
			out[i] = base;
	} else if (count == BITPACK_BLOCK) {
		unpack_block(in, base, width, out);
	} else {
		unpack_tail(in, count, base, width, out);
	}
}
