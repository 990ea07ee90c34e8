/*
 * Exponential histograms, base 2^(1/32): the bucket of a value is known to
 * within 1.09 %. Merging is addition, in any order, with the same bits as result.
 * The same buckets as OpenTelemetry's scale 5 and Prometheus' schema 5.
 */
#ifndef STORE_HIST_H
#define STORE_HIST_H

#include "base/err.h"
#include "base/rd.h"
#include "base/wr.h"

/*
 * Bucket 0 holds the value 0, bucket b > 0 the values in (2^((b-2)/32), 2^((b-1)/32)]:
 * OpenTelemetry's index at scale 5 is b - 2, Prometheus' index at schema 5 is b - 1.
 */
#define HIST_SCALE 5
#define HIST_BUCKETS (64 * 32 + 2)
uint32_t hist_bucket(uint64_t value);	/* exact, without floating point */
double hist_upper(uint32_t bucket);	/* its upper bound, inclusive */
uint64_t hist_middle(uint32_t bucket);	/* a whole number about its middle, the same on every machine: stored sums are told by it */

struct hist;			/* sparse; grows with its buckets */

struct hist *hist_new(void);	/* NULL: out of memory */
void hist_free(struct hist *hist);
void hist_reset(struct hist *hist);
/* E_NO_MEMORY */
int hist_add(struct hist *hist, uint64_t value, uint64_t count);
int hist_merge(struct hist *hist, const struct hist *other);
uint64_t hist_count(const struct hist *hist);
uint64_t hist_sum(const struct hist *hist);
uint64_t hist_min(const struct hist *hist);	/* exact; 0 when empty */
uint64_t hist_max(const struct hist *hist);
/* Value at quantile q in [0, 1]: middle of its bucket, clamped to min and max. 0 when empty. */
double hist_quantile(const struct hist *hist, double q);
/* Buckets in ascending order: upper bound (inclusive) and count; next() gives 1, 0 at the end. */
struct hist_iter {
	size_t at;
};
int hist_next(const struct hist *hist, struct hist_iter *iter, double *ret_upper, uint64_t *ret_count);

/*
 * Memory of many small histograms, given back all at once; one thread at a time. hist_free them before it all the same:
 * wide ones have memory of their own.
 */
struct hist_pool;

struct hist_pool *hist_pool_new(void);	/* NULL: out of memory */
void hist_pool_free(struct hist_pool *pool);	/* takes NULL */
struct hist *hist_new_in(struct hist_pool *pool);
/* Histograms of `other` go on living, as long as those of pool: other is given away. */
void hist_pool_join(struct hist_pool *pool, struct hist_pool *other);

/* FORMAT.md, "Histogram". */
void hist_write(const struct hist *hist, struct wr *wr);
/* Merge stored bytes into hist without building another. E_CORRUPT, E_NO_MEMORY. */
int hist_merge_bytes(struct hist *hist, struct view bytes, struct err *err);

/* A histogram somebody else has taken out of its bytes: buckets ascending, counts above 0, minimum in the first. */
struct hist_bucket {
	uint64_t count;
	uint32_t at;
};
struct hist_part {
	const struct hist_bucket *buckets;
	uint32_t len;
	uint64_t count, sum, min, max;
};

/* Merge it. E_NO_MEMORY. */
int hist_merge_part(struct hist *hist, const struct hist_part *part);

/* A histogram with room for every bucket, 50 KiB: to add up many values or histograms before one merge of the result. */
struct hist_sum;

struct hist_sum *hist_sum_new(void);	/* NULL: out of memory */
void hist_sum_free(struct hist_sum *sum);	/* takes NULL */
void hist_sum_reset(struct hist_sum *sum);
void hist_sum_add(struct hist_sum *sum, uint64_t value);
int hist_sum_add_bytes(struct hist_sum *sum, struct view bytes, struct err *err);	/* E_CORRUPT: nothing was added */
void hist_sum_add_part(struct hist_sum *sum, const struct hist_part *part);
/* Merge it into hist, and empty it. E_NO_MEMORY: nothing was merged. */
int hist_sum_flush(struct hist_sum *sum, struct hist *hist);
/* As hist_add of each value; sum is empty, before and after. E_NO_MEMORY: nothing was added. */
int hist_add_values(struct hist *hist, const uint64_t *values, size_t count, struct hist_sum *sum);

#endif
