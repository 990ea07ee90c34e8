#include "base/zstd.h"

#include <pthread.h>
#include <zstd.h>
#include <zstd_errors.h>

#define LEVEL_DEFAULT	3
#define STEP_BYTES	16384

/* The pointers are thread-local, the key only carries the destructor. */
static __thread ZSTD_CCtx *thread_cctx;
static __thread ZSTD_DCtx *thread_dctx;
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

static void contexts_free(void *unused)
{
	(void)unused;
	(void)ZSTD_freeCCtx(thread_cctx);
	(void)ZSTD_freeDCtx(thread_dctx);
	thread_cctx = NULL;
	thread_dctx = NULL;
}

static void exit_key_make(void)
{
	(void)pthread_key_create(&exit_key, contexts_free);
}

static void contexts_freed_at_exit(void)
{
	(void)pthread_once(&exit_once, exit_key_make);
	(void)pthread_setspecific(exit_key, &thread_cctx);	/* any non-NULL value arms it */
}

static ZSTD_CCtx *cctx_get(void)
{
	if (!thread_cctx) {
		thread_cctx = ZSTD_createCCtx();
		contexts_freed_at_exit();
	}
	return thread_cctx;
}

static ZSTD_DCtx *dctx_get(void)
{
	if (!thread_dctx) {
		thread_dctx = ZSTD_createDCtx();
		contexts_freed_at_exit();
	}
	return thread_dctx;
}

int zstd_pack(int level, struct view plain, struct wr *out, struct err *err)
{
	size_t bound = ZSTD_compressBound(plain.len), len;
	ZSTD_CCtx *cctx = cctx_get();

	if (!cctx || ZSTD_isError(bound) || !wr_reserve(out, bound))
		return err_set(err, E_NO_MEMORY, "zstd: no memory to pack %zu bytes", plain.len);
	len = ZSTD_compressCCtx(cctx, out->at + out->len, bound, plain.at, plain.len, level ? level : LEVEL_DEFAULT);
	if (ZSTD_isError(len))
		return err_set(err, E_NO_MEMORY, "zstd: packing %zu bytes: %s", plain.len, ZSTD_getErrorName(len));
	out->len += len;
	return 0;
}

int zstd_unpack(struct view packed, uint8_t *plain, size_t plain_len, struct err *err)
{
	ZSTD_DCtx *dctx = dctx_get();
	size_t len;

	if (!dctx)
		return err_set(err, E_NO_MEMORY, "zstd: no memory to unpack");
	/* One shot into the caller's buffer: the frame's own claims of size allocate nothing. */
	len = ZSTD_decompressDCtx(dctx, plain, plain_len, packed.at, packed.len);
	if (ZSTD_isError(len))
		return err_set(err, E_CORRUPT, "zstd: %zu bytes do not unpack into %zu: %s", packed.len, plain_len,
			       ZSTD_getErrorName(len));
	if (len != plain_len)
		return err_set(err, E_CORRUPT, "zstd: %zu of %zu bytes", len, plain_len);
	return 0;
}

static int bad_stream(size_t code, const ZSTD_inBuffer *in, struct err *err)
{
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_memory_allocation:
		return err_set(err, E_NO_MEMORY, "no memory to decompress");
	case ZSTD_error_frameParameter_windowTooLarge:
		return err_set(err, E_FORMAT, "compressed data asks for more than %u MiB to look back on",
			       1u << (ZSTD_WINDOW_LOG_MAX - 20));
	default:
		return err_set(err, E_FORMAT, "compressed data is damaged after %zu of %zu bytes", in->pos, in->size);
	}
}

int zstd_unpack_up_to(struct view bytes, size_t max, struct wr *out, bool *ret_more, struct err *err)
{
	ZSTD_DCtx *dctx = ZSTD_createDCtx();	/* not the thread's: it would keep what this frame asks for */
	ZSTD_inBuffer in = { bytes.at, bytes.len, 0 };
	bool more = false;
	int rc = 0;

	if (!dctx || ZSTD_isError(ZSTD_DCtx_setParameter(dctx, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX))) {
		rc = err_set(err, E_NO_MEMORY, "no memory to decompress");
		goto out;
	}
	for (;;) {
		uint8_t spare;
		size_t room = max < STEP_BYTES ? max : STEP_BYTES, left;
		ZSTD_outBuffer to = { &spare, 1, 0 };

		if (max) {
			if (!wr_reserve(out, room)) {
				rc = err_set(err, E_NO_MEMORY, "no memory for %zu decompressed bytes", out->len);
				break;
			}
			to = (ZSTD_outBuffer){ out->at + out->len, room, 0 };
		}
		left = ZSTD_decompressStream(dctx, &to, &in);
		if (ZSTD_isError(left)) {
			rc = bad_stream(left, &in, err);
			break;
		}
		if (!max && to.pos) {
			more = true;
			break;
		}
		out->len += to.pos;
		max -= to.pos;
		if (in.pos < in.size || (left && to.pos == to.size))
			continue;
		if (left)
			rc = err_set(err, E_FORMAT, "compressed data ends early after %zu bytes", in.size);
		break;
	}
out:
	(void)ZSTD_freeDCtx(dctx);
	*ret_more = more;
	return rc;
}
