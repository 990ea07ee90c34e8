#include "wire/inflate.h"

#include <brotli/decode.h>
#include <limits.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/zstd.h"

#define STEP_BYTES 16384

enum coding coding_by_name(struct view name)
{
	name = view_trim(name);
	if (!name.len || view_ieq(name, "identity"))
		return CODING_IDENTITY;
	if (view_ieq(name, "gzip") || view_ieq(name, "x-gzip"))
		return CODING_GZIP;
	if (view_ieq(name, "deflate"))
		return CODING_DEFLATE;
	if (view_ieq(name, "br"))
		return CODING_BR;
	if (view_ieq(name, "zstd"))
		return CODING_ZSTD;
	return CODING_UNKNOWN;
}

static void *z_take(void *arg, unsigned count, unsigned bytes)
{
	(void)arg;
	return mem_array(count, bytes);
}

static void z_give(void *arg, void *at)
{
	(void)arg;
	mem_free(at);
}

static void *br_take(void *arg, size_t bytes)
{
	(void)arg;
	return mem_alloc(bytes);
}

/* The next piece to write to: what is left of max, at most STEP_BYTES. */
static uint8_t *next_space(struct wr *out, size_t left, size_t *ret_room)
{
	*ret_room = left < STEP_BYTES ? left : STEP_BYTES;
	return wr_reserve(out, *ret_room) ? out->at + out->len : NULL;
}

/* window_bits as zlib wants them: 47 finds zlib and gzip by itself, -15 is bare deflate. */
static int inflate_zlib(int window_bits, struct view in, size_t max, struct wr *out, bool *ret_more,
			struct err *err)
{
	z_stream z = { .zalloc = z_take, .zfree = z_give };
	bool more = false;
	int rc = 0, zrc;

	if (in.len > UINT_MAX)
		in.len = UINT_MAX;
	z.next_in = (Bytef *)(uintptr_t)in.at;	/* zlib does not write there; its type says it might */
	z.avail_in = (uInt)in.len;
	if (inflateInit2(&z, window_bits) != Z_OK)
		return err_set(err, E_NO_MEMORY, "no memory to decompress");
	for (;;) {
		uint8_t spare;
		size_t room = 1;
		uint8_t *at = max ? next_space(out, max, &room) : &spare;

		if (!at) {
			rc = err_set(err, E_NO_MEMORY, "no memory for %zu decompressed bytes", out->len);
			break;
		}
		z.next_out = at;
		z.avail_out = (uInt)room;
		zrc = inflate(&z, Z_NO_FLUSH);
		room -= z.avail_out;
		if (!max && room) {
			more = true;
			break;
		}
		out->len += room;
		max -= room;
		if (zrc == Z_STREAM_END) {
			/* gzip members may follow one another (RFC 1952 2.2) */
			if (window_bits < 0 || !z.avail_in || *z.next_in != 0x1f || inflateReset(&z) != Z_OK)
				break;
		} else if (zrc != Z_OK || (!z.avail_in && z.avail_out)) {
			rc = err_set(err, E_FORMAT, "compressed data %s after %lu of %zu bytes",
				     zrc == Z_OK || zrc == Z_BUF_ERROR ? "ends early" : "is damaged",
				     z.total_in, in.len);
			break;
		}
	}
	(void)inflateEnd(&z);
	*ret_more = more;
	return rc;
}

static int inflate_br(struct view in, size_t max, struct wr *out, bool *ret_more, struct err *err)
{
	BrotliDecoderState *br = BrotliDecoderCreateInstance(br_take, z_give, NULL);
	bool more = false;
	int rc = 0;

	if (!br)
		return err_set(err, E_NO_MEMORY, "no memory to decompress");
	for (;;) {
		uint8_t spare;
		size_t room = 1, before;
		uint8_t *at = max ? next_space(out, max, &room) : &spare;
		BrotliDecoderResult brc;

		if (!at) {
			rc = err_set(err, E_NO_MEMORY, "no memory for %zu decompressed bytes", out->len);
			break;
		}
		before = room;
		brc = BrotliDecoderDecompressStream(br, &in.len, &in.at, &room, &at, NULL);
		before -= room;
		if (!max && before) {
			more = true;
			break;
		}
		out->len += before;
		max -= before;
		if (brc == BROTLI_DECODER_RESULT_SUCCESS)
			break;
		if (brc != BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
			rc = err_set(err, E_FORMAT, "compressed data %s with %zu bytes left",
				     brc == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT ? "ends early" : "is damaged",
				     in.len);
			break;
		}
	}
	BrotliDecoderDestroyInstance(br);
	*ret_more = more;
	return rc;
}

int inflate_view(enum coding coding, struct view in, size_t max, struct wr *out, bool *ret_more,
		 struct err *err)
{
	switch (coding) {
	case CODING_IDENTITY:
		*ret_more = in.len > max;
		wr_bytes(out, view_sub(in, 0, max));
		return out->bad ? err_set(err, E_NO_MEMORY, "no memory for %zu bytes", in.len) : 0;
	case CODING_GZIP:
		return inflate_zlib(47, in, max, out, ret_more, err);
	case CODING_DEFLATE:
		/* meant is zlib, sent is often bare deflate: the two check bytes tell (RFC 1950 2.2) */
		if (in.len >= 2 && (in.at[0] & 0x0f) == 8 && (in.at[0] << 8 | in.at[1]) % 31 == 0)
			return inflate_zlib(47, in, max, out, ret_more, err);
		return inflate_zlib(-15, in, max, out, ret_more, err);
	case CODING_RAW_DEFLATE:
		return inflate_zlib(-15, in, max, out, ret_more, err);
	case CODING_BR:
		return inflate_br(in, max, out, ret_more, err);
	case CODING_ZSTD:
		return zstd_unpack_up_to(in, max, out, ret_more, err);
	case CODING_UNKNOWN:
		break;
	}
	return err_set(err, E_UNSUPPORTED, "content coding not known");
}
