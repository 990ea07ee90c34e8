/* The one door to brotli, and to zlib for what is received (zstd: base/zstd.h): content codings undone for display, never more than asked for. */
#ifndef WIRE_INFLATE_H
#define WIRE_INFLATE_H

#include "base/err.h"
#include "base/wr.h"

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_RAW_DEFLATE, CODING_BR, CODING_ZSTD, CODING_UNKNOWN };

/* A content coding by its HTTP name, case ignored; empty is identity. */
enum coding coding_by_name(struct view name);

/*
 * Append what in decodes to, at most max bytes; *ret_more tells that there would
 * be more. E_FORMAT: damaged or cut short; what came before the damage is in out.
 * E_UNSUPPORTED for CODING_UNKNOWN, E_NO_MEMORY.
 */
int inflate_view(enum coding coding, struct view in, size_t max, struct wr *out, bool *ret_more,
		 struct err *err);

#endif
