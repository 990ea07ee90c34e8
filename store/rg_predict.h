/*
 * Columns that others foretell: the formulas, how a chunk names them, and which
 * the writer tries (predict.def). Shared by rg_write.c and rowgroup.c, nobody
 * else's business. FORMAT.md, "Chunk encodings".
 */
#ifndef STORE_RG_PREDICT_H
#define STORE_RG_PREDICT_H

#include "base/err.h"
#include "base/rd.h"
#include "base/wr.h"
#include "schema/schema.h"

#define PREDICT_TERMS_MAX 4
#define PREDICT_DEPTH_MAX 3	/* a foretold column's inputs may be foretold in turn, so deep */

enum predict_formula {	/* stored: never renumber */
	PREDICT_NONE = 0,
	PREDICT_SUM = 1,	/* sum of (column >> down << up) * factor */
	PREDICT_SHARE = 2,	/* n, min, max: max + (n - 1) * min */
	PREDICT_SQUARES = 3,	/* n, min, max, sum: their squares in millionths, as if all others were equal */
	PREDICT_CHAIN = 4,	/* key, step: of the row before with this key, value + step */
};

/* Ids hold the time they began in units of 2^20 ns above a counter of 23 bits: they are shifted to be compared. */
struct predict_term {
	uint16_t col_id;
	uint8_t down, up;
	int64_t factor;		/* these three: of PREDICT_SUM */
};
struct predict {
	uint8_t formula;
	uint8_t count;		/* of terms */
	struct predict_term terms[PREDICT_TERMS_MAX];
	uint64_t bias;		/* added to all */
};

/* What stands in front of the stream of differences. get: E_CORRUPT. */
void predict_put(const struct predict *predict, struct wr *out);
int predict_get(struct rd *rd, struct predict *ret_predict, struct err *err);
/* The same of CHUNK_REF, a sum of one column without a bias. */
int predict_get_ref(struct rd *rd, struct predict *ret_predict, struct err *err);

/*
 * Add what is foretold to count values; columns has one array a term, 0 where a
 * row is null. PREDICT_CHAIN needs the finished values of rows before, so each
 * row is finished in turn; valid: rows that take part (NULL: all). E_NO_MEMORY.
 */
int predict_add(const struct predict *predict, const uint64_t *const columns[], const uint64_t *valid, size_t count,
		uint64_t *values);
/* The reverse: values to differences, bias included. */
int predict_subtract(const struct predict *predict, const uint64_t *const columns[], size_t count,
		     const uint64_t *values, uint64_t *ret_differences);

/* One line of predict.def. */
struct predict_hint {
	uint8_t table;
	uint8_t formula;
	uint16_t ordinal;
	uint8_t count;
	struct {
		uint16_t ordinal;
		int16_t factor;		/* 0: found out */
	} terms[PREDICT_TERMS_MAX];
};
/* The i-th hint, NULL past the end. Inputs never lead back to their column. */
const struct predict_hint *predict_hint(size_t i);

/* One line of map.def: strings of a column that often follow from another's. */
struct map_hint {
	uint8_t table;
	uint16_t ordinal, from;
};
const struct map_hint *map_hint(size_t i);

#endif
