/*
 * The one door to zstd. Any thread: each keeps the library's tables for itself, since
 * setting them up costs more than packing a small piece; they hold no state between calls.
 */
#ifndef BASE_ZSTD_H
#define BASE_ZSTD_H

#include "base/err.h"
#include "base/wr.h"

/* Append the compressed bytes to out. level 0 = default. E_NO_MEMORY. */
int zstd_pack(int level, struct view plain, struct wr *out, struct err *err);
/* Exactly plain_len bytes into plain, which is not NULL; a claim in the input that says otherwise is E_CORRUPT. */
int zstd_unpack(struct view packed, uint8_t *plain, size_t plain_len, struct err *err);

/*
 * What others packed, frames one after another: append at most max bytes; *ret_more
 * tells that there would be more. E_FORMAT: damaged, cut short, or in need of more
 * than 8 MiB to look back on; what came before that is in out. E_NO_MEMORY.
 */
#define ZSTD_WINDOW_LOG_MAX 23	/* 8 MiB, what HTTP may ask for (RFC 9659) */
int zstd_unpack_up_to(struct view in, size_t max, struct wr *out, bool *ret_more, struct err *err);

#endif
