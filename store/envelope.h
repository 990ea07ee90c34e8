/*
 * The 24 bytes every stored thing starts with. FORMAT.md, "Conventions".
 *
 *   0 magic u32   4 version u16   6 must_know u16   8 may_skip u32   12 length u32   16 checksum u64
 *
 * The checksum covers the envelope itself and as many of the bytes behind it as
 * the thing says (all, or a header whose parts have checksums of their own).
 */
#ifndef STORE_ENVELOPE_H
#define STORE_ENVELOPE_H

#include "base/err.h"
#include "base/wr.h"

#define ENVELOPE_BYTES 24
#define ENVELOPE_MAGIC(a, b, c, d) \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

struct envelope {
	uint16_t version;
	uint16_t must_know;	/* bits a reader has to understand */
	uint32_t may_skip;	/* bits it may ignore */
};

/* Append an unfinished envelope; returns where it starts in out. */
size_t envelope_begin(struct wr *out, uint32_t magic, uint16_t version, uint16_t must_know, uint32_t may_skip);
/* Before the end: bits that were not known at the beginning. */
void envelope_must_know(struct wr *out, size_t start, uint16_t must_know);
/* Everything is written: fill in length and checksum, the latter over checked_bytes from start. E_NO_MEMORY, E_LIMIT. */
int envelope_end(struct wr *out, size_t start, size_t checked_bytes, struct err *err);
/* As above; behind_bytes more belong to it, which are to be stored behind out. */
int envelope_end_before(struct wr *out, size_t start, size_t checked_bytes, size_t behind_bytes, struct err *err);

/*
 * Look at stored bytes: magic, version (1..version_max), unknown must_know bits,
 * and length == stored.len. what names the thing in messages. E_CORRUPT, E_UNSUPPORTED.
 */
int envelope_open(struct view stored, const char *what, uint32_t magic, uint16_t version_max, uint16_t must_known,
		  struct envelope *ret_envelope, struct err *err);
/* Bytes the thing that begins at rest.at says it has, at least ENVELOPE_BYTES: to walk a file of things. E_CORRUPT. */
int envelope_length(struct view rest, uint32_t magic, size_t *ret_length);
/* What the checksum of a thing is whose first bytes are checked. */
uint64_t envelope_sum(struct view checked);
/* Compare the checksum over the first checked_bytes (>= ENVELOPE_BYTES). E_CORRUPT. */
int envelope_check(struct view stored, const char *what, size_t checked_bytes, struct err *err);

#endif
