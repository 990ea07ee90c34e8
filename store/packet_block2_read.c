/* Reading: headers of every frame, since each tells the next; payload of the groups that are wanted. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/chunk.h"
#include "store/packet_block2.h"
#include "store/packet_gather.h"

#define WHAT "packet block"
#define FRAMES_BYTES_MAX (PACKET_BLOCK_BYTES_MAX + PACKET_BYTES_MAX)
#define FAR_MAX (1u << 16)
#define SECTION_BYTES_MAX(info, payload) ((uint64_t)(info)->count * HEADER_STREAM_BYTES_MAX + (payload) + 4096u)

struct opened {
	struct packet_block_info info;
	uint32_t payload_bytes, groups_count, own_count, far_count;
	uint64_t own_first, time_scale;
	unsigned unit_bits;	/* full units have 1 << unit_bits bytes */
	struct view sections;
};

static int opened_check(const struct opened *opened, uint32_t scale, struct err *err)
{
	const struct packet_block_info *info = &opened->info;

	if (info->count < 1 || info->count > PACKET_BLOCK_RECS_MAX || info->flow_count < 1 ||
	    info->flow_count > info->count || opened->groups_count < 1 || opened->groups_count > info->count)
		return err_set(err, E_CORRUPT, WHAT ": %u records of %u flows in %u groups", info->count,
			       info->flow_count, opened->groups_count);
	if (info->plain_bytes > FRAMES_BYTES_MAX || opened->payload_bytes > info->plain_bytes ||
	    opened->own_count > (opened->payload_bytes >> opened->unit_bits) + 1 || opened->far_count > FAR_MAX ||
	    scale > 1)
		return err_set(err, E_CORRUPT, WHAT ": claims %u bytes of frames, %u of payload in %u and %u units",
			       info->plain_bytes, opened->payload_bytes, opened->own_count, opened->far_count);
	if (info->time_min > info->time_max || info->number_min > info->number_max ||
	    info->time_min / NS_PER_HOUR != info->hour || info->time_max / NS_PER_HOUR != info->hour)
		return err_set(err, E_CORRUPT, WHAT ": times %llu..%llu in hour %llu",
			       (unsigned long long)info->time_min, (unsigned long long)info->time_max,
			       (unsigned long long)info->hour);
	return 0;
}

static int block_open(struct view stored, struct opened *ret_opened, struct err *err)
{
	struct envelope envelope;
	struct opened opened;
	struct packet_block_info *info = &opened.info;
	uint32_t flow_bytes, scale;
	struct rd rd;
	int rc = envelope_open(stored, WHAT, PACKET_BLOCK_MAGIC, PACKET_BLOCK2_VERSION, PACKET_MUST_UNITS, &envelope,
			       err);

	if (rc == 0 && envelope.version != PACKET_BLOCK2_VERSION)
		rc = err_set(err, E_CORRUPT, WHAT ": version %u", envelope.version);
	if (rc == 0)
		rc = envelope_check(stored, WHAT, stored.len, err);
	if (rc < 0)
		return rc;
	rd = rd_make(stored);
	rd_skip(&rd, ENVELOPE_BYTES);
	info->source = rd_u64le(&rd);
	info->hour = rd_u64le(&rd);
	info->time_min = rd_u64le(&rd);
	info->time_max = rd_u64le(&rd);
	info->number_min = rd_u64le(&rd);
	info->number_max = rd_u64le(&rd);
	info->count = rd_u32le(&rd);
	info->flow_count = rd_u32le(&rd);
	flow_bytes = rd_u32le(&rd);
	info->plain_bytes = rd_u32le(&rd);
	opened.payload_bytes = rd_u32le(&rd);
	opened.groups_count = rd_u32le(&rd);
	opened.own_first = rd_u64le(&rd);
	opened.own_count = rd_u32le(&rd);
	opened.far_count = rd_u32le(&rd);
	scale = rd_u32le(&rd);
	opened.time_scale = scale ? 1000 : 1;
	opened.unit_bits = envelope.must_know & PACKET_MUST_UNITS ? PACKET_UNIT_BITS : PACKET_UNIT_BITS_1;
	info->flows = rd_bytes(&rd, flow_bytes);
	opened.sections = rd_rest(&rd);
	info->stored_bytes = (uint32_t)opened.sections.len;
	info->codec = CODEC_ZSTD;
	if (rd.bad)
		return err_set(err, E_CORRUPT, WHAT ": %zu bytes, %u of flow ids", stored.len, flow_bytes);
	rc = opened_check(&opened, scale, err);
	if (rc == 0)
		*ret_opened = opened;
	return rc;
}

int packet_block2_peek(struct view stored, struct packet_block_info *ret_info, struct err *err)
{
	struct opened opened;
	int rc = block_open(stored, &opened, err);

	if (rc == 0)
		*ret_info = opened.info;
	return rc;
}

/* ---- sections ---- */

static int section_read(const struct opened *opened, struct rd *rd, struct arena *arena, struct rd *ret_section,
			struct err *err)
{
	uint64_t plain_len = rd_varint(rd);
	struct view stored;
	uint8_t *plain;
	enum codec codec;
	int rc;

	if (rd->bad || plain_len > SECTION_BYTES_MAX(&opened->info, opened->payload_bytes))
		return err_set(err, E_CORRUPT, "claims %llu bytes", (unsigned long long)plain_len);
	if (plain_len == 0) {
		*ret_section = rd_make(view_make(NULL, 0));
		return 0;
	}
	codec = (enum codec)rd_u8(rd);
	stored = codec == CODEC_NONE ? rd_bytes(rd, plain_len) : rd_vbytes(rd);
	if (rd->bad)
		return err_set(err, E_CORRUPT, "cut short");
	if (codec == CODEC_NONE) {
		*ret_section = rd_make(stored);
		return 0;
	}
	plain = arena_alloc(arena, plain_len);
	if (!plain)
		return err_set(err, E_NO_MEMORY, "no memory for %llu bytes", (unsigned long long)plain_len);
	rc = codec_unpack(codec, stored, plain, plain_len, err);
	if (rc == 0)
		*ret_section = rd_make(view_make(plain, plain_len));
	return rc;
}

static int sections_read(const struct opened *opened, struct arena *arena, struct rd sections[PACKET_SECTIONS],
			 struct err *err)
{
	struct rd rd = rd_make(opened->sections);

	for (unsigned i = 0; i < PACKET_SECTIONS; i++) {
		int rc = section_read(opened, &rd, arena, &sections[i], err);

		if (rc < 0) {
			(void)err_prefix(err, "section %u", i);
			return rc;
		}
	}
	return rd_left(&rd) ? err_set(err, E_CORRUPT, "%zu bytes behind the last section", rd_left(&rd)) : 0;
}

/* ---- records ---- */

struct columns {
	uint64_t *flows;	/* by place */
	uint64_t *values[PACKET_COLUMNS];
};

static int columns_read(const struct opened *opened, struct rd *rd, struct arena *arena, struct columns *ret_columns,
			struct err *err)
{
	static const uint64_t limits[PACKET_COLUMNS] = { UINT32_MAX, UINT32_MAX, UINT16_MAX, UINT16_MAX };
	struct packet_block_flows iter = packet_block_flows(&opened->info);
	uint32_t count = opened->info.count, flows = 0;
	uint64_t id;
	int rc = 0;

	ret_columns->flows = arena_array(arena, opened->info.flow_count, sizeof(uint64_t));
	if (!ret_columns->flows)
		return err_set(err, E_NO_MEMORY, "no memory for %u flows", opened->info.flow_count);
	while ((rc = packet_block_flow_next(&iter, &id)) > 0)
		ret_columns->flows[flows++] = id;
	if (rc < 0 || flows != opened->info.flow_count)
		return err_set(err, E_CORRUPT, "flow id %u of %u is damaged", flows, opened->info.flow_count);
	for (unsigned column = 0; column < PACKET_COLUMNS && rc == 0; column++) {
		uint64_t *values = arena_array(arena, count, sizeof(*values));

		if (!values)
			return err_set(err, E_NO_MEMORY, "no memory for %u records", count);
		ret_columns->values[column] = values;
		rc = chunk_ints_read(rd, count, arena, values, err);
		for (uint32_t i = 0; i < count && rc == 0; i++)
			if (values[i] > limits[column])
				rc = err_set(err, E_CORRUPT, "record %u: %llu in column %u", i,
					     (unsigned long long)values[i], column);
	}
	return rc < 0 || !rd_left(rd) ? rc : err_set(err, E_CORRUPT, "bytes behind the last column");
}

/* Its headers stand where they belong, its records in a row; its payload comes later. */
struct group {
	uint32_t recs;		/* index of its first one among the records that are kept, */
	uint32_t first;		/* and among all */
	uint32_t count;
	uint64_t sum;
};

struct reading {
	const struct opened *opened;
	const struct packet_want *want;
	struct rd sections[PACKET_SECTIONS];
	struct columns columns;
	struct header_coder coder;
	struct packet_gather gather;
	struct group *waiting;	/* those whose payload is fetched together */
	uint32_t waiting_count;
	struct packet_takes takes;	/* of them */
	uint32_t at;		/* of the next record, */
	uint32_t flow;		/* the place of its flow, */
	uint64_t run_left;	/* and how many of that come */
	uint64_t payload_bytes, plain_bytes;	/* so far */
	uint8_t *head_lens;	/* by record */
	struct header_sums *sums;
	struct packet_block *block;
	size_t out;		/* bytes of the frames that are kept */
};

/* The header of the next record, to where its frame will be. */
static int record_read(struct reading *reading, struct packet_rec *rec, size_t out, struct err *err)
{
	const struct packet_block_info *info = &reading->opened->info;
	const struct columns *columns = &reading->columns;
	struct wr *bytes = &reading->block->bytes;
	uint32_t i = reading->at;
	size_t head;
	int rc;

	while (reading->run_left == 0) {
		reading->flow += i != 0;
		reading->run_left = rd_varint(&reading->sections[PS_RUNS]);
		if (reading->run_left == 0 || reading->flow >= info->flow_count)
			return err_set(err, E_CORRUPT, "record %u: no flow", i);
	}
	reading->run_left--;
	*rec = (struct packet_rec){
		.flow_id = columns->flows[reading->flow],
		.orig_len = (uint32_t)columns->values[PC_CUT][i],
		.iface = (uint32_t)columns->values[PC_IFACE][i],
		.link = (uint16_t)columns->values[PC_LINK][i],
		.segments = (uint16_t)columns->values[PC_SEGMENTS][i],
	};
	rc = header_decode(&reading->coder, &reading->sections[PS_HEADERS], rec, bytes->at + out, &head,
			   &reading->sums[i], err);
	if (rc == 0 && (rec->time_ns < info->time_min || rec->time_ns > info->time_max ||
			rec->number < info->number_min || rec->number > info->number_max))
		rc = err_set(err, E_CORRUPT, "frame %llu at %llu", (unsigned long long)rec->number,
			     (unsigned long long)rec->time_ns);
	reading->plain_bytes += rec->frame.len;
	if (rc == 0 && reading->plain_bytes > info->plain_bytes)
		rc = err_set(err, E_CORRUPT, "more than %u bytes of frames", info->plain_bytes);
	if (rc < 0) {
		(void)err_prefix(err, "record %u", i);
		return rc;
	}
	reading->payload_bytes += rec->frame.len - head;
	reading->head_lens[i] = (uint8_t)head;
	rec->frame.at = (const uint8_t *)(uintptr_t)out;
	reading->at++;
	return 0;
}

static int reading_end(const struct reading *reading, struct err *err)
{
	const struct packet_block_info *info = &reading->opened->info;

	for (unsigned i = 0; i < PACKET_SECTIONS; i++)
		if ((i < PS_LITERALS || i > PS_LENGTHS) &&
		    (reading->sections[i].bad || rd_left(&reading->sections[i])))
			return err_set(err, E_CORRUPT, "section %u: %s", i,
				       reading->sections[i].bad ? "cut short" : "too long");
	if (!packet_gather_ended(&reading->gather))
		return err_set(err, E_CORRUPT, "references of its payload are left");
	if (reading->at != info->count || reading->plain_bytes != info->plain_bytes ||
	    reading->payload_bytes != reading->opened->payload_bytes || reading->run_left ||
	    reading->flow + 1 != info->flow_count)
		return err_set(err, E_CORRUPT, "%u of %u frames, %llu of %u bytes", reading->at, info->count,
			       (unsigned long long)reading->plain_bytes, info->plain_bytes);
	return 0;
}

/* With its payload there. */
static int frame_check(struct reading *reading, const struct group *group, uint32_t i, uint64_t *sum, struct err *err)
{
	const struct packet_rec *rec = &reading->block->recs[group->recs + i];
	uint8_t *frame = reading->block->bytes.at + (uintptr_t)rec->frame.at;
	int rc = header_sums_fill(&reading->sums[group->first + i], frame, rec->frame.len, err);

	*sum = packet_group_fold(*sum, view_make(frame, rec->frame.len));
	return rc;
}

static int group_end(const struct group *group, uint64_t sum, struct err *err)
{
	if (sum != group->sum)
		return err_set(err, E_CORRUPT, "frames %u..+%u: checksum %016llx instead of %016llx", group->first,
			       group->count, (unsigned long long)sum, (unsigned long long)group->sum);
	return 0;
}

static int group_check(struct reading *reading, const struct group *group, struct err *err)
{
	uint64_t sum = 0;
	int rc = 0;

	for (uint32_t i = 0; i < group->count && rc == 0; i++)
		rc = frame_check(reading, group, i, &sum, err);
	return rc < 0 ? rc : group_end(group, sum, err);
}

/* Payload at once, and each frame checked while it is in the cache; */
static int group_fill(struct reading *reading, const struct group *group, struct err *err)
{
	uint64_t sum = 0;
	int rc = 0;

	for (uint32_t i = 0; i < group->count && rc == 0; i++) {
		const struct packet_rec *rec = &reading->block->recs[group->recs + i];
		size_t head = reading->head_lens[group->first + i];

		rc = packet_gather_bytes(&reading->gather, reading->block->bytes.at + (uintptr_t)rec->frame.at + head,
					 rec->frame.len - head, err);
		if (rc == 0)
			rc = frame_check(reading, group, i, &sum, err);
	}
	return rc < 0 ? rc : group_end(group, sum, err);
}

/* or noted. */
static int group_note(struct reading *reading, const struct group *group, struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < group->count && rc == 0; i++) {
		const struct packet_rec *rec = &reading->block->recs[group->recs + i];
		size_t head = reading->head_lens[group->first + i];

		rc = packet_gather_note(&reading->gather, reading->block->bytes.at + (uintptr_t)rec->frame.at + head,
					rec->frame.len - head, &reading->takes, err);
	}
	reading->waiting[reading->waiting_count++] = *group;
	return rc;
}

static int group_read(struct reading *reading, struct err *err)
{
	struct group group = { .recs = reading->block->count, .first = reading->at };
	uint64_t count = rd_varint(&reading->sections[PS_GROUPS]);
	uint64_t payload_from = reading->payload_bytes;
	struct packet_rec *recs = reading->block->recs + group.recs;
	size_t out = reading->out;
	bool wanted = !reading->want;
	int rc = 0;

	group.sum = rd_u64le(&reading->sections[PS_GROUPS]);
	if (reading->sections[PS_GROUPS].bad || count == 0 || count > reading->opened->info.count - group.first)
		return err_set(err, E_CORRUPT, "group of %llu frames behind %u", (unsigned long long)count,
			       group.first);
	group.count = (uint32_t)count;
	for (uint32_t i = 0; i < count && rc == 0; i++) {
		rc = record_read(reading, &recs[i], out, err);
		out += recs[i].frame.len;
		wanted = wanted || (rc == 0 && packet_want_has(reading->want, &recs[i]));
	}
	if (rc < 0)
		return rc;
	if (!wanted)
		return packet_gather_skip(&reading->gather, reading->payload_bytes - payload_from, err);
	reading->out = out;
	reading->block->count += group.count;
	return reading->waiting ? group_note(reading, &group, err) : group_fill(reading, &group, err);
}

/* Behind the last flow that is wanted nothing is looked at: flows ascend. */
static bool is_past(const struct reading *reading)
{
	const struct packet_want *want = reading->want;
	uint32_t flow = reading->flow + (reading->run_left == 0 && reading->at);

	return want && want->flows && want->flow_count && flow < reading->opened->info.flow_count &&
	       reading->columns.flows[flow] > want->flows[want->flow_count - 1];
}

static int groups_read(struct reading *reading, struct arena *arena, struct err *err)
{
	uint32_t group = 0;
	int rc = 0;

	for (; group < reading->opened->groups_count && rc == 0 && !is_past(reading); group++)
		rc = group_read(reading, err);
	if (rc == 0 && group == reading->opened->groups_count)
		rc = reading_end(reading, err);
	if (rc == 0 && reading->takes.count)
		rc = packet_gather_noted(&reading->gather, &reading->takes, arena, err);
	for (group = 0; group < reading->waiting_count && rc == 0; group++)
		rc = group_check(reading, &reading->waiting[group], err);
	return rc;
}

/* A reader after a few flows wants few groups: the units of all of them are got at once. */
static int waiting_reserve(struct reading *reading, struct arena *arena, struct err *err)
{
	const struct opened *opened = reading->opened;

	reading->waiting = arena_array(arena, opened->groups_count, sizeof(*reading->waiting));
	return reading->waiting ? 0 : err_set(err, E_NO_MEMORY, "no memory for %u groups", opened->groups_count);
}

static int reading_begin(struct reading *reading, struct packet_units *units, struct arena *arena, struct err *err)
{
	const struct opened *opened = reading->opened;
	struct rd *sections = reading->sections;
	int rc;

	header_coder_init(&reading->coder, opened->info.time_min, opened->info.number_min, opened->time_scale);
	reading->head_lens = arena_array(arena, opened->info.count, sizeof(*reading->head_lens));
	reading->sums = arena_array(arena, opened->info.count, sizeof(*reading->sums));
	if (!reading->head_lens || !reading->sums)
		return err_set(err, E_NO_MEMORY, "no memory for %u records", opened->info.count);
	rc = sections_read(opened, arena, sections, err);
	if (rc == 0)
		rc = columns_read(opened, &sections[PS_RECORDS], arena, &reading->columns, err);
	reading->gather = (struct packet_gather){
		.units = units, .unit_bits = opened->unit_bits, .own_first = opened->own_first,
		.own_count = opened->own_count, .far_count = opened->far_count, .literals = sections[PS_LITERALS],
		.unit_codes = sections[PS_UNITS], .offsets = sections[PS_OFFSETS], .lengths = sections[PS_LENGTHS],
	};
	if (rc == 0)
		rc = packet_gather_far(&reading->gather, &sections[PS_FAR], arena, err);
	if (rc == 0 && reading->want && reading->want->flows)
		rc = waiting_reserve(reading, arena, err);
	return rc;
}

static int block_reserve(struct packet_block *block, const struct packet_block_info *info)
{
	if (block->recs_cap < info->count) {
		struct packet_rec *recs = mem_resize(block->recs, info->count, sizeof(*recs));

		if (!recs)
			return E_NO_MEMORY;
		block->recs = recs;
		block->recs_cap = info->count;
	}
	/* A header is decoded in place, and may write past its end: past that of the last frame, too. */
	return wr_reserve(&block->bytes, info->plain_bytes + HEADER_BYTES_MAX) ? 0 : E_NO_MEMORY;
}

int packet_block2_read(struct view stored, struct packet_units *units, const struct packet_want *want,
		       struct packet_block *ret_block, struct err *err)
{
	struct reading reading = { .want = want, .block = ret_block };
	struct opened opened;
	struct arena arena;
	int rc;

	packet_block_reset(ret_block);
	arena_init(&arena, 0);
	rc = block_open(stored, &opened, err);
	if (rc < 0)
		goto out;
	reading.opened = &opened;
	if (block_reserve(ret_block, &opened.info) < 0)
		rc = err_set(err, E_NO_MEMORY, "no memory for %u records", opened.info.count);
	if (rc == 0)
		rc = reading_begin(&reading, units, &arena, err);
	if (rc == 0)
		rc = groups_read(&reading, &arena, err);
	if (rc < 0) {
		(void)err_prefix(err, WHAT " of hour %llu, frames %llu..%llu", (unsigned long long)opened.info.hour,
				 (unsigned long long)opened.info.number_min,
				 (unsigned long long)opened.info.number_max);
		packet_block_reset(ret_block);
		goto out;
	}
	ret_block->bytes.len = reading.out;
	ret_block->source = opened.info.source;
	ret_block->hour = opened.info.hour;
	ret_block->time_min = opened.info.time_min;
	ret_block->time_max = opened.info.time_max;
	ret_block->number_min = opened.info.number_min;
	ret_block->number_max = opened.info.number_max;
out:
	packet_takes_release(&reading.takes);
	arena_release(&arena);
	return rc;
}
