#include "store/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/codec.h"

#define MANIFEST_BYTES_MAX (64u << 10)
#define MANIFEST_VERSION 1

int manifest_hash(const char *dir, const char *file, uint64_t *ret_hash, struct err *err)
{
	char path[STORE_PATH_MAX];
	struct view bytes;
	int rc = files_path(path, err, dir, file, NULL);

	if (rc == 0)
		rc = files_map(path, &bytes, err);
	if (rc < 0)
		return rc;
	*ret_hash = codec_checksum(bytes);
	files_unmap(bytes);
	return 0;
}

int manifest_write(const char *dir, const struct part_entry *entry, const struct manifest_hashes *hashes,
		   int group_gid, struct err *err)
{
	char path[STORE_PATH_MAX];
	struct wr wr;
	int rc;

	wr_init(&wr, MANIFEST_BYTES_MAX);
	wr_printf(&wr, "tapedeck-partition %d\n", MANIFEST_VERSION);
	wr_printf(&wr, "hour %" PRIu64 "\n", entry->hour);
	wr_printf(&wr, "generation %" PRIu32 "\n", entry->gen);
	for (int t = 1; t <= TABLE_MAX; t++) {
		const struct part_table *table = &entry->tables[t];

		if (!table->rows && !table->groups && !table->bytes)	/* what a reader takes it for without a line */
			continue;
		wr_printf(&wr, "table %s %d %" PRIu64 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			  table_get((enum table_id)t)->name, t, table->rows, table->groups, table->start_min,
			  table->start_max, table->end_max, table->bytes);
	}
	for (int t = 0; t < ROLLUP_TIERS_COUNT; t++)
		if (entry->tiers[t].rows || entry->tiers[t].bytes)
			wr_printf(&wr, "tier %d %" PRIu64 " %" PRIu64 "\n", t, entry->tiers[t].rows, entry->tiers[t].bytes);
	if (entry->residual)
		wr_printf(&wr, "residual %u\n", entry->residual);
	if (entry->tiers_gone)
		wr_printf(&wr, "tiers-gone %u\n", entry->tiers_gone);
	if (entry->level)
		wr_printf(&wr, "level %u\n", entry->level);
	if (entry->replaces)
		wr_printf(&wr, "replaces %" PRIu32 "\n", entry->replaces_gen);
	for (unsigned s = 0; s < entry->segs_count; s++) {
		const struct part_seg *seg = &entry->segs[s];

		wr_printf(&wr, "segment %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", s, seg->bytes,
			  seg->packets, seg->time_min, seg->time_max, *seg->class_name ? seg->class_name : "-");
	}
	wr_printf(&wr, "packet-plain-bytes %" PRIu64 "\n", entry->packet_plain_bytes);
	wr_printf(&wr, "file %s %" PRIu64 " %016" PRIx64 "\n", kv_sealed_file(dir), entry->data_bytes, hashes->data);
	for (unsigned s = 0; s < entry->segs_count; s++)
		if (entry->segs[s].bytes)
			wr_printf(&wr, "file %s %" PRIu64 " %016" PRIx64 "\n", part_seg_file(s), entry->segs[s].bytes,
				  hashes->packets[s]);
	wr_printf(&wr, "end %016" PRIx64 "\n", wr.bad ? 0 : codec_checksum(wr_view(&wr)));
	rc = wr.bad ? err_set(err, E_NO_MEMORY, "%s: manifest: out of memory", dir) : 0;
	if (rc == 0)
		rc = files_path(path, err, dir, PART_MANIFEST_FILE, NULL);
	if (rc == 0)
		rc = files_replace(path, wr_view(&wr), err);
	if (rc == 0 && group_gid >= 0 && chown(path, (uid_t)-1, (gid_t)group_gid) < 0)
		rc = err_errno(err, errno, "%s: give to group %d", path, group_gid);
	wr_release(&wr);
	return rc;
}

static int read_segment(const char *line, struct part_entry *entry)
{
	struct part_seg seg = { .held = true };
	unsigned number;

	_Static_assert(PART_CLASS_MAX == 76, "the width of %75s");
	if (sscanf(line, "segment %u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %75s", &number, &seg.bytes,
		   &seg.packets, &seg.time_min, &seg.time_max, seg.class_name) != 6 ||
	    number >= PART_SEGS_MAX || number != entry->segs_count)
		return E_CORRUPT;
	if (strcmp(seg.class_name, "-") == 0)
		seg.class_name[0] = '\0';
	entry->segs[entry->segs_count++] = seg;
	return 1;
}

static void read_file(const char *name, uint64_t bytes, uint64_t hash, struct part_entry *entry,
		      struct manifest_hashes *hashes)
{
	if (strcmp(name, KV_SEALED_FILE) == 0 || strcmp(name, KV_DATA_FILE) == 0) {
		entry->data_bytes = bytes;
		hashes->data = hash;
	}
	for (unsigned s = 0; s < PART_SEGS_MAX; s++) {
		if (strcmp(name, part_seg_file(s)) != 0)
			continue;
		entry->packet_bytes += bytes;
		hashes->packets[s] = hash;
	}
}

/* One line: 1 known, 0 not ours (a newer minor version), E_CORRUPT. */
static int read_line(const char *line, struct part_entry *entry, struct manifest_hashes *hashes)
{
	struct part_table table = { 0 };
	struct part_tier tier;
	char name[32];
	uint64_t bytes, hash;
	int version, t;

	if (sscanf(line, "tapedeck-partition %d", &version) == 1)
		return version == MANIFEST_VERSION ? 1 : E_UNSUPPORTED;
	if (sscanf(line, "hour %" SCNu64, &entry->hour) == 1 || sscanf(line, "generation %" SCNu32, &entry->gen) == 1 ||
	    sscanf(line, "packet-plain-bytes %" SCNu64, &entry->packet_plain_bytes) == 1)
		return 1;
	/* The bytes came later. */
	if (sscanf(line, "table %31s %d %" SCNu64 " %" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, name, &t,
		   &table.rows, &table.groups, &table.start_min, &table.start_max, &table.end_max, &table.bytes) >= 7) {
		if (t < 1 || t > TABLE_MAX)
			return 0;
		entry->tables[t] = table;
		return 1;
	}
	if (sscanf(line, "tier %d %" SCNu64 " %" SCNu64, &t, &tier.rows, &tier.bytes) == 3) {
		if (t >= 0 && t < ROLLUP_TIERS_COUNT)
			entry->tiers[t] = tier;
		return 1;
	}
	if (sscanf(line, "residual %" SCNu8, &entry->residual) == 1 ||
	    sscanf(line, "tiers-gone %" SCNu8, &entry->tiers_gone) == 1 ||
	    sscanf(line, "level %" SCNu8, &entry->level) == 1)
		return 1;
	if (sscanf(line, "replaces %" SCNu32, &entry->replaces_gen) == 1) {
		entry->replaces = true;
		return 1;
	}
	if (strncmp(line, "segment ", 8) == 0)
		return read_segment(line, entry);
	if (sscanf(line, "file %31s %" SCNu64 " %" SCNx64, name, &bytes, &hash) == 3) {
		read_file(name, bytes, hash, entry, hashes);
		return 1;
	}
	return 0;
}

int manifest_parse(char *text, size_t len, struct part_entry *ret_entry, struct manifest_hashes *ret_hashes)
{
	char *end = memmem(text, len, "\nend ", 5);
	struct manifest_hashes hashes = { 0 };
	struct part_entry entry;
	int rc = 0;

	if (!end || memchr(text, '\0', len) ||
	    strtoull(end + 5, NULL, 16) != codec_checksum(view_make(text, (size_t)(end + 1 - text))))
		return E_CORRUPT;
	*end = '\0';
	part_entry_init(&entry, 0, 0, 0);
	entry.state = PART_SEALED;
	for (char *line = text, *next; line && rc >= 0; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		rc = read_line(line, &entry, &hashes);
		if (line == text && rc != 1)
			return rc < 0 ? rc : E_CORRUPT;
	}
	if (rc < 0)
		return rc;
	if (entry.hour > UINT64_MAX / NS_PER_HOUR)
		return E_CORRUPT;
	if (entry.segs_count == 0 && entry.packet_bytes) {	/* from before there were classes */
		const struct part_table *packets = &entry.tables[TABLE_PACKETS];

		entry.segs_count = 1;
		entry.segs[0] = (struct part_seg){ .held = true, .bytes = entry.packet_bytes, .packets = packets->rows,
						   .time_min = packets->start_min, .time_max = packets->end_max };
	}
	*ret_entry = entry;
	*ret_hashes = hashes;
	return 0;
}

int manifest_read(const char *dir, struct part_entry *ret_entry, struct manifest_hashes *ret_hashes,
		  struct err *err)
{
	struct manifest_hashes hashes;
	struct part_entry entry;
	char path[STORE_PATH_MAX];
	uint8_t *text = NULL;
	uint64_t bytes;
	size_t len;
	int rc;

	rc = files_path(path, err, dir, PART_MANIFEST_FILE, NULL);
	if (rc == 0)
		rc = files_load(path, MANIFEST_BYTES_MAX, &text, &len, err);
	if (rc < 0)
		return rc;
	rc = manifest_parse((char *)text, len, &entry, &hashes);
	mem_free(text);
	if (rc < 0)
		return err_set(err, rc, "%s: %s", path, rc == E_CORRUPT ? "its own checksum is wrong" : err_text(rc));
	for (unsigned s = 0; s < entry.segs_count; s++) {
		rc = files_path(path, err, dir, part_seg_file(s), NULL);
		if (rc == 0)
			rc = files_size(path, &bytes, err);
		if (rc < 0)
			return rc;
		entry.segs[s].held = rc == 1;
	}
	part_entry_settle(&entry);
	*ret_entry = entry;
	if (ret_hashes)
		*ret_hashes = hashes;
	return 0;
}
