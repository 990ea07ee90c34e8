/*
 * Strings of hexadecimal digits, all of one length: trace ids and their kind, which no codec packs, as the bytes they
 * stand for. FORMAT.md, "Chunk encodings", hex. Part of chunk_bytes.c, and of who asks for single values.
 */
#ifndef STORE_CHUNK_HEX_H
#define STORE_CHUNK_HEX_H

#include "store/chunk.h"

#define CHUNK_HEX_BYTES_MAX 255u	/* of one value */

/* Bytes of each of the count values, when they are all of this kind and long enough to be worth it; else 0. */
size_t chunk_hex_bytes(const struct view *values, const uint32_t *codes, size_t count);
/* The bytes of one: false when the text is none of them. */
bool chunk_hex_parse(struct view text, size_t bytes, uint8_t *to);
void chunk_hex_put(const struct view *values, const uint32_t *codes, size_t count, size_t bytes, struct wr *out);

struct chunk_hex {
	const uint8_t *at;
	size_t bytes;		/* of each */
	size_t count;		/* distinct ones, and codes follow; or all */
};
/* Behind the byte that names it. rd is at the codes then, when there are fewer than values. E_CORRUPT. */
int chunk_hex_open(struct rd *rd, size_t values, struct chunk_hex *ret_hex, struct err *err);
/* 2 * hex->bytes digits. */
void chunk_hex_text(const struct chunk_hex *hex, size_t i, uint8_t *to);
/* Texts of those in places, NULL: of the first count. E_NO_MEMORY. */
int chunk_hex_texts(const struct chunk_hex *hex, const uint32_t *places, size_t count, struct arena *arena,
		    struct view **ret_texts, struct err *err);

#endif
