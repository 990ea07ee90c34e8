#include "store/part.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"

#define PART_ENTRY_VERSION 1

const char *const part_dbs[] = { "meta", "rg", "zone", "pkb", "inv", "flt", "flow", NULL };

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

/* FORMAT.md, "Partition entry". */
void part_entry_write(const struct part_entry *entry, struct wr *wr)
{
	wr_u8(wr, PART_ENTRY_VERSION);
	wr_u8(wr, entry->state);
	wr_u8(wr, entry->has_packets);
	wr_u8(wr, TABLE_MAX);
	wr_u64le(wr, entry->hour);
	wr_u32le(wr, entry->gen);
	wr_u64le(wr, entry->serial);
	wr_u64le(wr, entry->data_bytes);
	wr_u64le(wr, entry->packet_bytes);
	wr_u64le(wr, entry->packet_plain_bytes);
	for (int t = 1; t <= TABLE_MAX; t++) {
		wr_u64le(wr, entry->tables[t].rows);
		wr_u32le(wr, entry->tables[t].groups);
		wr_u64le(wr, entry->tables[t].start_min);
		wr_u64le(wr, entry->tables[t].start_max);
		wr_u64le(wr, entry->tables[t].end_max);
	}
}

int part_entry_read(struct view bytes, struct part_entry *ret_entry, struct err *err)
{
	struct rd rd = rd_make(bytes);
	uint8_t version = rd_u8(&rd), tables;
	struct part_entry entry;

	part_entry_init(&entry, 0, 0, 0);
	entry.state = rd_u8(&rd);
	entry.has_packets = rd_u8(&rd) != 0;
	tables = rd_u8(&rd);
	entry.hour = rd_u64le(&rd);
	entry.gen = rd_u32le(&rd);
	entry.serial = rd_u64le(&rd);
	entry.data_bytes = rd_u64le(&rd);
	entry.packet_bytes = rd_u64le(&rd);
	entry.packet_plain_bytes = rd_u64le(&rd);
	for (int t = 1; t <= tables && t <= TABLE_MAX; t++) {	/* more tables than we know: a newer minor version */
		entry.tables[t].rows = rd_u64le(&rd);
		entry.tables[t].groups = rd_u32le(&rd);
		entry.tables[t].start_min = rd_u64le(&rd);
		entry.tables[t].start_max = rd_u64le(&rd);
		entry.tables[t].end_max = rd_u64le(&rd);
	}
	if (rd.bad)
		return err_set(err, E_CORRUPT, "partition entry: cut short at %zu bytes", bytes.len);
	if (version != PART_ENTRY_VERSION)
		return err_set(err, E_UNSUPPORTED, "partition entry: version %u, and we know %u", version,
			       PART_ENTRY_VERSION);
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
		.packet_bytes = entry->packet_bytes,
		.packets = entry->tables[TABLE_PACKETS].rows,
		.packet_plain_bytes = entry->packet_plain_bytes,
	};
	char name[PART_NAME_LEN];

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

struct part_key part_key_units(uint32_t window)
{
	struct part_key key = part_key_u32(window);

	memmove(key.at + strlen(PART_UNITS_KEY), key.at, key.len);
	memcpy(key.at, PART_UNITS_KEY, strlen(PART_UNITS_KEY));
	key.len += strlen(PART_UNITS_KEY);
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
