/*
 * A column of histograms, taken apart: sizes with sizes, minima with minima. The
 * first and the last bucket follow from minimum and maximum, the sum of few values
 * as well. FORMAT.md, "Chunk encodings", hist.
 */
#ifndef STORE_HIST_COLUMN_H
#define STORE_HIST_COLUMN_H

#include "base/arena.h"
#include "base/err.h"
#include "base/rd.h"
#include "base/wr.h"
#include "store/hist.h"

#define HIST_COLUMN_BYTES_MAX (128u << 20)	/* of all histograms as they were, and of each stream */

/*
 * Append the histograms dict[codes[i]], i below count. 0: they do not come back as they are (bytes that are no
 * histogram), and nothing was appended; 1: they do. E_NO_MEMORY.
 */
int hist_column_write(const struct view *dict, const uint32_t *codes, size_t count, int level, struct wr *out,
		      struct err *err);
/* count views over bytes in arena. E_CORRUPT, E_NO_MEMORY. */
int hist_column_read(struct rd *rd, size_t count, struct arena *arena, struct view **ret_values, struct err *err);
/*
 * The same, ready to be added up, without the bytes in between: a part a row over buckets in arena; of rows that have
 * none or nobody asks for its len is 0, and nothing else is set. E_CORRUPT as well where hist_merge_bytes would refuse
 * the bytes; E_NO_MEMORY.
 */
struct hist_column_ask {
	size_t rows;
	const uint64_t *valid;	/* rows that have a histogram, a bit each; NULL: all */
	const uint64_t *only;	/* rows that will be looked at; NULL: all */
	bool sums;		/* or 0 */
};
int hist_column_parts(struct rd *rd, const struct hist_column_ask *ask, struct arena *arena,
		      struct hist_part **ret_parts, struct err *err);

#endif
