#include "store/part.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"

#define PART_ENTRY_VERSION 3	/* 1: ends behind the tables; 2: whole words */

const char *const part_files[PART_FILES] = { KV_SEALED_FILE,	KV_DATA_FILE,	 PART_SEG_FILE,	  "packets.1.seg",
					     "packets.2.seg",	"packets.3.seg", "packets.4.seg", "packets.5.seg",
					     "packets.6.seg",	"packets.7.seg", PART_MANIFEST_FILE };

const char *const part_dbs[] = { "meta+", "rg", "zone+", "pkb+", "inv+", "flt", "flow+", NULL };

void part_entry_init(struct part_entry *entry, uint64_t hour, uint32_t gen, uint64_t serial)
{
	*entry = (struct part_entry){ .hour = hour, .gen = gen, .serial = serial, .state = PART_HOT,
				      .has_packets = true };
	for (int t = 0; t <= TABLE_MAX; t++)
		entry->tables[t].start_min = UINT64_MAX;
}

void part_entry_count(struct part_entry *entry, enum table_id table, uint64_t rows, uint64_t start_min,
		      uint64_t start_max, uint64_t end_max)
{
	struct part_table *t = &entry->tables[table];

	t->rows += rows;
	if (start_min < t->start_min)
		t->start_min = start_min;
	if (start_max > t->start_max)
		t->start_max = start_max;
	if (end_max > t->end_max)
		t->end_max = end_max;
}

/* Nothing was ever in it: a bit says so. */
static bool table_is_empty(const struct part_table *table)
{
	return !table->rows && !table->groups && !table->bytes && table->start_min == UINT64_MAX && !table->start_max &&
	       !table->end_max;
}

/* An instant as its distance from another, on either side, modulo 2^64. */
static void wr_from(struct wr *wr, uint64_t instant_ns, uint64_t from_ns)
{
	wr_svarint(wr, (int64_t)(instant_ns - from_ns));
}

static uint64_t rd_from(struct rd *rd, uint64_t from_ns)
{
	return from_ns + (uint64_t)rd_svarint(rd);
}

static void write_tables(const struct part_entry *entry, struct wr *wr)
{
	uint64_t filled = 0;

	for (int t = 1; t <= TABLE_MAX; t++)
		filled |= (uint64_t)!table_is_empty(&entry->tables[t]) << t;
	wr_varint(wr, filled);
	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct part_table *table = &entry->tables[t];

		if (table_is_empty(table))
			continue;
		wr_varint(wr, table->rows);
		wr_varint(wr, table->groups);
		wr_from(wr, table->start_min, entry->hour * NS_PER_HOUR);
		wr_from(wr, table->start_max, table->start_min);
		wr_from(wr, table->end_max, table->start_max);
		wr_varint(wr, table->bytes);
	}
}

/* FORMAT.md, "Partition entry". */
void part_entry_write(const struct part_entry *entry, struct wr *wr)
{
	wr_u8(wr, PART_ENTRY_VERSION);
	wr_u8(wr, entry->state);
	wr_u8(wr, entry->has_packets);
	wr_varint(wr, entry->hour);
	wr_varint(wr, entry->gen);
	wr_varint(wr, entry->serial);
	wr_varint(wr, entry->data_bytes);
	wr_varint(wr, entry->packet_bytes);
	wr_varint(wr, entry->packet_plain_bytes);
	write_tables(entry, wr);
	wr_u8(wr, (uint8_t)entry->segs_count);
	for (unsigned s = 0; s < entry->segs_count; s++) {
		const struct part_seg *seg = &entry->segs[s];

		wr_vbytes(wr, view_str(seg->class_name));
		wr_u8(wr, seg->held);
		wr_varint(wr, seg->bytes);
		wr_varint(wr, seg->packets);
		wr_from(wr, seg->time_min, entry->hour * NS_PER_HOUR);
		wr_from(wr, seg->time_max, seg->time_min);
	}
	wr_u8(wr, ROLLUP_TIERS_COUNT);
	for (int t = 0; t < ROLLUP_TIERS_COUNT; t++) {
		wr_varint(wr, entry->tiers[t].rows);
		wr_varint(wr, entry->tiers[t].bytes);
	}
	wr_u8(wr, entry->residual);
	wr_u8(wr, entry->tiers_gone);
	wr_u8(wr, entry->level);
}

/* What version 1 did not say: one segment, and no bytes of tables. */
static void read_version_1(struct part_entry *entry)
{
	const struct part_table *packets = &entry->tables[TABLE_PACKETS];

	if (entry->state != PART_SEALED || entry->packet_bytes == 0)
		return;
	entry->segs_count = 1;
	entry->segs[0] = (struct part_seg){ .held = entry->has_packets, .bytes = entry->packet_bytes,
					    .packets = packets->rows, .time_min = packets->start_min,
					    .time_max = packets->end_max };
}

static bool read_class(struct rd *rd, struct part_seg *seg)
{
	struct view name = rd_vbytes(rd);

	if (name.len >= sizeof(seg->class_name)) {
		rd->bad = true;
		return false;
	}
	*seg = (struct part_seg){ .held = rd_u8(rd) != 0 };
	if (name.len)
		memcpy(seg->class_name, name.at, name.len);
	return true;
}

static void read_version_2(struct rd *rd, uint8_t tables, struct part_entry *entry)
{
	unsigned count = rd_u8(rd), tiers;

	if (count > PART_SEGS_MAX) {
		rd->bad = true;
		return;
	}
	entry->segs_count = count;
	for (unsigned s = 0; s < count; s++) {
		struct part_seg *seg = &entry->segs[s];

		if (!read_class(rd, seg))
			return;
		seg->bytes = rd_u64le(rd);
		seg->packets = rd_u64le(rd);
		seg->time_min = rd_u64le(rd);
		seg->time_max = rd_u64le(rd);
	}
	for (int t = 1; t <= tables; t++) {
		uint64_t bytes = rd_u64le(rd);

		if (t <= TABLE_MAX)
			entry->tables[t].bytes = bytes;
	}
	tiers = rd_u8(rd);
	for (unsigned t = 0; t < tiers && t < ROLLUP_TIERS_COUNT; t++) {
		entry->tiers[t].rows = rd_u64le(rd);
		entry->tiers[t].bytes = rd_u64le(rd);
	}
	entry->residual = rd_u8(rd);
	entry->tiers_gone = rd_left(rd) ? rd_u8(rd) : 0;
	entry->level = rd_left(rd) ? rd_u8(rd) : 0;
}

static void read_tables(struct rd *rd, struct part_entry *entry)
{
	uint64_t filled = rd_varint(rd);

	if (filled & 1)		/* there is no table 0 */
		rd->bad = true;
	for (int t = 1; t < 64 && !rd->bad; t++) {
		struct part_table unknown, *table = t <= TABLE_MAX ? &entry->tables[t] : &unknown;
		uint64_t groups;

		if (!(filled >> t & 1))
			continue;
		table->rows = rd_varint(rd);	/* more tables than we know: a newer minor version */
		groups = rd_varint(rd);
		table->groups = (uint32_t)groups;
		table->start_min = rd_from(rd, entry->hour * NS_PER_HOUR);
		table->start_max = rd_from(rd, table->start_min);
		table->end_max = rd_from(rd, table->start_max);
		table->bytes = rd_varint(rd);
		rd->bad |= groups > UINT32_MAX;
	}
}

static void read_version_3(struct rd *rd, struct part_entry *entry)
{
	uint64_t gen;
	unsigned tiers;

	entry->hour = rd_varint(rd);
	gen = rd_varint(rd);
	entry->gen = (uint32_t)gen;
	entry->serial = rd_varint(rd);
	entry->data_bytes = rd_varint(rd);
	entry->packet_bytes = rd_varint(rd);
	entry->packet_plain_bytes = rd_varint(rd);
	read_tables(rd, entry);
	entry->segs_count = rd_u8(rd);
	if (gen > UINT32_MAX || entry->segs_count > PART_SEGS_MAX)
		rd->bad = true;
	for (unsigned s = 0; s < entry->segs_count && !rd->bad; s++) {
		struct part_seg *seg = &entry->segs[s];

		if (!read_class(rd, seg))
			return;
		seg->bytes = rd_varint(rd);
		seg->packets = rd_varint(rd);
		seg->time_min = rd_from(rd, entry->hour * NS_PER_HOUR);
		seg->time_max = rd_from(rd, seg->time_min);
	}
	tiers = rd_u8(rd);
	for (unsigned t = 0; t < tiers && !rd->bad; t++) {
		struct part_tier unknown, *tier = t < ROLLUP_TIERS_COUNT ? &entry->tiers[t] : &unknown;

		tier->rows = rd_varint(rd);
		tier->bytes = rd_varint(rd);
	}
	entry->residual = rd_u8(rd);
	entry->tiers_gone = rd_u8(rd);
	entry->level = rd_u8(rd);
}

/* Versions 1 and 2, behind the first three bytes. */
static void read_whole_words(struct rd *rd, unsigned version, struct part_entry *entry)
{
	uint8_t tables = rd_u8(rd);

	entry->hour = rd_u64le(rd);
	entry->gen = rd_u32le(rd);
	entry->serial = rd_u64le(rd);
	entry->data_bytes = rd_u64le(rd);
	entry->packet_bytes = rd_u64le(rd);
	entry->packet_plain_bytes = rd_u64le(rd);
	for (int t = 1; t <= tables; t++) {
		struct part_table unknown, *table = t <= TABLE_MAX ? &entry->tables[t] : &unknown;

		table->rows = rd_u64le(rd);	/* more tables than we know: a newer minor version */
		table->groups = rd_u32le(rd);
		table->start_min = rd_u64le(rd);
		table->start_max = rd_u64le(rd);
		table->end_max = rd_u64le(rd);
	}
	if (version == 1)
		read_version_1(entry);
	else
		read_version_2(rd, tables, entry);
}

int part_entry_read(struct view bytes, struct part_entry *ret_entry, struct err *err)
{
	struct rd rd = rd_make(bytes);
	uint8_t version = rd_u8(&rd);
	struct part_entry entry;

	part_entry_init(&entry, 0, 0, 0);
	entry.state = rd_u8(&rd);
	entry.has_packets = rd_u8(&rd) != 0;
	if (version == 1 || version == 2)
		read_whole_words(&rd, version, &entry);
	else if (version == PART_ENTRY_VERSION)
		read_version_3(&rd, &entry);
	else if (!rd.bad)
		return err_set(err, E_UNSUPPORTED, "partition entry: version %u, and we know %u", version,
			       PART_ENTRY_VERSION);
	if (rd.bad)
		return err_set(err, E_CORRUPT, "partition entry: cut short at %zu bytes", bytes.len);
	if (entry.state != PART_HOT && entry.state != PART_SEALED)
		return err_set(err, E_CORRUPT, "partition entry: state %u", entry.state);
	if (entry.hour > UINT64_MAX / NS_PER_HOUR)
		return err_set(err, E_CORRUPT, "partition entry: hour %llu", (unsigned long long)entry.hour);
	*ret_entry = entry;
	return 0;
}

uint64_t part_entry_start_min(const struct part_entry *entry)
{
	uint64_t min = UINT64_MAX;

	for (int t = 1; t <= TABLE_MAX; t++)
		if (entry->tables[t].rows && entry->tables[t].start_min < min)
			min = entry->tables[t].start_min;
	return min;
}

uint64_t part_entry_end_max(const struct part_entry *entry)
{
	uint64_t max = 0;

	for (int t = 1; t <= TABLE_MAX; t++)
		if (entry->tables[t].rows && entry->tables[t].end_max > max)
			max = entry->tables[t].end_max;
	return max;
}

void part_entry_observed(const struct part_entry *entry, uint64_t *ret_start_ns, uint64_t *ret_end_ns)
{
	uint64_t start = UINT64_MAX, end = 0;

	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct part_table *table = &entry->tables[t];

		if (!table->rows || t == TABLE_ROLLUPS || t == TABLE_ENTITIES)
			continue;
		start = table->start_min < start ? table->start_min : start;
		end = table->end_max > end ? table->end_max : end;
	}
	*ret_start_ns = start == UINT64_MAX ? part_entry_start_min(entry) : start;
	*ret_end_ns = start == UINT64_MAX ? part_entry_end_max(entry) : end;
}

uint64_t part_entry_newest(const struct part_entry *entry)
{
	uint64_t start, end;

	part_entry_observed(entry, &start, &end);
	return end;
}

uint64_t part_entry_packet_bytes(const struct part_entry *entry)
{
	uint64_t bytes = entry->state == PART_HOT ? entry->packet_bytes : 0;

	for (unsigned s = 0; s < entry->segs_count; s++)
		bytes += entry->segs[s].held ? entry->segs[s].bytes : 0;
	return bytes;
}

uint64_t part_entry_packets(const struct part_entry *entry)
{
	uint64_t packets = entry->state == PART_HOT ? entry->tables[TABLE_PACKETS].rows : 0;

	for (unsigned s = 0; s < entry->segs_count; s++)
		packets += entry->segs[s].held ? entry->segs[s].packets : 0;
	return packets;
}

uint64_t part_entry_packets_min(const struct part_entry *entry)
{
	uint64_t min = entry->state == PART_HOT ? entry->tables[TABLE_PACKETS].start_min : UINT64_MAX;

	for (unsigned s = 0; s < entry->segs_count; s++)
		if (entry->segs[s].held && entry->segs[s].packets && entry->segs[s].time_min < min)
			min = entry->segs[s].time_min;
	return min;
}

void part_entry_settle(struct part_entry *entry)
{
	entry->has_packets = entry->state == PART_HOT || entry->tables[TABLE_PACKETS].rows == 0;
	for (unsigned s = 0; s < entry->segs_count; s++)
		entry->has_packets |= entry->segs[s].held && entry->segs[s].bytes;
}

int part_entry_seg(struct part_entry *entry, const char *class_name, unsigned *ret_seg)
{
	unsigned s = 0;

	while (s < entry->segs_count && strcmp(entry->segs[s].class_name, class_name) != 0)
		s++;
	if (s == PART_SEGS_MAX || strlen(class_name) >= PART_CLASS_MAX)
		return E_LIMIT;
	if (s == entry->segs_count) {
		entry->segs[s] = (struct part_seg){ .held = true, .time_min = UINT64_MAX };
		memcpy(entry->segs[s].class_name, class_name, strlen(class_name) + 1);
		entry->segs_count++;
	}
	*ret_seg = s;
	return 0;
}

bool part_entry_repacked(const struct part_entry *was, const struct part_entry *is)
{
	for (int t = 1; t <= TABLE_MAX; t++)
		if (was->tables[t].rows != is->tables[t].rows || was->tables[t].groups != is->tables[t].groups)
			return false;
	return was->hour == is->hour && was->gen == is->gen && was->data_bytes != is->data_bytes && is->level > was->level &&
	       was->packet_bytes == is->packet_bytes;
}

bool part_entry_overlaps(const struct part_entry *entry, uint64_t from_ns, uint64_t to_ns)
{
	/* The last instant of 2554 has no range that holds it, unless the end of time counts as inside. */
	return (part_entry_start_min(entry) < to_ns || to_ns == UINT64_MAX) && part_entry_end_max(entry) >= from_ns;
}

void part_entry_info(const struct part_entry *entry, bool pinned, struct store_part_info *ret_info)
{
	struct store_part_info info = {
		.hour = entry->hour,
		.gen = entry->gen,
		.sealed = entry->state == PART_SEALED,
		.has_packets = entry->has_packets,
		.pinned = pinned,
		.data_bytes = entry->data_bytes,
		.packet_bytes = part_entry_packet_bytes(entry),
		.packets = part_entry_packets(entry),
		.packet_plain_bytes = entry->packet_plain_bytes,
	};
	char name[PART_NAME_LEN];

	for (unsigned s = 0; s < entry->segs_count; s++) {
		const struct part_seg *seg = &entry->segs[s];

		info.packets_expired += seg->held ? 0 : seg->packets;
		info.packets_thinned += seg->held && strcmp(seg->class_name, PART_HEADERS_CLASS) == 0 ? seg->packets : 0;
	}
	part_entry_observed(entry, &info.start_min, &info.end_max);
	for (int t = 1; t <= TABLE_MAX; t++)
		if (t != TABLE_PACKETS)
			info.rows[t] = entry->tables[t].rows;
	part_name(entry->hour, entry->gen, name);
	(void)snprintf(info.path, sizeof(info.path), "%s/%s", info.sealed ? "parts" : "hot", name);
	*ret_info = info;
}

struct part_key part_key_rg(enum table_id table, uint32_t group)
{
	struct part_key key = { .len = 5 };
	uint32_t be = __builtin_bswap32(group);

	key.at[0] = (uint8_t)table;
	memcpy(key.at + 1, &be, sizeof(be));
	return key;
}

struct part_key part_key_u32(uint32_t number)
{
	struct part_key key = { .len = 4 };
	uint32_t be = __builtin_bswap32(number);

	memcpy(key.at, &be, sizeof(be));
	return key;
}

struct part_key part_key_units(unsigned seg, uint32_t window)
{
	struct part_key key = part_key_u32(window);

	memmove(key.at + PART_UNITS_KEY_LEN, key.at, key.len);
	memcpy(key.at, PART_UNITS_KEY, PART_UNITS_KEY_LEN);
	if (seg)
		key.at[PART_UNITS_KEY_LEN - 1] = (uint8_t)('0' + seg);
	key.len += PART_UNITS_KEY_LEN;
	return key;
}

void rg_zone_write(const struct rg_zone *zone, struct wr *wr)
{
	wr_u32le(wr, zone->rows);
	wr_u64le(wr, zone->start_min);
	wr_u64le(wr, zone->start_max);
	wr_u64le(wr, zone->end_max);
}

int rg_zone_read(struct view bytes, struct rg_zone *ret_zone, struct err *err)
{
	struct rd rd = rd_make(bytes);
	struct rg_zone zone = { .rows = rd_u32le(&rd) };

	zone.start_min = rd_u64le(&rd);
	zone.start_max = rd_u64le(&rd);
	zone.end_max = rd_u64le(&rd);
	if (rd.bad || zone.rows > RG_ROWS_MAX)
		return err_set(err, E_CORRUPT, "zone: %u rows in %zu bytes", zone.rows, bytes.len);
	*ret_zone = zone;
	return 0;
}

int part_open(const char *dir, const struct part_entry *entry, struct part **ret_part, struct err *err)
{
	bool sealed = entry->state == PART_SEALED;
	struct kv_opts opts = { .mode = sealed ? KV_SEALED : KV_READ, .dbs = part_dbs, .group_gid = -1,
				.map_bytes = sealed ? entry->data_bytes : 0 };
	struct part *part = mem_zalloc(sizeof(*part));
	char name[PART_NAME_LEN];
	int rc;

	if (!part)
		return err_set(err, E_NO_MEMORY, "out of memory");
	part->entry = *entry;
	part_name(entry->hour, entry->gen, name);
	rc = files_path(part->path, err, dir, sealed ? "parts" : "hot", name);
	if (rc == 0)
		rc = kv_open(part->path, &opts, &part->kv, err);
	if (rc < 0) {
		part_close(part);
		return rc;
	}
	*ret_part = part;
	return 0;
}

void part_close(struct part *part)
{
	if (!part)
		return;
	kv_close(part->kv);
	mem_free(part);
}

int part_entry_get(struct kv_txn *txn, struct part_entry *ret_entry, struct err *err)
{
	struct view value;
	int rc = kv_get(txn, PART_META, VIEW_LIT("entry"), &value, err);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, E_CORRUPT, "the partition has no entry of itself");
	return part_entry_read(value, ret_entry, err);
}
