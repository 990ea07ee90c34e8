#include "store/codec.h"

#include <assert.h>
#include <lz4.h>
#include <lz4hc.h>
#define XXH_STATIC_LINKING_ONLY	/* the streaming-free, inlined XXH3 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/zstd.h"

#ifdef __x86_64__
/* The library's own, by what the processor can; its header and XXH_INLINE_ALL exclude each other. */
XXH64_hash_t XXH3_64bits_dispatch(const void *input, size_t len);
#define CHECKSUM_LONG XXH3_64bits_dispatch
#else
#define CHECKSUM_LONG XXH3_64bits
#endif
#define LONG_BYTES 1024u	/* below, a call and a look at the processor cost more than they gain */

const char *codec_name(enum codec codec)
{
	switch (codec) {
	case CODEC_NONE:
		return "none";
	case CODEC_LZ4:
		return "lz4";
	case CODEC_ZSTD:
		return "zstd";
	}
	return "unknown";
}

static int pack_lz4(int level, struct view plain, struct wr *out, struct err *err)
{
	int bound, len;

	if (plain.len > LZ4_MAX_INPUT_SIZE)
		return err_set(err, E_LIMIT, "lz4: %zu bytes are more than the %d it takes", plain.len,
			       LZ4_MAX_INPUT_SIZE);
	bound = LZ4_compressBound((int)plain.len);
	if (!wr_reserve(out, (size_t)bound))
		return err_set(err, E_NO_MEMORY, "lz4: no room for %d bytes", bound);
	if (level > 0)
		len = LZ4_compress_HC((const char *)plain.at, (char *)out->at + out->len, (int)plain.len,
				      bound, level);
	else
		len = LZ4_compress_default((const char *)plain.at, (char *)out->at + out->len,
					   (int)plain.len, bound);
	if (len <= 0)
		return err_set(err, E_NO_MEMORY, "lz4: packing %zu bytes failed", plain.len);
	out->len += (size_t)len;
	return 0;
}

int codec_pack(enum codec codec, int level, struct view plain, struct wr *out, struct err *err)
{
	switch (codec) {
	case CODEC_NONE:
		wr_bytes(out, plain);
		return out->bad ? err_set(err, E_NO_MEMORY, "no room for %zu bytes", plain.len) : 0;
	case CODEC_LZ4:
		return pack_lz4(level, plain, out, err);
	case CODEC_ZSTD:
		return zstd_pack(level, plain, out, err);
	}
	assert(!"a codec that codec.h names");
	return E_INTERNAL;
}

static int unpack_lz4(struct view packed, uint8_t *plain, size_t plain_len, struct err *err)
{
	int len;

	if (packed.len > LZ4_MAX_INPUT_SIZE || plain_len > LZ4_MAX_INPUT_SIZE)
		return err_set(err, E_CORRUPT, "lz4: %zu bytes packed, %zu plain: beyond its limits",
			       packed.len, plain_len);
	len = LZ4_decompress_safe((const char *)packed.at, (char *)plain, (int)packed.len, (int)plain_len);
	if (len < 0)
		return err_set(err, E_CORRUPT, "lz4: %zu bytes do not unpack into %zu", packed.len, plain_len);
	if ((size_t)len != plain_len)
		return err_set(err, E_CORRUPT, "lz4: %d of %zu bytes", len, plain_len);
	return 0;
}

int codec_unpack(enum codec codec, struct view packed, uint8_t *plain, size_t plain_len, struct err *err)
{
	static uint8_t nowhere;

	if (!plain) {	/* the libraries want an address, even for nothing */
		assert(plain_len == 0);
		plain = &nowhere;
	}
	switch (codec) {
	case CODEC_NONE:
		if (packed.len != plain_len)
			return err_set(err, E_CORRUPT, "%zu of %zu bytes", packed.len, plain_len);
		if (plain_len)
			memcpy(plain, packed.at, plain_len);
		return 0;
	case CODEC_LZ4:
		return unpack_lz4(packed, plain, plain_len, err);
	case CODEC_ZSTD:
		return zstd_unpack(packed, plain, plain_len, err);
	}
	return err_set(err, E_CORRUPT, "codec %u is unknown", (unsigned)codec);
}

uint64_t codec_checksum(struct view bytes)
{
	if (bytes.len >= LONG_BYTES)
		return CHECKSUM_LONG(bytes.at, bytes.len);
	return XXH3_64bits(bytes.len ? (const void *)bytes.at : "", bytes.len);
}
