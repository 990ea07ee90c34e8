/*
 * A split-block Bloom filter over byte strings: about 1 % of the keys that were
 * not added are taken for added, none that was is missed. A look-up touches the
 * header and one page of the stored bytes. FORMAT.md, "Bloom filter".
 */
#ifndef STORE_BLOOM_H
#define STORE_BLOOM_H

#include "base/err.h"
#include "base/wr.h"

struct bloom;

/* Sized for so many distinct keys; more of them only raise the share of false answers. NULL: out of memory. */
struct bloom *bloom_new(size_t keys);
void bloom_free(struct bloom *bloom);
/* INT columns are added as 8 bytes little-endian. */
void bloom_add(struct bloom *bloom, struct view key);
/* Append. E_NO_MEMORY. */
int bloom_write(const struct bloom *bloom, struct wr *out, struct err *err);

/* 0: key was not added; 1: it may have been; E_CORRUPT, E_UNSUPPORTED. Any thread. */
int bloom_may_have(struct view stored, struct view key, struct err *err);
/* All checksums. */
int bloom_verify(struct view stored, struct err *err);
/* What a look-up reads: first the head, which says where it goes on. Empty where it is damaged. */
struct view bloom_head(struct view stored);
struct view bloom_page(struct view stored, struct view key);

#endif
