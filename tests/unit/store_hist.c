#include "store/hist.h"

#include <math.h>

#include "tests/check.h"
#include "tests/random.h"

/* ---- the bounds, by integers of 4096 bits: no floating point ---- */

#define LIMBS 128
struct big {
	uint32_t limb[LIMBS];	/* little end first */
};

static struct big big_mul(const struct big *a, uint64_t b)
{
	struct big product = { { 0 } };
	uint32_t half[2] = { (uint32_t)b, (uint32_t)(b >> 32) };

	for (unsigned h = 0; h < 2; h++) {
		uint64_t carry = 0;

		for (unsigned i = 0; i + h < LIMBS; i++) {
			carry += (uint64_t)a->limb[i] * half[h] + product.limb[i + h];
			product.limb[i + h] = (uint32_t)carry;
			carry >>= 32;
		}
		CHECK_U64(carry, 0);
	}
	return product;
}

static int big_cmp(const struct big *a, const struct big *b)
{
	for (unsigned i = LIMBS; i-- > 0;)
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	return 0;
}

/* value^32 against 2^exponent */
static int power_cmp(uint64_t value, unsigned exponent)
{
	struct big power = { { 1 } }, bound = { { 0 } };

	for (unsigned i = 0; i < 32; i++)
		power = big_mul(&power, value);
	bound.limb[exponent / 32] = 1u << (exponent % 32);
	return big_cmp(&power, &bound);
}

/* The largest value of every bucket is, and its successor is not, at most 2^((b-1)/32). */
TEST(hist, buckets_are_exact)
{
	CHECK_U64(hist_bucket(0), 0);
	CHECK_U64(hist_bucket(1), 1);
	CHECK_U64(hist_bucket(2), 33);
	CHECK_U64(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
	for (uint32_t b = 1; b < HIST_BUCKETS - 1; b++) {
		uint64_t low = 1, high = UINT64_MAX;	/* last value at or below bucket b */

		while (low < high) {
			uint64_t middle = low + (high - low) / 2 + 1;

			if (hist_bucket(middle) <= b)
				low = middle;
			else
				high = middle - 1;
		}
		CHECK_LE(power_cmp(low, b - 1), 0, "bucket %u: %llu is too large", b, (unsigned long long)low);
		CHECK_GT(power_cmp(low + 1, b - 1), 0, "bucket %u: %llu belongs inside", b,
			 (unsigned long long)low + 1);
		if (low >= 1u << 20)	/* both sides of the rounding of a double */
			CHECK_FLOAT(hist_upper(b) / (double)low, 1, 1e-5);
	}
	CHECK_EQ(hist_upper(0), 0);
	CHECK_EQ(hist_upper(33), 2);
}

static uint64_t any_value(struct random *random)
{
	return random_u64(random) >> random_below(random, 64) >> random_below(random, 2) * 20;
}

static void hist_fill(struct random *random, struct hist *hist, unsigned values)
{
	for (unsigned i = 0; i < values; i++)
		CHECK_EQ(hist_add(hist, any_value(random), 1 + random_below(random, 3)), 0);
}

static struct wr written(const struct hist *hist)
{
	struct wr wr;

	wr_init(&wr, 0);
	hist_write(hist, &wr);
	CHECK_NOT(wr.bad);
	return wr;
}

static void check_same(const struct hist *a, const struct hist *b, const char *what)
{
	struct wr x = written(a), y = written(b);

	CHECK(view_eq(wr_view(&x), wr_view(&y)), "%s", what);
	wr_release(&x);
	wr_release(&y);
}

/* N parts merged in any order, by either way, give the bits that adding everything to one gives. */
TEST(hist, merging_is_adding_in_any_order)
{
	struct random random = random_new("hist");

	for (unsigned round = 0; round < 40; round++) {
		struct hist *whole = hist_new(), *parts[6], *merged = hist_new(), *from_bytes = hist_new();
		uint32_t order[6];
		struct err err = { 0 };

		for (unsigned i = 0; i < 6; i++) {
			struct random again;

			parts[i] = hist_new();
			again = random;
			hist_fill(&random, parts[i], round * i);
			hist_fill(&again, whole, round * i);
		}
		random_order(&random, order, 6);
		for (unsigned i = 0; i < 6; i++) {
			struct wr bytes = written(parts[order[5 - i]]);

			CHECK_EQ(hist_merge(merged, parts[order[i]]), 0);
			CHECK_OK(hist_merge_bytes(from_bytes, wr_view(&bytes), &err), err);
			wr_release(&bytes);
		}
		check_same(whole, merged, "merge of histograms");
		check_same(whole, from_bytes, "merge of bytes");
		for (unsigned i = 0; i < 6; i++)
			hist_free(parts[i]);
		hist_free(whole);
		hist_free(merged);
		hist_free(from_bytes);
	}
}

TEST(hist, totals_stop_at_the_largest_number)
{
	struct hist *a = hist_new(), *b = hist_new();

	CHECK_EQ(hist_add(a, 7, UINT64_MAX), 0);
	CHECK_EQ(hist_add(b, 7, 5), 0);
	CHECK_EQ(hist_merge(b, a), 0);
	CHECK_EQ(hist_merge(a, b), 0);
	CHECK_U64(hist_count(a), UINT64_MAX);
	CHECK_U64(hist_sum(a), UINT64_MAX);
	check_same(a, b, "both are full");
	CHECK_FLOAT(hist_quantile(a, 0.5), 7, 0.08);
	hist_free(a);
	hist_free(b);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

TEST(hist, quantiles_are_within_1_09_percent)
{
	enum { N = 20000 };
	struct random random = random_new("quantile");
	uint64_t *values = mem_array(N, sizeof(*values));
	struct hist *hist = hist_new();
	double worst = 0;

	for (unsigned i = 0; i < N; i++) {
		values[i] = any_value(&random);
		CHECK_EQ(hist_add(hist, values[i], 1), 0);
	}
	qsort(values, N, sizeof(*values), cmp_u64);
	for (unsigned i = 1; i <= N; i++) {
		double q = (double)i / N, got = hist_quantile(hist, q), want;

		want = (double)values[(size_t)ceil(q * N) - 1];
		if (want == 0)
			CHECK_EQ(got, 0);
		else
			worst = fmax(worst, fabs(got - want) / want);
	}
	CHECK_LE(worst, 0.0109, "worst error %.5f", worst);
	CHECK_GT(worst, 0.009, "a test that samples enough comes near the bound");
	CHECK_EQ(hist_quantile(hist, 0), (double)values[0]);
	CHECK_EQ(hist_quantile(hist, 1), (double)values[N - 1]);
	CHECK_EQ(hist_quantile(hist, NAN), (double)values[0]);
	mem_free(values);
	hist_free(hist);
}

TEST(hist, one_value_is_exact)
{
	struct hist *hist = hist_new();
	struct hist_iter iter = { 0 };
	uint64_t count;
	double upper;

	CHECK_EQ(hist_quantile(hist, 0.5), 0);
	CHECK_EQ(hist_add(hist, 1234567, 0), 0);
	CHECK_U64(hist_count(hist), 0);
	CHECK_EQ(hist_add(hist, 1234567, 10), 0);
	CHECK_EQ(hist_quantile(hist, 0.5), 1234567);
	CHECK_U64(hist_sum(hist), 12345670);
	CHECK_U64(hist_next(hist, &iter, &upper, &count), 1);
	CHECK(upper >= 1234567 && upper < 1234567 * 1.022);
	CHECK_U64(count, 10);
	CHECK_U64(hist_next(hist, &iter, &upper, &count), 0);
	hist_reset(hist);
	CHECK_U64(hist_count(hist) + hist_min(hist) + hist_max(hist), 0);
	hist_free(hist);
}

/* One field at a time lies. */
TEST(hist, damaged_bytes_are_told_and_change_nothing)
{
	static const struct {
		const char *what;
		struct view bytes;
	} cases[] = {
		{ "nothing", { (const uint8_t *)"", 0 } },
		{ "version", VIEW_LIT("\x02\x00") },
		{ "bytes behind", VIEW_LIT("\x01\x00\x00") },
		{ "no bucket", VIEW_LIT("\x01\x01\x01\x00\x01") },
		{ "number of buckets", VIEW_LIT("\x01\xff\xff\x03\x01\x00\x01\x01\x01") },
		{ "count of nothing", VIEW_LIT("\x01\x01\x01\x00\x01\x01\x00") },
		{ "bucket too high", VIEW_LIT("\x01\x01\x01\x00\x01\x82\x10\x01") },
		{ "bucket of the minimum", VIEW_LIT("\x01\x01\x02\x00\x02\x01\x01") },
		{ "bucket of the maximum", VIEW_LIT("\x01\x01\x01\x05\x01\x01\x01") },
		{ "minimum and spread overflow",
		  VIEW_LIT("\x01\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x01\x01") },
		{ "sum too small", VIEW_LIT("\x01\x01\x01\x00\x00\x01\x01") },
		{ "sum too large", VIEW_LIT("\x01\x01\x01\x00\x02\x01\x01") },
	};
	struct hist *hist = hist_new(), *before = hist_new();
	struct err err = { 0 };

	CHECK_OK(hist_merge_bytes(hist, VIEW_LIT("\x01\x01\x01\x00\x01\x01\x01"), &err), err);	/* one 1 */
	CHECK_EQ(hist_merge(before, hist), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err_clear(&err);
		CHECK_EQ(hist_merge_bytes(hist, cases[i].bytes, &err), E_CORRUPT, "%s", cases[i].what);
		CHECK(err.text[0], "%s: no words", cases[i].what);
		check_same(hist, before, cases[i].what);
	}
	hist_free(hist);
	hist_free(before);
}

TEST(hist, out_of_memory_changes_nothing)
{
	struct random random = random_new("hist memory");
	struct hist *hist = hist_new(), *more = hist_new(), *before = hist_new();

	hist_fill(&random, hist, 20);
	hist_fill(&random, more, 300);
	CHECK_EQ(hist_merge(before, hist), 0);
	mem_fail_nth(1);
	CHECK_RC(hist_merge(hist, more), E_NO_MEMORY);
	check_same(hist, before, "after a failed merge");
	hist_free(hist);
	hist_free(more);
	hist_free(before);
}

/* Few buckets are a list, many a window: which one it is shows in nothing that is told. */
TEST(hist, lists_and_windows_tell_the_same)
{
	struct random random = random_new("hist windows");

	for (unsigned round = 0; round < 60; round++) {
		struct hist *once = hist_new(), *parts[8], *from_parts = hist_new(), *back = hist_new();
		uint64_t low = random_below(&random, 1000), spread = 1ull << random_below(&random, 62);
		struct hist_iter a = { 0 }, b = { 0 };
		double upper, again;
		uint64_t count, most;

		/* Parts of very different length, so that lists meet windows either way, and windows have to grow. */
		for (unsigned i = 0; i < 8; i++) {
			uint64_t values = random_below(&random, 4) ? random_below(&random, 60) : 2000;
			uint64_t shift = random_below(&random, 30);

			parts[i] = hist_new();
			for (uint64_t v = 0; v < values; v++) {
				uint64_t value = low + (random_below(&random, spread) >> shift);

				CHECK_EQ(hist_add(parts[i], value, 1 + v % 3), 0);
				CHECK_EQ(hist_add(once, value, 1 + v % 3), 0);
			}
		}
		for (unsigned i = 0; i < 8; i++)
			CHECK_EQ(hist_merge(from_parts, parts[i]), 0);
		for (unsigned i = 8; i-- > 0;) {
			CHECK_EQ(hist_merge(back, parts[i]), 0);
			hist_free(parts[i]);
		}
		check_same(once, from_parts, "parts in order");
		check_same(once, back, "parts from behind");
		while (hist_next(once, &a, &upper, &count)) {
			CHECK_EQ(hist_next(from_parts, &b, &again, &most), 1);
			CHECK(upper == again && count == most);
		}
		for (unsigned q = 0; q <= 100; q++)
			CHECK(hist_quantile(once, q / 100.0) == hist_quantile(back, q / 100.0));
		hist_reset(once);
		hist_reset(back);
		CHECK_U64(hist_count(once), 0);
		CHECK_EQ(hist_add(once, 5, 2), 0);
		CHECK_EQ(hist_add(back, 5, 2), 0);
		check_same(once, back, "after a reset");
		hist_free(once);
		hist_free(from_parts);
		hist_free(back);
	}
}

/* What goes through a sum is what was merged one by one; damaged bytes leave nothing behind in it. */
TEST(hist, a_sum_is_merging_one_by_one)
{
	struct random random = random_new("hist sum");
	struct hist_sum *sum = hist_sum_new();

	for (unsigned round = 0; round < 40; round++) {
		struct hist *one_by_one = hist_new(), *summed = hist_new();
		struct err err = { 0 };

		for (unsigned flush = 0; flush < 3; flush++) {
			for (unsigned i = 0; i < 6; i++) {
				struct hist *part = hist_new();
				uint64_t value = random_below(&random, UINT64_MAX) >> random_below(&random, 64);
				struct wr bytes;

				hist_fill(&random, part, (size_t)random_below(&random, i * 80 + 1));
				bytes = written(part);
				CHECK_EQ(hist_merge(one_by_one, part), 0);
				CHECK_OK(hist_sum_add_bytes(sum, wr_view(&bytes), &err), err);
				CHECK_EQ(hist_add(one_by_one, value, 1), 0);
				hist_sum_add(sum, value);
				if (bytes.len > 4)
					CHECK_RC(hist_sum_add_bytes(sum, view_make(bytes.at, bytes.len - 1), NULL), E_CORRUPT);
				wr_release(&bytes);
				hist_free(part);
			}
			CHECK_EQ(hist_sum_flush(sum, summed), 0);
			check_same(one_by_one, summed, "flushed");
		}
		hist_sum_add(sum, 99);
		hist_sum_reset(sum);
		CHECK_EQ(hist_sum_flush(sum, summed), 0);
		check_same(one_by_one, summed, "nothing was left");
		hist_free(one_by_one);
		hist_free(summed);
	}
	hist_sum_free(sum);
}

static void hists_equal(const struct hist *a, const struct hist *b)
{
	struct hist_iter i = { 0 }, k = { 0 };
	double upper_a, upper_b;
	uint64_t count_a, count_b;
	int more;

	CHECK_U64(hist_count(a), hist_count(b));
	CHECK_U64(hist_sum(a), hist_sum(b));
	CHECK_U64(hist_min(a), hist_min(b));
	CHECK_U64(hist_max(a), hist_max(b));
	while ((more = hist_next(a, &i, &upper_a, &count_a)) == 1) {
		CHECK_EQ(hist_next(b, &k, &upper_b, &count_b), 1);
		CHECK(upper_a == upper_b);
		CHECK_U64(count_a, count_b);
	}
	CHECK_EQ(hist_next(b, &k, &upper_b, &count_b), 0);
}

/* Into lists, into windows, and into what becomes a window on the way; sums stop at the largest number. */
TEST(hist, values_at_once_are_values_one_by_one)
{
	struct random random = random_new("hist values");
	struct hist_sum *sum = hist_sum_new();

	for (unsigned round = 0; round < 200; round++) {
		struct hist *one = hist_new(), *many = hist_new();
		unsigned shift = (unsigned)random_below(&random, 64);

		for (unsigned batch = 0; batch < 6; batch++) {
			size_t count = random_below(&random, batch % 2 ? 300 : 3);
			uint64_t values[300];

			for (size_t i = 0; i < count; i++) {
				values[i] = random_below(&random, 20) ? (1ull << 40 | random_u64(&random) >> 26) :
									random_u64(&random) >> shift;
				CHECK_EQ(hist_add(one, values[i], 1), 0);
			}
			CHECK_EQ(hist_add_values(many, values, count, sum), 0);
			hists_equal(one, many);
		}
		hist_free(one);
		hist_free(many);
	}
	hist_sum_free(sum);
}

TEST(hist, joined_pools_live_as_long_as_the_one)
{
	struct hist_pool *pools[3] = { hist_pool_new(), hist_pool_new(), hist_pool_new() };
	struct hist *hists[30], *want = hist_new();

	for (unsigned i = 0; i < 30; i++)
		hists[i] = hist_new_in(pools[i % 3]);
	hist_pool_join(pools[1], pools[2]);
	hist_pool_join(pools[0], pools[1]);
	for (unsigned v = 0; v < 200; v++) {	/* lists that grow in their pools, then windows of their own */
		CHECK_EQ(hist_add(want, v * v, 1), 0);
		for (unsigned i = 0; i < 30; i++)
			CHECK_EQ(hist_add(hists[i], v * v, 1), 0);
	}
	for (unsigned i = 0; i < 30; i++) {
		hists_equal(hists[i], want);
		hist_free(hists[i]);
	}
	hist_free(want);
	hist_pool_free(pools[0]);
}
