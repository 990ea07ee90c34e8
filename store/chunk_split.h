/*
 * Integers whose sizes differ much: a head byte of each in a stream that is packed, the low bits as they are
 * (store/number_head.h). They take fewer bytes than bit-packed ones, whose widths are those of the largest of a block,
 * and more time to read: for streams of few values. FORMAT.md, "Chunk encodings", split.
 */
#ifndef STORE_CHUNK_SPLIT_H
#define STORE_CHUNK_SPLIT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/rd.h"
#include "base/wr.h"

enum chunk_split_form {	/* stored */
	SPLIT_ABOVE = 0,	/* what they are above base */
	SPLIT_AROUND = 1,	/* above or below it */
	SPLIT_STEPS = 2,	/* above or below the one before; the first: base */
};

struct chunk_split {
	enum chunk_split_form form;
	uint64_t base;
	uint64_t scale;		/* what all differences have in common */
	size_t bytes;		/* of the stream, about */
};

/* The form that takes least. count is at least 1. */
void chunk_split_find(const uint64_t *values, size_t count, struct chunk_split *ret_split);
/* Append the stream but for the byte that names its encoding. 0 or E_NO_MEMORY. */
int chunk_split_write(const uint64_t *values, size_t count, const struct chunk_split *split, struct wr *out);
/* Behind that byte: exactly count values. Temporary memory from arena. E_CORRUPT, E_NO_MEMORY. */
int chunk_split_read(struct rd *rd, size_t count, struct arena *arena, uint64_t *values, struct err *err);

#endif
