#include "store/hist_column.h"

#include "base/mem.h"
#include "store/codec.h"
#include "store/hist.h"
#include "store/number_head.h"

#define WHAT "histograms"
#define VERSION 1		/* of a histogram */
#define SCALE 1000u		/* clocks of microseconds */
#define PACK_MIN 16u		/* a stream of less is not worth a try */
#define VARINT_MAX 10u
#define HIST_BYTES_MAX (2 * VARINT_MAX + 3 * VARINT_MAX + HIST_BUCKETS * (2 + VARINT_MAX))
#define PAD 16u			/* bytes of 0 behind a stream: the low bits are read eight bytes at a time */

enum stream { S_LEN, S_MIN, S_SPREAD, S_SUM, S_STEP, S_COUNT, S_LOW, STREAMS };

/* One histogram to be written. */
struct parts {
	uint64_t min, max, sum, total;	/* total: modulo 2^64 */
	uint32_t len;
	struct hist_bucket buckets[HIST_BUCKETS];
};

/* The sum, if every value lay in the middle of its bucket, but for the least and the greatest. Modulo 2^64. */
static uint64_t sum_foretold(uint64_t min, uint64_t max, uint64_t total, const struct hist_bucket *buckets, uint32_t len)
{
	uint64_t sum = min + max;

	if (total <= 2)
		return total < 2 ? min : sum;
	for (uint32_t i = 0; i < len; i++) {
		uint64_t count = buckets[i].count - (i == 0) - (i == len - 1);

		if (count)
			sum += count * hist_middle(buckets[i].at);
	}
	return sum;
}

/* ---- writing ---- */

struct writing {
	struct wr streams[STREAMS];
	uint64_t scale;
	uint64_t bits;		/* not in S_LOW yet, */
	unsigned bits_count;	/* so many, below 8 between calls */
};

static void bits_put(struct writing *writing, uint64_t value, unsigned count)
{
	while (count) {
		unsigned n = count < 56 ? count : 56;

		writing->bits |= (value & ((1ull << n) - 1)) << writing->bits_count;
		writing->bits_count += n;
		value >>= n;
		count -= n;
		for (; writing->bits_count >= 8; writing->bits_count -= 8, writing->bits >>= 8)
			wr_u8(&writing->streams[S_LOW], (uint8_t)writing->bits);
	}
}

static void number_put(struct writing *writing, enum stream stream, uint64_t value)
{
	unsigned low_bits;

	wr_u8(&writing->streams[stream], number_head(value, &low_bits));
	bits_put(writing, value, low_bits);
}

/* False: not what hist_write makes. */
static bool parts_take(struct view bytes, struct parts *parts)
{
	struct rd rd = rd_make(bytes);
	unsigned version = rd_u8(&rd);
	uint64_t len = rd_varint(&rd), at = 0, spread;

	if (rd.bad || version != VERSION || len > HIST_BUCKETS)
		return false;
	parts->len = (uint32_t)len;
	parts->total = 0;
	if (len == 0)
		return rd_left(&rd) == 0;
	parts->min = rd_varint(&rd);
	spread = rd_varint(&rd);
	parts->sum = rd_varint(&rd);
	parts->max = parts->min + spread;
	for (uint32_t i = 0; i < len; i++, at++) {
		uint64_t step = rd_varint(&rd);

		if (rd.bad || step >= HIST_BUCKETS - at)
			return false;
		at += step;
		parts->buckets[i] = (struct hist_bucket){ .at = (uint32_t)at, .count = rd_varint(&rd) };
		parts->total += parts->buckets[i].count;
	}
	return !rd.bad && rd_left(&rd) == 0;
}

static bool is_scaled(const struct view *dict, const uint32_t *codes, size_t count, struct parts *parts)
{
	for (size_t i = 0; i < count; i++)
		if (!parts_take(dict[codes[i]], parts) ||
		    (parts->len && (parts->min % SCALE || parts->max % SCALE || parts->sum % SCALE)))
			return false;
	return true;
}

static void parts_put(struct writing *writing, const struct parts *parts)
{
	const struct hist_bucket *buckets = parts->buckets;

	wr_varint(&writing->streams[S_LEN], parts->len);
	if (parts->len == 0)
		return;
	number_put(writing, S_MIN, parts->min / writing->scale);
	if (parts->total > 1)
		number_put(writing, S_SPREAD, (parts->max - parts->min) / writing->scale);
	if (parts->total > 2)
		number_put(writing, S_SUM, number_zigzag(parts->sum / writing->scale -
						  sum_foretold(parts->min, parts->max, parts->total, buckets, parts->len) /
							  writing->scale));
	for (uint32_t i = 0; i < parts->len; i++)
		wr_varint(&writing->streams[S_COUNT], buckets[i].count);
	for (uint32_t i = 1; i + 1 < parts->len; i++)
		wr_varint(&writing->streams[S_STEP], buckets[i].at - buckets[i - 1].at - 1);
}

static int stream_put(struct view plain, int level, struct wr *out, struct err *err)
{
	size_t at;
	struct wr packed;
	int rc = 0;

	wr_varint(out, plain.len);
	at = out->len;
	wr_u8(out, CODEC_ZSTD);
	wr_init(&packed, 0);
	if (level >= 0 && plain.len >= PACK_MIN)
		rc = codec_pack(CODEC_ZSTD, level, plain, &packed, err);
	if (rc == 0 && packed.len && packed.len < plain.len - plain.len / 20) {
		wr_vbytes(out, wr_view(&packed));
	} else if (rc == 0) {
		wr_bytes(out, plain);
		if (!out->bad)
			out->at[at] = CODEC_NONE;
	}
	wr_release(&packed);
	return rc;
}

/* Whether a reader makes the same of what was written from byte `at` on. */
static int verify(const struct view *dict, const uint32_t *codes, size_t count, struct view written, struct err *err)
{
	struct rd rd = rd_make(written);
	struct arena arena;
	struct view *back = NULL;
	int rc;

	arena_init(&arena, 0);
	rc = hist_column_read(&rd, count, &arena, &back, NULL);
	if (rc == E_NO_MEMORY)
		(void)err_set(err, rc, WHAT ": out of memory");
	else
		rc = rc == 0 && rd_left(&rd) == 0;
	for (size_t i = 0; rc == 1 && i < count; i++)
		rc = view_eq(back[i], dict[codes[i]]);
	arena_release(&arena);
	return rc;
}

int hist_column_write(const struct view *dict, const uint32_t *codes, size_t count, int level, struct wr *out,
		      struct err *err)
{
	struct writing writing = { .scale = 1 };
	struct parts *parts = mem_alloc(sizeof(*parts));
	size_t from = out->len, bytes = 0;
	int rc = parts ? 1 : E_NO_MEMORY;

	for (unsigned s = 0; s < STREAMS; s++)
		wr_init(&writing.streams[s], 0);
	if (rc == 1 && is_scaled(dict, codes, count, parts))
		writing.scale = SCALE;
	for (size_t i = 0; rc == 1 && i < count; i++) {
		bytes += dict[codes[i]].len;
		rc = bytes <= HIST_COLUMN_BYTES_MAX && parts_take(dict[codes[i]], parts);
		if (rc == 1)
			parts_put(&writing, parts);
	}
	if (rc != 1)
		goto out;
	bits_put(&writing, 0, (8 - writing.bits_count) % 8);
	wr_varint(out, bytes);
	wr_varint(out, writing.scale);
	for (unsigned s = 0; s < STREAMS && rc == 1; s++) {
		int packed = stream_put(wr_view(&writing.streams[s]), s == S_LOW ? -1 : level, out, err);

		rc = packed < 0 ? packed : writing.streams[s].bad ? E_NO_MEMORY : 1;
	}
	if (rc == 1)
		rc = out->bad ? E_NO_MEMORY : verify(dict, codes, count, view_sub(wr_view(out), from, SIZE_MAX), err);
out:
	if (rc != 1)
		out->len = from;
	for (unsigned s = 0; s < STREAMS; s++)
		wr_release(&writing.streams[s]);
	mem_free(parts);
	return rc;
}

/* ---- reading ---- */

struct reading {
	struct rd streams[STREAMS];
	uint64_t scale;
	uint64_t low_at, low_end;	/* next bit of S_LOW, and how many it has */
	bool bad;
};

/* What a histogram says before its buckets. */
struct heading {
	uint64_t min, max;
	uint64_t total;		/* modulo 2^64, as the writer told by it */
	uint64_t sum_more;	/* zigzag; with a total above 2 */
};

static inline uint64_t bits_get(struct reading *reading, unsigned count)
{
	const struct rd *low = &reading->streams[S_LOW];
	uint64_t word, more, at = reading->low_at;

	if (count > reading->low_end - at) {
		reading->bad = true;
		return 0;
	}
	if (count == 0)
		return 0;
	memcpy(&word, low->at + at / 8, sizeof(word));
	reading->low_at += count;
	word >>= at % 8;
	if (count > 56) {	/* 61 at most */
		memcpy(&more, low->at + at / 8 + 8, sizeof(more));
		word |= at % 8 ? more << (64 - at % 8) : 0;
	}
	return word & ((1ull << count) - 1);
}

static inline uint64_t number_get(struct reading *reading, enum stream stream)
{
	unsigned low_bits;
	uint64_t value = number_head_value(rd_u8(&reading->streams[stream]), &low_bits);

	return value | bits_get(reading, low_bits);
}

/* Counts and steps are below 128 mostly. */
static inline uint64_t short_varint(struct rd *rd)
{
	return rd->at < rd->end && *rd->at < 128 ? *rd->at++ : rd_varint(rd);
}

static void heading_get(struct reading *reading, struct heading *heading)
{
	uint64_t spread = 0;

	heading->min = number_get(reading, S_MIN) * reading->scale;
	if (heading->total > 1)
		spread = number_get(reading, S_SPREAD) * reading->scale;
	heading->max = heading->min + spread;
	if (heading->total > 2)
		heading->sum_more = number_get(reading, S_SUM);
}

static uint64_t sum_of(const struct reading *reading, const struct heading *heading, const struct hist_bucket *buckets,
		       uint32_t len)
{
	uint64_t foretold = sum_foretold(heading->min, heading->max, heading->total, buckets, len);

	if (heading->total <= 2)
		return foretold;
	return (foretold / reading->scale + number_unzigzag(heading->sum_more)) * reading->scale;
}

/* Where the values of the buckets are; what they hold is there already. False: it contradicts itself. */
static bool places_get(struct reading *reading, const struct heading *heading, struct hist_bucket *buckets, uint32_t len)
{
	uint32_t at = hist_bucket(heading->min), last;

	buckets[0].at = at;
	if (len == 1)
		return heading->max == heading->min || hist_bucket(heading->max) == at;
	last = hist_bucket(heading->max);
	for (uint32_t i = 1; i + 1 < len; i++) {
		uint64_t step = short_varint(&reading->streams[S_STEP]);

		if (step >= HIST_BUCKETS - at - 1)
			return false;
		at += 1 + (uint32_t)step;
		buckets[i].at = at;
	}
	buckets[len - 1].at = last;
	return last > at;
}

/* The next histogram into buckets, with room for as many as counts are left. False: it contradicts itself, or is cut short. */
static bool part_get(struct reading *reading, bool sums, struct hist_bucket *buckets, struct hist_part *part)
{
	uint64_t len = short_varint(&reading->streams[S_LEN]);
	struct heading heading = { .total = 0 };
	bool stops = false;	/* as a histogram's count does */

	if (len > HIST_BUCKETS || len > rd_left(&reading->streams[S_COUNT]))
		return false;
	*part = (struct hist_part){ .buckets = buckets, .len = (uint32_t)len };
	if (len == 0)
		return !reading->streams[S_LEN].bad;
	for (uint32_t i = 0; i < len; i++) {
		buckets[i].count = short_varint(&reading->streams[S_COUNT]);
		stops |= __builtin_add_overflow(heading.total, buckets[i].count, &heading.total);
	}
	heading_get(reading, &heading);
	if (!places_get(reading, &heading, buckets, part->len))
		return false;
	part->count = stops ? UINT64_MAX : heading.total;
	part->min = heading.min;
	part->max = heading.max;
	part->sum = sums ? sum_of(reading, &heading, buckets, part->len) : 0;
	return !reading->bad;
}

/* Go past one that nobody asks for. */
static bool part_skip(struct reading *reading)
{
	uint64_t len = short_varint(&reading->streams[S_LEN]);
	struct heading heading = { .total = 0 };

	if (len > rd_left(&reading->streams[S_COUNT]))
		return false;
	for (uint64_t i = 0; i < len; i++)
		heading.total += short_varint(&reading->streams[S_COUNT]);
	for (uint64_t i = 2; i < len; i++)
		(void)short_varint(&reading->streams[S_STEP]);
	if (len)
		heading_get(reading, &heading);
	return !reading->bad;
}

static uint8_t *varint_put(uint8_t *at, uint64_t value)
{
	for (; value >= 128; value >>= 7)
		*at++ = (uint8_t)(value | 128);
	*at++ = (uint8_t)value;
	return at;
}

/* At most HIST_BYTES_MAX bytes, as hist_write. */
static uint8_t *part_write(const struct hist_part *part, uint8_t *at)
{
	uint32_t next_at = 0;

	*at++ = VERSION;
	at = varint_put(at, part->len);
	if (part->len == 0)
		return at;
	at = varint_put(at, part->min);
	at = varint_put(at, part->max - part->min);
	at = varint_put(at, part->sum);
	for (uint32_t i = 0; i < part->len; i++) {
		at = varint_put(at, part->buckets[i].at - next_at);
		at = varint_put(at, part->buckets[i].count);
		next_at = part->buckets[i].at + 1;
	}
	return at;
}

/* A stream in memory of its own, with PAD behind it. */
static int stream_get(struct rd *rd, struct arena *arena, struct rd *ret_stream, struct err *err)
{
	uint64_t plain_len = rd_varint(rd);
	unsigned codec = rd_u8(rd);
	struct view stored;
	uint8_t *plain;
	int rc = 0;

	if (rd->bad || plain_len > HIST_COLUMN_BYTES_MAX || (codec != CODEC_NONE && codec != CODEC_ZSTD))
		return err_set(err, E_CORRUPT, WHAT ": a stream of %llu bytes, codec %u",
			       (unsigned long long)plain_len, codec);
	stored = codec == CODEC_NONE ? rd_bytes(rd, (size_t)plain_len) : rd_vbytes(rd);
	if (rd->bad)
		return err_set(err, E_CORRUPT, WHAT ": cut short at byte %zu", rd_pos(rd));
	plain = arena_alloc(arena, (size_t)plain_len + PAD);
	if (!plain)
		return err_set(err, E_NO_MEMORY, WHAT ": no memory for %llu bytes", (unsigned long long)plain_len);
	if (codec == CODEC_ZSTD)
		rc = codec_unpack(CODEC_ZSTD, stored, plain, (size_t)plain_len, err);
	else if (plain_len)
		memcpy(plain, stored.at, (size_t)plain_len);
	memset(plain + plain_len, 0, PAD);
	if (rc == 0)
		*ret_stream = rd_make(view_make(plain, (size_t)plain_len));
	return rc;
}

/* Every stream to its end, but for up to seven bits of 0. */
static bool is_whole(const struct reading *reading)
{
	for (unsigned s = 0; s < S_LOW; s++)
		if (reading->streams[s].bad || rd_left(&reading->streams[s]))
			return false;
	return !reading->bad && (reading->low_at + 7) / 8 == rd_left(&reading->streams[S_LOW]);
}

static int reading_open(struct rd *rd, struct arena *arena, struct reading *reading, uint64_t *ret_bytes, struct err *err)
{
	uint64_t bytes = rd_varint(rd);

	*reading = (struct reading){ .scale = rd_varint(rd) };
	if (rd->bad || bytes > HIST_COLUMN_BYTES_MAX || reading->scale == 0)
		return err_set(err, E_CORRUPT, WHAT ": %llu bytes, a scale of %llu", (unsigned long long)bytes,
			       (unsigned long long)reading->scale);
	for (unsigned s = 0; s < STREAMS; s++) {
		int rc = stream_get(rd, arena, &reading->streams[s], err);

		if (rc < 0)
			return rc;
	}
	reading->low_end = 8 * (uint64_t)rd_left(&reading->streams[S_LOW]);
	*ret_bytes = bytes;
	return 0;
}

int hist_column_read(struct rd *rd, size_t count, struct arena *arena, struct view **ret_values, struct err *err)
{
	struct hist_bucket *buckets = arena_alloc(arena, HIST_BUCKETS * sizeof(*buckets));
	struct reading reading;
	struct hist_part part;
	struct view *values;
	uint8_t *plain, *at;
	uint64_t bytes;
	int rc = reading_open(rd, arena, &reading, &bytes, err);

	if (rc < 0)
		return rc;
	values = arena_alloc(arena, count * sizeof(*values));
	plain = at = arena_alloc(arena, (size_t)bytes + HIST_BYTES_MAX);
	if (!buckets || !values || !plain)
		return err_set(err, E_NO_MEMORY, WHAT ": no memory for %zu of %llu bytes", count,
			       (unsigned long long)bytes);
	for (size_t i = 0; i < count; i++) {
		uint8_t *end = part_get(&reading, true, buckets, &part) ? part_write(&part, at) : NULL;

		if (!end || (size_t)(end - plain) > bytes)
			return err_set(err, E_CORRUPT, WHAT ": number %zu of %zu: %s", i, count,
				       end ? "more bytes than were said" : "it contradicts itself");
		values[i] = view_make(at, (size_t)(end - at));
		at = end;
	}
	if (!is_whole(&reading) || (size_t)(at - plain) != bytes)
		return err_set(err, E_CORRUPT, WHAT ": %zu bytes of %llu, or bytes behind the last one",
			       (size_t)(at - plain), (unsigned long long)bytes);
	*ret_values = values;
	return 0;
}

static uint64_t mul_capped(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* What hist_merge_bytes would accept; its places are in order already. */
static bool is_histogram(const struct hist_part *part, bool sums)
{
	for (uint32_t i = 0; i < part->len; i++)
		if (part->buckets[i].count == 0)
			return false;
	if (part->max < part->min)
		return false;
	return !sums || part->len == 0 ||
	       (part->sum >= mul_capped(part->count, part->min) && part->sum <= mul_capped(part->count, part->max));
}

static bool bit_is(const uint64_t *bits, size_t i)
{
	return !bits || bits[i / 64] >> i % 64 & 1;
}

int hist_column_parts(struct rd *rd, const struct hist_column_ask *ask, struct arena *arena,
		      struct hist_part **ret_parts, struct err *err)
{
	struct hist_bucket *buckets;
	struct reading reading;
	struct hist_part *parts;
	uint64_t bytes;
	size_t room;
	int rc = reading_open(rd, arena, &reading, &bytes, err);

	if (rc < 0)
		return rc;
	room = rd_left(&reading.streams[S_COUNT]);	/* a byte a bucket at least, and two as they were */
	if (room > bytes / 2)
		return err_set(err, E_CORRUPT, WHAT ": %zu buckets in %llu bytes", room, (unsigned long long)bytes);
	parts = arena_alloc(arena, ask->rows * sizeof(*parts));
	buckets = arena_alloc(arena, room * sizeof(*buckets));
	if (!parts || !buckets)
		return err_set(err, E_NO_MEMORY, WHAT ": no memory for %zu of %zu buckets", ask->rows, room);
	for (size_t row = 0; row < ask->rows; row++) {
		struct hist_part *part = &parts[row];
		bool good;

		part->len = 0;
		if (!bit_is(ask->valid, row))
			continue;
		if (bit_is(ask->only, row)) {
			good = part_get(&reading, ask->sums, buckets, part) && is_histogram(part, ask->sums);
			buckets += good ? part->len : 0;
		} else {
			good = part_skip(&reading);
		}
		if (!good)
			return err_set(err, E_CORRUPT, WHAT ": row %zu of %zu: it contradicts itself", row, ask->rows);
	}
	if (!is_whole(&reading))
		return err_set(err, E_CORRUPT, WHAT ": bytes behind the last one of %zu rows", ask->rows);
	*ret_parts = parts;
	return 0;
}
