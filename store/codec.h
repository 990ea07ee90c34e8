/* General compression and the stored checksum: the one door to lz4 and xxHash (base/zstd.h: zstd). Any thread. */
#ifndef STORE_CODEC_H
#define STORE_CODEC_H

#include "base/err.h"
#include "base/wr.h"

enum codec { CODEC_NONE = 0, CODEC_LZ4 = 1, CODEC_ZSTD = 2 };	/* stored */

const char *codec_name(enum codec codec);
/* Append the compressed bytes to out. level 0 = default. E_NO_MEMORY. */
int codec_pack(enum codec codec, int level, struct view plain, struct wr *out, struct err *err);
/* Exactly plain_len bytes into plain; a claim in the input that says otherwise is E_CORRUPT. */
int codec_unpack(enum codec codec, struct view packed, uint8_t *plain, size_t plain_len, struct err *err);
uint64_t codec_checksum(struct view bytes);	/* XXH3, 64 bits */

#endif
