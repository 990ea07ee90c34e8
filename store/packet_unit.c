#include "store/packet_unit.h"

#include <assert.h>
#include <fcntl.h>

#include "base/crew.h"
#include "base/mem.h"
#include "base/rd.h"
#include "store/envelope.h"
#include "store/files.h"

#define WHAT "payload unit"
#define MAGIC ENVELOPE_MAGIC('T', 'D', 'P', 'U')
#define VERSION 1
#define HEADER_BYTES 40		/* envelope, number u64, plain length u32, codec u8, 3 bytes of 0 */
#define UNIT_STORED_MAX (HEADER_BYTES + PACKET_UNIT_BYTES)
#define SAMPLE_BYTES 2048u
#define WORKERS_MAX 8u		/* that unpack units of one reader */
#define SHARE_MIN 4u		/* fewer are unpacked before another thread has woken up */
#define TAKES_UNKEPT 2u
#define KEPT_BYTES_MAX (64u << 20)
#define SLAB_BYTES (2u << 20)	/* of units kept: a page fault for each 4 KiB took longer than to fill them */
#define SLAB_UNITS (SLAB_BYTES / PACKET_UNIT_BYTES)
#define SLAB_FIRST_UNITS 8u	/* who reads a little does not pay for a slab */

/* Whether one of a few pieces compresses at all: encrypted bytes are not worth the try. */
static int looks_packable(struct view plain, struct wr *out, struct err *err)
{
	size_t count = plain.len / (4 * SAMPLE_BYTES), at = out->len, packed;

	for (size_t i = 0; i < count; i++) {
		struct view sample = view_sub(plain, (2 * i + 1) * plain.len / (2 * count), SAMPLE_BYTES);
		int rc = codec_pack(CODEC_ZSTD, 1, sample, out, err);

		packed = out->len - at;
		out->len = at;
		if (rc < 0)
			return rc;
		if (packed < sample.len - sample.len / 50)
			return 1;
	}
	return count == 0;
}

int packet_unit_write(uint64_t number, struct view plain, int level, bool *raw, struct wr *out, struct err *err)
{
	enum codec codec = CODEC_NONE;
	uint16_t must_know = plain.len > PACKET_UNIT_BYTES_1 ? PACKET_MUST_UNITS : 0;
	size_t start = envelope_begin(out, MAGIC, VERSION, must_know, 0), codec_at, at;
	int rc;

	wr_u64le(out, number);
	wr_u32le(out, (uint32_t)plain.len);
	codec_at = out->len;
	wr_u32le(out, 0);
	at = out->len;
	rc = *raw ? looks_packable(plain, out, err) : 1;
	if (rc > 0) {
		rc = codec_pack(CODEC_ZSTD, level, plain, out, err);
		if (rc == 0 && out->len - at <= plain.len - plain.len / 50)
			codec = CODEC_ZSTD;
		else
			out->len = at;
	}
	if (rc < 0) {
		out->len = start;
		return rc;
	}
	*raw = codec == CODEC_NONE;
	if (*raw)
		wr_bytes(out, plain);
	if (!out->bad)
		out->at[codec_at] = (uint8_t)codec;
	return envelope_end(out, start, out->len - start, err);
}

int packet_unit_read(struct view stored, uint64_t number, uint8_t *plain, size_t *ret_len, struct err *err)
{
	struct envelope envelope;
	uint64_t found;
	uint32_t len;
	enum codec codec;
	struct rd rd;
	int rc = envelope_open(stored, WHAT, MAGIC, VERSION, PACKET_MUST_UNITS, &envelope, err);

	if (rc == 0)
		rc = envelope_check(stored, WHAT, stored.len, err);
	if (rc < 0)
		return rc;
	rd = rd_make(stored);
	rd_skip(&rd, ENVELOPE_BYTES);
	found = rd_u64le(&rd);
	len = rd_u32le(&rd);
	codec = (enum codec)rd_u8(&rd);
	rd_skip(&rd, 3);
	if (rd.bad || found != number || len > PACKET_UNIT_BYTES)
		return err_set(err, E_CORRUPT, WHAT " %llu: number %llu of %u bytes lies there",
			       (unsigned long long)number, (unsigned long long)found, len);
	rc = codec_unpack(codec, rd_rest(&rd), plain, len, err);
	if (rc == 0)
		*ret_len = len;
	return rc;
}

int packet_unit_length(struct view rest, size_t *ret_bytes)
{
	return envelope_length(rest, MAGIC, ret_bytes);
}

void packet_directory_write(uint64_t first_number, uint64_t offset, struct view unit_bytes, struct wr *out)
{
	wr_u64le(out, first_number);
	wr_u64le(out, offset);
	for (struct rd rd = rd_make(unit_bytes); rd_left(&rd);)
		wr_varint(out, rd_u32le(&rd));
}

/* ---- those kept of a file ---- */

struct kept {
	uint64_t number;
	uint8_t *plain;		/* NULL: not filled yet */
	size_t len;		/* 0: not filled */
	bool claimed;		/* by the call at hand */
};
struct place {
	uint64_t offset;
	uint32_t bytes;
};

struct packet_units {
	int fd;
	const char *path;
	uint8_t *slabs[KEPT_BYTES_MAX / SLAB_BYTES + 1];	/* memory of those kept, one behind the other */
	size_t filled;		/* of them, in units */
	struct kept *kept;	/* by its low 32 bits modulo kept_count */
	size_t kept_count;
	struct place *places;	/* by number */
	size_t places_count, places_cap;
	struct crew *crew;
	unsigned takes;		/* calls */
	struct desk *desks[WORKERS_MAX];	/* a worker each; NULL until needed */
	uint8_t stored[UNIT_STORED_MAX];
};

int packet_units_new(int fd, const char *path, size_t keep_bytes, struct packet_units **ret_units, struct err *err)
{
	struct packet_units *units = mem_zalloc(sizeof(*units));

	if (units) {
		units->fd = fd;
		units->path = path;
		assert(keep_bytes <= KEPT_BYTES_MAX);
		units->kept_count = keep_bytes / PACKET_UNIT_BYTES ? keep_bytes / PACKET_UNIT_BYTES : 1;
		units->kept = mem_array(units->kept_count, sizeof(*units->kept));
	}
	if (!units || !units->kept) {
		packet_units_free(units);
		return err_set(err, E_NO_MEMORY, "%s: out of memory", path);
	}
	*ret_units = units;
	return 0;
}

void packet_units_free(struct packet_units *units)
{
	if (!units)
		return;
	for (size_t i = 0; i < sizeof(units->slabs) / sizeof(units->slabs[0]); i++)
		mem_free(units->slabs[i]);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		mem_free(units->desks[i]);
	mem_free(units->kept);
	mem_free(units->places);
	mem_free(units);
}

int packet_units_learn(struct packet_units *units, struct view directory, uint64_t file_bytes, struct err *err)
{
	struct rd rd = rd_make(directory);
	uint64_t number = rd_u64le(&rd), offset = rd_u64le(&rd);

	if (rd.bad || number != units->places_count)
		return err_set(err, E_CORRUPT, "%s: directory of units from %llu on, where %zu are known", units->path,
			       (unsigned long long)number, units->places_count);
	while (rd_left(&rd)) {
		uint64_t bytes = rd_varint(&rd);

		if (rd.bad || bytes > UNIT_STORED_MAX || offset > file_bytes || bytes > file_bytes - offset)
			return err_set(err, E_CORRUPT, WHAT " %zu: %llu bytes at %llu of the %llu of %s",
				       units->places_count, (unsigned long long)bytes, (unsigned long long)offset,
				       (unsigned long long)file_bytes, units->path);
		if (mem_grow((void **)&units->places, &units->places_cap, units->places_count,
			     sizeof(*units->places)) < 0)
			return err_set(err, E_NO_MEMORY, "%s: out of memory", units->path);
		units->places[units->places_count++] = (struct place){ offset, (uint32_t)bytes };
		offset += bytes;
	}
	return 0;
}

/* Into plain, PACKET_UNIT_BYTES of room; stored has UNIT_STORED_MAX. */
static int unit_load(const struct packet_units *units, uint64_t number, uint8_t *stored, uint8_t *plain, size_t *ret_len,
		     struct err *err)
{
	const struct place *place;
	int rc;

	if (number >= units->places_count)
		return err_set(err, E_CORRUPT, WHAT " %llu of %zu", (unsigned long long)number, units->places_count);
	place = &units->places[number];
	rc = files_read_at(units->fd, stored, place->bytes, place->offset, units->path, err);
	if (rc == 0)
		rc = packet_unit_read(view_make(stored, place->bytes), number, plain, ret_len, err);
	if (rc < 0)
		(void)err_prefix(err, WHAT " %llu at %llu", (unsigned long long)number,
				 (unsigned long long)place->offset);
	return rc;
}

static struct kept *kept_of(struct packet_units *units, uint64_t number)
{
	return &units->kept[(uint32_t)number % (uint32_t)units->kept_count];	/* for each piece: half as long as with 64 bits */
}

static bool has(const struct kept *kept, uint64_t number)
{
	return kept->len && kept->number == number;
}

/* Memory of another unit; never given back before the end. The first slab is a small one. */
static uint8_t *kept_memory(struct packet_units *units)
{
	bool first = units->filled < SLAB_FIRST_UNITS;
	size_t at = first ? units->filled : units->filled - SLAB_FIRST_UNITS;
	size_t slab = first ? 0 : 1 + at / SLAB_UNITS;

	if (!units->slabs[slab])
		units->slabs[slab] = first ? mem_alloc(SLAB_FIRST_UNITS * PACKET_UNIT_BYTES) : mem_large(SLAB_BYTES);
	if (!units->slabs[slab])
		return NULL;
	units->filled++;
	return units->slabs[slab] + at % SLAB_UNITS * PACKET_UNIT_BYTES;
}

/* A place for another unit, empty. */
static int kept_make(struct packet_units *units, struct kept *kept, uint64_t number, struct err *err)
{
	kept->len = 0;
	kept->number = number;
	if (!kept->plain && !(kept->plain = kept_memory(units)))
		return err_set(err, E_NO_MEMORY, "%s: out of memory", units->path);
	return 0;
}

int packet_units_get(struct packet_units *units, uint64_t number, struct view *ret_plain, struct err *err)
{
	struct kept *kept = kept_of(units, number);

	if (!has(kept, number)) {
		int rc = kept_make(units, kept, number, err);

		if (rc == 0)
			rc = unit_load(units, number, units->stored, kept->plain, &kept->len, err);
		if (rc < 0)
			return rc;
	}
	*ret_plain = view_make(kept->plain, kept->len);
	return 0;
}

/* ---- several at a time ---- */

struct desk {			/* what a worker works on */
	int rc;			/* of the first run of this call that failed, */
	size_t failed;		/* which, */
	struct err err;		/* and why */
	uint8_t stored[UNIT_STORED_MAX];
	uint8_t plain[PACKET_UNIT_BYTES];
};

struct taking {
	struct packet_units *units;
	const struct packet_run *runs;
	struct kept **kept;	/* by run: where the unit is or goes to; NULL: nowhere */
};

void packet_units_crew(struct packet_units *units, struct crew *crew)
{
	units->crew = crew;
}

static int run_take(const struct taking *taking, unsigned worker, size_t step, struct err *err)
{
	struct packet_units *units = taking->units;
	const struct packet_run *run = &taking->runs[step];
	struct kept *kept = taking->kept[step];
	struct desk *desk = units->desks[worker];
	uint8_t *plain = kept ? kept->plain : desk->plain;
	size_t len = kept ? kept->len : 0;
	int rc = len ? 0 : unit_load(units, run->number, desk->stored, plain, &len, err);

	for (size_t i = 0; i < run->count && rc == 0; i++)
		rc = packet_unit_copy(view_make(plain, len), run->number, run->takes[i].offset, run->takes[i].len,
				      run->takes[i].to, err);
	if (kept && rc == 0)
		kept->len = len;
	return rc;
}

static void take_step(void *arg, unsigned worker, size_t step)
{
	struct taking *taking = arg;
	struct desk *desk = taking->units->desks[worker];

	if (desk->rc < 0)
		return;
	desk->rc = run_take(taking, worker, step, &desk->err);
	desk->failed = step;
}

/* How many can be at it: as many as have a desk. */
static unsigned workers_of(struct packet_units *units, size_t count)
{
	unsigned workers = count < SHARE_MIN ? 1 : crew_workers(units->crew);

	workers = workers < WORKERS_MAX ? workers : WORKERS_MAX;
	for (unsigned i = 0; i < workers; i++) {
		if (!units->desks[i] && !(units->desks[i] = mem_alloc(sizeof(struct desk))))
			return i;
		units->desks[i]->rc = 0;
		err_clear(&units->desks[i]->err);
	}
	return workers;
}

/* A disk has many heads, or none: it is told all at once what will be asked for. Neighbours are one piece of the file. */
static void read_ahead(const struct taking *taking, size_t count)
{
	const struct packet_units *units = taking->units;

	for (size_t i = 0; i < count;) {
		uint64_t first = taking->runs[i].number, number = first, offset, bytes = 0;

		if (first >= units->places_count || (taking->kept[i] && taking->kept[i]->len)) {
			i++;
			continue;
		}
		for (offset = units->places[first].offset;
		     i < count && taking->runs[i].number == number && number < units->places_count; i++)
			bytes += units->places[number++].bytes;
		(void)posix_fadvise(units->fd, (off_t)offset, (off_t)bytes, POSIX_FADV_WILLNEED);
	}
}

/* Where each unit is kept, or will be. Two for one place: the second goes nowhere. Nor does any where there is no memory. */
static void keep(struct taking *taking, size_t count)
{
	struct packet_units *units = taking->units;
	bool more = units->takes++ >= TAKES_UNKEPT;

	for (size_t i = 0; i < count; i++) {
		uint64_t number = taking->runs[i].number;
		struct kept *kept = kept_of(units, number);

		if (kept->claimed || (!has(kept, number) && (!more || kept_make(units, kept, number, NULL) < 0)))
			continue;
		taking->kept[i] = kept;
		kept->claimed = true;
	}
	for (size_t i = 0; i < count; i++)
		if (taking->kept[i])
			taking->kept[i]->claimed = false;
}

int packet_units_take(struct packet_units *units, const struct packet_run *runs, size_t count, struct err *err)
{
	struct taking taking = { .units = units, .runs = runs };
	unsigned workers = workers_of(units, count);
	const struct desk *first = NULL;
	int rc = 0;

	taking.kept = mem_array(count + 1, sizeof(struct kept *));
	if (!taking.kept || workers == 0) {
		rc = err_set(err, E_NO_MEMORY, "%s: out of memory", units->path);
		goto out;
	}
	keep(&taking, count);
	read_ahead(&taking, count);
	crew_run(units->crew, workers, take_step, &taking, count);
	for (unsigned i = 0; i < workers; i++)	/* the same words, whoever was first */
		if (units->desks[i]->rc < 0 && (!first || units->desks[i]->failed < first->failed))
			first = units->desks[i];
	if (first)
		rc = err_set(err, first->rc, "%s", first->err.text);
out:
	mem_free(taking.kept);
	return rc;
}
