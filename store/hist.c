#include "store/hist.h"

#include <assert.h>
#include <math.h>

#include "base/arena.h"
#include "base/mem.h"

#define VERSION 1
#define PER_OCTAVE 32u
#define BUCKET_ZERO 0u
#define BUCKET_FIRST 1u		/* of the value 1: it is the upper bound, 2^0 */

/*
 * floor(2^63 * 2^(j/32)): the bounds within an octave of values whose top bit
 * is moved to bit 63. Integers decide, so that every machine, compiler and
 * rounding mode sorts a value into the same bucket. No 64-bit integer but 2^63
 * lies on a bound, as the other roots are irrational. Made by five integer
 * square roots of 2^(2016 + j); the unit test raises each to its 32nd power again.
 */
static const uint64_t bounds[PER_OCTAVE + 1] = {
	0x8000000000000000ull, 0x82cd8698ac2ba1d7ull, 0x85aac367cc487b14ull, 0x88980e8092da8527ull,
	0x8b95c1e3ea8bd6e6ull, 0x8ea4398b45cd53c0ull, 0x91c3d373ab11c336ull, 0x94f4efa8fef70961ull,
	0x9837f0518db8a96full, 0x9b8d39b9d54e5538ull, 0x9ef5326091a111adull, 0xa27043030c496818ull,
	0xa5fed6a9b15138eaull, 0xa9a15ab4ea7c0ef8ull, 0xad583eea42a14ac6ull, 0xb123f581d2ac258full,
	0xb504f333f9de6484ull, 0xb8fbaf4762fb9ee9ull, 0xbd08a39f580c36beull, 0xc12c4cca66709456ull,
	0xc5672a115506daddull, 0xc9b9bd866e2f27a2ull, 0xce248c151f8480e3ull, 0xd2a81d91f12ae45aull,
	0xd744fccad69d6af4ull, 0xdbfbb797daf23755ull, 0xe0ccdeec2a94e111ull, 0xe5b906e77c8348a8ull,
	0xeac0c6e7dd24392eull, 0xefe4b99bdcdaf5cbull, 0xf5257d152486cc2cull, 0xfa83b2db722a033aull,
	UINT64_MAX,	/* nothing is above: where counting steps ends */
};

/*
 * By the eight bits below the top one: the step of the least value that has them. An interval is 0.4 % wide at most and a
 * bucket 2.2 %, so the step of any value in it is this one or the next. Made of bounds[]; the unit test compares.
 */
static const uint8_t guesses[256] = {
	0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3,
	3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 6, 6,
	6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8,
	8, 9, 9, 9, 9, 9, 9, 9, 10, 10, 10, 10, 10, 10, 11, 11,
	11, 11, 11, 11, 11, 12, 12, 12, 12, 12, 12, 12, 13, 13, 13, 13,
	13, 13, 13, 13, 14, 14, 14, 14, 14, 14, 14, 15, 15, 15, 15, 15,
	15, 15, 15, 16, 16, 16, 16, 16, 16, 16, 16, 17, 17, 17, 17, 17,
	17, 17, 18, 18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19,
	19, 19, 19, 20, 20, 20, 20, 20, 20, 20, 20, 21, 21, 21, 21, 21,
	21, 21, 21, 21, 22, 22, 22, 22, 22, 22, 22, 22, 22, 23, 23, 23,
	23, 23, 23, 23, 23, 23, 24, 24, 24, 24, 24, 24, 24, 24, 24, 25,
	25, 25, 25, 25, 25, 25, 25, 25, 26, 26, 26, 26, 26, 26, 26, 26,
	26, 26, 27, 27, 27, 27, 27, 27, 27, 27, 27, 27, 28, 28, 28, 28,
	28, 28, 28, 28, 28, 28, 29, 29, 29, 29, 29, 29, 29, 29, 29, 29,
	30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 31, 31, 31, 31, 31,
	31, 31, 31, 31, 31, 31, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32,
};

/*
 * Few buckets are a list; many that lie close together are a window of counts, in which nothing need be
 * searched or moved. A window stays one. It grows by whole octaves.
 */
#define WINDOW_MIN 48u		/* buckets */
#define WINDOW_SPARSE 4u	/* a list of so many buckets in a row for each in use takes twice a window's memory */

struct hist {
	struct hist_bucket *buckets;	/* ascending, counts above 0 */
	size_t len, cap;
	uint64_t *window;	/* instead of buckets: [span] counts from bucket base on */
	uint32_t base, span;
	uint64_t count, sum, min, max;	/* count and sum stop at 2^64 - 1, which is as associative as adding */
	struct hist_pool *pool;	/* of the histogram and its list; NULL: the heap */
};

struct hist_pool {
	struct arena arena;
	struct hist_pool *next;	/* joined */
};

static uint64_t add_capped(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t mul_capped(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

uint32_t hist_bucket(uint64_t value)
{
	unsigned octave, step;
	uint64_t m;

	if (value == 0)
		return BUCKET_ZERO;
	octave = 63 - (unsigned)__builtin_clzll(value);
	m = value << (63 - octave);
	step = guesses[(m >> 55) & 255];
	step += m > bounds[step];
	return BUCKET_FIRST + octave * PER_OCTAVE + step;
}

double hist_upper(uint32_t bucket)
{
	unsigned i = bucket - BUCKET_FIRST;

	assert(bucket < HIST_BUCKETS);
	if (bucket == BUCKET_ZERO)
		return 0;
	return ldexp((double)bounds[i % PER_OCTAVE], (int)(i / PER_OCTAVE) - 63);
}

/* The greatest whole number in it. */
static uint64_t upper_whole(uint32_t bucket)
{
	unsigned i = bucket - BUCKET_FIRST;

	if (bucket == BUCKET_ZERO)
		return 0;
	return i / PER_OCTAVE > 63 ? UINT64_MAX : bounds[i % PER_OCTAVE] >> (63 - i / PER_OCTAVE);
}

uint64_t hist_middle(uint32_t bucket)
{
	uint64_t upper, lower;

	assert(bucket < HIST_BUCKETS);
	upper = upper_whole(bucket);
	lower = bucket == BUCKET_ZERO ? 0 : upper_whole(bucket - 1);
	return upper - (upper - lower) / 2;
}

struct hist *hist_new(void)
{
	return mem_zalloc(sizeof(struct hist));
}

void hist_free(struct hist *hist)
{
	if (!hist)
		return;
	mem_free(hist->window);
	if (hist->pool)
		return;
	mem_free(hist->buckets);
	mem_free(hist);
}

struct hist_pool *hist_pool_new(void)
{
	return mem_zalloc(sizeof(struct hist_pool));
}

void hist_pool_free(struct hist_pool *pool)
{
	while (pool) {
		struct hist_pool *next = pool->next;

		arena_release(&pool->arena);
		mem_free(pool);
		pool = next;
	}
}

void hist_pool_join(struct hist_pool *pool, struct hist_pool *other)
{
	struct hist_pool *last = other;

	assert(pool != other);
	while (last->next)
		last = last->next;
	last->next = pool->next;
	pool->next = other;
}

struct hist *hist_new_in(struct hist_pool *pool)
{
	struct hist *hist = arena_zalloc(&pool->arena, sizeof(*hist));

	if (hist)
		hist->pool = pool;
	return hist;
}

/* Room for cap buckets in the list. What a pool's list leaves behind stays with the pool. */
static int list_reserve(struct hist *hist, size_t cap)
{
	struct hist_bucket *buckets;

	if (cap <= hist->cap)
		return 0;
	if (hist->cap && cap < 2 * hist->cap)
		cap = 2 * hist->cap;
	if (!hist->pool)
		buckets = mem_resize(hist->buckets, cap, sizeof(*buckets));
	else
		buckets = arena_alloc(&hist->pool->arena, cap * sizeof(*buckets));
	if (!buckets)
		return E_NO_MEMORY;
	if (hist->pool && hist->len)
		memcpy(buckets, hist->buckets, hist->len * sizeof(*buckets));
	hist->buckets = buckets;
	hist->cap = cap;
	return 0;
}

void hist_reset(struct hist *hist)
{
	hist->len = 0;
	if (hist->window)
		memset(hist->window, 0, hist->span * sizeof(*hist->window));
	hist->count = hist->sum = hist->min = hist->max = 0;
}

/* Make the window hold buckets first to last. E_NO_MEMORY: it is as it was. */
static int window_reach(struct hist *hist, uint32_t first, uint32_t last)
{
	uint32_t from = first / PER_OCTAVE * PER_OCTAVE, to = (last / PER_OCTAVE + 1) * PER_OCTAVE;
	uint64_t *window;

	if (hist->window && first >= hist->base && last < hist->base + hist->span)
		return 0;
	if (hist->window) {
		from = from < hist->base ? from : hist->base;
		to = to > hist->base + hist->span ? to : hist->base + hist->span;
	}
	window = mem_array(to - from, sizeof(*window));
	if (!window)
		return E_NO_MEMORY;
	if (hist->window)
		memcpy(window + (hist->base - from), hist->window, hist->span * sizeof(*window));
	mem_free(hist->window);
	hist->window = window;
	hist->base = from;
	hist->span = to - from;
	return 0;
}

static void window_add(struct hist *hist, const struct hist_bucket *bucket)
{
	uint64_t *count = &hist->window[bucket->at - hist->base];

	*count = add_capped(*count, bucket->count);
}

/* A list that has grown long and lies close becomes a window; without memory for it, it stays a list. */
static void window_consider(struct hist *hist)
{
	uint32_t first, last;

	if (hist->len < WINDOW_MIN)
		return;
	first = hist->buckets[0].at;
	last = hist->buckets[hist->len - 1].at;
	if (last - first >= WINDOW_SPARSE * hist->len || window_reach(hist, first, last) < 0)
		return;
	for (size_t i = 0; i < hist->len; i++)
		window_add(hist, &hist->buckets[i]);
	if (!hist->pool)
		mem_free(hist->buckets);
	hist->buckets = NULL;
	hist->len = hist->cap = 0;
}

/* The buckets in use in ascending order; *at begins with 0. */
static bool bucket_next(const struct hist *hist, size_t *at, struct hist_bucket *ret_bucket)
{
	if (!hist->window) {
		if (*at >= hist->len)
			return false;
		*ret_bucket = hist->buckets[(*at)++];
		return true;
	}
	while (*at < hist->span && !hist->window[*at])
		++*at;
	if (*at >= hist->span)
		return false;
	*ret_bucket = (struct hist_bucket){ hist->window[*at], hist->base + (uint32_t)*at };
	++*at;
	return true;
}

/* First place whose bucket is not below at. */
static size_t place_of(const struct hist *hist, uint32_t at)
{
	const struct hist_bucket *from = hist->buckets;
	size_t count = hist->len;

	if (count == 0)
		return 0;
	/* Halves without a branch: which one it is, is a matter of chance. */
	for (size_t half; count > 1; count -= half) {
		half = count / 2;
		from += (size_t)(from[half - 1].at < at) * half;
	}
	return (size_t)(from - hist->buckets) + (from->at < at);
}

static void totals_add(struct hist *hist, uint64_t count, uint64_t sum, uint64_t min, uint64_t max)
{
	if (hist->count == 0 || min < hist->min)
		hist->min = min;
	if (hist->count == 0 || max > hist->max)
		hist->max = max;
	hist->count = add_capped(hist->count, count);
	hist->sum = add_capped(hist->sum, sum);
}

int hist_add(struct hist *hist, uint64_t value, uint64_t count)
{
	uint32_t at = hist_bucket(value);
	size_t place;

	if (count == 0)
		return 0;
	if (hist->window) {
		if (window_reach(hist, at, at) < 0)
			return E_NO_MEMORY;
		window_add(hist, &(struct hist_bucket){ count, at });
		totals_add(hist, count, mul_capped(value, count), value, value);
		return 0;
	}
	place = place_of(hist, at);
	if (place == hist->len || hist->buckets[place].at != at) {
		if (list_reserve(hist, hist->len + 1) < 0)
			return E_NO_MEMORY;
		memmove(hist->buckets + place + 1, hist->buckets + place,
			(hist->len - place) * sizeof(*hist->buckets));
		hist->buckets[place] = (struct hist_bucket){ 0, at };
		hist->len++;
	}
	hist->buckets[place].count = add_capped(hist->buckets[place].count, count);
	window_consider(hist);
	totals_add(hist, count, mul_capped(value, count), value, value);
	return 0;
}

/* ---- merging: from another histogram, or from bytes that were checked before ---- */

struct source {
	const struct hist_bucket *buckets;	/* NULL: */
	const struct hist *window;	/* NULL: rd */
	size_t at;			/* in the window */
	struct rd rd;
	size_t left;			/* buckets to come; but for a window, which ends by itself */
	uint32_t next_at;		/* of rd */
};

static bool source_next(struct source *source, struct hist_bucket *ret_bucket)
{
	if (source->window)
		return bucket_next(source->window, &source->at, ret_bucket);
	if (source->left == 0)
		return false;
	source->left--;
	if (source->buckets) {
		*ret_bucket = *source->buckets++;
		return true;
	}
	ret_bucket->at = source->next_at + (uint32_t)rd_varint(&source->rd);
	ret_bucket->count = rd_varint(&source->rd);
	source->next_at = ret_bucket->at + 1;
	return true;
}

/* How many buckets of source hist lacks. */
static size_t lacking(const struct hist *hist, struct source source)
{
	struct hist_bucket bucket;
	size_t place = 0, count = 0;

	while (source_next(&source, &bucket)) {
		while (place < hist->len && hist->buckets[place].at < bucket.at)
			place++;
		count += place == hist->len || hist->buckets[place].at != bucket.at;
	}
	return count;
}

/* first, last: the source's buckets lie between them. */
static int merge_window(struct hist *hist, struct source source, uint32_t first, uint32_t last)
{
	struct hist_bucket bucket;

	if (window_reach(hist, first, last) < 0)
		return E_NO_MEMORY;
	while (source_next(&source, &bucket))
		window_add(hist, &bucket);
	return 0;
}

static int merge_list(struct hist *hist, struct source source)
{
	size_t more = lacking(hist, source), from = more, end = hist->len + more, to = 0;
	struct hist_bucket bucket, *buckets = hist->buckets;
	bool have;

	if (more == 0) {	/* the common case when many are merged: only counts grow */
		for (to = 0; source_next(&source, &bucket); to++) {
			while (buckets[to].at < bucket.at)
				to++;
			buckets[to].count = add_capped(buckets[to].count, bucket.count);
		}
		return 0;
	}
	if (list_reserve(hist, end) < 0)
		return E_NO_MEMORY;
	buckets = hist->buckets;
	/* Ours move to the end; what is written in front never reaches what is not read yet. */
	if (more)
		memmove(buckets + more, buckets, hist->len * sizeof(*buckets));
	have = source_next(&source, &bucket);
	while (have || from < end) {
		if (!have || (from < end && buckets[from].at < bucket.at)) {
			buckets[to++] = buckets[from++];
			continue;
		}
		if (from < end && buckets[from].at == bucket.at)
			bucket.count = add_capped(bucket.count, buckets[from++].count);
		buckets[to++] = bucket;
		have = source_next(&source, &bucket);
	}
	assert(to == end);
	hist->len = end;
	window_consider(hist);
	return 0;
}

/* The source holds values from min to max. */
static int merge(struct hist *hist, struct source source, uint64_t min, uint64_t max)
{
	if (hist->window)
		return merge_window(hist, source, hist_bucket(min), hist_bucket(max));
	return merge_list(hist, source);
}

/* Into an empty list what is a list. */
static int list_fill(struct hist *hist, const struct hist_bucket *buckets, size_t len)
{
	if (list_reserve(hist, len) < 0)
		return E_NO_MEMORY;
	memcpy(hist->buckets, buckets, len * sizeof(*buckets));
	hist->len = len;
	window_consider(hist);
	return 0;
}

static int merge_buckets(struct hist *hist, const struct hist_bucket *buckets, size_t len, uint64_t min, uint64_t max)
{
	if (!hist->window && hist->len == 0)
		return list_fill(hist, buckets, len);
	return merge(hist, (struct source){ .buckets = buckets, .left = len }, min, max);
}

int hist_merge(struct hist *hist, const struct hist *other)
{
	int rc;

	if (other->count == 0)
		return 0;
	assert(hist != other);
	if (!other->window)
		rc = merge_buckets(hist, other->buckets, other->len, other->min, other->max);
	else
		rc = merge(hist, (struct source){ .window = other }, other->min, other->max);
	if (rc == 0)
		totals_add(hist, other->count, other->sum, other->min, other->max);
	return rc;
}

int hist_merge_part(struct hist *hist, const struct hist_part *part)
{
	int rc;

	if (part->len == 0)
		return 0;
	rc = merge_buckets(hist, part->buckets, part->len, part->min, part->max);
	if (rc == 0)
		totals_add(hist, part->count, part->sum, part->min, part->max);
	return rc;
}

/* ---- asking ---- */

uint64_t hist_count(const struct hist *hist)
{
	return hist->count;
}

uint64_t hist_sum(const struct hist *hist)
{
	return hist->sum;
}

uint64_t hist_min(const struct hist *hist)
{
	return hist->min;
}

uint64_t hist_max(const struct hist *hist)
{
	return hist->max;
}

/* The point whose relative distance to both bounds is the same: 2 * low * high / (low + high). */
static double middle_of(uint32_t bucket)
{
	static const double base = 0x1.059b0d3158574p+0;	/* 2^(1/32) */

	return 2 * hist_upper(bucket) / (1 + base);
}

double hist_quantile(const struct hist *hist, double q)
{
	uint64_t rank, seen = 0;
	struct hist_bucket bucket;
	double exact, middle;
	size_t at = 0;

	if (hist->count == 0)
		return 0;
	if (!(q > 0))	/* NaN as well */
		return (double)hist->min;
	exact = ceil(q * (double)hist->count);
	if (q >= 1 || exact >= (double)hist->count)
		return (double)hist->max;
	rank = exact < 1 ? 1 : (uint64_t)exact;
	if (rank == 1)
		return (double)hist->min;
	while (bucket_next(hist, &at, &bucket)) {
		seen = add_capped(seen, bucket.count);
		if (seen < rank)
			continue;
		middle = middle_of(bucket.at);
		if (middle < (double)hist->min)
			return (double)hist->min;
		return middle > (double)hist->max ? (double)hist->max : middle;
	}
	return (double)hist->max;
}

int hist_next(const struct hist *hist, struct hist_iter *iter, double *ret_upper, uint64_t *ret_count)
{
	struct hist_bucket bucket;

	if (!bucket_next(hist, &iter->at, &bucket))
		return 0;
	*ret_upper = hist_upper(bucket.at);
	*ret_count = bucket.count;
	return 1;
}

/* ---- stored ---- */

void hist_write(const struct hist *hist, struct wr *wr)
{
	uint32_t next_at = 0;
	struct hist_bucket bucket;
	size_t len = 0, at = 0;

	while (bucket_next(hist, &at, &bucket))
		len++;
	wr_u8(wr, VERSION);
	wr_varint(wr, len);
	if (len == 0)
		return;
	wr_varint(wr, hist->min);
	wr_varint(wr, hist->max - hist->min);
	wr_varint(wr, hist->sum);
	for (at = 0; bucket_next(hist, &at, &bucket);) {
		wr_varint(wr, bucket.at - next_at);
		wr_varint(wr, bucket.count);
		next_at = bucket.at + 1;
	}
}

#define READ_ONCE 256u	/* buckets; a histogram with more is read a second and third time */

struct stored {
	struct hist_bucket read[READ_ONCE];
	struct source source;
	uint64_t count, sum, min, max;
};

/* rd_varint without a call, where it ends within eight bytes. */
static inline uint64_t short_varint(struct rd *rd)
{
	const uint8_t *at = rd->at;
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 56 && at < rd->end; shift += 7) {
		uint8_t byte = *at++;

		v |= (uint64_t)(byte & 127) << shift;
		if (byte < 128) {
			rd->at = at;
			return v;
		}
	}
	return rd_varint(rd);
}

/* Everything a later pass relies on: places, counts, and totals that agree with them. */
static int stored_check(struct view bytes, struct stored *stored, struct err *err)
{
	struct rd rd = rd_make(bytes);
	unsigned version = rd_u8(&rd);
	uint64_t len = short_varint(&rd), at = 0, first = 0, spread, step, count;

	stored->count = stored->sum = stored->min = stored->max = 0;
	if (rd.bad || version != VERSION || len > HIST_BUCKETS)
		return err_set(err, E_CORRUPT, "histogram: version %u, %llu buckets in %zu bytes", version,
			       (unsigned long long)len, bytes.len);
	if (len) {
		stored->min = short_varint(&rd);
		spread = short_varint(&rd);
		stored->sum = short_varint(&rd);
		if (__builtin_add_overflow(stored->min, spread, &stored->max))
			return err_set(err, E_CORRUPT, "histogram: minimum %llu, spread %llu",
				       (unsigned long long)stored->min, (unsigned long long)spread);
	}
	stored->source = (struct source){ .rd = rd, .left = (size_t)len };
	for (uint64_t i = 0; i < len; i++) {
		step = short_varint(&rd);
		count = short_varint(&rd);
		if (rd.bad || step >= HIST_BUCKETS - at || count == 0)
			return err_set(err, E_CORRUPT, "histogram: bucket %llu of %llu, at byte %zu of %zu",
				       (unsigned long long)i, (unsigned long long)len, rd_pos(&rd), bytes.len);
		at += step;
		if (len <= READ_ONCE)
			stored->read[i] = (struct hist_bucket){ count, (uint32_t)at };
		first = i ? first : at;
		at++;
		stored->count = add_capped(stored->count, count);
	}
	if (rd.bad || rd_left(&rd))
		return err_set(err, E_CORRUPT, "histogram: %zu bytes behind the last bucket", rd_left(&rd));
	if (len && (hist_bucket(stored->min) != first || hist_bucket(stored->max) != at - 1 ||
		    stored->sum < mul_capped(stored->count, stored->min) ||
		    stored->sum > mul_capped(stored->count, stored->max)))
		return err_set(err, E_CORRUPT, "histogram: %llu values of %llu..%llu with sum %llu",
			       (unsigned long long)stored->count, (unsigned long long)stored->min,
			       (unsigned long long)stored->max, (unsigned long long)stored->sum);
	if (len <= READ_ONCE)
		stored->source.buckets = stored->read;
	return 0;
}

int hist_merge_bytes(struct hist *hist, struct view bytes, struct err *err)
{
	struct stored stored;
	int rc = stored_check(bytes, &stored, err);

	if (rc < 0 || stored.count == 0)
		return rc;
	rc = merge(hist, stored.source, stored.min, stored.max);
	if (rc < 0)
		return err_set(err, rc, "histogram: no memory for %zu buckets", hist->len + stored.source.left);
	totals_add(hist, stored.count, stored.sum, stored.min, stored.max);
	return 0;
}

/* ---- many at once ---- */

#define SUM_WORDS ((HIST_BUCKETS + 63) / 64)

struct hist_sum {
	uint64_t counts[HIST_BUCKETS];
	uint64_t used[SUM_WORDS];	/* a bit a bucket whose count is above 0 */
	struct hist totals;		/* without buckets */
	struct hist_bucket list[HIST_BUCKETS];	/* of a flush */
};

struct hist_sum *hist_sum_new(void)
{
	return mem_zalloc(sizeof(struct hist_sum));
}

void hist_sum_free(struct hist_sum *sum)
{
	mem_free(sum);
}

static void sum_count(struct hist_sum *sum, uint32_t at, uint64_t count)
{
	sum->used[at / 64] |= 1ull << at % 64;
	sum->counts[at] = add_capped(sum->counts[at], count);
}

void hist_sum_add(struct hist_sum *sum, uint64_t value)
{
	sum_count(sum, hist_bucket(value), 1);
	totals_add(&sum->totals, 1, value, value, value);
}

int hist_sum_add_bytes(struct hist_sum *sum, struct view bytes, struct err *err)
{
	struct stored stored;
	struct hist_bucket bucket;
	int rc = stored_check(bytes, &stored, err);

	if (rc < 0 || stored.count == 0)
		return rc;
	while (source_next(&stored.source, &bucket))
		sum_count(sum, bucket.at, bucket.count);
	totals_add(&sum->totals, stored.count, stored.sum, stored.min, stored.max);
	return 0;
}

void hist_sum_add_part(struct hist_sum *sum, const struct hist_part *part)
{
	if (part->len == 0)
		return;
	for (uint32_t i = 0; i < part->len; i++)
		sum_count(sum, part->buckets[i].at, part->buckets[i].count);
	totals_add(&sum->totals, part->count, part->sum, part->min, part->max);
}

void hist_sum_reset(struct hist_sum *sum)
{
	for (size_t w = 0; w < SUM_WORDS; w++) {
		for (uint64_t left = sum->used[w]; left; left &= left - 1)
			sum->counts[64 * w + (size_t)__builtin_ctzll(left)] = 0;
		sum->used[w] = 0;
	}
	hist_reset(&sum->totals);
}

int hist_sum_flush(struct hist_sum *sum, struct hist *hist)
{
	const struct hist *totals = &sum->totals;
	size_t len = 0, last;
	int rc;

	if (totals->count == 0)
		return 0;
	last = hist_bucket(totals->max) / 64;
	for (size_t w = hist_bucket(totals->min) / 64; w <= last; w++)
		for (uint64_t left = sum->used[w]; left; left &= left - 1) {
			uint32_t at = (uint32_t)(64 * w + (size_t)__builtin_ctzll(left));

			sum->list[len++] = (struct hist_bucket){ sum->counts[at], at };
		}
	rc = merge_buckets(hist, sum->list, len, totals->min, totals->max);
	if (rc < 0)
		return rc;
	totals_add(hist, totals->count, totals->sum, totals->min, totals->max);
	for (size_t i = 0; i < len; i++) {
		sum->counts[sum->list[i].at] = 0;
		sum->used[sum->list[i].at / 64] = 0;
	}
	hist_reset(&sum->totals);
	return 0;
}

/* Into a window: nothing is searched, and what comes of it is known before. */
static int window_add_values(struct hist *hist, const uint64_t *values, size_t count)
{
	uint64_t min = values[0], max = values[0], sum = 0;

	for (size_t i = 0; i < count; i++) {
		min = values[i] < min ? values[i] : min;
		max = values[i] > max ? values[i] : max;
		sum = add_capped(sum, values[i]);
	}
	if (window_reach(hist, hist_bucket(min), hist_bucket(max)) < 0)
		return E_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		uint64_t *bucket = &hist->window[hist_bucket(values[i]) - hist->base];

		*bucket = add_capped(*bucket, 1);
	}
	totals_add(hist, count, sum, min, max);
	return 0;
}

int hist_add_values(struct hist *hist, const uint64_t *values, size_t count, struct hist_sum *sum)
{
	int rc;

	if (count == 0)
		return 0;
	if (hist->window)
		return window_add_values(hist, values, count);
	for (size_t i = 0; i < count; i++)
		hist_sum_add(sum, values[i]);
	rc = hist_sum_flush(sum, hist);
	if (rc < 0)
		hist_sum_reset(sum);
	return rc;
}
